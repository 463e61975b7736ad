//! Writing the needed objects of some packs again.
//!
//! Owns the reading of single records by their place, whatever their ids. Refuses to drop anything it could not copy.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::atomic::AtomicBool;

use wfr_model::{Digest, PackId};

use super::{GcError, Marked, check};
use crate::index::{Key, Location};
use crate::object::ObjectKind;
use crate::pack;
use crate::reader::Store;
use crate::record::{self, HEADER, Header};
use crate::writer::Writer;

/// What repacking did.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Repacked {
    /// Packs of which every needed object has been written again: they may be tombstoned.
    pub done: Vec<PackId>,
    /// Packs that must stay, since an object in them is damaged and there is no other copy.
    pub kept: Vec<PackId>,
    /// Objects written.
    pub objects: u64,
    /// Bytes of their plaintexts.
    pub plain_bytes: u64,
}

/// Writes the marked objects of the packs again, in the order in which they lie, through a writer that avoids these
/// packs. The writer's coding decides about compression. Everything is verified on the way.
pub fn repack(
    store: &Store,
    writer: &Writer<'_>,
    packs: &[PackId],
    marked: &Marked,
    abort: &AtomicBool,
) -> Result<Repacked, GcError> {
    let mut repacked = Repacked::default();
    let mut copied: HashSet<Key> = HashSet::new();
    let mut reader = Reader { store, files: HashMap::new() };
    for pack in packs {
        let mut is_whole = true;
        for (key, place) in places(store, pack, marked) {
            check(abort)?;
            if copied.contains(&key) {
                continue;
            }
            match reader.read_any(&key, place) {
                Some((kind, id, plain)) => {
                    writer.put_again(kind, &id, &plain)?;
                    copied.insert(key);
                    repacked.objects += 1;
                    repacked.plain_bytes += plain.len() as u64;
                }
                None => is_whole = false,
            }
        }
        if is_whole { &mut repacked.done } else { &mut repacked.kept }.push(pack.clone());
    }
    Ok(repacked)
}

/// The marked records of a pack, by offset.
fn places(store: &Store, pack: &PackId, marked: &Marked) -> Vec<(Key, Location)> {
    store.with_index(|index| {
        let is_wanted = |(key, place): &(Key, Location)| index.pack_id(place.pack) == pack && marked.contains(key);
        let mut places: Vec<_> = index.iter().filter(is_wanted).collect();
        places.sort_by_key(|(_, place)| place.offset);
        places
    })
}

struct Reader<'a> {
    store: &'a Store,
    files: HashMap<PackId, File>,
}

impl Reader<'_> {
    /// The object at a place, or from any other place that holds a good copy.
    fn read_any(&mut self, key: &Key, place: Location) -> Option<(ObjectKind, Digest, Vec<u8>)> {
        let others: Vec<Location> = self.store.with_index(|index| index.locate(key).collect());
        let others = others.into_iter().filter(|other| *other != place);
        std::iter::once(place).chain(others).find_map(|place| self.read(place))
    }

    fn read(&mut self, place: Location) -> Option<(ObjectKind, Digest, Vec<u8>)> {
        let pack = self.store.with_index(|index| index.pack_id(place.pack).clone());
        if !self.files.contains_key(&pack) {
            let file = File::open(pack::path(&self.store.vault().packs(), &pack)).ok()?;
            self.files.insert(pack.clone(), file);
        }
        let mut bytes = vec![0; HEADER + place.stored_len as usize];
        self.files.get(&pack)?.read_exact_at(&mut bytes, place.offset).ok()?;
        let header = Header::decode(&bytes).ok().filter(|header| header.stored_len == place.stored_len)?;
        let cipher = self.store.cipher().map(AsRef::as_ref);
        let (id, plain) = record::identify(&header, &bytes[HEADER..], cipher).ok()?;
        Some((header.kind, id, plain))
    }
}
