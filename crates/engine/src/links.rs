//! Hard links of a checkpoint, decoded.
//!
//! Owns the short way from a row's object to its groups, and what differs between two groupings. Refuses to know what is done with them.

use std::collections::BTreeMap;

use wfr_model::{Digest, TreePath};
use wfr_recovery::plan::LinkGroups;
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
