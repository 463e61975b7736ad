//! Result of `attach` and `detach`, and what `status` says of clients.
//!
//! Owns their form. Refuses to know the clients' configuration.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;
use wfr_model::Timestamp;

use crate::attaching::Scope;
use crate::hooks::trouble::Trouble;

/// Result of `attach` and `detach`.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Attachment {
    /// Which client.
    pub client: String,
    /// For whom.
    pub scope: Scope,
    /// Whether it is attached now; of a plan, whether it would be.
    pub attached: bool,
    /// Whether nothing was written.
    pub plan: bool,
    /// The directory that was put under protection for it; `null` where it was before, or none was.
    pub initialised: Option<String>,
    /// The files concerned.
    pub files: Vec<AttachedFile>,
}

/// One file.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct AttachedFile {
    /// Where it is, links followed.
    pub path: String,
    /// What became of it.
    pub became: FileBecame,
    /// The entries that were put in or taken out.
    pub entries: Vec<AttachedEntry>,
    /// The copy of what was there before.
    pub backup: Option<String>,
}

/// One entry of a client's configuration.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct AttachedEntry {
    /// Where it is in the file: names, with dots between them.
    pub name: String,
    /// What was put there; `null` where it was taken out.
    pub value: Value,
}

/// What became of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FileBecame {
    /// It is new.
    Made,
    /// It was changed.
    Changed,
    /// It was right before.
    Unchanged,
    /// It held nothing else, and is gone.
    Removed,
}

/// How it stands with one agent client in a workspace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ClientLine {
    /// Which.
    pub client: String,
    /// For whom it is attached; empty where it is not, and was heard all the same.
    pub attached: Vec<Scope>,
    /// Sessions that were heard and have not ended.
    pub sessions: Vec<SessionLine>,
    /// When it was last heard; `null`: never.
    pub last_heard: Option<Timestamp>,
    /// How often something of ours went wrong in a hook in the last seven days.
    pub troubles: u64,
    /// The newest of these.
    pub newest_trouble: Option<Trouble>,
}

/// A session of a client.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct SessionLine {
    /// Which, in the client's words.
    pub session_id: String,
    /// When it was last heard.
    pub last_heard: Timestamp,
    /// Whether the client's process lives.
    pub alive: bool,
}
