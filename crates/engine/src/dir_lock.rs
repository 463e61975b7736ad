//! A lock on a directory, which ends with whoever has it and leaves nothing behind.
//!
//! Owns taking it and the wait for it. Refuses to know what is done in the directory.

use std::fs::File;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::event::{Timespec, poll};
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

/// Time between two tries.
const TICK: Timespec = Timespec { tv_sec: 0, tv_nsec: 5_000_000 };

/// The lock on a directory, given back when it is dropped.
pub struct DirLock {
    _lock: Option<File>,
}

/// Takes the lock on a directory, after whoever has it; `None` where that was given up.
///
/// Where a directory cannot be locked - it cannot be read, or its file system has no such locks - everybody has it.
pub fn take(dir: &Path, abort: &AtomicBool) -> Option<DirLock> {
    let Ok(file) = File::open(dir) else { return Some(DirLock { _lock: None }) };
    loop {
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Some(DirLock { _lock: Some(file) }),
            Err(Errno::WOULDBLOCK | Errno::INTR) if abort.load(Ordering::Relaxed) => return None,
            // Nobody tells of a lock that is given back; a signal ends the wait early.
            Err(Errno::WOULDBLOCK | Errno::INTR) => drop(poll(&mut [], Some(&TICK))),
            Err(_) => return Some(DirLock { _lock: None }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_has_it_until_it_is_dropped() {
        let dir = tempfile::tempdir().unwrap();
        let (go_on, give_up) = (AtomicBool::new(false), AtomicBool::new(true));
        let lock = take(dir.path(), &go_on).unwrap();
        assert!(take(dir.path(), &give_up).is_none());
        drop(lock);
        assert!(take(dir.path(), &give_up).is_some());
        assert!(dir.path().read_dir().unwrap().next().is_none(), "nothing is left behind");
        assert!(take(&dir.path().join("none"), &give_up).is_some());
    }
}
