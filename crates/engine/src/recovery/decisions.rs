//! What somebody decided of paths at which work may not be separable.
//!
//! Owns these decisions, and what a file becomes by one. Refuses to know what they are about.

use std::collections::BTreeMap;

use wfr_model::TreePath;
use wfr_model::entry::{Content, Entry, Meta, Node};
use wfr_recovery::merge::Unit;
use wfr_store::object::hash;

use crate::params::ConflictResolution;

/// What somebody decided of paths at which work may not be separable.
#[derive(Clone, Debug, Default)]
pub struct Decisions {
    /// Paths that stay as they are.
    pub ours: Vec<TreePath>,
    /// Paths that get the other side: what was there before the first of the changes, or what the checkpoint has.
    pub theirs: Vec<TreePath>,
    /// Paths that get a content made by hand.
    pub resolved: BTreeMap<TreePath, Vec<u8>>,
    /// What is done where work cannot be separated.
    pub conflicts: ConflictResolution,
    /// Whether what is clean is done where something else is not.
    pub partial: bool,
    /// What is merged as one piece.
    pub unit: Unit,
}

/// A file with a new content and the metadata of another one.
pub fn with_text(path: &TreePath, like: Option<&Entry>, text: &[u8]) -> Entry {
    let content = Content { size: text.len() as u64, hash: hash(text), chunks: None };
    let meta = like.map_or_else(|| Meta { mode: 0o644, ..Default::default() }, |entry| entry.meta);
    let xattrs = like.map(|entry| entry.xattrs.clone()).unwrap_or_default();
    Entry { name: path.name().to_vec(), meta, node: Node::File(content), xattrs }
}
