//! Whether a state makes sense: statuses that contradict each other, times out of order, progress, configuration.
//!
//! Owns these rules. Refuses to know dependencies: see [`super::graph`].

use serde_json::{Number, Value};

use super::super::{Phase, PhaseStatus, TaskStatus, Whole, WorkflowStatus};
use super::Findings;
use super::mend::{Mend, Repair};
use crate::time::{Span, Timestamp};

pub(super) fn check(whole: &Whole, findings: &mut Findings) {
    workflow(whole, findings);
    for phase in whole.phases.values() {
        phase_stands(phase, findings);
    }
    times(whole, findings);
    progresses(whole, findings);
    agents_left(whole, findings);
    configuration(whole, findings);
}

fn workflow(whole: &Whole, findings: &mut Findings) {
    let counts = whole.head.counts;
    let going = whole.phases.values().find(|phase| phase.status == PhaseStatus::InProgress);
    match whole.head.status {
        WorkflowStatus::Completed if counts.active > 0 || going.is_some() => {
            let what =
                going.map_or_else(|| format!("{} tasks", counts.active), |phase| format!("phase {}", phase.phase_id));
            let message = format!("the workflow is completed, and {what} still going on");
            findings.error("WORKFLOW_ENDED_AT_WORK", "status", message, Repair::bold(Mend::RunWorkflow));
        }
        WorkflowStatus::Completed if counts.pending > 0 => {
            let message = format!("the workflow is completed, and {} tasks have not begun", counts.pending);
            findings.warning("WORKFLOW_ENDED_EARLY", "status", message, None);
        }
        WorkflowStatus::Created if counts.active > 0 || going.is_some() => {
            let message = "the workflow has not begun, and work is going on";
            findings.warning("WORKFLOW_NOT_BEGUN", "status", message, Repair::safe(Mend::RunWorkflow));
        }
        _ => {}
    }
}

fn phase_stands(phase: &Phase, findings: &mut Findings) {
    let (id, counts) = (&phase.phase_id, phase.counts);
    let place = format!("phases/{id}/status");
    let begin = || Mend::BeginPhase { phase_id: id.clone() };
    match phase.status {
        PhaseStatus::Completed if counts.active + counts.pending > 0 => {
            let message = format!("phase {id} is completed, and {} tasks are not", counts.active + counts.pending);
            findings.error("PHASE_ENDED_AT_WORK", place, message, Repair::bold(begin()));
        }
        PhaseStatus::Completed if counts.failed > 0 => {
            let message = format!("phase {id} is completed, and {} tasks failed", counts.failed);
            findings.warning("PHASE_WITH_FAILED_TASKS", place, message, None);
        }
        PhaseStatus::Pending if counts.active > 0 => {
            let message = format!("phase {id} has not begun, and {} of its tasks are going on", counts.active);
            findings.warning("PHASE_NOT_BEGUN", place, message, Repair::safe(begin()));
        }
        _ => {}
    }
}

/// Clocks of agents differ, so a beginning after its end is a warning.
fn times(whole: &Whole, findings: &mut Findings) {
    let mut order = |place: String, begun: Option<Timestamp>, ended: Option<Timestamp>| {
        let (Some(begun), Some(ended)) = (begun, ended) else { return };
        if begun > ended {
            let message = format!("it began at {begun} and ended before, at {ended}");
            let at = if place.is_empty() { "started_at".to_owned() } else { format!("{place}/started_at") };
            findings.warning("TIMES_OUT_OF_ORDER", at, message, Repair::bold(Mend::ForgetStart { place }));
        }
    };
    order(String::new(), whole.head.started_at, whole.head.ended_at);
    for (id, phase) in &whole.phases {
        order(format!("phases/{id}"), phase.started_at, phase.completed_at);
    }
    for (id, task) in &whole.tasks {
        order(format!("tasks/{id}"), task.started_at, task.completed_at);
    }
}

fn progresses(whole: &Whole, findings: &mut Findings) {
    let mut range = |place: String, key: &str, progress: &Option<Number>| {
        let Some(said) = progress.as_ref().and_then(Number::as_f64) else { return };
        if !(0.0..=100.0).contains(&said) {
            let at = if place.is_empty() { key.to_owned() } else { format!("{place}/{key}") };
            let message = format!("a progress lies between 0 and 100: {said}");
            findings.error("PROGRESS_OUT_OF_RANGE", at, message, Repair::safe(Mend::ForgetProgress { place }));
        }
    };
    range(String::new(), "progress_percentage", &whole.head.progress_percentage);
    whole.phases.iter().for_each(|(id, phase)| range(format!("phases/{id}"), "progress", &phase.progress));
    whole.tasks.iter().for_each(|(id, task)| range(format!("tasks/{id}"), "progress", &task.progress));
    whole.agents.iter().for_each(|(id, agent)| range(format!("agents/{id}"), "progress", &agent.progress));
}

/// A task that goes on with an agent that has left waits for somebody to take it over.
fn agents_left(whole: &Whole, findings: &mut Findings) {
    for (id, task) in whole.tasks.iter().filter(|(_, task)| task.status == TaskStatus::Active) {
        let Some(agent) = task.assigned_agent.as_ref().and_then(|agent| whole.agents.get(agent)) else { continue };
        if agent.deallocated {
            let message = format!("task {id} is going on with {}, who has left", agent.agent_id);
            findings.warning("TASK_ABANDONED", format!("tasks/{id}/assigned_agent"), message, None);
        }
    }
    let limit = whole.head.configuration.get("max_agents").and_then(Value::as_u64);
    let at_work =
        whole.agents.values().filter(|agent| !agent.deallocated && agent.current_task.is_some()).count() as u64;
    if let Some(limit) = limit.filter(|limit| at_work > *limit) {
        let message = format!("{at_work} agents are at work, and `max_agents` is {limit}");
        findings.warning("AGENTS_BEYOND_CAP", "configuration/max_agents", message, None);
    }
}

/// The keys of the hub's configuration that have a syntax.
fn configuration(whole: &Whole, findings: &mut Findings) {
    for (key, value) in &whole.head.configuration {
        let is_well = match key.as_str() {
            "max_agents" => value.as_u64().is_some_and(|count| count > 0),
            "checkpoint_interval" | "timeout" => match value {
                Value::String(text) => text.parse::<Span>().is_ok(),
                Value::Number(number) => number.as_f64().is_some_and(|seconds| seconds >= 0.0),
                _ => false,
            },
            _ => true,
        };
        if !is_well {
            let message = format!("`{key}` cannot be {value}");
            findings.warning("CONFIGURATION_INVALID", format!("configuration/{key}"), message, None);
        }
    }
}
