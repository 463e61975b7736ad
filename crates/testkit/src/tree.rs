//! A temporary directory that tests fill by hand.
//!
//! Owns short calls for every kind of entry and their metadata. Refuses to guess: what cannot be made panics.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FileType, Mode, Timespec, Timestamps, XattrFlags};
use tempfile::TempDir;

use crate::must;

/// A directory that is removed with this value. Paths are relative to it; parents are made where missing.
pub struct TestTree {
    dir: TempDir,
}

impl Default for TestTree {
    fn default() -> Self {
        Self::new()
    }
}

impl TestTree {
    /// An empty directory.
    #[track_caller]
    pub fn new() -> Self {
        Self { dir: must(tempfile::Builder::new().prefix("wfr-test-").tempdir(), "make a temporary directory") }
    }

    /// A small tree with every kind of entry that a workspace can hold: see the code for the names.
    #[track_caller]
    pub fn of_every_kind() -> Self {
        let tree = Self::new();
        tree.write("a.txt", b"a0\n");
        tree.write("sub/deep/c.txt", b"c0\n");
        tree.write("zero", b"");
        tree.write("big.bin", &noise(3 << 20));
        tree.write("run.sh", b"#!/bin/sh\n");
        tree.set_mode("run.sh", 0o755);
        tree.write("secret", b"s0\n");
        tree.set_mode("secret", 0o600);
        tree.write("sub/read-only", b"r0\n");
        tree.set_mode("sub/read-only", 0o444);
        tree.dir("empty");
        tree.symlink("link", b"a.txt");
        tree.symlink("dangling", b"no/such/file");
        tree.symlink("to-dir", b"sub");
        tree.hard_link("a.txt", "sub/a-again");
        for name in [&b"-dash"[..], b"line\nbreak", b"esc\x1b[31m", b"caf\xc3\xa9", b"cafe\xcc\x81", b"raw\xff"] {
            tree.write(OsStr::from_bytes(name), name);
        }
        tree.set_mtime("secret", 1, 5);
        tree.set_mtime("sub/deep", 1_600_000_000, 123_456_789);
        tree
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// The full path of an entry.
    pub fn at(&self, path: impl AsRef<Path>) -> PathBuf {
        self.dir.path().join(path)
    }

    /// The full path of an entry, with its parents made.
    #[track_caller]
    fn place(&self, path: impl AsRef<Path>) -> PathBuf {
        let full = self.at(path);
        if let Some(parent) = full.parent() {
            must(fs::create_dir_all(parent), parent.display());
        }
        full
    }

    /// Makes a directory.
    #[track_caller]
    pub fn dir(&self, path: impl AsRef<Path>) {
        let full = self.place(path);
        must(fs::create_dir_all(&full), full.display());
    }

    /// Writes a file, new or over the old bytes of the same inode.
    #[track_caller]
    pub fn write(&self, path: impl AsRef<Path>, bytes: &[u8]) {
        let full = self.place(path);
        must(fs::write(&full, bytes), full.display());
    }

    /// Makes a symbolic link to any bytes.
    #[track_caller]
    pub fn symlink(&self, path: impl AsRef<Path>, target: &[u8]) {
        let full = self.place(path);
        must(symlink(OsStr::from_bytes(target), &full), full.display());
    }

    /// Gives a file a second name.
    #[track_caller]
    pub fn hard_link(&self, old: impl AsRef<Path>, new: impl AsRef<Path>) {
        let full = self.place(new);
        must(fs::hard_link(self.at(old), &full), full.display());
    }

    /// Makes a named pipe.
    #[track_caller]
    pub fn fifo(&self, path: impl AsRef<Path>) {
        let full = self.place(path);
        must(rustix::fs::mknodat(CWD, &full, FileType::Fifo, Mode::from_raw_mode(0o644), 0), full.display());
    }

    /// Makes a local socket that nobody listens on.
    #[track_caller]
    pub fn socket(&self, path: impl AsRef<Path>) {
        let full = self.place(path);
        must(UnixListener::bind(&full), full.display());
    }

    /// Sets permission bits.
    #[track_caller]
    pub fn set_mode(&self, path: impl AsRef<Path>, mode: u32) {
        let full = self.at(path);
        must(fs::set_permissions(&full, fs::Permissions::from_mode(mode)), full.display());
    }

    /// Sets the modification time of an entry, a symbolic link's own included.
    #[track_caller]
    pub fn set_mtime(&self, path: impl AsRef<Path>, secs: i64, nanos: u32) {
        let full = self.at(path);
        let mtime = Timespec { tv_sec: secs, tv_nsec: nanos.into() };
        let times = Timestamps { last_access: mtime, last_modification: mtime };
        must(rustix::fs::utimensat(CWD, &full, &times, AtFlags::SYMLINK_NOFOLLOW), full.display());
    }

    /// Sets an extended attribute; `false` where the file system has none.
    #[track_caller]
    pub fn set_xattr(&self, path: impl AsRef<Path>, name: &str, value: &[u8]) -> bool {
        let full = self.at(path);
        match rustix::fs::lsetxattr(&full, name, value, XattrFlags::empty()) {
            Err(rustix::io::Errno::OPNOTSUPP) => false,
            other => {
                must(other, full.display());
                true
            }
        }
    }

    /// Removes an entry, a directory with all it holds.
    #[track_caller]
    pub fn remove(&self, path: impl AsRef<Path>) {
        let full = self.at(path);
        let meta = must(full.symlink_metadata(), full.display());
        let done = if meta.is_dir() { fs::remove_dir_all(&full) } else { fs::remove_file(&full) };
        must(done, full.display());
    }

    /// A file's bytes.
    #[track_caller]
    pub fn read(&self, path: impl AsRef<Path>) -> Vec<u8> {
        let full = self.at(path);
        must(fs::read(&full), full.display())
    }
}

/// Bytes that do not compress, the same at every call.
fn noise(length: usize) -> Vec<u8> {
    crate::Prng::new(length as u64).bytes(length)
}
