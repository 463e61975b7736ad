//! What an archive brought is known again once the catalog is lost: its place, its events, and that it was made elsewhere.

use serde_json::Value;

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
