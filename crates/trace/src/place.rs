//! Where in the tree a path of a traced thread leads.
//!
//! Owns the way there: through that thread's own root, working directory and descriptors, to the directory that is meant. Refuses
//! to believe text: a directory is what it is by device and inode, seen from the tree's root.

use std::borrow::Cow;
use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, AsRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::fs::{
    AtFlags, Mode, OFlags, ResolveFlags, Statx, StatxFlags, openat, openat2, readlinkat, readlinkat_raw, statx,
};
use rustix::io::Errno;
use wfr_model::TreePath;

/// As many links are followed one after another as by the kernel (`MAXSYMLINKS`).
const LINKS_MAX: usize = 40;

/// A longer target of a link is asked for again.
const LINK_MAX: usize = 512;

/// Longer paths, with what stands before them, are not said in one (`PATH_MAX`).
const NAMED_MAX: usize = 4_000;

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

impl Identity {
    fn of(stat: &Statx) -> Self {
        Self { device: (stat.stx_dev_major, stat.stx_dev_minor), inode: stat.stx_ino, mount: stat.stx_mnt_id }
    }

    /// Whether both are of the same file system at the same place: there the kernel's own name of the one says truly whether it is
    /// below the other, also where something else was mounted over it since.
    fn is_with(self, other: Self) -> bool {
        (self.device, self.mount) == (other.device, other.mount)
    }
}

fn identity(fd: impl AsFd) -> io::Result<Identity> {
    let stat = statx(fd, c"", AtFlags::EMPTY_PATH, StatxFlags::INO | StatxFlags::MNT_ID)?;
    Ok(Identity::of(&stat))
}

/// Where a relative path begins.
#[derive(Debug)]
enum Base<'n> {
    /// At what a name in the thread's directory in `/proc` stands for.
    Named(&'n str),
    /// Here.
    Open(OwnedFd),
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
    /// Our own descriptors in `/proc`.
    fds: OwnedFd,
    /// Threads that were met: to open the directory of one costs as much as the rest of a look.
    met: Mutex<HashMap<u32, Arc<OwnedFd>>>,
    /// The last place in the tree that was found: what has this very name by the kernel is there, too.
    last: Mutex<Option<TreePath>>,
}

/// A traced thread, while it waits.
#[derive(Clone, Debug)]
struct Thread {
    number: u32,
    /// Its directory in `/proc`: of this very one, also when another has its number.
    dir: Arc<OwnedFd>,
}

/// Threads that were met before are remembered up to so many.
const MET_MAX: usize = 64;

impl Tree {
    /// The tree below a directory. Errors: what the system says.
    pub fn open(root: &Path) -> io::Result<Self> {
        let path = std::fs::canonicalize(root)?;
        let fd = rustix::fs::open(&path, DIRECTORY, Mode::empty())?;
        let own = identity(&fd)?;
        let slash = identity(rustix::fs::open("/", DIRECTORY, Mode::empty())?)?;
        let fds = rustix::fs::open("/proc/self/fd", DIRECTORY, Mode::empty())?;
        Ok(Self { fd, path, own, slash, fds, met: Mutex::default(), last: Mutex::default() })
    }

    /// Where a path leads. `dir` is the descriptor at which a relative one begins; `None`: the working directory.
    pub fn place(&self, thread: u32, dir: Option<i32>, path: &[u8], follow: bool) -> Place {
        let base = dir.map_or_else(|| "cwd".to_owned(), |fd| format!("fd/{fd}"));
        self.seen_by(thread, |thread| self.walk(thread, Base::Named(&base), path.into(), follow))
    }

    /// The place of what a descriptor is of.
    pub fn place_of(&self, thread: u32, fd: i32) -> Place {
        self.seen_by(thread, |thread| self.behind(thread, &format!("fd/{fd}")))
    }

    /// What is found by a thread's own directories and descriptors.
    fn seen_by(&self, number: u32, look: impl Fn(&Thread) -> io::Result<Place>) -> Place {
        let met = self.met.lock().unwrap_or_else(PoisonError::into_inner).get(&number).cloned();
        // Who was met may be gone, and another thread have the number.
        let met = met.and_then(|dir| look(&Thread { number, dir }).ok());
        let found = met.map_or_else(|| self.meet(number).and_then(|thread| look(&thread)), Ok);
        match found {
            Ok(place) => place,
            // The call will fail for the same reason, or who asks is gone.
            Err(error) if error.kind() == io::ErrorKind::NotFound || is_no_way(&error) => Place::Outside,
            Err(_) => Place::Unknown,
        }
    }

    /// A place in the tree, as the last one that was found.
    fn found(&self, path: TreePath) -> Place {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(path.clone());
        Place::Inside(path)
    }

    fn meet(&self, number: u32) -> io::Result<Thread> {
        let dir = Arc::new(rustix::fs::open(format!("/proc/{number}"), DIRECTORY, Mode::empty())?);
        let mut met = self.met.lock().unwrap_or_else(PoisonError::into_inner);
        if met.len() >= MET_MAX {
            met.clear();
        }
        met.insert(number, dir.clone());
        Ok(Thread { number, dir })
    }

    /// The place of what a name in a thread's directory stands for.
    fn behind(&self, thread: &Thread, name: &str) -> io::Result<Place> {
        let mut room = [0; LINK_MAX];
        let length = readlinkat_raw(&thread.dir, name, &mut room)?;
        let below = below(&self.path, &room[..length]).filter(|_| length < LINK_MAX);
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(last) = last.filter(|last| below == Some(last.as_bytes())) {
            return Ok(Place::Inside(last));
        }
        let wanted = StatxFlags::TYPE | StatxFlags::NLINK | StatxFlags::INO | StatxFlags::MNT_ID;
        let stat = statx(&thread.dir, name, AtFlags::empty(), wanted)?;
        if length < LINK_MAX && Identity::of(&stat).is_with(self.own) {
            let Some(below) = below.filter(|_| stat.stx_nlink > 0) else { return Ok(Place::Outside) };
            return Ok(TreePath::from_bytes(below).map_or(Place::Unknown, |path| self.found(path)));
        }
        self.itself(&openat(&thread.dir, name, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?)
    }

    fn walk(&self, thread: &Thread, base: Base<'_>, path: Cow<'_, [u8]>, follow: bool) -> io::Result<Place> {
        let (mut base, mut path) = (base, path.into_owned());
        for _ in 0..LINKS_MAX {
            let (parent, name) = split(&path);
            let parent = self.directory(thread, base, &own(thread, parent))?;
            if matches!(name, b"" | b"." | b"..") {
                let itself = openat(&parent, if name.is_empty() { b"." } else { name }, DIRECTORY, Mode::empty())?;
                return self.itself(&itself);
            }
            if follow {
                match readlinkat(&parent, name, Vec::new()) {
                    Ok(target) => {
                        path = target.into_bytes();
                        base = Base::Open(parent);
                        continue;
                    }
                    // It is no link, or not there yet.
                    Err(Errno::INVAL | Errno::NOENT) => {}
                    Err(error) => return Err(error.into()),
                }
            }
            return Ok(match self.directory_place(&parent)? {
                Place::Inside(dir) => self.found(dir.join(name)),
                other => other,
            });
        }
        Err(Errno::LOOP.into())
    }

    /// The directory that a path leads to from another one, as that thread sees it.
    fn directory(&self, thread: &Thread, base: Base<'_>, path: &[u8]) -> io::Result<OwnedFd> {
        if path.first() == Some(&b'/') {
            let stat = statx(&thread.dir, "root", AtFlags::empty(), StatxFlags::INO | StatxFlags::MNT_ID)?;
            if Identity::of(&stat) == self.slash {
                return Ok(rustix::fs::open(path, DIRECTORY, Mode::empty())?);
            }
            let root = openat(&thread.dir, "root", DIRECTORY, Mode::empty())?;
            return Ok(openat2(&root, path, DIRECTORY, Mode::empty(), ResolveFlags::IN_ROOT)?);
        }
        Ok(match base {
            Base::Open(base) if path.is_empty() => base,
            Base::Open(base) => openat(base, path, DIRECTORY, Mode::empty())?,
            Base::Named(base) if path.is_empty() => openat(&thread.dir, base, DIRECTORY, Mode::empty())?,
            Base::Named(base) if base.len() + path.len() < NAMED_MAX => {
                openat(&thread.dir, [base.as_bytes(), b"/", path].concat(), DIRECTORY, Mode::empty())?
            }
            Base::Named(base) => {
                let base = openat(&thread.dir, base, DIRECTORY, Mode::empty())?;
                openat(base, path, DIRECTORY, Mode::empty())?
            }
        })
    }

    /// The kernel's own name of what we have open.
    fn name_of(&self, fd: &OwnedFd) -> io::Result<Vec<u8>> {
        Ok(readlinkat(&self.fds, fd.as_raw_fd().to_string(), Vec::with_capacity(LINK_MAX))?.into_bytes())
    }

    /// The place of a directory.
    fn directory_place(&self, dir: &OwnedFd) -> io::Result<Place> {
        let what = identity(dir)?;
        let text = self.name_of(dir)?;
        let Some(below) = below(&self.path, &text) else {
            // The same file system, mounted at another place, too: what is done there may be done in the tree.
            let is_alias = what.device == self.own.device && what.mount != self.own.mount;
            return Ok(if is_alias { Place::Unknown } else { Place::Outside });
        };
        let Ok(path) = TreePath::from_bytes(below) else { return Ok(Place::Unknown) };
        if what.is_with(self.own) {
            return Ok(Place::Inside(path));
        }
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
        let text = self.name_of(fd)?;
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
fn own<'p>(thread: &Thread, path: &'p [u8]) -> Cow<'p, [u8]> {
    let rest = ["/proc/self/", "/proc/thread-self/"].into_iter().find_map(|own| path.strip_prefix(own.as_bytes()));
    match rest {
        Some(rest) => [format!("/proc/{}/", thread.number).as_bytes(), rest].concat().into(),
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
