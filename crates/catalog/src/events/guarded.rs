//! Appending what was decided over a state, only while that state still stands.
//!
//! Owns the guard. Refuses to decide anything again: the caller does.

use rusqlite::{Connection, OptionalExtension};
use wfr_model::recovery::RecoveryRecord;
use wfr_model::{Event, Timestamp, WorkflowId};

use super::{Appended, append, states};
use crate::catalog::Catalog;
use crate::error::CatalogError;
use crate::operations::{self, NewOperation};
use crate::recoveries;
use crate::veil::Veil;

/// What became of events that were to be appended to a state of a certain version.
#[derive(Clone, PartialEq, Debug)]
pub enum Guarded {
    /// They were appended; one answer for each.
    Appended(Vec<Appended>),
    /// The state has this version now, and nothing was appended.
    Stale(u64),
}

/// What was decided over a workflow's state as it was, and what is recorded in one step with it.
#[derive(Clone, Copy, Debug)]
pub struct Decision<'d> {
    /// Whose state.
    pub workflow: &'d WorkflowId,
    /// What [`Catalog::state_seq`] said before the state was read.
    pub over: Option<i64>,
    /// The recovery as which it can be undone, with its end; `None` where it cannot.
    pub recovery: Option<&'d RecoveryRecord>,
    /// Its line in the audit trail.
    pub audit: &'d NewOperation,
}

impl Decision<'_> {
    /// Whether the state still is the one that it was made over; within the caller's transaction.
    pub(super) fn stands(&self, connection: &Connection) -> Result<bool, CatalogError> {
        Ok(seq(connection, self.workflow)? == self.over)
    }

    /// Records what goes with it, within the caller's transaction.
    pub(super) fn record(&self, connection: &Connection, veil: Option<&Veil>) -> Result<(), CatalogError> {
        self.recovery.map_or(Ok(()), |record| recoveries::insert_ended(connection, veil, record))?;
        operations::insert(connection, self.audit)
    }
}

impl Catalog {
    /// Appends events if the newest event of each of these workflows' states is still the one of [`Catalog::state_seq`];
    /// `None` where one is not, and nothing changed.
    pub fn append_events_if(
        &self,
        over: &[(&WorkflowId, Option<i64>)],
        events: &[Event],
        now: Timestamp,
    ) -> Result<Option<Vec<Appended>>, CatalogError> {
        self.write(|transaction| {
            for (workflow, expected) in over {
                if seq(transaction, workflow)? != *expected {
                    return Ok(None);
                }
            }
            append(transaction, events, now).map(Some)
        })
    }

    /// Appends the event of a decision, and records what goes with it; `None` where the state is another one by now, and
    /// nothing changed.
    pub fn append_decided(
        &self,
        decision: &Decision<'_>,
        event: &Event,
        now: Timestamp,
    ) -> Result<Option<Vec<Appended>>, CatalogError> {
        self.write(|transaction| {
            if !decision.stands(transaction)? {
                return Ok(None);
            }
            let appended = append(transaction, std::slice::from_ref(event), now)?;
            decision.record(transaction, self.veil.as_ref())?;
            Ok(Some(appended))
        })
    }

    /// Appends events where a workflow's state has a version that will do; nobody changes it meanwhile. Where there is no state
    /// yet its version is 0.
    pub fn append_events_at(
        &self,
        workflow: &WorkflowId,
        will_do: impl FnOnce(u64) -> bool,
        events: &[Event],
        now: Timestamp,
    ) -> Result<Guarded, CatalogError> {
        self.write(|transaction| {
            let version = states::load(transaction, workflow)?.map_or(0, |state| state.head.state_version);
            if !will_do(version) {
                return Ok(Guarded::Stale(version));
            }
            append(transaction, events, now).map(Guarded::Appended)
        })
    }

    /// The place of the newest event that a workflow's state has in it; `None` where it has no state, or one of which nobody
    /// can read that.
    pub fn state_seq(&self, workflow: &WorkflowId) -> Result<Option<i64>, CatalogError> {
        seq(&self.connection, workflow)
    }
}

fn seq(connection: &Connection, workflow: &WorkflowId) -> Result<Option<i64>, CatalogError> {
    let mut statement = connection.prepare_cached("SELECT seq FROM states WHERE workflow_id = ?1")?;
    // Whatever is appended puts a number there, so what cannot be read tells a change, too.
    Ok(statement.query_row([workflow.as_str()], |row| Ok(row.get(0).ok())).optional()?.flatten())
}
