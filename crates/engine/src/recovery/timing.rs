//! Which times of modification an undo gives.
//!
//! Owns that a path gets the time back that it had before what is undone, that what was never there so gets the present, and
//! which directories get theirs back. Refuses to decide what comes back.

use std::collections::BTreeSet;

use wfr_catalog::CheckpointRow;
use wfr_model::entry::{Entry, Node};
use wfr_model::plan::{Action, Plan, Step};
use wfr_model::recovery::StepReport;
use wfr_model::{FileTime, Timestamp, TreePath};
use wfr_store::tree::Finder;
use wfr_store::{Objects, ReadError};

use super::tree_of;
use crate::error::Failure;
use crate::manifests;

/// Whether a step sets a time and nothing else.
pub(super) fn is_time_alone(step: &Step) -> bool {
    let is_same = |before: &Entry, after: &Entry| {
        before.same_but_time(after) && (before.meta.uid, before.meta.gid) == (after.meta.uid, after.meta.gid)
    };
    let ends = step.before.as_ref().zip(step.after.as_ref());
    step.action == Action::SetMeta && ends.is_some_and(|(before, after)| is_same(before, after))
}

/// Gives directories their times back which what is undone changed, or in which something is done now. Others keep theirs.
pub(super) fn of_directories(plan: &mut Plan, directories: Vec<(Step, bool)>) {
    let touched = touched(&plan.steps);
    let due = directories.into_iter().filter(|(step, is_untouched)| !is_untouched || touched.contains(&step.path));
    for step in due.map(|(step, _)| step) {
        // One that only gets its own time back is a step of its own; else it goes with those in it.
        match step.after {
            Some(after) if touched.contains(&step.path) => plan.times.push((step.path, after.meta.mtime)),
            _ => plan.steps.push(step),
        }
    }
    plan.steps.sort_by(|a, b| a.path.cmp(&b.path));
}

/// Gives what a plan of single paths brings back the time that it had in the checkpoint from before what is undone, and so the
/// directories in which it is done. What that has not, such as a merge with later work, gets the present, because build
/// tools would otherwise take stale products for fresh; where only its metadata change, its time stays.
pub(super) fn give_back(
    objects: &dyn Objects,
    saved: &CheckpointRow,
    plan: &mut Plan,
    present: Timestamp,
) -> Result<(), Failure> {
    let mut then = Finder::new(objects, tree_of(saved)?);
    for step in &mut plan.steps {
        let Some(after) = &mut step.after else { continue };
        let saved = then.lookup(&step.path)?.filter(|saved| saved.same_content(after));
        let stays = step.before.as_ref().filter(|before| before.same_content(after));
        let known = saved.as_ref().or(stays).map(|entry| entry.meta.mtime);
        after.meta.mtime = known.unwrap_or_else(|| present.into());
    }
    let stepped: BTreeSet<&TreePath> = plan.steps.iter().map(|step| &step.path).collect();
    let mut times = Vec::new();
    for path in touched(&plan.steps).into_iter().filter(|path| !stepped.contains(path)) {
        times.extend(time_then(objects, saved, &mut then, &path)?.map(|time| (path, time)));
    }
    plan.times.extend(times);
    Ok(())
}

/// The time that a directory had in a checkpoint; `None` where it was not there, or was something else.
fn time_then(
    objects: &dyn Objects,
    saved: &CheckpointRow,
    then: &mut Finder<'_>,
    path: &TreePath,
) -> Result<Option<FileTime>, ReadError> {
    if path.is_root() {
        return Ok(manifests::root(objects, saved).and_then(|root| root.mtime));
    }
    let entry = then.lookup(path)?.filter(|entry| matches!(entry.node, Node::Dir(_)));
    Ok(entry.map(|entry| entry.meta.mtime))
}

/// The directory whose time a change of a path changed.
pub(super) fn retimed(changed: &StepReport) -> Option<TreePath> {
    changed.path.parent().filter(|_| changed.action != Action::SetMeta)
}

/// The directories whose times the steps change; the workspace's own is written in by every recovery.
fn touched(steps: &[Step]) -> BTreeSet<TreePath> {
    let parents = steps.iter().filter(|step| step.action != Action::SetMeta).filter_map(|step| step.path.parent());
    let root = (!steps.is_empty()).then_some(TreePath::ROOT);
    parents.chain(root).collect()
}
