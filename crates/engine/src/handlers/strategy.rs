//! What a rollback will do, in the reference's words: its `rollback_strategy`.
//!
//! Owns how a plan and its parameters read there. Refuses to decide any of it.

use serde_json::json;
use wfr_model::recovery::RecoveryKind;

use crate::params::{Dependents, Preserved, Rollback};
use crate::recovery::verdicts::without_taken;
use crate::recovery::{Order, Planned};
use crate::results::{
    AffectedComponents, ConflictPolicies, PreservedParts, RollbackStrategy, StrategyStep, ValidationRequirements,
};

/// The strategy of a planned rollback; `None` for any other recovery.
pub fn of(order: &Order, planned: &Planned) -> Option<RollbackStrategy> {
    if order.kind != RecoveryKind::Rollback {
        return None;
    }
    let asked: Rollback = serde_json::from_value(without_taken(&order.parameters)).ok()?;
    let state = planned.state.unwrap_or_default();
    let affected_components = AffectedComponents {
        workflow_state: state.workflow || state.phases + state.tasks > 0,
        file_system: !planned.plan.steps.is_empty(),
        agent_assignments: state.agents > 0,
        resource_allocations: state.allocations > 0,
    };
    Some(RollbackStrategy {
        strategy_id: format!("rollback_{}", planned.digest().short()),
        target_checkpoint: asked.checkpoint.as_ref().map(|_| order.target.checkpoint_id.clone()),
        rollback_scope: asked.rollback_scope,
        affected_components,
        preservation_rules: PreservedParts {
            preserve_completed_phases: asked.preserves(Preserved::CompletedPhases),
            preserve_successful_tasks: asked.preserves(Preserved::SuccessfulTasks),
            preserve_external_changes: asked.preserves(Preserved::ExternalChanges),
            preserve_resource_optimizations: asked.preserves(Preserved::ResourceOptimizations),
        },
        conflict_resolution: ConflictPolicies {
            file_conflicts: asked.conflict_resolution,
            // Tasks of what goes are set, and what somebody else changed of the state stays.
            state_conflicts: "merge_strategy".to_owned(),
            dependency_conflicts: match asked.dependents {
                Dependents::Keep => "current_priority",
                Dependents::Cascade => "dependency_order",
                Dependents::Stop => "manual_review",
            }
            .to_owned(),
        },
        validation_requirements: ValidationRequirements {
            integrity_check: true,
            dependency_validation: false,
            resource_availability: true,
            agent_compatibility: false,
        },
        rollback_steps: steps(planned, affected_components),
    })
}

fn steps(planned: &Planned, affected: AffectedComponents) -> Vec<StrategyStep> {
    let paths: Vec<String> = planned.plan.steps.iter().map(|step| step.path.to_string()).collect();
    let tasks = planned.taken.as_ref().map(|taken| taken.tasks.clone()).unwrap_or_default();
    let sets_state = affected.workflow_state || affected.agent_assignments || affected.resource_allocations;
    let all = [
        (true, "validate_checkpoint_integrity", json!({"strict_mode": true})),
        (true, "backup_current_state", json!({"emergency_backup": true})),
        (affected.file_system, "restore_file_system_state", json!({"selective_files": paths})),
        (sets_state, "restore_workflow_state", json!({"preserve_progress": true, "tasks": tasks})),
        (affected.file_system, "validate_restored_state", json!({"comprehensive_check": true})),
    ];
    let meant = all.into_iter().filter(|(is_meant, ..)| *is_meant);
    let step = |(at, (_, action, parameters)): (usize, (bool, &str, serde_json::Value))| StrategyStep {
        step: at as u32 + 1,
        action: action.to_owned(),
        parameters,
    };
    meant.enumerate().map(step).collect()
}
