//! `wfr attach` and `wfr detach`: the client's own files get our entries and lose exactly these.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use wfr_testkit::TestTree;

use crate::world::{World, ended};

/// The settings that a project's attachment writes.
pub const LOCAL: &str = ".claude/settings.local.json";

impl World {
    pub fn settings(&self) -> PathBuf {
        self.root().join(LOCAL)
    }

    pub fn launcher(&self) -> PathBuf {
        self.data.path().join("wfr/clients/claude/wfr-shell")
    }
}

pub fn json_of(place: &Path) -> Value {
    serde_json::from_slice(&fs::read(place).unwrap()).unwrap()
}

fn mode(place: &Path) -> u32 {
    fs::metadata(place).unwrap().permissions().mode() & 0o7777
}

/// The names in a directory, but for those of a kind.
fn names(dir: &Path, without: &str) -> Vec<String> {
    let names = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.filter(|name| !name.contains(without)).collect();
    names.sort();
    names
}

#[test]
fn attached_and_detached_a_file_is_as_it_was() {
    let world = World::new();
    let before =
        "{\r\n\t\"permissions\": { \"allow\": [ \"Bash(ls:*)\" ] },\r\n\t\"env\": {\r\n\t\t\"A\": \"1\"\r\n\t}\r\n}";
    fs::write(world.settings(), before).unwrap();
    fs::set_permissions(world.settings(), PermissionsExt::from_mode(0o640)).unwrap();
    let attached = world.ok(&["attach", "claude"]);
    let file = &attached.result("files")[1];
    assert_eq!((&file["became"], file["entries"].as_array().unwrap().len()), (&"changed".into(), 12));
    let backup = PathBuf::from(file["backup"].as_str().unwrap());
    assert_eq!((fs::read_to_string(&backup).unwrap().as_str(), mode(&backup)), (before, 0o640));
    let now = fs::read(world.settings()).unwrap();
    let settings = json_of(&world.settings());
    assert_eq!(mode(&world.settings()), 0o640);
    assert_eq!((&settings["env"]["A"], &settings["permissions"]["allow"][0]), (&"1".into(), &"Bash(ls:*)".into()));
    // One word: the client starts servers of MCP by the whole of it.
    assert_eq!(settings["env"]["CLAUDE_CODE_SHELL_PREFIX"], world.launcher().to_str().unwrap());
    let handler = json!({"type": "command", "command": env!("CARGO_BIN_EXE_wfr"), "args": ["hook", "claude"]});
    for event in ["PreToolUse", "PostToolUse", "SessionStart", "SubagentStop", "TaskCompleted"] {
        assert_eq!(settings["hooks"][event], json!([{"hooks": [handler]}]), "{event}");
    }
    assert_eq!(mode(&world.launcher()), 0o755);

    let again = world.ok(&["attach", "claude", "--project"]);
    assert_eq!(
        (&again.result("files")[1]["became"], &again.result("files")[1]["backup"]),
        (&"unchanged".into(), &Value::Null)
    );
    assert_eq!(fs::read(world.settings()).unwrap(), now);

    let detached = world.ok(&["detach", "claude"]);
    assert_eq!(detached.result("files")[0]["entries"].as_array().unwrap().len(), 12);
    assert_eq!((fs::read_to_string(world.settings()).unwrap().as_str(), mode(&world.settings())), (before, 0o640));
    assert!(world.launcher().is_file(), "sessions that run need it");
    let again = world.ok(&["detach", "claude"]);
    assert_eq!(again.result("files")[0]["became"], "unchanged");
    assert_eq!(names(&world.root().join(".claude"), ".wfr-backup-"), ["recovery", "settings.local.json"]);
}

#[test]
fn a_directory_is_protected_by_it_and_a_file_that_it_made_goes_again() {
    let world = World::unprotected(TestTree::new());
    let plan = world.ok(&["attach", "claude", "--plan"]);
    assert_eq!((plan.result("plan"), plan.result("files")[1]["became"].as_str()), (&true.into(), Some("made")));
    assert!(!world.root().join(".claude").exists() && !world.launcher().exists(), "a plan writes nothing");
    let attached = world.ok(&["attach", "claude"]);
    assert_eq!(attached.result("initialised"), world.root().to_str().unwrap());
    assert!(world.settings().is_file());
    assert!(world.ok(&["doctor"]).result("healthy").as_bool().unwrap());
    // In a plan all of it is there still.
    assert_eq!(world.ok(&["detach", "claude", "--plan"]).result("files")[0]["became"], "removed");
    assert!(world.settings().is_file());
    assert_eq!(world.ok(&["detach", "claude"]).result("files")[0]["became"], "removed");
    assert_eq!(names(&world.root().join(".claude"), "no such"), ["recovery"]);
}

#[test]
fn what_others_wrote_since_stays() {
    let world = World::new();
    world.ok(&["attach", "claude"]);
    let mut settings = json_of(&world.settings());
    settings["model"] = json!("x");
    settings["hooks"]["Stop"].as_array_mut().unwrap().push(json!({"hooks": [{"type": "command", "command": "bell"}]}));
    // As another version of the program left it.
    settings["hooks"]["Later"] = settings["hooks"]["PreToolUse"].clone();
    fs::write(world.settings(), serde_json::to_vec(&settings).unwrap()).unwrap();
    world.ok(&["detach", "claude"]);
    let left =
        json!({"hooks": {"Stop": [{"hooks": [{"type": "command", "command": "bell"}]}], "Later": []}, "model": "x"});
    assert_eq!(json_of(&world.settings()), left);
}

#[test]
fn another_prefix_is_not_lost() {
    let world = World::new();
    let before = "{\"env\":{\"CLAUDE_CODE_SHELL_PREFIX\":\"/opt/log -x\"}}\n";
    fs::write(world.settings(), before).unwrap();
    let refused = world.refused(&["attach", "claude"], 5, "CONFLICTS");
    assert!(refused.json["error"]["message"].as_str().unwrap().contains("/opt/log -x"), "{refused:?}");
    assert_eq!(fs::read_to_string(world.settings()).unwrap(), before);
    world.ok(&["attach", "claude", "--replace"]);
    world.ok(&["attach", "claude"]);
    world.ok(&["detach", "claude"]);
    assert_eq!(fs::read_to_string(world.settings()).unwrap(), before);
}

#[test]
fn another_prefix_is_not_overridden_without_a_word() {
    let text = "{\"env\":{\"CLAUDE_CODE_SHELL_PREFIX\":\"/opt/log -x\"}}\n";
    for (name, flag, wins) in [
        (".claude/settings.json", "--project", false),
        ("~/.claude/settings.json", "--project", false),
        (".claude/settings.json", "--user", true),
        ("", "--project", false),
    ] {
        let world = World::new();
        let place = match name.strip_prefix("~/") {
            Some(name) => world.data.path().join(name),
            None => world.root().join(name),
        };
        if !name.is_empty() {
            fs::create_dir_all(place.parent().unwrap()).unwrap();
            fs::write(&place, text).unwrap();
        }
        let call = |words: &[&str]| {
            let mut command = world.command(&[words, &["--json"]].concat());
            if name.is_empty() {
                command.env("CLAUDE_CODE_SHELL_PREFIX", "/opt/log -x");
            }
            ended(command.output().unwrap())
        };
        let refused = call(&["attach", "claude", flag]);
        assert_eq!(refused.error(), "CONFLICTS", "{name}");
        assert!(refused.json.to_string().contains("/opt/log -x") && !world.launcher().exists(), "{refused:?}");
        let attached = call(&["attach", "claude", flag, "--replace"]).json.to_string();
        assert!(attached.contains("/opt/log -x") && attached.contains("in place of ours") == wins, "{attached}");
        let found = call(&["doctor"]).json["result"]["findings"].clone();
        let found = found.as_array().unwrap().iter().find(|one| one["code"] == "SHELL_PREFIX_OTHER").unwrap().clone();
        assert_eq!(found["severity"], if wins { "warning" } else { "info" }, "{found}");
        assert_eq!(call(&["attach", "claude", flag]).code, 0, "it was said once");
        assert_eq!(call(&["detach", "claude", flag]).code, 0);
        assert!(name.is_empty() || fs::read_to_string(&place).unwrap() == text);
    }
}

#[test]
fn what_cannot_be_attached_is_refused_before_anything_is_made() {
    let world = World::unprotected(TestTree::new());
    fs::create_dir(world.root().join(".claude")).unwrap();
    fs::write(world.settings(), "[1]").unwrap();
    assert_eq!(world.call(&["attach", "claude"]).error(), "DOCUMENT_INVALID");
    assert_eq!(names(&world.root().join(".claude"), "no such"), ["settings.local.json"]);
    assert!(!world.data.path().join("wfr").exists(), "nor a vault");
}

#[test]
fn what_cannot_be_merged_is_left_alone() {
    let world = World::new();
    let large = format!("{{\"a\": \"{}\"}}", "x".repeat(17 << 20));
    let cases: [(&[u8], &str, &str); 7] = [
        (b"{\n  // mine\n  \"a\": 1\n}", "DOCUMENT_INVALID", "line 2: it has comments"),
        (b"{\n  \"a\": 1,\n}", "DOCUMENT_INVALID", "line 3"),
        (b"{\n\"a\": \"\xff\"}", "DOCUMENT_INVALID", "line 2: it is no text in UTF-8"),
        (b"[1]", "DOCUMENT_INVALID", "is not an object"),
        (b"{\"hooks\": 7}", "DOCUMENT_INVALID", "`hooks` is not an object"),
        (b"{\"env\": {}, \"env\": {}}", "DOCUMENT_INVALID", "`env` twice"),
        (large.as_bytes(), "DOCUMENT_INVALID", "16 MiB"),
    ];
    for (bytes, code, said) in cases {
        fs::write(world.settings(), bytes).unwrap();
        let refused = world.call(&["attach", "claude"]);
        let message = refused.json["error"]["message"].as_str().unwrap_or_default();
        assert_eq!((refused.error(), message.contains(said)), (code, true), "{message}");
        assert!(message.contains(LOCAL), "{message}");
        assert!(fs::read(world.settings()).unwrap() == bytes);
    }
    fs::write(world.settings(), "{}").unwrap();
    fs::set_permissions(world.settings(), PermissionsExt::from_mode(0o444)).unwrap();
    world.refused(&["attach", "claude"], 7, "PERMISSION_DENIED");
    fs::remove_file(world.settings()).unwrap();
    fs::create_dir(world.settings()).unwrap();
    assert_eq!(world.call(&["attach", "claude"]).error(), "UNSUITABLE_PLACE");
    assert_eq!(names(&world.root().join(".claude"), "no such"), ["recovery", "settings.local.json"]);
    assert!(!world.launcher().exists(), "nothing was begun");
    fs::remove_dir(world.settings()).unwrap();
    fs::write(world.settings(), format!("{{\"a\": \"{}\"}}", "x".repeat(10 << 20))).unwrap();
    world.ok(&["attach", "claude"]);
}

#[test]
fn links_are_followed_where_people_keep_their_settings() {
    let world = World::new();
    let dotfiles = world.data.path().join("dotfiles");
    fs::create_dir_all(&dotfiles).unwrap();
    fs::create_dir_all(world.data.path().join(".claude")).unwrap();
    fs::write(dotfiles.join("claude.json"), "{}").unwrap();
    let named = world.data.path().join(".claude/settings.json");
    symlink(dotfiles.join("claude.json"), &named).unwrap();
    world.ok(&["attach", "claude", "--user"]);
    assert!(fs::symlink_metadata(&named).unwrap().is_symlink());
    assert!(json_of(&dotfiles.join("claude.json"))["hooks"]["Stop"].is_array());
    assert!(!world.settings().exists(), "it is for the user");
    world.ok(&["detach", "claude", "--user"]);
    assert_eq!(fs::read_to_string(dotfiles.join("claude.json")).unwrap(), "{}");
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("x.json"), "{}").unwrap();
    for to in [outside.path().join("x.json"), outside.path().join("nothing")] {
        let _ = fs::remove_file(world.settings());
        symlink(to, world.settings()).unwrap();
        assert_eq!(world.call(&["attach", "claude"]).error(), "UNSUITABLE_PLACE");
    }
    assert_eq!(fs::read_to_string(outside.path().join("x.json")).unwrap(), "{}");
}

#[test]
fn for_the_user_no_directory_is_protected() {
    let world = World::unprotected(TestTree::new());
    world.ok(&["attach", "claude", "--user"]);
    assert!(!world.root().join(".claude").exists());
    let settings = world.data.path().join(".claude/settings.json");
    assert!(json_of(&settings)["env"]["CLAUDE_CODE_SHELL_PREFIX"].is_string());
    world.ok(&["detach", "claude", "--user"]);
    assert!(!settings.exists());
    world.refused(&["attach", "claude", "--user", "--project"], 2, "WRONG_ARGUMENTS");
    world.refused(&["attach", "emacs"], 2, "INVALID_PARAMETER");
    world.refused(&["attach"], 2, "WRONG_ARGUMENTS");
}

#[test]
fn a_launcher_whose_path_the_client_would_split_is_refused() {
    let world = World::new();
    let data = world.data.path().join("a -b");
    let mut call = world.command(&["attach", "claude", "--json"]);
    let refused = ended(call.env("XDG_DATA_HOME", &data).output().unwrap());
    assert_eq!((refused.code, refused.error()), (2, "INVALID_PARAMETER"), "{refused:?}");
    assert!(!world.settings().exists());
}

#[test]
fn a_launcher_without_its_program_runs_scripts_all_the_same() {
    let world = World::new();
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("o'brien's -c \"tools\"");
    fs::create_dir(&dir).unwrap();
    let program = dir.join("wfr");
    fs::copy(env!("CARGO_BIN_EXE_wfr"), &program).unwrap();
    let with = world.command(&["attach", "claude", "--json"]);
    let mut call = Command::new(&program);
    call.args(with.get_args()).envs(with.get_envs().filter_map(|(name, value)| Some((name, value?))));
    assert_eq!(ended(call.current_dir(world.root()).output().unwrap()).code, 0);
    assert_eq!(json_of(&world.settings())["hooks"]["Stop"][0]["hooks"][0]["command"], program.to_str().unwrap());
    let run = |script: &str| {
        // Sessions that began when the prefix had it still say `-c`.
        let [now, then] = [&[script][..], &["-c", script]].map(|words| {
            let output = Command::new(world.launcher()).args(words).env("SHELL", "/bin/sh").output().unwrap();
            (output.status.code(), String::from_utf8(output.stdout).unwrap())
        });
        assert_eq!(now, then);
        now
    };
    let script = "printf '%s|' a \"b  c\" '$d'; exit 7";
    let expected = (Some(7), "a|b  c|$d|".to_owned());
    assert_eq!(run(script), expected);
    fs::write(&program, "this is no program\0").unwrap();
    assert_eq!(run(script), expected);
    fs::remove_file(&program).unwrap();
    assert_eq!(run(script), expected);
    // From another place it is attached anew.
    world.ok(&["attach", "claude"]);
    assert_eq!(json_of(&world.settings())["hooks"]["Stop"].as_array().unwrap().len(), 1);
    world.ok(&["detach", "claude"]);
    assert!(!world.settings().exists());
}
