//! `rollback`: the work of some taken back, and nobody else's.
//!
//! Owns what is decided beforehand. Refuses to choose or to plan: that is [`super::choice`] and
//! [`crate::recovery::selective`].

use std::collections::BTreeMap;
use std::time::Instant;

use serde_json::Value;
use wfr_catalog::{CheckpointRow, ListQuery};
use wfr_model::config::DependencyValidation;
use wfr_model::finding::{Finding, Severity};
use wfr_model::recovery::RecoveryKind;
use wfr_model::workflow::{Agent, AgentStatus, Whole};
use wfr_model::{Span, TaskId, TreePath, WorkflowId};
use wfr_recovery::merge::Unit;

use super::fencing::Fence;
use super::recoveries::{Asked, run};
use super::restore::check_needs;
use super::{by_hand, choice, known, needed, time_left};
use crate::dependencies::Validated;
use crate::error::{Code, Failure};
use crate::open::Open;
use crate::params::{PathAndFile, Rollback, ValidationLevel, patience};
use crate::picking;
use crate::recovery::Order;
use crate::recovery::decisions::Decisions;
use crate::recovery::selective::Selection;
use crate::response::Success;
use crate::results::{Recovered, Verdict};
use crate::session::Session;
use crate::{state, verify};

/// Takes chosen work back.
pub fn rollback(session: &mut Session, parameters: Rollback) -> Result<Success<Recovered>, Failure> {
    session.with_reserve(|session| try_rollback(session, parameters.clone()))
}

fn try_rollback(session: &mut Session, parameters: Rollback) -> Result<Success<Recovered>, Failure> {
    let begun = Instant::now();
    picking::check(session, parameters.interactive)?;
    let told = serde_json::to_value(&parameters).unwrap_or_default();
    let parameters = parameters.settled()?;
    let open = session.open()?;
    let workflow = known(&open, needed(parameters.workflow_id.clone(), "workflow_id")?)?;
    let given = parameters.checkpoint.as_deref().map(|reference| open.catalog.resolve(Some(&workflow), reference));
    let given = given.transpose()?;
    let fence = fence(session, &parameters);
    let meant = || choice::writers_meant(&open, &workflow, &parameters, given.as_ref());
    fence.before(session, &open, meant, |session| {
        take_back(session, &open, (&workflow, given.clone()), (&parameters, told), begun)
    })
}

/// What a rollback says of writers.
pub(super) fn fence(session: &Session, parameters: &Rollback) -> Fence {
    let consent = parameters.consent(session.interactive);
    Fence::of(parameters.stop_writers, parameters.plan, consent, parameters.wait)
}

fn take_back(
    session: &mut Session,
    open: &Open,
    (workflow, given): (&WorkflowId, Option<CheckpointRow>),
    (parameters, told): (&Rollback, Value),
    begun: Instant,
) -> Result<Success<Recovered>, Failure> {
    let selection = choice::selection(session, open, workflow, parameters, given.as_ref())?;
    let checked = check_target(session, open, given.as_ref(), parameters)?;
    let target = match given {
        Some(row) => row,
        None => oldest(open)?,
    };
    let mut order = Order {
        exact_mtime: parameters.exact_mtime,
        allow_config: parameters.allow_config,
        time_limit: time_left(open, parameters.timeout, begun),
        stop_writers: parameters.stop_writers,
        wait: patience(parameters.wait),
        needs: needs(session, open, (workflow, &target), parameters, &selection)?,
        selection: Some(selection),
        parameters: told,
        ..Order::new(RecoveryKind::Rollback, workflow.clone(), target)
    };
    order.keep_taken();
    if parameters.interactive {
        picking::narrow(session, open, &mut order)?;
    }
    let asked = Asked { consent: parameters.consent(session.interactive), plan_only: parameters.plan };
    run(session, open, &order, &asked, checked, begun)
}

/// Checks every byte of the checkpoint that is named, before anything is changed. Without one only what a rollback reads
/// counts, which is checked while it is read, and the tree afterwards; a plan changes nothing.
fn check_target(
    session: &Session,
    open: &Open,
    given: Option<&CheckpointRow>,
    parameters: &Rollback,
) -> Result<Verdict, Failure> {
    if parameters.plan || parameters.validation_requirements.integrity_check == Some(false) {
        return Ok(Verdict::Skipped);
    }
    let Some(target) = given else { return Ok(Verdict::Passed) };
    let report = verify::verify(open, &open.store()?, target, ValidationLevel::Comprehensive, session)?;
    let why = match report.damages.first() {
        Some(first) if first.path.is_root() => first.message.clone(),
        Some(first) => format!("`{}`: {}", first.path, first.message),
        None if report.is_whole() => return Ok(Verdict::Passed),
        None => "the catalog does not say of it what was recorded".to_owned(),
    };
    Err(Failure::new(Code::CheckpointIntegrity, format!("checkpoint `{}` is damaged: {why}", target.name)).with_hint(
        "what a rollback reads is checked in any case: `--validation-requirements '{\"integrity_check\": false}'` goes on \
         without the rest of the checkpoint",
    ))
}

/// Looks for what the workflow needs, and for agents that could do its tasks anew, as far as that is asked for.
fn needs(
    session: &Session,
    open: &Open,
    (workflow, target): (&WorkflowId, &CheckpointRow),
    parameters: &Rollback,
    selection: &Selection,
) -> Result<Validated, Failure> {
    let asked = parameters.validation_requirements;
    let mut needs = match asked.dependency_validation {
        Some(true) => check_needs(session, open, target, DependencyValidation::Comprehensive)?,
        _ => Validated::default(),
    };
    if asked.agent_compatibility == Some(true) {
        let state = state::present(&open.catalog, workflow)?;
        needs.findings.extend(state.and_then(|state| without_agents(&state, &selection.tasks)));
    }
    Ok(needs)
}

/// What is to be said where nobody is there to do tasks anew.
fn without_agents(state: &Whole, tasks: &[TaskId]) -> Option<Finding> {
    let is_there = |agent: &Agent| !agent.deallocated && agent.status != AgentStatus::Failed;
    let known = tasks.iter().filter(|task| state.tasks.contains_key(task)).count();
    if known == 0 || state.agents.values().any(is_there) {
        return None;
    }
    let message = format!("no agent is there that could do {known} tasks anew: all have left or failed");
    Some(Finding::new(
        "NO_AGENT",
        Severity::Warning,
        message,
        "`wfr status` shows the agents; start one, or name another",
    ))
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

/// What the parameters decide beforehand.
pub(super) fn decisions(session: &Session, parameters: &Rollback) -> Result<Decisions, Failure> {
    let resolved = resolved(session, parameters)?;
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
        conflicts: parameters.conflict_resolution.files(),
        partial: parameters.partial,
        unit: if parameters.words { Unit::Words } else { Unit::Lines },
    })
}

/// Contents made by hand, read from their files.
fn resolved(session: &Session, parameters: &Rollback) -> Result<BTreeMap<TreePath, Vec<u8>>, Failure> {
    let mut found = BTreeMap::new();
    let limit = parameters.timeout.and_then(Span::duration);
    for PathAndFile(text) in &parameters.resolve.0 {
        let (path, place) = by_hand::meant(session, text)?;
        let bytes = by_hand::read(&place, limit, &session.abort)?;
        if found.insert(path, bytes).is_some() {
            return Err(Failure::new(Code::WrongArguments, format!("`resolve` names a path twice: `{text}`")));
        }
    }
    Ok(found)
}
