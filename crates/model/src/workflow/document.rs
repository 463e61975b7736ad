//! A state as a document of a sibling: the coordination hub's file, and the reference's `workflow_state`.
//!
//! Owns both shapes. The hub's can be read back: what it has no words for stands under [`OWN`], so that nothing is lost
//! on the way. Refuses to read any: an update of the state does, see [`super::fold`].

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::fold;
use super::parts::{Agent, Allocation, Head, Phase, Task};
use super::patch::{AGENT, ALLOCATION, HEAD, PHASE, TASK};
use super::{AllocationStatus, Nowhere, State, Whole};
use crate::event::{Event, EventType};
use crate::ids::WorkflowId;
use crate::phase::PhaseId;
use crate::time::Timestamp;

/// The key of a hub's document with what only this product understands.
pub const OWN: &str = "wfr";

/// What a phase is noted to have besides, where its tasks stand in another order than that of their ids: all their ids.
const ORDER: &str = "task_order";

/// Notes the order of tasks that a document's phases list, which tables do not keep.
pub fn note_order(doc: &mut Map<String, Value>) {
    for phase in phases_of(doc) {
        let Some(Value::Array(tasks)) = phase.get("tasks") else { continue };
        let id = |task: &Value| ["task_id", "id"].iter().find_map(|key| task.get(*key).cloned());
        let ids: Vec<Value> = tasks.iter().filter_map(id).collect();
        if !ids.is_sorted_by(|a, b| a.as_str() <= b.as_str()) {
            phase.insert(ORDER.to_owned(), ids.into());
        }
    }
}

fn phases_of(doc: &mut Map<String, Value>) -> impl Iterator<Item = &mut Map<String, Value>> {
    let phases = doc.get_mut("phases").and_then(Value::as_array_mut);
    phases.into_iter().flatten().filter_map(Value::as_object_mut)
}

/// Puts tasks in the order that is noted of their phase; others stand behind, by their ids.
fn in_order(phase: &Phase, tasks: &mut [Value]) {
    let Some(Value::Array(order)) = phase.extra.get(ORDER) else { return };
    let places: BTreeMap<&str, usize> =
        order.iter().enumerate().filter_map(|(place, id)| Some((id.as_str()?, place))).collect();
    let place = |task: &Value| task["task_id"].as_str().and_then(|id| places.get(id).copied()).unwrap_or(usize::MAX);
    tasks.sort_by_key(place);
}

/// Keys of a document that an update gives a meaning of their own, besides the fields of the head.
const MEANT: &[&str] = &[
    "id",
    "extra",
    "phases",
    "tasks",
    "agents",
    "agent_assignments",
    "agent_states",
    "allocations",
    "current_phase",
    "completed_tasks",
    "pending_tasks",
    "failed_tasks",
    "active_tasks",
    "state_version",
    "replace",
    "overall_progress",
    "progress",
    "workflow_id",
    "workflow_status",
    "reason",
    "restored_from",
    "imported_from",
    "imported_state",
    "source",
    OWN,
];

/// The state as the coordination hub keeps it. Reading it back gives the same state.
pub fn to_hub(whole: &Whole) -> Value {
    let (mut doc, computed) = readable(whole);
    let mut own = Map::new();
    if !computed.is_empty() {
        own.insert("computed".to_owned(), Value::Object(computed));
        doc.insert(OWN.to_owned(), Value::Object(own.clone()));
    }
    note_order(&mut doc);
    let (read, mut doc) = read_back(&whole.head.workflow_id, doc);
    // The order of the list says it.
    phases_of(&mut doc).for_each(|phase| drop(phase.shift_remove(ORDER)));
    if let Some(rest) = read.difference(whole) {
        own.extend(rest);
        doc.insert(OWN.to_owned(), Value::Object(own));
    }
    Value::Object(doc)
}

/// The state as a checkpoint of the reference has it: a summary, with every agent that has work.
pub fn to_reference(whole: &Whole) -> Value {
    let head = &whole.head;
    let agents = whole.agents.values().filter(|agent| !agent.deallocated).map(|agent| {
        let line = json!({
            "current_task": agent.current_task,
            "status": agent.status,
            "progress": agent.progress,
        });
        (agent.agent_id.to_string(), line)
    });
    json!({
        "current_phase": head.current_phase,
        "completed_tasks": head.counts.completed,
        "pending_tasks": head.counts.pending,
        "active_tasks": head.counts.active,
        "failed_tasks": head.counts.failed,
        "agent_assignments": agents.collect::<Map<_, _>>(),
        "resource_allocations": resources(whole),
    })
}

/// The sums of resources: those that somebody said, else those of the shares in use, and the agents at work.
fn resources(whole: &Whole) -> Map<String, Value> {
    let mut sums = whole.head.resource_allocations.clone();
    let shares = whole.allocations.values().filter(|share| share.status == AllocationStatus::Active);
    let mut of_shares: Map<String, Value> = Map::new();
    for (name, amount) in shares.flat_map(|share| &share.resources) {
        let Some(amount) = amount.as_f64() else { continue };
        let before = of_shares.get(name).and_then(Value::as_f64).unwrap_or(0.0);
        of_shares.insert(name.clone(), plain(before + amount));
    }
    for (name, amount) in of_shares {
        sums.entry(name).or_insert(amount);
    }
    let at_work = whole.agents.values().filter(|agent| !agent.deallocated && agent.current_task.is_some()).count();
    sums.entry("active_agents").or_insert(at_work.into());
    sums
}

/// A number without a fraction where it has none.
fn plain(amount: f64) -> Value {
    if amount.fract() == 0.0 && amount.abs() < 1e15 { Value::from(amount as i64) } else { Value::from(amount) }
}

/// What an empty state becomes by this document, which comes back.
fn read_back(workflow: &WorkflowId, doc: Map<String, Value>) -> (Whole, Map<String, Value>) {
    let update = Event {
        event_id: "evt_document".parse().expect("it is a valid id"),
        event_type: crate::event::EventName::Known(EventType::WorkflowStateUpdated),
        workflow_id: Some(workflow.clone()),
        phase: None,
        timestamp: Timestamp(0),
        source_component: String::new(),
        data: doc,
        priority: None,
        ttl_seconds: None,
    };
    let mut state = State::new(workflow.clone());
    let Ok(_) = fold::apply(&mut state, &mut Nowhere, &update);
    (Whole::from(state), update.data)
}

/// The hub's fields, and which of them are not said but follow from the rest.
fn readable(whole: &Whole) -> (Map<String, Value>, Map<String, Value>) {
    let head = &whole.head;
    let mut doc = Map::from_iter([("id".to_owned(), Value::from(head.workflow_id.as_str()))]);
    doc.extend(of_head(head));
    let mut computed = Map::new();
    if head.total_phases.is_none() {
        computed.insert("total_phases".to_owned(), whole.phases.len().into());
    }
    if head.progress_percentage.is_none() {
        computed.insert("progress_percentage".to_owned(), plain(whole.progress()));
    }
    doc.extend(computed.clone());
    let mut tasks: BTreeMap<&PhaseId, Vec<Value>> = BTreeMap::new();
    for (phase, task) in whole.tasks.values().filter_map(|task| Some((task.phase_id.as_ref()?, task))) {
        tasks.entry(phase).or_default().push(of_task(task, false));
    }
    let mut with_tasks = |phase: &Phase| {
        let mut tasks = tasks.remove(&phase.phase_id).unwrap_or_default();
        in_order(phase, &mut tasks);
        of_phase(phase, tasks)
    };
    doc.insert("phases".to_owned(), whole.phases.values().map(&mut with_tasks).collect());
    let homeless = |task: &&Task| task.phase_id.as_ref().is_none_or(|phase| !whole.phases.contains_key(phase));
    let homeless: Vec<Value> = whole.tasks.values().filter(homeless).map(|task| of_task(task, true)).collect();
    if !homeless.is_empty() {
        doc.insert("tasks".to_owned(), homeless.into());
    }
    let agents = whole.agents.iter().map(|(id, agent)| (id.to_string(), of_agent(agent)));
    doc.insert("agent_assignments".to_owned(), Value::Object(agents.collect()));
    if !whole.allocations.is_empty() {
        let shares = whole.allocations.iter().map(|(id, share)| (id.to_string(), of_allocation(share)));
        doc.insert("allocations".to_owned(), Value::Object(shares.collect()));
    }
    doc.extend(extra(&head.extra, |key| HEAD.contains(&key) || MEANT.contains(&key)));
    (doc, computed)
}

fn of_head(head: &Head) -> Map<String, Value> {
    let mut fields = fields(head, &["name", "status", "created_at", "updated_at", "current_phase"]);
    for key in ["workflow_id", "counts", "counts_told", "tasks_known", "errors", "recovery"] {
        fields.shift_remove(key);
    }
    for key in ["dependencies", "configuration", "metrics"] {
        fields.entry(key).or_insert_with(|| json!({}));
    }
    if head.tasks_known == 0 && head.counts.total() > 0 {
        fields.insert("completed_tasks".to_owned(), head.counts.completed.into());
        fields.insert("pending_tasks".to_owned(), head.counts.pending.into());
        fields.insert("active_tasks".to_owned(), head.counts.active.into());
        fields.insert("failed_tasks".to_owned(), head.counts.failed.into());
    }
    fields
}

fn of_phase(phase: &Phase, tasks: Vec<Value>) -> Value {
    let mut fields = fields(phase, &["phase_id", "name", "status", "started_at", "completed_at"]);
    fields.shift_remove("counts");
    let is_taken =
        |key: &str| PHASE.contains(&key) || ["phase_id", "id", "phase_number", "tasks", "counts", ORDER].contains(&key);
    fields.extend(extra(&phase.extra, is_taken));
    fields.insert("tasks".to_owned(), tasks.into());
    Value::Object(fields)
}

fn of_task(task: &Task, with_phase: bool) -> Value {
    let mut fields = fields(task, &["task_id", "description", "status", "assigned_agent", "execution_time"]);
    if !with_phase {
        fields.shift_remove("phase_id");
    }
    fields.extend(extra(&task.extra, |key| TASK.contains(&key) || ["task_id", "id"].contains(&key)));
    Value::Object(fields)
}

fn of_agent(agent: &Agent) -> Value {
    let mut fields = fields(agent, &["role", "current_task", "performance_score", "tasks_completed"]);
    fields.shift_remove("agent_id");
    fields.extend(extra(&agent.extra, |key| AGENT.contains(&key) || ["agent_id", "id"].contains(&key)));
    Value::Object(fields)
}

fn of_allocation(share: &Allocation) -> Value {
    let mut fields = fields(share, &["status", "requester", "priority"]);
    fields.shift_remove("allocation_id");
    let is_taken = |key: &str| ALLOCATION.contains(&key) || ["allocation_id", "id", "workflow_id"].contains(&key);
    fields.extend(extra(&share.extra, is_taken));
    Value::Object(fields)
}

/// The fields of a part but `extra`; these first, and `null` where there is none.
fn fields(part: &impl Serialize, first: &[&str]) -> Map<String, Value> {
    let Ok(Value::Object(mut all)) = serde_json::to_value(part) else { return Map::new() };
    all.shift_remove("extra");
    let mut fields = Map::new();
    for key in first {
        fields.insert((*key).to_owned(), all.shift_remove(*key).unwrap_or(Value::Null));
    }
    fields.extend(all);
    fields
}

/// What may stand beside the fields: reading it back must not take it for one of them.
fn extra<'e>(
    extra: &'e Map<String, Value>,
    is_taken: impl Fn(&str) -> bool + 'e,
) -> impl Iterator<Item = (String, Value)> + 'e {
    let own = extra.iter().filter(move |(key, value)| !value.is_null() && !is_taken(key));
    own.map(|(key, value)| (key.clone(), value.clone()))
}
