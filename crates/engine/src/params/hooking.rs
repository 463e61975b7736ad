//! Parameters of `hook`.
//!
//! Owns their keys. Refuses to know what clients say.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Takes what an agent client says through a hook, and answers it.
///
/// For the client's configuration, which `wfr attach` writes. The payload comes on standard input and the answer goes to standard
/// output, both in the client's own form. Calls of tools become changes of the agent that makes them; sessions, agents and tasks
/// become events. Whatever goes wrong stops no agent: the exit code is 0, it is shown by `status`, and what the call did is found by
/// a look.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Hook {
    /// Which client: `claude`, `codex`, `gemini`, `opencode` or `cursor`.
    pub client: Option<String>,
}
