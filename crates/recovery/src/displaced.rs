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

/// Drops or keeps what a step displaced, and drops what it staged in vain. Where the way back is `stuck`, what it displaced is
/// kept in any case.
pub(crate) fn settle(
    staging: &Staging,
    number: usize,
    step: &RedoStep,
    recovery: &RecoveryId,
    stuck: bool,
) -> io::Result<Option<Displaced>> {
    let name = number.to_string();
    let name = Path::new(&name);
    for dir in [&staging.new, &staging.old] {
        let Some(slot) = look(dir, name)? else { continue };
        // A staged file may have stood in its place for a moment, and somebody may have written to it there.
        let is_staged = Some(slot.identity()) == step.staged;
        let reason = match if is_staged { &step.after } else { &step.before } {
            _ if stuck && !is_staged => Some("it could not be put back"),
            Some(expected) => reason_to_keep(dir, name, expected),
            None => Some("it was not expected"),
        };
        match reason {
            None => disk::unlink(dir, name)?,
            Some(reason) => return keep(staging, dir, name, step, recovery, reason).map(Some),
        }
    }
    Ok(None)
}

/// Why a displaced file must not be dropped, if there is a reason: it is not what is expected there, or may yet change, or
/// cannot be looked at. What cannot be looked at is kept, whatever the reason: else the recovery would never end.
fn reason_to_keep(dir: &OwnedFd, name: &Path, expected: &Entry) -> Option<&'static str> {
    const UNSEEN: &str = "it cannot be read to see whether it is unchanged";
    let is_file = matches!(look(dir, name), Ok(Some(slot)) if slot.kind == FileType::RegularFile);
    match is_file.then(|| open_file(dir, name).map(|file| wfr_store::lease::has_writer(&file))) {
        Some(Ok(Some(true))) => return Some("a process still has it open for writing"),
        Some(Err(_)) => return Some(UNSEEN),
        _ => {}
    }
    // The lease was looked at first: whoever wrote and closed before it is seen in the content.
    match holds(dir, name, expected) {
        Ok(true) => None,
        Ok(false) => Some("it was written to meanwhile"),
        Err(_) => Some(UNSEEN),
    }
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
