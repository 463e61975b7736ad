//! Times of modification: an undo brings them back whatever it undoes, and a restore in place gives what changed the present.

use std::fs::File;
use std::time::{Duration, SystemTime};

use wfr_testkit::TestTree;

use crate::work::numbered;
use crate::world::World;

/// A time long ago, another one for each number.
fn past(number: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000 + number * 1_000)
}

fn age(world: &World, path: &str, number: u64) {
    File::open(world.root().join(path)).unwrap().set_modified(past(number)).unwrap();
}

fn time(world: &World, path: &str) -> SystemTime {
    world.root().join(path).metadata().unwrap().modified().unwrap()
}

/// Whether a path has none of the times that tests give.
fn is_recent(world: &World, path: &str) -> bool {
    time(world, path) > past(1_000)
}

/// A checkpoint `base`, then the work of `a` in it, and times of its own for everything.
fn worked() -> World {
    let world = World::unprotected(TestTree::new());
    world.ok(&["init"]);
    for (path, text) in [("d/a", "1"), ("d/e/deep", "1"), ("gone/x", "1"), ("other/o", "1"), ("moded", "1")] {
        world.put(path, text);
    }
    world.checkpoint("base");
    world.work("a", || {
        world.put("d/a", "2");
        world.put("d/new", "2");
        world.put("made/m", "2");
        world.put("d/e/deep", "2");
        std::fs::remove_dir_all(world.root().join("gone")).unwrap();
    });
    for (path, number) in
        ["d/a", "d/new", "made/m", "d/e/deep", "other/o", "moded", "d/e", "d", "made", "other", ""].iter().zip(1..)
    {
        age(&world, path, number);
    }
    world
}

#[test]
fn an_undo_brings_them_back_in_every_mode_and_leaves_alone_what_it_does_not_touch() {
    let modes: [&[&str]; 6] = [
        &["restore", "wf", "base", "--yes"],
        &["restore", "wf", "base", "--yes", "--exact-mtime"],
        &["partial-restore", "wf", "base", "--file", "d", "--file", "gone", "--yes"],
        &["restore", "wf", "base", "--restoration-mode", "selective", "--yes"],
        &["restore", "wf", "base", "--restoration-mode", "merge", "--yes"],
        &["rollback", "wf", "--agent", "a", "--yes"],
    ];
    for mode in modes {
        let world = worked();
        let (before, root) = (world.snapshot(), time(&world, ""));
        world.ok(mode);
        assert!(world.has("gone/x"), "{mode:?}");
        let is_exact = mode.contains(&"--exact-mtime");
        if !is_exact {
            assert_eq!((time(&world, "other/o"), time(&world, "other")), (past(5), past(10)), "{mode:?}");
            let is_merge = mode.contains(&"merge");
            assert!(is_merge || is_recent(&world, "d/a"), "build tools must see the change: {mode:?}");
            // What the undo leaves alone keeps the time that somebody gives it now.
            age(&world, "other/o", 50);
            age(&world, "other", 51);
        }
        world.ok(&["undo", "--yes"]);
        if !is_exact {
            assert_eq!((time(&world, "other/o"), time(&world, "other")), (past(50), past(51)), "{mode:?}");
            age(&world, "other/o", 5);
            age(&world, "other", 10);
        }
        before.assert_same(&world.snapshot());
        assert_eq!(time(&world, ""), root, "{mode:?}");
        // Done again and undone again.
        world.ok(&["undo", "--yes"]);
        assert!(world.has("gone/x"), "{mode:?}");
        world.ok(&["undo", "--yes"]);
        before.assert_same(&world.snapshot());
        assert_eq!(time(&world, ""), root, "{mode:?}");
    }
}

#[test]
fn a_time_given_since_is_no_edit_and_an_undo_of_the_undo_leaves_it_alone() {
    let world = worked();
    world.ok(&["restore", "wf", "base", "--yes"]);
    age(&world, "d/a", 60);
    age(&world, "moded", 61);
    let undone = world.ok(&["undo", "--yes"]);
    assert!(!undone.result("kept").to_string().contains("EDITED"), "{undone:?}");
    assert_eq!((time(&world, "d/a"), world.text("d/a")), (past(1), "2".to_owned()));
    assert_eq!(time(&world, "moded"), past(61));
    let again = world.ok(&["undo", "--yes"]);
    assert_eq!(again.result("kept").as_array().map(Vec::len), Some(0), "{again:?}");
    assert_eq!((time(&world, "d/a"), world.text("d/a")), (past(60), "1".to_owned()));
    assert_eq!(time(&world, "moded"), past(61));
}

#[test]
fn files_of_several_names_keep_theirs_and_become_one_again() {
    let world = World::unprotected(TestTree::new());
    world.ok(&["init"]);
    for path in ["a", "one", "gone/other"] {
        world.put(path, path);
    }
    let place = |path: &str| world.root().join(path);
    std::fs::hard_link(place("one"), place("two")).unwrap();
    std::fs::remove_file(place("gone/other")).unwrap();
    std::fs::hard_link(place("a"), place("gone/other")).unwrap();
    age(&world, "a", 1);
    age(&world, "one", 2);
    world.checkpoint("base");
    std::fs::remove_dir_all(place("gone")).unwrap();
    let edited = world.snapshot();
    world.ok(&["restore", "wf", "base", "--yes"]);
    let restored = world.snapshot();
    age(&world, "one", 50);
    world.ok(&["undo", "--yes"]);
    assert_eq!(time(&world, "two"), past(50), "nothing of it was done or undone");
    age(&world, "one", 2);
    edited.assert_same(&world.snapshot());
    world.ok(&["undo", "--yes"]);
    restored.assert_same(&world.snapshot());
}

#[test]
fn without_times_an_undo_gives_what_changed_the_present() {
    for mode in [&["restore", "wf", "base", "--yes"][..], &["rollback", "wf", "--agent", "a", "--yes"]] {
        let world = worked();
        world.ok(mode);
        world.ok(&["undo", "--yes", "--exact-mtime=false"]);
        assert_eq!(world.text("d/a"), "2");
        assert!(is_recent(&world, "d/a") && is_recent(&world, "made/m"), "{mode:?}");
        assert_eq!(time(&world, "other/o"), past(5));
    }
}

#[test]
fn what_an_undo_merges_with_later_work_is_new_and_gets_the_present() {
    let world = World::with_lines();
    world.work("a", || {
        world.put("work/f.txt", &numbered(&[(3, "by a")]));
        world.put("work/of_a.txt", "a");
    });
    age(&world, "work/f.txt", 1);
    age(&world, "work/of_a.txt", 2);
    age(&world, "work", 3);
    world.ok(&["rollback", "wf", "--agent", "a", "--yes"]);
    world.put("work/f.txt", &numbered(&[(20, "by me")]));
    age(&world, "work/f.txt", 4);
    world.ok(&["undo", "--yes"]);
    assert_eq!(world.text("work/f.txt"), numbered(&[(3, "by a"), (20, "by me")]));
    assert!(is_recent(&world, "work/f.txt"), "no version had this");
    assert_eq!((time(&world, "work/of_a.txt"), time(&world, "work")), (past(2), past(3)));
}
