//! Which file system has no room, where it is another one than the store's.
//!
//! Owns what is advised then: what a cleanup frees is the store's. Refuses to find out how much room there is.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use wfr_recovery::apply::PrepareError;
use wfr_recovery::checkout::CheckoutError;

use crate::error::{Code, Failure};
use crate::open::Open;

/// A recovery that could not be prepared; `elsewhere` is what else helps than room, if anything does.
pub fn unprepared(open: &Open, error: PrepareError, elsewhere: Option<&str>) -> Failure {
    let root = open.root();
    let place = match &error {
        PrepareError::NoRoom { place, .. } => Some(root.join(place)),
        PrepareError::Mount { mount, .. } => Some(root.join(OsStr::from_bytes(mount.as_bytes()))),
        PrepareError::Workspace { place, .. } => Some(root.join(place)),
        PrepareError::Stage { .. } => Some(root.to_owned()),
        _ => None,
    };
    let failure = Failure::from(error);
    match place {
        Some(place) => advised(failure, &place, open.vault.dir(), elsewhere),
        None => failure,
    }
}

/// A tree that could not be written out to a directory.
pub fn unwritten(open: &Open, error: CheckoutError, dest: &Path) -> Failure {
    let is_there = matches!(error, CheckoutError::Io { .. });
    let failure = Failure::from(error);
    if !is_there {
        return failure;
    }
    advised(failure, dest, open.vault.dir(), Some("name a directory on another one with `--to DIR`"))
}

/// The failure with advice for the file system of `place`, where that is full and the store is on another one.
fn advised(failure: Failure, place: &Path, store: &Path, elsewhere: Option<&str>) -> Failure {
    if failure.code != Code::DiskFull || failure.hint != Code::DiskFull.hint() {
        return failure;
    }
    let Some((device, mount)) = mounted(place) else { return failure };
    if mounted(store).is_none_or(|(other, _)| other == device) {
        return failure;
    }
    let elsewhere = elsewhere.map_or_else(String::new, |elsewhere| format!(", or {elsewhere}"));
    failure.with_hint(format!(
        "free some room on the file system that is mounted at {}{elsewhere}; the store is on another one, which is all that \
         `wfr cleanup-checkpoints` frees",
        mount.display()
    ))
}

/// The device that a place is on, or will be, and where that is mounted.
fn mounted(place: &Path) -> Option<(u64, PathBuf)> {
    let place = place.ancestors().find_map(|place| place.canonicalize().ok())?;
    let device = |place: &Path| place.metadata().ok().map(|meta| meta.dev());
    let own = device(&place)?;
    let mount = place.ancestors().take_while(|above| device(above) == Some(own)).last()?;
    Some((own, mount.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_full_disk_that_is_not_the_stores_gets_other_advice() {
        let dir = tempfile::tempdir().unwrap();
        let full = || Failure::new(Code::DiskFull, "full");
        let near = advised(full(), &dir.path().join("not/yet"), dir.path(), None);
        assert_eq!(near.hint, Code::DiskFull.hint());
        let far = advised(full(), Path::new("/proc/self"), dir.path(), Some("go elsewhere"));
        assert!(far.hint.contains("mounted at /proc, or go elsewhere; "), "{}", far.hint);
        let other = advised(Failure::new(Code::Io, "broken"), Path::new("/proc"), dir.path(), None);
        assert_eq!(other.hint, Code::Io.hint());
    }
}
