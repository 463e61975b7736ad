//! Checkpoints with state: what a restore and its undo make of files and state together, and what a lost catalog leaves.

use serde_json::{Value, json};

use crate::world::World;

/// Tells of one event.
fn tell(world: &World, line: &str) {
    world.ok(&["event", line]);
}

/// A workflow with one task done and one being worked on, and a checkpoint of that named `mid`.
fn half_done() -> World {
    let world = World::new();
    tell(&world, r#"WORKFLOW_CREATED:wf:global:{"name":"Port","phases":[{"phase_id":1,"name":"Build"}]}"#);
    tell(&world, "WORKFLOW_STARTED:wf:global:{}");
    tell(&world, "PHASE_STARTED:wf:1:{}");
    for (task, agent) in [("t1", "a1"), ("t2", "a2")] {
        tell(&world, &format!(r#"TASK_STARTED:wf:1:{{"task_id":"{task}","agent_id":"{agent}"}}"#));
    }
    tell(&world, r#"TASK_COMPLETED:wf:1:{"task_id":"t1","agent_id":"a1"}"#);
    world.ok(&["create-checkpoint", "wf", "--name", "mid"]);
    world
}

/// What the newest checkpoint says of the workflow's state, with the counts that matter here.
fn counts(world: &World, checkpoint: &str) -> Value {
    let shown = world.ok(&["show", "wf", checkpoint]);
    let state = &shown.result("checkpoint")["workflow_state"];
    assert!(state.is_object(), "the checkpoint holds a state: {shown:?}");
    json!([
        state["completed_tasks"],
        state["active_tasks"],
        state["failed_tasks"],
        state["agent_assignments"]["a2"]["current_task"]
    ])
}

/// The counts as they are now.
fn now(world: &World, name: &str) -> Value {
    world.ok(&["create-checkpoint", "wf", "--name", name, r#"{"include_file_backups":false}"#]);
    counts(world, name)
}

#[test]
fn a_restore_sets_files_and_state_and_its_undo_takes_both_back() {
    let world = half_done();
    let mid = json!([1, 1, 0, "t2"]);
    assert_eq!(counts(&world, "mid"), mid);
    tell(&world, r#"TASK_FAILED:wf:1:{"task_id":"t2","agent_id":"a2","failure_reason":"x","retry_count":0}"#);
    std::fs::write(world.root().join("broken"), "by a2").unwrap();
    let failed = json!([1, 0, 1, null]);
    assert_eq!(now(&world, "failed"), failed);

    let restored = world.ok(&["restore", "wf", "mid", "--yes"]);
    assert!(!world.root().join("broken").exists());
    let components = restored.result("components_restored").to_string();
    assert!(components.contains("file_system") && components.contains("workflow_state"), "{components}");
    assert_eq!(restored.result("state_changes")["tasks"], 1);
    assert_eq!(now(&world, "restored"), mid);

    world.ok(&["undo", "--yes"]);
    assert!(world.root().join("broken").exists());
    assert_eq!(now(&world, "undone"), failed);
}

#[test]
fn an_undo_keeps_what_the_workflow_did_since() {
    let world = half_done();
    tell(&world, r#"TASK_FAILED:wf:1:{"task_id":"t2","agent_id":"a2","failure_reason":"x","retry_count":0}"#);
    world.ok(&["restore", "wf", "mid", "--yes"]);
    tell(&world, r#"TASK_COMPLETED:wf:1:{"task_id":"t2","agent_id":"a2"}"#);
    world.ok(&["undo", "--yes"]);
    assert_eq!(now(&world, "after")[0], 2, "t2 was completed after the restore");
}

#[test]
fn progress_is_kept_where_that_is_asked_for() {
    let world = half_done();
    tell(&world, r#"TASK_COMPLETED:wf:1:{"task_id":"t2","agent_id":"a2"}"#);
    std::fs::write(world.root().join("later"), "x").unwrap();
    world.ok(&["restore", "wf", "mid", "--yes", "--preserve-progress"]);
    assert!(!world.root().join("later").exists());
    assert_eq!(now(&world, "after"), json!([2, 0, 0, null]));
}

#[test]
fn a_checkpoint_of_state_alone_leaves_the_files_alone() {
    let world = half_done();
    world.ok(&["create-checkpoint", "wf", "--name", "state", r#"{"include_file_backups":false}"#]);
    tell(&world, r#"TASK_COMPLETED:wf:1:{"task_id":"t2","agent_id":"a2"}"#);
    std::fs::write(world.root().join("later"), "x").unwrap();
    let restored = world.ok(&["restore", "wf", "state", "--yes"]);
    assert_eq!(restored.result("changed"), &json!([]));
    assert!(world.root().join("later").exists());
    assert_eq!(now(&world, "after"), json!([1, 1, 0, "t2"]));
    let again = world.ok(&["restore", "wf", "state", "--yes"]);
    assert!(again.json["next_steps"].to_string().contains("holds no files"), "{again:?}");
    world.ok(&["undo", "--yes"]);
    assert_eq!(now(&world, "undone"), json!([2, 0, 0, null]));
}

#[test]
fn a_lost_catalog_gets_its_events_back_and_states_fold_again() {
    let world = half_done();
    let before = counts(&world, "mid");
    for suffix in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(world.vault().join(format!("catalog.db{suffix}")));
    }
    let rebuilt = world.ok(&["doctor", "--rebuild-catalog"]);
    assert_eq!(rebuilt.result("events_rebuilt"), 6);
    assert_eq!(now(&world, "again"), before);
}

#[test]
fn an_undo_gives_owners_back_that_nothing_else_differs_by() {
    use std::os::unix::fs::{MetadataExt, chown};
    let world = World::new();
    world.tree.write("owned", b"mine");
    let place = world.root().join("owned");
    if chown(&place, Some(1_234), Some(5_678)).is_err() {
        wfr_testkit::skip("owners can be set by root only");
        return;
    }
    let owner = || {
        let meta = std::fs::symlink_metadata(&place).unwrap();
        (meta.uid(), meta.gid())
    };
    world.checkpoint("base");
    chown(&place, Some(0), Some(0)).unwrap();
    world.ok(&["restore", "wf", "base", "--yes"]);
    assert_eq!(owner(), (1_234, 5_678));
    world.ok(&["undo", "--yes"]);
    assert_eq!(owner(), (0, 0));
}

#[test]
fn files_of_a_checkpoint_of_state_only_are_refused() {
    let world = World::new();
    world.tree.write("f", b"1");
    world.ok(&["event", "WORKFLOW_STARTED:wf:global:{}"]);
    world.ok(&["create-checkpoint", "wf", "--name", "state", "--include-file-backups=false"]);
    world.tree.write("f", b"2");
    for arguments in [
        &["partial-restore", "wf", "state", "--file", "f", "--yes"][..],
        &["partial-restore", "wf", "state", "--components", "file_system", "--plan"],
        &["restore", "wf", "state", "--restoration-mode", "partial", "--file", "f", "--yes"],
    ] {
        let refused = world.refused(arguments, 3, "PATH_NOT_FOUND");
        assert!(refused.json["error"]["message"].as_str().unwrap().contains("no files"), "{refused:?}");
    }
    world.ok(&["partial-restore", "wf", "state", "--components", "workflow_state", "--yes"]);
    world.ok(&["partial-restore", "wf", "state", "--yes"]);
    assert_eq!(world.tree.read("f"), b"2");
}
