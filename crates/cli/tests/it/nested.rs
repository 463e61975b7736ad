//! Workspaces and vaults inside one another: each is only its own keeper's.
//!
//! Owns that a snapshot takes nobody else's vault or view, and where no workspace may be made.

use serde_json::Value;
use wfr_testkit::TestTree;

use crate::world::World;

/// A workspace whose tree holds two others: one with its vault beside it in the tree, one with its vault in its view.
fn with_others() -> World {
    let world = World::unprotected(TestTree::new());
    for path in ["mine", "inner/file", "deep/er/file"] {
        world.tree.write(path, b"1");
    }
    world.ok(&["init"]);
    inside(&world, "inner", &["init", "--store", world.tree.at("stores/inner").to_str().unwrap()]);
    let vault = world.tree.at("deep/er/.claude/recovery/vault");
    inside(&world, "deep/er", &["init", "--store", vault.to_str().unwrap()]);
    world
}

/// Calls `wfr` in a directory of the tree; it must succeed.
#[track_caller]
fn inside(world: &World, dir: &str, arguments: &[&str]) -> Value {
    let output = world.command(arguments).arg("--json").current_dir(world.tree.at(dir)).output().unwrap();
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {json:#}");
    json["result"].clone()
}

#[test]
fn a_restore_of_the_outer_one_takes_nobodys_vault_back() {
    let world = with_others();
    let places = ["stores/inner", "inner/.claude/recovery", "deep/er/.claude/recovery"];
    for dir in ["inner", "deep/er"] {
        inside(&world, dir, &["create-checkpoint", "wf", "--name", "one"]);
    }
    let base = world.checkpoint("base");
    let reasons = base.result("coverage")["skipped"].as_array().unwrap().clone();
    let own = reasons.iter().find(|sum| sum["reason"] == "own_files").unwrap();
    assert_eq!(own["count"], 1 + places.len() as u64, "{reasons:?}");
    for dir in ["inner", "deep/er"] {
        world.tree.write(format!("{dir}/file"), b"2");
        inside(&world, dir, &["create-checkpoint", "wf", "--name", "two"]);
    }
    world.tree.write("mine", b"2");
    let restored = world.ok(&["restore", "wf", "base", "--yes", "--exact-mtime"]);
    let changed = restored.result("changed").to_string();
    assert!(places.iter().all(|place| !changed.contains(place)), "{changed}");
    for dir in ["inner", "deep/er"] {
        assert_eq!(world.tree.read(format!("{dir}/file")), b"1");
        assert_eq!(inside(&world, dir, &["list-checkpoints", "wf"])["total"], 2, "{dir}");
        inside(&world, dir, &["validate-checkpoint", "two", "--validation-level", "comprehensive"]);
        inside(&world, dir, &["restore", "wf", "two", "--yes"]);
        assert_eq!(world.tree.read(format!("{dir}/file")), b"2");
        inside(&world, dir, &["doctor"]);
    }
    let out = world.data.path().join("out");
    world.ok(&["restore", "wf", "base", "--to", out.to_str().unwrap()]);
    assert!(out.join("inner/file").exists() && places.iter().all(|place| !out.join(place).exists()));
}

#[test]
fn a_restore_to_before_the_others_came_leaves_them() {
    let world = World::unprotected(TestTree::new());
    world.tree.write("mine", b"1");
    world.ok(&["init"]);
    world.checkpoint("before");
    world.tree.write("inner/file", b"1");
    inside(&world, "inner", &["init", "--store", world.tree.at("stores/inner").to_str().unwrap()]);
    inside(&world, "inner", &["create-checkpoint", "wf", "--name", "one"]);
    world.ok(&["restore", "wf", "before", "--yes"]);
    assert!(!world.tree.at("inner/file").exists());
    inside(&world, "inner", &["restore", "wf", "one", "--yes"]);
    assert_eq!(world.tree.read("inner/file"), b"1");
}

#[test]
fn no_workspace_is_made_where_stores_are_or_in_git() {
    let world = World::new();
    world.tree.write(".git/HEAD", b"ref: refs/heads/main");
    let vault = world.vault();
    for dir in [vault.clone(), vault.join("packs"), vault.parent().unwrap().to_owned(), world.tree.at(".git")] {
        let refused = world.refused(&["init", dir.to_str().unwrap()], 2, "UNSUITABLE_PLACE");
        assert!(!dir.join(".claude").exists(), "{refused:?}");
    }
    let other = TestTree::new();
    let within = vault.join("packs/mine");
    let arguments = ["init", other.path().to_str().unwrap(), "--store", within.to_str().unwrap()];
    world.refused(&arguments, 2, "UNSUITABLE_PLACE");
    assert!(!within.exists());
    // A project's own file of that name makes no vault.
    let plain = TestTree::new();
    plain.write("format.json", br#"{"format_version": 1}"#);
    plain.write("sub/file", b"x");
    world.ok(&["init", plain.at("sub").to_str().unwrap()]);
}

#[test]
fn git_that_a_checkpoint_holds_is_left_alone_and_the_way_to_it_is_said() {
    let world = World::new();
    world.ok(&["config", "capture.exclude", "[]"]);
    world.tree.write(".git/HEAD", b"ref: refs/heads/main\n");
    world.tree.write(".git/objects/aa/bb", b"object");
    world.checkpoint("base");
    std::fs::remove_dir_all(world.tree.at(".git")).unwrap();
    for asked in ["--plan", "--yes"] {
        let told = world.ok(&["restore", "wf", "base", asked]);
        let findings = if asked == "--plan" { &told.result("plan")["findings"] } else { told.result("findings") };
        assert_eq!(findings[0]["code"], "GIT_LEFT_ALONE", "{told:?}");
        assert!(findings[0]["fix"].as_str().unwrap().contains("--to DIR"), "{told:?}");
    }
    let planned = world.ok(&["restore", "wf", "base", "--plan"]);
    assert_eq!(planned.result("plan")["kept"], serde_json::json!([{"path": ".git", "reason": "git"}]), "{planned:?}");
    let idle = world.ok(&["restore", "wf", "base", "--yes"]);
    assert!(idle.json["next_steps"].to_string().contains("all but git's own"), "{idle:?}");
    assert!(!world.tree.at(".git").exists());
    let out = world.data.path().join("out");
    let beside = ["restore", "wf", "base", "--to", out.to_str().unwrap()];
    let planned = world.ok(&[&beside[..], &["--plan"]].concat());
    let written = world.ok(&[&beside[..], &["--yes"]].concat());
    for (told, steps) in [(planned.result("plan"), "steps"), (&written.json["result"], "changed")] {
        let has = |path: &str| told[steps].as_array().unwrap().iter().any(|step| step["path"] == path);
        assert!(has(".git") && has(".git/HEAD") && has(".git/objects/aa/bb"), "{told}");
        assert!(!told["kept"].to_string().contains(".git") && !told.to_string().contains("GIT_LEFT_ALONE"), "{told}");
    }
    assert_eq!(std::fs::read(out.join(".git/objects/aa/bb")).unwrap(), b"object");
    world.tree.write(".git/HEAD", b"ref: refs/heads/main\n");
    let into = world.tree.at(".git/x");
    world.refused(&["restore", "wf", "base", "--to", into.to_str().unwrap(), "--yes"], 2, "INVALID_PARAMETER");
    assert!(!into.exists());
}

#[test]
fn a_workspace_within_another_one_is_said_with_the_way_back() {
    let world = World::unprotected(TestTree::new());
    world.tree.write("mine", b"1");
    world.tree.write("inner/file", b"1");
    let outer = world.ok(&["init"]).json.to_string();
    assert!(!outer.contains("lies within the workspace"), "{outer}");
    world.checkpoint("base");
    let call = || {
        let output = world.command(&["init", "--json"]).current_dir(world.tree.at("inner")).output().unwrap();
        serde_json::from_slice::<Value>(&output.stdout).unwrap()
    };
    let told = call();
    let step = told["next_steps"][0].as_str().unwrap();
    let (root, inner) = (world.root().to_str().unwrap(), world.tree.at("inner"));
    assert!(step.starts_with(&format!("{} lies within the workspace {root}, ", inner.display())), "{told:#}");
    assert!(!call()["next_steps"].to_string().contains("lies within"), "said once");
    // The way back that it names works.
    let (_, named) = step.split_once("remove ").unwrap();
    for path in named.split(", ").map(std::path::Path::new) {
        if path.is_dir() { std::fs::remove_dir_all(path).unwrap() } else { std::fs::remove_file(path).unwrap() }
    }
    assert_eq!(inside(&world, "inner", &["list-checkpoints", "wf"])["total"], 1);
}
