//! Kinds of values that several parameters share.
//!
//! Owns their text and JSON forms. Refuses to know which operation uses them.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use wfr_model::PhaseId;
use wfr_model::path::{escape, unescape};
use wfr_model::retention::Retention;

/// A switch that is on unless it is turned off.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct On(pub bool);

impl Default for On {
    fn default() -> Self {
        Self(true)
    }
}

impl JsonSchema for On {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "On".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "boolean"})
    }
}

/// A path of this machine, of any bytes; its text form has the same escapes as a path in a tree.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct HostPath(pub PathBuf);

/// The value of `format` in the schema of a [`HostPath`].
pub const HOST_PATH_FORMAT: &str = "host-path";

impl HostPath {
    /// The path itself.
    pub fn as_path(&self) -> &Path {
        &self.0
    }

    /// The text form of a path as the system gives it.
    pub fn text_of(path: &OsStr) -> String {
        escape(path.as_bytes())
    }
}

impl Serialize for HostPath {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&Self::text_of(self.0.as_os_str()))
    }
}

impl<'de> Deserialize<'de> for HostPath {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let refuse = |why: &str| serde::de::Error::custom(format!("`{text}` cannot be a path: {why}"));
        let bytes = unescape(&text).ok_or_else(|| refuse(r"a backslash must be `\\` or `\xHH`"))?;
        match bytes {
            bytes if bytes.is_empty() => Err(refuse("it is empty")),
            bytes if bytes.contains(&0) => Err(refuse("it holds a NUL byte")),
            bytes => Ok(Self(std::ffi::OsString::from_vec(bytes).into())),
        }
    }
}

impl JsonSchema for HostPath {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "HostPath".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "format": HOST_PATH_FORMAT})
    }
}

/// `PATH=FILE`: a path in a tree, in its text form, and a file of this machine. Both may hold a `=`: which one parts them is
/// seen where it is known what is there.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PathAndFile(pub String);

/// The value of `format` in the schema of a [`PathAndFile`].
pub const PATH_AND_FILE_FORMAT: &str = "path-and-file";

impl JsonSchema for PathAndFile {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "PathAndFile".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "format": PATH_AND_FILE_FORMAT})
    }
}

/// One value, or a list of them.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(transparent)]
pub struct OneOrMany<T>(pub Vec<T>);

impl<T> Default for OneOrMany<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for OneOrMany<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(OneOrManyVisitor(std::marker::PhantomData))
    }
}

/// Reads either form, and keeps the error of the value itself.
struct OneOrManyVisitor<T>(std::marker::PhantomData<T>);

impl<'de, T: Deserialize<'de>> serde::de::Visitor<'de> for OneOrManyVisitor<T> {
    type Value = OneOrMany<T>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a text or a list of texts")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Self::Value, E> {
        T::deserialize(serde::de::value::StrDeserializer::<E>::new(text)).map(|value| OneOrMany(vec![value]))
    }

    fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = list.next_element()? {
            values.push(value);
        }
        Ok(OneOrMany(values))
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<Self::Value, E> {
        Ok(OneOrMany::default())
    }
}

impl<T: JsonSchema> JsonSchema for OneOrMany<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("OneOrMany_{}", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let one = generator.subschema_for::<T>();
        json_schema!({"anyOf": [{"type": "array", "items": one.clone()}, one]})
    }
}

/// A phase, as the siblings write it: a number, a name, or `{"phase_id": 2, "name": "Implementation"}`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(untagged, try_from = "PhaseForm")]
#[schemars(inline)]
pub enum Phase {
    /// Its number.
    Number(i64),
    /// Its name, or its number in digits.
    Text(String),
    /// Both.
    Both(PhaseObject),
}

/// A phase before it is known that it names one.
#[derive(Deserialize, JsonSchema)]
#[schemars(inline)]
#[serde(untagged, expecting = "a number, a name, or {\"phase_id\": 2, \"name\": \"...\"} is expected")]
enum PhaseForm {
    /// Its number.
    Number(i64),
    /// Its name, or its number in digits.
    Text(String),
    /// Both.
    Both(PhaseObject),
}

impl TryFrom<PhaseForm> for Phase {
    type Error = String;

    /// What names no phase is none: an empty text would else mean all of them.
    fn try_from(form: PhaseForm) -> Result<Self, String> {
        let phase = match form {
            PhaseForm::Number(number) => Self::Number(number),
            PhaseForm::Text(text) => Self::Text(text),
            PhaseForm::Both(both) => Self::Both(both),
        };
        match phase.parts() {
            (None, None) => Err("it names no phase: a number or a name is expected".to_owned()),
            (None, Some(name)) if name.trim().is_empty() => {
                Err("it is empty: a number or a name is expected".to_owned())
            }
            (None, Some(name)) => PhaseId::named(&name).map(|_| phase).map_err(|error| error.to_string()),
            _ => Ok(phase),
        }
    }
}

/// A phase as an object.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(inline)]
pub struct PhaseObject {
    /// Its number.
    pub phase_id: Option<i64>,
    /// Its name.
    pub name: Option<String>,
    /// Its name, as checkpoints call it.
    pub phase_name: Option<String>,
}

impl Phase {
    /// It as events name it; `None` for `global`, which is no phase in particular.
    pub fn id(&self) -> Option<PhaseId> {
        match self.parts() {
            (Some(number), _) => Some(PhaseId::numbered(number)),
            (None, Some(name)) => PhaseId::named(&name).ok().flatten(),
            (None, None) => None,
        }
    }

    /// Its number and its name, as far as given.
    pub fn parts(&self) -> (Option<i64>, Option<String>) {
        match self {
            Self::Number(number) => (Some(*number), None),
            Self::Text(text) => match text.parse() {
                Ok(number) => (Some(number), None),
                Err(_) => (None, Some(text.clone())),
            },
            Self::Both(both) => (both.phase_id, both.name.clone().or_else(|| both.phase_name.clone())),
        }
    }
}

/// A retention policy: a duration, rules as text, or rules as an object.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(transparent)]
pub struct RetentionPolicy(pub Retention);

impl<'de> Deserialize<'de> for RetentionPolicy {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = serde_json::Value::deserialize(deserializer)?;
        let policy = match &value {
            serde_json::Value::String(text) => text.parse().map_err(serde::de::Error::custom),
            _ => serde_json::from_value(value).map_err(serde::de::Error::custom),
        };
        let policy: Retention = policy?;
        if policy.tagged.iter().any(|tag| tag.trim().is_empty()) {
            return Err(serde::de::Error::custom("a tag of this retention policy is empty, and no checkpoint has it"));
        }
        if policy.keeps_nothing() {
            let why = "this retention policy keeps nothing: give a period such as 1h, or a count such as last=1";
            return Err(serde::de::Error::custom(why));
        }
        Ok(Self(policy))
    }
}

impl JsonSchema for RetentionPolicy {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "RetentionPolicy".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let rules = generator.subschema_for::<Retention>();
        json_schema!({"anyOf": [{"type": "string"}, rules]})
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{from_value, json};

    #[test]
    fn one_or_many_reads_both_and_keeps_the_values_error() {
        let read = |value| from_value::<OneOrMany<wfr_model::checkpoint::CheckpointType>>(value);
        assert_eq!(read(json!("manual")).unwrap(), read(json!(["manual"])).unwrap());
        assert!(read(json!(null)).unwrap().0.is_empty());
        assert!(read(json!("manuel")).unwrap_err().to_string().contains("manuel"));
        assert!(read(json!(3)).is_err());
    }

    #[test]
    fn host_paths_hold_any_bytes() {
        let path = HostPath(OsStr::from_bytes(b"/tmp/\xff\\x").into());
        let json = serde_json::to_value(&path).unwrap();
        assert_eq!(json, r"/tmp/\xff\\x");
        assert_eq!(from_value::<HostPath>(json).unwrap(), path);
        for bad in [r"a\q", "", r"a\x00"] {
            assert!(from_value::<HostPath>(json!(bad)).is_err(), "{bad}");
        }
    }

    #[test]
    fn phases_in_all_dialects() {
        let parts = |value| from_value::<Phase>(value).unwrap().parts();
        assert_eq!(parts(json!(2)), (Some(2), None));
        assert_eq!(parts(json!("2")), (Some(2), None));
        assert_eq!(parts(json!("Testing")), (None, Some("Testing".into())));
        assert_eq!(parts(json!({"phase_id": 2, "name": "Testing"})), (Some(2), Some("Testing".into())));
        assert!(from_value::<Phase>(json!({"phase": 2})).is_err());
    }

    #[test]
    fn policies_as_text_and_as_rules() {
        let text: RetentionPolicy = from_value(json!("last=3,daily=7")).unwrap();
        assert_eq!(text, from_value(json!({"last": 3, "daily": 7})).unwrap());
        for bad in [json!("30 parsecs"), json!({"lst": 3}), json!(30), json!({"last": -1}), json!("last=3,last=1")] {
            assert!(from_value::<RetentionPolicy>(bad).is_err());
        }
        for nothing in [json!("tagged="), json!({"tagged": []}), json!({"tagged": [""]}), json!({}), json!({"last": 0})]
        {
            assert!(from_value::<RetentionPolicy>(nothing.clone()).is_err(), "{nothing}");
        }
    }
}
