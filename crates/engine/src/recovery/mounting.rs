//! File systems that were mounted in the tree, or unmounted, since the checkpoint that a recovery aims at.
//!
//! Owns what a plan says of them. What the checkpoint did not see is not covered by it, so no plan writes or removes
//! anything there, whatever its mode. Refuses to mount anything.

use std::collections::{BTreeSet, HashSet};

use wfr_catalog::{CheckpointRow, ListQuery};
use wfr_model::coverage::{Coverage, Skip, SkipReason};
use wfr_model::entry::{Entry, Node};
use wfr_model::finding::{Finding, Severity};
use wfr_model::plan::{Action, Conflict, Kept, KeptReason, Plan, Step};
use wfr_model::recovery::RecoveryKind;
use wfr_model::{Digest, TreePath};
use wfr_recovery::probe;
use wfr_store::{Objects, tree};

use super::Order;
use crate::error::Failure;
use crate::manifests;
use crate::mounted;
use crate::open::Open;

/// The code of conflicts about mounts that are missing.
pub(super) const MISSING: &str = "MOUNT_MISSING";

/// The code of findings about mounts that came since.
const CAME: &str = "MOUNT_SINCE";

/// The code of findings about mounts at which another file system is.
const OTHER: &str = "MOUNT_OTHER";

/// The code of findings about files over which others are mounted.
const OVER_FILE: &str = "MOUNT_OVER_FILE";

/// Directories of the present tree at which a file system is mounted that the checkpoint did not see. One whose manifest
/// cannot be read saw none.
pub(super) fn unseen(
    open: &Open,
    objects: &dyn Objects,
    order: &Order,
    present: &Digest,
) -> Result<Vec<TreePath>, Failure> {
    let mut now: Vec<TreePath> = Vec::new();
    for mount in probe::mounts(open.root()).into_iter().filter(|mount| !mount.is_root()) {
        if matches!(tree::lookup(objects, present, &mount)?, Some(Entry { node: Node::Dir(_), .. })) {
            now.push(mount);
        }
    }
    if now.is_empty() {
        return Ok(now);
    }
    let before = before(open, order)?;
    let files = manifests::manifest(objects, before.as_ref().unwrap_or(&order.target)).ok();
    let seen = files.and_then(|manifest| manifest.file_system_state).map(|files| files.mounts).unwrap_or_default();
    now.retain(|mount| !seen.contains(mount));
    Ok(now)
}

/// For a rollback to which nobody named a checkpoint the last one before the first of its changes: it goes back to that time
/// at the most, while its target is the oldest of all.
fn before(open: &Open, order: &Order) -> Result<Option<CheckpointRow>, Failure> {
    let Some(selection) = &order.selection else { return Ok(None) };
    let is_named = order.kind != RecoveryKind::Rollback
        || order.parameters.get("checkpoint").is_some_and(|checkpoint| !checkpoint.is_null());
    let begun = selection.changes.iter().map(|row| row.change.started_at).min();
    let Some(begun) = begun.filter(|_| !is_named) else { return Ok(None) };
    let rows = open.catalog.list(&ListQuery::default())?.into_iter();
    Ok(rows.filter(|row| row.tree.is_some()).take_while(|row| row.created_at <= begun).last())
}

/// Files of the present tree at which other files are mounted: a rename neither replaces nor removes them.
pub(super) fn files(open: &Open, objects: &dyn Objects, present: &Digest) -> Result<Vec<TreePath>, Failure> {
    let mut files = Vec::new();
    for mount in probe::mounts(open.root()).into_iter().filter(|mount| !mount.is_root()) {
        if matches!(tree::lookup(objects, present, &mount)?, Some(Entry { node: Node::File(_), .. })) {
            files.push(mount);
        }
    }
    Ok(files)
}

/// Has a plan leave alone what is mounted at these places: file systems that came, and files.
pub(super) fn leave(coverage: &mut Coverage, came: &[TreePath], files: &[TreePath]) {
    let skip = |reason| move |path: &TreePath| Skip { path: path.clone(), reason, bytes: None, detail: None };
    coverage.skips.extend(came.iter().map(skip(SkipReason::MountedSince)));
    coverage.skips.extend(files.iter().map(skip(SkipReason::MountPoint)));
    coverage.sort();
}

/// Says which files a plan leaves alone because others are mounted over them.
pub(super) fn kept_files(plan: &Plan) -> Vec<Finding> {
    let is_file = |kept: &&Kept| kept.reason == KeptReason::NotInCheckpoint(SkipReason::MountPoint);
    let finding = |kept: &Kept| {
        let message = format!("`{}`: another file is mounted over it: it stays as it is", kept.path);
        Finding::new(OVER_FILE, Severity::Warning, message, "unmount it and restore again, or write into it by hand")
    };
    plan.kept.iter().filter(is_file).map(finding).collect()
}

/// Says so of each, also where nothing else is to be done.
pub(super) fn findings(came: &[TreePath]) -> Vec<Finding> {
    let finding = |mount: &TreePath| {
        let message = format!(
            "`{mount}`: a file system is mounted here that the checkpoint did not see: all on it stays as it is"
        );
        let fix = "unmount it and restore again to have the directory below it restored; `--to DIR` restores elsewhere";
        Finding::new(CAME, Severity::Warning, message, fix)
    };
    came.iter().map(finding).collect()
}

/// What would go below directories at which something was mounted and nothing is now: it would be written onto another disk, an
/// be hidden by the next mount, and what is there now was never on it. In need that is said, else it is in the way until
/// somebody says that it is meant. `touched` are paths that are concerned beside those of the plan's steps.
pub(super) fn unmounted(order: &Order, gone: &[TreePath], touched: &[TreePath], made: &mut Plan) -> Vec<Finding> {
    let is_meant = order.parameters.get("allow_unmounted") == Some(&serde_json::Value::Bool(true));
    let mut findings = Vec::new();
    for mount in gone {
        let paths = made.steps.iter().map(|step| &step.path).chain(touched);
        let count = paths.filter(|path| path.is_within(mount) && *path != mount).collect::<BTreeSet<_>>().len();
        if count == 0 {
            continue;
        }
        let message = format!("a file system was mounted here and none is now ({count} paths below)");
        if is_meant || order.kind == RecoveryKind::EmergencyRestore {
            if order.is_of_trees() {
                spare(made, mount, SkipReason::NotMounted);
            }
            let message = format!("`{mount}`: {message}: they go into the bare directory");
            let fix = "mount it and restore again to have them there";
            findings.push(Finding::new(MISSING, Severity::Warning, message, fix));
        } else {
            made.conflicts.push(Conflict::new(mount, MISSING, &message));
        }
    }
    findings
}

/// Leaves below a place what the target has not: it was never on the file system that the target saw there.
fn spare(made: &mut Plan, place: &TreePath, reason: SkipReason) {
    let takes = |step: &Step| matches!(step.action, Action::Delete | Action::RemoveDir);
    // What makes way for something else goes, with what is in it: it was saved.
    let coming: HashSet<TreePath> =
        made.steps.iter().filter(|step| !takes(step)).map(|step| step.path.clone()).collect();
    let makes_way = |path: &TreePath| {
        std::iter::successors(Some(path.clone()), TreePath::parent)
            .take_while(|at| at != place)
            .any(|at| coming.contains(&at))
    };
    let is_spared =
        |step: &Step| takes(step) && step.path != *place && step.path.is_within(place) && !makes_way(&step.path);
    let (spared, steps) = std::mem::take(&mut made.steps).into_iter().partition(is_spared);
    made.steps = steps;
    let kept = |step: Step| Kept { path: step.path, reason: KeptReason::NotInCheckpoint(reason) };
    made.kept.extend(Vec::into_iter(spared).map(kept));
    made.kept.sort_by(|a, b| a.path.cmp(&b.path));
    made.kept.dedup_by(|a, b| a.path == b.path);
}

/// What stands on another file system than the one that the target saw at the same place: nothing on it is removed, and it is
/// said. Of what cannot be told apart nothing is.
pub(super) fn others(open: &Open, objects: &dyn Objects, order: &Order, made: &mut Plan) -> Vec<Finding> {
    let others = mounted::others(open, objects, &order.target);
    let mut findings = Vec::new();
    for mount in others {
        if !made.steps.iter().any(|step| step.path.is_within(&mount) && step.path != mount) {
            continue;
        }
        spare(made, &mount, SkipReason::MountedSince);
        let message = format!(
            "`{mount}`: another file system is mounted here than at the checkpoint: what it alone has stays, and the \
             checkpoint's files go onto it"
        );
        let fix =
            "mount the one that was there and restore again; `wfr undo` takes this back, `--to DIR` restores elsewhere";
        findings.push(Finding::new(OTHER, Severity::Warning, message, fix));
    }
    findings
}
