//! Whether a state fits what it refers to: its events, its version, a recovery, what was announced.
//!
//! Owns these rules. Refuses to look anything up: what it is compared with is given.

use serde_json::Value;

use super::super::Whole;
use super::mend::{Mend, Repair};
use super::{Findings, STATE_FORMAT};

/// Keys under which a document says its format.
const FORMAT_KEYS: &[&str] = &["format_version", "schema_version", "state_format"];

pub(super) fn check(whole: &Whole, events: Option<u64>, findings: &mut Findings) {
    if let Some(events) = events.filter(|events| whole.head.state_version < *events) {
        let message = format!("it is of version {}, and {events} events made it", whole.head.state_version);
        findings.error("STATE_VERSION_BEHIND", "state_version", message, Repair::safe(Mend::FoldAgain));
    }
    format(whole, findings);
    let known = whole.phases.len() as u64;
    if let Some(total) = whole.head.total_phases.filter(|total| *total < known) {
        let message = format!("{total} phases were announced, and {known} are known");
        findings.warning("TOTAL_PHASES_TOO_FEW", "total_phases", message, Repair::safe(Mend::CountPhases));
    }
    if let Some(recovery) = whole.head.recovery.as_ref().filter(|recovery| recovery.status == "initiated") {
        let id = recovery.recovery_id.as_ref().map_or_else(|| "a recovery".to_owned(), |id| format!("recovery {id}"));
        let message = format!("{id} began at {} and has not ended", recovery.at);
        findings.warning("RECOVERY_UNDER_WAY", "recovery", message, None);
    }
}

/// A state of a later version may mean what this one does not know.
fn format(whole: &Whole, findings: &mut Findings) {
    for key in FORMAT_KEYS {
        let Some(said) = whole.head.extra.get(*key) else { continue };
        let major = match said {
            Value::String(text) => text.split('.').next().and_then(|major| major.parse::<u64>().ok()),
            other => other.as_f64().filter(|number| *number >= 0.0).map(|number| number as u64),
        };
        match major {
            Some(major) if major > STATE_FORMAT => {
                let message = format!("it is of format {said}, and this version knows up to {STATE_FORMAT}");
                findings.error("STATE_FORMAT_LATER", *key, message, None);
            }
            Some(_) => {}
            None => {
                let message = format!("{said} is no format that this version knows");
                findings.warning("STATE_FORMAT_UNKNOWN", *key, message, None);
            }
        }
    }
}
