//! The ledger and rollbacks: whose work it was, and that alone taken back.

use std::fs;

use crate::work::{numbered, paths};
use crate::world::World;

#[test]
fn one_agents_work_goes_and_everybody_elses_stays() {
    let world = World::with_lines();
    let before = world.timeless();
    let a = world.work("a", || {
        world.put("work/f.txt", &numbered(&[(3, "by a"), (20, "by a, too")]));
        world.put("work/new/of_a.txt", "a");
        fs::remove_file(world.root().join("work/f.txt.none")).unwrap_err();
    });
    assert_eq!(paths(&a["paths"]), ["work/f.txt", "work/new", "work/new/of_a.txt"]);
    world.work("b", || {
        world.put("work/f.txt", &numbered(&[(3, "by a"), (11, "by b"), (20, "by a, too")]));
        world.put("work/of_b.txt", "b");
    });
    // The user edits, too, and tells nobody.
    world.put("work/f.txt", &numbered(&[(3, "by a"), (11, "by b"), (20, "by a, too"), (29, "by me")]));
    world.put("work/new/mine.txt", "mine");
    let planned = world.ok(&["rollback", "wf", "--agent", "a", "--plan"]);
    assert_eq!(world.text("work/f.txt"), numbered(&[(3, "by a"), (11, "by b"), (20, "by a, too"), (29, "by me")]));
    let plan = planned.result("plan");
    assert_eq!(paths(&plan["steps"]), ["work/f.txt", "work/new/of_a.txt"]);
    assert!(plan["blast_radius"].to_string().contains("b wrote in work/f.txt"), "{plan}");
    let digest = plan["digest"].as_str().unwrap().to_owned();
    world.refused(&["rollback", "wf", "--agent", "a"], 8, "CONSENT_NEEDED");
    // What happens elsewhere makes no plan stale.
    world.put("elsewhere.txt", "1");
    world.checkpoint("between");
    let full = world.timeless();
    let done = world.ok(&["rollback", "wf", "--agent", "a", "--apply", &digest]);
    assert_eq!(done.result("rolled_back"), 1);
    assert_eq!(world.text("work/f.txt"), numbered(&[(11, "by b"), (29, "by me")]));
    assert!(!world.has("work/new/of_a.txt") && world.has("work/new/mine.txt") && world.has("work/of_b.txt"));
    let without_a = world.timeless();
    world.ok(&["undo", "--yes"]);
    assert_eq!(world.timeless().differences(&full), [""; 0]);
    world.ok(&["undo", "--yes"]);
    assert_eq!(world.timeless().differences(&without_a), [""; 0]);
    // In the other order the same is left.
    world.ok(&["rollback", "wf", "--agent", "b", "--yes"]);
    assert_eq!(world.text("work/f.txt"), numbered(&[(29, "by me")]));
    fs::remove_file(world.root().join("elsewhere.txt")).unwrap();
    fs::remove_file(world.root().join("work/new/mine.txt")).unwrap();
    fs::remove_dir(world.root().join("work/new")).unwrap();
    world.put("work/f.txt", &numbered(&[]));
    assert_eq!(world.timeless().differences(&before), [""; 0]);
    let nothing = world.ok(&["rollback", "wf", "--agent", "a", "--yes"]);
    assert!(nothing.result("changed").as_array().unwrap().is_empty());
}

#[test]
fn work_on_a_rollback_is_kept_by_later_ones() {
    let world = World::with_lines();
    world.work("a", || world.put("work/f.txt", &numbered(&[(3, "by a")])));
    world.work("b", || world.put("work/f.txt", &numbered(&[(3, "by a"), (11, "by b")])));
    world.ok(&["rollback", "wf", "--agent", "a", "--yes"]);
    world.work("c", || world.put("work/f.txt", &numbered(&[(3, "by c"), (11, "by b")])));
    world.ok(&["rollback", "wf", "--agent", "b", "--yes"]);
    assert_eq!(world.text("work/f.txt"), numbered(&[(3, "by c")]));
    world.ok(&["rollback", "wf", "--agent", "c", "--yes"]);
    assert_eq!(world.text("work/f.txt"), numbered(&[]));
    let log = world.ok(&["log", "wf", "--agent", "a"]);
    assert_eq!(log.result("changes")[0]["paths"][0]["cancelled"], true);
}

#[test]
fn what_overlaps_is_shared_and_never_guessed() {
    let world = World::with_lines();
    let (a, b) = (world.begin("a", &[]), world.begin("b", &[]));
    world.put("work/f.txt", &numbered(&[(3, "by somebody")]));
    let found = world.end(&a);
    assert_eq!((paths(&found["paths"]).len(), found["others"][0]["actor"].as_str()), (0, Some("shared")));
    world.put("work/of_b.txt", "b alone is at work now");
    assert_eq!(paths(&world.end(&b)["paths"]), ["work/of_b.txt"]);
    let refused = world.refused(&["rollback", "wf", "--agent", "a", "--yes"], 3, "NOTHING_SELECTED");
    assert!(
        refused.json["error"]["message"].as_str().unwrap().contains("a and b worked at the same time")
            || refused.json["error"]["message"].as_str().unwrap().contains("b and a worked at the same time"),
        "{refused:?}"
    );
    assert_eq!(world.text("work/f.txt"), numbered(&[(3, "by somebody")]));
    // Of b only what is surely its own goes, and the plan says what else may be.
    let planned = world.ok(&["rollback", "wf", "--agent", "b", "--plan"]);
    assert_eq!(paths(&planned.result("plan")["steps"]), ["work/of_b.txt"]);
    let finding = &planned.result("plan")["findings"][0];
    assert_eq!(finding["code"], "SHARED_CHANGE");
    let log = world.ok(&["log", "--actor", "shared"]);
    let shared = &log.result("changes")[0];
    assert_eq!(shared["candidates"].as_array().unwrap().len(), 2);
    world.ok(&["rollback", "wf", "--change", shared["change_id"].as_str().unwrap(), "--yes"]);
    assert_eq!(world.text("work/f.txt"), numbered(&[]));
    assert!(world.has("work/of_b.txt"));
}

#[test]
fn declared_paths_and_parts_tell_overlapping_work_apart() {
    let world = World::with_lines();
    let a = world.begin("a", &["--paths", "work/a"]);
    let b = world.begin("b", &["--paths", "work/b"]);
    world.put("work/a/x", "a");
    world.put("work/b/x", "b");
    world.put("work/nobodys", "?");
    let tool = world.begin("a", &["--tool-call", "t7", "--paths", "work/a"]);
    world.put("work/a/y", "by the tool");
    assert_eq!(paths(&world.end(&tool)["paths"]), ["work/a/y"]);
    assert_eq!(paths(&world.end(&a)["paths"]), ["work/a", "work/a/x"]);
    assert_eq!(paths(&world.end(&b)["paths"]), ["work/b", "work/b/x"]);
    let unknown = world.ok(&["log", "--actor", "unknown"]);
    assert_eq!(paths(&unknown.result("changes")[0]["paths"]), ["work/nobodys"]);
    world.put("work/a/z", "written before it was said");
    world.put("work/a/zz", "and this, too: a shell makes several words of a pattern");
    let recorded =
        world.ok(&["change", "record", "--workflow", "wf", "--agent", "a", "--paths", "work/a/z", "work/a/zz"]);
    assert_eq!(paths(recorded.result("paths")), ["work/a/z", "work/a/zz"]);
    world.ok(&["rollback", "wf", "--agent", "a", "--yes"]);
    assert!(!world.has("work/a") && world.has("work/b/x") && world.has("work/nobodys"));
}

#[test]
fn what_cannot_be_separated_is_shown_and_decided() {
    let world = World::with_lines();
    world.work("a", || {
        world.put("work/f.txt", &numbered(&[(3, "by a")]));
        world.put("work/clean.txt", "a");
    });
    world.work("b", || world.put("work/f.txt", &numbered(&[(3, "by a and b")])));
    let full = world.timeless();
    let refused = world.refused(&["rollback", "wf", "--agent", "a", "--yes"], 5, "CONFLICTS");
    let conflict = &refused.json["error"]["details"];
    assert!(!conflict.is_null());
    assert_eq!(world.timeless().differences(&full), [""; 0], "nothing is done");
    let planned = world.ok(&["rollback", "wf", "--agent", "a", "--plan"]);
    let conflict = &planned.result("conflicts")[0];
    assert_eq!((conflict["path"].as_str(), conflict["changes"].as_array().unwrap().len()), (Some("work/f.txt"), 2));
    assert!(conflict["text"].as_str().unwrap().contains("<<<<<<<"), "{conflict}");
    let checkpoints = world.names().len();
    assert_eq!(checkpoints, 1, "a refused one leaves no safety checkpoint");
    let done = world.ok(&["rollback", "wf", "--agent", "a", "--yes", "--partial"]);
    assert!(
        done.result("findings")[0]["message"].as_str().unwrap().contains("`work/f.txt` stays as it is"),
        "{done:?}"
    );
    assert_eq!(world.text("work/f.txt"), numbered(&[(3, "by a and b")]));
    assert!(!world.has("work/clean.txt"));
    world.ok(&["undo", "--yes"]);
    assert_eq!(world.timeless().differences(&full), [""; 0]);
    world.ok(&["rollback", "wf", "--agent", "a", "--yes", "--ours", "work/f.txt"]);
    assert_eq!(world.text("work/f.txt"), numbered(&[(3, "by a and b")]));
    world.ok(&["undo", "--yes"]);
    world.ok(&["rollback", "wf", "--agent", "a", "--yes", "--theirs", "work/f.txt"]);
    assert_eq!(world.text("work/f.txt"), numbered(&[]));
    world.ok(&["undo", "--yes"]);
    let by_hand = world.data.path().join("by_hand");
    fs::write(&by_hand, numbered(&[(3, "by b alone")])).unwrap();
    let resolve = format!("work/f.txt={}", by_hand.display());
    world.ok(&["rollback", "wf", "--agent", "a", "--yes", "--resolve", &resolve]);
    assert_eq!(world.text("work/f.txt"), numbered(&[(3, "by b alone")]));
    world.refused(
        &["rollback", "wf", "--agent", "a", "--yes", "--resolve", "work/f.txt=/no/such"],
        3,
        "FILE_NOT_FOUND",
    );
}

#[test]
fn later_work_can_stop_it_or_go_with_it() {
    let world = World::with_lines();
    world.work("a", || world.put("work/f.txt", &numbered(&[(3, "by a")])));
    world.work("b", || {
        world.put("work/f.txt", &numbered(&[(3, "by a and b")]));
        world.put("work/of_b.txt", "b");
    });
    let full = world.timeless();
    world.refused(&["rollback", "wf", "--agent", "a", "--yes", "--dependents", "stop"], 5, "OTHERS_ACTIVE");
    assert_eq!(world.timeless().differences(&full), [""; 0]);
    world.ok(&["rollback", "wf", "--agent", "a", "--yes", "--dependents", "cascade"]);
    assert_eq!(world.text("work/f.txt"), numbered(&[]));
    assert!(!world.has("work/of_b.txt"), "all of a change goes");
    world.ok(&["undo", "--yes"]);
    assert_eq!(world.timeless().differences(&full), [""; 0]);
}

#[test]
fn selections_narrow_and_wrong_ones_are_told() {
    let world = World::with_lines();
    world.refused(&["rollback", "wf", "--agent", "a", "--yes"], 3, "NOTHING_SELECTED");
    world.work("a", || {
        world.put("work/one/x", "a");
        world.put("work/two/x", "a");
    });
    world.checkpoint("middle");
    world.work("a", || world.put("work/two/y", "a"));
    world.refused(&["rollback", "wf", "--yes"], 2, "WRONG_ARGUMENTS");
    world.refused(&["rollback", "nosuch", "--agent", "a", "--yes"], 3, "WORKFLOW_NOT_FOUND");
    let near = world.refused(&["rollback", "wf", "--agent", "nobody", "--yes"], 3, "NOTHING_SELECTED");
    assert!(
        near.json["recovery_options"].to_string().contains("a")
            || near.json.to_string().contains("agents with changes")
    );
    let open = world.begin("z", &[]);
    world.refused(&["rollback", "wf", "--agent", "z", "--yes"], 5, "CHANGE_OPEN");
    world.end(&open);
    world.refused(&["change", "end", &open], 3, "CHANGE_NOT_FOUND");
    world.refused(&["change", "end"], 2, "WRONG_ARGUMENTS");
    world.refused(&["change", "record", "--agent", "a"], 2, "WRONG_ARGUMENTS");
    world.refused(&["change", "begin", "--paths", "../x"], 2, "INVALID_PARAMETER");
    world.ok(&["rollback", "wf", "middle", "--agent", "a", "--yes"]);
    assert!(world.has("work/two/x") && !world.has("work/two/y"));
    world.ok(&["rollback", "wf", "--agent", "a", "--file", "work/one", "--yes"]);
    assert!(world.has("work/two/x") && !world.has("work/one"));
    world.ok(&["rollback", "wf", "--task", "a", "--yes"]);
    assert!(!world.has("work/two"));
}

#[test]
fn everything_since_a_checkpoint_is_the_checkpoint() {
    let world = World::with_lines();
    let before = world.timeless();
    world.work("a", || {
        world.put("work/f.txt", &numbered(&[(3, "by a")]));
        fs::remove_file(world.root().join("work/f.txt")).unwrap();
        fs::create_dir(world.root().join("work/f.txt")).unwrap();
        world.put("work/f.txt/inner", "x");
    });
    world.work("b", || {
        fs::remove_dir_all(world.root().join("work/f.txt")).unwrap();
        std::os::unix::fs::symlink("elsewhere", world.root().join("work/f.txt")).unwrap();
        world.put("work/deep/er/x", "b");
    });
    world.ok(&["rollback", "wf", "--rollback-scope", "full", "--yes"]);
    assert_eq!(world.timeless().differences(&before), [""; 0]);
}

#[test]
fn a_sealed_store_keeps_its_ledger_to_itself() {
    let mut world = World::unprotected(wfr_testkit::TestTree::of_every_kind());
    let key = world.data.path().join("pass");
    fs::write(&key, "a long passphrase\n").unwrap();
    world.variables.push(("WFR_PASSPHRASE_FILE", key));
    world.ok(&["init", "--encrypt", "--keep-unlocked"]);
    world.checkpoint("base");
    let token = world.begin("a", &["--paths", "work"]);
    world.put("work/SECRETNAME.txt", "a");
    world.end(&token);
    let named = world.begin("c", &["--paths", "work/SECRETDECLARED.txt"]);
    world.end(&named);
    for file in ["catalog.db", "catalog.db-wal"] {
        let bytes = fs::read(world.vault().join(file)).unwrap();
        assert!(!bytes.windows(6).any(|window| window == b"SECRET"), "{file} tells a name");
    }
    world.work("b", || world.put("work/of_b.txt", "b"));
    world.ok(&["rollback", "wf", "--agent", "a", "--yes"]);
    assert!(!world.has("work/SECRETNAME.txt") && world.has("work/of_b.txt"));
    let log = world.ok(&["log", "--agent", "a"]);
    assert_eq!(paths(&log.result("changes")[0]["paths"]), ["work", "work/SECRETNAME.txt"]);
    world.ok(&["doctor"]);
}

#[test]
fn cleanup_keeps_what_the_ledger_needs() {
    let world = World::with_lines();
    world.work("a", || world.put("work/f.txt", &numbered(&[(3, "by a")])));
    world.work("b", || world.put("work/f.txt", &numbered(&[(3, "by a"), (11, "by b")])));
    world.checkpoint("last");
    world.ok(&["cleanup-checkpoints", "wf", "--retention-policy", "last=1", "--preserve-critical=false"]);
    world.ok(&["rollback", "wf", "--agent", "a", "--yes"]);
    assert_eq!(world.text("work/f.txt"), numbered(&[(11, "by b")]));
}

#[test]
fn tasks_of_what_is_taken_back_are_to_be_done_anew() {
    let world = World::with_lines();
    for (agent, task) in [("a", "a"), ("b", "b")] {
        world.ok(&["event", &format!(r#"TASK_STARTED:wf:1:{{"task_id":"{task}","agent_id":"{agent}"}}"#)]);
        world.work(agent, || world.put(&format!("work/of_{agent}.txt"), agent));
        world.ok(&["event", &format!(r#"TASK_COMPLETED:wf:1:{{"task_id":"{task}","agent_id":"{agent}"}}"#)]);
    }
    let status = |name: &str| {
        let state = world.ok(&["get-state", "wf", "--format", "hub"]);
        let tasks = state.result("workflow_state")["phases"][0]["tasks"].as_array().unwrap().clone();
        let task = tasks.iter().find(|task| task["task_id"] == name).unwrap();
        (task["status"].as_str().unwrap().to_owned(), task["attempts"].as_u64())
    };
    assert_eq!(status("a"), ("completed".to_owned(), Some(1)));
    let done = world.ok(&["rollback", "wf", "--agent", "a", "--yes"]);
    assert_eq!(done.result("state_changes")["tasks"], 1);
    assert_eq!((status("a"), status("b").0), (("pending".to_owned(), Some(1)), "completed".to_owned()));
    world.ok(&["undo", "--yes"]);
    assert_eq!(status("a").0, "completed");
    assert!(world.has("work/of_a.txt"));
}

#[test]
fn edits_that_no_command_has_seen_are_the_users_where_these_go_too() {
    for is_seen in [true, false] {
        let world = World::with_lines();
        let before = world.timeless();
        world.work("a", || world.put("work/f.txt", &numbered(&[(10, "by a")])));
        world.put("work/f.txt", &numbered(&[(10, "by a and me"), (20, "by me")]));
        world.put("work/mine.txt", "mine");
        if is_seen {
            world.checkpoint("seen");
        }
        let full = world.timeless();
        world.refused(&["rollback", "wf", "--agent", "a", "--yes"], 5, "CONFLICTS");
        let rules = r#"{"preserve_external_changes":false}"#;
        let call = ["rollback", "wf", "--agent", "a", "--preservation-rules", rules];
        let planned = world.ok(&[&call[..], &["--plan"]].concat());
        assert!(planned.result("conflicts").as_array().unwrap().is_empty(), "{planned:?}");
        assert_eq!(paths(&planned.result("plan")["steps"]), ["work/f.txt", "work/mine.txt"]);
        let digest = planned.result("plan")["digest"].as_str().unwrap();
        world.ok(&[&call[..], &["--apply", digest]].concat());
        assert_eq!(world.timeless().differences(&before), [""; 0]);
        world.ok(&["undo", "--yes"]);
        assert_eq!(world.timeless().differences(&full), [""; 0]);
    }
}

#[test]
fn a_lost_catalog_comes_back_with_whose_work_it_was() {
    let world = World::with_lines();
    world.work("a", || world.put("work/f.txt", &numbered(&[(3, "by a")])));
    world.work("b", || world.put("work/f.txt", &numbered(&[(3, "by a"), (11, "by b")])));
    world.ok(&["rollback", "wf", "--agent", "b", "--yes"]);
    world.put("work/mine.txt", "mine");
    let open = world.begin("c", &[]);
    world.put("work/of_c.txt", "c");
    world.checkpoint("last");
    let before = world.ok(&["log", "--limit", "100"]).json["result"].clone();
    for file in fs::read_dir(world.vault()).unwrap() {
        let file = file.unwrap();
        if file.file_name().to_string_lossy().starts_with("catalog.db") {
            fs::remove_file(file.path()).unwrap();
        }
    }
    world.ok(&["doctor", "--rebuild-catalog"]);
    let after = world.ok(&["log", "--limit", "100"]).json["result"].clone();
    assert_eq!(before, after);
    assert_eq!(paths(&world.end(&open)["paths"]), ["work/of_c.txt"]);
    world.ok(&["rollback", "wf", "--agent", "a", "--yes"]);
    assert_eq!(world.text("work/f.txt"), numbered(&[]));
    assert!(world.has("work/mine.txt") && world.has("work/of_c.txt"));
    world.ok(&["doctor"]);
}

#[test]
fn what_is_preserved_stays_and_conflicts_go_by_their_rule() {
    let world = World::with_lines();
    for (agent, ends) in [("a", true), ("b", false)] {
        world.ok(&["event", &format!(r#"TASK_STARTED:wf:1:{{"task_id":"{agent}","agent_id":"{agent}"}}"#)]);
        world.work(agent, || world.put(&format!("work/of_{agent}.txt"), agent));
        if ends {
            world.ok(&["event", &format!(r#"TASK_COMPLETED:wf:1:{{"task_id":"{agent}","agent_id":"{agent}"}}"#)]);
        }
    }
    let reference = r#"{"rollback_scope":"full","preserve_components":["completed_phases","successful_tasks"],
                        "conflict_resolution":"checkpoint_priority","yes":true}"#;
    world.ok(&["rollback", "wf", reference]);
    assert!(world.has("work/of_a.txt") && !world.has("work/of_b.txt"));
    world.work("c", || world.put("work/f.txt", &numbered(&[(3, "by c")])));
    world.work("d", || world.put("work/f.txt", &numbered(&[(3, "by c and d")])));
    world.ok(&["rollback", "wf", "--agent", "c", "--yes", "--conflict-resolution", "current_priority"]);
    assert_eq!(world.text("work/f.txt"), numbered(&[(3, "by c and d")]));
    world.ok(&["rollback", "wf", "--agent", "c", "--yes", "--conflict-resolution", "checkpoint_priority"]);
    assert_eq!(world.text("work/f.txt"), numbered(&[]));
    world.work("e", || world.put("work/of_e.txt", "e"));
    world.put("work/of_e.txt", "e, and mine");
    world.refused(&["rollback", "wf", "--agent", "e", "--yes"], 5, "CONFLICTS");
    world.ok(&[
        "rollback",
        "wf",
        r#"{"agent":"e","preservation_rules":{"preserve_external_changes":false},"yes":true}"#,
    ]);
    assert!(!world.has("work/of_e.txt"));
    world.ok(&["undo", "--yes"]);
    assert_eq!(world.text("work/of_e.txt"), "e, and mine");
}

#[test]
fn chosen_parts_of_a_checkpoint_come_back_alone() {
    let world = World::with_lines();
    world.ok(&["event", r#"TASK_STARTED:wf:1:{"task_id":"t1","agent_id":"a1"}"#]);
    world.put("work/deep/er/x", "1");
    world.checkpoint("then");
    world.ok(&["event", r#"TASK_COMPLETED:wf:1:{"task_id":"t1","agent_id":"a1"}"#]);
    fs::remove_dir_all(world.root().join("work/deep")).unwrap();
    world.put("work/f.txt", "changed");
    let full = world.timeless();
    let done = |world: &World| {
        let state = world.ok(&["get-state", "wf"]);
        state.result("workflow_state")["completed_tasks"].as_u64().unwrap()
    };
    let reference = r#"{"components":["workflow_state","agent_assignments"],
                        "exclude_components":["file_system","resource_allocations"],
                        "validation_level":"comprehensive","yes":true}"#;
    let ended = world.ok(&["partial-restore", "wf", "then", reference]);
    assert!(!ended.result("components_restored").to_string().contains("file_system"), "{ended:?}");
    assert_eq!((done(&world), world.text("work/f.txt").as_str()), (0, "changed"));
    world.ok(&["undo", "--yes"]);
    assert_eq!(done(&world), 1);
    let planned = world.ok(&["partial-restore", "wf", "then", "--file", "work/deep/er", "--plan"]);
    assert_eq!(paths(&planned.result("plan")["steps"]), ["work/deep", "work/deep/er", "work/deep/er/x"]);
    world.ok(&["partial-restore", "wf", "then", "--file", "work/deep/er", "--yes"]);
    assert_eq!((done(&world), world.text("work/f.txt").as_str()), (1, "changed"));
    assert_eq!(world.text("work/deep/er/x"), "1");
    world.ok(&["undo", "--yes"]);
    assert_eq!(world.timeless().differences(&full), [""; 0]);
    let nothing = r#"{"components":["file_system"],"exclude_components":["file_system"],"yes":true}"#;
    world.refused(&["partial-restore", "wf", "then", nothing], 2, "WRONG_ARGUMENTS");
}

#[test]
fn who_read_what_goes_is_named_and_may_go_too() {
    let world = World::with_lines();
    world.ok(&[
        "initialize",
        "wf",
        r#"{"phases": [{"phase_id": 1, "tasks": [{"task_id": "early"}, {"task_id": "a"}, {"task_id": "b"}]}]}"#,
    ]);
    let work = |agent: &str, reads: &[&str], file: &str| {
        let token = world.begin(agent, &[]);
        world.put(file, agent);
        let mut words = vec!["change", "end", &token];
        words.extend(reads);
        world.ok(&words);
        world.ok(&["update-state", "wf", &format!(r#"{{"tasks": {{"{agent}": {{"status": "completed"}}}}}}"#)]);
    };
    work("early", &["--reads", "work/of_a", "work/f.txt"], "work/of_early");
    work("a", &[], "work/of_a");
    work("b", &["--reads", "work/of_a", "work/f.txt"], "work/of_b");
    world.checkpoint("after");
    let radius = |world: &World| {
        let plan = world.ok(&["rollback", "wf", "--agent", "a", "--plan"]);
        let lines = plan.result("plan")["blast_radius"].as_array().unwrap().clone();
        lines.into_iter().map(|line| line.as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let told = radius(&world);
    assert_eq!(told.len(), 1, "who read before it was written did not read it: {told:?}");
    assert!(told[0].starts_with('b') && told[0].contains(" read work/of_a since"), "{told:?}");
    world.refused(&["rollback", "wf", "--agent", "a", "--dependents", "stop", "--yes"], 5, "OTHERS_ACTIVE");
    // The readers are sealed with checkpoints.
    std::fs::remove_file(world.vault().join("catalog.db")).unwrap();
    world.call(&["doctor", "--rebuild-catalog"]);
    assert_eq!(radius(&world), told);
    world.ok(&["rollback", "wf", "--agent", "a", "--dependents", "cascade", "--yes"]);
    assert!(!world.has("work/of_a") && !world.has("work/of_b") && world.has("work/of_early"));
    let state = world.ok(&["get-state", "wf"]);
    let counts = &state.result("workflow_state");
    assert_eq!((&counts["completed_tasks"], &counts["pending_tasks"]), (&1.into(), &2.into()), "{counts}");
    world.ok(&["undo", "--yes"]);
    assert!(world.has("work/of_a") && world.has("work/of_b"));
    world.refused(&["change", "begin", "--agent", "a", "--reads", "x"], 2, "WRONG_ARGUMENTS");
}

#[test]
fn tasks_that_need_what_goes_are_named_and_may_go_too() {
    let world = World::with_lines();
    let tasks =
        r#"[{"task_id": "a"}, {"task_id": "b", "dependencies": ["a"]}, {"task_id": "c", "dependencies": ["b"]}]"#;
    world.ok(&["initialize", "wf", &format!(r#"{{"phases": [{{"phase_id": 1, "tasks": {tasks}}}]}}"#)]);
    for agent in ["a", "b", "c"] {
        world.work(agent, || world.put(&format!("work/of_{agent}"), agent));
        world.ok(&["update-state", "wf", &format!(r#"{{"tasks": {{"{agent}": {{"status": "completed"}}}}}}"#)]);
    }
    let plan = world.ok(&["rollback", "wf", "--agent", "a", "--plan"]);
    let told = plan.result("plan")["blast_radius"].as_array().unwrap();
    assert!(told.len() == 1 && told[0].as_str().unwrap().starts_with("task b needs"), "{told:?}");
    world.refused(&["rollback", "wf", "--agent", "a", "--dependents", "stop", "--yes"], 5, "OTHERS_ACTIVE");
    let counts = |world: &World| {
        let state = world.ok(&["get-state", "wf"]);
        let counts = &state.result("workflow_state");
        (counts["completed_tasks"].as_u64().unwrap(), counts["pending_tasks"].as_u64().unwrap())
    };
    world.ok(&["rollback", "wf", "--agent", "a", "--yes"]);
    assert_eq!(counts(&world), (2, 1));
    assert!(!world.has("work/of_a") && world.has("work/of_b") && world.has("work/of_c"));
    world.ok(&["undo", "--yes"]);
    let done = world.ok(&["rollback", "wf", "--agent", "a", "--dependents", "cascade", "--yes"]);
    assert_eq!(done.result("rolled_back"), 3, "all that went are counted");
    assert_eq!(counts(&world), (0, 3), "c needs b, which needs a");
    assert!(!world.has("work/of_a") && !world.has("work/of_b") && !world.has("work/of_c"));
    world.ok(&["undo", "--yes"]);
    assert_eq!(counts(&world), (3, 0));
    assert!(world.has("work/of_a") && world.has("work/of_b") && world.has("work/of_c"));
}

#[test]
fn a_directory_that_a_rollback_makes_is_like_the_one_that_it_is_in() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    let world = World::with_lines();
    world.put("shared/sub/x", "x");
    world.put("shared/sub/y", "y");
    let shared = world.root().join("shared");
    fs::set_permissions(&shared, fs::Permissions::from_mode(0o2770)).unwrap();
    fs::set_permissions(shared.join("sub"), fs::Permissions::from_mode(0o700)).unwrap();
    let is_root = rustix::process::geteuid().is_root();
    if is_root {
        std::os::unix::fs::chown(&shared, Some(12_345), Some(23_456)).unwrap();
    }
    // `chown` takes the bit away.
    fs::set_permissions(&shared, fs::Permissions::from_mode(0o2770)).unwrap();
    world.checkpoint("shared");
    world.work("a", || fs::remove_file(shared.join("sub/x")).unwrap());
    fs::remove_dir_all(shared.join("sub")).unwrap();
    world.ok(&["rollback", "wf", "--agent", "a", "--yes"]);
    assert_eq!(world.text("shared/sub/x"), "x");
    let made = fs::metadata(shared.join("sub")).unwrap();
    assert_eq!(made.mode() & 0o7777, 0o2770);
    if is_root {
        assert_eq!((made.uid(), made.gid()), (12_345, 23_456));
    }
}

#[test]
fn a_directory_goes_with_the_last_that_is_in_it() {
    for order in [["a", "b"], ["b", "a"]] {
        let world = World::with_lines();
        let before = world.timeless();
        world.work("a", || world.put("work/new/deep/of_a.txt", "a"));
        world.work("b", || world.put("work/new/deep/of_b.txt", "b"));
        let full = world.timeless();
        for agent in order {
            world.ok(&["rollback", "wf", "--agent", agent, "--yes"]);
        }
        assert_eq!(world.timeless().differences(&before), [""; 0], "{order:?}");
        for _ in order {
            let newest = world.ok(&["recoveries", "wf"]);
            let undoable = newest.result("recoveries").as_array().unwrap().iter();
            let mut undoable = undoable.filter(|one| one["kind"] == "rollback" && one["undone_by"].is_null());
            world.ok(&["undo", undoable.next().unwrap()["recovery_id"].as_str().unwrap(), "--yes"]);
        }
        assert_eq!(world.timeless().differences(&full), [""; 0], "{order:?}");
    }
}
