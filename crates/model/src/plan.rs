//! A recovery's plan: what would be done to which path, as a value with a digest.
//!
//! Owns the steps and conflicts and their stable text. Refuses to make or apply one: that is `recovery`.

use serde::{Deserialize, Serialize};

use crate::coverage::SkipReason;
use crate::digest::Digest;
use crate::entry::{Entry, Kind};
use crate::ids::{ChangeId, CheckpointId, WorkflowId};
use crate::path::TreePath;
use crate::time::FileTime;

/// One change to one path. `before` is what must stand there when the step runs, `after` what stands there then.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Step {
    /// Where.
    pub path: TreePath,
    /// What is done.
    pub action: Action,
    /// The entry that is there now; `None`: nothing.
    pub before: Option<Entry>,
    /// The entry that will be there; `None`: nothing.
    pub after: Option<Entry>,
}

/// What a step does.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Puts something where nothing is.
    Create,
    /// Exchanges a file or link for another one.
    Replace,
    /// Takes a file or link away.
    Delete,
    /// Makes a directory.
    MakeDir,
    /// Removes an empty directory.
    RemoveDir,
    /// Sets mode, times, owner or extended attributes only.
    SetMeta,
}

/// Something that a plan leaves alone, and why.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Kept {
    /// Where.
    pub path: TreePath,
    /// Why.
    pub reason: KeptReason,
}

/// Why a path is left alone.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum KeptReason {
    /// The checkpoint does not cover it.
    NotInCheckpoint(SkipReason),
    /// The present tree's capture does not cover it, so it could not be saved first.
    NotSaved(SkipReason),
    /// Neither side knows what it holds: left out by rule, or it came since and cannot be saved.
    Uncovered(SkipReason),
    /// It is git's own (`.git`), which a recovery in place never writes; `restore --to` does, where the checkpoint has it.
    Git,
    /// A pipe or a socket: never created or removed.
    Special,
    /// A directory that still holds something that stays.
    NotEmpty,
    /// It was edited while the recovery ran.
    Edited,
    /// It was there at the checkpoint, which does not cover it, and it is not there now: it cannot be brought back from this
    /// checkpoint.
    Gone(SkipReason),
    /// What the checkpoint holds of it is damaged, and the caller chose to go on without it.
    Damaged,
}

/// Something that needs a person's decision before the plan can be applied.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Conflict {
    /// Where.
    pub path: TreePath,
    /// A stable code: `AGENT_CONFIGURATION`, `KIND_CLASH`, ...
    pub code: String,
    /// What is the matter, for people.
    pub message: String,
    /// Whose work cannot be separated; empty where that is not the matter.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<ChangeId>,
    /// The lines concerned, between marks as merges have them, where they are text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}

impl Conflict {
    /// One that is about no changes.
    pub fn new(path: &TreePath, code: &str, message: &str) -> Self {
        let (code, message) = (code.to_owned(), message.to_owned());
        Self { path: path.clone(), code, message, changes: vec![], text: None }
    }
}

/// What is known of the workspace's own directory.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, schemars::JsonSchema)]
pub struct RootMeta {
    /// Permission bits.
    pub mode: u32,
    /// Time of last modification; checkpoints of earlier versions do not have it.
    pub mtime: Option<FileTime>,
}

/// A change of the workspace's own directory, which no path names.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, schemars::JsonSchema)]
pub struct RootChange {
    /// As it is.
    pub before: RootMeta,
    /// As it will be; its time is part of the goal only where times are.
    pub after: RootMeta,
}

/// A whole recovery, ready to be applied.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Plan {
    /// Whose recovery.
    pub workflow: WorkflowId,
    /// The checkpoint whose tree is the goal.
    pub target: CheckpointId,
    /// The tree the plan starts from.
    pub from: Digest,
    /// The tree it aims at.
    pub to: Digest,
    /// The steps, sorted by path; apply orders them itself.
    pub steps: Vec<Step>,
    /// What becomes of the workspace's own directory; `None`: nothing.
    pub root: Option<RootChange>,
    /// Directories in which steps happen and which get these times last of all, as if nothing had been done in them. Not
    /// listed among the steps: they are part of those.
    pub times: Vec<(TreePath, FileTime)>,
    /// What is left alone.
    pub kept: Vec<Kept>,
    /// What stands in the way.
    pub conflicts: Vec<Conflict>,
    /// Whether modification times are part of the goal.
    pub exact_mtime: bool,
}

/// A step in JSON: `{path, action, kind, before, after}`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, schemars::JsonSchema)]
pub struct StepSummary {
    /// Where.
    pub path: TreePath,
    /// What is done.
    pub action: Action,
    /// The kind of what is concerned.
    pub kind: Kind,
    /// What is there now.
    pub before: Option<EntrySummary>,
    /// What will be there.
    pub after: Option<EntrySummary>,
}

/// An entry in JSON.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, schemars::JsonSchema)]
pub struct EntrySummary {
    /// Its kind.
    pub kind: Kind,
    /// Permission bits, in octal digits.
    pub mode: String,
    /// Size in bytes, of regular files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// SHA-256, of regular files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hash: Option<Digest>,
    /// The target, of symbolic links, escaped as paths are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
}

impl From<&Entry> for EntrySummary {
    fn from(entry: &Entry) -> Self {
        use crate::entry::Node;
        let (mut size, mut hash, mut target) = (None, None, None);
        match &entry.node {
            Node::File(content) => (size, hash) = (Some(content.size), Some(content.hash)),
            Node::Symlink(bytes) => target = Some(crate::path::escape(bytes)),
            _ => {}
        }
        Self { kind: entry.node.kind(), mode: format!("{:04o}", entry.meta.mode), size, hash, target }
    }
}

impl Step {
    /// The step in JSON.
    pub fn summary(&self) -> StepSummary {
        let shown = self.after.as_ref().or(self.before.as_ref());
        StepSummary {
            path: self.path.clone(),
            action: self.action,
            kind: shown.map_or(Kind::File, |entry| entry.node.kind()),
            before: self.before.as_ref().map(EntrySummary::from),
            after: self.after.as_ref().map(EntrySummary::from),
        }
    }
}

impl Plan {
    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty() && self.root.is_none()
    }

    /// The bytes over which the plan's digest is taken: one line a fact, in a fixed order, times of the present
    /// tree left out, so that the same plan made twice has the same digest.
    pub fn canonical(&self) -> Vec<u8> {
        let mut text = format!("wfr-plan 1\n{}\n{}\n{}\n{}\n", self.workflow, self.target, self.to, self.exact_mtime);
        for step in &self.steps {
            text.push_str(&serde_json::to_string(&step.summary()).expect("a summary has string keys only"));
            text.push('\n');
        }
        if let Some(RootChange { after: RootMeta { mode, mtime }, .. }) = &self.root {
            text.push_str(&format!("root {mode:o} {mtime:?}\n"));
        }
        for conflict in &self.conflicts {
            text.push_str(&format!("conflict {} {}\n", conflict.code, conflict.path));
        }
        text.into_bytes()
    }
}
