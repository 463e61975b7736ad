//! What is meant where little is said, or odd things are: phases of any script, empty values, early checkpoints, and which
//! recovery an undo takes.

use crate::work::numbered;
use crate::world::World;

fn change(world: &World, said: &[&str], path: &str, text: &str) {
    let token = world.ok(&[&["change", "begin", "--workflow", "wf"], said].concat());
    world.put(path, text);
    world.end(token.result("token").as_str().unwrap());
}

#[test]
fn a_phase_of_any_script_is_itself_and_an_empty_one_is_refused() {
    let world = World::with_lines();
    for (phase, path) in [("設計", "one"), ("実装", "two"), ("C++", "three"), ("C#", "four"), ("Über Ünit", "five")]
    {
        change(&world, &["--agent", "a", "--phase", phase], path, "x");
    }
    for phase in ["", " ", "!!!", "global"] {
        world.refused(&["rollback", "wf", "--phase", phase, "--yes"], 2, "INVALID_PARAMETER");
    }
    world.refused(&["rollback", "wf", r#"{"phase": {}, "yes": true}"#], 2, "INVALID_PARAMETER");
    world.refused(&["change", "begin", "--workflow", "wf", "--agent", "a", "--phase", ""], 2, "INVALID_PARAMETER");
    let there = |world: &World| ["one", "two", "three", "four", "five"].map(|path| world.has(path));
    assert_eq!(there(&world), [true; 5]);
    world.ok(&["rollback", "wf", "--phase", "設計", "--yes"]);
    world.ok(&["rollback", "wf", "--phase", "C++", "--yes"]);
    assert_eq!(there(&world), [false, true, false, true, true]);
    assert_eq!(world.ok(&["log", "--phase", "über ünit"]).result("changes").as_array().unwrap().len(), 1);
    // One that is called by a number is not the phase of that number.
    world.ok(&["initialize", "wf2", r#"{"phases": [{"phase_id": 1, "name": "2"}, {"phase_id": 2, "name": "Two"}]}"#]);
    for phase in ["1", "2"] {
        let begun = world.ok(&["change", "begin", "--workflow", "wf2", "--agent", "a", "--phase", phase]);
        world.put(&format!("of_{phase}"), "x");
        world.end(begun.result("token").as_str().unwrap());
    }
    world.ok(&["rollback", "wf2", "--phase", "2", "--yes"]);
    assert!(world.has("of_1") && !world.has("of_2"));
}

#[test]
fn an_empty_path_means_nothing_and_is_refused() {
    let world = World::with_lines();
    world.work("a", || world.put("work/f.txt", &numbered(&[(3, "by a")])));
    for call in [
        &["rollback", "wf", "--agent", "a", "--file", "", "--yes"][..],
        &["partial-restore", "wf", "base", "--file", "", "--yes"],
        &["log", "--path", ""],
        &["rollback", "wf", r#"{"agent": "a", "file": ["", "work"], "yes": true}"#],
    ] {
        world.refused(call, 2, "INVALID_PARAMETER");
    }
    assert!(world.text("work/f.txt").contains("by a"));
    world.ok(&["rollback", "wf", "--agent", "a", "--file", ".", "--yes"]);
    assert!(!world.text("work/f.txt").contains("by a"), "all is meant by a dot");
}

#[test]
fn an_undo_takes_the_latest_recovery_also_where_that_changed_no_path() {
    let world = World::with_lines();
    world.work("a", || world.put("work/f.txt", &numbered(&[(3, "by a")])));
    world.work("c", || world.put("work/g.txt", "by c"));
    world.ok(&["rollback", "wf", "--agent", "c", "--yes"]);
    world.put("work/f.txt", &numbered(&[]));
    let none = world.ok(&["rollback", "wf", "--agent", "a", "--yes"]);
    assert_eq!(none.result("changed").as_array().unwrap().len(), 0, "the user had put it back");
    let undone = world.ok(&["undo", "--yes"]);
    assert_eq!(undone.result("undone"), none.result("recovery_id"));
    assert!(!world.has("work/g.txt"), "c's work stays taken back");
}

#[test]
fn one_whose_undo_was_undone_can_be_undone_by_its_own_id() {
    let world = World::with_lines();
    world.work("a", || world.put("work/f.txt", &numbered(&[(3, "by a")])));
    let first = world.ok(&["rollback", "wf", "--agent", "a", "--yes"]);
    let id = first.result("recovery_id").as_str().unwrap().to_owned();
    world.ok(&["undo", "--yes"]);
    world.ok(&["undo", "--yes"]);
    assert!(!world.text("work/f.txt").contains("by a"), "it stands again");
    world.ok(&["undo", &id, "--yes"]);
    assert!(world.text("work/f.txt").contains("by a"));
    world.refused(&["undo", &id, "--yes"], 5, "NOT_UNDOABLE");
}

#[test]
fn a_checkpoint_older_than_the_ledger_is_its_beginning_where_nothing_had_changed() {
    let world = World::with_lines();
    world.checkpoint("two");
    world.work("a", || world.put("work/f.txt", &numbered(&[(3, "by a")])));
    for checkpoint in ["base", "two"] {
        let planned = world.ok(&["rollback", "wf", checkpoint, "--agent", "a", "--plan"]);
        assert_eq!(planned.result("plan")["steps"].as_array().unwrap().len(), 1, "{checkpoint}");
    }
}
