//! Results for people: one view for each operation.
//!
//! Owns what is said and in which order. Refuses to print, and to compute anything that is not in a result. Everything
//! that came from a file system or a caller goes through [`crate::terminal::visible`].

mod attaching;
mod changes;
mod checkpoints;
mod coordination;
mod events;
mod exchange;
mod ledger;
pub mod recoveries;
mod states;
mod status;
mod table;
mod workspace;
mod writers;

use std::any::Any;

use console::measure_text_width;
use serde_json::Value;
use wfr_engine::response::{Answer, Response};
use wfr_engine::results::{HoldLine, Refused, Text, Unmet};
use wfr_model::Timestamp;

use crate::answer::pretty;
use crate::terminal::{HEADING, PLACE, styled, visible};

/// Lists longer than this are cut, with the number of the rest.
const LINES_MAX: usize = 50;

/// A response for people.
pub fn response(operation: &str, response: &Response<Box<dyn Answer>>) -> String {
    let mut shown = response.result.as_ref().map_or_else(String::new, |result| result_of(operation, &**result));
    for step in response.next_steps.iter().flatten() {
        shown.push_str(&format!("{} {}\n", styled(HEADING, "Next:"), visible(step)));
    }
    shown
}

/// What is left of a success with `--quiet`: nothing, but for the demo's verdict, which is what it is run for.
pub fn quiet(operation: &str, response: &Response<Box<dyn Answer>>) -> String {
    let story = response.result.as_ref().filter(|_| operation == "demo");
    story.map_or_else(String::new, |story| view(&**story, |text: &Text| workspace::last_line(text)))
}

/// A piece of a result that goes on: an event as its line, else what the whole operation shows.
pub fn news(operation: &str, piece: &dyn Answer) -> String {
    let any: &dyn Any = piece;
    any.downcast_ref().map_or_else(|| result_of(operation, piece), events::line)
}

/// What was found out before an operation failed. Who holds something is said by the failure itself.
pub fn before_failure(operation: &str, result: &dyn Answer) -> String {
    let any: &dyn Any = result;
    if any.is::<HoldLine>() {
        return String::new();
    }
    if let Some(unmet) = any.downcast_ref::<Unmet>() {
        return cut(unmet.findings.iter().map(workspace::finding));
    }
    plan(result).unwrap_or_else(|| result_of(operation, result))
}

/// A refused plan, as the plan alone; `None` for anything else.
pub fn plan(result: &dyn Answer) -> Option<String> {
    let any: &dyn Any = result;
    let of_files = || any.downcast_ref().map(|refused: &Refused<_>| recoveries::plan(&refused.plan));
    let of_repair = || any.downcast_ref().map(|refused: &Refused<_>| states::repair_plan(&refused.plan));
    let of_merge = || any.downcast_ref().map(|refused: &Refused<_>| states::merge_plan(&refused.plan));
    of_files().or_else(of_repair).or_else(of_merge)
}

fn result_of(operation: &str, result: &dyn Answer) -> String {
    match operation {
        "create-checkpoint" => view(result, checkpoints::created),
        "list-checkpoints" => view(result, checkpoints::list),
        "show" => view(result, checkpoints::shown),
        "validate-checkpoint" => view(result, checkpoints::validation),
        "cleanup-checkpoints" => view(result, checkpoints::cleanup),
        "diff" => view(result, changes::differences),
        "restore" | "emergency-restore" | "partial-restore" | "rollback" | "undo" => {
            view(result, recoveries::recovered)
        }
        "attach" | "detach" => view(result, attaching::attachment),
        "change" => view(result, ledger::done),
        "log" => view(result, ledger::log),
        "who" => view(result, ledger::who),
        "blame" => view(result, ledger::blame),
        "watch" => view(result, ledger::watch),
        "recoveries" => view(result, recoveries::list),
        "resume" => view(result, recoveries::resumed),
        "event" => view(result, events::recorded),
        "events" => view(result, events::list),
        "handle-error" => view(result, events::handled),
        "initialize" | "update-state" | "record-metrics" => view(result, events::updated),
        "get-state" => view(result, events::document),
        "status" => view(result, status::status),
        "workflows" => view(result, status::workflows),
        "graph" => view(result, status::graph),
        "init" => view(result, workspace::initialised),
        "config" => view(result, workspace::config),
        "doctor" => view(result, workspace::diagnosis),
        "backup-state" => view(result, workspace::backup),
        "import" => view(result, exchange::imported),
        "export" => view(result, exchange::exported),
        "validate-state" => view(result, states::validation),
        "repair-state" => view(result, states::repair),
        "merge-states" => view(result, states::merge),
        "metadata" => view(result, workspace::metadata),
        "holds" => view(result, coordination::holds),
        "hold-resources" => view(result, coordination::placed),
        "release" => view(result, coordination::released),
        "check-conflicts" => view(result, coordination::conflicting),
        "allocate" => view(result, coordination::allotted),
        "recovery-status-update" => view(result, coordination::taken),
        "outbox" => view(result, coordination::outbox),
        "upkeep" => view(result, coordination::upkeep),
        "completions" | "man" => view(result, workspace::text),
        // Their bytes have gone to standard output already.
        "cat" | "demo" => String::new(),
        // Its result is a document.
        "schema" | "request" => pretty(&result.to_value()),
        _ => visible_document(result),
    }
}

/// The view of a result. One of another type is shown as it is, not left out.
fn view<R: Any>(result: &dyn Answer, view: impl Fn(&R) -> String) -> String {
    let any: &dyn Any = result;
    any.downcast_ref().map_or_else(|| visible_document(result), view)
}

fn visible_document(result: &dyn Answer) -> String {
    crate::terminal::visible_lines(&pretty(&result.to_value()))
}

/// A moment to the second, in UTC.
pub fn moment(at: Timestamp) -> String {
    let text = at.to_string();
    let whole = text.split(['.', 'Z']).next().unwrap_or_default();
    format!("{}Z", whole.replace('T', " "))
}

/// A number of bytes, to three digits.
fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if bytes < 1_024 {
        return format!("{bytes} B");
    }
    let mut amount = bytes as f64 / 1_024.0;
    let mut units = UNITS.iter();
    let mut unit = units.next();
    while amount >= 1_000.0 {
        let Some(next) = units.next() else { break };
        (amount, unit) = (amount / 1_024.0, Some(next));
    }
    let digits = if amount < 10.0 { 2 } else { usize::from(amount < 100.0) };
    format!("{amount:.digits$} {}", unit.unwrap_or(&""))
}

/// A number and its noun: `1 file`, `2 files`.
fn count(number: u64, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{} {noun}{plural}", indicatif::HumanCount(number))
}

/// `name:  value`, the names aligned.
fn fact(name: &str, value: &str) -> String {
    let name = format!("{name}:");
    format!("{}{value}\n", styled(HEADING, &format!("{name:<14}")))
}

/// A place, made visible and coloured.
pub fn place(text: &str) -> String {
    styled(PLACE, &visible(text))
}

/// A path that shares its line with so many other columns: where it does not fit a terminal its middle goes, since both
/// ends tell more.
fn fitted(path: &str, beside: usize) -> String {
    shortened(&visible(path), crate::terminal::width().map(|width| usize::from(width).saturating_sub(beside)))
}

/// A text of at most so many columns, or of [`PATH_MIN`].
fn shortened(text: &str, room: Option<usize>) -> String {
    let Some(room) = room.map(|room| room.max(PATH_MIN)).filter(|room| measure_text_width(text) > *room) else {
        return text.to_owned();
    };
    let fits = |letters: &mut dyn Iterator<Item = char>, room: usize| {
        let mut taken = 0;
        let is_in = |letter: &char| {
            taken += measure_text_width(letter.encode_utf8(&mut [0; 4]));
            taken <= room
        };
        letters.take_while(is_in).collect::<String>()
    };
    let head = fits(&mut text.chars(), (room - 3) / 3);
    let tail = fits(&mut text.chars().rev(), room - 3 - measure_text_width(&head));
    format!("{head}...{}", tail.chars().rev().collect::<String>())
}

/// Columns that stay of a path in any case.
const PATH_MIN: usize = 24;

/// The first lines of a list, and how many more there are.
fn cut(lines: impl ExactSizeIterator<Item = String>) -> String {
    let all = lines.len();
    let mut shown: String = lines.take(LINES_MAX).collect();
    if all > LINES_MAX {
        shown.push_str(&format!("  ... and {} more; `--json` lists all\n", all - LINES_MAX));
    }
    shown
}

/// The name by which JSON knows a value.
fn word(value: &impl serde::Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(Value::String(text)) => text.replace('_', " "),
        Ok(Value::Object(map)) => map.iter().next().map_or_else(String::new, |(key, inner)| {
            let inner = inner.as_str().unwrap_or_default().replace('_', " ");
            format!("{}: {inner}", key.replace('_', " "))
        }),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_paths_lose_their_middle_on_a_terminal_only() {
        let path = format!("src/{}the_file.rs", "deep/".repeat(20));
        assert_eq!(shortened(&path, None), path);
        assert_eq!(shortened("src/a.rs", Some(30)), "src/a.rs");
        let short = shortened(&path, Some(40));
        assert_eq!((measure_text_width(&short), short.starts_with("src/deep")), (40, true), "{short}");
        assert!(short.contains("...") && short.ends_with("/the_file.rs"), "{short}");
        // Wide letters are not cut in two, and a narrow terminal leaves something.
        assert!(measure_text_width(&shortened(&"読".repeat(40), Some(30))) <= 30);
        assert_eq!(measure_text_width(&shortened(&path, Some(0))), PATH_MIN);
    }

    #[test]
    fn sizes_have_three_digits() {
        let shown = [0, 1_023, 1_024, 1_234_567, 99_999_999, 1_023_999_999, 1 << 40].map(size);
        assert_eq!(shown, ["0 B", "1023 B", "1.00 KiB", "1.18 MiB", "95.4 MiB", "977 MiB", "1.00 TiB"]);
    }

    #[test]
    fn numbers_have_nouns() {
        assert_eq!([count(1, "file"), count(12_345, "file")], ["1 file", "12,345 files"]);
        assert_eq!(moment(Timestamp(1_000_000_001)), "1970-01-01 00:00:01Z");
    }

    #[test]
    fn a_result_of_another_shape_is_shown_as_it_is() {
        assert_eq!(result_of("init", &serde_json::json!({"a": "\u{1b}"})), "{\n  \"a\": \"\\u001b\"\n}\n");
    }
}
