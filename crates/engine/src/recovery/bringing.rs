//! Who made changes, and which files a recovery brought where, by what its record says.
//!
//! Owns that, and that each is looked up once. Refuses to guess where there is no record.

use std::collections::{BTreeMap, BTreeSet};

use wfr_catalog::{ChangeSeq, NewPoint, PointSeq};
use wfr_model::TreePath;
use wfr_model::change::{Actor, Change};
use wfr_model::recovery::{RecoveryKind, RecoveryRecord};

use super::history::{History, is_recorded, unrecorded_seq};
use super::telling::name_of;
use super::tracks::Brought;
use super::verdicts;
use crate::error::Failure;
use crate::open::Open;

/// Who made a change.
pub enum Maker {
    /// Somebody, by name.
    Somebody(String),
    /// A recovery, with what its record says of places; `None`: a catalog that was built again has no record.
    Recovery(Option<Places>),
    /// It is not known, or there are several.
    Unknown,
}

/// Where a recovery brought files.
pub enum Places {
    /// Each to where it was in a tree.
    Tree(Brought),
    /// These paths have files again that were there behind a point; all others it left where they were.
    Some(BTreeMap<TreePath, PointSeq>),
}

impl Places {
    /// What a recovery's record says of it.
    pub fn of(open: &Open, record: &RecoveryRecord) -> Result<Self, Failure> {
        let places = match verdicts::taken(&record.parameters) {
            Some(taken) => taken.places,
            None => match to_tree(open, record)? {
                Some(brought) => return Ok(Self::Tree(brought)),
                None => verdicts::lifting(&record.parameters).places,
            },
        };
        Ok(Self::Some(places.into_iter().map(|(path, point)| (path, PointSeq(point))).collect()))
    }

    /// The same by the numbers of paths.
    pub fn numbered(&self, parts: &[History]) -> Brought {
        match self {
            Self::Tree(brought) => brought.clone(),
            Self::Some(places) => {
                let numbered = parts.iter().enumerate();
                Brought::Some(numbered.filter_map(|(at, part)| Some((at, *places.get(&part.path)?))).collect())
            }
        }
    }
}

/// The makers of changes.
pub struct Makers<'m> {
    open: &'m Open,
    /// What a look found that the ledger does not have yet.
    unrecorded: Option<&'m NewPoint>,
    known: BTreeMap<ChangeSeq, Maker>,
}

impl<'m> Makers<'m> {
    /// None is looked up yet.
    pub fn new(open: &'m Open, unrecorded: Option<&'m NewPoint>) -> Self {
        Self { open, unrecorded, known: BTreeMap::new() }
    }

    /// Who made a change.
    pub fn of(&mut self, change: ChangeSeq) -> Result<&Maker, Failure> {
        if !self.known.contains_key(&change) {
            let maker = self.look_up(change)?;
            self.known.insert(change, maker);
        }
        Ok(self.known.entry(change).or_insert(Maker::Unknown))
    }

    fn look_up(&self, change: ChangeSeq) -> Result<Maker, Failure> {
        if !is_recorded(change) {
            return Ok(self.unrecorded(change).map_or(Maker::Unknown, Maker::Somebody));
        }
        let Some(row) = self.open.catalog.change_at(change)? else { return Ok(Maker::Unknown) };
        let Change { actor, recovery_id, .. } = &row.change;
        if *actor != Actor::Recovery {
            return Ok(Maker::Somebody(name_of(&row.change)));
        }
        let record = recovery_id.as_ref().map(|id| self.open.catalog.recovery(id)).transpose()?.flatten();
        Ok(Maker::Recovery(record.map(|record| Places::of(self.open, &record)).transpose()?))
    }

    /// Whose all that is which a look found under a number.
    fn unrecorded(&self, change: ChangeSeq) -> Option<String> {
        let new = self.unrecorded.into_iter().flat_map(|point| &point.changes).map(|new| &new.change);
        let names: BTreeSet<String> = new.filter(|new| unrecorded_seq(new) == change).map(name_of).collect();
        names.first().filter(|_| names.len() == 1).cloned()
    }
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
