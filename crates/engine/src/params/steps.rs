//! The reference's `rollback_steps`: what a rollback is said to do, in order.
//!
//! Owns which steps a rollback has, and whether a plan does what they say. Refuses to make a plan follow them.

use std::collections::BTreeSet;

use serde_json::{Map, Value};
use wfr_model::{TaskId, TreePath};

use super::strategy::cannot;
use crate::error::Failure;

const FILES: &str = "restore_file_system_state";
const STATE: &str = "restore_workflow_state";

/// What a rollback does, in its order, with the parameters that each step may have.
const KNOWN: [(&str, &[&str]); 5] = [
    ("validate_checkpoint_integrity", &["strict_mode"]),
    ("backup_current_state", &["emergency_backup"]),
    (FILES, &["selective_files"]),
    (STATE, &["preserve_progress", "tasks"]),
    ("validate_restored_state", &["comprehensive_check"]),
];

/// Steps that were given, as far as a plan may differ from them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Steps {
    has_files: bool,
    has_state: bool,
    /// The paths that may change; all where it is not said.
    files: Option<BTreeSet<TreePath>>,
    /// The tasks that may be set; all where it is not said.
    tasks: Option<BTreeSet<TaskId>>,
}

impl Steps {
    /// Reads them. Refuses by name what a rollback does not do, or not in this order.
    pub fn read(given: &Value) -> Result<Self, Failure> {
        let list = given.as_array().filter(|list| !list.is_empty());
        let list = list.ok_or_else(|| refused("it is no list of steps, each with its `action`"))?;
        let (mut steps, mut next) = (Self::default(), 0);
        for (at, step) in list.iter().enumerate() {
            let Some(step) = step.as_object() else { return Err(refused("a step is no object with an `action`")) };
            if let Some(key) = step.keys().find(|key| !["step", "action", "parameters"].contains(&key.as_str())) {
                return Err(refused(&format!("a step has no `{key}`")));
            }
            if step.get("step").is_some_and(|number| number.as_u64() != Some(at as u64 + 1)) {
                return Err(refused("its steps are not numbered from 1 on"));
            }
            let action = step.get("action").and_then(Value::as_str).unwrap_or_default();
            let Some(known) = KNOWN.iter().position(|(name, _)| *name == action) else {
                return Err(refused(&format!("`{action}` is no step of a rollback")));
            };
            if known < next {
                return Err(refused(&format!("`{action}` comes before `{}`", KNOWN[next - 1].0)));
            }
            next = known + 1;
            steps.take(KNOWN[known], step.get("parameters"))?;
        }
        Ok(steps)
    }

    fn take(&mut self, (action, known): (&str, &[&str]), given: Option<&Value>) -> Result<(), Failure> {
        self.has_files |= action == FILES;
        self.has_state |= action == STATE;
        let none = Map::new();
        let given = match given {
            None => &none,
            Some(given) => given.as_object().ok_or_else(|| refused("`parameters` is no object"))?,
        };
        for (key, value) in given {
            let wrong = |why: &str| refused(&format!("`{key}` of `{action}` {why}"));
            match key.as_str() {
                key if !known.contains(&key) => return Err(wrong("is none of its parameters")),
                "selective_files" => {
                    let files = serde_json::from_value(value.clone());
                    self.files = Some(files.map_err(|_| wrong("is no list of paths in the workspace"))?);
                }
                "tasks" => {
                    let tasks = serde_json::from_value(value.clone());
                    self.tasks = Some(tasks.map_err(|_| wrong("is no list of tasks"))?);
                }
                _ if *value == Value::Bool(true) => {}
                _ => return Err(wrong("is done in any case: it can only be `true`")),
            }
        }
        Ok(())
    }

    /// Refuses a plan that does what they do not say: paths that it changes, tasks that it sets.
    pub fn check(&self, paths: &BTreeSet<&TreePath>, tasks: Option<&[TaskId]>) -> Result<(), Failure> {
        let is_said = |path: &TreePath| self.files.as_ref().is_none_or(|files| files.contains(path));
        if let Some(path) = paths.iter().find(|path| !self.has_files || !is_said(path)) {
            let message = match self.has_files {
                true => format!("`{path}` changes, too, and `selective_files` does not name it"),
                false => format!("`{path}` changes, and `{FILES}` is not among them"),
            };
            return Err(refused(&message));
        }
        let Some(tasks) = tasks else { return Ok(()) };
        if !self.has_state {
            return Err(refused(&format!("the workflow's state is set, and `{STATE}` is not among them")));
        }
        match tasks.iter().find(|task| self.tasks.as_ref().is_some_and(|said| !said.contains(task))) {
            Some(task) => Err(refused(&format!("task {task} is to be done anew, too, and `tasks` does not name it"))),
            None => Ok(()),
        }
    }
}

fn refused(why: &str) -> Failure {
    cannot("rollback_steps", why, "`--plan` shows the steps; `file` and the other keys of a rollback say what is meant")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(value: Value) -> Result<Steps, String> {
        Steps::read(&value).map_err(|failure| failure.message)
    }

    #[test]
    fn only_what_a_rollback_does_in_its_order_is_read() {
        let files = json!({"step": 1, "action": FILES, "parameters": {"selective_files": ["home.nix"]}});
        let state = json!({"action": STATE, "parameters": {"preserve_progress": true}});
        let steps = read(json!([files, state])).unwrap();
        let [named, other]: [TreePath; 2] = ["home.nix", "other"].map(|path| path.parse().unwrap());
        let task: TaskId = "t".parse().unwrap();
        assert!(steps.check(&BTreeSet::from([&named]), Some(std::slice::from_ref(&task))).is_ok());
        assert!(steps.check(&BTreeSet::from([&other]), None).unwrap_err().message.contains("`other` changes, too"));
        let only_files = read(json!([files])).unwrap();
        assert!(only_files.check(&BTreeSet::new(), Some(&[task])).unwrap_err().message.contains(STATE));
        for (wrong, named) in [
            (json!([]), "list"),
            (json!("x"), "list"),
            (json!([state, files]), "numbered"),
            (json!([state, {"action": FILES}]), "comes before"),
            (json!([{"action": "reboot"}]), "`reboot`"),
            (json!([{"action": FILES, "parameters": {"files": []}}]), "`files`"),
            (
                json!([{"action": "backup_current_state", "parameters": {"emergency_backup": false}}]),
                "emergency_backup",
            ),
        ] {
            let refused = read(wrong.clone()).unwrap_err();
            assert!(refused.contains(named), "{wrong}: {refused}");
        }
    }
}
