//! Rollbacks and undos beside work that came back unasked: what stands and is nobody's to take stays.
//!
//! Owns these cases. Refuses to know how what came back is taken back again: see `coming_back`.

use std::fs;

use crate::work::numbered;
use crate::world::World;

const F: &str = "work/f.txt";

fn roll_back(world: &World, agent: &str) {
    world.ok(&["rollback", "wf", "--agent", agent, "--yes"]);
}

/// A looks at the tree, and does nothing: what the user did is recorded.
fn looked_at(world: &World) {
    world.work("onlooker", || ());
}

/// A and C have a line each; then the user goes back to what was before, and lets nobody know.
fn gone_back() -> World {
    let world = World::with_lines();
    world.work("a", || world.put(F, &numbered(&[(3, "by a")])));
    world.work("c", || world.put(F, &numbered(&[(3, "by a"), (15, "by c")])));
    world
}

#[test]
fn a_line_that_a_checkout_brought_back_stays_when_others_are_taken_back() {
    let world = gone_back();
    world.put(F, &numbered(&[]));
    roll_back(&world, "a");
    world.put(F, &numbered(&[(3, "by a"), (15, "by c")]));
    looked_at(&world);
    world.work("d", || world.put(F, &numbered(&[(3, "by a"), (9, "by d"), (15, "by c")])));
    for _ in 0..2 {
        roll_back(&world, "d");
        assert_eq!(world.text(F), numbered(&[(3, "by a"), (15, "by c")]));
        world.ok(&["undo", "--yes"]);
        assert_eq!(world.text(F), numbered(&[(3, "by a"), (9, "by d"), (15, "by c")]));
    }
    roll_back(&world, "d");
    roll_back(&world, "a");
    assert_eq!(world.text(F), numbered(&[(15, "by c")]));
    roll_back(&world, "c");
    assert_eq!(world.text(F), numbered(&[]));
}

#[test]
fn of_two_that_came_back_only_the_one_that_is_meant_goes() {
    let world = gone_back();
    roll_back(&world, "c");
    roll_back(&world, "a");
    world.put(F, &numbered(&[(3, "by a"), (15, "by c")]));
    roll_back(&world, "a");
    assert_eq!(world.text(F), numbered(&[(15, "by c")]));
    world.ok(&["undo", "--yes"]);
    assert_eq!(world.text(F), numbered(&[(3, "by a"), (15, "by c")]));
    roll_back(&world, "c");
    assert_eq!(world.text(F), numbered(&[(3, "by a")]));
}

#[test]
fn what_a_restore_brings_back_counts_as_it_did_whatever_its_lines_say() {
    let world = World::with_lines();
    let lines = |changed: &[(usize, &str)]| numbered(changed);
    world.put(F, &lines(&[(12, "twice")]));
    world.checkpoint("first");
    // A takes the one line away and brings the same elsewhere, and changes a line two times.
    world.work("a", || world.put(F, &lines(&[(12, "gone")])));
    world.work("a", || world.put(F, &lines(&[(6, "twice"), (12, "gone")])));
    world.work("a", || world.put(F, &lines(&[(6, "twice"), (9, "once"), (12, "gone")])));
    world.work("a", || world.put(F, &lines(&[(6, "twice"), (9, "again"), (12, "gone")])));
    world.checkpoint("with");
    roll_back(&world, "a");
    world.ok(&["restore", "wf", "with", "--yes"]);
    world.work("b", || world.put(F, &lines(&[(6, "twice"), (9, "again"), (12, "gone"), (15, "by b")])));
    roll_back(&world, "b");
    assert_eq!(world.text(F), lines(&[(6, "twice"), (9, "again"), (12, "gone")]));
    roll_back(&world, "a");
    assert_eq!(world.text(F), lines(&[(12, "twice")]));
}

#[test]
fn a_restore_does_not_bring_a_move_back_that_was_taken_back() {
    let world = World::with_lines();
    world.checkpoint("before");
    world.work("c", || fs::rename(world.root().join(F), world.root().join("work/g.txt")).unwrap());
    roll_back(&world, "c");
    world.work("a", || fs::remove_file(world.root().join(F)).unwrap());
    world.ok(&["restore", "wf", "before", "--yes"]);
    world.ok(&["rollback", "wf", "--agent", "a", "--yes"]);
    assert_eq!(world.text(F), numbered(&[]));
    assert!(!world.has("work/g.txt"));
}

#[test]
fn a_restore_brings_back_what_is_in_a_file_that_was_deleted_then_as_now() {
    let world = World::with_lines();
    world.work("b", || world.put(F, &numbered(&[(3, "by b")])));
    world.work("c", || fs::remove_file(world.root().join(F)).unwrap());
    world.checkpoint("without");
    roll_back(&world, "b");
    world.put("work/other.txt", "something to be restored\n");
    world.ok(&["restore", "wf", "without", "--yes"]);
    roll_back(&world, "c");
    assert_eq!(world.text(F), numbered(&[(3, "by b")]));
}

#[test]
fn a_restored_file_stays_though_a_rollback_had_brought_it_once_and_that_was_undone() {
    let world = World::with_lines();
    world.checkpoint("before");
    world.work("a", || world.put(F, &numbered(&[(3, "by a")])));
    world.work("a", || fs::remove_file(world.root().join(F)).unwrap());
    roll_back(&world, "a");
    world.ok(&["undo", "--yes"]);
    world.ok(&["restore", "wf", "before", "--yes"]);
    world.work("b", || world.put(F, &numbered(&[(9, "by b")])));
    roll_back(&world, "b");
    assert_eq!(world.text(F), numbered(&[]));
}
