//! Results of the operations on workflows' states.
//!
//! Owns their field names. Refuses to compute them.

use schemars::JsonSchema;
use serde::Serialize;
use wfr_model::workflow::merge::{ConflictResolution, MergeConflict, MergeStrategy};
use wfr_model::workflow::validate::StateFinding;
use wfr_model::workflow::validate::mend::Strategy;
use wfr_model::{CheckpointId, Digest, EventId, RecoveryId, WorkflowId};

use super::{PolicyCheckpoint, Verdict};
use crate::dependencies::{Origin, Probed};
use crate::params::ValidationDepth;

/// What a workflow needs, as it was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct StateNeed {
    /// What was found.
    #[serde(flatten)]
    pub probed: Probed,
    /// Where it is declared: in the configuration, for all workflows, in the state, or in both.
    pub declared_in: Vec<Origin>,
}

/// What each check of a state said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, JsonSchema)]
pub struct StateChecks {
    /// What is kept is what the events give. At `basic` depth only the rows are looked at.
    pub checksum: Verdict,
    /// Its parts fit together.
    pub structural: Verdict,
    /// It makes sense.
    pub semantic: Verdict,
    /// It fits what it refers to.
    pub cross_reference: Verdict,
    /// What it needs is there; `skipped` where nothing is declared.
    pub dependency_validation: Verdict,
    /// The newest checkpoint is whole; `skipped` where there is none.
    pub file_integrity: Verdict,
    /// It took no longer than configured.
    pub performance_check: Verdict,
}

/// How large the state is, and how long the validation took.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, JsonSchema)]
pub struct StateFigures {
    /// Milliseconds that the validation took.
    pub duration_ms: u64,
    /// Milliseconds that it may take, as configured; `null` where there is no limit.
    pub limit_ms: Option<u64>,
    /// Events that were folded again; `null` where they were not.
    pub events: Option<u64>,
    /// Phases.
    pub phases: u64,
    /// Tasks.
    pub tasks: u64,
    /// Agents.
    pub agents: u64,
    /// Shares of resources.
    pub allocations: u64,
}

/// Result of `validate-state`.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct StateValidation {
    /// Which workflow.
    pub workflow_id: WorkflowId,
    /// The version of its state.
    pub state_version: u64,
    /// How much was looked at.
    pub validation_depth: ValidationDepth,
    /// Whether nothing was found that makes it invalid.
    pub valid: bool,
    /// What each check said.
    pub checks: StateChecks,
    /// Everything that was found.
    pub findings: Vec<StateFinding>,
    /// What it needs and is not there; with `report_details` all that it needs.
    pub dependencies: Vec<StateNeed>,
    /// Figures; with `performance_check`.
    pub performance: Option<StateFigures>,
    /// The report's file; `null` where it could not be written.
    pub report: Option<String>,
}

/// Something that cannot be brought back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct LostRow {
    /// Where: `events/17`, `tasks/t1`.
    pub place: String,
    /// What does not fit.
    pub why: String,
    /// What stands there.
    pub text: String,
}

/// The plan of a repair.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct RepairPlan {
    /// By which it can be applied.
    pub digest: Digest,
    /// The version of the state that it was made for.
    pub state_version: u64,
    /// Events that come back to the log from checkpoints.
    pub events_back: u64,
    /// Whether the state is folded again from its events.
    pub fold_again: bool,
    /// Parts that one event sets: `tasks/t1`, `head`.
    pub changes: Vec<String>,
    /// The findings that are mended.
    pub repairs: Vec<StateFinding>,
    /// What nothing brings back.
    pub lost: Vec<LostRow>,
}

/// Result of `repair-state`.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct StateRepair {
    /// Which workflow.
    pub workflow_id: WorkflowId,
    /// Which repairs were asked for.
    pub repair_strategy: Strategy,
    /// The plan.
    pub plan: RepairPlan,
    /// Whether it was applied.
    pub applied: bool,
    /// The checkpoint of the state before; `null` where none was taken.
    pub backup: Option<CheckpointId>,
    /// As which `undo` takes it back; `null` where no checkpoint holds the state before.
    pub recovery_id: Option<RecoveryId>,
    /// The event that set what was mended; `null` where none was needed.
    pub event_id: Option<EventId>,
    /// Whether the state is valid now; `skipped` where it was not looked at again.
    pub validation: Verdict,
    /// What is still wrong.
    pub remaining: Vec<StateFinding>,
    /// The log's file; `null` where there is none.
    pub log: Option<String>,
}

/// The plan of a merge.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct MergePlan {
    /// By which it can be applied.
    pub digest: Digest,
    /// The version of the state that it was made for.
    pub state_version: u64,
    /// Parts that change: `tasks/t1`, `head`.
    pub changes: Vec<String>,
    /// Where the states differ, and who wins.
    pub conflicts: Vec<MergeConflict>,
    /// What the states say in no form that is understood: it is in no merged state.
    pub left_out: Vec<LeftOut>,
    /// What would be wrong with the merged state.
    pub findings: Vec<StateFinding>,
}

/// Something that a state says and that does not go into a merge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct LeftOut {
    /// Which state says it.
    pub source: String,
    /// The part, and why it is left out.
    pub what: String,
}

/// Result of `merge-states`.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct StateMerge {
    /// The workflow that becomes the merged one.
    pub workflow_id: WorkflowId,
    /// How they become one.
    pub merge_strategy: MergeStrategy,
    /// Who wins where they differ.
    pub conflict_resolution: ConflictResolution,
    /// The states, the first one first.
    pub sources: Vec<String>,
    /// The plan.
    pub plan: MergePlan,
    /// Whether it was applied.
    pub applied: bool,
    /// The checkpoint of the state before; `null` where nothing changed, or there was none.
    pub backup: Option<CheckpointId>,
    /// As which `undo` takes it back; `null` where no checkpoint holds the state before.
    pub recovery_id: Option<RecoveryId>,
    /// The event that set the merged state; `null` where nothing changed.
    pub event_id: Option<EventId>,
    /// Checkpoints that the configuration's policy asks for because of what changed.
    pub checkpoints: Vec<PolicyCheckpoint>,
}
