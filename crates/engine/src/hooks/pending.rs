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
use wfr_clients::{Call, Client, Wrapping, shell};
use wfr_model::AgentId;
use wfr_model::change::Author;

use super::desk::{self, Desk};
use crate::open::Open;

/// How the name of our launcher begins.
pub const LAUNCHER: &str = "wfr-shell";

/// Whether a value of that variable names our launcher.
pub fn is_launcher(value: &OsStr) -> bool {
    let value = value.as_bytes();
    let program = value.windows(2).rposition(|pair| pair == b" -").map_or(value, |at| &value[..at]);
    let name = Path::new(OsStr::from_bytes(program)).file_name().map_or(&b""[..], |name| name.as_bytes());
    name.starts_with(LAUNCHER.as_bytes())
}

/// Whether the commands of a client are run by us, as far as its hooks can tell.
pub(super) fn is_wrapped(client: Client, variable: fn(&str) -> Option<std::ffi::OsString>) -> bool {
    match client.wrapping() {
        Wrapping::Variable(name) => variable(name).is_some_and(|value| is_launcher(&value) || is_bash_env(&value)),
        Wrapping::Hidden => true,
        Wrapping::Nothing => false,
    }
}

/// Whether a value of `BASH_ENV` names our file.
pub fn is_bash_env(value: &OsStr) -> bool {
    let name = Path::new(value).file_name().map_or(&b""[..], |name| name.as_bytes());
    name.starts_with(shell::BASH_ENV.as_bytes())
}

const DIR: &str = "pending";
/// A command that waits for its shell.
const WAITING: &str = "call";
/// One whose shell was told from all others.
const TAKEN: &str = "taken";
/// One whose shell came, among several that are equal.
const SHARED: &str = "shared";

/// A command that is about to be run.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Pending {
    author: Author,
    /// Tells the command; the command itself may be a secret.
    command: String,
}

/// Commands of calls without ids are told apart by numbers, this many at once.
const EQUAL_MAX: usize = 1_000;

/// Keeps a command that is about to be run.
pub(super) fn add(desk: &Desk, author: Author, call: &Call, command: &str) -> io::Result<()> {
    let author = Author { tool_call_id: call.id.clone(), ..author };
    let dir = desk.place(DIR)?;
    let pending = Pending { author, command: desk::key(command) };
    match &call.id {
        Some(id) => desk::write(&dir.join(desk::key(id)).with_extension(WAITING), &pending),
        None => add_nameless(&dir, &pending),
    }
}

/// Keeps a command whose call has no id under the first number that is free: of two at the same time each gets one.
fn add_nameless(dir: &Path, pending: &Pending) -> io::Result<()> {
    let own = dir.join(format!("{}.own", std::process::id()));
    desk::write(&own, pending)?;
    let named = |number: usize| dir.join(format!("{}-{number}", pending.command));
    let takes = |place: &PathBuf| {
        let is_used = [TAKEN, SHARED].iter().any(|one| place.with_extension(one).exists());
        !is_used && fs::hard_link(&own, place.with_extension(WAITING)).is_ok()
    };
    let is_kept = (0..EQUAL_MAX).map(named).any(|place| takes(&place));
    if is_kept { fs::remove_file(&own) } else { fs::rename(&own, named(EQUAL_MAX).with_extension(WAITING)) }
}

/// What became of a command that waited to be run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Waited {
    /// None did.
    No,
    /// Its shell did not come to us, or not yet.
    InVain,
    /// It was run by us.
    Run,
}

/// Whether a command waits to be run: that of a call, where it is known of which, or an equal one.
pub(super) fn waits(desk: &Desk, call: Option<&str>, command: &str) -> bool {
    let Some(dir) = desk.there(DIR) else { return false };
    call.is_some_and(|call| dir.join(desk::key(call)).with_extension(WAITING).exists())
        || !waiting(&dir, Some(&desk::key(command))).is_empty()
}

/// Whether the command of a call waits to be run, or was.
pub(super) fn is_kept(desk: &Desk, call: &Call, command: &str) -> bool {
    let Some(dir) = desk.there(DIR) else { return false };
    places(&dir, call, command)
        .iter()
        .any(|place| [WAITING, TAKEN, SHARED].iter().any(|one| place.with_extension(one).exists()))
}

/// Where the command of a call may be.
fn places(dir: &Path, call: &Call, command: &str) -> Vec<PathBuf> {
    let command = desk::key(command);
    match &call.id {
        Some(id) => vec![dir.join(desk::key(id))],
        None => (0..EQUAL_MAX).map(|number| dir.join(format!("{command}-{number}"))).collect(),
    }
}

/// Forgets a command that has been run; not one that may be still on its way.
pub(super) fn remove(desk: &Desk, call: &Call, command: &str) -> Waited {
    let Ok(dir) = desk.place(DIR) else { return Waited::No };
    let places = places(&dir, call, command);
    let is_there = |place: &&PathBuf, extension: &str| place.with_extension(extension).exists();
    let run = places.iter().find(|place| is_there(place, TAKEN) || is_there(place, SHARED));
    let Some(place) = run.or_else(|| places.iter().find(|place| is_there(place, WAITING))) else {
        return Waited::No;
    };
    if run.is_some() || !call.goes_on {
        [WAITING, TAKEN, SHARED].iter().for_each(|one| drop(fs::remove_file(place.with_extension(one))));
    }
    if run.is_some() { Waited::Run } else { Waited::InVain }
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
    /// Nobody announced it, nor anything else in this session.
    Unheard(Author),
}

/// Who is about to run a command in a session of a client, of which a hook told or not.
pub fn claim(open: &Open, client: Client, (session, is_heard): (&str, bool), command: &str) -> Claimed {
    let desk = Desk::of(open, client, session);
    let nobody = Author {
        workflow_id: super::workflow_of(client, session),
        session_id: Some(session.to_owned()),
        ..Author::default()
    };
    if !is_heard {
        return Claimed::Unheard(nobody);
    }
    let Ok(dir) = desk.place(DIR) else { return Claimed::Nobody(nobody) };
    let command = desk::key(command);
    loop {
        let mut waiting = waiting(&dir, Some(&command));
        match waiting.len() {
            // What another hook made of a command is announced as it was before.
            0 => return shared(self::waiting(&dir, None)).unwrap_or(Claimed::Nobody(nobody)),
            1 => {
                let (place, one) = waiting.remove(0);
                // Of two who want the same one of them gets it.
                if fs::rename(&place, place.with_extension(TAKEN)).is_ok() {
                    return Claimed::One(one.author);
                }
            }
            _ => return shared(waiting).unwrap_or(Claimed::Nobody(nobody)),
        }
    }
}

/// One of those that wait, whichever; `None` where there is none.
fn shared(waiting: Vec<(PathBuf, Pending)>) -> Option<Claimed> {
    // Each of them stays for the shells that are still to come, and none of them was in vain.
    for (place, one) in &waiting {
        let _ = desk::write(&place.with_extension(SHARED), one);
    }
    let authors: Vec<Author> = waiting.into_iter().map(|(_, one)| one.author).collect();
    (!authors.is_empty()).then_some(Claimed::Several(authors))
}

/// The call whose command is about to be run, where the shell itself names it.
pub fn claim_call(open: &Open, client: Client, session: &str, (agent, call): (Option<&str>, &str)) -> Claimed {
    let desk = Desk::of(open, client, session);
    let waiting = desk.place(DIR).ok().map(|dir| dir.join(desk::key(call)).with_extension(WAITING));
    let known = waiting.and_then(|place| {
        let pending: Pending = desk::read(&place)?;
        fs::rename(&place, place.with_extension(TAKEN)).ok().map(|()| pending.author)
    });
    // No hook said that it was coming: it is known all the same.
    Claimed::One(known.unwrap_or_else(|| author(&desk, client, session, (agent, Some(call)))))
}

/// An agent of a session, at a call or at none.
pub(crate) fn author(
    desk: &Desk,
    client: Client,
    session: &str,
    (agent, call): (Option<&str>, Option<&str>),
) -> Author {
    let agent = agent.filter(|agent| *agent != session).map_or_else(|| super::MAIN.to_owned(), super::name);
    let agent_id: Option<AgentId> = agent.parse().ok();
    Author {
        workflow_id: super::workflow_of(client, session),
        phase_id: agent_id.as_ref().and_then(|agent| desk.phase_of(agent)),
        task_id: agent_id.as_ref().and_then(|agent| desk.task_of(agent)),
        agent_id,
        session_id: Some(session.to_owned()),
        tool_call_id: call.map(str::to_owned),
    }
}

/// Commands that wait: the one given, or all.
fn waiting(dir: &Path, command: Option<&str>) -> Vec<(PathBuf, Pending)> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path());
    let calls = entries.filter(|place| place.extension() == Some(OsStr::new(WAITING)));
    let mut found: Vec<(PathBuf, Pending)> =
        calls.filter_map(|place| Some((place.clone(), desk::read::<Pending>(&place)?))).collect();
    found.retain(|(_, one)| command.is_none_or(|command| one.command == command));
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
