//! Every operation's answer: what its schema promises is there, a refusal leaves everything as it was.
//!
//! Owns the comparison of results with the published schemas. Refuses to know why an operation ends as it does.

use serde_json::{Value, json};
use wfr_testkit::Snapshot;

use crate::world::{Ended, World};

/// Resolves a `$ref` into the schema's own definitions.
fn resolved<'s>(whole: &'s Value, schema: &'s Value) -> &'s Value {
    match schema["$ref"].as_str().and_then(|reference| reference.strip_prefix('#')) {
        Some(pointer) => resolved(whole, whole.pointer(pointer).unwrap()),
        None => schema,
    }
}

/// Checks the part of JSON Schema that answers rely on: types, needed properties, enumerations, alternatives.
fn fits(whole: &Value, schema: &Value, value: &Value, at: &str) -> Result<(), String> {
    let schema = resolved(whole, schema);
    for word in ["anyOf", "oneOf"] {
        if let Some(choices) = schema[word].as_array() {
            let tried: Vec<_> = choices.iter().map(|choice| fits(whole, choice, value, at)).collect();
            if tried.iter().all(Result::is_err) {
                return Err(format!("{at}: none of {word} fits: {tried:?}"));
            }
        }
    }
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    let allowed = |one: &Value| one == kind || (one == "number" && kind == "integer");
    let is_kind = match &schema["type"] {
        Value::Array(kinds) => kinds.iter().any(allowed),
        Value::Null => true,
        one => allowed(one),
    };
    if !is_kind {
        return Err(format!("{at}: is {kind}, not {}", schema["type"]));
    }
    if let Some(constant) = schema.get("const").filter(|constant| *constant != value) {
        return Err(format!("{at}: is not {constant}"));
    }
    if schema["enum"].as_array().is_some_and(|values| !values.contains(value)) {
        return Err(format!("{at}: {value} is not in {}", schema["enum"]));
    }
    fields_fit(whole, schema, value, at)
}

fn fields_fit(whole: &Value, schema: &Value, value: &Value, at: &str) -> Result<(), String> {
    for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        if value.get(name).is_none() {
            return Err(format!("{at}: `{name}` is missing"));
        }
    }
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        if let Some(inner) = value.get(name) {
            fits(whole, property, inner, &format!("{at}.{name}"))?;
        }
    }
    let items = schema.get("items").into_iter();
    let pairs = items.flat_map(|items| value.as_array().into_iter().flatten().map(move |inner| (items, inner)));
    pairs.into_iter().try_for_each(|(items, inner)| fits(whole, items, inner, &format!("{at}[]")))
}

/// Compares a result with the schema of the operation's results.
#[track_caller]
fn check(world: &World, ended: &Ended) {
    let operation = ended.json["operation"].as_str().unwrap();
    let schemas = world.ok(&["schema", operation]);
    let schema = schemas.result("result");
    assert!(schema["properties"].is_object() || schema["anyOf"].is_array(), "{operation}: {schema}");
    let fitting = fits(schema, schema, &ended.json["result"], operation);
    assert_eq!(fitting, Ok(()), "{:#}", ended.json);
    for key in ["status", "operation", "workflow_id", "timestamp", "result", "impact", "next_steps"] {
        assert!(ended.json.get(key).is_some(), "{operation} has no `{key}`");
    }
}

#[test]
fn results_are_what_their_schemas_promise() {
    let world = World::new();
    let archive = world.data.path().join("a.wfrarchive");
    let pages = world.data.path().join("man");
    let out = world.data.path().join("out");
    let document = world.data.path().join("wf.json");
    std::fs::write(&document, br#"{"id": "wf", "status": "running", "dependencies": {"tools": ["sh"]}}"#).unwrap();
    let [archive, pages, out, document] = [&archive, &pages, &out, &document].map(|path| path.to_str().unwrap());
    world.checkpoint("base");
    world.tree.write("a.txt", b"edited\n");
    for arguments in [
        &["init"][..],
        &["create-checkpoint", "wf", "--name", "next", "--validate-integrity"],
        &["list-checkpoints", "wf", "--include-metadata", "--include-integrity-status"],
        &["show", "base", "--coverage", "--files"],
        &["cat", "base", "a.txt"],
        &["cat", "base", "link"],
        &["diff", "base", "next"],
        &["diff", "base", "tree", "--stat"],
        &["validate-checkpoint", "base", "--validation-level", "comprehensive", "--report-details"],
        &["cleanup-checkpoints", "wf", "--dry-run"],
        &["restore", "wf", "base", "--plan"],
        &["restore", "wf", "base", "--to", out],
        &["restore", "wf", "base", "--yes", "--threads", "1"],
        &["undo", "--plan"],
        &["undo", "--yes"],
        &["emergency-restore", "wf", "--plan"],
        &["emergency-restore", "wf", "--yes"],
        &["recoveries", "wf", "--report-details"],
        &["resume"],
        &["backup-state", "wf", "--output", archive],
        &["import", archive],
        &["import", document, "--from", "hub"],
        &["export", "wf"],
        &["validate-state", "wf", "--check-dependencies", "--performance-check"],
        &["repair-state", "wf", "--plan"],
        &["merge-states", "--primary-state", "wf", "--secondary-states", document, "--plan"],
        &["cleanup-checkpoints", "wf", "--retention-policy", "last=1", "--report-cleanup"],
        &["initialize", "wf", r#"{"phases": [{"phase_id": 1, "tasks": [{"task_id": "t1", "dependencies": ["t0"]}]}]}"#],
        &["event", r#"TASK_STARTED:wf:1:{"task_id":"t1","agent_id":"a1"}"#],
        &["update-state", "wf", r#"{"current_phase": 1}"#],
        &["record-metrics", "wf", r#"{"metrics": {"cpu_percent": 1}}"#],
        &["handle-error", "wf", "--error-message", "it broke"],
        &["get-state", "wf", "--format", "hub"],
        &["status", "wf"],
        &["events", "wf"],
        &["workflows"],
        &["graph", "wf", "--format", "dot"],
        &["doctor"],
        &["metadata", "wf"],
        &["config"],
        &["schema", "restore"],
        &["completions", "bash"],
        &["man"],
        &["man", "restore"],
        &["man", pages],
    ] {
        check(&world, &world.ok(arguments));
    }
    assert!(!world.tree.at("restore").exists(), "the page of an operation is printed");
    for name in ["wfr.1", "wfr-restore.1", "wfr-create-checkpoint.1"] {
        assert!(std::fs::read(format!("{pages}/{name}")).unwrap().starts_with(b".ie"), "{name}");
    }
}

#[test]
fn a_check_that_did_not_run_says_skipped() {
    let world = World::new();
    world.checkpoint("base");
    world.tree.write("a.txt", b"edited\n");
    let plain = world.ok(&["restore", "wf", "base", "--yes"]);
    let results = plain.result("validation_results");
    assert_eq!(results["integrity_check"], "passed");
    for key in ["dependency_validation", "performance_check", "functional_check"] {
        assert_eq!(results[key], "skipped", "{key}");
    }
    assert_eq!(world.ok(&["undo", "--plan"]).result("validation_results")["integrity_check"], "skipped");
    world.ok(&["undo", "--yes"]);
    let unchecked = world.ok(&["restore", "wf", "base", "--yes", r#"{"validate_integrity": false}"#]);
    assert_eq!(unchecked.result("validation_results")["integrity_check"], "skipped");
    let made = world.checkpoint("unread");
    assert_eq!(made.result("integrity_check"), "skipped");
}

/// What stands in the vault, times of use aside: names and sizes of packs and journal, and every checkpoint.
fn vault_of(world: &World) -> (Snapshot, Vec<String>) {
    let is_kept = |path: &[u8]| path.starts_with(b"packs") || path.starts_with(b"journal");
    (Snapshot::of(&world.vault()).only(is_kept).without_mtimes(), world.names())
}

#[test]
fn without_consent_no_recovery_writes_anything() {
    let world = World::new();
    world.checkpoint("base");
    world.tree.write("a.txt", b"first edit\n");
    world.ok(&["restore", "wf", "base", "--yes"]);
    world.tree.write("zero", b"second edit\n");
    let (tree, vault) = (world.snapshot(), vault_of(&world));
    for arguments in [
        &["restore", "wf", "base"][..],
        &["emergency-restore", "wf"],
        &["undo"],
        &["restore", "wf", "base", r#"{"yes": false}"#],
    ] {
        let refused = world.refused(arguments, 8, "CONSENT_NEEDED");
        let digest = refused.result("plan")["digest"].as_str().unwrap();
        assert!(refused.json["recovery_options"].to_string().contains(digest), "{refused:?}");
        let plain = world.command(arguments).output().unwrap();
        assert_eq!(plain.status.code(), Some(8), "{arguments:?}");
        world.ok(&[arguments, &["--plan"]].concat());
        tree.assert_same(&world.snapshot());
        assert_eq!(vault, vault_of(&world), "{arguments:?}");
    }
    let digest = world.ok(&["undo", "--plan"]).result("plan")["digest"].as_str().unwrap().to_owned();
    let wrong = format!("sha256:{}", "0".repeat(64));
    world.refused(&["undo", "--apply", &wrong, "--yes"], 5, "STALE_PLAN");
    world.refused(&["undo", "--apply", "not-a-digest"], 2, "INVALID_PARAMETER");
    tree.assert_same(&world.snapshot());
    world.ok(&["undo", "--apply", &digest]);
    assert_eq!(world.tree.read("a.txt"), b"first edit\n");
    assert_eq!(world.tree.read("zero"), b"second edit\n", "an edit made after the recovery stays");
}

#[test]
fn default_names_follow_type_and_phase_and_give_way_where_taken() {
    let world = World::new();
    let create = |parameters: Value| {
        let made = world.ok(&["create-checkpoint", "wf", &parameters.to_string()]);
        made.result("name").as_str().unwrap().to_owned()
    };
    assert_eq!(create(json!({"checkpoint_type": "phase_complete", "phase_id": 1})), "phase_1_complete");
    let again = create(json!({"checkpoint_type": "phase_complete", "phase_id": 1}));
    assert!(again.starts_with("phase_1_complete") && again != "phase_1_complete", "{again}");
    let before = create(json!({"checkpoint_type": "phase_complete", "trigger": "pre_critical", "phase_id": 3}));
    assert_eq!(before, "phase_3_pre_critical");
    let increments = [(); 2].map(|()| create(json!({"checkpoint_type": "incremental"})));
    assert!(increments[0].starts_with("inc_001_") && increments[1].starts_with("inc_002_"), "{increments:?}");
    let newest = world.ok(&["show", "phase:1"]);
    assert_eq!(newest.result("checkpoint")["name"], again.as_str(), "the newest of a phase is meant");
    assert_eq!(world.ok(&["create-checkpoint", "other", "--name", "same"]).code, 0);
    world.ok(&["create-checkpoint", "wf", "--name", "same"]);
    world.refused(&["show", "same"], 2, "AMBIGUOUS_REFERENCE");
    world.ok(&["show", "other", "same"]);
}

#[test]
fn the_same_call_without_json_says_the_same_to_people() {
    let world = World::new();
    world.tree.write("esc\u{1b}[31m", b"red");
    world.checkpoint("base");
    world.tree.remove("esc\u{1b}[31m");
    for (arguments, code, stdout, stderr) in [
        (&["list-checkpoints"][..], 0, "base", ""),
        (&["diff", "base"], 0, "esc", ""),
        (&["restore", "wf", "base", "--plan"], 0, "esc", ""),
        (&["restore", "wf", "base"], 8, "esc", "Hint:"),
        (&["show", "nowhere"], 3, "", "Hint:"),
        (&["doctor", "--quiet"], 0, "", ""),
    ] {
        let output = world.command(arguments).output().unwrap();
        let [out, err] = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned());
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {out}{err}");
        assert!(out.contains(stdout) && err.contains(stderr), "{arguments:?}: {out}{err}");
        assert!(!out.contains('\u{1b}') && !err.contains('\u{1b}'), "{arguments:?} passes an escape on: {out}{err}");
    }
}

#[test]
fn a_plan_that_nobody_agreed_to_is_shown_as_one() {
    let world = World::new();
    world.checkpoint("base");
    std::fs::write(world.root().join("new"), "new").unwrap();
    let refused = world.command(&["restore", "wf", "base"]).output().unwrap();
    let shown = String::from_utf8(refused.stdout).unwrap();
    assert!(refused.status.code() == Some(8) && shown.contains("\nPlan:") && !shown.contains('{'), "{shown}");
}

#[test]
fn a_checkpoint_has_the_same_size_when_it_is_taken_shown_and_listed() {
    let world = World::new();
    let made = world.checkpoint("base").result("size_bytes").clone();
    let shown = world.ok(&["show", "base"]).json.to_string();
    assert!(shown.contains(&format!("\"size_bytes\":{made}")), "{made}: {shown}");
    let listed = world.ok(&["list-checkpoints", "wf", "--include-metadata"]).json.to_string();
    assert!(listed.contains(&format!("\"size_bytes\":{made}")), "{made}: {listed}");
}
