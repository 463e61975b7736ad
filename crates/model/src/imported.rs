//! The mark of an import, as a value: what an archive brought into a vault.
//!
//! Owns its fields. Refuses to know archives, and where the mark is stored.

use serde::{Deserialize, Serialize};

use crate::checkpoint::SealedEvents;
use crate::digest::Digest;
use crate::ids::CheckpointId;
use crate::time::Timestamp;

/// The version of the mark's form that this build writes; it reads no later one.
pub const MARK_VERSION: u32 = 1;

/// What one import brought. The manifests that it names were made in another vault: the numbers that they say events
/// and looks have are that vault's.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ImportMark {
    /// Version of this form: [`MARK_VERSION`].
    pub format_version: u32,
    /// When it was brought in.
    pub imported_at: Timestamp,
    /// The checkpoints that were not known before, oldest first.
    pub checkpoints: Vec<ImportedCheckpoint>,
    /// The place of the first of them in the order of this vault's checkpoints, always negative; the others follow. A
    /// later import stands before an earlier one.
    pub place: i64,
    /// The events of this vault that no seal held before, under this vault's numbers; those that came are among them.
    pub sealed_events: Vec<SealedEvents>,
}

/// A checkpoint that an import brought.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ImportedCheckpoint {
    /// Its id.
    pub checkpoint_id: CheckpointId,
    /// The SHA-256 of its manifest.
    pub manifest: Digest,
}
