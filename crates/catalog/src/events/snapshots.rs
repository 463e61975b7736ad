//! What a checkpoint must store of a workflow's state, and of the log: only what no checkpoint holds yet.
//!
//! Owns which leaves of a state changed since its last snapshot, and up to where the log is sealed. Refuses to know how
//! states and seals are stored: leaves are handed over as text.

use rusqlite::{Connection, OptionalExtension, Row};
use wfr_model::checkpoint::SealedEvents;
use wfr_model::{CheckpointId, Digest, WorkflowId};

use super::{DamagedRow, EventSeq, PartKind};
use crate::catalog::Catalog;
use crate::columns;
use crate::error::CatalogError;

/// A part belongs to the leaf that the highest 12 of its slot's 32 bits name.
const LEAF_SHIFT: u32 = 20;

/// A state's leaf: its kind and its number, from 0 to 4095.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Leaf {
    /// What its parts are.
    pub kind: PartKind,
    /// Which.
    pub number: u16,
    /// Its parts as a JSON array, by slot and id; empty where none is left.
    pub parts: String,
}

/// What a snapshot of a state must store.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Unstored {
    /// The state is the fold up to this event.
    pub upto: EventSeq,
    /// Its head, as JSON.
    pub head: String,
    /// The state that a checkpoint holds already, and that differs in the leaves below only; `None`: all are below.
    pub base: Option<Digest>,
    /// The leaves, by kind and number.
    pub leaves: Vec<Leaf>,
}

/// A state that a checkpoint stored.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Snapshot {
    /// Its root object.
    pub state: Digest,
    /// It is the fold up to this event.
    pub upto: EventSeq,
}

/// An object that holds events.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Seal {
    /// The object.
    pub object: Digest,
    /// The last event in it.
    pub upto: EventSeq,
}

impl Seal {
    /// A seal as manifests and marks name it.
    pub fn of(sealed: &SealedEvents) -> Self {
        Self { object: sealed.object, upto: EventSeq(sealed.upto) }
    }
}

impl Catalog {
    /// What of a workflow's state no standing checkpoint holds; `None` where no event of it was folded. Without
    /// `on_base` nothing that a checkpoint holds is relied on.
    pub fn unstored_state(&self, workflow: &WorkflowId, on_base: bool) -> Result<Option<Unstored>, CatalogError> {
        self.read(|connection| {
            let mut statement = connection.prepare_cached("SELECT seq, head FROM states WHERE workflow_id = ?1")?;
            let found = statement.query_row([workflow.as_str()], |row| Ok((EventSeq(row.get(0)?), row.get(1)?)));
            let Some((upto, head)) = found.optional()? else { return Ok(None) };
            let base = if on_base { base(connection, workflow)? } else { None };
            let noted = base.map(|base| Ok((base, dirty_leaves(connection, workflow)?))).transpose();
            let (base, leaves) = match noted {
                Ok(Some((base, leaves))) => (Some(base), leaves),
                // Notes that cannot be read say nothing of what changed: all is stored anew.
                Ok(None) | Err(CatalogError::Corrupt { .. }) => (None, all_leaves(connection, workflow)?),
                Err(error) => return Err(error),
            };
            Ok(Some(Unstored { upto, head, base, leaves }))
        })
    }

    /// Up to which event the state is folded that a checkpoint holds; `None` where it holds none, or a later one of its workflow
    /// does.
    pub fn snapshot_upto(&self, checkpoint: &CheckpointId) -> Result<Option<EventSeq>, CatalogError> {
        let mut statement = self.connection.prepare_cached("SELECT seq FROM snapshots WHERE checkpoint_id = ?1")?;
        Ok(statement.query_row([checkpoint.as_str()], |row| row.get(0).map(EventSeq)).optional()?)
    }

    /// Up to where events are in seals; `None` where none is.
    pub fn sealed_upto(&self) -> Result<Option<EventSeq>, CatalogError> {
        let mut statement = self.connection.prepare_cached("SELECT max(upto_seq) FROM seals")?;
        Ok(statement.query_row([], |row| row.get::<_, Option<i64>>(0))?.map(EventSeq))
    }

    /// All seals, in the order of their events.
    pub fn seals(&self) -> Result<Vec<Seal>, CatalogError> {
        let mut statement = self.connection.prepare_cached("SELECT object, upto_seq FROM seals ORDER BY upto_seq")?;
        let seals = statement
            .query_map([], |row| Ok(Seal { object: columns::digest(row, 0)?, upto: EventSeq(row.get(1)?) }))?;
        Ok(seals.collect::<Result<_, _>>()?)
    }
}

/// The last snapshot, where its checkpoint stands: cleanup keeps what that names.
fn base(connection: &Connection, workflow: &WorkflowId) -> Result<Option<Digest>, CatalogError> {
    let sql = "SELECT s.state FROM snapshots s JOIN checkpoints c ON c.checkpoint_id = s.checkpoint_id
               WHERE s.workflow_id = ?1 AND c.deleted_at IS NULL";
    let mut statement = connection.prepare_cached(sql)?;
    Ok(statement.query_row([workflow.as_str()], |row| columns::digest(row, 0)).optional()?)
}

fn all_leaves(connection: &Connection, workflow: &WorkflowId) -> Result<Vec<Leaf>, CatalogError> {
    let sql = "SELECT kind, slot >> ?2, doc FROM parts WHERE workflow_id = ?1 ORDER BY kind, slot, id";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query((workflow.as_str(), LEAF_SHIFT))?;
    let mut leaves: Vec<Leaf> = Vec::new();
    while let Some(row) = rows.next()? {
        let (kind, number) = place(row)?;
        if leaves.last().is_none_or(|leaf| (leaf.kind, leaf.number) != (kind, number)) {
            leaves.push(Leaf { kind, number, parts: String::new() });
        }
        if let Some(leaf) = leaves.last_mut() {
            add(&mut leaf.parts, row.get_ref(2)?.as_str().map_err(rusqlite::Error::from)?);
        }
    }
    leaves.iter_mut().for_each(|leaf| leaf.parts.push(']'));
    Ok(leaves)
}

fn dirty_leaves(connection: &Connection, workflow: &WorkflowId) -> Result<Vec<Leaf>, CatalogError> {
    let sql = "SELECT kind, leaf FROM dirty_leaves WHERE workflow_id = ?1 ORDER BY kind, leaf";
    let mut statement = connection.prepare_cached(sql)?;
    let places = statement.query_map([workflow.as_str()], noted)?.collect::<Result<Vec<_>, _>>()?;
    places.into_iter().map(|(kind, number)| leaf(connection, workflow, kind, number)).collect()
}

fn leaf(connection: &Connection, workflow: &WorkflowId, kind: PartKind, number: u16) -> Result<Leaf, CatalogError> {
    let sql = "SELECT doc FROM parts WHERE workflow_id = ?1 AND kind = ?2 AND slot BETWEEN ?3 AND ?4 ORDER BY slot, id";
    let mut statement = connection.prepare_cached(sql)?;
    let first = i64::from(number) << LEAF_SHIFT;
    let last = first + (1 << LEAF_SHIFT) - 1;
    let mut rows = statement.query((workflow.as_str(), kind.as_str(), first, last))?;
    let mut parts = String::new();
    while let Some(row) = rows.next()? {
        add(&mut parts, row.get_ref(0)?.as_str().map_err(rusqlite::Error::from)?);
    }
    if !parts.is_empty() {
        parts.push(']');
    }
    Ok(Leaf { kind, number, parts })
}

/// Adds a part to an array that is not closed yet.
fn add(parts: &mut String, doc: &str) {
    parts.push(if parts.is_empty() { '[' } else { ',' });
    parts.push_str(doc);
}

/// Notes of a workflow's changed leaves that name none.
pub(super) fn damaged_notes(connection: &Connection, workflow: &WorkflowId) -> Result<Vec<DamagedRow>, CatalogError> {
    let sql = "SELECT kind, leaf FROM dirty_leaves WHERE workflow_id = ?1 ORDER BY kind, leaf";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query([workflow.as_str()])?;
    let mut damaged = Vec::new();
    while let Some(row) = rows.next()? {
        if noted(row).is_err() {
            let [kind, leaf] = [row.get_ref(0)?, row.get_ref(1)?].map(columns::shown);
            let why = "no part of a state has this place".to_owned();
            damaged.push(DamagedRow { place: format!("dirty_leaves/{kind}/{leaf}"), why, text: String::new() });
        }
    }
    Ok(damaged)
}

/// The leaf that a note names.
fn noted(row: &Row<'_>) -> rusqlite::Result<(PartKind, u16)> {
    let (kind, number) = place(row)?;
    if u32::from(number) > leaf_of(u32::MAX) {
        return Err(rusqlite::Error::IntegralValueOutOfRange(1, number.into()));
    }
    Ok((kind, number))
}

fn place(row: &Row<'_>) -> rusqlite::Result<(PartKind, u16)> {
    Ok((columns::word(row, 0)?, row.get(1)?))
}

/// The leaf of a slot.
pub(super) fn leaf_of(slot: u32) -> u32 {
    slot >> LEAF_SHIFT
}

/// Notes that an event changed a leaf, within the caller's transaction.
pub(super) fn mark(
    connection: &Connection,
    workflow: &WorkflowId,
    kind: PartKind,
    leaf: u32,
    upto: EventSeq,
) -> Result<(), CatalogError> {
    let sql = "INSERT INTO dirty_leaves (workflow_id, kind, leaf, seq) VALUES (?1, ?2, ?3, ?4)
               ON CONFLICT DO UPDATE SET seq = excluded.seq";
    connection.prepare_cached(sql)?.execute((workflow.as_str(), kind.as_str(), leaf, upto.0))?;
    Ok(())
}

/// Notes that a checkpoint holds a state, within the transaction that commits it. A later one stays.
pub(crate) fn settle(
    connection: &Connection,
    workflow: &WorkflowId,
    checkpoint: &CheckpointId,
    snapshot: &Snapshot,
) -> Result<(), CatalogError> {
    let sql = "INSERT INTO snapshots (workflow_id, seq, state, checkpoint_id) VALUES (?1, ?2, ?3, ?4)
               ON CONFLICT (workflow_id) DO UPDATE
               SET seq = excluded.seq, state = excluded.state, checkpoint_id = excluded.checkpoint_id
               WHERE excluded.seq >= snapshots.seq";
    let row = (workflow.as_str(), snapshot.upto.0, snapshot.state.0, checkpoint.as_str());
    if connection.prepare_cached(sql)?.execute(row)? > 0 {
        let sql = "DELETE FROM dirty_leaves WHERE workflow_id = ?1 AND seq <= ?2";
        connection.prepare_cached(sql)?.execute((workflow.as_str(), snapshot.upto.0))?;
    }
    Ok(())
}

/// Notes seals, within the transaction that commits their checkpoint.
pub(crate) fn seal(connection: &Connection, seals: &[Seal]) -> Result<(), CatalogError> {
    let sql = "INSERT INTO seals (object, upto_seq) VALUES (?1, ?2) ON CONFLICT DO NOTHING";
    let mut statement = connection.prepare_cached(sql)?;
    for seal in seals {
        statement.execute((seal.object.0, seal.upto.0))?;
    }
    Ok(())
}
