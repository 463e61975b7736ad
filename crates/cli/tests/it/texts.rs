//! What is text and no result of an operation: help, the version, the demo's verdict, manual pages, words that differ.
//!
//! Owns which form each is given in. Refuses to know what the texts say.

use std::io::{BufRead, BufReader, Read};
use std::process::Stdio;

use rustix::process::Signal;
use serde_json::Value;

use crate::catch::send;
use crate::world::World;

fn said(world: &World, arguments: &[&str]) -> String {
    let output = world.command(arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn help_and_version_are_one_document_each_with_json() {
    let world = World::new();
    for (arguments, operation) in [
        (&[][..], "help"),
        (&["--help"], "help"),
        (&["help"], "help"),
        (&["restore", "--help"], "help"),
        (&["help", "restore"], "help"),
        (&["--version"], "version"),
    ] {
        let document = world.ok(arguments);
        assert_eq!((&document.json["status"], &document.json["operation"]), (&"success".into(), &operation.into()));
        for key in ["workflow_id", "timestamp", "impact", "next_steps"] {
            assert!(document.json.get(key).is_some(), "{arguments:?} has no `{key}`");
        }
        let text = document.result("text").as_str().unwrap();
        assert_eq!(text, said(&world, arguments), "{arguments:?}");
    }
    let before: Value = serde_json::from_str(&said(&world, &["--json", "--version"])).unwrap();
    assert!(before["result"]["text"].as_str().unwrap().starts_with("wfr "), "{before}");
}

#[test]
fn a_quiet_demo_gives_its_verdict_only() {
    let world = World::new();
    let text = said(&world, &["demo", "--quiet"]);
    assert!(text.starts_with("VERIFIED: ") && text.lines().count() == 1, "{text}");
}

#[test]
fn an_interrupted_demo_has_no_verdict_and_leaves_nothing() {
    let (world, temporary) = (World::new(), tempfile::tempdir().unwrap());
    let mut command = world.command(&["demo"]);
    let mut child =
        command.env("TMPDIR", temporary.path()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut story = BufReader::new(child.stdout.take().unwrap());
    let mut first = String::new();
    story.read_line(&mut first).unwrap();
    assert!(first.starts_with("A project"), "{first}");
    send(&child, Signal::INT);
    let mut rest = String::new();
    story.read_to_string(&mut rest).unwrap();
    let ended = child.wait_with_output().unwrap();
    let told = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert_eq!(ended.status.code(), Some(130), "{rest}{told}");
    assert!(!rest.contains("VERIFIED") && !told.contains("report it") && !told.contains("resume"), "{rest}{told}");
    let place = temporary.path().canonicalize().unwrap().join("wfr-demo-");
    assert!(told.contains(place.to_str().unwrap()) && told.contains("nothing of yours was touched"), "{told}");
    assert_eq!(temporary.path().read_dir().unwrap().count(), 0);
}

#[test]
fn a_demo_without_a_place_names_the_directory_and_asks_for_no_report() {
    let world = World::new();
    let ended = world.command(&["demo"]).env("TMPDIR", "/no/such/dir").output().unwrap();
    let told = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert_eq!(ended.status.code(), Some(3), "{told}");
    assert!(told.contains("/no/such/dir") && told.contains("TMPDIR") && !told.contains("report"), "{told}");
}

#[test]
fn words_that_differ_can_be_told_apart_without_colour() {
    let world = World::new();
    world.tree.write("words", b"one two three\nlast\n");
    world.checkpoint("base");
    world.tree.write("words", b"one 2-and-3\nlast\nnew line\n");
    let text = said(&world, &["diff", "base", "tree", "--word"]);
    assert_eq!(text, "M words\none [-two three-]{+2-and-3+}\n{+new line+}\n");
}

#[test]
fn an_encrypted_archive_without_a_key_says_how_to_give_one() {
    let world = World::new();
    world.checkpoint("base");
    let refused = world.refused(&["backup-state", "wf", "--encryption"], 2, "WRONG_ARGUMENTS");
    let ways = refused.json["recovery_options"].to_string();
    assert!(ways.contains("--recipients age1") && ways.contains("WFR_PASSPHRASE_FILE"), "{ways}");
}

#[test]
fn long_paths_are_shown_whole() {
    let world = World::new();
    let path = "a-directory-with-a-long-name/".repeat(12) + "file";
    world.tree.write(&path, b"deep");
    world.checkpoint("base");
    for arguments in [&["show", "base"][..], &["show", "base", "--files"]] {
        assert!(said(&world, arguments).contains(&path), "{arguments:?}");
    }
}
