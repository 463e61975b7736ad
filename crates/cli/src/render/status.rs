//! How a workflow stands, on one screen of 80 columns; and the list of all, and what waits for what.
//!
//! Owns its layout. Refuses to print, and to redraw: whoever watches does.

use wfr_engine::results::{
    AgentLine, GraphShown, NodeKind, PhaseLine, StatusShown, TaskLine, WorkflowLine, WorkflowList,
};
use wfr_model::workflow::{AgentStatus, PhaseStatus, TaskStatus, WorkflowStatus};

use super::table::table;
use super::{attaching, count, cut, events, fact, moment, word};
use crate::terminal::{BAD, FAINT, GOOD, HEADING, PLACE, WARN, styled, visible};

type Style = clap::builder::styling::Style;

/// Phases that the screen shows.
const PHASES_MAX: usize = 12;
/// Tasks that the screen shows.
const TASKS_MAX: usize = 8;
/// Agents that the screen shows.
const AGENTS_MAX: usize = 8;
/// Agent clients that the screen shows.
const CLIENTS_MAX: usize = 8;
/// Events that the screen shows.
const EVENTS_MAX: usize = 5;

/// How a workflow stands.
pub fn status(result: &StatusShown) -> String {
    let document = &result.workflow_status;
    let id = document.workflow_id.as_str();
    let title = document.name.as_deref().map_or_else(|| id.to_owned(), |name| format!("{} ({id})", clipped(name, 40)));
    let mut shown = format!(
        "{}  {}\n{} {:5.1}%{}\n",
        styled(HEADING, &title),
        styled(workflow_style(document.status), document.status.as_str()),
        bar(document.overall_progress, 40),
        document.overall_progress,
        document.runtime.as_ref().map_or_else(String::new, |length| format!("  running for {}", visible(length))),
    );
    if let Some(reason) = &result.failure_reason {
        shown.push_str(&format!("{} {}\n", styled(BAD, "failed:"), clipped(reason, 70)));
    }
    let counts = result.task_counts;
    let told = format!(
        "{} of {} done, {} active, {} failed; {} reported",
        counts.completed,
        count(counts.total(), "task"),
        counts.active,
        counts.failed,
        count(result.errors, "error")
    );
    shown.push_str(&fact("Tasks", &told));
    let current = document.current_phase.as_ref().map(|phase| &phase.id);
    let phase = |phase: &PhaseLine| phase_line(phase, Some(&phase.id) == current);
    shown.push_str(&section("Phases", result.phases.iter().map(phase), PHASES_MAX));
    // Where no current phase is known they are those of all, and of none.
    let heading = if current.is_some() { "In this phase" } else { "In all phases" };
    shown.push_str(&section(heading, result.tasks.iter().map(task_line), TASKS_MAX));
    shown.push_str(&section("Agents", document.agents.iter().map(agent_line), AGENTS_MAX));
    shown.push_str(&super::writers::now(result));
    let skipped = document.recent_events.len().saturating_sub(EVENTS_MAX);
    let last = document.recent_events.iter().skip(skipped).map(events::short);
    shown.push_str(&section("Last events", last, EVENTS_MAX));
    shown.push_str(&section("Clients", result.clients.iter().map(attaching::client), CLIENTS_MAX));
    let checkpoint = document.last_checkpoint.as_ref().map_or_else(
        || styled(WARN, "none"),
        |last| format!("{} {}", styled(PLACE, &clipped(&last.name, 40)), moment(last.created_at)),
    );
    shown.push_str(&fact("Checkpoint", &checkpoint));
    shown
}

/// A heading with its first lines, and how many more there are; nothing where there is none.
fn section(heading: &str, lines: impl ExactSizeIterator<Item = String>, max: usize) -> String {
    let all = lines.len();
    if all == 0 {
        return String::new();
    }
    let mut shown = format!("{}\n", styled(HEADING, heading));
    shown.extend(lines.take(max));
    if all > max {
        shown.push_str(&styled(FAINT, &format!("  ... and {} more\n", all - max)));
    }
    shown
}

fn phase_line(phase: &PhaseLine, is_current: bool) -> String {
    let mark = if is_current { ">" } else { " " };
    let name = phase.name.as_ref().map_or_else(|| phase.id.to_string(), |name| format!("{} {name}", phase.id));
    let style = match phase.status {
        PhaseStatus::Completed => GOOD,
        PhaseStatus::Failed => BAD,
        PhaseStatus::InProgress => PLACE,
        PhaseStatus::Pending | PhaseStatus::Skipped => FAINT,
    };
    let counts = if phase.tasks.total() == 0 {
        String::new()
    } else {
        format!("  {}/{}", phase.tasks.completed, phase.tasks.total())
    };
    let failed =
        if phase.tasks.failed == 0 { String::new() } else { styled(BAD, &format!(" {} failed", phase.tasks.failed)) };
    let status = styled(style, &format!("{:<11}", phase.status.as_str()));
    format!("{mark} {} {status} {}{counts}{failed}\n", padded(&name, 24), bar(phase.progress, 16))
}

fn task_line(task: &TaskLine) -> String {
    let style = match task.status {
        TaskStatus::Active => PLACE,
        TaskStatus::Failed => BAD,
        TaskStatus::Completed => GOOD,
        TaskStatus::Pending => FAINT,
    };
    let status = styled(style, &format!("{:<9}", task.status.as_str()));
    let agent = padded(task.agent.as_ref().map_or("", |agent| agent.as_str()), 14);
    let more =
        task.failure_reason.as_ref().or(task.description.as_ref()).map_or_else(String::new, |text| clipped(text, 28));
    format!("  {} {status} {agent} {more}\n", padded(task.id.as_str(), 20))
}

fn agent_line(agent: &AgentLine) -> String {
    let style = match agent.status {
        AgentStatus::Failed => BAD,
        AgentStatus::DegradedPerformance => WARN,
        AgentStatus::InProgress | AgentStatus::Active => PLACE,
        AgentStatus::Idle | AgentStatus::Reserved => FAINT,
    };
    let status = styled(style, &format!("{:<20}", agent.status.as_str()));
    let task = agent.current_task.as_ref().map_or("", |task| task.as_str());
    let score = agent.performance_score.as_ref().map_or_else(String::new, |score| format!("  score {score}"));
    format!("  {} {status} {}{score}\n", padded(agent.id.as_str(), 20), clipped(task, 20))
}

fn workflow_style(status: WorkflowStatus) -> Style {
    match status {
        WorkflowStatus::Completed => GOOD,
        WorkflowStatus::Failed => BAD,
        WorkflowStatus::Paused | WorkflowStatus::Cancelled => WARN,
        WorkflowStatus::Running => PLACE,
        WorkflowStatus::Created => FAINT,
    }
}

/// A bar of so many columns, brackets not counted.
fn bar(percent: f64, columns: usize) -> String {
    let done = ((percent.clamp(0.0, 100.0) / 100.0) * columns as f64).floor() as usize;
    format!("[{}{}]", styled(GOOD, &"#".repeat(done)), styled(FAINT, &".".repeat(columns - done)))
}

/// A text made visible, in at most so many columns.
fn clipped(text: &str, columns: usize) -> String {
    console::truncate_str(&visible(text), columns, "...").into_owned()
}

/// The same, filled up with spaces.
fn padded(text: &str, columns: usize) -> String {
    let cell = clipped(text, columns);
    let width = console::measure_text_width(&cell);
    format!("{cell}{:1$}", "", columns.saturating_sub(width))
}

/// All workflows.
pub fn workflows(result: &WorkflowList) -> String {
    let row = |line: &WorkflowLine| {
        vec![
            visible(line.workflow_id.as_str()),
            line.name.as_deref().map(|name| clipped(name, 30)).unwrap_or_default(),
            line.status.map_or_else(String::new, |status| status.as_str().to_owned()),
            line.progress.map_or_else(String::new, |percent| format!("{percent:.0}%")),
            line.updated_at.map(moment).unwrap_or_default(),
            line.checkpoints.to_string(),
        ]
    };
    let headings = ["WORKFLOW", "NAME", "STATUS", "DONE", "UPDATED", "CHECKPOINTS"];
    table(&headings, result.workflows.iter().map(row), &["NAME", "CHECKPOINTS"])
}

/// What waits for what.
pub fn graph(result: &GraphShown) -> String {
    if let Some(dot) = &result.dot {
        return crate::terminal::visible_lines(dot);
    }
    let line = |(id, node): (&String, &wfr_engine::results::GraphNode)| {
        let kind = word(&node.kind);
        let style = if node.kind == NodeKind::Phase { HEADING } else { PLACE };
        let waits = if node.dependencies.is_empty() {
            String::new()
        } else {
            format!("  waits for {}", visible(&node.dependencies.join(", ")))
        };
        let place = node.parent_phase.as_ref().map_or_else(String::new, |phase| format!(" of {phase}"));
        format!("  {} {}{waits}\n", styled(style, &visible(id)), styled(FAINT, &format!("{kind}{place}")))
    };
    let graph = &result.dependency_graph;
    let heading = format!(
        "{}, {}",
        count(graph.nodes.len() as u64, "node"),
        count(graph.edges.len() as u64, "dependency").replace("dependencys", "dependencies")
    );
    let mut shown = format!("{}\n{}", styled(HEADING, &heading), cut(graph.nodes.iter().map(line)));
    shown.push_str(&cut(result.findings.iter().map(super::workspace::finding)));
    shown
}
