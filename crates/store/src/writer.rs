//! Writing objects into packs, from several threads, up to the point where the catalog may vouch for them.
//!
//! Owns deduplication, packing and the flush. Refuses to make anything visible: the order is [`Writer::finish`] (all
//! durable), then the catalog's transaction, then [`Sealed::publish`].

use std::collections::{HashMap, HashSet};
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use wfr_model::{Digest, PackId};

use crate::index::{Key, key};
use crate::object::{ObjectKind, Objects, ReadError, Sink, WriteError};
use crate::pack::{Appender, Extent};
use crate::reader::Store;
use crate::record::{self, Coding, HEADER, Header};

/// A writing session. Dropped before [`Writer::finish`], it leaves nothing behind.
pub struct Writer<'a> {
    store: &'a Store,
    coding: Coding,
    limit: Option<u64>,
    avoided: HashSet<PackId>,
    begun: Mutex<HashSet<Key>>,
    stored_bytes: AtomicU64,
    output: Mutex<Output>,
}

/// What stands behind the lock: the open pack, the full ones, and where everything went.
#[derive(Default)]
struct Output {
    open: Option<Appender>,
    full: Vec<Appender>,
    placed: HashMap<Key, (PackId, u64, u32)>,
    raw_bytes: u64,
}

impl Store {
    /// Begins a writing session. `limit` is how many more bytes the store may grow by.
    pub fn writer(&self, coding: Coding, limit: Option<u64>) -> Writer<'_> {
        Writer {
            store: self,
            coding,
            limit,
            avoided: HashSet::new(),
            begun: Mutex::default(),
            stored_bytes: AtomicU64::new(0),
            output: Mutex::default(),
        }
    }
}

impl<'a> Writer<'a> {
    /// Never appends to these packs: they are about to go.
    pub fn avoiding(mut self, packs: &[PackId]) -> Self {
        self.avoided.extend(packs.iter().cloned());
        self
    }

    /// Writes an object even where the store holds it: for repair, whose new copy is found before the damaged one.
    pub fn put_again(&self, kind: ObjectKind, id: &Digest, bytes: &[u8]) -> Result<(), WriteError> {
        let key = key(&self.store.disk_id(id));
        if !self.begun.lock().unwrap_or_else(PoisonError::into_inner).insert(key) {
            return Ok(());
        }
        let record = record::encode(kind, id, bytes, self.coding, self.store.cipher().map(AsRef::as_ref))?;
        let stored = self.stored_bytes.fetch_add(record.len() as u64, Ordering::Relaxed) + record.len() as u64;
        if let Some(quota) = self.limit.filter(|limit| stored > *limit) {
            return Err(WriteError::Quota { quota });
        }
        self.append(key, &record, bytes.len() as u64)
    }

    /// Bytes that the packs have grown by so far.
    pub fn stored_bytes(&self) -> u64 {
        self.stored_bytes.load(Ordering::Relaxed)
    }

    fn append(&self, key: Key, record: &[u8], raw: u64) -> Result<(), WriteError> {
        let mut output = self.output.lock().unwrap_or_else(PoisonError::into_inner);
        let place = |source| WriteError::Io { place: self.store.vault().packs().display().to_string(), source };
        let output = &mut *output;
        if output.open.as_ref().is_some_and(Appender::is_full) {
            output.full.extend(output.open.take());
        }
        let open = match &mut output.open {
            Some(open) => open,
            slot => slot.insert(self.open_pack().map_err(place)?),
        };
        let offset = open.append(record).map_err(place)?;
        let stored_len = (record.len() - HEADER) as u32;
        output.placed.insert(key, (open.id().clone(), offset, stored_len));
        output.raw_bytes += raw;
        Ok(())
    }

    /// The newest pack that has room and that nobody else holds, else a new one.
    fn open_pack(&self) -> io::Result<Appender> {
        let packs = self.store.vault().packs();
        let usable = self.store.extents().iter().rev().filter(|extent| !self.avoided.contains(&extent.pack));
        for extent in usable.take(8) {
            if let Some(appender) = Appender::reopen(&packs, extent)? {
                return Ok(appender);
            }
        }
        Appender::create(&packs)
    }

    /// Makes everything durable. Nothing was written: no flush.
    pub fn finish(self) -> Result<Sealed<'a>, WriteError> {
        let output = self.output.into_inner().unwrap_or_else(PoisonError::into_inner);
        let mut appenders = output.full;
        appenders.extend(output.open);
        let mut extents = Vec::with_capacity(appenders.len());
        for at in 0..appenders.len() {
            let place = format!("pack {}", appenders[at].id());
            match appenders[at].sync() {
                Ok(extent) => extents.push(extent),
                Err(source) => {
                    // No catalog has heard of any of it.
                    appenders.into_iter().for_each(Appender::withdraw);
                    return Err(WriteError::Io { place, source });
                }
            }
        }
        let stored_bytes = self.stored_bytes.into_inner();
        let added = Added { objects: output.placed.len() as u64, raw_bytes: output.raw_bytes, stored_bytes };
        let placed = output.placed.into_iter().map(|(key, (pack, offset, length))| (key, pack, offset, length));
        Ok(Sealed { store: self.store, appenders, extents, placed: placed.collect(), added })
    }
}

impl Sink for Writer<'_> {
    fn has(&self, id: &Digest) -> bool {
        self.store.has(id) || {
            let key = key(&self.store.disk_id(id));
            self.begun.lock().unwrap_or_else(PoisonError::into_inner).contains(&key)
        }
    }

    fn still_holds(&self, holdings: &[u8]) -> bool {
        self.store.still_holds(holdings)
    }

    fn put(&self, kind: ObjectKind, id: &Digest, bytes: &[u8]) -> Result<(), WriteError> {
        if self.store.has(id) { Ok(()) } else { self.put_again(kind, id, bytes) }
    }
}

/// What a session added.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Added {
    /// Objects that were not there before.
    pub objects: u64,
    /// Bytes of their plaintext.
    pub raw_bytes: u64,
    /// Bytes that the packs grew by.
    pub stored_bytes: u64,
}

/// A session whose objects are durable; its packs stay locked while it lives. Dropped without [`Sealed::publish`], what
/// it wrote stays behind as garbage that cleanup finds: the catalog may have committed although it reported a failure.
pub struct Sealed<'a> {
    store: &'a Store,
    appenders: Vec<Appender>,
    extents: Vec<Extent>,
    placed: Vec<(Key, PackId, u64, u32)>,
    added: Added,
}

impl Sealed<'_> {
    /// How far the packs are to be committed; to be told to the catalog in the transaction that needs them.
    pub fn extents(&self) -> &[Extent] {
        &self.extents
    }

    /// What was added.
    pub fn added(&self) -> Added {
        self.added
    }

    /// Makes the objects visible; to be called once the catalog's transaction has been committed.
    pub fn publish(self) {
        self.store.publish(&self.extents, &self.placed);
        // The packs' locks end here, after the catalog's transaction.
        drop(self.appenders);
    }

    /// Gives the objects back; to be called where the catalog has refused the transaction for certain, and not only failed.
    pub fn withdraw(self) {
        self.appenders.into_iter().for_each(Appender::withdraw);
    }
}

/// Reading through a writer sees what is committed and what this session has written.
impl Objects for Writer<'_> {
    fn get(&self, kind: ObjectKind, id: &Digest) -> Result<Vec<u8>, ReadError> {
        match self.read_back(&key(&self.store.disk_id(id))) {
            None => self.store.get(kind, id),
            Some(Err(source)) => Err(ReadError::Io { place: "the session's own pack".to_owned(), source }),
            Some(Ok((pack, offset, record))) => Header::decode(&record)
                .and_then(|header| {
                    record::decode(&header, &record[HEADER..], id, self.store.cipher().map(AsRef::as_ref))
                })
                .map_err(|why| ReadError::Damaged { id: *id, pack: pack.to_string(), offset, why }),
        }
    }

    fn has(&self, id: &Digest) -> bool {
        Sink::has(self, id)
    }

    fn still_holds(&self, holdings: &[u8]) -> bool {
        Sink::still_holds(self, holdings)
    }
}

impl Writer<'_> {
    /// The record of an object that this session wrote; `None` for others.
    fn read_back(&self, key: &Key) -> Option<io::Result<(PackId, u64, Vec<u8>)>> {
        let output = self.output.lock().unwrap_or_else(PoisonError::into_inner);
        let (pack, offset, stored_len) = output.placed.get(key)?.clone();
        let appender = output.full.iter().chain(&output.open).find(|appender| *appender.id() == pack)?;
        let mut record = vec![0; HEADER + stored_len as usize];
        Some(appender.read_back(offset, &mut record).map(|()| (pack, offset, record)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vault::{FORMAT_VERSION, Identity, Vault};

    fn vault(dir: &std::path::Path) -> Vault {
        let identity = Identity { format_version: FORMAT_VERSION, vault_id: "0".repeat(32), encrypted: false };
        Vault::create(&dir.join("vault"), identity).unwrap()
    }

    /// Writes texts in one session and returns all extents committed so far.
    fn session(vault: &Vault, mut extents: Vec<Extent>, texts: &[String]) -> Vec<Extent> {
        let store = Store::open(vault, extents.clone(), None).unwrap();
        let writer = store.writer(Coding::default(), None);
        for text in texts {
            let id = writer.put_new(ObjectKind::Blob, text.as_bytes()).unwrap();
            assert!(Sink::has(&writer, &id));
            assert_eq!(writer.get(ObjectKind::Blob, &id).unwrap(), text.as_bytes());
        }
        let sealed = writer.finish().unwrap();
        for new in sealed.extents() {
            match extents.iter_mut().find(|extent| extent.pack == new.pack) {
                Some(extent) => extent.committed = new.committed,
                None => extents.push(new.clone()),
            }
        }
        sealed.publish();
        for text in texts {
            let id = crate::object::hash(text.as_bytes());
            assert_eq!(store.get(ObjectKind::Blob, &id).unwrap(), text.as_bytes());
        }
        extents
    }

    fn texts(range: std::ops::Range<u32>) -> Vec<String> {
        range.map(|n| format!("text number {n}")).collect()
    }

    #[test]
    fn sessions_share_a_pack_and_all_is_found_with_or_without_index() {
        let dir = tempfile::tempdir().unwrap();
        let vault = vault(dir.path());
        let mut extents = Vec::new();
        for session_number in 0..20 {
            extents = session(&vault, extents, &texts(session_number * 200..session_number * 200 + 250));
        }
        assert_eq!(extents.len(), 1);
        for _ in 0..2 {
            let store = Store::open(&vault, extents.clone(), None).unwrap();
            let ids: Vec<Digest> =
                texts(0..8_100).iter().map(|text| crate::object::hash(text.as_bytes())).rev().collect();
            // Of numbers to 8,099 those from 4,050 on were never written; the list is turned round.
            assert_eq!(store.absent(&ids), (0..4_050).collect::<Vec<_>>());
            for text in texts(0..4_050) {
                let id = crate::object::hash(text.as_bytes());
                assert_eq!(store.get(ObjectKind::Blob, &id).unwrap(), text.as_bytes());
            }
            assert!(store.get(ObjectKind::Blob, &Digest::ZERO).is_err());
            crate::index::discard(&vault.index()).unwrap();
        }
    }

    #[test]
    fn a_store_that_follows_finds_what_was_committed_since_and_what_was_moved() {
        let dir = tempfile::tempdir().unwrap();
        let vault = vault(dir.path());
        let now = std::sync::Arc::new(Mutex::new(session(&vault, vec![], &texts(0..3))));
        let open = || Store::open(&vault, now.lock().unwrap().clone(), None).unwrap();
        let (still, asked) = (open(), now.clone());
        let following = open().following(Box::new(move || Some(asked.lock().unwrap().clone())));
        let get = |store: &Store, text: &str| store.get(ObjectKind::Blob, &crate::object::hash(text.as_bytes()));
        // In the same pack, further on.
        let grown = session(&vault, now.lock().unwrap().clone(), &texts(3..6));
        *now.lock().unwrap() = grown;
        assert!(get(&still, "text number 4").is_err());
        assert_eq!(get(&following, "text number 4").unwrap(), b"text number 4");
        // In another one, since that was collected.
        let old = now.lock().unwrap().remove(0);
        let moved = session(&vault, vec![], &texts(0..9));
        *now.lock().unwrap() = moved;
        std::fs::remove_file(crate::pack::path(&vault.packs(), &old.pack)).unwrap();
        assert_eq!(get(&following, "text number 8").unwrap(), b"text number 8");
        for _ in 0..2 * 16 {
            assert!(matches!(get(&following, "nowhere"), Err(ReadError::Missing(_))));
        }
    }

    #[test]
    fn a_dropped_session_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let vault = vault(dir.path());
        let store = Store::open(&vault, vec![], None).unwrap();
        let writer = store.writer(Coding::default(), None);
        writer.put_new(ObjectKind::Blob, &vec![7; 3 << 20]).unwrap();
        drop(writer);
        assert_eq!(vault.packs().read_dir().unwrap().count(), 0);
    }

    #[test]
    fn a_session_that_is_withdrawn_leaves_nothing_though_it_was_flushed() {
        let dir = tempfile::tempdir().unwrap();
        let vault = vault(dir.path());
        let sizes = || {
            let files = vault.packs().read_dir().unwrap().map(|entry| entry.unwrap().metadata().unwrap().len());
            files.collect::<Vec<u64>>()
        };
        let write = |extents: Vec<Extent>| {
            let store = Store::open(&vault, extents, None).unwrap();
            let writer = store.writer(Coding::default(), None);
            writer.put_new(ObjectKind::Blob, b"nobody's").unwrap();
            writer.finish().unwrap().withdraw();
        };
        write(vec![]);
        assert_eq!(sizes(), [0; 0]);
        let extents = session(&vault, vec![], &texts(0..3));
        let before = sizes();
        write(extents.clone());
        assert_eq!(sizes(), before);
        session(&vault, extents, &texts(3..6));
    }

    #[test]
    fn an_empty_session_writes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let vault = vault(dir.path());
        let extents = session(&vault, vec![], &texts(0..3));
        assert_eq!(session(&vault, extents.clone(), &texts(0..3)), extents);
    }

    #[test]
    fn objects_of_a_lost_pack_count_as_absent() {
        let dir = tempfile::tempdir().unwrap();
        let vault = vault(dir.path());
        let extents = session(&vault, vec![], &texts(0..600));
        std::fs::remove_file(crate::pack::path(&vault.packs(), &extents[0].pack)).unwrap();
        let store = Store::open(&vault, extents, None).unwrap();
        assert!(!Objects::has(&store, &crate::object::hash(b"text number 3")));
    }

    #[test]
    fn a_second_copy_stands_in_for_a_damaged_one() {
        let dir = tempfile::tempdir().unwrap();
        let vault = vault(dir.path());
        let extents = session(&vault, vec![], &texts(0..1));
        let id = crate::object::hash(b"text number 0");
        let store = Store::open(&vault, extents.clone(), None).unwrap();
        let writer = store.writer(Coding::default(), None);
        writer.put_again(ObjectKind::Blob, &id, b"text number 0").unwrap();
        let sealed = writer.finish().unwrap();
        let (both, second) = (sealed.extents().to_vec(), extents[0].committed);
        sealed.publish();
        let file = crate::pack::path(&vault.packs(), &extents[0].pack);
        for at in [extents[0].committed - 1, second + record::HEADER as u64] {
            let whole = std::fs::read(&file).unwrap();
            let mut bytes = whole.clone();
            bytes[at as usize] ^= 1;
            std::fs::write(&file, bytes).unwrap();
            let store = Store::open(&vault, both.clone(), None).unwrap();
            assert_eq!(store.places(&id).len(), 2);
            assert_eq!(store.get(ObjectKind::Blob, &id).unwrap(), b"text number 0");
            std::fs::write(&file, whole).unwrap();
        }
    }

    #[test]
    fn a_file_may_hold_the_bytes_of_a_tree_object() {
        let dir = tempfile::tempdir().unwrap();
        let vault = vault(dir.path());
        let store = Store::open(&vault, vec![], None).unwrap();
        let writer = store.writer(Coding::default(), None);
        let empty_directory = crate::tree::encode(&crate::tree::Part::Leaf(vec![]));
        let id = writer.put_new(ObjectKind::Blob, &empty_directory).unwrap();
        assert_eq!(crate::tree::write(&writer, &[]).unwrap(), id);
        let sealed = writer.finish().unwrap();
        sealed.publish();
        assert_eq!(crate::tree::read(&store, &id).unwrap(), vec![]);
        assert_eq!(store.get(ObjectKind::Blob, &id).unwrap(), empty_directory);
    }

    #[test]
    fn the_quota_stops_a_session() {
        let dir = tempfile::tempdir().unwrap();
        let vault = vault(dir.path());
        let store = Store::open(&vault, vec![], None).unwrap();
        let writer = store.writer(Coding { level: None }, Some(1_000));
        assert!(writer.put_new(ObjectKind::Blob, &[1; 500]).is_ok());
        assert!(matches!(writer.put_new(ObjectKind::Blob, &[2; 500]), Err(WriteError::Quota { .. })));
    }
}
