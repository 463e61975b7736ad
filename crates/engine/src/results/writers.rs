//! Processes that may still write, in results.
//!
//! Owns their field names. Refuses to find them.

use schemars::JsonSchema;
use serde::Serialize;
use wfr_model::{AgentId, ChangeId, TaskId, Timestamp, TreePath, WorkflowId};

use crate::writers::Writer;

/// A process that may still write into the workspace, or was ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct WriterLine {
    /// Its number.
    pub pid: u32,
    /// Its command line, cut after 160 characters.
    pub command: String,
    /// Since when it is there.
    pub since: Timestamp,
    /// Whether whoever started it is dead: its client, or the `wfr exec` that waited for its command; `null` where nothing tells.
    pub orphan: Option<bool>,
    /// Whether it is stopped, and writes nothing until it is continued.
    pub stopped: bool,
    /// Its change.
    pub change_id: Option<ChangeId>,
    /// Of which workflow.
    pub workflow_id: Option<WorkflowId>,
    /// In which task.
    pub task_id: Option<TaskId>,
    /// By which agent.
    pub agent_id: Option<AgentId>,
    /// In which session.
    pub session_id: Option<String>,
    /// Of which client: `claude`, `codex`, `gemini` or `opencode`.
    pub client: Option<String>,
    /// Files of the workspace that it has open for writing, or mapped so; the first 16.
    pub open_files: Vec<TreePath>,
}

impl WriterLine {
    /// Of a process that was found.
    pub fn of(writer: &Writer) -> Self {
        let author = writer.author.clone();
        Self {
            pid: writer.id.pid,
            command: writer.command.clone(),
            since: writer.since,
            orphan: writer.is_orphan,
            stopped: writer.is_stopped,
            change_id: writer.change.clone(),
            workflow_id: author.workflow_id,
            task_id: author.task_id,
            agent_id: author.agent_id,
            session_id: author.session_id,
            client: writer.client.map(ToOwned::to_owned),
            open_files: writer.files.clone(),
        }
    }
}
