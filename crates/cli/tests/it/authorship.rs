//! Who wrote which line, and who changed a path.

use std::fs;

use crate::work::numbered;
use crate::world::World;

#[test]
fn lines_and_paths_know_who_wrote_them() {
    let world = World::with_lines();
    world.work("a", || world.put("work/f.txt", &numbered(&[(3, "by a")])));
    world.work("b", || world.put("work/f.txt", &numbered(&[(3, "by a"), (30, "by b")])));
    let blame = world.ok(&["blame", "work/f.txt"]);
    let lines: Vec<(u64, Option<&str>)> = blame
        .result("lines")
        .as_array()
        .unwrap()
        .iter()
        .map(|block| (block["first_line"].as_u64().unwrap(), block["agent_id"].as_str()))
        .collect();
    assert_eq!(lines, [(1, None), (3, Some("a")), (4, None), (30, Some("b"))]);
    let who = world.ok(&["who", "work/f.txt"]);
    let agents: Vec<&str> =
        who.result("changes").as_array().unwrap().iter().map(|one| one["agent_id"].as_str().unwrap()).collect();
    assert_eq!(agents, ["b", "a"]);
    world.refused(&["who", "no/such"], 3, "NOTHING_SELECTED");
    let patch = world.ok(&["log", "--agent", "b", "--patch"]);
    assert!(patch.result("changes")[0]["paths"][0]["patch"].as_str().unwrap().contains("+by b"));
}

/// The first line of each block that `blame` shows, and whose it is.
fn blamed(world: &World) -> Vec<(u64, String)> {
    let blame = world.ok(&["blame", "work/f.txt"]);
    let who = |block: &serde_json::Value| match (block["agent_id"].as_str(), block["actor"].as_str()) {
        (Some(agent), _) => agent.to_owned(),
        (None, actor) => actor.unwrap_or("before").to_owned(),
    };
    let blocks = blame.result("lines").as_array().unwrap();
    blocks.iter().map(|block| (block["first_line"].as_u64().unwrap(), who(block))).collect()
}

#[test]
fn lines_that_a_recovery_put_back_are_whoevers_wrote_them_first() {
    let world = World::with_lines();
    let blocks = |blocks: &[(u64, &str)]| blocks.iter().map(|(at, who)| (*at, (*who).to_owned())).collect::<Vec<_>>();
    world.work("a", || world.put("work/f.txt", &numbered(&[(3, "by a")])));
    world.work("b", || world.put("work/f.txt", &numbered(&[(3, "by a"), (20, "by b")])));
    let all = blocks(&[(1, "before"), (3, "a"), (4, "before"), (20, "b"), (21, "before")]);
    assert_eq!(blamed(&world), all);
    world.ok(&["rollback", "wf", "--agent", "a", "--yes"]);
    assert_eq!(blamed(&world), blocks(&[(1, "before"), (20, "b"), (21, "before")]), "what was there first is again");
    world.ok(&["undo", "--yes"]);
    assert_eq!(blamed(&world), all);
    // A merge carries lines over from the versions that it came from.
    world.ok(&["rollback", "wf", "--agent", "a", "--yes"]);
    world.put("work/f.txt", &numbered(&[(20, "by b"), (29, "by me")]));
    world.ok(&["undo", "--yes"]);
    let merged = [(1, "before"), (3, "a"), (4, "before"), (20, "b"), (21, "before"), (29, "user"), (30, "before")];
    assert_eq!(blamed(&world), blocks(&merged));
    // What was made by hand is the recovery's.
    let by_hand = world.data.path().join("by_hand");
    fs::write(&by_hand, numbered(&[(3, "by hand"), (20, "by b"), (29, "by me")])).unwrap();
    let resolve = format!("work/f.txt={}", by_hand.display());
    world.ok(&["rollback", "wf", "--agent", "a", "--resolve", &resolve, "--yes"]);
    assert_eq!(blamed(&world)[1], (3, "recovery".to_owned()));
    let other = World::with_lines();
    other.work("a", || other.put("work/f.txt", &numbered(&[(3, "by a")])));
    other.work("b", || other.put("work/f.txt", &numbered(&[(3, "by a"), (20, "by b")])));
    other.ok(&["restore", "wf", "base", "--yes"]);
    assert_eq!(blamed(&other), blocks(&[(1, "before")]));
    other.ok(&["undo", "--yes"]);
    assert_eq!(blamed(&other), all);
    for directory in ["", "work"] {
        let refused = world.refused(&["blame", directory], 2, "INVALID_PARAMETER");
        assert!(refused.json.to_string().contains("wfr log --path"), "{refused:?}");
    }
}
