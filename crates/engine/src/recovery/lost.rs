//! Recoveries of which the ledger tells and whose records are lost: a catalog that was built again knows what checkpoints seal.
//!
//! Owns what brings back what one took. Refuses to guess which checkpoint saved the tree before it: with another recovery in
//! between it is none of its own.

use wfr_catalog::{ChangeFilter, ChangeRow, ListQuery, SortBy};
use wfr_model::change::Actor;
use wfr_model::checkpoint::SAFETY_TAG;
use wfr_model::{CheckpointId, RecoveryId};

use crate::error::Failure;
use crate::open::Open;

/// What brings back what a recovery took.
pub struct WayBack {
    /// Whether no record of the recovery is left, so that it cannot be undone.
    pub is_lost: bool,
    /// What to do, for people.
    pub fix: String,
}

/// The way back from a recovery, of which `row` is the change.
pub fn way_back(open: &Open, id: &RecoveryId, row: &ChangeRow) -> Result<WayBack, Failure> {
    if open.catalog.recovery(id)?.is_some() {
        return Ok(WayBack { is_lost: false, fix: format!("`wfr undo {id}` brings back what it took") });
    }
    let fix = match saved_before(open, row)? {
        Some(safety) => format!(
            "`wfr restore {safety} --restoration-mode merge` brings back what it took, and leaves later work: that \
             checkpoint saved the tree before it"
        ),
        None => format!(
            "`wfr restore CHECKPOINT --restoration-mode merge` brings back what it took, and leaves later work, from a \
             checkpoint of before {}: `wfr list-checkpoints` shows them",
            row.change.started_at
        ),
    };
    Ok(WayBack { is_lost: true, fix })
}

/// The checkpoint that saved the tree before a recovery, as far as times tell: the last such one, where no other recovery was
/// between the two.
fn saved_before(open: &Open, row: &ChangeRow) -> Result<Option<CheckpointId>, Failure> {
    let query = ListQuery {
        workflow: row.change.author.workflow_id.clone(),
        tags: vec![SAFETY_TAG.to_owned()],
        until: Some(row.change.started_at),
        sort_by: SortBy::CreationTime,
        descending: true,
        ..ListQuery::default()
    };
    let Some(safety) = open.catalog.list(&query)?.into_iter().find(|one| one.is_safety()) else { return Ok(None) };
    let (actors, since) = (vec![Actor::Recovery], Some(safety.created_at));
    let since = open.catalog.changes(&ChangeFilter { actors, since, ..ChangeFilter::default() })?;
    let is_its_own = since.iter().all(|other| other.seq >= row.seq);
    Ok((is_its_own && safety.is_sound()).then_some(safety.checkpoint_id))
}
