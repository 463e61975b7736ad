//! From what was found to trees, from the deepest directory up.
//!
//! Owns which trees and which listings have to be made anew. Refuses to look at the file system. Works on a list in
//! which directories stand before those in them, so depth costs nothing.

use std::ops::Range;

use wfr_model::Digest;
use wfr_model::entry::{Entry, Meta};

use super::ScanError;
use super::found::{Node, State, Visited};
use super::listing::{self, Fresh, Kind, Listing, Pos, Sum};
use super::shared::Shared;
use super::task::{Included, Known};
use super::update::Changed;
use crate::tree;

/// Bytes that a listing's checksum or seal takes at most.
const OVERHEAD_MOST: usize = 16;

/// For directories in a listing that have a changed listing: which one of them, and its number.
type Below = Vec<(usize, usize)>;

/// What the directories came to.
#[derive(Debug)]
pub(super) struct Assembled {
    /// The root's tree.
    pub tree: Digest,
    /// The root's metadata; `None` where it was not visited.
    pub root_meta: Option<Meta>,
    /// Changed listings for the cache.
    pub changed: Vec<Changed>,
    /// Bytes of all listings in use.
    pub live: u64,
    /// Names and parents, for paths.
    pub names: Names,
}

/// Why the trees could not be made.
#[derive(Debug)]
pub(super) enum AssembleError {
    Scan(ScanError),
    /// A listing that was there before can't be read any more.
    CacheLost,
    /// What is touched does not tell all.
    NotAll,
}

impl From<crate::WriteError> for AssembleError {
    fn from(error: crate::WriteError) -> Self {
        Self::Scan(error.into())
    }
}

/// The names of the visited directories, by number.
#[derive(Debug, Default)]
pub(super) struct Names(Vec<(usize, Box<[u8]>)>);

impl Names {
    /// A directory's path with `name` below it.
    pub(super) fn path(&self, dir: usize, name: Option<&[u8]>) -> Vec<u8> {
        let mut parts: Vec<&[u8]> = name.into_iter().collect();
        let mut at = dir;
        while at != 0 {
            let (parent, name) = &self.0[at];
            parts.push(name);
            at = *parent;
        }
        parts.reverse();
        parts.join(&b'/')
    }
}

/// A directory that is finished.
struct Done {
    is_gone: bool,
    included: Option<Box<Included>>,
    place: Place,
    /// Whether its part in the parent's tree is another than the parent's listing says.
    differs: bool,
    /// Whether the parent's listing says another place.
    moved: bool,
    /// How much is below, where nothing there needs another look.
    sum: Option<Sum>,
}

/// Where a directory's listing is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Cached(Pos),
    Changed,
}

struct Assembler<'a> {
    shared: &'a Shared<'a>,
    done: Vec<Option<Done>>,
    changed: Vec<Changed>,
    live: u64,
    /// Whether `live` began with what the cache says, since not all of it was visited.
    counts_from_cache: bool,
}

/// Makes the trees. `nodes` are all visited directories in any order.
pub(super) fn assemble(shared: &Shared<'_>, nodes: Vec<Node>) -> Result<Assembled, AssembleError> {
    let mut sorted: Vec<Option<Node>> = Vec::new();
    sorted.resize_with(nodes.len(), || None);
    let mut names = vec![(0, Box::default()); nodes.len()];
    for mut node in nodes {
        let number = node.number;
        names[number] = (node.parent, std::mem::take(&mut node.name));
        sorted[number] = Some(node);
    }
    let mut done = Vec::new();
    done.resize_with(sorted.len(), || None);
    let before = shared.touched.and(shared.cache).map(|cache| cache.slot.live);
    let (live, counts_from_cache) = (before.unwrap_or(0), before.is_some());
    let mut assembler = Assembler { shared, done, changed: Vec::new(), live, counts_from_cache };
    for node in sorted.into_iter().rev().flatten() {
        let number = node.number;
        assembler.done[number] = Some(assembler.finish(node)?);
    }
    let root = assembler.done.swap_remove(0).and_then(|done| done.included);
    let (tree, root_meta) = match root {
        Some(root) => (root.tree, Some(root.meta)),
        None => (tree::write(shared.sink, &[])?, None),
    };
    let (changed, live) = (assembler.changed, assembler.live);
    Ok(Assembled { tree, root_meta, changed, live, names: Names(names) })
}

impl Assembler<'_> {
    fn finish(&mut self, node: Node) -> Result<Done, AssembleError> {
        let known = node.known;
        let known_pos = known.as_ref().map_or(Pos::NONE, |known| known.pos);
        let sum = known.as_ref().and_then(|known| known.sum);
        let (included, place, sum) = match node.state {
            State::Gone => {
                self.drop_listing(known_pos);
                return Ok(Done {
                    is_gone: true,
                    included: None,
                    place: Place::Cached(Pos::NONE),
                    differs: true,
                    moved: false,
                    sum: None,
                });
            }
            State::Settled => {
                let (included, place) = (known.and_then(|known| known.included), Place::Cached(known_pos));
                return Ok(Done { is_gone: false, differs: false, moved: false, included, place, sum });
            }
            State::Omitted { keep } => (None, Place::Cached(if keep { known_pos } else { Pos::NONE }), None),
            State::Visited(visited) => {
                let (included, place, sum) = self.visited(node.number, known_pos, sum, visited)?;
                (Some(Box::new(included)), place, sum)
            }
        };
        match place {
            Place::Cached(pos) if !self.counts_from_cache => self.live += u64::from(pos.len),
            Place::Changed => self.drop_listing(known_pos),
            Place::Cached(_) => {}
        }
        let differs = known.is_none_or(|Known { included: before, .. }| before != included);
        Ok(Done { is_gone: false, differs, moved: place != Place::Cached(known_pos), included, place, sum })
    }

    /// Counts a listing out that was counted in with the rest of the cache. Those below a directory that is gone stay
    /// counted, until everything is visited again.
    fn drop_listing(&mut self, pos: Pos) {
        if self.counts_from_cache {
            self.live = self.live.saturating_sub(u64::from(pos.len));
        }
    }

    fn visited(
        &mut self,
        number: usize,
        pos: Pos,
        sum: Option<Sum>,
        mut visited: Visited,
    ) -> Result<(Included, Place, Option<Sum>), AssembleError> {
        let below = visited.first..visited.first + visited.count;
        let (mut differs, mut moved) = (false, false);
        for done in self.done[below.clone()].iter().flatten() {
            differs |= done.differs;
            moved |= done.moved;
        }
        let tree = visited.tree.filter(|_| !differs);
        let (meta, xattrs) = (visited.meta, visited.xattrs);
        if let Some(tree) = tree
            && visited.listing.is_none()
            && !moved
        {
            return Ok((Included { meta, tree, xattrs }, Place::Cached(pos), sum));
        }
        let cached = if visited.listing.is_none() { Some(self.load(pos)?) } else { None };
        let before = visited.listing.take().or_else(|| cached.clone()).unwrap_or_default();
        let (mut listing, places) = if below.is_empty() { (before, vec![]) } else { self.fill_in(&before, below)? };
        let tree = match tree {
            Some(tree) => tree,
            None => tree::write(self.shared.sink, &entries(&listing)?)?,
        };
        listing::set_tree(&mut listing, &tree);
        let included = Included { meta, tree, xattrs };
        let sum = Listing::parse(&listing).and_then(|listing| listing.sum());
        if places.is_empty() && cached.is_some_and(|cached| cached == listing) {
            return Ok((included, Place::Cached(pos), sum));
        }
        self.live += (listing.len() + OVERHEAD_MOST) as u64;
        self.changed.push(Changed { number, bytes: listing, below: places });
        Ok((included, Place::Changed, sum))
    }

    /// A listing from the cache.
    fn load(&self, pos: Pos) -> Result<Vec<u8>, AssembleError> {
        let mut buffer = Vec::new();
        let listing = self.shared.cache.and_then(|cache| cache.read(pos, &mut buffer));
        listing.map(<[u8]>::to_vec).ok_or(AssembleError::CacheLost)
    }

    /// The listing with what the directories in it came to, and which of those have a changed listing.
    fn fill_in(&self, listing: &[u8], below: Range<usize>) -> Result<(Vec<u8>, Below), AssembleError> {
        let parsed = Listing::parse(listing).ok_or(AssembleError::CacheLost)?;
        let mut out = Vec::with_capacity(listing.len());
        parsed.head.encode(&mut out);
        let mut numbers = below;
        let (mut nth, mut places) = (0, Vec::new());
        for entry in parsed.entries() {
            if entry.kind != Kind::Dir {
                out.extend_from_slice(entry.raw);
                continue;
            }
            let number = numbers.next().ok_or(AssembleError::CacheLost)?;
            let done = self.done[number].as_ref().ok_or(AssembleError::CacheLost)?;
            if done.is_gone {
                continue;
            }
            let pos = if let Place::Cached(pos) = done.place { pos } else { Pos::NONE };
            match &done.included {
                Some(it) => Fresh::dir(entry.name, it.meta, it.tree, &it.xattrs, pos, done.sum).encode(&mut out),
                None => {
                    Fresh { size: pos.at, nlink: pos.len, ..Fresh::omitted(entry.name, Kind::Dir) }.encode(&mut out)
                }
            }
            if done.place == Place::Changed {
                places.push((nth, number));
            }
            nth += 1;
        }
        Ok((out, places))
    }
}

/// The entries of a listing that are part of the tree.
fn entries(listing: &[u8]) -> Result<Vec<Entry>, AssembleError> {
    let parsed = Listing::parse(listing).ok_or(AssembleError::CacheLost)?;
    Ok(parsed.entries().filter_map(|cached| cached.entry()).collect())
}
