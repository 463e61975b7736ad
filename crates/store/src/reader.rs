//! The store: reading objects by id from packs.
//!
//! Owns the way from an id to verified plaintext, with a second copy tried where the first is damaged. Refuses to
//! write: that is [`crate::writer`].

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock, RwLock};

use wfr_model::{Digest, PackId};

use crate::crypto::Cipher;
use crate::index::{Index, Key, Location, key};
use crate::object::{ObjectKind, Objects, ReadError};
use crate::pack::{self, Extent};
use crate::record::{self, HEADER, Header};
use crate::vault::Vault;

/// An open store: the vault's packs as far as they are committed.
#[derive(Debug)]
pub struct Store {
    vault: Vault,
    cipher: Option<Arc<Cipher>>,
    index: RwLock<Index>,
    files: Vec<OnceLock<File>>,
    extents: Vec<Extent>,
    news: Option<News>,
}

/// Asks how far the packs are committed now.
pub type AskExtents = Box<dyn Fn() -> Option<Vec<Extent>> + Send + Sync>;

/// So many times in a row it is asked in vain: what is missing then is.
const ASKED_MAX: u32 = 16;

/// Where the store learns what was committed after it was opened.
struct News {
    ask: AskExtents,
    in_vain: AtomicU32,
}

impl std::fmt::Debug for News {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("News").field("in_vain", &self.in_vain).finish_non_exhaustive()
    }
}

impl Store {
    /// Opens the store over committed extents. An encrypted one needs its cipher.
    pub fn open(vault: &Vault, extents: Vec<Extent>, cipher: Option<Arc<Cipher>>) -> io::Result<Self> {
        let index = Index::open(&vault.index(), &vault.packs(), &extents)?;
        let files = extents.iter().map(|_| OnceLock::new()).collect();
        Ok(Self { vault: vault.clone(), cipher, index: RwLock::new(index), files, extents, news: None })
    }

    /// The same store, which looks again for an object that it does not find, in what was committed since and in what a cleanup
    /// wrote anew. For who reads: who writes relies on nothing but what was live when it began.
    pub fn following(self, ask: AskExtents) -> Self {
        Self { news: Some(News { ask, in_vain: AtomicU32::new(0) }), ..self }
    }

    /// Whether there is anything that was not there before.
    fn looks_again(&self) -> bool {
        let Some(news) = self.news.as_ref().filter(|news| news.in_vain.load(Ordering::Relaxed) < ASKED_MAX) else {
            return false;
        };
        let extents = (news.ask)().unwrap_or_default();
        let mut index = self.index.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        let is_news = index.extend(&self.vault.packs(), &extents).unwrap_or(false);
        let asked = if is_news { 0 } else { news.in_vain.load(Ordering::Relaxed).saturating_add(1) };
        news.in_vain.store(asked, Ordering::Relaxed);
        is_news
    }

    /// The object from the first place that holds a good copy.
    fn find(&self, id: &Digest) -> Result<Vec<u8>, ReadError> {
        let mut result = Err(ReadError::Missing(*id));
        for place in self.places(id) {
            result = self.read_at(id, place);
            if result.is_ok() {
                break;
            }
        }
        result
    }

    /// The vault.
    pub fn vault(&self) -> &Vault {
        &self.vault
    }

    /// The cipher of an encrypted store.
    pub fn cipher(&self) -> Option<&Arc<Cipher>> {
        self.cipher.as_ref()
    }

    /// The committed extents that it was opened with.
    pub fn extents(&self) -> &[Extent] {
        &self.extents
    }

    /// The id by which an object is filed.
    pub(crate) fn disk_id(&self, id: &Digest) -> Digest {
        self.cipher.as_ref().map_or(*id, |cipher| cipher.disk_id(id))
    }

    /// What is held now, as an opaque mark for [`Objects::still_holds`]; empty where that is nothing.
    pub fn holdings(&self) -> Vec<u8> {
        self.with_index(Index::holdings)
    }

    /// Runs a function on the index.
    pub fn with_index<T>(&self, look: impl FnOnce(&Index) -> T) -> T {
        look(&self.index.read().unwrap_or_else(std::sync::PoisonError::into_inner))
    }

    /// Adds committed objects to the index and keeps it on disk; losing that costs a scan, so errors are dropped.
    pub(crate) fn publish(&self, extents: &[Extent], objects: &[(Key, PackId, u64, u32)]) {
        let mut index = self.index.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        index.add(extents, objects.iter().cloned());
        let _ = index.save();
    }

    /// Every place of an object, newest first.
    pub fn places(&self, id: &Digest) -> Vec<Location> {
        let key = key(&self.disk_id(id));
        self.with_index(|index| index.locate(&key).collect())
    }

    /// Which of these are not held, by their position, ascending. They are looked up in the order of their keys, side by
    /// side in memory: for many that takes a fraction of asking [`Objects::has`] for each.
    pub fn absent(&self, ids: &[Digest]) -> Vec<usize> {
        let mut keys: Vec<(Key, usize)> = ids.iter().enumerate().map(|(at, id)| (key(&self.disk_id(id)), at)).collect();
        keys.sort_unstable();
        let mut absent: Vec<usize> = self.with_index(|index| {
            keys.iter().filter(|(key, _)| index.locate(key).next().is_none()).map(|(_, at)| *at).collect()
        });
        absent.sort_unstable();
        absent
    }

    /// Reads and verifies the copy of an object at one place.
    pub fn read_at(&self, id: &Digest, place: Location) -> Result<Vec<u8>, ReadError> {
        let pack = self.with_index(|index| index.pack_id(place.pack).clone());
        let mut record = vec![0; HEADER + place.stored_len as usize];
        self.read_bytes(&pack, place, &mut record).map_err(|source| {
            if source.kind() == io::ErrorKind::UnexpectedEof {
                return ReadError::Damaged {
                    id: *id,
                    pack: pack.to_string(),
                    offset: place.offset,
                    why: "it is cut off",
                };
            }
            ReadError::Io { place: format!("pack {pack}"), source }
        })?;
        let disk_id = self.disk_id(id);
        Header::decode(&record)
            .and_then(|header| {
                if header.disk_id != disk_id || header.stored_len != place.stored_len {
                    return Err("another object stands in its place");
                }
                record::decode(&header, &record[HEADER..], id, self.cipher.as_deref())
            })
            .map_err(|why| ReadError::Damaged { id: *id, pack: pack.to_string(), offset: place.offset, why })
    }

    fn read_bytes(&self, pack: &PackId, place: Location, record: &mut [u8]) -> io::Result<()> {
        match self.files.get(place.pack as usize) {
            Some(slot) => {
                let file = match slot.get() {
                    Some(file) => file,
                    None => {
                        let file = File::open(pack::path(&self.vault.packs(), pack))?;
                        slot.get_or_init(|| file)
                    }
                };
                file.read_exact_at(record, place.offset)
            }
            // A pack made after opening: rare, and not worth a table.
            None => File::open(pack::path(&self.vault.packs(), pack))?.read_exact_at(record, place.offset),
        }
    }
}

impl Objects for Store {
    fn get(&self, _kind: ObjectKind, id: &Digest) -> Result<Vec<u8>, ReadError> {
        match self.find(id) {
            Err(error) if error.is_gone() && self.looks_again() => self.find(id),
            found => found,
        }
    }

    fn has(&self, id: &Digest) -> bool {
        let key = key(&self.disk_id(id));
        self.with_index(|index| index.locate(&key).next().is_some())
    }

    fn still_holds(&self, holdings: &[u8]) -> bool {
        self.with_index(|index| index.still_holds(holdings))
    }
}
