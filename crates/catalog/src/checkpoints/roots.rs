//! What cleanup must keep, and the chain as it was committed.
//!
//! Owns which objects a checkpoint names. Refuses to follow them: trees belong to the store.

use std::collections::HashSet;

use rusqlite::Row;
use wfr_model::{CheckpointId, Digest};

use super::Seq;
use crate::catalog::Catalog;
use crate::columns;
use crate::error::CatalogError;
use crate::recoveries::pinned;

/// The objects of one checkpoint that must be kept.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Root {
    /// The checkpoint's place in the order.
    pub seq: Seq,
    /// Which checkpoint.
    pub checkpoint_id: CheckpointId,
    /// Its manifest: kept for good, so that the chain can be followed.
    pub manifest: Digest,
    /// Its root tree, with all that it names; `None` for state only and once it is deleted.
    pub tree: Option<Digest>,
    /// Its object of hard links; `None` also once it is deleted.
    pub hard_links: Option<Digest>,
    /// Its object of what is not covered; `None` also once it is deleted.
    pub coverage: Option<Digest>,
    /// The root of the workflow's state; `None` also once it is deleted.
    pub state: Option<Digest>,
}

/// One link of the chain.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ChainLink {
    /// Its place in the order.
    pub seq: Seq,
    /// Which checkpoint.
    pub checkpoint_id: CheckpointId,
    /// The SHA-256 of its manifest.
    pub manifest: Digest,
    /// The checkpoint that its manifest names as the one before.
    pub predecessor: Option<CheckpointId>,
    /// Whether it is deleted.
    pub deleted: bool,
    /// Whether a rebuild or an import brought it: such a link need not fit the one before.
    pub recovered: bool,
}

impl ChainLink {
    /// Whether an import brought it: those stand before the chain, and are none of its links.
    pub fn is_imported(&self) -> bool {
        self.seq < Seq(0)
    }
}

impl Catalog {
    /// The objects to keep: of undeleted checkpoints all, of deleted ones the manifest, and all where an
    /// unfinished recovery needs it (see [`Catalog::pinned_checkpoints`]). In the catalog's order, one for every checkpoint.
    pub fn roots(&self, undoable_max: u32) -> Result<Vec<Root>, CatalogError> {
        self.roots_after(Seq(i64::MIN), undoable_max)
    }

    /// The objects to keep of checkpoints committed after `seq`.
    pub fn committed_since(&self, seq: Seq) -> Result<Vec<Root>, CatalogError> {
        self.roots_after(seq, 0)
    }

    /// The whole chain in the catalog's order, deleted checkpoints included.
    pub fn chain(&self) -> Result<Vec<ChainLink>, CatalogError> {
        let sql = "SELECT seq, checkpoint_id, manifest, predecessor, deleted_at IS NOT NULL, recovered
                   FROM checkpoints ORDER BY seq";
        let mut statement = self.connection.prepare_cached(sql)?;
        let links = statement.query_map([], |row| {
            Ok(ChainLink {
                seq: Seq(row.get(0)?),
                checkpoint_id: columns::id(row, 1)?,
                manifest: columns::digest(row, 2)?,
                predecessor: columns::id_or_null(row, 3)?,
                deleted: row.get(4)?,
                recovered: row.get(5)?,
            })
        })?;
        Ok(links.collect::<Result<_, _>>()?)
    }

    fn roots_after(&self, seq: Seq, undoable_max: u32) -> Result<Vec<Root>, CatalogError> {
        let sql = "SELECT seq, checkpoint_id, manifest, tree, hard_links, coverage, deleted_at IS NOT NULL, state
                   FROM checkpoints WHERE seq > ?1 ORDER BY seq";
        self.read(|transaction| {
            let pinned: HashSet<CheckpointId> = pinned(transaction, undoable_max)?.into_iter().collect();
            let mut statement = transaction.prepare_cached(sql)?;
            let roots = statement.query_map([seq.0], |row| decode(row, &pinned))?;
            Ok(roots.collect::<Result<_, _>>()?)
        })
    }
}

fn decode(row: &Row<'_>, pinned: &HashSet<CheckpointId>) -> rusqlite::Result<Root> {
    let checkpoint_id: CheckpointId = columns::id(row, 1)?;
    let keeps_files = !row.get::<_, bool>(6)? || pinned.contains(&checkpoint_id);
    let object = |index| if keeps_files { columns::digest_or_null(row, index) } else { Ok(None) };
    Ok(Root {
        seq: Seq(row.get(0)?),
        manifest: columns::digest(row, 2)?,
        tree: object(3)?,
        hard_links: object(4)?,
        coverage: object(5)?,
        state: object(7)?,
        checkpoint_id,
    })
}
