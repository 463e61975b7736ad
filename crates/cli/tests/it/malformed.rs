//! Two hundred kinds of events that nobody should send: each is refused with its reason, or recorded and marked.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::events::piped;
use crate::world::World;

/// What must become of a line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum End {
    Refused,
    Marked,
    Recorded,
}

use End::{Marked, Recorded, Refused};

/// A line that is alone on its line, and what must become of it.
type Case = (Vec<u8>, End);

fn text(line: impl Into<String>, end: End) -> Case {
    (line.into().into_bytes(), end)
}

/// Values of every JSON type but one.
fn others(kind: &str) -> Vec<Value> {
    let all = [
        ("text", json!("x")),
        ("number", json!(-1)),
        ("number", json!(1.5)),
        ("bool", json!(true)),
        ("list", json!([1])),
        ("object", json!({"a": 1})),
    ];
    all.into_iter().filter(|(name, _)| *name != kind).map(|(_, value)| value).collect()
}

/// JSON that is none, in an envelope and in a line.
fn broken_json() -> Vec<Case> {
    let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    let inner = [
        "{",
        "}",
        "{\"a\"",
        "{\"a\":}",
        "{\"a\":1",
        "{\"a\":1,}",
        "{} {}",
        "{'a':1}",
        "{\"a\":NaN}",
        "{\"a\":1e400}",
        "{\"a\":-1e400}",
        "{\"a\":Infinity}",
        "{\"a\":01}",
        "{\"a\":+1}",
        "{\"a\":.5}",
        "{\"a\":\"\\ud800\"}",
        "{\"a\":\"\\x\"}",
        "{\"a\":\"\t\"}",
        "{\"a\":\"\u{0}\"}",
        "{/**/}",
        "[]",
        "[{}]",
        "null",
        "true",
        "7",
        "\"x\"",
        "text",
        "{\"a\":1,\"a\":1}",
        "{\"a\":{\"b\":1,\"b\":2}}",
        "{\"a\":1,\"\\u0061\":2}",
        "{\"a\":[}]",
        "{\"a\":tru}",
        "{\"a\":nul}",
        "{a:1}",
        "{\"a\" 1}",
    ];
    let deep = [format!("{{\"a\":{deep}}}"), format!("{{\"a\":{}1{}}}", "{\"a\":".repeat(10_000), "}".repeat(10_000))];
    let inner = inner.iter().map(ToString::to_string).chain(deep);
    inner
        .flat_map(|data| {
            let line = text(format!("TASK_STARTED:wf:1:{data}"), Refused);
            let envelope =
                text(format!("{{\"event_type\":\"TASK_STARTED\",\"workflow_id\":\"wf\",\"data\":{data}}}"), Refused);
            // With `null` for data there is none, which an envelope may say.
            let envelope = if data == "null" { (envelope.0, Marked) } else { envelope };
            [line, envelope]
        })
        .collect()
}

/// Fields of an envelope with values that they cannot have.
fn wrong_fields() -> Vec<Case> {
    let mut cases = Vec::new();
    for (field, kind) in [
        ("event_type", "text"),
        ("workflow_id", "text"),
        ("event_id", "text"),
        ("timestamp", "text"),
        ("source_component", "text"),
        ("data", "object"),
        ("message_type", "text"),
    ] {
        for value in others(kind) {
            let mut envelope = json!({"event_type": "TASK_STARTED", "workflow_id": "wf", "data": {"task_id": "t"}});
            envelope[field] = value;
            cases.push(text(envelope.to_string(), Refused));
        }
    }
    for value in [json!(-1), json!(1.5), json!("x"), json!([]), json!(u64::MAX as f64 * 4.0)] {
        cases.push(text(json!({"event_type": "SYSTEM_STARTUP", "ttl_seconds": value}).to_string(), Refused));
    }
    for value in
        [json!(-1), json!(1.5), json!(true), json!([1]), json!({"a": 1}), json!("../1"), json!("a/b"), json!(1e30)]
    {
        cases.push(text(
            json!({"event_type": "PHASE_STARTED", "workflow_id": "wf", "phase": value}).to_string(),
            Refused,
        ));
    }
    for time in
        ["now", "", "2025-13-01T00:00:00Z", "2025-01-15", "2025-01-15T25:00:00Z", "99999-01-01T00:00:00Z", "1736940600"]
    {
        cases.push(text(json!({"event_type": "SYSTEM_STARTUP", "timestamp": time}).to_string(), Refused));
    }
    cases
}

/// Ids that are none, wherever an id stands.
fn wrong_ids() -> Vec<Case> {
    let long = "x".repeat(129);
    let ids = [
        "../x",
        "/etc/passwd",
        "a/b",
        ".",
        "..",
        ".hidden",
        "-rf",
        "--yes",
        "a b",
        "a\\b",
        "%2e%2e",
        "$(id)",
        "a;b",
        "a\u{202e}b",
        "\u{fc}",
        "a\u{0}b",
        "a\u{1b}[2J",
        &long,
    ];
    let mut cases = Vec::new();
    for id in ids {
        cases.push(text(json!({"event_type": "TASK_STARTED", "workflow_id": id}).to_string(), Refused));
        cases.push(text(json!({"event_type": "TASK_STARTED", "event_id": id}).to_string(), Refused));
        // The event is good; who is meant by it is not known.
        for key in ["task_id", "agent_id"] {
            let mut event =
                json!({"event_type": "TASK_STARTED", "workflow_id": "wf", "data": {"task_id": "t", "agent_id": "a"}});
            event["data"][key] = json!(id);
            cases.push(text(event.to_string(), Marked));
        }
    }
    cases
}

/// Lines that are none, and good ones that look odd.
fn lines() -> Vec<Case> {
    let long = format!("TASK_STARTED:wf:1:{{\"a\":\"{}\"}}", "x".repeat(1 << 20));
    let name = format!("{}:wf:1:{{}}", "X".repeat(65));
    let mut cases = vec![text(long, Refused), text(name, Refused)];
    for line in [
        ":",
        "::",
        ":::",
        "SYSTEM_STARTUP:global",
        "TASK_STARTED",
        "x",
        ":wf:1:{}",
        "TASK STARTED:wf:1:{}",
        "7TASK:wf:1:{}",
        "_TASK:wf:1:{}",
        "TASK!:wf:1:{}",
        "TASK_STARTED:../wf:1:{}",
        "TASK_STARTED:wf:../1:{}",
        "TASK_STARTED:wf:a/b:{}",
        "TASK_STARTED:w f:1:{}",
        "t\u{e4}sk:wf:1:{}",
        "{",
        "{}",
        "[",
        "{\"event_type\":\"\"}",
        "{\"event_type\":null}",
        "{\"workflow_id\":\"wf\"}",
        "{\"message\":\"x\"}",
        "{\"message\":\"x:y:z:w\"}",
        "{\"message_type\":\"request\",\"operation\":\"restore\"}",
        "{\"message_type\":\"state_sync\"}",
        "{\"message_type\":\"state_sync\",\"workflow_id\":\"wf\",\"state_version\":-1}",
        "{\"error_report\":{}}",
    ] {
        cases.push(text(line, Refused));
    }
    for line in [
        "BUILD_FINISHED:wf:1:{}",
        "TASK_STARTED:wf:1:{}",
        "TASK_FAILED:wf:1:{\"task_id\":\"t\"}",
        "PHASE_STARTED:wf:global:{}",
        "WORKFLOW_STATE_UPDATED:wf:global:{\"tasks\":17}",
        "WORKFLOW_STATE_UPDATED:wf:global:{\"status\":\"sideways\"}",
        "WORKFLOW_STATE_UPDATED:wf:global:{\"state_version\":-1}",
        "WORKFLOW_STATE_UPDATED:wf:global:{\"current_phase\":[]}",
        "RESOURCE_ALLOCATED:wf:global:{}",
        "AGENT_ERROR:wf:global:{}",
    ] {
        cases.push(text(line, Marked));
    }
    for line in [
        "SYSTEM_STARTUP:global:global:",
        "SYSTEM_STARTUP:global:global",
        "  SYSTEM_STARTUP : global : global : {} \r",
        "{\"event_type\":\"SYSTEM_STARTUP\",\"data\":null,\"priority\":null}",
        "SYSTEM_STARTUP:global:global:{\"a\":\"\\u0000\"}",
        "SYSTEM_STARTUP:global:global:{\"a\":123456789012345678901234567890}",
        "SYSTEM_STARTUP:global:global:{\"\":\"\"}",
        "{\"event_type\":\"SYSTEM_STARTUP\",\"ttl_seconds\":18446744073709551615}",
        "{\"event_type\":\"SYSTEM_STARTUP\",\"timestamp\":\"1969-12-31T23:59:59Z\"}",
    ] {
        cases.push(text(line, Recorded));
    }
    for bytes in
        [&b"\xff\xfe"[..], b"TASK_STARTED:wf:1:{\"a\":\"\xff\"}", b"\xc3", b"TASK_STARTED:w\x00f:1:{}", b"\xed\xa0\x80"]
    {
        cases.push((bytes.to_vec(), Refused));
    }
    cases
}

#[test]
fn what_cannot_be_an_event_is_refused_with_its_reason() {
    let world = World::new();
    let cases: Vec<Case> = [broken_json(), wrong_fields(), wrong_ids(), lines()].concat();
    assert!(cases.len() >= 200, "{}", cases.len());
    for part in cases.chunks(90) {
        // A good line before and after: what is refused costs nobody else anything.
        let good = b"SYSTEM_STARTUP:global:global:{}\n";
        let mut bytes = good.to_vec();
        for (line, _) in part {
            bytes.extend_from_slice(line);
            bytes.push(b'\n');
        }
        bytes.extend_from_slice(good);
        let ended = piped(&world, &bytes);
        let shown = |at: usize| String::from_utf8_lossy(&part[at].0).chars().take(80).collect::<String>();
        let refused: BTreeSet<usize> = ended
            .result("refused")
            .as_array()
            .unwrap()
            .iter()
            .map(|one| {
                assert!(one["why"].as_str().unwrap().len() > 5, "{one}");
                one["line"].as_u64().unwrap() as usize - 2
            })
            .collect();
        for (at, (_, end)) in part.iter().enumerate() {
            assert_eq!(refused.contains(&at), *end == Refused, "{end:?}: {}", shown(at));
        }
        let marked = part.iter().filter(|(_, end)| *end == Marked).count();
        assert_eq!(ended.result("odd_total"), marked, "{:?}", ended.result("odd"));
        assert_eq!(ended.result("recorded"), part.len() - refused.len() + 2);
        assert_eq!(ended.code, if refused.is_empty() { 0 } else { 2 });
    }
    assert_eq!(world.ok(&["doctor"]).result("healthy"), true);
    world.ok(&["status", "wf"]);
    world.ok(&["events", "--odd"]);
}

#[test]
fn documents_that_are_none_are_refused_and_large_texts_are_kept() {
    let world = World::new();
    for (bytes, recorded, refused) in [
        (&b"[{\"event_type\":\"SYSTEM_STARTUP\"}, 7, null, [], {}]"[..], 1, 4),
        (b"[{\"event_type\":\"SYSTEM_STARTUP\"},]", 0, 1),
        (b"\xef\xbb\xbf{\n\"event_type\":\n\"SYSTEM_STARTUP\"\n}", 1, 0),
        (b"{\n\"event_type\":\n\"SYSTEM_STARTUP\"\n", 0, 3),
        (b"\r\n\r\n# nothing\r\n", 0, 0),
        (b"", 0, 0),
    ] {
        let ended = piped(&world, bytes);
        let found = (ended.result("recorded").as_u64().unwrap(), ended.result("refused_total").as_u64().unwrap());
        assert_eq!(found, (recorded, refused), "{}: {ended:?}", String::from_utf8_lossy(bytes));
    }
    let large = "x".repeat(1_000_000);
    let line = format!("TASK_STARTED:wf:1:{{\"task_id\":\"t\",\"note\":\"{large}\"}}\n");
    assert_eq!(piped(&world, line.as_bytes()).result("recorded"), 1);
    let kept = world.ok(&["events", "wf"]);
    assert_eq!(kept.result("events")[0]["data"]["note"], large.as_str());
}
