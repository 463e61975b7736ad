//! What is told of work beside a decision made by hand, and what becomes of the tasks.

use serde_json::Value;

use crate::work::numbered;
use crate::world::World;

/// A edits one line, B another one.
fn side_by_side() -> World {
    let world = World::with_lines();
    world.work("a", || world.put("work/f.txt", &numbered(&[(3, "by a")])));
    world.work("b", || world.put("work/f.txt", &numbered(&[(3, "by a"), (8, "by b")])));
    world
}

/// What a plan says of B.
fn of_b(world: &World, more: &[&str]) -> (String, Value) {
    let call = [&["rollback", "wf", "--agent", "a", "--plan"], more].concat();
    let plan = world.ok(&call).result("plan").clone();
    (plan["blast_radius"][0].as_str().unwrap().to_owned(), plan["dependents"][0]["goes"].clone())
}

#[test]
fn work_that_goes_with_what_was_decided_is_said_to_go() {
    let world = side_by_side();
    let (line, goes) = of_b(&world, &[]);
    assert!(line.ends_with("; it stays") && goes == false, "{line}");
    let (line, goes) = of_b(&world, &["--theirs", "work/f.txt"]);
    assert!(line.contains("it goes, too") && goes == true, "{line}");
    let by_hand = |text: &str| {
        std::fs::write(world.data.path().join("text"), text).unwrap();
        format!("work/f.txt={}", world.data.path().join("text").display())
    };
    for (text, wanted) in
        [(numbered(&[(8, "by b")]), false), (numbered(&[(8, "by b"), (20, "by hand")]), false), (numbered(&[]), true)]
    {
        let (line, goes) = of_b(&world, &["--resolve", &by_hand(&text)]);
        assert_eq!(goes, wanted, "{line}");
        assert_eq!(line.contains("it goes, too"), wanted, "{line}");
    }
    let done = world.ok(&["rollback", "wf", "--agent", "a", "--theirs", "work/f.txt", "--yes"]);
    assert!(done.result("blast_radius")[0].as_str().unwrap().contains("it goes, too"), "{done:?}");
    assert_eq!(world.text("work/f.txt"), numbered(&[]));
}

#[test]
fn work_that_a_rule_overwrites_is_said_to_go() {
    let world = side_by_side();
    world.work("c", || world.put("work/f.txt", &numbered(&[(3, "by c"), (8, "by b")])));
    let plan = world.ok(&["rollback", "wf", "--agent", "a", "--conflict-resolution", "checkpoint_priority", "--plan"]);
    let dependents = plan.result("plan")["dependents"].as_array().unwrap().clone();
    assert!(dependents.len() == 2 && dependents.iter().all(|one| one["goes"] == true), "{plan:?}");
    // A file that goes as a whole takes what others did in it along.
    world.work("a", || world.put("work/new.txt", "a\n"));
    world.work("c", || world.put("work/new.txt", "a\nc\n"));
    let call = ["rollback", "wf", "--agent", "a", "--file", "work/new.txt", "--theirs", "work/new.txt", "--plan"];
    let plan = world.ok(&call);
    assert_eq!(plan.result("plan")["dependents"][0]["goes"], true, "{plan:?}");
}

/// A has done two tasks, and B one that needs none.
fn with_tasks() -> World {
    let world = World::with_lines();
    world.work("a", || world.put("work/f.txt", &numbered(&[(3, "by a")])));
    world.work("b", || world.put("work/of_b.txt", "b"));
    let token = world.ok(&["change", "begin", "--workflow", "wf", "--task", "second", "--agent", "a"]);
    world.put("work/f.txt", &numbered(&[(3, "by a"), (20, "by a, too")]));
    world.put("work/of_a.txt", "a");
    world.end(token.result("token").as_str().unwrap());
    for (task, agent) in [("a", "a"), ("b", "b"), ("second", "a")] {
        for event in ["TASK_STARTED", "TASK_COMPLETED"] {
            world.ok(&["event", &format!(r#"{event}:wf:1:{{"task_id":"{task}","agent_id":"{agent}"}}"#)]);
        }
    }
    world
}

fn statuses(world: &World) -> Value {
    let state = world.ok(&["get-state", "wf", "--format", "hub"]);
    let phases = state.result("workflow_state")["phases"].as_array().unwrap();
    let tasks = phases.iter().flat_map(|phase| phase["tasks"].as_array().unwrap());
    tasks.map(|task| (task["task_id"].as_str().unwrap().to_owned(), task["status"].clone())).collect()
}

#[test]
fn tasks_of_which_nothing_is_taken_back_stay_as_they_are() {
    let world = with_tasks();
    let before = statuses(&world);
    let (ours, theirs) = (["--ours", "work/f.txt"], ["--ours", "work/of_a.txt"]);
    let call = [&["rollback", "wf", "--agent", "a", "--yes"][..], &ours, &theirs].concat();
    let nothing = world.ok(&call);
    assert!(
        nothing.result("recovery_id").is_null() && nothing.json.to_string().contains("as was decided"),
        "{nothing:?}"
    );
    assert!(nothing.result("findings").to_string().contains("STAYS_AS_DECIDED"), "{nothing:?}");
    assert_eq!(statuses(&world), before);
    assert!(world.ok(&["recoveries"]).result("recoveries").as_array().unwrap().is_empty());
}

#[test]
fn a_task_of_which_some_is_taken_back_is_to_be_done_anew_and_that_is_said() {
    let world = with_tasks();
    let call = ["rollback", "wf", "--agent", "a", "--ours", "work/f.txt"];
    let planned = world.ok(&[&call[..], &["--plan"]].concat());
    let findings = planned.result("plan")["findings"].to_string();
    assert!(findings.contains("task a stays as it is"), "{findings}");
    assert!(findings.contains("task second is to be done anew, though some of its work stays"), "{findings}");
    let done = world.ok(&[&call[..], &["--yes"]].concat());
    assert_eq!(done.result("state_changes")["tasks"], 1, "{done:?}");
    let found = statuses(&world);
    assert_eq!(
        (&found["a"], &found["b"], &found["second"]),
        (&"completed".into(), &"completed".into(), &"pending".into())
    );
    assert!(!world.has("work/of_a.txt") && world.text("work/f.txt").contains("by a, too"));
}

/// Whether each change of an agent is taken back at the file, the newest first.
fn taken_back(world: &World, agent: &str) -> Vec<bool> {
    let log = world.ok(&["log", "wf", "--agent", agent]);
    log.result("changes").as_array().unwrap().iter().map(|one| one["paths"][0]["cancelled"] == true).collect()
}

#[test]
fn what_was_resolved_by_hand_is_settled() {
    let world = World::with_lines();
    world.work("a", || world.put("work/f.txt", &numbered(&[(3, "by a")])));
    world.work("b", || world.put("work/f.txt", &numbered(&[(3, "by a"), (4, "by b")])));
    world.work("c", || world.put("work/f.txt", &numbered(&[(3, "by a"), (4, "by b"), (11, "by c")])));
    let full = world.text("work/f.txt");
    world.refused(&["rollback", "wf", "--agent", "a", "--yes"], 5, "CONFLICTS");
    let by_hand = world.data.path().join("by_hand");
    std::fs::write(&by_hand, numbered(&[(4, "by b"), (11, "by c"), (20, "by hand")])).unwrap();
    let resolve = format!("work/f.txt={}", by_hand.display());
    let first = world.ok(&["rollback", "wf", "--agent", "a", "--resolve", &resolve, "--yes"]);
    assert_eq!(taken_back(&world, "a"), [true]);
    let again = world.ok(&["rollback", "wf", "--agent", "a", "--resolve", &resolve, "--plan"]);
    assert!(again.json.to_string().contains("TAKEN_BACK_ALREADY"), "{again:?}");
    // New work of theirs goes alone, and comes back alone.
    let worked = numbered(&[(4, "by b"), (11, "by c"), (20, "by hand"), (27, "by a")]);
    world.work("a", || world.put("work/f.txt", &worked));
    assert_eq!(taken_back(&world, "a"), [false, true]);
    let second = world.ok(&["rollback", "wf", "--agent", "a", "--yes"]);
    assert_eq!(world.text("work/f.txt"), numbered(&[(4, "by b"), (11, "by c"), (20, "by hand")]));
    world.ok(&["rollback", "wf", "--agent", "c", "--yes"]);
    assert_eq!(world.text("work/f.txt"), numbered(&[(4, "by b"), (20, "by hand")]), "others' work goes beside it");
    world.ok(&["undo", "--yes"]);
    world.ok(&["undo", second.result("recovery_id").as_str().unwrap(), "--yes"]);
    assert_eq!(world.text("work/f.txt"), worked);
    assert_eq!(taken_back(&world, "a"), [false, true]);
    // Its undo brings back what went, and takes out what was made by hand; the undo of that the other way round.
    world.put("work/f.txt", &worked.replace("by a\n", "line 27\n"));
    world.ok(&["undo", first.result("recovery_id").as_str().unwrap(), "--yes"]);
    assert_eq!((world.text("work/f.txt"), taken_back(&world, "a")), (full, vec![false, false]));
    world.ok(&["undo", "--yes"]);
    assert_eq!(world.text("work/f.txt"), numbered(&[(4, "by b"), (11, "by c"), (20, "by hand")]));
    assert_eq!(taken_back(&world, "a"), [false, true]);
    world.ok(&["rollback", "wf", "--agent", "c", "--yes"]);
    assert_eq!(world.text("work/f.txt"), numbered(&[(4, "by b"), (20, "by hand")]));
}

#[test]
fn what_was_resolved_to_keep_a_line_of_what_goes_keeps_it() {
    let world = World::with_lines();
    world.work("a", || world.put("work/f.txt", &numbered(&[(3, "by a")])));
    world.work("b", || world.put("work/f.txt", &numbered(&[(3, "by a"), (4, "by b")])));
    // As if only B's had gone.
    let by_hand = world.data.path().join("by_hand");
    std::fs::write(&by_hand, numbered(&[(3, "by a")])).unwrap();
    let resolve = format!("work/f.txt={}", by_hand.display());
    world.ok(&["rollback", "wf", "--agent", "a", "--resolve", &resolve, "--yes"]);
    world.work("a", || world.put("work/f.txt", &numbered(&[(3, "by a"), (25, "by a, later")])));
    world.ok(&["rollback", "wf", "--agent", "a", "--yes"]);
    assert_eq!(world.text("work/f.txt"), numbered(&[(3, "by a")]));
}
