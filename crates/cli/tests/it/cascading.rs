//! Later work that goes with what a rollback takes back: how far that reaches, what the rules keep from it, and that it is named.

use serde_json::Value;

use crate::work::numbered;
use crate::world::{Ended, World};

const CASCADE: [&str; 6] = ["rollback", "wf", "--agent", "a", "--dependents", "cascade"];

/// An agent `b` builds on what `a` did, and a third one on what `b` did.
fn built_on() -> World {
    let world = World::with_lines();
    world.work("a", || world.put("work/f.txt", &numbered(&[(3, "by a")])));
    world.work("b", || {
        world.put("work/f.txt", &numbered(&[(3, "by a"), (20, "by b")]));
        world.put("work/of_b", "b");
    });
    world.ok(&["event", r#"TASK_COMPLETED:wf:1:{"task_id":"b"}"#]);
    world
}

fn status(world: &World, workflow: &str, count: &str) -> u64 {
    world.ok(&["get-state", workflow]).result("workflow_state")[count].as_u64().unwrap()
}

/// What is said of later work: its lines in one text, and whether each of it goes.
fn told(result: &Value) -> (String, Vec<(String, bool)>) {
    let each = result["dependents"].as_array().unwrap().iter();
    let each = each.map(|one| (one["by"].as_str().unwrap().to_owned(), one["goes"].as_bool().unwrap()));
    (result["blast_radius"].to_string(), each.collect())
}

fn human(world: &World, call: &[&str]) -> String {
    String::from_utf8(world.command(call).output().unwrap().stdout).unwrap()
}

#[test]
fn what_the_rules_preserve_stays_and_is_named() {
    let by_flag = ["--preserve-components", "successful_tasks"];
    let by_strategy = [
        r#"{"rollback_strategy": {"preservation_rules": {"preserve_successful_tasks": true}, "conflict_resolution": {"dependency_conflicts": "dependency_order"}}}"#,
    ];
    for more in [&by_flag[..], &by_strategy] {
        let world = built_on();
        let call = if more.len() == 1 { [&CASCADE[..4], more].concat() } else { [&CASCADE[..], more].concat() };
        let done: Ended = world.ok(&[&call[..], &["--yes"]].concat());
        assert_eq!(world.text("work/f.txt"), numbered(&[(20, "by b")]));
        assert_eq!((world.text("work/of_b").as_str(), status(&world, "wf", "completed_tasks")), ("b", 1));
        let (lines, each) = told(&done.json["result"]);
        assert_eq!(each, [("b".to_owned(), false)]);
        assert!(lines.contains("it stays: `preserve_successful_tasks` keeps it"), "{lines}");
    }
    // So does a completed task that needs what goes. Of completed phases see `preserving`.
    let world = World::with_lines();
    let tasks = r#"[{"task_id": "a"}, {"task_id": "b", "dependencies": ["a"]}]"#;
    world.ok(&["initialize", "wf", &format!(r#"{{"phases": [{{"phase_id": 1, "tasks": {tasks}}}]}}"#)]);
    for agent in ["a", "b"] {
        world.work(agent, || world.put(&format!("work/of_{agent}"), agent));
    }
    world.ok(&["update-state", "wf", r#"{"tasks": {"b": {"status": "completed"}}}"#]);
    let done = world.ok(&[&CASCADE[..], &by_flag, &["--yes"]].concat());
    assert!(!world.has("work/of_a") && world.has("work/of_b"));
    assert_eq!(told(&done.json["result"]).1, [("b".to_owned(), false)]);
    assert_eq!(status(&world, "wf", "completed_tasks"), 1);
}

#[test]
fn another_workflows_work_stays_and_is_named() {
    let world = built_on();
    let call = ["change", "begin", "--workflow", "wf2", "--task", "z1", "--agent", "z"];
    let token = world.ok(&call).result("token").as_str().unwrap().to_owned();
    world.put("work/f.txt", &numbered(&[(3, "by a"), (20, "by b"), (28, "by z")]));
    world.end(&token);
    world.ok(&["event", r#"TASK_COMPLETED:wf2:1:{"task_id":"z1"}"#]);
    let done = world.ok(&[&CASCADE[..], &["--yes"]].concat());
    assert_eq!(world.text("work/f.txt"), numbered(&[(28, "by z")]));
    assert_eq!(status(&world, "wf2", "completed_tasks"), 1);
    let (lines, each) = told(&done.json["result"]);
    assert_eq!(each, [("b".to_owned(), true), ("z".to_owned(), false)]);
    assert!(lines.contains("it stays: it is of workflow wf2"), "{lines}");
}

#[test]
fn what_goes_with_it_is_named_in_both_forms() {
    let world = built_on();
    world.work("c", || world.put("work/of_b", "b and c"));
    let plan = world.ok(&[&CASCADE[..], &["--plan"]].concat());
    let (lines, each) = told(plan.result("plan"));
    assert_eq!(each, [("b".to_owned(), true), ("c".to_owned(), true)], "c builds on b, which builds on a");
    assert!(lines.contains("b wrote in work/f.txt since") && lines.contains("it goes, too"), "{lines}");
    let shown = human(&world, &[&CASCADE[..], &["--plan"]].concat());
    assert!(shown.contains("c wrote in work/of_b since") && shown.matches("it goes, too").count() == 2, "{shown}");
    let done = world.ok(&[&CASCADE[..], &["--yes"]].concat());
    assert_eq!(told(&done.json["result"]).1, each);
    assert!(!world.has("work/of_b"));
}

#[test]
fn edits_that_no_look_has_found_yet_are_later_work_too() {
    let world = World::with_lines();
    world.work("a", || world.put("work/f.txt", &numbered(&[(3, "by a")])));
    world.put("work/f.txt", &numbered(&[(3, "by a"), (20, "mine")]));
    let plan = world.ok(&["rollback", "wf", "--agent", "a", "--plan"]);
    let found = &plan.result("plan")["dependents"][0];
    assert_eq!((&found["by"], &found["change_id"]), (&"the user".into(), &Value::Null), "{plan:?}");
    let stop = ["rollback", "wf", "--agent", "a", "--dependents", "stop"];
    for (more, known) in [("--plan", "not recorded yet"), ("--yes", "chg_")] {
        let refused = world.refused(&[&stop[..], &[more]].concat(), 5, "OTHERS_ACTIVE").json.to_string();
        assert!(refused.contains(&format!("the user wrote in work/f.txt since ({known}")), "{refused}");
        assert!(refused.contains("--dependents keep") && !refused.contains("cascade"), "that would keep it: {refused}");
    }
    world.ok(&[&CASCADE[..], &["--yes"]].concat());
    assert_eq!(world.text("work/f.txt"), numbered(&[(20, "mine")]));
}

#[test]
fn what_stops_a_rollback_is_named() {
    let world = built_on();
    world.work("c", || world.put("work/f.txt", &numbered(&[(3, "by a"), (20, "by b"), (28, "by c")])));
    let refused =
        world.refused(&["rollback", "wf", "--agent", "a", "--dependents", "stop", "--yes"], 5, "OTHERS_ACTIVE");
    let refused = refused.json.to_string();
    assert!(
        refused.contains("b wrote in") && refused.contains("c wrote in") && refused.contains("cascade"),
        "{refused}"
    );
}

#[test]
fn nothing_stands_on_what_stays_by_decision() {
    let world = built_on();
    world.work("a", || world.put("work/of_a", "a"));
    let done = world.ok(&[&CASCADE[..], &["--ours", "work/f.txt", "--yes"]].concat());
    assert_eq!(world.text("work/f.txt"), numbered(&[(3, "by a"), (20, "by b")]));
    assert_eq!((world.has("work/of_a"), world.text("work/of_b").as_str()), (false, "b"), "{done:?}");
    assert_eq!(status(&world, "wf", "completed_tasks"), 1);
}
