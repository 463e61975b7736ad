//! Views of the operations on workflows' states.
//!
//! Owns their words. Refuses to print.

use serde_json::Value;
use wfr_engine::results::{
    LeftOut, LostRow, MergePlan, RepairPlan, StateMerge, StateNeed, StateRepair, StateValidation, Verdict,
};
use wfr_model::finding::Severity;
use wfr_model::workflow::merge::MergeConflict;
use wfr_model::workflow::validate::StateFinding;

use super::events::policy;
use super::{count, cut, fact, place, word};
use crate::terminal::{BAD, FAINT, GOOD, HEADING, WARN, styled, visible};

/// What is wrong with a state.
pub fn validation(result: &StateValidation) -> String {
    let (style, verdict) = if result.valid { (GOOD, "Valid") } else { (BAD, "Not valid") };
    let version = format!("version {} of {}", result.state_version, visible(result.workflow_id.as_str()));
    let mut shown = format!("{}: {version}\n", styled(style, verdict));
    let checks = &result.checks;
    let those = [
        ("checksum", checks.checksum),
        ("structural", checks.structural),
        ("semantic", checks.semantic),
        ("cross-reference", checks.cross_reference),
        ("dependencies", checks.dependency_validation),
        ("files", checks.file_integrity),
        ("performance", checks.performance_check),
    ];
    let words: Vec<String> = those.iter().map(|(name, verdict)| format!("{name} {}", said(*verdict))).collect();
    shown.push_str(&fact("Checks", &words.join(", ")));
    shown.push_str(&cut(result.findings.iter().map(finding)));
    shown.push_str(&cut(result.dependencies.iter().map(probed)));
    if let Some(figures) = &result.performance {
        let limit = figures.limit_ms.map_or_else(|| "no limit".to_owned(), |limit| format!("of {limit} ms"));
        let sizes = format!("{}, {}", count(figures.tasks, "task"), count(figures.agents, "agent"));
        shown.push_str(&fact("Took", &format!("{} ms {limit}; {sizes}", figures.duration_ms)));
    }
    shown.push_str(&result.report.as_deref().map_or_else(String::new, |file| fact("Report", &place(file))));
    shown
}

fn said(verdict: Verdict) -> String {
    let style = match verdict {
        Verdict::Passed => GOOD,
        Verdict::Failed => BAD,
        Verdict::Skipped => FAINT,
    };
    styled(style, verdict.as_str())
}

fn finding(finding: &StateFinding) -> String {
    let style = match finding.severity {
        Severity::Info => FAINT,
        Severity::Warning => WARN,
        Severity::Error | Severity::Critical => BAD,
    };
    let name = styled(style, &word(&finding.severity));
    format!("  {name} {}: {} ({})\n", place(&finding.place), visible(&finding.message), visible(&finding.code))
}

/// What a repair leaves, and whether the other strategy mends it.
fn remaining(one: &StateFinding) -> String {
    let is_bold = one.repair.as_ref().is_some_and(|repair| !repair.safe);
    let how = if is_bold { "    `--repair-strategy aggressive` mends it\n" } else { "" };
    format!("{}{how}", finding(one))
}

fn probed(need: &StateNeed) -> String {
    let (one, kind) = (&need.probed, need.probed.kind.replace('_', " "));
    let origins: Vec<&str> = need.declared_in.iter().map(|origin| origin.as_str()).collect();
    let detail = format!("{} (declared in the {})", visible(&one.detail), origins.join(" and the "));
    format!("  {} {kind} {}: {detail}\n", said(one.status), visible(&one.name))
}

/// A state that was mended, or the plan of it.
pub fn repair(result: &StateRepair) -> String {
    let mut shown = match (result.applied, result.plan.fold_again || !result.plan.changes.is_empty()) {
        (true, _) => format!("{} {}\n", styled(GOOD, "Mended"), visible(result.workflow_id.as_str())),
        (false, true) => String::new(),
        (false, false) if result.remaining.is_empty() => format!("{}\n", styled(GOOD, "Nothing to mend.")),
        (false, false) => format!("{}\n", styled(WARN, "Nothing that this strategy mends.")),
    };
    shown.push_str(&repair_plan(&result.plan));
    shown.push_str(&result.backup.as_ref().map_or_else(String::new, |id| fact("Backup", id.as_str())));
    shown.push_str(&result.log.as_deref().map_or_else(String::new, |file| fact("Log", &place(file))));
    if result.validation != Verdict::Skipped {
        shown.push_str(&fact("Validation", &said(result.validation)));
    }
    if !result.remaining.is_empty() {
        shown.push_str(&format!("{}\n{}", styled(HEADING, "Remaining"), cut(result.remaining.iter().map(remaining))));
    }
    shown
}

/// What a repair would do.
pub fn repair_plan(plan: &RepairPlan) -> String {
    let mut shown = String::new();
    if plan.events_back > 0 {
        let back = count(plan.events_back, "event");
        shown.push_str(&format!("{back} come back to the log from checkpoints.\n"));
    }
    if plan.fold_again {
        shown.push_str("The state is folded again from its events.\n");
    }
    shown.push_str(&listed("Set by one event", &plan.changes));
    if !plan.repairs.is_empty() {
        shown.push_str(&format!("{}\n{}", styled(HEADING, "Mended"), cut(plan.repairs.iter().map(finding))));
    }
    if !plan.lost.is_empty() {
        let text =
            |row: &LostRow| if row.text.is_empty() { String::new() } else { format!("    {}\n", visible(&row.text)) };
        let lost = |row: &LostRow| format!("  {}: {}\n{}", place(&row.place), visible(&row.why), text(row));
        shown.push_str(&format!("{}\n{}", styled(BAD, "Lost"), cut(plan.lost.iter().map(lost))));
    }
    shown.push_str(&fact("Digest", &plan.digest.to_string()));
    shown
}

fn listed(heading: &str, places: &[String]) -> String {
    if places.is_empty() {
        return String::new();
    }
    format!("{}\n{}", styled(HEADING, heading), cut(places.iter().map(|at| format!("  {}\n", place(at)))))
}

/// States that became one, or the plan of it.
pub fn merge(result: &StateMerge) -> String {
    let verb = match (result.applied, result.plan.changes.is_empty()) {
        (true, _) => styled(GOOD, "Merged"),
        (false, false) => styled(WARN, "Would merge into"),
        (false, true) => styled(GOOD, "Nothing to merge into"),
    };
    let sources: Vec<String> = result.sources.iter().map(|name| visible(name)).collect();
    let (workflow, plan) = (visible(result.workflow_id.as_str()), merge_plan(&result.plan));
    format!("{verb} {workflow}: {}\n{plan}{}", sources.join(", "), policy(&result.checkpoints))
}

/// What a merge would do.
pub fn merge_plan(plan: &MergePlan) -> String {
    let mut shown = listed("Changes", &plan.changes);
    if !plan.conflicts.is_empty() {
        shown.push_str(&format!("{}\n{}", styled(WARN, "Conflicts"), cut(plan.conflicts.iter().map(conflict))));
    }
    if !plan.left_out.is_empty() {
        let line = |one: &LeftOut| format!("  {}: {}\n", visible(&one.source), visible(&one.what));
        shown.push_str(&format!("{}\n{}", styled(WARN, "Left out"), cut(plan.left_out.iter().map(line))));
    }
    if !plan.findings.is_empty() {
        let heading = styled(HEADING, "What would be wrong with it");
        shown.push_str(&format!("{heading}\n{}", cut(plan.findings.iter().map(finding))));
    }
    shown.push_str(&fact("Digest", &plan.digest.to_string()));
    shown
}

fn conflict(conflict: &MergeConflict) -> String {
    let mut shown = format!("  {}\n", place(&conflict.place));
    if conflict.base != Value::Null {
        shown.push_str(&format!("    ancestor: {}\n", visible(&conflict.base.to_string())));
    }
    for claim in &conflict.claims {
        let wins =
            if conflict.winner.as_ref() == Some(&claim.source) { styled(GOOD, " (wins)") } else { String::new() };
        shown.push_str(&format!("    {}: {}{wins}\n", visible(&claim.source), visible(&claim.value.to_string())));
    }
    shown
}
