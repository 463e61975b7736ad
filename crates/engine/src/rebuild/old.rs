//! The catalog that a rebuild replaces, as far as it can be read.
//!
//! Owns in which order its parts are taken over, and that one which is damaged is not: what it said then may not be so.
//! Refuses to change it.

use std::collections::HashSet;
use std::sync::Arc;

use wfr_catalog::{Catalog, CatalogError, Left, Part};
use wfr_model::Digest;
use wfr_store::Vault;
use wfr_store::crypto::Cipher;

use super::veiled;

/// The old catalog, open for reading.
pub(super) struct Old {
    /// It.
    pub(super) catalog: Catalog,
}

impl Old {
    /// Opens it; `None` where that cannot be done.
    pub(super) fn open(vault: &Vault, cipher: Option<&Arc<Cipher>>) -> Option<Self> {
        let path = vault.catalog();
        let opened = match Catalog::open_read_only(&path) {
            // It is brought up to date as any other command would do.
            Err(CatalogError::OldFormat { .. }) => {
                Catalog::open(&path).map(drop).and_then(|()| Catalog::open_read_only(&path))
            }
            opened => opened,
        };
        opened.ok().map(|catalog| Self { catalog: veiled(catalog, cipher) })
    }

    /// The objects of the ledger's seals that it knows; `None` where its ledger cannot be relied on.
    pub(super) fn sealed_ledger(&self) -> Option<HashSet<Digest>> {
        let seals = self.catalog.is_sound(Part::Ledger).then(|| self.catalog.ledger_seals())?;
        Some(seals.ok()?.into_iter().collect())
    }

    /// Takes over a part that is sound. Whether it came: what is left is counted in the end.
    pub(super) fn take(&self, new: &Catalog, part: Part) -> Result<bool, CatalogError> {
        if !self.catalog.is_sound(part) {
            return Ok(false);
        }
        match new.take_over(&self.catalog, part) {
            Ok(()) => Ok(true),
            // The system refused to write the new one: then there is none.
            Err(error @ (CatalogError::Io { .. } | CatalogError::Full { .. } | CatalogError::ReadOnly { .. })) => {
                Err(error)
            }
            Err(_) => Ok(false),
        }
    }

    /// Takes over what says something of checkpoints, once these are there, and what refers to the ledger.
    pub(super) fn take_the_rest(&self, new: &Catalog) -> Result<Vec<Left>, CatalogError> {
        for part in [Part::Holds, Part::Outbox, Part::Recoveries] {
            self.take(new, part)?;
        }
        if self.catalog.is_sound(Part::Checkpoints) {
            new.take_over_standing(&self.catalog)?;
        }
        Ok(new.lacks_of(&self.catalog))
    }
}
