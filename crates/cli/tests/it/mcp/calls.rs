//! Calls: what they tell, what they keep to themselves, how they end.

use std::fs;

use serde_json::{Value, json};

use super::Client;
use crate::world::World;

const TOKEN: &str = "ghp_aB3dE6gH9kL2mN5pQ8rS1tU4vW7xY0zA3bC6";

#[test]
fn secrets_of_files_do_not_reach_an_agent() {
    let world = World::new();
    world.checkpoint("base");
    let key = "-----BEGIN PRIVATE KEY-----\nMIIBVwIBADANBgkq\n-----END PRIVATE KEY-----\n";
    fs::write(world.root().join("s.txt"), format!("a\n{TOKEN}\n{key}password = \"correcthorsebattery\"\nz\n")).unwrap();
    fs::write(world.root().join(".env"), "PORT=8080\n").unwrap();
    world.checkpoint("new");
    let mut client = Client::of(&world);
    for (name, asked) in [
        ("diff", json!({"from": "base", "to": "new"})),
        ("cat", json!({"checkpoint": "new", "path": "s.txt"})),
        ("cat", json!({"checkpoint": "new", "path": ".env"})),
        ("blame", json!({"path": "s.txt"})),
        ("log", json!({"patch": true})),
        ("restore", json!({"workflow_id": "wf", "checkpoint": "base"})),
    ] {
        let answer = client.request("tools/call", json!({"name": name, "arguments": asked}));
        let text = answer.to_string();
        for secret in [TOKEN, "MIIBVwIB", "correcthorse", "PORT=8080"] {
            assert!(!text.contains(secret), "{name} tells {secret}: {text}");
        }
        let told = answer["result"]["structuredContent"]["next_steps"].to_string();
        assert!(told.contains("redacted") || !text.contains("[redacted"), "{name}: {told}");
    }
    let shown = client.ok("cat", json!({"checkpoint": "new", "path": "s.txt"}));
    let wanted = "a\n[redacted: GitHub token]\n[redacted: private key]\n[redacted: private key]\n[redacted: private key]\n\
                  password = \"[redacted: assigned secret]\"\nz\n";
    assert_eq!(shown["content"], wanted);
    fs::write(world.root().join("binary"), [0xff, 0xfe, 0]).unwrap();
    world.checkpoint("bytes");
    assert_eq!(client.ok("cat", json!({"checkpoint": "bytes", "path": "binary"}))["content"], Value::Null);
}

#[test]
fn a_piece_of_a_private_key_does_not_reach_an_agent() {
    let world = World::new();
    let line = |number: usize| {
        let mut prng = wfr_testkit::Prng::new(number as u64);
        let letters = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        (0..64).map(|_| char::from(letters[prng.below(64)])).collect::<String>()
    };
    let key = |new: usize| {
        let lines: String = (0..20).map(|number| line(if number == 12 { new } else { number }) + "\n").collect();
        format!("notes\n-----BEGIN RSA PRIVATE KEY-----\n{lines}-----END RSA PRIVATE KEY-----\n")
    };
    world.put("notes.txt", &key(100));
    world.checkpoint("base");
    let change = world.ok(&["change", "begin", "--workflow", "wf", "--agent", "a"]).result("change_id").clone();
    world.put("notes.txt", &key(101));
    world.ok(&["change", "end", change.as_str().unwrap()]);
    world.checkpoint("new");
    let mut client = Client::of(&world);
    for (name, asked) in [
        ("diff", json!({"from": "base", "to": "new"})),
        ("diff", json!({"from": "base", "to": "new", "word": true})),
        ("log", json!({"patch": true})),
        ("blame", json!({"path": "notes.txt"})),
        ("restore", json!({"workflow_id": "wf", "checkpoint": "base"})),
        ("rollback", json!({"workflow_id": "wf", "change": change})),
    ] {
        let answer = client.request("tools/call", json!({"name": name, "arguments": asked}));
        let text = answer.to_string();
        let shown: Vec<usize> = (0..20).chain([100, 101]).filter(|number| text.contains(&line(*number)[1..])).collect();
        assert!(shown.is_empty(), "{name} {asked} tells {shown:?}: {text}");
        assert!(text.contains("[redacted: private key]"), "{name} {asked}: {text}");
    }
}

#[test]
fn tools_resources_and_the_prompt_are_listed_and_read() {
    let world = World::new();
    let id = world.checkpoint("base").result("checkpoint_id").as_str().unwrap().to_owned();
    let failure = world.ok(&["handle-error", "wf", "--error-message", &format!("{TOKEN} was refused")]);
    let failure = failure.result("failure_id").as_str().unwrap().to_owned();
    let mut client = Client::silent(&world, world.root());
    let hello = client.shake(json!({}));
    assert!(hello["result"]["instructions"].as_str().unwrap().contains("root-cause"), "{hello}");
    let tools = client.request("tools/list", json!({}))["result"]["tools"].as_array().unwrap().clone();
    let tool = |name: &str| tools.iter().find(|tool| tool["name"] == name).unwrap_or_else(|| panic!("no {name}"));
    assert_eq!(tool("diff")["annotations"]["readOnlyHint"], true);
    let restore = tool("restore");
    assert_eq!(
        (&restore["annotations"]["destructiveHint"], &restore["annotations"]["readOnlyHint"]),
        (&json!(true), &json!(false))
    );
    assert!(restore["inputSchema"]["properties"]["yes"].is_null() && restore["outputSchema"]["type"] == "object");
    let uris: Vec<String> = client.request("resources/list", json!({}))["result"]["resources"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["uri"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(uris, [format!("wfr://checkpoint/{id}"), format!("wfr://failure/{failure}")]);
    for (uri, part) in uris.iter().zip([id.as_str(), "was refused"]) {
        let read = client.request("resources/read", json!({"uri": uri}));
        let text = read["result"]["contents"][0]["text"].as_str().unwrap();
        assert!(text.contains(part) && !text.contains(TOKEN), "{text}");
    }
    for uri in ["wfr://checkpoint/none", "wfr://failure/../x", "file:///etc/passwd", "wfr://other/1"] {
        assert_eq!(client.request("resources/read", json!({"uri": uri}))["error"]["code"], -32002, "{uri}");
    }
    let asked = json!({"name": "diagnose-failed-phase", "arguments": {"workflow_id": "wf"}});
    let prompt = client.request("prompts/get", asked).to_string();
    assert!(prompt.contains("wfr://failure/"), "{prompt}");
    assert_eq!(client.request("prompts/get", json!({"name": "x"}))["error"]["code"], -32602);
}

#[test]
fn progress_is_told_to_who_asks_for_it() {
    let world = World::new();
    let mut client = Client::of(&world);
    let asked =
        json!({"name": "create-checkpoint", "arguments": {"workflow_id": "wf"}, "_meta": {"progressToken": "p"}});
    client.request("tools/call", asked);
    let told: Vec<&Value> = client.news.iter().filter(|news| news["method"] == "notifications/progress").collect();
    assert!(!told.is_empty() && told.iter().all(|news| news["params"]["progressToken"] == "p"), "{:?}", client.news);
    client.news.clear();
    client.ok("create-checkpoint", json!({"workflow_id": "wf"}));
    assert!(client.news.is_empty(), "{:?}", client.news);
}

fn many_files(world: &World) {
    let dir = world.root().join("many");
    fs::create_dir(&dir).unwrap();
    (0..1_500).for_each(|number| fs::write(dir.join(number.to_string()), number.to_string()).unwrap());
}

#[test]
fn a_cancelled_call_ends_without_an_answer_and_without_an_effect() {
    let world = World::new();
    many_files(&world);
    let mut client = Client::of(&world);
    let id = client
        .ask("tools/call", json!({"name": "create-checkpoint", "arguments": {"workflow_id": "wf", "name": "cut"}}));
    client.send(&json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": id}}));
    let list = client.ok("list-checkpoints", json!({}));
    assert!(client.news.iter().all(|news| news["id"] != json!(id)), "{:?}", client.news);
    assert_eq!(list["total"], 0, "{list}");
    client.ok("create-checkpoint", json!({"workflow_id": "wf", "name": "cut"}));
}

#[test]
fn a_client_that_goes_away_leaves_nothing_half_done() {
    let world = World::new();
    many_files(&world);
    let mut client = Client::of(&world);
    client.ask("tools/call", json!({"name": "create-checkpoint", "arguments": {"workflow_id": "wf", "name": "cut"}}));
    assert_eq!(client.end(), 0);
    world.checkpoint("whole");
    world.ok(&["doctor"]);
}

#[test]
fn without_a_workspace_tools_are_listed_and_calls_say_what_to_do() {
    let world = World::new();
    let outside = tempfile::tempdir().unwrap();
    let mut client = Client::silent(&world, outside.path());
    client.shake(json!({}));
    assert!(client.request("tools/list", json!({}))["result"]["tools"].as_array().unwrap().len() > 40);
    let hint = client.refused("list-checkpoints", json!({}), "WORKSPACE_NOT_FOUND");
    assert!(hint.contains("wfr init"), "{hint}");
    assert_eq!(client.request("resources/list", json!({}))["result"]["resources"], json!([]));
}

#[test]
fn the_clients_roots_lead_to_the_workspace() {
    let world = World::new();
    world.checkpoint("base");
    let outside = tempfile::tempdir().unwrap();
    let mut client = Client::silent(&world, outside.path());
    client.shake(json!({"roots": {"listChanged": true}}));
    let id = client.ask("tools/call", json!({"name": "list-checkpoints", "arguments": {}}));
    let asked = client.next().unwrap();
    assert_eq!(asked["method"], "roots/list");
    let roots = json!([{"uri": "file:///nowhere"}, {"uri": format!("file://{}", world.root().display())}]);
    client.send(&json!({"jsonrpc": "2.0", "id": asked["id"], "result": {"roots": roots}}));
    assert_eq!(client.answer(id)["result"]["structuredContent"]["result"]["total"], 1);
}
