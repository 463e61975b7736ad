//! Reading states in small: what somebody who follows a workflow looks at, whatever its size.
//!
//! Owns the bounds. Refuses to read all parts: that is [`Catalog::parts`].

use rusqlite::{OptionalExtension, Row};
use serde::de::DeserializeOwned;
use wfr_model::WorkflowId;
use wfr_model::workflow::Task;

use super::{PartKind, states};
use crate::catalog::Catalog;
use crate::columns;
use crate::error::CatalogError;

/// Tasks that have an index of their own.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Notable {
    /// Being worked on.
    Active,
    /// Failed.
    Failed,
}

impl Catalog {
    /// The workflow whose state changed last; `None` where there is no state.
    pub fn active_workflow(&self) -> Result<Option<WorkflowId>, CatalogError> {
        let sql = "SELECT workflow_id FROM states ORDER BY seq DESC LIMIT 1";
        Ok(self.connection.prepare_cached(sql)?.query_row([], |row| columns::id(row, 0)).optional()?)
    }

    /// Tasks that are active, or failed, at most so many.
    pub fn notable_tasks(&self, workflow: &WorkflowId, which: Notable, limit: u32) -> Result<Vec<Task>, CatalogError> {
        let word = match which {
            Notable::Active => "active",
            Notable::Failed => "failed",
        };
        // In the words of the index, without which SQLite does not take it.
        let sql = format!(
            "SELECT doc FROM parts WHERE workflow_id = ?1 AND kind = 'task'
             AND CASE WHEN json_valid(doc) THEN doc ->> '$.status' END = '{word}' LIMIT ?2"
        );
        let mut statement = self.connection.prepare_cached(&sql)?;
        let tasks = statement.query_map((workflow.as_str(), limit), document)?;
        Ok(tasks.collect::<Result<_, _>>()?)
    }

    /// One part of a kind.
    pub fn part<T: DeserializeOwned>(
        &self,
        workflow: &WorkflowId,
        kind: PartKind,
        id: &str,
    ) -> Result<Option<T>, CatalogError> {
        states::part(&self.connection, workflow, kind, id)
    }
}

fn document<T: DeserializeOwned>(row: &Row<'_>) -> rusqlite::Result<T> {
    columns::json(row, 0)
}
