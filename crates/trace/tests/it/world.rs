//! A tree, and commands that are traced in it.
//!
//! Owns how the example program is found and called. Refuses to judge what it says.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use tempfile::TempDir;

pub struct World {
    pub tree: TempDir,
    data: TempDir,
    runs: AtomicU32,
}

/// A command that is traced.
pub struct Traced {
    pub command: Command,
    pub log: PathBuf,
}

/// Whether commands can be traced here; where they cannot, that is said.
pub fn can_trace() -> bool {
    static SAID: std::sync::OnceLock<bool> = std::sync::OnceLock::new();
    *SAID.get_or_init(|| {
        let world = World::new();
        let run = world.traced("true").command.output().unwrap();
        if !run.status.success() {
            wfr_testkit::skip(&format!("tracing: {}", String::from_utf8_lossy(&run.stderr)));
        }
        run.status.success()
    })
}

impl World {
    pub fn new() -> Self {
        let new = || TempDir::new().unwrap();
        Self { tree: new(), data: new(), runs: AtomicU32::new(0) }
    }

    /// A shell script, to be run in the tree.
    pub fn traced(&self, script: &str) -> Traced {
        let log = self.data.path().join(format!("log{}", self.runs.fetch_add(1, Ordering::Relaxed)));
        let program = std::env::current_exe().unwrap().ancestors().nth(2).unwrap().join("examples/traced");
        let mut command = Command::new(program);
        command.arg(self.tree.path()).arg(&log).args(["sh", "-c", script]).current_dir(self.tree.path());
        command.stdin(Stdio::null());
        Traced { command, log }
    }

    /// Runs a script that must end well, and returns what was told.
    pub fn run(&self, script: &str) -> Vec<String> {
        let mut traced = self.traced(script);
        let Output { status, stderr, .. } = traced.command.output().unwrap();
        assert!(status.success(), "{status}: {}", String::from_utf8_lossy(&stderr));
        traced.told()
    }

    pub fn names(&self) -> BTreeSet<String> {
        let entries = fs::read_dir(self.tree.path()).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }
}

impl Traced {
    /// What was told of the tree and of the command's end, programs that were run aside.
    pub fn told(&self) -> Vec<String> {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let lines = log.lines().filter(|line| {
            !["Runs", "Delegates"].iter().any(|word| line.starts_with(word)) && !line.contains("Outside")
        });
        lines.map(str::to_owned).collect()
    }

    /// The supervisor, and the keeper that it has.
    pub fn servants(&self) -> Vec<u32> {
        let log = self.log.to_str().unwrap().as_bytes();
        let processes =
            fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
        let serves = |process: &u32| {
            let line = fs::read(format!("/proc/{process}/cmdline")).unwrap_or_default();
            let words: Vec<&[u8]> = line.split(|byte| *byte == 0).collect();
            words.contains(&log) && words.contains(&b"--supervise".as_slice())
        };
        let mut found: Vec<u32> = processes.filter(serves).collect();
        found.sort_unstable();
        found
    }
}

/// Waits until something holds; panics with what it is where it does not.
pub fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(60);
    while !holds() {
        assert!(Instant::now() < end, "{what}: not after a minute");
        std::thread::park_timeout(Duration::from_millis(2));
    }
}
