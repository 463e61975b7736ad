//! A rebuild over a catalog that can be read: whatever that one says is in the new one, or is named.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use rusqlite::Connection;
use rusqlite::types::Value;

use crate::states::by_hand;
use crate::work::{numbered, paths};
use crate::world::{World, ended};

const REBUILD: &[&str] = &["doctor", "--rebuild-catalog"];

/// Tables that come over as they are.
const TABLES: [&str; 13] = [
    "checkpoints",
    "events",
    "recoveries",
    "holds",
    "messages",
    "subscriptions",
    "dead_letters",
    "changes",
    "points",
    "paths",
    "segments",
    "cancellations",
    "reads",
];

/// All rows of a table; of looks without what lets the next one look at less: after a rebuild that one looks at all of the tree.
fn rows(world: &World, table: &str) -> Vec<Vec<Value>> {
    let catalog = Connection::open(world.vault().join("catalog.db")).unwrap();
    let columns = if table == "points" { "seq, at, tree, checkpoint_id" } else { "*" };
    let mut statement = catalog.prepare(&format!("SELECT {columns} FROM {table}")).unwrap();
    let count = statement.column_count();
    let rows = statement.query_map([], |row| (0..count).map(|index| row.get(index)).collect()).unwrap();
    rows.collect::<Result<_, _>>().unwrap()
}

/// Work of agents with rollbacks and an undo, part of it since the last checkpoint, a change that is open, a checkpoint that was
/// cleaned up, one that was validated, a hold, a sink and its messages. Returns what the open change is called.
fn busy(world: &World) -> String {
    world.put("work/f.txt", &numbered(&[]));
    world.checkpoint("old");
    world.checkpoint("base");
    world.ok(&["cleanup-checkpoints", "wf", r#"{"retention_policy":"last=1","preserve_critical":false}"#]);
    world.ok(&["validate-checkpoint", "wf", "base", "--validation-level", "comprehensive"]);
    let sinks = r#"[{"name": "log", "kind": "file", "path": "log.jsonl"}]"#;
    world.ok(&["config", "coordination.sinks", sinks]);
    world.ok(&["hold-resources", "wf", "--requester", "hub", "--reason", "maintenance", "--duration", "1h"]);
    world.work("a", || world.put("work/f.txt", &numbered(&[(3, "by a")])));
    world.work("b", || world.put("work/f.txt", &numbered(&[(3, "by a"), (11, "by b")])));
    world.ok(&["rollback", "wf", "--agent", "b", "--yes"]);
    world.ok(&["undo", "--yes"]);
    world.checkpoint("middle");
    world.ok(&["rollback", "wf", "--agent", "a", "--yes"]);
    world.ok(&["outbox", "flush"]);
    let reader = world.begin("r", &[]);
    world.ok(&["change", "end", &reader, "--reads", "work/f.txt"]);
    let open = world.begin("c", &[]);
    world.put("work/of_c.txt", "c");
    open
}

fn protected(is_encrypted: bool) -> World {
    let mut world = World::unprotected(wfr_testkit::TestTree::of_every_kind());
    world.variables.push(("WFR_NO_UPKEEP", "1".into()));
    if is_encrypted {
        let file = world.data.path().join("passphrase");
        fs::write(&file, "correct horse\n").unwrap();
        world.variables.push(("WFR_PASSPHRASE_FILE", file));
        world.ok(&["init", "--encrypt", "--keep-unlocked"]);
    } else {
        world.ok(&["init"]);
    }
    world
}

/// The ledger goes on, and every recovery can be undone.
fn goes_on(world: &World, open: &str) {
    assert_eq!(paths(&world.end(open)["paths"]), ["work/of_c.txt"]);
    world.ok(&["undo", "--yes"]);
    assert_eq!(world.text("work/f.txt"), numbered(&[(3, "by a"), (11, "by b")]));
    world.ok(&["rollback", "wf", "--agent", "c", "--yes"]);
    assert!(!world.has("work/of_c.txt"));
    world.checkpoint("after");
    world.ok(&["doctor"]);
}

#[test]
fn all_that_an_intact_catalog_says_is_taken_over() {
    for is_encrypted in [false, true] {
        let world = protected(is_encrypted);
        let open = busy(&world);
        let before = TABLES.map(|table| rows(&world, table));
        let trail = rows(&world, "operations");
        assert!(before.iter().zip(TABLES).all(|(rows, table)| !rows.is_empty() || table == "dead_letters"));
        for _ in 0..2 {
            let told = world.ok(REBUILD).result("findings").to_string();
            assert!(!told.contains("_LOST") && !told.contains("RENAMED"), "{told}");
            for (table, before) in TABLES.iter().zip(&before) {
                assert_eq!(&rows(&world, table), before, "{table}");
            }
            assert!(rows(&world, "operations").starts_with(&trail));
        }
        goes_on(&world, &open);
    }
}

#[test]
fn messages_go_on_behind_those_that_were_given_away_and_removed() {
    let world = protected(false);
    busy(&world);
    world.ok(&["outbox", "flush"]);
    let count = |world: &World| {
        fs::read_to_string(world.root().join(".claude/recovery/log.jsonl")).unwrap_or_default().lines().count()
    };
    by_hand(&world, "DELETE FROM messages");
    let before = count(&world);
    assert!(before > 0);
    world.ok(REBUILD);
    world.ok(&["outbox", "flush"]);
    assert_eq!(count(&world), before, "nothing comes again");
    world.ok(&["undo", "--yes"]);
    world.ok(&["outbox", "flush"]);
    assert!(count(&world) > before, "what is new comes");
}

#[test]
fn a_part_that_is_damaged_is_named_and_the_others_come() {
    let world = protected(false);
    busy(&world);
    let (holds, recoveries) = (rows(&world, "holds"), rows(&world, "recoveries").len());
    by_hand(&world, "PRAGMA foreign_keys = OFF; DELETE FROM changes WHERE agent_id = 'a'");
    world.refused(&["doctor"], 1, "UNHEALTHY");
    let told = world.ok(REBUILD).result("findings").to_string();
    // The rollback since the last checkpoint is a change that is nowhere else.
    let words = ["UNSEALED_LOST", "changes of the ledger", "1 recoveries", "catalog.db.before-"];
    assert!(words.iter().all(|word| told.contains(word)) && !told.contains("holds"), "{told}");
    assert_eq!((rows(&world, "holds"), rows(&world, "recoveries").len()), (holds, recoveries - 1));
    world.ok(&["undo", "--yes"]);
    world.checkpoint("after");
    world.ok(&["doctor"]);
}

#[test]
fn a_rebuild_that_was_killed_between_two_renames_is_as_good_as_one_that_was_not() {
    const STAMP: &str = ".before-20260102_030405";
    for moved in 1..=3 {
        let world = protected(false);
        let open = busy(&world);
        let before = TABLES.map(|table| rows(&world, table));
        let vault = world.vault();
        for suffix in ["", "-wal", "-shm"].iter().take(moved) {
            let from = vault.join(format!("catalog.db{suffix}"));
            if from.exists() {
                fs::rename(from, vault.join(format!("catalog.db{STAMP}{suffix}"))).unwrap();
            }
        }
        fs::write(vault.join(format!("catalog.db.ready{STAMP}")), "complete").unwrap();
        let told = world.refused(&["list-checkpoints", "wf"], 4, "CATALOG_DAMAGED");
        assert!(told.json.to_string().contains("doctor --rebuild-catalog"), "{told:?}");
        let told = world.ok(REBUILD).result("findings").to_string();
        assert!(!told.contains("_LOST"), "{told}");
        for (table, before) in TABLES.iter().zip(&before) {
            assert_eq!(&rows(&world, table), before, "{table} after {moved}");
        }
        let names = files(&world, "catalog.db");
        assert!(names.iter().all(|name| !name.contains(STAMP) && !name.contains("ready")), "{names:?}");
        let aside: Vec<&String> = names.iter().filter(|name| name.contains(".before-")).collect();
        let main = aside.iter().min_by_key(|name| name.len()).unwrap();
        assert!(aside.len() >= 2 && aside.iter().all(|name| name.starts_with(main.as_str())), "one stamp: {aside:?}");
        goes_on(&world, &open);
    }
}

fn files(world: &World, begin: &str) -> Vec<String> {
    let names = fs::read_dir(world.vault()).unwrap().map(|entry| entry.unwrap().file_name());
    names.map(|name| name.to_string_lossy().into_owned()).filter(|name| name.starts_with(begin)).collect()
}

#[test]
fn the_catalog_put_aside_can_be_read_with_its_log() {
    let world = protected(false);
    busy(&world);
    let count = rows(&world, "changes").len();
    world.ok(REBUILD);
    let names = files(&world, "catalog.db.before-");
    let main = names.iter().min_by_key(|name| name.len()).unwrap();
    let aside = Connection::open(world.vault().join(main)).unwrap();
    let kept: i64 = aside.query_row("SELECT count(*) FROM changes", [], |row| row.get(0)).unwrap();
    assert_eq!(kept, count as i64);
}

#[test]
fn checkpoints_that_a_rebuild_did_not_find_stay_told_until_they_are_back_or_given_up() {
    for is_back in [true, false] {
        let world = World::new();
        world.checkpoint("first");
        let pack = fs::read_dir(world.vault().join("packs")).unwrap().next().unwrap().unwrap().path();
        let whole = fs::read(&pack).unwrap();
        fs::write(&pack, &whole[..200]).unwrap();
        let told = world.refused(REBUILD, 1, "UNHEALTHY").result("findings").to_string();
        let kept = files(&world, "catalog.db.before-");
        assert!(told.contains("(first)") || told.contains("first"), "{told}");
        assert!(kept.iter().all(|name| told.contains(name.as_str())), "all files are named: {kept:?} {told}");
        let lost = |world: &World| {
            let findings = world.ok(&["doctor"]).result("findings").as_array().unwrap().clone();
            findings
                .into_iter()
                .find(|finding| finding["code"] == "CHECKPOINTS_LOST")
                .map(|finding| finding.to_string())
        };
        let told = lost(&world).unwrap();
        assert!(told.contains("first") && told.contains(".before-"), "{told}");
        if is_back {
            fs::write(&pack, &whole).unwrap();
            world.ok(REBUILD);
            assert_eq!(world.names(), ["first"]);
        } else {
            world.ok(REBUILD);
            assert!(lost(&world).is_some(), "another rebuild does not forget it");
            for name in kept {
                fs::remove_file(world.vault().join(name)).unwrap();
            }
        }
        assert_eq!(lost(&world), None);
    }
}

/// The files of the catalog as they were before something, put back.
fn kept(world: &World) -> Vec<(PathBuf, Vec<u8>)> {
    let files = ["catalog.db", "catalog.db-wal"].map(|name| world.vault().join(name));
    files.into_iter().filter_map(|file| fs::read(&file).ok().map(|bytes| (file, bytes))).collect()
}

#[test]
fn a_ledger_that_went_on_from_an_older_catalog_is_not_mixed_with_the_one_it_left() {
    let world = protected(false);
    world.put("work/f.txt", &numbered(&[]));
    world.checkpoint("base");
    world.work("a", || world.put("work/f.txt", &numbered(&[(3, "by a")])));
    let older = kept(&world);
    world.work("gone", || world.put("work/of_gone.txt", "x"));
    world.checkpoint("forgotten");
    let _ = fs::remove_file(world.vault().join("catalog.db-shm"));
    older.iter().for_each(|(file, bytes)| fs::write(file, bytes).unwrap());
    world.work("b", || world.put("work/f.txt", &numbered(&[(3, "by a"), (11, "by b")])));
    let (changes, segments) = (rows(&world, "changes"), rows(&world, "segments"));
    let told = world.call(REBUILD).result("findings").to_string();
    assert!(told.contains("CHANGES_LOST"), "{told}");
    assert_eq!((rows(&world, "changes"), rows(&world, "segments")), (changes, segments));
    assert!(world.names().contains(&"forgotten".to_owned()));
    world.ok(&["rollback", "wf", "--agent", "a", "--yes"]);
    assert_eq!(world.text("work/f.txt"), numbered(&[(11, "by b")]));
    world.checkpoint("after");
    world.ok(&["doctor"]);
}

#[test]
fn what_a_lost_checkpoint_sealed_comes_from_the_catalog() {
    let world = protected(false);
    world.put("work/f.txt", &numbered(&[]));
    world.checkpoint("base");
    let pack = fs::read_dir(world.vault().join("packs")).unwrap().next().unwrap().unwrap().path();
    let length = || fs::metadata(&pack).unwrap().len() as usize;
    world.work("a", || world.put("work/f.txt", &numbered(&[(3, "by a")])));
    world.ok(&["event", r#"TASK_STARTED:wf:1:{"task_id":"t1","agent_id":"a"}"#]);
    let from = length();
    world.ok(&["create-checkpoint", "wf", "--name", "lost", r#"{"include_file_backups":false}"#]);
    let upto = length();
    world.work("b", || world.put("work/f.txt", &numbered(&[(3, "by a"), (11, "by b")])));
    world.ok(&["event", r#"TASK_STARTED:wf:1:{"task_id":"t2","agent_id":"b"}"#]);
    world.checkpoint("last");
    let mut bytes = fs::read(&pack).unwrap();
    bytes[from..upto].fill(0);
    fs::write(&pack, bytes).unwrap();
    let before = TABLES[1..].iter().map(|table| rows(&world, table)).collect::<Vec<_>>();
    let told = world.refused(REBUILD, 1, "UNHEALTHY").result("findings").to_string();
    assert!(
        told.contains("CHECKPOINTS_LOST") && !told.contains("EVENTS_LOST") && !told.contains("CHANGES_LOST"),
        "{told}"
    );
    for (table, before) in TABLES[1..].iter().zip(&before) {
        assert_eq!(&rows(&world, table), before, "{table}");
    }
    world.ok(&["rollback", "wf", "--agent", "a", "--yes"]);
    assert_eq!(world.text("work/f.txt"), numbered(&[(11, "by b")]));
    // The pack has a hole, and stays ill for that.
    let told = world.refused(&["doctor"], 1, "UNHEALTHY").result("findings").to_string();
    assert!(told.contains("CHECKPOINTS_LOST") && told.contains("PACK_DAMAGED") && !told.contains("CHAIN"), "{told}");
}

fn lose_catalog(vault: &Path) {
    fs::remove_file(vault.join("catalog.db")).unwrap();
    ["catalog.db-wal", "catalog.db-shm"].iter().for_each(|name| drop(fs::remove_file(vault.join(name))));
}

/// What a call says in another directory.
fn at(world: &World, dir: &Path, arguments: &[&str]) -> (i32, String) {
    let ended = ended(world.command(arguments).arg("--json").current_dir(dir).output().unwrap());
    (ended.code, ended.error().to_owned())
}

#[test]
fn a_rebuild_in_a_copy_does_not_take_the_store_over() {
    let world = protected(false);
    world.checkpoint("base");
    let open = world.begin("ann", &[]);
    world.put("of_ann.txt", "hers");
    let place = tempfile::tempdir().unwrap();
    let (copy, kept) = (place.path().join("copy"), place.path().join("kept"));
    let copied = |from: &Path, to: &Path| Command::new("cp").arg("-a").args([from, to]).status().unwrap().success();
    assert!(copied(world.root(), &copy) && copied(world.data.path(), &kept));
    fs::remove_file(copy.join("of_ann.txt")).unwrap();
    let (vault, signposts) = (world.vault(), world.data.path().join("wfr/workspaces"));
    let lose_catalog = || lose_catalog(&vault);
    let lost: [&dyn Fn(); 6] = [
        &|| {},
        &|| fs::write(vault.join("catalog.db"), "noise").unwrap(),
        &lose_catalog,
        &|| fs::remove_file(vault.join("format.json")).unwrap(),
        &|| fs::remove_dir_all(&signposts).unwrap(),
        // The checkpoints that it exports say whose copy it is.
        &|| {
            fs::remove_dir_all(&signposts).unwrap();
            lose_catalog();
        },
    ];
    for (round, lose) in lost.iter().enumerate() {
        lose();
        let stands = || fs::read(vault.join("catalog.db")).ok();
        let (before, had_format) = (stands(), vault.join("format.json").exists());
        for arguments in [REBUILD, &["init"]] {
            assert_eq!(at(&world, &copy, arguments), (5, "WORKSPACE_COPIED".into()), "{round}: {arguments:?}");
        }
        assert!(stands() == before && vault.join("format.json").exists() == had_format, "{round}");
        assert_eq!(at(&world, world.root(), REBUILD).0, 0, "{round}");
        assert_eq!(at(&world, &copy, &["change", "end", &open]), (5, "WORKSPACE_COPIED".into()));
        fs::remove_dir_all(world.data.path().join("wfr")).unwrap();
        assert!(copied(&kept.join("wfr"), &world.data.path().join("wfr")));
    }
    assert_eq!(paths(&world.end(&open)["paths"]), ["of_ann.txt"]);
    // What it is told to do helps.
    fs::remove_dir_all(copy.join(".claude/recovery")).unwrap();
    assert_eq!(at(&world, &copy, &["init"]).0, 0);
    assert_eq!(at(&world, &copy, REBUILD).0, 0);
    world.ok(&["doctor"]);
    assert_eq!(world.names(), ["base"]);
}

#[test]
fn a_rebuild_of_a_workspace_that_was_moved_makes_the_store_its_own() {
    let world = protected(false);
    world.checkpoint("base");
    let place = tempfile::tempdir().unwrap();
    let mut from = world.root().to_owned();
    for is_lost in [false, true] {
        let to = place.path().join(format!("moved_{is_lost}"));
        assert!(Command::new("mv").args([&from, &to]).status().unwrap().success());
        if is_lost {
            lose_catalog(&world.vault());
        }
        assert_eq!(at(&world, &to, REBUILD).0, 0);
        // It is found there without its view, and what stands at the old path now is somebody else's.
        fs::remove_dir_all(to.join(".claude")).unwrap();
        assert_eq!(at(&world, &to, &["show", "wf", "base"]).0, 0);
        fs::create_dir(&from).unwrap();
        assert_eq!(at(&world, &from, &["doctor"]), (3, "WORKSPACE_NOT_FOUND".into()));
        assert_eq!(at(&world, &to, &["init"]).0, 0);
        from = to;
    }
}

#[test]
fn work_that_a_recovery_took_back_whose_record_is_lost_comes_back_as_is_said() {
    let world = World::with_lines();
    world.work("a", || world.put("work/f.txt", &numbered(&[(3, "by a")])));
    let done = world.ok(&["rollback", "wf", "--agent", "a", "--yes"]);
    let recovery = done.result("recovery_id").as_str().unwrap().to_owned();
    let again = world.ok(&["rollback", "wf", "--agent", "a", "--yes"]).json.to_string();
    assert!(again.contains(&format!("`wfr undo {recovery}` brings back")) && !again.contains("no record"), "{again}");
    world.checkpoint("sealed");
    lose_catalog(&world.vault());
    world.ok(REBUILD);
    world.put("work/f.txt", &numbered(&[(20, "by the user")]));
    let again = world.ok(&["rollback", "wf", "--agent", "a", "--yes"]);
    let told = again.result("findings").as_array().unwrap().clone();
    let told = told.iter().find(|one| one["code"] == "TAKEN_BACK_ALREADY").unwrap();
    let (message, fix) = (told["message"].as_str().unwrap(), told["fix"].as_str().unwrap());
    assert!(message.contains(&recovery) && message.contains("no record of it is left"), "{message}");
    assert!(!again.json.to_string().contains("wfr undo"), "{again:?}");
    let call: Vec<&str> = fix.split('`').nth(1).unwrap().split(' ').skip(1).collect();
    world.ok(&[&call[..], &["--yes"]].concat());
    assert_eq!(world.text("work/f.txt"), numbered(&[(3, "by a"), (20, "by the user")]));
    world.ok(&["rollback", "wf", "--agent", "a", "--yes"]);
    assert_eq!(world.text("work/f.txt"), numbered(&[(20, "by the user")]), "it goes again");
}
