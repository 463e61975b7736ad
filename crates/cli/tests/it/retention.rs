//! Which checkpoints stay: by rule, by their own policy, by what they are; and makers beside cleaners.
//!
//! Owns what must be left. Refuses to know how bytes are freed.

use std::process::Child;

use serde_json::{Value, json};
use wfr_testkit::{Prng, Snapshot};

use crate::catch::spawn;
use crate::integrity::damage;
use crate::world::World;

/// One checkpoint of every sort that is worth more than others, and plain ones around it.
fn of_every_sort() -> World {
    let world = World::new();
    for (number, parameters) in [
        json!({"name": "plain-1"}),
        json!({"name": "own", "retention_policy": "30d"}),
        json!({"name": "tagged", "tags": ["stable"]}),
        json!({"checkpoint_type": "phase_complete", "name": "phase", "phase_id": 1}),
        json!({"checkpoint_type": "emergency", "name": "emergency"}),
        json!({"name": "plain-2"}),
        json!({"name": "newest"}),
    ]
    .iter()
    .enumerate()
    {
        world.tree.write("file", format!("{number}").as_bytes());
        world.ok(&["create-checkpoint", "wf", &parameters.to_string()]);
    }
    world
}

fn cleanup(world: &World, parameters: Value) -> Vec<String> {
    world.ok(&["cleanup-checkpoints", "wf", &parameters.to_string()]);
    world.names()
}

#[test]
fn rules_keep_what_they_name_and_nothing_else() {
    for (parameters, left) in [
        (
            json!({"retention_policy": "30_days"}),
            &["plain-1", "own", "tagged", "phase", "emergency", "plain-2", "newest"][..],
        ),
        (json!({"retention_policy": "last=2"}), &["own", "tagged", "phase", "emergency", "plain-2", "newest"]),
        (json!({"retention_policy": "last=0,tagged=none"}), &["own", "tagged", "phase", "emergency", "newest"]),
        (json!({"retention_policy": "last=1", "preserve_critical": false}), &["own", "newest"]),
        (
            json!({"retention_policy": {"last": 1, "tagged": ["stable"]}, "preserve_critical": false}),
            &["own", "tagged", "newest"],
        ),
    ] {
        let world = of_every_sort();
        let mut tried = parameters.clone();
        tried["dry_run"] = true.into();
        let dry = world.ok(&["cleanup-checkpoints", "wf", &tried.to_string()]);
        assert_eq!(world.names().len(), 7, "a dry run removes nothing");
        assert_eq!(dry.result("decisions").as_array().unwrap().len(), 7);
        assert_eq!(cleanup(&world, parameters.clone()), left, "{parameters}");
        assert_eq!(dry.result("removed").as_array().unwrap().len(), 7 - left.len(), "{parameters}");
        for name in left {
            world.ok(&["validate-checkpoint", "wf", name, "--validation-level", "comprehensive"]);
        }
        world.ok(&["doctor"]);
    }
}

#[test]
fn a_policy_that_keeps_nothing_is_refused() {
    let world = World::new();
    world.checkpoint("only");
    for policy in [json!("0d"), json!("last=0"), json!("within=0s,daily=0"), json!({"last": 0, "weekly": 0})] {
        let parameters = json!({"retention_policy": policy}).to_string();
        world.refused(&["cleanup-checkpoints", "wf", &parameters], 2, "INVALID_PARAMETER");
    }
    let key = "recovery_configuration.checkpoint_policy.retention_period";
    world.refused(&["config", key, "0d"], 2, "INVALID_PARAMETER");
    assert_eq!(world.names(), ["only"]);
    world.ok(&["config", key, "1h"]);
}

#[test]
fn what_a_recovery_saved_takes_no_checkpoints_place() {
    let world = World::new();
    world.tree.write("file", b"good");
    world.checkpoint("good");
    world.tree.write("file", b"better");
    world.checkpoint("better");
    world.tree.write("file", b"broken");
    let restored = world.ok(&["restore", "wf", "good", "--yes"]);
    let safety = restored.result("safety_checkpoint").as_str().unwrap().to_owned();
    let named = |reference: &str| world.ok(&["show", reference]).result("checkpoint")["name"].clone();
    assert_eq!((named("latest"), named("latest-valid")), (json!("better"), json!("better")));
    assert_ne!(named(&safety), "better", "it is reached by its id");
    world.ok(&["cleanup-checkpoints", "wf", "--retention-policy", "daily=1"]);
    let names = world.names();
    assert!(names.contains(&"better".to_owned()), "{names:?}");
    assert_eq!(names.len(), 3, "and the recovery can be undone, which needs what it went to: {names:?}");
    world.ok(&["undo", "--yes"]);
    assert_eq!(world.tree.read("file"), b"broken");
    world.ok(&["cleanup-checkpoints", "wf", "--retention-policy", "last=2"]);
    assert!(world.names().contains(&"better".to_owned()), "{:?}", world.names());
    world.ok(&["restore", "wf", "better", "--yes"]);
    assert_eq!(world.tree.read("file"), b"better");
}

#[test]
fn rules_hold_for_checkpoints_that_all_lack_something() {
    let world = World::new();
    world.ok(&["config", "capture.file_bytes_max", "4000000"]);
    world.tree.write("large", &vec![1; 5_000_000]);
    for number in 1..=5 {
        world.tree.write("work", format!("version {number}").as_bytes());
        let made = world.ok(&["create-checkpoint", "wf", "--name", &format!("c{number}")]);
        assert_eq!(made.result("coverage")["complete"], false, "{made:?}");
    }
    let policy = ["cleanup-checkpoints", "wf", "--retention-policy", "last=10,daily=7,weekly=4", "--report-cleanup"];
    let cleaned = world.ok(&policy);
    assert_eq!(cleaned.result("removed"), &json!([]), "{cleaned:?}");
    assert_eq!(world.names(), ["c1", "c2", "c3", "c4", "c5"]);
    assert!(!cleaned.result("decisions").to_string().contains("that is whole"), "{cleaned:?}");
    assert_eq!(cleanup(&world, json!({"retention_policy": "last=2"})), ["c4", "c5"]);
    world.tree.remove("large");
    world.checkpoint("whole");
    world.tree.write("large", &vec![1; 5_000_000]);
    for name in ["c6", "c7"] {
        world.checkpoint(name);
    }
    assert_eq!(cleanup(&world, json!({"retention_policy": "last=2"})), ["whole", "c6", "c7"]);
}

#[test]
fn what_is_intact_in_damaged_checkpoints_is_not_given_up_for_one_that_is_whole() {
    let world = World::new();
    let noise = Prng::new(9).bytes(5_000);
    world.tree.write("noise", &noise);
    for name in ["a", "b", "c"] {
        world.tree.write("work", format!("as in {name}").as_bytes());
        world.checkpoint(name);
    }
    damage(&world, &noise);
    for name in ["a", "b", "c"] {
        let validate = ["validate-checkpoint", name, "--validation-level", "comprehensive"];
        world.refused(&validate, 4, "CHECKPOINT_INTEGRITY_FAILURE");
    }
    world.tree.write("noise", b"other");
    world.tree.write("work", b"overwritten");
    world.checkpoint("d");
    assert_eq!(cleanup(&world, json!({"retention_policy": "last=10"})), ["a", "b", "c", "d"]);
    assert_eq!(cleanup(&world, json!({"retention_policy": "last=1"})), ["c", "d"]);
    world.ok(&["restore", "wf", "c", "--yes", "--error-handling", "ignore"]);
    assert_eq!(world.tree.read("work"), b"as in c");
}

#[test]
fn one_workflows_cleanup_is_not_anothers() {
    let world = World::new();
    for workflow in ["one", "two"] {
        for name in ["old", "new"] {
            world.tree.write("file", format!("{workflow} {name}").as_bytes());
            world.ok(&["create-checkpoint", workflow, "--name", name]);
        }
    }
    world.ok(&["cleanup-checkpoints", "one", "--retention-policy", "last=1"]);
    let count = |workflow: &str| world.ok(&["list-checkpoints", workflow]).result("total").as_u64().unwrap();
    assert_eq!((count("one"), count("two")), (1, 2));
    world.ok(&["cleanup-checkpoints", "--retention-policy", "last=1"]);
    assert_eq!((count("one"), count("two")), (1, 1));
    assert_eq!(world.command(&["cat", "two", "new", "file"]).output().unwrap().stdout, b"two new");
}

#[test]
fn a_name_is_free_again_after_its_checkpoint_went() {
    let world = World::new();
    world.tree.write("file", b"1");
    world.checkpoint("name");
    world.checkpoint("newest");
    assert_eq!(cleanup(&world, json!({"retention_policy": "last=1"})), ["newest"]);
    world.refused(&["show", "name"], 3, "CHECKPOINT_NOT_FOUND");
    world.tree.write("file", b"2");
    world.checkpoint("name");
    assert_eq!(world.command(&["cat", "name", "file"]).output().unwrap().stdout, b"2");
}

/// Waits for processes; those that succeeded.
fn successes(children: Vec<(String, Child)>) -> Vec<String> {
    let ended = children.into_iter().map(|(name, child)| (name, child.wait_with_output().unwrap()));
    ended.filter(|(_, output)| output.status.success()).map(|(name, _)| name).collect()
}

#[test]
fn makers_and_cleaners_in_many_processes_lose_nothing_acknowledged() {
    let world = World::new();
    world.checkpoint("base");
    let mut prng = Prng::new(8);
    let mut kept: Vec<(String, Snapshot)> = Vec::new();
    let policy = r#"{"retention_policy": "last=1", "preserve_critical": false, "compress_archived": true}"#;
    for round in 0..5 {
        world.tree.write("noise", &prng.bytes(200_000));
        let state = world.snapshot();
        let names: Vec<String> = (0..3).map(|number| format!("kept-{round}-{number}")).collect();
        let mut makers = Vec::new();
        let mut cleaners = Vec::new();
        for name in &names {
            let create = ["create-checkpoint", "wf", "--name", name, "--retention-policy", "permanent"];
            makers.push((name.clone(), spawn(&world, &create)));
            makers.push((String::new(), spawn(&world, &["create-checkpoint", "wf"])));
            cleaners.push((String::new(), spawn(&world, &["cleanup-checkpoints", "wf", policy])));
        }
        let made = successes(makers);
        kept.extend(made.into_iter().filter(|name| !name.is_empty()).map(|name| (name, state.clone())));
        successes(cleaners);
    }
    assert!(kept.len() >= 10, "most are acknowledged: {}", kept.len());
    for (name, state) in &kept {
        state.assert_same(&world.written_out(name));
    }
    let newest = world.names().pop().unwrap();
    world.ok(&["validate-checkpoint", "wf", &newest, "--validation-level", "comprehensive"]);
    world.ok(&["cleanup-checkpoints", "wf"]);
    world.ok(&["doctor"]);
}
