//! Results of the operations that change the workspace's files, and of those that look back at them.
//!
//! Owns their field names. Refuses to compute them.

use schemars::JsonSchema;
use serde::Serialize;
use wfr_model::finding::Finding;
use wfr_model::plan::{Conflict, Kept, RootChange, StepSummary};
use wfr_model::recovery::{Displaced, RecoveryKind, RecoveryRecord, RecoveryStatus, StepReport};
use wfr_model::workflow::StateKept;
use wfr_model::workflow::validate::StateFinding;
use wfr_model::{
    AgentId, ChangeId, CheckpointId, Digest, PhaseId, RecoveryId, TaskId, Timestamp, TreePath, WorkflowId,
};

use super::{HoldLine, Verdict, WriterLine};
use crate::params::{ConflictResolution, DependencyConflicts, RollbackScope};

/// How many parts of a workflow's state a recovery changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, JsonSchema)]
#[serde(default)]
pub struct StateChanges {
    /// Whether the workflow's own fields change.
    pub workflow: bool,
    /// Phases that change.
    pub phases: u64,
    /// Tasks that change.
    pub tasks: u64,
    /// Agents that change.
    pub agents: u64,
    /// Shares of resources that change.
    pub allocations: u64,
}

/// The parts of a workflow's state that a recovery changes, up to a hundred of each.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, JsonSchema)]
pub struct StateNames {
    /// Phases.
    pub phases: Vec<PhaseId>,
    /// Tasks.
    pub tasks: Vec<TaskId>,
    /// Those of them that are completed, and would be no more.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub completed: Vec<CompletedTask>,
}

/// A task that somebody has completed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(inline)]
pub struct CompletedTask {
    /// Which.
    pub task_id: TaskId,
    /// By whom; `null` where that is not known.
    pub by: Option<AgentId>,
}

/// What a plan makes of the lines of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct PathPatch {
    /// Where.
    pub path: TreePath,
    /// Whether it is no text, or too long to be shown.
    pub binary: bool,
    /// Lines that come.
    pub insertions: Option<u64>,
    /// Lines that go.
    pub deletions: Option<u64>,
    /// The difference in the unified form, from the present to what the plan leads to.
    pub patch: Option<String>,
}

/// How later work stands on what goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum Standing {
    /// It wrote in the same files.
    Wrote,
    /// It read them.
    Read,
    /// It needs a task that is to be done anew.
    Needs,
}

/// Later work of others that stands on what goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Dependent {
    /// How.
    pub standing: Standing,
    /// The change; `null` of a task that needs another one, and of what is not recorded yet.
    pub change_id: Option<ChangeId>,
    /// Whose it is, in a word.
    pub by: String,
    /// In which task.
    pub task_id: Option<TaskId>,
    /// In which files.
    pub paths: Vec<TreePath>,
    /// Whether it goes, too; else it stays.
    pub goes: bool,
}

/// A plan in JSON.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct PlanResult {
    /// By which `--apply` names it.
    pub digest: Digest,
    /// What would be done, by path.
    pub steps: Vec<StepSummary>,
    /// What would become of the workspace's own directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root: Option<RootChange>,
    /// What would become of the workflow's state; `null` where nothing.
    #[serde(default)]
    pub state_changes: Option<StateChanges>,
    /// Of an undo: where the state would stay as it was set since, or become what it was never.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub state_kept: Vec<StateKept>,
    /// Which phases and tasks that is about.
    #[serde(default)]
    pub state_names: StateNames,
    /// What stands in the way.
    pub conflicts: Vec<Conflict>,
    /// Later work of others that would go back too, a sentence each; where chosen changes are taken back: that stands in the
    /// same files.
    pub blast_radius: Vec<String>,
    /// The same of chosen changes, as data.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dependents: Vec<Dependent>,
    /// What becomes of the lines of files, of the first hundred of them and up to 256 KiB.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub patches: Vec<PathPatch>,
    /// How many files more get another content.
    #[serde(default)]
    pub patches_left_out: u64,
    /// Whether chosen changes alone are taken back.
    #[serde(default)]
    pub is_selective: bool,
    /// What is left alone.
    pub kept: Vec<Kept>,
    /// Git repositories whose HEAD moved since the checkpoint; `wfr` leaves `.git` as it is.
    pub moved_heads: Vec<MovedHead>,
    /// What the workflow needs and had at the checkpoint that is missing now, or another one.
    #[serde(default)]
    pub findings: Vec<Finding>,
    /// Of a rollback: what it will do, in the reference's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollback_strategy: Option<RollbackStrategy>,
}

/// The reference's `rollback_strategy`, of a rollback and of restores of parts.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct RollbackStrategy {
    /// Its name: the one that was given, or of the plan's digest.
    pub strategy_id: String,
    /// The checkpoint behind which work goes; `null` where none was named.
    pub target_checkpoint: Option<CheckpointId>,
    /// How much was asked for.
    pub rollback_scope: RollbackScope,
    /// What is concerned.
    pub affected_components: AffectedComponents,
    /// What stays.
    pub preservation_rules: PreservedParts,
    /// What is done where work that stays and work that goes cannot be separated.
    pub conflict_resolution: ConflictPolicies,
    /// What is checked.
    pub validation_requirements: ValidationRequirements,
    /// What is done, in order.
    pub rollback_steps: Vec<StrategyStep>,
}

/// Parts of a workflow that a rollback concerns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
pub struct AffectedComponents {
    /// Tasks, phases, or the workflow's own standing.
    pub workflow_state: bool,
    /// Files.
    pub file_system: bool,
    /// Who works on what.
    pub agent_assignments: bool,
    /// Who has what of the resources.
    pub resource_allocations: bool,
}

/// Work that stays, though it would be taken back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
pub struct PreservedParts {
    /// That of completed phases.
    pub preserve_completed_phases: bool,
    /// That of completed tasks.
    pub preserve_successful_tasks: bool,
    /// That of the user and of unknown programs.
    pub preserve_external_changes: bool,
    /// How resources are shared out.
    pub preserve_resource_optimizations: bool,
}

/// Which side counts where something is in conflict.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ConflictPolicies {
    /// In a file.
    pub file_conflicts: ConflictResolution,
    /// In the state: tasks of what goes are done anew (`merge_strategy`), it stays (`current_priority`), or becomes the
    /// checkpoint's (`checkpoint_priority`).
    pub state_conflicts: String,
    /// Where later work stands on what goes: it stays (`current_priority`), goes with it (`dependency_order`), or keeps it
    /// from going (`manual_review`).
    pub dependency_conflicts: DependencyConflicts,
}

/// What is checked of a rollback.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ValidationRequirements {
    /// Whether the checkpoint is checked before. What is read is checked, and so are the files afterwards, in any case.
    pub integrity_check: bool,
    /// Whether what the workflow needs is looked for.
    pub dependency_validation: bool,
    /// Whether room on the disk is made sure of, and that nobody holds the workflow.
    pub resource_availability: bool,
    /// Whether agents are looked for that could do the tasks anew.
    pub agent_compatibility: bool,
}

/// One step of a strategy.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct StrategyStep {
    /// Its number, from 1.
    pub step: u32,
    /// What is done.
    pub action: String,
    /// With what.
    #[schemars(with = "serde_json::Map<String, serde_json::Value>")]
    pub parameters: serde_json::Value,
}

/// A git repository whose HEAD is not where it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct MovedHead {
    /// Its directory; empty for the root.
    pub path: TreePath,
    /// Where HEAD was: branch and commit.
    pub before: String,
    /// Where it is now.
    pub now: String,
    /// Commits made since, oldest first, as the reflog has them; at most 20.
    pub commits: Vec<String>,
    /// The command that would move it back; `null` where there was no commit yet.
    pub command: Option<String>,
}

/// What each layer said of a checkpoint before its restore; nothing where there was none to say it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, JsonSchema)]
pub struct LayerResults {
    /// Whether every object has the content that was written; `passed` only where every byte was read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checksum_validation: Option<Verdict>,
    /// Whether manifest, trees and lists are there and can be decoded; asked for by name, also whether the state's parts fit
    /// together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub structure_validation: Option<Verdict>,
    /// Whether the state makes sense.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub semantic_validation: Option<Verdict>,
    /// Whether the catalog says what the manifest says, and the chain of manifests holds; asked for by name, also whether the
    /// state fits what it refers to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cross_reference_validation: Option<Verdict>,
}

impl LayerResults {
    /// Of a restore that was to check nothing.
    pub fn skipped() -> Self {
        let skipped = Some(Verdict::Skipped);
        Self {
            checksum_validation: skipped,
            structure_validation: skipped,
            semantic_validation: skipped,
            cross_reference_validation: skipped,
        }
    }

    /// Whether one of them found something.
    pub fn any_failed(&self) -> bool {
        let all = [
            self.checksum_validation,
            self.structure_validation,
            self.semantic_validation,
            self.cross_reference_validation,
        ];
        all.contains(&Some(Verdict::Failed))
    }
}

/// What kept a checkpoint from being restored.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Unsound {
    /// What each layer said.
    pub validation_results: LayerResults,
    /// What is wrong with the state.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<StateFinding>,
}

/// The reference's checks of a restoration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, JsonSchema)]
#[serde(default)]
pub struct ValidationResults {
    /// The checkpoint before, and the tree after.
    pub integrity_check: Verdict,
    /// Of a `restore`: the checkpoint before, layer by layer.
    #[serde(flatten)]
    pub layers: LayerResults,
    /// Whether all that the workflow needs and had at the checkpoint is there.
    pub dependency_validation: Verdict,
    /// Whether it took no longer than earlier recoveries of its kind let expect.
    pub performance_check: Verdict,
    /// The command given as `functional_check`.
    pub functional_check: Verdict,
}

/// Result of `restore`, `emergency-restore` and `undo`.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Recovered {
    /// Whether the tree is now as it should be; `false` for a plan that was only shown.
    pub recovery_successful: bool,
    /// What kind it is; `null` where nothing was done.
    #[serde(default)]
    pub kind: Option<RecoveryKind>,
    /// The recovery; `null` for a plan, and for a restore to another directory.
    pub recovery_id: Option<RecoveryId>,
    /// How it ended; `null` for a plan, and for a restore to another directory.
    pub recovery_status: Option<RecoveryStatus>,
    /// The checkpoint aimed at.
    pub restored_checkpoint: CheckpointId,
    /// The checkpoint that saved the tree as it was; `null` where nothing in the workspace was changed.
    pub safety_checkpoint: Option<CheckpointId>,
    /// The recovery that this one took back; `null` where all that it changed was edited since, so that it still stands.
    pub undone: Option<RecoveryId>,
    /// Where it was restored to, instead of the workspace.
    pub restored_to: Option<String>,
    /// How many changes a rollback took back.
    #[serde(default)]
    pub rolled_back: u64,
    /// How long it took.
    pub restoration_time: String,
    /// What was restored.
    pub components_restored: Vec<String>,
    /// What the checks said.
    pub validation_results: ValidationResults,
    /// Steps that ended as planned.
    pub changed: Vec<StepReport>,
    /// What became of the workflow's state; `null` where nothing did.
    #[serde(default)]
    pub state_changes: Option<StateChanges>,
    /// Of an undo: where the state stayed as it was set since, or became what it was never.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub state_kept: Vec<StateKept>,
    /// Paths left alone, and why.
    pub kept: Vec<Kept>,
    /// What stood in the way.
    pub conflicts: Vec<Conflict>,
    /// Steps that failed.
    pub failed: Vec<StepReport>,
    /// Displaced files that were kept, because somebody may still be writing into them.
    pub displaced: Vec<Displaced>,
    /// Checkpoints that an emergency restore passed over, newest first.
    pub passed_over: Vec<CheckpointId>,
    /// The hold on the workflow's resources that was taken over for it.
    #[serde(default)]
    pub preempted: Option<HoldLine>,
    /// Later work of others that stands on what was taken back, a sentence each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub blast_radius: Vec<String>,
    /// The same as data.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dependents: Vec<Dependent>,
    /// Processes that were ended before, since they might have written into what is recovered.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stopped_writers: Vec<WriterLine>,
    /// What went wrong beside, or might: nothing of it made the recovery fail.
    #[serde(default)]
    pub findings: Vec<Finding>,
    /// The plan: with `--plan`, and where consent was missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<PlanResult>,
}

/// One line of the audit trail.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct RecoveryLine {
    /// Its id.
    pub recovery_id: RecoveryId,
    /// What kind it was.
    pub kind: RecoveryKind,
    /// Whose.
    pub workflow_id: WorkflowId,
    /// The checkpoint aimed at.
    pub target: CheckpointId,
    /// The checkpoint that saved the tree before.
    pub safety_checkpoint: Option<CheckpointId>,
    /// Where it stands. One that was undone because its functional check failed, or because it was asked back when it had been
    /// done, is `taken_back`.
    pub status: RecoveryStatus,
    /// Why it was taken back, or undoes another, where nobody called `undo`: `functional_check`, or `take_back` of `resume`.
    pub because: Option<String>,
    /// Who asked.
    pub actor: String,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// How many steps ended as planned.
    pub changed: u64,
    /// How many paths were left alone.
    pub kept: u64,
    /// How many steps failed.
    pub failed: u64,
    /// The recovery that it undid.
    pub undoes: Option<RecoveryId>,
    /// The recovery that undid it.
    pub undone_by: Option<RecoveryId>,
    /// All of it; with `report_details`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub record: Option<Box<RecoveryRecord>>,
}

impl RecoveryLine {
    /// The line of a record, with that of the recovery which undid it.
    pub fn of(record: RecoveryRecord, undone_by: Option<&RecoveryRecord>, with_details: bool) -> Self {
        let cause = |record: &RecoveryRecord| record.parameters.get("because")?.as_str().map(str::to_owned);
        let taken_back = undone_by.filter(|undo| undo.status == RecoveryStatus::Done).and_then(cause);
        let status = if taken_back.is_some() { RecoveryStatus::TakenBack } else { record.status };
        let report = record.report.as_ref();
        let count =
            |list: fn(&wfr_model::recovery::ApplyReport) -> usize| report.map_or(0, |report| list(report) as u64);
        Self {
            changed: count(|report| report.changed.len()),
            kept: count(|report| report.kept.len()),
            failed: count(|report| report.failed.len()),
            recovery_id: record.recovery_id.clone(),
            kind: record.kind,
            workflow_id: record.workflow_id.clone(),
            target: record.target.clone(),
            safety_checkpoint: record.safety_checkpoint.clone(),
            status,
            because: taken_back.or_else(|| cause(&record)),
            actor: record.actor.clone(),
            started_at: record.started_at,
            ended_at: record.ended_at,
            undoes: record.undoes.clone(),
            undone_by: record.undone_by.clone(),
            record: with_details.then(|| Box::new(record)),
        }
    }
}

/// Result of `recoveries`.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct RecoveryList {
    /// Recoveries, newest first.
    pub recoveries: Vec<RecoveryLine>,
    /// Recoveries whose records are damaged: they cannot be undone, and are not among the others.
    pub damaged: Vec<DamagedRecovery>,
}

/// A recovery whose record is damaged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct DamagedRecovery {
    /// Its id, as it stands there.
    pub recovery_id: String,
    /// What does not fit.
    pub why: String,
}

/// One recovery that `resume` ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ResumedRecovery {
    /// Which.
    pub recovery_id: RecoveryId,
    /// How it ended.
    pub recovery_status: RecoveryStatus,
    /// Steps that ended as planned.
    pub changed: Vec<StepReport>,
    /// Paths left alone, and why.
    pub kept: Vec<Kept>,
    /// Steps that failed.
    pub failed: Vec<StepReport>,
    /// Displaced files that were kept.
    pub displaced: Vec<Displaced>,
}

/// Result of `resume`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, JsonSchema)]
pub struct Resumed {
    /// Recoveries that were completed or taken back now.
    pub resumed: Vec<ResumedRecovery>,
    /// Recoveries that had changed nothing yet, now recorded as aborted.
    pub aborted: Vec<RecoveryId>,
    /// What went wrong beside: nothing of it made `resume` fail.
    #[serde(default)]
    pub findings: Vec<Finding>,
}
