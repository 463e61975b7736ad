//! Things that stand in a restore's way: files that cannot be changed, open writers, mounts, links that lead out.
//!
//! Owns one trial for each. Refuses to demand that a restore gets past them: it must lose nothing and end.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::Plan;
use super::mounts::{self, Mount};
use super::tally::{Tallies, Tally};
use super::world::{Outcome, World, run as run_tool, said};

/// What a trial came to; `Ok(Some(why))` says that it cannot run here.
type Trial = fn(&Stage) -> Result<Option<String>, String>;

/// All obstacles.
const TRIALS: [(&str, Trial); 8] = [
    ("immutable file", immutable),
    ("open writer", open_writer),
    ("kept directory", kept_directory),
    ("directory for file", directory_for_file),
    ("link for directory", link_for_directory),
    ("hard link outside", hard_link_outside),
    ("bind mount", bind_mount),
    ("other file system", other_file_system),
];

/// A workspace with a base checkpoint, and a directory outside it.
struct Stage {
    world: World,
    outside: PathBuf,
}

/// One row for each obstacle.
pub fn run(plan: &Plan) -> Tallies<'_> {
    Box::new(TRIALS.iter().map(|(name, trial)| stage_and_try(plan, name, *trial)))
}

fn stage_and_try(plan: &Plan, name: &str, trial: Trial) -> Tally {
    let title = format!("obstacles {name}");
    let tried =
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| Stage::new(plan).and_then(|stage| trial(&stage))));
    let mut tally = Tally::new(title.clone());
    match tried.unwrap_or_else(|_| Err("the check itself failed: see above".to_owned())) {
        Ok(Some(why)) => return Tally::skipped(title, &why, false),
        Ok(None) => tally.add(name, (true, Ok(()))),
        Err(why) => tally.add(name, (true, Err(why))),
    }
    tally
}

impl Stage {
    fn new(plan: &Plan) -> Result<Self, String> {
        let world = World::new(&plan.wfr, &plan.dir)?;
        let outside = world.scratch("outside")?;
        let vault = world.vault().to_string_lossy().into_owned();
        world.wfr_ok(&["init", "--store", &vault])?;
        let stage = Self { world, outside };
        stage.write("a.txt", "a0")?;
        stage.write("d/f", "f0")?;
        stage.write("e/g", "g0")?;
        Ok(stage)
    }

    fn ws(&self, path: &str) -> PathBuf {
        self.world.ws().join(path)
    }

    fn write(&self, path: &str, text: &str) -> Result<(), String> {
        let full = self.ws(path);
        fs::create_dir_all(full.parent().unwrap_or(Path::new("/"))).map_err(said("make a directory"))?;
        fs::write(full, text).map_err(said("write"))
    }

    fn checkpoint(&self) -> Result<(), String> {
        self.world.wfr_ok(&["create-checkpoint", "wf", r#"{"name":"base"}"#, "--json"]).map(drop)
    }

    fn restore(&self) -> Outcome {
        self.world.wfr(&["restore", "wf", "base", "--yes", "--json"])
    }

    /// The path holds this text.
    fn holds(&self, path: &Path, text: &str) -> Result<(), String> {
        match fs::read_to_string(path) {
            Ok(real) if real == text => Ok(()),
            other => Err(format!("{} holds {other:?}, not {text:?}", path.display())),
        }
    }

    /// The restore ended in a way that the contract knows, and nothing is left to repair.
    fn ended(&self, outcome: &Outcome) -> Result<(), String> {
        if !matches!(outcome.code, Some(0 | 1 | 5 | 7)) || outcome.hung() {
            return Err(format!("the restore ended with {outcome}"));
        }
        self.world.wfr_ok(&["resume", "--json"])?;
        self.world.healthy()
    }
}

fn immutable(stage: &Stage) -> Result<Option<String>, String> {
    stage.checkpoint()?;
    stage.write("a.txt", "a1")?;
    stage.write("d/f", "f1")?;
    if let Err(why) = run_tool(Command::new("chattr").arg("+i").arg(stage.ws("a.txt"))) {
        return Ok(Some(format!("no file can be made immutable here: {why}")));
    }
    let outcome = stage.restore();
    let after = stage.ended(&outcome);
    let kept = stage.holds(&stage.ws("a.txt"), "a1");
    run_tool(Command::new("chattr").arg("-i").arg(stage.ws("a.txt")))?;
    after.and(kept)?;
    if outcome.is_ok() {
        return Err("the restore said that all went well, with a file that cannot be changed".to_owned());
    }
    let outcome = stage.restore();
    stage.ended(&outcome)?;
    stage.holds(&stage.ws("a.txt"), "a0")?;
    stage.holds(&stage.ws("d/f"), "f0").map(|()| None)
}

/// An editor that keeps its file open writes into the inode that the restore displaced.
fn open_writer(stage: &Stage) -> Result<Option<String>, String> {
    stage.checkpoint()?;
    stage.write("a.txt", "a1")?;
    let mut writer = OpenOptions::new().append(true).open(stage.ws("a.txt")).map_err(said("open"))?;
    let outcome = stage.restore();
    writer.write_all(b" and typed later").map_err(said("write"))?;
    drop(writer);
    stage.ended(&outcome)?;
    let found = Command::new("grep").args(["-r", "-l", "a1 and typed later"]).arg(stage.world.live()).output();
    let found = found.map_err(said("search"))?.stdout;
    if found.is_empty() { Err("what the open writer wrote is nowhere".to_owned()) } else { Ok(None) }
}

/// A directory that the checkpoint does not have holds something that checkpoints leave out.
fn kept_directory(stage: &Stage) -> Result<Option<String>, String> {
    stage.checkpoint()?;
    stage.write("new/node_modules/x", "precious")?;
    stage.write("a.txt", "a1")?;
    let outcome = stage.restore();
    stage.ended(&outcome)?;
    stage.holds(&stage.ws("a.txt"), "a0")?;
    stage.holds(&stage.ws("new/node_modules/x"), "precious").map(|()| None)
}

/// The same where the checkpoint has a file at the directory's place.
fn directory_for_file(stage: &Stage) -> Result<Option<String>, String> {
    stage.checkpoint()?;
    fs::remove_file(stage.ws("a.txt")).map_err(said("remove"))?;
    stage.write("a.txt/node_modules/x", "precious")?;
    let outcome = stage.restore();
    stage.ended(&outcome)?;
    if outcome.is_ok()
        && outcome.result("kept").as_array().is_none_or(Vec::is_empty)
        && outcome.result("conflicts").as_array().is_none_or(Vec::is_empty)
    {
        return Err(format!("neither kept nor conflicts name the path: {}", outcome.json));
    }
    stage.holds(&stage.ws("a.txt/node_modules/x"), "precious").map(|()| None)
}

/// A directory became a link to one outside: nothing outside changes.
fn link_for_directory(stage: &Stage) -> Result<Option<String>, String> {
    stage.checkpoint()?;
    fs::write(stage.outside.join("f"), "outside").map_err(said("write"))?;
    fs::remove_dir_all(stage.ws("d")).map_err(said("remove"))?;
    symlink(&stage.outside, stage.ws("d")).map_err(said("link"))?;
    let outcome = stage.restore();
    stage.ended(&outcome)?;
    stage.holds(&stage.outside.join("f"), "outside")?;
    stage.holds(&stage.ws("d/f"), "f0").map(|()| None)
}

/// A file has a second name outside: that one keeps its bytes.
fn hard_link_outside(stage: &Stage) -> Result<Option<String>, String> {
    stage.checkpoint()?;
    stage.write("a.txt", "a1")?;
    fs::hard_link(stage.ws("a.txt"), stage.outside.join("other")).map_err(said("link"))?;
    let outcome = stage.restore();
    stage.ended(&outcome)?;
    stage.holds(&stage.outside.join("other"), "a1")?;
    stage.holds(&stage.ws("a.txt"), "a0").map(|()| None)
}

fn bind_mount(stage: &Stage) -> Result<Option<String>, String> {
    match Mount::bind(&stage.ws("e"), &stage.outside) {
        Ok(mount) => on_mount(stage, &mount),
        Err(why) => Ok(Some(format!("no directory can be mounted here: {why}"))),
    }
}

fn other_file_system(stage: &Stage) -> Result<Option<String>, String> {
    if let Err(why) = mounts::permitted(stage.world.root()) {
        return Ok(Some(format!("no tmpfs can be mounted here: {why}")));
    }
    let mount = Mount::tmpfs(&stage.ws("e"), 64 << 20)?;
    on_mount(stage, &mount)
}

/// Files below a mount point are restored there, or the restore is refused with nothing changed.
fn on_mount(stage: &Stage, _mount: &Mount) -> Result<Option<String>, String> {
    stage.write("e/g", "m0")?;
    stage.checkpoint()?;
    stage.write("e/g", "m1")?;
    stage.write("e/new", "n")?;
    stage.write("a.txt", "a1")?;
    let outcome = stage.restore();
    stage.ended(&outcome)?;
    let wanted = if outcome.is_ok() { ["m0", "a0"] } else { ["m1", "a1"] };
    stage.holds(&stage.ws("e/g"), wanted[0])?;
    stage.holds(&stage.ws("a.txt"), wanted[1])?;
    if outcome.is_ok() == stage.ws("e/new").exists() {
        return Err(format!("e/new does not follow the restore, which ended with {outcome}"));
    }
    Ok(None)
}
