//! The supervisor dies, signals come: no call of the command fails, and it ends as it would have.

use std::process::Command;

use wfr_testkit::Prng;

use crate::world::{World, can_trace, until};

/// Two busy programs; each says if any call failed.
const BUSY: &str =
    "busy() { i=0; while [ $i -lt 400 ]; do : > $1-$i || exit 9; mv $1-$i $1 || exit 9; i=$((i+1)); done; }
    busy a & first=$!; busy b & wait $first && wait $!";

fn kill(process: u32) {
    Command::new("kill").args(["-KILL", &process.to_string()]).status().unwrap();
}

#[test]
fn a_supervisor_that_is_killed_makes_no_call_fail_and_nobody_wait() {
    if !can_trace() {
        return;
    }
    let mut random = Prng::from_environment();
    let rounds = if std::env::var_os("WFR_TRACE_LONG").is_some() { 1_000 } else { 20 };
    for round in 0..rounds {
        let world = World::new();
        let mut traced = world.traced(BUSY);
        let mut child = traced.command.stderr(std::process::Stdio::piped()).spawn().unwrap();
        until("it is traced", || traced.servants().len() == 2 || child.try_wait().unwrap().is_some());
        std::thread::sleep(std::time::Duration::from_micros(random.below(30_000) as u64));
        let servants = traced.servants();
        if let Some(supervisor) = servants.first() {
            kill(*supervisor);
        }
        let mut status = None;
        until("the command ends", || {
            status = child.try_wait().unwrap();
            status.is_some()
        });
        assert_eq!(status.unwrap().code(), Some(0), "round {round}");
        until("the keeper ends, too", || traced.servants().is_empty());
    }
}

#[test]
fn a_signal_every_few_milliseconds_changes_nothing() {
    if !can_trace() {
        return;
    }
    let world = World::new();
    let script = "python3 -c '
import signal, os, time
signal.signal(signal.SIGALRM, lambda *a: None)
signal.siginterrupt(signal.SIGALRM, True)
signal.setitimer(signal.ITIMER_REAL, 0.005, 0.005)
end = time.time() + 1
count = 0
while time.time() < end:
    os.close(os.open(\"f\", os.O_WRONLY | os.O_CREAT)); os.rename(\"f\", \"g\"); count += 1
assert count > 50, count
'";
    if Command::new("python3").arg("--version").output().is_err() {
        wfr_testkit::skip("signals: python3 is not here");
        return;
    }
    let told = world.run(script);
    assert!(told.len() > 100 && !told.iter().any(|line| line.contains("Unknown")), "{}", told.len());
}
