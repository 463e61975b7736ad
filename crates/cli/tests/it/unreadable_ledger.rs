//! Rows of the ledger, and counters beside it, that cannot be read: they are found, nobody is kept from their files, and a
//! rebuild leads out.
//!
//! Owns the damage. Refuses to know how a rebuild goes about it: see `rebuilding.rs`.

use rusqlite::Connection;
use serde_json::json;

use crate::encrypted::encrypted;
use crate::states::{codes, validated};
use crate::world::{Ended, World};

/// What is done to the ledger of `recorded`, and with what the place begins at which it is found.
const DAMAGES: [(&str, &str); 14] = [
    ("UPDATE changes SET change_id = replace(change_id, 'chg', 'bhg')", "changes/1"),
    ("UPDATE changes SET recovery_id = '5'", "changes/1"),
    ("UPDATE changes SET actor = 'agentx'", "changes/1"),
    ("UPDATE changes SET seq = 9223372036854775807", "changes/9223372036854775807"),
    ("UPDATE points SET tree = zeroblob(32) WHERE tree IS NOT NULL", "points/1"),
    ("UPDATE points SET checkpoint_id = '5'", "points/1"),
    (
        "UPDATE points SET seq = 9223372036854775807 WHERE seq = (SELECT max(seq) FROM points)",
        "points/9223372036854775807",
    ),
    ("DELETE FROM points WHERE tree IS NOT NULL", "points/3"),
    ("UPDATE paths SET key = x'00'", "paths/1"),
    ("UPDATE paths SET sealed = x'0102'", "paths/1"),
    ("UPDATE segments SET after = x'00'", "segments/1 at point"),
    ("UPDATE segments SET path_id = 5", "catalog"),
    ("UPDATE segments SET change = 77", "catalog"),
    ("DELETE FROM paths", "catalog"),
];

/// Work of an agent since a checkpoint.
fn recorded(world: &World) {
    world.tree.write("f", b"0");
    world.ok(&["event", "WORKFLOW_STARTED:wf:global:{}"]);
    world.checkpoint("base");
    world.work("a", || world.tree.write("f", b"1"));
}

fn damage(world: &World, sql: &str) {
    let catalog = Connection::open(world.vault().join("catalog.db")).unwrap();
    catalog.execute_batch(&format!("PRAGMA foreign_keys = OFF; DROP TRIGGER IF EXISTS changes_stay; {sql}")).unwrap();
}

/// Calls something that does not fail, and that says whether it did without the ledger.
#[track_caller]
fn done(world: &World, arguments: &[&str]) -> (Ended, bool) {
    let ended = world.ok(arguments);
    let is_without = ended.json["next_steps"].to_string().contains("who changed what cannot be read");
    (ended, is_without)
}

/// Whatever is damaged: it is found, files are saved and brought back, and the rebuild leads to a store in which all goes on.
fn leads_out(world: &World, (sql, place): (&str, &str)) {
    let text = || String::from_utf8(std::fs::read(world.root().join("f")).unwrap()).unwrap();
    let found = validated(world);
    assert!(found.code != 0, "{sql}: {found:?}");
    let all = codes(found.result("findings"));
    assert!(all.iter().any(|one| one.starts_with(&format!("CATALOG_DAMAGED {place}"))), "{sql}: {all:?}");
    let found = world.refused(&["doctor"], 1, "UNHEALTHY");
    assert_eq!(found.result("findings")[0]["code"], "CATALOG_DAMAGED", "{sql}");

    world.tree.write("f", b"2");
    let (saved, is_without) = done(world, &["create-checkpoint", "wf", "--name", "saved"]);
    assert!(is_without, "{sql}: {saved:?}");
    let (_, is_without) = done(world, &["restore", "wf", "base", "--yes"]);
    assert!(is_without && text() == "0", "{sql}");
    done(world, &["undo", "--yes"]);
    assert_eq!(text(), "2", "{sql}");
    world.tree.write("f", b"3");
    let (emergency, _) = done(world, &["emergency-restore", "wf", "--yes"]);
    assert_eq!(
        (text().as_str(), emergency.result("restored_checkpoint")),
        ("2", saved.result("checkpoint_id")),
        "{sql}"
    );
    let catalog = Connection::open(world.vault().join("catalog.db")).unwrap();
    let recorded: i64 = catalog.query_row("SELECT count(*) FROM points", [], |row| row.get(0)).unwrap();
    assert!(recorded <= 3, "{sql}: what cannot be read is not gone on from");
    drop(catalog);

    let rebuilt = world.ok(&["doctor", "--rebuild-catalog"]);
    let findings = rebuilt.result("findings").as_array().unwrap();
    assert!(findings.iter().any(|one| one["code"] == "UNSEALED_LOST"), "{sql}: {rebuilt:?}");
    assert!(findings.iter().all(|one| one["code"] != "CHECKPOINTS_RENAMED"), "{sql}: {rebuilt:?}");
    assert_eq!(validated(world).code, 0, "{sql}");
    world.ok(&["doctor"]);
    let (_, is_without) = done(world, &["restore", "wf", "base", "--yes"]);
    assert!(!is_without && text() == "0", "{sql}");
    world.work("b", || world.tree.write("f", b"4"));
    world.ok(&["rollback", "wf", "--agent", "b", "--yes"]);
    assert_eq!(text(), "0", "{sql}");
}

#[test]
fn no_damaged_row_keeps_anybody_from_their_files() {
    for one in DAMAGES {
        let world = World::new();
        recorded(&world);
        damage(&world, one.0);
        leads_out(&world, one);
    }
}

#[test]
fn rows_of_an_encrypted_store_are_opened_to_be_judged() {
    let world = encrypted();
    recorded(&world);
    assert_eq!(validated(&world).code, 0);
    damage(&world, "UPDATE segments SET after = CAST(substr(after, 1, length(after) - 1) || x'00' AS BLOB)");
    leads_out(&world, ("an encrypted entry", "segments/1 at point"));
}

#[test]
fn a_damaged_row_that_a_checkpoint_sealed_is_found_and_comes_back() {
    let world = World::new();
    recorded(&world);
    world.checkpoint("sealed");
    damage(&world, "UPDATE changes SET actor = 'agentx'");
    assert_eq!(codes(validated(&world).result("findings")), ["CATALOG_DAMAGED changes/1"]);
    world.ok(&["doctor", "--rebuild-catalog"]);
    assert_eq!(validated(&world).code, 0);
    assert_eq!(world.ok(&["log"]).result("changes")[0]["actor"], "agent");
}

#[test]
fn a_rollback_does_not_guess_where_the_ledger_cannot_be_read() {
    let world = World::new();
    recorded(&world);
    damage(&world, "UPDATE points SET tree = zeroblob(32) WHERE tree IS NOT NULL");
    for refused in [&["rollback", "wf", "--agent", "a", "--yes"][..], &["change", "begin", "--workflow", "wf"]] {
        let failed = world.refused(refused, 4, "CATALOG_DAMAGED");
        assert!(
            failed.json["recovery_options"][0].as_str().unwrap_or_default().contains("--rebuild-catalog"),
            "{failed:?}"
        );
    }
    assert_eq!(std::fs::read(world.root().join("f")).unwrap(), b"1");
}

#[test]
fn counters_that_nothing_has_come_to_are_found_and_not_gone_on_from() {
    let world = World::new();
    recorded(&world);
    let odd = [
        "UPDATE vault SET fencing = 9223372036854775807",
        "UPDATE states SET seq = 9223372036854775807",
        "UPDATE snapshots SET seq = -5",
        "UPDATE snapshots SET checkpoint_id = 'other'",
    ];
    for sql in odd {
        damage(&world, sql);
        let found = world.refused(&["doctor"], 1, "UNHEALTHY");
        assert_eq!(found.result("findings")[0]["code"], json!("CATALOG_DAMAGED"), "{sql}");
        if sql.contains("fencing") {
            world.refused(&["restore", "wf", "base", "--yes"], 4, "CATALOG_DAMAGED");
        }
        world.ok(&["doctor", "--rebuild-catalog"]);
        assert_eq!(validated(&world).code, 0, "{sql}");
        world.ok(&["restore", "wf", "base", "--yes"]);
        world.ok(&["undo", "--yes"]);
    }
}

#[test]
fn what_a_check_of_a_checkpoint_found_keeps_nobody_from_it_where_it_cannot_be_read() {
    let world = World::new();
    recorded(&world);
    for odd in ["x", "", "-1"] {
        damage(&world, &format!("UPDATE checkpoints SET verification = '{odd}'"));
        world.ok(&["doctor"]);
        world.ok(&["list-checkpoints", "wf"]);
        world.ok(&["restore", "wf", "base", "--yes"]);
        assert_eq!(std::fs::read(world.root().join("f")).unwrap(), b"0");
        world.ok(&["undo", "--yes"]);
        damage(&world, &format!("UPDATE checkpoints SET verification = '{odd}'"));
        world.ok(&["validate-checkpoint", "base"]);
        world.ok(&["doctor", "--rebuild-catalog"]);
    }
}
