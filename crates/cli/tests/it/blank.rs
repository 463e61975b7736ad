//! Checkpoints of a workflow of which nothing was said yet: they hold that, and a restore goes back to it; and checkpoints that
//! hold no state, which say so.

use serde_json::json;

use crate::states::{at_work, by_hand, export};
use crate::world::{Ended, World};

/// One checkpoint before anything was said, then a task that runs, with a share of resources.
fn begun_after_the_checkpoint() -> World {
    let world = World::new();
    let taken = world.ok(&["create-checkpoint", "wf", "--name", "before"]);
    let shown = world.ok(&["show", "wf", "before"]);
    let state = &shown.result("checkpoint")["workflow_state"];
    assert_eq!((&state["state_version"], &state["active_tasks"]), (&json!(0), &json!(0)), "{taken:?}");
    world.ok(&["create-checkpoint", "wf", r#"{"name":"alone","include_file_backups":false}"#]);
    work(&world);
    world
}

fn work(world: &World) {
    world.ok(&["event", r#"WORKFLOW_STARTED:wf:global:{"name":"Port"}"#]);
    world.ok(&["event", r#"TASK_STARTED:wf:1:{"task_id":"t1","agent_id":"a"}"#]);
    world.ok(&["allocate", "wf", r#"{"resources":{"cpu_cores":2}}"#]);
}

/// Active tasks, agents, and whether a share is in use.
fn counts(world: &World) -> [u64; 3] {
    let state = world.ok(&["export", "wf", "--format", "reference"]).result("document").clone();
    let agents = state["agent_assignments"].as_object().unwrap().len() as u64;
    let shares = u64::from(state["resource_allocations"].get("cpu_cores").is_some());
    [state["active_tasks"].as_u64().unwrap(), agents, shares]
}

fn has_no_state_said(ended: &Ended) -> bool {
    ended.json.to_string().contains("the checkpoint holds no state: the workflow's state stays as it is")
}

#[test]
fn a_restore_goes_back_to_where_nothing_was_said() {
    for target in ["before", "alone"] {
        let world = begun_after_the_checkpoint();
        assert_eq!(counts(&world), [1, 1, 1]);
        let planned = world.ok(&["restore", "wf", target, "--plan"]);
        assert!(!has_no_state_said(&planned), "{planned:?}");
        let restored = world.ok(&["restore", "wf", target, "--yes"]);
        assert!(restored.result("components_restored").to_string().contains("workflow_state"), "{restored:?}");
        assert_eq!(counts(&world), [0, 0, 0], "{target}");
        world.ok(&["validate-state", "wf", "--validation-depth", "comprehensive"]);
        let again = world.ok(&["restore", "wf", target, "--yes"]);
        assert!(again.json["next_steps"].to_string().contains("nothing is to be done"), "{again:?}");
        world.ok(&["undo", "--yes"]);
        assert_eq!(counts(&world), [1, 1, 1], "{target}");
        world.ok(&["validate-state", "wf", "--validation-depth", "comprehensive"]);
    }
}

#[test]
fn a_part_of_it_goes_back_alone() {
    let world = begun_after_the_checkpoint();
    world.tree.write("a.txt", b"edited");
    world.ok(&["partial-restore", "wf", "before", "--components", "workflow_state,agent_assignments", "--yes"]);
    assert_eq!((counts(&world), world.text("a.txt").as_str()), ([0, 0, 1], "edited"));
    world.ok(&[
        "restore",
        "wf",
        "before",
        "--restoration-mode",
        "partial",
        "--components",
        "resource_allocations",
        "--yes",
    ]);
    assert_eq!(counts(&world), [0, 0, 0]);
}

#[test]
fn nothing_comes_to_be_by_a_checkpoint_where_nothing_was_said() {
    let world = World::new();
    world.checkpoint("one");
    world.checkpoint("two");
    assert_eq!(world.ok(&["doctor"]).result("findings"), &json!([]));
    assert_eq!(world.ok(&["events"]).result("events"), &json!([]));
    world.refused(&["export", "wf"], 3, "STATE_NOT_FOUND");
    world.refused(&["repair-state", "wf", "--plan"], 3, "STATE_NOT_FOUND");
    let archive = world.data.path().join("all.wfr");
    world.ok(&["backup-state", "wf", "--output", archive.to_str().unwrap()]);
    let other = World::new();
    other.ok(&["import", archive.to_str().unwrap()]);
    other.refused(&["export", "wf"], 3, "STATE_NOT_FOUND");
    work(&other);
    other.ok(&["partial-restore", "wf", "one", "--components", "workflow_state,agent_assignments", "--yes"]);
    assert_eq!(counts(&other), [0, 0, 1]);
    world.ok(&["doctor", "--rebuild-catalog", "--yes"]);
    work(&world);
    world.ok(&["partial-restore", "wf", "two", "--components", "workflow_state,agent_assignments", "--yes"]);
    assert_eq!(counts(&world), [0, 0, 1]);
}

#[test]
fn a_checkpoint_without_state_says_that_it_has_none() {
    let world = World::new();
    at_work(&world);
    by_hand(&world, "UPDATE parts SET doc = '{' WHERE id = 't1'");
    world.checkpoint("left-out");
    world.ok(&["create-checkpoint", "wf", r#"{"name":"nothing","include_file_backups":false}"#]);
    world.ok(&["repair-state", "wf", "--yes"]);
    let state = export(&world);
    for plan in [&["--plan"][..], &["--yes"]] {
        world.tree.write("a.txt", b"edited");
        let restored = world.ok(&[&["restore", "wf", "left-out"], plan].concat());
        assert!(has_no_state_said(&restored), "{restored:?}");
    }
    let again = world.ok(&["restore", "wf", "left-out", "--yes"]);
    let told = again.json["next_steps"].to_string();
    assert!(has_no_state_said(&again) && told.contains("it holds no state"), "{again:?}");
    let state_alone = ["--components", "workflow_state", "--yes"];
    for one in ["left-out", "nothing"] {
        world.refused(&[&["partial-restore", "wf", one], &state_alone[..]].concat(), 3, "STATE_NOT_FOUND");
        let mode = ["restore", "wf", one, "--restoration-mode", "partial"];
        world.refused(&[&mode[..], &state_alone].concat(), 3, "STATE_NOT_FOUND");
    }
    world.refused(&["restore", "wf", "nothing", "--yes"], 3, "STATE_NOT_FOUND");
    assert_eq!(export(&world), state);
}

#[test]
fn what_was_lost_is_not_taken_for_nothing() {
    let world = World::new();
    at_work(&world);
    world.checkpoint("base");
    by_hand(&world, "DELETE FROM states; DELETE FROM parts; DELETE FROM snapshots; DELETE FROM events");
    world.checkpoint("lost");
    assert_eq!(world.ok(&["show", "wf", "lost"]).result("checkpoint")["workflow_state"], json!(null));
}
