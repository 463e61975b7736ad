//! Processes of `wfr` that are caught at work: at a known point, by what they have changed on disk, never by the clock.
//!
//! Owns starting, stopping and killing them. Refuses to know what they do.

use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, ExitStatus, Stdio};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::inotify::{CreateFlags, WatchFlags, add_watch, init};
use rustix::process::{Pid, PidfdFlags, Signal, WaitOptions, kill_process, pidfd_open, waitpid};
use serde_json::Value;

use crate::world::World;

/// Starts `wfr` with `--json`.
pub fn spawn(world: &World, arguments: &[&str]) -> Child {
    world.command(arguments).arg("--json").stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap()
}

/// Starts `wfr` and stops it as soon as something holds, looked at whenever an entry of these directories changes;
/// `None` where it ended first.
pub fn catch(world: &World, arguments: &[&str], dirs: &[&Path], holds: impl Fn() -> bool) -> Option<Child> {
    let events = init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC).unwrap();
    let changes = WatchFlags::CREATE | WatchFlags::MODIFY | WatchFlags::MOVED_TO | WatchFlags::DELETE;
    for dir in dirs {
        add_watch(&events, *dir, changes).unwrap();
    }
    let mut child = spawn(world, arguments);
    let end = pidfd_open(pid(&child), PidfdFlags::empty()).unwrap();
    while !holds() {
        if !wait_for_change(&events, &end) {
            return drop_ended(child);
        }
    }
    send(&child, Signal::STOP);
    // It may have ended just before: then this has waited for it for good, and the wait below finds nobody.
    let found = waitpid(Some(pid(&child)), WaitOptions::UNTRACED).unwrap();
    if found.is_some_and(|(_, status)| status.stopped()) {
        return Some(child);
    }
    let _ = child.wait();
    None
}

/// Waits for a change or for the process's end; `false` where it ended without a further change.
fn wait_for_change(events: &OwnedFd, end: &OwnedFd) -> bool {
    let mut both = [PollFd::new(events, PollFlags::IN), PollFd::new(end, PollFlags::IN)];
    poll(&mut both, None).unwrap();
    let is_changed = !both[0].revents().is_empty();
    if is_changed {
        let mut buffer = [0; 65_536];
        rustix::io::read(events, &mut buffer[..]).unwrap();
    }
    is_changed
}

fn drop_ended(mut child: Child) -> Option<Child> {
    child.wait().unwrap();
    None
}

fn pid(child: &Child) -> Pid {
    Pid::from_child(child)
}

/// Sends a signal.
pub fn send(child: &Child, signal: Signal) {
    kill_process(pid(child), signal).unwrap();
}

/// Tries until a process is caught: on a busy machine one may be too fast.
pub fn caught<T>(attempt: impl FnMut() -> Option<T>) -> T {
    std::iter::repeat_with(attempt).take(50).find_map(|found| found).expect("one in 50 is caught at work")
}

/// Kills a process that was caught.
pub fn kill(mut child: Child) {
    child.kill().unwrap();
    assert_eq!(child.wait().unwrap().signal(), Some(9));
}

/// Lets a process go on to its end; how it ended and its document.
pub fn ended(child: Child) -> (ExitStatus, Value) {
    send(&child, Signal::CONT);
    let output = child.wait_with_output().unwrap();
    (output.status, serde_json::from_slice(&output.stdout).unwrap())
}
