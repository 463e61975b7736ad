//! The vault: the directory that holds packs, index, catalog, journal and keys.
//!
//! Owns its layout and its format file. Refuses to know what stands in the catalog, and where vaults are kept by
//! default: the edge decides that.

use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, RenameFlags};
use serde::{Deserialize, Serialize};

use crate::{disk, keycheck};

/// The store format that this build writes; it reads no later one.
pub const FORMAT_VERSION: u32 = 1;

/// What the format file says.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Identity {
    /// Version of everything in the vault: [`FORMAT_VERSION`].
    pub format_version: u32,
    /// 32 hexadecimal digits that name this vault.
    pub vault_id: String,
    /// Whether objects are encrypted.
    pub encrypted: bool,
}

/// Why a vault could not be made or opened.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// There is none.
    #[error("no vault at {0}")]
    Absent(PathBuf),
    /// It is one, but for its format file, which is gone.
    #[error("the vault at {0} has lost its format file")]
    Headless(PathBuf),
    /// There is one already, or something else.
    #[error("{0} exists and is not an empty directory")]
    Occupied(PathBuf),
    /// Its format file is not readable as one.
    #[error("the vault's format file {0} is damaged: {1}")]
    Damaged(PathBuf, String),
    /// It was written by a later version, or has version 0.
    #[error("the vault has format {found}, this program reads formats 1 to {known}")]
    Version {
        /// What the file says.
        found: u32,
        /// What this build knows.
        known: u32,
    },
    /// The system refused.
    #[error("cannot use the vault at {place}")]
    Io {
        /// Where.
        place: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// An open vault: a directory and what its format file says.
#[derive(Clone, Debug)]
pub struct Vault {
    dir: PathBuf,
    identity: Identity,
    is_nameless: bool,
}

pub(crate) const FORMAT_FILE: &str = "format.json";
/// The catalog's name in a vault, also in one that cannot be opened.
pub const CATALOG_FILE: &str = "catalog.db";
const SUBDIRECTORIES: [&str; 6] = ["packs", "index", "journal", "leases", "cache", "keys"];

impl Vault {
    /// Makes a vault in a directory that is absent or empty, and syncs it. Directories get mode 0700, files 0600. One whose
    /// making was cut off is completed; the caller sees to it that nobody else makes it now.
    pub fn create(dir: &Path, identity: Identity) -> Result<Self, VaultError> {
        let io = |source| VaultError::Io { place: dir.to_owned(), source };
        make_dir(dir)?;
        let leftover = unfinished(dir).map_err(io)?.ok_or_else(|| VaultError::Occupied(dir.to_owned()))?;
        for temporary in leftover {
            std::fs::remove_file(temporary).map_err(io)?;
        }
        let vault = Self { dir: dir.to_owned(), identity, is_nameless: false };
        vault.mend()?;
        vault.write_format().map_err(io)?;
        if let Some(parent) = dir.parent() {
            disk::open_dir(parent).and_then(disk::sync_all).map_err(io)?;
        }
        Ok(vault)
    }

    /// Makes another vault of one that nothing was ever put in, whose making was cut off after its format file.
    ///
    /// [`VaultError::Occupied`] where something is in it; the caller answers for its catalog and its key.
    pub fn remade(self, identity: Identity) -> Result<Self, VaultError> {
        let io = |source| VaultError::Io { place: self.dir.clone(), source };
        if !self.is_bare().map_err(io)? {
            return Err(VaultError::Occupied(self.dir));
        }
        let vault = Self { dir: self.dir.clone(), identity, is_nameless: false };
        vault.write_format().map_err(io)?;
        Ok(vault)
    }

    /// Whether nothing is in it but what is made with it, up to its catalog: every part but that of the keys is empty. What a
    /// catalog that is there says is another question.
    pub fn is_bare(&self) -> io::Result<bool> {
        for entry in self.dir.read_dir()? {
            let (name, place) = entry.map(|entry| (entry.file_name(), entry.path()))?;
            let name = name.to_string_lossy();
            let is_made = if SUBDIRECTORIES.contains(&&*name) {
                name == "keys" || place.read_dir()?.next().is_none()
            } else {
                let own = [FORMAT_FILE, keycheck::BINDING, CATALOG_FILE];
                let of_catalog = name.strip_prefix(CATALOG_FILE).is_some_and(|end| end.starts_with('-'));
                own.contains(&&*name) || of_catalog || own.iter().any(|file| is_temporary(&name, file))
            };
            if !is_made {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether a directory is a vault whose making was cut off before its format file had its name: nothing was ever put in it.
    pub fn is_unfinished(dir: &Path) -> bool {
        matches!(unfinished(dir), Ok(Some(_)))
    }

    fn write_format(&self) -> io::Result<()> {
        let bytes = serde_json::to_vec_pretty(&self.identity).expect("an identity has string keys only");
        write_durably(&self.dir, FORMAT_FILE, &bytes)
    }

    /// Opens the vault in a directory.
    pub fn open(dir: &Path) -> Result<Self, VaultError> {
        let file = dir.join(FORMAT_FILE);
        let bytes = match std::fs::read(&file) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                // A copy may lack directories in which nothing was.
                let is_dir = |name: &str| dir.join(name).is_dir();
                let has_more = dir.join(CATALOG_FILE).is_file() || is_dir("journal") || is_dir("leases");
                let has_parts = is_dir("packs") && has_more;
                return Err(if has_parts { VaultError::Headless(dir.into()) } else { VaultError::Absent(dir.into()) });
            }
            Err(source) => return Err(VaultError::Io { place: file, source }),
        };
        let identity = parse(&bytes).map_err(|error| match error {
            ParseError::Version(found) => VaultError::Version { found, known: FORMAT_VERSION },
            ParseError::Damaged(why) => VaultError::Damaged(file, why),
        })?;
        Ok(Self { dir: dir.to_owned(), identity, is_nameless: false })
    }

    /// A vault that lost its format file, with what that has to say. Writes nothing.
    pub fn nameless(dir: &Path, identity: Identity) -> Self {
        Self { dir: dir.to_owned(), identity, is_nameless: true }
    }

    /// The vault, its format file written where it was lost; one that is there and damaged is put aside.
    pub fn named(self) -> Result<Self, VaultError> {
        if !self.is_nameless {
            return Ok(self);
        }
        let dir = &self.dir;
        let io = |source| VaultError::Io { place: dir.clone(), source };
        match std::fs::rename(dir.join(FORMAT_FILE), dir.join(format!("{FORMAT_FILE}.damaged"))) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(io(error)),
            _ => {}
        }
        self.write_format().map_err(io)?;
        Ok(Self { is_nameless: false, ..self })
    }

    /// Whether a directory is a vault, of this version or a later one.
    pub fn is_at(dir: &Path) -> bool {
        std::fs::read(dir.join(FORMAT_FILE)).is_ok_and(|bytes| is_identity(&bytes))
    }

    /// Makes the directories that are missing. A vault may have nothing in them, and then a copy of it easily lacks them; what
    /// was in one that had something is missing as before, and is told where it is looked for.
    pub fn mend(&self) -> Result<(), VaultError> {
        for place in SUBDIRECTORIES.map(|name| self.dir.join(name)).into_iter().filter(|place| !place.is_dir()) {
            match DirBuilder::new().mode(0o700).create(&place) {
                Err(source) if source.kind() != io::ErrorKind::AlreadyExists => {
                    return Err(VaultError::Io { place, source });
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// What the format file says.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// The vault's directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The catalog; to be opened through the catalog crate only.
    pub fn catalog(&self) -> PathBuf {
        self.dir.join(CATALOG_FILE)
    }

    /// The directory of packs.
    pub fn packs(&self) -> PathBuf {
        self.dir.join("packs")
    }

    /// The directory of index segments; derived, rebuilt from the packs where it is missing.
    pub fn index(&self) -> PathBuf {
        self.dir.join("index")
    }

    /// The directory of redo records.
    pub fn journal(&self) -> PathBuf {
        self.dir.join("journal")
    }

    /// The directory of writers' leases.
    pub fn leases(&self) -> PathBuf {
        self.dir.join("leases")
    }

    /// The directory of stat caches; derived.
    pub fn cache(&self) -> PathBuf {
        self.dir.join("cache")
    }

    /// The directory of wrapped keys.
    pub fn keys(&self) -> PathBuf {
        self.dir.join("keys")
    }
}

/// Makes a vault's directory and those above it, where they are missing.
pub fn make_dir(dir: &Path) -> Result<(), VaultError> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(dir);
    made.map_err(|source| VaultError::Io { place: dir.to_owned(), source })
}

/// The temporary files in a directory that has nothing else but what is made before a vault's format file, each part of it
/// empty; `None` where it has.
fn unfinished(dir: &Path) -> io::Result<Option<Vec<PathBuf>>> {
    let mut temporary = Vec::new();
    for entry in dir.read_dir()? {
        let (entry, place) = entry.map(|entry| (entry.file_name(), entry.path()))?;
        let (name, kind) = (entry.to_string_lossy(), place.symlink_metadata()?.file_type());
        if kind.is_dir() && SUBDIRECTORIES.contains(&&*name) && place.read_dir()?.next().is_none() {
            continue;
        }
        if !kind.is_file() || !is_temporary(&name, FORMAT_FILE) {
            return Ok(None);
        }
        temporary.push(place);
    }
    Ok(Some(temporary))
}

/// Whether a name is that of a file which [`write_durably`] was writing when it was cut off.
fn is_temporary(name: &str, of: &str) -> bool {
    let number = name.strip_prefix('.').and_then(|name| name.strip_prefix(of)?.strip_prefix('.')?.strip_suffix(".tmp"));
    number.is_some_and(|number| !number.is_empty() && number.bytes().all(|digit| digit.is_ascii_digit()))
}

/// Whether these are the bytes of a vault's format file, of this version or a later one.
pub(crate) fn is_identity(bytes: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Marks {
        #[serde(rename = "format_version")]
        _version: u32,
        vault_id: String,
    }
    serde_json::from_slice::<Marks>(bytes).is_ok_and(|marks| is_vault_id(&marks.vault_id))
}

fn is_vault_id(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

enum ParseError {
    Version(u32),
    Damaged(String),
}

fn parse(bytes: &[u8]) -> Result<Identity, ParseError> {
    #[derive(Deserialize)]
    struct Version {
        format_version: u32,
    }
    let damaged = |error: serde_json::Error| ParseError::Damaged(error.to_string());
    // The version comes first: a later format may have other fields.
    let Version { format_version } = serde_json::from_slice(bytes).map_err(damaged)?;
    if format_version == 0 || format_version > FORMAT_VERSION {
        return Err(ParseError::Version(format_version));
    }
    let identity: Identity = serde_json::from_slice(bytes).map_err(damaged)?;
    if is_vault_id(&identity.vault_id) {
        Ok(identity)
    } else {
        Err(ParseError::Damaged("its vault id is not 32 hexadecimal digits".into()))
    }
}

/// Writes a small file so that after a crash it is either whole or not there: temporary, sync, rename, sync.
pub fn write_durably(dir: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    let temporary = format!(".{name}.{}.tmp", std::process::id());
    let temporary = Path::new(&temporary);
    let dir = disk::open_dir(dir)?;
    let _ = disk::unlink(&dir, temporary);
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL;
    let file = disk::open_at(&dir, temporary, flags, Mode::from_raw_mode(0o600))?;
    let written = disk::write_all(&file, bytes).and_then(|()| disk::sync_data(&file)).and_then(|()| {
        disk::rename(&dir, temporary, &dir, Path::new(name), RenameFlags::empty())?;
        disk::sync_all(&dir)
    });
    if written.is_err() {
        let _ = disk::unlink(&dir, temporary);
    }
    written
}

/// Writes a small file that can be derived again: whole or absent for other processes, but not synced.
pub fn write_derived(dir: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    let temporary = dir.join(format!(".{name}.{}.tmp", std::process::id()));
    let _ = std::fs::remove_file(&temporary);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
    let written = file.write_all(bytes).and_then(|()| std::fs::rename(&temporary, dir.join(name)));
    if written.is_err() {
        let _ = std::fs::remove_file(&temporary);
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity() -> Identity {
        Identity { format_version: FORMAT_VERSION, vault_id: "0".repeat(32), encrypted: false }
    }

    #[test]
    fn a_vault_is_made_once_and_found_again() {
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().join("deep/vault");
        assert!(matches!(Vault::open(&place), Err(VaultError::Absent(_))));
        Vault::create(&place, identity()).unwrap();
        assert_eq!(Vault::open(&place).unwrap().identity(), &identity());
        assert!(matches!(Vault::create(&place, identity()), Err(VaultError::Occupied(_))));
    }

    #[test]
    fn one_whose_making_was_cut_off_is_completed_and_nothing_else_is() {
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().join("vault");
        for made in 0..=SUBDIRECTORIES.len() {
            SUBDIRECTORIES[..made].iter().for_each(|name| std::fs::create_dir_all(place.join(name)).unwrap());
            std::fs::create_dir_all(&place).unwrap();
            std::fs::write(place.join(".format.json.17.tmp"), "{").unwrap();
            assert!(Vault::is_unfinished(&place), "{made}");
            Vault::create(&place, identity()).unwrap();
            assert_eq!(Vault::open(&place).unwrap().identity(), &identity());
            assert!(!place.join(".format.json.17.tmp").exists());
            assert!(matches!(Vault::create(&place, identity()), Err(VaultError::Occupied(_))), "it is whole");
            std::fs::remove_dir_all(&place).unwrap();
        }
        for held in
            ["packs/1", "keys/master.age", "journal/1", "catalog.db", "notes", ".format.json.mine.tmp", "key-binding"]
        {
            SUBDIRECTORIES.iter().for_each(|name| std::fs::create_dir_all(place.join(name)).unwrap());
            std::fs::write(place.join(held), "held").unwrap();
            assert!(!Vault::is_unfinished(&place), "{held}");
            assert!(matches!(Vault::create(&place, identity()), Err(VaultError::Occupied(_))), "{held}");
            assert_eq!(std::fs::read(place.join(held)).unwrap(), b"held");
            std::fs::remove_dir_all(&place).unwrap();
        }
    }

    #[test]
    fn only_one_that_holds_nothing_is_made_another() {
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().join("vault");
        let other = Identity { encrypted: true, ..identity() };
        let vault = Vault::create(&place, identity()).unwrap().remade(other.clone()).unwrap();
        assert_eq!(Vault::open(&place).unwrap().identity(), &other);
        for made in [".format.json.17.tmp", "catalog.db", "catalog.db-wal", "key-binding", "keys/check"] {
            std::fs::write(place.join(made), "").unwrap();
        }
        let vault = vault.remade(identity()).unwrap().remade(other.clone()).unwrap();
        for held in ["packs/1", "journal/1", "leases/1", "reserve", "catalog.db.ready.before-1", "notes"] {
            std::fs::write(place.join(held), "held").unwrap();
            assert!(matches!(vault.clone().remade(identity()), Err(VaultError::Occupied(_))), "{held}");
            assert_eq!(Vault::open(&place).unwrap().identity(), &other);
            std::fs::remove_file(place.join(held)).unwrap();
        }
    }

    #[test]
    fn one_that_lost_its_format_file_is_told_and_named_again() {
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().join("vault");
        Vault::create(&place, identity()).unwrap();
        std::fs::remove_file(place.join(FORMAT_FILE)).unwrap();
        assert!(matches!(Vault::open(&place), Err(VaultError::Headless(_))));
        let lost = Vault::nameless(&place, identity());
        assert!(matches!(Vault::open(&place), Err(VaultError::Headless(_))), "nothing is written yet");
        lost.named().unwrap();
        assert_eq!(Vault::open(&place).unwrap().identity(), &identity());
        std::fs::write(place.join(FORMAT_FILE), "noise").unwrap();
        Vault::nameless(&place, identity()).named().unwrap();
        assert_eq!(std::fs::read(place.join("format.json.damaged")).unwrap(), b"noise");
    }

    #[test]
    fn directories_that_a_copy_lacks_are_made_again() {
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().join("vault");
        let vault = Vault::create(&place, identity()).unwrap();
        SUBDIRECTORIES.iter().for_each(|name| std::fs::remove_dir(place.join(name)).unwrap());
        vault.mend().unwrap();
        assert!(SUBDIRECTORIES.iter().all(|name| place.join(name).is_dir()));
        // Without the format file it is a vault still, as long as enough of it is there.
        std::fs::remove_file(place.join(FORMAT_FILE)).unwrap();
        std::fs::remove_dir(place.join("journal")).unwrap();
        assert!(matches!(Vault::open(&place), Err(VaultError::Headless(_))));
        std::fs::remove_dir(place.join("leases")).unwrap();
        assert!(matches!(Vault::open(&place), Err(VaultError::Absent(_))));
        std::fs::write(place.join(CATALOG_FILE), "").unwrap();
        assert!(matches!(Vault::open(&place), Err(VaultError::Headless(_))));
    }

    #[test]
    fn other_formats_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        for (text, ok) in [
            (r#"{"format_version":0}"#, false),
            (r#"{"format_version":2,"new":true}"#, false),
            (r#"{"format_version":1,"vault_id":"x","encrypted":false}"#, false),
            (r#"{"format_version":1,"vault_id":"00000000000000000000000000000000","encrypted":false}"#, true),
            ("", false),
        ] {
            std::fs::write(dir.path().join(FORMAT_FILE), text).unwrap();
            assert_eq!(Vault::open(dir.path()).is_ok(), ok, "{text}");
        }
    }
}
