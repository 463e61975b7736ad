//! Upkeep beside a command that has ended: a process of its own, where something is due.
//!
//! Owns starting and detaching it. Refuses to know what is due, and to let its trouble be anybody's: the command is
//! done.

use std::io;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};

use serde_json::{Map, Value};
use wfr_engine::operation::Operation;
use wfr_engine::session::Session;
use wfr_engine::workspace::Place;

/// The operation that does it.
const NAME: &str = "upkeep";

/// Keeps commands from starting upkeep, where it is set and not empty.
const SWITCH: &str = "WFR_NO_UPKEEP";

/// Starts upkeep after any command, also one that only reads, where something is due and nobody does it already.
pub fn start_where_due(operation: &Operation, session: &Session) -> Option<Child> {
    let is_off = || std::env::var_os(SWITCH).is_some_and(|value| !value.is_empty());
    if operation.name == NAME || is_off() {
        return None;
    }
    let place = wfr_engine::upkeep::due(session)?;
    start(&place, &[NAME, "--detached", "--quiet"], Stdio::null()).ok()
}

/// The same for a process that goes on: what it started and has ended since is taken note of, as it must be of every child.
pub fn start_and_reap(operation: &Operation, session: &Session) {
    static STARTED: Mutex<Vec<Child>> = Mutex::new(vec![]);
    let mut started = STARTED.lock().unwrap_or_else(PoisonError::into_inner);
    started.retain_mut(|child| matches!(child.try_wait(), Ok(None)));
    started.extend(start_where_due(operation, session));
}

/// Starts this program on a workspace with further words, in a process that outlives this one; its output can be read.
pub fn detached(place: &Place, words: &[&str]) -> io::Result<Child> {
    start(place, words, Stdio::piped())
}

fn start(place: &Place, words: &[&str], output: Stdio) -> io::Result<Child> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("--workspace").arg(&place.root).arg("--store").arg(&place.vault).args(words);
    // Nothing of the caller's is kept: neither its streams, whose ends it waits for, nor its directory.
    command.stdin(Stdio::null()).stdout(output).stderr(Stdio::null()).current_dir("/").spawn()
}

/// Leaves the session of the terminal, where this process was started by another to outlive it.
pub fn leave_terminal(parameters: &Map<String, Value>) {
    if parameters.get("detached") == Some(&Value::Bool(true)) {
        // It fails only for the leader of a process group, which is alone already.
        let _ = rustix::process::setsid();
    }
}
