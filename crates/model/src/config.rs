//! The workspace's configuration: the reference's `recovery_configuration` and what this product adds.
//!
//! Owns the keys, their defaults and which of them have an effect yet. Refuses to read a file.

use serde::{Deserialize, Serialize};

use crate::coordination::Coordination;
use crate::time::Span;

/// All of `config.toml`.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where the vault is, if not at its default place; written by `init --store`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub store: Option<String>,
    /// What is captured.
    pub capture: Capture,
    /// The reference's settings.
    pub recovery_configuration: RecoveryConfiguration,
    /// Who is told what, and how much a workflow may take.
    pub coordination: Coordination,
}

/// What is captured.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Capture {
    /// Names of entries that are skipped wherever they stand.
    pub exclude: Vec<String>,
    /// Whether directories with a CACHEDIR.TAG are skipped.
    pub skip_cachedir_tag: bool,
    /// Files larger than this many bytes are skipped; `0` means no limit.
    pub file_bytes_max: u64,
    /// The store may grow to this many bytes; `0` means no limit.
    pub quota_bytes: u64,
}

impl Default for Capture {
    fn default() -> Self {
        Self {
            exclude: [".git", "node_modules", ".venv", "__pycache__"].map(str::to_owned).to_vec(),
            skip_cachedir_tag: true,
            file_bytes_max: 0,
            quota_bytes: 0,
        }
    }
}

/// The reference's block of the same name.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RecoveryConfiguration {
    /// When checkpoints are taken and how long they are kept.
    pub checkpoint_policy: CheckpointPolicy,
    /// How hard is checked.
    pub validation_settings: ValidationSettings,
    /// What matters how much.
    pub recovery_priorities: RecoveryPriorities,
    /// Prevention.
    pub prevention_settings: PreventionSettings,
}

/// When checkpoints are taken and how long they are kept.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CheckpointPolicy {
    /// Time between automatic checkpoints of a workflow that runs; none are taken where it is 0 or `permanent`.
    pub automatic_checkpoint_interval: Span,
    /// Whether a phase's end takes one.
    pub phase_completion_checkpoints: bool,
    /// Whether a critical operation takes one first.
    pub pre_critical_operation_checkpoints: bool,
    /// Whether a failure takes one, at most one a minute and workflow.
    pub failure_checkpoints: bool,
    /// How long checkpoints are kept where neither they nor the call say; longer than nothing.
    #[serde(deserialize_with = "longer_than_nothing")]
    pub retention_period: Span,
    /// Whether objects are compressed.
    pub compression_enabled: bool,
}

/// Keeping nothing is an oversight more often than a wish, and what it costs does not come back.
fn longer_than_nothing<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Span, D::Error> {
    let span = Span::deserialize(deserializer)?;
    if span.duration().is_some_and(|length| length.is_zero()) {
        return Err(serde::de::Error::custom(
            "a retention period of nothing would remove every checkpoint: use 1h or more",
        ));
    }
    Ok(span)
}

impl Default for CheckpointPolicy {
    fn default() -> Self {
        Self {
            automatic_checkpoint_interval: minutes(15),
            phase_completion_checkpoints: true,
            pre_critical_operation_checkpoints: true,
            failure_checkpoints: true,
            retention_period: minutes(30 * 24 * 60),
            compression_enabled: true,
        }
    }
}

/// How hard is checked.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ValidationSettings {
    /// `strict`: a restore refuses a checkpoint with any damage; `lenient`: it restores the paths that are whole.
    pub integrity_checking: IntegrityChecking,
    /// How dependencies are checked.
    pub dependency_validation: String,
    /// Whether performance is checked.
    pub performance_validation: bool,
    /// Time limits.
    pub timeout_limits: TimeoutLimits,
}

/// How a restore treats damage.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum IntegrityChecking {
    /// Any damage refuses.
    Strict,
    /// Damaged paths are left alone.
    Lenient,
}

impl Default for ValidationSettings {
    fn default() -> Self {
        Self {
            integrity_checking: IntegrityChecking::Strict,
            dependency_validation: "comprehensive".to_owned(),
            performance_validation: true,
            timeout_limits: TimeoutLimits::default(),
        }
    }
}

/// Time limits.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TimeoutLimits {
    /// Of a validation.
    pub validation_timeout: Span,
    /// Of a restoration.
    pub restoration_timeout: Span,
    /// Of an analysis.
    pub analysis_timeout: Span,
}

impl Default for TimeoutLimits {
    fn default() -> Self {
        Self { validation_timeout: minutes(5), restoration_timeout: minutes(30), analysis_timeout: minutes(10) }
    }
}

/// What matters how much, from 0 to 1.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RecoveryPriorities {
    /// Weight of data integrity.
    pub data_integrity: f64,
    /// Weight of system stability.
    pub system_stability: f64,
    /// Weight of performance.
    pub performance_maintenance: f64,
    /// Weight of few disturbances.
    pub user_impact_minimization: f64,
}

impl Default for RecoveryPriorities {
    fn default() -> Self {
        Self { data_integrity: 1.0, system_stability: 0.9, performance_maintenance: 0.8, user_impact_minimization: 0.7 }
    }
}

/// Prevention.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PreventionSettings {
    /// Whether trends are forecast.
    pub predictive_analysis: bool,
    /// Whether alerts are raised.
    pub early_warning_system: bool,
    /// Whether alerts may act.
    pub auto_prevention_triggers: bool,
    /// Time between resilience tests.
    pub resilience_testing_interval: Span,
}

impl Default for PreventionSettings {
    fn default() -> Self {
        Self {
            predictive_analysis: true,
            early_warning_system: true,
            auto_prevention_triggers: true,
            resilience_testing_interval: minutes(7 * 24 * 60),
        }
    }
}

/// A span of whole minutes.
fn minutes(count: u64) -> Span {
    Span::Finite(std::time::Duration::from_secs(count * 60))
}

/// The keys that are accepted and kept but have no effect in this version; `wfr config` marks them.
pub const NOT_YET_IN_EFFECT: &[&str] = &[
    "recovery_configuration.validation_settings.dependency_validation",
    "recovery_configuration.validation_settings.performance_validation",
    "recovery_configuration.validation_settings.timeout_limits.analysis_timeout",
    "recovery_configuration.recovery_priorities.data_integrity",
    "recovery_configuration.recovery_priorities.system_stability",
    "recovery_configuration.recovery_priorities.performance_maintenance",
    "recovery_configuration.recovery_priorities.user_impact_minimization",
    "recovery_configuration.prevention_settings.predictive_analysis",
    "recovery_configuration.prevention_settings.early_warning_system",
    "recovery_configuration.prevention_settings.auto_prevention_triggers",
    "recovery_configuration.prevention_settings.resilience_testing_interval",
];
