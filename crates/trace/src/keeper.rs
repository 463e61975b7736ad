//! The process that lets all calls go on when the supervisor is dead: without it each of them would fail for good.
//!
//! Owns that nobody waits for an answer that does not come. Refuses to look at calls, to allocate and to hold anything of the
//! command's.

use std::os::fd::BorrowedFd;
use std::sync::atomic::Ordering;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::time::{ClockId, clock_gettime};

use crate::notes;
use crate::sys::{self, Board, Place};

/// At once, for `poll`.
const AT_ONCE: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };

/// Waits until the supervisor is dead, and then answers for it until nobody is left who could ask; says so in the notes where
/// there are any.
///
/// It allocates nothing and takes no lock, so it may run in a process that was just forked.
pub fn keep(supervisor: BorrowedFd<'_>, listener: BorrowedFd<'_>, board: &mut Board, notes: Option<BorrowedFd<'_>>) {
    let mut dead = [PollFd::new(&supervisor, PollFlags::IN)];
    while poll(&mut dead, None).is_err() || dead[0].revents().is_empty() {}
    board.degraded_at().store(now(), Ordering::Release);
    let ids = board.last_ids();
    let ([mut place, ..], unseen) = board.places();
    for id in ids.into_iter().filter(|id| *id != 0) {
        // Answered already, or gone: both is well.
        unseen.fetch_add(u64::from(sys::go_on(listener, id).is_ok()), Ordering::Relaxed);
    }
    let mut answered = answer_unseen(listener, &mut place, Some(&AT_ONCE));
    // It ended because nobody was left: all was seen.
    let saw_all = answered.is_none() && unseen.load(Ordering::Relaxed) == 0;
    // Where it cannot be noted that something was not seen, nothing may say that all is over, either.
    let notes = notes.filter(|notes| saw_all || notes::add_died(*notes));
    while let Some(count) = answered {
        unseen.fetch_add(count, Ordering::Relaxed);
        answered = answer_unseen(listener, &mut place, None);
    }
    notes.inspect(|notes| notes::add_over(*notes));
}

/// Answers the next report without a look at it, and counts it; `None` where nobody is left who could ask. It waits so long at
/// most, where a time is given.
pub fn answer_unseen(listener: BorrowedFd<'_>, place: &mut Place<'_>, wait: Option<&Timespec>) -> Option<u64> {
    let mut asks = [PollFd::new(&listener, PollFlags::IN)];
    if poll(&mut asks, wait).is_err() {
        return Some(0);
    }
    let found = asks[0].revents();
    if found.contains(PollFlags::IN) {
        let report = place.receive(listener);
        return Some(u64::from(report.is_ok_and(|report| sys::go_on(listener, report.id()).is_ok())));
    }
    (!found.intersects(PollFlags::HUP | PollFlags::ERR | PollFlags::NVAL)).then_some(0)
}

/// The boot clock, in nanoseconds.
pub fn now() -> u64 {
    let now = clock_gettime(ClockId::Boottime);
    u64::try_from(now.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(now.tv_nsec).unwrap_or(0)
}
