//! What stands in the way of a rollback or a merge and is no matter of lines: another kind of thing, a guarded file.

use std::fs;
use std::process::Command;

use wfr_testkit::skip;

use crate::work::{numbered, paths};
use crate::world::World;

/// The rollback of `a`, with these flags.
fn call<'c>(more: &[&'c str]) -> Vec<&'c str> {
    [&OF_A[..], &["--yes"], more].concat()
}

/// `a` makes a directory of a file, `b` works in it.
fn a_directory_of_a_file() -> World {
    let world = World::with_lines();
    world.work("a", || {
        fs::remove_file(world.root().join("work/f.txt")).unwrap();
        world.put("work/f.txt/in", "i");
        world.put("work/other", "o");
    });
    world.work("b", || world.put("work/f.txt/b", "b"));
    world
}

const OF_A: [&str; 4] = ["rollback", "wf", "--agent", "a"];

#[test]
fn another_kind_of_thing_is_decided_as_it_is_told() {
    let world = a_directory_of_a_file();
    let full = world.timeless();
    let refused = world.refused(&call(&[]), 5, "CONFLICTS");
    let conflict = &refused.json["result"]["plan"]["conflicts"][0];
    assert_eq!((conflict["path"].as_str(), conflict["code"].as_str()), (Some("work/f.txt"), Some("KIND_CLASH")));
    for way in ["--ours", "--partial", "--theirs", "--resolve"] {
        assert!(conflict["message"].as_str().unwrap().contains(way), "{conflict}");
    }
    let by_hand = world.data.path().join("by_hand");
    fs::write(&by_hand, "by hand\n").unwrap();
    let resolve = format!("work/f.txt={}", by_hand.display());
    let taken: [(&[&str], String); 3] = [
        (&["--theirs", "work/f.txt"], numbered(&[])),
        (&["--resolve", &resolve], "by hand\n".to_owned()),
        (&["--conflict-resolution", "checkpoint_priority"], numbered(&[])),
    ];
    for (decision, text) in taken {
        let done = world.ok(&call(decision));
        assert_eq!((world.text("work/f.txt"), world.has("work/other")), (text, false), "{decision:?}");
        assert!(done.result("findings").to_string().contains("`work/f.txt/b` goes, too"), "{done:?}");
        world.ok(&["undo", "--yes"]);
        assert_eq!(world.timeless().differences(&full), [""; 0], "{decision:?}");
    }
    let stays: [&[&str]; 3] =
        [&["--ours", "work/f.txt"], &["--partial"], &["--conflict-resolution", "current_priority"]];
    for decision in stays {
        world.ok(&call(decision));
        assert_eq!(world.text("work/f.txt/b"), "b", "{decision:?}");
        assert!(!world.has("work/f.txt/in") && !world.has("work/other"), "{decision:?}");
        world.ok(&["undo", "--yes"]);
        assert_eq!(world.timeless().differences(&full), [""; 0], "{decision:?}");
    }
    // What was left can still go.
    world.ok(&call(&["--partial"]));
    world.ok(&["rollback", "wf", "--agent", "b", "--yes"]);
    world.ok(&call(&[]));
    assert_eq!(world.text("work/f.txt"), numbered(&[]));
}

#[test]
fn what_should_be_below_a_file_stays_away_with_it() {
    let world = World::with_lines();
    world.put("work/dir/x", "x");
    world.checkpoint("with");
    world.work("a", || {
        fs::remove_file(world.root().join("work/dir/x")).unwrap();
        world.put("work/other", "o");
    });
    fs::remove_dir(world.root().join("work/dir")).unwrap();
    world.put("work/dir", "mine");
    let full = world.timeless();
    let planned = world.ok(&[&OF_A[..], &["--plan"]].concat());
    let message = planned.result("conflicts")[0]["message"].as_str().unwrap();
    assert!(message.contains("--ours") && !message.contains("--theirs"), "{message}");
    for decision in [&["--partial"][..], &["--ours", "work/dir"]] {
        world.ok(&call(decision));
        assert_eq!((world.text("work/dir").as_str(), world.has("work/other")), ("mine", false), "{decision:?}");
        world.ok(&["undo", "--yes"]);
        assert_eq!(world.timeless().differences(&full), [""; 0], "{decision:?}");
    }
    world.work("a", || world.put("work/f.txt", &numbered(&[(3, "by a")])));
    let merge = ["restore", "wf", "with", "--restoration-mode", "merge", "--yes"];
    world.refused(&merge, 5, "CONFLICTS");
    world.ok(&[&merge[..], &["--partial"]].concat());
    assert_eq!(world.text("work/dir"), "mine");
}

#[test]
fn a_guarded_file_keeps_nothing_else_from_being_done() {
    let world = World::with_lines();
    let token = world.begin("a", &["--paths", ".claude/settings.json", "work"]);
    world.put(".claude/settings.json", "{}");
    world.put("work/other", "o");
    world.put("work/f.txt", &numbered(&[(3, "by a")]));
    world.end(&token);
    world.work("b", || world.put("work/f.txt", &numbered(&[(3, "by a and b")])));
    world.refused(&call(&[]), 5, "CONFLICTS");
    let partial = call(&["--partial"]);
    let done = world.ok(&partial);
    assert_eq!(paths(done.result("changed")), ["work/other"]);
    let told = done.result("findings").to_string();
    assert!(told.contains("`.claude/settings.json` stays as it is") && told.contains("--allow-config"), "{told}");
    assert!(told.contains("`work/f.txt` stays as it is"), "{told}");
    // Nothing is left that could be done: nothing is recorded.
    let again = world.ok(&partial);
    assert!(again.result("recovery_id").is_null() && again.json.to_string().contains("LEFT_AS_IT_IS"), "{again:?}");
    world.ok(&[&partial[..], &["--allow-config"]].concat());
    assert!(!world.has(".claude/settings.json") && world.text("work/f.txt").contains("by a and b"));
}

#[test]
fn an_undo_asks_before_guarded_files_come_back() {
    let world = World::with_lines();
    world.put(".envrc", "mine");
    world.checkpoint("with");
    world.work("a", || {
        world.put(".envrc", "by a");
        world.put("work/other", "o");
    });
    let restore = ["restore", "wf", "with", "--yes", "--allow-config"];
    for recovery in [&call(&["--allow-config"])[..], &restore] {
        world.ok(recovery);
        assert_eq!((world.text(".envrc").as_str(), world.has("work/other")), ("mine", false));
        world.refused(&["undo", "--yes"], 8, "CONFIGURATION_GUARDED");
        assert_eq!((world.text(".envrc").as_str(), world.has("work/other")), ("mine", false));
        world.ok(&["undo", "--yes", "--allow-config"]);
        assert_eq!((world.text(".envrc").as_str(), world.has("work/other")), ("by a", true));
    }
}

#[test]
fn the_undo_of_a_rollback_leaves_another_kind_of_thing() {
    let world = World::with_lines();
    world.work("a", || {
        world.put("work/new/x", "x");
        world.put("work/other", "o");
    });
    world.ok(&call(&[]));
    world.put("work/new", "mine");
    world.refused(&["undo", "--yes"], 5, "CONFLICTS");
    world.ok(&["undo", "--yes", "--partial"]);
    assert_eq!((world.text("work/new").as_str(), world.text("work/other").as_str()), ("mine", "o"));
}

#[test]
fn what_nobody_may_change_stays_and_the_rest_is_done() {
    let world = World::with_lines();
    world.put("work/fixed", "before");
    world.checkpoint("fixed");
    world.work("a", || {
        world.put("work/fixed", "by a");
        world.put("work/other", "o");
    });
    let chattr = |flag: &str| {
        let done = Command::new("chattr").arg(flag).arg(world.root().join("work/fixed")).output();
        done.is_ok_and(|output| output.status.success())
    };
    if !chattr("+i") {
        return skip("no file can be made immutable here");
    }
    let (refused, done) = (world.call(&call(&[])), world.call(&call(&["--partial"])));
    assert!(chattr("-i"));
    assert_eq!((refused.code, refused.error()), (7, "PERMISSION_DENIED"), "{refused:?}");
    assert_eq!((done.code, world.has("work/other"), world.text("work/fixed").as_str()), (0, false, "by a"), "{done:?}");
    assert!(done.result("findings").to_string().contains("`work/fixed` stays as it is"), "{done:?}");
    // It is not taken back there, so it can be later.
    world.ok(&call(&[]));
    assert_eq!(world.text("work/fixed"), "before");
}

#[test]
fn what_cannot_be_saved_stays_and_is_not_counted() {
    let world = World::with_lines();
    world.put("work/large", &"7".repeat(500));
    world.checkpoint("large");
    world.work("a", || world.put("work/large", &"8".repeat(900)));
    world.work("a", || world.put("work/other", "o"));
    world.ok(&["config", "capture.file_bytes_max", "400"]);
    let done = world.ok(&call(&[]));
    assert_eq!((done.result("rolled_back"), paths(done.result("kept"))), (&1.into(), vec!["work/large"]));
    world.ok(&["config", "capture.file_bytes_max", "4000"]);
    world.ok(&call(&[]));
    assert_eq!(world.text("work/large").len(), 500);
}

#[test]
fn what_tools_run_needs_a_yes_and_what_agents_read_is_named() {
    for path in [".pre-commit-config.yaml", ".github/workflows/ci.yml", "sub/.gitattributes"] {
        let world = World::new();
        world.tree.write(path, b"then");
        world.checkpoint("base");
        world.tree.write(path, b"now");
        let refused = world.refused(&["restore", "wf", "base", "--yes"], 8, "CONFIGURATION_GUARDED");
        assert!(refused.json.to_string().contains(path), "{refused:?}");
        assert_eq!(world.tree.read(path), b"now");
        world.ok(&["restore", "wf", "base", "--yes", "--allow-config"]);
        assert_eq!(world.tree.read(path), b"then");
    }
    let world = World::new();
    world.tree.write("CLAUDE.md", b"then");
    world.checkpoint("base");
    world.tree.write("CLAUDE.md", b"now");
    for asked in ["--plan", "--yes"] {
        let told = world.ok(&["restore", "wf", "base", asked]);
        let findings = if asked == "--plan" { &told.result("plan")["findings"] } else { told.result("findings") };
        assert_eq!(findings[0]["code"], "AGENT_INSTRUCTIONS", "{told:?}");
        assert!(findings[0]["message"].as_str().unwrap().contains("`CLAUDE.md`"), "{told:?}");
    }
    assert_eq!(world.tree.read("CLAUDE.md"), b"then");
}
