//! System calls that change or sync files, and those that recoveries look with, in one place, so that tests can fail any one of them.
//!
//! Owns the thin wrappers through which store and recovery touch the disk. Refuses any policy: no retries but
//! for EINTR, no fallbacks. With the feature `faults`, `faults::arm` makes the nth call fail.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{AtFlags, Mode, OFlags, RenameFlags, ResolveFlags};
use rustix::io::Errno;

/// Counts one system call, and fails it if a test asked for that.
#[cfg(not(feature = "faults"))]
#[inline(always)]
fn point(_name: &'static str) -> io::Result<()> {
    Ok(())
}

#[cfg(feature = "faults")]
fn point(name: &'static str) -> io::Result<()> {
    faults::check(name)
}

/// Counting and failing of calls, for tests. The counter is global: such tests run one at a time.
#[cfg(feature = "faults")]
pub mod faults {
    use std::collections::BTreeMap;
    use std::io;
    use std::sync::Mutex;

    struct Armed {
        seen: u64,
        names: BTreeMap<&'static str, u64>,
        fail_at: u64,
        for_good: bool,
        errno: i32,
        only: Option<&'static str>,
        fired: Option<&'static str>,
    }

    impl Armed {
        fn new(fail_at: u64, errno: i32, for_good: bool, only: Option<&'static str>) -> Self {
            Self { seen: 0, names: BTreeMap::new(), fail_at, for_good, errno, only, fired: None }
        }
    }

    static ARMED: Mutex<Option<Armed>> = Mutex::new(None);

    /// From now on call number `fail_at` (from 0) fails with `errno`; with `for_good` all later ones do too.
    pub fn arm(fail_at: u64, errno: i32, for_good: bool) {
        *lock() = Some(Armed::new(fail_at, errno, for_good, None));
    }

    /// From now on call number `fail_at` (from 0) of those with one name fails with `errno`, and all later ones do too.
    pub fn arm_all(name: &'static str, fail_at: u64, errno: i32) {
        *lock() = Some(Armed::new(fail_at, errno, true, Some(name)));
    }

    /// Ends the injection; returns how many calls were seen and the name of the first that failed.
    pub fn disarm() -> (u64, Option<&'static str>) {
        lock().take().map_or((0, None), |armed| (armed.seen, armed.fired))
    }

    /// From now on calls are counted, and none fails.
    pub fn count() {
        *lock() = Some(Armed::new(u64::MAX, 0, false, None));
    }

    /// Ends the counting; returns how often each call was seen, by its name here.
    pub fn counted() -> BTreeMap<&'static str, u64> {
        lock().take().map(|armed| armed.names).unwrap_or_default()
    }

    fn lock() -> std::sync::MutexGuard<'static, Option<Armed>> {
        ARMED.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    pub(super) fn check(name: &'static str) -> io::Result<()> {
        let mut guard = lock();
        let Some(armed) = guard.as_mut() else { return Ok(()) };
        if armed.only.is_some_and(|only| only != name) {
            return Ok(());
        }
        *armed.names.entry(name).or_default() += 1;
        let now = armed.seen;
        armed.seen += 1;
        if now == armed.fail_at || (armed.for_good && now > armed.fail_at) {
            armed.fired.get_or_insert(name);
            return Err(io::Error::from_raw_os_error(armed.errno));
        }
        Ok(())
    }
}

/// Runs one system call of a kind that has no wrapper here; `name` is what a fault is reported under.
pub fn checked(name: &'static str, call: impl Fn() -> rustix::io::Result<()>) -> io::Result<()> {
    point(name)?;
    Ok(call()?)
}

/// Opens a directory for use as the base of `*at` calls.
pub fn open_dir(path: &Path) -> io::Result<OwnedFd> {
    point("open_dir")?;
    Ok(rustix::fs::open(path, OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::RDONLY, Mode::empty())?)
}

/// Opens `path` below `base` without following any symbolic link and without leaving `base`. The path may be longer than
/// the system takes in one call.
pub fn open_beneath(base: impl AsFd, path: &Path, flags: OFlags, mode: Mode) -> io::Result<OwnedFd> {
    point("open_beneath")?;
    let mut way = path.as_os_str().as_bytes();
    let mut reached: Option<OwnedFd> = None;
    while way.len() >= PATH_BYTES {
        let cut = way[..PATH_BYTES].iter().rposition(|byte| *byte == b'/').ok_or(Errno::NAMETOOLONG)?;
        let at = reached.as_ref().map_or(base.as_fd(), OwnedFd::as_fd);
        reached = Some(resolve_beneath(at, &way[..cut], OFlags::PATH | OFlags::DIRECTORY, Mode::empty())?);
        way = &way[cut + 1..];
    }
    let at = reached.as_ref().map_or(base.as_fd(), OwnedFd::as_fd);
    Ok(resolve_beneath(at, way, flags, mode)?)
}

/// What the kernel takes as one path, its end included (Linux `PATH_MAX`).
const PATH_BYTES: usize = 4_096;

fn resolve_beneath(base: BorrowedFd<'_>, way: &[u8], flags: OFlags, mode: Mode) -> Result<OwnedFd, Errno> {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    loop {
        match rustix::fs::openat2(base, way, flags | OFlags::CLOEXEC, mode, resolve) {
            // EAGAIN: a rename raced with the resolution; the kernel asks to try again.
            Err(Errno::AGAIN | Errno::INTR) => {}
            other => return other,
        }
    }
}

/// Opens one name in a directory, not following a symbolic link.
pub fn open_at(dir: impl AsFd, name: &Path, flags: OFlags, mode: Mode) -> io::Result<OwnedFd> {
    point("open_at")?;
    Ok(rustix::fs::openat(dir, name, flags | OFlags::CLOEXEC | OFlags::NOFOLLOW, mode)?)
}

/// Writes all bytes at the file's position.
pub fn write_all(fd: impl AsFd, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        point("write")?;
        match rustix::io::write(&fd, bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => bytes = &bytes[written..],
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Flushes a file's bytes and size to the medium. Never to be called again on the same file after it failed.
pub fn sync_data(fd: impl AsFd) -> io::Result<()> {
    point("fdatasync")?;
    Ok(rustix::fs::fdatasync(fd)?)
}

/// Flushes a file or a directory whole. Never to be called again on the same file after it failed.
pub fn sync_all(fd: impl AsFd) -> io::Result<()> {
    point("fsync")?;
    Ok(rustix::fs::fsync(fd)?)
}

/// Flushes the whole file system that `fd` stands on; errors since `fd` was opened are reported.
pub fn sync_file_system(fd: BorrowedFd<'_>) -> io::Result<()> {
    point("syncfs")?;
    Ok(rustix::fs::syncfs(fd)?)
}

/// Makes a directory.
pub fn make_dir(dir: impl AsFd, name: &Path, mode: Mode) -> io::Result<()> {
    point("mkdir")?;
    Ok(rustix::fs::mkdirat(dir, name, mode)?)
}

/// Removes a file.
pub fn unlink(dir: impl AsFd, name: &Path) -> io::Result<()> {
    point("unlink")?;
    Ok(rustix::fs::unlinkat(dir, name, AtFlags::empty())?)
}

/// Removes an empty directory.
pub fn remove_dir(dir: impl AsFd, name: &Path) -> io::Result<()> {
    point("rmdir")?;
    Ok(rustix::fs::unlinkat(dir, name, AtFlags::REMOVEDIR)?)
}

/// Renames, with the flags of `renameat2`.
pub fn rename(from: impl AsFd, old: &Path, to: impl AsFd, new: &Path, flags: RenameFlags) -> io::Result<()> {
    point("rename")?;
    Ok(rustix::fs::renameat_with(from, old, to, new, flags)?)
}

/// Makes a symbolic link.
pub fn symlink(target: &Path, dir: impl AsFd, name: &Path) -> io::Result<()> {
    point("symlink")?;
    Ok(rustix::fs::symlinkat(target, dir, name)?)
}

/// Where a symbolic link leads.
pub fn read_link(dir: impl AsFd, name: &Path) -> io::Result<Vec<u8>> {
    point("readlink")?;
    Ok(rustix::fs::readlinkat(dir, name, Vec::new())?.into_bytes())
}

/// Makes a hard link.
pub fn link(from: impl AsFd, old: &Path, to: impl AsFd, new: &Path) -> io::Result<()> {
    point("link")?;
    Ok(rustix::fs::linkat(from, old, to, new, AtFlags::empty())?)
}

/// Reserves blocks for a file's first `length` bytes, and makes it as long as that.
pub fn allocate(fd: impl AsFd, length: u64) -> io::Result<()> {
    point("fallocate")?;
    Ok(rustix::fs::fallocate(fd, rustix::fs::FallocateFlags::empty(), 0, length)?)
}

/// Sets a file's length.
pub fn truncate(fd: impl AsFd, length: u64) -> io::Result<()> {
    point("ftruncate")?;
    Ok(rustix::fs::ftruncate(fd, length)?)
}
