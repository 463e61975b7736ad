//! Removing checkpoints that no rule keeps, and the bytes that nothing needs then.
//!
//! Owns the order: decide, make sure that bytes can be freed, delete rows, collect. Refuses to decide by itself what is worth keeping: that is
//! [`wfr_model::retention`].

use std::collections::{BTreeMap, HashSet};
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use wfr_catalog::{Catalog, CatalogError, CheckpointRow, Generation, ListQuery, NewOperation, PackState, Sparing};
use wfr_model::entry::{Entry, Node};
use wfr_model::retention::{Candidate, Decision, Retention, Standing, decide};
use wfr_model::{CheckpointId, Digest, PackId, Timestamp, WorkflowId};
use wfr_store::ObjectKind;
use wfr_store::gc::leases::{self, Turn};
use wfr_store::gc::run::{self, Ledger, LedgerError, Options, PackFact, Report};
use wfr_store::gc::{GcError, Rules};
use wfr_store::object::hash;
use wfr_store::pack::Extent;
use wfr_store::reach::{self, Roots};
use wfr_store::record::Coding;

use crate::error::Failure;
use crate::holding;
use crate::ledger;
use crate::open::{Open, OpenError};
use crate::{unknown, view};

/// So many of the newest recoveries can be undone where nothing else is asked for: cleanup keeps what they need.
pub const UNDOABLE_MAX: u32 = 10;

/// The level of zstd for packs that are compressed harder: a third of the speed, about a tenth smaller.
const ARCHIVE_LEVEL: i32 = 12;

/// Why nothing, or not all, was cleaned up. What was deleted stays deleted; nothing that is kept is lost.
#[derive(Debug, thiserror::Error)]
pub enum CleanupError {
    /// The workspace could not be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The catalog refused.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// Another cleanup has its turn.
    #[error("another cleanup of this store is under way")]
    Underway,
    /// The leases could not be read or written.
    #[error("cannot clean up at {}", place.display())]
    Turn {
        /// Their directory.
        place: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Other checkpoints would go than those that somebody agreed to.
    #[error("other checkpoints would be removed than the dry run with this digest said")]
    Stale,
    /// The store could not be collected.
    #[error(transparent)]
    Collect(#[from] GcError),
}

impl CleanupError {
    /// Whether the disk was full.
    pub fn is_disk_full(&self) -> bool {
        let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(self);
        while let Some(error) = cause {
            let io = error.downcast_ref::<std::io::Error>();
            if io.is_some_and(wfr_store::reserve::is_full)
                || matches!(error.downcast_ref(), Some(CatalogError::Full { .. }))
            {
                return true;
            }
            cause = error.source();
        }
        false
    }
}

/// What is to be kept and how.
#[derive(Clone, Debug)]
pub struct Request {
    /// Of this workflow only; of all where `None`.
    pub workflow: Option<WorkflowId>,
    /// The rules.
    pub policy: Retention,
    /// Whether critical checkpoints stay whatever the rules say.
    pub preserve_critical: bool,
    /// Whether packs are compressed harder.
    pub recompress: bool,
    /// So many of the newest recoveries stay undoable.
    pub undoable: u32,
    /// Whether checkpoints go that no commit covers.
    pub drop_uncommitted: bool,
    /// What somebody agreed to, as [`Request::digest`] says it; anything where it is not given.
    pub agreed: Option<Digest>,
}

impl Request {
    /// What tells one cleanup from another: how it goes about it, and which checkpoints go.
    pub fn digest(&self, removed: &[CheckpointId]) -> Digest {
        let mut removed: Vec<&str> = removed.iter().map(CheckpointId::as_str).collect();
        removed.sort_unstable();
        let workflow = self.workflow.as_ref().map(WorkflowId::as_str);
        let say = serde_json::json!([workflow, self.recompress, self.undoable, self.drop_uncommitted, removed]);
        hash(say.to_string().as_bytes())
    }
}

/// What a cleanup decided.
#[derive(Clone, Debug)]
pub struct Judged {
    /// The checkpoints concerned, oldest first in each workflow.
    pub rows: Vec<CheckpointRow>,
    /// The fate of each.
    pub decisions: Vec<Decision>,
}

/// Decides over every checkpoint concerned.
pub fn judge(open: &Open, request: &Request, now: Timestamp) -> Result<Judged, CatalogError> {
    let rows = open.catalog.list(&ListQuery { workflow: request.workflow.clone(), ..ListQuery::default() })?;
    let pinned: HashSet<CheckpointId> = open.catalog.pinned_checkpoints(request.undoable)?.into_iter().collect();
    let mut workflows: BTreeMap<WorkflowId, Vec<CheckpointRow>> = BTreeMap::new();
    for row in rows {
        workflows.entry(row.workflow_id.clone()).or_default().push(row);
    }
    let (mut all, mut decisions) = (Vec::new(), Vec::new());
    for mut rows in workflows.into_values() {
        rows.sort_by_key(|row| row.seq);
        let candidates: Vec<Candidate> = rows.iter().map(|row| candidate(row, &pinned)).collect();
        decisions.extend(decide(&candidates, &request.policy, request.preserve_critical, now));
        all.extend(rows);
    }
    Ok(Judged { rows: all, decisions })
}

fn candidate(row: &CheckpointRow, pinned: &HashSet<CheckpointId>) -> Candidate {
    Candidate {
        id: row.checkpoint_id.clone(),
        name: row.name.clone(),
        created_at: row.created_at,
        checkpoint_type: row.checkpoint_type,
        trigger: row.trigger,
        tags: row.tags.clone(),
        own: row.retention.as_deref().and_then(|text| text.parse().ok()),
        standing: match (row.is_damaged(), row.complete) {
            (true, _) => Standing::Damaged,
            (false, false) => Standing::Incomplete,
            (false, true) => Standing::Whole,
        },
        state_only: !row.has_files,
        pinned: pinned.contains(&row.checkpoint_id),
        safety: row.is_safety(),
    }
}

/// Bytes that collecting would free if these checkpoints were gone; reads only.
pub fn preview(open: &Open, gone: &[CheckpointId], request: &Request, abort: &AtomicBool) -> Result<u64, CleanupError> {
    let _turn = match turn(open) {
        // It cannot be taken where the vault is only readable; nobody cleans up there either.
        Err(CleanupError::Turn { .. }) => None,
        taken => Some(taken?),
    };
    let without = gone.iter().cloned().collect();
    let books = Books { open, catalog: &open.catalog, without, undoable: request.undoable };
    open.unlock()?;
    let plan = run::preview(&open.vault, open.cipher(), &books, &options(open, request, abort))?;
    Ok(plan.reclaimed_bytes)
}

/// Deletes checkpoints that were chosen; returns those that are gone. What a recovery saved meanwhile stays.
pub fn delete_chosen(
    open: &Open,
    rows: &[CheckpointRow],
    undoable: u32,
    audit: &NewOperation,
) -> Result<Vec<CheckpointId>, CatalogError> {
    let sparing = Sparing { undoable_max: undoable, beginning: Some(holding::OF_RECOVERIES) };
    delete_but(open, rows, &sparing, audit)
}

/// Deletes a checkpoint that was made for something that did not come about. One that an unfinished recovery needs stays.
pub fn withdraw(open: &Open, row: &CheckpointRow, audit: &NewOperation) -> Result<(), CatalogError> {
    delete_but(open, std::slice::from_ref(row), &Sparing::default(), audit).map(drop)
}

fn delete_but(
    open: &Open,
    rows: &[CheckpointRow],
    sparing: &Sparing<'_>,
    audit: &NewOperation,
) -> Result<Vec<CheckpointId>, CatalogError> {
    let ids: Vec<CheckpointId> = rows.iter().map(|row| row.checkpoint_id.clone()).collect();
    let gone = open.catalog.delete_checkpoints(&ids, sparing, audit)?;
    for row in rows.iter().filter(|row| gone.contains(&row.checkpoint_id)) {
        // Derived: what stays behind misleads nobody, the catalog is asked first.
        let _ = view::withdraw(open.root(), row.workflow_id.as_str(), row.checkpoint_type, &row.name);
    }
    Ok(gone)
}

/// Takes the turn for a cleanup, which ends with what is returned.
pub fn turn(open: &Open) -> Result<Turn, CleanupError> {
    let place = open.vault.leases();
    leases::turn(&place).map_err(|source| CleanupError::Turn { place, source })?.ok_or(CleanupError::Underway)
}

/// Makes sure that what is deleted can be collected after that, as far as it can be known before: that there is a key, and that
/// the store can be written.
pub fn check(open: &Open) -> Result<(), CleanupError> {
    open.unlock()?;
    Ok(run::check_writable(&open.vault)?)
}

/// Collects what nothing needs. `open` must not have opened its store: cleanup tells by leases whether anyone works.
pub fn collect(open: &Open, turn: &Turn, request: &Request, abort: &AtomicBool) -> Result<Report, CleanupError> {
    open.unlock()?;
    let books = Books { open, catalog: &open.catalog, without: HashSet::new(), undoable: request.undoable };
    Ok(run::run(turn, &open.vault, open.cipher(), &books, &options(open, request, abort))?)
}

fn options<'a>(open: &Open, request: &Request, abort: &'a AtomicBool) -> Options<'a> {
    let recompress = request.recompress;
    let rules = Rules { recompress, ..Rules::default() };
    let coding = if recompress { Coding { level: Some(ARCHIVE_LEVEL) } } else { open.coding() };
    Options { rules, coding, drops_unknown: request.drop_uncommitted, abort }
}

/// The catalog as cleanup sees it.
struct Books<'o> {
    open: &'o Open,
    catalog: &'o Catalog,
    /// Checkpoints that count as deleted.
    without: HashSet<CheckpointId>,
    /// So many of the newest recoveries stay undoable.
    undoable: u32,
}

impl Ledger for Books<'_> {
    fn packs(&self) -> Result<Vec<PackFact>, LedgerError> {
        let rows = self.catalog.packs()?;
        let facts = rows.into_iter().map(|row| PackFact {
            extent: Extent { pack: row.pack_id, committed: row.committed_len },
            tombstone: match row.state {
                PackState::Live => None,
                PackState::Tombstone(Generation(generation)) => Some(generation),
            },
        });
        Ok(facts.collect())
    }

    fn roots(&self) -> Result<Vec<(ObjectKind, Digest)>, LedgerError> {
        let found = self.catalog.roots(self.undoable)?;
        let roots = found.into_iter().flat_map(|root| {
            let has_files = !self.without.contains(&root.checkpoint_id);
            let all = Roots {
                manifest: Some(root.manifest),
                tree: root.tree.filter(|_| has_files),
                links: root.hard_links.filter(|_| has_files),
                coverage: root.coverage.filter(|_| has_files),
                state: root.state.filter(|_| has_files),
                seals: vec![],
            };
            all.objects()
        });
        let seals = self.catalog.seals()?.into_iter().map(|seal| (ObjectKind::Seal, seal.object));
        // What a look is compared with, and every version that a change of the ledger left or found.
        let tree = self.catalog.ledger_tree()?.map(|tree| (ObjectKind::Tree, tree));
        let mut versions = HashSet::new();
        let veil = ledger::Veil::of(self.open)?;
        let mut first: Option<Failure> = None;
        self.open.catalog.ledger_entries(&mut |bytes| match veil.opened(bytes) {
            // Of a directory the ledger has no tree: what is below it stands at its own paths.
            Ok(Entry { node: Node::Dir(_), .. }) => {}
            Ok(entry) => versions.extend(reach::below(&entry.node)),
            Err(failure) => first = first.take().or(Some(failure)),
        })?;
        // One that cannot be read may name anything: then nothing may go.
        first.map_or(Ok(()), |failure| Err(failure.message))?;
        let ledgers = self.catalog.ledger_seals()?.into_iter().map(|object| (ObjectKind::Seal, object));
        let imports = self.catalog.imports()?.into_iter().map(|object| (ObjectKind::Import, object));
        Ok(roots.chain(seals).chain(imports).chain(ledgers).chain(tree).chain(versions).collect())
    }

    fn uncommitted(&self) -> Result<Vec<(ObjectKind, Digest)>, LedgerError> {
        let found = unknown::packed(self.open, self.open.cipher().map(AsRef::as_ref))?;
        let roots = found.into_iter().flat_map(|(new, manifest)| {
            let events = manifest.sealed_events.into_iter().map(|sealed| sealed.object);
            let changes = manifest.sealed_ledger.into_iter().map(|sealed| sealed.object);
            let all = Roots {
                manifest: Some(new.manifest),
                tree: new.tree,
                links: new.hard_links,
                coverage: new.coverage,
                state: new.state,
                seals: events.chain(changes).collect(),
            };
            all.objects()
        });
        Ok(roots.collect())
    }

    fn generation(&self) -> Result<i64, LedgerError> {
        Ok(self.catalog.generation()?.0)
    }

    fn replace(&self, extents: &[Extent], old: &[PackId]) -> Result<(), LedgerError> {
        let extents: Vec<_> = extents.iter().map(|extent| (extent.pack.clone(), extent.committed)).collect();
        self.catalog.replace_packs(&extents, old)?;
        Ok(())
    }

    fn revive(&self, packs: &[PackId]) -> Result<(), LedgerError> {
        Ok(self.catalog.revive_packs(packs)?)
    }

    fn forget(&self, packs: &[PackId]) -> Result<(), LedgerError> {
        Ok(self.catalog.forget_packs(packs)?)
    }
}
