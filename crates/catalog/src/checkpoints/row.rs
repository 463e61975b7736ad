//! Reading rows of checkpoints, with their tags.
//!
//! Owns the order of the columns. Refuses to know which rows are asked for.

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension, Row};
use wfr_model::CheckpointId;
use wfr_model::checkpoint::FileCounts;

use super::{CheckpointRow, Head, Seq};
use crate::catalog::Catalog;
use crate::columns;
use crate::error::CatalogError;

/// Selects the columns that [`decode`] reads, in its order.
pub(crate) const SELECT: &str = "SELECT seq, checkpoint_id, workflow_id, name, checkpoint_type, trigger_kind, \
     created_at, phase_id, phase_name, tree, hard_links, coverage, manifest, predecessor, retention, complete, \
     has_files, verification, verified_at, total, directories, bytes, added, changed, removed, size_bytes, recovered, \
     deleted_at FROM checkpoints ";

impl Catalog {
    /// A checkpoint by its id, deleted ones included.
    pub fn checkpoint(&self, id: &CheckpointId) -> Result<Option<CheckpointRow>, CatalogError> {
        self.read(|transaction| {
            let mut statement = transaction.prepare_cached(&format!("{SELECT} WHERE checkpoint_id = ?1"))?;
            let row = statement.query_row([id.as_str()], decode).optional()?;
            Ok(with_tags(transaction, row.into_iter().collect())?.pop())
        })
    }

    /// The newest checkpoint of the whole vault, deleted ones included; `None` in an empty vault.
    pub fn head(&self) -> Result<Option<Head>, CatalogError> {
        head(&self.connection)
    }

    /// The tag that authenticates the head, where one was set.
    pub fn head_tag(&self) -> Result<Option<Vec<u8>>, CatalogError> {
        Ok(self.head()?.and_then(|head| head.tag))
    }
}

/// The newest checkpoint of the whole vault, deleted ones included.
pub(crate) fn head(connection: &Connection) -> Result<Option<Head>, CatalogError> {
    let sql = "SELECT seq, checkpoint_id, manifest, head_tag FROM checkpoints ORDER BY seq DESC LIMIT 1";
    let mut statement = connection.prepare_cached(sql)?;
    let found = statement.query_row([], |row| {
        Ok(Head {
            seq: Seq(row.get(0)?),
            checkpoint_id: columns::id(row, 1)?,
            manifest: columns::digest(row, 2)?,
            tag: row.get(3)?,
        })
    });
    Ok(found.optional()?)
}

/// A row without its tags.
pub(crate) fn decode(row: &Row<'_>) -> rusqlite::Result<CheckpointRow> {
    Ok(CheckpointRow {
        seq: Seq(row.get(0)?),
        checkpoint_id: columns::id(row, 1)?,
        workflow_id: columns::id(row, 2)?,
        name: row.get(3)?,
        checkpoint_type: columns::word(row, 4)?,
        trigger: columns::word(row, 5)?,
        created_at: columns::time(row, 6)?,
        phase_id: row.get(7)?,
        phase_name: row.get(8)?,
        tree: columns::digest_or_null(row, 9)?,
        hard_links: columns::digest_or_null(row, 10)?,
        coverage: columns::digest_or_null(row, 11)?,
        manifest: columns::digest(row, 12)?,
        predecessor: columns::id_or_null(row, 13)?,
        tags: Vec::new(),
        retention: row.get(14)?,
        complete: row.get(15)?,
        has_files: row.get(16)?,
        verification: columns::word(row, 17)?,
        verified_at: columns::time_or_null(row, 18)?,
        files: counts(row)?,
        size_bytes: columns::count(row, 25)?,
        recovered: row.get(26)?,
        deleted_at: columns::time_or_null(row, 27)?,
    })
}

fn counts(row: &Row<'_>) -> rusqlite::Result<FileCounts> {
    Ok(FileCounts {
        total: columns::count(row, 19)?,
        directories: columns::count(row, 20)?,
        bytes: columns::count(row, 21)?,
        added: columns::count(row, 22)?,
        changed: columns::count(row, 23)?,
        removed: columns::count(row, 24)?,
    })
}

/// Adds the tags to rows, by one pass over the tags of their range.
pub(crate) fn with_tags(
    connection: &Connection,
    mut rows: Vec<CheckpointRow>,
) -> Result<Vec<CheckpointRow>, rusqlite::Error> {
    let Some((first, last)) = rows.iter().map(|row| row.seq).min().zip(rows.iter().map(|row| row.seq).max()) else {
        return Ok(rows);
    };
    let places: HashMap<i64, usize> = rows.iter().enumerate().map(|(place, row)| (row.seq.0, place)).collect();
    let sql = "SELECT seq, tag FROM checkpoint_tags WHERE seq BETWEEN ?1 AND ?2 ORDER BY seq, position";
    let mut statement = connection.prepare_cached(sql)?;
    let mut found = statement.query([first.0, last.0])?;
    while let Some(row) = found.next()? {
        if let Some(place) = places.get(&row.get(0)?) {
            rows[*place].tags.push(row.get(1)?);
        }
    }
    Ok(rows)
}
