//! What a command says of what it was given: forms that are not understood, events that reach nobody, plans that contradict
//! themselves.

use serde_json::json;

use crate::world::World;

#[test]
fn a_current_phase_that_is_named_by_its_name_comes_in_once() {
    let world = World::new();
    for (id, current) in [("hx", json!("Test")), ("hy", json!({"name": "Test"})), ("hz", json!(1))] {
        let doc = json!({"id": id, "name": "Done", "status": "running", "current_phase": current,
            "phases": [{"phase_id": 1, "name": "Test", "status": "in_progress", "tasks": []}]});
        world.tree.write("doc.json", doc.to_string().as_bytes());
        let became = ["created", "unchanged", "unchanged"].map(|expected| {
            let read = world.ok(&["import", "doc.json", "--from", "hub"]);
            (read.result("states")[0]["became"] == expected, read)
        });
        assert!(became.iter().all(|(is_so, _)| *is_so), "{id}: {became:?}");
        let out = world.ok(&["export", id]).result("document").clone();
        assert_eq!((&out["current_phase"], out["phases"].as_array().unwrap().len()), (&json!(1), 1), "{out:#}");
    }
}
