//! Commands under `wfr exec`, for the tests of it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::world::World;

/// Whether commands can be traced here; where they cannot, that is said.
pub fn can_trace() -> bool {
    static SAID: std::sync::OnceLock<bool> = std::sync::OnceLock::new();
    *SAID.get_or_init(|| {
        let world = World::new();
        world.exec("a", "true").output().unwrap();
        let change = world.newest();
        let can = change["source"] == "traced";
        if !can {
            wfr_testkit::skip(&format!("tracing: {}", change["evidence"]["degraded_because"]));
        }
        can
    })
}

impl World {
    /// A shell script of an agent, under `wfr exec`.
    pub fn exec(&self, agent: &str, script: &str) -> Command {
        self.command(&["exec", "--workflow", "wf", "--task", agent, "--agent", agent, "--", "sh", "-c", script])
    }

    /// The same, begun with its streams closed; it waits until [`Gate::open`].
    pub fn exec_held(&self, agent: &str, before: &str, after: &str) -> (Child, Gate) {
        let gate = Gate::new();
        let child = self.exec(agent, &format!("{before}\n{}\n{after}", gate.wait())).stdout(Stdio::null()).spawn();
        (child.unwrap(), gate)
    }

    /// All changes, newest first.
    pub fn changes(&self) -> Vec<Value> {
        self.ok(&["log"]).result("changes").as_array().unwrap().clone()
    }

    /// The newest change.
    pub fn newest(&self) -> Value {
        self.changes().remove(0)
    }

    /// The newest change at a path, with all its paths.
    #[track_caller]
    pub fn change_at(&self, path: &str) -> Value {
        let log = self.ok(&["log", "--path", path, "--limit", "1"]);
        let log = log.result("changes").as_array().unwrap();
        let id = &log.first().unwrap_or_else(|| panic!("nothing at {path}"))["change_id"];
        self.changes().into_iter().find(|change| change["change_id"] == *id).unwrap()
    }

    /// Supervisors of commands in this world, and their keepers.
    pub fn servants(&self, of: &Child) -> Vec<u32> {
        let processes =
            fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
        let is_servant = |process: &u32| {
            let line = fs::read(format!("/proc/{process}/cmdline")).unwrap_or_default();
            let environment = fs::read(format!("/proc/{process}/environ")).unwrap_or_default();
            let ours = format!("XDG_DATA_HOME={}", self.data.path().display());
            let is_ours = environment.split(|byte| *byte == 0).any(|one| one == ours.as_bytes());
            is_ours && line.split(|byte| *byte == 0).any(|word| word == b"--supervise-command")
        };
        let mut found: Vec<u32> = processes.filter(is_servant).filter(|process| *process != of.id()).collect();
        found.sort_unstable();
        found
    }
}

/// A file outside of the workspace for which a script waits.
pub struct Gate {
    dir: tempfile::TempDir,
}

impl Gate {
    pub fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    fn place(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// What is there when it may go on.
    pub fn way(&self) -> PathBuf {
        self.place("go")
    }

    /// What a script says to say that it is there, and to wait.
    pub fn wait(&self) -> String {
        let (here, go) = (self.place("here"), self.way());
        format!(": > {}; while [ ! -e {} ]; do sleep 0.01; done", here.display(), go.display())
    }

    /// What another script says to wait until the first is there.
    pub fn seen(&self) -> String {
        format!("while [ ! -e {} ]; do sleep 0.01; done", self.place("here").display())
    }

    /// Waits until the script is there.
    pub fn reached(&self) {
        until("the script is there", || self.place("here").exists());
    }

    /// Lets it go on.
    pub fn open(&self) {
        fs::write(self.way(), "").unwrap();
    }
}

/// Sends a signal to a process.
pub fn signal(process: u32, name: &str) {
    assert!(Command::new("kill").args([&format!("-{name}"), &process.to_string()]).status().unwrap().success());
}

/// The letter of a process's state.
pub fn state(process: u32) -> Option<char> {
    let stat = fs::read_to_string(Path::new("/proc").join(process.to_string()).join("stat")).ok()?;
    stat.rsplit(") ").next()?.chars().next()
}

/// Waits until something holds; panics with what it is where it does not.
#[track_caller]
pub fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(180);
    while !holds() {
        assert!(Instant::now() < end, "{what}: not after three minutes");
        std::thread::park_timeout(Duration::from_millis(2));
    }
}
