//! The event envelope: one JSON object.
//!
//! Owns its fields, and how the orchestrators' flat form (every field beside the others, no `data`) is read. Refuses to
//! know the line but to print it.

use serde::Serialize;
use serde_json::{Map, Value};

use super::{Draft, Event, EventName, ParseEventError, line, workflow};
use crate::ids::EventId;
use crate::json;
use crate::phase::{GLOBAL, PhaseId};
use crate::time::Timestamp;

/// An event as it is written.
#[derive(Clone, PartialEq, Debug, Serialize, schemars::JsonSchema)]
pub struct Envelope<'e> {
    /// `evt_` and a UUID, or the sender's own.
    pub event_id: &'e EventId,
    /// What happened.
    pub event_type: &'e EventName,
    /// To which workflow, or `global`.
    pub workflow_id: &'e str,
    /// In which phase, or `global`.
    #[schemars(with = "PhaseId")]
    pub phase: Value,
    /// When, by the sender's clock.
    pub timestamp: Timestamp,
    /// Who sent it.
    pub source_component: &'e str,
    /// The event as a line.
    pub message: String,
    /// The rest.
    pub data: &'e Map<String, Value>,
    /// `TYPE.workflow.phase`.
    pub routing_key: String,
    /// Its priority.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority: Option<&'e Value>,
    /// For how many seconds it is of interest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ttl_seconds: Option<u64>,
}

impl<'e> Envelope<'e> {
    /// The envelope of an event.
    pub fn of(event: &'e Event) -> Self {
        let phase = event.phase.as_ref().and_then(|phase| serde_json::to_value(phase).ok());
        Self {
            event_id: &event.event_id,
            event_type: &event.event_type,
            workflow_id: event.workflow(),
            phase: phase.unwrap_or_else(|| GLOBAL.into()),
            timestamp: event.timestamp,
            source_component: &event.source_component,
            message: line::write(event),
            data: &event.data,
            routing_key: event.routing_key(),
            priority: event.priority.as_ref(),
            ttl_seconds: event.ttl_seconds,
        }
    }
}

/// Reads the text of an envelope.
pub(super) fn read(text: &str) -> Result<Draft, ParseEventError> {
    of(json::parse_message(text)?)
}

/// The event that the fields make. Where there is a `message` only, it is read as a line; fields that are not the
/// envelope's own belong to the data.
pub(super) fn of(mut fields: Map<String, Value>) -> Result<Draft, ParseEventError> {
    let message = text(&mut fields, "message")?;
    let name = match text(&mut fields, "event_type")? {
        Some(name) => Some(name),
        None => text(&mut fields, "type")?,
    };
    let is_named = name.is_some();
    let mut draft = match (name, message.as_deref().filter(|message| message.contains(':'))) {
        (Some(name), _) => Draft::new(name.trim().parse()?, None),
        (None, Some(message)) => line::read(message)?,
        (None, None) => {
            return Err(ParseEventError::Field { field: "event_type", why: "it is missing".to_owned() });
        }
    };
    if let Some(flow) = text(&mut fields, "workflow_id")? {
        draft.workflow_id = workflow(&flow)?;
    }
    if let Some(phase) = ["phase", "phase_number"].iter().find_map(|key| fields.shift_remove(*key)) {
        draft.phase = PhaseId::of(&phase)?;
    }
    draft.event_id = text(&mut fields, "event_id")?.map(|id| id.parse()).transpose()?;
    draft.timestamp = text(&mut fields, "timestamp")?.map(|at| time(&at)).transpose()?;
    draft.source_component = text(&mut fields, "source_component")?;
    draft.priority = fields.shift_remove("priority").filter(|priority| !priority.is_null());
    draft.ttl_seconds = seconds(&mut fields)?;
    fields.shift_remove("routing_key");
    match fields.shift_remove("data") {
        Some(Value::Object(data)) => draft.data = data,
        None | Some(Value::Null) => {}
        Some(_) => return Err(ParseEventError::Field { field: "data", why: "an object is expected".to_owned() }),
    }
    for (key, value) in fields {
        draft.data.entry(key).or_insert(value);
    }
    if let Some(message) = message.filter(|_| is_named) {
        hear(&mut draft, message);
    }
    Ok(draft)
}

/// What the `message` of an event says that has fields, too. As a line of the same event it gives what they leave out, and is
/// written anew; else it is kept with the data.
fn hear(draft: &mut Draft, message: String) {
    // Where the data stand beside it, it is only compared with them.
    let line = if draft.data.is_empty() { line::read(&message) } else { line::read_stored(&message) };
    if let Ok(line) = line
        && line.event_type == draft.event_type
        && draft.workflow_id.as_ref().is_none_or(|flow| Some(flow) == line.workflow_id.as_ref())
        && draft.phase.as_ref().is_none_or(|phase| Some(phase) == line.phase.as_ref())
        && (draft.data.is_empty() || draft.data == line.data)
    {
        draft.workflow_id = line.workflow_id;
        draft.phase = line.phase;
        draft.data = line.data;
        return;
    }
    draft.data.entry("message").or_insert(message.into());
}

pub(super) fn time(text: &str) -> Result<Timestamp, ParseEventError> {
    let refused =
        |error: crate::time::ParseTimestampError| ParseEventError::Field { field: "timestamp", why: error.to_string() };
    text.parse().map_err(refused)
}

fn seconds(fields: &mut Map<String, Value>) -> Result<Option<u64>, ParseEventError> {
    match fields.shift_remove("ttl_seconds") {
        None | Some(Value::Null) => Ok(None),
        Some(value) => match value.as_u64() {
            Some(seconds) => Ok(Some(seconds)),
            None => Err(ParseEventError::Field { field: "ttl_seconds", why: "a whole number is expected".to_owned() }),
        },
    }
}

pub(super) fn text(fields: &mut Map<String, Value>, field: &'static str) -> Result<Option<String>, ParseEventError> {
    match fields.shift_remove(field) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(ParseEventError::Field { field, why: "a text is expected".to_owned() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn event(value: Value) -> Event {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn what_is_written_is_read_again() {
        let written = json!({
            "event_id": "evt_1",
            "event_type": "PHASE_COMPLETED",
            "workflow_id": "wf",
            "phase": 2,
            "timestamp": "2025-01-15T11:30:00Z",
            "source_component": "coordination-hub",
            "message": "PHASE_COMPLETED:wf:2:{\"phase_name\":\"x\"}",
            "data": {"phase_name": "x"},
            "routing_key": "PHASE_COMPLETED.wf.2",
            "priority": "high",
            "ttl_seconds": 3600
        });
        assert_eq!(serde_json::to_value(event(written.clone())).unwrap(), written);
    }

    #[test]
    fn the_flat_form_and_the_bare_message_are_read() {
        let flat = of(json!({
            "event_type": "task_completed", "workflow_id": "wf", "plan_file": "p.md", "phase_number": 1,
            "task_id": "t1", "progress_percentage": 40, "context": {"commit_hash": "abc"}
        })
        .as_object()
        .cloned()
        .unwrap())
        .unwrap();
        assert_eq!(flat.phase, Some(PhaseId::numbered(1)));
        assert_eq!(flat.data["task_id"], "t1");
        let bare = read(r#"{"message": "TASK_STARTED:wf:1:{\"task_id\":\"t\"}"}"#).unwrap();
        assert_eq!((bare.workflow_id.unwrap().as_str(), bare.data["task_id"].as_str()), ("wf", Some("t")));
    }
}
