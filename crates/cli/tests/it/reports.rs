//! What checks and repairs of states and checkpoints leave behind, where, and what each of their switches takes away.

use std::path::Path;

use serde_json::{Value, json};

use crate::states::{at_work, codes};
use crate::world::{Ended, World};

/// A workflow whose agent has a task in hand that has ended (which is mended without a risk), and which has ended at work
/// (which is not).
fn contradicting() -> World {
    let world = World::new();
    world.tree.write(
        "state.json",
        json!({"id": "wf",
        "phases": [{"phase_id": 1, "status": "in_progress",
            "tasks": [{"task_id": "t1", "status": "completed", "assigned_agent": "a1"}]}],
        "agents": {"a1": {"current_task": "t1", "status": "in_progress"}},
        "replace": {"head": {"workflow_id": "wf", "status": "completed", "current_phase": 1}}})
        .to_string()
        .as_bytes(),
    );
    world.ok(&["import", "state.json", "--from", "hub"]);
    world
}

/// The document at the path that an answer names; it must be right below that directory of the view.
#[track_caller]
fn document(world: &World, named: &Value, directory: &str) -> Value {
    let path = Path::new(named.as_str().unwrap());
    assert_eq!(path.parent().unwrap(), world.root().join(".claude/recovery/state_validation").join(directory));
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn entries(world: &World, directory: &str) -> usize {
    std::fs::read_dir(world.root().join(".claude/recovery/state_validation").join(directory)).unwrap().count()
}

#[test]
fn each_check_and_each_repair_writes_its_report_to_its_place() {
    let world = World::new();
    at_work(&world);
    world.checkpoint("base");
    let before = ["integrity_checks", "consistency_reports", "repair_logs"].map(|place| entries(&world, place));
    let checked = world.ok(&["validate-checkpoint", "base"]);
    let report = document(&world, checked.result("report"), "integrity_checks");
    for key in ["checkpoint_id", "verification_status", "integrity_check", "objects"] {
        assert_eq!(&report[key], checked.result(key), "{key}");
    }
    let valid = world.ok(&["validate-state", "wf"]);
    let report = document(&world, valid.result("report"), "consistency_reports");
    assert!(report["validated_at"].is_string(), "{report}");
    for key in ["workflow_id", "valid", "checks", "findings"] {
        assert_eq!(&report["validation"][key], valid.result(key), "{key}");
    }
    let world_before = world.ok(&["repair-state", "wf"]);
    assert_eq!(world_before.result("log"), &Value::Null, "nothing was mended, so there is nothing to log");
    let after = ["integrity_checks", "consistency_reports", "repair_logs"].map(|place| entries(&world, place));
    assert_eq!([after[0] - before[0], after[1] - before[1], after[2] - before[2]], [1, 1, 0]);
}

#[test]
fn a_log_of_a_repair_has_what_was_done_and_what_stood_there() {
    let world = contradicting();
    let mended = world.ok(&["repair-state", "wf", "--repair-strategy", "aggressive", "--yes"]);
    let log = document(&world, mended.result("log"), "repair_logs");
    assert_eq!(codes(&log["repair"]["plan"]["repairs"]), codes(&mended.result("plan")["repairs"]));
    assert_eq!(log["repair"]["backup"], *mended.result("backup"));
    assert_eq!(log["before"]["state"]["head"]["status"], "completed", "{log:#}");
    assert!(log["repaired_at"].is_string() && log["actor"].is_string(), "{log}");
}

/// Mends without a risk, with one switch off.
fn mended_without(world: &World, switch: &str) -> Ended {
    world.call(&["repair-state", "wf", &json!({switch: false, "yes": true}).to_string()])
}

#[test]
fn without_a_backup_there_is_none_and_the_log_keeps_what_stood_there() {
    let backup_of = |ended: &Ended| ended.result("backup").clone();
    let world = contradicting();
    let usual = world.refused(&["repair-state", "wf", "--yes"], 4, "STATE_INVALID");
    assert!(backup_of(&usual).is_string() && world.names().len() == 1, "{usual:?}");
    let world = contradicting();
    let mended = mended_without(&world, "backup_before_repair");
    assert_eq!((mended.result("applied"), backup_of(&mended)), (&json!(true), Value::Null), "{mended:?}");
    assert_eq!(world.names(), Vec::<String>::new());
    let log = document(&world, mended.result("log"), "repair_logs");
    assert_eq!(log["before"]["state"]["agents"]["a1"]["current_task"], "t1", "{log:#}");
}

#[test]
fn without_validation_nothing_is_said_of_what_is_left() {
    let world = contradicting();
    let mended = mended_without(&world, "validate_after_repair");
    assert_eq!((mended.code, mended.result("applied")), (0, &json!(true)), "{mended:?}");
    assert_eq!((mended.result("validation"), mended.result("remaining")), (&json!("skipped"), &json!([])));
    // With it, one is told.
    let looked = world.refused(&["repair-state", "wf", "--yes"], 4, "STATE_INVALID");
    assert_eq!(looked.result("validation"), "failed");
    assert_eq!(codes(looked.result("remaining")), ["WORKFLOW_ENDED_AT_WORK status"]);
}

#[test]
fn without_a_list_the_repairs_are_made_all_the_same() {
    let plan = |world: &World, more: &Value| world.ok(&["repair-state", "wf", "--plan", &more.to_string()]);
    let world = contradicting();
    let (long, short) = (plan(&world, &json!({})), plan(&world, &json!({"report_repairs": false})));
    assert_eq!(codes(&long.result("plan")["repairs"]), ["AGENT_TASK_ENDED agents/a1/current_task"]);
    assert_eq!(short.result("plan")["repairs"], json!([]));
    for key in ["digest", "changes"] {
        assert_eq!(short.result("plan")[key], long.result("plan")[key], "{key}");
    }
    let mended = mended_without(&world, "report_repairs");
    assert_eq!((mended.result("applied"), &mended.result("plan")["repairs"]), (&json!(true), &json!([])));
    let state = world.ok(&["export", "wf"]);
    assert_eq!(state.result("document")["agent_assignments"]["a1"]["current_task"], Value::Null);
    let log = document(&world, mended.result("log"), "repair_logs");
    assert_eq!(codes(&log["repair"]["plan"]["repairs"]), ["AGENT_TASK_ENDED agents/a1/current_task"], "it has them");
}

#[test]
fn a_validation_that_takes_longer_than_it_may_says_so() {
    let world = World::new();
    at_work(&world);
    let limit = "recovery_configuration.validation_settings.timeout_limits.validation_timeout";
    let look = || world.ok(&["validate-state", "wf", r#"{"performance_check": true}"#]);
    let usual = look();
    assert_eq!(
        (&usual.result("checks")["performance_check"], &usual.result("performance")["limit_ms"]),
        (&json!("passed"), &json!(300_000))
    );
    world.ok(&["config", limit, "0s"]);
    let slow = look();
    assert_eq!(slow.result("checks")["performance_check"], "failed", "{slow:?}");
    assert_eq!(
        (&slow.result("performance")["limit_ms"], slow.result("valid")),
        (&json!(0), &json!(true)),
        "the state is none the worse"
    );
    let shown = world.command(&["validate-state", "wf", "--performance-check"]).output().unwrap();
    assert!(String::from_utf8_lossy(&shown.stdout).contains("of 0 ms"), "{shown:?}");
    world.ok(&["config", limit, "permanent"]);
    assert_eq!(look().result("checks")["performance_check"], "passed", "without a limit nothing takes too long");
}
