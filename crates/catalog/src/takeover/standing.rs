//! How checkpoints stood in an old catalog, beyond what their manifests say: deleted, verified, proved to be committed.
//!
//! Owns for which of them that still holds. Refuses to believe a row that contradicts its manifest.

use std::collections::{HashMap, HashSet};

use rusqlite::types::Value;
use rusqlite::{Connection, params};

use crate::catalog::Catalog;
use crate::error::CatalogError;

/// What a row says by its manifest.
const SAID: &str = "workflow_id, checkpoint_type, trigger_kind, created_at, phase_id, phase_name, tree, hard_links, \
                    coverage, manifest, predecessor, tags, retention, complete, has_files, total, directories, bytes, added, \
                    changed, removed, size_bytes, state";

/// What it says besides.
const BESIDE: &str = "recovered, verification, verified_at, head_tag, deleted_at";

/// How many columns these are.
const BESIDE_COUNT: usize = 5;

/// A row: what it says by its manifest, and what besides.
struct Row {
    name: String,
    said: Vec<Value>,
    beside: Vec<Value>,
}

impl Row {
    fn is_deleted(&self) -> bool {
        self.beside[BESIDE_COUNT - 1] != Value::Null
    }

    fn is_recovered(&self) -> bool {
        self.beside[0] != Value::Integer(0)
    }

    /// Whether it says of a checkpoint what its manifest says, as the newly made row does. One that came back or was imported
    /// may have another name by right.
    fn agrees_with(&self, made: &Self) -> bool {
        self.said == made.said && (self.is_recovered() || self.name == made.name)
    }
}

impl Catalog {
    /// Takes over how checkpoints stood in another catalog of the vault, where a row of it says what the one here says, and
    /// both are deleted or neither is. One counts as committed only where it follows the one before it.
    pub fn take_over_standing(&self, old: &Self) -> Result<(), CatalogError> {
        let before: HashMap<String, Row> = rows(&old.connection)?.into_iter().map(|(_, id, row)| (id, row)).collect();
        self.write(|transaction| {
            let sql = "UPDATE checkpoints SET recovered = ?2, verification = ?3, verified_at = ?4, head_tag = ?5, deleted_at = ?6
                       WHERE checkpoint_id = ?1";
            let mut update = transaction.prepare(sql)?;
            let mut chain = Chain::default();
            for (seq, id, row) in rows(transaction)? {
                let follows = chain.goes_on(seq, &id, &row);
                let fits = |old: &&Row| old.agrees_with(&row) && old.is_deleted() == row.is_deleted();
                let Some(old) = before.get(&id).filter(fits) else { continue };
                let recovered = old.is_recovered() || !follows;
                let [_, verification, verified_at, head_tag, deleted_at] = old.beside.as_slice() else { continue };
                update.execute(params![id, recovered, verification, verified_at, head_tag, deleted_at])?;
            }
            Ok(())
        })
    }
}

/// The chain as far as it was followed.
#[derive(Default)]
struct Chain {
    last: Option<String>,
    imported: HashSet<String>,
}

impl Chain {
    /// Whether the next checkpoint follows the one before it. What was imported is no link, but the first one may follow it.
    fn goes_on(&mut self, seq: i64, id: &str, row: &Row) -> bool {
        if seq < 0 {
            self.imported.insert(id.to_owned());
            return false;
        }
        let predecessor = match &row.said[PREDECESSOR] {
            Value::Text(id) => Some(id.clone()),
            _ => None,
        };
        let is_first = self.last.is_none();
        let follows =
            predecessor == self.last || is_first && predecessor.as_ref().is_some_and(|id| self.imported.contains(id));
        self.last = Some(id.to_owned());
        follows
    }
}

/// The place of the predecessor in what a row says.
const PREDECESSOR: usize = 10;

/// All rows in their order: place, id, and the rest.
fn rows(connection: &Connection) -> Result<Vec<(i64, String, Row)>, CatalogError> {
    let sql = format!("SELECT seq, checkpoint_id, name, {BESIDE}, {SAID} FROM checkpoints ORDER BY seq");
    let mut statement = connection.prepare(&sql)?;
    let count = statement.column_count();
    let rows = statement.query_map([], |row| {
        let values =
            |from: usize, upto: usize| (from..upto).map(|index| row.get(index)).collect::<Result<Vec<Value>, _>>();
        let row_of =
            Row { name: row.get(2)?, beside: values(3, 3 + BESIDE_COUNT)?, said: values(3 + BESIDE_COUNT, count)? };
        Ok((row.get(0)?, row.get(1)?, row_of))
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}
