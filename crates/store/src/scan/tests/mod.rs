//! Tests of whole scans, on real directories and with a store in memory.
//!
//! Owns the workspace that the tests share. Each test says what it expects of a scan; none waits for time to pass.

mod cached;
mod damage;
mod held;
mod kinds;
mod limits;
mod races;
mod random;

use std::collections::BTreeMap;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use wfr_model::coverage::SkipReason;
use wfr_model::entry::{Entry, Node};
use wfr_model::{Digest, FileTime};
use wfr_testkit::TestTree;

use super::fstime::Clock;
use super::task::Openings;
use super::*;
use crate::object::memory::Memory;
use crate::object::{ObjectKind, Objects};
use crate::{disk, tree};

/// Which time the scans see.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Now {
    /// The file system's own: what was made in this instant is racy.
    Real,
    /// Half a minute later: nothing is racy, everything is recent.
    Soon,
    /// An hour earlier: everything is racy.
    Earlier,
}

/// A workspace, a store and a stat cache.
pub(super) struct Bench {
    pub tree: TestTree,
    pub memory: Memory,
    pub rules: Rules,
    pub threads: usize,
    pub now: Now,
    pub open_most: usize,
    aside: TestTree,
    pub abort: AtomicBool,
}

impl Bench {
    pub fn new() -> Self {
        Self::of(TestTree::new())
    }

    pub fn of(tree: TestTree) -> Self {
        Self {
            tree,
            memory: Memory::default(),
            rules: Rules { skip_cachedir_tag: true, ..Rules::default() },
            threads: 2,
            now: Now::Soon,
            open_most: 100,
            aside: TestTree::new(),
            abort: AtomicBool::new(false),
        }
    }

    /// Where the stat cache is.
    pub fn cache_path(&self) -> PathBuf {
        self.aside.at("cache")
    }

    /// Scans with a given cache into a given sink.
    pub fn scan_into(
        &self,
        sink: &dyn Sink,
        cache: Option<&StatCache>,
        change: impl FnOnce(&mut Options<'_>),
    ) -> Result<Scan, ScanError> {
        let root = disk::open_dir(self.tree.path()).unwrap();
        let aside = disk::open_dir(self.aside.path()).unwrap();
        let progress = Progress::default();
        let mut options = Options {
            rules: &self.rules,
            threads: self.threads,
            deadline: None,
            abort: &self.abort,
            progress: &progress,
            probe_dir: Some(aside.as_fd()),
            paranoid: false,
            watched: None,
        };
        change(&mut options);
        let dev = stat::of(&root).unwrap().dev;
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Realtime).tv_sec;
        let clock = match self.now {
            Now::Real => Clock::read(options.probe_dir),
            Now::Soon => Clock::at(FileTime { secs: now + 30, nanos: 0 }, dev),
            Now::Earlier => Clock::at(FileTime { secs: now - 3_600, nanos: 0 }, dev),
        };
        scan_at(root.as_fd(), cache, sink, &options, clock, &Openings::at_most(self.open_most))
    }

    /// Scans without a cache and leaves none.
    pub fn scan_fresh(&self) -> Scan {
        self.scan_into(&self.memory, None, |_| {}).unwrap()
    }

    /// Scans with the cache and brings it up to date.
    pub fn scan(&self) -> Scan {
        let scan = self.scan_into(&self.memory, StatCache::open(&self.cache_path()).as_ref(), |_| {}).unwrap();
        self.save(&scan);
        scan
    }

    pub fn save(&self, scan: &Scan) {
        let aside = disk::open_dir(self.aside.path()).unwrap();
        scan.write_cache(aside.as_fd(), Path::new("cache")).unwrap();
        assert_eq!(std::fs::read_dir(self.aside.path()).unwrap().count(), 1, "no temporary file stays");
    }

    /// All entries of a tree by path.
    pub fn entries(&self, root: &Digest) -> BTreeMap<String, Entry> {
        entries(&self.memory, root)
    }
}

pub(super) fn entries(objects: &dyn Objects, root: &Digest) -> BTreeMap<String, Entry> {
    let mut found = BTreeMap::new();
    tree::walk::<crate::ReadError>(objects, root, &mut |path, entry| {
        found.insert(path.to_string(), entry.clone());
        Ok(())
    })
    .unwrap();
    found
}

/// The skips of a scan as text.
pub(super) fn skips(scan: &Scan) -> Vec<(String, SkipReason)> {
    scan.coverage.skips.iter().map(|skip| (skip.path.to_string(), skip.reason)).collect()
}

/// A sink that does something each time before an object is put.
pub(super) struct Hooked<'a> {
    pub sink: &'a Memory,
    pub before_put: &'a (dyn Fn(ObjectKind, &[u8]) + Sync),
}

impl Sink for Hooked<'_> {
    fn has(&self, id: &Digest) -> bool {
        Sink::has(self.sink, id)
    }

    fn put(&self, kind: ObjectKind, id: &Digest, bytes: &[u8]) -> Result<(), WriteError> {
        (self.before_put)(kind, bytes);
        self.sink.put(kind, id, bytes)
    }
}

/// The content hash of a file's entry.
pub(super) fn hash_of(entry: &Entry) -> Digest {
    match &entry.node {
        Node::File(content) => content.hash,
        other => panic!("not a file: {other:?}"),
    }
}
