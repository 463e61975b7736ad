//! Which file systems are mounted in the tree, and which were and are not now.
//!
//! Owns what checkpoints note of that and what a look at the tree may conclude. Refuses to mount anything, and to say what a
//! plan does about it.

use std::collections::BTreeMap;

use wfr_catalog::{CheckpointRow, ListQuery};
use wfr_model::TreePath;
use wfr_model::coverage::{Coverage, Skip, SkipReason};
use wfr_model::entry::{Entry, Node};
use wfr_recovery::probe;
use wfr_store::{Objects, tree};

use crate::error::Failure;
use crate::manifests;
use crate::open::Open;

/// So many checkpoints are looked at for one with files.
const LOOKED_AT_MAX: u32 = 16;

/// Of directories on other file systems those at which something is mounted: a subvolume is one that nobody mounts.
pub fn among(open: &Open, apart: &[TreePath]) -> Vec<TreePath> {
    if apart.is_empty() {
        return vec![];
    }
    let mounts = probe::mounts(open.root());
    apart.iter().filter(|path| mounts.contains(path)).cloned().collect()
}

/// Directories at which a checkpoint saw file systems and none is mounted now. A manifest that cannot be read saw none.
pub fn missing(open: &Open, objects: &dyn Objects, row: &CheckpointRow) -> Vec<TreePath> {
    let files = manifests::manifest(objects, row).ok().and_then(|manifest| manifest.file_system_state);
    not_now(open, files.map(|files| files.mounts).unwrap_or_default())
}

/// Which file systems are mounted at these places, as far as that can be told.
pub fn file_systems(open: &Open, mounts: &[TreePath]) -> BTreeMap<TreePath, String> {
    let named = |path: &TreePath| Some((path.clone(), probe::file_system_at(open.root(), path)?));
    mounts.iter().filter_map(named).collect()
}

/// Directories at which another file system is mounted than the one that a checkpoint saw there.
pub fn others(open: &Open, objects: &dyn Objects, row: &CheckpointRow) -> Vec<TreePath> {
    let files = manifests::manifest(objects, row).ok().and_then(|manifest| manifest.file_system_state);
    let then = files.map(|files| files.mounted_file_systems).unwrap_or_default();
    if then.is_empty() {
        return vec![];
    }
    let now = file_systems(open, &probe::mounts(open.root()));
    let is_other = |(path, then): &(TreePath, String)| now.get(path).is_some_and(|now| now != then);
    then.into_iter().filter(is_other).map(|(path, _)| path).collect()
}

/// Directories of a tree at which the newest checkpoint, or one before it, saw file systems, and none is mounted now.
pub fn gone(open: &Open, objects: &dyn Objects, tree: &wfr_model::Digest) -> Result<Vec<TreePath>, Failure> {
    let query = ListQuery { descending: true, limit: Some(LOOKED_AT_MAX), ..ListQuery::default() };
    let newest = open.catalog.list(&query)?.into_iter().find(|row| row.tree.is_some());
    let manifest = newest.and_then(|row| manifests::manifest(objects, &row).ok());
    let Some(files) = manifest.and_then(|manifest| manifest.file_system_state) else { return Ok(vec![]) };
    let mut gone = Vec::new();
    // Where the directory went, too, somebody has cleared the place.
    for path in not_now(open, [files.mounts, files.unmounted].concat()) {
        if matches!(tree::lookup(objects, tree, &path)?, Some(Entry { node: Node::Dir(_), .. })) {
            gone.push(path);
        }
    }
    Ok(gone)
}

fn not_now(open: &Open, mut then: Vec<TreePath>) -> Vec<TreePath> {
    if then.is_empty() {
        return then;
    }
    let now = probe::mounts(open.root());
    then.retain(|path| !now.contains(path));
    then.sort();
    then.dedup();
    then
}

/// A coverage with what is out of reach as long as these are not mounted.
pub fn without(coverage: &Coverage, gone: &[TreePath]) -> Coverage {
    let mut coverage = coverage.clone();
    let skip = |path: &TreePath| Skip { path: path.clone(), reason: SkipReason::NotMounted, bytes: None, detail: None };
    coverage.skips.extend(gone.iter().map(skip));
    coverage.sort();
    coverage
}
