//! What events do to tasks.
//!
//! Owns that every task is counted once, in its phase and in the workflow. Refuses to know phases and agents.

use serde_json::Value;

use super::super::status::TaskStatus;
use super::super::{Source, State, Task, TaskCounts};
use super::{FIELD_MISSING, Fold, number};
use crate::event::EventType;
use crate::ids::{AgentId, TaskId};

impl<S: Source> Fold<'_, S> {
    pub(super) fn task(&mut self, listed: EventType) -> Result<(), S::Error> {
        let Some(id) = self.id::<TaskId>(&["task_id", "task"]) else {
            self.note(FIELD_MISSING, format!("{} names no task", self.event.event_type));
            return Ok(());
        };
        let agent = self.id::<AgentId>(&["new_agent", "agent_id", "assigned_agent", "agent"]);
        let phase = self.phase_of_event();
        let mut task = self.load_task(&id)?.unwrap_or_else(|| Task::new(id.clone()));
        let to = match listed {
            EventType::TaskAssigned => TaskStatus::Pending,
            EventType::TaskReassigned if task.status == TaskStatus::Active => TaskStatus::Active,
            EventType::TaskReassigned => TaskStatus::Pending,
            EventType::TaskStarted => TaskStatus::Active,
            EventType::TaskCompleted => TaskStatus::Completed,
            _ => TaskStatus::Failed,
        };
        let (what, from) = (format!("task {id}"), task.status);
        if !self.takes(from.turn(to), &what, from.as_str(), to.as_str()) {
            return Ok(());
        }
        let agent = agent.or_else(|| task.assigned_agent.clone());
        let former = task.assigned_agent.take().filter(|former| Some(former) != agent.as_ref());
        task.assigned_agent = agent.clone();
        task.phase_id = phase.or(task.phase_id);
        self.turn_task(&mut task, from, to);
        self.put_task(task)?;
        if let Some(former) = former {
            self.leave(&former, &id)?;
        }
        match agent {
            Some(agent) => self.work(&agent, &id, listed, from != to),
            None => Ok(()),
        }
    }

    /// What a turn does to the task itself.
    fn turn_task(&mut self, task: &mut Task, from: TaskStatus, to: TaskStatus) {
        let event = self.event;
        task.status = to;
        if let Some(description) = event.text("description").or_else(|| event.text("task_description")) {
            task.description = Some(description);
        }
        if let Some(progress) = event.data.get("progress").and_then(number) {
            task.progress = Some(progress);
        }
        if let Some(retries) = event.data.get("retry_count").and_then(Value::as_u64) {
            task.retry_count = Some(retries);
        }
        match to {
            TaskStatus::Pending => (task.started_at, task.completed_at, task.failure_reason) = (None, None, None),
            TaskStatus::Active => {
                if from != TaskStatus::Active {
                    task.attempts += 1;
                    task.started_at = Some(event.timestamp);
                    (task.completed_at, task.failure_reason) = (None, None);
                }
            }
            TaskStatus::Completed => {
                task.completed_at = Some(event.timestamp);
                task.failure_reason = None;
                if let Some(took) = event.data.get("execution_time").filter(|took| !took.is_null()) {
                    task.execution_time = Some(took.clone());
                }
            }
            TaskStatus::Failed => {
                task.completed_at = Some(event.timestamp);
                let timeout = || event.text("timeout_duration").map(|length| format!("timeout after {length}"));
                task.failure_reason = event.text("failure_reason").or_else(timeout);
            }
        }
        self.state.head.progress_percentage = None;
    }

    pub(in crate::workflow) fn load_task(&mut self, id: &TaskId) -> Result<Option<Task>, S::Error> {
        if !self.state.tasks.is_loaded(id) {
            self.state.tasks.load(id.clone(), self.source.task(id)?);
        }
        Ok(self.state.tasks.get(id).cloned())
    }

    /// Puts a task, and counts it in its phase and in the workflow instead of the one that it replaces.
    pub(in crate::workflow) fn put_task(&mut self, task: Task) -> Result<(), S::Error> {
        self.uncount(&task.task_id)?;
        if self.state.head.tasks_known == 0 {
            self.state.head.counts = TaskCounts::default();
        }
        self.state.head.tasks_known += 1;
        *self.state.head.counts.of(task.status) += 1;
        if let Some(phase) = &task.phase_id {
            *self.phase_mut(phase).counts.of(task.status) += 1;
        }
        self.state.tasks.put(task.task_id.clone(), task);
        Ok(())
    }

    /// Takes a task away.
    pub(in crate::workflow) fn remove_task(&mut self, id: &TaskId) -> Result<(), S::Error> {
        self.uncount(id)?;
        self.state.tasks.remove(id);
        Ok(())
    }

    fn uncount(&mut self, id: &TaskId) -> Result<(), S::Error> {
        if !self.state.tasks.is_loaded(id) {
            self.state.tasks.load(id.clone(), self.source.task(id)?);
        }
        let State { head, phases, tasks, .. } = &mut *self.state;
        let Some(task) = tasks.get(id) else { return Ok(()) };
        head.tasks_known = head.tasks_known.saturating_sub(1);
        let count = head.counts.of(task.status);
        *count = count.saturating_sub(1);
        if let Some(phase) = task.phase_id.as_ref().and_then(|phase| phases.get_mut(phase)) {
            let count = phase.counts.of(task.status);
            *count = count.saturating_sub(1);
        }
        Ok(())
    }
}
