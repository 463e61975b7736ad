//! Sinks that hang, refuse, answer 500, answer late or close; deliveries that are killed; two at once.

use std::fs::File;
use std::process::Command;
use std::sync::Barrier;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use wfr_coord::{Ended, Lock, due};

use crate::server::{Act, Server};
use crate::world::{World, assert_refused, clock, evt};

fn webhook(server: &Server, attempts: u32) -> World {
    World::new(json!([{
        "name": "web", "kind": "webhook", "url": server.url, "timeout": "300ms", "attempts": attempts
    }]))
}

#[test]
fn whatever_the_trouble_nothing_is_lost_and_the_id_stays() {
    for (act, why) in [
        (Act::Status(500), "500"),
        (Act::Status(404), "404"),
        (Act::Redirect, "302"),
        (Act::Hang, "timeout"),
        (Act::CloseInHead, ""),
    ] {
        let server = Server::new(&[act]);
        let world = webhook(&server, 5);
        world.tell(0..3);
        let begun = Instant::now();
        for _ in 0..2 {
            let report = world.flush_one();
            assert_eq!(report.delivered, 0, "{act:?}");
            assert_refused(&report, why);
        }
        assert!(begun.elapsed() < Duration::from_secs(30), "{act:?} is cut off");
        assert_eq!(world.flush(false).remove(0).ended, Ended::NotDue, "{act:?}");
        let standing = world.catalog().subscription("web").unwrap().unwrap();
        assert_eq!((standing.attempts, standing.cursor.events_upto), (2, 0), "{act:?}");
        server.turn(Act::Status(200));
        assert_eq!(world.flush_one().delivered, 3);
        let mut seen = server.ids();
        assert_eq!(seen[..2], ["evt_00000", "evt_00000"], "{act:?}: the same one is tried again");
        seen.dedup();
        assert_eq!(seen, evt(0..3), "{act:?}");
        let standing = world.catalog().subscription("web").unwrap().unwrap();
        assert_eq!((standing.attempts, standing.next_try_at, standing.last_error), (0, None, None));
    }
}

#[test]
fn a_late_answer_counts_within_the_limit_and_is_asked_for_again_beyond() {
    let server = Server::new(&[Act::Late(Duration::from_millis(100))]);
    let patient = World::new(json!([{"name": "web", "kind": "webhook", "url": server.url, "timeout": "60s"}]));
    patient.tell(0..2);
    assert_eq!(patient.flush_one().delivered, 2);
    assert_eq!(server.ids(), evt(0..2), "each once");
    let server = Server::new(&[Act::Late(Duration::from_secs(600)), Act::Status(200)]);
    let world = webhook(&server, 5);
    world.tell(0..2);
    assert_refused(&world.flush_one(), "timeout");
    assert_eq!(world.flush_one().delivered, 2);
    assert_eq!(server.ids(), ["evt_00000", "evt_00000", "evt_00001"], "under the same id");
}

#[test]
fn an_answer_that_breaks_off_behind_its_status_counts() {
    let server = Server::new(&[Act::CloseInBody]);
    let world = webhook(&server, 5);
    world.tell(0..2);
    assert_eq!(world.flush_one().delivered, 2);
    assert_eq!(server.ids(), evt(0..2));
}

#[test]
fn nobody_there_is_a_refusal() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    drop(listener);
    let world = World::new(json!([{"name": "web", "kind": "webhook", "url": url}]));
    world.tell([1]);
    assert_refused(&world.flush_one(), "did not answer");
}

#[test]
fn after_its_last_attempt_an_item_is_put_aside_and_can_be_sent_again() {
    let server = Server::new(&[Act::Status(500)]);
    let world = webhook(&server, 2);
    world.tell(0..2);
    assert_refused(&world.flush_one(), "no luck");
    server.turn(Act::Status(500));
    let report = world.flush_one();
    assert_eq!(report.put_aside, 1);
    assert_refused(&report, "500");
    let catalog = world.catalog();
    let letters = catalog.dead_letters(Some("web"), 9).unwrap();
    assert_eq!((letters[0].item.as_str(), letters[0].attempts), ("evt_00000", 2));
    assert!(letters[0].error.contains("500"));
    server.turn(Act::Status(200));
    assert_eq!(world.flush_one().delivered, 1, "the other one goes out");
    server.ids();
    assert_eq!(catalog.requeue(None).unwrap(), 1);
    assert_eq!(world.flush_one().delivered, 1);
    let again = server.got.recv().unwrap();
    assert_eq!(
        (again.id(), again.header("idempotency-key"), again.body["type"].as_str()),
        ("evt_00000", "evt_00000", Some("wfr.TASK_STARTED"))
    );
    assert!(catalog.dead_letters(None, 9).unwrap().is_empty());
    // One that is refused once more stays put aside.
    server.turn(Act::Status(500));
    world.tell([7]);
    world.flush_one();
    world.flush_one();
    catalog.requeue(None).unwrap();
    world.flush_one();
    assert_eq!(catalog.count_dead_letters("web").unwrap(), (1, 0));
}

#[test]
fn a_sink_that_refuses_everything_does_not_empty_the_log() {
    let server = Server::new(&[Act::Status(500)]);
    let world = webhook(&server, 1);
    world.tell(0..100);
    let report = world.flush_one();
    assert_eq!(report.put_aside, 10);
    assert_eq!(world.flush(false).remove(0).ended, Ended::NotDue);
}

#[test]
fn one_that_hangs_keeps_nobody_else_waiting() {
    let server = Server::new(&[Act::Hang]);
    let world = World::new(json!([
        {"name": "web", "kind": "webhook", "url": server.url, "timeout": "2s"},
        {"name": "log", "kind": "file", "path": "log.jsonl"}
    ]));
    world.tell(0..5);
    let reports = std::thread::scope(|scope| {
        let run = scope.spawn(|| world.flush(true));
        // The request has arrived: it hangs from now on, and the file is written all the same.
        server.got.recv().unwrap();
        let begun = Instant::now();
        while world.ids("log.jsonl").len() < 5 {
            assert!(begun.elapsed() < Duration::from_secs(60));
            std::thread::yield_now();
        }
        run.join().unwrap()
    });
    assert_refused(&reports[0], "timeout");
    assert_eq!(reports[1].delivered, 5);
}

#[test]
fn what_comes_while_one_hangs_goes_to_the_others_at_once() {
    let world = World::new(json!([
        {"name": "slow", "kind": "command", "command": "if test -p gate; then cat gate; fi", "timeout": "10m"},
        {"name": "log", "kind": "file", "path": "log.jsonl"}
    ]));
    assert!(Command::new("mkfifo").arg(world.path("gate")).status().unwrap().success());
    world.tell([0]);
    std::thread::scope(|scope| {
        let hanging = scope.spawn(|| world.keep_up());
        // It hangs from here on until this end of its pipe is closed.
        let gate = File::options().write(true).open(world.path("gate")).unwrap();
        std::fs::remove_file(world.path("gate")).unwrap();
        let is_due = || {
            let catalog = world.catalog();
            due(&world.config, &catalog, clock()).unwrap().iter().any(|sink| sink.name == "log")
        };
        while is_due() || Lock::take(&world.path("locks"), "sink-log").unwrap().is_none() {
            std::thread::yield_now();
        }
        world.tell([1, 2]);
        assert!(is_due());
        // As the next command does.
        let reports = world.keep_up();
        assert_eq!((&reports[0].ended, reports[1].delivered), (&Ended::Busy, 2));
        assert_eq!(world.ids("log.jsonl"), evt(0..3));
        drop(gate);
        assert_eq!(hanging.join().unwrap()[0].delivered, 3, "it goes on with what came meanwhile");
    });
}

#[test]
fn two_at_once_deliver_each_item_once() {
    let world = World::new(json!([{"name": "log", "kind": "file", "path": "log.jsonl"}]));
    world.tell(0..3_000);
    let barrier = Barrier::new(4);
    let delivered: u64 = std::thread::scope(|scope| {
        let run = || {
            barrier.wait();
            // Busy is an answer: whoever has the lock delivers.
            loop {
                let report = world.flush_one();
                if report.ended != Ended::Busy {
                    return report.delivered;
                }
            }
        };
        let runs: Vec<_> = (0..4).map(|_| scope.spawn(run)).collect();
        runs.into_iter().map(|run| run.join().unwrap()).sum()
    });
    assert_eq!(delivered, 3_000);
    assert_eq!(world.ids("log.jsonl"), evt(0..3_000));
}

#[test]
fn whoever_has_the_lock_delivers_alone() {
    let world = World::new(json!([{"name": "log", "kind": "file", "path": "log.jsonl"}]));
    world.tell([1]);
    let lock = Lock::take(&world.path("locks"), "sink-log").unwrap();
    assert_eq!(world.flush_one().ended, Ended::Busy);
    drop(lock);
    assert_eq!(world.flush_one().delivered, 1);
}

#[test]
fn a_crash_between_delivery_and_its_record_repeats_under_the_same_id() {
    let world = World::new(json!([{"name": "log", "kind": "file", "path": "log.jsonl"}]));
    world.tell(0..3);
    // What was delivered and not recorded stands in the file already, with a torn line behind it.
    let line = |number: u64| json!({"event_id": format!("evt_{number:05}")}).to_string();
    std::fs::write(world.path("log.jsonl"), format!("{}\n{}\n{}", line(0), line(1), &line(2)[..9])).unwrap();
    assert_eq!(world.flush_one().delivered, 3);
    assert_eq!(world.ids("log.jsonl"), [evt(0..2), evt(0..3)].concat());
}

#[test]
fn what_was_put_aside_is_what_was_to_be_sent() {
    let world =
        World::new(json!([{"name": "run", "kind": "command", "command": "echo broken >&2; exit 3", "attempts": 1}]));
    world.say("m1");
    world.flush_one();
    let letter = world.catalog().dead_letters(None, 1).unwrap().remove(0);
    assert_eq!(letter.item, "m1");
    assert!(letter.error.contains("broken"), "{}", letter.error);
    assert_eq!(serde_json::from_str::<Value>(&letter.body).unwrap()["request_id"], "m1");
}
