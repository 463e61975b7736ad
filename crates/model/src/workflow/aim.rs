//! Which state a recovery aims at, given the present one.
//!
//! Owns what of the present stays where progress is kept, a checkpoint joined, or a task done anew. Refuses to know where
//! the states come from.

use std::collections::BTreeSet;

use super::parts::{Phase, Task};
use super::status::{AgentStatus, PhaseStatus, TaskStatus};
use super::{Agent, Whole};
use crate::ids::{AgentId, TaskId};

impl Whole {
    /// The state of a checkpoint, but what was completed since stays so: tasks, phases, and how many tasks agents did.
    pub fn with_progress_of(&self, present: &Self) -> Self {
        let mut aim = self.clone();
        let mut told = aim.head.told();
        for (id, task) in &present.tasks {
            if task.status == TaskStatus::Completed && aim.tasks.insert(id.clone(), task.clone()).is_none() {
                told.take(&[TaskStatus::Active, TaskStatus::Pending]);
            }
        }
        for (id, phase) in &present.phases {
            if matches!(phase.status, PhaseStatus::Completed | PhaseStatus::Skipped) {
                aim.phases.insert(id.clone(), phase.clone());
            }
        }
        let done = |task: &TaskId| aim.tasks.get(task).is_some_and(|task| task.status == TaskStatus::Completed);
        let idle: Vec<AgentId> = aim
            .agents
            .values()
            .filter(|agent| agent.current_task.as_ref().is_some_and(done))
            .map(|agent| agent.agent_id.clone())
            .collect();
        for (id, agent) in &mut aim.agents {
            free(agent, idle.contains(id));
            if let Some(now) = present.agents.get(id) {
                agent.tasks_completed = agent.tasks_completed.max(now.tasks_completed);
            }
        }
        aim.head.recovery = present.head.recovery.clone();
        aim.recounted_beside(told)
    }

    /// The present state, joined with that of a checkpoint: parts that only the checkpoint has come back, and what was
    /// completed there is completed; a phase only where nothing in it is left to be done. All else stays as it is.
    pub fn joined_with(&self, present: &Self) -> Self {
        let mut aim = present.clone();
        for (id, task) in &self.tasks {
            let is_ahead = |now: &Task| task.status == TaskStatus::Completed && now.status != TaskStatus::Completed;
            if aim.tasks.get(id).is_none_or(is_ahead) {
                aim.tasks.insert(id.clone(), task.clone());
            }
        }
        for (id, phase) in &self.phases {
            let is_ahead = |now: &Phase| phase.status == PhaseStatus::Completed && now.status != PhaseStatus::Skipped;
            if aim.phases.get(id).is_none_or(is_ahead) {
                aim.phases.insert(id.clone(), phase.clone());
            }
        }
        for (id, phase) in &mut aim.phases {
            let is_open = |task: &Task| matches!(task.status, TaskStatus::Pending | TaskStatus::Active);
            let has_open = aim.tasks.values().any(|task| task.phase_id.as_ref() == Some(id) && is_open(task));
            if phase.status == PhaseStatus::Completed && has_open {
                (phase.status, phase.completed_at) = (PhaseStatus::InProgress, None);
            }
        }
        for (id, agent) in &self.agents {
            aim.agents.entry(id.clone()).or_insert_with(|| agent.clone());
        }
        let tasks = &aim.tasks;
        for agent in aim.agents.values_mut() {
            let works_on = |id: &TaskId| tasks.get(id).is_some_and(|task| task.status != TaskStatus::Completed);
            let is_idle = agent.current_task.as_ref().is_some_and(|task| !works_on(task));
            free(agent, is_idle);
        }
        aim.recounted()
    }

    /// The state in which tasks are to be done anew: pending, with their attempts kept and nobody's; agents that worked on
    /// them are free, and a phase or workflow that had ended with them goes on.
    pub fn with_tasks_anew(&self, tasks: &[TaskId]) -> Self {
        let mut aim = self.clone();
        let mut phases = Vec::new();
        for id in tasks {
            let Some(task) = aim.tasks.get_mut(id) else { continue };
            let fresh = Task::new(task.task_id.clone());
            *task = Task {
                phase_id: task.phase_id.clone(),
                description: task.description.clone(),
                attempts: task.attempts,
                retry_count: task.retry_count,
                dependencies: task.dependencies.clone(),
                extra: task.extra.clone(),
                ..fresh
            };
            phases.extend(task.phase_id.clone());
        }
        for agent in aim.agents.values_mut() {
            let is_anew = agent.current_task.as_ref().is_some_and(|task| tasks.contains(task));
            free(agent, is_anew);
        }
        for id in phases {
            if let Some(phase) = aim.phases.get_mut(&id)
                && matches!(phase.status, PhaseStatus::Completed | PhaseStatus::Failed)
            {
                phase.status = PhaseStatus::InProgress;
                phase.completed_at = None;
            }
        }
        aim.recounted()
    }

    /// Tasks that are done, or under way, and need one of these, which are not done any more; those that need them in turn
    /// left out.
    pub fn tasks_needing(&self, tasks: &BTreeSet<TaskId>) -> Vec<TaskId> {
        let is_needed = |name: &String| tasks.iter().any(|task| task.as_str() == name);
        let has_begun = |task: &Task| matches!(task.status, TaskStatus::Active | TaskStatus::Completed);
        let needing = self.tasks.values().filter(|task| has_begun(task) && task.dependencies.iter().any(is_needed));
        needing.map(|task| task.task_id.clone()).filter(|id| !tasks.contains(id)).collect()
    }
}

fn free(agent: &mut Agent, is_idle: bool) {
    if is_idle {
        (agent.current_task, agent.progress) = (None, None);
        if agent.status == AgentStatus::InProgress {
            agent.status = AgentStatus::Idle;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A state of tasks in phase 1, each by its name and status, with how the phase stands.
    fn state(phase: PhaseStatus, tasks: &[(&str, TaskStatus)]) -> Whole {
        let mut whole = Whole::new("wf".parse().expect("a valid id"));
        let id: crate::PhaseId = "1".parse().expect("a valid id");
        whole.phases.insert(id.clone(), Phase { status: phase, ..Phase::new(id.clone()) });
        for (name, status) in tasks {
            let task = Task::new(name.parse().expect("a valid id"));
            whole.tasks.insert(task.task_id.clone(), Task { status: *status, phase_id: Some(id.clone()), ..task });
        }
        whole
    }

    fn shown(whole: &Whole) -> (PhaseStatus, Vec<(&str, TaskStatus)>) {
        let phase = whole.phases.values().next().expect("there is one").status;
        (phase, whole.tasks.values().map(|task| (task.task_id.as_str(), task.status)).collect())
    }

    #[test]
    fn what_either_has_completed_is_completed() {
        use TaskStatus::{Active, Completed, Pending};
        let then = state(PhaseStatus::Completed, &[("a", Completed), ("b", Completed), ("gone", Completed)]);
        let now = state(PhaseStatus::InProgress, &[("a", Pending), ("b", Completed)]);
        let all = vec![("a", Completed), ("b", Completed), ("gone", Completed)];
        assert_eq!(shown(&then.joined_with(&now)), (PhaseStatus::Completed, all));
        let now = state(PhaseStatus::InProgress, &[("a", Active), ("new", Active)]);
        let all = vec![("a", Completed), ("b", Completed), ("gone", Completed), ("new", Active)];
        assert_eq!(shown(&then.joined_with(&now)), (PhaseStatus::InProgress, all), "something is left to be done");
        let then = state(PhaseStatus::InProgress, &[("a", Active), ("back", Pending)]);
        let now = state(PhaseStatus::Completed, &[("a", Completed)]);
        let all = vec![("a", Completed), ("back", Pending)];
        assert_eq!(shown(&then.joined_with(&now)), (PhaseStatus::InProgress, all));
    }
}
