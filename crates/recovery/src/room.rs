//! Whether there is room for what a recovery will stage.
//!
//! Owns the estimate, mount by mount. Refuses to write anything to find out.

use std::os::fd::OwnedFd;

use wfr_model::TreePath;
use wfr_model::entry::{Content, Node};
use wfr_model::plan::Action;
use wfr_store::{Objects, ReadError, content};

use crate::apply::{PrepareError, shown};
use crate::beneath;
use crate::redo::RedoStep;
use crate::stage;

/// On each mount: the directories of all recoveries, of this one, and one each for what comes and what goes, and the file that hides
/// them from git.
const STAGING_INODES: u64 = 5;

/// Refuses steps for whose staged files a mount has not the bytes, or not the inodes.
pub(crate) fn check(
    objects: &dyn Objects,
    root: &OwnedFd,
    mounts: &[TreePath],
    steps: &[RedoStep],
) -> Result<(), PrepareError> {
    for (number, mount) in mounts.iter().enumerate() {
        let is_here = |step: &&RedoStep| usize::from(step.mount) == number && stage::is_staged(step);
        let is_made = |step: &&RedoStep| usize::from(step.mount) == number && step.action == Action::MakeDir;
        let (staged, made) = (steps.iter().filter(is_here).count() as u64, steps.iter().filter(is_made).count() as u64);
        let files = if staged > 0 { staged + STAGING_INODES } else { 0 } + made;
        let contents = steps.iter().filter(is_here).filter_map(|step| match &step.after.as_ref()?.node {
            Node::File(content) => Some(content),
            _ => None,
        });
        let sum = |of: &dyn Fn(&Content) -> Result<u64, ReadError>| -> Result<u64, ReadError> {
            contents.clone().try_fold(0u64, |sum, content| {
                Ok(sum.saturating_add(of(content)?.checked_next_multiple_of(4_096).unwrap_or(u64::MAX)))
            })
        };
        let place = shown(mount);
        let failed = |source| PrepareError::Workspace { place: place.clone().into(), source };
        let dir = beneath::directory(root, mount).map_err(failed)?;
        let room = rustix::fs::fstatvfs(&dir).map_err(|error| failed(error.into()))?;
        let have = room.f_bavail.saturating_mul(room.f_frsize);
        // Holes take no room. To know of them chunks must be listed, so only where it matters.
        let mut need = sum(&|content| Ok(content.size))?;
        if need > have {
            need = sum(&|content| content::dense_bytes(objects, content))?;
        }
        // One that knows no bounds says that it has no blocks at all.
        if need > have && room.f_blocks > 0 {
            return Err(PrepareError::NoRoom { what: "bytes", need, have, place });
        }
        // File systems that make inodes as they need them say 0.
        if room.f_files > 0 && files > room.f_favail {
            return Err(PrepareError::NoRoom { what: "inodes", need: files, have: room.f_favail, place });
        }
    }
    Ok(())
}
