//! Files that were copied from one out of which work goes.

use std::fs;

use crate::work::numbered;
use crate::world::{Ended, World};

fn copy(world: &World, from: &str, to: &str) {
    fs::copy(world.root().join(from), world.root().join(to)).unwrap();
}

fn edited() -> World {
    let world = World::with_lines();
    world.work("b", || world.put("work/f.txt", &numbered(&[(5, "by b")])));
    world
}

fn said(done: &Ended) -> Vec<String> {
    let findings = done.result("findings").as_array().unwrap();
    let copied = findings.iter().filter(|finding| finding["code"] == "COPIED");
    copied.map(|finding| finding["message"].as_str().unwrap().to_owned()).collect()
}

fn roll_back(world: &World, agent: &str) -> Vec<String> {
    said(&world.ok(&["rollback", "wf", "--agent", agent, "--yes"]))
}

#[test]
fn work_that_lives_on_in_a_copy_is_told() {
    let world = edited();
    world.work("a", || copy(&world, "work/f.txt", "work/y.txt"));
    let told = roll_back(&world, "b");
    assert!(told.len() == 1 && told[0].contains("`work/y.txt`") && told[0].contains("`by b`"), "{told:?}");
    assert_eq!(world.text("work/f.txt"), numbered(&[]));
    assert_eq!(world.text("work/y.txt"), numbered(&[(5, "by b")]), "that is a's");
    // The same of a copy that nobody has seen, that came over another file, and was edited since.
    let world = edited();
    world.put("work/y.txt", "another\n");
    world.checkpoint("another");
    world.work("a", || copy(&world, "work/f.txt", "work/y.txt"));
    world.put("work/y.txt", &numbered(&[(5, "by b"), (9, "by the user")]));
    copy(&world, "work/f.txt", "work/z.txt");
    let told = roll_back(&world, "b");
    assert!(told.len() == 1 && told[0].contains("`work/y.txt`") && told[0].contains("1 more"), "{told:?}");
    // Nor is it a line that tells of it: b took some away.
    let world = World::with_lines();
    world.work("b", || world.put("work/f.txt", &numbered(&[]).replace("line 5\n", "")));
    world.work("a", || copy(&world, "work/f.txt", "work/y.txt"));
    assert_eq!(roll_back(&world, "b").len(), 1);
}

#[test]
fn what_is_no_copy_of_what_goes_is_not_told() {
    let world = World::with_lines();
    world.work("a", || copy(&world, "work/f.txt", "work/y.txt"));
    world.work("b", || world.put("work/f.txt", &numbered(&[(5, "by b")])));
    assert_eq!(roll_back(&world, "b"), [""; 0], "it was copied before");
    let world = edited();
    world.work("b", || copy(&world, "work/f.txt", "work/y.txt"));
    assert_eq!(roll_back(&world, "b"), [""; 0], "it goes, too");
    let world = edited();
    world.work("a", || copy(&world, "work/f.txt", "work/y.txt"));
    fs::remove_file(world.root().join("work/y.txt")).unwrap();
    assert_eq!(roll_back(&world, "b"), [""; 0], "it is gone");
    let world = edited();
    world.work("a", || copy(&world, "work/f.txt", "work/y.txt"));
    world.work("a", || world.put("work/y.txt", &numbered(&[])));
    assert_eq!(roll_back(&world, "b"), [""; 0], "it is not in it any more");
}
