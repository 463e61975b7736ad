//! The undo of what a recovery did to a workflow's state: a field that was set since stays and is named, all else comes back.

use serde_json::{Value, json};

use crate::states::export;
use crate::world::{Ended, World};

/// A workflow with a checkpoint of when nothing had been done, and a state that says much.
fn worked() -> World {
    let world = World::new();
    world.ok(&["event", "WORKFLOW_STARTED:wf:global:{}"]);
    world.ok(&["create-checkpoint", "wf", "--name", "base"]);
    let done = json!({
        "phases": [{"phase_id": 1, "name": "Design", "status": "completed", "tasks": [
            {"task_id": "t1", "description": "Write spec", "status": "completed", "assigned_agent": "ann", "execution_time": 33}]}],
        "agents": {"ann": {"role": "architect", "performance_score": 97}}});
    world.ok(&["update-state", "wf", &done.to_string()]);
    world.tree.write("a", b"b");
    world
}

fn part<'v>(list: &'v Value, key: &str, id: &str) -> &'v Value {
    match list {
        Value::Object(parts) => &parts[id],
        _ => list.as_array().unwrap().iter().find(|part| part[key] == id).unwrap(),
    }
}

/// Where a plan, or what an undo did, leaves the state as it is.
fn places(ended: &Ended) -> Vec<String> {
    let result = &ended.json["result"];
    let kept = result.get("state_kept").unwrap_or(&result["plan"]["state_kept"]);
    let kept = kept.as_array().cloned().unwrap_or_default();
    kept.iter().map(|kept| kept["place"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn one_event_since_keeps_what_it_said_and_nothing_else() {
    let world = worked();
    world.ok(&["restore", "wf", "base", "--yes"]);
    world.ok(&["event", r#"TASK_STARTED:wf:1:{"task_id":"t1","agent_id":"ann"}"#]);
    let planned = world.ok(&["undo", "--plan"]);
    let places_planned = places(&planned);
    for place in ["tasks/t1/status", "phases/1/status", "agents/ann/status"] {
        assert!(places_planned.iter().any(|one| one == place), "{place}: {planned:?}");
    }
    let done = world.ok(&["undo", "--yes"]);
    assert_eq!(places(&done), places_planned);
    assert!(done.result("state_changes")["tasks"] == 1, "{done:?}");
    let doc = export(&world);
    let phase = &doc["phases"][0];
    let task = part(&phase["tasks"], "task_id", "t1");
    assert_eq!(phase["name"], "Design", "{doc:#}");
    assert_eq!((&task["description"], &task["execution_time"]), (&json!("Write spec"), &json!(33)), "{doc:#}");
    assert_eq!((&task["status"], &task["assigned_agent"]), (&json!("active"), &json!("ann")));
    let ann = part(&doc["agent_assignments"], "agent_id", "ann");
    assert_eq!((&ann["role"], &ann["performance_score"]), (&json!("architect"), &json!(97)), "{doc:#}");
    // A task at work in a phase that had ended: the phase goes on, and that is said.
    assert_eq!(phase["status"], "in_progress", "{doc:#}");
    let resolved = part(done.result("state_kept"), "place", "phases/1/status");
    assert_eq!((&resolved["before"], &resolved["stays"]), (&json!("completed"), &json!("in_progress")));
    assert!(resolved["contradiction"].as_str().unwrap().contains("completed"), "{resolved}");
    world.ok(&["validate-state", "wf"]);
}

#[test]
fn undo_and_undo_of_it_give_what_was_there() {
    let world = worked();
    let full = export(&world);
    world.ok(&["restore", "wf", "base", "--yes"]);
    world.ok(&["event", r#"TASK_STARTED:wf:1:{"task_id":"t1","agent_id":"ann"}"#]);
    let begun = export(&world);
    world.ok(&["undo", "--yes"]);
    let both = export(&world);
    assert!(both != begun && both != full);
    world.ok(&["undo", "--yes"]);
    assert_eq!(export(&world), begun, "the undo is taken back, and what it resolved with it");
    world.ok(&["undo", "--yes"]);
    assert_eq!(export(&world), both);
}

#[test]
fn a_phase_that_a_new_task_names_keeps_its_name_and_standing() {
    let world = worked();
    world.ok(&["event", r#"PHASE_STARTED:wf:2:{"name":"Two"}"#]);
    world.ok(&["event", r#"TASK_STARTED:wf:2:{"task_id":"t2"}"#]);
    world.ok(&["restore", "wf", "base", "--yes"]);
    world.ok(&["event", r#"TASK_STARTED:wf:2:{"task_id":"t9"}"#]);
    let done = world.ok(&["undo", "--yes"]);
    assert_eq!(places(&done), ["tasks/t9"]);
    let doc = export(&world);
    let phase = &doc["phases"][1];
    assert_eq!((&phase["name"], &phase["status"]), (&json!("Two"), &json!("in_progress")), "{doc:#}");
    assert_eq!(phase["tasks"].as_array().unwrap().len(), 2, "{doc:#}");
    world.ok(&["validate-state", "wf"]);
}
