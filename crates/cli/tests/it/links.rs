//! Links that move while several work on them, and files of which nothing tells where they went.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use crate::world::{Ended, World};

fn world() -> World {
    let world = World::with_lines();
    link(&world, "work/l", "first");
    link(&world, "src/one", "same");
    link(&world, "src/two", "same");
    world.put("src/x.txt", "x\n");
    world.put("blank", "");
    world.checkpoint("links");
    world
}

fn link(world: &World, path: &str, target: &str) {
    let place = world.root().join(path);
    fs::create_dir_all(place.parent().unwrap()).unwrap();
    drop(fs::remove_file(&place));
    symlink(target, place).unwrap();
}

fn target(world: &World, path: &str) -> String {
    fs::read_link(world.root().join(path)).unwrap().to_str().unwrap().to_owned()
}

fn mv(world: &World, from: &str, to: &str) {
    fs::rename(world.root().join(from), world.root().join(to)).unwrap();
}

fn roll_back(world: &World, agent: &str) -> Ended {
    world.ok(&["rollback", "wf", "--agent", agent, "--yes"])
}

fn says(done: &Ended, code: &str) -> bool {
    let findings = done.result("findings").as_array().unwrap();
    findings.iter().any(|finding| finding["code"] == code)
}

#[test]
fn work_is_taken_out_of_a_link_that_has_moved() {
    let world = world();
    world.work("b", || link(&world, "work/l", "by-b"));
    mv(&world, "work/l", "work/m");
    let full = world.timeless();
    let done = roll_back(&world, "b");
    assert!(says(&done, "MOVED") && !says(&done, "KEPT_DELETION"), "{done:?}");
    assert_eq!(target(&world, "work/m"), "first");
    assert!(!world.has("work/l"), "where it went is the user's work");
    world.ok(&["undo", "--yes"]);
    assert_eq!(world.timeless().differences(&full), [""; 0]);
}

#[test]
fn links_are_followed_with_the_directory_that_moved() {
    let world = world();
    world.work("b", || link(&world, "src/one", "by-b"));
    world.work("a", || mv(&world, "src", "lib"));
    world.work("c", || link(&world, "lib/two", "by-c"));
    roll_back(&world, "b");
    assert_eq!((target(&world, "lib/one"), target(&world, "lib/two")), ("same".to_owned(), "by-c".to_owned()));
    roll_back(&world, "a");
    assert_eq!((target(&world, "src/one"), target(&world, "src/two")), ("same".to_owned(), "by-c".to_owned()));
    assert!(!world.has("lib"));
}

#[test]
fn a_link_that_somebody_deleted_where_it_was_moved_to_stays_deleted() {
    let world = world();
    world.work("a", || mv(&world, "work/l", "work/m"));
    fs::remove_file(world.root().join("work/m")).unwrap();
    let done = roll_back(&world, "a");
    assert!(says(&done, "KEPT_DELETION"), "{done:?}");
    assert!(!world.has("work/l") && !world.has("work/m"));
}

#[test]
fn a_link_is_not_taken_for_a_file_that_holds_its_target() {
    let world = world();
    world.work("b", || link(&world, "work/l", "by-b"));
    fs::remove_file(world.root().join("work/l")).unwrap();
    world.put("work/m", "by-b");
    let done = roll_back(&world, "b");
    assert!(says(&done, "KEPT_DELETION") && !says(&done, "MOVED"), "{done:?}");
    assert_eq!(world.text("work/m"), "by-b");
}

#[test]
fn what_moved_where_it_is_not_followed_does_not_count_as_deleted() {
    let world = world();
    let mode = |path: &str| fs::metadata(world.root().join(path)).unwrap().permissions().mode() & 0o777;
    world.work("b", || {
        fs::set_permissions(world.root().join("blank"), fs::Permissions::from_mode(0o700)).unwrap();
        world.put("made", "");
        link(&world, "made-link", "by-b");
        world.put("made.txt", "quite\na\nnew\nfile\n");
    });
    let not_followed = |lives_in: &str| {
        let done = roll_back(&world, "b");
        let findings = done.result("findings").to_string();
        assert!(says(&done, "NOT_FOLLOWED") && !says(&done, "KEPT_DELETION"), "{done:?}");
        assert!(findings.contains(&format!("`{lives_in}`")), "{findings}");
        assert!(!done.json.to_string().contains("taken back already"), "{done:?}");
        world.call(&["undo", "--yes"]);
    };
    mv(&world, "blank", "work/void");
    not_followed("work/void");
    assert_eq!(mode("work/void"), 0o700);
    // What would not be there at all without what goes.
    mv(&world, "made", "work/made-empty");
    not_followed("work/made-empty");
    link(&world, "work/copy", "by-b");
    mv(&world, "made-link", "work/other");
    not_followed("work/copy");
    fs::remove_file(world.root().join("made.txt")).unwrap();
    world.put("work/edited.txt", "quite\na\nnew\nfile\nof the user\n");
    not_followed("work/edited.txt");
}

#[test]
fn a_directory_that_is_gone_is_not_said_to_be_deleted_where_it_may_have_moved() {
    let world = world();
    world.work("b", || fs::set_permissions(world.root().join("src"), fs::Permissions::from_mode(0o700)).unwrap());
    mv(&world, "src", "lib");
    let done = roll_back(&world, "b");
    let findings = done.result("findings").to_string();
    assert!(findings.contains("or moved it"), "{findings}");
}
