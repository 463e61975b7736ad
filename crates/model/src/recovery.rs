//! A recovery as a record: how it ended, and each step with it.
//!
//! Owns the words of the audit trail. Refuses to run a recovery.

use serde::{Deserialize, Serialize};

use crate::ids::{CheckpointId, RecoveryId, WorkflowId};
use crate::path::TreePath;
use crate::plan::{Action, Kept};
use crate::time::Timestamp;

/// What kind of recovery it was.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RecoveryKind {
    /// The whole tree to a checkpoint.
    Restore,
    /// The whole tree to the newest checkpoint that validates.
    EmergencyRestore,
    /// The inverse of a recovery.
    Undo,
    /// Chosen changes alone.
    Rollback,
    /// Chosen components or paths to a checkpoint.
    PartialRestore,
    /// A workflow's state mended, and nothing else.
    RepairState,
    /// A workflow's state merged with others, and nothing else.
    MergeStates,
}

impl RecoveryKind {
    /// Whether it only says what a state is to be: then its target is the state before, and its event says the rest.
    pub fn is_of_state(self) -> bool {
        matches!(self, Self::RepairState | Self::MergeStates)
    }

    /// The name used in JSON and in the catalog.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Restore => "restore",
            Self::EmergencyRestore => "emergency_restore",
            Self::Undo => "undo",
            Self::Rollback => "rollback",
            Self::PartialRestore => "partial_restore",
            Self::RepairState => "repair_state",
            Self::MergeStates => "merge_states",
        }
    }
}

/// Where a recovery stands.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RecoveryStatus {
    /// Begun; its commit point has not been seen.
    Started,
    /// All steps ended.
    Done,
    /// Given up before its commit point: nothing changed.
    Aborted,
    /// Failed after its commit point and was taken back.
    TakenBack,
    /// Some steps could not be done, the others were.
    Partial,
}

impl RecoveryStatus {
    /// The name used in JSON and in the catalog.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Started => "started",
            Self::Done => "done",
            Self::Aborted => "aborted",
            Self::TakenBack => "taken_back",
            Self::Partial => "partial",
        }
    }
}

/// How one step ended.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum StepEnd {
    /// As planned.
    Done,
    /// Somebody edited the path meanwhile: their edit stands.
    KeptEdit,
    /// It could not be done, and why.
    Failed(String),
}

/// One step's outcome.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, schemars::JsonSchema)]
pub struct StepReport {
    /// Where.
    pub path: TreePath,
    /// What was to be done.
    pub action: Action,
    /// How it ended.
    pub end: StepEnd,
}

/// A file that was displaced and not dropped, because somebody may still be writing into it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Displaced {
    /// Where it came from.
    pub path: TreePath,
    /// Where it is now, below the workspace root.
    pub kept_at: TreePath,
    /// Why it was not dropped.
    pub reason: String,
}

/// The outcome of applying a plan.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, schemars::JsonSchema)]
pub struct ApplyReport {
    /// Paths that are now as planned.
    pub changed: Vec<StepReport>,
    /// Paths left alone: by the plan, or because they were edited meanwhile.
    pub kept: Vec<Kept>,
    /// Steps that failed.
    pub failed: Vec<StepReport>,
    /// Displaced files that were kept.
    pub displaced: Vec<Displaced>,
    /// Of a recovery that was taken back: the paths that do not hold what the safety checkpoint has of them, as the tree was
    /// compared with it afterwards; they are in `kept`, too. `None` where nothing was compared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unlike_before: Option<Vec<TreePath>>,
}

/// One line of the audit trail.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, schemars::JsonSchema)]
pub struct RecoveryRecord {
    /// Its id.
    pub recovery_id: RecoveryId,
    /// What kind it was.
    pub kind: RecoveryKind,
    /// Whose.
    pub workflow_id: WorkflowId,
    /// The checkpoint aimed at.
    pub target: CheckpointId,
    /// The checkpoint that saved the tree before.
    pub safety_checkpoint: Option<CheckpointId>,
    /// Where it stands.
    pub status: RecoveryStatus,
    /// Who asked.
    pub actor: String,
    /// The parameters as given.
    pub parameters: serde_json::Value,
    /// The recovery that this one undoes.
    pub undoes: Option<RecoveryId>,
    /// The recovery that undid this one.
    pub undone_by: Option<RecoveryId>,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// How it ended, step by step; `null` while it runs.
    pub report: Option<ApplyReport>,
}
