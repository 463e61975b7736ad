//! Views of the operations that change the workspace's files, and of the audit trail.
//!
//! Owns their words. Refuses to print.

use serde_json::Value;
use wfr_engine::results::{
    CompletedTask, DamagedRecovery, MovedHead, PlanResult, Recovered, RecoveryLine, RecoveryList, Resumed,
    StateChanges, StateNames,
};
use wfr_model::plan::{Action, Conflict, Kept, KeptReason, StepSummary};
use wfr_model::recovery::{Displaced, RecoveryKind, RecoveryStatus, StepEnd, StepReport};
use wfr_model::workflow::StateKept;
use wfr_model::{PhaseId, TaskId};

use super::changes::patch_lines;
use super::checkpoints::verdict;
use super::table::table;
use super::workspace::finding;
use super::{count, cut, fact, fitted, moment, place, word};
use crate::terminal::{BAD, FAINT, GOOD, HEADING, PLACE, WARN, styled, visible};

/// Lines in conflict that are shown of one file.
const MARKED_MAX: usize = 24;

/// Lines of differences that are shown of one file, and of all.
const PATCH_LINES_OF_ONE: usize = 60;
const PATCH_LINES_MAX: usize = 400;

/// A plan.
pub fn plan(plan: &PlanResult) -> String {
    // What is agreed to stands below what it is about, where a terminal shows it.
    let mut shown = patches(plan);
    shown.push_str(&format!("{} {}\n", styled(HEADING, "Plan:"), summary(plan)));
    shown.push_str(&cut(plan.steps.iter().map(step)));
    if let Some(change) = plan.root.filter(|change| change.before.mode != change.after.mode) {
        let modes = format!("mode {:o} -> {:o}", change.before.mode, change.after.mode);
        shown.push_str(&format!("  {} ./  {modes}\n", styled(WARN, "~")));
    }
    shown.push_str(&state_changes(plan.state_changes.as_ref(), &plan.state_names));
    shown.push_str(&state_kept(&plan.state_kept));
    shown.push_str(&kept(&plan.kept));
    shown.push_str(&conflicts(&plan.conflicts));
    let heading = if plan.is_selective { LATER } else { "Later work of others that would go back too:" };
    shown.push_str(&later(heading, &plan.blast_radius));
    shown.push_str(&moved_heads(&plan.moved_heads));
    shown.push_str(&cut(plan.findings.iter().map(finding)));
    shown.push_str(&fact("Digest", &plan.digest.to_string()));
    shown
}

/// The heading of later work that stays.
const LATER: &str = "Later work of others in the same files:";

fn later(heading: &str, lines: &[String]) -> String {
    if lines.is_empty() {
        return String::new();
    }
    let lines = lines.iter().map(|line| format!("  {}\n", visible(line)));
    format!("{}\n{}", styled(WARN, heading), cut(lines))
}

/// What becomes of the lines of files.
fn patches(plan: &PlanResult) -> String {
    let mut shown = String::new();
    let mut room = PATCH_LINES_MAX;
    let mut left_out = plan.patches_left_out;
    for patch in &plan.patches {
        let Some(text) = patch.patch.as_ref().filter(|_| room > 0) else {
            left_out += u64::from(!patch.binary);
            continue;
        };
        let all = text.lines().count();
        let lines: String = text.split_inclusive('\n').take(PATCH_LINES_OF_ONE.min(room)).collect();
        let fewer = lines.lines().count();
        room -= fewer;
        shown.push_str(&patch_lines(&lines, visible));
        if !lines.ends_with('\n') {
            shown.push('\n');
        }
        if fewer < all {
            shown.push_str(&format!("{}\n", styled(FAINT, &format!("  ... and {} more lines", all - fewer))));
        }
    }
    if left_out > 0 {
        let files = count(left_out, "file");
        shown.push_str(&format!("{}\n", styled(FAINT, &format!("  ... and {files} more that get another content"))));
    }
    if shown.is_empty() { shown } else { format!("{shown}\n") }
}

fn summary(plan: &PlanResult) -> String {
    let steps = &plan.steps;
    if steps.is_empty() {
        let what = match (plan.root.is_some(), plan.state_changes.is_some()) {
            (true, _) => "the workspace's own directory only",
            (false, true) => "the workflow's state only",
            (false, false) => "nothing to do",
        };
        return what.to_owned();
    }
    let kinds = [
        (Action::Create, "create"),
        (Action::Replace, "replace"),
        (Action::Delete, "delete"),
        (Action::MakeDir, "make directory"),
        (Action::RemoveDir, "remove directory"),
        (Action::SetMeta, "set metadata"),
    ];
    let number = |action| steps.iter().filter(|step| step.action == action).count();
    let parts = kinds.iter().map(|(action, name)| (number(*action), name)).filter(|(number, _)| *number > 0);
    let parts: Vec<String> = parts.map(|(number, name)| format!("{name} {number}")).collect();
    parts.join(", ")
}

/// What becomes of the workflow's state.
fn state_changes(changes: Option<&StateChanges>, names: &StateNames) -> String {
    let Some(changes) = changes else { return String::new() };
    let parts = [
        (changes.phases, "phase", named(names.phases.iter().map(PhaseId::as_str), changes.phases)),
        (changes.tasks, "task", named(names.tasks.iter().map(TaskId::as_str), changes.tasks)),
        (changes.agents, "agent", String::new()),
        (changes.allocations, "allocation", String::new()),
    ];
    let mut words: Vec<String> = if changes.workflow { vec!["the workflow itself".to_owned()] } else { vec![] };
    let word = |(number, noun, names): &(u64, &str, String)| format!("{}{names}", count(*number, noun));
    words.extend(parts.iter().filter(|(number, ..)| *number > 0).map(word));
    format!("{}{}", fact("State", &words.join(", ")), completed(&names.completed))
}

/// Tasks that are completed no more, with who has completed them.
fn completed(tasks: &[CompletedTask]) -> String {
    if tasks.is_empty() {
        return String::new();
    }
    let told = |task: &CompletedTask| match &task.by {
        Some(by) => format!("{} by {by}", task.task_id),
        None => task.task_id.to_string(),
    };
    let told: Vec<String> = tasks.iter().map(told).collect();
    let all = named(told.iter().map(String::as_str), told.len() as u64);
    format!("  {}\n", fitted(&format!("no longer completed{all}"), 2))
}

/// Where an undo leaves the state as it is now, or has to make of it what it was never.
fn state_kept(kept: &[StateKept]) -> String {
    if kept.is_empty() {
        return String::new();
    }
    let word = |value: &Value| match value {
        Value::Null => "nothing".to_owned(),
        // A whole part.
        Value::Object(_) => "there".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let line = |kept: &StateKept| {
        let why = match &kept.contradiction {
            Some(why) => format!("{}, since {why}", word(&kept.stays)),
            None => format!("{}, before: {}", word(&kept.stays), word(&kept.before)),
        };
        let why = fitted(&why, 6);
        format!("  {}  {why}\n", styled(PLACE, &fitted(&kept.place, 4)))
    };
    format!("{}\n{}", styled(HEADING, "Of the state stays what was recorded since:"), cut(kept.iter().map(line)))
}

/// The first of so many names, between brackets.
fn named<'n>(names: impl Iterator<Item = &'n str>, all: u64) -> String {
    const SHOWN_MAX: usize = 5;
    let shown: Vec<String> = names.take(SHOWN_MAX).map(visible).collect();
    match all.saturating_sub(shown.len() as u64) {
        _ if shown.is_empty() => String::new(),
        0 => format!(" ({})", shown.join(", ")),
        more => format!(" ({} and {more} more)", shown.join(", ")),
    }
}

fn step(step: &StepSummary) -> String {
    let (style, sign) = match step.action {
        Action::Create | Action::MakeDir => (GOOD, "+"),
        Action::Delete | Action::RemoveDir => (BAD, "-"),
        Action::Replace | Action::SetMeta => (WARN, "~"),
    };
    let slash = if matches!(step.kind, wfr_model::entry::Kind::Dir) { "/" } else { "" };
    let note = note(step);
    format!("  {} {}{slash}{note}\n", styled(style, sign), fitted(&step.path.to_string(), 4 + slash.len() + note.len()))
}

/// What no difference of lines shows: another mode, another target.
fn note(step: &StepSummary) -> String {
    let (Some(before), Some(after)) = (&step.before, &step.after) else { return String::new() };
    match (&before.target, &after.target) {
        (Some(from), Some(to)) if from != to => return format!("  {} -> {}", visible(from), visible(to)),
        _ => {}
    }
    if before.mode != after.mode { format!("  mode {} -> {}", before.mode, after.mode) } else { String::new() }
}

fn kept(kept: &[Kept]) -> String {
    let (gone, left): (Vec<&Kept>, Vec<&Kept>) =
        kept.iter().partition(|kept| matches!(kept.reason, KeptReason::Gone(_)));
    left_alone(&left) + &gone_since(&gone)
}

/// What the checkpoint saw, does not cover, and is not there now.
fn gone_since(gone: &[&Kept]) -> String {
    if gone.is_empty() {
        return String::new();
    }
    let line = |kept: &&Kept| {
        let reason = match kept.reason {
            KeptReason::Gone(reason) => reason.to_string(),
            other => word(&other),
        };
        format!("  {}  {reason}\n", styled(PLACE, &fitted(&kept.path.to_string(), 4 + reason.len())))
    };
    let title = "Was there, is not covered, and is gone: it cannot be brought back from this checkpoint";
    format!("{}\n{}", styled(WARN, title), cut(gone.iter().map(line)))
}

fn left_alone(kept: &[&Kept]) -> String {
    if kept.is_empty() {
        return String::new();
    }
    let line = |kept: &&Kept| {
        let reason = word(&kept.reason);
        format!("  {}  {reason}\n", styled(PLACE, &fitted(&kept.path.to_string(), 4 + reason.len())))
    };
    // What a rule leaves out is no news: it comes last.
    let is_rule = |kept: &&Kept| matches!(kept.reason, KeptReason::Uncovered(reason) if !reason.is_gap());
    let (rules, news): (Vec<&Kept>, Vec<&Kept>) = kept.iter().copied().partition(is_rule);
    let lines: Vec<String> = news.iter().chain(&rules).map(line).collect();
    format!("{}\n{}", styled(HEADING, "Left alone:"), cut(lines.into_iter()))
}

fn conflicts(conflicts: &[Conflict]) -> String {
    if conflicts.is_empty() {
        return String::new();
    }
    format!("{}\n{}", styled(BAD, "In the way:"), cut(conflicts.iter().map(conflict)))
}

/// One conflict, with the lines concerned.
pub fn conflict(conflict: &Conflict) -> String {
    let path = styled(PLACE, &fitted(&conflict.path.to_string(), 4));
    let mut shown = format!("  {path}  {} ({})\n", visible(&conflict.message), visible(&conflict.code));
    if let Some(text) = &conflict.text {
        shown.push_str(&marked(text));
    }
    shown
}

/// The places of a merge that are in conflict, as they stand between their marks.
fn marked(text: &str) -> String {
    let mut shown = String::new();
    let (mut is_within, mut lines) = (false, 0);
    // A carriage return may be all that differs.
    for line in text.strip_suffix('\n').unwrap_or(text).split('\n') {
        is_within |= line.starts_with("<<<<<<<");
        if is_within && lines < MARKED_MAX {
            shown.push_str(&format!("    {}\n", styled(FAINT, &visible(line))));
            lines += 1;
        }
        is_within &= !line.starts_with(">>>>>>>");
    }
    if lines == MARKED_MAX {
        shown.push_str("    ...\n");
    }
    shown
}

/// A restore or an undo: how it ended, or just its plan.
pub fn recovered(result: &Recovered) -> String {
    if let (Some(planned), None) = (&result.plan, &result.recovery_id) {
        return plan(planned);
    }
    let target = result.restored_checkpoint.as_str();
    let verb = match &result.undone {
        Some(undone) => format!("Undid {undone}"),
        None => match result.recovery_status {
            None if result.recovery_successful && result.restored_to.is_none() => "Nothing was to be done".to_owned(),
            Some(RecoveryStatus::Done) if result.rolled_back > 0 && result.changed.is_empty() => {
                format!("Nothing of {} was left to be taken out", count(result.rolled_back, "change"))
            }
            _ if result.rolled_back > 0 => format!("Rolled back {}", count(result.rolled_back, "change")),
            Some(RecoveryStatus::Done) if result.kind == Some(RecoveryKind::Undo) => "Undid nothing".to_owned(),
            Some(RecoveryStatus::TakenBack) => format!("Taken back: {target}"),
            _ if result.kind == Some(RecoveryKind::Rollback) => "Set back the workflow's state".to_owned(),
            Some(RecoveryStatus::Partial) => format!("Partly restored {target}"),
            _ => format!("Restored {target}"),
        },
    };
    let style = if result.recovery_successful { GOOD } else { BAD };
    let to = result.restored_to.as_deref().map_or_else(String::new, |to| format!(" to {}", place(to)));
    let mut shown = format!("{}{to} in {}\n", styled(style, &verb), result.restoration_time);
    if let Some(id) = &result.recovery_id {
        let status = result.recovery_status.map_or_else(String::new, |status| format!(" ({})", state(status)));
        shown.push_str(&fact("Recovery", &format!("{id}{status}")));
    }
    shown.push_str(&super::writers::ended(&result.stopped_writers));
    if let Some(safety) = &result.safety_checkpoint {
        shown.push_str(&fact("Saved before", safety.as_str()));
    }
    if !result.passed_over.is_empty() {
        let ids: Vec<&str> = result.passed_over.iter().map(|id| id.as_str()).collect();
        shown.push_str(&fact("Passed over", &ids.join(", ")));
    }
    let changed = if result.restored_to.is_some() { "Written" } else { "Changed" };
    shown.push_str(&fact(changed, &count(result.changed.len() as u64, "path")));
    shown.push_str(&state_changes(result.state_changes.as_ref(), &StateNames::default()));
    shown.push_str(&state_kept(&result.state_kept));
    let checks = &result.validation_results;
    shown.push_str(&fact("Integrity", &verdict(checks.integrity_check)));
    for (name, check) in [("Dependencies", checks.dependency_validation), ("Pace", checks.performance_check)] {
        if check != wfr_engine::results::Verdict::Skipped {
            shown.push_str(&fact(name, &verdict(check)));
        }
    }
    if checks.functional_check != wfr_engine::results::Verdict::Skipped {
        shown.push_str(&fact("Your check", &verdict(checks.functional_check)));
    }
    shown.push_str(&kept(&result.kept));
    shown.push_str(&failed(&result.failed));
    shown.push_str(&displaced(&result.displaced));
    shown.push_str(&conflicts(&result.conflicts));
    if let Some(hold) = &result.preempted {
        let line = format!("{} ({}), since {}", visible(&hold.holder), visible(&hold.label), moment(hold.since));
        shown.push_str(&fact("Hold taken over", &line));
    }
    shown.push_str(&later(LATER, &result.blast_radius));
    shown.push_str(&cut(result.findings.iter().map(finding)));
    shown
}

fn failed(failed: &[StepReport]) -> String {
    if failed.is_empty() {
        return String::new();
    }
    let line = |report: &StepReport| {
        let why = match &report.end {
            StepEnd::Failed(why) => visible(why),
            end => word(end),
        };
        format!("  {} {}  {why}\n", word(&report.action), place(&report.path.to_string()))
    };
    format!("{}\n{}", styled(BAD, "Failed:"), cut(failed.iter().map(line)))
}

fn displaced(displaced: &[Displaced]) -> String {
    if displaced.is_empty() {
        return String::new();
    }
    let line = |kept: &Displaced| {
        let (from, at) = (place(&kept.path.to_string()), place(&kept.kept_at.to_string()));
        format!("  {from} is at {at}: {}\n", visible(&kept.reason))
    };
    format!("{}\n{}", styled(WARN, "Displaced and kept:"), cut(displaced.iter().map(line)))
}

fn state(status: RecoveryStatus) -> String {
    let style = match status {
        RecoveryStatus::Done => GOOD,
        RecoveryStatus::Started | RecoveryStatus::Partial => WARN,
        RecoveryStatus::Aborted => FAINT,
        RecoveryStatus::TakenBack => BAD,
    };
    styled(style, &word(&status))
}

/// The audit trail.
pub fn list(list: &RecoveryList) -> String {
    let line = |one: &DamagedRecovery| {
        format!("{} {}: {}\n", styled(BAD, "damaged"), visible(&one.recovery_id), visible(&one.why))
    };
    let damaged = cut(list.damaged.iter().map(line));
    if list.recoveries.is_empty() {
        return if damaged.is_empty() { "No recoveries.\n".to_owned() } else { damaged };
    }
    let headings = ["RECOVERY", "KIND", "WORKFLOW", "STATUS", "BEGAN", "CHANGED", "KEPT", "FAILED", "BY", "UNDONE BY"];
    let row = |line: &RecoveryLine| {
        vec![
            line.recovery_id.to_string(),
            word(&line.kind),
            visible(line.workflow_id.as_str()),
            status_of(line),
            moment(line.started_at),
            line.changed.to_string(),
            line.kept.to_string(),
            line.failed.to_string(),
            visible(&line.actor),
            line.undone_by.as_ref().map_or_else(String::new, ToString::to_string),
        ]
    };
    let mut shown =
        table(&headings, list.recoveries.iter().map(row), &["BY", "WORKFLOW", "UNDONE BY", "FAILED", "KEPT"]);
    shown.push_str(&damaged);
    let reports = list.recoveries.iter().filter_map(|line| line.record.as_ref());
    for record in reports {
        let Some(report) = &record.report else { continue };
        shown.push_str(&format!("\n{}\n", styled(HEADING, record.recovery_id.as_str())));
        let line = |step: &StepReport| format!("  {} {}\n", word(&step.action), place(&step.path.to_string()));
        shown.push_str(&cut(report.changed.iter().map(line)));
        shown.push_str(&kept(&report.kept));
        shown.push_str(&failed(&report.failed));
        shown.push_str(&displaced(&report.displaced));
    }
    shown
}

/// Where a recovery stands, with why where nobody called `undo` for that.
fn status_of(line: &RecoveryLine) -> String {
    let status = word(&line.status);
    match line.because.as_deref() {
        Some(cause) => format!("{status} ({})", visible(&cause.replace('_', " "))),
        None => status,
    }
}

/// Repositories whose HEAD moved.
fn moved_heads(moved: &[MovedHead]) -> String {
    let mut shown = String::new();
    for one in moved {
        let path = if one.path.is_root() { ".".to_owned() } else { one.path.to_string() };
        let line = format!(
            "{}: HEAD was {}, is {}; .git is left as it is",
            place(&path),
            visible(&one.before),
            visible(&one.now)
        );
        shown.push_str(&fact("Git", &line));
        shown.push_str(&cut(one.commits.iter().map(|commit| format!("  {}\n", visible(commit)))));
        if let Some(command) = &one.command {
            shown.push_str(&fact("Move back", &visible(command)));
        }
    }
    shown
}

/// What was unfinished.
pub fn resumed(result: &Resumed) -> String {
    if result.resumed.is_empty() && result.aborted.is_empty() {
        return "No recovery is unfinished.\n".to_owned();
    }
    let mut shown = String::new();
    for one in &result.resumed {
        let what = match one.recovery_status {
            RecoveryStatus::TakenBack => "the files are as they were before it".to_owned(),
            _ => format!("{} changed", count(one.changed.len() as u64, "path")),
        };
        shown.push_str(&format!("{}: {}, {what}\n", one.recovery_id, state(one.recovery_status)));
        shown.push_str(&kept(&one.kept));
        shown.push_str(&failed(&one.failed));
        shown.push_str(&displaced(&one.displaced));
    }
    for id in &result.aborted {
        shown.push_str(&format!("{id}: had changed nothing yet, recorded as aborted\n"));
    }
    shown.push_str(&cut(result.findings.iter().map(finding)));
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_conflict_of_line_ends_shows_them() {
        let shown = marked("kept\n<<<<<<< without it\none\r\n=======\none\n>>>>>>> kept work\nkept\n");
        assert_eq!((shown.matches("one\\x0d").count(), shown.matches("one").count()), (1, 2), "{shown}");
    }
}
