//! Recoveries that have ended and stand although their check failed: somebody is to take them back.
//!
//! Owns who they are. Refuses to take one back: that is a recovery of its own.

use std::io;
use std::path::Path;

use wfr_model::RecoveryId;

use crate::redo::{self, Note};

/// These recoveries, oldest first.
pub fn list(journal: &Path) -> io::Result<Vec<RecoveryId>> {
    redo::list_failed(journal)
}

/// Whether one is among these, or will be when what its process left is tidied up.
pub fn is_noted(journal: &Path, id: &RecoveryId) -> bool {
    redo::is_noted(journal, id, Note::Failed) && !redo::stands(journal, id)
}

/// Notes that one is to be taken back no more.
pub fn forget(journal: &Path, id: &RecoveryId) -> io::Result<()> {
    redo::remove(journal, id, false)
}
