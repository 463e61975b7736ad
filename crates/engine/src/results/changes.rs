//! Results of the operations on the ledger.
//!
//! Owns their field names. Refuses to compute them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use wfr_model::change::{Actor, Author, Candidate, Change, Effect};
use wfr_model::plan::EntrySummary;
use wfr_model::{ChangeId, Timestamp, TreePath};

/// What was done to a path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct PathChange {
    /// Where.
    pub path: TreePath,
    /// What, in a word.
    pub effect: Effect,
    /// What was there before.
    pub before: Option<EntrySummary>,
    /// What was there then.
    pub after: Option<EntrySummary>,
    /// Whether it was taken back since.
    pub cancelled: bool,
    /// The difference as text, where it was asked for and can be shown; one after another where a recovery or somebody else
    /// changed the file in between.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patch: Option<String>,
}

/// Result of `change`.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct ChangeDone {
    /// What `end` takes; only where a change began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<ChangeId>,
    /// The change.
    pub change_id: ChangeId,
    /// What it did; empty where it began.
    pub paths: Vec<PathChange>,
    /// What was found with it and belongs to others.
    pub others: Vec<OthersPaths>,
}

/// What was found and belongs to others.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct OthersPaths {
    /// Their change.
    pub change_id: ChangeId,
    /// Who made it.
    pub actor: Actor,
    /// On whose behalf.
    #[serde(flatten)]
    pub author: Author,
    /// Who else may have made it, or who may have where it is nobody's in particular.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub candidates: Vec<Candidate>,
    /// How many paths.
    pub paths: u64,
}

/// One change of the ledger.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct ChangeLine {
    /// It.
    #[serde(flatten)]
    pub change: Change,
    /// Who asked for the recovery that it is the effect of; `null` where it is none.
    pub requested_by: Option<String>,
    /// What it did.
    pub paths: Vec<PathChange>,
    /// How many paths there are, with those that are not listed.
    pub paths_total: u64,
    /// Other changes that were open at the same time.
    pub overlaps: Vec<ChangeId>,
}

/// Result of `log`.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct ChangeLog {
    /// The changes, newest first.
    pub changes: Vec<ChangeLine>,
}

/// Lines of a file that came with one change.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct BlamedLines {
    /// The first of them, from 1.
    pub first_line: u64,
    /// The text, with its line ends.
    pub lines: Vec<String>,
    /// Whether a look has found them; `false` of what was edited since the last one, which is nobody's change yet.
    pub recorded: bool,
    /// The change that brought them; `null` for what was there before the ledger, and for what is not recorded.
    pub change_id: Option<ChangeId>,
    /// Who made it.
    pub actor: Option<Actor>,
    /// On whose behalf.
    #[serde(flatten)]
    pub author: Author,
    /// Who else may have made it; of work that is shared, those of whom it is one.
    pub candidates: Vec<Candidate>,
    /// When it ended.
    pub at: Option<Timestamp>,
}

/// Result of `blame`.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Blamed {
    /// The file.
    pub path: TreePath,
    /// Its lines, in order.
    pub lines: Vec<BlamedLines>,
}

/// Result of `who`.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct PathHistory {
    /// The path.
    pub path: TreePath,
    /// The changes that touched it, newest first, with what they did there; of a directory those of what is below it, too.
    pub changes: Vec<ChangeLine>,
}

/// Result of `watch`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WatchView {
    /// Whether somebody watches.
    pub running: bool,
    /// The process that does.
    pub process: Option<u32>,
    /// Since when.
    pub started_at: Option<Timestamp>,
    /// How many directories are watched.
    pub directories: u64,
    /// Directories that cannot be watched: each look goes through them.
    #[schemars(with = "Vec<String>")]
    pub unwatched: Vec<TreePath>,
    /// Whether that is for the system's limit on watches.
    pub limited: bool,
}
