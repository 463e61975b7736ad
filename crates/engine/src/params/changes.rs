//! Parameters of the operations on the ledger: who changes what, and who did.
//!
//! Owns their keys. Refuses to act on them.

use std::num::NonZeroU32;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use wfr_model::change::{Actor, Author, Source};
use wfr_model::{AgentId, ChangeId, Digest, Span, TaskId, Timestamp, TreePath, WorkflowId};

use super::recoveries::Consent;
use super::steps::Steps;
use super::strategy::{Affected, Required, Resolution, Strategy};
use super::values::{On, OneOrMany, PathAndFile, Phase};
use crate::pathspec::PathSpec;

/// What is done with a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum ChangeAction {
    /// It begins: whatever is found at its end, and was not there before, is its own.
    Begin,
    /// It ends.
    End,
    /// What was done already is said to be somebody's, by its paths.
    Record,
}

/// Says who is about to change the workspace, and when they are done: `begin` gives a token, `end` takes it.
///
/// What is found between the two is theirs. Where several are open at once, what is found belongs to the one that named
/// its path with `--paths`; else to the one that is a part of the other (`--parent`, or begun for the same agent and
/// session while that was open); else to `shared`, with all of them as candidates, and nothing is guessed. What nobody
/// announced is the user's. `record` does both at once, for paths that an editing tool has just written.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ChangeWork {
    /// What is done.
    pub action: Option<ChangeAction>,
    /// The token that `begin` gave.
    pub token: Option<ChangeId>,
    /// For which workflow.
    #[serde(alias = "workflow_id")]
    pub workflow: Option<WorkflowId>,
    /// In which phase.
    #[serde(alias = "phase_id")]
    pub phase: Option<Phase>,
    /// For which task.
    #[serde(alias = "task_id")]
    pub task: Option<TaskId>,
    /// By which agent.
    #[serde(alias = "agent_id")]
    pub agent: Option<AgentId>,
    /// In which session of the agent's program.
    #[serde(alias = "session_id")]
    pub session: Option<String>,
    /// By which tool call.
    #[serde(alias = "tool_call_id")]
    pub tool_call: Option<String>,
    /// The only paths that will be written, or were.
    pub paths: OneOrMany<TreePath>,
    /// Paths that were read, told at the end: who built on what is named where that is taken back.
    pub reads: OneOrMany<TreePath>,
    /// The open change that this one is a part of.
    pub parent: Option<ChangeId>,
    /// What is done, in a few words, such as the command.
    pub note: Option<String>,
}

impl ChangeWork {
    /// On whose behalf.
    pub fn author(&self) -> Author {
        Author {
            workflow_id: self.workflow.clone(),
            phase_id: self.phase.as_ref().and_then(Phase::id),
            task_id: self.task.clone(),
            agent_id: self.agent.clone(),
            session_id: self.session.clone(),
            tool_call_id: self.tool_call.clone(),
        }
    }
}

/// Lists who changed what, newest first.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Log {
    /// Of this workflow only.
    pub workflow_id: Option<WorkflowId>,
    /// Of this phase only.
    pub phase: Option<Phase>,
    /// Of this task only.
    pub task: Option<TaskId>,
    /// Of this agent only.
    pub agent: Option<AgentId>,
    /// Of this session of an agent's program only.
    #[serde(alias = "session_id")]
    pub session: Option<String>,
    /// Of this tool call only.
    #[serde(alias = "tool_call_id")]
    pub tool_call: Option<String>,
    /// Of these actors only: agent, user, shared, unknown, recovery.
    pub actor: OneOrMany<Actor>,
    /// Known in one of these ways only: traced, declared, observed.
    pub source: OneOrMany<Source>,
    /// At these paths or below them only, or where patterns such as `*.rs` say, but not where `!PATH` says.
    pub path: OneOrMany<PathSpec>,
    /// Ended since then, or open: a time, or how long ago, such as `5m`.
    pub since: Option<Timestamp>,
    /// Whether what was done is shown as differences.
    pub patch: bool,
    /// At most so many, the newest; 100 where it is not given.
    pub limit: Option<NonZeroU32>,
}

/// Shows for each line of a file who wrote it, with which change.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Blame {
    /// The file.
    pub path: Option<TreePath>,
}

/// Shows who changed a path, newest first; of a directory also who changed what is below it.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Who {
    /// The path.
    pub path: Option<TreePath>,
}

/// How much is taken back, in the reference's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum RollbackScope {
    /// Everything of the workflow.
    Full,
    /// Chosen phases, tasks, agents or files, each as a whole: at least one of these must be named, and no single change.
    Partial,
    /// What is named, and nothing else.
    #[default]
    Selective,
}

/// What becomes of later work of others on the same paths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum Dependents {
    /// It stays, where it can be separated.
    #[default]
    Keep,
    /// It is taken back, too.
    Cascade,
    /// Nothing is taken back where there is any.
    Stop,
}

/// What is done where work that stays and work that goes cannot be separated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum ConflictResolution {
    /// The file becomes what it was before the first of the changes.
    CheckpointPriority,
    /// The file stays as it is.
    CurrentPriority,
    /// Somebody decides: nothing is done before.
    #[default]
    #[serde(alias = "merge_strategy")]
    ManualReview,
}

/// Work that stays, though it would be taken back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum Preserved {
    /// That of phases which are completed.
    CompletedPhases,
    /// That of tasks which are completed.
    SuccessfulTasks,
    /// What the user and unknown programs did: it stays unless `preservation_rules` say otherwise.
    ExternalChanges,
    /// How resources are shared out: a rollback leaves that alone.
    ResourceOptimizations,
}

/// The reference's `preservation_rules` block.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(inline)]
pub struct PreservationRules {
    /// Whether the work of completed phases stays.
    pub preserve_completed_phases: bool,
    /// Whether the work of completed tasks stays.
    pub preserve_successful_tasks: bool,
    /// Whether what the user and unknown programs did stays. `false` takes it back, too: what was done after the
    /// checkpoint, or without one from the first of the changes on.
    pub preserve_external_changes: On,
    /// Whether resources stay shared out as they are: a rollback leaves that alone, and refuses `false`.
    pub preserve_resource_optimizations: On,
}

/// Takes the work of agents, tasks or a phase back, or single changes, and leaves everybody else's.
///
/// Which: `--agent`, `--task`, `--phase`, `--change`, `--since`, and `--file` for some paths only; all that is said must
/// fit. With a checkpoint, only what was done after it. What others did since in the same files stays, merged line by
/// line; where it cannot be separated the plan has a conflict, and nothing is done unless it is decided: `--ours PATH`
/// keeps the file as it is, `--theirs PATH` makes it what it was before, `--resolve PATH=FILE` takes a content made by
/// hand, `--words` merges such lines by words, `--partial` does the rest. `--interactive` asks for each change, file and piece of a file. What the user did stays,
/// unless `preservation_rules` say `"preserve_external_changes": false`. Tasks that are meant are to be done anew, those
/// without a change among them. The recovery can be undone.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Rollback {
    /// The workflow.
    pub workflow_id: Option<WorkflowId>,
    /// Only what was done after this checkpoint.
    #[serde(alias = "target_checkpoint")]
    pub checkpoint: Option<String>,
    /// How much; `full` takes back everything of the workflow, and `partial` parts of it as wholes.
    pub rollback_scope: RollbackScope,
    /// Of this phase.
    #[serde(alias = "phase_id")]
    pub phase: Option<Phase>,
    /// Of these tasks; what is shared by them alone goes, too.
    #[serde(alias = "task_id")]
    pub task: OneOrMany<TaskId>,
    /// Of these agents; what is shared by them alone goes, too.
    #[serde(alias = "agent_id")]
    pub agent: OneOrMany<AgentId>,
    /// These changes with their parts, whoever made them: ids, or unique beginnings of ids.
    pub change: OneOrMany<ChangeId>,
    /// At these paths and below them only, or where patterns such as `*.rs` say, but not where `!PATH` says.
    pub file: OneOrMany<PathSpec>,
    /// Ended since then: a time, or how long ago, such as `5m`.
    pub since: Option<Timestamp>,
    /// Whether somebody at a terminal chooses, of all that fits or else of all that the workflow's agents did, by change, file
    /// and piece of a file; `?` lists the keys.
    pub interactive: bool,
    /// What becomes of later work of others on the same paths.
    pub dependents: Dependents,
    /// Work that stays, though it would be taken back.
    pub preserve_components: OneOrMany<Preserved>,
    /// The same as a block, with what stays of others.
    pub preservation_rules: PreservationRules,
    /// What is done where work that stays and work that goes cannot be separated; or the reference's block, which says it of
    /// files (`file_conflicts`), of the state and of later work, too.
    pub conflict_resolution: Resolution,
    /// The reference's block of what is taken back: files, tasks with agents, or both.
    pub affected_components: Affected,
    /// The reference's block of what is checked before.
    pub validation_requirements: Required,
    /// The reference's form of scope, rules, checks and steps, as `--plan` prints it; a key of its own counts before it. Whose
    /// work is meant it does not say: the other keys do, as in the call that printed it.
    pub rollback_strategy: Option<Strategy>,
    /// The steps that the strategy says, once it is taken in.
    #[serde(skip)]
    pub steps: Option<Steps>,
    /// What the plan's strategy is called.
    pub strategy_id: Option<String>,
    /// Whether what is clean is done where something else is not.
    pub partial: bool,
    /// Whether lines that both what stays and what goes changed, or that touch such, are merged word by word.
    pub words: bool,
    /// Paths at which nothing is taken back.
    pub ours: OneOrMany<TreePath>,
    /// Paths that become what they were before the first of the changes, whatever others did there since.
    pub theirs: OneOrMany<TreePath>,
    /// Paths with the files that hold what they are to become: `PATH=FILE`.
    pub resolve: OneOrMany<PathAndFile>,
    /// Whether tasks of what is taken back are to be done anew.
    pub reset_tasks: On,
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
    /// Whether work on a file system of its own is taken back in the bare directory where that is not mounted now.
    pub allow_unmounted: bool,
    /// Whether modification times are put back too; else changed files get the present.
    pub exact_mtime: bool,
    /// Whether the coordination hub and the stakeholders are told how it stands. The resource manager is asked to hold in
    /// any case.
    pub notify_coordination_hub: On,
    /// How long it waits for whoever holds the workspace or the workflow; not at all where it is not given.
    pub wait: Option<Span>,
    /// How long it may take, its turn once there; the configuration's `restoration_timeout` where it is not given. When all is
    /// in its place and flushed, it counts no more; until then all is taken back.
    pub timeout: Option<Span>,
}

impl Rollback {
    /// Whether work of some kind stays.
    pub fn preserves(&self, what: Preserved) -> bool {
        let rules = &self.preservation_rules;
        let by_rule = match what {
            Preserved::CompletedPhases => rules.preserve_completed_phases,
            Preserved::SuccessfulTasks => rules.preserve_successful_tasks,
            Preserved::ExternalChanges => rules.preserve_external_changes.0,
            Preserved::ResourceOptimizations => rules.preserve_resource_optimizations.0,
        };
        by_rule || self.preserve_components.0.contains(&what)
    }

    /// Whether it may change files.
    pub fn consent(&self, interactive: bool) -> Consent {
        Consent::of(self.yes, self.apply, interactive)
    }
}

/// What is done with the watch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum WatchAction {
    /// Watches, until it is interrupted or asked to stop.
    #[default]
    Run,
    /// Starts a process that watches, and comes back when it does.
    Start,
    /// Ends the process that watches.
    Stop,
    /// Shows whether somebody watches, and what.
    Status,
}

/// Watches the workspace, so that commands need not look through all of it.
///
/// Optional: without it each look asks the file system for every file, and finds the same. With it `change begin`, `change
/// end`, checkpoints and plans look only at what was touched since. One process watches a workspace. It holds nothing that
/// could be lost: kill it, and the next look scans. Files that are written through a memory mapping are noticed when the
/// mapping ends.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct WatchTree {
    /// What is done; watching in the foreground where it is not given.
    pub action: WatchAction,
    /// Leaves the session of the terminal that it was started from.
    pub detached: bool,
}
