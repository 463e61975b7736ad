//! What cannot be seen, or is not any more, is found by a look; the command does not notice, and the change says so.

use std::process::{Child, Stdio};

use wfr_testkit::Prng;

use crate::traced::{Gate, can_trace, signal, until};
use crate::work::paths;
use crate::world::World;

#[test]
fn a_supervisor_that_is_killed_degrades_the_change_and_fails_no_call() {
    if !can_trace() {
        return;
    }
    let world = World::new();
    let (child, gate) = world.exec_held("a", "echo > seen", "echo > unseen || exit 9; mv seen moved || exit 9");
    gate.reached();
    let servants = world.servants(&child);
    assert_eq!(servants.len(), 2, "a supervisor and its keeper");
    signal(servants[0], "KILL");
    until("it is dead", || world.servants(&child).len() == 1);
    // Who looks meanwhile knows that it may have written anywhere.
    world.put("between", "x");
    let token = world.begin("b", &[]);
    world.end(&token);
    gate.open();
    assert_eq!(child.wait_with_output().unwrap().status.code(), Some(0));
    let change = world.change_at("unseen");
    assert_eq!((&change["agent_id"], &change["source"]), (&"a".into(), &"observed".into()));
    assert!(change["evidence"]["degraded_since"].is_string(), "{change}");
    assert_eq!(change["evidence"]["degraded_because"], "its supervisor died");
    assert_eq!(change["evidence"]["exit_code"], 0);
    let between = world.change_at("between");
    assert_eq!(between["change_id"], change["change_id"], "it may have been the command: {between}");
    let child = world.exec("a", "true").spawn().unwrap();
    until("the keeper ends, too", || world.servants(&child).is_empty());
    assert!(child.wait_with_output().unwrap().status.success());
}

/// Kills the supervisor of a command, which is there or is about to be.
fn kill_supervisor(child: &Child, world: &World) {
    let parent = |process: u32| {
        let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
        stat.rsplit(") ").next().and_then(|rest| rest.split(' ').nth(1)?.parse().ok())
    };
    // The first of them leaves its parent; the last one is the keeper.
    let of = || {
        let environment = |process: u32| std::fs::read(format!("/proc/{process}/environ")).unwrap_or_default();
        let is_own =
            |servant: &u32| parent(*servant) != Some(child.id()) && environment(*servant) == environment(child.id());
        let own: Vec<u32> = world.servants(child).into_iter().filter(is_own).collect();
        own.iter().copied().find(|servant| parent(*servant).is_none_or(|parent| !own.contains(&parent)))
    };
    until("it has a supervisor", || of().is_some());
    signal(of().unwrap(), "KILL");
}

/// One round: two commands that are busy until both of their supervisors are dead, and for a while after that.
fn killed_under_two(world: &World, random: &mut Prng, round: usize) {
    let gates = [Gate::new(), Gate::new()];
    let start = |name: &str, gate: &Gate| {
        let step = format!(
            "echo $i > {name}/$i || exit 9; mv {name}/$i {name}/f || exit 9; : > /dev/null || exit 9; i=$((i+1))"
        );
        let script = format!(
            "mkdir -p {name} || exit 9; i=0; while [ ! -e {} ]; do {step}; done; n=$((i+20)); while [ $i -lt $n ]; do {step}; done",
            gate.way().display()
        );
        world.exec(name, &script).env("WFR_TEST_COMMAND", name).stderr(Stdio::null()).spawn().unwrap()
    };
    let mut children = [start("a", &gates[0]), start("b", &gates[1])];
    // At first, or in the middle of the work: from before the command runs to some hundred calls later.
    for child in &children {
        std::thread::park_timeout(std::time::Duration::from_micros(random.below(50_000) as u64));
        kill_supervisor(child, world);
    }
    gates.iter().for_each(Gate::open);
    for child in &mut children {
        until("a command ends", || child.try_wait().unwrap().is_some());
        assert_eq!(child.wait().unwrap().code(), Some(0), "round {round}");
    }
    for name in ["a", "b"] {
        let log = world.ok(&["log", "wf", "--agent", name, "--limit", "5"]);
        // Beside it there may be one of what is likely its own.
        let changes = log.result("changes").as_array().unwrap();
        let change = changes.iter().find(|change| !change["evidence"].is_null()).unwrap();
        assert!(change["ended_at"].is_string(), "round {round}: {change}");
        assert!(change["evidence"]["degraded_since"].is_string(), "round {round}: {change}");
        assert_eq!(change["source"], "observed", "round {round}");
    }
}

#[test]
fn supervisors_killed_at_any_moment_under_two_busy_commands_harm_neither() {
    if !can_trace() {
        return;
    }
    let mut random = Prng::from_environment();
    // Two kills each.
    let rounds = if std::env::var_os("WFR_TRACE_LONG").is_some() { 500 } else { 10 };
    let mut world = World::new();
    for round in 0..rounds {
        if round % 50 == 49 {
            world = World::new();
        }
        killed_under_two(&world, &mut random, round);
    }
}

#[test]
fn who_ends_a_command_with_all_that_it_started_leaves_its_supervisor_alone() {
    if !can_trace() {
        return;
    }
    let world = World::new();
    let (mut child, gate) = world.exec_held("a", "echo > seen", "sleep 600");
    gate.reached();
    world.put("mine", "a person's\n");
    // As a client does whose command takes too long: one process after the other, each found by its parent.
    fn below(process: u32) -> Vec<u32> {
        let place = format!("/proc/{process}/task/{process}/children");
        let children = std::fs::read_to_string(place).unwrap_or_default();
        let children: Vec<u32> = children.split_whitespace().filter_map(|id| id.parse().ok()).collect();
        children.iter().flat_map(|child| below(*child)).chain([process]).collect()
    }
    for process in below(child.id()) {
        let _ = std::process::Command::new("kill").args(["-TERM", &process.to_string()]).stderr(Stdio::null()).status();
    }
    child.wait().unwrap();
    until("the supervisor ends", || world.servants(&child).is_empty());
    world.checkpoint("after");
    let change = world.change_at("seen");
    assert_eq!((&change["agent_id"], &change["source"]), (&"a".into(), &"traced".into()), "{change}");
    assert!(change["evidence"]["degraded_since"].is_null(), "{change}");
    assert_eq!(world.change_at("mine")["actor"], "user");
}

#[test]
fn what_cannot_be_traced_is_run_and_found_by_a_look_which_is_said_once() {
    if !can_trace() {
        return;
    }
    let (world, outer) = (World::new(), World::new());
    let inner = world.exec("a", "echo > found; echo out");
    // A command of another workspace traces it already.
    let words: Vec<String> = std::iter::once(inner.get_program())
        .chain(inner.get_args())
        .map(|word| format!("'{}'", word.to_str().unwrap()))
        .collect();
    let script =
        format!("cd {}; XDG_DATA_HOME={} {}", world.root().display(), world.data.path().display(), words.join(" "));
    let run = outer.exec("o", &script).output().unwrap();
    assert_eq!((run.status.code(), &*run.stdout), (Some(0), &b"out\n"[..]));
    let said = String::from_utf8_lossy(&run.stderr).into_owned();
    assert_eq!(said.matches("not traced").count(), 1, "{said}");
    let change = world.change_at("found");
    assert_eq!((&change["agent_id"], &change["source"]), (&"a".into(), &"observed".into()));
    assert!(change["evidence"]["degraded_because"].as_str().unwrap().contains("kernel"), "{change}");
    let asked = world.command(&["exec", "--observed", "--", "sh", "-c", "echo > asked"]).output().unwrap();
    assert_eq!((asked.status.code(), &*asked.stderr), (Some(0), &b""[..]));
    assert_eq!(world.change_at("asked")["source"], "observed");
}

#[test]
fn a_change_whose_launcher_was_killed_is_ended_by_the_next_look() {
    if !can_trace() {
        return;
    }
    let world = World::new();
    let (mut child, gate) = world.exec_held("a", "echo > before", "echo > after");
    gate.reached();
    signal(child.id(), "KILL");
    child.wait().unwrap();
    let token = world.begin("b", &[]);
    world.end(&token);
    assert_eq!(world.changes().iter().filter(|change| change["ended_at"].is_null()).count(), 1, "it goes on");
    gate.open();
    // Who else is at work when it is found would be a candidate.
    until("nobody is left", || world.servants(&child).is_empty());
    let token = world.begin("b", &[]);
    world.end(&token);
    assert!(world.changes().iter().all(|change| !change["ended_at"].is_null()));
    let change = world.change_at("after");
    assert_eq!((paths(&change["paths"]), &change["source"]), (vec!["after", "before"], &"traced".into()));
}
