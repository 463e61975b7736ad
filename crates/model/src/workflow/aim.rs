//! Which state a recovery aims at, given the present one.
//!
//! Owns what of the present stays where progress is kept, a checkpoint joined, or a task done anew. Refuses to know where
//! the states come from.

use std::collections::BTreeSet;

use super::parts::{Phase, Task};
use super::status::{AgentStatus, PhaseStatus, TaskStatus, WorkflowStatus};
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
    /// them are free, and a phase or workflow that had ended with them goes on, with nothing said of how far it is.
    pub fn with_tasks_anew(&self, tasks: &[TaskId]) -> Self {
        let mut aim = self.clone();
        let (mut phases, mut is_any) = (Vec::new(), false);
        for id in tasks {
            let Some(task) = aim.tasks.get_mut(id) else { continue };
            is_any = true;
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
                (phase.completed_at, phase.progress, phase.failure_reason) = (None, None, None);
            }
        }
        if !is_any {
            return aim;
        }
        aim.head.progress_percentage = None;
        if matches!(aim.head.status, WorkflowStatus::Completed | WorkflowStatus::Failed) {
            aim.head.status = WorkflowStatus::Running;
            (aim.head.ended_at, aim.head.failure_reason) = (None, None);
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
    use serde_json::json;

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

    /// A workflow that has ended with two tasks of two agents, and everything said of them that can be.
    fn ended(workflow: &str, phase: &str) -> Whole {
        let task = |id: &str| {
            json!({"task_id": id, "phase_id": 1, "status": "completed", "assigned_agent": id, "attempts": 2,
                   "retry_count": 1, "description": id, "dependencies": ["t0"], "progress": 80, "execution_time": 5,
                   "started_at": AT, "completed_at": AT, "failure_reason": "once", "extra": {"priority": "high"}})
        };
        let agent = |id: &str| json!({"agent_id": id, "status": "in_progress", "current_task": id, "progress": 80});
        let mut whole = Whole::new("wf".parse().expect("a valid id"));
        let mut put = |id: &str| {
            let (task, agent): (Task, Agent) = (read(task(id)), read(agent(id)));
            whole.tasks.insert(task.task_id.clone(), task);
            whole.agents.insert(agent.agent_id.clone(), agent);
        };
        put("a");
        put("b");
        let ended: Phase = read(json!({"phase_id": 1, "status": phase, "started_at": AT, "completed_at": AT,
                                       "progress": 100, "failure_reason": "why", "name": "P"}));
        whole.phases.insert(ended.phase_id.clone(), ended);
        whole.head = read(json!({"workflow_id": "wf", "status": workflow, "started_at": AT, "ended_at": AT,
                                 "current_phase": 1, "progress_percentage": 100, "failure_reason": "why",
                                 "configuration": {"timeout": 5}}));
        whole.recounted()
    }

    const AT: &str = "2025-01-15T11:00:00Z";

    fn read<T: serde::de::DeserializeOwned>(value: serde_json::Value) -> T {
        serde_json::from_value(value).expect("it is one")
    }

    fn ids(names: &[&str]) -> Vec<TaskId> {
        names.iter().map(|name| name.parse().expect("a valid id")).collect()
    }

    #[test]
    fn what_is_to_be_done_anew_is_set_and_nothing_else() {
        for (workflow, phase) in [("completed", "completed"), ("failed", "failed"), ("running", "in_progress")] {
            let before = ended(workflow, phase);
            let found = before.with_tasks_anew(&ids(&["a", "unknown"]));
            let mut aim = before.clone();
            let task = Task::new("a".parse().expect("a valid id"));
            let was = &before.tasks[&task.task_id];
            let task = Task {
                phase_id: was.phase_id.clone(),
                attempts: 2,
                retry_count: was.retry_count,
                description: Some("a".to_owned()),
                dependencies: vec!["t0".to_owned()],
                extra: was.extra.clone(),
                ..task
            };
            assert!(task.retry_count != Task::new(task.task_id.clone()).retry_count && !task.extra.is_empty());
            aim.tasks.insert(task.task_id.clone(), task);
            let agent = aim.agents.get_mut(&"a".parse().expect("a valid id")).expect("it is there");
            (agent.current_task, agent.progress, agent.status) = (None, None, AgentStatus::Idle);
            aim.head.progress_percentage = None;
            if workflow != "running" {
                let phase = aim.phases.values_mut().next().expect("there is one");
                (phase.status, phase.completed_at) = (PhaseStatus::InProgress, None);
                (phase.progress, phase.failure_reason) = (None, None);
                (aim.head.status, aim.head.ended_at) = (WorkflowStatus::Running, None);
                aim.head.failure_reason = None;
            }
            assert_eq!(found, aim.recounted(), "{workflow}");
            assert_eq!((found.head.counts.completed, found.head.counts.pending), (1, 1));
        }
        let before = ended("completed", "completed");
        assert_eq!(before.with_tasks_anew(&ids(&["unknown"])), before, "nothing of it is meant");
        for stays in ["paused", "cancelled"] {
            let found = ended(stays, "skipped").with_tasks_anew(&ids(&["a"]));
            assert_eq!((found.head.status.as_str(), shown(&found).0), (stays, PhaseStatus::Skipped));
        }
    }

    #[test]
    fn an_agent_that_is_not_well_is_freed_and_stays_as_it_is() {
        let mut before = ended("running", "in_progress");
        before.agents.values_mut().for_each(|agent| agent.status = AgentStatus::Failed);
        let found = before.with_tasks_anew(&ids(&["b"]));
        let stand = |agent: &Agent| (agent.status, agent.current_task.is_some(), agent.progress.is_some());
        let found: Vec<_> = found.agents.values().map(stand).collect();
        assert_eq!(found, [(AgentStatus::Failed, true, true), (AgentStatus::Failed, false, false)]);
    }
}
