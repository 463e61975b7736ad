//! Cleanup: what is reachable, which packs are worth deleting or rewriting, and when that is safe.
//!
//! Owns marking, planning, repacking and the removal of pack files. Refuses to know which checkpoints there are and to
//! touch the catalog. [`run::run`] does it all, in this order; the parts can be called alone, too.
//!
//! 1. [`mark`] from every root, with a store over all packs, tombstoned ones too; then [`usage`] and [`plan`] over the
//!    live ones. [`lock`] the packs of the plan, so that nobody appends to them; [`repack()`] those that are rewritten.
//! 2. One catalog transaction: the extents of the new packs, tombstones under a new generation for the old ones. From
//!    now on no new session uses them.
//! 3. [`leases::oldest`] and [`deletable`]: only packs whose generation no session is older than.
//! 4. After that, read the catalog again, [`mark`] from every root there is now, and [`recheck`]: packs that something
//!    committed since relies on are made live again.
//! 5. [`delete`] the files of the others, then forget their rows. A crash between the two repeats harmlessly.
//!
//! Between 2 and 4 something just committed may lie in a tombstoned pack: whoever reads opens a store over all packs,
//! whoever writes over live ones only.

pub mod holders;
pub mod leases;
mod repack;
pub mod run;

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{FlockOperation, flock};
use wfr_model::{Digest, PackId};

use crate::disk;
use crate::index::{Index, Key, key};
use crate::object::{ObjectKind, ReadError};
use crate::pack;
use crate::reach;
use crate::reader::Store;

pub use repack::{Repacked, repack};

/// Why cleanup could not go on. Nothing was deleted.
#[derive(Debug, thiserror::Error)]
pub enum GcError {
    /// A tree or a chunk list cannot be read, so what lies below is not known. Cleanup must wait until the checkpoint is
    /// repaired or removed.
    #[error("what a checkpoint needs cannot be found out")]
    Read(#[from] ReadError),
    /// Repacking could not write.
    #[error(transparent)]
    Write(#[from] crate::object::WriteError),
    /// The catalog refused.
    #[error("cannot clean up")]
    Ledger(#[source] run::LedgerError),
    /// The caller gave up.
    #[error("interrupted")]
    Interrupted,
    /// The system refused.
    #[error("cannot clean up at {place}")]
    Io {
        /// The file or directory.
        place: String,
        /// What the system said.
        source: io::Error,
    },
}

fn check(abort: &AtomicBool) -> Result<(), GcError> {
    if abort.load(Ordering::Relaxed) { Err(GcError::Interrupted) } else { Ok(()) }
}

/// Every object that is needed, by its index key.
#[derive(Debug, Default)]
pub struct Marked {
    keys: HashSet<Key>,
    walked: HashSet<Digest>,
}

impl Marked {
    /// Whether an object is needed.
    pub fn contains(&self, key: &Key) -> bool {
        self.keys.contains(key)
    }

    /// How many objects are needed.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether nothing is needed.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }
}

/// Marks everything that the roots lead to. May be called again with more roots.
pub fn mark(
    store: &Store,
    roots: impl Iterator<Item = (ObjectKind, Digest)>,
    marked: &mut Marked,
    abort: &AtomicBool,
) -> Result<(), GcError> {
    let mut is_new = |kind, id: &Digest| {
        let is_new_key = marked.keys.insert(key(&store.disk_id(id)));
        if reach::has_children(kind) { marked.walked.insert(*id) } else { is_new_key }
    };
    reach::walk::<GcError>(store, roots, &mut is_new, &mut |_, _, _| check(abort))
}

/// How much of a pack is needed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Usage {
    /// Which.
    pub pack: PackId,
    /// Its committed length in bytes.
    pub bytes: u64,
    /// Bytes of records that are needed. A second copy counts too: the first may turn out damaged.
    pub live_bytes: u64,
    /// Records that are needed.
    pub live_objects: u64,
    /// Records that are not.
    pub dead_objects: u64,
}

impl Usage {
    /// Bytes that nobody needs, unreadable stretches included.
    pub fn dead_bytes(&self) -> u64 {
        self.bytes.saturating_sub(self.live_bytes + pack::PREAMBLE.len() as u64)
    }
}

/// How much of each of the store's packs is needed, in the store's order. Packs whose file is missing are left out.
pub fn usage(store: &Store, marked: &Marked) -> Vec<Usage> {
    store.with_index(|index| {
        let missing: HashSet<&PackId> = index.missing_packs().collect();
        let mut found: Vec<Usage> = store.extents().iter().map(unused).collect();
        for (key, place) in index.iter() {
            let Some(usage) = found.get_mut(place.pack as usize) else { continue };
            if marked.contains(&key) {
                usage.live_objects += 1;
                usage.live_bytes += crate::record::HEADER as u64 + u64::from(place.stored_len);
            } else {
                usage.dead_objects += 1;
            }
        }
        found.retain(|usage| !missing.contains(&usage.pack));
        found
    })
}

fn unused(extent: &pack::Extent) -> Usage {
    Usage { pack: extent.pack.clone(), bytes: extent.committed, live_bytes: 0, live_objects: 0, dead_objects: 0 }
}

/// When a pack is worth rewriting.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rules {
    /// Rewritten where more than so many hundredths of it are not needed.
    pub dead_percent_max: u8,
    /// Rewritten in any case, at a higher level of compression.
    pub recompress: bool,
}

impl Default for Rules {
    /// A quarter: below that, rewriting costs more than it gives.
    fn default() -> Self {
        Self { dead_percent_max: 25, recompress: false }
    }
}

/// What is to be done.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Plan {
    /// Packs of which nothing is needed.
    pub delete: Vec<PackId>,
    /// Packs whose needed objects are to be written again elsewhere.
    pub repack: Vec<PackId>,
    /// Bytes that go, compression aside.
    pub reclaimed_bytes: u64,
}

impl Plan {
    /// All packs that will be gone.
    pub fn packs(&self) -> Vec<PackId> {
        self.delete.iter().chain(&self.repack).cloned().collect()
    }
}

/// Decides over each pack; reads and writes nothing.
pub fn plan(usage: &[Usage], rules: Rules) -> Plan {
    let mut plan = Plan::default();
    for usage in usage {
        let is_wasteful =
            u128::from(usage.dead_bytes()) * 100 > u128::from(usage.bytes) * u128::from(rules.dead_percent_max);
        let chosen = match usage.live_objects {
            0 => &mut plan.delete,
            _ if is_wasteful || rules.recompress => &mut plan.repack,
            _ => continue,
        };
        chosen.push(usage.pack.clone());
        plan.reclaimed_bytes += usage.dead_bytes();
    }
    plan
}

/// The locks of some packs: while they live, nobody appends.
#[derive(Debug)]
pub struct Locked {
    files: Vec<File>,
}

/// Locks the packs of a plan; those that are in use, or are longer than what is committed in this store, are taken out
/// of it. To be called before anything of the plan is carried out, and kept until the catalog has been told.
pub fn lock(store: &Store, plan: &mut Plan) -> Result<Locked, GcError> {
    let committed: HashMap<&PackId, u64> =
        store.extents().iter().map(|extent| (&extent.pack, extent.committed)).collect();
    let mut files = Vec::new();
    let mut lock = |id: &PackId| -> Result<bool, GcError> {
        let place = || format!("pack {id}");
        let Some(file) = lock_file(&pack::path(&store.vault().packs(), id))
            .map_err(|source| GcError::Io { place: place(), source })?
        else {
            return Ok(false);
        };
        let length = file.metadata().map_err(|source| GcError::Io { place: place(), source })?.len();
        files.push(file);
        Ok(committed.get(id) == Some(&length))
    };
    for list in [&mut plan.delete, &mut plan.repack] {
        let mut had = Vec::with_capacity(list.len());
        for id in list.drain(..) {
            if lock(&id)? {
                had.push(id);
            }
        }
        *list = had;
    }
    Ok(Locked { files })
}

impl Locked {
    /// How many packs are locked.
    pub fn len(&self) -> usize {
        self.files.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }
}

/// Opens and locks a file; `None` where another process has the lock or where there is no such file.
fn lock_file(path: &Path) -> io::Result<Option<File>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Some(file)),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}

/// The tombstoned packs that no session can be using any more: `oldest` is that of [`leases::oldest`]. Each pack comes
/// with the generation of its tombstone.
pub fn deletable(tombstones: &[(PackId, i64)], oldest: Option<i64>) -> Vec<PackId> {
    let is_free = |generation: i64| oldest.is_none_or(|oldest| oldest >= generation);
    tombstones.iter().filter(|(_, generation)| is_free(*generation)).map(|(id, _)| id.clone()).collect()
}

/// What a second look at tombstoned packs gave.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Rechecked {
    /// Nothing needs them: they may go.
    pub delete: Vec<PackId>,
    /// Something committed meanwhile needs them: they must be made live again.
    pub revive: Vec<PackId>,
}

/// Looks again which of the tombstoned packs are needed. `live` is opened over live packs only, `all` over tombstoned
/// ones too, both after the catalog was read; `marked` was made with `all` from every root that the catalog has now.
pub fn recheck(live: &Store, all: &Store, marked: &Marked, tombstoned: &[PackId]) -> Rechecked {
    let mut needed: HashSet<PackId> = HashSet::new();
    live.with_index(|live| {
        all.with_index(|all| {
            for key in marked.keys.iter().filter(|key| live.locate(key).next().is_none()) {
                needed.extend(homes(all, key));
            }
        });
    });
    let (revive, delete) = tombstoned.iter().cloned().partition(|pack| needed.contains(pack));
    Rechecked { delete, revive }
}

/// The packs that hold an object.
fn homes(index: &Index, key: &Key) -> Vec<PackId> {
    index.locate(key).map(|place| index.pack_id(place.pack).clone()).collect()
}

/// Removes the files of packs; returns those that are gone and the bytes that they had. One that another process has
/// locked stays; one whose file is missing counts as gone.
pub fn delete(packs: &Path, ids: &[PackId]) -> Result<(Vec<PackId>, u64), GcError> {
    let failed = |source| GcError::Io { place: packs.display().to_string(), source };
    let dir = disk::open_dir(packs).map_err(failed)?;
    let (mut gone, mut bytes) = (Vec::new(), 0);
    for id in ids {
        let path = pack::path(packs, id);
        match lock_file(&path).map_err(failed)? {
            Some(file) => {
                bytes += file.metadata().map_err(failed)?.len();
                disk::unlink(&dir, Path::new(path.file_name().unwrap_or_default())).map_err(failed)?;
            }
            None if path.exists() => continue,
            None => {}
        }
        gone.push(id.clone());
    }
    disk::sync_all(&dir).map_err(failed)?;
    Ok((gone, bytes))
}

#[cfg(test)]
mod tests;
