//! Requests and responses in the protocol's envelopes, and the bands of priority.
//!
//! Owns their fields and what a request must have. Refuses to mint ids, to read clocks and to know any operation.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::time::Timestamp;

/// The largest request that is taken in, in bytes of its text.
pub const REQUEST_BYTES_MAX: usize = 1 << 20;

/// The longest id of a request, in bytes.
const ID_BYTES_MAX: usize = 256;

/// How long an answer is waited for where a request does not say, in seconds: the protocol's default.
pub const TIMEOUT_SECONDS: u64 = 30;

/// Somebody asks a component to do something.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Request {
    /// Always `request`.
    pub message_type: String,
    /// `req_` and whatever its sender made unique: a repetition is known by it.
    pub request_id: String,
    /// What it belongs to.
    pub correlation_id: String,
    /// When, by the sender's clock.
    pub timestamp: Timestamp,
    /// Who is asked.
    pub target_component: String,
    /// What is to be done.
    pub operation: String,
    /// With what.
    pub parameters: Map<String, Value>,
    /// Whether the sender waits for an answer.
    pub response_required: bool,
    /// For how long.
    pub timeout_seconds: u64,
}

/// How a request ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ResponseStatus {
    /// It was done.
    Success,
    /// It was not.
    Error,
}

/// The answer to a request.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Response {
    /// Always `response`.
    pub message_type: String,
    /// `resp_` and a UUID.
    pub response_id: String,
    /// Which request it answers; `null` where the request had no id.
    pub request_id: Option<String>,
    /// What it belongs to, as the request said.
    pub correlation_id: Option<String>,
    /// When.
    pub timestamp: Timestamp,
    /// How it ended.
    pub status: ResponseStatus,
    /// What came of it; on an error, `error` with code, message and details, and what was found out before.
    pub result: Value,
    /// The request's id once more.
    pub response_to: Option<String>,
}

/// The fields of a request, in the order in which they are written.
pub const REQUEST_FIELDS: [&str; 9] = [
    "message_type",
    "request_id",
    "correlation_id",
    "timestamp",
    "target_component",
    "operation",
    "parameters",
    "response_required",
    "timeout_seconds",
];

/// Why something is no request, in one sentence.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{0}")]
pub struct ParseRequestError(String);

impl Request {
    /// Reads a request. What may be missing gets its default: `correlation_id` the request's id, the time `now`, an
    /// answer is wanted within [`TIMEOUT_SECONDS`]. Fields that no request has are refused.
    pub fn of(mut fields: Map<String, Value>, now: Timestamp) -> Result<Self, ParseRequestError> {
        if let Some(unknown) = fields.keys().find(|key| !REQUEST_FIELDS.contains(&key.as_str())) {
            let shown: String = unknown.chars().take(80).collect();
            return Err(ParseRequestError(format!("a request has no `{shown}`: {} are its fields", list())));
        }
        let kind = needed(text(&mut fields, "message_type")?, "message_type")?;
        if kind != "request" {
            return Err(ParseRequestError(format!("`message_type` is `{}`, not `request`", short(&kind))));
        }
        let request_id = id(&mut fields, "request_id")?;
        let request_id = needed(request_id, "request_id")?;
        let correlation_id = id(&mut fields, "correlation_id")?.unwrap_or_else(|| request_id.clone());
        let timestamp = match text(&mut fields, "timestamp")? {
            Some(at) => at.parse().map_err(|error| ParseRequestError(format!("`timestamp`: {error}")))?,
            None => now,
        };
        let parameters = match fields.shift_remove("parameters") {
            None | Some(Value::Null) => Map::new(),
            Some(Value::Object(map)) => map,
            Some(_) => return Err(wrong("parameters", "an object")),
        };
        let timeout_seconds = match fields.shift_remove("timeout_seconds") {
            None | Some(Value::Null) => TIMEOUT_SECONDS,
            Some(value) => value
                .as_u64()
                .filter(|seconds| *seconds > 0)
                .ok_or_else(|| wrong("timeout_seconds", "a whole number above 0"))?,
        };
        let response_required = match fields.shift_remove("response_required") {
            None | Some(Value::Null) => true,
            Some(value) => value.as_bool().ok_or_else(|| wrong("response_required", "true or false"))?,
        };
        Ok(Self {
            message_type: kind,
            request_id,
            correlation_id,
            timestamp,
            target_component: needed(text(&mut fields, "target_component")?, "target_component")?,
            operation: needed(text(&mut fields, "operation")?, "operation")?,
            parameters,
            response_required,
            timeout_seconds,
        })
    }
}

fn list() -> String {
    REQUEST_FIELDS.map(|field| format!("`{field}`")).join(", ")
}

fn short(text: &str) -> String {
    text.chars().take(80).collect()
}

fn needed<T>(value: Option<T>, field: &str) -> Result<T, ParseRequestError> {
    value.ok_or_else(|| ParseRequestError(format!("`{field}` is missing")))
}

fn wrong(field: &str, expected: &str) -> ParseRequestError {
    ParseRequestError(format!("`{field}`: {expected} is expected"))
}

fn text(fields: &mut Map<String, Value>, field: &str) -> Result<Option<String>, ParseRequestError> {
    match fields.shift_remove(field) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if !text.is_empty() => Ok(Some(text)),
        Some(_) => Err(wrong(field, "a text")),
    }
}

fn id(fields: &mut Map<String, Value>, field: &str) -> Result<Option<String>, ParseRequestError> {
    let found = text(fields, field)?;
    match found.as_ref().filter(|id| id.len() > ID_BYTES_MAX || id.chars().any(char::is_control)) {
        Some(_) => Err(wrong(field, "at most 256 bytes without control characters")),
        None => Ok(found),
    }
}

/// The band of a priority, 0 to 100.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Band {
    /// 0 to 39.
    Low,
    /// 40 to 69.
    Medium,
    /// 70 to 89.
    High,
    /// 90 to 100: recoveries.
    Critical,
}

/// How much something matters, from 0 to 100. A word of a band stands for the band's lowest number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
#[serde(transparent)]
pub struct Priority(u8);

impl Priority {
    /// A recovery's own.
    pub const RECOVERY: Self = Self(95);
    /// Of whoever does not say.
    pub const USUAL: Self = Self(50);

    /// A number from 0 to 100; `None` for any other.
    pub fn new(number: u64) -> Option<Self> {
        u8::try_from(number).ok().filter(|number| *number <= 100).map(Self)
    }

    /// The number.
    pub fn get(self) -> u8 {
        self.0
    }

    /// Its band.
    pub fn band(self) -> Band {
        match self.0 {
            0..=39 => Band::Low,
            40..=69 => Band::Medium,
            70..=89 => Band::High,
            _ => Band::Critical,
        }
    }

    /// Reads a number, or a band's name in any case.
    pub fn of(value: &Value) -> Option<Self> {
        let text = match value {
            Value::Number(number) => return number.as_u64().and_then(Self::new),
            Value::String(text) => text.trim().to_ascii_lowercase(),
            _ => return None,
        };
        match text.as_str() {
            "low" => Some(Self(0)),
            "medium" | "normal" => Some(Self(40)),
            "high" => Some(Self(70)),
            "critical" => Some(Self(90)),
            digits => digits.parse().ok().and_then(Self::new),
        }
    }
}

impl<'de> Deserialize<'de> for Priority {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        let refuse = || serde::de::Error::custom("a priority is 0 to 100, low, medium, high or critical");
        Self::of(&value).ok_or_else(refuse)
    }
}

impl schemars::JsonSchema for Priority {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Priority".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({"anyOf": [{"type": "integer", "minimum": 0, "maximum": 100}, {"type": "string"}]})
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(value: Value) -> Result<Request, String> {
        let Value::Object(fields) = value else { panic!("an object") };
        Request::of(fields, Timestamp(0)).map_err(|error| error.to_string())
    }

    #[test]
    fn the_protocols_request_goes_in_and_out() {
        let written = json!({
            "message_type": "request", "request_id": "req_1", "correlation_id": "corr_1",
            "timestamp": "2025-01-15T11:30:00Z", "target_component": "workflow-recovery",
            "operation": "list-checkpoints", "parameters": {"workflow_id": "wf"},
            "response_required": true, "timeout_seconds": 30
        });
        assert_eq!(serde_json::to_value(read(written.clone()).unwrap()).unwrap(), written);
        let short = json!({"message_type": "request", "request_id": "r", "target_component": "w", "operation": "o"});
        let short = read(short).unwrap();
        assert_eq!((short.correlation_id.as_str(), short.timeout_seconds), ("r", 30));
    }

    #[test]
    fn what_is_no_request_is_said() {
        let base = json!({"message_type": "request", "request_id": "r", "target_component": "w", "operation": "o"});
        for (key, value, why) in [
            ("message_type", json!("response"), "not `request`"),
            ("message_type", json!(null), "`message_type` is missing"),
            ("request_id", json!(5), "a text is expected"),
            ("request_id", json!(null), "`request_id` is missing"),
            ("request_id", json!("a\nb"), "control"),
            ("request_id", json!("x".repeat(300)), "256"),
            ("operation", json!(""), "a text is expected"),
            ("parameters", json!([]), "an object"),
            ("timestamp", json!("yesterday"), "is not a time"),
            ("timeout_seconds", json!(-1), "whole number"),
            ("timeout_seconds", json!(1.5), "whole number"),
            ("response_required", json!("yes"), "true or false"),
            ("reply", json!(1), "has no `reply`"),
        ] {
            let mut bad = base.clone();
            bad[key] = value.clone();
            let refused = read(bad).unwrap_err();
            assert!(refused.contains(why), "{key} = {value}: {refused}");
        }
    }

    #[test]
    fn priorities_have_bands() {
        let band = |value: Value| Priority::of(&value).map(Priority::band);
        assert_eq!(band(json!(95)), Some(Band::Critical));
        assert_eq!(band(json!("HIGH")), Some(Band::High));
        assert_eq!(band(json!("55")), Some(Band::Medium));
        assert_eq!(band(json!(0)), Some(Band::Low));
        for bad in [json!(101), json!(-1), json!(1.5), json!("urgent"), json!(null)] {
            assert_eq!(band(bad), None);
        }
    }
}
