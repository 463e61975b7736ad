//! Parameters of the operations that change the workspace's files, and of those that look back at them.
//!
//! Owns their keys, and what a yes is. Refuses to act on them.

use std::num::NonZeroU32;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use wfr_model::config::DependencyValidation;
use wfr_model::{Digest, RecoveryId, Span, Timestamp, TreePath, WorkflowId};

use super::changes::{Dependents, PreservationRules, Preserved};
use super::checkpoints::ValidationLevel;
use super::restoration::StateRestoration;
use super::strategy::Resolution;
use super::values::{HostPath, On, OneOrMany, PathAndFile};
use crate::pathspec::PathSpec;

/// Whether a recovery may change files.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Consent {
    /// It may.
    Yes,
    /// It may if its plan has this digest.
    Digest(Digest),
    /// The plan is shown and somebody is asked.
    Ask,
    /// It may not: the plan is shown.
    None,
}

impl Consent {
    /// The consent of a call. A digest binds even where a yes stands beside it.
    pub fn of(yes: bool, apply: Option<Digest>, interactive: bool) -> Self {
        match (apply, yes, interactive) {
            (Some(digest), _, _) => Self::Digest(digest),
            (None, true, _) => Self::Yes,
            (None, false, true) => Self::Ask,
            (None, false, false) => Self::None,
        }
    }
}

/// How much of a checkpoint is restored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum RestorationMode {
    /// All of it.
    #[default]
    Full,
    /// Chosen components or paths, whole; all else stays.
    Partial,
    /// All that was done since in the workflow is taken back, change by change; what the preservation rules keep stays.
    Selective,
    /// Both: what only one has stays or comes, and what both made of their common version is merged.
    Merge,
}

impl RestorationMode {
    /// Its name in parameters.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Partial => "partial",
            Self::Selective => "selective",
            Self::Merge => "merge",
        }
    }
}

/// What is done about damage in a checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum OnDamage {
    /// Nothing is restored.
    #[default]
    Abort,
    /// It is repaired first where another copy exists; what is left aborts.
    Repair,
    /// Damaged paths are left alone, all others are restored.
    Ignore,
}

/// The reference's `error_handling` block.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(inline)]
pub struct ErrorHandling {
    /// What is done about damage.
    pub validation_failures: Option<OnDamage>,
    /// What is done where damage is met while restoring. Its one value says what is done in any case: the tree as it was stays,
    /// or is put back.
    pub corruption_detection: Option<CorruptionDetection>,
    /// What is done about dependencies: their graph is built again from the restored state, in the view's
    /// `dependency_graph.json`.
    pub dependency_errors: Option<DependencyErrors>,
}

/// The reference's one way of meeting damage half way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum CorruptionDetection {
    /// Puts the tree back as it was.
    RollbackToPrevious,
}

/// The reference's one way of meeting broken dependencies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum DependencyErrors {
    /// Builds them again.
    ReconstructDependencies,
}

/// The reference's `integrity_checking` block.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(inline)]
pub struct IntegrityChecking {
    /// Whether the bytes of every object are read and have their checksum.
    pub checksum_validation: Option<bool>,
    /// Whether manifest, trees and lists can be decoded, and all that they name is there.
    pub structure_validation: Option<bool>,
    /// Whether the state makes sense.
    pub semantic_validation: Option<bool>,
    /// Whether manifest, catalog and chain are checked against each other.
    pub cross_reference_validation: Option<bool>,
    /// Whether warnings count as damage.
    pub strict_mode: Option<bool>,
}

/// The reference's `validation_config` block.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(inline)]
pub struct ValidationConfig {
    /// What is checked.
    pub integrity_checking: IntegrityChecking,
    /// What is done about what is found.
    pub error_handling: ErrorHandling,
}

/// What a restore checks and how it meets damage, from all keys that say so.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Checks {
    /// Whether checksums are looked at before anything is changed.
    pub checksum: bool,
    /// Whether those of every byte are.
    pub every_byte: bool,
    /// Whether objects are looked at for form, and for what they name.
    pub structure: bool,
    /// Whether manifest, catalog and chain are compared.
    pub cross_reference: bool,
    /// By which rules the state is judged.
    pub rules: Rules,
    /// Whether warnings count as damage.
    pub strict: bool,
    /// What is done about damage; `None` follows the configuration.
    pub on_damage: Option<OnDamage>,
}

/// The rules for a checkpoint's state that were asked for by name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rules {
    /// Whether its parts must fit together.
    pub structure: bool,
    /// Whether it must make sense.
    pub semantic: bool,
    /// Whether it must fit what it refers to.
    pub cross_reference: bool,
}

impl Checks {
    /// Whether anything is checked.
    pub fn any(&self) -> bool {
        self.checksum || self.structure || self.rules.semantic || self.cross_reference
    }
}

/// Brings the workspace back to a checkpoint.
///
/// With `--restoration-mode`: `full` is all of it. `partial` brings back what `--components` and `--file` name, and leaves all
/// else as it is. `selective` takes back what was done in the workflow since, change by change, and leaves what the
/// preservation rules keep, the user's work above all, merged line by line. `merge` joins the checkpoint with the present:
/// what only one of them has is there afterwards, and where both have something else, what each made of the last version
/// from which both come is merged; a path that was put back to an earlier version comes from that one. What cannot be
/// merged is decided by `--conflict-resolution`, `--ours`, `--theirs` and `--resolve`, or nothing is done.
///
/// What is there now is saved first, so a restore can be undone. Without a terminal it needs `--yes`, or `--apply` with
/// the digest that `--plan` printed; else it shows the plan, writes nothing and exits with 8. A crash at any point
/// leaves a recovery that the next command, or `wfr resume`, completes.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Restore {
    /// The workflow that the checkpoint belongs to.
    pub workflow_id: Option<WorkflowId>,
    /// The checkpoint: id, unique prefix of one, name, `latest`, `latest-valid` or `phase:N`.
    pub checkpoint: Option<String>,
    /// How much is restored.
    pub restoration_mode: RestorationMode,
    /// What is brought back; in mode `partial`.
    pub components: OneOrMany<Component>,
    /// What is not; in mode `partial`.
    pub exclude_components: OneOrMany<Component>,
    /// Only these paths and what is below them, or patterns such as `*.rs`, without what `!PATH` leaves out; in any mode but
    /// `full`.
    pub file: OneOrMany<PathSpec>,
    /// The checkpoint from which both come, in mode `merge`: as each path's history tells where it is not given.
    pub base: Option<String>,
    /// What is done where work cannot be separated or merged; in the modes `selective` and `merge`. In mode `selective` also the
    /// reference's block, which says it of the state and of later work, too.
    pub conflict_resolution: Resolution,
    /// Whether what is clean is done where something else is not; in the modes `selective` and `merge`.
    pub partial: bool,
    /// Whether lines that both sides changed, or that touch such, are merged word by word; in the modes `selective` and
    /// `merge`.
    pub words: bool,
    /// Paths that stay as they are; in the modes `selective` and `merge`.
    pub ours: OneOrMany<TreePath>,
    /// Paths that become what they were before the first of the changes, or what the checkpoint has; in the modes
    /// `selective` and `merge`.
    pub theirs: OneOrMany<TreePath>,
    /// Paths with the files that hold what they are to become: `PATH=FILE`; in the modes `selective` and `merge`.
    pub resolve: OneOrMany<PathAndFile>,
    /// Work that stays, though it would be taken back; in mode `selective`.
    pub preserve_components: OneOrMany<Preserved>,
    /// The same as a block, with what stays of others; in mode `selective`.
    pub preservation_rules: PreservationRules,
    /// Whether somebody at a terminal chooses what is taken back, by change, file and piece; in mode `selective`.
    pub interactive: bool,
    /// What becomes of later work of others on the same paths; in mode `selective`.
    pub dependents: Dependents,
    /// Whether tasks of what is taken back are to be done anew; in mode `selective`.
    pub reset_tasks: On,
    /// Whether the checkpoint is checked before and the tree after.
    pub validate_integrity: On,
    /// Whether progress recorded since the checkpoint is kept in the workflow's state.
    pub preserve_progress: bool,
    /// Whether the coordination hub and the stakeholders are told how it stands. The resource manager is asked to hold in
    /// any case.
    pub notify_coordination_hub: On,
    /// How long it waits for whoever holds the workspace or the workflow; not at all where it is not given.
    pub wait: Option<Span>,
    /// Prints what would be done, with a digest, and does nothing.
    pub plan: bool,
    /// Does it if the plan has this digest, and refuses a stale one.
    pub apply: Option<Digest>,
    /// Does it without asking. Settles no conflict and allows no configuration.
    pub yes: bool,
    /// Whether processes that may still write for what is recovered are ended first: all that `status` shows, or where chosen
    /// work is taken back, its own alone.
    pub stop_writers: bool,
    /// Whether files that tools run or obey, such as `.claude/settings.json`, may be changed.
    pub allow_config: bool,
    /// Whether what was on a file system of its own may go into the bare directory where that is not mounted now.
    pub allow_unmounted: bool,
    /// Writes the checkpoint's tree into this empty directory instead.
    pub to: Option<HostPath>,
    /// Whether modification times are those of the checkpoint; else changed files get the present.
    pub exact_mtime: bool,
    /// Whether later work of other active workflows may go back too.
    pub whole_tree: bool,
    /// A command that must succeed in the restored tree, run by `sh -c`; else the tree as it was is put back. The restore
    /// counts as done only then; where it dies in the command, the next one that changes anything takes it back.
    pub functional_check: Option<String>,
    /// How long that command may take; 5m where it is not given.
    pub functional_check_timeout: Option<Span>,
    /// How long the whole restore may take, waiting for others apart; the configuration's `restoration_timeout` where it is not
    /// given. When all is in its place and flushed, it counts no more; until then all is taken back.
    pub timeout: Option<Span>,
    /// Whether the bytes of every object are read before, and have the checksum that they were written with. Where this is not
    /// given and `validate_integrity` is on, all objects are looked for and one content in 64 is read.
    pub checksum_validation: Option<bool>,
    /// Whether manifest, trees and lists can be decoded, and all that they name is there. On with `validate_integrity`; given as
    /// `true`, whether the parts of the state fit together, too. What is not there is found by `checksum_validation` as well,
    /// and so are trees whose bytes are not those that were written: no layer can decode these.
    pub structure_validation: Option<bool>,
    /// Whether the state that the checkpoint holds makes sense by the rules of `validate-state`. Only where it is given as
    /// `true`: a state is restored as it was. With `to` none is written, and none looked at.
    pub semantic_validation: Option<bool>,
    /// Whether the catalog says what the manifest says. On with `validate_integrity`; given as `true` (or with `strict_mode`)
    /// a chain of manifests that does not hold refuses, and given as `true` a state that does not fit what it refers to.
    pub cross_reference_validation: Option<bool>,
    /// Whether warnings count as damage.
    pub strict_mode: Option<bool>,
    /// What is done about damage; `abort` where neither this nor the configuration says.
    pub error_handling: Option<OnDamage>,
    /// How hard it looks whether all that the workflow needs and had at the checkpoint is there: `none`, `basic`,
    /// `comprehensive` (with versions) or `strict` (what is missing refuses); else as the configuration says, with
    /// `strict_mode` strictly.
    pub dependency_validation: Option<DependencyValidation>,
    /// The reference's form of the seven keys `checksum_validation` to `error_handling`.
    pub validation_config: Option<ValidationConfig>,
    /// The reference's form of a whole restore. A checkpoint or a mode beside it that is another one is refused.
    pub state_restoration: Option<StateRestoration>,
    /// Whether the workflow's dependency graph is built again, as that form says.
    #[serde(skip)]
    pub rebuilds_graph: bool,
}

impl Restore {
    /// What is checked: a key of its own counts before the block, the block before the default.
    pub fn checks(&self) -> Checks {
        let block = self.validation_config.clone().unwrap_or_default();
        let inner = block.integrity_checking;
        let checksum = self.checksum_validation.or(inner.checksum_validation);
        let structure = self.structure_validation.or(inner.structure_validation);
        let semantic = self.semantic_validation.or(inner.semantic_validation);
        let crossing = self.cross_reference_validation.or(inner.cross_reference_validation);
        let is_on = |given: Option<bool>| given.unwrap_or(self.validate_integrity.0);
        let is_named = |given: Option<bool>| given == Some(true);
        Checks {
            checksum: is_on(checksum),
            every_byte: is_named(checksum),
            structure: is_on(structure),
            cross_reference: is_on(crossing),
            rules: Rules {
                structure: is_named(structure),
                semantic: is_named(semantic),
                cross_reference: is_named(crossing),
            },
            strict: self.strict_mode.or(inner.strict_mode).unwrap_or(false),
            on_damage: self.error_handling.or(block.error_handling.validation_failures),
        }
    }

    /// Whether it may change files.
    pub fn consent(&self, interactive: bool) -> Consent {
        Consent::of(self.yes, self.apply, interactive)
    }
}

/// A part of what a checkpoint holds, in the reference's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum Component {
    /// The workspace's files.
    FileSystem,
    /// The workflow itself, its phases and tasks.
    WorkflowState,
    /// Its agents, and what they work on.
    AgentAssignments,
    /// Its shares of resources.
    ResourceAllocations,
}

/// Brings chosen components back to a checkpoint, or chosen paths, and leaves all else as it is.
///
/// Without `components` all of them are meant but those in `exclude_components`; with `--file` only these paths and what is
/// below them, and no state unless `components` names it. What is there now is saved first, so it can be undone.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PartialRestore {
    /// The workflow that the checkpoint belongs to.
    pub workflow_id: Option<WorkflowId>,
    /// The checkpoint: id, unique prefix of one, name, `latest`, `latest-valid` or `phase:N`.
    pub checkpoint: Option<String>,
    /// What is brought back.
    pub components: OneOrMany<Component>,
    /// What is not.
    pub exclude_components: OneOrMany<Component>,
    /// Only these paths and what is below them, or patterns such as `*.rs`, without what `!PATH` leaves out.
    pub file: OneOrMany<PathSpec>,
    /// How hard the checkpoint is looked at before.
    pub validation_level: Option<ValidationLevel>,
    /// Whether the coordination hub and the stakeholders are told how it stands. The resource manager is asked to hold in
    /// any case.
    pub notify_coordination_hub: On,
    /// How long it waits for whoever holds the workspace or the workflow; not at all where it is not given.
    pub wait: Option<Span>,
    /// How long it may take, its turn once there; the configuration's `restoration_timeout` where it is not given. When all is
    /// in its place and flushed, it counts no more; until then all is taken back.
    pub timeout: Option<Span>,
    /// Prints what would be done, with a digest, and does nothing.
    pub plan: bool,
    /// Does it if the plan has this digest, and refuses a stale one.
    pub apply: Option<Digest>,
    /// Does it without asking. Settles no conflict and allows no configuration.
    pub yes: bool,
    /// Whether processes that may still write for what is recovered are ended first: all that `status` shows, or where chosen
    /// work is taken back, its own alone.
    pub stop_writers: bool,
    /// Whether files that tools run or obey, such as `.claude/settings.json`, may be changed.
    pub allow_config: bool,
    /// Whether modification times are those of the checkpoint; else changed files get the present.
    pub exact_mtime: bool,
    /// Whether later work of other active workflows may go back too.
    pub whole_tree: bool,
}

impl Component {
    /// The components that are meant where these are named, these are left out, and paths are named or not.
    pub fn meant(named: &[Self], left_out: &[Self], has_files: bool) -> Vec<Self> {
        const ALL: [Component; 4] = [
            Component::FileSystem,
            Component::WorkflowState,
            Component::AgentAssignments,
            Component::ResourceAllocations,
        ];
        let is_meant = |component: &Self| match (named.is_empty(), has_files) {
            (false, _) => named.contains(component) || (*component == Self::FileSystem && has_files),
            (true, false) => true,
            (true, true) => *component == Self::FileSystem,
        };
        ALL.into_iter().filter(|one| is_meant(one) && !left_out.contains(one)).collect()
    }
}

impl PartialRestore {
    /// Whether it may change files.
    pub fn consent(&self, interactive: bool) -> Consent {
        Consent::of(self.yes, self.apply, interactive)
    }
}

/// How urgent it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum Priority {
    /// Takes its turn before all others.
    #[default]
    Critical,
    /// Before most.
    High,
    /// In turn.
    Medium,
    /// After others.
    Low,
}

/// Brings the workspace back to the newest checkpoint that validates.
///
/// It walks back from the newest checkpoint, or from the one named, until one is whole.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct EmergencyRestore {
    /// The workflow.
    pub workflow_id: Option<WorkflowId>,
    /// The checkpoint to begin with; the newest where it is not given.
    pub checkpoint: Option<String>,
    /// Whether it walks back past checkpoints that do not validate.
    pub use_latest_valid_checkpoint: On,
    /// Whether the checkpoint is taken without being read whole first; what is restored is still verified.
    pub skip_validation: bool,
    /// How urgent it is: holds of others on the workflow in a lower band give way, all others refuse it. Its events carry
    /// it, too.
    pub priority: Priority,
    /// Whether the coordination hub and the stakeholders are told how it stands. The resource manager is asked to hold in
    /// any case.
    pub notify_stakeholders: On,
    /// How long it waits for whoever holds the workspace or the workflow; not at all where it is not given.
    pub wait: Option<Span>,
    /// How long it may take, its turn once there; the configuration's `restoration_timeout` where it is not given. When all is
    /// in its place and flushed, it counts no more; until then all is taken back.
    pub timeout: Option<Span>,
    /// Prints what would be done, with a digest, and does nothing.
    pub plan: bool,
    /// Does it if the plan has this digest, and refuses a stale one.
    pub apply: Option<Digest>,
    /// Does it without asking. Settles no conflict and allows no configuration.
    pub yes: bool,
    /// Whether processes that may still write for what is recovered are ended first: all that `status` shows, or where chosen
    /// work is taken back, its own alone.
    pub stop_writers: bool,
    /// Whether files that tools run or obey, such as `.claude/settings.json`, may be changed.
    pub allow_config: bool,
    /// Whether modification times are those of the checkpoint; else changed files get the present.
    pub exact_mtime: bool,
    /// Whether later work of other active workflows may go back too.
    pub whole_tree: bool,
}

impl EmergencyRestore {
    /// Whether it may change files.
    pub fn consent(&self, interactive: bool) -> Consent {
        Consent::of(self.yes, self.apply, interactive)
    }
}

/// Takes a recovery back: the workspace becomes what it was before it.
///
/// Without an id it is the latest recovery that is not undone. A restore that has nothing to do is none, of whatever kind; one
/// that changed nothing and was to check something is, and then the one before is named. An undo can be undone. What somebody
/// edited since in the same file stays: of a rollback, and of a restore that merged, what comes back is merged with it line by
/// line, and where that cannot be done nothing is done unless `--partial` leaves such a path as it is; of other restores such a
/// path is left alone.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Undo {
    /// Of this workflow only.
    pub workflow_id: Option<WorkflowId>,
    /// The recovery by its id, which begins with `rec_`; the newest that can be undone where it is not given.
    pub recovery_id: Option<RecoveryId>,
    /// Prints what would be done, with a digest, and does nothing.
    pub plan: bool,
    /// Does it if the plan has this digest, and refuses a stale one.
    pub apply: Option<Digest>,
    /// Does it without asking. Settles no conflict and allows no configuration.
    pub yes: bool,
    /// Whether processes that may still write for what is recovered are ended first: all that `status` shows, or where chosen
    /// work is taken back, its own alone.
    pub stop_writers: bool,
    /// Whether files that tools run or obey, such as `.claude/settings.json`, may be changed.
    pub allow_config: bool,
    /// Whether what was on a file system of its own may go into the bare directory where that is not mounted now.
    pub allow_unmounted: bool,
    /// Whether the rest is done where what was edited since cannot be merged with what comes back; such a path stays as it is.
    pub partial: bool,
    /// Whether modification times are put back too.
    pub exact_mtime: On,
    /// Whether the coordination hub and the stakeholders are told how it stands. The resource manager is asked to hold in
    /// any case.
    pub notify_coordination_hub: On,
    /// How long it waits for whoever holds the workspace or the workflow; not at all where it is not given.
    pub wait: Option<Span>,
    /// How long it may take, its turn once there; the configuration's `restoration_timeout` where it is not given. When all is
    /// in its place and flushed, it counts no more; until then all is taken back.
    pub timeout: Option<Span>,
}

/// The longest time to wait, as a call gives it.
pub fn patience(wait: Option<Span>) -> std::time::Duration {
    wait.map_or(std::time::Duration::ZERO, |span| span.duration().unwrap_or(std::time::Duration::MAX))
}

impl Undo {
    /// Whether it may change files.
    pub fn consent(&self, interactive: bool) -> Consent {
        Consent::of(self.yes, self.apply, interactive)
    }
}

/// Lists recoveries, newest first: the audit trail.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Recoveries {
    /// Of this workflow only.
    pub workflow_id: Option<WorkflowId>,
    /// Begun at this time or later, such as 2025-01-15T11:30:00Z, or `5m` for five minutes ago.
    pub since: Option<Timestamp>,
    /// At most so many; 100 where it is not given.
    pub limit: Option<NonZeroU32>,
    /// Whether every step's end is listed.
    pub report_details: bool,
}

/// Completes an unfinished recovery, or takes it back.
///
/// One that never reached its commit point has changed nothing: it is recorded as aborted. It does nothing and exits
/// with 0 where none is unfinished.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Resume {
    /// Takes the recovery back instead of completing it.
    pub take_back: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{from_value, json};

    #[test]
    fn a_digest_binds_before_a_yes() {
        let digest = Digest([1; 32]);
        assert_eq!(Consent::of(true, Some(digest), true), Consent::Digest(digest));
        assert_eq!(Consent::of(true, None, false), Consent::Yes);
        assert_eq!(Consent::of(false, None, true), Consent::Ask);
        assert_eq!(Consent::of(false, None, false), Consent::None);
    }

    #[test]
    fn own_keys_count_before_the_block() {
        let restore: Restore = from_value(json!({
            "checksum_validation": true,
            "validate_integrity": false,
            "validation_config": {
                "integrity_checking": {"checksum_validation": false, "strict_mode": true},
                "error_handling": {
                    "validation_failures": "ignore",
                    "corruption_detection": "rollback_to_previous",
                    "dependency_errors": "reconstruct_dependencies"
                }
            }
        }))
        .unwrap();
        let checks = restore.checks();
        assert!(checks.checksum && !checks.structure && checks.strict);
        assert_eq!(checks.on_damage, Some(OnDamage::Ignore));
    }
}
