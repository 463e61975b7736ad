//! `undo`, `resume`, `recoveries`, and how every recovery is run and told of.
//!
//! Owns their glue: what is checked first, and what the results say. Refuses to know how a recovery runs: that is
//! [`crate::recovery`].

use std::num::NonZeroU32;
use std::sync::atomic::Ordering;
use std::time::Instant;

use serde_json::json;
use wfr_catalog::{CheckpointRow, RecoveryFilter, Took};
use wfr_model::finding::Finding;
use wfr_model::plan::{Kept, KeptReason, Step};
use wfr_model::recovery::{RecoveryKind, RecoveryRecord, RecoveryStatus};
use wfr_model::{RecoveryId, TreePath};
use wfr_recovery::apply::GaveUp;

use super::fencing::Fence;
use super::{known, strategy, time_left, took};
use crate::error::{Code, Failure};
use crate::open::Open;
use crate::params::{Component, Consent, Recoveries, Resume, Undo, patience};
use crate::recovery::already::{MAY_BE_BROUGHT_AGAIN, PENDING_ALREADY, TAKEN_BACK_ALREADY};
use crate::recovery::fencing::Meant;
use crate::recovery::leaving::STAYS_AS_DECIDED;
use crate::recovery::noting::{GIT_LEFT_ALONE, NO_STATE};
use crate::recovery::telling::{LEFT_AS_IT_IS, NOT_FOLLOWED};
use crate::recovery::{self, CheckEnd, Ended, Order, Planned, Run, owed};
use crate::response::{Impact, Success};
use crate::results::{
    DamagedRecovery, HoldLine, PlanResult, Recovered, RecoveryLine, RecoveryList, Resumed, ResumedRecovery,
    StateChanges, ValidationResults, Verdict,
};
use crate::session::Session;

/// How far a recovery may go without being asked.
pub(super) struct Asked {
    pub(super) consent: Consent,
    pub(super) plan_only: bool,
}

/// Plans, or runs and says how it ended.
pub(super) fn run(
    session: &Session,
    open: &Open,
    order: &Order,
    asked: &Asked,
    checked: Verdict,
    begun: Instant,
) -> Result<Success<Recovered>, Failure> {
    if asked.plan_only {
        recovery::tell_unfinished(session, open)?;
        let planned = recovery::plan_dry(session, open, &open.store()?, order)?;
        let mut result = empty(&order.target, begun, checked);
        result.validation_results.dependency_validation = order.needs.verdict;
        result.validation_results.layers = order.layers;
        let rollback_strategy = strategy::of(order, &planned);
        result.plan = Some(PlanResult { rollback_strategy, ..plan_result(&planned) });
        result.conflicts = planned.plan.conflicts.clone();
        return Ok(Success::new(result).about(&order.workflow));
    }
    let ended = match recovery::recover(session, open, order, asked.consent)? {
        Run::Ended(ended) => *ended,
        Run::Idle(findings, kept) => {
            let done = idle(order, &findings, &kept);
            let mut result =
                Recovered { recovery_successful: true, findings, kept, ..empty(&order.target, begun, checked) };
            result.validation_results.dependency_validation = order.needs.verdict;
            result.validation_results.layers = order.layers;
            return Ok(Success::new(result).about(&order.workflow).with_next_step(done));
        }
    };
    let ended = match ended.functional {
        None | Some(CheckEnd::Passed) => ended,
        Some(end) => return put_back(session, open, order, (ended, end), checked, begun),
    };
    let failure = failure_of(&ended);
    let changed = ended.report.changed.len() as u64;
    let took = Took { length: ended.length, steps: changed };
    let mut result = recovered(order, ended, checked, begun);
    check_pace(open, order, took, &mut result);
    let impact = Impact {
        tasks_affected: result.state_changes.map(|state| state.tasks),
        agents_reassigned: result.state_changes.map(|state| state.agents),
        files_restored: Some(changed),
        downtime: Some(result.restoration_time.clone()),
    };
    let mut success = Success::new(result).about(&order.workflow).with_impact(impact).with_verdict(failure);
    if changed > 0 || success.result.state_changes.is_some() {
        success = success.with_next_step("`wfr undo` takes it back");
    }
    if !success.result.displaced.is_empty() {
        success = success.with_next_step("displaced files that could not be dropped safely were kept: see `displaced`");
    }
    let success = name_kept(success, KeptReason::Damaged, "damaged in the store and left as they were");
    Ok(name_kept(success, KeptReason::Edited, "edited meanwhile, and the edits were kept"))
}

/// Why nothing was to be done.
fn idle(order: &Order, findings: &[Finding], kept: &[Kept]) -> String {
    let is_taken =
        findings.iter().find(|finding| [TAKEN_BACK_ALREADY, PENDING_ALREADY].contains(&finding.code.as_str()));
    let stays = [LEFT_AS_IT_IS, MAY_BE_BROUGHT_AGAIN, NOT_FOLLOWED];
    let is_left = findings.iter().any(|finding| stays.contains(&finding.code.as_str()));
    let is_decided = findings.iter().any(|finding| finding.code == STAYS_AS_DECIDED);
    let why = match (is_taken, &order.selection, &order.joining) {
        (Some(taken), _, _) => &format!("{}; {}", taken.message, taken.fix),
        (None, Some(_), _) if is_left => "what is left cannot be taken back as it is: see `findings`",
        (None, Some(_), _) if is_decided => "all that would go stays, as was decided: see `findings`",
        (None, Some(selection), _) if selection.changes.is_empty() => "nothing was done since",
        (None, Some(_), _) => "all of it is taken back already, or was undone by others",
        (None, None, Some(_)) => "all that the checkpoint has is here, or was changed on top of it",
        (None, None, None) if kept.iter().any(is_gone) => lacking(kept),
        (None, None, None) if findings.iter().any(|finding| finding.code == GIT_LEFT_ALONE) => {
            "all but git's own is as the checkpoint has it: see `findings`"
        }
        (None, None, None) if kept.iter().any(|kept| !matches!(kept.reason, KeptReason::Uncovered(_))) => {
            "all but what is left alone is as the checkpoint has it: see `kept`"
        }
        (None, None, None) if order.target.tree.is_none() => {
            "the checkpoint holds state only, which is as it has it; it holds no files, so these were not looked at"
        }
        (None, None, None) if findings.iter().any(|finding| finding.code == NO_STATE) => {
            "all files are as the checkpoint has them, and it holds no state"
        }
        (None, None, None) => "all is as the checkpoint has it",
    };
    format!("nothing is to be done: {why}")
}

fn is_gone(kept: &Kept) -> bool {
    matches!(kept.reason, KeptReason::Gone(_))
}

/// The same where something that the checkpoint saw and does not cover is not there any more.
fn lacking(kept: &[Kept]) -> &'static str {
    if kept.iter().all(|kept| matches!(kept.reason, KeptReason::Gone(_) | KeptReason::Uncovered(_))) {
        "all that the checkpoint covers is as it has it; what it does not cover and is gone cannot be brought back from it: \
         see `kept`"
    } else {
        "all is as the checkpoint has it but what is left alone, and what it does not cover and is gone: that cannot be brought \
         back from it: see `kept`"
    }
}

/// Measures a recovery that ended well against earlier ones. What cannot be measured is no failure of the recovery.
fn check_pace(open: &Open, order: &Order, took: Took, result: &mut Recovered) {
    let is_asked = open.config.recovery_configuration.validation_settings.performance_validation;
    let is_done = result.recovery_status == Some(RecoveryStatus::Done) && took.steps > 0;
    let id = result.recovery_id.as_ref().filter(|_| is_asked && is_done);
    if let Some(Ok((verdict, finding))) = id.map(|id| recovery::pace::measure(open, (id, order.kind), took)) {
        result.validation_results.performance_check = verdict;
        result.findings.extend(finding);
    }
}

/// The functional check failed, or was cut off: the tree as it was is put back, whatever the check has done to it.
fn put_back(
    session: &Session,
    open: &Open,
    order: &Order,
    (ended, end): (Ended, CheckEnd),
    checked: Verdict,
    begun: Instant,
) -> Result<Success<Recovered>, Failure> {
    // Whoever gave up wants the tree back as it was; a second request ends that, too.
    let is_interrupted = session.abort.swap(false, Ordering::Relaxed);
    let back = take_back(session, open, &ended.recovery)?;
    let before = ended.safety.clone();
    let mut result = recovered(order, ended, checked, begun);
    result.recovery_successful = false;
    result.recovery_status = Some(RecoveryStatus::TakenBack);
    let is_back = back.as_ref().is_none_or(|back| back.status == RecoveryStatus::Done && back.edited.is_empty());
    let failure = if !is_back {
        let message = "the functional check failed, and the tree could not be put back whole";
        Failure::new(Code::RecoveryPartial, message)
    } else if is_interrupted {
        Failure::new(Code::Interrupted, "interrupted: the tree is as it was before")
    } else {
        Failure::new(Code::FunctionalCheckFailed, "the functional check failed after the restore")
            .with_details(end.to_string())
    };
    let Some(back) = back else { return Ok(Success::new(result).about(&order.workflow).with_verdict(Some(failure))) };
    (result.kept, result.failed) = (back.report.kept, back.report.failed);
    let failure = failure.with_option(format!(
        "what was written while the check ran, by it or by anybody, is in checkpoint {0}: `wfr diff {before} {0}` shows it",
        back.safety
    ));
    Ok(Success::new(result).about(&order.workflow).with_verdict(Some(failure)))
}

/// Undoes a recovery whose check failed, over what was edited since, too; `None` where nothing was to be undone, or another
/// process was faster.
fn take_back(session: &Session, open: &Open, id: &RecoveryId) -> Result<Option<Box<Ended>>, Failure> {
    let gone = || Failure::new(Code::NotUndoable, format!("what recovery {id} saved is gone"));
    let record = open.catalog.recovery(id)?.ok_or_else(gone)?;
    let order = Order { over_edits: true, ..owed::order(open, record)?.ok_or_else(gone)? };
    let back = match recovery::recover(session, open, &order, Consent::Yes) {
        Err(_) if owed::is_undone(open, id)? => None,
        ended => match ended? {
            Run::Ended(back) => Some(back),
            Run::Idle(..) => None,
        },
    };
    owed::forget(open, id)?;
    Ok(back)
}

fn failure_of(ended: &Ended) -> Option<Failure> {
    match ended.status {
        RecoveryStatus::TakenBack => Some(taken_back(ended)),
        RecoveryStatus::Partial => {
            let message = format!("{} steps could not be done", ended.report.failed.len());
            Some(Failure::new(Code::RecoveryPartial, message))
        }
        _ => ended.edited.first().map(|first| {
            let message = format!("`{first}` was edited after it was restored ({} in all)", ended.edited.len());
            let hint = "the edits stand, see `kept`: `wfr restore` again brings the checkpoint's version back";
            Failure::new(Code::RecoveryPartial, message).with_hint(hint)
        }),
    }
}

/// Why a recovery was taken back, and whether the tree is as it was before.
fn taken_back(ended: &Ended) -> Failure {
    let report = &ended.report;
    let unlike = report.unlike_before.iter().flatten().next();
    let kept = report.kept.iter().find(|kept| kept.reason == KeptReason::Edited);
    let but = match (unlike, kept) {
        (Some(path), _) => format!(", but for what does not hold what it held then, see `kept`: `{path}`"),
        (None, Some(kept)) => format!(", but for edits made meanwhile, see `kept`: `{}`", kept.path),
        (None, None) => String::new(),
    };
    let failure = match &ended.reason {
        Some(GaveUp::Interrupted) => {
            let message = format!("interrupted: the tree is as it was before{but}");
            Failure::new(Code::Interrupted, message)
                .with_hint("nothing is left to be done: call it again when it may go on to its end")
        }
        Some(GaveUp::TimedOut) => {
            Failure::new(Code::TimeLimit, format!("the time limit was reached: the tree is as it was before{but}"))
        }
        why => {
            let why = why.as_ref().map(ToString::to_string).unwrap_or_default();
            let message = format!("the recovery was taken back, the tree is as it was before{but}: {why}");
            Failure::new(Code::RecoveryTakenBack, message)
        }
    };
    match unlike {
        None => failure,
        Some(_) => {
            failure.with_option(format!("what it held is in checkpoint {0}: `wfr diff {0}` shows it", ended.safety))
        }
    }
}

/// A result before anything has happened.
pub(super) fn empty(target: &CheckpointRow, begun: Instant, checked: Verdict) -> Recovered {
    Recovered {
        recovery_successful: false,
        kind: None,
        recovery_id: None,
        recovery_status: None,
        restored_checkpoint: target.checkpoint_id.clone(),
        safety_checkpoint: None,
        undone: None,
        restored_to: None,
        rolled_back: 0,
        restoration_time: took(begun),
        components_restored: vec![],
        validation_results: ValidationResults { integrity_check: checked, ..ValidationResults::default() },
        changed: vec![],
        state_changes: None,
        state_kept: vec![],
        kept: vec![],
        conflicts: vec![],
        failed: vec![],
        displaced: vec![],
        passed_over: vec![],
        preempted: None,
        blast_radius: vec![],
        dependents: vec![],
        stopped_writers: vec![],
        findings: vec![],
        plan: None,
    }
}

fn recovered(order: &Order, ended: Ended, checked: Verdict, begun: Instant) -> Recovered {
    let integrity = match checked {
        // What was checked is that the tree is as it was before.
        _ if ended.status == RecoveryStatus::TakenBack => {
            Verdict::of_optional(ended.report.unlike_before.as_ref().map(Vec::is_empty))
        }
        Verdict::Skipped => Verdict::Skipped,
        // What is damaged was left out on request: that does not make the checkpoint whole.
        checked => Verdict::of(checked == Verdict::Passed && ended.edited.is_empty()),
    };
    let validation_results = ValidationResults {
        integrity_check: integrity,
        layers: order.layers,
        dependency_validation: order.needs.verdict,
        functional_check: Verdict::of_optional(ended.functional.map(|end| end == CheckEnd::Passed)),
        ..ValidationResults::default()
    };
    Recovered {
        recovery_successful: ended.status == RecoveryStatus::Done && ended.edited.is_empty(),
        kind: Some(order.kind),
        recovery_id: Some(ended.recovery),
        recovery_status: Some(ended.status),
        safety_checkpoint: Some(ended.safety),
        undone: order.undoes.as_ref().map(|record| record.recovery_id.clone()),
        rolled_back: ended.rolled_back,
        components_restored: components(order, ended.state.as_ref()),
        state_changes: ended.state,
        state_kept: ended.state_kept,
        validation_results,
        changed: ended.report.changed,
        kept: with_edited(ended.report.kept, ended.edited),
        failed: ended.report.failed,
        displaced: ended.report.displaced,
        preempted: ended.preempted.as_ref().map(HoldLine::of),
        blast_radius: ended.later.0,
        dependents: ended.later.1,
        findings: ended.findings,
        ..empty(&order.target, begun, checked)
    }
}

/// What a recovery was about, in the reference's words.
fn components(order: &Order, state: Option<&StateChanges>) -> Vec<String> {
    let state = state.copied().unwrap_or_default();
    let has = |component| order.parts.as_ref().is_none_or(|parts| parts.has(component));
    let parts = [
        (order.target.has_files && has(Component::FileSystem), "file_system"),
        (state.workflow || state.phases + state.tasks > 0, "workflow_state"),
        (state.agents > 0, "agent_assignments"),
        (state.allocations > 0, "resource_allocations"),
    ];
    parts.iter().filter(|(is_in, _)| *is_in).map(|(_, name)| (*name).to_owned()).collect()
}

/// What was left alone, with what was edited after it was restored.
fn with_edited(mut kept: Vec<Kept>, edited: Vec<TreePath>) -> Vec<Kept> {
    kept.extend(edited.into_iter().map(|path| Kept { path, reason: KeptReason::Edited }));
    kept.sort_by(|a, b| a.path.cmp(&b.path));
    kept.dedup_by(|a, b| a.path == b.path);
    kept
}

/// Names paths that are not as the checkpoint has them, for a reason: a success that leaves something out says so.
pub(super) fn name_kept(success: Success<Recovered>, reason: KeptReason, why: &str) -> Success<Recovered> {
    const NAMED_MAX: usize = 5;
    let paths: Vec<String> =
        success.result.kept.iter().filter(|kept| kept.reason == reason).map(|kept| kept.path.to_string()).collect();
    if paths.is_empty() {
        return success;
    }
    let more = if paths.len() > NAMED_MAX { format!(" and {} more", paths.len() - NAMED_MAX) } else { String::new() };
    success.with_next_step(format!("{why}: {}{more}", paths[..paths.len().min(NAMED_MAX)].join(", ")))
}

/// A plan in results.
pub fn plan_result(planned: &Planned) -> PlanResult {
    PlanResult {
        digest: planned.digest(),
        steps: planned.plan.steps.iter().map(Step::summary).collect(),
        root: planned.plan.root,
        state_changes: planned.state,
        state_kept: planned.state_kept.clone(),
        state_names: planned.state_names.clone(),
        conflicts: planned.plan.conflicts.clone(),
        blast_radius: planned.blast_radius.clone(),
        dependents: planned.dependents.clone(),
        patches: planned.patches.0.clone(),
        patches_left_out: planned.patches.1,
        is_selective: planned.taken.is_some(),
        kept: planned.plan.kept.clone(),
        moved_heads: planned.moved_heads.clone(),
        findings: planned.findings.clone(),
        rollback_strategy: None,
    }
}

/// Takes a recovery back.
pub fn undo(session: &mut Session, parameters: Undo) -> Result<Success<Recovered>, Failure> {
    session.with_reserve(|session| try_undo(session, parameters.clone()))
}

fn try_undo(session: &mut Session, parameters: Undo) -> Result<Success<Recovered>, Failure> {
    let begun = Instant::now();
    let open = session.open()?;
    if !parameters.plan {
        recovery::wait_for_turn(session, patience(parameters.wait), || recovery::finish_unfinished(session, &open))?;
    } else if let Some(unfinished) = open.catalog.unfinished()?.first() {
        let message =
            format!("recovery {} is unfinished: what an undo does shows when it has ended", unfinished.recovery_id);
        return Err(Failure::new(Code::RecoveryUnfinished, message).with_hint("`wfr resume` ends it"));
    }
    let record = undone(&open, &parameters)?;
    let before = before_nothing(&open, &parameters, &record)?;
    let takes_back = |id: &RecoveryId| format!("`wfr undo {id}` takes back the one before");
    let consent = parameters.consent(session.interactive);
    let fence = Fence::of(parameters.stop_writers, parameters.plan, consent, parameters.wait);
    let meant = || Meant::of_undo(&open, &record);
    let undone =
        fence.before(session, &open, meant, |session| undo_one(session, &open, &parameters, record.clone(), begun));
    match (undone, before) {
        (undone, None) => undone,
        (Ok(undone), Some(before)) => {
            let older = before.as_ref().map(|id| format!("; {}", takes_back(id))).unwrap_or_default();
            let done = format!("{} changed nothing that this would take back{older}", record.recovery_id);
            Ok(undone.with_next_step(done))
        }
        (Err(failure), Some(before)) => {
            Err(before.iter().fold(failure, |failure, id| failure.with_option(takes_back(id))))
        }
    }
}

/// Where the recovery that is to be undone, and that nobody named, changed nothing: the newest one before it that did, if any.
/// That one is named, and never taken in its place: who asks for an undo means what was done last.
fn before_nothing(
    open: &Open,
    parameters: &Undo,
    record: &RecoveryRecord,
) -> Result<Option<Option<RecoveryId>>, Failure> {
    if parameters.recovery_id.is_some() {
        return Ok(None);
    }
    let changed_else = |record: &_| recovery::changed_no_path_but_else(open, record, parameters.exact_mtime.0);
    let newest = open.catalog.latest_undoable(parameters.workflow_id.as_ref(), &changed_else)?;
    let newest = newest.map(|newest| newest.recovery_id);
    Ok((newest.as_ref() != Some(&record.recovery_id)).then_some(newest))
}

fn undo_one(
    session: &Session,
    open: &Open,
    parameters: &Undo,
    record: RecoveryRecord,
    begun: Instant,
) -> Result<Success<Recovered>, Failure> {
    let none = || Failure::new(Code::NotUndoable, format!("recovery {} saved nothing", record.recovery_id));
    let safety = record.safety_checkpoint.clone().ok_or_else(none)?;
    let saved = open.catalog.checkpoint(&safety)?.filter(|row| row.deleted_at.is_none());
    let gone = || {
        let message = format!("checkpoint {safety}, which saved the tree before {}, is gone", record.recovery_id);
        Failure::new(Code::NotUndoable, message).with_hint("`wfr restore` brings another checkpoint back")
    };
    let target = saved.ok_or_else(gone)?;
    let way_out = format!("`wfr restore {} {}` brings back what was there before", target.workflow_id, target.name);
    let order = Order {
        exact_mtime: parameters.exact_mtime.0,
        // Whoever let the recovery take configuration away has not agreed to what was there before.
        allow_config: parameters.allow_config,
        whole_tree: true,
        partial: parameters.partial,
        stop_writers: parameters.stop_writers,
        parameters: json!({
            "recovery_id": record.recovery_id,
            "exact_mtime": parameters.exact_mtime.0,
            "allow_config": parameters.allow_config,
            "allow_unmounted": parameters.allow_unmounted,
            "notify_coordination_hub": parameters.notify_coordination_hub,
        }),
        time_limit: time_left(open, parameters.timeout, begun),
        wait: patience(parameters.wait),
        undoes: Some(record.clone()),
        ..Order::new(RecoveryKind::Undo, record.workflow_id.clone(), target)
    };
    let asked = Asked { consent: parameters.consent(session.interactive), plan_only: parameters.plan };
    // What an undo reads is checked while it is read, and the tree afterwards; a plan reads nothing.
    let checked = if parameters.plan { Verdict::Skipped } else { Verdict::Passed };
    let undone = run(session, open, &order, &asked, checked, begun).and_then(|undone| {
        let is_in_vain = undone.result.recovery_id.is_some() && stands(open, &record)?;
        if !is_in_vain {
            return Ok(undone);
        }
        let result = Recovered { undone: None, ..undone.result };
        Ok(Success { result, ..undone }.with_next_step(still(&record, &way_out)))
    });
    undone.map_err(|failure| match failure.code {
        Code::CheckpointIntegrity => failure.with_option(way_out),
        _ => failure,
    })
}

/// Whether a recovery is not undone.
fn stands(open: &Open, record: &RecoveryRecord) -> Result<bool, Failure> {
    Ok(open.catalog.recovery(&record.recovery_id)?.is_some_and(|record| record.undone_by.is_none()))
}

/// Says of a recovery that its undo changed nothing.
fn still(record: &RecoveryRecord, way_out: &str) -> String {
    format!(
        "{} is not undone, since what it changed was edited and was left alone: {way_out}, over the edits",
        record.recovery_id
    )
}

/// What an undo may be asked for.
const UNDOABLE: &str = "a word is a workflow, or a recovery's id (`rec_...`): `wfr recoveries` lists them";

/// The recovery to be undone: the one named, or the newest that is not undone.
fn undone(open: &Open, parameters: &Undo) -> Result<RecoveryRecord, Failure> {
    let found = match &parameters.recovery_id {
        Some(id) => named(open, id)?.map(|record| in_effect(open, record)).transpose()?,
        None => {
            let workflow = parameters.workflow_id.clone().map(|workflow| known(open, workflow)).transpose();
            let workflow = workflow.map_err(|failure| failure.with_option(UNDOABLE))?;
            open.catalog.latest_undoable(workflow.as_ref(), &|_| true)?
        }
    };
    let message = match &parameters.recovery_id {
        Some(id) => format!("there is no recovery {id}"),
        None => "there is no recovery to undo".to_owned(),
    };
    found.ok_or_else(|| Failure::new(Code::RecoveryNotFound, message).with_hint("`wfr recoveries` lists them"))
}

/// The recovery by whose undo another one is: itself, or where its undo was undone, that one, which did it again.
fn in_effect(open: &Open, record: RecoveryRecord) -> Result<RecoveryRecord, Failure> {
    let mut now = record;
    while let Some(by) = &now.undone_by {
        let undo = open.catalog.recovery(by)?;
        let again = undo.and_then(|undo| undo.undone_by).map(|id| open.catalog.recovery(&id)).transpose()?.flatten();
        match again {
            Some(again) => now = again,
            None => break,
        }
    }
    Ok(now)
}

/// The recovery with an id, or the only one whose id begins so.
fn named(open: &Open, id: &RecoveryId) -> Result<Option<RecoveryRecord>, Failure> {
    const CANDIDATES_MAX: u32 = 10;
    if let Some(record) = open.catalog.recovery(id)? {
        return Ok(Some(record));
    }
    let mut found = open.catalog.recoveries_like(id.as_str(), CANDIDATES_MAX)?;
    if found.len() > 1 {
        let ids: Vec<&str> = found.iter().map(|record| record.recovery_id.as_str()).collect();
        let message = format!("`{id}` may mean more than one recovery: {}", ids.join(", "));
        return Err(
            Failure::new(Code::Ambiguous, message).with_hint("give more of the id: `wfr recoveries` lists them")
        );
    }
    Ok(found.pop())
}

/// Ends what is unfinished.
pub fn resume(session: &mut Session, parameters: Resume) -> Result<Success<Resumed>, Failure> {
    session.with_reserve(|session| try_resume(session, parameters.clone()))
}

fn try_resume(session: &mut Session, parameters: Resume) -> Result<Success<Resumed>, Failure> {
    let open = session.open()?;
    let finished = recovery::finish_and_clean(session, &open, parameters.take_back)?;
    let resumed = finished.resumed.into_iter().map(|(recovery_id, outcome)| ResumedRecovery {
        recovery_id,
        recovery_status: outcome.status,
        changed: outcome.report.changed,
        kept: outcome.report.kept,
        failed: outcome.report.failed,
        displaced: outcome.report.displaced,
    });
    let resumed = resumed.collect();
    Ok(Success::new(Resumed { resumed, aborted: finished.aborted, findings: finished.findings }))
}

/// Shows the audit trail.
pub fn recoveries(session: &mut Session, parameters: Recoveries) -> Result<Success<RecoveryList>, Failure> {
    let open = session.open()?;
    let workflow = parameters.workflow_id.clone().map(|workflow| known(&open, workflow)).transpose()?;
    let filter = RecoveryFilter { workflow: workflow.clone(), status: None };
    let mut records = open.catalog.recoveries(&filter, parameters.limit.map_or(100, NonZeroU32::get))?;
    records.retain(|record| parameters.since.is_none_or(|since| record.started_at >= since));
    let line = |record: RecoveryRecord| {
        // Of one that is damaged nothing is known but its id.
        let undone_by = record.undone_by.as_ref().and_then(|id| open.catalog.recovery(id).ok()).flatten();
        RecoveryLine::of(record, undone_by.as_ref(), parameters.report_details)
    };
    let recoveries = records.into_iter().map(line).collect();
    let damaged = open
        .catalog
        .damaged_recoveries(workflow.as_ref())?
        .into_iter()
        .map(|row| DamagedRecovery { recovery_id: row.recovery, why: row.why });
    let list = RecoveryList { recoveries, damaged: damaged.collect() };
    Ok(Success { workflow_id: workflow, ..Success::new(list) })
}
