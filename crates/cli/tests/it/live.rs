//! Processes that die and users who go on working while a restore runs.

use std::io::Read;
use std::process::{Child, Stdio};

use wfr_testkit::Prng;

use crate::world::World;

/// A tree with enough files for a restore to be caught at work.
fn large() -> World {
    let world = World::new();
    let mut prng = Prng::new(2);
    for number in 0..300 {
        world.tree.write(format!("many/{number}"), &prng.bytes(3_000));
    }
    world.checkpoint("base");
    for number in 0..300 {
        world.tree.write(format!("many/{number}"), b"edited");
    }
    world
}

/// Waits for an event, or for the end of a process.
fn wait_until(child: &mut Child, happened: impl Fn() -> bool) {
    while !happened() && child.try_wait().unwrap().is_none() {
        std::thread::yield_now();
    }
}

#[test]
fn a_killed_restore_is_completed() {
    let mut prng = Prng::from_environment();
    for _ in 0..6 {
        let world = large();
        world.ok(&["restore", "wf", "base", "--yes", "--exact-mtime"]);
        let wanted = world.snapshot();
        world.ok(&["undo", "--yes", "--exact-mtime"]);
        let edited = world.snapshot();
        let mut command = world.command(&["restore", "wf", "base", "--yes", "--exact-mtime", "--json"]);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let last = format!("many/{}", prng.below(300));
        wait_until(&mut child, || world.tree.read(&last) != b"edited");
        child.kill().unwrap();
        child.wait().unwrap();
        world.ok(&["resume"]);
        let now = world.snapshot().without_dir_mtimes();
        let is_one = [&wanted, &edited].iter().any(|state| (*state).clone().without_dir_mtimes() == now);
        assert!(is_one, "neither old nor new: {:#?}", wanted.differences(&world.snapshot()));
        world.ok(&["doctor"]);
    }
}

#[test]
fn an_interrupted_checkpoint_leaves_the_store_whole() {
    let world = large();
    let mut command = world.command(&["create-checkpoint", "wf", "--name", "interrupted", "--json"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let leases = world.vault().join("leases");
    wait_until(&mut child, || std::fs::read_dir(&leases).unwrap().count() > 2);
    let id = rustix::process::Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    let _ = rustix::process::kill_process(id, rustix::process::Signal::INT);
    let mut text = String::new();
    child.stdout.take().unwrap().read_to_string(&mut text).unwrap();
    let code = child.wait().unwrap().code();
    assert!(matches!(code, Some(0 | 130) | None), "{code:?} {text}");
    assert_eq!(world.names().contains(&"interrupted".to_owned()), code == Some(0));
    world.ok(&["doctor"]);
    world.checkpoint("next");
}

#[test]
fn what_a_user_writes_meanwhile_is_never_lost() {
    let world = large();
    let mut command = world.command(&["restore", "wf", "base", "--yes", "--json"]);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut written = Vec::new();
    for number in (0..300).rev() {
        let text = format!("written meanwhile {number}");
        std::fs::write(world.tree.at(format!("many/{number}")), &text).unwrap();
        written.push((format!("many/{number}"), text));
    }
    let output = child.wait_with_output().unwrap();
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let displaced: Vec<String> = json["result"]["displaced"].as_array().into_iter().flatten().map(place).collect();
    let safety = json["result"]["safety_checkpoint"].as_str().map(str::to_owned);
    for (path, text) in written {
        let there = world.tree.read(&path) == text.as_bytes();
        let saved = || safety.as_ref().is_some_and(|safety| cat(&world, safety, &path) == text.as_bytes());
        let aside = || {
            displaced.iter().any(|place| std::fs::read(world.root().join(place)).is_ok_and(|b| b == text.as_bytes()))
        };
        assert!(there || saved() || aside(), "{path} is lost: {json:#}");
    }
}

#[test]
fn what_was_displaced_and_kept_is_pointed_out_later() {
    let world = World::new();
    world.tree.write("log", b"one");
    world.checkpoint("base");
    world.tree.write("log", b"one and more");
    let writer = std::fs::OpenOptions::new().append(true).open(world.tree.at("log")).unwrap();
    let restored = world.ok(&["restore", "wf", "base", "--yes"]);
    assert_eq!(restored.result("displaced").as_array().unwrap().len(), 1, "{restored:?}");
    let findings = || world.ok(&["doctor"]).result("findings").to_string();
    assert!(findings().contains("DISPLACED_KEPT"), "{}", findings());
    drop(writer);
    std::fs::remove_dir_all(world.tree.at(".wfr-staging")).unwrap();
    assert!(!findings().contains("DISPLACED_KEPT"), "{}", findings());
}

fn place(displaced: &serde_json::Value) -> String {
    displaced["kept_at"].as_str().unwrap_or_default().to_owned()
}

fn cat(world: &World, checkpoint: &str, path: &str) -> Vec<u8> {
    world.command(&["cat", checkpoint, path]).output().unwrap().stdout
}
