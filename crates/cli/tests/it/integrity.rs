//! Damage is found, never restored, and mended where another copy of the bytes is left.

use std::path::PathBuf;

use serde_json::json;

use crate::world::World;

fn packs(world: &World) -> Vec<PathBuf> {
    let mut packs: Vec<_> =
        std::fs::read_dir(world.vault().join("packs")).unwrap().map(|e| e.unwrap().path()).collect();
    packs.sort();
    packs
}

/// Flips a bit of the stored content of a file that does not compress.
pub fn damage(world: &World, content: &[u8]) {
    for pack in packs(world) {
        let mut bytes = std::fs::read(&pack).unwrap();
        if let Some(at) = bytes.windows(64).position(|window| window == &content[..64]) {
            bytes[at + 5] ^= 4;
            std::fs::write(&pack, bytes).unwrap();
            return;
        }
    }
    panic!("the content is in no pack");
}

fn with_noise() -> (World, Vec<u8>) {
    let world = World::new();
    let noise = wfr_testkit::Prng::new(9).bytes(5_000);
    world.tree.write("noise", &noise);
    (world, noise)
}

#[test]
fn a_flipped_bit_is_found_and_nothing_damaged_is_restored() {
    let (world, noise) = with_noise();
    world.checkpoint("base");
    world.tree.write("noise", b"edited");
    world.tree.write("a.txt", b"edited");
    let edited = world.snapshot();
    damage(&world, &noise);
    let found = world.refused(
        &["validate-checkpoint", "base", "--validation-level", "comprehensive", "--report-details"],
        4,
        "CHECKPOINT_INTEGRITY_FAILURE",
    );
    assert_eq!(found.json["error"]["severity"], "high");
    for checks in [&["--strict-mode"][..], &[]] {
        let restore = [&["restore", "wf", "base", "--yes"], checks].concat();
        let told = world.refused(&restore, 4, "CHECKPOINT_INTEGRITY_FAILURE");
        assert!(told.json["error"]["message"].as_str().unwrap().contains("`noise`"), "the file is named: {told:?}");
        edited.assert_same(&world.snapshot());
    }
    let diagnosis = world.refused(&["doctor"], 1, "UNHEALTHY");
    assert!(diagnosis.result("findings").to_string().contains("CHECKPOINT_DAMAGED"), "{diagnosis:?}");
    let out = world.data.path().join("out");
    let to = out.to_str().unwrap();
    let told = world.refused(&["restore", "wf", "base", "--to", to, "--yes"], 4, "CHECKPOINT_INTEGRITY_FAILURE");
    assert!(told.json["error"]["message"].as_str().unwrap().contains("`noise`"), "{told:?}");
    assert_eq!(std::fs::read_dir(&out).map_or(0, Iterator::count), 0, "nothing half written stays");
}

#[test]
fn a_state_is_validated_with_every_byte_of_its_newest_checkpoint() {
    let (world, noise) = with_noise();
    world.ok(&["event", "WORKFLOW_STARTED:wf:global:"]);
    let created = world.checkpoint("base");
    let id = created.result("checkpoint_id").as_str().unwrap();
    let call = json!({"validation_depth": "comprehensive", "verify_file_integrity": true}).to_string();
    assert_eq!(world.ok(&["validate-state", "wf", &call]).result("checks")["file_integrity"], "passed");
    damage(&world, &noise);
    let found = world.refused(&["validate-state", "wf", &call], 4, "STATE_INVALID");
    assert_eq!(found.result("checks")["file_integrity"], "failed");
    let finding = &found.result("findings")[0];
    assert_eq!(
        (&finding["code"], &finding["place"], &finding["severity"], &finding["repair"]["action"]),
        (
            &json!("CHECKPOINT_DAMAGED"),
            &json!(format!("checkpoints/{id}/noise")),
            &json!("error"),
            &json!("store_again")
        )
    );
    let told = found.json["error"]["message"].as_str().unwrap();
    assert!(told.contains("newest checkpoint"), "{told}");
    assert!(found.json["recovery_options"].to_string().contains("--repair-if-possible"), "{found:?}");
}

#[test]
fn what_is_left_whole_is_restored_where_that_is_asked_for() {
    let (world, noise) = with_noise();
    world.checkpoint("base");
    world.tree.write("noise", b"edited");
    world.tree.write("a.txt", b"edited");
    damage(&world, &noise);
    let out = world.data.path().join("out");
    let ignore = ["restore", "wf", "base", "--error-handling", "ignore", "--yes"];
    let beside = [&ignore[..], &["--to", out.to_str().unwrap()]].concat();
    for arguments in [&ignore[..], &beside] {
        let restored = world.ok(arguments);
        let kept = restored.result("kept").as_array().unwrap();
        assert!(kept.iter().any(|kept| kept["path"] == "noise" && kept["reason"] == "damaged"), "{kept:?}");
        assert_eq!(restored.result("validation_results")["integrity_check"], "failed", "{restored:?}");
        assert!(restored.json["next_steps"].to_string().contains("noise"), "{restored:?}");
    }
    assert_eq!(world.tree.read("a.txt"), b"a0\n");
    assert_eq!(world.tree.read("noise"), b"edited");
    assert_eq!(std::fs::read(out.join("a.txt")).unwrap(), b"a0\n");
    assert!(!out.join("noise").exists());
}

#[test]
fn a_damaged_object_is_taken_back_from_the_live_tree() {
    let (world, noise) = with_noise();
    world.checkpoint("base");
    damage(&world, &noise);
    let mended =
        world.ok(&["validate-checkpoint", "base", "--validation-level", "comprehensive", "--repair-if-possible"]);
    assert_eq!(mended.result("repaired"), 1);
    world.ok(&["doctor"]);
    world.ok(&["validate-checkpoint", "base", "--validation-level", "comprehensive"]);
    world.tree.remove("noise");
    world.ok(&["restore", "wf", "base", "--yes"]);
    assert_eq!(world.tree.read("noise"), noise);
}

#[test]
fn an_emergency_restore_names_newer_checkpoints_of_the_state_alone() {
    let world = World::new();
    world.ok(&["event", r#"TASK_STARTED:wf:1:{"task_id":"t1"}"#]);
    world.checkpoint("files");
    let state = world.ok(&["create-checkpoint", "wf", r#"{"name": "state", "include_file_backups": false}"#]);
    world.tree.write("a.txt", b"edited");
    let restored = world.ok(&["emergency-restore", "wf", "--yes"]);
    assert_eq!(restored.result("passed_over"), &json!([state.result("checkpoint_id")]), "{restored:?}");
    assert_eq!(world.tree.read("a.txt"), b"a0\n");
}

#[test]
fn an_emergency_restore_walks_back_to_the_newest_whole_one() {
    let (world, noise) = with_noise();
    world.tree.remove("noise");
    let before = world.snapshot();
    world.checkpoint("whole");
    world.tree.write("noise", &noise);
    world.checkpoint("damaged");
    damage(&world, &noise);
    world.tree.write("a.txt", b"edited");
    let restored = world.ok(&["emergency-restore", "wf", "--yes", "--exact-mtime"]);
    assert_eq!(restored.result("passed_over").as_array().unwrap().len(), 1);
    before.assert_same(&world.snapshot());
}

#[test]
fn a_pack_that_is_gone_is_noticed() {
    let world = World::new();
    world.checkpoint("base");
    std::fs::remove_file(&packs(&world)[0]).unwrap();
    let doctor = world.call(&["doctor"]);
    assert_eq!((doctor.code, doctor.result("healthy")), (1, &serde_json::Value::Bool(false)));
    world.refused(&["restore", "wf", "base", "--yes"], 4, "CHECKPOINT_INTEGRITY_FAILURE");
}

#[test]
fn the_last_good_copy_of_a_file_is_stored_anew_before_it_goes() {
    let (world, noise) = with_noise();
    world.checkpoint("base");
    world.tree.write("noise", b"edited");
    world.checkpoint("edited");
    world.ok(&["restore", "wf", "base", "--yes"]);
    damage(&world, &noise);
    world.ok(&["restore", "wf", "edited", "--yes"]);
    assert_eq!(world.tree.read("noise"), b"edited");
    world.ok(&["undo", "--yes"]);
    assert_eq!(world.tree.read("noise"), noise);
}

#[test]
fn several_last_good_copies_are_stored_anew_in_one_go_or_nothing_changes() {
    let (world, noise) = with_noise();
    let other = wfr_testkit::Prng::new(10).bytes(5_000);
    world.tree.write("other", &other);
    world.checkpoint("base");
    for name in ["noise", "other"] {
        world.tree.write(name, b"edited");
    }
    world.checkpoint("edited");
    world.ok(&["restore", "wf", "base", "--yes"]);
    damage(&world, &noise);
    damage(&world, &other);
    world.ok(&["restore", "wf", "edited", "--yes"]);
    world.ok(&["undo", "--yes"]);
    assert_eq!((world.tree.read("noise"), world.tree.read("other")), (noise, other));
}

#[test]
fn a_whole_checkpoint_stays_valid_where_one_before_it_is_lost() {
    let world = World::new();
    world.checkpoint("lost");
    std::fs::remove_file(&packs(&world)[0]).unwrap();
    let everything = world.snapshot();
    world.checkpoint("whole");
    for level in ["standard", "comprehensive"] {
        let valid = world.ok(&["validate-checkpoint", "wf", "whole", "--validation-level", level]);
        assert_eq!(valid.result("verification_status"), "valid");
        assert_eq!(valid.result("chain_check"), "skipped");
        assert!(valid.json["next_steps"].to_string().contains("is lost"), "{valid:?}");
    }
    world.refused(&["validate-checkpoint", "wf", "lost"], 4, "CHECKPOINT_INTEGRITY_FAILURE");
    assert_eq!(world.ok(&["validate-checkpoint", "latest-valid"]).result("name"), "whole");
    everything.assert_same(&world.written_out("whole"));
}

#[test]
fn a_merge_leaves_out_what_is_damaged_and_names_it() {
    let (world, noise) = with_noise();
    world.checkpoint("base");
    world.tree.remove("noise");
    world.tree.remove("a.txt");
    damage(&world, &noise);
    let call = ["restore", "wf", "base", "--restoration-mode", "merge", "--yes"];
    world.refused(
        &[&call[..], &["--checksum-validation", "--strict-mode"]].concat(),
        4,
        "CHECKPOINT_INTEGRITY_FAILURE",
    );
    let done = world.ok(&[&call[..], &["--error-handling", "ignore"]].concat());
    assert_eq!(done.result("kept")[0]["path"], "noise");
    assert!(!world.root().join("noise").exists() && world.root().join("a.txt").exists());
}

#[test]
fn a_rollback_checks_the_checkpoint_that_it_is_given() {
    let (world, noise) = with_noise();
    world.checkpoint("base");
    let verdict = |call: &[&str]| world.ok(call).result("validation_results")["integrity_check"].clone();
    let first = world.ok(&["change", "begin", "--workflow", "wf", "--agent", "z"]);
    world.ok(&["change", "end", first.result("token").as_str().unwrap()]);
    world.work("a", || world.put("of_a", "a"));
    assert_eq!(verdict(&["rollback", "wf", "base", "--agent", "a", "--plan"]), "skipped");
    assert_eq!(verdict(&["rollback", "wf", "base", "--agent", "a", "--yes"]), "passed");
    world.ok(&["undo", "--yes"]);
    damage(&world, &noise);
    let call = ["rollback", "wf", "base", "--agent", "a", "--yes"];
    let refused = world.refused(&call, 4, "CHECKPOINT_INTEGRITY_FAILURE");
    assert!(refused.json.to_string().contains("`noise`"), "{refused:?}");
    assert!(world.has("of_a"));
    let unchecked = r#"{"agent":"a","validation_requirements":{"integrity_check":false},"yes":true}"#;
    assert_eq!(verdict(&["rollback", "wf", "base", unchecked]), "skipped");
    assert!(!world.has("of_a"));
}

#[test]
fn a_check_that_reads_less_lifts_no_mark_of_damage() {
    let (world, noise) = with_noise();
    world.tree.remove("noise");
    world.checkpoint("good");
    world.tree.write("noise", &noise);
    world.checkpoint("later");
    damage(&world, &noise);
    let failure = "CHECKPOINT_INTEGRITY_FAILURE";
    let validate =
        |more: &[&str]| world.call(&[&["validate-checkpoint", "later", "--validation-level"], more].concat());
    assert_eq!(validate(&["comprehensive"]).error(), failure);
    for level in ["basic", "standard"] {
        let told = validate(&[level]);
        assert_eq!((told.code, told.error()), (4, failure), "{told:?}");
        assert_eq!(told.result("verification_status"), "corrupted", "{told:?}");
        assert_eq!(told.result("integrity_check"), "failed", "{told:?}");
    }
    world.refused(&["doctor"], 1, "UNHEALTHY");
    assert_eq!(world.ok(&["show", "latest-valid"]).result("checkpoint")["name"], "good");
    world.ok(&["cleanup-checkpoints", "wf", "--retention-policy", "last=1"]);
    assert!(world.names().contains(&"good".to_owned()), "the last whole one stays: {:?}", world.names());
    // A repair looks for all of it, whatever the level; so does a check of every byte.
    std::fs::write(world.root().join("noise"), b"edited").unwrap();
    assert_eq!(validate(&["basic", "--repair-if-possible"]).error(), failure);
    world.tree.write("noise", &noise);
    let mended = validate(&["basic", "--repair-if-possible"]);
    assert_eq!((mended.code, mended.result("verification_status")), (0, &json!("valid")), "{mended:?}");
}

#[test]
fn a_checkpoint_that_is_known_to_be_damaged_is_read_whole_before_it_is_restored() {
    let (world, noise) = with_noise();
    world.checkpoint("base");
    damage(&world, &noise);
    world.call(&["validate-checkpoint", "base", "--validation-level", "comprehensive"]);
    let told = world.refused(&["restore", "wf", "base", "--yes"], 4, "CHECKPOINT_INTEGRITY_FAILURE");
    assert!(told.json["error"]["message"].as_str().unwrap().contains("`noise`"), "{told:?}");
}

#[test]
fn a_state_is_not_said_to_have_whole_files_that_nobody_read() {
    let (world, noise) = with_noise();
    world.ok(&["event", "WORKFLOW_STARTED:wf:global:{}"]);
    world.checkpoint("base");
    let looked_at =
        |depth: &str| world.call(&["validate-state", "wf", "--verify-file-integrity", "--validation-depth", depth]);
    assert_eq!(looked_at("basic").result("checks")["file_integrity"], "passed");
    damage(&world, &noise);
    for depth in ["basic", "standard", "comprehensive"] {
        let told = looked_at(depth);
        assert_eq!((told.code, &told.result("checks")["file_integrity"]), (4, &json!("failed")), "{depth}: {told:?}");
    }
}

#[test]
fn a_checkpoint_is_not_valid_beside_a_catalog_that_keeps_it_from_being_restored() {
    let world = World::new();
    world.checkpoint("base");
    world.checkpoint("more");
    let catalog = world.vault().join("catalog.db");
    // Nothing stays in the log, from which pages would come back.
    rusqlite::Connection::open(&catalog).unwrap().execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    let whole = std::fs::read(&catalog).unwrap();
    let out = world.data.path().join("out");
    let restore = ["restore", "wf", "base", "--to", out.to_str().unwrap(), "--yes"];
    let mut refused = 0;
    for page in 1..=whole.len() / 4_096 / 2 {
        for cut in [page * 4_096, page * 4_096 - 2_500] {
            for log in ["catalog.db-wal", "catalog.db-shm"] {
                let _ = std::fs::remove_file(world.vault().join(log));
            }
            std::fs::write(&catalog, &whole[..whole.len() - cut]).unwrap();
            let validated = world.call(&["validate-checkpoint", "base", "--validation-level", "comprehensive"]);
            let restored = world.call(&restore);
            assert!(validated.code != 0 || restored.code == 0, "{cut} bytes: {restored:?}");
            refused += u32::from(validated.code == 4);
        }
    }
    assert!(refused > 0);
}
