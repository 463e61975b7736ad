//! Taking over what another catalog of the vault says, where a new one is made in its place.
//!
//! Owns what belongs together: of a part of the old catalog all rows come, or none. What is there already stays, since it
//! was proved. Refuses to open what is sealed: rows come as they stand.

mod standing;

use rusqlite::types::Value;
use rusqlite::{Connection, ToSql, ffi, params_from_iter};

use crate::catalog::Catalog;
use crate::error::CatalogError;
use crate::events::PLACE_MAX;
use crate::outbox::damage;
use crate::recoveries;

/// Tables of a catalog that say nothing without each other.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Part {
    /// The workflows, and the vault's counters.
    Vault,
    /// The checkpoints. These are not taken over, since their manifests say what they are: see [`Catalog::take_over_standing`].
    Checkpoints,
    /// The audit trail.
    Trail,
    /// Who holds what.
    Holds,
    /// Messages, sinks and what these did not take.
    Outbox,
    /// Who changed what.
    Ledger,
    /// The records of recoveries. One whose change did not come is left, and so is one that cannot be read: it could not be undone.
    Recoveries,
}

/// Of what an old catalog had more than came over.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Left {
    /// What these are, in words that follow a number.
    pub what: &'static str,
    /// How many; `None` where that cannot be read.
    pub count: Option<u64>,
}

/// What people miss, in words, with its table and what names a row of it.
const TOLD: [(&str, &str, &str); 7] = [
    ("changes of the ledger", "changes", "change_id"),
    ("recoveries", "recoveries", "recovery_id"),
    ("messages and recorded answers", "messages", "message_id"),
    ("places of sinks", "subscriptions", "name"),
    ("items put aside", "dead_letters", "seq"),
    ("holds", "holds", "hold_key"),
    ("operations of the audit trail", "operations", "operation_id"),
];

/// A row's place, where it is one that can be given: see [`PLACE_MAX`].
const PLACE: &str = "iif(seq BETWEEN 1 AND (1 << 53), seq, NULL)";

impl Part {
    /// Its tables, each before those that refer to it.
    pub(crate) fn tables(self) -> &'static [&'static str] {
        match self {
            Self::Vault => &["vault", "workflows"],
            Self::Checkpoints => &["checkpoints", "checkpoint_tags"],
            Self::Trail => &["operations"],
            Self::Holds => &["holds"],
            Self::Outbox => &["messages", "subscriptions", "dead_letters"],
            Self::Ledger => &["changes", "points", "paths", "segments", "cancellations", "reads"],
            Self::Recoveries => &["recoveries"],
        }
    }
}

impl Catalog {
    /// Whether SQLite finds nothing wrong with the tables of a part. An error only where the system refuses to read them.
    pub fn is_sound(&self, part: Part) -> Result<bool, CatalogError> {
        for table in part.tables() {
            match is_sound(&self.connection, table).map_err(CatalogError::from) {
                Ok(true) => {}
                Err(error) if error.is_of_system() => return Err(error),
                _ => return Ok(false),
            }
        }
        Ok(true)
    }

    /// Takes a part over from another catalog of the vault, in one transaction. A row whose place or id is taken is left, and one
    /// of the ledger brings a change's end along.
    ///
    /// [`CatalogError::IdTaken`] where the ledger there is another one than the one here, and then nothing came.
    pub fn take_over(&self, old: &Self, part: Part) -> Result<(), CatalogError> {
        self.write(|transaction| {
            transaction.pragma_update(None, "defer_foreign_keys", true)?;
            for table in part.tables() {
                if *table == "vault" {
                    take_counters(&old.connection, transaction)?;
                } else {
                    take_rows(old, transaction, table)?;
                    take_sequence(&old.connection, transaction, table)?;
                }
            }
            Ok(())
        })
    }

    /// Of what another catalog of the vault has more than this one.
    pub fn lacks_of(&self, old: &Self) -> Vec<Left> {
        let missing = |(what, table, name)| {
            let count = missing(&old.connection, &self.connection, table, name).ok();
            Left { what, count }
        };
        TOLD.into_iter().map(missing).filter(|left| left.count != Some(0)).collect()
    }
}

fn is_sound(connection: &Connection, table: &str) -> Result<bool, rusqlite::Error> {
    let mut statement = connection.prepare(&format!("PRAGMA integrity_check({table})"))?;
    let lines: Vec<String> = statement.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
    // Of a tree all that is found stands in one row.
    if let Some(code) = lines.iter().flat_map(|row| row.lines()).find_map(refusal) {
        return Err(rusqlite::Error::SqliteFailure(ffi::Error::new(code), None));
    }
    let refers = "SELECT EXISTS (SELECT 1 FROM pragma_foreign_key_check(?1))";
    let is_dangling: bool = connection.query_row(refers, [table], |row| row.get(0))?;
    Ok(lines == ["ok"] && !is_dangling)
}

/// The code in a line of the check that says no more than that the system did not let a page be read.
fn refusal(line: &str) -> Option<i32> {
    let (_, code) = line.rsplit_once("error code=")?;
    let code: i32 = code.trim().parse().ok()?;
    matches!(code & 0xff, ffi::SQLITE_IOERR | ffi::SQLITE_CANTOPEN | ffi::SQLITE_FULL | ffi::SQLITE_BUSY)
        .then_some(code)
}

/// Counters never go back: who was given a token or a generation keeps its place. One that was never reached is not gone on
/// from: then the tokens count that somebody has.
fn take_counters(old: &Connection, new: &Connection) -> Result<(), CatalogError> {
    let sql = "SELECT created_at, iif(generation <= ?1, generation, 0),
                      iif(fencing <= ?1, fencing, coalesce((SELECT max(token) FROM holds WHERE token <= ?1), 0))
               FROM vault";
    let counters: (i64, i64, i64) =
        old.query_row(sql, [PLACE_MAX], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    let sql = "UPDATE vault SET created_at = ?1, generation = max(generation, ?2), fencing = max(fencing, ?3)";
    new.execute(sql, counters)?;
    Ok(())
}

fn take_rows(from: &Catalog, new: &Connection, table: &str) -> Result<(), CatalogError> {
    let old = &from.connection;
    let columns = columns_of(new, table)?;
    let read: Vec<&str> = columns.iter().map(|column| reading(table, column)).collect();
    let has_places = columns.iter().any(|column| column == "seq");
    // What stands at a place that is never given gets one behind all others.
    let order = if has_places { format!(" ORDER BY {PLACE} IS NULL, seq") } else { String::new() };
    let mut source =
        old.prepare(&format!("SELECT {} FROM {table} WHERE {}{order}", read.join(", "), readable(table)))?;
    let marks = vec!["?"; columns.len()].join(", ");
    let insert = format!("INSERT INTO {table} ({}) VALUES ({marks}) {}", columns.join(", "), clash(table));
    let mut insert = new.prepare(&insert)?;
    let mut same = identity(table).map(|check| new.prepare(check)).transpose()?;
    let mut is_gone = new.prepare("SELECT NOT EXISTS (SELECT 1 FROM changes WHERE recovery_id = ?1)")?;
    let mut had_change = old.prepare("SELECT EXISTS (SELECT 1 FROM changes WHERE recovery_id = ?1)")?;
    let mut rows = source.query([])?;
    while let Some(row) = rows.next()? {
        let values = (0..columns.len()).map(|index| row.get(index)).collect::<Result<Vec<Value>, _>>()?;
        if table == "recoveries" {
            // The first column is the place, the second the id.
            let lacks_change: bool = had_change.query_row([&values[1]], |row| row.get(0))?;
            if lacks_change && is_gone.query_row([&values[1]], |row| row.get(0))? {
                continue;
            }
            if !recoveries::is_readable(old, from.veil.as_ref(), &values[1])? {
                continue;
            }
        }
        if insert.execute(params_from_iter(&values))? == 0
            && let Some(same) = &mut same
        {
            let first: [&dyn ToSql; 2] = [&values[0], &values[1]];
            if !same.exists(first)? {
                return Err(CatalogError::IdTaken { what: "row of the ledger", id: format!("{:?}", values[0]) });
            }
        }
    }
    Ok(())
}

fn columns_of(connection: &Connection, table: &str) -> Result<Vec<String>, CatalogError> {
    let mut statement = connection.prepare("SELECT name FROM pragma_table_info(?1) ORDER BY cid")?;
    let names = statement.query_map([table], |row| row.get(0))?;
    Ok(names.collect::<Result<_, _>>()?)
}

/// How a column is read: what cannot be is set right where nothing is lost by it. A sink that stands where it cannot is set back
/// by whoever delivers to it.
fn reading<'c>(table: &str, column: &'c str) -> &'c str {
    match (table, column) {
        ("subscriptions" | "dead_letters", "attempts") => damage::ATTEMPTS,
        // Of the ledger others refer to places, and one that has a wrong one is not taken over.
        ("recoveries" | "operations" | "messages" | "dead_letters", "seq") => PLACE,
        _ => column,
    }
}

/// Which rows come: what nobody could be sent does not.
fn readable(table: &str) -> &'static str {
    if matches!(table, "messages" | "dead_letters") { damage::READABLE } else { "true" }
}

/// What becomes of a row that is there already.
fn clash(table: &str) -> &'static str {
    match table {
        "changes" => {
            "ON CONFLICT (seq) DO UPDATE SET ended_at = excluded.ended_at, source = excluded.source,
                                         confidence = excluded.confidence, evidence = excluded.evidence
             WHERE changes.ended_at IS NULL AND excluded.ended_at IS NOT NULL AND changes.change_id = excluded.change_id"
        }
        "reads" => "ON CONFLICT DO UPDATE SET point = max(point, excluded.point)",
        "workflows" => "ON CONFLICT DO UPDATE SET registered_at = excluded.registered_at",
        _ => "ON CONFLICT DO NOTHING",
    }
}

/// How it is found out whether a row that is there already is the one that comes, by the first two columns.
fn identity(table: &str) -> Option<&'static str> {
    match table {
        "changes" => Some("SELECT 1 FROM changes WHERE seq = ?1 AND change_id = ?2"),
        "points" => Some("SELECT 1 FROM points WHERE seq = ?1 AND at = ?2"),
        "paths" => Some("SELECT 1 FROM paths WHERE path_id = ?1 AND key = ?2"),
        _ => None,
    }
}

/// Places that were given stay given, though their rows are gone by now.
fn take_sequence(old: &Connection, new: &Connection, table: &str) -> Result<(), CatalogError> {
    let mut statement = old.prepare("SELECT seq FROM sqlite_sequence WHERE name = ?1 AND seq BETWEEN 1 AND ?2")?;
    let mut rows = statement.query((table, PLACE_MAX))?;
    let Some(row) = rows.next()? else { return Ok(()) };
    let seq: i64 = row.get(0)?;
    let sql = "UPDATE sqlite_sequence SET seq = max(seq, ?2) WHERE name = ?1";
    if new.execute(sql, (table, seq))? == 0 {
        new.execute("INSERT INTO sqlite_sequence (name, seq) VALUES (?1, ?2)", (table, seq))?;
    }
    Ok(())
}

/// How many rows of the old table are not in the new one.
fn missing(old: &Connection, new: &Connection, table: &str, name: &str) -> Result<u64, rusqlite::Error> {
    let mut there = new.prepare(&format!("SELECT 1 FROM {table} WHERE {name} = ?1"))?;
    let mut statement = old.prepare(&format!("SELECT {name} FROM {table}"))?;
    let mut rows = statement.query([])?;
    let mut count = 0;
    while let Some(row) = rows.next()? {
        count += u64::from(!there.exists([row.get::<_, Value>(0)?])?);
    }
    Ok(count)
}

#[cfg(test)]
mod tests {
    use wfr_model::Timestamp;

    use super::*;
    use crate::catalog::VaultIdentity;
    use crate::ledger::{NewPoint, PointSeq};

    fn catalog(points: &[i64]) -> (tempfile::TempDir, Catalog) {
        let dir = tempfile::tempdir().unwrap();
        let (vault_id, workspace) = ("0".repeat(32), dir.path().to_owned());
        let identity = VaultIdentity { vault_id, encrypted: false, created_at: Timestamp(0), workspace };
        let catalog = Catalog::create(&dir.path().join("catalog.db"), &identity).unwrap();
        let mut last = None;
        for at in points {
            last = Some(catalog.commit_point(&NewPoint::new(last, Timestamp(*at)), &[]).unwrap());
        }
        (dir, catalog)
    }

    fn points(catalog: &Catalog) -> Vec<(i64, i64)> {
        let mut statement = catalog.connection.prepare("SELECT seq, at FROM points ORDER BY seq").unwrap();
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
        rows.map(Result::unwrap).collect()
    }

    #[test]
    fn a_ledger_comes_behind_the_one_that_is_there_or_not_at_all() {
        let (_old_dir, old) = catalog(&[10, 20, 30]);
        for (there, comes) in [(&[10, 20][..], true), (&[10, 21], false), (&[], true)] {
            let (_dir, new) = catalog(there);
            let before = points(&new);
            match new.take_over(&old, Part::Ledger) {
                Ok(()) => assert!(comes && points(&new) == points(&old)),
                Err(error) => {
                    assert!(!comes && points(&new) == before && matches!(error, CatalogError::IdTaken { .. }))
                }
            }
        }
    }

    #[test]
    fn a_page_that_the_system_does_not_give_is_no_damage() {
        assert_eq!(refusal("Tree 7 page 9: unable to get the page. error code=266"), Some(266));
        for damage in ["Tree 7 page 9: unable to get the page. error code=11", "wrong # of entries in index x", "ok"] {
            assert_eq!(refusal(damage), None);
        }
    }

    #[test]
    fn places_that_were_given_are_not_given_again() {
        let ((_old_dir, old), (_dir, new)) = (catalog(&[10, 20]), catalog(&[]));
        old.connection.execute("DELETE FROM points", []).unwrap();
        new.take_over(&old, Part::Ledger).unwrap();
        assert_eq!(new.commit_point(&NewPoint::new(None, Timestamp(30)), &[]).unwrap(), PointSeq(3));
    }

    #[test]
    fn a_part_with_a_row_that_refers_to_nothing_is_not_sound() {
        let (_dir, catalog) = catalog(&[10]);
        assert!(catalog.is_sound(Part::Ledger).unwrap());
        let sql = "PRAGMA foreign_keys = OFF; INSERT INTO segments VALUES (7, 1, 7, 0, NULL, x'00')";
        catalog.connection.execute_batch(sql).unwrap();
        assert!(!catalog.is_sound(Part::Ledger).unwrap() && catalog.is_sound(Part::Recoveries).unwrap());
    }
}
