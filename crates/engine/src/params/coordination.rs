//! Parameters of the operations by which components coordinate: delivery, requests, holds, shares of resources.
//!
//! Owns their keys. Refuses to act on them.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use wfr_model::message::Priority;
use wfr_model::{AllocationId, EventName, RecoveryId, Span, Timestamp, WorkflowId};

use super::values::{HostPath, On};

/// What is done with the outbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum OutboxAction {
    /// Delivers now, without waiting for the time of the next attempt.
    Flush,
    /// Queues what was put aside to be tried again, and delivers.
    Retry,
}

/// Shows how far events and messages have gone out, and delivers them.
///
/// Sinks stand in the configuration, under `coordination.sinks`. Everything goes out at least once and in one order, under an
/// id that stays the same. What a sink refuses is tried again, later each time, and put aside after its last attempt.
/// The exit code is 1 where a sink refused something.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Outbox {
    /// What is done; nothing but showing where it is not given.
    pub action: Option<OutboxAction>,
    /// This sink only.
    pub sink: Option<String>,
    /// How many of the items that were put aside are listed; 20 where it is not given.
    pub limit: Option<u32>,
}

/// Does what is due: delivery to sinks whose time has come, and checkpoints of workflows whose interval is over.
///
/// Commands start it by themselves, detached, where something is due; `WFR_NO_UPKEEP=1` keeps
/// them from it. One runs at a time.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Upkeep {
    /// Leaves the session of the terminal that it was started from.
    pub detached: bool,
}

/// Answers a request of another component, in the protocol's envelopes.
///
/// The request is a file, `-` for standard input, or the JSON itself. It asks for one of wfr's own operations, by name
/// or alias; who may do what is the same as on the command line, so a recovery without `yes` gives its plan. The same
/// `request_id` again gets the answer that was given. An operation that changes no files ends within `timeout_seconds`; a
/// recovery is not cut off: ask again for its answer.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Request {
    /// The file, or `-`.
    pub file: Option<HostPath>,
    /// Always `request`.
    #[schemars(with = "Option<String>")]
    pub message_type: Option<Value>,
    /// By which a repetition is known.
    #[schemars(with = "Option<String>")]
    pub request_id: Option<Value>,
    /// What it belongs to.
    #[schemars(with = "Option<String>")]
    pub correlation_id: Option<Value>,
    /// When it was made.
    #[schemars(with = "Option<String>")]
    pub timestamp: Option<Value>,
    /// Who is asked: the configuration's `coordination.component`, or wfr.
    #[schemars(with = "Option<String>")]
    pub target_component: Option<Value>,
    /// What is to be done.
    #[schemars(with = "Option<String>")]
    pub operation: Option<Value>,
    /// With what.
    #[schemars(with = "Option<Map<String, Value>>")]
    pub parameters: Option<Value>,
    /// Whether the sender waits for an answer.
    #[schemars(with = "Option<bool>")]
    pub response_required: Option<Value>,
    /// For how many seconds; 30 where it is not given.
    #[schemars(with = "Option<u64>")]
    pub timeout_seconds: Option<Value>,
    /// Whatever else it has, to be refused by name.
    #[serde(flatten)]
    #[schemars(skip)]
    pub rest: Map<String, Value>,
}

impl Request {
    /// The fields of the request that are given, in the protocol's order.
    pub fn fields(self) -> Map<String, Value> {
        let given = [
            ("message_type", self.message_type),
            ("request_id", self.request_id),
            ("correlation_id", self.correlation_id),
            ("timestamp", self.timestamp),
            ("target_component", self.target_component),
            ("operation", self.operation),
            ("parameters", self.parameters),
            ("response_required", self.response_required),
            ("timeout_seconds", self.timeout_seconds),
        ];
        let given = given.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?)));
        given.chain(self.rest).collect()
    }
}

/// Keeps a workflow's resources for a component, for a time.
///
/// Nobody else is given any meanwhile. A hold below the critical band (priority 90 to 100) gives way to one within it;
/// one within it stands. The same requester again moves the end. Every hold has a token that only grows: who acts
/// under an older one is too late.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct HoldResources {
    /// The workflow.
    pub workflow_id: Option<WorkflowId>,
    /// Why; `recovery_operation` puts it into the critical band where `priority` does not say otherwise.
    pub reason: Option<String>,
    /// For how long; 30m where it is not given.
    pub duration: Option<Span>,
    /// From 0 to 100, or low, medium, high, critical; 50 where nothing says otherwise.
    pub priority: Option<Priority>,
    /// Which component holds; whoever calls where it is not given.
    pub requester: Option<String>,
}

/// Gives resources back: one share, one hold, or all that a workflow has.
///
/// The hold of a process that runs is not taken from it.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Release {
    /// All shares of this workflow and the hold on it; with `allocation_id`, where that share is looked for.
    pub workflow_id: Option<WorkflowId>,
    /// This share.
    pub allocation_id: Option<AllocationId>,
    /// The hold of this token.
    pub token: Option<i64>,
    /// Why.
    pub reason: Option<String>,
    /// Who gives it back; whoever calls where it is not given.
    pub requester: Option<String>,
}

/// Looks what stands in the way of resources: holds, and shares above what a workflow may take.
///
/// With `resources` it says whether so much could be given now. The exit code is 5 where something stands in the way.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CheckConflicts {
    /// This workflow only; all where it is not given.
    pub workflow_id: Option<WorkflowId>,
    /// How much would be asked for.
    pub resources: Option<BTreeMap<String, Value>>,
    /// How much it would matter.
    pub priority: Option<Priority>,
    /// Who would ask; its own hold is in nobody's way.
    pub requester: Option<String>,
}

/// When a share ends by itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(inline)]
pub struct AutoRelease {
    /// When the workflow ends well or is given up.
    pub on_completion: On,
    /// When its time is over.
    pub on_timeout: On,
    /// When the workflow fails.
    pub on_failure: bool,
    /// So long after any of these.
    pub grace_period: Option<Span>,
}

/// Gives a workflow a share of resources, within what one workflow may take.
///
/// The configuration's `coordination.caps` say how much that is. The answer is `approved`; `partial` with what is left,
/// where `accept_partial` is set; `queued` where it could be given when others have given back: ask again; or `denied`,
/// where it never can. The exit code is 5 for the last two.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Allocate {
    /// The workflow.
    pub workflow_id: Option<WorkflowId>,
    /// The share's id; a new one where it is not given. One that is given already is answered as it was.
    pub allocation_id: Option<AllocationId>,
    /// Who asks; whoever calls where it is not given.
    pub requester: Option<String>,
    /// From 0 to 100, or low, medium, high, critical; 50 where it is not given.
    pub priority: Option<Priority>,
    /// How much: `cpu_cores`, `memory_gb`, `agents` (a number or a list), `tool_instances`.
    pub resources: BTreeMap<String, Value>,
    /// For how long; as long as a workflow may have it at most where it is not given.
    pub duration: Option<Span>,
    /// Whether less than asked for will do.
    pub accept_partial: bool,
    /// Kept for later instead of in use at once.
    pub reserve: bool,
    /// What must hold of it; kept with the share.
    pub constraints: Option<Map<String, Value>>,
    /// What is expected of it; kept with the share.
    pub performance_requirements: Option<Map<String, Value>>,
    /// When it ends by itself.
    pub auto_release: AutoRelease,
    /// When it was asked for; kept with the share.
    pub timestamp: Option<Timestamp>,
    /// `reserved` is the same as `reserve`; any other word says nothing before it is given.
    pub status: Option<String>,
    /// All of this in the resource manager's form. Keys beside it say what it leaves open, and nothing else than it says.
    pub resource_allocation: Option<Map<String, Value>>,
}

impl Allocate {
    /// What is asked for, whichever form it has.
    ///
    /// # Errors
    ///
    /// Why the resource manager's form is none.
    pub fn unwrapped(self) -> Result<Self, String> {
        let Some(mut inner) = self.resource_allocation.clone() else {
            let reserve = self.reserve || self.status.as_deref() == Some("reserved");
            return Ok(Self { reserve, ..self });
        };
        if inner.contains_key("resource_allocation") {
            return Err("it holds another one".to_owned());
        }
        let read = |fields: &Map<String, Value>| {
            serde_json::from_value::<Self>(Value::Object(fields.clone())).map_err(|error| error.to_string())
        };
        inner.retain(|_, value| !value.is_null());
        let within = to_fields(&read(&inner)?);
        let unsaid = to_fields(&Self::default());
        let beside = Self { resource_allocation: None, ..self };
        for (key, value) in to_fields(&beside).into_iter().filter(|(key, value)| unsaid.get(key) != Some(value)) {
            if inner.contains_key(&key) && within.get(&key) != Some(&value) {
                return Err(format!("it says another `{key}` than what stands beside it"));
            }
            inner.insert(key, value);
        }
        read(&inner)?.unwrapped()
    }
}

fn to_fields(allocate: &Allocate) -> Map<String, Value> {
    match serde_json::to_value(allocate) {
        Ok(Value::Object(fields)) => fields,
        _ => Map::new(),
    }
}

/// Lists who holds what, and every share of resources that is out.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Holds {
    /// Of this workflow only.
    pub workflow_id: Option<WorkflowId>,
}

/// How somebody's recovery stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum RecoveryState {
    /// It began.
    #[serde(alias = "started")]
    Initiated,
    /// It goes on.
    #[serde(alias = "running")]
    InProgress,
    /// It ended well.
    #[serde(alias = "success", alias = "done")]
    Completed,
    /// It failed.
    #[serde(alias = "error")]
    Failed,
}

/// Records how a recovery stands that another component runs.
///
/// Its beginning and its end become events of the workflow; a report in between is recorded only where the beginning
/// was not.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RecoveryStatusUpdate {
    /// The workflow.
    pub workflow_id: Option<WorkflowId>,
    /// The recovery.
    pub recovery_id: Option<RecoveryId>,
    /// How it stands; what the type of event says where it is not given.
    #[serde(alias = "recovery_status")]
    pub status: Option<RecoveryState>,
    /// The event that says the same: `RECOVERY_INITIATED`, `RECOVERY_COMPLETED` or `RECOVERY_FAILED`.
    pub event_type: Option<EventName>,
    /// When it stood so; the present where it is not given.
    pub timestamp: Option<Timestamp>,
    /// Who runs it.
    pub component: Option<String>,
    /// What else is known of it; kept with the event.
    #[serde(alias = "summary", alias = "recovery_data")]
    pub details: Option<Map<String, Value>>,
}
