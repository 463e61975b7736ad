//! Lists of checkpoints: filters, order, limit.
//!
//! Owns the queries, one for any list however long. Refuses to format anything.

use rusqlite::params_from_iter;
use rusqlite::types::Value;
use wfr_model::checkpoint::CheckpointType;
use wfr_model::{Timestamp, WorkflowId};

use super::CheckpointRow;
use super::row::{SELECT, decode};
use crate::catalog::Catalog;
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

impl Catalog {
    /// Checkpoints by a query.
    pub fn list(&self, query: &ListQuery) -> Result<Vec<CheckpointRow>, CatalogError> {
        self.list_as(query, |row| row)
    }

    /// What `view` makes of each of them: of a long list no more is kept than what is wanted.
    pub fn list_as<T>(&self, query: &ListQuery, view: impl Fn(CheckpointRow) -> T) -> Result<Vec<T>, CatalogError> {
        let (sql, values) = statement(query);
        let mut statement = self.connection.prepare_cached(&sql)?;
        let rows = statement.query_map(params_from_iter(values), |row| decode(row).map(&view))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// How many checkpoints a query would list without its limit.
    pub fn count(&self, query: &ListQuery) -> Result<u64, CatalogError> {
        let (filter, values) = conditions(query);
        let mut statement = self.connection.prepare(&format!("SELECT count(*) FROM checkpoints {filter}"))?;
        Ok(statement.query_row(params_from_iter(values), |row| crate::columns::count(row, 0))?)
    }
}

fn statement(query: &ListQuery) -> (String, Vec<Value>) {
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
    (format!("{SELECT} {filter} ORDER BY {order} LIMIT ?"), values)
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
