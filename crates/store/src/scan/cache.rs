//! The stat cache: what the last scan learned, in a file that can be lost at any time.
//!
//! Owns reading the file: two slots that name the newest root listing, and the listings, each protected by itself.
//! Refuses to interpret listings. `docs/format.md` describes the bytes; all numbers are little-endian.
//!
//! A scan appends the listings that changed and those above them, then writes the older slot: readers keep seeing what
//! the other slot names, and a change costs as much as it changed. When most of the file is dead, it is written anew and
//! renamed into place. Nothing is synced. After a power loss any part may be missing or stale: a checksum covers each
//! listing together with its place and the file's own random number, and each listing is true by itself, whatever
//! became of the others. So damage costs time, never truth. In an encrypted store the listings are sealed instead, since
//! they hold names and hashes.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use super::listing::Pos;
use super::touched::Mark;
use crate::crypto::Cipher;

const MAGIC: &[u8; 8] = b"wfrcache";
const VERSION: u32 = 2;

/// Bytes of a slot, its checksum included.
const SLOT: usize = 120;

/// Bytes of a tag.
const TAG: usize = 16;

/// Where the two slots begin: in sectors of their own, so that a torn write damages one only.
const SLOTS: [u64; 2] = [0, 512];

/// Where the listings begin.
pub(super) const DATA: u64 = 1024;

/// Bytes that may be dead before the file is written anew, beside as many as are alive.
const SLACK: u64 = 1 << 20;

/// One slot.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Slot {
    /// The file's own number: listings of another file do not pass.
    pub nonce: u64,
    /// Counts the writes.
    pub sequence: u64,
    pub root: Pos,
    /// Where the next listing goes.
    pub end: u64,
    /// Bytes of the listings in use.
    pub live: u64,
    /// The rules under which names were listed.
    pub rules: u64,
    /// Where it says what the store held when this was written; none where that is not known.
    pub holdings: Pos,
    /// How far the watch of the tree had come before anything in it was looked at; `None` where nobody watched.
    pub mark: Option<Mark>,
}

impl Slot {
    /// Its bytes, and where in the file they go.
    pub(super) fn encode(&self, cipher: Option<&Cipher>) -> ([u8; SLOT], u64) {
        let mut out = [0; SLOT];
        out[..8].copy_from_slice(MAGIC);
        out[8..12].copy_from_slice(&VERSION.to_le_bytes());
        out[12..16].copy_from_slice(&self.root.len.to_le_bytes());
        let numbers = [self.nonce, self.sequence, self.root.at, self.end, self.live, self.rules, self.holdings.at];
        for (field, number) in out[16..72].chunks_exact_mut(8).zip(numbers) {
            field.copy_from_slice(&number.to_le_bytes());
        }
        out[72..76].copy_from_slice(&self.holdings.len.to_le_bytes());
        out[76..100].copy_from_slice(&Mark::encode(self.mark));
        let tag = slot_tag(&out[..100], cipher);
        out[100..116].copy_from_slice(&tag);
        let crc = crc32fast::hash(&out[..116]);
        out[116..].copy_from_slice(&crc.to_le_bytes());
        (out, SLOTS[(self.sequence % 2) as usize])
    }

    fn decode(bytes: &[u8; SLOT], cipher: Option<&Cipher>) -> Option<Self> {
        let u32_at = |at: usize| Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
        let u64_at = |at: usize| Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?));
        if &bytes[..8] != MAGIC || u32_at(8)? != VERSION || u32_at(116)? != crc32fast::hash(&bytes[..116]) {
            return None;
        }
        if bytes[100..116] != slot_tag(&bytes[..100], cipher) {
            return None;
        }
        Some(Self {
            nonce: u64_at(16)?,
            sequence: u64_at(24)?,
            root: Pos { at: u64_at(32)?, len: u32_at(12)? },
            end: u64_at(40)?,
            live: u64_at(48)?,
            rules: u64_at(56)?,
            holdings: Pos { at: u64_at(64)?, len: u32_at(72)? },
            mark: Mark::decode(&bytes[76..100]),
        })
    }
}

/// With a key, what only its holder can write; else zeros. An older slot can be put back: it is as true as it was.
fn slot_tag(bytes: &[u8], cipher: Option<&Cipher>) -> [u8; TAG] {
    let mut tag = [0; TAG];
    if let Some(cipher) = cipher {
        tag.copy_from_slice(&cipher.tag("stat cache slot", bytes)[..TAG]);
    }
    tag
}

/// A stat cache, open for reading.
#[derive(Clone, Debug)]
pub struct StatCache {
    file: Arc<File>,
    pub(super) slot: Slot,
    pub(super) cipher: Option<Arc<Cipher>>,
}

impl StatCache {
    /// Opens the cache file of a store that is not encrypted; `None` where there is none that can be used.
    pub fn open(path: &Path) -> Option<Self> {
        Self::open_with(path, None)
    }

    /// Opens a cache file, with the store's cipher where that has one.
    pub fn open_with(path: &Path, cipher: Option<Arc<Cipher>>) -> Option<Self> {
        let file = File::open(path).ok()?;
        let slot = newest_slot(&file, cipher.as_deref())?;
        Some(Self { file: Arc::new(file), slot, cipher })
    }

    /// How far the watch had come that this is true of; `None` where nobody watched.
    pub fn mark(&self) -> Option<Mark> {
        self.slot.mark
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
        if pos.at < DATA || end > self.slot.end {
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
        unwrap(bytes, self.cipher.as_deref(), self.slot.nonce, pos.at)
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

/// The newer one of the two slots that can be read.
pub(super) fn newest_slot(file: &File, cipher: Option<&Cipher>) -> Option<Slot> {
    let slots = SLOTS.map(|at| {
        let mut bytes = [0; SLOT];
        read_exactly_at(file, &mut bytes, at)?;
        Slot::decode(&bytes, cipher)
    });
    slots.into_iter().flatten().max_by_key(|slot| slot.sequence)
}

/// Bytes by which a listing in the file is longer: its checksum or its seal.
pub(super) fn overhead(cipher: Option<&Cipher>) -> usize {
    if cipher.is_some() { TAG } else { 4 }
}

/// The checksum or seal of the last `body` bytes of `out`, which go to byte `at` of the file, put behind them.
pub(super) fn wrap(
    out: &mut Vec<u8>,
    body: usize,
    cipher: Option<&Cipher>,
    nonce: u64,
    at: u64,
) -> Result<(), crate::WriteError> {
    let start = out.len() - body;
    match cipher {
        None => out.extend_from_slice(&checksum(nonce, at, &out[start..]).to_le_bytes()),
        Some(cipher) => {
            let tag = cipher.seal_in_place(&place(nonce, at), &mut out[start..])?;
            out.extend_from_slice(&tag);
        }
    }
    Ok(())
}

fn unwrap<'b>(bytes: &'b mut [u8], cipher: Option<&Cipher>, nonce: u64, at: u64) -> Option<&'b [u8]> {
    match cipher {
        None => {
            let (body, crc) = bytes.split_last_chunk::<4>()?;
            (u32::from_le_bytes(*crc) == checksum(nonce, at, body)).then_some(body)
        }
        Some(cipher) => {
            let (body, tag) = bytes.split_last_chunk_mut::<TAG>()?;
            cipher.open_in_place(&place(nonce, at), body, tag).ok()?;
            Some(body)
        }
    }
}

fn place(nonce: u64, at: u64) -> [u8; 16] {
    let mut place = [0; 16];
    place[..8].copy_from_slice(&nonce.to_le_bytes());
    place[8..].copy_from_slice(&at.to_le_bytes());
    place
}

/// A listing's checksum: over the file's number and the place too, so that a stale block does not pass.
fn checksum(nonce: u64, at: u64, body: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&place(nonce, at));
    hasher.update(body);
    hasher.finalize()
}
