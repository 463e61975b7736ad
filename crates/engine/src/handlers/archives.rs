//! `import`, of an archive.
//!
//! Owns what comes in and in which order: objects, events, then checkpoints with the mark of the import. Refuses to know
//! what an archive's bytes are.

use std::collections::BTreeSet;

use serde_json::json;
use wfr_catalog::rebuild::Recovered;
use wfr_catalog::{Appended, CatalogError, Import as Mark, NewCheckpoint, Seal};
use wfr_model::checkpoint::{Manifest, SealedEvents};
use wfr_model::imported::{ImportMark, ImportedCheckpoint, MARK_VERSION};
use wfr_model::{CheckpointId, Event, WorkflowId};
use wfr_store::archive::{self, ArchiveError, ReadOptions};
use wfr_store::keys::Lock;
use wfr_store::reach::Roots;
use wfr_store::writer::Sealed;
use wfr_store::{ObjectKind, Objects, ReadError, Sink, Store};

use super::lasting::audit;
use super::{needed, shown};
use crate::checkpoint::extents;
use crate::error::{Code, Failure};
use crate::exchange::ids;
use crate::open::Open;
use crate::params::{Import, ImportFrom};
use crate::response::Success;
use crate::results::{IgnoredPart, Imported};
use crate::session::Session;
use crate::{failures, recovery, scanning, state, view, workspace};

/// How often an import is tried again when another process was faster.
const TRIES_MAX: u32 = 1_000;

/// Brings in what is in an archive, a hub or a plan.
pub fn import(session: &mut Session, parameters: Import) -> Result<Success<Imported>, Failure> {
    match parameters.from {
        ImportFrom::Archive => archived(session, parameters),
        ImportFrom::Hub | ImportFrom::Plan => super::exchange::import(session, parameters),
    }
}

/// Brings an archive's checkpoints into the store, and its events into the log. Events that came before it ended are in the
/// log for good, and known when it is done again.
fn archived(session: &mut Session, parameters: Import) -> Result<Success<Imported>, Failure> {
    let named = needed(parameters.path, "path")?;
    let path = workspace::absolute(&session.directories.current, named.as_path());
    let open = session.open()?;
    recovery::finish_unfinished(session, &open)?;
    let unlock = match archive::lock(&path)? {
        Some(lock) => match session.keyring.unlock(lock)? {
            None if session.keyring.has_identity() || lock == Lock::Identities => {
                return Err(ArchiveError::Unlock(lock.unopened()).into());
            }
            given => given,
        },
        None => None,
    };
    let store = open.store_to_write()?;
    let writer = store.writer(open.coding(), scanning::room(&open, &store));
    let contents =
        archive::read(&path, &writer, &ReadOptions { unlock: unlock.as_ref(), abort: Some(&*session.abort) })?;
    let found: Vec<(NewCheckpoint, Manifest)> =
        contents.checkpoints.iter().map(|roots| from_roots(&writer, roots)).collect::<Result<_, _>>()?;
    let mut events = events_of(&writer, &contents.checkpoints, &found)?;
    let mut ignored = ids::apart(&open, &mut events)?;
    let news: Vec<NewCheckpoint> = found.iter().map(|(new, _)| new.clone()).collect();
    // Whoever is refused is refused before anything is recorded.
    unknown(&open, &news)?;
    let sealed = writer.finish()?;
    let objects = sealed.added().objects;
    let appended = open.catalog.append_events(&events, session.now())?;
    let all = events.len() as u64;
    let events = appended.iter().filter(|one| matches!(one, Appended::New { .. })).count() as u64;
    let inserted = commit(session, &open, &store, sealed, (&news, events > 0), &shown(&path))?;
    let is_new = |id: &CheckpointId| inserted.iter().any(|one| one.checkpoint_id == *id);
    let present = news.iter().map(|new| new.checkpoint_id.clone()).filter(|id| !is_new(id)).collect();
    ignored.extend(inserted.iter().filter_map(|one| renamed(one, &found)));
    let mut imported = Vec::new();
    for (new, manifest) in found.into_iter().filter(|(new, _)| is_new(&new.checkpoint_id)) {
        imported.push(new.checkpoint_id);
        // Derived: `wfr` writes it again where it is missing.
        let _ = view::export(open.root(), &manifest);
    }
    let workflows: BTreeSet<WorkflowId> = news.into_iter().map(|new| new.workflow_id).collect();
    for workflow in &workflows {
        // Derived, too: the events that came in hold them.
        let _ = failures::write_missing(&open, Some(workflow));
    }
    let workflows = workflows.into_iter().collect();
    let (path, events_known) = (shown(&path), all - events);
    let inner = Imported { path, workflows, imported, present, objects, events, events_known, ..Imported::default() };
    let result = Imported { ignored, ..inner };
    Ok(Success::new(result))
}

/// What is said of a checkpoint that has another name here than in the archive.
fn renamed(inserted: &Recovered, found: &[(NewCheckpoint, Manifest)]) -> Option<IgnoredPart> {
    let (_, manifest) = found.iter().find(|(new, _)| new.checkpoint_id == inserted.checkpoint_id)?;
    let why = format!("another checkpoint has it here: {} comes in as {}", inserted.checkpoint_id, inserted.name);
    (manifest.name != inserted.name).then(|| IgnoredPart { place: format!("name {}", manifest.name), why })
}

/// Those that the catalog does not know, deleted ones being known. Another manifest under a known id is refused.
fn unknown<'n>(open: &Open, news: &'n [NewCheckpoint]) -> Result<Vec<&'n NewCheckpoint>, Failure> {
    let mut unknown = Vec::new();
    for new in news {
        match open.catalog.checkpoint(&new.checkpoint_id)? {
            Some(row) if row.manifest == new.manifest => {}
            Some(row) => {
                return Err(CatalogError::IdTaken { what: "checkpoint", id: row.checkpoint_id.to_string() }.into());
            }
            None => unknown.push(new),
        }
    }
    Ok(unknown)
}

/// Seals the events that are in no seal yet, writes the mark, and enters the checkpoints with it; again where another process
/// was faster.
fn commit<'s>(
    session: &Session,
    open: &Open,
    store: &'s Store,
    contents: Sealed<'s>,
    (news, has_events): (&[NewCheckpoint], bool),
    path: &str,
) -> Result<Vec<Recovered>, Failure> {
    let mut sealed = vec![contents];
    for _ in 0..TRIES_MAX {
        let unknown = unknown(open, news)?;
        let mark = if has_events || !unknown.is_empty() {
            let writer = store.writer(open.coding(), scanning::room(open, store));
            let seals = state::seal(&open.catalog, &writer)?;
            let mark = mark(session, open, &writer, &unknown, seals)?;
            sealed.push(writer.finish()?);
            Some(mark)
        } else {
            None
        };
        let audit = audit(session, "import", None, json!({"path": path}));
        match open.catalog.insert_imported(news, mark.as_ref(), &extents(&sealed), &audit) {
            Err(CatalogError::HeadMoved { .. }) => {}
            inserted => {
                let inserted = inserted?;
                sealed.into_iter().for_each(Sealed::publish);
                return Ok(inserted);
            }
        }
    }
    Err(Failure::new(Code::Busy, format!("other processes kept importing: gave up after {TRIES_MAX} tries")))
}

/// Writes the mark of an import: without it nothing would tell, once the catalog is lost, that these manifests and the
/// numbers in them are another vault's.
fn mark(
    session: &Session,
    open: &Open,
    sink: &dyn Sink,
    unknown: &[&NewCheckpoint],
    sealed_events: Vec<SealedEvents>,
) -> Result<Mark, Failure> {
    let place = open.catalog.place_of_import(unknown.len())?;
    let named =
        |new: &&NewCheckpoint| ImportedCheckpoint { checkpoint_id: new.checkpoint_id.clone(), manifest: new.manifest };
    let checkpoints = unknown.iter().map(named).collect();
    let mark = ImportMark {
        format_version: MARK_VERSION,
        imported_at: session.now(),
        checkpoints,
        place: place.0,
        sealed_events,
    };
    let bytes = serde_json::to_vec(&mark).map_err(|error| Failure::of(Code::Internal, &error))?;
    let object = sink.put_new(ObjectKind::Import, &bytes)?;
    Ok(Mark { object, place, checkpoints: unknown.len(), seals: mark.sealed_events.iter().map(Seal::of).collect() })
}

/// The events that an archive carries, in their order. All of them are of its workflows.
fn events_of(
    objects: &dyn Objects,
    roots: &[Roots],
    found: &[(NewCheckpoint, Manifest)],
) -> Result<Vec<Event>, Failure> {
    let damaged = |why: String| Failure::new(Code::ArchiveDamaged, format!("the archive cannot be used: {why}"));
    let mut events = Vec::new();
    for seal in roots.iter().flat_map(|roots| &roots.seals) {
        let sealed = state::unseal(objects, seal).map_err(|error| damaged(error.to_string()))?;
        events.extend(sealed.into_iter().map(|line| line.event));
    }
    let is_ours = |event: &Event| found.iter().any(|(new, _)| Some(&new.workflow_id) == event.workflow_id.as_ref());
    match events.iter().find(|event| !is_ours(event)) {
        Some(foreign) => Err(damaged(format!("event {} is of no workflow in it", foreign.event_id))),
        None => Ok(events),
    }
}

/// The row of a checkpoint in an archive; its manifest must name the very objects that the archive's head names.
fn from_roots(objects: &dyn Objects, roots: &Roots) -> Result<(NewCheckpoint, Manifest), Failure> {
    let damaged = |why: &str| Failure::new(Code::CheckpointIntegrity, format!("the archive cannot be used: {why}"));
    let id = roots.manifest.ok_or_else(|| damaged("a checkpoint has no manifest"))?;
    let bytes = objects.get(ObjectKind::Manifest, &id).map_err(|error: ReadError| Failure::from(error))?;
    let manifest: Manifest =
        wfr_model::json::stored(&bytes).map_err(|error| damaged(&format!("a manifest is malformed: {error}")))?;
    let new = NewCheckpoint::of(&manifest, id).without_seals();
    if (new.tree, new.hard_links, new.coverage, new.state) != (roots.tree, roots.links, roots.coverage, roots.state) {
        return Err(damaged("a manifest names other objects than the archive's head"));
    }
    Ok((new, manifest))
}
