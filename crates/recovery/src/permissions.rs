//! What an unprivileged process may not change, found before anything is changed.
//!
//! Owns the rules of the system for names, modes and times of files that belong to others. Refuses to change anything.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{Access, AtFlags};
use wfr_model::TreePath;
use wfr_model::plan::{Action, RootChange};

use crate::beneath::{self, Slot, os};
use crate::redo::RedoStep;

/// The mode bit by which only the owner of a file may rename it in a directory.
const STICKY: u32 = 0o1000;

/// The first path that a step would change and that this process may not, with the reason; `None` where it may do all.
pub(crate) fn denied(
    root: &OwnedFd,
    change: Option<RootChange>,
    steps: &[RedoStep],
) -> io::Result<Option<(TreePath, &'static str)>> {
    let user = rustix::process::geteuid();
    if user.is_root() {
        return Ok(None);
    }
    let sets_mode = change.is_some_and(|change| change.before.mode != change.after.mode);
    if sets_mode && beneath::look_at(root)?.uid != user.as_raw() {
        return Ok(Some((
            TreePath::ROOT,
            "the workspace's directory belongs to another user, who alone may set its mode",
        )));
    }
    for step in steps {
        // Where the directory is still to be made, it will be this process's own.
        let Ok(parent) = beneath::parent(root, &step.path) else { continue };
        let target = beneath::look(&parent, os(step.path.name()))?;
        let is_own = |slot: &Slot| slot.uid == user.as_raw();
        if step.action == Action::SetMeta {
            if step.before.is_some() && target.is_some_and(|slot| !is_own(&slot)) {
                return Ok(Some((
                    step.path.clone(),
                    "it belongs to another user, who alone may set its mode and times",
                )));
            }
            continue;
        }
        let dir = beneath::look_at(&parent)?;
        if is_own(&dir) {
            continue;
        }
        if rustix::fs::accessat(parent.as_fd(), ".", Access::WRITE_OK | Access::EXEC_OK, AtFlags::EACCESS).is_err() {
            return Ok(Some((step.path.clone(), "its directory belongs to another user and cannot be written")));
        }
        if dir.mode & STICKY != 0 && target.is_some_and(|slot| !is_own(&slot)) {
            return Ok(Some((
                step.path.clone(),
                "it belongs to another user, in a directory where only owners rename",
            )));
        }
    }
    Ok(None)
}
