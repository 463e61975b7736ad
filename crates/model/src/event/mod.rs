//! Events: appended facts about a workflow, in the protocol's line and envelope.
//!
//! Owns both forms, in and out. Refuses to mint ids and to read clocks: a [`Draft`] says what its sender said, and
//! whoever takes it in completes it.

mod envelope;
mod kind;
mod line;
mod message;
mod sealed;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::ids::{EventId, WorkflowId};
use crate::phase::{GLOBAL, PhaseId};
use crate::time::Timestamp;

pub use envelope::Envelope;
pub use kind::{EventName, EventType, ParseEventNameError};
pub use message::{ErrorReport, Message, StateSync};
pub use sealed::SealedEvent;

/// The largest event that is taken in from outside, in bytes of its text.
pub const EVENT_BYTES_MAX: usize = 1 << 20;

/// The highest version that a state takes from outside: what JSON's readers can tell apart, and no end of counting.
pub const STATE_VERSION_MAX: u64 = 1 << 53;

/// One fact.
#[derive(Clone, PartialEq, Debug)]
pub struct Event {
    /// Its id, by which a repetition is known.
    pub event_id: EventId,
    /// What happened.
    pub event_type: EventName,
    /// To which workflow; `None` for what concerns all, such as `SYSTEM_STARTUP`.
    pub workflow_id: Option<WorkflowId>,
    /// In which phase; `None` where it concerns none in particular.
    pub phase: Option<PhaseId>,
    /// When, by its sender's clock. Never used to order events.
    pub timestamp: Timestamp,
    /// Who sent it.
    pub source_component: String,
    /// The rest.
    pub data: Map<String, Value>,
    /// Its priority, as it was sent.
    pub priority: Option<Value>,
    /// For how many seconds it is of interest.
    pub ttl_seconds: Option<u64>,
}

impl Event {
    /// Fields of `data` that its type requires and that are not there.
    pub fn missing(&self) -> impl Iterator<Item = &'static str> + '_ {
        let required = self.event_type.known().map_or(&[][..], EventType::required);
        required.iter().copied().filter(|field| {
            let elsewhere = *field == "phase_id" && self.phase.is_some();
            !elsewhere && self.data.get(*field).is_none_or(Value::is_null)
        })
    }

    /// A text of `data`; a number counts as one.
    pub fn text(&self, key: &str) -> Option<String> {
        match self.data.get(key)? {
            Value::String(text) => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            _ => None,
        }
    }

    /// The protocol's `routing_key`: `TYPE.workflow.phase`.
    pub fn routing_key(&self) -> String {
        format!("{}.{}.{}", self.event_type, self.workflow(), self.phase_word())
    }

    fn workflow(&self) -> &str {
        self.workflow_id.as_ref().map_or(GLOBAL, WorkflowId::as_str)
    }

    fn phase_word(&self) -> &str {
        self.phase.as_ref().map_or(GLOBAL, PhaseId::as_str)
    }
}

/// An event as its sender said it: id and time may be missing.
#[derive(Clone, PartialEq, Debug)]
pub struct Draft {
    /// Its id, where the sender gave one.
    pub event_id: Option<EventId>,
    /// What happened.
    pub event_type: EventName,
    /// To which workflow.
    pub workflow_id: Option<WorkflowId>,
    /// In which phase.
    pub phase: Option<PhaseId>,
    /// When, where the sender said.
    pub timestamp: Option<Timestamp>,
    /// Who sent it, where it says so.
    pub source_component: Option<String>,
    /// The rest.
    pub data: Map<String, Value>,
    /// Its priority.
    pub priority: Option<Value>,
    /// For how many seconds it is of interest.
    pub ttl_seconds: Option<u64>,
}

impl Draft {
    /// A bare one.
    pub fn new(event_type: EventName, workflow_id: Option<WorkflowId>) -> Self {
        Self {
            event_id: None,
            event_type,
            workflow_id,
            phase: None,
            timestamp: None,
            source_component: None,
            data: Map::new(),
            priority: None,
            ttl_seconds: None,
        }
    }

    /// Reads either form: a text that begins with `{` is an envelope, another one a line.
    pub fn read(text: &str) -> Result<Self, ParseEventError> {
        let text = text.trim();
        if text.len() > EVENT_BYTES_MAX {
            return Err(ParseEventError::TooLong);
        }
        if text.starts_with('{') { envelope::read(text) } else { line::read(text) }
    }

    /// Reads the fields of an envelope that is JSON already.
    pub fn of_fields(fields: Map<String, Value>) -> Result<Self, ParseEventError> {
        envelope::of(fields)
    }

    /// The event, with what its sender left out.
    pub fn complete(self, id: impl FnOnce() -> EventId, now: Timestamp, source: &str) -> Event {
        Event {
            event_id: self.event_id.unwrap_or_else(id),
            event_type: self.event_type,
            workflow_id: self.workflow_id,
            phase: self.phase,
            timestamp: self.timestamp.unwrap_or(now),
            source_component: self.source_component.unwrap_or_else(|| source.to_owned()),
            data: self.data,
            priority: self.priority,
            ttl_seconds: self.ttl_seconds,
        }
    }
}

/// Why a text is no event.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ParseEventError {
    /// It is larger than [`EVENT_BYTES_MAX`].
    #[error("it is longer than {EVENT_BYTES_MAX} bytes")]
    TooLong,
    /// It is a message of the protocol that is answered, not recorded.
    #[error("a message of type `{0}` is no event")]
    NoEvent(String),
    /// It is neither form.
    #[error("neither EVENT_TYPE:workflow:phase:{{json}} nor a JSON object")]
    NoForm,
    /// It ends before the phase: it may be any text with a colon in it.
    #[error(
        "a line is EVENT_TYPE:workflow:phase:{{json}}, and this one ends before the phase, which may be `global`; the data may be left out"
    )]
    NoPhase,
    /// The JSON part is none.
    #[error("{0}")]
    Json(#[from] crate::json::ParseJsonError),
    /// The type is none.
    #[error(transparent)]
    Name(#[from] ParseEventNameError),
    /// An id or the phase is none.
    #[error(transparent)]
    Id(#[from] crate::ids::ParseIdError),
    /// A field has a value that it cannot have.
    #[error("`{field}`: {why}")]
    Field {
        /// Which.
        field: &'static str,
        /// Why.
        why: String,
    },
}

/// The workflow that a text names; `None` for `global` and for an empty text.
fn workflow(text: &str) -> Result<Option<WorkflowId>, ParseEventError> {
    let text = text.trim();
    if text.is_empty() || text.eq_ignore_ascii_case(GLOBAL) {
        return Ok(None);
    }
    Ok(Some(text.parse()?))
}

impl Serialize for Event {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Envelope::of(self).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Event {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use serde::de::Error;
        let draft = envelope::of(Map::deserialize(deserializer)?).map_err(D::Error::custom)?;
        let missing = |field| D::Error::custom(format!("`{field}` is missing"));
        let timestamp = draft.timestamp.ok_or_else(|| missing("timestamp"))?;
        let id = draft.event_id.clone().ok_or_else(|| missing("event_id"))?;
        Ok(draft.complete(|| id, timestamp, ""))
    }
}

impl schemars::JsonSchema for Event {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Event".into()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        Envelope::json_schema(generator)
    }
}
