//! The plugin for Claude Code: it says what `wfr attach` says, names only what there is, and Claude Code itself takes it.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::attaching::json_of;
use crate::clients::client;
use crate::world::World;

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

fn plugin() -> PathBuf {
    repository().join("plugins/wfr")
}

#[test]
fn the_plugin_hears_what_an_attachment_hears() {
    let world = World::new();
    world.ok(&["attach", "claude"]);
    let attached = json_of(&world.settings())["hooks"].as_object().unwrap().clone();
    let hooks = json_of(&plugin().join("hooks/hooks.json"))["hooks"].as_object().unwrap().clone();
    assert_eq!(hooks.keys().collect::<BTreeSet<_>>(), attached.keys().collect::<BTreeSet<_>>());
    for (event, list) in &hooks {
        let mut list = list.clone();
        assert_eq!(list[0]["hooks"][0]["command"], "wfr", "{event}: the one in PATH");
        list[0]["hooks"][0]["command"] = env!("CARGO_BIN_EXE_wfr").into();
        assert_eq!(list, attached[event], "{event}");
    }
}

#[test]
fn the_plugin_names_only_operations_that_there_are() {
    let world = World::new();
    let schemas = world.ok(&["schema"]);
    let known: BTreeSet<String> = schemas.json["result"].as_object().unwrap().keys().cloned().collect();
    let server = &json_of(&plugin().join(".mcp.json"))["mcpServers"]["wfr"];
    assert!(server["command"] == "wfr" && known.contains(server["args"][0].as_str().unwrap()), "{server}");
    for file in ["commands/workflow-recovery.md", "skills/wfr/SKILL.md"] {
        let text = fs::read_to_string(plugin().join(file)).unwrap();
        let named = text.split("wfr ").skip(1).filter_map(|rest| rest.split(|letter: char| !is_of_name(letter)).next());
        // In the list of operations each stands alone.
        let listed = text.lines().filter(|line| line.starts_with("- ") && line.contains(": `"));
        let listed = listed.flat_map(|line| line.split('`').skip(1).step_by(2)).filter(|word| !word.contains(' '));
        let named: BTreeSet<&str> =
            named.chain(listed).filter(|word| word.starts_with(|c: char| c.is_ascii_lowercase())).collect();
        assert!(named.len() > 8, "{named:?}");
        let unknown: Vec<_> = named.iter().filter(|name| !known.contains(**name) && !WORDS.contains(name)).collect();
        assert!(unknown.is_empty(), "{file}: {unknown:?}");
    }
}

/// Words of sentences that follow on the program's name.
const WORDS: [&str; 1] = ["itself"];

fn is_of_name(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || letter == '-'
}

#[test]
fn claude_code_validates_and_installs_the_plugin() {
    let Some(program) = client("claude") else { return };
    let home = tempfile::tempdir().unwrap();
    let run = |words: &[&str]| {
        let mut command = Command::new(&program);
        command.args(words).env("HOME", home.path()).env_remove("CLAUDE_CONFIG_DIR").current_dir(home.path());
        command.env("DISABLE_AUTOUPDATER", "1").env("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1");
        let output = command.output().unwrap();
        let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{words:?}: {said}");
        said
    };
    let (root, plugin) = (repository(), plugin());
    assert!(run(&["plugin", "validate", root.to_str().unwrap()]).contains("Validation passed"));
    let said = run(&["plugin", "validate", plugin.to_str().unwrap()]);
    assert!(said.contains("Validation passed") && said.contains("wfr:workflow-recovery"), "{said}");
    run(&["plugin", "marketplace", "add", root.to_str().unwrap()]);
    run(&["plugin", "install", "wfr@wfr"]);
    let listed = run(&["plugin", "list"]);
    assert!(listed.contains("wfr@wfr") && listed.contains("enabled"), "{listed}");
    let settings: Value = json_of(&home.path().join(".claude/settings.json"));
    assert_eq!(settings["enabledPlugins"]["wfr@wfr"], true);
}
