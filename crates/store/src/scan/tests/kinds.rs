//! Every kind of entry, and what is left out.

use std::os::unix::fs::MetadataExt as _;

use wfr_model::entry::Kind;

use super::*;
use crate::object::hash;

#[test]
fn every_kind_of_entry_is_recorded_as_it_stands() {
    let bench = Bench::of(TestTree::of_every_kind());
    bench.tree.fifo("pipe");
    bench.tree.socket("socket");
    let scan = bench.scan_fresh();
    let entries = bench.entries(&scan.tree);
    let special = ["pipe", "socket"].map(|path| (path.to_owned(), SkipReason::SpecialFile));
    assert_eq!(skips(&scan), special);
    assert_eq!(scan.counts.directories, 3);
    assert_eq!(scan.counts.files + 3, entries.len() as u64);
    let meta = |path: &str| std::fs::symlink_metadata(bench.tree.at(path)).unwrap();
    for (path, entry) in &entries {
        let bytes = wfr_model::path::unescape(path).unwrap();
        let real = meta(std::str::from_utf8(&bytes).unwrap_or("a.txt"));
        if std::str::from_utf8(&bytes).is_ok() {
            assert_eq!(entry.meta.mode, real.mode() & 0o7777, "{path}");
            assert_eq!((entry.meta.uid, entry.meta.gid), (real.uid(), real.gid()));
            let mtime = (entry.meta.mtime.secs, i64::from(entry.meta.mtime.nanos));
            assert_eq!(mtime, (real.mtime(), real.mtime_nsec()), "{path}");
        }
    }
    for file in ["a.txt", "sub/a-again", "sub/deep/c.txt", "zero", "big.bin", "line\nbreak", "esc\u{1b}[31m"] {
        assert_eq!(hash_of(&entries[file]), hash(&bench.tree.read(file)), "{file}");
    }
    assert_eq!(hash_of(&entries["raw\\xff"]), hash(b"raw\xff"));
    assert_eq!(entries["to-dir"].node, Node::Symlink(b"sub".to_vec()));
    assert_eq!(entries["dangling"].node, Node::Symlink(b"no/such/file".to_vec()));
    assert_eq!(entries["empty"].node.kind(), Kind::Dir);
    assert_eq!(entries["pipe"].node, Node::Fifo);
    assert_eq!(entries["socket"].node, Node::Socket);
    assert!(!entries.contains_key("to-dir/deep"), "a link to a directory is not followed");
    assert_eq!(scan.root_meta.mode, meta("").mode() & 0o7777);
}

#[test]
fn hard_links_are_grouped_where_both_names_are_inside() {
    let bench = Bench::new();
    let outside = TestTree::new();
    outside.write("x", b"shared with the outside");
    bench.tree.write("b/one", b"1");
    bench.tree.hard_link("b/one", "a/uno");
    bench.tree.hard_link("b/one", "z");
    bench.tree.write("c/two", b"2");
    bench.tree.hard_link("c/two", "a/two");
    std::fs::hard_link(outside.at("x"), bench.tree.at("alone")).unwrap();
    for _ in 0..2 {
        let scan = bench.scan();
        let groups = links::read(&bench.memory, &scan.hard_links.unwrap()).unwrap();
        let text: Vec<Vec<String>> = groups.iter().map(|g| g.iter().map(|path| path.to_string()).collect()).collect();
        assert_eq!(text, [vec!["a/two", "c/two"], vec!["a/uno", "b/one", "z"]]);
    }
    for path in ["a/two", "a/uno", "z"] {
        bench.tree.remove(path);
    }
    assert_eq!(bench.scan().hard_links, None);
}

#[test]
fn attributes_are_kept_and_their_change_is_noticed() {
    let bench = Bench::new();
    bench.tree.write("dir/file", b"x");
    if !bench.tree.set_xattr("dir/file", "user.b", b"2") {
        return wfr_testkit::skip("the file system has no extended attributes");
    }
    bench.tree.set_xattr("dir/file", "user.a", b"");
    bench.tree.set_xattr("dir", "user.d", b"\0\xff");
    let xattr = |name: &str, value: &[u8]| (name.as_bytes().to_vec(), value.to_vec());
    for round in 0..2 {
        let scan = bench.scan();
        let entries = bench.entries(&scan.tree);
        assert_eq!(entries["dir/file"].xattrs, [xattr("user.a", b""), xattr("user.b", b"2")]);
        assert_eq!(entries["dir"].xattrs, [xattr("user.d", b"\0\xff")]);
        assert_eq!(scan.read.files, 1 - round);
    }
    bench.tree.set_xattr("dir/file", "user.long", &[b'l'; 2_000]);
    bench.tree.set_xattr("dir", "user.d", b"new");
    let entries = bench.entries(&bench.scan().tree);
    assert_eq!(entries["dir/file"].xattrs[2], xattr("user.long", &[b'l'; 2_000]));
    assert_eq!(entries["dir"].xattrs, [xattr("user.d", b"new")]);
}

#[test]
fn names_and_tags_leave_things_out() {
    let mut bench = Bench::new();
    bench.rules.exclude = vec![b".git".to_vec(), b"node_modules".to_vec()];
    let tag = b"Signature: 8a477f597d28d172789f06886806bc55\n# a cache";
    for path in [".git/HEAD", "a/.git/HEAD", "a/node_modules/m/x.js", "a/src.rs", ".claude/recovery/x"] {
        bench.tree.write(path, b"x");
    }
    bench.tree.write("submodule/.git", b"gitdir: elsewhere");
    bench.tree.symlink("linked/.git", b"/elsewhere");
    bench.tree.write("cache/CACHEDIR.TAG", tag);
    bench.tree.write("cache/deep/file", b"x");
    bench.tree.write("no-cache/CACHEDIR.TAG", &tag[1..]);
    bench.tree.symlink("link-cache/CACHEDIR.TAG", b"../cache/CACHEDIR.TAG");
    bench.tree.fifo("pipe-cache/CACHEDIR.TAG");
    bench.tree.write("CACHEDIR.TAG", tag);
    bench.tree.write("sub/.wfr-staging/1", b"x");
    bench.tree.write("sub/.claude/recovery/mine", b"x");
    bench.tree.write(".claude/settings.json", b"x");
    bench.tree.write("vault/packs/1", b"x");
    let vault = std::fs::metadata(bench.tree.at("vault")).unwrap();
    bench.rules.own = vec![(vault.dev(), vault.ino())];
    let expected = [
        (".claude/recovery", SkipReason::OwnFiles),
        (".git", SkipReason::Excluded),
        ("a/.git", SkipReason::Excluded),
        ("a/node_modules", SkipReason::Excluded),
        ("cache", SkipReason::CachedirTag),
        ("linked/.git", SkipReason::Excluded),
        ("pipe-cache/CACHEDIR.TAG", SkipReason::SpecialFile),
        ("sub/.wfr-staging", SkipReason::OwnFiles),
        ("submodule/.git", SkipReason::Excluded),
        ("vault", SkipReason::OwnFiles),
    ]
    .map(|(path, reason)| (path.to_owned(), reason));
    for _ in 0..3 {
        let scan = bench.scan();
        assert_eq!(skips(&scan), expected);
        assert!(scan.coverage.is_complete());
        let entries = bench.entries(&scan.tree);
        assert!(entries.contains_key("sub/.claude/recovery/mine"));
        assert!(entries.contains_key("no-cache/CACHEDIR.TAG"));
        assert!(entries.contains_key(".claude/settings.json"));
        assert!(!entries.contains_key("cache") && !entries.contains_key("vault"));
    }
    // The tag's content may change without a trace in its directory.
    std::fs::write(bench.tree.at("cache/CACHEDIR.TAG"), b"no more").unwrap();
    std::fs::write(bench.tree.at("no-cache/CACHEDIR.TAG"), tag).unwrap();
    let entries = bench.entries(&bench.scan().tree);
    assert!(entries.contains_key("cache/deep/file") && !entries.contains_key("no-cache"));
}

#[test]
fn kept_paths_are_captured_against_the_rules() {
    let mut bench = Bench::new();
    bench.rules.exclude = vec![b"build".to_vec()];
    bench.tree.write("src/CACHEDIR.TAG", rules::TAG_SIGNATURE);
    bench.tree.write("src/build/out", b"x");
    bench.tree.write("build/out", b"x");
    bench.tree.write("src/sub/build/out", b"x");
    assert_eq!(skips(&bench.scan()).len(), 2);
    bench.rules.keep = ["src", "src/sub/build"].map(|text| text.parse().unwrap()).to_vec();
    let scan = bench.scan();
    let left_out: Vec<String> = skips(&scan).into_iter().map(|(path, _)| path).collect();
    assert_eq!(left_out, ["build", "src/build"]);
    assert!(bench.entries(&scan.tree).contains_key("src/sub/build/out"));
    assert_eq!(scan.tree, bench.scan_fresh().tree);
}

#[test]
fn changed_rules_are_applied_to_unchanged_directories() {
    let mut bench = Bench::new();
    bench.tree.write("a/skip/file", b"x");
    bench.tree.write("a/file", b"y");
    let whole = bench.scan().tree;
    bench.rules.exclude = vec![b"skip".to_vec()];
    let scan = bench.scan();
    assert_eq!(skips(&scan), [("a/skip".to_owned(), SkipReason::Excluded)]);
    assert_eq!(scan.read.files, 0);
    assert!(!bench.scan().cache_changed);
    bench.rules.exclude.clear();
    let scan = bench.scan();
    assert_eq!((scan.tree, scan.read.files), (whole, 1));
}

#[test]
fn devices_are_named_as_skips() {
    let bench = Bench::new();
    let dir = disk::open_dir(bench.tree.path()).unwrap();
    let (kind, mode) = (rustix::fs::FileType::CharacterDevice, rustix::fs::Mode::RUSR);
    if rustix::fs::mknodat(&dir, "null", kind, mode, rustix::fs::makedev(1, 3)).is_err() {
        return wfr_testkit::skip("no permission to make a device");
    }
    for round in 0..2 {
        let scan = bench.scan();
        assert_eq!(skips(&scan), [("null".to_owned(), SkipReason::SpecialFile)]);
        assert!(bench.entries(&scan.tree).is_empty());
        assert_eq!(scan.cache_changed, round == 0);
    }
}

#[test]
fn a_dry_scan_yields_the_same_tree_and_keeps_no_content() {
    let bench = Bench::of(TestTree::of_every_kind());
    let empty = Memory::default();
    let dry = Dry::over(&empty);
    let scan = bench.scan_into(&dry, None, |_| {}).unwrap();
    let real = bench.scan_fresh();
    assert_eq!((scan.tree, scan.hard_links), (real.tree, real.hard_links));
    assert_eq!(entries(&dry, &scan.tree), bench.entries(&real.tree));
    assert_eq!(empty.len(), 0);
    assert!(!Objects::has(&dry, &hash(b"a0\n")));
    let big = &entries(&dry, &scan.tree)["big.bin"];
    let Node::File(content) = &big.node else { panic!("{big:?}") };
    assert!(crate::content::chunks(&dry, content).unwrap().len() > 1);
}

/// A bind mount that ends with this value.
struct Bound(std::path::PathBuf);

impl Drop for Bound {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg(&self.0).status();
    }
}

#[test]
fn directories_on_another_mount_are_named() {
    let bench = Bench::new();
    let other = TestTree::new();
    other.write("deep/file", b"x");
    bench.tree.dir("a/mounted");
    bench.tree.write("a/file", b"y");
    let before = bench.scan();
    assert_eq!(before.mounts, []);
    let place = bench.tree.at("a/mounted");
    let mut mount = std::process::Command::new("mount");
    let mount = mount.arg("--bind").arg(other.path()).arg(&place).stderr(std::process::Stdio::null());
    if !mount.status().is_ok_and(|status| status.success()) {
        return wfr_testkit::skip("no permission to mount");
    }
    let bound = Bound(place);
    for read in [1, 0] {
        let scan = bench.scan();
        assert_eq!(scan.mounts, ["a/mounted".parse().unwrap()], "only where the mount begins");
        assert!(bench.entries(&scan.tree).contains_key("a/mounted/deep/file"));
        assert_eq!(scan.read.files, read);
    }
    drop(bound);
    assert_eq!(bench.scan().tree, before.tree);
}
