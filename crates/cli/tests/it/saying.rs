//! What a command says of what it was given: forms that are not understood, events that reach nobody, plans that contradict
//! themselves.

use std::os::unix::fs::PermissionsExt;

use serde_json::json;

use crate::states::{at_work, codes};
use crate::world::World;

fn shown(world: &World, arguments: &[&str]) -> String {
    let output = world.command(arguments).output().unwrap();
    String::from_utf8([output.stdout, output.stderr].concat()).unwrap()
}

#[test]
fn a_current_phase_that_is_named_by_its_name_comes_in_once() {
    let world = World::new();
    for (id, current) in [("hx", json!("Test")), ("hy", json!({"name": "Test"})), ("hz", json!(1))] {
        let doc = json!({"id": id, "name": "Done", "status": "running", "current_phase": current,
            "phases": [{"phase_id": 1, "name": "Test", "status": "in_progress", "tasks": []}]});
        world.tree.write("doc.json", doc.to_string().as_bytes());
        let became = ["created", "unchanged", "unchanged"].map(|expected| {
            let read = world.ok(&["import", "doc.json", "--from", "hub"]);
            (read.result("states")[0]["became"] == expected, read)
        });
        assert!(became.iter().all(|(is_so, _)| *is_so), "{id}: {became:?}");
        let out = world.ok(&["export", id]).result("document").clone();
        assert_eq!((&out["current_phase"], out["phases"].as_array().unwrap().len()), (&json!(1), 1), "{out:#}");
    }
}

#[test]
fn a_document_of_which_nothing_is_understood_is_refused_by_a_merge() {
    let world = World::new();
    at_work(&world);
    world.tree.write("bad.json", br#"{"id": "wf", "phases": "x"}"#);
    let call = ["merge-states", "--primary-state", "wf", "--secondary-states", "bad.json", "--yes"];
    let refused = world.refused(&call, 2, "DOCUMENT_INVALID");
    assert!(refused.json["error"].to_string().contains("`phases`: a list or an object"), "{refused:?}");
    world.tree.write("more.json", br#"{"id": "wf", "tasks": {"t9": {"phase_id": 1}}}"#);
    let plan = ["merge-states", "--primary-state", "wf", "--secondary-states", "more.json", "--plan"];
    assert!(shown(&world, &plan).starts_with("Would merge into wf"), "{}", shown(&world, &plan));
    let same = ["merge-states", "--primary-state", "wf", "--secondary-states", "wf"];
    assert!(shown(&world, &same).starts_with("Nothing to merge into wf"), "{}", shown(&world, &same));
}

#[test]
fn what_a_validation_looks_at_is_said_in_its_own_words() {
    let world = World::new();
    let help = shown(&world, &["validate-state", "--help"]);
    assert!(help.contains("All four layers") && !help.contains("Every byte"), "{help}");
    assert!(shown(&world, &["validate-checkpoint", "--help"]).contains("Every byte"));
}

#[test]
fn an_event_of_no_workflow_that_only_one_can_have_is_odd() {
    let world = World::new();
    for line in [r#"TASK_STARTED::1:{"task_id":"lost"}"#, r#"{"event_type":"task_completed"}"#, "PHASE_STARTED::1:{}"] {
        let told = world.ok(&["event", line]);
        let odd = told.result("odd").to_string();
        assert!(odd.contains("EVENT_FIELD_MISSING") && odd.contains("names no workflow"), "{line}: {told:?}");
    }
    let told = world.ok(&["event", "SYSTEM_STARTUP::global:{}"]);
    assert_eq!(told.result("odd_total"), 0, "{told:?}");
    assert_eq!(world.ok(&["events", "--odd"]).result("events").as_array().unwrap().len(), 3);
}

#[test]
fn tasks_are_those_of_a_phase_only_where_that_is_known() {
    let world = World::new();
    world.tree.write("plan.md", b"# Plan\n\n## Phase 1: One\n\n- [ ] a\n\n## Phase 2: Two\n\n- [ ] b\n");
    world.ok(&["import", "plan.md", "--from", "plan"]);
    let all = shown(&world, &["status", "plan"]);
    assert!(all.contains("In all phases") && !all.contains("In this phase"), "{all}");
    world.ok(&["event", "PHASE_STARTED:plan:2:{}"]);
    assert!(shown(&world, &["status", "plan"]).contains("In this phase"));
}

#[test]
fn where_workflows_are_listed_is_said_to_whoever_names_none() {
    let world = World::new();
    for call in [&["update-state", "newwf", "{}"][..], &["status", "newwf"], &["hold-resources", "newwf"]] {
        let refused = world.refused(call, 3, "WORKFLOW_NOT_FOUND");
        let options = refused.json["recovery_options"].to_string();
        assert!(options.contains("wfr workflows") && !options.contains("list-checkpoints"), "{refused:?}");
    }
}

#[test]
fn what_is_missing_for_a_strict_restore_is_told_in_lines() {
    let mut world = World::new();
    let beside = tempfile::tempdir().unwrap();
    let tool = beside.path().join("mill");
    std::fs::write(&tool, "#!/bin/sh\necho mill 1.0\n").unwrap();
    std::fs::set_permissions(&tool, std::fs::Permissions::from_mode(0o755)).unwrap();
    let path = std::env::join_paths([beside.path(), "/usr/bin".as_ref(), "/bin".as_ref()]).unwrap();
    world.variables = vec![("PATH", path.into())];
    world.ok(&["initialize", "wf", "{}"]);
    world.ok(&["update-state", "wf", r#"{"dependencies": {"external": [{"type": "tool", "name": "mill"}]}}"#]);
    world.checkpoint("base");
    std::fs::remove_file(&tool).unwrap();
    world.tree.write("a", b"b");
    let call = ["restore", "wf", "base", "--strict-mode", "--yes"];
    let refused = world.refused(&call, 4, "DEPENDENCY_MISSING");
    assert_eq!(refused.result("findings").as_array().unwrap().len(), 1, "{refused:?}");
    let said = shown(&world, &call);
    assert!(said.contains("DEPENDENCY_") && said.contains("mill") && !said.contains('{'), "{said}");
}

#[test]
fn a_plan_that_contradicts_itself_is_told_when_it_comes_in() {
    let world = World::new();
    world.tree.write("plan.md", b"# Plan\n\n## Phase 1: One [COMPLETED]\n\n- [x] a\n- [ ] b\n");
    let read = world.ok(&["import", "plan.md", "--from", "plan"]);
    let places: Vec<&str> =
        read.result("contradictions").as_array().unwrap().iter().map(|one| one["place"].as_str().unwrap()).collect();
    assert_eq!(places, ["plan/phases/1/status"], "{read:?}");
    assert!(read.json["next_steps"].to_string().contains("repair-state plan"), "{read:?}");
    let found = world.refused(&["validate-state", "plan"], 4, "STATE_INVALID");
    assert_eq!(codes(found.result("findings")), ["PHASE_ENDED_AT_WORK phases/1/status"]);
    // It is said once, not each time.
    let again = world.ok(&["import", "plan.md", "--from", "plan"]);
    assert!(again.result("contradictions").is_null(), "{again:?}");
}
