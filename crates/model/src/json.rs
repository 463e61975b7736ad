//! JSON text from outside: one value, nothing twice, nothing that JSON does not have.
//!
//! Owns the reading and the words of its refusals. Refuses to know which keys there are.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// The longest text of parameters and messages, in bytes.
pub const BYTES_MAX: usize = 16 << 20;

/// The longest document of a workflow's state, in bytes: one of some 300,000 tasks. An import keeps what a document says
/// twice in one event, and events must fit the largest object of a store.
pub const DOCUMENT_BYTES_MAX: usize = 64 << 20;

/// Why a text is no JSON value, in the reader's words, with the place.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{0}")]
pub struct ParseJsonError(String);

/// Reads one value. Comments, trailing commas, `NaN`, numbers beyond the range of a 64-bit float, keys given twice and
/// more than 127 levels are refused.
pub fn parse(text: &str) -> Result<Value, ParseJsonError> {
    parse_within(text, BYTES_MAX)
}

/// The same with a limit of one's own.
fn parse_within(text: &str, bytes_max: usize) -> Result<Value, ParseJsonError> {
    if text.len() > bytes_max {
        return Err(ParseJsonError(format!("it is longer than {bytes_max} bytes")));
    }
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let value = Unique.deserialize(&mut deserializer).and_then(|value| deserializer.end().map(|()| value));
    value.map_err(|error| ParseJsonError(error.to_string()))
}

/// The same, where an object is expected.
pub fn parse_object(text: &str) -> Result<Map<String, Value>, ParseJsonError> {
    object(parse(text)?)
}

/// The same for a document of a state, which may be as long as [`DOCUMENT_BYTES_MAX`].
pub fn parse_document(text: &str) -> Result<Map<String, Value>, ParseJsonError> {
    object(parse_within(text, DOCUMENT_BYTES_MAX)?)
}

fn object(value: Value) -> Result<Map<String, Value>, ParseJsonError> {
    match value {
        Value::Object(map) => Ok(map),
        _ => Err(ParseJsonError("an object is expected: {\"key\": \"value\"}".to_owned())),
    }
}

/// Builds a value and refuses keys that come twice.
struct Unique;

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
        let mut list = Vec::new();
        while let Some(value) = access.next_element_seed(Unique)? {
            list.push(value);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(key) = access.next_key::<String>()? {
            if map.contains_key(&key) {
                return Err(A::Error::custom(format!("the key `{key}` comes twice")));
            }
            let value = access.next_value_seed(Unique)?;
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
}
