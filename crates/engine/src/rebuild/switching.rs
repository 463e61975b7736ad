//! The change from an old catalog to a new one.
//!
//! Owns that the old one stands until the new one is complete and durable, and that a change which was cut off is taken back
//! by the next rebuild, which then finds all that the one before found. Refuses to fill a catalog.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use wfr_catalog::Catalog;
use wfr_model::Timestamp;
use wfr_store::Vault;

use super::{RebuildError, at};

/// What stands behind a catalog's name for its other files.
const BESIDE: [&str; 3] = ["", "-wal", "-shm"];

/// Where a new catalog is made.
pub(super) fn building(vault: &Vault) -> PathBuf {
    with(&vault.catalog(), ".building")
}

/// What the name of one begins with that is complete and not yet in its place.
const READY: &str = ".ready";

/// What a catalog that is put aside has behind its name, before the time.
const BEFORE: &str = ".before-";

/// Where one is that is complete: its name says where the old one goes meanwhile.
fn ready(vault: &Vault, aside: Option<&Path>) -> PathBuf {
    let catalog = vault.catalog();
    let name = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let behind = aside.map(name).unwrap_or_default();
    with(&catalog, &format!("{READY}{}", behind.strip_prefix(&name(&catalog)).unwrap_or_default()))
}

/// A path with something behind its name.
fn with(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(suffix);
    path.with_file_name(name)
}

/// The files of a catalog, the main one first.
fn files(catalog: &Path) -> [PathBuf; 3] {
    BESIDE.map(|suffix| with(catalog, suffix))
}

/// Takes back what a rebuild that died has begun: the old catalog gets its files back where it has lost its place, and the
/// rebuild that follows finds all that the one before found. What was made goes.
pub(super) fn settle(vault: &Vault) -> io::Result<()> {
    let catalog = vault.catalog();
    for (ready, suffix) in all_ready(vault)? {
        if suffix.starts_with(BEFORE) && catalog.symlink_metadata().is_err() {
            put_back(vault, &with(&catalog, &suffix))?;
        }
        fs::remove_file(ready)?;
    }
    for left in files(&building(vault)) {
        match fs::remove_file(&left) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// Catalogs that are complete and were not put in place, with what the old one has behind its name.
fn all_ready(vault: &Vault) -> io::Result<Vec<(PathBuf, String)>> {
    let begin = with(&vault.catalog(), READY).file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut found = Vec::new();
    for entry in fs::read_dir(vault.dir())? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        found.extend(name.strip_prefix(&begin).map(|suffix| (entry.path(), suffix.to_owned())));
    }
    Ok(found)
}

/// Gives a catalog that was put aside its names again. The log comes first: without it the main file would say less.
fn put_back(vault: &Vault, aside: &Path) -> io::Result<()> {
    for (from, to) in files(aside).iter().zip(files(&vault.catalog())).rev() {
        match fs::rename(from, to) {
            // What had not been put aside yet is in its place.
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    sync(vault)
}

/// Where the old catalog will be, under a name that none has yet; its log beside it as SQLite looks for it. `None` where there is
/// no old one.
pub(super) fn free_aside(vault: &Vault, now: Timestamp) -> io::Result<Option<PathBuf>> {
    if files(&vault.catalog()).iter().all(|file| file.symlink_metadata().is_err()) {
        return Ok(None);
    }
    let first = now.stamp_to_the_second();
    let numbered = (2u32..).map(|number| format!("{first}-{number}"));
    let is_free = |aside: &PathBuf| files(aside).iter().all(|file| file.symlink_metadata().is_err());
    let mut asides =
        std::iter::once(first.clone()).chain(numbered).map(|stamp| with(&vault.catalog(), &format!("{BEFORE}{stamp}")));
    asides.find(is_free).map(Some).ok_or_else(|| io::ErrorKind::AlreadyExists.into())
}

/// Puts a new catalog, which nobody else knows, in the old one's place, and that one's files aside; says where these are now.
pub(super) fn switch(vault: &Vault, new: Catalog, aside: Option<&Path>) -> Result<Vec<PathBuf>, RebuildError> {
    let building = building(vault);
    if !new.checkpoint_wal()? {
        return Err(RebuildError::Busy(vec![]));
    }
    drop(new);
    let switched = File::open(&building).and_then(|file| file.sync_all()).and_then(|()| {
        let ready = ready(vault, aside);
        fs::rename(&building, &ready)?;
        sync(vault)?;
        let moved = aside.map(|aside| put_aside(vault, aside)).transpose()?;
        fs::rename(ready, vault.catalog())?;
        sync(vault)?;
        Ok(moved.unwrap_or_default())
    });
    switched.map_err(at(&vault.catalog()))
}

/// Gives the old catalog's files their other names: the main one first, so that nobody opens it without its log.
fn put_aside(vault: &Vault, aside: &Path) -> io::Result<Vec<PathBuf>> {
    let mut moved = Vec::new();
    for (from, to) in files(&vault.catalog()).iter().zip(files(aside)) {
        match fs::rename(from, &to) {
            Ok(()) => moved.push(to),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(moved)
}

fn sync(vault: &Vault) -> io::Result<()> {
    File::open(vault.dir())?.sync_all()
}
