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
