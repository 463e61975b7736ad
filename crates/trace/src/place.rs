//! Where in the tree a path of a traced thread leads.
//!
//! Owns the way there: through that thread's own root, working directory and descriptors, to the directory that is meant. Refuses
//! to believe text: a directory is what it is by device and inode, seen from the tree's root.

use std::borrow::Cow;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Mode, OFlags, ResolveFlags, StatxFlags, openat, openat2, readlinkat, statx};
use rustix::io::Errno;
use wfr_model::TreePath;

/// As many links are followed one after another as by the kernel (`MAXSYMLINKS`).
const LINKS_MAX: usize = 40;

const DIRECTORY: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// Where a path leads.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Place {
    /// There in the tree.
    Inside(TreePath),
    /// Somewhere else.
    Outside,
    /// It cannot be told: what is done there may concern the tree.
    Unknown,
}

/// What a directory is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Identity {
    device: (u32, u32),
    inode: u64,
    mount: u64,
}

fn identity(fd: impl AsFd) -> io::Result<Identity> {
    let stat = statx(fd, c"", AtFlags::EMPTY_PATH, StatxFlags::INO | StatxFlags::MNT_ID)?;
    Ok(Identity { device: (stat.stx_dev_major, stat.stx_dev_minor), inode: stat.stx_ino, mount: stat.stx_mnt_id })
}

/// The tree.
#[derive(Debug)]
pub struct Tree {
    fd: OwnedFd,
    /// Its own path, without links.
    path: PathBuf,
    own: Identity,
    /// What `/` is here.
    slash: Identity,
}

/// A traced thread, while it waits.
#[derive(Clone, Copy, Debug)]
pub struct Thread(pub u32);

impl Thread {
    fn of(self, what: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/{what}", self.0))
    }
}

impl Tree {
    /// The tree below a directory. Errors: what the system says.
    pub fn open(root: &Path) -> io::Result<Self> {
        let path = std::fs::canonicalize(root)?;
        let fd = rustix::fs::open(&path, DIRECTORY, Mode::empty())?;
        let own = identity(&fd)?;
        let slash = identity(rustix::fs::open("/", DIRECTORY, Mode::empty())?)?;
        Ok(Self { fd, path, own, slash })
    }

    /// Where a path leads. `dir` is the descriptor at which a relative one begins; `None`: the working directory.
    pub fn place(&self, thread: Thread, dir: Option<i32>, path: &[u8], follow: bool) -> Place {
        let base = match (path.first(), dir) {
            (Some(b'/'), _) => thread.of("root"),
            (_, Some(fd)) => thread.of(&format!("fd/{fd}")),
            (_, None) => thread.of("cwd"),
        };
        let found = rustix::fs::open(&base, OFlags::PATH | OFlags::CLOEXEC, Mode::empty());
        match found.map_err(io::Error::from).and_then(|base| self.walk(thread, base, path.into(), follow)) {
            Ok(place) => place,
            // The call will fail for the same reason, or who asks is gone.
            Err(error) if error.kind() == io::ErrorKind::NotFound || is_no_way(&error) => Place::Outside,
            Err(_) => Place::Unknown,
        }
    }

    /// The place of what a descriptor is of.
    pub fn place_of(&self, thread: Thread, fd: i32) -> Place {
        let open = rustix::fs::open(thread.of(&format!("fd/{fd}")), OFlags::PATH | OFlags::CLOEXEC, Mode::empty());
        match open.map_err(io::Error::from).and_then(|fd| self.itself(&fd)) {
            Ok(place) => place,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Place::Outside,
            Err(_) => Place::Unknown,
        }
    }

    fn walk(&self, thread: Thread, base: OwnedFd, path: Cow<'_, [u8]>, follow: bool) -> io::Result<Place> {
        let (mut base, mut path) = (base, path.into_owned());
        for _ in 0..LINKS_MAX {
            let (parent, name) = split(&path);
            let parent = if parent.is_empty() { base } else { self.directory(thread, &base, &own(thread, parent))? };
            if matches!(name, b"" | b"." | b"..") {
                let itself = openat(&parent, if name.is_empty() { b"." } else { name }, DIRECTORY, Mode::empty())?;
                return self.itself(&itself);
            }
            if follow {
                match readlinkat(&parent, name, Vec::new()) {
                    Ok(target) => {
                        path = target.into_bytes();
                        base = match path.first() {
                            Some(b'/') => rustix::fs::open(thread.of("root"), DIRECTORY, Mode::empty())?,
                            _ => parent,
                        };
                        continue;
                    }
                    // It is no link, or not there yet.
                    Err(Errno::INVAL | Errno::NOENT) => {}
                    Err(error) => return Err(error.into()),
                }
            }
            return Ok(match self.directory_place(&parent)? {
                Place::Inside(dir) => Place::Inside(dir.join(name)),
                other => other,
            });
        }
        Err(Errno::LOOP.into())
    }

    /// The directory that a path leads to from another one, as that thread sees it.
    fn directory(&self, thread: Thread, base: &OwnedFd, path: &[u8]) -> io::Result<OwnedFd> {
        let root = rustix::fs::open(thread.of("root"), DIRECTORY, Mode::empty())?;
        if path.first() == Some(&b'/') && identity(&root)? != self.slash {
            return Ok(openat2(&root, path, DIRECTORY, Mode::empty(), ResolveFlags::IN_ROOT)?);
        }
        Ok(match path.first() {
            Some(b'/') => rustix::fs::open(path, DIRECTORY, Mode::empty())?,
            _ => openat(base, path, DIRECTORY, Mode::empty())?,
        })
    }

    /// The place of a directory.
    fn directory_place(&self, dir: &OwnedFd) -> io::Result<Place> {
        let what = identity(dir)?;
        let text = readlinkat(rustix::fs::CWD, proc_self(dir), Vec::new())?.into_bytes();
        let Some(below) = below(&self.path, &text) else {
            // The same file system, mounted at another place, too: what is done there may be done in the tree.
            let is_alias = what.device == self.own.device && what.mount != self.own.mount;
            return Ok(if is_alias { Place::Unknown } else { Place::Outside });
        };
        let Ok(path) = TreePath::from_bytes(below) else { return Ok(Place::Unknown) };
        let seen = match path.is_root() {
            true => Ok(self.own),
            false => {
                let strictly = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
                let seen = openat2(&self.fd, below, DIRECTORY, Mode::empty(), strictly);
                seen.map_err(io::Error::from).and_then(identity)
            }
        };
        Ok(match seen {
            Ok(seen) if (seen.device, seen.inode) == (what.device, what.inode) => Place::Inside(path),
            _ => Place::Unknown,
        })
    }

    /// The place of anything that is open.
    fn itself(&self, fd: &OwnedFd) -> io::Result<Place> {
        let text = readlinkat(rustix::fs::CWD, proc_self(fd), Vec::new())?.into_bytes();
        if !text.starts_with(b"/") {
            // A pipe, a socket, a file in memory.
            return Ok(Place::Outside);
        }
        let stat = statx(fd, c"", AtFlags::EMPTY_PATH, StatxFlags::TYPE | StatxFlags::NLINK)?;
        if u32::from(stat.stx_mode) & libc::S_IFMT == libc::S_IFDIR {
            return self.directory_place(fd);
        }
        if stat.stx_nlink == 0 {
            return Ok(Place::Outside);
        }
        let (parent, name) = split(&text);
        let parent = rustix::fs::open(parent, DIRECTORY, Mode::empty())?;
        Ok(match self.directory_place(&parent)? {
            Place::Inside(dir) => Place::Inside(dir.join(name)),
            other => other,
        })
    }
}

/// Whether an error says that the way is none.
fn is_no_way(error: &io::Error) -> bool {
    let errno = error.raw_os_error().map(Errno::from_raw_os_error);
    matches!(errno, Some(Errno::NOTDIR | Errno::LOOP | Errno::NAMETOOLONG | Errno::SRCH))
}

fn proc_self(fd: impl AsFd) -> PathBuf {
    use std::os::fd::AsRawFd as _;
    PathBuf::from(format!("/proc/self/fd/{}", fd.as_fd().as_raw_fd()))
}

/// The directory of a path, as it is written, and the name in it, without slashes at the end.
fn split(path: &[u8]) -> (&[u8], &[u8]) {
    let end = path.iter().rposition(|byte| *byte != b'/').map_or(0, |last| last + 1);
    match path[..end].iter().rposition(|byte| *byte == b'/') {
        Some(slash) => (&path[..=slash], &path[slash + 1..end]),
        None if end == 0 && !path.is_empty() => (&path[..1], b""),
        None => (b"", &path[..end]),
    }
}

/// A path in which `/proc/self` means that thread, as it does to it.
fn own(thread: Thread, path: &[u8]) -> Cow<'_, [u8]> {
    let rest = ["/proc/self/", "/proc/thread-self/"].into_iter().find_map(|own| path.strip_prefix(own.as_bytes()));
    match rest {
        Some(rest) => [format!("/proc/{}/", thread.0).as_bytes(), rest].concat().into(),
        None => path.into(),
    }
}

/// What of a path is below another one.
fn below<'t>(root: &Path, text: &'t [u8]) -> Option<&'t [u8]> {
    let root = root.as_os_str().as_bytes();
    let rest = text.strip_prefix(root)?;
    match rest.first() {
        None => Some(b""),
        Some(b'/') => Some(&rest[1..]),
        // The root of all, or another name that begins so.
        Some(_) => (root == b"/").then_some(rest),
    }
}
