//! Recoveries: begun, ended, undone.
//!
//! Owns the record of each recovery and which one `undo` takes. Refuses to run one: a recovery's steps stand in its
//! journal, and the journal decides whether it happened.
//!
//! **Undo.** Undoing recovery X is a recovery U of its own with `undoes = X`; when U ended done or partial, X is
//! marked `undone_by = U`, unless U left all alone and changed nothing. `undo` takes the newest recovery that ended done or partial, changed something and is not undone. So an undo
//! right after U takes U back (which redoes X), and the one after that takes X back again.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, Row, Rows, named_params, types};
use serde_json::Value;
use wfr_model::recovery::{ApplyReport, RecoveryKind, RecoveryRecord, RecoveryStatus};
use wfr_model::{CheckpointId, Event, RecoveryId, Timestamp, WorkflowId};

use crate::catalog::Catalog;
use crate::columns;
use crate::error::{CatalogError, Source};
use crate::events;
use crate::holds::{self, Acquired, Hold, HoldRequest, Owner};
use crate::ledger::{self, NewPoint};
use crate::operations::{self, NewOperation};
use crate::outbox::{self, NewMessage};
use crate::veil::{self, Veil};
use crate::workflows;

/// Which recoveries to list; the default is all.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct RecoveryFilter {
    /// Of this workflow only.
    pub workflow: Option<WorkflowId>,
    /// With this status only.
    pub status: Option<RecoveryStatus>,
}

/// How a recovery ended.
#[derive(Clone, PartialEq, Debug)]
pub struct RecoveryEnd {
    /// Any status but `started`.
    pub status: RecoveryStatus,
    /// Step by step; `None` where it ended before any.
    pub report: Option<ApplyReport>,
    /// When.
    pub ended_at: Timestamp,
}

/// What is recorded in one step with a recovery's beginning or end.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Beside {
    /// Events, which come first.
    pub events: Vec<Event>,
    /// Messages, which go out behind them.
    pub messages: Vec<NewMessage>,
    /// Lines of the audit trail.
    pub operations: Vec<NewOperation>,
    /// What it did to the tree, for the ledger.
    pub point: Option<NewPoint>,
    /// Whether an undo changed nothing, since all was left alone: what it was to undo is not undone then.
    pub is_in_vain: bool,
}

/// A hold that a recovery takes as it begins.
pub struct Taking<'t> {
    /// Which.
    pub request: HoldRequest<'t>,
    /// Whether the owner of one that stands lives; runs under the catalog's write lock and must be quick.
    pub alive: &'t dyn Fn(&Owner) -> bool,
    /// Whether one that stands gives way.
    pub yields: &'t dyn Fn(&Hold) -> bool,
}

/// How long a recovery took, and how much it did.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Took {
    /// From its beginning to its end.
    pub length: Duration,
    /// Steps that ended as planned.
    pub steps: u64,
}

/// A record that cannot be read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DamagedRecord {
    /// Of which recovery: what stands in the id's place, which may be no id.
    pub recovery: String,
    /// Whose, with the checkpoint that saved the tree before it, where that is there.
    pub before: Option<(WorkflowId, CheckpointId)>,
    /// What does not fit.
    pub why: String,
}

const SELECT: &str = "SELECT recovery_id, kind, workflow_id, target, safety, status, actor, parameters, undoes, \
                      undone_by, started_at, ended_at, report, sealed_parameters, sealed_report FROM recoveries ";

/// The end of these columns.
const REPORTS: &str = "report, sealed_parameters, sealed_report";

impl Catalog {
    /// Records that a recovery begins: status `started`, no end, no report; takes a hold for it; and records what goes with
    /// it, given the hold that was taken over for it: in one transaction. That one stands again when the new one is given back.
    /// Its workflow is registered where unknown.
    ///
    /// [`CatalogError::Held`] where the hold is not to be had, [`CatalogError::NotFound`] where the target, or what saved the
    /// tree, is no undeleted checkpoint, [`CatalogError::NotUndoable`] where what it undoes did not end or is undone already.
    pub fn begin_recovery(
        &self,
        record: &RecoveryRecord,
        taking: Option<&Taking<'_>>,
        beside: &dyn Fn(Option<&Hold>) -> Beside,
    ) -> Result<Option<Acquired>, CatalogError> {
        if record.status != RecoveryStatus::Started || record.ended_at.is_some() || record.undone_by.is_some() {
            return Err(CatalogError::Refused("a recovery that begins has not ended"));
        }
        let veil = self.veil.as_ref();
        self.write(|transaction| {
            std::iter::once(&record.target)
                .chain(&record.safety_checkpoint)
                .try_for_each(|id| check_stands(transaction, id))?;
            if let Some(undone) = &record.undoes {
                check_undoable(transaction, undone)?;
            }
            if find(transaction, veil, &record.recovery_id)?.is_some() {
                return Err(CatalogError::IdTaken { what: "recovery", id: record.recovery_id.to_string() });
            }
            workflows::insert(transaction, &record.workflow_id, record.started_at)?;
            insert(transaction, veil, record)?;
            let take = |taking: &Taking<'_>| holds::acquire(transaction, &taking.request, taking.alive, taking.yields);
            let acquired = taking.map(take).transpose()?;
            let preempted = acquired.as_ref().and_then(|acquired| acquired.preempted.as_ref());
            if let Some(hold) = preempted {
                holds::keep_waiting(transaction, hold)?;
            }
            put_beside(transaction, &beside(preempted), record.started_at)?;
            Ok(acquired)
        })
    }

    /// Records the checkpoint that saved the tree before a recovery.
    pub fn set_safety(&self, id: &RecoveryId, safety: &CheckpointId) -> Result<(), CatalogError> {
        let sql = "UPDATE recoveries SET safety = ?2 WHERE recovery_id = ?1 AND status = 'started'";
        self.write(|transaction| {
            if transaction.prepare_cached(sql)?.execute((id.as_str(), safety.as_str()))? == 0 {
                return Err(CatalogError::not_found("unfinished recovery", id));
            }
            Ok(())
        })
    }

    /// Records how a recovery ended, marks what it undid, and appends to the audit trail and the log, in one transaction.
    /// What is recorded beside is asked within it, so that it can follow from the state that it meets.
    ///
    /// Doing so again with the same status changes nothing; with another one, [`CatalogError::AlreadyFinished`].
    pub fn finish_recovery(
        &self,
        id: &RecoveryId,
        end: &RecoveryEnd,
        audit: &NewOperation,
        beside: &dyn Fn() -> Result<Beside, CatalogError>,
    ) -> Result<(), CatalogError> {
        if end.status == RecoveryStatus::Started {
            return Err(CatalogError::Refused("a recovery does not end as started"));
        }
        let veil = self.veil.as_ref();
        self.write(|transaction| {
            let record = find(transaction, veil, id)?.ok_or_else(|| CatalogError::not_found("recovery", id))?;
            if record.status != RecoveryStatus::Started {
                return same_end(&record, end);
            }
            set_end(transaction, veil, id, end)?;
            let beside = beside()?;
            let is_applied = matches!(end.status, RecoveryStatus::Done | RecoveryStatus::Partial);
            if let Some(undone) = record.undoes.as_ref().filter(|_| is_applied && !beside.is_in_vain) {
                mark_undone(transaction, undone, id)?;
            }
            put_beside(transaction, &beside, end.ended_at)?;
            operations::insert(transaction, audit)
        })
    }

    /// A recovery by its id.
    pub fn recovery(&self, id: &RecoveryId) -> Result<Option<RecoveryRecord>, CatalogError> {
        find(&self.connection, self.veil.as_ref(), id)
    }

    /// Recoveries whose ids begin with a text, newest first, at most `limit`.
    pub fn recoveries_like(&self, prefix: &str, limit: u32) -> Result<Vec<RecoveryRecord>, CatalogError> {
        // Ids hold no byte above `z`, so DEL closes the range.
        let sql =
            format!("{SELECT} WHERE recovery_id >= ?1 AND recovery_id < ?1 || char(127) ORDER BY seq DESC LIMIT ?2");
        let mut statement = self.connection.prepare_cached(&sql)?;
        self.read_all(statement.query((prefix, limit))?)
    }

    /// Recoveries, newest first. Those whose rows cannot be read are left out: [`Catalog::damaged_recoveries`] names them.
    pub fn recoveries(&self, filter: &RecoveryFilter, limit: u32) -> Result<Vec<RecoveryRecord>, CatalogError> {
        self.listed(SELECT, filter, limit)
    }

    /// The same without their reports, which name every path that they changed.
    pub fn recoveries_bare(&self, filter: &RecoveryFilter, limit: u32) -> Result<Vec<RecoveryRecord>, CatalogError> {
        self.listed(&SELECT.replace(REPORTS, "NULL, sealed_parameters, NULL"), filter, limit)
    }

    fn listed(&self, select: &str, filter: &RecoveryFilter, limit: u32) -> Result<Vec<RecoveryRecord>, CatalogError> {
        let sql = format!(
            "{select} WHERE (?1 IS NULL OR workflow_id = ?1) AND (?2 IS NULL OR status = ?2) ORDER BY seq DESC LIMIT ?3"
        );
        let workflow = filter.workflow.as_ref().map(WorkflowId::as_str);
        let mut statement = self.connection.prepare_cached(&sql)?;
        let rows = statement
            .query_map((workflow, filter.status.map(RecoveryStatus::as_str), limit), |row| self.decode(row))?;
        let rows = rows.map(|row| whole(row).map(Result::ok)).filter_map(Result::transpose);
        rows.collect()
    }

    /// The records of recoveries, of a workflow or of all, that cannot be read, newest first.
    pub fn damaged_recoveries(&self, workflow: Option<&WorkflowId>) -> Result<Vec<DamagedRecord>, CatalogError> {
        let sql = format!("{SELECT} WHERE (?1 IS NULL OR workflow_id = ?1) ORDER BY seq DESC");
        let mut statement = self.connection.prepare_cached(&sql)?;
        let mut rows = statement.query([workflow.map(WorkflowId::as_str)])?;
        let mut damaged = Vec::new();
        while let Some(row) = rows.next()? {
            match self.read_one(row) {
                Err(CatalogError::RecoveryDamaged { recovery, before, source }) => {
                    damaged.push(DamagedRecord { recovery, before, why: source.to_string() });
                }
                read => drop(read?),
            }
        }
        Ok(damaged)
    }

    /// How long the newest recoveries of a kind took that ended well, at most `limit`, the newest first. Reads no report.
    pub fn recovery_lengths(&self, kind: RecoveryKind, limit: u32) -> Result<Vec<Duration>, CatalogError> {
        let sql = "SELECT max(ended_at - started_at, 0) FROM recoveries
                   WHERE status = 'done' AND kind = ?1 AND ended_at IS NOT NULL ORDER BY seq DESC LIMIT ?2";
        let mut statement = self.connection.prepare_cached(sql)?;
        let length = |row: &Row<'_>| columns::count(row, 0).map(Duration::from_nanos);
        let rows = statement.query_map((kind.as_str(), limit), length)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// The same with how much each did, for those that did anything, but for one.
    pub fn recovery_rates(&self, kind: RecoveryKind, but: &RecoveryId, limit: u32) -> Result<Vec<Took>, CatalogError> {
        let sql = "SELECT max(ended_at - started_at, 0), steps FROM recoveries
                   WHERE status = 'done' AND kind = ?1 AND ended_at IS NOT NULL AND recovery_id <> ?3 AND steps > 0
                   ORDER BY seq DESC LIMIT ?2";
        let mut statement = self.connection.prepare_cached(sql)?;
        let took = |row: &Row<'_>| {
            Ok(Took { length: Duration::from_nanos(columns::count(row, 0)?), steps: columns::count(row, 1)? })
        };
        let rows = statement.query_map((kind.as_str(), limit, but.as_str()), took)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Recoveries that began and have no end recorded, oldest first.
    pub fn unfinished(&self) -> Result<Vec<RecoveryRecord>, CatalogError> {
        let mut statement =
            self.connection.prepare_cached(&format!("{SELECT} WHERE status = 'started' ORDER BY seq"))?;
        self.read_all(statement.query([])?)
    }

    /// Whether the end of a recovery is recorded, and how it ended; reads nothing else of its record.
    pub fn recovery_end(&self, id: &RecoveryId) -> Result<Option<RecoveryStatus>, CatalogError> {
        let sql = "SELECT status FROM recoveries WHERE recovery_id = ?1 AND status <> 'started'";
        let mut statement = self.connection.prepare_cached(sql)?;
        Ok(statement.query_row([id.as_str()], |row| columns::word(row, 0)).optional()?)
    }

    /// The recovery that a checkpoint was taken for, to save the tree; `None` where it was taken for something else.
    pub fn recovery_saved_by(&self, safety: &CheckpointId) -> Result<Option<RecoveryRecord>, CatalogError> {
        let mut statement = self.connection.prepare_cached(&format!("{SELECT} WHERE safety = ?1"))?;
        let mut rows = statement.query([safety.as_str()])?;
        rows.next()?.map(|row| self.read_one(row)).transpose()
    }

    /// The newest recovery, of a workflow or of any, that ended done or partial, is not undone and changed something: a path,
    /// as its report tells, or what no report tells of, which is asked of `changed_else`. An undo that left all alone, so that
    /// what it was to undo still stands, is none. `None` where there is none.
    pub fn latest_undoable(
        &self,
        workflow: Option<&WorkflowId>,
        changed_else: &dyn Fn(&RecoveryRecord) -> bool,
    ) -> Result<Option<RecoveryRecord>, CatalogError> {
        let sql = format!(
            "{SELECT} WHERE status IN ('done', 'partial') AND undone_by IS NULL AND (?1 IS NULL OR workflow_id = ?1)
             AND because IS NULL AND recovery_id = coalesce(
               (SELECT coalesce(undone.undone_by, '') FROM recoveries undone WHERE undone.recovery_id = recoveries.undoes), recovery_id)
             ORDER BY seq DESC"
        );
        let mut statement = self.connection.prepare_cached(&sql)?;
        let mut rows = statement.query([workflow.map(WorkflowId::as_str)])?;
        let changed_paths = |record: &RecoveryRecord| record.report.as_ref().is_some_and(|one| !one.changed.is_empty());
        while let Some(row) = rows.next()? {
            // Of one that cannot be read nobody can tell: an older one is never taken in its place.
            let record = self.read_one(row)?;
            if changed_paths(&record) || changed_else(&record) {
                return Ok(Some(record));
            }
        }
        Ok(None)
    }

    fn decode(&self, row: &Row<'_>) -> rusqlite::Result<RecoveryRecord> {
        decode(row, self.veil.as_ref())
    }

    fn read_one(&self, row: &Row<'_>) -> Result<RecoveryRecord, CatalogError> {
        read(&self.connection, self.veil.as_ref(), row)
    }

    fn read_all(&self, mut rows: Rows<'_>) -> Result<Vec<RecoveryRecord>, CatalogError> {
        let mut records = Vec::new();
        while let Some(row) = rows.next()? {
            records.push(self.read_one(row)?);
        }
        Ok(records)
    }

    /// Checkpoints that cleanup must keep whole: the targets and safety checkpoints of unfinished recoveries, and
    /// those of the newest `undoable_max` recoveries that can still be undone: an undo compares what there is with what the
    /// recovery left. One whose safety checkpoint was deleted cannot: what it held may be gone, so it is never pinned again.
    pub fn pinned_checkpoints(&self, undoable_max: u32) -> Result<Vec<CheckpointId>, CatalogError> {
        Ok(pinned(&self.connection, undoable_max)?)
    }
}

/// A record, or why its row is damaged. One that cannot be read for another reason, such as a key that is not there, is an error.
fn whole(row: rusqlite::Result<RecoveryRecord>) -> Result<Result<RecoveryRecord, Source>, CatalogError> {
    match row.map_err(CatalogError::from) {
        Ok(record) => Ok(Ok(record)),
        Err(CatalogError::Corrupt { source }) => Ok(Err(source)),
        Err(other) => Err(other),
    }
}

/// The record in a row of [`SELECT`]. One that is damaged is named, with what saved the tree before it.
fn read(connection: &Connection, veil: Option<&Veil>, row: &Row<'_>) -> Result<RecoveryRecord, CatalogError> {
    let source = match whole(decode(row, veil))? {
        Ok(record) => return Ok(record),
        Err(source) => source,
    };
    let standing = |safety: CheckpointId| check_stands(connection, &safety).ok().map(|()| safety);
    let safety = columns::id_or_null(row, 4).ok().flatten().and_then(standing);
    // Before one that has not ended is ended nothing else is done.
    let is_over = columns::word(row, 5).is_ok_and(|status: RecoveryStatus| status != RecoveryStatus::Started);
    let before = columns::id(row, 2).ok().zip(safety).filter(|_| is_over);
    Err(CatalogError::RecoveryDamaged { recovery: events::text(row.get_ref(0)?), before, source })
}

/// Whether the record of an id can be read with a key. One for which there is none counts as whole.
pub(crate) fn is_readable(
    connection: &Connection,
    veil: Option<&Veil>,
    id: &types::Value,
) -> Result<bool, CatalogError> {
    let mut statement = connection.prepare_cached(&format!("{SELECT} WHERE recovery_id = ?1"))?;
    match statement.query_row([id], |row| decode(row, veil)).map_err(CatalogError::from) {
        Ok(_) | Err(CatalogError::Sealed { .. }) => Ok(true),
        Err(CatalogError::Corrupt { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

/// See [`Catalog::pinned_checkpoints`]; within the caller's transaction if there is one.
pub(crate) fn pinned(connection: &Connection, undoable_max: u32) -> rusqlite::Result<Vec<CheckpointId>> {
    let sql = "WITH standing AS (SELECT checkpoint_id FROM checkpoints WHERE deleted_at IS NULL),
                 undoable AS (SELECT safety, target FROM recoveries
                              WHERE status IN ('done', 'partial') AND undone_by IS NULL AND safety IN standing
                              ORDER BY seq DESC LIMIT ?1)
               SELECT target FROM recoveries WHERE status = 'started'
               UNION SELECT safety FROM recoveries WHERE status = 'started' AND safety IS NOT NULL
               UNION SELECT safety FROM undoable
               UNION SELECT target FROM undoable WHERE target IN standing";
    let mut statement = connection.prepare_cached(sql)?;
    let ids = statement.query_map([undoable_max], |row| columns::id(row, 0))?;
    ids.collect()
}

fn put_beside(connection: &Connection, beside: &Beside, now: Timestamp) -> Result<(), CatalogError> {
    events::append_beside(connection, &beside.events, now)?;
    beside.messages.iter().try_for_each(|message| outbox::insert(connection, message))?;
    beside.operations.iter().try_for_each(|operation| operations::insert(connection, operation))?;
    beside.point.as_ref().map_or(Ok(()), |point| ledger::insert(connection, point).map(drop))
}

/// Inserts a record as it is, within the caller's transaction.
pub(crate) fn insert(
    connection: &Connection,
    veil: Option<&Veil>,
    record: &RecoveryRecord,
) -> Result<(), CatalogError> {
    let sql = "INSERT INTO recoveries
                 (recovery_id, kind, workflow_id, target, safety, status, actor, parameters, sealed_parameters, because,
                  undoes, undone_by, started_at, ended_at, report, sealed_report, steps)
               VALUES (:id, :kind, :workflow, :target, :safety, :status, :actor, :parameters, :sealed_parameters, :because,
                       :undoes, :undone_by, :started_at, :ended_at, :report, :sealed_report, :steps)";
    let (parameters, sealed_parameters) = veil::covered(veil, Some(columns::to_text(&record.parameters)))?;
    let (report, sealed_report) = veil::covered(veil, report_text(record.report.as_ref()))?;
    connection.prepare_cached(sql)?.execute(named_params! {
        ":id": record.recovery_id.as_str(),
        ":kind": record.kind.as_str(),
        ":workflow": record.workflow_id.as_str(),
        ":target": record.target.as_str(),
        ":safety": record.safety_checkpoint.as_ref().map(CheckpointId::as_str),
        ":status": record.status.as_str(),
        ":actor": record.actor,
        ":parameters": parameters.as_deref().unwrap_or("null"),
        ":sealed_parameters": sealed_parameters,
        ":because": record.parameters.get("because").and_then(Value::as_str),
        ":undoes": record.undoes.as_ref().map(RecoveryId::as_str),
        ":undone_by": record.undone_by.as_ref().map(RecoveryId::as_str),
        ":started_at": record.started_at.0,
        ":ended_at": record.ended_at.map(|time| time.0),
        ":report": report,
        ":sealed_report": sealed_report,
        ":steps": steps(record.report.as_ref()),
    })?;
    Ok(())
}

/// Inserts a recovery that ended in the transaction that it began in, the caller's.
pub(crate) fn insert_ended(
    connection: &Connection,
    veil: Option<&Veil>,
    record: &RecoveryRecord,
) -> Result<(), CatalogError> {
    if record.status == RecoveryStatus::Started || record.ended_at.is_none() {
        return Err(CatalogError::Refused("a recovery that ended has an end"));
    }
    check_stands(connection, &record.target)?;
    insert(connection, veil, record)
}

/// A recovery by its id, within the caller's transaction if there is one.
pub(crate) fn find(
    connection: &Connection,
    veil: Option<&Veil>,
    id: &RecoveryId,
) -> Result<Option<RecoveryRecord>, CatalogError> {
    let mut statement = connection.prepare_cached(&format!("{SELECT} WHERE recovery_id = ?1"))?;
    let mut rows = statement.query([id.as_str()])?;
    rows.next()?.map(|row| read(connection, veil, row)).transpose()
}

fn check_stands(connection: &Connection, checkpoint: &CheckpointId) -> Result<(), CatalogError> {
    let sql = "SELECT 1 FROM checkpoints WHERE checkpoint_id = ?1 AND deleted_at IS NULL";
    if connection.prepare_cached(sql)?.exists([checkpoint.as_str()])? {
        return Ok(());
    }
    Err(CatalogError::not_found("checkpoint", checkpoint))
}

fn check_undoable(connection: &Connection, id: &RecoveryId) -> Result<(), CatalogError> {
    let sql = "SELECT status, undone_by FROM recoveries WHERE recovery_id = ?1";
    let ends = |row: &Row<'_>| Ok((columns::word(row, 0)?, columns::id_or_null::<RecoveryId>(row, 1)?));
    let found = connection.prepare_cached(sql)?.query_row([id.as_str()], ends).optional()?;
    let refuse = |why: String| Err(CatalogError::NotUndoable { id: id.clone(), why });
    match found.ok_or_else(|| CatalogError::not_found("recovery", id))? {
        (RecoveryStatus::Done | RecoveryStatus::Partial, None) => Ok(()),
        (_, Some(by)) => refuse(format!("{by} has undone it")),
        (status, None) => refuse(format!("it is {}", status.as_str().replace('_', " "))),
    }
}

fn same_end(record: &RecoveryRecord, end: &RecoveryEnd) -> Result<(), CatalogError> {
    if record.status == end.status {
        return Ok(());
    }
    Err(CatalogError::AlreadyFinished { id: record.recovery_id.clone(), status: record.status.as_str() })
}

fn set_end(
    connection: &Connection,
    veil: Option<&Veil>,
    id: &RecoveryId,
    end: &RecoveryEnd,
) -> Result<(), CatalogError> {
    let sql = "UPDATE recoveries SET status = ?2, report = ?3, sealed_report = ?4, steps = ?5, ended_at = ?6
               WHERE recovery_id = ?1";
    let (report, sealed) = veil::covered(veil, report_text(end.report.as_ref()))?;
    let steps = steps(end.report.as_ref());
    connection.prepare_cached(sql)?.execute((
        id.as_str(),
        end.status.as_str(),
        report,
        sealed,
        steps,
        end.ended_at.0,
    ))?;
    Ok(())
}

/// How many steps ended as planned.
fn steps(report: Option<&ApplyReport>) -> Option<i64> {
    report.map(|report| columns::signed(report.changed.len() as u64))
}

fn mark_undone(connection: &Connection, id: &RecoveryId, by: &RecoveryId) -> Result<(), CatalogError> {
    let sql = "UPDATE recoveries SET undone_by = ?2 WHERE recovery_id = ?1 AND undone_by IS NULL";
    connection.prepare_cached(sql)?.execute((id.as_str(), by.as_str()))?;
    Ok(())
}

fn report_text(report: Option<&ApplyReport>) -> Option<String> {
    report.map(|report| serde_json::to_string(report).expect("a report has string keys only"))
}

fn decode(row: &Row<'_>, veil: Option<&Veil>) -> rusqlite::Result<RecoveryRecord> {
    let sealed = |index: usize| -> rusqlite::Result<Option<Vec<u8>>> {
        let sealed: Option<Vec<u8>> = row.get(index)?;
        sealed.map(|sealed| veil::uncovered(veil, index, &sealed)).transpose()
    };
    Ok(RecoveryRecord {
        recovery_id: columns::id(row, 0)?,
        kind: columns::word(row, 1)?,
        workflow_id: columns::id(row, 2)?,
        target: columns::id(row, 3)?,
        safety_checkpoint: columns::id_or_null(row, 4)?,
        status: columns::word(row, 5)?,
        actor: row.get(6)?,
        parameters: match sealed(13)? {
            Some(bytes) => columns::json_of(13, &bytes)?,
            None => columns::json(row, 7)?,
        },
        undoes: columns::id_or_null(row, 8)?,
        undone_by: columns::id_or_null(row, 9)?,
        started_at: columns::time(row, 10)?,
        ended_at: columns::time_or_null(row, 11)?,
        report: match sealed(14)? {
            Some(bytes) => Some(columns::json_of(14, &bytes)?),
            None => columns::json_or_null(row, 12)?,
        },
    })
}
