//! Bringing back what a lost catalog knew, from the manifests that the packs hold; and importing from archives.
//!
//! Owns the rules for rows whose commit can't be proved: they are marked `recovered`, and a clash of names gives the
//! later one a number. Refuses to read manifests: the caller hands them in, in the order of their chain.

use rusqlite::{Connection, OptionalExtension};
use wfr_model::recovery::RecoveryRecord;
use wfr_model::{Digest, PackId};

use crate::catalog::Catalog;
use crate::checkpoints::{self, NewCheckpoint, Seq};
use crate::columns;
use crate::error::CatalogError;
use crate::events::snapshots;
use crate::operations::{self, NewOperation};
use crate::{packs, recoveries, workflows};

/// A checkpoint that was brought back.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Recovered {
    /// Its place in the order.
    pub seq: Seq,
    /// Its name in the catalog: the manifest's, with a number where that one was taken.
    pub name: String,
}

/// How much a catalog knows that no checkpoint seals, and so no rebuild brings back.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Unsealed {
    /// Recoveries that were recorded.
    pub recoveries: u64,
    /// Messages to others, the recorded answers to requests among them.
    pub messages: u64,
    /// Sinks whose place in the log is kept.
    pub subscriptions: u64,
    /// Items that sinks did not take.
    pub dead_letters: u64,
}

impl Catalog {
    /// Counts what no checkpoint seals.
    pub fn count_unsealed(&self) -> Result<Unsealed, CatalogError> {
        let sql = "SELECT (SELECT count(*) FROM recoveries), (SELECT count(*) FROM messages),
                     (SELECT count(*) FROM subscriptions), (SELECT count(*) FROM dead_letters)";
        let mut statement = self.connection.prepare_cached(sql)?;
        Ok(statement.query_row([], |row| {
            Ok(Unsealed {
                recoveries: columns::count(row, 0)?,
                messages: columns::count(row, 1)?,
                subscriptions: columns::count(row, 2)?,
                dead_letters: columns::count(row, 3)?,
            })
        })?)
    }

    /// Inserts checkpoints behind the present head, marked `recovered`, with the packs' lengths and one line of the
    /// audit trail, in one transaction. Predecessors are kept as the manifests have them and not checked.
    ///
    /// One that is there with the same manifest is left alone and not among those returned;
    /// [`CatalogError::IdTaken`] where its manifest is another one, and then nothing is inserted.
    pub fn insert_recovered(
        &self,
        found: &[NewCheckpoint],
        extents: &[(PackId, u64)],
        audit: &NewOperation,
    ) -> Result<Vec<Recovered>, CatalogError> {
        self.write(|transaction| {
            packs::advance(transaction, extents)?;
            let mut inserted = Vec::new();
            for checkpoint in found {
                inserted.extend(insert_one(transaction, checkpoint, audit)?);
            }
            operations::insert(transaction, audit)?;
            Ok(inserted)
        })
    }

    /// Inserts the record of a recovery as it is, its target unchecked: one that a journal tells of after the catalog
    /// was lost. `false` where it is there already, which changes nothing.
    pub fn insert_recovered_recovery(&self, record: &RecoveryRecord) -> Result<bool, CatalogError> {
        self.write(|transaction| {
            if recoveries::find(transaction, &record.recovery_id)?.is_some() {
                return Ok(false);
            }
            workflows::insert(transaction, &record.workflow_id, record.started_at)?;
            recoveries::insert(transaction, record)?;
            Ok(true)
        })
    }
}

fn insert_one(
    connection: &Connection,
    checkpoint: &NewCheckpoint,
    audit: &NewOperation,
) -> Result<Option<Recovered>, CatalogError> {
    match known_manifest(connection, checkpoint)? {
        Some(manifest) if manifest == checkpoint.manifest => return Ok(None),
        Some(_) => {
            return Err(CatalogError::IdTaken { what: "checkpoint", id: checkpoint.checkpoint_id.to_string() });
        }
        None => {}
    }
    workflows::insert(connection, &checkpoint.workflow_id, audit.at)?;
    let name = checkpoints::free_name(connection, &checkpoint.workflow_id, &checkpoint.name)?;
    let seq = checkpoints::insert(connection, checkpoint, &name, true)?;
    snapshots::seal(connection, &checkpoint.seals)?;
    if let Some(seal) = &checkpoint.ledger_seal {
        crate::ledger::put_seal(connection, seal)?;
    }
    Ok(Some(Recovered { seq, name }))
}

fn known_manifest(connection: &Connection, checkpoint: &NewCheckpoint) -> Result<Option<Digest>, CatalogError> {
    let mut statement = connection.prepare_cached("SELECT manifest FROM checkpoints WHERE checkpoint_id = ?1")?;
    let found = statement.query_row([checkpoint.checkpoint_id.as_str()], |row| columns::digest(row, 0));
    Ok(found.optional()?)
}
