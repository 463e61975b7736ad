//! Bringing back what a lost catalog knew, from the manifests that the packs hold; and importing from archives.
//!
//! Owns the rules for rows whose commit can't be proved: they are marked `recovered`, and a clash of names gives the
//! later one a number. What an archive brings stands before all that is there, so that nothing of it is ever newer than what
//! was taken here. Refuses to read manifests: the caller hands them in, in the order of their chain.

use rusqlite::{Connection, OptionalExtension, Transaction};
use wfr_model::checkpoint::VerificationStatus;
use wfr_model::recovery::RecoveryRecord;
use wfr_model::{CheckpointId, Digest, PackId};

use crate::catalog::Catalog;
use crate::checkpoints::{self, NewCheckpoint, Origin, Seq};
use crate::columns;
use crate::error::CatalogError;
use crate::events::{Seal, snapshots};
use crate::operations::{self, NewOperation};
use crate::{packs, recoveries, workflows};

/// A checkpoint that was brought back.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Recovered {
    /// Which.
    pub checkpoint_id: CheckpointId,
    /// Its place in the order.
    pub seq: Seq,
    /// Its name in the catalog: the manifest's, with a number where that one was taken.
    pub name: String,
}

/// The mark of an import, an object that the packs hold.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Import {
    /// The object.
    pub object: Digest,
    /// The place of the first checkpoint that it brought.
    pub place: Seq,
    /// How many it brought that were not known.
    pub checkpoints: usize,
    /// The objects with the events that came.
    pub seals: Vec<Seal>,
}

/// What imports brought, as far as the packs tell.
#[derive(Clone, Copy, Debug, Default)]
pub struct Brought<'b> {
    /// The checkpoints, in their order.
    pub checkpoints: &'b [NewCheckpoint],
    /// The marks.
    pub imports: &'b [Import],
}

impl Catalog {
    /// Inserts checkpoints behind the present head, marked `recovered`, and those that imports brought before all others, with
    /// the packs' lengths and one line of the audit trail, in one transaction. Predecessors are kept as the manifests have
    /// them and not checked.
    ///
    /// One that is there with the same manifest is left alone and not among those returned;
    /// [`CatalogError::IdTaken`] where its manifest is another one, and then nothing is inserted.
    pub fn insert_recovered(
        &self,
        found: &[NewCheckpoint],
        brought: Brought<'_>,
        extents: &[(PackId, u64)],
        audit: &NewOperation,
    ) -> Result<Vec<Recovered>, CatalogError> {
        self.insert_found(extents, audit, |transaction| {
            brought.imports.iter().try_for_each(|import| note(transaction, import))?;
            let mut place = next_place(transaction, brought.checkpoints.len())?;
            let mut inserted = Vec::new();
            for checkpoint in brought.checkpoints {
                inserted.extend(insert_one(transaction, checkpoint, Origin::Imported(place), audit)?);
                place.0 += 1;
            }
            for checkpoint in found {
                inserted.extend(insert_one(transaction, checkpoint, Origin::Recovered, audit)?);
            }
            Ok(inserted)
        })
    }

    /// The place of the first of so many checkpoints that an import is about to bring.
    pub fn place_of_import(&self, count: usize) -> Result<Seq, CatalogError> {
        next_place(&self.connection, count)
    }

    /// Inserts checkpoints of an archive in the same way, but before all that are there, with the import's mark, which may
    /// lack where all are known. One that was deleted here stands again at its own place, under a free name, and is among those
    /// returned.
    ///
    /// [`CatalogError::HeadMoved`] where the mark does not say what is true any more, since another process was faster: build
    /// it again. Nothing was inserted then.
    pub fn insert_imported(
        &self,
        found: &[NewCheckpoint],
        mark: Option<&Import>,
        extents: &[(PackId, u64)],
        audit: &NewOperation,
    ) -> Result<Vec<Recovered>, CatalogError> {
        self.insert_found(extents, audit, |transaction| {
            let count = mark.map_or(0, |mark| mark.checkpoints);
            let mut place = next_place(transaction, count)?;
            let end = Seq(place.0.saturating_add_unsigned(count as u64));
            let moved = || CatalogError::HeadMoved { head: None };
            if mark.is_some_and(|mark| mark.place != place) {
                return Err(moved());
            }
            let mut inserted = Vec::new();
            for checkpoint in found {
                if let Some(revived) = revive(transaction, checkpoint)? {
                    inserted.push(revived);
                } else if place == end && known_manifest(transaction, checkpoint)?.is_none() {
                    return Err(moved());
                } else if let Some(new) = insert_one(transaction, checkpoint, Origin::Imported(place), audit)? {
                    inserted.push(new);
                    place.0 += 1;
                }
            }
            if place != end {
                return Err(moved());
            }
            mark.map(|mark| note(transaction, mark)).transpose()?;
            Ok(inserted)
        })
    }

    /// The marks of imports, which are kept for good.
    pub fn imports(&self) -> Result<Vec<Digest>, CatalogError> {
        let mut statement = self.connection.prepare_cached("SELECT object FROM imports")?;
        let objects = statement.query_map([], |row| columns::digest(row, 0))?;
        Ok(objects.collect::<Result<_, _>>()?)
    }

    /// Inserts checkpoints with the packs' lengths and one line of the audit trail, in one transaction.
    fn insert_found(
        &self,
        extents: &[(PackId, u64)],
        audit: &NewOperation,
        insert: impl FnOnce(&Transaction<'_>) -> Result<Vec<Recovered>, CatalogError>,
    ) -> Result<Vec<Recovered>, CatalogError> {
        self.write(|transaction| {
            packs::advance(transaction, extents)?;
            let inserted = insert(transaction)?;
            operations::insert(transaction, audit)?;
            Ok(inserted)
        })
    }

    /// Inserts the record of a recovery as it is, its target unchecked: one that a journal tells of after the catalog
    /// was lost. `false` where it is there already, which changes nothing.
    pub fn insert_recovered_recovery(&self, record: &RecoveryRecord) -> Result<bool, CatalogError> {
        self.write(|transaction| {
            if recoveries::find(transaction, self.veil.as_ref(), &record.recovery_id)?.is_some() {
                return Ok(false);
            }
            workflows::insert(transaction, &record.workflow_id, record.started_at)?;
            recoveries::insert(transaction, self.veil.as_ref(), record)?;
            Ok(true)
        })
    }
}

/// Notes a mark with the seals that it names.
fn note(connection: &Connection, import: &Import) -> Result<(), CatalogError> {
    let sql = "INSERT INTO imports (object) VALUES (?1) ON CONFLICT DO NOTHING";
    connection.prepare_cached(sql)?.execute([import.object.0])?;
    snapshots::seal(connection, &import.seals)
}

/// The place of the first of so many that stand before all that are there.
fn next_place(connection: &Connection, count: usize) -> Result<Seq, CatalogError> {
    let sql = "SELECT min(0, coalesce(min(seq), 0)) FROM checkpoints";
    let first: i64 = connection.prepare_cached(sql)?.query_row([], |row| row.get(0))?;
    Ok(Seq(first - i64::try_from(count).unwrap_or(i64::MAX)))
}

/// Lets a checkpoint that was deleted stand again, where its manifest is the same; `None` where there is none.
fn revive(connection: &Connection, checkpoint: &NewCheckpoint) -> Result<Option<Recovered>, CatalogError> {
    let sql = "SELECT seq FROM checkpoints WHERE checkpoint_id = ?1 AND manifest = ?2 AND deleted_at IS NOT NULL";
    let mut statement = connection.prepare_cached(sql)?;
    let deleted = (checkpoint.checkpoint_id.as_str(), checkpoint.manifest.0);
    let Some(seq) = statement.query_row(deleted, |row| row.get(0)).optional()? else { return Ok(None) };
    let name = checkpoints::free_name(connection, &checkpoint.workflow_id, &checkpoint.name)?;
    // What a validation found before it went says nothing of the objects that came now.
    let sql =
        "UPDATE checkpoints SET deleted_at = NULL, recovered = 1, name = ?2, verification = ?3, verified_at = NULL
               WHERE seq = ?1";
    let unknown = VerificationStatus::Unknown.as_str();
    connection.prepare_cached(sql)?.execute((seq, &name, unknown))?;
    Ok(Some(Recovered { checkpoint_id: checkpoint.checkpoint_id.clone(), seq: Seq(seq), name }))
}

fn insert_one(
    connection: &Connection,
    checkpoint: &NewCheckpoint,
    origin: Origin,
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
    let seq = checkpoints::insert(connection, checkpoint, &name, origin)?;
    snapshots::seal(connection, &checkpoint.seals)?;
    for seal in &checkpoint.ledger_seals {
        crate::ledger::put_seal(connection, seal)?;
    }
    Ok(Some(Recovered { checkpoint_id: checkpoint.checkpoint_id.clone(), seq, name }))
}

fn known_manifest(connection: &Connection, checkpoint: &NewCheckpoint) -> Result<Option<Digest>, CatalogError> {
    let mut statement = connection.prepare_cached("SELECT manifest FROM checkpoints WHERE checkpoint_id = ?1")?;
    let found = statement.query_row([checkpoint.checkpoint_id.as_str()], |row| columns::digest(row, 0));
    Ok(found.optional()?)
}
