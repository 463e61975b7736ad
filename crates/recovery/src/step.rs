//! Doing one step, and taking one back, so that either can be repeated after a crash.
//!
//! Owns the slot rules: a step looks at what stands in its staging slot and at its target, and knows from the two how
//! far it is. Nothing is unlinked here. Refuses to decide what a failure means for the rest.

use std::collections::HashSet;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, Mode, RenameFlags};
use wfr_model::entry::{Entry, Node};
use wfr_model::plan::Action;
use wfr_model::recovery::StepEnd;
use wfr_store::{Objects, disk};

use crate::beneath::{self, Slot, holds, look, os};
use crate::metadata::{self, dress_directory};
use crate::mounts::Staging;
use crate::redo::RedoStep;
use crate::stage::{Manner, exact, stage_one};

/// Everything that a step needs.
pub(crate) struct Ground<'g> {
    pub(crate) root: BorrowedFd<'g>,
    pub(crate) staging: &'g [Staging],
    pub(crate) objects: &'g dyn Objects,
    pub(crate) manner: Manner,
    /// What all steps of the recovery put in place, by device and inode.
    pub(crate) ours: &'g HashSet<(u64, u64)>,
}

/// How a step ended, in finer words than the report's.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Ended {
    Done,
    /// Somebody edited the path meanwhile: their edit stands.
    KeptEdit,
    /// A directory still holds something.
    NotEmpty,
    Failed(String),
}

impl Ended {
    pub(crate) fn report(&self) -> StepEnd {
        match self {
            Self::Done => StepEnd::Done,
            Self::KeptEdit | Self::NotEmpty => StepEnd::KeptEdit,
            Self::Failed(why) => StepEnd::Failed(why.clone()),
        }
    }
}

/// One step with the descriptors it works on.
struct Site<'s> {
    ground: &'s Ground<'s>,
    step: &'s RedoStep,
    parent: OwnedFd,
    name: &'s Path,
    slot: PathBuf,
}

/// Does a step, or finds that it is done.
pub(crate) fn run(ground: &Ground<'_>, number: usize, step: &RedoStep) -> Ended {
    match with_site(ground, number, step, forward) {
        Ok(ended) => ended,
        // The directory is gone, or a link or a file stands in its place: somebody's edit.
        Err(error) if is_moved_away(&error) => match step.action {
            Action::Delete | Action::RemoveDir if error.kind() == io::ErrorKind::NotFound => Ended::Done,
            Action::Delete | Action::RemoveDir if is_below_ours(ground, step) => Ended::Done,
            _ => Ended::KeptEdit,
        },
        Err(error) => Ended::Failed(error.to_string()),
    }
}

/// Takes a step back as far as it was done and nobody has edited the path since: an edit stands.
pub(crate) fn take_back(ground: &Ground<'_>, number: usize, step: &RedoStep) -> io::Result<Ended> {
    match with_site(ground, number, step, backward) {
        Err(error) if is_moved_away(&error) => Ok(Ended::Done),
        other => other,
    }
}

fn is_moved_away(error: &io::Error) -> bool {
    // ELOOP: a symbolic link; ENOTDIR: a file; EXDEV: it leads out of the workspace.
    error.kind() == io::ErrorKind::NotFound || matches!(error.raw_os_error(), Some(40 | 20 | 18))
}

/// Whether a later step has put something in the place of a directory above: then what was in it went before.
fn is_below_ours(ground: &Ground<'_>, step: &RedoStep) -> bool {
    let mut at = step.path.parent();
    while let Some(dir) = at.filter(|dir| !dir.is_root()) {
        if let Ok(above) = beneath::parent(ground.root, &dir) {
            let found = look(&above, os(dir.name())).ok().flatten();
            return found.is_some_and(|slot| ground.ours.contains(&slot.identity()));
        }
        at = dir.parent();
    }
    false
}

fn with_site<T>(
    ground: &Ground<'_>,
    number: usize,
    step: &RedoStep,
    work: fn(&Site<'_>) -> io::Result<T>,
) -> io::Result<T> {
    let parent = beneath::parent(ground.root, &step.path)?;
    let site = Site { ground, step, parent, name: os(step.path.name()), slot: number.to_string().into() };
    work(&site)
}

impl Site<'_> {
    fn new_dir(&self) -> &OwnedFd {
        &self.ground.staging[usize::from(self.step.mount)].new
    }

    fn old_dir(&self) -> &OwnedFd {
        &self.ground.staging[usize::from(self.step.mount)].old
    }

    fn target(&self) -> io::Result<Option<Slot>> {
        look(&self.parent, self.name)
    }

    fn is_ours(&self, slot: Option<Slot>) -> bool {
        slot.is_some_and(|slot| Some(slot.identity()) == self.step.staged)
    }

    /// Whether the target's directory is still where the path says: it may have been moved while the step ran.
    fn is_in_place(&self) -> io::Result<bool> {
        let now = match beneath::parent(self.ground.root, &self.step.path) {
            Ok(now) => now,
            Err(error) if is_moved_away(&error) => return Ok(false),
            Err(error) => return Err(error),
        };
        Ok(beneath::look_at(now)?.identity() == beneath::look_at(&self.parent)?.identity())
    }

    fn exchange(&self) -> io::Result<()> {
        disk::rename(self.new_dir(), &self.slot, &self.parent, self.name, RenameFlags::EXCHANGE)
    }

    /// Stages again what a crash lost.
    fn restage(&self, entry: &Entry) -> io::Result<(u64, u64)> {
        let (objects, dir) = (self.ground.objects, self.new_dir().as_fd());
        stage_one(objects, dir, &self.slot, self.step.before.as_ref(), entry, self.ground.manner)
            .map_err(|error| io::Error::other(error.to_string()))
    }
}

fn forward(site: &Site<'_>) -> io::Result<Ended> {
    match (site.step.action, &site.step.before, &site.step.after) {
        (Action::Replace, Some(before), Some(after)) => replace(site, before, after),
        (Action::Create, _, Some(after)) => create(site, after),
        (Action::Delete, Some(before), _) => delete(site, before),
        (Action::MakeDir, ..) => make_dir(site),
        (Action::RemoveDir, ..) => remove_dir(site),
        (Action::SetMeta, _, Some(after)) => set_meta(site, after),
        _ => Ok(Ended::Failed("the record lacks what the step needs".to_owned())),
    }
}

fn replace(site: &Site<'_>, before: &Entry, after: &Entry) -> io::Result<Ended> {
    let target = site.target()?;
    if !site.is_ours(target) {
        let Some(target) = target else { return Ok(Ended::KeptEdit) };
        if target.kind == FileType::Directory {
            return Ok(Ended::KeptEdit);
        }
        let slot = look(site.new_dir(), &site.slot)?;
        if slot.is_none() {
            return put_lost(site, before, after);
        }
        if !site.is_ours(slot) {
            // Exchanged before a crash, and edited since: that edit stands.
            return Ok(Ended::KeptEdit);
        }
        site.exchange()?;
    }
    if look(site.new_dir(), &site.slot)?.is_none() {
        return Ok(Ended::Done);
    }
    if holds(site.new_dir(), &site.slot, before)? && site.is_in_place()? {
        return Ok(Ended::Done);
    }
    if site.is_ours(site.target()?) {
        site.exchange()?;
    }
    Ok(Ended::KeptEdit)
}

/// The staged file is lost, and the target is not it: it is made again, unless the target holds it already.
fn put_lost(site: &Site<'_>, before: &Entry, after: &Entry) -> io::Result<Ended> {
    if holds(&site.parent, site.name, after)? {
        return Ok(Ended::Done);
    }
    if !holds(&site.parent, site.name, before)? {
        return Ok(Ended::KeptEdit);
    }
    let staged = site.restage(after)?;
    site.exchange()?;
    if holds(site.new_dir(), &site.slot, before)? && site.is_in_place()? {
        return Ok(Ended::Done);
    }
    if site.target()?.is_some_and(|slot| slot.identity() == staged) {
        site.exchange()?;
    }
    Ok(Ended::KeptEdit)
}

fn create(site: &Site<'_>, after: &Entry) -> io::Result<Ended> {
    if site.is_ours(site.target()?) {
        return Ok(Ended::Done);
    }
    if look(site.new_dir(), &site.slot)?.is_none() {
        if site.target()?.is_some() {
            return Ok(if holds(&site.parent, site.name, after)? { Ended::Done } else { Ended::KeptEdit });
        }
        site.restage(after)?;
    }
    match disk::rename(site.new_dir(), &site.slot, &site.parent, site.name, RenameFlags::NOREPLACE) {
        Ok(()) if site.is_in_place()? => Ok(Ended::Done),
        Ok(()) => {
            disk::rename(&site.parent, site.name, site.new_dir(), &site.slot, RenameFlags::NOREPLACE)?;
            Ok(Ended::KeptEdit)
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(Ended::KeptEdit),
        Err(error) => Err(error),
    }
}

fn delete(site: &Site<'_>, before: &Entry) -> io::Result<Ended> {
    if look(site.old_dir(), &site.slot)?.is_none() {
        match site.target()? {
            None => return Ok(Ended::Done),
            Some(target) if target.kind == FileType::Directory => return Ok(Ended::KeptEdit),
            Some(_) => {}
        }
        match disk::rename(&site.parent, site.name, site.old_dir(), &site.slot, RenameFlags::NOREPLACE) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Ended::Done),
            Err(error) => return Err(error),
        }
    }
    if holds(site.old_dir(), &site.slot, before)? && site.is_in_place()? {
        return Ok(Ended::Done);
    }
    put_back(site, site.old_dir())?;
    Ok(Ended::KeptEdit)
}

/// Moves a displaced file back where nothing has taken its place; else it stays displaced.
fn put_back(site: &Site<'_>, dir: &OwnedFd) -> io::Result<Ended> {
    match disk::rename(dir, &site.slot, &site.parent, site.name, RenameFlags::NOREPLACE) {
        Ok(()) => Ok(Ended::Done),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(Ended::KeptEdit),
        Err(error) if is_moved_away(&error) => Ok(Ended::Done),
        Err(error) => Err(error),
    }
}

fn make_dir(site: &Site<'_>) -> io::Result<Ended> {
    match disk::make_dir(&site.parent, site.name, Mode::from_raw_mode(0o700)) {
        Ok(()) => Ok(Ended::Done),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let is_dir = site.target()?.is_some_and(|slot| slot.kind == FileType::Directory);
            Ok(if is_dir { Ended::Done } else { Ended::KeptEdit })
        }
        Err(error) => Err(error),
    }
}

fn remove_dir(site: &Site<'_>) -> io::Result<Ended> {
    match disk::remove_dir(&site.parent, site.name) {
        Ok(()) => Ok(Ended::Done),
        Err(error) => match error.raw_os_error() {
            Some(2) => Ok(Ended::Done),
            // ENOTEMPTY, and EBUSY for a mount point: something in it stays.
            Some(39 | 17 | 16) => Ok(Ended::NotEmpty),
            // ENOTDIR: something else is there; a later step's, where this is done again, else somebody's.
            Some(20) => {
                let is_ours = site.target()?.is_some_and(|slot| site.ground.ours.contains(&slot.identity()));
                Ok(if is_ours { Ended::Done } else { Ended::KeptEdit })
            }
            _ => Err(error),
        },
    }
}

fn set_meta(site: &Site<'_>, entry: &Entry) -> io::Result<Ended> {
    let Some(target) = site.target()? else { return Ok(Ended::KeptEdit) };
    let is_dir = matches!(entry.node, Node::Dir(_));
    if (target.kind == FileType::Directory) != is_dir {
        return Ok(Ended::KeptEdit);
    }
    let time = exact(site.ground.manner, entry);
    if is_dir {
        dress_directory(&site.parent, site.name, entry, time, site.ground.manner.with_owner)?;
        return Ok(Ended::Done);
    }
    // Only its time differs. Whoever edited it meanwhile gave it another one.
    if !holds(&site.parent, site.name, entry)? {
        return Ok(Ended::KeptEdit);
    }
    if let Some(time) = time {
        metadata::set_time(&site.parent, site.name, time)?;
    }
    Ok(Ended::Done)
}

fn backward(site: &Site<'_>) -> io::Result<Ended> {
    match site.step.action {
        Action::Replace => unreplace(site),
        Action::Create => uncreate(site),
        Action::Delete => match look(site.old_dir(), &site.slot)? {
            Some(_) => put_back(site, site.old_dir()),
            None => Ok(Ended::Done),
        },
        Action::MakeDir => remove_dir(site),
        Action::RemoveDir => {
            let ended = make_dir(site)?;
            restore_directory(site).map(|()| ended)
        }
        Action::SetMeta => restore_directory(site).map(|()| Ended::Done),
    }
}

fn unreplace(site: &Site<'_>) -> io::Result<Ended> {
    let slot = look(site.new_dir(), &site.slot)?;
    // Without the file of before in its slot the step was not done, or is taken back already.
    if slot.is_none() || site.is_ours(slot) {
        return Ok(Ended::Done);
    }
    if !site.is_ours(site.target()?) || is_edited(site) {
        return Ok(Ended::KeptEdit);
    }
    site.exchange()?;
    Ok(Ended::Done)
}

fn uncreate(site: &Site<'_>) -> io::Result<Ended> {
    let target = site.target()?;
    if target.is_none() || look(site.new_dir(), &site.slot)?.is_some() {
        return Ok(Ended::Done);
    }
    if !site.is_ours(target) || is_edited(site) {
        return Ok(Ended::KeptEdit);
    }
    disk::rename(&site.parent, site.name, site.new_dir(), &site.slot, RenameFlags::NOREPLACE)?;
    Ok(Ended::Done)
}

/// Whether somebody wrote into what the step put in place. Of what cannot be read that is not known; it is kept aside.
fn is_edited(site: &Site<'_>) -> bool {
    let after = site.step.after.as_ref();
    after.is_some_and(|after| matches!(holds(&site.parent, site.name, after), Ok(false)))
}

/// Gives a directory, or a file whose time was set, the metadata of before.
fn restore_directory(site: &Site<'_>) -> io::Result<()> {
    let Some(before) = &site.step.before else { return Ok(()) };
    let time = Some(metadata::Time::Exact(before.meta.mtime));
    match &before.node {
        Node::Dir(_) => {
            let dressed = dress_directory(&site.parent, site.name, before, time, site.ground.manner.with_owner);
            // What may not be set may never have been: then it is as it was.
            let is_as_before = |slot: Slot| (slot.mode, slot.mtime) == (before.meta.mode, before.meta.mtime);
            match dressed {
                Err(_) if site.target()?.is_some_and(is_as_before) => Ok(()),
                other => other,
            }
        }
        _ if holds(&site.parent, site.name, before)? => {
            metadata::set_time(&site.parent, site.name, metadata::Time::Exact(before.meta.mtime))
        }
        _ => Ok(()),
    }
}
