//! The reference's example blocks, as they stand there, and a walk through all of them.
//!
//! Owns reading them from `tests/data/reference.json`, where their source is named, and that none is passed over. Where a block
//! lists alternatives (`a|b|c`), each is tried.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use crate::world::{Ended, World};

const REFERENCE: &str = include_str!("../data/reference.json");

/// Operations whose examples come with a later version.
pub const LATER: [&str; 8] = [
    "analyze-failure",
    "root-cause",
    "impact-assessment",
    "recovery-plan",
    "create-strategy",
    "update-strategy",
    "test-resilience",
    "monitor-health",
];

/// Blocks that are about analyses and strategies, or say in words how components work together.
const OF_OTHER_THINGS: [&str; 4] =
    ["root_cause_analysis", "recovery_strategies", "coordination_integration", "emergency_procedures"];

fn reference() -> Value {
    serde_json::from_str(REFERENCE).unwrap()
}

/// A block by its first key, as it stands there.
pub fn block(name: &str) -> Value {
    reference()["blocks"][name].clone()
}

/// A block with the first of each list of alternatives.
pub fn first(name: &str) -> Value {
    let mut block = block(name);
    choose(&mut block, 0);
    block
}

/// Takes one of each list of alternatives, or the last where there are fewer.
fn choose(value: &mut Value, which: usize) {
    match value {
        Value::String(text) if text.contains('|') => {
            let words: Vec<&str> = text.split('|').collect();
            *text = words[which.min(words.len() - 1)].to_owned();
        }
        Value::Array(list) => list.iter_mut().for_each(|value| choose(value, which)),
        Value::Object(fields) => fields.values_mut().for_each(|value| choose(value, which)),
        _ => {}
    }
}

/// Every place of the first document must have the same value in the second.
#[track_caller]
pub fn has_all(wanted: &Value, found: &Value, at: &str) {
    match wanted {
        Value::Object(fields) => {
            fields.iter().for_each(|(key, value)| has_all(value, &found[key], &format!("{at}/{key}")))
        }
        _ => assert_eq!(wanted, found, "{at}"),
    }
}

/// Every key of the first document must be in the second; lists are not looked into.
#[track_caller]
fn has_keys(wanted: &Value, found: &Value, at: &str) {
    for (key, value) in wanted.as_object().into_iter().flatten() {
        let there = found.get(key).unwrap_or_else(|| panic!("{at}/{key} is not there: {found}"));
        has_keys(value, there, &format!("{at}/{key}"));
    }
}

/// A world with the workflow of the examples, and what its two checkpoints really are called.
fn known() -> (World, [String; 2]) {
    let world = World::new();
    world.tree.write("ckpt.json", first("checkpoint").to_string().as_bytes());
    world.ok(&["import", "ckpt.json", "--from", "hub"]);
    change(&world, "before");
    let taken = ["one", "two"].map(|name| {
        let taken = world.ok(&["create-checkpoint", "workflow_123", "--name", name]);
        change(&world, name);
        taken.result("checkpoint_id").as_str().unwrap().to_owned()
    });
    (world, taken)
}

/// An agent's task, in which it makes a file of this name.
fn change(world: &World, name: &str) {
    let task = format!("task_{name}");
    world.ok(&["event", &format!(r#"TASK_STARTED:workflow_123:2:{{"task_id":"{task}","agent_id":"agent_002"}}"#)]);
    let begun = ["change", "begin", "--workflow", "workflow_123", "--agent", "agent_002", "--task", &task];
    let token = world.ok(&begun).result("token").as_str().unwrap().to_owned();
    world.tree.write(name, b"by agent_002");
    world.ok(&["change", "end", &token]);
}

/// Makes the calls of an example, with the names of the two checkpoints instead of the example's.
fn call(world: &World, [one, two]: &[String; 2], example: &Value, more: &[&str]) -> Ended {
    let named = |text: String| text.replace("ckpt_456", one).replace("ckpt_789", two);
    let mut words = vec![example["operation"].as_str().unwrap().to_owned()];
    words.extend(example["ids"].as_array().unwrap().iter().map(|id| named(id.as_str().unwrap().to_owned())));
    words.push(named(example["parameters"].to_string()));
    words.extend(more.iter().map(|word| (*word).to_owned()));
    world.call(&words)
}

#[test]
fn every_call_of_the_reference_is_taken_word_for_word() {
    let all = reference()["calls"].as_array().unwrap().clone();
    assert_eq!(all.len(), 20);
    for example in &all {
        let operation = example["operation"].as_str().unwrap();
        let (world, checkpoints) = known();
        if LATER.contains(&operation) {
            let later = call(&world, &checkpoints, example, &[]);
            assert_eq!((later.code, later.error()), (2, "NOT_IN_THIS_VERSION"), "{example}");
            continue;
        }
        let changes =
            ["restore", "rollback", "emergency-restore", "partial-restore", "repair-state"].contains(&operation);
        let ended = call(&world, &checkpoints, example, if changes { &["--yes"] } else { &[] });
        match operation {
            // Nobody has decided what both sides have otherwise.
            "merge-states" => assert_eq!((ended.code, ended.error()), (5, "CONFLICTS"), "{ended:?}"),
            _ => assert_eq!(ended.code, 0, "{example}: {ended:?}"),
        }
        assert_eq!(ended.json["operation"], operation);
    }
}

#[test]
fn no_block_is_passed_over() {
    let reference = reference();
    let blocks: BTreeSet<&str> = reference["blocks"].as_object().unwrap().keys().map(String::as_str).collect();
    let walked = [
        "checkpoint",
        "rollback_strategy",
        "state_restoration",
        "success_response",
        "error_response",
        "recovery_configuration",
    ];
    assert_eq!(blocks, walked.into_iter().chain(OF_OTHER_THINGS).collect());
}

#[test]
fn the_checkpoint_goes_in_with_each_of_its_words_and_its_state_comes_out() {
    for which in 0..4 {
        let mut document = block("checkpoint");
        choose(&mut document, which);
        let world = World::new();
        world.tree.write("ckpt.json", document.to_string().as_bytes());
        world.ok(&["import", "ckpt.json", "--from", "hub"]);
        let inner = &document["checkpoint"];
        let shown = world.ok(&["export", "workflow_123", "--format", "reference"]);
        has_all(&inner["workflow_state"], shown.result("document"), "workflow_state");
        let hub = world.ok(&["export", "workflow_123"]).result("document").clone();
        has_all(&inner["dependencies"], &hub["dependencies"], "dependencies");
        let phase = &hub["phases"][0];
        assert_eq!((&phase["phase_id"], &phase["name"]), (&inner["phase_id"], &inner["phase_name"]));
        // One that is taken here in these words says the same of itself, but for its own name and moment.
        let asked = json!({"checkpoint_type": inner["checkpoint_type"], "trigger": inner["trigger"],
            "phase": inner["phase_id"], "retention_policy": inner["metadata"]["retention_policy"],
            "tags": inner["metadata"]["tags"]});
        let taken = world.ok(&["create-checkpoint", "workflow_123", &asked.to_string()]);
        let id = taken.result("checkpoint_id").as_str().unwrap();
        let taken = world.ok(&["show", id]).result("checkpoint").clone();
        has_keys(inner, &taken, "checkpoint");
        for key in
            ["workflow_id", "checkpoint_type", "phase_id", "phase_name", "trigger", "workflow_state", "dependencies"]
        {
            has_all(&inner[key], &taken[key], key);
        }
        assert_eq!(taken["metadata"]["tags"], inner["metadata"]["tags"]);
        assert!(id.starts_with("ckpt_") && taken["created_at"].as_str().unwrap().ends_with('Z'), "{taken}");
    }
}

#[test]
fn the_restoration_is_done_in_each_of_its_modes_and_its_record_has_all_of_it() {
    for which in 0..4 {
        let (world, [_, checkpoint]) = &known();
        let mut document = block("state_restoration");
        choose(&mut document, which);
        let block = &mut document["state_restoration"];
        block["source_checkpoint"] = json!(checkpoint);
        world.tree.write("later", b"made after it");
        let mut asked = json!({"yes": true, "state_restoration": block});
        let mode = block["restoration_mode"].as_str().unwrap().to_owned();
        if mode == "partial" {
            asked["components"] = json!(["file_system", "workflow_state"]);
        }
        let restored = world.ok(&["restore", "workflow_123", checkpoint, &asked.to_string()]);
        assert_eq!(restored.result("recovery_status"), "done", "{mode}: {restored:?}");
        // Nobody's file stays where changes go back one by one, and the agent's goes; a merge keeps both.
        let stays = |name: &str| world.root().join(name).exists();
        let expected = match mode.as_str() {
            "selective" => (true, false),
            "merge" => (true, true),
            _ => (false, false),
        };
        assert_eq!((stays("later"), stays("two")), expected, "{mode}");
        let steps = restored.json["next_steps"].to_string();
        assert!(steps.contains("dependency graph"), "`dependency_restoration` builds it: {restored:?}");
        let told = world.ok(&["recoveries", "--report-details"]);
        let record = &told.result("recoveries")[0]["record"]["parameters"];
        has_all(block, &record["state_restoration"], &mode);
        world.ok(&["undo", "--yes"]);
        assert!(world.root().join("later").exists());
    }
}

#[test]
fn what_a_restoration_cannot_be_is_refused_before_anything_changes() {
    let (world, [_, checkpoint]) = known();
    let before = world.snapshot();
    for (pointer, value) in [
        ("/restoration_steps/0/steps/0", json!("trust_it")),
        ("/restoration_steps/1/atomic", json!(false)),
        ("/rollback_plan/trigger_conditions", json!(["user_abort"])),
        ("/target_state", json!("another_workflow")),
    ] {
        let mut block = first("state_restoration")["state_restoration"].clone();
        block["source_checkpoint"] = json!(checkpoint);
        *block.pointer_mut(pointer).unwrap() = value;
        let asked = json!({"yes": true, "state_restoration": block}).to_string();
        world.refused(&["restore", "workflow_123", &checkpoint, &asked], 2, "INVALID_PARAMETER");
    }
    let mut block = first("state_restoration");
    block["state_restoration"]["source_checkpoint"] = json!(checkpoint);
    let refused = world.refused(&["restore", "workflow_123", "one", &block.to_string(), "--yes"], 2, "WRONG_ARGUMENTS");
    assert!(refused.json["error"]["message"].as_str().unwrap().contains("`one`"), "{refused:?}");
    assert_eq!(before.differences(&world.snapshot()), Vec::<String>::new());
}

#[test]
fn the_source_of_a_restoration_may_stand_for_the_checkpoint_and_is_one_in_any_words() {
    let (world, [first_id, checkpoint]) = known();
    let of = |source: &str| json!({"yes": true, "plan": true, "state_restoration": {"source_checkpoint": source}});
    let target = |words: &[&str], asked: &Value| {
        let planned = world.ok(&[&["restore"], words, &[&asked.to_string()]].concat());
        planned.result("restored_checkpoint").as_str().unwrap_or_else(|| panic!("{planned:?}")).to_owned()
    };
    for source in [checkpoint.as_str(), "two", "latest", &checkpoint[..checkpoint.len() - 3]] {
        for words in [&["workflow_123"][..], &[], &["workflow_123", "two"], &["workflow_123", "latest"]] {
            assert_eq!(target(words, &of(source)), checkpoint, "{words:?} {source}");
        }
    }
    let mut keyed = of("latest");
    keyed["workflow_id"] = json!("workflow_123");
    assert_eq!(target(&[], &keyed), checkpoint);
    let two = world.refused(&["restore", "workflow_123", &first_id, &of("latest").to_string()], 2, "WRONG_ARGUMENTS");
    let error = two.json["error"].to_string();
    assert!(error.contains(&first_id) && error.contains(&checkpoint), "{two:?}");
    world.refused(&["restore", "workflow_123", &of("nowhere").to_string()], 3, "CHECKPOINT_NOT_FOUND");
}

#[test]
fn the_strategy_is_taken_with_each_of_its_words() {
    for which in 0..3 {
        let (world, checkpoints) = known();
        let mut strategy = block("rollback_strategy");
        choose(&mut strategy, which);
        strategy["rollback_strategy"]["target_checkpoint"] = json!(checkpoints[1]);
        // It names no work, the files of its step are none of this tree, and shares are no part of a rollback.
        strategy["rollback_strategy"]["rollback_steps"][2]["parameters"] = json!({});
        let scope = strategy["rollback_strategy"]["rollback_scope"].as_str().unwrap().to_owned();
        let mut asked: Map<String, Value> = strategy.as_object().unwrap().clone();
        asked.insert("plan".to_owned(), json!(true));
        if scope != "full" {
            asked.insert("task".to_owned(), json!("task_two"));
        }
        let planned = world.ok(&["rollback", "workflow_123", &Value::Object(asked).to_string()]);
        let said = &planned.result("plan")["rollback_strategy"];
        assert_eq!((&said["strategy_id"], &said["rollback_scope"]), (&json!("rollback_789"), &json!(scope)));
        has_keys(&strategy["rollback_strategy"], said, "rollback_strategy");
    }
}

#[test]
fn answers_have_the_fields_of_the_references() {
    let (world, [one, _]) = known();
    world.tree.write("later", b"made after it");
    let restored = world.ok(&["restore", "workflow_123", &one, "--yes"]);
    has_keys(&first("success_response"), &restored.json, "success");
    let mut wanted = first("error_response");
    // Nobody is called for what is not critical.
    wanted.as_object_mut().unwrap().remove("emergency_contact");
    has_keys(&wanted, &world.refused(&["restore", "workflow_123", "nothing"], 3, "CHECKPOINT_NOT_FOUND").json, "error");
}

#[test]
fn the_configuration_is_taken_and_is_the_default() {
    let world = World::new();
    let given = first("recovery_configuration");
    let same = world.ok(&["config", &given.to_string()]);
    // A week is written as seven days where nobody wrote it.
    let week = "recovery_configuration.prevention_settings.resilience_testing_interval";
    assert_eq!(same.result("changed"), &json!([week]), "{same:?}");
    let keys = same.result("keys").as_array().unwrap();
    let shown = keys.iter().find(|key| key["key"] == week).unwrap();
    assert_eq!((&shown["value"], &shown["default"]), (&json!("weekly"), &json!("7d")));
}
