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
    /// Whether it is encrypted: for `recipients`, or with the passphrase where none are named; where this is not given it is if the
    /// store is. A store that is encrypted for recipients does not know them: they are named again.
    pub encryption: Option<bool>,
    /// Who can read it, by age recipients (age1...); implies encryption.
    pub recipients: Vec<String>,
    /// How long it is to be kept, for whoever tidies up: it is written into the archive.
    pub retention: Option<Span>,
    /// Where it is written. Where it is not given: under a name made from workflow and time in the current directory, or in
    /// `wfr/backups` below the user's data directory where the current directory is in the workspace.
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
    /// A coordination hub's directory, or one document of it.
    Hub,
    /// A Markdown plan.
    Plan,
}

/// Brings in checkpoints of an archive, or workflows of a coordination hub or of a Markdown plan.
///
/// An archive is verified before anything of it is committed; checkpoints and events that are there already are left
/// alone. From a hub come the states in `workflows`, the logs in `events` and what `agent_pools` say of agents; from a
/// plan its phases (`## Phase 1: Research [COMPLETED]`) and its tasks (`- [ ]`, `- [x]`, `- [/]` in progress,
/// `- [!]` failed; `[-]`, `[~]` and `[>]` mean different things to different tools, and are named). Nothing comes twice: called
/// again, it brings in what its source says otherwise than at the last import, and takes nothing back that came about here
/// since. Where both changed the same, the later one wins, and `ignored` names it. An open box says nothing of a task that
/// is known better.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Import {
    /// The file, or the hub's directory.
    pub path: Option<HostPath>,
    /// What it is.
    pub from: ImportFrom,
    /// Of a hub: of this workflow only. Of a plan or of a document that names none: the workflow that it is.
    pub workflow_id: Option<WorkflowId>,
    /// Whether it is only said what would come of it; of hubs and plans.
    pub dry_run: bool,
}

/// The shape of a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum DocumentFormat {
    /// The coordination hub's: all of the state; `import --from hub` reads it back.
    #[default]
    Hub,
    /// The reference's: the `workflow_state` of a checkpoint, a summary.
    Reference,
}

/// Writes a workflow's state as a document of the coordination hub, or of the reference.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Export {
    /// The workflow.
    pub workflow_id: Option<WorkflowId>,
    /// The shape.
    pub format: DocumentFormat,
    /// The file, which must not be there; the document is part of the answer where it is not given.
    pub output: Option<HostPath>,
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
