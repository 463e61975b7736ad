//! What an archive brought is known again once the catalog is lost: its place, its events, and that it was made elsewhere.

use serde_json::{Value, json};

use crate::world::World;

/// Another store's archive of `wf`, whose events have other numbers there, with two checkpoints.
fn archive(world: &World, name: &str) -> String {
    for event in
        ["WORKFLOW_CREATED:other:global:{}", "WORKFLOW_CREATED:wf:global:{}", "WORKFLOW_PAUSED:other:global:{}"]
    {
        world.ok(&["event", event]);
    }
    world.ok(&["change", "begin", "--agent", "a1"]);
    world.checkpoint(&format!("{name}-first"));
    world.ok(&["event", &format!(r#"TASK_ASSIGNED:wf:1:{{"task_id":"{name}","agent_id":"a1"}}"#)]);
    world.checkpoint(&format!("{name}-second"));
    let path = world.data.path().join("wf.wfrarchive").to_str().unwrap().to_owned();
    world.ok(&["backup-state", "wf", "--output", &path]);
    path
}

fn lose_the_catalog(world: &World) {
    for file in ["catalog.db", "catalog.db-wal", "catalog.db-shm"] {
        let _ = std::fs::remove_file(world.vault().join(file));
    }
}

/// The events of a workflow with their places.
fn log(world: &World) -> Value {
    world.ok(&["events", "wf"]).result("events").clone()
}

#[test]
fn an_event_whose_id_is_another_events_here_comes_in_all_the_same() {
    let other = World::new();
    other.ok(&["event", "WORKFLOW_STARTED:wf:global:{}"]);
    let event = |id: &str, kind: &str, workflow: &str| {
        json!({"event_id": id, "event_type": kind, "workflow_id": workflow, "data": {"task_id": "t1", "agent_id": "a1"}}).to_string()
    };
    other.ok(&["event", &event("evt_2x", "TASK_STARTED", "wf")]);
    other.checkpoint("k");
    let archive = other.data.path().join("wf.wfrarchive").to_str().unwrap().to_owned();
    other.ok(&["backup-state", "wf", "--output", &archive]);
    let world = World::new();
    world.ok(&["event", &event("evt_2x", "TASK_FAILED", "zz")]);
    let brought = world.ok(&["import", &archive]);
    assert_eq!((brought.result("events"), brought.result("events_known")), (&json!(2), &json!(0)));
    assert_eq!(brought.result("ignored")[0]["place"], "id evt_2x", "{brought:?}");
    let task = |world: &World| world.ok(&["status", "wf"]).result("tasks").to_string();
    assert_eq!(task(&world), task(&other));
    let again = world.ok(&["import", &archive]);
    assert_eq!((again.result("events"), again.result("events_known")), (&json!(0), &json!(2)), "{again:?}");
    assert_eq!(again.result("ignored"), &json!([]));
    let seen = world.ok(&["validate-state", "wf", "--validation-depth", "comprehensive"]);
    assert_eq!(seen.result("findings"), &json!([]), "{seen:?}");
    // A hub's log, in which one id is there twice, too.
    let dir = world.data.path().join("hub");
    std::fs::create_dir_all(dir.join("events")).unwrap();
    let lines = [
        event("evt_2x", "TASK_STARTED", "wq"),
        event("evt_9", "TASK_STARTED", "wq"),
        event("evt_9", "TASK_COMPLETED", "wq"),
    ];
    std::fs::write(dir.join("events/wq_events.jsonl"), lines.join("\n")).unwrap();
    for (new, known, told) in [(3, 0, 2), (0, 3, 0)] {
        let brought = world.ok(&["import", dir.to_str().unwrap(), "--from", "hub"]);
        let ignored = brought.result("ignored").as_array().unwrap().len();
        assert_eq!(
            (brought.result("events"), brought.result("events_known")),
            (&json!(new), &json!(known)),
            "{brought:?}"
        );
        assert_eq!(ignored, told, "{brought:?}");
    }
}

#[test]
fn a_checkpoint_that_comes_in_under_another_name_is_told() {
    let world = World::new();
    world.checkpoint("k");
    let other = World::new();
    other.checkpoint("k");
    let archive = other.data.path().join("wf.wfrarchive").to_str().unwrap().to_owned();
    other.ok(&["backup-state", "wf", "--output", &archive]);
    let brought = world.ok(&["import", &archive]);
    assert_eq!(brought.result("ignored")[0]["place"], "name k", "{brought:?}");
    assert!(brought.result("ignored")[0]["why"].as_str().unwrap().ends_with("as k_2"), "{brought:?}");
}

#[test]
fn a_document_whose_id_can_be_none_is_named_and_not_imported_under_another() {
    let world = World::new();
    let dir = world.data.path().join("hub");
    std::fs::create_dir_all(dir.join("workflows/active")).unwrap();
    let file = dir.join("workflows/active/innocent.json");
    std::fs::write(&file, r#"{"id": "../x", "status": "running", "phases": []}"#).unwrap();
    let brought = world.ok(&["import", dir.to_str().unwrap(), "--from", "hub"]);
    assert_eq!(brought.result("workflows"), &json!([]), "{brought:?}");
    assert!(brought.result("ignored")[0]["why"].as_str().unwrap().contains("../x"), "{brought:?}");
    let file = file.to_str().unwrap();
    world.refused(&["import", file, "--from", "hub"], 2, "DOCUMENT_INVALID");
    world.ok(&["import", file, "--from", "hub", "--workflow-id", "x"]);
}

#[test]
fn a_rebuild_knows_what_was_imported_and_where_its_events_are() {
    let world = World::new();
    world.ok(&["event", "WORKFLOW_CREATED:mine:global:{}"]);
    world.checkpoint("own");
    // Both were taken later than what is there, and none is newer than that.
    for name in ["one", "two"] {
        let other = World::new();
        let archive = archive(&other, name);
        world.ok(&["import", &archive]);
    }
    let order = ["two-first", "two-second", "one-first", "one-second", "own"];
    let is_as_before = |names: &[&str], events: &Value| {
        lose_the_catalog(&world);
        let rebuilt = world.ok(&["doctor", "--rebuild-catalog"]);
        let told = rebuilt.result("findings").to_string();
        assert!(!told.contains("EVENTS_LOST") && !told.contains("CHANGES_LOST"), "{told}");
        assert_eq!(log(&world), *events);
        // What was cleaned up may come back, as long as its files lie in a pack.
        let mut found = world.names();
        found.retain(|name| names.contains(&name.as_str()));
        assert_eq!(found, names);
        assert_eq!(world.ok(&["show", "wf", "latest"]).result("checkpoint")["name"], "own");
        world.ok(&["validate-checkpoint", "own", "--validation-level", "comprehensive"]);
    };
    assert_eq!(world.names(), order);
    let events = log(&world);
    is_as_before(&order, &events);
    // A second loss finds what the first one's rebuild wrote, and a cleanup leaves the mark.
    world.ok(&["cleanup-checkpoints", "wf", r#"{"retention_policy":"last=1","preserve_critical":false}"#]);
    is_as_before(&["own"], &events);
    let again = world.ok(&["import", &archive(&World::new(), "three")]);
    assert_eq!(again.result("imported").as_array().unwrap().len(), 2);
    is_as_before(&["three-first", "three-second", "own"], &log(&world));
    world.ok(&["doctor"]);
}
