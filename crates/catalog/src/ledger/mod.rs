//! The ledger: points (looks at the tree), changes, and what was found at which path.
//!
//! Owns that points follow one another without a gap, and that a segment begins where the path's last one ended. Refuses
//! to know what an entry is and how paths read: both are bytes here, sealed where the store is encrypted.

mod aside;
mod changes;
mod faults;
mod points;
mod sealed;
mod segments;

use rusqlite::Connection;
use serde::{Deserialize, Serialize};
use wfr_model::change::{Change, Evidence, Source};
use wfr_model::{ChangeId, CheckpointId, Digest, Timestamp, WorkflowId};

use crate::catalog::Catalog;
use crate::error::CatalogError;

pub use changes::{ChangeFilter, ChangeRow, ChangeSeq, OfPhase};
pub use faults::{Judge, LedgerFault, LedgerValue};
pub use points::Present;
pub(crate) use sealed::put_seal;
pub use sealed::{LedgerPart, LedgerSeal, SealedLedger};
pub use segments::{PathChain, SegmentRow};

/// A point's place in the order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct PointSeq(pub i64);

/// The number by which the ledger knows a path.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct PathId(pub i64);

/// A path as the ledger keeps it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct PathKey {
    /// Finds it; the same for the same path.
    #[serde(with = "sealed::bytes")]
    pub key: Vec<u8>,
    /// The path itself where the key is not.
    #[serde(with = "sealed::maybe")]
    pub sealed: Option<Vec<u8>>,
}

/// What was found at a path.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct NewSegment {
    /// Where.
    pub path: PathKey,
    /// Whose it is.
    pub change: ChangeId,
    /// Whether it is, by definition, what replaying the live changes gives.
    pub replayed: bool,
    /// What was there before; `None`: nothing.
    #[serde(with = "sealed::maybe")]
    pub before: Option<Vec<u8>>,
    /// What is there now; `None`: nothing.
    #[serde(with = "sealed::maybe")]
    pub after: Option<Vec<u8>>,
}

/// A change that begins, or that ends as soon as it is recorded.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct NewChange {
    /// It.
    pub change: Change,
    /// Paths that whoever announced it named, as text; empty where it may write anywhere.
    pub declared: Vec<String>,
    /// The open change that it is a part of.
    pub parent: Option<ChangeId>,
}

/// What is known of a change when it ends, and was not when it began.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Closing {
    /// Which change; it is among those that end.
    pub change_id: ChangeId,
    /// How it is known whose the change is.
    pub source: Source,
    /// How sure that is.
    pub confidence: f64,
    /// What is known of the command.
    pub evidence: Option<Evidence>,
}

impl Closing {
    /// What a change says that has ended.
    pub(crate) fn of(change: &Change) -> Self {
        let Change { change_id, source, confidence, evidence, .. } = change.clone();
        Self { change_id, source, confidence, evidence }
    }
}

/// A word on whether a change counts at a path.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Cancellation {
    /// Where.
    pub path: PathKey,
    /// Which change.
    pub change: ChangeId,
    /// The change that says so.
    pub by: ChangeId,
    /// Whether it is taken back, or brought back.
    pub cancelled: bool,
}

/// A look at the tree, and all that goes with it.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct NewPoint {
    /// The point that it follows; `None`: it is the first.
    pub after: Option<PointSeq>,
    /// When.
    pub at: Timestamp,
    /// The tree, where it was stored whole.
    pub tree: Option<Digest>,
    /// Whatever was changed later than this, by its stamps, the look may not have seen; in nanoseconds. `None`: it looked at some
    /// paths only.
    #[serde(skip)]
    pub as_of: Option<i64>,
    /// The checkpoint that was taken with it.
    pub checkpoint_id: Option<CheckpointId>,
    /// A workflow that is registered with it where it is not known.
    pub workflow: Option<WorkflowId>,
    /// Changes that begin, before the segments that are theirs.
    pub changes: Vec<NewChange>,
    /// What was found.
    pub segments: Vec<NewSegment>,
    /// What is taken back or brought back.
    pub cancellations: Vec<Cancellation>,
    /// What was read, by which change.
    #[serde(default)]
    pub reads: Vec<(PathKey, ChangeId)>,
    /// Changes that end with it.
    pub ended: Vec<ChangeId>,
    /// What is known of some of these.
    #[serde(default)]
    pub closings: Vec<Closing>,
}

impl NewPoint {
    /// A point at which nothing was found.
    pub fn new(after: Option<PointSeq>, at: Timestamp) -> Self {
        Self {
            after,
            at,
            tree: None,
            as_of: None,
            checkpoint_id: None,
            workflow: None,
            changes: vec![],
            segments: vec![],
            cancellations: vec![],
            reads: vec![],
            ended: vec![],
            closings: vec![],
        }
    }
}

impl Catalog {
    /// Records a point. The packs must be synced up to `extents` before.
    ///
    /// [`CatalogError::PointTaken`] where another process looked meanwhile: look again. [`CatalogError::NotFound`]
    /// where a change is not known, or not open.
    pub fn commit_point(&self, new: &NewPoint, extents: &[(wfr_model::PackId, u64)]) -> Result<PointSeq, CatalogError> {
        self.write(|transaction| {
            crate::packs::advance(transaction, extents)?;
            insert(transaction, new)
        })
    }
}

/// Records a point within the caller's transaction.
pub(crate) fn insert(connection: &Connection, new: &NewPoint) -> Result<PointSeq, CatalogError> {
    let last = points::last(connection)?;
    if last != new.after {
        return Err(CatalogError::PointTaken);
    }
    aside::check_numbers(connection)?;
    if let Some(workflow) = &new.workflow {
        crate::workflows::insert(connection, workflow, new.at)?;
    }
    let point = points::insert(connection, new)?;
    for change in &new.changes {
        changes::insert(connection, change, None)?;
    }
    segments::insert(connection, point, new)?;
    for id in &new.ended {
        let closing = new.closings.iter().find(|closing| closing.change_id == *id);
        changes::end(connection, id, new.at, closing)?;
    }
    Ok(point)
}
