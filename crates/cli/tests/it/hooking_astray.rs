//! Hooks where something is not as expected: a session that works elsewhere, a command that another hook changed, a shell that does
//! not come to us, a process that nobody wakes, a vault that cannot be written.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};
use serde_json::{Value, json};

use crate::hooking::Talk;
use crate::traced::can_trace;
use crate::world::World;

const WRAPPED: Option<&str> = Some("/anywhere/wfr-shell -c");

fn write(world: &World, file: &str, call: &str) -> Value {
    let file = world.root().join(file);
    json!({"tool_name": "Write", "tool_use_id": call, "tool_input": {"file_path": file, "content": "x"}})
}

#[test]
fn an_agent_that_went_elsewhere_is_known_by_its_project() {
    let (world, elsewhere) = (World::new(), tempfile::tempdir().unwrap());
    let talk = Talk { prefix: WRAPPED, project: Some(world.root().to_owned()), ..Talk::new(&world) };
    talk.event("SessionStart", None, json!({}));
    for event in ["PreToolUse", "PostToolUse"] {
        let mut payload = talk.payload(event, None, write(&world, "a.txt", "toolu_1"));
        payload["cwd"] = elsewhere.path().to_str().unwrap().into();
        assert!(talk.say(&payload).status.success());
        fs::write(world.root().join("a.txt"), "x").unwrap();
    }
    let change = world.change_at("a.txt");
    assert_eq!((&change["agent_id"], &change["tool_call_id"]), (&"main".into(), &"toolu_1".into()), "{change}");
    if !can_trace() {
        return;
    }
    let command = format!("echo > {}/b.txt", world.root().display());
    talk.event("PreToolUse", None, Talk::bash(&command, "toolu_2"));
    assert!(talk.shell(&command).current_dir(elsewhere.path()).output().unwrap().status.success());
    let change = world.change_at("b.txt");
    assert_eq!((&change["tool_call_id"], &change["source"]), (&"toolu_2".into(), &"traced".into()), "{change}");
}

#[test]
fn a_command_that_another_hook_changed_is_nobody_elses() {
    if !can_trace() {
        return;
    }
    let world = World::new();
    let talk = Talk { prefix: WRAPPED, ..Talk::new(&world) };
    talk.event("PreToolUse", Some("a1"), Talk::bash("echo > one.txt", "toolu_1"));
    assert!(talk.shell("nice sh -c 'echo > one.txt'").output().unwrap().status.success());
    talk.event("PostToolUse", Some("a1"), Talk::bash("nice sh -c 'echo > one.txt'", "toolu_1"));
    let change = world.change_at("one.txt");
    assert_eq!((&change["actor"], &change["agent_id"]), (&"agent".into(), &"a1".into()), "{change}");
    // Of two that wait it is one.
    for (agent, call) in [("a1", "toolu_2"), ("a2", "toolu_3")] {
        talk.event("PreToolUse", Some(agent), Talk::bash(&format!("echo {agent}"), call));
    }
    assert!(talk.shell("nice sh -c 'echo a1 > two.txt'").output().unwrap().status.success());
    let change = world.change_at("two.txt");
    assert_eq!((&change["actor"], change["candidates"].as_array().unwrap().len()), (&"shared".into(), 2), "{change}");
}

#[test]
fn a_command_of_a_session_that_was_never_heard_is_nobodys() {
    if !can_trace() {
        return;
    }
    let world = World::new();
    let talk = Talk::new(&world);
    assert!(talk.shell("echo > a.txt").output().unwrap().status.success());
    let change = world.change_at("a.txt");
    assert_eq!((&change["actor"], &change["session_id"]), (&"unknown".into(), &"5e55".into()), "{change}");
}

#[test]
fn what_a_person_writes_before_a_shell_that_does_not_come_to_us_is_the_persons() {
    let world = World::new();
    let say = |event: &str, call: &str| {
        let mut payload = json!({"hook_event_name": event, "session_id": "c0de", "cwd": world.root()});
        payload["tool_name"] = "Bash".into();
        payload["tool_use_id"] = call.into();
        payload["tool_input"] = json!({"command": "ls"});
        let place = world.data.path().join("payload");
        fs::write(&place, payload.to_string()).unwrap();
        let mut hook = world.command(&["hook", "codex"]);
        assert!(hook.stdin(fs::File::open(place).unwrap()).status().unwrap().success());
    };
    for number in 0..3 {
        world.put(&format!("mine-{number}"), "x");
        say("PreToolUse", &format!("call_{number}"));
        world.put(&format!("its-{number}"), "x");
        say("PostToolUse", &format!("call_{number}"));
    }
    for number in 0..3 {
        // The first was there when the ledger began.
        let mine = format!("mine-{number}");
        assert!(number == 0 || world.change_at(&mine)["actor"] == "user", "{mine}");
        let its = world.change_at(&format!("its-{number}"));
        assert_eq!((&its["agent_id"], &its["source"]), (&"main".into(), &"observed".into()), "{its}");
    }
}

#[test]
fn nobody_waits_for_ever_for_a_process_that_looks() {
    let world = World::new();
    let talk = Talk { prefix: WRAPPED, ..Talk::new(&world) };
    talk.event("SessionStart", None, json!({}));
    let lock = fs::File::open(world.vault().join("ledger.lock")).unwrap();
    flock(&lock, FlockOperation::NonBlockingLockExclusive).unwrap();
    let begun = Instant::now();
    talk.event("PreToolUse", None, write(&world, "a.txt", "toolu_1"));
    let output = talk.shell("echo ran").output().unwrap();
    assert!(output.status.success() && String::from_utf8_lossy(&output.stdout).contains("ran"), "{output:?}");
    assert!(begun.elapsed() < Duration::from_secs(60));
    let noted = fs::read_to_string(world.vault().join("clients/trouble.jsonl")).unwrap();
    assert!(noted.contains(&format!("process {} looks", std::process::id())), "{noted}");
}

#[test]
fn what_a_dead_client_left_open_spoils_nobody_elses_work() {
    let world = World::new();
    // A client that dies in the middle of a call of a tool that nobody knows.
    let dead = json!({"hook_event_name": "PreToolUse", "session_id": "dead", "cwd": world.root(), "tool_name": "mcp__db__query",
                      "tool_use_id": "d1", "tool_input": {}});
    let script = format!("printf '%s' '{dead}' | {} hook claude; kill -9 $$", env!("CARGO_BIN_EXE_wfr"));
    let mut shell = std::process::Command::new("bash");
    let variables = world.command(&["log"]);
    shell.envs(variables.get_envs().filter_map(|(name, value)| Some((name, value?))));
    assert!(!shell.args(["-c", &script]).current_dir(world.root()).status().unwrap().success());
    let talk = Talk::new(&world);
    talk.event("PreToolUse", None, write(&world, "a.txt", "toolu_1"));
    world.put("a.txt", "new\n");
    talk.event("PostToolUse", None, write(&world, "a.txt", "toolu_1"));
    let change = world.change_at("a.txt");
    assert_eq!((&change["tool_call_id"], &change["candidates"]), (&"toolu_1".into(), &json!([])), "{change}");
    let changes = world.ok(&["log"]).result("changes").as_array().unwrap().clone();
    let left = changes.iter().find(|change| change["session_id"] == "dead").unwrap();
    assert!(!left["ended_at"].is_null(), "{left}");
}

#[test]
fn trouble_is_told_where_the_vault_cannot_be_written_or_is_gone() {
    let world = World::new();
    let talk = Talk::new(&world);
    talk.event("SessionStart", None, json!({}));
    let (vault, aside) = (world.vault(), world.data.path().join("aside"));
    fs::rename(&vault, &aside).unwrap();
    talk.event("PreToolUse", None, write(&world, "a.txt", "toolu_1"));
    assert!(!vault.exists(), "nothing is in its place");
    fs::rename(&aside, &vault).unwrap();
    let told = world.call(&["doctor"]).json.to_string();
    assert!(told.contains("HOOK_TROUBLE"), "{told}");
    let elsewhere = std::env::temp_dir().join(format!("wfr-trouble-{}", rustix::process::geteuid().as_raw()));
    fs::remove_dir_all(elsewhere.join(vault.file_name().unwrap())).unwrap();
}

#[test]
fn a_hook_in_a_directory_that_is_gone_is_heard() {
    let world = World::new();
    let talk = Talk::new(&world);
    talk.event("SessionStart", None, json!({}));
    let gone = tempfile::tempdir().unwrap();
    for event in ["PreToolUse", "PostToolUse"] {
        let place = world.data.path().join("payload");
        fs::write(&place, talk.payload(event, None, write(&world, "a.txt", "toolu_1")).to_string()).unwrap();
        let script = format!(
            "rmdir {}; exec {} hook claude < {}",
            gone.path().display(),
            env!("CARGO_BIN_EXE_wfr"),
            place.display()
        );
        fs::create_dir_all(gone.path()).unwrap();
        let mut shell = Command::new("sh");
        shell.args(["-c", &script]).current_dir(gone.path()).env("XDG_DATA_HOME", world.data.path());
        let output = shell.output().unwrap();
        assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
        fs::write(world.root().join("a.txt"), "x").unwrap();
    }
    assert_eq!(world.change_at("a.txt")["tool_call_id"], "toolu_1");
}

#[test]
fn commands_of_clients_are_observed_where_somebody_wants_that() {
    let world = World::new();
    world.ok(&["config", "agents.trace_commands", "false"]);
    let talk = Talk { prefix: WRAPPED, ..Talk::new(&world) };
    talk.event("PreToolUse", Some("a1"), Talk::bash("echo > a.txt", "toolu_1"));
    let output = talk.shell("echo > a.txt").output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    let change = world.change_at("a.txt");
    assert_eq!((&change["source"], &change["tool_call_id"]), (&"observed".into(), &"toolu_1".into()), "{change}");
}
