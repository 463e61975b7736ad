//! Paths in the workspace as people and agents write them: `./x`, `x/`, `.`, and absolute ones.
//!
//! Owns what each of these means, by text alone. Refuses to follow a link or to look whether anything is there.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use serde_json::{Map, Value};
use wfr_model::path::{escape, unescape};

use super::words::Known;
use crate::error::{Code, Failure};
use crate::pathspec::{PATH_SPEC_FORMAT, Signs};

/// Keys whose values are `PATH=FILE`.
const WITH_FILES: [&str; 1] = ["resolve"];

/// Parameters in which every path in the workspace begins at its root. `schema` says which keys hold such paths.
pub fn resolved(
    schema: fn() -> Value,
    mut parameters: Map<String, Value>,
    known: &mut dyn Known,
) -> Result<Map<String, Value>, Failure> {
    let mut properties = None;
    for (key, value) in &mut parameters {
        let texts: Vec<&mut Value> = match value {
            Value::Array(list) => list.iter_mut().collect(),
            single => vec![single],
        };
        let has_file = WITH_FILES.contains(&key.as_str());
        for text in texts {
            let Some(given) = text.as_str() else { continue };
            let (path, file) = match parted(given, known)?.filter(|_| has_file) {
                Some((path, file)) => (path, Some(file)),
                None => (given, None),
            };
            // A schema is made only where something is to be resolved.
            let takes =
                |schema: &Value| has_file || holds(&schema["properties"][key], &["tree-path", PATH_SPEC_FORMAT]);
            if is_plain(path) && !path.starts_with([':', '!']) || !takes(properties.get_or_insert_with(schema)) {
                continue;
            }
            let is_spec = properties.as_ref().is_some_and(|all| holds(&all["properties"][key], &[PATH_SPEC_FORMAT]));
            let path = if is_spec { spec_from_root(path, known) } else { from_root(path, known) };
            let path = path.map_err(|failure| at_key(key, failure))?;
            // What was an escape stays one: a `=` of the path must not seem to end it.
            let with_file = |file| format!("{}={file}", path.replace('=', r"\x3d"));
            *text = Value::String(file.map_or_else(|| path.clone(), with_file));
        }
    }
    Ok(parameters)
}

/// The path and the file of a `PATH=FILE`, as far as the path has to be resolved: up to the first `=`, but where that ends in
/// the way to the workspace.
fn parted<'t>(text: &'t str, known: &mut dyn Known) -> Result<Option<(&'t str, &'t str)>, Failure> {
    let Some(first) = text.split_once('=') else { return Ok(None) };
    if !text.starts_with('/') {
        return Ok(Some(first));
    }
    let mut ways = text.match_indices('=').map(|(at, _)| (&text[..at], &text[at + 1..]));
    Ok(Some(ways.find(|(path, _)| from_root(path, known).is_ok()).unwrap_or(first)))
}

/// Whether a text is a path's own form already, as far as this concerns it.
fn is_plain(text: &str) -> bool {
    !text.starts_with('/') && !text.ends_with('/') && text.split('/').all(|name| name != ".")
}

/// Whether the values of a key are of one of these formats.
pub(crate) fn holds(schema: &Value, formats: &[&str]) -> bool {
    let is = |schema: &Value| schema.as_str().is_some_and(|format| formats.contains(&format));
    let is_path = |schema: &Value| is(&schema["format"]) || is(&schema["items"]["format"]);
    is_path(schema) || schema["anyOf"].as_array().is_some_and(|any| any.iter().any(is_path))
}

fn at_key(key: &str, failure: Failure) -> Failure {
    Failure { message: format!("`{key}`: {}", failure.message), ..failure }
}

/// The same of a path with signs before it. What is malformed is left for the refusal that it gets.
fn spec_from_root(text: &str, known: &mut dyn Known) -> Result<String, Failure> {
    let Ok(Signs { signs, rest, .. }) = Signs::of(text) else { return Ok(text.to_owned()) };
    if signs.is_empty() {
        let path = from_root(text, known)?;
        // `./!x` is a file of that name.
        let is_name = path.starts_with([':', '!']);
        return Ok(match path.as_str() {
            // Everything is meant by name, not by nothing.
            "" => ":(top)".to_owned(),
            _ if is_name => format!(":(literal){path}"),
            _ => path,
        });
    }
    if is_plain(rest) {
        return Ok(text.to_owned());
    }
    Ok(format!("{signs}{}", from_root(rest, known)?))
}

/// The text form of a path, from the root on. What has a malformed escape is left for the refusal that it gets.
fn from_root(text: &str, known: &mut dyn Known) -> Result<String, Failure> {
    let Some(bytes) = unescape(text) else { return Ok(text.to_owned()) };
    if !bytes.starts_with(b"/") {
        let names = bytes.split(|byte| *byte == b'/').filter(|name| *name != b".");
        let mut whole = names.collect::<Vec<_>>().join(&b'/');
        if whole.last() == Some(&b'/') {
            whole.pop();
        }
        return Ok(escape(&whole));
    }
    let (whole, root) = (normal(Path::new(OsStr::from_bytes(&bytes))), known.root()?);
    let roots = std::iter::once(root.clone()).chain(known.named_root().map(|root| normal(&root)));
    let below = roots.into_iter().find_map(|root| whole.strip_prefix(root).map(Path::to_owned).ok());
    below.map(|below| escape(below.as_os_str().as_bytes())).ok_or_else(|| {
        let message = format!("`{text}` lies outside the workspace");
        Failure::new(Code::InvalidParameter, message).with_hint(format!("name a path in {}", root.display()))
    })
}

/// The path without `.` and `..`, by text alone.
pub fn normal(path: &Path) -> PathBuf {
    let mut whole = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => drop(whole.pop()),
            part => whole.push(part),
        }
    }
    whole
}
