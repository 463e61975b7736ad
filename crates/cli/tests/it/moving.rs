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

fn for_people(world: &World, call: &[&str]) -> String {
    String::from_utf8(world.command(call).output().unwrap().stdout).unwrap()
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
    world.ok(&["init", "--encrypt", "--keep-unlocked"]);
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
    world.put("h", "another\n");
    let refused = world.call(&["rollback", "wf", "--agent", "a", "--yes"]);
    assert_eq!((refused.code, refused.error()), (5, "CONFLICTS"), "another file is where it was: {refused:?}");
    for more in [&["--partial"][..], &["--conflict-resolution", "current_priority"]] {
        let done = world.ok(&[&["rollback", "wf", "--agent", "a", "--yes"], more].concat());
        assert!(world.text("h") == "another\n" && world.text("d/h").contains("mine"), "{done:?}");
    }
    fs::remove_file(world.root().join("h")).unwrap();
    roll_back(&world, "a");
    assert!(world.text("h").contains("mine") && !world.has("d/h"), "nothing was taken for taken back");
}

/// The ways by which a tree goes away from what is there and comes back.
const THERE_AND_BACK: [&[&str]; 3] = [
    &["rollback", "wf", "--agent", "b", "--yes"],
    &["rollback", "wf", "--rollback-scope", "full", "--yes"],
    &["restore", "wf", "base", "--whole-tree", "--yes"],
];

#[test]
fn a_move_is_followed_through_recoveries_and_their_undos() {
    for away in THERE_AND_BACK {
        let world = moved();
        let full = world.timeless();
        world.ok(away);
        world.ok(&["undo", "--yes"]);
        assert_eq!(world.timeless().differences(&full), [""; 0], "{away:?}");
        roll_back(&world, "a");
        assert_eq!(world.text("work/g.txt"), numbered(&[]), "{away:?}");
        assert!(!world.has("work/f.txt"), "{away:?}");
        roll_back(&world, "b");
        assert_eq!(world.text("work/f.txt"), numbered(&[]), "{away:?}");
        assert!(!world.has("work/g.txt"), "{away:?}");
    }
}

#[test]
fn what_an_undo_brings_back_in_a_file_that_moved_meanwhile_is_whose_it_was() {
    let world = World::with_lines();
    world.work("a", || world.put("work/f.txt", &numbered(&[(3, "by a")])));
    roll_back(&world, "a");
    mv(&world, "work/f.txt", "work/g.txt");
    world.ok(&["undo", "--yes"]);
    assert_eq!(world.text("work/g.txt"), numbered(&[(3, "by a")]));
    world.work("b", || mv(&world, "work/g.txt", "deep/h.txt"));
    roll_back(&world, "a");
    assert_eq!(world.text("deep/h.txt"), numbered(&[]));
    world.ok(&["undo", "--yes"]);
    assert_eq!(world.text("deep/h.txt"), numbered(&[(3, "by a")]));
    roll_back(&world, "b");
    assert_eq!(world.text("work/g.txt"), numbered(&[(3, "by a")]));
    roll_back(&world, "a");
    assert_eq!(world.text("work/g.txt"), numbered(&[]));
}

#[test]
fn an_undo_of_an_undo_in_a_file_that_moved_leaves_the_move_free_to_go() {
    for last in THERE_AND_BACK.into_iter().take(2) {
        let world = World::with_lines();
        world.work("a", || world.put("work/f.txt", &numbered(&[(3, "by a")])));
        roll_back(&world, "a");
        world.ok(&["undo", "--yes"]);
        world.work("b", || mv(&world, "work/f.txt", "work/g.txt"));
        world.ok(&["undo", "--yes"]);
        assert_eq!(world.text("work/g.txt"), numbered(&[]));
        world.ok(last);
        assert_eq!(world.text("work/f.txt"), numbered(&[]), "{last:?}");
        assert!(!world.has("work/g.txt"), "{last:?}");
    }
}

#[test]
fn a_file_that_moves_back_keeps_what_was_done_to_it_since() {
    let world = moved();
    world.work("c", || world.put("work/g.txt", &numbered(&[(3, "by a"), (20, "by c")])));
    let full = world.timeless();
    let done = world.ok(&["rollback", "wf", "--agent", "b", "--yes"]);
    assert!(done.result("findings").to_string().contains("MOVES_BACK"), "{done:?}");
    assert_eq!(world.text("work/f.txt"), numbered(&[(3, "by a"), (20, "by c")]));
    assert!(!world.has("work/g.txt"));
    world.ok(&["undo", "--yes"]);
    assert_eq!(world.timeless().differences(&full), [""; 0]);
    for name in ["work/f.txt", "work/g.txt"] {
        let left = world.ok(&["rollback", "wf", "--agent", "b", "--ours", name, "--yes"]);
        assert_eq!(*left.result("changed"), json!([]), "both ends stay: {left:?}");
        let plan = world.ok(&["rollback", "wf", "--agent", "b", "--file", name, "--plan"]);
        assert_eq!(plan.result("plan")["steps"].as_array().unwrap().len(), 2, "{plan:?}");
        let theirs = world.ok(&["rollback", "wf", "--agent", "a", "--theirs", "work/g.txt", "--plan"]);
        assert_eq!(theirs.result("plan")["steps"].as_array().unwrap().len(), 1, "{theirs:?}");
    }
    for order in [["a", "b", "c"], ["c", "b", "a"], ["b", "a", "c"]] {
        let back = |agent: &&str| world.ok(&["rollback", "wf", "--agent", agent, "--yes"]);
        let done: Vec<_> = order.iter().map(back).collect();
        assert_eq!(world.text("work/f.txt"), numbered(&[]), "{order:?}");
        assert!(!world.has("work/g.txt"), "{order:?}");
        for one in done.iter().rev() {
            world.ok(&["undo", one.result("recovery_id").as_str().unwrap(), "--yes"]);
        }
        assert_eq!(world.timeless().differences(&full), [""; 0], "{order:?}");
    }
}

#[test]
fn a_move_that_comes_again_keeps_what_was_done_to_the_file_meanwhile() {
    let world = moved();
    roll_back(&world, "b");
    world.work("c", || world.put("work/f.txt", &numbered(&[(3, "by a"), (20, "by c")])));
    world.ok(&["undo", "--yes"]);
    assert_eq!(world.text("work/g.txt"), numbered(&[(3, "by a"), (20, "by c")]));
    assert!(!world.has("work/f.txt"));
    roll_back(&world, "a");
    assert_eq!(world.text("work/g.txt"), numbered(&[(20, "by c")]));
    roll_back(&world, "c");
    roll_back(&world, "b");
    assert_eq!(world.text("work/f.txt"), numbered(&[]));
}

#[test]
fn a_file_that_moved_away_and_back_is_still_the_same() {
    let world = moved();
    world.work("c", || mv(&world, "work/g.txt", "work/f.txt"));
    roll_back(&world, "a");
    assert_eq!(world.text("work/f.txt"), numbered(&[]));
    world.ok(&["undo", "--yes"]);
    // Where one of the two moves goes, the file is where the other one brought it.
    roll_back(&world, "c");
    assert_eq!(world.text("work/g.txt"), numbered(&[(3, "by a")]));
    assert!(!world.has("work/f.txt"));
}

#[test]
fn what_comes_anew_where_a_file_was_is_another_one() {
    let world = moved();
    world.work("c", || world.put("work/f.txt", "quite another file\n"));
    roll_back(&world, "a");
    assert_eq!(world.text("work/g.txt"), numbered(&[]));
    assert_eq!(world.text("work/f.txt"), "quite another file\n");
    let refused = world.call(&["rollback", "wf", "--agent", "b", "--yes"]);
    assert_eq!((refused.code, refused.error()), (5, "CONFLICTS"), "{refused:?}");
    assert!(refused.json.to_string().contains("`work/g.txt` would be `work/f.txt` again"), "{refused:?}");
    world.ok(&["rollback", "wf", "--rollback-scope", "full", "--yes"]);
    assert_eq!(world.text("work/f.txt"), numbered(&[]));
    assert!(!world.has("work/g.txt"));
    // The same where it comes with an undo.
    let world = moved();
    let back = world.ok(&["rollback", "wf", "--agent", "b", "--yes"]);
    let back = back.result("recovery_id").as_str().unwrap();
    world.put("work/g.txt", "quite another file\n");
    let refused = world.refused(&["undo", back, "--yes"], 5, "CONFLICTS");
    assert!(refused.json.to_string().contains("`work/f.txt` would be `work/g.txt` again"), "{refused:?}");
    world.ok(&["undo", back, "--partial", "--yes"]);
    assert_eq!(world.text("work/f.txt"), numbered(&[(3, "by a")]));
    assert_eq!(world.text("work/g.txt"), "quite another file\n");
}

#[test]
fn what_was_moved_and_edited_in_one_step_is_not_taken_for_taken_back() {
    let world = World::with_lines();
    world.work("a", || world.put("work/f.txt", &numbered(&[(3, "by a")])));
    fs::remove_file(world.root().join("work/f.txt")).unwrap();
    world.put("work/g.txt", &numbered(&[(3, "by a"), (20, "by the user")]));
    for _ in 0..2 {
        let done = world.ok(&["rollback", "wf", "--agent", "a", "--yes"]);
        let findings = done.result("findings").to_string();
        assert!(findings.contains("NOT_FOLLOWED") && findings.contains("`work/g.txt`"), "{findings}");
        assert!(!findings.contains("TAKEN_BACK_ALREADY"), "{findings}");
        assert_eq!(done.result("rolled_back"), 0);
    }
    let shown = for_people(&world, &["rollback", "wf", "--agent", "a", "--yes"]);
    assert!(shown.contains("Nothing was to be done"), "{shown}");
    let log = world.ok(&["log", "wf", "--agent", "a"]);
    assert_eq!(log.result("changes")[0]["paths"][0]["cancelled"], false);
    // What is nowhere any more counts as taken back: whoever deleted it may be taken back, too.
    fs::remove_file(world.root().join("work/g.txt")).unwrap();
    let shown = for_people(&world, &["rollback", "wf", "--agent", "a", "--yes"]);
    assert!(shown.contains("Nothing of 1 change was left"), "{shown}");
}

/// A tree of two files that have nothing in common.
fn two_files() -> World {
    let world = World::with_lines();
    world.put("work/g.txt", &other(&[]));
    world.checkpoint("two-files");
    world
}

/// The lines of the second file, some of them changed.
fn other(changed: &[(usize, &str)]) -> String {
    numbered(changed).replace("line", "verse")
}

fn swap(world: &World) {
    mv(world, "work/f.txt", "work/aside");
    mv(world, "work/g.txt", "work/f.txt");
    mv(world, "work/aside", "work/g.txt");
}

#[test]
fn a_file_whose_place_another_one_has_taken_is_where_it_was_again() {
    let world = two_files();
    world.work("a", || mv(&world, "work/f.txt", "work/h.txt"));
    world.work("b", || mv(&world, "work/g.txt", "work/h.txt"));
    let full = world.timeless();
    let done = world.ok(&["rollback", "wf", "--agent", "a", "--yes"]);
    assert!(done.json.to_string().contains("`work/f.txt` is there again"), "{done:?}");
    assert_eq!((world.text("work/f.txt"), world.text("work/h.txt")), (numbered(&[]), other(&[])));
    world.ok(&["undo", "--yes"]);
    assert_eq!(world.timeless().differences(&full), [""; 0]);
    roll_back(&world, "b");
    assert_eq!((world.text("work/h.txt"), world.text("work/g.txt")), (numbered(&[]), other(&[])));
    assert!(!world.has("work/f.txt"), "where it went is a's work");
}

#[test]
fn an_undo_does_not_bring_a_file_from_the_place_that_another_one_has_taken() {
    let world = two_files();
    world.work("a", || mv(&world, "work/f.txt", "work/n.txt"));
    roll_back(&world, "a");
    let back = world.ok(&["recoveries"]).result("recoveries")[0]["recovery_id"].as_str().unwrap().to_owned();
    world.work("b", || swap(&world));
    world.call(&["undo", &back, "--yes"]);
    assert_eq!((world.text("work/f.txt"), world.text("work/g.txt")), (other(&[]), numbered(&[])), "b moved it last");
    roll_back(&world, "b");
    assert_eq!((world.text("work/n.txt"), world.text("work/g.txt")), (numbered(&[]), other(&[])));
}

#[test]
fn work_is_taken_out_of_files_that_changed_places_and_of_one_that_came_to_anothers_place() {
    let world = two_files();
    world.work("a", || world.put("work/f.txt", &numbered(&[(3, "by a")])));
    world.work("b", || swap(&world));
    world.work("c", || world.put("work/g.txt", &numbered(&[(3, "by a"), (9, "by c")])));
    roll_back(&world, "a");
    assert_eq!((world.text("work/f.txt"), world.text("work/g.txt")), (other(&[]), numbered(&[(9, "by c")])));
    let blame = for_people(&world, &["blame", "work/g.txt"]);
    assert_eq!(blame.lines().filter(|line| line.contains("  b  ") || line.contains(" b ")).count(), 0, "{blame}");
    world.work("b", || mv(&world, "work/g.txt", "work/f.txt"));
    roll_back(&world, "c");
    assert_eq!(world.text("work/f.txt"), numbered(&[]));
    roll_back(&world, "b");
    assert_eq!((world.text("work/f.txt"), world.text("work/g.txt")), (numbered(&[]), other(&[])));
}

#[test]
fn a_file_that_its_maker_put_over_another_one_is_an_edit_of_that() {
    let world = two_files();
    world.work("a", || world.put("work/f.txt", &numbered(&[(3, "by a")])));
    world.work("b", || world.put("work/new.txt", &numbered(&[(3, "by a"), (9, "by b")])));
    world.work("b", || mv(&world, "work/new.txt", "work/f.txt"));
    roll_back(&world, "a");
    assert_eq!(world.text("work/f.txt"), numbered(&[(9, "by b")]));
    roll_back(&world, "b");
    assert_eq!(world.text("work/f.txt"), numbered(&[]));
    assert!(!world.has("work/new.txt"));
}

#[test]
fn what_lives_on_in_a_file_that_was_put_over_another_one_is_told() {
    let world = two_files();
    world.work("a", || world.put("work/f.txt", &numbered(&[(3, "by a")])));
    world.put("work/new.txt", &numbered(&[(3, "by a"), (9, "by the user")]));
    world.checkpoint("by-the-user");
    world.work("b", || mv(&world, "work/new.txt", "work/f.txt"));
    let done = world.call(&["rollback", "wf", "--agent", "a", "--yes"]);
    assert!(done.json.to_string().contains("NOT_FOLLOWED"), "{done:?}");
    assert!(!done.json.to_string().contains("STAYS_AS_DECIDED"), "nobody decided: {done:?}");
    assert!(world.text("work/f.txt").contains("by a"));
    let left = world.ok(&["log", "wf", "--agent", "a"]);
    assert_ne!(left.result("changes")[0]["paths"][0]["cancelled"], true, "{left:?}");
}

#[test]
fn a_decision_means_a_file_under_its_old_name_too() {
    let world = moved();
    world.work("c", || world.put("work/g.txt", &numbered(&[(3, "by c, over a")])));
    let plan = world.call(&["rollback", "wf", "--agent", "a", "--yes"]);
    assert_eq!(plan.error(), "CONFLICTS");
    for name in ["work/f.txt", "work/g.txt"] {
        world.ok(&["rollback", "wf", "--agent", "a", "--theirs", name, "--dependents", "keep", "--yes"]);
        assert_eq!(world.text("work/g.txt"), numbered(&[]), "{name}");
        assert!(!world.has("work/f.txt"), "{name}");
        world.ok(&["undo", "--yes"]);
        assert_eq!(world.text("work/g.txt"), numbered(&[(3, "by c, over a")]), "{name}");
    }
}
