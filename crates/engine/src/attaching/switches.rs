//! What of a client's own settings keeps hooks from being run: switches, and trust that nobody gave.
//!
//! Owns reading these. Refuses to change them: trust is the user's to give.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use wfr_clients::{Client, settings};
use wfr_model::finding::{Finding, Severity};

use super::{Form, Ground, Scope, Text, Wanted, claude, others, texts};
use crate::handlers::shown;

/// What is found of a client.
pub(super) fn check(client: Client, scope: Scope, ground: &Ground, wanted: &Wanted) -> Vec<Finding> {
    match client {
        Client::Claude => {
            claude::switched_off(ground).map(|place| off(client, &place, "`disableAllHooks`")).into_iter().collect()
        }
        Client::Codex => codex(scope, ground, wanted),
        Client::Gemini => gemini(ground).into_iter().chain(hidden(ground, wanted)).collect(),
        Client::Opencode | Client::Cursor => vec![],
    }
}

fn off(client: Client, place: &Path, what: &str) -> Finding {
    let message = format!("{} does not run our hooks: {} has {what}", client.as_str(), shown(place));
    let fix = "take it out of that file, then start the client again";
    Finding::new("HOOKS_DISABLED", Severity::Error, message, fix)
}

fn untrusted(client: Client, why: &str, fix: &str) -> Finding {
    let message = format!("{} does not run our hooks: {why}", client.as_str());
    Finding::new("HOOKS_UNTRUSTED", Severity::Warning, message, fix)
}

fn codex(scope: Scope, ground: &Ground, wanted: &Wanted) -> Vec<Finding> {
    let users = others::codex_home(ground).join("config.toml");
    let config = toml_of(&users);
    let own = wanted.texts.iter().map(|text| text.place.clone()).filter(|place| *place != users);
    let mut found: Vec<Finding> = [users.clone()]
        .into_iter()
        .chain(own)
        .filter(|place| {
            toml_of(place).get("features").and_then(|features| features.get("hooks")) == Some(&false.into())
        })
        .map(|place| off(Client::Codex, &place, "`features.hooks = false`"))
        .collect();
    let root = ground.root.as_deref().filter(|_| scope == Scope::Project);
    if let Some(root) = root.filter(|root| !is_trusted(&config, root)) {
        let why = format!("{} does not say that {} is trusted", shown(&users), shown(root));
        found.push(untrusted(
            Client::Codex,
            &why,
            "start `codex` in it and trust the directory, then the hooks in `/hooks`",
        ));
        return found;
    }
    let state = config.get("hooks").and_then(|hooks| hooks.get("state"));
    let states = wanted
        .settings
        .iter()
        .flat_map(|setting| others::codex_hooks(&setting.place))
        .map(|keys| keys.iter().find_map(|key| state?.get(key)));
    let states: Vec<Option<&toml::Value>> = states.collect();
    let has = |one: &Option<&toml::Value>, name: &str| one.and_then(|one| one.get(name)).cloned();
    if states.iter().any(|one| has(one, "enabled") == Some(false.into())) {
        found.push(off(Client::Codex, &users, "`enabled = false` for some of them"));
    }
    let bare = states.iter().filter(|one| has(one, "trusted_hash").is_none()).count();
    if bare > 0 {
        let why = format!("{bare} of {} are not trusted in {}", states.len(), shown(&users));
        found.push(untrusted(Client::Codex, &why, "start `codex` and trust the hooks in `/hooks`"));
    }
    found
}

fn toml_of(place: &Path) -> toml::Table {
    fs::read_to_string(place).ok().and_then(|text| text.parse().ok()).unwrap_or_default()
}

/// Whether Codex's user trusts a directory: it, or the repository that it is in, or the one whose worktree that is.
fn is_trusted(config: &toml::Table, root: &Path) -> bool {
    let top = root.ancestors().find(|dir| dir.join(".git").exists());
    let main = top.and_then(|top| {
        let file = fs::read_to_string(top.join(".git")).ok()?;
        let dir = PathBuf::from(file.strip_prefix("gitdir:")?.trim());
        dir.ancestors().find(|dir| dir.ends_with(".git"))?.parent().map(Path::to_owned)
    });
    let level = |dir: &Path| config.get("projects")?.get(dir.to_str()?)?.get("trust_level")?.as_str();
    let mut dirs = [Some(root), top, main.as_deref()].into_iter().flatten();
    dirs.any(|dir| level(dir) == Some("trusted"))
}

fn gemini(ground: &Ground) -> Vec<Finding> {
    let users = others::gemini_home(ground);
    let own = ground.root.iter().map(|root| root.join(".gemini/settings.json"));
    let mut found = Vec::new();
    for place in own.chain([users.join("settings.json")]) {
        let config = &json_of(&place)["hooksConfig"];
        if config["enabled"] == false {
            found.push(off(Client::Gemini, &place, "`hooksConfig.enabled: false`"));
        }
        let named = config["disabled"].as_array().into_iter().flatten().filter_map(Value::as_str);
        if named.clone().any(|name| name == others::HANDLER || name.ends_with("wfr' hook gemini")) {
            found.push(off(Client::Gemini, &place, "it in `hooksConfig.disabled`"));
        }
    }
    let folders = users.join("trustedFolders.json");
    let trust = json_of(&folders);
    let dirs = ground.root.iter().flat_map(|root| root.ancestors());
    // The nearest one that it knows counts.
    let mut known = dirs.filter_map(|dir| trust.get(dir.to_str()?)?.as_str());
    if known.next() == Some("DO_NOT_TRUST") {
        let why = format!("{} says that this directory is not trusted", shown(&folders));
        found.push(untrusted(Client::Gemini, &why, "start `gemini` in it and trust it: `/permissions`"));
    }
    found
}

/// A file of keys that came after ours, which the client reads in its place.
fn hidden(ground: &Ground, wanted: &Wanted) -> Option<Finding> {
    let ours = wanted.texts.iter().find(|text| text.form == Form::Env)?;
    // Where somebody has more in it, it is his that hides the other one.
    let found = fs::read_to_string(&ours.place).ok()?;
    let is_all_ours = texts::detach(ours, &found).ok()??.trim().is_empty();
    let hidden = others::hidden_env(ours.place.parent()?, ground).filter(|_| is_all_ours)?;
    // One of ours, as for the user, has no keys.
    let other = Text { place: hidden.clone(), ..ours.clone() };
    let left = texts::detach(&other, &fs::read_to_string(&hidden).unwrap_or_default());
    if matches!(left, Ok(Some(left)) if left.trim().is_empty()) {
        return None;
    }
    let message = format!(
        "gemini does not read {}: it reads one such file, and ours in {} comes first",
        shown(&hidden),
        shown(&ours.place)
    );
    let fix = format!(
        "write its lines into {}, too: they stay there, also when wfr is detached; or run `wfr detach gemini`, then `wfr attach gemini --user`",
        shown(&ours.place)
    );
    Some(Finding::new("KEYS_HIDDEN", Severity::Warning, message, fix))
}

fn json_of(place: &Path) -> Value {
    let text = fs::read_to_string(place).unwrap_or_default();
    serde_json::from_str(&settings::without_comments(&text)).unwrap_or_default()
}
