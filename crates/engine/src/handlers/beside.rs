//! `restore --to`: a checkpoint's tree in a directory of its own.
//!
//! Owns what the result says. The workspace stays as it is.

use std::path::Path;
use std::time::{Duration, Instant};

use wfr_model::plan::{Action, Kept, KeptReason};
use wfr_model::recovery::{StepEnd, StepReport};

use super::own_places::refuse_own_places;
use super::recoveries::{Asked, empty, name_kept, plan_result};
use super::{shown, took};
use crate::error::{Code, Failure};
use crate::open::Open;
use crate::params::Consent;
use crate::recovery::{self, CheckEnd, Order};
use crate::response::{Impact, Success};
use crate::results::{Recovered, Verdict};
use crate::session::Session;

/// Writes the tree that the order aims at into a directory, or only says what it would write.
pub(super) fn restore(
    session: &Session,
    open: &Open,
    order: &Order,
    dest: &Path,
    asked: &Asked,
    (checked, begun): (Verdict, Instant),
) -> Result<Success<Recovered>, Failure> {
    refuse_own_places(session, open, dest)?;
    let deadline = order.time_limit.and_then(|limit| Instant::now().checked_add(limit));
    let planned = recovery::plan_beside(open, order)?;
    let mut result = empty(&order.target, begun, checked);
    result.restored_to = Some(shown(dest));
    result.validation_results.layers = order.layers;
    if asked.plan_only {
        result.plan = Some(plan_result(&planned));
        return Ok(Success::new(result).about(&order.workflow));
    }
    // Nothing is overwritten, so only a digest binds.
    if let Consent::Digest(_) = asked.consent {
        recovery::check_consent(&planned, asked.consent)?;
    }
    let written = recovery::checkout(session, open, order, dest, deadline)?;
    let is_written = |path| !written.damaged.contains(path);
    let steps = planned.plan.steps.iter().filter(|step| is_written(&step.path));
    let report = |path, action: Action| StepReport { path, action, end: StepEnd::Done };
    result.changed = steps.map(|step| report(step.path.clone(), step.action)).collect();
    result.kept = planned.plan.kept;
    for path in written.damaged {
        if result.kept.iter().all(|kept| kept.path != path) {
            result.kept.push(Kept { path, reason: KeptReason::Damaged });
        }
    }
    result.components_restored = vec!["file_system".to_owned()];
    let failure = check(session, order, dest, deadline, &mut result)?;
    result.recovery_successful = failure.is_none();
    result.restoration_time = took(begun);
    let impact = Impact { files_restored: Some(written.files), ..Impact::default() };
    let success = Success::new(result).about(&order.workflow).with_impact(impact).with_verdict(failure);
    Ok(name_kept(success, KeptReason::Damaged, "damaged in the store and left out"))
}

/// Runs the caller's own check in what was written.
fn check(
    session: &Session,
    order: &Order,
    dest: &Path,
    deadline: Option<Instant>,
    result: &mut Recovered,
) -> Result<Option<Failure>, Failure> {
    let Some(check) = &order.functional_check else { return Ok(None) };
    let left = deadline.map_or(Duration::MAX, |deadline| deadline.saturating_duration_since(Instant::now()));
    let end = check.run(dest, left, &session.abort);
    result.validation_results.functional_check = Verdict::of(end == CheckEnd::Passed);
    if end == CheckEnd::Passed {
        return Ok(None);
    }
    let message = format!("the functional check failed in {}", dest.display());
    let hint = "what was written is still there: look at what the check printed, then remove the directory";
    Ok(Some(Failure::new(Code::FunctionalCheckFailed, message).with_details(end.to_string()).with_hint(hint)))
}
