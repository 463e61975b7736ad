//! One sorted file of the index. `docs/format.md` describes the bytes.
//!
//! Owns its encoding, its checksum and the search in it. Refuses to be trusted: a file that does not check out is as
//! if it were not there.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};

use wfr_model::PackId;

use super::{Key, Location};
use crate::vault::write_derived;

const MAGIC: [u8; 8] = *b"wfrindx\x01";

/// Bytes of one entry: key 20, pack 2, offset 6, stored length 4.
const ENTRY: usize = 32;

/// Bytes of one covered range: pack id 32 (text), from 8, to 8.
const RANGE: usize = 48;

/// Bytes before the ranges: magic 8, checksum of all that follows it 4, number of ranges 4, number of entries 8.
const FIXED: usize = 24;

/// So often a search's first guess is mended.
const GUESSES: usize = 2;

/// One segment, read whole and checked.
#[derive(Debug)]
pub(super) struct Segment {
    file: PathBuf,
    bytes: Vec<u8>,
    entries_at: usize,
    /// For each pack of the segment: the number by which the index knows it, or `None` where it is gone.
    packs: Vec<Option<u32>>,
    /// Covered ranges by the index's pack numbers.
    covers: Vec<(u32, u64, u64)>,
}

/// Opens every segment in a directory, oldest first. Files that do not check out are passed over.
pub(super) fn open_all(dir: &Path, numbers: &HashMap<PackId, u32>) -> io::Result<Vec<Segment>> {
    let mut files: Vec<PathBuf> = Vec::new();
    let entries = match std::fs::read_dir(dir) {
        // Derived: without it the packs are scanned.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(vec![]),
        other => other?,
    };
    for entry in entries {
        let file = entry?.path();
        if file.extension().is_some_and(|extension| extension == "idx") {
            files.push(file);
        }
    }
    // Names are UUIDs of version 7: their order is that of their making.
    files.sort();
    let mut segments = Vec::with_capacity(files.len());
    for file in files {
        segments.extend(open(&file, numbers)?);
    }
    Ok(segments)
}

/// Opens one segment; `None` where it is gone or does not check out.
pub(super) fn open(file: &Path, numbers: &HashMap<PackId, u32>) -> io::Result<Option<Segment>> {
    match std::fs::read(file) {
        Ok(bytes) => Ok(parse(file, bytes, numbers)),
        // Another process may have merged it away meanwhile.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn parse(file: &Path, bytes: Vec<u8>, numbers: &HashMap<PackId, u32>) -> Option<Segment> {
    let crc = u32::from_le_bytes(*bytes.get(8..)?.first_chunk()?);
    if bytes[..8] != MAGIC || crc32fast::hash(bytes.get(12..)?) != crc {
        return None;
    }
    let range_count = u32::from_le_bytes(*bytes.get(12..)?.first_chunk()?) as usize;
    let entry_count = usize::try_from(u64::from_le_bytes(*bytes.get(16..)?.first_chunk()?)).ok()?;
    let entries_at = FIXED.checked_add(range_count.checked_mul(RANGE)?)?;
    if entries_at.checked_add(entry_count.checked_mul(ENTRY)?)? != bytes.len() {
        return None;
    }
    let (mut packs, mut covers) = (Vec::new(), Vec::new());
    for range in bytes[FIXED..entries_at].chunks_exact(RANGE) {
        let id: PackId = std::str::from_utf8(&range[..32]).ok()?.parse().ok()?;
        let number = numbers.get(&id).copied();
        packs.push(number);
        if let Some(number) = number {
            let from = u64::from_le_bytes(*range[32..].first_chunk()?);
            let to = u64::from_le_bytes(*range[40..].first_chunk()?);
            covers.push((number, from, to));
        }
    }
    Some(Segment { file: file.to_owned(), bytes, entries_at, packs, covers })
}

impl Segment {
    /// The ranges of one pack that this segment covers.
    pub(super) fn covers(&self, pack: u32) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.covers.iter().filter(move |range| range.0 == pack).map(|range| (range.1, range.2))
    }

    fn entry(&self, index: usize) -> &[u8; ENTRY] {
        let at = self.entries_at + index * ENTRY;
        self.bytes[at..].first_chunk().expect("the length was checked when it was opened")
    }

    fn len(&self) -> usize {
        (self.bytes.len() - self.entries_at) / ENTRY
    }

    /// The places of one object.
    pub(super) fn locate(&self, key: &Key) -> impl Iterator<Item = Location> + use<'_> {
        let key = *key;
        let first = self.lower_bound(&key);
        (first..self.len())
            .map(|index| self.entry(index))
            .take_while(move |entry| entry[..20] == key)
            .filter_map(|entry| self.location(entry))
    }

    /// The first entry whose key is not below `key`.
    ///
    /// Keys are hashes, so evenly spread: each guess is mended by how far its key is from the one wanted, as if all keys
    /// between were equally far apart (interpolation search, Peterson 1957). Two guesses end within a few entries.
    fn lower_bound(&self, key: &Key) -> usize {
        let len = self.len();
        if len == 0 {
            return 0;
        }
        let top = |key: &[u8]| i64::from(u32::from_be_bytes([key[0], key[1], key[2], key[3]]));
        let wanted = top(key);
        let shift = |distance: i64| (i128::from(distance) * len as i128) >> 32;
        let mut guess = shift(wanted) as usize;
        for _ in 0..GUESSES {
            let mended = guess as i128 + shift(wanted - top(self.entry(guess)));
            guess = mended.clamp(0, len as i128 - 1) as usize;
        }
        let is_below = |index: usize| self.entry(index)[..20] < key[..];
        let mut step = 1;
        // Gallop away from the guess until the key is bracketed.
        let (mut low, mut high) = if is_below(guess) {
            let mut low = guess + 1;
            while low + step < len && is_below(low + step) {
                low += step + 1;
                step *= 2;
            }
            (low, len.min(low + step))
        } else {
            let mut high = guess;
            while high > step && !is_below(high - step) {
                high -= step;
                step *= 2;
            }
            (high.saturating_sub(step), high)
        };
        while low < high {
            let middle = low + (high - low) / 2;
            if is_below(middle) { low = middle + 1 } else { high = middle }
        }
        low
    }

    fn location(&self, entry: &[u8; ENTRY]) -> Option<Location> {
        let number = usize::from(u16::from_le_bytes([entry[20], entry[21]]));
        let mut offset = [0; 8];
        offset[..6].copy_from_slice(&entry[22..28]);
        let stored_len = u32::from_le_bytes([entry[28], entry[29], entry[30], entry[31]]);
        let pack = self.packs.get(number).copied().flatten()?;
        Some(Location { pack, offset: u64::from_le_bytes(offset), stored_len })
    }

    /// Every object and its place.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Key, Location)> + '_ {
        (0..self.len()).filter_map(|index| {
            let entry = self.entry(index);
            let mut key = [0; 20];
            key.copy_from_slice(&entry[..20]);
            Some((key, self.location(entry)?))
        })
    }

    /// Removes the file; its content lives on in a merged one.
    pub(super) fn remove(&self) {
        let _ = std::fs::remove_file(&self.file);
    }
}

/// Writes a segment; returns its file name. `covers` and the entries name packs by their position in `packs`.
pub(super) fn write(
    dir: &Path,
    packs: &[PackId],
    covers: &[(u32, u64, u64)],
    mut entries: Vec<(Key, Location)>,
) -> io::Result<String> {
    let local: HashMap<u32, u16> = covers.iter().map(|range| range.0).zip(0..).collect();
    entries.retain(|(_, place)| local.contains_key(&place.pack));
    // Later places win on look-up, so the order of equal keys is from new to old.
    entries.sort_by(|a, b| a.0.cmp(&b.0).then(b.1.pack.cmp(&a.1.pack)).then(b.1.offset.cmp(&a.1.offset)));
    entries.dedup();
    let mut bytes = Vec::with_capacity(FIXED + covers.len() * RANGE + entries.len() * ENTRY);
    bytes.extend_from_slice(&MAGIC);
    bytes.extend_from_slice(&[0; 4]);
    bytes.extend_from_slice(&(covers.len() as u32).to_le_bytes());
    bytes.extend_from_slice(&(entries.len() as u64).to_le_bytes());
    for (pack, from, to) in covers {
        let id = packs[*pack as usize].as_str();
        bytes.extend_from_slice(format!("{id:0<32}").as_bytes());
        bytes.extend_from_slice(&from.to_le_bytes());
        bytes.extend_from_slice(&to.to_le_bytes());
    }
    for (key, place) in &entries {
        bytes.extend_from_slice(key);
        bytes.extend_from_slice(&local[&place.pack].to_le_bytes());
        bytes.extend_from_slice(&place.offset.to_le_bytes()[..6]);
        bytes.extend_from_slice(&place.stored_len.to_le_bytes());
    }
    let crc = crc32fast::hash(&bytes[12..]);
    bytes[8..12].copy_from_slice(&crc.to_le_bytes());
    let name = format!("{}.idx", crate::unique::uuid().simple());
    write_derived(dir, &name, &bytes)?;
    Ok(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn pack(n: u32) -> PackId {
        format!("{n:032}").parse().unwrap()
    }

    /// Evenly spread, as hashes are, and crowded, as they never are.
    fn any_key() -> impl Strategy<Value = Key> {
        prop_oneof![any::<[u8; 20]>(), prop::array::uniform20(0u8..2), prop::array::uniform20(254u8..)]
    }

    proptest! {
        #[test]
        fn what_was_written_is_found(keys in prop::collection::btree_set(any_key(), 0..300)) {
            let dir = tempfile::tempdir().unwrap();
            let entry = |(n, key): (usize, &Key)| (*key, Location { pack: 1, offset: n as u64, stored_len: 7 });
            let entries: Vec<_> = keys.iter().enumerate().map(entry).collect();
            let packs = [pack(0), pack(1)];
            let name = write(dir.path(), &packs, &[(1, 0, 1 << 40)], entries.clone()).unwrap();
            // The index that reads it may number packs in another way.
            let numbers = [(pack(1), 5)].into();
            let segment = open(&dir.path().join(name), &numbers).unwrap().unwrap();
            for (key, place) in &entries {
                let found: Vec<_> = segment.locate(key).collect();
                prop_assert_eq!(found, vec![Location { pack: 5, ..*place }]);
                let mut other = *key;
                other[19] ^= 1;
                prop_assert_eq!(segment.locate(&other).count(), usize::from(keys.contains(&other)));
            }
            prop_assert_eq!(segment.covers(5).collect::<Vec<_>>(), vec![(0, 1 << 40)]);
        }
    }

    #[test]
    fn a_damaged_segment_is_as_if_absent() {
        let dir = tempfile::tempdir().unwrap();
        let place = Location { pack: 0, offset: 9, stored_len: 7 };
        let name = write(dir.path(), &[pack(0)], &[(0, 0, 99)], vec![([3; 20], place)]).unwrap();
        let file = dir.path().join(name);
        let whole = std::fs::read(&file).unwrap();
        let numbers = [(pack(0), 0)].into();
        for bit in 0..whole.len() * 8 {
            let mut bytes = whole.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(parse(&file, bytes, &numbers).is_none(), "bit {bit}");
        }
        for length in 0..whole.len() {
            assert!(parse(&file, whole[..length].to_vec(), &numbers).is_none(), "cut to {length}");
        }
    }
}
