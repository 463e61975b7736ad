//! Files that root leaves in a store or a view of somebody else's: they become its owner's, who could not read them.
//!
//! Owns which files these are. Refuses to follow a link, to touch a file that has a second name (which may stand anywhere),
//! and to fail a command: what cannot be given away now is given away by root's next one.

use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{AtFlags, Dir, FileType, Gid, Mode, OFlags, Stat, Uid};
use wfr_store::disk;

use crate::view;
use crate::workspace::Place;

/// How deep directories of stores and views lie, at most.
const DEPTH_MAX: usize = 6;

/// Gives what root made in a store and in a view to their owners.
pub fn adopt(place: &Place) {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let owner_of = |path: &Path| rustix::fs::stat(path).ok().filter(|stat| stat.st_uid != 0);
    for (dir, owner) in [(place.vault.clone(), owner_of(&place.vault)), (view::dir(&place.root), owner_of(&place.root))]
    {
        if let (Ok(dir), Some(owner)) = (disk::open_dir(&dir), owner) {
            give(&dir, &owner);
            below(&dir, &owner, DEPTH_MAX);
        }
    }
}

fn below(dir: &OwnedFd, owner: &Stat, depth: usize) {
    let Ok(entries) = Dir::read_from(dir) else { return };
    for entry in entries.filter_map(Result::ok) {
        let name = Path::new(std::ffi::OsStr::from_bytes(entry.file_name().to_bytes()));
        if name == Path::new(".") || name == Path::new("..") {
            continue;
        }
        let Ok(fd) = disk::open_at(dir, name, OFlags::PATH, Mode::empty()) else { continue };
        let Some(FileType::Directory) = give(&fd, owner) else { continue };
        let inner = disk::open_at(dir, name, OFlags::DIRECTORY | OFlags::RDONLY, Mode::empty());
        if let (Ok(inner), 1..) = (inner, depth) {
            below(&inner, owner, depth - 1);
        }
    }
}

/// Gives one file or directory away that is root's, and says what it is.
fn give(fd: impl AsFd, owner: &Stat) -> Option<FileType> {
    let stat = rustix::fs::fstat(&fd).ok()?;
    let kind = FileType::from_raw_mode(stat.st_mode);
    let is_ours = match kind {
        FileType::Directory => true,
        FileType::RegularFile => stat.st_nlink == 1,
        _ => false,
    };
    if is_ours && stat.st_uid == 0 {
        let (uid, gid) = (Some(Uid::from_raw(owner.st_uid)), Some(Gid::from_raw(owner.st_gid)));
        let _ = disk::checked("fchownat", || rustix::fs::chownat(&fd, c"", uid, gid, AtFlags::EMPTY_PATH));
    }
    Some(kind)
}
