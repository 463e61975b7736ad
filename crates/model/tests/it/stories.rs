//! What a few events make of a workflow, told as stories.

use serde_json::{Value, json};
use wfr_model::event::Draft;
use wfr_model::workflow::fold::apply;
use wfr_model::workflow::{AgentStatus, Nowhere, PhaseStatus, State, TaskStatus, WorkflowStatus};
use wfr_model::{PhaseId, Timestamp};

/// The state after these lines, and the codes of what was odd.
fn told(lines: &[&str]) -> (State, Vec<String>) {
    let mut state = State::new("wf".parse().unwrap());
    let mut odd = Vec::new();
    for (second, line) in lines.iter().enumerate() {
        let at = Timestamp(second as i64 * 1_000_000_000);
        let event = Draft::read(line).unwrap().complete(|| format!("evt_{second}").parse().unwrap(), at, "test");
        odd.extend(apply(&mut state, &mut Nowhere, &event).unwrap().into_iter().map(|one| one.code));
    }
    (state, odd)
}

fn task(state: &State, id: &str) -> Value {
    serde_json::to_value(state.tasks.get(&id.parse().unwrap()).unwrap()).unwrap()
}

#[test]
fn a_task_fails_and_another_agent_does_it() {
    let (state, odd) = told(&[
        r#"WORKFLOW_CREATED:wf:global:{"name":"Port the parser"}"#,
        "WORKFLOW_STARTED:wf:global:",
        r#"PHASE_STARTED:wf:1:{"phase_name":"Research"}"#,
        r#"TASK_ASSIGNED:wf:1:{"task_id":"t1","agent_id":"a1","description":"read"}"#,
        r#"TASK_STARTED:wf:1:{"task_id":"t1","agent_id":"a1"}"#,
        r#"TASK_FAILED:wf:1:{"task_id":"t1","agent_id":"a1","failure_reason":"no memory","retry_count":1}"#,
        r#"TASK_REASSIGNED:wf:1:{"task_id":"t1","old_agent":"a1","new_agent":"a2","reason":"it failed"}"#,
        r#"TASK_STARTED:wf:1:{"task_id":"t1","agent_id":"a2"}"#,
        r#"TASK_COMPLETED:wf:1:{"task_id":"t1","agent_id":"a2","execution_time":"3m"}"#,
        "PHASE_COMPLETED:wf:1:{}",
    ]);
    assert_eq!(odd, Vec::<String>::new());
    assert_eq!((state.head.status, state.head.state_version), (WorkflowStatus::Running, 10));
    assert_eq!(state.head.current_phase, Some(PhaseId::numbered(1)));
    let phase = state.phases.get(&PhaseId::numbered(1)).unwrap();
    assert_eq!((phase.status, phase.counts.completed, phase.counts.total()), (PhaseStatus::Completed, 1, 1));
    assert_eq!(
        task(&state, "t1"),
        json!({
            "task_id": "t1", "phase_id": 1, "description": "read", "status": "completed", "assigned_agent": "a2",
            "attempts": 2, "retry_count": 1, "started_at": "1970-01-01T00:00:07Z", "completed_at": "1970-01-01T00:00:08Z",
            "execution_time": "3m"
        })
    );
    let agents = ["a1", "a2"].map(|id| state.agents.get(&id.parse().unwrap()).unwrap());
    assert_eq!(agents.map(|agent| (agent.tasks_completed, agent.tasks_failed)), [(0, 1), (1, 0)]);
    assert_eq!(agents.map(|agent| agent.status), [AgentStatus::Idle, AgentStatus::Idle]);
}

#[test]
fn what_is_no_percentage_does_nothing_and_two_phases_are_odd() {
    let (state, odd) = told(&[
        r#"PHASE_PROGRESS:wf:1:{"progress":40}"#,
        r#"PHASE_PROGRESS:wf:1:{"progress":140}"#,
        r#"PHASE_PROGRESS:wf:1:{"progress_percentage":-1}"#,
        r#"PHASE_PROGRESS:wf:2:{"progress":"much"}"#,
        r#"WORKFLOW_STATE_UPDATED:wf:global:{"progress_percentage":20}"#,
        r#"WORKFLOW_STATE_UPDATED:wf:global:{"progress_percentage":120,"name":"x"}"#,
        r#"WORKFLOW_STATE_UPDATED:wf:global:{"phases":{"1":{"progress":-5,"name":"A"}}}"#,
    ]);
    assert_eq!(odd, ["EVENT_FIELD_INVALID"; 5]);
    let head = serde_json::to_value(&state.head).unwrap();
    assert_eq!((&head["progress_percentage"], &head["name"]), (&json!(20), &json!("x")));
    let phase = state.phases.get(&PhaseId::numbered(1)).unwrap();
    assert_eq!((phase.progress.clone(), phase.name.as_deref()), (Some(40.into()), Some("A")));
    assert!(state.phases.get(&PhaseId::numbered(2)).is_none(), "nothing is known to have begun");
    let (state, odd) =
        told(&[r#"PHASE_COMPLETED:wf:1:{"phase_id":7}"#, r#"PHASE_COMPLETED:wf:1:{"phase_id":"phase_1"}"#]);
    assert_eq!(odd.iter().filter(|code| *code == "EVENT_FIELD_INVALID").count(), 1);
    assert!(state.phases.get(&PhaseId::numbered(7)).is_none());
    assert!(Draft::read(r#"TASK_COMPLETED:wf:-1:{"task_id":"t1"}"#).is_err());
}

#[test]
fn what_cannot_be_is_said_and_what_ended_stays() {
    let (state, odd) = told(&[
        r#"TASK_COMPLETED:wf:1:{"task_id":"t1"}"#,
        r#"TASK_STARTED:wf:1:{"task_id":"t1"}"#,
        r#"TASK_STARTED:wf:1:{}"#,
        r#"TASK_STARTED:wf:1:{"task_id":"../t1"}"#,
        "BUILD_FINISHED:wf:1:{}",
        "WORKFLOW_COMPLETED:wf:global:",
        "WORKFLOW_STARTED:wf:global:",
        r#"TASK_FAILED:wf:1:{"task_id":"t2"}"#,
    ]);
    assert_eq!(
        odd,
        [
            "TRANSITION_REFUSED",
            "EVENT_FIELD_MISSING",
            "EVENT_FIELD_INVALID",
            "EVENT_FIELD_MISSING",
            "EVENT_TYPE_UNKNOWN",
            "TRANSITION_ODD",
            "TRANSITION_REFUSED",
            "EVENT_FIELD_MISSING",
            "EVENT_FIELD_MISSING",
            "EVENT_FIELD_MISSING",
            "TRANSITION_ODD"
        ]
    );
    assert_eq!(state.head.status, WorkflowStatus::Completed);
    assert_eq!(state.tasks.get(&"t1".parse().unwrap()).unwrap().status, TaskStatus::Completed);
}

#[test]
fn both_shapes_of_a_state_are_understood() {
    let reference = json!({
        "current_phase": 2, "completed_tasks": 15, "pending_tasks": 3, "failed_tasks": 0,
        "agent_assignments": {"agent_001": {"current_task": "task_016", "status": "in_progress", "progress": 65.5}},
        "resource_allocations": {"cpu_cores": 4, "memory_gb": 8, "active_agents": 6}
    });
    let (state, odd) = told(&[&format!("WORKFLOW_STATE_UPDATED:wf:global:{reference}")]);
    assert_eq!(odd, Vec::<String>::new());
    assert_eq!((state.head.counts.completed, state.head.counts.pending), (15, 3));
    assert_eq!(serde_json::to_value(state.agents.sorted()[0].1).unwrap()["progress"], json!(65.5));
    let hub = json!({
        "id": "wf", "name": "Port", "status": "running", "created_at": "2025-01-15T11:30:00Z", "current_phase": 1,
        "total_phases": 5, "progress_percentage": 12.5,
        "phases": [{"phase_id": 1, "name": "Research", "status": "in_progress", "completed_at": null, "tasks": [
            {"task_id": "t1", "description": "read", "status": "active", "assigned_agent": "a1", "execution_time": 12}]}],
        "agent_assignments": {"a1": {"role": "reader", "current_task": "t1", "performance_score": 0.9, "tasks_completed": 4}},
        "configuration": {"max_agents": 20, "checkpoint_interval": "15m"}, "owner": "me"
    });
    let (state, odd) = told(&[&format!("WORKFLOW_STATE_UPDATED:wf:global:{hub}")]);
    assert_eq!(odd, Vec::<String>::new());
    assert_eq!((state.progress(), state.head.counts.active), (12.5, 1));
    assert_eq!(state.head.extra["owner"], "me");
    assert_eq!(task(&state, "t1")["phase_id"], json!(1));
    for form in [json!(3), json!("phase_3"), json!({"phase_id": 3, "name": "Build", "progress": 40})] {
        let (state, _) = told(&[&format!("WORKFLOW_STATE_UPDATED:wf:global:{}", json!({"current_phase": form}))]);
        assert_eq!(state.head.current_phase, Some(PhaseId::numbered(3)), "{form}");
    }
}

#[test]
fn a_share_that_ended_with_its_workflow_is_not_out_again() {
    let statuses = |events: &[&str]| {
        let (state, _) = told(events);
        state.allocations.sorted().into_iter().map(|(_, share)| share.status.as_str()).collect::<Vec<_>>()
    };
    let given = |release: &str| {
        format!(
            r#"RESOURCE_ALLOCATED:wf:global:{{"allocation_id":"alloc_1","resources":{{"cpu_cores":6}},"auto_release":{release}}}"#
        )
    };
    let (usual, patient) = (given("{}"), given(r#"{"on_failure":true,"grace_period":"2s"}"#));
    let (start, done) = ("WORKFLOW_STARTED:wf:global:{}", "WORKFLOW_COMPLETED:wf:global:{}");
    let (failed, quiet) = ("WORKFLOW_FAILED:wf:global:{}", "SYSTEM_STARTUP:wf:global:{}");
    let again = r#"WORKFLOW_STATE_UPDATED:wf:global:{"status":"running","ended_at":null}"#;
    assert_eq!(statuses(&[start, &usual, done, again]), ["expired"]);
    assert_eq!(statuses(&[start, &patient, failed, quiet, done]), ["expired"]);
    assert_eq!(statuses(&[start, &patient, failed, start]), ["active"], "within its grace");
    assert_eq!(statuses(&[start, &usual, failed, start]), ["active"], "it does not end with a failure");
}
