//! An encrypted store: with its key all works, without it nothing opens, and no name or content stands in the clear.

use std::path::Path;

use crate::world::World;
use wfr_testkit::TestTree;

/// A pair made for these tests, of no other use.
const RECIPIENT: &str = "age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwj";

pub fn encrypted() -> World {
    let mut world = World::unprotected(TestTree::of_every_kind());
    world.tree.write("plain-name.txt", b"plain content that must not be found");
    let file = world.data.path().join("passphrase");
    std::fs::write(&file, "correct horse\n").unwrap();
    world.variables = vec![("WFR_PASSPHRASE_FILE", file)];
    world.ok(&["init", "--encrypt"]);
    world
}

fn holds(dir: &Path, needle: &[u8]) -> bool {
    std::fs::read_dir(dir).unwrap().flatten().any(|entry| {
        let path = entry.path();
        if path.is_dir() {
            return holds(&path, needle);
        }
        std::fs::read(&path).unwrap().windows(needle.len()).any(|window| window == needle)
    })
}

#[test]
fn it_restores_with_the_passphrase_and_tells_nothing_without() {
    let mut world = encrypted();
    let before = world.snapshot();
    world.checkpoint("base");
    world.tree.write("a.txt", b"edited");
    let vault = world.vault();
    assert!(!holds(&vault, b"plain content that must"), "content stands in the clear");
    assert!(!holds(&vault, b"plain-name.txt"), "a name stands in the clear");
    let right = std::mem::take(&mut world.variables);
    world.refused(&["restore", "wf", "base", "--yes"], 8, "STORE_LOCKED");
    let wrong = world.data.path().join("wrong");
    std::fs::write(&wrong, "battery staple\n").unwrap();
    world.variables = vec![("WFR_PASSPHRASE_FILE", wrong)];
    world.refused(&["create-checkpoint", "wf"], 8, "STORE_LOCKED");
    world.variables = right;
    world.ok(&["restore", "wf", "base", "--yes", "--exact-mtime"]);
    before.assert_same(&world.snapshot());
    world.ok(&["validate-checkpoint", "base", "--validation-level", "comprehensive"]);
}

#[test]
fn an_empty_passphrase_is_told_from_none() {
    let world = encrypted();
    for text in ["", "\n", "\nsecond line\n"] {
        std::fs::write(&world.variables[0].1, text).unwrap();
        let refused = world.refused(&["create-checkpoint", "wf"], 8, "STORE_LOCKED");
        assert!(refused.json.to_string().contains("is empty"), "{refused:?}");
    }
    World::unprotected(TestTree::new()).refused(&["init", "--encrypt"], 2, "WRONG_ARGUMENTS");
}

#[test]
fn a_passphrase_that_others_can_read_is_named() {
    use std::os::unix::fs::PermissionsExt;
    let world = encrypted();
    let file = world.variables[0].1.clone();
    for (mode, is_told) in [(0o666, true), (0o640, true), (0o600, false), (0o400, false)] {
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
        let told = world.ok(&["create-checkpoint", "wf"]).json.to_string();
        assert_eq!(told.contains("chmod 600") && told.contains(file.to_str().unwrap()), is_told, "{mode:o}: {told}");
    }
}

#[test]
fn the_unlocked_key_serves_hooks_and_a_lost_catalog_is_rebuilt() {
    let mut world = encrypted();
    let before = world.snapshot();
    world.checkpoint("base");
    world.ok(&["init", "--keep-unlocked"]);
    world.variables.clear();
    world.checkpoint("without-asking");
    for name in ["catalog.db", "catalog.db-wal", "catalog.db-shm"] {
        let _ = std::fs::remove_file(world.vault().join(name));
    }
    world.ok(&["doctor", "--rebuild-catalog"]);
    before.assert_same(&world.written_out("base"));
}

#[test]
fn recipients_lock_what_their_owner_alone_can_open() {
    let world = World::unprotected(TestTree::new());
    world.tree.write("a", b"a");
    world.ok(&["init", "--recipients", RECIPIENT]);
    // Who can read it cannot be changed by saying so again.
    world.refused(&["init", "--recipients", RECIPIENT], 5, "ALREADY_PROTECTED");
    world.refused(&["create-checkpoint", "wf"], 8, "STORE_LOCKED");
    let other = World::unprotected(TestTree::new());
    other.refused(&["init", "--recipients", "age1nonsense"], 2, "INVALID_PARAMETER");
    other.refused(&["init", "--encrypt"], 2, "WRONG_ARGUMENTS");
    other.ok(&["init"]);
    other.refused(&["init", "--encrypt"], 5, "ALREADY_PROTECTED");
}

#[test]
fn what_cannot_be_encrypted_is_not_begun_and_says_what_is_missing() {
    let mut world = World::unprotected(TestTree::new());
    world.refused(&["init", "--encrypt"], 2, "WRONG_ARGUMENTS");
    assert!(!world.tree.at(".claude").exists(), "a view of no store stays behind");
    world.variables = vec![("WFR_PASSPHRASE_FILE", "/no/such/file".into())];
    let refused = world.refused(&["init", "--encrypt"], 7, "IO_ERROR");
    let told = refused.json["error"].to_string();
    assert!(told.contains("/no/such/file") && told.contains("WFR_PASSPHRASE_FILE"), "{told}");
}

#[test]
fn an_encrypted_archive_needs_its_passphrase() {
    let world = encrypted();
    world.checkpoint("base");
    let archive = world.data.path().join("wf.archive");
    let archive = archive.to_str().unwrap();
    let made = world.ok(&["backup-state", "wf", "--output", archive]);
    assert_eq!(made.result("encrypted"), true, "an archive is encrypted as its store is");
    let mut other = World::new();
    other.refused(&["import", archive], 8, "STORE_LOCKED");
    other.variables = world.variables.clone();
    other.ok(&["import", archive]);
    world.snapshot().assert_same(&other.written_out("base"));
    let clear = format!("{archive}.clear");
    let made = world.ok(&["backup-state", "wf", "--encryption=false", "--output", &clear]);
    assert_eq!(made.result("encrypted"), false);
    World::new().ok(&["import", &clear]);
}

/// Whether a name stands in the clear anywhere in the vault, the catalog and its log among it.
#[track_caller]
fn tells_nothing(world: &World, names: &[&str]) {
    for name in names {
        assert!(!holds(&world.vault(), name.as_bytes()), "`{name}` stands in the clear");
    }
}

#[test]
fn recoveries_of_every_kind_leave_no_name_in_the_vault() {
    let world = encrypted();
    // A passphrase for each of two dozen commands would take most of the time.
    world.ok(&["init", "--keep-unlocked"]);
    let names = ["plain-name", "secret-work", "secret-moved", "secret-dir", "secret-text", "secret-pipe"];
    world.tree.write("secret-dir/inside.txt", b"1\n");
    world.tree.fifo("secret-pipe");
    let begun = world.ok(&["change", "begin", "--workflow", "wf", "--task", "t", "--agent", "a"]);
    world.tree.write("secret-work.txt", b"one\n");
    world.ok(&["change", "end", begun.result("token").as_str().unwrap(), "--reads", "plain-name.txt"]);
    world.checkpoint("base");
    tells_nothing(&world, &names);
    world.tree.write("plain-name.txt", b"edited");
    world.tree.remove("secret-dir");
    world.ok(&["restore", "wf", "base", "--yes"]);
    tells_nothing(&world, &names);
    world.ok(&["undo", "--yes"]);
    tells_nothing(&world, &names);
    world.ok(&["undo", "--yes"]);
    let begun = world.ok(&["change", "begin", "--workflow", "wf", "--task", "t2", "--agent", "a"]);
    world.tree.write("secret-work.txt", b"one\ntwo\n");
    std::fs::rename(world.tree.at("secret-dir"), world.tree.at("secret-moved")).unwrap();
    world.ok(&["change", "end", begun.result("token").as_str().unwrap()]);
    world.ok(&["rollback", "wf", "--agent", "a", "--file", "secret-work.txt", "--yes"]);
    tells_nothing(&world, &names);
    world.ok(&["undo", "--yes"]);
    world.ok(&["rollback", "wf", "--agent", "a", "--ours", "secret-work.txt", "--yes"]);
    world.ok(&["partial-restore", "wf", "base", "--file", "plain-name.txt", "--yes"]);
    world.tree.write("secret-text.txt", b"new\n");
    world.ok(&["restore", "wf", "base", "--restoration-mode", "merge", "--yes"]);
    world.tree.write("plain-name.txt", b"edited");
    // One whose check fails is taken back, and says why.
    let failed = world.call(&["restore", "wf", "base", "--yes", "--functional-check", "false"]);
    assert_ne!(failed.code, 0, "{failed:?}");
    world.ok(&["cleanup-checkpoints", "wf"]);
    tells_nothing(&world, &names);
    // With the key all of it is there.
    let told = world.ok(&["recoveries", "--report-details"]).json.to_string();
    assert!(told.contains("secret-work.txt") && told.contains("plain-name.txt"), "{told}");
}

#[test]
fn records_of_recoveries_need_the_key() {
    let mut world = encrypted();
    world.checkpoint("base");
    world.tree.write("plain-name.txt", b"edited");
    world.ok(&["restore", "wf", "base", "--yes"]);
    world.variables.clear();
    world.refused(&["recoveries"], 8, "STORE_LOCKED");
    // What needs no record goes on without it.
    world.ok(&["list-checkpoints"]);
    world.ok(&["status", "wf"]);
}
