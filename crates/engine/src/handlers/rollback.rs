//! `rollback`: the work of some taken back, and nobody else's.
//!
//! Owns which changes its parameters name. Refuses to plan: that is [`crate::recovery::selective`].

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::time::Instant;

use wfr_catalog::{ChangeFilter, ChangeRow, ChangeSeq, CheckpointRow, ListQuery, PointSeq};
use wfr_model::change::Actor;
use wfr_model::recovery::RecoveryKind;
use wfr_model::workflow::{PhaseStatus, TaskStatus};
use wfr_model::{TaskId, TreePath, WorkflowId};

use super::recoveries::{Asked, run};
use super::{known, needed, time_left};
use crate::error::{Code, Failure};
use crate::open::Open;
use crate::params::{Phase, Preserved, Rollback, RollbackScope, patience};
use crate::picking;
use crate::recovery::Order;
use crate::recovery::selective::{Decisions, Selection};
use crate::recovery::telling::name_of;
use crate::response::Success;
use crate::results::{Recovered, Verdict};
use crate::session::Session;
use crate::state;

/// Takes chosen work back.
pub fn rollback(session: &mut Session, parameters: Rollback) -> Result<Success<Recovered>, Failure> {
    session.with_reserve(|session| try_rollback(session, parameters.clone()))
}

fn try_rollback(session: &mut Session, parameters: Rollback) -> Result<Success<Recovered>, Failure> {
    let begun = Instant::now();
    picking::check(session, parameters.interactive)?;
    let open = session.open()?;
    let workflow = known(&open, needed(parameters.workflow_id.clone(), "workflow_id")?)?;
    let given = parameters.checkpoint.as_deref().map(|reference| open.catalog.resolve(Some(&workflow), reference));
    let given = given.transpose()?;
    let selection = selection(session, &open, &workflow, &parameters, given.as_ref())?;
    let target = match given {
        Some(row) => row,
        None => oldest(&open)?,
    };
    let mut order = Order {
        selection: Some(selection),
        exact_mtime: parameters.exact_mtime,
        allow_config: parameters.allow_config,
        time_limit: time_left(&open, parameters.timeout, begun),
        wait: patience(parameters.wait),
        parameters: serde_json::to_value(&parameters).unwrap_or_default(),
        ..Order::new(RecoveryKind::Rollback, workflow, target)
    };
    order.keep_taken();
    if parameters.interactive {
        picking::narrow(session, &open, &mut order)?;
    }
    let asked = Asked { consent: parameters.consent(session.interactive), plan_only: parameters.plan };
    // What a rollback reads is checked while it is read, and the tree afterwards; a plan changes nothing.
    let checked = if parameters.plan { Verdict::Skipped } else { Verdict::Passed };
    run(session, &open, &order, &asked, checked, begun)
}

/// The oldest checkpoint with files, which stays the same while others are taken: the ledger began with one at the latest.
fn oldest(open: &Open) -> Result<CheckpointRow, Failure> {
    let found = open.catalog.list(&ListQuery::default())?.into_iter().find(|row| row.tree.is_some());
    found.ok_or_else(nothing_recorded)
}

fn nothing_recorded() -> Failure {
    Failure::new(Code::NothingSelected, "no change is recorded here")
        .with_hint("`wfr change begin` before and `wfr change end` after some work record whose it is")
}

/// What the parameters choose, after a checkpoint where one is given.
pub(super) fn selection(
    session: &Session,
    open: &Open,
    workflow: &WorkflowId,
    parameters: &Rollback,
    checkpoint: Option<&CheckpointRow>,
) -> Result<Selection, Failure> {
    let after = checkpoint.map(|row| point_of(open, row)).transpose()?;
    let (mut changes, candidates) = changes(open, workflow, parameters)?;
    if let Some(after) = after {
        leave_earlier(open, after, &mut changes)?;
    }
    leave_preserved(open, workflow, parameters, &mut changes)?;
    if let Some(row) = changes.iter().find(|row| row.change.ended_at.is_none()) {
        let message = format!("change {} of {} is still open", row.change.change_id, name_of(&row.change));
        return Err(Failure::new(Code::ChangeOpen, message)
            .with_hint(format!("`wfr change end {}` ends it, then try again", row.change.change_id)));
    }
    let seqs: Vec<_> = changes.iter().map(|row| row.seq).collect();
    let did_nothing = !candidates.is_empty() && open.catalog.chains_of(&seqs)?.is_empty();
    if changes.is_empty() || did_nothing {
        return Err(nothing_fits(open, workflow, parameters, &candidates)?);
    }
    let mut external_after = None;
    if !parameters.preserves(Preserved::ExternalChanges) {
        // Edits that no look has seen yet go, too; where somebody chooses, only what was offered does.
        let newest = ChangeFilter { limit: Some(1), ..ChangeFilter::default() };
        let newest = open.catalog.changes(&newest)?.pop().map(|row| row.seq);
        external_after = newest.filter(|_| !parameters.interactive);
        changes.extend(external(open, &changes)?);
    }
    let tasks: BTreeSet<TaskId> = changes
        .iter()
        .filter(|row| row.change.author.workflow_id.as_ref() == Some(workflow))
        .filter_map(|row| row.change.author.task_id.clone())
        .collect();
    let resets = parameters.reset_tasks.0 && parameters.file.0.iter().all(TreePath::is_root);
    Ok(Selection {
        changes,
        external_after,
        after,
        files: parameters.file.0.clone(),
        decisions: decisions(session, parameters)?,
        spared: BTreeSet::new(),
        dependents: parameters.dependents,
        tasks: if resets { tasks.into_iter().collect() } else { vec![] },
        resets,
    })
}

/// What the parameters decide beforehand.
pub(super) fn decisions(session: &Session, parameters: &Rollback) -> Result<Decisions, Failure> {
    let resolved = resolved(session, &parameters.resolve.0)?;
    let (ours, theirs) = (&parameters.ours.0, &parameters.theirs.0);
    let both = ours.iter().find(|path| theirs.contains(path)).map(|path| ("`ours` and `theirs`", path));
    let also = resolved.keys().find(|path| ours.contains(path) || theirs.contains(path));
    if let Some((keys, path)) = both.or(also.map(|path| ("`resolve` and `ours` or `theirs`", path))) {
        return Err(Failure::new(Code::WrongArguments, format!("{keys} contradict each other at `{path}`"))
            .with_hint("name each path with one of them"));
    }
    Ok(Decisions {
        ours: ours.clone(),
        theirs: theirs.clone(),
        resolved,
        conflicts: parameters.conflict_resolution,
        partial: parameters.partial,
    })
}

/// Takes out what had done all of its work at a point.
fn leave_earlier(open: &Open, after: PointSeq, changes: &mut Vec<ChangeRow>) -> Result<(), Failure> {
    let chains = open.catalog.chains_since(after)?;
    let segments = chains.iter().flat_map(|chain| &chain.segments).filter(|segment| segment.point > after);
    let later: BTreeSet<ChangeSeq> = segments.map(|segment| segment.change).collect();
    changes.retain(|row| later.contains(&row.seq) || row.change.ended_at.is_none());
    Ok(())
}

/// Takes out what is to stay: the work of tasks and phases that are completed.
fn leave_preserved(
    open: &Open,
    workflow: &WorkflowId,
    parameters: &Rollback,
    changes: &mut Vec<ChangeRow>,
) -> Result<(), Failure> {
    let tasks_stay = parameters.preserves(Preserved::SuccessfulTasks);
    let phases_stay = parameters.preserves(Preserved::CompletedPhases);
    if !tasks_stay && !phases_stay {
        return Ok(());
    }
    let Some(state) = state::present(&open.catalog, workflow)? else { return Ok(()) };
    let task_of = |row: &ChangeRow| row.change.author.task_id.as_ref().and_then(|id| state.tasks.get(id));
    let is_task_done = |row: &ChangeRow| task_of(row).is_some_and(|task| task.status == TaskStatus::Completed);
    let is_phase_done = |row: &ChangeRow| {
        let own = row.change.author.phase_id.clone();
        let phase = own.or_else(|| task_of(row).and_then(|task| task.phase_id.clone()));
        phase.and_then(|id| state.phases.get(&id)).is_some_and(|phase| phase.status == PhaseStatus::Completed)
    };
    changes.retain(|row| !(tasks_stay && is_task_done(row) || phases_stay && is_phase_done(row)));
    Ok(())
}

/// What the user and unknown programs did from the first of the changes on.
fn external(open: &Open, changes: &[ChangeRow]) -> Result<Vec<ChangeRow>, Failure> {
    let first = changes.iter().map(|row| row.seq).min();
    let filter = ChangeFilter { actors: vec![Actor::User, Actor::Unknown], ..ChangeFilter::default() };
    let found = open.catalog.changes(&filter)?;
    Ok(found.into_iter().filter(|row| Some(row.seq) > first).collect())
}

/// The point of a checkpoint: from there on the ledger knows what was done.
fn point_of(open: &Open, row: &CheckpointRow) -> Result<PointSeq, Failure> {
    open.catalog.point_of(&row.checkpoint_id)?.ok_or_else(|| {
        let message = format!("checkpoint `{}` was taken before the first change was recorded", row.name);
        Failure::new(Code::NothingSelected, message)
            .with_hint("leave it out, name a later one, or `wfr restore` the whole of it")
    })
}

/// The changes that fit, and the shared ones that may.
fn changes(
    open: &Open,
    workflow: &WorkflowId,
    parameters: &Rollback,
) -> Result<(Vec<ChangeRow>, Vec<ChangeRow>), Failure> {
    let is_named = !parameters.change.0.is_empty();
    let chooses = parameters.agent.is_some()
        || parameters.task.is_some()
        || parameters.phase.is_some()
        || parameters.since.is_some()
        || !parameters.file.0.is_empty()
        || parameters.checkpoint.is_some()
        || parameters.interactive
        || parameters.rollback_scope == RollbackScope::Full;
    if !is_named && !chooses {
        return Err(Failure::new(Code::WrongArguments, "whose work is to be taken back is not said").with_hint(
            "name it: `--agent A`, `--task T`, `--phase N`, `--change ID`, `--since TIME`, a checkpoint, or all of the \
             workflow with `--rollback-scope full`, or choose with `--interactive`",
        ));
    }
    let mut named = Vec::new();
    for id in &parameters.change.0 {
        let row = open.catalog.change(id)?;
        named.push(row.ok_or_else(|| Failure::new(Code::ChangeNotFound, format!("there is no change {id}")))?);
    }
    let filter = ChangeFilter {
        workflow: Some(workflow.clone()),
        phase: parameters.phase.as_ref().and_then(Phase::id).map(|phase| phase.to_string()),
        task: parameters.task.clone(),
        agent: parameters.agent.clone(),
        actors: vec![Actor::Agent],
        since: parameters.since,
        paths: None,
        open: false,
        limit: None,
    };
    let is_narrowed = chooses && is_named;
    let found = if is_named && !is_narrowed { vec![] } else { open.catalog.changes(&filter)? };
    let shared =
        ChangeFilter { actors: vec![Actor::Shared], workflow: None, agent: None, task: None, phase: None, ..filter };
    let shared = open.catalog.changes(&shared)?;
    let may_be = |row: &ChangeRow| {
        row.change.candidates.iter().any(|one| {
            let author = &one.author;
            author.workflow_id.as_ref() == Some(workflow)
                && (parameters.agent.is_none() || author.agent_id == parameters.agent)
                && (parameters.task.is_none() || author.task_id == parameters.task)
        })
    };
    let candidates = shared.into_iter().filter(may_be).collect();
    let chosen = match (is_named, is_narrowed) {
        (true, false) => named,
        (true, true) => named.into_iter().filter(|row| found.iter().any(|other| other.seq == row.seq)).collect(),
        (false, _) => found,
    };
    Ok((chosen, candidates))
}

/// Why nothing fits, and what there is instead.
fn nothing_fits(
    open: &Open,
    workflow: &WorkflowId,
    parameters: &Rollback,
    candidates: &[ChangeRow],
) -> Result<Failure, Failure> {
    if let Some(row) = candidates.first() {
        let names: Vec<&str> = row.change.candidates.iter().map(|one| one.author.name()).collect();
        let message = format!(
            "what was changed is shared: {} worked at the same time, and nothing tells whose it is",
            names.join(" and ")
        );
        let hint = format!("`wfr rollback {workflow} --change {}` takes it back, whosever it is", row.change.change_id);
        return Ok(Failure::new(Code::NothingSelected, message).with_hint(hint));
    }
    let all = ChangeFilter { workflow: Some(workflow.clone()), limit: Some(1_000), ..ChangeFilter::default() };
    let agents: BTreeSet<String> = open
        .catalog
        .changes(&all)?
        .into_iter()
        .filter_map(|row| row.change.author.agent_id)
        .map(|agent| agent.to_string())
        .collect();
    let failure = Failure::new(Code::NothingSelected, "no change fits what was asked for");
    Ok(match &parameters.agent {
        Some(agent) if !agents.is_empty() && !agents.contains(agent.as_str()) => {
            let agents: Vec<String> = agents.into_iter().take(10).collect();
            Failure::new(Code::NothingSelected, format!("no change of agent `{agent}` is recorded in {workflow}"))
                .with_hint(format!("agents with changes: {}", agents.join(", ")))
        }
        _ => failure,
    })
}

/// Contents made by hand, read from their files.
fn resolved(session: &Session, given: &[String]) -> Result<BTreeMap<TreePath, Vec<u8>>, Failure> {
    let mut found = BTreeMap::new();
    for text in given {
        let wrong = || Failure::new(Code::InvalidParameter, format!("`{text}` is not PATH=FILE"));
        let (path, file) = text.split_once('=').ok_or_else(wrong)?;
        let path: TreePath = path.parse().map_err(|error| wrong().with_details(format!("{error}")))?;
        let place = session.directories.current.join(OsStr::from_bytes(file.as_bytes()));
        let bytes = std::fs::read(&place).map_err(|error| {
            let code = if error.kind() == std::io::ErrorKind::NotFound { Code::FileNotFound } else { Code::Io };
            Failure::new(code, format!("the content for `{path}` cannot be read from {}", place.display()))
                .with_details(error.to_string())
        })?;
        if found.insert(path, bytes).is_some() {
            return Err(Failure::new(Code::WrongArguments, format!("`resolve` names a path twice: `{text}`")));
        }
    }
    Ok(found)
}
