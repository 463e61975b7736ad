//! What the store holds: objects, each named by the SHA-256 of its plaintext.
//!
//! Owns the kinds of objects and the two traits through which everything else reads and writes them. Refuses
//! to know where they lie.

use std::io;

use sha2::{Digest as _, Sha256};
use wfr_model::Digest;

/// The kinds of objects, by their number on disk.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
#[repr(u8)]
pub enum ObjectKind {
    /// A file's content, whole or one chunk.
    Blob = 1,
    /// The list of a large file's chunks.
    Chunks = 2,
    /// A directory, or a part of a large one.
    Tree = 3,
    /// Groups of hard-linked paths.
    Links = 4,
    /// What a checkpoint does not cover.
    Coverage = 5,
    /// A checkpoint's manifest.
    Manifest = 6,
    /// Events and changes sealed between two checkpoints.
    Seal = 7,
    /// A workflow's state.
    State = 8,
    /// The mark of an import: which checkpoints it brought, and where their events are.
    Import = 9,
}

impl ObjectKind {
    /// The kind with this number, or `None`.
    pub fn from_u8(number: u8) -> Option<Self> {
        use ObjectKind as K;
        [K::Blob, K::Chunks, K::Tree, K::Links, K::Coverage, K::Manifest, K::Seal, K::State, K::Import]
            .into_iter()
            .find(|kind| *kind as u8 == number)
    }
}

/// The SHA-256 of some bytes.
pub fn hash(bytes: &[u8]) -> Digest {
    Digest(Sha256::digest(bytes).into())
}

/// The SHA-256 of all that a reader yields.
pub fn hash_reader(source: &mut dyn io::Read) -> io::Result<Digest> {
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 64 << 10];
    loop {
        match source.read(&mut buffer) {
            Ok(0) => return Ok(Digest(hasher.finalize().into())),
            Ok(count) => hasher.update(&buffer[..count]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Why an object could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The index holds no such object.
    #[error("object {0} is not in the store")]
    Missing(Digest),
    /// The bytes are there but are not what they should be.
    #[error("object {id} in pack {pack} at byte {offset} is damaged: {why}")]
    Damaged {
        /// The object.
        id: Digest,
        /// The pack's file name.
        pack: String,
        /// Where its record begins.
        offset: u64,
        /// What does not fit.
        why: &'static str,
    },
    /// An object holds something else than its kind allows.
    #[error("object {id} is not a valid {what}: {why}")]
    Malformed {
        /// The object.
        id: Digest,
        /// What it should be.
        what: &'static str,
        /// What does not fit.
        why: String,
    },
    /// The system failed to read.
    #[error("cannot read the store at {place}")]
    Io {
        /// The file.
        place: String,
        /// What the system said.
        source: io::Error,
    },
}

impl ReadError {
    /// Whether it says that the object is not where it was looked for, rather than that it is damaged there.
    pub fn is_gone(&self) -> bool {
        match self {
            Self::Missing(_) => true,
            Self::Io { source, .. } => source.kind() == io::ErrorKind::NotFound,
            Self::Damaged { .. } | Self::Malformed { .. } => false,
        }
    }
}

/// Why an object could not be written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The system failed to write; nothing was committed.
    #[error("cannot write the store at {place}")]
    Io {
        /// The file.
        place: String,
        /// What the system said.
        source: io::Error,
    },
    /// The store would grow over its quota.
    #[error("the store would grow over its quota: {quota} bytes are left of it")]
    Quota {
        /// The configured limit.
        quota: u64,
    },
    /// Encryption failed.
    #[error("cannot encrypt an object: {0}")]
    Crypto(&'static str),
}

/// Reading of objects. Every byte returned has been verified against the object's id.
pub trait Objects: Sync {
    /// The object's plaintext.
    fn get(&self, kind: ObjectKind, id: &Digest) -> Result<Vec<u8>, ReadError>;

    /// Whether the index holds it; the bytes are not looked at.
    fn has(&self, id: &Digest) -> bool;

    /// Whether all that was held at an earlier moment still is, so that ids of that time need not be asked for one by
    /// one. `holdings` is what [`crate::Store::holdings`] gave at that moment.
    fn still_holds(&self, holdings: &[u8]) -> bool;
}

/// Writing of objects, from several threads at once. Nothing is durable before the writer was finished.
pub trait Sink: Sync {
    /// Whether the object need not be written again.
    fn has(&self, id: &Digest) -> bool;

    /// As [`Objects::still_holds`].
    fn still_holds(&self, _holdings: &[u8]) -> bool {
        false
    }

    /// Writes an object whose SHA-256 the caller has computed; does nothing where it is held already.
    fn put(&self, kind: ObjectKind, id: &Digest, bytes: &[u8]) -> Result<(), WriteError>;

    /// Hashes and writes an object; returns its id.
    fn put_new(&self, kind: ObjectKind, bytes: &[u8]) -> Result<Digest, WriteError> {
        let id = hash(bytes);
        self.put(kind, &id, bytes)?;
        Ok(id)
    }
}

/// A store in memory, for tests of what stands on [`Objects`] and [`Sink`].
#[cfg(test)]
pub(crate) mod memory {
    use std::collections::HashMap;
    use std::sync::Mutex;

    use super::*;

    #[derive(Default)]
    pub(crate) struct Memory(Mutex<HashMap<Digest, (ObjectKind, Vec<u8>)>>);

    impl Memory {
        pub(crate) fn len(&self) -> usize {
            self.0.lock().unwrap().len()
        }
    }

    impl Objects for Memory {
        fn get(&self, kind: ObjectKind, id: &Digest) -> Result<Vec<u8>, ReadError> {
            let map = self.0.lock().unwrap();
            let (held, bytes) = map.get(id).ok_or(ReadError::Missing(*id))?;
            assert_eq!(*held, kind);
            Ok(bytes.clone())
        }

        fn has(&self, id: &Digest) -> bool {
            self.0.lock().unwrap().contains_key(id)
        }

        fn still_holds(&self, _: &[u8]) -> bool {
            false
        }
    }

    impl Sink for Memory {
        fn has(&self, id: &Digest) -> bool {
            Objects::has(self, id)
        }

        fn put(&self, kind: ObjectKind, id: &Digest, bytes: &[u8]) -> Result<(), WriteError> {
            assert_eq!(hash(bytes), *id);
            self.0.lock().unwrap().insert(*id, (kind, bytes.to_vec()));
            Ok(())
        }
    }
}
