//! Putting a directory under protection.
//!
//! Owns the order in which vault, key, catalog, signpost and view come about, so that a crash in between is mended by
//! doing it again, and that one vault is made by one process at a time. Refuses directories that cannot sensibly be a workspace.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use wfr_catalog::{Catalog, CatalogError, VaultIdentity};
use wfr_model::Timestamp;
use wfr_store::Vault;
use wfr_store::vault::{FORMAT_VERSION, Identity, VaultError, make_dir};

use crate::keyring::{self, KeyError, Keyring, NewKey};
use crate::workspace::{self, Directories, LocateError, Place};
use crate::{dir_lock, mint, owner, view};

/// Why a directory could not be put under protection.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// There is no such directory.
    #[error("{0} is not a directory")]
    NotADirectory(PathBuf),
    /// It must not be a workspace.
    #[error("{0} cannot be a workspace: {1}")]
    Refused(PathBuf, &'static str),
    /// It is protected already, by another store or another kind of store.
    #[error("{0} is protected already, with the store at {1}")]
    Already(PathBuf, PathBuf),
    /// Its store is not where it was.
    #[error("{root} has its store at {store}, and there is none now")]
    Away {
        /// The directory.
        root: PathBuf,
        /// Where its store was.
        store: PathBuf,
    },
    /// The store that was named is another workspace's.
    #[error("the store at {store} serves the workspace {owner}: a store serves one workspace")]
    Taken {
        /// The store.
        store: PathBuf,
        /// Whom it serves.
        owner: PathBuf,
    },
    /// The directory's view names the store of another one: it is a copy.
    #[error("{root} is a copy of {original}, whose store it names as its own")]
    Copied {
        /// The directory.
        root: PathBuf,
        /// The one that the store serves.
        original: PathBuf,
    },
    /// The vault could not be made.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// The vault is there, and its format file is gone or damaged.
    #[error("{error}")]
    Nameless {
        /// The directory.
        root: PathBuf,
        /// Its store.
        store: PathBuf,
        /// What is wrong with the file.
        error: VaultError,
    },
    /// The key could not be made.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// It is encrypted already, for whoever it was made for.
    #[error("the store at {0} is there already: who can read it was decided when it was made")]
    Recipients(PathBuf),
    /// It is there, without encryption, which cannot be added.
    #[error("the store at {0} is there already and is not encrypted")]
    NotEncrypted(PathBuf),
    /// It is there, encrypted, which cannot be taken away.
    #[error("the store at {0} is there already and is encrypted")]
    Encrypted(PathBuf),
    /// It is encrypted and its key is gone: nothing can be read.
    #[error("the store at {0} is encrypted and its key file is missing")]
    KeyLost(PathBuf),
    /// The catalog could not be made.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// The configuration could not be used.
    #[error(transparent)]
    Config(#[from] view::ConfigError),
    /// It was given up while another process made the store.
    #[error("interrupted while another process makes the store at {0}")]
    Interrupted(PathBuf),
    /// The system refused.
    #[error("cannot write {place}")]
    Io {
        /// Where.
        place: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// What was made.
#[derive(Clone, Debug)]
pub struct Initialised {
    /// Where everything is.
    pub place: Place,
    /// Whether objects are encrypted.
    pub encrypted: bool,
    /// Whether it was there before.
    pub existed: bool,
    /// Whether the vault lies inside the workspace, because no better place can be written.
    pub vault_inside: bool,
}

/// How a new store is encrypted.
pub struct Encryption<'k> {
    /// Whether it is; where it is not said, a new one is not, and one that is there stays as it is.
    pub wanted: Option<bool>,
    /// Who can read it; nobody named means whoever knows the passphrase.
    pub recipients: &'k [String],
    /// Makes the key.
    pub keyring: &'k Keyring,
}

/// The rest of what a call says.
pub struct Call<'a> {
    /// When it is.
    pub now: Timestamp,
    /// Whether a directory whose store is away gets a new one.
    pub new_store: bool,
    /// Set from outside to give up waiting for another process.
    pub abort: &'a AtomicBool,
}

impl Encryption<'_> {
    fn make_key(&self) -> Result<NewKey, KeyError> {
        self.keyring.make(&self.keyring.recipients(self.recipients)?)
    }
}

/// Puts `root` under protection; does nothing where it is already, but mends what is missing. One whose store is away gets a
/// new one only where that is wanted: it may come back, with everything in it.
pub fn init(
    directories: &Directories,
    root: &Path,
    encryption: &Encryption<'_>,
    call: &Call<'_>,
) -> Result<Initialised, InitError> {
    let root = workspace::absolute(&directories.current, root);
    check_root(&root, directories)?;
    // What cannot be read is not written again: nothing is begun.
    view::load_config(&root)?;
    let vault_dir = choose_vault(directories, &root)?;
    let place = Place { root: root.clone(), vault: vault_dir };
    let known = workspace::known_vault(&root, directories.data.as_deref()).map_err(|error| match error {
        LocateError::Config(error) => InitError::Config(error),
        _ => InitError::NotADirectory(root.clone()),
    })?;
    let is_away = |store: &PathBuf| matches!(Vault::open(store), Err(VaultError::Absent(_)));
    let known = match known {
        Some(store) if is_away(&store) && !call.new_store && !is_moved_to(directories, &place) => {
            return Err(InitError::Away { root, store });
        }
        known => known.filter(|store| !is_away(store)),
    };
    // Without a view what leads to a store may be somebody's who was at this path before.
    let owner_of = |store: &Path| owner::another(store, &root, directories.data.as_deref());
    let gives_it_up = directories.store.is_some() && call.new_store;
    let is_ours = |store: &PathBuf| owner_of(store).is_none() && !gives_it_up;
    let known = known.filter(|store| view::exists(&root) || is_ours(store));
    if let Some(other) = known.filter(|store| *store != place.vault) {
        if let Some(original) = owner_of(&other) {
            return Err(InitError::Copied { root, original });
        }
        if directories.store.is_some() {
            return Err(InitError::Already(root, other));
        }
        return finish(directories, Place { vault: other, ..place }, encryption, call);
    }
    if let Some(owner) = owner_of(&place.vault) {
        return Err(InitError::Taken { store: place.vault, owner });
    }
    finish(directories, place, encryption, call)
}

/// Whether the store that is named is the directory's own, which was moved there.
fn is_moved_to(directories: &Directories, place: &Place) -> bool {
    let own = || {
        let vault = Vault::open(&place.vault).ok()?;
        let known = Catalog::open_read_only(&vault.catalog()).ok()?.identity().ok()?.workspace;
        Some(known == place.root || workspace::is_same(&known, &place.root))
    };
    directories.store.is_some() && own().unwrap_or(false)
}

fn check_root(root: &Path, directories: &Directories) -> Result<(), InitError> {
    if !root.is_dir() {
        return Err(InitError::NotADirectory(root.to_owned()));
    }
    if root.parent().is_none() {
        return Err(InitError::Refused(root.to_owned(), "it is the root of the file system"));
    }
    if root.components().any(|part| part.as_os_str() == ".claude" || part.as_os_str() == ".wfr-staging") {
        return Err(InitError::Refused(root.to_owned(), "it lies inside a directory of wfr or of an agent client"));
    }
    if root.components().any(|part| part.as_os_str() == ".git") {
        return Err(InitError::Refused(root.to_owned(), "it lies inside a .git directory, which wfr never writes in"));
    }
    if workspace::own_place(directories.data.as_deref(), root).is_some() {
        return Err(InitError::Refused(root.to_owned(), "it lies where wfr keeps its stores"));
    }
    Ok(())
}

/// The place of the vault: as named, else below the user's data directory, else inside the view.
fn choose_vault(directories: &Directories, root: &Path) -> Result<PathBuf, InitError> {
    if let Some(store) = &directories.store {
        let store = workspace::absolute(&directories.current, store);
        if store == *root {
            return Err(InitError::Refused(store, "the store would be the workspace itself"));
        }
        if store.parent().is_some_and(|parent| workspace::own_place(None, parent).is_some()) {
            return Err(InitError::Refused(store, "the store would lie inside another one"));
        }
        return Ok(store);
    }
    let inside = view::dir(root).join("vault");
    let Some(data) = &directories.data else { return Ok(inside) };
    let vault = workspace::free_vault(data, root);
    match std::fs::create_dir_all(vault.parent().unwrap_or(data)) {
        Ok(()) => Ok(vault),
        Err(_) => Ok(inside),
    }
}

fn finish(
    directories: &Directories,
    place: Place,
    encryption: &Encryption<'_>,
    call: &Call<'_>,
) -> Result<Initialised, InitError> {
    let io = |path: &Path| {
        let place = path.to_owned();
        move |source| InitError::Io { place, source }
    };
    if let Ok(vault) = Vault::open(&place.vault) {
        encryption.keyring.refuse_foreign(&vault)?;
    }
    // The key comes before everything: a vault that is to have one must not be begun where none can be.
    let is_to_come = is_absent(&place.vault);
    let key = if is_to_come && encryption.wanted == Some(true) { Some(encryption.make_key()?) } else { None };
    let vault_inside = place.vault.starts_with(&place.root);
    let make_view = || view::create(&place.root).map_err(io(&view::dir(&place.root)));
    if vault_inside {
        make_view()?;
    }
    if is_to_come {
        make_dir(&place.vault)?;
    }
    let _lock = dir_lock::take(&place.vault, call.abort).ok_or_else(|| InitError::Interrupted(place.vault.clone()))?;
    // Somebody may have made it while this one waited.
    if let Some(owner) = owner::another(&place.vault, &place.root, directories.data.as_deref()) {
        return Err(InitError::Taken { store: place.vault, owner });
    }
    // Elsewhere the vault comes first: where none can be made, nothing is.
    let (vault, existed) = open_or_make_vault(&place, encryption, key)?;
    vault.mend()?;
    make_view()?;
    match Catalog::open(&vault.catalog()) {
        Ok(_) => {}
        Err(CatalogError::Absent(_)) => make_catalog(&vault, &place, call.now)?,
        Err(error) => return Err(error.into()),
    }
    // Room that is given up when the disk is full. Where there is none now, the next cleanup makes it.
    let _ = wfr_store::reserve::create(vault.dir());
    if let Some(data) = &directories.data {
        // Without a signpost only a lost view cannot be found by path; `--store` still finds it.
        let _ = workspace::write_signpost(data, &place);
    }
    let mut config = view::load_config_or_kept(&place.root, &place.vault)?;
    config.store = Some(wfr_model::path::escape(place.vault.as_os_str().as_encoded_bytes()));
    view::save_config(&place.root, &config)?;
    Ok(Initialised { encrypted: vault.identity().encrypted, place, existed, vault_inside })
}

/// Whether no vault is there, or one whose making was cut off before it could be opened.
fn is_absent(vault: &Path) -> bool {
    match Vault::open(vault) {
        Err(VaultError::Absent(_)) => true,
        Err(VaultError::Headless(_)) => Vault::is_unfinished(vault),
        _ => false,
    }
}

/// Whether the making of a vault was cut off after its format file: nothing is in it, and no catalog ever was.
fn is_begun_only(vault: &Vault) -> bool {
    // Opened for writing: what a crash left of one is rolled back by that.
    let has_none = || matches!(Catalog::open(&vault.catalog()), Err(CatalogError::Absent(_)));
    vault.is_bare().unwrap_or(false) && has_none()
}

fn make_catalog(vault: &Vault, place: &Place, now: Timestamp) -> Result<(), CatalogError> {
    let identity = VaultIdentity {
        vault_id: vault.identity().vault_id.clone(),
        workspace: place.root.clone(),
        created_at: now,
        encrypted: vault.identity().encrypted,
    };
    Catalog::create(&vault.catalog(), &identity).map(drop)
}

/// The vault, and whether it was there before; `key` is for one that is to be made and encrypted.
fn open_or_make_vault(
    place: &Place,
    encryption: &Encryption<'_>,
    key: Option<NewKey>,
) -> Result<(Vault, bool), InitError> {
    let vault = match Vault::open(&place.vault) {
        Ok(vault) => vault,
        Err(_) if is_absent(&place.vault) => {
            let make = |identity| Vault::create(&place.vault, identity);
            return Ok((make_vault(make, encryption, key)?, false));
        }
        Err(error @ (VaultError::Headless(_) | VaultError::Damaged(..))) => {
            return Err(InitError::Nameless { root: place.root.clone(), store: place.vault.clone(), error });
        }
        Err(error) => return Err(error.into()),
    };
    let (is_encrypted, is_begun_only) = (vault.identity().encrypted, is_begun_only(&vault));
    if encryption.wanted.is_some_and(|wanted| wanted != is_encrypted) {
        if is_begun_only && !keyring::has_key(&vault) {
            return Ok((make_vault(|identity| vault.remade(identity), encryption, key)?, false));
        }
        let is = if is_encrypted { InitError::Encrypted } else { InitError::NotEncrypted };
        return Err(is(place.vault.clone()));
    }
    if is_encrypted && !keyring::has_key(&vault) {
        // A crash between the vault and its key left it bare; anything else is a loss.
        if !is_begun_only {
            return Err(InitError::KeyLost(place.vault.clone()));
        }
        let key = key.map_or_else(|| encryption.make_key(), Ok)?;
        encryption.keyring.install(&vault, key)?;
    } else if !encryption.recipients.is_empty() {
        return Err(InitError::Recipients(place.vault.clone()));
    }
    Ok((vault, !is_begun_only))
}

fn make_vault(
    make: impl FnOnce(Identity) -> Result<Vault, VaultError>,
    encryption: &Encryption<'_>,
    key: Option<NewKey>,
) -> Result<Vault, InitError> {
    let encrypted = encryption.wanted.unwrap_or(false);
    let key = if encrypted { Some(key.map_or_else(|| encryption.make_key(), Ok)?) } else { None };
    let vault = make(Identity { format_version: FORMAT_VERSION, vault_id: mint::vault(), encrypted })?;
    if let Some(key) = key {
        encryption.keyring.install(&vault, key)?;
    }
    Ok(vault)
}
