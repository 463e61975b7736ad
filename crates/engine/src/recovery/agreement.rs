//! Who must agree to a plan, and what keeps one from being carried out.
//!
//! Owns consent, and the refusals that show the plan. Refuses to make plans.

use wfr_model::TreePath;
use wfr_model::coverage::SkipReason;
use wfr_model::plan::{Kept, KeptReason};
use wfr_model::recovery::RecoveryKind;
use wfr_recovery::apply;
use wfr_store::Objects;

use super::planning::Planned;
use super::telling::WORK_CONFLICT;
use super::{Order, mounting, preview};
use crate::error::{Code, Failure};
use crate::open::Open;
use crate::params::Consent;
use crate::repositories::quoted;
use crate::results::{PlanResult, Refused};

/// Paths that a hint's command names, at most.
const OPENED_MAX: usize = 5;

/// Refuses a plan that may not be carried out: it is not the one agreed to, others would lose work, something stands in
/// the way or cannot be saved.
pub(super) fn check(planned: &Planned, order: &Order, consent: Consent) -> Result<(), Failure> {
    check_consent(planned, consent)?;
    check_others(planned, order)?;
    check_conflicts(planned, order)
}

/// Refuses a plan that nobody has agreed to; the plan goes with the refusal.
pub fn check_consent(planned: &Planned, consent: Consent) -> Result<(), Failure> {
    match consent {
        Consent::Yes => Ok(()),
        // Where nothing is to be done, there is nothing to agree to.
        Consent::Ask | Consent::None if planned.is_empty() => Ok(()),
        Consent::Digest(digest) if digest == planned.digest() => Ok(()),
        Consent::Digest(_) => Err(stale(planned)),
        Consent::Ask | Consent::None => {
            let steps = planned.plan.steps.len();
            let plural = if steps == 1 { "" } else { "s" };
            let state = if planned.state.is_some() { ", sets the workflow's state" } else { "" };
            let message = format!("the plan has {steps} step{plural}{state} and nobody has agreed to it");
            let hint = format!("look at the plan, then add `--yes`, or `--apply {}`", planned.digest());
            Err(Failure::new(Code::ConsentNeeded, message).with_hint(hint).with_result(refused(planned)))
        }
    }
}

/// A plan with what it would do to the lines of files, where it is not the one that somebody agreed to: it is shown to them.
pub(super) fn shown(open: &Open, objects: &dyn Objects, planned: Planned, consent: Consent) -> Planned {
    match consent {
        Consent::Digest(digest) if digest != planned.digest() => {
            let patches = preview::of(open, objects, &planned.plan.steps, &planned.texts);
            Planned { patches, ..planned }
        }
        _ => planned,
    }
}

/// What goes with a refusal: the plan.
fn refused(planned: &Planned) -> Refused<PlanResult> {
    Refused { plan: crate::handlers::recoveries::plan_result(planned) }
}

/// The plan is not the one with the digest.
fn stale(planned: &Planned) -> Failure {
    let message =
        "the plan is another one than that with the digest: the tree changed since, or something else is asked for";
    Failure::new(Code::StalePlan, message).with_result(refused(planned))
}

/// Refuses a plan with conflicts.
fn check_conflicts(planned: &Planned, order: &Order) -> Result<(), Failure> {
    let conflicts = &planned.plan.conflicts;
    let Some(first) = conflicts.first() else { return Ok(()) };
    let are_all = |code| conflicts.iter().all(|conflict| conflict.code == code);
    let code = match () {
        () if are_all("AGENT_CONFIGURATION") => Code::ConfigurationGuarded,
        () if are_all("NOT_SAVED") => Code::NotSaved,
        () if are_all(mounting::MISSING) => Code::MountMissing,
        () if are_all(apply::DENIED) => Code::PermissionDenied,
        () => Code::Conflicts,
    };
    let message = format!("`{}`: {} ({} in all)", first.path, first.message, conflicts.len());
    let failure = Failure::new(code, message).with_result(refused(planned));
    Err(match code {
        Code::PermissionDenied => {
            failure.with_hint("mend that, or run it as the owner of the files, or restore beside with `--to DIR`")
        }
        Code::Conflicts if order.kind == RecoveryKind::Undo => failure.with_hint(
            "`--partial` leaves these paths as they are and takes back the rest; or edit them, and undo then",
        ),
        Code::Conflicts if order.kind == RecoveryKind::Rollback && are_all(WORK_CONFLICT) => failure.with_hint(
            "decide each of them with `--ours PATH`, `--theirs PATH`, `--resolve PATH=FILE` or `--interactive`, then call it again; \
             `--partial` leaves these paths as they are",
        ),
        Code::NotSaved => match opening(planned) {
            Some(command) => failure.with_hint(format!(
                "`{command}`, by their owner in the workspace, makes it readable: then call it again"
            )),
            None => failure,
        },
        _ => failure,
    })
}

/// The command that makes readable what stands in the way because it is not; `None` where that is not all, or more than a few.
fn opening(planned: &Planned) -> Option<String> {
    let is_shut = |kept: &&Kept| kept.reason == KeptReason::NotSaved(SkipReason::Unreadable);
    let shut: Vec<&TreePath> = planned.plan.kept.iter().filter(is_shut).map(|kept| &kept.path).collect();
    if !planned.plan.conflicts.iter().all(|conflict| shut.contains(&&conflict.path)) {
        return None;
    }
    let is_outermost = |path: &&&TreePath| !shut.iter().any(|other| other != *path && path.is_within(other));
    let words = shut.iter().filter(is_outermost).map(|path| std::str::from_utf8(path.as_bytes()).ok().map(quoted));
    let words: Vec<String> = words.collect::<Option<_>>()?;
    (words.len() <= OPENED_MAX).then(|| format!("chmod u+rwX -- {}", words.join(" ")))
}

/// Refuses where others have worked since, unless that was said to be meant.
fn check_others(planned: &Planned, order: &Order) -> Result<(), Failure> {
    match planned.blast_radius.first() {
        Some(first) if !order.whole_tree && order.selection.is_none() && !planned.is_empty() => {
            Err(Failure::new(Code::OthersActive, format!("{first}: a full restore would take their work back too"))
                .with_result(refused(planned)))
        }
        _ => Ok(()),
    }
}
