//! Recoveries, which no checkpoint seals, out of the catalog that a rebuild replaces.
//!
//! Owns which of them are taken over. Refuses to read a catalog that is damaged: what it said then may not be so.

use std::collections::HashSet;
use std::sync::Arc;

use wfr_catalog::{Catalog, CatalogError, IntegrityLevel, RecoveryFilter};
use wfr_model::RecoveryId;
use wfr_model::recovery::RecoveryRecord;
use wfr_store::Vault;
use wfr_store::crypto::Cipher;

use super::veiled;

/// The recoveries that an old catalog has recorded, where it is intact.
#[derive(Default)]
pub(super) struct OldRecoveries {
    /// Oldest first.
    records: Vec<RecoveryRecord>,
    /// Those that are changes of the ledger, too: without these they cannot be undone.
    changes: HashSet<RecoveryId>,
}

impl OldRecoveries {
    /// Reads them; none where anything of the catalog is damaged.
    pub(super) fn read(vault: &Vault, cipher: Option<&Arc<Cipher>>) -> Result<Self, CatalogError> {
        let catalog = veiled(Catalog::open_read_only(&vault.catalog())?, cipher);
        if !catalog.integrity_check(IntegrityLevel::Full)?.is_empty() {
            return Ok(Self::default());
        }
        let mut records = catalog.recoveries(&RecoveryFilter::default(), u32::MAX)?;
        records.reverse();
        let mut changes = HashSet::new();
        for record in &records {
            let change = catalog.change_of_recovery(&record.recovery_id)?;
            changes.extend(change.map(|_| record.recovery_id.clone()));
        }
        Ok(Self { records, changes })
    }

    /// Records them in the new catalog, but for those whose change no checkpoint seals. Returns how many.
    pub(super) fn bring_back(mut self, catalog: &Catalog) -> Result<u64, CatalogError> {
        for id in &self.changes {
            if catalog.change_of_recovery(id)?.is_none() {
                self.records.retain(|record| record.recovery_id != *id);
            }
        }
        catalog.insert_recovered_recoveries(&self.records)
    }
}
