//! Holds and shares: who has what, who gives way, what is too much.

use serde_json::{Value, json};

use crate::world::{Ended, World};

fn world() -> World {
    let world = World::new();
    world.checkpoint("base");
    world
}

fn allocate(world: &World, parameters: &Value) -> Ended {
    world.call(&["allocate", "wf", &parameters.to_string()])
}

#[test]
fn a_hold_stands_until_it_is_released_or_outranked() {
    let world = world();
    let held = world.ok(&["hold-resources", "wf", "--requester", "hub", "--reason", "maintenance", "--duration", "1h"]);
    let token = held.result("hold")["token"].as_i64().unwrap();
    assert_eq!((&held.result("hold")["band"], &held.result("hold")["priority"]), (&json!("medium"), &json!(50)));
    // Another one, however high below the critical band, is told by whom, until when, and what to do.
    let refused = world.refused(&["hold-resources", "wf", "--requester", "other", "--priority", "89"], 6, "HELD");
    let told = world.command(&["hold-resources", "wf", "--requester", "other", "--priority", "89"]).output().unwrap();
    assert!(told.stdout.is_empty() && !told.stderr.is_empty(), "{told:?}");
    let error = refused.json["error"]["message"].as_str().unwrap();
    assert!(error.contains("component hub") && error.contains("until 20") && error.contains("maintenance"), "{error}");
    let ways = refused.json["recovery_options"].to_string();
    assert!(ways.contains(&format!("wfr release --token {token}")) && ways.contains("wait until"), "{ways}");
    assert_eq!(refused.result("token"), token);
    // Its owner moves the end, under a new token.
    let renewed = world.ok(&["hold-resources", "wf", "--requester", "hub", "--duration", "2h"]);
    assert_eq!(renewed.result("renewed"), true);
    let newer = renewed.result("hold")["token"].as_i64().unwrap();
    assert!(newer > token);
    world.refused(&["release", "--token", &token.to_string()], 3, "HOLD_NOT_FOUND");
    // A recovery takes over, and another recovery does not.
    let recovery = ["hold-resources", "wf", "--reason", "recovery_operation", "--requester"];
    let taken = world.ok(&[&recovery[..], &["rescuer"]].concat());
    assert_eq!(taken.result("preempted")["token"], newer);
    assert_eq!(taken.result("hold")["band"], "critical");
    world.refused(&[&recovery[..], &["second"]].concat(), 6, "HELD");
    let list = world.ok(&["holds", "wf"]);
    assert_eq!(list.result("holds").as_array().unwrap().len(), 1);
    world.refused(&["check-conflicts", "wf", "--requester", "other"], 5, "RESOURCE_CONFLICT");
    assert_eq!(world.ok(&["release", "wf"]).result("holds")[0]["holder"], "rescuer");
    world.ok(&["check-conflicts", "wf"]);
    world.refused(&["hold-resources", "nobody"], 3, "WORKFLOW_NOT_FOUND");
}

#[test]
fn a_hold_whose_time_is_over_is_taken_over() {
    let world = world();
    let first = world.ok(&["hold-resources", "wf", "--requester", "hub", "--duration", "0s"]);
    let list = world.ok(&["holds"]);
    assert_eq!(list.result("holds")[0]["stands"], false);
    let second = world.ok(&["hold-resources", "wf", "--requester", "other"]);
    assert_eq!(second.result("preempted"), &Value::Null);
    assert!(second.result("hold")["token"].as_i64() > first.result("hold")["token"].as_i64());
}

#[test]
fn shares_keep_within_the_caps() {
    let world = world();
    let ask = |cpu: f64, more: Value| {
        let mut parameters = json!({"resources": {"cpu_cores": cpu}});
        parameters.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        allocate(&world, &parameters)
    };
    let first = ask(4.0, json!({"allocation_id": "alloc_one", "requester": "hub", "duration": "1h"}));
    assert_eq!((first.code, first.result("status")), (0, &json!("approved")), "{first:?}");
    assert_eq!((&first.result("in_use")["cpu_cores"], &first.result("caps")["cpu_cores"]), (&json!(4.0), &json!(6.0)));
    let again = ask(4.0, json!({"allocation_id": "alloc_one"}));
    assert_eq!(again.result("in_use")["cpu_cores"], 4.0, "one that is given is answered as it was");
    let queued = ask(3.0, json!({}));
    assert_eq!((queued.code, queued.error(), queued.result("status")), (5, "RESOURCE_EXHAUSTED", &json!("queued")));
    assert!(!queued.result("retry_at").is_null());
    let partial = ask(3.0, json!({"accept_partial": true}));
    assert_eq!((partial.code, partial.result("status")), (0, &json!("partial")));
    assert_eq!(partial.result("resources")["cpu_cores"], 2);
    assert_eq!(ask(7.0, json!({})).result("status"), "denied");
    assert_eq!(ask(1.0, json!({"duration": "7h"})).error(), "RESOURCE_EXHAUSTED");
    assert_eq!(allocate(&world, &json!({"resources": {"gpu": 1}})).error(), "INVALID_PARAMETER");
    assert_eq!(allocate(&world, &json!({})).error(), "INVALID_PARAMETER");
    let list = world.ok(&["holds", "wf"]);
    assert_eq!(list.result("allocations").as_array().unwrap().len(), 2);
    world.ok(&["release", "--allocation-id", "alloc_one"]);
    world.refused(&["release", "wf", "--allocation-id", "alloc_one"], 3, "HOLD_NOT_FOUND");
    assert_eq!(ask(3.0, json!({"reserve": true})).result("status"), "approved");
    let list = world.ok(&["holds", "wf"]);
    let status = |at: usize| list.result("allocations")[at]["status"].clone();
    assert_eq!([status(0), status(1)].iter().filter(|status| **status == "reserved").count(), 1, "{list:?}");
    assert_eq!(world.ok(&["release", "wf"]).result("allocations").as_array().unwrap().len(), 2);
    world.refused(&["release"], 2, "WRONG_ARGUMENTS");
}

#[test]
fn shares_end_with_their_time() {
    let world = world();
    let all = json!({"resources": {"agents": ["a", "b"], "cpu_cores": 6}, "duration": "1ms"});
    assert_eq!(allocate(&world, &all).result("status"), "approved");
    assert_eq!(world.ok(&["holds"]).result("allocations")[0]["status"], "expired");
    assert_eq!(allocate(&world, &all).result("status"), "approved", "what is over is in nobody's way");
    let long = json!({"resources": {"cpu_cores": 6}});
    assert_eq!(allocate(&world, &long).result("status"), "approved");
    assert_eq!(allocate(&world, &long).result("status"), "queued");
}

#[test]
fn the_resource_managers_form_is_taken() {
    let world = world();
    let share = json!({"resource_allocation": {
        "allocation_id": "alloc_7", "workflow_id": "wf", "requester": "planner", "timestamp": "2025-01-15T11:30:00Z",
        "priority": 70, "status": "reserved", "resources": {"cpu_cores": 2}, "auto_release": {"on_timeout": true}}});
    let given = world.ok(&["allocate", "wf", &share.to_string()]);
    assert_eq!((given.result("status"), given.result("allocation_id")), (&json!("approved"), &json!("alloc_7")));
    let listed = world.ok(&["holds", "wf"]);
    let line = &listed.result("allocations")[0];
    assert_eq!((&line["status"], &line["requester"]), (&json!("reserved"), &json!("planner")));
    let events = world.ok(&["events", "wf", "--type", "RESOURCE_ALLOCATED"]);
    assert_eq!(events.result("events")[0]["data"]["timestamp"], "2025-01-15T11:30:00Z");
    let wrong = world.refused(&["allocate", "wf", r#"{"resource_allocation": {"gpus": 1}}"#], 2, "INVALID_PARAMETER");
    assert!(wrong.json.to_string().contains("gpus"), "{wrong:?}");
}

#[test]
fn the_resource_managers_form_names_its_workflow_and_what_stands_beside_it_counts() {
    let world = world();
    world.ok(&["event", "WORKFLOW_STARTED:wf2:global:{}"]);
    let form = |id: &str| json!({"allocation_id": id, "workflow_id": "wf", "resources": {"cpu_cores": 4}});
    let whole = json!({"resource_allocation": form("alloc_1")});
    let given = world.ok(&["allocate", &whole.to_string()]);
    assert_eq!((given.result("allocation_id"), &given.json["workflow_id"]), (&json!("alloc_1"), &json!("wf")));
    let mut request = json!({"message_type": "request", "request_id": "req_1", "correlation_id": "c", "response_required": true,
        "timestamp": "2025-01-15T11:30:00Z", "target_component": "resource-manager", "operation": "allocate", "timeout_seconds": 30});
    request["parameters"] = whole;
    assert_eq!(world.ok(&["request", &request.to_string()]).result("result")["allocation_id"], "alloc_1");
    // What it leaves open may be said beside it.
    let beside =
        json!({"resource_allocation": form("alloc_2"), "accept_partial": true, "priority": 70, "duration": "1h"});
    let partial = world.ok(&["allocate", &beside.to_string()]);
    assert_eq!((partial.result("status"), &partial.result("resources")["cpu_cores"]), (&json!("partial"), &json!(2)));
    let listed = world.ok(&["holds", "wf"]);
    let share =
        listed.result("allocations").as_array().unwrap().iter().find(|share| share["allocation_id"] == "alloc_2");
    assert_eq!(share.unwrap()["priority"], 70, "{listed:?}");
    // What it says itself may not be said otherwise.
    for (key, value) in
        [("resources", json!({"cpu_cores": 1})), ("workflow_id", json!("wf2")), ("allocation_id", json!("alloc_9"))]
    {
        let refused = world.refused(
            &["allocate", &json!({"resource_allocation": form("alloc_3"), key: value}).to_string()],
            2,
            "INVALID_PARAMETER",
        );
        assert!(refused.json["error"]["message"].as_str().unwrap().contains(key), "{refused:?}");
    }
    let call = ["allocate", "wf2", "--resource-allocation", &form("alloc_4").to_string()];
    world.refused(&call, 2, "INVALID_PARAMETER");
    world.ok(&[
        "allocate",
        "--resource-allocation",
        &json!({"workflow_id": "wf2", "resources": {"cpu_cores": 1}}).to_string(),
    ]);
    assert_eq!(world.call(&["allocate", r#"{"resources": {"cpu_cores": 1}}"#]).code, 2);
}

#[test]
fn what_was_given_back_stays_given_back() {
    let world = world();
    world.ok(&["event", "WORKFLOW_STARTED:wf:global:{}"]);
    let status = |world: &World| world.ok(&["holds", "wf"]).result("allocations")[0]["status"].clone();
    allocate(&world, &json!({"resources": {"cpu_cores": 6}}));
    world.ok(&["event", "WORKFLOW_COMPLETED:wf:global:{}"]);
    assert_eq!(status(&world), "expired");
    world.ok(&["update-state", "wf", r#"{"status": "running"}"#]);
    assert_ne!(status(&world), "active");
    assert_eq!(allocate(&world, &json!({"resources": {"cpu_cores": 6}})).result("status"), "approved");
    let seen = world.ok(&["validate-state", "wf", "--validation-depth", "comprehensive"]);
    assert_eq!(seen.result("findings"), &json!([]), "{seen:?}");
}

#[test]
fn what_is_over_is_not_counted() {
    let world = world();
    allocate(&world, &json!({"resources": {"cpu_cores": 4}, "duration": "1ms"}));
    let never = allocate(&world, &json!({"resources": {"cpu_cores": 4}, "duration": "0s"}));
    assert_eq!(never.error(), "INVALID_PARAMETER");
    allocate(&world, &json!({"resources": {"cpu_cores": 1}}));
    let state = world.ok(&["get-state", "wf"]);
    assert_eq!(state.result("workflow_state")["resource_allocations"]["cpu_cores"], 1);
}

#[test]
fn many_at_once_are_never_given_more_than_there_is() {
    let world = world();
    let given: usize = std::thread::scope(|scope| {
        let ask = || allocate(&world, &json!({"resources": {"cpu_cores": 2}})).code;
        let runs: Vec<_> = (0..8).map(|_| scope.spawn(ask)).collect();
        runs.into_iter().map(|run| usize::from(run.join().unwrap() == 0)).sum()
    });
    assert_eq!(given, 3);
    world.ok(&["check-conflicts", "wf"]);
}

#[test]
fn a_share_ends_with_a_failure_where_it_says_so_and_after_its_grace() {
    let late = json!({"event_type": "WORKFLOW_FAILED", "workflow_id": "wf", "timestamp": "2025-01-15T11:30:00Z",
        "data": {"failure_reason": "no room", "recovery_options": []}});
    let now = r#"WORKFLOW_FAILED:wf:global:{"failure_reason":"no room","recovery_options":[]}"#;
    for (release, failed, status) in [
        (json!({"on_failure": true}), now.to_owned(), "expired"),
        (json!({"on_failure": false}), now.to_owned(), "active"),
        (json!({}), now.to_owned(), "active"),
        (json!({"on_failure": true, "grace_period": "1h"}), now.to_owned(), "active"),
        (json!({"on_failure": true, "grace_period": "1h"}), late.to_string(), "expired"),
    ] {
        let world = world();
        world.ok(&["event", "WORKFLOW_STARTED:wf:global:{}"]);
        let all = json!({"resources": {"cpu_cores": 6}, "auto_release": release});
        assert_eq!(allocate(&world, &all).result("status"), "approved");
        world.ok(&["event", &failed]);
        assert_eq!(world.ok(&["holds", "wf"]).result("allocations")[0]["status"], status, "{release} {failed}");
        let next = if status == "expired" { "approved" } else { "queued" };
        assert_eq!(allocate(&world, &all).result("status"), next, "{release} {failed}");
    }
}

#[test]
fn a_share_outlives_its_time_where_it_says_so() {
    let world = world();
    for release in [json!({"grace_period": "1h"}), json!({"on_timeout": false})] {
        let short = json!({"resources": {"cpu_cores": 3}, "duration": "1ms", "auto_release": release});
        assert_eq!(allocate(&world, &short).result("status"), "approved", "{release}");
    }
    let list = world.ok(&["holds", "wf"]);
    let statuses = list.result("allocations").as_array().unwrap().iter().map(|share| share["status"].clone());
    assert_eq!(statuses.collect::<Vec<_>>(), ["active", "active"]);
    assert_eq!(allocate(&world, &json!({"resources": {"cpu_cores": 1}})).result("status"), "queued");
}

#[test]
fn what_a_share_asks_for_is_told_with_it() {
    let world = world();
    let asked = json!({"resources": {"cpu_cores": 2, "memory_gb": 4}, "allocation_id": "alloc_7", "priority": 70,
        "constraints": {"node": "left"}, "performance_requirements": {"max_response_time": "2s", "min_throughput": 100},
        "auto_release": {"on_completion": true, "on_timeout": true, "on_failure": true, "grace_period": "5m"}});
    allocate(&world, &asked);
    let events = world.ok(&["events", "wf", "--type", "RESOURCE_ALLOCATED"]);
    let told = &events.result("events")[0]["data"];
    for (key, value) in asked.as_object().unwrap() {
        assert_eq!(&told[key], value, "{key}");
    }
}
