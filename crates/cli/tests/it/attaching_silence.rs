//! `wfr doctor` on clients whose hooks are not run though they are configured: by their settings, by what they did, and by what came to us.
//!
//! Owns what the clients' own files look like. Refuses to run the clients: see the tests of clients.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use serde_json::json;

use crate::attaching::json_of;
use crate::attaching_checks::codes;
use crate::world::World;

/// Writes a file in the home directory.
fn at_home(world: &World, name: &str, text: &str) -> PathBuf {
    let place = world.data.path().join(name);
    fs::create_dir_all(place.parent().unwrap()).unwrap();
    fs::write(&place, text).unwrap();
    place
}

/// A file of a session that was written well after the client was attached.
fn later(place: &Path) {
    let file = fs::OpenOptions::new().append(true).open(place).unwrap();
    file.set_modified(SystemTime::now() + Duration::from_secs(90)).unwrap();
}

fn finding(world: &World, code: &str) -> String {
    let diagnosis = world.call(&["doctor"]);
    let found = diagnosis.result("findings").as_array().unwrap().iter().find(|one| one["code"] == code);
    found.unwrap_or_else(|| panic!("{code}: {diagnosis:?}")).to_string()
}

#[test]
fn codex_that_does_not_trust_us_is_named() {
    let world = World::new();
    world.ok(&["attach", "codex"]);
    assert_eq!(world.found(), codes(&["HOOKS_UNTRUSTED", "HOOKS_NOT_HEARD"], true));
    let project = format!("[projects.{:?}]\ntrust_level = \"trusted\"\n", world.root().to_str().unwrap());
    at_home(&world, ".codex/config.toml", &project);
    assert!(finding(&world, "HOOKS_UNTRUSTED").contains("7 of 7 are not trusted"));

    let file = world.root().join(".codex/hooks.json");
    let state = |event: &str, more: &str| {
        format!("[hooks.state.\"{}:{event}:0:0\"]\ntrusted_hash = \"sha256:0\"\n{more}", file.display())
    };
    let events =
        ["pre_tool_use", "post_tool_use", "session_start", "session_end", "subagent_start", "subagent_stop", "stop"];
    let trusted: String = events.iter().map(|event| state(event, "")).collect();
    at_home(&world, ".codex/config.toml", &format!("{project}{trusted}"));
    assert_eq!(world.found(), codes(&["HOOKS_NOT_HEARD"], true));
    let off = trusted.replacen("sha256:0\"\n", "sha256:0\"\nenabled = false\n", 1);
    at_home(&world, ".codex/config.toml", &format!("{project}{off}"));
    assert_eq!(world.found(), codes(&["HOOKS_DISABLED", "HOOKS_NOT_HEARD"], false));
    at_home(&world, ".codex/config.toml", &format!("{project}{trusted}[features]\nhooks = false\n"));
    assert_eq!(world.found(), codes(&["HOOKS_DISABLED", "HOOKS_NOT_HEARD"], false));
}

#[test]
fn gemini_that_runs_no_hooks_is_named() {
    let world = World::new();
    world.ok(&["attach", "gemini"]);
    assert_eq!(world.found(), codes(&["HOOKS_NOT_HEARD"], true));
    for config in [json!({"enabled": false}), json!({"disabled": ["wfr"]})] {
        let text = format!("{{ // mine\n\"hooksConfig\": {config}}}");
        let place = at_home(&world, ".gemini/settings.json", &text);
        assert_eq!(world.found(), codes(&["HOOKS_DISABLED", "HOOKS_NOT_HEARD"], false));
        fs::remove_file(place).unwrap();
    }
    let folders = json!({world.root().to_str().unwrap(): "DO_NOT_TRUST"});
    at_home(&world, ".gemini/trustedFolders.json", &folders.to_string());
    assert_eq!(world.found(), codes(&["HOOKS_UNTRUSTED", "HOOKS_NOT_HEARD"], true));
}

#[test]
fn sessions_that_no_hook_told_of_are_seen_in_the_clients_own_files() {
    let world = World::new();
    world.ok(&["attach", "codex"]);
    let cwd = |dir: &Path| json!({"type": "session_meta", "payload": {"cwd": dir}}).to_string();
    let rollout = at_home(&world, ".codex/sessions/2026/01/02/rollout-1.jsonl", &cwd(Path::new("/elsewhere")));
    later(&rollout);
    assert!(!world.found().0.contains(&"HOOKS_SILENT".to_owned()), "it was somewhere else");
    fs::write(&rollout, cwd(world.root())).unwrap();
    assert!(!world.found().0.contains(&"HOOKS_SILENT".to_owned()), "it was when it was attached");
    later(&rollout);
    assert!(finding(&world, "HOOKS_SILENT").contains("trust the directory"));

    let world = World::new();
    world.ok(&["attach", "gemini"]);
    at_home(&world, ".gemini/tmp/ws/.project_root", world.root().to_str().unwrap());
    later(&at_home(&world, ".gemini/tmp/ws/chats/session-1.json", "{}"));
    assert_eq!(world.found(), codes(&["HOOKS_SILENT"], false));
}

#[test]
fn a_command_that_came_to_us_from_a_session_of_which_no_hook_told_is_proof() {
    let world = World::new();
    world.ok(&["attach", "codex"]);
    let run = || {
        let mut bash = Command::new("bash");
        bash.args(["-c", "echo x > by-codex"]).current_dir(world.root());
        bash.env("BASH_ENV", world.data.path().join("wfr/clients/codex/wfr-bash-env-codex"));
        bash.env("XDG_DATA_HOME", world.data.path()).env("HOME", world.data.path());
        bash.envs(["CODEX_SESSION_ID", "CODEX_THREAD_ID", "CODEX_TOOL_CALL_ID"].map(|name| (name, "c")));
        assert!(bash.status().unwrap().success());
    };
    run();
    assert_eq!(world.change_at("by-codex")["tool_call_id"], "c");
    assert!(finding(&world, "HOOKS_SILENT").contains("came to us once since"));
    world.ok(&["attach", "codex"]);
    assert!(!world.found().0.contains(&"HOOKS_SILENT".to_owned()), "it begins to count anew");
}

#[test]
fn a_client_that_is_started_below_the_root_is_named() {
    let world = World::new();
    let attached = world.ok(&["attach", "claude"]).json.to_string();
    assert!(attached.contains("start it in the workspace's root"), "{attached}");
    let called: String = world.root().join("sub").to_str().unwrap().replace(|c: char| !c.is_ascii_alphanumeric(), "-");
    let log = |dir: &Path| {
        let line = json!({"type": "user", "cwd": dir}).to_string();
        later(&at_home(&world, &format!(".claude/projects/{called}/s.jsonl"), &line));
    };
    // A directory beside it is called the same.
    log(&PathBuf::from(format!("{}-sub", world.root().display())));
    assert_eq!(world.found(), codes(&["HOOKS_NOT_HEARD"], true));
    log(&world.root().join("sub"));
    assert!(finding(&world, "HOOKS_SILENT").contains("where it is started and at the root of its git repository"));

    fs::create_dir(world.root().join(".git")).unwrap();
    assert!(!finding(&world, "HOOKS_SILENT").contains("--user"), "that is read there, too");
    let attached = world.ok(&["attach", "claude"]).json.to_string();
    assert!(!attached.contains("start it in the workspace's root"), "{attached}");
    assert!(json_of(&world.settings())["hooks"].is_object());
}
