//! Reading rows of checkpoints.
//!
//! Owns the order of the columns. Refuses to know which rows are asked for.

use rusqlite::{Connection, OptionalExtension, Row};
use wfr_model::CheckpointId;
use wfr_model::checkpoint::{FileCounts, VerificationStatus};

use super::{CheckpointRow, Head, Seq};
use crate::catalog::Catalog;
use crate::columns;
use crate::error::CatalogError;

/// Selects the columns that [`decode`] reads, in its order.
pub(crate) const SELECT: &str = "SELECT seq, checkpoint_id, workflow_id, name, checkpoint_type, trigger_kind, \
     created_at, phase_id, phase_name, tree, hard_links, coverage, manifest, predecessor, tags, retention, complete, \
     has_files, verification, verified_at, total, directories, bytes, added, changed, removed, size_bytes, recovered, \
     deleted_at, state FROM checkpoints ";

impl Catalog {
    /// A checkpoint by its id, deleted ones included.
    pub fn checkpoint(&self, id: &CheckpointId) -> Result<Option<CheckpointRow>, CatalogError> {
        find(&self.connection, id)
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

/// See [`Catalog::checkpoint`]; within the caller's transaction if there is one.
pub(super) fn find(connection: &Connection, id: &CheckpointId) -> Result<Option<CheckpointRow>, CatalogError> {
    let mut statement = connection.prepare_cached(&format!("{SELECT} WHERE checkpoint_id = ?1"))?;
    Ok(statement.query_row([id.as_str()], decode).optional()?)
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

/// One row.
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
        tags: columns::json(row, 14)?,
        retention: row.get(15)?,
        complete: row.get(16)?,
        has_files: row.get(17)?,
        verification: verification(row, 18)?,
        verified_at: columns::time_or_null(row, 19)?,
        files: counts(row, 20)?,
        size_bytes: columns::count(row, 26)?,
        recovered: row.get(27)?,
        deleted_at: columns::time_or_null(row, 28)?,
        state: columns::digest_or_null(row, 29)?,
    })
}

/// The counts of a tree, in six columns from one on.
pub(super) fn counts(row: &Row<'_>, from: usize) -> rusqlite::Result<FileCounts> {
    Ok(FileCounts {
        total: columns::count(row, from)?,
        directories: columns::count(row, from + 1)?,
        bytes: columns::count(row, from + 2)?,
        added: columns::count(row, from + 3)?,
        changed: columns::count(row, from + 4)?,
        removed: columns::count(row, from + 5)?,
    })
}

/// What was found when a checkpoint was checked. What cannot be read says nothing: the packs hold the checkpoint all the same.
pub(super) fn verification(row: &Row<'_>, column: usize) -> rusqlite::Result<VerificationStatus> {
    match columns::word(row, column) {
        Err(rusqlite::Error::FromSqlConversionFailure(..) | rusqlite::Error::InvalidColumnType(..)) => {
            Ok(VerificationStatus::Unknown)
        }
        read => read,
    }
}
