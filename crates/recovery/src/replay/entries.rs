//! Three-way merge of what stands at a path: presence, kind, name, content and metadata, each by itself.
//!
//! Owns when two versions count as equal and what a merge of entries may be. Refuses to know edits.

use wfr_model::Digest;
use wfr_model::entry::{Content, Entry, Kind, Meta, Node};
use wfr_store::object::ReadError;

use super::texts::Texts;
use super::{ConflictKind, Version};
use crate::merge::{self, Merge, Scalar, Unit, Whole, merge3, scalar};

/// Whether two versions are the same, modification time aside, and have the same name.
pub(super) fn same(a: &Version, b: &Version) -> bool {
    match (a, b) {
        (None, None) => true,
        (Some(a), Some(b)) => is_same_but_name(a, b) && a.name == b.name,
        _ => false,
    }
}

/// Whether two versions are files, and all but what is in them is the same.
pub(super) fn same_but_content(a: &Version, b: &Version) -> bool {
    let (Some(a), Some(b)) = (a, b) else { return false };
    let are_files = [a, b].iter().all(|entry| matches!(entry.node, Node::File(_)));
    are_files && a.name == b.name && is_same_but_name(&Entry { node: b.node.clone(), ..a.clone() }, b)
}

/// A value that is equal for versions that are the [`same`].
pub(super) fn key(version: &Version) -> Version {
    let entry = version.as_ref()?;
    let (mut meta, node) = (Meta { mtime: Default::default(), ..entry.meta }, plain(&entry.node));
    if matches!(node, Node::Symlink(_)) {
        meta.mode = 0;
    }
    Some(Entry { name: entry.name.clone(), meta, node, xattrs: entry.xattrs.clone() })
}

/// A node without what says where its bytes are.
fn plain(node: &Node) -> Node {
    match node {
        Node::File(content) => Node::File(Content { chunks: None, ..*content }),
        Node::Dir(_) => Node::Dir(Digest([0; 32])),
        other => other.clone(),
    }
}

/// The content of a version that is a file.
pub(super) fn content(version: &Version) -> Option<&Content> {
    match &version.as_ref()?.node {
        Node::File(content) => Some(content),
        _ => None,
    }
}

fn owner(entry: &Entry) -> (u32, u32) {
    (entry.meta.uid, entry.meta.gid)
}

/// How a merge of entries ended.
pub(super) enum Merged {
    Clean(Version),
    /// It is deleted, though the other side is not what was deleted.
    Deleted,
    Conflict(ConflictKind),
}

/// Merges what two sides made of `base`. `theirs` are the edits that stay.
pub(super) fn merge(
    base: &Version,
    ours: &Version,
    theirs: &Version,
    texts: &mut Texts<'_>,
) -> Result<Merged, ReadError> {
    if same(ours, theirs) || same(base, theirs) {
        return Ok(Merged::Clean(ours.clone()));
    }
    if same(base, ours) {
        return Ok(Merged::Clean(theirs.clone()));
    }
    match (base, ours, theirs) {
        (_, _, None) => Ok(Merged::Deleted),
        // What would not be there cannot move.
        (Some(base), None, Some(theirs)) if is_same_but_name(base, theirs) => Ok(Merged::Clean(None)),
        (_, None, _) => Ok(Merged::Conflict(ConflictKind::RemovedCreation)),
        (None, _, _) => Ok(Merged::Conflict(ConflictKind::TwoCreations)),
        (Some(base), Some(ours), Some(theirs)) => Ok(match present(base, ours, theirs, texts)? {
            Ok(entry) => Merged::Clean(Some(entry)),
            Err(kind) => Merged::Conflict(kind),
        }),
    }
}

/// Whether nothing differs but the modification time and the name.
fn is_same_but_name(a: &Entry, b: &Entry) -> bool {
    a.same_but_time(b) && owner(a) == owner(b)
}

/// Merges three entries.
fn present(
    base: &Entry,
    ours: &Entry,
    theirs: &Entry,
    texts: &mut Texts<'_>,
) -> Result<Result<Entry, ConflictKind>, ReadError> {
    let node = match node(&base.node, &ours.node, &theirs.node, texts)? {
        Ok(node) => node,
        Err(kind) => return Ok(Err(kind)),
    };
    Ok(metadata(base, ours, theirs, node))
}

/// Metadata of the merge, around what it is.
fn metadata(base: &Entry, ours: &Entry, theirs: &Entry, node: Node) -> Result<Entry, ConflictKind> {
    let mode = match scalar(&base.meta.mode, ours.meta.mode, theirs.meta.mode) {
        Scalar::Clean(mode) => mode,
        // A symlink's mode means nothing on Linux.
        Scalar::Conflict if node.kind() == Kind::Symlink => theirs.meta.mode,
        Scalar::Conflict => return Err(ConflictKind::Mode),
    };
    let Scalar::Clean((uid, gid)) = scalar(&owner(base), owner(ours), owner(theirs)) else {
        return Err(ConflictKind::Owner);
    };
    let xattrs = merge::xattrs(&base.xattrs, &ours.xattrs, &theirs.xattrs).map_err(ConflictKind::Xattr)?;
    let meta = Meta { mode, uid, gid, mtime: theirs.meta.mtime };
    let name = match scalar(&base.name, ours.name.clone(), theirs.name.clone()) {
        Scalar::Clean(name) => name,
        // Whoever moved it last and stays has the word.
        Scalar::Conflict => theirs.name.clone(),
    };
    Ok(Entry { name, meta, node, xattrs })
}

/// Merges what entries are: one side's, or a text of both.
fn node(
    base: &Node,
    ours: &Node,
    theirs: &Node,
    texts: &mut Texts<'_>,
) -> Result<Result<Node, ConflictKind>, ReadError> {
    let (b, o, t) = (plain(base), plain(ours), plain(theirs));
    if o == t || b == t {
        return Ok(Ok(ours.clone()));
    }
    if b == o {
        return Ok(Ok(theirs.clone()));
    }
    match (base, ours, theirs) {
        (Node::File(base), Node::File(ours), Node::File(theirs)) => {
            Ok(text([base, ours, theirs], texts)?.map(Node::File))
        }
        (Node::Symlink(_), Node::Symlink(_), Node::Symlink(_)) => Ok(Err(ConflictKind::LinkTarget)),
        _ => Ok(Err(ConflictKind::Kind)),
    }
}

/// Merges three different contents.
fn text(sides: [&Content; 3], texts: &mut Texts<'_>) -> Result<Result<Content, ConflictKind>, ReadError> {
    // Looked at before anything is read.
    if sides.iter().any(|content| content.size > merge::BYTES_MAX) {
        return Ok(Err(ConflictKind::TooLarge));
    }
    let [base, ours, theirs] = sides;
    let (base, ours, theirs) = (texts.get(base)?, texts.get(ours)?, texts.get(theirs)?);
    let mut merged = merge3(&base, &ours, &theirs, Unit::Lines);
    if texts.unit == Unit::Words && matches!(merged, Merge::Conflict(_)) {
        merged = merge3(&base, &ours, &theirs, Unit::Words);
        texts.merged_words |= matches!(merged, Merge::Clean(_));
    }
    Ok(match merged {
        Merge::Clean(text) => Ok(texts.make(text)),
        Merge::Conflict(hunks) => Err(ConflictKind::Lines(hunks)),
        Merge::Whole(Whole::Binary) => Err(ConflictKind::Binary),
        Merge::Whole(Whole::TooLarge) => Err(ConflictKind::TooLarge),
        Merge::Whole(Whole::TooDifferent) => Err(ConflictKind::TooDifferent),
    })
}
