//! What cannot be seen, or is not any more, is found by a look; the command does not notice, and the change says so.

use std::process::Stdio;

use wfr_testkit::Prng;

use crate::traced::{can_trace, signal, until};
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

#[test]
fn supervisors_killed_at_any_moment_under_two_busy_commands_harm_neither() {
    if !can_trace() {
        return;
    }
    let mut random = Prng::from_environment();
    let rounds = if std::env::var_os("WFR_TRACE_LONG").is_some() { 1_000 } else { 6 };
    let world = World::new();
    for round in 0..rounds {
        let script = |name: &str| {
            format!(
                "mkdir -p {name}; i=0; while [ $i -lt 60 ]; do echo {round} > {name}/$i || exit 9; mv {name}/$i {name}/f || exit 9; i=$((i+1)); done"
            )
        };
        let start = |name: &str| world.exec(name, &script(name)).stderr(Stdio::null()).spawn().unwrap();
        let (mut a, mut b) = (start("a"), start("b"));
        until("one is traced", || !world.servants(&a).is_empty() || a.try_wait().unwrap().is_some());
        std::thread::park_timeout(std::time::Duration::from_micros(random.below(60_000) as u64));
        // It may be over, and it may be the keeper that is killed.
        if let Some(servant) = world.servants(&a).first() {
            std::process::Command::new("kill").args(["-KILL", &servant.to_string()]).status().unwrap();
        }
        let codes = [a.wait().unwrap().code(), b.wait().unwrap().code()];
        assert_eq!(codes, [Some(0); 2], "round {round}");
        let newest = world.changes();
        let open = newest.iter().filter(|change| change["ended_at"].is_null()).count();
        assert_eq!(open, 0, "round {round}");
    }
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
fn a_command_within_a_traced_one_is_observed_and_a_part_of_it() {
    if !can_trace() {
        return;
    }
    let world = World::new();
    let wfr = env!("CARGO_BIN_EXE_wfr");
    let inner = format!("{wfr} exec --workflow wf --agent i -- sh -c 'echo > inner'");
    let run = world.exec("o", &format!("echo > outer; {inner} || exit 9; echo > after")).output().unwrap();
    assert_eq!(run.status.code(), Some(0), "{run:?}");
    assert_eq!(String::from_utf8_lossy(&run.stderr).matches("not traced").count(), 1);
    let (outer, inner) = (world.change_at("outer"), world.change_at("inner"));
    assert_eq!((paths(&outer["paths"]), &outer["source"]), (vec!["after", "outer"], &"traced".into()));
    assert_eq!((paths(&inner["paths"]), &inner["source"]), (vec!["inner"], &"observed".into()));
    assert_eq!((&outer["agent_id"], &inner["agent_id"]), (&"o".into(), &"i".into()));
    world.ok(&["rollback", "wf", "--agent", "i", "--yes"]);
    assert!(world.has("outer") && world.has("after") && !world.has("inner"));
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
