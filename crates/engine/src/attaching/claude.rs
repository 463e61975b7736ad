//! Claude Code: hooks in its settings, and a launcher for its shell.
//!
//! Owns which events are heard and what the launcher does. Refuses to write.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use wfr_clients::Client;
use wfr_clients::settings::{Entry, Kind};

use super::activity::within;
use super::{Ground, Launcher, Scope, Setting, Wanted, program};
use crate::error::{Code, Failure};
use crate::handlers::shown;
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
    if program::text(&launcher)?.contains(OPTIONS) {
        let message = format!(
            "{} cannot be a launcher: Claude Code takes what is behind `{OPTIONS}` for options",
            shown(&launcher)
        );
        let hint =
            "set `XDG_DATA_HOME` to a directory without that in its path; `wfr init` moves nothing, so set it for good";
        return Err(Failure::new(Code::InvalidParameter, message).with_hint(hint));
    }
    let entries = entries(program::text(&ground.program)?, program::text(&launcher)?);
    let place = ground.dir(scope, ".claude", home(ground))?.join(match scope {
        // They name this machine's paths, so they are for no repository.
        Scope::Project => "settings.local.json",
        Scope::User => "settings.json",
    });
    let text = launcher_text(&ground.program);
    Ok(Wanted {
        launchers: vec![Launcher { place: launcher, text }],
        settings: vec![Setting { place, entries, has_comments: false }],
        read: vec![],
        texts: vec![],
    })
}

/// The client's own directory.
pub(super) fn home(ground: &Ground) -> PathBuf {
    ground.named("CLAUDE_CONFIG_DIR").unwrap_or_else(|| ground.home.join(".claude"))
}

fn entries(program: &str, launcher: &str) -> Vec<Entry> {
    let prefix = Entry {
        path: vec!["env", PREFIX],
        // One program, without words for it: servers of MCP are started by the whole of this as a program, with one word.
        value: Value::from(launcher),
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
[ "$#" = 2 ] && [ "$1" = -c ] && shift
[ -x {program} ] && exec {program} --client-shell claude "$1"
case "$CLAUDE_CODE_SHELL" in /*/bash | /*/zsh) [ -x "$CLAUDE_CODE_SHELL" ] && exec "$CLAUDE_CODE_SHELL" -c "$1" ;; esac
case "$SHELL" in /*/bash | /*/zsh) [ -x "$SHELL" ] && exec "$SHELL" -c "$1" ;; esac
exec /bin/bash -c "$1"
"#
    )
}

/// Behind the last one of these in a prefix stands what its program is given before the script.
const OPTIONS: &str = " -";

/// Its files of sessions that may be of a workspace, each with the directory where that is known.
///
/// What its directories are called is not exact: `/a/b-c` is called as `/a/b/c` is, so that of another name is looked for in the file.
pub(super) fn sessions(ground: &Ground, root: &Path) -> Vec<(PathBuf, Option<PathBuf>)> {
    let Some(name) = root.to_str().map(directory_name) else { return vec![] };
    let mut files = Vec::new();
    for dir in within(&home(ground).join("projects")) {
        let called = dir.file_name().unwrap_or_default().to_string_lossy().into_owned();
        // Behind what is cut off stands a sum of it, which is not worth computing: a directory more is none less.
        let is_cut = name.len() > NAME_MAX && called.starts_with(&name[..NAME_MAX]);
        let at = (called == name || is_cut).then(|| root.to_owned());
        if at.is_some() || called.strip_prefix(&name).is_some_and(|rest| rest.starts_with('-')) {
            let logs = within(&dir).filter(|file| file.extension() == Some(OsStr::new("jsonl")));
            files.extend(logs.map(|file| (file, at.clone())));
        }
    }
    files
}

/// Letters of such a name; longer ones are cut.
const NAME_MAX: usize = 200;

/// The name of its directory for the sessions of a directory: all that is no letter or digit of ASCII is a dash, counted as
/// JavaScript counts.
fn directory_name(root: &str) -> String {
    let dashes = |letter: char| match letter {
        letter if letter.is_ascii_alphanumeric() => letter.to_string(),
        letter => "-".repeat(letter.len_utf16()),
    };
    root.chars().map(dashes).collect()
}

/// The variable that names what shell commands are run by.
const PREFIX: &str = "CLAUDE_CODE_SHELL_PREFIX";

/// A shell prefix of somebody else's that stands elsewhere than where ours is written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct OtherPrefix {
    /// Where it stands, and what it is.
    pub said: String,
    /// Whether it is used in place of ours; else ours is.
    pub wins: bool,
}

/// All of these, the weakest first: the environment, then the user's settings, the project's, and those that are for nobody else.
pub(crate) fn other_prefixes(scope: Scope, ground: &Ground) -> Vec<OtherPrefix> {
    let own = [".claude/settings.json", ".claude/settings.local.json"];
    let own = own.into_iter().filter_map(|name| Some(ground.root.as_ref()?.join(name)));
    let files: Vec<PathBuf> = [home(ground).join("settings.json")].into_iter().chain(own).collect();
    let ours = if scope == Scope::User { 0 } else { files.len() - 1 };
    let is_other = |value: &String| !value.is_empty() && !is_launcher(OsStr::new(value));
    let outside = (ground.variable)(PREFIX).and_then(|value| value.into_string().ok()).filter(is_other);
    let outside = outside.map(|value| OtherPrefix {
        said: format!("the environment: `{PREFIX}` is set already, to {value:?}"),
        wins: false,
    });
    let in_file = |(at, place): (usize, &PathBuf)| {
        let settings: Value = serde_json::from_slice(&fs::read(place).ok()?).ok()?;
        let value = settings["env"][PREFIX].as_str().map(str::to_owned).filter(is_other)?;
        let said = format!("{}: `env.{PREFIX}` is set already, to {value:?}", shown(place));
        (at != ours).then_some(OtherPrefix { said, wins: at > ours })
    };
    outside.into_iter().chain(files.iter().enumerate().filter_map(in_file)).collect()
}

/// Refuses where somebody else's prefix stands elsewhere: ours would be run in its place without a word, or it in place of ours.
pub(super) fn refuse_other_prefix(scope: Scope, ground: &Ground) -> Result<(), Failure> {
    match other_prefixes(scope, ground).pop() {
        None => Ok(()),
        Some(other) => {
            let hint = match other.wins {
                true => "take it out; or call it again with `--replace`: it is run in place of ours here all the same",
                false => {
                    "take it out; or call it again with `--replace`: it stays where it is, and ours is run in its place until `wfr detach`"
                }
            };
            Err(Failure::new(Code::Conflicts, format!("{}; nothing was changed", other.said)).with_hint(hint))
        }
    }
}

/// The file that switches all hooks off.
pub(super) fn switched_off(ground: &Ground) -> Option<PathBuf> {
    let own = ground
        .root
        .iter()
        .flat_map(|root| [".claude/settings.local.json", ".claude/settings.json"].map(|name| root.join(name)));
    let mut files = own.chain([home(ground).join("settings.json")]);
    files.find(|file| {
        let settings: Value = serde_json::from_slice(&fs::read(file).unwrap_or_default()).unwrap_or_default();
        settings["disableAllHooks"] == true
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_are_found_by_the_names_that_the_client_gives_them() {
        assert_eq!(directory_name("/tmp/at o'x/ws_1.b"), "-tmp-at-o-x-ws-1-b");
        assert_eq!(directory_name("/ä/😀"), "-----");
    }

    #[test]
    fn our_hooks_are_known_wherever_the_program_was() {
        assert!(is_hook(&json!({"type": "command", "command": "/old/wfr", "args": ["hook", "claude"], "timeout": 5})));
        for other in [
            json!({"type": "command", "command": "/old/wfr hook claude"}),
            json!({"type": "command", "command": "/bin/mywfr", "args": ["hook", "claude"]}),
            json!({"type": "command", "command": "/old/wfr", "args": ["hook", "codex"]}),
            json!("wfr"),
        ] {
            assert!(!is_hook(&other), "{other}");
        }
    }
}
