//! Lists of checkpoints in every order, what one of them added, and what is written down of all for others to read.
//!
//! Owns the order and the agreement of what is said at several places. Refuses to know how it is kept.

use serde_json::{Value, json};

use crate::world::World;

/// Three checkpoints whose order is another one by age, name, type and size.
fn three() -> World {
    let world = World::new();
    world.tree.write("large", &wfr_testkit::Prng::new(1).bytes(90_000));
    world.tree.write("notes", b"first\n");
    world.checkpoint("mid");
    world.tree.write("small", b"s");
    world.tree.remove("zero");
    world.tree.write("notes", b"edited\n");
    world.ok(&["create-checkpoint", "wf", r#"{"checkpoint_type":"phase_complete","phase":1,"name":"zeta"}"#]);
    world.tree.write("medium", &wfr_testkit::Prng::new(2).bytes(40_000));
    world.ok(&["create-checkpoint", "wf", r#"{"checkpoint_type":"emergency","name":"alpha"}"#]);
    world
}

fn listed(world: &World, words: &[&str]) -> Vec<String> {
    let list = world.ok(&[&["list-checkpoints", "wf"], words].concat()).result("checkpoints").clone();
    list.as_array().unwrap().iter().map(|line| line["name"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn checkpoints_are_listed_in_each_order_and_the_other_way_round() {
    let world = three();
    for (order, names) in [
        ("creation_time", ["mid", "zeta", "alpha"]),
        ("name", ["alpha", "mid", "zeta"]),
        ("size", ["zeta", "alpha", "mid"]),
        ("type", ["alpha", "mid", "zeta"]),
    ] {
        assert_eq!(listed(&world, &["--sort-by", order]), names, "{order}");
        let mut back = names;
        back.reverse();
        assert_eq!(listed(&world, &["--sort-by", order, "--descending"]), back, "{order}");
    }
    assert_eq!(listed(&world, &["--sort-by", "size", "--limit", "1"]), ["zeta"]);
    world.refused(&["list-checkpoints", "wf", "--sort-by", "age"], 2, "INVALID_PARAMETER");
}

#[test]
fn a_checkpoint_says_what_it_added() {
    let world = three();
    let shown = world.ok(&["show", "zeta"]);
    let state = &shown.result("checkpoint")["file_system_state"];
    let counts = &state["files"];
    assert_eq!(
        (&counts["added"], &counts["changed"], &counts["removed"]),
        (&json!(1), &json!(1), &json!(1)),
        "{state}"
    );
    assert_eq!((&state["created_files"], &state["deleted_files"]), (&json!(["small"]), &json!(["zero"])));
    assert_eq!(state["modified_files"][0]["path"], "notes");
    let text = String::from_utf8(world.command(&["show", "zeta"]).output().unwrap().stdout).unwrap();
    for line in ["1 added, 1 changed, 1 removed", "+ small", "~ notes", "- zero"] {
        assert!(text.contains(line), "no `{line}` in {text}");
    }
}

#[test]
fn what_is_written_down_of_checkpoints_is_what_commands_say() {
    let world = three();
    world.ok(&["validate-checkpoint", "zeta"]);
    world.ok(&["metadata", "wf"]);
    let read = |name: &str| -> Value {
        let file = world.root().join(".claude/recovery/checkpoints/wf/metadata").join(name);
        serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap()
    };
    let list = world.ok(&["list-checkpoints", "wf", "--include-metadata"]).result("checkpoints").clone();
    let index = read("checkpoint_index.json");
    assert_eq!(index["workflow_id"], "wf");
    let hashes = read("integrity_hashes.json");
    let lines = list.as_array().unwrap();
    assert_eq!(index["checkpoints"].as_array().unwrap().len(), lines.len());
    assert_eq!(hashes.as_object().unwrap().len(), lines.len());
    for (line, indexed) in lines.iter().zip(index["checkpoints"].as_array().unwrap()) {
        for (key, value) in indexed.as_object().unwrap() {
            assert_eq!(value, &line[key], "{key}");
        }
        let id = line["checkpoint_id"].as_str().unwrap();
        let shown = world.ok(&["show", id]);
        let of = &hashes[id];
        assert_eq!((&of["manifest"], &of["tree"]), (&line["metadata"]["manifest"], &line["metadata"]["tree"]));
        assert_eq!(&of["verification_status"], shown.result("verification_status"));
        assert_eq!(of["tree"], shown.result("checkpoint")["file_system_state"]["tree"]);
    }
    let valid = lines.iter().find(|line| line["name"] == "zeta").unwrap()["checkpoint_id"].as_str().unwrap();
    assert_eq!(hashes[valid]["verification_status"], "valid");
}
