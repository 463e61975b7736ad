//! What is kept of a session from one hook to the next: who works on what, and who was heard when.
//!
//! Owns these files of the vault. They are derived: where one is lost, a change has one word less. Refuses to know changes.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use wfr_clients::{Client, Said};
use wfr_model::phase::PhaseId;
use wfr_model::{AgentId, Digest, TaskId, Timestamp, TreePath};

use crate::error::Failure;
use crate::open::Open;
use crate::process::{self, ProcessId};

/// What was heard of a session.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Heard {
    /// The session, in the client's words.
    pub session: String,
    /// The client's process; `None` where it was not there any more.
    pub client: Option<ProcessId>,
    /// When it was first heard.
    pub since: Timestamp,
    /// When it was last heard.
    pub at: Timestamp,
    /// The last event.
    pub event: String,
}

impl Heard {
    /// Whether the client is still there.
    pub fn lives(&self) -> bool {
        self.client.is_some_and(process::is_there)
    }
}

/// What is known of an agent.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Known {
    task: Option<TaskId>,
    phase: Option<PhaseId>,
    has_ended: bool,
    /// Whether it was told that its phase is over.
    is_phase_over: bool,
    /// What it read since its last change.
    reads: Vec<TreePath>,
}

/// Files that an agent read and that wait for its next change, at most.
const READS_MAX: usize = 1_000;

/// The files of one session.
#[derive(Clone, Debug)]
pub struct Desk {
    dir: PathBuf,
    session: String,
}

/// Where the files of all clients are.
pub(super) fn all(open: &Open) -> PathBuf {
    open.vault.dir().join(ALL)
}

const ALL: &str = "clients";

impl Desk {
    /// The desk of a session, which need not be there yet.
    pub fn of(open: &Open, client: Client, session: &str) -> Self {
        Self::at(open.vault.dir(), client, session)
    }

    /// The same, in a vault that nobody opened.
    pub fn at(vault: &Path, client: Client, session: &str) -> Self {
        let dir = vault.join(ALL).join(client.as_str()).join(key(session));
        Self { dir, session: session.to_owned() }
    }

    /// All sessions that a client was heard of and that have not ended.
    pub fn heard(open: &Open, client: Client) -> Vec<Heard> {
        let dirs = fs::read_dir(all(open).join(client.as_str())).into_iter().flatten().flatten();
        let mut heard: Vec<Heard> = dirs.filter_map(|dir| read(&dir.path().join(HEARD))).collect();
        heard.sort_by_key(|one| std::cmp::Reverse(one.at));
        heard
    }

    /// What was heard of a session that has not ended.
    pub fn heard_of(open: &Open, client: Client, session: &str) -> Option<Heard> {
        read(&Self::of(open, client, session).dir.join(HEARD))
    }

    /// When a client was last heard, by any session; `None`: never.
    pub fn last(open: &Open, client: Client) -> Option<Timestamp> {
        read(&all(open).join(client.as_str()).join(LAST))
    }

    /// Notes that a session was heard.
    pub(super) fn hear(&self, said: &Said, from: Option<ProcessId>, now: Timestamp) -> io::Result<()> {
        make(&self.dir)?;
        let place = self.dir.join(HEARD);
        let since = read(&place).map_or(now, |heard: Heard| heard.since);
        let (session, client, event) = (self.session.clone(), from, said.event.clone());
        write(&place, &Heard { session, client, since, at: now, event })?;
        write(&self.dir.with_file_name(LAST), &now)
    }

    /// A place for files of the session.
    pub(super) fn place(&self, name: &str) -> io::Result<PathBuf> {
        let place = self.dir.join(name);
        make(&place)?;
        Ok(place)
    }

    /// Whether the same was said just now, to the byte: where a client has our hooks twice, as from a plugin and from its settings, it
    /// says all twice.
    pub(super) fn repeats(&self, payload: &[u8]) -> bool {
        let Ok(dir) = self.place(SAID) else { return false };
        let is_recent = |place: &Path| {
            let since = fs::metadata(place).and_then(|meta| meta.modified()).ok()?;
            Some(since.elapsed().is_ok_and(|age| age < TWICE))
        };
        for old in fs::read_dir(&dir).into_iter().flatten().flatten().map(|entry| entry.path()) {
            if is_recent(&old) == Some(false) {
                let _ = fs::remove_file(old);
            }
        }
        let place = dir.join(key_of(payload));
        let made = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(place);
        made.is_err_and(|error| error.kind() == io::ErrorKind::AlreadyExists)
    }

    /// The same where it is there.
    pub(super) fn there(&self, name: &str) -> Option<PathBuf> {
        Some(self.dir.join(name)).filter(|place| place.is_dir())
    }

    /// Notes whether the last shell command of the session was run by us.
    pub(super) fn traces(&self, is_so: bool) -> io::Result<()> {
        let place = self.dir.join(TRACED);
        match (is_so, place.exists()) {
            (true, false) => write(&place, &true),
            (false, true) => fs::remove_file(place),
            _ => Ok(()),
        }
    }

    /// Whether the last shell command of the session was run by us.
    pub(super) fn is_traced(&self) -> bool {
        self.dir.join(TRACED).exists()
    }

    /// The session has ended.
    pub(super) fn close(&self) {
        let _ = fs::remove_dir_all(&self.dir);
    }

    fn agent(&self, agent: &AgentId) -> PathBuf {
        self.dir.join(format!("{}.agent", key(agent.as_str())))
    }

    fn known(&self, agent: &AgentId) -> Known {
        read(&self.agent(agent)).unwrap_or_default()
    }

    /// The task that an agent works on.
    pub(super) fn task_of(&self, agent: &AgentId) -> Option<TaskId> {
        self.known(agent).task
    }

    /// The phase that an agent works in.
    pub(super) fn phase_of(&self, agent: &AgentId) -> Option<PhaseId> {
        self.known(agent).phase
    }

    /// From now on an agent works on a task.
    pub(super) fn takes(&self, agent: &AgentId, task: Option<TaskId>) -> io::Result<()> {
        write(&self.agent(agent), &Known { task, ..self.known(agent) })
    }

    /// From now on an agent works in a phase.
    pub(super) fn enters(&self, agent: &AgentId, phase: PhaseId) -> io::Result<()> {
        write(&self.agent(agent), &Known { phase: Some(phase), ..self.known(agent) })
    }

    /// An agent has ended.
    pub(super) fn ends(&self, agent: &AgentId) -> io::Result<()> {
        write(&self.agent(agent), &Known { has_ended: true, ..self.known(agent) })
    }

    /// The phases that are not over.
    pub(super) fn phases(&self) -> Vec<PhaseId> {
        let mut phases: Vec<PhaseId> = self.agents().filter_map(|(_, known)| known.phase).collect();
        phases.sort_by(|a, b| a.as_str().cmp(b.as_str()));
        phases.dedup();
        phases
    }

    /// A phase is over where all of its agents have ended; whether it is. It is told once.
    pub(super) fn is_over(&self, phase: &PhaseId) -> io::Result<bool> {
        let mut own: Vec<(PathBuf, Known)> =
            self.agents().filter(|(_, known)| known.phase.as_ref() == Some(phase)).collect();
        if !own.iter().all(|(_, known)| known.has_ended) {
            return Ok(false);
        }
        for (place, known) in &mut own {
            known.is_phase_over = true;
            write(place, known)?;
        }
        Ok(true)
    }

    /// The agents whose phases are not known to be over.
    fn agents(&self) -> impl Iterator<Item = (PathBuf, Known)> + use<> {
        let places = fs::read_dir(&self.dir).into_iter().flatten().flatten().map(|entry| entry.path());
        let agents = places.filter(|place| place.extension().is_some_and(|extension| extension == "agent"));
        agents
            .filter_map(|place| Some((place.clone(), read::<Known>(&place)?)))
            .filter(|(_, known)| !known.is_phase_over)
    }

    /// Keeps what an agent read until its next change.
    pub(super) fn reads(&self, agent: &AgentId, paths: Vec<TreePath>) -> io::Result<()> {
        let mut known = self.known(agent);
        for path in paths {
            if !known.reads.contains(&path) && known.reads.len() < READS_MAX {
                known.reads.push(path);
            }
        }
        write(&self.agent(agent), &known)
    }

    /// What an agent read since its last change; it is kept no longer.
    pub(super) fn take_reads(&self, agent: &AgentId) -> Result<Vec<TreePath>, Failure> {
        let mut known = self.known(agent);
        let reads = std::mem::take(&mut known.reads);
        if !reads.is_empty() {
            write(&self.agent(agent), &known)?;
        }
        Ok(reads)
    }
}

const SAID: &str = "said";

/// What is said twice is said within this time.
const TWICE: Duration = Duration::from_secs(2);

const HEARD: &str = "heard.json";
const TRACED: &str = "traced.json";
const LAST: &str = "last.json";

/// A name for a file from any text.
pub(super) fn key(text: &str) -> String {
    key_of(text.as_bytes())
}

fn key_of(bytes: &[u8]) -> String {
    let digest: Digest = wfr_store::object::hash(bytes);
    digest.to_string()[..32].to_owned()
}

fn make(dir: &Path) -> io::Result<()> {
    if dir.is_dir() { Ok(()) } else { fs::DirBuilder::new().recursive(true).mode(0o700).create(dir) }
}

/// Reads a file of the desk; `None` where it is not there, or was cut off.
pub(super) fn read<T: DeserializeOwned>(place: &Path) -> Option<T> {
    serde_json::from_slice(&fs::read(place).ok()?).ok()
}

/// Writes a file of the desk, whole or not at all.
pub(super) fn write<T: Serialize>(place: &Path, value: &T) -> io::Result<()> {
    let temporary = place.with_extension(format!("{}.tmp", std::process::id()));
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
    file.write_all(&serde_json::to_vec(value)?)?;
    fs::rename(&temporary, place)
}
