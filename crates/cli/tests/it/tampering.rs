//! Damage anywhere in the packs, and a catalog that somebody has rewritten: nothing wrong is ever restored.
//!
//! Owns the ways of tampering. Refuses to know how each is found.

use std::path::PathBuf;

use rusqlite::Connection;
use wfr_testkit::{Prng, Snapshot, TestTree};

use crate::world::World;

fn packs(world: &World) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(world.vault().join("packs")).unwrap();
    let mut packs: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    packs.sort();
    packs
}

/// Two checkpoints, `first` and `second`, and the tree at each.
fn with_history() -> (World, [Snapshot; 2]) {
    let world = World::new();
    let first = world.snapshot();
    world.checkpoint("first");
    world.tree.write("a.txt", b"second\n");
    world.tree.remove("sub");
    world.tree.write("new/file", b"second\n");
    let second = world.snapshot();
    world.checkpoint("second");
    (world, [first, second])
}

/// Each checkpoint restores exactly or is refused as damaged; returns how many were refused.
#[track_caller]
fn refused(world: &World, states: &[Snapshot; 2], what: &str) -> usize {
    let mut refused = 0;
    for (name, state) in ["first", "second"].iter().zip(states) {
        let dir = tempfile::tempdir().unwrap();
        let to = dir.path().join("out");
        let checked = world.call(&["validate-checkpoint", "wf", name, "--validation-level", "comprehensive"]);
        let ended = world.call(&["restore", "wf", name, "--strict-mode", "--to", to.to_str().unwrap()]);
        match ended.code {
            0 => {
                assert_eq!(checked.code, 0, "{what}: restored though it does not validate: {checked:?}");
                let differences = state.differences(&Snapshot::of(&to).only(|path| path != b".claude"));
                assert!(differences.is_empty(), "{what}: {name} is restored wrongly: {differences:#?}");
            }
            4 => refused += 1,
            _ => panic!("{what}: {ended:?}"),
        }
    }
    refused
}

#[test]
fn a_flipped_bit_anywhere_is_harmless_or_found() {
    let (world, states) = with_history();
    let pack = packs(&world).remove(0);
    let good = std::fs::read(&pack).unwrap();
    let mut prng = Prng::from_environment();
    let mut found = 0;
    for _ in 0..24 {
        let (at, bit) = (prng.below(good.len()), prng.below(8));
        let mut bad = good.clone();
        bad[at] ^= 1 << bit;
        std::fs::write(&pack, &bad).unwrap();
        found += refused(&world, &states, &format!("byte {at} of {}, bit {bit}", good.len()));
    }
    assert!(found > 0);
    std::fs::write(&pack, &good).unwrap();
    assert_eq!(refused(&world, &states, "the bytes are back"), 0);
}

#[test]
fn a_pack_cut_off_anywhere_is_found() {
    let (world, states) = with_history();
    let pack = packs(&world).remove(0);
    let good = std::fs::read(&pack).unwrap();
    let mut prng = Prng::from_environment();
    for length in [0, 1, good.len() / 2, good.len() - 1, prng.below(good.len())] {
        std::fs::write(&pack, &good[..length]).unwrap();
        assert!(refused(&world, &states, &format!("cut off at {length}")) > 0);
        assert_eq!(world.call(&["doctor"]).code, 1, "cut off at {length}");
    }
    std::fs::write(&pack, &good).unwrap();
    assert_eq!(refused(&world, &states, "the bytes are back"), 0);
    world.ok(&["doctor"]);
}

#[track_caller]
fn rewrite(world: &World, statement: &str) {
    let catalog = Connection::open(world.vault().join("catalog.db")).unwrap();
    catalog.execute_batch(statement).unwrap();
}

#[test]
fn a_rewritten_catalog_is_noticed_and_nothing_is_restored_from_it() {
    for statement in [
        "UPDATE checkpoints SET tree = (SELECT tree FROM checkpoints WHERE name = 'second') WHERE name = 'first'",
        "UPDATE checkpoints SET manifest = (SELECT manifest FROM checkpoints WHERE name = 'second') \
         WHERE name = 'first'",
        "UPDATE checkpoints SET created_at = created_at - 1000000000 WHERE name = 'first'",
        "UPDATE checkpoints SET name = 'x' WHERE name = 'first'; \
         UPDATE checkpoints SET name = 'first' WHERE name = 'second'",
        "UPDATE checkpoints SET coverage = NULL, hard_links = NULL WHERE name = 'first'",
    ] {
        let (world, states) = with_history();
        world.tree.write("a.txt", b"third\n");
        let third = world.snapshot();
        rewrite(&world, statement);
        let checked = world.refused(
            &["validate-checkpoint", "wf", "first", "--validation-level", "comprehensive"],
            4,
            "CHECKPOINT_INTEGRITY_FAILURE",
        );
        assert_eq!(checked.result("chain_check"), "failed", "{statement}: {checked:?}");
        let restored = world.call(&["restore", "wf", "first", "--yes"]);
        assert_eq!((restored.code, restored.error()), (4, "CHECKPOINT_INTEGRITY_FAILURE"), "{statement}: {restored:?}");
        third.assert_same(&world.snapshot());
        world.ok(&["doctor", "--rebuild-catalog"]);
        states[0].assert_same(&world.written_out("first"));
    }
}

#[test]
fn an_emergency_restore_passes_over_a_rewritten_checkpoint() {
    let (world, [first, _]) = with_history();
    rewrite(
        &world,
        "UPDATE checkpoints SET tree = (SELECT tree FROM checkpoints WHERE name = 'first') WHERE name = 'second'",
    );
    let restored = world.call(&["emergency-restore", "wf", "--yes", "--exact-mtime"]);
    assert_eq!(restored.code, 0, "{restored:?}");
    assert_eq!(restored.result("passed_over").as_array().unwrap().len(), 1, "{restored:?}");
    first.assert_same(&world.snapshot());
}

#[test]
fn a_removed_link_of_the_chain_is_noticed() {
    let (world, _) = with_history();
    world.checkpoint("third");
    rewrite(&world, "DROP TRIGGER checkpoints_remain; DELETE FROM checkpoints WHERE name = 'second'");
    let doctor = world.refused(&["doctor"], 1, "UNHEALTHY");
    assert!(doctor.result("findings").to_string().contains("CHAIN_BROKEN"), "{doctor:?}");
    let level = ["validate-checkpoint", "wf", "third", "--validation-level", "comprehensive"];
    assert_eq!(world.refused(&level, 4, "CHECKPOINT_INTEGRITY_FAILURE").result("chain_check"), "failed");
}

#[test]
fn with_a_key_the_head_of_the_chain_is_authenticated() {
    let mut world = World::unprotected(TestTree::of_every_kind());
    let passphrase = world.data.path().join("passphrase");
    std::fs::write(&passphrase, "correct horse\n").unwrap();
    world.variables = vec![("WFR_PASSPHRASE_FILE", passphrase)];
    world.ok(&["init", "--encrypt", "--keep-unlocked"]);
    world.checkpoint("first");
    world.checkpoint("second");
    world.ok(&["validate-checkpoint", "wf", "second"]);
    for tag in ["NULL", "zeroblob(32)", "(SELECT head_tag FROM checkpoints WHERE name = 'first')"] {
        rewrite(&world, &format!("UPDATE checkpoints SET head_tag = {tag} WHERE name = 'second'"));
        let checked = world.refused(&["validate-checkpoint", "wf", "second"], 4, "CHECKPOINT_INTEGRITY_FAILURE");
        assert_eq!(checked.result("chain_check"), "failed", "{tag}");
    }
}

#[test]
fn what_is_exported_for_people_is_never_read_back_as_truth() {
    let (world, states) = with_history();
    let file = world.root().join(".claude/recovery/checkpoints/wf/manual/first.ckpt");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace("sha256:", "sha256:0").replace("first", "../../x")).unwrap();
    assert_eq!(refused(&world, &states, "an export is rewritten"), 0);
    world.ok(&["doctor"]);
}

/// What commands say of checkpoints and events, but whether a rebuild brought them back.
fn said(world: &World) -> String {
    let lists = [&["list-checkpoints", "wf", "--include-metadata"][..], &["events"], &["show", "wf", "base"]];
    let said = lists.map(|arguments| world.ok(arguments).json["result"].to_string());
    said.concat().replace(r#""recovered":true"#, r#""recovered":false"#)
}

#[test]
fn what_a_rotten_bit_changes_in_the_catalog_is_told_and_read_again_from_the_packs() {
    for (statement, code) in [
        ("UPDATE checkpoints SET name = 'basd'", "CATALOG_CONTRADICTED"),
        ("UPDATE checkpoints SET created_at = created_at + 1", "CATALOG_CONTRADICTED"),
        (r#"UPDATE checkpoints SET tags = '["stabld"]'"#, "CATALOG_CONTRADICTED"),
        ("UPDATE checkpoints SET manifest = zeroblob(32)", "MANIFEST_UNREADABLE"),
        ("UPDATE events SET source = 'othdr'", "EVENT_ALTERED"),
        ("UPDATE events SET recorded_at = recorded_at + 1", "EVENT_ALTERED"),
    ] {
        let world = World::new();
        world.ok(&["event", r#"WORKFLOW_STARTED:wf:global:{"workflow_name": "first"}"#]);
        world.ok(&["create-checkpoint", "wf", "--name", "base", "--tags", "stable"]);
        let before = said(&world);
        rewrite(&world, &format!("DROP TRIGGER events_stay; {statement}"));
        let told = world.refused(&["doctor"], 1, "UNHEALTHY");
        let findings = told.result("findings").as_array().unwrap().clone();
        assert_eq!(findings.iter().filter(|one| one["code"] == code).count(), 1, "{statement}: {findings:#?}");
        world.ok(&["doctor", "--rebuild-catalog"]);
        assert_eq!(said(&world), before, "{statement}");
        world.ok(&["doctor"]);
    }
}
