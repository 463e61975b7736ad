//! What events do to agents.
//!
//! Owns who works on what. Refuses to know tasks but by their ids.

use serde_json::Value;

use super::super::status::AgentStatus;
use super::super::{Agent, Source};
use super::{FIELD_MISSING, Fold};
use crate::event::EventType;
use crate::ids::{AgentId, TaskId};

impl<S: Source> Fold<'_, S> {
    pub(in crate::workflow) fn load_agent(&mut self, id: &AgentId) -> Result<&mut Agent, S::Error> {
        if !self.state.agents.is_loaded(id) {
            self.state.agents.load(id.clone(), self.source.agent(id)?);
        }
        Ok(self.state.agents.get_or_make(id, || Agent::new(id.clone())))
    }

    /// An agent that lost a task to another one works on it no longer.
    pub(super) fn leave(&mut self, agent: &AgentId, task: &TaskId) -> Result<(), S::Error> {
        let agent = self.load_agent(agent)?;
        if agent.current_task.as_ref() == Some(task) {
            (agent.current_task, agent.progress) = (None, None);
            if agent.status == AgentStatus::InProgress {
                agent.status = AgentStatus::Idle;
            }
        }
        Ok(())
    }

    /// What an event of a task says of its agent.
    pub(super) fn work(
        &mut self,
        agent: &AgentId,
        task: &TaskId,
        listed: EventType,
        turned: bool,
    ) -> Result<(), S::Error> {
        let at = self.event.timestamp;
        let agent = self.load_agent(agent)?;
        agent.last_seen = Some(at);
        agent.deallocated = false;
        match listed {
            EventType::TaskStarted => {
                agent.current_task = Some(task.clone());
                agent.status = AgentStatus::InProgress;
            }
            EventType::TaskCompleted | EventType::TaskFailed | EventType::TaskTimeout => {
                if turned && listed == EventType::TaskCompleted {
                    agent.tasks_completed += 1;
                } else if turned {
                    agent.tasks_failed += 1;
                }
                if agent.current_task.as_ref() == Some(task) {
                    (agent.current_task, agent.progress) = (None, None);
                }
                if agent.current_task.is_none() && agent.status == AgentStatus::InProgress {
                    agent.status = AgentStatus::Idle;
                }
            }
            _ => {}
        }
        Ok(())
    }

    pub(super) fn agent(&mut self, listed: EventType) -> Result<(), S::Error> {
        let Some(id) = self.id::<AgentId>(&["agent_id", "agent"]) else {
            self.note(FIELD_MISSING, format!("{} names no agent", self.event.event_type));
            return Ok(());
        };
        let event = self.event;
        let agent = self.load_agent(&id)?;
        if let Some(role) = event.text("role").or_else(|| event.text("specialization")) {
            agent.role = Some(role);
        }
        if let Some(score) = event.data.get("performance_score").and_then(Value::as_number) {
            agent.performance_score = Some(score.clone());
        }
        match listed {
            EventType::AgentAllocated => {
                agent.deallocated = false;
                agent.last_error = None;
                agent.status = if agent.current_task.is_some() { AgentStatus::InProgress } else { AgentStatus::Idle };
            }
            EventType::AgentDeallocated => {
                agent.deallocated = true;
                agent.status = AgentStatus::Idle;
                (agent.current_task, agent.progress) = (None, None);
            }
            EventType::AgentPerformanceAlert => agent.status = AgentStatus::DegradedPerformance,
            EventType::AgentError => {
                agent.status = AgentStatus::Failed;
                agent.last_error = event.text("error_details").or_else(|| event.text("error_type"));
            }
            _ => {
                agent.status = AgentStatus::Failed;
                agent.last_error = event.text("timeout_duration").map(|length| format!("no answer for {length}"));
            }
        }
        if !matches!(listed, EventType::AgentTimeout) {
            agent.last_seen = Some(event.timestamp);
        }
        Ok(())
    }
}
