//! Commands under `wfr exec` within commands under `wfr exec`: each has what it wrote.

use std::process::Output;

use crate::encrypted::encrypted;
use crate::traced::{Gate, can_trace, signal, until};
use crate::work::paths;
use crate::world::World;

/// What a script says to run another one within it, for an agent.
fn within(agent: &str, script: &str) -> String {
    assert!(!script.contains('"'));
    format!("{} exec --workflow wf --agent {agent} -- sh -c \"{script}\"", env!("CARGO_BIN_EXE_wfr"))
}

#[track_caller]
fn ran(output: &Output) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(0) && !said.contains("wfr:"), "{output:?}");
}

/// Paths of the newest change of an agent that has ended by itself, and how it is known.
fn of(world: &World, agent: &str) -> (Vec<String>, String) {
    let changes = world.changes();
    let change = changes.iter().find(|change| change["agent_id"] == agent && !change["evidence"].is_null()).unwrap();
    let paths = paths(&change["paths"]).into_iter().map(str::to_owned).collect();
    (paths, change["source"].as_str().unwrap().to_owned())
}

fn traced(paths: &[&str]) -> (Vec<String>, String) {
    (paths.iter().map(|path| (*path).to_owned()).collect(), "traced".to_owned())
}

/// The outer one writes before, beside and after the inner one.
fn check(world: &World) {
    let gate = Gate::new();
    let inner = within("i", &format!("echo > first; {}; mkdir d; (echo > d/deep); mv first last", gate.wait()));
    let outer = format!("echo > before; {inner} & child=$!; {}; echo > beside; wait $child || exit 9; echo > after", {
        // The inner one is there before, and goes on only then.
        gate.seen()
    });
    let child = world.exec("o", &outer).stderr(std::process::Stdio::piped()).spawn().unwrap();
    until("the outer one has written beside it", || world.has("beside"));
    gate.open();
    ran(&child.wait_with_output().unwrap());
    assert_eq!(of(world, "o"), traced(&["after", "before", "beside"]));
    assert_eq!(of(world, "i"), traced(&["d", "d/deep", "last"]));
    assert!(world.changes().iter().all(|change| change["ended_at"].is_string() && change["actor"] != "shared"));
    world.ok(&["rollback", "wf", "--agent", "i", "--yes"]);
    assert!(world.has("before") && world.has("beside") && world.has("after") && !world.has("last") && !world.has("d"));
    assert_eq!(std::fs::read_dir(world.vault().join("traces")).unwrap().count(), 0);
}

#[test]
fn each_of_two_has_what_it_wrote_also_while_the_other_writes() {
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
    let world = encrypted();
    check(&world);
}

#[test]
fn a_path_that_both_wrote_in_turn_is_each_ones_own_piece() {
    if !can_trace() {
        return;
    }
    let world = World::new();
    let outer = format!("echo o > both; {} || exit 9; echo more >> both", within("i", "echo i > both; echo > mine"));
    ran(&world.exec("o", &outer).output().unwrap());
    assert_eq!(of(&world, "i"), traced(&["both", "mine"]));
    assert_eq!(of(&world, "o"), traced(&["both"]));
    world.ok(&["rollback", "wf", "--agent", "o", "--agent", "i", "--yes"]);
    assert!(!world.has("both"));
}

#[test]
fn at_any_depth_and_one_after_the_other() {
    if !can_trace() {
        return;
    }
    let world = World::new();
    let deepest = within("c", "echo > c").replace('"', "'");
    let deeper = within("b", &format!("echo > b; {deepest}"));
    let last = within("d", "echo > d");
    ran(&world.exec("a", &format!("{deeper} || exit 9; {last} || exit 9; echo > a")).output().unwrap());
    for agent in ["a", "b", "c", "d"] {
        assert_eq!(of(&world, agent), traced(&[agent]));
    }
}

#[test]
fn what_leaves_its_parents_is_still_of_the_inner_one_where_it_was_seen_before() {
    if !can_trace() {
        return;
    }
    let world = World::new();
    let gate = Gate::new();
    // It was seen when it ran `sh`; its parents end, it has a session of its own, and writes only then.
    let script = format!("(setsid sh -c '{}; echo > left' > /dev/null 2>&1 &) ; {}", gate.wait(), gate.seen());
    let outer = format!("{} || exit 9; echo > after; while [ ! -e left ]; do sleep 0.01; done", within("i", &script));
    let child = world.exec("o", &outer).stderr(std::process::Stdio::piped()).spawn().unwrap();
    until("the inner one has ended", || world.has("after"));
    gate.open();
    ran(&child.wait_with_output().unwrap());
    until("it has ended", || {
        let token = world.begin("c", &[]);
        world.end(&token);
        !world.changes().iter().any(|change| change["ended_at"].is_null())
    });
    assert_eq!(of(&world, "o"), traced(&["after"]));
    let left = world.change_at("left");
    assert_eq!(left["agent_id"], "i", "{left}");
    assert!(left["note"].as_str().unwrap().starts_with("left running: "), "{left}");
}

#[test]
fn codes_and_commands_that_cannot_be_run_are_as_ever() {
    if !can_trace() {
        return;
    }
    let world = World::new();
    let wfr = env!("CARGO_BIN_EXE_wfr");
    let outer = format!(
        "{wfr} exec --agent i -- sh -c 'echo > x; exit 7'; [ $? = 7 ] || exit 9; {wfr} exec --agent n -- no-such 2> /dev/null; [ $? = 127 ]"
    );
    ran(&world.exec("o", &outer).output().unwrap());
    assert_eq!(of(&world, "i"), traced(&["x"]));
    assert!(world.changes().iter().all(|change| change["ended_at"].is_string()));
}

#[test]
fn without_their_supervisor_both_are_degraded() {
    if !can_trace() {
        return;
    }
    let world = World::new();
    let gate = Gate::new();
    let outer =
        format!("{} || exit 9; echo > after", within("i", &format!("echo > seen; {}; echo > unseen", gate.wait())));
    let child = world.exec("o", &outer).stderr(std::process::Stdio::piped()).spawn().unwrap();
    gate.reached();
    signal(world.servants(&child)[0], "KILL");
    until("it is dead", || world.servants(&child).len() == 1);
    gate.open();
    assert_eq!(child.wait_with_output().unwrap().status.code(), Some(0));
    for agent in ["i", "o"] {
        let changes = world.changes();
        let change =
            changes.iter().find(|change| change["agent_id"] == agent && !change["evidence"].is_null()).unwrap();
        assert!(change["evidence"]["degraded_since"].is_string() && change["source"] == "observed", "{change}");
        assert!(change["ended_at"].is_string(), "{change}");
    }
}
