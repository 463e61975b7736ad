//! Views of events: what was recorded, and what is in the log.
//!
//! Owns their words. Refuses to print.

use serde_json::Value;
use wfr_engine::results::{
    ErrorHandled, EventLine, EventList, EventsRecorded, IgnoredMessage, OddEvent, PolicyCheckpoint, RefusedMessage,
    StateShown, StateUpdated,
};

use super::{count, cut, moment, place};
use crate::answer::pretty;
use crate::terminal::{BAD, FAINT, GOOD, HEADING, PLACE, WARN, styled, visible};

/// Characters of data that a line shows.
const DATA_MAX: usize = 60;

/// Events that were taken in.
pub fn recorded(result: &EventsRecorded) -> String {
    let mut shown = format!("{} {}", styled(GOOD, "Recorded"), count(result.recorded, "event"));
    if let (Some(first), Some(last)) = (result.first_seq, result.last_seq) {
        shown.push_str(&if first == last { format!(" as {first}") } else { format!(" as {first} to {last}") });
    }
    if result.known > 0 {
        shown.push_str(&format!("; {} known already", result.known));
    }
    shown.push('\n');
    let refused = |one: &RefusedMessage| format!("  line {}: {}\n", one.line, visible(&one.why));
    let ignored = |one: &IgnoredMessage| format!("  line {}: {}\n", one.line, visible(&one.why));
    shown.push_str(&part(BAD, "refused", result.refused_total, cut(result.refused.iter().map(refused))));
    shown.push_str(&part(WARN, "without effect", result.ignored_total, cut(result.ignored.iter().map(ignored))));
    shown.push_str(&part(WARN, "odd", result.odd_total, cut(result.odd.iter().map(odd))));
    for failure in &result.failures {
        shown.push_str(&format!("{} {failure}\n", styled(HEADING, "Failure:")));
    }
    shown.push_str(&policy(&result.checkpoints));
    shown
}

fn odd(one: &OddEvent) -> String {
    format!("  {}: {} ({})\n", one.event_id, visible(&one.message), visible(&one.code))
}

fn part(style: clap::builder::styling::Style, what: &str, total: u64, lines: String) -> String {
    if total == 0 { lines } else { format!("{} {what}\n{lines}", styled(style, &total.to_string())) }
}

/// What the policy's checkpoints came to.
pub fn policy(checkpoints: &[PolicyCheckpoint]) -> String {
    let line = |one: &PolicyCheckpoint| match (&one.name, &one.not_taken) {
        (Some(name), _) => {
            let marked = if one.complete { String::new() } else { styled(WARN, " incomplete") };
            format!("{} {}{marked}\n", styled(HEADING, "Checkpoint:"), styled(PLACE, &visible(name)))
        }
        (None, why) => {
            let why = why.as_deref().unwrap_or_default();
            format!("{} of {} not taken: {}\n", styled(WARN, "Checkpoint"), one.workflow_id, visible(why))
        }
    };
    cut(checkpoints.iter().map(line))
}

/// One event as a line.
pub fn line(line: &EventLine) -> String {
    let event = &line.event;
    let whose = event.workflow_id.as_ref().map_or("global", |workflow| workflow.as_str());
    let phase = event.phase.as_ref().map_or_else(String::new, |phase| format!(" {phase}"));
    let mark = if line.odd.is_empty() { String::new() } else { styled(WARN, " odd") };
    let head = format!("{:>7}  {}  ", line.seq, moment(line.recorded_at));
    let name = styled(style_of(event.event_type.as_str()), event.event_type.as_str());
    let whose = styled(PLACE, &format!("{whose}{phase}"));
    format!("{}{name}  {whose}{mark}  {}\n", styled(FAINT, &head), brief(&event.data))
}

fn style_of(name: &str) -> clap::builder::styling::Style {
    match name.rsplit('_').next().unwrap_or_default() {
        "FAILED" | "TIMEOUT" | "ERROR" | "ENCOUNTERED" | "CONFLICT" => BAD,
        "COMPLETED" => GOOD,
        "ALERT" | "THRESHOLD" | "PAUSED" | "CANCELLED" => WARN,
        _ => HEADING,
    }
}

/// The first fields of the data that are one word or number each.
fn brief(data: &serde_json::Map<String, Value>) -> String {
    let word = |(key, value): (&String, &Value)| match value {
        Value::String(text) => Some(format!("{}={}", visible(key), visible(text))),
        Value::Number(number) => Some(format!("{}={number}", visible(key))),
        _ => None,
    };
    let text = data.iter().filter_map(word).collect::<Vec<_>>().join(" ");
    if text.chars().count() <= DATA_MAX {
        return text;
    }
    text.chars().take(DATA_MAX).chain("...".chars()).collect()
}

/// An event of the status: without workflow and date.
pub fn short(line: &EventLine) -> String {
    let event = &line.event;
    let clock: String = moment(line.recorded_at).chars().skip(11).collect();
    let name = styled(style_of(event.event_type.as_str()), event.event_type.as_str());
    let room = 66_usize.saturating_sub(event.event_type.as_str().len());
    let more: String = brief(&event.data).chars().take(room).collect();
    format!("  {} {name} {more}\n", styled(FAINT, &clock))
}

/// Events of the log.
pub fn list(result: &EventList) -> String {
    result.events.iter().map(line).collect()
}

/// An error that is on file.
pub fn handled(result: &ErrorHandled) -> String {
    let verb = if result.existed { "Known as" } else { "Recorded as" };
    let mut shown = format!("{} {}\n", styled(GOOD, verb), result.failure_id);
    if let Some(report) = &result.report {
        shown.push_str(&format!("{} {}\n", styled(HEADING, "Report:"), place(report)));
    }
    shown.extend(result.events.iter().map(line));
    shown.extend(result.odd.iter().map(odd));
    shown.push_str(&policy(&result.checkpoints));
    shown
}

/// A state that was set.
pub fn updated(result: &StateUpdated) -> String {
    let verb = match (result.changed, result.existed) {
        (true, false) => "Registered",
        (true, true) => "Updated",
        (false, _) => "Unchanged",
    };
    let mut shown = format!("{}; the state has version {}\n", styled(GOOD, verb), result.state_version);
    for odd in &result.odd {
        shown.push_str(&format!("{} {} ({})\n", styled(WARN, "odd:"), visible(&odd.message), visible(&odd.code)));
    }
    shown.push_str(&policy(&result.checkpoints));
    shown
}

/// A state as a document.
pub fn document(result: &StateShown) -> String {
    crate::terminal::visible_lines(&pretty(&result.workflow_state))
}
