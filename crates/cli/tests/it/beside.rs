//! `restore --to`: into a directory of its own, or nowhere.

use std::path::PathBuf;

use crate::world::World;

fn based() -> (World, PathBuf) {
    let world = World::new();
    assert!(std::process::Command::new("mkfifo").arg(world.tree.at("fifo")).status().unwrap().success());
    world.checkpoint("base");
    let out = world.data.path().join("out");
    (world, out)
}

#[test]
fn a_plan_says_what_would_be_written_and_writes_nothing() {
    let (world, out) = based();
    let to = out.to_str().unwrap();
    let planned = world.ok(&["restore", "wf", "base", "--to", to, "--plan"]);
    assert!(!out.exists(), "a plan wrote something");
    assert_eq!(planned.result("recovery_successful"), false);
    let plan = planned.result("plan");
    assert!(plan["steps"].as_array().unwrap().iter().any(|step| step["path"] == "a.txt"), "{plan}");
    let other = format!("sha256:{}", "0".repeat(64));
    world.refused(&["restore", "wf", "base", "--to", to, "--apply", &other], 5, "STALE_PLAN");
    assert!(!out.exists(), "what nobody agreed to was written");
    let digest = plan["digest"].as_str().unwrap();
    let written = world.ok(&["restore", "wf", "base", "--to", to, "--apply", digest]);
    let paths = |list: &serde_json::Value| -> Vec<String> {
        list.as_array().unwrap().iter().map(|step| step["path"].to_string()).collect()
    };
    assert_eq!(paths(written.result("changed")), paths(&plan["steps"]));
    assert!(written.result("kept").as_array().unwrap().iter().any(|kept| kept["path"] == "fifo"), "{written:?}");
}

#[test]
fn a_directory_that_is_there_for_the_view_alone_is_not_written_beside() {
    let (world, out) = based();
    let written = world.ok(&["restore", "wf", "base", "--to", out.to_str().unwrap()]);
    assert!(!out.join(".claude").exists() && out.join("empty").is_dir() == world.tree.at("empty").is_dir());
    assert!(!written.result("changed").to_string().contains(".claude"), "{written:?}");
    world.tree.write(".claude/settings.txt", b"mine");
    world.checkpoint("with");
    let with = world.data.path().join("with");
    world.ok(&["restore", "wf", "with", "--to", with.to_str().unwrap()]);
    assert_eq!(std::fs::read(with.join(".claude/settings.txt")).unwrap(), b"mine");
}

#[test]
fn the_callers_check_runs_in_what_was_written() {
    let (world, out) = based();
    let to = out.to_str().unwrap();
    let check = "test -f a.txt && touch seen && false";
    let failed = ["restore", "wf", "base", "--to", to, "--functional-check", check];
    let refused = world.refused(&failed, 1, "FUNCTIONAL_CHECK_FAILED");
    assert!(out.join("seen").exists(), "{refused:?}");
    assert!(!world.tree.at("seen").exists());
    std::fs::remove_dir_all(&out).unwrap();
    let passed = world.ok(&["restore", "wf", "base", "--to", to, "--functional-check", "test -f a.txt"]);
    assert_eq!(passed.result("validation_results")["functional_check"], "passed");
}

#[test]
fn the_store_and_the_view_are_no_places_for_trees() {
    let (world, _) = based();
    let vault = world.vault();
    let beside = vault.with_file_name("another");
    for place in [vault.join("packs/out"), beside, world.tree.at(".claude/recovery/out")] {
        world.refused(&["restore", "wf", "base", "--to", place.to_str().unwrap()], 2, "INVALID_PARAMETER");
        assert!(!place.exists());
    }
}
