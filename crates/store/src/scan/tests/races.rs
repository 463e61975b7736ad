//! Files that change during a scan, or right after it.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use super::*;
use crate::object::hash;

#[test]
fn racy_records_are_read_again_until_they_are_old_enough() {
    let mut bench = Bench::of(TestTree::of_every_kind());
    bench.now = Now::Earlier;
    let first = bench.scan();
    let again = bench.scan();
    assert_eq!((again.tree, again.read), (first.tree, first.read), "all are younger than the clock allows");
    bench.now = Now::Soon;
    let settled = bench.scan();
    assert_eq!((settled.tree, settled.read), (first.tree, first.read));
    assert!(settled.cache_changed, "now they are known to be clean");
    assert_eq!(bench.scan().read.files, 0);
}

#[test]
fn changes_right_after_a_scan_are_found() {
    let mut bench = Bench::new();
    bench.now = Now::Real;
    for n in 0..100u32 {
        bench.tree.write("same-length", &n.to_le_bytes());
        bench.tree.write(format!("dir/{}", n % 2), b"");
        let entries = bench.entries(&bench.scan().tree);
        assert_eq!(hash_of(&entries["same-length"]), hash(&n.to_le_bytes()), "round {n}");
        assert!(entries.contains_key(&format!("dir/{}", n % 2)) && entries.len() == 3);
        bench.tree.remove(format!("dir/{}", n % 2));
    }
}

#[test]
fn a_file_with_a_writer_is_read_again() {
    let bench = Bench::new();
    bench.tree.write("file", b"1");
    bench.tree.write("other", b"2");
    let writer = std::fs::OpenOptions::new().write(true).open(bench.tree.at("file")).unwrap();
    if crate::lease::has_writer(std::fs::File::open(bench.tree.at("file")).unwrap()).is_none() {
        return wfr_testkit::skip("the file system has no leases");
    }
    bench.scan();
    assert_eq!(bench.scan().read.files, 1, "its pages may change without a stamp");
    assert_eq!(bench.scan().read.files, 1);
    drop(writer);
    assert_eq!(bench.scan().read.files, 1);
    assert_eq!(bench.scan().read.files, 0);
}

#[test]
fn a_file_that_never_holds_still_is_a_skip() {
    let mut bench = Bench::new();
    bench.threads = 1;
    bench.tree.write("dir/log", b"line\n");
    bench.tree.write("other", b"o");
    let tries = AtomicU32::new(0);
    let grow = |kind, bytes: &[u8]| {
        if kind == ObjectKind::Blob && bytes.starts_with(b"line") {
            tries.fetch_add(1, Relaxed);
            bench.tree.write("dir/log", &[bytes, b"line\n"].concat());
        }
    };
    let sink = Hooked { sink: &bench.memory, before_put: &grow };
    let scan = bench.scan_into(&sink, None, |_| {}).unwrap();
    assert_eq!(tries.into_inner(), 3);
    assert_eq!(skips(&scan), [("dir/log".to_owned(), SkipReason::ChangedWhileRead)]);
    assert!(!bench.entries(&scan.tree).contains_key("dir/log"));
    bench.save(&scan);
    assert!(bench.entries(&bench.scan().tree).contains_key("dir/log"));
}

#[test]
fn one_change_while_reading_is_read_as_it_came_to_be() {
    let mut bench = Bench::new();
    bench.threads = 1;
    bench.tree.write("file", b"old");
    let change = |_, bytes: &[u8]| {
        if bytes == b"old" {
            bench.tree.write("file", b"new");
        }
    };
    let sink = Hooked { sink: &bench.memory, before_put: &change };
    let scan = bench.scan_into(&sink, None, |_| {}).unwrap();
    assert_eq!(hash_of(&bench.entries(&scan.tree)["file"]), hash(b"new"));
    bench.save(&scan);
    assert_eq!(bench.scan().tree, scan.tree);
}

/// Scans while `change` happens once, at the moment when the file `a` is read.
fn scan_while(bench: &mut Bench, change: impl Fn(&TestTree) + Sync) -> Scan {
    bench.threads = 1;
    bench.tree.write("a", b"now");
    let once = Mutex::new(Some(()));
    let hook = |_, bytes: &[u8]| {
        if bytes == b"now" && once.lock().unwrap().take().is_some() {
            change(&bench.tree);
        }
    };
    let cache = StatCache::open(&bench.cache_path());
    let sink = Hooked { sink: &bench.memory, before_put: &hook };
    let scan = bench.scan_into(&sink, cache.as_ref(), |_| {}).unwrap();
    assert!(once.into_inner().unwrap().is_none());
    bench.save(&scan);
    scan
}

#[test]
fn a_directory_that_becomes_a_link_is_not_followed() {
    for has_cache in [false, true] {
        let mut bench = Bench::new();
        let outside = TestTree::new();
        outside.write("inner/secret", b"outside");
        bench.tree.write("dir/inner/file", b"inside");
        if has_cache {
            bench.scan();
        }
        let scan = scan_while(&mut bench, |tree| {
            std::fs::rename(tree.at("dir"), tree.at("moved")).unwrap();
            std::os::unix::fs::symlink(outside.path(), tree.at("dir")).unwrap();
        });
        assert_eq!(skips(&scan), [("dir".to_owned(), SkipReason::ChangedWhileRead)]);
        assert!(!bench.entries(&scan.tree).keys().any(|path| path.contains("secret")));
        assert_eq!(bench.scan().tree, bench.scan_fresh().tree);
    }
}

#[test]
fn a_directory_above_that_becomes_a_link_is_not_followed() {
    // With few directories open, lower ones are reached by several names at once.
    let mut bench = Bench::new();
    bench.open_most = 0;
    let outside = TestTree::new();
    outside.write("dir/inner/secret", b"outside");
    bench.tree.write("top/a", b"now");
    bench.tree.write("top/dir/inner/file", b"inside");
    let scan = scan_while(&mut bench, |_| {});
    assert_eq!(skips(&scan), []);
    let mut bench = Bench::new();
    bench.open_most = 0;
    bench.threads = 1;
    bench.tree.write("top/dir/b", b"now");
    bench.tree.write("top/dir/inner/file", b"inside");
    let scan = {
        let hook = |_, bytes: &[u8]| {
            if bytes == b"now" {
                std::fs::rename(bench.tree.at("top"), bench.tree.at("moved")).unwrap();
                std::os::unix::fs::symlink(outside.path(), bench.tree.at("top")).unwrap();
            }
        };
        bench.scan_into(&Hooked { sink: &bench.memory, before_put: &hook }, None, |_| {}).unwrap()
    };
    assert_eq!(skips(&scan), [("top/dir/inner".to_owned(), SkipReason::ChangedWhileRead)]);
    assert!(!bench.entries(&scan.tree).keys().any(|path| path.contains("secret")));
}

#[test]
fn what_vanishes_in_mid_scan_is_gone() {
    for has_cache in [false, true] {
        let mut bench = Bench::new();
        bench.tree.write("dir/file", b"x");
        bench.tree.write("sub/dir/file", b"x");
        bench.tree.write("z", b"z");
        if has_cache {
            bench.scan();
        }
        let scan = scan_while(&mut bench, |tree| {
            tree.remove("dir");
            tree.remove("sub/dir");
            tree.remove("z");
        });
        assert_eq!(skips(&scan), []);
        assert_eq!(bench.entries(&scan.tree).into_keys().collect::<Vec<_>>(), ["a", "sub"]);
        assert_eq!(bench.scan().tree, bench.scan_fresh().tree);
    }
}

#[test]
fn a_file_that_becomes_a_pipe_or_a_directory_blocks_nothing() {
    for has_cache in [false, true] {
        let mut bench = Bench::new();
        bench.tree.write("file", b"x");
        bench.tree.write("file2", b"x");
        if has_cache {
            bench.scan();
        }
        let scan = scan_while(&mut bench, |tree| {
            tree.remove("file");
            tree.fifo("file");
            tree.remove("file2");
            tree.write("file2/child", b"y");
        });
        let entries = bench.entries(&scan.tree);
        assert_eq!(entries["file"].node, Node::Fifo);
        assert!(entries.contains_key("file2/child"));
        assert_eq!(bench.scan().tree, bench.scan_fresh().tree);
    }
}
