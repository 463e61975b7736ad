//! Checkpoints in the packs that no commit covers: none is left where one was refused, they can be dropped, and a rebuild, which
//! brings them back, keeps what can be kept beside.

use std::path::PathBuf;
use std::process::Stdio;

use wfr_testkit::TestTree;

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
    let files = || ["catalog.db", "catalog.db-wal"].map(|name| world.vault().join(name));
    let kept = files().map(|file| std::fs::read(file).unwrap());
    world.tree.write("a.txt", b"lost");
    world.checkpoint("lost");
    let _ = std::fs::remove_file(world.vault().join("catalog.db-shm"));
    files().iter().zip(kept).for_each(|(file, bytes)| std::fs::write(file, bytes).unwrap());
    let exported = world.root().join(".claude/recovery/checkpoints/wf/manual/lost.ckpt");
    assert!(exported.exists());
    (world, exported)
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
