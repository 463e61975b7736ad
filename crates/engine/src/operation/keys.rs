//! Checking parameters: which key is wrong, and which one was meant.
//!
//! Owns the words of these refusals. Refuses to judge what values mean together: that is the operation's work.

use serde_json::{Map, Value};

use super::Definition;
use super::plain::plain;
use crate::error::{Code, Failure};

/// Keys suggested for an unknown one.
const SUGGESTIONS_MAX: usize = 3;

/// Checks that every key is one of the operation's and has a value that it may have.
pub fn check<P: Definition>(parameters: &Map<String, Value>) -> Result<(), Failure> {
    for (key, value) in parameters {
        let alone = Map::from_iter([(key.clone(), value.clone())]);
        let Err(error) = super::strict::from_value::<P>(Value::Object(alone)) else { continue };
        let schema = super::parameters::<P>();
        let known: Vec<&str> = names(&schema).collect();
        if !known.contains(&key.as_str()) {
            return Err(unknown(P::NAME, key, &known));
        }
        let message = format!("`{key}`: {}", plain(&error.to_string()));
        return Err(Failure::new(Code::InvalidParameter, message).with_hint(hint(P::NAME, &schema, key)));
    }
    Ok(())
}

/// The refusal of a key that an operation does not have, with those that resemble it.
pub fn unknown(operation: &str, key: &str, known: &[&str]) -> Failure {
    let shown: String = key.chars().take(80).collect();
    let failure = Failure::new(Code::UnknownParameter, format!("`{operation}` has no parameter `{shown}`"));
    let near = nearest(key, known.iter().copied());
    let all = format!("`wfr {operation} --help` lists all");
    if near.is_empty() {
        return failure.with_hint(if known.is_empty() { "it has none".to_owned() } else { all });
    }
    failure.with_hint(format!("did you mean `{}`? {all}", near.join("`, `")))
}

/// The names of an operation's parameters.
pub fn names(schema: &Value) -> impl Iterator<Item = &str> {
    schema["properties"].as_object().into_iter().flat_map(|properties| properties.keys().map(String::as_str))
}

fn hint(operation: &str, schema: &Value, key: &str) -> String {
    let description = schema["properties"][key]["description"].as_str().unwrap_or_default();
    let first = description.lines().next().unwrap_or_default().trim_end_matches('.');
    format!("`{key}`: {}; see `wfr {operation} --help`", lower_first(first))
}

fn lower_first(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_lowercase().chain(letters).collect())
}

/// The names nearest to a text, nearest first: within a third of its length, or sharing a whole word of it.
pub fn nearest<'n>(text: &str, names: impl IntoIterator<Item = &'n str>) -> Vec<&'n str> {
    let text = text.to_ascii_lowercase().replace('-', "_");
    let text: String = text.chars().take(64).collect();
    let bound = (text.chars().count() / 3).max(2);
    let score = |name: &str| {
        let distance = distance(&text, name);
        let shares = text.len() > 2 && (name.starts_with(&text) || name.split('_').any(|word| word == text));
        (distance <= bound || shares).then_some(distance)
    };
    let mut near: Vec<(usize, &str)> = names.into_iter().filter_map(|name| Some((score(name)?, name))).collect();
    near.sort();
    near.into_iter().take(SUGGESTIONS_MAX).map(|(_, name)| name).collect()
}

/// The number of insertions, deletions, replacements and exchanges of neighbours between two texts (optimal string
/// alignment).
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let (mut before, mut last) = (vec![0; b.len() + 1], (0..=b.len()).collect::<Vec<_>>());
    for i in 1..=a.len() {
        let mut row = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let replaced = last[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            row[j] = replaced.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                row[j] = row[j].min(before[j - 2] + 1);
            }
        }
        (before, last) = (last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::params::{CreateCheckpoint, ListCheckpoints, Restore};
    use serde_json::json;

    fn refused<P: Definition>(value: Value) -> Failure {
        let map = value.as_object().cloned().unwrap_or_default();
        check::<P>(&map).expect_err("it is wrong")
    }

    #[test]
    fn unknown_keys_name_the_near_ones() {
        let failure = refused::<CreateCheckpoint>(json!({"nmae": "x"}));
        assert_eq!(failure.code, Code::UnknownParameter);
        assert!(failure.hint.contains("`name`"), "{}", failure.hint);
        assert!(refused::<CreateCheckpoint>(json!({"checkpoint-type": "x"})).hint.contains("checkpoint_type"));
        assert!(refused::<CreateCheckpoint>(json!({"validate": true})).hint.contains("validate_integrity"));
        assert!(!refused::<CreateCheckpoint>(json!({"entirely_else": 1})).hint.contains("did you mean"));
    }

    #[test]
    fn wrong_values_name_their_key() {
        for (key, value) in [
            ("limit", json!(-1)),
            ("limit", json!(0)),
            ("limit", json!("x")),
            ("sort_by", json!("age")),
            ("since", json!("now")),
        ] {
            let failure = refused::<ListCheckpoints>(json!({key: value}));
            assert_eq!(failure.code, Code::InvalidParameter);
            assert!(failure.message.starts_with(&format!("`{key}`: ")), "{}", failure.message);
        }
        let nested = refused::<Restore>(json!({"validation_config": {"integrity": {}}}));
        assert!(nested.message.contains("unknown field `integrity`"), "{}", nested.message);
    }

    #[test]
    fn distances_are_those_of_the_definition() {
        for (a, b, expected) in [("", "", 0), ("base", "bsae", 1), ("kitten", "sitting", 3), ("a", "", 1)] {
            assert_eq!((distance(a, b), distance(b, a)), (expected, expected), "{a} {b}");
        }
    }
}
