//! Ending writers: all are stopped first, so that none writes or starts another one while others end.
//!
//! Owns the order of it, and that a process is ended and never a later one of the same number. Refuses to choose whom.

use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::Writer;
use crate::error::{Code, Failure};
use crate::process::{self, ProcessId};

/// So long writers may start others faster than they can be stopped, and so long they may take to end.
const PATIENCE: Duration = Duration::from_secs(20);
/// So long whoever waited for a command may take to see that it has ended.
const PATIENCE_OF_LAUNCHERS: Duration = Duration::from_secs(5);
/// Time between two looks at who has stopped, in nanoseconds: nobody tells of it.
const TICK: i64 = 2_000_000;

/// Why somebody is still there.
#[derive(Debug)]
pub enum Remains {
    /// This process may not end it.
    Denied(Box<Writer>),
    /// They start others faster than they are stopped, or do not end.
    Lasts(Box<Writer>),
    /// The caller gave up.
    Interrupted,
    /// What was asked of the system, or of the ledger, failed.
    Failed(Failure),
}

impl From<Remains> for Failure {
    fn from(remains: Remains) -> Self {
        match remains {
            Remains::Denied(writer) => {
                let message = format!("{} is another user's, and may not be ended", writer.named());
                Self::new(Code::WritersRemain, message)
                    .with_hint("call it as that user, or as root; or end it there, and call it again")
            }
            Remains::Lasts(writer) => Self::new(
                Code::WritersRemain,
                format!("{} does not end, or starts others again and again", writer.named()),
            ),
            Remains::Interrupted => {
                Self::new(Code::Interrupted, "interrupted while writers were ended: nothing else was done")
            }
            Remains::Failed(failure) => failure,
        }
    }
}

/// A process that is stopped, and known by more than its number.
struct Seized {
    writer: Writer,
    fd: OwnedFd,
    /// It was stopped before, by somebody else.
    was_stopped: bool,
}

/// Ends all that `find` finds, until it finds nobody; tells who they were. Where one may not be ended nobody is: those that were
/// stopped go on. Where one does not end, those that have ended are gone.
pub fn end(abort: &AtomicBool, find: impl FnMut() -> Result<Vec<Writer>, Failure>) -> Result<Vec<Writer>, Remains> {
    let mut seized = Vec::new();
    let ended = seize_all(abort, find, &mut seized).and_then(|()| kill(&seized));
    match ended {
        Ok(()) => {
            wake_launchers(&seized);
            Ok(seized.into_iter().map(|one| one.writer).collect())
        }
        Err(remains) => {
            for one in seized.iter().filter(|one| !one.was_stopped) {
                let _ = pidfd_send_signal(&one.fd, Signal::CONT);
            }
            Err(remains)
        }
    }
}

/// Stops all, until none is found that is not stopped: only who is not can start another one.
fn seize_all(
    abort: &AtomicBool,
    mut find: impl FnMut() -> Result<Vec<Writer>, Failure>,
    seized: &mut Vec<Seized>,
) -> Result<(), Remains> {
    let begun = Instant::now();
    loop {
        // Before it is looked who is there: those that were told to stop may start somebody before they do.
        let mut is_quiet = seized.iter().all(|one| has_stopped(one.writer.id));
        for writer in find().map_err(Remains::Failed)? {
            if seized.iter().any(|one| one.writer.id == writer.id) {
                continue;
            }
            is_quiet = false;
            if begun.elapsed() > PATIENCE {
                return Err(Remains::Lasts(Box::new(writer)));
            }
            seized.extend(seize(writer)?);
        }
        if is_quiet {
            return Ok(());
        }
        if abort.load(Ordering::Relaxed) {
            return Err(Remains::Interrupted);
        }
        if begun.elapsed() > PATIENCE
            && let Some(one) = seized.iter().find(|one| !has_stopped(one.writer.id))
        {
            return Err(Remains::Lasts(Box::new(one.writer.clone())));
        }
        let _ = poll(&mut [], Some(&Timespec { tv_sec: 0, tv_nsec: TICK }));
    }
}

/// Whether a process does nothing any more until it is continued.
fn has_stopped(id: ProcessId) -> bool {
    // What waits for a device, or for a child that is stopped itself, stops before it does anything else.
    process::process(id.pid).is_none_or(|process| process.id != id || process.is_stopped || process.is_stuck)
}

/// Stops one; `None` where it has ended.
fn seize(writer: Writer) -> Result<Option<Seized>, Remains> {
    let pid = i32::try_from(writer.id.pid).ok().and_then(Pid::from_raw);
    let fd = match pid.map_or(Err(Errno::SRCH), |pid| pidfd_open(pid, PidfdFlags::empty())) {
        Ok(fd) => fd,
        Err(Errno::SRCH) => return Ok(None),
        Err(error) => return Err(Remains::Failed(std::io::Error::from(error).into())),
    };
    // From here on the number is nobody else's; it may have become so before.
    let Some(process) = process::process(writer.id.pid).filter(|process| process.id == writer.id) else {
        return Ok(None);
    };
    match pidfd_send_signal(&fd, Signal::STOP) {
        Ok(()) => Ok(Some(Seized { writer, fd, was_stopped: process.is_stopped })),
        Err(Errno::SRCH) => Ok(None),
        Err(Errno::PERM) => Err(Remains::Denied(Box::new(writer))),
        Err(error) => Err(Remains::Failed(std::io::Error::from(error).into())),
    }
}

fn kill(seized: &[Seized]) -> Result<(), Remains> {
    for one in seized {
        match pidfd_send_signal(&one.fd, Signal::KILL) {
            Ok(()) | Err(Errno::SRCH) => {}
            Err(Errno::PERM) => return Err(Remains::Denied(Box::new(one.writer.clone()))),
            Err(error) => return Err(Remains::Failed(std::io::Error::from(error).into())),
        }
    }
    let begun = Instant::now();
    for one in seized {
        if !has_ended(&one.fd, PATIENCE.saturating_sub(begun.elapsed())) {
            return Err(Remains::Lasts(Box::new(one.writer.clone())));
        }
    }
    Ok(())
}

/// Whether a process has ended, within so long.
fn has_ended(fd: &OwnedFd, within: Duration) -> bool {
    let begun = Instant::now();
    loop {
        let left = Timespec::try_from(within.saturating_sub(begun.elapsed())).unwrap_or_default();
        let mut ends = [PollFd::from_borrowed_fd(fd.as_fd(), PollFlags::IN)];
        match poll(&mut ends, Some(&left)) {
            Ok(found) => return found > 0,
            Err(_) if begun.elapsed() < within => {}
            Err(_) => return false,
        }
    }
}

/// Whoever waits for a command under this program stops as it does, and is to see now that it has ended.
fn wake_launchers(seized: &[Seized]) {
    let mut launchers: Vec<u32> = seized.iter().map(|one| one.writer.parent).collect();
    launchers.sort_unstable();
    launchers.dedup();
    let is_ours = |pid: &u32| *pid != std::process::id() && process::is_ours(*pid);
    let begun = Instant::now();
    for launcher in launchers.into_iter().filter(is_ours) {
        let Some(pid) = i32::try_from(launcher).ok().and_then(Pid::from_raw) else { continue };
        let Ok(fd) = pidfd_open(pid, PidfdFlags::empty()) else { continue };
        let id = process::process(launcher).map(|process| process.id);
        while begun.elapsed() < PATIENCE_OF_LAUNCHERS {
            let Some(now) = process::process(launcher).filter(|now| Some(now.id) == id) else { break };
            if now.is_stopped {
                let _ = pidfd_send_signal(&fd, Signal::CONT);
            }
            if has_ended(&fd, Duration::from_nanos(TICK.cast_unsigned())) {
                break;
            }
        }
    }
}
