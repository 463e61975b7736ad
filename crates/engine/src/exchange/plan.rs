//! A Markdown plan as a document.
//!
//! Owns whose plan it is. Refuses to know Markdown: see [`wfr_model::workflow::markdown`].

use std::path::Path;

use serde_json::Value;
use wfr_model::WorkflowId;
use wfr_model::phase::slug;
use wfr_model::workflow::markdown;

use super::{Reading, Update, text_of};
use crate::error::{Code, Failure};

/// Lines that are named where nothing of a plan is understood.
const LINES_NAMED_MAX: usize = 5;

/// Reads a plan. Its workflow is the one that is named, else the one that its head names, else the file's name.
pub fn read(path: &Path, workflow: Option<WorkflowId>) -> Result<Reading, Failure> {
    let plan = markdown::read(&text_of(path, markdown::PLAN_BYTES_MAX)?);
    if plan.phases.is_empty() && plan.tasks.is_empty() {
        let message = format!("{} has no phases and no tasks", path.display());
        let hint = "a plan has headings such as `## Phase 1: Research` and boxes such as `- [ ] read the sources`";
        let named = plan.ignored.iter().take(LINES_NAMED_MAX).map(|(line, why)| format!("line {line}: {why}"));
        let failure = Failure::new(Code::DocumentInvalid, message).with_details(named.collect::<Vec<_>>().join("; "));
        return Err(failure.with_hint(hint));
    }
    let in_head = ["workflow_id", "workflow"].iter().find_map(|key| plan.metadata.get(*key).and_then(Value::as_str));
    let named = in_head.and_then(|text| text.parse().ok());
    let of_file = || slug(&path.file_stem().unwrap_or_default().to_string_lossy()).parse().ok();
    let workflow = workflow.or(named).or_else(of_file).ok_or_else(|| {
        Failure::new(Code::WrongArguments, "the plan names no workflow").with_hint("name it with `--workflow-id ID`")
    })?;
    let mut reading = Reading::default();
    for (line, why) in &plan.ignored {
        reading.ignore(format!("line {line}"), *why);
    }
    reading.said(workflow).updates.push(Update::Plan(Box::new(plan)));
    Ok(reading)
}
