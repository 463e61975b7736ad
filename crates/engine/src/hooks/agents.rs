//! Sessions, agents and tasks as a client tells of them, as events of a workflow.
//!
//! Owns which event each of them becomes. Refuses to touch changes.

use serde_json::json;
use wfr_clients::{Call, Does};
use wfr_model::TaskId;

use super::{MAIN, Speaker, calls, name};
use crate::error::Failure;

/// A session begins, or goes on: so does its workflow. What sessions before it left open, whose clients are dead, ends.
pub(super) fn session_begins(speaker: &Speaker<'_>) -> Result<(), Failure> {
    let is_known = super::workflow_of(speaker.client, &speaker.said.session)
        .map(|workflow| speaker.open.catalog.has_workflow(&workflow))
        .transpose()?
        .unwrap_or(false);
    let event = if is_known { "WORKFLOW_RESUMED" } else { "WORKFLOW_STARTED" };
    speaker.tell(
        event,
        json!({"name": format!("{} session", speaker.client.as_str()), "client": speaker.client.as_str()}),
    )?;
    speaker.tell("AGENT_ALLOCATED", json!({"agent_id": MAIN, "agent_type": speaker.client.as_str()}))?;
    calls::settle_dead(speaker)?;
    speaker.look()
}

/// An agent begins: what it does is a task of its own.
pub(super) fn begins(speaker: &Speaker<'_>) -> Result<(), Failure> {
    let Some(agent) = speaker.author().agent_id else { return Ok(()) };
    let kind = speaker.said.agent.as_ref().and_then(|agent| agent.kind.clone());
    speaker.tell("AGENT_ALLOCATED", json!({"agent_id": agent, "agent_type": kind}))?;
    let task: Option<TaskId> = agent.as_str().parse().ok();
    speaker.tell("TASK_STARTED", json!({"task_id": task, "agent_id": agent}))?;
    Ok(speaker.desk.takes(&agent, task)?)
}

/// An agent ends.
pub(super) fn ends(speaker: &Speaker<'_>) -> Result<(), Failure> {
    let Some(agent) = speaker.author().agent_id else { return Ok(()) };
    speaker.tell("TASK_COMPLETED", json!({"task_id": agent, "agent_id": agent}))?;
    speaker.tell("AGENT_DEALLOCATED", json!({"agent_id": agent}))?;
    Ok(speaker.desk.ends(&agent)?)
}

/// The call by which an agent was started says what it is to do.
pub(super) fn described(speaker: &Speaker<'_>, agent: &str, call: &Call) -> Result<(), Failure> {
    let Does::Starts(Some(description)) = &call.does else { return Ok(()) };
    does(speaker, agent, description)
}

/// What an agent is to do becomes known.
pub(super) fn does(speaker: &Speaker<'_>, agent: &str, description: &str) -> Result<(), Failure> {
    let tasks = json!({name(agent): {"description": description}});
    speaker.tell("WORKFLOW_STATE_UPDATED", json!({"tasks": tasks}))
}

/// An agent takes up a task.
pub(super) fn takes(speaker: &Speaker<'_>, task: &str) -> Result<(), Failure> {
    let Some(agent) = speaker.author().agent_id else { return Ok(()) };
    let task: Option<TaskId> = name(task).parse().ok();
    speaker.tell("TASK_STARTED", json!({"task_id": task, "agent_id": agent}))?;
    Ok(speaker.desk.takes(&agent, task)?)
}
