//! Which state a recovery aims at, given the present one.
//!
//! Owns what of the present stays: progress where that was asked for, later work where a recovery is taken back. Refuses
//! to know where the states come from.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::parts::{Head, Task};
use super::status::{AgentStatus, PhaseStatus, TaskStatus};
use super::whole::same_but_for_counts;
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

    /// The state that taking a recovery back aims at: the recovery made the state `restored`, and it was `self` before.
    /// What somebody changed since stays.
    pub fn taken_back(&self, restored: &Self, present: &Self) -> Self {
        let (was, made, is) = (self.head.told(), restored.head.told(), present.head.told());
        let told = if made == is { was } else { is };
        Self {
            head: head(&self.head, &restored.head, &present.head),
            phases: parts(&self.phases, &restored.phases, &present.phases, same_but_for_counts),
            tasks: parts(&self.tasks, &restored.tasks, &present.tasks, PartialEq::eq),
            agents: parts(&self.agents, &restored.agents, &present.agents, PartialEq::eq),
            allocations: parts(&self.allocations, &restored.allocations, &present.allocations, PartialEq::eq),
        }
        .recounted_beside(told)
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

fn parts<K: Ord + Clone, V: Clone>(
    before: &BTreeMap<K, V>,
    restored: &BTreeMap<K, V>,
    present: &BTreeMap<K, V>,
    is_same: impl Fn(&V, &V) -> bool,
) -> BTreeMap<K, V> {
    // Three runs that are sorted: to merge them takes less than to look each id up in a set.
    let mut ids: Vec<&K> = before.keys().chain(restored.keys()).chain(present.keys()).collect();
    ids.sort();
    ids.dedup();
    let kept = ids.into_iter().filter_map(|id| {
        let stayed = match (restored.get(id), present.get(id)) {
            (Some(then), Some(now)) => is_same(then, now),
            (then, now) => then.is_none() && now.is_none(),
        };
        let from = if stayed { before } else { present };
        Some((id.clone(), from.get(id)?.clone()))
    });
    kept.collect()
}

/// Field by field; what events count and what the last recovery was is the present's.
fn head(before: &Head, restored: &Head, present: &Head) -> Head {
    const PRESENT: [&str; 4] = ["state_version", "updated_at", "recovery", "tasks_known"];
    let fields = |head: &Head| match serde_json::to_value(head) {
        Ok(Value::Object(fields)) => fields,
        _ => serde_json::Map::new(),
    };
    let (before, restored, mut now) = (fields(before), fields(restored), fields(present));
    let keys: BTreeSet<String> = before.keys().chain(restored.keys()).chain(now.keys()).cloned().collect();
    for key in keys.iter().filter(|key| !PRESENT.contains(&key.as_str())) {
        if restored.get(key) == now.get(key) {
            match before.get(key) {
                Some(value) => drop(now.insert(key.clone(), value.clone())),
                None => drop(now.shift_remove(key)),
            }
        }
    }
    serde_json::from_value(Value::Object(now)).unwrap_or_else(|_| present.clone())
}
