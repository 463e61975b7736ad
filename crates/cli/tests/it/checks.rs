//! Functional checks: what is said of a restore whose check fails, and what a process leaves that is killed in one.

use std::process::{Child, Stdio};

use serde_json::Value;

use crate::world::World;

/// The types of the events of recoveries, the oldest first.
fn told(world: &World) -> Vec<String> {
    let listed = world.ok(&["events", "wf", "--limit", "100"]);
    let events = listed.result("events").as_array().unwrap().clone();
    let mut events: Vec<Value> =
        events.into_iter().filter(|event| event["event_type"] != "CHECKPOINT_CREATED").collect();
    events.sort_by_key(|event| event["seq"].as_u64());
    let kinds = events.iter().map(|event| event["event_type"].as_str().unwrap().to_owned());
    kinds.filter(|kind| kind.starts_with("RECOVERY_")).collect()
}

/// A restore that was killed while its check ran.
fn killed_in_its_check(world: &World) {
    let dir = tempfile::tempdir().unwrap();
    let gate = dir.path().join("gate");
    assert!(std::process::Command::new("mkfifo").arg(&gate).status().unwrap().success());
    let check = format!("echo checked > by_check; cat {}", gate.display());
    let mut restore = world.command(&["restore", "wf", "base", "--yes", "--exact-mtime", "--functional-check", &check]);
    let mut restore: Child = restore.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    // It can be opened when the check is at work; its end lets the check go.
    let opened = std::fs::File::options().write(true).open(&gate).unwrap();
    assert_eq!(world.tree.read("a.txt"), b"a0\n");
    restore.kill().unwrap();
    restore.wait().unwrap();
    drop(opened);
}

#[test]
fn one_whose_check_fails_is_never_said_to_be_completed() {
    let world = World::new();
    world.checkpoint("base");
    world.tree.write("a.txt", b"edited");
    world.refused(&["restore", "wf", "base", "--functional-check", "false", "--yes"], 1, "FUNCTIONAL_CHECK_FAILED");
    // The second is what takes it back.
    assert_eq!(told(&world), ["RECOVERY_INITIATED", "RECOVERY_FAILED", "RECOVERY_INITIATED", "RECOVERY_COMPLETED"]);
    world.ok(&["restore", "wf", "base", "--functional-check", "true", "--yes"]);
    assert_eq!(told(&world)[4..], ["RECOVERY_INITIATED", "RECOVERY_COMPLETED"]);
    world.ok(&["doctor"]);
}

#[test]
fn one_that_is_killed_in_its_check_is_taken_back() {
    let world = World::new();
    world.checkpoint("base");
    world.tree.write("a.txt", b"edited");
    let before = world.snapshot();
    killed_in_its_check(&world);
    assert_eq!(world.call(&["doctor"]).result("findings")[0]["code"], "RECOVERY_UNFINISHED");
    let resumed = world.ok(&["resume"]);
    assert_eq!(resumed.result("resumed")[0]["recovery_status"], "taken_back", "{resumed:?}");
    // What the check wrote beside is a file like any other.
    assert_eq!(world.tree.read("by_check"), b"checked\n");
    std::fs::remove_file(world.tree.at("by_check")).unwrap();
    assert_eq!(before.without_dir_mtimes(), world.snapshot().without_dir_mtimes());
    assert_eq!(told(&world), ["RECOVERY_INITIATED", "RECOVERY_FAILED"]);
    world.ok(&["doctor"]);
}

#[test]
fn the_next_command_that_changes_anything_takes_it_back_too() {
    let world = World::new();
    world.checkpoint("base");
    world.tree.write("a.txt", b"edited");
    killed_in_its_check(&world);
    world.checkpoint("next");
    assert_eq!(world.tree.read("a.txt"), b"edited");
    world.refused(&["undo", "--yes"], 3, "RECOVERY_NOT_FOUND");
}

#[test]
fn a_check_may_ask_wfr_whether_all_is_well() {
    let world = World::new();
    world.checkpoint("base");
    world.tree.write("a.txt", b"edited");
    let check = format!("{} doctor --json > of_doctor", env!("CARGO_BIN_EXE_wfr"));
    world.ok(&["restore", "wf", "base", "--functional-check", &check, "--yes"]);
    let told = String::from_utf8(world.tree.read("of_doctor")).unwrap();
    assert!(told.contains("RECOVERY_RUNNING") && !told.contains("RECOVERY_UNFINISHED"), "{told}");
}
