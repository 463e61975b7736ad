//! What follows from both where two states changed the same since their ancestor.
//!
//! Owns the fields of which that can be said: times, counts of work, orders, and what an agent works on. Refuses to decide
//! anything else: that is a conflict.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{PartKey, Side};
use crate::workflow::validate::mend::{free, is_ended};
use crate::workflow::{Agent, Task, TaskStatus, Whole};
use crate::{TaskId, Timestamp};

/// The value that follows from what each of them has; `None` where none does. Only those that changed it are given.
pub(super) fn joined(
    (kind, _): &PartKey,
    name: &str,
    base: Option<&Value>,
    changed: &[Option<&Value>],
) -> Option<Value> {
    match (*kind, name) {
        ("agents", "last_seen") => latest(changed),
        // What each of them added is counted when all tasks are known.
        ("agents", "tasks_completed" | "tasks_failed") => {
            let counts = changed.iter().map(|value| value.and_then(Value::as_u64));
            counts.collect::<Option<Vec<u64>>>()?.into_iter().max().map(Value::from)
        }
        ("phases", "extra/task_order") => ordered(base, changed),
        _ => None,
    }
}

/// The latest of some times.
fn latest(changed: &[Option<&Value>]) -> Option<Value> {
    let time = |value: &Option<&Value>| value.and_then(|value| serde_json::from_value::<Timestamp>(value.clone()).ok());
    let times: Option<Vec<Timestamp>> = changed.iter().map(time).collect();
    serde_json::to_value(times?.into_iter().max()?).ok()
}

/// An order of names: the ancestor's, without what any of them took out, then what they added, by name. `None` where one of
/// them moved something.
fn ordered(base: Option<&Value>, changed: &[Option<&Value>]) -> Option<Value> {
    let names = |value: &Value| -> Option<Vec<String>> {
        value.as_array()?.iter().map(|one| one.as_str().map(str::to_owned)).collect()
    };
    let lists: Vec<Vec<String>> = changed.iter().map(|value| names((*value)?)).collect::<Option<_>>()?;
    let is_common = |name: &&String| lists.iter().all(|list| list.contains(name));
    // An order that is that of the names is not written down.
    let base = match base {
        Some(base) => names(base)?,
        None => lists.first()?.iter().filter(is_common).cloned().collect(),
    };
    for list in &lists {
        let kept = list.iter().filter(|name| base.contains(name));
        if !kept.eq(base.iter().filter(|name| list.contains(name))) {
            return None;
        }
    }
    let added: BTreeSet<&String> = lists.iter().flatten().filter(|name| !base.contains(name)).collect();
    Some(base.iter().filter(is_common).chain(added).cloned().collect::<Vec<String>>().into())
}

/// Counts what agents did: as one of the states has it, and the tasks that ended since the ancestor in others alone.
pub(super) fn count_work(state: &mut Whole, base: &Whole, sides: &[Side<'_>]) {
    for (id, agent) in &mut state.agents {
        let counts: [(TaskStatus, CountOf); 2] =
            [(TaskStatus::Completed, |agent| agent.tasks_completed), (TaskStatus::Failed, |agent| agent.tasks_failed)];
        let [completed, failed] = counts.map(|(status, count)| {
            let own = |task: &&Task| task.assigned_agent.as_ref() == Some(id) && task.status == status;
            let is_new = |task: &&Task| base.tasks.get(&task.task_id).is_none_or(|before| before.status != status);
            let of = |whole: &Whole| whole.agents.get(id).map_or(0, count);
            let before = of(base);
            let said: Vec<(u64, BTreeSet<&TaskId>)> = sides
                .iter()
                .map(|side| {
                    let ended = side.state.tasks.values().filter(own).filter(is_new).map(|task| &task.task_id);
                    (of(side.state), ended.collect())
                })
                .collect();
            let with_others = |(count, ended): &(u64, BTreeSet<&TaskId>)| {
                let others: BTreeSet<&TaskId> = said.iter().flat_map(|(_, other)| other - ended).collect();
                let added = said.iter().filter(|other| other.1 != *ended);
                let added: u64 = added.map(|(count, _)| count.saturating_sub(before)).sum();
                count + added.min(others.len() as u64)
            };
            said.iter().map(with_others).max().unwrap_or(0)
        });
        (agent.tasks_completed, agent.tasks_failed) = (completed, failed);
    }
}

/// One of an agent's counts.
type CountOf = fn(&Agent) -> u64;

/// Lets agents go whose task has ended in another state than the one in which they work on it.
pub(super) fn free_agents(state: &mut Whole, sides: &[Side<'_>]) {
    let has_ended = |whole: &Whole, task: &_| whole.tasks.get(task).is_some_and(|task| is_ended(task.status));
    let ended: BTreeSet<_> = state.tasks.keys().filter(|id| has_ended(state, id)).cloned().collect();
    for (id, agent) in &mut state.agents {
        let Some(task) = agent.current_task.clone().filter(|task| ended.contains(task)) else { continue };
        let says_so = |side: &Side<'_>| {
            let works = side.state.agents.get(id).is_some_and(|agent| agent.current_task.as_ref() == Some(&task));
            works && has_ended(side.state, &task)
        };
        if sides.iter().any(says_so) {
            continue;
        }
        free(agent);
    }
}
