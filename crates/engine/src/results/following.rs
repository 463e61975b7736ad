//! Results of the operations that show what goes on.
//!
//! Owns their field names: those of the protocol's `workflow-status` and `dependency-resolver`. Refuses to compute them.
//! Figures that nobody said are `null`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Number, Value};
use wfr_model::finding::Finding;
use wfr_model::workflow::{AgentStatus, PhaseStatus, TaskCounts, TaskStatus, WorkflowStatus};
use wfr_model::{AgentId, CheckpointId, PhaseId, TaskId, Timestamp, WorkflowId};

use super::WriterLine;
use super::attaching::ClientLine;
use super::intake::EventLine;

/// Result of `status`.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct StatusShown {
    /// The protocol's document.
    pub workflow_status: StatusDocument,
    /// The version of the state.
    pub state_version: u64,
    /// The newest event in it; `null` where there is none.
    pub last_seq: Option<i64>,
    /// Its phases, in order.
    pub phases: Vec<PhaseLine>,
    /// Tasks of the current phase, those being worked on first; the first ones, where they are many.
    pub tasks: Vec<TaskLine>,
    /// All of its tasks.
    pub task_counts: TaskCounts,
    /// Why it failed.
    pub failure_reason: Option<String>,
    /// How many errors were reported.
    pub errors: u64,
    /// Processes that may still write into the workspace, whoever's they are.
    #[serde(default)]
    pub writers: Vec<WriterLine>,
    /// Processes of which nothing can be read, since they are other users': any of them may write, too.
    #[serde(default)]
    pub processes_unread: u64,
    /// Agent clients that are attached here or were heard.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub clients: Vec<ClientLine>,
}

/// How a workflow stands, in the fields of the protocol's `workflow_status`, and its last checkpoint.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct StatusDocument {
    /// Which.
    pub workflow_id: WorkflowId,
    /// What people call it.
    pub name: Option<String>,
    /// How it stands.
    pub status: WorkflowStatus,
    /// How far it is in percent.
    pub overall_progress: f64,
    /// How well it is, as somebody said.
    pub health_score: Option<Number>,
    /// For how long it has been running, or ran.
    pub runtime: Option<String>,
    /// When it will be done, as somebody said.
    pub estimated_completion: Option<Value>,
    /// The phase that began last.
    pub current_phase: Option<CurrentPhase>,
    /// Its agents; the first ones, where they are many.
    pub agents: Vec<AgentLine>,
    /// What it uses of the machine, as somebody said.
    pub resources: Resources,
    /// The last events, oldest first.
    pub recent_events: Vec<EventLine>,
    /// The newest checkpoint.
    pub last_checkpoint: Option<LastCheckpoint>,
}

/// The phase that began last.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct CurrentPhase {
    /// Which.
    pub id: PhaseId,
    /// What people call it.
    pub name: Option<String>,
    /// How far it is in percent.
    pub progress: f64,
    /// Its tasks.
    pub tasks_total: u64,
    /// Those that are done.
    pub tasks_completed: u64,
    /// Those being worked on.
    pub tasks_active: u64,
    /// Those not begun.
    pub tasks_pending: u64,
}

/// One agent.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct AgentLine {
    /// Which.
    pub id: AgentId,
    /// How it stands.
    pub status: AgentStatus,
    /// What it works on.
    pub current_task: Option<TaskId>,
    /// How well it works, as somebody said.
    pub performance_score: Option<Number>,
    /// How many tasks wait for it, as somebody said.
    pub queue_size: Option<Number>,
}

/// What is used of the machine.
#[derive(Debug, Clone, PartialEq, Default, Serialize, JsonSchema)]
pub struct Resources {
    /// Of its processors.
    pub cpu_percent: Option<Number>,
    /// Of its memory.
    pub memory_percent: Option<Number>,
    /// Of its disks, in gigabytes.
    pub storage_used_gb: Option<Number>,
}

/// A checkpoint, in short.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct LastCheckpoint {
    /// Its id.
    pub checkpoint_id: CheckpointId,
    /// Its name.
    pub name: String,
    /// When it was taken.
    pub created_at: Timestamp,
}

/// One phase.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct PhaseLine {
    /// Which.
    pub id: PhaseId,
    /// What people call it.
    pub name: Option<String>,
    /// How it stands.
    pub status: PhaseStatus,
    /// How far it is in percent.
    pub progress: f64,
    /// Its tasks.
    pub tasks: TaskCounts,
}

/// One task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct TaskLine {
    /// Which.
    pub id: TaskId,
    /// How it stands.
    pub status: TaskStatus,
    /// Who works on it.
    pub agent: Option<AgentId>,
    /// What is to be done.
    pub description: Option<String>,
    /// Why it failed.
    pub failure_reason: Option<String>,
}

/// Result of `events`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, JsonSchema)]
pub struct EventList {
    /// The events, in their order.
    pub events: Vec<EventLine>,
    /// The place of the newest event of all; what comes next is after it.
    pub last_seq: Option<i64>,
}

/// One workflow.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct WorkflowLine {
    /// Which.
    pub workflow_id: WorkflowId,
    /// What people call it.
    pub name: Option<String>,
    /// How it stands; `null` where nothing was said of it.
    pub status: Option<WorkflowStatus>,
    /// How far it is in percent.
    pub progress: Option<f64>,
    /// The phase that began last.
    pub current_phase: Option<PhaseId>,
    /// When anything of it last changed.
    pub updated_at: Option<Timestamp>,
    /// When it was first heard of.
    pub registered_at: Timestamp,
    /// How many checkpoints it has.
    pub checkpoints: u64,
}

/// Result of `workflows`.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct WorkflowList {
    /// The workflows, in the order in which they were heard of.
    pub workflows: Vec<WorkflowLine>,
}

/// Result of `graph`.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct GraphShown {
    /// The resolver's document.
    pub dependency_graph: DependencyGraph,
    /// Circles, and dependencies that lead nowhere.
    pub findings: Vec<Finding>,
    /// The graph for Graphviz, where that was asked for.
    pub dot: Option<String>,
}

/// What waits for what.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct DependencyGraph {
    /// Of which workflow.
    pub workflow_id: WorkflowId,
    /// Tasks by their ids, phases as `phase_` and theirs.
    pub nodes: BTreeMap<String, GraphNode>,
    /// From what must end first to what waits for it.
    pub edges: Vec<GraphEdge>,
    /// What is needed from outside.
    pub external_dependencies: ExternalDependencies,
}

/// A task or a phase.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct GraphNode {
    /// `phase` or `task`.
    #[serde(rename = "type")]
    pub kind: NodeKind,
    /// A task's phase.
    pub parent_phase: Option<String>,
    /// What people call it.
    pub name: Option<String>,
    /// What it waits for.
    pub dependencies: Vec<String>,
    /// What waits for it.
    pub dependents: Vec<String>,
    /// What it needs, as somebody said.
    pub resources: Option<Value>,
    /// How long it takes, as somebody said.
    pub estimated_duration: Option<Value>,
    /// How much depends on it, as somebody said.
    pub criticality: Option<Value>,
}

/// What a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum NodeKind {
    /// A phase.
    Phase,
    /// A task.
    Task,
}

/// One dependency.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct GraphEdge {
    /// What must end first.
    pub from: String,
    /// What waits for it.
    pub to: String,
    /// `sequential_dependency`, or `data_dependency` where `data_dependencies` of what waits names it.
    #[serde(rename = "type")]
    pub kind: String,
    /// `hard`.
    pub strength: String,
    /// Where it comes from.
    pub reason: String,
}

/// What is needed from outside, sorted.
#[derive(Debug, Clone, PartialEq, Default, Serialize, JsonSchema)]
pub struct ExternalDependencies {
    /// Services, as `host:port`.
    pub services: Vec<Value>,
    /// Programs, and what cannot be told.
    pub tools: Vec<Value>,
    /// Files.
    pub files: Vec<Value>,
    /// Variables.
    pub environment: Vec<Value>,
}
