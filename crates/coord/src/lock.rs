//! Kernel locks on small files: whoever has one ends with it.
//!
//! Owns taking and giving them back. Refuses to wait, and to write anything into them.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

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
        let place = dir.join(format!("{name}.lock"));
        let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(place)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(Self { _file: file })),
            Err(Errno::WOULDBLOCK) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
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
