//! Events and states: order, repetition, what is kept between transactions.

use wfr_catalog::{Appended, Catalog, Decision, EventQuery, EventSeq, PartKind};
use wfr_model::event::Draft;
use wfr_model::workflow::{Agent, Task, TaskStatus};
use wfr_model::{Event, PhaseId, Timestamp};

use crate::sample::{at, op, wf};

type Make<'a> = &'a dyn Fn() -> Catalog;

/// The event of a line, whose id has this number.
fn event(number: u64, line: &str) -> Event {
    let id = format!("evt_{number:04}");
    Draft::read(line).unwrap().complete(|| id.parse().unwrap(), at(number as i64), "tester")
}

fn told(catalog: &Catalog, first: u64, lines: &[&str]) -> Vec<Appended> {
    let events: Vec<Event> = (first..).zip(lines).map(|(number, line)| event(number, line)).collect();
    catalog.append_events(&events, at(1_000)).unwrap()
}

const STORY: &[&str] = &[
    r#"WORKFLOW_CREATED:one:global:{"name":"One","phases":[{"phase_id":1,"name":"Research"}]}"#,
    "SYSTEM_STARTUP:global:global:{}",
    r#"TASK_STARTED:one:1:{"task_id":"t1","agent_id":"a1"}"#,
    r#"TASK_STARTED:two:1:{"task_id":"t1"}"#,
    r#"TASK_COMPLETED:one:1:{"task_id":"t1","agent_id":"a1"}"#,
    r#"TASK_STARTED:one:1:{"task_id":"t1","agent_id":"a1"}"#,
];

pub fn events_are_kept_in_one_order(make: Make<'_>) {
    let catalog = make();
    assert_eq!(catalog.last_event().unwrap(), None);
    let seqs: Vec<EventSeq> = told(&catalog, 1, STORY)
        .into_iter()
        .map(|appended| match appended {
            Appended::New { seq, .. } => seq,
            Appended::Known { .. } => panic!("it is new"),
        })
        .collect();
    assert!(seqs.windows(2).all(|pair| pair[0] < pair[1]));
    let rows = catalog.events(&EventQuery::default()).unwrap();
    assert_eq!(rows.iter().map(|row| row.seq).collect::<Vec<_>>(), seqs);
    assert_eq!(rows[2].event, event(3, STORY[2]));
    assert_eq!(rows[2].recorded_at, at(1_000));
    assert_eq!(rows[5].odd[0].code, "TRANSITION_REFUSED");
    assert_eq!(catalog.last_event().unwrap(), seqs.last().copied());
    let of = |query: &EventQuery| catalog.events(query).unwrap().iter().map(|row| row.seq).collect::<Vec<_>>();
    assert_eq!(of(&EventQuery { workflow: Some(wf("two")), ..EventQuery::default() }), [seqs[3]]);
    assert_eq!(of(&EventQuery { after: Some(seqs[3]), upto: Some(seqs[4]), ..EventQuery::default() }), [seqs[4]]);
    assert_eq!(of(&EventQuery { descending: true, limit: Some(2), ..EventQuery::default() }), [seqs[5], seqs[4]]);
    assert_eq!(of(&EventQuery { odd: true, ..EventQuery::default() }), [seqs[5]]);
    let types = vec!["task.completed".parse().unwrap(), "SYSTEM_STARTUP".parse().unwrap()];
    assert_eq!(of(&EventQuery { types, ..EventQuery::default() }), [seqs[1], seqs[4]]);
    assert_eq!(of(&EventQuery { since: Some(Timestamp(at(1_000).0 + 1)), ..EventQuery::default() }), []);
}

pub fn a_repeated_event_changes_nothing(make: Make<'_>) {
    let catalog = make();
    told(&catalog, 1, STORY);
    let before = catalog.state(&wf("one")).unwrap().unwrap().head;
    let answers = told(&catalog, 1, STORY);
    assert!(answers.iter().all(|answer| *answer == Appended::Known { differs: false }));
    assert_eq!(catalog.state(&wf("one")).unwrap().unwrap().head, before);
    assert!(catalog.has_event(&"evt_0001".parse().unwrap()).unwrap());
    // Within one call, too.
    let twice = [event(90, STORY[1]), event(90, STORY[1])];
    let answers = catalog.append_events(&twice, at(1)).unwrap();
    assert!(matches!(answers[..], [Appended::New { .. }, Appended::Known { differs: false }]));
    // The id is what counts; that it was used for something else is said.
    for other in [r#"TASK_STARTED:one:1:{"task_id":"t2"}"#, r#"TASK_STARTED:two:1:{"task_id":"t1","agent_id":"a1"}"#] {
        let answers = catalog.append_events(&[event(3, other)], at(2)).unwrap();
        assert_eq!(answers, [Appended::Known { differs: true }], "{other}");
    }
}

pub fn a_state_is_what_its_events_make_of_it(make: Make<'_>) {
    let (at_once, one_by_one) = (make(), make());
    told(&at_once, 1, STORY);
    for (number, line) in (1..).zip(STORY) {
        told(&one_by_one, number, &[line]);
    }
    for catalog in [&at_once, &one_by_one] {
        assert!(catalog.has_workflow(&wf("two")).unwrap() && !catalog.has_workflow(&wf("global")).unwrap());
        let state = catalog.state(&wf("one")).unwrap().unwrap();
        assert_eq!((state.head.state_version, state.head.counts.completed), (4, 1));
        assert_eq!(state.phases.get(&PhaseId::numbered(1)).unwrap().name.as_deref(), Some("Research"));
        let tasks: Vec<Task> = catalog.parts(&wf("one"), PartKind::Task).unwrap();
        assert_eq!((tasks.len(), tasks[0].status, tasks[0].attempts), (1, TaskStatus::Completed, 1));
        let agents: Vec<Agent> = catalog.parts(&wf("one"), PartKind::Agent).unwrap();
        assert_eq!((agents.len(), agents[0].tasks_completed), (1, 1));
    }
    let heads = [&at_once, &one_by_one].map(|catalog| catalog.state(&wf("one")).unwrap().unwrap().head);
    assert_eq!(heads[0], heads[1]);
    let over = at_once.state_seq(&wf("one")).unwrap();
    let decided = |over| {
        let audit = op(1_000, "repair-state");
        at_once
            .mend_state(&Decision { workflow: &wf("one"), over, recovery: None, audit: &audit }, &[], None, at(1_000))
            .unwrap()
    };
    assert_eq!(decided(over.map(|seq| seq - 1)), None, "the state is another one by now");
    assert_eq!(decided(over), Some(vec![]));
    assert_eq!(at_once.state(&wf("one")).unwrap().unwrap().head, heads[0]);
    assert_eq!(at_once.parts::<Task>(&wf("one"), PartKind::Task).unwrap().len(), 1);
    assert!(at_once.state(&wf("three")).unwrap().is_none());
}

pub fn parts_that_are_gone_stay_gone(make: Make<'_>) {
    let catalog = make();
    told(
        &catalog,
        1,
        &[r#"WORKFLOW_STATE_UPDATED:one:global:{"tasks":{"t1":{},"t2":{"phase_id":3}},"agents":{"a":{}}}"#],
    );
    told(&catalog, 2, &[r#"WORKFLOW_STATE_UPDATED:one:global:{"tasks":{"t1":null},"agents":{"a":null}}"#]);
    let tasks: Vec<Task> = catalog.parts(&wf("one"), PartKind::Task).unwrap();
    assert_eq!(tasks.iter().map(|task| task.task_id.as_str()).collect::<Vec<_>>(), ["t2"]);
    assert_eq!(catalog.parts::<Agent>(&wf("one"), PartKind::Agent).unwrap(), []);
    let state = catalog.state(&wf("one")).unwrap().unwrap();
    assert_eq!((state.head.tasks_known, state.head.counts.pending), (1, 1));
    assert_eq!(state.phases.get(&PhaseId::numbered(3)).unwrap().counts.pending, 1);
}
