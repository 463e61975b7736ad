//! What this process may not change, found before anything is changed.
//!
//! Owns the rules of the system for names, modes and times of files that belong to others, or that nobody may change. Refuses to change
//! anything but, for a moment, the mode of a directory of its own that it has to write in.

use std::collections::BTreeSet;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{Access, AtFlags};
use wfr_model::TreePath;
use wfr_model::plan::{Action, RootChange};

use crate::beneath::{self, os};
use crate::metadata;
use crate::redo::RedoStep;

/// The mode bit by which only the owner of a file may rename it in a directory.
const STICKY: u32 = 0o1000;

/// The mode bits that the owner of a directory needs to write in it.
const WRITE_IN: u32 = 0o300;

/// Something that may not be changed, and why.
pub(crate) type Denial = (TreePath, &'static str);

/// The paths that the steps would change and that this process may not, each with the reason; of the workspace's own directory
/// first.
pub(crate) fn denied(root: &OwnedFd, change: Option<RootChange>, steps: &[RedoStep]) -> io::Result<Vec<Denial>> {
    let mut found = Vec::new();
    let sets_mode = change.is_some_and(|change| change.before.mode != change.after.mode);
    if sets_mode && !may_all() && beneath::look_at(root)?.uid != user() {
        let why = "the workspace's directory belongs to another user, who alone may set its mode";
        found.push((TreePath::ROOT, why));
    }
    for step in steps {
        // Where the directory is still to be made, it will be this process's own.
        let Ok(parent) = beneath::parent(root, &step.path) else { continue };
        let why = match why_fixed(&parent, step)? {
            None if !may_all() => why_denied(&parent, step)?,
            why => why,
        };
        found.extend(why.map(|why| (step.path.clone(), why)));
    }
    // A directory can have two steps: it is made, and dressed at the end.
    found.dedup_by(|a, b| a.0 == b.0);
    Ok(found)
}

fn may_all() -> bool {
    rustix::process::geteuid().is_root()
}

fn user() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// Why nobody may do a step, root included.
fn why_fixed(parent: &OwnedFd, step: &RedoStep) -> io::Result<Option<&'static str>> {
    let target = beneath::look(parent, os(step.path.name()))?;
    if target.is_some_and(|slot| slot.immutable || slot.append_only) {
        return Ok(Some("it is immutable or append-only: `chattr -ia` takes that away"));
    }
    let dir = beneath::look_at(parent)?;
    let adds = matches!(step.action, Action::Create | Action::MakeDir);
    let is_fixed = step.action != Action::SetMeta && (dir.immutable || dir.append_only && !adds);
    Ok(is_fixed.then_some("its directory is immutable or append-only: `chattr -ia` takes that away"))
}

/// Why a process without privileges may not do a step.
fn why_denied(parent: &OwnedFd, step: &RedoStep) -> io::Result<Option<&'static str>> {
    let target = beneath::look(parent, os(step.path.name()))?;
    let is_others = target.is_some_and(|slot| slot.uid != user());
    if step.action == Action::SetMeta {
        let is_denied = step.before.is_some() && is_others;
        return Ok(is_denied.then_some("it belongs to another user, who alone may set its mode and times"));
    }
    let dir = beneath::look_at(parent)?;
    if dir.uid == user() {
        return Ok(None);
    }
    if rustix::fs::accessat(parent.as_fd(), ".", Access::WRITE_OK | Access::EXEC_OK, AtFlags::EACCESS).is_err() {
        return Ok(Some("its directory belongs to another user and cannot be written"));
    }
    let is_sticky = dir.mode & STICKY != 0;
    Ok((is_sticky && is_others).then_some("it belongs to another user, in a directory where only owners rename"))
}

/// Whether a directory is this process's own and only its mode keeps the process from writing in it.
pub(crate) fn needs_lift(dir: &OwnedFd) -> io::Result<bool> {
    let slot = beneath::look_at(dir)?;
    Ok(!may_all() && slot.uid == user() && slot.mode & WRITE_IN != WRITE_IN)
}

/// Does something in a directory, also where only its mode keeps this process from it: that is lifted for the moment.
pub(crate) fn lifting<T>(dir: &OwnedFd, work: impl Fn() -> io::Result<T>) -> io::Result<T> {
    match work() {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied && needs_lift(dir)? => {
            let mode = beneath::look_at(dir)?.mode;
            metadata::set_mode(dir, mode | WRITE_IN)?;
            let done = work();
            metadata::set_mode(dir, mode)?;
            done
        }
        ended => ended,
    }
}

/// Gives a directory the mode that [`lifting`] took from it and did not give back, since its process died.
pub(crate) fn end_lift(dir: &OwnedFd, mode: u32) -> io::Result<()> {
    let is = beneath::look_at(dir)?.mode;
    if is == mode | WRITE_IN && is != mode { metadata::set_mode(dir, mode) } else { Ok(()) }
}

/// Directories that must be made writable for an unprivileged process, with the modes they get back.
pub(crate) fn to_lift(root: &OwnedFd, steps: &[RedoStep]) -> io::Result<Vec<(TreePath, u32)>> {
    if rustix::process::geteuid().is_root() {
        return Ok(vec![]);
    }
    let parents: BTreeSet<TreePath> =
        steps.iter().filter(|step| step.action != Action::SetMeta).filter_map(|step| step.path.parent()).collect();
    let mut lifted = Vec::new();
    for path in parents {
        if let Ok(dir) = beneath::directory(root, &path) {
            let slot = beneath::look_at(&dir)?;
            if slot.mode & WRITE_IN != WRITE_IN {
                lifted.push((path, slot.mode));
            }
        }
    }
    Ok(lifted)
}
