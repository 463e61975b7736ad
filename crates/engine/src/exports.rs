//! Writing the view again where it is gone: it is derived, so nothing is lost with it but the configuration.
//!
//! Owns which files come back. Refuses to fail: a view that cannot be written is found by `doctor`.

use wfr_catalog::ListQuery;

use crate::open::Open;
use crate::{failures, manifests, view};

/// Writes the view again if it is missing: its directories, the configuration as it is in memory, every manifest, the
/// newest reports of failures.
pub fn restore_view(open: &Open) {
    if view::exists(open.root()) || !open.root().is_dir() {
        return;
    }
    let _ = try_restore(open);
}

fn try_restore(open: &Open) -> Option<()> {
    view::create(open.root()).ok()?;
    let mut config = open.config.clone();
    config.store = Some(wfr_model::path::escape(open.vault.dir().as_os_str().as_encoded_bytes()));
    view::save_config(open.root(), &config).ok()?;
    restore_manifests(open)?;
    failures::write_missing(open, None).ok()
}

/// Writes every manifest; `None` where the store cannot be read.
pub fn restore_manifests(open: &Open) -> Option<()> {
    let store = open.store().ok()?;
    for row in open.catalog.list(&ListQuery::default()).ok()? {
        if let Ok(manifest) = manifests::manifest(&store, &row) {
            let _ = view::export(open.root(), &manifest);
        }
    }
    Some(())
}
