//! Parameters of the operations that take in what others say.
//!
//! Owns their keys. Refuses to act on them: events have fields of their own, which the model reads.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use wfr_model::{Timestamp, WorkflowId};

use super::values::HostPath;

/// Records what happened in a workflow: one event, or many from a file or standard input.
///
/// An event is a line, `EVENT_TYPE:workflow:phase:{json}`, or an envelope, one JSON object. A file has one of them on
/// each line, or is one JSON object or list; empty lines and lines that begin with `#` are passed over. The protocol's
/// messages `state_sync`, `checkpoint_sync` and `error_report` are taken, too. What is valid is recorded, in the order in
/// which it comes; what is not is listed with its line, and the exit code is 2. An event whose `event_id` is known is
/// passed over, so that a file may be given twice. Events that are odd, given what came before, are recorded and marked.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct RecordEvent {
    /// The event: a line, an envelope, or `-` for standard input.
    pub event: Option<String>,
    /// The file that holds them.
    pub file: Option<HostPath>,
    /// The fields of an envelope.
    #[serde(flatten)]
    pub envelope: Map<String, Value>,
}

/// Parts by their ids, or a list of them; for the schema.
#[derive(JsonSchema)]
#[serde(untagged)]
#[schemars(inline)]
#[expect(dead_code, reason = "it describes a JSON value")]
enum Parts {
    /// A list.
    List(Vec<Map<String, Value>>),
    /// By their ids.
    ById(Map<String, Value>),
}

/// Registers a workflow, with as much as is known of it.
///
/// A workflow that is known already stays as it is, but for what is given: that is set. So it may be called again and
/// again.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Initialize {
    /// The workflow.
    #[serde(skip_serializing)]
    pub workflow_id: Option<WorkflowId>,
    /// What people call it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// When checkpoints are taken by themselves, such as `phase_completion`.
    #[serde(skip_serializing)]
    pub checkpoint_strategy: Option<String>,
    /// How often state is backed up, such as `continuous`.
    #[serde(skip_serializing)]
    pub backup_frequency: Option<String>,
    /// How many phases it is to have.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total_phases: Option<u64>,
    /// Its phases: a list, or an object by their ids; each may have its `tasks`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Parts>")]
    pub phases: Option<Value>,
    /// Its tasks: a list, or an object by their ids.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Parts>")]
    pub tasks: Option<Value>,
    /// Its agents: a list, or an object by their ids.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Parts>")]
    pub agents: Option<Value>,
    /// What it needs: `external` and `internal`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dependencies: Option<Map<String, Value>>,
    /// What it is set to; keys that are not given stay as they are.
    #[serde(skip_serializing)]
    pub configuration: Option<Map<String, Value>>,
    /// What else is to be kept of it.
    #[serde(skip_serializing)]
    pub metadata: Option<Map<String, Value>>,
}

/// Sets fields of a workflow's state, in the reference's or the hub's shape.
///
/// The keys are those of a state: `status`, `current_phase`, `phases`, `tasks`, `agents`, `configuration` and so on; `null`
/// takes a value away. Any other key is refused, but for those of a whole document, which has an `id`; fields of your own
/// go into `extra`. What a value cannot be is named, and the part that it belongs to stays. With `state_version`, as in
/// the protocol's `state_sync`, it is taken over only where that version is the higher one.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct UpdateState {
    /// The workflow.
    pub workflow_id: Option<WorkflowId>,
    /// Only where the state has this version now.
    pub expected_version: Option<u64>,
    /// The fields to set, in one object.
    pub state: Option<Map<String, Value>>,
    /// Why, for the log.
    pub reason: Option<String>,
    /// The fields to set.
    #[serde(flatten)]
    pub fields: Map<String, Value>,
}

/// The shape of a state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum StateShape {
    /// As checkpoints of the reference have it: counts, agents at work, resources.
    #[default]
    Reference,
    /// As the coordination hub keeps it: all of it; `update-state` reads it back.
    Hub,
}

/// Shows a workflow's state as a document.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct GetState {
    /// The workflow.
    pub workflow_id: Option<WorkflowId>,
    /// The document's shape.
    pub format: StateShape,
}

/// Records what was measured of a workflow.
///
/// The whole report stays in the log; the newest value of each metric is in the workflow's state.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RecordMetrics {
    /// The workflow; else the report says it.
    pub workflow_id: Option<WorkflowId>,
    /// The report: `report_id`, `component`, `timestamp`, `metrics`, `collection_period`, `baseline_comparison`.
    pub performance_metrics: Option<Map<String, Value>>,
    /// The metrics alone.
    pub metrics: Option<Map<String, Value>>,
}

/// Records an error: a failure with an id, by which it can be analysed.
///
/// It is the protocol's `error_report`; only what happened must be said. A task or an agent that it names by `scope` counts
/// as failed, a phase or the workflow where it is not `recoverable`. A report with an `error_id` is recorded once.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct HandleError {
    /// The workflow; none where it concerns all.
    pub workflow_id: Option<WorkflowId>,
    /// The reporter's own id of it.
    pub error_id: Option<String>,
    /// What happened.
    pub error_message: Option<String>,
    /// When, such as 2025-01-15T11:30:00Z.
    pub timestamp: Option<Timestamp>,
    /// execution, resource, dependency, state or system.
    pub category: Option<String>,
    /// critical, high, medium, low or info.
    pub severity: Option<String>,
    /// timeout, conflict, corruption, unavailable or limit_exceeded.
    #[serde(rename = "type")]
    pub error_type: Option<String>,
    /// What it concerns: workflow, phase, task, agent or system.
    pub scope: Option<String>,
    /// Whether it can be recovered from.
    pub recoverable: Option<bool>,
    /// The phase.
    #[schemars(with = "Option<String>")]
    pub phase: Option<Value>,
    /// The task.
    pub task: Option<String>,
    /// The agent.
    pub agent: Option<String>,
    /// The five keys from `category` on, as one object.
    pub classification: Option<Map<String, Value>>,
    /// Where: component, operation, phase, task, agent.
    pub context: Option<Map<String, Value>>,
    /// error_message, technical_details, stack_trace, related_events.
    pub details: Option<Map<String, Value>>,
    /// affected_tasks, affected_agents, blocking_dependencies, estimated_delay, workflow_risk.
    pub impact_assessment: Option<Map<String, Value>>,
    /// What the reporter would do: strategy, description, estimated_time, success_probability.
    pub recovery_suggestions: Vec<Map<String, Value>>,
    /// `error_report`.
    pub message_type: Option<String>,
    /// All of it in one object, as the protocol's message has it; what stands beside it counts over what is in it.
    pub error_report: Option<Map<String, Value>>,
}
