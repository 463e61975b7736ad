//! Results of `exec`.
//!
//! Owns their form. Refuses to run anything.

use schemars::JsonSchema;
use serde::Serialize;
use wfr_model::ChangeId;

use crate::tracing::Tracing;

/// Result of `exec`, before the command is run.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Executing {
    /// The change that it is.
    pub change_id: ChangeId,
    /// Why it is not traced, and what is to be done about that; `null` where it is.
    pub observed: Option<(String, String)>,
    /// The command and its words, as they were given.
    pub command: Vec<String>,
    /// The only paths that it may write, as they were given; none: any.
    pub writable: Vec<String>,
    /// How it is traced.
    #[serde(skip)]
    pub tracing: Option<Tracing>,
}
