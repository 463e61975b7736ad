//! Time limits of everything that changes files: one that is over before anything is changed changes nothing.
//!
//! Owns what is left then. Refuses to wait: a limit of nothing is over at once.

use crate::world::World;

const CONFIGURED: &str = "recovery_configuration.validation_settings.timeout_limits.restoration_timeout";

/// A workspace with a checkpoint, a change of an agent's, and an edit, and a recovery that can be undone.
fn worked_on() -> World {
    let world = World::new();
    world.checkpoint("base");
    let begun = world.ok(&["change", "begin", "--workflow", "wf", "--agent", "a1", "--paths", "b.txt"]);
    world.tree.write("b.txt", b"the agent's");
    world.ok(&["change", "end", begun.result("token").as_str().unwrap()]);
    world.tree.write("a.txt", b"edited");
    world.ok(&["partial-restore", "wf", "base", "--file", "a.txt", "--yes"]);
    world.tree.write("a.txt", b"edited again");
    world
}

#[test]
fn a_limit_that_is_over_at_once_changes_nothing_whatever_is_asked_for() {
    let world = worked_on();
    let (before, checkpoints) = (world.snapshot(), world.names());
    let calls: [&[&str]; 6] = [
        &["restore", "wf", "base", "--yes"],
        &["restore", "wf", "base", "--yes", "--functional-check", "touch by_check"],
        &["partial-restore", "wf", "base", "--file", "a.txt", "--yes"],
        &["emergency-restore", "wf", "--yes"],
        &["rollback", "wf", "--agent", "a1", "--yes"],
        &["undo", "--yes"],
    ];
    for call in calls {
        let refused = world.refused(&[call, &["--timeout", "0s"]].concat(), 1, "TIME_LIMIT");
        assert!(refused.json["error"]["message"].as_str().unwrap().contains("before anything was changed"));
        before.assert_same(&world.snapshot());
    }
    world.ok(&["config", CONFIGURED, "0s"]);
    for call in calls {
        world.refused(call, 1, "TIME_LIMIT");
        before.assert_same(&world.snapshot());
        assert_eq!(world.names(), checkpoints, "{call:?}: what saved nothing does not stay");
    }
    world.ok(&["doctor"]);
    // What the call says counts before what is configured.
    world.ok(&["undo", "--yes", "--timeout", "10m"]);
    world.ok(&["rollback", "wf", "--agent", "a1", "--yes", "--timeout", "10m"]);
    assert!(!world.tree.at("b.txt").exists());
    world.ok(&["emergency-restore", "wf", "--yes", "--timeout", "permanent"]);
    assert_eq!(world.tree.read("a.txt"), b"a0\n");
}

#[test]
fn writing_beside_has_a_limit_too_and_leaves_nothing() {
    let world = World::new();
    world.checkpoint("base");
    let out = world.data.path().join("out");
    let to = ["restore", "wf", "base", "--to", out.to_str().unwrap(), "--timeout"];
    world.refused(&[&to[..], &["0ms"]].concat(), 1, "TIME_LIMIT");
    assert_eq!(std::fs::read_dir(&out).map_or(0, Iterator::count), 0);
    world.ok(&[&to[..], &["10m"]].concat());
    assert!(out.join("a.txt").exists());
}
