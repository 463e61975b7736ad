//! Requests of other components, in the protocol's envelopes.

use std::io::Write;
use std::process::Stdio;

use serde_json::{Value, json};

use crate::world::World;

fn request(id: &str, operation: &str, parameters: Value) -> Value {
    json!({
        "message_type": "request", "request_id": id, "correlation_id": "corr_1", "timestamp": "2025-01-15T11:30:00Z",
        "target_component": "workflow-recovery", "operation": operation, "parameters": parameters,
        "response_required": true, "timeout_seconds": 30
    })
}

/// What `wfr request -` prints without `--json`, and its exit code.
fn ask(world: &World, request: &Value) -> (Value, i32) {
    let mut child = world
        .command(&["request", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // One that is too long is not read to its end.
    let _ = child.stdin.take().unwrap().write_all(request.to_string().as_bytes());
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let answer = serde_json::from_str(&text).unwrap_or_else(|error| panic!("no envelope ({error}): {text}"));
    (answer, output.status.code().unwrap())
}

#[test]
fn an_answer_is_the_protocols_envelope() {
    let world = World::new();
    world.checkpoint("base");
    let (answer, code) = ask(&world, &request("req_1", "list-checkpoints", json!({"workflow_id": "wf"})));
    assert_eq!(code, 0, "{answer}");
    let keys: Vec<&str> = answer.as_object().unwrap().keys().map(String::as_str).collect();
    let fields = "message_type response_id request_id correlation_id timestamp status result response_to";
    assert_eq!(keys.join(" "), fields);
    assert_eq!((&answer["message_type"], &answer["status"]), (&json!("response"), &json!("success")));
    assert_eq!((&answer["request_id"], &answer["response_to"]), (&json!("req_1"), &json!("req_1")));
    assert_eq!(answer["correlation_id"], "corr_1");
    assert_eq!(answer["result"]["checkpoints"][0]["name"], "base");
    // As a file, and as JSON in the arguments, with the house's own response around it.
    world.tree.write("request.json", request("req_2", "doctor", json!({})).to_string().as_bytes());
    assert_eq!(world.ok(&["request", "request.json"]).result("result")["healthy"], true);
    let inline = request("req_3", "show", json!({"checkpoint": "base"})).to_string();
    assert_eq!(world.ok(&["request", &inline]).result("result")["checkpoint"]["name"], "base");
    let (cat, _) = ask(&world, &request("req_4", "cat", json!({"checkpoint": "base", "path": "request.json"})));
    assert_eq!(cat["status"], "error", "the file is younger than the checkpoint");
}

#[test]
fn a_repetition_gets_the_answer_that_was_given() {
    let world = World::new();
    let create = |id: &str, name: &str| request(id, "create-checkpoint", json!({"workflow_id": "wf", "name": name}));
    let (first, _) = ask(&world, &create("req_1", "base"));
    let (again, code) = ask(&world, &create("req_1", "base"));
    assert_eq!((first, code), (again, 0));
    assert_eq!(world.names(), ["base"]);
    // An error is an answer, too.
    let (taken, code) = ask(&world, &create("req_2", "base"));
    assert_eq!((taken["result"]["error"]["code"].as_str(), code), (Some("NAME_TAKEN"), 5));
    assert_eq!(ask(&world, &create("req_2", "base")), (taken, 5));
    let (other, code) = ask(&world, &create("req_1", "other"));
    assert_eq!((other["result"]["error"]["code"].as_str(), code), (Some("REQUEST_ID_TAKEN"), 5));
    assert_eq!(world.names(), ["base"]);
}

#[test]
fn consent_is_what_it_is_on_the_command_line() {
    let world = World::new();
    world.checkpoint("base");
    world.tree.write("a.txt", b"edited");
    let before = world.snapshot();
    let restore =
        |id: &str, yes: bool| request(id, "restore", json!({"workflow_id": "wf", "checkpoint": "base", "yes": yes}));
    let (planned, code) = ask(&world, &restore("req_1", false));
    assert_eq!((planned["result"]["error"]["code"].as_str(), code), (Some("CONSENT_NEEDED"), 8));
    assert!(planned["result"]["found"]["plan"]["digest"].is_string(), "{planned}");
    before.assert_same(&world.snapshot());
    let (done, code) = ask(&world, &restore("req_2", true));
    assert_eq!((done["status"].as_str(), code), (Some("success"), 0), "{done}");
    assert_ne!(world.tree.read("a.txt"), b"edited");
    // The same request again restores nothing: whoever edits meanwhile keeps the edit.
    world.tree.write("a.txt", b"edited again");
    assert_eq!(ask(&world, &restore("req_2", true)), (done, 0));
    assert_eq!(world.tree.read("a.txt"), b"edited again");
}

#[test]
fn aliases_are_answered() {
    let world = World::new();
    world.checkpoint("base");
    for (at, (operation, parameters)) in [
        ("hold-resources", json!({"workflow_id": "wf", "reason": "recovery_operation", "duration": "5m"})),
        ("release", json!({"workflow_id": "wf"})),
        ("allocate", json!({"workflow_id": "wf", "resources": {"cpu_cores": 1}})),
        ("check-conflicts", json!({"workflow_id": "wf"})),
        ("recovery-status-update", json!({"workflow_id": "wf", "recovery_id": "rec_1", "status": "initiated"})),
        ("recovery-status-update", json!({"workflow_id": "wf", "recovery_id": "rec_1", "status": "completed"})),
    ]
    .into_iter()
    .enumerate()
    {
        let (answer, code) = ask(&world, &request(&format!("req_{at}"), operation, parameters));
        assert_eq!((answer["status"].as_str(), code), (Some("success"), 0), "{operation}: {answer}");
    }
}

#[test]
fn what_is_no_request_gets_an_error_in_an_envelope() {
    let world = World::new();
    let bad = |key: &str, value: Value| {
        let mut bad = request("req_1", "doctor", json!({}));
        bad[key] = value;
        bad
    };
    for (request, code, why) in [
        (bad("operation", json!("restor")), "UNKNOWN_OPERATION", "restor"),
        (bad("operation", json!("request")), "INVALID_REQUEST", "cannot be asked for"),
        (bad("operation", json!(5)), "INVALID_REQUEST", "operation"),
        (bad("parameters", json!({"rebuild": 1})), "UNKNOWN_PARAMETER", "rebuild"),
        (bad("parameters", json!([1])), "INVALID_REQUEST", "an object"),
        (bad("message_type", json!("event")), "INVALID_REQUEST", "not `request`"),
        (bad("target_component", json!("performance-monitor")), "INVALID_REQUEST", "addressed to"),
        (bad("request_id", json!("x".repeat(300))), "INVALID_REQUEST", "256"),
        (bad("extra", json!(1)), "INVALID_REQUEST", "has no `extra`"),
        (json!({}), "INVALID_REQUEST", "message_type"),
        (json!([]), "INVALID_REQUEST", "object"),
        (json!("x".repeat(2 << 20)), "INVALID_REQUEST", "longer than"),
    ] {
        let (answer, exit) = ask(&world, &request);
        let error = &answer["result"]["error"];
        assert_eq!((error["code"].as_str(), exit), (Some(code), 2), "{answer}");
        assert!(error["message"].as_str().unwrap().contains(why), "{why}: {answer}");
        assert_eq!((answer["message_type"].as_str(), answer["status"].as_str()), (Some("response"), Some("error")));
    }
    let elsewhere = World::unprotected(wfr_testkit::TestTree::new());
    let (answer, exit) = ask(&elsewhere, &request("req_1", "doctor", json!({})));
    assert_eq!((answer["result"]["error"]["code"].as_str(), exit), (Some("WORKSPACE_NOT_FOUND"), 3));
    world.refused(&["request", "/no/such/file"], 3, "FILE_NOT_FOUND");
}
