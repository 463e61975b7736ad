//! The supervisor dies, signals come: no call of the command fails, and it ends as it would have.

use std::process::Command;

use wfr_testkit::Prng;

use crate::world::{World, can_trace, until};

/// Two busy programs; each ends with 9 if any call failed.
const BUSY: &str =
    "busy() { i=0; while [ $i -lt 60 ]; do : > $1-$i || exit 9; mv $1-$i $1 || exit 9; i=$((i+1)); done; }
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
        std::thread::park_timeout(std::time::Duration::from_micros(random.below(30_000) as u64));
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

/// Opens and renames for a second while a timer sends a signal every 5 ms, and says how many calls were made and how many of them
/// were interrupted.
fn under_signals(world: &World, restarts: bool) -> Option<(u64, u64)> {
    if Command::new("python3").arg("--version").output().is_err() {
        wfr_testkit::skip("signals: python3 is not here");
        return None;
    }
    let interrupts = if restarts { "False" } else { "True" };
    let script = format!(
        "import os, signal, time
signal.signal(signal.SIGALRM, lambda *a: None)
signal.siginterrupt(signal.SIGALRM, {interrupts})
signal.setitimer(signal.ITIMER_REAL, 0.005, 0.005)
end, made, interrupted = time.time() + 1, 0, 0
while time.time() < end:
    try:
        made += 1
        os.close(os.open('f', os.O_WRONLY | os.O_CREAT))
        os.rename('f', 'g')
    except InterruptedError:
        interrupted += 1
print(made, interrupted)
"
    );
    let output = world.traced(&format!("exec python3 -c \"{script}\"")).command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut numbers = said.split_whitespace().map(|word| word.parse().unwrap());
    let found = numbers.next().zip(numbers.next());
    Some(found.unwrap_or_else(|| panic!("{output:?}")))
}

#[test]
fn a_signal_every_few_milliseconds_changes_nothing() {
    if !can_trace() {
        return;
    }
    let Some((made, interrupted)) = under_signals(&World::new(), true) else { return };
    assert!(made > 50 && interrupted == 0, "{interrupted} of {made}");
}

#[test]
fn only_who_wants_signals_to_interrupt_may_see_one_between_the_question_and_its_receipt() {
    if !can_trace() {
        return;
    }
    let Some((made, interrupted)) = under_signals(&World::new(), false) else { return };
    assert!(made > 50 && interrupted * 20 < made, "{interrupted} of {made}");
}
