//! Parameters of the operations on workflows' states.
//!
//! Owns their keys. Refuses to act on them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use wfr_model::workflow::merge::{ConflictResolution, MergeStrategy};
use wfr_model::workflow::validate::mend::Strategy;
use wfr_model::{Digest, WorkflowId};

use super::values::{On, OneOrMany};

/// How much of a state a validation looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum ValidationDepth {
    /// What is kept and how its parts fit together; neither its sense nor what it refers to, and not its events.
    Basic,
    /// All four layers, and the events it is folded from unless there are very many.
    #[default]
    Standard,
    /// All its events, the catalog's file, the ledger, and what the next checkpoint would hold of it.
    Comprehensive,
}

/// Looks whether a workflow's state can be relied on; changes nothing of it.
///
/// Four layers: what is kept is what the events give (checksum), its parts fit together (structural), it makes sense
/// (semantic), it fits what it refers to (cross-reference). Each finding says where, how bad, and what would mend it.
/// A report is written below `.claude/recovery/state_validation/consistency_reports`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ValidateState {
    /// The workflow; the only one where it is not given.
    pub workflow_id: Option<WorkflowId>,
    /// How much is looked at; `standard` where it is not given.
    pub validation_depth: Option<ValidationDepth>,
    /// Whether what it declares to need is looked for: tools, files, variables, ports.
    pub check_dependencies: bool,
    /// Whether the newest checkpoint's objects are verified, every byte of them at any depth.
    pub verify_file_integrity: bool,
    /// Whether it is said how long this took, against the configured limit.
    pub performance_check: bool,
    /// Whether dependencies that are there are listed, too.
    pub report_details: bool,
}

/// Mends a workflow's state.
///
/// What is damaged in the store is folded again from the events; what contradicts itself is mended by one event, so
/// that history is never rewritten. What only a person can say is left alone, and what is lost is named. A log is
/// written below `.claude/recovery/state_validation/repair_logs`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RepairState {
    /// The workflow; the only one where it is not given.
    pub workflow_id: Option<WorkflowId>,
    /// Which repairs are made.
    pub repair_strategy: Strategy,
    /// Whether a checkpoint of state only is taken first.
    pub backup_before_repair: On,
    /// Whether it is validated afterwards.
    pub validate_after_repair: On,
    /// Whether each finding that is mended is listed.
    pub report_repairs: On,
    /// Shows what would be done, and does nothing.
    pub plan: bool,
    /// Does it if its plan has this digest.
    pub apply: Option<Digest>,
    /// Does it without asking.
    pub yes: bool,
}

/// Merges several states into one.
///
/// A state is `current_workflow_state`, a workflow, a checkpoint, or a file with a document of the hub or of the
/// reference (a path with `/`, or a name that ends in `.json`). What comes of it is a plan first; applied, it is one
/// event of the workflow. With `manual_review` every conflict is listed and nothing is merged until none is left.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct MergeStates {
    /// The workflow that becomes the merged one; the primary state's where it is not given.
    pub workflow_id: Option<WorkflowId>,
    /// The first state.
    pub primary_state: Option<String>,
    /// The others.
    pub secondary_states: OneOrMany<String>,
    /// The common ancestor, for `three_way`.
    pub base_state: Option<String>,
    /// How they become one.
    pub merge_strategy: MergeStrategy,
    /// Who wins where they differ.
    pub conflict_resolution: ConflictResolution,
    /// Shows what would come of it, and does nothing.
    pub plan: bool,
    /// Does it if its plan has this digest.
    pub apply: Option<Digest>,
    /// Does it without asking.
    pub yes: bool,
}
