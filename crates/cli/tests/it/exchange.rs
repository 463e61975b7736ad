//! States in and out: a hub's directory, a plan, a document.

use serde_json::{Value, json};

use crate::world::World;

/// A hub's directory below the workspace's root.
fn hub(world: &World) {
    let workflow = json!({"workflow_state": {
        "id": "port_1", "name": "Port", "status": "running", "created_at": "2025-01-15T11:30:00Z", "current_phase": 1,
        "total_phases": 2, "progress_percentage": 50,
        "phases": [{"phase_id": 1, "name": "Research", "status": "in_progress", "tasks": [
            {"task_id": "t1", "description": "read", "status": "completed", "assigned_agent": "a1", "execution_time": "3m"},
            {"task_id": "t2", "status": "active", "assigned_agent": "a1"}]}],
        "agent_assignments": {"a1": {"current_task": "t2", "performance_score": 0.9, "tasks_completed": 1}},
        "dependencies": {"external": [], "internal": []}, "configuration": {"max_agents": 20}, "metrics": {}
    }});
    world.tree.write(".claude/coordination/workflows/active/port_1.json", workflow.to_string().as_bytes());
    world.tree.write(".claude/coordination/workflows/failed/broken.json", b"{");
    let log = concat!(
        "WORKFLOW_CREATED:port_1:global:{\"name\":\"Port\"}\n",
        "not an event\n",
        "TASK_ASSIGNED:port_1:1:{\"task_id\":\"t3\",\"agent_id\":\"a2\"}\n",
        "TASK_ASSIGNED:port_1:1:{\"task_id\":\"t3\",\"agent_id\":\"a2\"}\n",
    );
    world.tree.write(".claude/coordination/events/port_1_events.jsonl", log.as_bytes());
    let pool =
        json!({"total_agents": 1, "performance_metrics": {"a1": {"specialization": "reader", "success_rate": 0.9}}});
    world.tree.write(".claude/coordination/agent_pools/main.json", pool.to_string().as_bytes());
    world.tree.write(".claude/coordination/checkpoints/port_1/latest.json", b"{}");
}

fn document(world: &World, workflow: &str) -> Value {
    world.ok(&["export", workflow]).result("document").clone()
}

#[test]
fn a_hub_comes_in_once_and_goes_out_as_it_was() {
    let world = World::new();
    hub(&world);
    let dry = world.ok(&["import", ".", "--from", "hub", "--dry-run"]);
    assert_eq!(dry.result("states")[0]["became"], "created");
    world.refused(&["export", "port_1"], 3, "WORKFLOW_NOT_FOUND");
    let made = world.ok(&["import", ".", "--from", "hub"]);
    assert_eq!((made.result("events"), made.result("states")[0]["tasks_created"].as_u64()), (&json!(4), Some(3)));
    let places: Vec<&str> =
        made.result("ignored").as_array().unwrap().iter().map(|one| one["place"].as_str().unwrap()).collect();
    assert_eq!(places, ["events/port_1_events.jsonl:2", "workflows/failed/broken.json", "checkpoints"]);
    let doc = document(&world, "port_1");
    assert_eq!(
        (&doc["phases"][0]["tasks"][0]["execution_time"], &doc["progress_percentage"]),
        (&json!("3m"), &json!(50))
    );
    let agent = &doc["agent_assignments"]["a1"];
    assert_eq!(agent["status"], "in_progress", "whoever has a task works on it");
    assert_eq!((&agent["role"], &agent["pool"]["success_rate"]), (&json!("reader"), &json!(0.9)));
    let again = world.ok(&["import", ".claude/coordination", "--from", "hub"]);
    assert_eq!((again.result("states")[0]["became"].as_str(), again.result("events")), (Some("unchanged"), &json!(0)));
    assert_eq!(document(&world, "port_1"), doc);
}

#[test]
fn states_directly_in_workflows_come_in_and_what_else_is_there_is_named() {
    let world = World::new();
    hub(&world);
    let state = |id: &str| json!({"workflow_state": {"id": id, "name": "Direct", "status": "paused", "phases": []}});
    let files = [("direct.json", "direct"), ("port_1.json", "port_1"), ("paused/other.json", "other")];
    for (file, id) in files {
        world.tree.write(format!(".claude/coordination/workflows/{file}"), state(id).to_string().as_bytes());
    }
    world.tree.write(".claude/coordination/workflows/notes.txt", b"?");
    let made = world.ok(&["import", ".", "--from", "hub"]);
    let states: Vec<&Value> =
        made.result("states").as_array().unwrap().iter().map(|state| &state["workflow_id"]).collect();
    assert_eq!(states, ["direct", "port_1"], "{made:?}");
    let doc = document(&world, "direct");
    assert_eq!((&doc["name"], &doc["status"]), (&json!("Direct"), &json!("paused")));
    assert_eq!(document(&world, "port_1")["name"], "Port", "the one in `active` holds");
    let ignored = made.result("ignored").to_string();
    let named = ["workflows/port_1.json", "workflows/paused", "workflows/notes.txt"];
    assert!(named.iter().all(|place| ignored.contains(&format!("\"{place}\""))), "{ignored}");
    assert!(!ignored.contains("workflows/active\""), "{ignored}");
}

#[test]
fn order_time_and_the_figures_of_pools_come_in_and_go_out() {
    let (here, there) = (World::new(), World::new());
    let doc = json!({"id": "wh", "status": "running", "created_at": "2025-01-15T10:00:00Z", "updated_at": "2025-01-15T11:00:00Z",
        "phases": [{"phase_id": 1, "name": "A", "status": "in_progress", "tasks": [
            {"task_id": "t9", "status": "pending"}, {"task_id": "t1", "status": "pending"}, {"task_id": "t5", "status": "pending"}]}],
        "agents": {"a1": {"role": "reader"}}});
    here.tree.write("hub/workflows/active/wh.json", doc.to_string().as_bytes());
    for (pool, agent) in [("main", "a1"), ("other", "a7")] {
        let pool_doc =
            json!({"total_agents": 4, "available_agents": 2, "performance_metrics": {agent: {"current_load": 1}}});
        here.tree.write(format!("hub/agent_pools/{pool}.json"), pool_doc.to_string().as_bytes());
    }
    here.ok(&["import", "hub", "--from", "hub"]);
    let out = document(&here, "wh");
    let ids: Vec<&Value> = out["phases"][0]["tasks"].as_array().unwrap().iter().map(|task| &task["task_id"]).collect();
    assert_eq!(ids, [&json!("t9"), &json!("t1"), &json!("t5")]);
    assert_eq!(out["updated_at"], "2025-01-15T11:00:00Z");
    assert_eq!(out["agent_pools"], json!({"main": {"total_agents": 4, "available_agents": 2}}));
    assert!(out["phases"][0].get("task_order").is_none(), "the list says it: {out}");
    there.tree.write("wh.json", out.to_string().as_bytes());
    there.ok(&["import", "wh.json", "--from", "hub"]);
    assert_eq!(document(&there, "wh"), out);
    let again = here.ok(&["import", "hub", "--from", "hub"]);
    assert_eq!(again.result("states")[0]["became"], "unchanged");
}

#[test]
fn what_a_hub_said_before_takes_nothing_back() {
    let world = World::new();
    let hub = |at: &str, phase: &str, task: &str, more: &str| {
        let doc = format!(
            r#"{{"id":"wh","status":"running","updated_at":"{at}","current_phase":1,"progress_percentage":20,"phases":[
            {{"phase_id":1,"name":"A","status":"{phase}","tasks":[{{"task_id":"t1","status":"{task}"}}{more}]}}]}}"#
        );
        world.tree.write("hub/workflows/active/wh.json", doc.as_bytes());
    };
    let import = || world.ok(&["import", "hub", "--from", "hub"]);
    hub("2025-01-15T11:00:00Z", "in_progress", "active", "");
    import();
    for event in
        ["TASK_COMPLETED:wh:1:{\"task_id\":\"t1\"}", "PHASE_COMPLETED:wh:1:{}", "WORKFLOW_COMPLETED:wh:global:{}"]
    {
        world.ok(&["event", event]);
    }
    let done = document(&world, "wh");
    assert_eq!((&done["status"], &done["phases"][0]["tasks"][0]["status"]), (&json!("completed"), &json!("completed")));
    let again = import();
    assert_eq!((again.result("states")[0]["became"].as_str(), again.result("events")), (Some("unchanged"), &json!(0)));
    assert_eq!(document(&world, "wh"), done);
    // What is new in it comes in; what it said before does not.
    hub("2025-01-15T11:00:00Z", "in_progress", "active", r#",{"task_id":"t2","status":"pending"}"#);
    assert_eq!(import().result("states")[0]["tasks_created"], 1);
    let more = document(&world, "wh");
    assert_eq!((&more["status"], &more["phases"][0]["status"]), (&json!("completed"), &json!("completed")));
    assert_eq!(more["phases"][0]["tasks"][0]["status"], "completed");
    // Both changed the same: the later one wins, and it is said.
    hub("2025-01-15T11:00:00Z", "in_progress", "failed", "");
    let older = import();
    assert_eq!(older.result("ignored")[0]["place"], "wh/tasks/t1/standing");
    assert_eq!(document(&world, "wh")["phases"][0]["tasks"][0]["status"], "completed");
    hub("2199-01-15T11:00:00Z", "in_progress", "pending", "");
    import();
    assert_eq!(document(&world, "wh")["phases"][0]["tasks"][0]["status"], "pending");
}

#[test]
fn events_of_several_logs_of_a_hub_stand_around_its_state_by_their_times() {
    let world = World::new();
    let started = |at: &str, name: &str| {
        let data = format!(r#"{{"task_id":"{name}","agent_id":"a1"}}"#);
        format!(r#"{{"event_type":"TASK_STARTED","workflow_id":"wh","phase":1,"timestamp":"{at}","data":{data}}}"#)
            + "\n"
    };
    let completed = |at: &str| started(at, "t1").replace("TASK_STARTED", "TASK_COMPLETED");
    let state = |at: &str, more: &str| {
        format!(r#"{{"id":"wh","status":"running","updated_at":"{at}","tasks":{{"t1":{{"status":"active"}}{more}}}}}"#)
    };
    // The log that is read first is the later one.
    let late = [completed("2025-01-15T11:30:00Z"), started("2025-01-15T10:30:00Z", "t3")].concat();
    world.tree.write("hub/events/a.jsonl", late.as_bytes());
    world.tree.write("hub/events/b.jsonl", started("2025-01-15T10:00:00Z", "t2").as_bytes());
    world.tree.write("hub/workflows/active/wh.json", state("2025-01-15T11:00:00Z", "").as_bytes());
    let made = world.ok(&["import", "hub", "--from", "hub"]);
    let task = |id: &str| {
        let phases = document(&world, "wh")["phases"].as_array().unwrap().clone();
        let mut tasks = phases.iter().flat_map(|phase| phase["tasks"].as_array().unwrap());
        tasks.find(|task| task["task_id"] == id).unwrap().clone()
    };
    assert_eq!(
        (&task("t1")["status"], &task("t1")["completed_at"]),
        (&json!("completed"), &json!("2025-01-15T11:30:00Z"))
    );
    let why = made.result("ignored")[0]["why"].as_str().unwrap().to_owned();
    assert!(why.contains("1 event is older than this state"), "{why}");
    // What a later state starts anew has not ended any more.
    world.tree.write("hub/workflows/active/wh.json", state("2199-01-15T11:00:00Z", r#","t4":{}"#).as_bytes());
    world.ok(&["import", "hub", "--from", "hub"]);
    world.ok(&[
        "event",
        r#"WORKFLOW_STATE_UPDATED:wh:global:{"tasks":{"t2":{"status":"failed","failure_reason":"x"}}}"#,
    ]);
    assert_eq!(task("t2")["failure_reason"], "x");
    world.ok(&[
        "event",
        r#"WORKFLOW_STATE_UPDATED:wh:global:{"tasks":{"t1":{"status":"active"},"t2":{"status":"pending"}}}"#,
    ]);
    assert_eq!((&task("t1")["status"], task("t1").get("completed_at")), (&json!("active"), None));
    assert_eq!((&task("t2")["status"], task("t2").get("failure_reason")), (&json!("pending"), None));
}

#[test]
fn a_line_of_a_hubs_log_that_is_older_than_what_came_about_here_takes_nothing_of_it_back() {
    let line = |kind: &str, at: &str, task: &str| {
        let data = format!(r#"{{"task_id":"{task}","agent_id":"a1"}}"#);
        format!(r#"{{"event_type":"TASK_{kind}","workflow_id":"wh","phase":1,"timestamp":"{at}","data":{data}}}"#)
            + "\n"
    };
    let set = |at: &str| {
        let data = r#"{"tasks":{"t1":{"status":"in_progress"}}}"#;
        format!(r#"{{"event_type":"WORKFLOW_STATE_UPDATED","workflow_id":"wh","timestamp":"{at}","data":{data}}}"#)
            + "\n"
    };
    for has_state in [false, true] {
        let world = World::new();
        let mut log = line("ASSIGNED", "2025-01-15T10:00:00Z", "t1");
        let write = |log: &str| world.tree.write("hub/events/a.jsonl", log.as_bytes());
        let import = || world.ok(&["import", "hub", "--from", "hub"]);
        let became = |ended: &crate::world::Ended| ended.result("states")[0]["became"].as_str().unwrap().to_owned();
        let statuses = || {
            let phases = document(&world, "wh")["phases"].as_array().unwrap().clone();
            let mut tasks: Vec<(String, String)> = phases
                .iter()
                .flat_map(|phase| phase["tasks"].as_array().unwrap().clone())
                .map(|task| (task["task_id"].as_str().unwrap().to_owned(), task["status"].as_str().unwrap().to_owned()))
                .collect();
            tasks.sort();
            tasks.into_iter().map(|(_, status)| status).collect::<Vec<_>>()
        };
        write(&log);
        if has_state {
            let doc = br#"{"id":"wh","status":"running","updated_at":"2025-01-15T10:01:00Z","tasks":{"t1":{"status":"active"}}}"#;
            world.tree.write("hub/workflows/active/wh.json", doc);
        }
        import();
        world.ok(&["event", r#"TASK_COMPLETED:wh:1:{"task_id":"t1","agent_id":"a1"}"#]);
        world.ok(&["event", r#"TASK_STARTED:wh:1:{"task_id":"t3","agent_id":"a3"}"#]);
        log += &line("STARTED", "2025-01-15T10:05:00Z", "t1");
        log += &set("2025-01-15T10:05:30Z");
        log += &line("STARTED", "2025-01-15T10:06:00Z", "t2");
        write(&log);
        let made = import();
        assert_eq!(statuses(), ["completed", "active", "active"], "{made:?}");
        let notes = made.result("ignored").to_string();
        assert!(notes.contains("older than what came about here since"), "{made:?}");
        let count = || {
            let listed = world.ok(&["events", "wh", "--type", "TASK_STARTED"]).result("events").clone();
            listed.as_array().unwrap().len()
        };
        assert_eq!(count(), 3, "they are kept");
        world.ok(&["validate-state", "wh", "--validation-depth", "comprehensive"]);
        let (before, again) = (document(&world, "wh"), import());
        assert_eq!(
            (became(&again).as_str(), again.result("events"), again.result("ignored")),
            ("unchanged", &json!(0), &json!([]))
        );
        assert_eq!(document(&world, "wh"), before);
        // What goes out is what comes in elsewhere.
        let there = World::new();
        there.tree.write("wh.json", before.to_string().as_bytes());
        there.ok(&["import", "wh.json", "--from", "hub"]);
        assert_eq!(document(&there, "wh"), before);
        // What is later counts, also where an import has said since what stood.
        log += &set("2199-01-15T10:00:00Z");
        write(&log);
        assert_eq!(import().result("ignored"), &json!([]));
        assert_eq!(statuses(), ["active", "active", "active"]);
        world.ok(&["doctor"]);
    }
}

#[test]
fn a_hub_that_is_older_than_what_is_known_takes_nothing_back() {
    let world = World::new();
    world.ok(&["event", "WORKFLOW_CREATED:wh:global:{}"]);
    world.ok(&["update-state", "wh", r#"{"status":"completed","tasks":{"t1":{"status":"completed"}}}"#]);
    let doc = br#"{"id":"wh","status":"running","updated_at":"2025-01-15T11:00:00Z","tasks":{"t1":{"status":"active"},
        "t2":{"status":"pending"}}}"#;
    world.tree.write("wh.json", doc);
    let made = world.ok(&["import", "wh.json", "--from", "hub"]);
    assert_eq!(made.result("states")[0]["tasks_created"], 1);
    let places: Vec<&str> =
        made.result("ignored").as_array().unwrap().iter().map(|one| one["place"].as_str().unwrap()).collect();
    assert_eq!(places, ["wh/standing", "wh/tasks/t1/standing"]);
    assert_eq!(document(&world, "wh")["status"], "completed");
}

#[test]
fn what_cannot_come_in_of_a_hub_is_named_and_all_else_comes_in() {
    let world = World::new();
    let doc = json!({"workflow_state": {
        "id": "port_1", "status": "running",
        "phases": [{"phase_id": 1, "status": "in_progress", "tasks": [
            {"task_id": "a/1", "status": "active"}, {"task_id": "odd", "status": "levitating"}, {"status": "active"},
            {"task_id": "twice", "description": "one"}, {"task_id": "twice", "status": "active"},
            {"task_id": "good", "status": "completed"}]}],
        "agent_assignments": {"a/1": {"current_task": "good"}, "a2": {"current_task": "good"}},
    }});
    world.tree.write("hub.json", doc.to_string().as_bytes());
    let made = world.ok(&["import", "hub.json", "--from", "hub"]);
    let ignored: Vec<String> =
        made.result("ignored").as_array().unwrap().iter().map(|one| one["why"].as_str().unwrap().to_owned()).collect();
    let named = ["phase 1: task `a/1`", "task odd: ", "phase 1: task number 3", "phase 1: task `twice`", "agent `a/1`"];
    assert!(named.iter().all(|what| ignored.iter().any(|why| why.starts_with(what))), "{ignored:?}");
    assert_eq!(ignored.len(), named.len(), "{ignored:?}");
    let doc = document(&world, "port_1");
    let ids: Vec<&str> =
        doc["phases"][0]["tasks"].as_array().unwrap().iter().map(|task| task["task_id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["twice", "good"]);
    assert_eq!(doc["agent_assignments"].as_object().unwrap().keys().collect::<Vec<_>>(), ["a2"]);
}

#[test]
fn an_export_is_imported_into_an_empty_store_as_it_was() {
    let (here, there) = (World::new(), World::new());
    hub(&here);
    here.ok(&["import", ".", "--from", "hub"]);
    let file = here.data.path().join("port_1.json");
    let file = file.to_str().unwrap();
    here.ok(&["export", "port_1", "--output", file]);
    here.refused(&["export", "port_1", "--output", file], 5, "TARGET_NOT_EMPTY");
    there.ok(&["import", file, "--from", "hub"]);
    let strip = |mut doc: Value| {
        doc.as_object_mut().unwrap().remove("state_version");
        doc
    };
    assert_eq!(strip(document(&there, "port_1")), strip(document(&here, "port_1")));
    let summary = there.ok(&["export", "port_1", "--format", "reference"]);
    assert_eq!(summary.result("document")["agent_assignments"]["a1"]["current_task"], "t2");
}

#[test]
fn a_plan_comes_in_again_with_what_was_ticked_since() {
    let world = World::new();
    let plan = |tick: char| {
        format!(
            "# Port\n\n## Phase 1: Research\n- [{tick}] read\n- [ ] note\n  - [ ] in short\n\n## Phase 2: Build\n1. look\n- [?] odd\n"
        )
    };
    world.tree.write("plan.md", plan(' ').as_bytes());
    let made = world.ok(&["import", "plan.md", "--from", "plan", "--workflow-id", "port"]);
    let state = &made.result("states")[0];
    assert_eq!((&state["phases_created"], &state["tasks_created"]), (&json!(2), &json!(4)));
    assert_eq!(made.result("ignored")[0]["place"], "line 10");
    world.tree.write("plan.md", plan('x').as_bytes());
    let again = world.ok(&["import", "plan.md", "--from", "plan", "--workflow-id", "port"]);
    let state = &again.result("states")[0];
    assert_eq!(
        (&state["became"], &state["tasks_created"], &state["tasks_updated"]),
        (&json!("updated"), &json!(0), &json!(1))
    );
    let same = world.ok(&["import", "plan.md", "--from", "plan", "--workflow-id", "port"]);
    assert_eq!(same.result("states")[0]["became"], "unchanged");
    let tasks = document(&world, "port")["phases"][0]["tasks"].clone();
    let statuses: Vec<_> = tasks.as_array().unwrap().iter().map(|task| task["status"].as_str().unwrap()).collect();
    assert_eq!(statuses, ["pending", "pending", "completed"]);
    assert_eq!(tasks[0]["parent_task"], "p1_note");
}

#[test]
fn what_a_plan_says_no_more_is_named_and_what_is_ticked_here_stays() {
    let world = World::new();
    let import = |text: &str| {
        world.tree.write("plan.md", text.as_bytes());
        world.ok(&["import", "plan.md", "--from", "plan", "--workflow-id", "port"])
    };
    import("# Port\n## Phase 1: A [IN PROGRESS]\n- [/] read\n- [ ] note\n");
    world.ok(&["event", r#"TASK_COMPLETED:port:1:{"task_id":"p1_read"}"#]);
    world.ok(&["event", "PHASE_COMPLETED:port:1:{}"]);
    let done = document(&world, "port");
    let same = import("# Port\n## Phase 1: A [IN PROGRESS]\n- [/] read\n- [ ] note\n");
    assert_eq!((same.result("states")[0]["became"].as_str(), same.result("ignored")), (Some("unchanged"), &json!([])));
    assert_eq!(document(&world, "port"), done);
    let less = import("# Port\n## Phase 1: A [IN PROGRESS]\n- [/] read\n- [ ] sum up\n");
    assert_eq!(less.result("ignored")[0]["place"], "port/tasks/p1_note");
    let tasks = document(&world, "port")["phases"][0]["tasks"].clone();
    assert_eq!((tasks.as_array().unwrap().len(), &tasks[1]["status"]), (3, &json!("completed")));
}

#[test]
fn a_mark_of_several_meanings_is_named_and_not_guessed() {
    let world = World::new();
    let plan = "# Port\n## Phase 1: A\n- [-] dash\n- [~] tilde\n  - [ ] below\n- [>] on\n- [/] half\n- [!] broken\n";
    world.tree.write("plan.md", plan.as_bytes());
    let import = || world.ok(&["import", "plan.md", "--from", "plan", "--workflow-id", "port"]);
    let made = import();
    let places = |ended: &crate::world::Ended| {
        let ignored = ended.result("ignored").as_array().unwrap().clone();
        ignored.iter().map(|one| one["place"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(places(&made), ["line 3", "line 4", "line 6"]);
    assert!(made.result("ignored")[0]["why"].as_str().unwrap().contains("`[-]`"), "{made:?}");
    let statuses = || {
        let tasks = document(&world, "port")["phases"][0]["tasks"].as_array().unwrap().clone();
        tasks.iter().map(|task| task["status"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(statuses(), ["pending", "failed", "pending", "active", "pending", "pending"]);
    // What is known better stays.
    for kind in ["STARTED", "COMPLETED"] {
        world.ok(&["event", &format!(r#"TASK_{kind}:port:1:{{"task_id":"p1_dash"}}"#)]);
    }
    let known = statuses();
    assert_eq!(known.iter().filter(|status| *status == "completed").count(), 1, "{known:?}");
    assert_eq!((import().result("states")[0]["became"].as_str(), statuses()), (Some("unchanged"), known));
}

#[test]
fn what_cannot_be_read_is_named_and_changes_nothing() {
    let world = World::new();
    world.tree.write("empty.md", b"nothing to do\n");
    world.tree.write("binary.md", b"\xff\xfe");
    world.tree.write("list.json", b"[]");
    world.tree.write("other.json", br#"{"weather": "good"}"#);
    world.tree.write("twice.json", br#"{"status": "running", "status": "paused"}"#);
    world.tree.write("dir/file", b"");
    for (path, from, code, error) in [
        ("none.md", "plan", 3, "FILE_NOT_FOUND"),
        ("empty.md", "plan", 2, "DOCUMENT_INVALID"),
        ("binary.md", "plan", 2, "DOCUMENT_INVALID"),
        ("dir", "plan", 2, "INVALID_PARAMETER"),
        ("dir", "hub", 2, "DOCUMENT_INVALID"),
        ("list.json", "hub", 2, "DOCUMENT_INVALID"),
        ("other.json", "hub", 2, "DOCUMENT_INVALID"),
        ("twice.json", "hub", 2, "DOCUMENT_INVALID"),
    ] {
        world.refused(&["import", path, "--from", from], code, error);
    }
    world.checkpoint("base");
    world.refused(&["export", "wf"], 3, "STATE_NOT_FOUND");
}

#[test]
fn an_archive_brings_the_log_back_and_the_state_is_its_fold() {
    let (here, there) = (World::new(), World::new());
    hub(&here);
    here.ok(&["import", ".", "--from", "hub"]);
    here.tree.write("other.json", br#"{"id": "other", "status": "running"}"#);
    here.ok(&["import", "other.json", "--from", "hub"]);
    here.ok(&["create-checkpoint", "port_1", "--name", "base"]);
    // What came after the newest checkpoint is in the archive, too.
    here.tree.write(
        "more.json",
        br#"{"id": "port_1", "tasks": {"t2": {"status": "completed"}}, "agents": {"a1": {"current_task": null}}}"#,
    );
    here.ok(&["import", "more.json", "--from", "hub"]);
    let archive = here.data.path().join("port_1.wfrarchive");
    let archive = archive.to_str().unwrap();
    let made = here.ok(&["backup-state", "port_1", "--output", archive]);
    assert_eq!((made.result("events"), made.result("verified")), (&json!(5), &json!(true)));
    let brought = there.ok(&["import", archive]);
    assert_eq!((brought.result("events"), brought.result("events_known")), (&json!(5), &json!(0)));
    let strip = |mut doc: Value| {
        doc.as_object_mut().unwrap().remove("updated_at");
        doc
    };
    assert_eq!(strip(document(&there, "port_1")), strip(document(&here, "port_1")));
    there.ok(&["validate-state", "port_1", "--validation-depth", "comprehensive"]);
    there.refused(&["export", "other"], 3, "WORKFLOW_NOT_FOUND");
    let again = there.ok(&["import", archive]);
    assert_eq!((again.result("events"), again.result("events_known")), (&json!(0), &json!(5)));
    assert_eq!(strip(document(&there, "port_1")), strip(document(&here, "port_1")));
}

#[test]
fn a_document_that_export_writes_comes_in_again_however_long() {
    let world = World::new();
    let words = "w".repeat(1 << 20);
    let tasks: Vec<Value> = (0..18).map(|at| json!({"task_id": format!("t{at}"), "description": words})).collect();
    let doc = json!({"id": "wf", "status": "running", "phases": [{"phase_id": 1, "name": "A", "tasks": tasks}]});
    world.tree.write("doc.json", doc.to_string().as_bytes());
    assert_eq!(world.ok(&["import", "doc.json", "--from", "hub"]).result("states")[0]["tasks_created"], 18);
    let written = world.ok(&["export", "wf", "--output", "out.json"]);
    assert!(written.result("size_bytes").as_u64().unwrap() > 16 << 20, "{written:?}");
    let other = World::new();
    other.tree.write("in.json", &world.tree.read("out.json"));
    other.ok(&["import", "in.json", "--from", "hub"]);
    let stripped = |world: &World| {
        let mut doc = document(world, "wf");
        for key in ["updated_at", "state_version"] {
            doc.as_object_mut().unwrap().remove(key);
        }
        doc
    };
    assert!(stripped(&other) == stripped(&world), "the same document goes out");
}

#[test]
fn events_of_a_hub_that_are_later_than_its_state_go_on_from_it() {
    let doc = json!({"id": "w", "status": "running", "updated_at": "2025-01-15T11:00:00Z", "current_phase": 1,
        "phases": [{"phase_id": 1, "name": "A", "status": "in_progress",
            "tasks": [{"task_id": "t", "status": "active"}, {"task_id": "u", "status": "active"}]}]});
    let event = |id: &str, kind: &str, task: &str, at: &str| {
        json!({"event_id": id, "event_type": kind, "workflow_id": "w", "phase": 1, "timestamp": at,
            "data": {"task_id": task, "agent_id": "a"}})
    };
    // One from before the state was written, which counts no more, and one from after.
    let log = [
        event("e1", "TASK_COMPLETED", "u", "2025-01-15T10:55:00Z"),
        event("e2", "TASK_COMPLETED", "t", "2025-01-15T11:05:00Z"),
    ];
    let lines: Vec<String> = log.iter().map(Value::to_string).collect();
    let world_of = || {
        let world = World::new();
        world.tree.write("h/workflows/active/w.json", doc.to_string().as_bytes());
        world.tree.write("h/events/w_events.jsonl", lines.join("\n").as_bytes());
        world
    };
    let state = |world: &World| {
        let doc = world.ok(&["export", "w"]).result("document").clone();
        let task = |at: usize| doc["phases"][0]["tasks"][at]["status"].as_str().unwrap().to_owned();
        (task(0), task(1))
    };
    let world = world_of();
    world.ok(&["import", "h", "--from", "hub"]);
    assert_eq!(state(&world), ("completed".to_owned(), "active".to_owned()));
    world.ok(&["validate-state", "w", "--validation-depth", "comprehensive"]);
    let again = world.ok(&["import", "h", "--from", "hub"]);
    assert_eq!(again.result("states")[0]["became"], "unchanged", "{again:?}");
    let nosuch = world.refused(&["import", "h", "--from", "hub", "--workflow-id", "nosuch"], 2, "DOCUMENT_INVALID");
    assert!(nosuch.json["error"]["message"].as_str().unwrap().contains("`nosuch`"), "{nosuch:?}");
    // One after the other the later one counts, too.
    let world = world_of();
    world.ok(&["import", "h/workflows/active/w.json", "--from", "hub"]);
    world.ok(&["import", "h", "--from", "hub"]);
    assert_eq!(state(&world).0, "completed");
    // A state that is later than all of them counts over all.
    let world = world_of();
    let mut later = doc.clone();
    later["updated_at"] = json!("2025-01-15T11:06:00Z");
    world.tree.write("h/workflows/active/w.json", later.to_string().as_bytes());
    world.ok(&["import", "h", "--from", "hub"]);
    assert_eq!(state(&world), ("active".to_owned(), "active".to_owned()));
}
