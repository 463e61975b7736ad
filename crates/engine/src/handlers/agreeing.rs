//! A phase that is given by its number and its name: both must be of one phase.
//!
//! Owns that refusal. Refuses to know what else a phase may be called: that is [`crate::phases`].

use wfr_model::phase::word;
use wfr_model::{PhaseId, WorkflowId};

use crate::error::{Code, Failure};
use crate::open::Open;
use crate::params::Phase;
use crate::{phases, state};

/// The phase that is meant. Refuses a number with the name of another phase.
pub(super) fn phase(open: &Open, workflow: Option<&WorkflowId>, given: &Phase) -> Result<PhaseId, Failure> {
    if let (Some(number), Some(name)) = given.parts()
        && let Some(workflow) = workflow
        && let Some(state) = state::present(&open.catalog, workflow)?
        && let Some(phase) = state.phases.get(&PhaseId::numbered(number))
        && let Some(known) = phase.name.as_ref().filter(|known| word(known) != word(&name))
    {
        let message = format!("`phase`: phase {number} is called `{known}`, and not `{name}`");
        return Err(Failure::new(Code::InvalidParameter, message).with_hint("give one of the two"));
    }
    phases::named(given)
}
