//! The commit point: one transaction that makes a checkpoint exist, or leaves no trace of it.
//!
//! Owns the conditions under which a checkpoint may be committed, all checked under the write lock. Refuses to sync
//! packs: the caller has done so before.

use std::collections::HashSet;

use rusqlite::{Connection, OptionalExtension, named_params};
use wfr_model::checkpoint::Predecessor;
use wfr_model::{CheckpointId, PackId, WorkflowId};

use super::row::head;
use super::{NewCheckpoint, Seq};
use crate::catalog::Catalog;
use crate::columns::{self, signed};
use crate::error::CatalogError;
use crate::events::{Snapshot, snapshots};
use crate::operations::{self, NewOperation};
use crate::{packs, workflows};

impl Catalog {
    /// Commits a checkpoint with the packs' new lengths and its line of the audit trail: one transaction, one flush.
    ///
    /// The packs must be synced up to `extents` (pack, committed length in bytes) before. An unknown workflow is
    /// registered. [`CatalogError::NameTaken`] and [`CatalogError::IdTaken`] for a clash; [`CatalogError::HeadMoved`]
    /// where the predecessor is not the newest checkpoint of the vault any more: build the manifest again on
    /// [`Catalog::head`]. After any error nothing was committed.
    pub fn commit_checkpoint(
        &self,
        new: &NewCheckpoint,
        extents: &[(PackId, u64)],
        audit: &NewOperation,
    ) -> Result<Seq, CatalogError> {
        self.write(|transaction| {
            check_id_free(transaction, &new.checkpoint_id)?;
            check_name_free(transaction, &new.workflow_id, &new.name)?;
            check_head(transaction, new.predecessor.as_ref())?;
            workflows::insert(transaction, &new.workflow_id, audit.at)?;
            packs::advance(transaction, extents)?;
            let seq = insert(transaction, new, &new.name, Origin::Committed)?;
            if let (Some(state), Some(upto)) = (new.state, new.state_upto) {
                snapshots::settle(transaction, &new.workflow_id, &new.checkpoint_id, &Snapshot { state, upto })?;
            }
            snapshots::seal(transaction, &new.seals)?;
            for seal in &new.ledger_seals {
                crate::ledger::put_seal(transaction, seal)?;
            }
            if let Some(point) = &new.point {
                crate::ledger::insert(transaction, point)?;
            }
            operations::insert(transaction, audit)?;
            Ok(seq)
        })
    }
}

/// Refuses a predecessor that is not the head.
fn check_head(connection: &Connection, expected: Option<&Predecessor>) -> Result<(), CatalogError> {
    let found = head(connection)?;
    let link = found.as_ref().map(super::Head::link);
    if link.as_ref() == expected {
        return Ok(());
    }
    Err(CatalogError::HeadMoved { head: found.map(|head| head.checkpoint_id) })
}

fn check_id_free(connection: &Connection, id: &CheckpointId) -> Result<(), CatalogError> {
    let mut statement = connection.prepare_cached("SELECT 1 FROM checkpoints WHERE checkpoint_id = ?1")?;
    if statement.exists([id.as_str()])? {
        return Err(CatalogError::IdTaken { what: "checkpoint", id: id.to_string() });
    }
    Ok(())
}

/// Refuses a name that an undeleted checkpoint of the workflow has.
pub(super) fn check_name_free(connection: &Connection, workflow: &WorkflowId, name: &str) -> Result<(), CatalogError> {
    let sql = "SELECT checkpoint_id FROM checkpoints WHERE workflow_id = ?1 AND name = ?2 AND deleted_at IS NULL";
    let mut statement = connection.prepare_cached(sql)?;
    let found = statement.query_row((workflow.as_str(), name), |row| columns::id(row, 0)).optional()?;
    match found {
        Some(existing) => Err(CatalogError::NameTaken { name: name.to_owned(), existing }),
        None => Ok(()),
    }
}

/// Where a row comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Origin {
    /// It was committed here.
    Committed,
    /// The packs tell of it.
    Recovered,
    /// An archive brought it: it has this place.
    Imported(Seq),
}

/// Inserts the row and its tags, within the caller's transaction, under the given name.
pub(crate) fn insert(
    connection: &Connection,
    new: &NewCheckpoint,
    name: &str,
    origin: Origin,
) -> Result<Seq, CatalogError> {
    let recovered = origin != Origin::Committed;
    let place = match origin {
        Origin::Imported(seq) => Some(seq.0),
        Origin::Committed | Origin::Recovered => None,
    };
    let sql = "INSERT INTO checkpoints
      (seq, checkpoint_id, workflow_id, name, checkpoint_type, trigger_kind, created_at, phase_id, phase_name,
       tree, hard_links, coverage, manifest, predecessor, tags, retention, complete, has_files, verification, verified_at,
       total, directories, bytes, added, changed, removed, size_bytes, recovered, head_tag, state)
      VALUES
      (:seq, :checkpoint_id, :workflow_id, :name, :checkpoint_type, :trigger_kind, :created_at, :phase_id, :phase_name,
       :tree, :hard_links, :coverage, :manifest, :predecessor, :tags, :retention, :complete, :has_files, :verification,
       :verified_at, :total, :directories, :bytes, :added, :changed, :removed, :size_bytes, :recovered, :head_tag, :state)";
    let tags = distinct(&new.tags);
    connection.prepare_cached(sql)?.execute(named_params! {
        ":seq": place,
        ":checkpoint_id": new.checkpoint_id.as_str(),
        ":workflow_id": new.workflow_id.as_str(),
        ":name": name,
        ":checkpoint_type": new.checkpoint_type.as_str(),
        ":trigger_kind": new.trigger.as_str(),
        ":created_at": new.created_at.0,
        ":phase_id": new.phase_id,
        ":phase_name": new.phase_name,
        ":tree": new.tree.map(|digest| digest.0),
        ":hard_links": new.hard_links.map(|digest| digest.0),
        ":coverage": new.coverage.map(|digest| digest.0),
        ":manifest": new.manifest.0,
        ":predecessor": new.predecessor.as_ref().map(|link| link.checkpoint_id.as_str()),
        ":tags": tags_text(&tags),
        ":retention": new.retention,
        ":complete": new.complete,
        ":has_files": new.has_files,
        ":verification": new.verification.as_str(),
        ":verified_at": new.verified_at.map(|time| time.0),
        ":total": signed(new.files.total),
        ":directories": signed(new.files.directories),
        ":bytes": signed(new.files.bytes),
        ":added": signed(new.files.added),
        ":changed": signed(new.files.changed),
        ":removed": signed(new.files.removed),
        ":size_bytes": signed(new.size_bytes),
        ":recovered": recovered,
        ":head_tag": new.head_tag,
        ":state": new.state.map(|digest| digest.0),
    })?;
    let seq = connection.last_insert_rowid();
    insert_tags(connection, seq, &tags)?;
    Ok(Seq(seq))
}

/// The tags in the order given, each once.
pub(super) fn distinct(tags: &[String]) -> Vec<&str> {
    let mut seen = HashSet::new();
    tags.iter().map(String::as_str).filter(|tag| seen.insert(*tag)).collect()
}

fn tags_text(tags: &[&str]) -> String {
    serde_json::to_string(tags).expect("texts are valid JSON")
}

fn insert_tags(connection: &Connection, seq: i64, tags: &[&str]) -> Result<(), CatalogError> {
    let mut statement = connection.prepare_cached("INSERT INTO checkpoint_tags (tag, seq) VALUES (?1, ?2)")?;
    for tag in tags {
        statement.execute((tag, seq))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use wfr_model::checkpoint::{CheckpointType, FileCounts, Trigger, VerificationStatus};
    use wfr_model::{Digest, Timestamp};

    use super::*;
    use crate::catalog::{IntegrityLevel, VaultIdentity};

    fn checkpoint(catalog: &Catalog, number: u64) -> NewCheckpoint {
        NewCheckpoint {
            checkpoint_id: format!("ckpt_{number}").parse().unwrap(),
            workflow_id: "wf".parse().unwrap(),
            name: format!("name_{number}"),
            checkpoint_type: CheckpointType::Manual,
            trigger: Trigger::Manual,
            created_at: Timestamp(1),
            phase_id: None,
            phase_name: None,
            tree: None,
            hard_links: None,
            coverage: None,
            manifest: Digest([number as u8; 32]),
            predecessor: catalog.head().unwrap().map(|head| head.link()),
            tags: vec!["tag".repeat(100)],
            retention: None,
            complete: true,
            has_files: false,
            verification: VerificationStatus::Unknown,
            verified_at: None,
            files: FileCounts::default(),
            size_bytes: 0,
            head_tag: None,
            state: None,
            state_upto: None,
            seals: vec![],
            ledger_seals: vec![],
            point: None,
        }
    }

    fn audit(number: u64) -> NewOperation {
        NewOperation {
            operation_id: format!("op_{number}").parse().unwrap(),
            operation: "create-checkpoint".into(),
            actor: "tester".into(),
            at: Timestamp(1),
            workflow_id: None,
            parameters: serde_json::Value::Null,
            inverse: None,
            result: serde_json::Value::Null,
        }
    }

    fn commit(catalog: &Catalog, number: u64) -> Result<Seq, CatalogError> {
        let pack = format!("pack_{number}").parse().unwrap();
        catalog.commit_checkpoint(&checkpoint(catalog, number), &[(pack, number)], &audit(number))
    }

    /// The limit on pages stands for the disk's end: it may come at any page that a commit needs, and each time
    /// the commit must be refused whole.
    #[test]
    fn a_full_disk_at_any_page_refuses_the_commit_whole() {
        let dir = tempfile::tempdir().unwrap();
        let vault_id = "0".repeat(32);
        let identity =
            VaultIdentity { vault_id, workspace: PathBuf::from("/w"), created_at: Timestamp(0), encrypted: false };
        let catalog = Catalog::create(&dir.path().join("catalog.db"), &identity).unwrap();
        let (mut last, mut refusals) = (0, 0);
        for _ in 0..12 {
            let pages: i64 = catalog.connection.query_row("PRAGMA page_count", [], |row| row.get(0)).unwrap();
            catalog.connection.query_row("PRAGMA max_page_count = 1", [], |_| Ok(())).unwrap();
            let error = loop {
                match commit(&catalog, last + 1) {
                    Ok(_) => last += 1,
                    Err(error) => break error,
                }
            };
            assert!(matches!(error, CatalogError::Full { .. }), "{error}");
            refusals += 1;
            assert_eq!(catalog.chain().unwrap().len() as u64, last);
            assert_eq!(catalog.packs().unwrap().len() as u64, last);
            assert_eq!(catalog.operations(10_000).unwrap().len() as u64, last);
            assert_eq!(catalog.integrity_check(IntegrityLevel::Full).unwrap(), [""; 0]);
            // One page more of room, and the next refusal comes one page later.
            let room = format!("PRAGMA max_page_count = {}", pages + 1);
            catalog.connection.query_row(&room, [], |_| Ok(())).unwrap();
            while commit(&catalog, last + 1).is_ok() {
                last += 1;
            }
            assert_eq!(catalog.chain().unwrap().len() as u64, last);
        }
        assert!(last > 0 && refusals == 12);
    }
}
