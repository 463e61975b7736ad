//! What a recovery changed that the list of its paths does not show.
//!
//! Owns whether there is something to be undone where no path was changed. Refuses to undo it.

use std::os::unix::fs::MetadataExt;

use wfr_catalog::CatalogError;
use wfr_model::FileTime;
use wfr_model::recovery::RecoveryRecord;

use super::aim;
use crate::manifests;
use crate::open::Open;

/// Whether a recovery whose report names no changed path changed something else: the workflow's state, the workspace's own
/// directory, or what the ledger says of changes. Where that cannot be found out, it may have. A time counts only `with_times`,
/// and while it stands.
pub fn changed_no_path_but_else(open: &Open, record: &RecoveryRecord, with_times: bool) -> bool {
    // A state that was folded again may have been set without an event.
    let set_state = record.kind.is_of_state() || aim::set_state(open, record).unwrap_or(true);
    set_state
        || changed_root(open, record, with_times).unwrap_or(true)
        || spoke_of_changes(open, record).unwrap_or(true)
}

/// Whether a recovery took changes back, or brought them back, of which nothing was left to be done.
fn spoke_of_changes(open: &Open, record: &RecoveryRecord) -> Result<bool, CatalogError> {
    let Some(change) = open.catalog.change_of_recovery(&record.recovery_id)? else { return Ok(false) };
    Ok(!open.catalog.cancellations_by(change.seq)?.is_empty())
}

/// Whether a recovery changed the workspace's own directory; `None` where that cannot be told.
pub(super) fn changed_root(open: &Open, record: &RecoveryRecord, with_times: bool) -> Option<bool> {
    let safety = open.catalog.checkpoint(record.safety_checkpoint.as_ref()?).ok()??;
    let target = open.catalog.checkpoint(&record.target).ok()??;
    let store = open.store().ok()?;
    let (was, set) = (manifests::root(&store, &safety)?, manifests::root(&store, &target)?);
    let set_time = || set.mtime.is_some() && set.mtime != was.mtime && set.mtime == time_now(open);
    // One of state alone leaves the directory as it is.
    Some(target.tree.is_some() && (was.mode != set.mode || with_times && set_time()))
}

/// The time of the workspace's own directory.
fn time_now(open: &Open) -> Option<FileTime> {
    let found = std::fs::metadata(open.root()).ok()?;
    Some(FileTime { secs: found.mtime(), nanos: u32::try_from(found.mtime_nsec()).ok()? })
}
