//! `restore`: a checkpoint's tree and state, whole, in part, change by change, or merged with the present.
//!
//! Owns what is checked first, and which parameters say something in which mode. Refuses to plan: that is
//! [`crate::recovery`].

use std::time::{Duration, Instant};

use serde_json::Value;
use wfr_catalog::CheckpointRow;
use wfr_model::WorkflowId;
use wfr_model::config::DependencyValidation;
use wfr_model::finding::{Finding, Severity};
use wfr_model::recovery::RecoveryKind;

use super::checking::{Checked, check_target};
use super::fencing::Fence;
use super::recoveries::{Asked, run};
use super::{beside, care, checkpoint, choice, partial, rollback, time_left};
use crate::dependencies::{self, Validated};
use crate::error::{Code, Failure};
use crate::open::Open;
use crate::params::{
    Dependents, On, OnDamage, PreservationRules, Resolution, RestorationMode, Restore, Rollback, RollbackScope,
    contradiction, patience,
};
use crate::pathspec::PathSpecs;
use crate::picking;
use crate::recovery::fencing::Meant;
use crate::recovery::joining::Joining;
use crate::recovery::selective::Selection;
use crate::recovery::{FunctionalCheck, Order, Parts};
use crate::response::Success;
use crate::results::{Recovered, Unmet, Verdict};
use crate::session::Session;

/// Brings the workspace back to a checkpoint.
pub fn restore(session: &mut Session, parameters: Restore) -> Result<Success<Recovered>, Failure> {
    session.with_reserve(|session| try_restore(session, parameters.clone()))
}

fn try_restore(session: &mut Session, parameters: Restore) -> Result<Success<Recovered>, Failure> {
    let begun = Instant::now();
    let parameters = parameters.settled()?;
    refuse_misfits(&parameters)?;
    refuse_no_check(&parameters)?;
    picking::check(session, parameters.interactive)?;
    let open = session.open().map_err(|error| match Failure::from(error) {
        failure if failure.code == Code::InvalidConfiguration => failure.with_option(
            "`wfr emergency-restore WORKFLOW --checkpoint NAME` goes on with the defaults, since how strictly a restore \
             checks is configured",
        ),
        failure => failure,
    })?;
    let target = checkpoint(&open, parameters.workflow_id.clone(), parameters.checkpoint.clone())?;
    refuse_other_source(&open, &parameters, &target)?;
    let checked = check_target(session, &open, &target, &parameters)?;
    let needs = match parameters.to {
        Some(_) => Validated::default(),
        None => check_needs(session, &open, &target, depth(&open, &parameters))?,
    };
    let fence =
        Fence::of(parameters.stop_writers, parameters.plan, parameters.consent(session.interactive), parameters.wait);
    let meant = || writers_meant(&open, &parameters, &target);
    fence.before(session, &open, meant, |session| {
        go_back(session, &open, &parameters, target.clone(), (checked, needs), begun)
    })
}

/// Whose writers a restore means.
fn writers_meant(open: &Open, parameters: &Restore, target: &CheckpointRow) -> Result<Meant, Failure> {
    match parameters.restoration_mode {
        RestorationMode::Selective => {
            let workflow = parameters.workflow_id.as_ref().unwrap_or(&target.workflow_id);
            choice::writers_meant(open, workflow, &as_rollback(parameters).settled()?, Some(target))
        }
        RestorationMode::Full | RestorationMode::Partial | RestorationMode::Merge => Ok(Meant::All),
    }
}

fn go_back(
    session: &mut Session,
    open: &Open,
    parameters: &Restore,
    target: CheckpointRow,
    (checked, needs): (Checked, Validated),
    begun: Instant,
) -> Result<Success<Recovered>, Failure> {
    let limits = &open.config.recovery_configuration.validation_settings.timeout_limits;
    let check_limit = parameters.functional_check_timeout.unwrap_or(limits.validation_timeout);
    let workflow = parameters.workflow_id.clone().unwrap_or_else(|| target.workflow_id.clone());
    let aimed = aimed(session, open, parameters, (&workflow, &target))?;
    let mut order = Order {
        exact_mtime: parameters.exact_mtime,
        allow_config: parameters.allow_config,
        whole_tree: parameters.whole_tree,
        spares_state: parameters.to.is_some() || parameters.checks().on_damage == Some(OnDamage::Ignore),
        leave: checked.leave,
        layers: checked.layers,
        functional_check: parameters
            .functional_check
            .clone()
            .map(|command| FunctionalCheck { command, time_limit: check_limit.duration().unwrap_or(Duration::MAX) }),
        time_limit: time_left(open, parameters.timeout, begun),
        needs,
        stop_writers: parameters.stop_writers,
        wait: patience(parameters.wait),
        parameters: aimed.told,
        selection: aimed.selection,
        parts: aimed.parts,
        joining: aimed.joining,
        ..Order::new(RecoveryKind::Restore, workflow, target)
    };
    order.keep_taken();
    if parameters.interactive {
        picking::narrow(session, open, &mut order)?;
    }
    let asked = Asked { consent: parameters.consent(session.interactive), plan_only: parameters.plan };
    match &parameters.to {
        Some(dest) => {
            let dest = crate::workspace::absolute(&session.directories.current, dest.as_path());
            beside::restore(session, open, &order, &dest, &asked, (checked.integrity, begun))
        }
        None => {
            let done = run(session, open, &order, &asked, checked.integrity, begun)?;
            Ok(with_graph(open, parameters, &order.workflow, done))
        }
    }
}

/// Refuses two references that do not mean the same checkpoint.
fn refuse_other_source(open: &Open, parameters: &Restore, target: &CheckpointRow) -> Result<(), Failure> {
    let (Some(own), Some(source)) = (&parameters.checkpoint, parameters.other_source()) else { return Ok(()) };
    let row = checkpoint(open, parameters.workflow_id.clone(), Some(source.to_owned()))?;
    if row.checkpoint_id == target.checkpoint_id {
        return Ok(());
    }
    let ids = format!("they are {} and {}", target.checkpoint_id, row.checkpoint_id);
    Err(contradiction("checkpoint", "source_checkpoint", [own, source]).with_details(ids))
}

/// Builds the workflow's dependency graph again from the state that was restored, where that is asked for.
fn with_graph(
    open: &Open,
    parameters: &Restore,
    workflow: &WorkflowId,
    mut done: Success<Recovered>,
) -> Success<Recovered> {
    let config = parameters.validation_config.as_ref();
    let is_asked =
        parameters.rebuilds_graph || config.is_some_and(|config| config.error_handling.dependency_errors.is_some());
    if !is_asked || !done.result.recovery_successful {
        return done;
    }
    match care::write_graph(open, workflow) {
        Ok(file) => done.with_next_step(format!("the dependency graph was built again: {file}")),
        Err(failure) => {
            let message = format!("the dependency graph could not be written: {}", failure.message);
            let fix = format!("`wfr metadata {workflow}` writes it");
            done.result.findings.push(Finding::new("GRAPH_NOT_WRITTEN", Severity::Warning, message, fix));
            done
        }
    }
}

/// Refuses parameters that say nothing in the mode: who names paths must not get the whole tree.
fn refuse_misfits(parameters: &Restore) -> Result<(), Failure> {
    use RestorationMode::{Full, Merge, Partial, Selective};
    let has_rules = parameters.preservation_rules != PreservationRules::default();
    let decides = parameters.conflict_resolution != Resolution::default() || parameters.partial || parameters.words;
    let rules = parameters.conflict_resolution.rules();
    let beyond_files = rules != Resolution::Word(rules.file_conflicts).rules();
    if parameters.to.is_some() && parameters.stop_writers {
        let message = "`stop_writers` says nothing with `to`: what is in the workspace stays as it is";
        return Err(Failure::new(Code::WrongArguments, message).with_hint("leave one of them out"));
    }
    let given: [(&str, bool, &[RestorationMode]); 14] = [
        ("state_conflicts` and `dependency_conflicts", beyond_files, &[Selective]),
        ("to", parameters.to.is_some(), &[Full]),
        ("file", !parameters.file.0.is_empty(), &[Partial, Selective, Merge]),
        ("components", !parameters.components.0.is_empty(), &[Partial]),
        ("exclude_components", !parameters.exclude_components.0.is_empty(), &[Partial]),
        ("interactive", parameters.interactive, &[Selective]),
        ("base", parameters.base.is_some(), &[Merge]),
        ("conflict_resolution`, `partial` and `words", decides, &[Selective, Merge]),
        ("ours", !parameters.ours.0.is_empty(), &[Selective, Merge]),
        ("theirs", !parameters.theirs.0.is_empty(), &[Selective, Merge]),
        ("resolve", !parameters.resolve.0.is_empty(), &[Selective, Merge]),
        ("preserve_components", !parameters.preserve_components.0.is_empty() || has_rules, &[Selective]),
        ("dependents", parameters.dependents != Dependents::default(), &[Selective]),
        ("reset_tasks", !parameters.reset_tasks.0, &[Selective]),
    ];
    let mode = parameters.restoration_mode;
    let misfit = given.iter().find(|(_, is_given, modes)| *is_given && !modes.contains(&mode));
    let Some((key, _, modes)) = misfit else { return Ok(()) };
    let names: Vec<String> = modes.iter().map(|mode| format!("`--restoration-mode {}`", mode.as_str())).collect();
    let message = format!("`{key}` says nothing in restoration mode `{}`", mode.as_str());
    Err(Failure::new(Code::WrongArguments, message).with_hint(format!("it goes with {}", names.join(" or "))))
}

/// Refuses a check that runs nothing, and so would pass, and a time for none.
fn refuse_no_check(parameters: &Restore) -> Result<(), Failure> {
    match &parameters.functional_check {
        Some(command) if command.trim().is_empty() => {
            let message = "`functional_check` is empty: nothing would be run, and nothing checked";
            Err(Failure::new(Code::InvalidParameter, message).with_hint("give a command, or leave it out"))
        }
        None if parameters.functional_check_timeout.is_some() => {
            let message = "`functional_check_timeout` says nothing without `functional_check`";
            Err(Failure::new(Code::WrongArguments, message)
                .with_hint("give the command with `--functional-check`, or `--timeout` for the whole restore"))
        }
        _ => Ok(()),
    }
}

/// What a restore aims at, by its mode.
struct Aimed {
    selection: Option<Selection>,
    parts: Option<Parts>,
    joining: Option<Joining>,
    told: Value,
}

fn aimed(
    session: &Session,
    open: &Open,
    parameters: &Restore,
    (workflow, target): (&WorkflowId, &CheckpointRow),
) -> Result<Aimed, Failure> {
    let told = serde_json::to_value(parameters).unwrap_or_default();
    let whole = Aimed { selection: None, parts: None, joining: None, told: Value::Null };
    match parameters.restoration_mode {
        RestorationMode::Full => Ok(Aimed { told, ..whole }),
        RestorationMode::Partial => {
            let parts = chosen_parts(parameters)?;
            partial::refuse_without_files(target, &parts, &parameters.components.0)?;
            partial::refuse_without_state(target, &parts)?;
            Ok(Aimed { told: parts.told(told), parts: Some(parts), ..whole })
        }
        RestorationMode::Selective => {
            let rollback = as_rollback(parameters).settled()?;
            let selection = choice::selection(session, open, workflow, &rollback, Some(target))?;
            Ok(Aimed { told, selection: Some(selection), ..whole })
        }
        RestorationMode::Merge => {
            let decisions = rollback::decisions(session, &as_rollback(parameters))?;
            let base = parameters.base.as_deref().map(|base| open.catalog.resolve(Some(workflow), base)).transpose()?;
            let joining = Joining { files: PathSpecs::of(&parameters.file.0), base, decisions };
            Ok(Aimed { told, joining: Some(joining), ..whole })
        }
    }
}

fn chosen_parts(parameters: &Restore) -> Result<Parts, Failure> {
    let Restore { components, exclude_components, file, .. } = parameters;
    if components.0.is_empty() && exclude_components.0.is_empty() && file.0.is_empty() {
        return Err(Failure::new(Code::WrongArguments, "which part is to be restored is not said").with_hint(
            "name paths with `--file`, or `--components` of `file_system`, `workflow_state`, `agent_assignments` and \
             `resource_allocations`, or what stays with `--exclude-components`",
        ));
    }
    let parts = Parts::of(&components.0, &exclude_components.0, &file.0);
    if parts.is_nothing() { Err(partial::nothing_left()) } else { Ok(parts) }
}

/// Everything of the workflow since the checkpoint, as `rollback` takes it.
pub(super) fn as_rollback(parameters: &Restore) -> Rollback {
    Rollback {
        rollback_scope: RollbackScope::Full,
        file: parameters.file.clone(),
        dependents: parameters.dependents,
        preserve_components: parameters.preserve_components.clone(),
        preservation_rules: parameters.preservation_rules.clone(),
        conflict_resolution: parameters.conflict_resolution,
        partial: parameters.partial,
        words: parameters.words,
        ours: parameters.ours.clone(),
        theirs: parameters.theirs.clone(),
        resolve: parameters.resolve.clone(),
        plan: parameters.plan,
        apply: parameters.apply,
        yes: parameters.yes,
        stop_writers: parameters.stop_writers,
        reset_tasks: On(parameters.reset_tasks.0 && !parameters.preserve_progress),
        ..Rollback::default()
    }
}

/// How hard a restore looks for what the workflow needs.
fn depth(open: &Open, parameters: &Restore) -> DependencyValidation {
    let configured = open.config.recovery_configuration.validation_settings.dependency_validation;
    let strict = parameters.checks().strict.then_some(DependencyValidation::Strict);
    let is_little = matches!(configured, DependencyValidation::None | DependencyValidation::Basic);
    let asked = (parameters.rebuilds_graph && is_little).then_some(DependencyValidation::Comprehensive);
    parameters.dependency_validation.or(strict).or(asked).unwrap_or(configured)
}

/// Looks whether what the workflow needs and had at the checkpoint is there. Strictly, what is missing refuses.
pub(super) fn check_needs(
    session: &Session,
    open: &Open,
    target: &CheckpointRow,
    depth: DependencyValidation,
) -> Result<Validated, Failure> {
    let needs = dependencies::validate(open, session, &open.store()?, target, depth);
    if depth == DependencyValidation::Strict && needs.verdict == Verdict::Failed {
        let missing = needs.findings.iter().find(|finding| finding.severity > Severity::Info);
        let message = missing.map(|finding| finding.message.clone()).unwrap_or_default();
        return Err(Failure::new(Code::DependencyMissing, message).with_result(Unmet { findings: needs.findings }));
    }
    Ok(needs)
}
