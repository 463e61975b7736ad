//! A file that appears under its name only whole and durable.
//!
//! Owns the temporary file beside it and the order of flushes. Refuses to know what is written.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::RenameFlags;
use sha2::{Digest as _, Sha256};
use wfr_model::Digest;

use super::ArchiveError;
use crate::disk;

/// A file being written. Dropped before [`NewFile::publish`], it leaves nothing behind.
pub(super) struct NewFile {
    file: File,
    dir: PathBuf,
    name: PathBuf,
    temporary: PathBuf,
    replace: bool,
    hash: Sha256,
    bytes: u64,
    is_published: bool,
}

impl NewFile {
    /// Begins a file beside the place where it will stand; mode 0600.
    pub(super) fn create(path: &Path, replace: bool) -> Result<Self, ArchiveError> {
        let at = |source| ArchiveError::Io { place: path.to_owned(), source };
        if !replace && path.symlink_metadata().is_ok() {
            return Err(ArchiveError::Exists(path.to_owned()));
        }
        let name = path.file_name().map(PathBuf::from).ok_or_else(|| at(io::ErrorKind::InvalidInput.into()))?;
        let dir = match path.parent() {
            Some(dir) if !dir.as_os_str().is_empty() => dir.to_owned(),
            _ => PathBuf::from("."),
        };
        let unique = crate::unique::uuid().simple();
        let temporary = PathBuf::from(format!(".wfr-archive-{unique}.tmp"));
        let open = OpenOptions::new().write(true).create_new(true).mode(0o600).open(dir.join(&temporary));
        let file = open.map_err(at)?;
        Ok(Self { file, dir, name, temporary, replace, hash: Sha256::new(), bytes: 0, is_published: false })
    }

    /// Makes the file durable and gives it its name; returns its length in bytes and its SHA-256.
    pub(super) fn publish(mut self) -> Result<(u64, Digest), ArchiveError> {
        let path = self.dir.join(&self.name);
        match self.rename() {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Err(ArchiveError::Exists(path)),
            Err(source) => return Err(ArchiveError::Io { place: path, source }),
        }
        let hash = std::mem::take(&mut self.hash);
        Ok((self.bytes, Digest(hash.finalize().into())))
    }

    fn rename(&mut self) -> io::Result<()> {
        disk::sync_data(&self.file)?;
        let dir = disk::open_dir(&self.dir)?;
        let flags = if self.replace { RenameFlags::empty() } else { RenameFlags::NOREPLACE };
        match disk::rename(&dir, &self.temporary, &dir, &self.name, flags) {
            // Not every file system knows the flag. A link fails where the name is taken, so it serves as well.
            Err(error) if error.kind() == io::ErrorKind::InvalidInput && !self.replace => {
                disk::link(&dir, &self.temporary, &dir, &self.name)?;
                disk::unlink(&dir, &self.temporary)?;
            }
            other => other?,
        }
        self.is_published = true;
        disk::sync_all(&dir)
    }
}

impl Write for NewFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        disk::write_all(&self.file, bytes)?;
        self.hash.update(bytes);
        self.bytes += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if !self.is_published {
            let _ = std::fs::remove_file(self.dir.join(&self.temporary));
        }
    }
}
