//! Commands that overlap in time under `wfr exec` are told apart, and what two of them wrote is marked.

use std::collections::BTreeSet;
use std::process::{Child, Command};

use serde_json::Value;
use wfr_testkit::Prng;

use crate::traced::{can_trace, until};
use crate::work::paths;
use crate::world::World;

/// Files of each, those among them that both write, and how many schedules are tried.
const FILES: usize = 500;
const SHARED: usize = 20;

/// A program that writes its files in an order of its own.
fn program(name: &str, seed: u64) -> String {
    format!(
        "import os, random, time
os.makedirs('out', exist_ok=True)
names = ['out/both%d' % i for i in range({SHARED})] + ['out/{name}%d' % i for i in range({FILES} - {SHARED})]
chance = random.Random({seed})
chance.shuffle(names)
for path in names:
    if chance.random() < 0.02:
        time.sleep(chance.random() * 0.01)
    with open(path, 'w') as file:
        file.write('{name} ' + path + '\\n')
"
    )
}

fn start(world: &World, name: &str, program: &str) -> Child {
    let words = ["exec", "--workflow", "wf", "--task", name, "--agent", name, "--", "python3", "-c", program];
    world.command(&words).spawn().unwrap()
}

fn paths_of(world: &World, filter: &[&str]) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let log = world.ok(&[&["log", "wf", "--limit", "1000"], filter].concat());
    for change in log.result("changes").as_array().unwrap() {
        found.extend(paths(&change["paths"]).into_iter().map(str::to_owned));
    }
    found
}

fn check(round: usize, seeds: [u64; 2], delay: usize) {
    let world = World::new();
    world.checkpoint("base");
    let mut a = start(&world, "a", &program("a", seeds[0]));
    // At any moment of the other's.
    std::thread::park_timeout(std::time::Duration::from_millis(delay as u64));
    let mut b = start(&world, "b", &program("b", seeds[1]));
    assert!(a.wait().unwrap().success() && b.wait().unwrap().success());
    let own =
        |name: &str| -> BTreeSet<String> { (0..FILES - SHARED).map(|number| format!("out/{name}{number}")).collect() };
    let both: BTreeSet<String> = (0..SHARED).map(|number| format!("out/both{number}")).collect();
    let [of_a, of_b] = ["a", "b"].map(|name| paths_of(&world, &["--agent", name, "--actor", "agent"]));
    for (name, of, other) in [("a", &of_a, "b"), ("b", &of_b, "a")] {
        assert!(own(name).is_subset(of), "round {round} of {seeds:?}: {name}");
        assert!(own(other).is_disjoint(of), "round {round} of {seeds:?}: {name}");
    }
    // Where one was over before the other came to a path, both are known to have written it, one after the other.
    let shared = paths_of(&world, &["--actor", "shared"]);
    let in_turn = of_a.intersection(&of_b).cloned().collect::<BTreeSet<_>>();
    for path in &both {
        assert!(shared.contains(path) || in_turn.contains(path), "round {round} of {seeds:?}: {path}");
    }
    assert!(own("a").union(&own("b")).all(|path| !shared.contains(path)), "round {round} of {seeds:?}");
    let before: Vec<(String, String)> =
        own("b").into_iter().chain(both).map(|path| (world.text(&path), path)).collect();
    let done = world.call(&["rollback", "wf", "--agent", "a", "--partial", "--yes"]);
    assert!([0, 5].contains(&done.code), "{done:?}");
    assert!(own("a").iter().all(|path| !world.has(path)), "round {round} of {seeds:?}");
    for (text, path) in before.iter().filter(|(text, _)| text.starts_with("b ")) {
        assert_eq!(&world.text(path), text, "round {round} of {seeds:?}: {path}");
    }
}

#[test]
fn single_writers_are_told_apart_what_both_wrote_is_marked_and_undoing_one_keeps_the_other() {
    if !can_trace() {
        return;
    }
    if Command::new("python3").arg("--version").output().is_err() {
        wfr_testkit::skip("overlapping commands: python3 is not here");
        return;
    }
    let mut random = Prng::from_environment();
    let rounds = if std::env::var_os("WFR_TRACE_LONG").is_some() { 100 } else { 3 };
    for round in 0..rounds {
        check(round, [random.number(), random.number()], random.below(300));
    }
}

#[test]
fn beside_an_announced_change_it_is_likely_and_the_other_is_named() {
    if !can_trace() {
        return;
    }
    let world = World::new();
    let token = world.begin("b", &[]);
    assert!(world.exec("a", "echo > mine").status().unwrap().success());
    world.put("other", "x");
    world.end(&token);
    let mine = world.change_at("mine");
    assert_eq!((&mine["agent_id"], &mine["source"]), (&"a".into(), &"traced".into()));
    let named: Vec<&Value> = mine["candidates"].as_array().unwrap().iter().map(|one| &one["agent_id"]).collect();
    assert_eq!(named, ["b"], "it was not traced");
    assert_eq!(world.change_at("other")["agent_id"], "b");
}

#[test]
fn what_a_command_left_running_goes_on_as_a_change_of_its_own() {
    if !can_trace() {
        return;
    }
    let world = World::new();
    let gate = crate::traced::Gate::new();
    let script = format!("echo > first; ({}; echo > late) > /dev/null 2>&1 &", gate.wait());
    let child = world.exec("a", &script).spawn().unwrap();
    gate.reached();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    let changes = world.changes();
    let (left, own) = (&changes[0], &changes[1]);
    assert!(left["ended_at"].is_null() && left["note"].as_str().unwrap().starts_with("left running: "), "{left}");
    assert_eq!(paths(&own["paths"]), ["first"]);
    world.put("theirs", "x");
    gate.open();
    until("it has written", || world.has("late"));
    let token = world.begin("b", &[]);
    world.end(&token);
    until("it has ended", || {
        let token = world.begin("b", &[]);
        world.end(&token);
        !world.changes().iter().any(|change| change["ended_at"].is_null())
    });
    let late = world.change_at("late");
    assert_eq!((&late["change_id"], &late["agent_id"]), (&left["change_id"], &"a".into()));
    assert_eq!((&late["confidence"], &late["candidates"][0]["change_id"]), (&0.5.into(), &own["change_id"]));
    assert_eq!(world.change_at("theirs")["actor"], "user");
}
