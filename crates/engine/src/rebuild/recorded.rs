//! What the audit trail keeps of rebuilds: the checkpoints that they did not find again.
//!
//! Owns for how long one counts as lost: until it stands again, or until the catalog that knew it is removed by whoever gives
//! it up. Refuses to look for any.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use wfr_catalog::{Catalog, CatalogError, NewOperation, OperationRow};

use super::Lost;

/// The operation's name in the trail.
pub(super) const REBUILT: &str = "rebuild-catalog";

/// What is recorded.
#[derive(Serialize, Deserialize)]
struct Record {
    lost: Vec<Lost>,
    /// Where the catalog is that knew them; `None` where the view alone did.
    kept: Option<PathBuf>,
}

/// Checkpoints that a rebuild did not find again, and that are not there by now.
pub struct StillLost {
    /// They.
    pub lost: Vec<Lost>,
    /// Where the catalog is that knew them.
    pub kept: Option<PathBuf>,
}

/// The line with what is lost.
pub(super) fn with_lost(audit: NewOperation, lost: &[Lost], aside: Option<&Path>) -> NewOperation {
    if lost.is_empty() {
        return audit;
    }
    let record = Record { lost: lost.to_vec(), kept: aside.map(Path::to_owned) };
    // A path that is no text cannot be written down: then the names alone are.
    let result = serde_json::to_value(&record).or_else(|_| serde_json::to_value(Record { kept: None, ..record }));
    NewOperation { result: result.unwrap_or_default(), ..audit }
}

/// What rebuilds did not find again and nobody has given up, by the rebuild.
pub fn still_lost(catalog: &Catalog) -> Result<Vec<StillLost>, CatalogError> {
    let mut all = Vec::new();
    for OperationRow { operation, .. } in catalog.operations_named(REBUILT)? {
        let Ok(Record { mut lost, kept }) = serde_json::from_value(operation.result) else { continue };
        if kept.as_ref().is_some_and(|kept| kept.symlink_metadata().is_err()) {
            continue;
        }
        let mut standing = Vec::new();
        for one in &lost {
            let row = catalog.checkpoint(&one.checkpoint_id)?;
            // One that came back and was deleted later is not lost. What the rebuild itself found in pieces it deleted.
            standing.push(row.is_some_and(|row| row.deleted_at != Some(operation.at)));
        }
        let mut standing = standing.into_iter();
        lost.retain(|_| !standing.next().unwrap_or(false));
        all.extend((!lost.is_empty()).then_some(StillLost { lost, kept }));
    }
    Ok(all)
}
