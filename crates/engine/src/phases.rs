//! Which phase somebody means: its number and its name are one.
//!
//! Owns how a phase is told from its number, its name, and the tasks in it. Refuses to know what becomes of its work.

use std::collections::BTreeSet;

use wfr_catalog::OfPhase;
use wfr_model::phase::word;
use wfr_model::workflow::{Phase, Whole};
use wfr_model::{PhaseId, WorkflowId};

use crate::error::{Code, Failure};
use crate::open::Open;
use crate::{params, state};

/// The names of a phase, in small letters. One that is called by a number is not the phase of that number.
fn names(phase: &Phase) -> BTreeSet<String> {
    let own = phase.phase_id.as_str().to_lowercase();
    let named = phase.name.as_deref().and_then(|name| PhaseId::named(name).ok().flatten());
    let named = named.filter(|id| id.number().is_none()).map(|id| word(id.as_str()));
    [own].into_iter().chain(named).collect()
}

/// The phases of a state that are meant, each with its names.
fn meant<'s>(state: &'s Whole, asked: &PhaseId) -> Vec<(&'s PhaseId, BTreeSet<String>)> {
    let asked = word(asked.as_str());
    let all = state.phases.values().map(|phase| (&phase.phase_id, names(phase)));
    all.filter(|(_, names)| names.contains(&asked)).collect()
}

/// The phase that a parameter names; `global` is none.
pub fn named(phase: &params::Phase) -> Result<PhaseId, Failure> {
    let message = "`phase`: `global` is no phase in particular: leave it out, or name one";
    phase.id().ok_or_else(|| Failure::new(Code::InvalidParameter, message))
}

/// How changes of one workflow, or of any, tell of a phase.
pub fn of(open: &Open, workflow: Option<&WorkflowId>, asked: &PhaseId) -> Result<OfPhase, Failure> {
    let mut found = OfPhase::default();
    let own = asked.as_str().to_lowercase();
    let workflows = match workflow {
        Some(workflow) => vec![workflow.clone()],
        None => open.catalog.workflows()?.into_iter().map(|row| row.workflow_id).collect(),
    };
    if workflow.is_none() {
        found.words.insert((String::new(), own.clone()));
    }
    for workflow in &workflows {
        found.words.insert((workflow.to_string(), own.clone()));
        if let Some(state) = state::present(&open.catalog, workflow)? {
            add(&mut found, workflow, &state, asked);
        }
    }
    Ok(found)
}

/// Adds what a workflow's state says of a phase.
fn add(found: &mut OfPhase, workflow: &WorkflowId, state: &Whole, asked: &PhaseId) {
    let meant = meant(state, asked);
    let is_in = |phase: &PhaseId| phase == asked || meant.iter().any(|(id, _)| *id == phase);
    let tasks = state.tasks.values().filter(|task| task.phase_id.as_ref().is_some_and(is_in));
    found.tasks.extend(tasks.map(|task| (workflow.to_string(), task.task_id.to_string())));
    let words = meant.iter().flat_map(|(_, names)| names);
    found.words.extend(words.map(|word| (workflow.to_string(), word.clone())));
}

#[cfg(test)]
mod tests {
    use super::*;
    use wfr_model::workflow::Task;

    #[test]
    fn a_number_and_a_name_are_one_phase_and_tasks_are_in_theirs() {
        let workflow: WorkflowId = "wf".parse().expect("a valid id");
        let mut state = Whole::new(workflow.clone());
        for (number, name) in [(1, "Build it"), (2, "Test")] {
            let id = PhaseId::numbered(number);
            state.phases.insert(id.clone(), Phase { name: Some(name.to_owned()), ..Phase::new(id.clone()) });
            let task = Task::new(format!("t{number}").parse().expect("a valid id"));
            state.tasks.insert(task.task_id.clone(), Task { phase_id: Some(id), ..task });
        }
        let words = |asked: &str| {
            let mut found = OfPhase::default();
            add(&mut found, &workflow, &state, &asked.parse().expect("a phase"));
            let tasks: Vec<String> = found.tasks.into_iter().map(|(_, task)| task).collect();
            (found.words.into_iter().map(|(_, word)| word).collect::<Vec<_>>().join(" "), tasks.join(" "))
        };
        let one = ("1 build_it".to_owned(), "t1".to_owned());
        for asked in ["1", "phase 1", "Build it", "build_it"] {
            assert_eq!(words(asked), one, "{asked}");
        }
        assert_eq!(words("test"), ("2 test".to_owned(), "t2".to_owned()));
        assert_eq!(words("3"), (String::new(), String::new()));
    }
}
