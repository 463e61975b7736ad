//! Programs that have a way of their own with system calls, privileges or other programs, under `wfr exec`.
//!
//! Owns the programs. Refuses to lose a supervisor: that is another matter (`tracing_lost`).

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use wfr_testkit::skip;

use crate::nobody::Nobody;
use crate::traced::{can_trace, until};
use crate::work::paths;
use crate::world::World;

/// A program in C; `None` where there is no compiler.
fn compiled(dir: &Path, name: &str, source: &str) -> Option<PathBuf> {
    let (file, program) = (dir.join(format!("{name}.c")), dir.join(name));
    fs::write(&file, source).unwrap();
    Command::new("cc").arg("-o").arg(&program).arg(&file).status().ok()?.success().then_some(program)
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Calls that change something, with a timer that interrupts all that can be interrupted. With an argument what is interrupted is
/// restarted (`SA_RESTART`); without, a call that nobody has received yet fails with `EINTR`, which no untraced one does, and is
/// made again.
const INTERRUPTED: &str = r#"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>
static volatile int ticks;
static void tick(int number) { ticks++; }
#define DO(call) do { errno = 0; } while ((call) < 0 && errno == EINTR && !restarts); if (errno) return perror(#call), 9
int main(int count, char **words) {
    int restarts = count > 1;
    struct sigaction action = {.sa_handler = tick, .sa_flags = restarts ? SA_RESTART : 0};
    struct itimerval every = {{0, 5000}, {0, 5000}};
    char name[64], other[64];
    sigaction(SIGALRM, &action, 0);
    setitimer(ITIMER_REAL, &every, 0);
    for (int i = 0; i < 400 || ticks < 20; i++) {
        int file;
        snprintf(name, sizeof name, "made%d", i % 400);
        snprintf(other, sizeof other, "kept%d", i % 400);
        DO(file = open(name, O_WRONLY | O_CREAT | O_TRUNC, 0600));
        DO(write(file, "x", 1));
        DO(fchmod(file, 0640));
        close(file);
        DO(rename(name, other));
        DO(chmod(other, 0600));
        DO(mkdir(name, 0700));
        DO(rmdir(name));
        DO(symlink("x", name));
        DO(unlink(name));
        DO(link(other, name));
        DO(unlink(name));
    }
    return ticks < 20;
}
"#;

#[test]
fn a_timer_every_five_milliseconds_changes_nothing() {
    if !can_trace() {
        return;
    }
    let outside = tempfile::tempdir().unwrap();
    let Some(program) = compiled(outside.path(), "ticking", INTERRUPTED) else { return skip("no C compiler") };
    for script in [format!("{} restarts", program.display()), program.display().to_string()] {
        let world = World::new();
        let run = world.exec("a", &script).output().unwrap();
        assert_eq!(run.status.code(), Some(0), "{script}: {}", said(&run));
        let change = world.newest();
        assert!(change["evidence"]["degraded_since"].is_null(), "{change}");
        assert_eq!(change["source"], "traced");
        assert!(paths(&change["paths"]).iter().all(|path| path.starts_with("kept")), "{change}");
        assert_eq!(paths(&change["paths"]).len(), 400);
    }
}

/// Whether `strace` works here.
fn has_strace() -> bool {
    Command::new("strace").args(["-o", "/dev/null", "true"]).status().is_ok_and(|status| status.success())
}

#[test]
fn a_tracer_is_observed_and_what_to_do_is_said() {
    if !can_trace() {
        return;
    }
    if !has_strace() {
        return skip("strace cannot be used here");
    }
    let world = World::new();
    let trace = ["strace", "--seccomp-bpf", "-f", "-e", "trace=openat", "-o", "trace", "sh", "-c", "echo > written"];
    let words = [&["exec", "--workflow", "wf", "--agent", "a", "--"][..], &trace].concat();
    let run = world.command(&words).output().unwrap();
    assert_eq!(run.status.code(), Some(0), "{run:?}");
    assert!(said(&run).contains("not traced") && said(&run).contains("wfr exec -- COMMAND"), "{}", said(&run));
    assert!(world.text("trace").contains("written"), "it saw the call");
    let change = world.change_at("written");
    assert_eq!((&change["source"], paths(&change["paths"])), (&"observed".into(), vec!["trace", "written"]));
}

#[test]
fn a_tracer_within_a_traced_command_works_and_hides_nothing() {
    if !can_trace() {
        return;
    }
    if !has_strace() {
        return skip("strace cannot be used here");
    }
    let world = World::new();
    let run = world.exec("a", "strace -f -e trace=openat -o trace sh -c 'echo > written; exit 3'").output().unwrap();
    assert_eq!(run.status.code(), Some(3), "{run:?}");
    assert!(world.text("trace").contains("written"), "it saw the call");
    let change = world.change_at("written");
    assert_eq!((&change["source"], paths(&change["paths"])), (&"traced".into(), vec!["trace", "written"]));
}

/// Says whose it runs as.
const WHOSE: &str =
    "#include <stdio.h>\n#include <unistd.h>\nint main(void) { printf(\"%d\\n\", (int)geteuid()); return 0; }\n";

/// A program that runs as root, whoever runs it; `None` where it cannot be made.
fn root_owned(dir: &Path, name: &str) -> Option<PathBuf> {
    fs::set_permissions(dir, fs::Permissions::from_mode(0o755)).unwrap();
    let program = compiled(dir, name, WHOSE)?;
    fs::set_permissions(&program, fs::Permissions::from_mode(0o4755)).unwrap();
    let run = Command::new("setpriv").args(["--reuid=65534", "--clear-groups"]).arg(&program).output().ok()?;
    (run.stdout == b"0\n").then_some(program)
}

#[test]
fn a_setuid_program_gains_its_privileges_where_the_command_may() {
    if !can_trace() {
        return;
    }
    let outside = tempfile::tempdir().unwrap();
    let Some(program) = root_owned(outside.path(), "whose") else { return skip("setuid programs cannot be made here") };
    let world = World::new();
    let script = format!("setpriv --reuid=65534 --clear-groups {}", program.display());
    let run = world.exec("a", &script).output().unwrap();
    assert_eq!((run.status.code(), &*run.stdout), (Some(0), &b"0\n"[..]), "{}", said(&run));
    let change = world.newest();
    assert_eq!((&change["source"], &change["evidence"]["unprivileged"]), (&"traced".into(), &serde_json::json!([])));
}

#[test]
fn a_setuid_program_without_privileges_is_named_with_the_remedy_and_sudo_is_observed() {
    if !can_trace() {
        return;
    }
    let outside = tempfile::tempdir().unwrap();
    let Some(program) = root_owned(outside.path(), "whose") else { return skip("setuid programs cannot be made here") };
    let world = World::unprotected(wfr_testkit::TestTree::of_every_kind());
    let Some(nobody) = Nobody::of(&world) else { return skip("setpriv cannot be used here") };
    let exec = |words: &[&str]| {
        let words = [&["exec", "--workflow", "wf", "--agent", "a", "--"][..], words].concat();
        nobody.command(&world, &words).output().unwrap()
    };
    let newest = || nobody.call(&world, &["log", "--limit", "1"]).1["result"]["changes"][0].clone();
    let script = format!("echo > own; {}", program.display());
    let run = exec(&["sh", "-c", &script]);
    assert_eq!((run.status.code(), &*run.stdout), (Some(0), &b"65534\n"[..]), "{}", said(&run));
    assert!(said(&run).contains("`whose` cannot gain privileges"), "{}", said(&run));
    assert!(said(&run).contains("--observed"), "{}", said(&run));
    let change = newest();
    assert_eq!((&change["source"], &change["evidence"]["unprivileged"][0]), (&"traced".into(), &"whose".into()));
    // An agent says nothing of it, so somebody has to.
    let lost = || nobody.call(&world, &["doctor"]).1["result"]["findings"].to_string().contains("PRIVILEGES_LOST");
    assert!(lost());
    nobody.call(&world, &["config", "agents.trace_commands", "false"]);
    assert!(!lost());
    // What is said works.
    let run = nobody.command(&world, &["exec", "--observed", "--", "sh", "-c", &script]).output().unwrap();
    assert_eq!((run.status.code(), &*run.stdout), (Some(0), &b"0\n"[..]), "{}", said(&run));
    // Some programs are known by their names.
    let sudo = root_owned(outside.path(), "sudo").unwrap();
    let run = exec(&[&sudo.display().to_string()]);
    assert_eq!((run.status.code(), &*run.stdout), (Some(0), &b"0\n"[..]), "{}", said(&run));
    assert!(said(&run).contains("not traced") && said(&run).contains("wfr exec -- COMMAND"), "{}", said(&run));
    assert_eq!(newest()["source"], "observed");
}

/// A server that writes the files that its clients name, and ends when it is told nothing.
const SERVER: &str = "
import os, socket, sys
server = socket.socket(socket.AF_UNIX)
server.bind(sys.argv[1] + '~')
server.listen()
os.rename(sys.argv[1] + '~', sys.argv[1])
while True:
    client, _ = server.accept()
    name = client.recv(100).decode()
    if not name:
        break
    with open(name, 'w') as file:
        file.write('served')
    client.send(b'done')
";

const CLIENT: &str = "
import socket, sys
client = socket.socket(socket.AF_UNIX)
client.connect(sys.argv[1])
if len(sys.argv) > 2:
    client.send(sys.argv[2].encode())
    client.recv(10)
    open(sys.argv[2] + '.mine', 'w')
";

#[test]
fn what_a_daemon_of_one_command_writes_for_another_one_names_both() {
    if !can_trace() {
        return;
    }
    if Command::new("python3").arg("--version").output().is_err() {
        return skip("python3 is not here");
    }
    let world = World::new();
    let outside = tempfile::tempdir().unwrap();
    let place = |name: &str| outside.path().join(name);
    fs::write(place("server.py"), SERVER).unwrap();
    fs::write(place("client.py"), CLIENT).unwrap();
    let (server, client, socket) = (place("server.py"), place("client.py"), place("socket"));
    let (server, client, socket) = (server.display(), client.display(), socket.display());
    let script = format!(
        "echo > first; setsid python3 {server} {socket} > /dev/null 2>&1 < /dev/null & while [ ! -e {socket} ]; do sleep 0.01; done"
    );
    assert!(world.exec("a", &script).status().unwrap().success());
    let own = world.change_at("first");
    assert_eq!((&own["agent_id"], &own["source"]), (&"a".into(), &"traced".into()));
    assert!(world.exec("b", &format!("python3 {client} {socket} asked")).status().unwrap().success());
    assert_eq!(world.text("asked"), "served");
    let mine = world.change_at("asked.mine");
    assert_eq!((&mine["agent_id"], &mine["source"]), (&"b".into(), &"traced".into()));
    assert!(mine["evidence"]["delegated"][0].as_str().unwrap().ends_with("socket"), "{mine}");
    let asked = world.change_at("asked");
    // It was seen writing it for whoever left it running, and may have done so on behalf of the other.
    assert_eq!((&asked["agent_id"], &asked["candidates"][0]["agent_id"]), (&"a".into(), &"b".into()), "{asked}");
    assert!(asked["confidence"].as_f64() < Some(1.0), "{asked}");
    // By itself it goes on for whoever started it, and ends.
    assert!(Command::new("python3").arg(place("client.py")).args([place("socket")]).status().unwrap().success());
    until("it has ended", || {
        let token = world.begin("c", &[]);
        world.end(&token);
        !world.changes().iter().any(|change| change["ended_at"].is_null())
    });
    assert_eq!(world.change_at("asked")["change_id"], asked["change_id"]);
}
