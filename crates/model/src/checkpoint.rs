//! A checkpoint as a value: the manifest, in the reference's schema with this product's additions.
//!
//! Owns field names and defaults of `.ckpt` files. Refuses to compute them: the engine fills them in.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::coverage::SkipSum;
use crate::digest::Digest;
use crate::ids::{CheckpointId, WorkflowId};
use crate::path::TreePath;
use crate::time::{FileTime, Timestamp};

/// The version of the manifest's form that this build writes; it reads no later one.
pub const MANIFEST_VERSION: u32 = 1;

/// File lists of a manifest hold at most this many paths; the counts beside them are always whole.
pub const INLINE_PATHS_MAX: usize = 1_000;

/// The tag of checkpoints that recoveries take to save the tree before they change it.
pub const SAFETY_TAG: &str = "safety";

/// Whether a recovery took this checkpoint to save the tree: the tag alone, which anybody may use, does not say so.
pub fn is_safety(kind: CheckpointType, trigger: Trigger, tags: &[String]) -> bool {
    let is_marked = tags.iter().any(|tag| tag == SAFETY_TAG);
    is_marked && kind == CheckpointType::Emergency && trigger == Trigger::PreCritical
}

/// Why kinds of checkpoints exist.
#[derive(
    Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum CheckpointType {
    /// Taken when a phase ended; siblings also write `phase_boundary`.
    #[serde(alias = "phase_boundary")]
    PhaseComplete,
    /// Taken at an interval.
    Incremental,
    /// Taken because something is about to break, or before a recovery.
    Emergency,
    /// Taken by hand.
    #[default]
    Manual,
}

impl CheckpointType {
    /// All types, in the order of the reference.
    pub const ALL: [Self; 4] = [Self::PhaseComplete, Self::Incremental, Self::Emergency, Self::Manual];

    /// The name used in JSON and on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::PhaseComplete => "phase_complete",
            Self::Incremental => "incremental",
            Self::Emergency => "emergency",
            Self::Manual => "manual",
        }
    }

    /// The directory of the view that holds this type's manifests.
    pub fn directory(self) -> &'static str {
        match self {
            Self::PhaseComplete => "phase_checkpoints",
            Self::Incremental => "incremental",
            Self::Emergency => "emergency",
            Self::Manual => "manual",
        }
    }

    /// The trigger where none is given.
    pub fn default_trigger(self) -> Trigger {
        match self {
            Self::PhaseComplete => Trigger::PhaseCompletion,
            Self::Incremental => Trigger::TimeInterval,
            Self::Emergency => Trigger::PreCritical,
            Self::Manual => Trigger::Manual,
        }
    }
}

/// What caused a checkpoint; the dialects of the reference and of `checkpoint_sync` are both accepted.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Trigger {
    /// A phase ended.
    PhaseCompletion,
    /// Time passed.
    TimeInterval,
    /// Something risky comes next.
    PreCritical,
    /// Somebody asked.
    Manual,
    /// A policy asked.
    Automatic,
    /// Something looked like failing.
    FailurePrevention,
}

impl Trigger {
    /// The name used in JSON and on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::PhaseCompletion => "phase_completion",
            Self::TimeInterval => "time_interval",
            Self::PreCritical => "pre_critical",
            Self::Manual => "manual",
            Self::Automatic => "automatic",
            Self::FailurePrevention => "failure_prevention",
        }
    }
}

/// The file as written to disk: `{"checkpoint": {...}}`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, schemars::JsonSchema)]
pub struct ManifestFile {
    /// The manifest.
    pub checkpoint: Manifest,
}

/// One checkpoint. What is not known is `null`, never invented.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Manifest {
    /// Version of this form: [`MANIFEST_VERSION`].
    pub format_version: u32,
    /// Its id.
    pub checkpoint_id: CheckpointId,
    /// Its name, unique within the workflow.
    pub name: String,
    /// The workflow it belongs to.
    pub workflow_id: WorkflowId,
    /// Its type.
    pub checkpoint_type: CheckpointType,
    /// When it was taken.
    pub created_at: Timestamp,
    /// The phase's number, where one was given.
    pub phase_id: Option<i64>,
    /// The phase's name, where one was given.
    pub phase_name: Option<String>,
    /// What caused it.
    pub trigger: Trigger,
    /// The workflow's state in the reference's fields; `null` where nothing was ever said of it. The whole state is the
    /// object `integrity.state_hash`.
    pub workflow_state: Option<Value>,
    /// The tree; `null` for a checkpoint of state only.
    pub file_system_state: Option<FileSystemState>,
    /// What the workflow needs, as it was declared, and how it stood; `null` where nothing was declared.
    pub dependencies: Option<Value>,
    /// Hashes.
    pub integrity: Integrity,
    /// The events of the vault since the checkpoint before, for when the catalog is lost.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sealed_events: Vec<SealedEvents>,
    /// The ledger since the checkpoint before, in parts; empty where nobody keeps one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sealed_ledger: Vec<SealedChanges>,
    /// The rest.
    pub metadata: Metadata,
}

/// A part of the ledger that a checkpoint holds: changes, and what they did to which path.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, schemars::JsonSchema)]
pub struct SealedChanges {
    /// The object.
    pub object: Digest,
    /// The last look at the tree that is in it.
    pub upto: i64,
}

/// An object that holds events.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, schemars::JsonSchema)]
pub struct SealedEvents {
    /// The object.
    pub object: Digest,
    /// The place of the first event in the vault's order.
    pub first: i64,
    /// The place of the last one.
    pub upto: i64,
}

/// What lists show of a checkpoint.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Summary {
    /// Its id.
    pub checkpoint_id: CheckpointId,
    /// Whose.
    pub workflow_id: WorkflowId,
    /// Its name.
    pub name: String,
    /// Its type.
    pub checkpoint_type: CheckpointType,
    /// What caused it.
    pub trigger: Trigger,
    /// When it was taken.
    pub created_at: Timestamp,
    /// The phase's number.
    pub phase_id: Option<i64>,
    /// The phase's name.
    pub phase_name: Option<String>,
    /// Its tags.
    pub tags: Vec<String>,
    /// Whether nothing is missing that should be there.
    pub complete: bool,
    /// Counts over its tree.
    pub files: FileCounts,
    /// What is known of its integrity; with `include_integrity_status`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verification_status: Option<VerificationStatus>,
    /// When that was found out; with `include_integrity_status`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validation_timestamp: Option<Timestamp>,
}

/// The files of a checkpoint: the tree's root, and what changed since the checkpoint before.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, schemars::JsonSchema)]
pub struct FileSystemState {
    /// The workspace's path when it was taken, escaped as paths are.
    pub workspace: String,
    /// The root tree object.
    pub tree: Digest,
    /// The object that lists groups of hard-linked paths; `null` where there are none.
    pub hard_links: Option<Digest>,
    /// The workspace root directory's own permission bits.
    pub root_mode: u32,
    /// Its time of last modification; earlier versions did not note it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root_mtime: Option<FileTime>,
    /// Counts over the tree and against the checkpoint before.
    pub files: FileCounts,
    /// Files changed since the checkpoint before; at most [`INLINE_PATHS_MAX`].
    pub modified_files: Vec<ModifiedFile>,
    /// Paths new since the checkpoint before; at most [`INLINE_PATHS_MAX`].
    pub created_files: Vec<TreePath>,
    /// Paths gone since the checkpoint before; at most [`INLINE_PATHS_MAX`].
    pub deleted_files: Vec<TreePath>,
    /// Whether any of the three lists was cut.
    pub lists_truncated: bool,
    /// Where the whole tree is listed: `wfr show` and `wfr diff` read it from the store.
    pub directory_structure: String,
    /// What it does not cover.
    pub coverage: CoverageSummary,
    /// The git repositories in it, whose `.git` is not captured: where each stood.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub repositories: Vec<Repository>,
    /// Directories in it at which other file systems were mounted, sorted; earlier versions did not note them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mounts: Vec<TreePath>,
    /// Directories in it at which earlier checkpoints saw other file systems, and none was mounted at this one, sorted. What
    /// was on these is not gone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unmounted: Vec<TreePath>,
    /// Which file systems these were, as far as that can be told: another one at the same place has another text.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub mounted_file_systems: BTreeMap<TreePath, String>,
}

/// Where a git repository stood.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Repository {
    /// Its directory; empty for the root.
    pub path: TreePath,
    /// The branch that HEAD names, such as `refs/heads/main`; `null` where HEAD is detached.
    pub branch: Option<String>,
    /// The commit; `null` where the branch has none yet.
    pub commit: Option<String>,
    /// What was going on: `merge`, `rebase`, `cherry-pick`, `revert`, `bisect`.
    pub in_progress: Vec<String>,
}

/// Counts of a tree.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, schemars::JsonSchema)]
pub struct FileCounts {
    /// All entries but directories.
    pub total: u64,
    /// Directories, the root not counted.
    pub directories: u64,
    /// Bytes of all regular files.
    pub bytes: u64,
    /// Entries that the checkpoint before did not have.
    pub added: u64,
    /// Entries that differ from the checkpoint before.
    pub changed: u64,
    /// Entries that only the checkpoint before had.
    pub removed: u64,
}

/// A file that differs from the checkpoint before.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, schemars::JsonSchema)]
pub struct ModifiedFile {
    /// Where.
    pub path: TreePath,
    /// SHA-256 of its content; `null` for what is not a regular file.
    pub checksum: Option<Digest>,
    /// Its size in bytes.
    pub size: u64,
    /// Its modification time.
    pub modified_at: Timestamp,
    /// Where the bytes are: `store:` and the object's id.
    pub backup_location: String,
}

/// What a checkpoint does not cover, summed up; the paths are in the object `paths`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, schemars::JsonSchema)]
pub struct CoverageSummary {
    /// Sums by reason.
    pub skipped: Vec<SkipSum>,
    /// Whether nothing is missing that should be there.
    pub complete: bool,
    /// The object that lists every path; `null` where nothing was skipped.
    pub paths: Option<Digest>,
}

/// Hashes of a checkpoint.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Integrity {
    /// SHA-256 of the root object of the workflow's state; `null` without state.
    pub state_hash: Option<Digest>,
    /// Where every file's SHA-256 is: `tree`, that is, in the tree objects.
    pub file_checksums: String,
    /// When it was last validated in full before the manifest was written; `null` where it was not.
    pub validation_timestamp: Option<Timestamp>,
    /// The result of that validation.
    pub verification_status: VerificationStatus,
    /// The manifest before this one in the workspace's chain; `null` for the first.
    pub predecessor: Option<Predecessor>,
}

/// The link to the manifest before.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Predecessor {
    /// Its id.
    pub checkpoint_id: CheckpointId,
    /// SHA-256 of its stored bytes.
    pub manifest_hash: Digest,
}

/// What is known of a checkpoint's integrity; the dialect `passed | failed` is accepted.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum VerificationStatus {
    /// Checked and found whole.
    #[serde(alias = "passed")]
    Valid,
    /// Checked and found inconsistent.
    #[serde(alias = "failed")]
    Invalid,
    /// Objects are damaged or missing.
    Corrupted,
    /// Not checked.
    Unknown,
}

impl VerificationStatus {
    /// The name used in JSON and in the catalog.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Valid => "valid",
            Self::Invalid => "invalid",
            Self::Corrupted => "corrupted",
            Self::Unknown => "unknown",
        }
    }
}

/// The reference's metadata block.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Metadata {
    /// Bytes that this checkpoint added to the store, manifest not counted.
    pub size_bytes: u64,
    /// How objects are compressed.
    pub compression: String,
    /// How long it is kept: a duration, or `permanent`; `null` follows the configuration.
    pub retention_policy: Option<String>,
    /// Whether the store is encrypted.
    pub encryption: bool,
    /// Free words.
    pub tags: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dialects_are_read_and_one_form_is_written() {
        let read: CheckpointType = serde_json::from_str("\"phase_boundary\"").unwrap();
        assert_eq!(read, CheckpointType::PhaseComplete);
        assert_eq!(serde_json::to_string(&read).unwrap(), "\"phase_complete\"");
        let status: VerificationStatus = serde_json::from_str("\"passed\"").unwrap();
        assert_eq!(status, VerificationStatus::Valid);
        for kind in CheckpointType::ALL {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.as_str());
        }
    }
}
