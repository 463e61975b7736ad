//! What of a state a document says.
//!
//! Owns the question which fields are said: those that the document sets in some state that has them otherwise. Refuses to read
//! documents: what one makes of a state is handed in.

use std::collections::{BTreeMap, BTreeSet};

use super::{Fields, PartKey, Parts, flat};
use crate::workflow::{
    Agent, AgentStatus, Allocation, AllocationStatus, Phase, PhaseStatus, Task, TaskStatus, Whole, WorkflowStatus,
};

/// What a document says, place by place.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Said(BTreeMap<PartKey, BTreeSet<String>>);

impl Said {
    /// The state that a document makes of the one `under` it, and what it says. `says` is what it makes of any state.
    pub fn over(under: &Whole, says: impl Fn(&Whole) -> Whole) -> (Whole, Self) {
        let alone = says(&Whole::new(under.head.workflow_id.clone()));
        let mut said = Self::default();
        for key in flat(&alone).into_keys().filter(|(kind, _)| !kind.is_empty()) {
            said.0.insert(key, BTreeSet::new());
        }
        let state = says(under);
        said.note(&fresh(&alone), &alone);
        let otherwise = otherwise(&alone);
        said.note(&otherwise, &says(&otherwise));
        said.note(under, &state);
        (state, said)
    }

    /// What differs is said, of parts that were there.
    fn note(&mut self, before: &Whole, after: &Whole) {
        let before = flat(before);
        for (key, fields) in flat(after) {
            let Some(old) = before.get(&key) else { continue };
            let names: BTreeSet<&String> = fields.keys().chain(old.keys()).collect();
            let said: Vec<String> =
                names.into_iter().filter(|name| fields.get(*name) != old.get(*name)).cloned().collect();
            if !said.is_empty() {
                self.0.entry(key).or_default().extend(said);
            }
        }
    }

    /// Whether nothing is said of anything.
    pub fn is_nothing(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether anything is said of a part.
    pub(super) fn names(&self, key: &PartKey) -> bool {
        self.0.contains_key(key)
    }

    /// Takes out what is not said, of those parts.
    pub(super) fn narrow(&self, parts: &mut Parts, is_narrowed: impl Fn(&PartKey) -> bool) {
        parts.retain(|key, fields| {
            if is_narrowed(key) {
                let said = self.0.get(key);
                let is_id = |name: &str| ID.iter().any(|(kind, id)| (*kind, *id) == (key.0, name));
                Fields::retain(fields, |name, _| is_id(name) || said.is_some_and(|said| said.contains(name)));
            }
            !is_narrowed(key) || self.names(key)
        });
    }
}

/// What a part of each kind is known by: without it there is none.
const ID: [(&str, &str); 4] =
    [("phases", "phase_id"), ("tasks", "task_id"), ("agents", "agent_id"), ("allocations", "allocation_id")];

/// The same parts as if nothing were known of them.
fn fresh(of: &Whole) -> Whole {
    Whole {
        phases: of.phases.keys().map(|id| (id.clone(), Phase::new(id.clone()))).collect(),
        tasks: of.tasks.keys().map(|id| (id.clone(), Task::new(id.clone()))).collect(),
        agents: of.agents.keys().map(|id| (id.clone(), Agent::new(id.clone()))).collect(),
        allocations: of.allocations.keys().map(|id| (id.clone(), Allocation::new(id.clone()))).collect(),
        ..Whole::new(of.head.workflow_id.clone())
    }
}

/// The same parts, with whatever a part always has otherwise than one has of which nothing is known.
fn otherwise(of: &Whole) -> Whole {
    let mut whole = fresh(of);
    whole.head.status = WorkflowStatus::Paused;
    for phase in whole.phases.values_mut() {
        phase.status = PhaseStatus::Failed;
    }
    for task in whole.tasks.values_mut() {
        (task.status, task.attempts) = (TaskStatus::Failed, 1);
    }
    for agent in whole.agents.values_mut() {
        (agent.status, agent.deallocated) = (AgentStatus::Failed, true);
        (agent.tasks_completed, agent.tasks_failed) = (1, 1);
    }
    for share in whole.allocations.values_mut() {
        share.status = AllocationStatus::Released;
    }
    whole.recounted()
}
