//! Whether the process was given a standard output at all.
//!
//! Owns the one look at the descriptors that comes before `main`: by then the standard library has put the null device where
//! one was closed, and nothing tells it from one that was asked for. Refuses to write anything.

use std::sync::atomic::{AtomicBool, Ordering};

/// Whether standard output was closed when the process began.
static WAS_CLOSED: AtomicBool = AtomicBool::new(false);

/// Called by the loader before the standard library sets anything up.
// SAFETY: the section holds pointers to functions of the C calling convention, which the loader calls once each, and this is one.
// The function makes one system call and stores a flag: it needs nothing of what `main` finds set up.
#[used]
#[unsafe(link_section = ".init_array")]
static LOOK: extern "C" fn() = look;

extern "C" fn look() {
    let is_closed = rustix::io::fcntl_getfd(rustix::stdio::stdout()) == Err(rustix::io::Errno::BADF);
    WAS_CLOSED.store(is_closed, Ordering::Relaxed);
}

/// Whether what is written to standard output goes anywhere.
pub fn has_output() -> bool {
    !WAS_CLOSED.load(Ordering::Relaxed)
}
