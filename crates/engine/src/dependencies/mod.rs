//! What a workflow needs from outside: how it is declared, what a checkpoint says of it, and what is missing later.
//!
//! Owns the forms in which needs are declared. Refuses to guess what a bare word means; how each is looked for, and what
//! follows from it, stands in the modules below.

mod compare;
mod kept;
mod probing;

pub use compare::{Validated, validate};
pub use kept::{for_checkpoint, kept, of_both};
pub use probing::{Probing, start};

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::results::Verdict;

/// How much of what is not understood is named, in letters.
const NAME_CHARS_MAX: usize = 80;

/// Where a port is that says not whose.
const LOCAL: &str = "127.0.0.1";

/// Whose need it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Of what is outside of the workflow.
    External,
    /// Of what the workflow itself made.
    Internal,
    /// Of agents.
    Agent,
}

/// Where a need is declared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// In the configuration, for all workflows.
    Configuration,
    /// In the workflow's own state.
    State,
}

impl Origin {
    /// Its word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Configuration => "configuration",
            Self::State => "state",
        }
    }
}

/// What is looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Need {
    /// A program on the search path, and what its version must begin with.
    Tool(Option<String>),
    /// A file or directory; relative to the workspace.
    File(PathBuf),
    /// An environment variable.
    Variable,
    /// A TCP port.
    Port(String, u16),
    /// Every phase before the current one has ended.
    PhaseOutputs,
    /// The configuration of this workspace can be read.
    Configuration,
    /// An agent that can work.
    AgentPool,
    /// Tasks are known.
    TaskHistory,
    /// A name that says not what it is: a tool, where there is one of that name.
    Name,
    /// A word that says not what it is, or that is not looked for.
    Word,
    /// What is in none of the forms.
    Odd,
}

/// A need, as it was declared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Declared {
    /// Its name.
    pub name: String,
    /// Whose need it is.
    pub scope: Scope,
    /// What is looked for.
    pub need: Need,
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Probed {
    /// The need's name.
    pub name: String,
    /// Whose need it is.
    pub scope: Scope,
    /// What was looked for: `tool`, `file`, `variable`, `port`, ...
    pub kind: String,
    /// The file's path, the port's address, or the version that is asked for; `null` where the name says it all.
    #[serde(default)]
    pub target: Option<String>,
    /// What a tool says of its version; `null` where it was not asked or does not say.
    #[serde(default)]
    pub version: Option<String>,
    /// Whether it is there; `skipped` where nothing could be looked for.
    pub status: Verdict,
    /// Where it was found, or why not.
    pub detail: String,
}

/// The needs of a state's `dependencies`, in all forms: the hub's `external` and `internal`, the reference's
/// `external_dependencies`, and the resolver's lists of `services`, `tools`, `files`, `environment`.
pub fn declared(dependencies: &Map<String, Value>) -> Vec<Declared> {
    items(dependencies).into_iter().map(|(scope, kind, item)| one(kind, item, scope)).collect()
}

/// What is needed from outside, as it was declared, with the name of the list that it stands in.
pub fn external(dependencies: &Map<String, Value>) -> impl Iterator<Item = (&str, &Value)> {
    items(dependencies).into_iter().filter(|(scope, ..)| *scope == Scope::External).map(|(_, kind, item)| (kind, item))
}

/// Whose each need is, the name of the list that it stands in, and the need.
fn items(dependencies: &Map<String, Value>) -> Vec<(Scope, &str, &Value)> {
    let mut found = Vec::new();
    for (key, value) in dependencies {
        let scope = match key.trim_end_matches("_dependencies") {
            "internal" => Scope::Internal,
            "agent" | "agents" => Scope::Agent,
            _ => Scope::External,
        };
        match (key.as_str(), value) {
            ("tools" | "files" | "environment" | "services" | "ports", value) => listed(key, value, scope, &mut found),
            (_, Value::Object(lists)) => lists.iter().for_each(|(kind, value)| listed(kind, value, scope, &mut found)),
            (_, value) => listed("", value, scope, &mut found),
        }
    }
    found
}

fn listed<'d>(kind: &'d str, value: &'d Value, scope: Scope, found: &mut Vec<(Scope, &'d str, &'d Value)>) {
    match value {
        Value::Array(items) => found.extend(items.iter().map(|item| (scope, kind, item))),
        Value::Null => {}
        one => found.push((scope, kind, one)),
    }
}

/// One need: a name, an object with `type` and `name`, or one in a short form such as `{"env": "HOME"}`. What is none of
/// these is named as it stands.
fn one(kind: &str, item: &Value, scope: Scope) -> Declared {
    understood(kind, item, scope).unwrap_or_else(|| {
        let name = item.to_string().chars().take(NAME_CHARS_MAX).collect();
        Declared { name, scope, need: Need::Odd }
    })
}

/// What an item of a list of that name needs.
pub fn need(list: &str, item: &Value) -> Need {
    one(list, item, Scope::External).need
}

fn understood(kind: &str, item: &Value, scope: Scope) -> Option<Declared> {
    let text = |keys: &[&str]| keys.iter().find_map(|key| item.get(*key)?.as_str()).map(str::to_owned);
    let said = text(&["type", "kind"]).or_else(|| (!kind.is_empty()).then(|| kind.to_owned()));
    let number = item.get("port").unwrap_or(item);
    let port = number.as_u64().and_then(|port| u16::try_from(port).ok());
    let host = text(&["host", "address"]);
    let served = || port.map(|port| format!("{}:{port}", host.as_deref().unwrap_or(LOCAL)));
    let (kind, name) = match item {
        Value::String(name) => (said.unwrap_or_default(), name.clone()),
        Value::Object(_) => {
            let kind = said.or_else(|| short(item).map(str::to_owned)).unwrap_or_default();
            let names =
                ["name", "id", "path", "tool", "command", "file", "directory", "variable", "env", "environment"];
            (kind, text(&names).or_else(|| text(&["host", "service"])).or_else(served)?)
        }
        Value::Number(_) if said.as_deref().is_some_and(is_port) => ("port".to_owned(), served()?),
        _ => return None,
    };
    let need = match kind.trim_end_matches('s') {
        "tool" | "command" | "program" => Need::Tool(text(&["version"])),
        "file" | "directory" | "path" => Need::File(text(&["path"]).unwrap_or_else(|| name.clone()).into()),
        "environment" | "env" | "variable" | "environment_variable" => Need::Variable,
        kind if is_port(kind) => {
            let place = port.map(|port| (host.unwrap_or_else(|| LOCAL.to_owned()), port));
            match place.or_else(|| address(&name)) {
                Some((host, port)) => Need::Port(host, port),
                None if item.get("port").is_some() => return None,
                None => Need::Word,
            }
        }
        _ => bare(&name, scope),
    };
    Some(Declared { name, scope, need })
}

fn is_port(kind: &str) -> bool {
    ["service", "port", "tcp", "tcp_port"].contains(&kind.trim_end_matches('s'))
}

/// What an object in a short form declares, by the key that it has.
fn short(item: &Value) -> Option<&'static str> {
    let forms = [
        ("env", "env"),
        ("environment", "env"),
        ("variable", "env"),
        ("tool", "tool"),
        ("command", "tool"),
        ("file", "file"),
        ("directory", "file"),
        ("path", "file"),
        ("port", "port"),
    ];
    forms.iter().find(|(key, _)| item.get(*key).is_some()).map(|(_, kind)| *kind)
}

/// What a bare word means, where that can be told.
fn bare(name: &str, scope: Scope) -> Need {
    match (scope, name) {
        (Scope::Internal, "previous_phase_outputs") => Need::PhaseOutputs,
        (Scope::Internal, "configuration_files") => Need::Configuration,
        (Scope::Agent, "agent_pool_state") => Need::AgentPool,
        (Scope::Agent, "task_completion_history") => Need::TaskHistory,
        (_, name) if name.contains('/') => Need::File(name.into()),
        (_, name) => match address(name) {
            Some((host, port)) => Need::Port(host, port),
            None if scope == Scope::External => Need::Name,
            None => Need::Word,
        },
    }
}

/// `host:port`.
fn address(text: &str) -> Option<(String, u16)> {
    let (host, port) = text.rsplit_once(':')?;
    Some((host.to_owned(), port.parse().ok()?)).filter(|(host, _)| !host.is_empty())
}

impl Declared {
    /// The need that something was looked for by.
    pub fn of(probed: &Probed) -> Self {
        let target = probed.target.as_deref();
        let need = match probed.kind.as_str() {
            "tool" => Need::Tool(target.map(str::to_owned)),
            "file" => Need::File(target.unwrap_or(&probed.name).into()),
            "variable" => Need::Variable,
            "port" => match address(target.unwrap_or(&probed.name)) {
                Some((host, port)) => Need::Port(host, port),
                None => Need::Word,
            },
            "phase_outputs" => Need::PhaseOutputs,
            "configuration" => Need::Configuration,
            "agent_pool" => Need::AgentPool,
            "task_history" => Need::TaskHistory,
            _ => Need::Word,
        };
        Self { name: probed.name.clone(), scope: probed.scope, need }
    }
}

impl Need {
    /// What it is called.
    fn kind(&self) -> &'static str {
        match self {
            Self::Tool(_) => "tool",
            Self::File(_) => "file",
            Self::Variable => "variable",
            Self::Port(..) => "port",
            Self::PhaseOutputs => "phase_outputs",
            Self::Configuration => "configuration",
            Self::AgentPool => "agent_pool",
            Self::TaskHistory => "task_history",
            Self::Name | Self::Word | Self::Odd => "unknown",
        }
    }

    /// See [`Probed::target`].
    fn target(&self) -> Option<String> {
        match self {
            Self::Tool(version) => version.clone(),
            Self::File(path) => path.to_str().map(str::to_owned),
            Self::Port(host, port) => Some(format!("{host}:{port}")),
            _ => None,
        }
    }

    /// Whether the workflow's own state answers it.
    fn is_of_state(&self) -> bool {
        matches!(self, Self::PhaseOutputs | Self::AgentPool | Self::TaskHistory)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_form_of_a_need_is_understood() {
        let dependencies = json!({
            "external_dependencies": ["nix_flake_inputs", "etc/hosts", "db.local:5432"],
            "external": [{"type": "tool", "name": "git", "version": "2"}, {"type": "environment", "name": "HOME"}, 7],
            "internal_dependencies": ["previous_phase_outputs", "configuration_files"],
            "agent_dependencies": ["agent_pool_state", "task_completion_history"],
            "services": [{"name": "cache", "port": 6379}, "queue"], "tools": ["sh"],
            "resolver": {"files": ["a"], "environment": ["PATH"]},
        });
        let Value::Object(dependencies) = dependencies else { unreachable!("it is an object") };
        let needs = declared(&dependencies);
        let found: Vec<(&str, &Need)> = needs.iter().map(|need| (need.name.as_str(), &need.need)).collect();
        let expected = [
            ("nix_flake_inputs", &Need::Name),
            ("etc/hosts", &Need::File("etc/hosts".into())),
            ("db.local:5432", &Need::Port("db.local".to_owned(), 5432)),
            ("git", &Need::Tool(Some("2".to_owned()))),
            ("HOME", &Need::Variable),
            ("7", &Need::Odd),
            ("previous_phase_outputs", &Need::PhaseOutputs),
            ("configuration_files", &Need::Configuration),
            ("agent_pool_state", &Need::AgentPool),
            ("task_completion_history", &Need::TaskHistory),
            ("cache", &Need::Port("127.0.0.1".to_owned(), 6379)),
            ("queue", &Need::Word),
            ("sh", &Need::Tool(None)),
            ("a", &Need::File("a".into())),
            ("PATH", &Need::Variable),
        ];
        assert_eq!(found, expected);
        assert_eq!((needs[6].scope, needs[8].scope), (Scope::Internal, Scope::Agent));
    }
    #[test]
    fn short_forms_are_understood_and_others_are_named() {
        let dependencies = json!({"external": [
            {"env": "HOME"}, {"file": "nope.txt"}, {"tool": "git", "version": "2"}, {"port": 1},
            {"host": "db", "port": 5432}, "git", {"port": 70_000}, {"colour": "red"}, null, true], "ports": [80]});
        let Value::Object(dependencies) = dependencies else { unreachable!("it is an object") };
        let needs = declared(&dependencies);
        let found: Vec<(&str, &Need)> = needs.iter().map(|need| (need.name.as_str(), &need.need)).collect();
        let expected = [
            ("HOME", &Need::Variable),
            ("nope.txt", &Need::File("nope.txt".into())),
            ("git", &Need::Tool(Some("2".to_owned()))),
            ("127.0.0.1:1", &Need::Port(LOCAL.to_owned(), 1)),
            ("db", &Need::Port("db".to_owned(), 5432)),
            ("git", &Need::Name),
            ("{\"port\":70000}", &Need::Odd),
            ("{\"colour\":\"red\"}", &Need::Odd),
            ("null", &Need::Odd),
            ("true", &Need::Odd),
            ("127.0.0.1:80", &Need::Port(LOCAL.to_owned(), 80)),
        ];
        assert_eq!(found, expected);
    }
}
