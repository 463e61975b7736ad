//! The dependency graph of a workflow, in the resolver's shape.
//!
//! Owns the names of its nodes, and its form for Graphviz. Refuses to say what is wrong with it: the model's rules do.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use serde_json::{Map, Value};
use wfr_model::finding::{Finding, Severity};
use wfr_model::workflow::{Phase, Task, Whole, validate};

use crate::dependencies::{self, Need};
use crate::results::{DependencyGraph, ExternalDependencies, GraphEdge, GraphNode, NodeKind};

/// How much of what is not understood is shown, in letters.
const SHOWN_CHARS_MAX: usize = 80;

/// The graph of a state, with what is needed from outside by it and by everybody, and what is wrong with it.
pub fn of(whole: &Whole, of_all: &Map<String, Value>) -> (DependencyGraph, Vec<Finding>) {
    let (waits, found) = validate::dependencies(whole);
    let mut nodes: BTreeMap<String, GraphNode> = whole
        .phases
        .values()
        .map(|phase| (name(whole, &format!("phases/{}", phase.phase_id)), phase_node(phase)))
        .collect();
    nodes.extend(whole.tasks.values().map(|task| (task.task_id.to_string(), task_node(whole, task))));
    let mut edges = Vec::with_capacity(waits.len());
    let pairs: BTreeSet<(String, String)> = waits.into_iter().collect();
    for (waiting, first) in pairs {
        let (to, from) = (name(whole, &waiting), name(whole, &first));
        if let Some(node) = nodes.get_mut(&to) {
            node.dependencies.push(from.clone());
        }
        if let Some(node) = nodes.get_mut(&from) {
            node.dependents.push(to.clone());
        }
        let is_data = is_data(whole, &waiting, &first);
        edges.push(edge(from, to, is_data));
    }
    let (external_dependencies, odd) = external([&whole.head.dependencies, of_all]);
    let findings = found.into_iter().map(|one| {
        let fix = format!("change the dependencies with `wfr update-state`: {}", one.place);
        Finding::new(&one.code, one.severity, format!("{}: {}", one.place, one.message), fix)
    });
    let findings = findings.filter(|finding| finding.code != "BEGUN_BEFORE_DEPENDENCY").chain(odd).collect();
    (DependencyGraph { workflow_id: whole.head.workflow_id.clone(), nodes, edges, external_dependencies }, findings)
}

/// A node's name: a task's id, or `phase_` and the phase's, with one more underscore where a task is called so.
fn name(whole: &Whole, place: &str) -> String {
    let Some(id) = place.strip_prefix("phases/") else {
        return place.strip_prefix("tasks/").unwrap_or(place).to_owned();
    };
    let mut name = format!("phase_{id}");
    while name.parse().is_ok_and(|id| whole.tasks.contains_key(&id)) {
        name.push('_');
    }
    name
}

fn edge(from: String, to: String, is_data: bool) -> GraphEdge {
    let kind = if is_data { "data_dependency" } else { "sequential_dependency" };
    let [kind, strength, reason] = [kind, "hard", "declared"].map(str::to_owned);
    GraphEdge { from, to, kind, strength, reason }
}

/// Whether what waits says that it reads what the other one makes: its `data_dependencies` name it.
fn is_data(whole: &Whole, waiting: &str, first: &str) -> bool {
    let extra = match (waiting.strip_prefix("tasks/"), waiting.strip_prefix("phases/")) {
        (Some(task), _) => task.parse().ok().and_then(|id| whole.tasks.get(&id)).map(|task| &task.extra),
        (_, Some(phase)) => phase.parse().ok().and_then(|id| whole.phases.get(&id)).map(|phase| &phase.extra),
        _ => None,
    };
    let id = first.trim_start_matches("tasks/").trim_start_matches("phases/");
    let named = extra.and_then(|extra| extra.get("data_dependencies")).and_then(Value::as_array);
    named.is_some_and(|named| {
        named.iter().any(|one| one.as_str() == Some(id) || one.as_i64().is_some_and(|one| id.parse() == Ok(one)))
    })
}

fn phase_node(phase: &Phase) -> GraphNode {
    GraphNode { name: phase.name.clone(), ..node(NodeKind::Phase, &phase.extra) }
}

fn task_node(whole: &Whole, task: &Task) -> GraphNode {
    let parent_phase = task.phase_id.as_ref().map(|phase| name(whole, &format!("phases/{phase}")));
    GraphNode { name: task.description.clone(), parent_phase, ..node(NodeKind::Task, &task.extra) }
}

fn node(kind: NodeKind, extra: &Map<String, Value>) -> GraphNode {
    let said = |key: &str| extra.get(key).filter(|value| !value.is_null()).cloned();
    GraphNode {
        kind,
        parent_phase: None,
        name: None,
        dependencies: vec![],
        dependents: vec![],
        resources: said("resources"),
        estimated_duration: said("estimated_duration"),
        criticality: said("criticality"),
    }
}

/// What is needed from outside: sorted by the declaration, else told by how it is written. What is in no form is found.
fn external(declared: [&Map<String, Value>; 2]) -> (ExternalDependencies, Vec<Finding>) {
    let mut sorted = ExternalDependencies::default();
    let mut odd = Vec::new();
    for (list, one) in declared.into_iter().flat_map(dependencies::external) {
        match group(&mut sorted, list, one) {
            Some(group) if group.contains(one) => {}
            Some(group) => group.push(one.clone()),
            None => {
                let said: String = one.to_string().chars().take(SHOWN_CHARS_MAX).collect();
                let message = format!("dependencies: {said} is in no form that is understood, and is not looked for");
                let fix = "declare it as `{\"type\": \"tool\", \"name\": \"git\"}`, or take it out";
                odd.push(Finding::new("DEPENDENCY_ODD", Severity::Warning, message, fix));
            }
        }
    }
    (sorted, odd)
}

/// The list that a need belongs to; `None` where it is in no form that is understood.
fn group<'s>(sorted: &'s mut ExternalDependencies, list: &str, one: &Value) -> Option<&'s mut Vec<Value>> {
    let said = one.get("type").or_else(|| one.get("kind")).and_then(Value::as_str).unwrap_or(list);
    let text = one.as_str().unwrap_or_default();
    Some(match (dependencies::need(list, one), said.trim_end_matches('s')) {
        (Need::Odd, _) => return None,
        (Need::Port(..), _) | (_, "service") => &mut sorted.services,
        (Need::File(_), _) => &mut sorted.files,
        (Need::Variable, _) => &mut sorted.environment,
        _ if text.starts_with('$') || text.starts_with("env:") => &mut sorted.environment,
        _ => &mut sorted.tools,
    })
}

/// The graph for Graphviz.
pub fn dot(graph: &DependencyGraph) -> String {
    let mut text = format!("digraph {} {{\n  rankdir=LR;\n", quoted(graph.workflow_id.as_str()));
    for (id, node) in &graph.nodes {
        let shape = if node.kind == NodeKind::Phase { "box" } else { "ellipse" };
        let label = node.name.as_ref().map_or_else(|| id.clone(), |name| format!("{id}\n{name}"));
        let _ = writeln!(text, "  {} [shape={shape}, label={}];", quoted(id), quoted(&label));
    }
    for edge in &graph.edges {
        let _ = writeln!(text, "  {} -> {};", quoted(&edge.from), quoted(&edge.to));
    }
    text.push_str("}\n");
    text
}

/// A text as Graphviz takes any: line ends become its own, other control characters spaces.
fn quoted(text: &str) -> String {
    let escaped = text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    format!("\"{}\"", escaped.replace(char::is_control, " "))
}
