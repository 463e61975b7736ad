//! Taking a checkpoint: scan, store, commit, export.
//!
//! Owns the order of these and what the manifest says. Refuses to know who asked and how it is shown.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;

use wfr_catalog::{CatalogError, EventSeq, Head, ListQuery, NewCheckpoint, NewOperation, NewPoint};
use wfr_model::checkpoint::{
    CheckpointType, CoverageSummary, FileCounts, FileSystemState, INLINE_PATHS_MAX, Integrity, MANIFEST_VERSION,
    Manifest, Metadata, ModifiedFile, Predecessor, SealedChanges, SealedEvents, Trigger, VerificationStatus,
};
use wfr_model::config::DependencyValidation;
use wfr_model::coverage::Coverage;
use wfr_model::entry::{Entry, Node};
use wfr_model::{Digest, OperationId, PackId, Timestamp, TreePath, WorkflowId};
use wfr_store::scan::{self, Scan};
use wfr_store::state::StateError;
use wfr_store::tree::{self, Difference};
use wfr_store::writer::{Sealed, Writer};
use wfr_store::{ObjectKind, ReadError, Sink, Store, WriteError, reserve};

use crate::dependencies;
use crate::error::Failure;
use crate::exports;
use crate::ledger;
use crate::mint;
use crate::mounted;
use crate::names;
use crate::open::{Open, OpenError};
use crate::repositories;
use crate::scanning::{self, Effort};
use crate::session::Session;
use crate::state;
use crate::view;

/// What is to be taken.
#[derive(Clone, Debug)]
pub struct Request {
    /// The workflow it is taken for; registered where it is not known.
    pub workflow: WorkflowId,
    /// Its type.
    pub checkpoint_type: CheckpointType,
    /// What caused it; `None`: the type's own.
    pub trigger: Option<Trigger>,
    /// The id in the audit trail; `None`: a new one.
    pub operation: Option<OperationId>,
    /// Its name; `None`: made from type, phase and time.
    pub name: Option<String>,
    /// What a name is made from where none is given; `None`: type, phase and time.
    pub base_name: Option<String>,
    /// Its tags.
    pub tags: Vec<String>,
    /// The phase's number and name.
    pub phase: (Option<i64>, Option<String>),
    /// How long it is kept, as text; `None` follows the configuration.
    pub retention: Option<String>,
    /// Whether files are captured; `false` takes state only.
    pub with_files: bool,
    /// Whether its state is stored as its rows are, whatever is noted of those that changed since the last checkpoint.
    pub distrusts_notes: bool,
    /// Whether it is not taken where it cannot be a look of the ledger that is kept: what follows builds on that.
    pub needs_look: bool,
    /// What the workflow needs.
    pub needs: Needs,
    /// Who asked, for the audit trail.
    pub actor: String,
}

/// Where a checkpoint's block of dependencies comes from.
#[derive(Clone, Debug, Default)]
pub enum Needs {
    /// They are looked for while the tree is scanned.
    #[default]
    Probed,
    /// They are named, and nothing is looked for.
    Named,
}

impl Request {
    /// A plain request for a workflow, of a type.
    pub fn new(workflow: WorkflowId, checkpoint_type: CheckpointType, actor: &str) -> Self {
        Self {
            workflow,
            checkpoint_type,
            trigger: None,
            operation: None,
            name: None,
            base_name: None,
            tags: vec![],
            phase: (None, None),
            retention: None,
            with_files: true,
            distrusts_notes: false,
            needs_look: false,
            needs: Needs::Probed,
            actor: actor.to_owned(),
        }
    }
}

/// What was taken.
#[derive(Clone, Debug)]
pub struct Created {
    /// Its manifest.
    pub manifest: Manifest,
    /// The manifest's hash.
    pub manifest_hash: Digest,
    /// What it does not cover.
    pub coverage: Coverage,
}

/// Why a checkpoint was not taken. Nothing was committed.
#[derive(Debug, thiserror::Error)]
pub enum CreateError {
    /// The workspace could not be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The tree could not be scanned.
    #[error(transparent)]
    Scan(#[from] scan::ScanError),
    /// The store could not be written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// The store could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The catalog refused.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// The ledger could not be read, or is damaged.
    #[error("{}", .0.message)]
    Ledger(Box<Failure>),
    /// Asked from outside to give up.
    #[error("interrupted before the checkpoint was committed")]
    Interrupted,
    /// Other processes took checkpoints faster than this one could commit.
    #[error("other processes kept committing: gave up after {0} tries")]
    Contended(u32),
}

impl From<Failure> for CreateError {
    fn from(failure: Failure) -> Self {
        Self::Ledger(Box::new(failure))
    }
}

impl From<StateError> for CreateError {
    fn from(error: StateError) -> Self {
        match error {
            StateError::Read(error) => error.into(),
            StateError::Write(error) => error.into(),
        }
    }
}

/// How often a commit is tried again when another process committed first.
const TRIES_MAX: u32 = 1_000;

/// The tree part of a checkpoint in the making.
struct Captured {
    scan: Scan,
    coverage_id: Option<Digest>,
}

/// All of a checkpoint in the making that is in the store already.
struct Stored<'s> {
    tree: Option<&'s Captured>,
    state: Option<state::Captured>,
    seals: Vec<SealedEvents>,
    needs: Option<serde_json::Value>,
    /// The look that it is, where the ledger is kept.
    point: Option<NewPoint>,
    /// The ledger since the last seal, with that look.
    sealed_ledger: Vec<SealedChanges>,
}

/// Takes a checkpoint.
pub fn create(open: &Open, request: &Request, session: &Session, effort: Effort) -> Result<Created, CreateError> {
    // Before anything is stored for it; another process may still be faster, so the commit asks again.
    if let Some(name) = &request.name {
        open.catalog.check_name_free(&request.workflow, name)?;
    }
    let store = open.store_to_write()?;
    let writer = store.writer(open.coding(), scanning::room(open, &store));
    // They are looked for while the tree is scanned.
    let how = match request.needs {
        Needs::Probed => open.config.recovery_configuration.validation_settings.dependency_validation,
        Needs::Named => DependencyValidation::None,
    };
    let probing = dependencies::for_checkpoint(open, session, &request.workflow, how)?;
    // Where the ledger is kept a checkpoint is a look like any other, and has its turn.
    let keeps_ledger = request.with_files && ledger::is_kept(open)?;
    let _turn = if keeps_ledger { Some(ledger::turn(session, open)?) } else { None };
    let captured = if request.with_files { Some(capture(open, &writer, session, effort)?) } else { None };
    let scan = captured.as_ref().map(|captured| &captured.scan);
    let joined = match keeps_ledger {
        true => ledger::join(session, open, &writer, scan, !request.needs_look)?,
        false => ledger::Joined::default(),
    };
    let stored = Stored {
        sealed_ledger: joined.sealed,
        point: joined.point,
        tree: captured.as_ref(),
        state: state::capture(
            &open.catalog,
            &writer,
            (&request.workflow, !request.distrusts_notes, session.now()),
            &|told| session.noted.tell(told),
        )?,
        seals: state::seal(&open.catalog, &writer)?,
        needs: probing.map(|probing| dependencies::kept(how, probing.finish(), session.now())),
    };
    let created = commit(open, &store, writer, request, &stored, session)?;
    if let Some(captured) = &captured {
        scanning::save_cache(open, &captured.scan, &store);
    }
    // Room for a full disk that an earlier command gave up: where it is full still, the next one tries.
    let _ = reserve::refill(open.vault.dir());
    exports::restore_view(open);
    // Derived: `wfr` writes it again where it is missing.
    let _ = view::export(open.root(), &created.manifest);
    Ok(created)
}

fn capture(open: &Open, writer: &Writer<'_>, session: &Session, effort: Effort) -> Result<Captured, CreateError> {
    let scan = scanning::scan_workspace(open, writer, session, effort)?;
    let coverage_id = if scan.coverage.skips.is_empty() && scan.coverage.kept.is_empty() {
        None
    } else {
        let bytes = serde_json::to_vec(&scan.coverage).expect("coverage has string keys only");
        Some(writer.put_new(ObjectKind::Coverage, &bytes)?)
    };
    Ok(Captured { scan, coverage_id })
}

/// Builds the manifest on the chain's head and commits; again on the new head where another process was faster. An
/// interrupt counts until then. What was stored is given back where the catalog refused it.
fn commit<'s>(
    open: &Open,
    store: &'s Store,
    writer: Writer<'s>,
    request: &Request,
    stored: &Stored<'_>,
    session: &Session,
) -> Result<Created, CreateError> {
    let now = session.now();
    let mut draft = draft(open, &writer, request, stored, now)?;
    let first = put_manifest(&writer, &draft)?;
    let mut sealed = vec![writer.finish()?];
    match commit_sealed(open, (store, &mut sealed), (request, stored), (&mut draft, first), session) {
        Ok(hash) => {
            sealed.into_iter().for_each(Sealed::publish);
            let coverage = stored.tree.map(|captured| captured.scan.coverage.clone()).unwrap_or_default();
            Ok(Created { manifest: draft, manifest_hash: hash, coverage })
        }
        Err(error) => {
            if is_refused(&error) {
                sealed.into_iter().for_each(Sealed::withdraw);
            }
            Err(error)
        }
    }
}

/// Whether an error says that nothing was committed, for certain: a catalog that failed may have committed all the same.
fn is_refused(error: &CreateError) -> bool {
    match error {
        // What is written comes before the catalog is asked, and again only where it has refused.
        CreateError::Interrupted | CreateError::Contended(_) | CreateError::Write(_) => true,
        CreateError::Catalog(error) => error.is_rolled_back(),
        _ => false,
    }
}

/// Commits what is sealed; returns the hash of the manifest that was.
fn commit_sealed<'s>(
    open: &Open,
    (store, sealed): (&'s Store, &mut Vec<Sealed<'s>>),
    (request, stored): (&Request, &Stored<'_>),
    (draft, mut hash): (&mut Manifest, Digest),
    session: &Session,
) -> Result<Digest, CreateError> {
    let upto = stored.state.as_ref().and_then(|state| state.upto);
    for _ in 0..TRIES_MAX {
        if session.abort.load(Ordering::Relaxed) {
            return Err(CreateError::Interrupted);
        }
        match try_commit(open, draft, hash, (upto, stored.point.as_ref()), sealed, request) {
            Ok(()) => return Ok(hash),
            Err(CatalogError::HeadMoved { .. }) => {}
            Err(CatalogError::NameTaken { .. }) if request.name.is_none() => {
                draft.name = free_name(open, request, draft.created_at)?;
            }
            Err(error) => return Err(error.into()),
        }
        // A manifest names its predecessor: only it is written again, not the tree.
        draft.integrity.predecessor = predecessor(open)?;
        let again = store.writer(open.coding(), None);
        hash = put_manifest(&again, draft)?;
        sealed.push(again.finish()?);
    }
    Err(CreateError::Contended(TRIES_MAX))
}

fn put_manifest(writer: &Writer<'_>, manifest: &Manifest) -> Result<Digest, WriteError> {
    let bytes = serde_json::to_vec(manifest).expect("a manifest has string keys only");
    writer.put_new(ObjectKind::Manifest, &bytes)
}

fn predecessor(open: &Open) -> Result<Option<Predecessor>, CatalogError> {
    let head = open.catalog.head()?;
    Ok(head.as_ref().map(Head::link))
}

/// One transaction: the row, the packs' lengths, the audit trail.
fn try_commit(
    open: &Open,
    manifest: &Manifest,
    hash: Digest,
    (state_upto, point): (Option<EventSeq>, Option<&NewPoint>),
    sealed: &[Sealed<'_>],
    request: &Request,
) -> Result<(), CatalogError> {
    let mut new = NewCheckpoint { state_upto, ..NewCheckpoint::of(manifest, hash) };
    new.point = point.map(|point| NewPoint { checkpoint_id: Some(new.checkpoint_id.clone()), ..point.clone() });
    new.head_tag = open.cipher().map(|cipher| cipher.tag(HEAD_CONTEXT, &hash.0).to_vec());
    let extents = extents(sealed);
    let audit = NewOperation {
        operation_id: request.operation.clone().unwrap_or_else(mint::operation),
        operation: "create-checkpoint".to_owned(),
        actor: request.actor.clone(),
        at: manifest.created_at,
        workflow_id: Some(manifest.workflow_id.clone()),
        parameters: serde_json::json!({"name": manifest.name, "checkpoint_type": manifest.checkpoint_type}),
        inverse: None,
        result: serde_json::json!({"checkpoint_id": manifest.checkpoint_id}),
    };
    open.catalog.commit_checkpoint(&new, &extents, &audit).map(drop)
}

/// How far the packs go that were written, each once.
pub fn extents(sealed: &[Sealed<'_>]) -> Vec<(PackId, u64)> {
    let mut extents: Vec<(PackId, u64)> = Vec::new();
    for extent in sealed.iter().flat_map(Sealed::extents) {
        match extents.iter_mut().find(|known| known.0 == extent.pack) {
            Some(known) => known.1 = known.1.max(extent.committed),
            None => extents.push((extent.pack.clone(), extent.committed)),
        }
    }
    extents
}

/// What the tag on the chain's head is made for.
pub const HEAD_CONTEXT: &str = "wfr 1 head";

/// The tree of the newest checkpoint that has one.
fn newest_tree(open: &Open) -> Result<Option<Digest>, CatalogError> {
    let query = ListQuery { descending: true, limit: Some(16), ..ListQuery::default() };
    Ok(open.catalog.list(&query)?.into_iter().find_map(|row| row.tree))
}

fn free_name(open: &Open, request: &Request, now: Timestamp) -> Result<String, CreateError> {
    Ok(open.catalog.free_name(&request.workflow, &base_name(open, request, now)?)?)
}

fn base_name(open: &Open, request: &Request, now: Timestamp) -> Result<String, CatalogError> {
    if let Some(base) = &request.base_name {
        return Ok(base.clone());
    }
    let increment = match request.checkpoint_type {
        CheckpointType::Incremental => open.catalog.next_increment(&request.workflow)?,
        _ => 0,
    };
    let trigger = request.trigger.unwrap_or(request.checkpoint_type.default_trigger());
    Ok(names::default_name(request.checkpoint_type, trigger, request.phase.0, increment, now))
}

fn draft(
    open: &Open,
    writer: &Writer<'_>,
    request: &Request,
    stored: &Stored<'_>,
    now: Timestamp,
) -> Result<Manifest, CreateError> {
    let name = match &request.name {
        Some(name) => name.clone(),
        None => free_name(open, request, now)?,
    };
    let files = stored.tree.map(|captured| file_system_state(open, writer, captured)).transpose()?;
    Ok(Manifest {
        format_version: MANIFEST_VERSION,
        checkpoint_id: mint::checkpoint(),
        name,
        workflow_id: request.workflow.clone(),
        checkpoint_type: request.checkpoint_type,
        created_at: now,
        phase_id: request.phase.0,
        phase_name: request.phase.1.clone(),
        trigger: request.trigger.unwrap_or(request.checkpoint_type.default_trigger()),
        workflow_state: stored.state.as_ref().map(|state| state.summary.clone()),
        file_system_state: files,
        dependencies: stored.needs.clone(),
        integrity: Integrity {
            state_hash: stored.state.as_ref().map(|state| state.root),
            file_checksums: "tree".to_owned(),
            validation_timestamp: None,
            verification_status: VerificationStatus::Unknown,
            predecessor: predecessor(open)?,
        },
        sealed_events: stored.seals.clone(),
        sealed_ledger: stored.sealed_ledger.clone(),
        metadata: Metadata {
            size_bytes: writer.stored_bytes(),
            compression: open.coding().level.map_or("none".to_owned(), |level| format!("zstd-{level}")),
            retention_policy: request.retention.clone(),
            encryption: open.cipher().is_some(),
            tags: request.tags.iter().cloned().collect::<BTreeSet<_>>().into_iter().collect(),
        },
    })
}

/// The files' part of the manifest: counts and lists against the newest checkpoint that has files.
fn file_system_state(open: &Open, writer: &Writer<'_>, captured: &Captured) -> Result<FileSystemState, CreateError> {
    let scan = &captured.scan;
    let before = newest_tree(open)?;
    // What an earlier checkpoint lost cannot keep a new one from being taken: without it, all counts as new.
    let differences = before.and_then(|before| tree::diff(writer, &before, &scan.tree).ok());
    let mounts = mounted::among(open, &scan.mounts);
    let mut state = FileSystemState {
        workspace: wfr_model::path::escape(open.root().as_os_str().as_encoded_bytes()),
        tree: scan.tree,
        hard_links: scan.hard_links,
        root_mode: scan.root_meta.mode,
        root_mtime: Some(scan.root_meta.mtime),
        files: FileCounts {
            total: scan.counts.files,
            directories: scan.counts.directories,
            bytes: scan.counts.bytes,
            ..FileCounts::default()
        },
        modified_files: vec![],
        created_files: vec![],
        deleted_files: vec![],
        lists_truncated: false,
        directory_structure: "store".to_owned(),
        coverage: CoverageSummary {
            skipped: scan.coverage.sums(),
            complete: scan.coverage.is_complete(),
            paths: captured.coverage_id,
        },
        repositories: repositories::of(open, &scan.coverage),
        mounted_file_systems: mounted::file_systems(open, &mounts),
        mounts,
        unmounted: mounted::gone(open, writer, &scan.tree).unwrap_or_default(),
    };
    match differences {
        Some(differences) => {
            // What could not be reached this time is not gone.
            let is_news = |one: &&Difference| one.after.is_some() || scan.coverage.covering(&one.path).is_none();
            differences.iter().filter(is_news).for_each(|difference| note_difference(&mut state, difference));
        }
        None => note_all_new(&mut state, writer, &scan.tree)?,
    }
    Ok(state)
}

/// Lists the first paths of a tree that has none before it, and counts all of it as new.
fn note_all_new(state: &mut FileSystemState, writer: &Writer<'_>, root: &Digest) -> Result<(), ReadError> {
    state.files.added = state.files.total;
    state.lists_truncated = state.files.total > INLINE_PATHS_MAX as u64;
    let walked = tree::walk(writer, root, &mut |path, entry| {
        if !matches!(entry.node, Node::Dir(_)) {
            state.created_files.push(path.clone());
        }
        if state.created_files.len() == INLINE_PATHS_MAX { Err(Listed::Enough) } else { Ok(()) }
    });
    match walked {
        Err(Listed::Failed(error)) => Err(error),
        Ok(()) | Err(Listed::Enough) => Ok(()),
    }
}

/// Why a listing ended early.
enum Listed {
    Enough,
    Failed(ReadError),
}

impl From<ReadError> for Listed {
    fn from(error: ReadError) -> Self {
        Self::Failed(error)
    }
}

fn note_difference(state: &mut FileSystemState, difference: &Difference) {
    let is_dir = |entry: &Option<Entry>| matches!(entry, Some(Entry { node: Node::Dir(_), .. }) | None);
    if is_dir(&difference.before) && is_dir(&difference.after) {
        return;
    }
    match (&difference.before, &difference.after) {
        (Some(_), Some(after)) => {
            state.files.changed += 1;
            if state.modified_files.len() < INLINE_PATHS_MAX {
                state.modified_files.push(modified(&difference.path, after));
                return;
            }
        }
        (None, _) => {
            state.files.added += 1;
            if state.created_files.len() < INLINE_PATHS_MAX {
                state.created_files.push(difference.path.clone());
                return;
            }
        }
        (Some(_), None) => {
            state.files.removed += 1;
            if state.deleted_files.len() < INLINE_PATHS_MAX {
                state.deleted_files.push(difference.path.clone());
                return;
            }
        }
    }
    state.lists_truncated = true;
}

fn modified(path: &TreePath, after: &Entry) -> ModifiedFile {
    let content = match &after.node {
        Node::File(content) => Some(content),
        _ => None,
    };
    ModifiedFile {
        path: path.clone(),
        checksum: content.map(|content| content.hash),
        size: content.map_or(0, |content| content.size),
        modified_at: after.meta.mtime.to_timestamp(),
        backup_location: content.map_or_else(|| "tree".to_owned(), |content| format!("store:{}", content.hash)),
    }
}
