//! A JSON document as text: where each value stands, and changes that leave every other byte as it is.
//!
//! Owns spans, indentation and line ends. Refuses to know what is put in, and why.

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
}

const BYTE_ORDER_MARK: char = '\u{feff}';

impl Document {
    /// Reads a document; one without anything is an empty object.
    pub fn read(text: &str) -> Result<Self, Wrong> {
        let bare = text.trim_start_matches(BYTE_ORDER_MARK);
        if bare.trim().is_empty() {
            return Ok(Self { text: format!("{{}}{}", if bare.is_empty() { "\n" } else { bare }) });
        }
        if let Err(error) = serde_json::from_str::<IgnoredAny>(bare) {
            return Err(wrong_syntax(bare, &error));
        }
        let document = Self { text: text.to_owned() };
        match document.root()?.body {
            Body::Object(_) => Ok(document),
            _ => Err(Wrong { line: 1, why: Why::Unsuitable { at: "the whole".to_owned(), wanted: "an object" } }),
        }
    }

    /// The text as it is now.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Where everything stands now.
    pub fn root(&self) -> Result<Node, Wrong> {
        let at = self.text.len() - self.text.trim_start_matches(BYTE_ORDER_MARK).len();
        Scanner { text: &self.text, at }.node(0)
    }

    /// A value.
    pub fn value(&self, node: &Node) -> Value {
        serde_json::from_str(&self.text[node.from..node.to]).unwrap_or_default()
    }

    /// The line that a place is in.
    pub fn line(&self, at: usize) -> usize {
        1 + self.text[..at].matches('\n').count()
    }

    /// Puts a value in the place of another one.
    pub fn replace(&mut self, node: &Node, value: &Value) {
        let new = self.rendered(value, Some(&self.indent(node.from)));
        self.text.replace_range(node.from..node.to, &new);
    }

    /// Adds a value behind all others of an object or list; with a name to an object.
    pub fn add(&mut self, to: &Node, name: Option<&str>, value: &Value) {
        let name = name.map_or_else(String::new, |name| format!("{}: ", Value::from(name)));
        let Some((from, end)) = to.parts().last().copied() else { return self.add_first(to, &name, value) };
        let before = self.text[..from].trim_end().len();
        let gap = self.text[before..from].to_owned();
        let indent = gap.rsplit_once('\n').map(|(_, indent)| indent);
        let new = format!(",{gap}{name}{}", self.rendered(value, indent));
        self.text.insert_str(end, &new);
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
        self.text.insert_str(inside, &new);
    }

    /// Takes a part out of an object or list.
    pub fn remove(&mut self, of: &Node, at: usize) {
        let parts = of.parts();
        let range = match (at.checked_sub(1).map(|before| parts[before]), parts.get(at + 1)) {
            (Some((_, end)), _) => end..parts[at].1,
            (None, Some((next, _))) => parts[at].0..*next,
            (None, None) => of.from + 1..of.to - 1,
        };
        self.text.replace_range(range, "");
    }

    /// What is between the brackets of an object or list.
    pub fn inside(&self, of: &Node) -> &str {
        &self.text[of.from + 1..of.to - 1]
    }

    /// Puts white space between the brackets of an object or list that has nothing there.
    pub fn fill(&mut self, of: &Node, blank: &str) {
        self.text.replace_range(of.from + 1..of.to - 1, blank);
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
        let gap = &self.text[root.from + 1..first];
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
fn wrong_syntax(text: &str, error: &serde_json::Error) -> Wrong {
    let line = error.line();
    let found = text.split('\n').nth(line.saturating_sub(1)).unwrap_or_default().as_bytes();
    let column = error.column();
    let near = found.get(column.saturating_sub(2)..found.len().min(column + 1)).unwrap_or_default();
    let why = if near.contains(&b'/') {
        Why::Comment
    } else {
        let said = error.to_string();
        Why::Syntax(said.split(" at line ").next().unwrap_or_default().to_owned())
    };
    Wrong { line, why }
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
