//! Comparing two trees without reading what they share.
//!
//! Owns the list of differences and its order. Refuses to judge which of them matter.

use std::collections::HashSet;

use wfr_model::entry::{Entry, Node};
use wfr_model::{Digest, TreePath};

use super::{Leaves, leaves, read_leaf};
use crate::object::{Objects, ReadError};

/// One difference between two trees: the entry at a path on each side; at least one side is `Some`.
///
/// A directory that is on one side only is followed by everything below it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Difference {
    /// Where.
    pub path: TreePath,
    /// The entry in the first tree.
    pub before: Option<Entry>,
    /// The entry in the second tree.
    pub after: Option<Entry>,
}

/// All differences from tree `a` to tree `b`: by name within a directory, a directory before what it holds.
///
/// A directory whose own metadata is equal on both sides does not appear itself. Equal subtrees are not read.
pub fn diff(objects: &dyn Objects, a: &Digest, b: &Digest) -> Result<Vec<Difference>, ReadError> {
    let mut found = Vec::new();
    let mut open = vec![(TreePath::ROOT, pairs(objects, Some(a), Some(b))?.into_iter())];
    while let Some((dir, pairs_left)) = open.last_mut() {
        let Some((before, after)) = pairs_left.next() else {
            open.pop();
            continue;
        };
        let Some(name) = before.as_ref().or(after.as_ref()).map(|entry| &entry.name) else { continue };
        let path = dir.join(name);
        let (below_a, below_b) = (below(before.as_ref()), below(after.as_ref()));
        if differs(before.as_ref(), after.as_ref()) {
            found.push(Difference { path: path.clone(), before, after });
        }
        if below_a != below_b {
            open.push((path, pairs(objects, below_a.as_ref(), below_b.as_ref())?.into_iter()));
        }
    }
    Ok(found)
}

/// The tree below an entry, where it is a directory.
fn below(entry: Option<&Entry>) -> Option<Digest> {
    match entry?.node {
        Node::Dir(id) => Some(id),
        _ => None,
    }
}

/// Whether two entries differ, what lies below directories aside.
fn differs(before: Option<&Entry>, after: Option<&Entry>) -> bool {
    match (before, after) {
        (Some(a), Some(b)) if below(before).is_some() && below(after).is_some() => {
            a.meta != b.meta || a.xattrs != b.xattrs
        }
        _ => before != after,
    }
}

type Pair = (Option<Entry>, Option<Entry>);

/// The entries of two directories, side by side by name. Those in parts that both share are left out.
fn pairs(objects: &dyn Objects, a: Option<&Digest>, b: Option<&Digest>) -> Result<Vec<Pair>, ReadError> {
    let mut left = a.map(|id| leaves(objects, id)).transpose()?.unwrap_or(Leaves::One(vec![]));
    let mut right = b.map(|id| leaves(objects, id)).transpose()?.unwrap_or(Leaves::One(vec![]));
    if let (Leaves::Many(left), Leaves::Many(right)) = (&mut left, &mut right) {
        let shared: HashSet<Digest> = left.iter().filter(|id| right.contains(id)).copied().collect();
        left.retain(|id| !shared.contains(id));
        right.retain(|id| !shared.contains(id));
    }
    Ok(zip(entries(objects, left)?, entries(objects, right)?))
}

fn entries(objects: &dyn Objects, leaves: Leaves) -> Result<Vec<Entry>, ReadError> {
    match leaves {
        Leaves::One(entries) => Ok(entries),
        Leaves::Many(ids) => {
            let parts: Result<Vec<_>, _> = ids.iter().map(|id| read_leaf(objects, id)).collect();
            Ok(parts?.into_iter().flatten().collect())
        }
    }
}

/// Merges two sorted lists by name.
fn zip(left: Vec<Entry>, right: Vec<Entry>) -> Vec<Pair> {
    let mut pairs = Vec::with_capacity(left.len().max(right.len()));
    let (mut left, mut right) = (left.into_iter().peekable(), right.into_iter().peekable());
    loop {
        let order = match (left.peek(), right.peek()) {
            (None, None) => return pairs,
            (Some(_), None) => std::cmp::Ordering::Less,
            (None, Some(_)) => std::cmp::Ordering::Greater,
            (Some(a), Some(b)) => a.name.cmp(&b.name),
        };
        pairs.push((left.next_if(|_| order.is_le()), right.next_if(|_| order.is_ge())));
    }
}

#[cfg(test)]
mod tests {
    use super::super::{walk, write};
    use super::*;
    use crate::object::memory::Memory;
    use proptest::prelude::*;
    use std::collections::BTreeMap;
    use wfr_model::entry::Meta;

    /// Writes a tree of one level of directories from `dir -> name -> mode`.
    fn build(memory: &Memory, tree: &BTreeMap<u8, BTreeMap<u8, u32>>) -> Digest {
        let entry = |name: u8, mode: u32, node: Node| Entry {
            name: format!("{name:03}").into_bytes(),
            meta: Meta { mode, ..Meta::default() },
            node,
            xattrs: vec![],
        };
        let dirs: Vec<Entry> = tree
            .iter()
            .map(|(name, files)| {
                let files: Vec<Entry> = files.iter().map(|(n, mode)| entry(*n, *mode, Node::Fifo)).collect();
                entry(*name, 0o755, Node::Dir(write(memory, &files).unwrap()))
            })
            .collect();
        write(memory, &dirs).unwrap()
    }

    fn listing(memory: &Memory, root: &Digest) -> BTreeMap<TreePath, (Meta, bool)> {
        let mut all = BTreeMap::new();
        walk::<ReadError>(memory, root, &mut |path, entry| {
            all.insert(path.clone(), (entry.meta, matches!(entry.node, Node::Dir(_))));
            Ok(())
        })
        .unwrap();
        all
    }

    proptest! {
        #[test]
        fn differences_lead_from_one_to_the_other(
            a in prop::collection::btree_map(0u8..6, prop::collection::btree_map(0u8..6, 0u32..3, 0..6), 0..5),
            b in prop::collection::btree_map(0u8..6, prop::collection::btree_map(0u8..6, 0u32..3, 0..6), 0..5),
        ) {
            let memory = Memory::default();
            let (a, b) = (build(&memory, &a), build(&memory, &b));
            let mut tree = listing(&memory, &a);
            for difference in diff(&memory, &a, &b).unwrap() {
                prop_assert_ne!(&difference.before, &difference.after);
                match difference.after {
                    Some(e) => tree.insert(difference.path, (e.meta, matches!(e.node, Node::Dir(_)))),
                    None => tree.remove(&difference.path),
                };
            }
            prop_assert_eq!(tree, listing(&memory, &b));
        }
    }
}
