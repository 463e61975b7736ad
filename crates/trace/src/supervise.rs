//! The process that is asked at each call of a traced command.
//!
//! Owns that every call is answered: after a look at it, or without one where that takes too long. It is a process of its own, in a
//! session of its own, and holds none of the command's streams, so whatever ends the command's terminal or its caller does not
//! end it, and it keeps nobody waiting for the end of a pipe. Refuses to know what is done with what it tells.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};

use crate::decode::{Told, told};
use crate::keeper;
use crate::place::Tree;
use crate::sys::{self, Fork, Page};

/// A call that is looked at for so long goes on, and so do all others meanwhile: whoever serves the file system that we wait for may
/// himself be traced.
const PATIENCE: Duration = Duration::from_millis(500);

/// Whoever is told what a command does, before it does it.
pub trait Witness {
    /// It is about to do this. The call waits until this returns, or for half a second. It must not wait for anything that a
    /// traced program may hold.
    fn told(&mut self, thread: u32, what: Told);

    /// The command itself has ended; others that it started may go on.
    fn ended(&mut self) {}
}

/// What was not seen.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Unseen {
    /// Calls that went on without a look at them.
    pub calls: u64,
    /// Since when nobody looks any more, in nanoseconds of the boot clock.
    pub since: Option<u64>,
}

/// Supervises the command that is launched at the other end of `control`, until nobody is left who could ask. It must be
/// called by a process that has one thread yet.
///
/// Errors: what the system says; then the command was not launched, or goes on unseen.
pub fn supervise(control: UnixStream, root: &Path, witness: &mut dyn Witness) -> io::Result<Unseen> {
    rustix::process::setsid().ok();
    let listener = receive_listener(&control)?;
    let mut page = Page::new()?;
    let own = sys::process(rustix::process::getpid().as_raw_nonzero().get())?;
    let keeper = match sys::fork()? {
        Fork::Child => {
            drop(control);
            rustix::process::setsid().ok();
            keeper::keep(own.as_fd(), listener.as_fd(), &mut page);
            std::process::exit(0);
        }
        Fork::Parent(keeper) => keeper,
    };
    drop(own);
    let tree = Tree::open(root)?;
    sys::answer_at_once(&listener);
    // Only now is the command run.
    io::Write::write_all(&mut &control, b"k")?;
    let mut supervisor = Supervisor { listener: &listener, tree, control: Some(control), witness };
    let calls = supervisor.watch(&mut page)?;
    drop(keeper);
    Ok(Unseen { calls, since: None })
}

/// The end of the filter at which reports arrive, as the launched process sends it.
fn receive_listener(control: &UnixStream) -> io::Result<OwnedFd> {
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut with = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    let received = recvmsg(control, &mut [io::IoSliceMut::new(&mut byte)], &mut with, RecvFlags::CMSG_CLOEXEC)?;
    let mut fds = with.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
        _ => None,
    });
    match fds.next() {
        Some(fd) => Ok(fd),
        // The command could not be traced, and its launcher knows why.
        None if received.bytes == 0 => Err(io::ErrorKind::BrokenPipe.into()),
        None => Err(io::ErrorKind::InvalidData.into()),
    }
}

struct Supervisor<'s> {
    listener: &'s OwnedFd,
    tree: Tree,
    /// Where the launcher says that the command itself has ended.
    control: Option<UnixStream>,
    witness: &'s mut dyn Witness,
}

impl Supervisor<'_> {
    /// Answers until nobody is left; how many calls went on unseen.
    fn watch(&mut self, page: &mut Page) -> io::Result<u64> {
        let turn = Turn::default();
        let unseen = AtomicU64::new(0);
        let listener = self.listener.as_fd();
        std::thread::scope(|scope| {
            let watchdog = scope.spawn(|| watchdog(listener, &turn, &unseen));
            let ended = self.answer(page, &turn);
            turn.end();
            watchdog.thread().unpark();
            ended
        })?;
        Ok(unseen.into_inner())
    }

    fn answer(&mut self, page: &mut Page, turn: &Turn) -> io::Result<()> {
        loop {
            let mut waits = vec![PollFd::new(&self.listener, PollFlags::IN)];
            waits.extend(self.control.as_ref().map(|control| PollFd::new(control, PollFlags::IN)));
            match poll(&mut waits, None) {
                Err(Errno::INTR) => continue,
                Err(error) => return Err(error.into()),
                Ok(_) => {}
            }
            let found = waits[0].revents();
            let has_ended = waits.get(1).is_some_and(|control| !control.revents().is_empty());
            if found.contains(PollFlags::IN) {
                self.answer_one(page, turn);
            } else if found.intersects(PollFlags::HUP | PollFlags::ERR) {
                self.end();
                return Ok(());
            } else if has_ended {
                // All that it asked before it ended is answered.
                self.end();
            }
        }
    }

    /// Tells that the command itself has ended, and its launcher that this is known.
    fn end(&mut self) {
        if let Some(control) = self.control.take() {
            self.witness.ended();
            // The launcher may be gone.
            io::Write::write_all(&mut &control, b"e").ok();
        }
    }

    fn answer_one(&mut self, page: &mut Page, turn: &Turn) {
        // Who asked may be gone, or a signal came.
        let Ok(report) = page.receive(self.listener) else { return };
        turn.begin(report.id());
        let what = told(&self.tree, &report);
        // What was read of a thread's memory and its descriptors was its own only if it waits still.
        if sys::still_asks(self.listener, report.id()) {
            what.into_iter().for_each(|what| self.witness.told(report.thread(), what));
        }
        turn.done();
        // Who asked may be gone, or was answered by the watchdog.
        sys::go_on(self.listener, report.id()).ok();
    }
}

/// Which call is being looked at, and since when.
#[derive(Default)]
struct Turn {
    /// 0: none.
    id: AtomicU64,
    began: AtomicU64,
    is_over: std::sync::atomic::AtomicBool,
}

impl Turn {
    fn begin(&self, id: u64) {
        self.began.store(keeper::now(), Ordering::Relaxed);
        self.id.store(id, Ordering::Release);
    }

    fn done(&self) {
        self.id.store(0, Ordering::Release);
    }

    fn end(&self) {
        self.is_over.store(true, Ordering::Release);
    }

    /// The call that has been looked at for too long.
    fn stuck(&self) -> Option<u64> {
        let id = self.id.load(Ordering::Acquire);
        let since = keeper::now().saturating_sub(self.began.load(Ordering::Relaxed));
        (id != 0 && u128::from(since) > PATIENCE.as_nanos()).then_some(id)
    }
}

/// Lets a call go on at which the look takes too long, and all others until that look has ended.
fn watchdog(listener: BorrowedFd<'_>, turn: &Turn, unseen: &AtomicU64) {
    let mut own = match Page::new() {
        Ok(page) => page,
        Err(_) => return,
    };
    let tick = Timespec { tv_sec: 0, tv_nsec: 20_000_000 };
    while !turn.is_over.load(Ordering::Acquire) {
        std::thread::park_timeout(PATIENCE / 2);
        let Some(id) = turn.stuck() else { continue };
        if sys::go_on(listener, id).is_ok() {
            unseen.fetch_add(1, Ordering::Relaxed);
        }
        while turn.stuck() == Some(id) && !turn.is_over.load(Ordering::Acquire) {
            let mut asks = [PollFd::new(&listener, PollFlags::IN)];
            if poll(&mut asks, Some(&tick)).is_ok_and(|found| found > 0)
                && let Ok(report) = own.receive(listener)
                && sys::go_on(listener, report.id()).is_ok()
            {
                unseen.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}
