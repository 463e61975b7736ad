//! Looking up many paths of one tree.
//!
//! Owns the way to the last one, and the entries around it. Refuses to keep more of the tree in memory than that.

use wfr_model::entry::{Entry, Node};
use wfr_model::{Digest, TreePath};

use super::leaf;
use crate::object::{Objects, ReadError};

/// Finds entries of one tree. Paths that come in order are found without beginning at the root each time, which would
/// cost the square of the depth in a deep tree, and without reading the same part of a large directory for each.
pub struct Finder<'o> {
    objects: &'o dyn Objects,
    root: Digest,
    /// The directories above the last path, from the root down: names and ids.
    way: Vec<(Vec<u8>, Digest)>,
    /// The entries of the part that was read last, and of which directory: all between the first and the last of them.
    part: Option<(Digest, Vec<Entry>)>,
}

impl<'o> Finder<'o> {
    /// For the tree with this id.
    pub fn new(objects: &'o dyn Objects, root: Digest) -> Self {
        Self { objects, root, way: Vec::new(), part: None }
    }

    /// The entry at a path; `None` where there is none. The root has no entry.
    pub fn lookup(&mut self, path: &TreePath) -> Result<Option<Entry>, ReadError> {
        let Some(above) = path.parent() else { return Ok(None) };
        let shared = self.way.iter().zip(above.components()).take_while(|((known, _), name)| known == name).count();
        self.way.truncate(shared);
        for name in above.components().skip(shared) {
            match self.find(name)? {
                Some(Entry { node: Node::Dir(id), .. }) => self.way.push((name.to_vec(), id)),
                _ => return Ok(None),
            }
        }
        self.find(path.name())
    }

    /// The entry of a name in the directory that was reached.
    fn find(&mut self, name: &[u8]) -> Result<Option<Entry>, ReadError> {
        let dir = self.reached();
        let is_within = |entries: &[Entry]| match (entries.first(), entries.last()) {
            (Some(first), Some(last)) => first.name.as_slice() <= name && name <= last.name.as_slice(),
            _ => false,
        };
        if !self.part.as_ref().is_some_and(|(of, entries)| *of == dir && is_within(entries)) {
            self.part = Some((dir, leaf(self.objects, &dir, name)?));
        }
        let entries = self.part.as_ref().map_or(&[][..], |(_, entries)| entries);
        let found = entries.binary_search_by(|entry| entry.name.as_slice().cmp(name));
        Ok(found.ok().map(|index| entries[index].clone()))
    }

    fn reached(&self) -> Digest {
        self.way.last().map_or(self.root, |(_, id)| *id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::memory::Memory;
    use crate::tree;
    use wfr_model::entry::Meta;

    #[test]
    fn names_of_a_large_directory_are_found_in_any_order() {
        let memory = Memory::default();
        let name = |number: usize| format!("f{:05}", number * 2);
        let entries: Vec<Entry> = (0..5_000)
            .map(|number| Entry { name: name(number).into(), meta: Meta::default(), node: Node::Fifo, xattrs: vec![] })
            .collect();
        let root = tree::write(&memory, &entries).unwrap();
        let mut finder = Finder::new(&memory, root);
        for step in [1, 7, 2_503] {
            for at in 0..5_002 {
                let number = at * step % 5_002;
                let path = name(number).parse().unwrap();
                assert_eq!(finder.lookup(&path).unwrap().is_some(), number < 5_000, "{path}");
                let between = format!("f{:05}", number * 2 + 1).parse().unwrap();
                assert_eq!(finder.lookup(&between).unwrap(), None, "{between}");
            }
        }
    }

    #[test]
    fn paths_are_found_in_any_order() {
        let memory = Memory::default();
        let entry = |name: &str, node| Entry { name: name.into(), meta: Meta::default(), node, xattrs: vec![] };
        let low = tree::write(&memory, &[entry("x", Node::Fifo), entry("y", Node::Socket)]).unwrap();
        let high = tree::write(&memory, &[entry("low", Node::Dir(low)), entry("x", Node::Fifo)]).unwrap();
        let root = tree::write(&memory, &[entry("high", Node::Dir(high)), entry("z", Node::Fifo)]).unwrap();
        let mut finder = Finder::new(&memory, root);
        for (path, is_there) in [
            ("high/low/x", true),
            ("high/low/y", true),
            ("high/low/x/none", false),
            ("high/x", true),
            ("z", true),
            ("none/low/x", false),
            ("high/low", true),
            ("high/low/none", false),
            ("high", true),
        ] {
            assert_eq!(finder.lookup(&path.parse().unwrap()).unwrap().is_some(), is_there, "{path}");
        }
        assert_eq!(finder.lookup(&TreePath::ROOT).unwrap(), None);
    }
}
