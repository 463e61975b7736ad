//! Failures that were reported: an index over the events that hold the reports.
//!
//! Owns looking them up. Refuses to hold anything that the event does not: it can be made again from events.

use rusqlite::{Connection, OptionalExtension, Row, named_params};
use serde_json::Value;
use wfr_model::{Event, EventId, EventType, FailureId, WorkflowId};

use crate::catalog::Catalog;
use crate::columns;
use crate::error::CatalogError;
use crate::events::EventSeq;

/// A failure that was reported.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FailureRow {
    /// Its id.
    pub failure_id: FailureId,
    /// The event that has the whole report.
    pub seq: EventSeq,
    /// In which workflow.
    pub workflow_id: Option<WorkflowId>,
    /// `execution`, `resource`, `dependency`, `state` or `system`.
    pub category: Option<String>,
    /// `critical`, `high`, `medium`, `low` or `info`.
    pub severity: Option<String>,
    /// `timeout`, `conflict`, `corruption`, `unavailable` or `limit_exceeded`.
    pub error_type: Option<String>,
    /// `workflow`, `phase`, `task`, `agent` or `system`.
    pub scope: Option<String>,
    /// What happened.
    pub message: String,
}

const COLUMNS: &str = "failure_id, f.seq, f.workflow_id, category, severity, type, scope, message";

impl Catalog {
    /// The failure of an id.
    pub fn failure(&self, id: &FailureId) -> Result<Option<FailureRow>, CatalogError> {
        let sql = format!("SELECT {COLUMNS} FROM failures f WHERE failure_id = ?1");
        Ok(self.connection.prepare_cached(&sql)?.query_row([id.as_str()], decode).optional()?)
    }

    /// The failure whose report is the event of an id.
    pub fn failure_of_event(&self, id: &EventId) -> Result<Option<FailureRow>, CatalogError> {
        let sql = format!("SELECT {COLUMNS} FROM failures f JOIN events e ON e.seq = f.seq WHERE e.event_id = ?1");
        Ok(self.connection.prepare_cached(&sql)?.query_row([id.as_str()], decode).optional()?)
    }

    /// The last failures, of one workflow or of all, newest first.
    pub fn failures(&self, workflow: Option<&WorkflowId>, limit: u32) -> Result<Vec<FailureRow>, CatalogError> {
        let filter = if workflow.is_some() { "WHERE f.workflow_id = ?1" } else { "WHERE ?1 IS NULL" };
        let sql = format!("SELECT {COLUMNS} FROM failures f {filter} ORDER BY f.seq DESC LIMIT ?2");
        let mut statement = self.connection.prepare_cached(&sql)?;
        let rows = statement.query_map((workflow.map(WorkflowId::as_str), limit), decode)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}

/// Notes the failure that an event reports, if it does, within the caller's transaction.
pub(crate) fn note(connection: &Connection, seq: EventSeq, event: &Event) -> Result<(), CatalogError> {
    if event.event_type.known() != Some(EventType::ErrorEncountered) {
        return Ok(());
    }
    let Some(id) = event.text("failure_id").and_then(|id| id.parse::<FailureId>().ok()) else { return Ok(()) };
    let classified = |key: &str| {
        let group = event.data.get("classification").and_then(|group| group.get(key));
        group.or_else(|| event.data.get(key)).and_then(Value::as_str)
    };
    let details = event.data.get("details");
    let message = details.and_then(|details| details.get("error_message").or_else(|| details.get("message")));
    let message = message.or_else(|| event.data.get("error_message")).and_then(Value::as_str);
    let sql = "INSERT INTO failures (failure_id, seq, workflow_id, category, severity, type, scope, message)
               VALUES (:id, :seq, :workflow, :category, :severity, :type, :scope, :message) ON CONFLICT DO NOTHING";
    connection.prepare_cached(sql)?.execute(named_params! {
        ":id": id.as_str(),
        ":seq": seq.0,
        ":workflow": event.workflow_id.as_ref().map(WorkflowId::as_str),
        ":category": classified("category"),
        ":severity": classified("severity"),
        ":type": classified("type"),
        ":scope": classified("scope"),
        ":message": message.unwrap_or_default(),
    })?;
    Ok(())
}

fn decode(row: &Row<'_>) -> rusqlite::Result<FailureRow> {
    Ok(FailureRow {
        failure_id: columns::id(row, 0)?,
        seq: EventSeq(row.get(1)?),
        workflow_id: columns::id_or_null(row, 2)?,
        category: row.get(3)?,
        severity: row.get(4)?,
        error_type: row.get(5)?,
        scope: row.get(6)?,
        message: row.get(7)?,
    })
}
