//! What happened between two looks at the tree.
//!
//! Owns which differences count. Times alone do not: reading programs and restores set them, and nothing is lost by them.

use std::collections::BTreeMap;

use wfr_model::change::Segment;
use wfr_model::coverage::Coverage;
use wfr_model::entry::{Entry, Node};
use wfr_model::{Digest, TreePath};
use wfr_store::tree::{self, Finder};
use wfr_store::{Objects, ReadError};

/// The tree as it was known: a whole one, and what was found since.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Known {
    /// The whole tree.
    pub tree: Digest,
    /// What stood at paths that changed since; `None`: nothing.
    pub since: BTreeMap<TreePath, Option<Entry>>,
}

/// What leads from the known tree to the one that is there now, sorted by path. What the new look could not reach is
/// not taken for gone.
pub fn slice(
    objects: &dyn Objects,
    known: &Known,
    now: &Digest,
    coverage: &Coverage,
) -> Result<Vec<Segment>, ReadError> {
    let mut since = known.since.clone();
    let mut segments = Vec::new();
    let mut consider = |path: TreePath, before: Option<Entry>, after: Option<Entry>| {
        let is_out_of_reach = after.is_none() && coverage.covering(&path).is_some();
        if !is_same(before.as_ref(), after.as_ref()) && !is_out_of_reach {
            segments.push(Segment { path, before: before.map(bare), after: after.map(bare) });
        }
    };
    for difference in tree::diff(objects, &known.tree, now)? {
        let before = since.remove(&difference.path).unwrap_or(difference.before);
        consider(difference.path, before, difference.after);
    }
    // What is as it was in the whole tree, but was found to be otherwise since.
    let mut then = Finder::new(objects, known.tree);
    for (path, before) in since {
        let after = then.lookup(&path)?;
        consider(path, before, after);
    }
    segments.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(segments)
}

/// Whether two entries are the same to the ledger: all but the time of last modification.
pub fn is_same(before: Option<&Entry>, after: Option<&Entry>) -> bool {
    match (before, after) {
        (Some(a), Some(b)) => a.same_but_time(b) && (a.meta.uid, a.meta.gid) == (b.meta.uid, b.meta.gid),
        (a, b) => a.is_none() && b.is_none(),
    }
}

/// An entry as the ledger keeps it: what lies below a directory has segments of its own.
pub fn bare(mut entry: Entry) -> Entry {
    if let Node::Dir(below) = &mut entry.node {
        *below = Digest([0; 32]);
    }
    entry
}
