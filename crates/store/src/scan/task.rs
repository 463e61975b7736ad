//! Directories that wait to be scanned.
//!
//! Owns how a directory is reached: from the nearest one above it that is still open, without following a symbolic
//! link, and with a bounded number of open directories however deep and wide the tree is. Refuses to read them.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use wfr_model::Digest;
use wfr_model::entry::Meta;

use super::fstime::Mount;
use super::listing::{Cached, Pos, Sum};
use super::rules::{Kept, Place};
use super::touched::Touch;

/// A longer way from an open directory than this, in bytes, is not worth taking: the kernel takes 4,095.
const WAY_BYTES_MAX: usize = 512;

/// How many directories may be open. Further ones are reached from farther above.
#[derive(Debug)]
pub(super) struct Openings {
    count: AtomicUsize,
    most: usize,
}

impl Openings {
    /// Half of what this process may open, within reason: the sink and the caller need some too.
    pub(super) fn new() -> Self {
        let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap_or(u64::MAX);
        Self { count: AtomicUsize::new(0), most: (limit / 2).clamp(4, 1_024) as usize }
    }

    #[cfg(test)]
    pub(super) fn at_most(most: usize) -> Self {
        Self { count: AtomicUsize::new(0), most }
    }
}

/// An open directory from which others are reached.
#[derive(Debug)]
pub(super) struct Anchor<'s> {
    fd: OwnedFd,
    openings: &'s Openings,
}

impl<'s> Anchor<'s> {
    pub(super) fn new(fd: OwnedFd, openings: &'s Openings) -> Self {
        openings.count.fetch_add(1, Relaxed);
        Self { fd, openings }
    }
}

impl Drop for Anchor<'_> {
    fn drop(&mut self) {
        self.openings.count.fetch_sub(1, Relaxed);
    }
}

/// What the parent's listing says of a directory.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Known {
    /// Its part in the parent's tree; `None` where it had none.
    pub included: Option<Box<Included>>,
    /// Where its listing lies.
    pub pos: Pos,
    /// How much is below it, where nothing there needs another look.
    pub sum: Option<Sum>,
}

/// A directory's part in its parent's tree.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Included {
    pub meta: Meta,
    pub tree: Digest,
    pub xattrs: Box<[u8]>,
}

impl Known {
    pub(super) fn of(cached: &Cached<'_>) -> Self {
        let included = || Box::new(Included { meta: cached.meta(), tree: cached.id(), xattrs: cached.rest().into() });
        Self { included: cached.is_included().then(included), pos: cached.pos(), sum: cached.sum() }
    }
}

/// A directory that waits to be scanned.
#[derive(Debug)]
pub(super) struct Task<'s> {
    /// Its number, larger than its parent's.
    pub number: usize,
    /// Its parent's number; the root is its own parent.
    pub parent: usize,
    anchor: Arc<Anchor<'s>>,
    /// The way from the anchor.
    way: CString,
    pub known: Option<Known>,
    /// The parent's mount.
    pub mount: Mount,
    pub place: Place,
    pub kept: Kept,
    /// Whether a tag may not skip it.
    pub is_kept: bool,
    /// What has to be looked at.
    pub touch: Touch<'s>,
}

/// A directory found in another, before it has a number.
#[derive(Debug)]
pub(super) struct Subdir<'s> {
    pub name: CString,
    pub known: Option<Known>,
    pub kept: Kept,
    pub is_kept: bool,
    pub touch: Touch<'s>,
    /// How much is in it, where it needs no visit.
    pub settled: Option<Sum>,
}

impl<'s> Task<'s> {
    /// The root, open as `anchor`.
    pub(super) fn root(anchor: Anchor<'s>, known: Option<Known>, mount: Mount, kept: Kept, touch: Touch<'s>) -> Self {
        Self {
            number: 0,
            parent: 0,
            anchor: Arc::new(anchor),
            way: c".".to_owned(),
            known,
            mount,
            place: Place::Root,
            kept,
            is_kept: true,
            touch,
        }
    }

    /// Its name; `.` for the root.
    pub(super) fn name(&self) -> &[u8] {
        let way = self.way.to_bytes();
        &way[way.iter().rposition(|byte| *byte == b'/').map_or(0, |slash| slash + 1)..]
    }

    /// Opens it. With `only_path` it can be a base for other calls but can't be listed.
    pub(super) fn open(&self, only_path: bool) -> Result<OwnedFd, Errno> {
        let access = if only_path { OFlags::PATH } else { OFlags::RDONLY };
        let flags = access | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        if !self.way.to_bytes().contains(&b'/') {
            return rustix::fs::openat(&self.anchor.fd, &self.way, flags, Mode::empty());
        }
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
        loop {
            match rustix::fs::openat2(&self.anchor.fd, &self.way, flags, Mode::empty(), resolve) {
                // A rename raced with the resolution.
                Err(Errno::AGAIN | Errno::INTR) => {}
                other => return other,
            }
        }
    }

    /// The directories found in this one that need a visit as tasks, all numbered from `first` on; `fd` is this one, open.
    pub(super) fn below<'t>(
        &'t self,
        fd: OwnedFd,
        openings: &'s Openings,
        mount: Mount,
        first: usize,
        subdirs: &'t mut Vec<Subdir<'s>>,
    ) -> impl Iterator<Item = Task<'s>> + 't {
        let is_near = openings.count.load(Relaxed) < openings.most || self.way.to_bytes().len() > WAY_BYTES_MAX;
        let anchor = if is_near { Arc::new(Anchor::new(fd, openings)) } else { Arc::clone(&self.anchor) };
        let place = self.place;
        let to_visit = subdirs.drain(..).enumerate().filter(|(_, subdir)| subdir.settled.is_none());
        to_visit.map(move |(n, subdir)| Task {
            number: first + n,
            parent: self.number,
            anchor: Arc::clone(&anchor),
            place: place.below(subdir.name.to_bytes()),
            way: if is_near { subdir.name } else { self.way_to(&subdir.name) },
            known: subdir.known,
            mount,
            kept: subdir.kept,
            is_kept: subdir.is_kept,
            touch: subdir.touch,
        })
    }

    fn way_to(&self, name: &CStr) -> CString {
        let way = [self.way.to_bytes(), b"/", name.to_bytes()].concat();
        CString::new(way).expect("two C strings hold no NUL byte")
    }
}

/// An open directory that can be listed, from one that may not be.
pub(super) fn reopen(dir: impl AsFd) -> Result<OwnedFd, Errno> {
    rustix::fs::openat(dir, c".", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
}
