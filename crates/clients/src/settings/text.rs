//! A JSON document as text: where each value stands, and changes that leave every other byte as it is.
//!
//! Owns spans, indentation and line ends. Refuses to know what is put in, and why.

use std::ops::Range;

use serde::de::IgnoredAny;
use serde_json::Value;

use super::{Why, Wrong};

/// Deeper documents are refused: they are read with a stack.
const LEVELS_MAX: usize = 120;

/// A value, from its first byte to behind its last one.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub from: usize,
    pub to: usize,
    pub body: Body,
}

/// What is in it.
#[derive(Clone, Debug)]
pub(super) enum Body {
    Object(Vec<Member>),
    List(Vec<Node>),
    Other,
}

/// A name and its value; `from` is where the name begins.
#[derive(Clone, Debug)]
pub(super) struct Member {
    pub name: String,
    pub from: usize,
    pub value: Node,
}

impl Node {
    /// From where to where each of its parts is, names included.
    fn parts(&self) -> Vec<(usize, usize)> {
        match &self.body {
            Body::Object(members) => members.iter().map(|member| (member.from, member.value.to)).collect(),
            Body::List(items) => items.iter().map(|item| (item.from, item.to)).collect(),
            Body::Other => vec![],
        }
    }

    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.parts().is_empty()
    }
}

/// A document that is changed piece by piece.
#[derive(Clone, Debug)]
pub(super) struct Document {
    text: String,
    /// The same with blanks in the place of comments.
    bare: String,
}

const BYTE_ORDER_MARK: char = '\u{feff}';

impl Document {
    /// Reads a document; one without anything is an empty object.
    pub fn read(text: &str) -> Result<Self, Wrong> {
        let inner = text.trim_start_matches(BYTE_ORDER_MARK);
        if inner.trim().is_empty() {
            let text = format!("{{}}{}", if inner.is_empty() { "\n" } else { inner });
            return Ok(Self { bare: text.clone(), text });
        }
        let document = Self { text: text.to_owned(), bare: without_comments(text) };
        if let Err(error) = serde_json::from_str::<IgnoredAny>(document.bare.trim_start_matches(BYTE_ORDER_MARK)) {
            return Err(wrong_syntax(&error));
        }
        match document.root()?.body {
            Body::Object(_) => Ok(document),
            _ => Err(Wrong { line: 1, why: Why::Unsuitable { at: "the whole".to_owned(), wanted: "an object" } }),
        }
    }

    /// The text as it is now.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Puts new text without comments in the place of some of it.
    fn splice(&mut self, range: Range<usize>, new: &str) {
        self.text.replace_range(range.clone(), new);
        self.bare.replace_range(range, new);
    }

    /// Where everything stands now.
    pub fn root(&self) -> Result<Node, Wrong> {
        let at = self.text.len() - self.text.trim_start_matches(BYTE_ORDER_MARK).len();
        Scanner { text: &self.bare, at }.node(0)
    }

    /// A value.
    pub fn value(&self, node: &Node) -> Value {
        serde_json::from_str(&self.bare[node.from..node.to]).unwrap_or_default()
    }

    /// The line that a place is in.
    pub fn line(&self, at: usize) -> usize {
        1 + self.text[..at].matches('\n').count()
    }

    /// Puts a value in the place of another one.
    pub fn replace(&mut self, node: &Node, value: &Value) {
        let new = self.rendered(value, Some(&self.indent(node.from)));
        self.splice(node.from..node.to, &new);
    }

    /// Adds a value behind all others of an object or list; with a name to an object.
    pub fn add(&mut self, to: &Node, name: Option<&str>, value: &Value) {
        let name = name.map_or_else(String::new, |name| format!("{}: ", Value::from(name)));
        let Some((from, end)) = to.parts().last().copied() else { return self.add_first(to, &name, value) };
        let before = self.bare[..from].trim_end().len();
        let mut gap = self.bare[before..from].to_owned();
        if self.has_comment(before..from) {
            gap = gap.rfind('\n').map_or(" ".to_owned(), |line| gap[line..].to_owned());
        }
        let indent = gap.rsplit_once('\n').map(|(_, indent)| indent);
        let new = format!(",{gap}{name}{}", self.rendered(value, indent));
        self.splice(end..end, &new);
    }

    fn add_first(&mut self, to: &Node, name: &str, value: &Value) {
        let inside = to.from + 1;
        let new = match self.unit() {
            None => format!("{name}{}", self.rendered(value, None)),
            Some(unit) => {
                let (outer, end) = (self.indent(to.from), self.line_end());
                let indent = format!("{outer}{unit}");
                let value = self.rendered(value, Some(&indent));
                let close = if to.to == inside + 1 { format!("{end}{outer}") } else { String::new() };
                format!("{end}{indent}{name}{value}{close}")
            }
        };
        self.splice(inside..inside, &new);
    }

    /// Takes a part out of an object or list.
    pub fn remove(&mut self, of: &Node, at: usize) {
        let parts = of.parts();
        let range = match (at.checked_sub(1).map(|before| parts[before]), parts.get(at + 1)) {
            (Some((_, end)), _) => end..parts[at].1,
            (None, Some((next, _))) => parts[at].0..*next,
            (None, None) => of.from + 1..of.to - 1,
        };
        let (from, to) = parts[at];
        if self.has_comment(range.start..from) || self.has_comment(to..range.end) {
            // Comments of others stay where they are; of the commas one goes.
            let comma = |range: Range<usize>| self.bare[range.clone()].find(',').map(|at| range.start + at);
            let (before, after) = (comma(range.start..from), comma(to..range.end));
            let parts = [after.map(|at| at..at + 1), Some(from..to), before.map(|at| at..at + 1)];
            parts.into_iter().flatten().for_each(|part| self.splice(part, ""));
        } else {
            self.splice(range, "");
        }
    }

    /// Whether a comment is between the brackets of an object or list.
    pub fn has_comment_in(&self, of: &Node) -> bool {
        self.has_comment(of.from + 1..of.to - 1)
    }

    fn has_comment(&self, range: Range<usize>) -> bool {
        self.text[range.clone()] != self.bare[range]
    }

    /// What is between the brackets of an object or list.
    pub fn inside(&self, of: &Node) -> &str {
        &self.text[of.from + 1..of.to - 1]
    }

    /// Puts white space and comments between the brackets of an object or list that has nothing else there.
    pub fn fill(&mut self, of: &Node, blank: &str) {
        let is_same = self.inside(of).split_whitespace().eq(blank.split_whitespace());
        if is_same || !self.has_comment_in(of) {
            self.text.replace_range(of.from + 1..of.to - 1, blank);
            self.bare = without_comments(&self.text);
        }
    }

    /// The white space that the line of a place begins with.
    fn indent(&self, at: usize) -> String {
        let line = self.text[..at].rsplit('\n').next().unwrap_or_default().trim_start_matches(BYTE_ORDER_MARK);
        line.chars().take_while(|letter| letter.is_whitespace()).collect()
    }

    /// By what one level is further in than the one around it; `None` where all stands in one line.
    fn unit(&self) -> Option<String> {
        let root = self.root().ok()?;
        let Some((first, _)) = root.parts().first().copied() else { return Some("  ".to_owned()) };
        let gap = &self.bare[root.from + 1..first];
        gap.rsplit_once('\n').map(|(_, indent)| indent.to_owned())
    }

    fn line_end(&self) -> &'static str {
        if self.text.contains("\r\n") { "\r\n" } else { "\n" }
    }

    /// A value as it is written at an indentation, or in one line.
    fn rendered(&self, value: &Value, indent: Option<&str>) -> String {
        let (Some(indent), Some(unit)) = (indent, self.unit()) else { return value.to_string() };
        // Line ends within texts are escaped: each line here is one of the layout.
        let pretty = serde_json::to_string_pretty(value).unwrap_or_default();
        let lines = pretty.lines().enumerate().map(|(number, line)| {
            let bare = line.trim_start_matches(' ');
            let levels = (line.len() - bare.len()) / 2;
            let outer = if number == 0 { "" } else { indent };
            format!("{outer}{}{bare}", unit.repeat(levels))
        });
        lines.collect::<Vec<_>>().join(self.line_end())
    }
}

/// The text with blanks in the place of comments, so that all else stays where it is.
pub(super) fn without_comments(text: &str) -> String {
    let mut bare = text.as_bytes().to_vec();
    let mut at = 0;
    while at < bare.len() {
        let rest = &text.as_bytes()[at..];
        let end = |from: usize, end: &[u8]| {
            rest[from..].windows(end.len()).position(|found| found == end).map(|at| at + from)
        };
        let length = match rest {
            [b'"', ..] => {
                at += string_length(rest);
                continue;
            }
            [b'/', b'/', ..] => end(2, b"\n").unwrap_or(rest.len()),
            [b'/', b'*', ..] => end(2, b"*/").map_or(rest.len(), |end| end + 2),
            _ => {
                at += 1;
                continue;
            }
        };
        bare[at..at + length].iter_mut().filter(|byte| !b"\r\n".contains(byte)).for_each(|byte| *byte = b' ');
        at += length;
    }
    String::from_utf8(bare).unwrap_or_default()
}

/// How long a text in quotes is, its quotes among it.
fn string_length(bytes: &[u8]) -> usize {
    let mut at = 1;
    while let Some(byte) = bytes.get(at).filter(|byte| **byte != b'"') {
        at += if *byte == b'\\' { 2 } else { 1 };
    }
    bytes.len().min(at + 1)
}

/// What is wrong with a text that is no JSON.
fn wrong_syntax(error: &serde_json::Error) -> Wrong {
    let said = error.to_string();
    let why = Why::Syntax(said.split(" at line ").next().unwrap_or_default().to_owned());
    Wrong { line: error.line(), why }
}

/// Reads text that is known to be JSON.
struct Scanner<'t> {
    text: &'t str,
    at: usize,
}

impl Scanner<'_> {
    fn next(&mut self) -> Option<u8> {
        let rest = &self.text.as_bytes()[self.at..];
        self.at += rest.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
        self.text.as_bytes().get(self.at).copied()
    }

    fn node(&mut self, level: usize) -> Result<Node, Wrong> {
        let first = self.next();
        let from = self.at;
        if level > LEVELS_MAX {
            let line = 1 + self.text[..from].matches('\n').count();
            return Err(Wrong { line, why: Why::Deep });
        }
        let body = match first {
            Some(b'{') => self.object(level)?,
            Some(b'[') => self.list(level)?,
            Some(b'"') => {
                self.string();
                Body::Other
            }
            _ => {
                let is_over = |byte: &u8| byte.is_ascii_whitespace() || b",]}".contains(byte);
                let rest = &self.text.as_bytes()[from..];
                self.at += rest.iter().position(is_over).unwrap_or(rest.len());
                Body::Other
            }
        };
        Ok(Node { from, to: self.at, body })
    }

    fn object(&mut self, level: usize) -> Result<Body, Wrong> {
        let mut members = Vec::new();
        self.at += 1;
        while let Some(byte) = self.next().filter(|byte| *byte != b'}') {
            if byte == b',' {
                self.at += 1;
                continue;
            }
            let from = self.at;
            let name = self.string();
            self.next();
            self.at += 1;
            members.push(Member { name, from, value: self.node(level + 1)? });
        }
        self.at += 1;
        Ok(Body::Object(members))
    }

    fn list(&mut self, level: usize) -> Result<Body, Wrong> {
        let mut items = Vec::new();
        self.at += 1;
        while let Some(byte) = self.next().filter(|byte| *byte != b']') {
            if byte == b',' {
                self.at += 1;
                continue;
            }
            items.push(self.node(level + 1)?);
        }
        self.at += 1;
        Ok(Body::List(items))
    }

    /// A text in quotes, which may have escapes.
    fn string(&mut self) -> String {
        let from = self.at;
        self.at += string_length(&self.text.as_bytes()[from..]);
        serde_json::from_str(&self.text[from..self.at]).unwrap_or_default()
    }
}
