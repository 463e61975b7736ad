//! What counts as done since a checkpoint where the user's work is to go with that of agents.

use crate::work::numbered;
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
