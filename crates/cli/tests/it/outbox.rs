//! Sinks: what comes in goes out, once it is due, whatever happens in between.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::world::World;

/// A workspace with a workflow and these sinks, in which nothing is delivered but by the test.
fn world(sinks: &Value) -> World {
    let mut world = World::new();
    world.variables.push(("WFR_NO_UPKEEP", "1".into()));
    world.checkpoint("base");
    configure(&world, sinks);
    world
}

fn configure(world: &World, sinks: &Value) {
    world.ok(&["config", "coordination.sinks", &sinks.to_string()]);
}

/// Makes so many events.
fn events(world: &World, count: usize) {
    for _ in 0..count {
        world.ok(&["allocate", "wf", r#"{"resources": {"tool_instances": 1}}"#]);
    }
}

/// The ids of all events in a file of JSON lines, each of which must be whole.
fn ids(path: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let id = |line: &str| {
        let value: Value = serde_json::from_str(line).unwrap_or_else(|_| panic!("not a whole line: {line}"));
        value["event_id"].as_str().unwrap().to_owned()
    };
    text.lines().map(id).collect()
}

fn sink<'e>(outbox: &'e Value, name: &str) -> &'e Value {
    outbox["result"]["sinks"].as_array().unwrap().iter().find(|sink| sink["name"] == name).unwrap()
}

#[test]
fn what_is_due_goes_out_beside_the_next_command() {
    let world = World::new();
    world.checkpoint("base");
    configure(&world, &json!([{"name": "log", "kind": "file", "path": "log.jsonl"}]));
    events(&world, 1);
    let log = world.root().join(".claude/recovery/log.jsonl");
    let begun = Instant::now();
    while ids(&log).is_empty() {
        assert!(begun.elapsed() < Duration::from_secs(60), "nobody delivered it");
        std::thread::yield_now();
    }
    let view = world.ok(&["outbox"]);
    assert_eq!(sink(&view.json, "log")["kind"], "file");
}

#[test]
fn a_sink_that_hangs_keeps_what_comes_meanwhile_from_no_other() {
    let world = World::new();
    world.checkpoint("base");
    let gate = world.root().join("gate");
    assert!(std::process::Command::new("mkfifo").arg(&gate).status().unwrap().success());
    configure(
        &world,
        &json!([{"name": "slow", "kind": "command", "command": "if test -p gate; then cat gate; fi", "timeout": "10m"},
            {"name": "log", "kind": "file", "path": "log.jsonl"}]),
    );
    events(&world, 1);
    // It hangs from here on until this end of its pipe is closed.
    let held = std::fs::File::options().write(true).open(&gate).unwrap();
    std::fs::remove_file(&gate).unwrap();
    let log = world.root().join(".claude/recovery/log.jsonl");
    for _ in 0..3 {
        let before = ids(&log).len();
        events(&world, 1);
        let begun = Instant::now();
        while ids(&log).len() <= before {
            assert!(begun.elapsed() < Duration::from_secs(60), "it waits for the one that hangs");
            std::thread::yield_now();
        }
    }
    drop(held);
    world.ok(&["outbox", "flush"]);
}

#[test]
fn the_switch_keeps_commands_from_it() {
    let world = world(&json!([{"name": "log", "kind": "file", "path": "log.jsonl"}]));
    events(&world, 2);
    let view = world.ok(&["outbox"]);
    assert_eq!(sink(&view.json, "log")["pending"], 2);
    let done = world.ok(&["upkeep"]);
    assert_eq!((done.result("ran"), done.result("delivered")), (&json!(true), &json!(2)));
    assert_eq!(world.ok(&["upkeep"]).result("delivered"), 0);
    assert_eq!(sink(&world.ok(&["outbox"]).json, "log")["pending"], 0);
    // What it has had already is nothing that this call delivered, and does not read as if it had had nothing.
    let words = String::from_utf8(world.command(&["outbox", "flush"]).output().unwrap().stdout).unwrap();
    assert!(words.contains("DELIVERED JUST NOW") && words.contains("well: all is delivered"), "{words}");
}

#[test]
fn a_sink_that_begins_now_has_what_comes_after_it_was_configured() {
    let sinks = json!([{"name": "log", "kind": "file", "path": "log.jsonl", "from": "now"}]);
    let world = world(&json!([]));
    events(&world, 2);
    configure(&world, &sinks);
    events(&world, 3);
    assert_eq!(sink(&world.ok(&["outbox"]).json, "log")["pending"], 3);
    assert_eq!(sink(&world.ok(&["outbox", "flush"]).json, "log")["delivered"], 3);
    // One that a person wrote into the file begins with the first command that sees it.
    let file = world.root().join(".claude/recovery/config.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace("\"log\"", "\"other\"").replace("log.jsonl", "other.jsonl")).unwrap();
    events(&world, 2);
    assert_eq!(sink(&world.ok(&["outbox", "flush"]).json, "other")["delivered"], 2);
}

#[test]
fn a_sink_that_was_removed_says_what_it_has_not_had() {
    let world = world(&json!([{"name": "log", "kind": "file", "path": "log.jsonl"}]));
    world.ok(&["outbox", "flush"]);
    events(&world, 2);
    assert_eq!(sink(&world.ok(&["outbox"]).json, "log")["pending"], 2);
    configure(&world, &json!([]));
    let gone = world.ok(&["outbox"]).json;
    assert_eq!((&sink(&gone, "log")["pending"], &sink(&gone, "log")["kind"]), (&json!(2), &Value::Null), "{gone:#}");
    let shown = world.command(&["outbox"]).output().unwrap();
    assert!(String::from_utf8_lossy(&shown.stdout).contains("at most so many were not delivered"), "{shown:?}");
    // It comes back, and goes on where it was.
    configure(&world, &json!([{"name": "log", "kind": "file", "path": "log.jsonl"}]));
    world.ok(&["outbox", "flush"]);
    assert_eq!(sink(&world.ok(&["outbox"]).json, "log")["pending"], 0);
}

#[test]
fn a_flush_waits_for_who_delivers_already() {
    let world = world(&json!([{"name": "run", "kind": "command", "command": "sleep 1; cat >> got.jsonl"}]));
    events(&world, 1);
    let mut other = world.command(&["outbox", "flush"]).stdout(std::process::Stdio::null()).spawn().unwrap();
    let flushed = world.ok(&["outbox", "flush"]);
    other.wait().unwrap();
    assert_eq!(sink(&flushed.json, "run")["pending"], 0);
    assert_eq!(ids(&world.root().join("got.jsonl")).len(), 1);
}

#[test]
fn killed_in_the_middle_nothing_is_lost_and_repeats_have_the_same_id() {
    let log = |world: &World| world.root().join("got.jsonl");
    let world = world(&json!([{"name": "run", "kind": "command", "command": "cat >> got.jsonl; kill -9 $PPID"}]));
    events(&world, 4);
    for _ in 0..2 {
        let killed = world.command(&["outbox", "flush", "--json"]).output().unwrap();
        assert_eq!(killed.status.code(), None, "{killed:?}");
    }
    assert_eq!(ids(&log(&world)).len(), 2);
    configure(&world, &json!([{"name": "run", "kind": "command", "command": "cat >> got.jsonl"}]));
    assert_eq!(sink(&world.ok(&["outbox", "flush"]).json, "run")["delivered"], 4);
    let seen = ids(&log(&world));
    assert_eq!(seen[0], seen[1]);
    assert_eq!(seen[0], seen[2]);
    let mut once = seen[2..].to_vec();
    once.dedup();
    assert_eq!(once.len(), 4);
    let mut sorted = once.clone();
    sorted.sort();
    assert_eq!(once, sorted, "ids grow with time, and the order is kept");
}

#[test]
fn what_is_refused_is_said_put_aside_and_sent_again() {
    let refuses = json!([{"name": "run", "kind": "command", "command": "echo no room >&2; exit 3", "attempts": 2}]);
    let world = world(&refuses);
    events(&world, 1);
    let refused = world.refused(&["outbox", "flush"], 1, "SINK_REFUSED");
    assert!(refused.json["error"]["message"].as_str().unwrap().contains("no room"), "{refused:?}");
    assert!(!sink(&refused.json, "run")["next_try_at"].is_null());
    assert_eq!(world.ok(&["upkeep"]).result("delivered"), 0, "its time has not come");
    world.refused(&["outbox", "flush"], 1, "SINK_REFUSED");
    let view = world.ok(&["outbox"]);
    assert_eq!(
        (&sink(&view.json, "run")["dead_letters"], &view.json["result"]["dead_letters"][0]["attempts"]),
        (&json!(1), &json!(2))
    );
    // A failing sink is nothing to a recovery.
    world.tree.write("a.txt", b"edited");
    world.ok(&["restore", "wf", "base", "--yes"]);
    configure(&world, &json!([{"name": "run", "kind": "command", "command": "cat >> got.jsonl"}]));
    let sent = world.ok(&["outbox", "retry", "run"]);
    assert_eq!(sink(&sent.json, "run")["dead_letters"], 0);
    assert!(!std::fs::read(world.root().join("got.jsonl")).unwrap().is_empty());
    world.refused(&["outbox", "flush", "other"], 3, "SINK_NOT_FOUND");
    world.refused(&["outbox", "send"], 2, "INVALID_PARAMETER");
    let words = String::from_utf8(world.command(&["outbox"]).output().unwrap().stdout).unwrap();
    assert!(words.contains("PUT ASIDE") && words.contains("well"), "{words}");
}

#[test]
fn a_full_disk_tears_no_line() {
    let small = tempfile::tempdir().unwrap();
    let mounted = std::process::Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=64k", "tmpfs"])
        .arg(small.path())
        .output()
        .is_ok_and(|output| output.status.success());
    if !mounted {
        wfr_testkit::skip("a file system cannot be mounted here");
        return;
    }
    let unmount = || std::process::Command::new("umount").arg("-l").arg(small.path()).status();
    let log = small.path().join("log.jsonl");
    let world = world(&json!([{"name": "log", "kind": "file", "path": log.to_str().unwrap()}]));
    events(&world, 8);
    std::fs::write(small.path().join("ballast"), vec![0; 60 << 10]).unwrap();
    let refused = world.call(&["outbox", "flush"]);
    let kept = ids(&log);
    std::fs::remove_file(small.path().join("ballast")).unwrap();
    let sent = world.call(&["outbox", "flush"]);
    let all = ids(&log);
    unmount().unwrap();
    assert_eq!((refused.code, refused.error()), (1, "SINK_REFUSED"), "{refused:?}");
    assert!(refused.json["error"]["message"].as_str().unwrap().contains("No space"), "{refused:?}");
    assert!(kept.is_empty(), "all of them, or none");
    assert_eq!((sent.code, all.len()), (0, 8), "{sent:?}");
}

#[test]
fn configurations_of_sinks_that_cannot_be_are_refused_with_the_reason() {
    let world = World::new();
    for (sinks, why) in [
        (json!([{"name": "a", "kind": "file"}]), "needs `path`"),
        (json!([{"name": "a", "kind": "file", "path": "config.toml"}]), "wfr's own"),
        (json!([{"name": "a", "kind": "file", "path": world.vault().join("catalog.db")}]), "wfr's own"),
        (json!([{"name": "a", "kind": "file", "path": "../../x"}]), "leads out"),
        (json!([{"name": "a", "kind": "webhook", "url": "ftp://x"}]), "http://"),
        (json!([{"name": "a", "kind": "file", "path": "x"}, {"name": "a", "kind": "file", "path": "y"}]), "two sinks"),
        (json!([{"name": "a", "kind": "file", "path": "x", "retry": 3}]), "retry"),
    ] {
        let refused = world.refused(&["config", "coordination.sinks", &sinks.to_string()], 2, "INVALID_PARAMETER");
        assert!(refused.json["error"]["message"].as_str().unwrap().contains(why), "{refused:?}");
    }
    let file = world.root().join(".claude/recovery/config.toml");
    let good = std::fs::read_to_string(&file).unwrap();
    let bad = good.replace("sinks = []", "sinks = [{ name = \"a\", kind = \"file\" }]");
    std::fs::write(&file, bad).unwrap();
    let refused = world.refused(&["outbox"], 2, "INVALID_CONFIGURATION");
    assert!(refused.json["error"].to_string().contains("needs `path`"), "{refused:?}");
}
