//! The command-line contract: words, flags, JSON, exit codes, references, consent.

use serde_json::{Value, json};

use crate::world::{Ended, World};

fn strings(value: &Value) -> Vec<String> {
    value.as_array().unwrap().iter().map(|one| one.as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_checkpoint_says_what_the_contract_names() {
    let world = World::new();
    let made = world.ok(&["create-checkpoint", "wf", r#"{"checkpoint_type":"manual","name":"base"}"#]);
    for key in ["status", "operation", "workflow_id", "timestamp", "result", "impact", "next_steps"] {
        assert!(made.json.get(key).is_some(), "{key}");
    }
    assert_eq!((&made.json["status"], &made.json["operation"]), (&json!("success"), &json!("create-checkpoint")));
    assert_eq!(made.result("name"), "base");
    assert!(made.result("checkpoint_id").as_str().unwrap().starts_with("ckpt_"));
    assert_eq!(made.result("tree").as_str().unwrap().len(), "sha256:".len() + 64);
    let files = made.result("files");
    assert!(["total", "added", "changed", "removed"].iter().all(|key| files[*key].is_u64()), "{files}");
    assert_eq!(made.result("coverage")["complete"], true);
    let listed = world.ok(&["list-checkpoints", "wf"]);
    let line = &listed.result("checkpoints")[0];
    for key in ["checkpoint_id", "name", "checkpoint_type", "trigger", "created_at", "tags"] {
        assert!(line.get(key).is_some(), "{key}");
    }
    let shown = world.ok(&["show", "base"]);
    assert_eq!(shown.json["status"], "success");
}

#[test]
fn references_and_default_names() {
    let world = World::new();
    let id = world.checkpoint("base").result("checkpoint_id").as_str().unwrap().to_owned();
    world.ok(&["create-checkpoint", "wf", r#"{"checkpoint_type":"phase_complete","phase":2}"#]);
    world.ok(&["create-checkpoint", "wf", r#"{"checkpoint_type":"incremental"}"#]);
    world.ok(&["create-checkpoint", "wf", r#"{"checkpoint_type":"emergency"}"#]);
    let names = world.names();
    assert_eq!(names[1], "phase_2_complete");
    assert!(names[2].starts_with("inc_001_") && names[3].starts_with("emergency_"), "{names:?}");
    let found = |reference: &str| {
        let shown = world.ok(&["validate-checkpoint", reference]);
        shown.result("name").as_str().unwrap().to_owned()
    };
    assert_eq!(found(&id), "base");
    assert_eq!(found(&id[..id.len() - 1]), "base");
    assert_eq!(found("phase:2"), "phase_2_complete");
    assert_eq!(found("latest"), names[3]);
    assert_eq!(found("latest-valid"), names[3]);
    world.refused(&["validate-checkpoint", &id[..11]], 2, "AMBIGUOUS_REFERENCE");
    world.refused(&["validate-checkpoint", "nowhere"], 3, "CHECKPOINT_NOT_FOUND");
    world.refused(&["create-checkpoint", "wf", "--name", "base"], 5, "NAME_TAKEN");
}

#[test]
fn without_a_yes_nothing_is_written() {
    let world = World::new();
    world.checkpoint("base");
    world.tree.write("a.txt", b"edited");
    let edited = world.snapshot();
    let asked = world.refused(&["restore", "wf", "base"], 8, "CONSENT_NEEDED");
    edited.assert_same(&world.snapshot());
    assert_eq!(world.names(), ["base"]);
    let digest = asked.result("plan")["digest"].as_str().unwrap().to_owned();
    let planned = world.ok(&["restore", "wf", "base", "--plan"]);
    assert_eq!(planned.result("plan")["digest"], digest.as_str());
    for key in ["steps", "conflicts", "blast_radius"] {
        assert!(planned.result("plan")[key].is_array(), "{key}");
    }
    world.tree.write("sub/new", b"after the plan");
    world.refused(&["restore", "wf", "base", "--apply", &digest], 5, "STALE_PLAN");
    assert_eq!(world.tree.read("a.txt"), b"edited");
    assert_eq!(world.names(), ["base"], "a refused restore leaves no checkpoint behind");
    world.tree.remove("sub/new");
    let done = world.ok(&["restore", "wf", "base", "--apply", &digest]);
    assert!(done.result("recovery_id").as_str().unwrap().starts_with("rec_"));
    assert!(["changed", "kept", "conflicts"].iter().all(|key| done.result(key).is_array()));
    assert!(done.result("safety_checkpoint").is_string());
    assert_eq!(world.tree.read("a.txt"), b"a0\n");
    let again = world.ok(&["restore", "wf", "base"]);
    assert_eq!(again.result("changed"), &serde_json::json!([]), "where nothing is to be done, nobody is asked");
}

#[test]
fn undo_and_undo_of_undo() {
    let world = World::new();
    let base = world.snapshot();
    world.checkpoint("base");
    world.tree.write("a.txt", b"edited");
    let edited = world.snapshot();
    world.refused(&["undo", "--yes"], 3, "RECOVERY_NOT_FOUND");
    world.ok(&["restore", "wf", "base", "--yes", "--exact-mtime"]);
    for wanted in [&edited, &base, &edited] {
        world.ok(&["undo", "--yes", "--exact-mtime"]);
        wanted.assert_same(&world.snapshot());
    }
    let trail = world.ok(&["recoveries"]);
    assert_eq!(trail.result("recoveries").as_array().unwrap().len(), 4);
    world.ok(&["resume"]);
}

#[test]
fn others_work_and_agent_configuration_are_guarded() {
    let world = World::new();
    world.tree.write(".claude/settings.json", b"{}");
    world.checkpoint("base");
    world.tree.write(".claude/settings.json", b"{\"hooks\":1}");
    world.refused(&["restore", "wf", "base", "--yes"], 8, "CONFIGURATION_GUARDED");
    world.ok(&["create-checkpoint", "other", "--name", "theirs"]);
    world.refused(&["restore", "wf", "base", "--yes", "--allow-config"], 5, "OTHERS_ACTIVE");
    world.ok(&["restore", "wf", "base", "--yes", "--allow-config", "--whole-tree"]);
    assert_eq!(world.tree.read(".claude/settings.json"), b"{}");
}

#[test]
fn a_failing_functional_check_puts_everything_back() {
    let world = World::new();
    world.checkpoint("base");
    world.tree.write("a.txt", b"edited");
    let edited = world.snapshot();
    let check = r#"{"functional_check":"test \"$(cat a.txt)\" = edited"}"#;
    world.refused(&["restore", "wf", "base", check, "--yes", "--exact-mtime"], 1, "FUNCTIONAL_CHECK_FAILED");
    edited.assert_same(&world.snapshot());
    world.ok(&["restore", "wf", "base", r#"{"functional_check":"test \"$(cat a.txt)\" = a0"}"#, "--yes"]);
}

#[test]
fn what_a_failing_check_wrote_is_not_left_in_the_users_files() {
    let world = World::new();
    world.checkpoint("base");
    world.tree.write("a.txt", b"the user's");
    let before = world.snapshot();
    let checks =
        [("echo built >> a.txt; echo new > built; exit 3", "status: 3"), ("sleep 600 & echo $! > pid; wait", "time")];
    for (check, told) in checks {
        let check = ["restore", "wf", "base", "--functional-check", check, "--yes", "--timeout", "2s"];
        let refused = world.refused(&check, 1, "FUNCTIONAL_CHECK_FAILED");
        assert!(refused.json["error"]["details"].as_str().unwrap().contains(told), "{refused:?}");
        before.assert_same(&world.snapshot());
        // Whoever wrote meanwhile finds it again.
        let options = refused.json["recovery_options"].to_string();
        let (_, place) = options.split_once("is in checkpoint ").unwrap_or_else(|| panic!("{options}"));
        let meanwhile = world.written_out(place.split(':').next().unwrap());
        assert_ne!(before.differences(&meanwhile), Vec::<String>::new());
    }
    // The restore is taken back: undo has nothing to do with it any more, and does not do it again.
    world.refused(&["undo", "--yes"], 3, "RECOVERY_NOT_FOUND");
    before.assert_same(&world.snapshot());
}

#[test]
fn a_copy_of_a_workspace_is_told_apart_and_one_that_was_moved_goes_on() {
    let world = World::new();
    world.checkpoint("base");
    let place = tempfile::tempdir().unwrap();
    let copy = place.path().join("copy");
    let copied = std::process::Command::new("cp").arg("-a").arg(world.root()).arg(&copy).status().unwrap();
    assert!(copied.success());
    let there = |arguments: &[&str]| {
        let output = world.command(arguments).arg("--json").current_dir(&copy).output().unwrap();
        serde_json::from_slice::<serde_json::Value>(&output.stdout).unwrap()
    };
    for arguments in [&["restore", "wf", "base", "--yes"][..], &["resume"], &["undo", "--yes"]] {
        assert_eq!(there(arguments)["error"]["code"], "WORKSPACE_COPIED", "{arguments:?}");
    }
    std::fs::remove_dir_all(copy.join(".claude/recovery")).unwrap();
    assert_eq!(there(&["init"])["status"], "success");
    assert_eq!(there(&["list-checkpoints"])["result"]["total"], 0);
    assert_eq!(world.names(), ["base"]);
    // Moved: the first is gone, so the vault serves the second.
    let moved = place.path().join("moved");
    let renamed = std::process::Command::new("mv").arg(world.root()).arg(&moved).status().unwrap();
    assert!(renamed.success());
    let listed = world.command(&["list-checkpoints", "--json"]).current_dir(&moved).output().unwrap();
    assert!(String::from_utf8(listed.stdout).unwrap().contains("base"));
    // It is found again when its view is gone, and when all of it is.
    std::fs::remove_dir_all(moved.join(".claude/recovery")).unwrap();
    let total = |dir: &std::path::Path| {
        let named = ["list-checkpoints", "--workspace", dir.to_str().unwrap(), "--json"];
        let output = world.command(&named).current_dir(place.path()).output().unwrap();
        let json: Value = serde_json::from_slice(&output.stdout).unwrap();
        json["result"]["total"].as_u64().ok_or_else(|| json["error"]["code"].clone())
    };
    assert_eq!(total(&moved), Ok(1));
    std::fs::remove_dir_all(&moved).unwrap();
    assert_eq!(total(&moved), Ok(1));
    // What stands at the old path now is somebody else's.
    std::fs::create_dir(world.root()).unwrap();
    assert_eq!(total(world.root()), Err(Value::from("WORKSPACE_NOT_FOUND")));
}

#[test]
fn nothing_to_do_writes_nothing_and_needs_no_consent() {
    let world = World::new();
    world.checkpoint("base");
    let same = world.ok(&["restore", "wf", "base"]);
    assert_eq!((same.result("recovery_id"), same.result("recovery_successful")), (&Value::Null, &Value::Bool(true)));
    assert!(same.json["next_steps"].to_string().contains("nothing is to be done"), "{same:?}");
    assert_eq!(world.names(), ["base"]);
    assert_eq!(world.ok(&["recoveries"]).result("recoveries").as_array().unwrap().len(), 0);
    world.tree.write("a.txt", b"edited");
    world.refused(&["restore", "wf", "base"], 8, "CONSENT_NEEDED");
}

#[test]
fn an_undo_never_takes_an_older_recovery_for_one_that_changed_nothing() {
    let world = World::new();
    world.checkpoint("base");
    let kept = world.tree.read("a.txt");
    world.tree.write("a.txt", b"edited");
    let first = world.ok(&["restore", "wf", "base", "--yes"]).result("recovery_id").clone();
    let names = world.names();
    let same = world.ok(&["restore", "wf", "base", "--yes"]);
    assert_eq!((same.result("recovery_id"), same.result("recovery_successful")), (&Value::Null, &Value::Bool(true)));
    assert!(same.json["next_steps"].to_string().contains("nothing is to be done"), "{same:?}");
    assert_eq!(world.names(), names, "it needs no safety checkpoint");
    // So it is with every kind.
    let partial = ["partial-restore", "wf", "base", "--components", "file_system", "--yes"];
    for same in [
        &partial[..],
        &["partial-restore", "wf", "base", "--file", "a.txt", "--yes"],
        &["emergency-restore", "wf", "--yes"],
    ] {
        let same = world.ok(same);
        assert!(
            same.result("recovery_id").is_null()
                && same.json["next_steps"].to_string().contains("nothing is to be done")
        );
        assert_eq!(world.names(), names);
        let planned = world.ok(&["undo", "--plan"]);
        assert!(!planned.result("plan")["steps"].as_array().unwrap().is_empty(), "{planned:?}");
    }
    // One that asks for a check is a recovery, though it changes nothing.
    let check = ["restore", "wf", "base", "--yes", "--functional-check", "true"];
    let last = world.ok(&check).result("recovery_id").clone();
    assert_ne!(last, Value::Null);
    let before = format!("`wfr undo {}`", first.as_str().unwrap());
    let planned = world.ok(&["undo", "--plan"]);
    assert_eq!(planned.result("plan")["steps"], serde_json::json!([]), "{planned:?}");
    assert!(planned.json["next_steps"].to_string().contains(&before), "{planned:?}");
    let undone = world.ok(&["undo", "--yes"]);
    assert_eq!(undone.result("undone"), &last);
    assert!(undone.json["next_steps"].to_string().contains(&before), "{undone:?}");
    assert_eq!(world.tree.read("a.txt"), kept, "what was restored before stays");
    world.ok(&["undo", first.as_str().unwrap(), "--yes"]);
    assert_eq!(world.tree.read("a.txt"), b"edited");
    world.ok(&["doctor"]);
}

#[test]
fn a_name_that_is_taken_is_refused_before_anything_is_stored() {
    let world = World::new();
    world.checkpoint("base");
    world.tree.write("a.txt", b"edited");
    world.refused(&["create-checkpoint", "wf", "--name", "base"], 5, "NAME_TAKEN");
    assert_eq!(world.ok(&["doctor"]).result("findings"), &serde_json::json!([]));
}

#[test]
fn a_recovery_is_named_by_a_prefix_that_only_it_has() {
    let world = World::new();
    world.checkpoint("base");
    let restore = |text: &[u8]| {
        world.tree.write("a.txt", text);
        world.ok(&["restore", "wf", "base", "--yes"]).result("recovery_id").as_str().unwrap().to_owned()
    };
    let (first, second) = (restore(b"one"), restore(b"two"));
    let shared = first.bytes().zip(second.bytes()).take_while(|(a, b)| a == b).count();
    let both = world.refused(&["undo", &first[..shared], "--plan"], 2, "AMBIGUOUS_REFERENCE");
    assert!(both.json["error"]["message"].as_str().unwrap().contains(&second));
    world.refused(&["undo", "rec_zz", "--plan"], 3, "RECOVERY_NOT_FOUND");
    let undone = world.ok(&["undo", &first[..=shared], "--yes"]);
    assert_eq!(undone.result("undone"), &Value::String(first));
}

#[test]
fn a_diff_shows_owners_and_hard_links() {
    let world = World::new();
    world.tree.write("mine", b"1\n");
    world.tree.write("x", b"2\n");
    world.tree.write("y", b"2\n");
    world.checkpoint("apart");
    std::fs::remove_file(world.tree.at("y")).unwrap();
    std::fs::hard_link(world.tree.at("x"), world.tree.at("y")).unwrap();
    let is_root = rustix::process::geteuid().is_root();
    if is_root {
        std::os::unix::fs::chown(world.tree.at("mine"), Some(1), Some(2)).unwrap();
    }
    let check = |told: &Ended| {
        let changes = told.result("changes").as_array().unwrap();
        let of =
            |path: &str| changes.iter().find(|one| one["path"] == path).unwrap_or_else(|| panic!("{path}: {told:?}"));
        for path in ["x", "y"] {
            assert_eq!(of(path)["kind"], "metadata", "{told:?}");
            assert_eq!([0, 1].map(|side: usize| of(path)["links"][side].as_array().unwrap().len()), [0, 2]);
        }
        if is_root {
            assert_eq!((&of("mine")["kind"], &of("mine")["owners"]), (&"metadata".into(), &json!(["0:0", "1:2"])));
        }
    };
    check(&world.ok(&["diff", "apart", "tree"]));
    world.checkpoint("linked");
    check(&world.ok(&["diff", "apart", "linked"]));
    assert_eq!(world.ok(&["diff", "linked", "tree"]).result("changes"), &json!([]));
    let shown = world.command(&["diff", "apart", "linked"]).output().unwrap().stdout;
    assert!(String::from_utf8_lossy(&shown).contains("hard links 1 -> 2"), "{shown:?}");
}

#[test]
fn cat_and_diff_and_metadata() {
    let world = World::new();
    world.checkpoint("base");
    world.tree.write("a.txt", b"a1\n");
    world.tree.remove("zero");
    world.tree.write("new", b"n");
    let bytes = world.command(&["cat", "base", "a.txt"]).output().unwrap();
    assert_eq!((bytes.status.code(), bytes.stdout), (Some(0), b"a0\n".to_vec()));
    world.refused(&["cat", "base", "nowhere"], 3, "PATH_NOT_FOUND");
    let differing = world.ok(&["diff", "base"]);
    let changes = differing.result("changes").as_array().unwrap();
    let kinds: Vec<(&str, &str)> =
        changes.iter().map(|one| (one["path"].as_str().unwrap(), one["kind"].as_str().unwrap())).collect();
    assert!(kinds.contains(&("new", "added")) && kinds.contains(&("zero", "removed")), "{kinds:?}");
    assert!(kinds.contains(&("a.txt", "modified")) || kinds.contains(&("a.txt", "changed")), "{kinds:?}");
    let written = world.ok(&["metadata", "wf"]);
    let files = strings(written.result("files"));
    for name in ["checkpoint_index.json", "integrity_hashes.json", "dependency_graph.json"] {
        let file = files.iter().find(|file| file.ends_with(name)).unwrap();
        serde_json::from_slice::<Value>(&std::fs::read(file).unwrap()).unwrap();
    }
}

#[test]
fn archives_carry_checkpoints_to_another_workspace() {
    let world = World::new();
    world.checkpoint("one");
    world.tree.write("a.txt", b"second");
    world.checkpoint("two");
    let archive = world.data.path().join("wf.archive");
    let archive = archive.to_str().unwrap();
    let made = world.ok(&["backup-state", "wf", "--output", archive]);
    assert_eq!((made.result("verified"), made.result("checkpoints").as_array().unwrap().len()), (&json!(true), 2));
    world.refused(&["backup-state", "wf", "--output", archive], 5, "TARGET_NOT_EMPTY");
    let other = World::new();
    let imported = other.ok(&["import", archive, "--from", "archive"]);
    assert_eq!(imported.result("imported").as_array().unwrap().len(), 2);
    assert_eq!(other.ok(&["import", archive]).result("present").as_array().unwrap().len(), 2);
    world.written_out("one").assert_same(&other.written_out("one"));
    // What is cleaned up comes back from it, under another name where its own is taken.
    world.checkpoint("three");
    world.ok(&["cleanup-checkpoints", "wf", r#"{"retention_policy":"last=1","preserve_critical":false}"#]);
    world.tree.write("a.txt", b"fourth");
    world.checkpoint("two");
    let again = world.ok(&["import", archive]);
    assert_eq!((again.result("imported"), again.result("present")), (imported.result("imported"), &json!([])));
    assert_eq!(world.names(), ["one", "two_2", "three", "two"]);
    for (here, there) in [("one", "one"), ("two_2", "two")] {
        world.written_out(here).assert_same(&other.written_out(there));
        world.ok(&["validate-checkpoint", here, "--validation-level", "comprehensive"]);
    }
    world.ok(&["doctor"]);
    // What was taken here is newer than anything of an archive, whenever it was taken and imported.
    let third = World::new();
    for (name, is_before) in [("mine", true), ("next", false)] {
        if !is_before {
            third.ok(&["import", archive]);
        }
        third.tree.write("a.txt", name.as_bytes());
        third.checkpoint(name);
        third.ok(&["import", archive]);
        assert_eq!(third.ok(&["show", "wf", "latest"]).result("checkpoint")["name"], name);
        third.tree.write("a.txt", b"lost");
        third.ok(&["emergency-restore", "wf", "--yes"]);
        assert_eq!(third.tree.read("a.txt"), name.as_bytes());
        third.ok(&["validate-checkpoint", name, "--validation-level", "comprehensive"]);
        third.ok(&["doctor"]);
    }
    let mut bytes = std::fs::read(archive).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(archive, bytes).unwrap();
    World::new().refused(&["import", archive], 4, "ARCHIVE_DAMAGED");
}

#[test]
fn every_operation_has_schemas_and_help() {
    let world = World::new();
    let all = world.ok(&["schema"]);
    let all = all.json["result"].as_object().unwrap().clone();
    assert!(all.len() >= 18, "{:?}", all.keys());
    for (name, schemas) in &all {
        assert!(schemas["parameters"].is_object() && schemas["result"].is_object(), "{name}");
        let help = world.command(&[name.as_str(), "--help"]).output().unwrap();
        assert!(help.status.success() && help.stdout.len() > 100, "{name}");
    }
    let one = world.ok(&["schema", "restore"]);
    assert!(one.result("parameters")["properties"]["restoration_mode"].is_object());
    for shell in ["bash", "zsh", "fish"] {
        let script = world.command(&["completions", shell]).output().unwrap();
        assert!(script.status.success() && !script.stdout.is_empty(), "{shell}");
    }
    assert!(world.command(&["man"]).output().unwrap().stdout.starts_with(b".ie"));
}

#[test]
fn a_workspace_is_found_from_below_by_path_and_by_store() {
    let world = World::new();
    world.checkpoint("base");
    let list = |command: &mut std::process::Command| {
        let output = command.output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let json: Value = serde_json::from_slice(&output.stdout).unwrap();
        json["result"]["checkpoints"].as_array().unwrap().len()
    };
    let arguments = ["list-checkpoints", "wf", "--json"];
    assert_eq!(list(world.command(&arguments).current_dir(world.tree.at("sub/deep"))), 1);
    assert_eq!(list(world.command(&arguments).current_dir("/").arg("--workspace").arg(world.root())), 1);
    assert_eq!(list(world.command(&arguments).current_dir("/").arg("--store").arg(world.vault())), 1);
    let lost = world.command(&arguments).current_dir("/").output().unwrap();
    assert_eq!(lost.status.code(), Some(3));
}
