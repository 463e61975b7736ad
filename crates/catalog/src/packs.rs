//! How far each pack is committed, which packs are tombstoned, and the generation of cleanup.
//!
//! Owns what a crash may not lose of the store: bytes of a pack beyond its committed length do not exist. Refuses
//! to know what lies in a pack.

use rusqlite::{Connection, OptionalExtension, Row};
use wfr_model::PackId;

use crate::catalog::Catalog;
use crate::columns::{self, signed};
use crate::error::CatalogError;

/// Counts cleanups: a lease taken at generation n may rely on every pack that was not tombstoned up to n.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Generation(pub i64);

/// Whether a pack's objects may be used by new checkpoints.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PackState {
    /// They may.
    Live,
    /// They may not: the pack goes as soon as no lease older than this generation is left.
    Tombstone(Generation),
}

/// One pack.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PackRow {
    /// Which.
    pub pack_id: PackId,
    /// Its committed length in bytes.
    pub committed_len: u64,
    /// Whether it may be used.
    pub state: PackState,
}

impl Catalog {
    /// All packs, sorted by id.
    pub fn packs(&self) -> Result<Vec<PackRow>, CatalogError> {
        let sql = "SELECT pack_id, committed_len, tombstoned_generation FROM packs ORDER BY pack_id";
        let mut statement = self.connection.prepare_cached(sql)?;
        let rows = statement.query_map([], decode)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// The committed length of a pack in bytes, live or tombstoned; `None` where nothing of it is committed.
    pub fn pack_committed(&self, pack: &PackId) -> Result<Option<u64>, CatalogError> {
        let sql = "SELECT committed_len FROM packs WHERE pack_id = ?1";
        let mut statement = self.connection.prepare_cached(sql)?;
        Ok(statement.query_row([pack.as_str()], |row| columns::count(row, 0)).optional()?)
    }

    /// Commits what was synced of packs, by itself: for objects that something recorded later will need.
    pub fn commit_packs(&self, extents: &[(PackId, u64)]) -> Result<(), CatalogError> {
        self.write(|transaction| advance(transaction, extents))
    }

    /// How many cleanups have tombstoned packs.
    pub fn generation(&self) -> Result<Generation, CatalogError> {
        let mut statement = self.connection.prepare_cached("SELECT generation FROM vault")?;
        Ok(statement.query_row([], |row| row.get(0).map(Generation))?)
    }

    /// Tombstones live packs under a new generation, which it returns. A pack that already is one keeps its own.
    ///
    /// [`CatalogError::NotFound`] where a pack is not in the catalog.
    pub fn tombstone_packs(&self, packs: &[PackId]) -> Result<Generation, CatalogError> {
        self.replace_packs(&[], packs)
    }

    /// Commits the extents of new packs and tombstones those they replace, in one transaction.
    pub fn replace_packs(&self, extents: &[(PackId, u64)], old: &[PackId]) -> Result<Generation, CatalogError> {
        self.write(|transaction| {
            advance(transaction, extents)?;
            let generation = next_generation(transaction)?;
            let sql = "UPDATE packs SET tombstoned_generation = coalesce(tombstoned_generation, ?2) WHERE pack_id = ?1";
            change_each(transaction, sql, old, Some(generation))?;
            Ok(generation)
        })
    }

    /// Makes tombstoned packs live again: something committed since relies on them.
    pub fn revive_packs(&self, packs: &[PackId]) -> Result<(), CatalogError> {
        let sql = "UPDATE packs SET tombstoned_generation = NULL WHERE pack_id = ?1";
        self.write(|transaction| change_each(transaction, sql, packs, None))
    }

    /// Removes the rows of tombstoned packs. A live pack gives [`CatalogError::NotFound`] and nothing is removed.
    pub fn forget_packs(&self, packs: &[PackId]) -> Result<(), CatalogError> {
        let sql = "DELETE FROM packs WHERE pack_id = ?1 AND tombstoned_generation IS NOT NULL";
        self.write(|transaction| change_each(transaction, sql, packs, None))
    }
}

/// Advances committed lengths, within the caller's transaction. They never shrink.
///
/// A tombstoned pack becomes live: what is committed with this extent lies in it.
pub(crate) fn advance(connection: &Connection, extents: &[(PackId, u64)]) -> Result<(), CatalogError> {
    let sql = "INSERT INTO packs (pack_id, committed_len) VALUES (?1, ?2)
               ON CONFLICT (pack_id) DO UPDATE
               SET committed_len = max(committed_len, excluded.committed_len), tombstoned_generation = NULL";
    let mut statement = connection.prepare_cached(sql)?;
    for (pack, committed) in extents {
        statement.execute((pack.as_str(), signed(*committed)))?;
    }
    Ok(())
}

fn next_generation(connection: &Connection) -> Result<Generation, CatalogError> {
    let sql = "UPDATE vault SET generation = generation + 1 RETURNING generation";
    Ok(connection.prepare_cached(sql)?.query_row([], |row| row.get(0).map(Generation))?)
}

/// Runs a statement for each pack; each must change one row.
fn change_each(
    connection: &Connection,
    sql: &str,
    packs: &[PackId],
    generation: Option<Generation>,
) -> Result<(), CatalogError> {
    let mut statement = connection.prepare_cached(sql)?;
    for pack in packs {
        let changed = match generation {
            Some(Generation(number)) => statement.execute((pack.as_str(), number))?,
            None => statement.execute([pack.as_str()])?,
        };
        if changed == 0 {
            return Err(CatalogError::not_found("pack", pack));
        }
    }
    Ok(())
}

fn decode(row: &Row<'_>) -> rusqlite::Result<PackRow> {
    let tombstone: Option<i64> = row.get(2)?;
    Ok(PackRow {
        pack_id: columns::id(row, 0)?,
        committed_len: columns::count(row, 1)?,
        state: tombstone.map_or(PackState::Live, |generation| PackState::Tombstone(Generation(generation))),
    })
}
