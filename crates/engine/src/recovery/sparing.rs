//! What the undo of a whole recovery leaves alone.
//!
//! Owns what that recovery changed by itself, and what counts as an edit since. Refuses to plan, and to know what it gives
//! times: that is [`super::timing`].

use std::collections::HashSet;

use serde_json::Value;
use wfr_model::TreePath;
use wfr_model::entry::{Entry, Node};
use wfr_model::plan::{Kept, KeptReason, Plan};
use wfr_model::recovery::{RecoveryKind, RecoveryRecord};
use wfr_recovery::plan::LinkGroups;
use wfr_store::Objects;
use wfr_store::tree::Finder;

use super::{Order, Parts, timing, with_owner};
use crate::error::{Code, Failure};
use crate::manifests;
use crate::open::Open;
use crate::params::Component;

/// An undo concerns only what the recovery changed, and of that only what nobody has edited since.
pub(super) fn leave_later_edits(
    open: &Open,
    objects: &dyn Objects,
    order: &Order,
    links: (&LinkGroups, &LinkGroups),
    made: &mut Plan,
) -> Result<(), Failure> {
    let Some(undone) = &order.undoes else { return Ok(()) };
    let row = open.catalog.checkpoint(&undone.target)?;
    if row.as_ref().is_some_and(|row| row.tree.is_none() && row.state.is_some()) {
        // It had set the state alone.
        (made.steps, made.root) = (vec![], None);
        return Ok(());
    }
    let after = row.as_ref().and_then(|row| row.tree).ok_or_else(|| {
        Failure::new(Code::NotUndoable, format!("the checkpoint that {} restored is gone", undone.recovery_id))
    })?;
    let (before, present) = (made.to, made.from);
    // Where times were not part of what is undone, it changed none by itself, and another one is no edit.
    let exact = order.exact_mtime && undone.parameters.get("exact_mtime") == Some(&Value::Bool(true));
    let reach = Reach::of(undone, links);
    let left: HashSet<&TreePath> = reach.left.iter().collect();
    made.steps.retain(|step| left.is_empty() || !is_at_or_below(&step.path, &left));
    let mut steps = Vec::with_capacity(made.steps.len());
    let mut directories = Vec::new();
    let [mut before, mut after, mut present] = [before, after, present].map(|tree| Finder::new(objects, tree));
    for step in std::mem::take(&mut made.steps) {
        let path = &step.path;
        let (was, restored, now) = (before.lookup(path)?, after.lookup(path)?, present.lookup(path)?);
        let is_directory = matches!(&now, Some(entry) if matches!(entry.node, Node::Dir(_)));
        let is_linked = reach.linked.contains(path);
        let is_as_it_was =
            same(was.as_ref(), restored.as_ref(), exact) && same_owner(was.as_ref(), restored.as_ref()) && !is_linked;
        let is_untouched = is_as_it_was || !reach.is_within(path, is_linked);
        if timing::is_time_alone(&step) && is_directory {
            let is_retimed = reach.retimed.contains(path) && !is_as_it_was;
            directories.push((step, is_untouched && !is_retimed));
        } else if is_untouched {
            continue;
        } else if same(now.as_ref(), restored.as_ref(), exact) || is_directory {
            steps.push(step);
        } else {
            made.kept.push(Kept { path: step.path, reason: KeptReason::Edited });
        }
    }
    made.steps = steps;
    timing::of_directories(made, directories);
    // A mode that somebody gave the directory since stays. A time alone is something to undo where it is the one that was set:
    // whatever anybody does in the directory gives it another.
    let restored = row.as_ref().and_then(|row| manifests::root(objects, row));
    made.root = made.root.filter(|change| {
        let is_edited = restored.is_some_and(|restored| restored.mode != change.before.mode);
        let is_time_set = restored.is_some_and(|restored| restored.mtime == change.before.mtime);
        !is_edited && (change.before.mode != change.after.mode || !made.steps.is_empty() || is_time_set)
    });
    Ok(())
}

/// Of what is gone names only what the recovery that is undone was about.
pub(super) fn leave_unmeant(undone: &RecoveryRecord, made: &mut Plan) {
    let Some(parts) = Parts::recorded(&undone.parameters) else { return };
    let is_meant = |path: &TreePath| parts.has(Component::FileSystem) && parts.files().mean(path);
    made.kept.retain(|kept| !matches!(kept.reason, KeptReason::Gone(_)) || is_meant(&kept.path));
}

/// How far a recovery reached that is undone.
struct Reach {
    /// The paths that it changed; `None`: wherever its target differs from what was there.
    changed: Option<HashSet<TreePath>>,
    /// Directories that got a time with what it changed in them: that is no step of its own.
    retimed: HashSet<TreePath>,
    /// What it left alone, and so did not change, whatever became of that since.
    left: HashSet<TreePath>,
    /// Files that share other names than they did, and may differ in nothing else.
    linked: HashSet<TreePath>,
    /// Whether it was an undo itself.
    is_undo: bool,
}

impl Reach {
    /// `now` and `then` are the groups of names of one file, at present and before.
    fn of(undone: &RecoveryRecord, (now, then): (&LinkGroups, &LinkGroups)) -> Self {
        // The target of one in parts, or of an undo, has more than that brought back.
        let is_undo = undone.kind == RecoveryKind::Undo;
        let is_partial = is_undo || Parts::recorded(&undone.parameters).is_some();
        let report = undone.report.as_ref();
        let changed = report.filter(|_| is_partial).map(|report| &report.changed);
        let now: HashSet<&Vec<TreePath>> = now.iter().collect();
        let left = report.into_iter().flat_map(|report| &report.kept).filter(|kept| is_uncovered(kept));
        Self {
            changed: changed.map(|changed| changed.iter().map(|step| step.path.clone()).collect()),
            retimed: changed.into_iter().flatten().filter_map(timing::retimed).collect(),
            left: left.map(|kept| kept.path.clone()).collect(),
            linked: then.iter().filter(|group| !now.contains(group)).flatten().cloned().collect(),
            is_undo,
        }
    }

    fn is_within(&self, path: &TreePath, is_linked: bool) -> bool {
        // An undo that took one of two names away left the other alone, and yet they are one file again.
        let is_joined = self.is_undo && is_linked;
        is_joined || self.changed.as_ref().is_none_or(|changed| changed.contains(path))
    }
}

/// Whether something was left alone because the checkpoint, or neither side, covers it.
fn is_uncovered(kept: &Kept) -> bool {
    matches!(kept.reason, KeptReason::NotInCheckpoint(_) | KeptReason::Uncovered(_) | KeptReason::Gone(_))
}

/// Whether a path is one of these, or below one.
pub(super) fn is_at_or_below(path: &TreePath, any: &HashSet<&TreePath>) -> bool {
    std::iter::successors(Some(path.clone()), TreePath::parent).any(|at| any.contains(&at))
}

fn same(a: Option<&Entry>, b: Option<&Entry>, exact: bool) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => a.same_but_time(b) && (!exact || a.meta.mtime == b.meta.mtime),
        (a, b) => a.is_none() && b.is_none(),
    }
}

/// Whether two entries belong to the same, where owners can be set at all.
fn same_owner(a: Option<&Entry>, b: Option<&Entry>) -> bool {
    let owner = |entry: &Entry| (entry.meta.uid, entry.meta.gid);
    !with_owner() || a.map(owner) == b.map(owner)
}
