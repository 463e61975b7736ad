//! Which workflows this vault knows.
//!
//! Owns their registration, which is idempotent. Refuses to know their state.

use rusqlite::{Connection, OptionalExtension};
use wfr_model::{Digest, Timestamp, WorkflowId};

use crate::catalog::Catalog;
use crate::columns;
use crate::error::CatalogError;
use crate::near::nearest;

/// How many near names are suggested.
const SUGGESTIONS_MAX: usize = 3;

/// One workflow.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WorkflowRow {
    /// Its id.
    pub workflow_id: WorkflowId,
    /// When it was first heard of.
    pub registered_at: Timestamp,
    /// How many undeleted checkpoints it has.
    pub checkpoints: u64,
}

impl Catalog {
    /// Registers a workflow; `false` where it was registered before, which changes nothing.
    pub fn register_workflow(&self, workflow: &WorkflowId, now: Timestamp) -> Result<bool, CatalogError> {
        if self.has_workflow(workflow)? {
            return Ok(false);
        }
        self.write(|transaction| insert(transaction, workflow, now))
    }

    /// Whether a workflow is registered.
    pub fn has_workflow(&self, workflow: &WorkflowId) -> Result<bool, CatalogError> {
        let mut statement = self.connection.prepare_cached("SELECT 1 FROM workflows WHERE workflow_id = ?1")?;
        Ok(statement.query_row([workflow.as_str()], |_| Ok(())).optional()?.is_some())
    }

    /// Whether something is there of a workflow, registered or not: events, a state, checkpoints, recoveries.
    pub fn has_traces(&self, workflow: &WorkflowId) -> Result<bool, CatalogError> {
        let sql = "SELECT EXISTS (SELECT 1 FROM events WHERE workflow_id = ?1)
                     OR EXISTS (SELECT 1 FROM states WHERE workflow_id = ?1)
                     OR EXISTS (SELECT 1 FROM checkpoints WHERE workflow_id = ?1)
                     OR EXISTS (SELECT 1 FROM recoveries WHERE workflow_id = ?1)";
        Ok(self.connection.prepare_cached(sql)?.query_row([workflow.as_str()], |row| row.get(0))?)
    }

    /// Whether nothing was ever said of a workflow: no event of it is there, and the newest state that a checkpoint of it holds
    /// is `blank`, if any does. Where it is another one, events were lost.
    pub fn is_blank(&self, workflow: &WorkflowId, blank: &Digest) -> Result<bool, CatalogError> {
        let sql = "SELECT NOT EXISTS (SELECT 1 FROM events WHERE workflow_id = ?1)
                     AND ?2 = coalesce((SELECT state FROM checkpoints WHERE workflow_id = ?1 AND state IS NOT NULL
                                        ORDER BY seq DESC LIMIT 1), ?2)";
        Ok(self.connection.prepare_cached(sql)?.query_row((workflow.as_str(), blank.0), |row| row.get(0))?)
    }

    /// Workflows of which something is there and that are not registered, by name.
    pub fn unregistered_workflows(&self) -> Result<Vec<WorkflowId>, CatalogError> {
        let sql = "SELECT workflow_id FROM events WHERE workflow_id IS NOT NULL UNION SELECT workflow_id FROM states
                   UNION SELECT workflow_id FROM checkpoints UNION SELECT workflow_id FROM recoveries
                   EXCEPT SELECT workflow_id FROM workflows ORDER BY 1";
        let mut statement = self.connection.prepare_cached(sql)?;
        let rows = statement.query_map([], |row| columns::id(row, 0))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// All workflows, oldest first.
    pub fn workflows(&self) -> Result<Vec<WorkflowRow>, CatalogError> {
        let sql = "SELECT workflow_id, registered_at,
                          (SELECT count(*) FROM checkpoints c WHERE c.workflow_id = w.workflow_id AND deleted_at IS NULL)
                   FROM workflows w ORDER BY registered_at, workflow_id";
        let mut statement = self.connection.prepare_cached(sql)?;
        let rows = statement.query_map([], |row| {
            Ok(WorkflowRow {
                workflow_id: columns::id(row, 0)?,
                registered_at: columns::time(row, 1)?,
                checkpoints: columns::count(row, 2)?,
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Registered workflows whose names resemble `text`, nearest first, at most 3.
    pub fn near_workflows(&self, text: &str) -> Result<Vec<String>, CatalogError> {
        let mut statement = self.connection.prepare_cached("SELECT workflow_id FROM workflows")?;
        let names: Vec<String> = statement.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
        Ok(nearest(text, names, SUGGESTIONS_MAX))
    }
}

/// Registers a workflow within the caller's transaction; `false` where it was registered before.
pub(crate) fn insert(connection: &Connection, workflow: &WorkflowId, now: Timestamp) -> Result<bool, CatalogError> {
    let sql = "INSERT INTO workflows (workflow_id, registered_at) VALUES (?1, ?2) ON CONFLICT DO NOTHING";
    Ok(connection.prepare_cached(sql)?.execute((workflow.as_str(), now.0))? > 0)
}
