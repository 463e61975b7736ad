//! Keys of another store: each is refused before anything is written, whatever the operation and wherever the key came from.

use std::path::{Path, PathBuf};

use wfr_testkit::{Snapshot, TestTree};

use crate::world::World;

const IDENTITY: &str = "AGE-SECRET-KEY-1H3MKGNZLUZ3ALNQD3YJ0L6N6JDTRE9PH9QSXVXRUDQXV98GXR9TSKM5WWJ";
const RECIPIENT: &str = "age1m4qnf97eetdrxccf6dkluphysfcakpdxhmt5zpvn2hxnldc923usfv9mzz";

/// An encrypted store under a passphrase that all of them share, its key kept unlocked; and the file that holds that.
fn encrypted() -> (World, PathBuf) {
    let mut world = World::unprotected(TestTree::new());
    world.tree.write("f", b"1\n");
    let file = world.data.path().join("passphrase");
    std::fs::write(&file, "correct horse\n").unwrap();
    world.variables = vec![("WFR_PASSPHRASE_FILE", file)];
    let made = world.ok(&["init", "--encrypt", "--keep-unlocked"]);
    let kept = PathBuf::from(made.result("unlocked_key").as_str().unwrap());
    (world, kept)
}

fn check_of(world: &World) -> PathBuf {
    world.vault().join("keys/check")
}

fn binding_of(world: &World) -> PathBuf {
    world.vault().join("key-binding")
}

/// Makes a store one of before check values and bindings.
fn forget(world: &World) {
    let _ = std::fs::remove_file(check_of(world));
    let _ = std::fs::remove_file(binding_of(world));
}

/// Puts all of another store's directory of keys in the place of this one's; returns where its own is now.
fn exchange(world: &World, other: &World) -> PathBuf {
    let (keys, aside) = (world.vault().join("keys"), world.data.path().join("keys-aside"));
    std::fs::rename(&keys, &aside).unwrap();
    std::fs::create_dir(&keys).unwrap();
    for name in ["master.age", "check"] {
        std::fs::copy(other.vault().join("keys").join(name), keys.join(name)).unwrap();
    }
    aside
}

fn put_back(world: &World, aside: &Path) {
    let keys = world.vault().join("keys");
    std::fs::remove_dir_all(&keys).unwrap();
    std::fs::rename(aside, keys).unwrap();
}

/// Everything that a command could have written: the vault, what is kept of keys, and the workspace with its view. Not what
/// SQLite's locks take of shared memory, since that holds nothing.
fn all_of(world: &World) -> [Snapshot; 2] {
    [world.data.path(), world.root()].map(|dir| Snapshot::of(dir).only(|path| !path.ends_with(b".db-shm")))
}

#[track_caller]
fn refuses(world: &World, arguments: &[&str], key: &Path) {
    let before = all_of(world);
    let refused = world.refused(arguments, 8, "STORE_LOCKED");
    let told = refused.json["error"]["message"].as_str().unwrap().to_owned();
    assert!(told.contains(key.to_str().unwrap()) && told.contains("not this store's"), "{told}");
    before.iter().zip(&all_of(world)).for_each(|(before, after)| before.assert_same(after));
}

const OPERATIONS: &[&[&str]] = &[
    &["create-checkpoint", "wf", "--name", "x"],
    &["list-checkpoints", "wf"],
    &["cat", "base", "f"],
    &["diff", "base"],
    &["restore", "wf", "base", "--yes"],
    &["undo", "--yes"],
    &["resume"],
    &["emergency-restore", "wf", "--yes"],
    &["rollback", "wf", "--agent", "a", "--yes"],
    &["change", "begin", "--workflow", "wf", "--agent", "a"],
    &["event", "TASK_STARTED:wf:1:{\"task_id\":\"t1\",\"agent_id\":\"a1\"}"],
    &["validate-checkpoint", "wf", "base"],
    &["cleanup-checkpoints", "wf"],
    &["backup-state", "wf"],
    &["recoveries"],
    &["status", "wf"],
    &["config", "capture.file_bytes_max", "5"],
    &["init"],
    &["init", "--keep-unlocked"],
    &["doctor"],
    &["doctor", "--rebuild-catalog"],
];

#[test]
fn another_stores_key_is_refused_by_every_operation_before_anything_is_written() {
    let (_other, foreign) = encrypted();
    let (mut world, kept) = encrypted();
    world.checkpoint("base");
    world.tree.write("f", b"2\n");
    // Neither the right passphrase nor the key kept for the store makes it another one.
    world.variables.push(("WFR_KEY_FILE", foreign.clone()));
    OPERATIONS.iter().for_each(|arguments| refuses(&world, arguments, &foreign));
    // Where the format file is lost, too, and must be written again.
    let format = world.vault().join("format.json");
    let kept_format = std::fs::read(&format).unwrap();
    std::fs::remove_file(&format).unwrap();
    refuses(&world, &["doctor", "--rebuild-catalog"], &foreign);
    std::fs::write(&format, kept_format).unwrap();
    world.variables = vec![("WFR_KEY_FILE", kept)];
    world.ok(&["restore", "wf", "base", "--yes"]);
    assert_eq!(std::fs::read(world.tree.at("f")).unwrap(), b"1\n");
    world.ok(&["doctor"]);
    assert_eq!(world.names().iter().filter(|name| *name == "base").count(), 1);
}

#[test]
fn a_foreign_key_in_the_place_of_the_kept_one_keeps_nobody_from_the_passphrase() {
    let (_other, foreign) = encrypted();
    let (mut world, kept) = encrypted();
    let own = std::fs::read(&kept).unwrap();
    std::fs::copy(&foreign, &kept).unwrap();
    world.checkpoint("base");
    world.ok(&["event", "WORKFLOW_STARTED:wf:global:{}"]);
    let told = world.refused(&["doctor"], 1, "UNHEALTHY").json.to_string();
    assert!(told.contains("KEPT_KEY_UNUSABLE") && told.contains("not this store's"), "{told}");
    // By itself it is used for nothing, and what is advised helps.
    let passphrase = std::mem::take(&mut world.variables);
    OPERATIONS.iter().for_each(|arguments| refuses(&world, arguments, &kept));
    let told = world.refused(&["create-checkpoint", "wf"], 8, "STORE_LOCKED").json.to_string();
    assert!(told.contains("WFR_PASSPHRASE_FILE") && told.contains("wfr init --keep-unlocked"), "{told}");
    world.variables = passphrase;
    world.ok(&["init", "--keep-unlocked"]);
    assert_eq!(std::fs::read(&kept).unwrap(), own);
    let beside = std::fs::read_dir(kept.parent().unwrap()).unwrap().map(|entry| entry.unwrap().path());
    let beside: Vec<PathBuf> = beside.filter(|path| *path != kept).collect();
    assert_eq!(std::fs::read(&beside[0]).unwrap(), std::fs::read(&foreign).unwrap(), "it may be the only one");
    world.variables.clear();
    world.ok(&["cat", "base", "f"]);
    world.ok(&["doctor"]);
}

#[test]
fn a_foreign_key_in_the_place_of_the_wrapped_one_is_refused() {
    let (other, _) = encrypted();
    let (world, kept) = encrypted();
    world.checkpoint("base");
    let own = std::fs::read(&kept).unwrap();
    std::fs::remove_file(&kept).unwrap();
    // The other store's wrapped key opens with the same passphrase.
    let wrapped = world.vault().join("keys/master.age");
    let own_wrapped = std::fs::read(&wrapped).unwrap();
    std::fs::copy(other.vault().join("keys/master.age"), &wrapped).unwrap();
    // Also where only a passphrase is at hand, and for what needs no key.
    refuses(&world, &["event", "WORKFLOW_STARTED:wf:global:{}"], &wrapped);
    refuses(&world, &["config", "capture.file_bytes_max", "5"], &wrapped);
    let check = std::fs::read(check_of(&world)).unwrap();
    for is_there in [true, false] {
        if !is_there {
            forget(&world);
        }
        for arguments in [&["create-checkpoint", "wf"][..], &["doctor"], &["doctor", "--rebuild-catalog"]] {
            let packs = Snapshot::of(&world.vault().join("packs"));
            world.refused(arguments, 8, "STORE_LOCKED");
            packs.assert_same(&Snapshot::of(&world.vault().join("packs")));
        }
    }
    std::fs::write(&wrapped, own_wrapped).unwrap();
    world.checkpoint("after");
    assert_eq!(std::fs::read(check_of(&world)).unwrap(), check, "the check value comes back as it was");
    world.ok(&["init", "--keep-unlocked"]);
    assert_eq!(std::fs::read(&kept).unwrap(), own);
}

#[test]
fn an_identity_that_opens_another_stores_wrapped_key_is_refused() {
    let locked = || {
        let mut world = World::unprotected(TestTree::new());
        world.tree.write("f", b"1\n");
        let identity = world.data.path().join("identity");
        std::fs::write(&identity, format!("{IDENTITY}\n")).unwrap();
        world.variables = vec![("WFR_IDENTITY_FILE", identity)];
        world.ok(&["init", "--recipients", RECIPIENT]);
        world.checkpoint("base");
        world
    };
    let (other, world) = (locked(), locked());
    let wrapped = world.vault().join("keys/master.age");
    let own = std::fs::read(&wrapped).unwrap();
    std::fs::copy(other.vault().join("keys/master.age"), &wrapped).unwrap();
    OPERATIONS.iter().for_each(|arguments| refuses(&world, arguments, &wrapped));
    std::fs::write(&wrapped, own).unwrap();
    let kept = [check_of(&world), binding_of(&world)].map(|place| std::fs::read(place).unwrap());
    forget(&world);
    world.ok(&["doctor"]);
    assert_eq!([check_of(&world), binding_of(&world)].map(|place| std::fs::read(place).unwrap()), kept);
}

#[test]
fn a_store_of_before_gets_its_check_from_a_key_that_opens_what_is_there() {
    let (_other, foreign) = encrypted();
    let (mut world, kept) = encrypted();
    world.checkpoint("base");
    let check = std::fs::read(check_of(&world)).unwrap();
    let elsewhere = world.data.path().join("key");
    std::fs::copy(&kept, &elsewhere).unwrap();
    let passphrase = world.variables.clone();
    let own = std::fs::read(&kept).unwrap();
    for is_kept in [true, false] {
        if !is_kept {
            std::fs::remove_file(&kept).unwrap();
        }
        // No key of another store takes its place, whichever comes first.
        for lost in [None, Some(&b"wfr-key-check-1:rotten\n"[..])] {
            forget(&world);
            lost.iter().for_each(|bytes| std::fs::write(check_of(&world), bytes).unwrap());
            world.variables = vec![("WFR_KEY_FILE", foreign.clone())];
            refuses(&world, &["create-checkpoint", "wf"], &foreign);
            refuses(&world, &["doctor", "--rebuild-catalog"], &foreign);
            world.variables = vec![("WFR_KEY_FILE", elsewhere.clone())];
            world.ok(&["cat", "base", "f"]);
            assert_eq!(std::fs::read(check_of(&world)).unwrap(), check);
        }
        forget(&world);
        world.variables = passphrase.clone();
        world.ok(&["doctor"]);
        assert_eq!(std::fs::read(check_of(&world)).unwrap(), check);
    }
    std::fs::write(&kept, own).unwrap();
}

#[test]
fn a_store_of_before_that_holds_nothing_takes_no_key_on_its_word() {
    let (_other, foreign) = encrypted();
    let (mut world, kept) = encrypted();
    let check = std::fs::read(check_of(&world)).unwrap();
    forget(&world);
    let passphrase = std::mem::replace(&mut world.variables, vec![("WFR_KEY_FILE", foreign.clone())]);
    refuses(&world, &["create-checkpoint", "wf"], &foreign);
    std::fs::remove_file(&kept).unwrap();
    let refused = world.refused(&["create-checkpoint", "wf"], 8, "STORE_LOCKED");
    assert!(refused.json["error"]["message"].as_str().unwrap().contains("nothing tells yet"), "{refused:?}");
    world.variables = passphrase;
    world.checkpoint("base");
    assert_eq!(std::fs::read(check_of(&world)).unwrap(), check);
}

#[test]
fn the_whole_directory_of_keys_of_another_store_is_refused_and_the_own_one_serves_again() {
    let [(other, _), (empty, empty_kept), (mut world, kept)] = [encrypted(), encrypted(), encrypted()];
    world.checkpoint("base");
    world.tree.write("f", b"2\n");
    // A new store that holds nothing yet is bound to its key, too.
    std::fs::remove_file(empty_kept).unwrap();
    exchange(&empty, &other);
    OPERATIONS.iter().for_each(|arguments| refuses(&empty, arguments, &empty.vault().join("keys/master.age")));
    // One of before bindings is told by its packs, and by them it is bound.
    for is_bound in [true, false] {
        if !is_bound {
            std::fs::remove_file(binding_of(&world)).unwrap();
        }
        let (aside, kept_aside) = (exchange(&world, &other), world.data.path().join("kept-aside"));
        std::fs::rename(&kept, &kept_aside).unwrap();
        for arguments in [&["create-checkpoint", "wf"][..], &["restore", "wf", "base", "--yes"], &["doctor"]] {
            let before = Snapshot::of(&world.vault().join("packs"));
            let refused = world.refused(arguments, 8, "STORE_LOCKED");
            let told = refused.json.to_string();
            assert!(told.contains("not this store's") && told.contains("bring `keys/` back"), "{told}");
            before.assert_same(&Snapshot::of(&world.vault().join("packs")));
        }
        put_back(&world, &aside);
        std::fs::rename(kept_aside, &kept).unwrap();
        world.ok(&["cat", "base", "f"]);
        assert!(binding_of(&world).exists());
    }
    // The key that is kept goes on where the store is bound to it, and nobody is told to remove it where it is not.
    let aside = exchange(&world, &other);
    world.ok(&["cat", "base", "f"]);
    let told = world.refused(&["doctor"], 1, "UNHEALTHY");
    assert!(told.json.to_string().contains("KEY_FOREIGN"), "{told:?}");
    std::fs::remove_file(binding_of(&world)).unwrap();
    let refused = world.refused(&["create-checkpoint", "wf"], 8, "STORE_LOCKED");
    assert!(refused.json.to_string().contains("keep that key, and bring `keys/` back"), "{refused:?}");
    put_back(&world, &aside);
    world.checkpoint("after");
    world.variables.clear();
    world.ok(&["doctor"]);
}
