//! One state of several: field by field, with or without a common ancestor.
//!
//! Owns what counts as a conflict and who wins it. A conflict that nobody settles leaves the field as the first state has
//! it, and is listed. Refuses to know where states come from.

mod both;
mod said;

use std::collections::{BTreeMap, BTreeSet};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub use self::said::Said;
use super::{Head, Phase, TaskCounts, TaskStatus, Whole};

/// How states become one.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum MergeStrategy {
    /// Every part of any of them; where two differ it is a conflict.
    #[default]
    PriorityBased,
    /// Every part as the latest of those that have it says; the higher version is the later.
    Latest,
    /// Every part of any of them, and lists joined; where two differ it is a conflict.
    Union,
    /// What one of them changed since their common ancestor; where two changed the same otherwise it is a conflict.
    ThreeWay,
}

/// Who wins a conflict.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum ConflictResolution {
    /// The first state that is no present one.
    CheckpointPriority,
    /// The present state, else the first.
    #[default]
    CurrentPriority,
    /// Nobody: a person decides.
    ManualReview,
}

/// One of the states.
#[derive(Clone, Copy, Debug)]
pub struct Side<'s> {
    /// What it is called.
    pub name: &'s str,
    /// The state.
    pub state: &'s Whole,
    /// Whether it is a workflow's present state.
    pub is_current: bool,
    /// What of it is said, where that may not be all: what is not said is no claim.
    pub said: Option<&'s Said>,
}

/// What one state says in a conflict.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Claim {
    /// Which state.
    pub source: String,
    /// What it says; `null` where it has nothing there.
    pub value: Value,
}

/// A place where states differ and no rule of the strategy says who is right.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, schemars::JsonSchema)]
pub struct MergeConflict {
    /// Where: `tasks/t1/status`, `configuration/timeout`, `tasks/t1` for a whole part.
    pub place: String,
    /// What the common ancestor says; `null` where there is none.
    pub base: Value,
    /// What each of them says.
    pub claims: Vec<Claim>,
    /// Who wins; `null` where a person has to decide.
    pub winner: Option<String>,
}

/// States that became one.
#[derive(Clone, PartialEq, Debug)]
pub struct Merged {
    /// The state.
    pub state: Whole,
    /// Where they differed, in the order of places.
    pub conflicts: Vec<MergeConflict>,
    /// Places of parts that are none any more, taken together; each says why.
    pub left_out: Vec<String>,
}

impl Merged {
    /// Whether a person has to decide something first.
    pub fn is_unsettled(&self) -> bool {
        self.conflicts.iter().any(|conflict| conflict.winner.is_none())
    }
}

/// Merges states; the first gives the workflow. `base` is looked at by [`MergeStrategy::ThreeWay`] only, for which a
/// missing one is an empty state.
pub fn merge(
    first: Side<'_>,
    others: &[Side<'_>],
    base: Option<&Whole>,
    strategy: MergeStrategy,
    resolution: ConflictResolution,
) -> Merged {
    let sides: Vec<Side<'_>> = std::iter::once(first).chain(others.iter().copied()).collect();
    let has_ancestor = strategy == MergeStrategy::ThreeWay;
    let ancestor = base.filter(|_| has_ancestor);
    let base = ancestor.map(flat).unwrap_or_default();
    let parts: Vec<Parts> = sides.iter().map(|side| claimed(side, strategy, &base)).collect();
    let mut merger = Merger { sides: &sides, strategy, resolution, conflicts: Vec::new() };
    let keys: BTreeSet<&PartKey> = parts.iter().flat_map(BTreeMap::keys).collect();
    let mut merged = Parts::new();
    for key in keys {
        let those: Vec<Option<&Fields>> = parts.iter().map(|parts| parts.get(key)).collect();
        if let Some(fields) = merger.part(key, base.get(key), &those) {
            merged.insert(key.clone(), fields);
        }
    }
    let conflicts = merger.conflicts;
    let (mut state, left_out) = whole(first.state, merged, &sides);
    if let Some(ancestor) = ancestor {
        both::count_work(&mut state, ancestor, &sides);
    }
    both::free_agents(&mut state, &sides);
    Merged { state, conflicts, left_out }
}

/// A kind of part, in the order of places, and its id.
type PartKey = (&'static str, String);

/// Fields by name; those of a map within a field as `configuration/timeout`.
pub(super) type Fields = BTreeMap<String, Value>;

type Parts = BTreeMap<PartKey, Fields>;

/// Fields that are maps whose keys are merged one by one.
const MAPS: &[&str] = &["resource_allocations", "dependencies", "configuration", "metrics", "extra", "resources"];

/// Fields that belong together: half of how one state and half of how another says that something stands would be how
/// it stands in neither.
const STANDING: &[&str] = &[
    "status",
    "started_at",
    "completed_at",
    "ended_at",
    "failure_reason",
    "assigned_agent",
    "attempts",
    "retry_count",
    "execution_time",
    "progress",
    "progress_percentage",
    "current_task",
    "deallocated",
    "last_error",
];

/// The name of [`STANDING`] taken as one.
pub(super) const STANDS: &str = "standing";

/// What a state claims. A document was read over the ancestor where there is one, so what it does not say is what it was.
fn claimed(side: &Side<'_>, strategy: MergeStrategy, base: &Parts) -> Parts {
    let mut parts = flat(side.state);
    let Some(said) = side.said else { return parts };
    match strategy {
        MergeStrategy::Latest => parts.retain(|key, _| said.names(key)),
        MergeStrategy::ThreeWay => said.narrow(&mut parts, |key| !base.contains_key(key)),
        MergeStrategy::PriorityBased | MergeStrategy::Union => said.narrow(&mut parts, |_| true),
    }
    parts
}

fn flat(whole: &Whole) -> Parts {
    let mut parts = Parts::new();
    let mut head = to_fields(&whole.head, STANDING);
    for derived in ["workflow_id", "state_version", "updated_at", "tasks_known", "counts", "counts_told"] {
        head.remove(derived);
    }
    let told = whole.head.told();
    if let Some(told) = serde_json::to_value(told).ok().filter(|_| told.total() > 0) {
        head.insert("counts".to_owned(), told);
    }
    parts.insert(("", String::new()), head);
    for (id, phase) in &whole.phases {
        let mut fields = to_fields(phase, STANDING);
        fields.remove("counts");
        parts.insert(("phases", id.to_string()), fields);
    }
    parts.extend(whole.tasks.iter().map(|(id, task)| (("tasks", id.to_string()), to_fields(task, STANDING))));
    parts.extend(whole.agents.iter().map(|(id, agent)| (("agents", id.to_string()), to_fields(agent, STANDING))));
    let shares = whole.allocations.iter();
    parts.extend(shares.map(|(id, share)| (("allocations", id.to_string()), to_fields(share, STANDING))));
    parts
}

/// The fields of a part; those in `one` are taken as one.
pub(super) fn to_fields(part: &impl Serialize, one: &[&str]) -> Fields {
    let Ok(Value::Object(doc)) = serde_json::to_value(part) else { return Fields::new() };
    let mut fields = Fields::new();
    let mut standing = Map::new();
    for (key, value) in doc {
        match value {
            Value::Object(map) if MAPS.contains(&key.as_str()) => {
                fields.extend(map.into_iter().map(|(inner, value)| (format!("{key}/{inner}"), value)));
            }
            value if one.contains(&key.as_str()) => drop(standing.insert(key, value)),
            value => drop(fields.insert(key, value)),
        }
    }
    if !standing.is_empty() {
        fields.insert(STANDS.to_owned(), Value::Object(standing));
    }
    fields
}

/// The document of a part.
pub(super) fn from_fields(fields: Fields) -> Value {
    let mut doc = Map::new();
    for (key, value) in fields {
        match (key.split_once('/'), value) {
            (Some((map, inner)), value) => {
                let map = doc.entry(map).or_insert_with(|| Value::Object(Map::new()));
                map[inner] = value;
            }
            (None, Value::Object(standing)) if key == STANDS => doc.extend(standing),
            (None, value) => drop(doc.insert(key, value)),
        }
    }
    Value::Object(doc)
}

struct Merger<'m> {
    sides: &'m [Side<'m>],
    strategy: MergeStrategy,
    resolution: ConflictResolution,
    conflicts: Vec<MergeConflict>,
}

impl Merger<'_> {
    fn part(&mut self, key: &PartKey, base: Option<&Fields>, those: &[Option<&Fields>]) -> Option<Fields> {
        match self.strategy {
            MergeStrategy::Latest => self.latest(key, those),
            MergeStrategy::ThreeWay => self.three_way(key, base, those),
            MergeStrategy::PriorityBased | MergeStrategy::Union => Some(self.together(key, those)),
        }
    }

    /// The part as the latest of those that have it says; a conflict where two are equally late.
    fn latest(&mut self, key: &PartKey, those: &[Option<&Fields>]) -> Option<Fields> {
        let age = |index: usize| {
            let head = &self.sides[index].state.head;
            (head.state_version, head.updated_at)
        };
        let newest = (0..those.len()).filter(|index| those[*index].is_some()).map(age).max()?;
        let late: Vec<Option<&Fields>> =
            those.iter().enumerate().map(|(index, part)| part.filter(|_| age(index) == newest)).collect();
        Some(self.together(key, &late))
    }

    /// Every field of any of them.
    fn together(&mut self, key: &PartKey, those: &[Option<&Fields>]) -> Fields {
        let names: BTreeSet<&String> = those.iter().flatten().flat_map(|fields| fields.keys()).collect();
        let mut merged = Fields::new();
        for name in names {
            let claims: Vec<Option<&Value>> = those.iter().map(|fields| fields.and_then(|one| one.get(name))).collect();
            let value = match one_value(claims.iter().flatten().copied()) {
                Some(value) => Some(value.clone()),
                None if self.strategy == MergeStrategy::Union && name == "dependencies" => Some(joined(&claims)),
                None => self.settle(place(key, Some(name)), None, &claims, false),
            };
            merged.extend(value.map(|value| (name.clone(), value)));
        }
        merged
    }

    /// What any of them changed since the ancestor.
    fn three_way(&mut self, key: &PartKey, base: Option<&Fields>, those: &[Option<&Fields>]) -> Option<Fields> {
        let is_gone = those.iter().any(Option::is_none) && base.is_some();
        let is_changed = those.iter().flatten().any(|fields| Some(*fields) != base);
        if is_gone && !is_changed {
            return None;
        }
        if is_gone {
            let whole: Vec<Option<Value>> = those.iter().map(|part| part.map(|one| from_fields(one.clone()))).collect();
            let claims: Vec<Option<&Value>> = whole.iter().map(Option::as_ref).collect();
            let base = base.map(|fields| from_fields(fields.clone()));
            let winner = self.winner(place(key, None), base.as_ref(), &claims, true).unwrap_or(0);
            return those[winner].cloned();
        }
        let names: BTreeSet<&String> = those.iter().flatten().copied().chain(base).flat_map(|one| one.keys()).collect();
        let mut merged = Fields::new();
        for name in names {
            let before = base.and_then(|base| base.get(name));
            // Who does not have a part that is new says nothing of it.
            let there = those.iter().flatten();
            let changed: Vec<Option<&Value>> =
                there.map(|fields| fields.get(name)).filter(|value| *value != before).collect();
            let value = match changed.as_slice() {
                [] => before.cloned(),
                [first, rest @ ..] if rest.iter().all(|other| other == first) => first.cloned(),
                _ => both::joined(key, name, before, &changed).or_else(|| {
                    let claims: Vec<_> = those.iter().map(|fields| fields.and_then(|one| one.get(name))).collect();
                    self.settle(place(key, Some(name)), before, &claims, true)
                }),
            };
            merged.extend(value.map(|value| (name.clone(), value)));
        }
        Some(merged)
    }

    fn settle(
        &mut self,
        place: String,
        base: Option<&Value>,
        claims: &[Option<&Value>],
        may_be_none: bool,
    ) -> Option<Value> {
        let winner = self.winner(place, base, claims, may_be_none);
        let first = || claims.iter().position(Option::is_some);
        winner.or_else(first).and_then(|index| claims[index].cloned())
    }

    /// Notes a conflict; who wins it.
    fn winner(
        &mut self,
        place: String,
        base: Option<&Value>,
        claims: &[Option<&Value>],
        may_be_none: bool,
    ) -> Option<usize> {
        let has_claim = |index: &usize| may_be_none || claims[*index].is_some();
        let mut those = (0..claims.len()).filter(has_claim);
        let winner = match self.resolution {
            ConflictResolution::ManualReview => None,
            ConflictResolution::CheckpointPriority => {
                let mut others = (0..claims.len()).filter(has_claim);
                those.find(|index| !self.sides[*index].is_current).or_else(|| others.next())
            }
            ConflictResolution::CurrentPriority => {
                let mut others = (0..claims.len()).filter(has_claim);
                those.find(|index| self.sides[*index].is_current).or_else(|| others.next())
            }
        };
        let say = |(side, value): (&Side<'_>, &Option<&Value>)| Claim {
            source: side.name.to_owned(),
            value: value.cloned().unwrap_or(Value::Null),
        };
        self.conflicts.push(MergeConflict {
            place,
            base: base.cloned().unwrap_or(Value::Null),
            claims: self.sides.iter().zip(claims).map(say).collect(),
            winner: winner.map(|index| self.sides[index].name.to_owned()),
        });
        winner
    }
}

fn place((kind, id): &PartKey, field: Option<&str>) -> String {
    [*kind, id, field.unwrap_or_default()].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("/")
}

/// The value that all of them are; `None` where two differ.
fn one_value<'v>(mut values: impl Iterator<Item = &'v Value>) -> Option<&'v Value> {
    let first = values.next()?;
    values.all(|other| other == first).then_some(first)
}

/// The items of all lists, each once, in their order.
fn joined(lists: &[Option<&Value>]) -> Value {
    let mut items: Vec<Value> = Vec::new();
    for item in lists.iter().flatten().filter_map(|list| list.as_array()).flatten() {
        if !items.contains(item) {
            items.push(item.clone());
        }
    }
    Value::Array(items)
}

/// The state of merged parts, as late as the latest of the sides, with its counts counted; and what is none of it.
fn whole(first: &Whole, parts: Parts, sides: &[Side<'_>]) -> (Whole, Vec<String>) {
    let mut state = Whole::new(first.head.workflow_id.clone());
    let mut left_out = Vec::new();
    for (key, fields) in parts {
        let (kind, id) = &key;
        let put = match *kind {
            "phases" => put(&mut state.phases, id, read(fields)),
            "tasks" => put(&mut state.tasks, id, read(fields)),
            "agents" => put(&mut state.agents, id, read(fields)),
            "allocations" => put(&mut state.allocations, id, read(fields)),
            _ => {
                let mut fields = fields;
                fields.insert("workflow_id".to_owned(), first.head.workflow_id.as_str().into());
                read::<Head>(fields).map(|head| state.head = head)
            }
        };
        left_out.extend(put.err().map(|why| format!("{}: {why}", place(&key, None))));
    }
    state.head.state_version = sides.iter().map(|side| side.state.head.state_version).max().unwrap_or(0);
    state.head.updated_at = sides.iter().filter_map(|side| side.state.head.updated_at).max();
    let told = told_beside(&state, sides);
    enter_phases(&mut state);
    (state.recounted_beside(told), left_out)
}

/// A part of its fields. Each of them came from a part of the same kind, so together they should be one, too.
fn read<T: DeserializeOwned>(fields: Fields) -> Result<T, String> {
    serde_json::from_value(from_fields(fields)).map_err(|error| error.to_string())
}

fn put<K, V>(parts: &mut BTreeMap<K, V>, id: &str, part: Result<V, String>) -> Result<(), String>
where
    K: std::str::FromStr<Err: ToString> + Ord,
{
    let id = id.parse().map_err(|error: K::Err| error.to_string())?;
    parts.insert(id, part?);
    Ok(())
}

/// What was told of tasks beside those that are known now: together no more than any of the states has, since what one
/// of them tells another may know.
fn told_beside(state: &Whole, sides: &[Side<'_>]) -> TaskCounts {
    let mut told = state.head.told();
    let most = sides.iter().map(|side| side.state.head.counts.total()).max().unwrap_or(0);
    let room = most.saturating_sub(state.tasks.len() as u64);
    while told.total() > room {
        told.take(&[TaskStatus::Pending, TaskStatus::Active, TaskStatus::Completed, TaskStatus::Failed]);
    }
    told
}

/// A phase that a task names is entered where it is not there.
fn enter_phases(state: &mut Whole) {
    let Whole { phases, tasks, .. } = state;
    for id in tasks.values().filter_map(|task| task.phase_id.as_ref()) {
        phases.entry(id.clone()).or_insert_with(|| Phase::new(id.clone()));
    }
}
