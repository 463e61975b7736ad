//! Points: the looks at the tree in their order, and the present that they add up to.
//!
//! Owns which tree a new look is compared with. Refuses to read trees.

use rusqlite::{Connection, OptionalExtension, Row};
use serde::{Deserialize, Serialize};
use wfr_model::{CheckpointId, Digest, Timestamp};

use super::{ChangeSeq, NewPoint, PathKey, PointSeq};
use crate::catalog::Catalog;
use crate::columns;
use crate::error::CatalogError;

/// What the ledger takes for the present: a tree, and what was found since at single paths.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Present {
    /// The newest point.
    pub point: PointSeq,
    /// The newest tree that was stored whole.
    pub tree: Digest,
    /// What stands at paths that changed since.
    pub since: Vec<Standing>,
    /// How many segments that took.
    pub segments: u64,
}

/// What stands at a path at some point; `None`: nothing.
pub type Standing = (PathKey, Option<Vec<u8>>);

/// A point as it is kept, and sealed.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(super) struct PointRow {
    pub(super) seq: i64,
    pub(super) at: Timestamp,
    pub(super) tree: Option<Digest>,
    pub(super) checkpoint_id: Option<CheckpointId>,
}

impl Catalog {
    /// What the ledger takes for the present; `None` where nobody ever looked.
    pub fn ledger_present(&self) -> Result<Option<Present>, CatalogError> {
        self.read(|transaction| {
            let Some(point) = last(transaction)? else { return Ok(None) };
            // What follows could not be recorded: that is found before anything is stored.
            super::aside::check_numbers(transaction)?;
            let sql = "SELECT seq, tree FROM points WHERE tree IS NOT NULL ORDER BY seq DESC LIMIT 1";
            let found = transaction
                .prepare_cached(sql)?
                .query_row([], |row| Ok((row.get::<_, i64>(0)?, columns::digest(row, 1)?)))
                .optional()?;
            let (from, tree) = found.ok_or_else(|| CatalogError::damaged("no look of the ledger has a tree"))?;
            // Of each path the newest counts: SQLite takes the other columns from the row of the maximum.
            let sql =
                "SELECT p.key, p.sealed, s.after, max(s.point), count(*) FROM segments s JOIN paths p USING (path_id)
                       WHERE s.point > ?1 GROUP BY s.path_id";
            let mut statement = transaction.prepare_cached(sql)?;
            let mut segments = 0;
            let since = statement.query_map([from], |row| {
                let path = PathKey { key: row.get(0)?, sealed: row.get(1)? };
                segments += row.get::<_, i64>(4)?.unsigned_abs();
                Ok((path, super::segments::present(row.get(2)?)))
            })?;
            let since = since.collect::<Result<_, _>>()?;
            Ok(Some(Present { point, tree, since, segments }))
        })
    }

    /// The first point, its time and the tree that stood there: nothing before it is recorded. `None` where nobody ever looked.
    pub fn ledger_begin(&self) -> Result<Option<(PointSeq, Timestamp, Digest)>, CatalogError> {
        let sql = "SELECT seq, at, tree FROM points WHERE tree IS NOT NULL ORDER BY seq LIMIT 1";
        let mut statement = self.connection.prepare_cached(sql)?;
        let found = |row: &Row<'_>| Ok((PointSeq(row.get(0)?), Timestamp(row.get(1)?), columns::digest(row, 2)?));
        Ok(statement.query_row([], found).optional()?)
    }

    /// The points at which the tree was stored whole, in their order, with it.
    pub fn whole_points(&self) -> Result<Vec<(PointSeq, Digest)>, CatalogError> {
        let sql = "SELECT seq, tree FROM points WHERE tree IS NOT NULL ORDER BY seq";
        let mut statement = self.connection.prepare_cached(sql)?;
        let found = statement.query_map([], |row| Ok((PointSeq(row.get(0)?), columns::digest(row, 1)?)))?;
        Ok(found.collect::<Result<_, _>>()?)
    }

    /// What the segments found after a point, up to another one, leave at their paths.
    pub fn ledger_between(&self, after: PointSeq, upto: PointSeq) -> Result<Vec<Standing>, CatalogError> {
        let sql = "SELECT p.key, p.sealed, s.after, max(s.point) FROM segments s JOIN paths p USING (path_id)
                   WHERE s.point > ?1 AND s.point <= ?2 GROUP BY s.path_id";
        let mut statement = self.connection.prepare_cached(sql)?;
        let found = statement.query_map([after.0, upto.0], |row| {
            let path = PathKey { key: row.get(0)?, sealed: row.get(1)? };
            Ok((path, super::segments::present(row.get(2)?)))
        })?;
        Ok(found.collect::<Result<_, _>>()?)
    }

    /// Whatever was changed later than this, by its stamps, no look at all of the tree may have seen; in nanoseconds. `None` where
    /// there was none, or before this catalog was rebuilt.
    pub fn seen_as_of(&self) -> Result<Option<i64>, CatalogError> {
        let sql = "SELECT as_of FROM points WHERE as_of IS NOT NULL ORDER BY seq DESC LIMIT 1";
        Ok(self.connection.prepare_cached(sql)?.query_row([], |row| row.get(0)).optional()?)
    }

    /// The newest point; `None` where nobody ever looked.
    pub fn last_point(&self) -> Result<Option<PointSeq>, CatalogError> {
        Ok(last(&self.connection)?)
    }

    /// The point of a checkpoint; `None` where it was taken without one.
    pub fn point_of(&self, checkpoint: &CheckpointId) -> Result<Option<PointSeq>, CatalogError> {
        let sql = "SELECT max(seq) FROM points WHERE checkpoint_id = ?1";
        let mut statement = self.connection.prepare_cached(sql)?;
        let seq: Option<i64> = statement.query_row([checkpoint.as_str()], |row| row.get(0))?;
        Ok(seq.map(PointSeq))
    }

    /// The last recovery that had ended when a point was made, as a change; `None` where there was none.
    pub fn last_recovery_at(&self, point: PointSeq) -> Result<Option<ChangeSeq>, CatalogError> {
        let sql = "SELECT max(changes.seq) FROM changes, points
                   WHERE points.seq = ?1 AND recovery_id IS NOT NULL AND ended_at <= points.at";
        let mut statement = self.connection.prepare_cached(sql)?;
        let seq: Option<i64> = statement.query_row([point.0], |row| row.get(0))?;
        Ok(seq.map(ChangeSeq))
    }

    /// The tree that a new look is compared with: cleanup keeps it.
    pub fn ledger_tree(&self) -> Result<Option<Digest>, CatalogError> {
        // Also while the ledger stands aside.
        let sql = "SELECT tree FROM main.points WHERE tree IS NOT NULL ORDER BY seq DESC LIMIT 1";
        let mut statement = self.connection.prepare_cached(sql)?;
        Ok(statement.query_row([], |row| columns::digest(row, 0)).optional()?)
    }
}

pub(super) fn last(connection: &Connection) -> rusqlite::Result<Option<PointSeq>> {
    let mut statement = connection.prepare_cached("SELECT max(seq) FROM points")?;
    let seq: Option<i64> = statement.query_row([], |row| row.get(0))?;
    Ok(seq.map(PointSeq))
}

/// A point as it is kept, from the columns seq, at, tree and checkpoint_id.
pub(super) fn decode(row: &Row<'_>) -> rusqlite::Result<PointRow> {
    Ok(PointRow {
        seq: row.get(0)?,
        at: columns::time(row, 1)?,
        tree: columns::digest_or_null(row, 2)?,
        checkpoint_id: columns::id_or_null(row, 3)?,
    })
}

pub(super) fn insert(connection: &Connection, new: &NewPoint) -> Result<PointSeq, CatalogError> {
    let sql = "INSERT INTO points (at, tree, checkpoint_id, as_of) VALUES (?1, ?2, ?3, ?4)";
    let tree = new.tree.map(|tree| tree.0);
    let checkpoint = new.checkpoint_id.as_ref().map(CheckpointId::as_str);
    connection.prepare_cached(sql)?.execute((new.at.0, tree, checkpoint, new.as_of))?;
    Ok(PointSeq(connection.last_insert_rowid()))
}
