//! The operations under fault: what stands before, what is called, what may stand after.
//!
//! Owns the invariants that hold after every fault. Refuses to know which fault it was.

mod states;
mod told;
mod whole;

use serde_json::Value;
use wfr_testkit::{Snapshot, TestTree};

use super::world::{Outcome, World, left_out};

/// The name of the checkpoint that every world has from the start.
const BASE: &str = "base";

/// The name of the one that the operation under fault makes.
const SECOND: &str = "second";

/// Something done on an agent's behalf, in its task.
pub fn as_change(world: &World, agent: &str, work: impl FnOnce(&World) -> Result<(), String>) -> Result<(), String> {
    let task = states::task_of(agent);
    let begun = ["change", "begin", "--workflow", "wf", "--agent", agent, "--task", &task, "--json"];
    let begun = world.wfr_ok(&begun)?;
    let token = begun.result("token").as_str().ok_or("no token")?.to_owned();
    work(world)?;
    world.wfr_ok(&["change", "end", &token, "--json"])?;
    Ok(())
}

/// An operation under fault.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Operation {
    /// A checkpoint of a changed tree.
    Create,
    /// Back to the base, in place.
    Restore,
    /// The restore taken back.
    Undo,
    /// One agent's changes taken back, another's kept.
    Rollback,
    /// What was lost since the base brought back beside what was made since, and one file merged.
    Merge,
    /// Old checkpoints removed, and their bytes.
    Cleanup,
    /// A workflow's log and state brought in: events published.
    Publish,
    /// A state that contradicts itself, mended.
    Repair,
    /// Events of a file, of which the last one ends a phase: recorded, and the phase's checkpoint taken.
    Tell,
    /// A failure recorded with its report and its checkpoint.
    Fail,
    /// Events delivered to a sink.
    Flush,
    /// Back to the newest checkpoint that validates.
    Emergency,
    /// An archive written.
    Backup,
    /// An archive taken in.
    Import,
    /// The catalog built again.
    Rebuild,
}

/// A world that is ready for its operation, and what it held.
pub struct Trial {
    /// The operation.
    pub operation: Operation,
    /// Its world, saved.
    pub world: World,
    /// The workspace at the base checkpoint.
    base: Snapshot,
    /// The workspace before the operation.
    old: Snapshot,
    /// The workspace after it, if it is done.
    new: Snapshot,
}

impl Operation {
    /// All operations; the last ones are only killed in the short run, at few points.
    pub const ALL: [Self; 15] = [
        Self::Create,
        Self::Restore,
        Self::Undo,
        Self::Rollback,
        Self::Merge,
        Self::Cleanup,
        Self::Publish,
        Self::Repair,
        Self::Tell,
        Self::Fail,
        Self::Flush,
        Self::Emergency,
        Self::Backup,
        Self::Import,
        Self::Rebuild,
    ];

    /// Those that every fault meets; in the short run the last ones are only killed.
    pub fn under_all(plan: &super::Plan) -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().filter(|one| !plan.short || !one.is_small())
    }

    /// Whether it is one of the last ones.
    pub fn is_small(self) -> bool {
        matches!(
            self,
            Self::Tell | Self::Fail | Self::Flush | Self::Emergency | Self::Backup | Self::Import | Self::Rebuild
        )
    }

    /// Its name in the table.
    pub fn name(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Restore => "restore",
            Self::Undo => "undo",
            Self::Rollback => "rollback",
            Self::Merge => "merge",
            Self::Cleanup => "cleanup",
            Self::Publish => "publish",
            Self::Repair => "repair",
            Self::Tell => "tell",
            Self::Fail => "fail",
            Self::Flush => "flush",
            Self::Emergency => "emergency",
            Self::Backup => "backup",
            Self::Import => "import",
            Self::Rebuild => "rebuild",
        }
    }

    /// The call, on one thread: strace counts calls per thread.
    pub fn arguments(self) -> &'static [&'static str] {
        match self {
            Self::Create => &["create-checkpoint", "wf", r#"{"name":"second"}"#, "--threads", "1", "--json"],
            Self::Restore => &["restore", "wf", BASE, "--yes", "--exact-mtime", "--threads", "1", "--json"],
            Self::Undo => &["undo", "--yes", "--threads", "1", "--json"],
            Self::Rollback => &["rollback", "wf", "--agent", "a", "--yes", "--exact-mtime", "--threads", "1", "--json"],
            Self::Merge => &["restore", "wf", BASE, "--restoration-mode", "merge", "--yes", "--threads", "1", "--json"],
            Self::Cleanup => {
                &["cleanup-checkpoints", "wf", r#"{"retention_policy":"last=2"}"#, "--threads", "1", "--json"]
            }
            Self::Publish => states::PUBLISH,
            Self::Repair => states::REPAIR,
            Self::Tell => told::TELL,
            Self::Fail => told::FAIL,
            Self::Flush => told::FLUSH,
            Self::Emergency => &["emergency-restore", "wf", "--yes", "--threads", "1", "--json"],
            Self::Backup => whole::BACKUP,
            Self::Import => whole::IMPORT,
            Self::Rebuild => whole::REBUILD,
        }
    }
}

impl Trial {
    /// Makes the world and brings it to the point before the operation.
    pub fn prepare(operation: Operation, world: World) -> Result<Self, String> {
        fill(&world)?;
        let vault = world.vault().to_string_lossy().into_owned();
        world.wfr_ok(&["init", "--store", &vault])?;
        before_base(operation, &world)?;
        let base = world.snapshot();
        world.wfr_ok(&["create-checkpoint", "wf", &format!(r#"{{"name":"{BASE}"}}"#), "--json"])?;
        let mut kept = base.clone();
        if operation == Operation::Rollback {
            // One file has lines of both, so that taking the first one's back has to merge.
            let of_b = world.ws().join("of_b.txt");
            std::fs::write(&of_b, "b\n").map_err(|error| error.to_string())?;
            write_joined(&world, "first", "last of b")?;
            kept = world.snapshot();
            std::fs::remove_file(&of_b).map_err(|error| error.to_string())?;
            write_joined(&world, "first", "last")?;
            as_change(&world, "a", |world| {
                edit(world)?;
                write_joined(world, "first of a", "last")
            })?;
            as_change(&world, "b", |world| {
                std::fs::write(&of_b, "b\n").map_err(|error| error.to_string())?;
                write_joined(world, "first of a", "last of b")
            })?;
        } else if operation == Operation::Merge {
            lose(&world)?;
        } else {
            edit(&world)?;
            if operation == Operation::Rebuild {
                whole::beside_checkpoints(&world)?;
            }
        }
        if states::goes_with_files(operation) {
            states::go_on(&world)?;
        }
        let edited = world.snapshot();
        let (old, new) = match operation {
            Operation::Create
            | Operation::Publish
            | Operation::Repair
            | Operation::Tell
            | Operation::Fail
            | Operation::Flush
            | Operation::Backup
            | Operation::Import
            | Operation::Rebuild => (edited.clone(), edited),
            Operation::Restore | Operation::Emergency => (edited, base.clone()),
            Operation::Rollback => (edited, kept),
            Operation::Merge => {
                let merged = joined(&world, &base)?;
                (edited, merged)
            }
            Operation::Undo => {
                world.wfr_ok(&["restore", "wf", BASE, "--yes", "--exact-mtime", "--json"])?;
                (base.clone(), edited)
            }
            Operation::Cleanup => {
                world.wfr_ok(&["create-checkpoint", "wf", &format!(r#"{{"name":"{SECOND}"}}"#), "--json"])?;
                (edited.clone(), edited)
            }
        };
        world.save()?;
        let trial = Self { operation, world, base, old, new };
        trial.rehearse()?;
        Ok(trial)
    }

    /// Without a fault the operation does what it should: else nothing below would mean anything.
    fn rehearse(&self) -> Result<(), String> {
        let outcome = self.world.wfr_ok(self.operation.arguments())?;
        self.acknowledged(&outcome).map_err(|why| format!("without any fault, {}: {why}", self.operation.name()))?;
        self.world.healthy().map_err(|why| format!("without any fault, after {}: {why}", self.operation.name()))
    }

    /// What must hold at once after a fault, before any other command: no file is torn.
    pub fn no_file_is_torn(&self) -> Result<(), String> {
        let now = self.world.snapshot();
        for (path, entry) in &now.entries {
            let known = [&self.old, &self.new].map(|side| side.entries.get(path).map(|e| &e.what));
            if !known.contains(&Some(&entry.what)) && !path.starts_with(b".claude") {
                return Err(format!("`{}` is neither old nor new: {:?}", path.escape_ascii(), entry.what));
            }
        }
        Ok(())
    }

    /// What must hold after a fault, once the next command has run: whole, healthy, nothing acknowledged lost.
    /// `turn` varies which command comes next.
    pub fn settled(&self, turn: usize, outcome: &Outcome) -> Result<(), String> {
        whole::recalled(&self.world)?;
        match turn % 3 {
            0 => drop(self.world.wfr_ok(&["resume", "--json"])?),
            1 => {
                self.world.wfr_ok(&["create-checkpoint", "wf", r#"{"name":"next"}"#, "--json"])?;
                self.world.wfr_ok(&["resume", "--json"])?;
            }
            _ => drop(self.world.wfr_ok(&["resume", "--take-back", "--json"])?),
        }
        self.world.healthy()?;
        let stands = self.old_or_new(outcome, &self.world.wfr_ok(&["recoveries", "--report-details", "--json"])?)?;
        self.checkpoints_are_whole()?;
        states::settled(self.operation, &self.world, stands)?;
        told::settled(self.operation, &self.world)?;
        whole::settled(self.operation, &self.world)?;
        if matches!(self.operation, Operation::Restore | Operation::Rollback | Operation::Merge | Operation::Emergency)
            && stands == "new"
        {
            self.world.wfr_ok(&["undo", "--yes", "--json"])?;
            states::settled(self.operation, &self.world, "old")?;
            same(&self.old.clone().without_mtimes(), &self.world.snapshot().without_mtimes(), "undo afterwards")?;
        }
        Ok(())
    }

    /// What must hold where the operation said that all went well.
    pub fn acknowledged(&self, outcome: &Outcome) -> Result<(), String> {
        match self.operation {
            Operation::Create => self.second_is_there(outcome),
            Operation::Restore | Operation::Undo | Operation::Rollback | Operation::Merge | Operation::Emergency => {
                let wrong = self.not_as_new(&self.world.snapshot(), &left_unread(outcome.result("kept")));
                if !wrong.is_empty() {
                    return Err(format!("acknowledged, but the workspace differs: {:?}", &wrong[..wrong.len().min(5)]));
                }
                states::settled(self.operation, &self.world, "new")
            }
            Operation::Cleanup => {
                let names = self.world.checkpoints()?;
                if names.iter().any(|name| name.starts_with("old")) {
                    return Err(format!("acknowledged, but old checkpoints are listed: {names:?}"));
                }
                self.checkpoints_are_whole()
            }
            Operation::Publish | Operation::Repair => states::acknowledged(self.operation, &self.world),
            Operation::Tell | Operation::Fail | Operation::Flush => {
                told::acknowledged(self.operation, &self.world, outcome)
            }
            Operation::Backup | Operation::Import | Operation::Rebuild => {
                whole::acknowledged(self.operation, &self.world)
            }
        }
    }

    /// The acknowledged checkpoint gives back all that its coverage does not exclude.
    fn second_is_there(&self, outcome: &Outcome) -> Result<(), String> {
        let restored = self.world.restored(SECOND)?;
        let lost = not_held(&self.new, restored, &left_out(outcome.result("coverage")));
        if lost.is_empty() {
            Ok(())
        } else {
            Err(format!("acknowledged, but the checkpoint lacks: {:?}", &lost[..lost.len().min(5)]))
        }
    }

    /// The state that the operation leads to, in what it promises.
    fn wanted(&self) -> Snapshot {
        self.comparable(self.new.clone())
    }

    /// Undo sets no exact times on what it changes. Directories' own times follow their entries' comings and goings.
    fn comparable(&self, snapshot: Snapshot) -> Snapshot {
        match self.operation {
            Operation::Undo | Operation::Rollback | Operation::Merge | Operation::Emergency => {
                snapshot.without_mtimes()
            }
            _ => snapshot.without_dir_mtimes(),
        }
    }

    /// In what a workspace differs from the one that the operation leads to. What could not be read was not saved, so it
    /// is left as it is, and the answer names it.
    fn not_as_new(&self, now: &Snapshot, left: &[Left<'_>]) -> Vec<String> {
        let (mut wanted, mut now) = (self.wanted(), self.comparable(now.clone()));
        if !left.is_empty() {
            // What was left alone may have been another name of what was not.
            let entries = wanted.entries.values_mut().chain(now.entries.values_mut());
            entries.for_each(|entry| entry.same_as = None);
        }
        let mut lines = wanted.differences(&now);
        lines.retain(|line| !left.iter().any(|left| left.is_meant(line)));
        lines
    }

    /// The workspace is as before or as after, whole but for what the answer, or where there was none the record of the
    /// recovery, says was left alone.
    fn old_or_new(&self, outcome: &Outcome, recoveries: &Outcome) -> Result<&'static str, String> {
        let now = self.world.snapshot();
        let mut left = left_unread(outcome.result("kept"));
        left.extend(left_unread(&recoveries.result("recoveries")[0]["record"]["report"]["kept"]));
        let not_new = self.not_as_new(&now, &left);
        if not_new.is_empty() {
            return Ok("new");
        }
        // What was taken back came by renames, so its times are the old ones, too.
        let lines = self.comparable(self.old.clone()).differences(&self.comparable(now));
        if lines.is_empty() {
            Ok("old")
        } else {
            let first = |lines: &[String]| lines[..lines.len().min(3)].join(", ");
            Err(format!(
                "the workspace is neither new ({} lines: {}) nor old ({} lines: {})",
                not_new.len(),
                first(&not_new),
                lines.len(),
                first(&lines)
            ))
        }
    }

    /// Every checkpoint that is listed restores, and those whose tree is known restore bit for bit.
    fn checkpoints_are_whole(&self) -> Result<(), String> {
        let names = self.world.checkpoints()?;
        if !names.iter().any(|name| name == BASE) {
            return Err(format!("the base is no longer listed: {names:?}"));
        }
        // What a repair takes first holds a state and no files.
        for name in names.into_iter().filter(|name| !name.starts_with(states::BACKUP)) {
            let restored = self.world.restored(&name)?;
            let known = match name.as_str() {
                BASE => &self.base,
                SECOND => {
                    if self.operation == Operation::Undo {
                        continue;
                    } else {
                        self.edited()
                    }
                }
                name if self.operation != Operation::Flush && told::TAKEN.iter().any(|one| name.starts_with(one)) => {
                    self.edited()
                }
                _ => continue,
            };
            let lines = not_held(known, restored, &self.world.left_out(&name)?);
            if !lines.is_empty() {
                return Err(format!("{name} differs: {:?}", &lines[..lines.len().min(5)]));
            }
        }
        Ok(())
    }

    /// The edited workspace.
    fn edited(&self) -> &Snapshot {
        if self.operation == Operation::Undo { &self.new } else { &self.old }
    }
}

/// What an operation needs before there is a base.
fn before_base(operation: Operation, world: &World) -> Result<(), String> {
    match operation {
        Operation::Cleanup => old_checkpoints(world)?,
        Operation::Publish => states::to_publish(world)?,
        Operation::Repair => states::to_repair(world)?,
        Operation::Tell => told::to_tell(world)?,
        Operation::Fail => told::to_fail(world)?,
        Operation::Flush => told::to_flush(world)?,
        Operation::Merge => {
            states::to_go_back(world)?;
            early_checkpoint(world)?;
        }
        Operation::Restore | Operation::Undo | Operation::Emergency => states::to_go_back(world)?,
        Operation::Rollback => {
            write_joined(world, "first", "last")?;
            states::to_roll_back(world)?;
        }
        Operation::Import => whole::to_import(world)?,
        Operation::Rebuild => whole::to_rebuild(world)?,
        Operation::Create | Operation::Backup => {}
    }
    Ok(())
}

/// What a checkpoint, as it was written out, does not hold of a tree as it should. It may lack what it names, and what is below
/// that, and nothing else.
fn not_held(wanted: &Snapshot, held: Snapshot, left_out: &[Vec<u8>]) -> Vec<String> {
    let is_named = |path: &[u8]| {
        let mut named = left_out.iter().filter_map(|left| path.strip_prefix(left.as_slice()));
        named.any(|rest| rest.is_empty() || rest.starts_with(b"/"))
    };
    let due = wanted.clone().without_dir_mtimes().only(|path| !is_named(path));
    due.differences(&held.without_dir_mtimes().only(|path| !is_named(path)))
}

/// Both are equal, or a text with the first differences.
pub fn same(wanted: &Snapshot, real: &Snapshot, what: &str) -> Result<(), String> {
    let lines = wanted.differences(real);
    if lines.is_empty() { Ok(()) } else { Err(format!("{what} differs: {:?}", &lines[..lines.len().min(5)])) }
}

/// Fills the workspace with a small tree that has every kind of entry.
fn fill(world: &World) -> Result<(), String> {
    let tree = TestTree::of_every_kind();
    // A small one in place of the large one keeps a trial fast; flips and powers have their own trees.
    tree.write("big.bin", &wfr_testkit::Prng::new(1).bytes(1_200_000));
    let from = tree.path().join(".");
    super::world::run(std::process::Command::new("cp").arg("-a").arg(from).arg(world.ws())).map(drop)
}

/// Changes, removes, adds and moves entries of every kind.
fn edit(world: &World) -> Result<(), String> {
    let script = r#"set -e
        printf 'a1\n' > a.txt; printf 'more' >> big.bin; chmod 644 run.sh; rm link; ln -s sub link; rm -r empty
        rm -- secret dangling; mv sub/deep sub/moved; printf 'new' > new.txt; mkdir newdir; printf 'n' > newdir/n
        rm zero; mkdir zero; printf 'z' > zero/inside; rm to-dir; printf 'now a file' > to-dir; touch sub/read-only"#;
    let mut command = std::process::Command::new("sh");
    super::world::run(command.arg("-c").arg(script).current_dir(world.ws())).map(drop)
}

/// The file in which the work of two is to be told apart, or joined.
const JOINED: &str = "joined.txt";

/// What it is, with the word on its first and on its last line.
fn joined_text(first: &str, last: &str) -> String {
    let middle: String = (2..9).map(|line| format!("line {line}\n")).collect();
    format!("{first}\n{middle}{last}\n")
}

fn write_joined(world: &World, first: &str, last: &str) -> Result<(), String> {
    std::fs::write(world.ws().join(JOINED), joined_text(first, last)).map_err(|error| error.to_string())
}

/// The version of the file from which the base's and the present one both come, in a checkpoint of its own, and then the base's.
fn early_checkpoint(world: &World) -> Result<(), String> {
    write_joined(world, "first", "last")?;
    world.wfr_ok(&["create-checkpoint", "wf", r#"{"name":"early"}"#, "--json"])?;
    write_joined(world, "first of the base", "last")
}

/// Loses entries, makes others, and edits the earlier version of the file again.
fn lose(world: &World) -> Result<(), String> {
    write_joined(world, "first", "last")?;
    world.wfr_ok(&["create-checkpoint", "wf", r#"{"name":"put-back"}"#, "--json"])?;
    write_joined(world, "first", "last of the present")?;
    let script =
        "set -e; rm -r empty; rm -- secret dangling link; rm -r sub; printf more >> big.bin; printf n > new.txt";
    let mut command = std::process::Command::new("sh");
    super::world::run(command.arg("-c").arg(script).current_dir(world.ws())).map(drop)
}

/// What the merge leads to: all that the present or the base has, and the file with the edits of both.
fn joined(world: &World, base: &Snapshot) -> Result<Snapshot, String> {
    let present = std::fs::read(world.ws().join(JOINED)).map_err(|error| error.to_string())?;
    write_joined(world, "first of the base", "last of the present")?;
    let mut joined = world.snapshot();
    std::fs::write(world.ws().join(JOINED), present).map_err(|error| error.to_string())?;
    for (path, entry) in &base.entries {
        // Names of one file are that again, so what is as in the base is so in this, too.
        if joined.entries.get(path).is_none_or(|own| own.what == entry.what) {
            joined.entries.insert(path.clone(), entry.clone());
        }
    }
    Ok(joined)
}

/// Checkpoints whose content nothing else shares, for a cleanup to remove.
fn old_checkpoints(world: &World) -> Result<(), String> {
    let file = world.ws().join("passing");
    for number in 0..3 {
        std::fs::write(&file, wfr_testkit::Prng::new(100 + number).bytes(50_000)).map_err(|e| e.to_string())?;
        world.wfr_ok(&["create-checkpoint", "wf", &format!(r#"{{"name":"old{number}"}}"#), "--json"])?;
    }
    std::fs::remove_file(file).map_err(|error| error.to_string())
}

/// A path that was left as it was.
struct Left<'o> {
    path: &'o str,
    with_all_below: bool,
}

impl Left<'_> {
    /// Whether a line of [`Snapshot::differences`] is about it.
    fn is_meant(&self, line: &str) -> bool {
        let rest = line.strip_prefix(self.path).unwrap_or_default();
        rest.starts_with(": ") || self.with_all_below && rest.starts_with('/')
    }
}

/// What of a list of paths that were left alone could not be read, and the directories that hold such.
fn left_unread(kept: &Value) -> Vec<Left<'_>> {
    let left = |kept: &'_ Value| {
        let reason = &kept["reason"];
        // What goes from the present to the present lacks it on both sides.
        let is_unread = ["uncovered", "not_in_checkpoint"].iter().any(|side| reason[*side] == "unreadable");
        is_unread.then_some(true).or((reason == "not_empty").then_some(false))
    };
    let kept = kept.as_array().into_iter().flatten();
    kept.filter_map(|kept| Some(Left { with_all_below: left(kept)?, path: kept["path"].as_str()? })).collect()
}
