//! Files that were moved and edited in one step: what goes of them stands elsewhere, and does not count as taken back.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use serde_json::Value;

use crate::work::numbered;
use crate::world::World;

/// A file of its own: its name is in each line.
fn of_its_own(name: &str) -> String {
    numbered(&[]).replace("line", &format!("{name} says"))
}

/// A tree with a directory of files.
fn with_files(names: &[String]) -> World {
    let world = World::with_lines();
    names.iter().for_each(|name| world.put(&format!("d/{name}"), &of_its_own(name)));
    world.checkpoint("with-files");
    world
}

fn names(count: usize) -> Vec<String> {
    (1..=count).map(|number| format!("f{number:03}")).collect()
}

fn append(world: &World, path: &str, line: &str) {
    world.put(path, &format!("{}{line}\n", world.text(path)));
}

fn rename(world: &World, from: &str, to: &str) {
    let (from, to) = (world.root().join(from), world.root().join(to));
    fs::create_dir_all(to.parent().unwrap()).unwrap();
    fs::rename(from, to).unwrap();
}

/// The messages of findings with a code, of a rollback of an agent.
fn told(world: &World, agent: &str, code: &str) -> Vec<String> {
    let done = world.ok(&["rollback", "wf", "--agent", agent, "--yes"]);
    let findings = done.result("findings").as_array().unwrap().clone();
    let has_code = |finding: &&Value| finding["code"] == code;
    findings.iter().filter(has_code).map(|finding| finding["message"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn each_file_of_a_directory_that_was_renamed_and_edited_in_one_step_is_named() {
    let names = names(40);
    let world = with_files(&names);
    world.work("a", || names.iter().for_each(|name| append(&world, &format!("d/{name}"), "by a")));
    world.work("b", || {
        names.iter().for_each(|name| append(&world, &format!("d/{name}"), "by b"));
        rename(&world, "d", "e");
    });
    let told = told(&world, "a", "NOT_FOLLOWED");
    for name in &names {
        let is_it = |message: &&String| message.starts_with(&format!("`d/{name}` was moved to `e/{name}` and edited"));
        assert_eq!(told.iter().filter(is_it).count(), 1, "{told:#?}");
    }
    assert_eq!(told.len(), names.len());
    // None of it counted as taken back: it is there where the files are again.
    world.ok(&["rollback", "wf", "--agent", "b", "--yes"]);
    world.ok(&["rollback", "wf", "--agent", "a", "--yes"]);
    names.iter().for_each(|name| assert_eq!(world.text(&format!("d/{name}")), of_its_own(name)));
}

#[test]
fn of_files_that_are_alike_each_is_named_with_the_one_of_its_name() {
    let world = World::with_lines();
    let lines = |count: usize| (1..=count).map(|number| format!("{number}\n")).collect::<String>();
    let counts = [25, 54, 100, 150, 300];
    counts.iter().for_each(|count| world.put(&format!("d/f{count}"), &lines(*count)));
    world.checkpoint("alike");
    world.work("a", || counts.iter().for_each(|count| append(&world, &format!("d/f{count}"), "by a")));
    world.work("b", || {
        counts.iter().for_each(|count| append(&world, &format!("d/f{count}"), "by b"));
        rename(&world, "d", "e");
    });
    let told = told(&world, "a", "NOT_FOLLOWED");
    let is_named =
        |count: &usize| told.iter().any(|told| told.contains(&format!("`d/f{count}` was moved to `e/f{count}`")));
    assert!(counts.iter().all(is_named) && told.len() == counts.len(), "{told:#?}");
}

#[test]
fn files_that_got_other_names_are_each_named_with_another_one() {
    let names = names(3);
    let world = with_files(&names);
    world.work("a", || names.iter().for_each(|name| append(&world, &format!("d/{name}"), "by a")));
    world.work("b", || {
        for name in &names {
            append(&world, &format!("d/{name}"), "by b");
            rename(&world, &format!("d/{name}"), &format!("e/as-{name}"));
        }
    });
    let told = told(&world, "a", "NOT_FOLLOWED");
    let is_named =
        |name: &String| told.iter().any(|told| told.contains(&format!("`d/{name}` was moved to `e/as-{name}`")));
    assert!(names.iter().all(is_named), "{told:#?}");
}

#[test]
fn one_that_was_moved_on_since_is_named_where_it_is() {
    let names = names(2);
    let world = with_files(&names);
    world.work("a", || names.iter().for_each(|name| append(&world, &format!("d/{name}"), "by a")));
    world.work("b", || {
        names.iter().for_each(|name| append(&world, &format!("d/{name}"), "by b"));
        rename(&world, "d", "e");
    });
    world.work("c", || rename(&world, "e/f001", "g/f001"));
    world.work("c", || {
        append(&world, "e/f002", "by c");
        rename(&world, "e/f002", "g/h/f002");
    });
    let told = told(&world, "a", "NOT_FOLLOWED");
    assert!(told.iter().any(|told| told.contains("`d/f001` was moved to `g/f001`")), "{told:#?}");
    assert!(told.iter().any(|told| told.contains("`d/f002` was moved to `g/h/f002`")), "{told:#?}");
}

#[test]
fn work_that_no_line_tells_is_not_taken_for_taken_back_either() {
    let names = names(2);
    let world = with_files(&names);
    world.put("d/data", "\0\u{1}bytes");
    world.checkpoint("with-data");
    let cut =
        |text: &str| text.lines().filter(|line| !line.ends_with("says 7")).map(|line| format!("{line}\n")).collect();
    world.work("a", || {
        let text: String = cut(&world.text("d/f001"));
        assert_ne!(text, world.text("d/f001"));
        world.put("d/f001", &text);
        fs::set_permissions(world.root().join("d/f002"), fs::Permissions::from_mode(0o755)).unwrap();
        world.put("d/data", "\0\u{1}bytes by a");
    });
    world.work("b", || {
        names.iter().for_each(|name| append(&world, &format!("d/{name}"), "by b"));
        world.put("d/data", "\0\u{1}bytes by a and b");
        rename(&world, "d", "e");
    });
    let told = told(&world, "a", "NOT_FOLLOWED");
    for (path, what) in [("e/f001", "still lacks"), ("e/f002", "the mode"), ("e/data", "may still be in")] {
        assert!(told.iter().any(|told| told.contains(path) && told.contains(what)), "{path}: {told:#?}");
    }
}

#[test]
fn what_was_deleted_while_others_came_counts_as_taken_back() {
    let names = names(2);
    let world = with_files(&names);
    world.work("a", || names.iter().for_each(|name| append(&world, &format!("d/{name}"), "by a")));
    world.work("b", || {
        fs::remove_dir_all(world.root().join("d")).unwrap();
        names.iter().for_each(|name| world.put(&format!("e/{name}"), &of_its_own(&format!("another {name}"))));
    });
    assert_eq!(told(&world, "a", "NOT_FOLLOWED"), [""; 0]);
}

/// What a rollback of an agent says and does: messages with `NOT_FOLLOWED`, whether all counts as taken back already, and how
/// many changes went.
fn rolled_back(world: &World, agent: &str) -> (Vec<String>, bool, u64) {
    let done = world.ok(&["rollback", "wf", "--agent", agent, "--yes"]);
    let findings = done.result("findings").as_array().unwrap();
    let with = |code: &'static str| {
        let has_code = move |one: &&Value| one["code"] == code;
        findings.iter().filter(has_code).map(|one| one["message"].to_string())
    };
    let is_taken = with("TAKEN_BACK_ALREADY").next().is_some();
    assert_eq!(with("COPIED").next(), None, "told once");
    (with("NOT_FOLLOWED").collect(), is_taken, done.result("rolled_back").as_u64().unwrap())
}

#[test]
fn work_in_a_file_that_moved_away_while_its_old_path_came_back_is_named_and_stays_to_be_taken_back() {
    for (edit, stays) in [(None, false), (Some("by the user"), false), (None, true)] {
        let world = with_files(&names(1));
        world.work("a", || append(&world, "d/f001", "by a"));
        // A stash of a move: the new name stays, the old one is as it was.
        rename(&world, "d/f001", "m");
        edit.iter().for_each(|line| append(&world, "m", line));
        world.put("d/f001", &of_its_own("f001"));
        let kept = world.text("m");
        if stays {
            world.work("c", || fs::remove_file(world.root().join("d/f001")).unwrap());
        }
        for _ in 0..2 {
            let (told, is_taken, count) = rolled_back(&world, "a");
            assert!(told.len() == 1 && told[0].contains("`d/f001` was moved to `m`"), "{told:?}");
            assert!(!is_taken && count == 0 && world.text("m") == kept);
        }
        let log = world.ok(&["log", "wf", "--agent", "a"]);
        assert_eq!(log.result("changes")[0]["paths"][0]["cancelled"], false);
        // Where it is nowhere any more it counts as taken back.
        fs::remove_file(world.root().join("m")).unwrap();
        assert_eq!(rolled_back(&world, "a"), (vec![], false, 1));
    }
}

#[test]
fn later_work_at_the_old_path_goes_without_what_went_elsewhere() {
    let world = with_files(&names(1));
    world.work("a", || append(&world, "d/f001", "by a"));
    rename(&world, "d/f001", "m");
    world.put("d/f001", &of_its_own("f001"));
    world.work("a", || append(&world, "d/f001", "later by a"));
    let full = world.timeless();
    let (told, _, count) = rolled_back(&world, "a");
    assert!(told.len() == 1 && count == 1, "{told:?}");
    assert_eq!(world.text("d/f001"), of_its_own("f001"));
    let (told, is_taken, count) = rolled_back(&world, "a");
    assert!(told.len() == 1 && !is_taken && count == 0, "{told:?}");
    world.ok(&["undo", "--yes"]);
    assert_eq!(world.timeless().differences(&full), [""; 0]);
    assert_eq!(rolled_back(&world, "a").2, 1, "it goes again");
    assert_eq!(world.text("d/f001"), of_its_own("f001"));
}

#[test]
fn what_was_written_over_while_others_were_edited_counts_as_taken_back() {
    let world = with_files(&names(2));
    world.put("e/f001", &of_its_own("f001"));
    world.checkpoint("another");
    world.work("a", || append(&world, "d/f001", "by a"));
    world.put("d/f001", &of_its_own("f001"));
    append(&world, "e/f001", "by a");
    world.put("e/new", "something else\n");
    assert_eq!(rolled_back(&world, "a"), (vec![], false, 1));
}
