//! The reference's `state_restoration`, as it may be given to a restore.
//!
//! Owns which keys of a restore it stands for, and that no step or plan is taken which a restore does not do. Refuses to
//! restore.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::changes::ConflictResolution;
use super::recoveries::{RestorationMode, Restore, ValidationConfig};
use super::strategy::{Resolution, cannot};
use crate::error::{Code, Failure};

const FILES: &str = "file_system_restoration";
const DEPENDENCIES: &str = "dependency_restoration";
const CONFLICTS: &str = "conflict_resolution";

/// What a restore does, phase by phase in its order: its steps, and the key that says how, which can only be `true`, but for
/// [`CONFLICTS`].
const PHASES: [(&str, [&str; 4], &str); 5] = [
    (
        "pre_restoration_validation",
        [
            "validate_checkpoint_integrity",
            "check_system_prerequisites",
            "verify_resource_availability",
            "backup_current_state",
        ],
        "required",
    ),
    (
        "state_restoration",
        [
            "restore_workflow_metadata",
            "restore_task_states",
            "restore_agent_assignments",
            "restore_resource_allocations",
        ],
        "atomic",
    ),
    (
        FILES,
        ["restore_modified_files", "recreate_deleted_files", "remove_unwanted_files", "verify_file_permissions"],
        CONFLICTS,
    ),
    (
        DEPENDENCIES,
        [
            "rebuild_dependency_graph",
            "validate_external_dependencies",
            "verify_internal_dependencies",
            "resolve_dependency_conflicts",
        ],
        "comprehensive",
    ),
    (
        "post_restoration_validation",
        ["comprehensive_integrity_check", "performance_validation", "functional_testing", "readiness_verification"],
        "critical",
    ),
];

/// When and how a restore is taken back by itself, and what it leaves then.
const BACK: [(&str, &[&str]); 3] = [
    ("trigger_conditions", &["validation_failure", "integrity_compromise", "performance_degradation", "user_abort"]),
    (
        "rollback_steps",
        &[
            "stop_current_restoration",
            "restore_pre_restoration_backup",
            "validate_rollback_success",
            "report_failure_details",
        ],
    ),
    (
        "emergency_procedures",
        &["isolate_corrupted_components", "preserve_partial_progress", "enable_manual_intervention_mode"],
    ),
];

/// A phase by its name, with what it says.
type Named<'b> = (&'static str, &'b Map<String, Value>);

/// What a restore sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum TargetState {
    /// The workflow as it is now.
    CurrentWorkflow,
}

/// The reference's `state_restoration` block.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(inline)]
pub struct StateRestoration {
    /// What it is called; the record of the recovery has it.
    pub restoration_id: Option<String>,
    /// The checkpoint.
    pub source_checkpoint: Option<String>,
    /// What is set; there is nothing else than the workflow as it is now.
    pub target_state: Option<TargetState>,
    /// How much is restored.
    pub restoration_mode: Option<RestorationMode>,
    /// What is checked, and what is done about what is found.
    pub validation_config: Option<ValidationConfig>,
    /// What is done, phase by phase: what a restore does in any case, and, where `dependency_restoration` is among them, the
    /// dependency graph again.
    #[schemars(with = "Option<Vec<serde_json::Map<String, serde_json::Value>>>")]
    pub restoration_steps: Option<Value>,
    /// When and how it is taken back: what a restore does in any case.
    #[schemars(with = "Option<serde_json::Map<String, serde_json::Value>>")]
    pub rollback_plan: Option<Value>,
}

impl StateRestoration {
    /// The phases that are named, with what each says. Refuses by name what a restore does not do, or does in any case and is
    /// said not to.
    fn phases(&self) -> Result<Vec<Named<'_>>, Failure> {
        let Some(given) = &self.restoration_steps else { return Ok(vec![]) };
        let list = given.as_array().filter(|list| !list.is_empty());
        let list = list.ok_or_else(|| steps("it is no list of phases, each with its `steps`"))?;
        let mut phases = Vec::new();
        for phase in list {
            let phase =
                phase.as_object().ok_or_else(|| steps("a phase is no object with a `phase` and its `steps`"))?;
            let name = phase.get("phase").and_then(Value::as_str).unwrap_or_default();
            let Some(at) = PHASES.iter().position(|(known, ..)| *known == name) else {
                return Err(steps(&format!("`{name}` is no phase of a restore")));
            };
            check_phase(PHASES[at], phase)?;
            phases.push((at, phase));
        }
        if !phases.is_sorted_by(|(first, _), (second, _)| first < second) {
            return Err(steps("its phases are not in the order in which a restore does them"));
        }
        let is_there = |at: usize| phases.iter().any(|(named, _)| *named == at);
        let missing = PHASES.iter().enumerate().find(|(at, (name, ..))| !is_there(*at) && *name != DEPENDENCIES);
        match missing {
            Some((_, (name, ..))) => Err(steps(&format!("`{name}` is done in any case, and it does not name it"))),
            None => Ok(phases.into_iter().map(|(at, phase)| (PHASES[at].0, phase)).collect()),
        }
    }

    /// Refuses a plan for taking it back that a restore does not follow.
    fn check_back(&self) -> Result<(), Failure> {
        let Some(given) = &self.rollback_plan else { return Ok(()) };
        let wrong = |why: &str| {
            let hint = "leave it out: a restore that cannot end well is taken back in any case";
            cannot("rollback_plan", why, hint)
        };
        let given = given.as_object().ok_or_else(|| wrong("it is no object with lists"))?;
        for (key, value) in given {
            let Some((_, known)) = BACK.iter().find(|(name, _)| name == key) else {
                return Err(wrong(&format!("it has no `{key}`")));
            };
            check_all(key, value, known).map_err(|why| wrong(&why))?;
        }
        Ok(())
    }
}

/// Refuses a phase that does something else than it does in any case.
fn check_phase((name, known, how): (&str, [&str; 4], &str), phase: &Map<String, Value>) -> Result<(), Failure> {
    check_all(name, phase.get("steps").unwrap_or(&Value::Null), &known).map_err(|why| steps(&why))?;
    for (key, value) in phase {
        match key.as_str() {
            "phase" | "steps" => {}
            key if key != how => return Err(steps(&format!("`{name}` has no `{key}`"))),
            // Which word it is depends on the mode.
            CONFLICTS => {}
            _ if *value == Value::Bool(true) => {}
            key => return Err(steps(&format!("`{key}` of `{name}` is so in any case: it can only be `true`"))),
        }
    }
    Ok(())
}

/// Says why a list is not all that is known, in its order.
fn check_all(name: &str, given: &Value, known: &[&str]) -> Result<(), String> {
    let words: Option<Vec<&str>> = given.as_array().and_then(|list| list.iter().map(Value::as_str).collect());
    let words = words.ok_or_else(|| format!("`{name}` has no list of words"))?;
    if let Some(word) = words.iter().find(|word| !known.contains(word)) {
        return Err(format!("`{word}` is nothing that a restore does in `{name}`"));
    }
    if let Some(word) = known.iter().find(|word| !words.contains(word)) {
        return Err(format!("`{word}` is done in any case, and `{name}` does not name it"));
    }
    if words == known { Ok(()) } else { Err(format!("`{name}` is not in the order in which a restore does it")) }
}

fn steps(why: &str) -> Failure {
    cannot("restoration_steps", why, "leave it out: the modes and the other keys of a restore say what is meant")
}

impl Restore {
    /// The same with what `state_restoration` says in the keys that stand for it. Refuses what contradicts itself, and by name
    /// what a restore does not do. Whether two references to checkpoints mean the same one is not known here: see
    /// [`Restore::other_source`].
    pub fn settled(mut self) -> Result<Self, Failure> {
        let Some(block) = self.state_restoration.clone() else { return Ok(self) };
        self.checkpoint = self.checkpoint.take().or_else(|| block.source_checkpoint.clone());
        match (self.restoration_mode, block.restoration_mode) {
            (RestorationMode::Full, Some(mode)) => self.restoration_mode = mode,
            (own, Some(mode)) if own != mode => {
                return Err(contradiction("restoration_mode", "restoration_mode", [own.as_str(), mode.as_str()]));
            }
            _ => {}
        }
        self.validation_config = self.validation_config.take().or_else(|| block.validation_config.clone());
        block.check_back()?;
        let phases = block.phases()?;
        self.rebuilds_graph = phases.iter().any(|(name, _)| *name == DEPENDENCIES);
        let of_files = phases.iter().find(|(name, _)| *name == FILES).and_then(|(_, phase)| phase.get(CONFLICTS));
        if let Some(word) = of_files {
            self.take_conflicts(word)?;
        }
        Ok(self)
    }

    /// What the block names as its checkpoint, where that is in other words than the key beside it.
    pub fn other_source(&self) -> Option<&str> {
        let source = self.state_restoration.as_ref()?.source_checkpoint.as_deref()?;
        (self.checkpoint.as_deref() != Some(source)).then_some(source)
    }

    /// What the block says of conflicts. A whole tree, and parts of one, become what the checkpoint has.
    fn take_conflicts(&mut self, word: &Value) -> Result<(), Failure> {
        let policy: ConflictResolution = serde_json::from_value(word.clone())
            .map_err(|_| steps(&format!("`{FILES}` has {word} as its `{CONFLICTS}`, which is none")))?;
        if matches!(self.restoration_mode, RestorationMode::Full | RestorationMode::Partial) {
            let is_so = policy == ConflictResolution::CheckpointPriority;
            let why = format!("in mode `{}` the checkpoint has priority", self.restoration_mode.as_str());
            return if is_so { Ok(()) } else { Err(steps(&why)) };
        }
        if self.conflict_resolution == Resolution::default() {
            self.conflict_resolution = Resolution::Word(policy);
        }
        Ok(())
    }
}

/// The refusal of a key beside which `state_restoration` says another one.
pub fn contradiction(own: &str, inner: &str, [one, other]: [&str; 2]) -> Failure {
    let message = format!("`{own}` is `{one}`, and `{inner}` in `state_restoration` is `{other}`");
    Failure::new(Code::WrongArguments, message).with_hint("leave one of them out")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{from_value, json};

    fn settled(value: Value) -> Result<Restore, String> {
        let restore: Restore = from_value(value).map_err(|error| error.to_string())?;
        restore.settled().map_err(|failure| failure.message)
    }

    /// All phases, each with all of its steps.
    fn phases() -> Value {
        let phase = |(name, known, _): &(&str, [&str; 4], &str)| json!({"phase": name, "steps": known});
        PHASES.iter().map(phase).collect()
    }

    #[test]
    fn the_block_stands_for_the_keys() {
        let block = json!({"restoration_id": "restore_789", "source_checkpoint": "base", "restoration_mode": "merge",
            "target_state": "current_workflow", "validation_config": {"integrity_checking": {"strict_mode": true}}});
        let restore = settled(json!({"state_restoration": block})).unwrap();
        assert_eq!((restore.checkpoint.as_deref(), restore.restoration_mode), (Some("base"), RestorationMode::Merge));
        assert!(restore.checks().strict && !restore.rebuilds_graph);
        assert_eq!(restore.clone().settled().unwrap().checkpoint, restore.checkpoint, "once more changes nothing");
        assert_eq!(restore.other_source(), None);
        let refused = settled(json!({"restoration_mode": "partial", "state_restoration": block})).unwrap_err();
        assert!(refused.contains("`partial`"), "{refused}");
        let both = settled(json!({"checkpoint": "latest", "state_restoration": block})).unwrap();
        assert_eq!((both.checkpoint.as_deref(), both.other_source()), (Some("latest"), Some("base")));
        assert!(settled(json!({"state_restoration": {"target_state": "another"}})).is_err());
    }

    #[test]
    fn steps_are_what_a_restore_does_or_are_refused() {
        let with = |steps: Value| settled(json!({"state_restoration": {"restoration_steps": steps}}));
        assert!(with(phases()).unwrap().rebuilds_graph);
        let changed = |at: usize, key: &str, value: Value| {
            let mut all = phases();
            all[at][key] = value;
            with(all)
        };
        let mut fewer = phases();
        fewer.as_array_mut().unwrap().remove(3);
        assert!(!with(fewer.clone()).unwrap().rebuilds_graph, "no graph is built where none is asked for");
        fewer.as_array_mut().unwrap().remove(0);
        let mut turned = phases();
        turned.as_array_mut().unwrap().swap(0, 1);
        for (refused, named) in [
            (with(json!([])), "no list"),
            (with(fewer), "`pre_restoration_validation` is done in any case"),
            (with(turned), "order"),
            (changed(0, "phase", json!("reboot")), "`reboot`"),
            (changed(0, "steps", json!(["backup_current_state"])), "done in any case"),
            (changed(0, "steps", json!(["format_the_disk"])), "`format_the_disk`"),
            (changed(1, "atomic", json!(false)), "`atomic`"),
            (changed(1, "critical", json!(true)), "`critical`"),
            (changed(2, CONFLICTS, json!("current_priority")), "the checkpoint has priority"),
            (changed(2, CONFLICTS, json!("coin")), "coin"),
        ] {
            let refused = refused.unwrap_err();
            assert!(refused.contains(named), "{named}: {refused}");
        }
        assert!(changed(2, CONFLICTS, json!("checkpoint_priority")).is_ok());
        let mut all = phases();
        all[2][CONFLICTS] = json!("current_priority");
        let merged = json!({"restoration_mode": "merge", "restoration_steps": all});
        let merged = settled(json!({"state_restoration": merged})).unwrap();
        assert_eq!(merged.conflict_resolution.rules().file_conflicts, ConflictResolution::CurrentPriority);
    }

    #[test]
    fn a_plan_for_the_way_back_is_what_a_restore_does_or_is_refused() {
        let with = |plan: Value| settled(json!({"state_restoration": {"rollback_plan": plan}})).map(drop);
        let whole: Map<String, Value> = BACK.iter().map(|(key, words)| ((*key).to_owned(), json!(words))).collect();
        assert_eq!(with(Value::Object(whole)), Ok(()));
        for (plan, named) in [
            (json!({"trigger_conditions": ["user_abort"]}), "`validation_failure` is done in any case"),
            (json!({"rollback_steps": ["shrug"]}), "`shrug`"),
            (json!({"when": []}), "`when`"),
            (json!([]), "no object"),
        ] {
            let refused = with(plan).unwrap_err();
            assert!(refused.contains(named), "{named}: {refused}");
        }
    }
}
