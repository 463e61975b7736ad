//! Recoveries beside sinks that hang, refuse or are not there: they end well, and wait for none of them.
//!
//! Nothing here is timed: what hangs is let go only after the recovery has ended.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::world::{Ended, World};

/// A workspace with an edit after its checkpoint, in which deliveries go on beside commands.
fn world() -> World {
    let world = World::new();
    world.checkpoint("base");
    world.tree.write("a.txt", b"edited");
    world
}

/// One sink, which has what comes from now on; it is given longer than any test lasts.
fn configure(world: &World, mut sink: Value) {
    sink["name"] = json!("far");
    sink["from"] = json!("now");
    sink["timeout"] = json!("10m");
    world.ok(&["config", "coordination.sinks", &json!([sink]).to_string()]);
}

/// Something that is to go out.
fn event(world: &World) {
    world.ok(&["event", "WORKFLOW_STARTED:wf:global:{}"]);
}

fn sink(world: &World) -> Value {
    world.ok(&["outbox"]).result("sinks")[0].clone()
}

/// Nothing of the sink is to be seen in how it ended.
#[track_caller]
fn is_well(world: &World, ended: &Ended) {
    assert_eq!(ended.result("recovery_status"), "done", "{ended:?}");
    assert_eq!((ended.result("findings"), ended.result("failed")), (&json!([]), &json!([])), "{ended:?}");
    assert_eq!(world.ok(&["holds"]).result("holds"), &json!([]), "nothing stays held");
}

#[track_caller]
fn restores(world: &World) {
    let before = world.snapshot();
    let restored = world.ok(&["restore", "wf", "base", "--yes"]);
    is_well(world, &restored);
    assert_ne!(world.tree.read("a.txt"), b"edited");
    is_well(world, &world.ok(&["undo", "--yes"]));
    assert_eq!(before.without_mtimes().differences(&world.snapshot().without_mtimes()), Vec::<String>::new());
    is_well(world, &world.ok(&["emergency-restore", "wf", "--yes"]));
}

/// The ends of recoveries in a file of what arrived.
fn ends(got: &Path) -> usize {
    let text = std::fs::read_to_string(got).unwrap_or_default();
    let items = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    items.filter(|item| item["event_type"] == "RECOVERY_COMPLETED").count()
}

/// A pipe at which a sink's command waits until it is let go, and the file to which it then writes what it was given.
struct Gate {
    pipe: PathBuf,
    got: PathBuf,
}

impl Gate {
    fn before(world: &World) -> Self {
        let (pipe, got) = (world.data.path().join("gate"), world.data.path().join("got.jsonl"));
        assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let (way, to) = (pipe.display(), got.display());
        let command = format!("if test -p {way}; then cat {way}; fi; cat >> {to}");
        configure(world, json!({"kind": "command", "command": command}));
        Self { pipe, got }
    }

    /// Waits until the command waits; it does so until what is returned is closed. The next one finds no pipe.
    fn held(&self) -> File {
        let held = File::options().write(true).open(&self.pipe).unwrap();
        std::fs::remove_file(&self.pipe).unwrap();
        held
    }
}

#[test]
fn a_command_that_hangs_is_not_waited_for() {
    let world = world();
    let gate = Gate::before(&world);
    event(&world);
    let held = gate.held();
    restores(&world);
    assert!(!gate.got.exists() && sink(&world)["next_try_at"].is_null(), "it hangs still");
    drop(held);
    world.ok(&["outbox", "flush"]);
    assert_eq!((ends(&gate.got), &sink(&world)["pending"]), (3, &json!(0)), "it is told all of it later");
}

#[test]
fn one_that_hangs_from_the_recovery_on_is_not_waited_for() {
    let world = world();
    let gate = Gate::before(&world);
    let restored = world.ok(&["restore", "wf", "base", "--yes"]);
    is_well(&world, &restored);
    assert!(!gate.got.exists());
    // What was begun beside it comes to its pipe by now, or will.
    drop(gate.held());
    world.ok(&["outbox", "flush"]);
    assert_eq!(ends(&gate.got), 1);
}

#[test]
fn a_webhook_that_never_answers_is_not_waited_for() {
    let world = world();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    configure(&world, json!({"kind": "webhook", "url": url}));
    event(&world);
    // It is taken, and read, and nothing is said.
    let (taken, _) = listener.accept().unwrap();
    let mut lines = BufReader::new(&taken).lines();
    assert!(lines.next().unwrap().unwrap().starts_with("POST /hook"));
    restores(&world);
    assert_eq!(sink(&world)["next_try_at"], Value::Null, "it hangs still");
    drop(listener);
    drop(taken);
    world.refused(&["outbox", "flush"], 1, "SINK_REFUSED");
}

#[test]
fn one_that_refuses_or_is_not_there_is_nothing_to_a_recovery() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let failing = TcpListener::bind("127.0.0.1:0").unwrap();
    let fails_at = failing.local_addr().unwrap();
    std::thread::spawn(move || {
        for taken in failing.incoming() {
            let mut taken = taken.unwrap();
            let said = BufReader::new(&taken).lines().map_while(Result::ok).take_while(|line| !line.is_empty());
            said.for_each(drop);
            let _ = taken.write_all(b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        }
    });
    for one in [
        json!({"kind": "command", "command": "echo no room >&2; exit 3"}),
        json!({"kind": "command", "command": "kill -9 $$"}),
        json!({"kind": "command", "command": "/no/such/program"}),
        json!({"kind": "file", "path": "/no/such/directory/log.jsonl"}),
        json!({"kind": "webhook", "url": format!("http://{closed}/")}),
        json!({"kind": "webhook", "url": format!("http://{fails_at}/")}),
    ] {
        let world = world();
        configure(&world, one.clone());
        event(&world);
        let flushed = world.refused(&["outbox", "flush"], 1, "SINK_REFUSED");
        assert_eq!(flushed.result("sinks")[0]["delivered"], 0, "{one}");
        restores(&world);
        let left = sink(&world);
        let waiting = ["pending", "dead_letters"].map(|key| left[key].as_u64().unwrap());
        assert!(waiting.iter().sum::<u64>() > 3, "what it was not given is kept for it: {one} {left}");
    }
}
