//! Real clients: where they are, and those of agents that work in a workspace, with a model beside them that plays what a test
//! tells it to.
//!
//! Owns their installation, their model, and what is seen of their work. Refuses to know the clients: each has a file of its own.

mod bashes;
mod claude;
mod codex;
mod gemini;
mod opencode;

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use serde_json::Value;
use tempfile::TempDir;
use wfr_clients::{Client, shell};

use crate::catch::{catch, caught, ended};
use crate::traced::{Gate, can_trace, signal, until};
use crate::world::World;

/// The variable that names a directory in which the clients are installed, or are to be.
const DIR: &str = "WFR_CLIENTS_DIR";

/// What belongs to the tests of clients: the model, and what installs them.
fn beside(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/e2e").join(name)
}

/// The program of a client of the name given, which traces; where it cannot be had, that is said.
pub fn client(name: &str) -> Option<PathBuf> {
    installed(name).map(|dir| dir.join("node_modules/.bin").join(name)).filter(|_| can_trace())
}

/// The directory in which all clients are installed; where one cannot be had, that is said by its name.
pub fn installed(name: &str) -> Option<&'static Path> {
    static INSTALLED: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    match INSTALLED.get_or_init(install) {
        Ok(dir) => Some(dir),
        Err(why) => {
            wfr_testkit::skip(&format!("{name}: {why}"));
            None
        }
    }
}

fn install() -> Result<PathBuf, String> {
    for (program, arguments) in [("python3", &["-m", "pip", "--version"][..]), ("npm", &["--version"])] {
        let run = Command::new(program).args(arguments).output();
        if !run.is_ok_and(|run| run.status.success()) {
            return Err(format!("{program} is not installed"));
        }
    }
    let own = || Path::new(env!("CARGO_TARGET_TMPDIR")).join("clients");
    let dir = std::env::var_os(DIR).map_or_else(own, PathBuf::from);
    let run = Command::new(beside("install.sh")).arg(&dir).output().map_err(|error| error.to_string())?;
    if run.status.success() {
        return Ok(dir);
    }
    Err(format!("it cannot be installed: {}", String::from_utf8_lossy(&run.stderr)))
}

/// A model that plays steps: see the head of its program.
pub struct Model {
    process: Child,
    pub port: String,
}

impl Model {
    fn playing(steps: &Value, dir: &Path) -> Self {
        let place = dir.join("steps.json");
        fs::write(&place, steps.to_string()).unwrap();
        let mut command = Command::new("python3");
        command.arg(beside("fake_model_api.py")).arg(place).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut process = command.spawn().unwrap();
        let mut port = String::new();
        BufReader::new(process.stdout.as_mut().unwrap()).read_line(&mut port).unwrap();
        Self { process, port: port.trim().to_owned() }
    }
}

impl Drop for Model {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A workspace, and a home in which a client is set up.
pub struct Stage {
    pub world: World,
    /// The client's home.
    pub home: TempDir,
}

impl Stage {
    /// A protected workspace with a small file.
    pub fn new() -> Self {
        let tree = wfr_testkit::TestTree::new();
        tree.write("base.txt", b"base\n");
        Self::of(World::unprotected(tree))
    }

    /// The same where no sandbox of a client may write: it has a temporary directory of its own.
    pub fn far() -> Self {
        let tree = wfr_testkit::TestTree::new();
        let data = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        Self::of(World { tree, data, variables: vec![] })
    }

    fn of(world: World) -> Self {
        world.ok(&["init"]);
        Self { world, home: tempfile::tempdir().unwrap() }
    }

    /// Writes a file of the client's home.
    pub fn at_home(&self, name: &str, text: &str) -> PathBuf {
        let place = self.home.path().join(name);
        fs::create_dir_all(place.parent().unwrap()).unwrap();
        fs::write(&place, text).unwrap();
        place
    }

    /// A workspace that a recovery holds, stopped before it has done anything.
    pub fn held() -> (Self, Child) {
        caught(|| {
            let stage = Self::new();
            let names: Vec<String> = (0..200).map(|number| format!("many/{number}")).collect();
            names.iter().for_each(|name| stage.world.tree.write(name, b"before"));
            stage.world.checkpoint("base");
            names.iter().for_each(|name| stage.world.tree.write(name, b"after"));
            let (root, staging) = (stage.world.root(), stage.world.tree.at(".wfr-staging"));
            let recovery = catch(&stage.world, &["restore", "wf", "base", "--yes"], &[root], || staging.exists())?;
            Some((stage, recovery))
        })
    }

    /// Nothing of this was done, and the recovery that held the workspace goes on to its end.
    #[track_caller]
    pub fn assert_denied(&self, files: &[&str], recovery: Child) {
        for file in files {
            assert!(!self.world.tree.at(file).exists(), "{file}");
        }
        assert!(ended(recovery).0.success());
        assert_eq!(self.text("many/7"), "before");
    }

    /// A path in the workspace, as a tool call names it.
    pub fn at(&self, name: &str) -> String {
        self.world.tree.at(name).to_str().unwrap().to_owned()
    }

    /// A client's program, with an environment that has nothing of ours but where the vault is.
    pub fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        let path = std::env::var_os("PATH").unwrap();
        let beside = program.parent().unwrap().to_owned();
        let path = std::env::join_paths(std::iter::once(beside).chain(std::env::split_paths(&path))).unwrap();
        command.env_clear().env("PATH", path);
        command.env("HOME", self.home.path()).env("XDG_DATA_HOME", self.world.data.path()).env("SHELL", "/bin/bash");
        command.current_dir(self.world.root()).stdin(Stdio::null());
        command
    }

    /// Attaches a client as its user would.
    #[track_caller]
    pub fn attach(&self, client: &str) {
        let mut command = self.world.command(&["attach", client, "--user"]);
        let output = command.env("HOME", self.home.path()).output().unwrap();
        assert!(output.status.success(), "{output:?}");
    }

    /// Writes the file that `bash` reads before commands of a client.
    pub fn bash_env(&self, client: Client) -> PathBuf {
        let text = shell::bash_env(client, &format!("'{}'", env!("CARGO_BIN_EXE_wfr"))).unwrap();
        self.at_home(&format!("bin/{}-{}", shell::BASH_ENV, client.as_str()), &text)
    }

    pub fn model(&self, steps: &Value) -> Model {
        Model::playing(steps, self.home.path())
    }

    /// A file of the workspace as text.
    #[track_caller]
    pub fn text(&self, name: &str) -> String {
        fs::read_to_string(self.world.tree.at(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// Whose a path is: agent, task and call of the last change there, and how it is known.
    #[track_caller]
    pub fn whose(&self, path: &str) -> Whose {
        let change = self.world.change_at(path);
        let text = |name: &str| change[name].as_str().unwrap_or_default().to_owned();
        Whose {
            agent: text("agent_id"),
            task: text("task_id"),
            phase: text("phase_id"),
            call: text("tool_call_id"),
            source: text("source"),
        }
    }

    /// One of two sub-agents is taken back, and what the others wrote stays; what a shell wrote is given.
    #[track_caller]
    pub fn take_left_back(&self, left: &str, shell: &str) {
        let workflow = self.world.change_at("left.txt")["workflow_id"].as_str().unwrap().to_owned();
        self.world.ok(&["rollback", &workflow, "--agent", left, "--yes"]);
        assert!(!self.world.tree.at("left.txt").exists() && !self.world.tree.at("left-sh.txt").exists());
        let kept = ["shell.txt", "a.txt", "right.txt", "right-sh.txt", "base.txt"].map(|name| self.text(name));
        assert_eq!(kept, [shell, "one\nthree\n", "r\n", "right\n", "base\n"]);
    }

    /// Nothing went wrong in a hook.
    #[track_caller]
    pub fn assert_no_trouble(&self) {
        let trouble = fs::read_to_string(self.world.vault().join("clients/trouble.jsonl")).unwrap_or_default();
        assert_eq!(trouble, "");
    }
}

/// A command that writes, waits at a gate, and then goes on to write for ever. It has no quotes.
pub fn endless(gate: &Gate) -> String {
    let goes_on = "while :; do echo on >> on.txt; sleep 0.05; done";
    format!("echo 1 > early.txt; {}; echo 2 > late.txt; {goes_on}", gate.wait())
}

/// Kills a client in the middle of an endless command. What that goes on to write is its agent's; it is shown, and a rollback ends
/// it. All that it wrote goes and comes back, and nothing else. Returns whose its files were.
#[track_caller]
pub fn kill_and_fence(stage: &Stage, (name, command): (&str, &mut Command), gate: &Gate) -> [Whose; 2] {
    let mut process = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    gate.reached();
    client_processes(process.id()).into_iter().for_each(|id| signal(id, "KILL"));
    process.wait().unwrap();
    gate.open();
    until("the orphan goes on", || stage.world.tree.at("on.txt").exists());
    stage.world.tree.write("mine.txt", b"mine\n");
    stage.world.checkpoint("after");
    let whose = ["early.txt", "late.txt"].map(|file| stage.whose(file));
    assert!(whose.iter().all(|one| one.agent == "main" && one.source == "traced"), "{whose:?}");

    let workflow = stage.world.change_at("early.txt")["workflow_id"].as_str().unwrap().to_owned();
    let shown = stage.world.ok(&["status", &workflow]).result("writers").clone();
    // Where nothing names the client's process, another one of its kind may be it.
    let is_orphan = |one: &Value| one["client"] == name && one["orphan"] != false;
    assert!(shown.as_array().is_some_and(|all| !all.is_empty() && all.iter().all(is_orphan)), "{shown}");
    let done = stage.world.ok(&["rollback", &workflow, "--agent", "main", "--stop-writers", "--yes"]);
    assert!(done.result("stopped_writers").as_array().is_some_and(|ended| !ended.is_empty()), "{done:?}");
    assert!(["early.txt", "late.txt", "on.txt"].iter().all(|file| !stage.world.tree.at(file).exists()));
    assert_eq!([stage.text("mine.txt"), stage.text("base.txt")], ["mine\n", "base\n"]);
    stage.world.ok(&["undo", "--yes"]);
    assert_eq!([stage.text("early.txt"), stage.text("late.txt")], ["1\n", "2\n"]);
    assert!(stage.text("on.txt").lines().all(|line| line == "on") && stage.text("on.txt").len() >= 3);
    whose
}

/// A process and all that it started, the last ones first, as long as these are the client's own: what its commands are is not.
fn client_processes(first: u32) -> Vec<u32> {
    let children = fs::read_to_string(format!("/proc/{first}/task/{first}/children")).unwrap_or_default();
    let children = children.split_whitespace().filter_map(|id| id.parse().ok());
    let is_own = |id: &u32| {
        let line = fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
        !line.windows(4).any(|part| part == b"bash" || part == b"/wfr")
    };
    children.filter(is_own).flat_map(client_processes).chain([first]).collect()
}

/// Whose a path is.
#[derive(PartialEq, Eq, Debug)]
pub struct Whose {
    pub agent: String,
    pub task: String,
    pub phase: String,
    pub call: String,
    pub source: String,
}

/// A client that has ended.
#[derive(Debug)]
pub struct Played {
    pub code: Option<i32>,
    /// The documents that it wrote, one a line.
    pub lines: Vec<Value>,
}

impl Played {
    /// Runs a client to its end.
    pub fn by(command: &mut Command) -> Self {
        let output = command.output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        let lines = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        Self { code: output.status.code(), lines }
    }
}
