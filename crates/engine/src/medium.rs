//! What a store stands on: file systems over a network are named, since the catalog's locks and its log may not hold there.
//!
//! Owns finding the name. Refuses to forbid anything: some of them keep what they are asked for, and nothing tells which.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::{major, minor};
use wfr_model::finding::{Finding, Severity};

/// What the kernel calls file systems over a network (`statfs(2)` and its sources), by their magic numbers.
const NETWORKS: [(u32, &str); 10] = [
    (0x6969, "nfs"),
    (0x517b, "smb"),
    (0xff53_4d42, "cifs"),
    (0xfe53_4d42, "smb2"),
    (0x0102_1997, "9p"),
    (0x5346_414f, "afs"),
    (0x00c3_6400, "ceph"),
    (0x7375_7245, "coda"),
    (0x564c, "ncp"),
    (0x0bd0_0bd0, "lustre"),
];

/// The magic number of all that programs provide.
const FUSE: u32 = 0x6573_5546;

/// Programs that bring something from elsewhere, as `proc_pid_mountinfo(5)` names their file systems.
const PROGRAMS: [&str; 18] = [
    "sshfs",
    "rclone",
    "s3fs",
    "goofys",
    "gcsfuse",
    "blobfuse",
    "blobfuse2",
    "mount-s3",
    "davfs",
    "glusterfs",
    "ceph-fuse",
    "ceph",
    "juicefs",
    "mfs",
    "curlftpfs",
    "gvfsd-fuse",
    "smbnetfs",
    "vmhgfs-fuse",
];

/// The network's file system that a directory is on, by name; `None` where it is on none, as far as can be found out.
pub fn network(dir: &Path) -> Option<String> {
    let magic = rustix::fs::statfs(dir).ok()?.f_type as u32;
    if let Some((_, name)) = NETWORKS.iter().find(|(number, _)| *number == magic) {
        return Some((*name).to_owned());
    }
    if magic != FUSE {
        return None;
    }
    let device = std::fs::metadata(dir).ok()?.dev();
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").ok()?;
    provided(&mounts, device)
}

/// The network's file system that a program provides as this device, by the kernel's list of mounts.
fn provided(mounts: &str, device: u64) -> Option<String> {
    let numbers = format!("{}:{}", major(device), minor(device));
    let line = mounts.lines().find(|line| line.split(' ').nth(2) == Some(&numbers))?;
    let (_, after) = line.split_once(" - ")?;
    let kind = after.split(' ').next()?;
    let program = kind.strip_prefix("fuse.")?;
    PROGRAMS.contains(&program).then(|| kind.to_owned())
}

/// What is wrong with a store there, in one sentence.
pub fn warning(store: &Path) -> Option<String> {
    let name = network(store)?;
    Some(format!(
        "the store {} is on {name}, a file system over a network: the locks of its catalog may not hold there, and two \
         machines that use it at once can damage it",
        store.display()
    ))
}

/// What to do about it.
pub const FIX: &str = "keep the store on a disk of this machine: move its directory there, then `wfr init --store DIR`";

/// The same as a finding.
pub fn finding(store: &Path) -> Option<Finding> {
    warning(store).map(|message| Finding::new("STORE_ON_NETWORK", Severity::Warning, message, FIX))
}

#[cfg(test)]
mod tests {
    use rustix::fs::makedev;

    use super::*;

    const MOUNTS: &str = "\
22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
40 22 0:52 / /home/you/far rw,nosuid shared:7 - fuse.sshfs host: rw,user_id=1000
41 22 0:53 / /home/you/near rw,nosuid - fuse.bindfs /srv rw
42 22 0:54 / /home/you/odd rw master:1 propagate_from:2 - fuse.rclone far:dir rw";

    #[test]
    fn what_programs_bring_over_a_network_is_told_by_name() {
        let at = |number| provided(MOUNTS, makedev(0, number));
        assert_eq!(at(52).as_deref(), Some("fuse.sshfs"));
        assert_eq!(at(54).as_deref(), Some("fuse.rclone"));
        assert_eq!((at(53), at(55)), (None, None));
        assert_eq!(provided(MOUNTS, makedev(8, 1)), None);
    }

    #[test]
    fn a_disk_of_this_machine_is_none() {
        assert_eq!(warning(Path::new("/proc")), None);
        assert_eq!(network(Path::new("/no/such/directory")), None);
    }
}
