//! The bytes of a file that an operation writes: to standard output as they are, or into the JSON document.
//!
//! Owns both ways. Refuses to know whose bytes they are.

use std::any::Any;
use std::io::{self, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use wfr_engine::response::Answer;
use wfr_engine::results::{Encoding, FileContent};

/// Larger files are not put into a JSON document, in bytes.
const JSON_BYTES_MAX: usize = 16 << 20;

/// Where bytes go.
#[derive(Clone)]
pub struct Content(Arc<Mutex<Way>>);

enum Way {
    /// To standard output, until its reader has gone away.
    Out { gone: bool },
    /// Into memory, until they are too many.
    Kept { bytes: Vec<u8>, too_many: bool },
}

impl Content {
    /// For a call whose bytes are kept, as those of one with `--json`, or go straight to standard output.
    pub fn new(is_kept: bool) -> Self {
        let kept = Way::Kept { bytes: vec![], too_many: false };
        Self(Arc::new(Mutex::new(if is_kept { kept } else { Way::Out { gone: false } })))
    }

    fn lock(&self) -> MutexGuard<'_, Way> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts the bytes into a result that has a place for them, unless the bytes were too many.
    pub fn fill(&self, result: &mut dyn Answer) {
        let Way::Kept { bytes, too_many: false } = &*self.lock() else { return };
        let Some(file) = (result as &mut dyn Any).downcast_mut::<FileContent>() else { return };
        let (content, encoding) = match std::str::from_utf8(bytes) {
            Ok(text) => (text.to_owned(), Encoding::Utf8),
            Err(_) => (base64(bytes), Encoding::Base64),
        };
        (file.content, file.encoding) = (Some(content), Some(encoding));
    }
}

impl Write for Content {
    fn write(&mut self, new: &[u8]) -> io::Result<usize> {
        match &mut *self.lock() {
            Way::Out { gone: true } => Ok(new.len()),
            Way::Out { gone } => unless_gone(io::stdout().write(new), gone, new.len()),
            Way::Kept { bytes, too_many } => {
                *too_many |= bytes.len() + new.len() > JSON_BYTES_MAX;
                if *too_many {
                    bytes.clear();
                } else {
                    bytes.extend_from_slice(new);
                }
                Ok(new.len())
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut *self.lock() {
            Way::Out { gone } if !*gone => unless_gone(io::stdout().flush(), gone, ()),
            _ => Ok(()),
        }
    }
}

/// How writing went. That the reader has gone away is noted and no failure; of any other it is told what failed.
fn unless_gone<T>(written: io::Result<T>, gone: &mut bool, all: T) -> io::Result<T> {
    match written {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
            *gone = true;
            Ok(all)
        }
        written => written
            .map_err(|error| io::Error::new(error.kind(), format!("standard output does not take the bytes: {error}"))),
    }
}

/// Base 64 with padding (RFC 4648, section 4).
fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let byte = |at: usize| u32::from(group.get(at).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for at in 0..4 {
            let letter = LETTERS[(bits >> (18 - 6 * at) & 63) as usize];
            text.push(if at <= group.len() { char::from(letter) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use wfr_model::entry::Kind;

    #[test]
    fn base64_is_that_of_the_standard() {
        let vectors =
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="), ("fooba", "Zm9vYmE=")];
        for (plain, encoded) in vectors {
            assert_eq!(base64(plain.as_bytes()), encoded);
        }
        assert_eq!(base64(&[0xff, 0xfe]), "//4=");
    }

    #[test]
    fn bytes_go_into_the_document_unless_they_are_too_many() {
        let filled = |bytes: &[u8]| {
            let content = Content::new(true);
            content.clone().write_all(bytes).expect("memory takes all");
            let mut file = FileContent {
                checkpoint_id: "ckpt_1".parse().expect("an id"),
                path: "a".parse().expect("a path"),
                kind: Kind::File,
                size: bytes.len() as u64,
                checksum: None,
                content: None,
                encoding: None,
            };
            content.fill(&mut file);
            (file.content, file.encoding)
        };
        assert_eq!(filled(b"abc"), (Some("abc".to_owned()), Some(Encoding::Utf8)));
        assert_eq!(filled(b"\xff"), (Some("/w==".to_owned()), Some(Encoding::Base64)));
        assert_eq!(filled(b""), (Some(String::new()), Some(Encoding::Utf8)));
        assert_eq!(filled(&vec![b'x'; JSON_BYTES_MAX + 1]), (None, None));
    }
}
