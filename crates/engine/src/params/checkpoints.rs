//! Parameters of the operations on checkpoints.
//!
//! Owns their keys. Refuses to act on them.

use std::num::NonZeroU32;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use wfr_model::checkpoint::{CheckpointType, Trigger};
use wfr_model::{Digest, Span, Timestamp, TreePath, WorkflowId};

use super::values::{On, OneOrMany, Phase, RetentionPolicy};
use crate::error::{Code, Failure};

/// Takes a checkpoint of the workspace for a workflow.
///
/// A workflow that is not known yet is registered. All files are captured, ignored and untracked ones too; what is
/// not captured is named in the checkpoint's coverage. It is durable when the command returns.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CreateCheckpoint {
    /// The workflow it is taken for.
    pub workflow_id: Option<WorkflowId>,
    /// Its type.
    #[schemars(with = "CheckpointType")]
    pub checkpoint_type: CheckpointType,
    /// What caused it; follows from the type where it is not given.
    pub trigger: Option<Trigger>,
    /// Its name, unique within the workflow; made from type, phase and time where it is not given.
    pub name: Option<String>,
    /// Free words to find it by, and for retention to keep it by.
    pub tags: Vec<String>,
    /// The phase: its number or its name, or an object with both.
    pub phase: Option<Phase>,
    /// The phase's number.
    pub phase_id: Option<i64>,
    /// The phase's name.
    pub phase_name: Option<String>,
    /// Keep it at least this long: 30d, 30_days, weekly, permanent.
    pub retention_policy: Option<Span>,
    /// Whether files are captured; without them it holds the workflow's state only.
    pub include_file_backups: On,
    /// Whether it is read back and checked before the command returns.
    pub validate_integrity: bool,
    /// Agrees that paths captured before are left out from now on where a rule says so.
    pub accept_exclusions: bool,
    /// Stop capturing after this long; what was not reached is named, and the checkpoint is marked incomplete.
    pub deadline: Option<Span>,
}

impl CreateCheckpoint {
    /// The phase's number and name, from whichever keys were given. An error where two contradict each other.
    pub fn phase(&self) -> Result<(Option<i64>, Option<String>), Failure> {
        let (number, name) = self.phase.as_ref().map_or((None, None), Phase::parts);
        let clash = |key| Failure::new(Code::InvalidParameter, format!("`phase` and `{key}` contradict each other"));
        if number.is_some() && self.phase_id.is_some() && number != self.phase_id {
            return Err(clash("phase_id"));
        }
        if name.is_some() && self.phase_name.is_some() && name != self.phase_name {
            return Err(clash("phase_name"));
        }
        Ok((number.or(self.phase_id), name.or_else(|| self.phase_name.clone())))
    }
}

/// Takes a checkpoint, then runs a command that may do harm.
///
/// The command takes the place of wfr: streams, signals, terminal and exit code are its own. Where the checkpoint cannot
/// be taken the command is not run, and the exit code is 125; 126 says that it cannot be run, 127 that there is none
/// of its name. Without a workflow it is that which was heard of last.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Guard {
    /// The workflow that the checkpoint is taken for.
    pub workflow_id: Option<WorkflowId>,
    /// The checkpoint's name; made from phase and time where it is not given.
    pub name: Option<String>,
    /// The checkpoint's tags.
    pub tags: Vec<String>,
    /// The phase: its number or its name, or an object with both.
    pub phase: Option<Phase>,
    /// The command and its words: bytes that are no text as `\xHH`, a backslash as `\\`.
    pub command: Vec<String>,
}

/// What a list is sorted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum SortBy {
    /// The order in which they were taken.
    #[default]
    #[serde(alias = "created_at")]
    CreationTime,
    /// Their names.
    Name,
    /// The bytes that they added to the store.
    Size,
    /// Their types.
    Type,
}

/// Lists checkpoints, oldest first.
///
/// Without a workflow it lists those of all workflows.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ListCheckpoints {
    /// Of this workflow only.
    pub workflow_id: Option<WorkflowId>,
    /// Whether sizes, compression, retention and encryption are listed too.
    pub include_metadata: bool,
    /// What it is sorted by.
    pub sort_by: SortBy,
    /// The other way round: newest, largest or last name first.
    pub descending: bool,
    /// Of these types only.
    pub filter_by_type: OneOrMany<CheckpointType>,
    /// Whether what is known of their integrity is listed too.
    pub include_integrity_status: bool,
    /// With all of these tags only.
    pub tags: Vec<String>,
    /// Taken at this time or later, such as 2025-01-15T11:30:00Z, or `5m` for five minutes ago.
    pub since: Option<Timestamp>,
    /// Taken at this time or earlier.
    pub until: Option<Timestamp>,
    /// At most so many; all where it is not given.
    pub limit: Option<NonZeroU32>,
}

/// Shows a checkpoint: what it is, what it added, what it does not cover.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Show {
    /// The workflow it belongs to.
    pub workflow_id: Option<WorkflowId>,
    /// The checkpoint: id, unique prefix of one, name, `latest`, `latest-valid` or `phase:N`.
    pub checkpoint: Option<String>,
    /// Whether every path that it does not cover is listed.
    pub coverage: bool,
    /// Whether every path that it holds is listed.
    pub files: bool,
}

/// Writes one file of a checkpoint to standard output.
///
/// Of a symbolic link it writes the target. Every byte was verified before it is written.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Cat {
    /// The workflow that the checkpoint belongs to.
    pub workflow_id: Option<WorkflowId>,
    /// The checkpoint: id, unique prefix of one, name, `latest`, `latest-valid` or `phase:N`.
    pub checkpoint: Option<String>,
    /// The file, from the workspace's root; `./` and `../` count from the current directory.
    pub path: Option<TreePath>,
}

/// How differences are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DiffFormat {
    /// Paths and kinds of change.
    NameOnly,
    /// A line of counts for each path.
    Stat,
    /// Hunks of lines.
    #[default]
    Unified,
    /// Changed words within their lines.
    Word,
}

/// Shows what differs between checkpoints, or from one to the tree.
///
/// The second word may be `tree`, the workspace as it is now, which is also what it is where only one is given. Further
/// words are paths; after `--` all are.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Diff {
    /// The workflow that the checkpoints belong to.
    pub workflow_id: Option<WorkflowId>,
    /// The checkpoint to compare from.
    pub from: Option<String>,
    /// The checkpoint to compare to, or `tree`.
    pub to: Option<String>,
    /// Only these files and directories.
    pub paths: Vec<TreePath>,
    /// Paths and kinds of change only.
    pub name_only: bool,
    /// A line of counts for each path.
    pub stat: bool,
    /// Hunks of lines; the default.
    pub unified: bool,
    /// Changed words, marked within their lines.
    pub word: bool,
    /// Lines shown around each change; 3 where it is not given.
    pub context: Option<u32>,
}

impl Diff {
    /// The one format asked for. An error where several are.
    pub fn format(&self) -> Result<DiffFormat, Failure> {
        let asked = [
            (self.name_only, DiffFormat::NameOnly),
            (self.stat, DiffFormat::Stat),
            (self.unified, DiffFormat::Unified),
            (self.word, DiffFormat::Word),
        ];
        let mut asked = asked.iter().filter(|(on, _)| *on).map(|(_, format)| *format);
        match (asked.next(), asked.next()) {
            (_, Some(_)) => {
                let message = "only one of `name_only`, `stat`, `unified` and `word` can be shown";
                Err(Failure::new(Code::InvalidParameter, message))
            }
            (format, None) => Ok(format.unwrap_or_default()),
        }
    }
}

/// How much a validation looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum ValidationLevel {
    /// Manifests, index and sizes.
    Basic,
    /// All trees, and a sample of the files.
    #[default]
    Standard,
    /// Every byte of every file.
    Comprehensive,
}

/// Checks that a checkpoint can be restored, byte for byte.
///
/// Damage is named, and with `repair_if_possible` mended from other copies or from the live tree. A report is written
/// below `.claude/recovery/state_validation/integrity_checks`. The exit code is 4 where damage remains.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ValidateCheckpoint {
    /// The workflow it belongs to.
    pub workflow_id: Option<WorkflowId>,
    /// The checkpoint: id, unique prefix of one, name, `latest`, `latest-valid` or `phase:N`.
    pub checkpoint: Option<String>,
    /// How much is looked at.
    pub validation_level: ValidationLevel,
    /// Whether damage is mended where another copy, or a file of the live tree, still has the bytes.
    pub repair_if_possible: bool,
    /// Whether every finding is listed, not just their count.
    pub report_details: bool,
}

/// Removes checkpoints that no rule keeps, and the bytes that no other one needs.
///
/// The newest checkpoint of a workflow and the newest whole one always stay, and so does each as long as its own policy says.
/// Those that are whole, that lack something and that are damaged are counted each by themselves. What a recovery saved, and
/// what it went to, stays while it can be undone: `pins` in the result names it.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CleanupCheckpoints {
    /// Of this workflow only; of all where it is not given.
    pub workflow_id: Option<WorkflowId>,
    /// What is kept: a duration (30d, 30_days, weekly), or rules such as last=10,daily=7,weekly=4,tagged=stable.
    pub retention_policy: Option<RetentionPolicy>,
    /// Whether emergency, phase and pre-critical checkpoints and those tagged critical or stable stay too.
    pub preserve_critical: On,
    /// Whether what stays is packed again and compressed harder.
    pub compress_archived: bool,
    /// Whether the decision on every checkpoint is listed.
    pub report_cleanup: bool,
    /// So many of the newest recoveries stay undoable (10 where it is not given); 0 lets go of all that they saved.
    pub undoable: Option<u32>,
    /// Whether checkpoints go, too, that are in the packs and that the catalog does not know, as a process leaves them that is
    /// killed before anybody is told of them (`CHECKPOINTS_UNCOMMITTED`). Refused where the view has such: these were
    /// acknowledged.
    pub drop_uncommitted: bool,
    /// Says what would be removed and removes nothing.
    pub dry_run: bool,
    /// Does it only if what would be removed is what the dry run with this digest said.
    pub apply: Option<Digest>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{from_value, json};

    #[test]
    fn contradictions_are_refused() {
        let phase = |value| from_value::<CreateCheckpoint>(value).unwrap().phase();
        assert_eq!(phase(json!({"phase": 2, "phase_name": "x"})).unwrap(), (Some(2), Some("x".into())));
        assert_eq!(phase(json!({"phase": "2", "phase_id": 3})).unwrap_err().code, Code::InvalidParameter);
        assert_eq!(Diff { stat: true, ..Diff::default() }.format().unwrap(), DiffFormat::Stat);
        assert_eq!(Diff::default().format().unwrap(), DiffFormat::Unified);
        assert!(Diff { stat: true, word: true, ..Diff::default() }.format().is_err());
    }
}
