//! Paths as people name them: one, a pattern, or what is left out, in the words of git's pathspecs.
//!
//! Owns what each of them means. Refuses to look whether anything is there.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use wfr_model::TreePath;
use wfr_model::path::unescape;
use wfr_store::scan::Pattern;

/// A path with what is below it, a pattern, or one of these with `!` before it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PathSpec {
    text: String,
    is_excluded: bool,
    form: Form,
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Form {
    /// This path and what is below it.
    Plain(TreePath),
    /// Paths that are so, with what is below them; `*` and `?` stand for `/`, too.
    Loose(Pattern),
    /// Paths of such parts, and nothing below them.
    Parts(Vec<Part>),
}

/// A part of a path between two `/`.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Part {
    /// `**`: any number of parts.
    Any,
    Like(Pattern),
    Named(Vec<u8>),
}

/// A text that names no path, and why.
#[derive(Debug, thiserror::Error, PartialEq, Eq, Clone)]
#[error("`{text}` names no path: {why}")]
pub struct PathSpecError {
    text: String,
    why: String,
}

/// What stands before a path, and the path.
pub struct Signs<'t> {
    /// The signs as they were written.
    pub signs: &'t str,
    /// The path or pattern.
    pub rest: &'t str,
    is_excluded: bool,
    is_glob: bool,
    is_literal: bool,
}

impl<'t> Signs<'t> {
    /// Reads the signs before a path: `!`, `:!`, `:^`, `:/`, or words such as `:(exclude,glob)`.
    pub fn of(text: &'t str) -> Result<Self, String> {
        let mut read = Self { signs: "", rest: text, is_excluded: false, is_glob: false, is_literal: false };
        if let Some(inner) = text.strip_prefix(":(") {
            let Some((words, rest)) = inner.split_once(')') else { return Err("a `)` is missing".to_owned()) };
            for word in words.split(',').map(str::trim) {
                match word {
                    "" | "top" => {}
                    "exclude" => read.is_excluded = true,
                    "glob" => read.is_glob = true,
                    "literal" => read.is_literal = true,
                    other => {
                        return Err(format!("`{other}` is not among `exclude`, `glob`, `literal` and `top`"));
                    }
                }
            }
            if read.is_glob && read.is_literal {
                return Err("`glob` and `literal` contradict each other".to_owned());
            }
            read.rest = rest;
        } else if let Some(inner) = text.strip_prefix(':') {
            let rest = inner.trim_start_matches(['!', '^', '/']);
            let short = &inner[..inner.len() - rest.len()];
            if short.is_empty() {
                return Err("after `:` one of `!`, `^`, `/` and `(` is expected; `./:x` is a file `:x`".to_owned());
            }
            read.is_excluded = short.contains(['!', '^']);
            read.rest = rest;
        } else if let Some(rest) = text.strip_prefix('!') {
            (read.is_excluded, read.rest) = (true, rest);
        }
        read.signs = &text[..text.len() - read.rest.len()];
        Ok(read)
    }
}

impl FromStr for PathSpec {
    type Err = PathSpecError;

    fn from_str(text: &str) -> Result<Self, PathSpecError> {
        let refuse = |why: String| PathSpecError { text: text.chars().take(80).collect(), why };
        // As with git: a variable that is not set must not mean everything.
        if text.is_empty() {
            return Err(refuse("it is empty; `.` means everything".to_owned()));
        }
        let Signs { rest, is_excluded, is_glob, is_literal, .. } = Signs::of(text).map_err(refuse)?;
        let plain: TreePath = rest.parse().map_err(|error: wfr_model::path::PathError| refuse(error.why.to_owned()))?;
        let bytes = unescape(rest).unwrap_or_default();
        let form = match Pattern::read(&bytes).filter(|_| !is_literal) {
            None => Form::Plain(plain),
            Some(_) if is_glob => Form::Parts(plain.components().map(Part::of).collect()),
            Some(pattern) => Form::Loose(pattern),
        };
        Ok(Self { text: text.to_owned(), is_excluded, form })
    }
}

impl Part {
    fn of(name: &[u8]) -> Self {
        match Pattern::read(name) {
            _ if name == b"**" => Self::Any,
            Some(pattern) => Self::Like(pattern),
            None => Self::Named(name.to_vec()),
        }
    }

    fn is(&self, name: &[u8]) -> bool {
        match self {
            Self::Any => true,
            Self::Like(pattern) => pattern.matches(name),
            Self::Named(own) => own == name,
        }
    }
}

/// Whether all of a path's names are as the parts say. At the end `**` stands for one at least: what is in a directory.
fn fit(parts: &[Part], names: &[&[u8]]) -> bool {
    let (mut at, mut read) = (0, 0);
    // Where the last `**` stands, and up to where of the path it reaches.
    let mut any: Option<(usize, usize)> = None;
    while read < names.len() {
        match parts.get(at) {
            Some(Part::Any) if at + 1 == parts.len() => return true,
            Some(Part::Any) => {
                any = Some((at, read));
                at += 1;
            }
            Some(part) if part.is(names[read]) => {
                at += 1;
                read += 1;
            }
            _ => {
                let Some((place, reaches)) = any else { return false };
                any = Some((place, reaches + 1));
                (at, read) = (place + 1, reaches + 1);
            }
        }
    }
    at == parts.len()
}

impl PathSpec {
    /// The path, where it is one with what is below it.
    pub fn plain(&self) -> Option<&TreePath> {
        match &self.form {
            Form::Plain(path) => Some(path),
            _ => None,
        }
    }

    /// Whether a path is named; whether that leaves it out or not.
    pub fn names(&self, path: &TreePath) -> bool {
        match &self.form {
            Form::Plain(named) => path.is_within(named),
            Form::Loose(pattern) => {
                let mut at = Some(path.clone());
                while let Some(one) = at.take_if(|one| !one.is_root()) {
                    if pattern.matches(one.as_bytes()) {
                        return true;
                    }
                    at = one.parent();
                }
                false
            }
            Form::Parts(parts) => fit(parts, &path.components().collect::<Vec<_>>()),
        }
    }
}

impl fmt::Display for PathSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Serialize for PathSpec {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for PathSpec {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// The value of `format` in the schema of a [`PathSpec`].
pub const PATH_SPEC_FORMAT: &str = "path-spec";

impl schemars::JsonSchema for PathSpec {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "PathSpec".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "format": PATH_SPEC_FORMAT,
            "description": "path with what is below it, or a pattern of `*` and `?`; `!x` and `:(exclude)x` leave out, \
                            `:(glob)x` keeps `*` within a name and has `**`, `:(literal)x` is no pattern"
        })
    }
}

/// Paths that are meant: those that are named and not left out, and all where none is named.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PathSpecs(Vec<PathSpec>);

impl PathSpecs {
    /// Of these.
    pub fn of(specs: &[PathSpec]) -> Self {
        Self(specs.to_vec())
    }

    /// Of one path, with what is below it.
    pub fn below(path: &TreePath) -> Self {
        Self(vec![PathSpec { text: path.to_string(), is_excluded: false, form: Form::Plain(path.clone()) }])
    }

    /// Whether nothing is said.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether all paths are meant.
    pub fn is_all(&self) -> bool {
        self.0.iter().all(|spec| !spec.is_excluded && spec.plain().is_some_and(TreePath::is_root))
    }

    /// Those that are to be there: the whole tree and what is left out aside.
    pub fn wanted(&self) -> impl Iterator<Item = &PathSpec> {
        let is_wanted = |spec: &&PathSpec| !spec.is_excluded && !spec.plain().is_some_and(TreePath::is_root);
        self.0.iter().filter(is_wanted)
    }

    /// Whether a path is meant.
    pub fn mean(&self, path: &TreePath) -> bool {
        self.mean_any(&[path])
    }

    /// Whether something of several names is meant: by one of them, and left out by none.
    pub fn mean_any(&self, names: &[&TreePath]) -> bool {
        let is_named = |spec: &PathSpec| names.iter().any(|name| spec.names(name));
        let mut named = self.0.iter().filter(|spec| !spec.is_excluded).peekable();
        let is_left_out = self.0.iter().any(|spec| spec.is_excluded && is_named(spec));
        !is_left_out && (named.peek().is_none() || named.any(is_named))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meant(specs: &[&str], path: &str) -> bool {
        let specs: Vec<PathSpec> = specs.iter().map(|text| text.parse().expect("a path spec")).collect();
        PathSpecs::of(&specs).mean(&path.parse().expect("a path"))
    }

    #[test]
    fn patterns_are_as_in_git() {
        for (specs, path, fits) in [
            (&["src"][..], "src/deep/a.rs", true),
            (&["src"], "srcs/a.rs", false),
            (&["src/*.rs"], "src/a.rs", true),
            (&["src/*.rs"], "src/deep/a.rs", true),
            (&["src/*.rs"], "a.rs", false),
            (&["*.rs"], "src/a.rs", true),
            (&["sr?"], "src/a.rs", true),
            (&["**/a.rs"], "src/deep/a.rs", true),
            (&[":(glob)src/*.rs"], "src/a.rs", true),
            (&[":(glob)src/*.rs"], "src/deep/a.rs", false),
            (&[":(glob)src/**"], "src/deep/a.rs", true),
            (&[":(glob)src/**"], "src", false),
            (&[":(glob)**/a.rs"], "a.rs", true),
            (&[":(glob)src/**/a.rs"], "src/a.rs", true),
            (&[":(glob)src/**/x/*.rs"], "src/x/y/x/a.rs", true),
            (&[":(glob)src/**/x/*.rs"], "src/x/y/a.rs", false),
            (&[":(literal)a*"], "a*", true),
            (&[":(literal)a*"], "ab", false),
            (&["!src"], "src/a.rs", false),
            (&["!src"], "docs/a", true),
            (&["src", ":(exclude)src/*.md"], "src/a.md", false),
            (&["src", ":!src/*.md", ":^src/b"], "src/b/c", false),
            (&["src", ":!src/*.md"], "src/a.rs", true),
            (&["src", ":(exclude,glob)src/*"], "src/deep/a", true),
            (&[":/src"], "src/a", true),
            (&[":(top)"], "anything", true),
            (&[], "anything", true),
        ] {
            assert_eq!(meant(specs, path), fits, "{specs:?} {path}");
        }
    }

    #[test]
    fn what_is_no_path_spec_is_refused() {
        for text in [":(icase)a", ":(exclude", ":a", "a//b", "../*", "!/a", ":(glob,literal)a"] {
            assert!(text.parse::<PathSpec>().is_err(), "{text}");
        }
    }
}
