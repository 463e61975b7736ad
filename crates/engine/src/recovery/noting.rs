//! What a person should know of a plan beside its steps: what agents obey in it, and what of git it leaves alone.
//!
//! Owns these findings. Refuses to stand in the way: that is for conflicts.

use std::collections::BTreeSet;

use wfr_model::TreePath;
use wfr_model::finding::{Finding, Severity};
use wfr_model::plan::{KeptReason, Plan};
use wfr_recovery::guard;

use super::{Order, Parts};

/// The code of a finding that git's own is otherwise in the checkpoint, and is left alone.
pub const GIT_LEFT_ALONE: &str = "GIT_LEFT_ALONE";

/// The code of a finding that a checkpoint says nothing of its workflow's state.
pub const NO_STATE: &str = "NO_STATE";

/// So many paths are named.
const NAMED_MAX: usize = 5;

/// All of them.
pub(super) fn of(order: &Order, plan: &Plan) -> Vec<Finding> {
    [instructions(plan), git(order, plan), no_state(order)].into_iter().flatten().collect()
}

/// Whoever goes back to a checkpoint takes it that the state goes, too, unless it is told that none is there.
fn no_state(order: &Order) -> Option<Finding> {
    let is_of_all = order.undoes.is_none() && order.selection.is_none();
    let is_meant = is_of_all && order.parts.as_ref().is_none_or(Parts::has_state);
    if !is_meant || order.target.state.is_some() || order.target.workflow_id != order.workflow {
        return None;
    }
    let message = "the checkpoint holds no state: the workflow's state stays as it is";
    let fix = format!(
        "go back to a checkpoint that holds one, or set the state by hand: `wfr merge-states`, `wfr update-state {}`",
        order.workflow
    );
    Some(Finding::new(NO_STATE, Severity::Warning, message, fix))
}

/// Texts that agents obey are work like any other; that they change is told.
fn instructions(plan: &Plan) -> Option<Finding> {
    let paths: BTreeSet<&TreePath> = plan.steps.iter().map(|step| &step.path).collect();
    let paths: Vec<&TreePath> = paths.into_iter().filter(|path| guard::is_instruction(path)).collect();
    let message = format!("what agents take for instructions changes: {}", named(&paths)?);
    let fix = "read it before an agent does: `wfr diff` shows it";
    Some(Finding::new("AGENT_INSTRUCTIONS", Severity::Info, message, fix))
}

fn git(order: &Order, plan: &Plan) -> Option<Finding> {
    let kept = plan.kept.iter().filter(|kept| kept.reason == KeptReason::Git);
    let paths: Vec<&TreePath> = kept.map(|kept| &kept.path).collect();
    let message = format!("git's own is not as the checkpoint has it, and is left alone: {}", named(&paths)?);
    let fix = format!(
        "a recovery in place never writes it: `wfr restore {} {} --to DIR` brings it back beside",
        order.workflow, order.target.checkpoint_id
    );
    Some(Finding::new(GIT_LEFT_ALONE, Severity::Info, message, fix))
}

/// The first few of them; `None` where there is none.
fn named(paths: &[&TreePath]) -> Option<String> {
    let names: Vec<String> = paths.iter().take(NAMED_MAX).map(|path| format!("`{path}`")).collect();
    let more = if paths.len() > NAMED_MAX { format!(" and {} more", paths.len() - NAMED_MAX) } else { String::new() };
    (!names.is_empty()).then(|| format!("{}{more}", names.join(", ")))
}
