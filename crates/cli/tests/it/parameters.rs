//! Parameters as the reference writes them, as flags, and as nobody should write them.
//!
//! Owns the reference's examples word for word. Refuses to know what the operations do with them.

use serde_json::{Value, json};

use crate::blocks::LATER;
use crate::world::World;

/// The reference's examples of the operations that this version has, with its names replaced by those of the test.
const EXAMPLES: [(&[&str], &str); 8] = [
    (
        &["create-checkpoint", "workflow_123"],
        r#"{"checkpoint_type": "manual", "name": "pre_critical_operation", "include_file_backups": true,
            "validate_integrity": true}"#,
    ),
    (
        &["list-checkpoints", "workflow_123"],
        r#"{"include_metadata": true, "sort_by": "creation_time", "filter_by_type": "phase_complete",
            "include_integrity_status": true}"#,
    ),
    (
        &["validate-checkpoint", "base"],
        r#"{"validation_level": "comprehensive", "repair_if_possible": true, "report_details": true}"#,
    ),
    (
        &["restore", "workflow_123", "base", "--yes"],
        r#"{"restoration_mode": "full", "validate_integrity": true, "preserve_progress": false,
            "notify_coordination_hub": true}"#,
    ),
    (
        &["restore", "workflow_123", "base", "--yes"],
        r#"{"validation_config": {"integrity_checking": {"checksum_validation": true, "structure_validation": true,
            "semantic_validation": true, "cross_reference_validation": true, "strict_mode": false},
            "error_handling": {"validation_failures": "repair", "corruption_detection": "rollback_to_previous",
            "dependency_errors": "reconstruct_dependencies"}}}"#,
    ),
    (
        &["emergency-restore", "workflow_123", "--yes"],
        r#"{"use_latest_valid_checkpoint": true, "skip_validation": false, "priority": "critical",
            "notify_stakeholders": true}"#,
    ),
    (
        &["cleanup-checkpoints", "workflow_123"],
        r#"{"retention_policy": "30_days", "preserve_critical": true, "compress_archived": true,
            "report_cleanup": true}"#,
    ),
    (
        &["backup-state", "workflow_123", "--output", "../backup.wfrarchive"],
        r#"{"backup_type": "comprehensive", "compression": true, "encryption": false, "retention": "permanent"}"#,
    ),
];

/// The reference's `recovery_configuration`.
const CONFIGURATION: &str = r#"{"recovery_configuration": {
    "checkpoint_policy": {"automatic_checkpoint_interval": "15m", "phase_completion_checkpoints": true,
        "pre_critical_operation_checkpoints": true, "retention_period": "30d", "compression_enabled": true},
    "validation_settings": {"integrity_checking": "strict", "dependency_validation": "comprehensive",
        "performance_validation": true, "timeout_limits": {"validation_timeout": "5m",
        "restoration_timeout": "30m", "analysis_timeout": "10m"}},
    "recovery_priorities": {"data_integrity": 1.0, "system_stability": 0.9, "performance_maintenance": 0.8,
        "user_impact_minimization": 0.7},
    "prevention_settings": {"predictive_analysis": true, "early_warning_system": true,
        "auto_prevention_triggers": true, "resilience_testing_interval": "weekly"}}}"#;

#[test]
fn the_references_examples_are_accepted_word_for_word() {
    let world = World::new();
    world.ok(&["create-checkpoint", "workflow_123", "--name", "base"]);
    let out = world.data.path().join("backup.wfrarchive");
    for (words, parameters) in EXAMPLES {
        let words: Vec<&str> =
            words.iter().map(|word| if word.ends_with("wfrarchive") { out.to_str().unwrap() } else { word }).collect();
        let ended = world.ok(&[&words[..], &[parameters]].concat());
        assert_eq!(ended.json["operation"], words[0]);
    }
    world.ok(&["config", CONFIGURATION]);
}

#[test]
fn the_references_examples_have_their_effect() {
    let world = World::new();
    let made = world.ok(&["create-checkpoint", "wf", EXAMPLES[0].1]);
    assert_eq!(made.result("integrity_check"), "passed");
    world.ok(&["create-checkpoint", "wf", r#"{"checkpoint_type": "phase_complete", "phase": 1}"#]);
    let listed = world.ok(&["list-checkpoints", "wf", EXAMPLES[1].1]);
    let lines = listed.result("checkpoints").as_array().unwrap();
    assert_eq!((lines.len(), &lines[0]["name"]), (1, &json!("phase_1_complete")));
    assert!(lines[0]["metadata"]["size_bytes"].is_u64() && lines[0]["verification_status"].is_string());
    let plain = world.ok(&["list-checkpoints", "wf"]);
    assert!(plain.result("checkpoints")[0].get("metadata").is_none());
    let changed =
        world.ok(&["config", r#"{"recovery_configuration": {"checkpoint_policy": {"retention_period": "60d"}}}"#]);
    assert_eq!(changed.result("changed").as_array().unwrap().len(), 1);
    let shown = world.ok(&["config", "recovery_configuration.checkpoint_policy.retention_period"]);
    assert_eq!(shown.result("keys")[0]["value"], "60d");
}

#[test]
fn operations_that_come_later_say_so() {
    let world = World::new();
    for name in LATER {
        let ended = world.call(&[name, "wf", "{}"]);
        assert_eq!((ended.code, ended.error()), (2, "NOT_IN_THIS_VERSION"), "{name}: {ended:?}");
    }
}

#[test]
fn text_that_is_not_one_json_object_is_refused() {
    let world = World::new();
    let deep = format!("{{\"tags\": {}{}}}", "[".repeat(10_000), "]".repeat(10_000));
    let long = format!("{{\"name\": \"{}\"}}", "x".repeat(100_000));
    for (parameters, error) in [
        (r#"{"name": "x""#, "INVALID_JSON"),
        (r#"{"name": "x", "name": "y"}"#, "INVALID_JSON"),
        (r#"{"phase_id": 1e400}"#, "INVALID_JSON"),
        (r#"{"phase_id": NaN}"#, "INVALID_JSON"),
        (r#"{"name": "x"} {}"#, "INVALID_JSON"),
        (r#"{'name': 'x'}"#, "INVALID_JSON"),
        (&deep, "INVALID_JSON"),
        (&long, "INVALID_PARAMETER"),
        (r#"{"phase_id": 1.5}"#, "INVALID_PARAMETER"),
        (r#"{"name": 7}"#, "INVALID_PARAMETER"),
        (r#"{"name": ""}"#, "INVALID_PARAMETER"),
        (r#"{"name": "a\u0000b"}"#, "INVALID_PARAMETER"),
        (r#"{"name": "a\nb"}"#, "INVALID_PARAMETER"),
        (r#"{"tags": {"a": 1}}"#, "INVALID_PARAMETER"),
        (r#"{"deadline": "-1s"}"#, "INVALID_PARAMETER"),
        (r#"{"phase": 1, "phase_id": 2}"#, "INVALID_PARAMETER"),
        (r#"{"phase": -1}"#, "INVALID_PARAMETER"),
        (r#"{"name": "tree"}"#, "INVALID_PARAMETER"),
        (r#"{"name": "latest"}"#, "INVALID_PARAMETER"),
        (r#"{"tags": ["a", " "]}"#, "INVALID_PARAMETER"),
        (r#"{"retention_policy": "0d"}"#, "INVALID_PARAMETER"),
    ] {
        let ended = world.call(&["create-checkpoint", "wf", parameters]);
        let shown: String = parameters.chars().take(60).collect();
        assert_eq!((ended.code, ended.error()), (2, error), "{shown}: {:.400}", format!("{ended:?}"));
    }
    world.refused(&["create-checkpoint", "wf", "{}", "{}"], 2, "WRONG_ARGUMENTS");
    world.refused(&["create-checkpoint", "ckpt_12345678"], 2, "INVALID_PARAMETER");
    world.refused(&["list-checkpoints", r#"{"limit": -1}"#], 2, "INVALID_PARAMETER");
    assert_eq!(world.ok(&["list-checkpoints"]).result("total"), 0);
}

#[test]
fn ids_are_names_and_never_paths_flags_or_commands() {
    let world = World::new();
    world.checkpoint("base");
    for id in ["../x", "a/b", ".", "..", "/etc", "x\u{0}y", "a\nb", ""] {
        let parameters = json!({"workflow_id": id}).to_string();
        let ended = world.call(&["create-checkpoint", &parameters]);
        assert_eq!(ended.code, 2, "{id:?}: {ended:?}");
    }
    for reference in ["../base", "%2e%2e", "--output=x", "$(touch pwned)", "`touch pwned`", "base; touch pwned"] {
        let parameters = json!({"checkpoint": reference}).to_string();
        let ended = world.call(&["show", &parameters]);
        assert!(matches!(ended.code, 2 | 3), "{reference:?}: {ended:?}");
    }
    assert!(!world.tree.at("pwned").exists());
    let other = World::new();
    let id = other.checkpoint("theirs").result("checkpoint_id").as_str().unwrap().to_owned();
    world.refused(&["show", &id], 3, "CHECKPOINT_NOT_FOUND");
    world.refused(&["restore", "wf", &id, "--yes"], 3, "CHECKPOINT_NOT_FOUND");
    assert_eq!(world.names(), ["base"]);
}

#[test]
fn flags_and_keys_are_the_same_parameters() {
    let world = World::new();
    world.ok(&["create-checkpoint", "wf", "--name", "flags", "--tags", "a", "--tags", "b", "--phase-id", "3"]);
    world.ok(&["create-checkpoint", r#"{"workflow_id":"wf","name":"keys","tags":["a","b"],"phase_id":3}"#]);
    let listed = world.ok(&["list-checkpoints", "wf", "--tags", "a", "--tags", "b"]);
    let lines = listed.result("checkpoints").as_array().unwrap();
    assert_eq!(lines.len(), 2);
    for key in ["tags", "phase_id", "checkpoint_type", "trigger"] {
        assert_eq!(lines[0][key], lines[1][key], "{key}");
    }
    let newest = world.ok(&["list-checkpoints", "wf", "--descending", "--limit", "1"]);
    assert_eq!(
        (newest.result("checkpoints")[0]["name"].as_str(), newest.result("total").as_u64()),
        (Some("keys"), Some(2))
    );
    for (arguments, near) in [
        (&["restore", "wf", "flags", "--exact-mtim"][..], "exact-mtime"),
        (&["restore", "wf", "flags", r#"{"exact_mtim": true}"#], "exact_mtime"),
        (&["list-checkpoints", "--sort-bye", "name"], "sort-by"),
        (&["doctor", "--rebuild"], "rebuild-catalog"),
    ] {
        let refused = world.refused(arguments, 2, "UNKNOWN_PARAMETER");
        assert!(refused.json["recovery_options"].to_string().contains(near), "{near}: {refused:?}");
    }
}

#[test]
fn a_store_of_another_time_is_left_alone() {
    let world = World::new();
    world.checkpoint("base");
    let file = world.vault().join("format.json");
    let good: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    for (version, error) in
        [(json!(0), "UNSUPPORTED_FORMAT"), (json!(99), "UNSUPPORTED_FORMAT"), (json!("x"), "STORE_DAMAGED")]
    {
        let mut other = good.clone();
        other["format_version"] = version;
        std::fs::write(&file, other.to_string()).unwrap();
        for arguments in [&["list-checkpoints"][..], &["create-checkpoint", "wf"], &["restore", "wf", "base", "--yes"]]
        {
            world.refused(arguments, 4, error);
        }
    }
    std::fs::write(&file, good.to_string()).unwrap();
    assert_eq!(world.names(), ["base"]);
    world.ok(&["doctor"]);
}

#[test]
fn a_phase_is_found_by_its_number_and_by_its_name() {
    let world = World::new();
    let state = json!({"id": "wf", "status": "running", "phases": [
        {"phase_id": 1, "name": "Alpha", "status": "in_progress"}, {"phase_id": 2, "name": "Write the Docs"},
        {"phase_id": "review", "name": "Review"}, {"phase_id": 5, "name": "Twice"}, {"phase_id": 6, "name": "Twice"}]});
    world.tree.write("state.json", state.to_string().as_bytes());
    world.ok(&["import", "state.json", "--from", "hub"]);
    let mut taken = 0;
    let mut phase = |flags: &[&str]| {
        taken += 1;
        let name = format!("c{taken}");
        world.ok(&[&["create-checkpoint", "wf", "--name", &name], flags].concat());
        let shown = world.ok(&["show", "wf", &name]);
        (shown.result("checkpoint")["phase_id"].clone(), shown.result("checkpoint")["phase_name"].clone())
    };
    for (flags, number, name) in [
        (["--phase", "Alpha"], json!(1), json!("Alpha")),
        (["--phase", "1"], json!(1), json!("Alpha")),
        (["--phase-id", "2"], json!(2), json!("Write the Docs")),
        (["--phase-name", "write the docs"], json!(2), json!("Write the Docs")),
        (["--phase", "review"], Value::Null, json!("Review")),
        (["--phase", "Twice"], Value::Null, json!("Twice")),
        (["--phase", "Other"], Value::Null, json!("Other")),
        (["--phase", "9"], json!(9), Value::Null),
    ] {
        assert_eq!(phase(&flags), (number, name), "{flags:?}");
    }
}

#[test]
fn the_error_handling_of_the_reference_is_done_and_not_only_taken() {
    let world = World::new();
    world.ok(&["event", r#"TASK_STARTED:wf:1:{"task_id":"t1"}"#]);
    world.checkpoint("base");
    world.ok(&["event", r#"TASK_STARTED:wf:1:{"task_id":"t2"}"#]);
    let noise = wfr_testkit::Prng::new(9).bytes(5_000);
    world.tree.write("noise", &noise);
    world.checkpoint("later");
    let asked = r#"{"validate_integrity": false, "yes": true, "validation_config": {"error_handling":
        {"corruption_detection": "rollback_to_previous", "dependency_errors": "reconstruct_dependencies"}}}"#;
    let restored = world.ok(&["restore", "wf", "base", asked]);
    let told = restored.json["next_steps"].to_string();
    let file = told.split("built again: ").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
    assert!(file.ends_with("dependency_graph.json"), "{told}");
    let graph = std::fs::read_to_string(file).unwrap();
    assert!(graph.contains("t1") && !graph.contains("t2"), "it is that of the restored state: {graph}");
    // Damage that nobody looked for before is met when the files are brought back.
    let before = world.snapshot();
    crate::integrity::damage(&world, &noise);
    world.refused(&["restore", "wf", "later", asked], 4, "CHECKPOINT_INTEGRITY_FAILURE");
    before.assert_same(&world.snapshot());
    world.ok(&["doctor"]);
    world.refused(
        &["restore", "wf", "base", r#"{"validation_config": {"error_handling": {"dependency_errors": "ignore"}}}"#],
        2,
        "INVALID_PARAMETER",
    );
}
