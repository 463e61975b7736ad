//! What somebody else left at a path while a traced command ran, before that wrote there, is theirs and is kept.

use std::fs;

use crate::encrypted::encrypted;
use crate::traced::can_trace;
use crate::work::paths;
use crate::world::World;

/// Edits by hand between the beginning of a command and its first writes.
fn edited(world: &World) {
    world.put("kept", "one\n");
    world.put("gone", "old\n");
    let after = "echo three >> kept; rm gone new; echo more > own; mv kept moved; chmod 600 mode";
    world.put("mode", "m\n");
    let (mut child, gate) = world.exec_held("a", "mkdir d; echo > d/f; mv d e; echo x > e/f", after);
    gate.reached();
    world.put("kept", "one\ntwo by hand\n");
    world.put("gone", "by hand\n");
    world.put("new", "new by hand\n");
    world.put("mode", "mode by hand\n");
    gate.open();
    assert!(child.wait().unwrap().success());
}

fn check(world: &World) {
    edited(world);
    let changes = world.changes();
    let own = changes.iter().find(|change| change["agent_id"] == "a").unwrap();
    assert_eq!((&own["source"], &own["confidence"]), (&"traced".into(), &1.0.into()));
    let effects: Vec<(&str, &str)> = own["paths"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (one["path"].as_str().unwrap(), one["effect"].as_str().unwrap()))
        .collect();
    let expected = [
        ("e", "added"),
        ("e/f", "added"),
        ("gone", "removed"),
        ("kept", "removed"),
        ("mode", "metadata"),
        ("moved", "added"),
        ("new", "removed"),
        ("own", "added"),
    ];
    assert_eq!(effects, expected);
    let user = changes.iter().find(|change| change["actor"] == "user" && paths(&change["paths"]).contains(&"new"));
    assert_eq!(paths(&user.unwrap()["paths"]), ["gone", "kept", "mode", "new"]);
    assert!(changes.iter().all(|change| change["actor"] != "shared"));
    world.ok(&["rollback", "wf", "--agent", "a", "--yes"]);
    assert_eq!(world.text("kept"), "one\ntwo by hand\n");
    assert_eq!((world.text("gone"), world.text("new")), ("by hand\n".to_owned(), "new by hand\n".to_owned()));
    assert_eq!(world.text("mode"), "mode by hand\n");
    assert!(!world.has("moved") && !world.has("own") && !world.has("e"));
    world.ok(&["validate-state"]);
}

#[test]
fn an_edit_by_hand_before_a_command_first_writes_there_is_kept_apart() {
    if !can_trace() {
        return;
    }
    check(&World::new());
}

#[test]
fn also_where_the_store_is_encrypted() {
    if !can_trace() {
        return;
    }
    check(&encrypted());
}

#[test]
fn what_was_too_much_to_be_saved_is_nobodys_in_particular() {
    if !can_trace() {
        return;
    }
    let world = World::new();
    let (mut child, gate) = world.exec_held("a", "", "echo > big; echo > small");
    gate.reached();
    fs::write(world.root().join("big"), vec![b'x'; 9 << 20]).unwrap();
    gate.open();
    assert!(child.wait().unwrap().success());
    let big = world.change_at("big");
    assert_eq!((&big["actor"], &big["candidates"][0]["agent_id"]), (&"unknown".into(), &"a".into()));
    assert_eq!(world.change_at("small")["agent_id"], "a");
    let planned = world.ok(&["rollback", "wf", "--agent", "a", "--plan"]);
    assert_eq!(paths(&planned.result("plan")["steps"]), ["small"]);
}

#[test]
fn a_checkpoint_in_between_does_not_take_an_edit_for_the_commands() {
    if !can_trace() {
        return;
    }
    let world = World::new();
    world.put("f", "one\n");
    let (mut child, gate) =
        world.exec_held("a", "", ": > here; echo three >> f; touch written; while [ -e here ]; do sleep 0.01; done");
    gate.reached();
    world.put("f", "one\ntwo by hand\n");
    gate.open();
    crate::traced::until("it has written", || world.has("written"));
    world.checkpoint("between");
    fs::remove_file(world.root().join("here")).unwrap();
    assert!(child.wait().unwrap().success());
    let change = world.change_at("f");
    assert_eq!((&change["actor"], &change["candidates"][0]["agent_id"]), (&"unknown".into(), &"a".into()));
    world.ok(&["rollback", "wf", "--agent", "a", "--yes"]);
    assert!(!world.has("written"));
    assert_eq!(world.text("f"), "one\ntwo by hand\nthree\n");
}
