//! Scanning without storing: for plans and differences that must not write.
//!
//! Owns an overlay of trees in memory over a store that is only read. Refuses to write any.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock};

use wfr_model::Digest;

use crate::object::{ObjectKind, Objects, ReadError, Sink, WriteError};

/// Bytes of new content that an overlay keeps in memory, at most.
pub const BYTES_KEPT_MAX: u64 = 256 << 20;

/// A sink that keeps what describes a tree in memory and forgets files' content, over the objects of a store.
///
/// Whatever a scan into it yields can be read from it, but for the content of files that the store below lacks; unless it
/// was asked to keep that, too, up to 256 MiB in all.
pub struct Dry<'a> {
    below: &'a dyn Objects,
    /// How many more bytes of content are kept.
    room: AtomicU64,
    kept: RwLock<HashMap<Digest, (ObjectKind, Vec<u8>)>>,
}

impl<'a> Dry<'a> {
    /// An empty overlay.
    pub fn over(below: &'a dyn Objects) -> Self {
        Self { below, room: AtomicU64::new(0), kept: RwLock::new(HashMap::new()) }
    }

    /// An empty overlay that keeps new content.
    pub fn keeping(below: &'a dyn Objects) -> Self {
        Self { room: AtomicU64::new(BYTES_KEPT_MAX), ..Self::over(below) }
    }

    /// Whether there is room for so many bytes of content, which is taken then.
    fn takes(&self, bytes: usize) -> bool {
        let left = |room: u64| room.checked_sub(bytes as u64);
        self.room.fetch_update(Ordering::Relaxed, Ordering::Relaxed, left).is_ok()
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
        if !self.holds(id) && (kind != ObjectKind::Blob || self.takes(bytes.len())) {
            let mut kept = self.kept.write().unwrap_or_else(PoisonError::into_inner);
            kept.insert(*id, (kind, bytes.to_vec()));
        }
        Ok(())
    }
}
