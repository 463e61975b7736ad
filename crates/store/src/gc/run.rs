//! One cleanup from beginning to end, in the order that makes it safe.
//!
//! Owns the order. Refuses to know the catalog: it is told what it must answer as [`Ledger`].

use std::collections::{HashMap, HashSet};
use std::error::Error;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use rustix::fs::{Access, AtFlags, CWD, accessat};
use rustix::io::Errno;
use wfr_model::{Digest, PackId};

use super::leases::{self, Lease, Turn};
use super::{GcError, Marked, Plan, Rules, deletable, delete, lock, mark, plan, recheck, repack, usage};
use crate::crypto::Cipher;
use crate::object::ObjectKind;
use crate::pack::{self, Extent};
use crate::reader::Store;
use crate::record::Coding;
use crate::vault::Vault;

/// What the catalog says of a pack.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PackFact {
    /// Which, and how far it is committed.
    pub extent: Extent,
    /// The generation of its tombstone; `None` while it is live.
    pub tombstone: Option<i64>,
}

/// Whatever the catalog's error is.
pub type LedgerError = Box<dyn Error + Send + Sync>;

/// What cleanup must know of the catalog and tell it. Every call reads or writes the catalog as it is then.
pub trait Ledger {
    /// All packs.
    fn packs(&self) -> Result<Vec<PackFact>, LedgerError>;
    /// Everything from which objects are reached: checkpoints, recoveries with their safety checkpoints, and whatever
    /// else names objects.
    fn roots(&self) -> Result<Vec<(ObjectKind, Digest)>, LedgerError>;
    /// The same of what no commit covers of the packs: the catalog may be too old to know it.
    fn uncommitted(&self) -> Result<Vec<(ObjectKind, Digest)>, LedgerError>;
    /// How many cleanups have tombstoned packs.
    fn generation(&self) -> Result<i64, LedgerError>;
    /// Commits extents and tombstones packs, in one transaction, under a new generation.
    fn replace(&self, extents: &[Extent], old: &[PackId]) -> Result<(), LedgerError>;
    /// Makes tombstoned packs live again.
    fn revive(&self, packs: &[PackId]) -> Result<(), LedgerError>;
    /// Removes the rows of tombstoned packs.
    fn forget(&self, packs: &[PackId]) -> Result<(), LedgerError>;
}

/// How a cleanup is done.
#[derive(Clone, Copy, Debug)]
pub struct Options<'a> {
    /// When packs are rewritten.
    pub rules: Rules,
    /// How rewritten objects are compressed.
    pub coding: Coding,
    /// Whether checkpoints go that the catalog does not know. Who asks for it knows that the catalog is not too old.
    pub drops_unknown: bool,
    /// Set from outside to give up.
    pub abort: &'a AtomicBool,
}

/// What a cleanup did.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Report {
    /// Packs that are gone.
    pub deleted: Vec<PackId>,
    /// Bytes of their files.
    pub freed_bytes: u64,
    /// Bytes by which other packs grew.
    pub written_bytes: u64,
    /// Objects that were written again.
    pub rewritten_objects: u64,
    /// Packs that go at a later cleanup: a session that is older still runs, or a process has the file locked.
    pub waiting: Vec<PackId>,
    /// Packs that were to go and are needed after all.
    pub revived: Vec<PackId>,
    /// Packs that stay as they are because an object in them is damaged.
    pub damaged: Vec<PackId>,
    /// Packs that hold manifests which the catalog does not know: it may be older than the store. They stay.
    pub unknown: Vec<PackId>,
    /// Leftovers of dead sessions that were removed.
    pub leftovers: u64,
}

/// Cleans up: first what earlier cleanups left, then packs that nobody needs, which takes no room, then those worth
/// rewriting. After any error, or the death of the process, the store is whole and the next cleanup goes on.
pub fn run(
    _turn: &Turn,
    vault: &Vault,
    cipher: Option<&Arc<Cipher>>,
    ledger: &dyn Ledger,
    options: &Options<'_>,
) -> Result<Report, GcError> {
    let leases = vault.leases();
    let at = |source| GcError::Io { place: leases.display().to_string(), source };
    let mut cleanup = Cleanup { vault, cipher, ledger, options, report: Report::default() };
    if let Some(alone) = leases::alone(&leases).map_err(at)? {
        let dirs: Vec<PathBuf> = vec![vault.dir().to_owned(), vault.index(), vault.keys(), vault.cache()];
        cleanup.report.leftovers = alone.remove_temporary(&dirs).map_err(at)?;
        cleanup.strays(&alone)?;
    }
    let lease = Lease::begin(&leases).map_err(at)?;
    lease.rely_on(ledger.generation()?).map_err(at)?;
    let marked = cleanup.settle(&lease)?;
    let whole = cleanup.plan(&marked)?;
    cleanup.carry_out(Plan { repack: vec![], ..whole.clone() }, &marked)?;
    cleanup.settle(&lease)?;
    cleanup.carry_out(Plan { delete: vec![], ..whole }, &marked)?;
    cleanup.settle(&lease)?;
    Ok(cleanup.report)
}

/// Refuses a store in which this process could not remove packs, or write them anew: to be asked before anything is given up
/// whose bytes [`run`] is to free.
pub fn check_writable(vault: &Vault) -> Result<(), GcError> {
    let failed = |place: &Path, source| GcError::Io { place: place.display().to_string(), source };
    let check = |place: &Path, access| match accessat(CWD, place, access, AtFlags::EACCESS) {
        // Another process may have removed it just now.
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(errno) => Err(failed(place, errno.into())),
    };
    let packs = vault.packs();
    for dir in [&packs, &vault.leases()] {
        check(dir, Access::READ_OK | Access::WRITE_OK | Access::EXEC_OK)?;
    }
    for entry in std::fs::read_dir(&packs).map_err(|source| failed(&packs, source))? {
        let entry = entry.map_err(|source| failed(&packs, source))?;
        if entry.file_name().to_str().and_then(pack::id_of).is_some() {
            check(&entry.path(), Access::READ_OK | Access::WRITE_OK)?;
        }
    }
    Ok(())
}

/// What a cleanup would do; changes nothing. Where a cleanup is under way, what it deletes may be missed here.
pub fn preview(
    vault: &Vault,
    cipher: Option<&Arc<Cipher>>,
    ledger: &dyn Ledger,
    options: &Options<'_>,
) -> Result<Plan, GcError> {
    let cleanup = Cleanup { vault, cipher, ledger, options, report: Report::default() };
    cleanup.plan(&cleanup.mark()?)
}

impl From<LedgerError> for GcError {
    fn from(source: LedgerError) -> Self {
        Self::Ledger(source)
    }
}

struct Cleanup<'a> {
    vault: &'a Vault,
    cipher: Option<&'a Arc<Cipher>>,
    ledger: &'a dyn Ledger,
    options: &'a Options<'a>,
    report: Report,
}

impl Cleanup<'_> {
    fn open(&self, facts: &[PackFact], with_tombstones: bool) -> Result<Store, GcError> {
        let wanted = facts.iter().filter(|fact| with_tombstones || fact.tombstone.is_none());
        let extents = wanted.map(|fact| fact.extent.clone()).collect();
        Store::open(self.vault, extents, self.cipher.cloned())
            .map_err(|source| GcError::Io { place: self.vault.dir().display().to_string(), source })
    }

    /// Marks from all roots there are now, reading from every pack there is.
    fn mark(&self) -> Result<Marked, GcError> {
        // The roots come first: what they lead to lies in packs that are committed by now.
        let roots = self.ledger.roots()?;
        let facts = self.ledger.packs()?;
        let mut marked = Marked::default();
        mark(&self.open(&facts, true)?, roots.into_iter(), &mut marked, self.options.abort)?;
        self.mark_uncommitted(&facts, &mut marked)?;
        Ok(marked)
    }

    /// Marks what checkpoints need that no commit covers, as far as it can be found: they may have been torn.
    fn mark_uncommitted(&self, facts: &[PackFact], marked: &mut Marked) -> Result<(), GcError> {
        let roots = self.ledger.uncommitted()?;
        if roots.is_empty() {
            return Ok(());
        }
        let at = |source| GcError::Io { place: self.vault.packs().display().to_string(), source };
        let mut extents: HashMap<PackId, u64> =
            facts.iter().map(|fact| (fact.extent.pack.clone(), fact.extent.committed)).collect();
        for entry in std::fs::read_dir(self.vault.packs()).map_err(at)? {
            let entry = entry.map_err(at)?;
            let Some(id) = entry.file_name().to_str().and_then(pack::id_of) else { continue };
            let length = entry.metadata().map_or(0, |meta| meta.len());
            let known = extents.entry(id).or_default();
            *known = length.max(*known);
        }
        let extents = extents.into_iter().map(|(pack, committed)| Extent { pack, committed }).collect();
        // Nothing is written through it, so no index takes in what is not committed.
        let store = Store::open(self.vault, extents, self.cipher.cloned()).map_err(at)?;
        for root in roots {
            match mark(&store, std::iter::once(root), marked, self.options.abort) {
                Err(GcError::Read(_)) => {}
                ended => ended?,
            }
        }
        Ok(())
    }

    fn plan(&self, marked: &Marked) -> Result<Plan, GcError> {
        let live = self.open(&self.ledger.packs()?, false)?;
        Ok(plan(&usage(&live, marked), self.options.rules))
    }

    /// Deletes tombstoned packs as far as that is safe, and revives those that are needed.
    fn settle(&mut self, lease: &Lease) -> Result<Marked, GcError> {
        let leases = self.vault.leases();
        // The leases come first: a session that has ended by now has committed by now, so its roots are seen below.
        let oldest = leases::oldest(&leases, Some(lease))
            .map_err(|source| GcError::Io { place: leases.display().to_string(), source })?;
        let marked = self.mark()?;
        let facts = self.ledger.packs()?;
        let tombstones: Vec<(PackId, i64)> =
            facts.iter().filter_map(|fact| Some((fact.extent.pack.clone(), fact.tombstone?))).collect();
        if tombstones.is_empty() {
            self.report.waiting.clear();
            return Ok(marked);
        }
        let ids: Vec<PackId> = tombstones.iter().map(|(id, _)| id.clone()).collect();
        let (live, all) = (self.open(&facts, false)?, self.open(&facts, true)?);
        let again = recheck(&live, &all, &marked, &ids);
        if !again.revive.is_empty() {
            self.ledger.revive(&again.revive)?;
            self.report.revived.extend(again.revive);
        }
        let free = deletable(&tombstones, oldest);
        let now: Vec<PackId> = again.delete.iter().filter(|id| free.contains(id)).cloned().collect();
        let (gone, bytes) = delete(&self.vault.packs(), &now)?;
        self.ledger.forget(&gone)?;
        self.report.waiting = again.delete.into_iter().filter(|id| !gone.contains(id)).collect();
        self.report.freed_bytes += bytes;
        self.report.deleted.extend(gone);
        Ok(marked)
    }

    /// Removes packs that the catalog does not know and that no session is writing, and what lies beyond the committed end
    /// of the others: their sessions died before the catalog was told. Where a manifest is in any of it that the catalog does
    /// not know, it may be the catalog that is too old, and all of it stays, in packs of its own, unless it is asked for.
    fn strays(&mut self, _alone: &leases::Alone) -> Result<(), GcError> {
        let at = |source| GcError::Io { place: self.vault.packs().display().to_string(), source };
        let known: HashMap<PackId, u64> =
            self.ledger.packs()?.into_iter().map(|fact| (fact.extent.pack, fact.extent.committed)).collect();
        let (mut strays, mut tails) = (Vec::new(), Vec::new());
        let mut manifests = HashSet::new();
        for entry in std::fs::read_dir(self.vault.packs()).map_err(at)? {
            let entry = entry.map_err(at)?;
            let Some(id) = entry.file_name().to_str().and_then(pack::id_of) else { continue };
            let committed = known.get(&id).copied();
            let file = File::open(pack::path(&self.vault.packs(), &id)).map_err(at)?;
            let length = file.metadata().map_err(at)?.len();
            if committed.is_some_and(|committed| length <= committed) {
                continue;
            }
            let (found, _) = pack::scan(&file, committed.unwrap_or(0), length).map_err(at)?;
            let of_manifests = found.iter().filter(|record| record.header.kind == ObjectKind::Manifest);
            manifests.extend(of_manifests.map(|record| record.header.disk_id));
            match committed {
                Some(committed) => tails.push(Extent { pack: id, committed }),
                None => strays.push(id),
            }
        }
        if !manifests.is_empty() && !self.options.drops_unknown && !self.knows_all(&manifests)? {
            self.report.unknown = strays;
            for tail in tails {
                // What is committed of the pack can be collected then. Where there is no room to move it, it stays there.
                let moved = match pack::part(&self.vault.packs(), &tail) {
                    Err(error) if crate::reserve::is_full(&error) => None,
                    moved => moved.map_err(at)?,
                };
                self.report.unknown.push(moved.unwrap_or(tail.pack));
            }
            return Ok(());
        }
        if !strays.is_empty() {
            let (gone, bytes) = delete(&self.vault.packs(), &strays)?;
            self.report.leftovers += gone.len() as u64;
            self.report.freed_bytes += bytes;
        }
        for tail in tails {
            let bytes = pack::cut(&self.vault.packs(), &tail).map_err(at)?;
            self.report.leftovers += u64::from(bytes > 0);
            self.report.freed_bytes += bytes;
        }
        Ok(())
    }

    /// Whether the catalog knows all of these manifests, as of an import that was done again.
    fn knows_all(&self, manifests: &HashSet<Digest>) -> Result<bool, GcError> {
        let roots = self.ledger.roots()?.into_iter().filter(|(kind, _)| *kind == ObjectKind::Manifest);
        let known: HashSet<Digest> =
            roots.map(|(_, id)| self.cipher.map_or(id, |cipher| cipher.disk_id(&id))).collect();
        Ok(manifests.is_subset(&known))
    }

    /// Rewrites and tombstones what a plan says.
    fn carry_out(&mut self, mut plan: Plan, marked: &Marked) -> Result<(), GcError> {
        if plan.packs().is_empty() {
            return Ok(());
        }
        let facts = self.ledger.packs()?;
        let live = self.open(&facts, false)?;
        let _locked = lock(&live, &mut plan)?;
        let writer = live.writer(self.options.coding, None).avoiding(&plan.packs());
        let rewritten = repack(&live, &writer, &plan.repack, marked, self.options.abort)?;
        let sealed = writer.finish()?;
        let old: Vec<PackId> = plan.delete.iter().chain(&rewritten.done).cloned().collect();
        if !old.is_empty() || !sealed.extents().is_empty() {
            self.ledger.replace(sealed.extents(), &old)?;
        }
        self.report.written_bytes += sealed.added().stored_bytes;
        self.report.rewritten_objects += rewritten.objects;
        self.report.damaged.extend(rewritten.kept);
        sealed.publish();
        Ok(())
    }
}
