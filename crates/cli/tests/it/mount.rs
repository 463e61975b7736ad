//! Small file systems in memory.
//!
//! Owns mounting, filling and unmounting them. Refuses to know what is put there.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A mounted file system; unmounted when dropped.
pub struct Mount(PathBuf);

impl Mount {
    /// Of so many bytes, in the words of mount; `None` where this process may not mount.
    pub fn new(at: &Path, size: &str) -> Option<Self> {
        std::fs::create_dir_all(at).unwrap();
        let options = format!("size={size}");
        let done = Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(at).output().ok()?;
        done.status.success().then(|| Self(at.to_owned()))
    }

    /// Of what is in a directory, or of a file, which is seen at a second place.
    pub fn bind(at: &Path, from: &Path) -> Option<Self> {
        let done = Command::new("mount").arg("--bind").args([from, at]).output().ok()?;
        done.status.success().then(|| Self(at.to_owned()))
    }

    /// One that grows without bounds, and so says that it has no room.
    pub fn without_bounds(at: &Path) -> Option<Self> {
        std::fs::create_dir_all(at).unwrap();
        let done = Command::new("mount").args(["-t", "ramfs", "ramfs"]).arg(at).output().ok()?;
        done.status.success().then(|| Self(at.to_owned()))
    }

    pub fn at(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Takes all the room that there is.
    pub fn fill(&self) {
        let mut file = File::create(self.at("ballast")).unwrap();
        let block = [7; 4_096];
        while file.write_all(&block).is_ok() {}
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).output();
    }
}
