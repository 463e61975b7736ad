//! Events: appended in one order, each once, and folded into the states of their workflows in the same transaction.
//!
//! Owns the log and its order. Refuses to know where events come from and what they mean: the model folds them.

mod following;
mod gaps;
mod guarded;
mod kept;
mod list;
pub(crate) mod snapshots;
mod states;

use rusqlite::{Connection, OptionalExtension};
use serde_json::{Map, Value};
use wfr_model::workflow::State;
use wfr_model::workflow::fold::{self, Anomaly};
use wfr_model::{Event, EventId, PhaseId, Timestamp, WorkflowId};

use crate::catalog::Catalog;
use crate::columns;
use crate::error::CatalogError;
use crate::{failures, workflows};

pub use following::Notable;
pub use gaps::Places;
pub use guarded::{Decision, Guarded};
pub(crate) use kept::text;
pub use kept::{DamagedRow, Kept, Together};
pub use list::EventQuery;
pub use snapshots::{Leaf, Seal, Snapshot, Unstored};
pub use states::PartKind;

/// An event's place in the vault's order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, serde::Serialize)]
pub struct EventSeq(pub i64);

/// An event that is recorded.
#[derive(Clone, PartialEq, Debug)]
pub struct EventRow {
    /// Its place in the order.
    pub seq: EventSeq,
    /// When it was recorded, by this machine's clock.
    pub recorded_at: Timestamp,
    /// What is odd about it, given what came before.
    pub odd: Vec<Anomaly>,
    /// The event.
    pub event: Event,
}

/// The highest place that the log gives. A row beyond it, or before the first place, was put there by hand.
pub(crate) const PLACE_MAX: i64 = 1 << 53;

/// The rows at places that the log gives.
pub(crate) const GIVEN: &str = "seq BETWEEN 1 AND 9007199254740992";

/// What became of an event.
#[derive(Clone, PartialEq, Debug)]
pub enum Appended {
    /// It is recorded, and folded.
    New {
        /// Its place in the order.
        seq: EventSeq,
        /// What is odd about it.
        odd: Vec<Anomaly>,
    },
    /// One of this id was recorded before: nothing changed.
    Known {
        /// Whether what was recorded says something else.
        differs: bool,
    },
}

impl Catalog {
    /// Appends events in their order, registers workflows that are not known, and brings their states up to date: one
    /// transaction, one flush. One that is known by its id is passed over. One answer for each.
    pub fn append_events(&self, events: &[Event], now: Timestamp) -> Result<Vec<Appended>, CatalogError> {
        self.write(|transaction| append(transaction, events, now))
    }

    /// Whether an event of this id is recorded.
    pub fn has_event(&self, id: &EventId) -> Result<bool, CatalogError> {
        is_known(&self.connection, id)
    }

    /// Whether the recorded event of this one's id says something else; `None` where none is recorded.
    pub fn event_differs(&self, event: &Event) -> Result<Option<bool>, CatalogError> {
        let known = known_as(&self.connection, event)?;
        Ok(known.map(|known| matches!(known, Appended::Known { differs: true })))
    }

    /// The place of the event of an id, and when it was recorded; `None` where none is.
    pub fn event_place(&self, id: &EventId) -> Result<Option<(EventSeq, Timestamp)>, CatalogError> {
        let mut statement =
            self.connection.prepare_cached("SELECT seq, recorded_at FROM events WHERE event_id = ?1")?;
        let read = |row: &rusqlite::Row<'_>| Ok((EventSeq(row.get(0)?), columns::time(row, 1)?));
        Ok(statement.query_row([id.as_str()], read).optional()?)
    }

    /// The place of the newest event; `None` where there is none.
    pub fn last_event(&self) -> Result<Option<EventSeq>, CatalogError> {
        last_event(&self.connection)
    }

    /// The latest time that an event of a workflow says; `None` where there is none.
    pub fn newest_time(&self, workflow: &WorkflowId) -> Result<Option<Timestamp>, CatalogError> {
        let mut statement = self.connection.prepare_cached("SELECT max(at) FROM events WHERE workflow_id = ?1")?;
        Ok(statement.query_row([workflow.as_str()], |row| row.get::<_, Option<i64>>(0))?.map(Timestamp))
    }

    /// The state of a workflow with its phases; `None` where no event of it was folded. Its other parts are loaded by
    /// [`Catalog::parts`] or through the catalog as a source.
    pub fn state(&self, workflow: &WorkflowId) -> Result<Option<State>, CatalogError> {
        states::load(&self.connection, workflow)
    }
}

/// An event as a seal holds it.
#[derive(Clone, PartialEq, Debug)]
pub struct RecoveredEvent {
    /// Its place in the order.
    pub seq: EventSeq,
    /// When it was recorded.
    pub recorded_at: Timestamp,
    /// The event.
    pub event: Event,
}

impl Catalog {
    /// Brings events back at the places that they had, and folds them, in one transaction; returns how many were not
    /// there. To be called in their order, before anything is appended.
    pub fn insert_recovered_events(&self, events: &[RecoveredEvent]) -> Result<u64, CatalogError> {
        self.write(|transaction| {
            let mut books = states::Books::new(transaction);
            let mut inserted = 0;
            for RecoveredEvent { seq, recorded_at, event } in events {
                if !books.goes_on_at(*seq)? || is_known(transaction, &event.event_id)? {
                    continue;
                }
                if let Some(workflow) = &event.workflow_id {
                    workflows::insert(transaction, workflow, *recorded_at)?;
                }
                put(transaction, &mut books, *seq, event, *recorded_at)?;
                inserted += 1;
            }
            books.close()?;
            Ok(inserted)
        })
    }
}

/// The place of the newest event.
pub(crate) fn last_event(connection: &Connection) -> Result<Option<EventSeq>, CatalogError> {
    let mut statement = connection.prepare_cached(&format!("SELECT max(seq) FROM events WHERE {GIVEN}"))?;
    Ok(statement.query_row([], |row| row.get::<_, Option<i64>>(0))?.map(EventSeq))
}

fn is_known(connection: &Connection, id: &EventId) -> Result<bool, CatalogError> {
    let mut statement = connection.prepare_cached("SELECT 1 FROM events WHERE event_id = ?1")?;
    Ok(statement.exists([id.as_str()])?)
}

/// The answer where an event's id is known; `None` where it is not. Time and sender are not compared: where a sender gave
/// none, they are ours. Of one that cannot be read nobody can say what it was.
fn known_as(connection: &Connection, event: &Event) -> Result<Option<Appended>, CatalogError> {
    let sql = "SELECT event_type, workflow_id, phase, data FROM events WHERE event_id = ?1";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query([event.event_id.as_str()])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    let text = |column| row.get_ref(column).ok().and_then(|value| value.as_str_or_null().ok().flatten());
    let same = |column, ours: Option<&str>| text(column) == ours;
    let says_the_same = || {
        let there = wfr_model::json::stored::<Map<String, Value>>(text(3).unwrap_or_default().as_bytes());
        there.map_or(true, |there| there == event.data)
    };
    let is_same = same(0, Some(event.event_type.as_str()))
        && same(1, event.workflow_id.as_ref().map(WorkflowId::as_str))
        && same(2, event.phase.as_ref().map(PhaseId::as_str))
        && (same(3, Some(&columns::json_text(&event.data))) || says_the_same());
    Ok(Some(Appended::Known { differs: !is_same }))
}

/// Appends events within the caller's transaction.
pub(crate) fn append(connection: &Connection, events: &[Event], now: Timestamp) -> Result<Vec<Appended>, CatalogError> {
    append_to(states::Books::new(connection), connection, events, now)
}

/// The same for events that are recorded beside something else, which may be done whether their workflow's state can be read
/// or not.
pub(crate) fn append_beside(connection: &Connection, events: &[Event], now: Timestamp) -> Result<(), CatalogError> {
    append_to(states::Books::beside(connection), connection, events, now).map(drop)
}

fn append_to(
    mut books: states::Books<'_>,
    connection: &Connection,
    events: &[Event],
    now: Timestamp,
) -> Result<Vec<Appended>, CatalogError> {
    let mut answers = Vec::with_capacity(events.len());
    let mut known: Option<&WorkflowId> = None;
    for event in events {
        if let Some(known) = known_as(connection, event)? {
            answers.push(known);
            continue;
        }
        if let Some(workflow) = &event.workflow_id
            && known != Some(workflow)
        {
            workflows::insert(connection, workflow, now)?;
            known = Some(workflow);
        }
        answers.push(append_new(connection, &mut books, event, now)?);
    }
    books.close()?;
    Ok(answers)
}

fn append_one(
    connection: &Connection,
    books: &mut states::Books<'_>,
    event: &Event,
    now: Timestamp,
) -> Result<Appended, CatalogError> {
    match known_as(connection, event)? {
        Some(known) => Ok(known),
        None => append_new(connection, books, event, now),
    }
}

/// Appends an event of an id that is not known, of a workflow that is registered.
fn append_new(
    connection: &Connection,
    books: &mut states::Books<'_>,
    event: &Event,
    now: Timestamp,
) -> Result<Appended, CatalogError> {
    // The order is this transaction's: nobody else appends meanwhile.
    let seq = books.next_seq()?;
    let odd = put(connection, books, seq, event, now)?;
    Ok(Appended::New { seq, odd })
}

/// Puts an event back at its place, where nothing is or what cannot be read.
fn put_back(connection: &Connection, back: &RecoveredEvent, odd: &[Anomaly]) -> Result<(), CatalogError> {
    write(connection, REPLACE, back.seq, &back.event, back.recorded_at, odd)?;
    failures::note(connection, back.seq, &back.event)
}

/// Folds an event and records it at its place; what is odd about it comes back.
fn put(
    connection: &Connection,
    books: &mut states::Books<'_>,
    seq: EventSeq,
    event: &Event,
    now: Timestamp,
) -> Result<Vec<Anomaly>, CatalogError> {
    let odd = match &event.workflow_id {
        Some(workflow) => books.fold(workflow, seq, event)?,
        None => fold::of_no_workflow(event),
    };
    write(connection, INSERT, seq, event, now, &odd)?;
    failures::note(connection, seq, event)?;
    Ok(odd)
}

/// The statement that puts an event at its place, by this verb.
macro_rules! into_events {
    ($verb:literal) => {
        concat!(
            $verb,
            " INTO events (seq, event_id, event_type, workflow_id, phase, at, recorded_at, source, data, priority,
                           ttl_seconds, odd)
              VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)"
        )
    };
}

const INSERT: &str = into_events!("INSERT");
const REPLACE: &str = into_events!("INSERT OR REPLACE");

fn write(
    connection: &Connection,
    sql: &str,
    seq: EventSeq,
    event: &Event,
    now: Timestamp,
    odd: &[Anomaly],
) -> Result<(), CatalogError> {
    connection.prepare_cached(sql)?.execute((
        seq.0,
        event.event_id.as_str(),
        event.event_type.as_str(),
        event.workflow_id.as_ref().map(WorkflowId::as_str),
        event.phase.as_ref().map(PhaseId::as_str),
        event.timestamp.0,
        now.0,
        &event.source_component,
        columns::json_text(&event.data),
        event.priority.as_ref().map(columns::to_text),
        event.ttl_seconds.map(columns::signed),
        (!odd.is_empty()).then(|| columns::json_text(&odd)),
    ))?;
    Ok(())
}
