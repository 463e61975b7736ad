//! What a workflow needs from outside, looked for: tools, files, variables, ports, and what it says of itself.
//!
//! Owns the forms in which needs are declared and how each is looked for. Refuses to read the value of a variable, to
//! contact anything that was not declared, and to guess what a bare word means.

use std::io::Read;
use std::net::{TcpStream, ToSocketAddrs};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use wfr_model::workflow::{AgentStatus, PhaseStatus, Whole};

use crate::open::Open;
use crate::results::Verdict;
use crate::session::Session;
use crate::view;

/// How long a port may take to answer.
const PORT_WAIT: Duration = Duration::from_millis(500);

/// How long a tool may take to say its version.
const VERSION_WAIT: Duration = Duration::from_secs(2);

/// How much of what a tool says is looked at, in bytes.
const VERSION_BYTES_MAX: usize = 4 << 10;

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

/// Looks for each need. With `versions` tools are asked for theirs.
pub fn probe(
    open: &Open,
    session: &Session,
    state: Option<&Whole>,
    declared: &[Declared],
    versions: bool,
) -> Vec<Probed> {
    let prober = Prober { root: open.root(), session, state, versions };
    declared.iter().map(|need| prober.probe(need)).collect()
}

struct Prober<'p> {
    root: &'p Path,
    session: &'p Session,
    state: Option<&'p Whole>,
    versions: bool,
}

impl Prober<'_> {
    fn probe(&self, declared: &Declared) -> Probed {
        let name = declared.name.as_str();
        let (kind, (status, detail)) = match &declared.need {
            Need::Tool(version) => ("tool", self.tool(name, version.as_deref())),
            Need::File(path) => ("file", self.file(path)),
            Need::Variable => ("variable", self.variable(name)),
            Need::Port(host, port) => ("port", port_answers(host, *port)),
            Need::PhaseOutputs => ("phase_outputs", self.phases()),
            Need::Configuration => (
                "configuration",
                match view::load_config(self.root) {
                    Ok(_) => (Verdict::Passed, "the configuration can be read".to_owned()),
                    Err(error) => (Verdict::Failed, error.to_string()),
                },
            ),
            Need::AgentPool => ("agent_pool", self.agents()),
            Need::TaskHistory => ("task_history", self.tasks()),
            Need::Word => {
                let why = "nothing says what it is: declare it as {\"type\": \"tool\", \"name\": ...}".to_owned();
                ("unknown", (Verdict::Skipped, why))
            }
        };
        Probed { name: name.to_owned(), scope: declared.scope, kind: kind.to_owned(), status, detail }
    }

    fn tool(&self, name: &str, wanted: Option<&str>) -> (Verdict, String) {
        let search = (self.session.variable)("PATH").unwrap_or_default();
        let is_program = |path: &PathBuf| {
            std::fs::metadata(path).is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
        };
        let found = if name.contains('/') {
            Some(self.root.join(name)).filter(is_program)
        } else {
            std::env::split_paths(&search).map(|dir| dir.join(name)).find(is_program)
        };
        let Some(path) = found else { return (Verdict::Failed, "it is not on the search path".to_owned()) };
        let place = path.display().to_string();
        if !self.versions {
            return (Verdict::Passed, place);
        }
        match (version(&path, VERSION_WAIT), wanted) {
            (None, None) => (Verdict::Passed, format!("{place}; it does not say its version")),
            (Some(says), None) => (Verdict::Passed, format!("{place}: {says}")),
            (None, Some(wanted)) => (Verdict::Skipped, format!("{place} does not say whether it is {wanted}")),
            (Some(says), Some(wanted)) => {
                let wanted = wanted.trim_start_matches(['v', '=', '^', '~']);
                let is_it = says.split(|letter: char| letter.is_whitespace() || ",()".contains(letter));
                let is_it = is_it.map(|word| word.trim_start_matches('v')).any(|word| word.starts_with(wanted));
                (Verdict::of(is_it), format!("{place}: {says}; {wanted} is asked for"))
            }
        }
    }

    fn file(&self, path: &Path) -> (Verdict, String) {
        let at = self.root.join(path);
        match std::fs::metadata(&at) {
            Ok(_) => (Verdict::Passed, at.display().to_string()),
            Err(error) => (Verdict::Failed, format!("{}: {error}", at.display())),
        }
    }

    /// Whether it is set. Its value is nobody's business.
    fn variable(&self, name: &str) -> (Verdict, String) {
        let is_set = (self.session.variable)(name).is_some();
        (Verdict::of(is_set), if is_set { "it is set" } else { "it is not set" }.to_owned())
    }

    fn phases(&self) -> (Verdict, String) {
        let Some(state) = self.state else { return (Verdict::Skipped, "there is no state".to_owned()) };
        let Some(current) = &state.head.current_phase else {
            return (Verdict::Passed, "no phase has begun".to_owned());
        };
        let open = state.phases.values().find(|phase| {
            phase.phase_id < *current && !matches!(phase.status, PhaseStatus::Completed | PhaseStatus::Skipped)
        });
        match open {
            Some(phase) => (Verdict::Failed, format!("phase {} is {}", phase.phase_id, phase.status.as_str())),
            None => (Verdict::Passed, "every phase before the current one has ended".to_owned()),
        }
    }

    fn agents(&self) -> (Verdict, String) {
        let Some(state) = self.state else { return (Verdict::Skipped, "there is no state".to_owned()) };
        let can_work = |status: AgentStatus| status != AgentStatus::Failed;
        let able = state.agents.values().filter(|agent| !agent.deallocated && can_work(agent.status)).count();
        (Verdict::of(able > 0), format!("{able} of {} agents can work", state.agents.len()))
    }

    fn tasks(&self) -> (Verdict, String) {
        let Some(state) = self.state else { return (Verdict::Skipped, "there is no state".to_owned()) };
        let counts = state.head.counts;
        let detail = format!("{} of {} tasks are completed", counts.completed, counts.total());
        (Verdict::of(counts.total() > 0), detail)
    }
}

fn port_answers(host: &str, port: u16) -> (Verdict, String) {
    let addresses = match (host, port).to_socket_addrs() {
        Ok(addresses) => addresses,
        Err(error) => return (Verdict::Failed, format!("{host} is not known: {error}")),
    };
    let mut last = format!("{host} has no address");
    for address in addresses {
        match TcpStream::connect_timeout(&address, PORT_WAIT) {
            Ok(_) => return (Verdict::Passed, format!("{address} answers")),
            Err(error) => last = format!("{address}: {error}"),
        }
    }
    (Verdict::Failed, last)
}

/// The first line of what a tool says of its version; `None` where it says nothing in time.
fn version(path: &Path, wait: Duration) -> Option<String> {
    let mut command = Command::new(path);
    command.arg("--version").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().ok()?;
    let said = child.stdout.take().map(|from| said_in_time(from, Instant::now() + wait));
    // What it has not said by now is not waited for.
    let _ = child.kill();
    let _ = child.wait();
    let said = said?;
    let text = String::from_utf8_lossy(&said);
    let line = text.lines().next().map(str::trim).filter(|line| !line.is_empty())?;
    Some(line.chars().filter(|letter| !letter.is_control()).take(120).collect())
}

/// What comes until the end, the limit, or the deadline.
fn said_in_time(mut from: std::process::ChildStdout, deadline: Instant) -> Vec<u8> {
    let mut said = Vec::new();
    let mut buffer = [0; 512];
    while said.len() < VERSION_BYTES_MAX {
        let left = deadline.saturating_duration_since(Instant::now());
        let Ok(left) = Timespec::try_from(left) else { break };
        match poll(&mut [PollFd::new(&from, PollFlags::IN)], Some(&left)) {
            Ok(0) => break,
            Err(Errno::INTR) => continue,
            Err(_) => break,
            Ok(_) => {}
        }
        match from.read(&mut buffer) {
            Ok(0) | Err(_) => break,
            Ok(count) => said.extend_from_slice(&buffer[..count]),
        }
    }
    said
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

    #[test]
    fn a_tool_that_says_nothing_in_time_says_nothing() {
        let dir = tempfile::tempdir().expect("a directory");
        let tool = |name: &str, script: &str| {
            let path = dir.path().join(name);
            std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).expect("it can be written");
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o700)).expect("it is ours");
            path
        };
        assert_eq!(version(&tool("says", "echo 'tool 1.2'; echo more"), VERSION_WAIT).as_deref(), Some("tool 1.2"));
        assert_eq!(version(&tool("silent", "exec sleep 60"), Duration::from_millis(50)), None);
        assert_eq!(version(&tool("fails", "exit 3"), VERSION_WAIT), None);
    }

    #[test]
    fn a_port_that_nobody_serves_does_not_answer() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("the loopback can be bound");
        let port = listener.local_addr().expect("it is bound").port();
        assert_eq!(port_answers("127.0.0.1", port).0, Verdict::Passed);
        drop(listener);
        assert_eq!(port_answers("127.0.0.1", port).0, Verdict::Failed);
    }
}
