//! The reference's `rollback_strategy`: as plans print it, and as it may be given.

use serde_json::json;

use crate::work::numbered;
use crate::world::World;

#[test]
fn a_plan_says_its_strategy_in_the_references_words() {
    let world = World::with_lines();
    world.ok(&["initialize", "wf", r#"{"phases": [{"phase_id": 1, "tasks": [{"task_id": "a"}]}]}"#]);
    world.work("a", || world.put("work/f.txt", &numbered(&[(3, "by a")])));
    world.ok(&["update-state", "wf", r#"{"tasks": {"a": {"status": "completed"}}}"#]);
    let call = ["rollback", "wf", "base", "--agent", "a", "--dependents", "cascade", "--conflict-resolution"];
    let plan = world.ok(&[&call[..], &["checkpoint_priority", "--plan"]].concat());
    let strategy = &plan.result("plan")["rollback_strategy"];
    assert!(strategy["target_checkpoint"].as_str().unwrap().starts_with("ckpt_"), "{strategy}");
    assert_eq!(strategy["rollback_scope"], "selective");
    let components =
        json!({"workflow_state": true, "file_system": true, "agent_assignments": false, "resource_allocations": false});
    assert_eq!(strategy["affected_components"], components);
    assert_eq!(strategy["preservation_rules"]["preserve_external_changes"], true);
    let policies = json!({"file_conflicts": "checkpoint_priority", "state_conflicts": "merge_strategy", "dependency_conflicts": "dependency_order"});
    assert_eq!(strategy["conflict_resolution"], policies);
    let steps = strategy["rollback_steps"].as_array().unwrap();
    assert_eq!(steps[2]["parameters"]["selective_files"], json!(["work/f.txt"]));
    assert_eq!(steps[3]["parameters"]["tasks"], json!(["a"]));
    assert_eq!(steps.len(), 5);
    let restore = world.ok(&["restore", "wf", "base", "--plan"]);
    assert!(restore.result("plan").get("rollback_strategy").is_none());
    // So do restores of parts, each with what it really does.
    let of = |call: &[&str]| world.ok(&[call, &["--plan"]].concat()).result("plan")["rollback_strategy"].clone();
    let selective = ["restore", "wf", "base", "--restoration-mode", "selective"];
    let rules =
        r#"{"conflict_resolution": {"state_conflicts": "current_priority", "dependency_conflicts": "manual_review"}}"#;
    let strategy = of(&[&selective[..], &[rules]].concat());
    let policies = json!({"file_conflicts": "manual_review", "state_conflicts": "current_priority", "dependency_conflicts": "manual_review"});
    assert_eq!((&strategy["rollback_scope"], &strategy["conflict_resolution"]), (&json!("full"), &policies));
    assert_eq!(strategy["affected_components"]["workflow_state"], false);
    for call in [
        &["partial-restore", "wf", "base", "--file", "work", "--validation-level", "comprehensive"][..],
        &["restore", "wf", "base", "--restoration-mode", "partial", "--file", "work", "--strict-mode"],
    ] {
        let strategy = of(call);
        assert_eq!(strategy["rollback_scope"], "partial", "{call:?}");
        assert_eq!(strategy["conflict_resolution"]["file_conflicts"], "checkpoint_priority", "{call:?}");
        assert_eq!(strategy["rollback_steps"][0]["parameters"]["strict_mode"], true, "{call:?}");
        assert_eq!(strategy["preservation_rules"]["preserve_external_changes"], false, "{call:?}");
    }
    let unchecked =
        of(&["restore", "wf", "base", "--restoration-mode", "partial", "--file", "work", "--validate-integrity=false"]);
    assert_eq!(unchecked["validation_requirements"]["integrity_check"], false);
    assert_eq!(unchecked["rollback_steps"][0]["action"], "backup_current_state");
}

#[test]
fn the_references_strategy_may_be_given_and_has_effects() {
    let world = World::with_lines();
    world.ok(&["event", r#"TASK_STARTED:wf:1:{"task_id":"a","agent_id":"a"}"#]);
    world.ok(&["update-state", "wf", r#"{"dependencies": {"external": [{"type": "tool", "name": "sh"}]}}"#]);
    world.checkpoint("mid");
    world.work("a", || world.put("work/f.txt", &numbered(&[(3, "by a")])));
    world.work("b", || world.put("work/f.txt", &numbered(&[(3, "by a and b")])));
    let full = world.timeless();
    let active = || {
        let state = world.ok(&["get-state", "wf"]);
        state.result("workflow_state")["active_tasks"].as_u64().unwrap()
    };
    let call = |more: serde_json::Value| {
        let mut all = json!({"agent": "a", "yes": true});
        all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        ["rollback".to_owned(), "wf".to_owned(), all.to_string()]
    };
    world.refused(&call(json!({"conflict_resolution": {"dependency_conflicts": "manual_review"}})), 5, "OTHERS_ACTIVE");
    // The state alone, then the files alone.
    world.ok(&call(json!({"affected_components": {"workflow_state": true, "file_system": false}})));
    assert_eq!((world.timeless().differences(&full), active()), (vec![], 0));
    world.ok(&["undo", "--yes"]);
    let strategy = json!({"rollback_strategy": {
        "strategy_id": "rollback_789",
        "target_checkpoint": "mid",
        "rollback_scope": "selective",
        "affected_components": {"workflow_state": false, "file_system": true, "agent_assignments": false},
        "conflict_resolution": {"file_conflicts": "checkpoint_priority"},
        "validation_requirements": {"integrity_check": true, "dependency_validation": true, "agent_compatibility": true}}});
    let planned = world.ok(&call({
        let mut strategy = strategy.clone();
        strategy["plan"] = json!(true);
        strategy
    }));
    assert_eq!(planned.result("plan")["rollback_strategy"]["strategy_id"], "rollback_789");
    assert_eq!(planned.result("validation_results")["dependency_validation"], "passed");
    world.ok(&call(strategy));
    assert_eq!((world.text("work/f.txt"), active()), (numbered(&[]), 1));
    world.ok(&["undo", "--yes"]);
    let word = r#"{"agent":"a","conflict_resolution":{"file_conflicts":"current_priority","state_conflicts":"current_priority"},"yes":true}"#;
    world.ok(&["rollback", "wf", word]);
    assert_eq!((world.timeless().differences(&full), active()), (vec![], 1));
    // Nobody is there to do the task anew.
    world.ok(&["event", r#"AGENT_DEALLOCATED:wf:1:{"agent_id":"a"}"#]);
    let anew = json!({"validation_requirements": {"agent_compatibility": true}, "conflict_resolution": "current_priority", "plan": true});
    let planned = world.ok(&call(anew));
    assert!(planned.result("plan")["findings"].to_string().contains("NO_AGENT"), "{planned:?}");
    for (wrong, code) in [
        (json!({"rollback_strategy": {"rollback_steps": []}}), "INVALID_PARAMETER"),
        (json!({"preservation_rules": {"preserve_resource_optimizations": false}}), "INVALID_PARAMETER"),
        (json!({"rollback_scope": "full"}), "WRONG_ARGUMENTS"),
    ] {
        world.refused(&call(wrong), 2, code);
    }
}

#[test]
fn the_steps_that_a_plan_prints_are_taken_and_hold_it() {
    let world = World::with_lines();
    world.ok(&["event", r#"TASK_STARTED:wf:1:{"task_id":"a","agent_id":"a"}"#]);
    world.checkpoint("mid");
    world.work("a", || world.put("work/f.txt", &numbered(&[(3, "by a")])));
    let printed = world.ok(&["rollback", "wf", "mid", "--agent", "a", "--plan"]);
    let strategy = printed.result("plan")["rollback_strategy"].clone();
    assert_eq!(strategy["rollback_steps"].as_array().unwrap().len(), 5);
    let call = |strategy: &serde_json::Value| {
        let all = json!({"agent": "a", "yes": true, "rollback_strategy": strategy});
        ["rollback".to_owned(), "wf".to_owned(), all.to_string()]
    };
    let with = |pointer: &str, value: serde_json::Value| {
        let mut other = strategy.clone();
        *other.pointer_mut(pointer).unwrap() = value;
        other
    };
    let files = with("/rollback_steps/2/parameters/selective_files", json!(["home.nix"]));
    let refused = world.refused(&call(&files), 2, "INVALID_PARAMETER").json.to_string();
    assert!(refused.contains("work/f.txt` changes, too"), "{refused}");
    let tasks = with("/rollback_steps/3/parameters/tasks", json!(["b"]));
    world.refused(&call(&tasks), 2, "INVALID_PARAMETER");
    world.refused(&call(&with("/rollback_steps/0/action", json!("reboot"))), 2, "INVALID_PARAMETER");
    assert_eq!(world.text("work/f.txt"), numbered(&[(3, "by a")]));
    world.ok(&call(&strategy));
    assert_eq!(world.text("work/f.txt"), numbered(&[]));
}

#[test]
fn a_rollback_of_state_alone_says_so_and_is_done_once() {
    let world = World::with_lines();
    world.ok(&["event", r#"TASK_STARTED:wf:1:{"task_id":"t3","agent_id":"a"}"#]);
    world.work("b", || world.put("work/of_b", "b"));
    let call = ["rollback", "wf", "--task", "t3", "--yes"];
    let shown = world.command(&call).output().unwrap();
    let text = String::from_utf8(shown.stdout).unwrap();
    assert!(text.contains("Set back the workflow's state") && !text.contains("Restored"), "{text}");
    let again = world.ok(&call);
    assert!(again.json["next_steps"].to_string().contains("task t3 is pending already"), "{again:?}");
    assert!(again.result("recovery_id").is_null() && world.has("work/of_b"));
    world.refused(&["rollback", "wf", "--task", "t4", "--yes"], 3, "NOTHING_SELECTED");
}

#[test]
fn what_has_keys_is_not_taken_by_position() {
    let world = World::with_lines();
    world.work("a", || world.put("work/f.txt", &numbered(&[(3, "by a")])));
    for wrong in [
        json!({"agent": "a", "preservation_rules": [true, true, false]}),
        json!({"agent": "a", "rollback_strategy": []}),
        json!({"agent": "a", "rollback_strategy": "x"}),
    ] {
        let refused = world.refused(&["rollback", "wf", &wrong.to_string()], 2, "INVALID_PARAMETER").json.to_string();
        assert!(refused.contains("is no object with keys") && !refused.contains("struct"), "{refused}");
    }
}

/// Phase 1 is the work of two agents, phase 2 that of one of them; a third works in neither.
fn parts() -> World {
    let world = World::with_lines();
    let work = |agent: &str, phase: &[&str], line: usize| {
        let call = [&["change", "begin", "--workflow", "wf", "--agent", agent], phase].concat();
        let token = world.ok(&call).result("token").as_str().unwrap().to_owned();
        let text = world.text("work/f.txt");
        world.put("work/f.txt", &text.replace(&format!("line {line}\n"), &format!("by {agent}\n")));
        world.end(&token);
    };
    work("a", &["--phase", "1"], 3);
    work("b", &["--phase", "1"], 9);
    work("a", &["--phase", "2"], 15);
    work("c", &[], 21);
    world
}

#[test]
fn a_partial_one_takes_parts_of_the_workflow_as_wholes() {
    let world = parts();
    let full = world.timeless();
    let partial = ["rollback", "wf", "--rollback-scope", "partial"];
    let [b1, a2, c] = [(9, "by b"), (15, "by a"), (21, "by c")];
    for (parts, left) in [
        (&["--phase", "1"][..], &[a2, c][..]),
        (&["--agent", "a"], &[b1, c]),
        (&["--agent", "a", "--agent", "c"], &[b1]),
        (&["--phase", "1", "--agent", "a"], &[b1, a2, c]),
        (&["--file", "work"], &[]),
    ] {
        let planned = world.ok(&[&partial[..], parts, &["--plan"]].concat());
        assert_eq!(planned.result("plan")["rollback_strategy"]["rollback_scope"], "partial", "{parts:?}");
        world.ok(&[&partial[..], parts, &["--yes"]].concat());
        assert_eq!(world.text("work/f.txt"), numbered(left), "{parts:?}");
        world.ok(&["undo", "--yes"]);
        assert_eq!(world.timeless().differences(&full), [""; 0]);
    }
    // Single changes are no parts, and no part is everything.
    let change = world.ok(&["log", "--agent", "b"]).result("changes")[0]["change_id"].as_str().unwrap().to_owned();
    for (parts, hint) in
        [(&["--change", &change][..], "selective"), (&["--since", "1h"], "name a phase"), (&[], "name a phase")]
    {
        let refused = world.refused(&[&partial[..], parts, &["--yes"]].concat(), 2, "WRONG_ARGUMENTS");
        assert!(refused.json["recovery_options"].to_string().contains(hint), "{refused:?}");
    }
    assert_eq!(world.timeless().differences(&full), [""; 0]);
}

/// The reference's own example, word for word, with the places where it lists alternatives.
const EXAMPLE: &str = r#"{
  "rollback_strategy": {
    "strategy_id": "rollback_789",
    "target_checkpoint": "ckpt_456",
    "rollback_scope": "selective|partial|full",
    "affected_components": {
      "workflow_state": true,
      "file_system": true,
      "agent_assignments": true,
      "resource_allocations": false
    },
    "preservation_rules": {
      "preserve_completed_phases": true,
      "preserve_successful_tasks": true,
      "preserve_external_changes": false,
      "preserve_resource_optimizations": true
    },
    "conflict_resolution": {
      "file_conflicts": "checkpoint_priority",
      "state_conflicts": "merge_strategy",
      "dependency_conflicts": "dependency_order"
    },
    "validation_requirements": {
      "integrity_check": true,
      "dependency_validation": true,
      "resource_availability": true,
      "agent_compatibility": true
    },
    "rollback_steps": [
      {
        "step": 1,
        "action": "validate_checkpoint_integrity",
        "parameters": {"strict_mode": true}
      },
      {
        "step": 2,
        "action": "backup_current_state",
        "parameters": {"emergency_backup": true}
      },
      {
        "step": 3,
        "action": "restore_file_system_state",
        "parameters": {"selective_files": ["home.nix", "flake.nix"]}
      },
      {
        "step": 4,
        "action": "restore_workflow_state",
        "parameters": {"preserve_progress": true}
      },
      {
        "step": 5,
        "action": "validate_restored_state",
        "parameters": {"comprehensive_check": true}
      }
    ]
  }
}"#;

#[test]
fn the_references_example_is_taken_as_a_whole_and_does_what_it_says() {
    let world = World::with_lines();
    let phases = r#"{"phases": [{"phase_id": 1, "tasks": [{"task_id": "done"}]}, {"phase_id": 2, "tasks": [{"task_id": "a"}]}]}"#;
    world.ok(&["initialize", "wf", phases]);
    world.put("home.nix", "home\n");
    let checkpoint = world.checkpoint("then").result("checkpoint_id").as_str().unwrap().to_owned();
    world.work("done", || world.put("work/of_done", "it stays"));
    world.work("a", || {
        world.put("home.nix", "home by a\n");
        world.put("flake.nix", "flake by a\n");
    });
    let state = r#"{"tasks": {"done": {"status": "completed"}, "a": {"status": "active", "assigned_agent": "a"}}, "phases": {"1": {"status": "completed"}}, "agents": {"a": {"status": "in_progress", "current_task": "a"}}}"#;
    world.ok(&["update-state", "wf", state]);
    world.put("home.nix", "home by a and me\n");
    let full = world.timeless();
    // Only the id of the checkpoint is another one, as it is in any workspace.
    let example = EXAMPLE.replace("ckpt_456", &checkpoint);
    for (scope, more) in [("selective", &[][..]), ("partial", &["--agent", "a"]), ("full", &[])] {
        let example = example.replace("selective|partial|full", scope);
        let call = [&["rollback", "wf", &example], more].concat();
        let plan = world.ok(&[&call[..], &["--plan"]].concat());
        let said = &plan.result("plan")["rollback_strategy"];
        let given = serde_json::from_str::<serde_json::Value>(&example).unwrap()["rollback_strategy"].clone();
        for key in [
            "strategy_id",
            "target_checkpoint",
            "rollback_scope",
            "affected_components",
            "preservation_rules",
            "conflict_resolution",
        ] {
            assert_eq!(said[key], given[key], "{scope}: {key}");
        }
        let actions = |strategy: &serde_json::Value| {
            let steps = strategy["rollback_steps"].as_array().unwrap().iter();
            steps.map(|step| (step["step"].clone(), step["action"].clone())).collect::<Vec<_>>()
        };
        assert_eq!(actions(said), actions(&given), "{scope}");
        let done = world.ok(&[&call[..], &["--yes"]].concat());
        for check in ["integrity_check", "dependency_validation"] {
            assert_ne!(done.result("validation_results")[check], "failed", "{done:?}");
        }
        assert_eq!((world.text("home.nix").as_str(), world.has("flake.nix")), ("home\n", false), "{scope}");
        assert_eq!(world.text("work/of_done"), "it stays");
        let state = world.ok(&["get-state", "wf"]);
        let state = state.result("workflow_state");
        assert_eq!((&state["completed_tasks"], &state["pending_tasks"]), (&json!(1), &json!(1)), "{scope}");
        world.ok(&["undo", "--yes"]);
        assert_eq!(world.timeless().differences(&full), [""; 0], "{scope}");
    }
    // More than the files that it names changes: that is refused, and `file` is what keeps to them.
    world.work("a", || world.put("work/of_a", "a"));
    let example = example.replace("selective|partial|full", "selective");
    world.refused(&["rollback", "wf", &example, "--yes"], 2, "INVALID_PARAMETER");
    world.ok(&["rollback", "wf", &example, "--file", "home.nix", "--file", "flake.nix", "--yes"]);
    assert_eq!((world.text("home.nix").as_str(), world.has("work/of_a")), ("home\n", true));
}

#[test]
fn what_a_rollback_does_not_do_is_refused_with_what_does_it() {
    let world = World::with_lines();
    world.work("a", || world.put("work/f.txt", &numbered(&[(3, "by a")])));
    for (wrong, instead) in [
        (json!({"conflict_resolution": {"state_conflicts": "checkpoint_priority"}}), Some("workflow_state")),
        (json!({"affected_components": {"resource_allocations": true}}), Some("resource_allocations")),
        (json!({"preservation_rules": {"preserve_resource_optimizations": false}}), Some("resource_allocations")),
        (json!({"affected_components": {"workflow_state": true, "agent_assignments": false}}), None),
        (json!({"validation_requirements": {"resource_availability": false}}), None),
    ] {
        for given in [wrong.clone(), json!({"rollback_strategy": wrong})] {
            let refused =
                world.refused(&["rollback", "wf", "--agent", "a", &given.to_string()], 2, "INVALID_PARAMETER");
            let options = refused.json["recovery_options"].to_string();
            assert!(options.contains("leave"), "{given}: {options}");
            if let Some(component) = instead {
                let call = format!("wfr partial-restore CHECKPOINT --components {component}");
                assert!(options.contains(&call), "{given}: {options}");
                world.ok(&["partial-restore", "base", "--components", component, "--plan"]);
            }
        }
    }
}
