//! Checkpoints in the packs that no commit covers: none is left where one was refused, they can be dropped, and a rebuild, which
//! brings them back, keeps what can be kept beside.

use std::path::PathBuf;
use std::process::Stdio;

use wfr_testkit::{Prng, TestTree};

use crate::work::numbered;
use crate::world::World;

fn findings(world: &World) -> String {
    world.call(&["doctor"]).result("findings").to_string()
}

#[test]
fn those_who_come_too_late_for_a_name_leave_nothing() {
    let world = World::new();
    for round in 0..4 {
        let name = format!("same{round}");
        world.tree.write("a.txt", format!("round {round}").as_bytes());
        let create = || {
            let mut command = world.command(&["create-checkpoint", "wf", "--name", &name, "--json"]);
            command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
        };
        let children: Vec<_> = (0..8).map(|_| create()).collect();
        let codes: Vec<_> = children.into_iter().map(|mut child| child.wait().unwrap().code().unwrap()).collect();
        assert_eq!(codes.iter().filter(|code| **code == 0).count(), 1, "{codes:?}");
        assert_eq!(codes.iter().filter(|code| **code == 5).count(), 7, "{codes:?}");
    }
    let told = findings(&world);
    assert!(!told.contains("UNCOMMITTED") && !told.contains("PACK_TAILS"), "{told}");
    world.ok(&["validate-checkpoint", "wf", "same3", "--validation-level", "comprehensive"]);
}

/// A world with `good`, and `lost`, which is in the packs and of which the catalog does not know; and where its export is.
fn with_leftover() -> (World, PathBuf) {
    let mut world = World::new();
    world.variables.push(("WFR_NO_UPKEEP", "1".into()));
    world.checkpoint("good");
    let exported = leave(&world, "lost", || world.tree.write("a.txt", b"lost"));
    (world, exported)
}

/// Takes a checkpoint of which the catalog does not know then; returns where its export is.
fn leave(world: &World, name: &str, change: impl FnOnce()) -> PathBuf {
    let files = || ["catalog.db", "catalog.db-wal"].map(|name| world.vault().join(name));
    let kept = files().map(|file| std::fs::read(file).unwrap());
    change();
    world.checkpoint(name);
    let _ = std::fs::remove_file(world.vault().join("catalog.db-shm"));
    files().iter().zip(kept).for_each(|(file, bytes)| std::fs::write(file, bytes).unwrap());
    let exported = world.root().join(format!(".claude/recovery/checkpoints/wf/manual/{name}.ckpt"));
    assert!(exported.exists());
    exported
}

#[test]
fn they_keep_no_other_bytes_of_their_pack_from_being_freed() {
    for is_brought_back in [true, false] {
        let mut world = World::new();
        world.variables.push(("WFR_NO_UPKEEP", "1".into()));
        world.tree.write("big", &Prng::new(1).bytes(4_000_000));
        world.tree.write("shared", &Prng::new(2).bytes(2_000_000));
        world.checkpoint("old");
        ["big", "shared"].iter().for_each(|name| world.tree.remove(name));
        world.checkpoint("good");
        let exported = leave(&world, "lost", || world.tree.write("shared", &Prng::new(2).bytes(2_000_000)));
        std::fs::remove_file(exported).unwrap();
        let lost = world.snapshot();
        let cleanup = ["cleanup-checkpoints", "wf", "--retention-policy", "last=1", "--preserve-critical=false"];
        let cleaned = world.ok(&cleanup);
        let freed = cleaned.result("bytes_freed").as_u64().unwrap();
        assert!((3_900_000..4_900_000).contains(&freed), "all but what the lost one needs: {cleaned:?}");
        assert!(cleaned.json["next_steps"].to_string().contains("--drop-uncommitted"), "{cleaned:?}");
        assert_eq!(world.ok(&cleanup).result("bytes_freed"), 0);
        world.ok(&["validate-checkpoint", "wf", "good", "--validation-level", "comprehensive"]);
        if is_brought_back {
            world.ok(&["doctor", "--rebuild-catalog"]);
            assert_eq!(world.names(), ["good", "lost"]);
            lost.assert_same(&world.written_out("lost"));
        } else {
            let dropped = world.ok(&[&cleanup[..], &["--drop-uncommitted"]].concat());
            assert!(dropped.result("bytes_freed").as_u64().unwrap() > 1_900_000, "{dropped:?}");
            assert!(!findings(&world).contains("UNCOMMITTED"));
        }
    }
}

#[test]
fn one_that_is_just_being_taken_is_none_and_is_not_dropped() {
    let mut world = World::new();
    world.variables.push(("WFR_NO_UPKEEP", "1".into()));
    world.checkpoint("good");
    world.tree.write("big", &Prng::new(3).bytes(2_000_000));
    let size = || -> u64 {
        let packs = std::fs::read_dir(world.vault().join("packs")).unwrap();
        packs.map(|entry| entry.unwrap().metadata().unwrap().len()).sum()
    };
    let before = size();
    // It has written all, and waits for the catalog.
    let catalog = rusqlite::Connection::open(world.vault().join("catalog.db")).unwrap();
    catalog.execute_batch("BEGIN IMMEDIATE").unwrap();
    let mut command = world.command(&["create-checkpoint", "wf", "--name", "new", "--json"]);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    while size() < before + 2_000_000 {
        assert!(child.try_wait().unwrap().is_none(), "it waits");
        std::thread::yield_now();
    }
    let told = findings(&world);
    assert!(!told.contains("UNCOMMITTED"), "{told}");
    let cleaned = world.ok(&["cleanup-checkpoints", "wf", "--drop-uncommitted"]);
    assert_eq!(cleaned.result("bytes_freed"), 0, "{cleaned:?}");
    catalog.execute_batch("ROLLBACK").unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    world.ok(&["validate-checkpoint", "wf", "new", "--validation-level", "comprehensive"]);
    assert_eq!(world.names(), ["good", "new"]);
}

#[test]
fn they_are_dropped_where_that_is_asked_and_nobody_was_told_of_them() {
    let (world, exported) = with_leftover();
    let drop = ["cleanup-checkpoints", "wf", "--drop-uncommitted"];
    // Who was told has its file in the view.
    world.refused(&drop, 4, "CATALOG_DAMAGED");
    std::fs::remove_file(exported).unwrap();
    let told = findings(&world);
    assert!(
        told.contains("UNCOMMITTED") && told.contains("--drop-uncommitted") && told.contains("audit trail"),
        "{told}"
    );
    world.ok(&["cleanup-checkpoints", "wf"]);
    assert!(findings(&world).contains("UNCOMMITTED"), "it stays where nobody asks");
    let looked = world.ok(&["cleanup-checkpoints", "wf", "--drop-uncommitted", "--dry-run"]);
    assert!(looked.json["next_steps"].to_string().contains("(lost)"), "{looked:?}");
    assert!(findings(&world).contains("UNCOMMITTED"));
    let dropped = world.ok(&drop);
    assert!(dropped.json["next_steps"].to_string().contains("(lost)"), "{dropped:?}");
    let told = findings(&world);
    assert!(!told.contains("UNCOMMITTED") && !told.contains("PACK_TAILS"), "{told}");
    world.ok(&["doctor", "--rebuild-catalog"]);
    assert_eq!(world.names(), ["good"]);
    world.ok(&["validate-checkpoint", "wf", "good", "--validation-level", "comprehensive"]);
}

#[test]
fn a_rebuild_takes_recoveries_over_from_a_catalog_that_is_intact() {
    for is_encrypted in [false, true] {
        let mut world = World::unprotected(TestTree::of_every_kind());
        if is_encrypted {
            let file = world.data.path().join("passphrase");
            std::fs::write(&file, "correct horse\n").unwrap();
            world.variables.push(("WFR_PASSPHRASE_FILE", file));
            world.ok(&["init", "--encrypt", "--keep-unlocked"]);
        } else {
            world.ok(&["init"]);
        }
        world.checkpoint("base");
        world.tree.write("a.txt", b"edited");
        let edited = world.snapshot();
        let restored = world.ok(&["restore", "wf", "base", "--yes"]);
        let rebuilt = world.ok(&["doctor", "--rebuild-catalog"]);
        let told = rebuilt.result("findings").to_string();
        assert!(!told.contains("1 recoveries"), "{told}");
        let listed = world.ok(&["recoveries", "--report-details"]).result("recoveries").to_string();
        assert!(listed.contains(restored.result("recovery_id").as_str().unwrap()), "{listed}");
        assert!(listed.contains("a.txt"), "{listed}");
        world.ok(&["undo", "--yes"]);
        edited.assert_same(&world.snapshot());
    }
}

#[test]
fn a_rollback_whose_change_no_checkpoint_seals_is_taken_over_with_it() {
    for is_sealed in [true, false] {
        let world = World::with_lines();
        world.work("a", || world.put("work/f.txt", &numbered(&[(3, "by a")])));
        world.ok(&["rollback", "wf", "--agent", "a", "--yes"]);
        if is_sealed {
            world.checkpoint("after");
        }
        let told = world.ok(&["doctor", "--rebuild-catalog"]).result("findings").to_string();
        assert!(!told.contains("UNSEALED_LOST"), "{told}");
        world.ok(&["undo", "--yes"]);
        assert_eq!(world.text("work/f.txt"), numbered(&[(3, "by a")]));
    }
}
