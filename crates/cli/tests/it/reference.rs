//! The reference's own examples that concern states: what goes in comes out with the same fields.
//!
//! Owns what becomes of the examples' fields. Refuses to hold the examples: they are in [`crate::blocks`].

use serde_json::{Value, json};

use crate::blocks::{first, has_all};
use crate::world::World;

/// A checkpoint as its schema shows it.
fn checkpoint() -> Value {
    first("checkpoint")
}

/// A world that knows the reference's workflow by its checkpoint.
fn known() -> World {
    let world = World::new();
    world.tree.write("ckpt_789.json", checkpoint().to_string().as_bytes());
    world.ok(&["import", "ckpt_789.json", "--from", "hub"]);
    world
}

#[test]
fn a_checkpoints_state_comes_out_as_it_went_in() {
    let world = known();
    let inner = &checkpoint()["checkpoint"];
    let shown = world.ok(&["export", "workflow_123", "--format", "reference"]);
    has_all(&inner["workflow_state"], shown.result("document"), "workflow_state");
    let hub = world.ok(&["export", "workflow_123"]);
    has_all(&inner["dependencies"], &hub.result("document")["dependencies"], "dependencies");
    has_all(&inner["workflow_state"]["agent_assignments"], &hub.result("document")["agent_assignments"], "agents");
    world.tree.write("again.json", hub.result("document").to_string().as_bytes());
    let again = world.ok(&["import", "again.json", "--from", "hub"]);
    assert_eq!(again.result("states")[0]["became"], "unchanged");
}

#[test]
fn a_checkpoint_that_is_taken_has_every_field_of_the_example() {
    let world = known();
    world.tree.write("home.nix", b"one");
    world.ok(&["create-checkpoint", "workflow_123", r#"{"name": "first"}"#]);
    world.tree.write("home.nix", b"another one");
    world.tree.write("new_module.nix", b"new");
    let asked = json!({"name": "second", "checkpoint_type": "phase_complete", "trigger": "phase_completion", "phase": 2,
        "retention_policy": "30_days", "tags": ["phase_milestone", "pre_critical", "stable"], "validate_integrity": true});
    world.ok(&["create-checkpoint", "workflow_123", &asked.to_string()]);
    let shown = world.ok(&["show", "workflow_123", "second"]);
    let taken = shown.result("checkpoint");
    let example = &checkpoint()["checkpoint"];
    for key in ["workflow_id", "checkpoint_type", "phase_id", "trigger"] {
        assert_eq!(taken[key], example[key], "{key}");
    }
    has_all(&example["workflow_state"]["agent_assignments"], &taken["workflow_state"]["agent_assignments"], "agents");
    for key in ["current_phase", "completed_tasks", "pending_tasks", "failed_tasks", "resource_allocations"] {
        assert!(taken["workflow_state"].get(key).is_some(), "{key}: {taken}");
    }
    let files = &taken["file_system_state"];
    let modified = files["modified_files"].as_array().unwrap();
    let home = modified.iter().find(|one| one["path"] == "home.nix").unwrap();
    for key in ["path", "checksum", "size", "modified_at", "backup_location"] {
        assert!(!home[key].is_null(), "{key}: {home}");
    }
    assert_eq!(home["size"], 11);
    assert_eq!((&files["created_files"], &files["deleted_files"]), (&json!(["new_module.nix"]), &json!([])));
    assert!(files["directory_structure"].is_string(), "{files}");
    for group in ["external_dependencies", "internal_dependencies", "agent_dependencies"] {
        assert!(taken["dependencies"].get(group).is_some(), "{group}: {}", taken["dependencies"]);
    }
    for key in ["state_hash", "file_checksums", "validation_timestamp", "verification_status"] {
        assert!(taken["integrity"].get(key).is_some(), "{key}: {}", taken["integrity"]);
    }
    assert!(taken["integrity"]["state_hash"].as_str().unwrap().starts_with("sha256:"));
    let metadata = &taken["metadata"];
    has_all(&json!({"retention_policy": "30d", "encryption": false, "tags": asked["tags"]}), metadata, "metadata");
    assert!(metadata["size_bytes"].is_u64() && metadata["compression"].is_string(), "{metadata}");
}

#[test]
fn every_form_of_a_current_phase_is_the_same_phase() {
    for form in [json!(2), json!("2"), json!("phase_2"), json!({"phase_id": 2, "name": "Build", "progress": 40})] {
        let world = World::new();
        world.tree.write("state.json", json!({"id": "wf", "current_phase": form}).to_string().as_bytes());
        world.ok(&["import", "state.json", "--from", "hub"]);
        assert_eq!(world.ok(&["export", "wf"]).result("document")["current_phase"], 2, "{form}");
    }
}

#[test]
fn the_state_operations_take_their_examples_word_for_word() {
    let world = known();
    let parameters = json!({"validation_depth": "comprehensive", "check_dependencies": true,
        "verify_file_integrity": true, "performance_check": true});
    let valid = world.ok(&["validate-state", "workflow_123", &parameters.to_string()]);
    let found = valid.result("dependencies").as_array().unwrap().iter();
    let found: Vec<(&str, &str)> =
        found.map(|one| (one["name"].as_str().unwrap(), one["status"].as_str().unwrap())).collect();
    assert_eq!(found, [("nix_flake_inputs", "skipped"), ("system_packages", "skipped")], "the others are there");
    let parameters = json!({"repair_strategy": "conservative", "backup_before_repair": true,
        "validate_after_repair": true, "report_repairs": true});
    let repaired = world.ok(&["repair-state", "workflow_123", &parameters.to_string()]);
    assert_eq!((repaired.result("applied"), repaired.result("validation")), (&json!(false), &json!("passed")));
    let others = ["456", "789"].map(|number| {
        let mut doc = checkpoint();
        doc["checkpoint"]["workflow_state"]["agent_assignments"]["agent_001"]["progress"] =
            json!(number.parse::<u32>().unwrap() % 100);
        let file = format!("ckpt_{number}.json");
        world.tree.write(&file, doc.to_string().as_bytes());
        file
    });
    for strategy in ["priority_based", "latest", "union", "three_way"] {
        let parameters = json!({"primary_state": "current_workflow_state", "secondary_states": others,
            "base_state": "current", "merge_strategy": strategy, "conflict_resolution": "manual_review"});
        match strategy {
            "latest" => drop(world.ok(&["merge-states", &parameters.to_string(), "--plan"])),
            _ => {
                let refused = world.refused(&["merge-states", &parameters.to_string()], 5, "CONFLICTS");
                assert!(refused.result("plan")["conflicts"][0]["winner"].is_null(), "{strategy}: {refused:?}");
            }
        }
        for resolution in ["checkpoint_priority", "current_priority"] {
            let mut settled = parameters.clone();
            settled["conflict_resolution"] = json!(resolution);
            world.ok(&["merge-states", &settled.to_string(), "--plan"]);
        }
    }
}

#[test]
fn the_checkpoint_operations_take_their_examples_word_for_word() {
    let world = known();
    for (operation, parameters) in [
        (
            "create-checkpoint",
            json!({"checkpoint_type": "manual", "name": "pre_critical_operation",
            "include_file_backups": true, "validate_integrity": true}),
        ),
        (
            "list-checkpoints",
            json!({"include_metadata": true, "sort_by": "creation_time",
            "filter_by_type": "phase_complete", "include_integrity_status": true}),
        ),
        (
            "cleanup-checkpoints",
            json!({"retention_policy": "30_days", "preserve_critical": true,
            "compress_archived": true, "report_cleanup": true}),
        ),
        (
            "backup-state",
            json!({"backup_type": "comprehensive", "compression": true, "encryption": false,
            "retention": "permanent"}),
        ),
    ] {
        world.ok(&[operation, "workflow_123", &parameters.to_string()]);
    }
    let parameters = json!({"validation_level": "comprehensive", "repair_if_possible": true, "report_details": true});
    world.ok(&["validate-checkpoint", "pre_critical_operation", &parameters.to_string()]);
}
