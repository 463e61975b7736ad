//! What is wrong with the rows of the ledger, whether anybody reads them now or not.
//!
//! Owns that each row is decoded as reading it does, and that its number is one that is given. Refuses to know what paths, entries
//! and trees are: the caller judges these.

use std::error::Error;

use rusqlite::{Connection, Row};
use wfr_model::Digest;

use super::{PathKey, changes, points, segments};
use crate::catalog::Catalog;
use crate::columns;
use crate::error::CatalogError;
use crate::events::PLACE_MAX;

/// So many are named at most.
const FAULTS_MAX: usize = 100;

/// A row of the ledger that cannot be relied on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LedgerFault {
    /// Its table, and what names it there: `changes/3`.
    pub place: String,
    /// What does not fit.
    pub why: String,
}

/// A value of the ledger whose meaning the caller knows.
#[derive(Clone, Copy, Debug)]
pub enum LedgerValue<'v> {
    /// A path.
    Path(&'v PathKey),
    /// What was found at one.
    Entry(&'v [u8]),
    /// A path that somebody declared.
    Declared(&'v str),
    /// The tree that the next look is compared with.
    Base(&'v Digest),
}

/// Says why a value is none.
pub type Judge<'j> = dyn FnMut(LedgerValue<'_>) -> Result<(), String> + 'j;

impl Catalog {
    /// Reads every row of the ledger. Returns those that cannot be relied on, at most 100; that a row refers to one that is not there,
    /// [`Catalog::integrity_check`] says. An error only where the system refuses to read.
    pub fn ledger_faults(&self, judge: &mut Judge<'_>) -> Result<Vec<LedgerFault>, CatalogError> {
        self.read(|connection| {
            let mut look = Look { connection, faults: Vec::new() };
            look.changes(judge)?;
            look.points(judge)?;
            look.paths_and_segments(judge)?;
            look.words_and_reads()?;
            look.faults.truncate(FAULTS_MAX);
            Ok(look.faults)
        })
    }
}

/// The rows, as far as they were looked at.
struct Look<'c> {
    connection: &'c Connection,
    faults: Vec<LedgerFault>,
}

impl Look<'_> {
    fn changes(&mut self, judge: &mut Judge<'_>) -> Result<(), CatalogError> {
        self.each("changes", &format!("{} ORDER BY seq", changes::SELECT), &mut |row| {
            let found = changes::decode(row).map_err(why)?;
            given(found.seq.0)?;
            found.declared.iter().try_for_each(|path| judge(LedgerValue::Declared(path)))
        })
    }

    fn points(&mut self, judge: &mut Judge<'_>) -> Result<(), CatalogError> {
        let sql = "SELECT seq, at, tree, checkpoint_id, seq = (SELECT max(seq) FROM points WHERE tree IS NOT NULL),
                          (SELECT c.tree FROM checkpoints c WHERE c.checkpoint_id = p.checkpoint_id)
                   FROM points p ORDER BY seq";
        let mut last = None;
        self.each("points", sql, &mut |row| {
            last = Some(row.get::<_, i64>(0).map_err(why)?);
            let point = points::decode(row).map_err(why)?;
            given(point.seq)?;
            let of_checkpoint = columns::digest_or_null(row, 5).map_err(why)?;
            if point.tree.zip(of_checkpoint).is_some_and(|(tree, other)| tree != other) {
                return Err("its tree is not that of its checkpoint".to_owned());
            }
            match point.tree {
                Some(tree) if row.get(4).map_err(why)? => judge(LedgerValue::Base(&tree)),
                _ => Ok(()),
            }
        })?;
        let sql = "SELECT count(*) FROM points WHERE tree IS NOT NULL";
        let has_tree = self.connection.query_row(sql, [], |row| row.get::<_, i64>(0)).is_ok_and(|count| count > 0);
        if let Some(last) = last.filter(|_| !has_tree && self.faults.is_empty()) {
            self.found(format!("points/{last}"), "none of the looks has a tree to begin with".to_owned());
        }
        Ok(())
    }

    fn paths_and_segments(&mut self, judge: &mut Judge<'_>) -> Result<(), CatalogError> {
        self.each("paths", "SELECT path_id, key, sealed FROM paths ORDER BY path_id", &mut |row| {
            given(row.get(0).map_err(why)?)?;
            let path = PathKey { key: row.get(1).map_err(why)?, sealed: row.get(2).map_err(why)? };
            judge(LedgerValue::Path(&path))
        })?;
        let sql = "SELECT path_id || ' at point ' || point, point, change, replayed, before, after FROM segments
                   ORDER BY path_id, point";
        self.each("segments", sql, &mut |row| {
            let (before, segment) = segments::decode(row, 1).map_err(why)?;
            let entries = [before.and_then(segments::present), segment.after];
            entries.iter().flatten().try_for_each(|bytes| judge(LedgerValue::Entry(bytes)))
        })
    }

    fn words_and_reads(&mut self) -> Result<(), CatalogError> {
        let sql = "SELECT path_id || ' of change ' || change, change, by_change, cancelled FROM cancellations";
        self.each("cancellations", sql, &mut |row| segments::word(row, 1).map(drop).map_err(why))?;
        let sql = "SELECT path_id || ' by change ' || change, change, point FROM reads";
        self.each("reads", sql, &mut |row| segments::reading(row, 1).map(drop).map_err(why))
    }

    /// Looks at each row; the first column names it.
    fn each(
        &mut self,
        table: &str,
        sql: &str,
        look: &mut dyn FnMut(&Row<'_>) -> Result<(), String>,
    ) -> Result<(), CatalogError> {
        let connection = self.connection;
        let mut walk = |faults: &mut Vec<LedgerFault>| -> rusqlite::Result<()> {
            let mut statement = connection.prepare(sql)?;
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                if let Err(why) = look(row) {
                    let name = row.get_ref(0).map(columns::shown).unwrap_or_default();
                    faults.push(LedgerFault { place: format!("{table}/{name}"), why });
                    if faults.len() >= FAULTS_MAX {
                        break;
                    }
                }
            }
            Ok(())
        };
        match walk(&mut self.faults).map_err(CatalogError::from) {
            Err(error) if error.is_of_system() => Err(error),
            Err(error) => {
                let why = error.source().map_or_else(|| error.to_string(), ToString::to_string);
                self.found(table.to_owned(), why);
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }

    fn found(&mut self, place: String, why: String) {
        self.faults.push(LedgerFault { place, why });
    }
}

/// Whether a number is one that is given to rows.
fn given(number: i64) -> Result<(), String> {
    if (1..=PLACE_MAX).contains(&number) { Ok(()) } else { Err("it has a number that is never given".to_owned()) }
}

/// What does not fit, without what SQLite says around it.
fn why(error: rusqlite::Error) -> String {
    match error {
        rusqlite::Error::FromSqlConversionFailure(_, _, source) => source.to_string(),
        other => other.to_string(),
    }
}
