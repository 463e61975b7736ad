//! `hook`: the answer to an agent client, as its own schema wants it.
//!
//! Owns the exit codes: clients take some of them for a refusal. Refuses to know what was said.

use std::any::Any;
use std::process::ExitCode;

use wfr_engine::error::Failure;
use wfr_engine::response::Outcome;
use wfr_engine::results::Hooked;

use crate::answer;
use crate::arguments::Global;
use crate::terminal;

/// The operation.
pub const NAME: &str = "hook";

/// A failure of ours. Clients go on with it, and not with 2, which several take for a refusal.
const FAILED: u8 = 1;

/// Says why nothing was taken.
pub fn refused(global: &Global, failure: &Failure) -> ExitCode {
    answer::failure(NAME, None, global, failure);
    ExitCode::from(FAILED)
}

/// Gives the client its answer and nothing else.
pub fn answer(outcome: Outcome, global: &Global) -> ExitCode {
    let result: &dyn Any = &*outcome.result;
    let Some(hooked) = result.downcast_ref::<Hooked>() else { return ExitCode::from(FAILED) };
    // Where nobody reads it, nobody waits for it.
    let _ = terminal::write(&mut terminal::out(global.colour), &hooked.answer);
    ExitCode::SUCCESS
}
