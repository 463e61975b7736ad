//! Signals: the first interrupt asks the work to end, the second ends the process.
//!
//! Owns the flag that the engine looks at. Refuses to clean up: every state that a signal can leave is one that a crash
//! can leave too.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

/// A flag that an interrupt sets. The second one ends the process with 130.
pub fn watch() -> Arc<AtomicBool> {
    let flag = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        // The order matters: the exit looks at the flag before it is set.
        let _ = signal_hook::flag::register_conditional_shutdown(signal, 130, flag.clone());
        let _ = signal_hook::flag::register(signal, flag.clone());
    }
    flag
}

/// Ends this process at once, as a crash would.
pub fn kill_self() {
    let _ = signal_hook::low_level::raise(signal_hook::consts::SIGKILL);
}
