//! Parameters of the operations on the ledger: who changes what, and who did.
//!
//! Owns their keys. Refuses to act on them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use wfr_model::change::{Actor, Author};
use wfr_model::{AgentId, ChangeId, TaskId, Timestamp, TreePath, WorkflowId};

use super::values::{OneOrMany, Phase};

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
    /// Of these actors only: agent, user, shared, unknown, recovery.
    pub actor: OneOrMany<Actor>,
    /// At this path or below it only.
    pub path: Option<TreePath>,
    /// Ended since then, or open.
    pub since: Option<Timestamp>,
    /// Whether what was done is shown as differences.
    pub patch: bool,
    /// At most so many, the newest; 100 where it is not given.
    pub limit: Option<u32>,
}

/// Shows for each line of a file who wrote it, with which change.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Blame {
    /// The file.
    pub path: Option<TreePath>,
}

/// Shows who changed a path, newest first.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Who {
    /// The path.
    pub path: Option<TreePath>,
}
