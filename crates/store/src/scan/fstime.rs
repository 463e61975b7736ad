//! When a time stamp can be trusted.
//!
//! Owns the clock of file systems, their granularity, and which of them keep time stamps of directories. Refuses
//! to look at the files of the workspace.
//!
//! A file that changes twice within one tick of the file system's clock has the same time stamps after both
//! changes. So what was read counts as known only if its stamps were older than that clock by more than a tick when
//! the scan began: any later change then gets another stamp.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::fs::{AtFlags, Mode, OFlags};
use wfr_model::FileTime;

use super::stat::{self, Stat};

/// The tick of file systems that store nanoseconds: the kernel's own, 10 ms where it is longest.
const FINE: Duration = Duration::from_millis(10);

/// Where the granularity is not known: FAT's, the coarsest in use.
const COARSE: Duration = Duration::from_secs(2);

/// Where another machine gives the stamps by a clock that could not be probed.
const REMOTE: Duration = Duration::from_secs(60);

/// A writer that has a file mapped leaves no stamp until its pages are flushed, which takes half a minute.
const RECENT: Duration = Duration::from_secs(60);

/// File systems whose directories are known to get a new time stamp whenever their names change, by `statfs` magic:
/// ext2 to 4, XFS, Btrfs, tmpfs, F2FS, ZFS, bcachefs, overlayfs, ramfs.
const LOCAL: [u64; 9] =
    [0xef53, 0x5846_5342, 0x9123_683e, 0x0102_1994, 0xf2f5_2010, 0x2fc1_2fc1, 0xca45_1a4e, 0x794c_7630, 0x8584_58f6];

/// What one reading of the clocks gave.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    /// The probed device, its time and its granularity.
    probed: Option<(u64, FileTime, Duration)>,
    /// This machine's time.
    local: FileTime,
}

/// One mount, and which stamps on it can be trusted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Mount {
    pub dev: u64,
    pub id: u64,
    /// Whether it may change without this kernel's knowledge: directories are always listed.
    pub is_remote: bool,
    /// Stamps before this are safe.
    safe_before: FileTime,
    /// Files with stamps from this on may have a writer that leaves none.
    recent_from: FileTime,
}

impl Clock {
    /// Reads the clocks; a probe that fails is no error but leaves the granularity unknown.
    pub(super) fn read(probe_dir: Option<BorrowedFd<'_>>) -> Self {
        let probed = probe_dir.and_then(probe).map(|stat| {
            // A stamp without nanoseconds comes from a coarse clock, or once in a billion from a fine one.
            let is_fine = stat.mtime.nanos != 0 && stat.ctime.nanos != 0;
            (stat.dev, stat.mtime.min(stat.ctime), if is_fine { FINE } else { COARSE })
        });
        let now = rustix::time::clock_gettime(rustix::time::ClockId::RealtimeCoarse);
        Self { probed, local: FileTime { secs: now.tv_sec, nanos: now.tv_nsec as u32 } }
    }

    /// A clock that shows a given time, on every device, in fine steps.
    #[cfg(test)]
    pub(super) fn at(now: FileTime, dev: u64) -> Self {
        Self { probed: Some((dev, now, FINE)), local: now }
    }

    /// The mount that a directory stands on.
    pub(super) fn mount(&self, dir: impl AsFd, stat: &Stat) -> Mount {
        let is_remote = !is_local(dir);
        let (now, margin) = match self.probed {
            Some((dev, now, granularity)) if dev == stat.dev => (now, granularity),
            _ if is_remote => (self.local, REMOTE),
            _ => (self.local, COARSE),
        };
        Mount {
            dev: stat.dev,
            id: stat.mount,
            is_remote,
            safe_before: before(now, margin),
            recent_from: before(now, RECENT),
        }
    }
}

/// Whether a directory stands on a file system that nothing but this kernel changes.
pub(super) fn is_local(dir: impl AsFd) -> bool {
    // A magic number that cannot be had is one that is not known.
    LOCAL.contains(&rustix::fs::fstatfs(dir).map_or(0, |fs| fs.f_type as u64 & 0xffff_ffff))
}

impl Mount {
    /// Before this, stamps tell any later change.
    pub(super) fn safe_before(&self) -> FileTime {
        self.safe_before
    }

    /// Whether something stands on this mount.
    pub(super) fn holds(&self, stat: &Stat) -> bool {
        self.dev == stat.dev && self.id == stat.mount
    }

    /// Whether a change after the scan's beginning might leave these stamps as they are.
    pub(super) fn is_racy(&self, stat: &Stat) -> bool {
        stat.mtime.max(stat.ctime) >= self.safe_before
    }

    /// Whether it changed so lately that a writer may still have it mapped.
    pub(super) fn is_recent(&self, stat: &Stat) -> bool {
        stat.mtime.max(stat.ctime) >= self.recent_from
    }
}

/// A new nameless file's stamps; a named one where the file system has no nameless files.
fn probe(dir: BorrowedFd<'_>) -> Option<Stat> {
    let flags = OFlags::RDWR | OFlags::CLOEXEC;
    let mode = Mode::RUSR | Mode::WUSR;
    if let Ok(file) = rustix::fs::openat(dir, c".", flags | OFlags::TMPFILE, mode) {
        return stat::of(&file).ok();
    }
    let name = format!(".clock.{}.{:?}.tmp", std::process::id(), std::thread::current().id());
    let flags = flags | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW;
    let file: OwnedFd = rustix::fs::openat(dir, name.as_str(), flags, mode).ok()?;
    let stat = stat::of(&file);
    let _ = rustix::fs::unlinkat(dir, name.as_str(), AtFlags::empty());
    stat.ok()
}

fn before(time: FileTime, length: Duration) -> FileTime {
    let secs = time.secs.saturating_sub(length.as_secs() as i64);
    match time.nanos.checked_sub(length.subsec_nanos()) {
        Some(nanos) => FileTime { secs, nanos },
        None => FileTime { secs: secs.saturating_sub(1), nanos: time.nanos + 1_000_000_000 - length.subsec_nanos() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_is_safe_once_it_is_a_tick_old() {
        let dir = tempfile::tempdir().unwrap();
        let fd = crate::disk::open_dir(dir.path()).unwrap();
        let mut stat = stat::of(&fd).unwrap();
        let now = FileTime { secs: 1_000, nanos: 5_000_000 };
        let mount = Clock::at(now, stat.dev).mount(&fd, &stat);
        for (secs, nanos, racy) in
            [(999, 994_999_999, false), (999, 995_000_000, true), (1_000, 5_000_000, true), (9_999, 0, true)]
        {
            stat.mtime = FileTime { secs, nanos };
            stat.ctime = FileTime { secs: 1, nanos: 0 };
            assert_eq!(mount.is_racy(&stat), racy, "{secs}.{nanos}");
            std::mem::swap(&mut stat.mtime, &mut stat.ctime);
            assert_eq!(mount.is_racy(&stat), racy, "{secs}.{nanos}");
        }
        let elsewhere = Clock::at(now, stat.dev + 1).mount(&fd, &stat);
        assert_eq!(elsewhere.safe_before, FileTime { secs: 998, nanos: 5_000_000 });
    }

    #[test]
    fn the_probe_leaves_nothing_behind() {
        let dir = tempfile::tempdir().unwrap();
        let fd = crate::disk::open_dir(dir.path()).unwrap();
        let clock = Clock::read(Some(fd.as_fd()));
        assert!(clock.probed.is_some());
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
