//! Reading what a checkpoint's row points to: its manifest and its coverage.
//!
//! Owns their decoding and its checks. Refuses to judge what they say.

use wfr_catalog::CheckpointRow;
use wfr_model::checkpoint::{MANIFEST_VERSION, Manifest};
use wfr_model::coverage::Coverage;
use wfr_model::plan::RootMeta;
use wfr_store::{ObjectKind, Objects, ReadError};

/// The manifest of a checkpoint, verified against its hash.
pub fn manifest(objects: &dyn Objects, row: &CheckpointRow) -> Result<Manifest, ReadError> {
    let bytes = objects.get(ObjectKind::Manifest, &row.manifest)?;
    let malformed = |why: String| ReadError::Malformed { id: row.manifest, what: "manifest", why };
    let manifest: Manifest = wfr_model::json::stored(&bytes).map_err(|error| malformed(error.to_string()))?;
    if manifest.format_version != MANIFEST_VERSION {
        return Err(malformed(format!("it has version {}", manifest.format_version)));
    }
    Ok(manifest)
}

/// The workspace's own directory as a checkpoint has it; `None` where it does not tell, or cannot be read.
pub fn root(objects: &dyn Objects, row: &CheckpointRow) -> Option<RootMeta> {
    let state = manifest(objects, row).ok()?.file_system_state?;
    Some(RootMeta { mode: state.root_mode, mtime: state.root_mtime })
}

/// What a checkpoint does not cover, in full.
pub fn coverage(objects: &dyn Objects, row: &CheckpointRow) -> Result<Coverage, ReadError> {
    let Some(id) = &row.coverage else { return Ok(Coverage::default()) };
    let bytes = objects.get(ObjectKind::Coverage, id)?;
    let mut coverage: Coverage = serde_json::from_slice(&bytes).map_err(|error| ReadError::Malformed {
        id: *id,
        what: "coverage",
        why: error.to_string(),
    })?;
    coverage.sort();
    Ok(coverage)
}
