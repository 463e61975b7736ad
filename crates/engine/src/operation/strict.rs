//! Reading parameters so that objects are objects.
//!
//! Owns that what has keys is never taken by position from a list, and the words where it is none. Refuses to know any key.

use serde::de::value::{MapDeserializer, SeqDeserializer};
use serde::de::{DeserializeOwned, Deserializer, Error as _, IntoDeserializer, Visitor};
use serde::forward_to_deserialize_any;
use serde_json::{Error, Value};

/// Reads a value; what is to be an object must be one, however deep.
pub fn from_value<T: DeserializeOwned>(value: Value) -> Result<T, Error> {
    T::deserialize(Strict(value))
}

struct Strict(Value);

impl<'de> IntoDeserializer<'de, Error> for Strict {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

impl<'de> Deserializer<'de> for Strict {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.0 {
            Value::Array(list) => {
                let mut list = SeqDeserializer::new(list.into_iter().map(Strict));
                let found = visitor.visit_seq(&mut list)?;
                list.end()?;
                Ok(found)
            }
            Value::Object(map) => {
                let mut map = MapDeserializer::new(map.into_iter().map(|(key, value)| (key, Strict(value))));
                let found = visitor.visit_map(&mut map)?;
                map.end()?;
                Ok(found)
            }
            plain => plain.deserialize_any(visitor),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        if self.0.is_object() {
            return self.deserialize_any(visitor);
        }
        let keys = fields.first().map(|key| format!(" with keys such as `{key}`")).unwrap_or_default();
        let shown: String = self.0.to_string().chars().take(80).collect();
        Err(Error::custom(format!("`{shown}` is no object{keys}")))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.0.is_null() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.0.deserialize_enum(name, variants, visitor)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple
        tuple_struct map identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::params::Rollback;
    use serde_json::json;

    #[test]
    fn what_has_keys_is_not_taken_from_a_list() {
        for (key, value) in [
            ("preservation_rules", json!([true, true, false])),
            ("rollback_strategy", json!([])),
            ("rollback_strategy", json!("x")),
            ("rollback_strategy", json!({"affected_components": [true]})),
        ] {
            let refused = from_value::<Rollback>(json!({key: value.clone()})).unwrap_err().to_string();
            assert!(refused.contains("is no object with keys such as") && !refused.contains("struct"), "{refused}");
        }
        let taken: Rollback = from_value(json!({
            "agent": "a", "file": ["x", "y"], "phase": 1, "dependents": "stop", "since": null,
            "rollback_strategy": {"preservation_rules": {"preserve_successful_tasks": true}}}))
        .unwrap();
        assert_eq!((taken.file.0.len(), taken.rollback_strategy.is_some()), (2, true));
    }
}
