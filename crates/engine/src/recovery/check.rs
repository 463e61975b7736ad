//! Checks after a recovery: the tree against the plan, and the caller's own command.
//!
//! Owns both. Refuses to decide what follows from them.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use wfr_model::TreePath;
use wfr_model::plan::Plan;
use wfr_model::recovery::ApplyReport;
use wfr_store::scan::Dry;
use wfr_store::{Store, tree};

use crate::error::Failure;
use crate::open::Open;
use crate::scanning::{self, Effort};
use crate::session::Session;

/// Whether every path that was changed holds what the plan aimed at.
pub(super) fn is_as_planned(
    session: &Session,
    open: &Open,
    store: &Store,
    plan: &Plan,
    report: &ApplyReport,
) -> Result<bool, Failure> {
    let dry = Dry::over(store);
    let scan = scanning::scan_workspace(open, &dry, session, Effort::default())?;
    let changed: BTreeSet<&TreePath> = report.changed.iter().map(|step| &step.path).collect();
    let differences = tree::diff(&dry, &scan.tree, &plan.to)?;
    let is_wrong = |difference: &tree::Difference| match (&difference.before, &difference.after) {
        (Some(now), Some(goal)) => !now.same_but_time(goal),
        _ => true,
    };
    Ok(!differences.iter().any(|difference| changed.contains(&difference.path) && is_wrong(difference)))
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
    /// Whether the command succeeded in time. Its output goes to this process's standard error.
    pub fn run(&self, root: &Path, abort: &AtomicBool) -> Result<bool, Failure> {
        let mut command = Command::new("sh");
        command.arg("-c").arg(&self.command).current_dir(root).stdin(Stdio::null()).stdout(Stdio::null());
        let mut child = command.spawn()?;
        let deadline = Instant::now() + self.time_limit;
        let (sender, receiver) = std::sync::mpsc::channel::<()>();
        std::thread::scope(|scope| {
            let pid = child.id();
            scope.spawn(move || watch(pid, deadline, abort, &receiver));
            let status = wait(&mut child);
            drop(sender);
            Ok(status?)
        })
    }
}

fn wait(child: &mut Child) -> std::io::Result<bool> {
    child.wait().map(|status| status.success())
}

/// Ends the command when its time is over or the caller gives up; returns when the sender is dropped.
fn watch(pid: u32, deadline: Instant, abort: &AtomicBool, ended: &std::sync::mpsc::Receiver<()>) {
    const TICK: Duration = Duration::from_millis(50);
    while let Err(std::sync::mpsc::RecvTimeoutError::Timeout) = ended.recv_timeout(TICK) {
        if Instant::now() >= deadline || abort.load(Ordering::Relaxed) {
            if let Some(pid) = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw) {
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
            }
            return;
        }
    }
}
