//! A user who edits, moves, deletes and swaps links while a restore or a rollback runs.
//!
//! Owns the promise that no edit is lost and nothing outside is touched. Refuses to demand which of the two
//! sides wins a path.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::os::fd::OwnedFd;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use rustix::fs::{AtFlags, Mode, OFlags, ResolveFlags, openat, openat2, renameat, symlinkat, unlinkat};
use wfr_testkit::{Prng, Snapshot};

use super::Plan;
use super::tally::{Tallies, Tally};
use super::world::{World, outcome, said};

/// Files of the workspace; all of them differ from the checkpoint.
const FILES: usize = 300;

/// What the user last wrote, by the path where it should be.
type Edits = BTreeMap<PathBuf, String>;

/// What the user works against.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Against {
    Restore,
    /// One agent's work goes, another's in the same files stays.
    Rollback,
}

impl Against {
    fn name(self) -> &'static str {
        match self {
            Self::Restore => "restore",
            Self::Rollback => "rollback",
        }
    }

    fn arguments(self) -> &'static [&'static str] {
        match self {
            Self::Restore => &["restore", "wf", "base", "--yes", "--json"],
            // What the user changed before the plan was made is not the agent's to take back.
            Self::Rollback => &["rollback", "wf", "--agent", "a", "--partial", "--yes", "--json"],
        }
    }
}

/// Rounds of a restore and of a rollback against a user.
pub fn run(plan: &Plan) -> Tallies<'_> {
    let rounds = if plan.short { [4, 4] } else { [200, 1_000] };
    let all = [Against::Restore, Against::Rollback].into_iter().zip(rounds);
    Box::new(all.map(|(against, rounds)| tally(plan, against, rounds)))
}

fn tally(plan: &Plan, against: Against, rounds: u64) -> Tally {
    let mut tally = Tally::new(format!("races {} against a user", against.name()));
    let mut edits = 0;
    for round in 0..rounds {
        let label = format!("{}:{round}", against.name());
        if plan.point.as_ref().is_some_and(|point| *point != label) {
            continue;
        }
        let raced = race(plan, against, plan.seed.wrapping_mul(1_000).wrapping_add(round));
        edits += raced.as_ref().map_or(0, |count| *count);
        tally.add(&label, (true, raced.map(drop)));
    }
    tally.hits = edits;
    tally
}

/// One round; returns how many edits were made while the restore ran.
fn race(plan: &Plan, against: Against, seed: u64) -> Result<usize, String> {
    let world = World::new(&plan.wfr, &plan.dir)?;
    let outside = world.scratch("outside")?;
    fs::write(outside.join("f7"), "must stay").map_err(said("write"))?;
    let (vault, ws) = (world.vault().to_string_lossy().into_owned(), world.ws());
    world.wfr_ok(&["init", "--store", &vault])?;
    write_all(&ws, "base", "base")?;
    world.wfr_ok(&["create-checkpoint", "wf", r#"{"name":"base"}"#, "--json"])?;
    match against {
        Against::Restore => write_all(&ws, "edited", "base")?,
        Against::Rollback => {
            super::operation::as_change(&world, "b", |_| write_all(&ws, "base", "of b"))?;
            super::operation::as_change(&world, "a", |_| write_all(&ws, "edited", "of b"))?;
        }
    }
    let before = Snapshot::of(&outside);
    let child = world
        .command(against.arguments())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(said("start wfr"))?;
    let mut user = User { ws, outside: outside.clone(), prng: Prng::new(seed), edits: Edits::new(), count: 0 };
    // Its output is read meanwhile: a pipe that is full would stop it.
    let waiting = std::thread::spawn(move || child.wait_with_output());
    while !waiting.is_finished() {
        user.edit();
    }
    let ended = waiting.join().map_err(|_| "the waiting thread panicked".to_owned())?.map_err(said("wait"))?;
    let ended = outcome(ended.status, &ended.stdout, &ended.stderr);
    if !matches!(ended.code, Some(0 | 1 | 5 | 7)) {
        return Err(format!("seed {seed}: the {} ended with {ended}", against.name()));
    }
    super::operation::same(&before, &Snapshot::of(&outside), "the outside")?;
    all_kept(&world, &user.edits).map_err(|why| {
        let kept = world.keep_evidence(&format!("races-{}-{seed}", against.name()));
        format!("seed {seed}: the {} ended with {ended}; {why} (kept in {kept})", against.name())
    })?;
    Ok(user.count)
}

/// Writes all files, each with a line at its beginning and one at its end.
fn write_all(ws: &Path, first: &str, last: &str) -> Result<(), String> {
    for number in 0..FILES {
        let dir = ws.join(format!("d{}", number % 10));
        fs::create_dir_all(&dir).map_err(said("make a directory"))?;
        fs::write(dir.join(format!("f{number}")), format!("{first} {number}\n1\n2\n3\n4\n{last}\n"))
            .map_err(said("write"))?;
    }
    Ok(())
}

/// Somebody at work in the workspace.
struct User {
    ws: PathBuf,
    outside: PathBuf,
    prng: Prng,
    edits: Edits,
    count: usize,
}

impl User {
    /// One edit; what the disk refuses (the file is just not there) is no edit.
    fn edit(&mut self) {
        let number = self.prng.below(FILES);
        let path = self.ws.join(format!("d{}/f{number}", number % 10));
        let token = format!("user edit {} of {number}\n", self.count);
        let done = match self.prng.below(12) {
            0..5 => self.write_in_place(&path, &token),
            5..8 => self.write_by_rename(&path, &token),
            8 => self.delete(&path),
            9 => self.move_away(&path),
            10 => self.swap_for_link(&path),
            _ => self.swap_directory(number % 10),
        };
        self.count += usize::from(done.is_ok());
    }

    /// The directory of a file, open. No link on the way is followed: the recovery may put one back at any moment, and what
    /// this user wrote outside through it would look like the recovery's work.
    fn directory(&self, path: &Path) -> std::io::Result<OwnedFd> {
        let (parent, ws) = (path.parent().unwrap_or(path), fs::File::open(&self.ws)?);
        let below = parent.strip_prefix(&self.ws).map_err(std::io::Error::other)?;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
        Ok(openat2(ws, below, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty(), resolve)?)
    }

    /// Opens what is there and puts the token at its front, as careless editors do.
    fn write_in_place(&mut self, path: &Path, token: &str) -> std::io::Result<()> {
        let flags = OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = openat(self.directory(path)?, name(path), flags, Mode::empty())?;
        fs::File::from(file).write_all(token.as_bytes())?;
        self.edits.insert(path.to_owned(), token.to_owned());
        Ok(())
    }

    fn write_by_rename(&mut self, path: &Path, token: &str) -> std::io::Result<()> {
        let (dir, beside) = (self.directory(path)?, path.with_extension("swp"));
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = openat(&dir, name(&beside), flags, Mode::RUSR | Mode::WUSR)?;
        fs::File::from(file).write_all(token.as_bytes())?;
        renameat(&dir, name(&beside), &dir, name(path))?;
        self.edits.insert(path.to_owned(), token.to_owned());
        Ok(())
    }

    fn delete(&mut self, path: &Path) -> std::io::Result<()> {
        unlinkat(self.directory(path)?, name(path), AtFlags::empty())?;
        self.edits.remove(path);
        Ok(())
    }

    fn move_away(&mut self, path: &Path) -> std::io::Result<()> {
        let (dir, to) = (self.directory(path)?, path.with_extension(format!("moved{}", self.count)));
        renameat(&dir, name(path), &dir, name(&to))?;
        if let Some(token) = self.edits.remove(path) {
            self.edits.insert(to, token);
        }
        Ok(())
    }

    /// A link to a file outside, where a file was.
    fn swap_for_link(&mut self, path: &Path) -> std::io::Result<()> {
        let dir = self.directory(path)?;
        unlinkat(&dir, name(path), AtFlags::empty())?;
        self.edits.remove(path);
        symlinkat(self.outside.join("f7"), &dir, name(path))?;
        Ok(())
    }

    /// A link to a directory outside, where a directory was; the directory moves beside, and back the next time.
    fn swap_directory(&mut self, number: usize) -> std::io::Result<()> {
        let (dir, away) = (self.ws.join(format!("d{number}")), self.ws.join(format!("d{number}.away")));
        if dir.is_symlink() {
            fs::remove_file(&dir)?;
            fs::rename(&away, &dir)?;
            return Ok(());
        }
        if away.exists() {
            return Err(std::io::ErrorKind::AlreadyExists.into());
        }
        fs::rename(&dir, &away)?;
        symlink(&self.outside, &dir)
    }
}

/// A path's last name.
fn name(path: &Path) -> &std::ffi::OsStr {
    path.file_name().unwrap_or_default()
}

/// Every token is in the workspace, in the safety checkpoint, or comes back by undo.
fn all_kept(world: &World, edits: &Edits) -> Result<(), String> {
    let mut missing: Vec<(&PathBuf, &String)> = edits.iter().collect();
    let here = texts_below(&world.ws())?;
    missing.retain(|(_, token)| !here.iter().any(|text| text.starts_with(token.as_str())));
    for name in world.checkpoints()?.iter().filter(|name| *name != "base") {
        let out = world.scratch("out")?;
        world.wfr_ok(&["restore", "wf", name, "--to", &out.to_string_lossy(), "--yes", "--json"])?;
        let saved = texts_below(&out)?;
        missing.retain(|(_, token)| !saved.iter().any(|text| text.starts_with(token.as_str())));
    }
    if missing.is_empty() { Ok(()) } else { Err(format!("edits are lost: {missing:?}")) }
}

/// The contents of all files below a directory, staging included.
fn texts_below(dir: &Path) -> Result<Vec<String>, String> {
    let mut texts = Vec::new();
    let mut pending = vec![dir.to_owned()];
    while let Some(dir) = pending.pop() {
        for child in fs::read_dir(&dir).map_err(said("list"))?.flatten() {
            match child.file_type() {
                Ok(kind) if kind.is_dir() => pending.push(child.path()),
                Ok(kind) if kind.is_file() => {
                    texts.push(String::from_utf8_lossy(&fs::read(child.path()).map_err(said("read"))?).into_owned());
                }
                _ => {}
            }
        }
    }
    Ok(texts)
}
