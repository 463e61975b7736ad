//! Which mount each path stands on: renames do not cross mounts, so each has its own staging directory.
//!
//! Owns the mounts that one recovery touches and the staging directories at their roots. Refuses to stage anything.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use rustix::fs::{IFlags, Mode, OFlags};
use rustix::io::Errno;
use wfr_model::{RecoveryId, TreePath};
use wfr_store::disk;

use crate::{beneath, permissions, times};

/// The directory at the root of a mount that holds staged and displaced files.
pub(crate) const STAGING: &str = ".wfr-staging";

/// The directory in it for displaced files that are not dropped.
pub(crate) const KEPT: &str = "kept";

/// The directories below a recovery's own: what is to come, what was taken away.
pub(crate) const NEW: &str = "new";
pub(crate) const OLD: &str = "old";

/// Finds the mount of a path.
pub(crate) struct Mounts<'r> {
    root: BorrowedFd<'r>,
    roots: Vec<TreePath>,
    known: HashMap<TreePath, (u64, u16)>,
}

impl<'r> Mounts<'r> {
    pub(crate) fn new(root: BorrowedFd<'r>) -> io::Result<Self> {
        let mount = beneath::look_at(root)?.mount;
        let known = HashMap::from([(TreePath::ROOT, (mount, 0))]);
        Ok(Self { root, roots: vec![TreePath::ROOT], known })
    }

    /// The number of the mount that a directory stands on; one that does not exist yet stands where its parent does.
    pub(crate) fn of(&mut self, dir: &TreePath) -> io::Result<u16> {
        let mut unknown = Vec::new();
        let mut at = dir.clone();
        while !self.known.contains_key(&at) {
            let above = at.parent().unwrap_or_default();
            unknown.push(std::mem::replace(&mut at, above));
        }
        while let Some(path) = unknown.pop() {
            let above = self.known[&path.parent().unwrap_or_default()];
            let found = self.look(&path, above)?;
            self.known.insert(path, found);
        }
        Ok(self.known[dir].1)
    }

    fn look(&mut self, path: &TreePath, above: (u64, u16)) -> io::Result<(u64, u16)> {
        let Ok(dir) = beneath::directory(self.root, path) else { return Ok(above) };
        let mount = beneath::look_at(&dir)?.mount;
        if mount == above.0 {
            return Ok(above);
        }
        self.roots.push(path.clone());
        let number = u16::try_from(self.roots.len() - 1).map_err(|_| io::Error::other("there are too many mounts"))?;
        Ok((mount, number))
    }

    /// The roots of all mounts found, by number.
    pub(crate) fn into_roots(self) -> Vec<TreePath> {
        self.roots
    }
}

/// One mount's staging directory for one recovery, open.
pub(crate) struct Staging {
    /// The mount's root, below the workspace.
    pub(crate) mount: TreePath,
    base: OwnedFd,
    pub(crate) new: OwnedFd,
    pub(crate) old: OwnedFd,
}

impl Staging {
    /// Opens it, and makes what is missing of it.
    pub(crate) fn open(root: BorrowedFd<'_>, mount: &TreePath, id: &RecoveryId) -> io::Result<Self> {
        let base = open_base(root, mount, true)?;
        spread_below(&base);
        let own = ensure_dir(&base, Path::new(id.as_str()))?;
        let (new, old) = (ensure_dir(&own, Path::new(NEW))?, ensure_dir(&own, Path::new(OLD))?);
        Ok(Self { mount: mount.clone(), base, new, old })
    }

    /// Opens it where there is one.
    pub(crate) fn find(root: BorrowedFd<'_>, mount: &TreePath, id: &RecoveryId) -> io::Result<Option<Self>> {
        match beneath::directory(root, &mount.join(STAGING.as_bytes())) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            _ => Self::open(root, mount, id).map(Some),
        }
    }

    /// The mount's root directory's staging base, for renames into `kept`.
    pub(crate) fn kept(&self) -> io::Result<OwnedFd> {
        ensure_dir(&self.base, Path::new(KEPT))
    }

    /// Removes the recovery's own directories where they are empty, and the base where nothing is kept.
    pub(crate) fn close(self, root: BorrowedFd<'_>, id: &RecoveryId) -> io::Result<()> {
        let own = Path::new(id.as_str());
        if let Ok(dir) = disk::open_at(&self.base, own, OFlags::DIRECTORY, Mode::empty()) {
            let _ = disk::remove_dir(&dir, Path::new(NEW));
            let _ = disk::remove_dir(&dir, Path::new(OLD));
            let _ = disk::remove_dir(&self.base, own);
        }
        let _ = disk::remove_dir(&self.base, Path::new(KEPT));
        remove_if_unused(&self.base, &beneath::directory(root, &self.mount)?)
    }
}

/// Removes a mount's staging base where nothing is in it but what hides it from git.
pub(crate) fn remove_if_unused(base: &OwnedFd, parent: &OwnedFd) -> io::Result<()> {
    let is_others = |name: &[u8]| !matches!(name, b"." | b".." | b".gitignore");
    let mut entries = rustix::fs::Dir::read_from(base)?.filter_map(Result::ok);
    if !entries.any(|entry| is_others(entry.file_name().to_bytes())) {
        let _ = disk::unlink(base, Path::new(".gitignore"));
        let remove = || disk::remove_dir(parent, Path::new(STAGING));
        let _ = times::keeping(parent, || permissions::lifting(parent, remove));
    }
    Ok(())
}

/// The staging base of a mount, hidden from git. With `lifts` also where the mount's own directory must be made writable for that.
pub(crate) fn open_base(root: BorrowedFd<'_>, mount: &TreePath, lifts: bool) -> io::Result<OwnedFd> {
    let parent = beneath::directory(root, mount)?;
    // A process that dies before it has changed anything leaves no other time behind, either.
    let make = || ensure_dir(&parent, Path::new(STAGING));
    let made = times::keeping(&parent, || if lifts { permissions::lifting(&parent, make) } else { make() });
    let base = made.map_err(|error| match Errno::from_io_error(&error) {
        Some(Errno::NOTDIR | Errno::LOOP) => {
            let message = format!("`{STAGING}` is no directory: it stands where files are staged, so rename it");
            io::Error::new(error.kind(), message)
        }
        _ => error,
    })?;
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL;
    match disk::open_at(&base, Path::new(".gitignore"), flags, Mode::from_raw_mode(0o600)) {
        Ok(file) => disk::write_all(File::from(file), b"*\n")?,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(error),
    }
    Ok(base)
}

/// Asks the file system to place each directory below this one apart from the others (the flag `T` of `chattr(1)`; ext4 heeds
/// it). There it finds room for new files at once: beside those that were deleted in the last minutes, such as the files that
/// the recovery before displaced, ext4 searches past all of them for each new one (six times slower for 1,000 files). Where
/// a file system knows no such flag, nothing is lost.
fn spread_below(base: &OwnedFd) {
    if let Ok(flags) = rustix::fs::ioctl_getflags(base) {
        let _ = rustix::fs::ioctl_setflags(base, flags | IFlags::TOPDIR);
    }
}

/// Makes a directory where it is missing and opens it; never through a link.
fn ensure_dir(parent: &OwnedFd, name: &Path) -> io::Result<OwnedFd> {
    match disk::make_dir(parent, name, Mode::from_raw_mode(0o700)) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(error),
    }
    disk::open_at(parent, name, OFlags::DIRECTORY | OFlags::RDONLY, Mode::empty())
}

/// The root, and every mount point below it that the kernel lists (`proc_pid_mountinfo(5)`: the fifth field, with
/// spaces, tabs, line feeds and backslashes as octal escapes).
pub(crate) fn below(root: &Path) -> Vec<TreePath> {
    let listed = std::fs::read("/proc/self/mountinfo").unwrap_or_default();
    let points = listed.split(|byte| *byte == b'\n').filter_map(|line| line.split(|byte| *byte == b' ').nth(4));
    let below = points.filter_map(|point| {
        let point = PathBuf::from(OsString::from_vec(unescape_octal(point)));
        let inside = point.strip_prefix(root).ok()?.as_os_str().as_bytes().to_vec();
        TreePath::from_bytes(&inside).ok().filter(|path| !path.is_root())
    });
    let mut found: Vec<TreePath> = below.collect();
    found.push(TreePath::ROOT);
    found.sort();
    found.dedup();
    found
}

fn unescape_octal(bytes: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((first, after)) = rest.split_first() {
        let digits = after.get(..3).and_then(|digits| std::str::from_utf8(digits).ok());
        match digits.and_then(|digits| u8::from_str_radix(digits, 8).ok()).filter(|_| *first == b'\\') {
            Some(byte) => {
                plain.push(byte);
                rest = &after[3..];
            }
            None => {
                plain.push(*first);
                rest = after;
            }
        }
    }
    plain
}
