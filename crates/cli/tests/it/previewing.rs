//! What a plan shows before anybody agrees to it: lines, later work that stands on what goes, paths at which nothing changes.

use crate::work::numbered;
use crate::world::World;

#[test]
fn only_work_of_agents_goes_with_it() {
    let world = World::with_lines();
    world.work("a", || world.put("work/f.txt", &numbered(&[(3, "by a")])));
    world.put("work/f.txt", &numbered(&[(3, "by a"), (9, "mine")]));
    world.checkpoint("late");
    world.put("work/f.txt", &numbered(&[(3, "by a"), (9, "lost")]));
    world.ok(&["restore", "wf", "late", "--restoration-mode", "partial", "--file", "work/f.txt", "--yes"]);
    world.work("b", || world.put("work/f.txt", &numbered(&[(3, "by a"), (9, "mine"), (15, "by b")])));
    let plan = world.ok(&["rollback", "wf", "--agent", "a", "--plan"]);
    let radius = plan.result("plan")["blast_radius"].as_array().unwrap().len();
    assert!(radius >= 3, "the user's edits and the restore are named, too: {plan:?}");
    world.ok(&["rollback", "wf", "--agent", "a", "--yes", "--dependents", "cascade"]);
    assert_eq!(
        world.text("work/f.txt"),
        numbered(&[(9, "mine")]),
        "the user's stays, and so does what the restore gave back"
    );
}

#[test]
fn a_plan_shows_the_lines_that_it_changes_and_who_builds_on_them() {
    let world = World::with_lines();
    world.work("a", || {
        world.put("work/f.txt", &numbered(&[(3, "by a")]));
        world.put("work/gone.txt", "all of a\n");
        std::fs::write(world.root().join("work/raw"), [0, 159, 146]).unwrap();
    });
    world.work("b", || world.put("work/f.txt", &numbered(&[(3, "by a"), (9, "by b")])));
    // What nobody has looked at yet is shown, too.
    world.put("work/f.txt", &numbered(&[(3, "by a"), (9, "by b"), (15, "mine")]));
    let planned = world.ok(&["rollback", "wf", "--agent", "a", "--plan"]);
    let plan = planned.result("plan");
    let patch =
        |path: &str| plan["patches"].as_array().unwrap().iter().find(|one| one["path"] == path).unwrap().clone();
    let lines = patch("work/f.txt");
    let text = lines["patch"].as_str().unwrap();
    assert_eq!((&lines["insertions"], &lines["deletions"]), (&1.into(), &1.into()), "{text}");
    assert!(text.contains("-by a\n") && !text.contains("-by b") && !text.contains("-mine"), "{text}");
    assert!(patch("work/gone.txt")["patch"].as_str().unwrap().contains("+++ /dev/null"), "{plan}");
    assert_eq!((&patch("work/raw")["binary"], &patch("work/raw")["patch"]), (&true.into(), &serde_json::Value::Null));
    assert_eq!(plan["patches_left_out"], 0);
    let stands = &plan["dependents"][0];
    assert_eq!((&stands["standing"], &stands["by"]), (&"wrote".into(), &"b".into()), "{plan}");
    assert_eq!(stands["paths"], serde_json::json!(["work/f.txt"]));
    let mut shown = world.command(&["rollback", "wf", "--agent", "a", "--plan"]);
    let text = String::from_utf8(shown.output().unwrap().stdout).unwrap();
    assert!(text.contains("-by a") && text.find("-by a") < text.find("Plan:"), "{text}");
    let done = world.ok(&["rollback", "wf", "--agent", "a", "--yes"]);
    assert_eq!(done.result("dependents")[0]["by"], "b", "{done:?}");
}

#[test]
fn a_path_at_which_nothing_changes_is_named() {
    let world = World::with_lines();
    world.work("a", || world.put("work/f.txt", &numbered(&[(3, "by a")])));
    world.work("b", || world.put("work/f.txt", "all new\n"));
    let done = world.ok(&["rollback", "wf", "--agent", "a", "--partial", "--yes"]);
    assert_eq!(world.text("work/f.txt"), "all new\n");
    let findings = done.result("findings").to_string();
    assert!(findings.contains("work/f.txt"), "{findings}");
}

#[test]
fn a_directory_that_holds_something_of_others_stays_for_that() {
    let world = World::with_lines();
    world.work("a", || world.put("dd/x", "a"));
    world.put("dd/u", "mine");
    let done = world.ok(&["rollback", "wf", "--agent", "a", "--yes"]);
    assert!(!world.has("dd/x") && world.has("dd/u"));
    let findings = done.result("findings").to_string();
    assert!(findings.contains("`dd` stays as it is: something is in it that stays"), "{findings}");
    assert!(!findings.contains("wrote over"), "{findings}");
}

#[test]
fn names_of_one_file_of_which_one_is_meant_are_told_to_part() {
    let world = World::with_lines();
    world.put("one", "before\n");
    std::fs::hard_link(world.root().join("one"), world.root().join("two")).unwrap();
    world.checkpoint("linked");
    world.work("a", || world.put("one", "by a\n"));
    let split = |call: &[&str]| {
        let plan = world.ok(call).result("plan")["findings"].to_string();
        plan.contains("LINK_SPLIT")
    };
    assert!(!split(&["rollback", "wf", "--agent", "a", "--plan"]));
    assert!(split(&["rollback", "wf", "--agent", "a", "--file", "one", "--plan"]));
    let done = world.ok(&["rollback", "wf", "--agent", "a", "--file", "one", "--yes"]);
    assert_eq!((world.text("one"), world.text("two")), ("before\n".to_owned(), "by a\n".to_owned()));
    let findings = done.result("findings").to_string();
    assert!(findings.contains("`one` and `two` are one file") && findings.contains("name both"), "{findings}");
}
