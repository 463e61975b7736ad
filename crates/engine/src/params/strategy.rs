//! Parameters of selective recoveries in the reference's `rollback_strategy`: policies, components, requirements.
//!
//! Owns their keys, and which of them contradict each other. Refuses to act on them.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::{MapAccessDeserializer, StrDeserializer};
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::changes::{ConflictResolution, Dependents, PreservationRules, Preserved, Rollback, RollbackScope};
use super::steps::Steps;
use super::values::On;
use crate::error::{Code, Failure};

/// What becomes of the workflow's state where work that stays and work that goes are in one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum StateConflicts {
    /// Tasks of what goes are to be done anew, and all else of the state stays.
    #[default]
    MergeStrategy,
    /// The state stays as it is.
    CurrentPriority,
    /// The state becomes the checkpoint's. Said of files it has a meaning; a rollback that is told so refuses by this name.
    #[schemars(skip)]
    CheckpointPriority,
}

/// What becomes of later work on what goes, in the reference's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum DependencyConflicts {
    /// It stays, where it can be separated.
    CurrentPriority,
    /// It is taken back, too.
    DependencyOrder,
    /// Nothing is taken back where there is any.
    ManualReview,
}

impl DependencyConflicts {
    fn dependents(self) -> Dependents {
        match self {
            Self::CurrentPriority => Dependents::Keep,
            Self::DependencyOrder => Dependents::Cascade,
            Self::ManualReview => Dependents::Stop,
        }
    }
}

impl From<Dependents> for DependencyConflicts {
    fn from(dependents: Dependents) -> Self {
        match dependents {
            Dependents::Keep => Self::CurrentPriority,
            Dependents::Cascade => Self::DependencyOrder,
            Dependents::Stop => Self::ManualReview,
        }
    }
}

/// The reference's `conflict_resolution` block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(inline)]
pub struct ConflictRules {
    /// Where work cannot be separated.
    pub file_conflicts: ConflictResolution,
    /// In the workflow's state.
    pub state_conflicts: StateConflicts,
    /// Where later work stands on what goes; as `dependents` says where it is not given.
    pub dependency_conflicts: Option<DependencyConflicts>,
}

/// What is done about conflicts: one word for files, or the reference's block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Resolution {
    /// For files.
    Word(ConflictResolution),
    /// For files, state and later work.
    Block(ConflictRules),
}

impl Default for Resolution {
    fn default() -> Self {
        Self::Word(ConflictResolution::default())
    }
}

impl Resolution {
    /// As a block.
    pub fn rules(self) -> ConflictRules {
        match self {
            Self::Word(file_conflicts) => ConflictRules { file_conflicts, ..ConflictRules::default() },
            Self::Block(rules) => rules,
        }
    }

    /// What is done where work cannot be separated.
    pub fn files(self) -> ConflictResolution {
        self.rules().file_conflicts
    }
}

impl<'de> Deserialize<'de> for Resolution {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ResolutionVisitor)
    }
}

/// Reads either form, and keeps the error of the value itself.
struct ResolutionVisitor;

impl<'de> Visitor<'de> for ResolutionVisitor {
    type Value = Resolution;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a word such as `current_priority`, or an object with `file_conflicts`")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Self::Value, E> {
        ConflictResolution::deserialize(StrDeserializer::new(text)).map(Resolution::Word)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        ConflictRules::deserialize(MapAccessDeserializer::new(map)).map(Resolution::Block)
    }
}

impl JsonSchema for Resolution {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Resolution".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let word = generator.subschema_for::<ConflictResolution>();
        let block = generator.subschema_for::<ConflictRules>();
        json_schema!({"anyOf": [word, block]})
    }
}

/// The reference's `affected_components` block: what is taken back, all where it is not given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(inline)]
pub struct Affected {
    /// Whether tasks are to be done anew.
    pub workflow_state: Option<bool>,
    /// Whether files change.
    pub file_system: Option<bool>,
    /// Whether agents are freed; they are with their tasks, so it goes with `workflow_state`.
    pub agent_assignments: Option<bool>,
    /// Whether resources are shared out anew; a rollback leaves them alone.
    pub resource_allocations: Option<bool>,
}

/// The reference's `validation_requirements` block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(inline)]
pub struct Required {
    /// Whether every byte of the checkpoint that is named is checked before; on where it is not given.
    pub integrity_check: Option<bool>,
    /// Whether it looks whether all that the workflow needs and had at the checkpoint is there.
    pub dependency_validation: Option<bool>,
    /// Whether it looks for room on the disk and for holds on the workflow; it does in any case.
    pub resource_availability: Option<bool>,
    /// Whether it looks for agents that could do the tasks anew.
    pub agent_compatibility: Option<bool>,
}

/// The reference's `rollback_strategy`, as a plan prints it.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(inline)]
pub struct Strategy {
    /// What it is called; the plan says it again.
    pub strategy_id: Option<String>,
    /// Only what was done after this checkpoint.
    pub target_checkpoint: Option<String>,
    /// How much.
    pub rollback_scope: Option<RollbackScope>,
    /// What is taken back.
    pub affected_components: Affected,
    /// What stays.
    pub preservation_rules: Option<PreservationRules>,
    /// What is done about conflicts.
    pub conflict_resolution: Option<Resolution>,
    /// What is checked.
    pub validation_requirements: Required,
    /// What is done, in order, as a plan prints it: refused where the plan does anything else.
    #[schemars(with = "Option<Vec<serde_json::Map<String, serde_json::Value>>>")]
    pub rollback_steps: Option<serde_json::Value>,
}

/// What to do instead where a rollback is to share resources out anew.
const SHARES_BACK: &str =
    "leave it out; `wfr partial-restore CHECKPOINT --components resource_allocations` puts a checkpoint's shares back";

impl Rollback {
    /// The same with what `rollback_strategy` and the blocks say in the keys that stand for it. Refuses what contradicts
    /// itself, and by name what a rollback cannot do.
    pub fn settled(mut self) -> Result<Self, Failure> {
        self.take_strategy()?;
        self.take_policies()?;
        self.take_components()?;
        self.check_scope()?;
        if !self.preservation_rules.preserve_resource_optimizations.0 {
            return Err(cannot(
                "preserve_resource_optimizations",
                "a rollback leaves alone how resources are shared out",
                SHARES_BACK,
            ));
        }
        if self.validation_requirements.resource_availability == Some(false) {
            let why = "whether there is room, and whether somebody holds the workflow, is looked at in any case";
            return Err(cannot("resource_availability", why, "leave it out, or say `true`"));
        }
        Ok(self)
    }

    /// What a key of its own says counts before the strategy.
    fn take_strategy(&mut self) -> Result<(), Failure> {
        let Some(strategy) = self.rollback_strategy.take() else { return Ok(()) };
        self.steps = strategy.rollback_steps.as_ref().map(Steps::read).transpose()?;
        self.strategy_id = strategy.strategy_id;
        self.checkpoint = self.checkpoint.take().or(strategy.target_checkpoint);
        if self.rollback_scope == RollbackScope::default() {
            self.rollback_scope = strategy.rollback_scope.unwrap_or_default();
        }
        if self.preservation_rules == PreservationRules::default() {
            self.preservation_rules = strategy.preservation_rules.unwrap_or_default();
        }
        if self.conflict_resolution == Resolution::default() {
            self.conflict_resolution = strategy.conflict_resolution.unwrap_or_default();
        }
        let (own, given) = (self.affected_components, strategy.affected_components);
        self.affected_components = Affected {
            workflow_state: own.workflow_state.or(given.workflow_state),
            file_system: own.file_system.or(given.file_system),
            agent_assignments: own.agent_assignments.or(given.agent_assignments),
            resource_allocations: own.resource_allocations.or(given.resource_allocations),
        };
        let (own, given) = (self.validation_requirements, strategy.validation_requirements);
        self.validation_requirements = Required {
            integrity_check: own.integrity_check.or(given.integrity_check),
            dependency_validation: own.dependency_validation.or(given.dependency_validation),
            resource_availability: own.resource_availability.or(given.resource_availability),
            agent_compatibility: own.agent_compatibility.or(given.agent_compatibility),
        };
        Ok(())
    }

    fn take_policies(&mut self) -> Result<(), Failure> {
        let rules = self.conflict_resolution.rules();
        match rules.state_conflicts {
            StateConflicts::MergeStrategy => {}
            StateConflicts::CurrentPriority => self.reset_tasks = On(false),
            StateConflicts::CheckpointPriority => {
                return Err(cannot(
                    "state_conflicts",
                    "a rollback sets the tasks and agents of what goes, and leaves the rest of the state",
                    "`merge_strategy` does that, and `current_priority` leaves all of the state; `wfr partial-restore \
                     CHECKPOINT --components workflow_state` puts the checkpoint's state back",
                ));
            }
        }
        let Some(asked) = rules.dependency_conflicts.map(DependencyConflicts::dependents) else { return Ok(()) };
        if self.dependents != Dependents::default() && self.dependents != asked {
            return Err(Failure::new(
                Code::WrongArguments,
                "`dependents` and `dependency_conflicts` contradict each other",
            )
            .with_hint("leave one of them out"));
        }
        self.dependents = asked;
        Ok(())
    }

    fn take_components(&mut self) -> Result<(), Failure> {
        let affected = self.affected_components;
        if affected.resource_allocations == Some(true) {
            return Err(cannot(
                "resource_allocations",
                "a rollback leaves alone how resources are shared out",
                SHARES_BACK,
            ));
        }
        let state = affected.workflow_state.or(affected.agent_assignments).unwrap_or(true);
        if affected.agent_assignments.is_some_and(|agents| agents != state) {
            let why = "agents are freed with the tasks that are to be done anew";
            return Err(cannot("agent_assignments", why, "give it the value of `workflow_state`, or leave it out"));
        }
        if !state && affected.file_system == Some(false) {
            return Err(Failure::new(Code::WrongArguments, "`affected_components` leaves nothing to be taken back")
                .with_hint("`file_system` is about files, `workflow_state` about tasks and agents"));
        }
        self.reset_tasks = On(self.reset_tasks.0 && state);
        Ok(())
    }

    /// What `full` and `partial` say: everything of the workflow, or parts of it as wholes.
    fn check_scope(&self) -> Result<(), Failure> {
        let parts = [
            ("agent", !self.agent.0.is_empty()),
            ("task", !self.task.0.is_empty()),
            ("phase", self.phase.is_some()),
            ("change", !self.change.0.is_empty()),
        ];
        let named = |key: &str| parts.iter().any(|(name, is_given)| *name == key && *is_given);
        let refused = |message: String, hint: &str| Err(Failure::new(Code::WrongArguments, message).with_hint(hint));
        match self.rollback_scope {
            RollbackScope::Full => match parts.iter().find(|(_, is_given)| *is_given) {
                Some((key, _)) => refused(
                    format!("`rollback_scope` `full` is everything of the workflow, and `{key}` names a part"),
                    "leave one of them out",
                ),
                None => Ok(()),
            },
            RollbackScope::Partial if named("change") => refused(
                "`rollback_scope` `partial` takes parts of the workflow as wholes, and `change` names single changes"
                    .to_owned(),
                "`selective` takes single changes",
            ),
            RollbackScope::Partial if self.file.0.is_empty() && !parts.iter().any(|(_, is_given)| *is_given) => {
                refused(
                    "`rollback_scope` `partial` needs the parts that are meant".to_owned(),
                    "name a phase, a task, an agent or files; `full` is everything of the workflow",
                )
            }
            RollbackScope::Partial | RollbackScope::Selective => Ok(()),
        }
    }

    /// Whether files are taken back.
    pub fn has_files(&self) -> bool {
        self.affected_components.file_system != Some(false)
    }

    /// The rules on what stays, those of `preserve_components` among them.
    pub fn kept(&self) -> PreservationRules {
        PreservationRules {
            preserve_completed_phases: self.preserves(Preserved::CompletedPhases),
            preserve_successful_tasks: self.preserves(Preserved::SuccessfulTasks),
            preserve_external_changes: On(self.preserves(Preserved::ExternalChanges)),
            preserve_resource_optimizations: On(self.preserves(Preserved::ResourceOptimizations)),
        }
    }
}

/// The refusal of something that a rollback does not do.
pub(super) fn cannot(key: &str, why: &str, hint: &str) -> Failure {
    Failure::new(Code::InvalidParameter, format!("`{key}` cannot be so: {why}")).with_hint(hint)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{from_value, json};

    fn settled(value: serde_json::Value) -> Result<Rollback, String> {
        let rollback: Rollback = from_value(value).map_err(|error| error.to_string())?;
        rollback.settled().map_err(|failure| failure.message)
    }

    #[test]
    fn the_references_strategy_is_taken_into_the_keys() {
        let strategy = json!({"rollback_strategy": {
            "strategy_id": "rollback_789",
            "target_checkpoint": "ckpt_456",
            "rollback_scope": "selective",
            "affected_components": {"workflow_state": true, "file_system": true, "agent_assignments": true,
                                    "resource_allocations": false},
            "preservation_rules": {"preserve_completed_phases": true, "preserve_successful_tasks": true,
                                   "preserve_external_changes": false, "preserve_resource_optimizations": true},
            "conflict_resolution": {"file_conflicts": "checkpoint_priority", "state_conflicts": "merge_strategy",
                                    "dependency_conflicts": "dependency_order"},
            "validation_requirements": {"integrity_check": true, "dependency_validation": true,
                                        "resource_availability": true, "agent_compatibility": true}}});
        let found = settled(strategy).unwrap();
        assert_eq!(
            (found.checkpoint.as_deref(), found.strategy_id.as_deref()),
            (Some("ckpt_456"), Some("rollback_789"))
        );
        assert_eq!((found.dependents, found.reset_tasks), (Dependents::Cascade, On(true)));
        assert_eq!(found.conflict_resolution.files(), ConflictResolution::CheckpointPriority);
        assert!(found.preserves(Preserved::CompletedPhases) && !found.preserves(Preserved::ExternalChanges));
        assert_eq!(found.validation_requirements.agent_compatibility, Some(true));
        // A key of its own counts before it.
        let own = json!({"agent": "a", "conflict_resolution": "current_priority",
                         "rollback_strategy": {"conflict_resolution": {"file_conflicts": "checkpoint_priority"}}});
        assert_eq!(settled(own).unwrap().conflict_resolution.files(), ConflictResolution::CurrentPriority);
    }

    #[test]
    fn what_has_no_effect_or_contradicts_itself_is_refused_by_name() {
        for (value, named) in [
            (json!({"conflict_resolution": {"state_conflicts": "checkpoint_priority"}}), "state_conflicts"),
            (json!({"conflict_resolution": {"file_conflict": "current_priority"}}), "file_conflict"),
            (json!({"conflict_resolution": "perhaps"}), "perhaps"),
            (json!({"rollback_strategy": {"rollback_steps": []}}), "rollback_steps"),
            (json!({"rollback_strategy": {"rollback_steps": [{"action": "reboot"}]}}), "reboot"),
            (
                json!({"preservation_rules": {"preserve_resource_optimizations": false}}),
                "preserve_resource_optimizations",
            ),
            (json!({"affected_components": {"resource_allocations": true}}), "resource_allocations"),
            (json!({"affected_components": {"workflow_state": true, "agent_assignments": false}}), "agent_assignments"),
            (json!({"affected_components": {"workflow_state": false, "file_system": false}}), "affected_components"),
            (json!({"validation_requirements": {"resource_availability": false}}), "resource_availability"),
            (
                json!({"dependents": "stop", "conflict_resolution": {"dependency_conflicts": "dependency_order"}}),
                "dependents",
            ),
            (json!({"rollback_scope": "full", "agent": "a"}), "agent"),
            (json!({"rollback_scope": "partial", "since": "2025-01-15T11:30:00Z"}), "partial"),
            (json!({"rollback_scope": "partial", "agent": "a", "change": "chg_1"}), "change"),
        ] {
            let refused = settled(value.clone()).unwrap_err();
            assert!(refused.contains(named), "{value}: {refused}");
        }
    }
}
