//! New ids: a prefix and a UUID of version 7, so that ids sort by the time of their making.
//!
//! Owns minting, the one place where randomness enters the engine. Refuses to give ids a meaning.

use std::str::FromStr;
use std::sync::atomic::{AtomicU32, Ordering};

use wfr_model::{AllocationId, ChangeId, CheckpointId, EventId, OperationId, RecoveryId};
use wfr_store::{object, unique};

/// Where the ids come from of what an operation makes.
#[derive(Debug, Default)]
pub enum Ids {
    /// They are new each time.
    #[default]
    New,
    /// They follow from what is asked for: whoever does the same again finds by them what was made before. One of each kind,
    /// but events, which are numbered.
    Following {
        /// 32 hexadecimal digits.
        digits: String,
        /// Events made so far.
        events: AtomicU32,
    },
}

impl Ids {
    /// Those that follow from a text.
    pub fn following(text: &str) -> Self {
        let digits = object::hash(text.as_bytes()).to_hex().chars().take(32).collect();
        Self::Following { digits, events: AtomicU32::new(0) }
    }

    fn digits(&self) -> String {
        match self {
            Self::New => digits(),
            Self::Following { digits, .. } => digits.clone(),
        }
    }

    /// The id of the operation that makes a checkpoint. Not the checkpoint's own: one that was never committed may lie in a
    /// pack, and must not be taken for the one that was.
    pub fn operation(&self) -> OperationId {
        id("op", &self.digits())
    }

    /// The id of the change that is announced or recorded.
    pub fn change(&self) -> ChangeId {
        id("chg", &self.digits())
    }

    /// The id of the recovery that is done.
    pub fn recovery(&self) -> RecoveryId {
        id("rec", &self.digits())
    }

    /// The id of the share of resources that is given.
    pub fn allocation(&self) -> AllocationId {
        id("alloc", &self.digits())
    }

    /// The id of the next event.
    pub fn event(&self) -> EventId {
        let Self::Following { digits, events } = self else { return event() };
        let number = events.fetch_add(1, Ordering::Relaxed);
        id("evt", &format!("{digits}_{number}"))
    }
}

/// An id of a prefix and letters and digits, dashes and underscores between them.
fn id<T: FromStr<Err: std::fmt::Debug>>(prefix: &str, rest: &str) -> T {
    format!("{prefix}_{rest}").parse().expect("a prefix and hexadecimal digits make a valid id")
}

fn digits() -> String {
    unique::uuid().simple().to_string()
}

/// A new vault's id: 32 hexadecimal digits.
pub fn vault() -> String {
    digits()
}

/// A new checkpoint's id.
pub fn checkpoint() -> CheckpointId {
    id("ckpt", &digits())
}

/// The id of a change that the ledger finds.
pub fn change() -> ChangeId {
    id("chg", &digits())
}

/// A new recovery's id.
pub fn recovery() -> RecoveryId {
    id("rec", &digits())
}

/// A new operation's id.
pub fn operation() -> OperationId {
    id("op", &digits())
}

/// A new event's id.
pub fn event() -> EventId {
    id("evt", &unique::uuid().hyphenated().to_string())
}

/// A new id of a request.
pub fn request() -> String {
    format!("req_{}", unique::uuid().hyphenated())
}

/// A new id of a response.
pub fn response() -> String {
    format!("resp_{}", unique::uuid().hyphenated())
}

/// A new id of a conflict.
pub fn conflict() -> String {
    format!("conflict_{}", digits())
}
