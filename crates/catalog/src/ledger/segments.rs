//! Segments: what was found at which path, and the chains that they make.
//!
//! Owns that a chain has no gap: what a segment began with is kept only where it is not what the last one left. Refuses
//! to know what an entry is.

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension, Row};
use wfr_model::ChangeId;

use super::changes::{self, ChangeSeq};
use super::{NewPoint, PathId, PathKey, PointSeq};
use crate::catalog::Catalog;
use crate::columns;
use crate::error::CatalogError;

/// One segment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SegmentRow {
    /// The point at which it was found.
    pub point: PointSeq,
    /// Whose it is.
    pub change: ChangeSeq,
    /// Whether it is, by definition, what replaying the live changes gave then.
    pub replayed: bool,
    /// What was there before; `None`: nothing.
    pub before: Option<Vec<u8>>,
    /// What was there then; `None`: nothing.
    pub after: Option<Vec<u8>>,
}

/// All that happened at one path, in order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PathChain {
    /// The path.
    pub path: PathKey,
    /// Its segments.
    pub segments: Vec<SegmentRow>,
    /// What was said of changes at it, oldest first: which, by which change, and whether it was taken back.
    pub words: Vec<(ChangeSeq, ChangeSeq, bool)>,
    /// Changes that read it, and the point by which they had.
    pub reads: Vec<(ChangeSeq, PointSeq)>,
}

impl PathChain {
    /// Whether a change is taken back at this path, as of another change or now.
    pub fn is_cancelled(&self, change: ChangeSeq, as_of: Option<ChangeSeq>) -> bool {
        let counts = |by: ChangeSeq| as_of.is_none_or(|limit| by <= limit);
        let mut words = self.words.iter().filter(|(of, by, _)| *of == change && counts(*by));
        words.next_back().is_some_and(|(_, _, cancelled)| *cancelled)
    }
}

/// An entry's bytes, of which there are none where nothing is.
pub(super) fn present(bytes: Vec<u8>) -> Option<Vec<u8>> {
    (!bytes.is_empty()).then_some(bytes)
}

pub(super) fn insert(connection: &Connection, point: PointSeq, new: &NewPoint) -> Result<(), CatalogError> {
    let mut seqs = HashMap::new();
    let mut seq_of = |id: &ChangeId| -> Result<i64, CatalogError> {
        if let Some(seq) = seqs.get(id) {
            return Ok(*seq);
        }
        let seq = changes::seq_of(connection, id)?;
        seqs.insert(id.clone(), seq);
        Ok(seq)
    };
    let sql = "INSERT INTO segments (path_id, point, change, replayed, before, after) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
    let mut statement = connection.prepare_cached(sql)?;
    for segment in &new.segments {
        let path = path_id(connection, &segment.path)?;
        let before = segment.before.clone().unwrap_or_default();
        let continues = last_after(connection, path)?.is_some_and(|last| last == before);
        let before = (!continues).then_some(before);
        let after = segment.after.as_deref().unwrap_or_default();
        statement.execute((path, point.0, seq_of(&segment.change)?, segment.replayed, before, after))?;
    }
    let sql = "INSERT INTO cancellations (path_id, change, by_change, cancelled) VALUES (?1, ?2, ?3, ?4)
               ON CONFLICT DO UPDATE SET cancelled = excluded.cancelled";
    let mut statement = connection.prepare_cached(sql)?;
    for one in &new.cancellations {
        let path = path_id(connection, &one.path)?;
        statement.execute((path, seq_of(&one.change)?, seq_of(&one.by)?, one.cancelled))?;
    }
    let sql = "INSERT INTO reads (path_id, change, point) VALUES (?1, ?2, ?3)
               ON CONFLICT DO UPDATE SET point = excluded.point";
    let mut statement = connection.prepare_cached(sql)?;
    for (path, change) in &new.reads {
        statement.execute((path_id(connection, path)?, seq_of(change)?, point.0))?;
    }
    Ok(())
}

/// The number of a path, which gets one where it has none.
fn path_id(connection: &Connection, path: &PathKey) -> Result<i64, CatalogError> {
    let mut statement = connection.prepare_cached("SELECT path_id FROM paths WHERE key = ?1")?;
    if let Some(id) = statement.query_row([&path.key], |row| row.get(0)).optional()? {
        return Ok(id);
    }
    // Not the number of one that got lost: what was found there would seem to be this one's.
    let sql = "INSERT INTO paths (path_id, key, sealed)
               SELECT 1 + max(coalesce((SELECT max(path_id) FROM paths), 0), coalesce((SELECT max(path_id) FROM segments), 0)),
                      ?1, ?2";
    connection.prepare_cached(sql)?.execute((&path.key, &path.sealed))?;
    Ok(connection.last_insert_rowid())
}

fn last_after(connection: &Connection, path: i64) -> rusqlite::Result<Option<Vec<u8>>> {
    let sql = "SELECT after FROM segments WHERE path_id = ?1 ORDER BY point DESC LIMIT 1";
    connection.prepare_cached(sql)?.query_row([path], |row| row.get(0)).optional()
}

impl Catalog {
    /// Everything that happened at the paths that any of these changes touched, in the order of their numbers.
    pub fn chains_of(&self, changes: &[ChangeSeq]) -> Result<Vec<PathChain>, CatalogError> {
        self.read(|transaction| {
            let mut paths: Vec<i64> = Vec::new();
            let mut statement = transaction.prepare_cached("SELECT path_id FROM segments WHERE change = ?1")?;
            for change in changes {
                let found = statement.query_map([change.0], |row| row.get(0))?;
                paths.extend(found.collect::<Result<Vec<i64>, _>>()?);
            }
            paths.sort_unstable();
            paths.dedup();
            paths.iter().map(|path| chain(transaction, *path)).collect()
        })
    }

    /// Everything that happened at one path; `None` where nothing ever did.
    pub fn chain_at(&self, key: &[u8]) -> Result<Option<PathChain>, CatalogError> {
        self.read(|transaction| {
            let mut statement = transaction.prepare_cached("SELECT path_id FROM paths WHERE key = ?1")?;
            let id: Option<i64> = statement.query_row([key], |row| row.get(0)).optional()?;
            id.map(|id| chain(transaction, id)).transpose()
        })
    }

    /// Chains of all paths with a segment found after a point.
    pub fn chains_since(&self, point: PointSeq) -> Result<Vec<PathChain>, CatalogError> {
        self.read(|transaction| {
            let sql = "SELECT DISTINCT path_id FROM segments WHERE point > ?1 ORDER BY path_id";
            let mut statement = transaction.prepare_cached(sql)?;
            let paths = statement.query_map([point.0], |row| row.get(0))?.collect::<Result<Vec<i64>, _>>()?;
            paths.iter().map(|path| chain(transaction, *path)).collect()
        })
    }

    /// Chains of all paths at which anything was ever said of a change, or was by one change.
    pub fn chains_spoken_of(&self, by: Option<ChangeSeq>) -> Result<Vec<PathChain>, CatalogError> {
        self.read(|transaction| {
            let sql = "SELECT DISTINCT path_id FROM cancellations WHERE ?1 IS NULL OR by_change = ?1 ORDER BY path_id";
            let mut statement = transaction.prepare_cached(sql)?;
            let by = by.map(|change| change.0);
            let paths = statement.query_map([by], |row| row.get(0))?.collect::<Result<Vec<i64>, _>>()?;
            paths.iter().map(|path| chain(transaction, *path)).collect()
        })
    }

    /// Whether any of these changes did anything to any path.
    pub fn have_segments(&self, changes: &[ChangeSeq]) -> Result<bool, CatalogError> {
        let changes: Vec<i64> = changes.iter().map(|change| change.0).collect();
        let sql = "SELECT EXISTS (SELECT 1 FROM segments WHERE change IN (SELECT value FROM json_each(?1)))";
        let mut statement = self.connection.prepare_cached(sql)?;
        Ok(statement.query_row([columns::json_text(&changes)], |row| row.get(0))?)
    }

    /// What a change did: each path with its segments of that change, and what was said of it there. Who read it is left
    /// out.
    pub fn segments_of(&self, change: ChangeSeq) -> Result<Vec<PathChain>, CatalogError> {
        self.read(|transaction| {
            let sql =
                "SELECT s.path_id, p.key, p.sealed, s.point, s.change, s.replayed, s.before, s.after FROM segments s
                       JOIN paths p USING (path_id) WHERE s.change = ?1 ORDER BY s.path_id, s.point";
            let mut statement = transaction.prepare_cached(sql)?;
            let rows = statement.query_map([change.0], |row| {
                Ok((row.get(0)?, PathKey { key: row.get(1)?, sealed: row.get(2)? }, decode(row, 3)?))
            })?;
            let mut chains: Vec<(i64, PathChain)> = Vec::new();
            for row in rows {
                let (id, path, (before, segment)): (i64, PathKey, _) = row?;
                let before = match before {
                    Some(before) => present(before),
                    None => last_before(transaction, id, segment.point)?,
                };
                let segment = SegmentRow { before, ..segment };
                match chains.last_mut() {
                    Some((last, chain)) if *last == id => chain.segments.push(segment),
                    _ => {
                        let words = words(transaction, id, Some(change))?;
                        chains.push((id, PathChain { path, segments: vec![segment], words, reads: vec![] }));
                    }
                }
            }
            Ok(chains.into_iter().map(|(_, chain)| chain).collect())
        })
    }

    /// What a change left, with the points: an entry's bytes, of which there are none where nothing is. Cheaper than
    /// [`Self::segments_of`].
    pub fn left_by(&self, change: ChangeSeq) -> Result<Vec<(PointSeq, Vec<u8>)>, CatalogError> {
        let sql = "SELECT point, after FROM segments WHERE change = ?1";
        let mut statement = self.connection.prepare_cached(sql)?;
        let rows = statement.query_map([change.0], |row| Ok((PointSeq(row.get(0)?), row.get(1)?)))?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// The numbers of the paths that are wanted, of all that the ledger knows.
    pub fn paths_where(&self, is_wanted: &mut dyn FnMut(&PathKey) -> bool) -> Result<Vec<PathId>, CatalogError> {
        let mut statement = self.connection.prepare_cached("SELECT path_id, key, sealed FROM paths")?;
        let mut rows = statement.query([])?;
        let mut wanted = Vec::new();
        while let Some(row) = rows.next()? {
            if is_wanted(&PathKey { key: row.get(1)?, sealed: row.get(2)? }) {
                wanted.push(PathId(row.get(0)?));
            }
        }
        Ok(wanted)
    }

    /// What a change said of others: where, which, and whether it is taken back or brought back.
    pub fn cancellations_by(&self, change: ChangeSeq) -> Result<Vec<(PathKey, ChangeId, bool)>, CatalogError> {
        let sql = "SELECT p.key, p.sealed, c.change_id, x.cancelled FROM cancellations x
                   JOIN paths p USING (path_id) JOIN changes c ON c.seq = x.change WHERE x.by_change = ?1";
        let mut statement = self.connection.prepare_cached(sql)?;
        let rows = statement.query_map([change.0], |row| {
            Ok((PathKey { key: row.get(0)?, sealed: row.get(1)? }, columns::id(row, 2)?, row.get(3)?))
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Whether anything was ever said of a change.
    pub fn has_cancellations(&self) -> Result<bool, CatalogError> {
        let mut statement = self.connection.prepare_cached("SELECT EXISTS (SELECT 1 FROM cancellations)")?;
        Ok(statement.query_row([], |row| row.get(0))?)
    }

    /// The bytes of every entry that any segment names, in no order: what cleanup must keep.
    pub fn ledger_entries(&self, entry: &mut dyn FnMut(&[u8])) -> Result<(), CatalogError> {
        // Also while the ledger stands aside: what it names is kept.
        let mut statement = self.connection.prepare_cached("SELECT before, after FROM main.segments")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            for index in [0, 1] {
                let bytes: Option<Vec<u8>> = row.get(index)?;
                bytes.filter(|bytes| !bytes.is_empty()).iter().for_each(|bytes| entry(bytes));
            }
        }
        Ok(())
    }
}

fn chain(connection: &Connection, path: i64) -> Result<PathChain, CatalogError> {
    let mut statement = connection.prepare_cached("SELECT key, sealed FROM paths WHERE path_id = ?1")?;
    let found = statement.query_row([path], |row| Ok(PathKey { key: row.get(0)?, sealed: row.get(1)? }))?;
    let sql = "SELECT point, change, replayed, before, after FROM segments WHERE path_id = ?1 ORDER BY point";
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map([path], |row| decode(row, 0))?.collect::<Result<Vec<_>, _>>()?;
    let mut segments: Vec<SegmentRow> = Vec::with_capacity(rows.len());
    for (before, segment) in rows {
        let before = match before {
            Some(before) => present(before),
            None => segments.last().and_then(|last| last.after.clone()),
        };
        segments.push(SegmentRow { before, ..segment });
    }
    let mut statement = connection.prepare_cached("SELECT change, point FROM reads WHERE path_id = ?1")?;
    let reads = statement.query_map([path], |row| reading(row, 0))?;
    let reads = reads.collect::<Result<_, _>>()?;
    Ok(PathChain { path: found, segments, words: words(connection, path, None)?, reads })
}

/// What was said at a path of changes, or of one, oldest first.
fn words(
    connection: &Connection,
    path: i64,
    of: Option<ChangeSeq>,
) -> rusqlite::Result<Vec<(ChangeSeq, ChangeSeq, bool)>> {
    let sql = "SELECT change, by_change, cancelled FROM cancellations
               WHERE path_id = ?1 AND change = coalesce(?2, change) ORDER BY by_change";
    let mut statement = connection.prepare_cached(sql)?;
    let words = statement.query_map((path, of.map(|change| change.0)), |row| word(row, 0))?;
    words.collect()
}

/// What was said of a change, from the columns change, by_change and cancelled, which begin at `first`.
pub(super) fn word(row: &Row<'_>, first: usize) -> rusqlite::Result<(ChangeSeq, ChangeSeq, bool)> {
    Ok((ChangeSeq(row.get(first)?), ChangeSeq(row.get(first + 1)?), row.get(first + 2)?))
}

/// Who read a path, from the columns change and point, which begin at `first`.
pub(super) fn reading(row: &Row<'_>, first: usize) -> rusqlite::Result<(ChangeSeq, PointSeq)> {
    Ok((ChangeSeq(row.get(first)?), PointSeq(row.get(first + 1)?)))
}

/// What a path's last segment before a point left.
fn last_before(connection: &Connection, path: i64, point: PointSeq) -> rusqlite::Result<Option<Vec<u8>>> {
    let sql = "SELECT after FROM segments WHERE path_id = ?1 AND point < ?2 ORDER BY point DESC LIMIT 1";
    let found = connection.prepare_cached(sql)?.query_row((path, point.0), |row| row.get(0)).optional()?;
    Ok(found.and_then(present))
}

/// A segment from the columns point, change, replayed, before and after, which begin at `first`.
pub(super) fn decode(row: &Row<'_>, first: usize) -> rusqlite::Result<(Option<Vec<u8>>, SegmentRow)> {
    let segment = SegmentRow {
        point: PointSeq(row.get(first)?),
        change: ChangeSeq(row.get(first + 1)?),
        replayed: row.get(first + 2)?,
        before: None,
        after: present(row.get(first + 4)?),
    };
    Ok((row.get(first + 3)?, segment))
}
