//! Lists of checkpoints: filters, order, limit.
//!
//! Owns the queries, one for any list however long. Refuses to format anything.

use rusqlite::types::Value;
use rusqlite::{Row, params_from_iter};
use wfr_model::checkpoint::{CheckpointType, Summary};
use wfr_model::{Timestamp, WorkflowId};

use super::CheckpointRow;
use super::row::{self, SELECT};
use crate::catalog::Catalog;
use crate::columns;
use crate::error::CatalogError;

/// What a list is sorted by; equal ones follow the catalog's order.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum SortBy {
    /// The catalog's order, in which checkpoints were committed.
    #[default]
    CreationTime,
    /// The name.
    Name,
    /// The bytes added to the store.
    Size,
    /// The type's name.
    Type,
}

/// Which checkpoints to list; the default is all undeleted ones, oldest first.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ListQuery {
    /// Of this workflow only.
    pub workflow: Option<WorkflowId>,
    /// Of one of these types; of any where empty.
    pub types: Vec<CheckpointType>,
    /// With all of these tags.
    pub tags: Vec<String>,
    /// Taken at this time or later.
    pub since: Option<Timestamp>,
    /// Taken at this time or earlier.
    pub until: Option<Timestamp>,
    /// At most so many, the first in the order asked for.
    pub limit: Option<u32>,
    /// The order.
    pub sort_by: SortBy,
    /// The other way round: newest, last name, largest first.
    pub descending: bool,
    /// Deleted ones too.
    pub include_deleted: bool,
}

/// Selects the columns that [`decode`] reads, in its order.
const SUMMARY: &str = "SELECT checkpoint_id, workflow_id, name, checkpoint_type, trigger_kind, created_at, phase_id, \
     phase_name, tags, complete, verification, verified_at, total, directories, bytes, added, changed, removed \
     FROM checkpoints ";

fn decode(row: &Row<'_>) -> rusqlite::Result<Summary> {
    Ok(Summary {
        checkpoint_id: columns::id(row, 0)?,
        workflow_id: columns::id(row, 1)?,
        name: row.get(2)?,
        checkpoint_type: columns::word(row, 3)?,
        trigger: columns::word(row, 4)?,
        created_at: columns::time(row, 5)?,
        phase_id: row.get(6)?,
        phase_name: row.get(7)?,
        tags: columns::json(row, 8)?,
        complete: row.get(9)?,
        verification_status: Some(row::verification(row, 10)?),
        validation_timestamp: columns::time_or_null(row, 11)?,
        files: row::counts(row, 12)?,
    })
}

impl From<CheckpointRow> for Summary {
    fn from(row: CheckpointRow) -> Self {
        Self {
            checkpoint_id: row.checkpoint_id,
            workflow_id: row.workflow_id,
            name: row.name,
            checkpoint_type: row.checkpoint_type,
            trigger: row.trigger,
            created_at: row.created_at,
            phase_id: row.phase_id,
            phase_name: row.phase_name,
            tags: row.tags,
            complete: row.complete,
            files: row.files,
            verification_status: Some(row.verification),
            validation_timestamp: row.verified_at,
        }
    }
}

impl Catalog {
    /// Checkpoints by a query.
    pub fn list(&self, query: &ListQuery) -> Result<Vec<CheckpointRow>, CatalogError> {
        self.select(SELECT, query, row::decode)
    }

    /// What `view` makes of checkpoints by a query, of which no more is read and kept than a long list shows.
    pub fn summaries<T>(&self, query: &ListQuery, view: impl Fn(Summary) -> T) -> Result<Vec<T>, CatalogError> {
        self.select(SUMMARY, query, |row| decode(row).map(&view))
    }

    fn select<T>(
        &self,
        select: &str,
        query: &ListQuery,
        decode: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>, CatalogError> {
        let (rest, values) = clauses(query);
        let mut statement = self.connection.prepare_cached(&format!("{select} {rest}"))?;
        let rows = statement.query_map(params_from_iter(values), decode)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// How many checkpoints a query would list without its limit.
    pub fn count(&self, query: &ListQuery) -> Result<u64, CatalogError> {
        let (filter, values) = conditions(query);
        let mut statement = self.connection.prepare(&format!("SELECT count(*) FROM checkpoints {filter}"))?;
        Ok(statement.query_row(params_from_iter(values), |row| columns::count(row, 0))?)
    }
}

/// What comes after the columns, and its values.
fn clauses(query: &ListQuery) -> (String, Vec<Value>) {
    let (filter, mut values) = conditions(query);
    let way = if query.descending { "DESC" } else { "ASC" };
    let order = match query.sort_by {
        SortBy::CreationTime => format!("seq {way}"),
        SortBy::Name => format!("name {way}, seq {way}"),
        SortBy::Size => format!("size_bytes {way}, seq {way}"),
        SortBy::Type => format!("checkpoint_type {way}, seq {way}"),
    };
    // A negative limit is none.
    values.push(query.limit.map_or(-1, i64::from).into());
    (format!("{filter} ORDER BY {order} LIMIT ?"), values)
}

/// The WHERE clause and its values. Values are always bound, never pasted in.
fn conditions(query: &ListQuery) -> (String, Vec<Value>) {
    let mut terms: Vec<String> = Vec::new();
    let mut values: Vec<Value> = Vec::new();
    let mut term = |text: &str, value: Value| {
        terms.push(text.to_owned());
        values.push(value);
    };
    if let Some(workflow) = &query.workflow {
        term("workflow_id = ?", workflow.as_str().to_owned().into());
    }
    if let Some(Timestamp(since)) = query.since {
        term("created_at >= ?", since.into());
    }
    if let Some(Timestamp(until)) = query.until {
        term("created_at <= ?", until.into());
    }
    for tag in &query.tags {
        term("seq IN (SELECT seq FROM checkpoint_tags WHERE tag = ?)", tag.clone().into());
    }
    if !query.types.is_empty() {
        terms.push(format!("checkpoint_type IN ({})", vec!["?"; query.types.len()].join(", ")));
        values.extend(query.types.iter().map(|kind| Value::from(kind.as_str().to_owned())));
    }
    if !query.include_deleted {
        terms.push("deleted_at IS NULL".to_owned());
    }
    let filter = if terms.is_empty() { String::new() } else { format!("WHERE {}", terms.join(" AND ")) };
    (filter, values)
}
