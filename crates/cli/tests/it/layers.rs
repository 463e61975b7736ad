//! The four layers that a restore looks at first: each finds what only it can find, and is silent when it is off.
//!
//! Owns damage for one layer alone. Refuses to know how a layer looks.

use serde_json::{Value, json};

use crate::integrity::damage;
use crate::states::{at_work, by_hand};
use crate::world::World;

const LAYERS: [&str; 4] =
    ["checksum_validation", "structure_validation", "semantic_validation", "cross_reference_validation"];

/// A restore's parameters with these layers only.
fn only(on: &[&str]) -> String {
    let mut parameters = json!({"yes": true});
    for layer in LAYERS {
        parameters[layer] = json!(on.contains(&layer));
    }
    parameters.to_string()
}

/// What each layer said, as one word each.
fn said(results: &Value) -> Vec<&str> {
    LAYERS.iter().map(|layer| results[layer].as_str().unwrap_or("nothing")).collect()
}

/// A workspace with a checkpoint `base` that one layer alone finds wrong, and the error that it gives.
fn damaged_for(layer: &str) -> (World, &'static str) {
    let world = World::new();
    let noise = wfr_testkit::Prng::new(9).bytes(5_000);
    world.tree.write("noise", &noise);
    at_work(&world);
    let damaged = "CHECKPOINT_INTEGRITY_FAILURE";
    let state = |change: &str| {
        world.ok(&["update-state", "wf", change]);
        world.checkpoint("base");
        "STATE_INVALID"
    };
    let error = match layer {
        "checksum_validation" => {
            world.checkpoint("base");
            damage(&world, &noise);
            damaged
        }
        "structure_validation" => {
            state(r#"{"replace": {"head": {"workflow_id": "wf", "status": "running", "current_phase": 9}}}"#)
        }
        "semantic_validation" => state(r#"{"status": "completed"}"#),
        _ => {
            world.checkpoint("base");
            by_hand(&world, "UPDATE checkpoints SET created_at = created_at - 1000000000 WHERE name = 'base'");
            damaged
        }
    };
    (world, error)
}

#[test]
fn each_layer_finds_what_no_other_finds_and_is_skipped_when_it_is_off() {
    for (own, layer) in LAYERS.into_iter().enumerate() {
        let (world, error) = damaged_for(layer);
        for (at, one) in LAYERS.into_iter().enumerate() {
            world.tree.write("a.txt", b"edited");
            let call = ["restore", "wf", "base", &only(&[one])];
            let mut expected = ["skipped"; 4];
            if at == own {
                expected[at] = "failed";
                let refused = world.refused(&call, 4, error);
                assert_eq!(said(refused.result("validation_results")), expected, "{layer}: {refused:?}");
                assert_eq!(world.tree.read("a.txt"), b"edited", "{layer}: nothing was changed");
            } else {
                expected[at] = "passed";
                let done = world.ok(&call);
                assert_eq!(said(done.result("validation_results")), expected, "{layer}, {one}: {done:?}");
                assert_eq!(world.tree.read("a.txt"), b"a0\n", "{layer}, {one}");
            }
        }
    }
}

#[test]
fn what_a_restore_checks_by_itself_is_said_layer_by_layer() {
    let world = World::new();
    at_work(&world);
    world.checkpoint("base");
    let said_by = |more: &[&str]| {
        let done = world.ok(&[&["restore", "wf", "base", "--yes"], more].concat());
        let results = done.result("validation_results");
        let said = said(results).join(" ");
        (results["integrity_check"].as_str().unwrap().to_owned(), said)
    };
    let told = |integrity: &str, layers: &str| (integrity.to_owned(), layers.to_owned());
    // By itself a restore reads a sample, which proves nothing of the rest, and brings back any state.
    assert_eq!(said_by(&[]), told("passed", "skipped passed skipped passed"));
    assert_eq!(said_by(&["--strict-mode"]), told("passed", "passed passed skipped passed"));
    assert_eq!(
        said_by(&["--checksum-validation", "--semantic-validation"]),
        told("passed", "passed passed passed passed")
    );
    assert_eq!(said_by(&["--validate-integrity=false"]), told("skipped", "skipped skipped skipped skipped"));
    let block = r#"{"validation_config": {"integrity_checking": {"checksum_validation": true,
        "structure_validation": false, "semantic_validation": true, "cross_reference_validation": false}}}"#;
    assert_eq!(said_by(&[block]), told("passed", "passed skipped passed skipped"));
}

#[test]
fn a_state_that_makes_no_sense_is_restored_where_nobody_asked_or_it_is_to_be_ignored() {
    let (world, error) = damaged_for("semantic_validation");
    let call = ["restore", "wf", "base", "--yes"];
    let asked = [&call[..], &["--semantic-validation"]].concat();
    world.tree.write("a.txt", b"edited");
    let refused = world.refused(&asked, 4, error);
    let files = refused.json["recovery_options"].to_string();
    assert!(files.contains("--components file_system"), "{refused:?}");
    world.ok(&["partial-restore", "wf", "base", "--components", "file_system", "--yes"]);
    assert_eq!(world.tree.read("a.txt"), b"a0\n", "the hint holds");
    world.ok(&call);
    let ignored = world.ok(&[&asked[..], &["--error-handling", "ignore"]].concat());
    assert_eq!(ignored.result("validation_results")["semantic_validation"], "failed");
    assert_eq!(ignored.result("validation_results")["integrity_check"], "failed");
}
