//! What a manifest says of a workflow's state, in the reference's fields.
//!
//! Owns the sums. Refuses to list what may be long without a bound: the whole state is an object of its own.

use std::collections::BTreeMap;

use serde_json::{Map, Number, Value, json};
use wfr_catalog::{Catalog, CatalogError, PartKind};
use wfr_model::workflow::{Agent, Allocation, Head};
use wfr_model::{Timestamp, WorkflowId};

use crate::resources;

/// So many agents and shares of resources are looked at.
const PARTS_MAX: u32 = 1_000;

/// The reference's `workflow_state`, with status and version beside.
pub fn of(catalog: &Catalog, workflow: &WorkflowId, head: &str, now: Timestamp) -> Result<Value, CatalogError> {
    let Ok(head) = wfr_model::json::stored::<Head>(head.as_bytes()) else { return Ok(Value::Null) };
    let agents: Vec<Agent> = catalog.first_parts(workflow, PartKind::Agent, PARTS_MAX)?;
    let shares: Vec<Allocation> = catalog.first_parts(workflow, PartKind::Allocation, PARTS_MAX)?;
    Ok(json!({
        "status": head.status,
        "state_version": head.state_version,
        "current_phase": head.current_phase,
        "completed_tasks": head.counts.completed,
        "pending_tasks": head.counts.pending,
        "active_tasks": head.counts.active,
        "failed_tasks": head.counts.failed,
        "agent_assignments": assignments(agents),
        "resource_allocations": allocations(&head, &shares, now),
    }))
}

fn assignments(mut agents: Vec<Agent>) -> Map<String, Value> {
    agents.sort_by(|one, other| one.agent_id.cmp(&other.agent_id));
    let there = agents.into_iter().filter(|agent| !agent.deallocated);
    there
        .map(|agent| {
            let fields =
                json!({"current_task": agent.current_task, "status": agent.status, "progress": agent.progress});
            (agent.agent_id.to_string(), fields)
        })
        .collect()
}

/// What somebody said, else the sums of the shares in use.
fn allocations(head: &Head, shares: &[Allocation], now: Timestamp) -> Map<String, Value> {
    if !head.resource_allocations.is_empty() {
        return head.resource_allocations.clone();
    }
    let mut sums: BTreeMap<&str, f64> = BTreeMap::new();
    let in_use = shares.iter().filter(|share| resources::is_used(share, head, now));
    for (what, amount) in in_use.flat_map(|share| &share.resources) {
        if let Some(amount) = amount.as_f64() {
            *sums.entry(what).or_default() += amount;
        }
    }
    sums.into_iter().map(|(what, sum)| (what.to_owned(), number(sum))).collect()
}

/// A whole number without a fraction.
fn number(sum: f64) -> Value {
    let is_whole = sum.fract() == 0.0 && sum.abs() < 9e15;
    if is_whole { json!(sum as i64) } else { Number::from_f64(sum).map_or(Value::Null, Value::Number) }
}

#[cfg(test)]
mod tests {
    use wfr_model::workflow::AllocationStatus;

    use super::*;

    #[test]
    fn shares_in_use_are_summed_where_nobody_said_the_sums() {
        let share = |id: &str, status, cores: Value| Allocation {
            status,
            resources: BTreeMap::from([("cpu_cores".to_owned(), cores)]),
            ..Allocation::new(id.parse().expect("it is an id"))
        };
        let mut over = share("d", AllocationStatus::Active, json!(4));
        over.extra.insert("expires_at".to_owned(), json!(Timestamp(6)));
        let shares = [
            over,
            share("a", AllocationStatus::Active, json!(2)),
            share("b", AllocationStatus::Active, json!(1.5)),
            share("c", AllocationStatus::Released, json!(8)),
        ];
        let mut head = Head::new("wf".parse().expect("it is an id"));
        assert_eq!(Value::Object(allocations(&head, &shares, Timestamp(7))), json!({"cpu_cores": 3.5}));
        head.resource_allocations = Map::from_iter([("cpu_cores".to_owned(), json!(4))]);
        assert_eq!(Value::Object(allocations(&head, &shares, Timestamp(7))), json!({"cpu_cores": 4}));
    }
}
