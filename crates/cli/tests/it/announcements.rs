//! What is announced around a recovery, and who gives way to one.

use std::process::Stdio;

use serde_json::{Value, json};
use wfr_testkit::Prng;

use crate::world::World;

/// A workspace with an edit after its checkpoint, and a file that everything goes into once it is flushed.
fn world() -> World {
    let mut world = World::new();
    world.variables.push(("WFR_NO_UPKEEP", "1".into()));
    world.checkpoint("base");
    let sinks = json!([{"name": "log", "kind": "file", "path": "log.jsonl", "from": "now"}]);
    world.ok(&["config", "coordination.sinks", &sinks.to_string()]);
    world.ok(&["outbox", "flush"]);
    world.tree.write("a.txt", b"edited");
    world
}

/// Everything that has gone out.
fn lines(world: &World) -> Vec<Value> {
    world.ok(&["outbox", "flush"]);
    let text = std::fs::read_to_string(world.root().join(".claude/recovery/log.jsonl")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The requests among them.
fn requests(world: &World) -> Vec<Value> {
    lines(world).into_iter().filter(|line| line["message_type"] == "request").collect()
}

/// What each is about, in a word or two.
fn words(lines: &[Value]) -> Vec<String> {
    let word = |line: &Value| match line["operation"].as_str() {
        Some("recovery-status-update") => format!("update {}", line["parameters"]["status"].as_str().unwrap()),
        Some(other) => other.to_owned(),
        None => line["event_type"].as_str().unwrap().to_owned(),
    };
    lines.iter().map(word).collect()
}

#[test]
fn a_restore_is_announced_from_its_beginning_to_its_end() {
    let world = world();
    let done = world.ok(&["restore", "wf", "base", "--yes"]);
    let lines = lines(&world);
    let expected = [
        "RECOVERY_INITIATED",
        "update initiated",
        "hold-resources",
        "RECOVERY_COMPLETED",
        "update completed",
        "release",
    ];
    assert_eq!(words(&lines), expected, "{lines:#?}");
    let requests: Vec<&Value> = lines.iter().filter(|line| line["message_type"] == "request").collect();
    let id = done.result("recovery_id").as_str().unwrap();
    let correlation = format!("corr_{}", id.trim_start_matches("rec_"));
    assert!(requests.iter().all(|request| request["correlation_id"] == correlation.as_str()), "{requests:#?}");
    let targets: Vec<&str> = requests.iter().map(|request| request["target_component"].as_str().unwrap()).collect();
    assert_eq!(targets, ["coordination-hub", "resource-manager", "coordination-hub", "resource-manager"]);
    let [initiated, hold, completed, _] = requests[..] else { panic!("four") };
    assert_eq!(hold["parameters"]["reason"], "recovery_operation");
    assert!(!initiated["parameters"]["recovery_data"]["estimated_duration"].is_null());
    assert_eq!(completed["parameters"]["event_type"], "RECOVERY_COMPLETED");
    let summary = &completed["parameters"]["recovery_data"]["summary"];
    let restored = done.result("changed").as_array().unwrap().len();
    assert_eq!((&summary["files_restored"], &summary["recovery_id"]), (&json!(restored), &json!(id)));
    assert_eq!((done.result("findings"), done.result("preempted")), (&json!([]), &Value::Null));
    assert_eq!(world.ok(&["holds"]).result("holds"), &json!([]), "nothing stays held");
    // Another one takes in what this one tells.
    for (at, request) in requests.into_iter().enumerate() {
        let mut request = request.clone();
        request["request_id"] = format!("req_{at}").into();
        request["target_component"] = "workflow-recovery".into();
        world.ok(&["request", &request.to_string()]);
    }
}

#[test]
fn who_decides_and_who_is_concerned_is_told_and_who_is_asked_where_it_fails() {
    let world = world();
    world.ok(&["config", "coordination.stakeholders", r#"["ops"]"#]);
    world.ok(&["config", "coordination.escalation", r#"["lead"]"#]);
    world.ok(&["config", "coordination.authority", "boss"]);
    let told = |world: &World, from: usize| {
        let updates = requests(world).split_off(from);
        let updates = updates.into_iter().filter(|one| one["operation"] == "recovery-status-update");
        let word = |one: Value| format!("{} {}", one["target_component"], one["parameters"]["status"]).replace('"', "");
        updates.map(word).collect::<Vec<String>>()
    };
    world.ok(&["restore", "wf", "base", "--yes"]);
    let ends = ["coordination-hub", "boss", "ops"];
    let expected: Vec<String> =
        ["initiated", "completed"].iter().flat_map(|end| ends.map(|who| format!("{who} {end}"))).collect();
    assert_eq!(told(&world, 0), expected);
    let so_far = requests(&world).len();
    world.tree.write("a.txt", b"edited");
    world.refused(&["restore", "wf", "base", "--functional-check", "false", "--yes"], 1, "FUNCTIONAL_CHECK_FAILED");
    let of_the_failure = told(&world, so_far);
    assert!(of_the_failure.contains(&"lead failed".to_owned()), "{of_the_failure:?}");
    assert!(!of_the_failure.contains(&"lead initiated".to_owned()), "{of_the_failure:?}");
}

#[test]
fn recoveries_are_told_in_the_phase_that_the_workflow_is_in() {
    let world = world();
    world.ok(&["event", "PHASE_STARTED:wf:2:{}"]);
    world.ok(&["restore", "wf", "base", "--yes"]);
    let phase = |kind: &str| world.ok(&["events", "wf", "--type", kind]).result("events")[0]["phase"].clone();
    assert_eq!(phase("RECOVERY_INITIATED"), 2);
    world.ok(&["event", "PHASE_STARTED:wf:2:{}"]);
    world.tree.write("a.txt", b"edited");
    world.refused(&["restore", "wf", "base", "--functional-check", "false", "--yes"], 1, "FUNCTIONAL_CHECK_FAILED");
    let failed = world.ok(&["events", "wf", "--type", "RECOVERY_FAILED"]);
    let failed = &failed.result("events")[0];
    assert_eq!((&failed["data"]["success"], &failed["data"]["status"]), (&json!(false), &json!("check_failed")));
}

#[test]
fn whoever_is_not_to_be_told_hears_nothing() {
    let world = world();
    let only = |world: &World| words(&requests(world)).split_off(0);
    world.ok(&["restore", "wf", "base", r#"{"notify_coordination_hub": false, "yes": true}"#]);
    assert_eq!(only(&world), ["hold-resources", "release"]);
    world.ok(&["undo", "--yes", "--notify-coordination-hub=false"]);
    assert_eq!(only(&world).len(), 4);
    world.ok(&["emergency-restore", "wf", r#"{"notify_stakeholders": false, "yes": true}"#]);
    assert_eq!(only(&world).len(), 6);
    // Nor anybody of a plan, or of a tree beside.
    world.tree.write("a.txt", b"edited");
    world.ok(&["restore", "wf", "base", "--plan"]);
    world.written_out("base");
    assert_eq!(only(&world).len(), 6);
    // A refusal has begun nothing.
    world.refused(&["restore", "wf", "base"], 8, "CONSENT_NEEDED");
    assert_eq!(only(&world).len(), 6);
    world.ok(&["emergency-restore", "wf", "--yes"]);
    assert_eq!(only(&world)[6..], ["update initiated", "hold-resources", "update completed", "release"]);
}

#[test]
fn what_cannot_be_announced_is_a_finding_and_no_failure() {
    let world = world();
    let catalog = rusqlite::Connection::open(world.vault().join("catalog.db")).unwrap();
    let trigger = "CREATE TRIGGER none BEFORE INSERT ON messages BEGIN SELECT RAISE(FAIL, 'no message'); END";
    catalog.execute(trigger, []).unwrap();
    let done = world.ok(&["restore", "wf", "base", "--yes"]);
    let findings = done.result("findings").as_array().unwrap();
    assert_eq!(findings.len(), 2, "{findings:#?}");
    assert!(findings.iter().all(|finding| finding["code"] == "ANNOUNCEMENT_LOST"), "{findings:#?}");
    assert_eq!(words(&lines(&world)), ["RECOVERY_INITIATED", "RECOVERY_COMPLETED"]);
    catalog.execute("DROP TRIGGER none", []).unwrap();
}

#[test]
fn a_hold_of_a_lower_band_gives_way_and_a_critical_one_does_not() {
    let world = world();
    let hold = |priority: &str| {
        let arguments =
            ["hold-resources", "wf", "--requester", "hub", "--reason", "maintenance", "--priority", priority];
        world.ok(&arguments).result("hold").clone()
    };
    let before = hold("high");
    let done = world.ok(&["restore", "wf", "base", "--yes"]);
    let preempted = done.result("preempted");
    assert_eq!((&preempted["token"], &preempted["holder"]), (&before["token"], &json!("hub")));
    let initiated = &lines(&world)[0];
    assert_eq!(initiated["data"]["preempted"]["token"], before["token"], "{initiated:#}");
    let catalog = rusqlite::Connection::open(world.vault().join("catalog.db")).unwrap();
    let sql = "SELECT result FROM operations WHERE operation = 'hold preempted'";
    let audited: String = catalog.query_row(sql, [], |row| row.get(0)).unwrap();
    assert!(audited.contains("maintenance"), "{audited}");
    // It stands again afterwards, as it was.
    let again = world.ok(&["holds", "wf"]).result("holds").clone();
    assert_eq!((again.as_array().unwrap().len(), &again[0]), (1, &before));
    // One in the critical band stands, and nothing has happened.
    let critical = hold("critical");
    world.tree.write("a.txt", b"edited again");
    let names = world.names();
    let refused = world.refused(&["restore", "wf", "base", "--yes"], 6, "HELD");
    let message = refused.json["error"]["message"].as_str().unwrap();
    assert!(message.contains("hub") && message.contains("since 20"), "{message}");
    assert_eq!((refused.result("holder"), refused.result("since")), (&json!("hub"), &critical["since"]));
    assert_eq!((world.names(), world.tree.read("a.txt")), (names, b"edited again".to_vec()));
    // Nor does one that is as high as an emergency of no great urgency.
    world.ok(&["release", "wf"]);
    hold("medium");
    let emergency = |priority: &str| ["emergency-restore", "wf", "--yes", "--priority", priority].join(" ");
    let call = |line: String| world.call(&line.split(' ').collect::<Vec<_>>());
    assert_eq!(call(emergency("medium")).error(), "HELD");
    assert_eq!(call(emergency("high")).result("preempted")["holder"], "hub");
}

#[test]
fn who_holds_may_recover() {
    let mut world = world();
    world.variables.push(("WFR_ACTOR", "hub".into()));
    let held = world.ok(&["hold-resources", "wf", "--reason", "recovery_operation", "--requester", "hub"]);
    world.ok(&["restore", "wf", "base", "--yes"]);
    assert_eq!(world.ok(&["holds"]).result("holds")[0]["token"], held.result("hold")["token"]);
}

#[test]
fn one_that_waits_goes_on_when_its_turn_comes() {
    let world = world();
    let hold = |duration: &str| {
        let arguments = ["hold-resources", "wf", "--requester", "hub", "--priority", "95", "--duration", duration];
        world.ok(&arguments).result("hold").clone()
    };
    let held = hold("1s");
    world.ok(&["restore", "wf", "base", "--yes", "--wait", "60s"]);
    let began = world.ok(&["recoveries"]).result("recoveries")[0]["started_at"].as_str().unwrap().to_owned();
    assert!(began.as_str() >= held["until"].as_str().unwrap(), "{began} {held}");
    // As long as it stands it is waited for, and no longer.
    hold("1h");
    let refused = world.refused(&["undo", "--yes", "--wait", "150ms"], 6, "HELD");
    assert!(refused.json["error"]["details"].as_str().unwrap().contains("150ms"), "{refused:?}");
    let mut waiting = world.command(&["undo", "--yes", "--wait", "1h"]);
    let mut waiting = waiting.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    world.ok(&["release", "wf"]);
    assert!(waiting.wait().unwrap().success());
    assert_eq!(world.tree.read("a.txt"), b"edited");
}

#[test]
fn a_second_recovery_is_told_who_runs_the_first_or_waits_for_it() {
    let world = world();
    let dir = tempfile::tempdir().unwrap();
    let gate = dir.path().join("gate");
    assert!(std::process::Command::new("mkfifo").arg(&gate).status().unwrap().success());
    let check = format!("cat {}", gate.display());
    let spawn =
        |arguments: &[&str]| world.command(arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let mut first = spawn(&["restore", "wf", "base", "--yes", "--functional-check", &check]);
    // It can be opened when the check, and so the recovery, is at work.
    let opened = std::fs::File::options().write(true).open(&gate).unwrap();
    let refused = world.refused(&["restore", "wf", "base", "--yes"], 6, "HELD");
    let message = refused.json["error"]["message"].as_str().unwrap();
    assert!(message.contains("restore of wf to base") && message.contains("since 20"), "{message}");
    // It finds nothing to do, but what it is to check makes it a recovery.
    let mut second = spawn(&["restore", "wf", "base", "--yes", "--wait", "1h", "--functional-check", "true"]);
    drop(opened);
    assert!(first.wait().unwrap().success() && second.wait().unwrap().success());
    assert_eq!(world.ok(&["recoveries"]).result("recoveries").as_array().unwrap().len(), 2);
}

#[test]
fn the_end_of_one_that_was_killed_is_announced_by_whoever_resumes_it() {
    let world = world();
    let mut prng = Prng::new(3);
    for number in 0..300 {
        world.tree.write(format!("many/{number}"), &prng.bytes(3_000));
    }
    world.checkpoint("many");
    let resumed = (0..20).any(|_| {
        for number in 0..300 {
            world.tree.write(format!("many/{number}"), b"edited");
        }
        let mut restore = world.command(&["restore", "wf", "many", "--yes"]);
        let mut restore = restore.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        while restore.try_wait().unwrap().is_none()
            && !(0..300).any(|n| world.tree.read(format!("many/{n}")) != b"edited")
        {
            std::thread::yield_now();
        }
        restore.kill().unwrap();
        restore.wait().unwrap();
        let held = world.ok(&["holds", "wf"]).result("holds").as_array().unwrap().len();
        let ended = world.ok(&["resume"]);
        let is_resumed = !ended.result("resumed").as_array().unwrap().is_empty();
        assert!(!is_resumed || held == 1, "a recovery that was killed has held");
        is_resumed
    });
    assert!(resumed, "it was never caught in the middle");
    let requests = requests(&world);
    let last = &requests[requests.len() - 4..];
    assert_eq!(words(last), ["update initiated", "hold-resources", "update completed", "release"]);
    assert!(last.iter().all(|request| request["correlation_id"] == last[0]["correlation_id"]), "{last:#?}");
    assert_eq!(last[2]["parameters"]["recovery_data"]["resumed"], true);
    assert_eq!(
        world.ok(&["holds"]).result("holds").as_array().unwrap().iter().filter(|h| h["key"] != "workspace").count(),
        0
    );
}
