//! Work of completed phases: what the rule keeps of it, and what a rollback without the rule takes.

use serde_json::json;

use crate::states::export;
use crate::work::numbered;
use crate::world::World;

const RULE: &str = r#"{"preservation_rules": {"preserve_completed_phases": true}}"#;

/// Phase 1 is completed with a task that failed in it; in phase 2 a task is completed and one is under way.
fn two_phases() -> World {
    let world = World::with_lines();
    let phases = json!({"phases": [
        {"phase_id": 1, "tasks": [{"task_id": "a"}, {"task_id": "b"}]},
        {"phase_id": 2, "tasks": [{"task_id": "c"}, {"task_id": "d"}]}]});
    world.ok(&["initialize", "wf", &phases.to_string()]);
    let mut lines = Vec::new();
    for (agent, line) in [("a", 3), ("b", 9), ("c", 15), ("d", 21)] {
        lines.push((line, agent));
        world.work(agent, || {
            world.put("work/f.txt", &numbered(&lines));
            world.put(&format!("work/of_{agent}"), agent);
        });
    }
    let state = json!({
        "tasks": {"a": {"status": "completed"}, "b": {"status": "failed"},
                  "c": {"status": "completed"}, "d": {"status": "active", "assigned_agent": "d"}},
        "phases": {"1": {"status": "completed"}, "2": {"status": "in_progress"}}});
    world.ok(&["update-state", "wf", &state.to_string()]);
    world
}

/// Who has a file of their own there.
fn there(world: &World) -> String {
    ["a", "b", "c", "d"].into_iter().filter(|agent| world.has(&format!("work/of_{agent}"))).collect()
}

fn statuses(world: &World) -> String {
    let document = export(world);
    let tasks = document["phases"].as_array().unwrap().iter().flat_map(|phase| phase["tasks"].as_array().unwrap());
    let shown = tasks.map(|task| format!("{} {}", task["task_id"].as_str().unwrap(), task["status"].as_str().unwrap()));
    shown.collect::<Vec<_>>().join(", ")
}

#[test]
fn the_work_of_a_completed_phase_stays_whoever_did_it() {
    let full = ["rollback", "wf", "--rollback-scope", "full"];
    for more in [&["--preserve-components", "completed_phases"][..], &[RULE]] {
        let world = two_phases();
        let (before, state) = (world.timeless(), export(&world));
        world.ok(&[&full[..], more, &["--yes"]].concat());
        // The failed task's work too: it is the phase that is kept. A completed task of another phase is not.
        assert_eq!((there(&world).as_str(), world.text("work/f.txt")), ("ab", numbered(&[(3, "a"), (9, "b")])));
        assert_eq!(statuses(&world), "a completed, b failed, c pending, d pending");
        assert_eq!(export(&world)["phases"][0], state["phases"][0]);
        world.ok(&["undo", "--yes"]);
        assert_eq!((world.timeless().differences(&before), export(&world)), (vec![], state));
        // Both rules together keep what either does.
        let both = ["--preserve-components", "completed_phases", "--preserve-components", "successful_tasks", "--yes"];
        world.ok(&[&full[..], &both].concat());
        assert_eq!(there(&world), "abc");
        assert_eq!(statuses(&world), "a completed, b failed, c completed, d pending");
    }
    let world = two_phases();
    world.ok(&[&full[..], &["--yes"]].concat());
    assert_eq!((there(&world).as_str(), world.text("work/f.txt")), ("", numbered(&[])));
    assert_eq!(statuses(&world), "a pending, b pending, c pending, d pending");
    assert_eq!(export(&world)["phases"][0]["status"], "in_progress", "the phase goes on");
}

#[test]
fn who_is_named_and_has_only_work_of_a_completed_phase_keeps_it() {
    let world = two_phases();
    let (before, state) = (world.timeless(), export(&world));
    for named in [&["--agent", "b"][..], &["--task", "a"], &["--phase", "1"]] {
        world.refused(&[&["rollback", "wf"], named, &[RULE, "--yes"]].concat(), 3, "NOTHING_SELECTED");
        assert_eq!((world.timeless().differences(&before), export(&world)), (vec![], state.clone()), "{named:?}");
    }
    world.ok(&["rollback", "wf", "--phase", "2", RULE, "--yes"]);
    assert_eq!(there(&world), "ab");
}

#[test]
fn what_stands_on_what_goes_stays_where_its_phase_is_completed() {
    let world = World::with_lines();
    let phases = json!({"phases": [
        {"phase_id": 1, "tasks": [{"task_id": "a"}]}, {"phase_id": 2, "tasks": [{"task_id": "b", "dependencies": ["a"]}]}]});
    world.ok(&["initialize", "wf", &phases.to_string()]);
    world.work("a", || world.put("work/f.txt", &numbered(&[(3, "a")])));
    world.work("b", || world.put("work/f.txt", &numbered(&[(3, "a"), (20, "b")])));
    let state = json!({"tasks": {"a": {"status": "completed"}, "b": {"status": "completed"}},
                       "phases": {"2": {"status": "completed"}}});
    world.ok(&["update-state", "wf", &state.to_string()]);
    let call = ["rollback", "wf", "--agent", "a", "--dependents", "cascade", "--yes"];
    let done = world.ok(&[&call[..], &[RULE]].concat());
    assert!(
        done.result("blast_radius").to_string().contains("it stays: `preserve_completed_phases` keeps it"),
        "{done:?}"
    );
    assert_eq!(
        (world.text("work/f.txt"), statuses(&world)),
        (numbered(&[(20, "b")]), "a pending, b completed".to_owned())
    );
    world.ok(&["undo", "--yes"]);
    world.ok(&call);
    assert_eq!((world.text("work/f.txt"), statuses(&world)), (numbered(&[]), "a pending, b pending".to_owned()));
}
