//! What the workers of a scan bring home.
//!
//! Owns the values between walking and putting together. Refuses both.

use std::ffi::CString;

use wfr_model::Digest;
use wfr_model::coverage::SkipReason;
use wfr_model::entry::Meta;

use super::task::Known;
use super::{Counts, ReadCounts};

/// What one worker found, or all of them together.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub nodes: Vec<Node>,
    pub skips: Vec<Skipped>,
    pub linked: Vec<Linked>,
    /// Directories on another mount than their parents.
    pub mounts: Vec<usize>,
    pub counts: Counts,
    pub read: ReadCounts,
}

/// One directory that was visited.
#[derive(Debug)]
pub(super) struct Node {
    pub number: usize,
    pub parent: usize,
    pub name: Box<[u8]>,
    pub known: Option<Known>,
    pub state: State,
}

/// What became of a visit.
#[derive(Debug)]
pub(super) enum State {
    /// The directory is not there any more.
    Gone,
    /// It is not part of the tree.
    Omitted {
        /// Whether what the cache knows of it may still be of use.
        keep: bool,
    },
    /// It is what the cache knows, all below included.
    Settled,
    Visited(Visited),
}

/// A directory whose entries are known.
#[derive(Debug)]
pub(super) struct Visited {
    pub meta: Meta,
    pub xattrs: Box<[u8]>,
    /// The numbers of the directories in it, in the order of their names: the first, and how many.
    pub first: usize,
    pub count: usize,
    /// The tree from the cache: what is not a directory is as it was, and the store holds it.
    pub tree: Option<Digest>,
    /// Its new listing, where that differs from the cached one.
    pub listing: Option<Vec<u8>>,
}

/// Something that is not part of the tree.
#[derive(Debug)]
pub(super) struct Skipped {
    pub dir: usize,
    /// The entry; `None` for the directory itself.
    pub name: Option<CString>,
    pub reason: SkipReason,
    pub bytes: Option<u64>,
    pub detail: Option<String>,
}

/// A file with more than one name.
#[derive(Debug)]
pub(super) struct Linked {
    pub dev: u64,
    pub ino: u64,
    pub dir: usize,
    pub name: CString,
}

impl Found {
    /// Adds what another worker found.
    pub(super) fn merge(&mut self, other: Self) {
        self.nodes.extend(other.nodes);
        self.skips.extend(other.skips);
        self.linked.extend(other.linked);
        self.mounts.extend(other.mounts);
        self.counts.files += other.counts.files;
        self.counts.directories += other.counts.directories;
        self.counts.bytes += other.counts.bytes;
        self.read.files += other.read.files;
        self.read.bytes += other.read.bytes;
    }
}
