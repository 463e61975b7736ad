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
