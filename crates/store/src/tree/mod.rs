//! Directories as Merkle trees of objects: one node per directory, split where a directory is large.
//!
//! Owns reading, writing, look-up, walking and comparison of trees. Refuses to know where objects lie. Nothing
//! here recurses by depth of directories, so a tree may be as deep as it likes.

mod codec;
mod diff;
mod finder;
mod walk;

use wfr_model::entry::Entry;
use wfr_model::{Digest, TreePath};

use crate::object::{ObjectKind, Objects, ReadError, Sink, WriteError};

pub use codec::{Part, decode, encode};
pub use diff::{Difference, diff};
pub use finder::Finder;
pub use walk::walk;

/// A directory with up to this many entries is one object.
pub const WHOLE_ENTRIES_MAX: usize = 1_024;

/// A larger one is cut into parts of at least and at most this many.
const PART_ENTRIES: (usize, usize) = (128, 2_048);

/// Levels of branches that a directory may have: more than any real one needs.
const LEVELS_MAX: u8 = 8;

/// Writes one directory's entries, sorted by name; returns the tree's id.
pub fn write(sink: &dyn Sink, entries: &[Entry]) -> Result<Digest, WriteError> {
    debug_assert!(entries.is_sorted_by(|a, b| a.name < b.name));
    if entries.len() <= WHOLE_ENTRIES_MAX {
        return put(sink, &Part::Leaf(entries.to_vec()));
    }
    let mut children = Vec::new();
    for part in split(entries, |entry| &entry.name, 0) {
        let last = part.last().map(|entry| entry.name.clone()).unwrap_or_default();
        children.push((put(sink, &Part::Leaf(part.to_vec()))?, last));
    }
    let mut level = 1;
    while children.len() > WHOLE_ENTRIES_MAX {
        let mut above = Vec::new();
        for part in split(&children, |child| &child.1, level) {
            let last = part.last().map(|child| child.1.clone()).unwrap_or_default();
            above.push((put(sink, &Part::Branch(level, part.to_vec()))?, last));
        }
        children = above;
        level += 1;
    }
    put(sink, &Part::Branch(level, children))
}

fn put(sink: &dyn Sink, part: &Part) -> Result<Digest, WriteError> {
    sink.put_new(ObjectKind::Tree, &encode(part))
}

/// Cuts a sorted list after names whose checksum says so: a name added or removed moves only the cuts next to it.
fn split<T>(items: &[T], name: fn(&T) -> &[u8], level: u8) -> impl Iterator<Item = &[T]> {
    let mut rest = items;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let is_cut = |item: &T| (crc32fast::hash(name(item)) >> (level % 3 * 9)) & 0x1ff == 0;
        let from = PART_ENTRIES.0.min(rest.len());
        let to = PART_ENTRIES.1.min(rest.len());
        let length = rest[from..to].iter().position(is_cut).map_or(to, |found| from + found + 1);
        let (part, after) = rest.split_at(length);
        rest = after;
        Some(part)
    })
}

/// One object of a directory, checked.
fn read_part(objects: &dyn Objects, id: &Digest) -> Result<Part, ReadError> {
    let bytes = objects.get(ObjectKind::Tree, id)?;
    decode(&bytes).map_err(|why| ReadError::Malformed { id: *id, what: "tree", why: why.to_string() })
}

/// The ids of a directory's leaves in order, with the leaf itself where it has only one.
fn leaves(objects: &dyn Objects, id: &Digest) -> Result<Leaves, ReadError> {
    let (level, children) = match read_part(objects, id)? {
        Part::Leaf(entries) => return Ok(Leaves::One(entries)),
        Part::Branch(level, children) => (level, children),
    };
    let mut ids: Vec<Digest> = children.into_iter().map(|(child, _)| child).collect();
    for expected in (1..level).rev() {
        let mut below = Vec::new();
        for id in ids {
            match read_part(objects, &id)? {
                Part::Branch(level, children) if level == expected => below.extend(children.into_iter().map(|c| c.0)),
                _ => return Err(wrong_level(id)),
            }
        }
        ids = below;
    }
    Ok(Leaves::Many(ids))
}

enum Leaves {
    One(Vec<Entry>),
    Many(Vec<Digest>),
}

fn wrong_level(id: Digest) -> ReadError {
    ReadError::Malformed { id, what: "tree", why: "a part stands at the wrong level".to_owned() }
}

fn read_leaf(objects: &dyn Objects, id: &Digest) -> Result<Vec<Entry>, ReadError> {
    match read_part(objects, id)? {
        Part::Leaf(entries) => Ok(entries),
        Part::Branch(..) => Err(wrong_level(*id)),
    }
}

/// The entries of one directory, sorted by name; all names, targets and orders checked.
pub fn read(objects: &dyn Objects, id: &Digest) -> Result<Vec<Entry>, ReadError> {
    let ids = match leaves(objects, id)? {
        Leaves::One(entries) => return Ok(entries),
        Leaves::Many(ids) => ids,
    };
    let mut entries: Vec<Entry> = Vec::new();
    for leaf in &ids {
        let part = read_leaf(objects, leaf)?;
        if entries.last().zip(part.first()).is_some_and(|(a, b)| a.name >= b.name) {
            let why = "its parts overlap".to_owned();
            return Err(ReadError::Malformed { id: *id, what: "tree", why });
        }
        entries.extend(part);
    }
    Ok(entries)
}

/// The ids of every object that one directory is made of, itself included; for marking. Leaves are named, not read.
pub fn parts(objects: &dyn Objects, id: &Digest) -> Result<Vec<Digest>, ReadError> {
    let mut found = vec![*id];
    let mut branches = vec![*id];
    while let Some(id) = branches.pop() {
        if let Part::Branch(level, children) = read_part(objects, &id)? {
            found.extend(children.iter().map(|child| child.0));
            if level > 1 {
                branches.extend(children.iter().map(|child| child.0));
            }
        }
    }
    Ok(found)
}

/// The entry at a path; `None` where there is none. The root has no entry.
pub fn lookup(objects: &dyn Objects, root: &Digest, path: &TreePath) -> Result<Option<Entry>, ReadError> {
    Finder::new(objects, *root).lookup(path)
}

/// The part of a directory in which a name is, where it has it, reading only the parts on the way; empty where it is behind the last one.
fn leaf(objects: &dyn Objects, id: &Digest, name: &[u8]) -> Result<Vec<Entry>, ReadError> {
    let mut id = *id;
    for _ in 0..=LEVELS_MAX {
        match read_part(objects, &id)? {
            Part::Leaf(entries) => return Ok(entries),
            Part::Branch(_, children) => {
                let at = children.partition_point(|(_, last)| last.as_slice() < name);
                match children.get(at) {
                    Some((child, _)) => id = *child,
                    None => return Ok(vec![]),
                }
            }
        }
    }
    Err(wrong_level(id))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::memory::Memory;
    use wfr_model::entry::{Meta, Node};

    fn entry(name: &str) -> Entry {
        Entry { name: name.as_bytes().to_vec(), meta: Meta::default(), node: Node::Fifo, xattrs: vec![] }
    }

    fn many(count: usize) -> Vec<Entry> {
        (0..count).map(|n| entry(&format!("{n:08}"))).collect()
    }

    #[test]
    fn large_directories_are_split_and_read_back() {
        for count in [0, 1, WHOLE_ENTRIES_MAX, WHOLE_ENTRIES_MAX + 1, 50_000] {
            let memory = Memory::default();
            let entries = many(count);
            let id = write(&memory, &entries).unwrap();
            assert_eq!(read(&memory, &id).unwrap(), entries);
            if let Some(last) = entries.last() {
                let path = TreePath::from_bytes(&last.name).unwrap();
                assert_eq!(lookup(&memory, &id, &path).unwrap().as_ref(), Some(last));
            }
            assert_eq!(lookup(&memory, &id, &"zzz".parse().unwrap()).unwrap(), None);
            assert_eq!(parts(&memory, &id).unwrap().len(), memory.len());
        }
    }

    #[test]
    fn one_name_more_rewrites_few_parts() {
        let memory = Memory::default();
        let mut entries = many(50_000);
        write(&memory, &entries).unwrap();
        let before = memory.len();
        entries.insert(25_000, entry("00024999x"));
        write(&memory, &entries).unwrap();
        assert!(memory.len() - before <= 6, "{} new objects", memory.len() - before);
    }
}
