//! Whether the paths that somebody names are any that a recovery is about.
//!
//! Owns these refusals: a name that says nothing is a mistake, and what it was meant for would be lost. Refuses to plan.

use std::collections::BTreeSet;

use wfr_model::plan::Plan;
use wfr_model::{Digest, TreePath};
use wfr_store::tree::{Finder, walk};
use wfr_store::{Objects, ReadError};

use super::decisions::Decisions;
use super::history::History;
use super::selective::Selection;
use crate::error::{Code, Failure};
use crate::pathspec::{PathSpec, PathSpecs};

/// Paths that are named in a hint, at most.
const NAMED_MAX: usize = 5;

/// The paths that decisions name, each with its key.
fn named(decisions: &Decisions) -> impl Iterator<Item = (&'static str, &TreePath)> {
    let ours = decisions.ours.iter().map(|path| ("ours", path));
    let theirs = decisions.theirs.iter().map(|path| ("theirs", path));
    ours.chain(theirs).chain(decisions.resolved.keys().map(|path| ("resolve", path)))
}

/// Refuses paths of a rollback at which no change of the selection did anything. `dropped` are those that stay for the sake
/// of what is in the way.
pub fn of_selection(
    selection: &Selection,
    histories: &[History],
    plan: &Plan,
    dropped: &BTreeSet<TreePath>,
) -> Result<(), Failure> {
    let touched = || histories.iter().flat_map(|history| history.names.iter().chain([&history.path]));
    for file in selection.files.wanted() {
        if !touched().any(|path| file.names(path)) {
            let message = format!("`file`: no change that fits did anything at `{file}`");
            return Err(Failure::new(Code::NothingSelected, message)
                .with_hint(format!("`wfr log --path '{file}'` shows who changed what there")));
        }
    }
    if !selection.files.is_empty() && !histories.iter().any(|history| history.is_meant_by(&selection.files)) {
        let message = "`file`: all paths at which changes that fit did anything are left out";
        return Err(Failure::new(Code::NothingSelected, message));
    }
    for (key, path) in named(&selection.decisions) {
        let is_in_the_way = plan.conflicts.iter().any(|conflict| conflict.path == *path)
            || dropped.iter().any(|one| one.is_within(path));
        if touched().any(|other| other == path) || is_in_the_way {
            continue;
        }
        let below: Vec<String> = touched().filter(|one| one.is_within(path)).map(ToString::to_string).collect();
        let hint = match below.len() {
            0 => "`--plan` shows the paths that it is about".to_owned(),
            count => {
                let more = if count > NAMED_MAX { format!(" and {} more", count - NAMED_MAX) } else { String::new() };
                format!("name the paths themselves: {}{more}", below[..count.min(NAMED_MAX)].join(", "))
            }
        };
        let message = format!("`{key}`: nothing is to be decided at `{path}`: no change that goes did anything there");
        return Err(Failure::new(Code::InvalidParameter, message).with_hint(hint));
    }
    Ok(())
}

/// Refuses decisions of a merge on paths at which its sides do not differ.
pub fn of_merge(decisions: &Decisions, differing: &[TreePath]) -> Result<(), Failure> {
    for (key, path) in named(decisions) {
        let is_meant = |other: &TreePath| if key == "resolve" { other == path } else { other.is_within(path) };
        if !differing.iter().any(is_meant) {
            let message =
                format!("`{key}`: nothing is to be decided at `{path}`: both sides have the same there, or nothing");
            return Err(Failure::new(Code::InvalidParameter, message)
                .with_hint("`wfr diff CHECKPOINT` shows the paths at which they differ"));
        }
    }
    Ok(())
}

/// Refuses paths that are in neither of two trees.
pub fn of_trees(objects: &dyn Objects, trees: [Digest; 2], files: &PathSpecs) -> Result<(), Failure> {
    let [mut one, mut other] = trees.map(|tree| Finder::new(objects, tree));
    for file in files.wanted() {
        let is_there = match file.plain() {
            Some(path) => one.lookup(path)?.is_some() || other.lookup(path)?.is_some(),
            None => has_any(objects, &trees[0], file)? || has_any(objects, &trees[1], file)?,
        };
        if !is_there {
            let message = format!("`file`: neither the checkpoint nor the workspace has `{file}`");
            return Err(Failure::new(Code::PathNotFound, message));
        }
    }
    Ok(())
}

/// Whether a pattern names anything in a tree.
fn has_any(objects: &dyn Objects, tree: &Digest, file: &PathSpec) -> Result<bool, ReadError> {
    let mut found = false;
    walk::<ReadError>(objects, tree, &mut |path, _| {
        found = found || file.names(path);
        Ok(())
    })?;
    Ok(found)
}
