//! Bad input: whatever a line holds, the next one is answered.

use serde_json::{Value, json};

use super::Client;
use crate::world::World;

/// What a line is answered with that is no answer to a request.
fn code(client: &mut Client, line: &[u8]) -> i64 {
    client.line(line);
    let answer = client.next().unwrap();
    answer["error"]["code"].as_i64().unwrap_or_else(|| panic!("no error: {answer}"))
}

#[test]
fn malformed_lines_are_refused_one_by_one() {
    let world = World::new();
    let mut client = Client::of(&world);
    let deep =
        format!(r#"{{"jsonrpc":"2.0","id":9,"method":"ping","params":{}{}}}"#, "[".repeat(10_000), "]".repeat(10_000));
    let lines: [(&[u8], i64); 9] = [
        (b"{\"jsonrpc\":\"2.0\",", -32700),
        (b"\xff\xfe", -32700),
        (deep.as_bytes(), -32700),
        (br#"{"jsonrpc":"2.0","id":1,"id":2,"method":"ping"}"#, -32700),
        (br#"[{"jsonrpc":"2.0","id":1,"method":"ping"}]"#, -32600),
        (br#"{"jsonrpc":"1.0","id":1,"method":"ping"}"#, -32600),
        (br#"{"jsonrpc":"2.0","id":{},"method":"ping"}"#, -32600),
        (br#"{"jsonrpc":"2.0","id":1,"method":"no/such"}"#, -32601),
        (br#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":7}}"#, -32602),
    ];
    for (line, wanted) in lines {
        assert_eq!(code(&mut client, line), wanted, "{}", String::from_utf8_lossy(&line[..line.len().min(80)]));
    }
    assert_eq!(client.request("tools/call", json!({"name": "no-such-tool"}))["error"]["code"], -32602);
    assert_eq!(client.request("ping", json!({}))["result"], json!({}));
    assert_eq!(client.end(), 0);
}

#[test]
fn a_line_without_an_end_takes_no_memory() {
    let world = World::new();
    let mut client = Client::of(&world);
    let piece = vec![b'x'; 1 << 20];
    for _ in 0..100 {
        std::io::Write::write_all(client.input.as_mut().unwrap(), &piece).unwrap();
    }
    assert_eq!(code(&mut client, b""), -32600);
    let status = std::fs::read_to_string(format!("/proc/{}/status", client.server.id())).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let peak: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(peak < 80 << 10, "{peak} kB");
    assert_eq!(client.request("ping", json!({}))["result"], json!({}));
}

#[test]
fn nothing_is_done_before_a_session_begins_and_none_begins_twice() {
    let world = World::new();
    let mut client = Client::silent(&world, world.root());
    client.send(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"}));
    client.send(&json!({"jsonrpc": "2.0", "id": 7, "result": {}}));
    assert_eq!(client.request("tools/call", json!({"name": "status"}))["error"]["code"], -32602);
    assert_eq!(client.request("ping", json!({}))["result"], json!({}));
    let mut client = Client::of(&world);
    assert_eq!(client.shake(json!({}))["error"]["code"], -32600);
    client.ok("workflows", json!({}));
}

#[test]
fn an_id_under_way_is_not_taken_again() {
    let world = World::new();
    let mut client = Client::of(&world);
    let line = json!({"jsonrpc": "2.0", "id": "same", "method": "tools/call", "params": {"name": "create-checkpoint", "arguments": {"workflow_id": "wf"}}});
    client.send(&line);
    client.send(&line);
    let mut both = [client.next().unwrap(), client.next().unwrap()];
    both.sort_by_key(|answer| answer.get("error").is_none());
    assert_eq!((&both[0]["error"]["code"], &both[1]["result"]["isError"]), (&json!(-32600), &json!(false)), "{both:?}");
    assert_eq!(world.names().len(), 1);
    // Answered, it may come again.
    client.send(&line);
    assert_eq!(client.next().unwrap()["result"]["isError"], false);
}

#[test]
fn texts_are_never_taken_for_anything_else() {
    let world = World::new();
    world.checkpoint("base");
    let mut client = Client::of(&world);
    let texts = ["../x", "$(touch owned)", "`touch owned`", "--output=x", "a\nb", "%2e%2e", "", "\u{1b}[2J"];
    for text in texts {
        let answer = client.call("show", json!({"checkpoint": text}));
        assert_eq!(answer["status"], "error", "{answer}");
        client.call("create-checkpoint", json!({"workflow_id": text}));
        client.call("cat", json!({"checkpoint": "base", "path": text}));
        client.call("event", json!({"event": text}));
    }
    for wrong in [json!([]), json!(7), json!({"workflow_id": ["wf"]}), json!({"limit": -1}), json!({"limit": 1e300})] {
        let answer = client.request("tools/call", json!({"name": "list-checkpoints", "arguments": wrong}));
        let is_refused = answer["error"]["code"] == -32602 || answer["result"]["isError"] == Value::Bool(true);
        assert!(is_refused, "{answer}");
    }
    assert!(!world.root().join("owned").exists());
}

#[test]
fn a_signal_that_ends_the_server_is_what_it_ends_by() {
    use std::os::unix::process::ExitStatusExt as _;
    let world = World::new();
    for (name, number) in [("TERM", 15), ("HUP", 1), ("INT", 2)] {
        let mut client = Client::of(&world);
        crate::traced::signal(client.server.id(), name);
        assert_eq!(client.server.wait().unwrap().signal(), Some(number));
    }
}
