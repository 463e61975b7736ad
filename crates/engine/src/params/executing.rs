//! Parameters of `exec`.
//!
//! Owns their keys. Refuses to run anything.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use wfr_model::{AgentId, ChangeId, TaskId, WorkflowId};

use super::ChangeWork;
use super::values::Phase;

/// Runs a command as a change: what it and all that it starts write is theirs, and nothing else.
///
/// The kernel tells of each write before it is done, so commands that overlap in time are told apart exactly; of a path that
/// several of them wrote in turn each has its own piece. Streams, signals, terminal and exit code are the command's own: 128 and the signal
/// where one ended it, 126 where it cannot be run, 127 where there is none of its name, 125 where wfr failed and it was not run. Where it cannot be
/// traced it runs all the same, and what changed meanwhile is found by a look, as with `change begin` and `change end`: that is said
/// once on standard error and in the change.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Exec {
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
    /// The open change that this one is a part of.
    pub parent: Option<ChangeId>,
    /// What is done, in a few words; the command where it is not given.
    pub note: Option<String>,
    /// Whether it is not traced: for programs that gain privileges or trace others themselves.
    pub observed: bool,
    /// The only paths that the command may write, and what is below them, besides `/dev/null` and the like: confined by Landlock. They
    /// must be there; nothing else is writable, `/tmp` neither. Not covered: modes, owners, extended attributes, times, and what the
    /// command was given open.
    pub writable: Vec<String>,
    /// The command and its words: bytes that are no text as `\xHH`, a backslash as `\\`.
    pub command: Vec<String>,
}

impl Exec {
    /// The change that it is.
    pub fn change(&self) -> ChangeWork {
        ChangeWork {
            workflow: self.workflow.clone(),
            phase: self.phase.clone(),
            task: self.task.clone(),
            agent: self.agent.clone(),
            session: self.session.clone(),
            tool_call: self.tool_call.clone(),
            parent: self.parent.clone(),
            note: self.note.clone(),
            ..ChangeWork::default()
        }
    }
}
