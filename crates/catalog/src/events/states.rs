//! States as they are kept: the head and every part by itself, so that an event costs what it changes.
//!
//! Owns the tables of states. Refuses to know what events do: the model folds.

use std::collections::{BTreeSet, HashMap};

use rusqlite::{Connection, OptionalExtension, Row};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use wfr_model::workflow::fold::{self, Anomaly};
use wfr_model::workflow::{Agent, Allocation, Head, Phase, Source, State, Task};
use wfr_model::{AgentId, AllocationId, Event, EventType, PhaseId, TaskId, WorkflowId};

use super::{EventQuery, EventSeq, GIVEN, list, snapshots};
use crate::catalog::Catalog;
use crate::columns;
use crate::error::CatalogError;

/// The kinds of parts that are kept one by one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PartKind {
    /// [`Phase`].
    Phase = 0,
    /// [`Task`].
    Task = 1,
    /// [`Agent`].
    Agent = 2,
    /// [`Allocation`].
    Allocation = 3,
}

impl PartKind {
    /// Its number, below 4, which never changes.
    pub fn number(self) -> u8 {
        self as u8
    }

    /// The word in the table.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Phase => "phase",
            Self::Task => "task",
            Self::Agent => "agent",
            Self::Allocation => "allocation",
        }
    }
}

/// The slot of an id, 0 to 2^32 - 1: 32-bit FNV-1a (Fowler, Noll, Vo), its bits mixed once more so that the high ones
/// tell similar ids apart.
pub(super) fn slot(id: &str) -> u32 {
    let hash = id.bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    (hash ^ (hash >> 15)).wrapping_mul(0x2c1b_3c6d)
}

impl Catalog {
    /// All parts of a kind, in the order of their slots.
    pub fn parts<T: DeserializeOwned>(&self, workflow: &WorkflowId, kind: PartKind) -> Result<Vec<T>, CatalogError> {
        parts(&self.connection, workflow, kind, None)
    }

    /// The first parts of a kind, in the order of their slots.
    pub fn first_parts<T: DeserializeOwned>(
        &self,
        workflow: &WorkflowId,
        kind: PartKind,
        limit: u32,
    ) -> Result<Vec<T>, CatalogError> {
        parts(&self.connection, workflow, kind, Some(limit))
    }
}

fn parts<T: DeserializeOwned>(
    connection: &Connection,
    workflow: &WorkflowId,
    kind: PartKind,
    limit: Option<u32>,
) -> Result<Vec<T>, CatalogError> {
    // A negative limit is none.
    let sql = "SELECT doc FROM parts WHERE workflow_id = ?1 AND kind = ?2 LIMIT ?3";
    let mut statement = connection.prepare_cached(sql)?;
    let read = |row: &Row<'_>| columns::json(row, 0);
    let parts = statement.query_map((workflow.as_str(), kind.as_str(), limit.map_or(-1, i64::from)), read)?;
    parts.collect::<Result<_, _>>().map_err(|error| CatalogError::of_state(workflow, error))
}

/// One part.
pub(super) fn part<T: DeserializeOwned>(
    connection: &Connection,
    workflow: &WorkflowId,
    kind: PartKind,
    id: &str,
) -> Result<Option<T>, CatalogError> {
    let sql = "SELECT doc FROM parts WHERE workflow_id = ?1 AND kind = ?2 AND slot = ?3 AND id = ?4";
    let mut statement = connection.prepare_cached(sql)?;
    let key = (workflow.as_str(), kind.as_str(), slot(id), id);
    let found = statement.query_row(key, |row| columns::json(row, 0)).optional();
    found.map_err(|error| CatalogError::of_state(workflow, error))
}

/// Head and phases of a workflow.
pub(super) fn load(connection: &Connection, workflow: &WorkflowId) -> Result<Option<State>, CatalogError> {
    let mut statement = connection.prepare_cached("SELECT head FROM states WHERE workflow_id = ?1")?;
    let head = statement.query_row([workflow.as_str()], |row| columns::json::<Head>(row, 0)).optional();
    let Some(head) = head.map_err(|error| CatalogError::of_state(workflow, error))? else { return Ok(None) };
    let phases: Vec<Phase> = parts(connection, workflow, PartKind::Phase, None)?;
    Ok(Some(State::loaded(head, phases)))
}

/// Takes a state away, to be folded again. Nothing of its last snapshot is relied on any more.
pub(super) fn forget(connection: &Connection, workflow: &WorkflowId) -> Result<(), CatalogError> {
    connection.execute("DELETE FROM snapshots WHERE workflow_id = ?1", [workflow.as_str()])?;
    connection.execute("DELETE FROM dirty_leaves WHERE workflow_id = ?1", [workflow.as_str()])?;
    connection.execute("DELETE FROM parts WHERE workflow_id = ?1", [workflow.as_str()])?;
    connection.execute("DELETE FROM states WHERE workflow_id = ?1", [workflow.as_str()])?;
    Ok(())
}

/// The states that one transaction brings up to date.
pub(super) struct Books<'c> {
    connection: &'c Connection,
    open: HashMap<WorkflowId, (State, EventSeq)>,
    last: Option<EventSeq>,
    /// Whether a state that is not there is one that nothing was folded into yet, whatever the log holds.
    is_afresh: bool,
    /// Whether events that set no state are recorded without being folded where the state cannot be read.
    is_sparing: bool,
}

impl<'c> Books<'c> {
    pub(super) fn new(connection: &'c Connection) -> Self {
        Self { connection, open: HashMap::new(), last: None, is_afresh: false, is_sparing: false }
    }

    /// For what is recorded beside something else, which no state that cannot be read may keep from being done: its events
    /// stand in the log, and are folded when the state is folded again.
    pub(super) fn beside(connection: &'c Connection) -> Self {
        Self { is_sparing: true, ..Self::new(connection) }
    }

    /// For a state that was taken away, to be folded again from its first event.
    pub(super) fn afresh(connection: &'c Connection) -> Self {
        Self { is_afresh: true, ..Self::new(connection) }
    }

    /// The place of the next event. Within a transaction that has the lock nobody else takes it.
    pub(super) fn next_seq(&mut self) -> Result<EventSeq, CatalogError> {
        let next = EventSeq(self.last()?.0.saturating_add(1));
        self.last = Some(next);
        Ok(next)
    }

    /// Takes a place after all that are taken; `false` where it is not.
    pub(super) fn goes_on_at(&mut self, seq: EventSeq) -> Result<bool, CatalogError> {
        let is_after = seq > self.last()?;
        if is_after {
            self.last = Some(seq);
        }
        Ok(is_after)
    }

    fn last(&mut self) -> Result<EventSeq, CatalogError> {
        if let Some(last) = self.last {
            return Ok(last);
        }
        // Not only of those that are there: the place of one that was taken away is not given to another one.
        let last = super::gaps::last_ever(self.connection)?;
        self.last = Some(last);
        Ok(last)
    }

    /// Folds an event into its workflow's state.
    pub(super) fn fold(
        &mut self,
        workflow: &WorkflowId,
        seq: EventSeq,
        event: &Event,
    ) -> Result<Vec<Anomaly>, CatalogError> {
        if !self.open.contains_key(workflow) {
            let sets_state = event.event_type.known() == Some(EventType::WorkflowStateUpdated);
            let kept = match load(self.connection, workflow) {
                Err(CatalogError::StateDamaged { .. }) if self.is_sparing && !sets_state => {
                    return Ok(vec![not_folded(workflow)]);
                }
                kept => kept?,
            };
            let is_lost = kept.is_none() && !self.is_afresh && has_events_before(self.connection, workflow, seq)?;
            let state = kept.unwrap_or_else(|| State::new(workflow.clone()));
            self.open.insert(workflow.clone(), (state, seq));
            if is_lost {
                self.fold_all_before(workflow, seq)?;
            }
        }
        self.fold_one(workflow, seq, event)
    }

    /// Folds a state again that is gone though events of it are there: one that began now would be another one.
    fn fold_all_before(&mut self, workflow: &WorkflowId, seq: EventSeq) -> Result<(), CatalogError> {
        let connection = self.connection;
        forget(connection, workflow)?;
        let upto = Some(EventSeq(seq.0.saturating_sub(1)));
        let query = EventQuery { workflow: Some(workflow.clone()), upto, ..EventQuery::default() };
        list::each_kept(connection, &query, |row| match row {
            Ok(row) => self.fold_one(workflow, row.seq, &row.event).map(drop),
            Err(row) => {
                let source = format!("the state is gone, and {} cannot be read: {}", row.place, row.why).into();
                Err(CatalogError::StateDamaged { workflow: workflow.clone(), source })
            }
        })
    }

    /// Folds an event into a state that is open.
    fn fold_one(&mut self, workflow: &WorkflowId, seq: EventSeq, event: &Event) -> Result<Vec<Anomaly>, CatalogError> {
        if let Some((state, _)) = self.open.get_mut(workflow)
            && replaces_most(state, event)
        {
            for task in parts::<Task>(self.connection, workflow, PartKind::Task, None)? {
                state.tasks.load(task.task_id.clone(), Some(task));
            }
        }
        let mut shelf = Shelf { connection: self.connection, workflow };
        let (state, upto) = self.open.get_mut(workflow).expect("who calls this has put it there");
        *upto = seq;
        fold::apply(state, &mut shelf, event)
    }

    /// Writes what changed.
    pub(super) fn close(self) -> Result<(), CatalogError> {
        for (workflow, (mut state, upto)) in self.open {
            let sql = "INSERT INTO states (workflow_id, seq, head) VALUES (?1, ?2, ?3)
                       ON CONFLICT (workflow_id) DO UPDATE SET seq = excluded.seq, head = excluded.head";
            let head = columns::json_text(&state.head);
            self.connection.prepare_cached(sql)?.execute((workflow.as_str(), upto.0, head))?;
            let shelf = Shelf { connection: self.connection, workflow: &workflow };
            shelf.keep(upto, PartKind::Phase, state.phases.take_changes(), PhaseId::as_str)?;
            shelf.keep(upto, PartKind::Task, state.tasks.take_changes(), TaskId::as_str)?;
            shelf.keep(upto, PartKind::Agent, state.agents.take_changes(), AgentId::as_str)?;
            shelf.keep(upto, PartKind::Allocation, state.allocations.take_changes(), AllocationId::as_str)?;
        }
        Ok(())
    }
}

/// What is odd about an event of which the state does not know.
fn not_folded(workflow: &WorkflowId) -> Anomaly {
    let message = format!("the state cannot be read, so this is not in it yet: `wfr repair-state {workflow}` mends it");
    Anomaly { code: "STATE_UNREADABLE".to_owned(), message }
}

fn has_events_before(connection: &Connection, workflow: &WorkflowId, seq: EventSeq) -> Result<bool, CatalogError> {
    let sql = format!("SELECT 1 FROM events WHERE workflow_id = ?1 AND seq < ?2 AND {GIVEN}");
    Ok(connection.prepare_cached(&sql)?.exists((workflow.as_str(), seq.0))?)
}

/// Whether an event sets so many of a workflow's tasks that they are better read all at once than one by one.
fn replaces_most(state: &State, event: &Event) -> bool {
    const MANY: usize = 1_000;
    let replaced = event.data.get("replace").and_then(|replaced| replaced.get("tasks"));
    let count = replaced.and_then(Value::as_object).map_or(0, Map::len);
    count >= MANY && (count as u64).saturating_mul(4) >= state.head.tasks_known
}

/// The parts of one workflow.
struct Shelf<'c> {
    connection: &'c Connection,
    workflow: &'c WorkflowId,
}

impl Shelf<'_> {
    fn get<T: DeserializeOwned>(&self, kind: PartKind, id: &str) -> Result<Option<T>, CatalogError> {
        part(self.connection, self.workflow, kind, id)
    }

    fn keep<K, V: Serialize>(
        &self,
        upto: EventSeq,
        kind: PartKind,
        changes: Vec<(&K, Option<&V>)>,
        text: impl Fn(&K) -> &str,
    ) -> Result<(), CatalogError> {
        let put = "INSERT INTO parts (workflow_id, kind, slot, id, doc) VALUES (?1, ?2, ?3, ?4, ?5)
                   ON CONFLICT DO UPDATE SET doc = excluded.doc";
        let take = "DELETE FROM parts WHERE workflow_id = ?1 AND kind = ?2 AND slot = ?3 AND id = ?4";
        let mut put = self.connection.prepare_cached(put)?;
        let mut take = self.connection.prepare_cached(take)?;
        let mut leaves = BTreeSet::new();
        // In the order of the table's key: of many rows each page is then met once.
        let mut rows: Vec<_> = changes.into_iter().map(|(id, part)| (slot(text(id)), text(id), part)).collect();
        rows.sort_unstable_by_key(|(slot, id, _)| (*slot, *id));
        for (slot, id, part) in rows {
            let workflow = self.workflow.as_str();
            match part {
                Some(part) => put.execute((workflow, kind.as_str(), slot, id, columns::json_text(part)))?,
                None => take.execute((workflow, kind.as_str(), slot, id))?,
            };
            leaves.insert(snapshots::leaf_of(slot));
        }
        leaves.into_iter().try_for_each(|leaf| snapshots::mark(self.connection, self.workflow, kind, leaf, upto))
    }
}

impl Source for Shelf<'_> {
    type Error = CatalogError;

    fn task(&mut self, id: &TaskId) -> Result<Option<Task>, CatalogError> {
        self.get(PartKind::Task, id.as_str())
    }

    fn agent(&mut self, id: &AgentId) -> Result<Option<Agent>, CatalogError> {
        self.get(PartKind::Agent, id.as_str())
    }

    fn allocation(&mut self, id: &AllocationId) -> Result<Option<Allocation>, CatalogError> {
        self.get(PartKind::Allocation, id.as_str())
    }

    fn allocations(&mut self) -> Result<Vec<Allocation>, CatalogError> {
        parts(self.connection, self.workflow, PartKind::Allocation, None)
    }
}
