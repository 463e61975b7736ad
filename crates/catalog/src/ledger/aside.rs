//! Doing without the ledger, where it cannot be read.
//!
//! Owns what such a catalog looks like: one whose ledger nobody keeps. Refuses to lose anything: what stands aside stays as it is,
//! and whoever asks what must be kept is told of it still.

use rusqlite::Connection;

use crate::catalog::Catalog;
use crate::error::CatalogError;
use crate::events::PLACE_MAX;
use crate::takeover::Part;

impl Catalog {
    /// Lets the ledger stand aside until this catalog is closed: it reads as if nobody had ever kept one, and nothing is written to
    /// it. Of other processes none sees that.
    pub fn set_ledger_aside(&self) -> Result<(), CatalogError> {
        // What is temporary comes before what is not where a name means both; a view takes no rows.
        let view =
            |table: &&str| format!("CREATE TEMP VIEW IF NOT EXISTS {table} AS SELECT * FROM main.{table} WHERE false;");
        let views: String = Part::Ledger.tables().iter().map(view).collect();
        Ok(self.connection.execute_batch(&format!("PRAGMA temp_store = MEMORY; {views}"))?)
    }

    /// Takes all of the ledger away, in a catalog that is built again. Numbers that were given are not given again.
    pub fn clear_ledger(&self) -> Result<(), CatalogError> {
        self.write(|transaction| {
            transaction.pragma_update(None, "defer_foreign_keys", true)?;
            for table in Part::Ledger.tables() {
                transaction.execute(&format!("DELETE FROM main.{table}"), [])?;
            }
            Ok(())
        })
    }
}

/// Refuses to go on behind a number that was never given: there is none behind the highest that SQLite knows.
pub(super) fn check_numbers(connection: &Connection) -> Result<(), CatalogError> {
    let sql = "SELECT (SELECT max(seq) FROM points) > ?1 OR (SELECT max(seq) FROM changes) > ?1
                      OR (SELECT max(path_id) FROM paths) > ?1";
    let is_beyond: Option<bool> = connection.prepare_cached(sql)?.query_row([PLACE_MAX], |row| row.get(0))?;
    match is_beyond {
        Some(true) => Err(CatalogError::damaged("a row of the ledger has a number that is never given")),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use wfr_model::Timestamp;

    use crate::catalog::{Catalog, VaultIdentity};
    use crate::ledger::{NewPoint, PointSeq};

    #[test]
    fn a_ledger_that_stands_aside_reads_as_none_and_takes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let (vault_id, workspace) = ("0".repeat(32), dir.path().to_owned());
        let identity = VaultIdentity { vault_id, encrypted: false, created_at: Timestamp(0), workspace };
        let place = dir.path().join("catalog.db");
        let catalog = Catalog::create(&place, &identity).unwrap();
        let tree = Some(wfr_model::Digest([7; 32]));
        let first = NewPoint { tree, ..NewPoint::new(None, Timestamp(1)) };
        catalog.commit_point(&first, &[]).unwrap();
        assert_eq!(catalog.last_point().unwrap(), Some(PointSeq(1)));
        for _ in 0..2 {
            catalog.set_ledger_aside().unwrap();
            assert_eq!((catalog.last_point().unwrap(), catalog.ledger_present().unwrap()), (None, None));
            assert!(catalog.commit_point(&NewPoint::new(None, Timestamp(2)), &[]).is_err());
            assert_eq!(catalog.ledger_tree().unwrap(), tree, "cleanup keeps what it keeps");
        }
        let other = Catalog::open(&place).unwrap();
        assert_eq!(other.last_point().unwrap(), Some(PointSeq(1)));
    }
}
