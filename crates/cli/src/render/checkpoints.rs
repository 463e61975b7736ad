//! Views of the operations on checkpoints.
//!
//! Owns their words. Refuses to print.

use wfr_engine::results::{
    CheckpointCreated, CheckpointLine, CheckpointList, CheckpointShown, Cleanup, CoverageResult, Damage, Pin,
    Validation, Verdict,
};
use wfr_model::checkpoint::{FileCounts, Manifest, Repository, VerificationStatus};
use wfr_model::coverage::SkipReason;
use wfr_model::retention::Decision;

use super::table::table;
use super::{count, cut, fact, fitted, moment, place, size, word};
use crate::terminal::{BAD, FAINT, GOOD, HEADING, PLACE, WARN, styled, visible};

/// A checkpoint that was taken.
pub fn created(created: &CheckpointCreated) -> String {
    let mut shown = format!(
        "{} {} ({}) in {}\n",
        styled(GOOD, "Checkpoint"),
        styled(HEADING, &visible(&created.name)),
        created.checkpoint_id,
        created.duration
    );
    shown.push_str(&fact("Files", &files(&created.files)));
    shown.push_str(&fact("Stored", &size(created.size_bytes)));
    if created.integrity_check != Verdict::Skipped {
        shown.push_str(&fact("Integrity", &verdict(created.integrity_check)));
    }
    shown.push_str(&coverage(&created.coverage, false));
    shown
}

fn files(files: &FileCounts) -> String {
    let change = format!("{} added, {} changed, {} removed", files.added, files.changed, files.removed);
    format!("{}, {}; {change}", count(files.total, "file"), size(files.bytes))
}

/// A verdict in its colour.
pub fn verdict(verdict: Verdict) -> String {
    let style = match verdict {
        Verdict::Passed => GOOD,
        Verdict::Failed => BAD,
        Verdict::Skipped => FAINT,
    };
    styled(style, verdict.as_str())
}

/// What is not covered. That wfr leaves its own files out goes without saying.
fn coverage(coverage: &CoverageResult, with_paths: bool) -> String {
    let sums = coverage.skipped.iter().filter(|sum| sum.reason != SkipReason::OwnFiles).map(|sum| {
        let bytes = sum.bytes.filter(|bytes| *bytes > 0).map_or_else(String::new, |bytes| format!(", {}", size(bytes)));
        let of_which = match sum.directories {
            0 => String::new(),
            all if all == sum.count => " (not walked)".to_owned(),
            some => format!(" ({some} not walked)"),
        };
        format!("{} {}{bytes}{of_which}", sum.count, word(&sum.reason))
    });
    let sums: Vec<String> = sums.collect();
    if sums.is_empty() {
        return String::new();
    }
    let mut shown = fact("Not covered", &sums.join("; "));
    if !coverage.complete {
        let note = "the checkpoint is incomplete: `latest-valid` passes it over";
        shown.push_str(&fact("Incomplete", &styled(WARN, note)));
    }
    if with_paths {
        let paths: Vec<_> = coverage.paths.iter().filter(|skip| skip.reason != SkipReason::OwnFiles).collect();
        shown.push_str(&cut(paths.iter().map(|skip| {
            let detail = skip.detail.as_deref().map_or_else(String::new, |detail| format!(" ({})", visible(detail)));
            let reason = format!("{}{detail}", word(&skip.reason));
            format!("  {}  {reason}\n", styled(PLACE, &fitted(&skip.path.to_string(), 4 + reason.len())))
        })));
    }
    shown
}

/// A list of checkpoints.
pub fn list(list: &CheckpointList) -> String {
    if list.checkpoints.is_empty() {
        return "No checkpoints.\n".to_owned();
    }
    let any = |test: fn(&CheckpointLine) -> bool| list.checkpoints.iter().any(test);
    let (integrity, metadata) =
        (any(|line| line.summary.verification_status.is_some()), any(|line| line.metadata.is_some()));
    let tagged = any(|line| !line.summary.tags.is_empty());
    let mut headings = vec!["NAME", "WORKFLOW", "TYPE", "TAKEN", "FILES", "CHANGES"];
    headings.extend(tagged.then_some("TAGS"));
    headings.extend(integrity.then_some("INTEGRITY"));
    headings.extend(metadata.then_some(["STORED", "KEPT"]).into_iter().flatten());
    headings.push("ID");
    let rows = list.checkpoints.iter().map(|line| row(line, tagged, integrity, metadata));
    // Of which workflow each is may be left out only where all are of one.
    let of_one = list.checkpoints.windows(2).all(|two| two[0].summary.workflow_id == two[1].summary.workflow_id);
    let spare = ["WORKFLOW", "CHANGES", "TYPE", "KEPT", "FILES", "TAGS", "TAKEN", "STORED"];
    let mut shown = table(&headings, rows, &spare[usize::from(!of_one)..]);
    let missing = list.total.saturating_sub(list.checkpoints.len() as u64);
    if missing > 0 {
        shown.push_str(&format!("... {missing} more\n"));
    }
    shown
}

fn row(line: &CheckpointLine, tagged: bool, integrity: bool, metadata: bool) -> Vec<String> {
    let CheckpointLine { summary, metadata: own } = line;
    let files = &summary.files;
    let mut row = vec![
        visible(&summary.name) + if summary.complete { "" } else { " (incomplete)" },
        visible(summary.workflow_id.as_str()),
        summary.checkpoint_type.as_str().to_owned(),
        moment(summary.created_at),
        files.total.to_string(),
        format!("+{} ~{} -{}", files.added, files.changed, files.removed),
    ];
    if tagged {
        row.push(visible(&summary.tags.join(", ")));
    }
    if integrity {
        row.push(summary.verification_status.map_or("unknown", VerificationStatus::as_str).to_owned());
    }
    if metadata {
        let own = own.as_ref();
        row.push(own.map_or_else(String::new, |own| size(own.size_bytes)));
        row.push(own.and_then(|own| own.retention_policy.clone()).unwrap_or_else(|| "as configured".to_owned()));
    }
    row.push(summary.checkpoint_id.to_string());
    row
}

/// One checkpoint.
pub fn shown(result: &CheckpointShown) -> String {
    let manifest = &result.checkpoint;
    let mut shown = header(manifest);
    let checked = result.validation_timestamp.map_or_else(String::new, |at| format!(", found at {}", moment(at)));
    shown.push_str(&fact("Integrity", &format!("{}{checked}", status(result.verification_status))));
    if let Some(state) = &manifest.file_system_state {
        shown.push_str(&fact("Tree", &state.tree.to_string()));
        shown.push_str(&fact("Files", &files(&state.files)));
        let kinds = [("+", &state.created_files), ("-", &state.deleted_files)];
        let lists = kinds.iter().flat_map(|(sign, paths)| paths.iter().map(move |path| (*sign, path)));
        let modified = state.modified_files.iter().map(|file| ("~", &file.path));
        let lines: Vec<(&str, String)> = lists.chain(modified).map(|(sign, path)| (sign, path.to_string())).collect();
        let line = |(sign, path): &(&str, String)| format!("  {sign} {}\n", styled(PLACE, &fitted(path, 4)));
        shown.push_str(&cut(lines.iter().map(line)));
        for repository in &state.repositories {
            shown.push_str(&fact("Git", &stood(repository)));
        }
    } else {
        shown.push_str(&fact("Files", "none: it holds state only"));
    }
    shown.push_str(&coverage(&result.coverage, true));
    for file in result.files.iter().flatten() {
        let entry = &file.entry;
        let size = entry.size.map_or_else(String::new, |bytes| bytes.to_string());
        let path = styled(PLACE, &fitted(&file.path.to_string(), SHOWN_BESIDE));
        let target = entry.target.as_deref().map_or_else(String::new, |target| format!(" -> {}", visible(target)));
        shown.push_str(&format!("{} {:<8} {size:>12}  {path}{target}\n", entry.mode, word(&entry.kind)));
    }
    shown
}

/// Columns before the path of a file: mode, kind, size and the gaps between.
const SHOWN_BESIDE: usize = 34;

fn stood(repository: &Repository) -> String {
    let dir = if repository.path.is_root() { ".".to_owned() } else { repository.path.to_string() };
    let branch = repository.branch.as_deref().map_or("detached", |name| name.trim_start_matches("refs/heads/"));
    let commit = repository.commit.as_deref().unwrap_or("no commit");
    let going_on: String = repository.in_progress.iter().map(|what| format!(", {what} in progress")).collect();
    visible(&format!("{dir}: {branch} at {commit}{going_on}"))
}

fn header(manifest: &Manifest) -> String {
    let mut shown = fact("Checkpoint", &styled(HEADING, &visible(&manifest.name)));
    shown.push_str(&fact("Id", manifest.checkpoint_id.as_str()));
    shown.push_str(&fact("Workflow", &visible(manifest.workflow_id.as_str())));
    let phase = match (&manifest.phase_id, &manifest.phase_name) {
        (None, None) => String::new(),
        (number, name) => {
            let number = number.map_or_else(String::new, |number| format!(" {number}"));
            let name = name.as_deref().map_or_else(String::new, |name| format!(" {}", visible(name)));
            format!(", phase{number}{name}")
        }
    };
    let kind = manifest.checkpoint_type.as_str();
    shown.push_str(&fact("Type", &format!("{kind}, by {}{phase}", manifest.trigger.as_str())));
    shown.push_str(&fact("Taken", &moment(manifest.created_at)));
    let metadata = &manifest.metadata;
    if !metadata.tags.is_empty() {
        shown.push_str(&fact("Tags", &visible(&metadata.tags.join(", "))));
    }
    let kept = metadata.retention_policy.as_deref().unwrap_or("as configured");
    let encrypted = if metadata.encryption { ", encrypted" } else { "" };
    let stored = format!("{}, {}{encrypted}", size(metadata.size_bytes), visible(&metadata.compression));
    shown.push_str(&fact("Stored", &stored));
    shown.push_str(&fact("Kept", &visible(kept)));
    shown
}

fn status(status: VerificationStatus) -> String {
    let style = match status {
        VerificationStatus::Valid => GOOD,
        VerificationStatus::Unknown => FAINT,
        VerificationStatus::Invalid | VerificationStatus::Corrupted => BAD,
    };
    styled(style, status.as_str())
}

/// A validation.
pub fn validation(result: &Validation) -> String {
    let mut shown = format!(
        "Checkpoint {} ({}) is {}\n",
        styled(HEADING, &visible(&result.name)),
        result.checkpoint_id,
        status(result.verification_status)
    );
    let read = format!(
        "{}, {} of them read in full, {}, in {}",
        count(result.objects, "object"),
        result.objects_read,
        size(result.bytes_read),
        result.duration
    );
    shown.push_str(&fact("Checked", &format!("{}: {read}", word(&result.validation_level))));
    shown.push_str(&fact("Integrity", &verdict(result.integrity_check)));
    shown.push_str(&fact("Chain", &verdict(result.chain_check)));
    if result.damaged > 0 {
        shown.push_str(&fact("Damaged", &format!("{}, {} repaired", result.damaged, result.repaired)));
    }
    shown.push_str(&cut(result.damages.iter().map(damage)));
    if let Some(report) = &result.report {
        shown.push_str(&fact("Report", &place(report)));
    }
    shown
}

fn damage(damage: &Damage) -> String {
    let end = if damage.repaired { styled(GOOD, "repaired") } else { styled(BAD, "damaged") };
    let path = if damage.path.is_root() { ".".to_owned() } else { damage.path.to_string() };
    format!("  {end} {} {} at {}: {}\n", damage.kind, damage.object.short(), place(&path), visible(&damage.message))
}

/// A cleanup.
pub fn cleanup(result: &Cleanup) -> String {
    let verb = if result.dry_run { "Would remove" } else { "Removed" };
    let mut shown = format!("{verb} {}; {} stay.\n", count(result.removed.len() as u64, "checkpoint"), result.kept);
    if let Some(freed) = result.bytes_freed {
        shown.push_str(&fact("Freed", &size(freed)));
    }
    if let Some(bytes) = result.bytes_reclaimable {
        shown.push_str(&fact("Would free", &size(bytes)));
    }
    if result.bytes_pending > 0 {
        let pending = format!("{} go when running commands have ended", size(result.bytes_pending));
        shown.push_str(&fact("Pending", &pending));
    }
    if !result.pins.is_empty() {
        let pin = |pin: &Pin| format!("{} ({})", visible(&pin.name), size(pin.bytes));
        let pins: Vec<String> = result.pins.iter().map(pin).collect();
        shown.push_str(&fact("For undo", &pins.join(", ")));
    }
    let width = result.decisions.iter().map(|decision| decision.name.len()).max().unwrap_or(0);
    shown.push_str(&cut(result.decisions.iter().map(|one| decision(one, width))));
    shown
}

fn decision(decision: &Decision, width: usize) -> String {
    let verb = if decision.keep { styled(GOOD, "keep  ") } else { styled(BAD, "remove") };
    format!("  {verb} {:width$}  {}\n", visible(&decision.name), visible(&decision.reason))
}
