//! Lines that what stays and what goes both changed, merged word by word where somebody asks for it.

use crate::work::numbered;
use crate::world::World;

/// A and B write in the same line, and B in the one below a line of A's.
fn in_one_line() -> World {
    let world = World::with_lines();
    world.put("work/f.txt", &numbered(&[(3, "let total = sum(list);")]));
    world.checkpoint("code");
    world.work("a", || world.put("work/f.txt", &numbered(&[(3, "let total: u64 = sum(list);"), (9, "by a")])));
    let both = [(3, "let total: u64 = sum(rows);"), (9, "by a"), (10, "by b")];
    world.work("b", || world.put("work/f.txt", &numbered(&both)));
    world
}

#[test]
fn work_in_the_same_line_is_separated_where_that_is_asked_for() {
    let world = in_one_line();
    let full = world.timeless();
    world.refused(&["rollback", "wf", "--agent", "a", "--yes"], 5, "CONFLICTS");
    let plan = world.ok(&["rollback", "wf", "--agent", "a", "--words", "--plan"]);
    assert!(plan.result("plan")["findings"].to_string().contains("MERGED_BY_WORDS"), "{plan:?}");
    assert!(!plan.result("plan")["findings"].to_string().contains("INCOMPLETE"), "{plan:?}");
    world.ok(&["rollback", "wf", "--agent", "a", "--words", "--yes"]);
    assert_eq!(world.text("work/f.txt"), numbered(&[(3, "let total = sum(rows);"), (10, "by b")]));
    world.ok(&["undo", "--yes"]);
    assert_eq!(world.timeless().differences(&full), [""; 0]);
    world.ok(&["rollback", "wf", "--agent", "b", "--words", "--yes"]);
    assert_eq!(world.text("work/f.txt"), numbered(&[(3, "let total: u64 = sum(list);"), (9, "by a")]));
}

#[test]
fn the_same_word_stays_a_conflict() {
    let world = in_one_line();
    world.work("c", || world.put("work/f.txt", &numbered(&[(3, "let total: u32 = sum(rows);")])));
    world.refused(&["rollback", "wf", "--agent", "a", "--words", "--yes"], 5, "CONFLICTS");
}

#[test]
fn a_merge_with_a_checkpoint_takes_words_too() {
    let world = World::with_lines();
    world.put("work/f.txt", &numbered(&[(3, "one two three")]));
    world.checkpoint("base_line");
    world.put("work/f.txt", &numbered(&[(3, "ONE two three")]));
    world.checkpoint("one");
    world.ok(&["restore", "wf", "base_line", "--yes", "--whole-tree"]);
    world.put("work/f.txt", &numbered(&[(3, "one two THREE")]));
    let merge = ["restore", "wf", "one", "--restoration-mode", "merge", "--yes", "--whole-tree"];
    world.refused(&merge, 5, "CONFLICTS");
    world.ok(&[&merge[..], &["--words"]].concat());
    assert_eq!(world.text("work/f.txt"), numbered(&[(3, "ONE two THREE")]));
}
