//! What waits for what: dependencies that lead nowhere or in a circle.
//!
//! Owns the walk over tasks and phases. Refuses to order them.

use std::collections::{BTreeMap, HashMap};

use serde_json::Value;

use super::super::{Extra, PhaseStatus, TaskStatus, Whole};
use super::Findings;
use super::mend::{Mend, Repair};
use crate::phase::PhaseId;

/// The field, of a task or a phase, with what it reads of others.
pub(super) const DATA_DEPENDENCIES: &str = "data_dependencies";

/// Checks them, and gives what each place waits for: the place, and the name that it is called by.
pub(super) fn check(whole: &Whole, findings: &mut Findings) -> BTreeMap<String, Vec<(String, String)>> {
    let edges = edges(whole, findings);
    circles(&edges, findings);
    edges
}

/// A node's place: `tasks/t1` or `phases/2`. A name may be a task's or a phase's; a task's counts first, but a phase's
/// own dependencies are phases first.
fn node(whole: &Whole, name: &str, from_phase: bool) -> Option<String> {
    let task = name.parse().ok().filter(|id| whole.tasks.contains_key(id)).map(|id| format!("tasks/{id}"));
    let phase = || {
        let id = PhaseId::named(name).ok()??;
        whole.phases.contains_key(&id).then(|| format!("phases/{id}"))
    };
    if from_phase { phase().or(task) } else { task.or_else(phase) }
}

/// Who waits for whom, by place; what is not there is found on the way.
fn edges(whole: &Whole, findings: &mut Findings) -> BTreeMap<String, Vec<(String, String)>> {
    let mut edges: BTreeMap<String, Vec<(String, String)>> = BTreeMap::new();
    let tasks =
        whole.tasks.values().map(|task| (format!("tasks/{}", task.task_id), &task.dependencies, &task.extra, false));
    let phases = whole
        .phases
        .values()
        .map(|phase| (format!("phases/{}", phase.phase_id), &phase.dependencies, &phase.extra, true));
    for (place, waits, extra, from_phase) in tasks.chain(phases) {
        let of_data = data_dependencies(extra);
        let of_data = of_data.iter().filter(|name| !waits.contains(name));
        for name in waits.iter().chain(of_data) {
            match node(whole, name, from_phase) {
                Some(to) => {
                    early(whole, &place, &to, findings);
                    edges.entry(place.clone()).or_default().push((to, name.clone()));
                }
                None => {
                    let message = format!("it waits for `{name}`, which is neither a task nor a phase");
                    let repair = Repair::bold(Mend::DropDependency { place: place.clone(), on: name.clone() });
                    findings.warning("DEPENDENCY_DANGLING", format!("{place}/dependencies"), message, repair);
                }
            }
        }
    }
    edges
}

/// What something reads that another one makes: it waits for that, too.
pub(super) fn data_dependencies(extra: &Extra) -> Vec<String> {
    let named = extra.get(DATA_DEPENDENCIES).and_then(Value::as_array);
    let name = |one: &Value| one.as_str().map(str::to_owned).or_else(|| one.as_i64().map(|number| number.to_string()));
    named.into_iter().flatten().filter_map(name).collect()
}

/// What is done although it waits for something that is not.
fn early(whole: &Whole, from: &str, to: &str, findings: &mut Findings) {
    let has_begun = match from.split_once('/') {
        Some(("tasks", id)) => id
            .parse()
            .ok()
            .and_then(|id| whole.tasks.get(&id))
            .is_some_and(|task| matches!(task.status, TaskStatus::Active | TaskStatus::Completed)),
        _ => return,
    };
    let is_done = match to.split_once('/') {
        Some(("tasks", id)) => {
            let task = id.parse().ok().and_then(|id| whole.tasks.get(&id));
            task.is_none_or(|task| task.status == TaskStatus::Completed)
        }
        Some((_, id)) => {
            let phase = id.parse().ok().and_then(|id| whole.phases.get(&id));
            phase.is_none_or(|phase| matches!(phase.status, PhaseStatus::Completed | PhaseStatus::Skipped))
        }
        None => true,
    };
    if has_begun && !is_done {
        let message = format!("it has begun, and {to}, which it waits for, has not ended");
        findings.warning("BEGUN_BEFORE_DEPENDENCY", format!("{from}/dependencies"), message, None);
    }
}

/// Circles, each found once, at the edge that closes it. The walk keeps its own stack: chains may be long.
fn circles(edges: &BTreeMap<String, Vec<(String, String)>>, findings: &mut Findings) {
    #[derive(Clone, Copy, PartialEq)]
    enum Mark {
        Open,
        Done,
    }
    let mut marks: HashMap<&str, Mark> = HashMap::new();
    for start in edges.keys() {
        if marks.contains_key(start.as_str()) {
            continue;
        }
        let mut path: Vec<(&str, usize)> = vec![(start, 0)];
        marks.insert(start, Mark::Open);
        while let Some((at, next)) = path.pop() {
            let Some((to, name)) = edges.get(at).and_then(|list| list.get(next)) else {
                marks.insert(at, Mark::Done);
                continue;
            };
            path.push((at, next + 1));
            match marks.get(to.as_str()) {
                Some(Mark::Done) => {}
                Some(Mark::Open) => {
                    let from = path.iter().position(|(place, _)| place == to).unwrap_or(0);
                    let way: Vec<&str> = path[from..].iter().map(|(place, _)| *place).chain([to.as_str()]).collect();
                    let message = format!("it waits for itself: {}", way.join(" -> "));
                    let repair = Repair::bold(Mend::DropDependency { place: at.to_owned(), on: name.clone() });
                    findings.error("DEPENDENCY_CYCLE", format!("{at}/dependencies"), message, repair);
                }
                None => {
                    marks.insert(to, Mark::Open);
                    path.push((to, 0));
                }
            }
        }
    }
}
