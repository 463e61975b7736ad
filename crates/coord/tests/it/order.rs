//! Order, filters, cursors: what goes out, where to, and from where on.

use serde_json::json;
use wfr_coord::{Ended, due};

use crate::server::{Act, Server};
use crate::world::{World, clock, evt};

#[test]
fn everything_goes_out_in_one_order_and_once() {
    let world = World::new(json!([{"name": "log", "kind": "file", "path": "log.jsonl"}]));
    world.say("m1");
    world.tell(0..3);
    world.say("m2");
    world.tell(3..1_300);
    let report = world.flush_one();
    assert_eq!((report.delivered, report.ended), (1_302, Ended::Done));
    let mut expected = vec!["m1".to_owned()];
    expected.extend(evt(0..3));
    expected.push("m2".into());
    expected.extend(evt(3..1_300));
    assert_eq!(world.ids("log.jsonl"), expected);
    assert_eq!(world.flush_one().delivered, 0);
    world.tell([9_000]);
    assert_eq!(world.flush_one().delivered, 1);
    assert_eq!(world.ids("log.jsonl").len(), 1_303);
}

#[test]
fn a_filter_lets_through_what_fits_and_its_place_moves_on() {
    let world = World::new(json!([
        {"name": "some", "kind": "file", "path": "some.jsonl", "types": ["PHASE_*", "hold-resources"]},
        {"name": "late", "kind": "file", "path": "late.jsonl", "from": "now"}
    ]));
    assert!(!due(&world.config, &world.catalog(), clock()).unwrap().is_empty(), "a new sink has everything before it");
    world.tell(0..3);
    world.flush(false);
    assert!(world.ids("some.jsonl").is_empty() && world.ids("late.jsonl").is_empty());
    assert!(due(&world.config, &world.catalog(), clock()).unwrap().is_empty());
    world.tell(3..5);
    world.say("m1");
    assert!(!due(&world.config, &world.catalog(), clock()).unwrap().is_empty());
    world.flush(false);
    assert_eq!(world.ids("some.jsonl"), ["m1"]);
    assert_eq!(world.ids("late.jsonl"), ["evt_00003", "evt_00004", "m1"]);
    let ends: Vec<_> = world.catalog().subscriptions().unwrap().into_iter().map(|one| one.cursor).collect();
    assert_eq!(ends, [world.catalog().log_end().unwrap(); 2]);
}

#[test]
fn webhooks_get_cloud_events_with_their_keys() {
    let server = Server::new(&[Act::Status(202)]);
    let world = World::new(json!([{
        "name": "web", "kind": "webhook", "url": server.url, "authorization_file": "secret"
    }]));
    std::fs::write(world.path("secret"), "Bearer abc\nmore\n").unwrap();
    world.tell([1]);
    world.say("m1");
    assert_eq!(world.flush_one().delivered, 2);
    let first = server.got.recv().unwrap();
    assert_eq!(first.header("content-type"), "application/cloudevents+json; charset=utf-8");
    assert_eq!((first.header("idempotency-key"), first.header("authorization")), ("evt_00001", "Bearer abc"));
    let (body, text) = (&first.body, |key: &str| first.body[key].as_str().unwrap().to_owned());
    assert_eq!(
        (text("specversion"), text("type"), text("source")),
        ("1.0".into(), "wfr.TASK_STARTED".into(), "urn:wfr:test".into())
    );
    assert_eq!((text("subject"), body["data"]["event_id"].as_str()), ("wf".into(), Some("evt_00001")));
    let second = server.got.recv().unwrap();
    assert_eq!((second.id(), second.body["type"].as_str()), ("m1", Some("wfr.hold-resources")));
}

#[test]
fn commands_get_one_document_each() {
    let world = World::new(json!([{"name": "run", "kind": "command", "command": "cat >> got.jsonl"}]));
    world.tell(0..3);
    assert_eq!(world.flush_one().delivered, 3);
    assert_eq!(world.ids("got.jsonl"), evt(0..3));
}
