//! States that are wrong are found, mended and merged; nothing is done without a yes, and history stays.

use rusqlite::Connection;
use serde_json::{Value, json};

use crate::world::{Ended, World};

/// Sets a workflow's state by a document.
fn set(world: &World, workflow: &str, doc: Value) {
    let mut doc = doc;
    doc["id"] = json!(workflow);
    world.tree.write("state.json", doc.to_string().as_bytes());
    world.ok(&["import", "state.json", "--from", "hub"]);
}

/// A workflow in the midst of its work, by three events.
pub fn at_work(world: &World) {
    set(world, "wf", json!({"name": "Port", "status": "created"}));
    set(
        world,
        "wf",
        json!({"status": "running", "current_phase": 1, "phases": [
        {"phase_id": 1, "name": "Research", "status": "in_progress", "tasks": [
            {"task_id": "t1", "description": "read", "status": "completed"},
            {"task_id": "t2", "description": "note", "status": "active", "assigned_agent": "a1"}]}]}),
    );
    set(world, "wf", json!({"agents": {"a1": {"current_task": "t2", "status": "in_progress"}}}));
}

pub fn export(world: &World) -> Value {
    let mut doc = world.ok(&["export", "wf"]).result("document").clone();
    for changing in ["updated_at", "state_version"] {
        doc.as_object_mut().unwrap().remove(changing);
    }
    doc
}

pub fn validated(world: &World) -> Ended {
    world.call(&["validate-state", "wf", "--validation-depth", "comprehensive"])
}

pub fn codes(list: &Value) -> Vec<String> {
    let mut codes: Vec<String> = list
        .as_array()
        .unwrap()
        .iter()
        .map(|one| format!("{} {}", one["code"].as_str().unwrap(), one["place"].as_str().unwrap()))
        .collect();
    codes.dedup();
    codes
}

/// Changes the catalog by hand, past its own guards.
pub fn by_hand(world: &World, sql: &str) {
    let connection = Connection::open(world.vault().join("catalog.db")).unwrap();
    connection.execute_batch("DROP TRIGGER IF EXISTS events_stay; DROP TRIGGER IF EXISTS events_remain;").unwrap();
    connection.execute_batch(sql).unwrap();
}

#[test]
fn a_state_that_can_be_is_valid_and_every_check_says_whether_it_ran() {
    let world = World::new();
    at_work(&world);
    let plain = world.ok(&["validate-state"]);
    assert_eq!((plain.result("valid"), plain.result("findings")), (&json!(true), &json!([])));
    let checks = plain.result("checks").clone();
    assert_eq!((&checks["checksum"], &checks["semantic"]), (&json!("passed"), &json!("passed")));
    for skipped in ["dependency_validation", "file_integrity", "performance_check"] {
        assert_eq!(checks[skipped], "skipped", "{skipped}");
    }
    let report = std::fs::read_to_string(plain.result("report").as_str().unwrap()).unwrap();
    assert!(report.contains("\"valid\": true"), "{report}");
    let again = world.ok(&["validate-state", "wf", r#"{"workflow_id":"wf"}"#]);
    assert_ne!(again.result("report"), plain.result("report"), "each has its own");
    world.refused(&["validate-state", "other", r#"{"workflow_id":"wf"}"#], 2, "WRONG_ARGUMENTS");
    let printed = world.command(&["graph", "wf", "--format", "json"]).output().unwrap().stdout;
    let graph: Value = serde_json::from_slice(&printed).unwrap();
    assert!(graph["result"]["dependency_graph"]["nodes"].is_object(), "{graph}");
    world.checkpoint("base");
    let all = json!({"validation_depth": "comprehensive", "check_dependencies": true, "verify_file_integrity": true,
        "performance_check": true});
    let all = world.ok(&["validate-state", "wf", &all.to_string()]);
    assert_eq!(all.result("checks")["dependency_validation"], "skipped", "nothing is declared");
    assert_eq!(
        (&all.result("checks")["file_integrity"], &all.result("checks")["performance_check"]),
        (&json!("passed"), &json!("passed"))
    );
    assert_eq!((&all.result("performance")["events"], &all.result("performance")["tasks"]), (&json!(3), &json!(2)));
    let basic = world.ok(&["validate-state", "wf", "--validation-depth", "basic"]);
    assert_eq!(basic.result("checks")["semantic"], "skipped");
    world.ok(&["create-checkpoint", "other", "--name", "x"]);
    world.refused(&["validate-state", "other"], 3, "STATE_NOT_FOUND");
    world.refused(&["validate-state"], 2, "WRONG_ARGUMENTS");
    world.refused(&["validate-state", "nowhere"], 3, "WORKFLOW_NOT_FOUND");
}

#[test]
fn what_it_needs_is_looked_for() {
    let world = World::new();
    let needs = json!({"external": [
        {"type": "tool", "name": "sh"}, {"type": "tool", "name": "no-such-tool"},
        {"type": "file", "name": "a.txt"}, {"type": "environment", "name": "HOME"}, "nix_flake_inputs"]});
    set(&world, "wf", json!({"status": "running", "dependencies": needs}));
    let ended =
        world.refused(&["validate-state", "wf", "--check-dependencies", "--report-details"], 4, "STATE_INVALID");
    let found = ended.result("dependencies").as_array().unwrap().iter();
    let found: Vec<(&str, &str)> =
        found.map(|one| (one["name"].as_str().unwrap(), one["status"].as_str().unwrap())).collect();
    let expected = [
        ("sh", "passed"),
        ("no-such-tool", "failed"),
        ("a.txt", "passed"),
        ("HOME", "passed"),
        ("nix_flake_inputs", "skipped"),
    ];
    assert_eq!(found, expected);
    let home = world.data.path().to_str().unwrap();
    let of_home = &ended.result("dependencies")[3];
    assert!(!of_home.to_string().contains(home), "the value of a variable is nobody's business: {of_home}");
}

#[test]
fn contradictions_are_mended_by_one_event_and_only_with_a_yes() {
    let world = World::new();
    set(
        &world,
        "wf",
        json!({
        "phases": [{"phase_id": 1, "status": "in_progress", "tasks": [{"task_id": "t1", "status": "completed", "assigned_agent": "a1"}]}],
        "agents": {"a1": {"current_task": "t1", "status": "in_progress"}},
        "replace": {"head": {"workflow_id": "wf", "status": "completed", "current_phase": 7, "progress_percentage": 130}}}),
    );
    let before = export(&world);
    let found = world.refused(&["validate-state", "wf"], 4, "STATE_INVALID");
    let expected = [
        "AGENT_TASK_ENDED agents/a1/current_task",
        "CURRENT_PHASE_UNKNOWN current_phase",
        "PROGRESS_OUT_OF_RANGE progress_percentage",
        "WORKFLOW_ENDED_AT_WORK status",
    ];
    assert_eq!(codes(found.result("findings")), expected);
    let planned = world.ok(&["repair-state", "wf", "--plan"]);
    assert_eq!(planned.result("plan")["repairs"].as_array().unwrap().len(), 2);
    let bold = [expected[1].to_owned(), expected[3].to_owned()];
    assert_eq!(codes(planned.result("remaining")), bold, "only the other strategy mends them");
    let words = String::from_utf8(world.command(&["repair-state", "wf", "--plan"]).output().unwrap().stdout).unwrap();
    assert!(words.contains("--repair-strategy aggressive"), "{words}");
    let asked = world.refused(&["repair-state", "wf"], 8, "CONSENT_NEEDED");
    assert_eq!(asked.result("plan")["digest"], planned.result("plan")["digest"]);
    assert_eq!(export(&world), before);
    let wrong = format!("sha256:{}", "0".repeat(64));
    world.refused(&["repair-state", "wf", "--apply", &wrong], 5, "STALE_PLAN");
    let digest = planned.result("plan")["digest"].as_str().unwrap();
    let mended = world.refused(&["repair-state", "wf", "--apply", digest], 4, "STATE_INVALID");
    assert_eq!((mended.result("applied"), codes(mended.result("remaining"))), (&json!(true), bold.to_vec()));
    let backup = mended.result("backup").as_str().unwrap().to_owned();
    assert_eq!(world.ok(&["show", &backup]).result("checkpoint")["checkpoint_id"], backup.as_str());
    let log = std::fs::read_to_string(mended.result("log").as_str().unwrap()).unwrap();
    assert!(log.contains("AGENT_TASK_ENDED"), "{log}");
    let bold = world.ok(&["repair-state", "wf", "--repair-strategy", "aggressive", "--yes"]);
    assert_eq!((bold.result("validation"), bold.result("remaining")), (&json!("passed"), &json!([])));
    assert_eq!(export(&world)["status"], "running");
    let nothing = world.ok(&["repair-state", "wf"]);
    assert_eq!((nothing.result("applied"), nothing.result("backup")), (&json!(false), &Value::Null));
}

#[test]
fn damaged_rows_are_folded_again() {
    for (sql, code) in [
        ("UPDATE parts SET doc = '{' WHERE id = 't1'", "ROW_DAMAGED tasks/t1"),
        ("UPDATE parts SET doc = CAST(x'ff00' AS TEXT) WHERE id = 't1'", "ROW_DAMAGED tasks/t1"),
        ("UPDATE parts SET slot = slot + 1 WHERE id = 't2'", "ROW_DAMAGED tasks/t2"),
        ("UPDATE parts SET kind = 'tasque' WHERE id = 't2'", "ROW_DAMAGED tasques/t2"),
        ("UPDATE parts SET doc = json_set(doc, '$.status', 'failed') WHERE id = 't1'", "STATE_DIFFERS tasks/t1"),
        ("UPDATE parts SET doc = json_set(doc, '$.task_id', 't9') WHERE id = 't1'", "ID_MISMATCH tasks/t1/task_id"),
        (
            "UPDATE parts SET doc = json_set(doc, '$.counts.failed', 9) WHERE kind = 'phase'",
            "COUNTS_WRONG phases/1/counts",
        ),
        ("DELETE FROM parts WHERE id = 'a1'", "STATE_DIFFERS agents/a1"),
        ("UPDATE states SET head = 'x'", "ROW_DAMAGED head"),
        ("UPDATE states SET head = json_set(head, '$.workflow_id', 'other')", "ROW_DAMAGED head"),
        ("UPDATE states SET head = json_set(head, '$.state_version', 1)", "STATE_VERSION_BEHIND state_version"),
        ("UPDATE states SET head = json_set(head, '$.status', 'paused')", "STATE_DIFFERS head"),
        ("DELETE FROM states", "ROW_DAMAGED head"),
        ("DELETE FROM states; DELETE FROM parts", "STATE_MISSING head"),
    ] {
        let world = World::new();
        at_work(&world);
        let whole = export(&world);
        by_hand(&world, sql);
        let found = validated(&world);
        assert_eq!((found.code, found.error()), (4, "STATE_INVALID"), "{sql}: {found:?}");
        assert!(codes(found.result("findings")).contains(&code.to_owned()), "{sql}: {found:?}");
        let mended = world.ok(&["repair-state", "wf"]);
        assert_eq!(
            (mended.result("plan")["fold_again"].as_bool(), mended.result("plan")["lost"].clone()),
            (Some(true), json!([])),
            "{sql}"
        );
        assert_eq!(export(&world), whole, "{sql}");
        assert_eq!(validated(&world).result("findings"), &json!([]), "{sql}");
    }
}

#[test]
fn damaged_rows_are_told_as_the_states_damage_not_the_catalogs() {
    let world = World::new();
    at_work(&world);
    let whole = export(&world);
    by_hand(&world, "UPDATE parts SET doc = 'garbage'");
    let event = ["event", r#"TASK_STARTED:wf:1:{"task_id":"t3","agent_id":"a1"}"#];
    for arguments in [&["status", "wf"][..], &["export", "wf"], &event] {
        let refused = world.refused(arguments, 4, "STATE_INVALID");
        let told = refused.json["recovery_options"].to_string();
        assert!(told.contains("wfr repair-state wf") && !told.contains("rebuild"), "{refused:?}");
    }
    let sick = world.refused(&["doctor"], 1, "UNHEALTHY");
    let finding = &sick.result("findings")[0];
    assert_eq!((&finding["code"], &finding["severity"]), (&json!("ROW_DAMAGED"), &json!("error")), "{sick:?}");
    assert!(finding["fix"].as_str().unwrap().contains("wfr repair-state wf"), "{sick:?}");
    world.ok(&["repair-state", "wf"]);
    assert_eq!(export(&world), whole);
    world.ok(&["doctor"]);
}

/// Flips a bit of the stored object that has a checkpoint's state.
pub fn damage_state(world: &World, checkpoint: &str) {
    let connection = Connection::open(world.vault().join("catalog.db")).unwrap();
    let sql = "SELECT state FROM checkpoints WHERE name = ?1";
    let id: Vec<u8> = connection.query_row(sql, [checkpoint], |row| row.get(0)).unwrap();
    let packs = std::fs::read_dir(world.vault().join("packs")).unwrap().map(|entry| entry.unwrap().path());
    for pack in packs {
        let mut bytes = std::fs::read(&pack).unwrap();
        if let Some(at) = bytes.windows(id.len()).position(|window| window == id) {
            // The id stands in the record's header; the content begins 48 bytes behind its beginning.
            bytes[at + 52] ^= 4;
            return std::fs::write(&pack, bytes).unwrap();
        }
    }
    panic!("the state is in no pack");
}

#[test]
fn a_damaged_state_keeps_no_file_from_coming_back() {
    let world = World::new();
    at_work(&world);
    world.checkpoint("base");
    by_hand(&world, "DELETE FROM snapshots; UPDATE parts SET doc = '{' WHERE id = 't1'");
    let told = world.checkpoint("left-out").json["next_steps"].to_string();
    assert!(told.contains("but not the state of `wf`") && told.contains("wfr repair-state wf"), "{told}");
    let base = world.tree.read("a.txt");
    let edited = |arguments: &[&str]| {
        world.tree.write("a.txt", b"edited");
        let ended = world.ok(arguments);
        assert_eq!(world.tree.read("a.txt"), base, "{arguments:?}");
        ended
    };
    edited(&["restore", "wf", "left-out", "--yes"]);
    let told = world.ok(&["repair-state", "wf", "--yes"]).json["next_steps"].to_string();
    assert!(told.contains("no checkpoint was taken as a backup"), "{told}");
    world.ok(&["cleanup-checkpoints", "wf", r#"{"retention_policy":"last=1","preserve_critical":false,"undoable":0}"#]);
    world.checkpoint("of-old");
    damage_state(&world, "of-old");
    world.tree.write("a.txt", b"edited");
    world.refused(&["restore", "wf", "of-old", "--yes"], 4, "CHECKPOINT_INTEGRITY_FAILURE");
    let level = ["--validation-level", "comprehensive"];
    let sick = [&["validate-checkpoint", "of-old"], &level[..]].concat();
    world.refused(&sick, 4, "CHECKPOINT_INTEGRITY_FAILURE");
    let out = world.data.path().join("out");
    world.ok(&["restore", "wf", "of-old", "--to", out.to_str().unwrap(), "--yes"]);
    edited(&["partial-restore", "wf", "of-old", "--components", "file_system", "--yes"]);
    let spared = edited(&["restore", "wf", "of-old", "--yes", "--error-handling", "ignore"]);
    assert!(spared.result("findings").to_string().contains("STATE_LEFT"), "{spared:?}");
    let spared = edited(&["emergency-restore", "wf", "--checkpoint", "of-old", "--yes"]);
    assert_eq!(spared.result("validation_results")["integrity_check"], "passed", "an older one is whole");
    world.ok(&["undo", "--yes"]);
    assert_eq!(world.tree.read("a.txt"), b"edited");
}

#[test]
fn a_rebuild_takes_over_what_the_old_log_still_says() {
    let world = World::new();
    at_work(&world);
    world.checkpoint("base");
    world.ok(&["event", r#"TASK_COMPLETED:wf:1:{"task_id":"t2","agent_id":"a1"}"#]);
    world.ok(&["event", r#"TASK_STARTED:wf:1:{"task_id":"t3","agent_id":"a1"}"#]);
    let whole = export(&world);
    let last = world.ok(&["events", "wf"]).result("last_seq").as_i64().unwrap();
    let rebuilt = world.ok(&["doctor", "--rebuild-catalog"]);
    assert!(!rebuilt.result("findings").to_string().contains("EVENTS_LOST"), "{rebuilt:?}");
    assert_eq!((export(&world), world.ok(&["events", "wf"]).result("last_seq").as_i64()), (whole, Some(last)));
    by_hand(&world, &format!("UPDATE events SET data = '{{' WHERE seq = {last}"));
    let rebuilt = world.ok(&["doctor", "--rebuild-catalog"]);
    let findings = rebuilt.result("findings").as_array().unwrap();
    let lost = findings.iter().find(|finding| finding["code"] == "EVENTS_LOST").unwrap();
    let told = lost["message"].as_str().unwrap();
    assert!(told.starts_with("an event did not come back") && told.contains("catalog.db.before-"), "{told}");
}

#[test]
fn an_event_that_meets_no_state_folds_it_again_first() {
    for sql in ["DELETE FROM states", "DELETE FROM states; DELETE FROM parts"] {
        let (world, other) = (World::new(), World::new());
        let event = ["event", r#"TASK_COMPLETED:wf:1:{"task_id":"t2","agent_id":"a1"}"#];
        at_work(&other);
        other.ok(&event);
        at_work(&world);
        by_hand(&world, sql);
        world.ok(&event);
        let without_times = |world: &World| export(world)["phases"][0]["tasks"][1]["status"].clone();
        assert_eq!(
            (without_times(&world), export(&world)["name"].clone()),
            (json!("completed"), json!("Port")),
            "{sql}"
        );
        assert_eq!(
            world.ok(&["status", "wf"]).result("state_version"),
            other.ok(&["status", "wf"]).result("state_version")
        );
        assert_eq!(validated(&world).result("findings"), &json!([]), "{sql}");
        world.checkpoint("after");
    }
    let world = World::new();
    at_work(&world);
    by_hand(&world, "DELETE FROM states; UPDATE events SET data = '{' WHERE seq = 2");
    let refused = world.refused(&["event", "WORKFLOW_PAUSED:wf:global:"], 4, "STATE_INVALID");
    assert!(refused.json["recovery_options"].to_string().contains("wfr repair-state wf"), "{refused:?}");
}

#[test]
fn an_event_that_cannot_be_read_is_named_and_the_state_outlives_it() {
    let world = World::new();
    at_work(&world);
    let whole = export(&world);
    by_hand(&world, "UPDATE events SET data = '{' WHERE seq = 2");
    let found = validated(&world);
    assert_eq!(
        (found.code, codes(found.result("findings"))),
        (4, vec!["EVENT_DAMAGED events/2".to_owned()]),
        "{found:?}"
    );
    world.refused(&["repair-state", "wf"], 8, "CONSENT_NEEDED");
    let mended = world.ok(&["repair-state", "wf", "--yes"]);
    assert_eq!(mended.result("plan")["lost"][0]["place"], "events/2");
    assert_eq!(export(&world), whole);
    let after = validated(&world);
    assert_eq!((after.code, &after.result("findings")[0]["severity"]), (0, &json!("warning")), "{after:?}");
    world.checkpoint("after");
    // What is folded again now is the state all the same.
    by_hand(&world, "DELETE FROM states; DELETE FROM parts");
    world.ok(&["repair-state", "wf", "--yes"]);
    assert_eq!(export(&world), whole);
}

#[test]
fn what_both_the_log_and_the_state_lost_is_said() {
    let world = World::new();
    at_work(&world);
    by_hand(&world, "UPDATE events SET data = '{' WHERE seq = 2; UPDATE parts SET doc = '{' WHERE id = 't1'");
    assert_eq!(validated(&world).code, 4);
    let mended = world.ok(&["repair-state", "wf", "--yes"]);
    let lost = mended.result("plan")["lost"].as_array().unwrap().iter();
    let lost: Vec<&str> = lost.map(|row| row["place"].as_str().unwrap()).collect();
    assert_eq!(lost, ["tasks/t1", "events/2"]);
    let tasks = export(&world)["phases"][0]["tasks"].clone();
    assert_eq!((tasks.as_array().unwrap().len(), &tasks[0]["description"]), (1, &json!("note")), "the rest is there");
    assert_eq!(validated(&world).code, 0);
}

#[test]
fn events_that_were_taken_away_are_missed() {
    let world = World::new();
    at_work(&world);
    let whole = export(&world);
    by_hand(&world, "DELETE FROM events WHERE seq = 3");
    let found = validated(&world);
    assert_eq!(
        (found.code, codes(found.result("findings"))),
        (4, vec!["EVENTS_MISSING events".to_owned()]),
        "{found:?}"
    );
    world.refused(&["repair-state", "wf", "--yes"], 4, "STATE_INVALID");
    world.ok(&["repair-state", "wf", "--repair-strategy", "aggressive", "--yes"]);
    assert_eq!(export(&world), whole, "the state keeps what the log lost");
    assert_eq!(validated(&world).code, 0);
}

#[test]
fn a_repair_takes_nothing_back_because_events_are_missing() {
    let world = World::new();
    at_work(&world);
    let second = || {
        let tasks = export(&world)["phases"][0]["tasks"].clone();
        tasks.as_array().unwrap().iter().find(|task| task["task_id"] == "t2").map(|task| task["status"].clone())
    };
    let before = second();
    assert!(before.is_some());
    let last = world.ok(&["events", "wf"]).result("last_seq").as_i64().unwrap();
    by_hand(
        &world,
        &format!("DELETE FROM events WHERE seq >= {}; UPDATE parts SET doc = '{{' WHERE id = 't1'", last - 1),
    );
    assert_eq!(validated(&world).code, 4);
    let mended = world.call(&["repair-state", "wf", "--yes"]);
    let lost = mended.result("plan")["lost"].as_array().unwrap().iter();
    let lost: Vec<&str> = lost.map(|row| row["place"].as_str().unwrap()).collect();
    assert_eq!(lost, ["tasks/t1", "events"], "{mended:?}");
    assert_eq!(second(), before, "what is kept of the others stays");
}

#[test]
fn events_that_a_checkpoint_holds_come_back() {
    for (sql, is_state_lost) in [
        ("DELETE FROM events WHERE seq = 2", false),
        ("DELETE FROM events", false),
        ("UPDATE events SET data = '{' WHERE seq = 2", false),
        ("DELETE FROM failures; DELETE FROM events; DELETE FROM states; DELETE FROM parts", true),
    ] {
        let world = World::new();
        at_work(&world);
        world.checkpoint("base");
        world.ok(&["event", r#"TASK_COMPLETED:wf:1:{"task_id":"t2","agent_id":"a1"}"#]);
        world.checkpoint("done");
        let whole = export(&world);
        let listed = |world: &World| world.ok(&["events", "wf", "--after", "0"]).result("events").clone();
        let events = listed(&world);
        by_hand(&world, sql);
        let sick = world.refused(&["doctor"], 1, "UNHEALTHY");
        let finding = &sick.result("findings")[0];
        assert_eq!(
            (&finding["code"], &finding["fix"]),
            (&json!("EVENTS_MISSING"), &json!("run `wfr repair-state wf`"))
        );
        if is_state_lost {
            let refused = world.refused(&["export", "wf"], 4, "STATE_INVALID");
            assert!(refused.json["recovery_options"].to_string().contains("wfr repair-state wf"), "{refused:?}");
        }
        let found = validated(&world);
        assert!(found.result("findings").to_string().contains("EVENTS_MISSING"), "{sql}: {found:?}");
        let mended = world.ok(&["repair-state", "wf"]);
        assert!(mended.result("plan")["events_back"].as_u64().unwrap() > 0, "{sql}: {mended:?}");
        assert_eq!((export(&world), listed(&world)), (whole, events), "{sql}");
        assert_eq!(validated(&world).result("findings"), &json!([]), "{sql}");
        world.ok(&["doctor"]);
    }
}

#[test]
fn a_place_whose_event_is_gone_is_not_given_again() {
    let world = World::new();
    at_work(&world);
    by_hand(&world, "DELETE FROM events WHERE seq = 3");
    assert_eq!(world.ok(&["event", "WORKFLOW_PAUSED:wf:global:"]).result("first_seq"), 4);
    let seen = world.ok(&["doctor"]);
    assert_eq!(seen.result("findings")[0]["code"], "EVENTS_GAP", "{seen:?}");
    by_hand(&world, "UPDATE events SET data = '{' WHERE seq = 2");
    assert_eq!(world.ok(&["doctor"]).result("findings")[0]["code"], "EVENT_DAMAGED");
}

#[test]
fn an_event_that_cannot_be_read_keeps_nobody_from_following() {
    let world = World::new();
    at_work(&world);
    by_hand(&world, "UPDATE events SET data = '{' WHERE seq = 2");
    world.ok(&["status", "wf"]);
    let events = world.ok(&["events", "wf"]);
    assert!(events.json["next_steps"][0].as_str().unwrap().contains("1 of them cannot be read"), "{events:?}");
}

#[test]
fn states_are_merged_as_a_plan_first() {
    let world = World::new();
    at_work(&world);
    let other = json!({"id": "wf", "status": "running", "phases": [{"phase_id": 1, "status": "in_progress"}], "tasks": {
        "t2": {"phase_id": 1, "status": "failed", "failure_reason": "broke"}, "t3": {"phase_id": 1}}});
    world.tree.write("other.json", other.to_string().as_bytes());
    let call = |more: Value| {
        let mut parameters = json!({"primary_state": "current_workflow_state", "secondary_states": ["other.json"],
            "merge_strategy": "priority_based", "conflict_resolution": "manual_review"});
        parameters.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        vec!["merge-states".to_owned(), parameters.to_string()]
    };
    let before = export(&world);
    let review = world.refused(&call(json!({"yes": true})), 5, "CONFLICTS");
    let conflicts = review.result("plan")["conflicts"].as_array().unwrap();
    let places: Vec<&str> = conflicts.iter().map(|one| one["place"].as_str().unwrap()).collect();
    assert_eq!(places, ["tasks/t2/standing"], "{review:?}");
    assert_eq!(export(&world), before);
    let theirs = json!({"conflict_resolution": "checkpoint_priority"});
    let asked = world.refused(&call(theirs.clone()), 8, "CONSENT_NEEDED");
    let mut agreed = theirs;
    agreed["apply"] = asked.result("plan")["digest"].clone();
    let done = world.ok(&call(agreed.clone()));
    assert_eq!(done.result("applied"), true);
    let tasks = export(&world)["phases"][0]["tasks"].clone();
    let statuses: Vec<&str> = tasks.as_array().unwrap().iter().map(|task| task["status"].as_str().unwrap()).collect();
    assert_eq!(statuses, ["completed", "failed", "pending"]);
    world.refused(&call(agreed), 5, "STALE_PLAN");
    let same = world.ok(&["merge-states", "--primary-state", "wf", "--secondary-states", "wf"]);
    assert_eq!((same.result("applied"), &same.result("plan")["changes"]), (&json!(false), &json!([])));
    world.refused(
        &["merge-states", "--primary-state", "wf", "--secondary-states", "wf", "--merge-strategy", "three_way"],
        2,
        "WRONG_ARGUMENTS",
    );
    world.checkpoint("base");
    world.refused(
        &["merge-states", "--primary-state", "wf", "--secondary-states", "nothing"],
        3,
        "CHECKPOINT_NOT_FOUND",
    );
    world.refused(&["merge-states", "--primary-state", "wf", "--secondary-states", "./none.json"], 3, "FILE_NOT_FOUND");
    world.refused(&["merge-states", "--primary-state", "wf"], 2, "WRONG_ARGUMENTS");
}

#[test]
fn a_merge_names_what_it_leaves_out_and_from_which_state() {
    let world = World::new();
    at_work(&world);
    let odd = json!({"checkpoint": {"tasks": {"t8": {}}, "workflow_state": {"id": "wf", "status": "running",
        "phases": "none", "extra": [1], "agents": {"a1": "busy"}, "replace": {"allocations": 7},
        "tasks": {"t2": {"status": "levitating"}, "t3": {"phase_id": 1}, "a/1": {}}}}});
    world.tree.write("odd.json", odd.to_string().as_bytes());
    world.tree.write("base.json", br#"{"id": "wf", "status": "running", "tasks": [{"status": "active"}]}"#);
    let parameters = json!({"primary_state": "current", "secondary_states": ["odd.json"], "base_state": "base.json",
        "plan": true});
    let planned = world.ok(&["merge-states", &parameters.to_string()]);
    let left_out = planned.result("plan")["left_out"].as_array().unwrap();
    let of = |file: &str| {
        let found = left_out.iter().filter(|one| one["source"] == file).map(|one| one["what"].as_str().unwrap());
        let mut found: Vec<&str> = found.map(|what| what.split(": ").next().unwrap()).collect();
        found.sort_unstable();
        found
    };
    let named = ["`extra`", "`phases`", "`replace/allocations`", "`tasks`", "agent `a1`", "task `a/1`", "task t2"];
    assert_eq!((of("odd.json"), of("base.json")), (named.to_vec(), vec!["task number 1 has no `task_id`"]));
    assert_eq!(planned.result("plan")["changes"].to_string().matches("t3").count(), 1, "the rest goes in");
    let shown = world.command(&["merge-states", &parameters.to_string()]).output().unwrap().stdout;
    let shown = String::from_utf8(shown).unwrap();
    assert!(shown.contains("Left out") && shown.contains("odd.json: task t2: "), "{shown}");
}

#[test]
fn a_workflow_whose_entry_is_gone_is_found_and_entered_again() {
    let world = World::new();
    at_work(&world);
    world.checkpoint("base");
    world.ok(&["create-checkpoint", "files-only", "--name", "x"]);
    let before = export(&world);
    by_hand(&world, "PRAGMA foreign_keys = OFF; DELETE FROM workflows WHERE workflow_id = 'wf';");
    let told = world.refused(&["status", "wf"], 3, "WORKFLOW_NOT_FOUND");
    assert!(told.json["recovery_options"].to_string().contains("repair-state wf"), "{told:?}");
    let doctor = world.refused(&["doctor"], 1, "UNHEALTHY");
    let codes_of = |list: &Value| list.to_string().matches("WORKFLOW_UNREGISTERED").count();
    assert_eq!(codes_of(doctor.result("findings")), 1, "{doctor:?}");
    let invalid = world.refused(&["validate-state", "wf"], 4, "STATE_INVALID");
    assert_eq!(codes(invalid.result("findings")), ["WORKFLOW_UNREGISTERED workflow"]);
    let plan = world.ok(&["repair-state", "wf", "--plan"]);
    assert_eq!(codes(&plan.result("plan")["repairs"]), ["WORKFLOW_UNREGISTERED workflow"]);
    world.refused(&["status", "wf"], 3, "WORKFLOW_NOT_FOUND");
    for workflow in ["wf", "files-only"] {
        let sql = format!("PRAGMA foreign_keys = OFF; DELETE FROM workflows WHERE workflow_id = '{workflow}';");
        by_hand(&world, &sql);
        let mended = world.ok(&["repair-state", workflow]);
        assert_eq!(codes(&mended.result("plan")["repairs"]), ["WORKFLOW_UNREGISTERED workflow"]);
        assert_eq!(mended.result("applied"), true);
    }
    assert_eq!(export(&world), before);
    assert_eq!(world.names(), ["base"]);
    world.ok(&["doctor"]);
}

#[test]
fn a_phase_that_only_the_head_names_is_not_invented_unless_that_is_asked_for() {
    let world = World::new();
    at_work(&world);
    world.ok(&[
        "update-state",
        "wf",
        r#"{"replace": {"head": {"workflow_id": "wf", "status": "running", "current_phase": 9}}}"#,
    ]);
    let wrong = ["CURRENT_PHASE_UNKNOWN current_phase".to_owned()];
    let left = world.refused(&["repair-state", "wf", "--yes"], 4, "STATE_INVALID");
    assert_eq!(codes(left.result("remaining")), wrong);
    assert!(!export(&world)["phases"].to_string().contains('9'));
    world.ok(&["repair-state", "wf", "--repair-strategy", "aggressive", "--yes"]);
    assert_eq!(validated(&world).result("valid"), true);
}
