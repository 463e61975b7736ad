//! Damage: single bits flipped and files cut short, anywhere in a small vault.
//!
//! Owns the choice of bits and the two promises: no wrong byte comes out, and what is damaged is named. Refuses
//! to know formats: every file of the vault is treated alike.

use std::fs;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use wfr_testkit::{Prng, Snapshot};

use super::Plan;
use super::tally::{Run, Tallies, Tally};
use super::world::{World, of_users, said};

/// Trials of each kind in the short run.
const SHORT: usize = 40;

/// One damage to one file of the vault.
#[derive(Clone)]
struct Damage {
    /// Relative to the vault.
    file: PathBuf,
    /// The bit that is flipped, or the length in bytes that is left.
    at: u64,
    /// Whether the file is cut rather than flipped.
    cut: bool,
}

/// Bit flips, then truncations.
pub fn run(plan: &Plan) -> Tallies<'_> {
    Box::new([false, true].into_iter().map(|cut| damage_all(plan, cut)))
}

fn damage_all(plan: &Plan, cut: bool) -> Tally {
    let mut tally = Tally::new(if cut { "flips truncation" } else { "flips bit" });
    let prepared: Result<Vec<_>, String> = (0..plan.jobs).map(|_| prepare(plan)).collect();
    let (worlds, all) = match prepared.and_then(|worlds| Ok((damages(&worlds[0].0, cut)?, worlds))) {
        Ok((all, worlds)) => (worlds, chosen(plan, all)),
        Err(why) => {
            tally.add("preparing", (false, Err(why)));
            return tally;
        }
    };
    let shared = Mutex::new(&mut tally);
    let next = AtomicUsize::new(0);
    let until = plan.flipping.and_then(|length| Instant::now().checked_add(length));
    std::thread::scope(|scope| {
        for (world, base) in &worlds {
            scope.spawn(|| work(until, (world, base), &all, &next, &shared));
        }
    });
    tally
}

/// A small workspace with one checkpoint.
fn prepare(plan: &Plan) -> Result<(World, Snapshot), String> {
    let world = World::new(&plan.wfr, &plan.dir)?;
    let ws = world.ws();
    for (name, bytes) in [("a.txt", b"a0\n".to_vec()), ("noise", Prng::new(5).bytes(2_000)), ("zeros", vec![0; 4_000])]
    {
        fs::write(ws.join(name), bytes).map_err(said("write a file"))?;
    }
    fs::create_dir(ws.join("dir")).map_err(said("make a directory"))?;
    fs::write(ws.join("dir/inner"), "inner\n".repeat(50)).map_err(said("write a file"))?;
    std::os::unix::fs::symlink("a.txt", ws.join("link")).map_err(said("make a link"))?;
    let vault = world.vault().to_string_lossy().into_owned();
    world.wfr_ok(&["init", "--store", &vault])?;
    world.wfr_ok(&["create-checkpoint", "wf", r#"{"name":"base"}"#, "--json"])?;
    let base = world.snapshot();
    world.save()?;
    Ok((world, base))
}

/// Every damage of a kind to every file of the vault.
fn damages(world: &World, cut: bool) -> Result<Vec<Damage>, String> {
    let mut all = Vec::new();
    let mut pending = vec![world.vault()];
    while let Some(dir) = pending.pop() {
        for child in fs::read_dir(&dir).map_err(said("list the vault"))? {
            let child = child.map_err(said("list the vault"))?;
            let meta = child.metadata().map_err(said("look at the vault"))?;
            if meta.is_dir() {
                pending.push(child.path());
            } else if meta.is_file() && !is_reserve(&child.path()) {
                let file = child.path().strip_prefix(world.vault()).map(Path::to_owned).unwrap_or_default();
                let count = if cut { meta.len() } else { meta.len() * 8 };
                all.extend((0..count).map(|at| Damage { file: file.clone(), at, cut }));
            }
        }
    }
    Ok(all)
}

/// The reserve for a full disk holds nothing.
fn is_reserve(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().contains("reserve"))
}

/// All of them; in the short run a random sample, with as many from each file.
fn chosen(plan: &Plan, all: Vec<Damage>) -> Vec<Damage> {
    let label = |damage: &Damage| damage_label(damage);
    if let Some(text) = &plan.point {
        return all.into_iter().filter(|damage| label(damage).contains(text)).collect();
    }
    if !plan.short {
        return shuffled(all, plan.seed);
    }
    let mut files: Vec<Vec<Damage>> = Vec::new();
    for damage in all {
        match files.last_mut().filter(|group| group[0].file == damage.file) {
            Some(group) => group.push(damage),
            None => files.push(vec![damage]),
        }
    }
    let mut prng = Prng::new(plan.seed);
    let each = SHORT.div_ceil(files.len().max(1));
    files.iter().flat_map(|group| (0..each).map(|_| prng.pick(group).clone()).collect::<Vec<_>>()).collect()
}

/// The same in random order: a run that is ended early has seen a fair sample.
fn shuffled(mut all: Vec<Damage>, seed: u64) -> Vec<Damage> {
    let mut prng = Prng::new(seed);
    for at in (1..all.len()).rev() {
        all.swap(at, prng.below(at + 1));
    }
    all
}

fn damage_label(damage: &Damage) -> String {
    format!("{}/{}:{}", if damage.cut { "cut" } else { "bit" }, damage.file.display(), damage.at)
}

fn work(
    until: Option<Instant>,
    (world, base): (&World, &Snapshot),
    all: &[Damage],
    next: &AtomicUsize,
    tally: &Mutex<&mut Tally>,
) {
    while until.is_none_or(|until| Instant::now() < until) {
        let Some(damage) = all.get(next.fetch_add(1, Ordering::Relaxed)) else { return };
        let run = trial(world, base, damage);
        let mut tally = tally.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        tally.add(&damage_label(damage), run);
    }
}

/// Damages, asks, and puts back.
fn trial(world: &World, base: &Snapshot, damage: &Damage) -> Run {
    let judged = || {
        if !world.vault().join(&damage.file).exists() {
            return Ok(false);
        }
        inflict(&world.vault().join(&damage.file), damage)?;
        judge(world, base).map(|()| true)
    };
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(judged));
    let result = result.unwrap_or_else(|_| Err("the check itself failed".to_owned()));
    let reset = world.reset();
    match result.and_then(|hit| reset.map(|()| hit)) {
        Ok(hit) => (hit, Ok(())),
        Err(why) => (true, Err(why)),
    }
}

fn inflict(path: &Path, damage: &Damage) -> Result<(), String> {
    let file = fs::OpenOptions::new().read(true).write(true).open(path).map_err(said("open the vault's file"))?;
    if damage.cut {
        return file.set_len(damage.at).map_err(said("cut the file"));
    }
    let mut byte = [0];
    file.read_exact_at(&mut byte, damage.at / 8).map_err(said("read the byte"))?;
    byte[0] ^= 1 << (damage.at % 8);
    file.write_all_at(&byte, damage.at / 8).map_err(said("write the byte"))
}

/// No wrong byte comes out, and a validation that says all is well is right.
fn judge(world: &World, base: &Snapshot) -> Result<(), String> {
    let validation = r#"{"validation_level":"comprehensive"}"#;
    let validated = world.wfr(&["validate-checkpoint", "wf", "base", validation, "--json"]);
    let out = world.scratch("out")?;
    let to = out.to_string_lossy().into_owned();
    let restored = world.wfr(&["restore", "wf", "base", "--to", &to, "--exact-mtime", "--yes", "--json"]);
    for (what, outcome) in [("validate", &validated), ("restore", &restored)] {
        if outcome.hung() || outcome.signal.is_some() || outcome.code == Some(101) {
            return Err(format!("{what} crashed: {outcome}"));
        }
    }
    let lines = base.clone().without_dir_mtimes().differences(&of_users(&out).without_dir_mtimes());
    let wrong: Vec<_> = lines.iter().filter(|line| !line.ends_with("-> absent")).collect();
    if !wrong.is_empty() && restored.is_ok() || wrong.iter().any(|line| line.contains("File(")) {
        return Err(format!("restore ({restored}) gave wrong bytes: {wrong:?}"));
    }
    if restored.is_ok() && !lines.is_empty() {
        return Err(format!("restore said that all went well, but: {lines:?}"));
    }
    if validated.is_ok() && !restored.is_ok() {
        return Err(format!("validate says that all is well, but restore ended with {restored}"));
    }
    Ok(())
}
