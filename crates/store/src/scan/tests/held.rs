//! Scans into a real store, and what they need not ask it.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::*;
use crate::pack::Extent;
use crate::record::Coding;
use crate::vault::{FORMAT_VERSION, Identity, Vault};
use crate::{Store, content};

/// Counts the questions on their way to a sink.
struct Counting<'a>(&'a dyn Sink, AtomicU64);

impl Sink for Counting<'_> {
    fn has(&self, id: &Digest) -> bool {
        self.1.fetch_add(1, Relaxed);
        self.0.has(id)
    }

    fn still_holds(&self, holdings: &[u8]) -> bool {
        self.0.still_holds(holdings)
    }

    fn put(&self, kind: ObjectKind, id: &Digest, bytes: &[u8]) -> Result<(), WriteError> {
        self.0.put(kind, id, bytes)
    }
}

/// A workspace with a vault.
struct Vaulted {
    bench: Bench,
    vault: Vault,
    _dir: TestTree,
    extents: Vec<Extent>,
}

impl Vaulted {
    fn new() -> Self {
        let dir = TestTree::new();
        let identity = Identity { format_version: FORMAT_VERSION, vault_id: "0".repeat(32), encrypted: false };
        let vault = Vault::create(&dir.at("vault"), identity).unwrap();
        Self { bench: Bench::of(TestTree::of_every_kind()), vault, _dir: dir, extents: vec![] }
    }

    /// Scans in a session of its own, commits it and brings the cache up to date; returns how often the scan asked.
    fn commit(&mut self, change: impl FnOnce(&mut Options<'_>)) -> (Scan, u64) {
        let store = Store::open(&self.vault, self.extents.clone(), None).unwrap();
        let writer = store.writer(Coding::default(), None);
        let counting = Counting(&writer, AtomicU64::new(0));
        let cache = StatCache::open(&self.bench.cache_path());
        let scan = self.bench.scan_into(&counting, cache.as_ref(), change).unwrap();
        let asked = counting.1.into_inner();
        let sealed = writer.finish().unwrap();
        for new in sealed.extents() {
            self.extents.retain(|extent| extent.pack != new.pack);
            self.extents.push(new.clone());
        }
        sealed.publish();
        let dir = disk::open_dir(self.bench.cache_path().parent().unwrap()).unwrap();
        scan.write_cache_with(dir.as_fd(), Path::new("cache"), &store.holdings()).unwrap();
        (scan, asked)
    }

    /// Reads everything that a tree names.
    fn read_all(&self, root: &Digest) -> usize {
        let store = Store::open(&self.vault, self.extents.clone(), None).unwrap();
        let entries = entries(&store, root);
        for entry in entries.values() {
            if let Node::File(content) = &entry.node {
                content::copy_to(&store, content, &mut std::io::sink()).unwrap();
            }
        }
        entries.len()
    }
}

#[test]
fn while_the_store_loses_nothing_it_is_asked_once_for_each_directory() {
    let mut vaulted = Vaulted::new();
    let (first, _) = vaulted.commit(|_| {});
    assert!(vaulted.read_all(&first.tree) > 15);
    let (again, asked) = vaulted.commit(|_| {});
    assert_eq!((again.tree, again.read.files), (first.tree, 0));
    let directories = again.counts.directories + 1;
    assert!(asked <= 2 * directories, "{asked} questions for {directories} directories");
    vaulted.bench.tree.write("sub/deep/c.txt", b"changed");
    let (changed, _) = vaulted.commit(|_| {});
    vaulted.read_all(&changed.tree);
    let (_, asked) = vaulted.commit(|_| {});
    assert!(asked <= 2 * directories, "{asked} questions for {directories} directories");
}

#[test]
fn what_the_store_lost_is_stored_again() {
    let mut vaulted = Vaulted::new();
    let (first, _) = vaulted.commit(|_| {});
    let pack = crate::pack::path(&vaulted.vault.packs(), &vaulted.extents[0].pack);
    std::fs::remove_file(&pack).unwrap();
    vaulted.extents.clear();
    let (again, asked) = vaulted.commit(|_| {});
    assert_eq!(again.tree, first.tree);
    // One file has two names: it is there again when the second is asked for.
    assert_eq!(again.read.files, first.read.files - 1);
    assert!(asked > again.counts.directories + 1);
    assert_eq!(vaulted.read_all(&again.tree) as u64, again.counts.files + again.counts.directories);
}

#[test]
fn a_scan_that_was_never_committed_leaves_no_trust() {
    let mut vaulted = Vaulted::new();
    vaulted.commit(|_| {});
    vaulted.bench.tree.write("sub/deep/c.txt", b"lost with its session");
    {
        let store = Store::open(&vaulted.vault, vaulted.extents.clone(), None).unwrap();
        let writer = store.writer(Coding::default(), None);
        let cache = StatCache::open(&vaulted.bench.cache_path());
        let scan = vaulted.bench.scan_into(&writer, cache.as_ref(), |_| {}).unwrap();
        let dir = disk::open_dir(vaulted.bench.cache_path().parent().unwrap()).unwrap();
        scan.write_cache_with(dir.as_fd(), Path::new("cache"), &store.holdings()).unwrap();
    }
    let (scan, _) = vaulted.commit(|_| {});
    assert_eq!(scan.read.files, 1);
    vaulted.read_all(&scan.tree);
}

#[test]
fn what_was_not_visited_since_a_loss_is_asked_for() {
    let mut vaulted = Vaulted::new();
    vaulted.commit(|_| {});
    std::fs::remove_file(crate::pack::path(&vaulted.vault.packs(), &vaulted.extents[0].pack)).unwrap();
    vaulted.extents.clear();
    // Reached nothing, in a store that holds nothing.
    vaulted.commit(|options| options.deadline = Some(Instant::now()));
    let (scan, _) = vaulted.commit(|_| {});
    assert_eq!(vaulted.read_all(&scan.tree) as u64, scan.counts.files + scan.counts.directories);
}

#[test]
fn the_mark_renews_itself_once_everything_was_asked_for() {
    let mut vaulted = Vaulted::new();
    let (scan, _) = vaulted.commit(|_| {});
    vaulted.bench.save(&scan);
    std::fs::remove_file(vaulted.bench.cache_path()).unwrap();
    vaulted.bench.save(&scan);
    let (again, asked) = vaulted.commit(|_| {});
    assert!(asked > again.counts.files / 2, "a cache without a mark: each file is asked for");
    assert!(!again.cache_changed);
    let (again, asked) = vaulted.commit(|_| {});
    assert!(asked <= 2 * (again.counts.directories + 1), "{asked}");
}
