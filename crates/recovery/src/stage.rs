//! Writing the files that are to come, beside their targets, before anything is touched.
//!
//! Owns staging and its durability. Refuses to look at targets.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::fs::{Mode, OFlags};
use wfr_model::TreePath;
use wfr_model::entry::{Entry, Node};
use wfr_store::content::{self, CopyError};
use wfr_store::{Objects, disk};

use crate::apply::{Environment, PrepareError};
use crate::beneath::{look, os};
use crate::fresh::Fresh;
use crate::metadata::{Time, dress, dress_link, time_in_place};
use crate::mounts::Staging;
use crate::plan::LinkGroups;
use crate::progress::Stage;
use crate::redo::RedoStep;

/// From so many staged files on, one flush of the file system costs less than one of each file.
const SYNC_EACH_MAX: usize = 16;

/// How staged files are made.
#[derive(Clone, Copy)]
pub(crate) struct Manner {
    pub(crate) exact_mtime: bool,
    pub(crate) with_owner: bool,
}

/// Whether a step needs a staged file.
pub(crate) fn is_staged(step: &RedoStep) -> bool {
    matches!(step.action, wfr_model::plan::Action::Create | wfr_model::plan::Action::Replace)
}

/// Stages one file or link under a name; returns its device and inode.
pub(crate) fn stage_one(
    objects: &dyn Objects,
    dir: BorrowedFd<'_>,
    name: &Path,
    before: Option<&Entry>,
    entry: &Entry,
    manner: Manner,
) -> Result<(u64, u64), PrepareError> {
    let failed = |source| PrepareError::Stage { name: entry_name(entry), source };
    let time = time_in_place(manner.exact_mtime, before, entry);
    match &entry.node {
        Node::File(found) => {
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL;
            let file = disk::open_at(dir, name, flags, Mode::from_raw_mode(0o600)).map(File::from).map_err(failed)?;
            content::copy_to(objects, found, &mut Fresh::new(&file)).map_err(|error| match error {
                CopyError::Read(error) => PrepareError::Read(error),
                CopyError::Write(source) => failed(source),
            })?;
            dress(&file, entry, Some(time), manner.with_owner).map_err(failed)?;
        }
        Node::Symlink(target) => {
            disk::symlink(os(target), dir, name).map_err(failed)?;
            dress_link(dir, name, entry, time, manner.with_owner).map_err(failed)?;
        }
        _ => return Err(failed(io::Error::other("only files and links are staged"))),
    }
    let slot = look(dir, name).map_err(failed)?;
    slot.map(|slot| slot.identity()).ok_or_else(|| failed(io::ErrorKind::NotFound.into()))
}

fn entry_name(entry: &Entry) -> String {
    wfr_model::path::escape(&entry.name)
}

/// Stages everything that the steps need, in parallel, and makes it durable.
pub(crate) fn stage_all(
    environment: &Environment<'_>,
    staging: &[Staging],
    steps: &mut [RedoStep],
    links: &LinkGroups,
    manner: Manner,
) -> Result<(), PrepareError> {
    let leaders = leaders(steps, links);
    let wanted: Vec<usize> =
        (0..steps.len()).filter(|n| is_staged(&steps[*n]) && leaders.get(n).is_none_or(|leader| leader == n)).collect();
    environment.progress.begin(Stage::Staging, wanted.len());
    let identities = stage_parallel(environment, staging, steps, &wanted, manner)?;
    for (number, identity) in identities {
        steps[number].staged = Some(identity);
    }
    for (number, leader) in leaders.iter().filter(|(number, leader)| number != leader) {
        let (from, to) = (&staging[usize::from(steps[*leader].mount)], &staging[usize::from(steps[*number].mount)]);
        let (old, new) = (leader.to_string(), number.to_string());
        disk::link(&from.new, Path::new(&old), &to.new, Path::new(&new))
            .map_err(|source| PrepareError::Stage { name: steps[*number].path.to_string(), source }.on(&to.mount))?;
        steps[*number].staged = steps[*leader].staged;
    }
    environment.progress.begin(Stage::Flushing, 0);
    sync(staging, steps, wanted.len())
}

/// For each step that puts a hard-linked file in place: the step whose staged file it shares.
fn leaders(steps: &[RedoStep], links: &LinkGroups) -> HashMap<usize, usize> {
    let group_of: HashMap<&TreePath, usize> =
        links.iter().enumerate().flat_map(|(number, group)| group.iter().map(move |path| (path, number))).collect();
    let mut first: HashMap<(usize, u16), usize> = HashMap::new();
    let mut leaders = HashMap::new();
    for (number, step) in steps.iter().enumerate().filter(|(_, step)| is_staged(step)) {
        if let Some(group) = group_of.get(&step.path) {
            leaders.insert(number, *first.entry((*group, step.mount)).or_insert(number));
        }
    }
    leaders
}

type Identities = Vec<(usize, (u64, u64))>;

fn stage_parallel(
    environment: &Environment<'_>,
    staging: &[Staging],
    steps: &[RedoStep],
    wanted: &[usize],
    manner: Manner,
) -> Result<Identities, PrepareError> {
    let next = AtomicUsize::new(0);
    let done = Mutex::new(Vec::with_capacity(wanted.len()));
    let work = || -> Result<(), PrepareError> {
        let mut own = Vec::new();
        while let Some(number) = wanted.get(next.fetch_add(1, Ordering::Relaxed)) {
            environment.check_time()?;
            let step = &steps[*number];
            let Some(entry) = &step.after else { continue };
            let dir = staging[usize::from(step.mount)].new.as_fd();
            let name = number.to_string();
            let identity = stage_one(environment.objects, dir, Path::new(&name), step.before.as_ref(), entry, manner)
                .map_err(|error| match error {
                PrepareError::Read(source) => PrepareError::ReadOf { path: step.path.clone(), source },
                other => other.on(&staging[usize::from(step.mount)].mount),
            })?;
            own.push((*number, identity));
            environment.progress.one(Stage::Staging);
        }
        done.lock().unwrap_or_else(std::sync::PoisonError::into_inner).extend(own);
        Ok(())
    };
    let threads = environment.threads.clamp(1, wanted.len().div_ceil(8).max(1));
    std::thread::scope(|scope| {
        let workers: Vec<_> = (1..threads).map(|_| scope.spawn(work)).collect();
        let mut result = work();
        for worker in workers {
            let other = worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            result = result.and(other);
        }
        result
    })?;
    Ok(done.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner))
}

fn sync(staging: &[Staging], steps: &[RedoStep], count: usize) -> Result<(), PrepareError> {
    let failed = |staging: &Staging, source| {
        PrepareError::Stage { name: "the staging directory".to_owned(), source }.on(&staging.mount)
    };
    if count > SYNC_EACH_MAX {
        let flush = |one: &Staging| disk::sync_file_system(one.new.as_fd()).map_err(|error| failed(one, error));
        return staging.iter().try_for_each(flush);
    }
    for (number, step) in steps.iter().enumerate().filter(|(_, step)| is_staged(step)) {
        if matches!(&step.after, Some(Entry { node: Node::File(_), .. })) {
            let staging = &staging[usize::from(step.mount)];
            let failed = |source| PrepareError::Stage { name: step.path.to_string(), source }.on(&staging.mount);
            let name = number.to_string();
            let dir = staging.new.as_fd();
            match open_synced(dir, Path::new(&name)) {
                Ok(file) => disk::sync_all(file),
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => disk::sync_file_system(dir),
                Err(error) => Err(error),
            }
            .map_err(failed)?;
        }
    }
    staging.iter().try_for_each(|one| disk::sync_all(&one.new).map_err(|error| failed(one, error)))
}

/// Opens a staged file for its flush. Its mode may forbid both ways of opening: then its file system is flushed.
fn open_synced(dir: BorrowedFd<'_>, name: &Path) -> io::Result<File> {
    disk::open_at(dir, name, OFlags::RDONLY, Mode::empty())
        .or_else(|_| disk::open_at(dir, name, OFlags::WRONLY, Mode::empty()))
        .map(File::from)
}

/// The time of something in place that is only given metadata.
pub(crate) fn exact(manner: Manner, entry: &Entry) -> Option<Time> {
    manner.exact_mtime.then_some(Time::Exact(entry.meta.mtime))
}
