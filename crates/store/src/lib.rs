//! Durable bytes: objects in packs, trees over them, scans of a workspace into trees, verification, cleanup.
//!
//! Owns the vault's files but for the catalog. Refuses to know what a checkpoint means, which are kept, and who
//! asked; what was committed is told to it as [`pack::Extent`]s.

pub mod archive;
pub mod content;
pub mod crypto;
pub mod disk;
pub mod gc;
pub mod index;
pub mod keycheck;
pub mod keys;
pub mod lease;
pub mod links;
pub mod object;
pub mod pack;
pub mod reach;
pub mod reader;
pub mod record;
pub mod reserve;
pub mod scan;
pub mod sparse;
pub mod state;
pub mod tree;
pub mod unique;
pub mod vault;
pub mod writer;

pub use object::{ObjectKind, Objects, ReadError, Sink, WriteError};
pub use reader::Store;
pub use vault::Vault;
