//! Who has the lock that somebody else waits for: processes by their number and their command line, as the kernel tells.
//!
//! Owns reading that. Refuses to end anybody. What the kernel does not show, as to a process in another namespace, is left out.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// The longest command line that is told, in characters.
const COMMAND_MAX: usize = 200;

/// A process that has a lock.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Process {
    /// Its number.
    pub pid: u32,
    /// Its command line, shortened; empty where that cannot be read.
    pub command: String,
}

/// Other processes that have a lock on one of these files, by their numbers.
pub(super) fn of(files: &[&Path]) -> Vec<Process> {
    let metas: Vec<_> = files.iter().filter_map(|file| fs::metadata(file).ok()).collect();
    let inodes: Vec<u64> = metas.iter().map(MetadataExt::ino).collect();
    let table = fs::read_to_string("/proc/locks").unwrap_or_default();
    let mut pids: Vec<u32> = table.lines().filter_map(|line| holder(line, &inodes)).collect();
    pids.sort_unstable();
    pids.dedup();
    let own = std::process::id();
    let has_open = |pid: u32| {
        let Ok(open) = fs::read_dir(format!("/proc/{pid}/fd")) else { return true };
        // The table names a file by a number that another file system may give as well.
        open.flatten()
            .filter_map(|entry| fs::metadata(entry.path()).ok())
            .any(|found| metas.iter().any(|meta| (meta.dev(), meta.ino()) == (found.dev(), found.ino())))
    };
    let others = pids.into_iter().filter(|pid| *pid != own && has_open(*pid));
    others.map(|pid| Process { pid, command: command(pid) }).collect()
}

/// The process of a line of the kernel's table, where it has the lock of one of these files, and does not wait for it:
/// `5: FLOCK  ADVISORY  READ 730 fe:00:8618031 0 EOF`.
fn holder(line: &str, inodes: &[u64]) -> Option<u32> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let [_, "FLOCK", _, _, pid, file, ..] = words[..] else { return None };
    let inode: u64 = file.rsplit(':').next()?.parse().ok()?;
    pid.parse().ok().filter(|_| inodes.contains(&inode))
}

fn command(pid: u32) -> String {
    let bytes = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let words: Vec<String> =
        bytes.split(|byte| *byte == 0).map(|word| String::from_utf8_lossy(word).into_owned()).collect();
    let program = words.first().and_then(|word| word.rsplit('/').next()).unwrap_or_default();
    let rest = words.iter().skip(1).filter(|word| !word.is_empty()).map(String::as_str);
    let whole: Vec<&str> = std::iter::once(program).chain(rest).collect();
    whole.join(" ").trim().chars().take(COMMAND_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_a_lock_is_told_and_who_waits_for_it_is_not() {
        assert_eq!(holder("5: FLOCK  ADVISORY  READ 730 fe:00:8618031 0 EOF", &[8618031]), Some(730));
        for other in [
            "5: -> FLOCK  ADVISORY  WRITE 731 fe:00:8618031 0 EOF",
            "3: POSIX  ADVISORY  READ 730 fe:00:8618031 128 128",
            "5: FLOCK  ADVISORY  READ 730 fe:00:8618032 0 EOF",
            "",
        ] {
            assert_eq!(holder(other, &[8618031]), None, "{other}");
        }
    }
}
