//! The process that lets all calls go on when the supervisor is dead: without it each of them would fail for good.
//!
//! Owns that nobody waits for an answer that does not come. Refuses to look at calls, to allocate and to hold anything of the
//! command's.

use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::Ordering;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::time::{ClockId, clock_gettime};

use crate::sys::{self, Page};

/// Waits until the supervisor is dead, and then answers for it until nobody is left who could ask.
///
/// It allocates nothing and takes no lock, so it may run in a process that was just forked.
pub fn keep(supervisor: BorrowedFd<'_>, listener: BorrowedFd<'_>, page: &mut Page) {
    let mut dead = [PollFd::new(&supervisor, PollFlags::IN)];
    while poll(&mut dead, None).is_err() || dead[0].revents().is_empty() {}
    page.degraded_at().store(now(), Ordering::Release);
    let id = page.last_id();
    // Answered already, or by nobody: both is well.
    if sys::go_on(listener, id).is_ok() {
        page.unseen().fetch_add(1, Ordering::Relaxed);
    }
    answer_unseen(listener, page, || true);
}

/// Answers reports without a look at them while `goes_on`, and until nobody is left who could ask.
pub fn answer_unseen(listener: impl AsFd, page: &mut Page, goes_on: impl Fn() -> bool) {
    while goes_on() {
        let mut asks = [PollFd::new(&listener, PollFlags::IN)];
        if poll(&mut asks, None).is_err() {
            continue;
        }
        let found = asks[0].revents();
        if found.contains(PollFlags::IN) {
            if let Ok(report) = page.receive(&listener)
                && sys::go_on(&listener, report.id()).is_ok()
            {
                page.unseen().fetch_add(1, Ordering::Relaxed);
            }
        } else if found.intersects(PollFlags::HUP | PollFlags::ERR | PollFlags::NVAL) {
            return;
        }
    }
}

/// The boot clock, in nanoseconds.
pub fn now() -> u64 {
    let now = clock_gettime(ClockId::Boottime);
    u64::try_from(now.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(now.tv_nsec).unwrap_or(0)
}
