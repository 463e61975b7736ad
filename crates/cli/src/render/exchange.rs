//! Views of what is brought in and given out.
//!
//! Owns their words. Refuses to print.

use wfr_engine::results::{Became, Exported, IgnoredPart, Imported, ImportedWorkflow};

use super::events::policy;
use super::table::table;
use super::{count, cut, fact, place, size, word};
use crate::answer::pretty;
use crate::terminal::{GOOD, WARN, styled, visible, visible_lines};

/// An archive, a hub or a plan that was read.
pub fn imported(result: &Imported) -> String {
    let mut shown = if result.states.is_empty() { archived(result) } else { said(result) };
    shown.push_str(&cut(result.ignored.iter().map(ignored)));
    shown.push_str(&cut(result.contradictions.iter().map(contradiction)));
    shown.push_str(&policy(&result.checkpoints));
    shown
}

fn contradiction(part: &IgnoredPart) -> String {
    format!("  {} {}: {}\n", styled(WARN, "contradicts itself"), visible(&part.place), visible(&part.why))
}

fn archived(result: &Imported) -> String {
    let (new, known) = (result.imported.len() as u64, result.present.len());
    let mut shown =
        format!("Imported {} from {}; {known} were there already\n", count(new, "checkpoint"), place(&result.path));
    shown.push_str(&cut(result.imported.iter().map(|id| format!("  {id}\n"))));
    if result.events + result.events_known > 0 {
        let events = format!("{}; {} were there already", count(result.events, "event"), result.events_known);
        shown.push_str(&fact("Events", &events));
    }
    shown
}

fn said(result: &Imported) -> String {
    let verb = if result.dry_run { styled(WARN, "Would import") } else { styled(GOOD, "Imported") };
    let mut shown = format!("{verb} {} from {}\n", count(result.states.len() as u64, "workflow"), place(&result.path));
    let row = |one: &ImportedWorkflow| {
        let tasks =
            format!("{} new, {} changed, {} as before", one.tasks_created, one.tasks_updated, one.tasks_unchanged);
        let new = |number: u64| if number == 0 { String::new() } else { format!("{number} new") };
        let events = if one.became == Became::Unchanged { String::new() } else { new(one.events) };
        vec![visible(one.workflow_id.as_str()), word(&one.became), new(one.phases_created), tasks, events]
    };
    shown.push_str(&table(&["WORKFLOW", "STATE", "PHASES", "TASKS", "EVENTS"], result.states.iter().map(row), &[]));
    shown
}

fn ignored(part: &IgnoredPart) -> String {
    format!("  {} {}: {}\n", styled(WARN, "passed over"), visible(&part.place), visible(&part.why))
}

/// A document, or the file that it went into.
pub fn exported(result: &Exported) -> String {
    match (&result.document, &result.path) {
        (Some(document), _) => visible_lines(&pretty(document)),
        (None, path) => {
            let file = place(path.as_deref().unwrap_or_default());
            format!("{} {file}\n{}", styled(GOOD, "Wrote"), fact("Size", &size(result.size_bytes)))
        }
    }
}
