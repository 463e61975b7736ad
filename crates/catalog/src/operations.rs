//! The audit trail: what was done, by whom, when, with what, and what would take it back.
//!
//! Owns an append-only table (the file itself refuses changes to it). Refuses to interpret parameters and inverses.

use rusqlite::{Connection, OptionalExtension, Row, named_params};
use serde_json::Value;
use wfr_model::{OperationId, Timestamp, WorkflowId};

use crate::catalog::Catalog;
use crate::columns;
use crate::error::CatalogError;

/// An operation to be recorded.
#[derive(Clone, PartialEq, Debug)]
pub struct NewOperation {
    /// Its id.
    pub operation_id: OperationId,
    /// The operation's name, such as `create-checkpoint`.
    pub operation: String,
    /// Who asked.
    pub actor: String,
    /// When; also the time of whatever is committed with it.
    pub at: Timestamp,
    /// Whose workflow, where it concerns one.
    pub workflow_id: Option<WorkflowId>,
    /// The parameters as given.
    pub parameters: Value,
    /// What would take it back; `None` where nothing can.
    pub inverse: Option<Value>,
    /// What came of it.
    pub result: Value,
}

/// A recorded operation.
#[derive(Clone, PartialEq, Debug)]
pub struct OperationRow {
    /// Its place in the trail.
    pub seq: i64,
    /// What was recorded.
    pub operation: NewOperation,
}

/// Selects the columns that [`decode`] reads, in its order.
const SELECT: &str =
    "SELECT seq, operation_id, operation, actor, at, workflow_id, parameters, inverse, result FROM operations";

impl Catalog {
    /// Records an operation that changes nothing else in the catalog. One that is recorded already is left alone.
    pub fn record_operation(&self, operation: &NewOperation) -> Result<(), CatalogError> {
        self.write(|transaction| insert(transaction, operation))
    }

    /// The last operations, newest first.
    pub fn operations(&self, limit: u32) -> Result<Vec<OperationRow>, CatalogError> {
        let sql = format!("{SELECT} ORDER BY seq DESC LIMIT ?1");
        let mut statement = self.connection.prepare_cached(&sql)?;
        let rows = statement.query_map([limit], decode)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// An operation by its id.
    pub fn operation(&self, id: &OperationId) -> Result<Option<OperationRow>, CatalogError> {
        let sql = format!("{SELECT} WHERE operation_id = ?1");
        let mut statement = self.connection.prepare_cached(&sql)?;
        Ok(statement.query_row([id.as_str()], decode).optional()?)
    }

    /// The operations of a name, oldest first.
    pub fn operations_named(&self, name: &str) -> Result<Vec<OperationRow>, CatalogError> {
        let sql = format!("{SELECT} WHERE operation = ?1 ORDER BY seq");
        let mut statement = self.connection.prepare_cached(&sql)?;
        let rows = statement.query_map([name], decode)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}

/// Appends to the trail, within the caller's transaction.
pub(crate) fn insert(connection: &Connection, operation: &NewOperation) -> Result<(), CatalogError> {
    // The id makes a repetition harmless: after a crash the same operation may be recorded again.
    let sql = "INSERT INTO operations
                 (operation_id, operation, actor, at, workflow_id, parameters, inverse, result)
               VALUES (:id, :operation, :actor, :at, :workflow, :parameters, :inverse, :result)
               ON CONFLICT (operation_id) DO NOTHING";
    connection.prepare_cached(sql)?.execute(named_params! {
        ":id": operation.operation_id.as_str(),
        ":operation": operation.operation,
        ":actor": operation.actor,
        ":at": operation.at.0,
        ":workflow": operation.workflow_id.as_ref().map(WorkflowId::as_str),
        ":parameters": columns::to_text(&operation.parameters),
        ":inverse": operation.inverse.as_ref().map(columns::to_text),
        ":result": columns::to_text(&operation.result),
    })?;
    Ok(())
}

fn decode(row: &Row<'_>) -> rusqlite::Result<OperationRow> {
    Ok(OperationRow {
        seq: row.get(0)?,
        operation: NewOperation {
            operation_id: columns::id(row, 1)?,
            operation: row.get(2)?,
            actor: row.get(3)?,
            at: columns::time(row, 4)?,
            workflow_id: columns::id_or_null(row, 5)?,
            parameters: columns::json(row, 6)?,
            inverse: columns::json_or_null(row, 7)?,
            result: columns::json(row, 8)?,
        },
    })
}
