//! State that is set from outside: by an update, an import, a restore, a merge.
//!
//! Owns which keys are understood, in the reference's and the hub's shape; others are kept as they are. What a value
//! cannot be is noted, and the part that it belongs to stays as it was. Refuses to know events but as carriers.

use std::collections::HashSet;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::document::OWN;
use super::fold::{FIELD_INVALID, Fold, percent};
use super::parts::{Agent, Allocation, Head, Phase, Task};
use super::{PhaseStatus, Source, TaskCounts, TaskStatus};
use crate::event::STATE_VERSION_MAX;
use crate::ids::{AgentId, AllocationId, TaskId};
use crate::phase::PhaseId;
use crate::plain::plain;
use crate::time::Timestamp;

/// Keys of the data that belong to the event, not to the state.
const NOT_STATE: &[&str] = &[
    "workflow_id",
    "workflow_status",
    "reason",
    "restored_from",
    "imported_from",
    "imported_state",
    "source",
    "performance_metrics",
];

pub(super) const HEAD: &[&str] = &[
    "name",
    "status",
    "created_at",
    "started_at",
    "ended_at",
    "updated_at",
    "total_phases",
    "progress_percentage",
    "failure_reason",
    "resource_allocations",
    "dependencies",
    "configuration",
    "metrics",
];
/// Keys of an update, besides those of the head, that mean something to us or to a sibling of the protocol.
const UPDATE: &[&str] = &[
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
    "progress",
    "overall_progress",
    "health_score",
    "runtime",
    "estimated_completion",
    "resources",
    "resource_usage",
    "resource_utilization",
    "cpu_percent",
    "memory_percent",
    "storage_used_gb",
    "recent_events",
    "performance_metrics",
    "metadata",
    "message_type",
    "timestamp",
    "checkpoint_id",
    "validation_required",
    "source",
    OWN,
];

/// Every key that an update of a state may have.
pub fn update_keys() -> impl Iterator<Item = &'static str> {
    HEAD.iter().chain(UPDATE).copied()
}

pub(super) const PHASE: &[&str] =
    &["name", "status", "started_at", "completed_at", "progress", "dependencies", "failure_reason"];
pub(super) const TASK: &[&str] = &[
    "phase_id",
    "description",
    "status",
    "assigned_agent",
    "progress",
    "attempts",
    "retry_count",
    "dependencies",
    "started_at",
    "completed_at",
    "execution_time",
    "failure_reason",
];
pub(super) const AGENT: &[&str] = &[
    "role",
    "status",
    "current_task",
    "progress",
    "performance_score",
    "tasks_completed",
    "tasks_failed",
    "last_seen",
    "deallocated",
    "last_error",
];
pub(super) const ALLOCATION: &[&str] = &["status", "requester", "priority", "resources"];

/// Sets what the data says: fields that are given, `null` for none. `replace` has whole parts, exactly.
pub(super) fn apply<S: Source>(fold: &mut Fold<'_, S>, data: &Map<String, Value>) -> Result<(), S::Error> {
    let mut rest = Map::new();
    const COUNTS: [&str; 4] = ["completed_tasks", "pending_tasks", "failed_tasks", "active_tasks"];
    // Counts first, wherever they stand: tasks that are named beside them are among those that are counted.
    for (key, value) in COUNTS.iter().filter_map(|key| Some((key, data.get(*key)?))) {
        said_counts(fold, key, value);
    }
    for (place, why) in impossible_counts(data) {
        fold.note(FIELD_INVALID, format!("{place}: {why}"));
    }
    // A document of our own: first what only we understand, then what its reader may have changed.
    let own = data.get(OWN).and_then(Value::as_object);
    // It says by itself what is counted besides its tasks.
    fold.takes_told &= own.is_none();
    if let Some(whole) = own.and_then(|own| own.get("replace")) {
        replace(fold, whole)?;
    }
    let computed = own.and_then(|own| own.get("computed"));
    let is_said = |key: &str, value: &Value| computed.is_none_or(|computed| computed.get(key) != Some(value));
    for (key, value) in data.iter().filter(|(key, value)| is_said(key, value)) {
        match key.as_str() {
            "phases" => phases(fold, value)?,
            "tasks" => tasks(fold, value, None)?,
            "agents" | "agent_assignments" | "agent_states" => agents(fold, value)?,
            "allocations" => allocations(fold, value)?,
            // Which one a name means, its phases say, wherever they stand.
            "current_phase" => {}
            key if COUNTS.contains(&key) => {}
            "state_version" => version(fold, value),
            "replace" => replace(fold, value)?,
            "id" | "extra" | OWN => {}
            key if NOT_STATE.contains(&key) => {}
            _ => {
                rest.insert(key.clone(), value.clone());
            }
        }
    }
    if let Some(value) = data.get("current_phase").filter(|value| is_said("current_phase", value)) {
        current_phase(fold, value)?;
    }
    match data.get("extra") {
        Some(Value::Object(extra)) => rest.extend(extra.clone()),
        None | Some(Value::Null) => {}
        Some(_) => fold.note(FIELD_INVALID, "`extra`: an object is expected".to_owned()),
    }
    let progress = ["overall_progress", "progress"].iter().find_map(|key| rest.shift_remove(*key));
    if let Some(progress) = progress {
        rest.entry("progress_percentage").or_insert(progress);
    }
    keep_percent(fold, &mut rest, "progress_percentage", "the workflow");
    match merged(&fold.state.head, rest, HEAD) {
        Ok(head) => {
            let now = &fold.state.head;
            if (head.status, head.ended_at) != (now.status, now.ended_at) {
                fold.end_shares()?;
            }
            fold.state.head = head;
        }
        Err(why) => fold.note(FIELD_INVALID, format!("the workflow: {why}")),
    }
    Ok(())
}

/// Leaves out what is no percentage, so that the rest of the part counts.
fn keep_percent<S: Source>(fold: &mut Fold<'_, S>, fields: &mut Map<String, Value>, key: &str, part: &str) {
    let why = match fields.get(key).filter(|value| !value.is_null()).map(|value| percent(key, value)) {
        Some(Err(why)) => why,
        _ => return,
    };
    fields.shift_remove(key);
    fold.note(FIELD_INVALID, format!("{part}: {why}"));
}

/// A part with the given fields set. Keys that it does not have go into its `extra`.
fn merged<T: Serialize + DeserializeOwned>(part: &T, fields: Map<String, Value>, known: &[&str]) -> Result<T, String> {
    let mut doc = match serde_json::to_value(part) {
        Ok(Value::Object(doc)) => doc,
        _ => Map::new(),
    };
    let mut extra = match doc.shift_remove("extra") {
        Some(Value::Object(extra)) => extra,
        _ => Map::new(),
    };
    for (key, value) in fields {
        let into = if known.contains(&key.as_str()) { &mut doc } else { &mut extra };
        match value {
            Value::Null => {
                into.shift_remove(&key);
            }
            value => {
                let value = if key == "dependencies" { as_words(value) } else { value };
                into.insert(key, value);
            }
        }
    }
    doc.insert("extra".to_owned(), Value::Object(extra));
    serde_json::from_value(Value::Object(doc)).map_err(|error| plain(&error.to_string()))
}

/// Phases are named by numbers, too: in a list of dependencies they are words like the others.
fn as_words(value: Value) -> Value {
    match value {
        Value::Array(list) => list
            .into_iter()
            .map(|one| match one {
                Value::Number(number) => Value::String(number.to_string()),
                other => other,
            })
            .collect(),
        other => other,
    }
}

/// A part with its id, or with why it has none.
type Listed<'v> = (Result<Value, String>, &'v Value);

/// The parts of a map by id, or of a list whose parts say their id: one that says none is an error by itself.
fn parts<'v>(value: &'v Value, keys: &[&str]) -> Result<Vec<Listed<'v>>, String> {
    match value {
        Value::Null => Ok(vec![]),
        Value::Object(map) => Ok(map.iter().map(|(id, part)| (Ok(Value::String(id.clone())), part)).collect()),
        Value::Array(list) => {
            Ok(list.iter().zip(1..).map(|(part, number)| (own_id(part, number, keys), part)).collect())
        }
        _ => Err("a list or an object is expected".to_owned()),
    }
}

fn own_id(part: &Value, number: usize, keys: &[&str]) -> Result<Value, String> {
    let id = keys.iter().find_map(|key| part.get(*key)).cloned();
    id.ok_or_else(|| format!("number {number} has no `{}`", keys.first().copied().unwrap_or_default()))
}

/// An id for people.
fn shown(id: &Value) -> String {
    id.as_str().map_or_else(|| id.to_string(), |text| format!("`{text}`"))
}

/// Calls `set` for each part that is an object with an id; what is none is noted as `what` it should be.
fn each<S: Source, I>(
    fold: &mut Fold<'_, S>,
    (what, value): (&str, &Value),
    keys: &[&str],
    read: impl Fn(&Value) -> Result<I, String>,
    mut set: impl FnMut(&mut Fold<'_, S>, I, Option<Map<String, Value>>) -> Result<(), S::Error>,
) -> Result<(), S::Error> {
    let listed = match parts(value, keys) {
        Ok(listed) => listed,
        Err(why) => {
            // As their key is written.
            fold.note(FIELD_INVALID, format!("`{what}s`: {why}"));
            return Ok(());
        }
    };
    let mut met = HashSet::new();
    for (id, part) in listed {
        let id = match id {
            Ok(id) => id,
            Err(why) => {
                fold.note(FIELD_INVALID, format!("{what} {why}"));
                continue;
            }
        };
        let fields = match part {
            Value::Object(fields) => {
                let mut fields = fields.iter().filter(|(key, _)| !keys.contains(&key.as_str())).map(own).collect();
                keep_percent(fold, &mut fields, "progress", id.as_str().unwrap_or_default());
                Ok(Some(fields))
            }
            Value::Null => Ok(None),
            _ => Err("an object is expected".to_owned()),
        };
        if !met.insert(id.to_string()) {
            let why = "it is there more than once: what is said last holds, field by field";
            fold.note(FIELD_INVALID, format!("{what} {}: {why}", shown(&id)));
        }
        match (read(&id), fields) {
            (Ok(id), Ok(fields)) => set(fold, id, fields)?,
            (Err(why), _) | (_, Err(why)) => fold.note(FIELD_INVALID, format!("{what} {}: {why}", shown(&id))),
        }
    }
    Ok(())
}

fn own((key, value): (&String, &Value)) -> (String, Value) {
    (key.clone(), value.clone())
}

fn read_id<T: std::str::FromStr<Err: ToString>>(id: &Value) -> Result<T, String> {
    match id {
        Value::String(text) => text.parse().map_err(|error: T::Err| error.to_string()),
        Value::Number(number) => number.to_string().parse().map_err(|error: T::Err| error.to_string()),
        _ => Err("an id must be a text".to_owned()),
    }
}

fn read_phase(id: &Value) -> Result<PhaseId, String> {
    match PhaseId::of(id) {
        Ok(Some(phase)) => Ok(phase),
        Ok(None) => Err("a phase must have a number or a name".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

fn phases<S: Source>(fold: &mut Fold<'_, S>, value: &Value) -> Result<(), S::Error> {
    each(fold, ("phase", value), &["phase_id", "id", "phase_number"], read_phase, |fold, id, fields| {
        let Some(mut fields) = fields else {
            remove_phase(fold, &id);
            return Ok(());
        };
        let own_tasks = fields.shift_remove("tasks");
        fields.shift_remove("counts");
        let left = Left::by(&fields);
        match merged(fold.phase_mut(&id), fields, PHASE) {
            Ok(mut phase) => {
                if matches!(phase.status, PhaseStatus::Pending | PhaseStatus::InProgress) {
                    left.clear(&mut phase.completed_at, &mut phase.failure_reason);
                }
                *fold.phase_mut(&id) = phase;
            }
            Err(why) => fold.note(FIELD_INVALID, format!("phase {id}: {why}")),
        }
        own_tasks.map_or(Ok(()), |own_tasks| tasks(fold, &own_tasks, Some(&id)))
    })
}

/// What a part keeps of its end when a status is said that is none, where nothing is said of it.
struct Left {
    completed_at: bool,
    failure_reason: bool,
}

impl Left {
    fn by(fields: &Map<String, Value>) -> Self {
        let is_left = |key: &str| fields.contains_key("status") && !fields.contains_key(key);
        Self { completed_at: is_left("completed_at"), failure_reason: is_left("failure_reason") }
    }

    /// As an event does that starts the part anew.
    fn clear(self, completed_at: &mut Option<Timestamp>, failure_reason: &mut Option<String>) {
        if self.completed_at {
            *completed_at = None;
        }
        if self.failure_reason {
            *failure_reason = None;
        }
    }
}

/// A phase goes when no task is in it any more.
fn remove_phase<S: Source>(fold: &mut Fold<'_, S>, id: &PhaseId) {
    match fold.state.phases.get(id).map(|phase| phase.counts.total()) {
        Some(1..) => fold.note(FIELD_INVALID, format!("phase {id} has tasks and stays")),
        _ => drop(fold.state.phases.remove(id)),
    }
}

fn tasks<S: Source>(fold: &mut Fold<'_, S>, value: &Value, phase: Option<&PhaseId>) -> Result<(), S::Error> {
    let what = phase.map_or("task".to_owned(), |phase| format!("phase {phase}: task"));
    each(fold, (&what, value), &["task_id", "id"], read_id::<TaskId>, |fold, id, fields| {
        let Some(fields) = fields else { return fold.remove_task(&id) };
        let task = fold.load_task(&id)?.unwrap_or_else(|| Task::new(id.clone()));
        let left = Left::by(&fields);
        match merged(&task, fields, TASK) {
            Ok(mut task) => {
                if matches!(task.status, TaskStatus::Pending | TaskStatus::Active) {
                    left.clear(&mut task.completed_at, &mut task.failure_reason);
                }
                fold.put_task(Task { phase_id: phase.cloned().or(task.phase_id), ..task })
            }
            Err(why) => {
                fold.note(FIELD_INVALID, format!("task {id}: {why}"));
                Ok(())
            }
        }
    })
}

fn agents<S: Source>(fold: &mut Fold<'_, S>, value: &Value) -> Result<(), S::Error> {
    each(fold, ("agent", value), &["agent_id", "id"], read_id::<AgentId>, |fold, id, fields| {
        let agent: &mut Agent = fold.load_agent(&id)?;
        let is_impossible = |one: &Value| one.as_f64().is_some_and(|count| count < 0.0);
        let wrong = ["tasks_completed", "tasks_failed"]
            .into_iter()
            .find(|key| fields.as_ref().and_then(|fields| fields.get(*key)).is_some_and(is_impossible));
        let fields = fields.map(|mut fields| {
            wrong.map(|key| fields.shift_remove(key));
            fields
        });
        match fields.map(|fields| merged(agent, fields, AGENT)) {
            None => drop(fold.state.agents.remove(&id)),
            Some(Ok(merged)) => *agent = merged,
            Some(Err(why)) => fold.note(FIELD_INVALID, format!("agent {id}: {why}")),
        }
        if let Some(key) = wrong {
            fold.note(FIELD_INVALID, format!("agent {id}: `{key}`: a number from 0 on is expected"));
        }
        Ok(())
    })
}

fn allocations<S: Source>(fold: &mut Fold<'_, S>, value: &Value) -> Result<(), S::Error> {
    each(fold, ("allocation", value), &["allocation_id", "id"], read_id::<AllocationId>, |fold, id, fields| {
        let Some(fields) = fields else {
            fold.load_allocation(&id)?;
            fold.state.allocations.remove(&id);
            return Ok(());
        };
        let mut part = fold.load_allocation(&id)?.unwrap_or_else(|| Allocation::new(id.clone()));
        allocation(fold, &mut part, &fields);
        fold.state.allocations.put(id, part);
        Ok(())
    })
}

/// Sets the fields of a share of resources that are given.
pub(super) fn allocation<S: Source>(fold: &mut Fold<'_, S>, part: &mut Allocation, fields: &Map<String, Value>) {
    let fields: Map<String, Value> = fields
        .iter()
        .filter(|(key, _)| !["allocation_id", "id", "workflow_id"].contains(&key.as_str()))
        .map(own)
        .collect();
    match merged(part, fields, ALLOCATION) {
        Ok(merged) => *part = merged,
        Err(why) => fold.note(FIELD_INVALID, format!("allocation {}: {why}", part.allocation_id)),
    }
}

/// A number, a name, or an object that also says how the phase stands.
fn current_phase<S: Source>(fold: &mut Fold<'_, S>, value: &Value) -> Result<(), S::Error> {
    match PhaseId::of(value) {
        Ok(phase) => {
            let phase = phase.map(|phase| fold.state.phase_named(&phase));
            if let (Some(phase), Value::Object(fields)) = (&phase, value) {
                let fields = fields.iter().filter(|(key, _)| !["id", "phase_id"].contains(&key.as_str())).map(own);
                phases(fold, &Value::Array(vec![with_id(phase, fields.collect())]))?;
            }
            fold.state.head.current_phase = phase;
        }
        Err(error) => fold.note(FIELD_INVALID, error.to_string()),
    }
    Ok(())
}

fn with_id(phase: &PhaseId, mut fields: Map<String, Value>) -> Value {
    fields.insert("phase_id".to_owned(), phase.as_str().into());
    Value::Object(fields)
}

/// Counts count for as long as no task is known one by one: then they go on beside those that become known.
fn said_counts<S: Source>(fold: &mut Fold<'_, S>, key: &str, value: &Value) {
    let Some(count) = value.as_u64() else {
        fold.note(FIELD_INVALID, format!("`{key}`: a whole number is expected"));
        return;
    };
    let head = &mut fold.state.head;
    if head.tasks_known > 0 {
        return;
    }
    let TaskCounts { pending, active, completed, failed } = &mut head.counts;
    match key {
        "pending_tasks" => *pending = count,
        "active_tasks" => *active = count,
        "completed_tasks" => *completed = count,
        _ => *failed = count,
    }
}

/// Where an update says that more tasks are completed than there are.
fn impossible_counts(data: &Map<String, Value>) -> Vec<(String, String)> {
    const PAIRS: [(&str, &str); 2] = [("tasks_completed", "tasks_total"), ("completed_tasks", "total_tasks")];
    let phases = data.get("phases").and_then(|phases| parts(phases, &["phase_id", "id", "phase_number"]).ok());
    let phases = phases.unwrap_or_default().into_iter().filter_map(|(id, phase)| Some((id.ok()?, phase)));
    let phases = phases.map(|(id, phase)| (format!("phase {id}").replace('"', ""), phase));
    let named = ["current_phase", "metrics"].iter().filter_map(|key| Some(((*key).to_owned(), data.get(*key)?)));
    let counts = |fields: &Map<String, Value>, (done, all): (&str, &str)| {
        let (done, all) = (fields.get(done)?.as_f64()?, fields.get(all)?.as_f64()?);
        (done > all).then(|| format!("{done} of {all} tasks cannot be completed"))
    };
    let below = phases.chain(named).filter_map(|(place, part)| Some((place, part.as_object()?)));
    let all = below.chain([("the workflow".to_owned(), data)]);
    all.flat_map(|(place, fields)| PAIRS.map(|pair| Some((place.clone(), counts(fields, pair)?)))).flatten().collect()
}

/// A version that is higher than the state's own becomes the state's.
fn version<S: Source>(fold: &mut Fold<'_, S>, value: &Value) {
    match value.as_u64().filter(|version| *version <= STATE_VERSION_MAX) {
        Some(version) => fold.state.head.state_version = fold.state.head.state_version.max(version),
        None => fold.note(FIELD_INVALID, "`state_version`: a whole number of at most 2^53 is expected".to_owned()),
    }
}

/// Whole parts, as a state of before had them. Versions and counts go on.
fn replace<S: Source>(fold: &mut Fold<'_, S>, value: &Value) -> Result<(), S::Error> {
    let is_odd = |value: &Value| !value.is_object() && !value.is_null();
    let kinds = ["tasks", "phases", "agents", "allocations"];
    let odd = kinds.iter().filter(|kind| is_odd(&value[**kind])).map(|kind| format!("`replace/{kind}`"));
    for place in odd.chain(is_odd(value).then(|| "`replace`".to_owned())) {
        fold.note(FIELD_INVALID, format!("{place}: an object is expected"));
    }
    let takes_told = std::mem::replace(&mut fold.takes_told, false);
    whole(fold, &value["tasks"], read_id, |fold, id, task: Option<Task>| match task {
        Some(task) => fold.put_task(task),
        None => fold.remove_task(&id),
    })?;
    whole(fold, &value["phases"], read_phase, |fold, id, phase: Option<Phase>| {
        match phase {
            Some(phase) => {
                let counts = fold.phase_mut(&id).counts;
                fold.state.phases.put(id, Phase { counts, ..phase });
            }
            None => remove_phase(fold, &id),
        }
        Ok(())
    })?;
    whole(fold, &value["agents"], read_id, |fold, id: AgentId, agent: Option<Agent>| {
        fold.load_agent(&id)?;
        match agent {
            Some(agent) => drop(fold.state.agents.put(id, agent)),
            None => drop(fold.state.agents.remove(&id)),
        }
        Ok(())
    })?;
    whole(fold, &value["allocations"], read_id, |fold, id: AllocationId, part: Option<Allocation>| {
        fold.load_allocation(&id)?;
        match part {
            Some(part) => drop(fold.state.allocations.put(id, part)),
            None => drop(fold.state.allocations.remove(&id)),
        }
        Ok(())
    })?;
    match value.get("head").map(|head| serde_json::from_value::<Head>(head.clone())) {
        None => {}
        Some(Ok(head)) => {
            let now = &fold.state.head;
            let (told, known, state_version) = (head.told(), now.known(), now.state_version);
            let (workflow_id, updated_at) = (now.workflow_id.clone(), now.updated_at);
            let mut head = Head { state_version, workflow_id, updated_at, ..head };
            head.set_counts(told, known);
            fold.state.head = head;
        }
        Some(Err(error)) => fold.note(FIELD_INVALID, format!("the workflow: {error}")),
    }
    fold.takes_told = takes_told;
    Ok(())
}

fn whole<S: Source, I, T: DeserializeOwned>(
    fold: &mut Fold<'_, S>,
    value: &Value,
    read: impl Fn(&Value) -> Result<I, String>,
    mut set: impl FnMut(&mut Fold<'_, S>, I, Option<T>) -> Result<(), S::Error>,
) -> Result<(), S::Error> {
    for (id, part) in value.as_object().into_iter().flatten() {
        let part = match part {
            Value::Null => Ok(None),
            part => T::deserialize(part).map(Some).map_err(|error| error.to_string()),
        };
        match (read(&Value::String(id.clone())), part) {
            (Ok(id), Ok(part)) => set(fold, id, part)?,
            (Err(why), _) | (_, Err(why)) => fold.note(FIELD_INVALID, format!("{id}: {why}")),
        }
    }
    Ok(())
}
