//! Building the catalog again from the packs, for when it is lost or damaged.
//!
//! Owns what can be known without a catalog: every manifest that lies in a pack, in the order of the chain. Refuses to
//! throw the old catalog away: it is put aside.

mod imports;
mod leaps;
mod logs;
mod naming;
mod old;
mod recorded;
mod switching;

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use wfr_catalog::{
    Brought, Catalog, CatalogError, EventSeq, Left, NewCheckpoint, NewOperation, Part, Sparing, VaultIdentity,
};
use wfr_model::checkpoint::{MANIFEST_VERSION, Manifest};
use wfr_model::{CheckpointId, Digest, PackId, Timestamp};
use wfr_store::crypto::Cipher;
use wfr_store::gc::holders::Process;
use wfr_store::gc::leases;
use wfr_store::pack::{self, Extent, Found};
use wfr_store::reach::{self, Roots, Seen};
use wfr_store::vault::{CATALOG_FILE, FORMAT_VERSION, Identity, VaultError};
use wfr_store::{ObjectKind, ReadError, Store, Vault, record};

use imports::Marks;
use naming::Before;
pub use naming::{Lost, Renamed};
use old::Old;
pub use recorded::{StillLost, still_lost};

/// Why the catalog was not built again. The old one is where it was, or beside it under another name.
#[derive(Debug, thiserror::Error)]
pub enum RebuildError {
    /// Some command is at work in the store; which processes these are, as far as the kernel tells.
    #[error("another command is working on the store{}", told(.0))]
    Busy(Vec<Process>),
    /// The system refused.
    #[error("cannot use {place}")]
    Io {
        /// Where.
        place: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The system refuses to read the old catalog.
    #[error("the old catalog {} cannot be read, and may be whole: nothing was changed", place.display())]
    Unread {
        /// Its main file.
        place: PathBuf,
        /// What is in the way.
        source: CatalogError,
    },
    /// The new catalog refused, or the system refused to read on in the old one.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
}

/// Which processes they are, in words that follow a sentence.
fn told(processes: &[Process]) -> String {
    let each = |one: &Process| match one.command.as_str() {
        "" => format!("process {}", one.pid),
        command => format!("process {} (`{command}`)", one.pid),
    };
    let names: Vec<String> = processes.iter().map(each).collect();
    if names.is_empty() { String::new() } else { format!(": {}", names.join(", ")) }
}

/// Opens a vault, also where its format file is lost or damaged: the catalog knows what was in it, and [`Vault::named`] writes
/// it again. Without one, whether it is encrypted shows in its keys and packs, and the vault gets another id, `fresh`.
pub fn open_vault(dir: &Path, fresh: &dyn Fn() -> String) -> Result<Vault, VaultError> {
    match Vault::open(dir) {
        Err(VaultError::Headless(_) | VaultError::Damaged(..)) => {}
        other => return other,
    }
    let known = Catalog::open_read_only(&dir.join(CATALOG_FILE)).and_then(|catalog| catalog.identity()).ok();
    let (vault_id, encrypted) = match known {
        Some(known) => (known.vault_id, known.encrypted),
        None => (fresh(), has_key(dir) || is_any_encrypted(dir)),
    };
    Ok(Vault::nameless(dir, Identity { format_version: FORMAT_VERSION, vault_id, encrypted }))
}

fn has_key(dir: &Path) -> bool {
    std::fs::read_dir(dir.join("keys")).is_ok_and(|mut keys| keys.next().is_some())
}

/// Whether the packs of a vault hold anything encrypted. A pack that cannot be read says nothing.
fn is_any_encrypted(dir: &Path) -> bool {
    let packs = std::fs::read_dir(dir.join("packs")).into_iter().flatten().flatten();
    packs
        .filter_map(|entry| {
            let file = File::open(entry.path()).ok()?;
            let length = file.metadata().ok()?.len();
            pack::scan(&file, 0, length).ok()
        })
        .any(|(found, _)| found.iter().any(|found| found.header.is_encrypted()))
}

/// What was found.
#[derive(Clone, Debug, Default)]
pub struct Rebuilt {
    /// Checkpoints that are whole.
    pub checkpoints: u64,
    /// Checkpoints whose files are not all there: removed by an earlier cleanup, or lost. They count as deleted.
    pub incomplete: u64,
    /// Checkpoints that were known before, by the old catalog or else by the view, and are in no pack any more.
    pub lost: Vec<Lost>,
    /// Checkpoints that came back under another name: another one has theirs.
    pub renamed: Vec<Renamed>,
    /// Where the files of the old catalog are now, the main one first; empty where there was none.
    pub put_aside: Vec<PathBuf>,
    /// Events that came back: those that checkpoints hold, and from the old catalog those that can be read there.
    pub events: u64,
    /// Events of the old catalog that came back from nowhere; `None` where it could not be read.
    pub events_left: Option<u64>,
    /// The place behind which the log goes on, where nobody can tell which places it had given.
    pub leapt: Option<EventSeq>,
    /// Changes of the ledger that came back, with what they did. Those since the last checkpoint are in the old catalog alone.
    pub changes: u64,
    /// Objects with changes that are lost or damaged, or that belong to another store's ledger.
    pub ledgers_lost: u64,
    /// Objects with events that are lost or damaged.
    pub seals_lost: u64,
    /// What was in the old catalog alone and did not come; `None` where it could not be read.
    pub left: Option<Vec<Left>>,
}

/// Builds the catalog of a vault again: what seals and manifests prove first, then what the old catalog alone says.
pub fn rebuild(
    vault: &Vault,
    workspace: &Path,
    cipher: Option<&Arc<Cipher>>,
    now: Timestamp,
    audit: &dyn Fn(&str) -> NewOperation,
) -> Result<Rebuilt, RebuildError> {
    let leases = vault.leases();
    // Whoever has the old catalog open would go on writing into it.
    let busy = || RebuildError::Busy(leases::holders(&leases));
    let _book = leases::book_alone(&leases).map_err(at(&leases))?.ok_or_else(busy)?;
    let _alone = leases::alone(&leases).map_err(at(&leases))?.ok_or_else(busy)?;
    switching::settle(vault).map_err(at(&vault.catalog()))?;
    let (extents, manifests, marks) = read_packs(vault, cipher)?;
    let store = Store::open(vault, extents.clone(), cipher.cloned()).map_err(at(vault.dir()))?;
    let lengths = extents.into_iter().map(|extent| (extent.pack, extent.committed)).collect();
    let old = Old::open(vault, cipher)?;
    let before = Before::read(old.as_ref(), workspace)?;
    let found = Packed::of(&store, manifests, marks, &before, lengths)?;
    let aside = switching::free_aside(vault, now).map_err(at(&vault.catalog()))?;
    // Who comes from elsewhere is told apart, or noted to have moved, by whoever opens the new one, as with the old one.
    let known = old.as_ref().map(|old| old::damaged_is_none(old.catalog.identity())).transpose()?.flatten();
    let owner = known.map_or_else(|| workspace.to_owned(), |known| known.workspace);
    let catalog = veiled(make(vault, &owner, now)?, cipher);
    let audits = Audits {
        rebuilt: recorded::with_lost(audit(recorded::REBUILT), &found.lost, aside.as_deref()),
        deleted: audit("rebuild-catalog: incomplete checkpoints"),
        leapt: leaps::last(vault),
    };
    let mut rebuilt =
        catalog.in_bulk(|| fill(&catalog, (&store, cipher.map(AsRef::as_ref)), found, old.as_ref(), &audits))?;
    drop(old);
    // Before anybody can be given a place behind it.
    rebuilt.leapt.map(|place| leaps::note(vault, place)).transpose().map_err(at(vault.dir()))?;
    rebuilt.put_aside = switching::switch(vault, catalog, aside.as_deref())?;
    Ok(rebuilt)
}

/// The checkpoints that the packs hold.
struct Packed {
    /// In their order; those that imports brought first.
    ordered: Vec<NewCheckpoint>,
    /// How many imports brought.
    imported: usize,
    /// Those that count as deleted: they are not whole, or a cleanup removed them.
    gone: HashSet<CheckpointId>,
    renamed: Vec<Renamed>,
    lost: Vec<Lost>,
    marks: Marks,
    lengths: Vec<(PackId, u64)>,
}

impl Packed {
    fn of(
        store: &Store,
        manifests: Vec<NewCheckpoint>,
        marks: Marks,
        before: &Before,
        lengths: Vec<(PackId, u64)>,
    ) -> Result<Self, RebuildError> {
        let (foreign, own) = marks.part(manifests);
        // What was imported stands before all that was taken here.
        let imported = foreign.len();
        let mut ordered: Vec<NewCheckpoint> = foreign.into_iter().chain(in_order(own)).collect();
        let mut seen = Seen::new();
        let mut gone: HashSet<CheckpointId> = HashSet::new();
        for new in &ordered {
            if !is_whole(store, new, &mut seen)? {
                gone.insert(new.checkpoint_id.clone());
            }
        }
        gone.extend(before.cleaned_up(&ordered));
        let renamed = naming::settle(&mut ordered, before, &gone);
        let lost = before.lost(&ordered, &gone);
        Ok(Self { ordered, imported, gone, renamed, lost, marks, lengths })
    }
}

/// The lines of the audit trail that a rebuild writes, and up to where the one before leapt.
struct Audits {
    rebuilt: NewOperation,
    deleted: NewOperation,
    leapt: Option<EventSeq>,
}

/// Fills an empty catalog.
fn fill(
    catalog: &Catalog,
    (store, cipher): (&Store, Option<&Cipher>),
    mut found: Packed,
    old: Option<&Old<'_>>,
    audits: &Audits,
) -> Result<Rebuilt, RebuildError> {
    if let Some(old) = old {
        old.take(catalog, Part::Vault)?;
        old.take(catalog, Part::Trail)?;
    }
    let seals = (&mut found.ordered[..], &mut found.marks.imports[..]);
    let events = logs::bring_events_back(store, catalog, seals, old, (audits.rebuilt.at, audits.leapt))?;
    let (changes, ledgers_lost) = logs::bring_changes_back(store, catalog, &mut found.ordered, old, cipher)?;
    let (foreign, own) = found.ordered.split_at(found.imported);
    let brought = Brought { checkpoints: foreign, imports: &found.marks.imports };
    catalog.insert_recovered(own, brought, &found.lengths, &audits.rebuilt)?;
    if !found.gone.is_empty() {
        let gone: Vec<CheckpointId> = found.gone.iter().cloned().collect();
        catalog.delete_checkpoints(&gone, &Sparing::default(), &audits.deleted)?;
    }
    let left = old.map(|old| old.take_the_rest(catalog)).transpose()?;
    let incomplete = found.gone.len() as u64;
    Ok(Rebuilt {
        checkpoints: found.ordered.len() as u64 - incomplete,
        incomplete,
        lost: found.lost,
        renamed: found.renamed,
        put_aside: vec![],
        events: events.came,
        events_left: events.left,
        leapt: events.leapt,
        changes,
        seals_lost: events.seals_lost,
        ledgers_lost,
        left,
    })
}

/// The error of a place.
fn at(place: &Path) -> impl FnOnce(io::Error) -> RebuildError {
    let place = place.to_owned();
    move |source| RebuildError::Io { place, source }
}

/// How far the packs go, the manifests in them, and the marks of imports.
fn read_packs(
    vault: &Vault,
    cipher: Option<&Arc<Cipher>>,
) -> Result<(Vec<Extent>, Vec<NewCheckpoint>, Marks), RebuildError> {
    let (mut extents, mut manifests, mut marks) = (Vec::new(), HashMap::new(), Marks::default());
    let cipher = cipher.map(AsRef::as_ref);
    for entry in std::fs::read_dir(vault.packs()).map_err(at(&vault.packs()))? {
        let path = entry.map_err(at(&vault.packs()))?.path();
        let Some(id) = path.file_name().and_then(|name| name.to_str()).and_then(pack::id_of) else { continue };
        let file = File::open(&path).map_err(at(&path))?;
        let length = file.metadata().map_err(at(&path))?.len();
        let (found, _) = pack::scan(&file, 0, length).map_err(at(&path))?;
        let end = found.iter().map(|found| found.offset + found.header.record_len()).max();
        for found in &found {
            match found.header.kind {
                ObjectKind::Manifest => {
                    let read = read_manifest(&file, found, cipher).map_err(at(&path))?;
                    manifests.extend(read.map(|(new, _)| (new.checkpoint_id.clone(), new)));
                }
                ObjectKind::Import => {
                    let read = read_object(&file, found, cipher).map_err(at(&path))?;
                    read.into_iter().for_each(|(id, bytes)| marks.add(id, &bytes));
                }
                _ => {}
            }
        }
        extents.extend(end.map(|committed| Extent { pack: id, committed }));
    }
    Ok((extents, manifests.into_values().collect(), marks))
}

/// An empty catalog, beside the old one.
fn make(vault: &Vault, workspace: &Path, now: Timestamp) -> Result<Catalog, CatalogError> {
    let identity = VaultIdentity {
        vault_id: vault.identity().vault_id.clone(),
        workspace: workspace.to_owned(),
        created_at: now,
        encrypted: vault.identity().encrypted,
    };
    Catalog::create(&switching::building(vault), &identity)
}

fn veiled(catalog: Catalog, cipher: Option<&Arc<Cipher>>) -> Catalog {
    match cipher {
        Some(cipher) => catalog.with_veil(crate::open::veil_of(cipher)),
        None => catalog,
    }
}

/// The manifest in a record; `None` where it is damaged or not one that this version knows.
pub fn read_manifest(
    file: &File,
    found: &Found,
    cipher: Option<&Cipher>,
) -> io::Result<Option<(NewCheckpoint, Manifest)>> {
    let read = read_object(file, found, cipher)?;
    let manifest = read.and_then(|(id, bytes)| Some((id, wfr_model::json::stored::<Manifest>(&bytes).ok()?)));
    let known = manifest.filter(|(_, manifest)| manifest.format_version == MANIFEST_VERSION);
    Ok(known.map(|(id, manifest)| (NewCheckpoint::of(&manifest, id), manifest)))
}

/// What a record holds, under its id; `None` where it is damaged.
fn read_object(file: &File, found: &Found, cipher: Option<&Cipher>) -> io::Result<Option<(Digest, Vec<u8>)>> {
    let mut payload = vec![0; found.header.stored_len as usize];
    match file.read_exact_at(&mut payload, found.offset + record::HEADER as u64) {
        Ok(()) => Ok(record::identify(&found.header, &payload, cipher).ok()),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => Err(error),
    }
}

/// In the order of the chain where it tells, else of time: each after its predecessor.
fn in_order(mut waiting: Vec<NewCheckpoint>) -> Vec<NewCheckpoint> {
    waiting.sort_by(|a, b| (a.created_at, &a.checkpoint_id).cmp(&(b.created_at, &b.checkpoint_id)));
    let known: HashSet<CheckpointId> = waiting.iter().map(|new| new.checkpoint_id.clone()).collect();
    let mut placed: HashSet<CheckpointId> = HashSet::new();
    let mut ordered: Vec<NewCheckpoint> = Vec::with_capacity(waiting.len());
    while !waiting.is_empty() {
        let before = ordered.len();
        let mut later = Vec::new();
        for new in waiting {
            let predecessor = new.predecessor.as_ref().map(|link| &link.checkpoint_id);
            if predecessor.is_none_or(|id| placed.contains(id) || !known.contains(id)) {
                placed.insert(new.checkpoint_id.clone());
                ordered.push(new);
            } else {
                later.push(new);
            }
        }
        if ordered.len() == before {
            // Manifests cannot name each other in a circle, since each holds the other's hash; a forged id could.
            ordered.append(&mut later);
        }
        waiting = later;
    }
    ordered
}

/// Whether every object of a checkpoint is there. Objects found before, through other checkpoints too, are in `seen`. What the
/// system does not let be read may be there: then nobody can tell.
fn is_whole(store: &Store, new: &NewCheckpoint, seen: &mut Seen) -> Result<bool, RebuildError> {
    let (tree, links, coverage, state) = (new.tree, new.hard_links, new.coverage, new.state);
    let roots = Roots { manifest: None, tree, links, coverage, state, seals: vec![] };
    let mut met = Vec::new();
    let walked = reach::walk::<ReadError>(
        store,
        roots.objects(),
        &mut |kind, id| {
            let is_new = seen.insert((kind, *id));
            if is_new {
                met.push((kind, *id));
            }
            is_new
        },
        &mut |_, id, _| if store.places(id).is_empty() { Err(ReadError::Missing(*id)) } else { Ok(()) },
    );
    if walked.is_err() {
        // What was met on the way may be what is missing: the next checkpoint must find out for itself.
        met.iter().for_each(|object| {
            seen.remove(object);
        });
    }
    match walked {
        Ok(()) => Ok(true),
        Err(error) => unread(error).map(|()| false),
    }
}

/// Passes over an object that is damaged or not there. One that the system does not let be read may be whole.
fn unread(error: ReadError) -> Result<(), RebuildError> {
    match error {
        ReadError::Io { place, source } => Err(RebuildError::Io { place: place.into(), source }),
        _ => Ok(()),
    }
}
