//! Visiting directories, several at a time, in step with the stat cache.
//!
//! Owns the order of the calls: a directory's stamps, then its names, then each entry. Refuses to look at entries
//! closely, which is `entry`'s part, and to put results together, which is `assemble`'s.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::Ordering::Relaxed;

use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;
use wfr_model::coverage::SkipReason;
use wfr_model::entry::Meta;

use super::found::{Found, Node, Skipped, State, Visited};
use super::fstime::Mount;
use super::listing::{self, Cached, HAS_TAG, Head, Kind, Listing, MOUNT, RACY, relative_dev};
use super::names::Names;
use super::queue::{CloseAtEnd, Queue};
use super::rules::{OTHER_VIEW_NAMES, Place, TAG_NAME, TAG_SIGNATURE, VAULT_NAMES};
use super::shared::Shared;
use super::stat::{self, Stat};
use super::task::{Subdir, Task, reopen};
use super::touched::Touch;
use super::{ScanError, read, xattr};
use crate::vault;

/// A vault's format file is shorter, in bytes.
const FORMAT_BYTES_MAX: usize = 4_096;

/// How often, in entries, the clock is looked at.
const CLOCK_EVERY: usize = 256;

/// Works on the queue until all is done; returns what this worker found.
pub(super) fn work<'s>(shared: &'s Shared<'s>, queue: &Queue<Task<'s>>) -> Found {
    let _close = CloseAtEnd(queue);
    let mut worker = Worker::new(shared);
    let mut listing = Vec::new();
    let mut names = Names::default();
    while let Some(task) = queue.next(&mut worker.tasks) {
        if shared.is_aborted() {
            shared.fail(ScanError::Aborted);
            break;
        }
        if let Err(error) = worker.visit(task, &mut listing, &mut names) {
            shared.fail(error);
            break;
        }
    }
    worker.found
}

/// One thread's part of a scan.
pub(super) struct Worker<'s> {
    pub shared: &'s Shared<'s>,
    pub found: Found,
    /// Its own tasks, the next one last.
    tasks: Vec<Task<'s>>,
    /// The directories found in the one that is being visited.
    pub subdirs: Vec<Subdir<'s>>,
    /// Bytes of the entry that is being made.
    pub entry: Vec<u8>,
    pub buffers: read::Buffers,
}

/// The directory that is being visited.
pub(super) struct Folder<'t> {
    pub number: usize,
    pub fd: BorrowedFd<'t>,
    pub mount: Mount,
    /// Whether the store holds the content of all entries that the cache has in the tree.
    pub is_held: bool,
    /// What the cache knows of its entries.
    old: Option<&'t Listing<'t>>,
    /// All entries for the cache; `None` while none differs from the cached ones.
    new: Option<Vec<u8>>,
    /// Bytes of cached entries that were taken over while none differed.
    taken: usize,
}

impl Folder<'_> {
    /// Takes over the next cached entry.
    pub(super) fn keep(&mut self, cached: &Cached<'_>) {
        match &mut self.new {
            Some(new) => new.extend_from_slice(cached.raw),
            None => self.taken += cached.raw.len(),
        }
    }

    /// Puts other bytes in the place of the next cached entry, or in no one's; no bytes: it is gone.
    pub(super) fn replace(&mut self, cached: Option<&Cached<'_>>, bytes: &[u8]) {
        match cached {
            Some(cached) if cached.raw == bytes => self.keep(cached),
            _ => {
                let (old, taken) = (self.old, self.taken);
                let taken_over = || old.map_or_else(Vec::new, |old| old.entries[..taken].to_vec());
                self.new.get_or_insert_with(taken_over).extend_from_slice(bytes);
            }
        }
    }
}

/// Why a visit ended early.
enum Stop {
    /// The directory refused.
    Refused(Errno),
    Skipped(SkipReason),
    Scan(ScanError),
}

impl From<ScanError> for Stop {
    fn from(error: ScanError) -> Self {
        Self::Scan(error)
    }
}

impl From<Errno> for Stop {
    fn from(error: Errno) -> Self {
        Self::Refused(error)
    }
}

impl<'s> Worker<'s> {
    fn new(shared: &'s Shared<'s>) -> Self {
        let (found, buffers) = (Found::default(), read::Buffers::default());
        Self { shared, found, tasks: Vec::new(), subdirs: Vec::new(), entry: Vec::new(), buffers }
    }

    /// Visits a directory. Errors are the scan's; a directory that refuses is only skipped.
    fn visit(&mut self, mut task: Task<'s>, buffer: &mut Vec<u8>, names: &mut Names) -> Result<(), ScanError> {
        let state = match self.enter(&mut task, buffer, names) {
            Ok(visited) => State::Visited(visited),
            Err(Stop::Scan(error)) => return Err(error),
            Err(Stop::Skipped(reason)) => self.omit(&task, reason, None),
            Err(Stop::Refused(Errno::NOENT)) if task.number != 0 => State::Gone,
            // Something else stands where a directory stood.
            Err(Stop::Refused(error @ (Errno::NOTDIR | Errno::LOOP))) => {
                self.omit(&task, SkipReason::ChangedWhileRead, Some(error))
            }
            Err(Stop::Refused(error)) if task.number == 0 => return Err(ScanError::Root(error.into())),
            Err(Stop::Refused(error)) => match ScanError::of_process(error) {
                Some(error) => return Err(error),
                None => self.omit(&task, SkipReason::Unreadable, Some(error)),
            },
        };
        let (known, name) = (task.known.take(), task.name().into());
        self.found.nodes.push(Node { number: task.number, parent: task.parent, name, known, state });
        Ok(())
    }

    /// Leaves a directory out.
    fn omit(&mut self, task: &Task<'s>, reason: SkipReason, error: Option<Errno>) -> State {
        self.subdirs.clear();
        let detail = error.map(|error| error.to_string());
        self.found.skips.push(Skipped { dir: task.number, name: None, reason, bytes: None, detail });
        State::Omitted { keep: reason.is_gap() }
    }

    fn enter(&mut self, task: &mut Task<'s>, buffer: &mut Vec<u8>, names: &mut Names) -> Result<Visited, Stop> {
        let shared = self.shared;
        if shared.check_late() {
            return Err(Stop::Skipped(SkipReason::Deadline));
        }
        let pos = task.known.as_ref().map(|known| known.pos);
        let bytes = shared.cache.zip(pos).and_then(|(cache, pos)| cache.read(pos, buffer));
        let old = bytes.and_then(Listing::parse);
        // A directory whose names are known need not be opened for listing, which costs more.
        let fd = task.open(old.is_some())?;
        if let Some(served) = old.as_ref().filter(|old| task.touch.is_served_by(old) && shared.sink.has(&old.head.tree))
        {
            let visited = self.pass(task, fd.as_fd(), served)?;
            return Ok(self.descend(task, fd, task.mount, visited));
        }
        if let Touch::Nothing | Touch::Below(_) = task.touch {
            task.touch = task.touch.with_all_entries();
        }
        let stat = stat::of(&fd)?;
        if task.number != 0 && shared.options.rules.is_own(stat.dev, stat.ino) {
            return Err(Stop::Skipped(SkipReason::OwnFiles));
        }
        let mut mount = task.mount;
        let is_mount = !mount.holds(&stat);
        if is_mount {
            mount = shared.clock.mount(&fd, &stat);
            self.found.mounts.push(task.number);
        }
        let is_trusted = |old: &&Listing<'_>| {
            shared.trusts_names && !mount.is_remote && old.head.is_trusted(&stat, shared.root_dev, is_mount)
        };
        let number = task.number;
        // Both: a tree may outlive its files in the store, and a scan may not have come to its commit.
        let is_held = shared.store_is_whole && old.as_ref().is_some_and(|old| shared.sink.has(&old.head.tree));
        let folder = |fd| Folder { number, fd, mount, is_held, old: old.as_ref(), new: None, taken: 0 };
        let (visited, fd) = if let Some(old) = old.as_ref().filter(is_trusted) {
            let mut folder = folder(fd.as_fd());
            self.revisit(task, &mut folder, old)?;
            let new = folder.new.take();
            let whole = bytes.filter(|_| new.is_none() && shared.keeps_listings);
            (self.known_names(old, stat.meta(), new, whole), fd)
        } else {
            let fd = if old.is_some() { reopen(&fd)? } else { fd };
            let mut folder = folder(fd.as_fd());
            let mut new = self.list(task, &mut folder, &stat, names)?;
            new.flags |= if is_mount { MOUNT } else { 0 };
            (self.listed(old.as_ref(), &stat, new), fd)
        };
        self.found.counts.directories += u64::from(task.number != 0);
        Ok(self.descend(task, fd, mount, visited))
    }

    /// Numbers the directories that were found and takes them as tasks, the first name on top.
    fn descend(&mut self, task: &Task<'s>, fd: OwnedFd, mount: Mount, mut visited: Visited) -> Visited {
        visited.count = self.subdirs.len();
        if visited.count > 0 {
            visited.first = self.shared.numbers.fetch_add(visited.count, Relaxed);
            self.settle(task.number, visited.first);
            let start = self.tasks.len();
            self.tasks.extend(task.below(fd, self.shared.openings, mount, visited.first, &mut self.subdirs));
            self.tasks[start..].reverse();
        }
        visited
    }

    /// Takes over the directories that need no visit.
    fn settle(&mut self, parent: usize, first: usize) {
        for (n, subdir) in self.subdirs.iter_mut().enumerate() {
            let Some(sum) = subdir.settled else { continue };
            let counts = &mut self.found.counts;
            counts.files += sum.files;
            counts.bytes += sum.bytes;
            counts.directories += u64::from(sum.directories) + 1;
            let (known, name) = (subdir.known.take(), Box::default());
            self.found.nodes.push(Node { number: first + n, parent, name, known, state: State::Settled });
        }
    }

    /// Looks at the touched entries only; all others are what the cache knows.
    fn pass(&mut self, task: &Task<'s>, fd: BorrowedFd<'_>, old: &Listing<'_>) -> Result<Visited, Stop> {
        let known = task.known.as_ref().and_then(|known| known.included.as_ref());
        let meta = match known {
            Some(known) => known.meta,
            // The root's own properties stand in no listing.
            None => stat::of(fd)?.meta(),
        };
        let (number, mount) = (task.number, task.mount);
        let mut folder = Folder { number, fd, mount, is_held: true, old: Some(old), new: None, taken: 0 };
        for cached in old.entries() {
            match cached.kind {
                Kind::Dir => self.subdir(task, &mut folder, cached.name, Some(&cached)),
                Kind::Excluded => self.leave_out(&mut folder, cached.name, SkipReason::Excluded, Some(&cached)),
                Kind::Own => self.leave_out(&mut folder, cached.name, SkipReason::OwnFiles, Some(&cached)),
                _ if task.touch.concerns(&cached) => {
                    self.shared.options.progress.add_entries(1);
                    self.entry(task, &mut folder, cached.name, Some(&cached))?;
                }
                _ => self.take_over(&mut folder, &cached),
            }
        }
        self.found.counts.directories += u64::from(task.number != 0);
        let new = folder.new.take();
        Ok(self.known_names(old, meta, new, None))
    }

    /// Looks at each entry that the cache knows; there are no others.
    fn revisit(&mut self, task: &Task<'s>, folder: &mut Folder<'_>, old: &Listing<'_>) -> Result<(), ScanError> {
        let mut seen = 0;
        for cached in old.entries() {
            seen += 1;
            if seen % CLOCK_EVERY == 0 {
                self.shared.check_late();
            }
            match cached.kind {
                Kind::Dir => self.subdir(task, folder, cached.name, Some(&cached)),
                Kind::Excluded => self.leave_out(folder, cached.name, SkipReason::Excluded, Some(&cached)),
                Kind::Own => self.leave_out(folder, cached.name, SkipReason::OwnFiles, Some(&cached)),
                _ => self.entry(task, folder, cached.name, Some(&cached))?,
            }
        }
        self.shared.options.progress.add_entries(seen as u64);
        Ok(())
    }

    fn known_names(&self, old: &Listing<'_>, meta: Meta, new: Option<Vec<u8>>, whole: Option<&[u8]>) -> Visited {
        let tree = Some(old.head.tree).filter(|tree| new.is_none() && self.shared.sink.has(tree));
        let listing = match new {
            Some(entries) => Some(with_head(&old.head, &entries)),
            None => whole.map(<[u8]>::to_vec),
        };
        Visited { meta, xattrs: old.head.xattrs.into(), first: 0, count: 0, tree, listing }
    }

    /// Lists the names and looks at each entry, with what the cache knows of it.
    fn list(
        &mut self,
        task: &Task<'s>,
        folder: &mut Folder<'_>,
        stat: &Stat,
        names: &mut Names,
    ) -> Result<NewListing, Stop> {
        let xattrs = xattr::read(folder.fd, &mut self.entry)?;
        names.list(folder.fd)?;
        if task.number != 0 && is_others(task.place, folder.fd, names) {
            return Err(Stop::Skipped(SkipReason::OwnFiles));
        }
        let has_tag = names.contains(TAG_NAME);
        if has_tag && self.shared.options.rules.skip_cachedir_tag && !task.is_kept && is_tagged(folder.fd) {
            return Err(Stop::Skipped(SkipReason::CachedirTag));
        }
        folder.new = Some(Vec::new());
        let mut old = folder.old.map(Listing::entries).into_iter().flatten().peekable();
        let mut seen = 0;
        for (name, kind) in names.iter() {
            while old.next_if(|cached| cached.name < name).is_some() {}
            let cached = old.next_if(|cached| cached.name == name);
            seen += 1;
            if seen % CLOCK_EVERY == 0 {
                self.shared.check_late();
            }
            self.name(task, folder, name, kind, cached.as_ref())?;
        }
        self.shared.options.progress.add_entries(seen as u64);
        let flags = if folder.mount.is_racy(stat) { RACY } else { 0 } | if has_tag { HAS_TAG } else { 0 };
        Ok(NewListing { flags, xattrs, entries: folder.new.take().unwrap_or_default() })
    }

    /// Decides by name and kind what to do with an entry.
    fn name(
        &mut self,
        task: &Task<'s>,
        folder: &mut Folder<'_>,
        name: &std::ffi::CStr,
        kind: FileType,
        cached: Option<&Cached<'_>>,
    ) -> Result<(), ScanError> {
        let rules = self.shared.options.rules;
        if let Err(error) = wfr_model::path::check_component(name.to_bytes()) {
            // A tree cannot name it, so its directory stands for it.
            let (reason, detail) = (SkipReason::Unreadable, Some(error.to_string()));
            self.found.skips.push(Skipped { dir: folder.number, name: None, reason, bytes: None, detail });
            return Ok(());
        }
        match rules.by_name(task.place, name.to_bytes()) {
            Some(SkipReason::Excluded) if task.kept.holds(rules, name.to_bytes()) => {}
            Some(reason) => {
                self.leave_out(folder, name, reason, cached);
                return Ok(());
            }
            None => {}
        }
        if kind == FileType::Directory {
            self.subdir(task, folder, name, cached);
            return Ok(());
        }
        // A file that is not known has to be opened in any case, and says then what it is.
        if kind == FileType::RegularFile && cached.is_none() && self.read_file(folder, name, None)? {
            return Ok(());
        }
        self.entry(task, folder, name, cached)
    }

    fn listed(&self, old: Option<&Listing<'_>>, stat: &Stat, new: NewListing) -> Visited {
        let same_entries = old.filter(|old| old.entries == new.entries);
        let tree = same_entries.map(|old| old.head.tree).filter(|tree| self.shared.sink.has(tree));
        let head = Head {
            flags: new.flags,
            dev: relative_dev(stat.dev, self.shared.root_dev),
            ino: stat.ino,
            mtime: stat.mtime,
            ctime: stat.ctime,
            tree: old.map_or(wfr_model::Digest::ZERO, |old| old.head.tree),
            xattrs: &new.xattrs,
        };
        let is_same = same_entries.is_some_and(|old| old.head == head);
        let listing = (!is_same || self.shared.keeps_listings).then(|| with_head(&head, &new.entries));
        Visited { meta: stat.meta(), xattrs: new.xattrs.as_slice().into(), first: 0, count: 0, tree, listing }
    }
}

/// A directory that was listed.
struct NewListing {
    flags: u8,
    xattrs: Vec<u8>,
    entries: Vec<u8>,
}

fn with_head(head: &Head<'_>, entries: &[u8]) -> Vec<u8> {
    let mut listing = Vec::with_capacity(listing::HEAD + head.xattrs.len() + entries.len());
    head.encode(&mut listing);
    listing.extend_from_slice(entries);
    listing
}

/// Whether the directory is a vault or a view of some workspace: by its names, and a vault by its format file too.
pub(super) fn is_others(place: Place, dir: BorrowedFd<'_>, names: &Names) -> bool {
    let has_all = |wanted: &[&[u8]]| wanted.iter().all(|name| names.contains(name));
    if place == Place::OtherView && has_all(&OTHER_VIEW_NAMES) {
        return true;
    }
    has_all(&VAULT_NAMES)
        && begin_of(dir, vault::FORMAT_FILE, FORMAT_BYTES_MAX).is_some_and(|bytes| vault::is_identity(&bytes))
}

/// The first bytes of a regular file in a directory.
fn begin_of(dir: BorrowedFd<'_>, name: impl rustix::path::Arg, bytes_max: usize) -> Option<Vec<u8>> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = rustix::fs::openat(dir, name, flags, Mode::empty()).ok()?;
    if stat::of(&file).ok()?.kind() != FileType::RegularFile {
        return None;
    }
    let mut begin = vec![0; bytes_max];
    let count = rustix::io::read(&file, &mut begin).ok()?;
    begin.truncate(count);
    Some(begin)
}

/// Whether the directory's tag is one by its content, whatever it may be called.
pub(super) fn is_tagged(dir: BorrowedFd<'_>) -> bool {
    begin_of(dir, TAG_NAME, TAG_SIGNATURE.len()).is_some_and(|begin| begin == *TAG_SIGNATURE)
}
