//! What the cache saves, and what it may not hide.

use super::*;

#[test]
fn an_unchanged_tree_is_not_read_and_nothing_is_written() {
    let bench = Bench::of(TestTree::of_every_kind());
    let first = bench.scan();
    let bytes = std::fs::read(bench.cache_path()).unwrap();
    let objects = bench.memory.len();
    let again = bench.scan();
    assert_eq!(again.read, ReadCounts::default());
    assert!(!again.cache_changed);
    assert_eq!((again.tree, again.counts, again.hard_links), (first.tree, first.counts, first.hard_links));
    assert_eq!(again.root_meta, first.root_meta);
    assert_eq!(std::fs::read(bench.cache_path()).unwrap(), bytes);
    assert_eq!(bench.memory.len(), objects);
}

#[test]
fn one_change_reads_one_file_and_appends_its_directories() {
    let bench = Bench::new();
    for n in 0..300 {
        bench.tree.write(format!("dir{}/sub/file{n}", n % 10), format!("{n}").as_bytes());
    }
    bench.scan();
    let before = std::fs::metadata(bench.cache_path()).unwrap().len();
    bench.tree.write("dir3/sub/file3", b"other");
    let scan = bench.scan();
    assert_eq!(scan.read, ReadCounts { files: 1, bytes: 5 });
    assert_eq!(scan.tree, bench.scan_fresh().tree);
    let grown = std::fs::metadata(bench.cache_path()).unwrap().len() - before;
    assert!(grown > 0 && grown < before / 4, "{grown} of {before}");
    let again = bench.scan();
    assert!(!again.cache_changed && again.read.files == 0);
    assert_eq!(again.tree, scan.tree);
}

/// What a change is called, and how it is made.
type Change = (&'static str, fn(&TestTree));

#[test]
fn every_kind_of_change_is_noticed() {
    let changes: &[Change] = &[
        ("same length", |tree| tree.write("a.txt", b"a1\n")),
        ("replaced", |tree| {
            tree.write("new", b"a2\n");
            std::fs::rename(tree.at("new"), tree.at("a.txt")).unwrap();
        }),
        ("mode", |tree| tree.set_mode("run.sh", 0o700)),
        ("mtime", |tree| tree.set_mtime("zero", 77, 7)),
        ("mode of a directory", |tree| tree.set_mode("sub/deep", 0o711)),
        ("mtime of a directory", |tree| tree.set_mtime("empty", 5, 5)),
        ("removed", |tree| tree.remove("secret")),
        ("new directory", |tree| tree.dir("empty/below")),
        ("removed directory", |tree| tree.remove("empty/below")),
        ("link turned", |tree| {
            tree.remove("link");
            tree.symlink("link", b"b.txt");
        }),
        ("file to directory", |tree| {
            tree.remove("zero");
            tree.write("zero/child", b"x");
        }),
        ("directory to link", |tree| {
            tree.remove("empty");
            tree.symlink("empty", b"sub");
        }),
        ("same names, another directory", |tree| {
            std::fs::rename(tree.at("sub/deep"), tree.at("old")).unwrap();
            tree.write("sub/deep/c.txt", b"c1\n");
            tree.remove("old");
        }),
        ("directory moved", |tree| std::fs::rename(tree.at("sub"), tree.at("moved")).unwrap()),
        ("two files swapped", |tree| {
            std::fs::rename(tree.at("a.txt"), tree.at("t")).unwrap();
            std::fs::rename(tree.at("run.sh"), tree.at("a.txt")).unwrap();
            std::fs::rename(tree.at("t"), tree.at("run.sh")).unwrap();
        }),
    ];
    let bench = Bench::of(TestTree::of_every_kind());
    let mut last = bench.scan().tree;
    for (what, change) in changes {
        change(&bench.tree);
        let scan = bench.scan();
        assert_ne!(scan.tree, last, "{what}");
        assert_eq!(scan.tree, bench.scan_fresh().tree, "{what}");
        last = scan.tree;
    }
}

#[test]
fn ids_count_only_while_the_store_holds_them() {
    let bench = Bench::of(TestTree::of_every_kind());
    let first = bench.scan();
    let other = Memory::default();
    let cache = StatCache::open(&bench.cache_path());
    let scan = bench.scan_into(&other, cache.as_ref(), |_| {}).unwrap();
    assert_eq!(scan.tree, first.tree);
    assert_eq!(entries(&other, &scan.tree), bench.entries(&first.tree));
    for entry in entries(&other, &scan.tree).values() {
        if let Node::File(content) = &entry.node {
            let mut bytes = Vec::new();
            crate::content::copy_to(&other, content, &mut bytes).unwrap();
        }
    }
    // Trees alone are made anew without reading files.
    let trees_lost = Memory::default();
    for entry in bench.entries(&first.tree).values() {
        if let Node::File(content) = &entry.node {
            crate::content::store_blob(&[], &trees_lost).unwrap();
            for (id, _) in crate::content::chunks(&bench.memory, content).unwrap() {
                let bytes = bench.memory.get(ObjectKind::Blob, &id).unwrap();
                trees_lost.put(ObjectKind::Blob, &id, &bytes).unwrap();
            }
            if let Some(list) = &content.chunks {
                let bytes = bench.memory.get(ObjectKind::Chunks, list).unwrap();
                trees_lost.put(ObjectKind::Chunks, list, &bytes).unwrap();
            }
        }
    }
    let scan = bench.scan_into(&trees_lost, cache.as_ref(), |_| {}).unwrap();
    assert_eq!(scan.read.files, 0);
    assert!(!scan.cache_changed, "the listings said the right thing");
    assert_eq!(entries(&trees_lost, &scan.tree), bench.entries(&first.tree));
}

#[test]
fn paranoid_reads_everything_again() {
    let bench = Bench::of(TestTree::of_every_kind());
    let first = bench.scan();
    let cache = StatCache::open(&bench.cache_path());
    let scan = bench.scan_into(&bench.memory, cache.as_ref(), |options| options.paranoid = true).unwrap();
    assert_eq!((scan.tree, scan.read), (first.tree, first.read));
    bench.save(&scan);
    assert_eq!(bench.scan().read.files, 0);
}

#[test]
fn the_cache_of_another_directory_does_no_harm() {
    let bench = Bench::of(TestTree::of_every_kind());
    bench.scan();
    let other = Bench::new();
    other.tree.write("a.txt", b"not the same");
    let cache = StatCache::open(&bench.cache_path());
    let scan = other.scan_into(&other.memory, cache.as_ref(), |_| {}).unwrap();
    assert_eq!(scan.tree, other.scan_fresh().tree);
}

#[test]
fn a_file_that_is_mostly_dead_is_written_anew() {
    let bench = Bench::new();
    for n in 0..1_500 {
        bench.tree.write(format!("flat/file{n}"), b"");
    }
    bench.scan();
    let mut sizes = Vec::new();
    for n in 0..20u32 {
        bench.tree.write("flat/file7", &n.to_le_bytes());
        let scan = bench.scan();
        assert_eq!(scan.read.files, 1);
        assert_eq!(scan.tree, bench.scan_fresh().tree);
        sizes.push(std::fs::metadata(bench.cache_path()).unwrap().len());
    }
    assert!(!sizes.is_sorted(), "{sizes:?}");
    assert!(*sizes.iter().max().unwrap() < 2_500_000, "{sizes:?}");
    assert_eq!(bench.scan().read.files, 0);
}

#[test]
fn of_two_scans_at_once_one_writes_the_cache() {
    let bench = Bench::of(TestTree::of_every_kind());
    bench.scan();
    bench.tree.write("a.txt", b"changed");
    let cache = StatCache::open(&bench.cache_path());
    let one = bench.scan_into(&bench.memory, cache.as_ref(), |_| {}).unwrap();
    bench.tree.write("sub/deep/new", b"by then");
    let two = bench.scan_into(&bench.memory, cache.as_ref(), |_| {}).unwrap();
    bench.save(&two);
    let bytes = std::fs::read(bench.cache_path()).unwrap();
    bench.save(&one);
    assert_eq!(std::fs::read(bench.cache_path()).unwrap(), bytes);
    let scan = bench.scan();
    assert_eq!((scan.tree, scan.read.files), (two.tree, 0));
    // One whose file was replaced meanwhile leaves the new one alone.
    bench.tree.write("a.txt", b"changed again");
    let late = bench.scan_into(&bench.memory, StatCache::open(&bench.cache_path()).as_ref(), |_| {}).unwrap();
    bench.save(&bench.scan_fresh());
    let bytes = std::fs::read(bench.cache_path()).unwrap();
    bench.save(&late);
    assert_eq!(std::fs::read(bench.cache_path()).unwrap(), bytes);
}

#[test]
fn readers_keep_seeing_the_cache_they_opened() {
    let bench = Bench::of(TestTree::of_every_kind());
    bench.scan();
    let old = StatCache::open(&bench.cache_path());
    for n in 0..5u8 {
        bench.tree.write("sub/deep/c.txt", &[n]);
        bench.scan();
    }
    let scan = bench.scan_into(&bench.memory, old.as_ref(), |_| {}).unwrap();
    assert_eq!(scan.read.files, 1);
    assert_eq!(scan.tree, bench.scan_fresh().tree);
}

#[test]
fn another_device_number_of_the_whole_tree_is_no_change() {
    let bench = Bench::new();
    bench.tree.write("file", b"x");
    let mut stat = stat::at(disk::open_dir(bench.tree.path()).unwrap(), c"file", false).unwrap();
    let mut bytes = Vec::new();
    listing::Fresh::of(c"file", listing::Kind::File, &stat, stat.dev).encode(&mut bytes);
    listing::Fresh::of(c"mounted", listing::Kind::File, &stat, stat.dev + 1).encode(&mut bytes);
    let mut listing = Vec::new();
    let (mtime, ctime) = (stat.mtime, stat.ctime);
    let head = listing::Head { flags: 0, dev: 0, ino: 1, mtime, ctime, tree: Digest::ZERO, xattrs: &[] };
    head.encode(&mut listing);
    listing.extend_from_slice(&bytes);
    let parsed = listing::Listing::parse(&listing).unwrap();
    let cached: Vec<_> = parsed.entries().collect();
    let dev = stat.dev;
    assert!(cached[0].is_same(&stat, dev) && cached[1].is_same(&stat, dev + 1));
    stat.dev = 12_345;
    assert!(cached[0].is_same(&stat, 12_345), "mounted again with another number");
    assert!(!cached[0].is_same(&stat, dev), "another file system in the root's");
    assert!(!cached[1].is_same(&stat, 12_345), "was another file system, is the root's");
}
