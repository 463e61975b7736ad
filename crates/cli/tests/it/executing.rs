//! `wfr exec`: what a command writes is its own, and it does not notice.

use std::fs;
use std::io::Write as _;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::Stdio;

use crate::encrypted::encrypted;
use crate::traced::{can_trace, signal, state, until};
use crate::work::paths;
use crate::world::World;

#[test]
fn what_a_command_writes_is_its_own_and_what_it_does_not_write_is_not() {
    if !can_trace() {
        return;
    }
    let world = World::new();
    world.put("old", "old");
    let (mut child, gate) = world.exec_held("a", "echo a > mine; mkdir d; rm old", "echo b > d/b; mv d e; exit 7");
    gate.reached();
    world.put("theirs", "by hand");
    gate.open();
    assert_eq!(child.wait().unwrap().code(), Some(7));
    let change = world.change_at("mine");
    assert_eq!(paths(&change["paths"]), ["e", "e/b", "mine", "old"]);
    assert_eq!((&change["source"], &change["confidence"]), (&"traced".into(), &1.0.into()));
    assert_eq!((&change["agent_id"], &change["actor"]), (&"a".into(), &"agent".into()));
    let evidence = &change["evidence"];
    assert_eq!((&evidence["exit_code"], &evidence["signal"]), (&7.into(), &serde_json::Value::Null));
    assert!(evidence["duration_ms"].as_u64().is_some() && evidence["memory_peak_kib"].as_u64() > Some(100));
    assert!(evidence["degraded_since"].is_null());
    // The end of a traced command looks where it wrote, the next beginning at everything.
    assert!(world.exec("b", "true").status().unwrap().success());
    assert_eq!(world.change_at("theirs")["actor"], "user");
    world.ok(&["rollback", "wf", "--agent", "a", "--yes"]);
    assert!(world.has("theirs") && world.has("old") && !world.has("e") && !world.has("mine"));
    assert_eq!(fs::read_dir(world.vault().join("traces")).unwrap().count(), 0);
}

#[test]
fn streams_and_exit_codes_are_the_commands_own() {
    if !can_trace() {
        return;
    }
    let world = World::new();
    let mut child = world.exec("a", "cat; echo err >&2; exit 9");
    let child = child.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = child.unwrap();
    child.stdin.take().unwrap().write_all(b"through").unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), &*output.stdout, &*output.stderr), (Some(9), &b"through"[..], &b"err\n"[..]));
    for (call, code) in [(&["exec", "--", "no-such"][..], 127), (&["exec", "--", "/etc/passwd"], 126), (&["exec"], 125)]
    {
        let mut call = world.command(call);
        assert_eq!(call.stderr(Stdio::null()).stdout(Stdio::null()).status().unwrap().code(), Some(code));
    }
    let outside = tempfile::tempdir().unwrap();
    let mut call = world.exec("a", "true");
    let run = call.current_dir(outside.path()).output().unwrap();
    assert_eq!((run.status.code(), &*run.stdout), (Some(125), &b""[..]), "no workspace: it was not run");
}

#[test]
fn what_ends_a_command_by_a_signal_ends_wfr_by_it_when_all_is_recorded() {
    if !can_trace() {
        return;
    }
    let world = World::new();
    for number in [2, 9, 11, 15, 40] {
        for more in [&["--quiet"][..], &["--observed", "--quiet"]] {
            let script = format!("echo > by-{number}; kill -{number} $$");
            // Who starts tests in the background may have some ignored.
            let call = [&["exec"], more, &["--", "env", "--default-signal", "bash", "-c", &script]].concat();
            let ended = world.command(&call).status().unwrap();
            assert_eq!((ended.signal(), ended.core_dumped()), (Some(number), false), "{more:?}");
            let change = world.newest();
            assert_eq!(
                (&change["evidence"]["signal"], change["ended_at"].is_null()),
                (&number.into(), false),
                "{change}"
            );
        }
    }
}

#[test]
fn signals_go_through_and_what_is_ignored_stays_so() {
    if !can_trace() {
        return;
    }
    let world = World::new();
    let (mut child, gate) = world.exec_held("a", "trap 'echo > caught; exit 3' TERM", "exit 4");
    gate.reached();
    signal(child.id(), "TERM");
    assert_eq!(child.wait().unwrap().code(), Some(3));
    assert_eq!(world.change_at("caught")["agent_id"], "a");
    let (mut child, gate) = world.exec_held("a", "", "exit 4");
    gate.reached();
    signal(child.id(), "KILL");
    child.wait().unwrap();
    gate.open();
    let mut shell = std::process::Command::new("sh");
    let wfr = world.exec("a", "kill -HUP $$; exit 5");
    shell.args(["-c", "trap '' HUP; exec \"$0\" \"$@\""]).arg(wfr.get_program()).args(wfr.get_args());
    shell.envs(wfr.get_envs().filter_map(|(name, value)| Some((name, value?)))).current_dir(world.root());
    assert_eq!(shell.status().unwrap().code(), Some(5), "it was told to ignore it, as by nohup");
}

#[test]
fn a_command_that_stops_stops_the_job() {
    if !can_trace() {
        return;
    }
    let world = World::new();
    let mut child = world.exec("a", "kill -STOP $$; exit 6").process_group(0).spawn().unwrap();
    until("it has stopped", || state(child.id()) == Some('T'));
    signal(child.id(), "CONT");
    assert_eq!(child.wait().unwrap().code(), Some(6));
}

#[test]
fn what_is_open_at_the_start_and_files_of_several_names_are_the_commands() {
    if !can_trace() {
        return;
    }
    let world = World::new();
    world.put("one", "one");
    fs::hard_link(world.root().join("one"), world.root().join("two")).unwrap();
    let out = fs::File::create(world.root().join("out")).unwrap();
    assert!(world.exec("a", "echo out; echo more >> two").stdout(out).status().unwrap().success());
    assert_eq!(paths(&world.newest()["paths"]), ["one", "out", "two"]);
}

#[test]
fn in_an_encrypted_store_the_notes_name_nothing() {
    if !can_trace() {
        return;
    }
    let world = encrypted();
    let (mut child, gate) = world.exec_held("a", "echo > a-telling-name", "");
    gate.reached();
    world.put("theirs", "x");
    let notes = fs::read_dir(world.vault().join("traces")).unwrap().next().unwrap().unwrap().path();
    let notes = fs::read(notes).unwrap();
    assert!(notes.len() > 100 && !notes.windows(7).any(|window| window == b"telling"));
    gate.open();
    assert!(child.wait().unwrap().success());
    let change = world.change_at("a-telling-name");
    assert_eq!((&change["source"], &change["agent_id"]), (&"traced".into(), &"a".into()));
    // The end of a traced command looks where it wrote, the next beginning at everything.
    assert!(world.exec("a", "true").status().unwrap().success());
    assert_eq!(world.change_at("theirs")["actor"], "user");
}

#[test]
fn a_command_within_an_announced_change_is_a_part_of_it() {
    if !can_trace() {
        return;
    }
    let world = World::new();
    let token = world.begin("a", &[]);
    assert!(world.exec("a", "echo > traced").status().unwrap().success());
    world.put("edited", "x");
    world.end(&token);
    assert_eq!(
        (&world.change_at("traced")["source"], &world.change_at("edited")["source"]),
        (&"traced".into(), &"observed".into())
    );
    assert_eq!(world.change_at("edited")["change_id"], token.as_str());
}
