//! A Markdown plan as a workflow: headings are phases, boxes are tasks.
//!
//! Owns the plan as a value, and what an update must say because of it. Refuses to judge whether the plan fits a state: it
//! says what it says, see [`Plan::update`]. How lines are written is known by `forms`, what they mean together by `reader`.

mod forms;
mod reader;
#[cfg(test)]
mod tests;

use serde_json::{Map, Value, json};

use super::{PhaseStatus, TaskStatus, Whole};
use crate::ids::TaskId;
use crate::phase::PhaseId;

pub use reader::read;

/// The longest plan, in bytes.
pub const PLAN_BYTES_MAX: usize = 16 << 20;

/// A plan that was read.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Plan {
    /// Its title.
    pub title: Option<String>,
    /// What stands in its head as `key: value`.
    pub metadata: Map<String, Value>,
    /// Its phases, in their order.
    pub phases: Vec<PlannedPhase>,
    /// Its tasks, in their order.
    pub tasks: Vec<PlannedTask>,
    /// Lines that were not understood, by their numbers, with why.
    pub ignored: Vec<(usize, &'static str)>,
}

/// A phase of a plan.
#[derive(Clone, PartialEq, Debug)]
pub struct PlannedPhase {
    /// Which.
    pub phase_id: PhaseId,
    /// Its name.
    pub name: Option<String>,
    /// How it stands, where its heading says so.
    pub status: Option<PhaseStatus>,
    /// Phases that must end before.
    pub dependencies: Vec<String>,
    /// What else stands below its heading as `key: value`.
    pub metadata: Map<String, Value>,
}

/// A task of a plan.
#[derive(Clone, PartialEq, Debug)]
pub struct PlannedTask {
    /// Its id, made of its phase and its words.
    pub task_id: TaskId,
    /// Of which phase.
    pub phase_id: Option<PhaseId>,
    /// What is to be done.
    pub description: String,
    /// How its box is ticked.
    pub status: TaskStatus,
    /// The task that it is a part of.
    pub parent: Option<TaskId>,
}

impl Plan {
    /// What an update must say to bring a state to what the plan says. An open box says nothing of a task that the state
    /// knows better, a ticked one says that it is done; the same holds for phases.
    pub fn update(&self, present: &Whole) -> Map<String, Value> {
        let mut data = Map::new();
        if present.head.name.is_none() {
            data.extend(self.title.iter().map(|title| ("name".to_owned(), Value::from(title.as_str()))));
        }
        if !self.metadata.is_empty() {
            data.insert("plan".to_owned(), Value::Object(self.metadata.clone()));
        }
        let phases: Vec<Value> = self.phases.iter().map(|phase| self.phase(phase, present)).collect();
        let tasks: Vec<Value> = self.tasks.iter().map(|task| task.update(present)).collect();
        data.extend([("phases".to_owned(), phases.into()), ("tasks".to_owned(), tasks.into())]);
        data
    }

    fn phase(&self, phase: &PlannedPhase, present: &Whole) -> Value {
        let known = present.phases.get(&phase.phase_id).map(|known| known.status);
        let mut fields = Map::from_iter([("phase_id".to_owned(), json!(phase.phase_id))]);
        fields.extend(phase.name.iter().map(|name| ("name".to_owned(), Value::from(name.as_str()))));
        let of_phase = self.tasks.iter().filter(|task| task.phase_id.as_ref() == Some(&phase.phase_id));
        let has_begun = of_phase.into_iter().any(|task| task.status != TaskStatus::Pending);
        let says = phase.status.or(has_begun.then_some(PhaseStatus::InProgress));
        let is_news = |says: &PhaseStatus| match known {
            None | Some(PhaseStatus::Pending) => true,
            Some(known) => phase.status.is_some() && *says != PhaseStatus::Pending && *says != known,
        };
        fields.extend(says.filter(is_news).map(|status| ("status".to_owned(), json!(status))));
        if !phase.dependencies.is_empty() {
            fields.insert("dependencies".to_owned(), phase.dependencies.clone().into());
        }
        if !phase.metadata.is_empty() {
            fields.insert("plan".to_owned(), Value::Object(phase.metadata.clone()));
        }
        Value::Object(fields)
    }
}

impl PlannedTask {
    fn update(&self, present: &Whole) -> Value {
        let is_news = self.status != TaskStatus::Pending || !present.tasks.contains_key(&self.task_id);
        let mut fields = Map::from_iter([
            ("task_id".to_owned(), json!(self.task_id)),
            ("description".to_owned(), json!(self.description)),
        ]);
        fields.extend(self.phase_id.iter().map(|phase| ("phase_id".to_owned(), json!(phase))));
        fields.extend(is_news.then(|| ("status".to_owned(), json!(self.status))));
        fields.extend(self.parent.iter().map(|parent| ("parent_task".to_owned(), json!(parent))));
        Value::Object(fields)
    }
}
