//! Waiting for one's turn, where somebody else recovers or holds.
//!
//! Owns how long and how often it is tried again. Refuses to wait for anything but a hold.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rustix::event::{Timespec, poll};
use wfr_model::Span;

use crate::error::{Code, Failure};
use crate::session::Session;

/// Time between two tries, in nanoseconds: nobody tells of a hold that ends.
const TICK: i64 = 50_000_000;

/// Tries again while something is held, until so much time is over or the caller gives up.
pub fn wait_for_turn<T>(
    session: &Session,
    wait: Duration,
    mut attempt: impl FnMut() -> Result<T, Failure>,
) -> Result<T, Failure> {
    let begun = Instant::now();
    loop {
        let held = match attempt() {
            Err(failure) if failure.code == Code::Held && !wait.is_zero() => failure,
            ended => return ended,
        };
        if session.abort.load(Ordering::Relaxed) {
            return Err(Failure::new(Code::Interrupted, format!("interrupted while waiting: {}", held.message)));
        }
        let left = wait.saturating_sub(begun.elapsed());
        if left.is_zero() {
            return Err(held.with_details(format!("it was waited for {}", Span::Finite(wait))));
        }
        let tick = Timespec { tv_sec: 0, tv_nsec: TICK.min(i64::try_from(left.as_nanos()).unwrap_or(TICK)) };
        // A signal ends it early, which is what the caller wants who gives up.
        let _ = poll(&mut [], Some(&tick));
    }
}
