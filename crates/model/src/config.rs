//! The workspace's configuration: the reference's `recovery_configuration` and what this product adds.
//!
//! Owns the keys, their defaults and which of them have an effect yet. Refuses to read a file.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

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
    /// What every workflow of this workspace needs.
    pub dependencies: Dependencies,
    /// The reference's settings.
    pub recovery_configuration: RecoveryConfiguration,
    /// Who is told what, and how much a workflow may take.
    pub coordination: Coordination,
    /// What agents may do that ask through `wfr mcp`.
    pub agents: Agents,
}

/// What agents may do that ask through `wfr mcp`, and what is done with their commands.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Agents {
    /// Whether they may apply a plan by its digest; `never` leaves that to a person on the command line.
    pub may_apply: MayApply,
    /// Whether the shell commands of their clients are traced. Where not, what one changes is found by a look; then a user
    /// who is not root can let them gain privileges (`sudo`, setuid programs), which a traced command cannot.
    pub trace_commands: bool,
}

impl Default for Agents {
    fn default() -> Self {
        Self { may_apply: MayApply::default(), trace_commands: true }
    }
}

/// Whether agents may apply plans.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MayApply {
    /// They may make plans; a person applies them.
    #[default]
    Never,
    /// They may apply any plan that they have made, by its digest.
    Always,
}

/// What every workflow of this workspace needs, beside what its own state declares. A need is a name, or an object with
/// `type` (`tool`, `file`, `environment`, `service`) and `name`, where it has one `version`, `path`, `host` and `port`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Dependencies {
    /// What is needed from outside of a workflow.
    pub external: Vec<Value>,
    /// What a workflow itself makes: `previous_phase_outputs`, `configuration_files`.
    pub internal: Vec<Value>,
    /// What is needed of agents: `agent_pool_state`, `task_completion_history`.
    pub agent: Vec<Value>,
    /// Programs on the search path.
    pub tools: Vec<Value>,
    /// Files and directories; relative to the workspace.
    pub files: Vec<Value>,
    /// Environment variables, by name.
    pub environment: Vec<Value>,
    /// TCP ports, as `host:port`.
    pub services: Vec<Value>,
    /// How long a checkpoint or a restore looks for all of them; at most 10m.
    #[serde(deserialize_with = "at_most_ten_minutes")]
    pub probe_timeout: Span,
}

/// Looking for what is needed must not keep a checkpoint waiting for ever.
fn at_most_ten_minutes<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Span, D::Error> {
    let span = Span::deserialize(deserializer)?;
    let is_short = span.duration().is_some_and(|length| length <= Duration::from_secs(600));
    if is_short { Ok(span) } else { Err(serde::de::Error::custom("`probe_timeout` is at most 10m")) }
}

impl Default for Dependencies {
    fn default() -> Self {
        Self {
            external: vec![],
            internal: vec![],
            agent: vec![],
            tools: vec![],
            files: vec![],
            environment: vec![],
            services: vec![],
            probe_timeout: Span::Finite(Duration::from_secs(1)),
        }
    }
}

impl Dependencies {
    /// The needs in the form in which a state declares them.
    pub fn declared(&self) -> Map<String, Value> {
        let lists = [
            ("external", &self.external),
            ("internal", &self.internal),
            ("agent", &self.agent),
            ("tools", &self.tools),
            ("files", &self.files),
            ("environment", &self.environment),
            ("services", &self.services),
        ];
        lists.into_iter().map(|(key, list)| (key.to_owned(), Value::Array(list.clone()))).collect()
    }

    /// How long all of them may be looked for.
    pub fn budget(&self) -> Duration {
        self.probe_timeout.duration().unwrap_or_default()
    }
}

/// What is captured.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Capture {
    /// Names of entries that are skipped wherever they stand, no paths; `*` in one stands for any letters, `?` for one.
    #[serde(deserialize_with = "names")]
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
    /// Time between automatic checkpoints of a workflow that runs, one minute (`1m`) or more; none are taken where it is 0
    /// or `permanent`.
    #[serde(deserialize_with = "a_minute_or_never")]
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

/// What no entry is called would skip nothing, and nobody would notice.
fn names<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let names = Vec::<String>::deserialize(deserializer)?;
    let is_none = |name: &&String| matches!(name.as_str(), "" | "." | "..") || name.contains(['/', '\0']);
    match names.iter().find(is_none) {
        None => Ok(names),
        Some(name) => {
            let last = name.rsplit('/').find(|part| !matches!(*part, "" | "." | ".."));
            let instead =
                last.map_or_else(String::new, |last| format!(": write `{last}`, which is skipped wherever it stands"));
            Err(serde::de::Error::custom(format!(
                "no entry is called `{name}`, since names are meant and no paths{instead}"
            )))
        }
    }
}

/// Checkpoints by time are tried once a minute at most: a shorter interval would promise what is not kept.
fn a_minute_or_never<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Span, D::Error> {
    let span = Span::deserialize(deserializer)?;
    if span.duration().is_some_and(|length| !length.is_zero() && length < INTERVAL_MIN) {
        return Err(serde::de::Error::custom(format!(
            "an automatic checkpoint is taken once a minute at most, so an interval of {span} cannot be kept: use 1m or \
             more, or 0s for none"
        )));
    }
    Ok(span)
}

/// The least time between automatic checkpoints.
pub const INTERVAL_MIN: std::time::Duration = std::time::Duration::from_secs(60);

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
    /// How hard a checkpoint and a restore look for what workflows need: `none`, `basic`, `comprehensive` (with versions), or
    /// `strict` (the same, and a restore is refused where something is missing).
    pub dependency_validation: DependencyValidation,
    /// Whether a recovery is measured against earlier ones of its kind.
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

/// How hard is looked for what workflows need.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum DependencyValidation {
    /// Not at all: what is declared is named.
    #[serde(alias = "off")]
    None,
    /// Whether it is there.
    #[serde(alias = "standard")]
    Basic,
    /// The same, and tools are asked for their versions.
    #[default]
    Comprehensive,
    /// The same, and what is missing refuses.
    Strict,
}

impl DependencyValidation {
    /// Whether tools are asked for their versions.
    pub fn asks_for_versions(self) -> bool {
        matches!(self, Self::Comprehensive | Self::Strict)
    }
}

impl Default for ValidationSettings {
    fn default() -> Self {
        Self {
            integrity_checking: IntegrityChecking::Strict,
            dependency_validation: DependencyValidation::default(),
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
    Span::Finite(Duration::from_secs(count * 60))
}

/// The keys that are accepted and kept but have no effect in this version; `wfr config` marks them.
pub const NOT_YET_IN_EFFECT: &[&str] = &[
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
