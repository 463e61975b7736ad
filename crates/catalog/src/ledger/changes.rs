//! Changes: who changed something, when, and how sure that is.
//!
//! Owns the rows. Refuses to attribute anything.

use std::collections::BTreeSet;

use rusqlite::{Connection, OptionalExtension, Row, ToSql, named_params};
use wfr_model::change::{Actor, Author, Change, Source};
use wfr_model::{AgentId, ChangeId, RecoveryId, TaskId, Timestamp, WorkflowId};

use super::{Closing, NewChange, PathId};
use crate::catalog::Catalog;
use crate::columns;
use crate::error::CatalogError;

/// A change's place in the order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ChangeSeq(pub i64);

/// A change as it is recorded.
#[derive(Clone, PartialEq, Debug)]
pub struct ChangeRow {
    /// Its place in the order.
    pub seq: ChangeSeq,
    /// It.
    pub change: Change,
    /// Paths that whoever announced it named; empty where it may write anywhere.
    pub declared: Vec<String>,
    /// The change that it is a part of.
    pub parent: Option<ChangeSeq>,
}

/// A phase, as changes tell of it: in words of their own, or by their task.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct OfPhase {
    /// What it is called, in small letters, by the name of the workflow; of no workflow where that is empty.
    pub words: BTreeSet<(String, String)>,
    /// The tasks in it, by the name of the workflow: whose change names no phase is in that of its task.
    pub tasks: BTreeSet<(String, String)>,
}

impl OfPhase {
    /// Whether somebody's work is in the phase.
    pub fn has(&self, author: &Author) -> bool {
        let workflow = author.workflow_id.as_ref().map(ToString::to_string).unwrap_or_default();
        match (&author.phase_id, &author.task_id) {
            (Some(phase), _) => self.words.contains(&(workflow, phase.as_str().to_ascii_lowercase())),
            (None, Some(task)) => self.tasks.contains(&(workflow, task.to_string())),
            (None, None) => false,
        }
    }
}

/// Which changes are meant: those that fit all that is said.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ChangeFilter {
    /// Of this workflow.
    pub workflow: Option<WorkflowId>,
    /// Of this phase.
    pub phase: Option<OfPhase>,
    /// Of this task.
    pub task: Option<TaskId>,
    /// Of this agent.
    pub agent: Option<AgentId>,
    /// Of this session.
    pub session: Option<String>,
    /// Of this tool call.
    pub tool_call: Option<String>,
    /// Of these actors; of all where there are none.
    pub actors: Vec<Actor>,
    /// Known in one of these ways; in any where there are none.
    pub sources: Vec<Source>,
    /// Ended at or after this time, or not ended.
    pub since: Option<Timestamp>,
    /// With a segment at one of these paths.
    pub paths: Option<Vec<PathId>>,
    /// Only those that are open.
    pub open: bool,
    /// Only those that may be somebody else's: with candidates.
    pub in_doubt: bool,
    /// The newest so many; all where `None`.
    pub limit: Option<u32>,
}

pub(super) const SELECT: &str = "SELECT seq, change_id, workflow_id, phase_id, task_id, agent_id, session_id, tool_call_id, actor, \
                      source, confidence, candidates, started_at, ended_at, note, recovery_id, declared, parent, evidence \
                      FROM changes ";

impl Catalog {
    /// The changes that fit, newest first.
    pub fn changes(&self, filter: &ChangeFilter) -> Result<Vec<ChangeRow>, CatalogError> {
        let actors = columns::json_text(&filter.actors);
        let sources = columns::json_text(&filter.sources);
        let words = filter.phase.as_ref().map(|phase| columns::json_text(&phase.words));
        let tasks = filter.phase.as_ref().map(|phase| columns::json_text(&phase.tasks));
        let paths = filter.paths.as_deref().map(columns::json_text);
        // Only what is asked for stands in the query: SQLite plans by its text, and an index serves what stands alone.
        let mut sql = format!("{SELECT} WHERE true");
        let mut given: Vec<(&str, &dyn ToSql)> = vec![];
        let mut ask = |is_asked: bool, condition: &str, name, value| {
            if is_asked {
                sql.push_str(condition);
                given.push((name, value));
            }
        };
        let workflow = filter.workflow.as_ref().map(WorkflowId::as_str);
        let (task, agent) = (filter.task.as_ref().map(TaskId::as_str), filter.agent.as_ref().map(AgentId::as_str));
        let since = filter.since.map(|time| time.0);
        let limit = filter.limit.map_or(-1, i64::from);
        ask(workflow.is_some(), " AND workflow_id = :workflow", ":workflow", &workflow);
        let of_words = " AND (phase_id IS NULL OR (coalesce(workflow_id, ''), lower(phase_id)) IN
                              (SELECT value ->> 0, value ->> 1 FROM json_each(:words)))";
        let of_tasks = " AND (phase_id IS NOT NULL OR (coalesce(workflow_id, ''), task_id) IN
                              (SELECT value ->> 0, value ->> 1 FROM json_each(:tasks)))";
        ask(words.is_some(), of_words, ":words", &words);
        ask(tasks.is_some(), of_tasks, ":tasks", &tasks);
        ask(task.is_some(), " AND task_id = :task", ":task", &task);
        ask(agent.is_some(), " AND agent_id = :agent", ":agent", &agent);
        ask(filter.session.is_some(), " AND session_id = :session", ":session", &filter.session);
        ask(filter.tool_call.is_some(), " AND tool_call_id = :tool_call", ":tool_call", &filter.tool_call);
        ask(since.is_some(), " AND (ended_at IS NULL OR ended_at >= :since)", ":since", &since);
        let of_actors = " AND actor IN (SELECT value FROM json_each(:actors))";
        ask(!filter.actors.is_empty(), of_actors, ":actors", &actors);
        let of_sources = " AND source IN (SELECT value FROM json_each(:sources))";
        ask(!filter.sources.is_empty(), of_sources, ":sources", &sources);
        let of_paths =
            " AND seq IN (SELECT change FROM segments WHERE path_id IN (SELECT value FROM json_each(:paths)))";
        ask(paths.is_some(), of_paths, ":paths", &paths);
        ask(true, if filter.open { " AND ended_at IS NULL" } else { "" }, ":limit", &limit);
        if filter.in_doubt {
            sql.push_str(" AND candidates <> '[]'");
        }
        sql.push_str(" ORDER BY seq DESC LIMIT :limit");
        let mut statement = self.connection.prepare_cached(&sql)?;
        let rows = statement.query_map(given.as_slice(), decode)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// How many changes are recorded.
    pub fn count_changes(&self) -> Result<u64, CatalogError> {
        let mut statement = self.connection.prepare_cached("SELECT count(*) FROM changes")?;
        Ok(statement.query_row([], |row| columns::count(row, 0))?)
    }

    /// The change of an id; `None` where there is none.
    pub fn change(&self, id: &ChangeId) -> Result<Option<ChangeRow>, CatalogError> {
        let mut statement = self.connection.prepare_cached(&format!("{SELECT} WHERE change_id = ?1"))?;
        Ok(statement.query_row([id.as_str()], decode).optional()?)
    }

    /// The changes that are parts of another one, in their order; parts of parts left out.
    pub fn parts_of_change(&self, whole: ChangeSeq) -> Result<Vec<ChangeRow>, CatalogError> {
        // A part begins after the whole of it: that spares looking through all that was before.
        let sql = format!("{SELECT} WHERE seq > ?1 AND parent = ?1 ORDER BY seq");
        let mut statement = self.connection.prepare_cached(&sql)?;
        let rows = statement.query_map([whole.0], decode)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// The change that is a recovery's effect; `None` where it had none, or nobody kept the ledger.
    pub fn change_of_recovery(&self, id: &RecoveryId) -> Result<Option<ChangeRow>, CatalogError> {
        let mut statement = self.connection.prepare_cached(&format!("{SELECT} WHERE recovery_id = ?1"))?;
        Ok(statement.query_row([id.as_str()], decode).optional()?)
    }

    /// The change at a place in the order; `None` where there is none.
    pub fn change_at(&self, seq: ChangeSeq) -> Result<Option<ChangeRow>, CatalogError> {
        at(&self.connection, seq)
    }

    /// Changes whose ids begin with a text, newest first, at most `limit`.
    pub fn changes_like(&self, prefix: &str, limit: u32) -> Result<Vec<ChangeRow>, CatalogError> {
        // Ids hold no byte above `z`, so DEL closes the range.
        let sql = format!("{SELECT} WHERE change_id >= ?1 AND change_id < ?1 || char(127) ORDER BY seq DESC LIMIT ?2");
        let mut statement = self.connection.prepare_cached(&sql)?;
        let rows = statement.query_map((prefix, limit), decode)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}

pub(super) fn at(connection: &Connection, seq: ChangeSeq) -> Result<Option<ChangeRow>, CatalogError> {
    let mut statement = connection.prepare_cached(&format!("{SELECT} WHERE seq = ?1"))?;
    Ok(statement.query_row([seq.0], decode).optional()?)
}

pub(super) fn seq_of(connection: &Connection, id: &ChangeId) -> Result<i64, CatalogError> {
    let mut statement = connection.prepare_cached("SELECT seq FROM changes WHERE change_id = ?1")?;
    let found = statement.query_row([id.as_str()], |row| row.get(0)).optional()?;
    found.ok_or_else(|| CatalogError::not_found("change", id))
}

/// Records a change, under its number where it has one already.
pub(super) fn insert(connection: &Connection, new: &NewChange, seq: Option<i64>) -> Result<(), CatalogError> {
    let Change { change_id, author, actor, source, confidence, candidates, started_at, ended_at, .. } = &new.change;
    let Change { note, recovery_id, evidence, .. } = &new.change;
    let Author { workflow_id, phase_id, task_id, agent_id, session_id, tool_call_id } = author;
    let parent = new.parent.as_ref().map(|id| seq_of(connection, id)).transpose()?;
    let sql = "INSERT INTO changes
                 (seq, change_id, workflow_id, phase_id, task_id, agent_id, session_id, tool_call_id, actor, source,
                  confidence, candidates, started_at, ended_at, note, recovery_id, declared, parent, evidence)
               VALUES (:seq, :change_id, :workflow_id, :phase_id, :task_id, :agent_id, :session_id, :tool_call_id, :actor,
                       :source, :confidence, :candidates, :started_at, :ended_at, :note, :recovery_id, :declared, :parent,
                       :evidence)";
    connection.prepare_cached(sql)?.execute(named_params! {
        ":seq": seq,
        ":change_id": change_id.as_str(),
        ":workflow_id": workflow_id.as_ref().map(WorkflowId::as_str),
        ":phase_id": phase_id.as_ref().map(ToString::to_string),
        ":task_id": task_id.as_ref().map(TaskId::as_str),
        ":agent_id": agent_id.as_ref().map(AgentId::as_str),
        ":session_id": session_id,
        ":tool_call_id": tool_call_id,
        ":actor": actor.as_str(),
        ":source": source.as_str(),
        ":confidence": confidence,
        ":candidates": columns::json_text(candidates),
        ":started_at": started_at.0,
        ":ended_at": ended_at.map(|time| time.0),
        ":note": note,
        ":recovery_id": recovery_id.as_ref().map(|id| id.as_str()),
        ":declared": columns::json_text(&new.declared),
        ":parent": parent,
        ":evidence": evidence.as_ref().map(columns::json_text),
    })?;
    Ok(())
}

pub(super) fn end(
    connection: &Connection,
    id: &ChangeId,
    at: Timestamp,
    closing: Option<&Closing>,
) -> Result<(), CatalogError> {
    let sql = "UPDATE changes SET ended_at = max(?2, started_at), source = coalesce(?3, source),
                                  confidence = coalesce(?4, confidence), evidence = coalesce(?5, evidence)
               WHERE change_id = ?1 AND ended_at IS NULL";
    let source = closing.map(|closing| closing.source.as_str());
    let confidence = closing.map(|closing| closing.confidence);
    let evidence = closing.and_then(|closing| closing.evidence.as_ref()).map(columns::json_text);
    if connection.prepare_cached(sql)?.execute((id.as_str(), at.0, source, confidence, evidence))? == 0 {
        return Err(CatalogError::not_found("open change", id));
    }
    Ok(())
}

pub(super) fn decode(row: &Row<'_>) -> rusqlite::Result<ChangeRow> {
    let phase: Option<String> = row.get(3)?;
    let change = Change {
        change_id: columns::id(row, 1)?,
        author: Author {
            workflow_id: columns::id_or_null(row, 2)?,
            phase_id: phase.and_then(|text| wfr_model::PhaseId::named(&text).ok().flatten()),
            task_id: columns::id_or_null(row, 4)?,
            agent_id: columns::id_or_null(row, 5)?,
            session_id: row.get(6)?,
            tool_call_id: row.get(7)?,
        },
        actor: columns::word(row, 8)?,
        source: columns::word(row, 9)?,
        confidence: row.get(10)?,
        candidates: columns::json(row, 11)?,
        started_at: columns::time(row, 12)?,
        ended_at: columns::time_or_null(row, 13)?,
        note: row.get(14)?,
        recovery_id: columns::id_or_null(row, 15)?,
        evidence: columns::json_or_null(row, 18)?,
    };
    Ok(ChangeRow {
        seq: ChangeSeq(row.get(0)?),
        change,
        declared: columns::json(row, 16)?,
        parent: row.get::<_, Option<i64>>(17)?.map(ChangeSeq),
    })
}
