//! Whose a store is.
//!
//! Owns where that stands: in the catalog, and where that cannot be read, in the signposts of the user's data directory and in the
//! manifests that the view exports. Refuses to change any of them.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use wfr_catalog::Catalog;
use wfr_model::path;
use wfr_store::vault::CATALOG_FILE;

use crate::{view, workspace};

/// The other workspace that a vault serves, if it does: one that is there and whose view names this vault. What was said to be
/// the vault's and is gone from there, or has another vault by now, has moved.
///
/// A catalog that cannot be read keeps nobody's store from being told apart: then the signposts say it, and last the checkpoints
/// that the view of `root` exports, which a copy has from whom it is a copy of.
pub fn another(vault: &Path, root: &Path, data: Option<&Path>) -> Option<PathBuf> {
    let told = told_by_catalog(vault).into_iter();
    let told = told.chain(told_by_signposts(vault, root, data)).chain(told_by_view(root));
    let mut known = told.filter(|owner| is_at(owner, root) || is_served(owner, vault));
    known.next().filter(|owner| !is_at(owner, root))
}

fn told_by_catalog(vault: &Path) -> Option<PathBuf> {
    let catalog = Catalog::open_read_only(&vault.join(CATALOG_FILE)).ok()?;
    Some(catalog.identity().ok()?.workspace)
}

/// Lazily: where the catalog tells it, nothing else is read.
fn told_by_signposts(vault: &Path, root: &Path, data: Option<&Path>) -> impl Iterator<Item = PathBuf> {
    std::iter::once_with(move || {
        let mut found = data.map(|data| workspace::signposted_to(data, vault)).unwrap_or_default();
        // Only whom the vault served had one written: it counts before one that was not removed.
        found.sort_by_key(|owner| owner != root);
        found
    })
    .flatten()
}

/// The newest first.
fn told_by_view(root: &Path) -> impl Iterator<Item = PathBuf> {
    std::iter::once_with(move || {
        let mut exported = view::exported(root);
        exported.sort_by_key(|manifest| std::cmp::Reverse(manifest.created_at));
        let taken_at = exported.into_iter().filter_map(|manifest| manifest.file_system_state);
        let escaped = taken_at.filter_map(|files| path::unescape(&files.workspace));
        escaped.map(|bytes| PathBuf::from(OsString::from_vec(bytes))).collect::<Vec<_>>()
    })
    .flatten()
}

fn is_at(owner: &Path, root: &Path) -> bool {
    owner == root || workspace::is_same(owner, root)
}

/// Whether a directory is there and its view names this vault.
fn is_served(root: &Path, vault: &Path) -> bool {
    view::exists(root) && matches!(view::store(root), Ok(Some(store)) if workspace::is_same(&store, vault))
}
