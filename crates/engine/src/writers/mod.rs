//! Processes that may still write into the workspace for somebody: who they are, and whether whoever started them lives.
//!
//! Owns by what they are known, and how they are ended. Refuses to know what a recovery is about, and to be a security boundary:
//! who hides is not found.

mod clients;
mod ending;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use wfr_catalog::{ChangeFilter, ChangeRow};
use wfr_model::change::{Author, Source};
use wfr_model::{ChangeId, Timestamp, TreePath};

use self::clients::Session;
pub use self::ending::{Remains, end};
use crate::error::Failure;
use crate::open::Open;
use crate::process::{self, Process, ProcessId};
use crate::tracing;

/// The variable that tells a command, and all that it starts, which change it is.
pub const CHANGE: &str = "WFR_CHANGE";

/// The variable that names the process that waits for the command: its number, a dot, and when it started.
pub const LAUNCHER: &str = "WFR_LAUNCHER";

/// Who started a command, in the words of [`LAUNCHER`]: this process.
pub fn launcher() -> String {
    let own = process::process(std::process::id()).map(|process| process.id);
    own.map(|own| format!("{}.{}", own.pid, own.start)).unwrap_or_default()
}

/// A process that may still write.
#[derive(Clone, Debug)]
pub struct Writer {
    /// Which.
    pub id: ProcessId,
    /// Who started it, or took it over.
    pub parent: u32,
    /// Its command line, as much as is shown of it.
    pub command: String,
    /// Since when.
    pub since: Timestamp,
    /// Whether it is stopped now.
    pub is_stopped: bool,
    /// Whether whoever started it is dead; `None` where nothing tells.
    pub is_orphan: Option<bool>,
    /// Whether it is that because the client of its session is.
    pub has_lost_client: bool,
    /// Its own change; `None` where it says none, or its session has several that are open.
    pub change: Option<ChangeId>,
    /// That one, those that it is a part of, and what goes on where its command has ended.
    pub changes: Vec<ChangeId>,
    /// For whom, as far as that is known.
    pub author: Author,
    /// The client that it belongs to.
    pub client: Option<&'static str>,
    /// The files of the workspace that it has open for writing, or mapped so.
    pub files: Vec<TreePath>,
    /// Whether it is in the process group of this call.
    pub is_beside_us: bool,
}

impl Writer {
    /// Whether it is never ended: it works beside this call, as the other end of a pipe does.
    pub fn is_spared(&self) -> bool {
        self.is_beside_us && self.is_orphan != Some(true)
    }

    /// What a person is told of it in a sentence.
    pub fn named(&self) -> String {
        let whose = match (&self.author.agent_id, &self.author.session_id, self.client) {
            (Some(agent), ..) => format!(", of agent {agent}"),
            (None, Some(session), _) => format!(", of session {session}"),
            (None, None, Some(client)) => format!(", of {client}"),
            (None, None, None) => String::new(),
        };
        format!("process {} (`{}`{whose})", self.id.pid, self.command)
    }
}

/// What was found.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// The writers, by their numbers.
    pub writers: Vec<Writer>,
    /// Processes of which nothing can be read: those of other users.
    pub unread: u64,
}

/// Whose a process is.
#[derive(Clone, Debug, Default)]
struct Owner {
    change: Option<ChangeId>,
    launcher: Option<ProcessId>,
    session: Option<Session>,
    /// Whether somebody waits for the command, as the notes of its trace tell.
    is_held: Option<bool>,
}

/// All processes, with what each says of itself.
struct Scene {
    all: BTreeMap<u32, Process>,
    said: BTreeMap<u32, Owner>,
    unread: u64,
    /// This process and those that it was started by.
    own: BTreeSet<u32>,
}

impl Scene {
    fn look() -> Result<Self, Failure> {
        let all = process::all()?;
        let (mut said, mut unread) = (BTreeMap::new(), 0);
        for pid in all.keys() {
            match process::environment(*pid) {
                Ok(environment) => drop(said.insert(*pid, Owner::of(&environment))),
                Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => unread += 1,
                // It has ended.
                Err(_) => {}
            }
        }
        let mut own: BTreeSet<u32> =
            clients::ancestors(&all, std::process::id()).map(|process| process.id.pid).collect();
        own.insert(std::process::id());
        Ok(Self { all, said, unread, own })
    }
}

impl Owner {
    fn of(environment: &[u8]) -> Self {
        let launcher = process::variable(environment, LAUNCHER).and_then(|said| {
            let (pid, start) = said.split_once('.')?;
            Some(ProcessId { pid: pid.parse().ok()?, start: start.parse().ok()? })
        });
        Self {
            change: process::variable(environment, CHANGE).and_then(|id| id.parse().ok()),
            launcher,
            session: Session::of(environment),
            is_held: None,
        }
    }
}

/// The writers there are now. It costs a look at each process.
pub fn find(open: &Open) -> Result<Found, Failure> {
    let scene = Scene::look()?;
    let root = open.root().canonicalize().unwrap_or_else(|_| open.root().to_owned());
    let finder = Finder { open, root, scene: &scene, rows: BTreeMap::new() };
    finder.find()
}

struct Finder<'f> {
    open: &'f Open,
    root: PathBuf,
    scene: &'f Scene,
    rows: BTreeMap<ChangeId, Option<ChangeRow>>,
}

impl Finder<'_> {
    fn find(mut self) -> Result<Found, Failure> {
        let opened = self.open.catalog.changes(&ChangeFilter { open: true, ..ChangeFilter::default() })?;
        let mut members = self.marked()?;
        self.add_traced(&opened, &mut members)?;
        self.add_kin(&mut members)?;
        let mut writers = Vec::new();
        for (pid, owner) in &members {
            // What this program does to the tree it does under a hold.
            if process::is_ours(*pid) {
                continue;
            }
            let process = self.scene.all[pid];
            let writer = self.writer(&process, owner, &opened)?;
            // What ended while it was looked at writes no more.
            writers.extend(process::is_there(process.id).then_some(writer));
        }
        Ok(Found { writers, unread: self.scene.unread })
    }

    fn row(&mut self, id: &ChangeId) -> Result<Option<&ChangeRow>, Failure> {
        if !self.rows.contains_key(id) {
            let row = self.open.catalog.change(id)?;
            self.rows.insert(id.clone(), row);
        }
        Ok(self.rows[id].as_ref())
    }

    /// Those that say themselves that they work for a change of this ledger, or for a session, in this tree.
    fn marked(&mut self) -> Result<BTreeMap<u32, Owner>, Failure> {
        let mut found = BTreeMap::new();
        for (pid, said) in self.scene.said.iter().filter(|(pid, _)| !self.scene.own.contains(pid)) {
            let is_known = match &said.change {
                Some(id) => self.row(id)?.is_some(),
                None => false,
            };
            if is_known {
                found.insert(*pid, said.clone());
            } else if said.change.is_none() && said.session.is_some() && self.is_here(*pid) {
                found.insert(*pid, Owner { launcher: None, ..said.clone() });
            }
        }
        Ok(found)
    }

    fn is_here(&self, pid: u32) -> bool {
        process::works_in(pid, &self.root) || !process::open_for_writing(pid, &self.root).is_empty()
    }

    /// Those that a supervisor has been asked by, whatever they say of themselves.
    fn add_traced(&mut self, opened: &[ChangeRow], members: &mut BTreeMap<u32, Owner>) -> Result<(), Failure> {
        for row in opened.iter().filter(|row| row.change.source == Source::Traced) {
            let Some((id, asked)) = tracing::whom(self.open, row)? else { continue };
            for (pid, start) in asked.processes {
                let is_it = self.scene.all.get(&pid).is_some_and(|process| process.id == ProcessId { pid, start });
                if is_it && !self.scene.own.contains(&pid) {
                    let said = self.scene.said.get(&pid).cloned().unwrap_or_default();
                    let is_held = Some(asked.is_held);
                    members.entry(pid).or_insert(Owner { change: Some(id.clone()), is_held, ..said });
                }
            }
        }
        Ok(())
    }

    /// Those that a writer has started, or that are in a group or a session that one leads.
    fn add_kin(&mut self, members: &mut BTreeMap<u32, Owner>) -> Result<(), Failure> {
        loop {
            let mut more = Vec::new();
            for (pid, process) in &self.scene.all {
                if members.contains_key(pid) || self.scene.own.contains(pid) || self.is_elsewhere(*pid)? {
                    continue;
                }
                let kin = [process.parent, process.group, process.session].into_iter();
                let of = kin.filter(|one| one != pid).find_map(|one| members.get(&one));
                more.extend(of.map(|owner| (*pid, owner.clone())));
            }
            if more.is_empty() {
                return Ok(());
            }
            members.extend(more);
        }
    }

    /// Whether a process works for a change of another workspace.
    fn is_elsewhere(&mut self, pid: u32) -> Result<bool, Failure> {
        match self.scene.said.get(&pid).and_then(|said| said.change.clone()) {
            Some(id) => Ok(self.row(&id)?.is_none()),
            None => Ok(false),
        }
    }

    fn writer(&mut self, process: &Process, owner: &Owner, opened: &[ChangeRow]) -> Result<Writer, Failure> {
        let id = process.id;
        let row = match &owner.change {
            Some(id) => self.row(id)?.cloned(),
            None => None,
        };
        let session = owner.session.as_ref().and_then(Session::id);
        let of_session = || {
            let mut of_it =
                opened.iter().filter(|row| session.is_some() && row.change.author.session_id.as_deref() == session);
            of_it.next().filter(|_| of_it.next().is_none())
        };
        let line = row.as_ref().or_else(of_session);
        let author = match &row {
            Some(row) => row.change.author.clone(),
            None => self.author(owner)?,
        };
        let (is_orphan, has_lost_client) = self.is_orphan(process, owner, row.as_ref());
        let beside = self.scene.all.get(&std::process::id()).map(|own| own.group);
        Ok(Writer {
            id,
            parent: process.parent,
            command: process::command(id.pid),
            since: process::started(id),
            is_stopped: process.is_stopped,
            is_orphan,
            has_lost_client,
            change: line.map(|row| row.change.change_id.clone()),
            changes: line.map(|row| self.line(row, opened)).transpose()?.unwrap_or_default(),
            author,
            client: owner.session.as_ref().map(|session| session.client.as_str()),
            files: process::open_for_writing(id.pid, &self.root),
            is_beside_us: beside == Some(process.group),
        })
    }

    /// A change, those that it is a part of, and what goes on where its command has ended.
    fn line(&self, row: &ChangeRow, opened: &[ChangeRow]) -> Result<Vec<ChangeId>, Failure> {
        let mut found = vec![row.change.change_id.clone()];
        let follows = |other: &&ChangeRow| other.parent == Some(row.seq) && row.change.ended_at.is_some();
        found.extend(opened.iter().filter(follows).map(|other| other.change.change_id.clone()));
        let mut parent = row.parent;
        while let Some(above) = parent.map(|seq| self.open.catalog.change_at(seq)).transpose()?.flatten() {
            found.push(above.change.change_id);
            parent = above.parent;
        }
        Ok(found)
    }

    /// For whom a session works: what all of its changes say alike.
    fn author(&self, owner: &Owner) -> Result<Author, Failure> {
        let session_id = owner.session.as_ref().and_then(Session::id).map(ToOwned::to_owned);
        let Some(session) = session_id.clone() else { return Ok(Author::default()) };
        let rows = self.open.catalog.changes(&ChangeFilter { session: Some(session), ..ChangeFilter::default() })?;
        let mut authors = rows.into_iter().map(|row| row.change.author);
        let mut author = authors.next().unwrap_or_default();
        for other in authors {
            author.workflow_id = author.workflow_id.filter(|id| other.workflow_id.as_ref() == Some(id));
            author.phase_id = author.phase_id.filter(|id| other.phase_id.as_ref() == Some(id));
            author.task_id = author.task_id.filter(|id| other.task_id.as_ref() == Some(id));
            author.agent_id = author.agent_id.filter(|id| other.agent_id.as_ref() == Some(id));
        }
        Ok(Author { session_id, tool_call_id: None, ..author })
    }

    /// Whether nobody is left who would end it, and whether that is the client: it is dead, or whoever waited for the command is,
    /// before that ended.
    fn is_orphan(&self, process: &Process, owner: &Owner, row: Option<&ChangeRow>) -> (Option<bool>, bool) {
        let client = owner.session.as_ref().map(|session| {
            let of_it = |said: &Owner| said.session.as_ref().is_some_and(|other| other.is(session));
            let of_it =
                self.scene.said.iter().filter(|(_, said)| of_it(said)).filter_map(|(pid, _)| self.scene.all.get(pid));
            let first = of_it.map(|process| process.id).min_by_key(|id| id.start).unwrap_or(process.id);
            session.lives(&self.scene.all, process, first)
        });
        if client == Some(Some(false)) {
            return (Some(true), true);
        }
        let is_open = row.is_some_and(|row| row.change.ended_at.is_none());
        let launcher = match owner.launcher.filter(|_| is_open) {
            Some(_) if process::shares_numbers(process.id.pid) != Some(true) => None,
            Some(launcher) => Some(process::is_there(launcher)),
            None if is_open => owner.is_held.or(Some(true)),
            None => Some(true),
        };
        let is_orphan = match (client, launcher) {
            (_, Some(false)) => Some(true),
            (Some(None), _) | (_, None) => None,
            _ => Some(false),
        };
        (is_orphan, false)
    }
}
