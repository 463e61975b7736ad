//! Processes, as `/proc` tells of them.
//!
//! Owns that a process is told from a later one of the same number, and what of another one can be read. Refuses to know whose
//! it is.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use wfr_model::{Timestamp, TreePath};

/// A process: its number, and when it started in clock ticks since boot. Numbers are given out again, both together are not.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct ProcessId {
    /// Its number.
    pub pid: u32,
    /// When it started.
    pub start: u64,
}

/// A process, or a thread of one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Process {
    /// Which.
    pub id: ProcessId,
    /// Who started it, or took it over when that one had ended.
    pub parent: u32,
    /// Its process group.
    pub group: u32,
    /// Its session, that of terminals.
    pub session: u32,
    /// Whether a signal or a tracer has stopped it.
    pub is_stopped: bool,
    /// Whether it waits for a device, and does nothing of its own meanwhile.
    pub is_stuck: bool,
    /// Whether it has ended, and waits for its parent to hear of that.
    pub is_corpse: bool,
}

/// Bytes of a command line that are read.
const COMMAND_MAX: usize = 4_096;
/// Characters of one that are shown.
const SHOWN_MAX: usize = 160;
/// Files that a process has open for writing which are named.
const FILES_MAX: usize = 16;
/// `O_WRONLY` and `O_RDWR` of Linux, as `/proc` shows them.
const WRITABLE: u32 = 0o3;

/// All processes, by their numbers. Errors: what the system says.
pub fn all() -> io::Result<BTreeMap<u32, Process>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir("/proc")? {
        let pid = entry?.file_name().to_str().and_then(|name| name.parse().ok());
        if let Some(process) = pid.and_then(process) {
            found.insert(process.id.pid, process);
        }
    }
    Ok(found)
}

/// The process of a number; `None` where there is none, or only its corpse.
pub fn process(pid: u32) -> Option<Process> {
    or_corpse(pid).filter(|process| !process.is_corpse)
}

/// The process or thread of a number, or its corpse.
pub fn or_corpse(pid: u32) -> Option<Process> {
    let stat = fs::read(format!("/proc/{pid}/stat")).ok()?;
    // The name, in brackets, may have any bytes.
    let behind = stat.iter().rposition(|byte| *byte == b')')? + 1;
    let fields: Vec<&str> = std::str::from_utf8(&stat[behind..]).ok()?.split_ascii_whitespace().collect();
    let number = |at: usize| fields.get(at)?.parse::<u64>().ok();
    let small = |at: usize| u32::try_from(number(at)?).ok();
    let state = *fields.first()?;
    Some(Process {
        id: ProcessId { pid, start: number(19)? },
        parent: small(1)?,
        group: small(2)?,
        session: small(3)?,
        is_stopped: matches!(state, "T" | "t"),
        is_stuck: state == "D",
        // The first thread may have ended before the others.
        is_corpse: state == "X" || state == "Z" && number(17)? <= 1,
    })
}

/// The process of a thread, or its corpse.
pub fn process_of(thread: u32) -> Option<ProcessId> {
    let status = fs::read_to_string(format!("/proc/{thread}/status")).ok()?;
    let pid = status.lines().find_map(|line| line.strip_prefix("Tgid:"))?.trim().parse().ok()?;
    or_corpse(pid).map(|process| process.id)
}

/// Whether it is still there.
pub fn is_there(id: ProcessId) -> bool {
    process(id.pid).is_some_and(|process| process.id == id)
}

/// The process that has a lock of `flock` on a file; `None` where nobody has, or it cannot be seen.
pub fn holder_of_lock(file: &fs::File) -> Option<u32> {
    let meta = file.metadata().ok()?;
    let (major, minor) = (rustix::fs::major(meta.dev()), rustix::fs::minor(meta.dev()));
    let named = format!("{major:02x}:{minor:02x}:{}", meta.ino());
    let locks = fs::read_to_string("/proc/locks").ok()?;
    let lines = locks.lines().map(|line| line.split_ascii_whitespace().skip(1).collect::<Vec<_>>());
    let mut held = lines.filter(|words| words.first() == Some(&"FLOCK") && words.get(4) == Some(&&*named));
    held.next()?.get(3)?.parse().ok()
}

/// The environment with which it was started. Errors: what the system says: of another user's nothing can be read.
pub fn environment(pid: u32) -> io::Result<Vec<u8>> {
    fs::read(format!("/proc/{pid}/environ"))
}

/// The value of a variable of an environment.
pub fn variable<'e>(environment: &'e [u8], name: &str) -> Option<&'e str> {
    let mut variables = environment.split(|byte| *byte == 0);
    let value = variables.find_map(|one| one.strip_prefix(name.as_bytes())?.strip_prefix(b"="))?;
    std::str::from_utf8(value).ok().filter(|value| !value.is_empty())
}

/// Its command line, as much as is shown of it.
pub fn command(pid: u32) -> String {
    let mut line = Vec::new();
    if let Ok(file) = fs::File::open(format!("/proc/{pid}/cmdline")) {
        let _ = io::Read::read_to_end(&mut io::Read::take(file, COMMAND_MAX as u64), &mut line);
    }
    let words = line.split(|byte| *byte == 0).map(String::from_utf8_lossy);
    let line = words.collect::<Vec<_>>().join(" ");
    let printable = |letter: char| if letter.is_control() { ' ' } else { letter };
    let mut shown: String = line.trim_end().chars().map(printable).take(SHOWN_MAX).collect();
    if line.trim_end().chars().nth(SHOWN_MAX).is_some() {
        shown.push_str("...");
    }
    shown
}

/// The words with which it was started.
pub fn words(pid: u32) -> Vec<String> {
    let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    line.split(|byte| *byte == 0).map(|word| String::from_utf8_lossy(word).into_owned()).collect()
}

/// When it started.
pub fn started(id: ProcessId) -> Timestamp {
    let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
    let boot = stat.lines().find_map(|line| line.strip_prefix("btime ")).and_then(|time| time.trim().parse().ok());
    let ticks = rustix::param::clock_ticks_per_second().max(1);
    let nanos = i64::try_from(u128::from(id.start) * 1_000_000_000 / u128::from(ticks)).unwrap_or(i64::MAX);
    Timestamp(boot.unwrap_or(0_i64).saturating_mul(1_000_000_000).saturating_add(nanos))
}

/// Whether its numbers of processes are ours; `None` where that cannot be read.
pub fn shares_numbers(pid: u32) -> Option<bool> {
    let of = |pid: &str| fs::read_link(format!("/proc/{pid}/ns/pid")).ok();
    Some(of(&pid.to_string())? == of("self")?)
}

/// Whether it is a process of this program: a launcher, a supervisor, a keeper, or any other call.
pub fn is_ours(pid: u32) -> bool {
    let place = PathBuf::from(format!("/proc/{pid}/exe"));
    let (Ok(its), Ok(own)) = (fs::metadata(&place), fs::metadata("/proc/self/exe")) else { return false };
    if (its.dev(), its.ino()) == (own.dev(), own.ino()) {
        return true;
    }
    // Of another version, or replaced since it was started.
    let name = |place: &Path| {
        let target = fs::read_link(place).ok()?;
        let name = target.file_name()?.as_bytes().to_vec();
        Some(name.strip_suffix(b" (deleted)").map_or(name.clone(), <[u8]>::to_vec))
    };
    name(&place).is_some_and(|its| Some(its) == name(Path::new("/proc/self/exe")))
}

/// Whether it works in a directory of the tree.
pub fn works_in(pid: u32, root: &Path) -> bool {
    fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|place| place.starts_with(root))
}

/// The files of a tree that it has open for writing, or mapped so.
pub fn open_for_writing(pid: u32, root: &Path) -> Vec<TreePath> {
    let mut found: Vec<TreePath> = Vec::new();
    let numbers = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    for number in numbers.map(|entry| entry.file_name()) {
        let place = Path::new("/proc").join(pid.to_string());
        let below = fs::read_link(place.join("fd").join(&number)).ok().and_then(|target| below(&target, root));
        let Some(below) = below else { continue };
        let info = fs::read_to_string(place.join("fdinfo").join(&number)).unwrap_or_default();
        let flags = info.lines().find_map(|line| line.strip_prefix("flags:"));
        let flags = flags.and_then(|flags| u32::from_str_radix(flags.trim(), 8).ok()).unwrap_or(0);
        found.extend((flags & WRITABLE != 0).then_some(below));
    }
    let maps = fs::read(format!("/proc/{pid}/maps")).unwrap_or_default();
    found.extend(maps.split(|byte| *byte == b'\n').filter_map(|line| mapped(line, root)));
    found.sort();
    found.dedup();
    found.truncate(FILES_MAX);
    found
}

/// The file of a tree that a line of `maps` says is mapped so that it can be written.
fn mapped(line: &[u8], root: &Path) -> Option<TreePath> {
    let mut fields = line.splitn(6, |byte| *byte == b' ');
    let access = fields.nth(1)?;
    if access.get(1) != Some(&b'w') || access.get(3) != Some(&b's') {
        return None;
    }
    let place = fields.nth(3)?.trim_ascii_start();
    below(Path::new(std::ffi::OsStr::from_bytes(place)), root)
}

fn below(place: &Path, root: &Path) -> Option<TreePath> {
    TreePath::from_bytes(place.strip_prefix(root).ok()?.as_os_str().as_bytes()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_found_with_what_it_has_open() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        let _written = fs::File::create(root.join("w")).unwrap();
        fs::write(root.join("r"), "x").unwrap();
        let _read = fs::File::open(root.join("r")).unwrap();
        let own = process(std::process::id()).unwrap();
        assert!(is_there(own.id) && is_ours(own.id.pid));
        assert!(!is_there(ProcessId { start: own.id.start + 1, ..own.id }), "another one of the same number");
        assert_eq!(open_for_writing(own.id.pid, &root), vec!["w".parse().unwrap()]);
        assert_eq!(shares_numbers(own.id.pid), Some(true));
        assert!(!command(own.id.pid).is_empty());
    }

    #[test]
    fn a_variable_is_one_by_its_whole_name() {
        let environment = b"XA=1\0A=\0AB=2\0B=3\0";
        assert_eq!(variable(environment, "A"), None);
        assert_eq!(variable(environment, "AB"), Some("2"));
        assert_eq!(variable(environment, "B"), Some("3"));
    }

    #[test]
    fn only_what_is_shared_and_writable_is_mapped_for_writing() {
        let root = Path::new("/ws");
        let line = |access: &str| format!("7f00-7f01 {access} 00000000 fe:00 12  /ws/a b").into_bytes();
        assert_eq!(mapped(&line("rw-s"), root), Some("a b".parse().unwrap()));
        assert_eq!(mapped(&line("rw-p"), root), None);
        assert_eq!(mapped(&line("r--s"), root), None);
        assert_eq!(mapped(b"", root), None);
    }
}
