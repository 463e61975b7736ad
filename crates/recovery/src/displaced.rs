//! What becomes of displaced files once a recovery is done.
//!
//! Owns the decision whether one may be dropped: only where nobody can still be writing into it and it is what was
//! saved. Everything else is kept and reported.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{FileType, RenameFlags};
use wfr_model::RecoveryId;
use wfr_model::entry::Entry;
use wfr_model::recovery::Displaced;
use wfr_store::disk;

use crate::beneath::{holds, look, open_file};
use crate::mounts::{KEPT, STAGING, Staging};
use crate::redo::RedoStep;

/// Drops or keeps what a step displaced, and drops what it staged in vain.
pub(crate) fn settle(
    staging: &Staging,
    number: usize,
    step: &RedoStep,
    recovery: &RecoveryId,
) -> io::Result<Option<Displaced>> {
    let name = number.to_string();
    let name = Path::new(&name);
    for dir in [&staging.new, &staging.old] {
        let Some(slot) = look(dir, name)? else { continue };
        // A staged file may have stood in its place for a moment, and somebody may have written to it there.
        let is_staged = Some(slot.identity()) == step.staged;
        let reason = match if is_staged { &step.after } else { &step.before } {
            Some(expected) => reason_to_keep(dir, name, expected)?,
            None => Some("it was not expected"),
        };
        match reason {
            None => disk::unlink(dir, name)?,
            Some(reason) => return keep(staging, dir, name, step, recovery, reason).map(Some),
        }
    }
    Ok(None)
}

/// Why a displaced file must not be dropped, if there is a reason: it is not what is expected there, or may yet change.
fn reason_to_keep(dir: &OwnedFd, name: &Path, expected: &Entry) -> io::Result<Option<&'static str>> {
    if look(dir, name)?.is_some_and(|slot| slot.kind == FileType::RegularFile) {
        match open_file(dir, name).map(|file| wfr_store::lease::has_writer(&file)) {
            Ok(Some(true)) => return Ok(Some("a process still has it open for writing")),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                return Ok(Some("it cannot be read to see whether it is unchanged"));
            }
            Err(error) => return Err(error),
        }
    }
    // The lease was looked at first: whoever wrote and closed before it is seen in the content.
    Ok(if holds(dir, name, expected)? { None } else { Some("it was written to meanwhile") })
}

fn keep(
    staging: &Staging,
    dir: &OwnedFd,
    name: &Path,
    step: &RedoStep,
    recovery: &RecoveryId,
    reason: &str,
) -> io::Result<Displaced> {
    let kept = format!("{recovery}-{}", name.display());
    disk::rename(dir, name, staging.kept()?, Path::new(&kept), RenameFlags::NOREPLACE)?;
    let place = staging.mount.join(STAGING.as_bytes()).join(KEPT.as_bytes()).join(kept.as_bytes());
    Ok(Displaced { path: step.path.clone(), kept_at: place, reason: reason.to_owned() })
}
