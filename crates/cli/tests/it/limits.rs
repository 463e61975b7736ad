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
    let above = world.data.path().join("above");
    let out = above.join("out");
    let to = ["restore", "wf", "base", "--to", out.to_str().unwrap(), "--timeout"];
    world.refused(&[&to[..], &["0ms"]].concat(), 1, "TIME_LIMIT");
    assert!(!above.exists(), "the directories that were made for it stay");
    std::fs::create_dir(&above).unwrap();
    world.refused(&[&to[..], &["0ms"]].concat(), 1, "TIME_LIMIT");
    assert_eq!(
        std::fs::read_dir(&above).map_or(9, Iterator::count),
        0,
        "what was there before stays, and nothing else"
    );
    world.ok(&[&to[..], &["10m"]].concat());
    assert!(out.join("a.txt").exists());
}

#[test]
fn in_need_it_is_said_what_a_checkpoint_lacks_and_what_to_do() {
    let world = World::new();
    world.ok(&["create-checkpoint", "wf", "--name", "cut", "--deadline", "0s"]);
    let emergency = |more: &[&str]| world.call(&[&["emergency-restore", "wf", "--yes"], more].concat());
    let none = emergency(&[]);
    let advice = none.json["recovery_options"].to_string();
    assert_eq!(none.error(), "NO_VALID_CHECKPOINT", "{none:?}");
    assert!(advice.contains("cut off by a limit") && !advice.contains("repair"), "{advice}");
    let taken = emergency(&["--skip-validation"]).json["next_steps"].to_string();
    assert!(taken.contains("the time was over") && !taken.contains("could not be read"), "{taken}");
    let world = World::new();
    world.checkpoint("whole");
    world.ok(&["create-checkpoint", "wf", "--name", "cut", "--deadline", "0s"]);
    let call = ["emergency-restore", "wf", "--checkpoint", "cut", "--use-latest-valid-checkpoint=false", "--yes"];
    let told = world.call(&call);
    let message = told.json["error"]["message"].as_str().unwrap();
    assert!(message.contains("`cut` is not whole, and no earlier one may be taken"), "{told:?}");
    let unknown = world.refused(&["config", "timeout_limits"], 2, "UNKNOWN_PARAMETER");
    assert!(unknown.json["recovery_options"].to_string().contains("timeout_limits."), "{unknown:?}");
    let guarded = world.command(&["guard", "--", "true"]).output().unwrap();
    let said = String::from_utf8_lossy(&guarded.stderr).into_owned();
    assert!(guarded.status.code() == Some(125) && said.contains("wfr guard WORKFLOW"), "{said}");
}
