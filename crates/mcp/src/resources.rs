//! Resources: checkpoints and failures by their addresses.
//!
//! Owns the addresses and the lists. Refuses to read the store itself: operations and the engine do.

use rmcp::model::{Resource, ResourceTemplate};
use serde_json::{Map, Value, json};
use wfr_engine::error::{Code, Failure, Kind};
use wfr_engine::failures;
use wfr_engine::operation;
use wfr_engine::session::Session;

use crate::redact;

/// How many of each are listed.
const LISTED_MAX: u32 = 100;

const CHECKPOINT: &str = "wfr://checkpoint/";
const FAILURE: &str = "wfr://failure/";
const JSON: &str = "application/json";

/// The forms of addresses.
pub fn templates() -> Vec<ResourceTemplate> {
    let of = |base: &str, name: &str, what: &str| {
        ResourceTemplate::new(format!("{base}{{id}}"), name).with_description(what).with_mime_type(JSON)
    };
    vec![
        of(CHECKPOINT, "checkpoint", "The manifest of a checkpoint, and what it does not cover"),
        of(FAILURE, "failure", "The report of a failure, as it was recorded"),
    ]
}

/// The newest checkpoints and failures.
pub fn list(session: &mut Session) -> Result<Vec<Resource>, Failure> {
    let parameters = json!({"descending": true, "limit": LISTED_MAX});
    let found = read(session, "list-checkpoints", parameters)?;
    let text = |value: &Value, key: &str| value[key].as_str().unwrap_or_default().to_owned();
    let checkpoint = |one: &Value| {
        let about = format!("Checkpoint of {}, {}", text(one, "workflow_id"), text(one, "created_at"));
        let address = format!("{CHECKPOINT}{}", text(one, "checkpoint_id"));
        Resource::new(address, text(one, "name")).with_description(about).with_mime_type(JSON)
    };
    let mut all: Vec<Resource> = found["checkpoints"].as_array().into_iter().flatten().map(checkpoint).collect();
    for (id, message) in failures::newest(session, LISTED_MAX)? {
        let id = id.to_string();
        let mut about = json!(message);
        redact::redact(&mut about);
        let about = about.as_str().unwrap_or_default().chars().take(200).collect::<String>();
        all.push(Resource::new(format!("{FAILURE}{id}"), id).with_description(about).with_mime_type(JSON));
    }
    Ok(all)
}

/// What an address stands for, as JSON without secrets; `None` where it stands for nothing.
pub fn get(session: &mut Session, uri: &str) -> Result<Option<String>, Failure> {
    let found = if let Some(id) = uri.strip_prefix(CHECKPOINT) {
        match read(session, "show", json!({"checkpoint": id})) {
            Err(failure) if failure.kind() == Kind::NotFound && failure.code == Code::CheckpointNotFound => None,
            shown => Some(shown?),
        }
    } else if let Some(id) = uri.strip_prefix(FAILURE) {
        failures::report(session, id)?
    } else {
        None
    };
    Ok(found.map(|mut found| {
        if let (Some(told), Some(map)) = (redact::redact(&mut found).told(), found.as_object_mut()) {
            map.insert("redacted".to_owned(), told.into());
        }
        found.to_string()
    }))
}

/// The result of an operation that only reads.
fn read(session: &mut Session, name: &str, parameters: Value) -> Result<Value, Failure> {
    let operation = operation::find(name).ok_or_else(|| Failure::new(Code::UnknownOperation, name))?;
    let parameters = match parameters {
        Value::Object(map) => map,
        _ => Map::new(),
    };
    let parameters = operation.bind(session, &[], parameters)?;
    Ok((operation.run)(session, Value::Object(parameters))?.result.to_value())
}
