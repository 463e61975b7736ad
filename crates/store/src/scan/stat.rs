//! What the kernel says about one file.
//!
//! Owns the `statx` calls of the scan and the fields that it compares. Refuses to follow a symbolic link.

use std::ffi::CStr;
use std::os::fd::AsFd;

use rustix::fs::{AtFlags, FileType, Statx, StatxFlags, statx};
use rustix::io::Errno;
use wfr_model::FileTime;
use wfr_model::entry::{MODE_MASK, Meta};

/// The fields of `statx` that matter to a scan.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Stat {
    pub dev: u64,
    pub ino: u64,
    pub size: u64,
    /// Kind and permission bits.
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    pub nlink: u32,
    pub mtime: FileTime,
    pub ctime: FileTime,
    /// The mount that it stands on; 0 where the kernel does not say (before 5.8).
    pub mount: u64,
}

impl Stat {
    pub(super) fn kind(&self) -> FileType {
        FileType::from_raw_mode(self.mode)
    }

    pub(super) fn meta(&self) -> Meta {
        Meta { mode: self.mode & MODE_MASK, uid: self.uid, gid: self.gid, mtime: self.mtime }
    }

    /// Whether nothing that a write changes has changed between the two.
    pub(super) fn same_content(&self, other: &Self) -> bool {
        self.size == other.size && self.mtime == other.mtime && self.ctime == other.ctime
    }
}

impl From<Statx> for Stat {
    fn from(raw: Statx) -> Self {
        let time = |time: rustix::fs::StatxTimestamp| FileTime { secs: time.tv_sec, nanos: time.tv_nsec };
        let has_mount = raw.stx_mask & StatxFlags::MNT_ID.bits() != 0;
        Self {
            dev: rustix::fs::makedev(raw.stx_dev_major, raw.stx_dev_minor),
            ino: raw.stx_ino,
            size: raw.stx_size,
            mode: u32::from(raw.stx_mode),
            uid: raw.stx_uid,
            gid: raw.stx_gid,
            nlink: raw.stx_nlink,
            mtime: time(raw.stx_mtime),
            ctime: time(raw.stx_ctime),
            mount: if has_mount { raw.stx_mnt_id } else { 0 },
        }
    }
}

/// The entry `name` of a directory, itself where it is a link. `remote`: ask the server, not its cache here.
pub(super) fn at(dir: impl AsFd, name: &CStr, remote: bool) -> Result<Stat, Errno> {
    // A local file system has nothing to ask; the flag saves it a look.
    let sync = if remote { AtFlags::empty() } else { AtFlags::STATX_DONT_SYNC };
    statx(dir, name, AtFlags::SYMLINK_NOFOLLOW | sync, StatxFlags::BASIC_STATS).map(Stat::from)
}

/// An open file.
pub(super) fn of(fd: impl AsFd) -> Result<Stat, Errno> {
    statx(fd, c"", AtFlags::EMPTY_PATH, StatxFlags::BASIC_STATS | StatxFlags::MNT_ID).map(Stat::from)
}
