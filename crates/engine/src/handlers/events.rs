//! What `doctor` says of the log of events, and of the states that are folded from it.
//!
//! Owns its findings. Refuses to mend: `repair-state` does.

use std::collections::{BTreeMap, BTreeSet};

use wfr_catalog::{EventQuery, EventSeq, Places};
use wfr_model::WorkflowId;
use wfr_model::finding::{Finding, Severity};
use wfr_model::workflow::validate::{Mend, StateFinding};

use super::care::named;
use crate::error::Failure;
use crate::missing::{self, Altered, Missing};
use crate::open::Open;
use crate::params::ValidationDepth;
use crate::session::Session;
use crate::soundness;
use crate::state;

/// Looks at every event's row: whether it can be read, whether one is missing, and whether checkpoints hold it.
pub(super) fn check(open: &Open, findings: &mut Vec<Finding>) -> Result<(), Failure> {
    let mut damaged = BTreeSet::new();
    open.catalog.each_kept_event(&EventQuery::default(), |row| {
        damaged.extend(row.err().and_then(|row| row.seq()));
        Ok(())
    })?;
    let missing = missing::look(open, None, &damaged)?;
    let (of_workflows, others) = by_workflow(&missing);
    let mut eventless = Vec::new();
    for workflow in open.catalog.eventless_workflows()? {
        // Where nothing was ever said of one, no event is missing.
        if !state::is_unsaid(&open.catalog, &workflow)? {
            eventless.push(workflow);
        }
    }
    findings.extend(of_workflows.iter().map(|(workflow, count)| come_back(workflow, *count, &eventless)));
    if others > 0 {
        let message = format!("events of no workflow are missing: {others}, which checkpoints hold");
        findings.push(Finding::new("EVENTS_MISSING", Severity::Error, message, REBUILD));
    }
    let lost = eventless.iter().filter(|workflow| !of_workflows.contains_key(workflow));
    findings.extend(lost.map(lost_all));
    missing.events.iter().for_each(|one| {
        damaged.remove(&one.seq);
    });
    findings.extend(unreadable(&damaged));
    findings.extend(gone(&missing.gone));
    findings.extend(altered(&missing::altered(open, None)?));
    Ok(())
}

/// Events that are others than the checkpoints that sealed them say.
fn altered(found: &[Altered]) -> Option<Finding> {
    let names: Vec<String> = found.iter().map(|one| one.stands.place.clone()).collect();
    let message = format!("events that are not what checkpoints sealed: {} ({} in all)", named(&names), names.len());
    (!names.is_empty()).then(|| Finding::new("EVENT_ALTERED", Severity::Error, message, REBUILD))
}

/// Looks at every row that is kept of states: whether it can be used, whether a state is there for the events, and whether it
/// is what they give.
pub(super) fn check_states(session: &Session, open: &Open, findings: &mut Vec<Finding>) -> Result<(), Failure> {
    findings.extend(open.catalog.unregistered_workflows()?.iter().map(|workflow| {
        let message =
            format!("workflow `{workflow}` is not among those that are known, and what is kept of it is there");
        let fix = format!("run `wfr repair-state {workflow}`: it is entered again");
        Finding::new("WORKFLOW_UNREGISTERED", Severity::Error, message, fix)
    }));
    for row in open.catalog.workflows()? {
        let workflow = &row.workflow_id;
        let kept = open.catalog.kept_state(workflow)?;
        let fix = format!("run `wfr repair-state {workflow}`: it is folded again from its events");
        if let count @ 1.. = kept.damaged.len() {
            let places: Vec<String> = kept.damaged.iter().map(|row| row.place.clone()).collect();
            let message = format!(
                "what is kept of the state of `{workflow}` cannot be used at {} ({count} in all)",
                named(&places)
            );
            findings.push(Finding::new("ROW_DAMAGED", Severity::Error, message, fix));
        } else if kept.whole.is_none() && has_events(open, workflow)? {
            let message = format!("events of workflow `{workflow}` are there and no state");
            findings.push(Finding::new("STATE_MISSING", Severity::Error, message, fix));
        } else {
            findings.extend(differing(session, open, workflow)?);
        }
    }
    Ok(())
}

/// A state whose rows can be used and that is not what its events give, or not what it counts.
fn differing(session: &Session, open: &Open, workflow: &WorkflowId) -> Result<Option<Finding>, Failure> {
    let is_derived = |finding: &StateFinding| {
        let mend = finding.repair.as_ref().map(|repair| &repair.mend);
        finding.severity >= Severity::Error && mend == Some(&Mend::FoldAgain)
    };
    let found = soundness::look(open, session, workflow, ValidationDepth::Standard)?.findings;
    let places: Vec<String> = found.into_iter().filter(is_derived).map(|finding| finding.place).collect();
    if places.is_empty() {
        return Ok(None);
    }
    let message = format!("the state of `{workflow}` is not what its events give, at {}", named(&places));
    let fix = format!("run `wfr repair-state {workflow}`: it is folded again from its events");
    Ok(Some(Finding::new("STATE_DIFFERS", Severity::Error, message, fix)))
}

fn has_events(open: &Open, workflow: &WorkflowId) -> Result<bool, Failure> {
    let first = EventQuery { workflow: Some(workflow.clone()), limit: Some(1), ..EventQuery::default() };
    let mut has_any = false;
    open.catalog.each_kept_event(&first, |_| {
        has_any = true;
        Ok(())
    })?;
    Ok(has_any)
}

const REBUILD: &str = "run `wfr doctor --rebuild-catalog`: it reads them again from the packs";

/// How many events of each workflow can come back, and how many that are of none.
fn by_workflow(missing: &Missing) -> (BTreeMap<&WorkflowId, u64>, u64) {
    let (mut counts, mut others) = (BTreeMap::new(), 0);
    for one in &missing.events {
        match &one.event.workflow_id {
            Some(workflow) => *counts.entry(workflow).or_default() += 1,
            None => others += 1,
        }
    }
    (counts, others)
}

fn come_back(workflow: &WorkflowId, count: u64, eventless: &[WorkflowId]) -> Finding {
    let all = if eventless.contains(workflow) { "all events" } else { "events" };
    let message = format!("{all} of workflow `{workflow}` are missing: checkpoints hold {count} of them");
    Finding::new("EVENTS_MISSING", Severity::Error, message, format!("run `wfr repair-state {workflow}`"))
}

fn lost_all(workflow: &WorkflowId) -> Finding {
    let message = format!("events of workflow `{workflow}` are missing: checkpoints have its state, no event is there");
    let fix =
        format!("`wfr restore {workflow} CHECKPOINT` brings a checkpoint's state back, `wfr import` an archive's log");
    Finding::new("EVENTS_LOST", Severity::Warning, message, fix)
}

/// Events that cannot be read and that no checkpoint holds.
fn unreadable(damaged: &BTreeSet<EventSeq>) -> Option<Finding> {
    let names: Vec<String> = damaged.iter().map(|seq| format!("events/{}", seq.0)).collect();
    let message = format!("events that cannot be read: {} ({} in all)", named(&names), names.len());
    let fix = "`wfr validate-state WORKFLOW` says whether the state outlived them";
    (!names.is_empty()).then(|| Finding::new("EVENT_DAMAGED", Severity::Warning, message, fix))
}

/// Places of the log that have no event and that no checkpoint covers.
fn gone(places: &[Places]) -> Option<Finding> {
    let name = |gap: &Places| match (gap.start().0, gap.end().0) {
        (start, end) if start == end => format!("{start}"),
        (start, end) => format!("{start} to {end}"),
    };
    let names: Vec<String> = places.iter().map(name).collect();
    let many = |gap: &Places| i128::from(gap.end().0) - i128::from(gap.start().0) + 1;
    let count: i128 = places.iter().map(many).sum();
    let message = format!("the log has no events at {}: {count} in all, and no checkpoint holds them", named(&names));
    let fix = "`wfr validate-state WORKFLOW --validation-depth comprehensive` says whether its state outlived them";
    (!names.is_empty()).then(|| Finding::new("EVENTS_GAP", Severity::Warning, message, fix))
}
