//! One self-contained file with everything that some checkpoints need. `docs/format.md` describes the bytes.
//!
//! Owns writing and reading of archives. Refuses to know what a manifest says: it takes roots and gives them back.
//!
//! **Form.** `wfrarch` and the version (8 bytes); the length of the head (4, least significant first) and the head as
//! JSON; records just as in packs, never encrypted; `wfrE`, the number of records (8), the bytes of their plaintexts
//! (8), and the SHA-256 of everything before it (32). Nothing follows. An encrypted archive is an age file
//! with these bytes inside.

mod file;
mod stream;

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use wfr_model::Digest;

use crate::keys::{Lock, LockError, Recipients, Unlock, UnlockError};
use crate::object::{ObjectKind, Objects, ReadError, Sink, WriteError};
use crate::reach::{self, Roots, Seen};
use crate::record::{self, Coding, HEADER, Header};
use file::NewFile;
use stream::{Input, Output};

/// The first bytes: name and version. Version 1 knows neither states nor events; one that needs neither is written so,
/// so that earlier readers take it.
pub const PREAMBLE: [u8; 8] = *b"wfrarch\x02";

/// The version without states and events.
const VERSION_STATELESS: u8 = 1;

/// What stands where the next record would, at the end.
const END: [u8; 4] = *b"wfrE";

/// A head longer than this many bytes is refused.
const HEAD_BYTES_MAX: u32 = 64 << 20;

/// What an archive begins with.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Head {
    checkpoints: Vec<Roots>,
    header: Value,
}

/// How an archive is written.
#[derive(Debug, Default)]
pub struct WriteOptions<'a> {
    /// How objects are compressed.
    pub coding: Coding,
    /// For whom it is encrypted; `None`: not at all.
    pub recipients: Option<&'a Recipients>,
    /// Whether a file that is there already may be replaced.
    pub replace: bool,
    /// Set from outside to give up.
    pub abort: Option<&'a AtomicBool>,
}

/// How an archive is read.
#[derive(Debug, Default)]
pub struct ReadOptions<'a> {
    /// With what it is decrypted, where it is encrypted.
    pub unlock: Option<&'a Unlock>,
    /// Set from outside to give up.
    pub abort: Option<&'a AtomicBool>,
}

/// What was written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Summary {
    /// Objects in the archive.
    pub objects: u64,
    /// Bytes of their plaintexts.
    pub plain_bytes: u64,
    /// Bytes of the file.
    pub file_bytes: u64,
    /// What `sha256sum` says of the file.
    pub file_hash: Digest,
}

/// What an archive holds; every object has been checked against its id, and none is missing.
#[derive(Clone, PartialEq, Debug)]
pub struct Contents {
    /// What the writer wanted to say.
    pub header: Value,
    /// The checkpoints, in the writer's order. Their manifests are among the objects.
    pub checkpoints: Vec<Roots>,
    /// Objects in the archive.
    pub objects: u64,
    /// Bytes of their plaintexts.
    pub plain_bytes: u64,
}

/// Why an archive could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// An object could not be read from the store; no archive was made.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// An object could not be written to the store.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// It could not be encrypted.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// It could not be decrypted.
    #[error("the archive cannot be decrypted: {0}")]
    Unlock(#[source] UnlockError),
    /// It is encrypted and nothing was given to decrypt it with.
    #[error("the archive is encrypted: a passphrase or an identity is needed")]
    Encrypted,
    /// There is a file already.
    #[error("{0} is there already")]
    Exists(PathBuf),
    /// The file begins with something else.
    #[error("{0} is not an archive of wfr")]
    NotAnArchive(PathBuf),
    /// It was written by a later version, or has version 0.
    #[error("the archive has version {0}, this program reads version 1")]
    Version(u8),
    /// Something in it is not as it was written.
    #[error("the archive is damaged at byte {offset}: {why}")]
    Damaged {
        /// Where, in the decrypted bytes.
        offset: u64,
        /// What does not fit.
        why: String,
    },
    /// Objects that it refers to are not in it.
    #[error("the archive is incomplete: {count} objects are missing, {first} among them")]
    Incomplete {
        /// How many.
        count: u64,
        /// The one that comes first by id.
        first: Digest,
    },
    /// The caller gave up.
    #[error("interrupted")]
    Interrupted,
    /// The system refused.
    #[error("cannot use the archive {place}")]
    Io {
        /// The file.
        place: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Writes everything that the checkpoints need into a new file. It appears under its name only whole and durable.
pub fn write(
    objects: &dyn Objects,
    checkpoints: &[Roots],
    header: &Value,
    path: &Path,
    options: &WriteOptions<'_>,
) -> Result<Summary, ArchiveError> {
    let at = |source| ArchiveError::Io { place: path.to_owned(), source };
    let new = NewFile::create(path, options.replace)?;
    let mut output = Output::new(new, options.recipients).map_err(|error| match error {
        LockError::Io(source) => at(source),
        other => other.into(),
    })?;
    let head = Head { checkpoints: checkpoints.to_vec(), header: header.clone() };
    let head = serde_json::to_vec(&head).map_err(|error| at(error.into()))?;
    let length = u32::try_from(head.len()).ok().filter(|length| *length <= HEAD_BYTES_MAX);
    let length = length.ok_or_else(|| at(io::Error::other("its head would be longer than 64 MiB")))?;
    let mut preamble = PREAMBLE;
    if checkpoints.iter().all(|roots| roots.state.is_none() && roots.seals.is_empty()) {
        preamble[7] = VERSION_STATELESS;
    }
    output.write(&[&preamble[..], &length.to_le_bytes(), &head].concat()).map_err(at)?;
    let (mut count, mut plain_bytes) = (0u64, 0u64);
    let roots = checkpoints.iter().flat_map(Roots::objects);
    let mut seen = Seen::new();
    let mut is_new = |kind, id: &Digest| seen.insert((kind, *id));
    reach::walk::<ArchiveError>(objects, roots, &mut is_new, &mut |kind, id, bytes| {
        check(options.abort)?;
        let read = if bytes.is_none() { Some(objects.get(kind, id)?) } else { None };
        let bytes = bytes.or(read.as_deref()).unwrap_or_default();
        output.write(&record::encode(kind, id, bytes, options.coding, None)?).map_err(at)?;
        count += 1;
        plain_bytes += bytes.len() as u64;
        Ok(())
    })?;
    output.write(&[&END[..], &count.to_le_bytes(), &plain_bytes.to_le_bytes()].concat()).map_err(at)?;
    let digest = output.digest();
    output.write(&digest.0).map_err(at)?;
    check(options.abort)?;
    let (file_bytes, file_hash) = output.finish().map_err(at)?.publish()?;
    Ok(Summary { objects: count, plain_bytes, file_bytes, file_hash })
}

fn check(abort: Option<&AtomicBool>) -> Result<(), ArchiveError> {
    if abort.is_some_and(|abort| abort.load(Ordering::Relaxed)) { Err(ArchiveError::Interrupted) } else { Ok(()) }
}

/// What a file is locked with, by its first bytes; `None` where it is not encrypted.
pub fn lock(path: &Path) -> Result<Option<Lock>, ArchiveError> {
    let at = |source| ArchiveError::Io { place: path.to_owned(), source };
    if !stream::is_encrypted(path).map_err(at)? {
        return Ok(None);
    }
    Lock::of(stream::open(path).map_err(at)?).map(Some).map_err(ArchiveError::Unlock)
}

/// Reads an archive and puts every object into `sink`. On an error the caller drops what the sink took.
pub fn read(path: &Path, sink: &dyn Sink, options: &ReadOptions<'_>) -> Result<Contents, ArchiveError> {
    read_each(path, options, &mut |kind, id, bytes| Ok(sink.put(kind, id, bytes)?))
}

/// Reads an archive to its last byte and checks everything; keeps nothing.
pub fn verify(path: &Path, options: &ReadOptions<'_>) -> Result<Contents, ArchiveError> {
    read_each(path, options, &mut |_, _, _| Ok(()))
}

fn read_each(path: &Path, options: &ReadOptions<'_>, take: &mut Take<'_>) -> Result<Contents, ArchiveError> {
    let mut input = Input::open(path, options.unlock)?;
    let head = read_head(&mut input)?;
    let mut census = Census::new(&head.checkpoints);
    let mut plain_bytes = 0;
    loop {
        check(options.abort)?;
        let offset = input.offset();
        let damaged = |why: &str| ArchiveError::Damaged { offset, why: why.to_owned() };
        let first: [u8; 4] = input.array()?;
        if first == END {
            break;
        }
        let mut header = [0; HEADER];
        header[..4].copy_from_slice(&first);
        header[4..].copy_from_slice(&input.array::<{ HEADER - 4 }>()?);
        let header = Header::decode(&header).map_err(damaged)?;
        let payload = input.bytes(u64::from(header.stored_len))?;
        let plain = record::decode(&header, &payload, &header.disk_id, None).map_err(damaged)?;
        census.met(header.kind, header.disk_id, &plain).map_err(|why| damaged(&why))?;
        plain_bytes += plain.len() as u64;
        take(header.kind, &header.disk_id, &plain)?;
    }
    let objects = census.met.len() as u64;
    read_end(&mut input, objects, plain_bytes)?;
    census.finish()?;
    Ok(Contents { header: head.header, checkpoints: head.checkpoints, objects, plain_bytes })
}

type Take<'a> = dyn FnMut(ObjectKind, &Digest, &[u8]) -> Result<(), ArchiveError> + 'a;

fn read_head(input: &mut Input) -> Result<Head, ArchiveError> {
    let preamble: [u8; 8] = input.array().map_err(|error| match error {
        ArchiveError::Damaged { .. } => ArchiveError::NotAnArchive(input.path().to_owned()),
        other => other,
    })?;
    if preamble[..7] != PREAMBLE[..7] {
        return Err(ArchiveError::NotAnArchive(input.path().to_owned()));
    }
    if !(VERSION_STATELESS..=PREAMBLE[7]).contains(&preamble[7]) {
        return Err(ArchiveError::Version(preamble[7]));
    }
    let offset = input.offset();
    let damaged = |why: String| ArchiveError::Damaged { offset, why };
    let length = u32::from_le_bytes(input.array()?);
    if length > HEAD_BYTES_MAX {
        return Err(damaged("its head claims to be longer than 64 MiB".to_owned()));
    }
    let head = input.bytes(u64::from(length))?;
    serde_json::from_slice(&head).map_err(|error| damaged(format!("its head is not what it should be: {error}")))
}

fn read_end(input: &mut Input, objects: u64, plain_bytes: u64) -> Result<(), ArchiveError> {
    let offset = input.offset();
    let damaged = |why: &str| Err(ArchiveError::Damaged { offset, why: why.to_owned() });
    let counts = (u64::from_le_bytes(input.array()?), u64::from_le_bytes(input.array()?));
    if counts != (objects, plain_bytes) {
        return damaged("it does not hold as many objects or bytes as its end says");
    }
    let expected = input.digest();
    if Digest(input.array()?) != expected {
        return damaged("its SHA-256 does not fit");
    }
    if input.is_at_end()? { Ok(()) } else { damaged("bytes follow its end") }
}

/// Which objects were met, and which are still awaited because a root or another object refers to them.
struct Census {
    met: Seen,
    awaited: HashSet<(ObjectKind, Digest)>,
}

impl Census {
    fn new(checkpoints: &[Roots]) -> Self {
        Self { met: Seen::new(), awaited: checkpoints.iter().flat_map(Roots::objects).collect() }
    }

    fn met(&mut self, kind: ObjectKind, id: Digest, bytes: &[u8]) -> Result<(), String> {
        // What it says is true of the vault alone in which it lies.
        if kind == ObjectKind::Import {
            return Err("it holds the mark of an import".to_owned());
        }
        if !self.met.insert((kind, id)) {
            return Err("an object stands in it twice".to_owned());
        }
        self.awaited.remove(&(kind, id));
        let below = reach::children(kind, &id, bytes).map_err(|error| error.to_string())?;
        self.awaited.extend(below.into_iter().filter(|object| !self.met.contains(object)));
        Ok(())
    }

    fn finish(self) -> Result<(), ArchiveError> {
        match self.awaited.iter().map(|(_, id)| *id).min() {
            None => Ok(()),
            Some(first) => Err(ArchiveError::Incomplete { count: self.awaited.len() as u64, first }),
        }
    }
}

#[cfg(test)]
mod tests;
