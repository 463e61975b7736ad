//! Values of workflow recovery: ids, paths, tree entries, checkpoints, retention, plans, findings.
//!
//! Owns the words of the product as types, and the pure rules over them. Refuses to know the disk, the
//! clock, the environment, the terminal and every other crate of this workspace.

pub mod checkpoint;
pub mod config;
pub mod coverage;
pub mod digest;
pub mod entry;
pub mod finding;
pub mod ids;
pub mod path;
pub mod plan;
pub mod recovery;
pub mod retention;
pub mod time;

pub use digest::Digest;
pub use ids::{CheckpointId, OperationId, PackId, RecoveryId, WorkflowId};
pub use path::TreePath;
pub use time::{FileTime, Span, Timestamp};
