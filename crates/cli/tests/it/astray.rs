//! Rows of the outbox that are damaged: each is found, stops what it concerns alone, and is mended as the finding says.

use std::path::Path;

use serde_json::{Value, json};

use crate::states::by_hand;
use crate::world::World;

const REBUILD: &[&str] = &["doctor", "--rebuild-catalog"];

/// A workspace with two sinks that have had all there is, with a message in it.
fn world() -> World {
    let mut world = World::new();
    world.variables.push(("WFR_NO_UPKEEP", "1".into()));
    world.checkpoint("base");
    let log = |name: &str| json!({"name": name, "kind": "file", "path": format!("{name}.jsonl")});
    world.ok(&["config", "coordination.sinks", &json!([log("one"), log("two")]).to_string()]);
    events(&world, 3);
    world.ok(&["outbox", "flush"]);
    world
}

fn events(world: &World, count: usize) {
    for _ in 0..count {
        world.ok(&["event", "SYSTEM_STARTUP:wf:global:{}"]);
    }
}

/// Each line that a sink had; all must be whole.
fn lines(world: &World, name: &str) -> Vec<Value> {
    let path = Path::new(".claude/recovery").join(format!("{name}.jsonl"));
    let text = std::fs::read_to_string(world.root().join(path)).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("no whole line: {line}"))).collect()
}

fn found(world: &World, code: &str) -> String {
    let told = world.refused(&["doctor"], 1, "UNHEALTHY").result("findings").to_string();
    assert!(told.contains(code), "{told}");
    told
}

#[test]
fn a_sink_that_stands_where_the_log_never_was_gets_what_comes() {
    for is_flushed in [true, false] {
        let world = world();
        by_hand(&world, "UPDATE subscriptions SET events_upto = events_upto | 1024 WHERE name = 'one'");
        let before = lines(&world, "one").len();
        events(&world, 2);
        assert!(found(&world, "SINK_ASTRAY").contains("wfr outbox flush"));
        if is_flushed {
            let flushed = world.ok(&["outbox", "flush"]);
            assert!(flushed.json["next_steps"].to_string().contains("`one` stood at"), "{flushed:?}");
        } else {
            // Nobody looks on: it is kept in the audit trail.
            assert_eq!(world.ok(&["upkeep"]).result("delivered"), 4);
        }
        assert_eq!((lines(&world, "one").len(), lines(&world, "two").len()), (before + 2, before + 2));
        let trail = world.vault().join("catalog.db");
        let trail = rusqlite::Connection::open(trail).unwrap();
        let sql = "SELECT count(*) FROM operations WHERE operation = 'sink set back'";
        assert_eq!(trail.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap(), 1);
        world.ok(&["doctor"]);
    }
}

#[test]
fn a_count_of_attempts_that_cannot_be_stops_no_sink() {
    let world = world();
    by_hand(&world, "UPDATE subscriptions SET attempts = -1 WHERE name = 'one'");
    let letter =
        "INSERT INTO dead_letters (subscription, item, body, attempts, error, at) VALUES ('two', 'x', '{}', -1, '', 0)";
    by_hand(&world, letter);
    let told = found(&world, "OUTBOX_DAMAGED");
    assert!(told.contains("subscriptions/one") && told.contains("dead_letters/x"), "{told}");
    events(&world, 2);
    let before = lines(&world, "two").len();
    world.ok(&["outbox"]);
    world.ok(&["outbox", "flush"]);
    assert_eq!((lines(&world, "one").len(), lines(&world, "two").len()), (before + 2, before + 2));
    world.ok(REBUILD);
    world.ok(&["doctor"]);
    assert_eq!(world.ok(&["outbox"]).result("dead_letters").as_array().map(Vec::len), Some(1), "it is kept");
}

#[test]
fn a_message_that_cannot_be_read_is_put_aside_and_sent_to_nobody() {
    let world = world();
    world.tree.write("a.txt", b"edited");
    world.ok(&["restore", "wf", "base", "--yes"]);
    events(&world, 1);
    by_hand(
        &world,
        "DROP TRIGGER messages_stay; UPDATE messages SET body = substr(body, 1, 60) WHERE seq = (SELECT max(seq) FROM messages)",
    );
    assert!(found(&world, "OUTBOX_DAMAGED").contains("messages/"));
    let before = lines(&world, "one").len();
    let flushed = world.refused(&["outbox", "flush"], 1, "SINK_REFUSED");
    assert!(flushed.json["error"].to_string().contains("1 put aside"), "{flushed:?}");
    let after = lines(&world, "one");
    assert!(
        after.len() > before && after.last().unwrap()["event_type"] == "SYSTEM_STARTUP",
        "what comes behind it goes out"
    );
    // Sent again it would be as broken.
    world.refused(&["outbox", "retry"], 1, "SINK_REFUSED");
    assert_eq!(lines(&world, "one").len(), after.len());
    let told = world.ok(REBUILD).result("findings").to_string();
    assert!(told.contains("1 messages and recorded answers") && told.contains("2 items put aside"), "{told}");
    world.ok(&["doctor"]);
    world.ok(&["outbox", "flush"]);
    assert_eq!(lines(&world, "one").len(), after.len(), "nothing comes again");
}

#[test]
fn the_hold_of_a_request_whose_process_died_goes() {
    let world = world();
    let hold = "INSERT INTO holds (hold_key, token, pid, start_ticks, boot_id, label, acquired_at)
                VALUES ('request:req_1', 99, 4194304, 1, 'another boot', 'answering', 0)";
    by_hand(&world, hold);
    assert_eq!(world.ok(&["holds"]).result("holds"), &json!([]));
    world.ok(&["hold-resources", "wf", "--requester", "zz"]);
    assert_eq!(world.ok(&["holds"]).result("holds").as_array().map(Vec::len), Some(1), "a component's stays");
}

#[test]
fn an_event_that_cannot_be_read_waits_and_goes_out_once_it_can_be() {
    for mends in [&["repair-state", "wf", "--yes"][..], REBUILD] {
        let world = world();
        events(&world, 2);
        world.checkpoint("sealed");
        events(&world, 1);
        let pending = world.ok(&["outbox"]).result("sinks")[0]["pending"].as_u64().unwrap();
        by_hand(
            &world,
            "CREATE TEMP TABLE hit AS SELECT seq FROM events WHERE event_type = 'SYSTEM_STARTUP' ORDER BY seq LIMIT 1 OFFSET 3;
             UPDATE events SET data = '{\"cut', event_type = 'SYSTEM' WHERE seq IN hit",
        );
        let before = lines(&world, "one");
        let flushed = world.refused(&["outbox", "flush"], 1, "SINK_REFUSED");
        assert!(flushed.json["error"].to_string().contains("1 put aside"), "{flushed:?}");
        let after = lines(&world, "one");
        assert_eq!(after.len() as u64, before.len() as u64 + pending - 1, "the others go out");
        let letters = world.ok(&["outbox"]).result("dead_letters").clone();
        assert!(letters[0]["item"].as_str().unwrap().starts_with("events/"), "{letters:#}");
        assert!(letters[0]["error"].as_str().unwrap().contains("wfr repair-state"), "{letters:#}");
        assert!(found(&world, "EVENTS_UNDELIVERED").contains(letters[0]["item"].as_str().unwrap()));
        world.refused(&["outbox", "retry"], 1, "SINK_REFUSED");
        assert_eq!(lines(&world, "one").len(), after.len(), "as long as it is damaged nobody is sent it");
        world.ok(mends);
        // A sink that is away then has its attempts, too.
        let (log, away) = (world.root().join(".claude/recovery/one.jsonl"), world.root().join("away.jsonl"));
        std::fs::rename(&log, &away).unwrap();
        std::fs::create_dir(&log).unwrap();
        world.refused(&["outbox", "flush"], 1, "SINK_REFUSED");
        std::fs::remove_dir(&log).unwrap();
        std::fs::rename(&away, &log).unwrap();
        world.ok(&["outbox", "flush"]);
        for sink in ["one", "two"] {
            let lines = lines(&world, sink);
            let startups = lines.iter().filter(|line| line["event_type"] == "SYSTEM_STARTUP");
            let ids: std::collections::BTreeSet<&str> =
                startups.map(|line| line["event_id"].as_str().unwrap()).collect();
            assert_eq!(ids.len(), 6, "each came");
        }
        assert_eq!(world.ok(&["outbox"]).result("dead_letters"), &json!([]));
        let told = world.ok(&["doctor"]).result("findings").to_string();
        assert!(!told.contains("EVENTS_UNDELIVERED"), "{told}");
    }
}
