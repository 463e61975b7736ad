//! `partial-restore`: chosen components or paths of a checkpoint.
//!
//! Owns its glue. Refuses to plan: that is [`crate::recovery`].

use std::time::Instant;

use wfr_catalog::CheckpointRow;
use wfr_model::recovery::RecoveryKind;

use super::fencing::Fence;
use super::recoveries::{Asked, run};
use super::{checkpoint, time_left};
use crate::error::{Code, Failure};
use crate::params::{Component, PartialRestore, ValidationLevel, patience};
use crate::recovery::fencing::Meant;
use crate::recovery::{Order, Parts};
use crate::response::Success;
use crate::results::{Damage, Recovered, Verdict};
use crate::session::Session;
use crate::verify;

/// Brings chosen parts back.
pub fn partial_restore(session: &mut Session, parameters: PartialRestore) -> Result<Success<Recovered>, Failure> {
    session.with_reserve(|session| try_partial_restore(session, parameters.clone()))
}

fn try_partial_restore(session: &mut Session, parameters: PartialRestore) -> Result<Success<Recovered>, Failure> {
    let begun = Instant::now();
    let open = session.open()?;
    let target = checkpoint(&open, parameters.workflow_id.clone(), parameters.checkpoint.clone())?;
    let parts = Parts::of(&parameters.components.0, &parameters.exclude_components.0, &parameters.file.0);
    if parts.is_nothing() {
        return Err(nothing_left());
    }
    refuse_without_files(&target, &parts, &parameters.components.0)?;
    refuse_without_state(&target, &parts)?;
    let level = parameters.validation_level.unwrap_or(ValidationLevel::Standard);
    let report = verify::verify(&open, &open.store()?, &target, level, session)?;
    let matters = |one: &&Damage| parts.has_state() || one.kind != "state";
    if let Some(first) = report.damages.iter().find(matters) {
        let message = format!("checkpoint `{}` is damaged: {}", target.name, first.message);
        return Err(Failure::new(Code::CheckpointIntegrity, message));
    }
    let told = parts.told(serde_json::to_value(&parameters).unwrap_or_default());
    let workflow = parameters.workflow_id.clone().unwrap_or_else(|| target.workflow_id.clone());
    let consent = parameters.consent(session.interactive);
    let order = Order {
        parts: Some(parts),
        stop_writers: parameters.stop_writers,
        exact_mtime: parameters.exact_mtime,
        allow_config: parameters.allow_config,
        whole_tree: parameters.whole_tree,
        time_limit: time_left(&open, parameters.timeout, begun),
        wait: patience(parameters.wait),
        parameters: told,
        ..Order::new(RecoveryKind::PartialRestore, workflow, target)
    };
    let asked = Asked { consent, plan_only: parameters.plan };
    let fence = Fence::of(parameters.stop_writers, parameters.plan, consent, parameters.wait);
    fence.before(
        session,
        &open,
        || Ok(Meant::All),
        |session| run(session, &open, &order, &asked, Verdict::Passed, begun),
    )
}

/// All that was named was left out again.
pub(super) fn nothing_left() -> Failure {
    Failure::new(Code::WrongArguments, "nothing is left to be restored")
        .with_hint("name `--components`, or leave something out of `--exclude-components`")
}

/// Refuses files of a checkpoint that has none, where they were asked for: by path, by name, or since nothing else is meant.
pub(super) fn refuse_without_files(target: &CheckpointRow, parts: &Parts, named: &[Component]) -> Result<(), Failure> {
    let is_asked = !parts.files().is_empty() || !parts.has_state() || named.contains(&Component::FileSystem);
    if target.has_files || !parts.has(Component::FileSystem) || !is_asked {
        return Ok(());
    }
    let message = format!("checkpoint `{}` holds state only: it has no files that could be restored", target.name);
    Err(Failure::new(Code::PathNotFound, message).with_hint(
        "name a checkpoint with files, see `wfr list-checkpoints`; or leave the files out of what is asked for",
    ))
}

/// Refuses the state of a checkpoint that has none, where nothing else is meant.
pub(super) fn refuse_without_state(target: &CheckpointRow, parts: &Parts) -> Result<(), Failure> {
    if target.state.is_some() || parts.has(Component::FileSystem) {
        return Ok(());
    }
    let message = format!("checkpoint `{}` holds no state: it has none that could be restored", target.name);
    Err(Failure::new(Code::StateNotFound, message)
        .with_hint("name a checkpoint with state, or ask for its files: `--components file_system`"))
}
