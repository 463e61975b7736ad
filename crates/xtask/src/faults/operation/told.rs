//! The operations that record and deliver under fault: events, a failure, the outbox.
//!
//! Owns what stands before them and what may stand after: called again, all of it is there, in its order, with its checkpoint.
//! Refuses to know which fault it was.

use serde_json::{Value, json};

use super::Operation;
use super::states::write;
use crate::faults::world::{Outcome, World};

/// The call that records the events of a file, of which the last one ends a phase.
pub(super) const TELL: &[&str] = &["event", "--file", "events.jsonl", "--threads", "1", "--json"];

/// The call that records a failure.
pub(super) const FAIL: &[&str] = &[
    "handle-error",
    "wf",
    r#"{"error_id":"e1","severity":"critical","scope":"task","task":"t1","error_message":"broke"}"#,
    "--threads",
    "1",
    "--json",
];

/// The call that delivers.
pub(super) const FLUSH: &[&str] = &["outbox", "flush", "--threads", "1", "--json"];

/// How the checkpoints are called that the first two take, of a tree that they leave alone.
pub(super) const TAKEN: [&str; 2] = ["phase_1_complete", "pre_failure_state"];

/// How many events the file has.
const EVENTS: usize = 24;

/// Where the sink's file is, below the workspace.
const DELIVERED: &str = ".claude/recovery/delivered.jsonl";

fn id(n: usize) -> String {
    format!("evt_tell_{n:02}")
}

/// The file of events.
pub(super) fn to_tell(world: &World) -> Result<(), String> {
    let line = |n: usize| {
        let (kind, data) = match n + 1 {
            EVENTS => ("PHASE_COMPLETED", json!({"name": "Build"})),
            _ => ("TASK_STARTED", json!({"task_id": format!("t{n}"), "agent_id": format!("a{}", n % 3)})),
        };
        json!({"event_id": id(n), "event_type": kind, "workflow_id": "wf", "phase": 1, "data": data}).to_string() + "\n"
    };
    write(world, "events.jsonl", &(0..EVENTS).map(line).collect::<String>())
}

/// A task at work.
pub(super) fn to_fail(world: &World) -> Result<(), String> {
    world.wfr_ok(&["event", r#"TASK_STARTED:wf:1:{"task_id":"t1","agent_id":"a1"}"#, "--json"]).map(drop)
}

/// Events, and then a sink that has had none of them.
pub(super) fn to_flush(world: &World) -> Result<(), String> {
    to_tell(world)?;
    world.wfr_ok(TELL)?;
    let sinks = r#"[{"name":"log","kind":"file","path":"delivered.jsonl","from":"start"}]"#;
    world.wfr_ok(&["config", "coordination.sinks", sinks, "--json"]).map(drop)
}

/// What must hold where the operation said that all went well.
pub(super) fn acknowledged(operation: Operation, world: &World, outcome: &Outcome) -> Result<(), String> {
    // A checkpoint that could not be taken is told of.
    let is_told = outcome.result("checkpoints").as_array().into_iter().flatten().any(|one| !one["not_taken"].is_null());
    match operation {
        Operation::Tell => all_told(world)?,
        Operation::Fail => all_failed(world)?,
        Operation::Flush => return delivered(world),
        _ => return Ok(()),
    }
    if is_told { Ok(()) } else { taken_once(operation, world) }
}

/// What must hold after a fault: what is there is there in its order, and called again all of it is, once.
pub(super) fn settled(operation: Operation, world: &World) -> Result<(), String> {
    match operation {
        Operation::Tell => {
            let told = told(world)?;
            if told != (0..told.len()).map(id).collect::<Vec<_>>() {
                return Err(format!("some of the events are there, and others before them are not: {told:?}"));
            }
            world.wfr_ok(TELL)?;
            all_told(world)?;
            taken_once(operation, world)
        }
        Operation::Fail => {
            let (failures, effects) = failed(world)?;
            if failures != effects {
                return Err(format!("{failures} failures are recorded, and {effects} tasks failed by them"));
            }
            world.wfr_ok(FAIL)?;
            all_failed(world)?;
            taken_once(operation, world)
        }
        Operation::Flush => {
            world.wfr_ok(FLUSH)?;
            delivered(world)
        }
        _ => Ok(()),
    }
}

fn events(world: &World) -> Result<Vec<Value>, String> {
    let outcome = world.wfr_ok(&["events", "--limit", "1000", "--json"])?;
    let list = outcome.result("events").as_array().cloned();
    list.ok_or_else(|| "no list of events".to_owned())
}

fn text<'e>(event: &'e Value, key: &str) -> &'e str {
    event[key].as_str().unwrap_or_default()
}

/// The ids of those of the file, in their order.
fn told(world: &World) -> Result<Vec<String>, String> {
    let all = events(world)?;
    let ids = all.iter().map(|event| text(event, "event_id"));
    Ok(ids.filter(|id| id.starts_with("evt_tell_")).map(str::to_owned).collect())
}

fn all_told(world: &World) -> Result<(), String> {
    let told = told(world)?;
    if told == (0..EVENTS).map(id).collect::<Vec<_>>() { Ok(()) } else { Err(format!("not all is told: {told:?}")) }
}

/// How many failures are recorded, and how many tasks failed.
fn failed(world: &World) -> Result<(usize, usize), String> {
    let all = events(world)?;
    let count = |kind: &str| all.iter().filter(|event| text(event, "event_type") == kind).count();
    Ok((count("ERROR_ENCOUNTERED"), count("TASK_FAILED")))
}

fn all_failed(world: &World) -> Result<(), String> {
    match failed(world)? {
        (1, 1) => Ok(()),
        other => Err(format!("a failure and its task are to be recorded once: {other:?}")),
    }
}

/// The checkpoint that goes with it is there, once.
fn taken_once(operation: Operation, world: &World) -> Result<(), String> {
    let name = if operation == Operation::Tell { TAKEN[0] } else { TAKEN[1] };
    let names = world.checkpoints()?;
    match names.iter().filter(|one| one.starts_with(name)).count() {
        1 => Ok(()),
        count => Err(format!("{count} checkpoints `{name}`: {names:?}")),
    }
}

/// The sink has whole lines, and the events in their order; one may be there again.
fn delivered(world: &World) -> Result<(), String> {
    let text_of_sink = std::fs::read_to_string(world.ws().join(DELIVERED)).map_err(|error| error.to_string())?;
    let mut ids: Vec<String> = Vec::new();
    for line in text_of_sink.lines() {
        let item: Value = serde_json::from_str(line).map_err(|error| format!("a torn line, {error}: {line}"))?;
        let id = text(&item, "event_id").to_owned();
        if !ids.contains(&id) {
            ids.push(id);
        }
    }
    let wanted: Vec<String> = events(world)?.iter().map(|event| text(event, "event_id").to_owned()).collect();
    if ids == wanted { Ok(()) } else { Err(format!("delivered {ids:?}, and not {wanted:?}")) }
}
