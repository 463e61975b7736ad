//! Where each object lies: sorted segments on disk, and a table in memory for what they do not cover yet.
//!
//! Owns the look-up and its upkeep. Everything here is derived: a lost or damaged segment only means that packs are
//! scanned again. Refuses to read payloads.

mod segment;

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use wfr_model::{Digest, PackId};

use crate::pack::{self, Extent, Gap};
use segment::Segment;

/// The part of a disk id that the index keeps. 160 bits of SHA-256 leave 2^80 work to find two alike; a read compares
/// the whole id.
pub type Key = [u8; 20];

/// The key of a disk id.
pub fn key(disk_id: &Digest) -> Key {
    let mut key = [0; 20];
    key.copy_from_slice(&disk_id.0[..20]);
    key
}

/// Where a record lies.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Location {
    /// Position in the list of extents that the index was opened with.
    pub pack: u32,
    /// Where the header begins.
    pub offset: u64,
    /// Bytes of the payload.
    pub stored_len: u32,
}

/// Once so many objects stand in memory only, a segment is written.
const TAIL_MAX: usize = 512;

/// Once there are so many segments, they are merged into one.
const SEGMENTS_MAX: usize = 8;

/// A pack as the index sees it.
#[derive(Debug)]
struct Pack {
    id: PackId,
    committed: u64,
    /// Whether its file is there and as long as it should be.
    present: bool,
}

/// The index over all committed packs.
#[derive(Debug)]
pub struct Index {
    dir: PathBuf,
    packs: Vec<Pack>,
    segments: Vec<Segment>,
    tail: HashMap<Key, Vec<Location>>,
    tail_from: Vec<u64>,
    gaps: Vec<(PackId, Gap)>,
}

impl Index {
    /// Opens the index over the committed extents; what no segment covers is found by scanning the packs.
    pub fn open(dir: &Path, packs_dir: &Path, extents: &[Extent]) -> io::Result<Self> {
        let mut packs = Vec::with_capacity(extents.len());
        for extent in extents {
            let length = std::fs::metadata(pack::path(packs_dir, &extent.pack)).map_or(0, |meta| meta.len());
            let present = length >= extent.committed;
            packs.push(Pack { id: extent.pack.clone(), committed: extent.committed, present });
        }
        let numbers: HashMap<PackId, u32> = packs.iter().zip(0..).map(|(pack, n)| (pack.id.clone(), n)).collect();
        let segments = segment::open_all(dir, &numbers)?;
        let mut index =
            Self { dir: dir.to_owned(), packs, segments, tail: HashMap::new(), tail_from: vec![], gaps: vec![] };
        index.tail_from = (0..index.packs.len() as u32).map(|pack| index.covered_to(pack)).collect();
        for number in 0..index.packs.len() {
            index.scan_tail(packs_dir, number)?;
        }
        Ok(index)
    }

    /// How far segments cover a pack, from its beginning on without a hole.
    fn covered_to(&self, pack: u32) -> u64 {
        let mut ranges: Vec<_> = self.segments.iter().flat_map(|segment| segment.covers(pack)).collect();
        ranges.sort_unstable();
        ranges.into_iter().fold(0, |end, (from, to)| if from <= end { end.max(to) } else { end })
    }

    /// Takes in what was committed since; returns whether that is anything.
    pub fn extend(&mut self, packs_dir: &Path, extents: &[Extent]) -> io::Result<bool> {
        let mut is_news = false;
        for extent in extents {
            let known = self.packs.iter().position(|pack| pack.id == extent.pack);
            let (number, from) = match known {
                Some(number) => (number, self.packs[number].committed),
                None => {
                    self.packs.push(Pack { id: extent.pack.clone(), committed: 0, present: true });
                    self.tail_from.push(0);
                    (self.packs.len() - 1, 0)
                }
            };
            if from < extent.committed {
                self.packs[number].committed = extent.committed;
                self.scan_from(packs_dir, number, from)?;
                is_news = true;
            }
        }
        Ok(is_news)
    }

    /// Scans what no segment covers of one pack.
    fn scan_tail(&mut self, packs_dir: &Path, number: usize) -> io::Result<()> {
        self.scan_from(packs_dir, number, self.tail_from[number])
    }

    /// Scans one pack from an offset on.
    fn scan_from(&mut self, packs_dir: &Path, number: usize, from: u64) -> io::Result<()> {
        let pack = &mut self.packs[number];
        let to = pack.committed;
        if !pack.present || from >= to {
            return Ok(());
        }
        let file = match File::open(pack::path(packs_dir, &pack.id)) {
            // Collected just now: what is needed of it lies elsewhere.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                pack.present = false;
                return Ok(());
            }
            opened => opened?,
        };
        let (found, gaps) = pack::scan(&file, from, to)?;
        self.gaps.extend(gaps.into_iter().map(|gap| (pack.id.clone(), gap)));
        for found in found {
            let stored_len = found.header.stored_len;
            let location = Location { pack: number as u32, offset: found.offset, stored_len };
            self.tail.entry(key(&found.header.disk_id)).or_default().push(location);
        }
        Ok(())
    }

    /// Every place where an object lies, the newest first; only packs whose file is there.
    pub fn locate(&self, key: &Key) -> impl Iterator<Item = Location> + use<'_> {
        let tail = self.tail.get(key).into_iter().flatten().rev().copied();
        let key = *key;
        let segments = self.segments.iter().rev().flat_map(move |segment| segment.locate(&key));
        tail.chain(segments).filter(|location| self.is_present(location.pack))
    }

    fn is_present(&self, pack: u32) -> bool {
        self.packs.get(pack as usize).is_some_and(|pack| pack.present)
    }

    /// The id of a pack by its number.
    pub fn pack_id(&self, number: u32) -> &PackId {
        &self.packs[number as usize].id
    }

    /// How many packs there are.
    pub fn pack_count(&self) -> usize {
        self.packs.len()
    }

    /// Packs whose file is missing or too short.
    pub fn missing_packs(&self) -> impl Iterator<Item = &PackId> {
        self.packs.iter().filter(|pack| !pack.present).map(|pack| &pack.id)
    }

    /// How far each pack reaches that is there: for [`Self::still_holds`].
    pub fn holdings(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for pack in self.packs.iter().filter(|pack| pack.present) {
            let id = pack.id.as_str().as_bytes();
            out.push(id.len() as u8);
            out.extend_from_slice(id);
            out.extend_from_slice(&pack.committed.to_le_bytes());
        }
        out
    }

    /// Whether every pack that was there is there and reaches as far; not for no holdings at all.
    pub fn still_holds(&self, mut holdings: &[u8]) -> bool {
        let present = self.packs.iter().filter(|pack| pack.present);
        let reach: HashMap<&[u8], u64> = present.map(|pack| (pack.id.as_str().as_bytes(), pack.committed)).collect();
        let was_any = !holdings.is_empty();
        while let Some((length, rest)) = holdings.split_first() {
            let Some((id, rest)) = rest.split_at_checked(*length as usize) else { return false };
            let Some((committed, rest)) = rest.split_first_chunk::<8>() else { return false };
            if reach.get(id).is_none_or(|now| *now < u64::from_le_bytes(*committed)) {
                return false;
            }
            holdings = rest;
        }
        was_any
    }

    /// Stretches of packs that the scan could not read. Only what no segment covers is scanned.
    pub fn gaps(&self) -> &[(PackId, Gap)] {
        &self.gaps
    }

    /// Every object and its places, for marking and merging; an object with several places comes several times.
    pub fn iter(&self) -> impl Iterator<Item = (Key, Location)> + '_ {
        let tail = self.tail.iter().flat_map(|(key, places)| places.iter().map(|place| (*key, *place)));
        self.segments.iter().flat_map(Segment::iter).chain(tail).filter(|(_, place)| self.is_present(place.pack))
    }

    /// Adds what was committed just now.
    pub fn add(&mut self, extents: &[Extent], objects: impl Iterator<Item = (Key, PackId, u64, u32)>) {
        for extent in extents {
            match self.packs.iter_mut().find(|pack| pack.id == extent.pack) {
                Some(pack) => (pack.committed, pack.present) = (extent.committed, true),
                None => {
                    self.packs.push(Pack { id: extent.pack.clone(), committed: extent.committed, present: true });
                    self.tail_from.push(0);
                }
            }
        }
        let numbers: HashMap<PackId, u32> = self.packs.iter().zip(0..).map(|(pack, n)| (pack.id.clone(), n)).collect();
        for (key, pack, offset, stored_len) in objects {
            if let Some(number) = numbers.get(&pack) {
                let location = Location { pack: *number, offset, stored_len };
                self.tail.entry(key).or_default().push(location);
            }
        }
    }

    /// Writes a segment where enough stands in memory, and merges where there are many. Unsynced: derived.
    pub fn save(&mut self) -> io::Result<()> {
        if self.tail.len() < TAIL_MAX {
            return Ok(());
        }
        let merge = self.segments.len() + 1 >= SEGMENTS_MAX;
        let ids: Vec<PackId> = self.packs.iter().map(|pack| pack.id.clone()).collect();
        let numbers: HashMap<PackId, u32> = ids.iter().cloned().zip(0..).collect();
        let mut covers = Vec::new();
        for (number, pack) in self.packs.iter().enumerate().filter(|(_, pack)| pack.present) {
            let from = if merge { 0 } else { self.tail_from[number] };
            if from < pack.committed {
                covers.push((number as u32, from, pack.committed));
            }
        }
        let old = if merge { std::mem::take(&mut self.segments) } else { vec![] };
        let tail = self.tail.iter().flat_map(|(key, places)| places.iter().map(|place| (*key, *place)));
        let entries: Vec<_> = old.iter().flat_map(Segment::iter).chain(tail).collect();
        let name = segment::write(&self.dir, &ids, &covers, entries)?;
        self.segments.extend(segment::open(&self.dir.join(&name), &numbers)?);
        old.iter().for_each(Segment::remove);
        self.tail.clear();
        self.tail_from = self.packs.iter().map(|pack| pack.committed).collect();
        Ok(())
    }
}

/// Forgets all segments, so that the next opening scans every pack.
pub fn discard(dir: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(dir)? {
        std::fs::remove_file(entry?.path())?;
    }
    Ok(())
}
