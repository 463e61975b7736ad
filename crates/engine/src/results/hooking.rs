//! Result of `hook`.
//!
//! Owns its form. Refuses to know what clients say.

use schemars::JsonSchema;
use serde::Serialize;

/// Result of `hook`.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Hooked {
    /// What the client is answered, as text; empty where it may go on.
    pub answer: String,
}
