//! Parts of a checkpoint: which components and paths a recovery is about.
//!
//! Owns what is left of a whole plan and of a whole state. Refuses to plan.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use wfr_model::TreePath;
use wfr_model::plan::{Action, Conflict, Plan, Step};
use wfr_model::workflow::Whole;

use crate::params::Component;
use crate::pathspec::{PathSpec, PathSpecs};

/// The key of a record's parameters that holds them.
const PARTS: &str = "parts";

/// What is brought back.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Parts {
    components: Vec<Component>,
    /// Only these paths and what is below them; all where there are none.
    files: PathSpecs,
}

impl Parts {
    /// As parameters say: these components without those, and only these paths.
    pub fn of(named: &[Component], left_out: &[Component], files: &[PathSpec]) -> Self {
        Self { components: Component::meant(named, left_out, !files.is_empty()), files: PathSpecs::of(files) }
    }

    /// Parameters for a record that keeps them.
    pub fn told(&self, mut parameters: Value) -> Value {
        if let Some(keys) = parameters.as_object_mut() {
            keys.insert(PARTS.to_owned(), serde_json::json!(self));
        }
        parameters
    }

    /// Parameters as they were given.
    pub fn untold(mut parameters: Value) -> Value {
        if let Some(keys) = parameters.as_object_mut() {
            keys.shift_remove(PARTS);
        }
        parameters
    }

    /// As a record keeps them; `None` where all is meant.
    pub fn recorded(parameters: &Value) -> Option<Self> {
        serde_json::from_value(parameters.get(PARTS)?.clone()).ok()
    }

    /// Only these paths and what is below them; all where there are none.
    pub fn files(&self) -> &PathSpecs {
        &self.files
    }

    /// Whether nothing is meant.
    pub fn is_nothing(&self) -> bool {
        self.components.is_empty()
    }

    /// Whether a component is meant.
    pub fn has(&self, component: Component) -> bool {
        self.components.contains(&component)
    }

    /// Whether anything of the workflow's state is meant.
    pub fn has_state(&self) -> bool {
        self.components.iter().any(|component| *component != Component::FileSystem)
    }

    /// Whether the whole of the files is meant.
    pub fn has_all_files(&self) -> bool {
        self.has(Component::FileSystem) && self.files.is_empty()
    }

    /// Leaves of a plan what is meant, with the directories that it needs.
    pub fn narrow(&self, plan: &mut Plan) {
        if self.has_all_files() {
            return;
        }
        let has_files = self.has(Component::FileSystem);
        let is_meant = |path: &TreePath| has_files && self.files.mean(path);
        let mut above: BTreeSet<TreePath> = BTreeSet::new();
        for step in plan.steps.iter().filter(|step| is_meant(&step.path) && step.after.is_some()) {
            let mut at = step.path.parent();
            while let Some(dir) = at.filter(|dir| !dir.is_root()) {
                at = dir.parent();
                above.insert(dir);
            }
        }
        let is_in_the_way = |step: &&Step| !is_meant(&step.path) && above.contains(&step.path) && step.after.is_none();
        let why = "something else stands where a directory must be: name it, too, and it goes";
        let clashes: Vec<Conflict> =
            plan.steps.iter().filter(is_in_the_way).map(|step| Conflict::new(&step.path, "KIND_CLASH", why)).collect();
        plan.steps
            .retain(|step| is_meant(&step.path) || (step.action == Action::MakeDir && above.contains(&step.path)));
        plan.kept.retain(|kept| is_meant(&kept.path));
        plan.conflicts.retain(|conflict| is_meant(&conflict.path));
        plan.conflicts.extend(clashes);
        plan.root = None;
    }

    /// The state that is aimed at: of the target what is meant, of the present all else.
    pub fn goal(&self, target: &Whole, present: &Whole) -> Whole {
        let mut goal = present.clone();
        if self.has(Component::WorkflowState) {
            goal.head.clone_from(&target.head);
            goal.phases.clone_from(&target.phases);
            goal.tasks.clone_from(&target.tasks);
        }
        if self.has(Component::AgentAssignments) {
            goal.agents.clone_from(&target.agents);
        }
        if self.has(Component::ResourceAllocations) {
            goal.allocations.clone_from(&target.allocations);
        }
        goal.recounted()
    }
}
