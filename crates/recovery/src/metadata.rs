//! Setting mode, owner, times and extended attributes of what was staged or is in place.
//!
//! Owns the order: owner, attributes, mode, times; each may undo the one before otherwise. Refuses to follow links.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Gid, Mode, OFlags, Timespec, Timestamps, UTIME_NOW, UTIME_OMIT, Uid, XattrFlags};
use wfr_model::FileTime;
use wfr_model::entry::{Entry, Node};
use wfr_store::disk;

/// Which modification time something gets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Time {
    /// The present.
    Now,
    /// This one.
    Exact(FileTime),
}

fn timestamps(time: Time) -> Timestamps {
    let omit = Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT };
    let modified = match time {
        Time::Now => Timespec { tv_sec: 0, tv_nsec: UTIME_NOW },
        Time::Exact(time) => Timespec { tv_sec: time.secs, tv_nsec: i64::from(time.nanos) },
    };
    Timestamps { last_access: omit, last_modification: modified }
}

/// Gives a new file or directory, open for writing or reading, its metadata.
pub(crate) fn dress(fd: impl AsFd, entry: &Entry, time: Option<Time>, with_owner: bool) -> io::Result<()> {
    if with_owner {
        let (uid, gid) = owner(entry);
        disk::checked("fchown", || rustix::fs::fchown(&fd, uid, gid))?;
    }
    for (name, value) in &entry.xattrs {
        set_xattr(&fd, name, value)?;
    }
    disk::checked("fchmod", || rustix::fs::fchmod(&fd, Mode::from_raw_mode(entry.meta.mode)))?;
    if let Some(time) = time {
        disk::checked("futimens", || rustix::fs::futimens(&fd, &timestamps(time)))?;
    }
    Ok(())
}

/// Gives a new symbolic link its owner and time.
pub(crate) fn dress_link(dir: impl AsFd, name: &Path, entry: &Entry, time: Time, with_owner: bool) -> io::Result<()> {
    if with_owner {
        let (uid, gid) = owner(entry);
        disk::checked("fchownat", || rustix::fs::chownat(&dir, name, uid, gid, AtFlags::SYMLINK_NOFOLLOW))?;
    }
    set_time(dir, name, time)
}

/// Sets the modification time under a name, of a link itself.
pub(crate) fn set_time(dir: impl AsFd, name: &Path, time: Time) -> io::Result<()> {
    disk::checked("utimensat", || rustix::fs::utimensat(&dir, name, &timestamps(time), AtFlags::SYMLINK_NOFOLLOW))
}

/// Gives a directory in place its metadata, even one that may not be read.
pub(crate) fn dress_directory(
    dir: impl AsFd,
    name: &Path,
    entry: &Entry,
    time: Option<Time>,
    with_owner: bool,
) -> io::Result<()> {
    let flags = OFlags::PATH | OFlags::DIRECTORY;
    let fd = disk::open_at(&dir, name, flags, Mode::empty())?;
    if with_owner {
        let (uid, gid) = owner(entry);
        disk::checked("fchownat", || rustix::fs::chownat(&fd, c"", uid, gid, AtFlags::EMPTY_PATH))?;
    }
    sync_xattrs(&fd, entry)?;
    set_mode(&fd, entry.meta.mode)?;
    match time {
        Some(time) => set_time(dir, name, time),
        None => Ok(()),
    }
}

/// Sets the mode of what an `O_PATH` descriptor names.
pub(crate) fn set_mode(fd: &OwnedFd, mode: u32) -> io::Result<()> {
    // chmod takes no O_PATH descriptor; its entry in /proc leads to the same file and nowhere else.
    disk::checked("chmod", || rustix::fs::chmod(magic(fd), Mode::from_raw_mode(mode)))
}

fn magic(fd: &OwnedFd) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", fd.as_raw_fd()))
}

/// Makes a directory's attributes those of an entry, as far as they are ones that trees record.
fn sync_xattrs(fd: &OwnedFd, entry: &Entry) -> io::Result<()> {
    let path = magic(fd);
    let mut names = vec![0u8; 4_096];
    let length = rustix::fs::listxattr(&path, &mut names).unwrap_or(0);
    let present = names[..length].split(|byte| *byte == 0).filter(|name| is_recorded(name));
    for name in present.filter(|name| !entry.xattrs.iter().any(|(wanted, _)| wanted == name)) {
        disk::checked("removexattr", || rustix::fs::removexattr(&path, name))?;
    }
    for (name, value) in &entry.xattrs {
        disk::checked("setxattr", || rustix::fs::setxattr(&path, name.as_slice(), value, XattrFlags::empty()))?;
    }
    Ok(())
}

/// Attributes that trees record; others belong to the system.
fn is_recorded(name: &[u8]) -> bool {
    name.starts_with(b"user.") || name.starts_with(b"system.posix_acl_") || name == b"security.capability"
}

fn set_xattr(fd: impl AsFd, name: &[u8], value: &[u8]) -> io::Result<()> {
    match disk::checked("fsetxattr", || rustix::fs::fsetxattr(&fd, name, value, XattrFlags::empty())) {
        // A file system without attributes, or an attribute that only root may set: content is worth more.
        Err(error) if matches!(error.raw_os_error(), Some(95 | 1)) => Ok(()),
        other => other,
    }
}

fn owner(entry: &Entry) -> (Option<Uid>, Option<Gid>) {
    (Some(Uid::from_raw(entry.meta.uid)), Some(Gid::from_raw(entry.meta.gid)))
}

/// The time that a file gets in place: its own where times are part of the goal or its content stays, else the
/// present, because build tools would otherwise take stale products for fresh.
pub(crate) fn time_in_place(exact: bool, before: Option<&Entry>, after: &Entry) -> Time {
    if exact {
        return Time::Exact(after.meta.mtime);
    }
    match (before, &after.node) {
        (Some(before), Node::File(content)) => match &before.node {
            Node::File(old) if old.hash == content.hash => Time::Exact(before.meta.mtime),
            _ => Time::Now,
        },
        _ => Time::Now,
    }
}
