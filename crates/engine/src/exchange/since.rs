//! What a source said when it was imported last, and what of what it says now is new.
//!
//! Owns that memory: the whole of what was said lies in the data of the event that an import appends. A document that
//! says what it said before changes nothing, however far the state went on. Refuses to know how documents are written.

use serde_json::{Map, Value};
use wfr_catalog::{CatalogError, EventQuery, EventSeq};
use wfr_model::event::{EventName, EventType};
use wfr_model::workflow::Whole;
use wfr_model::workflow::fold::FIELD_INVALID;
use wfr_model::workflow::markdown::Plan;
use wfr_model::workflow::merge::{ConflictResolution, MergeConflict, MergeStrategy, Side, merge};
use wfr_model::{Timestamp, WorkflowId};

use super::{Update, fold_into, update_event};
use crate::error::Failure;
use crate::open::Open;
use crate::results::IgnoredPart;

/// The key of an event's data with what its source had said by then.
pub(super) const SAID: &str = "imported_state";

/// How many events are looked at together.
const PAGE: u32 = 16;

/// What a source said of a workflow, all imports taken together; `None` where nothing was imported from it.
pub(super) fn last_said(open: &Open, workflow: &WorkflowId, source: &str) -> Result<Option<Whole>, CatalogError> {
    let mut query = EventQuery {
        workflow: Some(workflow.clone()),
        types: vec![EventName::Known(EventType::WorkflowStateUpdated)],
        descending: true,
        limit: Some(PAGE),
        ..EventQuery::default()
    };
    loop {
        let rows = open.catalog.events(&query)?;
        let Some(last) = rows.last() else { return Ok(None) };
        query.upto = Some(EventSeq(last.seq.0 - 1));
        let mut of_source =
            rows.iter().filter(|row| row.event.data.get("imported_from").is_some_and(|from| from == source));
        let said = of_source.find_map(|row| serde_json::from_value(row.event.data.get(SAID)?.clone()).ok());
        if said.is_some() {
            return Ok(said);
        }
    }
}

/// What a source says, beside what it said before.
pub(super) struct Saying<'s> {
    workflow: &'s WorkflowId,
    source: &'s str,
    now: Timestamp,
    before: Option<Whole>,
    /// All that it said so far.
    pub(super) says: Whole,
    at: Option<Timestamp>,
    version: Option<u64>,
    /// What deserves a word.
    pub(super) notes: Vec<IgnoredPart>,
}

impl<'s> Saying<'s> {
    pub(super) fn new(workflow: &'s WorkflowId, source: &'s str, now: Timestamp, before: Option<Whole>) -> Self {
        let says = before.clone().unwrap_or_else(|| Whole::new(workflow.clone()));
        Self { workflow, source, now, before, says, at: None, version: None, notes: Vec::new() }
    }

    /// Whether something is said that was not said before.
    pub(super) fn has_news(&self) -> bool {
        self.before.as_ref().is_none_or(|before| !before.says_the_same(&self.says))
    }

    /// Whether it said anything before.
    pub(super) fn has_said(&self) -> bool {
        self.before.is_some()
    }

    /// Brings `goal`, a state, to what is said, one update after the other. `existed` says whether anybody knew it.
    pub(super) fn bring(&mut self, updates: Vec<Update>, goal: &mut Whole, existed: bool) -> Result<(), Failure> {
        let mut patched = goal.clone();
        let is_plan = updates.iter().any(|update| matches!(update, Update::Plan(_)));
        for update in updates {
            let (says, sets) = match update {
                Update::Fields(data) => (data.clone(), data),
                Update::Plan(plan) => {
                    self.name_missing(&plan);
                    (plan.update(&self.says), plan.update(&patched))
                }
            };
            self.hear(says)?;
            fold_into(&mut patched, &[update_event(self.workflow, sets, self.source, self.now)?]);
        }
        let is_older = existed && self.is_older_than(goal);
        if self.before.is_none() && !is_older {
            *goal = patched;
        } else if self.has_news() {
            self.merge_into(goal, is_plan);
        }
        Ok(())
    }

    fn hear(&mut self, data: Map<String, Value>) -> Result<(), Failure> {
        let at = data.get("updated_at").and_then(|at| at.as_str()?.parse().ok());
        self.at = self.at.max(at);
        self.version = self.version.max(data.get("state_version").and_then(Value::as_u64));
        // The fold takes an event's time where nobody says another, which is another one each time.
        let created_at = self.says.head.created_at;
        let is_dated = data.contains_key("created_at");
        let odd = fold_into(&mut self.says, &[update_event(self.workflow, data, self.source, self.now)?]);
        let named = odd.into_iter().filter(|one| one.code == FIELD_INVALID);
        let place = self.workflow.to_string();
        self.notes.extend(named.map(|one| IgnoredPart { place: place.clone(), why: one.message }));
        if !is_dated {
            self.says.head.created_at = created_at;
        }
        Ok(())
    }

    /// When a workflow last changed of which nothing was known before its document said so: the document's own time, unless
    /// that cannot be, or what its log says came later.
    pub(super) fn time_of_new(&self, log_says: &Whole) -> Timestamp {
        let is_possible = |at: &Timestamp| *at <= self.now && log_says.head.updated_at.is_none_or(|last| last <= *at);
        self.at.filter(is_possible).unwrap_or(self.now)
    }

    /// By its time, else by its version.
    fn is_older_than(&self, state: &Whole) -> bool {
        match (self.at, state.head.updated_at) {
            (Some(at), Some(changed)) => at < changed,
            _ => self.version.is_some_and(|version| version < state.head.state_version),
        }
    }

    /// Takes over what is new. Where the state changed the same place, the later one wins; a plan has no time, and is
    /// what a person has just edited.
    fn merge_into(&mut self, goal: &mut Whole, is_plan: bool) {
        let is_later = self.at.is_some_and(|at| goal.head.updated_at.is_none_or(|changed| at > changed));
        let resolution = if is_plan || is_later {
            ConflictResolution::CheckpointPriority
        } else {
            ConflictResolution::CurrentPriority
        };
        let ours = Side { name: "state", state: goal, is_current: true, said: None };
        let theirs = Side { name: "document", state: &self.says, is_current: false, said: None };
        let merged = merge(ours, &[theirs], self.before.as_ref(), MergeStrategy::ThreeWay, resolution);
        let settled: Vec<IgnoredPart> = merged.conflicts.iter().map(|conflict| self.settled(conflict)).collect();
        self.notes.extend(settled);
        *goal = merged.state;
    }

    fn settled(&self, conflict: &MergeConflict) -> IgnoredPart {
        let value = |index: usize| conflict.claims.get(index).map_or(&Value::Null, |claim| &claim.value);
        let (ours, theirs) = (value(0), value(1));
        let why = if conflict.winner.as_deref() == Some("document") {
            format!("it changed here and there since the last import: {theirs} is taken over, {ours} was here")
        } else {
            format!("the state's last change is not older than the document: {ours} stays, the document says {theirs}")
        };
        IgnoredPart { place: format!("{}/{}", self.workflow, conflict.place), why }
    }

    /// Tasks of earlier imports that the plan has not any more.
    fn name_missing(&mut self, plan: &Plan) {
        let before = self.before.iter().flat_map(|before| before.tasks.keys());
        let gone = before.filter(|id| !plan.tasks.iter().any(|task| task.task_id == **id));
        let why = "the plan has it no more; an earlier import brought it, and it stays";
        let notes = gone.map(|id| IgnoredPart { place: format!("{}/tasks/{id}", self.workflow), why: why.to_owned() });
        self.notes.extend(notes);
    }
}
