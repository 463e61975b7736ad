//! `wfr demo`: the main job, shown on a copy of real sources with the real binary.
//!
//! Owns the story and its verdict. Refuses to know how anything works: every step is a `wfr` command as a user would
//! type it, and what it claims is checked by reading the files.

mod damage;
mod tree;

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;
use tree::Tree;

/// The hidden word by which the demo calls itself to be killed half way through a restore.
pub const KILLED_RESTORE: &str = "demo-killed-restore";

/// Why the demo ended without its verdict.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// The system refused.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// A command did not do what the story says.
    #[error("`wfr {command}` {why}")]
    Command {
        /// What was called.
        command: String,
        /// What was wrong with it.
        why: String,
    },
    /// There is no place for it.
    #[error("the demo cannot make its own directory in {}: {source}", .place.display())]
    NoPlace {
        /// Where temporary files go.
        place: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Somebody asked it to end.
    #[error("interrupted before its verdict: all of it was in {}, which {}", .place.display(), if *.is_left { "could not be removed" } else { "is removed" })]
    Interrupted {
        /// The demo's own directory.
        place: PathBuf,
        /// Whether it is there still.
        is_left: bool,
    },
    /// Files are not as they should be.
    #[error("{0}")]
    Wrong(String),
}

/// Runs the demo; prints the story to `out`. An error means that the verdict is no, or, where `abort` was set, that there is
/// none. What it made is gone in any case.
pub fn run(out: &mut dyn Write, abort: &AtomicBool) -> Result<(), DemoError> {
    let scratch = Scratch::new()?;
    let place = scratch.0.clone();
    let demo = Demo { wfr: std::env::current_exe()?, scratch, abort };
    let ended = demo.tell(out);
    drop(demo);
    match ended {
        // A terminal interrupts the commands of the story, too.
        Err(_) if abort.load(Ordering::Relaxed) => {
            let is_left = place.symlink_metadata().is_ok();
            Err(DemoError::Interrupted { place, is_left })
        }
        ended => ended,
    }
}

/// A fresh directory that goes when the demo ends.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Result<Self, DemoError> {
        let stamp = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |d| d.as_nanos());
        let place = std::env::temp_dir();
        let dir = place.join(format!("wfr-demo-{}-{stamp:x}", std::process::id()));
        // Paths in the story are compared with what the kernel says, so no link may be left in them.
        let made = std::fs::create_dir(&dir).and_then(|()| dir.canonicalize());
        made.map(Self).map_err(|source| DemoError::NoPlace { place, source })
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = tree::make_removable(&self.0);
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

struct Demo<'a> {
    wfr: PathBuf,
    scratch: Scratch,
    abort: &'a AtomicBool,
}

impl Demo<'_> {
    fn work(&self) -> PathBuf {
        self.scratch.0.join("project")
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.wfr);
        command.args(arguments).current_dir(self.work()).env("XDG_DATA_HOME", self.scratch.0.join("data"));
        command.env_remove("WFR_STORE").stdin(std::process::Stdio::null());
        command
    }

    /// Runs a command with `--json`; returns its document and how long it took.
    fn json(&self, arguments: &[&str]) -> Result<(Value, Duration), DemoError> {
        let begun = Instant::now();
        let output = self.command(arguments).arg("--json").output()?;
        let took = begun.elapsed();
        let fail = |why: String| DemoError::Command { command: arguments.join(" "), why };
        if !output.status.success() {
            return Err(fail(format!("failed: {}{}", text(&output.stdout), text(&output.stderr))));
        }
        let document =
            serde_json::from_slice(&output.stdout).map_err(|error| fail(format!("gave no JSON: {error}")))?;
        Ok((document, took))
    }

    fn tell(&self, out: &mut dyn Write) -> Result<(), DemoError> {
        let from = tree::populate(&self.work())?;
        writeln!(out, "A project: a copy of {from}, with files of every kind.\n")?;
        self.go_on()?;
        self.json(&["init"])?;
        let before = Tree::read(&self.work())?;
        self.checkpoint(out, &before)?;
        self.go_on()?;
        let changed = self.let_an_agent_loose(out)?;
        self.go_on()?;
        self.die_half_way(out, &before, &changed)?;
        self.go_on()?;
        self.finish_and_verify(out, &before)?;
        self.go_on()?;
        self.undo_and_verify(out, &changed)?;
        self.go_on()?;
        self.heal(out)?;
        writeln!(
            out,
            "\nVERIFIED: {} files, {} bytes: every byte, mode, time and link was as it should be, each time.",
            before.files(),
            before.bytes()
        )?;
        Ok(())
    }

    /// Ends the story between two of its parts where somebody asked for that.
    fn go_on(&self) -> Result<(), DemoError> {
        if self.abort.load(Ordering::Relaxed) {
            Err(io::Error::from(io::ErrorKind::Interrupted).into())
        } else {
            Ok(())
        }
    }

    fn checkpoint(&self, out: &mut dyn Write, before: &Tree) -> Result<(), DemoError> {
        say(out, "wfr create-checkpoint demo '{\"name\":\"base\"}'")?;
        let (document, took) = self.json(&["create-checkpoint", "demo", "{\"name\":\"base\"}"])?;
        let (_, again) = self.json(&["create-checkpoint", "demo", "{\"name\":\"base-again\"}"])?;
        let total = document["result"]["files"]["total"].as_u64().unwrap_or(0);
        if total != before.files() {
            return Err(DemoError::Wrong(format!("the checkpoint has {total} files, the tree {}", before.files())));
        }
        writeln!(
            out,
            "  {total} files, {:.1} MB saved in {} ms; once more, nothing changed: {} ms.\n",
            before.bytes() as f64 / 1e6,
            took.as_millis(),
            again.as_millis()
        )?;
        Ok(())
    }

    fn let_an_agent_loose(&self, out: &mut dyn Write) -> Result<Tree, DemoError> {
        writeln!(out, "Now an agent goes wrong: it edits, deletes, replaces, adds, links and changes modes.")?;
        damage::go_wrong(&self.work())?;
        let changed = Tree::read(&self.work())?;
        say(out, "wfr diff base tree --stat")?;
        let output = self.command(&["diff", "base", "tree", "--stat"]).output()?;
        let listing = expect_success(&output, "diff base tree --stat")?;
        let lines: Vec<&str> = listing.lines().collect();
        for line in lines.iter().take(8) {
            writeln!(out, "  {line}")?;
        }
        if lines.len() > 9 {
            writeln!(out, "  ... {} more", lines.len() - 9)?;
        }
        if let Some(last) = lines.last().filter(|_| lines.len() > 8) {
            writeln!(out, "  {last}")?;
        }
        Ok(changed)
    }

    /// Restores in a process that is killed in the middle of its steps.
    fn die_half_way(&self, out: &mut dyn Write, before: &Tree, changed: &Tree) -> Result<(), DemoError> {
        say(out, "\nwfr restore demo base --exact-mtime --yes        # killed half way (SIGKILL)")?;
        let output = self.command(&[KILLED_RESTORE]).output()?;
        let now = Tree::read(&self.work())?;
        let (old, new) = (now.differences(changed), now.differences(before));
        let died = std::os::unix::process::ExitStatusExt::signal(&output.status);
        if died != Some(9) || old == 0 || new == 0 {
            let why = format!("was not killed half way: {:?} {}", output.status, text(&output.stderr));
            return Err(DemoError::Command { command: "restore".into(), why });
        }
        writeln!(out, "  {old} paths are restored, {new} are not yet.\n")?;
        let doctor = self.command(&["doctor", "--json"]).output()?;
        let report: Value = serde_json::from_slice(&doctor.stdout).unwrap_or_default();
        if report["result"]["healthy"] != Value::Bool(false) {
            return Err(DemoError::Command {
                command: "doctor".into(),
                why: "did not see the unfinished recovery".into(),
            });
        }
        Ok(())
    }

    fn finish_and_verify(&self, out: &mut dyn Write, before: &Tree) -> Result<(), DemoError> {
        say(out, "wfr resume")?;
        let (_, took) = self.json(&["resume"])?;
        self.expect(before, "the resumed restore")?;
        writeln!(out, "  completed in {} ms; the tree is as at the checkpoint, to the byte.\n", took.as_millis())?;
        Ok(())
    }

    fn undo_and_verify(&self, out: &mut dyn Write, changed: &Tree) -> Result<(), DemoError> {
        say(out, "wfr undo --yes")?;
        let (_, took) = self.json(&["undo", "--yes"])?;
        self.expect(changed, "the undo")?;
        writeln!(out, "  everything the agent did is back, in {} ms: a restore loses nothing.\n", took.as_millis())?;
        Ok(())
    }

    /// The workspace is removed whole and comes back.
    fn heal(&self, out: &mut dyn Write) -> Result<(), DemoError> {
        let changed = Tree::read(&self.work())?;
        say(out, "wfr create-checkpoint demo; rm -rf project; wfr restore demo last --allow-config --yes")?;
        self.json(&["create-checkpoint", "demo", "{\"name\":\"last\"}"])?;
        tree::make_removable(&self.work())?;
        std::fs::remove_dir_all(self.work())?;
        std::fs::create_dir(self.work())?;
        let (_, took) = self.json(&["restore", "demo", "last", "--exact-mtime", "--allow-config", "--yes"])?;
        self.expect(&changed, "the restore of the whole directory")?;
        writeln!(out, "  the whole directory is back, in {} ms.", took.as_millis())?;
        Ok(())
    }

    fn expect(&self, wanted: &Tree, what: &str) -> Result<(), DemoError> {
        let now = Tree::read(&self.work())?;
        match now.first_difference(wanted) {
            None => Ok(()),
            Some(difference) => Err(DemoError::Wrong(format!("after {what}: {difference}"))),
        }
    }
}

fn say(out: &mut dyn Write, command: &str) -> io::Result<()> {
    let (gap, command) = command.strip_prefix('\n').map_or(("", command), |rest| ("\n", rest));
    writeln!(out, "{gap}$ {command}")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn expect_success(output: &Output, command: &str) -> Result<String, DemoError> {
    if output.status.success() {
        return Ok(text(&output.stdout));
    }
    Err(DemoError::Command { command: command.to_owned(), why: format!("failed: {}", text(&output.stderr)) })
}

/// The project's own sources as they were when this binary was built.
fn sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}
