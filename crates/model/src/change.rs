//! A change: one actor's effect on the tree over one interval, and what it did to each path.
//!
//! Owns the words of the ledger. Refuses to find out who did what: that is `capture`.

use serde::{Deserialize, Serialize};

use crate::entry::Entry;
use crate::ids::{AgentId, ChangeId, RecoveryId, TaskId, WorkflowId};
use crate::path::TreePath;
use crate::phase::PhaseId;
use crate::time::Timestamp;

/// Who changed something.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Actor {
    /// The agent, task or session that the change names.
    Agent,
    /// A person, or a program that nobody announced, while no agent worked.
    User,
    /// One of several who worked at the same time; which of them, nothing tells.
    Shared,
    /// Nobody who was announced, while agents worked that do not write there.
    Unknown,
    /// A recovery.
    Recovery,
}

impl Actor {
    /// The name used in JSON and in the catalog.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Agent => "agent",
            Self::User => "user",
            Self::Shared => "shared",
            Self::Unknown => "unknown",
            Self::Recovery => "recovery",
        }
    }
}

/// How it is known who changed something, best first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// Each write was seen while it happened.
    Traced,
    /// The actor named the paths.
    Declared,
    /// The tree was another one at the end than at the beginning.
    Observed,
}

impl Source {
    /// The name used in JSON and in the catalog.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Traced => "traced",
            Self::Declared => "declared",
            Self::Observed => "observed",
        }
    }
}

/// On whose behalf something is changed: as much as whoever announced it said.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Author {
    /// The workflow.
    pub workflow_id: Option<WorkflowId>,
    /// The phase.
    pub phase_id: Option<PhaseId>,
    /// The task.
    pub task_id: Option<TaskId>,
    /// The agent.
    pub agent_id: Option<AgentId>,
    /// The session of the agent's program.
    pub session_id: Option<String>,
    /// The tool call within the session.
    pub tool_call_id: Option<String>,
}

impl Author {
    /// The most exact name that there is, for people: agent, then task, session, workflow.
    pub fn name(&self) -> &str {
        let agent = self.agent_id.as_ref().map(AgentId::as_str);
        let task = self.task_id.as_ref().map(TaskId::as_str);
        let workflow = self.workflow_id.as_ref().map(WorkflowId::as_str);
        agent.or(task).or(self.session_id.as_deref()).or(workflow).unwrap_or("somebody")
    }
}

/// One who may have made a change.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Candidate {
    /// The change that was open then.
    pub change_id: ChangeId,
    /// On whose behalf.
    #[serde(flatten)]
    pub author: Author,
}

/// What is known of a command whose effect a change is.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default)]
pub struct Evidence {
    /// The code that it ended with; `null` where a signal ended it, or nobody saw its end.
    pub exit_code: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// Milliseconds from its start to its end.
    pub duration_ms: Option<u64>,
    /// Milliseconds of processor time in its own code, and that of what it waited for.
    pub user_ms: Option<u64>,
    /// The same in the kernel on its behalf.
    pub system_ms: Option<u64>,
    /// The most memory that one process of it had at a time, in kibibytes.
    pub memory_peak_kib: Option<u64>,
    /// Whether the kernel killed a process of its control group meanwhile because memory ran out; `null` where that cannot be told.
    pub out_of_memory: Option<bool>,
    /// From then on not all that it did was seen; `null`: all was.
    pub degraded_since: Option<Timestamp>,
    /// Why.
    pub degraded_because: Option<String>,
    /// Local sockets that it talked to: who serves them may have done something on its behalf.
    pub delegated: Vec<String>,
    /// Programs that it ran and that gain privileges, which a traced command cannot give them.
    pub unprivileged: Vec<String>,
}

/// A change without its paths.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Change {
    /// Its id; while it is open, also its token.
    pub change_id: ChangeId,
    /// On whose behalf; all empty where nobody was announced.
    #[serde(flatten)]
    pub author: Author,
    /// Who made it.
    pub actor: Actor,
    /// How that is known.
    pub source: Source,
    /// How sure it is that the actor made all of it, from 0 to 1.
    pub confidence: f64,
    /// Who else may have made it, or some of it.
    pub candidates: Vec<Candidate>,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended; `null` while it is open.
    pub ended_at: Option<Timestamp>,
    /// What was done, in the words of whoever announced it.
    pub note: Option<String>,
    /// The recovery that it is the effect of.
    pub recovery_id: Option<RecoveryId>,
    /// What is known of the command that it is the effect of; `null` where it is none, or goes on.
    #[serde(default)]
    pub evidence: Option<Evidence>,
}

/// Between what a recovery was and who asked for it, in the note of its change.
const BY: &str = " by ";

impl Change {
    /// The note of a recovery's change: what it was, and who asked for it.
    pub fn note_of_recovery(kind: &str, requested_by: &str) -> String {
        format!("{}{BY}{requested_by}", kind.replace('_', " "))
    }

    /// Who asked for the recovery that it is the effect of; `None` where it is none.
    pub fn requested_by(&self) -> Option<&str> {
        let note = self.note.as_deref().filter(|_| self.actor == Actor::Recovery)?;
        note.split_once(BY).map(|(_, by)| by)
    }
}

/// What a change did to one path within the time between two looks at the tree.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Segment {
    /// Where.
    pub path: TreePath,
    /// What was there; `None`: nothing. The tree below a directory is not told.
    pub before: Option<Entry>,
    /// What was there then.
    pub after: Option<Entry>,
}

/// What a change did to a path, in one word.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// It came.
    Added,
    /// It is another one.
    Changed,
    /// It went.
    Removed,
    /// Only its mode, owner or extended attributes are others.
    Metadata,
}

impl Segment {
    /// What was done.
    pub fn effect(&self) -> Effect {
        match (&self.before, &self.after) {
            (None, _) => Effect::Added,
            (_, None) => Effect::Removed,
            (Some(before), Some(after)) if before.same_content(after) => Effect::Metadata,
            _ => Effect::Changed,
        }
    }
}
