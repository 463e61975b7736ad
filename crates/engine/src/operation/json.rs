//! Parameters as JSON text.
//!
//! Owns the words of their refusal. Refuses to know which keys there are, and how JSON is read.

use serde_json::{Map, Value};
use wfr_model::json;

use crate::error::{Code, Failure};

/// Reads the parameters of a call: one object, as [`json::parse_object`] takes it.
pub fn parse(text: &str) -> Result<Map<String, Value>, Failure> {
    json::parse_object(text).map_err(|error| {
        let failure = Failure::new(Code::InvalidJson, format!("the parameters cannot be read: {error}"));
        if error.is_too_deep() {
            failure.with_hint("write what lies deeper as a text: {\"key\": \"[[...]]\"}")
        } else {
            failure
        }
    })
}

/// Reads any other document of one object; says why it cannot be read.
pub fn parse_document(text: &str) -> Result<Map<String, Value>, String> {
    json::parse_message(text).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_text_is_read_as_serde_reads_it_or_refused(text in r#"[{}\[\]":,0-9a-e \\truflsn.+-]{0,40}"#) {
            if let Ok(map) = parse(&text) {
                prop_assert_eq!(Value::Object(map), serde_json::from_str::<Value>(&text).unwrap());
            }
        }
    }
}
