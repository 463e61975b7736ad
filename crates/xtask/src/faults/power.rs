//! Power cuts on a loop-mounted ext4.
//!
//! Owns the cycle: put the image back, run up to a point, kill, cut, mount again, check. Refuses to count a cut
//! on a machine that may not mount.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::Plan;
use super::mounts::{Mount, make_ext4};
use super::operation::{Operation, Trial};
use super::strace::{self, Point};
use super::tally::{Run, Tallies, Tally};
use super::world::{World, run as run_tool, said};

/// Cuts of each operation in the short run.
const SHORT: usize = 5;

/// The size of the file system: two states of a small world and the store's reserve.
const MEGABYTES: u64 = 160;

/// A disk with a prepared trial on it.
struct Disk {
    dir: TempDir,
    trial: Trial,
    points: Vec<Point>,
}

/// All operations.
pub fn run(plan: &Plan) -> Tallies<'_> {
    if !strace::works() {
        return Tally::alone(Tally::skipped("power", "strace is not installed or may not trace", true));
    }
    if let Err(why) = possible(plan) {
        let why = format!("no loop-mounted ext4 with shutdown here: {why}");
        return Tally::alone(Tally::skipped("power", &why, false));
    }
    Box::new(Operation::under_all(plan).map(|operation| cut_all(plan, operation)))
}

/// Tries the whole mechanism without wfr.
fn possible(plan: &Plan) -> Result<(), String> {
    let dir = tempfile::tempdir_in(&plan.dir).map_err(said("make a directory"))?;
    let image = dir.path().join("image");
    make_ext4(&image, 16)?;
    Mount::image(&dir.path().join("mount"), &image)?.cut_power()
}

fn cut_all(plan: &Plan, operation: Operation) -> Tally {
    let mut tally = Tally::new(format!("power {}", operation.name()));
    let disk = match Disk::prepare(plan, operation) {
        Ok(disk) => disk,
        Err(why) => {
            tally.add("preparing", (false, Err(why)));
            return tally;
        }
    };
    let step = if plan.short { disk.points.len().div_ceil(SHORT).max(1) } else { 1 };
    for (turn, point) in disk.points.iter().enumerate().skip(plan.seed as usize % step).step_by(step) {
        let label = format!("{}/{point}", operation.name());
        if plan.point.as_ref().is_none_or(|text| label.contains(text)) {
            tally.add(&label, disk.cut_at(Some(point), turn));
        }
    }
    tally.add(&format!("{}/acknowledged", operation.name()), disk.cut_at(None, 0));
    tally
}

impl Disk {
    fn image(&self) -> PathBuf {
        self.dir.path().join("image")
    }

    fn saved(&self) -> PathBuf {
        self.dir.path().join("saved")
    }

    fn at(dir: &Path) -> PathBuf {
        dir.join("mount")
    }

    /// Makes the file system and the trial on it, and keeps the image.
    fn prepare(plan: &Plan, operation: Operation) -> Result<Self, String> {
        let dir = tempfile::tempdir_in(&plan.dir).map_err(said("make a directory"))?;
        let (image, at) = (dir.path().join("image"), Self::at(dir.path()));
        make_ext4(&image, MEGABYTES)?;
        let mount = Mount::image(&at, &image)?;
        let trial = Trial::prepare(operation, World::inside(&plan.wfr, &at.join("world"))?)?;
        trial.world.reset()?;
        let points = strace::points(&trial.world, operation.arguments(), strace::MUTATING, strace::is_mutating)?;
        trial.world.reset()?;
        drop(mount);
        let disk = Self { dir, trial, points };
        copy(&disk.image(), &disk.saved())?;
        Ok(disk)
    }

    /// One cycle: killed before `point`, or not at all, and then the power goes.
    fn cut_at(&self, point: Option<&Point>, turn: usize) -> Run {
        let judged = || {
            copy(&self.saved(), &self.image())?;
            let at = Self::at(self.dir.path());
            let (world, arguments) = (&self.trial.world, self.trial.operation.arguments());
            let mount = Mount::image(&at, &self.image())?;
            let outcome = match point {
                Some(point) => strace::inject(world, arguments, point, "signal=SIGKILL", false),
                None => world.wfr(arguments),
            };
            mount.cut_power()?;
            drop(mount);
            let _mount = Mount::image(&at, &self.image())?;
            self.trial.no_file_is_torn()?;
            if outcome.is_ok() {
                self.trial.acknowledged(&outcome)?;
            }
            self.trial.settled(turn, &outcome)
        };
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(judged));
        (true, result.unwrap_or_else(|_| Err("the check itself failed: see above".to_owned())))
    }
}

fn copy(from: &Path, to: &Path) -> Result<(), String> {
    run_tool(Command::new("cp").args(["--sparse=always", "--reflink=auto"]).arg(from).arg(to)).map(drop)
}
