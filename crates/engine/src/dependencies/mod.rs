//! What a workflow needs from outside: how it is declared, what a checkpoint says of it, and what is missing later.
//!
//! Owns the forms in which needs are declared. Refuses to guess what a bare word means; how each is looked for, and what
//! follows from it, stands in the modules below.

mod compare;
mod kept;
mod probing;

pub use compare::{Validated, validate};
pub use kept::{for_checkpoint, kept};
pub use probing::{Probing, start};

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::results::Verdict;

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
    /// A word that says not what it is.
    Word,
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
    let mut needs = Vec::new();
    for (key, value) in dependencies {
        let scope = match key.trim_end_matches("_dependencies") {
            "internal" => Scope::Internal,
            "agent" | "agents" => Scope::Agent,
            _ => Scope::External,
        };
        match (key.as_str(), value) {
            ("tools" | "files" | "environment" | "services", value) => listed(key, value, scope, &mut needs),
            (_, Value::Object(lists)) => {
                for (kind, value) in lists {
                    listed(kind, value, scope, &mut needs);
                }
            }
            (_, value) => listed("", value, scope, &mut needs),
        }
    }
    needs
}

fn listed(kind: &str, value: &Value, scope: Scope, needs: &mut Vec<Declared>) {
    let items: Vec<&Value> = match value {
        Value::Array(items) => items.iter().collect(),
        Value::Null => vec![],
        one => vec![one],
    };
    needs.extend(items.into_iter().filter_map(|item| one(kind, item, scope)));
}

/// One need: a word, or an object with `type` and `name`.
fn one(kind: &str, item: &Value, scope: Scope) -> Option<Declared> {
    let text = |keys: &[&str]| keys.iter().find_map(|key| item.get(*key)?.as_str()).map(str::to_owned);
    let (kind, name) = match item {
        Value::String(name) => (kind.to_owned(), name.clone()),
        Value::Object(_) => {
            let kind = text(&["type", "kind"]).unwrap_or_else(|| kind.to_owned());
            (kind, text(&["name", "id", "path", "tool", "variable", "host", "service"])?)
        }
        _ => return None,
    };
    let port = item.get("port").and_then(Value::as_u64).and_then(|port| u16::try_from(port).ok());
    let host = text(&["host", "address"]).unwrap_or_else(|| "127.0.0.1".to_owned());
    let need = match kind.trim_end_matches('s') {
        "tool" | "command" | "program" => Need::Tool(text(&["version"])),
        "file" | "directory" | "path" => Need::File(text(&["path"]).unwrap_or_else(|| name.clone()).into()),
        "environment" | "env" | "variable" | "environment_variable" => Need::Variable,
        "service" | "port" | "tcp" | "tcp_port" => match port.map(|port| (host, port)).or_else(|| address(&name)) {
            Some((host, port)) => Need::Port(host, port),
            None => Need::Word,
        },
        _ => bare(&name, scope),
    };
    Some(Declared { name, scope, need })
}

/// What a bare word means, where that can be told.
fn bare(name: &str, scope: Scope) -> Need {
    match (scope, name) {
        (Scope::Internal, "previous_phase_outputs") => Need::PhaseOutputs,
        (Scope::Internal, "configuration_files") => Need::Configuration,
        (Scope::Agent, "agent_pool_state") => Need::AgentPool,
        (Scope::Agent, "task_completion_history") => Need::TaskHistory,
        (_, name) if name.contains('/') => Need::File(name.into()),
        (_, name) => address(name).map_or(Need::Word, |(host, port)| Need::Port(host, port)),
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
            Self::Word => "unknown",
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
            ("nix_flake_inputs", &Need::Word),
            ("etc/hosts", &Need::File("etc/hosts".into())),
            ("db.local:5432", &Need::Port("db.local".to_owned(), 5432)),
            ("git", &Need::Tool(Some("2".to_owned()))),
            ("HOME", &Need::Variable),
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
        assert_eq!((needs[5].scope, needs[7].scope), (Scope::Internal, Scope::Agent));
    }
}
