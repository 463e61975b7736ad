//! What each operation does: parameters in, result out, over the layers below.
//!
//! Owns the glue between the definitions and the use cases. Refuses to render anything.

mod agreeing;
mod archives;
mod attaching;
mod beside;
pub mod blame;
mod by_hand;
pub mod care;
pub mod changes;
mod checking;
pub mod checkpoints;
mod choice;
pub mod coordination;
pub mod emergency;
mod events;
mod exchange;
pub mod executing;
mod fencing;
pub mod following;
pub mod hooking;
pub mod inspect;
pub mod intake;
pub mod lasting;
mod looking;
mod merges;
mod nothing;
mod own_places;
mod partial;
mod perform;
mod put_back;
mod rebuilds;
pub mod recoveries;
mod repairs;
pub mod resources;
mod restore;
mod rollback;
mod setting;
pub mod setup;
mod sinks;
mod states;
mod strategy;
mod unlooked;
pub mod updating;
pub mod watching;

pub use perform::ALL;

use std::path::Path;
use std::time::{Duration, Instant};

use wfr_catalog::CheckpointRow;
use wfr_model::{Span, WorkflowId};

use crate::error::{Code, Failure};
use crate::open::Open;

/// A parameter that must be given.
fn needed<T>(value: Option<T>, key: &str) -> Result<T, Failure> {
    value.ok_or_else(|| Failure::new(Code::WrongArguments, format!("`{key}` is missing")))
}

/// A workflow that the catalog knows.
fn known(open: &Open, workflow: WorkflowId) -> Result<WorkflowId, Failure> {
    if open.catalog.has_workflow(&workflow)? {
        return Ok(workflow);
    }
    if open.catalog.has_traces(&workflow)? {
        let message =
            format!("workflow `{workflow}` is not among those that are known, and what is kept of it is there");
        let hint = format!("run `wfr repair-state {workflow}`: it is entered again");
        return Err(Failure::new(Code::WorkflowNotFound, message).with_hint(hint));
    }
    let near = open.catalog.near_workflows(workflow.as_str())?;
    let failure = Failure::new(Code::WorkflowNotFound, format!("no workflow `{workflow}`"));
    Err(if near.is_empty() { failure } else { failure.with_hint(format!("did you mean {}?", near.join(", "))) })
}

/// The checkpoint that a reference names, of a workflow where one is given.
fn checkpoint(open: &Open, workflow: Option<WorkflowId>, reference: Option<String>) -> Result<CheckpointRow, Failure> {
    let reference = needed(reference, "checkpoint")?;
    let workflow = workflow.map(|workflow| known(open, workflow)).transpose()?;
    Ok(open.catalog.resolve(workflow.as_ref(), &reference)?)
}

/// How long a recovery may still take: as the call says, else the configuration, without what it took to get this far.
fn time_left(open: &Open, given: Option<Span>, begun: Instant) -> Option<Duration> {
    let configured = open.config.recovery_configuration.validation_settings.timeout_limits.restoration_timeout;
    given.unwrap_or(configured).duration().map(|limit| limit.saturating_sub(begun.elapsed()))
}

/// How long something took, in the reference's words: `3m 15s`, or milliseconds below ten seconds.
fn took(begun: Instant) -> String {
    let length = begun.elapsed();
    let whole = if length.as_secs() >= 10 { length.as_secs() * 1_000 } else { length.as_millis() as u64 };
    Span::Finite(std::time::Duration::from_millis(whole)).to_string()
}

/// A path of this machine in results.
pub(crate) fn shown(path: &Path) -> String {
    wfr_model::path::escape(path.as_os_str().as_encoded_bytes())
}
