//! The times of the directories that a recovery writes in.
//!
//! Owns noting them and giving them back. Refuses to fail for a time's sake.

use std::collections::BTreeSet;
use std::os::fd::OwnedFd;
use std::path::Path;

use wfr_model::{FileTime, TreePath};

use crate::redo::RedoStep;
use crate::{beneath, metadata};

/// The times of the directories that will be written in: what is put back there later must not show.
pub(crate) fn of(root: &OwnedFd, mounts: &[TreePath], steps: &[RedoStep]) -> Vec<(TreePath, FileTime)> {
    let parents = steps.iter().filter_map(|step| step.path.parent());
    let touched: BTreeSet<TreePath> = mounts.iter().cloned().chain(parents).collect();
    let time = |path: TreePath| {
        let dir = beneath::directory(root, &path).ok()?;
        Some((path, beneath::look_at(&dir).ok()?.mtime))
    };
    // One that is not there yet has no time; one that cannot be looked at cannot be written in either.
    touched.into_iter().filter_map(time).collect()
}

/// Gives directories their times back, as far as they are there.
pub(crate) fn set<'t>(root: &OwnedFd, times: impl Iterator<Item = &'t (TreePath, FileTime)>) {
    for (path, time) in times {
        if let Ok(dir) = beneath::directory(root, path) {
            // A time is all that is at stake: nobody is to be stopped by it.
            let _ = metadata::set_time(&dir, Path::new("."), metadata::Time::Exact(*time));
        }
    }
}

/// Does something in a directory that is nobody else's business: its time stays. Where that may not be set, it does not.
pub(crate) fn keeping<T>(dir: &OwnedFd, work: impl FnOnce() -> T) -> T {
    let before = beneath::look_at(dir).map(|slot| slot.mtime);
    let done = work();
    if let (Ok(before), Ok(after)) = (before, beneath::look_at(dir))
        && before != after.mtime
    {
        let _ = metadata::set_time(dir, Path::new("."), metadata::Time::Exact(before));
    }
    done
}
