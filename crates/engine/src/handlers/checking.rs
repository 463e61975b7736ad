//! What a restore looks at before it changes anything: four layers, each by the switch that is named after it.
//!
//! Owns which layer what was found belongs to, and what it keeps from being restored. Refuses to look itself: objects are
//! [`crate::verify`]'s, the rules of states the model's.

use std::collections::HashSet;

use wfr_catalog::CheckpointRow;
use wfr_model::Digest;
use wfr_model::config::IntegrityChecking;
use wfr_model::finding::Severity;
use wfr_model::workflow::validate::{Context, Layer, Layers, StateFinding, validate};

use crate::error::{Code, Failure};
use crate::open::Open;
use crate::params::{Checks, OnDamage, Restore, ValidationLevel};
use crate::results::{Damage, Fault, LayerResults, Unsound, Verdict};
use crate::session::Session;
use crate::state;
use crate::verify::{self, Report};

/// What the checks before a restore said.
#[derive(Clone, Debug, Default)]
pub(super) struct Checked {
    /// All of them together.
    pub(super) integrity: Verdict,
    /// Each layer by its own; none where no layer was asked for.
    pub(super) layers: LayerResults,
    /// Objects that are damaged, where these are left alone.
    pub(super) leave: HashSet<Digest>,
}

/// Checks the checkpoint before anything is changed, as far as the parameters ask for it.
pub(super) fn check_target(
    session: &Session,
    open: &Open,
    target: &CheckpointRow,
    parameters: &Restore,
) -> Result<Checked, Failure> {
    let checks = parameters.checks();
    let is_lenient =
        open.config.recovery_configuration.validation_settings.integrity_checking == IntegrityChecking::Lenient;
    let on_damage = checks.on_damage.unwrap_or(if is_lenient { OnDamage::Ignore } else { OnDamage::Abort });
    // What is damaged can be left alone only where all of it is known.
    let needs_all = checks.on_damage == Some(OnDamage::Ignore);
    if !checks.any() && !needs_all {
        return Ok(Checked { layers: LayerResults::skipped(), ..Checked::default() });
    }
    // What is known to be damaged is passed by no sample.
    let level = if checks.strict || needs_all || checks.every_byte || target.is_damaged() {
        ValidationLevel::Comprehensive
    } else {
        ValidationLevel::Standard
    };
    let mut report = verify::verify(open, &open.store()?, target, level, session)?;
    if on_damage == OnDamage::Ignore && level == ValidationLevel::Standard && !report.damages.is_empty() {
        report = verify::verify(open, &open.store()?, target, ValidationLevel::Comprehensive, session)?;
    }
    if !report.damages.is_empty() && on_damage == OnDamage::Repair {
        verify::repair(open, &report.damages)?;
        report = verify::verify(open, &open.store()?, target, level, session)?;
    }
    let (mut findings, writes_state) = (Vec::new(), parameters.to.is_none());
    if writes_state {
        findings = of_state(open, target, &report, checks)?;
    } else {
        // No state is written beside.
        report.damages.retain(|one| one.kind != "state");
    }
    let layers = judged(&report, &findings, checks, level);
    refuse(target, (&report, &findings), (checks, on_damage), layers)?;
    let leave = match on_damage {
        OnDamage::Ignore => report.damages.iter().map(|one| one.object).collect(),
        _ => HashSet::new(),
    };
    let is_well = leave.is_empty() && !layers.any_failed();
    Ok(Checked { integrity: Verdict::of(is_well), layers, leave })
}

/// Whether a layer finds damage. What is not there has no checksum and no form; what is not as it was written has no form
/// unless it has none to have; what is as it was written and no such thing has the right checksum.
fn finds(layer: Layer, damage: &Damage) -> bool {
    match (layer, damage.fault) {
        (Layer::Checksum, Fault::Missing | Fault::Altered) | (Layer::Structural, Fault::Missing | Fault::Malformed) => {
            true
        }
        (Layer::Structural, Fault::Altered) => damage.kind != "blob",
        _ => false,
    }
}

/// What is wrong with the state that a checkpoint holds, in the layers that were asked for by name.
fn of_state(
    open: &Open,
    target: &CheckpointRow,
    report: &Report,
    checks: Checks,
) -> Result<Vec<StateFinding>, Failure> {
    let rules = checks.rules;
    let is_readable = report.damages.iter().all(|one| one.kind != "state");
    if !(rules.structure || rules.semantic || rules.cross_reference) || !is_readable {
        return Ok(vec![]);
    }
    let layers = Layers { semantic: rules.semantic, cross_reference: rules.cross_reference };
    // An object that is no state has been noted, or its layer is not asked for.
    let Ok(Some(whole)) = state::of_checkpoint(&open.store()?, target) else { return Ok(vec![]) };
    let least = if checks.strict { Severity::Warning } else { Severity::Error };
    let mut findings = validate(&whole, Context { events: None, layers });
    findings.retain(|one| one.severity >= least && (one.layer != Layer::Structural || rules.structure));
    Ok(findings)
}

/// What each layer says.
fn judged(report: &Report, findings: &[StateFinding], checks: Checks, level: ValidationLevel) -> LayerResults {
    let is_found = |layer| {
        report.damages.iter().any(|one| finds(layer, one)) || findings.iter().any(|finding| finding.layer == layer)
    };
    let found = |is_on: bool, layer| if is_on { Verdict::of(!is_found(layer)) } else { Verdict::Skipped };
    let checksum = match found(checks.checksum, Layer::Checksum) {
        // A sample that is well proves nothing of the rest.
        Verdict::Passed if level != ValidationLevel::Comprehensive => Verdict::Skipped,
        verdict => verdict,
    };
    let crossing = match found(checks.cross_reference, Layer::CrossReference) {
        Verdict::Passed => report.chain,
        verdict => verdict,
    };
    LayerResults {
        checksum_validation: Some(checksum),
        structure_validation: Some(found(checks.structure, Layer::Structural)),
        semantic_validation: Some(found(checks.rules.semantic, Layer::Semantic)),
        cross_reference_validation: Some(crossing),
    }
}

/// Refuses what must not be restored.
fn refuse(
    target: &CheckpointRow,
    (report, findings): (&Report, &[StateFinding]),
    (checks, on_damage): (Checks, OnDamage),
    layers: LayerResults,
) -> Result<(), Failure> {
    let is_asked = checks.strict || checks.rules.cross_reference;
    if checks.cross_reference && (report.is_forged || is_asked && report.chain == Verdict::Failed) {
        let message = format!("the catalog does not say of checkpoint `{}` what was recorded", target.name);
        return Err(Failure::new(Code::CheckpointIntegrity, message)
            .with_hint("run `wfr doctor --rebuild-catalog`: everything is read again from the packs")
            .with_result(Unsound { validation_results: layers, findings: vec![] }));
    }
    let is_on = |layer| match layer {
        Layer::Checksum => checks.checksum,
        Layer::Structural => checks.structure,
        _ => false,
    };
    let ignores = on_damage == OnDamage::Ignore;
    // Without its trees nothing is known of a checkpoint; files whose content is damaged can be left alone.
    let matters = |one: &&Damage| {
        let is_looked_for =
            [Layer::Checksum, Layer::Structural].into_iter().any(|layer| is_on(layer) && finds(layer, one));
        if ignores { one.kind == "tree" } else { is_looked_for }
    };
    if let Some(first) = report.damages.iter().find(matters) {
        let whose = if first.path.is_root() { String::new() } else { format!("`{}`: ", first.path) };
        let message = format!("checkpoint `{}` is damaged: {whose}{}", target.name, first.message);
        return Err(Failure::new(Code::CheckpointIntegrity, message)
            .with_option("`wfr emergency-restore` takes the newest checkpoint that is whole")
            .with_result(Unsound { validation_results: layers, findings: vec![] }));
    }
    match findings.first() {
        Some(first) if !ignores => {
            let message = format!(
                "the state that checkpoint `{}` holds is not sound: {}: {}",
                target.name, first.place, first.message
            );
            let files =
                "`wfr partial-restore WORKFLOW CHECKPOINT --components file_system` brings back the files alone";
            Err(Failure::new(Code::StateInvalid, message)
                .with_hint(files)
                .with_option(
                    "without this layer's switch it is restored as it is, and `wfr repair-state` mends it then",
                )
                .with_result(Unsound { validation_results: layers, findings: findings.to_vec() }))
        }
        _ => Ok(()),
    }
}
