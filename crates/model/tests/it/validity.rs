//! What is wrong with a state is found, and mending it makes nothing worse.

use proptest::prelude::*;
use serde_json::{Value, json};
use wfr_model::Event;
use wfr_model::workflow::Whole;
use wfr_model::workflow::validate::mend::{Strategy, repaired};
use wfr_model::workflow::validate::{Context, Layer, Layers, StateFinding, is_valid, validate};

use crate::documents::{folded, read};
use crate::events::any_event;

fn found(data: &Value) -> Vec<StateFinding> {
    validate(&read(data).0, Context::default())
}

fn codes(findings: &[StateFinding]) -> Vec<(&str, &str)> {
    findings.iter().map(|finding| (finding.code.as_str(), finding.place.as_str())).collect()
}

#[test]
fn a_state_that_can_be_has_no_findings() {
    let both = [
        json!({
            "current_phase": 2, "completed_tasks": 15, "pending_tasks": 3, "failed_tasks": 0,
            "agent_assignments": {"agent_001": {"current_task": "task_016", "status": "in_progress", "progress": 65.5}},
            "resource_allocations": {"cpu_cores": 4, "memory_gb": 8, "active_agents": 6}
        }),
        json!({
            "id": "wf", "status": "running", "current_phase": 1, "total_phases": 5, "progress_percentage": 12.5,
            "phases": [{"phase_id": 1, "status": "in_progress", "tasks": [
                {"task_id": "t1", "status": "active", "assigned_agent": "a1"},
                {"task_id": "t2", "dependencies": ["t1", "1"]}]}],
            "agent_assignments": {"a1": {"current_task": "t1", "tasks_completed": 4}},
            "configuration": {"max_agents": 20, "checkpoint_interval": "15m", "timeout": "4h"}
        }),
    ];
    for data in &both {
        assert_eq!(found(data), vec![], "{data}");
    }
}

/// No update sets one; a state of before may have it.
#[test]
fn a_progress_out_of_range_is_found() {
    let findings = found(&json!({"replace": {
        "head": {"workflow_id": "wf", "progress_percentage": 130},
        "tasks": {"t1": {"task_id": "t1", "progress": -1}}}}));
    let expected = [("PROGRESS_OUT_OF_RANGE", "progress_percentage"), ("PROGRESS_OUT_OF_RANGE", "tasks/t1/progress")];
    assert_eq!(codes(&findings), expected);
}

#[test]
fn contradictions_are_found_where_they_are() {
    let findings = found(&json!({
        "status": "completed", "current_phase": 9, "total_phases": 1, "format_version": 7,
        "started_at": "2025-01-15T12:00:00Z", "ended_at": "2025-01-15T11:00:00Z",
        "phases": [
            {"phase_id": 1, "status": "completed", "dependencies": ["2"]},
            {"phase_id": 2, "dependencies": [1, "nowhere"]}],
        "tasks": {
            "t1": {"phase_id": 1, "status": "active", "assigned_agent": "a1"},
            "t2": {"phase_id": 1, "status": "completed", "dependencies": ["t3"], "attempts": 1, "retry_count": 4},
            "t3": {"phase_id": 2, "dependencies": ["t2"]}},
        "agents": {
            "a1": {"current_task": "t1", "status": "in_progress", "deallocated": true},
            "a2": {"current_task": "t1", "status": "in_progress"},
            "a3": {"current_task": "t2"},
            "a4": {"status": "in_progress"},
            "a5": {"current_task": "t3"}},
        "allocations": {"x": {"resources": {"cpu_cores": -1, "memory_gb": 99}, "priority": 300}},
        "configuration": {"timeout": "soon", "max_agents": 1}
    }));
    let expected = [
        ("AGENT_GONE_AT_WORK", "agents/a1/current_task"),
        ("AGENT_TASK_NOT_ITS_OWN", "agents/a2/current_task"),
        ("AGENT_TASK_ENDED", "agents/a3/current_task"),
        ("AGENT_WITHOUT_TASK", "agents/a4/status"),
        ("AGENT_TASK_NOT_BEGUN", "agents/a5/current_task"),
        ("ALLOCATIONS_BEYOND_CAP", "allocations"),
        ("PRIORITY_OUT_OF_RANGE", "allocations/x/priority"),
        ("ALLOCATION_IMPOSSIBLE", "allocations/x/resources/cpu_cores"),
        ("CURRENT_PHASE_UNKNOWN", "current_phase"),
        ("ATTEMPTS_IMPOSSIBLE", "tasks/t2/attempts"),
        ("AGENTS_BEYOND_CAP", "configuration/max_agents"),
        ("CONFIGURATION_INVALID", "configuration/timeout"),
        ("PHASE_ENDED_AT_WORK", "phases/1/status"),
        ("DEPENDENCY_CYCLE", "phases/2/dependencies"),
        ("DEPENDENCY_DANGLING", "phases/2/dependencies"),
        ("TIMES_OUT_OF_ORDER", "started_at"),
        ("WORKFLOW_ENDED_AT_WORK", "status"),
        ("TASK_ABANDONED", "tasks/t1/assigned_agent"),
        ("BEGUN_BEFORE_DEPENDENCY", "tasks/t2/dependencies"),
        ("DEPENDENCY_CYCLE", "tasks/t3/dependencies"),
        ("STATE_FORMAT_LATER", "format_version"),
        ("TOTAL_PHASES_TOO_FEW", "total_phases"),
    ];
    assert_eq!(codes(&findings), expected);
}

#[test]
fn two_agents_on_one_task_are_found_with_and_without_its_owner() {
    let agents = json!({"a1": {"current_task": "t1"}, "a2": {"current_task": "t1"}});
    let unowned = found(&json!({"agents": agents}));
    assert_eq!(codes(&unowned), [("TASK_SHARED", "agents/a1/current_task")]);
    assert!(!unowned[0].repair.as_ref().unwrap().safe, "who of them it belongs to is not known");
    let owned = found(&json!({"agents": agents, "status": "running",
        "tasks": {"t1": {"status": "active", "assigned_agent": "a1"}}}));
    let expected = [("AGENT_TASK_NOT_ITS_OWN", "agents/a2/current_task"), ("TASK_SHARED", "agents/a2/current_task")];
    assert_eq!(codes(&owned), expected);
    assert!(owned.iter().all(|finding| finding.repair.as_ref().unwrap().safe));
}

#[test]
fn damaged_parts_are_found() {
    let (mut whole, _) = read(&json!({"status": "running", "current_phase": 1,
        "tasks": {"t1": {"phase_id": 1}, "t2": {"phase_id": 1}}}));
    whole.head.counts.completed = 7;
    whole.phases.values_mut().for_each(|phase| phase.counts.pending = 1);
    whole.tasks.get_mut(&"t1".parse().unwrap()).unwrap().task_id = "other".parse().unwrap();
    let context = Context { events: Some(9), layers: Layers { semantic: false, cross_reference: true } };
    let findings = validate(&whole, context);
    let expected = [
        ("COUNTS_WRONG", "counts"),
        ("COUNTS_WRONG", "phases/1/counts"),
        ("ID_MISMATCH", "tasks/t1/task_id"),
        ("STATE_VERSION_BEHIND", "state_version"),
    ];
    assert_eq!(codes(&findings), expected);
    assert!(findings.iter().all(|finding| finding.layer != Layer::Semantic));
    let repair = serde_json::to_value(&findings[0].repair).unwrap();
    assert_eq!(repair, json!({"action": "fold_again", "safe": true}));
}

#[test]
fn long_chains_of_dependencies_are_walked() {
    let waits = |n: usize| json!({"dependencies": if n == 0 { vec![] } else { vec![format!("t{}", n - 1)] }});
    let tasks: serde_json::Map<String, Value> = (0..20_000).map(|n| (format!("t{n}"), waits(n))).collect();
    assert_eq!(found(&json!({"tasks": tasks})), vec![]);
}

/// Findings that name a repair of the strategy.
fn mendable(whole: &Whole, strategy: Strategy) -> Vec<StateFinding> {
    let mut findings = validate(whole, Context::default());
    findings.retain(|finding| finding.repair.as_ref().is_some_and(|repair| strategy.takes(repair)));
    findings
}

proptest! {
    #[test]
    fn repair_makes_nothing_worse_and_leaves_nothing_to_do(events in prop::collection::vec(any_event(), 0..60)) {
        let events: Vec<Event> = events;
        let whole = folded(&events);
        let before = validate(&whole, Context::default());
        for strategy in [Strategy::Conservative, Strategy::Aggressive] {
            let (mended, done) = repaired(&whole, Context::default(), strategy);
            let after = validate(&mended, Context::default());
            prop_assert!(!is_valid(&before) || is_valid(&after), "{before:?}\n{after:?}");
            prop_assert_eq!(mendable(&mended, strategy), vec![]);
            prop_assert_eq!(done.is_empty(), mended == whole);
            prop_assert_eq!(&repaired(&mended, Context::default(), strategy).0, &mended);
            let errors = |found: &[StateFinding]| found.iter().filter(|one| !is_valid(&[(*one).clone()])).count();
            prop_assert!(errors(&after) <= errors(&before), "{before:?}\n{after:?}");
        }
    }
}
