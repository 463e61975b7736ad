//! How paths and entries stand in the catalog's ledger: as they are, or sealed where the store is.
//!
//! Owns both forms. Refuses to know what a segment means.

use wfr_catalog::PathKey;
use wfr_model::digest::{hex, unhex};
use wfr_model::entry::Entry;
use wfr_model::{Digest, TreePath};
use wfr_store::crypto::{Cipher, OpenError};
use wfr_store::object::hash;
use wfr_store::tree::{Part, decode, encode};
use wfr_store::{ObjectKind, WriteError};

use super::damaged;
use crate::error::Failure;
use crate::open::Open;

/// Bytes as an encrypted store's catalog keeps them: their id on disk, then the bytes sealed as objects are.
pub fn sealed(cipher: &Cipher, bytes: &[u8]) -> Result<Vec<u8>, WriteError> {
    let id = hash(bytes);
    let mut kept = cipher.disk_id(&id).0.to_vec();
    kept.extend(cipher.seal(ObjectKind::Seal, &id, bytes)?);
    Ok(kept)
}

/// The bytes that an encrypted store's catalog keeps.
pub fn unsealed(cipher: &Cipher, kept: &[u8]) -> Result<Vec<u8>, OpenError> {
    let (id, sealed) = kept.split_first_chunk().ok_or(OpenError)?;
    cipher.open_on_disk(ObjectKind::Seal, &Digest(*id), sealed)
}

/// How paths and entries stand in the catalog: as they are, or sealed.
pub struct Veil<'o> {
    cipher: Option<&'o Cipher>,
}

impl<'o> Veil<'o> {
    /// Of a workspace that is unlocked.
    pub fn of(open: &'o Open) -> Result<Self, Failure> {
        open.unlock()?;
        Ok(Self::over(open.cipher().map(AsRef::as_ref)))
    }

    /// Of a store's key; of none where the store is not encrypted.
    pub fn over(cipher: Option<&'o Cipher>) -> Self {
        Self { cipher }
    }

    /// A path as the catalog keeps it.
    pub fn path(&self, path: &TreePath) -> Result<PathKey, Failure> {
        let Some(cipher) = self.cipher else {
            return Ok(PathKey { key: path.as_bytes().to_vec(), sealed: None });
        };
        let id = hash(path.as_bytes());
        let sealed = cipher.seal(ObjectKind::Seal, &id, path.as_bytes())?;
        Ok(PathKey { key: cipher.disk_id(&id).0.to_vec(), sealed: Some(sealed) })
    }

    /// The path that the catalog keeps.
    pub fn shown(&self, path: &PathKey) -> Result<TreePath, Failure> {
        let bytes = match (&path.sealed, self.cipher) {
            (None, _) => path.key.clone(),
            (Some(sealed), Some(cipher)) => {
                let key = path.key.first_chunk().ok_or_else(|| damaged("a path's key is too short"))?;
                cipher
                    .open_on_disk(ObjectKind::Seal, &Digest(*key), sealed)
                    .map_err(|error| damaged(&error.to_string()))?
            }
            (Some(_), None) => return Err(damaged("a path is sealed, and the store is not encrypted")),
        };
        TreePath::from_bytes(&bytes).map_err(|error| damaged(&error.to_string()))
    }

    /// A declared path as the catalog keeps it, as text.
    pub fn declared(&self, path: &TreePath) -> Result<String, Failure> {
        let PathKey { key, sealed } = self.path(path)?;
        Ok(sealed.map_or_else(|| path.to_string(), |sealed| format!("{}.{}", hex(&key), hex(&sealed))))
    }

    /// The declared path that the catalog keeps.
    pub fn of_declared(&self, text: &str) -> Result<TreePath, Failure> {
        if self.cipher.is_none() {
            return text.parse().map_err(|_| damaged("a declared path is none"));
        }
        let parts = text.split_once('.').and_then(|(key, sealed)| Some((unhex(key)?, unhex(sealed)?)));
        let (key, sealed) = parts.ok_or_else(|| damaged("a declared path is none"))?;
        self.shown(&PathKey { key, sealed: Some(sealed) })
    }

    /// An entry as the catalog keeps it.
    pub fn entry(&self, entry: &Entry) -> Result<Vec<u8>, Failure> {
        let bytes = encode(&Part::Leaf(vec![entry.clone()]));
        match self.cipher {
            Some(cipher) => Ok(sealed(cipher, &bytes)?),
            None => Ok(bytes),
        }
    }

    /// The entry that the catalog keeps.
    pub fn opened(&self, kept: &[u8]) -> Result<Entry, Failure> {
        let bytes = match self.cipher {
            None => kept.to_vec(),
            Some(cipher) => unsealed(cipher, kept).map_err(|error| damaged(&error.to_string()))?,
        };
        match decode(&bytes) {
            Ok(Part::Leaf(mut entries)) if entries.len() == 1 => Ok(entries.remove(0)),
            Ok(_) => Err(damaged("an entry is no single one")),
            Err(error) => Err(damaged(&error.to_string())),
        }
    }
}
