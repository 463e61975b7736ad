//! Tasks of which some work, or all, stays where it was decided so.
//!
//! Owns which of them are to be done anew, and what is told of them: a task of which nothing goes stays as it is, one of which
//! anything goes is to be done anew. Refuses to decide what stays.

use std::collections::{BTreeMap, BTreeSet};

use wfr_catalog::{ChangeSeq, SegmentRow};
use wfr_model::finding::{Finding, Severity};
use wfr_model::workflow::{TaskStatus, Whole};
use wfr_model::{AgentId, TaskId, TreePath};

use super::history::History;
use super::selective::{Selection, goes};
use super::telling::{LEFT_AS_IT_IS, NOT_FOLLOWED};
use super::verdicts::Taken;
use crate::error::Failure;
use crate::open::Open;

/// The code of the finding that all stays as it is, as was decided.
pub const STAYS_AS_DECIDED: &str = "STAYS_AS_DECIDED";

/// Changes that would go and stay at some path, each with the first one.
pub type Staying<'h> = BTreeMap<ChangeSeq, &'h TreePath>;

/// Takes out of what is recorded the tasks of which nothing goes, and tells of those of which something stays. `gone` are
/// the changes that go anywhere.
pub fn settle(
    open: &Open,
    selection: &Selection,
    staying: &Staying<'_>,
    (taken, gone): (&mut Taken, &BTreeSet<ChangeSeq>),
    findings: &mut Vec<Finding>,
) -> Result<(), Failure> {
    let Some(first) = staying.values().min() else { return Ok(()) };
    if gone.is_empty() {
        let is_told = findings.iter().any(|finding| [LEFT_AS_IT_IS, NOT_FOLLOWED].contains(&finding.code.as_str()));
        findings.extend((!is_told).then(|| all_stays(first, taken.left.len())));
        return Ok(());
    }
    let tasks = |seqs: Vec<ChangeSeq>| -> Result<BTreeMap<TaskId, ChangeSeq>, Failure> {
        let rows =
            seqs.into_iter().map(|seq| Ok(open.catalog.change_at(seq)?.map(|row| (row.change.author.task_id, seq))));
        let rows = rows.collect::<Result<Vec<_>, Failure>>()?;
        Ok(rows.into_iter().flatten().filter_map(|(task, seq)| Some((task?, seq))).collect())
    };
    let (goes, stays) = (tasks(gone.iter().copied().collect())?, tasks(staying.keys().copied().collect())?);
    for (task, seq) in stays.iter().filter(|(task, _)| taken.tasks.contains(task)) {
        let path = staying[seq];
        findings.push(if goes.contains_key(task) { in_part(task, path) } else { stays_whole(task, path) });
    }
    let is_spared = |task: &TaskId| stays.contains_key(task) && !goes.contains_key(task);
    taken.tasks.retain(|task| selection.own_tasks.contains(task) || !is_spared(task));
    Ok(())
}

/// Tells of tasks that are to be done anew though somebody has completed them of whose work in them nothing goes: what they were
/// completed with is not all there any more. `gone` are the changes that go anywhere.
pub fn of_others(
    open: &Open,
    (state, tasks): (Option<&Whole>, &[TaskId]),
    gone: &BTreeSet<ChangeSeq>,
) -> Result<Vec<Finding>, Failure> {
    let Some(state) = state else { return Ok(vec![]) };
    let mut whose: BTreeMap<TaskId, BTreeSet<AgentId>> = BTreeMap::new();
    for seq in gone {
        let author = open.catalog.change_at(*seq)?.map(|row| row.change.author).unwrap_or_default();
        if let Some(task) = author.task_id.filter(|_| author.workflow_id.as_ref() == Some(&state.head.workflow_id)) {
            whose.entry(task).or_default().extend(author.agent_id);
        }
    }
    let told = |id: &TaskId| {
        let task = state.tasks.get(id).filter(|task| task.status == TaskStatus::Completed)?;
        let (by, whose) = (task.assigned_agent.as_ref()?, whose.get(id)?);
        let names: Vec<&str> = whose.iter().map(AgentId::as_str).collect();
        (!names.is_empty() && !whose.contains(by)).then(|| completed_by(id, by, &names.join(" and ")))
    };
    Ok(tasks.iter().filter_map(told).collect())
}

fn completed_by(task: &TaskId, by: &AgentId, whose: &str) -> Finding {
    let message = format!(
        "task {task} was completed by {by}, whose work on it stays: that of {whose} goes, and it is to be done anew"
    );
    Finding::new("TASK_OF_OTHERS", Severity::Warning, message, "`--reset-tasks=false` leaves tasks as they are")
}

/// Changes that would go and stay: at paths that are `left` as they are, or, at a path, in what lives on `elsewhere`.
pub fn staying<'h>(
    histories: &'h [History],
    (selection, selected): (&Selection, &BTreeSet<ChangeSeq>),
    (left, elsewhere): (&[TreePath], &BTreeSet<(ChangeSeq, TreePath)>),
) -> Staying<'h> {
    let mut staying = Staying::new();
    for history in histories {
        let History { path, chain, .. } = history;
        let is_left = left.contains(path);
        let stays = |one: &&SegmentRow| is_left || elsewhere.contains(&(one.change, path.clone()));
        let is_meant =
            |one: &&SegmentRow| goes(history, one, selected, selection) && !chain.is_cancelled(one.change, None);
        for segment in chain.segments.iter().filter(stays).filter(is_meant) {
            staying.entry(segment.change).or_insert(path);
        }
    }
    staying
}

fn all_stays(first: &TreePath, count: usize) -> Finding {
    let what = match count {
        1 => format!("`{first}` stays as it is, as was decided"),
        _ => format!("`{first}` and {} more stay as they are, as was decided", count - 1),
    };
    let message = format!("{what}: nothing goes, and tasks stay as they are");
    Finding::new(STAYS_AS_DECIDED, Severity::Info, message, "leave the decision out to take the work back")
}

fn in_part(task: &TaskId, path: &TreePath) -> Finding {
    let message = format!("task {task} is to be done anew, though some of its work stays, as at `{path}`");
    Finding::new("TASK_IN_PART", Severity::Info, message, "`--reset-tasks=false` leaves tasks as they are")
}

fn stays_whole(task: &TaskId, path: &TreePath) -> Finding {
    let message = format!("task {task} stays as it is, since none of its work goes: it stays, as at `{path}`");
    Finding::new("TASK_STAYS", Severity::Info, message, "`wfr status` shows the tasks")
}
