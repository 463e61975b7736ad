//! A workspace with its vault, home and all, that can be put back to a saved state in milliseconds.
//!
//! Owns where things are and how `wfr` is called: by the command-line contract, with nothing of the caller's
//! environment. Refuses to know what an operation should do.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use serde_json::Value;
use tempfile::TempDir;
use wfr_testkit::Snapshot;

/// A call of `wfr` may take this long; longer counts as hanging.
const SECONDS_MAX: &str = "60";

/// Copies of broken states are kept up to this many: one broken promise can show at hundreds of points.
const EVIDENCE_MAX: usize = 20;

/// Directories of one trial. Everything under `live` is put back by [`World::reset`].
pub struct World {
    root: Root,
    wfr: PathBuf,
}

/// Whether the directory goes with the world.
enum Root {
    Owned(TempDir),
    Borrowed(PathBuf),
}

/// How a call of `wfr` ended.
#[derive(Debug)]
pub struct Outcome {
    /// The exit code; `None` where a signal ended it.
    pub code: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// Standard output as JSON; `Null` where it is not JSON.
    pub json: Value,
    /// The end of standard error.
    pub stderr: String,
}

impl Outcome {
    /// Whether it says that all went well.
    pub fn is_ok(&self) -> bool {
        self.code == Some(0)
    }

    /// A field of the reference's `result`.
    pub fn result(&self, field: &str) -> &Value {
        &self.json["result"][field]
    }

    /// Whether it was ended because it did not end by itself.
    pub fn hung(&self) -> bool {
        self.stderr.contains("timeout: sending signal")
    }

    /// An error text unless it went well.
    pub fn expect_ok(self, tried: &str) -> Result<Self, String> {
        if self.is_ok() { Ok(self) } else { Err(format!("{tried} ended with {self}")) }
    }
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.code, self.signal) {
            (Some(code), _) => write!(f, "exit code {code}")?,
            (None, signal) => write!(f, "signal {}", signal.unwrap_or(0))?,
        }
        let message = &self.json["error"]["message"];
        write!(f, " {} {}", if message.is_null() { "" } else { message.as_str().unwrap_or("") }, self.stderr.trim())
    }
}

impl World {
    /// A new world below `dir`.
    pub fn new(wfr: &Path, dir: &Path) -> Result<Self, String> {
        let root = tempfile::Builder::new().prefix("wfr-world-").tempdir_in(dir).map_err(said("make a directory"))?;
        Self::fill(Root::Owned(root), wfr)
    }

    /// A world in a directory that somebody else removes, such as a mount.
    pub fn inside(wfr: &Path, dir: &Path) -> Result<Self, String> {
        Self::fill(Root::Borrowed(dir.to_owned()), wfr)
    }

    fn fill(root: Root, wfr: &Path) -> Result<Self, String> {
        let wfr = fs::canonicalize(wfr).map_err(said("find wfr"))?;
        let world = Self { root, wfr };
        for dir in [world.ws(), world.home()] {
            fs::create_dir_all(dir).map_err(said("make a directory"))?;
        }
        Ok(world)
    }

    /// Where all of it is.
    pub fn root(&self) -> &Path {
        match &self.root {
            Root::Owned(dir) => dir.path(),
            Root::Borrowed(dir) => dir,
        }
    }

    /// The part that is put back.
    pub fn live(&self) -> PathBuf {
        self.root().join("live")
    }

    /// The workspace.
    pub fn ws(&self) -> PathBuf {
        self.live().join("ws")
    }

    /// The vault.
    pub fn vault(&self) -> PathBuf {
        self.live().join("vault")
    }

    fn home(&self) -> PathBuf {
        self.live().join("home")
    }

    /// A directory of the workspace's file system, for outputs; emptied first.
    pub fn scratch(&self, name: &str) -> Result<PathBuf, String> {
        let dir = self.root().join("scratch").join(name);
        if dir.exists() {
            fs::remove_dir_all(&dir).map_err(said("empty the scratch directory"))?;
        }
        fs::create_dir_all(&dir).map_err(said("make the scratch directory"))?;
        Ok(dir)
    }

    /// Keeps the present state as the one that [`World::reset`] puts back.
    pub fn save(&self) -> Result<(), String> {
        self.copy(&self.live(), &self.root().join("saved"))
    }

    /// Puts the saved state back.
    pub fn reset(&self) -> Result<(), String> {
        self.copy(&self.root().join("saved"), &self.live())
    }

    /// Copies the present state for a person to look at; returns where it is.
    pub fn keep_evidence(&self, label: &str) -> String {
        let kept = std::env::temp_dir().join("wfr-fault-evidence");
        if fs::read_dir(&kept).is_ok_and(|all| all.count() >= EVIDENCE_MAX) {
            return format!("nothing: {} is full", kept.display());
        }
        let name: String = label.chars().map(|c| if c.is_alphanumeric() { c } else { '-' }).collect();
        let place = kept.join(name);
        let made = fs::create_dir_all(place.parent().unwrap_or(&place)).map_err(|error| error.to_string());
        match made.and_then(|()| self.copy(&self.live(), &place)) {
            Ok(()) => place.display().to_string(),
            Err(why) => why,
        }
    }

    fn copy(&self, from: &Path, to: &Path) -> Result<(), String> {
        if to.exists() {
            fs::remove_dir_all(to).map_err(said("remove the old state"))?;
        }
        run(Command::new("cp").arg("-a").arg(from).arg(to)).map(drop)
    }

    /// `wfr` with its arguments, in the workspace, with a clean environment.
    pub fn command(&self, arguments: &[&str]) -> Command {
        self.wrapped(&[], arguments)
    }

    /// The same below a wrapper such as strace.
    pub fn wrapped(&self, wrapper: &[&OsStr], arguments: &[&str]) -> Command {
        let mut command = Command::new("timeout");
        command.args(["-v", "-s", "KILL", SECONDS_MAX]).args(wrapper).arg(&self.wfr).args(arguments);
        command.current_dir(self.ws()).env_clear().stdin(Stdio::null());
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("HOME", self.home()).env("XDG_DATA_HOME", self.home().join("data")).env("LC_ALL", "C.UTF-8");
        command.env("TMPDIR", self.root());
        // What is done beside a command would go on while the world is put back.
        command.env("WFR_NO_UPKEEP", "1");
        command
    }

    /// Calls `wfr` and waits.
    pub fn wfr(&self, arguments: &[&str]) -> Outcome {
        finish(self.command(arguments))
    }

    /// Calls `wfr` and waits; an error text unless it went well.
    pub fn wfr_ok(&self, arguments: &[&str]) -> Result<Outcome, String> {
        self.wfr(arguments).expect_ok(&format!("`wfr {}`", arguments.join(" ")))
    }

    /// The workspace as it is now.
    pub fn snapshot(&self) -> Snapshot {
        of_users(&self.ws())
    }

    /// Restores a checkpoint beside and reads it.
    pub fn restored(&self, checkpoint: &str) -> Result<Snapshot, String> {
        let out = self.scratch("out")?;
        let to = out.to_string_lossy().into_owned();
        self.wfr_ok(&["restore", "wf", checkpoint, "--to", &to, "--exact-mtime", "--yes", "--json"])?;
        Ok(of_users(&out))
    }

    /// Names of all checkpoints that are listed.
    pub fn checkpoints(&self) -> Result<Vec<String>, String> {
        let outcome = self.wfr_ok(&["list-checkpoints", "wf", "--json"])?;
        let list = outcome.result("checkpoints").as_array().cloned().unwrap_or_default();
        Ok(list.iter().filter_map(|entry| entry["name"].as_str().map(str::to_owned)).collect())
    }

    /// What a checkpoint says that it lacks.
    pub fn left_out(&self, name: &str) -> Result<Vec<Vec<u8>>, String> {
        let outcome = self.wfr_ok(&["show", "wf", name, "--coverage", "--json"])?;
        Ok(left_out(outcome.result("coverage")))
    }

    /// `doctor` says that all is well.
    pub fn healthy(&self) -> Result<(), String> {
        let doctor = self.wfr(&["doctor", "--json"]);
        let healthy = doctor.is_ok() && doctor.result("healthy") == true;
        if healthy { Ok(()) } else { Err(format!("doctor: {doctor} {}", doctor.result("findings"))) }
    }
}

/// The paths that a coverage names as not captured, but for those that are never meant to be.
pub fn left_out(coverage: &Value) -> Vec<Vec<u8>> {
    let paths = coverage["paths"].as_array().into_iter().flatten();
    let meant = paths.filter(|one| one["reason"] != "own_files");
    meant.filter_map(|one| one["path"].as_str()).map(unescaped).collect()
}

/// The bytes of a path as JSON has it: two backslashes are one, `\xHH` is any other byte.
fn unescaped(text: &str) -> Vec<u8> {
    let (mut bytes, mut rest) = (Vec::new(), text);
    while let Some(at) = rest.find('\\') {
        bytes.extend_from_slice(&rest.as_bytes()[..at]);
        let escape = &rest[at + 1..];
        let code = escape.strip_prefix('x').and_then(|hex| u8::from_str_radix(hex.get(..2)?, 16).ok());
        bytes.push(code.unwrap_or(b'\\'));
        rest = escape.get(if code.is_some() { 3 } else { 1 }..).unwrap_or_default();
    }
    bytes.extend_from_slice(rest.as_bytes());
    bytes
}

/// A directory as it is, but for the one that is there for the view alone: a restore beside does not make it.
pub fn of_users(dir: &Path) -> Snapshot {
    Snapshot::of(dir).only(|path| path != b".claude")
}

/// Waits for a call of `wfr`.
pub fn finish(mut command: Command) -> Outcome {
    match command.output() {
        Ok(output) => outcome(output.status, &output.stdout, &output.stderr),
        Err(error) => Outcome { code: None, signal: None, json: Value::Null, stderr: error.to_string() },
    }
}

/// What a call that has ended came to.
pub fn outcome(status: ExitStatus, stdout: &[u8], stderr: &[u8]) -> Outcome {
    let text = String::from_utf8_lossy(stderr);
    let tail = text.char_indices().rev().nth(600).map_or(0, |(at, _)| at);
    // `timeout` and a shell report a signal as 128 + its number.
    let signal = status.signal().or(status.code().filter(|code| *code == 137).map(|code| code - 128));
    let code = status.code().filter(|_| signal.is_none());
    let json = serde_json::from_slice(stdout).unwrap_or(Value::Null);
    Outcome { code, signal, json, stderr: text[tail..].to_owned() }
}

/// Runs a tool that must succeed; returns its standard output.
pub fn run(command: &mut Command) -> Result<String, String> {
    let output = command.stdin(Stdio::null()).output().map_err(|error| format!("{command:?}: {error}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(format!("{command:?}: {} {}", output.status, String::from_utf8_lossy(&output.stderr).trim()))
}

/// Turns an error of the system into a text with what was tried.
pub fn said(tried: &str) -> impl Fn(std::io::Error) -> String {
    move |error| format!("cannot {tried}: {error}")
}
