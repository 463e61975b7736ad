//! Checks after a recovery: the tree against the plan, and the caller's own command.
//!
//! Owns both. Refuses to decide what follows from them.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fmt;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;
use wfr_model::TreePath;
use wfr_model::entry::{Entry, Node};
use wfr_model::plan::{Kept, KeptReason, Plan};
use wfr_model::recovery::RecoveryStatus;
use wfr_recovery::apply::{Committed, Outcome};
use wfr_recovery::progress::Stage;
use wfr_store::disk;
use wfr_store::object::hash_reader;
use wfr_store::sparse::Sparse;

use crate::error::Failure;
use crate::open::Open;
use crate::session::Session;

/// The changed paths that do not hold what the plan aimed at any more: kind, mode, size, and each byte; the root where
/// the workspace's own directory has another mode.
pub(super) fn edited_since<'p>(
    session: &Session,
    open: &Open,
    plan: &Plan,
    changed: impl ExactSizeIterator<Item = &'p TreePath>,
) -> Result<Vec<TreePath>, Failure> {
    let progress = &session.meter.recovery;
    progress.begin(Stage::Comparing, changed.len());
    let root = disk::open_dir(open.root())?;
    let mut edited = Vec::new();
    // Of two steps of a path the second one puts something there.
    let wanted: BTreeMap<&TreePath, Option<&Entry>> =
        plan.steps.iter().map(|step| (&step.path, step.after.as_ref())).collect();
    for path in changed {
        if !holds(&root, path, wanted.get(path).copied().flatten())? {
            edited.push(path.clone());
        }
        progress.one(Stage::Comparing);
    }
    let wanted = plan.root.map(|change| change.after.mode);
    if wanted.is_some_and(|mode| !rustix::fs::fstat(&root).is_ok_and(|stat| stat.st_mode & 0o7777 == mode)) {
        edited.push(TreePath::ROOT);
    }
    Ok(edited)
}

/// Compares the tree of a recovery that was taken back with what the safety checkpoint has of each path that it had a step for:
/// kind, mode, size, and each byte. What is otherwise stands, and the report names it; what is in `kept` because somebody
/// edited it is known already.
pub(super) fn compare_with_before(session: &Session, open: &Open, committed: &Committed, outcome: &mut Outcome) {
    if outcome.status != RecoveryStatus::TakenBack {
        return;
    }
    let Ok(root) = disk::open_dir(open.root()) else { return };
    let known: BTreeSet<TreePath> = outcome.report.kept.iter().map(|kept| kept.path.clone()).collect();
    let before = committed.before();
    let progress = &session.meter.recovery;
    progress.begin(Stage::Comparing, before.len());
    let before = before.into_iter().inspect(|_| progress.one(Stage::Comparing));
    // What cannot be looked at is not known to be back.
    let unlike = before.filter(|(path, goal)| !known.contains(path) && !holds(&root, path, *goal).unwrap_or(false));
    let mut unlike: Vec<TreePath> = unlike.map(|(path, _)| path.clone()).collect();
    let has_mode = |mode| rustix::fs::fstat(&root).is_ok_and(|stat| stat.st_mode & 0o7777 == mode);
    if committed.root_mode_before().is_some_and(|mode| !has_mode(mode)) {
        unlike.push(TreePath::ROOT);
    }
    outcome.report.kept.extend(unlike.iter().map(|path| Kept { path: path.clone(), reason: KeptReason::Edited }));
    outcome.report.unlike_before = Some(unlike);
}

/// Whether a path holds an entry, or nothing.
fn holds(root: &OwnedFd, path: &TreePath, goal: Option<&Entry>) -> io::Result<bool> {
    let place = Path::new(OsStr::from_bytes(path.as_bytes()));
    let found = match disk::open_beneath(root, place, OFlags::PATH | OFlags::NOFOLLOW, Mode::empty()) {
        Ok(fd) => fd,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(goal.is_none());
        }
        // Something else than a directory stands above it now.
        Err(error) if error.raw_os_error() == Some(Errno::LOOP.raw_os_error()) => return Ok(goal.is_none()),
        Err(error) => return Err(error),
    };
    let stat = rustix::fs::fstat(&found)?;
    let Some(goal) = goal else { return Ok(false) };
    let is_mode_right = stat.st_mode & 0o7777 == goal.meta.mode & 0o7777;
    match (&goal.node, FileType::from_raw_mode(stat.st_mode)) {
        (Node::Dir(_), FileType::Directory) | (Node::Fifo, FileType::Fifo) | (Node::Socket, FileType::Socket) => {
            Ok(is_mode_right)
        }
        (Node::Symlink(target), FileType::Symlink) => {
            let link = rustix::fs::readlinkat(&found, "", Vec::new())?;
            Ok(link.as_bytes() == target.as_slice())
        }
        (Node::File(content), FileType::RegularFile) => {
            if !is_mode_right || stat.st_size.unsigned_abs() != content.size {
                return Ok(false);
            }
            match disk::open_beneath(root, place, OFlags::RDONLY | OFlags::NONBLOCK, Mode::empty()) {
                Ok(fd) => Ok(hash_reader(&mut Sparse::new(fd))? == content.hash),
                // A mode that shuts out its owner, as the checkpoint has it: the bytes were verified when staged.
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(true),
                Err(error) => Err(error),
            }
        }
        _ => Ok(false),
    }
}

/// A command that must succeed in the restored tree.
#[derive(Clone, Debug)]
pub struct FunctionalCheck {
    /// Run by `sh -c` in the workspace.
    pub command: String,
    /// How long it may run.
    pub time_limit: Duration,
}

impl FunctionalCheck {
    /// How the command ended in its time, its own or what is left of the recovery's. What it says goes to this process's
    /// standard error.
    pub fn run(&self, root: &Path, left: Duration, abort: &AtomicBool) -> CheckEnd {
        self.try_run(root, left, abort).unwrap_or_else(|error| CheckEnd::NotBegun(error.kind()))
    }

    fn try_run(&self, root: &Path, left: Duration, abort: &AtomicBool) -> io::Result<CheckEnd> {
        let mut command = Command::new("sh");
        command.arg("-c").arg(&self.command).current_dir(root).stdin(Stdio::null());
        // Standard output is for the result alone.
        command.stdout(std::io::stderr());
        // A group of its own: what the command has started ends with it.
        command.process_group(0);
        let mut child = command.spawn()?;
        // No limit is one that is never reached.
        let deadline = Instant::now().checked_add(self.time_limit.min(left));
        let (sender, receiver) = std::sync::mpsc::channel::<()>();
        std::thread::scope(|scope| {
            let pid = child.id();
            let watching = scope.spawn(move || watch(pid, deadline, abort, &receiver));
            let status = child.wait();
            drop(sender);
            let cut_off = watching.join().unwrap_or(None);
            let status = status?;
            Ok(if status.success() { CheckEnd::Passed } else { cut_off.unwrap_or(CheckEnd::Failed(status)) })
        })
    }
}

/// How a functional check ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CheckEnd {
    /// With success.
    Passed,
    /// By itself, and not with success.
    Failed(ExitStatus),
    /// Its time was over.
    TimedOut,
    /// The caller gave up.
    Interrupted,
    /// It could not be begun.
    NotBegun(io::ErrorKind),
}

impl fmt::Display for CheckEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Passed => f.write_str("it passed"),
            Self::Failed(status) => write!(f, "it ended with {status}"),
            Self::TimedOut => f.write_str("it was still running when its time was over"),
            Self::Interrupted => f.write_str("it was interrupted"),
            Self::NotBegun(why) => write!(f, "it could not be begun: {why}"),
        }
    }
}

/// Ends the command and what it started when its time is over or the caller gives up, and says which; returns when the
/// sender is dropped.
fn watch(
    pid: u32,
    deadline: Option<Instant>,
    abort: &AtomicBool,
    ended: &std::sync::mpsc::Receiver<()>,
) -> Option<CheckEnd> {
    const TICK: Duration = Duration::from_millis(50);
    while let Err(std::sync::mpsc::RecvTimeoutError::Timeout) = ended.recv_timeout(TICK) {
        let is_interrupted = abort.load(Ordering::Relaxed);
        if is_interrupted || deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            if let Some(pid) = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw) {
                let _ = rustix::process::kill_process_group(pid, rustix::process::Signal::KILL);
            }
            return Some(if is_interrupted { CheckEnd::Interrupted } else { CheckEnd::TimedOut });
        }
    }
    None
}

/// What was seen when all steps of a recovery were done, and before its end was recorded.
pub(super) struct Seen {
    /// The paths that did not hold any more what they were given.
    pub edited: Vec<TreePath>,
    /// How the functional check ended.
    pub end: CheckEnd,
    /// How long it ran.
    pub took: Duration,
}

/// Looks at the paths that were changed, then makes the functional check: what it writes itself is no edit of a user's.
pub(super) fn look(
    (session, open): (&Session, &Open),
    plan: &Plan,
    (check, deadline): (&FunctionalCheck, Option<Instant>),
    changed: &[TreePath],
) -> Result<Seen, Failure> {
    let edited = edited_since(session, open, plan, changed.iter())?;
    let begun = Instant::now();
    let left = deadline.map_or(Duration::MAX, |deadline| deadline.saturating_duration_since(begun));
    let end = check.run(open.root(), left, &session.abort);
    Ok(Seen { edited, end, took: begun.elapsed() })
}
