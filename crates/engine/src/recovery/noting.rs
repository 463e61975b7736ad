//! What a person should know of a plan beside its steps: what agents obey in it, and what of git it leaves alone.
//!
//! Owns these findings. Refuses to stand in the way: that is for conflicts.

use std::collections::BTreeSet;

use wfr_model::TreePath;
use wfr_model::finding::{Finding, Severity};
use wfr_model::plan::{KeptReason, Plan};
use wfr_recovery::guard;

use super::Order;

/// The code of a finding that git's own is otherwise in the checkpoint, and is left alone.
pub const GIT_LEFT_ALONE: &str = "GIT_LEFT_ALONE";

/// So many paths are named.
const NAMED_MAX: usize = 5;

/// All of them.
pub(super) fn of(order: &Order, plan: &Plan) -> Vec<Finding> {
    [instructions(plan), git(order, plan)].into_iter().flatten().collect()
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
