//! `wfr doctor` and `wfr status` on attached clients: hooks that do not fire are named.

use std::fs;
use std::io::Write as _;
use std::process::Stdio;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use crate::attaching::json_of;
use crate::world::World;

impl World {
    /// Says something through a hook, with or without the launcher's name in the environment; the answer.
    pub fn say(&self, is_told: bool, payload: &Value) -> String {
        let mut command = self.command(&["hook", "claude"]);
        match is_told {
            true => command.env("CLAUDE_CODE_SHELL_PREFIX", self.launcher()),
            false => command.env_remove("CLAUDE_CODE_SHELL_PREFIX"),
        };
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(payload.to_string().as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success());
        String::from_utf8(output.stdout).unwrap()
    }

    /// What a tool's call says.
    pub fn of_tool(&self, event: &str, tool: &str, id: &str, input: Value) -> Value {
        json!({"hook_event_name": event, "session_id": "s", "cwd": self.root(), "tool_name": tool, "tool_use_id": id, "tool_input": input})
    }

    /// The codes of what `doctor` finds about clients, and whether all is well.
    pub fn found(&self) -> (Vec<String>, bool) {
        let diagnosis = self.call(&["doctor"]);
        let codes = diagnosis.result("findings").as_array().unwrap().iter();
        let codes = codes.map(|one| one["code"].as_str().unwrap().to_owned());
        let of_clients = codes.filter(|code| ["HOOK", "SHELL"].iter().any(|begin| code.starts_with(begin)));
        (of_clients.collect(), diagnosis.result("healthy").as_bool().unwrap())
    }
}

/// Codes and whether they leave it healthy.
pub fn codes(codes: &[&str], is_healthy: bool) -> (Vec<String>, bool) {
    (codes.iter().map(|code| (*code).to_owned()).collect(), is_healthy)
}

#[test]
fn hooks_that_do_not_fire_are_named() {
    let world = World::new();
    assert_eq!(world.found(), codes(&[], true));
    world.ok(&["attach", "claude"]);
    assert_eq!(world.found(), codes(&["HOOKS_NOT_HEARD"], true));
    assert!(world.ok(&["workflows"]).result("workflows").as_array().unwrap().is_empty(), "a probe is no session");
    assert_eq!(world.found(), codes(&["HOOKS_NOT_HEARD"], true), "nor is it heard");
    let none = world.refused(&["status"], 3, "WORKFLOW_NOT_FOUND");
    assert!(none.json["recovery_options"][1].as_str().unwrap().contains("start it here once"), "{none:?}");

    let name: String =
        world.root().to_str().unwrap().chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    let sessions = world.data.path().join(".claude/projects").join(name);
    fs::create_dir_all(&sessions).unwrap();
    let log = fs::File::create(sessions.join("s.jsonl")).unwrap();
    assert_eq!(world.found(), codes(&["HOOKS_NOT_HEARD"], true), "it was active when it was attached");
    log.set_modified(SystemTime::now() + Duration::from_secs(90)).unwrap();
    assert_eq!(world.found(), codes(&["HOOKS_SILENT"], false));
    log.set_modified(SystemTime::now()).unwrap();

    world.say(true, &json!({"hook_event_name": "SessionStart", "session_id": "s", "cwd": world.root()}));
    assert_eq!(world.found(), codes(&[], true));
    log.set_modified(SystemTime::now() + Duration::from_secs(90)).unwrap();
    assert_eq!(world.found(), codes(&["HOOKS_SILENT"], false));
    drop(log);
    fs::remove_dir_all(&sessions).unwrap();
    let status = world.ok(&["status"]);
    let client = &status.result("clients")[0];
    assert_eq!(
        (&client["client"], &client["attached"], &client["troubles"]),
        (&"claude".into(), &json!(["project"]), &0.into())
    );
    assert_eq!(client["sessions"][0]["session_id"], "s");
    assert!(client["last_heard"].is_string());
}

#[test]
fn configuration_that_lost_our_entries_is_named_and_mended() {
    let world = World::new();
    world.ok(&["attach", "claude"]);
    world.say(true, &json!({"hook_event_name": "SessionStart", "session_id": "s", "cwd": world.root()}));
    let whole = fs::read(world.settings()).unwrap();
    let mut settings = json_of(&world.settings());
    settings["hooks"].as_object_mut().unwrap().remove("PostToolUse");
    fs::write(world.settings(), settings.to_string()).unwrap();
    assert_eq!(world.found(), codes(&["HOOKS_REMOVED"], false));
    fs::write(world.settings(), "{").unwrap();
    assert_eq!(world.found(), codes(&["HOOKS_REMOVED"], false));
    fs::remove_file(world.settings()).unwrap();
    assert_eq!(world.found(), codes(&["HOOKS_REMOVED"], false));
    world.ok(&["attach", "claude"]);
    assert_eq!((world.found(), fs::read(world.settings()).unwrap()), (codes(&[], true), whole));
    fs::write(world.root().join(".claude/settings.json"), "{\"disableAllHooks\": true}").unwrap();
    assert_eq!(world.found(), codes(&["HOOKS_DISABLED"], false));
    fs::remove_file(world.root().join(".claude/settings.json")).unwrap();
    fs::remove_file(world.launcher()).unwrap();
    assert_eq!(world.found(), codes(&["SHELL_LAUNCHER_BROKEN"], false));
    world.ok(&["attach", "claude"]);
    assert_eq!(world.found(), codes(&[], true));
    world.ok(&["detach", "claude"]);
    assert_eq!(world.found(), codes(&[], true));
}

#[test]
fn a_program_that_is_gone_or_answers_nothing_is_named() {
    let world = World::new();
    let dir = tempfile::tempdir().unwrap();
    let program = dir.path().join("wfr");
    fs::copy(env!("CARGO_BIN_EXE_wfr"), &program).unwrap();
    let with = world.command(&["attach", "claude"]);
    let mut call = std::process::Command::new(&program);
    call.args(with.get_args()).envs(with.get_envs().filter_map(|(name, value)| Some((name, value?))));
    assert!(call.current_dir(world.root()).output().unwrap().status.success());
    assert_eq!(world.found(), codes(&["HOOKS_NOT_HEARD"], true));
    fs::write(&program, "#!/bin/sh\nexit 0\n").unwrap();
    let (found, is_healthy) = world.found();
    assert!(found.contains(&"HOOKS_BROKEN".to_owned()) && !is_healthy, "{found:?}");
    fs::remove_file(&program).unwrap();
    assert_eq!(world.found(), codes(&["HOOKS_BROKEN", "HOOKS_NOT_HEARD"], false));
    world.ok(&["attach", "claude"]);
    assert_eq!(world.found(), codes(&["HOOKS_NOT_HEARD"], true));
}

#[test]
fn shell_commands_that_are_not_traced_are_named() {
    let world = World::new();
    let echo = |event, id| world.of_tool(event, "Bash", id, json!({"command": "echo"}));
    // As with a plugin alone.
    world.say(false, &echo("PreToolUse", "1"));
    world.put("by-plugin", "x");
    world.say(false, &echo("PostToolUse", "1"));
    assert_eq!(world.change_at("by-plugin")["source"], "observed");
    assert_eq!(world.found(), codes(&["SHELL_OBSERVED"], true));
    world.ok(&["attach", "claude"]);
    assert_eq!(world.found(), codes(&[], true));
    // The launcher is known, and something else runs the command.
    world.say(true, &echo("PreToolUse", "2"));
    world.put("past-it", "x");
    world.say(true, &echo("PostToolUse", "2"));
    assert_eq!(
        (&world.change_at("past-it")["source"], &world.change_at("past-it")["tool_call_id"]),
        (&"observed".into(), &"2".into())
    );
    assert_eq!(world.found(), codes(&["SHELL_UNTRACED"], true));
    world.ok(&["attach", "claude"]);
    assert_eq!(world.found(), codes(&[], true));
}

#[test]
fn equal_commands_at_once_are_run_by_the_launcher_all_the_same() {
    let world = World::new();
    world.ok(&["attach", "claude"]);
    for id in ["1", "2"] {
        world.say(true, &world.of_tool("PreToolUse", "Bash", id, json!({"command": "true"})));
    }
    for _ in 0..2 {
        let mut shell = std::process::Command::new(world.launcher());
        shell.args(["-c", "eval true && pwd -P >| /dev/null"]).env("CLAUDE_CODE_SESSION_ID", "s");
        shell.env("XDG_DATA_HOME", world.data.path()).env("HOME", world.data.path()).current_dir(world.root());
        assert!(shell.status().unwrap().success());
    }
    for id in ["1", "2"] {
        world.say(true, &world.of_tool("PostToolUse", "Bash", id, json!({"command": "true"})));
    }
    assert_eq!(world.found(), codes(&[], true));
}

#[test]
fn hooks_that_are_there_twice_say_everything_once() {
    let world = World::new();
    let write =
        |event| world.of_tool(event, "Write", "w", json!({"file_path": world.root().join("f"), "content": "x"}));
    // As the client starts them: at the same time.
    let twice = |payload: &Value| {
        std::thread::scope(|scope| {
            let both = [(); 2].map(|()| scope.spawn(|| world.say(true, payload)));
            both.into_iter().for_each(|one| assert_eq!(one.join().unwrap(), ""));
        });
    };
    let event = |event| json!({"hook_event_name": event, "session_id": "s", "agent_id": "a1", "cwd": world.root()});
    ["SessionStart", "SubagentStart"].iter().for_each(|name| twice(&event(name)));
    twice(&write("PreToolUse"));
    world.put("f", "x");
    twice(&write("PostToolUse"));
    twice(&write("PostToolUse"));
    let mut failed = world.of_tool("PostToolUseFailure", "Bash", "b", json!({"command": "false"}));
    failed["error"] = "it failed".into();
    twice(&failed);
    ["SubagentStop", "Stop", "SessionEnd"].iter().for_each(|name| twice(&event(name)));
    let events = world.ok(&["events"]).result("events").as_array().unwrap().clone();
    let mut names: Vec<&str> = events.iter().map(|event| event["message"].as_str().unwrap()).collect();
    names.sort_unstable();
    let count = names.len();
    names.dedup();
    assert_eq!(names.len(), count, "{events:#?}");
    let log = world.ok(&["log"]);
    let changes = log.result("changes").as_array().unwrap();
    let of_call = changes.iter().filter(|change| change["tool_call_id"] == "w").count();
    assert_eq!(of_call, 1, "{changes:?}");
}

#[test]
fn what_went_wrong_in_a_hook_is_told() {
    let world = World::new();
    world.ok(&["attach", "claude"]);
    let call = json!({"hook_event_name": "PreToolUse", "session_id": "s", "cwd": world.root()});
    world.say(true, &call);
    let nothing_began = world.call(&["status"]);
    assert!(
        nothing_began.json["recovery_options"].to_string().contains("hooks of claude went wrong once"),
        "{nothing_began:?}"
    );
    world.say(true, &json!({"hook_event_name": "SessionStart", "session_id": "s", "cwd": world.root()}));
    assert_eq!(world.found(), codes(&["HOOK_TROUBLE"], true));
    let status = world.ok(&["status"]);
    let client = &status.result("clients")[0];
    assert_eq!(client["troubles"], 1);
    assert!(client["newest_trouble"]["message"].as_str().unwrap().contains("tool_name"), "{client}");
    let shown = world.command(&["status"]).output().unwrap();
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(shown.contains("attached, 1 session") && shown.contains("1 trouble:"), "{shown}");
}
