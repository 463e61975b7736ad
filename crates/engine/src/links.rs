//! Hard links of a checkpoint, decoded.
//!
//! Owns the short way from a row's object to its groups, what differs between two groupings, and which groups come back with what is
//! put back. Refuses to know what is done with them.

use std::collections::BTreeMap;

use wfr_capture::slice::is_same;
use wfr_model::entry::Entry;
use wfr_model::{Digest, TreePath};
use wfr_recovery::plan::{Goal, LinkGroups, Wish};
use wfr_store::tree::Finder;
use wfr_store::{Objects, ReadError};

/// The groups that an object lists; none where there is no object.
pub fn of(objects: &dyn Objects, id: Option<&Digest>) -> Result<LinkGroups, ReadError> {
    id.map_or(Ok(vec![]), |id| wfr_store::links::read(objects, id))
}

/// The paths that share their file with others on the two sides than before, with those of each side.
pub fn regrouped(from: &LinkGroups, to: &LinkGroups) -> BTreeMap<TreePath, [Vec<TreePath>; 2]> {
    let mut found: BTreeMap<TreePath, [Vec<TreePath>; 2]> = BTreeMap::new();
    for (side, groups) in [from, to].into_iter().enumerate() {
        for group in groups {
            for path in group {
                found.entry(path.clone()).or_default()[side].clone_from(group);
            }
        }
    }
    found.retain(|_, [before, after]| before != after);
    found
}

/// Groups that become one file each again: at least one name is `restored`, and all others are as that is. A name that shares
/// its file with others now keeps these.
pub fn rejoined(
    (objects, goal): (&dyn Objects, &Goal),
    groups: &LinkGroups,
    wishes: &[Wish],
    restored: &BTreeMap<TreePath, Entry>,
) -> Result<LinkGroups, ReadError> {
    let mut now = Finder::new(objects, goal.from);
    let mut joined = Vec::new();
    for group in groups {
        let Some(entry) = group.iter().find_map(|path| restored.get(path)) else { continue };
        let parts_others = |present: &&Vec<TreePath>| {
            present.iter().any(|path| group.contains(path)) && !present.iter().all(|path| group.contains(path))
        };
        let mut are_all = !goal.from_links.iter().any(|present| parts_others(&present));
        for path in group.iter().filter(|path| !restored.contains_key(*path)) {
            let is_wished = wishes.iter().any(|wish| wish.path == *path);
            are_all &= !is_wished && is_same(now.lookup(path)?.as_ref(), Some(entry));
        }
        if are_all {
            joined.push(group.clone());
        }
    }
    Ok(joined)
}
