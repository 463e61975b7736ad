//! What plans, results and refusals say beside what is done: whose it is taken for, what helps, and what is not said.

use serde_json::{Value, json};

use crate::work::numbered;
use crate::world::{Ended, World};

fn finding(ended: &Ended, code: &str) -> Value {
    let of_plan = &ended.result("plan")["findings"];
    let findings = if of_plan.is_null() { ended.result("findings") } else { of_plan };
    let found = findings.as_array().unwrap().iter().find(|one| one["code"] == code);
    found.unwrap_or_else(|| panic!("no {code}: {ended:?}")).clone()
}

#[test]
fn who_else_was_announced_is_not_denied() {
    let world = World::with_lines();
    let b = world.begin("b", &["--paths", "work/g.txt"]);
    world.work("a", || world.put("work/f.txt", &numbered(&[(3, "by a")])));
    world.end(&b);
    let planned = world.ok(&["rollback", "wf", "--agent", "a", "--plan"]);
    let told = finding(&planned, "OBSERVED_SELECTED")["message"].to_string();
    assert!(told.contains("taken for the work of a by what was announced") && !told.contains("nobody else"), "{told}");
}

#[test]
fn a_name_that_came_later_is_not_told_to_be_named() {
    let world = World::with_lines();
    world.work("a", || world.put("one", "by a\n"));
    std::fs::hard_link(world.root().join("one"), world.root().join("two")).unwrap();
    world.checkpoint("linked");
    world.work("b", || world.put("one", "by b\n"));
    std::fs::hard_link(world.root().join("one"), world.root().join("three")).unwrap();
    for more in [&[][..], &["--file", "one", "--file", "two"]] {
        let planned = world.ok(&[&["rollback", "wf", "--agent", "b", "--plan"], more].concat());
        let told = finding(&planned, "LINK_SPLIT")["fix"].as_str().unwrap().to_owned();
        assert!(told.contains("`ln -f one three`") && !told.contains("--file"), "{told}");
    }
}

#[test]
fn work_that_is_in_another_workflow_or_in_none_is_named() {
    let world = World::with_lines();
    world.work("a", || world.put("work/f.txt", "by a\n"));
    let token = world.ok(&["change", "begin", "--agent", "q"]).result("token").as_str().unwrap().to_owned();
    world.put("q.txt", "by q\n");
    world.ok(&["change", "end", &token]);
    let refused = world.refused(&["rollback", "wf", "--agent", "q", "--yes"], 3, "NOTHING_SELECTED");
    let told = refused.json["recovery_options"][0].as_str().unwrap().to_owned();
    let change = world.change_at("q.txt")["change_id"].as_str().unwrap().to_owned();
    assert!(told.contains(&format!("`wfr rollback wf --change {change}`")), "{told}");
    world.ok(&["rollback", "wf", "--change", &change, "--yes"]);
    assert!(!world.root().join("q.txt").exists());
    world.ok(&["initialize", "other"]);
    let refused = world.refused(&["rollback", "other", "--agent", "a", "--yes"], 3, "NOTHING_SELECTED");
    assert!(refused.json["recovery_options"].to_string().contains("`wfr rollback wf`"), "{refused:?}");
}

#[test]
fn names_of_one_file_that_nobody_means_stay_one_file() {
    use std::os::unix::fs::MetadataExt;
    let world = World::with_lines();
    world.put("one", "before\n");
    for other in ["two", "three"] {
        std::fs::hard_link(world.root().join("one"), world.root().join(other)).unwrap();
    }
    world.checkpoint("linked");
    let file = |name: &str| world.root().join(name).metadata().unwrap().ino();
    // A move, and what is written by one of the names.
    world.work("a", || std::fs::rename(world.root().join("one"), world.root().join("elsewhere")).unwrap());
    world.work("b", || std::fs::write(world.root().join("two"), "by b\n").unwrap());
    for (agent, more, comes) in [("a", &[][..], "one"), ("b", &["--file", "elsewhere"], "elsewhere")] {
        let one = file("two");
        let call = [&["rollback", "wf", "--agent", agent][..], more].concat();
        let told = finding(&world.ok(&[&call[..], &["--plan"]].concat()), "LINK_SPLIT")["message"].to_string();
        assert!(told.contains(&format!("`{comes}` and `three` are one file")), "{told}");
        let done = world.ok(&[&call[..], &["--yes"]].concat());
        assert!(!done.result("changed").to_string().contains("two"), "{done:?}");
        assert_eq!([file("two"), file("three")], [one, one]);
        assert_ne!(file(comes), one);
        world.ok(&["undo", "--yes"]);
    }
}

#[test]
fn an_undo_names_who_else_took_the_work_back() {
    let world = World::with_lines();
    world.work("a", || world.put("work/f.txt", &numbered(&[(3, "by a")])));
    world.work("b", || world.put("work/f.txt", &numbered(&[(3, "by a"), (8, "by b")])));
    let recovery = |ended: Ended| ended.result("recovery_id").as_str().unwrap().to_owned();
    let first = recovery(world.ok(&["rollback", "wf", "--agent", "a", "--yes"]));
    let second = recovery(world.ok(&["rollback", "wf", "--rollback-scope", "full", "--yes"]));
    for how in ["--plan", "--yes"] {
        let told = finding(&world.ok(&["undo", &first, how]), "STAYS_TAKEN_BACK");
        assert!(told["message"].as_str().unwrap().contains(&second), "{told}");
    }
    assert_eq!(world.text("work/f.txt"), numbered(&[]));
    let last = world.ok(&["undo", &second, "--yes"]);
    assert!(!last.json.to_string().contains("STAYS_TAKEN_BACK"), "{last:?}");
    assert_eq!(world.text("work/f.txt"), numbered(&[(3, "by a"), (8, "by b")]));
}

#[test]
fn what_cannot_be_shown_by_lines_says_why_and_what_can_be_seen() {
    let world = World::with_lines();
    world.work("a", || {
        world.put("large.txt", &"a line\n".repeat(1_000_000));
        std::fs::write(world.root().join("raw"), [0, 159, 146]).unwrap();
    });
    for (path, why) in [("large.txt", "it has 7000000 bytes, and"), ("raw", "is no text file")] {
        let refused = world.refused(&["blame", path], 2, "INVALID_PARAMETER");
        assert!(refused.json["error"]["message"].as_str().unwrap().contains(why), "{refused:?}");
        let ways = refused.json["recovery_options"].to_string();
        assert!(ways.contains(&format!("wfr log --path {path}")) && !ways.contains("--help"), "{ways}");
    }
}

#[test]
fn a_plan_names_the_tasks_that_it_sets() {
    let world = World::with_lines();
    for task in ["t1", "t2"] {
        let token = world.ok(&["change", "begin", "--workflow", "wf", "--task", task, "--agent", "a"]);
        world.put(&format!("work/{task}"), task);
        world.end(token.result("token").as_str().unwrap());
        world.ok(&["update-state", "wf", &format!(r#"{{"tasks": {{"{task}": {{"status": "completed"}}}}}}"#)]);
    }
    let planned = world.ok(&["rollback", "wf", "--agent", "a", "--plan"]);
    assert_eq!(planned.result("plan")["state_names"]["tasks"], json!(["t1", "t2"]));
    let shown = world.command(&["rollback", "wf", "--agent", "a", "--plan"]).output().unwrap().stdout;
    let shown = String::from_utf8(shown).unwrap();
    assert!(shown.contains("2 tasks (t1, t2)"), "{shown}");
}

#[test]
fn a_strategy_alone_is_told_what_it_does_not_say() {
    let world = World::with_lines();
    world.work("a", || world.put("work/f.txt", &numbered(&[(3, "by a")])));
    let planned = world.ok(&["rollback", "wf", "--agent", "a", "--plan"]);
    let strategy = json!({"rollback_strategy": planned.result("plan")["rollback_strategy"]}).to_string();
    let refused = world.refused(&["rollback", "wf", &strategy, "--yes"], 2, "WRONG_ARGUMENTS");
    let message = refused.json["error"]["message"].as_str().unwrap();
    assert!(message.contains("`rollback_strategy` does not say whose work"), "{refused:?}");
    world.ok(&["rollback", "wf", "--agent", "a", &strategy, "--yes"]);
    assert_eq!(world.text("work/f.txt"), numbered(&[]));
}

#[test]
fn lines_that_cannot_be_brought_back_are_said_to_be_missing() {
    let world = World::with_lines();
    let without = |text: &str| text.replace("line 3\nline 4\n", "");
    world.work("a", || world.put("work/f.txt", &without(&numbered(&[]))));
    // A stash, seen; the stash popped, with an edit right beside what A took away.
    world.put("work/f.txt", &numbered(&[]));
    world.checkpoint("stashed");
    world.put("work/f.txt", &without(&numbered(&[(2, "mine")])));
    let done = world.ok(&["rollback", "wf", "--agent", "a", "--yes"]);
    let told = finding(&done, "INCOMPLETE");
    assert!(
        told["message"].as_str().unwrap().contains("2 lines are missing that should be there, such as `line "),
        "{told}"
    );
    assert_eq!(world.text("work/f.txt"), without(&numbered(&[(2, "mine")])));
}
