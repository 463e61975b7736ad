//! Results of the operations on a workspace as a whole, on archives, and on the program itself.
//!
//! Owns their field names. Refuses to compute them. Paths of this machine are written with the escapes of
//! [`wfr_model::path`].

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;
use wfr_model::finding::Finding;
use wfr_model::{CheckpointId, Digest, WorkflowId};

use super::PolicyCheckpoint;

/// Result of `init`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Initialised {
    /// The workspace's root.
    pub workspace: String,
    /// The store.
    pub store: String,
    /// The view.
    pub view: String,
    /// Whether it was protected before.
    pub existed: bool,
    /// Whether the store is encrypted.
    pub encrypted: bool,
    /// The file with the unlocked key; `null` where none was asked for.
    pub unlocked_key: Option<String>,
    /// Whether the store lies inside the workspace, and so goes with it.
    pub store_inside_workspace: bool,
}

/// One key of the configuration.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct ConfigKey {
    /// Its whole name, with dots.
    pub key: String,
    /// Its value.
    pub value: Value,
    /// Its default.
    pub default: Value,
    /// Whether it has an effect in this version.
    pub in_effect: bool,
}

/// Result of `config`.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct ConfigView {
    /// The file.
    pub file: String,
    /// Every key that was asked for.
    pub keys: Vec<ConfigKey>,
    /// Keys whose value changed now.
    pub changed: Vec<String>,
}

/// Result of `backup-state`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Backup {
    /// The archive's file.
    pub path: String,
    /// Its size in bytes.
    pub size_bytes: u64,
    /// SHA-256 of the file.
    pub checksum: Digest,
    /// The checkpoints in it, oldest first.
    pub checkpoints: Vec<CheckpointId>,
    /// Objects in it.
    pub objects: u64,
    /// The workflow's events in it: its state is their fold.
    pub events: u64,
    /// How it is compressed.
    pub compression: String,
    /// Whether it is encrypted.
    pub encrypted: bool,
    /// How long it is to be kept.
    pub retention: Option<String>,
    /// Whether it was read back and found whole.
    pub verified: bool,
}

/// What became of a workflow that was imported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Became {
    /// It is new.
    Created,
    /// It changed.
    Updated,
    /// It was so before.
    Unchanged,
}

/// A workflow of a hub or of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ImportedWorkflow {
    /// Which.
    pub workflow_id: WorkflowId,
    /// What became of it.
    pub became: Became,
    /// Events of its log that are new.
    pub events: u64,
    /// Phases that are new.
    pub phases_created: u64,
    /// Tasks that are new.
    pub tasks_created: u64,
    /// Tasks that changed.
    pub tasks_updated: u64,
    /// Tasks that were so before.
    pub tasks_unchanged: u64,
    /// Agents that are new.
    pub agents_created: u64,
}

/// A part of a document that was passed over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct IgnoredPart {
    /// Where: a file, with its line where it has one.
    pub place: String,
    /// Why.
    pub why: String,
}

/// Result of `import`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, JsonSchema)]
pub struct Imported {
    /// The file or directory.
    pub path: String,
    /// The workflows concerned.
    pub workflows: Vec<WorkflowId>,
    /// Checkpoints that are new in the store, oldest first.
    pub imported: Vec<CheckpointId>,
    /// Checkpoints that were there already.
    pub present: Vec<CheckpointId>,
    /// Objects that are new in the store.
    pub objects: u64,
    /// Whether nothing was brought in, just looked at.
    pub dry_run: bool,
    /// Events that are new in the log; of a dry run, that would be, states aside.
    pub events: u64,
    /// Events that were there already.
    pub events_known: u64,
    /// What became of each workflow of a hub or of a plan.
    pub states: Vec<ImportedWorkflow>,
    /// What was passed over, and why.
    pub ignored: Vec<IgnoredPart>,
    /// Where a state contradicts itself with what was brought in, and did not before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub contradictions: Vec<IgnoredPart>,
    /// Checkpoints that the configuration's policy asks for because of what changed.
    pub checkpoints: Vec<PolicyCheckpoint>,
}

/// Result of `export`.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Exported {
    /// Which workflow.
    pub workflow_id: WorkflowId,
    /// The version of its state.
    pub state_version: u64,
    /// The file; `null` where the document is here.
    pub path: Option<String>,
    /// Its size in bytes.
    pub size_bytes: u64,
    /// SHA-256 of its bytes.
    pub checksum: Digest,
    /// The document; `null` where it is in a file.
    pub document: Option<Value>,
}

/// Result of `metadata`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct MetadataWritten {
    /// The files, below the workspace's root.
    pub files: Vec<String>,
    /// How many checkpoints they speak of.
    pub checkpoints: u64,
}

/// What one mount's file system can do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct FileSystemReport {
    /// Where it is mounted below the workspace; `.` for the root.
    pub path: String,
    /// Its kind, such as `ext4`.
    pub kind: String,
    /// Whether two names can be exchanged at once.
    pub exchange: bool,
    /// Whether a rename can refuse to replace.
    pub no_replace: bool,
    /// Whether a writer can be told by a lease.
    pub leases: bool,
}

/// Result of `doctor`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, JsonSchema)]
pub struct Diagnosis {
    /// Whether nothing needs to be done.
    pub healthy: bool,
    /// What was found, worst first.
    pub findings: Vec<Finding>,
    /// The workspace's root.
    pub workspace: Option<String>,
    /// The store.
    pub store: Option<String>,
    /// What each mount's file system can do.
    pub file_systems: Vec<FileSystemReport>,
    /// Checkpoints in the catalog.
    pub checkpoints: u64,
    /// Checkpoints that a rebuild brought back; `null` where none ran.
    pub rebuilt: Option<u64>,
    /// Events that a rebuild brought back; `null` where none ran.
    pub events_rebuilt: Option<u64>,
}

/// The schemas of one operation.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct OperationSchemas {
    /// The JSON Schema of its parameters.
    pub parameters: Value,
    /// The JSON Schema of its result.
    pub result: Value,
}

/// Result of `schema`.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum Schemas {
    /// Those of the operation that was named.
    One(Box<OperationSchemas>),
    /// Those of all, by operation.
    All(BTreeMap<String, OperationSchemas>),
}

/// Result of operations that write text.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, JsonSchema)]
pub struct Text {
    /// The text; empty where it went into files.
    pub text: String,
    /// Files that were written.
    pub files: Vec<String>,
}
