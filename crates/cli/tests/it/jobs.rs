//! `wfr exec` as a job of a shell on a terminal: stopped, continued and killed as its command would be.
//!
//! Owns the terminal. Refuses to know anything of processes but what the shell shows of them.

use std::process::{Command, Stdio};

use wfr_testkit::skip;

use crate::traced::{can_trace, signal};
use crate::world::World;

/// Runs a dialogue with `bash` on a terminal of its own; `wfr` is its first argument. `job()` starts one that says what it is told, `stopped()` stops it,
/// and `shows` waits for a text.
const TERMINAL: &str = r#"
import os, re, select, signal, sys, time
wfr, steps = sys.argv[1:]
child, terminal = os.forkpty()
if child == 0:
    # Who starts tests in the background may have these ignored.
    for one in (signal.SIGINT, signal.SIGQUIT, signal.SIGTSTP):
        signal.signal(one, signal.SIG_DFL)
    os.environ.update(PS1='$ ', TERM='dumb')
    os.execvp('bash', ['bash', '--norc', '--noprofile', '-i'])
seen, sent = '', 0
cat = f"'{wfr}' exec --quiet -- sh -c 'echo rea''dy; exec sed -u s/line/said/'"
def type(text):
    os.write(terminal, text.encode())
def heard(wanted, seconds):
    global seen
    end = time.monotonic() + seconds
    while not re.search(wanted, seen) and time.monotonic() < end:
        if select.select([terminal], [], [], 0.1)[0]:
            seen += os.read(terminal, 65536).decode(errors='replace')
    found = re.search(wanted, seen)
    seen = seen[found.end():] if found else seen
    return found
def shows(wanted):
    found = heard(wanted, 30)
    assert found, (wanted, seen)
    return found
def echoes():
    global sent
    sent += 1
    for _ in range(60):
        # What is typed while the shell lets go of the terminal may be nobody's.
        type(f'line{sent}\n')
        if heard(f'said{sent}', 0.5):
            return
    assert False, seen
def job():
    type(f"{cat}\n")
    shows('ready')
    echoes()
def stopped():
    type('\x1a')
    shows('Stopped')
    shows('\\$ ')
def gone(pid):
    end = time.monotonic() + 30
    while os.path.exists(f'/proc/{pid}'):
        assert time.monotonic() < end, open(f'/proc/{pid}/stat').read()
        # The shell takes its corpse away.
        type('\n')
        time.sleep(0.05)
shows('\\$ ')
exec(steps)
"#;

fn dialogue(world: &World, steps: &str) {
    if Command::new("python3").arg("-V").stdout(Stdio::null()).status().is_err() {
        return skip("python3 is not installed");
    }
    let wfr = env!("CARGO_BIN_EXE_wfr");
    let mut python = Command::new("python3");
    let environment = world.command::<&str>(&[]);
    python.envs(environment.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let run =
        python.args(["-c", TERMINAL, wfr, steps]).current_dir(world.root()).stdin(Stdio::null()).output().unwrap();
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
}

#[test]
fn a_stopped_job_that_is_continued_goes_on_each_time() {
    if !can_trace() {
        return;
    }
    let world = World::new();
    dialogue(
        &world,
        "
job()
for _ in range(12):
    stopped()
    type('fg\\n')
    echoes()
    # As fast as nobody's fingers are.
    time.sleep(0.05)
type('\\x04')
type('echo code-$?\\n')
shows('code-0')
",
    );
}

#[test]
fn a_stopped_job_that_is_killed_ends_and_so_does_its_change() {
    if !can_trace() {
        return;
    }
    let world = World::new();
    dialogue(
        &world,
        "
for how in ['TERM', 'HUP', 'TERM', 'HUP', 'TERM', 'HUP']:
    job()
    stopped()
    type('echo pid-$(jobs -p)-\\n')
    pid = shows('pid-([0-9]+)-').group(1)
    shows('\\\\$ ')
    type(f'kill -{how} %+\\n')
    gone(pid)
",
    );
    let changes = world.changes();
    assert!(changes.len() == 6 && changes.iter().all(|change| !change["ended_at"].is_null()), "{changes:?}");
}

#[test]
fn a_loop_of_a_shell_is_ended_by_an_interrupt() {
    if !can_trace() {
        return;
    }
    let world = World::new();
    dialogue(
        &world,
        "
type(f'while true; do {cat}; done; echo never\\n')
shows('ready')
echoes()
type('\\x03')
shows('\\\\$ $')
type('echo over-$((1+1))\\n')
shows('over-2')
",
    );
}

#[test]
fn every_signal_that_is_sent_goes_on_to_the_command() {
    if !can_trace() {
        return;
    }
    let world = World::new();
    for name in
        ["ALRM", "VTALRM", "PROF", "IO", "PWR", "PIPE", "WINCH", "URG", "ABRT", "XFSZ", "TSTP", "TTIN", "RTMIN+3"]
    {
        let gate = crate::traced::Gate::new();
        let script = format!("trap 'exit 3' {name}; {}; exit 4", gate.wait());
        let mut command = world.command(&["exec", "--quiet", "--", "bash", "-c", &script]);
        let mut child = command.spawn().unwrap();
        gate.reached();
        signal(child.id(), name);
        gate.open();
        assert_eq!(child.wait().unwrap().code(), Some(3), "{name}");
    }
    // An alarm that was set for the command by who became us.
    let alarm = "import os, signal, sys; signal.setitimer(signal.ITIMER_REAL, 1); os.execv(sys.argv[1], sys.argv[1:])";
    let mut python = Command::new("python3");
    python.args(["-c", alarm, env!("CARGO_BIN_EXE_wfr"), "exec", "--quiet", "--", "sleep", "100"]);
    let environment = world.command::<&str>(&[]);
    python.envs(environment.get_envs().filter_map(|(name, value)| Some((name, value?)))).current_dir(world.root());
    match python.status() {
        Ok(ended) => assert_eq!(std::os::unix::process::ExitStatusExt::signal(&ended), Some(14)),
        Err(_) => skip("python3 is not installed"),
    }
}

#[test]
fn a_limit_of_the_size_of_files_ends_nothing_of_ours() {
    if !can_trace() {
        return;
    }
    let world = World::new();
    world.checkpoint("base");
    let mut shell = Command::new("bash");
    let limited = "ulimit -f 8; \"$0\" exec --quiet -- sh -c 'grep SigIgn: /proc/self/status'; echo $?";
    let environment = world.command::<&str>(&[]);
    shell.envs(environment.get_envs().filter_map(|(name, value)| Some((name, value?)))).current_dir(world.root());
    let run = shell.args(["-c", limited, env!("CARGO_BIN_EXE_wfr")]).output().unwrap();
    let said = String::from_utf8_lossy(&run.stdout);
    let code: i32 = said.lines().last().unwrap().parse().unwrap();
    assert!(code == 0 || code == 125, "it was not killed: {run:?}");
    if let Some(ignored) = said.lines().find_map(|line| line.strip_prefix("SigIgn:")) {
        assert_eq!(u64::from_str_radix(ignored.trim(), 16).unwrap() >> 24 & 1, 0, "the command has it as it was");
    }
}
