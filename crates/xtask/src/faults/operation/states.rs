//! The operations on workflows' states under fault.
//!
//! Owns what stands before them and what may stand after: all of it or nothing. Refuses to know which fault it was.

use serde_json::{Value, json};

use super::Operation;
use crate::faults::world::{World, said};

/// The call that publishes.
pub(super) const PUBLISH: &[&str] = &["import", "coordination", "--from", "hub", "--threads", "1", "--json"];

/// The call that mends.
pub(super) const REPAIR: &[&str] =
    &["repair-state", "wf", "--repair-strategy", "aggressive", "--yes", "--threads", "1", "--json"];

/// How the checkpoint is called that a repair takes first, of a state alone.
pub(super) const BACKUP: &str = "before_repair";

/// The workflow that is published.
const PUBLISHED: &str = "published";

/// Its tasks.
const TASKS: usize = 40;

/// A hub's directory with a log and a state.
pub(super) fn to_publish(world: &World) -> Result<(), String> {
    let line = |n: usize| format!("TASK_ASSIGNED:{PUBLISHED}:1:{{\"task_id\":\"t{n}\",\"agent_id\":\"a{}\"}}\n", n % 3);
    let log: String = (0..TASKS).map(line).collect();
    write(world, "coordination/events/log.jsonl", &log)?;
    let state = json!({"id": PUBLISHED, "name": "Published", "tasks": {"t0": {"status": "completed"}}});
    write(world, "coordination/workflows/active/published.json", &state.to_string())
}

/// The task in which an agent works.
pub(super) fn task_of(agent: &str) -> String {
    format!("task_of_{agent}")
}

/// A workflow in which two agents have done their tasks.
pub(super) fn to_roll_back(world: &World) -> Result<(), String> {
    let task = |agent: &str| json!({"task_id": task_of(agent), "status": "completed", "assigned_agent": agent});
    let state = json!({"phases": [{"phase_id": 1, "tasks": [task("a"), task("b")]}]});
    world.wfr_ok(&["initialize", "wf", &state.to_string(), "--json"]).map(drop)
}

/// How the tasks of a rollback stand: with its files, or not at all.
fn rolled_back(world: &World, stands: &str) -> Result<(), String> {
    let outcome = world.wfr_ok(&["export", "wf", "--json"])?;
    let tasks = outcome.result("document")["phases"][0]["tasks"].as_array().cloned().unwrap_or_default();
    let status = |agent: &str| {
        let found = tasks.iter().find(|task| task["task_id"] == task_of(agent).as_str());
        found.map_or(Value::Null, |task| task["status"].clone())
    };
    let of_a = if stands == "new" { "pending" } else { "completed" };
    match (status("a"), status("b")) {
        (a, b) if a == of_a && b == "completed" => Ok(()),
        other => Err(format!("the files are {stands}, and the tasks of a and b are {other:?}")),
    }
}

/// Whether the operation sets files and a workflow's state together.
pub(super) fn goes_with_files(operation: Operation) -> bool {
    matches!(operation, Operation::Restore | Operation::Undo | Operation::Merge | Operation::Emergency)
}

/// A workflow of which every task is being worked on, each by its own agent.
pub(super) fn to_go_back(world: &World) -> Result<(), String> {
    tell(world, "before.jsonl", |n| json!({"event_type": "TASK_STARTED", "data": at_work(n)}))
}

/// What it does after the checkpoint: half of the tasks are done, the others go to other agents. Nothing fails, since that takes
/// a checkpoint.
pub(super) fn go_on(world: &World) -> Result<(), String> {
    tell(world, "after.jsonl", |n| match n % 2 {
        0 => json!({"event_type": "TASK_COMPLETED", "data": at_work(n)}),
        _ => json!({"event_type": "TASK_REASSIGNED", "data": {
            "task_id": format!("t{n}"), "old_agent": format!("a{n}"), "new_agent": format!("b{n}"), "reason": "slow"}}),
    })
}

fn at_work(n: usize) -> Value {
    json!({"task_id": format!("t{n}"), "agent_id": format!("a{n}")})
}

/// Tells of an event about each of the tasks.
fn tell(world: &World, file: &str, event: impl Fn(usize) -> Value) -> Result<(), String> {
    let line = |n: usize| {
        let mut event = event(n);
        event["workflow_id"] = json!("wf");
        event["phase"] = json!(1);
        event.to_string() + "\n"
    };
    // Beside the workspace: the file is no part of what goes back.
    let path = world.live().join(file);
    std::fs::write(&path, (0..TASKS).map(line).collect::<String>()).map_err(said(file))?;
    world.wfr_ok(&["event", "--file", &path.to_string_lossy(), "--json"]).map(drop)
}

/// Files and state are both old or both new. A merge of files leaves the state as it is.
fn went_together(operation: Operation, world: &World, stands: &str) -> Result<(), String> {
    let is_back = match operation {
        Operation::Restore | Operation::Emergency => stands == "new",
        Operation::Undo => stands == "old",
        _ => false,
    };
    let outcome = world.wfr_ok(&["export", "wf", "--json"])?;
    let document = outcome.result("document");
    let tasks = document["phases"][0]["tasks"].as_array().map(Vec::as_slice).unwrap_or_default();
    let wrong = (0..TASKS).filter(|n| {
        let (id, first, second) = (format!("t{n}"), format!("a{n}"), format!("b{n}"));
        let task = tasks.iter().find(|task| task["task_id"] == id.as_str()).unwrap_or(&Value::Null);
        let (status, agent) = match (is_back, n % 2) {
            (true, _) => ("active", &first),
            (false, 0) => ("completed", &first),
            _ => ("active", &second),
        };
        let is_in_hand_of = |agent: &String| document["agent_assignments"][agent]["current_task"] == id.as_str();
        (&task["status"], &task["assigned_agent"]) != (&json!(status), &json!(agent))
            || is_in_hand_of(&first) != is_back
    });
    match wrong.count() {
        0 => valid(world, "wf"),
        count => Err(format!("the files are {stands}, and {count} of {TASKS} tasks are not")),
    }
}

/// A workflow that contradicts itself.
pub(super) fn to_repair(world: &World) -> Result<(), String> {
    let tasks = (0..TASKS).map(|n| json!({"task_id": format!("t{n}"), "status": "completed"}));
    let state = json!({"id": "wf", "status": "completed",
        "phases": [{"phase_id": 1, "status": "in_progress", "tasks": tasks.collect::<Vec<_>>()}],
        "agents": {"a1": {"current_task": "t1", "status": "in_progress"}}});
    write(world, "state.json", &state.to_string())?;
    world.wfr_ok(&["import", "state.json", "--from", "hub", "--json"])?;
    // What an update would not take: whole parts are taken as they are.
    let part = |n: usize| {
        let part = json!({"task_id": format!("t{n}"), "phase_id": "1", "status": "completed", "progress": 300 + n});
        (format!("t{n}"), part)
    };
    let parts: serde_json::Map<String, Value> = (0..TASKS).map(part).collect();
    world.wfr_ok(&["update-state", "wf", &json!({"replace": {"tasks": parts}}).to_string(), "--json"]).map(drop)
}

/// Writes a file of the workspace.
pub(super) fn write(world: &World, name: &str, text: &str) -> Result<(), String> {
    let path = world.ws().join(name);
    let dir = path.parent().unwrap_or(&path);
    std::fs::create_dir_all(dir).and_then(|()| std::fs::write(&path, text)).map_err(said(name))
}

/// What must hold where the operation said that all went well.
pub(super) fn acknowledged(operation: Operation, world: &World) -> Result<(), String> {
    match operation {
        Operation::Publish if !published(world)? => Err("acknowledged, and the workflow is not there".to_owned()),
        Operation::Repair if !mended(world)? => Err("acknowledged, and the state is as it was".to_owned()),
        _ => Ok(()),
    }
}

/// What must hold after a fault: all or nothing, and called again it is done, once. `stands` says of files whether they are
/// old or new.
pub(super) fn settled(operation: Operation, world: &World, stands: &str) -> Result<(), String> {
    match operation {
        Operation::Publish => {
            published(world)?;
            world.wfr_ok(PUBLISH)?;
            if !published(world)? {
                return Err("published again, and the workflow is not there".to_owned());
            }
            valid(world, PUBLISHED)
        }
        Operation::Repair => {
            mended(world)?;
            world.wfr_ok(REPAIR)?;
            if !mended(world)? {
                return Err("mended again, and the state is as it was".to_owned());
            }
            valid(world, "wf")
        }
        Operation::Rollback => rolled_back(world, stands),
        _ if goes_with_files(operation) => went_together(operation, world, stands),
        _ => Ok(()),
    }
}

fn valid(world: &World, workflow: &str) -> Result<(), String> {
    world.wfr_ok(&["validate-state", workflow, "--validation-depth", "comprehensive", "--json"]).map(drop)
}

/// Whether the workflow is there; an error where half of it is.
fn published(world: &World) -> Result<bool, String> {
    let outcome = world.wfr(&["export", PUBLISHED, "--json"]);
    if !outcome.is_ok() {
        let code = outcome.json["error"]["code"].as_str().unwrap_or_default();
        let is_absent = ["WORKFLOW_NOT_FOUND", "STATE_NOT_FOUND"].contains(&code);
        return if is_absent { Ok(false) } else { Err(format!("the workflow cannot be read: {}", outcome.json)) };
    }
    let document = &outcome.result("document");
    let version = document["state_version"].as_u64();
    let tasks = document["phases"][0]["tasks"].as_array().map_or(0, Vec::len);
    let is_whole = (version, tasks, &document["name"]) == (Some(TASKS as u64 + 1), TASKS, &json!("Published"));
    if is_whole { Ok(true) } else { Err(format!("{tasks} tasks are there, in version {version:?}")) }
}

/// Whether the state is mended; an error where it is so by half.
fn mended(world: &World) -> Result<bool, String> {
    let outcome = world.wfr_ok(&["export", "wf", "--json"])?;
    let document = outcome.result("document");
    let tasks = document["phases"][0]["tasks"].as_array().map(Vec::as_slice).unwrap_or_default();
    let odd = tasks.iter().filter(|task| task.get("progress").is_some_and(|progress| *progress != Value::Null)).count();
    let agent = &document["agent_assignments"]["a1"]["current_task"];
    match (odd, document["status"].as_str(), agent.is_null(), tasks.len()) {
        (0, Some("running"), true, TASKS) => Ok(true),
        (TASKS, Some("completed"), false, TASKS) => Ok(false),
        other => Err(format!("the state is mended by half: {other:?}")),
    }
}
