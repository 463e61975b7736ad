//! Workflows' states: the present one, what a checkpoint stores of it, and reading that again.
//!
//! Owns how states and the log go into a store's objects and come back. Refuses to fold: the catalog does, with every
//! event.

mod summary;

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use wfr_catalog::{Catalog, CatalogError, CheckpointRow, EventQuery, EventRow, EventSeq, PartKind, Unstored};
use wfr_model::checkpoint::SealedEvents;
use wfr_model::event::SealedEvent;
use wfr_model::workflow::{Agent, Allocation, Head, Phase, Task, Whole, by_id};
use wfr_model::{Digest, TaskId, Timestamp, WorkflowId, json};
use wfr_store::scan::Dry;
use wfr_store::state::{self as objects, StateError};
use wfr_store::writer::Writer;
use wfr_store::{ObjectKind, Objects, ReadError, Sink};

use crate::checkpoint::CreateError;
use crate::error::Failure;

/// A seal holds about so many bytes of events.
const SEAL_BYTES: usize = 4 << 20;

/// The present state of a workflow with all its parts; `None` where no event of it was ever recorded.
pub fn present(catalog: &Catalog, workflow: &WorkflowId) -> Result<Option<Whole>, CatalogError> {
    catalog.unchanging(|| {
        let Some(state) = catalog.state(workflow)? else { return Ok(None) };
        let tasks = catalog.parts::<Task>(workflow, PartKind::Task)?.into_iter();
        let agents = catalog.parts::<Agent>(workflow, PartKind::Agent)?.into_iter();
        let shares = catalog.parts::<Allocation>(workflow, PartKind::Allocation)?.into_iter();
        Ok(Some(Whole {
            tasks: by_id(tasks.map(|task| (task.task_id.clone(), task)).collect()),
            agents: by_id(agents.map(|agent| (agent.agent_id.clone(), agent)).collect()),
            allocations: by_id(shares.map(|share| (share.allocation_id.clone(), share)).collect()),
            ..Whole::from(state)
        }))
    })
}

/// A state that is among the objects of a checkpoint in the making.
pub struct Captured {
    /// Its root.
    pub root: Digest,
    /// It is the fold up to this event; `None`: of no event.
    pub upto: Option<EventSeq>,
    /// What the manifest says of it.
    pub summary: serde_json::Value,
}

/// Writes a workflow's state, as far as no checkpoint holds it yet; the blank one where nothing was ever said of it. One that no
/// restore could read is left out, and that is told; so is one that was lost, which the look at a state tells. Without `on_base`
/// nothing that a checkpoint holds is relied on.
pub fn capture(
    catalog: &Catalog,
    writer: &Writer<'_>,
    (workflow, on_base, now): (&WorkflowId, bool, Timestamp),
    tell: &dyn Fn(String),
) -> Result<Option<Captured>, CreateError> {
    let Some(unstored) = catalog.unstored_state(workflow, on_base)? else {
        return store_blank(catalog, writer, workflow, now);
    };
    let left_out = |why: String| {
        tell(format!(
            "the checkpoint that was taken holds the files and the events, but not the state of `{workflow}`, which is damaged ({why}): \
             `wfr repair-state {workflow}` mends it"
        ));
    };
    if let Err(why) = check(&unstored) {
        left_out(why.to_string());
        return Ok(None);
    }
    let (root, unstored) = match store(writer, &unstored) {
        Ok(root) => (root, unstored),
        // What an earlier checkpoint lost cannot keep a new one from being taken: all is written again.
        Err(StateError::Read(_)) => {
            let Some(unstored) = catalog.unstored_state(workflow, false)? else { return Ok(None) };
            if let Err(why) = check(&unstored) {
                left_out(why.to_string());
                return Ok(None);
            }
            (store(writer, &unstored)?, unstored)
        }
        Err(error) => return Err(error.into()),
    };
    let summary = match summary::of(catalog, workflow, &unstored.head, now) {
        Err(error @ CatalogError::StateDamaged { .. }) => {
            left_out(error.to_string());
            return Ok(None);
        }
        summary => summary?,
    };
    Ok(Some(Captured { root, upto: Some(unstored.upto), summary }))
}

/// Writes that nothing is known of a workflow, so that a restore sets it back to that; `None` where something was known of it once,
/// and is lost.
fn store_blank(
    catalog: &Catalog,
    writer: &Writer<'_>,
    workflow: &WorkflowId,
    now: Timestamp,
) -> Result<Option<Captured>, CreateError> {
    if !is_unsaid(catalog, workflow)? {
        return Ok(None);
    }
    let head = blank_head(workflow);
    let root = objects::write(writer, None, head.as_bytes(), &BTreeMap::new())?;
    Ok(Some(Captured { root, upto: None, summary: summary::of(catalog, workflow, &head, now)? }))
}

/// All else is as a head has it that does not say it: the form stays the same whatever heads get.
fn blank_head(workflow: &WorkflowId) -> String {
    serde_json::json!({"workflow_id": workflow}).to_string()
}

fn blank_root(workflow: &WorkflowId) -> Digest {
    objects::head_alone_id(blank_head(workflow).as_bytes())
}

/// Whether nothing was ever said of a workflow, as far as log and checkpoints know.
pub fn is_unsaid(catalog: &Catalog, workflow: &WorkflowId) -> Result<bool, CatalogError> {
    catalog.is_blank(workflow, &blank_root(workflow))
}

/// Whether a checkpoint holds that nothing was known of its workflow.
pub fn is_blank(row: &CheckpointRow) -> bool {
    row.state == Some(blank_root(&row.workflow_id))
}

/// Whether what is to be stored can be read again.
fn check(unstored: &Unstored) -> serde_json::Result<()> {
    json::stored::<Head>(unstored.head.as_bytes())?;
    for leaf in unstored.leaves.iter().filter(|leaf| !leaf.parts.is_empty()) {
        match leaf.kind {
            PartKind::Phase => drop(json::stored::<Vec<Phase>>(leaf.parts.as_bytes())?),
            PartKind::Task => drop(json::stored::<Vec<Task>>(leaf.parts.as_bytes())?),
            PartKind::Agent => drop(json::stored::<Vec<Agent>>(leaf.parts.as_bytes())?),
            PartKind::Allocation => drop(json::stored::<Vec<Allocation>>(leaf.parts.as_bytes())?),
        }
    }
    Ok(())
}

fn store<S: Sink + Objects + ?Sized>(writer: &S, unstored: &Unstored) -> Result<Digest, StateError> {
    let leaves: BTreeMap<objects::Place, Vec<u8>> = unstored
        .leaves
        .iter()
        .map(|leaf| ((leaf.kind.number(), leaf.number), leaf.parts.clone().into_bytes()))
        .collect();
    objects::write(writer, unstored.base.as_ref(), unstored.head.as_bytes(), &leaves)
}

/// The state that the next checkpoint would hold, where that is not the one that is kept: a checkpoint stores only parts of
/// which a change is noted, and takes the others from the one before. `None` where it is, and where it cannot be told: of what
/// cannot be read the next checkpoint relies on nothing.
pub fn stored_otherwise(
    catalog: &Catalog,
    objects: &dyn Objects,
    workflow: &WorkflowId,
) -> Result<Option<Whole>, Failure> {
    let dry = Dry::over(objects);
    let unstored = |on_base| catalog.unstored_state(workflow, on_base);
    let (Some(noted), Some(all)) = (unstored(true)?, unstored(false)?) else { return Ok(None) };
    // What was recorded between the two looks is in one of them only.
    if noted.upto != all.upto {
        return Ok(None);
    }
    let (Ok(noted), Ok(all)) = (store(&dry, &noted), store(&dry, &all)) else { return Ok(None) };
    if noted == all { Ok(None) } else { Ok(read(&dry, &noted).ok()) }
}

/// What was read of a state; `None` where it cannot be read for what is kept of it, too. For what is only beside the files, so that
/// these are not lost with a state.
pub fn readable<T>(read: Result<Option<T>, CatalogError>) -> Result<Option<T>, CatalogError> {
    match read {
        Err(CatalogError::StateDamaged { .. }) => Ok(None),
        read => read,
    }
}

/// The state that a checkpoint holds; `None` where it holds none.
pub fn of_checkpoint(store: &dyn Objects, row: &CheckpointRow) -> Result<Option<Whole>, Failure> {
    row.state.map(|root| read(store, &root)).transpose().map_err(Failure::from)
}

/// The state of a root object.
pub fn read(store: &dyn Objects, root: &Digest) -> Result<Whole, ReadError> {
    let mut whole: Option<Whole> = None;
    // Leaves come by slots: all tasks are put in order at once.
    let mut tasks = Vec::new();
    objects::read::<ReadError>(store, root, &mut |place, body| {
        let Some((kind, _)) = place else {
            let head: Head = parse(root, body)?;
            whole = Some(Whole { head: head.clone(), ..Whole::new(head.workflow_id) });
            return Ok(());
        };
        if let Some(whole) = &mut whole {
            add(whole, &mut tasks, root, kind, body)?;
        }
        Ok(())
    })?;
    whole.map(|whole| Whole { tasks: by_id(tasks), ..whole }).ok_or(ReadError::Malformed {
        id: *root,
        what: "state",
        why: "it has no head".to_owned(),
    })
}

/// Adds the parts of a leaf.
fn add(
    whole: &mut Whole,
    tasks: &mut Vec<(TaskId, Task)>,
    root: &Digest,
    kind: u8,
    body: &[u8],
) -> Result<(), ReadError> {
    match [PartKind::Phase, PartKind::Task, PartKind::Agent, PartKind::Allocation].get(usize::from(kind)) {
        Some(PartKind::Phase) => {
            let parts: Vec<Phase> = parse(root, body)?;
            whole.phases.extend(parts.into_iter().map(|part| (part.phase_id.clone(), part)));
        }
        Some(PartKind::Task) => {
            let parts: Vec<Task> = parse(root, body)?;
            tasks.extend(parts.into_iter().map(|part| (part.task_id.clone(), part)));
        }
        Some(PartKind::Agent) => {
            let parts: Vec<Agent> = parse(root, body)?;
            whole.agents.extend(parts.into_iter().map(|part| (part.agent_id.clone(), part)));
        }
        Some(PartKind::Allocation) => {
            let parts: Vec<Allocation> = parse(root, body)?;
            whole.allocations.extend(parts.into_iter().map(|part| (part.allocation_id.clone(), part)));
        }
        None => return Err(malformed(root, "a kind of its parts is not known")),
    }
    Ok(())
}

fn parse<T: DeserializeOwned>(root: &Digest, body: &[u8]) -> Result<T, ReadError> {
    json::stored(body).map_err(|error| malformed(root, error))
}

fn malformed(root: &Digest, why: impl ToString) -> ReadError {
    ReadError::Malformed { id: *root, what: "state", why: why.to_string() }
}

/// Objects with the events of one workflow beside a store: what an archive carries of the log.
pub struct WithEvents<'s> {
    store: &'s dyn Objects,
    objects: BTreeMap<Digest, Vec<u8>>,
    /// The objects in the order of their events.
    pub seals: Vec<Digest>,
    /// How many events they hold.
    pub events: u64,
}

impl<'s> WithEvents<'s> {
    /// Reads a workflow's events.
    pub fn of(store: &'s dyn Objects, catalog: &Catalog, workflow: &WorkflowId) -> Result<Self, Failure> {
        let gathered = Gathered(std::sync::Mutex::default());
        let query = EventQuery { workflow: Some(workflow.clone()), ..EventQuery::default() };
        let (seals, events) = Seals::gather(catalog, &query, &gathered)?;
        let seals = seals.into_iter().map(|seal| seal.object).collect();
        let objects = gathered.0.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
        Ok(Self { store, objects, seals, events })
    }
}

impl Objects for WithEvents<'_> {
    fn get(&self, kind: ObjectKind, id: &Digest) -> Result<Vec<u8>, ReadError> {
        match self.objects.get(id).filter(|_| kind == ObjectKind::Seal) {
            Some(bytes) => Ok(bytes.clone()),
            None => self.store.get(kind, id),
        }
    }

    fn has(&self, id: &Digest) -> bool {
        self.objects.contains_key(id) || self.store.has(id)
    }

    fn still_holds(&self, holdings: &[u8]) -> bool {
        self.store.still_holds(holdings)
    }
}

/// Objects that stay in memory.
struct Gathered(std::sync::Mutex<BTreeMap<Digest, Vec<u8>>>);

impl Sink for Gathered {
    fn has(&self, _: &Digest) -> bool {
        false
    }

    fn put(&self, _: ObjectKind, id: &Digest, bytes: &[u8]) -> Result<(), wfr_store::WriteError> {
        let mut objects = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        objects.insert(*id, bytes.to_vec());
        Ok(())
    }
}

/// Writes the events that no seal holds yet, a line of JSON each, into as many objects as it takes.
pub fn seal(catalog: &Catalog, sink: &dyn Sink) -> Result<Vec<SealedEvents>, CreateError> {
    let query = EventQuery { after: catalog.sealed_upto()?, ..EventQuery::default() };
    Ok(Seals::gather(catalog, &query, sink)?.0)
}

struct Seals<'s> {
    sink: &'s dyn Sink,
    lines: Vec<u8>,
    /// The first and the last event of the lines.
    first: Option<(i64, i64)>,
    done: Vec<SealedEvents>,
}

impl<'s> Seals<'s> {
    /// Writes the events of a query; returns how many there were, too. One that cannot be read is none that could be
    /// sealed: it keeps no checkpoint from being taken.
    fn gather(
        catalog: &Catalog,
        query: &EventQuery,
        sink: &'s dyn Sink,
    ) -> Result<(Vec<SealedEvents>, u64), CreateError> {
        let mut seals = Self { sink, lines: Vec::new(), first: None, done: vec![] };
        let (mut failed, mut events) = (None, 0);
        catalog.each_kept_event(query, |row| {
            if let (Ok(row), true) = (row, failed.is_none()) {
                events += 1;
                failed = seals.add(row).err();
            }
            Ok(())
        })?;
        match failed {
            Some(error) => Err(error.into()),
            None => Ok((seals.done()?, events)),
        }
    }

    fn add(&mut self, row: EventRow) -> Result<(), wfr_store::WriteError> {
        let seq = row.seq.0;
        let line = SealedEvent { seq, recorded_at: row.recorded_at, event: row.event };
        line.write_line(&mut self.lines);
        self.first = Some((self.first.map_or(seq, |(first, _)| first), seq));
        if self.lines.len() >= SEAL_BYTES { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), wfr_store::WriteError> {
        if let Some((first, upto)) = self.first.take() {
            let object = self.sink.put_new(ObjectKind::Seal, &self.lines)?;
            self.done.push(SealedEvents { object, first, upto });
            self.lines.clear();
        }
        Ok(())
    }

    fn done(mut self) -> Result<Vec<SealedEvents>, wfr_store::WriteError> {
        self.flush()?;
        Ok(self.done)
    }
}

/// The events of a seal, in their order.
pub fn unseal(store: &dyn Objects, seal: &Digest) -> Result<Vec<SealedEvent>, ReadError> {
    let bytes = store.get(ObjectKind::Seal, seal)?;
    let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    lines.map(|line| SealedEvent::read_line(line).map_err(|error| malformed(seal, error))).collect()
}
