//! Values of flags: from text to JSON, by the key's schema.
//!
//! Owns the shapes that a flag's value may have. Refuses to judge values: the operation does, whichever way they came.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use serde_json::{Map, Value};
use wfr_engine::error::Failure;
use wfr_engine::operation::json;
use wfr_engine::params::HostPath;

/// What the value of a flag may be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Shape {
    /// True or false.
    Bool,
    /// A number.
    Number,
    /// One of some words, each with its explanation.
    Choice(Vec<(String, String)>),
    /// A path in a tree.
    TreePath,
    /// A path of this machine.
    HostPath,
    /// A path in a tree, `=`, and a path of this machine.
    PathAndFile,
    /// A JSON object.
    Object,
    /// Text that may also be a number or a JSON object.
    Text {
        /// Whether digits are a number.
        number: bool,
        /// Whether text that begins with `{` is an object.
        object: bool,
    },
    /// Several of these.
    List(Box<Shape>),
}

impl Shape {
    /// The shape that a schema describes.
    pub fn of(schema: &Value) -> Self {
        if let Some(choices) = choices(schema) {
            return Self::Choice(choices);
        }
        let union = schema["anyOf"].as_array().map(Vec::as_slice).unwrap_or_default();
        let parts: Vec<Self> = union.iter().filter(|part| part["type"] != "null").map(Self::of).collect();
        if let Some(list) = parts.iter().find(|part| part.is_list()) {
            return list.clone();
        }
        match parts.as_slice() {
            [] => Self::of_type(schema),
            [one] | [one @ Self::Choice(_), Self::Object] => one.clone(),
            several => {
                let number = several.contains(&Self::Number);
                Self::Text { number, object: several.contains(&Self::Object) }
            }
        }
    }

    fn of_type(schema: &Value) -> Self {
        let is = |name: &str| match &schema["type"] {
            Value::String(found) => found == name,
            Value::Array(found) => found.iter().any(|found| found == name),
            _ => false,
        };
        match schema["format"].as_str() {
            Some("tree-path" | "path-spec") => return Self::TreePath,
            Some("host-path") => return Self::HostPath,
            Some("path-and-file") => return Self::PathAndFile,
            _ => {}
        }
        if is("array") {
            return Self::List(Box::new(Self::of(&schema["items"])));
        }
        if is("boolean") {
            Self::Bool
        } else if is("integer") || is("number") {
            Self::Number
        } else if is("object") {
            Self::Object
        } else {
            Self::Text { number: false, object: false }
        }
    }

    /// Whether it may be given several times.
    pub fn is_list(&self) -> bool {
        matches!(self, Self::List(_))
    }

    /// Whether `-1` is a value and no flag.
    pub fn is_signed(&self) -> bool {
        matches!(self, Self::Number | Self::Text { number: true, .. })
    }

    /// The words that it may be, where they are known.
    pub fn choices(&self) -> &[(String, String)] {
        match self {
            Self::Choice(choices) => choices,
            Self::List(item) => item.choices(),
            _ => &[],
        }
    }

    /// What stands for the value in help.
    pub fn placeholder(&self, key: &str) -> String {
        match self {
            Self::Bool => "BOOL".to_owned(),
            Self::Number => "N".to_owned(),
            Self::TreePath | Self::HostPath => "PATH".to_owned(),
            Self::PathAndFile => "PATH=FILE".to_owned(),
            Self::Object => "JSON".to_owned(),
            Self::List(item) => item.placeholder(key.trim_end_matches('s')),
            Self::Choice(_) | Self::Text { .. } => {
                key.trim_end_matches("_id").rsplit('_').next().unwrap_or(key).to_ascii_uppercase()
            }
        }
    }

    /// The JSON of a flag's values.
    pub fn read(&self, values: &[&OsStr]) -> Result<Value, Failure> {
        match (self, values.last()) {
            (Self::List(item), _) => {
                let parts = values.iter().flat_map(|value| item.split(value));
                parts.map(|part| item.read_one(OsStr::from_bytes(part))).collect()
            }
            (_, Some(last)) => self.read_one(last),
            (_, None) => Ok(Value::Null),
        }
    }

    /// The parts of one value of a list. Paths may hold commas.
    fn split<'v>(&self, value: &'v OsStr) -> Vec<&'v [u8]> {
        match self {
            Self::TreePath | Self::HostPath | Self::PathAndFile | Self::Object => vec![value.as_bytes()],
            _ => value.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii).collect(),
        }
    }

    fn read_one(&self, value: &OsStr) -> Result<Value, Failure> {
        let text = match self {
            // These are read back by the same rule, so any bytes go through.
            Self::HostPath => return Ok(Value::String(HostPath::text_of(value))),
            Self::TreePath => return Ok(Value::String(tree_path(value))),
            // Which `=` parts the two is not known here.
            Self::PathAndFile => {
                let parts = value.as_bytes().split(|byte| *byte == b'=').map(|part| tree_path(OsStr::from_bytes(part)));
                return Ok(Value::String(parts.collect::<Vec<_>>().join("=")));
            }
            _ => value.to_string_lossy().into_owned(),
        };
        Ok(match self {
            Self::Bool => Value::Bool(text == "true"),
            Self::Number => number(&text).unwrap_or(Value::String(text)),
            Self::Object => Value::Object(object(&text)?),
            Self::Text { object: true, .. } if text.trim_start().starts_with('{') => Value::Object(object(&text)?),
            Self::Text { number: true, .. } => number(&text).unwrap_or(Value::String(text)),
            // Where an object may stand for a word, too; no word begins so.
            Self::Choice(_) if text.trim_start().starts_with('{') => Value::Object(object(&text)?),
            Self::Choice(choices) => Value::String(chosen(choices, text)),
            _ => Value::String(text),
        })
    }
}

/// Text as it is where it is a path's text form, else its own escape.
fn tree_path(value: &OsStr) -> String {
    match value.to_str() {
        Some(text) if wfr_model::path::unescape(text).is_some() => text.to_owned(),
        _ => wfr_model::path::escape(value.as_bytes()),
    }
}

fn object(text: &str) -> Result<Map<String, Value>, Failure> {
    json::parse(text)
}

/// A number as JSON writes it; `None` for anything else.
fn number(text: &str) -> Option<Value> {
    serde_json::from_str(text).ok().filter(Value::is_number)
}

/// A word of an enumeration, with `-` for `_` understood.
fn chosen(choices: &[(String, String)], text: String) -> String {
    let underscored = text.replace('-', "_");
    let is_one = |word: &str| choices.iter().any(|(name, _)| name == word);
    if !is_one(&text) && is_one(&underscored) { underscored } else { text }
}

/// The words of an enumeration, with what each means; `None` for any other schema.
fn choices(schema: &Value) -> Option<Vec<(String, String)>> {
    if let Some(words) = schema["enum"].as_array() {
        return Some(words.iter().filter_map(|word| Some((word.as_str()?.to_owned(), String::new()))).collect());
    }
    if let Some(word) = schema["const"].as_str() {
        let help = schema["description"].as_str().unwrap_or_default();
        return Some(vec![(word.to_owned(), help.replace('\n', " ").trim_end_matches('.').to_owned())]);
    }
    let union = schema["oneOf"].as_array().or_else(|| schema["anyOf"].as_array())?;
    let parts = union.iter().filter(|part| part["type"] != "null");
    let words: Option<Vec<_>> = parts.map(choices).collect();
    words.map(|words| words.concat()).filter(|words| !words.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use wfr_engine::operation::{Definition, parameters};
    use wfr_engine::params;

    fn shape<P: Definition>(key: &str) -> Shape {
        Shape::of(&parameters::<P>()["properties"][key])
    }

    fn read<P: Definition>(key: &str, values: &[&str]) -> Value {
        let values: Vec<&OsStr> = values.iter().map(OsStr::new).collect();
        shape::<P>(key).read(&values).unwrap_or_else(|failure| json!(failure.code.as_str()))
    }

    #[test]
    fn shapes_follow_the_schema() {
        assert_eq!(shape::<params::Restore>("validate_integrity"), Shape::Bool);
        assert_eq!(shape::<params::Restore>("strict_mode"), Shape::Bool);
        let block = json!({"file_conflicts": "current_priority"});
        assert_eq!(read::<params::Rollback>("conflict_resolution", &[&block.to_string()]), block);
        assert_eq!(read::<params::Rollback>("conflict_resolution", &["manual-review"]), "manual_review");
        assert_eq!(shape::<params::Restore>("to"), Shape::HostPath);
        assert_eq!(shape::<params::Restore>("validation_config"), Shape::Object);
        assert_eq!(shape::<params::ListCheckpoints>("limit"), Shape::Number);
        assert_eq!(shape::<params::Diff>("paths"), Shape::List(Box::new(Shape::TreePath)));
        assert_eq!(shape::<params::CreateCheckpoint>("phase"), Shape::Text { number: true, object: true });
        assert_eq!(shape::<params::ListCheckpoints>("filter_by_type").choices().len(), 4);
        assert_eq!(shape::<params::Restore>("error_handling").choices().len(), 3);
    }

    #[test]
    fn values_become_what_json_would_have_said() {
        assert_eq!(read::<params::CreateCheckpoint>("tags", &["a,b", "c"]), json!(["a", "b", "c"]));
        assert_eq!(read::<params::Diff>("paths", &["a,b", "c"]), json!(["a,b", "c"]));
        assert_eq!(read::<params::CreateCheckpoint>("phase", &["2"]), json!(2));
        assert_eq!(read::<params::CreateCheckpoint>("phase", &["Testing"]), json!("Testing"));
        assert_eq!(read::<params::CreateCheckpoint>("phase", &["{\"phase_id\":2}"]), json!({"phase_id": 2}));
        assert_eq!(read::<params::CreateCheckpoint>("checkpoint_type", &["phase-complete"]), json!("phase_complete"));
        assert_eq!(read::<params::CreateCheckpoint>("checkpoint_type", &["phase_boundary"]), json!("phase_boundary"));
        assert_eq!(read::<params::ListCheckpoints>("limit", &["x"]), json!("x"));
        assert_eq!(read::<params::Restore>("validation_config", &["{\"a\":1,\"a\":2}"]), json!("INVALID_JSON"));
        assert_eq!(
            read::<params::CleanupCheckpoints>("retention_policy", &["last=2,daily=3"]),
            json!("last=2,daily=3")
        );
    }
}
