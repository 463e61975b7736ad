//! Which files a recovery brought where, by what its record says.
//!
//! Owns that. Refuses to guess where there is no record.

use std::collections::BTreeMap;

use wfr_catalog::PointSeq;
use wfr_model::TreePath;
use wfr_model::change::{Actor, Change};
use wfr_model::recovery::{RecoveryKind, RecoveryRecord};

use super::history::History;
use super::tracks::Brought;
use super::verdicts;
use crate::error::Failure;
use crate::open::Open;

/// The record of the recovery that made a change; `None` where it is none, or a catalog that was built again has no record.
pub fn record_of(open: &Open, change: &Change) -> Result<Option<RecoveryRecord>, Failure> {
    match change.recovery_id.as_ref().filter(|_| change.actor == Actor::Recovery) {
        Some(id) => Ok(open.catalog.recovery(id)?),
        None => Ok(None),
    }
}

/// What a recovery brought to paths; `None` where there is no record.
pub fn of(open: &Open, change: &Change, parts: &[History]) -> Result<Option<Brought>, Failure> {
    let Some(record) = record_of(open, change)? else { return Ok(None) };
    let single = |places: Vec<(TreePath, i64)>| {
        let places: BTreeMap<TreePath, i64> = places.into_iter().collect();
        let numbered = parts.iter().enumerate();
        let here = numbered.filter_map(|(at, part)| Some((at, PointSeq(*places.get(&part.path)?))));
        Brought::Some(here.collect())
    };
    if let Some(taken) = verdicts::taken(&record.parameters) {
        return Ok(Some(single(taken.places)));
    }
    Ok(Some(match to_tree(open, &record)? {
        Some(brought) => brought,
        None => single(verdicts::places(&record.parameters)),
    }))
}

/// When a recovery's target was there, where it goes to a tree; `None` where it takes back an undo path by path.
pub fn to_tree(open: &Open, record: &RecoveryRecord) -> Result<Option<Brought>, Failure> {
    match (record.kind, &record.undoes) {
        (RecoveryKind::Undo, Some(undone)) => match open.catalog.change_of_recovery(undone)? {
            Some(row) if !verdicts::is_selective(open, record)? => Ok(Some(Brought::Before(row.seq))),
            _ => Ok(None),
        },
        // One from before the ledger is as old as anything that is known.
        _ => Ok(Some(Brought::Behind(open.catalog.point_of(&record.target)?.unwrap_or(PointSeq(0))))),
    }
}
