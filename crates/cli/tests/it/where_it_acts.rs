//! Which workspace is acted on, where the current directory is not in it.

use std::path::Path;

use wfr_testkit::TestTree;

use crate::world::{Ended, World, ended};

/// A workspace whose store is named, and a directory beside it that is not protected.
fn two() -> (World, tempfile::TempDir) {
    let world = World::unprotected(TestTree::new());
    world.tree.write("f", b"base\n");
    world.ok(&["init"]);
    world.checkpoint("base");
    world.tree.write("f", b"precious\n");
    (world, tempfile::tempdir().unwrap())
}

fn call(world: &World, dir: &Path, arguments: &[&str]) -> Ended {
    let mut command = world.command(arguments);
    ended(command.arg("--json").current_dir(dir).env("WFR_STORE", world.vault()).output().unwrap())
}

fn precious(world: &World) -> bool {
    std::fs::read(world.tree.at("f")).unwrap() == b"precious\n"
}

#[test]
fn a_store_in_the_environment_leads_nobody_to_change_another_directory() {
    let (world, plain) = two();
    let root = world.root().to_str().unwrap();
    for arguments in [
        &["restore", "wf", "base", "--yes"][..],
        &["undo", "--yes"],
        &["emergency-restore", "wf", "--yes"],
        &["rollback", "wf", "--agent", "a", "--yes"],
        &["create-checkpoint", "wf"],
        &["change", "begin", "--workflow", "wf", "--agent", "a"],
        &["event", "TASK_STARTED:wf:1:{\"task_id\":\"t1\",\"agent_id\":\"a1\"}"],
        &["cleanup-checkpoints", "wf"],
        &["resume"],
        &["config", "capture.file_bytes_max", "5"],
        &["doctor", "--rebuild-catalog"],
        &["guard", "wf", "--", "true"],
    ] {
        let refused = match arguments[0] {
            // Its own answer comes before the command's.
            "guard" => {
                let mut command = world.command(arguments);
                let output = command.current_dir(plain.path()).env("WFR_STORE", world.vault()).output().unwrap();
                assert!(!output.status.success(), "{output:?}");
                String::from_utf8_lossy(&output.stderr).into_owned()
            }
            _ => {
                let refused = call(&world, plain.path(), arguments);
                assert_eq!((refused.code, refused.error()), (3, "WORKSPACE_NOT_FOUND"), "{arguments:?}: {refused:?}");
                refused.json.to_string()
            }
        };
        assert!(refused.contains(root) && refused.contains("--workspace"), "{arguments:?}: {refused}");
        assert!(precious(&world) && world.names() == ["base"], "{arguments:?}");
    }
    // Who names the workspace means it, and who is in it needs not.
    let named = call(&world, plain.path(), &["create-checkpoint", "wf", "--name", "named", "--workspace", root]);
    assert_eq!(named.code, 0, "{named:?}");
    let within = call(&world, world.root(), &["restore", "wf", "base", "--yes"]);
    assert_eq!(within.code, 0, "{within:?}");
    assert!(!within.json.to_string().contains("current directory"), "{within:?}");
    assert!(!precious(&world));
}

#[test]
fn what_only_looks_names_the_workspace_that_it_looks_at() {
    let (world, plain) = two();
    let root = world.root().to_str().unwrap();
    for arguments in [&["list-checkpoints", "wf"][..], &["restore", "wf", "base", "--plan"], &["doctor"]] {
        let looked = call(&world, plain.path(), arguments);
        assert_eq!(looked.code, 0, "{looked:?}");
        assert!(looked.json["next_steps"].to_string().contains(root), "{arguments:?}: {looked:?}");
        let mut command = world.command(arguments);
        let output = command.current_dir(plain.path()).env("WFR_STORE", world.vault()).output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(told.starts_with(&format!("Workspace: {root}\n")), "{told}");
        let within = world.command(arguments).output().unwrap();
        assert!(!String::from_utf8_lossy(&within.stderr).contains("Workspace:"), "{within:?}");
    }
    // So does what acts on one that was named.
    let elsewhere = world.command(&["create-checkpoint", "wf", "--workspace", root]).current_dir("/").output().unwrap();
    assert!(String::from_utf8_lossy(&elsewhere.stderr).contains(root), "{elsewhere:?}");
    // And what is written elsewhere on request changes nothing here.
    let to = plain.path().join("out");
    assert_eq!(call(&world, plain.path(), &["restore", "wf", "base", "--to", to.to_str().unwrap(), "--yes"]).code, 0);
    assert!(to.join("f").exists() && precious(&world));
}

#[test]
fn a_workspace_with_a_store_of_its_own_is_no_copy_of_the_one_that_another_store_serves() {
    let (world, _plain) = two();
    let other = World::unprotected(TestTree::new());
    other.tree.write("g", b"1\n");
    other.ok(&["init"]);
    for more in [&[][..], &["--workspace", other.root().to_str().unwrap()]] {
        let arguments = [&["list-checkpoints"][..], more].concat();
        let mut command = other.command(&arguments);
        let refused = ended(command.arg("--json").env("WFR_STORE", world.vault()).output().unwrap());
        assert_eq!((refused.code, refused.error()), (5, "ALREADY_PROTECTED"), "{refused:?}");
        let told = refused.json.to_string();
        assert!(told.contains(world.root().to_str().unwrap()) && !told.contains("remove `.claude"), "{told}");
    }
    assert!(other.tree.at(".claude/recovery/config.toml").exists());
}
