//! What comes in from outside: an event in either form, or one of the protocol's messages that say something like one.
//!
//! Owns telling them apart, by `message_type`, by a wrapper of that name or by their fields. Refuses to decide what a
//! message does: a state is compared, and a failure gets its id, where they are recorded.

use serde_json::{Map, Value};

use super::{
    Draft, EVENT_BYTES_MAX, EventName, EventType, ParseEventError, STATE_VERSION_MAX, envelope, line, workflow,
};
use crate::ids::WorkflowId;
use crate::json;
use crate::phase::PhaseId;
use crate::time::Timestamp;

/// Fields of a `state_sync` that say something of the message, not of the state.
const OF_THE_SYNC: &[&str] = &["message_type", "checkpoint_id", "validation_required", "metadata"];

/// One thing that somebody says.
#[derive(Clone, PartialEq, Debug)]
pub enum Message {
    /// An event.
    Event(Draft),
    /// A state, as another component has it.
    State(StateSync),
    /// An error, with all that is known of it.
    Error(ErrorReport),
}

/// A state as another component has it: it counts where its version is the higher one.
#[derive(Clone, PartialEq, Debug)]
pub struct StateSync {
    /// Of which workflow.
    pub workflow_id: WorkflowId,
    /// Its version.
    pub state_version: u64,
    /// The update that it is.
    pub update: Draft,
}

/// An error, with all that is known of it.
#[derive(Clone, PartialEq, Debug)]
pub struct ErrorReport {
    /// In which workflow; `None` where it concerns all.
    pub workflow_id: Option<WorkflowId>,
    /// The reporter's own id, by which a repetition is known.
    pub error_id: Option<String>,
    /// When, where the reporter said.
    pub timestamp: Option<Timestamp>,
    /// The report, but for workflow and time.
    pub fields: Map<String, Value>,
}

/// Which message it is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Event,
    StateSync,
    CheckpointSync,
    ErrorReport,
}

impl Kind {
    fn named(name: &str) -> Result<Self, ParseEventError> {
        match name.to_ascii_lowercase().as_str() {
            "event" | "notification" | "progress" => Ok(Self::Event),
            "state_sync" => Ok(Self::StateSync),
            "checkpoint_sync" => Ok(Self::CheckpointSync),
            "error_report" => Ok(Self::ErrorReport),
            _ => Err(ParseEventError::NoEvent(name.chars().take(80).collect())),
        }
    }

    /// The message that has these fields.
    fn of(fields: &Map<String, Value>) -> Result<Self, ParseEventError> {
        match fields.get("message_type") {
            Some(Value::String(name)) => return Self::named(name),
            None | Some(Value::Null) => {}
            Some(_) => return Err(refused("message_type", "a text is expected")),
        }
        let has = |key: &str| fields.contains_key(key);
        Ok(match () {
            () if has("event_type") => Self::Event,
            () if has("state_version") && (has("agent_states") || has("current_phase")) => Self::StateSync,
            () if has("classification") && (has("details") || has("context")) => Self::ErrorReport,
            () if has("checkpoint_type") && has("state_snapshot") => Self::CheckpointSync,
            () => Self::Event,
        })
    }
}

impl Message {
    /// Reads a text: one that begins with `{` is JSON, another one a line.
    pub fn read(text: &str) -> Result<Self, ParseEventError> {
        let text = text.trim();
        if text.len() > EVENT_BYTES_MAX {
            return Err(ParseEventError::TooLong);
        }
        if text.starts_with('{') {
            Self::of_fields(json::parse_message(text)?)
        } else {
            line::read(text).map(Self::Event)
        }
    }

    /// Reads a message that is JSON already.
    pub fn of_fields(mut fields: Map<String, Value>) -> Result<Self, ParseEventError> {
        json::check_message(&fields)?;
        let wrapped = ["state_sync", "checkpoint_sync", "error_report"]
            .iter()
            .find(|name| fields.get(**name).is_some_and(Value::is_object) && !fields.contains_key("event_type"));
        let kind = match wrapped {
            Some(name) => {
                if let Some(Value::Object(inner)) = fields.shift_remove(*name) {
                    fields.extend(inner);
                }
                Kind::named(name)?
            }
            None => Kind::of(&fields)?,
        };
        match kind {
            Kind::Event => {
                fields.shift_remove("message_type");
                envelope::of(fields).map(Self::Event)
            }
            Kind::StateSync => state_sync(fields).map(Self::State),
            Kind::CheckpointSync => checkpoint_sync(fields).map(Self::Event),
            Kind::ErrorReport => ErrorReport::of_fields(fields).map(Self::Error),
        }
    }
}

/// A state's update. What the message says of itself stands in the update's `source`.
fn state_sync(mut fields: Map<String, Value>) -> Result<StateSync, ParseEventError> {
    let (workflow_id, timestamp) = whose(&mut fields)?;
    let workflow_id = workflow_id.ok_or_else(|| refused("workflow_id", "it is missing"))?;
    let version = fields.get("state_version").and_then(Value::as_u64);
    let state_version = version.filter(|version| *version <= STATE_VERSION_MAX);
    let state_version =
        state_version.ok_or_else(|| refused("state_version", "a whole number of at most 2^53 is expected"))?;
    let of_the_sync = OF_THE_SYNC.iter().filter_map(|key| Some(((*key).to_owned(), fields.shift_remove(*key)?)));
    let mut source: Map<String, Value> = of_the_sync.collect();
    source.insert("message_type".to_owned(), "state_sync".into());
    fields.insert("source".to_owned(), Value::Object(source));
    let name = EventName::Known(EventType::WorkflowStateUpdated);
    let update = Draft { timestamp, data: fields, ..Draft::new(name, Some(workflow_id.clone())) };
    Ok(StateSync { workflow_id, state_version, update })
}

/// That another component took a checkpoint: an event like others, of which nothing follows here.
fn checkpoint_sync(mut fields: Map<String, Value>) -> Result<Draft, ParseEventError> {
    let (workflow_id, timestamp) = whose(&mut fields)?;
    fields.shift_remove("message_type");
    let phase = fields.get("phase").or_else(|| fields.get("phase_id")).map(PhaseId::of).transpose()?.flatten();
    let name = EventName::Other(EventName::CHECKPOINT_SYNC.to_owned());
    Ok(Draft { timestamp, phase, data: fields, ..Draft::new(name, workflow_id) })
}

impl ErrorReport {
    /// Reads the fields of a report. It must say what happened.
    pub fn of_fields(mut fields: Map<String, Value>) -> Result<Self, ParseEventError> {
        let (workflow_id, timestamp) = whose(&mut fields)?;
        fields.shift_remove("message_type");
        let error_id = match fields.get("error_id") {
            None | Some(Value::Null) => None,
            Some(Value::String(text)) => Some(text.clone()),
            Some(_) => return Err(refused("error_id", "a text is expected")),
        };
        for group in ["classification", "context", "details", "impact_assessment"] {
            if fields.get(group).is_some_and(|value| !value.is_object() && !value.is_null()) {
                return Err(refused(group_name(group), "an object is expected"));
            }
        }
        let report = Self { workflow_id, error_id, timestamp, fields };
        if report.message().is_none() {
            return Err(refused("details.error_message", "it is missing: say what happened"));
        }
        Ok(report)
    }

    /// What happened.
    pub fn message(&self) -> Option<String> {
        self.text("details", "error_message").or_else(|| self.text("details", "message"))
    }

    /// A text of one of its groups, or beside them; a number counts as one.
    pub fn text(&self, group: &str, key: &str) -> Option<String> {
        let within = self.fields.get(group).and_then(|group| group.get(key));
        match within.or_else(|| self.fields.get(key))? {
            Value::String(text) if !text.is_empty() => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            _ => None,
        }
    }

    /// Whether it can be recovered from, where the reporter said so.
    pub fn recoverable(&self) -> Option<bool> {
        let within = self.fields.get("classification").and_then(|group| group.get("recoverable"));
        within.or_else(|| self.fields.get("recoverable"))?.as_bool()
    }
}

/// The name of a group as errors have it.
fn group_name(group: &str) -> &'static str {
    match group {
        "classification" => "classification",
        "context" => "context",
        "details" => "details",
        _ => "impact_assessment",
    }
}

/// Workflow and time of a message.
fn whose(fields: &mut Map<String, Value>) -> Result<(Option<WorkflowId>, Option<Timestamp>), ParseEventError> {
    let flow = envelope::text(fields, "workflow_id")?.map(|text| workflow(&text)).transpose()?.flatten();
    let at = envelope::text(fields, "timestamp")?.map(|text| envelope::time(&text)).transpose()?;
    Ok((flow, at))
}

fn refused(field: &'static str, why: &str) -> ParseEventError {
    ParseEventError::Field { field, why: why.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(value: &Value) -> Result<Message, ParseEventError> {
        Message::read(&value.to_string())
    }

    #[test]
    fn messages_are_told_apart_by_type_wrapper_and_fields() {
        let bare = json!({"workflow_id": "wf", "state_version": 7, "current_phase": {"phase_id": 2}});
        let typed = json!({"message_type": "state_sync", "workflow_id": "wf", "state_version": 7, "current_phase": {"phase_id": 2}});
        for value in [&bare, &typed, &json!({"state_sync": bare})] {
            let Ok(Message::State(sync)) = read(value) else { panic!("{value}") };
            assert_eq!((sync.workflow_id.as_str(), sync.state_version), ("wf", 7));
            assert_eq!(sync.update.data["source"]["message_type"], "state_sync");
            assert_eq!(sync.update.data["current_phase"]["phase_id"], 2);
        }
        let sync =
            json!({"workflow_id": "wf", "checkpoint_type": "manual", "state_snapshot": {"file_system_hash": "x"}});
        let Ok(Message::Event(draft)) = read(&sync) else { panic!("{sync}") };
        assert_eq!((draft.event_type.as_str(), draft.data.len()), ("CHECKPOINT_SYNC", 2));
        let event =
            json!({"message_type": "event", "event_type": "TASK_STARTED", "state_version": 1, "agent_states": {}});
        assert!(matches!(read(&event), Ok(Message::Event(_))));
        assert!(matches!(read(&json!({"message_type": "request"})), Err(ParseEventError::NoEvent(_))));
    }

    #[test]
    fn reports_say_what_happened_or_are_refused() {
        let report = json!({"workflow_id": "wf", "error_id": "e1", "classification": {"type": "timeout", "recoverable": false},
            "context": {"task": 7}, "details": {"error_message": "no answer"}});
        let Ok(Message::Error(report)) = read(&report) else { panic!("{report}") };
        assert_eq!((report.message().as_deref(), report.recoverable()), (Some("no answer"), Some(false)));
        assert_eq!(report.text("context", "task").as_deref(), Some("7"));
        for bad in [
            json!({"message_type": "error_report"}),
            json!({"message_type": "error_report", "details": "x"}),
            json!({"message_type": "error_report", "error_id": 7, "error_message": "x"}),
            json!({"message_type": "error_report", "workflow_id": "../x", "error_message": "x"}),
            json!({"message_type": "state_sync", "workflow_id": "wf", "state_version": -1}),
            json!({"message_type": "state_sync", "state_version": 1}),
            json!({"message_type": 7}),
        ] {
            assert!(read(&bad).is_err(), "{bad}");
        }
    }
}
