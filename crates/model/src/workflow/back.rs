//! The state that the undo of a recovery aims at: a merge of three, field by field.
//!
//! Owns what of the present stays: each field that was set since otherwise than the recovery had left it. All else comes back,
//! and where both together cannot be, the repair that the finding has decides. Refuses to know where the states come from.

use std::collections::{BTreeMap, BTreeSet};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::merge::{Fields, STANDS, from_fields, to_fields};
use super::parts::{Allocation, Head, Phase, Task};
use super::validate::{Context, StateFinding, mend, validate};
use super::whole::same_but_for_counts;
use super::{Agent, Whole};
use crate::finding::Severity;

/// A place of the state at which something else stands after an undo than stood there before the recovery.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, schemars::JsonSchema)]
pub struct StateKept {
    /// Where: `tasks/t1/status`, `configuration/timeout`, `tasks/t9` for a whole part.
    pub place: String,
    /// What stood there before the recovery; `null` where nothing did.
    pub before: Value,
    /// What stays there; `null` where nothing does.
    pub stays: Value,
    /// The contradiction that was resolved so; `null` where it is what was recorded since the recovery.
    pub contradiction: Option<String>,
}

/// The state that an undo aims at.
#[derive(Clone, PartialEq, Debug)]
pub struct Back {
    /// The state.
    pub state: Whole,
    /// What of the present stays in it, and what had to be resolved, in the order of places.
    pub kept: Vec<StateKept>,
}

/// So many times contradictions are looked for: resolving one may bring another to light.
const ROUNDS_MAX: usize = 8;

/// Fields that stay or come back as one: a status of now with the times of before would be how something stood never.
const STANDING: &[&str] = &["status", "started_at", "completed_at", "ended_at", "failure_reason"];

/// The same of an agent.
const AT_WORK: &[&str] = &["status", "current_task", "progress", "deallocated"];

/// What follows from events or from tasks, so that no merge decides on it.
const DERIVED: [&str; 7] =
    ["workflow_id", "state_version", "updated_at", "recovery", "tasks_known", "counts", "counts_told"];

impl Whole {
    /// What taking a recovery back aims at: the recovery made the state `restored`, and it was `self` before. What somebody
    /// set since stays, field by field.
    pub fn taken_back(&self, restored: &Self, present: &Self) -> Back {
        let mut kept = Vec::new();
        let (was, made, is) = (self.head.told(), restored.head.told(), present.head.told());
        let told = if made == is { was } else { is };
        let mut state = Self {
            head: head(&self.head, &restored.head, &present.head, &mut kept),
            phases: parts([&self.phases, &restored.phases, &present.phases], same_but_for_counts, &mut kept),
            tasks: parts([&self.tasks, &restored.tasks, &present.tasks], PartialEq::eq, &mut kept),
            agents: parts([&self.agents, &restored.agents, &present.agents], PartialEq::eq, &mut kept),
            allocations: parts(
                [&self.allocations, &restored.allocations, &present.allocations],
                PartialEq::eq,
                &mut kept,
            ),
        };
        keep_named(&mut state, (self, present), &mut kept);
        let mut back = Back { state: state.recounted_beside(told), kept };
        back.settle(self, present);
        back.kept.sort_by(|one, other| one.place.cmp(&other.place));
        back
    }
}

impl Back {
    /// Resolves what neither `before` nor `present` contradicts itself in: as the repair of the finding has it.
    fn settle(&mut self, before: &Whole, present: &Whole) {
        let is_resolved = |finding: &StateFinding| {
            finding.repair.as_ref().is_some_and(|repair| repair.safe || finding.severity >= Severity::Error)
        };
        let mut known: Option<BTreeSet<(String, String)>> = None;
        for _ in 0..ROUNDS_MAX {
            let found: Vec<StateFinding> =
                validate(&self.state, Context::default()).into_iter().filter(is_resolved).collect();
            if found.is_empty() {
                return;
            }
            let known = known.get_or_insert_with(|| {
                let both = [before, present].into_iter().flat_map(|state| validate(state, Context::default()));
                both.map(|finding| (finding.code, finding.place)).collect()
            });
            let mut is_changed = false;
            for finding in found {
                let StateFinding { code, place, message, repair, .. } = finding;
                let Some(repair) = repair.filter(|_| !known.contains(&(code, place.clone()))) else { continue };
                if mend::apply(&mut self.state, &repair.mend) {
                    is_changed = true;
                    self.kept.retain(|kept| kept.place != place);
                    let (before, stays) = (at(before, &place), at(&self.state, &place));
                    self.kept.push(StateKept { place, before, stays, contradiction: Some(message) });
                }
            }
            if !is_changed {
                return;
            }
        }
    }
}

/// What a state says at a place.
fn at(whole: &Whole, place: &str) -> Value {
    let value = |part: Option<Value>, field: &str| part.and_then(|part| part.get(field).cloned()).unwrap_or_default();
    match place.split('/').collect::<Vec<_>>()[..] {
        ["phases", id, field] => value(part_at(&whole.phases, id), field),
        ["tasks", id, field] => value(part_at(&whole.tasks, id), field),
        ["agents", id, field] => value(part_at(&whole.agents, id), field),
        [field] => value(serde_json::to_value(&whole.head).ok(), field),
        _ => Value::Null,
    }
}

fn part_at<K: std::str::FromStr + Ord, V: Serialize>(parts: &BTreeMap<K, V>, id: &str) -> Option<Value> {
    parts.get(&id.parse().ok()?).and_then(|part| serde_json::to_value(part).ok())
}

/// A phase or an agent that something names which stays stays with it; what `before` named comes back as it did.
fn keep_named(state: &mut Whole, (before, present): (&Whole, &Whole), kept: &mut Vec<StateKept>) {
    let was = |task: &Task| before.tasks.get(&task.task_id);
    let is_new = |task: &&Task| was(task).is_none_or(|was| was.phase_id != task.phase_id);
    let of_tasks = state.tasks.values().filter(is_new).filter_map(|task| task.phase_id.clone());
    let current = state.head.current_phase.clone().filter(|id| before.head.current_phase.as_ref() != Some(id));
    let phases: BTreeSet<_> = of_tasks.chain(current).collect();
    keep_all(phases, &mut state.phases, &present.phases, kept);
    let is_new = |task: &&Task| was(task).is_none_or(|was| was.assigned_agent != task.assigned_agent);
    let agents: BTreeSet<_> =
        state.tasks.values().filter(is_new).filter_map(|task| task.assigned_agent.clone()).collect();
    keep_all(agents, &mut state.agents, &present.agents, kept);
}

/// Keeps those of some parts that are there at present.
fn keep_all<V: Part>(
    ids: BTreeSet<V::Id>,
    parts: &mut BTreeMap<V::Id, V>,
    present: &BTreeMap<V::Id, V>,
    kept: &mut Vec<StateKept>,
) {
    for id in ids {
        if let (false, Some(part)) = (parts.contains_key(&id), present.get(&id)) {
            kept.push(whole_part(format!("{}/{id}", V::KIND), None, Some(part)));
            parts.insert(id, part.clone());
        }
    }
}

fn whole_part<V: Serialize>(place: String, before: Option<&V>, stays: Option<&V>) -> StateKept {
    let value = |part: Option<&V>| part.and_then(|part| serde_json::to_value(part).ok()).unwrap_or_default();
    StateKept { place, before: value(before), stays: value(stays), contradiction: None }
}

/// A part as such: its kind, and what one is of which nothing is known.
trait Part: Serialize + DeserializeOwned + Clone {
    type Id: Ord + Clone + std::fmt::Display;
    const KIND: &'static str;
    const AS_ONE: &'static [&'static str] = STANDING;
    fn fresh(id: &Self::Id) -> Self;
}

impl Part for Phase {
    type Id = crate::phase::PhaseId;
    const KIND: &'static str = "phases";
    fn fresh(id: &Self::Id) -> Self {
        Self::new(id.clone())
    }
}

impl Part for Task {
    type Id = crate::ids::TaskId;
    const KIND: &'static str = "tasks";
    fn fresh(id: &Self::Id) -> Self {
        Self::new(id.clone())
    }
}

impl Part for Agent {
    type Id = crate::ids::AgentId;
    const KIND: &'static str = "agents";
    const AS_ONE: &'static [&'static str] = AT_WORK;
    fn fresh(id: &Self::Id) -> Self {
        Self::new(id.clone())
    }
}

impl Part for Allocation {
    type Id = crate::ids::AllocationId;
    const KIND: &'static str = "allocations";
    fn fresh(id: &Self::Id) -> Self {
        Self::new(id.clone())
    }
}

fn parts<V: Part>(
    [before, restored, present]: [&BTreeMap<V::Id, V>; 3],
    is_same: impl Fn(&V, &V) -> bool,
    kept: &mut Vec<StateKept>,
) -> BTreeMap<V::Id, V> {
    // Three runs that are sorted: to merge them takes less than to look each id up in a set.
    let mut ids: Vec<&V::Id> = before.keys().chain(restored.keys()).chain(present.keys()).collect();
    ids.sort();
    ids.dedup();
    let are_same = |one: Option<&V>, other: Option<&V>| match (one, other) {
        (Some(one), Some(other)) => is_same(one, other),
        (one, other) => one.is_none() && other.is_none(),
    };
    let mut merged = BTreeMap::new();
    for id in ids {
        let (was, made, is) = (before.get(id), restored.get(id), present.get(id));
        // Most parts are one or the other as a whole: only of what is left each field is looked at.
        let part = if are_same(made, is) {
            was.cloned()
        } else if are_same(was, is) {
            is.cloned()
        } else if let (Some(was), Some(is)) = (was, is) {
            Some(of_fields(id, [was, made.unwrap_or(&V::fresh(id)), is], kept))
        } else {
            kept.push(whole_part(format!("{}/{id}", V::KIND), was, is));
            is.cloned()
        };
        merged.extend(part.map(|part| (id.clone(), part)));
    }
    merged
}

/// A part of the fields of three.
fn of_fields<V: Part>(id: &V::Id, three: [&V; 3], kept: &mut Vec<StateKept>) -> V {
    let [was, made, is] = three.map(|part| {
        let mut fields = to_fields(part, V::AS_ONE);
        fields.remove("counts");
        fields
    });
    let mut named = Vec::new();
    let fields = merged([&was, &made, &is], &format!("{}/{id}/", V::KIND), &mut named);
    match serde_json::from_value(from_fields(fields)) {
        Ok(part) => {
            kept.extend(named);
            part
        }
        // Each field came from a part of the same kind, so together they are one, too.
        Err(_) => three[2].clone(),
    }
}

/// Field by field; what events count and what the last recovery was is the present's.
fn head(before: &Head, restored: &Head, present: &Head, kept: &mut Vec<StateKept>) -> Head {
    let [was, made, is] = [before, restored, present].map(|head| {
        let mut fields = to_fields(head, STANDING);
        fields.retain(|name, _| !DERIVED.contains(&name.as_str()));
        fields
    });
    let mut named = Vec::new();
    let mut fields = merged([&was, &made, &is], "", &mut named);
    let derived = to_fields(present, STANDING).into_iter().filter(|(name, _)| DERIVED.contains(&name.as_str()));
    fields.extend(derived);
    match serde_json::from_value(from_fields(fields)) {
        Ok(head) => {
            kept.extend(named);
            head
        }
        Err(_) => present.clone(),
    }
}

/// Each field that is another one now than the recovery left it is as it is now, all others as they were.
fn merged([was, made, is]: [&Fields; 3], place: &str, kept: &mut Vec<StateKept>) -> Fields {
    let names: BTreeSet<&String> = was.keys().chain(made.keys()).chain(is.keys()).collect();
    let mut merged = Fields::new();
    for name in names {
        let (was, is) = (was.get(name), is.get(name));
        let stays = made.get(name) != is;
        if stays && was != is {
            name_kept(place, name, (was, is), kept);
        }
        let value = if stays { is } else { was };
        merged.extend(value.map(|value| (name.clone(), value.clone())));
    }
    merged
}

/// Names a field that stays; of those that are taken as one, each that is another one.
fn name_kept(place: &str, name: &str, (was, is): (Option<&Value>, Option<&Value>), kept: &mut Vec<StateKept>) {
    let mut note = |name: &str, was: Option<&Value>, is: Option<&Value>| {
        let value = |value: Option<&Value>| value.cloned().unwrap_or_default();
        kept.push(StateKept {
            place: format!("{place}{name}"),
            before: value(was),
            stays: value(is),
            contradiction: None,
        });
    };
    if name != STANDS {
        return note(name, was, is);
    }
    let fields = |value: Option<&Value>| value.and_then(Value::as_object).cloned().unwrap_or_default();
    let (was, is): (Map<String, Value>, Map<String, Value>) = (fields(was), fields(is));
    let names: BTreeSet<&String> = was.keys().chain(is.keys()).collect();
    for name in names.into_iter().filter(|name| was.get(*name) != is.get(*name)) {
        note(name, was.get(name), is.get(name));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workflow::validate::is_valid;
    use crate::workflow::{PhaseStatus, TaskStatus};

    fn phase(status: PhaseStatus, name: Option<&str>) -> Phase {
        Phase { status, name: name.map(str::to_owned), ..Phase::new("1".parse().expect("a valid id")) }
    }

    fn task(status: TaskStatus, text: Option<&str>) -> Task {
        Task {
            status,
            description: text.map(str::to_owned),
            phase_id: Some("1".parse().expect("a valid id")),
            ..Task::new("t1".parse().expect("a valid id"))
        }
    }

    fn state(phase: Phase, task: Task) -> Whole {
        let mut whole = Whole::new("wf".parse().expect("a valid id"));
        whole.phases.insert(phase.phase_id.clone(), phase);
        whole.tasks.insert(task.task_id.clone(), task);
        whole.recounted()
    }

    fn places(back: &Back) -> Vec<(&str, bool)> {
        back.kept.iter().map(|kept| (kept.place.as_str(), kept.contradiction.is_some())).collect()
    }

    #[test]
    fn a_part_that_an_event_names_comes_back_but_for_what_the_event_said() {
        let before = state(phase(PhaseStatus::InProgress, Some("Design")), task(TaskStatus::Pending, Some("write")));
        let restored = Whole::new("wf".parse().expect("a valid id"));
        let present = state(phase(PhaseStatus::Pending, None), task(TaskStatus::Active, None));
        let back = before.taken_back(&restored, &present);
        let expected = state(phase(PhaseStatus::InProgress, Some("Design")), task(TaskStatus::Active, Some("write")));
        assert!(back.state.says_the_same(&expected), "{back:?}");
        assert_eq!(places(&back), [("tasks/t1/status", false)]);
        assert_eq!(back.state.phases, expected.phases, "counts, too");
    }

    #[test]
    fn what_cannot_be_together_is_resolved_as_its_repair_has_it() {
        let before = state(phase(PhaseStatus::Completed, Some("Design")), task(TaskStatus::Completed, None));
        let restored = state(phase(PhaseStatus::InProgress, Some("Design")), task(TaskStatus::Pending, None));
        let present = state(phase(PhaseStatus::InProgress, Some("Design")), task(TaskStatus::Active, None));
        let back = before.taken_back(&restored, &present);
        assert!(is_valid(&validate(&back.state, Context::default())), "{back:?}");
        assert_eq!(places(&back), [("phases/1/status", true), ("tasks/t1/status", false)]);
        let phase = back.state.phases.values().next().expect("there is one");
        assert_eq!(phase.status, PhaseStatus::InProgress);
        assert_eq!((&back.kept[0].before, &back.kept[0].stays), (&"completed".into(), &"in_progress".into()));
    }

    #[test]
    fn a_contradiction_that_was_there_before_comes_back_with_it() {
        let before = state(phase(PhaseStatus::Completed, Some("Design")), task(TaskStatus::Active, None));
        let restored = Whole::new("wf".parse().expect("a valid id"));
        let back = before.taken_back(&restored, &restored);
        assert!(back.state.says_the_same(&before) && back.kept.is_empty(), "{back:?}");
    }

    #[test]
    fn a_phase_stays_with_the_task_that_stays_in_it() {
        let before = Whole::new("wf".parse().expect("a valid id"));
        let mut restored = state(phase(PhaseStatus::InProgress, Some("Design")), task(TaskStatus::Pending, None));
        restored.tasks.clear();
        let present = state(phase(PhaseStatus::InProgress, Some("Design")), task(TaskStatus::Active, None));
        let back = before.taken_back(&restored.recounted(), &present);
        assert!(back.state.says_the_same(&present), "{back:?}");
        assert_eq!(places(&back), [("phases/1", false), ("tasks/t1", false)]);
    }
}
