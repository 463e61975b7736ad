//! After arbitrary edits a restore gives the tree back exactly, and an undo the edited one.

use std::os::unix::fs::{MetadataExt, PermissionsExt};

use serde_json::json;
use wfr_testkit::{Prng, TestTree, TreeShape, edit_at_random, grow};

use crate::world::World;

fn there_and_back(seed: u64) {
    let mut prng = Prng::new(seed);
    let world = World::unprotected(TestTree::new());
    grow(&world.tree, &mut prng, TreeShape::default());
    world.ok(&["init"]);
    let before = world.snapshot();
    world.checkpoint("base");
    let edits: Vec<String> = (0..25).map(|_| edit_at_random(&world.tree, &mut prng)).collect();
    let edited = world.snapshot();
    let context = || format!("seed {seed}, edits {edits:#?}");
    let restored = world.call(&["restore", "wf", "base", "--yes", "--exact-mtime"]);
    assert_eq!(restored.code, 0, "{}: {restored:?}", context());
    let differences = before.differences(&world.snapshot());
    assert!(differences.is_empty(), "restore, {}: {differences:#?}", context());
    let undone = world.call(&["undo", "--yes", "--exact-mtime"]);
    assert_eq!(undone.code, 0, "{}: {undone:?}", context());
    let differences = edited.differences(&world.snapshot());
    assert!(differences.is_empty(), "undo, {}: {differences:#?}", context());
    let differences = before.differences(&world.written_out("base"));
    assert!(differences.is_empty(), "restore --to, {}: {differences:#?}", context());
}

#[test]
fn random_trees_and_edits_come_back_exactly() {
    (0..12).for_each(there_and_back);
}

#[test]
fn a_random_seed_comes_back_exactly() {
    there_and_back(Prng::from_environment().number());
}

#[test]
fn every_kind_of_entry_comes_back() {
    let world = World::new();
    let before = world.snapshot();
    world.checkpoint("base");
    for name in ["a.txt", "sub", "empty", "link", "run.sh", "raw"] {
        if world.tree.at(name).symlink_metadata().is_ok() {
            world.tree.remove(name);
        }
    }
    world.tree.write("link", b"now a file");
    world.tree.dir("run.sh/is/a/directory");
    world.ok(&["restore", "wf", "base", "--yes", "--exact-mtime"]);
    before.assert_same(&world.snapshot());
}

#[test]
fn the_workspaces_own_directory_comes_back() {
    let world = World::new();
    world.tree.set_mode("", 0o750);
    world.tree.set_mtime("", 1_000_000_000, 7);
    world.checkpoint("base");
    world.tree.set_mode("", 0o777);
    world.tree.write("new", b"1");
    let mode = || world.root().metadata().unwrap().permissions().mode() & 0o7777;
    let time = || world.root().metadata().map(|meta| (meta.mtime(), meta.mtime_nsec())).unwrap();
    let plan = world.ok(&["restore", "wf", "base", "--exact-mtime", "--plan"]);
    assert_eq!(plan.json["result"]["plan"]["root"]["after"]["mode"], 0o750, "{plan:?}");
    world.ok(&["restore", "wf", "base", "--exact-mtime", "--yes"]);
    assert_eq!((mode(), time()), (0o750, (1_000_000_000, 7)));
    let again = world.ok(&["restore", "wf", "base", "--exact-mtime", "--plan"]);
    assert_eq!(
        (again.result("plan")["steps"].as_array().unwrap().len(), &again.result("plan")["root"]),
        (0, &json!(null))
    );
    world.ok(&["undo", "--yes"]);
    assert_eq!(mode(), 0o777);
    world.ok(&["restore", "wf", "base", "--yes"]);
    world.tree.set_mode("", 0o701);
    world.ok(&["undo", "--yes"]);
    assert_eq!(mode(), 0o701, "a mode given since stays");
    let to = world.data.path().join("beside");
    world.ok(&["restore", "wf", "base", "--to", to.to_str().unwrap(), "--exact-mtime", "--yes"]);
    let beside = to.metadata().unwrap();
    assert_eq!((beside.permissions().mode() & 0o7777, beside.mtime(), beside.mtime_nsec()), (0o750, 1_000_000_000, 7));
}

#[test]
fn without_exact_times_changed_files_are_newer_and_others_untouched() {
    let world = World::new();
    world.checkpoint("base");
    let before = world.snapshot();
    world.tree.write("a.txt", b"edited");
    world.tree.set_mtime("a.txt", 1, 0);
    world.ok(&["restore", "wf", "base", "--yes"]);
    let after = world.snapshot();
    before.clone().without_mtimes().assert_same(&after.clone().without_mtimes());
    let year_2020 = 1_577_836_800_000_000_000;
    assert!(after.entries[&b"a.txt"[..]].mtime_ns > year_2020, "build tools must see that it changed");
    assert_eq!(before.entries[&b"secret"[..]], after.entries[&b"secret"[..]]);
}

#[test]
fn a_restore_that_set_the_directorys_time_alone_is_undone() {
    let world = World::new();
    let time = || std::fs::metadata(world.root()).unwrap().modified().unwrap();
    world.tree.write("f", b"1");
    world.checkpoint("a");
    world.tree.write("f", b"2");
    let restore = || world.ok(&["restore", "wf", "a", "--yes", "--exact-mtime"]).result("recovery_id").clone();
    let touch = || {
        world.tree.write("x", b"");
        world.tree.remove("x");
        time()
    };
    let first = restore();
    let touched = touch();
    let second = restore();
    assert_ne!(time(), touched);
    let undone = world.ok(&["undo", "--yes"]);
    assert_eq!((undone.result("undone"), time()), (&second, touched));
    // Whatever is done in the directory gives it another time: then nothing of it is left to be undone.
    let third = restore();
    touch();
    assert_eq!(world.ok(&["undo", "--yes"]).result("undone"), &third);
    assert_eq!(world.ok(&["undo", first.as_str().unwrap(), "--yes"]).result("undone"), &first);
    assert_eq!(world.tree.read("f"), b"2");
}

#[test]
fn where_times_are_not_put_back_one_that_set_a_time_alone_changed_nothing() {
    let world = World::new();
    world.tree.write("f", b"1");
    world.checkpoint("a");
    world.tree.write("f", b"2");
    let restore = || world.ok(&["restore", "wf", "a", "--yes", "--exact-mtime"]).result("recovery_id").clone();
    let first = restore();
    world.tree.write("x", b"");
    world.tree.remove("x");
    let second = restore();
    let undone = world.ok(&["undo", "--yes", "--exact-mtime=false"]);
    assert_eq!(undone.result("undone"), &second);
    assert!(undone.json["next_steps"].to_string().contains(first.as_str().unwrap()), "{undone:?}");
}
