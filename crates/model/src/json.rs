//! JSON text from outside: one value, nothing twice, nothing that JSON does not have, nothing too deep. And the text of what
//! was stored, however deep that is.
//!
//! Owns the reading, the bounds and the words of its refusals. Refuses to know which keys there are.

use std::fmt;

use serde::de::{DeserializeOwned, DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// The longest text of parameters and messages, in bytes.
pub const BYTES_MAX: usize = 16 << 20;

/// The longest document of a workflow's state, in bytes: one of some 300,000 tasks. An import keeps what a document says
/// twice in one event, and events must fit the largest object of a store.
pub const DOCUMENT_BYTES_MAX: usize = 64 << 20;

/// How many objects and lists of what somebody says may lie in each other. What is stored of it lies a few levels deeper, and
/// stays below the 127 that other readers of JSON take.
pub const LEVELS_MAX: usize = 64;

/// The same for a message as a whole, so that one which holds such data and was written by this program can be read again.
pub const MESSAGE_LEVELS_MAX: usize = LEVELS_MAX + 8;

/// The same for a document of a state, which may be an export of what messages said.
pub const DOCUMENT_LEVELS_MAX: usize = MESSAGE_LEVELS_MAX + 24;

/// The same for what is read piece by piece afterwards: what [`Value`] is read from without more ado.
const PIECES_LEVELS_MAX: usize = 120;

/// The same for what is stored: before there was a bound, some 130 levels came in.
const STORED_LEVELS_MAX: usize = 256;

/// Why a text is no JSON value, in the reader's words, with the place.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{0}")]
pub struct ParseJsonError(String);

impl ParseJsonError {
    /// Whether the text is well, and only deeper than what is taken.
    pub fn is_too_deep(&self) -> bool {
        self.0.contains(TOO_DEEP)
    }
}

/// Reads one value. Comments, trailing commas, `NaN`, numbers beyond the range of a 64-bit float, keys given twice and
/// more than [`LEVELS_MAX`] levels are refused.
pub fn parse(text: &str) -> Result<Value, ParseJsonError> {
    parse_within(text, BYTES_MAX, LEVELS_MAX)
}

/// The same with limits of one's own.
fn parse_within(text: &str, bytes_max: usize, levels_max: usize) -> Result<Value, ParseJsonError> {
    if text.len() > bytes_max {
        return Err(ParseJsonError(format!("it is longer than {bytes_max} bytes")));
    }
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let whole = Unique { left: levels_max, max: levels_max };
    let value = whole.deserialize(&mut deserializer).and_then(|value| deserializer.end().map(|()| value));
    value.map_err(|error| ParseJsonError(error.to_string()))
}

/// The same, where an object is expected.
pub fn parse_object(text: &str) -> Result<Map<String, Value>, ParseJsonError> {
    object(parse(text)?)
}

/// The same for one message or a list of them, each of which [`check_message`] has yet to look at.
pub fn parse_messages(text: &str) -> Result<Value, ParseJsonError> {
    parse_within(text, BYTES_MAX, PIECES_LEVELS_MAX)
}

/// The same for the text of one message.
pub fn parse_message(text: &str) -> Result<Map<String, Value>, ParseJsonError> {
    object(parse_within(text, BYTES_MAX, MESSAGE_LEVELS_MAX)?)
}

/// Refuses the fields of a message that lie in each other deeper than [`MESSAGE_LEVELS_MAX`].
pub fn check_message(fields: &Map<String, Value>) -> Result<(), ParseJsonError> {
    fn fits(value: &Value, left: usize) -> bool {
        match value {
            Value::Array(list) => left > 0 && list.iter().all(|value| fits(value, left - 1)),
            Value::Object(map) => left > 0 && map.values().all(|value| fits(value, left - 1)),
            _ => true,
        }
    }
    let is_fit = fields.values().all(|value| fits(value, MESSAGE_LEVELS_MAX - 1));
    if is_fit { Ok(()) } else { Err(ParseJsonError(too_deep(MESSAGE_LEVELS_MAX))) }
}

/// The same for a document of a state, which may be as long as [`DOCUMENT_BYTES_MAX`] and as deep as
/// [`DOCUMENT_LEVELS_MAX`].
pub fn parse_document(text: &str) -> Result<Map<String, Value>, ParseJsonError> {
    object(parse_within(text, DOCUMENT_BYTES_MAX, DOCUMENT_LEVELS_MAX)?)
}

/// Reads what was stored, which may be deeper than what is taken in by now.
///
/// # Errors
///
/// What is wrong with it, and where.
pub fn stored<T: DeserializeOwned>(bytes: &[u8]) -> serde_json::Result<T> {
    match serde_json::from_slice(bytes) {
        Err(_) if is_deep(bytes) => {
            let mut deserializer = serde_json::Deserializer::from_slice(bytes);
            // What it goes down to is bounded: it was counted.
            deserializer.disable_recursion_limit();
            let value = T::deserialize(&mut deserializer)?;
            deserializer.end().map(|()| value)
        }
        read => read,
    }
}

/// Whether a text is deeper than the reader takes by itself, and not deeper than what can have been stored.
fn is_deep(bytes: &[u8]) -> bool {
    let (mut level, mut deepest) = (0_usize, 0);
    let mut within_text = false;
    let mut bytes = bytes.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'\\' if within_text => drop(bytes.next()),
            b'"' => within_text = !within_text,
            b'[' | b'{' if !within_text => {
                level += 1;
                deepest = deepest.max(level);
            }
            b']' | b'}' if !within_text => level = level.saturating_sub(1),
            _ => {}
        }
    }
    (127..=STORED_LEVELS_MAX).contains(&deepest)
}

/// What the refusal of a text says that is too deep, and no other: the reader gives its words alone.
const TOO_DEEP: &str = " objects and lists lie in each other: put what is deeper into a text";

fn too_deep(max: usize) -> String {
    format!("more than {max}{TOO_DEEP}")
}

fn object(value: Value) -> Result<Map<String, Value>, ParseJsonError> {
    match value {
        Value::Object(map) => Ok(map),
        _ => Err(ParseJsonError("an object is expected: {\"key\": \"value\"}".to_owned())),
    }
}

/// Builds a value and refuses keys that come twice, and what is too deep.
#[derive(Clone, Copy)]
struct Unique {
    /// So many levels more may come.
    left: usize,
    /// Of so many.
    max: usize,
}

impl Unique {
    /// For what lies in an object or a list.
    fn within<E: serde::de::Error>(self) -> Result<Self, E> {
        let left = self.left.checked_sub(1).ok_or_else(|| E::custom(too_deep(self.max)))?;
        Ok(Self { left, ..self })
    }
}

impl<'de> DeserializeSeed<'de> for Unique {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Unique {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("a number is not finite"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let inner = self.within()?;
        let mut list = Vec::new();
        while let Some(value) = access.next_element_seed(inner)? {
            list.push(value);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let inner = self.within()?;
        let mut map = Map::new();
        while let Some(key) = access.next_key::<String>()? {
            if map.contains_key(&key) {
                return Err(A::Error::custom(format!("the key `{key}` comes twice")));
            }
            let value = access.next_value_seed(inner)?;
            map.insert(key, value);
        }
        Ok(Value::Object(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_json_is_refused_with_its_place() {
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(10_000), "]".repeat(10_000));
        let long = format!("{{\"a\": \"{}\"}}", "x".repeat(BYTES_MAX));
        let bad = [
            "{",
            "{\"a\"",
            "{\"a\": }",
            "{\"a\": 1",
            "{\"a\": 1,}",
            "{} {}",
            "{'a': 1}",
            "{\"a\": NaN}",
            "{\"a\": 1e400}",
            "{\"a\": -Infinity}",
            "{\"a\": 01}",
            "{\"a\": \"\\ud800\"}",
            "{\"a\": \"\n\"}",
            "{/**/}",
            "[]",
            "null",
            "",
            "1",
            &deep,
            &long,
        ];
        for text in bad {
            assert!(parse_object(text).is_err(), "{}", text.chars().take(40).collect::<String>());
        }
    }

    #[test]
    fn keys_must_not_come_twice_at_any_level() {
        for text in [r#"{"a": 1, "a": 1}"#, r#"{"b": {"a": 1, "a": 2}}"#, r#"{"b": [{"a": 1, "\u0061": 2}]}"#] {
            assert!(parse(text).is_err_and(|error| error.to_string().contains("`a` comes twice")), "{text}");
        }
    }

    #[test]
    fn what_is_too_deep_is_refused_and_what_was_stored_is_read() {
        let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        let named = |max: usize| format!("more than {max} objects");
        assert!(parse(&nested(LEVELS_MAX)).is_ok());
        assert!(parse(&nested(LEVELS_MAX + 1)).is_err_and(|error| error.to_string().contains(&named(LEVELS_MAX))));
        assert!(parse(&nested(LEVELS_MAX + 1)).is_err_and(|error| error.is_too_deep()));
        assert!(parse("[").is_err_and(|error| !error.is_too_deep()));
        let message = |levels: usize| format!("{{\"a\":{}}}", nested(levels - 1));
        let checked = |levels: usize| {
            let Ok(Value::Object(fields)) = parse_messages(&message(levels)) else { panic!("{levels}") };
            check_message(&fields)
        };
        assert!(parse_message(&message(MESSAGE_LEVELS_MAX)).is_ok() && checked(MESSAGE_LEVELS_MAX).is_ok());
        assert!(parse_message(&message(MESSAGE_LEVELS_MAX + 1)).is_err() && checked(MESSAGE_LEVELS_MAX + 1).is_err());
        assert!(parse_document(&message(DOCUMENT_LEVELS_MAX)).is_ok());
        assert!(parse_document(&message(DOCUMENT_LEVELS_MAX + 1)).is_err());
        for levels in [126, 127, 128, 140, STORED_LEVELS_MAX] {
            let text = format!("{{\"a\":[\"\\\"[{{\",{}]}}", nested(levels - 2));
            let read = stored::<Value>(text.as_bytes()).map(|value| value.to_string());
            assert_eq!(read.ok(), Some(text), "{levels}");
        }
        for text in [nested(STORED_LEVELS_MAX + 1), nested(100_000), "[".repeat(200), format!("{}x", nested(200))] {
            assert!(stored::<Value>(text.as_bytes()).is_err());
        }
    }
}
