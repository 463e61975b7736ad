//! `validate-state`.
//!
//! Owns its glue: the checks beside the state itself, and the report. Refuses to judge a state: see
//! [`crate::soundness`].

use std::time::{Duration, Instant};

use serde_json::json;
use wfr_catalog::ListQuery;
use wfr_model::finding::Severity;
use wfr_model::workflow::Whole;
use wfr_model::workflow::validate::{Layer, Mend, Repair, StateFinding, is_valid};
use wfr_model::{CheckpointId, TreePath, WorkflowId};

use super::exchange::no_state;
use super::{known, shown};
use crate::dependencies;
use crate::error::{Code, Failure};
use crate::open::Open;
use crate::params::{ValidateState, ValidationDepth, ValidationLevel};
use crate::response::Success;
use crate::results::{Damage, StateChecks, StateFigures, StateNeed, StateValidation, Verdict};
use crate::session::Session;
use crate::soundness::{self, Sight, look};
use crate::{ledger, verify, view};

/// How long a validation looks for what a workflow needs.
const PROBES_MAX: Duration = Duration::from_secs(5);

/// Damaged paths are named one by one up to so many.
const DAMAGES_MAX: usize = 50;

/// Looks whether a state can be relied on.
pub(super) fn validate(session: &mut Session, parameters: ValidateState) -> Result<Success<StateValidation>, Failure> {
    let begun = Instant::now();
    let open = session.open()?;
    let workflow = one_workflow(&open, parameters.workflow_id.clone())?;
    let depth = parameters.validation_depth.unwrap_or(ValidationDepth::Standard);
    let sight = look(&open, session, &workflow, depth)?;
    let Some(state) = sight.judged() else { return Err(no_state(&open, &workflow)) };
    let mut checks = layers(&sight, depth);
    let mut probed = Vec::new();
    if parameters.check_dependencies {
        probed = probe(&open, session, state, depth);
        checks.dependency_validation = all_passed(&probed);
    }
    let mut of_files = Vec::new();
    if parameters.verify_file_integrity {
        (checks.file_integrity, of_files) = newest_is_whole(session, &open, &workflow)?;
    }
    let of_ledger = if depth == ValidationDepth::Comprehensive { ledger_gaps(&open)? } else { vec![] };
    let (took, limit) = (begun.elapsed(), limit(&open));
    let figures = figures(state, &sight, took, limit);
    if parameters.performance_check {
        checks.performance_check = Verdict::of(limit.is_none_or(|limit| took <= limit));
    }
    let damage = of_files.first().cloned();
    let is_failed = [checks.dependency_validation, checks.file_integrity].contains(&Verdict::Failed);
    probed.retain(|one| parameters.report_details || one.probed.status != Verdict::Passed);
    let mut result = StateValidation {
        workflow_id: workflow.clone(),
        state_version: state.head.state_version,
        validation_depth: depth,
        valid: sight.is_valid() && !is_failed && of_ledger.is_empty(),
        checks,
        findings: [sight.findings, of_files, of_ledger].concat(),
        dependencies: probed,
        performance: parameters.performance_check.then_some(figures),
        report: None,
    };
    let report = json!({"validated_at": session.now(), "validation": &result});
    let written = view::add_report(
        open.root(),
        "state_validation/consistency_reports",
        workflow.as_str(),
        session.now(),
        &report,
    );
    result.report = written.ok().as_deref().map(shown);
    let verdict = verdict(&result, damage.as_ref());
    Ok(Success::new(result).about(&workflow).with_verdict(verdict))
}

/// Where the ledger does not give the trees that were seen: somebody's work is not in it, or in it and was not done.
fn ledger_gaps(open: &Open) -> Result<Vec<StateFinding>, Failure> {
    let closure = ledger::closure::look(open, &open.store()?)?;
    let gap = |place: String, message: String| StateFinding {
        code: "LEDGER_GAP".to_owned(),
        layer: Layer::CrossReference,
        place,
        severity: Severity::Error,
        message,
        repair: None,
    };
    let at = |path: &TreePath| {
        let message = "what the ledger says of it does not lead to what was found there later".to_owned();
        gap(format!("ledger/{path}"), message)
    };
    let mut findings: Vec<StateFinding> = closure.gaps.iter().take(DAMAGES_MAX).map(at).collect();
    if let more @ 1.. = closure.gaps.len().saturating_sub(DAMAGES_MAX) {
        findings.push(gap("ledger".to_owned(), format!("{more} more paths are so")));
    }
    Ok(findings)
}

/// The workflow that is named, else the only one. One that is not registered is known by what is there of it.
pub(super) fn one_workflow(open: &Open, named: Option<WorkflowId>) -> Result<WorkflowId, Failure> {
    match named {
        Some(workflow) if open.catalog.has_traces(&workflow)? => return Ok(workflow),
        Some(workflow) => return known(open, workflow),
        None => {}
    }
    let all = open.catalog.workflows()?;
    if let [one] = all.as_slice() {
        return Ok(one.workflow_id.clone());
    }
    let names: Vec<&str> = all.iter().map(|row| row.workflow_id.as_str()).take(10).collect();
    let failure = Failure::new(Code::WrongArguments, "the workflow is not named");
    Err(if names.is_empty() {
        failure.with_hint("no workflow is known: publish an event of one, or `wfr import` its state")
    } else {
        failure.with_hint(format!("it may be {}", names.join(", ")))
    })
}

/// What each layer said.
fn layers(sight: &Sight, depth: ValidationDepth) -> StateChecks {
    let of = |layer| {
        let those: Vec<_> = sight.findings.iter().filter(|finding| finding.layer == layer).cloned().collect();
        Verdict::of(is_valid(&those))
    };
    let looks = depth != ValidationDepth::Basic;
    StateChecks {
        checksum: of(Layer::Checksum),
        structural: of(Layer::Structural),
        semantic: if looks { of(Layer::Semantic) } else { Verdict::Skipped },
        cross_reference: if looks { of(Layer::CrossReference) } else { Verdict::Skipped },
        ..StateChecks::default()
    }
}

/// Looks for what the configuration declares for all, and what the state declares.
fn probe(open: &Open, session: &Session, state: &Whole, depth: ValidationDepth) -> Vec<StateNeed> {
    let needs = dependencies::of_both(&open.config, &state.head.dependencies);
    let (declared, origins): (Vec<_>, Vec<_>) = needs.into_iter().unzip();
    let limits = (depth == ValidationDepth::Comprehensive, PROBES_MAX);
    let probed = dependencies::start(open.root(), session, Some(state), declared, limits).finish();
    probed.into_iter().zip(origins).map(|(probed, declared_in)| StateNeed { probed, declared_in }).collect()
}

/// Whether all that could be looked for is there.
fn all_passed(needs: &[StateNeed]) -> Verdict {
    let looked = needs.iter().map(|one| one.probed.status).filter(|status| *status != Verdict::Skipped);
    match (looked.clone().count(), looked.into_iter().all(|status| status == Verdict::Passed)) {
        (0, _) => Verdict::Skipped,
        (_, is_well) => Verdict::of(is_well),
    }
}

/// Whether the newest checkpoint is whole, and what of it is not. However deep the state is looked at, every byte of it is read:
/// whoever asks for that is told nothing by less.
fn newest_is_whole(
    session: &Session,
    open: &Open,
    workflow: &WorkflowId,
) -> Result<(Verdict, Vec<StateFinding>), Failure> {
    let query = ListQuery { workflow: Some(workflow.clone()), ..ListQuery::default() };
    let Some(newest) = open.catalog.list(&query)?.into_iter().max_by_key(|row| row.seq) else {
        return Ok((Verdict::Skipped, vec![]));
    };
    let report = verify::verify(open, &open.store()?, &newest, ValidationLevel::Comprehensive, session)?;
    let findings = of_checkpoint(&newest.checkpoint_id, &report);
    Ok((Verdict::of(findings.is_empty()), findings))
}

/// What is wrong with a checkpoint, damaged paths one by one up to some.
fn of_checkpoint(checkpoint: &CheckpointId, report: &verify::Report) -> Vec<StateFinding> {
    let found = |code: &str, below: String, message: String| StateFinding {
        code: code.to_owned(),
        layer: Layer::Checksum,
        place: format!("checkpoints/{checkpoint}{below}"),
        severity: Severity::Error,
        message,
        repair: Repair::safe(Mend::StoreAgain { checkpoint_id: checkpoint.clone() }),
    };
    let of_object = |damage: &Damage| {
        let below = if damage.path.is_root() { String::new() } else { format!("/{}", damage.path) };
        found("CHECKPOINT_DAMAGED", below, format!("a {} that it needs: {}", damage.kind, damage.message))
    };
    let mut findings: Vec<StateFinding> = report.damages.iter().take(DAMAGES_MAX).map(of_object).collect();
    if let more @ 1.. = report.damages.len().saturating_sub(DAMAGES_MAX) {
        findings.push(found("CHECKPOINT_DAMAGED", String::new(), format!("{more} more objects are damaged")));
    }
    let is_chain_broken = report.is_forged || report.chain == Verdict::Failed;
    if is_chain_broken {
        let message = "its manifest does not fit the catalog, or the checkpoint before it".to_owned();
        findings.push(StateFinding { repair: None, ..found("CHAIN_BROKEN", String::new(), message) });
    }
    findings
}

/// How long a validation may take; `None` where there is no limit.
fn limit(open: &Open) -> Option<Duration> {
    open.config.recovery_configuration.validation_settings.timeout_limits.validation_timeout.duration()
}

fn figures(state: &Whole, sight: &Sight, took: Duration, limit: Option<Duration>) -> StateFigures {
    StateFigures {
        duration_ms: took.as_millis() as u64,
        limit_ms: limit.map(|length| length.as_millis() as u64),
        events: sight.log.as_ref().map(|log| log.events),
        phases: state.phases.len() as u64,
        tasks: state.tasks.len() as u64,
        agents: state.agents.len() as u64,
        allocations: state.allocations.len() as u64,
    }
}

fn verdict(result: &StateValidation, damage: Option<&StateFinding>) -> Option<Failure> {
    if result.valid {
        return None;
    }
    let errors = result.findings.iter().filter(|finding| finding.severity >= Severity::Error);
    let (of_files, errors): (Vec<_>, Vec<_>) = errors.partition(|finding| finding.place.starts_with("checkpoints/"));
    let (of_catalog, errors): (Vec<_>, Vec<_>) =
        errors.into_iter().partition(|finding| finding.code == soundness::CATALOG_DAMAGED);
    let (workflow, errors) = (&result.workflow_id, errors.len());
    if let Some(damage) = of_catalog.first().filter(|_| errors == 0 && of_files.is_empty()) {
        let message = format!("the catalog is damaged, and the state of `{workflow}` is whole: {}", damage.message);
        return Some(Failure::new(Code::CatalogDamaged, message));
    }
    if let Some(damage) = damage.filter(|_| errors == 0 && !of_files.is_empty()) {
        let message = format!("the newest checkpoint of `{workflow}` is damaged: {}", damage.place);
        let id = damage.place.split('/').nth(1).unwrap_or("latest");
        let hint = format!("run `wfr validate-checkpoint {id} --validation-level comprehensive --repair-if-possible`");
        return Some(Failure::new(Code::StateInvalid, message).with_hint(hint));
    }
    if errors == 0 {
        let failure = Failure::new(Code::StateInvalid, format!("what workflow `{workflow}` needs is not all there"));
        return Some(failure.with_hint("see `dependencies` and `checks` in the result"));
    }
    let plural = if errors == 1 { "" } else { "s" };
    let failure = Failure::new(Code::StateInvalid, format!("the state of `{workflow}` has {errors} error{plural}"));
    let failure = failure.with_hint(format!("run `wfr repair-state {workflow} --plan` to see what would mend it"));
    Some(match of_catalog.first() {
        Some(_) => failure.with_option("the catalog is damaged, too: `wfr doctor --rebuild-catalog` makes it anew"),
        None => failure,
    })
}
