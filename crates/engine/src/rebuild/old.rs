//! The catalog that a rebuild replaces, as far as it can be read.
//!
//! Owns in which order its parts are taken over, and that one which is damaged is not: what it said then may not be so.
//! Refuses to change it.

use std::collections::HashSet;
use std::fs::File;
use std::io;
use std::sync::Arc;

use wfr_catalog::{Catalog, CatalogError, Left, Part};
use wfr_model::Digest;
use wfr_store::crypto::Cipher;
use wfr_store::{Store, Vault};

use super::{RebuildError, veiled};
use crate::ledger::faults;

/// The old catalog, open for reading.
pub(super) struct Old<'o> {
    /// It.
    pub(super) catalog: Catalog,
    cipher: Option<&'o Cipher>,
}

impl<'o> Old<'o> {
    /// Opens it; `None` where there is none, or it is damaged.
    ///
    /// [`RebuildError::Unread`] where the system refuses to read it: it may be whole, and nothing is made without it.
    pub(super) fn open(vault: &Vault, cipher: Option<&'o Arc<Cipher>>) -> Result<Option<Self>, RebuildError> {
        let path = vault.catalog();
        // What is no file never was one.
        let is_file = || path.symlink_metadata().is_ok_and(|found| found.is_file());
        // A page that the system did not give looks like damage to SQLite: whether it gives all of them is asked without it, and
        // what is damaged is so the second time, too.
        if is_file()
            && let Err(source) = read_through(vault)
        {
            return Err(RebuildError::Unread { place: path, source: CatalogError::Io { source: source.into() } });
        }
        let opened = match Catalog::open_read_only(&path).or_else(|_| Catalog::open_read_only(&path)) {
            // It is brought up to date as any other command would do.
            Err(CatalogError::OldFormat { .. }) => {
                Catalog::open(&path).map(drop).and_then(|()| Catalog::open_read_only(&path))
            }
            opened => opened,
        };
        match opened {
            Ok(catalog) => Ok(Some(Self { catalog: veiled(catalog, cipher), cipher: cipher.map(AsRef::as_ref) })),
            Err(source) if source.is_of_system() && is_file() => Err(RebuildError::Unread { place: path, source }),
            Err(_) => Ok(None),
        }
    }

    /// The objects of the ledger's seals that it knows; `None` where its ledger cannot be relied on: SQLite finds something wrong, or
    /// a row does not say what it must.
    pub(super) fn sealed_ledger(&self, store: &Store) -> Result<Option<HashSet<Digest>>, CatalogError> {
        let is_sound = self.catalog.is_sound(Part::Ledger)?;
        if !is_sound || !faults::of_catalog(&self.catalog, store, self.cipher)?.is_empty() {
            return Ok(None);
        }
        Ok(damaged_is_none(self.catalog.ledger_seals())?.map(|seals| seals.into_iter().collect()))
    }

    /// Takes over a part that is sound. Whether it came: what is left is counted in the end.
    pub(super) fn take(&self, new: &Catalog, part: Part) -> Result<bool, CatalogError> {
        if !self.catalog.is_sound(part)? {
            return Ok(false);
        }
        Ok(damaged_is_none(new.take_over(&self.catalog, part))?.is_some())
    }

    /// Takes over what says something of checkpoints, once these are there, and what refers to the ledger.
    pub(super) fn take_the_rest(&self, new: &Catalog) -> Result<Vec<Left>, CatalogError> {
        for part in [Part::Holds, Part::Outbox, Part::Recoveries] {
            self.take(new, part)?;
        }
        if self.catalog.is_sound(Part::Checkpoints)? {
            damaged_is_none(new.take_over_standing(&self.catalog))?;
        }
        Ok(new.lacks_of(&self.catalog))
    }
}

/// Reads the old catalog and its log to their ends.
fn read_through(vault: &Vault) -> io::Result<()> {
    let catalog = vault.catalog();
    let log = catalog.with_extension("db-wal");
    for file in [catalog, log] {
        match File::open(file) {
            Ok(mut file) => drop(io::copy(&mut file, &mut io::sink())?),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// What was read of the old catalog, or written of it; `None` where that is damaged, an error where the system refused.
pub(super) fn damaged_is_none<T>(result: Result<T, CatalogError>) -> Result<Option<T>, CatalogError> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.is_of_system() => Err(error),
        Err(_) => Ok(None),
    }
}
