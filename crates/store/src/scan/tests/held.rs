//! Scans into a real store, and what they need not ask it.

use std::os::unix::fs::FileExt as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::*;
use crate::crypto::{Cipher, MasterKey};
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
    cipher: Option<Arc<Cipher>>,
    extents: Vec<Extent>,
}

impl Vaulted {
    fn new() -> Self {
        Self::with(None)
    }

    fn with(cipher: Option<Arc<Cipher>>) -> Self {
        let dir = TestTree::new();
        let identity =
            Identity { format_version: FORMAT_VERSION, vault_id: "0".repeat(32), encrypted: cipher.is_some() };
        let vault = Vault::create(&dir.at("vault"), identity).unwrap();
        Self { bench: Bench::of(TestTree::of_every_kind()), vault, _dir: dir, cipher, extents: vec![] }
    }

    fn store(&self) -> Store {
        Store::open(&self.vault, self.extents.clone(), self.cipher.clone()).unwrap()
    }

    fn cache(&self) -> Option<StatCache> {
        StatCache::open_with(&self.bench.cache_path(), self.cipher.clone())
    }

    /// Scans in a session of its own, commits it and brings the cache up to date; returns how often the scan asked.
    fn commit(&mut self, change: impl FnOnce(&mut Options<'_>)) -> (Scan, u64) {
        let store = self.store();
        let writer = store.writer(Coding::default(), None);
        let counting = Counting(&writer, AtomicU64::new(0));
        let cache = self.cache();
        let scan = self.bench.scan_into(&counting, cache.as_ref(), change).unwrap();
        let asked = counting.1.into_inner();
        let sealed = writer.finish().unwrap();
        for new in sealed.extents() {
            self.extents.retain(|extent| extent.pack != new.pack);
            self.extents.push(new.clone());
        }
        sealed.publish();
        let dir = disk::open_dir(self.bench.cache_path().parent().unwrap()).unwrap();
        scan.write_cache_for(dir.as_fd(), Path::new("cache"), &store).unwrap();
        (scan, asked)
    }

    /// Reads everything that a tree names.
    fn read_all(&self, root: &Digest) -> usize {
        let store = self.store();
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
        let store = vaulted.store();
        let writer = store.writer(Coding::default(), None);
        let cache = vaulted.cache();
        let scan = vaulted.bench.scan_into(&writer, cache.as_ref(), |_| {}).unwrap();
        let dir = disk::open_dir(vaulted.bench.cache_path().parent().unwrap()).unwrap();
        scan.write_cache_for(dir.as_fd(), Path::new("cache"), &store).unwrap();
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

fn some_cipher() -> Arc<Cipher> {
    Arc::new(Cipher::new(&MasterKey::generate().unwrap()))
}

#[test]
fn the_cache_of_an_encrypted_store_shows_nothing() {
    let mut vaulted = Vaulted::with(Some(some_cipher()));
    let (first, _) = vaulted.commit(|_| {});
    vaulted.bench.tree.write("sub/deep/c.txt", b"changed");
    let (changed, _) = vaulted.commit(|_| {});
    assert_ne!(changed.tree, first.tree);
    let (again, asked) = vaulted.commit(|_| {});
    assert_eq!((again.tree, again.read.files, again.cache_changed), (changed.tree, 0, false));
    assert!(asked <= 2 * (again.counts.directories + 1), "{asked}");
    let bytes = std::fs::read(vaulted.bench.cache_path()).unwrap();
    let shows = |part: &[u8]| bytes.windows(part.len()).any(|window| window == part);
    for (path, entry) in entries(&vaulted.store(), &again.tree) {
        assert!(!shows(&entry.name) || entry.name.len() < 4, "{path}");
        if let Node::File(content) = entry.node {
            assert!(!shows(&content.hash.0[..8]), "{path}");
        }
    }
    let path = vaulted.bench.cache_path();
    assert!(StatCache::open(&path).is_none(), "without the key it is no cache");
    assert!(StatCache::open_with(&path, Some(some_cipher())).is_none(), "nor with another one");
}

#[test]
fn no_change_to_a_sealed_cache_changes_the_result() {
    let mut vaulted = Vaulted::with(Some(some_cipher()));
    let (first, _) = vaulted.commit(|_| {});
    vaulted.bench.threads = 1;
    let store = vaulted.store();
    let good = std::fs::read(vaulted.bench.cache_path()).unwrap();
    let file = std::fs::OpenOptions::new().write(true).open(vaulted.bench.cache_path()).unwrap();
    for at in (0..good.len()).step_by(7) {
        file.write_all_at(&[good[at] ^ 0x10], at as u64).unwrap();
        let scan = vaulted.bench.scan_into(&Dry::over(&store), vaulted.cache().as_ref(), |_| {}).unwrap();
        assert_eq!((scan.tree, scan.counts), (first.tree, first.counts), "byte {at}");
        file.write_all_at(&good[at..=at], at as u64).unwrap();
    }
}
