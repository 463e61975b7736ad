//! Values of workflow recovery: ids, paths, tree entries, checkpoints, retention, plans, findings.
//!
//! Owns the words of the product as types, and the pure rules over them. Refuses to know the disk, the
//! clock, the environment, the terminal and every other crate of this workspace.

pub mod change;
pub mod checkpoint;
pub mod config;
pub mod coordination;
pub mod coverage;
pub mod digest;
pub mod entry;
pub mod event;
pub mod finding;
pub mod ids;
pub mod imported;
pub mod json;
pub mod message;
pub mod path;
pub mod phase;
pub mod plain;
pub mod plan;
pub mod recovery;
pub mod retention;
pub mod time;
pub mod workflow;

pub use digest::Digest;
pub use event::{Event, EventName, EventType};
pub use ids::{
    AgentId, AllocationId, ChangeId, CheckpointId, EventId, FailureId, OperationId, PackId, RecoveryId, TaskId,
    WorkflowId,
};
pub use path::TreePath;
pub use phase::PhaseId;
pub use time::{FileTime, Span, Timestamp};
