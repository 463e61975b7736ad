//! Names that checkpoints get where none is given.
//!
//! Owns their pattern. Refuses to know which are taken: the catalog says.

use wfr_model::Timestamp;
use wfr_model::checkpoint::{CheckpointType, Trigger};

/// The name of a checkpoint that was given none. `increment` is the workflow's next number.
pub fn default_name(
    checkpoint_type: CheckpointType,
    trigger: Trigger,
    phase: Option<i64>,
    increment: u32,
    now: Timestamp,
) -> String {
    let stamp = now.stamp();
    match (checkpoint_type, phase) {
        (_, Some(phase)) if trigger == Trigger::PreCritical => format!("phase_{phase}_pre_critical"),
        (CheckpointType::PhaseComplete, Some(phase)) => format!("phase_{phase}_complete"),
        (CheckpointType::PhaseComplete, None) => format!("phase_complete_{stamp}"),
        (CheckpointType::Incremental, _) => format!("inc_{increment:03}_{stamp}"),
        (CheckpointType::Emergency, _) if trigger == Trigger::FailurePrevention => "pre_failure_state".to_owned(),
        (CheckpointType::Emergency, _) => format!("emergency_{stamp}"),
        (CheckpointType::Manual, _) if trigger == Trigger::PreCritical => format!("pre_critical_{stamp}"),
        (CheckpointType::Manual, _) => format!("manual_{stamp}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_contract() {
        let name = |kind, trigger, phase| default_name(kind, trigger, phase, 7, Timestamp(0));
        use CheckpointType as T;
        assert_eq!(name(T::PhaseComplete, Trigger::PhaseCompletion, Some(2)), "phase_2_complete");
        assert_eq!(name(T::Manual, Trigger::PreCritical, Some(3)), "phase_3_pre_critical");
        assert_eq!(name(T::Manual, Trigger::PreCritical, None), "pre_critical_19700101_0000");
        assert_eq!(name(T::Incremental, Trigger::TimeInterval, None), "inc_007_19700101_0000");
        assert_eq!(name(T::Emergency, Trigger::PreCritical, None), "emergency_19700101_0000");
        assert_eq!(name(T::Emergency, Trigger::FailurePrevention, None), "pre_failure_state");
    }
}
