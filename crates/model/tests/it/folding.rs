//! The fold is a function of the events: not of how they were batched, nor of what was in memory.

use std::collections::BTreeMap;
use std::convert::Infallible;

use proptest::prelude::*;
use serde_json::{Value, json};
use wfr_model::event::Draft;
use wfr_model::workflow::fold::{Anomaly, apply};
use wfr_model::workflow::validate::{Context, is_valid, validate};
use wfr_model::workflow::{
    Agent, Allocation, Head, Nowhere, Phase, Source, State, Task, TaskCounts, TaskStatus, Whole,
};
use wfr_model::{AgentId, AllocationId, Event, PhaseId, TaskId, Timestamp};

use crate::events::any_event;

/// A state on a shelf, as text: what a batch leaves for the next.
#[derive(Default)]
struct Shelf {
    head: Option<String>,
    phases: BTreeMap<PhaseId, String>,
    tasks: BTreeMap<TaskId, String>,
    agents: BTreeMap<AgentId, String>,
    allocations: BTreeMap<AllocationId, String>,
}

impl Source for Shelf {
    type Error = Infallible;

    fn task(&mut self, id: &TaskId) -> Result<Option<Task>, Infallible> {
        Ok(self.tasks.get(id).map(|text| serde_json::from_str(text).unwrap()))
    }

    fn agent(&mut self, id: &AgentId) -> Result<Option<Agent>, Infallible> {
        Ok(self.agents.get(id).map(|text| serde_json::from_str(text).unwrap()))
    }

    fn allocation(&mut self, id: &AllocationId) -> Result<Option<Allocation>, Infallible> {
        Ok(self.allocations.get(id).map(|text| serde_json::from_str(text).unwrap()))
    }

    fn allocations(&mut self) -> Result<Vec<Allocation>, Infallible> {
        Ok(self.allocations.values().map(|text| serde_json::from_str(text).unwrap()).collect())
    }
}

impl Shelf {
    fn fold(&mut self, events: &[Event]) -> Vec<Anomaly> {
        let head: Head = match &self.head {
            Some(text) => serde_json::from_str(text).unwrap(),
            None => Head::new("wf".parse().unwrap()),
        };
        let phases: Vec<Phase> = self.phases.values().map(|text| serde_json::from_str(text).unwrap()).collect();
        let mut state = State::loaded(head, phases);
        let odd = events.iter().flat_map(|event| apply(&mut state, self, event).unwrap()).collect();
        self.head = Some(serde_json::to_string(&state.head).unwrap());
        keep(&mut self.phases, state.phases.take_changes());
        keep(&mut self.tasks, state.tasks.take_changes());
        keep(&mut self.agents, state.agents.take_changes());
        keep(&mut self.allocations, state.allocations.take_changes());
        odd
    }

    fn whole(&self) -> Value {
        let all = [
            self.phases.values().collect::<Vec<_>>(),
            self.tasks.values().collect(),
            self.agents.values().collect(),
            self.allocations.values().collect(),
        ];
        json!([self.head, all])
    }
}

fn keep<K: Ord + Clone, V: serde::Serialize>(kept: &mut BTreeMap<K, String>, changes: Vec<(&K, Option<&V>)>) {
    for (id, part) in changes {
        match part {
            Some(part) => drop(kept.insert(id.clone(), serde_json::to_string(part).unwrap())),
            None => drop(kept.remove(id)),
        }
    }
}

/// The counts, counted again from the tasks themselves.
fn counted<'t>(tasks: impl Iterator<Item = &'t Task>) -> TaskCounts {
    tasks.fold(TaskCounts::default(), |mut counts, task| {
        *counts.of(task.status) += 1;
        counts
    })
}

proptest! {
    #[test]
    fn batches_do_not_matter(events in prop::collection::vec(any_event(), 0..60), size in 1..9_usize) {
        let (mut once, mut often) = (Shelf::default(), Shelf::default());
        let odd = once.fold(&events);
        let in_batches: Vec<Anomaly> = events.chunks(size).flat_map(|batch| often.fold(batch)).collect();
        prop_assert_eq!(odd, in_batches);
        if !events.is_empty() {
            prop_assert_eq!(once.whole(), often.whole());
        }
    }

    #[test]
    fn every_task_is_counted_once(events in prop::collection::vec(any_event(), 0..60)) {
        let mut state = State::new("wf".parse().unwrap());
        for event in &events {
            apply(&mut state, &mut Nowhere, event).unwrap();
        }
        prop_assert_eq!(state.head.state_version, events.len() as u64);
        let known = state.tasks.values().count() as u64;
        prop_assert_eq!(state.head.tasks_known, known);
        prop_assert_eq!(state.head.known(), counted(state.tasks.values()));
        for (id, phase) in state.phases.sorted() {
            prop_assert_eq!(phase.counts, counted(state.tasks.values().filter(|task| task.phase_id.as_ref() == Some(id))));
        }
    }
}

#[test]
fn what_was_told_of_tasks_stays_the_base_of_what_becomes_known() {
    let told = r#"WORKFLOW_STATE_UPDATED:wf:global:{"completed_tasks": 15, "pending_tasks": 3}"#;
    let start = r#"TASK_STARTED:wf:1:{"task_id": "t2", "agent_id": "a1"}"#;
    let mut state = State::new("wf".parse().unwrap());
    let mut tell = |text: &str| {
        let event = Draft::read(text).unwrap().complete(|| "evt_u".parse().unwrap(), Timestamp(9), "test");
        assert_eq!(apply(&mut state, &mut Nowhere, &event).unwrap(), vec![]);
        let counts = state.head.counts;
        (counts.completed, counts.active, counts.pending, state.head.tasks_known)
    };
    assert_eq!(tell(told), (15, 0, 3, 0));
    assert_eq!(tell(r#"TASK_COMPLETED:wf:1:{"task_id": "t1", "agent_id": "a1"}"#), (16, 0, 2, 1));
    assert_eq!(tell(start), (16, 1, 1, 2));
    assert_eq!(tell(r#"TASK_COMPLETED:wf:1:{"task_id": "t2", "agent_id": "a1"}"#), (17, 0, 1, 2));
    let listed = r#"WORKFLOW_STATE_UPDATED:wf:global:{"tasks": {"t3": {"status": "completed"}, "t4": {}, "t5": {}}}"#;
    assert_eq!(tell(listed), (17, 0, 2, 5), "t3 and t4 are among those that were told, t5 is one more");
    let goal = Whole::of(&state);
    let data = Whole::new("wf".parse().unwrap()).difference(&goal).unwrap();
    let text = format!("WORKFLOW_STATE_UPDATED:wf:global:{}", Value::Object(data));
    let update = Draft::read(&text).unwrap().complete(|| "evt_u".parse().unwrap(), Timestamp(9), "test");
    let mut other = State::new("wf".parse().unwrap());
    apply(&mut other, &mut Nowhere, &update).unwrap();
    assert_eq!(other.head.counts, goal.head.counts);
    assert!(Whole::of(&other).says_the_same(&goal));
}

fn folded(events: &[Event]) -> State {
    let mut state = State::new("wf".parse().unwrap());
    for event in events {
        apply(&mut state, &mut Nowhere, event).unwrap();
    }
    state
}

/// A few events: a state.
fn any_state() -> impl Strategy<Value = Whole> {
    prop::collection::vec(any_event(), 0..30).prop_map(|events| Whole::of(&folded(&events)))
}

proptest! {
    #[test]
    fn taking_back_gives_what_was_before_but_for_what_was_changed_since(
        before in any_state(), restored in any_state(), present in any_state(),
    ) {
        prop_assert!(before.taken_back(&restored, &restored).state.says_the_same(&before));
        prop_assert!(restored.taken_back(&restored, &present).state.says_the_same(&present));
        let back = before.taken_back(&restored, &present);
        for (id, task) in &present.tasks {
            let is_changed = restored.tasks.get(id) != Some(task);
            let status = |state: &Whole| state.tasks.get(id).map(|task| task.status);
            let is_set = is_changed && status(&restored).unwrap_or_default() != task.status;
            prop_assert!(!is_set || status(&back.state) == Some(task.status));
        }
        let is_sound = |state: &Whole| is_valid(&validate(state, Context::default()));
        prop_assert!(!is_sound(&before) || !is_sound(&present) || is_sound(&back.state), "{:#?}", back);
    }

    #[test]
    fn progress_is_kept_and_the_rest_is_the_checkpoints(checkpoint in any_state(), present in any_state()) {
        let aim = checkpoint.with_progress_of(&present);
        for (id, task) in &aim.tasks {
            let is_done = present.tasks.get(id).is_some_and(|task| task.status == TaskStatus::Completed);
            prop_assert_eq!(Some(task), if is_done { present.tasks.get(id) } else { checkpoint.tasks.get(id) });
        }
        for agent in aim.agents.values() {
            let works_on = agent.current_task.as_ref().and_then(|task| aim.tasks.get(task));
            prop_assert!(works_on.is_none_or(|task| task.status != TaskStatus::Completed));
        }
    }
}

proptest! {
    #[test]
    fn a_difference_makes_one_state_like_another(
        one in prop::collection::vec(any_event(), 0..40),
        other in prop::collection::vec(any_event(), 0..40),
    ) {
        let (mut from, goal) = (folded(&one), Whole::of(&folded(&other)));
        let Some(data) = Whole::of(&from).difference(&goal) else { return Ok(()) };
        let text = format!("WORKFLOW_STATE_UPDATED:wf:global:{}", Value::Object(data));
        let update = Draft::read(&text).unwrap().complete(|| "evt_u".parse().unwrap(), Timestamp(9), "test");
        let odd = apply(&mut from, &mut Nowhere, &update).unwrap();
        prop_assert_eq!(odd, vec![]);
        prop_assert!(Whole::of(&from).says_the_same(&goal), "{:?}\n{:?}", Whole::of(&from), goal);
    }
}

#[test]
fn a_workflow_that_starts_says_how_many_phases_it_has() {
    let line = r#"WORKFLOW_STARTED:wf:global:{"total_phases":4,"note":"is the event's own"}"#;
    let event = Draft::read(line).unwrap().complete(|| "evt_1".parse().unwrap(), Timestamp(1), "test");
    let mut state = State::new("wf".parse().unwrap());
    assert_eq!(apply(&mut state, &mut Nowhere, &event).unwrap(), []);
    assert_eq!((state.head.total_phases, state.head.extra.len()), (Some(4), 0));
}
