//! What may have changed since the stat cache was written, as somebody knows who watched the tree.
//!
//! Owns how that is kept, and which part of it concerns a directory. Refuses to watch anything.

use std::collections::{BTreeMap, BTreeSet};

use wfr_model::TreePath;

use super::listing::{Cached, HAS_TAG, Kind, Listing, MOUNT};

/// A moment in the life of a watch.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Mark {
    /// Which watch, a number that no other has.
    pub watch: [u8; 16],
    /// How much it had seen.
    pub seq: u64,
}

impl Mark {
    /// Bytes of a mark.
    pub(super) const LEN: usize = 24;

    /// The mark as bytes; zeros where there is none.
    pub(super) fn encode(mark: Option<Self>) -> [u8; Self::LEN] {
        let mut bytes = [0; Self::LEN];
        if let Some(mark) = mark {
            bytes[..16].copy_from_slice(&mark.watch);
            bytes[16..].copy_from_slice(&mark.seq.to_le_bytes());
        }
        bytes
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let (watch, seq) = bytes.split_first_chunk::<16>()?;
        let seq = u64::from_le_bytes(*seq.first_chunk()?);
        (*watch != [0; 16]).then_some(Self { watch: *watch, seq })
    }
}

/// What a watch says before a scan: everything that it saw until `mark`.
#[derive(Clone, Copy, Debug)]
pub struct Watched<'a> {
    /// How far it had come when the scan began.
    pub mark: Mark,
    /// What may differ from what the stat cache knows; `None`: anything.
    pub touched: Option<&'a Touched>,
}

/// Paths that may have changed. Whatever is not among them, nor below one of them, has not.
#[derive(Clone, Debug, Default)]
pub struct Touched {
    root: Node,
    count: usize,
}

/// One directory's part.
#[derive(Clone, Debug, Default)]
pub(super) struct Node {
    /// Whether all below may have changed.
    all: bool,
    /// Whether names may have come or gone, or the directory's own properties changed.
    here: bool,
    /// Entries that may have changed.
    names: BTreeSet<Box<[u8]>>,
    /// Directories with something touched in them.
    below: BTreeMap<Box<[u8]>, Node>,
}

impl Touched {
    /// Adds an entry whose content or properties may have changed.
    pub fn entry(&mut self, path: &TreePath) {
        self.count += 1;
        match path.as_bytes().rsplit_once_slash() {
            (dir, Some(name)) => drop(self.node(dir).names.insert(name.into())),
            (_, None) => self.root.here = true,
        }
    }

    /// Adds a directory in which names may have come or gone. It may be no directory any more.
    pub fn names(&mut self, dir: &TreePath) {
        self.entry(dir);
        self.node(dir.as_bytes()).here = true;
    }

    /// Adds a path with all that is below it.
    pub fn subtree(&mut self, path: &TreePath) {
        self.count += 1;
        self.node(path.as_bytes()).all = true;
        if let (dir, Some(_)) = path.as_bytes().rsplit_once_slash() {
            self.node(dir).here = true;
        }
    }

    /// How many paths were added.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether none was.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    fn node(&mut self, dir: &[u8]) -> &mut Node {
        let names = dir.split(|byte| *byte == b'/').filter(|name| !name.is_empty());
        names.fold(&mut self.root, |node, name| node.below.entry(name.into()).or_default())
    }

    pub(super) fn at_root(&self) -> Touch<'_> {
        Touch::of(&self.root)
    }
}

trait RsplitOnceSlash {
    /// The part before the last slash, and the one behind it; no second one where there is nothing at all.
    fn rsplit_once_slash(&self) -> (&[u8], Option<&[u8]>);
}

impl RsplitOnceSlash for [u8] {
    fn rsplit_once_slash(&self) -> (&[u8], Option<&[u8]>) {
        match self.iter().rposition(|byte| *byte == b'/') {
            Some(at) => (&self[..at], Some(&self[at + 1..])),
            None => (&[], (!self.is_empty()).then_some(self)),
        }
    }
}

/// What has to be looked at in a directory.
#[derive(Clone, Copy, Debug)]
pub(super) enum Touch<'t> {
    /// Everything, and everything below.
    All,
    /// The directory and each entry in it; directories in it as they say.
    Here(Option<&'t Node>),
    /// Only the entries that it names, and directories in it as they say.
    Below(&'t Node),
    /// Nothing.
    Nothing,
}

impl<'t> Touch<'t> {
    fn of(node: &'t Node) -> Self {
        match node {
            Node { all: true, .. } => Self::All,
            Node { here: true, .. } => Self::Here(Some(node)),
            _ => Self::Below(node),
        }
    }

    fn node(self) -> Option<&'t Node> {
        match self {
            Self::Here(node) => node,
            Self::Below(node) => Some(node),
            Self::All | Self::Nothing => None,
        }
    }

    /// The part of a directory in this one. Where the cache does not know it as one, it is looked at as a whole.
    pub(super) fn below(self, name: &[u8], cached: Option<&Cached<'_>>) -> Self {
        let is_known = cached.is_some_and(|cached| cached.kind == Kind::Dir && cached.is_included());
        if matches!(self, Self::All) || !is_known {
            return Self::All;
        }
        let Some(node) = self.node() else { return Self::Nothing };
        let below = node.below.get(name);
        match below.map(Self::of) {
            Some(Self::Below(below)) if node.names.contains(name) => Self::Here(Some(below)),
            Some(touch) => touch,
            None if node.names.contains(name) => Self::Here(None),
            None => Self::Nothing,
        }
    }

    /// The same with every entry of this directory.
    pub(super) fn with_all_entries(self) -> Self {
        match self {
            Self::All => Self::All,
            other => Self::Here(other.node()),
        }
    }

    /// Whether the cached listing of a directory serves without a look at each entry.
    pub(super) fn is_served_by(self, old: &Listing<'_>) -> bool {
        let expected = match self {
            Self::All | Self::Here(_) => return false,
            Self::Below(node) => {
                node.names.len() + node.below.keys().filter(|name| !node.names.contains(*name)).count()
            }
            Self::Nothing => 0,
        };
        let has_all = || old.entries().filter(|cached| self.leads_to(cached.name.to_bytes())).count() == expected;
        old.head.flags & (MOUNT | HAS_TAG) == 0 && (expected == 0 || has_all())
    }

    /// Whether an entry has to be looked at, or something below it, in a directory of which only some have.
    fn leads_to(self, name: &[u8]) -> bool {
        self.node().is_some_and(|node| node.names.contains(name) || node.below.contains_key(name))
    }

    /// Whether an entry that is no directory has to be looked at. Events say too little of some: of files with several
    /// names, and of what could not be captured.
    pub(super) fn concerns(self, cached: &Cached<'_>) -> bool {
        !cached.is_settled() || self.leads_to(cached.name.to_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> TreePath {
        text.parse().unwrap()
    }

    #[test]
    fn a_mark_comes_back_and_none_is_none() {
        let mark = Mark { watch: [7; 16], seq: 1 << 40 };
        assert_eq!(Mark::decode(&Mark::encode(Some(mark))), Some(mark));
        assert_eq!(Mark::decode(&Mark::encode(None)), None);
    }

    #[test]
    fn what_is_touched_is_known_by_directory() {
        let mut touched = Touched::default();
        touched.entry(&path("a/b/file"));
        touched.names(&path("a/c"));
        touched.subtree(&path("d/e"));
        let root = touched.at_root();
        let Touch::Below(node) = root else { panic!("only parts of the root: {root:?}") };
        assert!(node.below.contains_key(&b"a"[..]) && node.below.contains_key(&b"d"[..]));
        let a = Touch::of(&node.below[&b"a"[..]]);
        assert!(matches!(a, Touch::Below(_)) && a.leads_to(b"b") && a.leads_to(b"c") && !a.leads_to(b"d"));
        let Some(a) = a.node() else { panic!("it has a part") };
        assert!(Touch::of(&a.below[&b"b"[..]]).leads_to(b"file"));
        assert!(matches!(Touch::of(&a.below[&b"c"[..]]), Touch::Here(_)));
        let d = Touch::of(&node.below[&b"d"[..]]);
        assert!(matches!(d, Touch::Here(_)), "the name may have gone");
        assert_eq!(touched.len(), 3);
    }

    #[test]
    fn the_root_itself_may_be_touched() {
        let mut touched = Touched::default();
        touched.entry(&TreePath::default());
        assert!(matches!(touched.at_root(), Touch::Here(_)));
        let mut all = Touched::default();
        all.subtree(&TreePath::default());
        assert!(matches!(all.at_root(), Touch::All));
    }
}
