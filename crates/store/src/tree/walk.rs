//! Visiting every entry of a tree.
//!
//! Owns the order: directories before what they hold, by name within each. Refuses to recurse.

use wfr_model::entry::{Entry, Node};
use wfr_model::{Digest, TreePath};

use crate::object::{Objects, ReadError};

/// Visits every entry below `root`, directories before what they hold, sorted by name within each.
pub fn walk<E: From<ReadError>>(
    objects: &dyn Objects,
    root: &Digest,
    visit: &mut dyn FnMut(&TreePath, &Entry) -> Result<(), E>,
) -> Result<(), E> {
    let mut open = vec![(TreePath::ROOT, super::read(objects, root)?.into_iter())];
    while let Some((dir, entries)) = open.last_mut() {
        let Some(entry) = entries.next() else {
            open.pop();
            continue;
        };
        let path = dir.join(&entry.name);
        visit(&path, &entry)?;
        if let Node::Dir(id) = &entry.node {
            open.push((path, super::read(objects, id)?.into_iter()));
        }
    }
    Ok(())
}
