//! Commands that a client is about to run in a shell, and which of them it is that we are asked to run.
//!
//! Owns the files by which the two find each other: the hook knows the agent and the call, the shell only the command. Refuses to
//! run anything.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use wfr_clients::{Call, Client};
use wfr_model::AgentId;
use wfr_model::change::Author;

use super::desk::{self, Desk};
use crate::open::Open;

/// The variable by which Claude Code is told who runs its commands.
pub(super) const WRAPPED_BY: &str = "CLAUDE_CODE_SHELL_PREFIX";

/// How that begins the name of our launcher.
pub const LAUNCHER: &str = "wfr-shell";

/// Whether a value of that variable names our launcher.
pub fn is_launcher(value: &OsStr) -> bool {
    let value = value.as_bytes();
    let program = value.windows(2).rposition(|pair| pair == b" -").map_or(value, |at| &value[..at]);
    let name = Path::new(OsStr::from_bytes(program)).file_name().map_or(&b""[..], |name| name.as_bytes());
    name.starts_with(LAUNCHER.as_bytes())
}

const DIR: &str = "pending";
const WAITING: &str = "call";
const TAKEN: &str = "taken";
/// Another name of one that is waiting: it may be the one that was run, or not.
const SEEN: &str = "seen";

/// A command that is about to be run.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Pending {
    author: Author,
    /// Tells the command; the command itself may be a secret.
    command: String,
}

fn name_of(call: &Call) -> String {
    desk::key(call.id.as_deref().unwrap_or(""))
}

/// Keeps a command that is about to be run.
pub(super) fn add(desk: &Desk, author: Author, call: &Call, command: &str) -> io::Result<()> {
    let author = Author { tool_call_id: call.id.clone(), ..author };
    let place = desk.place(DIR)?.join(name_of(call)).with_extension(WAITING);
    desk::write(&place, &Pending { author, command: desk::key(command) })
}

/// What became of a command that has been run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Ended {
    /// Nobody waited for it.
    Unknown,
    /// Our launcher ran it.
    Claimed,
    /// It was announced, and something else ran it.
    Unclaimed,
}

/// Forgets a command that has been run.
pub(super) fn remove(desk: &Desk, call: &Call) -> Ended {
    let Ok(dir) = desk.place(DIR) else { return Ended::Unknown };
    let place = dir.join(name_of(call));
    let [waited, taken, seen] =
        [WAITING, TAKEN, SEEN].map(|extension| fs::remove_file(place.with_extension(extension)).is_ok());
    match (taken || seen, waited) {
        (true, _) => Ended::Claimed,
        (false, true) => Ended::Unclaimed,
        (false, false) => Ended::Unknown,
    }
}

/// Forgets commands that will not be run any more: those of an agent, or all. Some were refused.
pub(super) fn forget(desk: &Desk, agent: Option<&AgentId>) {
    let Ok(dir) = desk.place(DIR) else { return };
    let entries = fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path());
    for place in entries {
        let is_meant = |one: Pending| agent.is_none() || one.author.agent_id.as_ref() == agent;
        if desk::read(&place).is_none_or(is_meant) {
            let _ = fs::remove_file(&place);
        }
    }
}

/// On whose behalf a command is run.
#[derive(Clone, PartialEq, Debug)]
pub enum Claimed {
    /// This one's.
    One(Author),
    /// One of these, who are about to run the same.
    Several(Vec<Author>),
    /// Nobody announced it: a person typed it.
    Nobody(Author),
}

/// Who is about to run a command in a session of a client.
pub fn claim(open: &Open, client: Client, session: &str, command: &str) -> Claimed {
    let desk = Desk::of(open, client, session);
    let nobody = Author {
        workflow_id: super::workflow_of(client, session),
        session_id: Some(session.to_owned()),
        ..Author::default()
    };
    let Ok(dir) = desk.place(DIR) else { return Claimed::Nobody(nobody) };
    let command = desk::key(command);
    loop {
        let mut waiting = waiting(&dir, &command);
        match waiting.len() {
            0 => return Claimed::Nobody(nobody),
            1 => {
                let (place, one) = waiting.remove(0);
                // Of two who want the same one of them gets it.
                if fs::rename(&place, place.with_extension(TAKEN)).is_ok() {
                    return Claimed::One(one.author);
                }
            }
            _ => {
                for (place, _) in &waiting {
                    let _ = fs::hard_link(place, place.with_extension(SEEN));
                }
                return Claimed::Several(waiting.into_iter().map(|(_, one)| one.author).collect());
            }
        }
    }
}

fn waiting(dir: &Path, command: &str) -> Vec<(PathBuf, Pending)> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path());
    let calls = entries.filter(|place| place.extension() == Some(OsStr::new(WAITING)));
    let mut found: Vec<(PathBuf, Pending)> =
        calls.filter_map(|place| Some((place.clone(), desk::read::<Pending>(&place)?))).collect();
    found.retain(|(_, one)| one.command == command);
    found.sort_by(|a, b| a.0.cmp(&b.0));
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_launcher_is_known_by_its_name() {
        for ours in ["/a b/wfr-shell -c", "/x -y/wfr-shell -c", "wfr-shell"] {
            assert!(is_launcher(OsStr::new(ours)), "{ours}");
        }
        for other in ["", "/usr/bin/env", "/a/wfr-shell/other -c", "/bin/sh -c wfr-shell"] {
            assert!(!is_launcher(OsStr::new(other)), "{other}");
        }
    }
}
