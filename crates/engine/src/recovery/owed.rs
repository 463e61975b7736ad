//! Recoveries whose functional check failed: each is owed an undo, by this process or, where it dies before, by the next
//! command that changes anything. Those that were asked back after they were done are undone in the same way.
//!
//! Owns how such an undo is ordered, and who is still owed one. Refuses to run checks.

use serde_json::{Value, json};
use wfr_model::RecoveryId;
use wfr_model::finding::{Finding, Severity};
use wfr_model::recovery::{RecoveryKind, RecoveryRecord, RecoveryStatus};
use wfr_recovery::apply::Outcome;
use wfr_recovery::failed;

use super::finish::Finished;
use super::{Order, Run, recover};
use crate::error::{Code, Failure};
use crate::open::Open;
use crate::params::Consent;
use crate::session::Session;

/// Why an undo was made that nobody asked for.
const BECAUSE_OF_CHECK: &str = "functional_check";

/// Why one was made of what was asked back, and had been done.
const BECAUSE_ASKED: &str = "take_back";

/// The undo that a recovery is owed; `None` where it saved nothing, or what it saved is gone.
pub fn order(open: &Open, record: RecoveryRecord) -> Result<Option<Order>, Failure> {
    order_because(open, record, BECAUSE_OF_CHECK)
}

fn order_because(open: &Open, record: RecoveryRecord, because: &str) -> Result<Option<Order>, Failure> {
    let Some(safety) = &record.safety_checkpoint else { return Ok(None) };
    let Some(target) = open.catalog.checkpoint(safety)?.filter(|row| row.deleted_at.is_none()) else { return Ok(None) };
    let parameters = json!({
        "recovery_id": record.recovery_id,
        "because": because,
        "notify_coordination_hub": record.parameters.get("notify_coordination_hub"),
    });
    Ok(Some(Order {
        exact_mtime: true,
        allow_config: true,
        whole_tree: true,
        spares_state: true,
        parameters,
        undoes: Some(record.clone()),
        ..Order::new(RecoveryKind::Undo, record.workflow_id, target)
    }))
}

/// Whether an order is such an undo.
pub(super) fn is_owed(order: &Order) -> bool {
    order.parameters.get("because").and_then(Value::as_str) == Some(BECAUSE_OF_CHECK)
}

/// Whether a recovery that was done was taken back by such an undo: nobody asked for that one, so it came to nothing.
pub fn was_taken_back(open: &Open, record: &RecoveryRecord) -> Result<bool, Failure> {
    let by = record.undone_by.as_ref().map(|by| open.catalog.recovery(by)).transpose()?.flatten();
    Ok(by.is_some_and(|by| by.parameters.get("because").is_some_and(Value::is_string)))
}

/// Whether a recovery is undone.
pub fn is_undone(open: &Open, id: &RecoveryId) -> Result<bool, Failure> {
    Ok(open.catalog.recovery(id)?.is_some_and(|record| record.undone_by.is_some()))
}

/// The recoveries that are owed an undo still.
pub fn all(open: &Open) -> Result<Vec<RecoveryId>, Failure> {
    Ok(failed::list(&open.vault.journal())?)
}

/// Notes that a recovery is owed nothing any more.
pub fn forget(open: &Open, id: &RecoveryId) -> Result<(), Failure> {
    Ok(failed::forget(&open.vault.journal(), id)?)
}

/// Takes back what is owed an undo, since its process died. What somebody edited since stays, as far as it cannot be merged, and
/// is named. Nobody is shut out for good by one that cannot be taken back: that is named, too.
pub(super) fn settle(session: &Session, open: &Open, finished: &mut Finished) -> Result<(), Failure> {
    for id in all(open)? {
        let told = format!("the functional check of recovery {id} had failed when its process ended");
        match take_back(session, open, &id, BECAUSE_OF_CHECK) {
            Ok(Some(outcome)) => {
                finished.resumed.retain(|(other, _)| *other != id);
                finished.resumed.push((id.clone(), outcome));
                let message = format!("{told}: it was taken back");
                let fix = "nothing is to be done: look at what the check says of the checkpoint that was restored";
                finished.findings.push(Finding::new("FUNCTIONAL_CHECK_FAILED", Severity::Warning, message, fix));
            }
            Ok(None) => {}
            Err(failure) if is_for_now(failure.code) => return Err(failure),
            Err(failure) => {
                let message = format!("{told}, and it could not be taken back: {}", failure.message);
                let fix = format!("`wfr undo {id}` tries again");
                finished.findings.push(Finding::new("FUNCTIONAL_CHECK_FAILED", Severity::Error, message, fix));
            }
        }
        forget(open, &id)?;
    }
    Ok(())
}

/// Undoes what was asked to be taken back and had been done when its process died: what the way back would have needed had
/// begun to go. Those that are owed it anyway are left to [`settle`].
pub(super) fn undo(session: &Session, open: &Open, finished: &mut Finished) -> Result<(), Failure> {
    let owed = all(open)?;
    for (id, outcome) in finished.resumed.iter_mut().filter(|(id, _)| !owed.contains(id)) {
        if matches!(outcome.status, RecoveryStatus::Done | RecoveryStatus::Partial)
            && let Some(back) = take_back(session, open, id, BECAUSE_ASKED)?
        {
            *outcome = back;
        }
    }
    Ok(())
}

/// Whether what kept something from being done is over some time.
fn is_for_now(code: Code) -> bool {
    matches!(code, Code::Held | Code::Busy | Code::DiskFull | Code::Interrupted | Code::RecoveryUnfinished)
}

/// Undoes a recovery; `None` where nothing was left to be undone.
fn take_back(session: &Session, open: &Open, id: &RecoveryId, because: &str) -> Result<Option<Outcome>, Failure> {
    let gone = || Failure::new(Code::NotUndoable, "what it saved is gone");
    let record = open.catalog.recovery(id)?.ok_or_else(gone)?;
    if record.undone_by.is_some() || !matches!(record.status, RecoveryStatus::Done | RecoveryStatus::Partial) {
        return Ok(None);
    }
    let order = Order { partial: true, ..order_because(open, record, because)?.ok_or_else(gone)? };
    Ok(match recover(session, open, &order, Consent::Yes)? {
        Run::Idle(..) => None,
        Run::Ended(back) => {
            let status = if back.status == RecoveryStatus::Done { RecoveryStatus::TakenBack } else { back.status };
            Some(Outcome {
                status,
                report: back.report,
                reason: back.reason,
                check_failed: because == BECAUSE_OF_CHECK,
            })
        }
    })
}
