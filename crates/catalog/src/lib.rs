//! Durable facts: checkpoints, packs, workflows, events, recoveries, holds and the audit trail, in one SQLite file.
//!
//! Owns what is committed and in which order: a checkpoint exists from the moment its row is committed here, and
//! the catalog's sequence, never a clock, says which one is newer. Refuses to know bytes and trees (it keeps digests),
//! to read a clock (callers pass the time), to mint an id, and to open its file but through SQLite.

mod catalog;
pub mod checkpoints;
mod columns;
mod error;
pub mod events;
pub mod failures;
pub mod holds;
pub mod ledger;
mod near;
pub mod operations;
pub mod outbox;
pub mod packs;
pub mod rebuild;
pub mod recoveries;
pub mod references;
pub mod schema;
pub mod takeover;
mod veil;
pub mod workflows;

pub use catalog::{Catalog, IntegrityLevel, VaultIdentity};
pub use checkpoints::{
    ChainLink, CheckpointRow, Head, ListQuery, NewCheckpoint, Root, Seq, SortBy, Sparing, WhileHeld,
};
pub use error::CatalogError;
pub use events::{
    Appended, DamagedRow, Decision, EventQuery, EventRow, EventSeq, Guarded, Kept, Leaf, Notable, PartKind, Places,
    RecoveredEvent, Seal, Snapshot, Together, Unstored,
};
pub use failures::FailureRow;
pub use holds::{Acquired, FencingToken, Hold, HoldRequest, Holder, Owner};
pub use ledger::{
    Cancellation, ChangeFilter, ChangeRow, ChangeSeq, Closing, Judge, LedgerFault, LedgerPart, LedgerSeal, LedgerValue,
    NewChange, NewPoint, NewSegment, OfPhase, PathChain, PathId, PathKey, PointSeq, Present, SealedLedger, SegmentRow,
};
pub use operations::{NewOperation, OperationRow};
pub use outbox::{Backlog, Cursor, DeadLetter, MessageRow, NewMessage, Outgoing, Subscription};
pub use packs::{Generation, PackRow, PackState};
pub use rebuild::{Brought, Import};
pub use recoveries::{Beside, DamagedRecord, RecoveryEnd, RecoveryFilter, Taking, Took};
pub use references::{Reference, ReferenceError};
pub use takeover::{Left, Part};
pub use veil::{Opening, Sealing, Unopened, Veil};
pub use workflows::WorkflowRow;
