//! The configuration of coordination: who is told what, how, and how much a workflow may take.
//!
//! Owns the keys of `[coordination]`, their defaults, and what of them cannot be. Refuses to reach anybody.

use std::collections::HashSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::event::EventName;
use crate::ids::check_name;
use crate::time::Span;

/// The block of `config.toml`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Coordination {
    /// By which name this program answers, and signs what it sends.
    #[serde(deserialize_with = "component")]
    pub component: String,
    /// Who follows workflows, and is told of recoveries.
    #[serde(deserialize_with = "component")]
    pub hub: String,
    /// Who shares out resources, and is asked to hold them.
    #[serde(deserialize_with = "component")]
    pub resource_manager: String,
    /// Who decides about a recovery, and is told of its beginning and end where that is another one than `component`.
    #[serde(deserialize_with = "component")]
    pub authority: String,
    /// Who is asked where a recovery fails, the first one first: each is told, too, then.
    #[serde(deserialize_with = "components")]
    pub escalation: Vec<String>,
    /// Who is told of a recovery's beginning and end, besides the hub.
    #[serde(deserialize_with = "components")]
    pub stakeholders: Vec<String>,
    /// Time between two reports of a recovery that runs.
    #[serde(deserialize_with = "some_time")]
    pub status_interval: Span,
    /// Time before something is sent again; it doubles with every attempt.
    pub retry_initial: Span,
    /// The longest time between two attempts.
    pub retry_max: Span,
    /// How much one workflow may take.
    pub caps: Caps,
    /// Where events and messages go.
    #[serde(deserialize_with = "distinct")]
    pub sinks: Vec<Sink>,
}

impl Default for Coordination {
    fn default() -> Self {
        Self {
            component: "workflow-recovery".to_owned(),
            hub: "coordination-hub".to_owned(),
            resource_manager: "resource-manager".to_owned(),
            authority: "workflow-recovery".to_owned(),
            escalation: vec![],
            stakeholders: vec![],
            status_interval: seconds(30),
            retry_initial: seconds(1),
            retry_max: seconds(300),
            caps: Caps::default(),
            sinks: vec![],
        }
    }
}

/// How much one workflow may take, as the protocol declares it.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Caps {
    /// Processors.
    pub cpu_cores: f64,
    /// Memory in GB.
    pub memory_gb: f64,
    /// Agents.
    pub agents: u64,
    /// How long at most.
    pub duration: Span,
}

impl Default for Caps {
    fn default() -> Self {
        Self { cpu_cores: 6.0, memory_gb: 12.0, agents: 15, duration: seconds(6 * 60 * 60) }
    }
}

/// Somewhere that events and messages are delivered to.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(try_from = "RawSink", into = "RawSink")]
#[schemars(with = "RawSink")]
pub struct Sink {
    /// Its name, by which its place in the log is kept.
    pub name: String,
    /// How it is reached.
    pub target: Target,
    /// What goes there; everything where empty.
    pub types: Vec<Pattern>,
    /// How long one delivery may take.
    pub timeout: Duration,
    /// How often one item is tried before it is put aside.
    pub attempts: u32,
    /// Where a new one begins.
    pub from: Begin,
}

/// How a sink is reached.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Target {
    /// A line of JSON each, at the end of this file.
    File(String),
    /// Run by `sh -c` with one JSON document on standard input.
    Command(String),
    /// Posted as a CloudEvent.
    Webhook {
        /// Where to.
        url: String,
        /// A file whose first line is the value of the header `Authorization`.
        authorization_file: Option<String>,
    },
}

/// Where a new sink begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Begin {
    /// With the first event that was ever recorded.
    #[default]
    Start,
    /// With what is recorded after it was first seen.
    Now,
}

/// Which types a sink wants: a name, or its beginning and a `*`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pattern(String);

impl Pattern {
    /// Reads a name of an event's type in any dialect, of an operation, or of a kind of message; or the beginning of
    /// one.
    pub fn read(text: &str) -> Result<Self, String> {
        let stem = text.strip_suffix('*').unwrap_or(text);
        if stem.is_empty() && text == "*" {
            return Ok(Self(text.to_owned()));
        }
        check_name(stem, "type").map_err(|error| error.to_string())?;
        // Operations have hyphens and small letters: only what can be no operation is put into capitals.
        match stem.parse::<EventName>() {
            Ok(EventName::Known(listed)) if stem == text => Ok(Self(listed.as_str().to_owned())),
            _ => Ok(Self(text.to_owned())),
        }
    }

    /// The pattern as it is written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether a name fits.
    pub fn fits(&self, name: &str) -> bool {
        match self.0.strip_suffix('*') {
            Some(beginning) => name.starts_with(beginning),
            None => name == self.0,
        }
    }
}

/// A sink as it stands in the file.
#[derive(Clone, Debug, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
struct RawSink {
    /// Its name.
    name: String,
    /// `file`, `command` or `webhook`.
    kind: Kind,
    /// The file; one that is relative lies in the view, which no checkpoint takes and no recovery touches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    path: Option<String>,
    /// The command.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    command: Option<String>,
    /// Where to post.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    url: Option<String>,
    /// A file with the value of the header `Authorization`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    authorization_file: Option<String>,
    /// What goes there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    types: Vec<String>,
    /// How long one delivery may take.
    #[serde(default = "default_timeout")]
    timeout: Span,
    /// How often one item is tried.
    #[serde(default = "default_attempts")]
    attempts: u32,
    /// Where a new one begins.
    #[serde(default)]
    from: Begin,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Kind {
    File,
    Command,
    Webhook,
}

impl TryFrom<RawSink> for Sink {
    type Error = String;

    fn try_from(raw: RawSink) -> Result<Self, String> {
        let name = raw.name.clone();
        check_name(&name, "sink's name").map_err(|error| error.to_string())?;
        let refuse = |why: String| format!("sink `{name}`: {why}");
        let target = target(&raw).map_err(&refuse)?;
        let timeout = raw.timeout.duration().filter(|length| !length.is_zero() && *length <= TIMEOUT_MAX);
        let timeout = timeout.ok_or_else(|| refuse("`timeout` must be more than 0 and at most 10m".to_owned()))?;
        if raw.attempts == 0 {
            return Err(refuse("`attempts` must be at least 1".to_owned()));
        }
        let types = raw.types.iter().map(|text| Pattern::read(text)).collect::<Result<_, _>>().map_err(&refuse)?;
        Ok(Self { name: raw.name, target, types, timeout, attempts: raw.attempts, from: raw.from })
    }
}

/// The longest time that one delivery may take.
const TIMEOUT_MAX: Duration = Duration::from_secs(600);

/// What in the view is wfr's own.
const OWN: [&str; 5] = ["config.toml", "checkpoints", "failure_analysis", "state_validation", "prevention"];

/// A file that a sink may write: none of wfr's own, and none that leads out of where it begins.
fn file(path: String) -> Result<String, String> {
    let mut names = path.split('/').filter(|name| !["", "."].contains(name)).peekable();
    let first = names.peek().copied().unwrap_or_default();
    if !path.starts_with('/') && OWN.contains(&first) {
        return Err(format!("`path` is `{path}`, which is wfr's own"));
    }
    if names.any(|name| name == "..") {
        return Err(format!("`path` is `{path}`: `..` leads out of the view; say it as an absolute path"));
    }
    Ok(path)
}

/// What a sink of a kind needs, and nothing that belongs to another kind.
fn target(raw: &RawSink) -> Result<Target, String> {
    let (word, wanted) = match raw.kind {
        Kind::File => ("file", "path"),
        Kind::Command => ("command", "command"),
        Kind::Webhook => ("webhook", "url"),
    };
    let given = [("path", &raw.path), ("command", &raw.command), ("url", &raw.url)];
    if let Some((other, _)) = given.iter().find(|(key, value)| *key != wanted && value.is_some()) {
        return Err(format!("a {word} has no `{other}`"));
    }
    if raw.authorization_file.is_some() && raw.kind != Kind::Webhook {
        return Err(format!("a {word} has no `authorization_file`"));
    }
    let value = given.into_iter().find(|(key, _)| *key == wanted).and_then(|(_, value)| value.clone());
    let value = value.filter(|value| !value.trim().is_empty() && !value.contains('\0'));
    let value = value.ok_or_else(|| format!("a {word} needs `{wanted}`"))?;
    match raw.kind {
        Kind::File => file(value).map(Target::File),
        Kind::Command => Ok(Target::Command(value)),
        Kind::Webhook if !["http://", "https://"].iter().any(|scheme| value.starts_with(scheme)) => {
            Err("`url` must begin with http:// or https://".to_owned())
        }
        Kind::Webhook => Ok(Target::Webhook { url: value, authorization_file: raw.authorization_file.clone() }),
    }
}

impl From<Sink> for RawSink {
    fn from(sink: Sink) -> Self {
        let mut raw = Self {
            name: sink.name,
            kind: Kind::File,
            path: None,
            command: None,
            url: None,
            authorization_file: None,
            types: sink.types.into_iter().map(|pattern| pattern.0).collect(),
            timeout: Span::Finite(sink.timeout),
            attempts: sink.attempts,
            from: sink.from,
        };
        match sink.target {
            Target::File(path) => raw.path = Some(path),
            Target::Command(command) => (raw.kind, raw.command) = (Kind::Command, Some(command)),
            Target::Webhook { url, authorization_file } => {
                (raw.kind, raw.url, raw.authorization_file) = (Kind::Webhook, Some(url), authorization_file);
            }
        }
        raw
    }
}

/// Reads sinks and refuses two of one name: they would share one place in the log.
/// The longest name of a component, in bytes.
const COMPONENT_BYTES_MAX: usize = 128;

/// A component's name, to which messages are addressed: one line that says something.
fn component<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    checked_component(String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
}

fn components<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let names = Vec::<String>::deserialize(deserializer)?;
    names.into_iter().map(checked_component).collect::<Result<_, _>>().map_err(serde::de::Error::custom)
}

fn checked_component(name: String) -> Result<String, String> {
    if name.trim().is_empty() || name.len() > COMPONENT_BYTES_MAX || name.contains(char::is_control) {
        return Err(format!(
            "{name:?} is no component's name: one line of 1 to {COMPONENT_BYTES_MAX} bytes is expected"
        ));
    }
    Ok(name)
}

/// A length of time that is not nothing.
fn some_time<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Span, D::Error> {
    let span = Span::deserialize(deserializer)?;
    if span.duration().is_some_and(|length| length.is_zero()) {
        return Err(serde::de::Error::custom("more than 0 is expected"));
    }
    Ok(span)
}

fn distinct<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<Sink>, D::Error> {
    let sinks = Vec::<Sink>::deserialize(deserializer)?;
    let mut names = HashSet::new();
    match sinks.iter().find(|sink| !names.insert(sink.name.as_str())) {
        Some(twice) => Err(serde::de::Error::custom(format!("two sinks are called `{}`", twice.name))),
        None => Ok(sinks),
    }
}

fn default_timeout() -> Span {
    seconds(30)
}

fn default_attempts() -> u32 {
    8
}

fn seconds(count: u64) -> Span {
    Span::Finite(Duration::from_secs(count))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, from_value, json, to_value};

    fn sink(value: Value) -> Result<Sink, String> {
        from_value(value).map_err(|error| error.to_string())
    }

    #[test]
    fn what_nobody_configured_is_as_the_protocol_declares() {
        let config = from_value::<Coordination>(json!({})).unwrap();
        assert_eq!(config, Coordination::default());
        assert_eq!(config.status_interval.duration(), Some(Duration::from_secs(30)));
        assert_eq!(config.retry_initial.duration(), Some(Duration::from_secs(1)));
        let caps = config.caps;
        assert_eq!((caps.cpu_cores, caps.memory_gb, caps.agents), (6.0, 12.0, 15));
        assert_eq!(caps.duration.duration(), Some(Duration::from_secs(6 * 60 * 60)));
        let names = [config.component, config.hub, config.resource_manager, config.authority];
        assert_eq!(names, ["workflow-recovery", "coordination-hub", "resource-manager", "workflow-recovery"]);
    }

    #[test]
    fn sinks_of_every_kind_round_trip() {
        for value in [
            json!({"name": "log", "kind": "file", "path": "events.jsonl", "types": ["phase.completed", "RECOVERY_*"]}),
            json!({"name": "run", "kind": "command", "command": "cat >> /tmp/x", "timeout": "500ms", "attempts": 1}),
            json!({"name": "web", "kind": "webhook", "url": "https://x/y", "authorization_file": "/k", "from": "now"}),
        ] {
            let read = sink(value).unwrap();
            assert_eq!(sink(to_value(&read).unwrap()).unwrap(), read);
        }
    }

    #[test]
    fn what_a_sink_cannot_be_is_named() {
        for (value, why) in [
            (json!({"name": "a", "kind": "file"}), "needs `path`"),
            (json!({"name": "a", "kind": "file", "path": ""}), "needs `path`"),
            (json!({"name": "a", "kind": "file", "path": "./config.toml"}), "wfr's own"),
            (json!({"name": "a", "kind": "file", "path": "logs/../../x"}), "leads out"),
            (json!({"name": "a", "kind": "file", "path": "x", "url": "http://x"}), "has no `url`"),
            (json!({"name": "a", "kind": "command", "path": "x"}), "has no `path`"),
            (json!({"name": "a", "kind": "webhook", "url": "ftp://x"}), "http://"),
            (json!({"name": "a", "kind": "command", "command": "x", "authorization_file": "y"}), "authorization_file"),
            (json!({"name": "../a", "kind": "file", "path": "x"}), "sink's name"),
            (json!({"name": "a", "kind": "file", "path": "x", "attempts": 0}), "attempts"),
            (json!({"name": "a", "kind": "file", "path": "x", "timeout": "0s"}), "timeout"),
            (json!({"name": "a", "kind": "file", "path": "x", "timeout": "permanent"}), "timeout"),
            (json!({"name": "a", "kind": "file", "path": "x", "types": ["a b"]}), "type"),
            (json!({"name": "a", "kind": "file", "path": "x", "retries": 3}), "retries"),
            (json!({"name": "a", "kind": "carrier_pigeon"}), "carrier_pigeon"),
        ] {
            let refused = sink(value.clone()).unwrap_err();
            assert!(refused.contains(why), "{value}: {refused}");
        }
        let twice = json!({"sinks": [
            {"name": "a", "kind": "file", "path": "x"}, {"name": "a", "kind": "file", "path": "y"}
        ]});
        assert!(from_value::<Coordination>(twice).unwrap_err().to_string().contains("two sinks"));
    }

    #[test]
    fn names_and_times_that_reach_nobody_are_refused() {
        for (key, value) in [
            ("authority", json!("")),
            ("component", json!("a\nb")),
            ("hub", json!(" ")),
            ("stakeholders", json!(["ops", "x\ty"])),
            ("escalation", json!(["y".repeat(129)])),
            ("status_interval", json!("0s")),
        ] {
            assert!(from_value::<Coordination>(json!({key: value})).is_err(), "{key}");
        }
        let right = json!({"authority": "on-call: ann", "stakeholders": ["ops"], "status_interval": "1s"});
        assert_eq!(from_value::<Coordination>(right).unwrap().authority, "on-call: ann");
    }

    #[test]
    fn patterns_fit_names_and_beginnings() {
        let pattern = |text: &str| Pattern::read(text).unwrap();
        assert!(pattern("task.failed").fits("TASK_FAILED"));
        assert!(!pattern("TASK_FAILED").fits("TASK_FAILED_AGAIN"));
        assert!(pattern("RECOVERY_*").fits("RECOVERY_FAILED") && !pattern("RECOVERY_*").fits("TASK_FAILED"));
        assert!(pattern("hold-resources").fits("hold-resources") && pattern("*").fits("anything"));
        assert!(Pattern::read("").is_err() && Pattern::read("a*b").is_err());
    }
}
