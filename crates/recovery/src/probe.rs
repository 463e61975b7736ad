//! What a file system can do that a recovery needs.
//!
//! Owns the probes. Refuses to guess from a file system's name: it tries.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{Mode, OFlags, RenameFlags};
use wfr_model::TreePath;

use crate::{beneath, mounts, permissions};

/// What was found out about one mount.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Abilities {
    /// The file system's name, or its number in hexadecimal digits.
    pub file_system: String,
    /// Whether two names can be exchanged.
    pub exchange: bool,
    /// Whether a rename can refuse to replace.
    pub no_replace: bool,
    /// Whether a read lease tells if somebody writes.
    pub leases: bool,
}

impl Abilities {
    /// Whether a recovery in place is possible.
    pub fn allow_recovery(&self) -> bool {
        self.exchange && self.no_replace
    }
}

/// The workspace's root and every mount point below it, by the kernel's list.
pub fn mounts(root: &Path) -> Vec<TreePath> {
    mounts::below(root)
}

/// Which file system is mounted at a directory: a text that stays while it is the same one, also over a restart. `None` where
/// its kind tells none apart by an id that stays.
pub fn file_system_at(root: &Path, mount: &TreePath) -> Option<String> {
    const WITH_ID: [&str; 5] = ["ext4", "btrfs", "f2fs", "tmpfs", "zfs"];
    let dir = beneath::directory(wfr_store::disk::open_dir(root).ok()?, mount).ok()?;
    let name = file_system(&dir);
    let id = rustix::fs::fstatvfs(&dir).ok()?.f_fsid;
    // Older kernels give no id to a tmpfs.
    (id != 0 && WITH_ID.contains(&name.as_str())).then(|| format!("{name} {id:016x}"))
}

/// Whether a mount's root cannot be written only because its owner, who runs this, took that from its mode: a recovery lifts it.
pub fn is_shut_by_its_owner(root: &Path, mount: &TreePath) -> bool {
    let dir = wfr_store::disk::open_dir(root).and_then(|root| beneath::directory(&root, mount));
    dir.and_then(|dir| permissions::needs_lift(&dir)).unwrap_or(false)
}

/// Probes the mount whose root is `mount`, below the workspace root. Leaves nothing behind.
pub fn probe(root: &Path, mount: &TreePath) -> io::Result<Abilities> {
    let root = wfr_store::disk::open_dir(root)?;
    let base = mounts::open_base(root.as_fd(), mount, false)?;
    let abilities = probe_in(&base);
    let parent = beneath::directory(&root, mount)?;
    mounts::remove_if_unused(&base, &parent)?;
    abilities
}

pub(crate) fn probe_in(base: &OwnedFd) -> io::Result<Abilities> {
    let names = ["a", "b"].map(|name| format!(".probe-{name}-{}", std::process::id()));
    let [a, b] = names.each_ref().map(Path::new);
    let clean = || {
        for name in [a, b] {
            let _ = wfr_store::disk::unlink(base, name);
        }
    };
    clean();
    let made = make(base, a).and_then(|()| make(base, b));
    let found = made.map(|()| {
        let rename = |flags| wfr_store::disk::rename(base, a, base, b, flags);
        Abilities {
            file_system: file_system(base),
            exchange: rename(RenameFlags::EXCHANGE).is_ok(),
            no_replace: rename(RenameFlags::NOREPLACE).is_err_and(|error| error.kind() == io::ErrorKind::AlreadyExists),
            leases: beneath::open_file(base, a).is_ok_and(|file| wfr_store::lease::has_writer(&file) == Some(false)),
        }
    });
    clean();
    found
}

fn make(base: &OwnedFd, name: &Path) -> io::Result<()> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL;
    wfr_store::disk::open_at(base, name, flags, Mode::from_raw_mode(0o600)).map(File::from).map(drop)
}

/// The name of the file system that a descriptor stands on.
pub(crate) fn file_system(fd: &OwnedFd) -> String {
    let Ok(stat) = rustix::fs::fstatfs(fd) else { return "unknown".to_owned() };
    let name = match stat.f_type as u32 {
        0xef53 => "ext4",
        0x5846_5342 => "xfs",
        0x9123_683e => "btrfs",
        0x0102_1994 => "tmpfs",
        0x794c_7630 => "overlayfs",
        0x6969 => "nfs",
        0x6573_5546 => "fuse",
        0x4d44 => "vfat",
        0x2fc1_2fc1 => "zfs",
        0xf2f5_2010 => "f2fs",
        0xff53_4d42 | 0xfe53_4d42 => "cifs",
        0x0102_1997 => "9p",
        other => return format!("0x{other:x}"),
    };
    name.to_owned()
}
