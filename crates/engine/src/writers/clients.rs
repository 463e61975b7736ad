//! The sessions of clients that processes belong to, by the marks in their environments.
//!
//! Owns whether the client behind one lives. Refuses to guess: where nothing tells, that is said.

use std::collections::BTreeMap;

use wfr_clients::{Client, Marks};

use crate::process::{self, Process, ProcessId};

/// Words of a command line among which a client's program is looked for: an interpreter and its options stand before it.
const WORDS_MAX: usize = 4;

/// A session of a client, as a process that belongs to it knows it.
#[derive(Clone, Debug)]
pub struct Session {
    /// Of which client.
    pub client: Client,
    /// How it marks what it starts.
    marks: Marks,
    /// What marks it.
    mark: String,
    /// The number of the client's process.
    process: Option<u32>,
}

impl Session {
    /// The session that an environment names.
    pub fn of(environment: &[u8]) -> Option<Self> {
        Client::ALL.iter().find_map(|client| {
            let marks = client.marks()?;
            let mark = process::variable(environment, marks.variable)?.to_owned();
            let number = marks.process.and_then(|name| process::variable(environment, name)?.parse().ok());
            Some(Self { client: *client, marks, mark, process: number })
        })
    }

    /// Its name, where the client gives it one.
    pub fn id(&self) -> Option<&str> {
        self.marks.names_session.then_some(&self.mark)
    }

    /// Whether two processes belong to the same one, as far as they know.
    pub fn is(&self, other: &Self) -> bool {
        (self.client, &self.mark, self.process) == (other.client, &other.mark, other.process)
    }

    /// Whether its client lives; `None` where nothing tells. `first` is the oldest process of the session that is there, `at` the
    /// one that is asked about.
    pub fn lives(&self, all: &BTreeMap<u32, Process>, at: &Process, first: ProcessId) -> Option<bool> {
        let above = || ancestors(all, at.parent);
        if let Some(client) = self.process {
            if above().any(|process| process.id.pid == client) {
                return Some(true);
            }
            // A number of somewhere else names nobody here.
            if process::shares_numbers(at.id.pid) != Some(true) || self.made_this_world() {
                return None;
            }
            // Who started later than those that it is said to have started has its number only.
            return Some(all.get(&client).is_some_and(|process| process.id.start <= first.start));
        }
        if above().any(|process| self.is_client(process.id.pid)) {
            return Some(true);
        }
        let may_be_any = self.made_this_world() || all.keys().any(|pid| self.is_client(*pid));
        if may_be_any { None } else { Some(false) }
    }

    /// Whether all that is seen here was started by the client, in a room of its own: then it is outside, and not seen.
    fn made_this_world(&self) -> bool {
        process::environment(1).is_ok_and(|one| process::variable(&one, self.marks.variable) == Some(&*self.mark))
    }

    /// Whether a process is one of the client's, by the name of its program or of the script that it runs. Ours are told the name
    /// of the client for which they run a command.
    fn is_client(&self, pid: u32) -> bool {
        let words = if process::is_ours(pid) { vec![] } else { process::words(pid) };
        words.iter().take(WORDS_MAX).any(|word| word.rsplit('/').next() == Some(self.client.as_str()))
    }
}

/// A process and those that it was started by, as far as they are there.
pub(super) fn ancestors(all: &BTreeMap<u32, Process>, from: u32) -> impl Iterator<Item = &Process> {
    std::iter::successors(all.get(&from), |process| all.get(&process.parent)).take(all.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(pid: u32, start: u64, parent: u32) -> Process {
        let id = ProcessId { pid, start };
        Process { id, parent, group: pid, session: pid, is_stopped: false, is_stuck: false, is_corpse: false }
    }

    #[test]
    fn a_client_is_dead_where_its_number_is_gone_or_another_ones_by_now() {
        let environment = |client: u32| format!("A=b\0CLAUDE_CODE_SESSION_ID=s\0CLAUDE_PID={client}\0");
        let session = |client: u32| Session::of(environment(client).as_bytes()).unwrap();
        // The one that is asked about must be in this very room of numbers.
        let own = process(std::process::id(), 50, 1);
        let all: BTreeMap<u32, Process> =
            [process(1, 1, 0), process(7, 40, 1), process(8, 60, 1), own].map(|one| (one.id.pid, one)).into();
        let lives = |client: u32| session(client).lives(&all, &own, own.id);
        assert_eq!(lives(7), Some(true));
        assert_eq!(lives(8), Some(false), "it started later than what it is said to have started");
        assert_eq!(lives(9), Some(false));
        let child = process(std::process::id(), 70, 8);
        assert_eq!(session(8).lives(&all, &child, own.id), Some(true), "it started it, whenever");
        assert!(Session::of(b"CLAUDE_PID=1\0").is_none());
    }
}
