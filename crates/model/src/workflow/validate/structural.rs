//! Whether the parts of a state fit together: counts, ids, phases, who works on what, shares of resources.
//!
//! Owns these rules. Refuses to ask whether they make sense.

use std::collections::BTreeMap;

use serde_json::Value;

use super::super::{Agent, AgentStatus, AllocationStatus, Task, TaskCounts, TaskStatus, Whole};
use super::Findings;
use super::mend::{Mend, Repair, is_ended};
use crate::ids::{AgentId, TaskId};

/// What one workflow may have of each resource, as the resource manager declares it.
const CAPS: &[(&str, f64)] = &[("cpu_cores", 6.0), ("memory_gb", 12.0), ("agents", 15.0)];

pub(super) fn check(whole: &Whole, findings: &mut Findings) {
    ids(whole, findings);
    counts(whole, findings);
    phases(whole, findings);
    for (id, agent) in &whole.agents {
        agent_fits(whole, id, agent, findings);
    }
    shared_tasks(whole, findings);
    for task in whole.tasks.values() {
        attempts(task, findings);
    }
    allocations(whole, findings);
}

/// Every part says the id that it is kept under.
fn ids(whole: &Whole, findings: &mut Findings) {
    let phases = whole.phases.iter().filter(|(id, phase)| **id != phase.phase_id);
    let phases = phases.map(|(id, phase)| (format!("phases/{id}/phase_id"), phase.phase_id.to_string()));
    let tasks = whole.tasks.iter().filter(|(id, task)| **id != task.task_id);
    let tasks = tasks.map(|(id, task)| (format!("tasks/{id}/task_id"), task.task_id.to_string()));
    let agents = whole.agents.iter().filter(|(id, agent)| **id != agent.agent_id);
    let agents = agents.map(|(id, agent)| (format!("agents/{id}/agent_id"), agent.agent_id.to_string()));
    let shares = whole.allocations.iter().filter(|(id, share)| **id != share.allocation_id);
    let shares = shares.map(|(id, share)| (format!("allocations/{id}/allocation_id"), share.allocation_id.to_string()));
    for (place, says) in phases.chain(tasks).chain(agents).chain(shares).collect::<Vec<_>>() {
        let message = format!("it is kept under another id than its own, `{says}`");
        findings.error("ID_MISMATCH", place, message, Repair::safe(Mend::FoldAgain));
    }
}

fn counted<'t>(tasks: impl Iterator<Item = &'t Task>) -> TaskCounts {
    tasks.fold(TaskCounts::default(), |mut counts, task| {
        *counts.of(task.status) += 1;
        counts
    })
}

/// Counts follow from tasks, where tasks are known.
pub(super) fn counts(whole: &Whole, findings: &mut Findings) {
    let mut wrong = |place: String, says: u64, are: u64| {
        let message = format!("{says} tasks are counted and {are} are there, or they stand otherwise than counted");
        findings.error("COUNTS_WRONG", place, message, Repair::safe(Mend::FoldAgain));
    };
    let known = whole.tasks.len() as u64;
    if whole.head.tasks_known != known {
        wrong("tasks_known".to_owned(), whole.head.tasks_known, known);
    }
    let are = whole.head.told().plus(counted(whole.tasks.values()));
    if known > 0 && whole.head.counts != are {
        wrong("counts".to_owned(), whole.head.counts.total(), are.total());
    }
    let mut by_phase: BTreeMap<_, TaskCounts> = BTreeMap::new();
    for task in whole.tasks.values() {
        if let Some(phase) = &task.phase_id {
            *by_phase.entry(phase).or_default().of(task.status) += 1;
        }
    }
    for (id, phase) in &whole.phases {
        let are = by_phase.get(id).copied().unwrap_or_default();
        if phase.counts != are {
            wrong(format!("phases/{id}/counts"), phase.counts.total(), are.total());
        }
    }
}

/// What names a phase names one that is there. A state that knows no phases says nothing of them.
fn phases(whole: &Whole, findings: &mut Findings) {
    for task in whole.tasks.values() {
        let Some(phase) = task.phase_id.as_ref().filter(|phase| !whole.phases.contains_key(*phase)) else { continue };
        let message = format!("task {} is of phase {phase}, which is not there", task.task_id);
        let repair = Repair::safe(Mend::AddPhase { phase_id: phase.clone() });
        findings.error("TASK_PHASE_UNKNOWN", format!("tasks/{}/phase_id", task.task_id), message, repair);
    }
    if let Some(phase) = &whole.head.current_phase
        && !whole.phases.is_empty()
        && !whole.phases.contains_key(phase)
    {
        let message = format!("the current phase is {phase}, which is not there");
        // Nothing else tells of it: it may as well be a slip.
        let repair = Repair::bold(Mend::AddPhase { phase_id: phase.clone() });
        findings.error("CURRENT_PHASE_UNKNOWN", "current_phase", message, repair);
    }
}

fn agent_fits(whole: &Whole, id: &AgentId, agent: &Agent, findings: &mut Findings) {
    let place = format!("agents/{id}/current_task");
    let free = || Mend::FreeAgent { agent_id: id.clone() };
    let Some(current) = &agent.current_task else {
        if agent.status == AgentStatus::InProgress {
            let message = format!("agent {id} is at work on nothing");
            let repair = Repair::safe(Mend::IdleAgent { agent_id: id.clone() });
            findings.warning("AGENT_WITHOUT_TASK", format!("agents/{id}/status"), message, repair);
        }
        return;
    };
    if agent.deallocated {
        let message = format!("agent {id} has left and works on {current}");
        findings.error("AGENT_GONE_AT_WORK", place, message, Repair::safe(free()));
        return;
    }
    let Some(task) = whole.tasks.get(current) else {
        if !whole.tasks.is_empty() {
            let message = format!("agent {id} works on {current}, which is no task of the workflow");
            findings.warning("AGENT_TASK_UNKNOWN", place, message, Repair::bold(free()));
        }
        return;
    };
    match &task.assigned_agent {
        Some(owner) if owner != id => {
            let message = format!("agent {id} works on {current}, which is {owner}'s");
            findings.error("AGENT_TASK_NOT_ITS_OWN", place, message, Repair::safe(free()));
        }
        _ if is_ended(task.status) => {
            let message = format!("agent {id} works on {current}, which is {}", task.status.as_str());
            findings.error("AGENT_TASK_ENDED", place, message, Repair::safe(free()));
        }
        _ if task.status == TaskStatus::Pending => {
            let message = format!("agent {id} works on {current}, which has not begun");
            findings.warning("AGENT_TASK_NOT_BEGUN", place, message, Repair::safe(free()));
        }
        Some(_) => {}
        None => {
            let message = format!("agent {id} works on {current}, which is nobody's");
            let mend = Mend::AssignTask { task_id: current.clone(), agent_id: id.clone() };
            // Where several work on it, who of them it belongs to is not known.
            let rivals = whole.agents.values().filter(|other| other.current_task.as_ref() == Some(current)).count();
            findings.warning("TASK_UNASSIGNED", place, message, Some(Repair { mend, safe: rivals == 1 }));
        }
    }
}

/// Two agents on one task.
fn shared_tasks(whole: &Whole, findings: &mut Findings) {
    let mut workers: BTreeMap<&TaskId, Vec<&Agent>> = BTreeMap::new();
    for agent in whole.agents.values().filter(|agent| !agent.deallocated) {
        if let Some(task) = &agent.current_task {
            workers.entry(task).or_default().push(agent);
        }
    }
    for (task, mut agents) in workers.into_iter().filter(|(_, agents)| agents.len() > 1) {
        let owner = whole.tasks.get(task).and_then(|task| task.assigned_agent.as_ref());
        // Its owner keeps it; where it has none among them, who was seen last does.
        agents.sort_by_key(|agent| (Some(&agent.agent_id) == owner, agent.last_seen));
        let Some(keeper) = agents.pop() else { continue };
        let safe = owner == Some(&keeper.agent_id);
        for other in agents {
            let message = format!("agent {} works on {task}, and so does {}", other.agent_id, keeper.agent_id);
            let mend = Mend::FreeAgent { agent_id: other.agent_id.clone() };
            let place = format!("agents/{}/current_task", other.agent_id);
            findings.error("TASK_SHARED", place, message, Some(Repair { mend, safe }));
        }
    }
}

fn attempts(task: &Task, findings: &mut Findings) {
    let retries = task.retry_count.unwrap_or(0);
    if task.attempts > 0 && retries > task.attempts {
        let message =
            format!("task {} was begun {} times and tried again {retries} times", task.task_id, task.attempts);
        let repair = Repair::safe(Mend::RaiseAttempts { task_id: task.task_id.clone() });
        findings.warning("ATTEMPTS_IMPOSSIBLE", format!("tasks/{}/attempts", task.task_id), message, repair);
    }
}

fn allocations(whole: &Whole, findings: &mut Findings) {
    let mut sums: BTreeMap<&str, f64> = BTreeMap::new();
    for (id, share) in &whole.allocations {
        let in_use = matches!(share.status, AllocationStatus::Active | AllocationStatus::Reserved);
        for (name, amount) in &share.resources {
            let place = format!("allocations/{id}/resources/{name}");
            match amount {
                Value::Number(number) => {
                    let amount = number.as_f64().unwrap_or(f64::NAN);
                    if amount.is_nan() || amount < 0.0 {
                        findings.error(
                            "ALLOCATION_IMPOSSIBLE",
                            place,
                            format!("{number} of {name} cannot be given"),
                            None,
                        );
                    } else if in_use {
                        *sums.entry(name).or_default() += amount;
                    }
                }
                Value::Bool(_) | Value::Null => {
                    findings.error("ALLOCATION_IMPOSSIBLE", place, format!("{amount} is no amount of {name}"), None);
                }
                _ => {}
            }
        }
        if let Some(priority) = share.priority.as_ref().and_then(Value::as_f64).filter(|p| !(0.0..=100.0).contains(p)) {
            let message = format!("a priority lies between 0 and 100: {priority}");
            findings.warning("PRIORITY_OUT_OF_RANGE", format!("allocations/{id}/priority"), message, None);
        }
    }
    for (name, cap) in CAPS {
        if let Some(sum) = sums.get(name).filter(|sum| *sum > cap) {
            let message = format!("{sum} of {name} are given, and one workflow may have {cap}");
            findings.warning("ALLOCATIONS_BEYOND_CAP", "allocations", message, None);
        }
    }
}
