//! The names in a directory, sorted.
//!
//! Owns the listing calls and memory that is used again. Refuses to know what the names stand for.

use std::ffi::CStr;
use std::os::fd::AsFd;

use rustix::fs::{FileType, RawDir};
use rustix::io::Errno;

/// Bytes asked for at a time.
const DIRENTS_BYTES: usize = 64 << 10;

/// The names of one directory after the other.
#[derive(Default)]
pub(super) struct Names {
    dirents: Vec<u8>,
    bytes: Vec<u8>,
    spans: Vec<Span>,
}

/// A name in `bytes`, its NUL included, and the kind of entry where the file system says so.
#[derive(Clone, Copy)]
struct Span {
    start: usize,
    len: usize,
    kind: FileType,
}

impl Span {
    fn of(self, bytes: &[u8]) -> &[u8] {
        &bytes[self.start..self.start + self.len]
    }
}

impl Names {
    /// Lists a directory from its beginning; each name once, whatever the file system says.
    pub(super) fn list(&mut self, dir: impl AsFd) -> Result<(), Errno> {
        self.bytes.clear();
        self.spans.clear();
        self.dirents.reserve(DIRENTS_BYTES);
        let mut entries = RawDir::new(dir, self.dirents.spare_capacity_mut());
        while let Some(entry) = entries.next() {
            let entry = match entry {
                Err(Errno::INTR) => continue,
                other => other?,
            };
            let name = entry.file_name();
            if name != c"." && name != c".." {
                let name = name.to_bytes_with_nul();
                self.spans.push(Span { start: self.bytes.len(), len: name.len(), kind: entry.file_type() });
                self.bytes.extend_from_slice(name);
            }
        }
        let bytes = &self.bytes;
        self.spans.sort_unstable_by(|a, b| a.of(bytes).cmp(b.of(bytes)));
        self.spans.dedup_by(|a, b| a.of(bytes) == b.of(bytes));
        Ok(())
    }

    /// The names, in order, with the kind of entry where it is known.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&CStr, FileType)> {
        self.spans.iter().filter_map(|span| {
            // Each was a C string and nothing else was put between.
            CStr::from_bytes_with_nul(span.of(&self.bytes)).ok().map(|name| (name, span.kind))
        })
    }

    /// Whether a name is among them.
    pub(super) fn contains(&self, name: &[u8]) -> bool {
        let bytes = &self.bytes;
        self.spans.binary_search_by(|span| span.of(bytes)[..span.len - 1].cmp(name)).is_ok()
    }
}
