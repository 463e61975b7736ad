//! What a checkpoint needs: every object that its roots lead to.
//!
//! Owns the one walk that archives and cleanup share, and the list of what an object refers to. Refuses to know which
//! checkpoints there are.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};
use wfr_model::Digest;
use wfr_model::entry::Node;

use crate::content;
use crate::object::{ObjectKind, Objects, ReadError};
use crate::state;
use crate::tree::{self, Part};

/// The objects that a checkpoint, a ledger row or a recovery names itself.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Roots {
    /// The manifest.
    pub manifest: Option<Digest>,
    /// The root tree; `None` for a checkpoint of state only.
    pub tree: Option<Digest>,
    /// The groups of hard-linked paths; `None` where there are none.
    pub links: Option<Digest>,
    /// The paths that are not covered; `None` where there are none.
    pub coverage: Option<Digest>,
    /// The root of the workflow's state; `None` where none was known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<Digest>,
    /// The events since the checkpoint before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub seals: Vec<Digest>,
}

impl Roots {
    /// Kind and id of each.
    pub fn objects(&self) -> impl Iterator<Item = (ObjectKind, Digest)> + use<> {
        let single = [
            (ObjectKind::Manifest, self.manifest),
            (ObjectKind::State, self.state),
            (ObjectKind::Links, self.links),
            (ObjectKind::Coverage, self.coverage),
            (ObjectKind::Tree, self.tree),
        ];
        let seals: Vec<_> = self.seals.iter().map(|seal| (ObjectKind::Seal, *seal)).collect();
        single.into_iter().filter_map(|(kind, id)| Some((kind, id?))).chain(seals)
    }
}

/// Whether objects of a kind refer to others, so that a walk must read them.
pub fn has_children(kind: ObjectKind) -> bool {
    matches!(kind, ObjectKind::Tree | ObjectKind::Chunks | ObjectKind::State)
}

/// What an object refers to, in order; empty for kinds that refer to nothing.
pub fn children(kind: ObjectKind, id: &Digest, bytes: &[u8]) -> Result<Vec<(ObjectKind, Digest)>, ReadError> {
    match kind {
        ObjectKind::Chunks => {
            let lines = content::decode_list(id, bytes)?;
            Ok(lines.into_iter().map(|(chunk, _)| (ObjectKind::Blob, chunk)).collect())
        }
        ObjectKind::Tree => {
            let part = tree::decode(bytes).map_err(|why| ReadError::Malformed {
                id: *id,
                what: "tree",
                why: why.to_string(),
            })?;
            Ok(match part {
                Part::Branch(_, parts) => parts.into_iter().map(|(part, _)| (ObjectKind::Tree, part)).collect(),
                Part::Leaf(entries) => entries.iter().filter_map(|entry| below(&entry.node)).collect(),
            })
        }
        ObjectKind::State => {
            let malformed = |why: &str| ReadError::Malformed { id: *id, what: "state", why: why.to_owned() };
            let part = state::decode(bytes).map_err(malformed)?;
            Ok(part.children.into_iter().map(|(_, child)| (ObjectKind::State, child)).collect())
        }
        _ => Ok(vec![]),
    }
}

/// The object that an entry refers to; `None` where it refers to none.
pub fn below(node: &Node) -> Option<(ObjectKind, Digest)> {
    match node {
        Node::Dir(id) => Some((ObjectKind::Tree, *id)),
        Node::File(content) => Some(match content.chunks {
            Some(list) => (ObjectKind::Chunks, list),
            None => (ObjectKind::Blob, content.hash),
        }),
        Node::Symlink(_) | Node::Fifo | Node::Socket => None,
    }
}

/// The objects that a walk has met.
///
/// Kept by kind and id, since a file may hold the bytes of a tree, and that tree must be walked all the same.
pub type Seen = HashSet<(ObjectKind, Digest)>;

/// What is done with each object: its kind, its id, and its bytes where it refers to others.
pub type Visit<'v, E> = &'v mut dyn FnMut(ObjectKind, &Digest, Option<&[u8]>) -> Result<(), E>;

/// Visits every object that the roots lead to, in the order of paths. `is_new` is asked first and remembers: where it
/// says no, the object and what lies below it are passed over. Objects that refer to others come with their bytes.
pub fn walk<E: From<ReadError>>(
    objects: &dyn Objects,
    roots: impl Iterator<Item = (ObjectKind, Digest)>,
    is_new: &mut dyn FnMut(ObjectKind, &Digest) -> bool,
    visit: Visit<E>,
) -> Result<(), E> {
    for root in roots {
        let mut waiting = vec![root];
        while let Some((kind, id)) = waiting.pop() {
            if !is_new(kind, &id) {
                continue;
            }
            if !has_children(kind) {
                visit(kind, &id, None)?;
                continue;
            }
            let bytes = objects.get(kind, &id)?;
            visit(kind, &id, Some(&bytes))?;
            let mut below = children(kind, &id, &bytes)?;
            // Last in, first out: reversed, so that objects come in the order of their paths.
            below.reverse();
            waiting.extend(below);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::Sink;
    use crate::object::memory::Memory;
    use wfr_model::entry::{Entry, Meta};

    fn entry(name: &str, node: Node) -> Entry {
        Entry { name: name.as_bytes().to_vec(), meta: Meta::default(), node, xattrs: vec![] }
    }

    #[test]
    fn everything_is_met_once() {
        let memory = Memory::default();
        let large: Vec<u8> = (0u32..3_000_000).map(|n| (n.wrapping_mul(n) >> 7) as u8).collect();
        let file = |bytes: &[u8]| {
            let mut buffer = Vec::new();
            let mut source = bytes;
            content::store(&mut source, bytes.len() as u64, &memory, &mut buffer).unwrap()
        };
        let (small, large) = (file(b"small"), file(&large));
        let inner = tree::write(&memory, &[entry("a", Node::File(small)), entry("b", Node::File(large))]).unwrap();
        let many: Vec<Entry> = (0..3_000).map(|n| entry(&format!("{n:05}"), Node::Dir(inner))).collect();
        let root = tree::write(&memory, &many).unwrap();
        let coverage = memory.put_new(ObjectKind::Coverage, b"{}").unwrap();
        let roots = Roots { tree: Some(root), coverage: Some(coverage), ..Roots::default() };
        let mut seen = Seen::new();
        let mut met = Vec::new();
        for expected in [memory.len(), 0] {
            met.clear();
            let mut is_new = |kind, id: &Digest| seen.insert((kind, *id));
            let found = walk::<ReadError>(&memory, roots.objects(), &mut is_new, &mut |kind, id, bytes| {
                assert_eq!(bytes.is_some(), has_children(kind));
                met.push(*id);
                Ok(())
            });
            found.unwrap();
            assert_eq!(met.len(), expected);
        }
        assert_eq!(seen.len(), memory.len());
    }
}
