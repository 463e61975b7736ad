//! Failures that are reported: their ids, the events that they are, and the reports in the view.
//!
//! Owns which events a report gives. Refuses to find causes: that is analysis.

use std::path::PathBuf;

use serde_json::{Map, Value, json};
use wfr_catalog::{CatalogError, EventQuery, EventSeq, FailureRow, PartKind};
use wfr_model::event::{Draft, ErrorReport};
use wfr_model::workflow::{Agent, Task};
use wfr_model::{AgentId, Event, EventId, EventName, EventType, FailureId, PhaseId, TaskId, Timestamp, WorkflowId};
use wfr_store::object::hash;

use crate::error::Failure;
use crate::intake::{self, New, Tally};
use crate::open::Open;
use crate::session::Session;
use crate::view;

/// Where the view has the reports.
const REPORTS: &str = "failure_analysis/failure_reports";

/// Reports that are written anew in one go, at most.
const WRITTEN_MAX: u32 = 1_000;

/// Hexadecimal digits of a report's digest that ids have.
const DIGITS: usize = 16;

/// A report that is on file.
pub struct Filed {
    /// The failure's id.
    pub failure_id: FailureId,
    /// Whether it had been reported before.
    pub was_known: bool,
    /// Events that are new.
    pub new: Vec<New>,
    /// The report in the view, or why it cannot be written there.
    pub report: std::io::Result<PathBuf>,
}

/// Records a report: an `ERROR_ENCOUNTERED` that holds all of it, and what follows for task, agent, phase or workflow.
/// A report with an `error_id` is recorded once.
pub fn file(session: &Session, open: &Open, report: ErrorReport, tally: &mut Tally) -> Result<Filed, Failure> {
    let now = session.now();
    let key = key(session, &report);
    let failure_id: FailureId =
        format!("failure_{}_{key}", now.stamp()).parse().expect("a stamp and hexadecimal digits make a valid id");
    let main_id = event_id(&key, "");
    let first = open.catalog.failure_of_event(&main_id)?;
    let failure_id = first.map_or(failure_id, |row| row.failure_id);
    let effect = consequence(open, &report)?.map(|draft| with_id(session, draft, event_id(&key, "_effect")));
    let mut events = vec![with_id(session, main_event(&report, &failure_id), main_id.clone())];
    events.extend(effect.clone());
    let document = document(&events[0]);
    if open.catalog.has_event(&main_id)? {
        // Both were recorded at once; what followed then does not follow from the state of now.
        events.truncate(1);
        events.iter().cloned().chain(effect).for_each(|event| tally.keep_again(event));
    }
    let new = intake::record(session, open, events, tally)?;
    let recorded = open.catalog.failure_of_event(&main_id)?;
    let was_known = new.is_empty();
    // What was recorded first holds, also where its report could not be written then.
    let first = recorded.as_ref().filter(|_| was_known).map(|row| of_event(open, row)).transpose()?.flatten();
    let failure_id = recorded.map_or(failure_id, |row| row.failure_id);
    let report = write(open, &failure_id, report.workflow_id, first.unwrap_or(document));
    tally.result.failures.push(failure_id.clone());
    Ok(Filed { failure_id, was_known, new, report })
}

/// What tells this report from others: of one with an id, workflow and id; else something new.
fn key(session: &Session, report: &ErrorReport) -> String {
    let text = match &report.error_id {
        Some(id) => format!("{}\0{id}", report.workflow_id.as_ref().map_or("", |workflow| workflow.as_str())),
        None => session.ids.event().to_string(),
    };
    hash(text.as_bytes()).to_hex().chars().take(DIGITS).collect()
}

fn event_id(key: &str, end: &str) -> EventId {
    format!("evt_error_{key}{end}").parse().expect("hexadecimal digits make a valid id")
}

fn with_id(session: &Session, draft: Draft, id: EventId) -> Event {
    intake::complete(session, Draft { event_id: Some(id), ..draft })
}

/// The event that holds the report.
fn main_event(report: &ErrorReport, failure_id: &FailureId) -> Draft {
    let mut data = Map::from_iter([("failure_id".to_owned(), json!(failure_id))]);
    data.extend(report.fields.clone());
    draft(report, EventType::ErrorEncountered, data)
}

fn draft(report: &ErrorReport, listed: EventType, data: Map<String, Value>) -> Draft {
    let phase = report.fields.get("context").and_then(|context| context.get("phase"));
    let phase = phase.or_else(|| report.fields.get("phase")).and_then(|phase| PhaseId::of(phase).ok()).flatten();
    let name = EventName::Known(listed);
    Draft {
        phase,
        timestamp: report.timestamp,
        source_component: report.text("context", "component"),
        data,
        ..Draft::new(name, report.workflow_id.clone())
    }
}

/// What follows from a report for whom it names: a task or an agent failed; a phase or the workflow did where it cannot
/// be recovered from. What the report does not say is taken from the state, and else said to be unknown.
fn consequence(open: &Open, report: &ErrorReport) -> Result<Option<Draft>, Failure> {
    let Some(workflow) = &report.workflow_id else { return Ok(None) };
    let message = report.message().unwrap_or_default();
    let timeout = report.text("classification", "type").as_deref() == Some("timeout");
    let length = || report.text("details", "timeout_duration").unwrap_or_else(|| "unknown".to_owned());
    let agent = report.text("context", "agent").and_then(|id| id.parse::<AgentId>().ok());
    let task = report.text("context", "task").and_then(|id| id.parse::<TaskId>().ok());
    let is_final = report.recoverable() == Some(false);
    let made = match (report.text("classification", "scope").as_deref(), task, agent) {
        (Some("task"), Some(id), agent) => {
            let known: Option<Task> = open.catalog.part(workflow, PartKind::Task, id.as_str())?;
            let agent = agent.or_else(|| known.as_ref()?.assigned_agent.clone());
            let retries = known.map_or(0, |task| task.retry_count.unwrap_or(task.attempts.saturating_sub(1)));
            // Without one the event is marked as odd: an agent of no name is none.
            let mut data = json!({"task_id": id, "failure_reason": message});
            if let Some(agent) = agent {
                data["agent_id"] = json!(agent);
            }
            if timeout {
                (EventType::TaskTimeout, with(data, "timeout_duration", length().into()))
            } else {
                (EventType::TaskFailed, with(data, "retry_count", retries.into()))
            }
        }
        (Some("agent"), _, Some(id)) if timeout => {
            let known: Option<Agent> = open.catalog.part(workflow, PartKind::Agent, id.as_str())?;
            let seen =
                known.and_then(|agent| agent.last_seen).map_or_else(|| "unknown".into(), |at: Timestamp| json!(at));
            (EventType::AgentTimeout, json!({"agent_id": id, "timeout_duration": length(), "last_response": seen}))
        }
        (Some("agent"), _, Some(id)) => {
            let kind = report.text("classification", "type").unwrap_or_else(|| "unknown".to_owned());
            (EventType::AgentError, json!({"agent_id": id, "error_type": kind, "error_details": message}))
        }
        (Some("phase"), ..) if is_final && draft(report, EventType::PhaseFailed, Map::new()).phase.is_some() => {
            (EventType::PhaseFailed, json!({"failure_reason": message, "partial_results": "unknown"}))
        }
        (Some("workflow"), ..) if is_final => {
            let options = report.fields.get("recovery_suggestions").cloned().unwrap_or_else(|| json!([]));
            (EventType::WorkflowFailed, json!({"failure_reason": message, "recovery_options": options}))
        }
        _ => return Ok(None),
    };
    let (listed, Value::Object(data)) = made else { return Ok(None) };
    Ok(Some(draft(report, listed, data)))
}

fn with(mut data: Value, key: &str, value: Value) -> Value {
    data[key] = value;
    data
}

/// The report that the event of a failure holds.
fn of_event(open: &Open, row: &FailureRow) -> Result<Option<Value>, CatalogError> {
    let (after, upto) = (Some(EventSeq(row.seq.0 - 1)), Some(row.seq));
    let rows = open.catalog.events(&EventQuery { after, upto, ..EventQuery::default() })?;
    Ok(rows.first().map(|row| document(&row.event)))
}

/// Writes the newest reports into the view that are not there, of one workflow or of all: they are in the log, so nothing is lost where
/// one cannot be written.
pub fn write_missing(open: &Open, workflow: Option<&WorkflowId>) -> Result<(), CatalogError> {
    for row in open.catalog.failures(workflow, WRITTEN_MAX)? {
        if let Some(document) = of_event(open, &row)? {
            let _ = write(open, &row.failure_id, row.workflow_id, document);
        }
    }
    Ok(())
}

/// The newest failures of a workspace, newest first, with their messages.
pub fn newest(session: &Session, most: u32) -> Result<Vec<(FailureId, String)>, Failure> {
    let rows = session.open()?.catalog.failures(None, most)?;
    Ok(rows.into_iter().map(|row| (row.failure_id, row.message)).collect())
}

/// The report of a failure; `None` where there is none of that id.
pub fn report(session: &Session, id: &str) -> Result<Option<Value>, Failure> {
    let open = session.open()?;
    let Ok(id) = id.parse::<FailureId>() else { return Ok(None) };
    let Some(row) = open.catalog.failure(&id)? else { return Ok(None) };
    let document = of_event(&open, &row)?;
    Ok(document.map(|document| with(document, "workflow_id", json!(row.workflow_id))))
}

/// The whole report, as its event holds it.
fn document(event: &Event) -> Value {
    with(Value::Object(event.data.clone()), "timestamp", json!(event.timestamp))
}

/// Writes the report into the view, where people look for it, unless it is there. It is in the event, too.
fn write(
    open: &Open,
    failure_id: &FailureId,
    workflow: Option<WorkflowId>,
    document: Value,
) -> std::io::Result<PathBuf> {
    let name = format!("{failure_id}.json");
    let path = view::dir(open.root()).join(REPORTS).join(&name);
    if path.is_file() {
        return Ok(path);
    }
    let document = with(document, "workflow_id", json!(workflow));
    view::write_report(open.root(), REPORTS, &name, &document)
}
