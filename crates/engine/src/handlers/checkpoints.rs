//! `create-checkpoint`, `list-checkpoints`, `validate-checkpoint`.
//!
//! Owns their glue. Refuses to know how a checkpoint is taken and verified.

use std::num::NonZeroU32;
use std::time::Instant;

use wfr_catalog::{CheckpointRow, IntegrityLevel, ListQuery, Reference, SortBy as Order};
use wfr_model::checkpoint::{Summary, Trigger, VerificationStatus};
use wfr_model::coverage::Coverage;
use wfr_model::{CheckpointId, Span};

use super::{checkpoint, known, needed, shown, took};
use crate::checkpoint::{self as taking, Created, Request};
use crate::error::{Code, Failure};
use crate::open::Open;
use crate::params::{CreateCheckpoint, Guard, ListCheckpoints, SortBy, ValidateCheckpoint, ValidationLevel};
use crate::response::Success;
use crate::results::{
    CheckpointCreated, CheckpointLine, CheckpointList, CoverageResult, Guarded, LineMetadata, Validation, Verdict,
};
use crate::scanning::Effort;
use crate::session::Session;
use crate::{policy, recovery, verify, view};

/// Coverage in results.
pub(super) fn coverage_result(coverage: Coverage, with_paths: bool) -> CoverageResult {
    CoverageResult {
        skipped: coverage.sums(),
        complete: coverage.is_complete(),
        paths: if with_paths { coverage.skips } else { vec![] },
    }
}

/// Takes a checkpoint.
pub fn create(session: &mut Session, parameters: CreateCheckpoint) -> Result<Success<CheckpointCreated>, Failure> {
    let begun = Instant::now();
    let mut request = request(session, &parameters)?;
    let open = session.open()?;
    recovery::finish_unfinished(session, &open)?;
    request.phase = policy::phase_meant(&open, &request.workflow, request.phase)?;
    let deadline = parameters.deadline.and_then(Span::duration).map(|length| begun + length);
    let created = taking::create(
        &open,
        &request,
        session,
        Effort { deadline, paranoid: false, accept_exclusions: parameters.accept_exclusions },
    )?;
    let integrity = if parameters.validate_integrity {
        let row = open.catalog.resolve(None, created.manifest.checkpoint_id.as_str())?;
        let report = verify::verify(&open, &open.store()?, &row, ValidationLevel::Standard, session)?;
        verify::note(&open, &row, (&report, ValidationLevel::Standard), session.now())?;
        Verdict::of(report.damages.is_empty())
    } else {
        Verdict::Skipped
    };
    let is_complete = created.coverage.is_complete();
    let gaps = gaps(&created.coverage);
    let kept = created.coverage.kept.clone();
    let mut success = Success::new(created_result(created, integrity, begun)).about(&request.workflow);
    if let Some(first) = kept.first() {
        success = success.with_next_step(format!(
            "a rule would leave out `{first}` ({} in all), which was captured before: it is still captured; \
             `--accept-exclusions` agrees to the rule",
            kept.len()
        ));
    }
    match gaps {
        _ if !is_complete => {
            success = success.with_next_step("the checkpoint is incomplete: `wfr show` says what is missing");
        }
        Some(gaps) => success = success.with_next_step(gaps),
        None => {}
    }
    let damaged = Failure::new(Code::CheckpointIntegrity, "the new checkpoint failed validation");
    Ok(success.with_verdict((integrity == Verdict::Failed).then_some(damaged)))
}

/// The single files that could not be taken, in a sentence.
fn gaps(coverage: &Coverage) -> Option<String> {
    let first = coverage.gaps().next()?;
    let (path, reason, count) = (&first.path, first.reason, coverage.gaps().count());
    Some(format!("`{path}` was not taken ({count} in all): {reason}; a restore leaves it as it is"))
}

fn created_result(created: Created, integrity: Verdict, begun: Instant) -> CheckpointCreated {
    let manifest = created.manifest;
    let state = manifest.file_system_state;
    CheckpointCreated {
        checkpoint_id: manifest.checkpoint_id,
        name: manifest.name,
        checkpoint_type: manifest.checkpoint_type,
        trigger: manifest.trigger,
        created_at: manifest.created_at,
        tree: state.as_ref().map(|state| state.tree),
        files: state.map(|state| state.files).unwrap_or_default(),
        coverage: coverage_result(created.coverage, true),
        size_bytes: manifest.metadata.size_bytes,
        tags: manifest.metadata.tags,
        retention_policy: manifest.metadata.retention_policy,
        integrity_check: integrity,
        duration: took(begun),
    }
}

/// Takes the checkpoint before a command that may do harm; the command is the front end's to run.
pub fn guard(session: &mut Session, parameters: Guard) -> Result<Success<Guarded>, Failure> {
    let Guard { workflow_id, name, tags, phase, command } = parameters;
    if command.is_empty() {
        let message = "`guard` needs a command behind a `--`";
        return Err(
            Failure::new(Code::WrongArguments, message).with_hint("call it as `wfr guard [WORKFLOW] -- COMMAND`")
        );
    }
    let open = session.open()?;
    let workflow = match workflow_id {
        // The first workflow of all may be named here; beside others, a name that is not known is a slip.
        Some(workflow) if open.catalog.workflows()?.is_empty() => workflow,
        Some(workflow) => known(&open, workflow)?,
        None => open.catalog.active_workflow()?.ok_or_else(|| {
            Failure::new(Code::WrongArguments, "no event has told yet which workflow is at work")
                .with_hint("name it: `wfr guard WORKFLOW -- COMMAND`; `wfr workflows` lists those that are known")
        })?,
    };
    let asked = CreateCheckpoint {
        workflow_id: Some(workflow.clone()),
        trigger: Some(Trigger::PreCritical),
        name,
        tags,
        phase,
        ..CreateCheckpoint::default()
    };
    let mut request = request(session, &asked)?;
    request.phase = policy::phase_meant(&open, &workflow, request.phase)?;
    let created = policy::before_critical(session, &open, &request)?;
    let not_covered = created.as_ref().map_or(0, |created| created.coverage.gaps().count());
    let manifest = created.map(|created| created.manifest);
    let result = Guarded {
        checkpoint_id: manifest.as_ref().map(|manifest| manifest.checkpoint_id.clone()),
        name: manifest.map(|manifest| manifest.name),
        not_covered: not_covered as u64,
        command,
    };
    Ok(Success::new(result).about(&workflow))
}

/// What `diff` calls the workspace as it is.
const WORKING_TREE: &str = "tree";

fn request(session: &Session, parameters: &CreateCheckpoint) -> Result<Request, Failure> {
    if let Some(name) = &parameters.name {
        wfr_model::ids::check_name(name, "checkpoint name")
            .map_err(|error| Failure::new(Code::InvalidParameter, error.to_string()))?;
        if Reference::is_reserved(name) || name == WORKING_TREE {
            let message = format!("`{name}` means something else as a reference");
            return Err(Failure::new(Code::InvalidParameter, message).with_hint("choose another name"));
        }
    }
    let workflow = needed(parameters.workflow_id.clone(), "workflow_id")?;
    let phase = parameters.phase()?;
    let refused = [
        (workflow.as_str().parse::<CheckpointId>().is_ok(), "the workflow's name is a checkpoint's id"),
        (phase.0.is_some_and(|number| number < 0), "a phase's number is 0 or greater"),
        (parameters.tags.iter().any(|tag| tag.trim().is_empty()), "a tag is empty"),
        (
            parameters.retention_policy.and_then(Span::duration).is_some_and(|length| length.is_zero()),
            "a checkpoint that is kept for no time would not be one",
        ),
    ];
    if let Some((_, message)) = refused.iter().find(|(is_refused, _)| *is_refused) {
        return Err(Failure::new(Code::InvalidParameter, *message));
    }
    Ok(Request {
        operation: Some(session.ids.operation()),
        trigger: parameters.trigger,
        name: parameters.name.clone(),
        tags: parameters.tags.clone(),
        phase,
        retention: parameters.retention_policy.map(|span| span.to_string()),
        with_files: parameters.include_file_backups.0,
        ..Request::new(workflow, parameters.checkpoint_type, &session.actor)
    })
}

/// Lists checkpoints.
pub fn list(session: &mut Session, parameters: ListCheckpoints) -> Result<Success<CheckpointList>, Failure> {
    let open = session.open()?;
    let workflow = parameters.workflow_id.clone().map(|workflow| known(&open, workflow)).transpose()?;
    let query = ListQuery {
        workflow: workflow.clone(),
        types: parameters.filter_by_type.0.clone(),
        tags: parameters.tags.clone(),
        since: parameters.since,
        until: parameters.until,
        limit: parameters.limit.map(NonZeroU32::get),
        sort_by: match parameters.sort_by {
            SortBy::CreationTime => Order::CreationTime,
            SortBy::Name => Order::Name,
            SortBy::Size => Order::Size,
            SortBy::Type => Order::Type,
        },
        descending: parameters.descending,
        include_deleted: false,
    };
    let integrity = parameters.include_integrity_status;
    let checkpoints: Vec<CheckpointLine> = if parameters.include_metadata {
        let rows = open.catalog.list(&query)?.into_iter();
        rows.map(|row| line(Some(metadata(&row)), row.into(), integrity)).collect()
    } else {
        open.catalog.summaries(&query, |summary| line(None, summary, integrity))?
    };
    let total = if parameters.limit.is_some() { open.catalog.count(&query)? } else { checkpoints.len() as u64 };
    Ok(Success { workflow_id: workflow, ..Success::new(CheckpointList { checkpoints, total }) })
}

fn metadata(row: &CheckpointRow) -> LineMetadata {
    LineMetadata {
        size_bytes: row.size_bytes,
        retention_policy: row.retention.clone(),
        tree: row.tree,
        manifest: row.manifest,
        predecessor: row.predecessor.clone(),
        recovered: row.recovered,
    }
}

fn line(metadata: Option<LineMetadata>, mut summary: Summary, integrity: bool) -> CheckpointLine {
    if !integrity {
        summary.verification_status = None;
        summary.validation_timestamp = None;
    }
    CheckpointLine { summary, metadata }
}

/// Why a checkpoint is not valid. `left` objects are damaged, or it is known to be so from before.
fn invalid(row: &CheckpointRow, is_known_only: bool, left: u64, chain: Verdict) -> Failure {
    let message = match (left, chain) {
        _ if is_known_only => format!(
            "checkpoint `{}` is known to be damaged, and this level does not read all that may be: \
             `--validation-level comprehensive` does",
            row.name
        ),
        (0, Verdict::Failed) => {
            format!("checkpoint `{}` contradicts the chain of checkpoints, or the catalog", row.name)
        }
        (left, _) => format!("checkpoint `{}` cannot be restored whole: {left} objects are damaged", row.name),
    };
    let failure = Failure::new(Code::CheckpointIntegrity, message);
    if left > 0 || chain != Verdict::Failed {
        return failure;
    }
    failure.with_hint(
        "its objects are whole: run `wfr doctor --rebuild-catalog`, which reads the catalog again from the packs, or use \
         another checkpoint",
    )
}

/// The key of how long that may take.
const VALIDATION_TIMEOUT: &str = "recovery_configuration.validation_settings.timeout_limits.validation_timeout";

/// Refuses a catalog's file that is damaged: a restore needs more of it than the checkpoint itself.
fn check_catalog(open: &Open) -> Result<(), Failure> {
    let problems = open.catalog.integrity_check(IntegrityLevel::Quick)?;
    let failure = |problem: &String| Failure::new(Code::CatalogDamaged, "the catalog is damaged").with_details(problem);
    problems.first().map_or(Ok(()), |problem| Err(failure(problem)))
}

/// Checks a checkpoint.
pub fn validate(session: &mut Session, parameters: ValidateCheckpoint) -> Result<Success<Validation>, Failure> {
    let begun = Instant::now();
    let open = session.open()?;
    let row = checkpoint(&open, parameters.workflow_id, parameters.checkpoint)?;
    // What is to be mended must be found first, and what is known to be damaged may be anywhere.
    let is_mended = parameters.repair_if_possible && row.is_damaged();
    let level = if is_mended { ValidationLevel::Comprehensive } else { parameters.validation_level };
    let limit = open.config.recovery_configuration.validation_settings.timeout_limits.validation_timeout;
    let deadline = limit.duration().and_then(|limit| begun.checked_add(limit));
    if level == ValidationLevel::Comprehensive {
        check_catalog(&open)?;
    }
    let look = || {
        verify::verify_until(&open, &open.store()?, &row, (level, deadline), session).map_err(|failure| match failure.code {
            Code::TimeLimit => failure.with_hint(format!(
                "`wfr config {VALIDATION_TIMEOUT} 1h` gives it more time (it is {limit}), and a lower `--validation-level` \
                 looks at less"
            )),
            _ => failure,
        })
    };
    let mut report = look()?;
    let found = report.damages.len() as u64;
    let mut damages = report.damages.clone();
    let mut repaired = 0;
    if parameters.repair_if_possible && found > 0 {
        recovery::finish_unfinished(session, &open)?;
        repaired = verify::repair(&open, &report.damages)?.len() as u64;
        report = look()?;
        for damage in &mut damages {
            damage.repaired = !report.damages.iter().any(|left| left.object == damage.object);
        }
    }
    let status = verify::note(&open, &row, (&report, level), session.now())?;
    let is_known_only = status != report.status();
    let mut result = Validation {
        checkpoint_id: row.checkpoint_id.clone(),
        name: row.name.clone(),
        validation_level: level,
        verification_status: status,
        integrity_check: Verdict::of(report.damages.is_empty() && !is_known_only),
        chain_check: report.chain,
        dependency_validation: Verdict::Skipped,
        objects: report.objects,
        objects_read: report.read,
        bytes_read: report.bytes,
        damaged: found,
        repaired,
        damages,
        report: None,
        duration: took(begun),
    };
    let value = serde_json::to_value(&result).unwrap_or_default();
    let (place, about) = ("state_validation/integrity_checks", row.checkpoint_id.as_str());
    let written = view::add_report(open.root(), place, about, session.now(), &value);
    result.report = written.ok().map(|path| shown(&path));
    if !parameters.report_details {
        result.damages.clear();
    }
    let left = found - repaired;
    let verdict = (status != VerificationStatus::Valid).then(|| invalid(&row, is_known_only, left, report.chain));
    let mut success = Success::new(result).about(&row.workflow_id).with_verdict(verdict);
    if let Some(lost) = &report.gap {
        success = success.with_next_step(format!(
            "the manifest of checkpoint {lost}, before this one in the chain, is lost: that nothing was taken out there \
             cannot be shown; put its pack back from a copy"
        ));
    }
    Ok(success)
}
