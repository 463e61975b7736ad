//! Watching a tree: which paths were touched since some moment.
//!
//! Owns the kernel's events (inotify) and what they say of paths. Refuses to look at files: that is the scan's part, and to
//! vouch for anything where events may have been lost: then everything counts as touched.
//!
//! An event is queued before the call that caused it returns. So all that was done before [`Watch::drain`] is known after
//! it; a file made and found again in the queue proves that events arrive (a cookie).

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ffi::CStr;
use std::fs::OpenOptions;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use wfr_model::TreePath;
use wfr_model::path::check_component;
use wfr_store::scan::{Directory, Mark, Rules, TAG_NAME, Touched, directories};

/// With more paths than this the watch counts anew, so that it does not grow without end.
const PATHS_MAX: usize = 200_000;

/// With more directories than this that cannot be watched, nothing is vouched for.
const BLIND_MAX: usize = 1_000;

/// How long a cookie may take to come back.
const COOKIE_WAIT: Timespec = Timespec { tv_sec: 2, tv_nsec: 0 };

/// Bytes of events that are read at a time.
const BUFFER: usize = 64 << 10;

/// What may be the matter with a path, from little to much.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum How {
    /// The entry's content or properties.
    Entry,
    /// The names in the directory.
    Names,
    /// All of it.
    Subtree,
}

/// A watch of one tree.
#[derive(Debug)]
pub struct Watch {
    root: OwnedFd,
    rules: Rules,
    /// Where cookies are made; it is watched, too.
    cookies: PathBuf,
    events: Events,
    mark: Mark,
    touched: BTreeMap<TreePath, (u64, How)>,
    /// Watched directories that moved away and have not come back yet, by the event's cookie.
    moved: HashMap<u32, TreePath>,
    limited: bool,
    /// Whether the root is another directory's now.
    is_moved: bool,
}

/// The kernel's side of a watch.
#[derive(Debug)]
struct Events {
    fd: OwnedFd,
    /// The directory in which cookies are made.
    cookies: Option<i32>,
    by_number: HashMap<i32, TreePath>,
    watched: HashMap<TreePath, i32>,
    /// Directories of which no events come.
    blind: BTreeSet<TreePath>,
    is_blind: bool,
}

/// What a watch says.
#[derive(Clone, Debug)]
pub struct Answer {
    /// How far it has come.
    pub mark: Mark,
    /// What was touched; `None`: anything may have been.
    pub seen: Option<Vec<Seen>>,
}

/// A path that was touched.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Seen {
    /// The path.
    pub path: TreePath,
    /// How.
    pub how: How,
}

/// What was touched, as a scan takes it.
pub fn touched(seen: &[Seen]) -> Touched {
    let mut touched = Touched::default();
    for Seen { path, how } in seen {
        match how {
            How::Entry => touched.entry(path),
            How::Names => touched.names(path),
            How::Subtree => touched.subtree(path),
        }
    }
    touched
}

impl Watch {
    /// Begins to watch the directory `root` by the rules of its scans. `cookies` is a directory on its file system that
    /// scans leave out. `id` is a number that no other watch has.
    pub fn begin(root: BorrowedFd<'_>, rules: Rules, cookies: &Path, id: [u8; 16]) -> io::Result<Self> {
        let root = root.try_clone_to_owned()?;
        let mut watch = Self {
            events: Events::new(cookies)?,
            root,
            rules,
            cookies: cookies.to_owned(),
            mark: Mark { watch: id, seq: 0 },
            touched: BTreeMap::new(),
            moved: HashMap::new(),
            limited: false,
            is_moved: false,
        };
        watch.cover(&TreePath::ROOT)?;
        Ok(watch)
    }

    /// Begins anew: what is asked for from before counts as everything. For when events were lost, when the rules or the
    /// mounts are other ones.
    pub fn begin_anew(&mut self, rules: Option<Rules>, id: [u8; 16]) -> io::Result<()> {
        let rules = rules.unwrap_or_else(|| self.rules.clone());
        *self = Self::begin(self.root.as_fd(), rules, &self.cookies, id)?;
        Ok(())
    }

    /// The rules by which it watches.
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// How many directories are watched.
    pub fn directories(&self) -> usize {
        self.events.watched.len()
    }

    /// Directories that cannot be watched; all in them counts as touched, always. The root: nothing is vouched for.
    pub fn blind(&self) -> &BTreeSet<TreePath> {
        &self.events.blind
    }

    /// Whether it is for a limit of the system that directories cannot be watched.
    pub fn is_limited(&self) -> bool {
        self.limited
    }

    /// Whether the root still stands; where it was moved or removed, watching has come to its end.
    pub fn is_there(&self) -> bool {
        // It is held open, so no event tells its end: its links do.
        !self.is_moved && rustix::fs::fstat(&self.root).is_ok_and(|stat| stat.st_nlink > 0)
    }

    /// What becomes readable when events are there.
    pub fn wakes(&self) -> BorrowedFd<'_> {
        self.events.fd.as_fd()
    }

    /// Reads the events that are there. `false`: some were lost, and the watch must begin anew.
    pub fn read(&mut self) -> io::Result<bool> {
        self.take_in(None)
    }

    /// Reads all events of what was done before this call. `false`: some were lost or none arrive, and the watch must
    /// begin anew.
    pub fn drain(&mut self) -> io::Result<bool> {
        let name = format!(".cookie.{}.{}", std::process::id(), self.mark.seq);
        let place = self.cookies.join(&name);
        let made = OpenOptions::new().write(true).create_new(true).open(&place).map(drop);
        let removed = std::fs::remove_file(&place);
        if made.and(removed).is_err() {
            // Nowhere to make one: what is there is read, and nothing is vouched for.
            return self.take_in(None).map(|_| false);
        }
        self.take_in(Some(&name))
    }

    fn take_in(&mut self, cookie: Option<&str>) -> io::Result<bool> {
        let mut buffer = [MaybeUninit::uninit(); BUFFER];
        let fd = self.events.fd.try_clone()?;
        let mut reader = Reader::new(fd.as_fd(), &mut buffer);
        let mut is_proved = cookie.is_none();
        loop {
            match reader.next() {
                Ok(event) if event.events().intersects(ReadFlags::QUEUE_OVERFLOW | ReadFlags::UNMOUNT) => {
                    return Ok(false);
                }
                Ok(event) if Some(event.wd()) == self.events.cookies => {
                    if event.events().contains(ReadFlags::IGNORED) {
                        return Ok(false);
                    }
                    is_proved |=
                        event.file_name().is_some_and(|name| Some(name.to_bytes()) == cookie.map(str::as_bytes));
                }
                Ok(event) => {
                    let (wd, flags, cookie) = (event.wd(), event.events(), event.cookie());
                    let name = event.file_name().map(CStr::to_owned);
                    self.event(wd, flags, cookie, name.as_deref())?;
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) if is_proved => break,
                Err(Errno::AGAIN) => {
                    let mut wait = [PollFd::new(&fd, PollFlags::IN)];
                    if poll(&mut wait, Some(&COOKIE_WAIT)) == Ok(0) {
                        return Ok(false);
                    }
                }
                Err(error) => return Err(error.into()),
            }
        }
        // What moved away and did not come back is no part of the tree any more.
        for (_, path) in std::mem::take(&mut self.moved) {
            self.events.forget_below(&path);
        }
        Ok(true)
    }

    fn event(&mut self, wd: i32, flags: ReadFlags, cookie: u32, name: Option<&CStr>) -> io::Result<()> {
        let Some(dir) = self.events.by_number.get(&wd).cloned() else { return Ok(()) };
        if flags.contains(ReadFlags::IGNORED) {
            self.events.forget(wd);
            return Ok(());
        }
        let Some(name) = name.map(CStr::to_bytes) else {
            // Of the directory itself: the one above says it, too, but for the root.
            self.is_moved |= dir.is_root() && flags.contains(ReadFlags::MOVE_SELF);
            self.note(dir, How::Entry);
            return Ok(());
        };
        if check_component(name).is_err() {
            self.note(dir, How::Names);
            return Ok(());
        }
        let path = dir.join(name);
        let came = flags.intersects(ReadFlags::CREATE | ReadFlags::MOVED_TO);
        let left = flags.intersects(ReadFlags::DELETE | ReadFlags::MOVED_FROM);
        let is_dir = flags.contains(ReadFlags::ISDIR);
        if came || left {
            self.note(dir.clone(), How::Names);
        }
        if name == TAG_NAME {
            // Whether the directory is captured may depend on it.
            self.note(dir.clone(), How::Subtree);
            self.cover(&dir)?;
        }
        if self.rules.leaves_out(&dir, name) {
            return Ok(());
        }
        if flags.contains(ReadFlags::MOVED_FROM) && is_dir {
            self.moved.insert(cookie, path);
        } else if came && is_dir {
            self.moved.remove(&cookie);
            self.cover(&path)?;
            self.note(path, How::Subtree);
        } else if !left {
            if is_dir && !self.events.watched.contains_key(&path) {
                // It could not be opened before, perhaps.
                self.cover(&path)?;
            }
            self.note(path, How::Entry);
        }
        Ok(())
    }

    fn note(&mut self, path: TreePath, how: How) {
        self.mark.seq += 1;
        let seen = self.touched.entry(path).or_insert((0, how));
        *seen = (self.mark.seq, seen.1.max(how));
    }

    /// Watches a directory and those below it.
    fn cover(&mut self, from: &TreePath) -> io::Result<()> {
        let events = &mut self.events;
        let mut limited = false;
        events.blind.retain(|blind| !blind.is_within(from));
        directories(self.root.as_fd(), from, &self.rules, &mut |dir, how| {
            let watched = match how {
                Directory::Opaque => false,
                Directory::Open(fd) => match events.add(dir, fd) {
                    Ok(()) => true,
                    Err(Errno::NOSPC | Errno::NOMEM) => {
                        limited = true;
                        false
                    }
                    Err(Errno::NOENT | Errno::NOTDIR) => return Ok(false),
                    Err(_) => false,
                },
            };
            if !watched {
                events.blind.insert(dir.clone());
            }
            Ok(watched)
        })?;
        events.is_blind |= events.blind.len() > BLIND_MAX || events.blind.contains(&TreePath::ROOT);
        self.limited |= limited;
        Ok(())
    }

    /// What was touched since a moment; everything where that is another watch's. To be asked after [`Self::drain`].
    pub fn since(&mut self, mark: Option<Mark>, id: [u8; 16]) -> Answer {
        if self.touched.len() > PATHS_MAX {
            self.touched.clear();
            self.mark = Mark { watch: id, seq: 0 };
        }
        let since = mark.filter(|mark| mark.watch == self.mark.watch && mark.seq <= self.mark.seq);
        let Some(since) = since.filter(|_| !self.events.is_blind) else {
            return Answer { mark: self.mark, seen: None };
        };
        let later = self.touched.iter().filter(|(_, (seq, _))| *seq > since.seq);
        let later = later.map(|(path, (_, how))| Seen { path: path.clone(), how: *how });
        let blind = self.events.blind.iter().map(|path| Seen { path: path.clone(), how: How::Subtree });
        Answer { mark: self.mark, seen: Some(later.chain(blind).collect()) }
    }
}

impl Events {
    const ALL: WatchFlags = WatchFlags::MODIFY
        .union(WatchFlags::CLOSE_WRITE)
        .union(WatchFlags::ATTRIB)
        .union(WatchFlags::CREATE)
        .union(WatchFlags::DELETE)
        .union(WatchFlags::MOVED_FROM)
        .union(WatchFlags::MOVED_TO)
        .union(WatchFlags::MOVE_SELF)
        .union(WatchFlags::ONLYDIR);

    fn new(cookies: &Path) -> io::Result<Self> {
        let fd = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
        let cookies = inotify::add_watch(&fd, cookies, WatchFlags::CREATE | WatchFlags::ONLYDIR).ok();
        Ok(Self {
            fd,
            cookies,
            by_number: HashMap::new(),
            watched: HashMap::new(),
            blind: BTreeSet::new(),
            is_blind: false,
        })
    }

    fn add(&mut self, dir: &TreePath, fd: BorrowedFd<'_>) -> Result<(), Errno> {
        // The open directory itself, wherever its name leads by now.
        let place = format!("/proc/self/fd/{}", fd.as_raw_fd());
        let wd = inotify::add_watch(&self.fd, place, Self::ALL)?;
        // One that is watched already has moved.
        if let Entry::Occupied(known) = self.by_number.entry(wd)
            && known.get() != dir
        {
            let old = known.remove();
            if self.watched.get(&old) == Some(&wd) {
                self.watched.remove(&old);
            }
        }
        self.by_number.insert(wd, dir.clone());
        self.watched.insert(dir.clone(), wd);
        Ok(())
    }

    fn forget(&mut self, wd: i32) {
        if let Some(path) = self.by_number.remove(&wd)
            && self.watched.get(&path) == Some(&wd)
        {
            self.watched.remove(&path);
        }
    }

    /// Ends the watches of a directory that is gone, and of those in it.
    fn forget_below(&mut self, path: &TreePath) {
        let gone: Vec<i32> = self.by_number.iter().filter(|(_, at)| at.is_within(path)).map(|(wd, _)| *wd).collect();
        for wd in gone {
            // Its inode may be gone already.
            let _ = inotify::remove_watch(&self.fd, wd);
            self.forget(wd);
        }
    }
}

#[cfg(test)]
mod tests;
