//! Sessions that go to other directories and write in other workspaces.
//!
//! Owns two workspaces and a directory of nobody's. Refuses to know clients.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use wfr_testkit::TestTree;

use crate::hooking::Talk;
use crate::traced::can_trace;
use crate::world::World;

fn at(cwd: &Path, mut call: Value) -> Value {
    call["cwd"] = cwd.to_str().into();
    call
}

/// Another workspace of the same user's, in which he worked.
fn another(world: &World) -> (TestTree, impl Fn(&[&str]) -> Value) {
    let tree = TestTree::new();
    let root = tree.path().to_owned();
    let call = {
        let data = world.data.path().to_owned();
        move |words: &[&str]| {
            let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_wfr"));
            command.args(words).arg("--json").current_dir(&root).env("XDG_DATA_HOME", &data).env("HOME", &data);
            let output = command.output().unwrap();
            assert!(output.status.success(), "{words:?}: {output:?}");
            serde_json::from_slice(&output.stdout).unwrap()
        }
    };
    call(&["init"]);
    fs::write(tree.path().join("old.txt"), "old\n").unwrap();
    call(&["create-checkpoint", "wf"]);
    (tree, call)
}

/// What is found of whom: the actor with the agent, and the paths.
fn found(log: &Value) -> Vec<(String, Vec<String>)> {
    let changes = log["result"]["changes"].as_array().unwrap();
    let paths = |change: &Value| {
        let mut paths: Vec<String> =
            change["paths"].as_array().unwrap().iter().map(|one| one["path"].as_str().unwrap().to_owned()).collect();
        paths.sort();
        paths
    };
    let who = |change: &Value| change["agent_id"].as_str().or(change["actor"].as_str()).unwrap().to_owned();
    changes.iter().map(|change| (who(change), paths(change))).filter(|(_, paths)| !paths.is_empty()).collect()
}

#[test]
fn a_command_that_goes_to_another_workspace_takes_nothing_of_what_a_person_did_there() {
    if !can_trace() {
        return;
    }
    let world = World::new();
    let talk = Talk { prefix: Some("/x/wfr-shell"), ..Talk::new(&world) };
    let (other, call) = another(&world);
    fs::write(other.path().join("mine.txt"), "a person's\n").unwrap();
    talk.event("SessionStart", None, json!({}));
    let command =
        format!("cd '{}' && ls && echo a > '{}'", other.path().display(), world.root().join("a.txt").display());
    talk.event("PreToolUse", None, Talk::bash(&command, "toolu_1"));
    assert!(talk.shell(&command).output().unwrap().status.success());
    talk.event("PostToolUse", None, at(other.path(), Talk::bash(&command, "toolu_1")));
    // From now on it works there.
    talk.event("PreToolUse", None, at(other.path(), Talk::bash("echo b > b.txt", "toolu_2")));
    assert!(talk.shell("echo b > b.txt").current_dir(other.path()).output().unwrap().status.success());
    talk.event("PostToolUse", None, at(other.path(), Talk::bash("echo b > b.txt", "toolu_2")));
    let of = |who: &str, path: &str| (who.to_owned(), vec![path.to_owned()]);
    assert_eq!(found(&call(&["log"])), [of("main", "b.txt"), of("user", "mine.txt")]);
    let change = world.change_at("a.txt");
    assert_eq!((&change["tool_call_id"], &change["source"]), (&"toolu_1".into(), &"traced".into()));
    // Its end is heard in both.
    talk.event("SessionEnd", None, at(other.path(), json!({})));
    for state in [world.ok(&["status"]).json, call(&["status"])] {
        assert_eq!(state["result"]["workflow_status"]["status"], "paused", "{state}");
    }
}

#[test]
fn a_command_in_a_directory_of_nobodys_is_traced_where_its_session_works() {
    if !can_trace() {
        return;
    }
    let world = World::new();
    let talk = Talk { prefix: Some("/x/wfr-shell"), ..Talk::new(&world) };
    let outside = tempfile::tempdir().unwrap();
    talk.event("SessionStart", None, json!({}));
    let first = Talk::bash("true", "toolu_1");
    talk.event("PreToolUse", None, first.clone());
    assert!(talk.shell("true").output().unwrap().status.success());
    talk.event("PostToolUse", None, at(outside.path(), first));
    let command = format!("echo b > '{}'", world.root().join("b.txt").display());
    talk.event("PreToolUse", None, at(outside.path(), Talk::bash(&command, "toolu_2")));
    fs::write(world.root().join("mine.txt"), "a person's\n").unwrap();
    assert!(talk.shell(&command).current_dir(outside.path()).output().unwrap().status.success());
    talk.event("PostToolUse", None, at(outside.path(), Talk::bash(&command, "toolu_2")));
    let change = world.change_at("b.txt");
    assert_eq!((&change["tool_call_id"], &change["source"]), (&"toolu_2".into(), &"traced".into()), "{change}");
    talk.event("Stop", None, at(outside.path(), json!({})));
    assert_eq!(world.change_at("mine.txt")["actor"], "user");
    let told = world.call(&["doctor"]).json.to_string();
    assert!(!told.contains("SHELL_UNTRACED"), "{told}");
}

#[test]
fn a_file_that_is_written_in_another_workspace_is_recorded_there() {
    let world = World::new();
    let talk = Talk::new(&world);
    let (other, call) = another(&world);
    let write = json!({"tool_name": "Write", "tool_use_id": "toolu_1",
                       "tool_input": {"file_path": other.path().join("new/w.txt"), "content": "w\n"}});
    talk.event("SessionStart", None, json!({}));
    talk.event("PreToolUse", Some("a1"), write.clone());
    fs::create_dir(other.path().join("new")).unwrap();
    fs::write(other.path().join("new/w.txt"), "w\n").unwrap();
    talk.event("PostToolUse", Some("a1"), write);
    assert_eq!(found(&call(&["log"])), [("a1".to_owned(), vec!["new".to_owned(), "new/w.txt".to_owned()])]);
    call(&["rollback", "claude-5e55", "--agent", "a1", "--yes"]);
    assert!(!other.path().join("new").exists());
}
