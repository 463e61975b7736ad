//! Scanning without storing: for plans and differences that must not write.
//!
//! Owns an overlay of trees in memory over a store that is only read. Refuses to keep files' content.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

use wfr_model::Digest;

use crate::object::{ObjectKind, Objects, ReadError, Sink, WriteError};

/// A sink that keeps what describes a tree in memory and forgets files' content, over the objects of a store.
///
/// Whatever a scan into it yields can be read from it, but for the content of files that the store below lacks.
pub struct Dry<'a> {
    below: &'a dyn Objects,
    kept: RwLock<HashMap<Digest, (ObjectKind, Vec<u8>)>>,
}

impl<'a> Dry<'a> {
    /// An empty overlay.
    pub fn over(below: &'a dyn Objects) -> Self {
        Self { below, kept: RwLock::new(HashMap::new()) }
    }

    fn holds(&self, id: &Digest) -> bool {
        self.kept.read().unwrap_or_else(PoisonError::into_inner).contains_key(id) || self.below.has(id)
    }
}

impl Objects for Dry<'_> {
    fn get(&self, kind: ObjectKind, id: &Digest) -> Result<Vec<u8>, ReadError> {
        let kept = self.kept.read().unwrap_or_else(PoisonError::into_inner);
        match kept.get(id) {
            Some((held, bytes)) if *held == kind => Ok(bytes.clone()),
            _ => self.below.get(kind, id),
        }
    }

    fn has(&self, id: &Digest) -> bool {
        self.holds(id)
    }

    fn still_holds(&self, holdings: &[u8]) -> bool {
        self.below.still_holds(holdings)
    }
}

impl Sink for Dry<'_> {
    fn has(&self, id: &Digest) -> bool {
        self.holds(id)
    }

    fn still_holds(&self, holdings: &[u8]) -> bool {
        self.below.still_holds(holdings)
    }

    fn put(&self, kind: ObjectKind, id: &Digest, bytes: &[u8]) -> Result<(), WriteError> {
        if kind != ObjectKind::Blob && !self.holds(id) {
            let mut kept = self.kept.write().unwrap_or_else(PoisonError::into_inner);
            kept.insert(*id, (kind, bytes.to_vec()));
        }
        Ok(())
    }
}
