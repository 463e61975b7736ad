//! `repair-state`.
//!
//! Owns the order of a repair: plan, consent, backup, change, another look. Refuses to decide what mends what: see
//! [`crate::soundness`].

use serde_json::{Value, json};
use wfr_model::checkpoint::CheckpointType;
use wfr_model::finding::Severity;
use wfr_model::workflow::validate::StateFinding;
use wfr_model::{CheckpointId, Digest, Event, EventId, EventName, EventType, WorkflowId};
use wfr_store::object::hash;

use super::exchange::no_state;
use super::shown;
use super::states::one_workflow;
use crate::checkpoint::{self as taking, Request};
use crate::error::{Code, Failure};
use crate::exchange::event_id;
use crate::open::Open;
use crate::params::{Consent, RepairState, ValidationLevel};
use crate::response::{Answer, Impact, Success};
use crate::results::{LostRow, Refused, RepairPlan, StateRepair, Verdict};
use crate::scanning::Effort;
use crate::session::Session;
use crate::soundness::{self, Mending, Sight};
use crate::{recovery, view};

/// Mends a state.
pub(super) fn repair(session: &mut Session, parameters: RepairState) -> Result<Success<StateRepair>, Failure> {
    let open = session.open()?;
    let workflow = one_workflow(&open, parameters.workflow_id.clone())?;
    let entered = enter(session, &open, &parameters, &workflow)?;
    let sight = soundness::look(&open, session, &workflow, ValidationLevel::Comprehensive)?;
    let mending = soundness::mending(&sight, parameters.repair_strategy);
    // Of a workflow with checkpoints alone no more is known than that it is there.
    let mending = mending.or_else(|| entered.is_some().then(Mending::default));
    let mending = mending.ok_or_else(|| {
        no_state(&open, &workflow)
            .with_hint("nothing brings the events back: neither the log nor a checkpoint holds any")
    })?;
    let mut plan = planned(&workflow, &sight, &mending)?;
    plan.repairs.splice(0..0, entered.clone());
    let mut result = StateRepair {
        workflow_id: workflow.clone(),
        repair_strategy: parameters.repair_strategy,
        plan,
        applied: entered.is_some(),
        backup: None,
        event_id: None,
        validation: Verdict::Skipped,
        remaining: vec![],
        log: None,
    };
    if parameters.plan {
        let is_mended = |finding: &StateFinding| result.plan.repairs.contains(finding);
        let stays = |finding: &&StateFinding| finding.severity >= Severity::Error && !is_mended(finding);
        result.remaining = sight.findings.iter().filter(stays).cloned().collect();
        return Ok(Success::new(short(result, &parameters)).about(&workflow));
    }
    // What is only derived is made anew without a question.
    let changes = mending.change.is_some();
    let consent = Consent::of(parameters.yes, parameters.apply, session.interactive);
    agreed(consent, &result.plan.digest, changes, &result.plan)?;
    if !mending.is_empty() {
        apply(session, &open, &parameters, &sight, &mending, &mut result)?;
    }
    if parameters.validate_after_repair.0 {
        let after = soundness::look(&open, session, &workflow, ValidationLevel::Comprehensive)?;
        result.validation = Verdict::of(after.is_valid());
        result.remaining = after.findings;
    }
    let verdict = (result.validation == Verdict::Failed).then(|| {
        Failure::new(Code::StateInvalid, format!("the state of `{workflow}` is not valid yet"))
            .with_hint("see `remaining`: `--repair-strategy aggressive` mends more, the rest only a person can say")
    });
    let tasks = result.plan.changes.iter().filter(|place| place.starts_with("tasks/")).count() as u64;
    let impact = Impact { tasks_affected: Some(tasks), ..Impact::default() };
    let success = Success::new(short(result, &parameters)).about(&workflow).with_impact(impact).with_verdict(verdict);
    Ok(success)
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

/// Backup, change, log.
fn apply(
    session: &Session,
    open: &Open,
    parameters: &RepairState,
    sight: &Sight,
    mending: &Mending,
    result: &mut StateRepair,
) -> Result<(), Failure> {
    recovery::finish_unfinished(session, open)?;
    // What stood there is in the log, too: of damaged rows no checkpoint can be taken.
    let before = json!({"state": sight.kept.whole, "damaged": rows(&sight.kept.damaged)});
    if parameters.backup_before_repair.0 {
        result.backup = backup(session, open, &result.workflow_id, sight)?;
    }
    let event =
        mending.change.clone().map(|change| update(session, &result.workflow_id, change, "repair")).transpose()?;
    if mending.fold_again {
        open.catalog.mend_state(&result.workflow_id, &mending.back, event.as_ref(), session.now())?;
    } else if let Some(event) = &event {
        open.catalog.append_events(std::slice::from_ref(event), session.now())?;
    }
    result.applied = true;
    result.event_id = event.map(|event| event.event_id);
    let log = json!({"repaired_at": session.now(), "actor": session.actor, "repair": &result, "before": before});
    let about = result.workflow_id.as_str();
    let written = view::add_report(open.root(), "state_validation/repair_logs", about, session.now(), &log);
    result.log = written.ok().as_deref().map(shown);
    Ok(())
}

fn rows(rows: &[wfr_catalog::DamagedRow]) -> Vec<Value> {
    rows.iter().map(|row| json!({"place": row.place, "why": row.why, "text": row.text})).collect()
}

/// A checkpoint of the state as it is; `None` where it is too damaged for one, so that only the log keeps it.
fn backup(
    session: &Session,
    open: &Open,
    workflow: &WorkflowId,
    sight: &Sight,
) -> Result<Option<CheckpointId>, Failure> {
    if !sight.kept.damaged.is_empty() {
        session.noted.tell(format!(
            "no checkpoint was taken as a backup, since the state of `{workflow}` is too damaged for one: what stood there is in \
             the repair's log"
        ));
        return Ok(None);
    }
    let request = Request {
        with_files: false,
        base_name: Some("before_repair".to_owned()),
        ..Request::new(workflow.clone(), CheckpointType::Manual, &session.actor)
    };
    let effort = Effort { deadline: None, paranoid: false, accept_exclusions: false };
    let created = taking::create(open, &request, session, effort)?;
    Ok(Some(created.manifest.checkpoint_id))
}

/// The event that sets what a plan says.
pub(super) fn update(
    session: &Session,
    workflow: &WorkflowId,
    mut data: serde_json::Map<String, Value>,
    reason: &str,
) -> Result<Event, Failure> {
    data.insert("reason".to_owned(), reason.into());
    let unique = uuid::Uuid::now_v7().to_string();
    let event_id: EventId = event_id(&[reason, &unique])?;
    Ok(Event {
        event_id,
        event_type: EventName::Known(EventType::WorkflowStateUpdated),
        workflow_id: Some(workflow.clone()),
        phase: None,
        timestamp: session.now(),
        source_component: "workflow-recovery".to_owned(),
        data,
        priority: None,
        ttl_seconds: None,
    })
}
