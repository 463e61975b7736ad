//! An encrypted store that loses its catalog, its view, or the whole workspace.
//!
//! Owns a pair of keys that is of no other use. Refuses to know where keys are kept.

use wfr_testkit::{Snapshot, TestTree};

use crate::world::World;

const IDENTITY: &str = "AGE-SECRET-KEY-1H3MKGNZLUZ3ALNQD3YJ0L6N6JDTRE9PH9QSXVXRUDQXV98GXR9TSKM5WWJ";
const RECIPIENT: &str = "age1m4qnf97eetdrxccf6dkluphysfcakpdxhmt5zpvn2hxnldc923usfv9mzz";
const OTHER_IDENTITY: &str = "AGE-SECRET-KEY-1QQPQYQ3ZQ5QSPQQPQYQ3ZQ5QSPQQPQYQ3ZQ5QSPQQPQYQ3ZQ5QSP";

/// A workspace whose store only the identity opens, with two checkpoints and the tree at each.
fn with_history() -> (World, [Snapshot; 2]) {
    let mut world = World::unprotected(TestTree::of_every_kind());
    let identity = world.data.path().join("identity");
    std::fs::write(&identity, format!("# of no other use\n{IDENTITY}\n")).unwrap();
    world.variables = vec![("WFR_IDENTITY_FILE", identity)];
    world.ok(&["init", "--recipients", RECIPIENT]);
    let first = world.snapshot();
    world.checkpoint("first");
    world.tree.write("a.txt", b"second\n");
    world.tree.remove("sub");
    let second = world.snapshot();
    world.checkpoint("second");
    (world, [first, second])
}

#[track_caller]
fn check(world: &World, [first, second]: &[Snapshot; 2]) {
    first.assert_same(&world.written_out("first"));
    second.assert_same(&world.written_out("second"));
    world.ok(&["restore", "wf", "first", "--yes", "--exact-mtime"]);
    first.assert_same(&world.snapshot());
    world.checkpoint("after");
    for name in ["first", "after"] {
        world.ok(&["validate-checkpoint", "wf", name, "--validation-level", "comprehensive"]);
    }
    world.ok(&["doctor"]);
}

fn lose_catalog(world: &World) {
    for name in ["catalog.db", "catalog.db-wal", "catalog.db-shm"] {
        let _ = std::fs::remove_file(world.vault().join(name));
    }
}

#[test]
fn the_catalog_is_deleted() {
    let (mut world, states) = with_history();
    lose_catalog(&world);
    let identity = std::mem::take(&mut world.variables);
    world.refused(&["doctor", "--rebuild-catalog"], 8, "STORE_LOCKED");
    world.variables = identity;
    let rebuilt = world.ok(&["doctor", "--rebuild-catalog"]);
    assert_eq!(rebuilt.result("rebuilt"), 2);
    check(&world, &states);
}

#[test]
fn the_format_file_and_the_catalog_are_lost() {
    let (world, states) = with_history();
    lose_catalog(&world);
    std::fs::remove_file(world.vault().join("format.json")).unwrap();
    assert_eq!(world.ok(&["doctor", "--rebuild-catalog"]).result("rebuilt"), 2);
    check(&world, &states);
}

#[test]
fn without_the_wrapped_key_it_is_said_plainly_that_all_is_lost() {
    let (world, states) = with_history();
    let key = world.vault().join("keys/master.age");
    let kept = std::fs::read(&key).unwrap();
    std::fs::remove_file(&key).unwrap();
    let told = world.refused(&["doctor"], 4, "STORE_DAMAGED");
    assert!(told.json.to_string().contains("nothing in the store can be read"), "{told:?}");
    std::fs::write(&key, kept).unwrap();
    check(&world, &states);
}

#[test]
fn a_new_encrypted_store_says_what_to_copy() {
    let world = World::unprotected(TestTree::of_every_kind());
    let made = world.ok(&["init", "--recipients", RECIPIENT]);
    assert!(made.json["next_steps"].to_string().contains("/keys to another disk"), "{made:?}");
}

#[test]
fn the_view_is_deleted() {
    let (world, states) = with_history();
    std::fs::remove_dir_all(world.tree.at(".claude")).unwrap();
    check(&world, &states);
}

#[test]
fn everything_but_the_packs_and_the_key_is_deleted() {
    let (world, states) = with_history();
    lose_catalog(&world);
    let root = world.root().to_owned();
    std::fs::remove_dir_all(&root).unwrap();
    std::fs::create_dir(&root).unwrap();
    for dir in ["index", "cache"] {
        std::fs::remove_dir_all(world.vault().join(dir)).unwrap();
        std::fs::create_dir(world.vault().join(dir)).unwrap();
    }
    world.ok(&["doctor", "--rebuild-catalog"]);
    world.ok(&["restore", "wf", "second", "--yes", "--exact-mtime"]);
    states[1].assert_same(&world.snapshot());
    check(&world, &states);
}

#[test]
fn another_identity_or_none_opens_nothing() {
    let (mut world, _) = with_history();
    world.tree.write("a.txt", b"third\n");
    let third = world.snapshot();
    let wrong = world.data.path().join("wrong");
    for text in ["", "no identity\n", OTHER_IDENTITY] {
        std::fs::write(&wrong, text).unwrap();
        world.variables = vec![("WFR_IDENTITY_FILE", wrong.clone())];
        for arguments in
            [&["restore", "wf", "first", "--yes"][..], &["cat", "first", "a.txt"], &["create-checkpoint", "wf"]]
        {
            let ended = world.call(arguments);
            assert!(matches!(ended.code, 7 | 8) && ended.json["status"] == "error", "{text}: {ended:?}");
        }
    }
    third.assert_same(&world.snapshot());
    assert_eq!(world.names(), ["first", "second"]);
}
