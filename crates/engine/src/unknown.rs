//! Checkpoints that the view or the packs hold and the catalog has never heard of: it lost its newest changes.
//!
//! Owns finding them. Refuses to bring any back: that is [`crate::rebuild`]. A checkpoint that was deleted is known.

use std::collections::HashSet;
use std::fs::File;
use std::path::PathBuf;

use rustix::fs::{FlockOperation, flock};
use wfr_catalog::{CatalogError, ListQuery, NewCheckpoint};
use wfr_model::CheckpointId;
use wfr_model::checkpoint::Manifest;
use wfr_store::ObjectKind;
use wfr_store::crypto::Cipher;
use wfr_store::pack::{self, Extent};

use crate::open::Open;
use crate::{rebuild, view};

/// The manifests in the view that the catalog does not know, with their files. Each was acknowledged: it is exported
/// after the commit.
pub fn exported(open: &Open) -> Result<Vec<(PathBuf, Manifest)>, CatalogError> {
    // First the view, then the catalog: what is committed meanwhile is known.
    let exported = view::exported_files(open.root());
    let known = known(open)?;
    Ok(exported.into_iter().filter(|(_, manifest)| !known.contains(&manifest.checkpoint_id)).collect())
}

/// The manifests in what no commit covers of the packs, and that the catalog does not know. Whether they were
/// acknowledged cannot be told: a writer that was killed leaves such, too. Packs that cannot be read are passed over, and those
/// that somebody is writing: he commits them, or takes them back.
pub fn packed(open: &Open, cipher: Option<&Cipher>) -> Result<Vec<(NewCheckpoint, Manifest)>, CatalogError> {
    let entries = std::fs::read_dir(open.vault.packs()).into_iter().flatten().flatten();
    let ids = entries.filter_map(|entry| entry.file_name().to_str().and_then(pack::id_of));
    let mut found = Vec::new();
    for pack in ids {
        // One on its way out is committed, too.
        let committed = open.catalog.pack_committed(&pack)?.unwrap_or(0);
        found.extend(uncommitted(open, cipher, &Extent { pack, committed }).into_iter().flatten());
    }
    if found.is_empty() {
        return Ok(found);
    }
    let known = known(open)?;
    Ok(found.into_iter().filter(|(new, _)| !known.contains(&new.checkpoint_id)).collect())
}

/// How many packs have bytes that no commit covers, and how many bytes. Those that are being written now count, too.
pub fn tails(open: &Open) -> Result<(u64, u64), CatalogError> {
    let (mut count, mut bytes) = (0, 0);
    for entry in std::fs::read_dir(open.vault.packs()).into_iter().flatten().flatten() {
        let Some(pack) = entry.file_name().to_str().and_then(pack::id_of) else { continue };
        // First the length, then the catalog: what is committed meanwhile is none.
        let Ok(length) = entry.metadata().map(|meta| meta.len()) else { continue };
        let beyond = length.saturating_sub(open.catalog.pack_committed(&pack)?.unwrap_or(0));
        count += u64::from(beyond > 0);
        bytes += beyond;
    }
    Ok((count, bytes))
}

fn uncommitted(open: &Open, cipher: Option<&Cipher>, extent: &Extent) -> Option<Vec<(NewCheckpoint, Manifest)>> {
    let file = File::open(pack::path(&open.vault.packs(), &extent.pack)).ok()?;
    let length = file.metadata().ok()?.len();
    if length <= extent.committed {
        return None;
    }
    // Whoever writes it has its lock until it is committed; where one has just ended, the catalog knows it when it is asked.
    flock(&file, FlockOperation::NonBlockingLockShared).ok()?;
    let (found, _) = pack::scan(&file, extent.committed, length).ok()?;
    let manifests = found.iter().filter(|found| found.header.kind == ObjectKind::Manifest);
    Some(manifests.filter_map(|found| rebuild::read_manifest(&file, found, cipher).ok().flatten()).collect())
}

/// Every checkpoint that the catalog has heard of, deleted ones included.
fn known(open: &Open) -> Result<HashSet<CheckpointId>, CatalogError> {
    let rows = open.catalog.list(&ListQuery { include_deleted: true, ..ListQuery::default() })?;
    Ok(rows.into_iter().map(|row| row.checkpoint_id).collect())
}
