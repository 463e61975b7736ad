//! Reading one file so that what was read is what stood there at one moment.
//!
//! Owns opening, the checks before and after, and what a read may come to. Refuses to know names above the file.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::buffer::spare_capacity;
use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;
use wfr_model::entry::Content;

use super::fstime::Mount;
use super::shared::Shared;
use super::stat::{self, Stat};
use super::{ScanError, xattr};
use crate::content::{self, BLOB_BYTES_MAX, StoreError};
use crate::lease;
use crate::sparse::Sparse;

/// How often a file that changes while it is read is tried.
const TRIES: u32 = 3;

/// What reading a file came to.
#[derive(Debug)]
pub(super) enum Outcome {
    Read(Captured),
    /// It is not there any more.
    Gone,
    /// It never held still.
    Changed,
    /// It is no regular file.
    Other,
    /// The rules leave out a file of this size, in bytes.
    TooLarge(u64),
    Refused(Errno),
    /// The deadline passed.
    Late,
}

/// A file's content and the stamps it was read under.
#[derive(Debug)]
pub(super) struct Captured {
    pub stat: Stat,
    pub content: Content,
    pub xattrs: Vec<u8>,
    /// Whether someone had it open for writing.
    pub has_writer: bool,
}

/// Buffers that are used again for every file.
#[derive(Debug, Default)]
pub(super) struct Buffers {
    content: Vec<u8>,
    xattrs: Vec<u8>,
}

/// Reads the file `name` into the store. `had_writer`: the last scan found one. Errors are the scan's own.
pub(super) fn file(
    shared: &Shared<'_>,
    dir: impl AsFd,
    name: &CStr,
    mount: &Mount,
    had_writer: bool,
    buffers: &mut Buffers,
) -> Result<Outcome, ScanError> {
    for _ in 0..TRIES {
        let file = match open(dir.as_fd(), name) {
            Ok(file) => file,
            Err(error) => return refused(error),
        };
        match attempt(shared, &file, mount, had_writer, buffers)? {
            Outcome::Changed => {}
            outcome => return Ok(outcome),
        }
    }
    Ok(Outcome::Changed)
}

fn refused(error: Errno) -> Result<Outcome, ScanError> {
    match error {
        Errno::NOENT => Ok(Outcome::Gone),
        // A link or a device without a driver stands where a file stood.
        Errno::LOOP | Errno::NXIO | Errno::NODEV => Ok(Outcome::Other),
        error => ScanError::of_process(error).map_or(Ok(Outcome::Refused(error)), Err),
    }
}

/// Opens for reading. Never blocks, on a pipe that took the file's place neither; leaves the time of access alone
/// where the owner may ask for that.
fn open(dir: impl AsFd, name: &CStr) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    match rustix::fs::openat(&dir, name, flags | OFlags::NOATIME, Mode::empty()) {
        Err(Errno::PERM) => rustix::fs::openat(&dir, name, flags, Mode::empty()),
        other => other,
    }
}

fn attempt(
    shared: &Shared<'_>,
    file: &OwnedFd,
    mount: &Mount,
    had_writer: bool,
    buffers: &mut Buffers,
) -> Result<Outcome, ScanError> {
    let before = match stat::of(file) {
        Ok(stat) => stat,
        Err(error) => return refused(error),
    };
    if before.kind() != FileType::RegularFile {
        return Ok(Outcome::Other);
    }
    if shared.options.rules.is_too_large(before.size) {
        return Ok(Outcome::TooLarge(before.size));
    }
    // Asked before reading: a writer that comes later leaves a stamp with its first store.
    let is_watched = had_writer || mount.is_recent(&before);
    let has_writer = is_watched && lease::has_writer(file) == Some(true);
    let content = match store(shared, file, before.size, buffers) {
        Ok(Some(content)) => content,
        Ok(None) => return Ok(Outcome::Changed),
        Err(StoreError::Write(error)) => return Err(error.into()),
        Err(StoreError::Read(error)) => return interrupted(shared, &error),
    };
    let xattrs = match xattr::read(file, &mut buffers.xattrs) {
        Ok(xattrs) => xattrs,
        Err(error) => return refused(error),
    };
    match stat::of(file) {
        Ok(stat) if stat.same_content(&before) && content.size == stat.size => {
            Ok(Outcome::Read(Captured { stat, content, xattrs, has_writer }))
        }
        Ok(_) => Ok(Outcome::Changed),
        Err(error) => refused(error),
    }
}

/// What an error while reading means: the scan's end, the deadline, or the file's own.
fn interrupted(shared: &Shared<'_>, error: &io::Error) -> Result<Outcome, ScanError> {
    if shared.is_aborted() {
        return Err(ScanError::Aborted);
    }
    if shared.is_late() {
        return Ok(Outcome::Late);
    }
    refused(error.raw_os_error().map_or(Errno::IO, Errno::from_raw_os_error))
}

/// Stores the file's content; `None` where a small one has not its size any more.
fn store(shared: &Shared<'_>, file: &OwnedFd, size: u64, buffers: &mut Buffers) -> Result<Option<Content>, StoreError> {
    let mut reader = Reader { shared, file, bytes: Sparse::new(file), left: size };
    if size > BLOB_BYTES_MAX {
        return content::store(&mut reader, size, shared.sink, &mut buffers.content).map(Some);
    }
    reader.read_whole(size as usize, &mut buffers.content).map_err(StoreError::Read)?;
    if buffers.content.len() as u64 != size {
        return Ok(None);
    }
    Ok(Some(content::store_blob(&buffers.content, shared.sink)?))
}

/// Reads up to the size that the file had, so that one that grows comes to an end; stops at abort and deadline.
struct Reader<'a> {
    shared: &'a Shared<'a>,
    file: &'a OwnedFd,
    bytes: Sparse<&'a OwnedFd>,
    left: u64,
}

impl Reader<'_> {
    /// A small file's bytes, at least one of them more than `size` where it grew.
    fn read_whole(&self, size: usize, buffer: &mut Vec<u8>) -> io::Result<()> {
        buffer.clear();
        buffer.reserve(size + 1);
        loop {
            match rustix::io::read(self.file, spare_capacity(buffer)) {
                Ok(0) => break,
                Ok(_) if buffer.len() >= size => break,
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        self.shared.options.progress.add_bytes(buffer.len() as u64);
        Ok(())
    }
}

impl io::Read for Reader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 {
            return Ok(0);
        }
        if self.shared.is_aborted() || self.shared.check_late() {
            return Err(io::Error::other("the scan ends here"));
        }
        let most = buffer.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        let count = io::Read::read(&mut self.bytes, &mut buffer[..most])?;
        self.left -= count as u64;
        self.shared.options.progress.add_bytes(count as u64);
        Ok(count)
    }
}
