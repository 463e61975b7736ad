//! Signals: the first interrupt asks the work to end, the second ends the process; while a command is run they are the command's.
//!
//! Owns the flag that the engine looks at, and who is sent what. Refuses to clean up: every state that a signal can leave is one
//! that a crash can leave too.

use std::io;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};

use rustix::process::{
    DumpableBehavior, Pid, Resource, Rlimit, Signal, getrlimit, kill_process, set_dumpable_behavior, setrlimit,
};
use signal_hook::SigId;
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2};
use signal_hook::iterator::exfiltrator::WithOrigin;
use signal_hook::iterator::{Handle, SignalsInfo};

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

/// Tells somebody of the first signal that asks this process to end, beside what [`watch`] does.
pub fn tell(told: impl FnOnce() + Send + 'static) -> io::Result<()> {
    let mut signals = SignalsInfo::<WithOrigin>::new([SIGINT, SIGTERM, SIGHUP])?;
    std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
        if signals.forever().next().is_some() {
            told();
        }
    })?;
    Ok(())
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

/// Ends this process by the signal that ended its command, so that whoever waits for it sees what it would have seen of the command:
/// a shell ends its loop by an interrupt only so. It comes back where the kernel spares this process, as the first one of a container.
pub fn die_of(signal: i32) {
    // A core of this process says nothing of the command, and could be written over the command's.
    let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), ..getrlimit(Resource::Core) });
    let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    wfr_trace::take(signal);
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
        let ignored = ignored();
        let all = [SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2];
        let signals = SignalsInfo::<WithOrigin>::new(all.into_iter().filter(|signal| !is_in(ignored, *signal)))?;
        for watch in WATCHES.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            signal_hook::low_level::unregister(watch);
        }
        Ok(Self { handle: signals.handle(), signals: Some(signals) })
    }

    /// To this process, what came meanwhile too.
    pub fn to(&mut self, child: u32) {
        let (Some(mut signals), Some(child)) = (self.signals.take(), pid(child)) else { return };
        std::thread::spawn(move || {
            for origin in &mut signals {
                let signal = Signal::from_named_raw(origin.signal);
                if let Some(signal) = signal.filter(|_| origin.process.is_some()) {
                    let _ = kill_process(child, signal);
                }
            }
        });
    }
}

impl Drop for PassedOn {
    fn drop(&mut self) {
        self.handle.close();
    }
}

fn pid(process: u32) -> Option<Pid> {
    Pid::from_raw(i32::try_from(process).ok()?)
}

/// Stops this process as a child of it has stopped, so that whoever controls the job sees it; once continued, so is the child.
pub fn stop_with(child: u32) {
    let _ = signal_hook::low_level::raise(signal_hook::consts::SIGSTOP);
    if let Some(child) = pid(child) {
        let _ = kill_process(child, Signal::CONT);
    }
}
