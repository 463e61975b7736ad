//! Looks at some paths only, between edits of everybody: whoever wrote a path last has it, wherever nobody looked in between.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use wfr_testkit::{Prng, TestTree};

use crate::hooking::Talk;
use crate::traced::can_trace;
use crate::world::World;

/// Files of no account: with so many of them a command begins without a look at all of them.
const MANY: usize = 1_100;

/// Whoever writes.
const WRITERS: [&str; 3] = ["user", "a1", "a2"];

/// What is at each path, and who wrote it.
type Model = BTreeMap<String, (&'static str, String)>;

/// One step of a story: who does what, as a shell script and what it makes of the model.
struct Step {
    by: &'static str,
    script: String,
    /// The file that it writes, where it does no more.
    file: Option<String>,
}

fn step(random: &mut Prng, number: usize, model: &mut Model) -> Step {
    let by = *random.pick(&WRITERS);
    let dir = format!("d{}", random.below(3));
    let file = format!("{dir}/{}f{}", if random.one_in(3) { "sub/" } else { "" }, random.below(4));
    let text = format!("{by} {number}");
    let parent = Path::new(&file).parent().unwrap().display().to_string();
    let write = format!("mkdir -p {parent} && printf '{text}' > {file}");
    let mut is_write = false;
    let script = match random.below(8) {
        0 => {
            model.retain(|path, _| !path.starts_with(&format!("{dir}/")));
            format!("rm -rf {dir}")
        }
        1 => {
            let to = format!("d{}", random.below(3));
            // What a person moves there and back between two looks was never moved.
            if by == "user" || to == dir || !model.keys().any(|path| path.starts_with(&format!("{dir}/"))) {
                return step(random, number, model);
            }
            model.retain(|path, _| !path.starts_with(&format!("{to}/")));
            let moved: Vec<String> =
                model.keys().filter(|path| path.starts_with(&format!("{dir}/"))).cloned().collect();
            for path in moved {
                let written = model.remove(&path).unwrap();
                model.insert(path.replacen(&dir, &to, 1), written);
            }
            format!("rm -rf {to} && mv {dir} {to}")
        }
        2 if model.contains_key(&file) => {
            model.insert(file.clone(), (by, text.clone()));
            format!("printf '{text}' > {file}.tmp && mv {file}.tmp {file}")
        }
        3 if model.contains_key(&file) => {
            model.remove(&file);
            format!("rm {file}")
        }
        _ => {
            model.insert(file.clone(), (by, text));
            is_write = true;
            write
        }
    };
    Step { by, script, file: is_write.then_some(file) }
}

fn run(root: &Path, script: &str) {
    let status = std::process::Command::new("sh").args(["-ec", script]).current_dir(root).status().unwrap();
    assert!(status.success(), "{script}");
}

fn story(seed: u64, steps: usize, files: usize) {
    let mut random = Prng::new(seed);
    let world = World::unprotected(TestTree::new());
    for number in 0..files {
        let dir = world.root().join(format!("many/{}", number % 40));
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join(format!("{number}")), "of no account").unwrap();
    }
    world.ok(&["init"]);
    let talk = Talk { prefix: Some("/anywhere/wfr-shell -c"), ..Talk::new(&world) };
    talk.event("SessionStart", None, json!({}));
    let mut model = Model::new();
    let mut told = Vec::new();
    for number in 0..steps {
        let Step { by, script, file } = step(&mut random, number, &mut model);
        told.push(format!("{by}: {script}"));
        let call = format!("toolu_{number}");
        match (by, file) {
            ("user", _) => run(world.root(), &script),
            (agent, Some(file)) if random.one_in(2) => {
                let call = json!({"tool_name": "Write", "tool_use_id": call, "tool_input": {"file_path": file}});
                talk.event("PreToolUse", Some(agent), call.clone());
                run(world.root(), &script);
                talk.event("PostToolUse", Some(agent), call);
            }
            (agent, _) => {
                talk.event("PreToolUse", Some(agent), Talk::bash(&script, &call));
                assert!(talk.shell(&script).status().unwrap().success(), "{script}");
                talk.event("PostToolUse", Some(agent), Talk::bash(&script, &call));
            }
        }
    }
    talk.event("Stop", None, json!({"background_tasks": []}));
    for (path, (by, text)) in &model {
        assert_eq!(fs::read_to_string(world.root().join(path)).unwrap(), *text, "the model is right: {told:#?}");
        let blame = world.ok(&["blame", path]);
        let line = &blame.result("lines")[0];
        let found = if line["actor"] == "user" { &line["actor"] } else { &line["agent_id"] };
        assert_eq!(found, &Value::from(*by), "seed {seed}, {path}: {line}\n{told:#?}");
    }
    let doctor = world.call(&["doctor"]);
    assert_eq!(doctor.code, 0, "seed {seed}: {doctor:?}\n{told:#?}");
    // All that the agents did goes, and comes back.
    let before = world.snapshot();
    if world.changes().iter().any(|change| change["agent_id"] == "a1") {
        let rolled = world.call(&["rollback", "claude-5e55", "--agent", "a1", "--yes"]);
        if rolled.code == 0 && rolled.result("recovery_id") != &Value::Null {
            world.ok(&["undo", "--yes"]);
            assert_eq!(world.snapshot(), before, "seed {seed}\n{told:#?}");
        }
    }
}

#[test]
fn whoever_wrote_last_has_it_in_a_large_tree() {
    if !can_trace() {
        return;
    }
    let seed = Prng::from_environment().number();
    (0..2).for_each(|number| story(seed.wrapping_add(number), 25, MANY));
}

#[test]
fn whoever_wrote_last_has_it_in_a_small_tree() {
    if !can_trace() {
        return;
    }
    let seed = Prng::from_environment().number();
    (0..2).for_each(|number| story(seed.wrapping_add(100 + number), 25, 0));
}
