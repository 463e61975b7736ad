//! Parameters of the operations that carry checkpoints out of the workspace and into it.
//!
//! Owns their keys. Refuses to act on them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use wfr_model::{Span, WorkflowId};

use super::values::{HostPath, On};

/// What a backup holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum BackupType {
    /// All checkpoints of the workflow.
    #[default]
    #[serde(alias = "full")]
    Comprehensive,
    /// The newest one only.
    Latest,
}

/// Writes a workflow's checkpoints into one self-contained archive, and verifies it.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct BackupState {
    /// The workflow.
    pub workflow_id: Option<WorkflowId>,
    /// What it holds.
    pub backup_type: BackupType,
    /// Whether it is compressed.
    pub compression: On,
    /// Whether it is encrypted: for `recipients`, or with the passphrase; as the store is where it is not given.
    pub encryption: Option<bool>,
    /// Who can read it, by age recipients (age1...); implies encryption.
    pub recipients: Vec<String>,
    /// How long it is to be kept, for whoever tidies up: it is written into the archive.
    pub retention: Option<Span>,
    /// Where it is written; a name made from workflow and time in the current directory where it is not given.
    pub output: Option<HostPath>,
}

/// What is imported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum ImportFrom {
    /// An archive of `backup-state`.
    #[default]
    Archive,
    /// A coordination hub's state; comes with the workflow's state.
    Hub,
    /// A Markdown plan; comes with the workflow's state.
    Plan,
}

/// Brings the checkpoints of an archive into the store.
///
/// All of it is verified before the first of them is committed. Checkpoints that are there already are left alone.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Import {
    /// The file.
    pub path: Option<HostPath>,
    /// What it is.
    pub from: ImportFrom,
}

/// Writes the reference's metadata files of a workflow.
///
/// They are `checkpoint_index.json`, `integrity_hashes.json` and `dependency_graph.json`, below
/// `.claude/recovery/checkpoints/WORKFLOW/metadata`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Metadata {
    /// The workflow.
    pub workflow_id: Option<WorkflowId>,
}
