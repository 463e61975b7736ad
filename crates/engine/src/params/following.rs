//! Parameters of the operations that show what goes on.
//!
//! Owns their keys. Refuses to act on them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use wfr_model::{Span, Timestamp, WorkflowId};

use super::values::OneOrMany;

/// Shows how a workflow stands: progress, phases, tasks, agents, last events, last checkpoint.
///
/// Without a workflow it is the only one, or the one that something happened to last.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct FollowStatus {
    /// The workflow.
    pub workflow_id: Option<WorkflowId>,
    /// Shows it again whenever something changed, until it is interrupted.
    pub watch: bool,
    /// How often it looks for changes, such as 2s.
    pub interval: Option<Span>,
}

/// Lists events in their order: the last ones, or those after a place.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ListEvents {
    /// Of this workflow only.
    pub workflow_id: Option<WorkflowId>,
    /// Goes on with those that come, until it is interrupted: one line for each, with `--json` one JSON object.
    pub follow: bool,
    /// Of these types only, in any spelling.
    #[serde(rename = "type")]
    pub types: OneOrMany<String>,
    /// Recorded at this time or later, such as 2025-01-15T11:30:00Z, or `5m` for five minutes ago.
    pub since: Option<Timestamp>,
    /// At most so many; 50 where it is not given.
    pub limit: Option<u32>,
    /// After this place in the order; the first ones then.
    pub after: Option<i64>,
    /// Only those with something odd about them.
    pub odd: bool,
}

/// Lists workflows, and how they stand.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ListWorkflows {}

/// The form of a graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum GraphFormat {
    /// What waits for what, for people.
    #[default]
    Text,
    /// For Graphviz.
    Dot,
    /// The resolver's document.
    Json,
}

/// Shows which tasks and phases of a workflow wait for which, and what is wrong with that.
///
/// Circles, and dependencies that lead nowhere, are findings.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Graph {
    /// The workflow.
    pub workflow_id: Option<WorkflowId>,
    /// In which form.
    pub format: GraphFormat,
}
