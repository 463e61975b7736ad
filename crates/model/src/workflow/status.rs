//! How things stand, in the protocol's words, and which turns they can take.
//!
//! Owns the words and the possible turns. Refuses to know what brings a turn about.

use serde::{Deserialize, Serialize};

macro_rules! status {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $word:literal $(| $alias:literal)*,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize, schemars::JsonSchema)]
        pub enum $name {
            $($(#[$vdoc])* #[serde(rename = $word $(, alias = $alias)*)] $variant,)*
        }

        impl $name {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The word.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }
        }
    };
}

status! {
    /// Of a workflow.
    WorkflowStatus {
        /// Known, and not begun.
        #[default]
        Created = "created" | "pending" | "registered",
        /// Going on.
        Running = "running" | "active" | "in_progress" | "started",
        /// Halted for a while.
        Paused = "paused",
        /// Ended well.
        Completed = "completed",
        /// Failed.
        Failed = "failed",
        /// Given up.
        Cancelled = "cancelled" | "canceled",
    }
}

status! {
    /// Of a phase.
    PhaseStatus {
        /// Not begun.
        #[default]
        Pending = "pending" | "created",
        /// Going on.
        InProgress = "in_progress" | "active" | "running" | "started",
        /// Ended well.
        Completed = "completed",
        /// Failed.
        Failed = "failed",
        /// Left out.
        Skipped = "skipped",
    }
}

status! {
    /// Of a task.
    TaskStatus {
        /// Not begun.
        #[default]
        Pending = "pending" | "assigned" | "queued" | "created",
        /// Being worked on.
        Active = "active" | "in_progress" | "running" | "started",
        /// Done.
        Completed = "completed" | "done",
        /// Failed.
        Failed = "failed" | "timeout",
    }
}

status! {
    /// Of an agent.
    AgentStatus {
        /// There, with nothing said of its work.
        Active = "active",
        /// Slower or worse than it was.
        DegradedPerformance = "degraded_performance" | "degraded",
        /// At work on a task.
        InProgress = "in_progress" | "busy" | "working",
        /// Without work.
        #[default]
        Idle = "idle" | "available",
        /// Kept for something.
        Reserved = "reserved",
        /// Gone or out of order.
        Failed = "failed",
    }
}

status! {
    /// Of a share of resources.
    AllocationStatus {
        /// In use.
        #[default]
        Active = "active",
        /// Kept for later.
        Reserved = "reserved",
        /// Its time is over.
        Expired = "expired",
        /// Given back.
        Released = "released",
    }
}

/// What becomes of a turn.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Turn {
    /// It is usual.
    Usual,
    /// It cannot be, and yet somebody says that it was: the state follows.
    Odd,
    /// It would undo what has ended: the state stays.
    Refused,
}

impl WorkflowStatus {
    /// What becomes of a turn from this to that.
    pub fn turn(self, to: Self) -> Turn {
        use WorkflowStatus::*;
        match (self, to) {
            (from, to) if from == to => Turn::Usual,
            (Completed | Cancelled, _) => Turn::Refused,
            (_, Created) => Turn::Refused,
            (Created, Paused | Completed) => Turn::Odd,
            (Failed, Paused | Completed) => Turn::Odd,
            _ => Turn::Usual,
        }
    }
}

impl PhaseStatus {
    /// What becomes of a turn from this to that.
    pub fn turn(self, to: Self) -> Turn {
        use PhaseStatus::*;
        match (self, to) {
            (from, to) if from == to => Turn::Usual,
            (Completed, _) => Turn::Refused,
            (_, Pending) => Turn::Refused,
            (Skipped, InProgress) => Turn::Usual,
            (Skipped, _) => Turn::Odd,
            (Failed, Completed) => Turn::Odd,
            _ => Turn::Usual,
        }
    }
}

impl TaskStatus {
    /// What becomes of a turn from this to that. A task that is assigned anew begins again, whatever it was.
    pub fn turn(self, to: Self) -> Turn {
        use TaskStatus::*;
        match (self, to) {
            (from, to) if from == to => Turn::Usual,
            (_, Pending) => Turn::Usual,
            (Completed, _) => Turn::Refused,
            (Failed, Completed) => Turn::Odd,
            _ => Turn::Usual,
        }
    }
}
