//! What the catalog is told of a recovery's beginning and end, and others with it.
//!
//! Owns what stands in these two transactions: record, hold, events, messages, audit trail. Refuses to fail for the sake of
//! a message.

use serde_json::{Map, Value, json};
use wfr_catalog::{Beside, CatalogError, CheckpointRow, Hold, NewOperation, Owner, Taking};
use wfr_catalog::{HoldRequest, NewPoint, RecoveryEnd};
use wfr_model::Event;
use wfr_model::change::Segment;
use wfr_model::entry::Node;
use wfr_model::plan::{KeptReason, Plan};
use wfr_model::recovery::{ApplyReport, RecoveryRecord, RecoveryStatus};

use super::aim::{self, Aim};
use super::{Order, Planned};
use super::{owed, unlisted, verdicts};
use crate::announce::{self, Announced, Extent};
use crate::error::Failure;
use crate::holding::{self, Held};
use crate::ledger;
use crate::mint;
use crate::open::Open;
use crate::results::HoldLine;
use crate::session::Session;

/// A recovery that has begun.
pub(super) struct Begun {
    /// Its record.
    pub record: RecoveryRecord,
    /// Who is told of its end.
    pub announced: Announced,
    /// The hold that was taken over for it.
    pub preempted: Option<Hold>,
}

/// Why a recovery did not end well.
pub(super) struct Why {
    text: String,
    names_files: bool,
}

impl Why {
    /// In words that name no file.
    pub fn plain(text: &str) -> Self {
        Self { text: text.to_owned(), names_files: false }
    }

    /// In words that may name some.
    pub fn naming(text: String) -> Self {
        Self { text, names_files: true }
    }
}

/// What the log and messages say instead of words that may name files, where the store is encrypted.
const WITHHELD: &str = "the reason may name files, which the log of an encrypted store does not";

/// How a recovery ended.
pub(super) struct Ending<'e> {
    /// With which status.
    pub status: RecoveryStatus,
    /// Why, where it did not end well.
    pub why: Option<Why>,
    /// Step by step.
    pub report: Option<ApplyReport>,
    /// The state that it aimed at.
    pub aim: Option<&'e Aim>,
    /// What it did to the tree.
    pub effects: Vec<Segment>,
}

impl Ending<'_> {
    /// Of a recovery that never reached its commit point.
    pub fn aborted(why: Why) -> Self {
        Self { status: RecoveryStatus::Aborted, why: Some(why), report: None, aim: None, effects: vec![] }
    }

    /// Why it did not end well, as the log and others are told: that is not sealed.
    pub fn reason(&self, open: &Open) -> Option<&str> {
        let is_sealed = open.vault.identity().encrypted;
        self.why.as_ref().map(|why| if is_sealed && why.names_files { WITHHELD } else { why.text.as_str() })
    }
}

/// Records that a recovery begins, and takes the workflow's resources for it.
pub(super) fn begin(
    session: &Session,
    open: &Open,
    order: &Order,
    safety: &CheckpointRow,
    (planned, held): (&Planned, &mut Held<'_>),
) -> Result<Begun, Failure> {
    let record = record(session, order, safety, planned);
    let mut announced = announce::prepare(session, open, &record, extent(&planned.plan));
    let priority = announce::urgency(record.kind, &record.parameters);
    let key = holding::key_of(&record.workflow_id);
    let owner = Owner { label: order.label(), ..holding::myself() };
    let taking = Taking {
        request: HoldRequest {
            key: &key,
            owner: &owner,
            reason: Some(holding::RECOVERY_REASON),
            priority,
            now: record.started_at,
            expires_at: None,
        },
        alive: &holding::is_alive,
        yields: &|standing| holding::yields(standing, priority),
    };
    let takes = holding::may_take(open, &record.workflow_id, (&session.actor, priority), record.started_at)?;
    let phase = aim::phase_of(open, &record.workflow_id)?;
    let acquired = told_or_not(&announced, |is_told| {
        let beside = |preempted: Option<&Hold>| Beside {
            events: vec![aim::initiated(open, &record, phase.clone(), preempted)],
            messages: if is_told { announced.opening(preempted) } else { vec![] },
            operations: preempted.map(|hold| audit_of_preemption(&record, hold)).into_iter().collect(),
            ..Beside::default()
        };
        open.catalog.begin_recovery(&record, takes.then_some(&taking), &beside)
    })?;
    announced.begun();
    let preempted = acquired.and_then(|acquired| {
        held.and(key.clone(), acquired.token);
        acquired.preempted
    });
    Ok(Begun { record, announced, preempted })
}

fn record(session: &Session, order: &Order, safety: &CheckpointRow, planned: &Planned) -> RecoveryRecord {
    let parameters = match &planned.taken {
        Some(taken) => verdicts::with_taken(&order.parameters, taken),
        None => verdicts::with_lifting(&order.parameters, &planned.lifting),
    };
    // What begins at the present aims at nothing else.
    let target = if planned.taken.is_some() { safety } else { &order.target };
    RecoveryRecord {
        // What follows from another recovery is none that was asked for.
        recovery_id: if owed::is_owed(order) { mint::recovery() } else { session.ids.recovery() },
        kind: order.kind,
        workflow_id: order.workflow.clone(),
        target: target.checkpoint_id.clone(),
        safety_checkpoint: Some(safety.checkpoint_id.clone()),
        status: RecoveryStatus::Started,
        actor: session.actor.clone(),
        parameters,
        undoes: order.undoes.as_ref().map(|record| record.recovery_id.clone()),
        undone_by: None,
        started_at: session.now(),
        ended_at: None,
        report: None,
    }
}

/// How many files a plan changes, and how large they become.
fn extent(plan: &Plan) -> Extent {
    let size = |node: Option<&Node>| match node {
        Some(Node::File(content)) => content.size,
        _ => 0,
    };
    let bytes = plan.steps.iter().map(|step| size(step.after.as_ref().map(|entry| &entry.node))).sum();
    Extent { files: Some(plan.steps.len() as u64), bytes: Some(bytes) }
}

fn audit_of_preemption(record: &RecoveryRecord, hold: &Hold) -> NewOperation {
    NewOperation {
        operation_id: mint::operation(),
        operation: "hold preempted".to_owned(),
        actor: record.actor.clone(),
        at: record.started_at,
        workflow_id: Some(record.workflow_id.clone()),
        parameters: json!({"recovery_id": record.recovery_id}),
        inverse: None,
        result: json!({"preempted": HoldLine::of(hold)}),
    }
}

/// Records how a recovery ended, sets the workflow's state with it, and says so. Its files are what they are to be: a ledger that cannot
/// be read keeps it from no end.
pub(super) fn end(
    session: &Session,
    open: &Open,
    ended: (&RecoveryRecord, &Announced),
    ending: &Ending<'_>,
) -> Result<(), Failure> {
    ledger::faults::or_without(session, open, || try_end(session, open, ended, ending))
}

fn try_end(
    session: &Session,
    open: &Open,
    (record, announced): (&RecoveryRecord, &Announced),
    ending: &Ending<'_>,
) -> Result<(), Failure> {
    let (now, status) = (session.now(), ending.status);
    let id = &record.recovery_id;
    let audit = NewOperation {
        operation_id: mint::operation(),
        operation: "recovery".to_owned(),
        actor: session.actor.clone(),
        at: now,
        workflow_id: Some(record.workflow_id.clone()),
        parameters: json!({"recovery_id": id}),
        inverse: Some(json!({"operation": "undo", "recovery_id": id})),
        result: json!({"status": status}),
    };
    let end = RecoveryEnd { status, report: ending.report.clone(), ended_at: now };
    let changed = matches!(status, RecoveryStatus::Done | RecoveryStatus::Partial);
    let point = match &end.report {
        Some(report) if changed => {
            let verdicts = verdicts::of(open, record, report, &ending.effects)?;
            ledger::of_recovery(open, record, &ending.effects, verdicts, now)?
        }
        _ => None,
    };
    // A report in between must not be in the way of the end.
    announced.stop();
    told_or_not(announced, |is_told| {
        let beside = || {
            let events = aim::ended(open, record, ending, now)?;
            let closing = || announced.closing(status, ending.reason(open), &summary(&events));
            let messages = if is_told { closing() } else { vec![] };
            let after = open.catalog.last_point()?;
            let point = point.clone().map(|point| NewPoint { after, ..point });
            let is_in_vain = is_in_vain(open, record, ending, &events) && point.is_none();
            Ok(Beside { events, messages, operations: vec![], point, is_in_vain })
        };
        open.catalog.finish_recovery(id, &end, &audit, &beside)
    })?;
    Ok(())
}

/// Whether an undo left all alone that it came upon, since somebody had edited it, and changed nothing else either.
fn is_in_vain(open: &Open, record: &RecoveryRecord, ending: &Ending<'_>, events: &[Event]) -> bool {
    let Some(report) = ending.report.as_ref().filter(|_| record.undoes.is_some()) else { return false };
    let was_left = |reason: KeptReason| matches!(reason, KeptReason::Edited | KeptReason::NotEmpty);
    let with_times = record.parameters.get("exact_mtime") == Some(&Value::Bool(true));
    let set_state = || events.iter().any(|event| event.event_id == aim::state_event(record));
    report.changed.is_empty()
        && report.kept.iter().any(|kept| was_left(kept.reason))
        && !set_state()
        && unlisted::changed_root(open, record, with_times) == Some(false)
}

/// What the event of a recovery's end says is its summary.
fn summary(events: &[Event]) -> Map<String, Value> {
    events.last().map(|event| event.data.clone()).unwrap_or_default()
}

/// Does something with messages, and without them where that fails: then their loss is noted. What the disk did not take is not
/// tried again: a second flush would say that all is well, and the first has lost what it had to write.
fn told_or_not<T>(announced: &Announced, write: impl Fn(bool) -> Result<T, CatalogError>) -> Result<T, CatalogError> {
    let error = match write(true) {
        // None of these is for want of room or because of what a message says.
        Err(error) if !matches!(error, CatalogError::Held(_) | CatalogError::Busy { .. } | CatalogError::Io { .. }) => {
            error
        }
        ended => return ended,
    };
    let value = write(false)?;
    announced.lost(&error);
    Ok(value)
}
