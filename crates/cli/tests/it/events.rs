//! Intake: every form and source, repetitions, what is refused, and many publishers at once.

use std::collections::BTreeSet;
use std::io::Write;
use std::process::Stdio;

use serde_json::{Value, json};

use crate::world::{Ended, World};

/// Calls `wfr event -` with something on its standard input.
pub fn piped(world: &World, bytes: &[u8]) -> Ended {
    let mut command = world.command(&["event", "-", "--json"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(bytes).unwrap();
    let output = child.wait_with_output().unwrap();
    Ended { code: output.status.code().unwrap(), json: serde_json::from_slice(&output.stdout).unwrap() }
}

fn version(world: &World) -> u64 {
    world.ok(&["get-state", "wf"]).result("state_version").as_u64().unwrap()
}

#[test]
fn events_come_in_all_forms() {
    let world = World::new();
    let line = r#"TASK_STARTED:wf:1:{"task_id":"t:1","agent_id":"a1"}"#;
    let one = world.ok(&["event", line]);
    assert_eq!((one.result("recorded"), one.result("first_seq")), (&json!(1), one.result("last_seq")));
    assert_eq!(one.json["workflow_id"], "wf");
    assert_eq!(one.result("events")[0]["message"], line);
    assert!(one.result("odd").to_string().contains("EVENT_FIELD_INVALID"), "t:1 is no task: {one:?}");
    let envelope = json!({"event_id": "evt_7", "event_type": "phase.completed", "workflow_id": "wf", "phase": 1});
    assert_eq!(world.ok(&["event", &envelope.to_string()]).result("recorded"), 1);
    let again = world.ok(&["event", &envelope.to_string()]);
    assert_eq!((again.result("recorded"), again.result("known")), (&json!(0), &json!(1)));
    let lines = "TASK_STARTED:wf:1:{\"task_id\":\"t1\"}\r\n\n# a remark\n{\"event_type\":\"task_completed\",\"workflow_id\":\"wf\",\"task_id\":\"t1\"}";
    assert_eq!(piped(&world, lines.as_bytes()).result("recorded"), 2);
    let file = world.data.path().join("events.json");
    std::fs::write(&file, serde_json::to_vec_pretty(&json!([envelope, {"event_type": "SYSTEM_STARTUP"}])).unwrap())
        .unwrap();
    let listed = world.ok(&["event", "--file", file.to_str().unwrap()]);
    assert_eq!((listed.result("recorded"), listed.result("known")), (&json!(1), &json!(1)));
    assert_eq!(version(&world), 4);
    world.refused(&["event"], 2, "WRONG_ARGUMENTS");
    world.refused(&["event", line, "--file", "x"], 2, "WRONG_ARGUMENTS");
    world.refused(&["event", "--file", "no-such-file"], 3, "FILE_NOT_FOUND");
    world.refused(&["event", "nonsense"], 2, "INVALID_EVENT");
}

#[test]
fn the_message_of_an_envelope_is_heard() {
    let world = World::new();
    let event = |value: Value| world.ok(&["event", &value.to_string()]).result("events")[0].clone();
    let line = r#"TASK_STARTED:wf:1:{"task_id":"t1","agent_id":"a1"}"#;
    let bare = event(json!({"event_type": "TASK_STARTED", "message": line}));
    assert_eq!(
        (&bare["data"]["task_id"], &bare["phase"], &bare["workflow_id"]),
        (&json!("t1"), &json!(1), &json!("wf"))
    );
    let other = event(json!({"event_type": "TASK_COMPLETED", "workflow_id": "wf", "phase": 1,
        "message": "TASK_FAILED:other:2:{}", "data": {"task_id": "t1", "agent_id": "a1"}}));
    assert_eq!(other["data"]["message"], "TASK_FAILED:other:2:{}", "what says otherwise is kept");
    let words = event(json!({"event_type": "SYSTEM_MAINTENANCE", "message": "the disk is nearly full"}));
    assert_eq!(words["data"]["message"], "the disk is nearly full");
    assert_eq!(world.ok(&["status"]).result("task_counts")["completed"], 1);
}

#[test]
fn a_word_that_the_protocol_does_not_have_is_kept_and_noted() {
    let world = World::new();
    world.ok(&["event", "WORKFLOW_CREATED:wf:global:{}"]);
    let taken = world.ok(&["handle-error", "wf", "--error-message", "x", "--severity", "hgih", "--scope", "tsak"]);
    let odd = world.ok(&["events", "wf", "--odd"]).json.to_string();
    assert!(odd.contains("hgih") && odd.contains("tsak") && odd.contains("critical, high"), "{taken:?} {odd}");
    let sync = json!({"checkpoint_sync": {"workflow_id": "wf", "checkpoint_type": "weird", "state_snapshot": {},
        "validation_results": {"integrity_check": "perhaps", "dependency_validation": "passed"}}});
    let taken = world.ok(&["event", &sync.to_string()]);
    let odd = taken.result("odd").to_string();
    assert!(odd.contains("weird") && odd.contains("perhaps") && !odd.contains("dependency_validation"), "{odd}");
}

#[test]
fn a_repetition_changes_nothing_whoever_it_names() {
    let world = World::new();
    let event = |workflow: &str| {
        json!({"event_id": "evt_7", "event_type": "TASK_STARTED", "workflow_id": workflow, "data": {"task_id": "t1"}})
            .to_string()
    };
    world.ok(&["event", &event("wf")]);
    assert_eq!(world.ok(&["event", &event("other")]).result("known"), 1);
    assert_eq!(world.ok(&["workflows"]).result("workflows").as_array().unwrap().len(), 1);
}

#[test]
fn work_after_the_end_is_odd() {
    let world = World::new();
    let odd = |line: &str| world.ok(&["event", line]).result("odd").to_string();
    world.ok(&["event", "WORKFLOW_STARTED:wf:global:"]);
    assert_eq!(odd("TASK_STARTED:wf:1:{\"task_id\":\"t1\"}"), "[]");
    world.ok(&["event", "WORKFLOW_COMPLETED:wf:global:"]);
    for late in ["TASK_STARTED:wf:1:{\"task_id\":\"t2\"}", "PHASE_STARTED:wf:2:"] {
        let said = odd(late);
        assert!(said.contains("TRANSITION_ODD") && said.contains("came after its end"), "{late}: {said}");
    }
    assert_eq!(odd("AGENT_DEALLOCATED:wf:global:{\"agent_id\":\"a1\"}"), "[]");
}

#[test]
fn a_stream_that_ends_in_the_midst_says_how_far_it_came_and_how_to_go_on() {
    let world = World::new();
    let mut command = world.command(&["event", "-"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    let lines: String = (0..300).map(|number| format!("TASK_STARTED:wf:1:{{\"task_id\":\"t{number}\"}}\n")).collect();
    input.write_all(lines.as_bytes()).unwrap();
    while world.ok(&["events", "--limit", "1"]).result("last_seq") != 300 {
        std::thread::yield_now();
    }
    rustix::process::kill_process(rustix::process::Pid::from_child(&child), rustix::process::Signal::INT).unwrap();
    let _ = input.write_all(b"TASK_STARTED:wf:1:{\"task_id\":\"last\"}\n");
    drop(input);
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(130), "{said}");
    for part in ["300 new events were recorded", "give all of it again", "the first 300 messages"] {
        assert!(said.contains(part), "{part}: {said}");
    }
}

#[test]
fn what_is_valid_in_a_file_is_recorded_and_the_rest_is_named() {
    let world = World::new();
    let mut text = String::new();
    for number in 0..1_000 {
        text.push_str(&format!("TASK_STARTED:wf:1:{{\"task_id\":\"t{number}\"}}\n"));
        text.push_str("TASK_STARTED:../wf:1:{}\n");
    }
    let ended = piped(&world, text.as_bytes());
    assert_eq!((ended.code, ended.error()), (2, "INVALID_EVENT"));
    assert_eq!((ended.result("recorded"), ended.result("refused_total")), (&json!(1_000), &json!(1_000)));
    let refused = ended.result("refused").as_array().unwrap();
    assert_eq!((refused.len(), &refused[0]["line"]), (100, &json!(2)));
    assert_eq!(version(&world), 1_000);
}

#[test]
fn the_higher_state_version_wins() {
    let world = World::new();
    let sync = |version: u64, phase: u64| {
        let message = json!({"message_type": "state_sync", "workflow_id": "wf", "state_version": version,
            "checkpoint_id": "ckpt_1", "current_phase": {"phase_id": phase, "progress": 40},
            "agent_states": {"a1": {"status": "in_progress", "current_task": "t1", "performance_score": 0.9}},
            "resource_usage": {"cpu_utilization": 12.5}, "metadata": {"conflict_detected": false}});
        world.ok(&["event", &message.to_string()])
    };
    assert_eq!(sync(40, 2).result("recorded"), 1);
    let stale = sync(40, 3);
    assert_eq!((stale.result("recorded"), stale.result("ignored_total")), (&json!(0), &json!(1)));
    assert!(stale.result("ignored")[0]["why"].as_str().unwrap().contains("has version 40"), "{stale:?}");
    let status = world.ok(&["status"]);
    let status = status.result("workflow_status");
    assert_eq!(status["current_phase"]["id"], 2);
    assert_eq!((&status["agents"][0]["id"], &status["resources"]["cpu_percent"]), (&json!("a1"), &json!(12.5)));
    let seen = json!({"checkpoint_sync": {"workflow_id": "wf", "checkpoint_type": "manual", "state_snapshot": {}}});
    let taken = world.ok(&["event", &seen.to_string()]);
    assert_eq!(
        (taken.result("odd_total"), &taken.result("events")[0]["event_type"]),
        (&json!(0), &json!("CHECKPOINT_SYNC"))
    );
    assert_eq!(world.ok(&["list-checkpoints"]).result("total"), 0);
    assert_eq!(
        world.refused(&["update-state", "wf", r#"{"state_version": 12, "current_phase": 1}"#], 5, "STALE_STATE").code,
        5
    );
}

#[test]
fn errors_get_an_id_and_a_report() {
    let world = World::new();
    world.ok(&["event", r#"TASK_STARTED:wf:1:{"task_id":"t1","agent_id":"a1"}"#]);
    let report = json!({"error_id": "e1", "timestamp": "2025-01-15T11:30:00Z",
        "classification": {"category": "execution", "severity": "high", "type": "limit_exceeded", "scope": "task", "recoverable": true},
        "context": {"component": "runner", "operation": "build", "phase": 1, "task": "t1"},
        "details": {"error_message": "out of memory", "stack_trace": "main.rs:7", "related_events": []},
        "impact_assessment": {"affected_tasks": ["t1"]},
        "recovery_suggestions": [{"strategy": "retry_operation", "success_probability": 0.7}]});
    let made = world.ok(&["handle-error", "wf", &report.to_string()]);
    let id = made.result("failure_id").as_str().unwrap().to_owned();
    assert!(id.starts_with("failure_2"), "{id}");
    let kinds: Vec<&Value> = made.result("events").as_array().unwrap().iter().map(|line| &line["event_type"]).collect();
    assert_eq!(kinds, ["ERROR_ENCOUNTERED", "TASK_FAILED"]);
    assert_eq!(
        made.result("events")[1]["data"],
        json!({"task_id": "t1", "failure_reason": "out of memory",
        "agent_id": "a1", "retry_count": 0})
    );
    let file = world.root().join(".claude/recovery/failure_analysis/failure_reports").join(format!("{id}.json"));
    let kept: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    for key in ["classification", "context", "details", "impact_assessment", "recovery_suggestions"] {
        assert_eq!(kept[key], report[key], "{key}");
    }
    assert_eq!(kept["timestamp"], report["timestamp"]);
    let again = world.ok(&["handle-error", "wf", &report.to_string()]);
    assert_eq!((again.result("existed"), again.result("failure_id")), (&json!(true), &json!(id)));
    assert_eq!(again.result("odd"), &json!([]));
    // In the protocol's wrapper it is the same one; another one of its id is told.
    let wrapped = world.ok(&["handle-error", "wf", &json!({"error_report": report}).to_string()]);
    assert_eq!((wrapped.result("existed"), wrapped.result("odd")), (&json!(true), &json!([])));
    let other = world.ok(&["handle-error", "wf", &json!({"error_report": report, "task": "t2"}).to_string()]);
    assert_eq!((other.result("existed"), &other.result("odd")[0]["code"]), (&json!(true), &json!("EVENT_ID_REUSED")));
    let flags =
        ["handle-error", "wf", "--error-message", "gone", "--scope", "agent", "--type", "timeout", "--agent", "a1"];
    let flagged = world.ok(&flags);
    assert_eq!(flagged.result("events")[1]["event_type"], "AGENT_TIMEOUT");
    let tasks = world.ok(&["status", "wf"]);
    assert_eq!(
        (tasks.result("errors"), &tasks.result("tasks")[0]["failure_reason"]),
        (&json!(2), &json!("out of memory"))
    );
    world.refused(&["handle-error", "wf"], 2, "INVALID_PARAMETER");
    world.refused(&["handle-error", "other", "--error-message", "x"], 3, "WORKFLOW_NOT_FOUND");
}

#[test]
fn reports_of_failures_are_where_their_events_are() {
    let world = World::new();
    world.ok(&["event", "WORKFLOW_CREATED:wf:global:{}"]);
    let made = world.ok(&["handle-error", "wf", "--error-message", "broke"]);
    let place = format!(
        ".claude/recovery/failure_analysis/failure_reports/{}.json",
        made.result("failure_id").as_str().unwrap()
    );
    let report = std::fs::read(world.root().join(&place)).unwrap();
    world.checkpoint("base");
    let archive = world.data.path().join("wf.wfrarchive").to_str().unwrap().to_owned();
    world.ok(&["backup-state", "wf", "--output", &archive]);
    let other = World::new();
    other.ok(&["import", &archive]);
    assert_eq!(std::fs::read(other.root().join(&place)).unwrap(), report);
    std::fs::remove_dir_all(world.root().join(".claude/recovery")).unwrap();
    world.checkpoint("again");
    assert_eq!(std::fs::read(world.root().join(&place)).unwrap(), report);
}

#[test]
fn a_type_that_is_none_is_odd_without_a_workflow_and_no_event_is_refused() {
    let world = World::new();
    for workflow in ["global", "wf"] {
        let told = world.ok(&["event", &format!("FOO_BAR:{workflow}:global:{{}}")]);
        assert_eq!(told.result("odd")[0]["code"], "EVENT_TYPE_UNKNOWN", "{workflow}: {told:?}");
    }
    world.refused(&["event", ""], 2, "INVALID_EVENT");
}

#[test]
fn a_line_that_ends_before_its_phase_is_refused_and_makes_no_workflow() {
    let world = World::new();
    for line in ["X:1", "WORKFLOW_STARTED:wf"] {
        let told = world.refused(&["event", line], 2, "INVALID_EVENT").json.to_string();
        assert!(told.contains("ends before the phase"), "{told}");
    }
    assert_eq!(world.ok(&["workflows"]).result("workflows"), &json!([]));
    world.ok(&["event", "WORKFLOW_STARTED:wf:global"]);
}

#[test]
fn a_report_that_could_not_be_written_is_said_and_written_later() {
    let world = World::new();
    world.ok(&["event", "WORKFLOW_CREATED:wf:global:{}"]);
    // What stands where the directory should be cannot be written into, as a full disk cannot.
    let reports = world.root().join(".claude/recovery/failure_analysis/failure_reports");
    let _ = std::fs::remove_dir_all(&reports);
    std::fs::create_dir_all(reports.parent().unwrap()).unwrap();
    std::fs::write(&reports, b"").unwrap();
    let report = |message: &str| {
        let report = json!({"error_id": "e1", "details": {"error_message": message}});
        world.ok(&["handle-error", "wf", &report.to_string()])
    };
    let made = report("no space");
    assert_eq!((made.result("existed"), made.result("report")), (&json!(false), &Value::Null));
    assert!(made.json["next_steps"][0].as_str().unwrap().contains("could not be written"), "{made:?}");
    std::fs::remove_file(&reports).unwrap();
    let again = report("said otherwise");
    assert_eq!((again.result("existed"), &again.json["next_steps"]), (&json!(true), &json!([])));
    let kept: Value =
        serde_json::from_slice(&std::fs::read(again.result("report").as_str().unwrap()).unwrap()).unwrap();
    assert_eq!((&kept["details"]["error_message"], &kept["workflow_id"]), (&json!("no space"), &json!("wf")));
}

#[test]
fn a_workflow_is_registered_once_and_updated_under_its_version() {
    let world = World::new();
    let given = r#"{"name": "Port", "checkpoint_strategy": "phase_completion", "backup_frequency": "continuous", "total_phases": 2,
        "phases": [{"phase_id": 1, "name": "Research", "tasks": [{"task_id": "t1"}]}], "agents": {"a1": {"role": "reader"}}}"#;
    let made = world.ok(&["initialize", "wf", given]);
    assert_eq!((made.result("existed"), made.result("state_version")), (&json!(false), &json!(1)));
    let again = world.ok(&["register", "wf", given]);
    assert_eq!((again.result("existed"), again.result("changed")), (&json!(true), &json!(false)));
    let more = world.ok(&["initialize", "wf", "--name", "Port it"]);
    assert_eq!((more.result("changed"), more.result("state_version")), (&json!(true), &json!(2)));
    world.ok(&[
        "update-state",
        "wf",
        r#"{"expected_version": 2, "tasks": {"t1": {"status": "active"}}, "reason": "by hand"}"#,
    ]);
    world.refused(&["update-state", "wf", r#"{"expected_version": 2, "status": "paused"}"#], 5, "STALE_STATE");
    world.refused(&["update-state", "wf"], 2, "WRONG_ARGUMENTS");
    for wrong in [r#"{"statsu": "paused"}"#, r#"{"state": {"statsu": "paused"}}"#] {
        let refused = world.refused(&["update-state", "wf", wrong], 2, "UNKNOWN_PARAMETER");
        assert!(refused.json["recovery_options"].to_string().contains("`status`"), "{refused:?}");
    }
    let own = r#"{"extra": {"ticket": 7}}"#;
    world.ok(&["update-state", "wf", own]);
    world.ok(&["update-state", "wf", r#"{"ticket": 8}"#]);
    world.refused(&["update-state", "nowhere", r#"{"status": "paused"}"#], 3, "WORKFLOW_NOT_FOUND");
    let report =
        json!({"performance_metrics": {"report_id": "r1", "component": "monitor", "metrics": {"cpu_percent": 63.5}}});
    world.ok(&["record-metrics", "wf", &report.to_string()]);
    world.ok(&["report-metrics", "wf", r#"{"metrics": {"memory_percent": 40}}"#]);
    let hub = world.ok(&["get-state", "wf", "--format", "hub"]);
    let hub = hub.result("workflow_state");
    assert_eq!(
        hub["configuration"],
        json!({"checkpoint_strategy": "phase_completion", "backup_frequency": "continuous"})
    );
    assert_eq!((&hub["metrics"]["cpu_percent"], &hub["metrics"]["memory_percent"]), (&json!(63.5), &json!(40)));
    let last = world.ok(&["events", "wf", "--type", "workflow_state_updated", "--limit", "2"]);
    assert_eq!(last.result("events")[0]["data"]["performance_metrics"]["report_id"], "r1");
    // What one workspace writes another one reads.
    let other = World::new();
    other.ok(&["initialize", "wf"]);
    other.ok(&["update-state", "wf", &json!({"state": hub}).to_string()]);
    assert_eq!(
        other.ok(&["get-state", "wf"]).result("workflow_state"),
        world.ok(&["get-state", "wf"]).result("workflow_state")
    );
}

#[test]
fn sixteen_publishers_lose_nothing_and_the_order_is_one() {
    const PUBLISHERS: usize = 16;
    const EVENTS: usize = 25;
    let world = World::new();
    let publish = |publisher: usize| {
        let mut seqs = Vec::new();
        for number in 0..EVENTS {
            // Every other clock runs backwards.
            let second = if publisher.is_multiple_of(2) { 59 - number } else { number };
            let event = json!({"event_id": format!("evt_{publisher}_{number}"), "event_type": "TASK_STARTED", "workflow_id": "wf",
                "timestamp": format!("2025-01-15T11:30:{second:02}Z"), "data": {"task_id": format!("t{publisher}_{number}")}});
            seqs.push(world.ok(&["event", &event.to_string()]).result("first_seq").as_i64().unwrap());
        }
        seqs
    };
    let told: Vec<Vec<i64>> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..PUBLISHERS)
            .map(|publisher| {
                scope.spawn({
                    let publish = &publish;
                    move || publish(publisher)
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(
        told.iter().all(|seqs| seqs.is_sorted()),
        "each publisher's events are in its order, whatever its clock says"
    );
    let all: BTreeSet<i64> = told.into_iter().flatten().collect();
    assert_eq!(all, (1..=(PUBLISHERS * EVENTS) as i64).collect());
    let listed = world.ok(&["events", "wf", "--after", "0", "--limit", "1000"]);
    let seqs: Vec<i64> =
        listed.result("events").as_array().unwrap().iter().map(|line| line["seq"].as_i64().unwrap()).collect();
    assert_eq!(seqs, all.into_iter().collect::<Vec<_>>());
    let status = world.ok(&["status"]);
    assert_eq!(status.result("task_counts")["active"], PUBLISHERS * EVENTS);
    assert_eq!(status.result("state_version"), PUBLISHERS * EVENTS);
}

#[test]
fn a_version_beyond_counting_is_refused() {
    let world = World::new();
    world.ok(&["event", "WORKFLOW_STARTED:wf:global:"]);
    let sync = |version: u64| {
        json!({"message_type": "state_sync", "workflow_id": "wf", "state_version": version, "current_phase": 1})
            .to_string()
    };
    world.refused(&["event", &sync(u64::MAX)], 2, "INVALID_EVENT");
    let update = json!({"state": {"state_version": u64::MAX}}).to_string();
    world.refused(&["update-state", "wf", &update], 2, "INVALID_PARAMETER");
    let version = |world: &World| world.ok(&["get-state", "wf"]).result("state_version").as_u64().unwrap();
    assert!(version(&world) < 10);
    world.ok(&["event", &sync(1 << 53)]);
    world.ok(&["event", "WORKFLOW_PAUSED:wf:global:"]);
    assert_eq!(version(&world), (1 << 53) + 1);
}

#[test]
fn an_id_that_is_used_again_for_something_else_is_named() {
    let world = World::new();
    let event = |task: &str| {
        format!(
            r#"{{"event_type":"TASK_STARTED","workflow_id":"wf","event_id":"evt_1","data":{{"task_id":"{task}"}}}}"#
        )
    };
    world.ok(&["event", &event("t1")]);
    let same = world.ok(&["event", &event("t1")]);
    assert_eq!((same.result("known"), same.result("odd")), (&json!(1), &json!([])));
    let other = world.ok(&["event", &event("t2")]);
    assert_eq!((other.result("recorded"), other.result("known")), (&json!(0), &json!(1)));
    let odd = &other.result("odd")[0];
    assert_eq!((&odd["code"], &odd["event_id"]), (&json!("EVENT_ID_REUSED"), &json!("evt_1")));
    let shown = String::from_utf8(world.command(&["event", &event("t2")]).output().unwrap().stdout).unwrap();
    assert!(shown.contains("evt_1") && shown.contains("EVENT_ID_REUSED"), "{shown}");
}

#[test]
fn what_cannot_be_is_said_of_an_update_in_plain_words() {
    let world = World::new();
    world.ok(&["initialize", "wf", r#"{"phases": [{"phase_id": 1, "tasks": [{"task_id": "t1"}]}]}"#]);
    for (update, told) in [
        (r#"{"status": "flying"}"#, "`flying` is not allowed: write one of these: `created`"),
        (r#"{"total_phases": -1}"#, "`-1` is not allowed: write a whole number from 0 on"),
        (r#"{"progress_percentage": -5}"#, "a number from 0 to 100"),
        (r#"{"current_phase": {"phase_id": 1, "tasks_completed": 5, "tasks_total": 2}}"#, "5 of 2 tasks"),
        (r#"{"phases": {"1": {"completed_tasks": 5, "total_tasks": 2}}}"#, "phase 1: 5 of 2 tasks"),
        (r#"{"agents": {"a": {"tasks_completed": -1}}}"#, "agent a: `tasks_completed`"),
    ] {
        let odd = world.ok(&["update-state", "wf", update]).result("odd").to_string();
        assert!(odd.contains(told), "{update}: {odd}");
    }
    let state = world.ok(&["get-state", "wf", "--format", "hub"]).result("workflow_state").clone();
    assert_eq!((&state["status"], &state["agent_assignments"]["a"]["tasks_completed"]), (&json!("created"), &json!(0)));
}

#[test]
fn times_may_be_lengths_and_those_beyond_are_told() {
    let world = World::new();
    world.checkpoint("base");
    let total = |arguments: &[&str]| world.ok(arguments).result("total").clone();
    assert_eq!(total(&["list-checkpoints", "--since", "1h"]), 1);
    assert_eq!(total(&["list-checkpoints", "--until", "1h"]), 0);
    assert_eq!(total(&["list-checkpoints", r#"{"since": "2 days"}"#]), 1);
    for operation in ["events", "recoveries", "log"] {
        world.ok(&[operation, "--since", "5m"]);
    }
    for beyond in ["12000-01-01T00:00:00Z", "9000-01-01T00:00:00Z"] {
        let told = world.refused(&["list-checkpoints", "--since", beyond], 2, "INVALID_PARAMETER");
        assert!(told.json["error"]["message"].as_str().unwrap().contains("beyond the times"), "{told:?}");
    }
}

#[test]
fn a_checkpoint_that_another_took_is_kept_with_all_that_is_said_of_it() {
    let sync = json!({"workflow_id": "wf", "checkpoint_id": "chkpt_9", "checkpoint_type": "phase_complete", "phase": 2,
        "timestamp": "2025-01-15T11:30:00Z",
        "state_snapshot": {"workflow_state_hash": "sha256:a1", "file_system_hash": "sha256:b2",
            "agent_state_hash": "sha256:c3", "resource_state_hash": "sha256:d4"},
        "validation_results": {"integrity_check": "passed", "dependency_validation": "failed",
            "resource_consistency": "unknown"},
        "storage_metadata": {"size_bytes": 15678, "compression_ratio": 0.4, "storage_location": "/far/chkpt_9",
            "backup_locations": ["/far/1", "/far/2"]}});
    let typed = |mut message: Value| {
        message["message_type"] = json!("checkpoint_sync");
        message
    };
    for trigger in ["automatic", "manual", "failure_prevention"] {
        let mut sync = sync.clone();
        sync["trigger"] = json!(trigger);
        for form in [json!({"checkpoint_sync": sync}), typed(sync.clone()), sync.clone()] {
            let world = World::new();
            world.ok(&["event", "WORKFLOW_STARTED:wf:global:{}"]);
            let before = world.ok(&["export", "wf"]).result("document")["phases"].clone();
            assert_eq!(world.ok(&["event", &form.to_string()]).result("odd"), &json!([]), "{form}");
            let kept = world.ok(&["events", "wf", "--type", "CHECKPOINT_SYNC"]).result("events")[0].clone();
            assert_eq!((&kept["timestamp"], &kept["phase"]), (&sync["timestamp"], &json!(2)));
            for (key, value) in sync.as_object().unwrap() {
                if !["workflow_id", "timestamp"].contains(&key.as_str()) {
                    assert_eq!(&kept["data"][key], value, "{key}");
                }
            }
            assert_eq!(world.names(), Vec::<String>::new(), "it is none of ours");
            assert_eq!(world.ok(&["export", "wf"]).result("document")["phases"], before);
        }
    }
    let world = World::new();
    let mut sync = sync;
    sync["trigger"] = json!("often");
    let odd = world.ok(&["event", &json!({"checkpoint_sync": sync}).to_string()]).result("odd").to_string();
    assert!(odd.contains("often") && odd.contains("failure_prevention"), "{odd}");
}
