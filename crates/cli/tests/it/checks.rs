//! Functional checks: what is said of a restore whose check fails, and what a process leaves that is killed in one.

use std::process::{Child, Stdio};

use serde_json::Value;

use crate::catch::{catch, caught, kill};
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
fn the_audit_trail_says_that_it_was_taken_back_and_why() {
    let world = World::new();
    world.checkpoint("base");
    world.tree.write("a.txt", b"edited");
    let refused =
        world.refused(&["restore", "wf", "base", "--functional-check", "false", "--yes"], 1, "FUNCTIONAL_CHECK_FAILED");
    assert_eq!(refused.result("recovery_status"), "taken_back");
    let line = |number: usize| {
        let line = world.ok(&["recoveries", "wf"]).result("recoveries")[number].clone();
        (line["kind"].clone(), line["status"].clone(), line["because"].clone())
    };
    assert_eq!(line(1), ("restore".into(), "taken_back".into(), "functional_check".into()));
    assert_eq!(line(0), ("undo".into(), "done".into(), "functional_check".into()));
    let shown = world.command(&["recoveries", "wf"]).output().unwrap().stdout;
    assert!(String::from_utf8(shown).unwrap().contains("taken back (functional check)"));
    // One that somebody undid was done, and is said to be.
    world.ok(&["restore", "wf", "base", "--yes"]);
    world.ok(&["undo", "--yes"]);
    assert_eq!(line(1), ("restore".into(), "done".into(), Value::Null));
}

#[test]
fn one_that_is_killed_in_its_check_is_taken_back() {
    let world = World::new();
    world.checkpoint("base");
    world.tree.write("a.txt", b"edited");
    let before = world.snapshot();
    killed_in_its_check(&world);
    let finding = world.call(&["doctor"]).result("findings")[0].clone();
    assert_eq!(finding["code"], "RECOVERY_UNFINISHED");
    assert!(finding["message"].as_str().unwrap().contains("functional check"), "{finding}");
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
fn an_edit_after_a_kill_in_the_check_stands_and_is_named_by_whatever_takes_it_back() {
    let settle: [(&[&str], i32); 4] = [
        (&["create-checkpoint", "wf", "--name", "next"], 0),
        (&["undo", "--yes"], 3),
        (&["guard", "wf", "--", "true"], 0),
        (&["resume"], 0),
    ];
    for (command, code) in settle {
        let world = World::new();
        world.tree.write("b.txt", b"base");
        world.checkpoint("base");
        world.tree.write("a.txt", b"edited");
        world.tree.write("b.txt", b"edited");
        killed_in_its_check(&world);
        world.tree.write("b.txt", b"base and IMPORTANT");
        for looks in [&["restore", "wf", "base", "--plan"][..], &["diff", "base"]] {
            let told = world.ok(looks).json.to_string();
            assert!(told.contains("is unfinished") && told.contains("wfr resume"), "{told}");
        }
        let ended = world.command(command).output().unwrap();
        assert_eq!(ended.status.code(), Some(code), "{ended:?}");
        let told = String::from_utf8([ended.stdout, ended.stderr].concat()).unwrap();
        assert!(told.contains("b.txt"), "{command:?}: {told}");
        assert_eq!(
            (world.tree.read("a.txt"), world.tree.read("b.txt")),
            (b"edited".to_vec(), b"base and IMPORTANT".to_vec())
        );
        world.ok(&["doctor"]);
    }
}

#[test]
fn what_is_recorded_while_a_check_runs_stays() {
    for (end, code) in [("true", 0), ("false", 1)] {
        let world = World::new();
        world.ok(&["event", r#"TASK_STARTED:wf:1:{"task_id":"t1"}"#]);
        world.checkpoint("base");
        world.ok(&["event", r#"TASK_COMPLETED:wf:1:{"task_id":"t1"}"#]);
        world.tree.write("a.txt", b"edited");
        let wfr = env!("CARGO_BIN_EXE_wfr");
        let event = |kind: &str| format!(r#"{wfr} event '{kind}:wf:1:{{"task_id":"t2"}}' >&2"#);
        let check = format!("{} && {}; {end}", event("TASK_STARTED"), event("TASK_COMPLETED"));
        let restored = world.call(&["restore", "wf", "base", "--yes", "--functional-check", &check]);
        assert_eq!(restored.code, code, "{restored:?}");
        let status = |task: &str| {
            let state = world.ok(&["get-state", "wf", "--format", "hub"]);
            let phases = state.result("workflow_state")["phases"].as_array().cloned().unwrap_or_default();
            let mut tasks = phases.iter().flat_map(|phase| phase["tasks"].as_array().cloned().unwrap_or_default());
            let found = tasks.find(|one| one["task_id"] == task);
            found.map_or("none".to_owned(), |one| one["status"].as_str().unwrap().to_owned())
        };
        let first = if code == 0 { "active" } else { "completed" };
        assert_eq!((status("t1"), status("t2")), (first.to_owned(), "completed".to_owned()));
        if code == 0 {
            world.ok(&["undo", "--yes"]);
            assert_eq!((status("t1"), status("t2")), ("completed".to_owned(), "completed".to_owned()));
        }
    }
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

/// A restore that was killed when its check had failed: before its end was recorded, or behind that.
fn killed_before_its_undo(is_recorded: bool) -> World {
    caught(|| {
        let world = World::new();
        world.checkpoint("base");
        world.tree.write("a.txt", b"edited");
        world.tree.write("b.txt", b"edited, too");
        let journal = world.vault().join("journal");
        let holds = || {
            let names = std::fs::read_dir(&journal).unwrap().map(|entry| entry.unwrap().file_name());
            let names: Vec<String> = names.map(|name| name.into_string().unwrap()).collect();
            let is_there = |suffix: &str| names.iter().any(|name| name.ends_with(suffix));
            is_there(".failed") && !(is_recorded && is_there(".ready"))
        };
        let call = ["restore", "wf", "base", "--yes", "--functional-check", "false"];
        kill(catch(&world, &call, &[&journal], holds)?);
        // On a busy machine the undo may have begun before the signal came.
        let begun = told(&world).iter().filter(|kind| *kind == "RECOVERY_INITIATED").count();
        (world.tree.read("a.txt") == b"a0\n" && begun == 1).then_some(world)
    })
}

#[test]
fn one_that_is_killed_before_the_undo_of_a_failed_check_is_taken_back() {
    let settle: [(&[&str], i32); 3] =
        [(&["resume"], 0), (&["create-checkpoint", "wf", "--name", "next"], 0), (&["undo", "--yes"], 3)];
    for (is_recorded, (command, code)) in [false, true].into_iter().flat_map(|is| settle.map(|settle| (is, settle))) {
        let world = killed_before_its_undo(is_recorded);
        let found = world.call(&["doctor"]).result("findings").to_string();
        assert!(found.contains("RECOVERY_UNFINISHED"), "{found}");
        world.tree.write("c.txt", b"made since");
        let ended = world.call(command);
        assert_eq!(ended.code, code, "{command:?}: {ended:?}");
        if command == ["resume"] {
            assert_eq!(ended.result("resumed")[0]["recovery_status"], "taken_back", "{ended:?}");
            let findings = ended.result("findings").to_string();
            assert!(findings.contains("FUNCTIONAL_CHECK_FAILED") && findings.contains("taken back"), "{findings}");
        }
        let contents = ["a.txt", "b.txt", "c.txt"].map(|path| world.tree.read(path));
        assert_eq!(contents, [&b"edited"[..], b"edited, too", b"made since"], "{command:?}: {ended:?}");
        let events = ["RECOVERY_INITIATED", "RECOVERY_FAILED", "RECOVERY_INITIATED", "RECOVERY_COMPLETED"];
        assert_eq!(told(&world), events, "{command:?}");
        assert_eq!(world.ok(&["resume"]).result("resumed"), &serde_json::json!([]));
        world.ok(&["doctor"]);
    }
}

#[test]
fn an_edit_before_a_failed_check_is_taken_back_stands_and_is_named() {
    let world = killed_before_its_undo(true);
    world.tree.write("a.txt", b"edited since");
    let resumed = world.ok(&["resume"]);
    assert!(resumed.result("resumed")[0]["kept"].to_string().contains("a.txt"), "{resumed:?}");
    assert_eq!(
        (world.tree.read("a.txt"), world.tree.read("b.txt")),
        (b"edited since".to_vec(), b"edited, too".to_vec())
    );
}

/// One that was done, and behind which was being tidied up, is completed and undone: nothing of it stays, and no check is blamed.
#[test]
fn one_that_had_been_done_is_undone_when_it_is_asked_back() {
    let world = caught(|| {
        let world = World::new();
        world.checkpoint("base");
        for number in 0..200 {
            world.tree.write(format!("many/{number}"), b"edited");
        }
        world.tree.write("a.txt", b"edited");
        let journal = world.vault().join("journal");
        let is_there = |suffix: &str| {
            let names = std::fs::read_dir(&journal).unwrap().map(|entry| entry.unwrap().file_name());
            names.map(|name| name.into_string().unwrap()).any(|name| name.ends_with(suffix))
        };
        kill(catch(&world, &["restore", "wf", "base", "--yes"], &[&journal], || is_there(".stands"))?);
        is_there(".stands").then_some(world)
    });
    let resumed = world.ok(&["resume", "--take-back"]);
    assert_eq!(resumed.result("resumed")[0]["recovery_status"], "taken_back", "{resumed:?}");
    assert_eq!(resumed.result("findings"), &serde_json::json!([]), "{resumed:?}");
    assert_eq!((world.tree.read("a.txt"), world.tree.read("many/199")), (b"edited".to_vec(), b"edited".to_vec()));
    let trail = world.ok(&["recoveries"]);
    for line in trail.result("recoveries").as_array().unwrap() {
        assert_eq!(line["because"], "take_back", "{line}");
    }
    world.ok(&["doctor"]);
}
