//! The state that goes with work which is taken back: exactly what of it is set, as whole exports say.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::states::{codes, export, validated};
use crate::world::World;

/// What stands at each place of a document; what has an id of its own is at that.
fn places(value: &Value, at: &str, found: &mut BTreeMap<String, Value>) {
    let id = |one: &Value| ["phase_id", "task_id"].iter().find_map(|key| one.get(key).map(ToString::to_string));
    match value {
        Value::Object(fields) => fields.iter().for_each(|(key, value)| places(value, &format!("{at}/{key}"), found)),
        Value::Array(list) => list.iter().enumerate().for_each(|(number, one)| {
            let key = id(one).unwrap_or_else(|| number.to_string());
            places(one, &format!("{at}/{}", key.trim_matches('"')), found);
        }),
        Value::Null => {}
        value => drop(found.insert(at.to_owned(), value.clone())),
    }
}

/// Every place at which two documents differ, with what stands there in each.
fn differences(before: &Value, after: &Value) -> Vec<String> {
    let [mut was, mut is] = [BTreeMap::new(), BTreeMap::new()];
    places(before, "", &mut was);
    places(after, "", &mut is);
    let mut all: Vec<&String> = was.keys().chain(is.keys()).collect();
    all.sort();
    all.dedup();
    let shown = |value: Option<&Value>| value.map_or_else(|| "-".to_owned(), ToString::to_string);
    let differ = all.into_iter().filter(|place| was.get(*place) != is.get(*place));
    differ.map(|place| format!("{place}: {} to {}", shown(was.get(place)), shown(is.get(place)))).collect()
}

/// A workflow that ended with two phases, each of two tasks, and agents that still name what they did last.
fn ended() -> World {
    let world = World::with_lines();
    let task = |id: &str, agent: &str| {
        json!({"task_id": id, "status": "completed", "assigned_agent": agent, "description": id, "attempts": 3,
               "started_at": "2025-01-15T10:00:00Z", "completed_at": "2025-01-15T11:00:00Z", "priority": "high"})
    };
    let phase = |id: u64, tasks: [Value; 2]| {
        json!({"phase_id": id, "name": "P", "status": "completed", "tasks": tasks,
               "started_at": "2025-01-15T10:00:00Z", "completed_at": "2025-01-15T11:00:00Z"})
    };
    let state = json!({"id": "wf", "name": "Port", "status": "completed", "current_phase": 2,
        "ended_at": "2025-01-15T11:00:00Z", "configuration": {"timeout": 5},
        "phases": [phase(1, [task("t1", "a"), task("t2", "b")]), phase(2, [task("t3", "a"), task("t4", "b")])],
        "agents": {"a": {"status": "in_progress", "current_task": "t3", "progress": 65.5, "capabilities": ["rust"]},
                   "b": {"status": "in_progress", "current_task": "t4", "progress": 10.0}}});
    world.tree.write("state.json", state.to_string().as_bytes());
    world.ok(&["import", "state.json", "--from", "hub"]);
    std::fs::remove_file(world.tree.at("state.json")).unwrap();
    for (task, agent, phase) in [("t1", "a", "1"), ("t2", "b", "1"), ("t3", "a", "2"), ("t4", "b", "2")] {
        let call = ["change", "begin", "--workflow", "wf", "--phase", phase, "--task", task, "--agent", agent];
        let token = world.ok(&call).result("token").as_str().unwrap().to_owned();
        world.put(&format!("work/of_{task}"), task);
        world.end(&token);
    }
    world
}

/// What is set of a task, its phase and whoever works on it.
fn of_task(task: &str, phase: u64, agent: &str, progress: Option<f64>) -> Vec<String> {
    let at = format!("/phases/{phase}/tasks/{task}");
    let mut set = vec![
        format!("{at}/assigned_agent: {agent:?} to -"),
        format!("{at}/completed_at: \"2025-01-15T11:00:00Z\" to -"),
        format!("{at}/started_at: \"2025-01-15T10:00:00Z\" to -"),
        format!("{at}/status: \"completed\" to \"pending\""),
        format!("/phases/{phase}/completed_at: \"2025-01-15T11:00:00Z\" to -"),
        format!("/phases/{phase}/status: \"completed\" to \"in_progress\""),
    ];
    if let Some(progress) = progress {
        let at = format!("/agent_assignments/{agent}");
        set.push(format!("{at}/current_task: {task:?} to -"));
        set.push(format!("{at}/progress: {progress:?} to -"));
        set.push(format!("{at}/status: \"in_progress\" to \"idle\""));
    }
    set
}

#[test]
fn exactly_the_state_of_what_goes_is_set() {
    let world = ended();
    let (before, files) = (export(&world), world.timeless());
    let known = codes(validated(&world).result("findings"));
    let [t1, t3, t4] =
        [of_task("t1", 1, "a", None), of_task("t3", 2, "a", Some(65.5)), of_task("t4", 2, "b", Some(10.0))];
    for (named, set, gone, percent) in [
        (&["--task", "t3"][..], t3.clone(), &["t3"][..], 75),
        (&["--phase", "2"], [t3.clone(), t4].concat(), &["t3", "t4"], 50),
        (&["--agent", "a"], [t1, t3].concat(), &["t1", "t3"], 50),
    ] {
        let mut expected = set;
        expected.extend([
            "/ended_at: \"2025-01-15T11:00:00Z\" to -".to_owned(),
            "/status: \"completed\" to \"running\"".to_owned(),
            format!("/progress_percentage: 100 to {percent}"),
            format!("/wfr/computed/progress_percentage: 100 to {percent}"),
        ]);
        expected.sort();
        expected.dedup();
        world.ok(&[&["rollback", "wf"], named, &["--yes"]].concat());
        assert_eq!(differences(&before, &export(&world)), expected, "{named:?}");
        let there = |task: &&str| world.has(&format!("work/of_{task}"));
        let left: Vec<&str> = ["t1", "t2", "t3", "t4"].into_iter().filter(there).collect();
        assert!(left.len() + gone.len() == 4 && gone.iter().all(|task| !left.contains(task)), "{named:?}: {left:?}");
        // No contradiction comes of it: a workflow that is completed with a phase under way would be one.
        let found = codes(validated(&world).result("findings"));
        assert!(found.iter().all(|code| known.contains(code)), "{named:?}: {found:?}, before {known:?}");
        world.ok(&["undo", "--yes"]);
        assert_eq!(differences(&before, &export(&world)), [""; 0], "{named:?}");
        assert_eq!(world.timeless().differences(&files), [""; 0]);
    }
}

#[test]
fn where_files_alone_or_nothing_goes_no_state_is_set() {
    let world = ended();
    let before = export(&world);
    for call in [
        &["--task", "t3", "--file", "work/of_t3"][..],
        &["--task", "t3", "--reset-tasks=false"],
        &["--task", "t3", r#"{"affected_components": {"workflow_state": false, "agent_assignments": false}}"#],
    ] {
        world.ok(&[&["rollback", "wf"], call, &["--yes"]].concat());
        assert!(!world.has("work/of_t3"));
        assert_eq!(differences(&before, &export(&world)), [""; 0], "{call:?}");
        world.ok(&["undo", "--yes"]);
    }
    // What comes later needs what goes: it is named, and stays as it is; with `cascade` it is set as well.
    world.ok(&["update-state", "wf", r#"{"tasks": {"t4": {"dependencies": ["t3"]}}}"#]);
    let before = export(&world);
    let done = world.ok(&["rollback", "wf", "--task", "t3", "--yes"]);
    assert!(done.result("blast_radius").to_string().contains("task t4 needs one"), "{done:?}");
    let set = differences(&before, &export(&world));
    assert!(!set.iter().any(|place| place.contains("t4") || place.contains("/b/")), "{set:?}");
    world.ok(&["undo", "--yes"]);
    world.ok(&["rollback", "wf", "--task", "t3", "--dependents", "cascade", "--yes"]);
    let set = differences(&before, &export(&world));
    assert!(set.contains(&"/phases/2/tasks/t4/status: \"completed\" to \"pending\"".to_owned()), "{set:?}");
    assert!(set.contains(&"/agent_assignments/b/status: \"in_progress\" to \"idle\"".to_owned()), "{set:?}");
}

/// The tasks whose work is there, and those that are completed.
fn done(world: &World) -> [Vec<String>; 2] {
    let tasks = ["t1", "t2", "t3", "t4"];
    let phases = export(world)["phases"].as_array().unwrap().clone();
    let all = phases.iter().flat_map(|phase| phase["tasks"].as_array().unwrap());
    let completed =
        all.filter(|task| task["status"] == "completed").map(|task| task["task_id"].as_str().unwrap().to_owned());
    let there = tasks.iter().filter(|task| world.has(&format!("work/of_{task}"))).map(|task| (*task).to_owned());
    [there.collect(), completed.collect()]
}

#[test]
fn rollbacks_are_undone_in_any_order_and_a_task_is_completed_where_its_work_is() {
    let pairs = [
        [&["--task", "t3"][..], &["--task", "t4"]],
        [&["--agent", "a"], &["--agent", "a", "--agent", "b"]],
        [&["--phase", "2"], &["--agent", "a"]],
        [&["--task", "t1"], &["--agent", "a"]],
    ];
    for (pair, order) in pairs.into_iter().flat_map(|pair| [[0, 1], [1, 0]].map(|order| (pair, order))) {
        let world = ended();
        let before = export(&world);
        let ids = pair.map(|named| {
            let ended = world.ok(&[&["rollback", "wf"], named, &["--yes"]].concat());
            let [there, completed] = done(&world);
            assert_eq!(there, completed, "{named:?}");
            ended.result("recovery_id").as_str().unwrap().to_owned()
        });
        for undone in order {
            world.ok(&["undo", &ids[undone], "--yes"]);
            let [there, completed] = done(&world);
            assert_eq!(there, completed, "{pair:?}, undone in the order {order:?}: behind {undone}");
        }
        assert_eq!(differences(&before, &export(&world)), [""; 0], "{pair:?}, undone in the order {order:?}");
        assert_eq!(done(&world)[0].len(), 4);
    }
}

#[test]
fn a_task_that_somebody_else_completed_is_named_with_who_did_where_it_is_to_be_done_anew() {
    let world = World::with_lines();
    let work = |agent: &str, path: &str| {
        let call = ["change", "begin", "--workflow", "wf", "--task", "both", "--agent", agent];
        let token = world.ok(&call).result("token").as_str().unwrap().to_owned();
        world.put(path, agent);
        world.end(&token);
    };
    world.ok(&["event", r#"TASK_STARTED:wf:1:{"task_id":"both","agent_id":"a"}"#]);
    work("a", "work/of_a");
    work("b", "work/of_b");
    world.ok(&["event", r#"TASK_COMPLETED:wf:1:{"task_id":"both","agent_id":"b"}"#]);
    let planned = world.ok(&["rollback", "wf", "--agent", "a", "--plan"]);
    let names = &planned.result("plan")["state_names"];
    assert_eq!(names["completed"], json!([{"task_id": "both", "by": "b"}]), "{planned:?}");
    assert!(planned.result("plan")["findings"].to_string().contains("task both was completed by b"), "{planned:?}");
    let shown = world.command(&["rollback", "wf", "--agent", "a", "--plan"]).output().unwrap().stdout;
    let shown = String::from_utf8(shown).unwrap();
    assert!(shown.contains("no longer completed (both by b)"), "{shown}");
    // Who rolls back all who worked on it knows.
    let all = world.ok(&["rollback", "wf", "--agent", "a", "--agent", "b", "--plan"]);
    assert!(!all.json.to_string().contains("TASK_OF_OTHERS"), "{all:?}");
    let status = || export(&world)["phases"][0]["tasks"][0]["status"].clone();
    // What is said to be done works.
    world.ok(&["rollback", "wf", "--agent", "a", "--reset-tasks=false", "--yes"]);
    assert_eq!((status(), world.has("work/of_a")), (json!("completed"), false));
    world.ok(&["undo", "--yes"]);
    world.ok(&["rollback", "wf", "--agent", "a", "--yes"]);
    assert_eq!((status(), world.has("work/of_b")), (json!("pending"), true));
}
