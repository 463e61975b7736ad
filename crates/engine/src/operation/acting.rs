//! Whether a call changes the workspace, its store or its settings.
//!
//! Owns what of an operation only looks, by its parameters. Refuses to know where the workspace is.

use serde_json::Value;

use super::Effect;

/// Whether a call with these parameters changes anything of the workspace that it finds. What `init` makes it names itself,
/// and what is written elsewhere on request changes nothing here.
pub(crate) fn acts(name: &str, effect: Effect, parameters: &Value) -> bool {
    let is_set = |key: &str| parameters.get(key) == Some(&Value::Bool(true));
    let has = |key: &str| parameters.get(key).is_some_and(|value| !value.is_null());
    match name {
        "init" => false,
        "doctor" => is_set("rebuild_catalog"),
        "config" => has("value") || is_set("unset"),
        _ => effect != Effect::Reads && !is_set("plan") && !is_set("dry_run") && !has("to"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_only_looks_does_not_act() {
        let looks = [
            ("list-checkpoints", Effect::Reads, json!({})),
            ("restore", Effect::Recovers, json!({"plan": true})),
            ("restore", Effect::Recovers, json!({"to": "/elsewhere"})),
            ("cleanup-checkpoints", Effect::Writes, json!({"dry_run": true})),
            ("doctor", Effect::Writes, json!({})),
            ("config", Effect::Writes, json!({"key": "store"})),
        ];
        assert!(looks.iter().all(|(name, effect, parameters)| !acts(name, *effect, parameters)));
        let does = [
            ("restore", Effect::Recovers, json!({"plan": false, "to": null})),
            ("undo", Effect::Recovers, json!({})),
            ("doctor", Effect::Writes, json!({"rebuild_catalog": true})),
            ("config", Effect::Writes, json!({"key": "a.b", "value": "1"})),
        ];
        assert!(does.iter().all(|(name, effect, parameters)| acts(name, *effect, parameters)));
    }
}
