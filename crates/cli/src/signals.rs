//! Signals: the first interrupt asks the work to end, the second ends the process; while a command is run they are the command's.
//!
//! Owns the flag that the engine looks at, and who is sent what. Refuses to clean up: every state that a signal can leave is one
//! that a crash can leave too.

use std::io;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit};
use signal_hook::SigId;
use signal_hook::consts::{
    SIGALRM, SIGBUS, SIGCHLD, SIGCONT, SIGFPE, SIGHUP, SIGILL, SIGINT, SIGKILL, SIGPIPE, SIGPROF, SIGSEGV, SIGSTOP,
    SIGSYS, SIGTERM, SIGTRAP, SIGTTOU, SIGVTALRM, SIGXFSZ,
};
use signal_hook::iterator::exfiltrator::WithOrigin;
use signal_hook::iterator::{Handle, SignalsInfo};
use wfr_engine::process::process;

/// What watches interrupts now.
static WATCHES: Mutex<Vec<SigId>> = Mutex::new(vec![]);

/// A flag that an interrupt sets. The second one ends the process with 130. Where this process `starts` a command, what it was
/// made to ignore, as by `nohup`, stays ignored: so the command ignores it, too. Else it does not, as every command here can be ended.
pub fn watch(starts: bool) -> Arc<AtomicBool> {
    let flag = Arc::new(AtomicBool::new(false));
    let ignored = if starts { ignored() } else { 0 };
    let mut watches = WATCHES.lock().unwrap_or_else(PoisonError::into_inner);
    for signal in [SIGINT, SIGTERM, SIGHUP].into_iter().filter(|signal| !is_in(ignored, *signal)) {
        // The order matters: the exit looks at the flag before it is set.
        watches.extend(signal_hook::flag::register_conditional_shutdown(signal, 130, flag.clone()));
        watches.extend(signal_hook::flag::register(signal, flag.clone()));
    }
    flag
}

/// Tells somebody of the first signal that asks this process to end, and which it is, beside what [`watch`] does.
pub fn tell(told: impl FnOnce(i32) + Send + 'static) -> io::Result<()> {
    let mut signals = SignalsInfo::<WithOrigin>::new([SIGINT, SIGTERM, SIGHUP])?;
    std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
        if let Some(origin) = signals.forever().next() {
            told(origin.signal);
        }
    })?;
    Ok(())
}

/// Makes a file that is larger than it may be (`ulimit -f`) an error of the one write. What this process becomes or starts has the
/// signal as it was: what is caught is not inherited, what is ignored stays so.
pub fn outlive_large_files() {
    if !is_in(ignored(), SIGXFSZ) {
        let _ = signal_hook::flag::register(SIGXFSZ, Arc::default());
    }
}

/// The signals that are ignored, as a mask.
fn ignored() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}

fn is_in(mask: u64, signal: i32) -> bool {
    mask >> (signal - 1) & 1 == 1
}

/// Ends this process at once, as a crash would.
pub fn kill_self() {
    let _ = signal_hook::low_level::raise(signal_hook::consts::SIGKILL);
}

/// Ends this process by the signal that ended its command or asked it to end, so that whoever waits for it sees that: a shell ends its loop by an interrupt only so. It comes back where the kernel spares this process, as the first one of a container.
pub fn die_of(signal: i32) {
    // A core of this process says nothing of the command, and could be written over the command's.
    let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), ..getrlimit(Resource::Core) });
    let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    wfr_trace::take(signal);
}

/// What is not passed on to a command. Nobody can catch the first two; the next tell of what this process itself does, or its
/// children. SIGTTOU is raised again and again where it is caught and this process says something on the terminal. For SIGCONT see
/// [`stop_with`].
const OWN: [i32; 11] = [SIGKILL, SIGSTOP, SIGILL, SIGFPE, SIGSEGV, SIGBUS, SIGTRAP, SIGSYS, SIGCHLD, SIGTTOU, SIGCONT];

/// What this process gets without that anybody sends it, and its command would have got: alarms go on to what is run by `exec`.
const ALARMS: [i32; 3] = [SIGALRM, SIGVTALRM, SIGPROF];

/// All signals that can be caught. The C library has 32 and 33 for itself.
fn to_pass_on() -> impl Iterator<Item = i32> {
    let ignored = ignored();
    // Rust's runtime ignores SIGPIPE, whatever it was.
    let is_left = move |signal: &i32| is_in(ignored, *signal) && *signal != SIGPIPE;
    (1..32).chain(34..65).filter(|signal| !OWN.contains(signal)).filter(move |signal| !is_left(signal))
}

/// While it lives, signals do nothing to this process, and what a process sends goes on to the command. What the terminal sends it
/// sends to the command, too.
pub struct PassedOn {
    handle: Handle,
    signals: Option<SignalsInfo<WithOrigin>>,
}

impl PassedOn {
    /// From now on, until [`Self::to`] for nobody.
    pub fn begin() -> io::Result<Self> {
        let signals = SignalsInfo::<WithOrigin>::new(to_pass_on())?;
        for watch in WATCHES.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            signal_hook::low_level::unregister(watch);
        }
        Ok(Self { handle: signals.handle(), signals: Some(signals) })
    }

    /// To this process, what came meanwhile too.
    pub fn to(&mut self, child: u32) {
        let Some(mut signals) = self.signals.take() else { return };
        std::thread::spawn(move || {
            for origin in &mut signals {
                let is_sent = match origin.process {
                    // A pipe that nobody reads, a file that is too large: trouble of this process.
                    Some(process) => u32::try_from(process.pid) != Ok(std::process::id()),
                    None => ALARMS.contains(&origin.signal),
                };
                if is_sent {
                    let _ = wfr_trace::send_signal(child, origin.signal);
                }
            }
            stay_open(signals);
        });
    }
}

/// Leaves the pipe by which signals are told open until this process ends: were nobody there to read it, the next signal would
/// raise SIGPIPE, which is told by the same pipe, and so on for ever.
fn stay_open(signals: SignalsInfo<WithOrigin>) {
    std::mem::forget(signals);
}

impl Drop for PassedOn {
    fn drop(&mut self) {
        self.handle.close();
        self.signals.take().into_iter().for_each(stay_open);
    }
}

/// So long whoever stops or continues a job takes at most from one process of it to the next.
const GRACE: Duration = Duration::from_millis(10);

/// Stops this process as a child of it has stopped, so that whoever controls the job sees it; once continued, so is the child.
pub fn stop_with(child: u32, signal: i32) {
    if !is_still_stopped(child) {
        return;
    }
    wfr_trace::take(signal);
    // Where all of the job was continued, the child may have been stopped anew before it were continued once more.
    if is_still_stopped(child) {
        let _ = wfr_trace::send_signal(child, SIGCONT);
    }
}

/// Whether a child is stopped whose stop was read. This process may have been stopped with it since, and continued: then the child
/// is about to be, too, if it is not yet.
fn is_still_stopped(child: u32) -> bool {
    loop {
        let began = Instant::now();
        std::thread::park_timeout(GRACE);
        // It took longer where this process was stopped meanwhile.
        if began.elapsed() < 3 * GRACE {
            return process(child).is_some_and(|child| child.is_stopped);
        }
    }
}
