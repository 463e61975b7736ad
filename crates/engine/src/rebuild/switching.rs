//! The change from an old catalog to a new one.
//!
//! Owns that the old one stands until the new one is complete and durable, and that a change which was cut off is ended by the
//! next rebuild. Refuses to fill a catalog.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use wfr_catalog::Catalog;
use wfr_model::Timestamp;
use wfr_store::Vault;

use super::{RebuildError, at};

/// Where a new catalog is made.
pub(super) fn building(vault: &Vault) -> PathBuf {
    with(&vault.catalog(), ".building")
}

/// Where one is that is complete and not yet in its place.
fn ready(vault: &Vault) -> PathBuf {
    with(&vault.catalog(), ".ready")
}

/// A path with something behind its name.
fn with(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(suffix);
    path.with_file_name(name)
}

/// The files of a catalog, the main one first.
fn files(catalog: &Path) -> [PathBuf; 3] {
    ["", "-wal", "-shm"].map(|suffix| with(catalog, suffix))
}

/// Ends what a rebuild that died has begun. A complete catalog gets its place where that is empty; beside one that stands
/// it may be behind that, and goes, as one does that was half made.
pub(super) fn settle(vault: &Vault, now: Timestamp) -> io::Result<()> {
    let (catalog, ready) = (vault.catalog(), ready(vault));
    if ready.symlink_metadata().is_ok() && catalog.symlink_metadata().is_err() {
        replace(vault, now)?;
    }
    for left in files(&building(vault)).into_iter().chain([ready]) {
        match fs::remove_file(&left) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// Puts a new catalog, which nobody else knows, in the old one's place; says where that is now.
pub(super) fn switch(vault: &Vault, new: Catalog, now: Timestamp) -> Result<Option<PathBuf>, RebuildError> {
    let building = building(vault);
    if !new.checkpoint_wal()? {
        return Err(RebuildError::Busy);
    }
    drop(new);
    let switched = File::open(&building).and_then(|file| file.sync_all()).and_then(|()| {
        fs::rename(&building, ready(vault))?;
        sync(vault)?;
        replace(vault, now)
    });
    switched.map_err(at(&vault.catalog()))
}

/// Puts the old one aside and the complete one in its place.
fn replace(vault: &Vault, now: Timestamp) -> io::Result<Option<PathBuf>> {
    let aside = put_aside(vault, now)?;
    fs::rename(ready(vault), vault.catalog())?;
    sync(vault)?;
    Ok(aside)
}

fn sync(vault: &Vault) -> io::Result<()> {
    File::open(vault.dir())?.sync_all()
}

/// Gives the old catalog's files other names, which none has yet; `None` where there is none.
fn put_aside(vault: &Vault, now: Timestamp) -> io::Result<Option<PathBuf>> {
    let catalog = vault.catalog();
    let files = files(&catalog);
    let is_free = |aside: &String| files.iter().all(|file| with(file, aside).symlink_metadata().is_err());
    let first = format!(".before-{}", now.stamp_to_the_second());
    let numbered = (2u32..).map(|number| format!("{first}-{number}"));
    let aside = std::iter::once(first.clone()).chain(numbered).find(is_free).ok_or(io::ErrorKind::AlreadyExists)?;
    let mut moved = None;
    for from in &files {
        match fs::rename(from, with(from, &aside)) {
            Ok(()) if *from == catalog => moved = Some(with(from, &aside)),
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(moved)
}
