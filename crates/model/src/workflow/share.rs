//! When a share of resources ends by itself because of its workflow.
//!
//! Owns how a share says so. Refuses to know clocks: the moment is handed in.

use serde::Deserialize;

use super::{Allocation, Head, WorkflowStatus};
use crate::time::{Span, Timestamp};

/// What a share says of its end, under `auto_release`.
#[derive(Clone, Copy, PartialEq, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ShareEnd {
    /// When the workflow ends well or is given up.
    pub on_completion: bool,
    /// When its time is over.
    pub on_timeout: bool,
    /// When the workflow fails.
    pub on_failure: bool,
    /// So long after any of these.
    pub grace_period: Option<Span>,
}

impl Default for ShareEnd {
    fn default() -> Self {
        Self { on_completion: true, on_timeout: true, on_failure: false, grace_period: None }
    }
}

impl ShareEnd {
    /// What a share says; what nobody understands is as if it said nothing.
    pub fn of(share: &Allocation) -> Self {
        let said = share.extra.get("auto_release").cloned().unwrap_or_default();
        serde_json::from_value(said).unwrap_or_default()
    }

    /// Whether something that was over at one time is so, with the grace, at another.
    pub fn is_past(&self, at: Timestamp, now: Timestamp) -> bool {
        at <= now.before(self.grace())
    }

    fn grace(&self) -> std::time::Duration {
        self.grace_period.and_then(Span::duration).unwrap_or_default()
    }

    /// Why the share has ended with its workflow by then; `None` where it has not.
    pub fn with_workflow(&self, head: &Head, now: Timestamp) -> Option<&'static str> {
        // It has ended; where its end is said to be still to come, a clock was ahead by more than anybody waits.
        let has_ended = head.ended_at.is_some_and(|at| self.is_past(at, now) || at.before(self.grace()) > now);
        match head.status {
            WorkflowStatus::Completed | WorkflowStatus::Cancelled if self.on_completion && has_ended => {
                Some("the workflow has ended")
            }
            WorkflowStatus::Failed if self.on_failure && has_ended => Some("the workflow has failed"),
            _ => None,
        }
    }
}
