//! SIGKILL before every call that changes anything.
//!
//! Owns the loop over the points. Refuses to stop at the trace's end: it goes on until a run is not killed.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::Plan;
use super::operation::{Operation, Trial};
use super::strace::{self, Point};
use super::tally::{Run, Tallies, Tally};
use super::world::World;

/// Points of each operation in the short run.
const SHORT: usize = 16;

/// The same of operations that write little.
const SHORT_SMALL: usize = 6;

/// All operations.
pub fn run(plan: &Plan) -> Tallies<'_> {
    Box::new(Operation::ALL.into_iter().map(|operation| kill_all(plan, operation)))
}

fn kill_all(plan: &Plan, operation: Operation) -> Tally {
    let name = format!("kills {}", operation.name());
    if !strace::works() {
        return Tally::skipped(name, "strace is not installed or may not trace", true);
    }
    let short = if operation.is_small() { SHORT_SMALL } else { SHORT };
    let select = Select { calls: strace::MUTATING.to_owned(), wanted: strace::is_mutating, short };
    over_points(plan, operation, name, &select, |trial, point, turn| {
        trial.world.reset()?;
        let outcome = strace::inject(&trial.world, operation.arguments(), point, "signal=SIGKILL", false);
        if outcome.hung() {
            return Err("it hung".to_owned());
        }
        let killed = outcome.signal == Some(9);
        if !killed {
            trial.acknowledged(&outcome.expect_ok("a run that was not killed")?)?;
            return Ok(false);
        }
        trial.no_file_is_torn()?;
        trial.settled(turn, &outcome)?;
        Ok(true)
    })
}

/// Which calls are points.
pub struct Select {
    /// Names, as strace takes them.
    pub calls: String,
    /// Further choice by name and arguments.
    pub wanted: fn(&str, &str) -> bool,
    /// How many points of an operation the short run takes.
    pub short: usize,
}

/// What is done at one point: whether the fault hit, or the promise that broke.
pub type AtPoint<'a> = dyn Fn(&Trial, &Point, usize) -> Result<bool, String> + Sync + 'a;

/// Runs `at_point` over all points of an operation, in several worlds at once, and then beyond the last of each
/// name until nothing is hit any more.
pub fn over_points(
    plan: &Plan,
    operation: Operation,
    name: String,
    select: &Select,
    at_point: impl Fn(&Trial, &Point, usize) -> Result<bool, String> + Sync,
) -> Tally {
    let mut tally = Tally::new(name);
    let prepared = prepare(plan, operation).and_then(|trials| {
        let (first, arguments) = (&trials[0], operation.arguments());
        first.world.reset()?;
        let points = strace::points(&first.world, arguments, &select.calls, select.wanted)?;
        Ok((trials, chosen(plan, operation, points, select.short)))
    });
    let (trials, points) = match prepared {
        Ok(prepared) => prepared,
        Err(why) => {
            tally.add("preparing", (false, Err(why)));
            return tally;
        }
    };
    let shared = Mutex::new(&mut tally);
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for trial in &trials {
            scope.spawn(|| work(trial, &points, &next, &shared, &at_point));
        }
    });
    if !plan.short && plan.point.is_none() {
        beyond(&trials[0], &points, &mut tally, &at_point);
    }
    tally
}

/// One world per job, prepared alike.
fn prepare(plan: &Plan, operation: Operation) -> Result<Vec<Trial>, String> {
    (0..plan.jobs).map(|_| Trial::prepare(operation, World::new(&plan.wfr, &plan.dir)?)).collect()
}

/// All points, those that were asked for, or an even sample.
fn chosen(plan: &Plan, operation: Operation, points: Vec<Point>, short: usize) -> Vec<Point> {
    let label = |point: &Point| format!("{}/{point}", operation.name());
    if let Some(text) = &plan.point {
        return points.into_iter().filter(|point| label(point).contains(text)).collect();
    }
    let step = if plan.short { points.len().div_ceil(short).max(1) } else { 1 };
    points.into_iter().skip(plan.seed as usize % step).step_by(step).collect()
}

/// Takes points until none is left.
fn work(trial: &Trial, points: &[Point], next: &AtomicUsize, tally: &Mutex<&mut Tally>, at_point: &AtPoint<'_>) {
    loop {
        let turn = next.fetch_add(1, Ordering::Relaxed);
        let Some(point) = points.get(turn) else { return };
        let run = once(trial, point, turn, at_point);
        let mut tally = tally.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        tally.add(&format!("{}/{point}", trial.operation.name()), run);
    }
}

/// One point; a panic of the comparing code counts as a violation, and the world is kept for a look.
fn once(trial: &Trial, point: &Point, turn: usize, at_point: &AtPoint<'_>) -> Run {
    let tried = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| at_point(trial, point, turn)));
    let result = tried.unwrap_or_else(|_| Err("the check itself failed: see above".to_owned()));
    match result {
        Ok(hit) => (hit, Ok(())),
        Err(why) => {
            let kept = trial.world.keep_evidence(&format!("{}-{point}", trial.operation.name()));
            (true, Err(format!("{why} (kept in {kept})")))
        }
    }
}

/// Goes on after the last traced call of each name, until a run is not hit: runs may differ.
fn beyond(trial: &Trial, points: &[Point], tally: &mut Tally, at_point: &AtPoint<'_>) {
    let last_of_its_name =
        |(index, point): (usize, &Point)| points.get(index + 1).is_none_or(|next| next.call != point.call);
    for (_, last) in points.iter().enumerate().filter(|(index, point)| last_of_its_name((*index, point))) {
        for nth in last.nth + 1..last.nth + 1_000 {
            let point = Point { call: last.call.clone(), nth };
            let run = once(trial, &point, nth, at_point);
            let hit = run.0;
            tally.add(&format!("{}/{point}", trial.operation.name()), run);
            if !hit {
                break;
            }
        }
    }
}
