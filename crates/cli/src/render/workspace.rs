//! Views of the operations on a workspace as a whole, on archives and on the program itself.
//!
//! Owns their words. Refuses to print.

use serde_json::Value;
use wfr_engine::results::{
    Backup, ConfigKey, ConfigView, Diagnosis, FileSystemReport, Initialised, MetadataWritten, Text,
};
use wfr_model::finding::{Finding, Severity};

use super::table::keyed;
use super::{count, cut, fact, place, size};
use crate::terminal::{BAD, FAINT, GOOD, HEADING, WARN, styled, visible};

/// A directory under protection.
pub fn initialised(result: &Initialised) -> String {
    let verb = if result.existed { "Already protected" } else { "Protected" };
    let mut shown = format!("{} {}\n", styled(GOOD, verb), place(&result.workspace));
    shown.push_str(&fact("Store", &place(&result.store)));
    shown.push_str(&fact("View", &place(&result.view)));
    if result.encrypted {
        shown.push_str(&fact("Encrypted", "yes"));
    }
    shown
}

/// The configuration.
pub fn config(result: &ConfigView) -> String {
    let mut shown = fact("File", &place(&result.file));
    if !result.changed.is_empty() {
        shown.push_str(&fact("Changed", &visible(&result.changed.join(", "))));
    }
    let row = |key: &ConfigKey| {
        let notes = [(!key.in_effect, "no effect in this version"), (key.value != key.default, "changed")];
        let notes: Vec<&str> = notes.iter().filter(|(on, _)| *on).map(|(_, note)| *note).collect();
        vec![visible(&key.key), plain(&key.value), notes.join(", ")]
    };
    shown.push_str(&keyed(&["KEY", "VALUE", "NOTE"], result.keys.iter().map(row).collect()));
    shown
}

/// A value of the configuration, without JSON's quotes.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => visible(text),
        Value::Array(items) => items.iter().map(plain).collect::<Vec<_>>().join(", "),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

/// What doctor found.
pub fn diagnosis(result: &Diagnosis) -> String {
    let mut shown = if result.healthy {
        format!("{}\n", styled(GOOD, "Healthy."))
    } else {
        format!("{}\n", styled(BAD, "Not healthy."))
    };
    shown.push_str(&cut(result.findings.iter().map(finding)));
    for (name, at) in [("Workspace", &result.workspace), ("Store", &result.store)] {
        shown.push_str(&at.as_deref().map_or_else(String::new, |at| fact(name, &place(at))));
    }
    shown.push_str(&fact("Checkpoints", &result.checkpoints.to_string()));
    if let Some(rebuilt) = result.rebuilt {
        let events = count(result.events_rebuilt.unwrap_or_default(), "event");
        shown.push_str(&fact("Rebuilt", &format!("{}, {events}", count(rebuilt, "checkpoint"))));
    }
    shown.push_str(&cut(result.file_systems.iter().map(file_system)));
    shown
}

/// One finding, and what to do about it.
pub fn finding(finding: &Finding) -> String {
    let (style, name) = match finding.severity {
        Severity::Info => (FAINT, "info"),
        Severity::Warning => (WARN, "warning"),
        Severity::Error => (BAD, "error"),
        Severity::Critical => (BAD, "critical"),
    };
    let fix = if finding.fix.is_empty() { String::new() } else { format!("    {}\n", visible(&finding.fix)) };
    format!("  {} {} ({})\n{fix}", styled(style, name), visible(&finding.message), visible(&finding.code))
}

fn file_system(report: &FileSystemReport) -> String {
    let abilities = [(report.exchange, "exchange"), (report.no_replace, "no-replace"), (report.leases, "leases")];
    let part = |on: bool| {
        let names: Vec<&str> = abilities.iter().filter(|(has, _)| *has == on).map(|(_, name)| *name).collect();
        names.join(", ")
    };
    let without = part(false);
    let without = if without.is_empty() { without } else { styled(WARN, &format!("; without {without}")) };
    fact("Mount", &format!("{} ({}): {}{without}", place(&report.path), visible(&report.kind), part(true)))
}

/// An archive that was written.
pub fn backup(result: &Backup) -> String {
    let mut shown = format!("{} {}\n", styled(GOOD, "Archive"), place(&result.path));
    let number = result.checkpoints.len() as u64;
    shown.push_str(&fact(
        "Holds",
        &format!(
            "{}, {}, {}",
            count(number, "checkpoint"),
            count(result.events, "event"),
            count(result.objects, "object")
        ),
    ));
    let encrypted = if result.encrypted { ", encrypted" } else { "" };
    shown.push_str(&fact("Size", &format!("{}, {}{encrypted}", size(result.size_bytes), visible(&result.compression))));
    shown.push_str(&fact("SHA-256", &result.checksum.to_hex()));
    shown.push_str(&fact("Verified", if result.verified { "yes" } else { "no" }));
    shown
}

/// Metadata files that were written.
pub fn metadata(result: &MetadataWritten) -> String {
    let heading =
        format!("{} of {}", count(result.files.len() as u64, "file"), count(result.checkpoints, "checkpoint"));
    format!("{}\n{}", styled(HEADING, &heading), cut(result.files.iter().map(|file| format!("  {}\n", place(file)))))
}

/// The last line of a text.
pub fn last_line(result: &Text) -> String {
    result.text.lines().next_back().map_or_else(String::new, |line| format!("{line}\n"))
}

/// Text, as it is, or the files that it went into.
pub fn text(result: &Text) -> String {
    let files: String = result.files.iter().map(|file| format!("{}\n", visible(file))).collect();
    format!("{}{files}", result.text)
}
