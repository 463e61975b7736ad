//! Files' contents as objects: one blob up to 1 MiB, FastCDC chunks above.
//!
//! Owns where a large file is cut and how it is put together again, verified. Refuses to know paths and metadata.
//! Chunking: W. Xia et al., "FastCDC", USENIX ATC 2016, as the 2020 variant of the `fastcdc` crate.

use std::io::{self, Read, Write};
use std::sync::LazyLock;

use sha2::{Digest as _, Sha256};
use wfr_model::Digest;
use wfr_model::entry::Content;

use crate::object::{ObjectKind, Objects, ReadError, Sink, WriteError, hash};

/// A file up to this many bytes is one blob.
pub const BLOB_BYTES_MAX: u64 = 1 << 20;

/// Chunk sizes in bytes: least, average, most.
const CHUNK: (usize, usize, usize) = (256 << 10, 1 << 20, 4 << 20);

/// Bytes of one line of a chunk list: the chunk's id and its length.
const LINE: usize = 32 + 4;

/// Why a file's content could not be stored.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The source could not be read.
    #[error("cannot read the file")]
    Read(#[source] io::Error),
    /// The store could not be written.
    #[error(transparent)]
    Write(#[from] WriteError),
}

/// Stores everything that `source` yields. `size_hint` only decides the first buffer; `buffer` is scratch space that
/// callers reuse.
pub fn store(
    source: &mut dyn Read,
    size_hint: u64,
    sink: &dyn Sink,
    buffer: &mut Vec<u8>,
) -> Result<Content, StoreError> {
    buffer.clear();
    if size_hint <= BLOB_BYTES_MAX {
        buffer.reserve(size_hint as usize + 1);
        (&mut *source).take(BLOB_BYTES_MAX + 1).read_to_end(buffer).map_err(StoreError::Read)?;
        if buffer.len() as u64 <= BLOB_BYTES_MAX {
            return Ok(store_blob(buffer, sink)?);
        }
    }
    store_chunks(&mut io::Cursor::new(&*buffer).chain(source), sink)
}

/// Stores a small file that was read already: at most [`BLOB_BYTES_MAX`] bytes, as one blob.
pub fn store_blob(bytes: &[u8], sink: &dyn Sink) -> Result<Content, WriteError> {
    debug_assert!(bytes.len() as u64 <= BLOB_BYTES_MAX);
    let id = hash(bytes);
    sink.put(ObjectKind::Blob, &id, bytes)?;
    Ok(Content { size: bytes.len() as u64, hash: id, chunks: None })
}

/// Stores a large file as chunks and their list.
fn store_chunks(source: &mut dyn Read, sink: &dyn Sink) -> Result<Content, StoreError> {
    let mut whole = Sha256::new();
    let mut size = 0u64;
    let mut list = Vec::new();
    let mut window = Vec::with_capacity(2 * CHUNK.2);
    loop {
        let want = (CHUNK.2 - window.len().min(CHUNK.2)) as u64;
        let at_end = source.take(want).read_to_end(&mut window).map_err(StoreError::Read)? < want as usize;
        if window.is_empty() {
            break;
        }
        let is_empty = window.len() == CHUNK.2 && is_zero(&window);
        let cut = if is_empty { ZEROS.bytes.len() } else { cut(&window) };
        let chunk = &window[..cut];
        whole.update(chunk);
        size += cut as u64;
        let id = if is_empty {
            sink.put(ObjectKind::Blob, &ZEROS.id, chunk)?;
            ZEROS.id
        } else {
            sink.put_new(ObjectKind::Blob, chunk)?
        };
        list.extend_from_slice(&id.0);
        list.extend_from_slice(&(cut as u32).to_le_bytes());
        window.drain(..cut);
        if at_end && window.is_empty() {
            break;
        }
    }
    let chunks = sink.put_new(ObjectKind::Chunks, &list)?;
    Ok(Content { size, hash: Digest(whole.finalize().into()), chunks: Some(chunks) })
}

/// Where a chunk that begins with these bytes ends.
fn cut(window: &[u8]) -> usize {
    fastcdc::v2020::FastCDC::new(window, CHUNK.0, CHUNK.1, CHUNK.2).next().map_or(0, |chunk| chunk.length)
}

/// The chunk that a long run of zeros consists of: most of a sparse file. It is cut and hashed once.
struct Zeros {
    bytes: Vec<u8>,
    id: Digest,
}

static ZEROS: LazyLock<Zeros> = LazyLock::new(|| {
    let mut bytes = vec![0; CHUNK.2];
    bytes.truncate(cut(&bytes));
    Zeros { id: hash(&bytes), bytes }
});

/// Whether a text has zeros only.
pub fn is_zero(bytes: &[u8]) -> bool {
    // It begins with one, and each byte is as the one before.
    bytes.first().is_none_or(|first| *first == 0 && bytes[1..] == bytes[..bytes.len() - 1])
}

/// Bytes of a content that take room where it is written out with long runs of zeros as holes; at most so many.
pub fn dense_bytes(objects: &dyn Objects, content: &Content) -> Result<u64, ReadError> {
    if content.chunks.is_none() {
        return Ok(content.size);
    }
    let chunks = chunks(objects, content)?;
    Ok(chunks.iter().filter(|(id, _)| *id != ZEROS.id).map(|(_, length)| length).sum())
}

/// The chunks of a content, in order: ids and lengths in bytes. One blob is one chunk; an empty file is one too.
pub fn chunks(objects: &dyn Objects, content: &Content) -> Result<Vec<(Digest, u64)>, ReadError> {
    let Some(list_id) = &content.chunks else {
        return Ok(vec![(content.hash, content.size)]);
    };
    let lines = decode_list(list_id, &objects.get(ObjectKind::Chunks, list_id)?)?;
    if lines.iter().map(|(_, length)| length).sum::<u64>() != content.size {
        let why = "its lengths do not add up to the file's".to_owned();
        return Err(ReadError::Malformed { id: *list_id, what: "chunk list", why });
    }
    Ok(lines)
}

/// The chunks that the bytes of a list name: ids and lengths in bytes.
pub fn decode_list(id: &Digest, bytes: &[u8]) -> Result<Vec<(Digest, u64)>, ReadError> {
    if !bytes.len().is_multiple_of(LINE) {
        let why = "its length is no multiple of a line's".to_owned();
        return Err(ReadError::Malformed { id: *id, what: "chunk list", why });
    }
    let lines = bytes.chunks_exact(LINE).map(|line| {
        let (id, length) = line.split_at(32);
        let id = Digest(id.try_into().expect("split at 32"));
        (id, u64::from(u32::from_le_bytes(length.try_into().expect("a line has 36 bytes"))))
    });
    Ok(lines.collect())
}

/// Why a content could not be written out.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// The store could not be read, or is damaged.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The target could not be written.
    #[error("cannot write the file")]
    Write(#[source] io::Error),
}

/// Writes a content out and flushes `out`, verified chunk by chunk and, where there are several, as a whole.
pub fn copy_to(objects: &dyn Objects, content: &Content, out: &mut dyn Write) -> Result<(), CopyError> {
    let chunks = chunks(objects, content)?;
    let mut whole = (chunks.len() != 1 || content.chunks.is_some()).then(Sha256::new);
    for (id, length) in &chunks {
        let found;
        // What is known by its id need not be read.
        let bytes = if whole.is_some() && *id == ZEROS.id {
            &ZEROS.bytes
        } else {
            found = objects.get(ObjectKind::Blob, id)?;
            &found
        };
        if bytes.len() as u64 != *length {
            let why = format!("it has {} bytes, not {length}", bytes.len());
            return Err(ReadError::Malformed { id: *id, what: "chunk", why }.into());
        }
        if let Some(whole) = &mut whole {
            whole.update(bytes);
        }
        out.write_all(bytes).map_err(CopyError::Write)?;
    }
    out.flush().map_err(CopyError::Write)?;
    if whole.is_some_and(|whole| Digest(whole.finalize().into()) != content.hash) {
        let why = "its chunks do not make the file they should".to_owned();
        return Err(ReadError::Malformed { id: content.hash, what: "file", why }.into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::memory::Memory;

    fn stored(bytes: &[u8]) -> (Memory, Content) {
        let memory = Memory::default();
        let content = store(&mut &*bytes, bytes.len() as u64, &memory, &mut Vec::new()).unwrap();
        (memory, content)
    }

    fn noise(length: usize) -> Vec<u8> {
        let mut seed = 7u64;
        let mut next = || {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 56) as u8
        };
        (0..length).map(|_| next()).collect()
    }

    #[test]
    fn contents_come_back_as_they_were() {
        for length in [0, 1, BLOB_BYTES_MAX as usize, BLOB_BYTES_MAX as usize + 1, 9 << 20] {
            for bytes in [noise(length), vec![0; length]] {
                let (memory, content) = stored(&bytes);
                assert_eq!((content.size, content.hash), (length as u64, hash(&bytes)));
                assert_eq!(content.chunks.is_some(), length as u64 > BLOB_BYTES_MAX);
                let mut out = Vec::new();
                copy_to(&memory, &content, &mut out).unwrap();
                assert!(out == bytes, "{length}");
            }
        }
    }

    /// A length that is declared wrongly is an error, whatever is declared, and asks for no memory.
    #[test]
    fn a_declared_size_that_is_wrong_is_refused() {
        for length in [100, 3 << 20] {
            let (memory, content) = stored(&noise(length));
            for size in [0, 1, length as u64 - 1, length as u64 + 1, (1 << 63) - 1, 1 << 63, u64::MAX] {
                let lying = Content { size, ..content };
                let ended = copy_to(&memory, &lying, &mut io::sink());
                assert!(matches!(ended, Err(CopyError::Read(ReadError::Malformed { .. }))), "{size}: {ended:?}");
                assert!(chunks(&memory, &lying).is_err() || content.chunks.is_none(), "{size}");
            }
        }
    }

    #[test]
    fn a_list_that_is_none_or_names_other_lengths_is_refused() {
        let (memory, content) = stored(&noise(3 << 20));
        let lines = chunks(&memory, &content).unwrap();
        let list = |lines: &[(Digest, u64)]| -> Vec<u8> {
            let line = |(id, length): &(Digest, u64)| [&id.0[..], &(*length as u32).to_le_bytes()].concat();
            lines.iter().flat_map(line).collect()
        };
        // One chunk more and another less, so that the sum is right; two that have changed places; a line cut off.
        let mut shifted = lines.clone();
        (shifted[0].1, shifted[1].1) = (shifted[0].1 + 1, shifted[1].1 - 1);
        let mut swapped = lines.clone();
        swapped.swap(0, 1);
        let whole = list(&lines);
        for bad in [list(&shifted), list(&swapped), whole[..whole.len() - 1].to_vec(), vec![]] {
            let id = memory.put_new(ObjectKind::Chunks, &bad).unwrap();
            let lying = Content { chunks: Some(id), ..content };
            assert!(matches!(copy_to(&memory, &lying, &mut io::sink()), Err(CopyError::Read(_))));
        }
    }
}
