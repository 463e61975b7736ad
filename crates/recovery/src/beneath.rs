//! Reaching paths of the workspace without ever leaving it.
//!
//! Owns resolution below the root, and looking at what stands in a slot. Refuses to follow links.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, StatxAttributes, StatxFlags};
use wfr_model::entry::{Entry, MODE_MASK, Node};
use wfr_model::{Digest, FileTime, TreePath};
use wfr_store::disk;
use wfr_store::sparse::Sparse;

/// The path of raw bytes.
pub(crate) fn os(bytes: &[u8]) -> &Path {
    Path::new(OsStr::from_bytes(bytes))
}

/// Opens a directory below the root for use as the base of `*at` calls.
pub(crate) fn directory(root: impl AsFd, path: &TreePath) -> io::Result<OwnedFd> {
    let path = if path.is_root() { Path::new(".") } else { os(path.as_bytes()) };
    disk::open_beneath(root, path, OFlags::PATH | OFlags::DIRECTORY, Mode::empty())
}

/// Opens the directory that holds a path.
pub(crate) fn parent(root: impl AsFd, path: &TreePath) -> io::Result<OwnedFd> {
    directory(root, &path.parent().unwrap_or_default())
}

/// What stands under a name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Slot {
    pub(crate) dev: u64,
    pub(crate) ino: u64,
    pub(crate) kind: FileType,
    pub(crate) size: u64,
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) links: u32,
    pub(crate) mtime: FileTime,
    pub(crate) mount: u64,
    /// Whether nobody may change it, root included (`chattr +i`).
    pub(crate) immutable: bool,
    /// Whether nobody may do more than add to it (`chattr +a`).
    pub(crate) append_only: bool,
}

impl Slot {
    /// By what a file is known again.
    pub(crate) fn identity(&self) -> (u64, u64) {
        (self.dev, self.ino)
    }
}

fn slot_of(stat: rustix::fs::Statx) -> Slot {
    Slot {
        dev: rustix::fs::makedev(stat.stx_dev_major, stat.stx_dev_minor),
        ino: stat.stx_ino,
        kind: FileType::from_raw_mode(u32::from(stat.stx_mode)),
        size: stat.stx_size,
        mode: u32::from(stat.stx_mode) & MODE_MASK,
        uid: stat.stx_uid,
        links: stat.stx_nlink,
        mtime: FileTime { secs: stat.stx_mtime.tv_sec, nanos: stat.stx_mtime.tv_nsec },
        mount: stat.stx_mnt_id,
        immutable: stat.stx_attributes.contains(StatxAttributes::IMMUTABLE),
        append_only: stat.stx_attributes.contains(StatxAttributes::APPEND),
    }
}

const FIELDS: StatxFlags = StatxFlags::BASIC_STATS.union(StatxFlags::MNT_ID);

/// Looks at a name in a directory; `None` where nothing is.
pub(crate) fn look(dir: impl AsFd, name: &Path) -> io::Result<Option<Slot>> {
    match rustix::fs::statx(dir, name, AtFlags::SYMLINK_NOFOLLOW, FIELDS) {
        Ok(stat) => Ok(Some(slot_of(stat))),
        Err(rustix::io::Errno::NOENT) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Looks at an open file or directory.
pub(crate) fn look_at(fd: impl AsFd) -> io::Result<Slot> {
    Ok(slot_of(rustix::fs::statx(fd, c"", AtFlags::EMPTY_PATH, FIELDS)?))
}

/// Whether what stands under a name is what an entry says, times and owners aside. Files are read and hashed.
pub(crate) fn holds(dir: impl AsFd, name: &Path, entry: &Entry) -> io::Result<bool> {
    let Some(slot) = look(&dir, name)? else { return Ok(false) };
    match &entry.node {
        Node::File(content) => {
            if slot.kind != FileType::RegularFile || slot.size != content.size || slot.mode != entry.meta.mode {
                return Ok(false);
            }
            Ok(hash_file(dir, name)? == content.hash)
        }
        Node::Symlink(target) => {
            if slot.kind != FileType::Symlink {
                return Ok(false);
            }
            Ok(disk::read_link(dir, name)? == *target)
        }
        Node::Dir(_) => Ok(slot.kind == FileType::Directory),
        Node::Fifo => Ok(slot.kind == FileType::Fifo),
        Node::Socket => Ok(slot.kind == FileType::Socket),
    }
}

/// Opens a regular file for reading without following a link and without waiting on a pipe.
pub(crate) fn open_file(dir: impl AsFd, name: &Path) -> io::Result<File> {
    disk::open_at(dir, name, OFlags::RDONLY | OFlags::NONBLOCK, Mode::empty()).map(File::from)
}

/// The SHA-256 of a file.
fn hash_file(dir: impl AsFd, name: &Path) -> io::Result<Digest> {
    wfr_store::object::hash_reader(&mut Sparse::new(open_file(dir, name)?))
}
