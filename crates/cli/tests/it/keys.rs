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

/// Puts something that is no key in the place of the one that is kept unlocked; returns its file.
fn spoil_kept(world: &World) -> std::path::PathBuf {
    let made = world.ok(&["init", "--keep-unlocked"]);
    let kept = std::path::PathBuf::from(made.result("unlocked_key").as_str().unwrap());
    std::fs::write(&kept, "noise\n").unwrap();
    kept
}

#[test]
fn a_kept_key_that_is_damaged_keeps_nobody_from_the_identity() {
    let (mut world, states) = with_history();
    let kept = spoil_kept(&world);
    states[0].assert_same(&world.written_out("first"));
    let told = world.refused(&["doctor"], 1, "UNHEALTHY");
    assert!(told.json.to_string().contains("KEPT_KEY_UNUSABLE"), "{told:?}");
    let identity = std::mem::take(&mut world.variables);
    let refused = world.refused(&["create-checkpoint", "wf"], 8, "STORE_LOCKED");
    let told = refused.json.to_string();
    assert!(told.contains(kept.to_str().unwrap()) && told.contains("wfr init --keep-unlocked"), "{told}");
    // What the hint asks for works.
    world.variables = identity;
    world.ok(&["init", "--keep-unlocked"]);
    world.variables.clear();
    check(&world, &states);
}

#[test]
fn what_cannot_be_read_of_a_key_names_its_variable() {
    let (mut world, _) = with_history();
    for (variable, code) in [("WFR_KEY_FILE", 8), ("WFR_IDENTITY_FILE", 7)] {
        world.variables = vec![(variable, "/no/such/file".into())];
        let ended = world.call(&["create-checkpoint", "wf"]);
        let hint = ended.json["recovery_options"].to_string();
        assert!(ended.code == code && hint.contains(&format!("let {variable} name")), "{ended:?}");
    }
}

#[test]
fn an_archive_for_an_identity_comes_into_a_store_under_a_passphrase() {
    let (from, [first, _]) = with_history();
    let archive = from.data.path().join("wf.wfrarchive.age");
    let archive = archive.to_str().unwrap();
    from.ok(&["backup-state", "wf", "--output", archive, "--recipients", RECIPIENT]);
    let mut world = World::unprotected(TestTree::new());
    let file = world.data.path().join("passphrase");
    std::fs::write(&file, "correct horse\n").unwrap();
    let passphrase = ("WFR_PASSPHRASE_FILE", file);
    world.variables = vec![passphrase.clone()];
    world.ok(&["init", "--encrypt"]);
    let told = world.refused(&["import", archive], 8, "STORE_LOCKED").json.to_string();
    assert!(told.contains("locked for identities") && told.contains("in WFR_IDENTITY_FILE"), "{told}");
    world.variables = vec![passphrase.clone(), from.variables[0].clone()];
    assert_eq!(world.ok(&["import", archive]).result("imported").as_array().unwrap().len(), 2);
    first.assert_same(&world.written_out("first"));
    let made = world.ok(&["init", "--keep-unlocked"]);
    let (kept, key) = (made.result("unlocked_key").as_str().unwrap(), world.data.path().join("key"));
    std::fs::rename(kept, &key).unwrap();
    world.variables = vec![("WFR_KEY_FILE", key), from.variables[0].clone()];
    world.ok(&["import", archive]);
    // The other way round: an archive under a passphrase, into a store for an identity.
    let mut other = World::unprotected(TestTree::new());
    let under = world.data.path().join("under.age");
    let under = under.to_str().unwrap();
    world.variables = vec![passphrase.clone()];
    world.ok(&["backup-state", "wf", "--output", under]);
    other.variables = vec![from.variables[0].clone()];
    other.ok(&["init", "--recipients", RECIPIENT]);
    let told = other.refused(&["import", under], 8, "STORE_LOCKED").json.to_string();
    assert!(told.contains("locked with a passphrase") && told.contains("in WFR_PASSPHRASE_FILE"), "{told}");
    other.variables.push(passphrase);
    other.ok(&["import", under]);
    first.assert_same(&other.written_out("first"));
}

#[test]
fn without_the_key_a_cleanup_removes_nothing() {
    let (mut world, _) = with_history();
    let clean = ["cleanup-checkpoints", "wf", "--retention-policy", "last=1"];
    let wrong = world.data.path().join("wrong");
    std::fs::write(&wrong, format!("{OTHER_IDENTITY}\n")).unwrap();
    let right = std::mem::take(&mut world.variables);
    world.refused(&clean, 8, "STORE_LOCKED");
    world.variables = vec![("WFR_IDENTITY_FILE", wrong)];
    world.refused(&clean, 8, "STORE_LOCKED");
    assert_eq!(world.names(), ["first", "second"]);
    world.variables = right;
    let (key, aside) = (world.vault().join("keys/master.age"), world.data.path().join("aside"));
    std::fs::rename(&key, &aside).unwrap();
    world.refused(&clean, 4, "STORE_DAMAGED");
    assert_eq!(world.names(), ["first", "second"]);
    std::fs::rename(&aside, &key).unwrap();
    world.ok(&clean);
    assert_eq!(world.names(), ["second"]);
}

#[test]
fn an_archive_of_a_store_for_recipients_needs_them_named_and_the_hint_works() {
    let (mut world, _) = with_history();
    let refused = |world: &World, arguments: &[&str]| {
        let refused = world.refused(&[&["backup-state", "wf"], arguments].concat(), 2, "WRONG_ARGUMENTS");
        assert!(refused.json["error"]["message"].as_str().unwrap().contains("encrypted for recipients"), "{refused:?}");
        refused.json["recovery_options"][0].as_str().unwrap().to_owned()
    };
    for arguments in [&[][..], &["--encryption"]] {
        let hint = refused(&world, arguments);
        assert!(hint.contains(&format!("`--recipients {RECIPIENT}`")), "{hint}");
    }
    let archive = world.data.path().join("wf.archive");
    let arguments = ["backup-state", "wf", "--recipients", RECIPIENT, "--output", archive.to_str().unwrap()];
    assert_eq!(world.ok(&arguments).result("encrypted"), true);
    assert_eq!(world.ok(&["import", archive.to_str().unwrap()]).code, 0);
    // With the key alone there is nobody to be named.
    world.ok(&["init", "--keep-unlocked"]);
    world.variables.clear();
    let hint = refused(&world, &[]);
    assert!(hint.contains("age-keygen -y"), "{hint}");
}
