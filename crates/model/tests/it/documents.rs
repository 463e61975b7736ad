//! Documents of siblings: what is written is read back.

use proptest::prelude::*;
use serde_json::{Value, json};
use wfr_model::event::Draft;
use wfr_model::workflow::document::{to_hub, to_reference};
use wfr_model::workflow::fold::{Anomaly, apply};
use wfr_model::workflow::{Nowhere, State, Whole};
use wfr_model::{Event, Timestamp};

use crate::events::any_event;

/// An update with this data.
pub fn update(data: &Value) -> Event {
    let text = format!("WORKFLOW_STATE_UPDATED:wf:global:{data}");
    Draft::read(&text).unwrap().complete(|| "evt_u".parse().unwrap(), Timestamp(9), "test")
}

/// What an empty state becomes by an update with this data, and what was odd about it.
pub fn read(data: &Value) -> (Whole, Vec<Anomaly>) {
    let mut state = State::new("wf".parse().unwrap());
    let odd = apply(&mut state, &mut Nowhere, &update(data)).unwrap();
    (Whole::of(&state), odd)
}

/// The state that these events give.
pub fn folded(events: &[Event]) -> Whole {
    let mut state = State::new("wf".parse().unwrap());
    for event in events {
        apply(&mut state, &mut Nowhere, event).unwrap();
    }
    Whole::of(&state)
}

proptest! {
    #[test]
    fn a_hubs_document_is_the_state(events in prop::collection::vec(any_event(), 0..60)) {
        let whole = folded(&events);
        let (read, odd) = read(&to_hub(&whole));
        prop_assert_eq!(odd, vec![]);
        prop_assert!(read.says_the_same(&whole), "{:?}\n{:?}\n{:#}", read, whole, to_hub(&whole));
    }

    #[test]
    fn the_references_document_can_be_read(events in prop::collection::vec(any_event(), 0..60)) {
        let whole = folded(&events);
        let (read, odd) = read(&to_reference(&whole));
        prop_assert_eq!(odd, vec![]);
        prop_assert_eq!(&read.head.current_phase, &whole.head.current_phase);
        prop_assert_eq!(read.head.counts, whole.head.counts);
        for (id, agent) in &read.agents {
            prop_assert_eq!(&agent.current_task, &whole.agents[id].current_task);
            prop_assert_eq!(agent.status, whole.agents[id].status);
        }
    }
}

#[test]
fn a_hubs_own_document_comes_back_with_its_fields() {
    let doc = json!({
        "id": "wf", "name": "Port", "status": "running", "created_at": "2025-01-15T11:30:00Z",
        "updated_at": "2025-01-15T11:31:00Z", "current_phase": 1, "total_phases": 5, "progress_percentage": 12.5,
        "phases": [{"phase_id": 1, "name": "Research", "status": "in_progress",
            "started_at": "2025-01-15T11:30:00Z", "completed_at": null, "tasks": [
            {"task_id": "t1", "description": "read", "status": "active", "assigned_agent": "a1", "execution_time": null}]}],
        "agent_assignments": {"a1": {"role": "reader", "current_task": "t1", "performance_score": 0.9, "tasks_completed": 4}},
        "dependencies": {"external": ["nix"], "internal": []},
        "configuration": {"max_agents": 20, "checkpoint_interval": "15m", "timeout": "4h", "priority": "high"},
        "metrics": {"total_execution_time": 12, "tasks_completed": 4, "tasks_failed": 0,
            "agent_efficiency": {"a1": 0.9}, "resource_utilization": {"cpu": 30.5}},
        "owner": "me"
    });
    let (whole, odd) = read(&doc);
    assert_eq!(odd, vec![]);
    let written = to_hub(&whole);
    let missing = lost(&doc, &written, "");
    assert_eq!(missing, Vec::<String>::new(), "{written:#}");
    assert!(written.get("wfr").is_none(), "the hub has words for all of it: {written:#}");
}

/// Places of the first document whose values the second has not.
fn lost(from: &Value, to: &Value, at: &str) -> Vec<String> {
    match (from, to) {
        (Value::Object(from), Value::Object(_)) => {
            from.iter().flat_map(|(key, value)| lost(value, &to[key.as_str()], &format!("{at}/{key}"))).collect()
        }
        (Value::Array(from), Value::Array(to)) if from.len() == to.len() => {
            from.iter().zip(to).enumerate().flat_map(|(n, (a, b))| lost(a, b, &format!("{at}/{n}"))).collect()
        }
        (from, to) if from == to => vec![],
        _ => vec![format!("{at}: {from} became {to}")],
    }
}

#[test]
fn what_a_hub_changes_counts_and_what_it_computes_does_not() {
    let (whole, _) = read(&json!({"tasks": {"t1": {"phase_id": 1}, "t2": {"phase_id": 1, "status": "completed"}}}));
    let mut doc = to_hub(&whole);
    assert_eq!((&doc["progress_percentage"], &doc["total_phases"]), (&json!(50), &json!(1)));
    doc["phases"][0]["tasks"][0]["status"] = json!("completed");
    let (read_again, _) = read(&doc);
    assert_eq!(read_again.head.counts.completed, 2);
    assert_eq!(read_again.head.progress_percentage, None, "it follows from the tasks");
    doc["progress_percentage"] = json!(99);
    let (read_again, _) = read(&doc);
    assert_eq!(serde_json::to_value(&read_again.head).unwrap()["progress_percentage"], json!(99));
}

#[test]
fn the_references_summary_counts_shares_and_agents() {
    let (whole, _) = read(&json!({
        "current_phase": 2,
        "tasks": {"t1": {"status": "active", "assigned_agent": "a1"}, "t2": {"status": "failed"}},
        "agents": {"a1": {"current_task": "t1", "status": "in_progress", "progress": 65.5}, "a2": {"deallocated": true}},
        "allocations": {
            "x": {"resources": {"cpu_cores": 4, "memory_gb": 1.5}},
            "y": {"resources": {"memory_gb": 1}},
            "z": {"resources": {"memory_gb": 9}, "status": "released"}
        }
    }));
    let expected = json!({
        "current_phase": 2, "completed_tasks": 0, "pending_tasks": 0, "active_tasks": 1, "failed_tasks": 1,
        "agent_assignments": {"a1": {"current_task": "t1", "status": "in_progress", "progress": 65.5}},
        "resource_allocations": {"cpu_cores": 4, "memory_gb": 2.5, "active_agents": 1}
    });
    assert_eq!(to_reference(&whole), expected);
}
