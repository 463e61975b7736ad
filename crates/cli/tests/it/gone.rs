//! What a checkpoint saw and does not cover, and what is gone since: every recovery that leads to it names that.
//!
//! Owns the words of it. Refuses to know why something is not covered.

use serde_json::{Value, json};

use crate::world::World;

const GONE: [(&str, &str); 5] = [
    (".venv", "excluded"),
    ("app/node_modules", "excluded"),
    ("cache", "cachedir_tag"),
    ("large", "quota"),
    ("pipe", "special_file"),
];

/// A workspace with a checkpoint `base` and all kinds of things that it does not cover.
fn uncovered() -> World {
    let world = World::new();
    world.tree.write(".venv/bin", b"1");
    world.tree.write("app/node_modules/p/i.js", b"1");
    world.tree.write("other/node_modules/p/i.js", b"1");
    world.tree.write("cache/CACHEDIR.TAG", b"Signature: 8a477f597d28d172789f06886806bc55\n");
    world.tree.fifo("pipe");
    world.tree.write("large", &[7; 5_000]);
    world.ok(&["config", "capture.file_bytes_max", "1000"]);
    world.checkpoint("base");
    world
}

fn lose(world: &World) {
    for (path, _) in GONE {
        let at = world.tree.at(path);
        if at.is_dir() { std::fs::remove_dir_all(at).unwrap() } else { std::fs::remove_file(at).unwrap() }
    }
}

fn gone(kept: &Value) -> Vec<(String, String)> {
    let of = |one: &Value| Some((one["path"].as_str()?.to_owned(), one["reason"]["gone"].as_str()?.to_owned()));
    kept.as_array().unwrap_or_else(|| panic!("{kept:#}")).iter().filter_map(of).collect()
}

fn all() -> Vec<(String, String)> {
    GONE.map(|(path, reason)| (path.to_owned(), reason.to_owned())).to_vec()
}

#[test]
fn plan_text_and_result_name_what_is_gone_and_nothing_that_is_there() {
    let world = uncovered();
    world.tree.write("a.txt", b"edited");
    let planned = world.ok(&["restore", "wf", "base", "--plan"]);
    assert_eq!(gone(&planned.json["result"]["plan"]["kept"]), [], "{planned:?}");
    lose(&world);
    let plan = ["restore", "wf", "base", "--plan"];
    assert_eq!(gone(&world.ok(&plan).json["result"]["plan"]["kept"]), all());
    let told = String::from_utf8(world.command(&plan).output().unwrap().stdout).unwrap();
    let title = "it cannot be brought back from this checkpoint\n";
    let part = told.split_once(title).unwrap_or_else(|| panic!("{told}")).1;
    let first = "  .venv  it is excluded\n  app/node_modules  it is excluded\n  cache  it is marked as a cache\n";
    assert!(part.starts_with(first) && !part.contains("other"), "{told}");
    let restored = world.ok(&["restore", "wf", "base", "--yes"]);
    assert_eq!(gone(restored.result("kept")), all(), "{restored:?}");
    let again = world.ok(&["restore", "wf", "base", "--yes"]);
    assert_eq!(gone(again.result("kept")), all(), "{again:?}");
    let next = again.json["next_steps"].to_string();
    assert!(next.contains("what it does not cover and is gone cannot be brought back"), "{next}");
    // Elsewhere none of it will be there, gone or not.
    let to = world.data.path().join("to");
    let beside = world.ok(&["restore", "wf", "base", "--plan", "--to", to.to_str().unwrap()]);
    let kept = &beside.json["result"]["plan"]["kept"];
    assert_eq!(gone(kept), []);
    let excluded = json!({"path": "other/node_modules", "reason": {"not_in_checkpoint": "excluded"}});
    assert!(kept.as_array().unwrap().contains(&excluded), "{kept:#}");
}

#[test]
fn only_what_a_recovery_is_about_is_named() {
    let world = uncovered();
    world.tree.write("app/code", b"1");
    lose(&world);
    world.tree.write("a.txt", b"edited");
    let of_app = [("app/node_modules".to_owned(), "excluded".to_owned())];
    let planned = world.ok(&["partial-restore", "wf", "base", "--file", "app", "--plan"]);
    assert_eq!(gone(&planned.json["result"]["plan"]["kept"]), of_app, "{planned:?}");
    for (files, expected) in [(&[][..], all()), (&["--file", "app"], of_app.to_vec())] {
        let merged = [&["restore", "wf", "base", "--restoration-mode", "merge", "--plan"], files].concat();
        let planned = world.ok(&merged);
        assert_eq!(gone(&planned.json["result"]["plan"]["kept"]), expected, "{planned:?}");
    }
}

#[test]
fn an_undo_names_what_went_since_the_recovery() {
    let world = uncovered();
    world.tree.write("a.txt", b"edited");
    world.ok(&["restore", "wf", "base", "--yes"]);
    lose(&world);
    let undone = world.ok(&["undo", "--yes"]);
    assert_eq!(gone(undone.result("kept")), all(), "{undone:?}");
    assert_eq!(world.tree.read("a.txt"), b"edited");
    world.ok(&["partial-restore", "wf", "base", "--file", "a.txt", "--yes"]);
    world.tree.remove("other/node_modules/p/i.js");
    std::fs::remove_dir_all(world.tree.at("other/node_modules")).unwrap();
    let undone = world.ok(&["undo", "--plan"]);
    assert_eq!(gone(&undone.json["result"]["plan"]["kept"]), [], "{undone:?}");
}

#[test]
fn in_need_it_is_named_too() {
    let world = World::new();
    world.tree.write(".venv/bin", b"1");
    world.checkpoint("base");
    std::fs::remove_dir_all(world.tree.at(".venv")).unwrap();
    world.tree.write("a.txt", b"edited");
    let expected = [(".venv".to_owned(), "excluded".to_owned())];
    for how in ["--plan", "--yes"] {
        let done = world.ok(&["emergency-restore", "wf", how]);
        let plan = &done.json["result"]["plan"]["kept"];
        assert_eq!(gone(if plan.is_null() { done.result("kept") } else { plan }), expected, "{done:?}");
    }
}
