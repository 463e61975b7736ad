//! How a workflow stands, at the cost of what is shown, whatever its size.
//!
//! Owns what is looked at and how much of it. Refuses to invent a figure that nobody said, and to render any.

use std::time::Duration;

use serde_json::{Map, Number, Value};
use wfr_catalog::{Catalog, CatalogError, CheckpointRow, EventQuery, EventRow, Notable, PartKind, ReferenceError};
use wfr_model::workflow::{Agent, Head, Phase, PhaseStatus, State, Task, TaskCounts, TaskStatus, percent};
use wfr_model::{PhaseId, Span, Timestamp, WorkflowId};

use crate::results::{
    AgentLine, CurrentPhase, EventLine, LastCheckpoint, PhaseLine, Resources, StatusDocument, StatusShown, TaskLine,
};

/// Agents that are shown.
const AGENTS_MAX: u32 = 200;
/// Tasks that are shown.
const TASKS_MAX: usize = 20;
/// A workflow of no more tasks is looked at whole.
const SMALL: u64 = 500;
/// Tasks of each notable kind that are looked at in a larger one.
const NOTABLE_MAX: u32 = 200;
/// Events that are shown.
const EVENTS_MAX: u32 = 10;

/// How a workflow stands, at one moment.
pub fn of(catalog: &Catalog, workflow: &WorkflowId, now: Timestamp) -> Result<StatusShown, CatalogError> {
    catalog.unchanging(|| {
        let state = catalog.state(workflow)?.unwrap_or_else(|| State::new(workflow.clone()));
        let current = state.head.current_phase.as_ref().and_then(|id| state.phases.get(id));
        let document = StatusDocument {
            workflow_id: workflow.clone(),
            name: state.head.name.clone(),
            status: state.head.status,
            overall_progress: state.progress(),
            health_score: said(&state.head, &["health_score"]),
            runtime: runtime(&state.head, now),
            estimated_completion: completion(&state.head, current),
            current_phase: current.map(current_phase),
            agents: agents(catalog, workflow)?,
            resources: resources(&state.head),
            recent_events: events(catalog, workflow)?,
            last_checkpoint: last_checkpoint(catalog, workflow)?,
        };
        Ok(StatusShown {
            workflow_status: document,
            state_version: state.head.state_version,
            last_seq: catalog.state_seq(workflow)?,
            phases: state.phases.sorted().into_iter().map(|(_, phase)| phase_line(phase)).collect(),
            tasks: tasks(catalog, workflow, &state.head, current.map(|phase| &phase.phase_id))?,
            task_counts: state.head.counts,
            failure_reason: state.head.failure_reason.clone(),
            errors: state.head.errors,
            writers: vec![],
            processes_unread: 0,
            clients: vec![],
        })
    })
}

/// For how long it has been running, or ran, to the second.
fn runtime(head: &Head, now: Timestamp) -> Option<String> {
    let nanos = head.ended_at.unwrap_or(now).0.saturating_sub(head.started_at?.0);
    let seconds = u64::try_from(nanos).unwrap_or(0) / 1_000_000_000;
    Some(Span::Finite(Duration::from_secs(seconds)).to_string())
}

fn completion(head: &Head, current: Option<&Phase>) -> Option<Value> {
    let of = |extra: &Map<String, Value>| extra.get("estimated_completion").filter(|value| !value.is_null()).cloned();
    of(&head.extra).or_else(|| of(&current?.extra))
}

/// How far a phase is: what somebody said, else tasks done of tasks known, else whether it has ended.
fn progress(phase: &Phase) -> f64 {
    let ended = matches!(phase.status, PhaseStatus::Completed | PhaseStatus::Skipped);
    if ended {
        return 100.0;
    }
    let said = phase.progress.as_ref().and_then(Number::as_f64);
    said.unwrap_or_else(|| percent(phase.counts.completed, phase.counts.total()))
}

fn current_phase(phase: &Phase) -> CurrentPhase {
    let TaskCounts { pending, active, completed, .. } = phase.counts;
    CurrentPhase {
        id: phase.phase_id.clone(),
        name: phase.name.clone(),
        progress: progress(phase),
        tasks_total: phase.counts.total(),
        tasks_completed: completed,
        tasks_active: active,
        tasks_pending: pending,
    }
}

fn phase_line(phase: &Phase) -> PhaseLine {
    PhaseLine {
        id: phase.phase_id.clone(),
        name: phase.name.clone(),
        status: phase.status,
        progress: progress(phase),
        tasks: phase.counts,
    }
}

fn agents(catalog: &Catalog, workflow: &WorkflowId) -> Result<Vec<AgentLine>, CatalogError> {
    let mut agents: Vec<Agent> = catalog.first_parts(workflow, PartKind::Agent, AGENTS_MAX)?;
    agents.retain(|agent| !agent.deallocated);
    agents.sort_by(|a, b| a.agent_id.cmp(&b.agent_id));
    let line = |agent: Agent| AgentLine {
        queue_size: agent.extra.get("queue_size").and_then(number),
        id: agent.agent_id,
        status: agent.status,
        current_task: agent.current_task,
        performance_score: agent.performance_score,
    };
    Ok(agents.into_iter().map(line).collect())
}

/// Tasks of the current phase, or of all where none is known: those being worked on, those that failed, those to come, those
/// done.
fn tasks(
    catalog: &Catalog,
    workflow: &WorkflowId,
    head: &Head,
    current: Option<&PhaseId>,
) -> Result<Vec<TaskLine>, CatalogError> {
    let mut tasks: Vec<Task> = if head.tasks_known <= SMALL {
        catalog.parts(workflow, PartKind::Task)?
    } else {
        let mut notable = catalog.notable_tasks(workflow, Notable::Active, NOTABLE_MAX)?;
        notable.extend(catalog.notable_tasks(workflow, Notable::Failed, NOTABLE_MAX)?);
        notable
    };
    tasks.retain(|task| current.is_none() || task.phase_id.as_ref() == current);
    let rank = |task: &Task| match task.status {
        TaskStatus::Active => 0,
        TaskStatus::Failed => 1,
        TaskStatus::Pending => 2,
        TaskStatus::Completed => 3,
    };
    tasks.sort_by(|a, b| (rank(a), &a.task_id).cmp(&(rank(b), &b.task_id)));
    tasks.truncate(TASKS_MAX);
    let line = |task: Task| TaskLine {
        id: task.task_id,
        status: task.status,
        agent: task.assigned_agent,
        description: task.description,
        failure_reason: task.failure_reason,
    };
    Ok(tasks.into_iter().map(line).collect())
}

/// What is used of the machine, where somebody said it in a unit that is known.
fn resources(head: &Head) -> Resources {
    Resources {
        cpu_percent: said(head, &["cpu_percent", "cpu_utilization", "cpu_usage"]),
        memory_percent: said(head, &["memory_percent", "memory_utilization"]),
        storage_used_gb: said(head, &["storage_used_gb"]),
    }
}

/// A figure by the first of these names under which it was measured or synchronised.
fn said(head: &Head, names: &[&str]) -> Option<Number> {
    let groups = [&head.metrics, &head.extra];
    let inner = groups.iter().flat_map(|group| {
        ["resource_utilization", "resource_usage"].iter().filter_map(|key| group.get(*key).and_then(Value::as_object))
    });
    let mut places = groups.iter().copied().chain(inner);
    places.find_map(|place| names.iter().find_map(|name| place.get(*name).and_then(number)))
}

fn number(value: &Value) -> Option<Number> {
    match value {
        Value::Number(number) => Some(number.clone()),
        _ => None,
    }
}

fn events(catalog: &Catalog, workflow: &WorkflowId) -> Result<Vec<EventLine>, CatalogError> {
    let query = EventQuery {
        workflow: Some(workflow.clone()),
        descending: true,
        limit: Some(EVENTS_MAX),
        ..EventQuery::default()
    };
    Ok(catalog.events(&query)?.into_iter().rev().map(event_line).collect())
}

/// An event of the log as it is shown.
pub fn event_line(row: EventRow) -> EventLine {
    EventLine { seq: row.seq.0, recorded_at: row.recorded_at, odd: row.odd, event: row.event }
}

/// The newest one that somebody took: what a recovery saved before it began is nobody's.
fn last_checkpoint(catalog: &Catalog, workflow: &WorkflowId) -> Result<Option<LastCheckpoint>, CatalogError> {
    match catalog.latest(workflow) {
        Ok(row) => Ok(row.map(|CheckpointRow { checkpoint_id, name, created_at, .. }| LastCheckpoint {
            checkpoint_id,
            name,
            created_at,
        })),
        Err(ReferenceError::Catalog(error)) => Err(error),
        Err(_) => Ok(None),
    }
}
