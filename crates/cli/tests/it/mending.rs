//! What a repair and a merge of states leave: a way back, and nothing of others undone.
//!
//! Owns the look at them from outside, by the catalog's file and the next checkpoint. Refuses to know what mends what: see `states.rs`.

use serde_json::json;

use crate::states::{at_work, by_hand, codes, export, validated};
use crate::world::World;

#[test]
fn repairs_and_merges_are_undone_as_recoveries_are() {
    let world = World::new();
    at_work(&world);
    world.tree.write(
        "other.json",
        json!({"id": "wf", "tasks": {"t2": {"status": "failed"}, "t3": {}}}).to_string().as_bytes(),
    );
    world.tree.write("late.txt", b"before");
    world.checkpoint("base");
    // What the log does not give: a repair folds the state again, and sets what contradicts itself.
    by_hand(&world, "UPDATE parts SET doc = replace(doc, '\"t2\"', '\"t2\",\"progress\":300') WHERE id = 't2'");
    let merge: &[&str] = &[
        "merge-states",
        "--primary-state",
        "other.json",
        "--secondary-states",
        "wf",
        "--yes",
        "--conflict-resolution",
        "checkpoint_priority",
    ];
    for (set, kind) in [(&["repair-state", "wf", "--yes"][..], "repair_state"), (merge, "merge_states")] {
        let before = export(&world);
        let done = world.ok(set);
        assert_eq!(done.json["next_steps"][0], "`wfr undo` takes it back", "{done:?}");
        let after = export(&world);
        assert_ne!(after["phases"], before["phases"]);
        world.tree.write("late.txt", kind.as_bytes());
        let planned = world.ok(&["undo", "--plan"]);
        assert_eq!(planned.result("plan")["steps"], json!([]), "the files are not its business");
        assert_eq!(planned.result("plan")["state_changes"]["tasks"].as_u64().map(|tasks| tasks > 0), Some(true));
        let undone = world.ok(&["undo", "--yes"]);
        assert_eq!(undone.result("undone"), done.result("recovery_id"));
        assert_eq!(export(&world)["phases"], before["phases"], "{kind}");
        world.ok(&["undo", "--yes"]);
        assert_eq!(export(&world)["phases"], after["phases"], "{kind}, undone and done again");
        assert_eq!(std::fs::read(world.root().join("late.txt")).unwrap(), kind.as_bytes());
        let listed = world.ok(&["recoveries", "wf"]);
        let kinds: Vec<&str> =
            listed.result("recoveries").as_array().unwrap().iter().map(|one| one["kind"].as_str().unwrap()).collect();
        assert_eq!(&kinds[..3], ["undo", "undo", kind]);
        let by_name = world.ok(&["restore", "wf", done.result("backup").as_str().unwrap(), "--yes"]);
        assert_eq!(by_name.result("changed"), &json!([]));
        assert_eq!(export(&world)["phases"], before["phases"], "the backup itself leads back, too");
        world.ok(&["undo", "--yes"]);
    }
}

#[test]
fn a_change_that_is_not_noted_for_the_next_checkpoint_is_found() {
    let world = World::new();
    at_work(&world);
    world.checkpoint("base");
    world.ok(&["event", r#"TASK_STARTED:wf:1:{"task_id":"t9","agent_id":"a9"}"#]);
    by_hand(&world, "DELETE FROM dirty_leaves");
    let found = validated(&world);
    assert_eq!(codes(found.result("findings")), ["CHANGE_NOT_NOTED tasks/t9", "CHANGE_NOT_NOTED agents/a9"]);
    // Also after one was taken that lacks it.
    world.checkpoint("lacking");
    assert_eq!(validated(&world).code, 4);
    world.ok(&["repair-state", "wf"]);
    assert_eq!(validated(&world).code, 0);
    world.checkpoint("whole");
    let before = export(&world);
    world.ok(&["event", r#"TASK_COMPLETED:wf:1:{"task_id":"t9","agent_id":"a9"}"#]);
    world.ok(&["restore", "wf", "whole", "--yes"]);
    assert_eq!(export(&world)["phases"], before["phases"]);
}

#[test]
fn what_checkpoints_sealed_counts_over_rows_that_were_changed_since() {
    for sql in [
        "UPDATE events SET event_type = 'TASK_FAILED', data = '{\"task_id\":\"t1\",\"failure_reason\":\"forged\"}' WHERE seq = 2",
        "UPDATE events SET workflow_id = 'other' WHERE seq = 2",
        "UPDATE events SET seq = 99 WHERE seq = 2",
        "UPDATE events SET event_id = 'evt_forged' WHERE seq = 3",
    ] {
        let world = World::new();
        at_work(&world);
        world.checkpoint("base");
        let (before, events) = (export(&world), world.ok(&["events", "wf"]).result("events").clone());
        let other = "INSERT OR IGNORE INTO workflows (workflow_id, registered_at) VALUES ('other', 0)";
        by_hand(&world, &format!("{other}; {sql}"));
        let found = codes(validated(&world).result("findings"));
        assert!(found.iter().any(|code| code.starts_with("EVENT_ALTERED events/")), "{sql}: {found:?}");
        let mended = world.ok(&["repair-state", "wf", "--yes"]);
        assert_eq!((mended.result("validation"), &mended.result("plan")["lost"]), (&json!("passed"), &json!([])));
        assert_eq!((export(&world), world.ok(&["events", "wf"]).result("events")), (before, &events), "{sql}");
        let log = std::fs::read_to_string(mended.result("log").as_str().unwrap()).unwrap();
        assert!(log.contains("the checkpoint that sealed it"), "{log}");
        assert_eq!(validated(&world).code, 0);
    }
}

#[test]
fn an_event_at_a_place_that_the_log_never_gives_is_no_event_and_in_nobodys_way() {
    let world = World::new();
    at_work(&world);
    world.checkpoint("base");
    let whole = export(&world);
    let whole_again = |why: &str| {
        assert_eq!(export(&world), whole, "{why}");
        assert_eq!(validated(&world).result("findings"), &json!([]), "{why}");
    };
    // A row is moved beyond all places.
    by_hand(&world, "UPDATE events SET seq = 9223372036854775807 WHERE seq = 2");
    assert!(!codes(validated(&world).result("findings")).is_empty());
    let seen = world.call(&["doctor"]);
    assert!(seen.result("findings").to_string().contains("events/9223372036854775807"), "{seen:?}");
    world.ok(&["repair-state", "wf", "--yes"]);
    whole_again("moved");
    // The count of places is set there.
    by_hand(&world, "UPDATE sqlite_sequence SET seq = 9223372036854775807 WHERE name = 'events'");
    world.ok(&["event", "SYSTEM_STARTUP:other:global:{}"]);
    world.checkpoint("next");
    world.ok(&["restore", "wf", "base", "--yes"]);
    world.ok(&["doctor"]);
    // Nobody goes on from such a row, and a catalog is built again over it.
    by_hand(&world, "UPDATE events SET seq = 9223372036854775807 WHERE seq = (SELECT max(seq) FROM events)");
    world.ok(&["event", "SYSTEM_STARTUP:other:global:{}"]);
    world.ok(&["doctor", "--rebuild-catalog"]);
    world.ok(&["event", "SYSTEM_STARTUP:other:global:{}"]);
}

#[test]
fn an_event_before_the_first_one_is_not_taken_over() {
    for (seq, event, data) in [(0, "WORKFLOW_CANCELLED", "{}"), (-5, "TASK_FAILED", r#"{"task_id":"t1"}"#)] {
        let world = World::new();
        at_work(&world);
        world.checkpoint("base");
        let whole = export(&world);
        let forge = format!(
            "INSERT INTO events (seq, event_id, event_type, workflow_id, at, recorded_at, source, data)
             VALUES ({seq}, 'evt_forged', '{event}', 'wf', 1, 1, 'me', '{data}')"
        );
        by_hand(&world, &forge);
        let found = codes(validated(&world).result("findings"));
        assert_eq!(found, [format!("EVENT_DAMAGED events/{seq}")]);
        world.call(&["repair-state", "wf", "--yes"]);
        assert_eq!(export(&world), whole, "{event}");
    }
}

#[test]
fn a_recovery_whose_record_is_damaged_is_named_and_hides_no_other() {
    let world = World::new();
    at_work(&world);
    world.checkpoint("base");
    let restored = || {
        world.tree.write("late.txt", b"late");
        let done = world.ok(&["restore", "wf", "base", "--yes"]);
        done.result("recovery_id").as_str().unwrap().to_owned()
    };
    let (first, second) = (restored(), restored());
    by_hand(&world, &format!("UPDATE recoveries SET report = '{{{{' WHERE recovery_id = '{first}'"));
    let listed = world.ok(&["recoveries"]);
    assert_eq!(listed.result("damaged")[0]["recovery_id"], first, "{listed:?}");
    assert_eq!(listed.result("recoveries")[0]["recovery_id"], second);
    let shown = world.command(&["recoveries"]).output().unwrap().stdout;
    let shown = String::from_utf8(shown).unwrap();
    assert!(shown.contains(&format!("damaged {first}")), "{shown}");
    let seen = world.call(&["doctor"]);
    assert_eq!(seen.result("healthy"), false);
    assert!(seen.result("findings").to_string().contains("RECOVERY_DAMAGED"), "{seen:?}");
    assert_eq!(world.ok(&["undo", "--yes"]).result("undone"), &json!(second));
}

#[test]
fn where_the_catalog_contradicts_a_checkpoint_the_hint_helps() {
    let world = World::new();
    at_work(&world);
    world.checkpoint("base");
    by_hand(&world, "UPDATE checkpoints SET total = 99");
    for more in [&[][..], &["--repair-if-possible"]] {
        let call = [&["validate-checkpoint", "base", "--validation-level", "comprehensive"], more].concat();
        let refused = world.refused(&call, 4, "CHECKPOINT_INTEGRITY_FAILURE");
        assert!(refused.json["recovery_options"].to_string().contains("doctor --rebuild-catalog"), "{refused:?}");
    }
    world.ok(&["doctor", "--rebuild-catalog"]);
    world.ok(&["validate-checkpoint", "base", "--validation-level", "comprehensive"]);
}

#[test]
fn what_is_lost_without_a_text_takes_no_empty_line() {
    let world = World::new();
    at_work(&world);
    by_hand(&world, "DELETE FROM events WHERE seq = 3");
    by_hand(&world, "UPDATE parts SET doc = '{' WHERE id = 't2'");
    let shown = world.command(&["repair-state", "wf", "--plan"]).output().unwrap().stdout;
    let shown = String::from_utf8(shown).unwrap();
    assert!(shown.contains("Lost\n"), "{shown}");
    assert!(shown.lines().all(|line| line.is_empty() || !line.trim().is_empty()), "{shown}");
}

#[test]
fn what_a_document_does_not_say_is_not_merged() {
    let world = World::new();
    at_work(&world);
    world.checkpoint("base");
    let before = export(&world);
    world
        .tree
        .write("o.json", json!({"workflow_id": "wf", "tasks": {"t1": {"description": "hey"}}}).to_string().as_bytes());
    let merge = |more: &[&str]| {
        let call = ["merge-states", "--primary-state", "current_workflow_state", "--secondary-states", "./o.json"];
        world.call(&[&call, more].concat())
    };
    for how in ["priority_based", "union"] {
        let planned = merge(&["--merge-strategy", how, "--conflict-resolution", "checkpoint_priority", "--plan"]);
        let conflicts = planned.result("plan")["conflicts"].as_array().unwrap();
        let places: Vec<&str> = conflicts.iter().map(|one| one["place"].as_str().unwrap()).collect();
        assert_eq!(places, ["tasks/t1/description"], "{how}: {planned:?}");
    }
    let done = merge(&["--merge-strategy", "three_way", "--base-state", "base", "--yes"]);
    assert_eq!(done.result("plan")["changes"], json!(["tasks/t1"]), "{done:?}");
    let mut expected = before;
    expected["phases"][0]["tasks"][0]["description"] = json!("hey");
    assert_eq!(export(&world), expected);
}

#[test]
fn a_plan_of_an_undated_document_is_the_same_plan_later() {
    for (how, doc) in [
        ("priority_based", json!({"workflow_id": "wf", "status": "paused"})),
        ("latest", json!({"workflow_id": "wf", "status": "paused", "state_version": 99})),
    ] {
        let world = World::new();
        at_work(&world);
        world.tree.write("o.json", doc.to_string().as_bytes());
        let asked = [
            "merge-states",
            "--primary-state",
            "current",
            "--secondary-states",
            "./o.json",
            "--merge-strategy",
            how,
            "--conflict-resolution",
            "checkpoint_priority",
        ];
        let planned = world.ok(&[&asked[..], &["--plan"]].concat());
        let digest = planned.result("plan")["digest"].as_str().unwrap();
        let done = world.ok(&[&asked[..], &["--apply", digest]].concat());
        assert_eq!(done.result("applied"), true, "{how}");
        assert_eq!(export(&world)["status"], "paused", "{how}");
    }
}

/// Five tasks are done, and nothing is sealed.
fn five_done(world: &World) {
    for task in 1..=5 {
        world.ok(&["event", &format!(r#"TASK_COMPLETED:wf:1:{{"task_id":"t{task}"}}"#)]);
    }
}

#[test]
fn what_the_log_lost_for_good_is_said_where_the_state_is_made_of_it() {
    let world = World::new();
    five_done(&world);
    by_hand(&world, "DELETE FROM events WHERE seq = 3; DELETE FROM states; DELETE FROM parts");
    for depth in ["standard", "comprehensive"] {
        let found = world.refused(&["validate-state", "wf", "--validation-depth", depth], 4, "STATE_INVALID");
        let named = codes(found.result("findings"));
        assert!(named.contains(&"EVENTS_GAP events/3".to_owned()), "{depth}: {named:?}");
    }
    let planned = world.ok(&["repair-state", "wf", "--plan"]);
    assert_eq!(planned.result("plan")["lost"][0]["place"], "events/3", "{planned:?}");
    let mended = world.ok(&["repair-state", "wf", "--yes"]);
    assert_eq!(mended.result("plan")["lost"][0]["place"], "events/3", "{mended:?}");
    // The state is what the log gives by now; that it lacks something stays said.
    let after = validated(&world);
    assert_eq!((after.code, codes(after.result("findings"))), (0, vec!["EVENTS_GAP events/3".to_owned()]));
    assert_eq!(after.result("findings")[0]["severity"], "warning");
    let again = world.ok(&["repair-state", "wf", "--yes"]);
    assert_eq!((&again.result("plan")["lost"], again.result("applied")), (&json!([]), &json!(false)));
}

#[test]
fn a_version_behind_events_that_nobody_can_read_is_mended() {
    let world = World::new();
    for event in
        ["WORKFLOW_STARTED:wf:1:{}", r#"TASK_STARTED:wf:1:{"task_id":"t1"}"#, r#"TASK_COMPLETED:wf:1:{"task_id":"t1"}"#]
    {
        world.ok(&["event", event]);
    }
    by_hand(&world, "UPDATE events SET data = '{bad' WHERE seq = 2; DELETE FROM states; DELETE FROM parts");
    let mended = world.ok(&["repair-state", "wf", "--yes"]);
    assert_eq!(mended.result("plan")["lost"][0]["place"], "events/2", "{mended:?}");
    assert_eq!(mended.result("validation"), "passed");
    let after = validated(&world);
    assert_eq!((after.code, codes(after.result("findings"))), (0, vec!["EVENT_DAMAGED events/2".to_owned()]));
    // Mended again where all is lost once more.
    by_hand(&world, "DELETE FROM states; DELETE FROM parts");
    world.ok(&["repair-state", "wf", "--yes"]);
    assert_eq!(validated(&world).code, 0);
    // One that a repair left behind before.
    by_hand(&world, "UPDATE states SET head = json_set(head, '$.state_version', 1)");
    world.ok(&["repair-state", "wf", "--yes"]);
    assert_eq!(validated(&world).code, 0);
}

#[test]
fn a_state_that_cannot_be_read_keeps_no_files_from_being_restored() {
    let calls: [&[&str]; 4] = [
        &["emergency-restore", "wf"],
        &["partial-restore", "wf", "good", "--components", "file_system"],
        &["restore", "wf", "good", "--restoration-mode", "partial", "--file", "a.txt"],
        &["restore", "wf", "good", "--error-handling", "ignore"],
    ];
    for damage in ["UPDATE states SET head = '{bad'", "UPDATE parts SET doc = '{bad'"] {
        for call in calls {
            let world = World::new();
            five_done(&world);
            world.checkpoint("good");
            let text = || std::fs::read(world.root().join("a.txt")).unwrap();
            let good = text();
            world.ok(&["event", r#"TASK_COMPLETED:wf:1:{"task_id":"t6"}"#]);
            world.tree.write("a.txt", b"edited");
            by_hand(&world, damage);
            world.refused(&["restore", "wf", "good", "--yes"], 4, "STATE_INVALID");
            let done = world.ok(&[call, &["--yes"]].concat());
            assert_eq!(text(), good, "{call:?}");
            let parts = ["partial-restore", "partial"];
            if !call.iter().any(|word| parts.contains(word)) {
                assert!(done.json.to_string().contains("the workflow's state is left as it is"), "{call:?}: {done:?}");
            }
            world.ok(&["undo", "--yes"]);
            assert_eq!(text(), b"edited", "{call:?}");
            // Its events are in the log, and in the state once that is mended.
            world.ok(&["repair-state", "wf", "--yes"]);
            assert_eq!(validated(&world).code, 0, "{damage} {call:?}");
            assert_eq!(world.ok(&["status", "wf"]).code, 0);
        }
    }
}

#[test]
fn a_recovery_whose_process_died_is_ended_where_the_state_cannot_be_read_by_then() {
    let world = World::new();
    five_done(&world);
    world.checkpoint("good");
    world.ok(&["event", r#"TASK_COMPLETED:wf:1:{"task_id":"t6"}"#]);
    world.tree.write("a.txt", b"edited");
    let died =
        world.command(&["restore", "wf", "good", "--yes", "--functional-check", "kill -9 $PPID"]).output().unwrap();
    assert!(!died.status.success());
    assert_ne!(std::fs::read(world.root().join("a.txt")).unwrap(), b"edited", "it died behind its steps");
    by_hand(&world, "UPDATE states SET head = '{bad'");
    let mended = world.ok(&["repair-state", "wf", "--yes"]);
    assert!(mended.json.to_string().contains("was taken back first"), "{mended:?}");
    assert_eq!(std::fs::read(world.root().join("a.txt")).unwrap(), b"edited");
    assert_eq!(validated(&world).code, 0);
    let listed = world.ok(&["recoveries", "wf"]);
    assert_eq!(listed.result("recoveries")[0]["status"], "taken_back", "{listed:?}");
}

#[test]
fn notes_that_name_no_part_of_a_state_keep_no_checkpoint_from_being_taken() {
    for note in ["'wf', 'task', 99999, 3", "'wf', 'zz', 1, 3", "'wf', 'task', 4096, 3"] {
        let world = World::new();
        at_work(&world);
        world.checkpoint("base");
        world.ok(&["event", r#"TASK_STARTED:wf:1:{"task_id":"t9","agent_id":"a9"}"#]);
        by_hand(&world, &format!("INSERT INTO dirty_leaves VALUES ({note})"));
        for depth in ["standard", "comprehensive"] {
            let found = world.call(&["validate-state", "wf", "--validation-depth", depth]);
            let all = codes(found.result("findings"));
            assert!(all.len() == 1 && all[0].starts_with("ROW_DAMAGED dirty_leaves/"), "{note}: {found:?}");
        }
        let before = export(&world);
        world.checkpoint("beside");
        by_hand(&world, &format!("INSERT OR IGNORE INTO dirty_leaves VALUES ({note})"));
        world.ok(&["event", r#"TASK_COMPLETED:wf:1:{"task_id":"t9","agent_id":"a9"}"#]);
        world.ok(&["restore", "wf", "beside", "--yes"]);
        assert_eq!(export(&world)["phases"], before["phases"], "{note}: the checkpoint holds all of the state");
        by_hand(&world, &format!("INSERT OR IGNORE INTO dirty_leaves VALUES ({note})"));
        world.ok(&["repair-state", "wf", "--yes"]);
        assert_eq!(validated(&world).code, 0, "{note}");
    }
}
