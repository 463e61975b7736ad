//! Parameters as JSON text: one object, nothing twice, nothing that JSON does not have.
//!
//! Owns the reading and the words of its refusals. Refuses to know which keys there are.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use crate::error::{Code, Failure};

/// The longest text of parameters, in bytes.
pub const BYTES_MAX: usize = 16 << 20;

/// Reads the parameters of a call. Comments, trailing commas, `NaN`, numbers beyond the range of a 64-bit float, keys
/// given twice and more than 127 levels are refused.
pub fn parse(text: &str) -> Result<Map<String, Value>, Failure> {
    let refuse = |why: String| Failure::new(Code::InvalidJson, format!("the parameters cannot be read: {why}"));
    if text.len() > BYTES_MAX {
        return Err(refuse(format!("they are longer than {BYTES_MAX} bytes")));
    }
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let value = Unique.deserialize(&mut deserializer).and_then(|value| deserializer.end().map(|()| value));
    match value.map_err(|error| refuse(error.to_string()))? {
        Value::Object(map) => Ok(map),
        _ => Err(refuse("an object is expected: {\"key\": \"value\"}".to_owned())),
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
    use proptest::prelude::*;

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
            let failure = parse(text).expect_err(&text.chars().take(40).collect::<String>());
            assert_eq!(failure.code, Code::InvalidJson);
        }
    }

    #[test]
    fn keys_must_not_come_twice_at_any_level() {
        for text in [r#"{"a": 1, "a": 1}"#, r#"{"b": {"a": 1, "a": 2}}"#, r#"{"b": [{"a": 1, "\u0061": 2}]}"#] {
            assert!(parse(text).is_err_and(|failure| failure.message.contains("`a` comes twice")), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_as_serde_reads_it_or_refused(text in r#"[{}\[\]":,0-9a-e \\truflsn.+-]{0,40}"#) {
            if let Ok(map) = parse(&text) {
                prop_assert_eq!(Value::Object(map), serde_json::from_str::<Value>(&text).unwrap());
            }
        }
    }
}
