//! What events do to tasks.
//!
//! Owns that every task is counted once, in its phase and in the workflow. Refuses to know phases and agents.

use serde_json::Value;

use super::super::status::TaskStatus;
use super::super::{Source, Task, TaskCounts};
use super::{FIELD_MISSING, Fold};
use crate::event::EventType;
use crate::ids::{AgentId, TaskId};
use crate::phase::PhaseId;

impl<S: Source> Fold<'_, S> {
    pub(super) fn task(&mut self, listed: EventType) -> Result<(), S::Error> {
        let Some(id) = self.id::<TaskId>(&["task_id", "task"]) else {
            self.note(FIELD_MISSING, format!("{} names no task", self.event.event_type));
            return Ok(());
        };
        let agent = self.id::<AgentId>(&["new_agent", "agent_id", "assigned_agent", "agent"]);
        let phase = self.phase_of_event();
        self.need_task(&id)?;
        let from = self.state.tasks.get(&id).map_or(TaskStatus::default(), |task| task.status);
        let to = match listed {
            EventType::TaskAssigned => TaskStatus::Pending,
            EventType::TaskReassigned if from == TaskStatus::Active => TaskStatus::Active,
            EventType::TaskReassigned => TaskStatus::Pending,
            EventType::TaskStarted => TaskStatus::Active,
            EventType::TaskCompleted => TaskStatus::Completed,
            _ => TaskStatus::Failed,
        };
        if !self.takes(from.turn(to), &format_args!("task {id}"), from.as_str(), to.as_str()) {
            return Ok(());
        }
        // It is taken out while it changes: it is large, and copying it costs more than all else.
        let known = self.state.tasks.remove(&id);
        let counted = known.as_ref().map(|task| (task.status, task.phase_id.clone()));
        let mut task = known.unwrap_or_else(|| Task::new(id.clone()));
        let agent = agent.or_else(|| task.assigned_agent.clone());
        let former = task.assigned_agent.take().filter(|former| Some(former) != agent.as_ref());
        task.assigned_agent = agent.clone();
        task.phase_id = phase.or(task.phase_id);
        self.turn_task(&mut task, from, to);
        match counted {
            Some((status, phase)) => self.uncount(status, phase.as_ref()),
            None => self.take_told(before(to)),
        }
        self.count(task);
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
        if let Ok(Some(progress)) = self.percentage(&["progress"]) {
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

    /// Loads a task where it is not loaded.
    fn need_task(&mut self, id: &TaskId) -> Result<(), S::Error> {
        if !self.state.tasks.is_loaded(id) {
            self.state.tasks.load(id.clone(), self.source.task(id)?);
        }
        Ok(())
    }

    pub(in crate::workflow) fn load_task(&mut self, id: &TaskId) -> Result<Option<Task>, S::Error> {
        self.need_task(id)?;
        Ok(self.state.tasks.get(id).cloned())
    }

    /// Puts a task, and counts it in its phase and in the workflow instead of the one that it replaces.
    pub(in crate::workflow) fn put_task(&mut self, task: Task) -> Result<(), S::Error> {
        self.need_task(&task.task_id)?;
        match self.state.tasks.remove(&task.task_id) {
            Some(task) => self.uncount(task.status, task.phase_id.as_ref()),
            // It stands as it was told to stand, or it has gone on since.
            None => self.take_told(&[task.status, TaskStatus::Active, TaskStatus::Pending]),
        }
        self.count(task);
        Ok(())
    }

    /// Takes a task away.
    pub(in crate::workflow) fn remove_task(&mut self, id: &TaskId) -> Result<(), S::Error> {
        self.need_task(id)?;
        if let Some(task) = self.state.tasks.remove(id) {
            self.uncount(task.status, task.phase_id.as_ref());
        }
        Ok(())
    }

    /// A task that becomes known was one of those that somebody said there are, if there is one of these statuses.
    fn take_told(&mut self, order: &[TaskStatus]) {
        if self.takes_told {
            let head = &mut self.state.head;
            let (mut told, known) = (head.told(), head.known());
            told.take(order);
            head.set_counts(told, known);
        }
    }

    /// Puts a task that is counted nowhere.
    fn count(&mut self, task: Task) {
        self.recount(|known| *known.of(task.status) += 1);
        if let Some(phase) = &task.phase_id {
            *self.phase_mut(phase).counts.of(task.status) += 1;
        }
        self.state.tasks.put(task.task_id.clone(), task);
    }

    fn uncount(&mut self, status: TaskStatus, phase: Option<&PhaseId>) {
        let one_less = |counts: &mut TaskCounts| counts.take(&[status]);
        self.recount(one_less);
        if let Some(phase) = phase.and_then(|phase| self.state.phases.get_mut(phase)) {
            one_less(&mut phase.counts);
        }
    }

    /// Changes the counts of tasks that are known one by one.
    fn recount(&mut self, change: impl FnOnce(&mut TaskCounts)) {
        let head = &mut self.state.head;
        let (told, mut known) = (head.told(), head.known());
        change(&mut known);
        head.set_counts(told, known);
    }
}

/// How a task stood, most likely, before an event made it stand so.
fn before(to: TaskStatus) -> &'static [TaskStatus] {
    match to {
        TaskStatus::Pending | TaskStatus::Active => &[TaskStatus::Pending],
        TaskStatus::Completed | TaskStatus::Failed => &[TaskStatus::Active, TaskStatus::Pending],
    }
}
