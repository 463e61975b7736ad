//! What stands at a path: kind, metadata, content.
//!
//! Owns the value that scan, trees, plans and differences share. Refuses to encode it: the binary form of trees
//! belongs to the store.

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::time::FileTime;

/// Permission bits kept of a mode: `rwxrwxrwx`, set-uid, set-gid and sticky.
pub const MODE_MASK: u32 = 0o7777;

/// The metadata that every entry has.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Meta {
    /// Permission bits only, within [`MODE_MASK`].
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Time of last modification.
    pub mtime: FileTime,
}

/// A regular file's content.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Content {
    /// Length in bytes.
    pub size: u64,
    /// SHA-256 of the whole content, as `sha256sum` prints it.
    pub hash: Digest,
    /// Where the content is cut into chunks: the object that lists them. `None`: one blob, whose id is `hash`.
    pub chunks: Option<Digest>,
}

/// What an entry is.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Node {
    /// A regular file.
    File(Content),
    /// A directory, by the id of its tree object.
    Dir(Digest),
    /// A symbolic link and the bytes it points to.
    Symlink(Vec<u8>),
    /// A named pipe: recorded, never created by a restore.
    Fifo,
    /// A local socket: recorded, never created by a restore.
    Socket,
}

/// The kind of an entry, as shown to people and written in JSON.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A regular file.
    File,
    /// A directory.
    Dir,
    /// A symbolic link.
    Symlink,
    /// A named pipe.
    Fifo,
    /// A local socket.
    Socket,
}

/// One extended attribute: its full name (`user.x`) and its value.
pub type Xattr = (Vec<u8>, Vec<u8>);

/// One entry of a directory.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Entry {
    /// Its name, valid by [`crate::path::check_component`].
    pub name: Vec<u8>,
    /// Its metadata.
    pub meta: Meta,
    /// What it is.
    pub node: Node,
    /// Extended attributes, sorted by name.
    pub xattrs: Vec<Xattr>,
}

impl Node {
    /// Its kind.
    pub fn kind(&self) -> Kind {
        match self {
            Self::File(_) => Kind::File,
            Self::Dir(_) => Kind::Dir,
            Self::Symlink(_) => Kind::Symlink,
            Self::Fifo => Kind::Fifo,
            Self::Socket => Kind::Socket,
        }
    }

    /// Whether it is a pipe or a socket, which a restore neither creates nor removes.
    pub fn is_special(&self) -> bool {
        matches!(self, Self::Fifo | Self::Socket)
    }
}

impl Entry {
    /// Whether two entries are of one kind and hold the same bytes or target; directories by kind alone.
    pub fn same_content(&self, other: &Self) -> bool {
        match (&self.node, &other.node) {
            (Node::Dir(_), Node::Dir(_)) => true,
            (Node::File(a), Node::File(b)) => a.hash == b.hash && a.size == b.size,
            (a, b) => a == b,
        }
    }

    /// Whether two entries hold the same thing, modification time and owner aside; directories by kind alone.
    pub fn same_but_time(&self, other: &Self) -> bool {
        let node = self.same_content(other);
        // A symlink's mode means nothing on Linux.
        let mode = self.meta.mode == other.meta.mode || matches!(self.node, Node::Symlink(_));
        node && mode && self.xattrs == other.xattrs
    }
}
