//! Random events over few names, so that they meet each other.

use proptest::prelude::*;
use serde_json::{Map, Value, json};
use wfr_model::{Event, EventName, EventType, PhaseId, Timestamp};

/// An event of any type.
pub fn any_event() -> impl Strategy<Value = Event> {
    let name = prop_oneof![
        20 => prop::sample::select(EventType::ALL).prop_map(EventName::Known),
        1 => Just(EventName::Other("BUILD_FINISHED".to_owned())),
    ];
    (name, prop::option::of(0..4_i64), 0..1_000_i64, data()).prop_map(|(event_type, phase, at, data)| Event {
        event_id: format!("evt_{at}").parse().unwrap(),
        event_type,
        workflow_id: Some("wf".parse().unwrap()),
        phase: phase.map(PhaseId::numbered),
        timestamp: Timestamp(at * 1_000_000_000),
        source_component: "test".to_owned(),
        data,
        priority: None,
        ttl_seconds: None,
    })
}

fn data() -> impl Strategy<Value = Map<String, Value>> {
    let field = prop_oneof![
        8 => (0..6_u8).prop_map(|n| ("task_id", json!(format!("t{n}")))),
        6 => (0..3_u8).prop_map(|n| ("agent_id", json!(format!("a{n}")))),
        2 => (0..3_u8).prop_map(|n| ("new_agent", json!(format!("a{n}")))),
        1 => (0..4_u8).prop_map(|n| ("phase_id", json!(n))),
        1 => Just(("failure_reason", json!("it broke"))),
        1 => (0..4_u8).prop_map(|n| ("retry_count", json!(n))),
        1 => (0..100_u8).prop_map(|n| ("progress", json!(n))),
        1 => (0..2_u8).prop_map(|n| ("allocation_id", json!(format!("alloc{n}")))),
        2 => status().prop_map(|status| ("tasks", json!([{"task_id": "t1", "status": status, "phase_id": 2}]))),
        1 => status().prop_map(|status| ("tasks", json!({"t2": {"status": status, "mood": "good"}, "t3": null}))),
        1 => Just(("phases", json!([{"phase_id": 1, "name": "One", "tasks": [{"task_id": "t4"}]}, {"phase_id": 3}]))),
        1 => Just(("agents", json!({"a1": {"role": "tester", "current_task": "t1"}, "a2": null}))),
        1 => Just(("status", json!("paused"))),
        1 => Just(("phases", json!({"1": null, "2": null}))),
        1 => Just(("tasks", json!(17))),
        1 => Just(("task_id", json!("../x"))),
        1 => Just(("current_phase", json!({"phase_id": 2, "progress": 12.5}))),
        1 => Just(("pending_tasks", json!(9))),
    ];
    prop::collection::vec(field, 0..4)
        .prop_map(|fields| fields.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
}

fn status() -> impl Strategy<Value = &'static str> {
    prop::sample::select(&["pending", "active", "completed", "failed", "in_progress", "sideways"][..])
}
