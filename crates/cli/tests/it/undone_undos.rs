//! Undos of undos, over cleanups: what the newest takes back does not hang on what all before it saved.

use serde_json::Value;

use crate::states::damage_state;
use crate::world::World;

/// A file that was restored, and then so many undos, each of the one before, with an event before each.
fn undone(undos: usize, with_events: bool) -> World {
    let mut world = World::new();
    world.variables.push(("WFR_NO_UPKEEP", "1".into()));
    world.ok(&["event", r#"TASK_STARTED:wf:1:{"task_id":"before","agent_id":"a"}"#]);
    world.tree.write("a.txt", b"one");
    world.checkpoint("g");
    world.tree.write("a.txt", b"two");
    world.ok(&["event", r#"TASK_COMPLETED:wf:1:{"task_id":"before","agent_id":"a"}"#]);
    world.ok(&["restore", "wf", "g", "--yes"]);
    for number in 0..undos {
        if with_events {
            world.ok(&["event", &format!(r#"TASK_STARTED:wf:1:{{"task_id":"t{number}","agent_id":"a"}}"#)]);
        }
        world.ok(&["undo", "--yes"]);
    }
    world
}

/// The tasks with their status, sorted.
fn tasks(world: &World) -> Vec<(String, String)> {
    let state = world.ok(&["get-state", "wf", "--format", "hub"]);
    let word = |value: &Value| value.as_str().unwrap().to_owned();
    let phases = state.result("workflow_state")["phases"].as_array().unwrap().iter();
    let tasks = phases.flat_map(|phase| phase["tasks"].as_array().unwrap());
    tasks.map(|task| (word(&task["task_id"]), word(&task["status"]))).collect()
}

#[test]
fn an_undo_needs_nothing_that_a_cleanup_takes_while_it_can_be_undone() {
    for (undos, undoable, with_events) in [(2, "1", true), (3, "1", false), (4, "2", true), (12, "10", true)] {
        let (world, spared) = (undone(undos, with_events), undone(undos, with_events));
        let policy = ["cleanup-checkpoints", "--retention-policy", "last=1", "--preserve-critical=false"];
        world.ok(&[&policy[..], &["--undoable", undoable, "--compress-archived"]].concat());
        for again in 0..2 {
            let of = format!("{undos} undos, --undoable {undoable}, events: {with_events}, {again}");
            let (cleaned, whole) = (world.call(&["undo", "--yes"]), spared.ok(&["undo", "--yes"]));
            assert_eq!(cleaned.code, 0, "{of}: {cleaned:?}");
            assert_eq!(cleaned.result("state_changes"), whole.result("state_changes"), "{of}");
            assert_eq!(world.tree.read("a.txt"), spared.tree.read("a.txt"), "{of}");
            assert_eq!(tasks(&world), tasks(&spared), "{of}");
        }
    }
}

#[test]
fn a_state_that_is_damaged_keeps_no_files_from_coming_back_by_what_the_hint_names() {
    let world = undone(0, false);
    let name = world.ok(&["list-checkpoints", "wf"]).result("checkpoints").as_array().unwrap().last().unwrap()["name"]
        .as_str()
        .unwrap()
        .to_owned();
    damage_state(&world, &name);
    let refused = world.refused(&["undo", "--yes"], 4, "CHECKPOINT_INTEGRITY_FAILURE");
    let hint = format!("`wfr restore wf {name} --error-handling ignore`");
    let told = refused.json.to_string();
    assert!(told.contains(&hint) && !told.contains("`--error-handling"), "{told}");
    world.ok(&["restore", "wf", &name, "--error-handling", "ignore", "--yes"]);
    assert_eq!(world.tree.read("a.txt"), b"two");
}
