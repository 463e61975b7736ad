//! A workspace with everything that commands need: configuration, vault, catalog, key.
//!
//! Owns the order of opening and what a store is opened over. Refuses to decide what a command does with it.

use std::path::Path;
use std::sync::Arc;

use wfr_catalog::{Catalog, CatalogError, PackState};
use wfr_model::config::Config;
use wfr_store::crypto::Cipher;
use wfr_store::pack::Extent;
use wfr_store::record::Coding;
use wfr_store::vault::VaultError;
use wfr_store::{Store, Vault};

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
    #[error("the store is encrypted and no key opens it: {0}")]
    Locked(String),
    /// The store's files cannot be read.
    #[error("cannot read the store at {place}")]
    Store {
        /// The vault.
        place: std::path::PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

/// An open workspace.
pub struct Open {
    /// Where everything is.
    pub place: Place,
    /// What it is set to.
    pub config: Config,
    /// The vault.
    pub vault: Vault,
    /// The catalog.
    pub catalog: Catalog,
    cipher: Option<Arc<Cipher>>,
}

impl Open {
    /// Opens the workspace that the directories point to, for reading and writing.
    pub fn find(directories: &Directories) -> Result<Self, OpenError> {
        let place = workspace::locate(directories)?;
        Self::at(place)
    }

    /// Opens a workspace at a known place.
    pub fn at(place: Place) -> Result<Self, OpenError> {
        let config = view::load_config(&place.root)?;
        let vault = Vault::open(&place.vault)?;
        if vault.identity().encrypted {
            return Err(OpenError::Locked("this version reads unencrypted stores only".to_owned()));
        }
        let catalog = Catalog::open(&vault.catalog())?;
        Ok(Self { place, config, vault, catalog, cipher: None })
    }

    /// The workspace's root directory.
    pub fn root(&self) -> &Path {
        &self.place.root
    }

    /// The cipher of an encrypted vault.
    pub fn cipher(&self) -> Option<&Arc<Cipher>> {
        self.cipher.as_ref()
    }

    /// Opens the store over what is committed now.
    pub fn store(&self) -> Result<Store, OpenError> {
        let extents = live_extents(&self.catalog)?;
        Store::open(&self.vault, extents, self.cipher.clone())
            .map_err(|source| OpenError::Store { place: self.vault.dir().to_owned(), source })
    }

    /// How new objects are coded.
    pub fn coding(&self) -> Coding {
        let compress = self.config.recovery_configuration.checkpoint_policy.compression_enabled;
        if compress { Coding::default() } else { Coding { level: None } }
    }
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
