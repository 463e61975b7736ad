//! Settings that change what a command does, and those that are said to change nothing yet.
//!
//! Owns the effects. Refuses to know where they are read.

use serde_json::{Value, json};

use crate::world::World;

const VALIDATION_TIMEOUT: &str = "recovery_configuration.validation_settings.timeout_limits.validation_timeout";

#[test]
fn every_setting_says_whether_it_has_an_effect() {
    let world = World::new();
    let keys = world.ok(&["config"]).result("keys").as_array().unwrap().clone();
    let named = |in_effect: bool| -> Vec<&str> {
        let keys = keys.iter().filter(|key| key["in_effect"] == in_effect);
        keys.map(|key| key["key"].as_str().unwrap().rsplit('.').next().unwrap()).collect()
    };
    // They come with analysis and prevention.
    let without = [
        "analysis_timeout",
        "data_integrity",
        "system_stability",
        "performance_maintenance",
        "user_impact_minimization",
        "predictive_analysis",
        "early_warning_system",
        "auto_prevention_triggers",
        "resilience_testing_interval",
    ];
    assert_eq!(named(false), without);
    for key in ["compression_enabled", "integrity_checking", "validation_timeout", "restoration_timeout", "quota_bytes"]
    {
        assert!(named(true).contains(&key), "{key}");
    }
    let shown = String::from_utf8(world.command(&["config"]).output().unwrap().stdout).unwrap();
    assert_eq!(shown.matches("no effect in this version").count(), without.len(), "{shown}");
}

#[test]
fn without_compression_the_store_holds_bytes_as_they_are() {
    let text = "a line that repeats itself\n".repeat(2_000);
    let holds = |is_compressed: bool| {
        let world = World::new();
        world.tree.write("text", text.as_bytes());
        let key = "recovery_configuration.checkpoint_policy.compression_enabled";
        world.ok(&["config", key, &is_compressed.to_string()]);
        world.checkpoint("base");
        let packs = std::fs::read_dir(world.vault().join("packs")).unwrap();
        let bytes = packs.flat_map(|pack| std::fs::read(pack.unwrap().path()).unwrap()).collect::<Vec<u8>>();
        let compression = world.ok(&["show", "base"]).result("checkpoint")["metadata"]["compression"].clone();
        world.ok(&["validate-checkpoint", "base", "--validation-level", "comprehensive"]);
        (bytes.windows(text.len()).any(|part| part == text.as_bytes()), compression)
    };
    assert_eq!(holds(false), (true, json!("none")));
    let (as_it_is, compression) = holds(true);
    assert!(!as_it_is && compression != json!("none"), "{compression}");
}

#[test]
fn a_validation_ends_with_its_time() {
    let world = World::new();
    world.checkpoint("base");
    let validate = ["validate-checkpoint", "base", "--validation-level", "comprehensive"];
    world.ok(&["config", VALIDATION_TIMEOUT, "0s"]);
    let refused = world.refused(&validate, 1, "TIME_LIMIT");
    let hint = refused.json["recovery_options"][0].as_str().unwrap();
    assert!(hint.contains(VALIDATION_TIMEOUT), "{hint}");
    let status = |world: &World| world.ok(&["show", "base"]).result("verification_status").clone();
    assert_eq!(status(&world), "unknown", "what was not looked at is not said to be whole");
    for long in ["1h", "permanent"] {
        world.ok(&["config", VALIDATION_TIMEOUT, long]);
        world.ok(&validate);
    }
    assert_eq!(status(&world), Value::from("valid"));
}

#[test]
fn what_was_configured_holds_where_the_view_is_gone() {
    let world = World::new();
    world.put("big/x", "x");
    world.ok(&["config", "capture.exclude", r#"[".git","big"]"#]);
    world.ok(&["config", "agents.trace_commands", "false"]);
    let view = world.root().join(".claude");
    let configured = |world: &World| {
        let shown = world.ok(&["config", "agents.trace_commands"]).json.to_string();
        assert!(shown.contains(r#""value":false"#), "{shown}");
    };
    std::fs::remove_dir_all(&view).unwrap();
    configured(&world);
    assert!(world.call(&["doctor"]).json.to_string().contains("VIEW_MISSING"));
    world.checkpoint("c");
    world.ok(&["init"]);
    configured(&world);
    let refused = world.refused(&["cat", "c", "big/x"], 3, "PATH_NOT_FOUND");
    assert!(refused.json["result"].is_null());
    // A broken one is not kept.
    std::fs::write(view.join("recovery/config.toml"), "x = [").unwrap();
    world.call(&["doctor"]);
    std::fs::remove_dir_all(&view).unwrap();
    configured(&world);
}
