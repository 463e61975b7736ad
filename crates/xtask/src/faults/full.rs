//! A full disk, from the start of an operation to its end.
//!
//! Owns filling a small file system up to a few bytes. Refuses to demand that everything works there: but reads,
//! cleanup and undo must.

use std::fs::{self, File};
use std::io::Write as _;

use super::Plan;
use super::mounts::{self, Mount};
use super::operation::{Operation, Trial};
use super::tally::{Tallies, Tally};
use super::world::{World, said};

/// Bytes that are left free, in kilobytes.
const FREE_KB: [u64; 10] = [0, 4, 16, 64, 128, 256, 512, 1_024, 2_048, 8_192];

/// Size of the file system in bytes.
const SIZE: u64 = 192 << 20;

/// All operations.
pub fn run(plan: &Plan) -> Tallies<'_> {
    if let Err(why) = mounts::permitted(&plan.dir) {
        return Tally::alone(Tally::skipped("full", &format!("no tmpfs can be mounted here: {why}"), false));
    }
    Box::new(Operation::under_all(plan).map(|operation| fill_all(plan, operation)))
}

fn fill_all(plan: &Plan, operation: Operation) -> Tally {
    let mut tally = Tally::new(format!("full {}", operation.name()));
    let Ok(dir) = tempfile::tempdir_in(&plan.dir) else {
        tally.add("preparing", (false, Err("cannot make a directory".to_owned())));
        return tally;
    };
    let prepared = Mount::tmpfs(dir.path(), SIZE).and_then(|mount| {
        let world = World::inside(&plan.wfr, &dir.path().join("world"))?;
        Ok((Trial::prepare(operation, world)?, mount))
    });
    let (trial, _mount) = match prepared {
        Ok(prepared) => prepared,
        Err(why) => {
            tally.add("preparing", (false, Err(why)));
            return tally;
        }
    };
    for (turn, free) in FREE_KB.into_iter().enumerate() {
        let label = format!("{}/free:{free}k", operation.name());
        if plan.point.as_ref().is_none_or(|text| label.contains(text)) {
            tally.add(&label, (true, full(&trial, free << 10, turn)));
        }
    }
    tally
}

/// One run with `free` bytes left.
fn full(trial: &Trial, free: u64, turn: usize) -> Result<(), String> {
    let world = &trial.world;
    world.scratch("out")?;
    world.reset()?;
    let filler = world.root().join("filler");
    fill(&filler, free)?;
    let reads = [&["list-checkpoints", "wf", "--json"][..], &["cat", "base", "run.sh"]];
    let read = reads.map(|arguments| world.wfr(arguments));
    let outcome = world.wfr(trial.operation.arguments());
    fs::remove_file(&filler).map_err(said("remove the filler"))?;
    for (read, arguments) in read.into_iter().zip(reads) {
        read.expect_ok(&format!("`wfr {}` on a full disk", arguments.join(" ")))?;
    }
    if outcome.hung() || outcome.signal.is_some() || outcome.code == Some(101) {
        return Err(format!("it crashed: {outcome}"));
    }
    trial.no_file_is_torn()?;
    if outcome.is_ok() {
        trial.acknowledged(&outcome)?;
    } else if matches!(trial.operation, Operation::Cleanup | Operation::Undo) {
        return Err(format!("it must work on a full disk, but ended with {outcome}"));
    }
    trial.settled(turn, &outcome)
}

/// Writes until nothing fits any more, then gives `free` bytes back.
fn fill(path: &std::path::Path, free: u64) -> Result<(), String> {
    let mut file = File::create(path).map_err(said("make the filler"))?;
    let block = vec![0xa5; 1 << 16];
    let mut length = 0u64;
    for size in [1 << 16, 1 << 12] {
        while file.write(&block[..size]).is_ok_and(|written| {
            length += written as u64;
            written == size
        }) {}
    }
    file.set_len(length.saturating_sub(free)).map_err(said("cut the filler"))
}
