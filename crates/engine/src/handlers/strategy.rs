//! What a selective recovery will do, in the reference's words: its `rollback_strategy`.
//!
//! Owns how a plan and its parameters read there. Refuses to decide any of it.

use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use wfr_model::recovery::RecoveryKind;

use super::restore::as_rollback;
use crate::params::{
    Component, ConflictResolution, DependencyConflicts, PartialRestore, PreservationRules, RestorationMode, Restore,
    Rollback, RollbackScope, ValidationLevel,
};
use crate::recovery::verdicts::without_taken;
use crate::recovery::{Order, Parts, Planned};
use crate::results::{
    AffectedComponents, ConflictPolicies, PreservedParts, RollbackStrategy, StrategyStep, ValidationRequirements,
    Verdict,
};

/// What was asked for, as far as the strategy tells of it.
struct Asked {
    name: Option<String>,
    /// Whether the checkpoint aimed at was named.
    has_target: bool,
    scope: RollbackScope,
    preserved: PreservationRules,
    conflicts: ConflictPolicies,
    /// How strictly the checkpoint is checked before; `None`: not at all.
    strict: Option<bool>,
    /// Whether it looks for what the workflow needs.
    needs: bool,
    agents: bool,
}

/// The strategy of a planned recovery; `None` for one of a whole tree, and for a merge.
pub fn of(order: &Order, planned: &Planned) -> Option<RollbackStrategy> {
    let asked = match (order.kind, &order.parts) {
        (RecoveryKind::Rollback, _) => of_rollback(parameters::<Rollback>(order)?.settled().ok()?),
        (RecoveryKind::PartialRestore, Some(parts)) => {
            let level = parameters::<PartialRestore>(order)?.validation_level;
            of_parts(parts, Some(level == Some(ValidationLevel::Comprehensive)))
        }
        (RecoveryKind::Restore, parts) => {
            let restore = parameters::<Restore>(order)?;
            let checks = restore.checks();
            let strict = checks.any().then_some(checks.strict);
            match (restore.restoration_mode, parts) {
                (RestorationMode::Partial, Some(parts)) => of_parts(parts, strict),
                (RestorationMode::Selective, _) => {
                    let asked = of_rollback(as_rollback(&restore).settled().ok()?);
                    Asked { has_target: true, strict, ..asked }
                }
                _ => return None,
            }
        }
        _ => return None,
    };
    Some(told(order, planned, asked))
}

/// The parameters as they were given.
fn parameters<P: DeserializeOwned>(order: &Order) -> Option<P> {
    serde_json::from_value(Parts::untold(without_taken(&order.parameters))).ok()
}

fn of_rollback(asked: Rollback) -> Asked {
    let has_target = asked.checkpoint.is_some();
    let required = asked.validation_requirements;
    let state = if asked.reset_tasks.0 { "merge_strategy" } else { "current_priority" };
    Asked {
        name: asked.strategy_id.clone(),
        has_target,
        scope: asked.rollback_scope,
        preserved: asked.kept(),
        conflicts: ConflictPolicies {
            file_conflicts: asked.conflict_resolution.files(),
            state_conflicts: state.to_owned(),
            dependency_conflicts: asked.dependents.into(),
        },
        strict: (has_target && required.integrity_check != Some(false)).then_some(true),
        needs: required.dependency_validation == Some(true),
        agents: required.agent_compatibility == Some(true),
    }
}

/// Parts of a checkpoint come back as they were, whoever did something there since.
fn of_parts(parts: &Parts, strict: Option<bool>) -> Asked {
    let shares = parts.has(Component::ResourceAllocations);
    Asked {
        name: None,
        has_target: true,
        scope: RollbackScope::Partial,
        preserved: PreservationRules {
            preserve_external_changes: crate::params::On(false),
            preserve_resource_optimizations: crate::params::On(!shares),
            ..PreservationRules::default()
        },
        conflicts: ConflictPolicies {
            file_conflicts: ConflictResolution::CheckpointPriority,
            state_conflicts: "checkpoint_priority".to_owned(),
            dependency_conflicts: DependencyConflicts::CurrentPriority,
        },
        strict,
        needs: false,
        agents: false,
    }
}

fn told(order: &Order, planned: &Planned, asked: Asked) -> RollbackStrategy {
    let state = planned.state.unwrap_or_default();
    let affected_components = AffectedComponents {
        workflow_state: state.workflow || state.phases + state.tasks > 0,
        file_system: !planned.plan.steps.is_empty(),
        agent_assignments: state.agents > 0,
        resource_allocations: state.allocations > 0,
    };
    RollbackStrategy {
        strategy_id: asked.name.clone().unwrap_or_else(|| format!("rollback_{}", planned.digest().short())),
        target_checkpoint: asked.has_target.then(|| order.target.checkpoint_id.clone()),
        rollback_scope: asked.scope,
        affected_components,
        preservation_rules: PreservedParts {
            preserve_completed_phases: asked.preserved.preserve_completed_phases,
            preserve_successful_tasks: asked.preserved.preserve_successful_tasks,
            preserve_external_changes: asked.preserved.preserve_external_changes.0,
            preserve_resource_optimizations: asked.preserved.preserve_resource_optimizations.0,
        },
        validation_requirements: ValidationRequirements {
            integrity_check: asked.strict.is_some(),
            dependency_validation: asked.needs || order.needs.verdict != Verdict::Skipped,
            // Room and holds are looked at before anything is changed, whatever is asked for.
            resource_availability: true,
            agent_compatibility: asked.agents,
        },
        rollback_steps: steps(planned, affected_components, &asked),
        conflict_resolution: asked.conflicts,
    }
}

fn steps(planned: &Planned, affected: AffectedComponents, asked: &Asked) -> Vec<StrategyStep> {
    let paths: Vec<String> = planned.plan.steps.iter().map(|step| step.path.to_string()).collect();
    let state = match &planned.taken {
        Some(taken) => json!({"preserve_progress": true, "tasks": taken.tasks}),
        None => json!({"preserve_progress": planned.aim.as_ref().is_some_and(|aim| aim.keeps_progress)}),
    };
    let sets_state = affected.workflow_state || affected.agent_assignments || affected.resource_allocations;
    let all: [(bool, &str, Value); 5] = [
        (asked.strict.is_some(), "validate_checkpoint_integrity", json!({"strict_mode": asked.strict == Some(true)})),
        (true, "backup_current_state", json!({"emergency_backup": true})),
        (affected.file_system, "restore_file_system_state", json!({"selective_files": paths})),
        (sets_state, "restore_workflow_state", state),
        (affected.file_system, "validate_restored_state", json!({"comprehensive_check": true})),
    ];
    let meant = all.into_iter().filter(|(is_meant, ..)| *is_meant);
    let step = |(at, (_, action, parameters)): (usize, (bool, &str, Value))| StrategyStep {
        step: at as u32 + 1,
        action: action.to_owned(),
        parameters,
    };
    meant.enumerate().map(step).collect()
}
