//! What a workflow needs: looked for at a checkpoint, and again before a restore.

use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::world::World;

/// A workspace whose workflow needs a tool, a file beside, a file in the tree, and a variable.
fn world(needs: Value) -> (World, tempfile::TempDir) {
    let beside = tempfile::tempdir().unwrap();
    let mut world = World::new();
    let path = std::env::join_paths([beside.path(), "/usr/bin".as_ref(), "/bin".as_ref()]).unwrap();
    world.variables = vec![("PATH", path.into()), ("NEEDED", "a secret".into())];
    world.ok(&["initialize", "wf", "{}"]);
    let needs = json!({"dependencies": needs});
    world.ok(&["update-state", "wf", &needs.to_string()]);
    (world, beside)
}

fn tool(dir: &tempfile::TempDir, script: &str) {
    let path = dir.path().join("mill");
    std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

/// The manifest's block.
fn kept(world: &World, checkpoint: &str) -> Value {
    world.ok(&["show", checkpoint]).result("checkpoint")["dependencies"].clone()
}

fn codes(findings: &Value) -> Vec<&str> {
    findings.as_array().unwrap().iter().map(|finding| finding["code"].as_str().unwrap()).collect()
}

#[test]
fn a_checkpoint_says_what_is_needed_and_how_it_stood() {
    let (world, beside) = world(json!({
        "external": [{"type": "tool", "name": "mill"}, "system_packages"], "environment": ["NEEDED"],
        "internal_dependencies": ["previous_phase_outputs"], "agent_dependencies": ["agent_pool_state"]}));
    tool(&beside, "echo mill 1.0");
    world.ok(&["config", "dependencies.files", r#"["no/such/file"]"#]);
    world.checkpoint("base");
    let kept = kept(&world, "base");
    let mut external: Vec<&str> =
        kept["external_dependencies"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
    external.sort_unstable();
    assert_eq!(external, ["NEEDED", "mill", "no/such/file", "system_packages"]);
    assert_eq!(kept["internal_dependencies"], json!(["previous_phase_outputs"]));
    assert_eq!(kept["agent_dependencies"], json!(["agent_pool_state"]));
    let of = |name: &str| {
        let one = kept["probes"].as_array().unwrap().iter().find(|one| one["name"] == name).unwrap();
        (one["kind"].as_str().unwrap().to_owned(), one["status"].as_str().unwrap().to_owned(), one["version"].clone())
    };
    let found = |kind: &str, status: &str, version: Value| (kind.to_owned(), status.to_owned(), version);
    assert_eq!(of("mill"), found("tool", "passed", json!("mill 1.0")));
    assert_eq!(of("NEEDED"), found("variable", "passed", Value::Null));
    assert_eq!(of("no/such/file"), found("file", "failed", Value::Null));
    assert_eq!(of("system_packages"), found("unknown", "skipped", Value::Null));
    assert_eq!(of("agent_pool_state").1, "failed", "it has no agents");
    assert!(!kept.to_string().contains("a secret") && !kept["probed_at"].is_null());
    // Where nothing is declared nothing is said.
    world.ok(&["create-checkpoint", "other", "--name", "bare"]);
    world.ok(&["config", "dependencies.files", "[]"]);
    world.ok(&["create-checkpoint", "third", "--name", "barest"]);
    assert_eq!(self::kept(&world, "barest"), Value::Null);
    // Where nothing is to be looked for, names stay.
    world.ok(&["config", "recovery_configuration.validation_settings.dependency_validation", "none"]);
    world.checkpoint("named");
    let named = self::kept(&world, "named");
    assert_eq!((&named["probes"], &named["probed_at"]), (&json!([]), &Value::Null));
    assert!(named["external_dependencies"].to_string().contains("mill"));
}

#[test]
fn short_forms_are_looked_for_and_what_is_no_form_is_named() {
    let (world, beside) =
        world(json!({"external": [{"env": "NEEDED"}, {"file": "nope.txt"}, {"port": 1}, 5, "mill", "no_such_thing"]}));
    tool(&beside, "echo mill 1.0");
    world.checkpoint("base");
    let kept = kept(&world, "base");
    let probes = kept["probes"].as_array().unwrap().iter();
    let found: Vec<[&str; 3]> =
        probes.map(|one| ["name", "kind", "status"].map(|key| one[key].as_str().unwrap())).collect();
    let expected = [
        ["NEEDED", "variable", "passed"],
        ["nope.txt", "file", "failed"],
        ["127.0.0.1:1", "port", "failed"],
        ["5", "unknown", "skipped"],
        ["mill", "tool", "passed"],
        ["no_such_thing", "unknown", "skipped"],
    ];
    assert_eq!(found, expected);
    assert!(kept["probes"][3]["detail"].as_str().unwrap().contains("no form that is understood"));
}

#[test]
fn what_hangs_keeps_no_checkpoint_waiting() {
    let (world, beside) = world(json!({"tools": ["mill"]}));
    tool(&beside, "sleep 600");
    world.ok(&["config", "dependencies.probe_timeout", "100ms"]);
    let begun = Instant::now();
    world.checkpoint("base");
    assert!(begun.elapsed() < Duration::from_secs(60), "{:?}", begun.elapsed());
    let kept = kept(&world, "base");
    assert!(["skipped", "passed"].contains(&kept["probes"][0]["status"].as_str().unwrap()), "{kept}");
    assert_eq!(kept["probes"][0]["version"], Value::Null);
    world.refused(&["config", "dependencies.probe_timeout", "permanent"], 2, "INVALID_PARAMETER");
}

#[test]
fn what_is_missing_at_a_restore_is_a_finding_and_strictly_a_refusal() {
    let (world, beside) = world(json!({"tools": ["mill"], "files": ["a.txt"]}));
    tool(&beside, "echo mill 1.0");
    world.tree.write("a.txt", b"needed");
    world.checkpoint("base");
    // What the restore brings back is not missing.
    std::fs::remove_file(world.tree.at("a.txt")).unwrap();
    let done = world.ok(&["restore", "wf", "base", "--yes"]);
    assert_eq!(
        (done.result("findings"), &done.result("validation_results")["dependency_validation"]),
        (&json!([]), &json!("passed"))
    );
    tool(&beside, "echo mill 2.0");
    world.tree.write("a.txt", b"edited");
    let plan = world.ok(&["restore", "wf", "base", "--plan"]);
    assert_eq!(codes(&plan.result("plan")["findings"]), ["DEPENDENCY_CHANGED"]);
    let shown = world.command(&["restore", "wf", "base", "--plan"]).output().unwrap().stdout;
    assert!(String::from_utf8(shown).unwrap().contains("mill 2.0"));
    std::fs::remove_file(beside.path().join("mill")).unwrap();
    let strict = |arguments: &[&str]| {
        let refused = world.refused(arguments, 4, "DEPENDENCY_MISSING");
        assert_eq!(codes(refused.result("findings")), ["DEPENDENCY_MISSING"]);
        assert_eq!(world.tree.read("a.txt"), b"edited");
    };
    let before = world.names();
    strict(&["restore", "wf", "base", "--yes", "--dependency-validation", "strict"]);
    strict(&["restore", "wf", "base", "--yes", "--strict-mode"]);
    let key = "recovery_configuration.validation_settings.dependency_validation";
    world.ok(&["config", key, "strict"]);
    strict(&["restore", "wf", "base", "--yes"]);
    strict(&["emergency-restore", "wf", "--yes"]);
    assert_eq!(world.names(), before, "nothing was saved, since nothing was to change");
    let done = world.ok(&["restore", "wf", "base", "--yes", "--dependency-validation", "basic"]);
    assert_eq!(codes(done.result("findings")), ["DEPENDENCY_MISSING"]);
    assert_eq!(done.result("validation_results")["dependency_validation"], "failed");
    assert_eq!(world.tree.read("a.txt"), b"needed");
    // To where it was it goes back in any case.
    world.ok(&["undo", "--yes"]);
    world.ok(&["config", key, "none"]);
    let done = world.ok(&["restore", "wf", "base", "--yes"]);
    assert_eq!(done.result("validation_results")["dependency_validation"], "skipped");
    world.refused(&["config", key, "thorough"], 2, "INVALID_PARAMETER");
}

#[test]
fn a_restore_is_measured_against_those_before() {
    let world = World::new();
    world.checkpoint("base");
    let restore = |text: &str| {
        world.tree.write("a.txt", text.as_bytes());
        let done = world.ok(&["restore", "wf", "base", "--yes"]);
        done.result("validation_results")["performance_check"].as_str().unwrap().to_owned()
    };
    assert_eq!([restore("1"), restore("2"), restore("3")], ["skipped"; 3]);
    assert_ne!(restore("4"), "skipped");
    world.ok(&["config", "recovery_configuration.validation_settings.performance_validation", "false"]);
    assert_eq!(restore("5"), "skipped");
}

#[test]
fn the_pool_and_the_shares_come_back_with_the_state() {
    let world = World::new();
    world.ok(&["initialize", "wf", r#"{"agents": {"a1": {"status": "active", "current_task": "t1"}}}"#]);
    let share = world.ok(&["allocate", "wf", r#"{"resources": {"cpu_cores": 2}}"#]).result("allocation_id").clone();
    world.checkpoint("base");
    world.ok(&["update-state", "wf", r#"{"agents": {"a1": {"status": "failed"}, "a2": {"status": "idle"}}}"#]);
    world.ok(&["release", "wf"]);
    world.ok(&["allocate", "wf", r#"{"resources": {"cpu_cores": 1, "memory_gb": 1}}"#]);
    let done = world.ok(&["restore", "wf", "base", "--yes"]);
    assert_eq!(done.result("components_restored").to_string().matches("agent_assignments").count(), 1, "{done:?}");
    assert!(done.result("components_restored").to_string().contains("resource_allocations"), "{done:?}");
    let state = world.ok(&["get-state", "wf"]).json["result"].to_string();
    assert!(state.contains("a1") && !state.contains("a2") && state.contains(r#""status":"active""#), "{state}");
    let holds = world.ok(&["holds", "wf"]);
    let shares = holds.result("allocations").as_array().unwrap();
    assert_eq!(shares.len(), 1, "{shares:?}");
    assert_eq!((&shares[0]["allocation_id"], &shares[0]["resources"]["cpu_cores"]), (&share, &json!(2)));
}

#[test]
fn a_look_at_a_state_looks_for_what_the_configuration_declares_for_all() {
    let world = World::new();
    world.ok(&["event", "WORKFLOW_STARTED:wf:global:{}"]);
    world.ok(&["config", "dependencies.tools", r#"["sh","no-such-tool"]"#]);
    let needs = |arguments: &[&str]| {
        let ended =
            world.refused(&[&["validate-state", "wf", "--check-dependencies"], arguments].concat(), 4, "STATE_INVALID");
        assert_eq!(ended.result("checks")["dependency_validation"], "failed");
        let needs = ended.result("dependencies").as_array().unwrap().iter();
        Vec::from_iter(needs.map(|one| (one["name"].as_str().unwrap().to_owned(), one["declared_in"].clone())))
    };
    let need = |name: &str, origins: Value| (name.to_owned(), origins);
    assert_eq!(needs(&[]), [need("no-such-tool", json!(["configuration"]))]);
    let said = json!({"dependencies": {"tools": ["no-such-tool", "nor-this-one"]}});
    world.ok(&["update-state", "wf", &said.to_string()]);
    assert_eq!(
        needs(&["--report-details"]),
        [
            need("sh", json!(["configuration"])),
            need("no-such-tool", json!(["configuration", "state"])),
            need("nor-this-one", json!(["state"])),
        ]
    );
    let shown = world.command(&["validate-state", "wf", "--check-dependencies"]).output().unwrap();
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(shown.contains("(declared in the configuration and the state)"), "{shown}");
    world.ok(&["config", "dependencies.tools", "--unset"]);
    world.ok(&["config", "dependencies.external", r#"[{"tool":"no-such-tool"}]"#]);
    assert!(needs(&[]).contains(&need("no-such-tool", json!(["configuration", "state"]))));
}
