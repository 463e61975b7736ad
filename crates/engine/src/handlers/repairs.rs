//! `repair-state`.
//!
//! Owns the order of a repair: plan, consent, backup, change, another look. Refuses to decide what mends what: see
//! [`crate::soundness`].

use serde_json::{Value, json};
use wfr_model::finding::Severity;
use wfr_model::recovery::RecoveryKind;
use wfr_model::workflow::validate::StateFinding;
use wfr_model::{CheckpointId, Digest, WorkflowId};
use wfr_store::object::hash;

use super::exchange::no_state;
use super::setting::{Change, Setting, TRIES_MAX, moved};
use super::shown;
use super::states::one_workflow;
use crate::error::{Code, Failure};
use crate::open::Open;
use crate::params::{Consent, RepairState, ValidationDepth};
use crate::response::{Answer, Impact, Success};
use crate::results::{LostRow, Refused, RepairPlan, StateRepair, Verdict};
use crate::session::Session;
use crate::soundness::{self, Mending, Sight};
use crate::{recovery, view};

/// Mends a state.
pub(super) fn repair(session: &mut Session, parameters: RepairState) -> Result<Success<StateRepair>, Failure> {
    let open = session.open()?;
    let workflow = one_workflow(&open, parameters.workflow_id.clone())?;
    let entered = enter(session, &open, &parameters, &workflow)?;
    for _ in 0..TRIES_MAX {
        if let Some(success) = try_repair(session, &open, &parameters, &workflow, entered.clone())? {
            return Ok(success);
        }
    }
    Err(moved(&workflow))
}

/// `None` where somebody recorded something of the workflow between the look and the repair: what was planned might take it
/// back.
fn try_repair(
    session: &Session,
    open: &Open,
    parameters: &RepairState,
    workflow: &WorkflowId,
    entered: Option<StateFinding>,
) -> Result<Option<Success<StateRepair>>, Failure> {
    let sight = soundness::look(open, session, workflow, ValidationDepth::Comprehensive)?;
    let mending = soundness::mending(&sight, parameters.repair_strategy);
    // Of a workflow with checkpoints alone no more is known than that it is there.
    let mending = mending.or_else(|| entered.is_some().then(Mending::default));
    let mending = mending.ok_or_else(|| {
        no_state(open, workflow).with_hint("nothing brings the events back: neither the log nor a checkpoint holds any")
    })?;
    let mut plan = planned(workflow, &sight, &mending)?;
    plan.repairs.splice(0..0, entered.clone());
    let mut result = StateRepair {
        workflow_id: workflow.clone(),
        repair_strategy: parameters.repair_strategy,
        plan,
        applied: entered.is_some(),
        backup: None,
        recovery_id: None,
        event_id: None,
        validation: Verdict::Skipped,
        remaining: vec![],
        log: None,
    };
    if parameters.plan {
        let is_mended = |finding: &StateFinding| result.plan.repairs.contains(finding);
        let stays = |finding: &&StateFinding| finding.severity >= Severity::Error && !is_mended(finding);
        result.remaining = sight.findings.iter().filter(stays).cloned().collect();
        return Ok(Some(Success::new(short(result, parameters)).about(workflow)));
    }
    // What is only derived is made anew without a question.
    let changes = mending.change.is_some();
    let consent = Consent::of(parameters.yes, parameters.apply, session.interactive);
    agreed(consent, &result.plan.digest, changes, &result.plan)?;
    if !mending.is_empty() && !apply(session, open, parameters, &sight, &mending, &mut result)? {
        return Ok(None);
    }
    if parameters.validate_after_repair.0 {
        let after = soundness::look(open, session, workflow, ValidationDepth::Comprehensive)?;
        result.validation = Verdict::of(is_sound(&after.findings));
        result.remaining = after.findings;
    }
    let verdict = (result.validation == Verdict::Failed).then(|| invalid_yet(workflow, &result));
    let is_catalog_damaged = has_damaged_catalog(&result);
    let tasks = result.plan.changes.iter().filter(|place| place.starts_with("tasks/")).count() as u64;
    let impact = Impact { tasks_affected: Some(tasks), ..Impact::default() };
    let is_undoable = result.recovery_id.is_some();
    let success = Success::new(short(result, parameters)).about(workflow).with_impact(impact).with_verdict(verdict);
    let success = if is_undoable { success.with_next_step("`wfr undo` takes it back") } else { success };
    Ok(Some(if is_catalog_damaged { success.with_next_step(REBUILD) } else { success }))
}

/// What mends what no repair of a state does.
const REBUILD: &str =
    "the catalog is damaged beside the state, see `remaining`: `wfr doctor --rebuild-catalog` makes it anew";

fn has_damaged_catalog(result: &StateRepair) -> bool {
    result.remaining.iter().any(|finding| finding.code == soundness::CATALOG_DAMAGED)
}

/// Whether no error of the state itself is left.
fn is_sound(findings: &[StateFinding]) -> bool {
    soundness::of_state(findings).all(|finding| finding.severity < Severity::Error)
}

/// What is left, and what mends it; a strategy that was taken already is not named again.
fn invalid_yet(workflow: &WorkflowId, result: &StateRepair) -> Failure {
    let errors = soundness::of_state(&result.remaining).filter(|finding| finding.severity >= Severity::Error);
    let mends_more = errors
        .into_iter()
        .any(|finding| finding.repair.as_ref().is_some_and(|repair| !result.repair_strategy.takes(repair)));
    let hint = match mends_more {
        true => "see `remaining`: `--repair-strategy aggressive` mends more, the rest only a person can say",
        false => "see `remaining`: only a person can say what mends it, `wfr update-state` sets it",
    };
    let failure =
        Failure::new(Code::StateInvalid, format!("the state of `{workflow}` is not valid yet")).with_hint(hint);
    if has_damaged_catalog(result) { failure.with_option(REBUILD) } else { failure }
}

/// Registers a workflow that is not registered, as the foundation of all else. Nothing is lost by it, so nobody is asked; a
/// plan only names it.
fn enter(
    session: &Session,
    open: &Open,
    parameters: &RepairState,
    workflow: &WorkflowId,
) -> Result<Option<StateFinding>, Failure> {
    let missing = soundness::registration(open, workflow)?.filter(|_| !parameters.plan);
    if missing.is_some() {
        open.catalog.register_workflow(workflow, session.now())?;
    }
    Ok(missing)
}

/// Without `report_repairs` the findings that are mended are not listed.
fn short(mut result: StateRepair, parameters: &RepairState) -> StateRepair {
    if !parameters.report_repairs.0 {
        result.plan.repairs.clear();
    }
    result
}

fn planned(workflow: &WorkflowId, sight: &Sight, mending: &Mending) -> Result<RepairPlan, Failure> {
    let version = sight.judged().map_or(0, |whole| whole.head.state_version);
    let back: Vec<i64> = mending.back.iter().map(|one| one.seq.0).collect();
    let say = json!([workflow, version, mending.fold_again, mending.change, back]);
    let lost = mending.lost.iter();
    Ok(RepairPlan {
        digest: hash(say.to_string().as_bytes()),
        state_version: version,
        events_back: mending.back.len() as u64,
        fold_again: mending.fold_again,
        changes: mending.change.as_ref().map(soundness::places).unwrap_or_default(),
        repairs: mending.mended.clone(),
        lost: lost
            .map(|row| LostRow { place: row.place.clone(), why: row.why.clone(), text: row.text.clone() })
            .collect(),
    })
}

/// Refuses a plan that nobody has agreed to; the plan goes with the refusal.
pub(super) fn agreed<P>(consent: Consent, digest: &Digest, changes: bool, plan: &P) -> Result<(), Failure>
where
    Refused<P>: Answer,
    P: Clone,
{
    let refused = || Refused { plan: plan.clone() };
    match consent {
        Consent::Yes => Ok(()),
        Consent::Digest(asked) if asked == *digest => Ok(()),
        Consent::Digest(_) => {
            let message = "the state is not as it was when the plan was made";
            Err(Failure::new(Code::StalePlan, message).with_result(refused()))
        }
        Consent::Ask | Consent::None if !changes => Ok(()),
        Consent::Ask | Consent::None => {
            let hint = format!("look at the plan, then add `--yes`, or `--apply {digest}`");
            let message = "the plan changes the state and nobody has agreed to it";
            Err(Failure::new(Code::ConsentNeeded, message).with_hint(hint).with_result(refused()))
        }
    }
}

/// Backup, change, log; `false` where the state is not the one any more that was looked at, and nothing changed.
fn apply(
    session: &Session,
    open: &Open,
    parameters: &RepairState,
    sight: &Sight,
    mending: &Mending,
    result: &mut StateRepair,
) -> Result<bool, Failure> {
    recovery::finish_unfinished(session, open)?;
    // What stood there is in the log, too: of damaged rows no checkpoint can be taken.
    let before =
        json!({"state": sight.kept.whole, "damaged": rows(&sight.kept.damaged), "events": rows(&sight.altered)});
    let workflow = result.workflow_id.clone();
    let over = sight.kept.upto.map(|seq| seq.0);
    let setting = Setting { session, open, workflow: &workflow, kind: RecoveryKind::RepairState, over };
    if parameters.backup_before_repair.0 {
        result.backup = backup(&setting, sight)?;
    }
    let change = Change { data: mending.change.clone(), folds_again: mending.fold_again.then(|| mending.back.clone()) };
    let Some(set) = setting.set(result.backup.as_ref(), change)? else { return Ok(false) };
    result.applied = true;
    (result.event_id, result.recovery_id) = (set.event_id, set.recovery_id);
    let log = json!({"repaired_at": session.now(), "actor": session.actor, "repair": &result, "before": before});
    let about = result.workflow_id.as_str();
    let written = view::add_report(open.root(), "state_validation/repair_logs", about, session.now(), &log);
    result.log = written.ok().as_deref().map(shown);
    Ok(true)
}

fn rows(rows: &[wfr_catalog::DamagedRow]) -> Vec<Value> {
    rows.iter().map(|row| json!({"place": row.place, "why": row.why, "text": row.text})).collect()
}

/// A checkpoint of the state as it is; `None` where it is too damaged for one, so that only the log keeps it.
fn backup(setting: &Setting<'_>, sight: &Sight) -> Result<Option<CheckpointId>, Failure> {
    if !sight.kept.damaged.is_empty() {
        setting.session.noted.tell(format!(
            "no checkpoint was taken as a backup, since the state of `{}` is too damaged for one: what stood there is in \
             the repair's log",
            setting.workflow
        ));
        return Ok(None);
    }
    // Of one that is gone there is nothing to save.
    sight.kept.whole.as_ref().map(|_| setting.save()).transpose()
}
