//! File systems for trials: mounted for the time of a value, unmounted with it.
//!
//! Owns mounting and the simulated power cut. Refuses to run where root may not mount: it says so.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::world::{run, said};

/// Ends an ext4 or XFS file system at once without flushing its log (`EXT4_IOC_SHUTDOWN` with
/// `EXT4_GOING_FLAGS_NOLOGFLUSH`). By Python, because a raw ioctl from Rust would need `unsafe`.
const CUT: &str = "import fcntl, os, struct, sys\n\
fcntl.ioctl(os.open(sys.argv[1], os.O_RDONLY), 0x8004587d, struct.pack('I', 2))";

/// A mounted file system; dropping it unmounts.
pub struct Mount {
    at: PathBuf,
}

impl Mount {
    /// Mounts a tmpfs of `bytes` bytes at a directory, which is made where missing.
    pub fn tmpfs(at: &Path, bytes: u64) -> Result<Self, String> {
        Self::new(at, &["-t", "tmpfs", "-o", &format!("size={bytes},mode=0755"), "tmpfs"])
    }

    /// Mounts an image file through a loop device.
    pub fn image(at: &Path, image: &Path) -> Result<Self, String> {
        Self::new(at, &["-o", "loop", &image.to_string_lossy()])
    }

    /// Mounts a directory a second time.
    pub fn bind(at: &Path, of: &Path) -> Result<Self, String> {
        Self::new(at, &["--bind", &of.to_string_lossy()])
    }

    fn new(at: &Path, arguments: &[&str]) -> Result<Self, String> {
        fs::create_dir_all(at).map_err(said("make a mount point"))?;
        run(Command::new("mount").args(arguments).arg(at))?;
        Ok(Self { at: at.to_owned() })
    }

    /// As if the power went: what was not flushed is lost, and nothing works until the next mount.
    pub fn cut_power(&self) -> Result<(), String> {
        run(Command::new("python3").args(["-c", CUT]).arg(&self.at)).map(drop)
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        if run(Command::new("umount").arg(&self.at)).is_err() {
            // Busy, which a check that failed half way can leave behind: detach it for when it is free.
            drop(run(Command::new("umount").arg("-l").arg(&self.at)));
        }
    }
}

/// Makes an empty ext4 file system of `megabytes` in a file.
pub fn make_ext4(image: &Path, megabytes: u64) -> Result<(), String> {
    let file = File::create(image).map_err(said("make the image"))?;
    file.set_len(megabytes << 20).map_err(said("make the image"))?;
    run(Command::new("mkfs.ext4").args(["-q", "-F", "-E", "lazy_itable_init=1,lazy_journal_init=1"]).arg(image))
        .map(drop)
}

/// Whether this process may mount, tried with a small tmpfs; the error says why not.
pub fn permitted(below: &Path) -> Result<(), String> {
    let dir = tempfile::tempdir_in(below).map_err(said("make a directory"))?;
    Mount::tmpfs(dir.path(), 1 << 20).map(drop)
}
