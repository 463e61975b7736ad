//! Paths inside a workspace: any bytes but NUL, relative, with no way out.
//!
//! Owns which paths are valid and their one text escape. Refuses to touch a file system.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::digest::hex_value;

/// The longest name of one directory entry, in bytes (Linux `NAME_MAX`).
pub const COMPONENT_BYTES_MAX: usize = 255;

/// A path below the workspace root; empty for the root itself. Components are never empty, `.` or `..`.
///
/// Its text form is the path itself with two escapes: `\\` for a backslash and `\xHH` for a byte that is not
/// part of valid UTF-8. So every path has exactly one text, and every text at most one path.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct TreePath(Vec<u8>);

/// A path or a name that cannot stand in a tree, and why.
#[derive(Debug, thiserror::Error, PartialEq, Eq, Clone)]
#[error("`{text}` cannot be a path in a tree: {why}")]
pub struct PathError {
    /// The offending path, escaped.
    pub text: String,
    /// The rule that it breaks.
    pub why: &'static str,
}

/// Checks one directory entry's name: 1 to 255 bytes, no NUL, no `/`, not `.` or `..`.
pub fn check_component(name: &[u8]) -> Result<(), PathError> {
    let refuse = |why| Err(PathError { text: escape(name), why });
    match name {
        b"" => refuse("a component is empty"),
        b"." | b".." => refuse("`.` and `..` are not allowed"),
        _ if name.len() > COMPONENT_BYTES_MAX => refuse("a component is longer than 255 bytes"),
        _ if name.contains(&0) => refuse("it holds a NUL byte"),
        _ if name.contains(&b'/') => refuse("a component holds a slash"),
        _ => Ok(()),
    }
}

impl TreePath {
    /// The workspace root.
    pub const ROOT: Self = Self(Vec::new());

    /// A path from raw bytes; components are checked. An empty slice is the root.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, PathError> {
        if bytes.is_empty() {
            return Ok(Self::ROOT);
        }
        if bytes.starts_with(b"/") {
            return Err(PathError { text: escape(bytes), why: "it is absolute" });
        }
        bytes.split(|b| *b == b'/').try_for_each(check_component)?;
        Ok(Self(bytes.to_vec()))
    }

    /// The raw bytes, without a leading or trailing slash.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether this is the workspace root.
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// This path with one more component. The name must have passed [`check_component`].
    pub fn join(&self, name: &[u8]) -> Self {
        debug_assert!(check_component(name).is_ok());
        let mut bytes = Vec::with_capacity(self.0.len() + 1 + name.len());
        bytes.extend_from_slice(&self.0);
        if !bytes.is_empty() {
            bytes.push(b'/');
        }
        bytes.extend_from_slice(name);
        Self(bytes)
    }

    /// The directory that holds this path; `None` for the root.
    pub fn parent(&self) -> Option<Self> {
        if self.is_root() {
            return None;
        }
        let end = self.0.iter().rposition(|b| *b == b'/').unwrap_or(0);
        Some(Self(self.0[..end].to_vec()))
    }

    /// The last component; empty for the root.
    pub fn name(&self) -> &[u8] {
        let start = self.0.iter().rposition(|b| *b == b'/').map_or(0, |slash| slash + 1);
        &self.0[start..]
    }

    /// The components from the root down.
    pub fn components(&self) -> impl Iterator<Item = &[u8]> {
        self.0.split(|b| *b == b'/').filter(|name| !name.is_empty())
    }

    /// Whether this path is `ancestor` or lies below it.
    pub fn is_within(&self, ancestor: &Self) -> bool {
        ancestor.is_root()
            || self.0 == ancestor.0
            || (self.0.starts_with(&ancestor.0) && self.0.get(ancestor.0.len()) == Some(&b'/'))
    }

    /// Whether this path is one of these, or lies below one.
    pub fn is_among(&self, named: &[Self]) -> bool {
        named.iter().any(|one| self.is_within(one))
    }

    /// How many components it has.
    pub fn depth(&self) -> usize {
        self.components().count()
    }
}

/// The text form of raw bytes: see [`TreePath`].
pub fn escape(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(&chunk.valid().replace('\\', r"\\"));
        for byte in chunk.invalid() {
            text.push_str(&format!(r"\x{byte:02x}"));
        }
    }
    text
}

/// The raw bytes of a text form, or `None` where an escape is malformed.
pub fn unescape(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        rest = tail;
        match (first, tail) {
            (b'\\', [b'\\', after @ ..]) => {
                bytes.push(b'\\');
                rest = after;
            }
            (b'\\', [b'x', high, low, after @ ..]) => {
                bytes.push(hex_value(*high)? << 4 | hex_value(*low)?);
                rest = after;
            }
            (b'\\', _) => return None,
            _ => bytes.push(first),
        }
    }
    Some(bytes)
}

impl FromStr for TreePath {
    type Err = PathError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bytes = unescape(text)
            .ok_or_else(|| PathError { text: text.to_owned(), why: r"a backslash must be `\\` or `\xHH`" })?;
        Self::from_bytes(&bytes)
    }
}

impl fmt::Display for TreePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&escape(&self.0))
    }
}

impl fmt::Debug for TreePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", escape(&self.0))
    }
}

impl Serialize for TreePath {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for TreePath {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl schemars::JsonSchema for TreePath {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "TreePath".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "format": "tree-path",
            "description": "relative path; `\\\\` is a backslash, `\\xHH` a byte that is not UTF-8"
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ways_out_are_refused() {
        let long = [b'x'; 256];
        for bad in [&b"../../x"[..], b"/etc", b"a//b", b"a/./b", b"a/..", b"a\0b", b"a/", &long] {
            assert!(TreePath::from_bytes(bad).is_err(), "{}", escape(bad));
        }
    }

    #[test]
    fn escapes_round_trip() {
        for bytes in [&b"plain/path"[..], b"a\\b", b"\xff\xfe/x", b"new\nline", "ümlaut".as_bytes(), br"\xff"] {
            let path = TreePath::from_bytes(bytes).unwrap();
            assert_eq!(path.to_string().parse(), Ok(path));
        }
        assert!(r"a\q".parse::<TreePath>().is_err());
    }

    #[test]
    fn nesting_is_by_component() {
        let path = |text: &str| text.parse::<TreePath>().unwrap();
        assert!(path("a/b").is_within(&path("a")));
        assert!(!path("ab").is_within(&path("a")));
        assert_eq!(path("a/b").parent(), Some(path("a")));
        assert_eq!(path("a").parent(), Some(TreePath::ROOT));
    }
}
