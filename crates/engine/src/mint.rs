//! New ids: a prefix and a UUID of version 7, so that ids sort by the time of their making.
//!
//! Owns minting, the one place where randomness enters the engine. Refuses to give ids a meaning.

use wfr_model::{AllocationId, ChangeId, CheckpointId, EventId, OperationId, RecoveryId};
use wfr_store::unique;

fn digits() -> String {
    unique::uuid().simple().to_string()
}

/// A new vault's id: 32 hexadecimal digits.
pub fn vault() -> String {
    digits()
}

/// A new checkpoint's id.
pub fn checkpoint() -> CheckpointId {
    format!("ckpt_{}", digits()).parse().expect("the prefix and hexadecimal digits make a valid id")
}

/// A new change's id.
pub fn change() -> ChangeId {
    format!("chg_{}", digits()).parse().expect("the prefix and hexadecimal digits make a valid id")
}

/// A new recovery's id.
pub fn recovery() -> RecoveryId {
    format!("rec_{}", digits()).parse().expect("the prefix and hexadecimal digits make a valid id")
}

/// A new operation's id.
pub fn operation() -> OperationId {
    format!("op_{}", digits()).parse().expect("the prefix and hexadecimal digits make a valid id")
}

/// A new event's id.
pub fn event() -> EventId {
    format!("evt_{}", unique::uuid().hyphenated()).parse().expect("the prefix and a UUID make a valid id")
}

/// A new id of a share of resources.
pub fn allocation() -> AllocationId {
    format!("alloc_{}", digits()).parse().expect("the prefix and hexadecimal digits make a valid id")
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
