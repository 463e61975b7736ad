//! Results of the operations by which components coordinate.
//!
//! Owns their field names. Refuses to compute them, but for what a hold's row says.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;
use wfr_catalog::{Hold, Holder};
use wfr_model::coordination::Caps;
use wfr_model::message::Band;
use wfr_model::{AllocationId, EventId, Timestamp, WorkflowId};

use super::PolicyCheckpoint;

pub use wfr_model::message::Response as Answered;

/// One sink.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct SinkLine {
    /// Its name.
    pub name: String,
    /// `file`, `command` or `webhook`; `null` where the configuration does not have it any more.
    pub kind: Option<String>,
    /// The file, command or address.
    pub target: Option<String>,
    /// Items that it wants and has not had; counting ends at 100,000. Of one that the configuration does not have any more: all
    /// that it has not had, since which types it wanted is not known.
    pub pending: u64,
    /// How often the next item was tried.
    pub attempts: u32,
    /// Why the last attempt failed.
    pub last_error: Option<String>,
    /// Before this time it is not tried again.
    pub next_try_at: Option<Timestamp>,
    /// Items that were put aside.
    pub dead_letters: u64,
    /// How many of these are to be tried again.
    pub requeued: u64,
    /// Items that this call delivered; `null` where it delivered to nobody.
    pub delivered: Option<u64>,
    /// How this call's delivery ended: `done`, `refused`, `busy`, `not_due`, `stopped`, `failed`, each with why.
    pub ended: Option<String>,
}

/// An item that was put aside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct LetterLine {
    /// Whose.
    pub sink: String,
    /// The event's or message's id.
    pub item: String,
    /// How often it was tried.
    pub attempts: u32,
    /// Why the last attempt failed.
    pub error: String,
    /// When it was put aside.
    pub at: Timestamp,
    /// Whether it is to be tried again.
    pub requeued: bool,
}

/// Result of `outbox`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct OutboxView {
    /// The sinks.
    pub sinks: Vec<SinkLine>,
    /// Items that were put aside, oldest first.
    pub dead_letters: Vec<LetterLine>,
}

/// Result of `upkeep`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct UpkeepDone {
    /// Whether it ran; not where another one does.
    pub ran: bool,
    /// Items that were delivered.
    pub delivered: u64,
    /// Items that were put aside.
    pub put_aside: u64,
    /// Checkpoints that were due by time.
    pub checkpoints: Vec<PolicyCheckpoint>,
}

/// A hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct HoldLine {
    /// What is held: `workspace`, or `workflow:NAME`.
    pub key: String,
    /// Its token; later holds have greater ones.
    pub token: i64,
    /// The component or process that holds.
    pub holder: String,
    /// What it does.
    pub label: String,
    /// Why.
    pub reason: Option<String>,
    /// From 0 to 100.
    pub priority: u8,
    /// The priority's band.
    pub band: Band,
    /// Since when.
    pub since: Timestamp,
    /// Until when at most; `null`: as long as its process lives.
    pub until: Option<Timestamp>,
    /// Whether it still stands: its owner lives and its time is not over. `null` where that was not looked at.
    pub stands: Option<bool>,
}

impl HoldLine {
    /// What a hold's row says.
    pub fn of(hold: &Hold) -> Self {
        let holder = match &hold.owner.holder {
            Holder::Process { pid, .. } => format!("process {pid}"),
            Holder::Component(name) => name.clone(),
        };
        Self {
            key: hold.key.clone(),
            token: hold.token.0,
            holder,
            label: hold.owner.label.clone(),
            reason: hold.reason.clone(),
            priority: hold.priority.get(),
            band: hold.priority.band(),
            since: hold.acquired_at,
            until: hold.expires_at,
            stands: None,
        }
    }
}

/// Result of `hold-resources`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct HoldPlaced {
    /// The hold.
    pub hold: HoldLine,
    /// Whether the requester had it before, and its end was moved.
    pub renewed: bool,
    /// The hold that gave way.
    pub preempted: Option<HoldLine>,
}

/// A share of resources that is out.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct AllocationLine {
    /// Whose.
    pub workflow_id: WorkflowId,
    /// Which.
    pub allocation_id: AllocationId,
    /// `active`, `reserved`, `expired` or `released`.
    pub status: String,
    /// Who asked.
    pub requester: Option<String>,
    /// How much it matters.
    pub priority: Option<Value>,
    /// How much of what.
    pub resources: BTreeMap<String, Value>,
    /// Until when at most.
    pub expires_at: Option<Timestamp>,
}

/// Result of `release`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Released {
    /// Holds that ended.
    pub holds: Vec<HoldLine>,
    /// Shares that were given back.
    pub allocations: Vec<AllocationId>,
}

/// Something in the way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ConflictLine {
    /// `HELD`, or `CAP_EXCEEDED`.
    pub code: String,
    /// Whose resources.
    pub workflow_id: WorkflowId,
    /// What stands in the way, in one sentence.
    pub message: String,
    /// When it may be over, where that is known.
    pub until: Option<Timestamp>,
}

/// Result of `check-conflicts`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Conflicting {
    /// What stands in the way.
    pub conflicts: Vec<ConflictLine>,
}

/// Result of `allocate`.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Allotted {
    /// The share's id; `null` where nothing was given.
    pub allocation_id: Option<AllocationId>,
    /// `approved`, `partial`, `queued` or `denied`.
    pub status: String,
    /// What was given.
    pub resources: BTreeMap<String, Value>,
    /// Until when at most.
    pub expires_at: Option<Timestamp>,
    /// Why less than was asked for.
    pub conflicts: Vec<ConflictLine>,
    /// When to ask again, where it is queued and that is known.
    pub retry_at: Option<Timestamp>,
    /// How much the workflow has out now, this share included.
    pub in_use: BTreeMap<String, f64>,
    /// How much it may.
    pub caps: Caps,
}

/// Result of `holds`.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct HoldList {
    /// Holds.
    pub holds: Vec<HoldLine>,
    /// Shares of resources that are out.
    pub allocations: Vec<AllocationLine>,
}

/// Result of `recovery-status-update`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct StatusTaken {
    /// The event that it became; `null` where nothing was new.
    pub event_id: Option<EventId>,
}
