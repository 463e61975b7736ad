//! What each type of event does to a state that is in the midst of its work: every place that changes, and no other.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use wfr_model::Timestamp;
use wfr_model::event::{Draft, EventType};
use wfr_model::workflow::fold::apply;
use wfr_model::workflow::{Nowhere, State};

/// What has happened before: one task is being worked on, one is done, one agent is idle.
const BEFORE: [&str; 7] = [
    r#"WORKFLOW_CREATED:wf:global:{"name":"Port","phases":[{"phase_id":1},{"phase_id":2}]}"#,
    "WORKFLOW_STARTED:wf:global:{}",
    "PHASE_STARTED:wf:1:{}",
    r#"TASK_STARTED:wf:1:{"task_id":"t1","agent_id":"a1"}"#,
    r#"TASK_STARTED:wf:1:{"task_id":"t2","agent_id":"a2"}"#,
    r#"TASK_COMPLETED:wf:1:{"task_id":"t2","agent_id":"a2"}"#,
    r#"RESOURCE_ALLOCATED:wf:global:{"allocation_id":"alloc_1","resources":{"cpu_cores":2}}"#,
];

/// A line and what it changes in the state after [`BEFORE`], place by place.
type Meaning = (&'static str, &'static [(&'static str, &'static str)]);

/// One of each type at least, but for those that say nothing of the state.
const MEANINGS: &[Meaning] = &[
    ("WORKFLOW_PAUSED:wf:global:{}", &[("head/status", "paused")]),
    ("WORKFLOW_COMPLETED:wf:global:{}", &[("head/status", "completed")]),
    (
        r#"WORKFLOW_FAILED:wf:global:{"failure_reason":"no room","recovery_options":[]}"#,
        &[("head/status", "failed"), ("head/failure_reason", "no room")],
    ),
    ("WORKFLOW_CANCELLED:wf:global:{}", &[("head/status", "cancelled")]),
    ("PHASE_STARTED:wf:2:{}", &[("phase 2/status", "in_progress"), ("head/current_phase", "2")]),
    ("PHASE_COMPLETED:wf:1:{}", &[("phase 1/status", "completed")]),
    (
        r#"PHASE_FAILED:wf:1:{"phase_id":1,"failure_reason":"no room","partial_results":"t2"}"#,
        &[("phase 1/status", "failed"), ("phase 1/failure_reason", "no room")],
    ),
    ("PHASE_SKIPPED:wf:2:{}", &[("phase 2/status", "skipped")]),
    (r#"PHASE_PROGRESS:wf:1:{"progress":40}"#, &[("phase 1/progress", "40")]),
    (
        r#"TASK_TIMEOUT:wf:1:{"task_id":"t1","agent_id":"a1","timeout_duration":"5m"}"#,
        &[
            ("t1/status", "failed"),
            ("t1/failure_reason", "timeout after 5m"),
            ("a1/current_task", "-"),
            ("a1/status", "idle"),
            ("a1/tasks_failed", "1"),
            ("phase 1/counts/active", "0"),
            ("phase 1/counts/failed", "1"),
            ("head/counts/active", "0"),
            ("head/counts/failed", "1"),
        ],
    ),
    (r#"AGENT_ALLOCATED:wf:global:{"agent_id":"a2","role":"tester"}"#, &[("a2/role", "tester")]),
    (
        r#"AGENT_ALLOCATED:wf:global:{"agent_id":"a3","specialization":"builder","performance_score":80}"#,
        &[
            ("a3/agent_id", "a3"),
            ("a3/role", "builder"),
            ("a3/status", "idle"),
            ("a3/performance_score", "80"),
            ("a3/tasks_completed", "0"),
            ("a3/tasks_failed", "0"),
        ],
    ),
    (r#"AGENT_DEALLOCATED:wf:global:{"agent_id":"a2"}"#, &[("a2/deallocated", "true")]),
    (
        r#"AGENT_PERFORMANCE_ALERT:wf:global:{"agent_id":"a1","performance_score":31}"#,
        &[("a1/status", "degraded_performance"), ("a1/performance_score", "31")],
    ),
    (
        r#"AGENT_ERROR:wf:global:{"agent_id":"a1","error_type":"crash","error_details":"signal 9"}"#,
        &[("a1/status", "failed"), ("a1/last_error", "signal 9")],
    ),
    (
        r#"AGENT_TIMEOUT:wf:global:{"agent_id":"a1","timeout_duration":"45s","last_response":"-"}"#,
        &[("a1/status", "failed"), ("a1/last_error", "no answer for 45s")],
    ),
    (r#"RESOURCE_DEALLOCATED:wf:global:{"allocation_id":"alloc_1"}"#, &[("alloc_1/status", "released")]),
    (r#"ERROR_ENCOUNTERED:wf:global:{"error_message":"x"}"#, &[("head/errors", "1")]),
    (r#"SYSTEM_ERROR:wf:global:{"error_message":"x"}"#, &[("head/errors", "1")]),
    (r#"WORKFLOW_STATE_UPDATED:wf:global:{"name":"Another"}"#, &[("head/name", "Another")]),
];

/// Those that are recorded for people and analyses, and change nothing of the state.
const SAY_NOTHING: [&str; 7] = [
    r#"RESOURCE_CONFLICT:wf:global:{"conflict_id":"c1","conflicting_requests":[],"severity":"low"}"#,
    r#"RESOURCE_THRESHOLD:wf:global:{"resource_type":"memory","current_usage":91,"threshold":85}"#,
    r#"RESOURCE_OPTIMIZED:wf:global:{"allocation_id":"alloc_1","resources":{"cpu_cores":1}}"#,
    "SYSTEM_STARTUP:wf:global:{}",
    "SYSTEM_SHUTDOWN:wf:global:{}",
    "SYSTEM_THRESHOLD:wf:global:{}",
    "SYSTEM_MAINTENANCE:wf:global:{}",
];

/// A state and the codes of what was odd, after these lines.
fn after(lines: &[&str]) -> (State, Vec<String>) {
    let (mut state, mut odd) = (State::new("wf".parse().unwrap()), vec![]);
    for (second, line) in lines.iter().enumerate() {
        let at = Timestamp(second as i64 * 1_000_000_000);
        let event = Draft::read(line).unwrap().complete(|| format!("evt_{second}").parse().unwrap(), at, "test");
        odd.extend(apply(&mut state, &mut Nowhere, &event).unwrap().into_iter().map(|one| one.code));
    }
    (state, odd)
}

/// Every leaf of a state by its place, but for the version and moments, which follow from the number of events.
fn leaves(state: &State) -> BTreeMap<String, String> {
    let mut parts = vec![("head".to_owned(), json!(state.head))];
    parts.extend(state.phases.sorted().into_iter().map(|(id, part)| (format!("phase {id}"), json!(part))));
    parts.extend(state.tasks.sorted().into_iter().map(|(id, part)| (id.to_string(), json!(part))));
    parts.extend(state.agents.sorted().into_iter().map(|(id, part)| (id.to_string(), json!(part))));
    parts.extend(state.allocations.sorted().into_iter().map(|(id, part)| (id.to_string(), json!(part))));
    let mut found = BTreeMap::new();
    parts.iter().for_each(|(place, part)| note(place, part, &mut found));
    found.retain(|place, _| place != "head/state_version" && !place.ends_with("_at") && !place.ends_with("last_seen"));
    found
}

fn note(place: &str, value: &Value, found: &mut BTreeMap<String, String>) {
    match value {
        Value::Object(fields) => fields.iter().for_each(|(key, value)| note(&format!("{place}/{key}"), value, found)),
        Value::String(text) => drop(found.insert(place.to_owned(), text.clone())),
        other => drop(found.insert(place.to_owned(), other.to_string())),
    }
}

/// What a line changes, with `-` for what is gone.
fn changes(before: &[&str], line: &str) -> BTreeMap<String, String> {
    let (old, new) = (leaves(&after(before).0), leaves(&after(&[before, &[line]].concat()).0));
    let gone = old.keys().filter(|place| !new.contains_key(*place)).map(|place| (place.clone(), "-".to_owned()));
    let other = new.iter().filter(|(place, value)| old.get(*place) != Some(value));
    gone.chain(other.map(|(place, value)| (place.clone(), value.clone()))).collect()
}

fn expected(meaning: &[(&str, &str)]) -> BTreeMap<String, String> {
    meaning.iter().map(|(place, value)| ((*place).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn each_type_changes_what_it_says_and_nothing_else() {
    for (line, meaning) in MEANINGS {
        assert_eq!(changes(&BEFORE, line), expected(meaning), "{line}");
        assert_eq!(after(&[&BEFORE[..], &[line]].concat()).1, Vec::<String>::new(), "{line}");
    }
    for line in SAY_NOTHING {
        assert_eq!(changes(&BEFORE, line), BTreeMap::new(), "{line}");
        assert_eq!(after(&[&BEFORE[..], &[line]].concat()).1, Vec::<String>::new(), "{line}");
    }
}

#[test]
fn what_was_halted_goes_on() {
    let paused = [&BEFORE[..], &["WORKFLOW_PAUSED:wf:global:{}"]].concat();
    let goes_on = changes(&paused, "WORKFLOW_RESUMED:wf:global:{}");
    assert_eq!(goes_on, expected(&[("head/status", "running")]));
    let alert = r#"AGENT_PERFORMANCE_ALERT:wf:global:{"agent_id":"a1"}"#;
    let slow = [&BEFORE[..], &[alert]].concat();
    let well = changes(&slow, r#"AGENT_ALLOCATED:wf:global:{"agent_id":"a1"}"#);
    assert_eq!(well, expected(&[("a1/status", "in_progress")]), "it has its task in hand still");
}

#[test]
fn a_recovery_leaves_its_mark() {
    let id = "rec_0123456789abcdef0123456789abcdef";
    for (listed, status) in
        [("RECOVERY_INITIATED", "initiated"), ("RECOVERY_COMPLETED", "completed"), ("RECOVERY_FAILED", "failed")]
    {
        let line = format!(r#"{listed}:wf:global:{{"recovery_id":"{id}"}}"#);
        let (state, odd) = after(&[&BEFORE[..], &[&line]].concat());
        let mark = state.head.recovery.as_ref().unwrap();
        assert_eq!((mark.status.as_str(), mark.recovery_id.as_ref().unwrap().as_str()), (status, id));
        assert_eq!(odd, Vec::<String>::new());
    }
}

#[test]
fn no_type_is_left_out() {
    let told = "WORKFLOW_CREATED WORKFLOW_STARTED WORKFLOW_RESUMED TASK_ASSIGNED TASK_STARTED TASK_COMPLETED TASK_FAILED \
                TASK_REASSIGNED RESOURCE_ALLOCATED RECOVERY_INITIATED RECOVERY_COMPLETED RECOVERY_FAILED";
    let lines = MEANINGS.iter().map(|(line, _)| *line).chain(SAY_NOTHING);
    let here: Vec<&str> = lines.filter_map(|line| line.split(':').next()).chain(told.split(' ')).collect();
    let missing = EventType::ALL.iter().filter(|listed| !here.contains(&listed.as_str()));
    assert_eq!(missing.collect::<Vec<_>>(), Vec::<&EventType>::new(), "those of tasks are told in the stories");
}
