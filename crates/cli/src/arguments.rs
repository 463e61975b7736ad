//! The command line's words as parameters: flags by the operation's schema, `{json}`, and the words that are left.
//!
//! Owns parsing and what is said of a wrong call. Refuses to know what parameters mean.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use serde_json::{Map, Value};
use wfr_engine::error::{Code, Failure};
use wfr_engine::operation::{self, Operation};

/// Flags that every operation has.
#[derive(Clone, Debug, Default)]
pub struct Global {
    /// One JSON document on standard output.
    pub json: bool,
    /// Nothing but failures.
    pub quiet: bool,
    /// Show help.
    pub help: bool,
    /// The workspace's directory.
    pub workspace: Option<PathBuf>,
    /// The vault.
    pub store: Option<PathBuf>,
    /// How many threads to use.
    pub threads: Option<usize>,
    /// `always`, `never`, or by the terminal.
    pub color: Option<bool>,
}

/// A call that is understood.
pub struct Call {
    /// Flags that every operation has.
    pub global: Global,
    /// Keys and values.
    pub parameters: Map<String, Value>,
    /// Words that are no flags.
    pub words: Vec<OsString>,
}

/// No such operation; with the nearest names, or the version that brings it.
pub fn unknown_operation(name: &str) -> Failure {
    if let Some((_, group)) = operation::LATER.iter().find(|(later, _)| *later == name) {
        return Failure::new(Code::NotInThisVersion, format!("`{name}` comes with {group}"));
    }
    let names = operation::ALL.iter().map(|operation| operation.name).chain(["demo", "schema"]);
    near(Failure::new(Code::UnknownOperation, format!("no operation `{name}`")), name, names)
}

/// Adds the names that resemble what was written.
fn near<'n>(failure: Failure, written: &str, names: impl Iterator<Item = &'n str>) -> Failure {
    let mut ranked: Vec<(usize, &str)> = names.map(|name| (distance(written, name), name)).collect();
    ranked.sort_unstable();
    let close: Vec<&str> =
        ranked.iter().filter(|(far, name)| *far <= name.len() / 2).take(3).map(|(_, name)| *name).collect();
    if close.is_empty() { failure } else { failure.with_hint(format!("did you mean {}?", close.join(", "))) }
}

/// Levenshtein's distance.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

/// What can be known of a call that could not be parsed: how its failure is to be shown.
pub fn global_of(words: &[OsString]) -> Global {
    Global { json: words.iter().any(|word| word == "--json"), ..Global::default() }
}

/// Parses the words after the operation's name.
pub fn parse(operation: &Operation, words: &[OsString]) -> Result<Call, Failure> {
    let schema = (operation.parameters)();
    let properties = schema["properties"].as_object().cloned().unwrap_or_default();
    let mut parser =
        Parser { properties, global: Global::default(), flags: Map::new(), json: Map::new(), words: vec![] };
    let mut rest = words.iter();
    while let Some(word) = rest.next() {
        if word == "--" {
            parser.words.push(word.clone());
            parser.words.extend(rest.by_ref().cloned());
        } else if let Some(flag) = word.as_bytes().strip_prefix(b"--") {
            parser.flag(OsStr::from_bytes(flag), &mut rest)?;
        } else if word.as_bytes().starts_with(b"{") {
            parser.document(word)?;
        } else {
            parser.short(word)?;
        }
    }
    parser.json.extend(parser.flags);
    Ok(Call { global: parser.global, parameters: parser.json, words: parser.words })
}

struct Parser {
    properties: Map<String, Value>,
    global: Global,
    flags: Map<String, Value>,
    json: Map<String, Value>,
    words: Vec<OsString>,
}

impl Parser {
    fn short(&mut self, word: &OsString) -> Result<(), Failure> {
        match word.to_str() {
            Some("-h") => self.global.help = true,
            Some("-q") => self.global.quiet = true,
            Some("-y") => drop(self.flags.insert("yes".to_owned(), Value::Bool(true))),
            Some(text) if text.len() > 1 && text.starts_with('-') => {
                return Err(Failure::new(Code::UnknownParameter, format!("no flag `{text}`")));
            }
            _ => self.words.push(word.clone()),
        }
        Ok(())
    }

    /// The parameters as JSON; only one such word may be given. Keys are checked against the schema.
    fn document(&mut self, word: &OsStr) -> Result<(), Failure> {
        let bad =
            |error: serde_json::Error| Failure::new(Code::InvalidJson, format!("the parameters do not parse: {error}"));
        let UniqueKeys(map) = serde_json::from_slice(word.as_bytes()).map_err(bad)?;
        for key in map.keys() {
            self.check_key(key)?;
        }
        if !self.json.is_empty() {
            return Err(Failure::new(Code::WrongArguments, "parameters were given twice as JSON"));
        }
        self.json = map;
        Ok(())
    }

    fn check_key(&self, key: &str) -> Result<(), Failure> {
        if self.properties.contains_key(key) || key == "type" {
            return Ok(());
        }
        let failure = Failure::new(Code::UnknownParameter, format!("no parameter `{key}`"));
        Err(near(failure, key, self.properties.keys().map(String::as_str)))
    }

    fn flag<'w>(&mut self, flag: &OsStr, rest: &mut impl Iterator<Item = &'w OsString>) -> Result<(), Failure> {
        let bytes = flag.as_bytes();
        let (name, inline) = match bytes.iter().position(|byte| *byte == b'=') {
            Some(at) => (&bytes[..at], Some(OsStr::from_bytes(&bytes[at + 1..]).to_owned())),
            None => (bytes, None),
        };
        let name = String::from_utf8_lossy(name).into_owned();
        let mut value = || inline.clone().or_else(|| rest.next().cloned()).ok_or_else(|| missing(&name));
        match name.as_str() {
            "json" => self.global.json = true,
            "quiet" => self.global.quiet = true,
            "help" => self.global.help = true,
            "workspace" => self.global.workspace = Some(value()?.into()),
            "store" => self.global.store = Some(value()?.into()),
            "threads" => {
                let text = value()?.to_string_lossy().into_owned();
                let refuse = |_| Failure::new(Code::InvalidParameter, format!("`{text}` is no number of threads"));
                self.global.threads = Some(text.parse().map_err(refuse)?);
            }
            "color" => {
                self.global.color = match value()?.to_str() {
                    Some("always") => Some(true),
                    Some("never") => Some(false),
                    Some("auto") => None,
                    _ => return Err(Failure::new(Code::InvalidParameter, "--color is auto, always or never")),
                }
            }
            _ => self.parameter(&name.replace('-', "_"), inline.clone(), rest)?,
        }
        Ok(())
    }

    fn parameter<'w>(
        &mut self,
        key: &str,
        inline: Option<OsString>,
        rest: &mut impl Iterator<Item = &'w OsString>,
    ) -> Result<(), Failure> {
        self.check_key(key)?;
        let schema = &self.properties[key];
        if has_type(schema, "boolean") {
            let value = match inline.as_deref().and_then(OsStr::to_str) {
                None | Some("true") => true,
                Some("false") => false,
                Some(other) => {
                    let message = format!("`{other}` is neither true nor false, as --{} needs", key.replace('_', "-"));
                    return Err(Failure::new(Code::InvalidParameter, message));
                }
            };
            self.flags.insert(key.to_owned(), Value::Bool(value));
            return Ok(());
        }
        let word = inline.or_else(|| rest.next().cloned()).ok_or_else(|| missing(key))?;
        let text = wfr_engine::params::HostPath::text_of(&word);
        if has_type(schema, "array") {
            let list = self.flags.entry(key.to_owned()).or_insert_with(|| Value::Array(vec![]));
            if let Value::Array(list) = list {
                list.extend(text.split(',').map(|part| Value::String(part.to_owned())));
            }
            return Ok(());
        }
        let number = has_type(schema, "integer").then(|| text.parse::<i64>().ok()).flatten();
        self.flags.insert(key.to_owned(), number.map_or(Value::String(text), Value::from));
        Ok(())
    }
}

fn missing(name: &str) -> Failure {
    Failure::new(Code::WrongArguments, format!("--{} needs a value", name.replace('_', "-")))
}

/// Whether a schema allows a type, by itself or as one of several.
fn has_type(schema: &Value, name: &str) -> bool {
    match &schema["type"] {
        Value::String(found) => found == name,
        Value::Array(found) => found.iter().any(|found| found == name),
        _ => schema["anyOf"].as_array().is_some_and(|any| any.iter().any(|one| has_type(one, name))),
    }
}

/// A JSON object in which no key stands twice.
struct UniqueKeys(Map<String, Value>);

impl<'de> serde::Deserialize<'de> for UniqueKeys {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = UniqueKeys;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(self, mut access: A) -> Result<UniqueKeys, A::Error> {
                let mut map = Map::new();
                while let Some((key, value)) = access.next_entry::<String, Value>()? {
                    if map.contains_key(&key) {
                        return Err(serde::de::Error::custom(format!("the key `{key}` stands twice")));
                    }
                    map.insert(key, value);
                }
                Ok(UniqueKeys(map))
            }
        }
        deserializer.deserialize_map(Visitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(name: &str, words: &[&str]) -> Result<Call, Failure> {
        let words: Vec<OsString> = words.iter().map(Into::into).collect();
        parse(operation::find(name).unwrap(), &words)
    }

    #[test]
    fn flags_override_json_and_words_are_left() {
        let call = parsed("create-checkpoint", &["wf", "{\"name\":\"a\",\"tags\":[\"x\"]}", "--name", "b"]).unwrap();
        assert_eq!(call.parameters["name"], "b");
        assert_eq!(call.parameters["tags"][0], "x");
        assert_eq!(call.words, ["wf"]);
        let call = parsed("restore", &["wf", "base", "--exact-mtime", "--validate-integrity=false", "--json"]).unwrap();
        assert_eq!(call.parameters["exact_mtime"], true);
        assert_eq!(call.parameters["validate_integrity"], false);
        assert!(call.global.json);
    }

    #[test]
    fn wrong_calls_are_told_apart() {
        let code = |words: &[&str]| parsed("create-checkpoint", words).err().map(|failure| failure.code);
        assert_eq!(code(&["{\"nme\":1}"]), Some(Code::UnknownParameter));
        assert_eq!(code(&["{\"name\":\"a\""]), Some(Code::InvalidJson));
        assert_eq!(code(&["{\"name\":\"a\",\"name\":\"b\"}"]), Some(Code::InvalidJson));
        assert_eq!(code(&["{\"phase\":1e400}"]), Some(Code::InvalidJson));
        assert_eq!(code(&[&format!("{}{}", "{\"tags\":", "[".repeat(10_000))]), Some(Code::InvalidJson));
        assert_eq!(code(&["--nope"]), Some(Code::UnknownParameter));
        assert_eq!(code(&["--name"]), Some(Code::WrongArguments));
        assert_eq!(code(&["wf", "--validate-integrity=perhaps"]), Some(Code::InvalidParameter));
        let hint = parsed("create-checkpoint", &["{\"nmae\":1}"]).err().map(|failure| failure.hint);
        assert!(hint.is_some_and(|hint| hint.contains("name")));
    }
}
