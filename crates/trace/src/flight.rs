//! Whether a thread may still be within a call that it was let go on with.
//!
//! Owns what `/proc` says of that. Refuses to be sure where it does not say.

use std::io::ErrorKind;

/// So often it is looked at a thread that runs: what it does is not shown then.
const LOOKS: usize = 40;

/// Calls in which a thread waits and changes no path.
const IDLE: &[libc::c_long] = &[
    libc::SYS_read,
    libc::SYS_write,
    libc::SYS_wait4,
    libc::SYS_waitid,
    libc::SYS_futex,
    libc::SYS_nanosleep,
    libc::SYS_clock_nanosleep,
    libc::SYS_ppoll,
    libc::SYS_pselect6,
    libc::SYS_epoll_pwait,
    libc::SYS_rt_sigsuspend,
    libc::SYS_rt_sigtimedwait,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_poll,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_select,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_pause,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_epoll_wait,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_vfork,
];

/// Whether a thread may be within a call that changes something: unless it is gone, or waits in one that does not.
pub fn may_be_calling(thread: u32) -> bool {
    for _ in 0..LOOKS {
        match std::fs::read_to_string(format!("/proc/{thread}/syscall")) {
            Ok(shown) => match shown.split_whitespace().next() {
                Some("running") => std::thread::yield_now(),
                // It waits for no call at all.
                Some("-1") => return false,
                Some(number) => return !number.parse().is_ok_and(|number| IDLE.contains(&number)),
                // It ends.
                None => return false,
            },
            Err(error) => return error.kind() != ErrorKind::NotFound && error.raw_os_error() != Some(libc::ESRCH),
        }
    }
    true
}

/// Does something while a thread runs that makes no call, with its number.
#[cfg(test)]
pub(crate) fn while_running(then: impl FnOnce(u32)) {
    use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
    let (number, is_over) = (AtomicU32::new(0), AtomicBool::new(false));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let own = std::fs::read_link("/proc/thread-self").expect("there is /proc");
            let own = own.file_name().and_then(|name| name.to_str()).and_then(|name| name.parse().ok());
            number.store(own.expect("a thread has a number"), Ordering::Release);
            while !is_over.load(Ordering::Acquire) {
                std::hint::spin_loop();
            }
        });
        while number.load(Ordering::Acquire) == 0 {
            std::thread::yield_now();
        }
        let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| then(number.load(Ordering::Acquire))));
        is_over.store(true, Ordering::Release);
        done.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    });
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn who_waits_or_is_gone_is_not_and_who_runs_may_be() {
        let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
        while may_be_calling(child.id()) {
            std::thread::yield_now();
        }
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(!may_be_calling(child.id()));
        while_running(|thread| assert!(may_be_calling(thread)));
    }
}
