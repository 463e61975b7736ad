//! A workflow's state as objects: a root with its head, nodes, and leaves with its parts.
//!
//! Owns the tree's form (`docs/format.md` has the bytes), and that a new state shares with the one before every leaf that
//! did not change: what a snapshot costs follows from what changed. Refuses to know what heads and parts say.

use std::collections::BTreeMap;

use wfr_model::Digest;

use crate::object::{ObjectKind, Objects, ReadError, Sink, WriteError, hash};

/// The version of the form.
const VERSION: u8 = 1;

/// Leaves of a node, and nodes of a kind.
const FAN_OUT: u16 = 64;

/// Leaves of a kind: a part belongs to the leaf that the highest 12 bits of its slot name.
pub const LEAVES: u16 = FAN_OUT * FAN_OUT;

/// Where a leaf stands: the number of its kind, below 4, and its own, below [`LEAVES`].
pub type Place = (u8, u16);

/// One object of the tree.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Part {
    /// What it refers to, by ascending keys. In the root a key is 64 times a kind's number plus a node's, in a node it is
    /// the leaf's number within it; a leaf refers to nothing.
    pub children: Vec<(u16, Digest)>,
    /// The head in the root, the parts in a leaf, nothing in a node.
    pub body: Vec<u8>,
}

/// Why a state could not be written.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The state that it builds on could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// An object could not be written.
    #[error(transparent)]
    Write(#[from] WriteError),
}

/// The bytes of an object.
pub fn encode(part: &Part) -> Vec<u8> {
    let mut bytes = vec![VERSION];
    bytes.extend_from_slice(&(part.children.len() as u16).to_le_bytes());
    for (key, child) in &part.children {
        bytes.extend_from_slice(&key.to_le_bytes());
        bytes.extend_from_slice(&child.0);
    }
    bytes.extend_from_slice(&part.body);
    bytes
}

/// The object of some bytes. Keys must ascend, so that one state has one form.
pub fn decode(bytes: &[u8]) -> Result<Part, &'static str> {
    let (fixed, mut rest) = bytes.split_at_checked(3).ok_or("it is cut off")?;
    if fixed[0] != VERSION {
        return Err("its version is not known");
    }
    let count = u16::from_le_bytes([fixed[1], fixed[2]]);
    let mut children = Vec::new();
    for _ in 0..count {
        let (child, after) = rest.split_at_checked(34).ok_or("it is cut off")?;
        let key = u16::from_le_bytes([child[0], child[1]]);
        if children.last().is_some_and(|(before, _)| *before >= key) {
            return Err("its children are not in order");
        }
        children.push((key, Digest(child[2..].try_into().map_err(|_| "it is cut off")?)));
        rest = after;
    }
    Ok(Part { children, body: rest.to_vec() })
}

/// Writes a state: the head, and of the state `base` all leaves but those given; an empty leaf is left out. Returns the
/// root's id.
pub fn write<S: Sink + Objects + ?Sized>(
    store: &S,
    base: Option<&Digest>,
    head: &[u8],
    leaves: &BTreeMap<Place, Vec<u8>>,
) -> Result<Digest, StateError> {
    let base = base.map(|id| get(store, id)).transpose()?.unwrap_or_default();
    let mut nodes: BTreeMap<u16, Digest> = base.children.into_iter().collect();
    let mut changes: BTreeMap<u16, Vec<(u16, &[u8])>> = BTreeMap::new();
    for ((kind, leaf), body) in leaves {
        let key = u16::from(*kind) * FAN_OUT + leaf / FAN_OUT;
        changes.entry(key).or_default().push((leaf % FAN_OUT, body));
    }
    for (key, changed) in changes {
        match write_node(store, nodes.get(&key), &changed)? {
            Some(node) => drop(nodes.insert(key, node)),
            None => drop(nodes.remove(&key)),
        }
    }
    put(store, &Part { children: nodes.into_iter().collect(), body: head.to_vec() })
}

/// Writes a node with some of its leaves changed; `None` where no leaf is left.
fn write_node<S: Sink + Objects + ?Sized>(
    store: &S,
    base: Option<&Digest>,
    changed: &[(u16, &[u8])],
) -> Result<Option<Digest>, StateError> {
    let base = base.map(|id| get(store, id)).transpose()?.unwrap_or_default();
    let mut leaves: BTreeMap<u16, Digest> = base.children.into_iter().collect();
    for (key, body) in changed {
        if body.is_empty() {
            leaves.remove(key);
        } else {
            leaves.insert(*key, put(store, &Part { children: vec![], body: body.to_vec() })?);
        }
    }
    if leaves.is_empty() {
        return Ok(None);
    }
    put(store, &Part { children: leaves.into_iter().collect(), body: vec![] }).map(Some)
}

/// The id of a state that is nothing but a head.
pub fn head_alone_id(head: &[u8]) -> Digest {
    hash(&encode(&Part { children: vec![], body: head.to_vec() }))
}

fn put<S: Sink + ?Sized>(store: &S, part: &Part) -> Result<Digest, StateError> {
    Ok(store.put_new(ObjectKind::State, &encode(part))?)
}

/// What takes a state: the head, which has no place, and then each leaf.
pub type Take<'t, E> = &'t mut dyn FnMut(Option<Place>, &[u8]) -> Result<(), E>;

/// Hands over the head, and then each leaf with its place.
pub fn read<E: From<ReadError>>(objects: &dyn Objects, root: &Digest, take: Take<'_, E>) -> Result<(), E> {
    let root = get(objects, root)?;
    take(None, &root.body)?;
    for (node_key, node) in &root.children {
        for (leaf_key, leaf) in get(objects, node)?.children {
            let kind = (node_key / FAN_OUT) as u8;
            let place = (kind, node_key % FAN_OUT * FAN_OUT + leaf_key);
            take(Some(place), &get(objects, &leaf)?.body)?;
        }
    }
    Ok(())
}

fn get(objects: &(impl Objects + ?Sized), id: &Digest) -> Result<Part, ReadError> {
    let bytes = objects.get(ObjectKind::State, id)?;
    decode(&bytes).map_err(|why| ReadError::Malformed { id: *id, what: "state", why: why.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::memory::Memory;
    use proptest::prelude::*;

    fn contents(memory: &Memory, root: &Digest) -> (Vec<u8>, BTreeMap<Place, Vec<u8>>) {
        let (mut head, mut leaves) = (vec![], BTreeMap::new());
        read::<ReadError>(memory, root, &mut |place, body| {
            match place {
                None => head = body.to_vec(),
                Some(place) => drop(leaves.insert(place, body.to_vec())),
            }
            Ok(())
        })
        .unwrap();
        (head, leaves)
    }

    fn leaves() -> impl Strategy<Value = BTreeMap<Place, Vec<u8>>> {
        prop::collection::btree_map((0..4_u8, 0..LEAVES), prop::collection::vec(any::<u8>(), 0..4), 0..40)
    }

    proptest! {
        #[test]
        fn a_state_built_on_another_is_the_one_built_at_once(first in leaves(), second in leaves()) {
            let memory = Memory::default();
            let base = write(&memory, None, b"one", &first).unwrap();
            let on_base = write(&memory, Some(&base), b"two", &second).unwrap();
            let mut all = first;
            all.extend(second);
            prop_assert_eq!(on_base, write(&memory, None, b"two", &all).unwrap());
            all.retain(|_, body| !body.is_empty());
            prop_assert_eq!(contents(&memory, &on_base), (b"two".to_vec(), all));
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(part) = decode(&bytes) {
                prop_assert_eq!(encode(&part), bytes);
            }
        }
    }

    #[test]
    fn one_leaf_changed_writes_three_objects() {
        let memory = Memory::default();
        let all: BTreeMap<Place, Vec<u8>> = (0..LEAVES).map(|leaf| ((1, leaf), leaf.to_le_bytes().to_vec())).collect();
        let base = write(&memory, None, b"{}", &all).unwrap();
        let before = memory.len();
        let changed = BTreeMap::from([((1, 77), b"new".to_vec())]);
        write(&memory, Some(&base), b"{\"n\":1}", &changed).unwrap();
        assert_eq!(memory.len(), before + 3);
    }
}
