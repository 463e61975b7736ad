//! Directories as Merkle trees of objects.
//!
//! Owns the reading, building, look-up and comparison of trees. Refuses to know where objects lie.

use wfr_model::entry::Entry;
use wfr_model::{Digest, TreePath};

use crate::object::{Objects, ReadError, Sink, WriteError};

/// Writes one directory's entries, sorted by name; returns the tree's id.
pub fn write(_sink: &dyn Sink, _entries: &[Entry]) -> Result<Digest, WriteError> {
    unimplemented!("the store's author is writing this now")
}

/// The entries of one directory, sorted by name, all names and targets checked.
pub fn read(_objects: &dyn Objects, _id: &Digest) -> Result<Vec<Entry>, ReadError> {
    unimplemented!("the store's author is writing this now")
}

/// The entry at a path; `None` where there is none. The root has no entry.
pub fn lookup(_objects: &dyn Objects, _root: &Digest, _path: &TreePath) -> Result<Option<Entry>, ReadError> {
    unimplemented!("the store's author is writing this now")
}

/// Visits every entry below `root`, directories before what they hold, sorted by name within each.
pub fn walk<E: From<ReadError>>(
    _objects: &dyn Objects,
    _root: &Digest,
    _visit: &mut dyn FnMut(&TreePath, &Entry) -> Result<(), E>,
) -> Result<(), E> {
    unimplemented!("the store's author is writing this now")
}

/// One difference between two trees: the entry at a path on each side. At least one side is `Some`. A directory that
/// is on one side only is followed by everything below it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Difference {
    /// Where.
    pub path: TreePath,
    /// The entry in the first tree.
    pub before: Option<Entry>,
    /// The entry in the second tree.
    pub after: Option<Entry>,
}

/// All differences from tree `a` to tree `b`, sorted by path bytes component-wise (a directory before what it holds).
/// Directories whose own metadata is equal do not appear themselves; only their differing children do.
/// Equal subtrees are not read.
pub fn diff(_objects: &dyn Objects, _a: &Digest, _b: &Digest) -> Result<Vec<Difference>, ReadError> {
    unimplemented!("the store's author is writing this now")
}
