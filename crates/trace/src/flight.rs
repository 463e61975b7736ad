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
        let own = std::fs::read_link("/proc/thread-self").unwrap();
        assert!(may_be_calling(own.file_name().unwrap().to_str().unwrap().parse().unwrap()));
    }
}
