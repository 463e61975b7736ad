//! `init` and `config`.
//!
//! Owns their glue. Refuses to know how a vault comes about: that is [`crate::init`].

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};
use wfr_model::config::{Config as Settings, NOT_YET_IN_EFFECT};
use wfr_model::coordination::Target;

use super::shown;
use crate::error::{Code, Failure};
use crate::open::Open;
use crate::operation::keys;
use crate::operation::plain::plain;
use crate::params::{Config, Init};
use crate::response::Success;
use crate::results::{ConfigKey, ConfigView, Initialised};
use crate::session::Session;
use crate::workspace::Place;
use crate::{exports, init as making, medium, view, workspace};

/// Puts a directory under protection.
pub fn init(session: &mut Session, parameters: Init) -> Result<Success<Initialised>, Failure> {
    let named = parameters.directory.map(|directory| directory.0);
    let dir: PathBuf =
        named.or_else(|| session.directories.workspace.clone()).unwrap_or_else(|| session.directories.current.clone());
    let has_recipients = !parameters.recipients.is_empty();
    if has_recipients && parameters.encrypt == Some(false) {
        let message = "`recipients` say who can read an encrypted store, and `encrypt` is false";
        return Err(Failure::new(Code::WrongArguments, message).with_hint("leave one of them out"));
    }
    let encryption = making::Encryption {
        wanted: if has_recipients { Some(true) } else { parameters.encrypt },
        recipients: &parameters.recipients,
        keyring: &session.keyring,
    };
    let had_view = view::exists(&workspace::absolute(&session.directories.current, &dir));
    let call = making::Call { now: session.now(), new_store: parameters.new_store, abort: &session.abort };
    let made = making::init(&session.directories, &dir, &encryption, &call)?;
    if !made.existed && parameters.new_store {
        // What they tell of is in the store of before: nobody must miss it in this one.
        let exported = view::exported_files(&made.place.root);
        exported.iter().for_each(|(file, _)| drop(view::put_aside(&made.place.root, file)));
    }
    if made.existed && !had_view {
        // Derived: what cannot be written now, the next checkpoint writes or `doctor` names.
        let opened = Open::at(made.place.clone(), &session.keyring);
        let _ = opened.ok().and_then(|open| exports::restore_manifests(&open));
    }
    let unlocked_key = if parameters.keep_unlocked {
        let vault = wfr_store::Vault::open(&made.place.vault)?;
        Some(shown(&session.keyring.keep_unlocked(&vault)?))
    } else {
        None
    };
    let result = Initialised {
        workspace: shown(&made.place.root),
        store: shown(&made.place.vault),
        view: shown(&view::dir(&made.place.root)),
        existed: made.existed,
        encrypted: made.encrypted,
        unlocked_key,
        store_inside_workspace: made.vault_inside,
    };
    let mut success = Success::new(result);
    let around = workspace::around(&made.place.root, session.directories.data.as_deref());
    if let Some(outer) = around.filter(|_| !made.existed) {
        success = success.with_next_step(within(&made.place, &outer, session.directories.data.as_deref()));
    }
    if made.vault_inside {
        success = success.with_next_step("the store lies inside the workspace and goes with it: use `--store DIR`");
    }
    if let Some(warning) = medium::warning(&made.place.vault) {
        success = success.with_next_step(format!("{warning}; {}", medium::FIX));
    }
    if made.encrypted && !made.existed {
        let key = made.place.vault.join("keys");
        success = success.with_next_step(format!(
            "copy {} to another disk, and keep the passphrase or identity elsewhere: without either nothing can be read again",
            shown(&key)
        ));
    }
    Ok(success.with_next_step("take a checkpoint: `wfr create-checkpoint WORKFLOW`"))
}

/// What follows from a workspace that lies within another one, and the way back.
fn within(place: &Place, outer: &Path, data: Option<&Path>) -> String {
    let signpost = data.map(|data| workspace::signpost_path(data, &place.root));
    let made = [Some(view::dir(&place.root)), Some(place.vault.clone()), signpost];
    let made: Vec<String> = made.iter().flatten().map(|path| shown(path)).collect();
    format!(
        "{} lies within the workspace {outer}, and both keep its files: commands in it act on the new one from now on, and a \
         restore of the outer one changes files in it, too; where that is not meant, remove {}",
        shown(&place.root),
        made.join(", "),
        outer = shown(outer),
    )
}

/// Shows the configuration, or changes it.
pub fn config(session: &mut Session, parameters: Config) -> Result<Success<ConfigView>, Failure> {
    let place = workspace::locate(&session.directories)?;
    let settings = view::load_config_or_kept(&place.root, &place.vault)?;
    let mut whole = serde_json::to_value(&settings).unwrap_or_default();
    let defaults = serde_json::to_value(Settings::default()).unwrap_or_default();
    let changed = change(&mut whole, &defaults, &parameters)?;
    if !changed.is_empty() {
        let new: Settings = serde_json::from_value(whole.clone())
            .map_err(|error| wrong_value(parameters.key.as_deref(), &error.to_string()))?;
        refuse_own_files(&place, &new)?;
        if let Ok(vault) = wfr_store::Vault::open(&place.vault) {
            session.keyring.refuse_foreign(&vault)?;
        }
        view::save_config(&place.root, &new)?;
        // Sinks that begin now begin here. Where the workspace cannot be opened, the next command that can begins them.
        drop(session.open());
    }
    let (mut values, mut standard) = (Vec::new(), Vec::new());
    flatten("", &whole, &mut values);
    flatten("", &defaults, &mut standard);
    let default_of = |key: &str| standard.iter().find(|(name, _)| name == key).map(|(_, value)| value.clone());
    let keys = values
        .into_iter()
        .filter(|(key, _)| parameters.key.as_ref().is_none_or(|wanted| key.starts_with(wanted.as_str())));
    let keys = keys.map(|(key, value)| ConfigKey {
        default: default_of(&key).unwrap_or(Value::Null),
        in_effect: !NOT_YET_IN_EFFECT.contains(&key.as_str()),
        key,
        value,
    });
    let keys: Vec<ConfigKey> = keys.collect();
    if let (Some(key), true) = (&parameters.key, keys.is_empty()) {
        return Err(unknown_key(key, &standard));
    }
    let file = shown(&view::dir(&place.root).join("config.toml"));
    Ok(Success::new(ConfigView { file, keys, changed }))
}

/// Refuses a sink that would write into a file that is wfr's own, by an absolute path.
fn refuse_own_files(place: &Place, settings: &Settings) -> Result<(), Failure> {
    let own = [place.vault.clone(), view::dir(&place.root).join("config.toml")];
    for sink in &settings.coordination.sinks {
        let Target::File(path) = &sink.target else { continue };
        let file = view::dir(&place.root).join(path);
        if own.iter().any(|own| file.starts_with(own)) {
            let message = format!("sink `{}`: {} is wfr's own", sink.name, file.display());
            return Err(Failure::new(Code::InvalidParameter, message).with_hint("name another file"));
        }
    }
    Ok(())
}

/// Applies what the parameters set; returns the keys that are now other than before.
fn change(whole: &mut Value, defaults: &Value, parameters: &Config) -> Result<Vec<String>, Failure> {
    let mut before = Vec::new();
    flatten("", whole, &mut before);
    if parameters.unset && parameters.key.is_none() {
        return Err(Failure::new(Code::WrongArguments, "`unset` needs a key")
            .with_hint("`wfr config` lists the keys; `wfr config KEY --unset` sets one back"));
    }
    if let Some(key) = &parameters.key
        && (parameters.value.is_some() || parameters.unset)
    {
        let pointer = format!("/{}", key.replace('.', "/"));
        let unknown = || {
            let mut known = Vec::new();
            flatten("", defaults, &mut known);
            unknown_key(key, &known)
        };
        let default = defaults.pointer(&pointer).ok_or_else(unknown)?;
        let new = parameters.value.as_ref().map_or_else(|| default.clone(), |text| typed(default, text));
        *whole.pointer_mut(&pointer).ok_or_else(unknown)? = new;
    }
    for (block, given) in [
        ("recovery_configuration", &parameters.recovery_configuration),
        ("capture", &parameters.capture),
        ("coordination", &parameters.coordination),
    ] {
        if let (Some(given), Some(target)) = (given, whole.get_mut(block)) {
            merge(target, given);
        }
    }
    let mut after = Vec::new();
    flatten("", whole, &mut after);
    Ok(after.into_iter().filter(|pair| !before.contains(pair)).map(|(key, _)| key).collect())
}

/// A value that a key cannot have.
fn wrong_value(key: Option<&str>, error: &str) -> Failure {
    let (why, key) = (plain(error), key.unwrap_or("KEY"));
    let message = if key == "KEY" { why } else { format!("`{key}`: {why}") };
    Failure::new(Code::InvalidParameter, message)
        .with_hint(format!("`wfr config {key}` shows the value that it has and its default; nothing was changed"))
}

fn unknown_key(key: &str, known: &[(String, Value)]) -> Failure {
    let failure = Failure::new(Code::UnknownParameter, format!("no configuration key `{key}`"));
    let names = || known.iter().map(|(name, _)| name.as_str());
    let last = |name: &str| name.rsplit('.').next().unwrap_or_default().to_owned();
    let lasts: Vec<String> = names().map(last).collect();
    let near = keys::nearest(&last(key), lasts.iter().map(String::as_str));
    let is_in = |name: &str| name.rsplit('.').skip(1).any(|part| part == last(key));
    let is_near = |name: &&str| near.contains(&last(name).as_str()) || is_in(name);
    let near: Vec<&str> = names().filter(is_near).take(NEAR_MAX).collect();
    failure.with_hint(if near.is_empty() {
        "`wfr config` lists the keys".to_owned()
    } else {
        format!("did you mean `{}`? `wfr config` lists all keys", near.join("`, `"))
    })
}

/// Keys suggested for an unknown one.
const NEAR_MAX: usize = 3;

/// A text as a value of the kind that a key has.
fn typed(default: &Value, text: &str) -> Value {
    match default {
        Value::String(_) => Value::String(text.to_owned()),
        Value::Array(_) if text.starts_with('[') => {
            serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned()))
        }
        Value::Array(_) => Value::Array(text.split(',').map(|part| Value::String(part.trim().to_owned())).collect()),
        _ => serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned())),
    }
}

fn merge(target: &mut Value, given: &Map<String, Value>) {
    for (key, value) in given {
        match (target.get_mut(key), value) {
            (Some(below @ Value::Object(_)), Value::Object(inner)) => merge(below, inner),
            // An unknown key is set too, and refused when the whole is read back.
            _ => target[key] = value.clone(),
        }
    }
}

fn flatten(prefix: &str, value: &Value, keys: &mut Vec<(String, Value)>) {
    let Value::Object(map) = value else {
        keys.push((prefix.to_owned(), value.clone()));
        return;
    };
    for (name, value) in map {
        let key = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
        flatten(&key, value, keys);
    }
}
