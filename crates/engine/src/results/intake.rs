//! Results of the operations that take in what others say.
//!
//! Owns their field names. Refuses to compute them.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;
use wfr_model::checkpoint::Trigger;
use wfr_model::workflow::fold::Anomaly;
use wfr_model::{CheckpointId, Event, EventId, FailureId, Timestamp, WorkflowId};

/// An event with its place in the order.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct EventLine {
    /// Its place in the vault's order.
    pub seq: i64,
    /// When it was recorded, by this machine's clock.
    pub recorded_at: Timestamp,
    /// What is odd about it, given what came before.
    pub odd: Vec<Anomaly>,
    /// The event.
    #[serde(flatten)]
    pub event: Event,
}

/// What is odd about an event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct OddEvent {
    /// Which event.
    pub event_id: EventId,
    /// A stable code in capitals.
    pub code: String,
    /// What is odd, in one sentence.
    pub message: String,
}

/// A message that cannot be recorded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct RefusedMessage {
    /// Its line, or its place in a JSON list, from 1.
    pub line: u64,
    /// Why.
    pub why: String,
}

/// A message that changes nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct IgnoredMessage {
    /// Its line, or its place in a JSON list, from 1.
    pub line: u64,
    /// Why.
    pub why: String,
}

/// Result of `event`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, JsonSchema)]
pub struct EventsRecorded {
    /// Events that are recorded now.
    pub recorded: u64,
    /// Events that had been recorded before, by their ids.
    pub known: u64,
    /// The first messages that were refused; the others are recorded.
    pub refused: Vec<RefusedMessage>,
    /// How many were refused.
    pub refused_total: u64,
    /// The first messages that change nothing, such as a `state_sync` of an older version.
    pub ignored: Vec<IgnoredMessage>,
    /// How many change nothing.
    pub ignored_total: u64,
    /// The first oddities of recorded events, and of those whose id is known with other content.
    pub odd: Vec<OddEvent>,
    /// How many events have something odd about them.
    pub odd_total: u64,
    /// The place of the first one; `null` where none was recorded.
    pub first_seq: Option<i64>,
    /// The place of the last one.
    pub last_seq: Option<i64>,
    /// Failures that were reported among them.
    pub failures: Vec<FailureId>,
    /// The events themselves, where they are few.
    pub events: Vec<EventLine>,
    /// Checkpoints that the configuration's policy asks for because of them.
    pub checkpoints: Vec<PolicyCheckpoint>,
}

/// A checkpoint that the configuration's policy asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct PolicyCheckpoint {
    /// Whose.
    pub workflow_id: WorkflowId,
    /// Why.
    pub trigger: Trigger,
    /// Its id; `null` where it was not taken.
    pub checkpoint_id: Option<CheckpointId>,
    /// Its name.
    pub name: Option<String>,
    /// Whether it has all that it should have.
    pub complete: bool,
    /// Why it was not taken; `null` where it was.
    pub not_taken: Option<String>,
}

/// Result of `handle-error`.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct ErrorHandled {
    /// The failure's id, by which it can be analysed.
    pub failure_id: FailureId,
    /// Whether it had been reported before; then nothing was recorded.
    pub existed: bool,
    /// The report's file in the view; `null` where it could not be written: `next_steps` say why.
    pub report: Option<String>,
    /// The events that it gave.
    pub events: Vec<EventLine>,
    /// What is odd about it: that it says something else than what was reported with its `error_id` before.
    pub odd: Vec<OddEvent>,
    /// Checkpoints that the configuration's policy asks for because of it.
    pub checkpoints: Vec<PolicyCheckpoint>,
}

/// Result of `initialize`, `update-state` and `record-metrics`.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct StateUpdated {
    /// Whether the workflow had a state before.
    pub existed: bool,
    /// Whether its state is another one now.
    pub changed: bool,
    /// The version of its state.
    pub state_version: u64,
    /// The event that changed it; `null` where nothing was to be changed.
    pub event_id: Option<EventId>,
    /// What was odd about the change; what cannot be was left out.
    pub odd: Vec<Anomaly>,
    /// Checkpoints that the configuration's policy asks for because of it.
    pub checkpoints: Vec<PolicyCheckpoint>,
}

/// Result of `get-state`.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct StateShown {
    /// The version of the state.
    pub state_version: u64,
    /// The state, in the shape that was asked for.
    pub workflow_state: Value,
}
