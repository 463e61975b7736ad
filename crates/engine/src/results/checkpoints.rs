//! Results of the operations on checkpoints.
//!
//! Owns their field names. Refuses to compute them.

use schemars::JsonSchema;
use serde::Serialize;
use wfr_model::checkpoint::{CheckpointType, FileCounts, Manifest, Summary, Trigger, VerificationStatus};
use wfr_model::coverage::{Skip, SkipReason, SkipSum};
use wfr_model::entry::Kind;
use wfr_model::plan::EntrySummary;
use wfr_model::retention::Decision;
use wfr_model::{CheckpointId, Digest, Timestamp, TreePath};

use super::Verdict;
use crate::params::{DiffFormat, ValidationLevel};

/// What a checkpoint does not cover.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, JsonSchema)]
pub struct CoverageResult {
    /// Sums by reason.
    pub skipped: Vec<SkipSum>,
    /// Whether nothing is missing that should be there.
    pub complete: bool,
    /// Every path that is not covered.
    pub paths: Vec<Skip>,
}

/// Result of `create-checkpoint`.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct CheckpointCreated {
    /// Its id.
    pub checkpoint_id: CheckpointId,
    /// Its name.
    pub name: String,
    /// Its type.
    pub checkpoint_type: CheckpointType,
    /// What caused it.
    pub trigger: Trigger,
    /// When it was taken.
    pub created_at: Timestamp,
    /// The root tree, `null` for state only.
    pub tree: Option<Digest>,
    /// Counts over the tree and against the checkpoint before.
    pub files: FileCounts,
    /// What it does not cover.
    pub coverage: CoverageResult,
    /// Bytes that it added to the store, its manifest aside.
    pub size_bytes: u64,
    /// Its tags.
    pub tags: Vec<String>,
    /// Its own retention policy.
    pub retention_policy: Option<String>,
    /// Whether it was read back and found whole.
    pub integrity_check: Verdict,
    /// How long it took.
    pub duration: String,
}

/// One line of a list.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct CheckpointLine {
    /// What every list shows.
    #[serde(flatten)]
    pub summary: Summary,
    /// The rest; with `include_metadata`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<LineMetadata>,
}

/// The metadata of a line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct LineMetadata {
    /// Bytes that it added to the store.
    pub size_bytes: u64,
    /// Its own retention policy.
    pub retention_policy: Option<String>,
    /// The root tree.
    pub tree: Option<Digest>,
    /// The manifest's hash.
    pub manifest: Digest,
    /// The checkpoint before it in the chain.
    pub predecessor: Option<CheckpointId>,
    /// Whether a rebuild or an import brought it.
    pub recovered: bool,
}

/// Result of `guard`, before the command is run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Guarded {
    /// The checkpoint's id; `null` where the configuration wants none.
    pub checkpoint_id: Option<CheckpointId>,
    /// The checkpoint's name.
    pub name: Option<String>,
    /// Paths that cannot be read or changed while they were: the checkpoint does not have them.
    pub not_covered: u64,
    /// The command and its words, as they were given.
    pub command: Vec<String>,
}

/// Result of `list-checkpoints`.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct CheckpointList {
    /// The checkpoints, in the order asked for.
    pub checkpoints: Vec<CheckpointLine>,
    /// How many fit the filters, limit aside.
    pub total: u64,
}

/// One path of a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Listed {
    /// Where.
    pub path: TreePath,
    /// What.
    #[serde(flatten)]
    pub entry: EntrySummary,
}

/// Result of `show`.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct CheckpointShown {
    /// The manifest.
    pub checkpoint: Manifest,
    /// What is known of its integrity now.
    pub verification_status: VerificationStatus,
    /// When that was found out.
    pub validation_timestamp: Option<Timestamp>,
    /// What it does not cover, with every path.
    pub coverage: CoverageResult,
    /// Every path that it holds; with `files`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub files: Option<Vec<Listed>>,
}

/// How a file's bytes are written in JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Encoding {
    /// As they are.
    Utf8,
    /// In base 64 (RFC 4648, with padding).
    Base64,
}

/// Result of `cat`. Without `--json` the bytes alone are written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct FileContent {
    /// The checkpoint.
    pub checkpoint_id: CheckpointId,
    /// The file.
    pub path: TreePath,
    /// Its kind: a regular file or a symbolic link.
    pub kind: Kind,
    /// Its size in bytes; of a symbolic link, its target's length.
    pub size: u64,
    /// SHA-256 of its bytes; `null` for a symbolic link.
    pub checksum: Option<Digest>,
    /// Its bytes; `null` where they are more than 16 MiB, which only the form without `--json` writes.
    pub content: Option<String>,
    /// How they are written in `content`.
    pub encoding: Option<Encoding>,
}

/// What happened to a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ChangeKind {
    /// It is new.
    Added,
    /// Its content or its target differs.
    Modified,
    /// Only its mode, owner, attributes or times differ.
    Metadata,
    /// It became something of another kind.
    Type,
    /// It is gone.
    Removed,
}

/// One path that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Change {
    /// Where.
    pub path: TreePath,
    /// What happened.
    pub kind: ChangeKind,
    /// What was there.
    pub before: Option<EntrySummary>,
    /// What is there.
    pub after: Option<EntrySummary>,
    /// Its owner (`uid:gid`) on each side; `null` where that is the same, or one side has nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owners: Option<[String; 2]>,
    /// The paths that are one file with it on each side, itself among them; `null` where that is the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub links: Option<[Vec<TreePath>; 2]>,
    /// Whether either side is no text, or too large to be compared line by line; `null` where nobody looked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub binary: Option<bool>,
    /// Lines that are new; `null` where lines were not compared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub insertions: Option<u64>,
    /// Lines that are gone; `null` where lines were not compared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletions: Option<u64>,
    /// The difference as text, in the format asked for; `null` where lines were not compared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patch: Option<String>,
}

/// One side of a comparison.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Side {
    /// The checkpoint; `null` for the tree as it is now.
    pub checkpoint_id: Option<CheckpointId>,
    /// Its name, or `tree`.
    pub name: String,
    /// The root tree.
    pub tree: Digest,
}

/// Result of `diff`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Differences {
    /// What is compared from.
    pub from: Side,
    /// What is compared to.
    pub to: Side,
    /// How it is shown.
    pub format: DiffFormat,
    /// Each path that differs, in order.
    pub changes: Vec<Change>,
    /// What one side does not cover, so that nobody knows whether it differs; a directory stands for all below it.
    pub not_looked_at: Vec<NotLookedAt>,
}

/// A side of a comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Compared {
    /// What is compared from.
    From,
    /// What is compared to.
    To,
}

/// A path that a side of a comparison does not cover.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct NotLookedAt {
    /// Where.
    pub path: TreePath,
    /// Which side.
    pub side: Compared,
    /// Why.
    pub reason: SkipReason,
    /// What the system said, for unreadable paths.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// In which way an object is not what it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum Fault {
    /// It is not there.
    Missing,
    /// Its bytes are not those that were written, or the medium does not give them.
    Altered,
    /// Its bytes are those that were written, and no object of its kind.
    Malformed,
}

/// One object that is damaged or missing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Damage {
    /// The object.
    pub object: Digest,
    /// What it is: `blob`, `tree`, ...
    pub kind: String,
    /// In which way.
    pub fault: Fault,
    /// A path that needs it; the root for the checkpoint's own objects.
    pub path: TreePath,
    /// What does not fit.
    pub message: String,
    /// Whether it was mended.
    pub repaired: bool,
}

/// Result of `validate-checkpoint`.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Validation {
    /// Which.
    pub checkpoint_id: CheckpointId,
    /// Its name.
    pub name: String,
    /// How much was looked at.
    pub validation_level: ValidationLevel,
    /// The conclusion.
    pub verification_status: VerificationStatus,
    /// Whether every object that was looked at is there and whole.
    pub integrity_check: Verdict,
    /// Whether the manifest fits its predecessor, the catalog and the chain's head.
    pub chain_check: Verdict,
    /// Dependencies; they come with the workflow's state.
    pub dependency_validation: Verdict,
    /// Objects looked at.
    pub objects: u64,
    /// Objects read to their last byte.
    pub objects_read: u64,
    /// Bytes read.
    pub bytes_read: u64,
    /// Damaged or missing objects found.
    pub damaged: u64,
    /// Of these, how many were mended.
    pub repaired: u64,
    /// Each of them; with `report_details`.
    pub damages: Vec<Damage>,
    /// The report's file below the workspace; `null` where it could not be written.
    pub report: Option<String>,
    /// How long it took.
    pub duration: String,
}

/// Result of `cleanup-checkpoints`.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Cleanup {
    /// Whether nothing was removed, just looked at.
    pub dry_run: bool,
    /// Of a dry run, what `apply` takes: it follows from which checkpoints would go.
    pub digest: Option<Digest>,
    /// Checkpoints removed, or that would be.
    pub removed: Vec<CheckpointId>,
    /// How many stay.
    pub kept: u64,
    /// Bytes that the store shrank by; `null` for a dry run.
    pub bytes_freed: Option<u64>,
    /// Bytes that would go, compression aside; `null` but for a dry run.
    pub bytes_reclaimable: Option<u64>,
    /// Bytes of packs that wait for a running command to end before they go.
    pub bytes_pending: u64,
    /// Checkpoints that stay so that recoveries can be undone.
    pub pins: Vec<Pin>,
    /// The decision on each checkpoint; with `report_cleanup` or a dry run.
    pub decisions: Vec<Decision>,
}

/// A checkpoint that a recovery needs so that it can be undone.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Pin {
    /// Which.
    pub checkpoint_id: CheckpointId,
    /// Its name.
    pub name: String,
    /// Bytes that it added to the store.
    pub bytes: u64,
}
