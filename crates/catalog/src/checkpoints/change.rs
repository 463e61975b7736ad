//! What may change about a committed checkpoint: its verification, and whether it is deleted. And free names.
//!
//! Owns these changes. Refuses to remove a row or to change what the manifest says.

use std::collections::HashSet;

use rusqlite::{Connection, OptionalExtension};
use wfr_model::checkpoint::VerificationStatus;
use wfr_model::{CheckpointId, Timestamp, WorkflowId};

use super::row;
use crate::catalog::Catalog;
use crate::error::CatalogError;
use crate::holds::{self, Owner};
use crate::operations::{self, NewOperation};
use crate::recoveries::pinned;

/// What a deletion leaves alone, beside the checkpoints that an unfinished recovery needs. It is asked in the transaction that
/// deletes: a recovery may have begun, or ended, since somebody chose what goes.
#[derive(Clone, Copy, Default)]
pub struct Sparing<'s> {
    /// What so many of the newest recoveries that can be undone saved, and went to.
    pub undoable_max: u32,
    /// The hold of recoveries. While its owner lives, the safety checkpoints that no recovery names stay: theirs may be about
    /// to begin.
    pub beginning: Option<WhileHeld<'s>>,
}

/// A hold that counts while its owner lives.
#[derive(Clone, Copy)]
pub struct WhileHeld<'s> {
    /// Its key.
    pub key: &'s str,
    /// Whether an owner lives; it runs under the catalog's write lock and must be quick.
    pub is_alive: &'s dyn Fn(&Owner) -> bool,
}

impl Sparing<'_> {
    /// The checkpoints of `ids` that stay.
    fn of(&self, connection: &Connection, ids: &[CheckpointId]) -> Result<HashSet<CheckpointId>, CatalogError> {
        let mut spared: HashSet<CheckpointId> = pinned(connection, self.undoable_max)?.into_iter().collect();
        let Some(WhileHeld { key, is_alive }) = self.beginning else { return Ok(spared) };
        if holds::find(connection, key)?.is_none_or(|hold| !is_alive(&hold.owner)) {
            return Ok(spared);
        }
        let mut named = connection.prepare_cached("SELECT 1 FROM recoveries WHERE safety = ?1")?;
        for id in ids {
            let is_safety = row::find(connection, id)?.is_some_and(|row| row.is_safety());
            if is_safety && !named.exists([id.as_str()])? {
                spared.insert(id.clone());
            }
        }
        Ok(spared)
    }
}

impl Catalog {
    /// Records what a validation found.
    pub fn set_verification(
        &self,
        id: &CheckpointId,
        status: VerificationStatus,
        now: Timestamp,
    ) -> Result<(), CatalogError> {
        let sql = "UPDATE checkpoints SET verification = ?2, verified_at = ?3 WHERE checkpoint_id = ?1";
        self.write(|transaction| {
            let changed = transaction.prepare_cached(sql)?.execute((id.as_str(), status.as_str(), now.0))?;
            if changed == 0 { Err(CatalogError::not_found("checkpoint", id)) } else { Ok(()) }
        })
    }

    /// Marks checkpoints deleted, at the time of `audit`; returns those that were not before.
    ///
    /// Their rows stay, with the manifests' digests. Their names become free. One that an unfinished recovery
    /// needs, or that is to be spared, is left alone, and so is not among those returned.
    pub fn delete_checkpoints(
        &self,
        ids: &[CheckpointId],
        sparing: &Sparing<'_>,
        audit: &NewOperation,
    ) -> Result<Vec<CheckpointId>, CatalogError> {
        let sql = "UPDATE checkpoints SET deleted_at = ?2 WHERE checkpoint_id = ?1 AND deleted_at IS NULL";
        self.write(|transaction| {
            let spared = sparing.of(transaction, ids)?;
            let mut statement = transaction.prepare_cached(sql)?;
            let mut deleted = Vec::new();
            for id in ids.iter().filter(|id| !spared.contains(*id)) {
                if statement.execute((id.as_str(), audit.at.0))? > 0 {
                    deleted.push(id.clone());
                }
            }
            operations::insert(transaction, audit)?;
            Ok(deleted)
        })
    }

    /// The number for the next name `inc_NNN_...` of a workflow: one more than its newest such checkpoint has,
    /// deleted ones included; 1 for the first.
    pub fn next_increment(&self, workflow: &WorkflowId) -> Result<u32, CatalogError> {
        let sql = "SELECT name FROM checkpoints
                   WHERE workflow_id = ?1 AND checkpoint_type = 'incremental' AND name GLOB 'inc_[0-9]*'
                   ORDER BY seq DESC LIMIT 1";
        let mut statement = self.connection.prepare_cached(sql)?;
        let newest: Option<String> = statement.query_row([workflow.as_str()], |row| row.get(0)).optional()?;
        Ok(newest.as_deref().and_then(number_of).map_or(1, |number| number.saturating_add(1)))
    }

    /// The names of a workflow's undeleted checkpoints that begin with `prefix`, sorted.
    pub fn names_like(&self, workflow: &WorkflowId, prefix: &str) -> Result<Vec<String>, CatalogError> {
        names_with(&self.connection, workflow, prefix)
    }

    /// [`CatalogError::NameTaken`] where an undeleted checkpoint of the workflow has the name. The commit asks again.
    pub fn check_name_free(&self, workflow: &WorkflowId, name: &str) -> Result<(), CatalogError> {
        super::commit::check_name_free(&self.connection, workflow, name)
    }

    /// `base` where the name is free in the workflow, else `base_2`, `base_3`, ... whichever is free first.
    ///
    /// Another process may take it before the commit, which then says [`CatalogError::NameTaken`].
    pub fn free_name(&self, workflow: &WorkflowId, base: &str) -> Result<String, CatalogError> {
        free_name(&self.connection, workflow, base)
    }
}

/// The first free name, within the caller's transaction if there is one.
pub(crate) fn free_name(connection: &Connection, workflow: &WorkflowId, base: &str) -> Result<String, CatalogError> {
    let taken: std::collections::HashSet<String> = names_with(connection, workflow, base)?.into_iter().collect();
    let numbered = (2u32..).map(|number| format!("{base}_{number}"));
    let free = std::iter::once(base.to_owned()).chain(numbered).find(|name| !taken.contains(name));
    free.ok_or(CatalogError::Refused("every numbered form of the name is taken"))
}

fn names_with(connection: &Connection, workflow: &WorkflowId, prefix: &str) -> Result<Vec<String>, CatalogError> {
    // Names hold no byte above `z`, so DEL closes the range.
    let sql = "SELECT name FROM checkpoints
               WHERE +workflow_id = ?1 AND name >= ?2 AND name < ?2 || char(127) AND deleted_at IS NULL ORDER BY name";
    let mut statement = connection.prepare_cached(sql)?;
    let names = statement.query_map((workflow.as_str(), prefix), |row| row.get(0))?;
    Ok(names.collect::<Result<_, _>>()?)
}

/// The number in `inc_NNN...`.
fn number_of(name: &str) -> Option<u32> {
    let digits = name.strip_prefix("inc_")?;
    let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
    digits[..end].parse().ok()
}
