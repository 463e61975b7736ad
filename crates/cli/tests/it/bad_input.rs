//! Bad parameters, configurations and trees: a clear error or a named skip, and nothing is lost.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use wfr_testkit::TestTree;

use crate::world::World;

#[test]
fn parameters_that_are_wrong_are_named() {
    let world = World::new();
    world.checkpoint("base");
    for (arguments, code, error) in [
        (&["creat-checkpoint", "wf"][..], 2, "UNKNOWN_OPERATION"),
        (&["create-checkpoint", "wf", "{"], 2, "INVALID_JSON"),
        (&["create-checkpoint", "wf", "[1]"], 2, "WRONG_ARGUMENTS"),
        (&["create-checkpoint", "wf", r#"{"nam":"x"}"#], 2, "UNKNOWN_PARAMETER"),
        (&["create-checkpoint", "wf", r#"{"checkpoint_type":"sometimes"}"#], 2, "INVALID_PARAMETER"),
        (&["create-checkpoint", "wf", r#"{"name":"../../etc"}"#], 2, "INVALID_PARAMETER"),
        (&["create-checkpoint", "wf", r#"{"name":"latest"}"#], 2, "INVALID_PARAMETER"),
        (&["create-checkpoint", "wf", r#"{"retention_policy":"soon"}"#], 2, "INVALID_PARAMETER"),
        (&["create-checkpoint"], 2, "WRONG_ARGUMENTS"),
        (&["restore", "wf", "base", r#"{"restoration_mode":"partial"}"#], 2, "WRONG_ARGUMENTS"),
        (&["restore", "wf", "base", "--file", "x"], 2, "WRONG_ARGUMENTS"),
        (&["restore", "wf", "base", "--restoration-mode", "merge", "--to", "x"], 2, "WRONG_ARGUMENTS"),
        (
            &["restore", "wf", "base", "--restoration-mode", "merge", "--components", "file_system"],
            2,
            "WRONG_ARGUMENTS",
        ),
        (&["restore", "wf", "base", "--restoration-mode", "partial", "--ours", "x"], 2, "WRONG_ARGUMENTS"),
        (&["restore", "other", "base"], 3, "WORKFLOW_NOT_FOUND"),
        (&["import", "/no/such/file"], 3, "FILE_NOT_FOUND"),
        (&["cleanup-checkpoints", "wf", "--retention-policy", "last=many"], 2, "INVALID_PARAMETER"),
    ] {
        let ended = world.call(arguments);
        assert_eq!((ended.code, ended.error()), (code, error), "{arguments:?}: {ended:?}");
    }
    let near = world.refused(&["create-checkpoint", "wf", r#"{"nam":"x"}"#], 2, "UNKNOWN_PARAMETER");
    assert!(near.json.to_string().contains("name"), "{near:?}");
    assert_eq!(world.names(), ["base"]);
}

#[test]
fn a_configuration_that_cannot_be_used_is_named_with_its_line() {
    let world = World::new();
    world.checkpoint("base");
    let file = world.root().join(".claude/recovery/config.toml");
    let good = std::fs::read(&file).unwrap();
    for bad in ["capture = 1", "[capture]\nexclud = []", "\u{0}", "[capture]\nquota_bytes = -3"] {
        std::fs::write(&file, bad).unwrap();
        let refused = world.refused(&["create-checkpoint", "wf"], 2, "INVALID_CONFIGURATION");
        assert!(refused.json["error"].to_string().contains("config.toml"), "{refused:?}");
    }
    std::fs::write(&file, good).unwrap();
    world.refused(&["config", "capture.exclud", "x"], 2, "UNKNOWN_PARAMETER");
    world.refused(&["config", "capture.nothing"], 2, "UNKNOWN_PARAMETER");
    world.refused(&["config", "--unset"], 2, "WRONG_ARGUMENTS");
    let set = world.ok(&["config", "capture.exclude", r#"["dist", "out"]"#]);
    assert_eq!(set.result("keys")[0]["value"], serde_json::json!(["dist", "out"]));
    world.ok(&["config", "capture.exclude", "target"]);
    assert_eq!(world.names(), ["base"]);
}

#[test]
fn one_wrong_line_stops_neither_who_looks_nor_who_brings_back() {
    let world = World::new();
    world.ok(&["config", "capture.exclude", "[]"]);
    world.tree.write("node_modules/x", b"1");
    world.checkpoint("base");
    let file = world.root().join(".claude/recovery/config.toml");
    let good = std::fs::read_to_string(&file).unwrap();
    let bad = good.replacen("[capture]", "[capture]\nexclud = []", 1);
    let line = bad.lines().position(|line| line.starts_with("exclud ")).unwrap() + 1;
    std::fs::write(&file, bad).unwrap();
    let place = format!("line {line}, column 1");
    let findings = world.refused(&["doctor"], 1, "UNHEALTHY").result("findings").to_string();
    assert!(["CONFIGURATION_INVALID", "exclud", &place].iter().all(|word| findings.contains(word)), "{findings}");
    for arguments in [
        &["list-checkpoints"][..],
        &["show", "base"],
        &["cat", "base", "a.txt"],
        &["diff", "base"],
        &["status"],
        &["events"],
        &["recoveries"],
        &["resume"],
    ] {
        let told = world.ok(arguments).json["next_steps"].to_string();
        assert!(told.contains(&place) && told.contains("defaults"), "{arguments:?}: {told}");
    }
    // Standard output is the file's.
    let printed = world.command(&["cat", "base", "a.txt"]).output().unwrap();
    assert_eq!(printed.stdout, b"a0\n");
    assert!(String::from_utf8(printed.stderr).unwrap().contains(&place));
    for arguments in
        [&["create-checkpoint", "wf"][..], &["cleanup-checkpoints"], &["config", "capture.quota_bytes", "0"], &["init"]]
    {
        let refused = world.refused(arguments, 2, "INVALID_CONFIGURATION");
        let told = refused.json["recovery_options"].to_string();
        assert!(told.contains("config.toml") && told.contains("remove the file"), "{refused:?}");
    }
    let valid = world.ok(&["validate-checkpoint", "base"]);
    assert!(valid.json["next_steps"].to_string().contains("defaults"), "{valid:?}");
    let refused = world.refused(&["restore", "wf", "base", "--yes"], 2, "INVALID_CONFIGURATION");
    assert!(refused.json["recovery_options"].to_string().contains("wfr emergency-restore"), "{refused:?}");
    let guarded = world.command(&["guard", "wf", "--", "touch", "ran"]).output().unwrap();
    assert!(guarded.status.code() == Some(125) && !world.tree.at("ran").exists(), "{guarded:?}");
    world.tree.write("a.txt", b"edited");
    world.tree.write("node_modules/x", b"edited");
    let restored = world.ok(&["emergency-restore", "wf", "--yes"]);
    assert!(restored.json["next_steps"].to_string().contains("safety checkpoint"), "{restored:?}");
    assert_eq!(world.tree.read("a.txt"), b"a0\n");
    world.ok(&["undo", "--yes"]);
    assert_eq!(world.tree.read("a.txt"), b"edited");
    assert_eq!(world.tree.read("node_modules/x"), b"edited", "what is not saved first is not changed");
    std::fs::write(&file, good).unwrap();
    world.ok(&["doctor"]);
}

#[test]
fn a_value_that_is_not_allowed_is_told_with_what_is() {
    let world = World::new();
    world.checkpoint("base");
    let quota = "`capture.quota_bytes`: `banana` is not allowed: write a whole number from 0 on";
    for (arguments, code, told) in [
        (&["config", "capture.quota_bytes", "banana"][..], 2, quota),
        (&["config", "quota_bytes", "1"], 2, "did you mean `capture.quota_bytes`?"),
        (&["config", "capture.skip_cachedir_tag", "3"], 2, "write `true` or `false`"),
        (&["create-checkpoint", "wf", "--deadline", "-5"], 2, "`-5` is not allowed: no value is below 0"),
        (&["create-checkpoint", "wf", "--deadline", "-1s"], 2, "`-1s` is not allowed: no value is below 0"),
        (&["create-checkpoint", "wf", "--deadline=-5"], 2, "write it like 30_days, 30d"),
        (&["create-checkpoint", "wf", "--deadline", "banana"], 2, "write it like 30_days, 30d"),
        (&["list-checkpoints", "--limit", "0"], 2, "`0` is not allowed: write a whole number from 1 on"),
        (&["log", "--limit", "0"], 2, "`0` is not allowed: write a whole number from 1 on"),
        (&["recoveries", "--limit", "0"], 2, "`0` is not allowed: write a whole number from 1 on"),
        (&["recoveries", "--limit", "x"], 2, "`x` is not allowed: write a"),
        (&["restore", "wf", "base", "--threads", "0"], 2, "it may be a whole number from 1 to 65535"),
        (&["validate-checkpoint", "base", "--validation-level", "deep"], 2, "write one of these: `basic`"),
        (&["undo", "nosuch"], 3, "`wfr recoveries` lists them"),
        (&["undo", "rec_nosuch"], 3, "`wfr recoveries` lists them"),
        (&["undo", "wf", "nosuch"], 2, "begins with `rec_`"),
    ] {
        let refused = world.call(arguments);
        let said = format!("{} {}", refused.json["error"]["message"], refused.json["recovery_options"]);
        assert!(refused.code == code && said.contains(told), "{arguments:?}: {refused:?}");
    }
}

#[test]
fn names_of_any_bytes_come_back_and_are_told_apart() {
    let world = World::new();
    let odd = [&b"new\nline"[..], b"back\\slash", b"\xff\xfe", b"\x1b[2J", b"-rf", b"{json}", b"  "];
    for name in odd {
        world.tree.write(OsStr::from_bytes(name), name);
    }
    let before = world.snapshot();
    world.checkpoint("base");
    for name in odd {
        world.tree.remove(OsStr::from_bytes(name));
    }
    let restored = world.ok(&["restore", "wf", "base", "--yes", "--exact-mtime"]);
    before.assert_same(&world.snapshot());
    let paths = restored.result("changed").to_string();
    assert!(paths.contains(r"\\\\slash") && paths.contains(r"\\xff\\xfe"), "{paths}");
    let bytes = world.command(&["cat", "base", r"\xff\xfe"]).output().unwrap();
    assert_eq!(bytes.stdout, b"\xff\xfe");
}

#[test]
fn what_is_not_captured_is_named_and_never_touched() {
    let world = World::new();
    world.tree.fifo("pipe");
    world.tree.write("node_modules/x", b"1");
    world.tree.write("cached/CACHEDIR.TAG", b"Signature: 8a477f597d28d172789f06886806bc55\n");
    world.tree.write("cached/data", b"1");
    world.tree.write(".git/HEAD", b"ref: refs/heads/main\n");
    let made = world.checkpoint("base");
    let skipped = made.result("coverage").to_string();
    for name in ["node_modules", "cached", ".git"] {
        assert!(skipped.contains(name), "{name}: {skipped}");
    }
    for path in ["node_modules/x", "cached/data", ".git/HEAD"] {
        world.tree.write(path, b"changed");
    }
    world.tree.write("a.txt", b"edited");
    let planned = world.ok(&["restore", "wf", "base", "--plan"]).result("plan")["kept"].to_string();
    world.ok(&["restore", "wf", "base", "--yes"]);
    for path in ["node_modules/x", "cached/data", ".git/HEAD"] {
        let top = path.split('/').next().unwrap();
        assert!(planned.contains(&format!("\"{top}\"")), "{top}: {planned}");
        assert_eq!(world.tree.read(path), b"changed", "{path}");
    }
    assert!(world.tree.at("pipe").symlink_metadata().is_ok());
}

#[test]
fn a_tag_dropped_into_captured_work_does_not_hide_it() {
    let world = World::new();
    world.tree.write("src/lib.rs", b"fn main() {}");
    world.checkpoint("base");
    world.tree.write("src/CACHEDIR.TAG", b"Signature: 8a477f597d28d172789f06886806bc55\n");
    world.tree.write("src/lib.rs", b"second");
    for name in ["second", "third"] {
        let made = world.checkpoint(name);
        assert!(made.json["next_steps"].to_string().contains("accept-exclusions"), "{made:?}");
        let bytes = world.command(&["cat", name, "src/lib.rs"]).output().unwrap();
        assert_eq!(bytes.stdout, b"second");
    }
    world.ok(&["create-checkpoint", "wf", "--name", "agreed", "--accept-exclusions"]);
    world.refused(&["cat", "agreed", "src/lib.rs"], 3, "PATH_NOT_FOUND");
    world.checkpoint("stays-so");
    world.refused(&["cat", "stays-so", "src/lib.rs"], 3, "PATH_NOT_FOUND");
}

#[test]
fn the_view_is_never_written_through_a_link() {
    let outside = TestTree::new();
    let world = World::unprotected(TestTree::new());
    world.tree.symlink(".claude", outside.path().as_os_str().as_bytes());
    assert_ne!(world.call(&["init"]).code, 0);
    assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 0);
}

#[test]
fn a_quota_and_a_deadline_make_an_incomplete_checkpoint_or_an_error() {
    let world = World::new();
    world.checkpoint("base");
    world.tree.write("noise", &wfr_testkit::Prng::new(1).bytes(3_000_000));
    world.ok(&["config", "capture.quota_bytes", "4000000"]);
    // What of it still goes in would hide what does not: the call fails as a whole, and says what is left.
    let full = world.refused(&["create-checkpoint", "wf", "--name", "full"], 7, "QUOTA_EXCEEDED");
    assert!(full.json["recovery_options"].to_string().contains("capture.quota_bytes"), "{full:?}");
    assert_eq!(world.names(), ["base"]);
    world.ok(&["config", "capture.quota_bytes", "0"]);
    let hurried = world.ok(&["create-checkpoint", "wf", "--name", "hurried", "--deadline", "0s"]);
    assert_eq!(hurried.result("coverage")["complete"], false);
    assert_eq!(hurried.result("files")["removed"], 0, "what was not reached is not gone");
    let valid = world.ok(&["validate-checkpoint", "latest-valid"]);
    assert_ne!(valid.result("name"), "hurried");
    world.ok(&["doctor"]);
}

#[test]
fn unsuitable_places_are_refused() {
    let world = World::unprotected(TestTree::new());
    world.refused(&["list-checkpoints"], 3, "WORKSPACE_NOT_FOUND");
    world.refused(&["init", "/no/such/directory"], 3, "FILE_NOT_FOUND");
    world.refused(&["init", "/"], 2, "UNSUITABLE_PLACE");
    world.ok(&["init"]);
    world.refused(&["restore", "wf", "base", "--yes"], 3, "WORKFLOW_NOT_FOUND");
    let to = world.root().join("full");
    world.tree.write("full/file", b"1");
    world.checkpoint("base");
    world.refused(&["restore", "wf", "base", "--to", to.to_str().unwrap(), "--yes"], 5, "TARGET_NOT_EMPTY");
    let inside = world.refused(&["list-checkpoints", "--workspace", to.to_str().unwrap()], 3, "WORKSPACE_NOT_FOUND");
    assert!(inside.json["error"]["message"].as_str().unwrap().contains("lies in the workspace"), "{inside:?}");
    world.tree.write("a.txt", b"edited");
    world.tree.write(".wfr-staging", b"a file of somebody's");
    let refused = world.call(&["restore", "wf", "base", "--yes"]);
    assert!(refused.json["error"].to_string().contains(".wfr-staging"), "{refused:?}");
}

#[test]
fn a_configuration_that_is_no_file_is_refused_and_never_waited_for() {
    let world = World::new();
    world.checkpoint("base");
    let file = world.root().join(".claude/recovery/config.toml");
    std::fs::remove_file(&file).unwrap();
    for is_pipe in [true, false] {
        if is_pipe {
            world.tree.fifo(".claude/recovery/config.toml");
        } else {
            std::fs::remove_file(&file).unwrap();
            std::fs::create_dir(&file).unwrap();
        }
        let refused = world.refused(&["create-checkpoint", "wf"], 2, "INVALID_CONFIGURATION");
        let told = refused.json["error"]["message"].to_string();
        assert!(told.contains("config.toml") && told.contains("not a regular file"), "{told}");
        assert_eq!(world.names(), ["base"], "who looks goes on with the defaults");
    }
}

#[test]
fn names_that_no_entry_has_are_refused_as_exclusions() {
    let world = World::new();
    for (name, instead) in [
        ("/tmp/cache", "`cache`"),
        ("build/", "`build`"),
        ("..", ""),
        ("", ""),
        ("a/../b", "`b`"),
        ("**/*.log", "`*.log`"),
    ] {
        let list = serde_json::json!([name]).to_string();
        let told = world.refused(&["config", "capture.exclude", &list], 2, "INVALID_PARAMETER");
        let message = told.json["error"]["message"].as_str().unwrap();
        assert!(message.contains("no entry is called") && message.contains(instead), "{message}");
    }
    // A name may have such letters; whoever means a pattern of another kind is told.
    world.ok(&["config", "capture.exclude", r#"["*.log", "tmp-?", "[ab]"]"#]);
    let findings = world.ok(&["doctor"]).result("findings").to_string();
    assert!(findings.contains("EXCLUDE_IS_NO_PATTERN") && findings.contains("[ab]"), "{findings}");
    assert!(!findings.contains("*.log"), "{findings}");
    for name in ["deep/er/a.log", "a.logs", "tmp-1/f", "tmp-10/f"] {
        world.tree.write(name, b"text");
    }
    world.checkpoint("base");
    let shown = world.ok(&["show", "base", "--files"]).json.to_string();
    let holds = |name: &str| shown.contains(&format!(r#""path":"{name}","kind":"#));
    assert!(holds("a.logs") && holds("tmp-10/f") && !holds("deep/er/a.log") && !holds("tmp-1/f"), "{shown}");
}
