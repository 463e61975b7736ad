//! Reading the log.
//!
//! Owns the queries over events. Refuses to format any.

use rusqlite::types::Value;
use rusqlite::{Connection, Row, params_from_iter};
use wfr_model::{Event, EventName, Timestamp, WorkflowId};

use super::kept::{self, DamagedRow};
use super::{EventRow, EventSeq, PLACE_MAX};
use crate::catalog::Catalog;
use crate::columns;
use crate::error::CatalogError;

/// Which events to list; the default is all, in their order.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct EventQuery {
    /// Of this workflow only.
    pub workflow: Option<WorkflowId>,
    /// Of one of these types; of any where empty.
    pub types: Vec<EventName>,
    /// After this place.
    pub after: Option<EventSeq>,
    /// Up to this place, itself included.
    pub upto: Option<EventSeq>,
    /// Recorded at this time or later.
    pub since: Option<Timestamp>,
    /// Only those with something odd about them.
    pub odd: bool,
    /// The newest first.
    pub descending: bool,
    /// At most so many, the first in the order asked for.
    pub limit: Option<u32>,
}

impl Catalog {
    /// Events by a query. Those that cannot be read are left out: [`Catalog::each_kept_event`] names them.
    pub fn events(&self, query: &EventQuery) -> Result<Vec<EventRow>, CatalogError> {
        let mut rows = Vec::new();
        each_kept(&self.connection, query, |row| {
            rows.extend(row.ok());
            Ok(())
        })?;
        Ok(rows)
    }

    /// Hands over events by a query one by one, however many there are.
    pub fn each_event(
        &self,
        query: &EventQuery,
        take: impl FnMut(EventRow) -> Result<(), CatalogError>,
    ) -> Result<(), CatalogError> {
        each(&self.connection, query, take)
    }
}

/// The columns that [`decode`] reads.
const COLUMNS: &str =
    "seq, event_id, event_type, workflow_id, phase, at, recorded_at, source, data, priority, ttl_seconds, odd";

/// Hands over events one by one.
pub(super) fn each(
    connection: &Connection,
    query: &EventQuery,
    mut take: impl FnMut(EventRow) -> Result<(), CatalogError>,
) -> Result<(), CatalogError> {
    each_row(connection, query, |row| take(decode(row)?))
}

/// The same, with those that cannot be read as what is damaged of them.
pub(super) fn each_kept(
    connection: &Connection,
    query: &EventQuery,
    mut take: impl FnMut(Result<EventRow, DamagedRow>) -> Result<(), CatalogError>,
) -> Result<(), CatalogError> {
    each_row(connection, query, |row| match decode(row) {
        Ok(read) => take(Ok(read)),
        Err(error) => take(Err(damaged(row, &error)?)),
    })
}

fn each_row(
    connection: &Connection,
    query: &EventQuery,
    mut take: impl FnMut(&Row<'_>) -> Result<(), CatalogError>,
) -> Result<(), CatalogError> {
    let (filter, values) = clauses(query);
    let sql = format!("SELECT {COLUMNS} FROM events {filter}");
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query(params_from_iter(values))?;
    while let Some(row) = rows.next()? {
        take(row)?;
    }
    Ok(())
}

fn damaged(row: &Row<'_>, error: &rusqlite::Error) -> rusqlite::Result<DamagedRow> {
    let seq: i64 = row.get(0)?;
    let (name, data) = (kept::text(row.get_ref(2)?), kept::text(row.get_ref(8)?));
    Ok(DamagedRow { place: format!("events/{seq}"), why: error.to_string(), text: format!("{name}: {data}") })
}

/// What comes after the columns, and its values, which are always bound.
fn clauses(query: &EventQuery) -> (String, Vec<Value>) {
    let mut terms: Vec<String> = Vec::new();
    let mut values: Vec<Value> = Vec::new();
    let mut term = |text: &str, value: Value| {
        terms.push(text.to_owned());
        values.push(value);
    };
    if let Some(workflow) = &query.workflow {
        term("workflow_id = ?", workflow.as_str().to_owned().into());
    }
    if let Some(EventSeq(after)) = query.after {
        term("seq > ?", after.into());
    }
    if let Some(EventSeq(upto)) = query.upto {
        term("seq <= ?", upto.into());
    }
    if let Some(Timestamp(since)) = query.since {
        term("recorded_at >= ?", since.into());
    }
    if !query.types.is_empty() {
        terms.push(format!("event_type IN ({})", vec!["?"; query.types.len()].join(", ")));
        values.extend(query.types.iter().map(|name| Value::from(name.as_str().to_owned())));
    }
    if query.odd {
        terms.push("odd IS NOT NULL".to_owned());
    }
    let filter = if terms.is_empty() { String::new() } else { format!("WHERE {}", terms.join(" AND ")) };
    let way = if query.descending { "DESC" } else { "ASC" };
    // A negative limit is none.
    values.push(query.limit.map_or(-1, i64::from).into());
    (format!("{filter} ORDER BY seq {way} LIMIT ?"), values)
}

fn decode(row: &Row<'_>) -> rusqlite::Result<EventRow> {
    Ok(EventRow {
        seq: place(row)?,
        recorded_at: columns::time(row, 6)?,
        odd: columns::json_or_null(row, 11)?.unwrap_or_default(),
        event: Event {
            event_id: columns::id(row, 1)?,
            event_type: columns::id(row, 2)?,
            workflow_id: columns::id_or_null(row, 3)?,
            phase: columns::id_or_null(row, 4)?,
            timestamp: columns::time(row, 5)?,
            source_component: row.get(7)?,
            data: columns::json(row, 8)?,
            priority: columns::json_or_null(row, 9)?,
            ttl_seconds: row.get::<_, Option<i64>>(10)?.map(i64::unsigned_abs),
        },
    })
}

/// The place of an event: one that the log gives.
fn place(row: &Row<'_>) -> rusqlite::Result<EventSeq> {
    let seq: i64 = row.get(0)?;
    if (1..=PLACE_MAX).contains(&seq) {
        return Ok(EventSeq(seq));
    }
    let why = "it stands at a place that the log never gives";
    Err(rusqlite::Error::FromSqlConversionFailure(0, rusqlite::types::Type::Integer, why.into()))
}
