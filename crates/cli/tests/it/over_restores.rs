//! Undos of rollbacks over restores that were made since: what the rollback took comes back in every file, or is named.
//!
//! Owns these stories. Refuses to know what a replay makes of any chain: that is `back` of the recovery.

use crate::work::numbered;
use crate::world::World;

const F: &str = "work/f.txt";
const G: &str = "work/g.txt";

/// Two files with numbered lines, checkpoint `before`, and a ledger that has begun.
fn two_files() -> World {
    let world = World::with_lines();
    world.put(G, &numbered(&[]));
    world.work("z", || {});
    world.checkpoint("before");
    world
}

/// Somebody's line 3 in both files.
fn both(world: &World, who: &str) {
    [F, G].iter().for_each(|file| world.put(file, &numbered(&[(3, who)])));
}

/// A restore that takes what B did to one file, and work of D there if there is any.
fn restored(world: &World, to: &str, is_worked_on: bool) {
    world.work("b", || world.put(F, &numbered(&[(20, "by b")])));
    world.ok(&["restore", "wf", to, "--whole-tree", "--yes"]);
    assert_eq!(world.text(F), numbered(&[]));
    if is_worked_on {
        world.work("d", || world.put(F, &numbered(&[(12, "by d")])));
    }
}

/// The undo brings line 3 back in both files, and all is as before behind its own undo.
fn comes_back(world: &World, recovery: &str, who: &str, is_worked_on: bool) {
    let before = world.timeless();
    let undone = world.ok(&["undo", recovery, "--yes"]);
    let of_d = if is_worked_on { &[(3, who), (12, "by d")][..] } else { &[(3, who)] };
    assert_eq!((world.text(F), world.text(G)), (numbered(of_d), numbered(&[(3, who)])), "{undone:?}");
    let told = undone.result("findings").to_string();
    assert!(!told.contains("INCOMPLETE") && !told.contains("NOT_UNDONE"), "{told}");
    world.ok(&["undo", "--yes"]);
    assert_eq!(world.timeless().differences(&before), [""; 0]);
}

fn id(ended: &crate::world::Ended) -> String {
    ended.result("recovery_id").as_str().unwrap().to_owned()
}

#[test]
fn what_a_rollback_took_comes_back_though_a_restore_went_to_the_same_since() {
    for (to, is_worked_on) in [("behind", true), ("behind", false), ("before", true), ("before", false)] {
        let world = two_files();
        world.work("a", || both(&world, "by a"));
        let recovery = id(&world.ok(&["rollback", "wf", "--agent", "a", "--yes"]));
        world.checkpoint("behind");
        restored(&world, to, is_worked_on);
        comes_back(&world, &recovery, "by a", is_worked_on);
    }
}

#[test]
fn what_a_selective_restore_took_of_the_user_comes_back_over_a_later_one() {
    let world = two_files();
    both(&world, "by me");
    world.work("z", || {});
    let rules = ["--preservation-rules", r#"{"preserve_external_changes":false}"#];
    let restore = ["restore", "wf", "before", "--restoration-mode", "selective", "--yes"];
    let recovery = id(&world.ok(&[&restore[..], &rules].concat()));
    assert_eq!(world.text(F), numbered(&[]));
    world.checkpoint("behind");
    restored(&world, "behind", true);
    comes_back(&world, &recovery, "by me", true);
}
