//! Views of the operations by which components coordinate.
//!
//! Owns their words. Refuses to print.

use std::collections::BTreeMap;

use serde_json::Value;
use wfr_engine::results::{
    AllocationLine, Allotted, ConflictLine, Conflicting, HoldLine, HoldList, HoldPlaced, LetterLine, OutboxView,
    Released, SinkLine, StatusTaken, UpkeepDone,
};

use super::table::{filled, table};
use super::{count, cut, fact, moment, place, word};
use crate::terminal::{BAD, GOOD, HEADING, WARN, styled, visible};

/// Holds and shares.
pub fn holds(list: &HoldList) -> String {
    if list.holds.is_empty() && list.allocations.is_empty() {
        return "Nobody holds anything.\n".to_owned();
    }
    let mut shown = String::new();
    if !list.holds.is_empty() {
        let headings = ["HELD", "TOKEN", "BY", "PRIORITY", "SINCE", "UNTIL", "WHY", "STANDS"];
        let row = |hold: &HoldLine| {
            vec![
                visible(&hold.key),
                hold.token.to_string(),
                visible(&hold.holder),
                format!("{} {}", hold.priority, word(&hold.band)),
                moment(hold.since),
                hold.until.map_or_else(|| "it ends".to_owned(), moment),
                visible(hold.reason.as_deref().unwrap_or(&hold.label)),
                if hold.stands == Some(false) { "no" } else { "yes" }.to_owned(),
            ]
        };
        shown.push_str(&table(&headings, list.holds.iter().map(row), &["SINCE", "WHY"]));
    }
    if !list.allocations.is_empty() {
        let headings = ["SHARE", "WORKFLOW", "STATUS", "RESOURCES", "UNTIL", "FOR"];
        let row = |share: &AllocationLine| {
            vec![
                share.allocation_id.to_string(),
                share.workflow_id.to_string(),
                visible(&share.status),
                resources(&share.resources),
                share.expires_at.map_or_else(String::new, moment),
                visible(share.requester.as_deref().unwrap_or_default()),
            ]
        };
        shown.push_str(&table(&headings, list.allocations.iter().map(row), &["FOR"]));
    }
    shown
}

/// `2 cpu_cores, 4 memory_gb`.
fn resources(resources: &BTreeMap<String, Value>) -> String {
    let one = |(kind, value): (&String, &Value)| match value {
        Value::Array(list) => format!("{} {kind}", list.len()),
        Value::Object(map) => format!("{} {kind}", map.len()),
        other => format!("{other} {kind}"),
    };
    visible(&resources.iter().map(one).collect::<Vec<_>>().join(", "))
}

/// A hold that was placed.
pub fn placed(result: &HoldPlaced) -> String {
    let hold = &result.hold;
    let verb = if result.renewed { "Still held" } else { "Held" };
    let mut shown = format!("{} {}\n", styled(GOOD, verb), place(&hold.key));
    shown.push_str(&fact("Token", &hold.token.to_string()));
    shown.push_str(&fact("By", &visible(&hold.holder)));
    shown.push_str(&fact("Until", &hold.until.map_or_else(|| "it is released".to_owned(), moment)));
    if let Some(before) = &result.preempted {
        let line = format!("{} (token {}, priority {})", visible(&before.holder), before.token, before.priority);
        shown.push_str(&fact("Gave way", &styled(WARN, &line)));
    }
    shown
}

/// What was given back.
pub fn released(result: &Released) -> String {
    if result.holds.is_empty() && result.allocations.is_empty() {
        return "Nothing was out.\n".to_owned();
    }
    let holds = result.holds.iter().map(|hold| format!("  {} of {}\n", place(&hold.key), visible(&hold.holder)));
    let shares = result.allocations.iter().map(|id| format!("  {id}\n"));
    let lines: Vec<String> = holds.chain(shares).collect();
    format!("{}\n{}", styled(GOOD, "Given back:"), cut(lines.into_iter()))
}

/// What stands in the way.
pub fn conflicting(result: &Conflicting) -> String {
    if result.conflicts.is_empty() {
        return format!("{}\n", styled(GOOD, "Nothing is in the way."));
    }
    format!("{}\n{}", styled(BAD, "In the way:"), conflicts(&result.conflicts))
}

fn conflicts(list: &[ConflictLine]) -> String {
    let line = |one: &ConflictLine| {
        let until = one.until.map_or_else(String::new, |at| format!(", until {}", moment(at)));
        format!("  {}  {}{until} ({})\n", place(one.workflow_id.as_str()), visible(&one.message), visible(&one.code))
    };
    cut(list.iter().map(line))
}

/// What became of something that was asked for.
pub fn allotted(result: &Allotted) -> String {
    let style = if result.allocation_id.is_some() { GOOD } else { BAD };
    let mut shown = format!("{}\n", styled(style, &visible(&result.status)));
    if let Some(id) = &result.allocation_id {
        shown.push_str(&fact("Share", id.as_str()));
        shown.push_str(&fact("Resources", &resources(&result.resources)));
    }
    if let Some(end) = result.expires_at {
        shown.push_str(&fact("Until", &moment(end)));
    }
    let used: Vec<String> = result.in_use.iter().map(|(kind, amount)| format!("{amount} {kind}")).collect();
    shown.push_str(&fact("In use", &used.join(", ")));
    if !result.conflicts.is_empty() {
        shown.push_str(&conflicts(&result.conflicts));
    }
    shown
}

/// A report that was taken.
pub fn taken(result: &StatusTaken) -> String {
    match &result.event_id {
        Some(id) => format!("{} as event {id}\n", styled(GOOD, "Recorded")),
        None => "Known already.\n".to_owned(),
    }
}

/// What the column says that counts this call's delivery: others may have delivered all before.
const JUST_DELIVERED: &str = "DELIVERED JUST NOW";

/// The outbox.
pub fn outbox(view: &OutboxView) -> String {
    if view.sinks.is_empty() {
        return "No sinks.\n".to_owned();
    }
    let headings = ["SINK", "KIND", "PENDING", JUST_DELIVERED, "PUT ASIDE", "NEXT TRY", "HOW IT STANDS"];
    let mut shown = filled(&headings, view.sinks.iter().map(sink), &["KIND", "NEXT TRY", JUST_DELIVERED]);
    if !view.dead_letters.is_empty() {
        shown.push_str(&format!("{}\n", styled(HEADING, "Put aside:")));
        let line = |letter: &LetterLine| {
            let again = if letter.requeued { ", to be tried again" } else { "" };
            let tries = count(letter.attempts.into(), "attempt");
            let (item, error) = (place(&letter.item), visible(&letter.error));
            format!("  {item} for {}: {error} ({tries}{again})\n", visible(&letter.sink))
        };
        shown.push_str(&cut(view.dead_letters.iter().map(line)));
    }
    shown
}

fn sink(sink: &SinkLine) -> Vec<String> {
    let standing = match (&sink.ended, &sink.last_error) {
        (Some(ended), _) if ended != "done" => visible(ended),
        (_, Some(error)) if sink.attempts == 0 => format!("the last attempt failed: {}", visible(error)),
        (_, Some(error)) => format!("{} failed: {}", count(sink.attempts.into(), "attempt"), visible(error)),
        _ if sink.kind.is_none() && sink.pending > 0 => {
            "not in the configuration any more: at most so many were not delivered to it".to_owned()
        }
        _ if sink.kind.is_none() => "not in the configuration any more".to_owned(),
        _ if sink.pending == 0 && sink.dead_letters == 0 => "well: all is delivered".to_owned(),
        _ => "well".to_owned(),
    };
    vec![
        visible(&sink.name),
        sink.kind.clone().unwrap_or_default(),
        sink.pending.to_string(),
        sink.delivered.map_or_else(String::new, |delivered| delivered.to_string()),
        sink.dead_letters.to_string(),
        sink.next_try_at.map_or_else(String::new, moment),
        standing,
    ]
}

/// What upkeep did.
pub fn upkeep(result: &UpkeepDone) -> String {
    if !result.ran {
        return "Another one is at it.\n".to_owned();
    }
    let delivered = format!("{} delivered, {} put aside\n", count(result.delivered, "item"), result.put_aside);
    delivered + &super::events::policy(&result.checkpoints)
}
