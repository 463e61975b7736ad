//! Rollbacks of one workflow that reset tasks one after another, and may be undone in any order.
//!
//! Owns the state that would have been before one of them without those that are undone by now, and which tasks others keep reset.
//! Refuses to know what stands in files: that is [`super::standing`].

use std::collections::BTreeSet;

use wfr_catalog::RecoveryFilter;
use wfr_model::recovery::{RecoveryRecord, RecoveryStatus};
use wfr_model::workflow::Whole;
use wfr_model::{RecoveryId, TaskId};
use wfr_store::Objects;

use super::{aim, verdicts};
use crate::error::Failure;
use crate::open::Open;
use crate::state;

/// So many of the newest recoveries are looked at.
const LOOKED_AT: u32 = 256;

/// The recoveries of a workflow around one that is to be undone.
pub struct Others {
    /// Oldest first.
    records: Vec<RecoveryRecord>,
    /// Which of them is to be undone.
    own: usize,
}

/// Whether one reset tasks, rather than going to a state or undoing another one.
fn is_rollback(record: &RecoveryRecord) -> bool {
    record.undoes.is_none() && verdicts::taken(&record.parameters).is_some()
}

impl Others {
    /// Those around a rollback; `None` where it is none.
    pub fn of(open: &Open, undone: &RecoveryRecord) -> Result<Option<Self>, Failure> {
        if !is_rollback(undone) {
            return Ok(None);
        }
        let filter = RecoveryFilter { workflow: Some(undone.workflow_id.clone()), ..RecoveryFilter::default() };
        let mut records = open.catalog.recoveries_bare(&filter, LOOKED_AT)?;
        records.reverse();
        let own = records.iter().position(|record| record.recovery_id == undone.recovery_id);
        Ok(own.map(|own| Self { records, own }))
    }

    /// The state before it as it would have been without those before it that counted then, and are undone by now. What of them
    /// cannot be read any more is left as it was.
    pub fn without_undone(&self, open: &Open, objects: &dyn Objects, before: Whole) -> Result<Whole, Failure> {
        let all = self.records.len();
        let is_undone_since = |at: &usize| self.stands(*at, self.own) && !self.stands(*at, all);
        let mut state = before;
        for at in (0..self.own).rev().filter(is_undone_since) {
            let record = &self.records[at];
            if let Some((before, left)) = around(open, objects, record)? {
                state = before.taken_back(&left, &state).state;
            }
        }
        Ok(state)
    }

    /// The state before it in which the tasks that later rollbacks keep reset are as it left them: they stay so.
    pub fn keeping_reset(&self, mut before: Whole, left: &Whole) -> Whole {
        let all = self.records.len();
        let later = (self.own + 1..all).filter(|at| self.stands(*at, all)).map(|at| &self.records[at]);
        let taken = later.filter(|record| is_rollback(record)).filter_map(|record| verdicts::taken(&record.parameters));
        let reset: BTreeSet<TaskId> = taken.flat_map(|taken| taken.tasks).collect();
        for id in reset {
            if let Some(task) = left.tasks.get(&id) {
                before.tasks.insert(id, task.clone());
            }
        }
        before
    }

    /// Whether one counts, given those that come before another one.
    fn stands(&self, at: usize, upto: usize) -> bool {
        let record = &self.records[at];
        let by = record.undone_by.as_ref().and_then(|by| self.place(by)).filter(|by| *by < upto);
        let was_done = matches!(record.status, RecoveryStatus::Done | RecoveryStatus::Partial);
        // Who undoes comes later, so this ends.
        was_done && by.is_none_or(|by| by <= at || !self.stands(by, upto))
    }

    fn place(&self, id: &RecoveryId) -> Option<usize> {
        self.records.iter().position(|record| record.recovery_id == *id)
    }
}

/// The states before and behind a rollback; `None` where it is none, left the state alone, or that is not known any more.
fn around(open: &Open, objects: &dyn Objects, record: &RecoveryRecord) -> Result<Option<(Whole, Whole)>, Failure> {
    let Some(safety) = record.safety_checkpoint.as_ref().filter(|_| is_rollback(record)) else { return Ok(None) };
    let Some(row) = open.catalog.checkpoint(safety)? else { return Ok(None) };
    let read = || {
        let Some(before) = state::of_checkpoint(objects, &row)? else { return Ok(None) };
        Ok(aim::left(open, objects, record, &before)?.map(|left| (before, left)))
    };
    match read() {
        Err(failure) if aim::is_damage(&failure) => Ok(None),
        read => read,
    }
}
