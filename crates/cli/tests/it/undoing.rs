//! The undo of a rollback: what comes back is merged with what was done since.

use std::fs;

use crate::work::{numbered, paths};
use crate::world::World;

/// Of `a` in a file and beside it, rolled back.
fn rolled_back() -> World {
    let world = World::with_lines();
    world.work("a", || {
        world.put("work/f.txt", &numbered(&[(3, "by a")]));
        world.put("work/of_a.txt", "a");
    });
    world.ok(&["rollback", "wf", "--agent", "a", "--yes"]);
    world
}

#[test]
fn an_edit_elsewhere_in_the_file_stays_beside_what_comes_back() {
    let world = rolled_back();
    world.put("work/f.txt", &numbered(&[(20, "by me")]));
    let before = world.timeless();
    let planned = world.ok(&["undo", "--plan"]);
    assert_eq!(paths(&planned.result("plan")["steps"]), ["work/f.txt", "work/of_a.txt"]);
    assert_eq!(world.timeless().differences(&before), [""; 0], "a plan writes nothing");
    let digest = planned.result("plan")["digest"].as_str().unwrap().to_owned();
    world.put("work/f.txt", &numbered(&[(20, "by me, again")]));
    world.refused(&["undo", "--apply", &digest], 5, "STALE_PLAN");
    world.put("work/f.txt", &numbered(&[(20, "by me")]));
    world.ok(&["undo", "--apply", &digest]);
    assert_eq!(world.text("work/f.txt"), numbered(&[(3, "by a"), (20, "by me")]));
    assert!(world.has("work/of_a.txt"));
    // Its own undo is the identity, and one more again.
    let both = world.timeless();
    world.ok(&["undo", "--yes"]);
    assert_eq!(world.timeless().differences(&before), [""; 0]);
    world.ok(&["undo", "--yes"]);
    assert_eq!(world.timeless().differences(&both), [""; 0]);
    world.ok(&["rollback", "wf", "--agent", "a", "--yes"]);
    assert_eq!(world.timeless().differences(&before), [""; 0], "the work that came back can go again");
}

#[test]
fn an_edit_of_the_same_lines_is_a_conflict_and_nothing_is_lost() {
    let world = rolled_back();
    world.put("work/f.txt", &numbered(&[(3, "by me")]));
    let before = world.timeless();
    let planned = world.ok(&["undo", "--plan"]);
    let conflict = &planned.result("conflicts")[0];
    let message = conflict["message"].as_str().unwrap();
    assert!(message.contains("(a, the user)"), "{message}");
    let refused = world.refused(&["undo", "--yes"], 5, "CONFLICTS");
    let conflict = &refused.json["result"]["plan"]["conflicts"][0];
    assert_eq!((conflict["path"].as_str(), conflict["code"].as_str()), (Some("work/f.txt"), Some("WORK_CONFLICT")));
    let message = conflict["message"].as_str().unwrap();
    assert!(message.contains("a, the user"), "{message}");
    assert!(conflict["text"].as_str().unwrap().contains("<<<<<<<"), "{conflict}");
    assert!(refused.json.to_string().contains("--partial"), "{refused:?}");
    assert_eq!(world.timeless().differences(&before), [""; 0]);
    // The rest comes back, and the path that stays is named.
    let done = world.ok(&["undo", "--yes", "--partial"]);
    assert_eq!(paths(done.result("kept")), ["work/f.txt"]);
    assert_eq!((world.text("work/f.txt"), world.has("work/of_a.txt")), (numbered(&[(3, "by me")]), true));
    let log = world.ok(&["log", "wf", "--agent", "a"]);
    let cancelled: Vec<(&str, bool)> = log.result("changes")[0]["paths"]
        .as_array()
        .unwrap()
        .iter()
        .map(|path| (path["path"].as_str().unwrap(), path["cancelled"] == true))
        .collect();
    assert_eq!(cancelled, [("work/f.txt", true), ("work/of_a.txt", false)]);
    world.ok(&["undo", "--yes"]);
    assert_eq!(world.timeless().differences(&before), [""; 0]);
}

#[test]
fn what_was_decided_by_hand_goes_with_its_rollback() {
    for decided in ["--resolve", "--ours", "--theirs"] {
        let world = World::with_lines();
        world.work("a", || {
            world.put("work/f.txt", &numbered(&[(3, "by a")]));
            world.put("work/of_a.txt", "a");
        });
        world.work("b", || world.put("work/f.txt", &numbered(&[(3, "by a and b"), (11, "by b")])));
        let full = world.timeless();
        let by_hand = world.data.path().join("by_hand");
        fs::write(&by_hand, numbered(&[(3, "by hand"), (11, "by b")])).unwrap();
        let value = match decided {
            "--resolve" => format!("work/f.txt={}", by_hand.display()),
            _ => "work/f.txt".to_owned(),
        };
        world.ok(&["rollback", "wf", "--agent", "a", "--yes", decided, &value]);
        // An edit behind the decision is kept by the undo, the decision is not.
        let decision = world.text("work/f.txt");
        world.put("work/f.txt", &decision.replace("line 25\n", "by me\n"));
        world.ok(&["undo", "--yes"]);
        assert_eq!(world.text("work/f.txt"), numbered(&[(3, "by a and b"), (11, "by b"), (25, "by me")]), "{decided}");
        assert!(world.has("work/of_a.txt"));
        world.put("work/f.txt", &numbered(&[(3, "by a and b"), (11, "by b")]));
        assert_eq!(world.timeless().differences(&full), [""; 0], "{decided}");
        // Later plans know that the decision does not count any more.
        world.ok(&["rollback", "wf", "--agent", "b", "--yes"]);
        assert_eq!(world.text("work/f.txt"), numbered(&[(3, "by a")]), "{decided}");
    }
}

#[test]
fn a_later_rollback_that_had_nothing_to_do_counts() {
    let world = World::with_lines();
    world.work("a", || world.put("work/f.txt", &numbered(&[(3, "by a")])));
    world.work("b", || world.put("work/f.txt", &numbered(&[(3, "by a"), (11, "by b")])));
    let first = world.ok(&["rollback", "wf", "--agent", "a", "--theirs", "work/f.txt", "--yes"]);
    assert_eq!(world.text("work/f.txt"), numbered(&[]), "the decision took the work of `b`, too");
    world.ok(&["rollback", "wf", "--agent", "b", "--yes"]);
    assert_eq!(world.text("work/f.txt"), numbered(&[]));
    world.ok(&["undo", first.result("recovery_id").as_str().unwrap(), "--yes"]);
    assert_eq!(world.text("work/f.txt"), numbered(&[(3, "by a")]), "what `b` did stays taken back");
}

#[test]
fn a_sealed_store_merges_as_well() {
    let mut world = World::unprotected(wfr_testkit::TestTree::of_every_kind());
    let key = world.data.path().join("pass");
    fs::write(&key, "a long passphrase\n").unwrap();
    world.variables.push(("WFR_PASSPHRASE_FILE", key));
    world.ok(&["init", "--encrypt", "--keep-unlocked"]);
    world.put("work/f.txt", &numbered(&[]));
    world.checkpoint("base");
    world.work("a", || world.put("work/f.txt", &numbered(&[(3, "by a")])));
    world.checkpoint("then");
    world.ok(&["rollback", "wf", "--agent", "a", "--yes"]);
    world.put("work/f.txt", &numbered(&[(20, "by me")]));
    world.ok(&["undo", "--yes"]);
    assert_eq!(world.text("work/f.txt"), numbered(&[(3, "by a"), (20, "by me")]));
    world.ok(&["restore", "wf", "base", "--yes"]);
    world.put("work/f.txt", &numbered(&[(29, "by me")]));
    world.ok(&["restore", "wf", "then", "--restoration-mode", "merge", "--yes"]);
    assert_eq!(world.text("work/f.txt"), numbered(&[(3, "by a"), (29, "by me")]));
    world.ok(&["doctor"]);
}

#[test]
fn names_that_a_recovery_separated_are_one_file_again() {
    let world = World::with_lines();
    let (one, other) = (world.root().join("work/one"), world.root().join("work/other"));
    world.put("work/one", "same");
    fs::hard_link(&one, &other).unwrap();
    world.checkpoint("joined");
    fs::remove_file(&one).unwrap();
    world.put("work/one", "by me");
    world.checkpoint("apart");
    world.ok(&["restore", "wf", "joined", "--yes"]);
    let joined = world.timeless();
    world.ok(&["restore", "wf", "apart", "--restoration-mode", "merge", "--yes"]);
    assert_eq!((world.text("work/one"), world.text("work/other")), ("by me".to_owned(), "same".to_owned()));
    world.ok(&["undo", "--yes"]);
    assert_eq!(world.timeless().differences(&joined), [""; 0]);
}

#[test]
fn an_undo_lifts_its_own_rollback_alone() {
    let world = World::with_lines();
    world.work("a", || world.put("work/f.txt", &numbered(&[(3, "by a")])));
    world.work("b", || world.put("work/f.txt", &numbered(&[(3, "by a"), (11, "by b")])));
    let back = |agent: &str| {
        let done = world.ok(&["rollback", "wf", "--agent", agent, "--yes"]);
        done.result("recovery_id").as_str().unwrap().to_owned()
    };
    let (of_a, of_b) = (back("a"), back("b"));
    assert_eq!(world.text("work/f.txt"), numbered(&[]));
    // Out of order: what the other rollback took back stays so.
    world.ok(&["undo", &of_a, "--yes"]);
    assert_eq!(world.text("work/f.txt"), numbered(&[(3, "by a")]));
    // Taken back twice, by two recoveries: as long as one of them stands, it is.
    let again = back("a");
    world.put("work/f.txt", &numbered(&[(29, "by me")]));
    world.work("c", || world.put("work/of_c.txt", "c"));
    let third = world.ok(&["rollback", "wf", "--rollback-scope", "full", "--yes"]);
    assert_eq!(third.result("rolled_back"), 1, "`b` and `a` are taken back already");
    let third = third.result("recovery_id").as_str().unwrap().to_owned();
    world.ok(&["undo", &again, "--yes"]);
    assert_eq!(world.text("work/f.txt"), numbered(&[(29, "by me")]));
    world.ok(&["undo", &third, "--yes"]);
    assert_eq!(world.text("work/f.txt"), numbered(&[(3, "by a"), (29, "by me")]));
    world.ok(&["undo", &of_b, "--yes"]);
    assert_eq!(world.text("work/f.txt"), numbered(&[(3, "by a"), (11, "by b"), (29, "by me")]));
}

#[test]
fn what_is_taken_back_already_is_not_taken_back_again() {
    let world = World::with_lines();
    let call = ["rollback", "wf", "--agent", "a", "--yes"];
    world.ok(&["event", r#"TASK_STARTED:wf:1:{"task_id":"a","agent_id":"a"}"#]);
    world.work("a", || world.put("work/f.txt", &numbered(&[(3, "by a")])));
    world.ok(&["event", r#"TASK_COMPLETED:wf:1:{"task_id":"a","agent_id":"a"}"#]);
    let full = world.timeless();
    let first = world.ok(&call);
    let id = first.result("recovery_id").as_str().unwrap();
    world.ok(&["event", r#"TASK_COMPLETED:wf:1:{"task_id":"a","agent_id":"a"}"#]);
    let done = |world: &World| {
        let state = world.ok(&["get-state", "wf"]);
        state.result("workflow_state")["completed_tasks"].as_u64().unwrap()
    };
    assert_eq!(done(&world), 1);
    for more in [&[][..], &["--plan"], &["--partial"], &["--ours", "work/f.txt"], &["--dependents", "cascade"]] {
        let again = world.ok(&[&call[..], more].concat());
        assert!(again.result("recovery_id").is_null(), "{again:?}");
        let told = again.json.to_string();
        assert!(told.contains("TAKEN_BACK_ALREADY") && told.contains(id), "{told}");
        assert_eq!((again.result("rolled_back"), done(&world)), (&0.into(), 1), "the task stays as it is");
    }
    let by_step = world.ok(&call).json["next_steps"].to_string();
    assert!(by_step.contains("nothing is to be done") && by_step.contains(id), "{by_step}");
    assert_eq!(world.ok(&["recoveries"]).result("recoveries").as_array().unwrap().len(), 1);
    assert_eq!(world.names().len(), 2, "nothing was saved in vain");
    world.ok(&["undo", "--yes"]);
    assert_eq!(world.timeless().differences(&full), [""; 0]);
    // What was done since is taken back alone, and counted alone.
    world.ok(&call);
    world.work("a", || world.put("work/more.txt", "a"));
    assert_eq!(world.ok(&call).result("rolled_back"), 1);
    assert_eq!((world.has("work/more.txt"), world.text("work/f.txt")), (false, numbered(&[])));
}

#[test]
fn after_a_rebuild_what_was_undone_before_stays_so() {
    let world = World::with_lines();
    world.work("a", || world.put("work/f.txt", &numbered(&[(3, "by a")])));
    world.work("b", || world.put("work/f.txt", &numbered(&[(3, "by a"), (11, "by b")])));
    for agent in ["a", "b"] {
        world.ok(&["rollback", "wf", "--agent", agent, "--yes"]);
        if agent == "a" {
            world.ok(&["undo", "--yes"]);
        }
    }
    world.checkpoint("last");
    for file in fs::read_dir(world.vault()).unwrap().map(Result::unwrap) {
        if file.file_name().to_string_lossy().starts_with("catalog.db") {
            fs::remove_file(file.path()).unwrap();
        }
    }
    world.ok(&["doctor", "--rebuild-catalog"]);
    world.ok(&["rollback", "wf", "--agent", "a", "--yes"]);
    world.put("work/f.txt", &numbered(&[(20, "by me")]));
    world.ok(&["undo", "--yes"]);
    assert_eq!(world.text("work/f.txt"), numbered(&[(3, "by a"), (20, "by me")]), "`b` stays taken back");
}

#[test]
fn an_undo_that_left_all_alone_undid_nothing() {
    let world = World::new();
    world.tree.write("own.txt", b"one");
    world.checkpoint("base");
    world.tree.write("own.txt", b"two");
    let restored = world.ok(&["restore", "wf", "base", "--yes"]).result("recovery_id").clone();
    world.tree.write("own.txt", b"mine");
    for _ in 0..2 {
        let undone = world.ok(&["undo", "--yes"]);
        assert_eq!(paths(undone.result("kept")), ["own.txt"]);
        let told = undone.json["next_steps"].to_string();
        assert!(told.contains(&format!("{} is not undone", restored.as_str().unwrap())), "{told}");
        assert!(undone.result("undone").is_null(), "{undone:?}");
        let shown = String::from_utf8(world.command(&["undo", "--yes"]).output().unwrap().stdout).unwrap();
        assert!(shown.starts_with("Undid nothing") && !shown.contains("Undid rec_"), "{shown}");
        assert_eq!(world.tree.read("own.txt"), b"mine");
    }
    // Where the edit is gone again there is something to undo.
    world.tree.write("own.txt", b"one");
    let undone = world.ok(&["undo", "--yes"]);
    assert!(!undone.json["next_steps"].to_string().contains("is not undone"), "{undone:?}");
    assert_eq!(world.tree.read("own.txt"), b"two");
    world.ok(&["undo", "--yes"]);
    assert_eq!(world.tree.read("own.txt"), b"one");
    // What the hint names.
    world.tree.write("own.txt", b"mine");
    let told = world.ok(&["undo", "--yes"]).json["next_steps"].to_string();
    let at = told.find("wfr restore wf ").unwrap() + "wfr restore wf ".len();
    let name = told[at..].split('`').next().unwrap();
    world.ok(&["restore", "wf", name, "--yes"]);
    assert_eq!(world.tree.read("own.txt"), b"two");
}
