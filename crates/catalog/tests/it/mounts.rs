//! Small file systems in memory: one filled to its last block, one that can't be written.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use wfr_catalog::{Catalog, CatalogError, IntegrityLevel};

use crate::sample::{add, checkpoint, ckpt, commit, make, op};

/// A mounted tmpfs; unmounted when dropped.
struct Mount(PathBuf);

impl Mount {
    /// `None` where this process may not mount.
    fn new(at: &Path) -> Option<Self> {
        let done = Command::new("mount").args(["-t", "tmpfs", "-o", "size=1m", "tmpfs"]).arg(at).output().ok()?;
        done.status.success().then(|| Self(at.to_owned()))
    }

    /// Remounts it read-only. It is busy while a process that another test is just starting holds a file of it.
    fn freeze(&self) {
        let remount = || Command::new("mount").args(["-o", "remount,ro"]).arg(&self.0).status().unwrap().success();
        assert!((0..100).any(|_| remount()));
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).output();
    }
}

/// Fills the file system that holds a directory.
fn fill(dir: &Path) {
    let mut file = File::create(dir.join("ballast")).unwrap();
    let error = std::iter::repeat_with(|| file.write_all(&[7; 512])).find_map(Result::err).unwrap();
    assert_eq!(error.kind(), std::io::ErrorKind::StorageFull);
}

/// Gives the room back that was filled. A file that is only removed may keep it for a while: a process that another test
/// is just starting holds every open file until it runs its own program.
fn empty(dir: &Path) {
    let ballast = File::options().write(true).open(dir.join("ballast")).unwrap();
    ballast.set_len(0).unwrap();
    fs::remove_file(dir.join("ballast")).unwrap();
}

#[test]
fn a_full_disk_refuses_commits_and_keeps_what_was() {
    let dir = tempfile::tempdir().unwrap();
    let Some(mount) = Mount::new(dir.path()) else {
        return wfr_testkit::skip("mounting a small file system needs root");
    };
    let catalog = make(&mount.0);
    add(&catalog, 1, |_| {});
    fill(&mount.0);
    // Until the log's last block is used up commits may go on; then every one is refused.
    let mut last = 1;
    let refused = loop {
        match commit(&catalog, checkpoint(last + 1), last + 1) {
            Ok(_) => last += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(refused, CatalogError::Full { .. }), "{refused}");
    assert_eq!(catalog.head().unwrap().unwrap().checkpoint_id, ckpt(last));
    drop(catalog);
    reads_on_the_full_disk(&mount.0, last);
    empty(&mount.0);
    let catalog = Catalog::open(&mount.0.join("catalog.db")).unwrap();
    assert_eq!(catalog.integrity_check(IntegrityLevel::Full).unwrap(), [""; 0]);
    assert_eq!(catalog.chain().unwrap().len() as u64, last);
    add(&catalog, last + 1, |_| {});
}

/// A new process could not make its shared memory: reading falls back to its own.
fn reads_on_the_full_disk(dir: &Path, last: u64) {
    fs::remove_file(dir.join("catalog.db-shm")).unwrap();
    fill(dir);
    let reader = Catalog::open_read_only(&dir.join("catalog.db")).unwrap();
    assert_eq!(reader.resolve(None, "latest").unwrap().checkpoint_id, ckpt(last));
    assert_eq!(reader.chain().unwrap().len() as u64, last);
}

#[test]
fn a_read_only_medium_is_read() {
    for with_log in [true, false] {
        let dir = tempfile::tempdir().unwrap();
        let Some(mount) = Mount::new(dir.path()) else {
            return wfr_testkit::skip("mounting a small file system needs root");
        };
        let catalog = make(&mount.0);
        add(&catalog, 1, |_| {});
        if !with_log {
            catalog.checkpoint_wal().unwrap();
        }
        drop(catalog);
        if !with_log {
            fs::remove_file(mount.0.join("catalog.db-wal")).unwrap();
            fs::remove_file(mount.0.join("catalog.db-shm")).unwrap();
        }
        mount.freeze();
        let reader = Catalog::open_read_only(&mount.0.join("catalog.db")).unwrap();
        assert_eq!(reader.resolve(None, "latest").unwrap().checkpoint_id, ckpt(1), "with log: {with_log}");
        assert_eq!(reader.integrity_check(IntegrityLevel::Full).unwrap(), [""; 0]);
        assert!(matches!(reader.record_operation(&op(2, "x")), Err(CatalogError::ReadOnly { .. })));
    }
}
