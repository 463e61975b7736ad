//! Scanning with files' content stored and trees only drawn: for looks of which single paths are recorded.
//!
//! Owns the splitting of what a scan yields. Refuses to make trees durable.

use wfr_model::Digest;

use super::dry::Dry;
use crate::object::{ObjectKind, Objects, ReadError, Sink, WriteError};
use crate::writer::Writer;

/// A sink that writes files' content, and keeps what describes the tree in memory.
///
/// What a scan into it yields must not be kept as a stat cache: the trees that it names are not in the store.
pub struct Sketch<'a> {
    writer: &'a Writer<'a>,
    drawn: Dry<'a>,
}

impl<'a> Sketch<'a> {
    /// An empty drawing over a writer.
    pub fn over(writer: &'a Writer<'a>) -> Self {
        Self { writer, drawn: Dry::over(writer) }
    }
}

impl Objects for Sketch<'_> {
    fn get(&self, kind: ObjectKind, id: &Digest) -> Result<Vec<u8>, ReadError> {
        self.drawn.get(kind, id)
    }

    fn has(&self, id: &Digest) -> bool {
        Objects::has(&self.drawn, id)
    }

    fn still_holds(&self, holdings: &[u8]) -> bool {
        Objects::still_holds(&self.drawn, holdings)
    }
}

impl Sink for Sketch<'_> {
    fn has(&self, id: &Digest) -> bool {
        Sink::has(&self.drawn, id)
    }

    fn still_holds(&self, holdings: &[u8]) -> bool {
        Sink::still_holds(&self.drawn, holdings)
    }

    fn put(&self, kind: ObjectKind, id: &Digest, bytes: &[u8]) -> Result<(), WriteError> {
        match kind {
            ObjectKind::Blob | ObjectKind::Chunks => self.writer.put(kind, id, bytes),
            _ => self.drawn.put(kind, id, bytes),
        }
    }
}
