//! Applying a plan: stage, commit, run, finish; and the way back to each of them after a crash.
//!
//! Owns the order of a recovery and what a failure leads to. Refuses to plan and to record: the caller does.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use wfr_model::plan::{Action, Conflict, Kept, KeptReason, Plan};
use wfr_model::recovery::{ApplyReport, RecoveryStatus, StepEnd, StepReport};
use wfr_model::{FileTime, RecoveryId, TreePath};
use wfr_store::{Objects, disk};

use crate::leftovers;
use crate::mounts::{Mounts, Staging};
use crate::order::{break_outside_links, ordered};
pub use crate::outcome::{Check, GaveUp, Outcome};
use crate::plan::LinkGroups;
use crate::progress::{Progress, Stage};
pub use crate::redo::RedoError;
use crate::redo::{self, Head, Note, Redo, RedoStep};
use crate::stage::{self, Manner};
use crate::step::{self, Ended, Ground};
pub use crate::unprepared::PrepareError;
use crate::{beneath, displaced, metadata, permissions, probe, room, times};

/// What a recovery works with.
pub struct Environment<'e> {
    /// The workspace's root directory.
    pub root: &'e Path,
    /// The vault's journal directory.
    pub journal: &'e Path,
    /// The store.
    pub objects: &'e dyn Objects,
    /// How many threads stage files.
    pub threads: usize,
    /// Set from outside to give up: before the commit point nothing happens, after it all is taken back.
    pub abort: &'e AtomicBool,
    /// When to give up, in the same way; once all steps are done and flushed it counts no more.
    pub deadline: Option<Instant>,
    /// Counts what is done, for whoever shows it.
    pub progress: &'e Progress,
    /// Told after each step how many of how many are done.
    pub on_step: &'e (dyn Fn(usize, usize) + Sync),
}

impl Environment<'_> {
    /// Why to give up now, if so.
    fn gives_up(&self) -> Option<GaveUp> {
        if self.abort.load(Ordering::Relaxed) {
            return Some(GaveUp::Interrupted);
        }
        self.deadline.is_some_and(|deadline| Instant::now() >= deadline).then_some(GaveUp::TimedOut)
    }

    pub(crate) fn check_time(&self) -> Result<(), PrepareError> {
        match self.gives_up() {
            Some(GaveUp::Interrupted) => Err(PrepareError::Interrupted),
            Some(_) => Err(PrepareError::TimedOut),
            None => Ok(()),
        }
    }
}

/// What to do when a step fails after the commit point.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OnFailure {
    /// Take everything back.
    TakeBack,
    /// Do the others, and end `partial`.
    Partial,
}

/// How a plan is applied.
pub struct Options {
    /// The recovery's id.
    pub recovery: RecoveryId,
    /// What to do when a step fails.
    pub on_failure: OnFailure,
    /// Whether owners are set.
    pub with_owner: bool,
    /// Hard links of the tree aimed at.
    pub links: LinkGroups,
    /// Whether it stands only once a check has passed: see [`Committed::run_checked`].
    pub provisional: bool,
}

/// A recovery past its commit point: it will be finished or taken back, by this process or by a later one.
pub struct Committed {
    pub(crate) redo: Redo,
    journal: PathBuf,
}

/// Stages a plan's files and writes the redo record. Until this returns, no user's file is touched.
pub fn prepare(environment: &Environment<'_>, plan: &Plan, options: Options) -> Result<Committed, PrepareError> {
    if !plan.conflicts.is_empty() {
        return Err(PrepareError::Conflicts(plan.conflicts.len()));
    }
    environment.check_time()?;
    let failed = |source| PrepareError::Workspace { place: environment.root.to_owned(), source };
    let root = disk::open_dir(environment.root).map_err(failed)?;
    let mut steps = ordered(&plan.steps);
    break_outside_links(&root, &mut steps).map_err(failed)?;
    let mut mounts = Mounts::new(root.as_fd()).map_err(failed)?;
    for step in &mut steps {
        environment.check_time()?;
        step.mount = mounts.of(&step.path.parent().unwrap_or_default()).map_err(failed)?;
    }
    // Where the others are to be done anyway, each step that may not be done is reported.
    if options.on_failure == OnFailure::TakeBack
        && let Some((path, why)) = permissions::denied(&root, plan.root, &steps).map_err(failed)?.into_iter().next()
    {
        return Err(PrepareError::Denied { path, why });
    }
    let lifted = permissions::to_lift(&root, &steps).map_err(failed)?;
    let roots = mounts.into_roots();
    room::check(environment.objects, &root, &roots, &steps)?;
    let manner = Manner { exact_mtime: plan.exact_mtime, with_owner: options.with_owner };
    let id = options.recovery.clone();
    let times = times::of(&root, &roots, &steps);
    let staging = roots.iter().map(|mount| first_staging(environment.root, &root, mount, &id));
    let staging: Vec<Staging> = staging.collect::<Result<_, _>>().inspect_err(|_| {
        for mount in &roots {
            let _ = leftovers::clean_mount(&root, mount, &|other| *other != id, &mut vec![]);
        }
        times::set(&root, times.iter().filter(|(path, _)| roots.contains(path)));
    })?;
    let staged = check_abilities(environment.root, &staging)
        .and_then(|()| stage::stage_all(environment, &staging, &mut steps, &options.links, manner))
        .and_then(|()| environment.check_time());
    let head = Head {
        recovery: id.clone(),
        root: wfr_model::path::escape(environment.root.as_os_str().as_encoded_bytes()),
        exact_mtime: manner.exact_mtime,
        with_owner: manner.with_owner,
        take_back: options.on_failure == OnFailure::TakeBack,
        mounts: roots,
        lifted,
        root_change: plan.root,
        kept: plan.kept.clone(),
        times,
        last_times: plan.times.clone(),
        provisional: options.provisional,
    };
    let redo = Redo { head, steps };
    match staged.and_then(|()| redo::write(environment.journal, &redo).map_err(PrepareError::Journal)) {
        Ok(()) => Ok(Committed { redo, journal: environment.journal.to_owned() }),
        Err(error) => {
            discard(&root, staging, &redo);
            Err(error)
        }
    }
}

/// What a plan would change in a workspace and this process may not, as conflicts with the code `PERMISSION_DENIED`. Reads
/// only.
pub fn denials(root: &Path, plan: &Plan) -> io::Result<Vec<Conflict>> {
    let root = disk::open_dir(root)?;
    let mut steps = ordered(&plan.steps);
    break_outside_links(&root, &mut steps)?;
    let denied = permissions::denied(&root, plan.root, &steps)?.into_iter();
    let conflict = |(path, why): permissions::Denial| Conflict::new(&path, DENIED, why);
    Ok(denied.map(conflict).collect())
}

/// The code of conflicts about permissions.
pub const DENIED: &str = "PERMISSION_DENIED";

/// A mount in messages.
pub(crate) fn shown(mount: &TreePath) -> String {
    if mount.is_root() { ".".to_owned() } else { mount.to_string() }
}

/// Makes a mount's staging directory; what fails is told of that mount.
fn first_staging(place: &Path, root: &OwnedFd, mount: &TreePath, id: &RecoveryId) -> Result<Staging, PrepareError> {
    Staging::open(root.as_fd(), mount, id).map_err(|source| match mount.is_root() {
        true => PrepareError::Workspace { place: place.to_owned(), source },
        false => PrepareError::Mount { mount: mount.clone(), name: "anything".to_owned(), source },
    })
}

fn open_staging(root: &OwnedFd, mounts: &[TreePath], id: &RecoveryId) -> io::Result<Vec<Staging>> {
    mounts.iter().map(|mount| Staging::open(root.as_fd(), mount, id)).collect()
}

fn check_abilities(root: &Path, staging: &[Staging]) -> Result<(), PrepareError> {
    for staging in staging {
        let failed = |source| PrepareError::Stage { name: "anything".to_owned(), source }.on(&staging.mount);
        let abilities = probe::probe_in(&staging.new).map_err(failed)?;
        if !abilities.allow_recovery() {
            let place = match staging.mount.is_root() {
                true => root.to_owned(),
                false => root.join(beneath::os(staging.mount.as_bytes())),
            };
            let mount = shown(&staging.mount);
            return Err(PrepareError::FileSystem { place, mount, file_system: abilities.file_system });
        }
    }
    Ok(())
}

/// Removes what was staged for a recovery that will not happen.
fn discard(root: &OwnedFd, staging: Vec<Staging>, redo: &Redo) {
    for staging in staging {
        for number in 0..redo.steps.len() {
            let _ = disk::unlink(&staging.new, Path::new(&number.to_string()));
        }
        let _ = staging.close(root.as_fd(), &redo.head.recovery);
    }
    let is_mount = |(path, _): &&(TreePath, FileTime)| redo.head.mounts.contains(path);
    times::set(root, redo.head.times.iter().filter(is_mount));
}

/// The recoveries that passed their commit point and have not ended, oldest first.
pub fn unfinished(journal: &Path) -> io::Result<Vec<RecoveryId>> {
    redo::list(journal)
}

/// Drops the record of a recovery that has ended: nothing of it is done again. What it staged is a leftover then.
pub fn forget(journal: &Path, id: &RecoveryId) -> io::Result<()> {
    redo::remove(journal, id, false)
}

/// Whether an unfinished recovery is one that stands only once a check has passed, and none has ended: it will be taken back.
pub fn awaits_check(journal: &Path, id: &RecoveryId) -> bool {
    reopen(journal, id).is_ok_and(|committed| committed.awaits_check())
}

/// Opens an unfinished recovery again.
pub fn reopen(journal: &Path, id: &RecoveryId) -> Result<Committed, RedoError> {
    Ok(Committed { redo: redo::read(journal, id)?, journal: journal.to_owned() })
}

impl Committed {
    /// The recovery's id.
    pub fn recovery(&self) -> &RecoveryId {
        &self.redo.head.recovery
    }

    /// The workspace that it was prepared for.
    pub fn root(&self) -> PathBuf {
        let bytes = wfr_model::path::unescape(&self.redo.head.root).unwrap_or_default();
        beneath::os(&bytes).to_owned()
    }

    /// Does all steps, or finds them done; takes them back where that is the policy and one failed, where an earlier
    /// process has begun to drop what they need, and where one died before its check had ended.
    pub fn run(&self, environment: &Environment<'_>) -> io::Result<Outcome> {
        if self.awaits_check() {
            let why = "its process ended before the functional check had passed".to_owned();
            return Ok(Outcome { reason: Some(GaveUp::Failed(why)), ..self.take_back(environment)? });
        }
        self.run_checked(environment, None)
    }

    /// The same; when all steps are done, and before anything goes that the way back needs, a check is made. Where this process
    /// dies before it has ended, [`Self::run`] takes the recovery back; from then on it completes it.
    pub fn run_checked(&self, environment: &Environment<'_>, check: Option<Check<'_>>) -> io::Result<Outcome> {
        if self.is_noted(Note::Back) {
            return self.take_back(environment);
        }
        let root = disk::open_dir(environment.root)?;
        let head = &self.redo.head;
        let staging = open_staging(&root, &head.mounts, &head.recovery)?;
        let manner = Manner { exact_mtime: head.exact_mtime, with_owner: head.with_owner };
        let ours = self.ours();
        let objects = environment.objects;
        let ground = Ground { root: root.as_fd(), staging: &staging, objects, manner, ours: &ours };
        self.lift(&root, true)?;
        let (ends, mut reason) = self.forward(environment, &ground);
        if reason.is_none() {
            reason = self.flush(environment, &root, &staging)?;
        }
        if let Some(reason) = reason {
            self.lift(&root, true)?;
            let (failed, kept) = self.back(environment.progress, &ground);
            self.lift(&root, false)?;
            self.set_root_mode(&root, true)?;
            all_back(failed)?;
            self.sync(&staging)?;
            self.note_back();
            let mut report = self.settle(environment.progress, &staging, &[], false)?;
            report.kept.extend(kept);
            return Ok(Outcome {
                status: RecoveryStatus::TakenBack,
                report,
                reason: Some(reason),
                check_failed: false,
            });
        }
        if let Some(check) = check.filter(|_| !ends.iter().any(|end| matches!(end, Ended::Failed(_)))) {
            self.judge(check, &ends)?;
        } else if !self.stands() {
            // From here on what the way back needs goes.
            redo::stand(&self.journal, self.recovery())?;
        }
        let report = self.settle(environment.progress, &staging, &ends, false)?;
        let status = if report.failed.is_empty() { RecoveryStatus::Done } else { RecoveryStatus::Partial };
        Ok(Outcome { status, report, reason: None, check_failed: self.is_noted(Note::Failed) })
    }

    fn awaits_check(&self) -> bool {
        self.redo.head.provisional && !self.stands()
    }

    /// Whether it was done: what the way back needs may have gone.
    fn stands(&self) -> bool {
        redo::stands(&self.journal, self.recovery()) || self.is_noted(Note::Failed)
    }

    /// Makes the check and notes how it ended.
    fn judge(&self, check: Check<'_>, ends: &[Ended]) -> io::Result<()> {
        let done = self.redo.steps.iter().zip(ends).filter(|(_, end)| **end == Ended::Done);
        let changed: Vec<TreePath> = done.map(|(step, _)| step.path.clone()).collect();
        match check(&changed) {
            true => redo::stand(&self.journal, self.recovery()),
            false => redo::note(&self.journal, self.recovery(), Note::Failed),
        }
    }

    fn is_noted(&self, note: Note) -> bool {
        redo::is_noted(&self.journal, self.recovery(), note)
    }

    /// Takes everything back, however far it came: the tree is as it was before, but for what somebody edited since: that
    /// stands, and is named. One that was done, and behind which was being tidied up, is completed instead: what the way back
    /// needs may have gone, so whoever wants it back undoes it. What this process has no permission to take
    /// back, or the disk cannot, is reported, and the recovery ends `partial`: nobody is shut out for good by a file of
    /// somebody else's or by a bad block. What stood there is kept aside.
    pub fn take_back(&self, environment: &Environment<'_>) -> io::Result<Outcome> {
        if self.stands() && !self.is_noted(Note::Back) {
            return self.run_checked(environment, None);
        }
        let root = disk::open_dir(environment.root)?;
        let head = &self.redo.head;
        let staging = open_staging(&root, &head.mounts, &head.recovery)?;
        let manner = Manner { exact_mtime: head.exact_mtime, with_owner: head.with_owner };
        let ours = self.ours();
        let objects = environment.objects;
        let ground = Ground { root: root.as_fd(), staging: &staging, objects, manner, ours: &ours };
        self.lift(&root, true)?;
        // Where the way back was behind it already, what is not its own came later.
        let is_again = self.is_noted(Note::Back);
        let (failed, kept) = self.back(environment.progress, &ground);
        self.lift(&root, false)?;
        self.set_root_mode(&root, true)?;
        let (stuck, other): (Vec<_>, Vec<_>) =
            failed.into_iter().partition(|(_, error)| is_denied(error) || error.raw_os_error() == Some(EIO));
        all_back(other)?;
        self.sync(&staging)?;
        self.note_back();
        let mut report = self.settle(environment.progress, &staging, &[], !stuck.is_empty())?;
        report.kept.extend(kept.into_iter().filter(|_| !is_again));
        report.failed = stuck
            .iter()
            .map(|(step, error)| StepReport {
                path: step.path.clone(),
                action: step.action,
                end: StepEnd::Failed(error.to_string()),
            })
            .collect();
        let status = if stuck.is_empty() { RecoveryStatus::TakenBack } else { RecoveryStatus::Partial };
        Ok(Outcome { status, report, reason: None, check_failed: false })
    }

    /// Notes that the way is back. Where that cannot be written all is tidied up all the same, since the tree is as it was: it
    /// would be missed only where the process dies just then.
    fn note_back(&self) {
        let _ = redo::note(&self.journal, self.recovery(), Note::Back);
    }

    /// The ends of all steps, or why everything must be taken back.
    fn forward(&self, environment: &Environment<'_>, ground: &Ground<'_>) -> (Vec<Ended>, Option<GaveUp>) {
        let total = self.redo.steps.len();
        let mut ends = Vec::with_capacity(total);
        environment.progress.begin(Stage::Steps, total);
        for (number, redo_step) in self.redo.steps.iter().enumerate() {
            if let Some(reason) = environment.gives_up() {
                return (ends, Some(reason));
            }
            let ended = step::run(ground, number, redo_step);
            if let (Ended::Failed(why), true) = (&ended, self.redo.head.take_back) {
                return (ends, Some(GaveUp::Failed(format!("{}: {why}", redo_step.path))));
            }
            ends.push(ended);
            environment.progress.one(Stage::Steps);
            (environment.on_step)(number + 1, total);
        }
        (ends, None)
    }

    /// Takes all steps back that can be; the others with what the system said, and what was left to whoever edited it.
    fn back(&self, progress: &Progress, ground: &Ground<'_>) -> (Vec<(&RedoStep, io::Error)>, Vec<Kept>) {
        progress.begin(Stage::Steps, self.redo.steps.len());
        let (mut failed, mut kept) = (Vec::new(), Vec::new());
        for (number, step) in self.redo.steps.iter().enumerate().rev() {
            // One step that cannot be taken back must not keep the others from it.
            match step::take_back(ground, number, step) {
                Ok(Ended::KeptEdit) => kept.push(Kept { path: step.path.clone(), reason: KeptReason::Edited }),
                Ok(Ended::NotEmpty) => kept.push(Kept { path: step.path.clone(), reason: KeptReason::NotEmpty }),
                Ok(Ended::Done | Ended::Failed(_)) => {}
                Err(error) => failed.push((step, error)),
            }
            progress.one(Stage::Steps);
        }
        (failed, kept)
    }

    /// Makes directories writable for the time, or gives them their modes back. One that belongs to somebody else stays as
    /// it is: the steps in it say what they could not do.
    fn lift(&self, root: &OwnedFd, up: bool) -> io::Result<()> {
        for (path, mode) in &self.redo.head.lifted {
            let is_set_otherwise = self.redo.steps.iter().any(|step| step.path == *path);
            if let Ok(dir) = beneath::directory(root, path)
                && (up || !is_set_otherwise)
            {
                match metadata::set_mode(&dir, if up { mode | 0o700 } else { *mode }) {
                    Err(error) if is_denied(&error) => {}
                    other => other?,
                }
            }
        }
        Ok(())
    }

    /// Gives the workspace's own directory its mode, or the one of before, unless somebody gave it another meanwhile.
    fn set_root_mode(&self, root: &OwnedFd, back: bool) -> io::Result<()> {
        let Some(change) = &self.redo.head.root_change else { return Ok(()) };
        let (is, wanted) = if back { (change.after, change.before) } else { (change.before, change.after) };
        if is.mode != wanted.mode && beneath::look_at(root)?.mode == is.mode {
            metadata::set_mode(root, wanted.mode)?;
        }
        Ok(())
    }

    /// Flushes what was done. Until that has ended all may be taken back, and here is why, if so. From then on the tree is
    /// what it was to be: what is left to be done, such as dropping what was displaced, is no reason to take it back.
    fn flush(&self, environment: &Environment<'_>, root: &OwnedFd, staging: &[Staging]) -> io::Result<Option<GaveUp>> {
        environment.progress.begin(Stage::Flushing, 0);
        self.lift(root, false)?;
        self.set_root_mode(root, false)?;
        self.sync(staging)?;
        Ok(environment.gives_up())
    }

    fn sync(&self, staging: &[Staging]) -> io::Result<()> {
        staging.iter().try_for_each(|staging| disk::sync_file_system(staging.new.as_fd()))
    }

    /// Drops or keeps displaced files and puts the report together: what the plan left alone is in it, too. Ends missing
    /// at the back count as taken back. Where one of these is `stuck`, others may be without their directory: nothing that
    /// stood somewhere is dropped then.
    fn settle(&self, progress: &Progress, staging: &[Staging], ends: &[Ended], stuck: bool) -> io::Result<ApplyReport> {
        progress.begin(Stage::Settling, self.redo.steps.len());
        let mut report = ApplyReport { kept: self.redo.head.kept.clone(), ..ApplyReport::default() };
        for (number, redo_step) in self.redo.steps.iter().enumerate() {
            let place = &staging[usize::from(redo_step.mount)];
            report.displaced.extend(displaced::settle(place, number, redo_step, self.recovery(), stuck)?);
            progress.one(Stage::Settling);
            let Some(ended) = ends.get(number) else { continue };
            let line = StepReport { path: redo_step.path.clone(), action: redo_step.action, end: ended.report() };
            match ended {
                // A new directory's metadata belongs to its making.
                Ended::Done if redo_step.action == Action::SetMeta && redo_step.before.is_none() => {}
                Ended::Done => report.changed.push(line),
                Ended::Failed(_) => report.failed.push(line),
                Ended::KeptEdit => report.kept.push(Kept { path: line.path, reason: KeptReason::Edited }),
                Ended::NotEmpty => report.kept.push(Kept { path: line.path, reason: KeptReason::NotEmpty }),
            }
        }
        report.kept.dedup();
        Ok(report)
    }

    /// Ends the recovery: the staging directories go, then the redo record. To be called once the end is recorded; where a
    /// process dies in it, it can be called again.
    pub fn finish(self, root: &Path, status: RecoveryStatus) -> io::Result<()> {
        if let Ok(root) = disk::open_dir(root) {
            self.unstage(&root, status)?;
            self.set_last_times(&root, status)?;
        }
        redo::remove(&self.journal, self.recovery(), status != RecoveryStatus::TakenBack)
    }

    /// Removes the staging directories, also from a root that has got a mode by which nobody writes in it. Where a process died
    /// while that was lifted, the root gets it again.
    fn unstage(&self, root: &OwnedFd, status: RecoveryStatus) -> io::Result<()> {
        let head = &self.redo.head;
        let was_lifted = self.is_noted(Note::Lifted);
        for mount in &head.mounts {
            let Some(staging) = Staging::find(root.as_fd(), mount, self.recovery())? else { continue };
            if mount.is_root() && permissions::needs_lift(root)? {
                redo::note(&self.journal, self.recovery(), Note::Lifted)?;
            }
            staging.close(root.as_fd(), self.recovery())?;
        }
        let is_back = status == RecoveryStatus::TakenBack;
        let change = head.root_change.map(|change| if is_back { change.before.mode } else { change.after.mode });
        let lifted = head.lifted.iter().find(|(path, _)| path.is_root()).map(|(_, mode)| *mode);
        match change.or(lifted).filter(|_| was_lifted) {
            Some(mode) => permissions::end_lift(root, mode),
            None => Ok(()),
        }
    }

    /// Last of all, since the steps gave the directories other times.
    fn set_last_times(&self, root: &OwnedFd, status: RecoveryStatus) -> io::Result<()> {
        if status == RecoveryStatus::TakenBack {
            times::set(root, self.redo.head.times.iter());
            return Ok(());
        }
        times::set(root, self.redo.head.last_times.iter());
        match self.redo.head.root_change.and_then(|change| change.after.mtime) {
            Some(time) => metadata::set_time(root, Path::new("."), metadata::Time::Exact(time)),
            None => Ok(()),
        }
    }
}

/// The system's number for a disk that cannot read or write (Linux `EIO`).
const EIO: i32 = 5;

/// Whether the system denied something to this process that it may allow to another.
fn is_denied(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::PermissionDenied
}

/// The first of the steps that could not be taken back, as an error that names its path.
fn all_back(failed: Vec<(&RedoStep, io::Error)>) -> io::Result<()> {
    match failed.into_iter().next() {
        None => Ok(()),
        Some((step, error)) => {
            let message = format!("cannot take `{}` back: {error}", step.path);
            Err(io::Error::new(error.kind(), Told { message, source: error }))
        }
    }
}

/// An error of the system with the path that it is about.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
struct Told {
    message: String,
    source: io::Error,
}
