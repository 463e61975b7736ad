//! What `doctor` says of the outbox.
//!
//! Owns its findings. Refuses to deliver, and to set a sink back: a delivery does.

use wfr_model::finding::{Finding, Severity};

use super::care::named;
use crate::error::Failure;
use crate::open::Open;

/// Looks whether each sink stands where the log has been, and whether what waits can be read.
pub(super) fn check(open: &Open, findings: &mut Vec<Finding>) -> Result<(), Failure> {
    for standing in open.catalog.subscriptions()? {
        if open.catalog.is_astray(&standing)? {
            let message = format!(
                "sink `{}` stands at event {} and message {}, where the log has none: nothing that comes would go out to it",
                standing.name, standing.cursor.events_upto, standing.cursor.messages_upto
            );
            let fix = "run `wfr outbox flush`: it is set back behind what was recorded when it was last delivered to";
            findings.push(Finding::new("SINK_ASTRAY", Severity::Error, message, fix));
        }
    }
    let damaged = open.catalog.damaged_outbox()?;
    let names: Vec<String> = damaged.iter().map(|row| format!("{} ({})", row.place, row.why)).collect();
    if !names.is_empty() {
        let message = format!("rows of the outbox are damaged: {}; {} in all", named(&names), names.len());
        let fix = "run `wfr doctor --rebuild-catalog`: what cannot be read is left out, and the rest comes";
        findings.push(Finding::new("OUTBOX_DAMAGED", Severity::Error, message, fix));
    }
    findings.extend(waiting(open)?);
    Ok(())
}

/// Events that could not be read when their turn came.
fn waiting(open: &Open) -> Result<Option<Finding>, Failure> {
    let letters = open.catalog.waiting_letters(None)?;
    let names: Vec<String> = letters.iter().map(|one| format!("{} for `{}`", one.item, one.subscription)).collect();
    let message = format!(
        "events that could not be read when their turn came wait to go out: {}; {} in all",
        named(&names),
        names.len()
    );
    let fix = "where a checkpoint holds them `wfr repair-state WORKFLOW`, or `wfr doctor --rebuild-catalog`, brings them back: then \
               they go out by themselves, or at once with `wfr outbox flush`";
    Ok((!names.is_empty()).then(|| Finding::new("EVENTS_UNDELIVERED", Severity::Warning, message, fix)))
}
