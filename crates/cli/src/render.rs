//! What people see: tables, diffs, failures, progress.
//!
//! Owns the human form of responses. Refuses to compute anything that is not in them.

use std::io::{IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::Value;
use wfr_engine::error::Failure;
use wfr_engine::response::Response;
use wfr_engine::session::Meter;

use crate::arguments::Global;

/// Paths listed before the rest is only counted.
const LIST_MAX: usize = 40;

fn is_coloured(global: &Global, terminal: bool) -> bool {
    global.color.unwrap_or_else(|| terminal && std::env::var_os("NO_COLOR").is_none())
}

/// A text with everything that a terminal would act on made visible.
fn safe(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { format!("\\x{:02x}", c as u32) } else { c.to_string() }).collect()
}

fn text(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => safe(text),
        other => other.to_string(),
    }
}

/// Prints a failure: what, why, what next.
pub fn failure(failure: &Failure, global: &Global) {
    let (on, off) =
        if is_coloured(global, std::io::stderr().is_terminal()) { ("\x1b[1;31m", "\x1b[0m") } else { ("", "") };
    let details = if failure.details.is_empty() { String::new() } else { format!(": {}", safe(&failure.details)) };
    let mut out = std::io::stderr().lock();
    let _ = writeln!(out, "{on}Error:{off} {}{details}", safe(&failure.message));
    for hint in std::iter::once(&failure.hint).chain(&failure.recovery_options).filter(|hint| !hint.is_empty()) {
        let _ = writeln!(out, "Hint: {}", safe(hint));
    }
}

/// Prints a response for people.
pub fn show(operation: &str, response: &Response, global: &Global) {
    let empty = Value::Null;
    let result = response.result.as_ref().unwrap_or(&empty);
    let colour = is_coloured(global, std::io::stdout().is_terminal());
    let shown = match operation {
        "cat" => return,
        "list-checkpoints" => checkpoints(result),
        "recoveries" => recoveries(result),
        "diff" => diff(result, colour),
        "config" => config(result),
        "create-checkpoint" => created(result),
        "doctor" => diagnosis(result),
        "restore" | "emergency-restore" | "undo" | "plan" => recovered(result),
        "show" | "metadata" | "init" | "resume" | "validate-checkpoint" => fields(result, 0),
        _ => fields(result, 0),
    };
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(shown.as_bytes());
    for step in response.next_steps.iter().flatten() {
        let _ = writeln!(out, "Next: {}", safe(step));
    }
}

/// Columns as wide as their widest cell, two spaces apart.
fn table(header: &[&str], rows: impl Iterator<Item = Vec<String>>) -> String {
    let mut lines: Vec<Vec<String>> = vec![header.iter().map(|cell| (*cell).to_owned()).collect()];
    lines.extend(rows);
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..header.len()).map(width).collect();
    let padded = |line: &Vec<String>| {
        let cells = line.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        let text = cells.collect::<Vec<_>>().join("  ");
        format!("{}\n", text.trim_end())
    };
    lines.iter().map(padded).collect()
}

fn rows<'v>(result: &'v Value, key: &str) -> impl Iterator<Item = &'v Value> {
    result[key].as_array().into_iter().flatten()
}

fn checkpoints(result: &Value) -> String {
    let line = |row: &Value| {
        let whole = if row["complete"] == true { "" } else { "incomplete" };
        let id = text(&row["checkpoint_id"]);
        vec![
            text(&row["name"]),
            text(&row["workflow_id"]),
            text(&row["checkpoint_type"]),
            text(&row["created_at"]).split('.').next().unwrap_or_default().to_owned(),
            text(&row["files"]["total"]),
            format!("+{} ~{} -{}", row["files"]["added"], row["files"]["changed"], row["files"]["removed"]),
            whole.to_owned(),
            id,
        ]
    };
    table(
        &["NAME", "WORKFLOW", "TYPE", "TAKEN (UTC)", "FILES", "CHANGES", "", "ID"],
        rows(result, "checkpoints").map(line),
    )
}

fn recoveries(result: &Value) -> String {
    let line = |row: &Value| {
        let keys = ["recovery_id", "kind", "workflow_id", "status", "started_at", "changed", "kept", "undone_by"];
        keys.iter().map(|key| text(&row[*key])).collect()
    };
    table(
        &["ID", "KIND", "WORKFLOW", "STATUS", "BEGUN", "CHANGED", "KEPT", "UNDONE BY"],
        rows(result, "recoveries").map(line),
    )
}

fn config(result: &Value) -> String {
    let line = |row: &Value| {
        let effect = if row["in_effect"] == true { "" } else { "not in effect yet" };
        vec![text(&row["key"]), text(&row["value"]), effect.to_owned()]
    };
    format!("{}\n\n{}", text(&result["file"]), table(&["KEY", "VALUE", ""], rows(result, "keys").map(line)))
}

fn created(result: &Value) -> String {
    let files = &result["files"];
    let mut shown = format!(
        "{} {}\n{} files, {} bytes: {} added, {} changed, {} removed; the store grew by {} bytes in {}\n",
        text(&result["name"]),
        text(&result["checkpoint_id"]),
        files["total"],
        files["bytes"],
        files["added"],
        files["changed"],
        files["removed"],
        result["size_bytes"],
        text(&result["duration"]),
    );
    for sum in rows(&result["coverage"], "skipped") {
        shown.push_str(&format!("not covered: {} {}\n", sum["count"], text(&sum["reason"])));
    }
    shown
}

fn diagnosis(result: &Value) -> String {
    let mut shown = String::new();
    for finding in rows(result, "findings") {
        shown.push_str(&format!("{}: {}\n", text(&finding["severity"]), text(&finding["message"])));
        shown.push_str(&format!("  {}\n", text(&finding["fix"])));
    }
    for system in rows(result, "file_systems") {
        let can = |key: &str| if system[key] == true { "yes" } else { "no" };
        shown.push_str(&format!(
            "{} on {}: exchange {}, no-replace {}, leases {}\n",
            text(&system["path"]),
            text(&system["kind"]),
            can("exchange"),
            can("no_replace"),
            can("leases")
        ));
    }
    let verdict = if result["healthy"] == true { "healthy" } else { "not healthy" };
    format!("{shown}{verdict}; {} checkpoints in {}\n", result["checkpoints"], text(&result["store"]))
}

fn recovered(result: &Value) -> String {
    let mut shown = String::new();
    let plan = &result["plan"];
    if plan.is_object() {
        for step in rows(plan, "steps").take(LIST_MAX) {
            shown.push_str(&format!("{:<11} {}\n", text(&step["action"]), text(&step["path"])));
        }
        let count = rows(plan, "steps").count();
        if count > LIST_MAX {
            shown.push_str(&format!("... {} more\n", count - LIST_MAX));
        }
        for conflict in rows(plan, "conflicts") {
            shown.push_str(&format!("conflict    {}: {}\n", text(&conflict["path"]), text(&conflict["message"])));
        }
        rows(plan, "blast_radius").for_each(|line| shown.push_str(&format!("others      {}\n", text(line))));
        return format!("{shown}{count} steps; digest {}\n", text(&plan["digest"]));
    }
    for (key, word) in [("kept", "kept"), ("failed", "failed"), ("displaced", "displaced")] {
        for line in rows(result, key).take(LIST_MAX) {
            shown.push_str(&format!("{word:<11} {}\n", text(&line["path"])));
        }
    }
    let place = text(&result["restored_to"]);
    let place = if place == "-" { String::new() } else { format!(" into {place}") };
    format!(
        "{shown}{} restored{place}: {} paths changed, {} kept, in {}\n",
        text(&result["restored_checkpoint"]),
        rows(result, "changed").count(),
        rows(result, "kept").count(),
        text(&result["restoration_time"]),
    )
}

fn diff(result: &Value, colour: bool) -> String {
    let mut shown = String::new();
    let (mut plus, mut minus, mut count) = (0, 0, 0);
    for change in rows(result, "changes") {
        count += 1;
        plus += change["insertions"].as_u64().unwrap_or(0);
        minus += change["deletions"].as_u64().unwrap_or(0);
        let path = text(&change["path"]);
        match (result["format"].as_str(), change["patch"].as_str()) {
            (_, Some(patch)) => shown.push_str(&patch_text(patch, colour)),
            (Some("name_only"), _) => shown.push_str(&format!("{:<9} {path}\n", text(&change["kind"]))),
            _ if change["binary"] == true => shown.push_str(&format!("{:<9} {path} (binary)\n", text(&change["kind"]))),
            _ => {
                let lines = change["insertions"]
                    .as_u64()
                    .map(|_| format!(" +{} -{}", change["insertions"], change["deletions"]));
                shown.push_str(&format!("{:<9} {path}{}\n", text(&change["kind"]), lines.unwrap_or_default()));
            }
        }
    }
    if result["format"] == "stat" {
        shown.push_str(&format!("{count} paths differ, {plus} lines added, {minus} removed\n"));
    }
    shown
}

fn patch_text(patch: &str, colour: bool) -> String {
    let mut shown = String::new();
    for line in patch.lines() {
        // Tabs are content; other control characters are made visible.
        let line: Vec<String> = line.split('\t').map(safe).collect();
        let line = line.join("\t");
        let code = match line.as_bytes().first() {
            Some(b'+') if colour => "\x1b[32m",
            Some(b'-') if colour => "\x1b[31m",
            Some(b'@') if colour => "\x1b[36m",
            _ => "",
        };
        let end = if code.is_empty() { "" } else { "\x1b[0m" };
        shown.push_str(&format!("{code}{line}{end}\n"));
    }
    shown
}

/// Any result as indented lines.
fn fields(value: &Value, depth: usize) -> String {
    let indent = "  ".repeat(depth);
    match value {
        Value::Object(map) => map
            .iter()
            .map(|(key, value)| match value {
                Value::Object(inner) if !inner.is_empty() => format!("{indent}{key}:\n{}", fields(value, depth + 1)),
                Value::Array(list) if !list.is_empty() => format!("{indent}{key}:\n{}", fields(value, depth + 1)),
                Value::Object(_) | Value::Array(_) => String::new(),
                plain => format!("{indent}{key}: {}\n", text(plain)),
            })
            .collect(),
        Value::Array(list) => {
            let mut shown: String = list
                .iter()
                .take(LIST_MAX)
                .map(|item| {
                    if item.is_object() {
                        format!("{indent}-\n{}", fields(item, depth + 1))
                    } else {
                        format!("{indent}- {}\n", text(item))
                    }
                })
                .collect();
            if list.len() > LIST_MAX {
                shown.push_str(&format!("{indent}... {} more (all with --json)\n", list.len() - LIST_MAX));
            }
            shown
        }
        plain => format!("{indent}{}\n", text(plain)),
    }
}

/// A line on standard error for work that takes over half a second, on a terminal only.
pub struct Progress {
    ended: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Progress {
    /// Begins to watch the meter.
    pub fn begin(meter: Arc<Meter>, global: &Global) -> Self {
        let ended = Arc::new(AtomicBool::new(false));
        if global.quiet || !std::io::stderr().is_terminal() {
            return Self { ended, thread: None };
        }
        let flag = ended.clone();
        let thread = std::thread::spawn(move || watch(&meter, &flag));
        Self { ended, thread: Some(thread) }
    }

    /// Ends and wipes the line.
    pub fn end(self) {
        self.ended.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread {
            thread.thread().unpark();
            let _ = thread.join();
        }
    }
}

fn watch(meter: &Meter, ended: &AtomicBool) {
    std::thread::park_timeout(Duration::from_millis(500));
    if ended.load(Ordering::Relaxed) {
        return;
    }
    let bar = indicatif::ProgressBar::new_spinner();
    bar.enable_steady_tick(Duration::from_millis(100));
    while !ended.load(Ordering::Relaxed) {
        let (done, total) = (meter.steps.0.load(Ordering::Relaxed), meter.steps.1.load(Ordering::Relaxed));
        let seconds = bar.elapsed().as_secs_f64().max(0.1);
        let bytes = meter.scan.bytes() + meter.bytes.load(Ordering::Relaxed);
        let rate = bytes as f64 / 1e6 / seconds;
        let message = if total > 0 {
            let left = seconds * (total - done.min(total)) as f64 / done.max(1) as f64;
            format!("{done} of {total} steps, about {left:.0} s left")
        } else {
            format!("{} entries, {:.0} MB read, {rate:.0} MB/s", meter.scan.entries(), bytes as f64 / 1e6)
        };
        bar.set_message(message);
        std::thread::park_timeout(Duration::from_millis(200));
    }
    bar.finish_and_clear();
}
