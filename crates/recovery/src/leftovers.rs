//! What recoveries leave in a workspace: staged files that nothing needs any more, and displaced ones that were kept.
//!
//! Owns finding both and removing the former. Refuses to touch what was kept: it may be the only copy.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use wfr_model::{RecoveryId, TreePath};
use wfr_store::disk;

use crate::beneath;
use crate::mounts::{self, KEPT, STAGING, Staging};

/// The recoveries that have a staging directory on some mount of the workspace.
pub fn staged(root: &Path) -> Vec<RecoveryId> {
    let names = places(root).filter_map(|dir| std::fs::read_dir(dir).ok()).flatten().flatten();
    names.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

/// Where files are staged, but none is and none is kept.
pub fn unused(root: &Path) -> Vec<PathBuf> {
    let is_unused = |dir: &PathBuf| {
        let entries = std::fs::read_dir(dir).and_then(|mut entries| {
            entries.try_fold(true, |unused, entry| Ok::<_, io::Error>(unused && entry?.file_name() == ".gitignore"))
        });
        entries.unwrap_or(false)
    };
    places(root).filter(is_unused).collect()
}

/// The directories that hold displaced files which were not dropped, and how many of them each.
pub fn kept(root: &Path) -> Vec<(PathBuf, usize)> {
    let count = |dir: &PathBuf| std::fs::read_dir(dir).into_iter().flatten().flatten().count();
    places(root)
        .map(|dir| dir.join(KEPT))
        .map(|dir| (dir.clone(), count(&dir)))
        .filter(|(_, count)| *count > 0)
        .collect()
}

/// Where files are staged, on each mount of the workspace.
fn places(root: &Path) -> impl Iterator<Item = PathBuf> {
    mounts::below(root).into_iter().map(|mount| root.join(OsStr::from_bytes(mount.as_bytes())).join(STAGING))
}

/// Removes staging directories of recoveries that never passed their commit point, on every mount. `is_known` says which
/// are at work.
pub fn clean(root: &Path, is_known: &dyn Fn(&RecoveryId) -> bool) -> io::Result<Vec<RecoveryId>> {
    let mounts = mounts::below(root);
    let root = disk::open_dir(root)?;
    let mut cleaned = Vec::new();
    for mount in &mounts {
        clean_mount(&root, mount, is_known, &mut cleaned)?;
    }
    cleaned.sort();
    cleaned.dedup();
    Ok(cleaned)
}

pub(crate) fn clean_mount(
    root: &OwnedFd,
    mount: &TreePath,
    is_known: &dyn Fn(&RecoveryId) -> bool,
    cleaned: &mut Vec<RecoveryId>,
) -> io::Result<()> {
    let Ok(base) = beneath::directory(root, &mount.join(mounts::STAGING.as_bytes())) else {
        return Ok(());
    };
    let listed = disk::open_at(&base, Path::new("."), rustix::fs::OFlags::DIRECTORY, rustix::fs::Mode::empty())?;
    for entry in rustix::fs::Dir::read_from(&listed)? {
        let entry = entry?;
        let Some(id) = entry.file_name().to_str().ok().and_then(|name| name.parse::<RecoveryId>().ok()) else {
            continue;
        };
        if is_known(&id) {
            continue;
        }
        let staging = Staging::open(root.as_fd(), mount, &id)?;
        // Only what was staged is removed. Before the commit point nothing can have been displaced.
        for staged in rustix::fs::Dir::read_from(&staging.new)? {
            let staged = staged?;
            if !matches!(staged.file_name().to_bytes(), b"." | b"..") {
                disk::unlink(&staging.new, beneath::os(staged.file_name().to_bytes()))?;
            }
        }
        staging.close(root.as_fd(), &id)?;
        cleaned.push(id);
    }
    mounts::remove_if_unused(&base, &beneath::directory(root, mount)?)
}
