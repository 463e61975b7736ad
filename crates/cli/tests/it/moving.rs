//! Files that move while several work on them: whose work is whose goes with the file.

use std::fs;

use serde_json::json;

use crate::work::numbered;
use crate::world::World;

fn mv(world: &World, from: &str, to: &str) {
    let (from, to) = (world.root().join(from), world.root().join(to));
    fs::create_dir_all(to.parent().unwrap()).unwrap();
    fs::rename(from, to).unwrap();
}

/// A edits the third line, B moves the file.
fn moved() -> World {
    let world = World::with_lines();
    world.work("a", || world.put("work/f.txt", &numbered(&[(3, "by a")])));
    world.work("b", || mv(&world, "work/f.txt", "work/g.txt"));
    world
}

fn roll_back(world: &World, agent: &str) {
    world.ok(&["rollback", "wf", "--agent", agent, "--yes"]);
}

#[test]
fn work_is_taken_out_of_a_file_that_has_moved() {
    let world = moved();
    let full = world.timeless();
    let plan = world.ok(&["rollback", "wf", "--agent", "a", "--plan"]);
    assert!(plan.json.to_string().contains("MOVED"), "{plan:?}");
    roll_back(&world, "a");
    assert_eq!(world.text("work/g.txt"), numbered(&[]));
    assert!(!world.has("work/f.txt"), "where it went is b's work");
    world.ok(&["undo", "--yes"]);
    assert_eq!(world.timeless().differences(&full), [""; 0]);
    world.ok(&["undo", "--yes"]);
    assert_eq!(world.text("work/g.txt"), numbered(&[]), "the undo of the undo");
    let gone = world.ok(&["log", "wf", "--agent", "a"]);
    assert_eq!(gone.result("changes")[0]["paths"][0]["cancelled"], true);
}

#[test]
fn the_order_of_rollbacks_does_not_matter_to_a_move() {
    for order in [["a", "b"], ["b", "a"]] {
        let world = moved();
        order.iter().for_each(|agent| roll_back(&world, agent));
        assert_eq!(world.text("work/f.txt"), numbered(&[]), "{order:?}");
        assert!(!world.has("work/g.txt"), "{order:?}");
    }
}

#[test]
fn later_work_on_the_moved_file_stays_and_goes_by_itself() {
    let world = moved();
    world.work("c", || world.put("work/g.txt", &numbered(&[(3, "by a"), (20, "by c")])));
    let of_a = world.ok(&["rollback", "wf", "--agent", "a", "--yes"]);
    assert_eq!(world.text("work/g.txt"), numbered(&[(20, "by c")]));
    roll_back(&world, "c");
    assert_eq!(world.text("work/g.txt"), numbered(&[]), "a's work stays away when c's goes");
    world.ok(&["undo", "--yes"]);
    assert_eq!(world.text("work/g.txt"), numbered(&[(20, "by c")]));
    world.ok(&["undo", of_a.result("recovery_id").as_str().unwrap(), "--yes"]);
    assert_eq!(world.text("work/g.txt"), numbered(&[(3, "by a"), (20, "by c")]));
}

#[test]
fn a_move_that_nobody_announced_and_nobody_has_seen_is_followed() {
    let world = World::with_lines();
    world.work("a", || {
        world.put("work/f.txt", &numbered(&[(3, "by a")]));
        world.put("work/made.txt", "a file of a\n");
    });
    mv(&world, "work/f.txt", "deep/er/g.txt");
    mv(&world, "work/made.txt", "deep/made.txt");
    roll_back(&world, "a");
    assert_eq!(world.text("deep/er/g.txt"), numbered(&[]));
    assert!(!world.has("deep/made.txt"), "what a made goes, wherever it is");
    world.ok(&["undo", "--yes"]);
    assert_eq!(world.text("deep/er/g.txt"), numbered(&[(3, "by a")]));
    assert_eq!(world.text("deep/made.txt"), "a file of a\n");
}

#[test]
fn a_directory_that_moved_twice_is_followed_file_by_file() {
    let world = World::with_lines();
    for name in ["x", "y", "z"] {
        world.put(&format!("src/{name}.txt"), &numbered(&[]));
    }
    world.checkpoint("three");
    world.work("a", || {
        for name in ["x", "y"] {
            world.put(&format!("src/{name}.txt"), &numbered(&[(3, "by a")]));
        }
    });
    world.work("b", || mv(&world, "src", "lib"));
    world.work("c", || {
        mv(&world, "lib", "pkg/lib");
        world.put("pkg/new.txt", "c");
    });
    roll_back(&world, "a");
    for name in ["x", "y", "z"] {
        assert_eq!(world.text(&format!("pkg/lib/{name}.txt")), numbered(&[]), "{name}");
    }
    assert!(world.has("pkg/new.txt") && !world.has("src") && !world.has("lib"));
}

#[test]
fn a_sealed_store_follows_moves_too() {
    let mut world = World::unprotected(wfr_testkit::TestTree::new());
    let secret = world.data.path().join("passphrase");
    fs::write(&secret, "correct horse\n").unwrap();
    world.variables.push(("WFR_PASSPHRASE_FILE", secret));
    world.ok(&["init", "--encrypt"]);
    world.put("f.txt", &numbered(&[]));
    world.checkpoint("base");
    world.work("a", || world.put("f.txt", &numbered(&[(3, "by a")])));
    world.work("b", || mv(&world, "f.txt", "g.txt"));
    roll_back(&world, "a");
    assert_eq!(world.text("g.txt"), numbered(&[]));
}

#[test]
fn what_others_made_again_stays_theirs() {
    let world = World::with_lines();
    world.work("a", || world.put("work/n", "same\n"));
    world.work("a", || fs::remove_file(world.root().join("work/n")).unwrap());
    world.work("b", || world.put("work/n", "same\n"));
    world.work("a", || world.put("work/f.txt", &numbered(&[(10, "debug = true")])));
    world.put("work/f.txt", &numbered(&[]));
    world.work("b", || world.put("work/f.txt", &numbered(&[(10, "debug = true")])));
    world.ok(&["rollback", "wf", "--agent", "a", "--yes"]);
    assert_eq!(world.text("work/n"), "same\n");
    assert_eq!(world.text("work/f.txt"), numbered(&[(10, "debug = true")]), "b wrote it again");
}

#[test]
fn a_stash_with_an_edit_between_and_restores_leave_the_work_separable() {
    let world = World::with_lines();
    let both = numbered(&[(3, "by a"), (20, "by b")]);
    world.work("a", || world.put("work/f.txt", &numbered(&[(3, "by a")])));
    // A stash, seen; an edit, seen; the stash popped.
    world.put("work/f.txt", &numbered(&[]));
    world.checkpoint("stashed");
    world.put("work/f.txt", &numbered(&[(12, "by the user")]));
    world.checkpoint("edited");
    world.put("work/f.txt", &numbered(&[(3, "by a"), (12, "by the user")]));
    world.ok(&["rollback", "wf", "--agent", "a", "--yes"]);
    assert_eq!(world.text("work/f.txt"), numbered(&[(12, "by the user")]));
    // A rollback and its undo, a restore and its undo.
    let world = World::with_lines();
    world.work("a", || world.put("work/f.txt", &numbered(&[(3, "by a")])));
    world.work("b", || world.put("work/f.txt", &both));
    roll_back(&world, "a");
    world.ok(&["undo", "--yes"]);
    world.ok(&["restore", "wf", "base", "--yes", "--whole-tree"]);
    world.ok(&["undo", "--yes"]);
    assert_eq!(world.text("work/f.txt"), both);
    roll_back(&world, "a");
    assert_eq!(world.text("work/f.txt"), numbered(&[(20, "by b")]));
}

#[test]
fn what_an_agent_took_away_is_there_without_it_though_a_stash_was_popped_since() {
    let without = |text: &str| text.replace("line 3\nline 4\n", "");
    for (is_committed, is_rolled_back) in [(true, false), (false, false), (false, true)] {
        let world = World::with_lines();
        world.work("a", || world.put("work/f.txt", &without(&numbered(&[]))));
        // A stash, seen; an edit of the user's, seen or not; the stash popped.
        world.put("work/f.txt", &numbered(&[]));
        match is_rolled_back {
            true => roll_back(&world, "a"),
            false => drop(world.checkpoint("stashed")),
        }
        let edited = numbered(&[(15, "by the user")]);
        if is_committed {
            world.put("work/f.txt", &edited);
            world.checkpoint("edited");
        }
        world.put("work/f.txt", &without(&edited));
        roll_back(&world, "a");
        assert_eq!(world.text("work/f.txt"), edited, "{is_committed} {is_rolled_back}");
        world.ok(&["undo", "--yes"]);
        assert_eq!(world.text("work/f.txt"), without(&edited));
    }
}

#[test]
fn a_stash_that_is_popped_behind_a_rollback_brings_nothing_back_for_good() {
    let world = World::with_lines();
    world.work("a", || world.put("work/f.txt", &numbered(&[(3, "by a")])));
    world.put("work/f.txt", &numbered(&[]));
    let first = world.ok(&["rollback", "wf", "--agent", "a", "--yes"]);
    assert_eq!(*first.result("changed"), json!([]), "the stash has it");
    let popped = numbered(&[(3, "by a"), (12, "by the user")]);
    world.put("work/f.txt", &popped);
    let again = world.ok(&["rollback", "wf", "--agent", "a", "--yes"]);
    assert!(again.result("findings").to_string().contains("BROUGHT_AGAIN"), "{again:?}");
    assert_eq!(world.text("work/f.txt"), numbered(&[(12, "by the user")]));
    let done = world.ok(&["rollback", "wf", "--agent", "a", "--yes"]);
    assert!(done.result("findings").to_string().contains("TAKEN_BACK_ALREADY"), "{done:?}");
    world.put("work/f.txt", &numbered(&[(12, "by the user"), (20, "later")]));
    world.ok(&["undo", "--yes"]);
    assert_eq!(world.text("work/f.txt"), numbered(&[(3, "by a"), (12, "by the user"), (20, "later")]));
}

#[test]
fn both_ends_of_a_move_go_or_stay() {
    let world = World::with_lines();
    world.put("h", "one\ntwo\nthree\n");
    world.checkpoint("with_h");
    world.work("a", || mv(&world, "h", "d/h"));
    world.put("d/h", "one\nmine\nthree\n");
    for more in [&["--partial"][..], &["--conflict-resolution", "current_priority"]] {
        let done = world.ok(&[&["rollback", "wf", "--agent", "a", "--yes"], more].concat());
        assert!(!world.has("h") && world.text("d/h").contains("mine"), "{done:?}");
        let findings = done.result("findings").to_string();
        assert!(findings.contains("`h` stays as it is") && findings.contains("ends of a move"), "{findings}");
    }
    world.ok(&["rollback", "wf", "--agent", "a", "--theirs", "d/h", "--yes"]);
    assert!(world.has("h") && !world.has("d/h"), "nothing was taken for taken back");
}
