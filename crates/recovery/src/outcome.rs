//! How a recovery ended: done, partial or taken back, and why.
//!
//! Owns the words of it. Refuses to know how it came to that.

use std::fmt;

use wfr_model::TreePath;
use wfr_model::recovery::{ApplyReport, RecoveryStatus};

/// Why a recovery was taken back.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum GaveUp {
    /// The caller asked for it.
    Interrupted,
    /// Its time was over.
    TimedOut,
    /// A step could not be done: where, and what the system said.
    Failed(String),
}

impl fmt::Display for GaveUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Interrupted => f.write_str("interrupted"),
            Self::TimedOut => f.write_str("the time limit was reached"),
            Self::Failed(why) => f.write_str(why),
        }
    }
}

/// How a recovery ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Outcome {
    /// Done, partial, or taken back.
    pub status: RecoveryStatus,
    /// Step by step.
    pub report: ApplyReport,
    /// Why it was taken back, where it was.
    pub reason: Option<GaveUp>,
    /// Whether its check failed. The tree is as the plan has it all the same.
    pub check_failed: bool,
}

/// What decides whether a recovery may stand, given the paths that it changed.
pub type Check<'c> = &'c dyn Fn(&[TreePath]) -> bool;
