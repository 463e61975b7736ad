//! Kernel locks on small files: whoever has one ends with it.
//!
//! Owns taking and giving them back, and waiting until one is free. Refuses to write anything into them.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

/// A lock that is given back when it is dropped.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock of a name in a directory, which is made where it is missing; `None` where somebody has it.
    pub fn take(dir: &Path, name: &str) -> io::Result<Option<Self>> {
        match DirBuilder::new().mode(0o700).create(dir) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        let file = open(dir, name)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(Self { _file: file })),
            Err(Errno::WOULDBLOCK) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

/// Waits until nobody has the lock of a name, whose directory is there; `false` where that takes longer than the limit, or
/// the caller gives up.
pub fn wait(dir: &Path, name: &str, limit: Duration, abort: &AtomicBool) -> io::Result<bool> {
    const TICK: Duration = Duration::from_millis(50);
    let file = open(dir, name)?;
    let (sender, receiver) = mpsc::channel();
    // Where nobody waits any more, it ends with whoever has the lock, or with this process.
    std::thread::spawn(move || {
        let is_free = flock(&file, FlockOperation::LockExclusive).is_ok();
        drop(file);
        let _ = sender.send(is_free);
    });
    let begun = Instant::now();
    while begun.elapsed() < limit && !abort.load(Ordering::Relaxed) {
        match receiver.recv_timeout(TICK) {
            Err(mpsc::RecvTimeoutError::Timeout) => {}
            ended => return Ok(ended.unwrap_or(false)),
        }
    }
    Ok(false)
}

fn open(dir: &Path, name: &str) -> io::Result<File> {
    let place = dir.join(format!("{name}.lock"));
    OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(place)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_has_it_until_it_is_dropped() {
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().join("locks");
        let first = Lock::take(&place, "web").unwrap();
        assert!(first.is_some() && Lock::take(&place, "web").unwrap().is_none());
        assert!(Lock::take(&place, "other").unwrap().is_some());
        drop(first);
        assert!(Lock::take(&place, "web").unwrap().is_some());
    }
}
