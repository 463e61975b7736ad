//! Whose work a rollback means: phases by any of their names, tasks without changes, overlapping work, tokens and their
//! parts, and what is said of how sure that is.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::work::{numbered, paths};
use crate::world::World;

fn tell(world: &World, line: &str) {
    world.ok(&["event", line]);
}

/// A workflow with phases `Build` (1) and `Test` (2).
fn phased() -> World {
    let world = World::with_lines();
    let phases = r#"{"phases":[{"phase_id":1,"name":"Build"},{"phase_id":2,"name":"Test"}]}"#;
    tell(&world, &format!("WORKFLOW_CREATED:wf:global:{phases}"));
    world
}

/// What is known of a task: its status, and whose it is.
fn task(world: &World, id: &str) -> (String, Option<String>) {
    let state = world.ok(&["get-state", "wf", "--format", "hub"]);
    let phases = state.result("workflow_state")["phases"].as_array().unwrap().clone();
    let all: Vec<Value> =
        phases.iter().flat_map(|phase| phase["tasks"].as_array().cloned().unwrap_or_default()).collect();
    let task = all.iter().find(|task| task["task_id"] == id).unwrap();
    (task["status"].as_str().unwrap().to_owned(), task["assigned_agent"].as_str().map(str::to_owned))
}

/// A change without a task, as much as is said.
fn change(world: &World, said: &[&str], path: &str) {
    let token = world.ok(&[&["change", "begin", "--workflow", "wf"], said].concat());
    world.put(path, "x");
    world.end(token.result("token").as_str().unwrap());
}

fn codes(value: &Value) -> Vec<&str> {
    value.as_array().unwrap().iter().map(|one| one["code"].as_str().unwrap()).collect()
}

#[test]
fn a_phase_is_its_number_its_name_and_its_tasks() {
    let world = phased();
    tell(&world, r#"TASK_STARTED:wf:1:{"task_id":"t1","agent_id":"a"}"#);
    tell(&world, r#"TASK_STARTED:wf:2:{"task_id":"t2","agent_id":"a"}"#);
    change(&world, &["--task", "t1", "--agent", "a"], "work/one");
    change(&world, &["--phase", "1", "--agent", "a"], "work/two");
    change(&world, &["--phase", "Build", "--agent", "b"], "work/three");
    change(&world, &["--task", "t2", "--agent", "a"], "work/other");
    change(&world, &["--task", "t1", "--phase", "2", "--agent", "a"], "work/said");
    let expected = ["work/one", "work/three", "work/two"];
    for phase in ["1", "Build", "build", "phase_1"] {
        let planned = world.ok(&["rollback", "wf", "--phase", phase, "--plan"]);
        assert_eq!(paths(&planned.result("plan")["steps"]), expected, "{phase}");
        for call in [&["log", "wf", "--phase", phase][..], &["log", "--phase", phase]] {
            let log = world.ok(call);
            let found = log.result("changes").as_array().unwrap().iter().map(|one| paths(&one["paths"])[0]);
            assert_eq!(found.collect::<Vec<_>>(), ["work/three", "work/two", "work/one"], "{call:?}");
        }
    }
    let newest = world.ok(&["log", "--phase", "1", "--limit", "1"]);
    assert_eq!(newest.result("changes").as_array().unwrap().len(), 1);
    world.ok(&["rollback", "wf", "--phase", "Build", "--yes"]);
    assert!(!world.has("work/one") && !world.has("work/three") && world.has("work/other") && world.has("work/said"));
    assert_eq!((task(&world, "t1").0, task(&world, "t2").0), ("pending".to_owned(), "active".to_owned()));
    world.refused(&["rollback", "wf", "--phase", "3", "--yes"], 3, "NOTHING_SELECTED");
}

#[test]
fn tasks_are_to_be_done_anew_whether_or_not_a_change_tells_of_them() {
    let world = phased();
    tell(&world, r#"TASK_STARTED:wf:1:{"task_id":"t1","agent_id":"a"}"#);
    change(&world, &["--task", "t1", "--agent", "a"], "work/one");
    tell(&world, r#"TASK_COMPLETED:wf:1:{"task_id":"t1","agent_id":"a"}"#);
    world.checkpoint("mid");
    for (task, agent) in [("t2", "a"), ("t3", "z"), ("t4", "b")] {
        tell(&world, &format!(r#"TASK_STARTED:wf:2:{{"task_id":"{task}","agent_id":"{agent}"}}"#));
    }
    let active = |agent: &str| ("active".to_owned(), Some(agent.to_owned()));
    let pending = ("pending".to_owned(), None);
    // Since a checkpoint only what was begun since is meant.
    let since = world.ok(&["rollback", "wf", "mid", "--agent", "a", "--yes"]);
    assert_eq!((since.result("changed"), &since.result("state_changes")["tasks"]), (&json!([]), &json!(1)));
    assert_eq!((task(&world, "t1").0.as_str(), task(&world, "t2")), ("completed", pending.clone()));
    world.ok(&["undo", "--yes"]);
    assert_eq!((task(&world, "t1").0.as_str(), task(&world, "t2")), ("completed", active("a")));
    let done = world.ok(&["rollback", "wf", "--agent", "a", "--yes"]);
    assert_eq!(done.result("state_changes")["tasks"], 2);
    assert_eq!((task(&world, "t1"), task(&world, "t2")), (pending.clone(), pending.clone()));
    assert_eq!((task(&world, "t3"), task(&world, "t4")), (active("z"), active("b")));
    let agents = world.ok(&["get-state", "wf", "--format", "hub"]).result("workflow_state").to_string();
    assert!(!agents.contains(r#""current_task":"t2""#), "{agents}");
    // Whoever takes the task over is not meant when the same is said again.
    tell(&world, r#"TASK_STARTED:wf:1:{"task_id":"t1","agent_id":"b"}"#);
    let again = world.ok(&["rollback", "wf", "--agent", "a", "--yes"]);
    assert_eq!((again.result("recovery_id"), task(&world, "t1")), (&Value::Null, active("b")));
    // Without any change the state alone is set, and a plan for one agent is none for another.
    let plan = |agent: &str| {
        let planned = world.ok(&["rollback", "wf", "--agent", agent, "--plan"]);
        planned.result("plan")["digest"].as_str().unwrap().to_owned()
    };
    world.refused(&["rollback", "wf", "--agent", "z", "--apply", &plan("b")], 5, "STALE_PLAN");
    let alone = world.ok(&["rollback", "wf", "--agent", "z", "--yes"]);
    assert_eq!((alone.result("changed"), task(&world, "t3")), (&json!([]), pending.clone()));
    world.refused(&["rollback", "wf", "--agent", "z", "--yes"], 3, "NOTHING_SELECTED");
    world.ok(&["undo", "--yes"]);
    assert_eq!(task(&world, "t3"), active("z"));
    change(&world, &["--agent", "z"], "work/of_z");
    world.ok(&["rollback", "wf", "--agent", "z", "--yes", "--reset-tasks=false"]);
    assert_eq!((world.has("work/of_z"), task(&world, "t3")), (false, active("z")));
    world.ok(&["rollback", "wf", "--phase", "2", "--yes"]);
    assert_eq!((task(&world, "t4"), task(&world, "t1")), (pending, active("b")));
}

#[test]
fn what_all_candidates_share_goes_with_all_of_them() {
    let world = World::with_lines();
    let before = world.timeless();
    let begin = |agent: &str, task: &str, workflow: &str| {
        let call = ["change", "begin", "--workflow", workflow, "--phase", "1", "--task", task, "--agent", agent];
        world.ok(&call).result("token").as_str().unwrap().to_owned()
    };
    let (a, b) = (begin("a", "t", "wf"), begin("b", "t", "wf"));
    world.put("work/shared", "by one of them");
    world.put("work/f.txt", "by one of them");
    world.end(&a);
    world.end(&b);
    for named in [&["--rollback-scope", "full"][..], &["--task", "t"], &["--phase", "1"]] {
        let planned = world.ok(&[&["rollback", "wf", "--plan"], named].concat());
        assert_eq!(paths(&planned.result("plan")["steps"]), ["work/f.txt", "work/shared"], "{named:?}");
        assert_eq!(codes(&planned.result("plan")["findings"]), ["SHARED_SELECTED"], "{named:?}");
    }
    world.refused(&["rollback", "wf", "--agent", "a", "--plan"], 3, "NOTHING_SELECTED");
    world.ok(&["rollback", "wf", "--rollback-scope", "full", "--yes"]);
    assert_eq!(world.timeless().differences(&before), [""; 0], "everything goes, so there is nothing to be guessed");
    // Where another workflow may have done it, it stays.
    let (a, other) = (begin("a", "u", "wf"), begin("a", "u", "other"));
    world.put("work/either", "by one of them");
    world.end(&a);
    world.end(&other);
    world.refused(&["rollback", "wf", "--task", "u", "--yes"], 3, "NOTHING_SELECTED");
    assert!(world.has("work/either"));
}

#[test]
fn undoing_everything_since_a_checkpoint_is_restoring_it_where_work_overlaps() {
    let world = World::with_lines();
    let lines = |changed: &[(usize, &str)]| world.put("work/f.txt", &crate::work::numbered(changed));
    world.work("early", || lines(&[(1, "early")]));
    world.checkpoint("c");
    let before = world.timeless();
    let (a, b) = (world.begin("a", &[]), world.begin("b", &["--paths", "work/of_b"]));
    lines(&[(1, "early"), (2, "by a or b")]);
    world.put("work/of_b", "b");
    world.end(&a);
    world.put("work/nobodys", "while b worked elsewhere");
    lines(&[(1, "early, and mine"), (2, "by a, b and me")]);
    world.end(&b);
    world.work("a", || lines(&[(1, "early, mine, and by a")]));
    world.put("work/mine", "mine");
    let full = world.timeless();
    let all = r#"{"rollback_scope":"full","preservation_rules":{"preserve_external_changes":false},"yes":true}"#;
    world.ok(&["rollback", "wf", "c", all]);
    assert_eq!(world.timeless().differences(&before), [""; 0]);
    world.ok(&["undo", "--yes"]);
    assert_eq!(world.timeless().differences(&full), [""; 0]);
}

#[test]
fn a_token_names_what_its_agent_is_likely_to_have_done() {
    let world = World::with_lines();
    let a = world.begin("a", &[]);
    let b = world.begin("b", &["--paths", "work/of_b"]);
    world.put("work/of_b", "b");
    let ended = world.call(&["change", "end", &b]);
    assert_eq!(paths(ended.result("paths")), ["work/of_b"]);
    assert_eq!(ended.result("others"), &json!([]));
    assert!(ended.json["next_steps"].to_string().contains("may be of a"), "{ended:?}");
    world.put("work/of_a", "a");
    world.end(&a);
    let planned = world.ok(&["rollback", "wf", "--change", &b, "--plan"]);
    assert_eq!(codes(&planned.result("plan")["findings"]), ["LIKELY_SELECTED"]);
    let done = world.ok(&["rollback", "wf", "--change", &b, "--yes"]);
    assert_eq!(paths(done.result("changed")), ["work/of_b"]);
    assert!(!world.has("work/of_b") && world.has("work/of_a"));
    world.ok(&["undo", "--yes"]);
    assert!(world.has("work/of_b"));
}

#[test]
fn how_sure_it_is_whose_the_work_is_that_goes_is_told() {
    let world = World::with_lines();
    let findings = |named: &[&str]| {
        let planned = world.ok(&[&["rollback", "wf", "--plan"], named].concat());
        planned.result("plan")["findings"].as_array().unwrap().clone()
    };
    let (a, b) = (world.begin("a", &[]), world.begin("b", &[]));
    world.put("work/shared", "?");
    let shared = world.end(&a)["others"][0]["change_id"].as_str().unwrap().to_owned();
    world.end(&b);
    let of_shared = findings(&["--change", &shared]);
    assert_eq!(of_shared[0]["code"], "SHARED_SELECTED");
    let message = of_shared[0]["message"].as_str().unwrap();
    assert!(message.contains("a and b") && message.contains(&shared), "{message}");
    let (b, c) = (world.begin("b", &[]), world.begin("c", &["--paths", "work/of_c"]));
    world.put("work/of_c", "c");
    world.end(&c);
    world.end(&b);
    let likely = findings(&["--agent", "c"]);
    assert_eq!((likely[0]["code"].as_str(), likely.len()), (Some("LIKELY_SELECTED"), 1));
    assert!(likely[0]["message"].as_str().unwrap().contains("but b worked"), "{likely:?}");
    world.work("d", || world.put("work/of_d", "d"));
    let observed = findings(&["--agent", "d"]);
    assert_eq!(
        (observed[0]["code"].as_str(), observed[0]["severity"].as_str()),
        (Some("OBSERVED_SELECTED"), Some("info"))
    );
    let e = world.begin("e", &["--paths", "work/of_e"]);
    world.put("work/of_e", "e");
    world.end(&e);
    assert_eq!(findings(&["--agent", "e"]), [] as [Value; 0], "a path that was named, by the only one at work");
}

#[test]
fn what_is_likely_somebody_elses_is_told_of_whom_it_may_be() {
    let world = World::with_lines();
    let (a, b) = (world.begin("a", &["--paths", "work/f.txt"]), world.begin("b", &[]));
    world.put("work/f.txt", &numbered(&[(5, "by a"), (20, "by b")]));
    world.end(&a);
    world.end(&b);
    let mine = |path: &str| {
        let b = world.begin("b", &[]);
        world.put(path, "b");
        world.end(&b);
    };
    // Of b nothing is sure: that is refused, and the change that may be b's is named.
    let refused = world.refused(&["rollback", "wf", "--agent", "b", "--yes"], 3, "NOTHING_SELECTED");
    assert!(refused.json.to_string().contains("that a named, while b worked at the same time"), "{refused:?}");
    mine("work/of_b");
    let done = world.ok(&["rollback", "wf", "--agent", "b", "--yes"]);
    let told = done.result("findings").as_array().unwrap().clone();
    let stays = told.iter().find(|finding| finding["code"] == "SHARED_CHANGE").unwrap();
    assert_eq!(stays["severity"], "warning");
    assert!(stays["message"].as_str().unwrap().contains("that a named, while b worked at the same time"), "{stays}");
    assert!(world.text("work/f.txt").contains("by b") && !world.has("work/of_b"));
    // What it says to do does it, and then nothing is left to be told of.
    let fix = stays["fix"].as_str().unwrap();
    let id = fix.split(['`', ' ']).find(|word| word.starts_with("chg_")).unwrap();
    world.ok(&["rollback", "wf", "--change", id, "--yes"]);
    assert_eq!(world.text("work/f.txt"), numbered(&[]));
    mine("work/more_of_b");
    let done = world.ok(&["rollback", "wf", "--agent", "b", "--yes"]);
    assert!(!done.result("findings").to_string().contains("SHARED_CHANGE"), "{done:?}");
}

/// A file of two lines that a and b, or nobody knows which of them, changed, and one of each, and of c.
fn shared() -> World {
    let world = World::with_lines();
    let (a, b) = (world.begin("a", &[]), world.begin("b", &[]));
    world.put("work/f.txt", &numbered(&[(3, "of a or b")]));
    world.end(&a);
    world.end(&b);
    for agent in ["a", "b", "c"] {
        world.work(agent, || world.put(&format!("work/of_{agent}"), agent));
    }
    world
}

#[test]
fn a_rollback_that_means_several_takes_what_they_share() {
    let both = ["{\"agent\":[\"a\",\"b\"],\"yes\":true}"];
    let calls: [&[&str]; 3] =
        [&["--agent", "a", "--agent", "b", "--yes"], &["--task", "a", "--task", "b", "--yes"], &both];
    for named in calls {
        let world = shared();
        let done = world.ok(&[&["rollback", "wf"], named].concat());
        let changed: BTreeSet<&str> = paths(done.result("changed")).into_iter().collect();
        assert_eq!(changed, BTreeSet::from(["work/f.txt", "work/of_a", "work/of_b"]), "{named:?}");
        assert_eq!(world.text("work/f.txt"), numbered(&[]));
        assert!(!done.result("findings").to_string().contains("NOTHING_OF"), "{done:?}");
    }
    let world = shared();
    let done = world.ok(&["rollback", "wf", "--agent", "a", "--agent", "c", "--agent", "d", "--yes"]);
    assert_eq!(paths(done.result("changed")), ["work/of_a", "work/of_c"], "b is not meant");
    let told = done.result("findings").to_string();
    assert!(told.contains("SHARED_CHANGE") && told.contains("nothing of agent `d` fits"), "{told}");
    // One who is both the agent and at the task.
    let world = shared();
    let done = world.ok(&["rollback", "wf", "--agent", "a", "--agent", "b", "--task", "b", "--yes"]);
    assert_eq!(paths(done.result("changed")), ["work/of_b"]);
    let refused = world.refused(&["rollback", "wf", "--agent", "x", "--agent", "y", "--yes"], 3, "NOTHING_SELECTED");
    assert!(refused.json.to_string().contains("no change of agent `x`"), "{refused:?}");
}

#[test]
fn the_ids_that_people_see_are_names_of_changes() {
    let world = World::with_lines();
    let token = world.begin("a", &[]);
    world.put("work/of_a", "a");
    let ended = world.ok(&["change", "end", &token[..20]]);
    assert_eq!(ended.result("change_id"), &json!(token));
    let shown = world.command(&["log"]).output().unwrap();
    let shown = String::from_utf8(shown.stdout).unwrap();
    let id = shown.split_whitespace().next().unwrap();
    assert!(token.starts_with(id) && id.len() < token.len(), "{shown}");
    world.work("b", || world.put("work/of_b", "b"));
    world.refused(&["rollback", "wf", "--change", "chg_0", "--yes"], 2, "AMBIGUOUS_REFERENCE");
    world.refused(&["rollback", "wf", "--change", "chg_fff", "--yes"], 3, "CHANGE_NOT_FOUND");
    world.ok(&["rollback", "wf", "--change", id, "--yes"]);
    assert!(!world.has("work/of_a") && world.has("work/of_b"));
}

#[test]
fn what_did_nothing_and_what_a_recovery_did_is_no_work_to_be_taken_back() {
    let world = World::with_lines();
    let idle = world.begin("a", &[]);
    world.end(&idle);
    let before = world.names().len();
    for named in [["--change", &idle], ["--agent", "a"]] {
        let refused = world.refused(&["rollback", "wf", named[0], named[1], "--yes"], 3, "NOTHING_SELECTED");
        assert!(refused.json["error"]["message"].as_str().unwrap().contains("has no path"), "{refused:?}");
    }
    world.work("b", || world.put("work/of_b", "b"));
    let done = world.ok(&["rollback", "wf", "--agent", "b", "--yes"]);
    let recovery = done.result("recovery_id").as_str().unwrap();
    let log = world.ok(&["log", "--actor", "recovery"]);
    let id = log.result("changes")[0]["change_id"].as_str().unwrap();
    let refused = world.refused(&["rollback", "wf", "--change", id, "--yes"], 2, "INVALID_PARAMETER");
    assert!(refused.json.to_string().contains(&format!("wfr undo {recovery}")), "{refused:?}");
    assert_eq!(world.names().len(), before + 1, "only the one that did something saved the tree");
}

#[test]
fn logs_are_filtered_by_all_that_changes_say_and_unknown_names_are_told() {
    let world = World::with_lines();
    change(&world, &["--agent", "anna", "--session", "s1", "--tool-call", "c1", "--task", "t1"], "work/1");
    change(&world, &["--agent", "anna", "--session", "s1", "--tool-call", "c2", "--paths", "work/2"], "work/2");
    change(&world, &["--agent", "bert", "--session", "s2", "--phase", "2"], "work/3");
    let listed = |call: &[&str]| {
        let log = world.ok(&[&["log"], call].concat());
        let changes = log.result("changes").as_array().unwrap().clone();
        changes.iter().map(|one| paths(&one["paths"])[0].to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(listed(&["--session", "s1"]), ["work/2", "work/1"]);
    assert_eq!(listed(&["--tool-call", "c1"]), ["work/1"]);
    assert_eq!(listed(&["--source", "declared"]), ["work/2"]);
    assert_eq!(listed(&["--source", "observed", "--agent", "bert"]), ["work/3"]);
    for (flag, asked, near) in [("--agent", "ana", "anna"), ("--task", "t2", "t1"), ("--session", "s3", "s1")] {
        let log = world.ok(&["log", "wf", flag, asked]);
        let told = log.json["next_steps"].to_string();
        assert!(told.contains(&format!("`{asked}`")) && told.contains(near), "{told}");
    }
    for (flag, asked, near) in [("--task", "t2", "t1"), ("--phase", "3", "2"), ("--agent", "berta", "bert")] {
        let refused = world.refused(&["rollback", "wf", flag, asked, "--plan"], 3, "NOTHING_SELECTED").json.to_string();
        assert!(refused.contains(&format!("`{asked}`")) && refused.contains(near), "{refused}");
    }
}

#[test]
fn paths_are_named_as_in_git() {
    let world = World::with_lines();
    for path in ["src/a.rs", "src/deep/b.rs", "src/deep/c.md", "docs/d.md", "!odd"] {
        world.put(path, "before");
    }
    world.checkpoint("then");
    world.work("a", || {
        for path in ["src/a.rs", "src/deep/b.rs", "src/deep/c.md", "docs/d.md", "!odd"] {
            world.put(path, "by a");
        }
    });
    let planned = |call: &[&str]| {
        let plan = world.ok(&[call, &["--plan"]].concat());
        let steps = plan.result("plan")["steps"].as_array().unwrap();
        steps.iter().map(|step| step["path"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let absolute = world.root().canonicalize().unwrap().join("src/*.md");
    let cases: [(&[&str], &[&str]); 9] = [
        (&["src/*.rs"], &["src/a.rs", "src/deep/b.rs"]),
        (&[":(glob)src/*.rs"], &["src/a.rs"]),
        (&[":(glob)src/**"], &["src/a.rs", "src/deep/b.rs", "src/deep/c.md"]),
        (&["src", "!src/deep"], &["src/a.rs"]),
        (&["!src"], &["!odd", "docs/d.md"]),
        (&["*.md", ":(exclude)docs"], &["src/deep/c.md"]),
        (&["src/dee?/"], &["src/deep/b.rs", "src/deep/c.md"]),
        (&["./!odd"], &["!odd"]),
        (&[absolute.to_str().unwrap()], &["src/deep/c.md"]),
    ];
    for (specs, expected) in cases {
        let files: Vec<&str> = specs.iter().flat_map(|spec| ["--file", *spec]).collect();
        for call in [
            &["rollback", "wf", "--agent", "a"][..],
            &["partial-restore", "wf", "then"],
            &["restore", "wf", "then", "--restoration-mode", "partial"],
            &["restore", "wf", "then", "--restoration-mode", "merge", "--conflict-resolution", "checkpoint_priority"],
        ] {
            let found = planned(&[call, &files].concat());
            // A merge keeps what was changed on top of the checkpoint's version.
            let expected = if call.contains(&"merge") { &[][..] } else { expected };
            assert_eq!(found, expected, "{call:?} {specs:?}");
        }
        let paths_of: Vec<&str> = specs.iter().flat_map(|spec| ["--path", *spec]).collect();
        let log = world.ok(&[&["log"], &paths_of[..]].concat());
        assert_eq!(paths(&log.result("changes")[0]["paths"]), expected, "{specs:?}");
    }
    world.refused(&["rollback", "wf", "--agent", "a", "--file", "*.c", "--plan"], 3, "NOTHING_SELECTED");
    world.refused(&["rollback", "wf", "--agent", "a", "--file", "!*", "--plan"], 3, "NOTHING_SELECTED");
    world.refused(&["partial-restore", "wf", "then", "--file", "*.c", "--plan"], 3, "PATH_NOT_FOUND");
    world.refused(&["rollback", "wf", "--agent", "a", "--file", ":(icase)SRC", "--plan"], 2, "INVALID_PARAMETER");
    world.ok(&["rollback", "wf", "--agent", "a", "--file", "src/*.rs", "--file", "!src/deep", "--yes"]);
    assert_eq!((world.text("src/a.rs").as_str(), world.text("src/deep/b.rs").as_str()), ("before", "by a"));
    world.ok(&["rollback", "wf", "--agent", "a", "--yes"]);
    assert_eq!(world.text("!odd"), "before", "what was left out goes later");
    world.ok(&["undo", "--yes"]);
    assert_eq!((world.text("src/a.rs").as_str(), world.text("!odd").as_str()), ("before", "by a"));
}

#[test]
fn who_had_several_changes_open_is_named_once() {
    let world = World::with_lines();
    let begin = |workflow: &str| {
        let call = ["change", "begin", "--workflow", workflow, "--task", "t", "--agent", "a"];
        world.ok(&call).result("token").as_str().unwrap().to_owned()
    };
    let tokens = [begin("wf"), begin("other")];
    world.put("work/of_a", "a");
    tokens.iter().for_each(|token| drop(world.end(token)));
    let refused = world.refused(&["rollback", "wf", "--task", "t", "--plan"], 3, "NOTHING_SELECTED").json.to_string();
    assert!(refused.contains("a had several changes open at once"), "{refused}");
    world.work("b", || world.put("work/of_a", "a and b"));
    let plan = world.ok(&["rollback", "wf", "--agent", "b", "--plan"]).json.to_string();
    assert!(!plan.contains("a and a") && !plan.contains("a or a"), "{plan}");
}

#[test]
fn a_number_and_a_name_of_two_phases_are_refused() {
    let world = World::with_lines();
    world.ok(&[
        "initialize",
        "wf",
        r#"{"phases": [{"phase_id": 1, "name": "Planning"}, {"phase_id": 2, "name": "Implementation"}]}"#,
    ]);
    world.work("a", || world.put("work/of_a", "a"));
    let wrong = r#"{"phase": {"phase_id": 1, "name": "Implementation"}}"#;
    for call in [["rollback", "wf", wrong, "--plan"], ["log", "wf", wrong, "--limit=5"]] {
        let refused = world.refused(&call, 2, "INVALID_PARAMETER").json.to_string();
        assert!(refused.contains("phase 1 is called `Planning`"), "{refused}");
    }
    world.ok(&["log", "wf", r#"{"phase": {"phase_id": 1, "name": "planning"}}"#]);
}
