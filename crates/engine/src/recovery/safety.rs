//! The checkpoint that saves the tree before a recovery changes it.
//!
//! Owns what it is called, and that it goes where nothing was changed. Refuses to decide whether a recovery begins.

use std::time::Instant;

use serde_json::Value;
use wfr_catalog::{CheckpointRow, NewOperation};
use wfr_model::checkpoint::{CheckpointType, SAFETY_TAG, Trigger};

use super::{Order, planning};
use crate::checkpoint::{self, Request};
use crate::error::Failure;
use crate::mint;
use crate::open::Open;
use crate::scanning::Effort;
use crate::session::Session;

/// What the audit trail says of a safety checkpoint that goes because its recovery was refused.
pub(super) const REFUSED: &str = "recovery refused";

/// Removes the safety checkpoint of a recovery that did not come about: nothing was changed, so it saves nothing. One that
/// stays is a checkpoint like others.
pub(super) fn forget(
    session: &Session,
    open: &Open,
    order: &Order,
    safety: &CheckpointRow,
    why: &str,
) -> Result<(), Failure> {
    let audit = NewOperation {
        operation_id: mint::operation(),
        operation: why.to_owned(),
        actor: session.actor.clone(),
        at: session.now(),
        workflow_id: Some(order.workflow.clone()),
        parameters: serde_json::json!({"target": order.target.checkpoint_id}),
        inverse: None,
        result: Value::Null,
    };
    crate::cleanup::withdraw(open, safety, &audit)?;
    Ok(())
}

/// Takes the safety checkpoint; at the deadline it ends with what it has.
pub(super) fn save(
    session: &Session,
    open: &Open,
    order: &Order,
    deadline: Option<Instant>,
) -> Result<CheckpointRow, Failure> {
    let base = format!("pre_{}_{}", order.kind.as_str(), session.now().stamp());
    let mut request = Request::new(order.workflow.clone(), CheckpointType::Emergency, &session.actor);
    request.trigger = Some(Trigger::PreCritical);
    request.tags = vec![SAFETY_TAG.to_owned()];
    request.base_name = Some(base);
    // Whoever comes back to it is where they were; a recovery waits for no tool.
    request.needs = checkpoint::Needs::Named;
    request.needs_look = planning::is_of_changes(open, order)?;
    let created = checkpoint::create(open, &request, session, Effort { deadline, ..Effort::default() })?;
    Ok(open.catalog.resolve(None, created.manifest.checkpoint_id.as_str())?)
}
