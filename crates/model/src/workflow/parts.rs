//! What a workflow's state is made of: head, phases, tasks, agents, allocations.
//!
//! Owns the fields, named as the reference and the coordination hub name them; what else somebody sends stays in
//! `extra`. Refuses to know how they come about.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Number, Value};

use super::status::{AgentStatus, AllocationStatus, PhaseStatus, TaskStatus, WorkflowStatus};
use crate::ids::{AgentId, AllocationId, RecoveryId, TaskId, WorkflowId};
use crate::phase::PhaseId;
use crate::time::Timestamp;

/// Fields that this product has no name for.
pub type Extra = Map<String, Value>;

/// How many tasks stand how.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default)]
pub struct TaskCounts {
    /// Not begun.
    pub pending: u64,
    /// Being worked on.
    pub active: u64,
    /// Done.
    pub completed: u64,
    /// Failed.
    pub failed: u64,
}

impl TaskCounts {
    /// All of them.
    pub fn total(&self) -> u64 {
        [self.active, self.completed, self.failed].into_iter().fold(self.pending, u64::saturating_add)
    }

    /// These and others.
    pub fn plus(self, other: Self) -> Self {
        self.with(other, u64::saturating_add)
    }

    /// These without others.
    pub fn minus(self, other: Self) -> Self {
        self.with(other, u64::saturating_sub)
    }

    fn with(self, other: Self, each: impl Fn(u64, u64) -> u64) -> Self {
        Self {
            pending: each(self.pending, other.pending),
            active: each(self.active, other.active),
            completed: each(self.completed, other.completed),
            failed: each(self.failed, other.failed),
        }
    }

    /// Takes one task out, of the first of these statuses that there is one of.
    pub fn take(&mut self, order: &[TaskStatus]) {
        if let Some(status) = order.iter().find(|status| *self.of(**status) > 0) {
            *self.of(*status) -= 1;
        }
    }

    /// The count of one status.
    pub fn of(&mut self, status: TaskStatus) -> &mut u64 {
        match status {
            TaskStatus::Pending => &mut self.pending,
            TaskStatus::Active => &mut self.active,
            TaskStatus::Completed => &mut self.completed,
            TaskStatus::Failed => &mut self.failed,
        }
    }
}

/// The head of a state: the workflow itself.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Head {
    /// Which workflow.
    pub workflow_id: WorkflowId,
    /// What people call it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// How it stands.
    #[serde(default)]
    pub status: WorkflowStatus,
    /// Grows with every event; of two states the one with the higher version is the later.
    #[serde(default)]
    pub state_version: u64,
    /// When it came to be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_at: Option<Timestamp>,
    /// When it began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    /// When it ended, well or not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Timestamp>,
    /// When anything of it last changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub updated_at: Option<Timestamp>,
    /// The phase that began last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current_phase: Option<PhaseId>,
    /// How many phases it is to have, where somebody said more than are known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total_phases: Option<u64>,
    /// How far it is in percent, where somebody said so and no task has moved since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress_percentage: Option<Number>,
    /// Its tasks: those that are known one by one, and those that somebody said there are besides.
    #[serde(default)]
    pub counts: TaskCounts,
    /// How many of them are known by what somebody said only, where others are known one by one: see [`Head::told`].
    #[serde(default, skip_serializing_if = "is_none")]
    pub counts_told: TaskCounts,
    /// How many tasks are known one by one.
    #[serde(default)]
    pub tasks_known: u64,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure_reason: Option<String>,
    /// How many errors were reported.
    #[serde(default)]
    pub errors: u64,
    /// The recovery that began last, and how it stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recovery: Option<RecoveryMark>,
    /// Sums of resources, where somebody said them.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub resource_allocations: Map<String, Value>,
    /// What it needs.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub dependencies: Map<String, Value>,
    /// What it is set to.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub configuration: Map<String, Value>,
    /// What was measured.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub metrics: Map<String, Value>,
    /// What else was said.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub extra: Extra,
}

impl Head {
    /// A workflow that nothing is known of.
    pub fn new(workflow_id: WorkflowId) -> Self {
        Self {
            workflow_id,
            name: None,
            status: WorkflowStatus::Created,
            state_version: 0,
            created_at: None,
            started_at: None,
            ended_at: None,
            updated_at: None,
            current_phase: None,
            total_phases: None,
            progress_percentage: None,
            counts: TaskCounts::default(),
            counts_told: TaskCounts::default(),
            tasks_known: 0,
            failure_reason: None,
            errors: 0,
            recovery: None,
            resource_allocations: Map::new(),
            dependencies: Map::new(),
            configuration: Map::new(),
            metrics: Map::new(),
            extra: Extra::new(),
        }
    }
}

impl Head {
    /// The tasks that are not known one by one: what somebody said of them.
    pub fn told(&self) -> TaskCounts {
        if self.tasks_known == 0 { self.counts } else { self.counts_told }
    }

    /// The tasks that are known one by one.
    pub fn known(&self) -> TaskCounts {
        self.counts.minus(self.told())
    }

    /// Sets both.
    pub fn set_counts(&mut self, told: TaskCounts, known: TaskCounts) {
        self.counts = told.plus(known);
        self.tasks_known = known.total();
        self.counts_told = if self.tasks_known == 0 { TaskCounts::default() } else { told };
    }
}

fn is_none(counts: &TaskCounts) -> bool {
    *counts == TaskCounts::default()
}

/// What is known of the last recovery.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, schemars::JsonSchema)]
pub struct RecoveryMark {
    /// Which, where it was said.
    pub recovery_id: Option<RecoveryId>,
    /// `initiated`, `completed` or `failed`.
    pub status: String,
    /// When it came to that.
    pub at: Timestamp,
}

/// One phase.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Phase {
    /// Which.
    pub phase_id: PhaseId,
    /// What people call it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// How it stands.
    #[serde(default)]
    pub status: PhaseStatus,
    /// When it began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    /// When it was completed, failed or skipped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completed_at: Option<Timestamp>,
    /// How far it is in percent, as somebody said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<Number>,
    /// Its tasks.
    #[serde(default)]
    pub counts: TaskCounts,
    /// Phases that must end before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dependencies: Vec<String>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure_reason: Option<String>,
    /// What else was said.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub extra: Extra,
}

impl Phase {
    /// A phase that nothing is known of.
    pub fn new(phase_id: PhaseId) -> Self {
        Self {
            phase_id,
            name: None,
            status: PhaseStatus::Pending,
            started_at: None,
            completed_at: None,
            progress: None,
            counts: TaskCounts::default(),
            dependencies: vec![],
            failure_reason: None,
            extra: Extra::new(),
        }
    }
}

/// One task.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Task {
    /// Which.
    pub task_id: TaskId,
    /// Of which phase.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase_id: Option<PhaseId>,
    /// What is to be done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// How it stands.
    #[serde(default)]
    pub status: TaskStatus,
    /// Who works on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assigned_agent: Option<AgentId>,
    /// How far it is in percent, as somebody said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<Number>,
    /// How often it was begun.
    #[serde(default)]
    pub attempts: u64,
    /// How often it was tried again, as its orchestrator counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_count: Option<u64>,
    /// Tasks or phases that must end before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dependencies: Vec<String>,
    /// When it began last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    /// When it was completed, or failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completed_at: Option<Timestamp>,
    /// How long it took, as its orchestrator says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub execution_time: Option<Value>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure_reason: Option<String>,
    /// What else was said.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub extra: Extra,
}

impl Task {
    /// A task that nothing is known of.
    pub fn new(task_id: TaskId) -> Self {
        Self {
            task_id,
            phase_id: None,
            description: None,
            status: TaskStatus::Pending,
            assigned_agent: None,
            progress: None,
            attempts: 0,
            retry_count: None,
            dependencies: vec![],
            started_at: None,
            completed_at: None,
            execution_time: None,
            failure_reason: None,
            extra: Extra::new(),
        }
    }
}

/// One agent.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Agent {
    /// Which.
    pub agent_id: AgentId,
    /// What it is good for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// How it stands.
    #[serde(default)]
    pub status: AgentStatus,
    /// What it works on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current_task: Option<TaskId>,
    /// How far it is with that in percent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<Number>,
    /// How well it works, as its orchestrator says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub performance_score: Option<Number>,
    /// How many tasks it did.
    #[serde(default)]
    pub tasks_completed: u64,
    /// How many tasks failed with it.
    #[serde(default)]
    pub tasks_failed: u64,
    /// When it was last heard of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_seen: Option<Timestamp>,
    /// Whether it has left.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub deallocated: bool,
    /// What it last complained of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
    /// What else was said.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub extra: Extra,
}

impl Agent {
    /// An agent that nothing is known of.
    pub fn new(agent_id: AgentId) -> Self {
        Self {
            agent_id,
            role: None,
            status: AgentStatus::Idle,
            current_task: None,
            progress: None,
            performance_score: None,
            tasks_completed: 0,
            tasks_failed: 0,
            last_seen: None,
            deallocated: false,
            last_error: None,
            extra: Extra::new(),
        }
    }
}

/// One share of resources.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Allocation {
    /// Which.
    pub allocation_id: AllocationId,
    /// How it stands.
    #[serde(default)]
    pub status: AllocationStatus,
    /// Who asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requester: Option<String>,
    /// From 0 to 100, or a word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<Value>,
    /// How much of what: `cpu_cores`, `memory_gb`, `agents`, `tool_instances`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub resources: BTreeMap<String, Value>,
    /// What else was said.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub extra: Extra,
}

impl Allocation {
    /// A share that nothing is known of.
    pub fn new(allocation_id: AllocationId) -> Self {
        Self {
            allocation_id,
            status: AllocationStatus::Active,
            requester: None,
            priority: None,
            resources: BTreeMap::new(),
            extra: Extra::new(),
        }
    }
}
