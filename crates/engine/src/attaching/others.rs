//! Codex, Gemini CLI, opencode and Cursor: which events are heard, and what has their commands run by us.
//!
//! Owns the places of their configuration and what stands there. Refuses to write.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use wfr_clients::settings::{Entry, Kind};
use wfr_clients::{Client, opencode as plugin, shell};

use super::{Form, Ground, Launcher, Scope, Setting, Text, Wanted, program};
use crate::error::{Code, Failure};

/// Codex's own directory.
pub(super) fn codex_home(ground: &Ground) -> PathBuf {
    ground.named("CODEX_HOME").unwrap_or_else(|| ground.home.join(".codex"))
}

/// Gemini CLI's own directory.
pub(super) fn gemini_home(ground: &Ground) -> PathBuf {
    ground.named("GEMINI_CLI_HOME").unwrap_or_else(|| ground.home.clone()).join(".gemini")
}

/// By what names Codex may know our hooks of a file: where it is, the event, the group and the handler in it.
pub(super) fn codex_hooks(place: &Path) -> Vec<Vec<String>> {
    let file: Value = serde_json::from_slice(&std::fs::read(place).unwrap_or_default()).unwrap_or_default();
    let places: Vec<PathBuf> = [Some(place.to_owned()), place.canonicalize().ok()].into_iter().flatten().collect();
    let mut keys = Vec::new();
    for (event, groups) in file["hooks"].as_object().into_iter().flatten() {
        let event = snake(event);
        for (group, handlers) in groups.as_array().into_iter().flatten().enumerate() {
            let handlers = handlers["hooks"].as_array().into_iter().flatten().enumerate();
            for (at, _) in handlers.filter(|(_, handler)| is_hook(handler, Client::Codex)) {
                keys.push(places.iter().map(|place| format!("{}:{event}:{group}:{at}", place.display())).collect());
            }
        }
    }
    keys
}

/// `PreToolUse` as `pre_tool_use`.
fn snake(name: &str) -> String {
    let letter = |letter: char| match letter {
        letter if letter.is_ascii_uppercase() => format!("_{}", letter.to_ascii_lowercase()),
        letter => letter.to_string(),
    };
    name.chars().map(letter).collect::<String>().trim_start_matches('_').to_owned()
}

/// What our handler is called where handlers have names.
pub(super) const HANDLER: &str = "wfr";

/// The file that `bash` reads before it runs a command of a client.
fn bash_env(client: Client, ground: &Ground) -> Option<Launcher> {
    let text = shell::bash_env(client, &program::quoted(&ground.program))?;
    let name = format!("{}-{}", shell::BASH_ENV, client.as_str());
    Some(Launcher { place: ground.launchers(client).join(name), text })
}

/// The command line of a hook, for a shell. Gemini CLI takes a program that is not there for a refusal, of every call; of Cursor
/// nobody knows.
fn hook(client: Client, ground: &Ground) -> String {
    let (program, name) = (program::quoted(&ground.program), client.as_str());
    match client {
        // The client itself has to be the parent: it is by that that its commands are known.
        Client::Gemini | Client::Cursor => format!("[ ! -x {program} ] || exec {program} hook {name}"),
        Client::Claude | Client::Codex | Client::Opencode => format!("{program} hook {name}"),
    }
}

/// Whether a handler runs our program for a client, wherever that was.
fn is_hook(handler: &Value, client: Client) -> bool {
    let command = handler.get("command").and_then(Value::as_str).unwrap_or_default();
    command.strip_suffix(&format!("wfr' hook {}", client.as_str())).is_some_and(|before| before.ends_with('/'))
}

fn entries(paths: &[[&'static str; 2]], value: &Value, is_ours: fn(&Value) -> bool) -> Vec<Entry> {
    let entry =
        |path: &[&'static str; 2]| Entry { path: path.to_vec(), value: value.clone(), kind: Kind::Element, is_ours };
    paths.iter().map(entry).collect()
}

pub(super) fn codex(scope: Scope, ground: &Ground) -> Result<Wanted, Failure> {
    const EVENTS: [[&str; 2]; 7] = [
        ["hooks", "PreToolUse"],
        ["hooks", "PostToolUse"],
        ["hooks", "SessionStart"],
        ["hooks", "SessionEnd"],
        ["hooks", "SubagentStart"],
        ["hooks", "SubagentStop"],
        ["hooks", "Stop"],
    ];
    let dir = ground.dir(scope, ".codex", codex_home(ground))?;
    let group = json!({"hooks": [{"type": "command", "command": hook(Client::Codex, ground)}]});
    let read: Vec<Launcher> = bash_env(Client::Codex, ground).into_iter().collect();
    let texts = read.iter().map(|file| text(&dir, "config.toml", Form::Toml, file)).collect::<Result<_, _>>()?;
    let entries = entries(&EVENTS, &group, |handler| is_hook(handler, Client::Codex));
    let settings = vec![Setting { place: dir.join("hooks.json"), entries, has_comments: false }];
    Ok(Wanted { launchers: vec![], read, settings, texts })
}

/// The file that `bash` reads, as configuration names it: it expands what it is told to read.
fn named(file: &Launcher) -> Result<&str, Failure> {
    let named = program::text(&file.place)?;
    if named.contains(['$', '`', '\\', '\'', '"']) {
        let message = format!("{named} cannot be named to `bash`, which would take a part of it for something else");
        let hint = "use a data directory (`XDG_DATA_HOME`) without `$`, quotes and backslashes in its path";
        return Err(Failure::new(Code::UnsuitablePlace, message).with_hint(hint));
    }
    Ok(named)
}

/// A line that names the file which `bash` reads.
fn text(dir: &Path, name: &str, form: Form, file: &Launcher) -> Result<Text, Failure> {
    let named = named(file)?;
    let text = match form {
        Form::Toml => format!("BASH_ENV = {}", Value::from(named)),
        Form::Env | Form::Whole => format!("BASH_ENV='{named}'"),
    };
    Ok(Text { place: dir.join(name), form, text })
}

pub(super) fn gemini(scope: Scope, ground: &Ground) -> Result<Wanted, Failure> {
    const EVENTS: [[&str; 2]; 5] = [
        ["hooks", "BeforeTool"],
        ["hooks", "AfterTool"],
        ["hooks", "SessionStart"],
        ["hooks", "SessionEnd"],
        ["hooks", "AfterAgent"],
    ];
    let dir = ground.dir(scope, ".gemini", gemini_home(ground))?;
    let handler = json!({"name": HANDLER, "type": "command", "command": hook(Client::Gemini, ground)});
    let group = json!({"matcher": "*", "hooks": [handler]});
    let read: Vec<Launcher> = bash_env(Client::Gemini, ground).into_iter().collect();
    let texts = read.iter().map(|file| text(&dir, ".env", Form::Env, file)).collect::<Result<_, _>>()?;
    let entries = entries(&EVENTS, &group, |handler| is_hook(handler, Client::Gemini));
    let settings = vec![Setting { place: dir.join("settings.json"), entries, has_comments: true }];
    Ok(Wanted { launchers: vec![], read, settings, texts })
}

/// Refuses a new file .env that would hide another one from Gemini CLI.
pub(super) fn refuse_hiding(wanted: &Wanted, ground: &Ground) -> Result<(), Failure> {
    for text in wanted.texts.iter().filter(|text| text.form == Form::Env && !text.place.exists()) {
        let dir = text.place.parent().unwrap_or(Path::new("/"));
        if let Some(hidden) = hidden_env(dir, ground) {
            let message = format!("a file .env in {} would hide {} from Gemini CLI", dir.display(), hidden.display());
            let how = match hidden == gemini_home(ground).join(".env") {
                true => "call `wfr attach gemini --user`".to_owned(),
                false => format!("move {} to {}, then call it again", hidden.display(), dir.display()),
            };
            let hint = format!("{how}; nothing was changed");
            return Err(Failure::new(Code::Conflicts, message).with_hint(hint));
        }
    }
    Ok(())
}

/// The file that Gemini CLI does not read where another one is in a directory of its configuration, and would else: it reads the
/// first that it finds from where it is started upwards, and then at home, and no other.
pub(super) fn hidden_env(dir: &Path, ground: &Ground) -> Option<PathBuf> {
    let new = dir.join(".env");
    let around = dir.parent().into_iter().flat_map(Path::ancestors).chain([ground.home.as_path()]);
    let mut places = around.flat_map(|around| [around.join(".gemini/.env"), around.join(".env")]);
    places.find(|place| *place != new && place.exists())
}

pub(super) fn opencode(scope: Scope, ground: &Ground) -> Result<Wanted, Failure> {
    let config = ground.named("XDG_CONFIG_HOME").unwrap_or_else(|| ground.home.join(".config"));
    let place = ground.dir(scope, ".opencode", config.join("opencode"))?.join("plugins/wfr.js");
    let read: Vec<Launcher> = bash_env(Client::Opencode, ground).into_iter().collect();
    let mut texts = Vec::new();
    for file in &read {
        let text = plugin::plugin(program::text(&ground.program)?, named(file)?);
        texts.push(Text { place: place.clone(), form: Form::Whole, text });
    }
    Ok(Wanted { launchers: vec![], read, settings: vec![], texts })
}

pub(super) fn cursor(scope: Scope, ground: &Ground) -> Result<Wanted, Failure> {
    const EVENTS: [[&str; 2]; 8] = [
        ["hooks", "preToolUse"],
        ["hooks", "postToolUse"],
        ["hooks", "postToolUseFailure"],
        ["hooks", "sessionStart"],
        ["hooks", "sessionEnd"],
        ["hooks", "subagentStart"],
        ["hooks", "subagentStop"],
        ["hooks", "stop"],
    ];
    let place = ground.dir(scope, ".cursor", ground.home.join(".cursor"))?.join("hooks.json");
    let version = Entry { path: vec!["version"], value: Value::from(1), kind: Kind::Frame, is_ours: |_| false };
    let handler = json!({"command": hook(Client::Cursor, ground)});
    let hooks = entries(&EVENTS, &handler, |handler| is_hook(handler, Client::Cursor));
    let entries = std::iter::once(version).chain(hooks).collect();
    Ok(Wanted {
        launchers: vec![],
        read: vec![],
        settings: vec![Setting { place, entries, has_comments: false }],
        texts: vec![],
    })
}
