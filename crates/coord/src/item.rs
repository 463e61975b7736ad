//! What goes out: an event or a message, as every kind of sink is given it.
//!
//! Owns its text. Refuses to know how it is carried.

use serde_json::Value;
use wfr_catalog::Outgoing;
use wfr_model::event::Envelope;
use wfr_model::{Timestamp, json};

/// One event or message.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Item {
    /// The event's or the message's id: the same at every delivery.
    pub id: String,
    /// The event's type, the operation that is asked for, or `response`.
    pub name: String,
    /// Whose workflow it is about.
    pub workflow: Option<String>,
    /// When it came to be.
    pub at: Timestamp,
    /// The protocol's envelope, in one line of JSON.
    pub body: String,
}

/// Why an item was not taken, in one sentence.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{0}")]
pub struct Refusal(pub String);

impl Item {
    /// What goes out, as an item.
    pub fn of(outgoing: &Outgoing) -> Self {
        match outgoing {
            Outgoing::Event(row) => Self {
                id: row.event.event_id.to_string(),
                name: row.event.event_type.to_string(),
                workflow: row.event.workflow_id.as_ref().map(ToString::to_string),
                at: row.event.timestamp,
                body: serde_json::to_string(&Envelope::of(&row.event)).unwrap_or_default(),
            },
            // Nobody is sent this.
            Outgoing::Unreadable(_, row) => Self {
                id: row.place.clone(),
                name: String::new(),
                workflow: None,
                at: Timestamp(0),
                body: String::new(),
            },
            Outgoing::Message(row) => Self {
                id: row.message.message_id.clone(),
                name: row.message.kind.clone(),
                workflow: workflow_of(&row.message.body),
                at: row.message.at,
                body: row.message.body.clone(),
            },
        }
    }

    /// Whether it is what a sink can be given: a JSON object.
    pub fn is_readable(&self) -> bool {
        json::stored::<serde_json::Map<String, Value>>(self.body.as_bytes()).is_ok()
    }

    /// One that was put aside, from its text.
    pub fn again(id: &str, body: &str, put_aside: Timestamp) -> Self {
        let value: Value = json::stored(body.as_bytes()).unwrap_or_default();
        let text = |key: &str| value.get(key).and_then(Value::as_str);
        let name = text("event_type").or_else(|| text("operation")).or_else(|| text("message_type"));
        let at = text("timestamp").and_then(|at| at.parse().ok()).unwrap_or(put_aside);
        Self {
            id: id.to_owned(),
            name: name.unwrap_or("message").to_owned(),
            workflow: text("workflow_id").map(str::to_owned).or_else(|| workflow_of(body)),
            at,
            body: body.to_owned(),
        }
    }
}

/// The workflow that a message's parameters, or its result, speak of.
fn workflow_of(body: &str) -> Option<String> {
    let value: Value = json::stored(body.as_bytes()).ok()?;
    let inner = ["/parameters/workflow_id", "/result/workflow_id"].iter().find_map(|at| value.pointer(at)?.as_str());
    inner.map(str::to_owned)
}
