//! A workspace with everything that commands need: configuration, vault, catalog, key.
//!
//! Owns the order of opening and what a store is opened over. Refuses to decide what a command does with it.

use std::io;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use wfr_catalog::{Catalog, CatalogError, PackState, Unopened, Veil};
use wfr_model::config::Config;
use wfr_store::crypto::Cipher;
use wfr_store::gc::leases::{self, Book, Lease};
use wfr_store::pack::Extent;
use wfr_store::record::Coding;
use wfr_store::vault::VaultError;
use wfr_store::{Store, Vault};

use crate::keyring::{KeyError, Keyring};
use crate::view;
use crate::workspace::{self, Directories, LocateError, Place};

/// Why a workspace could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// It was not found.
    #[error(transparent)]
    Locate(#[from] LocateError),
    /// Its configuration cannot be used.
    #[error(transparent)]
    Config(#[from] view::ConfigError),
    /// Its vault cannot be used.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// Its catalog cannot be used.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// The vault is encrypted and no key opens it.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The directory is a copy of the one that the vault serves.
    #[error("{} is a copy of {}, whose store it names as its own", root.display(), original.display())]
    Copied {
        /// The directory.
        root: std::path::PathBuf,
        /// The one that the vault serves.
        original: std::path::PathBuf,
    },
    /// The store's files cannot be read.
    #[error("cannot read the store at {place}")]
    Store {
        /// The vault.
        place: std::path::PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// An open workspace.
pub struct Open {
    /// Where everything is.
    pub place: Place,
    /// What it is set to; the defaults where that cannot be used.
    pub config: Config,
    /// Why it cannot be used; `None` where it can.
    pub broken: Option<view::ConfigError>,
    /// The vault.
    pub vault: Vault,
    /// The catalog.
    pub catalog: Catalog,
    keyring: Arc<Keyring>,
    cipher: OnceLock<Option<Arc<Cipher>>>,
    lease: OnceLock<Option<Lease>>,
    /// Last, so that it ends when nothing is written any more. `None` where the vault cannot be written.
    _book: Option<Book>,
}

impl Open {
    /// Opens the workspace that the directories point to, for reading and writing.
    pub fn find(directories: &Directories, keyring: &Arc<Keyring>) -> Result<Self, OpenError> {
        let place = workspace::locate(directories)?;
        Self::at(place, keyring)
    }

    /// Opens a workspace at a known place. Whether it is enough to go on with the defaults, the caller decides.
    pub fn at(place: Place, keyring: &Arc<Keyring>) -> Result<Self, OpenError> {
        let (config, broken) = match view::load_config_or_kept(&place.root, &place.vault) {
            Ok(config) => (config, None),
            Err(error) => (Config::default(), Some(error)),
        };
        let vault = Vault::open(&place.vault)?;
        keyring.refuse_foreign(&vault)?;
        // It may name paths, which an encrypted vault does not show.
        if broken.is_none() && !vault.identity().encrypted {
            view::keep_config(&place.root, &place.vault);
        }
        match vault.mend() {
            // Who can only read goes on without what is missing.
            Err(VaultError::Io { source, .. }) if is_unwritable(&source) => {}
            other => other?,
        }
        let book = match leases::book(&vault.leases()) {
            Err(error) if is_unwritable(&error) => None,
            other => Some(other.map_err(|source| OpenError::Store { place: vault.leases(), source })?),
        };
        let catalog = Catalog::open(&vault.catalog())?;
        let catalog = if vault.identity().encrypted { catalog.with_veil(veil(keyring, &vault)) } else { catalog };
        let (keyring, cipher, lease) = (keyring.clone(), OnceLock::new(), OnceLock::new());
        Ok(Self { place, config, broken, vault, catalog, keyring, cipher, lease, _book: book })
    }

    /// The workspace's root directory.
    pub fn root(&self) -> &Path {
        &self.place.root
    }

    /// The keyring that it was opened with.
    pub fn keyring(&self) -> &Keyring {
        &self.keyring
    }

    /// Finds the key of an encrypted vault; does nothing for another.
    pub fn unlock(&self) -> Result<(), OpenError> {
        if self.cipher.get().is_none() {
            let _ = self.cipher.set(self.keyring.cipher(&self.vault)?);
        }
        Ok(())
    }

    /// The cipher of an encrypted vault, once it is unlocked, as [`Open::store`] leaves it.
    pub fn cipher(&self) -> Option<&Arc<Cipher>> {
        self.cipher.get()?.as_ref()
    }

    /// Opens the store over what is committed now, and what will be, to read. Until this value is dropped, no cleanup removes what
    /// was live then.
    pub fn store(&self) -> Result<Store, OpenError> {
        let catalog = self.vault.catalog();
        // By a connection of its own, since any thread may ask. What is on its way out may be needed again.
        let ask = move || all_extents(&Catalog::open(&catalog).ok()?).ok();
        Ok(self.live_store()?.following(Box::new(ask)))
    }

    fn live_store(&self) -> Result<Store, OpenError> {
        self.unlock()?;
        let failed = |source| OpenError::Store { place: self.vault.dir().to_owned(), source };
        if self.lease.get().is_none() {
            // First the lease, then the generation, then the packs: whatever is read below is protected.
            let lease = self.take_lease().map_err(failed)?;
            let generation = self.catalog.generation()?;
            if let Some(lease) = &lease {
                // One that could not be told its generation counts as older than everything, which is safe.
                let _ = lease.rely_on(generation.0);
            }
            let _ = self.lease.set(lease);
        }
        let extents = live_extents(&self.catalog)?;
        Store::open(&self.vault, extents, self.cipher().cloned()).map_err(failed)
    }

    /// The same, for who writes: without a lease that is refused.
    pub fn store_to_write(&self) -> Result<Store, OpenError> {
        let store = self.live_store()?;
        if self.lease.get().is_some_and(Option::is_some) {
            return Ok(store);
        }
        let place = self.vault.leases();
        match Lease::begin(&place) {
            Ok(_) => Err(OpenError::Store { place, source: io::ErrorKind::ResourceBusy.into() }),
            Err(source) => Err(OpenError::Store { place, source }),
        }
    }

    /// A lease; `None` where the vault cannot be written, by this process or now. Who can only read risks only that a
    /// cleanup running beside makes the read fail.
    fn take_lease(&self) -> io::Result<Option<Lease>> {
        match Lease::begin(&self.vault.leases()) {
            Err(error) if is_unwritable(&error) => Ok(None),
            other => other.map(Some),
        }
    }

    /// How new objects are coded.
    pub fn coding(&self) -> Coding {
        let compress = self.config.recovery_configuration.checkpoint_policy.compression_enabled;
        if compress { Coding::default() } else { Coding { level: None } }
    }
}

/// Seals records in a catalog, as objects are, with a key that is there.
pub fn veil_of(cipher: &Arc<Cipher>) -> Veil {
    let (one, other) = (cipher.clone(), cipher.clone());
    Veil {
        seal: Box::new(move |bytes| Ok(crate::ledger::sealed(&one, bytes)?)),
        open: Box::new(move |bytes| opened(&other, bytes)),
    }
}

/// Seals records in an encrypted vault's catalog, as objects are. The key is looked for only where one is needed.
fn veil(keyring: &Arc<Keyring>, vault: &Vault) -> Veil {
    let find = || {
        let (keyring, vault) = (keyring.clone(), vault.clone());
        move || -> Result<Arc<Cipher>, KeyError> { keyring.cipher(&vault)?.ok_or(KeyError::Locked) }
    };
    let (one, other) = (find(), find());
    Veil {
        seal: Box::new(move |bytes| {
            let cipher = one()?;
            Ok(crate::ledger::sealed(&cipher, bytes)?)
        }),
        open: Box::new(move |bytes| {
            let cipher = other().map_err(|error| Unopened::Locked(error.into()))?;
            opened(&cipher, bytes)
        }),
    }
}

/// What the key does not open was changed.
fn opened(cipher: &Cipher, bytes: &[u8]) -> Result<Vec<u8>, Unopened> {
    crate::ledger::unsealed(cipher, bytes).map_err(|error| Unopened::Broken(error.into()))
}

/// Whether the vault cannot be written, by this process or now; a directory of it is missing only where that is so.
fn is_unwritable(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound
            | io::ErrorKind::PermissionDenied
            | io::ErrorKind::ReadOnlyFilesystem
            | io::ErrorKind::StorageFull
    )
}

/// The committed lengths of all packs.
fn all_extents(catalog: &Catalog) -> Result<Vec<Extent>, CatalogError> {
    let rows = catalog.packs()?;
    Ok(rows.into_iter().map(|row| Extent { pack: row.pack_id, committed: row.committed_len }).collect())
}

/// The committed lengths of all packs that are not on their way out.
pub fn live_extents(catalog: &Catalog) -> Result<Vec<Extent>, CatalogError> {
    let rows = catalog.packs()?;
    Ok(rows
        .into_iter()
        .filter(|row| row.state == PackState::Live)
        .map(|row| Extent { pack: row.pack_id, committed: row.committed_len })
        .collect())
}
