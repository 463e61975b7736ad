//! Places in the log that have no event any more.
//!
//! Owns how they are found: every place up to the last one that was ever given is taken. Refuses to know what was there.

use std::ops::RangeInclusive;

use rusqlite::Connection;
use wfr_model::WorkflowId;

use super::{EventSeq, GIVEN};
use crate::catalog::Catalog;
use crate::columns;
use crate::error::CatalogError;

/// Places from one to another, both included.
pub type Places = RangeInclusive<EventSeq>;

impl Catalog {
    /// The places without an event, in their order. Where there is none this looks at no event by itself.
    pub fn event_gaps(&self) -> Result<Vec<Places>, CatalogError> {
        self.read(|connection| {
            let sealed = connection.query_row("SELECT coalesce(max(upto_seq), 0) FROM seals", [], |row| row.get(0))?;
            let last = last_ever(connection)?.max(EventSeq(sealed));
            let count: i64 = count(connection)?;
            if count == last.0 {
                return Ok(vec![]);
            }
            let mut gaps = Vec::new();
            let mut next = 1;
            let mut statement = connection.prepare(&format!("SELECT seq FROM events WHERE {GIVEN} ORDER BY seq"))?;
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                let seq: i64 = row.get(0)?;
                if seq > next {
                    gaps.push(EventSeq(next)..=EventSeq(seq - 1));
                }
                next = seq.saturating_add(1);
            }
            if next <= last.0 {
                gaps.push(EventSeq(next)..=last);
            }
            Ok(gaps)
        })
    }

    /// Workflows of whose state checkpoints tell, and of which no event is there.
    pub fn eventless_workflows(&self) -> Result<Vec<WorkflowId>, CatalogError> {
        let sql = "SELECT workflow_id FROM workflows w
                   WHERE EXISTS (SELECT 1 FROM checkpoints c WHERE c.workflow_id = w.workflow_id AND c.state IS NOT NULL)
                     AND NOT EXISTS (SELECT 1 FROM events e WHERE e.workflow_id = w.workflow_id)
                   ORDER BY workflow_id";
        let mut statement = self.connection.prepare_cached(sql)?;
        let rows = statement.query_map([], |row| columns::id(row, 0))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}

fn count(connection: &Connection) -> Result<i64, CatalogError> {
    Ok(connection.query_row(&format!("SELECT count(*) FROM events WHERE {GIVEN}"), [], |row| row.get(0))?)
}

/// The last place that was ever given.
pub(super) fn last_ever(connection: &Connection) -> Result<EventSeq, CatalogError> {
    let sql = format!(
        "SELECT max((SELECT coalesce(max(seq), 0) FROM events WHERE {GIVEN}),
                    coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'events' AND {GIVEN}), 0))"
    );
    Ok(EventSeq(connection.prepare_cached(&sql)?.query_row([], |row| row.get(0))?))
}
