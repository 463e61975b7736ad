//! `emergency-restore`: back to the newest checkpoint that is whole.
//!
//! Owns which one that is. Refuses to know how a recovery runs: that is [`crate::recovery`].

use std::time::Instant;

use wfr_catalog::{CheckpointRow, ListQuery};
use wfr_model::coverage::{Skip, SkipReason};
use wfr_model::recovery::RecoveryKind;
use wfr_model::{CheckpointId, WorkflowId};
use wfr_store::Store;

use super::fencing::Fence;
use super::recoveries::{Asked, run};
use super::restore::check_needs;
use super::{known, needed, time_left};
use crate::dependencies::Validated;
use crate::error::{Code, Failure};
use crate::open::Open;
use crate::params::{EmergencyRestore, ValidationLevel, patience};
use crate::recovery::Order;
use crate::recovery::fencing::Meant;
use crate::response::Success;
use crate::results::{Recovered, Verdict};
use crate::session::Session;
use crate::{manifests, verify};

/// Brings the workspace back to the newest checkpoint that is whole.
pub fn emergency_restore(session: &mut Session, parameters: EmergencyRestore) -> Result<Success<Recovered>, Failure> {
    session.with_reserve(|session| try_emergency_restore(session, parameters.clone()))
}

fn try_emergency_restore(session: &mut Session, parameters: EmergencyRestore) -> Result<Success<Recovered>, Failure> {
    let begun = Instant::now();
    let open = session.open()?;
    let workflow = known(&open, needed(parameters.workflow_id.clone(), "workflow_id")?)?;
    let (target, passed_over, checked) = newest_whole(session, &open, &workflow, &parameters)?;
    let holes = if target.complete { None } else { Some(hole(&open, &target)) };
    let needs = if parameters.skip_validation {
        Validated::default()
    } else {
        let depth = open.config.recovery_configuration.validation_settings.dependency_validation;
        check_needs(session, &open, &target, depth)?
    };
    let order = Order {
        exact_mtime: parameters.exact_mtime,
        allow_config: parameters.allow_config,
        whole_tree: parameters.whole_tree,
        spares_state: true,
        stop_writers: parameters.stop_writers,
        needs,
        time_limit: time_left(&open, parameters.timeout, begun),
        wait: patience(parameters.wait),
        parameters: serde_json::to_value(&parameters).unwrap_or_default(),
        ..Order::new(RecoveryKind::EmergencyRestore, workflow, target)
    };
    let asked = Asked { consent: parameters.consent(session.interactive), plan_only: parameters.plan };
    let fence = Fence::of(parameters.stop_writers, parameters.plan, asked.consent, parameters.wait);
    let restore = |session: &mut Session| run(session, &open, &order, &asked, checked, begun);
    let mut success = fence.before(session, &open, || Ok(Meant::All), restore)?;
    success.result.passed_over = passed_over;
    if let Some(hole) = holes {
        success =
            success.with_next_step(format!("not all is in this checkpoint: {hole}, see `kept`; it was left as it is"));
    }
    Ok(success)
}

type Whole = (CheckpointRow, Vec<CheckpointId>, Verdict);

/// Walks back from the newest checkpoint, or from the one named, to one that validates. Where none is complete, the newest
/// will do in which nothing is missing but what could not be read, or in which the state alone is damaged: a restore leaves
/// that alone.
fn newest_whole(
    session: &Session,
    open: &Open,
    workflow: &WorkflowId,
    parameters: &EmergencyRestore,
) -> Result<Whole, Failure> {
    let query = ListQuery { workflow: Some(workflow.clone()), descending: true, ..ListQuery::default() };
    let mut candidates = open.catalog.list(&query)?;
    if let Some(reference) = &parameters.checkpoint {
        let first = open.catalog.resolve(Some(workflow), reference)?;
        candidates.retain(|row| row.seq <= first.seq);
    }
    let (mut passed_over, mut spare) = (Vec::new(), None);
    let store = open.store()?;
    // Whether all of it is whole, and whether its files are.
    let look = |row: &CheckpointRow| -> Result<(bool, bool), Failure> {
        let report = verify::verify(open, &store, row, ValidationLevel::Comprehensive, session)?;
        verify::note(open, row, (&report, ValidationLevel::Comprehensive), session.now())?;
        Ok((report.is_whole(), report.damages.iter().all(|one| one.kind == "state") && !report.is_forged))
    };
    for row in candidates.into_iter().filter(|row| !row.is_safety()) {
        if !row.has_files {
            // Of the state alone: it brings no file back, and what it has newer is not restored, so it is named.
            passed_over.push(row.checkpoint_id.clone());
            continue;
        }
        if parameters.skip_validation {
            return Ok((row, passed_over, Verdict::Skipped));
        }
        let may_serve = row.complete || spare.is_none() && was_not_cut_off(&store, &row);
        let (is_whole, has_files) = if may_serve { look(&row)? } else { (false, false) };
        if row.complete && is_whole {
            return Ok((row, passed_over, Verdict::Passed));
        }
        passed_over.push(row.checkpoint_id.clone());
        if spare.is_none() && has_files {
            spare = Some((row, Verdict::of(is_whole)));
        }
        if !parameters.use_latest_valid_checkpoint.0 {
            break;
        }
    }
    if let Some((row, verdict)) = spare {
        passed_over.retain(|id| *id != row.checkpoint_id);
        return Ok((row, passed_over, verdict));
    }
    Err(none_whole(open, workflow, parameters, &passed_over)?)
}

/// Why no checkpoint will do, and what to do where it is not damage.
fn none_whole(
    open: &Open,
    workflow: &WorkflowId,
    parameters: &EmergencyRestore,
    passed_over: &[CheckpointId],
) -> Result<Failure, Failure> {
    let rows: Vec<CheckpointRow> =
        passed_over.iter().filter_map(|id| open.catalog.checkpoint(id).transpose()).collect::<Result<_, _>>()?;
    let named = rows.iter().find(|row| row.has_files).filter(|_| !parameters.use_latest_valid_checkpoint.0);
    if let Some(row) = named {
        let message = format!("checkpoint `{}` is not whole, and no earlier one may be taken in its place", row.name);
        return Ok(Failure::new(Code::NoValidCheckpoint, message).with_hint(
            "leave out `--use-latest-valid-checkpoint=false`: it walks back to the newest one that is whole",
        ));
    }
    let message = format!("workflow {workflow} has no checkpoint that is whole ({} were looked at)", passed_over.len());
    let failure = Failure::new(Code::NoValidCheckpoint, message);
    let mut with_files = rows.iter().filter(|row| row.has_files).peekable();
    if let Some(newest) = with_files.peek().map(|row| row.name.clone())
        && with_files.all(|row| !row.complete && !row.is_damaged())
    {
        return Ok(failure.with_hint(format!(
            "none is damaged, all were cut off by a limit (a deadline, `capture.quota_bytes`, `capture.file_bytes_max`): \
             `wfr restore {workflow} {newest}` restores what is in the newest, and leaves all else as it is"
        )));
    }
    Ok(failure)
}

/// What a checkpoint lacks, in a word.
fn hole(open: &Open, row: &CheckpointRow) -> String {
    let coverage = open.store().ok().and_then(|store| manifests::coverage(&store, row).ok());
    let skip = coverage.and_then(|coverage| coverage.skips.into_iter().find(Skip::is_hole));
    match skip {
        Some(skip) if skip.path.is_root() => format!("nothing of the tree was reached, since {}", skip.reason),
        Some(skip) => format!("`{}` was not taken, since {}", skip.path, skip.reason),
        None => "something was not taken".to_owned(),
    }
}

/// Whether nothing is missing in a checkpoint because of a limit.
fn was_not_cut_off(store: &Store, row: &CheckpointRow) -> bool {
    let is_limit = |reason| matches!(reason, SkipReason::Deadline | SkipReason::Quota);
    manifests::coverage(store, row).is_ok_and(|coverage| !coverage.skips.iter().any(|skip| is_limit(skip.reason)))
}
