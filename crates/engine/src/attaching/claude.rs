//! Claude Code: hooks in its settings, and a launcher for its shell.
//!
//! Owns which events are heard and what the launcher does. Refuses to write.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use wfr_clients::Client;
use wfr_clients::settings::{Entry, Kind};

use super::{Ground, Launcher, Scope, Setting, Wanted, program};
use crate::error::{Code, Failure};
use crate::hooks::{LAUNCHER, is_launcher};

/// The events that are heard.
const EVENTS: [&str; 11] = [
    "PreToolUse",
    "PostToolUse",
    "PostToolUseFailure",
    "SessionStart",
    "SessionEnd",
    "Stop",
    "StopFailure",
    "SubagentStart",
    "SubagentStop",
    "TaskCreated",
    "TaskCompleted",
];

pub(super) fn wanted(scope: Scope, ground: &Ground) -> Result<Wanted, Failure> {
    let launcher = ground.launchers(Client::Claude).join(LAUNCHER);
    let entries = entries(program::text(&ground.program)?, program::text(&launcher)?);
    let place = match (scope, &ground.root) {
        // They name this machine's paths, so they are for no repository.
        (Scope::Project, Some(root)) => root.join(".claude/settings.local.json"),
        (Scope::Project, None) => return Err(Failure::new(Code::WorkspaceNotFound, "there is no workspace here")),
        (Scope::User, _) => home(ground).join("settings.json"),
    };
    let text = launcher_text(&ground.program);
    Ok(Wanted { launchers: vec![Launcher { place: launcher, text }], settings: vec![Setting { place, entries }] })
}

/// The client's own directory.
pub(super) fn home(ground: &Ground) -> PathBuf {
    let named = (ground.variable)("CLAUDE_CONFIG_DIR").map(PathBuf::from).filter(|dir| dir.is_absolute());
    named.unwrap_or_else(|| ground.home.join(".claude"))
}

fn entries(program: &str, launcher: &str) -> Vec<Entry> {
    let prefix = Entry {
        path: vec!["env", "CLAUDE_CODE_SHELL_PREFIX"],
        // It is one program; behind the last ` -` stands what it is given before the script.
        value: Value::from(format!("{launcher} -c")),
        kind: Kind::Value,
        is_ours: |value| value.as_str().is_some_and(|text| is_launcher(OsStr::new(text))),
    };
    // With `args` the client starts it itself, without a shell, and so not through the launcher.
    let handler = json!({"type": "command", "command": program, "args": ["hook", Client::Claude.as_str()]});
    let hook = |event| Entry {
        path: vec!["hooks", event],
        value: json!({"hooks": [handler]}),
        kind: Kind::Element,
        is_ours: is_hook,
    };
    std::iter::once(prefix).chain(EVENTS.into_iter().map(hook)).collect()
}

/// Whether a handler is ours, wherever the program was.
fn is_hook(handler: &Value) -> bool {
    let is_program = |command: &str| Path::new(command).file_name() == Some(OsStr::new("wfr"));
    handler.get("args") == Some(&json!(["hook", Client::Claude.as_str()]))
        && handler.get("command").and_then(Value::as_str).is_some_and(is_program)
}

/// The launcher: the shell that would have run the script runs it where this program is gone, or cannot be started.
///
/// It is of `bash`, which hands on variables that are no names, as those are that functions are exported in; and it has none of its
/// own, since one of the same name could be exported.
fn launcher_text(program: &Path) -> String {
    let program = program::quoted(program);
    format!(
        r#"#!/bin/bash
# Runs the shell scripts of Claude Code: those of its tool calls are traced by wfr. `wfr attach claude` wrote it, and writes it
# again. Sessions that run now use it until they end, so it stays when wfr is detached or removed: it then runs scripts as they are.
shopt -s execfail
[ -x {program} ] && exec {program} --client-shell claude "$2"
case "$CLAUDE_CODE_SHELL" in /*/bash | /*/zsh) [ -x "$CLAUDE_CODE_SHELL" ] && exec "$CLAUDE_CODE_SHELL" -c "$2" ;; esac
case "$SHELL" in /*/bash | /*/zsh) [ -x "$SHELL" ] && exec "$SHELL" -c "$2" ;; esac
exec /bin/bash -c "$2"
"#
    )
}
