//! What lies deep in each other: refused where it comes in with one clear word, and read where it was stored before that.
//!
//! Owns the way of such data through every form that it is stored in. Refuses to look at what it means.

use serde_json::{Value, json};

use crate::states::by_hand;
use crate::world::World;

/// Lists in each other.
fn nested(levels: usize) -> String {
    format!("{}{}", "[".repeat(levels), "]".repeat(levels))
}

fn lose_the_catalog(world: &World) {
    for file in ["catalog.db", "catalog.db-wal", "catalog.db-shm"] {
        let _ = std::fs::remove_file(world.vault().join(file));
    }
}

fn archive(world: &World) -> String {
    let path = world.data.path().join("wf.wfrarchive").to_str().unwrap().to_owned();
    world.ok(&["backup-state", "wf", "--output", &path]);
    path
}

#[test]
fn what_is_too_deep_is_refused_at_every_intake_and_nothing_is_recorded() {
    let world = World::new();
    world.ok(&["event", "WORKFLOW_CREATED:wf:global:{}"]);
    let deep = nested(66);
    world.tree.write(
        "hub/workflows/active/h.json",
        format!(r#"{{"id":"h","status":"running","tasks":{{"t":{{"x":{}}}}}}}"#, nested(110)).as_bytes(),
    );
    let line = format!(r#"{{"event_type":"TASK_STARTED","workflow_id":"wf","task_id":"t","x":{}}}"#, nested(80));
    world.tree.write("lines.jsonl", format!("{line}\nTASK_COMPLETED:wf:1:{{\"task_id\":\"t1\"}}\n").as_bytes());
    world.tree.write("list.json", format!("[\n{line},\n{{\"event_type\":\"FINE\"}}]").as_bytes());
    let events = world.ok(&["events", "wf"]).result("events").as_array().unwrap().len();
    let calls: [(&[&str], &str); 8] = [
        (&["event", &format!(r#"WORKFLOW_STATE_UPDATED:wf:1:{{"note":{{"x":{deep}}}}}"#)], "INVALID_EVENT"),
        (&["event", &format!(r#"WORKFLOW_CREATED:new:1:{{"any":{deep}}}"#)], "INVALID_EVENT"),
        (&["update-state", "wf", &format!(r#"{{"metadata":{{"x":{deep}}}}}"#)], "INVALID_JSON"),
        (&["initialize", "new", &format!(r#"{{"metadata":{{"x":{deep}}}}}"#)], "INVALID_JSON"),
        (
            &["handle-error", &format!(r#"{{"workflow_id":"wf","details":{{"error_message":"x","y":{deep}}}}}"#)],
            "INVALID_JSON",
        ),
        (&["record-metrics", "wf", &format!(r#"{{"metrics":{{"y":{deep}}}}}"#)], "INVALID_JSON"),
        (&["allocate", "wf", &format!(r#"{{"constraints":{deep}}}"#)], "INVALID_JSON"),
        (&["import", "hub/workflows/active/h.json", "--from", "hub"], "DOCUMENT_INVALID"),
    ];
    for (call, code) in calls {
        let told = world.refused(call, 2, code);
        let message = told.json["error"]["message"].as_str().unwrap();
        assert!(message.contains("put what is deeper into a text"), "{message}");
        assert!(!told.json["recovery_options"].to_string().contains("quote"), "{told:?}");
    }
    assert_eq!(world.ok(&["events", "wf"]).result("events").as_array().unwrap().len(), events);
    // In a stream one that is too deep costs itself alone.
    for (file, taken) in [("lines.jsonl", 1), ("list.json", 1)] {
        let text = std::fs::read(world.root().join(file)).unwrap();
        let mut child = world
            .command(&["event", "-", "--json"])
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        std::io::Write::write_all(&mut child.stdin.take().unwrap(), &text).unwrap();
        let told: Value = serde_json::from_slice(&child.wait_with_output().unwrap().stdout).unwrap();
        assert_eq!(
            (&told["result"]["recorded"], &told["result"]["refused_total"]),
            (&json!(taken), &json!(1)),
            "{told}"
        );
        assert!(told["result"]["refused"][0]["why"].as_str().unwrap().contains("into a text"), "{told}");
    }
}

#[test]
fn what_is_taken_in_is_read_again_from_every_form_that_it_is_stored_in() {
    let world = World::new();
    let deep = nested(63);
    world.ok(&["event", &format!(r#"WORKFLOW_CREATED:wf:global:{{"any":{deep}}}"#)]);
    world.ok(&["event", &format!(r#"TASK_STARTED:wf:1:{{"task_id":"t1","x":{deep}}}"#)]);
    world.ok(&["update-state", "wf", &format!(r#"{{"metadata":{{"x":{}}}}}"#, nested(62))]);
    let allocated = nested(62);
    world.ok(&["event", &format!(r#"RESOURCE_ALLOCATED:wf:1:{{"resource_id":"r","constraints":{allocated}}}"#)]);
    world.ok(&["record-metrics", "wf", &format!(r#"{{"metrics":{{"x":{}}}}}"#, nested(62))]);
    world.checkpoint("good");
    world.ok(&["validate-state", "wf", "--validation-depth", "comprehensive"]);
    let before = world.ok(&["export", "wf"]).result("document").clone();
    assert!(before.to_string().contains(&nested(62)));
    // Its lines are taken again.
    let lines = world.ok(&["events", "wf"]);
    world.tree.write("line.jsonl", lines.result("events")[0].to_string().as_bytes());
    assert_eq!(world.ok(&["event", "--file", "line.jsonl"]).result("known"), 1);
    // An export and an archive are taken elsewhere.
    let other = World::new();
    other.tree.write("w.json", before.to_string().as_bytes());
    other.ok(&["import", "w.json", "--from", "hub"]);
    other.ok(&["validate-state", "wf", "--validation-depth", "comprehensive"]);
    World::new().ok(&["import", &archive(&world)]);
    lose_the_catalog(&world);
    world.ok(&["doctor", "--rebuild-catalog"]);
    assert_eq!(world.ok(&["export", "wf"]).result("document"), &before);
    assert_eq!(world.ok(&["events", "wf"]).result("events"), lines.result("events"));
}

#[test]
fn what_was_stored_before_there_was_a_bound_is_read() {
    let world = World::new();
    world.ok(&["event", r#"TASK_COMPLETED:wf:1:{"task_id":"t1"}"#]);
    world.checkpoint("good");
    let was = std::fs::read(world.root().join("a.txt")).unwrap();
    world.ok(&["event", r#"TASK_STARTED:wf:1:{"task_id":"t2","x":0}"#]);
    world.ok(&["event", r#"WORKFLOW_STATE_UPDATED:wf:1:{"note":0}"#]);
    // As a version without it wrote them: 126 levels came in, and lie deeper in what is made of them.
    by_hand(
        &world,
        &format!(
            "UPDATE events SET data = replace(replace(data, '\"x\":0', '\"x\":{deep}'), '\"note\":0', '\"note\":{deep}');
             UPDATE parts SET doc = replace(doc, '\"x\":0', '\"x\":{deep}');
             UPDATE states SET head = replace(head, '\"note\":0', '\"note\":{deep}')",
            deep = nested(126)
        ),
    );
    for call in [&["status", "wf"][..], &["events", "wf"]] {
        assert!(world.command(call).output().unwrap().status.success(), "{call:?}");
    }
    world.ok(&["event", "WORKFLOW_PAUSED:wf:global:{}"]);
    world.ok(&["update-state", "wf", r#"{"status":"running"}"#]);
    world.ok(&["validate-state", "wf", "--validation-depth", "comprehensive"]);
    let deep = world.checkpoint("deep");
    world.ok(&["validate-state", "wf", "--validation-depth", "comprehensive"]);
    let exported = world.command(&["export", "wf"]).output().unwrap();
    let text: String = String::from_utf8_lossy(&exported.stdout).split_whitespace().collect();
    assert!(exported.status.success() && text.contains(&nested(126)));
    World::new().ok(&["import", &archive(&world)]);
    lose_the_catalog(&world);
    let rebuilt = world.ok(&["doctor", "--rebuild-catalog"]);
    assert!(!rebuilt.result("findings").to_string().contains("EVENTS_LOST"), "{rebuilt:?}");
    world.ok(&["validate-state", "wf", "--validation-depth", "comprehensive"]);
    world.tree.write("a.txt", b"edited");
    world.ok(&["partial-restore", "wf", "good", "--file", "a.txt", "--yes"]);
    world.ok(&["emergency-restore", "wf", "--yes", "--checkpoint", "good"]);
    assert_eq!(std::fs::read(world.root().join("a.txt")).unwrap(), was);
    let id = deep.result("checkpoint_id").as_str().unwrap();
    world.ok(&["restore", "wf", id, "--yes"]);
    by_hand(&world, "DELETE FROM states; DELETE FROM parts");
    world.ok(&["repair-state", "wf", "--yes"]);
    world.ok(&["validate-state", "wf", "--validation-depth", "comprehensive"]);
}
