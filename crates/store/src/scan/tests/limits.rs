//! Depth, size, permission, deadline, abort.

use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use super::*;

/// Makes `levels` directories in each other, each with a second one and a file beside.
fn deep(bench: &Bench, levels: usize) {
    use rustix::fs::{Mode, OFlags, mkdirat, openat};
    let mode = Mode::RWXU;
    let mut dir = disk::open_dir(bench.tree.path()).unwrap();
    for _ in 0..levels {
        mkdirat(&dir, c"d", mode).unwrap();
        mkdirat(&dir, c"e", mode).unwrap();
        openat(&dir, c"f", OFlags::CREATE | OFlags::WRONLY, mode).unwrap();
        dir = openat(&dir, c"d", OFlags::DIRECTORY, mode).unwrap();
    }
}

#[test]
fn depth_costs_neither_stack_nor_descriptors() {
    const LEVELS: usize = 2_200;
    let mut bench = Bench::new();
    bench.open_most = 8;
    deep(&bench, LEVELS);
    let first = bench.scan();
    assert_eq!((first.counts.files, first.counts.directories), (LEVELS as u64, 2 * LEVELS as u64));
    assert_eq!(skips(&first), []);
    let again = bench.scan();
    assert_eq!((again.tree, again.read.files, again.cache_changed), (first.tree, 0, false));
    let gone = std::process::Command::new("rm").arg("-rf").arg(bench.tree.at("d")).status().unwrap();
    assert!(gone.success());
    assert_eq!(bench.scan().counts.directories, 1);
}

#[test]
fn large_directories_are_split_alike_with_and_without_cache() {
    let bench = Bench::new();
    for n in 0..3_000 {
        bench.tree.write(format!("flat/{n}"), b"");
    }
    let first = bench.scan();
    bench.tree.remove("flat/1500");
    bench.tree.write("flat/15000", b"");
    let scan = bench.scan();
    assert_ne!(scan.tree, first.tree);
    assert_eq!(scan.tree, bench.scan_fresh().tree);
    assert_eq!(scan.counts.files, 3_000);
}

#[test]
fn files_over_the_limit_are_named_and_not_read() {
    let mut bench = Bench::new();
    let sparse = std::fs::File::create(bench.tree.at("sparse")).unwrap();
    sparse.set_len(1 << 40).unwrap();
    bench.tree.write("small", &[7; 100]);
    bench.rules.file_bytes_max = Some(100);
    for _ in 0..2 {
        let scan = bench.scan();
        assert_eq!(skips(&scan), [("sparse".to_owned(), SkipReason::Quota)]);
        assert_eq!(scan.coverage.skips[0].bytes, Some(1 << 40));
        assert_eq!(bench.entries(&scan.tree).len(), 1);
    }
    // A limit that comes later counts for what is cached too, and one that goes gives it back.
    bench.rules.file_bytes_max = Some(99);
    let scan = bench.scan();
    assert_eq!(skips(&scan).len(), 2);
    std::fs::remove_file(bench.tree.at("sparse")).unwrap();
    bench.rules.file_bytes_max = None;
    let scan = bench.scan();
    assert_eq!((skips(&scan).len(), bench.entries(&scan.tree).len()), (0, 1));
}

#[test]
fn a_passed_deadline_skips_everything_and_forgets_nothing() {
    let bench = Bench::of(TestTree::of_every_kind());
    let first = bench.scan();
    let cache = StatCache::open(&bench.cache_path());
    let late = |options: &mut Options<'_>| options.deadline = Some(Instant::now());
    let scan = bench.scan_into(&bench.memory, cache.as_ref(), late).unwrap();
    assert_eq!(skips(&scan), [(String::new(), SkipReason::Deadline)]);
    assert!(!scan.coverage.is_complete());
    assert!(bench.entries(&scan.tree).is_empty());
    bench.save(&scan);
    let again = bench.scan();
    assert_eq!((again.tree, again.read.files), (first.tree, 0));
}

#[test]
fn what_the_deadline_cut_off_is_completed_by_later_scans() {
    let mut bench = Bench::new();
    bench.threads = 1;
    for n in 0..20 {
        bench.tree.write(format!("a{n:02}/file"), format!("{n}").as_bytes());
        bench.tree.write(format!("b{n:02}"), format!("{n}").as_bytes());
    }
    let whole = bench.scan_fresh();
    let store = Memory::default();
    let mut reads = 0;
    for round in 0.. {
        let deadline = Instant::now() + Duration::from_millis(200);
        let left = std::sync::atomic::AtomicI32::new(7);
        let spin = |kind, _: &[u8]| {
            // The eighth file takes until after the deadline.
            if kind == ObjectKind::Blob && left.fetch_sub(1, Relaxed) == 0 {
                while Instant::now() < deadline {
                    std::hint::spin_loop();
                }
            }
        };
        let sink = Hooked { sink: &store, before_put: &spin };
        let cache = StatCache::open(&bench.cache_path());
        let scan = bench.scan_into(&sink, cache.as_ref(), |options| options.deadline = Some(deadline)).unwrap();
        bench.save(&scan);
        reads += scan.read.files;
        let reached = entries(&store, &scan.tree);
        assert_eq!(reached.len() as u64, scan.counts.files + scan.counts.directories);
        if scan.coverage.is_complete() {
            assert_eq!(scan.tree, whole.tree);
            break;
        }
        assert!(round < 200, "each round gets farther");
    }
    assert_eq!(reads, 40, "no file is read twice");
}

#[test]
fn abort_ends_the_reading_of_an_endless_file() {
    let bench = Bench::new();
    std::fs::File::create(bench.tree.at("sparse")).unwrap().set_len(1 << 40).unwrap();
    let stop = |_, _: &[u8]| bench.abort.store(true, Relaxed);
    let sink = Hooked { sink: &bench.memory, before_put: &stop };
    let result = bench.scan_into(&sink, None, |_| {});
    assert!(matches!(result, Err(ScanError::Aborted)), "{result:?}");
}

#[test]
fn a_refusing_sink_ends_the_scan() {
    struct Full;
    impl Sink for Full {
        fn has(&self, _: &Digest) -> bool {
            false
        }
        fn put(&self, _: ObjectKind, _: &Digest, _: &[u8]) -> Result<(), WriteError> {
            Err(WriteError::Quota { quota: 1 })
        }
    }
    let bench = Bench::of(TestTree::of_every_kind());
    let result = bench.scan_into(&Full, None, |_| {});
    assert!(matches!(result, Err(ScanError::Write(WriteError::Quota { quota: 1 }))), "{result:?}");
}

#[test]
fn what_may_not_be_read_is_named() {
    let mut bench = Bench::new();
    bench.tree.write("dir/file", b"x");
    bench.tree.write("secret", b"s");
    bench.tree.write("open", b"o");
    bench.scan();
    bench.tree.set_mode("dir", 0);
    bench.tree.set_mode("secret", 0);
    bench.threads = 1;
    // On a thread of its own, which may become someone else for good.
    let scan = std::thread::scope(|scope| {
        let run = || {
            if rustix::process::geteuid().is_root() {
                bench.tree.set_mode("", 0o755);
                let nobody = rustix::fs::Uid::from_raw(65_534);
                if rustix::thread::set_thread_uid(nobody).is_err() {
                    return None;
                }
            }
            let cache = StatCache::open(&bench.cache_path());
            Some(bench.scan_into(&bench.memory, cache.as_ref(), |_| {}).unwrap())
        };
        scope.spawn(run).join().unwrap()
    });
    bench.tree.set_mode("dir", 0o755);
    let Some(scan) = scan else { return wfr_testkit::skip("cannot become another user") };
    assert_eq!(
        skips(&scan),
        [("dir", SkipReason::Unreadable), ("secret", SkipReason::Unreadable)].map(|(p, r)| (p.to_owned(), r))
    );
    assert!(scan.coverage.skips.iter().all(|skip| skip.detail.as_deref().is_some_and(|text| text.contains("denied"))));
    assert_eq!(bench.entries(&scan.tree).len(), 1);
}
