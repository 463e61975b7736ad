//! Several states become one.

use proptest::prelude::*;
use serde_json::{Value, json};
use wfr_model::Timestamp;
use wfr_model::event::Draft;
use wfr_model::workflow::document::note_order;
use wfr_model::workflow::merge::{ConflictResolution as Who, MergeStrategy as How, Merged, Said, Side, merge};
use wfr_model::workflow::validate::{Context, is_valid, validate};
use wfr_model::workflow::{Head, Nowhere, Whole, fold};

use crate::documents::{folded, read, update};
use crate::events::any_event;

const HOW: [How; 4] = [How::PriorityBased, How::Latest, How::Union, How::ThreeWay];

fn side<'s>(name: &'s str, state: &'s Whole) -> Side<'s> {
    Side { name, state, is_current: name == "current", said: None }
}

fn two(one: &Whole, other: &Whole, base: Option<&Whole>, how: How, who: Who) -> Merged {
    merge(side("current", one), &[side("ckpt_1", other)], base, how, who)
}

fn state(data: Value) -> Whole {
    read(&data).0
}

fn places(merged: &Merged) -> Vec<&str> {
    merged.conflicts.iter().map(|conflict| conflict.place.as_str()).collect()
}

fn status(merged: &Merged, task: &str) -> &'static str {
    merged.state.tasks[&task.parse().unwrap()].status.as_str()
}

#[test]
fn what_one_side_changed_since_the_ancestor_is_taken_and_what_both_did_is_a_conflict() {
    let tasks =
        |t1: &str, t2: &str, t3: Value| json!({"tasks": {"t1": {"status": t1}, "t2": {"status": t2}, "t3": t3}});
    let base = state(tasks("pending", "pending", json!({"description": "old"})));
    let one = state(tasks("active", "pending", json!({"description": "one"})));
    let other = state(tasks("pending", "failed", json!({"description": "other"})));
    let merged = two(&one, &other, Some(&base), How::ThreeWay, Who::CheckpointPriority);
    assert_eq!((status(&merged, "t1"), status(&merged, "t2")), ("active", "failed"));
    assert_eq!(places(&merged), ["tasks/t3/description"]);
    let conflict = serde_json::to_value(&merged.conflicts[0]).unwrap();
    let expected = json!({"place": "tasks/t3/description", "base": "old", "winner": "ckpt_1", "claims": [
        {"source": "current", "value": "one"}, {"source": "ckpt_1", "value": "other"}]});
    assert_eq!(conflict, expected);
    assert_eq!(merged.state.tasks[&"t3".parse().unwrap()].description.as_deref(), Some("other"));
    let counts = merged.state.head.counts;
    assert_eq!((counts.active, counts.failed, counts.pending), (1, 1, 1));
    let unsettled = two(&one, &other, Some(&base), How::ThreeWay, Who::ManualReview);
    assert!(unsettled.is_unsettled() && !merged.is_unsettled());
    assert_eq!(unsettled.state.tasks[&"t3".parse().unwrap()].description.as_deref(), Some("one"));
}

#[test]
fn with_an_ancestor_how_something_stands_goes_as_one_too() {
    let base = state(json!({"tasks": {"t1": {"status": "active"}}, "agents": {"a1": {"status": "in_progress"}}}));
    let one = state(json!({"tasks": {"t1": {"status": "completed"}}, "agents": {"a1": {"status": "idle"}}}));
    let other = state(json!({
        "tasks": {"t1": {"status": "active", "failure_reason": "broke", "retry_count": 1}},
        "agents": {"a1": {"status": "in_progress", "current_task": "t1", "role": "tester"}}
    }));
    let merged = two(&one, &other, Some(&base), How::ThreeWay, Who::CurrentPriority);
    assert_eq!(places(&merged), ["agents/a1/standing", "tasks/t1/standing"]);
    let (task, agent) = (&merged.state.tasks[&"t1".parse().unwrap()], &merged.state.agents[&"a1".parse().unwrap()]);
    assert_eq!((task.status.as_str(), &task.failure_reason, task.retry_count), ("completed", &None, None));
    assert_eq!((&agent.current_task, agent.role.as_deref()), (&None, Some("tester")));
    let merged = two(&one, &other, Some(&base), How::ThreeWay, Who::CheckpointPriority);
    assert_eq!(merged.state.tasks, other.tasks);
}

#[test]
fn what_is_gone_stays_gone_but_where_the_other_went_on_with_it() {
    let base = state(json!({"tasks": {"t1": {}, "t2": {}}, "configuration": {"a": 1, "b": 2}}));
    let one = state(json!({"tasks": {}, "configuration": {"a": 1}}));
    let other = state(json!({"tasks": {"t1": {}, "t2": {"status": "active"}}, "configuration": {"a": 1, "b": 2}}));
    let merged = two(&one, &other, Some(&base), How::ThreeWay, Who::CurrentPriority);
    assert_eq!(places(&merged), ["tasks/t2"]);
    assert!(merged.state.tasks.is_empty() && !merged.state.head.configuration.contains_key("b"));
    let merged = two(&one, &other, Some(&base), How::ThreeWay, Who::CheckpointPriority);
    assert_eq!(merged.state.tasks.len(), 1);
}

#[test]
fn how_something_stands_is_taken_from_one_state() {
    let one = state(json!({"tasks": {"t1": {"status": "pending"}}, "configuration": {"timeout": "4h"}}));
    let other = state(json!({
        "tasks": {"t1": {"status": "failed", "failure_reason": "broke", "description": "read"}, "t2": {}},
        "configuration": {"timeout": "2h", "max_agents": 3}
    }));
    let merged = two(&one, &other, None, How::PriorityBased, Who::CurrentPriority);
    assert_eq!(places(&merged), ["configuration/timeout", "tasks/t1/standing"]);
    let task = &merged.state.tasks[&"t1".parse().unwrap()];
    assert_eq!((task.failure_reason.as_deref(), task.description.as_deref()), (None, Some("read")));
    assert_eq!(merged.state.tasks.len(), 2);
    assert_eq!(Value::Object(merged.state.head.configuration), json!({"timeout": "4h", "max_agents": 3}));
}

#[test]
fn the_higher_version_is_the_later_and_of_two_alike_neither() {
    let one = state(json!({"tasks": {"t1": {"status": "active"}, "t2": {}}, "state_version": 3}));
    let other = state(json!({"tasks": {"t1": {"status": "completed"}}, "state_version": 9}));
    let merged = two(&one, &other, None, How::Latest, Who::ManualReview);
    assert_eq!((status(&merged, "t1"), places(&merged).len()), ("completed", 0));
    assert_eq!(merged.state.tasks.len(), 2, "what only an earlier one knows is kept");
    assert_eq!(merged.state.head.state_version, 9);
    let mut tied = other.clone();
    tied.head.state_version = one.head.state_version;
    assert_eq!(places(&two(&one, &tied, None, How::Latest, Who::ManualReview)), ["tasks/t1/standing"]);
}

/// What a document makes of a state, and says.
fn said_over(under: &Whole, data: &Value) -> (Whole, Said) {
    Said::over(under, |before| {
        let mut state = before.to_state();
        fold::apply(&mut state, &mut Nowhere, &update(data)).unwrap();
        let head =
            Head { state_version: 1, updated_at: None, created_at: before.head.created_at, ..state.head.clone() };
        Whole { head, ..Whole::of(&state) }
    })
}

#[test]
fn what_a_document_does_not_say_is_no_claim() {
    let now = state(json!({"status": "running", "current_phase": 1, "phases": {"1": {"status": "in_progress"}},
        "tasks": {"t1": {"status": "completed", "attempts": 2}}, "agents": {"a1": {"tasks_completed": 3}}}));
    let then = state(json!({"status": "paused", "tasks": {"t1": {"status": "active"}}}));
    let little = json!({"tasks": {"t1": {"description": "hey"}}});
    let (read, said) = said_over(&now, &little);
    let document = Side { name: "o.json", state: &read, is_current: false, said: Some(&said) };
    for how in HOW {
        let merged = merge(side("current", &now), &[document], Some(&now), how, Who::CheckpointPriority);
        let task = &merged.state.tasks[&"t1".parse().unwrap()];
        assert_eq!(merged.conflicts, vec![], "{how:?}");
        assert_eq!((task.status.as_str(), task.attempts), ("completed", 2));
        assert_eq!(task.description.is_some(), how != How::Latest, "{how:?}: it is not the later one");
        let expected = Whole { tasks: merged.state.tasks.clone(), ..now.clone() };
        assert!(merged.state.says_the_same(&expected), "{how:?}: {:?}", merged.state);
    }
    // Between two others it has no say either, but where it says something.
    let three = |document| {
        merge(side("current", &now), &[document, side("ckpt_1", &then)], None, How::Union, Who::CheckpointPriority)
    };
    let merged = three(document);
    assert_eq!((status(&merged, "t1"), merged.state.head.status.as_str()), ("active", "paused"));
    assert_eq!(
        merged.conflicts.iter().map(|one| one.claims[1].value.clone()).collect::<Vec<_>>(),
        [Value::Null, Value::Null]
    );
    let (read, said) = said_over(&now, &json!({"status": "created", "tasks": {"t1": {"status": "pending"}}}));
    let merged = three(Side { name: "o.json", state: &read, is_current: false, said: Some(&said) });
    assert_eq!(
        (status(&merged, "t1"), merged.state.head.status.as_str()),
        ("pending", "created"),
        "a default that is said is said"
    );
    // Of a part that the ancestor has not, too.
    let base = state(json!({}));
    let (read, said) = said_over(&base, &little);
    let document = Side { name: "o.json", state: &read, is_current: false, said: Some(&said) };
    let merged = merge(side("current", &now), &[document], Some(&base), How::ThreeWay, Who::CheckpointPriority);
    assert_eq!((status(&merged, "t1"), merged.conflicts), ("completed", vec![]));
}

#[test]
fn what_follows_from_both_sides_is_no_conflict() {
    let line = |text: &str| Draft::read(text).unwrap().complete(|| "evt_u".parse().unwrap(), Timestamp(9), "test");
    let begin = [
        r#"PHASE_STARTED:wf:1:{"task_order":["x","y"],"tasks":["x","y"]}"#,
        r#"TASK_STARTED:wf:1:{"task_id":"a","agent_id":"ag"}"#,
    ];
    let after = |more: &[&str]| folded(&begin.iter().chain(more).map(|text| line(text)).collect::<Vec<_>>());
    let base = after(&[]);
    let one = after(&[r#"TASK_COMPLETED:wf:1:{"task_id":"a","agent_id":"ag"}"#]);
    let other = after(&[r#"TASK_COMPLETED:wf:1:{"task_id":"b","agent_id":"ag"}"#]);
    let agent = |merged: &Merged| merged.state.agents[&"ag".parse().unwrap()].tasks_completed;
    for (first, second) in [(&one, &other), (&other, &one)] {
        let merged = two(first, second, Some(&base), How::ThreeWay, Who::ManualReview);
        assert_eq!((places(&merged), agent(&merged)), (vec![], 2));
        let merged = two(first, first, Some(&base), How::ThreeWay, Who::ManualReview);
        assert_eq!((places(&merged), agent(&merged)), (vec![], 1), "both saw the same");
    }
    // One has failed it while another one goes on: whoever wins, nobody works on what has ended.
    let failed = after(&[r#"TASK_FAILED:wf:1:{"task_id":"c","error_message":"broke"}"#]);
    let active = after(&[r#"TASK_STARTED:wf:1:{"task_id":"c","agent_id":"ag"}"#]);
    for (first, second) in [(&failed, &active), (&active, &failed)] {
        for who in [Who::CurrentPriority, Who::CheckpointPriority] {
            let merged = two(first, second, Some(&base), How::ThreeWay, who);
            assert!(is_valid(&validate(&merged.state, Context::default())), "{:?}", merged.state);
        }
    }
}

#[test]
fn orders_of_tasks_are_merged_unless_something_moved() {
    let order = |names: &[&str]| {
        let tasks: Vec<Value> = names.iter().map(|name| json!({"task_id": name, "status": "pending"})).collect();
        let mut doc = json!({"phases": [{"phase_id": 1, "name": "one", "tasks": tasks}]});
        note_order(doc.as_object_mut().unwrap());
        state(doc)
    };
    let merged = |base: &[&str], one: &[&str], other: &[&str]| {
        let merged = two(&order(one), &order(other), Some(&order(base)), How::ThreeWay, Who::ManualReview);
        let phase = merged.state.phases.values().next().unwrap().extra.get("task_order").cloned();
        (merged.conflicts.len(), phase)
    };
    // Of the names' own order none is kept.
    let (named, moved) = (["x", "y", "z"], ["z", "y", "x"]);
    assert_eq!(
        merged(&named, &["x", "y", "z", "r"], &["x", "y", "z", "l"]),
        (0, Some(json!(["x", "y", "z", "l", "r"])))
    );
    assert_eq!(
        merged(&moved, &["z", "y", "x", "r"], &["z", "y", "x", "l"]),
        (0, Some(json!(["z", "y", "x", "l", "r"])))
    );
    assert_eq!(merged(&moved, &["z", "x", "y"], &["z", "y", "x", "l"]).0, 1);
}

#[test]
fn a_union_joins_lists() {
    let one = state(json!({"tasks": {"t1": {"dependencies": ["a", "b"]}}}));
    let other = state(json!({"tasks": {"t1": {"dependencies": ["c", "b"]}}}));
    let merged = two(&one, &other, None, How::Union, Who::ManualReview);
    assert_eq!(
        (merged.conflicts.len(), merged.state.tasks[&"t1".parse().unwrap()].dependencies.join(" ")),
        (0, "a b c".to_owned())
    );
}

/// A state with parts that no other of its kind has: their names end with the letter.
fn own_parts(letter: char, statuses: &[bool]) -> Whole {
    let status = |done: &bool| if *done { "completed" } else { "pending" };
    let tasks: serde_json::Map<String, Value> = statuses
        .iter()
        .enumerate()
        .map(|(n, done)| (format!("t{n}{letter}"), json!({"status": status(done), "phase_id": format!("p{letter}")})))
        .collect();
    let mut extra = serde_json::Map::new();
    extra.insert(format!("own_{letter}"), json!(statuses.len()));
    state(json!({"tasks": tasks, "metrics": extra, "created_at": "2025-01-15T11:30:00Z"}))
}

proptest! {
    #[test]
    fn merged_with_itself_a_state_is_the_same(events in prop::collection::vec(any_event(), 0..60)) {
        let whole = folded(&events);
        for how in HOW {
            let merged = two(&whole, &whole, Some(&Whole::new("wf".parse().unwrap())), how, Who::ManualReview);
            prop_assert_eq!(merged.conflicts, vec![]);
            prop_assert_eq!(&merged.state, &whole, "{:?}", how);
        }
    }

    #[test]
    fn with_an_ancestor_the_order_does_not_matter(
        base in prop::collection::vec(any_event(), 0..30),
        one in prop::collection::vec(any_event(), 0..8),
        other in prop::collection::vec(any_event(), 0..8),
    ) {
        let after = |more: &[wfr_model::Event]| folded(&[&base, more].concat());
        let (base_state, one, other) = (folded(&base), after(&one), after(&other));
        let there = two(&one, &other, Some(&base_state), How::ThreeWay, Who::ManualReview);
        let back = two(&other, &one, Some(&base_state), How::ThreeWay, Who::ManualReview);
        prop_assert_eq!(places(&there), places(&back), "the places of conflicts do not depend on the order either");
        if !there.is_unsettled() {
            prop_assert_eq!(&there.state, &back.state);
        }
        // Who changed nothing has no say.
        let alone = two(&one, &base_state, Some(&base_state), How::ThreeWay, Who::ManualReview);
        prop_assert_eq!(alone.conflicts, vec![]);
        prop_assert!(alone.state.says_the_same(&one));
    }

    #[test]
    fn a_union_of_what_is_apart_is_associative(
        a in prop::collection::vec(any::<bool>(), 0..5),
        b in prop::collection::vec(any::<bool>(), 0..5),
        c in prop::collection::vec(any::<bool>(), 0..5),
    ) {
        let (a, b, c) = (own_parts('a', &a), own_parts('b', &b), own_parts('c', &c));
        let union = |one: &Whole, other: &Whole| two(one, other, None, How::Union, Who::ManualReview);
        let left = union(&union(&a, &b).state, &c);
        let right = union(&a, &union(&b, &c).state);
        prop_assert_eq!(left.conflicts, vec![]);
        prop_assert_eq!(&left.state, &right.state);
        let at_once = merge(side("current", &a), &[side("x", &b), side("y", &c)], None, How::Union, Who::ManualReview);
        prop_assert_eq!(&at_once.state, &left.state);
    }

    #[test]
    fn what_is_merged_has_no_wrong_counts_and_lacks_no_phase(
        one in prop::collection::vec(any_event(), 0..40),
        other in prop::collection::vec(any_event(), 0..40),
    ) {
        let (one, other) = (folded(&one), folded(&other));
        for how in HOW {
            let merged = two(&one, &other, None, how, Who::CurrentPriority);
            let found = validate(&merged.state, Context::default());
            let broken = found.iter().find(|one| ["COUNTS_WRONG", "ID_MISMATCH", "TASK_PHASE_UNKNOWN"].contains(&one.code.as_str()));
            prop_assert_eq!(broken, None);
            // What the rules say of the result is said, not hidden.
            prop_assert_eq!(is_valid(&found), found.iter().all(|one| one.severity < wfr_model::finding::Severity::Error));
        }
    }
}
