//! The stat cache: what the last scan learned, in a file that can be lost at any time.
//!
//! Owns the file: two slots that name the newest root listing, and the listings, each with a checksum. Refuses to
//! interpret listings. `docs/format.md` describes the bytes; all numbers are little-endian.
//!
//! A scan appends the listings that changed and those above them, then writes the older slot: readers keep seeing what
//! the other slot names, and a change costs as much as it changed. When most of the file is dead, it is written anew and
//! renamed into place. Nothing is synced. After a power loss any part may be missing or stale: a checksum covers each
//! listing together with its place and the file's own random number, and each listing is true by itself, whatever
//! became of the others. So damage costs time, never truth.

use std::collections::HashMap;
use std::ffi::CStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{AtFlags, FlockOperation, Mode, OFlags};

use super::listing::{self, Pos};

const MAGIC: &[u8; 8] = b"wfrcache";
const VERSION: u32 = 1;

/// Bytes of a slot, its checksum included.
const SLOT: usize = 80;

/// Where the two slots begin: in sectors of their own, so that a torn write damages one only.
const SLOTS: [u64; 2] = [0, 512];

/// Where the listings begin.
const DATA: u64 = 1024;

/// Bytes that may be dead before the file is written anew, beside as many as are alive.
const SLACK: u64 = 1 << 20;

/// One slot.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Slot {
    /// The file's own number: listings of another file do not pass.
    nonce: u64,
    /// Counts the writes.
    sequence: u64,
    root: Pos,
    /// Where the next listing goes.
    end: u64,
    /// Bytes of the listings in use.
    live: u64,
    /// The rules under which names were listed.
    rules: u64,
    /// Where it says what the store held when this was written; none where that is not known.
    holdings: Pos,
}

impl Slot {
    fn encode(&self) -> [u8; SLOT] {
        let mut out = [0; SLOT];
        out[..8].copy_from_slice(MAGIC);
        out[8..12].copy_from_slice(&VERSION.to_le_bytes());
        out[12..16].copy_from_slice(&self.root.len.to_le_bytes());
        let numbers = [self.nonce, self.sequence, self.root.at, self.end, self.live, self.rules];
        for (field, number) in out[16..64].chunks_exact_mut(8).zip(numbers) {
            field.copy_from_slice(&number.to_le_bytes());
        }
        out[64..72].copy_from_slice(&self.holdings.at.to_le_bytes());
        out[72..76].copy_from_slice(&self.holdings.len.to_le_bytes());
        let crc = crc32fast::hash(&out[..SLOT - 4]);
        out[SLOT - 4..].copy_from_slice(&crc.to_le_bytes());
        out
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; SLOT] = bytes.first_chunk()?;
        let u32_at = |at: usize| Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
        let u64_at = |at: usize| Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?));
        if &bytes[..8] != MAGIC || u32_at(8)? != VERSION || u32_at(SLOT - 4)? != crc32fast::hash(&bytes[..SLOT - 4]) {
            return None;
        }
        let root = Pos { at: u64_at(32)?, len: u32_at(12)? };
        let (nonce, sequence, end) = (u64_at(16)?, u64_at(24)?, u64_at(40)?);
        let holdings = Pos { at: u64_at(64)?, len: u32_at(72)? };
        Some(Self { nonce, sequence, root, end, live: u64_at(48)?, rules: u64_at(56)?, holdings })
    }
}

/// A stat cache, open for reading.
#[derive(Clone, Debug)]
pub struct StatCache {
    file: Arc<File>,
    slot: Slot,
}

impl StatCache {
    /// Opens a cache file; `None` where there is none that can be used.
    pub fn open(path: &Path) -> Option<Self> {
        let file = File::open(path).ok()?;
        let slot = newest_slot(&file)?;
        Some(Self { file: Arc::new(file), slot })
    }

    /// Where the root's listing lies.
    pub(super) fn root(&self) -> Pos {
        self.slot.root
    }

    /// Under which rules names were listed.
    pub(super) fn rules(&self) -> u64 {
        self.slot.rules
    }

    /// What the store held when every id in it was known to be held; empty where that is not known.
    pub(super) fn holdings(&self) -> Vec<u8> {
        let mut buffer = Vec::new();
        self.read(self.slot.holdings, &mut buffer).unwrap_or_default().to_vec()
    }

    /// Whether the file should be written anew.
    pub(super) fn is_mostly_dead(&self) -> bool {
        self.slot.end.saturating_sub(DATA) > self.slot.live.saturating_mul(2).saturating_add(SLACK)
    }

    /// Reads a listing into `buffer`; `None` where it is missing or damaged.
    pub(super) fn read<'b>(&self, pos: Pos, buffer: &'b mut Vec<u8>) -> Option<&'b [u8]> {
        let end = pos.at.checked_add(u64::from(pos.len))?;
        if pos.at < DATA || end > self.slot.end || pos.len < 4 {
            return None;
        }
        let length = pos.len as usize;
        // The buffer only grows, so that its bytes are not cleared for every listing.
        if buffer.len() < length {
            // A damaged slot must not ask for memory that the file cannot fill.
            if end > self.file.metadata().ok()?.len() {
                return None;
            }
            buffer.resize(length, 0);
        }
        let bytes = &mut buffer[..length];
        read_exactly_at(&self.file, bytes, pos.at)?;
        let (crc, body) = bytes.split_first_chunk::<4>()?;
        (u32::from_le_bytes(*crc) == checksum(self.slot.nonce, pos.at, body)).then_some(body)
    }
}

fn read_exactly_at(file: &File, mut bytes: &mut [u8], mut at: u64) -> Option<()> {
    while !bytes.is_empty() {
        match rustix::io::pread(file, &mut *bytes, at) {
            Ok(0) => return None,
            Ok(count) => {
                bytes = &mut bytes[count..];
                at += count as u64;
            }
            Err(rustix::io::Errno::INTR) => {}
            Err(_) => return None,
        }
    }
    Some(())
}

fn newest_slot(file: &File) -> Option<Slot> {
    let slots = SLOTS.map(|at| {
        let mut bytes = [0; SLOT];
        read_exactly_at(file, &mut bytes, at)?;
        Slot::decode(&bytes)
    });
    slots.into_iter().flatten().max_by_key(|slot| slot.sequence)
}

/// A listing's checksum: over the file's number and the place too, so that a stale block does not pass.
fn checksum(nonce: u64, at: u64, body: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&nonce.to_le_bytes());
    hasher.update(&at.to_le_bytes());
    hasher.update(body);
    hasher.finalize()
}

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
    /// Whether the store is known to hold every id in it, but for those of entries that are not part of the tree.
    pub knows_holdings: bool,
}

impl Update {
    /// Brings the file `name` up to date, or leaves it: see [`super::Scan::write_cache`].
    pub(super) fn write(&self, dir: BorrowedFd<'_>, name: &CStr, holdings: &[u8]) -> io::Result<()> {
        match &self.base {
            Some(base) if !(self.is_whole && base.is_mostly_dead()) => self.append(base, dir, name, holdings),
            _ if self.is_whole => self.write_anew(dir, name, holdings),
            _ => Ok(()),
        }
    }

    fn append(&self, base: &StatCache, dir: BorrowedFd<'_>, name: &CStr, holdings: &[u8]) -> io::Result<()> {
        let flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let file = File::from(rustix::fs::openat(dir, name, flags, Mode::empty())?);
        // Another process that writes now knows at least as much.
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Err(rustix::io::Errno::WOULDBLOCK) => return Ok(()),
            other => other?,
        }
        // So does one that wrote since, in this file or by another in its place.
        if newest_slot(&file) != Some(base.slot) {
            return Ok(());
        }
        let sequence = base.slot.sequence + 1;
        let slot = self.put_all(&file, Slot { sequence, ..base.slot }, holdings)?;
        write_slot(&file, &slot)
    }

    fn write_anew(&self, dir: BorrowedFd<'_>, name: &CStr, holdings: &[u8]) -> io::Result<()> {
        let nonce = nonce()?;
        let temporary = format!("stat-cache.{nonce:016x}.tmp");
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let file = File::from(rustix::fs::openat(dir, temporary.as_str(), flags, Mode::RUSR | Mode::WUSR)?);
        let (root, rules) = (Pos::NONE, self.rules);
        let empty = Slot { nonce, sequence: 1, root, end: DATA, live: 0, rules, holdings: Pos::NONE };
        let written = self.put_all(&file, empty, holdings).and_then(|slot| {
            write_slot(&file, &slot)?;
            Ok(rustix::fs::renameat(dir, temporary.as_str(), dir, name)?)
        });
        if written.is_err() {
            let _ = rustix::fs::unlinkat(dir, temporary.as_str(), AtFlags::empty());
        }
        written
    }

    /// Writes the changed listings at the slot's end; returns the slot that names them.
    fn put_all(&self, file: &File, mut slot: Slot, holdings: &[u8]) -> io::Result<Slot> {
        let mut out = Appender { file, nonce: slot.nonce, at: slot.end, pending: Vec::new() };
        let mut places = HashMap::new();
        for changed in &self.changed {
            slot.root = out.put_listing(changed, &places)?;
            places.insert(changed.number, slot.root);
        }
        let is_known = self.knows_holdings && !holdings.is_empty();
        slot.holdings = if is_known { out.put(holdings, |_| ())? } else { Pos::NONE };
        out.flush()?;
        (slot.end, slot.live, slot.rules) = (out.at, self.live, self.rules);
        Ok(slot)
    }
}

struct Appender<'f> {
    file: &'f File,
    nonce: u64,
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

    /// Appends bytes with their checksum, after `fill_in` has changed them; what is too long for a place has none.
    fn put(&mut self, bytes: &[u8], fill_in: impl FnOnce(&mut [u8])) -> io::Result<Pos> {
        let Ok(len) = u32::try_from(bytes.len() + 4) else { return Ok(Pos::NONE) };
        let at = self.at + self.pending.len() as u64;
        let start = self.pending.len();
        self.pending.extend_from_slice(&[0; 4]);
        self.pending.extend_from_slice(bytes);
        let (crc, body) = self.pending[start..].split_at_mut(4);
        fill_in(body);
        crc.copy_from_slice(&checksum(self.nonce, at, body).to_le_bytes());
        if self.pending.len() >= Self::FLUSH_BYTES {
            self.flush()?;
        }
        Ok(Pos { at, len })
    }

    fn flush(&mut self) -> io::Result<()> {
        write_all_at(self.file, &self.pending, self.at)?;
        self.at += self.pending.len() as u64;
        self.pending.clear();
        Ok(())
    }
}

fn write_slot(file: &File, slot: &Slot) -> io::Result<()> {
    write_all_at(file, &slot.encode(), SLOTS[(slot.sequence % 2) as usize])
}

fn write_all_at(file: &File, mut bytes: &[u8], mut at: u64) -> io::Result<()> {
    while !bytes.is_empty() {
        match rustix::io::pwrite(file.as_fd(), bytes, at) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => {
                bytes = &bytes[count..];
                at += count as u64;
            }
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// A number that no other cache file has.
fn nonce() -> io::Result<u64> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).map_err(io::Error::other)?;
    Ok(u64::from_le_bytes(bytes))
}
