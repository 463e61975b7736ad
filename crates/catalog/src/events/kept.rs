//! What is kept of a state, row by row, also where rows are damaged, and how it is made anew.
//!
//! Owns the telling of damage: a row that does not say what its place promises is named, and the rest goes on. Refuses
//! to judge what whole rows say.

use rusqlite::Connection;
use serde::de::DeserializeOwned;
use serde_json::Value;
use wfr_model::workflow::{Agent, Allocation, Head, Phase, Task, Whole};
use wfr_model::{Event, Timestamp, WorkflowId};

use super::list::{self, EventQuery};
use super::{Appended, EventRow, EventSeq, PartKind, append_one, states};
use crate::catalog::Catalog;
use crate::error::CatalogError;

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

/// What is kept of a state.
#[derive(Clone, PartialEq, Debug)]
pub struct Kept {
    /// All of it that can be read; `None` where nothing is kept.
    pub whole: Option<Whole>,
    /// Whether its head can be read.
    pub has_head: bool,
    /// The rows that cannot.
    pub damaged: Vec<DamagedRow>,
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

    /// Folds all events of a workflow again, those that can be read, and appends one more: one transaction. The answer
    /// names the events that are damaged.
    pub fn mend_state(
        &self,
        workflow: &WorkflowId,
        more: Option<&Event>,
        now: Timestamp,
    ) -> Result<(Vec<DamagedRow>, Option<Appended>), CatalogError> {
        self.write(|transaction| {
            states::forget(transaction, workflow)?;
            let mut books = states::Books::new(transaction);
            let mut damaged = Vec::new();
            list::each_kept(transaction, &of(workflow), |row| {
                match row {
                    Ok(row) => drop(books.fold(workflow, row.seq, &row.event)?),
                    Err(row) => damaged.push(row),
                }
                Ok(())
            })?;
            let more = more.map(|event| append_one(transaction, &mut books, event, now)).transpose()?;
            books.close()?;
            Ok((damaged, more))
        })
    }
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
                put(&mut whole.tasks, &id, read::<Task>(&place, &doc, &mut damaged))
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
    let whole = is_kept.then_some(whole);
    if whole.is_some() && !has_head && damaged.iter().all(|row| row.place != "head") {
        let why = "parts are kept and no head".to_owned();
        damaged.push(DamagedRow { place: "head".to_owned(), why, text: String::new() });
    }
    Ok(Kept { whole, has_head, damaged, upto })
}

/// What a column holds as text, for whoever looks at the damage.
pub(super) fn text(value: rusqlite::types::ValueRef<'_>) -> String {
    use rusqlite::types::ValueRef as V;
    match value {
        V::Null => String::new(),
        V::Integer(number) => number.to_string(),
        V::Real(number) => number.to_string(),
        V::Text(bytes) | V::Blob(bytes) => String::from_utf8_lossy(bytes).into_owned(),
    }
}

fn read<T: DeserializeOwned>(place: &str, doc: &str, damaged: &mut Vec<DamagedRow>) -> Option<T> {
    let read = serde_json::from_str::<Value>(doc).and_then(serde_json::from_value);
    match read {
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
