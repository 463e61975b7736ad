//! The order of a recovery's steps, and what each is done by.
//!
//! Owns turning a plan's steps into those of a redo record. Refuses to do any.

use std::io;
use std::os::fd::OwnedFd;

use wfr_model::entry::Node;
use wfr_model::plan::{Action, Step};

use crate::beneath;
use crate::redo::RedoStep;

/// The order of execution: what goes, deepest directories last; then what comes, from the top down; then metadata.
pub(crate) fn ordered(steps: &[Step]) -> Vec<RedoStep> {
    let rank = |step: &Step| match step.action {
        Action::Delete => (0, 0),
        Action::RemoveDir => (1, usize::MAX - step.path.depth()),
        Action::MakeDir => (2, step.path.depth()),
        Action::Replace | Action::Create => (3, 0),
        Action::SetMeta => (4, usize::MAX - step.path.depth()),
    };
    let mut sorted: Vec<&Step> = steps.iter().collect();
    sorted.sort_by(|a, b| rank(a).cmp(&rank(b)).then_with(|| a.path.cmp(&b.path)));
    let plain = |step: &Step| RedoStep {
        path: step.path.clone(),
        action: step.action,
        before: step.before.clone(),
        after: step.after.clone(),
        mount: 0,
        staged: None,
    };
    // New directories are made with a mode that lets files in; their own comes at the end, bottom up.
    let made = sorted.iter().rev().filter(|step| step.action == Action::MakeDir);
    let dressed = made.map(|step| RedoStep { action: Action::SetMeta, ..plain(step) });
    let mut all: Vec<RedoStep> = sorted.iter().map(|step| plain(step)).collect();
    all.extend(dressed);
    let is_final = |step: &RedoStep| step.action == Action::SetMeta;
    let (mut last, mut first): (Vec<_>, Vec<_>) = all.into_iter().partition(is_final);
    last.sort_by_key(|step| std::cmp::Reverse(step.path.depth()));
    first.append(&mut last);
    first
}

/// A file with several names is never given new metadata in place: one of the names may lie outside.
pub(crate) fn break_outside_links(root: &OwnedFd, steps: &mut [RedoStep]) -> io::Result<()> {
    for step in steps.iter_mut().filter(|step| step.action == Action::SetMeta) {
        let is_file = matches!(&step.after, Some(entry) if matches!(entry.node, Node::File(_)));
        if is_file
            && let Ok(parent) = beneath::parent(root, &step.path)
            && beneath::look(&parent, beneath::os(step.path.name()))?.is_some_and(|slot| slot.links > 1)
        {
            step.action = Action::Replace;
        }
    }
    Ok(())
}
