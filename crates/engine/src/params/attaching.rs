//! Parameters of `attach` and `detach`.
//!
//! Owns their keys. Refuses to know the clients' configuration.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Attaches an agent client: from its next session on its tool calls are changes of the agents that make them.
///
/// It puts hooks and a launcher for shell commands into the client's own configuration, beside what is there; a copy of each file
/// that it changes is kept next to it. The directory is put under protection where it is not. Calling it again mends what is missing
/// or names a place where this program was before. `detach` takes exactly these entries out again.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Attach {
    /// Which client: `claude`, `codex`, `gemini`, `opencode` or `cursor`.
    pub client: Option<String>,
    /// Whether it is attached for this workspace alone; so it is where nothing is said.
    pub project: bool,
    /// Whether it is attached for all sessions of the user. They are heard in directories that `wfr init` protects.
    pub user: bool,
    /// Whether it only shows what would be written.
    pub plan: bool,
    /// Whether another shell prefix gives way to ours; `detach` puts it back.
    pub replace: bool,
}

/// Detaches an agent client: takes out of its configuration what `attach` put there, and nothing else.
///
/// What was changed around it stays. Sessions that run go on without their commands being traced by new hooks once they have read
/// their configuration again. The launcher stays, since shells of sessions that run need it.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Detach {
    /// Which client: `claude`, `codex`, `gemini`, `opencode` or `cursor`.
    pub client: Option<String>,
    /// Whether it was attached for this workspace alone; so it is where nothing is said.
    pub project: bool,
    /// Whether it was attached for all sessions of the user.
    pub user: bool,
    /// Whether it only shows what would be taken out.
    pub plan: bool,
}
