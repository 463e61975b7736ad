//! `initialize`, `update-state`, `get-state`, `record-metrics`, `handle-error`.
//!
//! Owns which event each of them appends, and that nobody's change in between is lost. Refuses to fold: the catalog does.

use serde_json::{Map, Value, json};
use wfr_catalog::{Appended, Guarded};
use wfr_model::event::{Draft, ErrorReport, Message, ParseEventError};
use wfr_model::workflow::document::{to_hub, to_reference};
use wfr_model::workflow::fold::{self, Anomaly};
use wfr_model::workflow::{Nowhere, State, Whole, update_keys};
use wfr_model::{EventId, EventName, EventType, Timestamp, WorkflowId};

use super::{known, needed, shown};
use crate::error::{Code, Failure};
use crate::open::Open;
use crate::operation::keys;
use crate::params::{GetState, HandleError, Initialize, RecordMetrics, StateShape, UpdateState};
use crate::policy::{Standings, Wishes};
use crate::response::{Impact, Success};
use crate::results::{ErrorHandled, StateShown, StateUpdated};
use crate::session::Session;
use crate::{failures, intake, resources, state};

/// How often a change that depends on the present state is tried, while others keep changing it.
const TRIES_MAX: usize = 100;

/// Keys of a report of metrics that say something of the report, not what was measured.
const OF_THE_REPORT: &[&str] =
    &["report_id", "workflow_id", "component", "timestamp", "metrics", "collection_period", "baseline_comparison"];

/// An event that was appended.
struct Change {
    event_id: EventId,
    odd: Vec<Anomaly>,
}

/// Appends one event of a workflow where its state has a version that will do; `Err` has the version that it has.
fn append(
    session: &Session,
    open: &Open,
    draft: Draft,
    will_do: impl FnOnce(u64) -> bool,
) -> Result<Result<Change, u64>, Failure> {
    let event = intake::complete(session, draft);
    let workflow = needed(event.workflow_id.clone(), "workflow_id")?;
    let events = [event];
    let [event] = &events;
    Ok(match open.catalog.append_events_at(&workflow, will_do, &events, session.now())? {
        Guarded::Stale(version) => Err(version),
        Guarded::Appended(answers) => {
            let odd = answers.into_iter().next().map(|answer| match answer {
                Appended::New { odd, .. } => odd,
                Appended::Known { .. } => vec![],
            });
            Ok(Change { event_id: event.event_id.clone(), odd: odd.unwrap_or_default() })
        }
    })
}

fn draft(name: EventType, workflow: &WorkflowId, data: Map<String, Value>) -> Draft {
    Draft { data, ..Draft::new(EventName::Known(name), Some(workflow.clone())) }
}

/// The answer after a change, or after none.
fn updated(
    open: &Open,
    workflow: &WorkflowId,
    existed: bool,
    change: Option<Change>,
) -> Result<Success<StateUpdated>, Failure> {
    let state_version = open.catalog.state(workflow)?.map_or(0, |state| state.head.state_version);
    let (event_id, odd) = change.map_or((None, vec![]), |change| (Some(change.event_id), change.odd));
    let result =
        StateUpdated { existed, changed: event_id.is_some(), state_version, event_id, odd, checkpoints: vec![] };
    Ok(Success::new(result).about(workflow).with_impact(Impact::default()))
}

fn contended(workflow: &WorkflowId) -> Failure {
    Failure::new(Code::Busy, format!("the state of {workflow} changed {TRIES_MAX} times meanwhile"))
}

/// Registers a workflow.
pub fn initialize(session: &mut Session, parameters: Initialize) -> Result<Success<StateUpdated>, Failure> {
    let workflow = needed(parameters.workflow_id.clone(), "workflow_id")?;
    let open = session.open()?;
    for _ in 0..TRIES_MAX {
        let present = state::present(&open.catalog, &workflow)?;
        let existed = present.is_some();
        let version = present.as_ref().map_or(0, |whole| whole.head.state_version);
        let data = announced(&parameters, present.as_ref());
        let name = if existed { EventType::WorkflowStateUpdated } else { EventType::WorkflowCreated };
        if present.as_ref().is_some_and(|whole| changes_nothing(whole, &data)) {
            return updated(&open, &workflow, true, None);
        }
        if let Ok(change) = append(session, &open, draft(name, &workflow, data), |ours| ours == version)? {
            return updated(&open, &workflow, existed, Some(change));
        }
    }
    Err(contended(&workflow))
}

/// What was given, as the data of an event. Settings are added to those that there are.
fn announced(parameters: &Initialize, present: Option<&Whole>) -> Map<String, Value> {
    let mut data = match serde_json::to_value(parameters) {
        Ok(Value::Object(data)) => data,
        _ => Map::new(),
    };
    let mut settings = present.map(|whole| whole.head.configuration.clone()).unwrap_or_default();
    settings.extend(parameters.configuration.clone().unwrap_or_default());
    for (key, value) in
        [("checkpoint_strategy", &parameters.checkpoint_strategy), ("backup_frequency", &parameters.backup_frequency)]
    {
        settings.extend(value.as_ref().map(|text| (key.to_owned(), text.as_str().into())));
    }
    if !settings.is_empty() {
        data.insert("configuration".to_owned(), Value::Object(settings));
    }
    data.extend(parameters.metadata.clone().map(|metadata| ("metadata".to_owned(), Value::Object(metadata))));
    data
}

/// Whether an update would leave the state as it is.
fn changes_nothing(present: &Whole, data: &Map<String, Value>) -> bool {
    let draft = draft(EventType::WorkflowStateUpdated, &present.head.workflow_id, data.clone());
    let Ok(id) = "evt_trial".parse() else { return false };
    let event = draft.complete(|| id, Timestamp(0), "");
    let mut state = present.to_state();
    let Ok(odd) = fold::apply(&mut state, &mut Nowhere, &event);
    odd.is_empty() && Whole::from(state).says_the_same(present)
}

/// Sets fields of a state.
pub fn update(session: &mut Session, parameters: UpdateState) -> Result<Success<StateUpdated>, Failure> {
    let UpdateState { workflow_id, expected_version, state, reason, mut fields } = parameters;
    let open = session.open()?;
    let workflow = known(&open, needed(workflow_id, "workflow_id")?)?;
    let document = match fields.shift_remove("workflow_state") {
        Some(Value::Object(inner)) => inner,
        _ => Map::new(),
    };
    let before = open.catalog.state(&workflow)?;
    let stood = Standings::of(&open, std::iter::once(&workflow));
    for part in [&fields, &document].into_iter().chain(&state) {
        check_keys(part, before.as_ref())?;
    }
    fields.extend(document);
    fields.extend(state.unwrap_or_default());
    if fields.is_empty() {
        let message = "`update-state` needs something to set";
        return Err(Failure::new(Code::WrongArguments, message).with_hint("give the fields as one JSON object"));
    }
    let sync_version = fields.get("state_version").and_then(Value::as_u64);
    let mut draft = if fields.contains_key("state_version") || fields.contains_key("message_type") {
        synchronised(&workflow, fields)?
    } else {
        draft(EventType::WorkflowStateUpdated, &workflow, fields)
    };
    draft.data.extend(reason.map(|reason| ("reason".to_owned(), reason.into())));
    let will_do = |ours: u64| {
        sync_version.is_none_or(|version| version > ours) && expected_version.is_none_or(|expected| expected == ours)
    };
    match append(session, &open, draft, will_do)? {
        Ok(change) => {
            let mut wishes = Wishes::default();
            wishes.note_turns(&open, &stood);
            let mut success = updated(&open, &workflow, true, Some(change))?;
            success.result.checkpoints = wishes.grant(session, &open);
            Ok(success)
        }
        Err(ours) => {
            let wanted = expected_version.map_or_else(
                || format!("a state of version {}", sync_version.unwrap_or_default()),
                |expected| format!("version {expected}"),
            );
            let message = format!("the state of {workflow} has version {ours}, and the update is for {wanted}");
            Err(Failure::new(Code::StaleState, message))
        }
    }
}

/// Refuses a key that no state has. A whole document, which says whose it is, may have more: what its writer has no other
/// place for; and what the state has already may be set.
fn check_keys(fields: &Map<String, Value>, present: Option<&State>) -> Result<(), Failure> {
    let all: Vec<&str> = update_keys().collect();
    let is_known = |key: &str| all.contains(&key) || present.is_some_and(|state| state.head.extra.contains_key(key));
    match fields.keys().find(|key| !is_known(key)) {
        Some(key) if !fields.contains_key("id") => Err(keys::unknown("update-state", key, &all)
            .with_option("what a state has no key for goes into `extra`: '{\"extra\": {\"ticket\": 7}}'")),
        _ => Ok(()),
    }
}

/// A `state_sync` as the update that it is.
fn synchronised(workflow: &WorkflowId, mut fields: Map<String, Value>) -> Result<Draft, Failure> {
    fields.insert("workflow_id".to_owned(), workflow.as_str().into());
    fields.entry("message_type").or_insert_with(|| "state_sync".into());
    match Message::of_fields(fields).map_err(|error| refused(&error))? {
        Message::State(sync) => Ok(sync.update),
        _ => Err(Failure::new(Code::InvalidParameter, "only a `state_sync` is an update of state")),
    }
}

fn refused(error: &ParseEventError) -> Failure {
    Failure::new(Code::InvalidParameter, error.to_string())
}

/// Shows a state as a document.
pub fn get(session: &mut Session, parameters: GetState) -> Result<Success<StateShown>, Failure> {
    let open = session.open()?;
    let workflow = known(&open, needed(parameters.workflow_id, "workflow_id")?)?;
    let mut whole = state::present(&open.catalog, &workflow)?.unwrap_or_else(|| Whole::new(workflow.clone()));
    let workflow_state = match parameters.format {
        StateShape::Reference => {
            // Its sums are of what is in use: shares whose time is over are nobody's any more.
            let (head, now) = (whole.head.clone(), session.now());
            whole.allocations.retain(|_, share| resources::is_used(share, &head, now));
            to_reference(&whole)
        }
        StateShape::Hub => to_hub(&whole),
    };
    Ok(Success::new(StateShown { state_version: whole.head.state_version, workflow_state }).about(&workflow))
}

/// Records what was measured.
pub fn metrics(session: &mut Session, parameters: RecordMetrics) -> Result<Success<StateUpdated>, Failure> {
    let mut report = parameters.performance_metrics.unwrap_or_default();
    report.extend(parameters.metrics.map(|metrics| ("metrics".to_owned(), Value::Object(metrics))));
    let measured = measured(&report)?;
    let named = report.get("workflow_id").and_then(Value::as_str).map(str::parse).transpose();
    let named = named.map_err(|error| Failure::new(Code::InvalidParameter, format!("`workflow_id`: {error}")))?;
    let open = session.open()?;
    let workflow = known(&open, needed(parameters.workflow_id.or(named), "workflow_id")?)?;
    for _ in 0..TRIES_MAX {
        let head = open.catalog.state(&workflow)?.map(|state| state.head);
        let (existed, version) = (head.is_some(), head.as_ref().map_or(0, |head| head.state_version));
        let mut all = head.map(|head| head.metrics).unwrap_or_default();
        all.extend(measured.clone());
        let data = Map::from_iter([
            ("metrics".to_owned(), Value::Object(all)),
            ("performance_metrics".to_owned(), Value::Object(report.clone())),
        ]);
        let update = draft(EventType::WorkflowStateUpdated, &workflow, data);
        if let Ok(change) = append(session, &open, update, |ours| ours == version)? {
            return updated(&open, &workflow, existed, Some(change));
        }
    }
    Err(contended(&workflow))
}

/// What a report measured: its `metrics`, else all that is not about the report.
fn measured(report: &Map<String, Value>) -> Result<Map<String, Value>, Failure> {
    let measured = match report.get("metrics") {
        Some(Value::Object(metrics)) => metrics.clone(),
        Some(_) => return Err(Failure::new(Code::InvalidParameter, "`metrics`: an object is expected")),
        None => {
            let of_it = |(key, value): (&String, &Value)| {
                (!OF_THE_REPORT.contains(&key.as_str())).then(|| (key.clone(), value.clone()))
            };
            report.iter().filter_map(of_it).collect()
        }
    };
    if measured.is_empty() {
        return Err(Failure::new(Code::WrongArguments, "`record-metrics` needs `performance_metrics` or `metrics`"));
    }
    Ok(measured)
}

/// Records an error.
pub fn error(session: &mut Session, mut parameters: HandleError) -> Result<Success<ErrorHandled>, Failure> {
    let fields = joined(parameters.error_report.take().unwrap_or_default(), reported(parameters));
    let report = ErrorReport::of_fields(fields).map_err(|error| refused(&error))?;
    let open = session.open()?;
    if let Some(workflow) = &report.workflow_id {
        known(&open, workflow.clone())?;
    }
    let (workflow, has_id) = (report.workflow_id.clone(), report.error_id.is_some());
    let mut tally = intake::Tally::default();
    let filed = failures::file(session, &open, report, &mut tally)?;
    let mut wishes = Wishes::default();
    wishes.note(filed.new.iter().map(|(_, event)| event));
    wishes.note_again(&open, &tally.take_again());
    let result = ErrorHandled {
        failure_id: filed.failure_id,
        existed: filed.was_known,
        report: filed.report.as_deref().ok().map(shown),
        events: tally.result.events,
        odd: tally.result.odd,
        checkpoints: wishes.grant(session, &open),
    };
    let unwritten = filed.report.err().map(|error| unwritten(&error, has_id));
    let next_steps = unwritten.into_iter().collect();
    Ok(Success { workflow_id: workflow, next_steps, ..Success::new(result) })
}

/// Fields with others over them; groups of both are joined.
fn joined(mut fields: Map<String, Value>, over: Map<String, Value>) -> Map<String, Value> {
    for (key, value) in over {
        match (fields.get_mut(&key), value) {
            (Some(Value::Object(there)), Value::Object(group)) => there.extend(group),
            (_, value) => drop(fields.insert(key, value)),
        }
    }
    fields
}

/// What to do about a report that is recorded and has no file.
fn unwritten(error: &std::io::Error, has_id: bool) -> String {
    let then = if has_id {
        "mend that and call `handle-error` again with the same `error_id`"
    } else {
        "the event holds all of it: see `wfr events`"
    };
    format!("the failure is recorded, but its report could not be written into the view ({error}): {then}")
}

/// The parameters as a report: what stands by itself goes into the group that it belongs to.
fn reported(parameters: HandleError) -> Map<String, Value> {
    let HandleError { classification, context, details, .. } = parameters.clone();
    let mut classified = classification.unwrap_or_default();
    for (key, value) in [
        ("category", parameters.category),
        ("severity", parameters.severity),
        ("type", parameters.error_type),
        ("scope", parameters.scope),
    ] {
        classified.extend(value.map(|text| (key.to_owned(), text.into())));
    }
    classified.extend(parameters.recoverable.map(|value| ("recoverable".to_owned(), value.into())));
    let mut place = context.unwrap_or_default();
    place.extend(parameters.phase.map(|phase| ("phase".to_owned(), phase)));
    place.extend(parameters.task.map(|task| ("task".to_owned(), task.into())));
    place.extend(parameters.agent.map(|agent| ("agent".to_owned(), agent.into())));
    let mut details = details.unwrap_or_default();
    details.extend(parameters.error_message.map(|text| ("error_message".to_owned(), text.into())));
    let mut report = Map::new();
    report.extend(parameters.workflow_id.map(|id| ("workflow_id".to_owned(), json!(id))));
    report.extend(parameters.error_id.map(|id| ("error_id".to_owned(), id.into())));
    report.extend(parameters.timestamp.map(|at| ("timestamp".to_owned(), json!(at))));
    let impact = parameters.impact_assessment.unwrap_or_default();
    for (key, group) in
        [("classification", classified), ("context", place), ("details", details), ("impact_assessment", impact)]
    {
        if !group.is_empty() {
            report.insert(key.to_owned(), Value::Object(group));
        }
    }
    if !parameters.recovery_suggestions.is_empty() {
        report.insert("recovery_suggestions".to_owned(), json!(parameters.recovery_suggestions));
    }
    report
}
