//! Following: how a workflow stands, what happened, and what waits for what.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use serde_json::{Value, json};

use crate::events::piped;
use crate::world::World;

fn told(world: &World) {
    world.ok(&["initialize", "wf", r#"{"name": "Port it", "phases": [
        {"phase_id": 1, "name": "Research", "tasks": [{"task_id": "t1", "description": "read"}, {"task_id": "t2", "dependencies": ["t1"]}]},
        {"phase_id": 2, "name": "Build", "dependencies": [1], "tasks": [{"task_id": "t3"}]}]}"#]);
    let lines = [
        "WORKFLOW_STARTED:wf:global:",
        "PHASE_STARTED:wf:1:",
        r#"TASK_STARTED:wf:1:{"task_id":"t1","agent_id":"a1"}"#,
        r#"TASK_COMPLETED:wf:1:{"task_id":"t1","agent_id":"a1"}"#,
        r#"TASK_STARTED:wf:1:{"task_id":"t2","agent_id":"a2"}"#,
    ];
    assert_eq!(piped(world, lines.join("\n").as_bytes()).result("recorded"), 5);
}

#[test]
fn the_status_has_the_protocols_fields() {
    let world = World::new();
    world.refused(&["status"], 3, "WORKFLOW_NOT_FOUND");
    told(&world);
    world.checkpoint("base");
    let ended = world.ok(&["status", "wf"]);
    let status = ended.result("workflow_status");
    let keys: Vec<&str> = status.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(
        keys,
        [
            "workflow_id",
            "name",
            "status",
            "overall_progress",
            "health_score",
            "runtime",
            "estimated_completion",
            "current_phase",
            "agents",
            "resources",
            "recent_events",
            "last_checkpoint"
        ]
    );
    assert_eq!(
        status["current_phase"],
        json!({"id": 1, "name": "Research", "progress": 50.0, "tasks_total": 2,
        "tasks_completed": 1, "tasks_active": 1, "tasks_pending": 0})
    );
    assert_eq!(
        status["agents"][1],
        json!({"id": "a2", "status": "in_progress", "current_task": "t2",
        "performance_score": null, "queue_size": null})
    );
    assert_eq!(status["resources"], json!({"cpu_percent": null, "memory_percent": null, "storage_used_gb": null}));
    assert_eq!((&status["health_score"], &status["last_checkpoint"]["name"]), (&Value::Null, &json!("base")));
    // What a recovery saves before it begins is nobody's last checkpoint.
    world.tree.write("a.txt", b"edited");
    world.ok(&["restore", "wf", "base", "--yes"]);
    assert_eq!(world.ok(&["status", "wf"]).result("workflow_status")["last_checkpoint"]["name"], "base");
    assert_eq!(world.ok(&["status"]).json["workflow_id"], "wf");
    world.ok(&["event", "WORKFLOW_STARTED:later:global:"]);
    assert_eq!(world.ok(&["status"]).json["workflow_id"], "later", "something happened to it last");
    let listed = world.ok(&["workflows"]);
    assert_eq!(listed.result("workflows").as_array().unwrap().len(), 2);
    let screen = world.command(&["status", "wf"]).output().unwrap().stdout;
    let screen = String::from_utf8(screen).unwrap();
    assert!(screen.lines().all(|line| line.chars().count() <= 80), "{screen}");
    for part in ["Port it", "Research", "t2", "a2", "TASK_STARTED", "base", "1/2", "[####"] {
        assert!(screen.contains(part), "{part}: {screen}");
    }
}

#[test]
fn whoever_follows_is_told_of_each_event_until_interrupted() {
    let world = World::new();
    told(&world);
    let follow = |arguments: &[&str]| {
        let mut command = world.command(arguments);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        (child, lines.map(|line| serde_json::from_str::<Value>(&line.unwrap()).unwrap()))
    };
    let (mut events, mut told) = follow(&["events", "wf", "--follow", "--limit", "2", "--json"]);
    assert_eq!((told.next().unwrap()["seq"].as_i64(), told.next().unwrap()["seq"].as_i64()), (Some(5), Some(6)));
    let (mut watch, mut screens) = follow(&["status", "wf", "--watch", "--interval", "100ms", "--json"]);
    assert_eq!(screens.next().unwrap()["last_seq"], 6);
    for number in 0..3 {
        world.ok(&["event", &format!(r#"TASK_STARTED:wf:2:{{"task_id":"x{number}"}}"#)]);
        assert_eq!(told.next().unwrap()["data"]["task_id"], format!("x{number}"));
        assert_eq!(screens.next().unwrap()["last_seq"], 7 + number);
    }
    for child in [&mut events, &mut watch] {
        let id = rustix::process::Pid::from_child(child);
        rustix::process::kill_process(id, rustix::process::Signal::INT).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(130));
    }
    assert_eq!((told.next(), screens.next()), (None, None), "nothing follows the last line");
}

#[test]
fn whoever_follows_keeps_no_rebuild_waiting_and_is_told_of_what_comes_after_it() {
    let world = World::new();
    told(&world);
    let follow = |arguments: &[&str]| {
        let mut child = world.command(arguments).stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        (child, lines.map(|line| serde_json::from_str::<Value>(&line.unwrap()).unwrap()))
    };
    let (mut events, mut told) = follow(&["events", "wf", "--follow", "--limit", "1", "--json"]);
    let (mut watch, mut screens) = follow(&["status", "wf", "--watch", "--interval", "100ms", "--json"]);
    assert_eq!(
        (told.next().unwrap()["seq"].as_i64(), screens.next().unwrap()["last_seq"].as_i64()),
        (Some(6), Some(6))
    );
    // It may come in the moment of a look.
    let is_rebuilt = |_| world.call(&["doctor", "--rebuild-catalog"]).code == 0;
    assert!((0..100).any(is_rebuilt));
    world.ok(&["event", r#"TASK_STARTED:wf:2:{"task_id":"after"}"#]);
    assert_eq!(told.next().unwrap()["data"]["task_id"], "after");
    assert_eq!(screens.next().unwrap()["last_seq"], 7);
    for child in [&mut events, &mut watch] {
        let id = rustix::process::Pid::from_child(child);
        rustix::process::kill_process(id, rustix::process::Signal::INT).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(130));
    }
}

#[test]
fn events_are_found_by_type_time_and_oddity() {
    let world = World::new();
    told(&world);
    let places = |arguments: &[&str]| {
        let ended = world.ok(&[&["events"], arguments].concat());
        ended.result("events").as_array().unwrap().iter().map(|line| line["seq"].as_i64().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(places(&["--type", "task.started"]), [4, 6]);
    assert_eq!(places(&["wf", "--limit", "2"]), [5, 6]);
    assert_eq!(places(&["wf", "--after", "2", "--limit", "2"]), [3, 4]);
    assert!(places(&["--since", "2100-01-01T00:00:00Z"]).is_empty());
    world.ok(&["event", r#"TASK_STARTED:wf:1:{"task_id":"t1"}"#]);
    assert_eq!(places(&["--odd"]), [7]);
    world.refused(&["events", "--type", "what is this"], 2, "INVALID_PARAMETER");
}

#[test]
fn graphs_have_the_resolvers_shape_and_say_what_is_wrong() {
    let world = World::new();
    told(&world);
    world.ok(&[
        "update-state",
        "wf",
        r#"{"dependencies": {"external": ["cargo", "localhost:5432", "env:TOKEN", "/etc/hosts"]}}"#,
    ]);
    let graph = world.ok(&["graph", "wf"]);
    assert_eq!(graph.result("findings"), &json!([]));
    let graph = graph.result("dependency_graph");
    assert_eq!(graph["nodes"]["t2"]["dependencies"], json!(["t1"]));
    assert_eq!(
        (&graph["nodes"]["t1"]["dependents"], &graph["nodes"]["t1"]["parent_phase"]),
        (&json!(["t2"]), &json!("phase_1"))
    );
    assert_eq!(
        graph["edges"][0],
        json!({"from": "phase_1", "to": "phase_2", "type": "sequential_dependency",
        "strength": "hard", "reason": "declared"})
    );
    assert_eq!(
        graph["external_dependencies"],
        json!({"services": ["localhost:5432"], "tools": ["cargo"],
        "files": ["/etc/hosts"], "environment": ["env:TOKEN"]})
    );
    let forms = r#"{"dependencies": {"external": [{"env": "HOME"}, {"port": 5432}, {"file": "Cargo.toml"}, {"tool": "cc"}]},
        "tasks": {"t2": {"data_dependencies": ["t1"]}}}"#;
    world.ok(&["update-state", "wf", forms]);
    let graph = world.ok(&["graph", "wf"]);
    let graph = graph.result("dependency_graph");
    let sorted = &graph["external_dependencies"];
    assert_eq!(
        sorted,
        &json!({"services": [{"port": 5432}], "tools": [{"tool": "cc"}], "files": [{"file": "Cargo.toml"}],
        "environment": [{"env": "HOME"}]})
    );
    let edges = graph["edges"].as_array().unwrap();
    let of_data = edges.iter().find(|edge| edge["to"] == "t2" && edge["from"] == "t1").unwrap();
    assert_eq!(of_data["type"], "data_dependency");
    let written = world.ok(&["metadata", "wf"]);
    let file =
        written.result("files").as_array().unwrap().iter().find(|file| file.as_str().unwrap().ends_with("graph.json"));
    let kept: Value = serde_json::from_slice(&std::fs::read(file.unwrap().as_str().unwrap()).unwrap()).unwrap();
    assert_eq!(&kept["dependency_graph"], graph);
    let dot = world.ok(&["graph", "wf", "--format", "dot"]);
    assert!(dot.result("dot").as_str().unwrap().contains("\"t1\" -> \"t2\""), "{dot:?}");
    world.ok(&["update-state", "wf", r#"{"tasks": {"t1": {"dependencies": ["t2", "nothing"]}}}"#]);
    let codes = world.ok(&["graph", "wf"]).result("findings").to_string();
    assert!(codes.contains("DEPENDENCY_CYCLE") && codes.contains("DEPENDENCY_DANGLING"), "{codes}");
}

#[test]
fn a_graph_has_what_is_read_of_others_and_every_need_from_outside() {
    let world = World::new();
    world.ok(&["config", "dependencies.tools", r#"["make"]"#]);
    let state = json!({"tasks": {"a": {}, "b": {"data_dependencies": ["a"]}, "c": {"data_dependencies": ["ghost"]},
            "d": {"data_dependencies": ["e"]}, "e": {"data_dependencies": ["d"]}},
        "dependencies": {"tools": ["jq"], "files": ["x"], "environment": ["PATH"], "services": ["h:1"], "external": [{"weird": 1}],
            "internal": ["previous_phase_outputs"]}});
    world.ok(&["initialize", "wf", &state.to_string()]);
    let shown = world.ok(&["graph", "wf"]);
    let graph = shown.result("dependency_graph");
    let edges: Vec<String> = graph["edges"]
        .as_array()
        .unwrap()
        .iter()
        .map(|edge| {
            format!(
                "{} {} {}",
                edge["from"].as_str().unwrap(),
                edge["to"].as_str().unwrap(),
                edge["type"].as_str().unwrap()
            )
        })
        .collect();
    assert_eq!(edges, ["a b data_dependency", "e d data_dependency", "d e data_dependency"]);
    let codes: Vec<&str> =
        shown.result("findings").as_array().unwrap().iter().map(|one| one["code"].as_str().unwrap()).collect();
    assert_eq!(codes, ["DEPENDENCY_DANGLING", "DEPENDENCY_CYCLE", "DEPENDENCY_ODD"], "{shown:?}");
    let outside = json!({"tools": ["jq", "make"], "files": ["x"], "environment": ["PATH"], "services": ["h:1"]});
    assert_eq!(graph["external_dependencies"], outside);
    // What leads nowhere or in a circle is mended in the list that it stands in.
    world.ok(&["repair-state", "wf", "--repair-strategy", "aggressive", "--yes"]);
    let shown = world.ok(&["graph", "wf"]);
    assert_eq!(shown.result("dependency_graph")["edges"].as_array().unwrap().len(), 2, "{shown:?}");
    assert_eq!(shown.result("findings").as_array().unwrap().len(), 1, "{shown:?}");
}

#[test]
fn phases_to_come_count_and_a_checkpoint_says_which_one_it_is_in() {
    let world = World::new();
    world.ok(&[
        "initialize",
        "wf",
        r#"{"phases": [{"phase_id": 1, "name": "Research", "tasks": [{"task_id": "t1"}]}]}"#,
    ]);
    world.ok(&[
        "update-state",
        "wf",
        r#"{"total_phases": 4, "current_phase": 1, "tasks": {"t1": {"status": "completed"}}}"#,
    ]);
    assert_eq!(world.ok(&["status", "wf"]).result("workflow_status")["overall_progress"], 25.0);
    world.checkpoint("base");
    let shown = world.ok(&["show", "base"]).json["result"].to_string();
    assert!(shown.contains(r#""phase_id":1"#) && shown.contains(r#""phase_name":"Research""#), "{shown}");
    // Whoever names another one means it.
    world.ok(&["create-checkpoint", "wf", "--name", "other", "--phase-id", "3"]);
    let shown = world.ok(&["show", "other"]).json["result"].to_string();
    assert!(shown.contains(r#""phase_id":3"#) && !shown.contains("Research"), "{shown}");
}
