//! Workflows: the state of one, as the fold of its events.
//!
//! Owns the state as a value, what of it is loaded, and what of it changed. Refuses to know where it is kept: a
//! [`Source`] gives what is not loaded yet.

mod aim;
mod back;
pub mod document;
pub mod fold;
pub mod markdown;
pub mod merge;
mod parts;
mod patch;
mod share;
mod status;
mod table;
pub mod validate;
mod whole;

use std::convert::Infallible;

pub use back::{Back, StateKept};
pub use parts::{Agent, Allocation, Extra, Head, Phase, RecoveryMark, Task, TaskCounts};
pub use patch::update_keys;
pub use share::ShareEnd;
pub use status::{AgentStatus, AllocationStatus, PhaseStatus, TaskStatus, Turn, WorkflowStatus};
pub use table::Table;
pub use whole::{Differences, Whole, by_id};

use crate::ids::{AgentId, AllocationId, TaskId, WorkflowId};
use crate::phase::{PhaseId, word};

/// Where the parts are that are not loaded yet. Heads and phases are few, so they are loaded with the state.
pub trait Source {
    /// Why it cannot give one.
    type Error;

    /// A task; `None` where there is none.
    fn task(&mut self, id: &TaskId) -> Result<Option<Task>, Self::Error>;

    /// An agent; `None` where there is none.
    fn agent(&mut self, id: &AgentId) -> Result<Option<Agent>, Self::Error>;

    /// A share of resources; `None` where there is none.
    fn allocation(&mut self, id: &AllocationId) -> Result<Option<Allocation>, Self::Error>;

    /// All shares of resources.
    fn allocations(&mut self) -> Result<Vec<Allocation>, Self::Error>;
}

/// The source of a state that is all in memory.
#[derive(Clone, Copy, Debug, Default)]
pub struct Nowhere;

impl Source for Nowhere {
    type Error = Infallible;

    fn task(&mut self, _: &TaskId) -> Result<Option<Task>, Infallible> {
        Ok(None)
    }

    fn agent(&mut self, _: &AgentId) -> Result<Option<Agent>, Infallible> {
        Ok(None)
    }

    fn allocation(&mut self, _: &AllocationId) -> Result<Option<Allocation>, Infallible> {
        Ok(None)
    }

    fn allocations(&mut self) -> Result<Vec<Allocation>, Infallible> {
        Ok(vec![])
    }
}

/// The state of a workflow, or as much of it as was needed.
#[derive(Clone, Debug)]
pub struct State {
    /// The workflow itself.
    pub head: Head,
    /// Its phases, all of them.
    pub phases: Table<PhaseId, Phase>,
    /// Its tasks.
    pub tasks: Table<TaskId, Task>,
    /// Its agents.
    pub agents: Table<AgentId, Agent>,
    /// Its shares of resources.
    pub allocations: Table<AllocationId, Allocation>,
}

impl State {
    /// A workflow that nothing is known of.
    pub fn new(workflow_id: WorkflowId) -> Self {
        Self::loaded(Head::new(workflow_id), [])
    }

    /// A state whose head and phases were kept somewhere.
    pub fn loaded(head: Head, phases: impl IntoIterator<Item = Phase>) -> Self {
        Self {
            head,
            phases: phases.into_iter().map(|phase| (phase.phase_id.clone(), phase)).collect(),
            tasks: Table::default(),
            agents: Table::default(),
            allocations: Table::default(),
        }
    }

    /// How far the workflow is in percent: what somebody said, else tasks done of tasks known, else phases ended.
    pub fn progress(&self) -> f64 {
        if let Some(said) = self.head.progress_percentage.as_ref().and_then(serde_json::Number::as_f64) {
            return said;
        }
        let tasks = self.head.counts;
        if tasks.total() > 0 {
            return percent(tasks.completed, tasks.total()) * self.known_share();
        }
        let ended = |phase: &&Phase| matches!(phase.status, PhaseStatus::Completed | PhaseStatus::Skipped);
        let known = self.phases.values().count() as u64;
        let total = self.head.total_phases.unwrap_or(0).max(known);
        percent(self.phases.values().filter(ended).count() as u64, total)
    }

    /// How much of the workflow its known phases are: those still to come have tasks that nobody has told yet. Where no phase
    /// is known, or the workflow is completed, what is known is all.
    fn known_share(&self) -> f64 {
        let known = self.phases.values().count() as u64;
        let total = self.head.total_phases.unwrap_or(0);
        if known == 0 || known >= total || self.head.status == WorkflowStatus::Completed {
            return 1.0;
        }
        known as f64 / total as f64
    }

    /// The phase that an id names: one of that id, else the one whose name is that, or reads like it, else a phase to come.
    pub fn phase_named(&self, id: &PhaseId) -> PhaseId {
        if self.phases.get(id).is_some() || id.number().is_some() {
            return id.clone();
        }
        let text = word(id.as_str());
        let is_called = |name: &str| name.trim() == id.as_str();
        let reads_like = |name: &str| !text.is_empty() && word(name) == text;
        let one = |is_it: &dyn Fn(&str) -> bool| {
            let mut those = self.phases.values().filter(|phase| phase.name.as_deref().is_some_and(is_it));
            // Where two are called so, nobody can say which is meant.
            those.next().filter(|_| those.next().is_none()).map(|phase| phase.phase_id.clone())
        };
        one(&is_called).or_else(|| one(&reads_like)).unwrap_or_else(|| id.clone())
    }
}

/// A part of a whole in percent; of nothing it is 0.
pub fn percent(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 * 100.0 / whole as f64 }
}
