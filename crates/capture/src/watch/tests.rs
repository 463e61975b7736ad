//! The watch against real trees: a scan that looks only at what it saw finds what a whole scan finds.

use std::fs;
use std::sync::atomic::AtomicBool;

use wfr_store::pack::Extent;
use wfr_store::record::Coding;
use wfr_store::scan::{Options, Progress, Scan, StatCache, Watched, scan};
use wfr_store::vault::{FORMAT_VERSION, Identity};
use wfr_store::{Store, Vault, disk};
use wfr_testkit::{Prng, TestTree, TreeShape, edit_at_random, grow};

use super::*;

/// A tree with a watch, a store, and a stat cache.
struct Bench {
    tree: TestTree,
    aside: TestTree,
    watch: Watch,
    vault: Vault,
    extents: Vec<Extent>,
    looked_at: u64,
}

impl Bench {
    fn new(tree: TestTree) -> Self {
        fs::create_dir_all(tree.at(".claude/recovery")).unwrap();
        let root = disk::open_dir(tree.path()).unwrap();
        let cookies = tree.at(".claude/recovery");
        let watch = Watch::begin(root.as_fd(), rules(), &cookies, [1; 16]).unwrap();
        let aside = TestTree::new();
        let identity = Identity { format_version: FORMAT_VERSION, vault_id: "0".repeat(32), encrypted: false };
        let vault = Vault::create(&aside.at("vault"), identity).unwrap();
        Self { tree, aside, watch, vault, extents: vec![], looked_at: 0 }
    }

    /// A scan of everything, or of what was touched, after which the cache knows it.
    fn scan_with(&mut self, cache: Option<&StatCache>, watched: Option<Watched<'_>>) -> Scan {
        let root = disk::open_dir(self.tree.path()).unwrap();
        let aside = disk::open_dir(self.aside.path()).unwrap();
        let (rules, progress, abort) = (rules(), Progress::default(), AtomicBool::new(false));
        let options = Options {
            rules: &rules,
            threads: 2,
            deadline: None,
            abort: &abort,
            progress: &progress,
            probe_dir: Some(aside.as_fd()),
            paranoid: false,
            watched,
        };
        let store = Store::open(&self.vault, self.extents.clone(), None).unwrap();
        let writer = store.writer(Coding::default(), None);
        let found = scan(root.as_fd(), cache, &writer, &options).unwrap();
        let sealed = writer.finish().unwrap();
        for extent in sealed.extents() {
            self.extents.retain(|known| known.pack != extent.pack);
            self.extents.push(extent.clone());
        }
        sealed.publish();
        if watched.is_some() {
            found.write_cache_for(aside.as_fd(), Path::new("cache"), &store).unwrap();
        }
        self.looked_at = progress.entries();
        found
    }

    fn scan(&mut self) -> Scan {
        let cache = StatCache::open(&self.aside.at("cache"));
        assert!(self.watch.drain().unwrap(), "no event is lost");
        let answer = self.watch.since(cache.as_ref().and_then(StatCache::mark), [2; 16]);
        let touched = answer.seen.as_deref().map(touched);
        self.scan_with(cache.as_ref(), Some(Watched { mark: answer.mark, touched: touched.as_ref() }))
    }

    fn fresh(&mut self) -> Scan {
        self.scan_with(None, None)
    }
}

fn rules() -> Rules {
    Rules { exclude: vec![b"n7".to_vec()], skip_cachedir_tag: true, ..Rules::default() }
}

#[test]
fn what_a_watched_scan_finds_is_what_a_whole_scan_finds() {
    let mut prng = Prng::from_environment();
    let mut looks = (0, 0);
    for round in 0..12 {
        let tree = TestTree::new();
        grow(&tree, &mut prng, TreeShape { entries: 80, specials: true, hard_links: true });
        let mut bench = Bench::new(tree);
        bench.scan();
        for _ in 0..25 {
            let edits: Vec<String> = (0..prng.below(4)).map(|_| edit_at_random(&bench.tree, &mut prng)).collect();
            let watched = bench.scan();
            looks.0 += bench.looked_at;
            let fresh = bench.fresh();
            looks.1 += bench.looked_at;
            assert_eq!(watched.coverage, fresh.coverage, "round {round}: {edits:?}");
            assert_eq!(watched.tree, fresh.tree, "round {round}: {edits:?}");
            assert_eq!((watched.counts, watched.hard_links), (fresh.counts, fresh.hard_links), "{edits:?}");
            assert_eq!((watched.root_meta, watched.mounts), (fresh.root_meta, fresh.mounts), "{edits:?}");
        }
    }
    assert!(looks.0 * 2 < looks.1, "a watched scan looks at less: {looks:?}");
}

#[test]
fn nothing_is_looked_at_where_nothing_happened() {
    let tree = TestTree::new();
    let shape = TreeShape { entries: 500, specials: false, hard_links: false };
    grow(&tree, &mut Prng::from_environment(), shape);
    let mut bench = Bench::new(tree);
    let first = bench.scan();
    let again = bench.scan();
    assert_eq!(first.tree, again.tree);
    assert_eq!((first.counts, bench.looked_at), (again.counts, 0));
}

#[test]
fn a_directory_is_watched_from_its_first_moment() {
    let mut bench = Bench::new(TestTree::new());
    bench.scan();
    fs::create_dir_all(bench.tree.at("a/b/c")).unwrap();
    fs::write(bench.tree.at("a/b/c/file"), "1").unwrap();
    bench.scan();
    fs::write(bench.tree.at("a/b/c/file"), "22").unwrap();
    fs::rename(bench.tree.at("a/b"), bench.tree.at("moved")).unwrap();
    fs::write(bench.tree.at("moved/c/file"), "333").unwrap();
    let watched = bench.scan();
    assert_eq!(watched.tree, bench.fresh().tree);
    fs::write(bench.tree.at("moved/c/file"), "4444").unwrap();
    let watched = bench.scan();
    assert_eq!(watched.tree, bench.fresh().tree);
    assert!(bench.watch.directories() >= 4);
}

#[test]
fn a_file_is_found_by_all_its_names() {
    let mut bench = Bench::new(TestTree::new());
    fs::create_dir_all(bench.tree.at("a/deep")).unwrap();
    fs::create_dir_all(bench.tree.at("b")).unwrap();
    fs::write(bench.tree.at("a/deep/one"), "1").unwrap();
    bench.scan();
    fs::hard_link(bench.tree.at("a/deep/one"), bench.tree.at("b/two")).unwrap();
    let watched = bench.scan();
    assert_eq!(watched.hard_links, bench.fresh().hard_links);
    assert!(watched.hard_links.is_some());
    fs::write(bench.tree.at("b/two"), "both").unwrap();
    let watched = bench.scan();
    assert_eq!(watched.tree, bench.fresh().tree);
}

#[test]
fn lost_events_are_told() {
    let most: u64 = match fs::read_to_string("/proc/sys/fs/inotify/max_queued_events") {
        Ok(text) => text.trim().parse().unwrap(),
        Err(error) => return wfr_testkit::skip(&error.to_string()),
    };
    if most > 100_000 {
        return wfr_testkit::skip("the queue of events is too long to fill");
    }
    let mut bench = Bench::new(TestTree::new());
    bench.scan();
    // Events that follow their like are merged, so two files take turns.
    let files = ["one", "two"].map(|name| bench.tree.at(name));
    for _ in 0..most {
        files.iter().for_each(|file| fs::write(file, "x").unwrap());
    }
    assert!(!bench.watch.drain().unwrap());
    bench.watch.begin_anew(None, [3; 16]).unwrap();
    let watched = bench.scan();
    assert_eq!(watched.tree, bench.fresh().tree);
}

#[test]
fn without_a_place_for_cookies_nothing_is_vouched_for() {
    let mut bench = Bench::new(TestTree::new());
    bench.scan();
    fs::remove_dir_all(bench.tree.at(".claude/recovery")).unwrap();
    assert!(!bench.watch.drain().unwrap());
}

#[test]
fn a_tag_that_comes_and_goes_is_seen() {
    let mut bench = Bench::new(TestTree::new());
    fs::create_dir_all(bench.tree.at("out/deep")).unwrap();
    fs::write(bench.tree.at("out/deep/file"), "1").unwrap();
    bench.scan();
    let tag = bench.tree.at("out/CACHEDIR.TAG");
    fs::write(&tag, "Signature: 8a477f597d28d172789f06886806bc55").unwrap();
    let watched = bench.scan();
    assert_eq!(watched.coverage, bench.fresh().coverage);
    fs::write(bench.tree.at("out/deep/file"), "22").unwrap();
    fs::create_dir(bench.tree.at("out/other")).unwrap();
    bench.scan();
    fs::remove_file(&tag).unwrap();
    bench.scan();
    fs::write(bench.tree.at("out/other/new"), "3").unwrap();
    fs::write(bench.tree.at("out/deep/file"), "4444").unwrap();
    let watched = bench.scan();
    assert_eq!(watched.tree, bench.fresh().tree);
}

#[test]
fn the_roots_own_end_is_seen() {
    let mut bench = Bench::new(TestTree::new());
    assert!(bench.watch.is_there());
    let beside = bench.aside.at("elsewhere");
    fs::rename(bench.tree.path(), &beside).unwrap();
    bench.watch.read().unwrap();
    assert!(!bench.watch.is_there(), "moved");
    let bench = Bench::new(TestTree::new());
    fs::remove_dir_all(bench.tree.path()).unwrap();
    assert!(!bench.watch.is_there(), "removed");
}
