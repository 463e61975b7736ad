//! Appending what was decided over a state, only while that state still stands.
//!
//! Owns the guard. Refuses to decide anything again: the caller does.

use rusqlite::OptionalExtension;
use wfr_model::{Event, Timestamp, WorkflowId};

use super::{Appended, append, states};
use crate::catalog::Catalog;
use crate::error::CatalogError;

/// What became of events that were to be appended to a state of a certain version.
#[derive(Clone, PartialEq, Debug)]
pub enum Guarded {
    /// They were appended; one answer for each.
    Appended(Vec<Appended>),
    /// The state has this version now, and nothing was appended.
    Stale(u64),
}

impl Catalog {
    /// Appends events if the newest event of a workflow's state is still the one of [`Catalog::state_seq`]; `None`
    /// where it is not, and nothing changed.
    pub fn append_events_if(
        &self,
        workflow: &WorkflowId,
        expected: Option<i64>,
        events: &[Event],
        now: Timestamp,
    ) -> Result<Option<Vec<Appended>>, CatalogError> {
        self.write(|transaction| {
            if seq(transaction, workflow)? != expected {
                return Ok(None);
            }
            append(transaction, events, now).map(Some)
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

    /// The place of the newest event that a workflow's state has in it; `None` where it has no state.
    pub fn state_seq(&self, workflow: &WorkflowId) -> Result<Option<i64>, CatalogError> {
        seq(&self.connection, workflow)
    }
}

fn seq(connection: &rusqlite::Connection, workflow: &WorkflowId) -> Result<Option<i64>, CatalogError> {
    let mut statement = connection.prepare_cached("SELECT seq FROM states WHERE workflow_id = ?1")?;
    Ok(statement.query_row([workflow.as_str()], |row| row.get(0)).optional()?)
}
