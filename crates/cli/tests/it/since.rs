//! What counts as done since a checkpoint where the user's work is to go with that of agents.

use crate::work::{numbered, paths};
use crate::world::World;

const ALL: &str = r#"{"preservation_rules":{"preserve_external_changes":false}}"#;

#[test]
fn an_edit_between_a_checkpoint_and_the_first_look_goes_with_what_was_done_since() {
    for call in [
        &["rollback", "wf", "base", "--rollback-scope", "full", ALL, "--yes"][..],
        &["restore", "wf", "base", "--restoration-mode", "selective", ALL, "--yes"],
    ] {
        let world = World::with_lines();
        let before = world.timeless();
        world.put("work/f.txt", &numbered(&[(7, "mine")]));
        world.put("work/mine.txt", "mine");
        world.work("a", || world.put("work/f.txt", &numbered(&[(5, "by a"), (7, "mine")])));
        let full = world.timeless();
        world.ok(call);
        assert_eq!(world.timeless().differences(&before), [""; 0], "{call:?}");
        world.ok(&["undo", "--yes"]);
        assert_eq!(world.timeless().differences(&full), [""; 0]);
    }
}

#[test]
fn only_what_was_done_after_the_checkpoint_goes() {
    let world = World::with_lines();
    world.put("work/f.txt", &numbered(&[(7, "mine")]));
    world.work("a", || world.put("work/f.txt", &numbered(&[(5, "by a"), (7, "mine")])));
    world.checkpoint("c2");
    let then = world.timeless();
    world.put("work/f.txt", &numbered(&[(5, "by a"), (7, "mine"), (20, "mine, later")]));
    world.work("b", || world.put("work/of_b.txt", "b"));
    world.ok(&["rollback", "wf", "c2", "--rollback-scope", "full", ALL, "--yes"]);
    assert_eq!(world.timeless().differences(&then), [""; 0]);
    // Without a checkpoint it is what was done from the first of the changes on.
    world.ok(&["undo", "--yes"]);
    world.ok(&["rollback", "wf", "--rollback-scope", "full", ALL, "--yes"]);
    assert_eq!(world.text("work/f.txt"), numbered(&[(7, "mine")]));
}

#[test]
fn what_the_user_alone_did_since_a_checkpoint_goes_and_nothing_is_nothing() {
    let world = World::with_lines();
    world.work("z", || ());
    let before = world.timeless();
    let call = ["rollback", "wf", "base", "--rollback-scope", "full", ALL, "--yes"];
    let nothing = world.ok(&call);
    assert!(nothing.result("recovery_id").is_null(), "{nothing:?}");
    assert!(nothing.json["next_steps"].to_string().contains("nothing was done since"), "{nothing:?}");
    // Of what no look has found yet, and of what one has.
    for look in [false, true] {
        world.put("work/f.txt", &numbered(&[(7, "mine")]));
        if look {
            world.checkpoint("later");
        }
        let done = world.ok(&call);
        assert_eq!(done.result("changed").as_array().unwrap().len(), 1, "{done:?}");
        assert_eq!(world.timeless().differences(&before), [""; 0]);
    }
    // Whoever is named is meant alone.
    world.put("work/f.txt", &numbered(&[(7, "mine")]));
    world.refused(&["rollback", "wf", "base", "--agent", "a", ALL, "--yes"], 3, "NOTHING_SELECTED");
}

#[test]
fn a_checkpoint_from_before_the_first_change_serves_too() {
    let world = World::with_lines();
    world.put("work/f.txt", &numbered(&[(7, "mine")]));
    world.checkpoint("second");
    world.work("a", || world.put("work/f.txt", &numbered(&[(5, "by a"), (7, "mine")])));
    for call in [
        &["rollback", "wf", "base", "--agent", "a", "--yes"][..],
        &["restore", "wf", "base", "--restoration-mode", "selective", "--yes"],
    ] {
        let done = world.ok(call);
        assert!(done.result("findings").to_string().contains("LEDGER_BEGINS_LATER"), "{done:?}");
        assert_eq!(world.text("work/f.txt"), numbered(&[(7, "mine")]), "{call:?}");
        world.ok(&["undo", "--yes"]);
    }
    let exact = world.ok(&["rollback", "wf", "second", "--agent", "a", "--yes"]);
    assert!(!exact.result("findings").to_string().contains("LEDGER_BEGINS_LATER"), "{exact:?}");
    world.ok(&["undo", "--yes"]);
    // What nobody recorded cannot be told apart: it cannot go.
    world.refused(&["rollback", "wf", "base", "--rollback-scope", "full", ALL, "--yes"], 3, "NOTHING_SELECTED");
}

/// When each change of an agent ended, oldest first.
fn ends(world: &World) -> Vec<String> {
    let log = world.ok(&["log", "--actor", "agent"]);
    let ends = log.result("changes").as_array().unwrap().iter().rev();
    ends.map(|change| change["ended_at"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn what_ended_before_a_time_stays() {
    let world = World::with_lines();
    world.work("a", || world.put("work/f.txt", &numbered(&[(3, "by a")])));
    world.checkpoint("c2");
    world.put("work/f.txt", &numbered(&[(3, "by a"), (7, "mine")]));
    world.work("a", || world.put("work/f.txt", &numbered(&[(3, "by a"), (7, "mine"), (11, "by a, later")])));
    let all = [(3, "by a"), (7, "mine"), (11, "by a, later"), (20, "by b")];
    world.work("b", || {
        world.put("work/f.txt", &numbered(&all));
        world.put("work/of_b.txt", "b");
    });
    let full = world.timeless();
    let ends = ends(&world);
    assert!(ends.is_sorted() && ends[0] < ends[1] && ends[1] < ends[2], "{ends:?}");
    let shown = |since: &str| {
        let log = world.ok(&["log", "--actor", "agent", "--since", since]);
        let log = log.result("changes").as_array().unwrap().clone();
        log.iter().map(|change| change["ended_at"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    for (first, left) in [
        (0, &[(7, "mine")][..]),
        (1, &[(3, "by a"), (7, "mine")]),
        (2, &[(3, "by a"), (7, "mine"), (11, "by a, later")]),
    ] {
        let meant: Vec<String> = ends[first..].iter().rev().cloned().collect();
        assert_eq!(shown(&ends[first]), meant, "the log means the same changes");
        let done = world.ok(&["rollback", "wf", "--since", &ends[first], "--yes"]);
        assert_eq!(done.result("rolled_back"), meant.len(), "{done:?}");
        assert_eq!((world.text("work/f.txt"), world.has("work/of_b.txt")), (numbered(left), false), "{first}");
        world.ok(&["undo", "--yes"]);
        assert_eq!(world.timeless().differences(&full), [""; 0]);
    }
    // All that is said must fit: an agent, and a checkpoint that is later or earlier than the time.
    for (call, left) in [
        (&["rollback", "wf", "--agent", "a", "--since", &ends[1]][..], &[(3, "by a"), (7, "mine"), (20, "by b")][..]),
        (&["rollback", "wf", "c2", "--since", &ends[0]], &[(3, "by a"), (7, "mine")]),
        (&["rollback", "wf", "c2", "--since", &ends[2]], &[(3, "by a"), (7, "mine"), (11, "by a, later")]),
    ] {
        world.ok(&[call, &["--yes"]].concat());
        assert_eq!(world.text("work/f.txt"), numbered(left), "{call:?}");
        world.ok(&["undo", "--yes"]);
    }
    world.refused(&["rollback", "wf", "--agent", "a", "--since", &ends[2], "--yes"], 3, "NOTHING_SELECTED");
    world.refused(&["rollback", "wf", "--since", "2100-01-01T00:00:00Z", "--yes"], 3, "NOTHING_SELECTED");
    assert_eq!(world.timeless().differences(&full), [""; 0]);
}

#[test]
fn tasks_that_were_done_before_a_time_stay_done() {
    let world = World::with_lines();
    for task in ["a", "b"] {
        world.ok(&["event", &format!(r#"TASK_STARTED:wf:1:{{"task_id":"{task}","agent_id":"{task}"}}"#)]);
        world.work(task, || world.put(&format!("work/of_{task}"), task));
        world.ok(&["event", &format!(r#"TASK_COMPLETED:wf:1:{{"task_id":"{task}","agent_id":"{task}"}}"#)]);
    }
    let since = ends(&world).pop().unwrap();
    let done = world.ok(&["rollback", "wf", "--since", &since, "--yes"]);
    assert_eq!((world.has("work/of_a"), world.has("work/of_b")), (true, false));
    let state = world.ok(&["get-state", "wf"]);
    let state = state.result("workflow_state");
    assert_eq!((&state["completed_tasks"], &state["pending_tasks"]), (&1.into(), &1.into()), "{done:?}");
}

#[test]
fn where_nothing_is_recorded_what_helps_is_named() {
    let world = World::with_lines();
    world.put("work/f.txt", &numbered(&[(3, "mine")]));
    let selective = ["restore", "wf", "base", "--restoration-mode", "selective", "--yes"];
    let refused = world.refused(&selective, 3, "NOTHING_SELECTED").json["recovery_options"].to_string();
    assert!(refused.contains("`wfr restore wf base`") && refused.contains("`wfr diff base`"), "{refused}");
    assert_eq!(paths(world.ok(&["diff", "base"]).result("changes")), ["work/f.txt"]);
    let partial = ["restore", "wf", "base", "--restoration-mode", "partial", "--file", "work/f.txt", "--yes"];
    assert_eq!(paths(world.ok(&partial).result("changed")), ["work/f.txt"]);
    assert_eq!(world.text("work/f.txt"), numbered(&[]));
}
