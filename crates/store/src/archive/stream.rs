//! The bytes of an archive on their way: hashed, buffered, encrypted or not.
//!
//! Owns the two directions. Refuses to know what the bytes mean.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use age::stream::{StreamReader, StreamWriter};
use sha2::{Digest as _, Sha256};
use wfr_model::Digest;

use super::ArchiveError;
use super::file::NewFile;
use crate::keys::{LockError, Recipients, Unlock};

/// Bytes gathered before they are written, or read at once.
const BUFFER: usize = 1 << 20;

/// Every age file begins with this.
const AGE: &[u8] = b"age-encryption.org/";

/// Where an archive's bytes go.
pub(super) struct Output {
    hash: Sha256,
    to: Target,
}

enum Target {
    Plain(Box<BufWriter<NewFile>>),
    Encrypted(Box<StreamWriter<BufWriter<NewFile>>>),
}

impl Output {
    pub(super) fn new(file: NewFile, recipients: Option<&Recipients>) -> Result<Self, LockError> {
        let file = BufWriter::with_capacity(BUFFER, file);
        let to = match recipients {
            None => Target::Plain(Box::new(file)),
            Some(recipients) => Target::Encrypted(Box::new(recipients.encryptor()?.wrap_output(file)?)),
        };
        Ok(Self { hash: Sha256::new(), to })
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.hash.update(bytes);
        match &mut self.to {
            Target::Plain(to) => to.write_all(bytes),
            Target::Encrypted(to) => to.write_all(bytes),
        }
    }

    /// The SHA-256 of everything so far.
    pub(super) fn digest(&self) -> Digest {
        Digest(self.hash.clone().finalize().into())
    }

    /// Hands everything to the file.
    pub(super) fn finish(self) -> io::Result<NewFile> {
        let buffer = match self.to {
            Target::Plain(to) => *to,
            Target::Encrypted(to) => to.finish()?,
        };
        buffer.into_inner().map_err(io::IntoInnerError::into_error)
    }
}

/// Where an archive's bytes come from.
pub(super) struct Input {
    path: PathBuf,
    hash: Sha256,
    offset: u64,
    from: Source,
}

enum Source {
    Plain(BufReader<File>),
    Encrypted(Box<BufReader<StreamReader<BufReader<File>>>>),
}

pub(super) fn open(path: &Path) -> io::Result<File> {
    // Not blocking, so that a pipe under that name gives an error instead of a wait.
    let file = File::options().read(true).custom_flags(libc::O_NONBLOCK).open(path)?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::other("it is not a regular file")) }
}

/// Whether the file is an age file.
pub(super) fn is_encrypted(path: &Path) -> io::Result<bool> {
    let mut first = Vec::with_capacity(AGE.len());
    open(path)?.take(AGE.len() as u64).read_to_end(&mut first)?;
    Ok(first == AGE)
}

impl Input {
    pub(super) fn open(path: &Path, unlock: Option<&Unlock>) -> Result<Self, ArchiveError> {
        let at = |source| ArchiveError::Io { place: path.to_owned(), source };
        let file = BufReader::with_capacity(BUFFER, open(path).map_err(at)?);
        let from = match (is_encrypted(path).map_err(at)?, unlock) {
            (false, _) => Source::Plain(file),
            (true, None) => return Err(ArchiveError::Encrypted),
            (true, Some(unlock)) => {
                let reader = unlock.decrypt(file).map_err(ArchiveError::Unlock)?;
                Source::Encrypted(Box::new(BufReader::new(reader)))
            }
        };
        Ok(Self { path: path.to_owned(), hash: Sha256::new(), offset: 0, from })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Bytes read so far.
    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    /// The SHA-256 of everything read so far.
    pub(super) fn digest(&self) -> Digest {
        Digest(self.hash.clone().finalize().into())
    }

    /// The next bytes, as many as the array takes.
    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], ArchiveError> {
        let bytes = self.bytes(N as u64)?;
        Ok(bytes.try_into().expect("as many were read"))
    }

    /// The next `length` bytes. Memory grows with what is there, not with what is claimed.
    pub(super) fn bytes(&mut self, length: u64) -> Result<Vec<u8>, ArchiveError> {
        let mut bytes = Vec::new();
        let read = match &mut self.from {
            Source::Plain(from) => from.take(length).read_to_end(&mut bytes),
            Source::Encrypted(from) => from.take(length).read_to_end(&mut bytes),
        };
        let offset = self.offset;
        read.map_err(|source| self.failed(source))?;
        if bytes.len() as u64 != length {
            return Err(ArchiveError::Damaged { offset, why: "it ends too early".to_owned() });
        }
        self.hash.update(&bytes);
        self.offset += length;
        Ok(bytes)
    }

    /// Whether nothing follows.
    pub(super) fn is_at_end(&mut self) -> Result<bool, ArchiveError> {
        let mut one = [0];
        let read = match &mut self.from {
            Source::Plain(from) => from.read(&mut one),
            Source::Encrypted(from) => from.read(&mut one),
        };
        read.map(|count| count == 0).map_err(|source| self.failed(source))
    }

    fn failed(&self, source: io::Error) -> ArchiveError {
        // This is how the decrypting reader speaks of bytes that were changed or cut.
        if matches!(source.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof) {
            return ArchiveError::Damaged { offset: self.offset, why: source.to_string() };
        }
        ArchiveError::Io { place: self.path.clone(), source }
    }
}
