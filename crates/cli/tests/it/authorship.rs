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
    blamed_at(world, "work/f.txt")
}

fn blamed_at(world: &World, path: &str) -> Vec<(u64, String)> {
    let blame = world.ok(&["blame", path]);
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

#[test]
fn what_nobody_changed_was_there_before_and_directories_show_what_is_below() {
    let world = World::with_lines();
    world.put("work/still.txt", "one\ntwo\n");
    world.checkpoint("still");
    world.refused(&["who", "."], 3, "NOTHING_SELECTED");
    world.refused(&["blame", "work/none.txt"], 3, "NOTHING_SELECTED");
    world.work("a", || world.put("work/deep/of_a.txt", "a"));
    world.work("b", || world.put("work/f.txt", &numbered(&[(3, "by b")])));
    world.work("c", || world.put("c.txt", "c"));
    let blame = world.ok(&["blame", "work/still.txt"]);
    let lines = blame.result("lines").as_array().unwrap();
    assert_eq!((lines.len(), lines[0]["lines"].as_array().unwrap().len()), (1, 2));
    assert!(lines[0]["change_id"].is_null() && blame.json["next_steps"].to_string().contains("before the ledger"));
    world.refused(&["blame", "work/none.txt"], 3, "NOTHING_SELECTED");
    let who = |path: &str| {
        let changes = world.ok(&["who", path]).result("changes").as_array().unwrap().clone();
        let line = |one: &serde_json::Value| {
            format!("{}: {}", one["agent_id"].as_str().unwrap_or("-"), crate::work::paths(&one["paths"]).join(" "))
        };
        changes.iter().map(line).collect::<Vec<_>>()
    };
    assert_eq!(who("work/still.txt"), [""; 0]);
    assert_eq!(who("work"), ["b: work/f.txt", "a: work/deep work/deep/of_a.txt"]);
    assert_eq!(who("work/deep"), ["a: work/deep work/deep/of_a.txt"]);
    assert_eq!(who("."), ["c: c.txt", "b: work/f.txt", "a: work/deep work/deep/of_a.txt"]);
    assert_eq!(who("work/f.txt"), ["b: work/f.txt"]);
    world.refused(&["who", "work/none"], 3, "NOTHING_SELECTED");
}

#[test]
fn who_asked_for_a_recovery_is_told_with_its_change() {
    let world = World::with_lines();
    world.work("a", || world.put("work/of_a.txt", "a"));
    let asked = ["rollback", "wf", "--agent", "a", "--yes", "--json"];
    let done = world.command(&asked).env("WFR_ACTOR", "alice").output().unwrap();
    assert!(done.status.success());
    for call in [&["log", "--actor", "recovery"][..], &["who", "work/of_a.txt"], &["who", "work"]] {
        let changes = world.ok(call).result("changes").as_array().unwrap().clone();
        assert_eq!(
            (&changes[0]["actor"], &changes[0]["requested_by"]),
            (&"recovery".into(), &"alice".into()),
            "{call:?}"
        );
        assert!(changes.iter().skip(1).all(|one| one["requested_by"].is_null()), "{call:?}");
    }
}

#[test]
fn blame_shows_the_file_as_it_is_and_says_what_is_not_recorded() {
    let world = World::with_lines();
    world.put("work/still.txt", "one\ntwo\n");
    world.checkpoint("still");
    world.work("a", || world.put("work/f.txt", &numbered(&[(3, "by a")])));
    world.put("work/f.txt", &numbered(&[(3, "by a"), (20, "mine")]));
    world.put("work/still.txt", "one\nmine\n");
    world.put("work/new.txt", "mine\n");
    let unrecorded = |path: &str| {
        let blame = world.ok(&["blame", path]);
        assert!(blame.json["next_steps"].to_string().contains("since the last look"), "{blame:?}");
        let blocks = blame.result("lines").as_array().unwrap().clone();
        let block = blocks.iter().find(|block| block["recorded"] == false).unwrap();
        assert_eq!((block["lines"].as_array().unwrap().len(), &block["change_id"]), (1, &serde_json::Value::Null));
        (block["first_line"].as_u64().unwrap(), block["lines"][0].as_str().unwrap().trim().to_owned())
    };
    for (path, line) in [("work/f.txt", 20), ("work/still.txt", 2), ("work/new.txt", 1)] {
        assert_eq!(unrecorded(path), (line, "mine".to_owned()), "{path}");
    }
    let shown = String::from_utf8(world.command(&["blame", "work/f.txt"]).output().unwrap().stdout).unwrap();
    assert!(shown.contains("not recorded yet") && shown.contains("20 mine"), "{shown}");
    for (path, by) in [("work/f.txt", "since the last look"), ("work/still.txt", "since the last look")] {
        fs::remove_file(world.root().join(path)).unwrap();
        let refused = world.refused(&["blame", path], 3, "PATH_NOT_FOUND");
        assert!(refused.json["error"]["message"].as_str().unwrap().contains(by), "{refused:?}");
    }
    world.work("b", || ());
    world.put("work/f.txt", "back\n");
    world.work("b", || fs::remove_file(world.root().join("work/f.txt")).unwrap());
    let refused = world.refused(&["blame", "work/f.txt"], 3, "PATH_NOT_FOUND");
    assert!(refused.json["error"]["message"].as_str().unwrap().contains("was removed by b (chg_"), "{refused:?}");
}

#[test]
fn what_a_recovery_did_in_the_middle_of_a_change_is_not_the_agents_work() {
    let world = World::with_lines();
    world.work("a", || world.put("work/f.txt", &numbered(&[(3, "by a")])));
    let token = world.begin("b", &[]);
    world.put("work/f.txt", &numbered(&[(3, "by a"), (13, "by b")]));
    world.ok(&["rollback", "wf", "--agent", "a", "--yes"]);
    world.put("work/f.txt", &numbered(&[(13, "by b"), (23, "by b too")]));
    world.end(&token);
    let log = world.ok(&["log", "wf", "--agent", "b", "--patch"]);
    let paths = log.result("changes")[0]["paths"].as_array().unwrap();
    let patch = paths[0]["patch"].as_str().unwrap();
    assert_eq!(paths.len(), 1);
    assert!(patch.contains("+by b\n") && patch.contains("+by b too\n"), "{patch}");
    assert!(!patch.contains("-by a") && !patch.contains("+line 3\n"), "{patch}");
}

fn mv(world: &World, from: &str, to: &str) {
    fs::rename(world.root().join(from), world.root().join(to)).unwrap();
}

#[test]
fn a_file_that_moved_is_shown_with_what_was_done_to_it_under_other_names() {
    let world = World::with_lines();
    world.work("a", || world.put("work/f.txt", &numbered(&[(3, "by a")])));
    world.work("b", || mv(&world, "work/f.txt", "work/g.txt"));
    world.work("c", || world.put("work/g.txt", &numbered(&[(3, "by a"), (20, "by c")])));
    world.work("d", || world.put("work/f.txt", "quite another file\n"));
    let all = [(1, "before"), (3, "a"), (4, "before"), (20, "c"), (21, "before")].map(|(at, who)| (at, who.to_owned()));
    assert_eq!(blamed_at(&world, "work/g.txt"), all);
    assert_eq!(blamed(&world), [(1, "d".to_owned())]);
    let agents = |call: &[&str]| {
        let changes = world.ok(call).result("changes").as_array().unwrap().clone();
        let line = |one: &serde_json::Value| {
            format!("{}: {}", one["agent_id"].as_str().unwrap_or("-"), crate::work::paths(&one["paths"]).join(" "))
        };
        changes.iter().map(line).collect::<Vec<_>>()
    };
    let followed = ["c: work/g.txt", "b: work/f.txt work/g.txt", "a: work/f.txt"];
    assert_eq!(agents(&["who", "work/g.txt"]), followed);
    assert_eq!(agents(&["log", "--path", "work/g.txt"]), followed);
    // Through a recovery and its undo as well.
    fs::remove_file(world.root().join("work/f.txt")).unwrap();
    world.ok(&["rollback", "wf", "--agent", "b", "--yes"]);
    assert_eq!(blamed(&world), all);
    world.ok(&["undo", "--yes"]);
    assert_eq!(blamed_at(&world, "work/g.txt"), all);
}

#[test]
fn lines_that_somebody_took_away_and_put_back_are_whose_they_were() {
    let world = World::with_lines();
    let with_a = numbered(&[(3, "by a")]);
    world.work("a", || world.put("work/f.txt", &with_a));
    let of_a = [(1, "before"), (3, "a"), (4, "before")].map(|(at, who)| (at, who.to_owned()));
    // A stash, an edit, and the stash popped, each seen.
    for text in [numbered(&[]), numbered(&[(15, "mine")]), numbered(&[(3, "by a"), (15, "mine")])] {
        world.put("work/f.txt", &text);
        world.checkpoint(&format!("stash_{}", text.len() + text.matches("a").count()));
    }
    let all = [(1, "before"), (3, "a"), (4, "before"), (15, "user"), (16, "before")];
    assert_eq!(blamed(&world), all.map(|(at, who)| (at, who.to_owned())));
    // A branch that does not have the file, and back.
    let world = World::with_lines();
    world.work("a", || world.put("work/f.txt", &with_a));
    fs::remove_file(world.root().join("work/f.txt")).unwrap();
    world.checkpoint("elsewhere");
    world.put("work/f.txt", &with_a);
    world.checkpoint("back");
    assert_eq!(blamed(&world), of_a);
}

/// Who made each change that is not empty, newest first, with the paths.
fn told(world: &World) -> Vec<String> {
    let changes = world.ok(&["log"]).result("changes").as_array().unwrap().clone();
    let line = |one: &serde_json::Value| {
        let who = one["agent_id"].as_str().or(one["actor"].as_str()).unwrap();
        format!("{who}: {}", crate::work::paths(&one["paths"]).join(" "))
    };
    changes.iter().filter(|one| !one["paths"].as_array().unwrap().is_empty()).map(line).collect()
}

#[test]
fn what_is_done_in_a_part_is_that_parts_and_goes_with_the_whole() {
    let world = World::with_lines();
    let whole = world.begin("o", &[]);
    world.put("work/o1", "o");
    let part = world.begin("a", &["--parent", &whole]);
    world.put("work/a1", "a");
    let inner = world.begin("b", &["--parent", &part]);
    world.put("work/b1", "b");
    world.end(&inner);
    world.put("work/a2", "a");
    world.end(&part);
    world.put("work/o2", "o");
    // Without the word the same is shared, and nobody's.
    let other = world.begin("c", &[]);
    world.put("work/shared", "?");
    world.end(&other);
    world.end(&whole);
    let by = told(&world);
    assert!(by.iter().all(|line| line.starts_with("shared") == line.contains("work/shared")), "{by:?}");
    let of = |agent: &str| {
        let lines = by.iter().rev().filter_map(|line| line.strip_prefix(&format!("{agent}: ")));
        lines.flat_map(str::split_whitespace).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(
        (of("o"), of("a"), of("b")),
        (
            vec!["work/o1".to_owned(), "work/o2".to_owned()],
            vec!["work/a1".to_owned(), "work/a2".to_owned()],
            vec!["work/b1".to_owned()],
        )
    );
    let full = world.timeless();
    let there =
        || ["o1", "o2", "a1", "a2", "b1", "shared"].into_iter().filter(|name| world.has(&format!("work/{name}")));
    let left = |call: &[&str]| {
        world.ok(&[&["rollback", "wf"], call, &["--yes"]].concat());
        let left = there().collect::<Vec<_>>().join(" ");
        world.ok(&["undo", "--yes"]);
        assert_eq!(world.timeless().differences(&full), [""; 0]);
        left
    };
    // An agent is what it did itself; a change is that with its parts.
    assert_eq!(left(&["--agent", "a"]), "o1 o2 b1 shared");
    assert_eq!(left(&["--agent", "o"]), "a1 a2 b1 shared");
    assert_eq!(left(&["--change", &inner]), "o1 o2 a1 a2 shared");
    assert_eq!(left(&["--change", &part]), "o1 o2 shared");
    assert_eq!(left(&["--change", &whole]), "shared");
    let begin = |parent: &str| ["change", "begin", "--agent", "z", "--parent", parent].map(str::to_owned);
    world.refused(&begin(&whole), 3, "CHANGE_NOT_FOUND");
    world.refused(&begin("chg_01J00000000000000000000000"), 3, "CHANGE_NOT_FOUND");
}

#[test]
fn shared_lines_are_one_of_those_who_may_have_written_them() {
    let world = World::with_lines();
    let (a, b) = (world.begin("a", &[]), world.begin("b", &[]));
    world.put("work/f.txt", &numbered(&[(3, "by one of them")]));
    world.end(&a);
    world.end(&b);
    let blame = world.ok(&["blame", "work/f.txt"]);
    let log = world.ok(&["log", "--actor", "shared"]);
    let candidates = &blame.result("lines")[1]["candidates"];
    assert_eq!(candidates, &log.result("changes")[0]["candidates"]);
    assert_eq!(candidates.as_array().unwrap().len(), 2, "{blame:?}");
    assert!(blame.result("lines")[0]["candidates"].as_array().unwrap().is_empty());
    let shown = String::from_utf8(world.command(&["blame", "work/f.txt"]).output().unwrap().stdout).unwrap();
    let line = shown.lines().find(|line| line.contains("by one of them")).unwrap();
    assert!(line.contains("one of a, b "), "{line}");
}
