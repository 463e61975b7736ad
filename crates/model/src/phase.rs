//! Which phase: a number or a name, in the forms that siblings write it.
//!
//! Owns how `2`, `"2"`, `"phase_2"` and `{"phase_id": 2}` are one phase. Refuses to know what phases there are.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use crate::ids::{NAME_BYTES_MAX, ParseIdError, check_name};

/// The word for no phase in particular.
pub const GLOBAL: &str = "global";

/// A phase of a workflow: a whole number as digits, or a name.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct PhaseId(String);

impl PhaseId {
    /// The phase of a number.
    pub fn numbered(number: i64) -> Self {
        Self(number.to_string())
    }

    /// The phase that a text names; `None` for `global` and for an empty text. `phase_2` and `Phase 2` are phase 2; a
    /// heading such as `Write the docs` becomes `write_the_docs`, as [`word`] has it.
    pub fn named(text: &str) -> Result<Option<Self>, ParseIdError> {
        let text = text.trim();
        if text.is_empty() || text.eq_ignore_ascii_case(GLOBAL) {
            return Ok(None);
        }
        if is_negative(text) {
            let (text, why) = (text.chars().take(80).collect(), "no phase has a negative number");
            return Err(ParseIdError { text, what: "phase", why });
        }
        if let Some(number) = number_in(text) {
            return Ok(Some(Self::numbered(number)));
        }
        if check_name(text, "phase").is_ok() {
            return Ok(Some(Self(text.to_owned())));
        }
        let refused = |why| ParseIdError { text: text.chars().take(80).collect(), what: "phase", why };
        if text.contains(['/', '\\', '\0', '\n']) || text.starts_with('.') {
            return Err(refused("a number or a name is expected"));
        }
        let word = word(text);
        if word.is_empty() || word.len() > NAME_BYTES_MAX {
            return Err(refused("a number, or a name of at most 128 bytes, is expected"));
        }
        // What is left may be a number, or none in particular.
        Ok(match number_in(&word) {
            Some(number) => Some(Self::numbered(number)),
            None if word == GLOBAL => None,
            None => Some(Self(word)),
        })
    }

    /// The phase in any of its forms: a number, a text, or an object with `phase_id`, `id`, `phase_number` or `name`.
    pub fn of(value: &Value) -> Result<Option<Self>, ParseIdError> {
        let refused = || ParseIdError {
            text: value.to_string().chars().take(80).collect(),
            what: "phase",
            why: "a whole number, a name, or an object with `phase_id` is expected",
        };
        match value {
            Value::Null => Ok(None),
            Value::Number(number) => match number.as_i64() {
                Some(number) if number >= 0 => Ok(Some(Self::numbered(number))),
                _ => Err(refused()),
            },
            Value::String(text) => Self::named(text),
            Value::Object(map) => {
                let key = ["phase_id", "id", "phase_number", "name"].into_iter().find(|key| map.contains_key(*key));
                match key.map(|key| &map[key]) {
                    Some(inner @ (Value::Number(_) | Value::String(_) | Value::Null)) => Self::of(inner),
                    _ => Err(refused()),
                }
            }
            Value::Bool(_) | Value::Array(_) => Err(refused()),
        }
    }

    /// The text of it.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The number, where it is one.
    pub fn number(&self) -> Option<i64> {
        self.0.parse().ok()
    }
}

/// The number of `2`, `phase_2`, `phase-2`, `Phase 2`.
fn number_in(text: &str) -> Option<i64> {
    let lower = text.to_ascii_lowercase();
    let digits = lower.strip_prefix("phase").map_or(lower.as_str(), |rest| rest.trim_start_matches(['_', '-', ' ']));
    if digits.len() > 18 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    digits.parse().ok()
}

/// Whether a text is a number below zero, after the word or not: as a name it would lose its sign.
fn is_negative(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    let number = match lower.strip_prefix("phase") {
        Some(rest) => rest.strip_prefix(['_', '-', ' ']).unwrap_or_default(),
        None => &lower,
    };
    let is_digit = |first: char| first.is_ascii_digit();
    number.strip_prefix('-').is_some_and(|digits| digits.starts_with(is_digit) && digits.parse::<f64>().is_ok())
}

/// Signs that tell one name from another: `C++` is not `C#`.
const SIGNS: &str = "+#&@%$=~^*<>|";

/// A heading as the name of a phase: small letters and digits of any script, signs by their codes (`C++` is `c_x2b_x2b`), all else
/// one underscore. What reads alike has the same one.
pub fn word(heading: &str) -> String {
    let mut word = String::new();
    let part = |word: &mut String| {
        if !word.is_empty() && !word.ends_with('_') {
            word.push('_');
        }
    };
    for letter in heading.chars() {
        if letter.is_alphanumeric() {
            word.extend(letter.to_lowercase());
        } else {
            part(&mut word);
            if SIGNS.contains(letter) {
                word.push_str(&format!("x{:02x}_", u32::from(letter)));
            }
        }
    }
    word.trim_end_matches('_').to_owned()
}

/// A heading as a plain name: small Latin letters and digits, all else one underscore.
pub fn slug(heading: &str) -> String {
    let mut slug = String::new();
    for letter in heading.chars() {
        if letter.is_ascii_alphanumeric() {
            slug.push(letter.to_ascii_lowercase());
        } else if !slug.is_empty() && !slug.ends_with('_') {
            slug.push('_');
        }
    }
    slug.trim_end_matches('_').to_owned()
}

impl std::str::FromStr for PhaseId {
    type Err = ParseIdError;

    /// As [`PhaseId::named`], where a phase must be named.
    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        let nothing = || ParseIdError { text: text.to_owned(), what: "phase", why: "it names none" };
        Self::named(text)?.ok_or_else(nothing)
    }
}

impl fmt::Display for PhaseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Ord for PhaseId {
    /// Numbers by their size, before names.
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        let key = |phase: &Self| (phase.number().is_none(), phase.number());
        key(self).cmp(&key(other)).then_with(|| self.0.cmp(&other.0))
    }
}

impl PartialOrd for PhaseId {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Serialize for PhaseId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.number() {
            Some(number) => serializer.serialize_i64(number),
            None => serializer.serialize_str(&self.0),
        }
    }
}

impl<'de> Deserialize<'de> for PhaseId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        match Self::of(&value) {
            Ok(Some(phase)) => Ok(phase),
            Ok(None) => Err(serde::de::Error::custom("a phase is expected")),
            Err(error) => Err(serde::de::Error::custom(error)),
        }
    }
}

impl schemars::JsonSchema for PhaseId {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "PhaseId".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({"type": ["integer", "string"]})
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_forms_of_a_phase_are_one() {
        let two = Some(PhaseId::numbered(2));
        for value in [
            json!(2),
            json!("2"),
            json!("phase_2"),
            json!("Phase 2"),
            json!({"phase_id": 2, "name": "x"}),
            json!({"id": "2"}),
            json!("phase 2;"),
        ] {
            assert_eq!(PhaseId::of(&value), Ok(two.clone()), "{value}");
        }
        assert_eq!(PhaseId::of(&json!("global")), Ok(None));
        let named = PhaseId::of(&json!("Implementation Phase")).unwrap().unwrap();
        assert_eq!(named.as_str(), "implementation_phase");
        assert_eq!(serde_json::to_value([PhaseId::numbered(2), named]).unwrap(), json!([2, "implementation_phase"]));
    }

    #[test]
    fn none_in_particular_is_that_with_signs_around_it_too() {
        for text in ["", " ", "global", "Global", "global;{}"] {
            assert_eq!(PhaseId::named(text), Ok(None), "{text}");
        }
    }

    #[test]
    fn names_of_any_script_and_with_signs_are_phases_of_their_own() {
        let named = |text: &str| PhaseId::named(text).unwrap().unwrap().as_str().to_owned();
        assert_eq!(
            ["設計", "実装", "Über Ünit", "C++", "C#", "C", "R & D"].map(named),
            ["設計", "実装", "über_ünit", "c_x2b_x2b", "c_x23", "C", "r_x26_d"]
        );
        for text in ["設計", "Über Ünit", "C++", "write_the_docs"] {
            assert_eq!(named(&named(text)), named(text), "what is written is read again as it is");
        }
        assert!(PhaseId::named("!!!").is_err());
    }

    #[test]
    fn what_is_no_phase_is_refused() {
        for value in [
            json!(-1),
            json!(1.5),
            json!(1e300),
            json!("../x"),
            json!(["2"]),
            json!(true),
            json!({"phase": {}}),
            json!("//"),
            json!("-1"),
            json!("-1.5"),
            json!("phase_-1"),
            json!("Phase -1"),
        ] {
            assert!(PhaseId::of(&value).is_err(), "{value}");
        }
    }

    #[test]
    fn numbers_come_in_their_order() {
        let mut phases: Vec<PhaseId> =
            ["docs", "10", "9"].iter().map(|text| PhaseId::named(text).unwrap().unwrap()).collect();
        phases.sort();
        assert_eq!(phases.iter().map(PhaseId::as_str).collect::<Vec<_>>(), ["9", "10", "docs"]);
    }
}
