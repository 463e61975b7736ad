//! New ids: a prefix and a UUID of version 7, so that ids sort by the time of their making.
//!
//! Owns minting, the one place where randomness enters the engine. Refuses to give ids a meaning.

use wfr_model::{CheckpointId, OperationId, RecoveryId};

fn digits() -> String {
    uuid::Uuid::now_v7().simple().to_string()
}

/// A new checkpoint's id.
pub fn checkpoint() -> CheckpointId {
    format!("ckpt_{}", digits()).parse().expect("the prefix and hexadecimal digits make a valid id")
}

/// A new recovery's id.
pub fn recovery() -> RecoveryId {
    format!("rec_{}", digits()).parse().expect("the prefix and hexadecimal digits make a valid id")
}

/// A new operation's id.
pub fn operation() -> OperationId {
    format!("op_{}", digits()).parse().expect("the prefix and hexadecimal digits make a valid id")
}
