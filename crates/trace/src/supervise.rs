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
use std::sync::{Condvar, Mutex, OnceLock, PoisonError};
use std::thread::Thread;
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
    /// traced program may hold, and calls `stands_back` before anything that takes long: then others receive meanwhile.
    fn told(&mut self, thread: u32, what: Told, stands_back: &dyn Fn());

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

/// Leaves whoever started this process: who ends all that he started does not end it, too. It must be called by a process that has
/// one thread. Errors: what the system says.
pub fn leave() -> io::Result<()> {
    match sys::fork()? {
        Fork::Child => Ok(()),
        Fork::Parent(_) => std::process::exit(0),
    }
}

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
        desk: Desk { witness: Mutex::new(Waited { witness: Some(witness), waiting: 0 }), is_free: Condvar::new() },
        is_woken: wakes_receivers(),
        turn: Turn { whose: Mutex::new(Whose::Nobodys), is_free: Condvar::new() },
        looks: Default::default(),
        received: AtomicU64::new(0),
        watchdog: OnceLock::new(),
        dozes: AtomicBool::new(false),
        unseen: AtomicU64::new(0),
        notes,
        is_over: AtomicBool::new(false),
    };
    supervisor.watch(&control, &mut board);
    Ok(supervisor.unseen.into_inner())
}

/// Whether this kernel wakes who receives when all who could ask have ended: since 6.11.
fn wakes_receivers() -> bool {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let mut numbers = release.split(|letter: char| !letter.is_ascii_digit()).map_while(|part| part.parse::<u32>().ok());
    (numbers.next(), numbers.next()) >= (Some(6), Some(11))
}

/// Whether a poll says that nobody is left who could ask.
fn is_over(found: PollFlags) -> bool {
    found.intersects(PollFlags::HUP | PollFlags::ERR | PollFlags::NVAL)
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

/// Where a look takes longer than this, another thread receives meanwhile: a call that nobody has received yet can be interrupted
/// by a signal, which it would never be untraced.
const LONG: Duration = Duration::from_millis(2);

/// How many threads receive, one at a time, and look. The last place is the watchdog's.
const LOOKERS: usize = PLACES - 1;

struct Supervisor<'s> {
    listener: BorrowedFd<'s>,
    tree: Tree,
    desk: Desk<'s>,
    /// Whether who receives is woken when nobody is left who could ask.
    is_woken: bool,
    turn: Turn,
    looks: [Look; LOOKERS],
    /// How many reports were received.
    received: AtomicU64,
    watchdog: OnceLock<Thread>,
    /// Whether the watchdog sleeps long.
    dozes: AtomicBool,
    unseen: AtomicU64,
    notes: Option<&'s Notes>,
    is_over: AtomicBool,
}

impl Supervisor<'_> {
    /// Answers until nobody is left.
    fn watch(&self, control: &UnixStream, board: &mut Board) {
        let (places, unseen) = board.places();
        let mut places = places.into_iter();
        std::thread::scope(|scope| {
            scope.spawn(|| self.hear(control));
            let own = places.next();
            let watchdog = own.map(|own| scope.spawn(move || self.watchdog(own)));
            watchdog.iter().for_each(|watchdog| self.watchdog.set(watchdog.thread().clone()).unwrap_or_default());
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
        let stands_back = || self.turn.stand_back(look);
        while self.turn.take(look) {
            while look.leads.load(Ordering::Acquire) {
                let Some(report) = self.receive(&mut place, look) else { return self.turn.end() };
                let what = told(&self.tree, &report);
                // What was read of a thread's memory and its descriptors was its own only if it waits still.
                if !what.is_empty() && sys::still_asks(self.listener, report.id()) {
                    let tell = |what, witness: &mut dyn Witness| witness.told(report.thread(), what, &stands_back);
                    self.tell(|witness| what.into_iter().for_each(|what| tell(what, witness)));
                }
                look.done();
                // Who asked may be gone, or was answered by the watchdog.
                sys::go_on(self.listener, report.id()).ok();
            }
        }
    }

    /// The next report; `None` where nobody is left who could ask.
    fn receive(&self, place: &mut Place<'_>, look: &Look) -> Option<Report> {
        loop {
            if !self.is_woken {
                poll(&mut [PollFd::new(&self.listener, PollFlags::IN)], None).ok();
                if self.nobody_is_left() {
                    return None;
                }
            }
            match place.receive(self.listener) {
                Ok(report) => {
                    look.begin(report.id());
                    self.received.fetch_add(1, Ordering::Relaxed);
                    if self.dozes.load(Ordering::Relaxed) && self.dozes.swap(false, Ordering::AcqRel) {
                        self.watchdog.get().inspect(|watchdog| watchdog.unpark());
                    }
                    return Some(report);
                }
                Err(_) if self.nobody_is_left() => return None,
                // Who asked may be gone, or a signal came.
                Err(_) => {}
            }
        }
    }

    fn nobody_is_left(&self) -> bool {
        let mut waits = [PollFd::new(&self.listener, PollFlags::empty())];
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        poll(&mut waits, Some(&now)).is_ok() && is_over(waits[0].revents())
    }

    /// Hears when the command itself has ended, or that nobody is left who could ask.
    fn hear(&self, control: &UnixStream) {
        loop {
            let mut waits = [PollFd::new(&self.listener, PollFlags::empty()), PollFd::new(control, PollFlags::IN)];
            if poll(&mut waits, None).is_ok() && waits.iter().any(|wait| !wait.revents().is_empty()) {
                return self.end(control, is_over(waits[0].revents()));
            }
        }
    }

    /// Tells that the command itself has ended, and its launcher that this is known. All that it asked is received by now.
    fn end(&self, control: &UnixStream, nobody_is_left: bool) {
        let is_busy = |other: &Look| other.id() != 0 && other.stuck().is_none();
        while self.looks.iter().any(is_busy) {
            std::thread::yield_now();
        }
        let unseen = self.unseen.load(Ordering::Relaxed);
        self.desk.with(PATIENCE, |witness| witness.ended(unseen, nobody_is_left));
        // The launcher may be gone.
        io::Write::write_all(&mut &*control, b"e").ok();
    }

    fn tell(&self, tell: impl FnOnce(&mut dyn Witness)) {
        if !self.desk.with(PATIENCE, tell) {
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

    /// Gives the turn to another one where a look takes long. Lets calls go on at which it takes too long, and all others where
    /// nobody is left to look.
    fn watchdog(&self, mut own: Place<'_>) {
        let mut received = 0;
        while !self.is_over.load(Ordering::Acquire) {
            let before = std::mem::replace(&mut received, self.received.load(Ordering::Relaxed));
            let is_busy = before != received || self.looks.iter().any(|look| look.id() != 0);
            self.dozes.store(!is_busy, Ordering::Release);
            std::thread::park_timeout(if is_busy { LONG } else { PATIENCE / 2 });
            self.looks.iter().filter(|look| look.takes(LONG)).for_each(|look| self.turn.stand_back(look));
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

/// Who receives: one thread at a time. It keeps the turn while it looks, so nobody has to be woken for a call that takes
/// microseconds.
struct Turn {
    whose: Mutex<Whose>,
    is_free: Condvar,
}

/// Whose turn it is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Whose {
    Nobodys,
    Somebodys,
    /// There is nothing left to receive.
    Over,
}

impl Turn {
    /// Waits for the turn; `false` where there is nothing left to receive.
    fn take(&self, look: &Look) -> bool {
        let whose = self.whose.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.is_free.wait_while(whose, |whose| *whose == Whose::Somebodys);
        let mut whose = waited.unwrap_or_else(PoisonError::into_inner);
        if *whose == Whose::Over {
            return false;
        }
        *whose = Whose::Somebodys;
        look.leads.store(true, Ordering::Release);
        true
    }

    /// Gives the turn of who looks to somebody else, if he has it.
    fn stand_back(&self, look: &Look) {
        let mut whose = self.whose.lock().unwrap_or_else(PoisonError::into_inner);
        if look.leads.swap(false, Ordering::AcqRel) && *whose == Whose::Somebodys {
            *whose = Whose::Nobodys;
            self.is_free.notify_one();
        }
    }

    fn end(&self) {
        *self.whose.lock().unwrap_or_else(PoisonError::into_inner) = Whose::Over;
        self.is_free.notify_all();
    }
}

/// The witness, who is told one thing after another.
struct Desk<'w> {
    witness: Mutex<Waited<'w>>,
    is_free: Condvar,
}

/// The witness, unless somebody tells him something, and how many wait for that: nobody is woken where nobody does.
struct Waited<'w> {
    witness: Option<&'w mut (dyn Witness + Send)>,
    waiting: usize,
}

impl Desk<'_> {
    /// Has something told; whether it was, since the witness had time within so long.
    fn with(&self, patience: Duration, tell: impl FnOnce(&mut dyn Witness)) -> bool {
        let mut desk = self.witness.lock().unwrap_or_else(PoisonError::into_inner);
        if desk.witness.is_none() {
            desk.waiting += 1;
            let waited = self.is_free.wait_timeout_while(desk, patience, |desk| desk.witness.is_none());
            desk = waited.unwrap_or_else(PoisonError::into_inner).0;
            desk.waiting -= 1;
        }
        let Some(witness) = desk.witness.take() else { return false };
        drop(desk);
        tell(witness);
        let mut desk = self.witness.lock().unwrap_or_else(PoisonError::into_inner);
        desk.witness = Some(witness);
        if desk.waiting > 0 {
            self.is_free.notify_one();
        }
        true
    }
}

/// Which call is being looked at, and since when.
#[derive(Default)]
struct Look {
    /// 0: none.
    id: AtomicU64,
    began: AtomicU64,
    /// Whether who looks has the turn to receive.
    leads: AtomicBool,
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

    /// Whether it takes longer than this.
    fn takes(&self, time: Duration) -> bool {
        let is_any = self.id() != 0;
        let since = keeper::now().saturating_sub(self.began.load(Ordering::Relaxed));
        is_any && u128::from(since) > time.as_nanos()
    }

    /// The call that has been looked at for too long.
    fn stuck(&self) -> Option<u64> {
        let id = self.id();
        (id != 0 && self.takes(PATIENCE)).then_some(id)
    }
}
