//! Records and counters of the catalog that were damaged by hand: each is named, the rest goes on, and what is advised helps.
//!
//! Owns the damage. Refuses to know how it is found.

use rusqlite::Connection;
use serde_json::Value;
use wfr_testkit::TestTree;

use crate::world::{Ended, World};

fn by_hand(world: &World, statements: &str) {
    let catalog = Connection::open(world.vault().join("catalog.db")).unwrap();
    catalog.execute_batch(&format!("PRAGMA foreign_keys = OFF; {statements}")).unwrap();
}

/// A workspace whose store is encrypted, with a checkpoint `base`.
fn encrypted() -> World {
    let mut world = World::unprotected(TestTree::of_every_kind());
    let passphrase = world.data.path().join("passphrase");
    std::fs::write(&passphrase, "correct horse\n").unwrap();
    world.variables = vec![("WFR_PASSPHRASE_FILE", passphrase)];
    world.ok(&["init", "--encrypt", "--keep-unlocked"]);
    world.checkpoint("base");
    world
}

/// Writes a file and restores `base` over it; which recovery that was.
fn restored(world: &World, text: &str) -> String {
    world.tree.write("a.txt", text.as_bytes());
    world.ok(&["restore", "wf", "base", "--yes"]).result("recovery_id").as_str().unwrap().to_owned()
}

/// What `doctor` found, as text.
fn unhealthy(world: &World) -> String {
    world.refused(&["doctor"], 1, "UNHEALTHY").result("findings").to_string()
}

/// The commands in backticks of what is advised.
fn advised(ended: &Ended) -> Vec<Vec<String>> {
    let ways: Vec<&Value> = ended.json["recovery_options"].as_array().unwrap().iter().collect();
    let commands = ways.iter().flat_map(|way| way.as_str().unwrap().split('`').skip(1).step_by(2));
    commands.map(|command| command.split(' ').skip(1).map(str::to_owned).collect()).collect()
}

#[test]
fn a_sealed_record_that_does_not_open_is_named_and_hides_no_other() {
    let world = encrypted();
    let (first, second) = (restored(&world, "one"), restored(&world, "two"));
    by_hand(&world, &format!("UPDATE recoveries SET sealed_report = zeroblob(64) WHERE recovery_id = '{first}'"));
    let listed = world.ok(&["recoveries"]);
    assert_eq!(listed.result("damaged")[0]["recovery_id"], first, "{listed:?}");
    assert_eq!(listed.result("recoveries")[0]["recovery_id"], second, "{listed:?}");
    let found = unhealthy(&world);
    assert!(found.contains("RECOVERY_DAMAGED") && found.contains(&first), "{found}");
    assert_eq!(world.ok(&["undo", "--yes"]).result("undone").as_str(), Some(&*second));
}

#[test]
fn where_the_newest_recovery_cannot_be_read_what_its_undo_advises_helps() {
    for damage in ["sealed_report = zeroblob(64)", "sealed_parameters = x'00'", "kind = 'restord'"] {
        let world = encrypted();
        let older = restored(&world, "one");
        world.tree.write("late.txt", b"late");
        let newest = restored(&world, "two");
        by_hand(&world, &format!("UPDATE recoveries SET {damage} WHERE recovery_id = '{newest}'"));
        let refused = world.refused(&["undo", "--yes"], 4, "CATALOG_DAMAGED");
        assert!(refused.json["error"].to_string().contains(&newest), "{refused:?}");
        let ways = advised(&refused);
        assert_eq!(ways.len(), 2, "{refused:?}");
        // The first does what the undo was to do.
        assert_eq!(ways[0][0], "restore");
        world.ok(&[&ways[0][..], &["--yes".to_owned()]].concat());
        assert_eq!(world.tree.read("a.txt"), b"two", "{damage}");
        assert_eq!(world.tree.read("late.txt"), b"late", "{damage}");
        assert!(unhealthy(&world).contains("RECOVERY_DAMAGED"), "{damage}");
        // The second takes the record out, and says so; then all else works.
        assert_eq!(ways[1], ["doctor", "--rebuild-catalog"]);
        let rebuilt = world.ok(&ways[1]);
        assert!(rebuilt.result("findings").to_string().contains("1 recoveries"), "{rebuilt:?}");
        world.ok(&["doctor"]);
        world.ok(&["undo", "--yes"]);
        assert_eq!(world.ok(&["undo", &older, "--yes"]).code, 0);
    }
}

#[test]
fn an_unfinished_recovery_whose_record_cannot_be_read_shuts_nobody_out() {
    let world = encrypted();
    let id = restored(&world, "one");
    by_hand(&world, "UPDATE recoveries SET status = 'started', ended_at = NULL, sealed_parameters = x'00'");
    world.tree.write("a.txt", b"later");
    let refused = world.refused(&["create-checkpoint", "wf"], 4, "CATALOG_DAMAGED");
    assert!(refused.json["error"].to_string().contains(&id), "{refused:?}");
    let found = unhealthy(&world);
    assert!(found.contains("RECOVERY_DAMAGED"), "{found}");
    assert_eq!(advised(&refused)[0], ["doctor", "--rebuild-catalog"]);
    world.ok(&advised(&refused)[0]);
    world.ok(&["create-checkpoint", "wf"]);
    world.ok(&["doctor"]);
    assert_eq!(world.tree.read("a.txt"), b"later");
}

/// A workspace with a checkpoint `base`, a change that is open, and a recovery.
fn at_work() -> World {
    let world = World::new();
    world.checkpoint("base");
    world.ok(&["change", "begin", "--workflow", "wf", "--task", "t", "--agent", "a"]);
    restored(&world, "one");
    world
}

/// Everything that needs a new place in the catalog.
fn all_writes(world: &World) {
    world.tree.write("a.txt", b"more");
    world.ok(&["create-checkpoint", "wf"]);
    world.ok(&["event", "WORKFLOW_STARTED:wf:global:{}"]);
    restored(world, "again");
    world.ok(&["change", "begin", "--workflow", "wf", "--task", "u", "--agent", "b"]);
}

#[test]
fn a_counter_at_its_end_is_damage_and_no_full_disk() {
    for (table, refused) in [
        ("recoveries", &["restore", "wf", "base", "--yes"][..]),
        ("checkpoints", &["create-checkpoint", "wf"]),
        ("operations", &["create-checkpoint", "wf"]),
        ("points", &["create-checkpoint", "wf"]),
        ("changes", &["change", "begin", "--workflow", "wf", "--task", "u", "--agent", "b"]),
    ] {
        let world = at_work();
        world.tree.write("a.txt", b"two");
        by_hand(&world, &format!("UPDATE sqlite_sequence SET seq = 9223372036854775807 WHERE name = '{table}'"));
        let ended = world.refused(refused, 4, "CATALOG_DAMAGED");
        assert!(ended.json["error"].to_string().contains(table), "{ended:?}");
        assert!(advised(&ended).iter().any(|way| *way == ["doctor", "--rebuild-catalog"]), "{ended:?}");
        let found = unhealthy(&world);
        assert!(found.contains("CATALOG_DAMAGED") && found.contains(table), "{found}");
        world.ok(&["doctor", "--rebuild-catalog"]);
        world.ok(&["doctor"]);
        all_writes(&world);
    }
}

#[test]
fn a_place_that_is_never_given_is_named_and_set_right() {
    for (table, seq) in [
        ("recoveries", i64::MAX),
        ("recoveries", -1),
        ("operations", i64::MAX),
        ("checkpoints", i64::MAX),
        ("checkpoints", -1),
    ] {
        let world = at_work();
        let recoveries = world.ok(&["recoveries"]).result("recoveries").to_string();
        let one = format!("seq = (SELECT max(seq) FROM {table})");
        by_hand(&world, &format!("DROP TRIGGER operations_stay; UPDATE {table} SET seq = {seq} WHERE {one}"));
        let found = unhealthy(&world);
        assert!(found.contains(&format!("the place of {table}/")), "{table} {seq}: {found}");
        world.ok(&["doctor", "--rebuild-catalog"]);
        world.ok(&["doctor"]);
        assert_eq!(world.ok(&["recoveries"]).result("recoveries").to_string(), recoveries, "{table} {seq}");
        all_writes(&world);
        world.ok(&["doctor"]);
    }
}
