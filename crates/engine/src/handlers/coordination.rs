//! `outbox`, `upkeep`, `request` and `recovery-status-update`.
//!
//! Owns their glue. Refuses to know how anything is delivered, and what a request's operation does.

use std::fs::File;
use std::io::Read;
use std::time::Duration;

use serde_json::{Map, Value};
use wfr_coord::{Ended, Report};
use wfr_model::event::Draft;
use wfr_model::message::REQUEST_BYTES_MAX;
use wfr_model::{Event, EventName, EventType, json};

use super::{known, needed};
use crate::error::{Code, Failure};
use crate::open::Open;
use crate::params::{HostPath, Outbox, OutboxAction, RecoveryState, RecoveryStatusUpdate, Request, Upkeep};
use crate::request::{self, Answer};
use crate::response::Success;
use crate::results::{Answered, OutboxView, StatusTaken, UpkeepDone};
use crate::session::Session;
use crate::{outbox as delivery, upkeep as due, workspace};

/// How many items that were put aside are listed where the call does not say.
const LETTERS: u32 = 20;

/// So long another process that delivers to the same sink is waited for.
const BUSY_MAX: Duration = Duration::from_secs(10);

/// Shows the outbox, or delivers.
pub fn outbox(session: &mut Session, parameters: Outbox) -> Result<Success<OutboxView>, Failure> {
    let open = session.open()?;
    let only = parameters.sink.as_deref();
    let sinks = &open.config.coordination.sinks;
    if let Some(name) = only
        && sinks.iter().all(|sink| sink.name != name)
        && open.catalog.subscription(name)?.is_none()
    {
        let names: Vec<&str> = sinks.iter().map(|sink| sink.name.as_str()).collect();
        let failure = Failure::new(Code::SinkNotFound, format!("no sink `{name}`"));
        let hint = format!("there are {}", names.join(", "));
        return Err(if names.is_empty() { failure } else { failure.with_hint(hint) });
    }
    if parameters.action == Some(OutboxAction::Retry) {
        open.catalog.requeue(only)?;
    }
    let reports = match parameters.action {
        Some(_) => deliver(session, &open, only),
        None => vec![],
    };
    let view = delivery::view(&open, only, parameters.limit.unwrap_or(LETTERS), &reports)?;
    let is_empty = view.sinks.is_empty();
    let success = Success::new(view).with_verdict(refusals(&reports));
    let success = reports.iter().filter_map(delivery::set_back).fold(success, Success::with_next_step);
    Ok(if is_empty {
        success.with_next_step("name sinks in `coordination.sinks`: see `wfr config coordination`")
    } else {
        success
    })
}

/// Delivers. A sink that another process delivers to at this moment, as upkeep does after a command, is waited for: what
/// that one leaves is delivered then.
fn deliver(session: &Session, open: &Open, only: Option<&str>) -> Vec<Report> {
    let mut reports = delivery::deliver(session, open, only);
    for report in reports.iter_mut().filter(|report| report.ended == Ended::Busy) {
        let (locks, name) = (delivery::locks(&open.place), report.sink.clone());
        if wfr_coord::wait(&locks, &wfr_coord::lock_of(&name), BUSY_MAX, &session.abort).unwrap_or(false) {
            *report = delivery::deliver(session, open, Some(&name)).pop().unwrap_or_else(|| report.clone());
        }
    }
    reports
}

/// The failure of a delivery that did not get everything out.
fn refusals(reports: &[Report]) -> Option<Failure> {
    let refused: Vec<String> = reports
        .iter()
        .filter_map(|report| match &report.ended {
            Ended::Refused(why) | Ended::Failed(why) => Some(format!("{}: {why}", report.sink)),
            Ended::Busy => {
                Some(format!("{}: another process delivers to it; try again when it has ended", report.sink))
            }
            _ if report.put_aside > 0 => Some(format!("{}: {} put aside", report.sink, report.put_aside)),
            _ => None,
        })
        .collect();
    let first = refused.first()?;
    Some(
        Failure::new(Code::SinkRefused, format!("not everything was taken: {first}"))
            .with_details(refused[1..].join("; ")),
    )
}

/// Does what is due.
pub fn upkeep(session: &mut Session, _: Upkeep) -> Result<Success<UpkeepDone>, Failure> {
    let open = session.open()?;
    Ok(Success::new(due::run(session, &open)?))
}

/// Answers a request.
pub fn request(session: &mut Session, parameters: Request) -> Result<Success<Answered>, Failure> {
    let Answer { response, failure } = match read(session, parameters) {
        Ok(fields) => request::answer(session, fields),
        Err(failure) => request::refused(session, &Map::new(), failure),
    };
    Ok(Success::new(response).with_verdict(failure))
}

/// The request as its fields, wherever it stands.
fn read(session: &mut Session, parameters: Request) -> Result<Map<String, Value>, Failure> {
    let Some(file) = parameters.file.clone() else { return Ok(parameters.fields()) };
    if !parameters.fields().is_empty() {
        let message = "a request is a file or JSON, not both";
        return Err(Failure::new(Code::WrongArguments, message));
    }
    let text = text_of(session, &file)?;
    json::parse_object(&text).map_err(|error| Failure::new(Code::InvalidRequest, format!("it cannot be read: {error}")))
}

fn text_of(session: &mut Session, file: &HostPath) -> Result<String, Failure> {
    let limit = REQUEST_BYTES_MAX as u64 + 1;
    let mut bytes = Vec::new();
    if file.as_path().as_os_str() == "-" {
        session.input.by_ref().take(limit).read_to_end(&mut bytes)?;
    } else {
        let path = workspace::absolute(&session.directories.current, file.as_path());
        let opened = File::open(&path).map_err(|error| {
            let message = format!("cannot read {}: {error}", path.display());
            let is_absent = error.kind() == std::io::ErrorKind::NotFound;
            Failure::new(if is_absent { Code::FileNotFound } else { crate::error::code_of_io(&error) }, message)
        })?;
        opened.take(limit).read_to_end(&mut bytes)?;
    }
    if bytes.len() > REQUEST_BYTES_MAX {
        let message = format!("it is longer than {REQUEST_BYTES_MAX} bytes");
        return Err(Failure::new(Code::InvalidRequest, message));
    }
    String::from_utf8(bytes).map_err(|_| Failure::new(Code::InvalidRequest, "it is not UTF-8"))
}

/// Records how somebody else's recovery stands.
pub fn recovery_status(
    session: &mut Session,
    parameters: RecoveryStatusUpdate,
) -> Result<Success<StatusTaken>, Failure> {
    let open = session.open()?;
    let workflow = known(&open, needed(parameters.workflow_id, "workflow_id")?)?;
    let status = needed(parameters.status.or_else(|| status_of(parameters.event_type.as_ref())), "status")?;
    let mark = open.catalog.state(&workflow)?.and_then(|state| state.head.recovery);
    let is_known = mark.is_some_and(|mark| mark.recovery_id == parameters.recovery_id);
    let kind = match status {
        RecoveryState::InProgress if is_known => {
            return Ok(Success::new(StatusTaken { event_id: None }).about(&workflow));
        }
        RecoveryState::Initiated | RecoveryState::InProgress => EventType::RecoveryInitiated,
        RecoveryState::Completed => EventType::RecoveryCompleted,
        RecoveryState::Failed => EventType::RecoveryFailed,
    };
    let mut draft = Draft::new(EventName::Known(kind), Some(workflow.clone()));
    draft.timestamp = parameters.timestamp;
    draft.data = parameters.details.unwrap_or_default();
    if let Some(id) = &parameters.recovery_id {
        draft.data.insert("recovery_id".to_owned(), id.as_str().into());
    }
    let source = parameters.component.unwrap_or_else(|| session.actor.clone());
    let event: Event = draft.complete(|| session.ids.event(), session.now(), &source);
    let event_id = Some(event.event_id.clone());
    open.catalog.append_events(&[event], session.now())?;
    Ok(Success::new(StatusTaken { event_id }).about(&workflow))
}

/// How a recovery stands, from the event that says so.
fn status_of(event: Option<&EventName>) -> Option<RecoveryState> {
    match event? {
        EventName::Known(EventType::RecoveryInitiated) => Some(RecoveryState::Initiated),
        EventName::Known(EventType::RecoveryCompleted) => Some(RecoveryState::Completed),
        EventName::Known(EventType::RecoveryFailed) => Some(RecoveryState::Failed),
        _ => None,
    }
}
