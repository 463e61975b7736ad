//! A damaged cache costs time, never truth.

use std::os::unix::fs::FileExt as _;

use super::*;

/// A small tree with directories, links, attributes and a large file, scanned once.
fn bench() -> Bench {
    let bench = Bench::new();
    bench.tree.write("a/b/c", b"c");
    bench.tree.write("a/x", b"x");
    bench.tree.symlink("l", b"a");
    bench.tree.write("y", b"y");
    bench.tree.set_xattr("y", "user.k", b"v");
    bench.tree.hard_link("y", "z");
    bench.scan();
    // A second write, so that both slots and dead listings are there.
    bench.tree.write("a/b/c", b"cc");
    bench.scan();
    bench
}

#[track_caller]
fn still_right(bench: &Bench, expected: &Scan, what: &str) {
    let cache = StatCache::open(&bench.cache_path());
    let scan = bench.scan_into(&bench.memory, cache.as_ref(), |_| {}).unwrap();
    assert_eq!(scan.tree, expected.tree, "{what}");
    assert_eq!((scan.hard_links, scan.counts), (expected.hard_links, expected.counts), "{what}");
}

/// The cache file, to be damaged in place: writing it anew each time would wait for the disk.
fn file(bench: &Bench) -> std::fs::File {
    std::fs::OpenOptions::new().read(true).write(true).open(bench.cache_path()).unwrap()
}

#[test]
fn no_changed_byte_changes_the_result() {
    let mut bench = bench();
    bench.threads = 1;
    let expected = bench.scan_fresh();
    let good = std::fs::read(bench.cache_path()).unwrap();
    let file = file(&bench);
    for at in 0..good.len() {
        for mask in [0xff, 1 << (at % 8)] {
            file.write_all_at(&[good[at] ^ mask], at as u64).unwrap();
            still_right(&bench, &expected, &format!("byte {at} ^ {mask:#x}"));
        }
        file.write_all_at(&good[at..=at], at as u64).unwrap();
    }
}

#[test]
fn no_cut_and_no_run_of_zeros_changes_the_result() {
    let mut bench = bench();
    bench.threads = 1;
    let expected = bench.scan_fresh();
    let good = std::fs::read(bench.cache_path()).unwrap();
    let file = file(&bench);
    for at in (0..good.len()).rev() {
        file.write_all_at(&[0], at as u64).unwrap();
        still_right(&bench, &expected, &format!("zeros from {at}"));
    }
    file.write_all_at(&good, 0).unwrap();
    for at in (0..good.len()).rev() {
        file.set_len(at as u64).unwrap();
        still_right(&bench, &expected, &format!("cut at {at}"));
    }
}

#[test]
fn damage_is_mended_by_the_next_scan() {
    let bench = bench();
    let good = std::fs::read(bench.cache_path()).unwrap();
    for at in [0, 20, 512, 530, 1_030, good.len() - 3] {
        let mut bad = good.clone();
        bad[at] ^= 0x55;
        std::fs::write(bench.cache_path(), &bad).unwrap();
        let scan = bench.scan();
        assert_eq!(scan.tree, bench.scan_fresh().tree);
        let again = bench.scan();
        assert_eq!((again.read.files, again.cache_changed), (0, false), "byte {at}");
    }
}

#[test]
fn listings_of_different_times_do_not_mix() {
    // The slot of the second write is lost, or never reached the disk: the first one counts, and what was appended
    // is overwritten by the third.
    let bench = bench();
    let second = std::fs::read(bench.cache_path()).unwrap();
    for lost in [0, 512] {
        let mut bytes = second.clone();
        bytes[lost..lost + 96].fill(0);
        std::fs::write(bench.cache_path(), &bytes).unwrap();
        bench.tree.write("a/b/c", format!("third {lost}").as_bytes());
        assert_eq!(bench.scan().tree, bench.scan_fresh().tree);
        // Now blocks of the third write are lost and those of the second are back.
        let mut third = std::fs::read(bench.cache_path()).unwrap();
        for cut in (1_024..third.len().min(second.len())).step_by(64) {
            third[cut..cut + 64.min(second.len() - cut)].copy_from_slice(&second[cut..(cut + 64).min(second.len())]);
            std::fs::write(bench.cache_path(), &third).unwrap();
            let cache = StatCache::open(&bench.cache_path());
            let scan = bench.scan_into(&bench.memory, cache.as_ref(), |_| {}).unwrap();
            assert_eq!(scan.tree, bench.scan_fresh().tree);
        }
    }
}

#[test]
fn something_else_in_the_place_of_the_cache_is_no_cache() {
    let bench = bench();
    std::fs::write(bench.cache_path(), b"hello").unwrap();
    assert!(StatCache::open(&bench.cache_path()).is_none());
    std::fs::remove_file(bench.cache_path()).unwrap();
    assert!(StatCache::open(&bench.cache_path()).is_none());
    std::fs::create_dir(bench.cache_path()).unwrap();
    assert!(StatCache::open(&bench.cache_path()).is_none());
}
