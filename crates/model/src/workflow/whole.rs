//! A state that is all in memory: what a checkpoint holds, and what two states are compared by.
//!
//! Owns the difference of two states as the data of one `WORKFLOW_STATE_UPDATED`. Refuses to know where states are kept.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::parts::{Agent, Allocation, Head, Phase, Task, TaskCounts};
use super::{State, Table};
use crate::ids::{AgentId, AllocationId, TaskId, WorkflowId};
use crate::phase::PhaseId;

/// All of a state.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Whole {
    /// The workflow itself.
    pub head: Head,
    /// Its phases.
    pub phases: BTreeMap<PhaseId, Phase>,
    /// Its tasks.
    pub tasks: BTreeMap<TaskId, Task>,
    /// Its agents.
    pub agents: BTreeMap<AgentId, Agent>,
    /// Its shares of resources.
    pub allocations: BTreeMap<AllocationId, Allocation>,
}

impl From<State> for Whole {
    /// Of a state whose parts are all loaded, without a copy.
    fn from(state: State) -> Self {
        Self {
            head: state.head,
            phases: by_id(state.phases.into_parts().collect()),
            tasks: by_id(state.tasks.into_parts().collect()),
            agents: by_id(state.agents.into_parts().collect()),
            allocations: by_id(state.allocations.into_parts().collect()),
        }
    }
}

impl Whole {
    /// A workflow that nothing is known of.
    pub fn new(workflow_id: WorkflowId) -> Self {
        Self {
            head: Head::new(workflow_id),
            phases: BTreeMap::new(),
            tasks: BTreeMap::new(),
            agents: BTreeMap::new(),
            allocations: BTreeMap::new(),
        }
    }

    /// The state of a table-wise one whose parts are all loaded.
    pub fn of(state: &State) -> Self {
        Self {
            head: state.head.clone(),
            phases: all(&state.phases),
            tasks: all(&state.tasks),
            agents: all(&state.agents),
            allocations: all(&state.allocations),
        }
    }

    /// The same as a state that events can be folded into.
    pub fn to_state(&self) -> State {
        State {
            head: self.head.clone(),
            phases: table(&self.phases),
            tasks: table(&self.tasks),
            agents: table(&self.agents),
            allocations: table(&self.allocations),
        }
    }

    /// The same without a copy.
    pub fn into_state(self) -> State {
        State {
            head: self.head,
            phases: self.phases.into_iter().collect(),
            tasks: self.tasks.into_iter().collect(),
            agents: self.agents.into_iter().collect(),
            allocations: self.allocations.into_iter().collect(),
        }
    }

    /// How far the workflow is in percent, see [`State::progress`].
    pub fn progress(&self) -> f64 {
        State::loaded(self.head.clone(), self.phases.values().cloned()).progress()
    }

    /// What a `WORKFLOW_STATE_UPDATED` must say to make this state like another; `None` where they are alike but for
    /// version and time. Parts that this one has and the other has not are `null` in it.
    pub fn difference(&self, goal: &Self) -> Option<Map<String, Value>> {
        let mut replace = Map::new();
        // Tasks first: a phase goes when no task is in it any more.
        put(&mut replace, "tasks", changed(&self.tasks, &goal.tasks, PartialEq::eq));
        put(&mut replace, "phases", changed(&self.phases, &goal.phases, same_but_for_counts));
        put(&mut replace, "agents", changed(&self.agents, &goal.agents, PartialEq::eq));
        put(&mut replace, "allocations", changed(&self.allocations, &goal.allocations, PartialEq::eq));
        if timeless(&self.head) != timeless(&goal.head) {
            replace.insert("head".to_owned(), to_value(&goal.head));
        }
        if replace.is_empty() { None } else { Some(Map::from_iter([("replace".to_owned(), Value::Object(replace))])) }
    }

    /// How much [`Self::difference`] would say, without saying it.
    pub fn differences(&self, goal: &Self) -> Differences {
        self.differing(goal, 0).0
    }

    /// The same, with the ids of the first phases and tasks, so many of each at most.
    pub fn differing(&self, goal: &Self, max: usize) -> (Differences, Vec<PhaseId>, Vec<TaskId>) {
        let (phases, named_phases) = counted(changed(&self.phases, &goal.phases, same_but_for_counts), max);
        let (tasks, named_tasks) = counted(changed(&self.tasks, &goal.tasks, PartialEq::eq), max);
        let differences = Differences {
            head: timeless(&self.head) != timeless(&goal.head),
            phases,
            tasks,
            agents: changed(&self.agents, &goal.agents, PartialEq::eq).count(),
            allocations: changed(&self.allocations, &goal.allocations, PartialEq::eq).count(),
        };
        (differences, named_phases, named_tasks)
    }

    /// The same with every task counted once, in its phase and in the workflow. What somebody said of tasks that are not
    /// known one by one stays.
    pub fn recounted(self) -> Self {
        let told = self.head.told();
        self.recounted_beside(told)
    }

    /// The same, with these told besides.
    pub fn recounted_beside(mut self, told: TaskCounts) -> Self {
        self.phases.values_mut().for_each(|phase| phase.counts = TaskCounts::default());
        let mut known = TaskCounts::default();
        for task in self.tasks.values() {
            *known.of(task.status) += 1;
            if let Some(phase) = task.phase_id.as_ref().and_then(|phase| self.phases.get_mut(phase)) {
                *phase.counts.of(task.status) += 1;
            }
        }
        self.head.set_counts(told, known);
        self
    }

    /// Whether two states say the same, whatever their versions and when they came about.
    pub fn says_the_same(&self, other: &Self) -> bool {
        self.differences(other) == Differences::default()
    }
}

/// How many parts of two states differ.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Differences {
    /// Whether the workflow itself does.
    pub head: bool,
    /// Phases.
    pub phases: usize,
    /// Tasks.
    pub tasks: usize,
    /// Agents.
    pub agents: usize,
    /// Shares of resources.
    pub allocations: usize,
}

/// Parts by their ids, of which the last one of an id counts. Ids are sorted rather than parts, which are large.
pub fn by_id<K: Ord + Clone, V>(mut parts: Vec<(K, V)>) -> BTreeMap<K, V> {
    parts.sort_by_cached_key(|(id, _)| id.clone());
    parts.into_iter().collect()
}

fn all<K: Ord + Clone + Eq + std::hash::Hash, V: Clone>(table: &Table<K, V>) -> BTreeMap<K, V> {
    table.sorted().into_iter().map(|(id, part)| (id.clone(), part.clone())).collect()
}

fn table<K: Ord + Clone + Eq + std::hash::Hash, V: Clone>(parts: &BTreeMap<K, V>) -> Table<K, V> {
    parts.iter().map(|(id, part)| (id.clone(), part.clone())).collect()
}

/// Counts follow from tasks: a phase is not another one because of them.
pub(super) fn same_but_for_counts(one: &Phase, other: &Phase) -> bool {
    let bare = |phase: &Phase| Phase { counts: TaskCounts::default(), ..phase.clone() };
    one == other || bare(one) == bare(other)
}

/// A head without what every event and every recovery changes, and without what follows from tasks.
fn timeless(head: &Head) -> Head {
    let mut timeless = Head { state_version: 0, updated_at: None, recovery: None, ..head.clone() };
    timeless.set_counts(head.told(), TaskCounts::default());
    timeless
}

/// How many parts there are, and the ids of the first ones.
fn counted<'p, K: Clone + 'p, V: 'p>(
    mut parts: impl Iterator<Item = (&'p K, Option<&'p V>)>,
    max: usize,
) -> (usize, Vec<K>) {
    let named: Vec<K> = parts.by_ref().take(max).map(|(id, _)| id.clone()).collect();
    (named.len() + parts.count(), named)
}

/// The parts that a state has and a goal has not, or otherwise, by their ids: `None` where the goal has none.
fn changed<'p, K: Ord, V>(
    from: &'p BTreeMap<K, V>,
    to: &'p BTreeMap<K, V>,
    is_same: impl Fn(&V, &V) -> bool,
) -> impl Iterator<Item = (&'p K, Option<&'p V>)> {
    // Two runs that are sorted: to walk along both takes less than to look each id up.
    let (mut old, mut new) = (from.iter().peekable(), to.iter().peekable());
    std::iter::from_fn(move || {
        loop {
            let order = match (old.peek(), new.peek()) {
                (Some((was, _)), Some((is, _))) => was.cmp(is),
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (None, None) => return None,
            };
            match order {
                Ordering::Less => return old.next().map(|(id, _)| (id, None)),
                Ordering::Greater => return new.next().map(|(id, part)| (id, Some(part))),
                Ordering::Equal => {
                    let (was, is) = (old.next()?, new.next()?);
                    if !is_same(was.1, is.1) {
                        return Some((is.0, Some(is.1)));
                    }
                }
            }
        }
    })
}

fn put<'p, K: ToString + 'p, V: Serialize + 'p>(
    replace: &mut Map<String, Value>,
    key: &str,
    parts: impl Iterator<Item = (&'p K, Option<&'p V>)>,
) {
    let (gone, news): (Vec<_>, Vec<_>) = parts.partition(|(_, part)| part.is_none());
    let said = gone.into_iter().chain(news).map(|(id, part)| (id.to_string(), part.map_or(Value::Null, to_value)));
    let parts: Map<String, Value> = said.collect();
    if !parts.is_empty() {
        replace.insert(key.to_owned(), Value::Object(parts));
    }
}

fn to_value(part: &impl Serialize) -> Value {
    serde_json::to_value(part).expect("parts have string keys and finite numbers only")
}
