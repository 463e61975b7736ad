//! What is kept of a state, row by row, also where rows are damaged, and how it is made anew.
//!
//! Owns the telling of damage: a row that does not say what its place promises is named, and the rest goes on. Refuses
//! to judge what whole rows say.

use std::collections::HashSet;

use rusqlite::Connection;
use serde::de::DeserializeOwned;
use wfr_model::workflow::{Agent, Allocation, Head, Phase, Task, Whole, by_id};
use wfr_model::{Event, EventId, Timestamp, WorkflowId};

use super::list::{self, EventQuery};
use super::{
    Decision, EventRow, EventSeq, PLACE_MAX, PartKind, RecoveredEvent, append_one, put_back, snapshots, states,
};
use crate::catalog::Catalog;
use crate::error::CatalogError;
use crate::workflows;

/// A row that cannot be used.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DamagedRow {
    /// Where: `events/17`, `head`, `tasks/t1`.
    pub place: String,
    /// What does not fit.
    pub why: String,
    /// What stands there, as far as it is text.
    pub text: String,
}

impl DamagedRow {
    /// Its place in the log, where it is an event's row.
    pub fn seq(&self) -> Option<EventSeq> {
        self.place.strip_prefix("events/")?.parse().ok().map(EventSeq)
    }

    /// Whether it is an event's row at a place that the log never gives: nobody recorded that event.
    pub fn is_out_of_place(&self) -> bool {
        self.seq().is_some_and(|seq| !(1..=PLACE_MAX).contains(&seq.0))
    }
}

/// What is kept of a state.
#[derive(Clone, PartialEq, Debug)]
pub struct Kept {
    /// All of it that can be read; `None` where nothing is kept.
    pub whole: Option<Whole>,
    /// Whether its head can be read.
    pub has_head: bool,
    /// The rows that cannot.
    pub damaged: Vec<DamagedRow>,
    /// Notes of what changed since its last snapshot that name no part of it. The state itself is as whole without them.
    pub notes: Vec<DamagedRow>,
    /// The last event that was folded.
    pub upto: Option<EventSeq>,
}

impl Catalog {
    /// What is kept of a state; `None` for `whole` where nothing is.
    pub fn kept_state(&self, workflow: &WorkflowId) -> Result<Kept, CatalogError> {
        self.unchanging(|| kept(&self.connection, workflow))
    }

    /// Hands over events by a query, and those that cannot be read as what is damaged of them.
    pub fn each_kept_event(
        &self,
        query: &EventQuery,
        take: impl FnMut(Result<EventRow, DamagedRow>) -> Result<(), CatalogError>,
    ) -> Result<(), CatalogError> {
        list::each_kept(&self.connection, query, take)
    }

    /// The same in ascending order, with events among them that come back to their places.
    pub fn each_event_with(
        &self,
        query: &EventQuery,
        back: &[RecoveredEvent],
        take: impl FnMut(Together<'_>) -> Result<(), CatalogError>,
    ) -> Result<(), CatalogError> {
        each_with(&self.connection, query, back, take)
    }

    /// Puts events of a workflow back at their places, folds all of them again that can be read, and appends one more: one
    /// transaction. What comes back is in the order of places. The answer names the events that are damaged; it is `None` where
    /// the state is not the one any more that this was decided over, and nothing changed.
    pub fn mend_state(
        &self,
        decision: &Decision<'_>,
        back: &[RecoveredEvent],
        more: Option<&Event>,
        now: Timestamp,
    ) -> Result<Option<Vec<DamagedRow>>, CatalogError> {
        self.write(|transaction| {
            if !decision.stands(transaction)? {
                return Ok(None);
            }
            let workflow = decision.workflow;
            states::forget(transaction, workflow)?;
            if let Some(first) = back.first() {
                workflows::insert(transaction, workflow, first.recorded_at)?;
            }
            let mut books = states::Books::afresh(transaction);
            let mut odd = Vec::with_capacity(back.len());
            let mut damaged = Vec::new();
            each_with(transaction, &of(workflow), back, |row| {
                match row {
                    Together::Event { seq, event, comes_back } => {
                        let found = books.fold(workflow, seq, event)?;
                        odd.extend(comes_back.then_some(found));
                    }
                    Together::Damaged(row) => damaged.push(row),
                }
                Ok(())
            })?;
            back.iter().zip(&odd).try_for_each(|(one, odd)| put_back(transaction, one, odd))?;
            more.map_or(Ok(()), |event| append_one(transaction, &mut books, event, now).map(drop))?;
            books.close()?;
            decision.record(transaction, self.veil.as_ref())?;
            Ok(Some(damaged))
        })
    }
}

/// A row of a log to which events come back.
#[derive(Debug)]
pub enum Together<'e> {
    /// An event.
    Event {
        /// Its place.
        seq: EventSeq,
        /// It.
        event: &'e Event,
        /// Whether it is one that comes back.
        comes_back: bool,
    },
    /// One that cannot be read, and does not come back.
    Damaged(DamagedRow),
}

impl<'e> Together<'e> {
    fn of_back(one: &'e RecoveredEvent) -> Self {
        Self::Event { seq: one.seq, event: &one.event, comes_back: true }
    }
}

/// Hands over the events of a query in ascending order, with those that come back at their places among them, for whatever
/// stands there.
fn each_with(
    connection: &Connection,
    query: &EventQuery,
    back: &[RecoveredEvent],
    mut take: impl FnMut(Together<'_>) -> Result<(), CatalogError>,
) -> Result<(), CatalogError> {
    let mut coming = back.iter().peekable();
    let ids: HashSet<&EventId> = back.iter().map(|one| &one.event.event_id).collect();
    list::each_kept(connection, query, |row| {
        let seq = match &row {
            Ok(row) => Some(row.seq),
            Err(row) => row.seq(),
        };
        // What stands at its place goes, and where else it stands by now.
        let is_at =
            |seq: Option<EventSeq>| seq.is_some_and(|seq| back.binary_search_by_key(&seq, |one| one.seq).is_ok());
        let gives_way = is_at(seq) || row.as_ref().is_ok_and(|row| ids.contains(&row.event.event_id));
        while let Some(one) = coming.next_if(|one| seq.is_some_and(|seq| one.seq <= seq)) {
            take(Together::of_back(one))?;
        }
        match row {
            _ if gives_way => Ok(()),
            Ok(row) => take(Together::Event { seq: row.seq, event: &row.event, comes_back: false }),
            Err(row) => take(Together::Damaged(row)),
        }
    })?;
    coming.try_for_each(|one| take(Together::of_back(one)))
}

fn of(workflow: &WorkflowId) -> EventQuery {
    EventQuery { workflow: Some(workflow.clone()), ..EventQuery::default() }
}

fn kept(connection: &Connection, workflow: &WorkflowId) -> Result<Kept, CatalogError> {
    let mut damaged = Vec::new();
    let mut statement = connection.prepare_cached("SELECT head, seq FROM states WHERE workflow_id = ?1")?;
    let mut rows = statement.query([workflow.as_str()])?;
    let (mut head, mut upto, mut is_kept) = (None, None, false);
    if let Some(row) = rows.next()? {
        is_kept = true;
        upto = row.get::<_, i64>(1).ok().map(EventSeq);
        head = read::<Head>("head", &text(row.get_ref(0)?), &mut damaged);
    }
    if let Some(other) = head.as_ref().filter(|head| head.workflow_id != *workflow) {
        let why = format!("it is the head of {}", other.workflow_id);
        damaged.push(DamagedRow { place: "head".to_owned(), why, text: String::new() });
        head = None;
    }
    let has_head = head.is_some();
    let mut whole = Whole { head: head.unwrap_or_else(|| Head::new(workflow.clone())), ..Whole::new(workflow.clone()) };
    let mut tasks = Vec::new();
    let mut statement = connection.prepare_cached("SELECT kind, slot, id, doc FROM parts WHERE workflow_id = ?1")?;
    let mut rows = statement.query([workflow.as_str()])?;
    while let Some(row) = rows.next()? {
        is_kept = true;
        let (kind, id, doc) = (text(row.get_ref(0)?), text(row.get_ref(2)?), text(row.get_ref(3)?));
        let place = format!("{kind}s/{id}");
        if row.get::<_, i64>(1).ok() != Some(i64::from(states::slot(&id))) {
            let why = "it sits in another slot than its id's, where nothing finds it".to_owned();
            damaged.push(DamagedRow { place, why, text: doc });
            continue;
        }
        match kind.as_str() {
            kind if kind == PartKind::Phase.as_str() => {
                put(&mut whole.phases, &id, read::<Phase>(&place, &doc, &mut damaged))
            }
            kind if kind == PartKind::Task.as_str() => {
                let task = read::<Task>(&place, &doc, &mut damaged);
                tasks.extend(id.parse().ok().zip(task));
            }
            kind if kind == PartKind::Agent.as_str() => {
                put(&mut whole.agents, &id, read::<Agent>(&place, &doc, &mut damaged))
            }
            kind if kind == PartKind::Allocation.as_str() => {
                put(&mut whole.allocations, &id, read::<Allocation>(&place, &doc, &mut damaged));
            }
            _ => damaged.push(DamagedRow { place, why: "there is no such kind of part".to_owned(), text: doc }),
        }
    }
    // Rows come by slots: all tasks are put in order at once.
    whole.tasks = by_id(tasks);
    let whole = is_kept.then_some(whole);
    if whole.is_some() && !has_head && damaged.iter().all(|row| row.place != "head") {
        let why = "parts are kept and no head".to_owned();
        damaged.push(DamagedRow { place: "head".to_owned(), why, text: String::new() });
    }
    let notes = snapshots::damaged_notes(connection, workflow)?;
    Ok(Kept { whole, has_head, damaged, notes, upto })
}

/// What a column holds as text, for whoever looks at the damage.
pub(crate) fn text(value: rusqlite::types::ValueRef<'_>) -> String {
    use rusqlite::types::ValueRef as V;
    match value {
        V::Null => String::new(),
        V::Integer(number) => number.to_string(),
        V::Real(number) => number.to_string(),
        V::Text(bytes) | V::Blob(bytes) => String::from_utf8_lossy(bytes).into_owned(),
    }
}

fn read<T: DeserializeOwned>(place: &str, doc: &str, damaged: &mut Vec<DamagedRow>) -> Option<T> {
    match wfr_model::json::stored(doc.as_bytes()) {
        Ok(part) => Some(part),
        Err(error) => {
            damaged.push(DamagedRow { place: place.to_owned(), why: error.to_string(), text: doc.to_owned() });
            None
        }
    }
}

fn put<K: std::str::FromStr + Ord, V>(parts: &mut std::collections::BTreeMap<K, V>, id: &str, part: Option<V>) {
    if let (Ok(id), Some(part)) = (id.parse(), part) {
        parts.insert(id, part);
    }
}
