//! Two steps, and who does the second one.

use std::fs;
use std::process::Command;

use serde_json::{Value, json};

use super::Client;
use crate::world::World;

fn changed_world() -> World {
    let world = World::new();
    fs::write(world.root().join("f"), "before").unwrap();
    world.checkpoint("base");
    fs::write(world.root().join("f"), "after").unwrap();
    world
}

fn file(world: &World) -> String {
    fs::read_to_string(world.root().join("f")).unwrap()
}

/// Runs the command line that a text ends with, as a person would.
fn run_command_in(world: &World, text: &str) -> Value {
    let command = &text[text.find(": wfr ").unwrap() + ": wfr ".len()..];
    let script = format!("'{}' {command} --json", env!("CARGO_BIN_EXE_wfr"));
    let mut shell = Command::new("sh");
    shell.args(["-c", &script]).current_dir("/").env("XDG_DATA_HOME", world.data.path()).env("HOME", world.data.path());
    serde_json::from_slice(&shell.output().unwrap().stdout).unwrap()
}

#[test]
fn an_agent_plans_and_a_person_applies() {
    let world = changed_world();
    let mut client = Client::of(&world);
    let asked = json!({"workflow_id": "wf", "checkpoint": "base"});
    let planned = client.call("restore", asked.clone());
    let digest = planned["result"]["plan"]["digest"].as_str().unwrap().to_owned();
    let way = planned["next_steps"][0].as_str().unwrap();
    assert!(way.contains("for a person") && way.ends_with(&format!("--apply {digest}")), "{way}");
    let mut with_digest = asked;
    with_digest["apply"] = json!(digest);
    let hint = client.refused("restore", with_digest, "NOT_FOR_AGENTS");
    assert_eq!(file(&world), "after");
    let done = run_command_in(&world, &hint);
    assert_eq!((done["status"].as_str(), file(&world).as_str()), (Some("success"), "before"), "{done}");
    assert_eq!(client.end(), 0);
}

#[test]
fn where_the_configuration_says_so_an_agent_applies_and_is_named() {
    let world = changed_world();
    let mut client = Client::of(&world);
    let key = "agents.may_apply";
    client.refused("config", json!({"key": key, "value": "always"}), "NOT_FOR_AGENTS");
    assert_eq!(client.ok("config", json!({"key": key}))["keys"][0]["value"], "never");
    world.ok(&["config", key, "always"]);
    let asked = json!({"workflow_id": "wf", "checkpoint": "base"});
    let planned = client.ok("restore", asked.clone());
    let stale = json!({"workflow_id": "wf", "checkpoint": "base", "apply": format!("sha256:{}", "0".repeat(64))});
    client.refused("restore", stale, "STALE_PLAN");
    assert_eq!(file(&world), "after");
    let apply = json!({"workflow_id": "wf", "checkpoint": "base", "apply": planned["plan"]["digest"]});
    client.ok("restore", apply);
    assert_eq!(file(&world), "before");
    let records = world.ok(&["recoveries", "--report-details"]).json.to_string();
    assert!(records.contains("agent:tester (ann)"), "{records}");
}

#[test]
fn what_a_person_says_no_agent_can_say() {
    let world = changed_world();
    world.ok(&["config", "agents.may_apply", "always"]);
    let mut client = Client::of(&world);
    for more in [json!({"yes": true}), json!({"allow_config": true}), json!({"functional_check": "touch x"})] {
        let mut asked = json!({"workflow_id": "wf", "checkpoint": "base"});
        asked.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let hint = client.refused("restore", asked, "NOT_FOR_AGENTS");
        assert!(hint.contains("wfr restore '{"), "{hint}");
    }
    client.refused("doctor", json!({"rebuild_catalog": true}), "NOT_FOR_AGENTS");
    client.refused("status", json!({"watch": true}), "NOT_FOR_AGENTS");
    client.refused("restore", json!({"workflow_id": "wf", "checkpoint": "base", "nonsense": 1}), "UNKNOWN_PARAMETER");
    assert_eq!(file(&world), "after");
    let later = client.call("root-cause", json!({}));
    assert_eq!(later["error"]["code"], "NOT_IN_THIS_VERSION");
}

#[test]
fn a_cleanup_is_agreed_to_by_what_would_go() {
    let world = changed_world();
    ["b", "c", "d"].iter().for_each(|name| drop(world.checkpoint(name)));
    let policy = ["cleanup-checkpoints", "wf", "--retention-policy", "last=1"];
    let dry = world.ok(&[&policy[..], &["--dry-run"]].concat());
    let digest = dry.result("digest").as_str().unwrap().to_owned();
    let mut client = Client::of(&world);
    let asked = json!({"workflow_id": "wf", "retention_policy": "last=1"});
    let planned = client.call("cleanup-checkpoints", asked);
    assert_eq!((&planned["result"]["digest"], &planned["result"]["dry_run"]), (&json!(digest), &json!(true)));
    world.checkpoint("e");
    world.refused(&[&policy[..], &["--apply", &digest]].concat(), 5, "STALE_PLAN");
    assert_eq!(world.names().len(), 5);
    let again = client.call("cleanup-checkpoints", json!({"workflow_id": "wf", "retention_policy": "last=1"}));
    let done = run_command_in(&world, again["next_steps"].as_array().unwrap().last().unwrap().as_str().unwrap());
    assert_eq!(done["result"]["removed"].as_array().map(Vec::len), Some(4), "{done}");
    assert_eq!(world.names(), ["e"]);
}

#[test]
fn places_outside_the_workspace_are_a_persons() {
    let world = changed_world();
    let beside = tempfile::tempdir().unwrap();
    let evil = format!("{}-evil", world.root().display());
    std::os::unix::fs::symlink(beside.path(), world.root().join("way-out")).unwrap();
    let mut client = Client::of(&world);
    for place in [beside.path().join("a").to_str().unwrap(), "../a", "way-out/a", "way-out/../a", &evil] {
        client.refused("backup-state", json!({"workflow_id": "wf", "output": place}), "NOT_FOR_AGENTS");
        client.refused("import", json!({"path": place}), "NOT_FOR_AGENTS");
    }
    let state = json!({"primary_state": "current_workflow_state", "secondary_states": ["/etc/x.json"]});
    client.refused("merge-states", state, "NOT_FOR_AGENTS");
    let by_hand = json!({"workflow_id": "wf", "agent": "a", "resolve": ["f=/etc/passwd"]});
    client.refused("rollback", by_hand, "NOT_FOR_AGENTS");
    client.ok("backup-state", json!({"workflow_id": "wf", "output": "inside.wfrarchive"}));
    assert_eq!(fs::read_dir(beside.path()).unwrap().count(), 0);
}
