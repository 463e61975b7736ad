//! Checkpoints that nobody asks for: by phases, failures and time, and before commands that may do harm.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use wfr_testkit::{Snapshot, TestTree};

use crate::events::piped;
use crate::world::World;

const POLICY: &str = "recovery_configuration.checkpoint_policy";

fn lines(world: &World) -> Vec<Value> {
    world.ok(&["list-checkpoints"]).result("checkpoints").as_array().unwrap().clone()
}

fn event(world: &World, text: &str) -> Value {
    world.ok(&["event", text]).result("checkpoints").clone()
}

/// Runs the workload in the workspace; what it noted stands in the directory.
fn workload(world: &World, notes: &Path) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/workload/run.sh");
    let mut command = Command::new("bash");
    command.arg(script).arg(env!("CARGO_BIN_EXE_wfr")).arg(notes).current_dir(world.root());
    command.env("XDG_DATA_HOME", world.data.path()).env("HOME", world.data.path()).env("WFR_NO_UPKEEP", "1");
    let ended = command.output().unwrap();
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
}

/// A state as it was noted, but for what every event changes.
fn state(noted: &str) -> Value {
    let document: Value = serde_json::from_str(noted).unwrap();
    let mut state = document["result"]["workflow_state"].clone();
    assert_eq!(state["phases"].as_array().map(Vec::is_empty), Some(false), "{noted}");
    for key in ["state_version", "updated_at", "wfr"] {
        assert!(state.as_object_mut().unwrap().shift_remove(key).is_some(), "{noted}");
    }
    state
}

fn present(world: &World) -> String {
    world.ok(&["get-state", "wf", "--format", "hub"]).json.to_string()
}

/// The digests of all files, as `sha256sum` prints them.
fn sums(root: &Path) -> String {
    let find = "find . -path ./.claude -prune -o -type f -print | sort | xargs sha256sum";
    let output = Command::new("bash").args(["-c", find]).current_dir(root).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_tree_of_processes_is_followed_and_comes_back_as_it_was() {
    let world = World::unprotected(TestTree::new());
    world.ok(&["init"]);
    let notes = tempfile::tempdir().unwrap();
    let noted = |name: &str| std::fs::read_to_string(notes.path().join(name)).unwrap();
    workload(&world, notes.path());

    let names = ["phase_1_complete", "pre_failure_state", "phase_2_complete", "phase_3_complete"];
    assert_eq!(world.names(), names);
    let status = world.ok(&["status", "wf"]);
    let counts = status.result("task_counts");
    assert_eq!((counts["completed"].as_u64(), counts["failed"].as_u64()), (Some(12), Some(0)), "{counts}");
    assert_eq!(status.result("workflow_status")["status"], "completed");
    assert_eq!(status.result("workflow_status")["last_checkpoint"]["name"], "phase_3_complete");
    assert_eq!(status.result("errors"), 1);
    assert_eq!(world.ok(&["events", "wf", "--odd"]).result("events"), &json!([]));
    let validation = world.ok(&["validate-state", "wf", "--validation-depth", "comprehensive"]);
    assert_eq!(validation.result("findings"), &json!([]));

    let end = (sums(world.root()), state(&noted("end.state")));
    let mut recoveries = Vec::new();
    for (checkpoint, name) in
        [("pre_failure_state", "failed"), ("phase_1_complete", "phase_1"), ("phase_2_complete", "phase_2")]
    {
        let ended = world.ok(&["restore", "wf", checkpoint, "--yes"]);
        recoveries.push(ended.result("recovery_id").as_str().unwrap().to_owned());
        assert_eq!(sums(world.root()), noted(&format!("{name}.sums")), "{checkpoint}");
        assert_eq!(state(&present(&world)), state(&noted(&format!("{name}.state"))), "{checkpoint}");
    }
    let status = world.ok(&["status", "wf"]);
    assert_eq!(status.result("task_counts")["completed"], 8);
    let phases: Vec<&Value> =
        status.result("phases").as_array().unwrap().iter().map(|phase| &phase["status"]).collect();
    assert_eq!(phases, ["completed", "completed"]);
    for recovery in recoveries.iter().rev() {
        world.ok(&["undo", recovery, "--yes"]);
    }
    assert_eq!((sums(world.root()), state(&present(&world))), end);
}

#[test]
fn phases_and_failures_take_checkpoints_and_swarms_take_one() {
    let world = World::new();
    let taken = event(&world, r#"PHASE_COMPLETED:wf:2:{"name": "Build"}"#);
    assert_eq!(taken[0]["name"], "phase_2_complete");
    let failed = r#"TASK_FAILED:wf:2:{"task_id": "t", "agent_id": "a", "failure_reason": "no", "retry_count": 0}"#;
    assert_eq!(event(&world, failed)[0]["name"], "pre_failure_state");
    assert_eq!(event(&world, failed), json!([]));
    // Another workflow's failure is another one's; what is not grave takes none.
    assert_eq!(event(&world, &failed.replace(":wf:", ":other:"))[0]["workflow_id"], "other");
    let report = |severity| world.ok(&["handle-error", "third", "--severity", severity, "--error-message", "no"]);
    world.ok(&["initialize", "third"]);
    assert_eq!(report("low").result("checkpoints"), &json!([]));
    assert_eq!(report("critical").result("checkpoints")[0]["name"], "pre_failure_state");

    let shown = world.ok(&["show", "wf", "phase_2_complete"]);
    let manifest = shown.result("checkpoint");
    assert_eq!(
        (&manifest["checkpoint_type"], &manifest["trigger"], &manifest["phase_id"]),
        (&json!("phase_complete"), &json!("phase_completion"), &json!(2))
    );
    assert_eq!(world.written_out("phase_2_complete"), world.snapshot());
}

#[test]
fn what_fails_at_once_takes_one() {
    let world = World::new();
    world.ok(&["event", "WORKFLOW_STARTED:wf:global:{}"]);
    std::thread::scope(|scope| {
        for number in 0..6 {
            let failed = format!(
                r#"TASK_FAILED:wf:global:{{"task_id": "t{number}", "agent_id": "a", "failure_reason": "no", "retry_count": 0}}"#
            );
            let world = &world;
            scope.spawn(move || world.ok(&["event", &failed]));
        }
    });
    assert_eq!(world.names(), ["pre_failure_state"]);
    assert_eq!(world.ok(&["holds"]).result("holds"), &json!([]));
}

#[test]
fn a_phase_that_had_ended_takes_none_and_is_odd() {
    let world = World::new();
    let done = "PHASE_COMPLETED:wf:1:{}";
    assert_eq!(event(&world, done)[0]["name"], "phase_1_complete");
    let again = world.ok(&["event", done]);
    assert_eq!(again.result("odd")[0]["code"], "PHASE_ENDED_BEFORE", "{again:?}");
    assert_eq!(again.result("checkpoints"), &json!([]));
}

#[test]
fn a_phase_is_known_by_its_name() {
    let world = World::new();
    world.ok(&[
        "initialize",
        "wf",
        r#"{"phases": [{"phase_id": 1, "name": "Research"}, {"phase_id": 2, "name": "Build"}]}"#,
    ]);
    world.ok(&["event", "PHASE_STARTED:wf:Research:{}"]);
    let taken = event(&world, "PHASE_COMPLETED:wf:Research:{}");
    assert_eq!((&taken[0]["name"], taken.as_array().unwrap().len()), (&json!("phase_1_complete"), 1));
    let taken = event(&world, r#"{"event_type": "phase_completed", "workflow_id": "wf", "phase_name": "Build"}"#);
    assert_eq!(taken[0]["name"], "phase_2_complete");
    let state = || world.ok(&["get-state", "wf", "--format", "hub"]).result("workflow_state").clone();
    let phases = state()["phases"].as_array().unwrap().iter().map(|phase| phase["status"].clone()).collect::<Vec<_>>();
    assert_eq!(phases, ["completed", "completed"]);
    world.ok(&["update-state", "wf", r#"{"current_phase": "Research"}"#]);
    assert_eq!(state()["current_phase"], 1);
    assert_eq!(world.ok(&["validate-state", "wf"]).result("findings"), &json!([]));
}

#[test]
fn a_merge_that_ends_a_phase_takes_one() {
    let world = World::new();
    world.ok(&["event", "PHASE_STARTED:wf:1:{}"]);
    world.tree.write("o.json", br#"{"workflow_id": "wf", "phases": [{"phase_id": 1, "status": "completed"}]}"#);
    let done = world.ok(&[
        "merge-states",
        "--primary-state",
        "current",
        "--secondary-states",
        "./o.json",
        "--conflict-resolution",
        "checkpoint_priority",
        "--yes",
    ]);
    assert_eq!(done.result("checkpoints")[0]["name"], "phase_1_complete", "{done:?}");
}

#[test]
fn an_update_that_ends_a_phase_takes_one_once() {
    let world = World::new();
    world.ok(&["initialize", "wf", r#"{"phases": [{"phase_id": 1}, {"phase_id": 2}]}"#]);
    let update = |text: &str| world.ok(&["update-state", "wf", text]).result("checkpoints").clone();
    assert_eq!(update(r#"{"phases": {"1": {"status": "completed"}}}"#)[0]["name"], "phase_1_complete");
    assert_eq!(update(r#"{"phases": {"1": {"name": "First"}}}"#), json!([]));
    assert_eq!(update(r#"{"status": "failed"}"#)[0]["name"], "pre_failure_state");
}

#[test]
fn whatever_ends_a_phase_or_fails_takes_one() {
    let world = World::new();
    world.ok(&["initialize", "wf", r#"{"phases": [{"phase_id": 1}, {"phase_id": 2}, {"phase_id": 3}]}"#]);
    world.ok(&["event", r#"AGENT_ASSIGNED:wf:1:{"agent_id": "a1"}"#]);
    let told = r#"WORKFLOW_STATE_UPDATED:wf:1:{"phases": [{"phase_id": 1, "status": "completed"}]}"#;
    assert_eq!(event(&world, told)[0]["name"], "phase_1_complete");
    assert_eq!(event(&world, told), json!([]));
    let sync = json!({"message_type": "state_sync", "workflow_id": "wf", "state_version": 90,
        "phases": [{"phase_id": 2, "status": "completed"}]});
    assert_eq!(event(&world, &sync.to_string())[0]["name"], "phase_2_complete");
    let failed = |workflow: &str, doc: Value| {
        world.ok(&["initialize", workflow, r#"{"phases": [{"phase_id": 1}]}"#]);
        let taken = world.ok(&["update-state", workflow, &doc.to_string()]).result("checkpoints").clone();
        assert_eq!(taken[0]["name"], "pre_failure_state", "{doc}: {taken}");
    };
    failed("task", json!({"tasks": {"t1": {"phase_id": 1, "status": "failed"}}}));
    failed("agent", json!({"agents": {"a1": {"status": "failed"}}}));
    failed("phase", json!({"phases": [{"phase_id": 1, "status": "failed"}]}));
    world.ok(&["initialize", "told"]);
    let told = r#"WORKFLOW_STATE_UPDATED:told:1:{"status": "failed"}"#;
    assert_eq!(event(&world, told)[0]["name"], "pre_failure_state");
}

#[test]
fn an_import_that_ends_a_phase_takes_one() {
    let world = World::new();
    let import = |text: String, name: &str, from: &str| {
        world.tree.write(name, text.as_bytes());
        world.ok(&["import", name, "--from", from]).result("checkpoints").clone()
    };
    let plan =
        |mark: &str| format!("# Plan\n\n## Phase 1: Build {mark}\n\n- [x] one\n\n## Phase 2: Ship\n\n- [ ] two\n");
    let import_plan = |mark: &str| {
        world.tree.write("plan.md", plan(mark).as_bytes());
        world.ok(&["import", "plan.md", "--from", "plan"]).result("checkpoints").clone()
    };
    assert_eq!(import_plan(""), json!([]));
    assert_eq!(import_plan("[COMPLETED]")[0]["name"], "phase_1_complete");
    assert_eq!(import_plan("[COMPLETED]"), json!([]));
    let hub = |status: &str| {
        let phases = json!([{"phase_id": 1, "status": status}, {"phase_id": 2}]);
        import(json!({"id": "hub", "phases": phases}).to_string(), "hub.json", "hub")
    };
    assert_eq!(hub("in_progress"), json!([]));
    assert_eq!(hub("completed")[0]["name"], "phase_1_complete");
    let history = json!({"id": "history", "phases": [{"phase_id": 1, "status": "completed"}]}).to_string();
    assert_eq!(import(history, "history.json", "hub"), json!([]), "what comes all at once has ended before");
}

#[test]
fn what_is_sent_again_takes_the_checkpoint_that_is_missing() {
    let world = World::new();
    world.ok(&["initialize", "wf"]);
    let key = |name: &str| format!("{POLICY}.{name}");
    let ended =
        json!({"event_id": "evt_1", "event_type": "PHASE_COMPLETED", "workflow_id": "wf", "phase": 2}).to_string();
    let report = || {
        let call = [
            "handle-error",
            "wf",
            r#"{"error_id": "e1", "severity": "low", "scope": "task", "task": "t1", "error_message": "no"}"#,
        ];
        world.ok(&call).result("checkpoints").clone()
    };
    // As if whoever sent them had been killed before the checkpoint was taken.
    for name in ["phase_completion_checkpoints", "failure_checkpoints"] {
        world.ok(&["config", &key(name), "false"]);
    }
    assert_eq!((event(&world, &ended), report()), (json!([]), json!([])));
    for name in ["phase_completion_checkpoints", "failure_checkpoints"] {
        world.ok(&["config", &key(name), "true"]);
    }
    assert_eq!(event(&world, &ended)[0]["name"], "phase_2_complete");
    assert_eq!(report()[0]["name"], "pre_failure_state");
    assert_eq!((event(&world, &ended), report()), (json!([]), json!([])), "each once");
    let message = r#"{"message_type": "error_report", "error_id": "e2", "workflow_id": "wf", "details": {"error_message": "no"}}"#;
    let sent = || world.ok(&["event", message]).result("odd_total").clone();
    assert_eq!((sent(), sent()), (json!(0), json!(0)), "the same report is no other one");
}

#[test]
fn a_file_of_history_takes_one_and_a_live_stream_takes_each() {
    let world = World::new();
    let history: String = (0..500).map(|number| format!("PHASE_COMPLETED:wf:{number}:{{}}\n")).collect();
    let taken = piped(&world, history.as_bytes());
    assert_eq!(taken.result("recorded"), 500);
    let taken = taken.result("checkpoints").as_array().unwrap().len();
    assert!((1..=5).contains(&taken), "{taken}");
    assert_eq!(world.names().last().unwrap(), "phase_499_complete");
}

#[test]
fn what_is_switched_off_takes_none() {
    let world = World::new();
    for key in ["phase_completion_checkpoints", "failure_checkpoints", "pre_critical_operation_checkpoints"] {
        world.ok(&["config", &format!("{POLICY}.{key}"), "false"]);
    }
    assert_eq!(event(&world, "PHASE_COMPLETED:wf:2:{}"), json!([]));
    assert_eq!(event(&world, r#"WORKFLOW_FAILED:wf:2:{"failure_reason": "x", "recovery_options": []}"#), json!([]));
    let guarded = world.command(&["guard", "--", "true"]).output().unwrap();
    assert!(guarded.status.success() && String::from_utf8_lossy(&guarded.stderr).contains("Unguarded"));
    assert!(lines(&world).is_empty());
}

#[test]
fn a_checkpoint_that_cannot_be_taken_does_not_lose_the_event() {
    let world = World::new();
    world.checkpoint("base");
    world.ok(&["config", "capture.quota_bytes", "1"]);
    std::fs::write(world.root().join("new"), vec![7; 5_000]).unwrap();
    let ended = world.ok(&["event", "PHASE_COMPLETED:wf:2:{}"]);
    assert_eq!(ended.result("recorded"), 1);
    let taken = &ended.result("checkpoints")[0];
    assert!(taken["not_taken"].is_string() || taken["complete"] == false, "{taken}");
    let refused = world.command(&["guard", "wf", "--", "touch", "ran"]).output().unwrap();
    assert_eq!(refused.status.code(), Some(125), "{refused:?}");
    assert!(!world.root().join("ran").exists());
}

#[test]
fn a_guard_that_a_large_file_refuses_names_the_limit_and_takes_no_name() {
    let world = World::new();
    world.checkpoint("base");
    world.ok(&["config", "capture.file_bytes_max", "4000"]);
    std::fs::write(world.root().join("a_large"), vec![7; 5_000]).unwrap();
    let guard = ["guard", "wf", "--name", "before", "--", "touch", "ran"];
    for _ in 0..2 {
        let refused = world.command(&guard).output().unwrap();
        let told = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert_eq!(refused.status.code(), Some(125), "{refused:?}");
        assert!(told.contains("`a_large`") && told.contains("raise `capture.file_bytes_max`"), "{told}");
        assert!(!told.contains("quota_bytes") && !world.root().join("ran").exists(), "{told}");
    }
    assert_eq!(world.names(), ["base"]);
    world.ok(&["config", "capture.file_bytes_max", "0"]);
    assert!(world.command(&guard).output().unwrap().status.success());
    assert!(world.root().join("ran").exists());
}

#[test]
fn an_interval_that_is_over_takes_one_beside_the_next_command() {
    let world = World::new();
    let interval = format!("{POLICY}.automatic_checkpoint_interval");
    // Shorter than what is kept: refused, not taken for something else.
    let refused = world.refused(&["config", &interval, "59s"], 2, "INVALID_PARAMETER");
    assert!(refused.json["error"]["message"].as_str().unwrap().contains("once a minute"), "{refused:?}");
    world.ok(&["config", &interval, "0s"]);
    world.ok(&["config", &interval, "1m"]);
    // It began long ago.
    let started = json!({"event_type": "WORKFLOW_STARTED", "workflow_id": "wf", "timestamp": "2020-01-01T00:00:00Z"});
    world.ok(&["event", &started.to_string()]);
    let begun = Instant::now();
    while lines(&world).is_empty() {
        assert!(begun.elapsed() < Duration::from_secs(60), "nobody took it");
        world.ok(&["event", "PHASE_PROGRESS:wf:1:{}"]);
    }
    let taken = lines(&world);
    assert_eq!((&taken[0]["checkpoint_type"], &taken[0]["trigger"]), (&json!("incremental"), &json!("time_interval")));

    // A command that only reads starts it, too.
    for reads in [&["status"][..], &["workflows"]] {
        let mut world = World::new();
        world.ok(&["event", "WORKFLOW_CREATED:wf:global:{}"]);
        let connection = rusqlite::Connection::open(world.vault().join("catalog.db")).unwrap();
        let begun = r#"json_set(head, '$.status', 'running', '$.started_at', '2020-01-01T00:00:00Z')"#;
        connection.execute_batch(&format!("UPDATE states SET head = {begun}")).unwrap();
        world.ok(reads);
        world.variables.push(("WFR_NO_UPKEEP", "1".into()));
        let begun = Instant::now();
        while lines(&world).is_empty() {
            assert!(begun.elapsed() < Duration::from_secs(60), "nobody took it");
        }
    }

    // Without an interval, and for a workflow that has ended, nothing is due.
    world.ok(&["event", "WORKFLOW_COMPLETED:wf:1:{}"]);
    assert_eq!(world.ok(&["upkeep"]).result("checkpoints"), &json!([]));
}

#[test]
fn a_slip_in_the_name_of_a_guarded_workflow_is_refused() {
    let world = World::new();
    world.ok(&["initialize", "port_1"]);
    let refused = world.command(&["guard", "port_2", "--", "touch", "ran"]).output().unwrap();
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(125), "{said}");
    assert!(said.contains("no workflow `port_2`") && said.contains("port_1"), "{said}");
    assert!(!world.tree.at("ran").exists());
    assert_eq!(world.ok(&["workflows"]).result("workflows").as_array().unwrap().len(), 1);
}

#[test]
fn a_long_history_takes_one_at_its_end() {
    let world = World::new();
    let mut history: String =
        (0..10_001).map(|number| format!("TASK_STARTED:wf:1:{{\"task_id\":\"t{number}\"}}\n")).collect();
    history.push_str("PHASE_COMPLETED:wf:1:{}\n");
    let taken = piped(&world, history.as_bytes());
    assert_eq!(taken.result("recorded"), 10_002);
    assert_eq!(taken.result("checkpoints")[0]["name"], "phase_1_complete", "{taken:?}");
    assert_eq!(world.names(), ["phase_1_complete"]);
}

#[test]
fn a_guarded_command_runs_after_its_checkpoint_with_its_own_exit_code() {
    let world = World::new();
    let before = Snapshot::of(world.root()).only(|path| !path.starts_with(b".claude"));
    let script = "cat; rm -rf -- *; printf 'to stdout'; exit 42";
    let mut command = world.command(&["guard", "wf", "--tags", "x", "--", "sh", "-c", script]);
    let ended = command.output().unwrap();
    assert_eq!((ended.status.code(), ended.stdout.as_slice()), (Some(42), b"to stdout".as_slice()), "{ended:?}");
    let taken = lines(&world);
    let name = taken[0]["name"].as_str().unwrap();
    assert_eq!(taken[0]["trigger"], "pre_critical");
    assert!(String::from_utf8_lossy(&ended.stderr).contains(&format!("wfr restore wf {name}")));
    world.ok(&["restore", "wf", name, "--yes", "--exact-mtime"]);
    assert_eq!(Snapshot::of(world.root()).only(|path| !path.starts_with(b".claude")), before);

    let code = |arguments: &[&str]| world.command(arguments).output().unwrap().status.code();
    assert_eq!(code(&["guard", "wf", "--", "no-such-command"]), Some(127));
    assert_eq!(code(&["guard", "wf", "--", "/"]), Some(126));
    assert_eq!(code(&["guard", "wf"]), Some(125));
    assert_eq!(code(&["guard", "wf", "--no-such-flag", "--", "true"]), Some(125));
    assert_eq!(code(&["guard", "wf", "--", "sh", "-c", "kill -TERM $$"]), None);
    let asked = json!({"message_type": "request", "request_id": "r1", "target_component": "wfr", "operation": "guard",
        "parameters": {"command": ["true"]}});
    world.refused(&["request", &asked.to_string()], 2, "INVALID_REQUEST");
}
