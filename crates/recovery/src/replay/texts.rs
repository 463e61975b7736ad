//! Contents in memory while a path is replayed.
//!
//! Owns how many bytes of them are kept. Refuses to know where they come from.

use std::collections::HashMap;
use std::rc::Rc;

use wfr_model::Digest;
use wfr_model::entry::Content;
use wfr_store::content::{CopyError, copy_to};
use wfr_store::object::{Objects, ReadError, hash};

use super::{Chain, Read, Version, entries};
use crate::merge::{self, Unit};

/// Above so many bytes a chain's versions are not looked at one by one.
pub(super) const TOGETHER_MAX: u64 = 128 << 20;

/// Contents that were read or made.
pub(super) struct Texts<'a> {
    /// What is merged as one piece.
    pub(super) unit: Unit,
    /// Whether words of a line came from both sides of a merge.
    pub(super) merged_words: bool,
    read: &'a Read<'a>,
    held: HashMap<Digest, Rc<[u8]>>,
    held_bytes: u64,
    made: HashMap<Digest, Rc<[u8]>>,
}

impl<'a> Texts<'a> {
    pub(super) fn new(read: &'a Read<'a>, unit: Unit) -> Self {
        Self { unit, merged_words: false, read, held: HashMap::new(), held_bytes: 0, made: HashMap::new() }
    }

    /// A content's bytes.
    pub(super) fn get(&mut self, content: &Content) -> Result<Rc<[u8]>, ReadError> {
        if let Some(text) = self.made.get(&content.hash).or_else(|| self.held.get(&content.hash)) {
            return Ok(text.clone());
        }
        let text: Rc<[u8]> = (self.read)(content)?.into();
        if self.held_bytes + text.len() as u64 > TOGETHER_MAX {
            self.held.clear();
            self.held_bytes = 0;
        }
        self.held_bytes += text.len() as u64;
        self.held.insert(content.hash, text.clone());
        Ok(text)
    }

    /// Takes a text that no version may have.
    pub(super) fn make(&mut self, text: Vec<u8>) -> Content {
        let content = Content { size: text.len() as u64, hash: hash(&text), chunks: None };
        self.made.insert(content.hash, text.into());
        content
    }

    /// The bytes of a content that was made.
    pub(super) fn made(&self, version: &Version) -> Option<Vec<u8>> {
        let content = entries::content(version)?;
        self.made.get(&content.hash).map(|text| text.to_vec())
    }
}

/// The bytes of all versions that are not too large to be merged.
pub(super) fn bytes(chain: &Chain) -> u64 {
    let contents = (0..=chain.last()).filter_map(|number| entries::content(chain.version(number)));
    contents.map(|content| content.size).filter(|size| *size <= merge::BYTES_MAX).sum()
}

/// Reads contents from a store.
pub fn from_store(objects: &dyn Objects) -> impl Fn(&Content) -> Result<Vec<u8>, ReadError> {
    move |content| {
        let mut text = Vec::new();
        match copy_to(objects, content, &mut text) {
            Ok(()) => Ok(text),
            Err(CopyError::Read(error)) => Err(error),
            Err(CopyError::Write(source)) => Err(ReadError::Io { place: "memory".to_owned(), source }),
        }
    }
}
