//! The process that is asked at each call of a traced command.
//!
//! Owns that every call is answered: after a look at it, or without one where that takes too long. It is a process of its own, in a
//! session of its own, and holds none of the command's streams, so whatever ends the command's terminal or its caller does not
//! end it, and it keeps nobody waiting for the end of a pipe. Refuses to know what is done with what it tells.

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};

use crate::decode::{Told, told};
use crate::keeper;
use crate::notes::Notes;
use crate::place::Tree;
use crate::sys::{self, Board, Fork, PLACES, Place, Report};

/// A call that is looked at for so long goes on, and so do all others meanwhile: whoever serves the file system that we wait for may
/// himself be traced.
const PATIENCE: Duration = Duration::from_millis(500);

/// Whoever is told what a command does, before it does it.
pub trait Witness {
    /// It is about to do this. The call waits until this returns, or for half a second. It must not wait for anything that a
    /// traced program may hold.
    fn told(&mut self, thread: u32, what: Told);

    /// The command itself has ended. So many calls went on by then without a look at them, and whether nobody is left whom it
    /// started.
    fn ended(&mut self, _unseen: u64, _nobody_is_left: bool) {}
}

/// What the launcher tells the supervisor before all else. It is read before [`supervise`].
///
/// Errors: what the system says; the launcher is gone, or tells too much.
pub fn briefing(control: &UnixStream) -> io::Result<Vec<u8>> {
    let mut length = [0; 4];
    io::Read::read_exact(&mut &*control, &mut length)?;
    let length = u32::from_le_bytes(length);
    if length > BRIEFING_MAX {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut told = vec![0; length as usize];
    io::Read::read_exact(&mut &*control, &mut told)?;
    Ok(told)
}

/// Bytes that the launcher tells at most: they must have room in a socket that nobody reads yet.
pub(crate) const BRIEFING_MAX: u32 = 1 << 16;

/// Supervises the command that is launched at the other end of `control`, until nobody is left who could ask; returns how many calls
/// went on without a look at them. It must be called by a process that has one thread yet, which has read its [`briefing`]. Where
/// calls go on unseen and the witness cannot be told, it is added to the notes, and that nobody is left, too.
///
/// Errors: what the system says; then the command was not launched, or goes on unseen.
pub fn supervise(
    control: UnixStream,
    root: &Path,
    notes: Option<&Notes>,
    witness: &mut (dyn Witness + Send),
) -> io::Result<u64> {
    rustix::process::setsid().ok();
    // As urgent as the system lets it be: the command waits for it.
    rustix::process::nice(-20).ok();
    let listener = receive_listener(&control)?;
    let mut board = Board::new()?;
    let own = sys::process(rustix::process::getpid().as_raw_nonzero().get())?;
    let _keeper = match sys::fork()? {
        Fork::Child => {
            drop(control);
            rustix::process::setsid().ok();
            keeper::keep(own.as_fd(), listener.as_fd(), &mut board, notes.map(Notes::as_fd));
            std::process::exit(0);
        }
        Fork::Parent(keeper) => keeper,
    };
    drop(own);
    let tree = Tree::open(root)?;
    sys::answer_at_once(&listener);
    // Only now is the command run.
    io::Write::write_all(&mut &control, b"k")?;
    let supervisor = Supervisor {
        listener: listener.as_fd(),
        tree,
        desk: Desk { witness: Mutex::new(Some(witness)), is_free: Condvar::new() },
        turn: Mutex::new(Some(control)),
        looks: Default::default(),
        unseen: AtomicU64::new(0),
        notes,
        is_over: AtomicBool::new(false),
    };
    supervisor.watch(&mut board);
    Ok(supervisor.unseen.into_inner())
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

/// How many threads receive, one at a time, and look: a call that nobody has received yet can be interrupted by a signal, which
/// it would never be untraced. The last place is the watchdog's.
const LOOKERS: usize = PLACES - 1;

struct Supervisor<'s> {
    listener: BorrowedFd<'s>,
    tree: Tree,
    desk: Desk<'s>,
    /// The right to receive, and where the launcher says that the command itself has ended.
    turn: Mutex<Option<UnixStream>>,
    looks: [Look; LOOKERS],
    unseen: AtomicU64,
    notes: Option<&'s Notes>,
    is_over: AtomicBool,
}

impl Supervisor<'_> {
    /// Answers until nobody is left.
    fn watch(&self, board: &mut Board) {
        let (places, unseen) = board.places();
        let mut places = places.into_iter();
        std::thread::scope(|scope| {
            let own = places.next();
            let watchdog = own.map(|own| scope.spawn(move || self.watchdog(own)));
            let lookers: Vec<_> =
                places.zip(&self.looks).map(|(place, look)| scope.spawn(move || self.look(place, look))).collect();
            for looker in lookers {
                looker.join().ok();
            }
            self.is_over.store(true, Ordering::Release);
            watchdog.inspect(|watchdog| watchdog.thread().unpark());
        });
        unseen.fetch_add(self.unseen.load(Ordering::Relaxed), Ordering::Relaxed);
    }

    fn look(&self, mut place: Place<'_>, look: &Look) {
        while let Some(report) = self.receive(&mut place, look) {
            let what = told(&self.tree, &report);
            // What was read of a thread's memory and its descriptors was its own only if it waits still.
            if !what.is_empty() && sys::still_asks(self.listener, report.id()) {
                self.tell(look, |witness| what.into_iter().for_each(|what| witness.told(report.thread(), what)));
            }
            look.done();
            // Who asked may be gone, or was answered by the watchdog.
            sys::go_on(self.listener, report.id()).ok();
        }
    }

    /// The next report; `None` where nobody is left who could ask.
    fn receive(&self, place: &mut Place<'_>, look: &Look) -> Option<Report> {
        let mut control = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let mut waits = vec![PollFd::new(&self.listener, PollFlags::IN)];
            waits.extend(control.as_ref().map(|control| PollFd::new(control, PollFlags::IN)));
            if poll(&mut waits, None).is_err() {
                continue;
            }
            let found = waits[0].revents();
            let has_ended = waits.get(1).is_some_and(|control| !control.revents().is_empty());
            if found.contains(PollFlags::IN) {
                // Who asked may be gone, or a signal came.
                if let Ok(report) = place.receive(self.listener) {
                    look.begin(report.id());
                    return Some(report);
                }
                continue;
            }
            let is_over = found.intersects(PollFlags::HUP | PollFlags::ERR | PollFlags::NVAL);
            if (has_ended || is_over)
                && let Some(control) = control.take()
            {
                self.end(&control, look, is_over);
            }
            if is_over {
                return None;
            }
        }
    }

    /// Tells that the command itself has ended, and its launcher that this is known. All that it asked is received by now.
    fn end(&self, control: &UnixStream, look: &Look, nobody_is_left: bool) {
        let is_busy = |other: &Look| other.id() != 0 && other.stuck().is_none();
        while self.looks.iter().any(is_busy) {
            std::thread::yield_now();
        }
        let unseen = self.unseen.load(Ordering::Relaxed);
        self.tell(look, |witness| witness.ended(unseen, nobody_is_left));
        // The launcher may be gone.
        io::Write::write_all(&mut &*control, b"e").ok();
    }

    fn tell(&self, look: &Look, tell: impl FnOnce(&mut dyn Witness)) {
        if !self.desk.with(PATIENCE, tell) && look.id() != 0 {
            self.went_on_unseen(1);
        }
    }

    /// Counts calls that went on unseen, and notes the first of them.
    fn went_on_unseen(&self, count: u64) {
        if count > 0 && self.unseen.fetch_add(count, Ordering::Relaxed) == 0 {
            // Where it cannot be noted, the count at the end says it.
            self.notes.map(|notes| notes.add_unseen("a look took too long").ok());
        }
    }

    /// Lets calls go on at which a look takes too long, and all others where nobody is left to look.
    fn watchdog(&self, mut own: Place<'_>) {
        while !self.is_over.load(Ordering::Acquire) {
            std::thread::park_timeout(PATIENCE / 2);
            let stuck = self.looks.iter().filter_map(Look::stuck);
            let answered = stuck.filter(|id| sys::go_on(self.listener, *id).is_ok()).count();
            self.went_on_unseen(answered as u64);
            while self.looks.iter().all(|look| look.stuck().is_some()) {
                let tick = Timespec { tv_sec: 0, tv_nsec: 20_000_000 };
                let count = keeper::answer_unseen(self.listener, &mut own, Some(&tick)).unwrap_or(0);
                self.went_on_unseen(count);
            }
        }
    }
}

/// The witness, who is told one thing after another.
struct Desk<'w> {
    witness: Mutex<Option<&'w mut (dyn Witness + Send)>>,
    is_free: Condvar,
}

impl Desk<'_> {
    /// Has something told; whether it was, since the witness had time within so long.
    fn with(&self, patience: Duration, tell: impl FnOnce(&mut dyn Witness)) -> bool {
        let witness = self.witness.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.is_free.wait_timeout_while(witness, patience, |witness| witness.is_none());
        let (mut place, _) = waited.unwrap_or_else(PoisonError::into_inner);
        let Some(witness) = place.take() else { return false };
        drop(place);
        tell(witness);
        *self.witness.lock().unwrap_or_else(PoisonError::into_inner) = Some(witness);
        self.is_free.notify_one();
        true
    }
}

/// Which call is being looked at, and since when.
#[derive(Default)]
struct Look {
    /// 0: none.
    id: AtomicU64,
    began: AtomicU64,
}

impl Look {
    fn begin(&self, id: u64) {
        self.began.store(keeper::now(), Ordering::Relaxed);
        self.id.store(id, Ordering::Release);
    }

    fn done(&self) {
        self.id.store(0, Ordering::Release);
    }

    fn id(&self) -> u64 {
        self.id.load(Ordering::Acquire)
    }

    /// The call that has been looked at for too long.
    fn stuck(&self) -> Option<u64> {
        let id = self.id();
        let since = keeper::now().saturating_sub(self.began.load(Ordering::Relaxed));
        (id != 0 && u128::from(since) > PATIENCE.as_nanos()).then_some(id)
    }
}
