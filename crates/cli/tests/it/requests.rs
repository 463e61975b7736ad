//! Requests of other components, in the protocol's envelopes.

use std::io::Write;
use std::process::Stdio;

use serde_json::{Value, json};

use crate::catch::{catch, caught, kill};
use crate::injected::traced;
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
fn the_protocols_components_are_answered_for() {
    let world = World::new();
    world.checkpoint("base");
    let mut hold = request("req_1", "hold-resources", json!({"workflow_id": "wf", "reason": "recovery_operation"}));
    hold["target_component"] = json!("resource-manager");
    let (answer, code) = ask(&world, &hold);
    assert_eq!((answer["status"].as_str(), code), (Some("success"), 0), "{answer}");
    let mut reserve = request("req_r", "reserve", json!({"workflow_id": "wf", "resources": {"cpu_cores": 1}}));
    reserve["target_component"] = json!("resource-manager");
    world.ok(&["release", "wf"]);
    let (answer, code) = ask(&world, &reserve);
    assert_eq!((answer["result"]["status"].as_str(), code), (Some("approved"), 0), "{answer}");
    assert_eq!(world.ok(&["holds", "wf"]).result("allocations")[0]["status"], "reserved");
    hold["target_component"] = json!("somebody-else");
    hold["request_id"] = json!("req_2");
    let (answer, code) = ask(&world, &hold);
    assert_eq!((answer["result"]["error"]["code"].as_str(), code), (Some("INVALID_REQUEST"), 2));
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
        (
            "recovery-status-update",
            json!({"workflow_id": "wf", "event_type": "RECOVERY_FAILED", "recovery_data": {"recovery_id": "rec_2"},
                "timestamp": "2025-01-15T11:30:00Z"}),
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let (answer, code) = ask(&world, &request(&format!("req_{at}"), operation, parameters));
        assert_eq!((answer["status"].as_str(), code), (Some("success"), 0), "{operation}: {answer}");
    }
}

#[test]
fn a_workflow_is_kept_by_requests_alone() {
    let world = World::new();
    let mut count = 0;
    let mut asked = |operation: &str, parameters: Value| {
        count += 1;
        let request = request(&format!("req_{count}"), operation, parameters);
        let (answer, code) = ask(&world, &request);
        assert_eq!((answer["status"].as_str(), code), (Some("success"), 0), "{operation}: {answer}");
        assert_eq!(answer["correlation_id"], "corr_1");
        // Asked again it is not done again.
        assert_eq!(ask(&world, &request), (answer.clone(), 0), "{operation}");
        answer["result"].clone()
    };
    asked(
        "initialize",
        json!({"workflow_id": "wf", "checkpoint_strategy": "phase_completion", "backup_frequency": "continuous"}),
    );
    asked(
        "update-state",
        json!({"workflow_id": "wf", "status": "running", "phases": [{"phase_id": 1, "tasks": [{"task_id": "t1"}]}]}),
    );
    let metrics = |report: &str| {
        json!({"performance_metrics": {"report_id": report, "workflow_id": "wf", "component": "performance-monitor",
            "timestamp": "2025-01-15T11:30:00Z", "metrics": {"cpu_percent": 81.5}, "collection_period": "30s"}})
    };
    asked("record-metrics", metrics("rep_1"));
    asked("report-metrics", metrics("rep_2"));
    asked(
        "handle-error",
        json!({"error_id": "err_1", "workflow_id": "wf", "timestamp": "2025-01-15T11:30:00Z",
            "classification": {"category": "execution", "severity": "high", "type": "timeout", "scope": "task",
                "recoverable": true},
            "context": {"component": "agent", "operation": "build", "phase": 1, "task": "t1", "agent": "a1"},
            "details": {"error_message": "no answer", "related_events": []}}),
    );
    let state = asked("get-state", json!({"workflow_id": "wf"}));
    let version = state["state_version"].as_i64().unwrap();
    assert!(version >= 2 && state.to_string().contains("pending_tasks"), "{state}");
    assert_eq!(world.ok(&["get-state", "wf"]).result("state_version"), version, "nothing was done twice");
    let (stale, code) = ask(
        &world,
        &request("req_stale", "update-state", json!({"workflow_id": "wf", "status": "paused", "expected_version": 0})),
    );
    assert_eq!((stale["result"]["error"]["code"].as_str(), code), (Some("STALE_STATE"), 5), "{stale}");
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
        (bad("target_component", json!("somebody-else")), "INVALID_REQUEST", "addressed to"),
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

#[test]
fn what_has_no_end_is_no_answer() {
    let world = World::new();
    world.ok(&["event", "WORKFLOW_STARTED:wf:global:"]);
    for (operation, key) in [("events", "follow"), ("status", "watch")] {
        let asked = serde_json::json!({"message_type": "request", "request_id": operation, "target_component": "wfr",
            "operation": operation, "parameters": {"workflow_id": "wf", key: true}});
        world.refused(&["request", &asked.to_string()], 2, "INVALID_REQUEST");
    }
}

/// Takes the answer to a request away, as if whoever answered had died behind the effect.
fn forget_answer(world: &World, id: &str) {
    let catalog = rusqlite::Connection::open(world.vault().join("catalog.db")).unwrap();
    assert_eq!(catalog.execute("DELETE FROM messages WHERE answers = ?1", [id]).unwrap(), 1, "{id}");
}

#[test]
fn what_was_done_and_not_answered_is_not_done_again() {
    let world = World::new();
    world.ok(&["initialize", "wf"]);
    world.tree.write("f", b"1");
    let report = json!({"workflow_id": "wf", "classification": {"category": "execution", "severity": "low"},
                        "details": {"error_message": "broke"}});
    let operations = [
        ("create-checkpoint", json!({"workflow_id": "wf"})),
        ("create-checkpoint", json!({"workflow_id": "wf", "name": "named"})),
        ("allocate", json!({"workflow_id": "wf", "resources": {"memory_gb": 0.5}})),
        ("handle-error", report),
        ("event", json!({"event_type": "TASK_STARTED", "workflow_id": "wf", "phase": 1, "data": {"task_id": "t"}})),
        ("update-state", json!({"workflow_id": "wf", "tasks": {"t": {"status": "completed"}}})),
        ("change", json!({"action": "begin", "workflow_id": "wf", "agent_id": "a"})),
    ];
    let count = |world: &World| {
        let number = |arguments: &[&str], key: &str| world.ok(arguments).result(key).as_array().unwrap().len();
        let events = ["events", "wf", "--limit", "1000"];
        let log = ["log", "--limit", "1000"];
        (number(&["list-checkpoints", "wf"], "checkpoints"), number(&events, "events"), number(&log, "changes"))
    };
    for (number, (operation, parameters)) in operations.into_iter().enumerate() {
        let id = format!("req_{number}");
        let (first, code) = ask(&world, &request(&id, operation, parameters.clone()));
        assert_eq!(code, 0, "{first}");
        let made = count(&world);
        forget_answer(&world, &id);
        let (again, code) = ask(&world, &request(&id, operation, parameters));
        assert_eq!((code, count(&world)), (0, made), "{operation}: {again}");
    }
    let shares = world.ok(&["holds"]);
    assert_eq!(shares.result("allocations").as_array().unwrap().len(), 1, "{shares:?}");
}

#[test]
fn a_recovery_that_was_done_and_not_answered_is_not_done_again() {
    let world = World::new();
    world.tree.write("f", b"1");
    world.checkpoint("base");
    for text in [&b"2"[..], b"3"] {
        world.tree.write("f", text);
        let ask_restore = json!({"workflow_id": "wf", "checkpoint": "base", "yes": true});
        let id = format!("restore_{}", text[0]);
        let (done, code) = ask(&world, &request(&id, "restore", ask_restore));
        assert_eq!(code, 0, "{done}");
    }
    assert_eq!(world.tree.read("f"), b"1");
    let undo = request("undo_1", "undo", json!({"yes": true}));
    let (first, code) = ask(&world, &undo);
    assert_eq!((code, world.tree.read("f").as_slice()), (0, &b"3"[..]), "{first}");
    forget_answer(&world, "undo_1");
    // A second undo without an id would take the other restore back.
    let (again, code) = ask(&world, &undo);
    assert_eq!((code, world.tree.read("f").as_slice()), (0, &b"3"[..]), "{again}");
    assert_eq!(again["result"]["recovery_id"], first["result"]["recovery_id"], "{again}");
}

#[test]
fn a_repetition_finishes_what_the_first_had_left_behind_its_end() {
    let mut has_left = false;
    for call in 1..40 {
        let world = World::new();
        for dir in 0..3 {
            world.tree.write(format!("d{dir}/e/f"), b"1");
        }
        world.checkpoint("base");
        let before = world.snapshot();
        for dir in 0..3 {
            world.tree.write(format!("d{dir}/e/g"), b"2");
        }
        let asked = json!({"workflow_id": "wf", "checkpoint": "base", "yes": true, "exact_mtime": true});
        let asked = request("req_1", "restore", asked).to_string();
        let kill = format!("inject=utimensat:signal=KILL:when={call}");
        let Some(output) = traced(&world, &["-e", &kill], &["--threads", "1", "request", &asked]) else {
            return wfr_testkit::skip("strace cannot be used here");
        };
        let is_whole = output.status.success();
        let status = world.ok(&["recoveries"]).result("recoveries")[0]["status"].clone();
        if !is_whole && status == "done" {
            has_left = true;
            let told = world.ok(&["doctor"]);
            assert!(told.result("findings").to_string().contains("directories may not have their times"), "{told:?}");
        }
        let (answer, code) = ask(&world, &serde_json::from_str(&asked).unwrap());
        assert_eq!((&answer["status"], code), (&json!("success"), 0), "{answer}");
        before.assert_same(&world.snapshot());
        assert!(!world.ok(&["doctor"]).result("findings").to_string().contains("directories may not have their times"));
        if is_whole {
            break;
        }
    }
    assert!(has_left, "none was killed behind its end");
}

#[test]
fn what_was_asked_back_after_it_was_done_is_done_anew() {
    let asked = request("req_1", "restore", json!({"workflow_id": "wf", "checkpoint": "base", "yes": true}));
    let world = caught(|| {
        let world = World::new();
        world.tree.write("f", b"1");
        world.checkpoint("base");
        for number in 0..200 {
            world.tree.write(format!("many/{number}"), b"edited");
        }
        world.tree.write("f", b"edited");
        let journal = world.vault().join("journal");
        let stands = || {
            let names = std::fs::read_dir(&journal).unwrap().map(|entry| entry.unwrap().file_name());
            names.map(|name| name.into_string().unwrap()).any(|name| name.ends_with(".stands"))
        };
        kill(catch(&world, &["request", &asked.to_string()], &[&journal], stands)?);
        stands().then_some(world)
    });
    world.ok(&["resume", "--take-back"]);
    assert_eq!(world.tree.read("f"), b"edited");
    let (answer, code) = ask(&world, &asked);
    assert_eq!((&answer["status"], code), (&json!("success"), 0), "{answer}");
    assert_eq!((world.tree.read("f").as_slice(), answer["result"].get("done_before")), (&b"1"[..], None), "{answer}");
}
