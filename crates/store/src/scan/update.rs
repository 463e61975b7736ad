//! Bringing the stat cache up to date.
//!
//! Owns writing the file: appending what changed, or writing it anew. Refuses to sync it, and to wait for another
//! process that writes it: whatever is lost is found again by the next scan.

use std::collections::HashMap;
use std::ffi::{CString, OsStr};
use std::fs::File;
use std::io::{self, Seek, SeekFrom};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{FlockOperation, Mode, OFlags, RenameFlags};

use super::cache::{DATA, Slot, StatCache, newest_slot, overhead, wrap};
use super::listing::{self, Pos};
use super::stat;
use super::touched::Mark;
use crate::crypto::Cipher;
use crate::disk;

/// A listing that a scan made or changed.
#[derive(Debug)]
pub(super) struct Changed {
    /// Its number, larger than those of all that hold it.
    pub number: usize,
    /// Its bytes; the places of changed listings below are still to be filled in.
    pub bytes: Vec<u8>,
    /// For each directory entry in it that has a changed listing: which entry of the listing's directories, and
    /// that listing's number.
    pub below: Vec<(usize, usize)>,
}

/// What a scan wants the cache to hold.
#[derive(Debug)]
pub(super) struct Update {
    /// The cache that the scan began with, where its listings are still of use.
    pub base: Option<StatCache>,
    /// Changed listings by falling number; the last one is the root's. Empty: only the slot changes.
    pub changed: Vec<Changed>,
    /// Whether the changed listings are all there are.
    pub is_whole: bool,
    /// Bytes of all listings in use, changed ones included.
    pub live: u64,
    pub rules: u64,
    /// How far the watch had come when the scan began.
    pub mark: Option<Mark>,
    /// Whether the store is known to hold every id in it, but for those of entries that are not part of the tree.
    pub knows_holdings: bool,
}

/// The store's part in what is written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Keeping<'a> {
    /// What the store holds; empty where that is not known.
    pub holdings: &'a [u8],
    pub cipher: Option<&'a Arc<Cipher>>,
}

impl Update {
    /// Brings the file `name` up to date, or leaves it: see [`super::Scan::write_cache`].
    pub(super) fn write(&self, dir: BorrowedFd<'_>, name: &Path, keeping: Keeping<'_>) -> io::Result<()> {
        let is_sealed = keeping.cipher.is_some();
        match &self.base {
            Some(base) if base.cipher.is_some() != is_sealed => Ok(()),
            Some(base) if !(self.is_whole && base.is_mostly_dead()) => self.append(base, dir, name, keeping),
            _ if self.is_whole => self.write_anew(dir, name, keeping),
            _ => Ok(()),
        }
    }

    fn append(&self, base: &StatCache, dir: BorrowedFd<'_>, name: &Path, keeping: Keeping<'_>) -> io::Result<()> {
        let file = File::from(disk::open_at(dir, name, OFlags::RDWR, Mode::empty())?);
        // Another process that writes now, or one that wrote since, in this file or by another in its place, knows at
        // least as much.
        let cipher = keeping.cipher.map(AsRef::as_ref);
        if !lock(&file)? || newest_slot(&file, cipher) != Some(base.slot) {
            return Ok(());
        }
        let next = Slot { sequence: base.slot.sequence + 1, ..base.slot };
        self.put_all(&file, next, keeping)
    }

    fn write_anew(&self, dir: BorrowedFd<'_>, name: &Path, keeping: Keeping<'_>) -> io::Result<()> {
        // One name, so that a crash leaves one file at most; its lock says who writes it.
        let temporary = temporary_name(name);
        let flags = OFlags::RDWR | OFlags::CREATE;
        let file = File::from(disk::open_at(dir, &temporary, flags, Mode::RUSR | Mode::WUSR)?);
        if !lock(&file)? || !stands_at(&file, dir, &temporary) {
            return Ok(());
        }
        disk::truncate(&file, 0)?;
        let rules = self.rules;
        let (root, holdings) = (Pos::NONE, Pos::NONE);
        let first = Slot { nonce: nonce()?, sequence: 1, root, end: DATA, live: 0, rules, holdings, mark: None };
        let written = self
            .put_all(&file, first, keeping)
            .and_then(|()| disk::rename(dir, &temporary, dir, name, RenameFlags::empty()));
        if written.is_err() {
            let _ = disk::unlink(dir, &temporary);
        }
        written
    }

    /// Writes the changed listings at the slot's end, then the slot that names them.
    fn put_all(&self, file: &File, mut slot: Slot, keeping: Keeping<'_>) -> io::Result<()> {
        let cipher = keeping.cipher.map(AsRef::as_ref);
        let mut out = Appender { file, nonce: slot.nonce, cipher, at: slot.end, pending: Vec::new() };
        let mut places = HashMap::new();
        for changed in &self.changed {
            slot.root = out.put_listing(changed, &places)?;
            places.insert(changed.number, slot.root);
        }
        let is_known = self.knows_holdings && !keeping.holdings.is_empty();
        slot.holdings = if is_known { out.put(keeping.holdings, |_| ())? } else { Pos::NONE };
        out.flush()?;
        (slot.end, slot.live, slot.rules, slot.mark) = (out.at, self.live, self.rules, self.mark);
        let (bytes, at) = slot.encode(cipher);
        write_at(file, &bytes, at)
    }
}

struct Appender<'f> {
    file: &'f File,
    nonce: u64,
    cipher: Option<&'f Cipher>,
    /// Where `pending` begins in the file.
    at: u64,
    pending: Vec<u8>,
}

impl Appender<'_> {
    const FLUSH_BYTES: usize = 1 << 20;

    fn put_listing(&mut self, changed: &Changed, places: &HashMap<usize, Pos>) -> io::Result<Pos> {
        self.put(&changed.bytes, |body| {
            if changed.below.is_empty() {
                return;
            }
            let offsets = listing::dir_offsets(body);
            for (entry, number) in &changed.below {
                listing::set_pos(body, offsets[*entry], places.get(number).copied().unwrap_or(Pos::NONE));
            }
        })
    }

    /// Appends bytes, after `fill_in` has changed them; what is too long for a place has none.
    fn put(&mut self, bytes: &[u8], fill_in: impl FnOnce(&mut [u8])) -> io::Result<Pos> {
        let Ok(len) = u32::try_from(bytes.len() + overhead(self.cipher)) else { return Ok(Pos::NONE) };
        let at = self.at + self.pending.len() as u64;
        let start = self.pending.len();
        self.pending.extend_from_slice(bytes);
        fill_in(&mut self.pending[start..]);
        wrap(&mut self.pending, bytes.len(), self.cipher, self.nonce, at).map_err(io::Error::other)?;
        if self.pending.len() >= Self::FLUSH_BYTES {
            self.flush()?;
        }
        Ok(Pos { at, len })
    }

    fn flush(&mut self) -> io::Result<()> {
        write_at(self.file, &self.pending, self.at)?;
        self.at += self.pending.len() as u64;
        self.pending.clear();
        Ok(())
    }
}

fn write_at(mut file: &File, bytes: &[u8], at: u64) -> io::Result<()> {
    file.seek(SeekFrom::Start(at))?;
    disk::write_all(file, bytes)
}

/// Takes the file's lock, which ends with its descriptor; `false` where another process has it.
fn lock(file: &File) -> io::Result<bool> {
    match rustix::fs::flock(file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(true),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Whether the open file is still the one of that name: another process may have renamed it before this one locked it.
fn stands_at(file: &File, dir: BorrowedFd<'_>, name: &Path) -> bool {
    let Ok(c_name) = CString::new(name.as_os_str().as_bytes()) else { return false };
    let named = stat::at(dir.as_fd(), &c_name, true);
    named.is_ok_and(|named| stat::of(file).is_ok_and(|open| (open.dev, open.ino) == (named.dev, named.ino)))
}

fn temporary_name(name: &Path) -> PathBuf {
    let mut temporary = name.as_os_str().to_owned();
    temporary.push(OsStr::new(".tmp"));
    temporary.into()
}

/// A number that no other cache file has.
fn nonce() -> io::Result<u64> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).map_err(io::Error::other)?;
    Ok(u64::from_le_bytes(bytes))
}
