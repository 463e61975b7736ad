//! Failing system calls, at every call, once and for good.
//!
//! Owns which errors each call can give. Refuses errors that a kernel never gives for a call.

use super::Plan;
use super::kills::{Select, over_points};
use super::operation::{Operation, Trial};
use super::strace::{self, Point};
use super::tally::{Tallies, Tally};

/// Points of each operation and error in the short run.
const SHORT: usize = 3;

/// The errors under test.
const ERRORS: [&str; 4] = ["EIO", "ENOSPC", "EMFILE", "EPERM"];

/// All operations with all errors.
pub fn run(plan: &Plan) -> Tallies<'_> {
    let pairs = Operation::under_all(plan).flat_map(|operation| ERRORS.map(|error| (operation, error)));
    Box::new(pairs.map(|(operation, error)| fail_all(plan, operation, error)))
}

fn fail_all(plan: &Plan, operation: Operation, error: &'static str) -> Tally {
    let name = format!("errors {} {error}", operation.name());
    if !strace::works() {
        return Tally::skipped(name, "strace is not installed or may not trace", true);
    }
    let calls = format!("{},{}", strace::MUTATING, strace::FALLIBLE);
    let wanted: fn(&str, &str) -> bool = match error {
        "EMFILE" => |call, _| gives(call, "EMFILE"),
        "ENOSPC" => |call, arguments| gives(call, "ENOSPC") && strace::is_mutating(call, arguments),
        "EPERM" => |call, arguments| gives(call, "EPERM") && strace::is_mutating(call, arguments),
        _ => |_, _| true,
    };
    let select = Select { calls, wanted, short: SHORT };
    let fault = format!("error={error}");
    over_points(plan, operation, name, &select, |trial, point, turn| {
        fail_at(trial, point, &fault, false, turn)?;
        let hit = strace::was_hit(&trial.world);
        fail_at(trial, point, &fault, true, turn + 1)?;
        Ok(hit)
    })
}

/// One run with a failing call. A success must be a full one; a failure must leave the old state, or the new. Without
/// memory neither the loader nor the allocator nor a thread's start can go on: then it may end as if it were killed.
fn fail_at(trial: &Trial, point: &Point, fault: &str, for_good: bool, turn: usize) -> Result<(), String> {
    trial.world.reset()?;
    let outcome = strace::inject(&trial.world, trial.operation.arguments(), point, fault, for_good);
    let how = if for_good { "for good" } else { "once" };
    if outcome.hung() {
        return Err(format!("failing {how}: it hung"));
    }
    if (outcome.signal.is_some() || outcome.code == Some(101)) && point.call != "mmap" {
        return Err(format!("failing {how}: it crashed: {outcome}"));
    }
    trial.no_file_is_torn().map_err(|why| format!("failing {how}, {outcome}: {why}"))?;
    if outcome.is_ok() {
        trial.acknowledged(&outcome).map_err(|why| format!("failing {how}, success exit: {why}"))?;
    }
    trial.settled(turn, &outcome).map_err(|why| format!("failing {how}, {outcome}: {why}"))
}

/// Whether a kernel can give this error for this call.
fn gives(call: &str, error: &str) -> bool {
    let opens = matches!(call, "open" | "openat" | "openat2" | "creat");
    let reads = strace::FALLIBLE.split(',').any(|name| name.trim_start_matches('?') == call);
    match error {
        "EMFILE" => opens,
        "ENOSPC" => !reads,
        "EPERM" => !reads && !matches!(call, "write" | "pwrite64" | "fsync" | "fdatasync" | "syncfs"),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::gives;

    #[test]
    fn calls_get_errors_that_they_can_give() {
        assert!(gives("openat", "EMFILE") && gives("write", "ENOSPC") && gives("statx", "EIO"));
        assert!(!gives("write", "EMFILE") && !gives("read", "ENOSPC") && !gives("fsync", "EPERM"));
    }
}
