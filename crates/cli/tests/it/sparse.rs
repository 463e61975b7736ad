//! Sparse files: a large one costs what is in it, and comes back the same, with its holes.
//!
//! Owns what is read, stored and written of them. Refuses to know how holes are found.

use std::fs::File;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

use wfr_testkit::TestTree;

use crate::mount::Mount;
use crate::world::World;

const SIZE: u64 = 1 << 30;
const BYTES: &[u8] = b"a few bytes in a sea of zeros";
/// Where they stand: at the beginning, across the border of a block, and at the end.
const AT: [u64; 3] = [0, 500_000_001, SIZE - BYTES.len() as u64];

fn make(path: &Path) -> File {
    let file = File::options().read(true).write(true).create_new(true).open(path).unwrap();
    file.set_len(SIZE).unwrap();
    AT.iter().for_each(|at| file.write_all_at(BYTES, *at).unwrap());
    file
}

fn kilobytes(file: &File) -> u64 {
    file.metadata().unwrap().blocks() / 2
}

#[test]
fn a_sparse_file_comes_back_with_its_holes() {
    let world = World::unprotected(TestTree::new());
    world.ok(&["init"]);
    let room = kilobytes(&make(&world.tree.at("disk.img")));
    if room > 1_024 {
        return wfr_testkit::skip("the file system makes no holes");
    }
    let stored = world.checkpoint("base").result("size_bytes").as_u64().unwrap();
    assert!(stored < 100_000, "{stored} bytes are stored");
    let before = world.ok(&["show", "base", "--files"]);
    std::fs::remove_file(world.tree.at("disk.img")).unwrap();
    world.ok(&["restore", "wf", "base", "--yes", "--exact-mtime"]);
    let file = File::open(world.tree.at("disk.img")).unwrap();
    assert_eq!(file.metadata().unwrap().len(), SIZE);
    assert!(kilobytes(&file) <= 1_024, "{} KiB are taken, {room} were", kilobytes(&file));
    let mut found = [0; BYTES.len()];
    for at in AT {
        file.read_exact_at(&mut found, at).unwrap();
        assert_eq!(found, *BYTES, "at {at}");
    }
    // The next checkpoint reads it again: all bytes have the same SHA-256.
    world.checkpoint("again");
    let entry = |shown: &crate::world::Ended| {
        let files = shown.result("files").as_array().unwrap().clone();
        files.into_iter().find(|file| file["path"] == "disk.img").unwrap()
    };
    assert_eq!(entry(&world.ok(&["show", "again", "--files"]))["hash"], entry(&before)["hash"]);
}

#[test]
fn room_is_needed_for_what_is_written_only() {
    let world = World::new();
    let Some(mount) = Mount::new(&world.tree.at("small"), "32m") else {
        return wfr_testkit::skip("mounting a small file system needs root");
    };
    make(&mount.at("disk.img"));
    world.checkpoint("base");
    std::fs::remove_file(mount.at("disk.img")).unwrap();
    world.ok(&["restore", "wf", "base", "--yes"]);
    assert_eq!(mount.at("disk.img").metadata().unwrap().len(), SIZE);
    world.ok(&["undo", "--yes"]);
    assert!(!mount.at("disk.img").exists());
}
