//! Attaching agent clients: what of ours their configuration has to have, and putting it there and taking it away.
//!
//! Owns the table of clients and the order in which files are written. Refuses to know the forms of configuration: of JSON that is
//! [`wfr_clients::settings`].

mod activity;
pub(crate) mod checking;
pub(crate) mod claude;
mod files;
mod others;
mod probing;
mod program;
mod record;
mod switches;
mod tables;
mod texts;

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use wfr_clients::Client;
use wfr_clients::settings::{self, Entry};

use crate::error::{Code, Failure};
use crate::handlers::shown;
use crate::results::{AttachedEntry, AttachedFile, FileBecame};
use crate::session::Session;
use crate::{dir_lock, workspace};
use files::Found;
use record::{Attached, Record, RecordedFile};

/// For whom a client is attached.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// For sessions in one workspace.
    Project,
    /// For all sessions of the user.
    User,
}

impl Scope {
    /// The flag that names it.
    pub fn flag(self) -> &'static str {
        match self {
            Self::Project => "--project",
            Self::User => "--user",
        }
    }
}

/// Where things are that a client's configuration names.
pub(crate) struct Ground {
    /// The workspace; `None` outside of any.
    pub root: Option<PathBuf>,
    /// The user's home directory.
    pub home: PathBuf,
    /// The user's data directory.
    pub data: PathBuf,
    /// This program, by a name that lasts.
    pub program: PathBuf,
    /// Variables by name.
    pub variable: fn(&str) -> Option<std::ffi::OsString>,
}

/// What attaching a client means.
pub(crate) struct Wanted {
    /// Files of ours that the configuration names.
    pub launchers: Vec<Launcher>,
    /// Files of ours that a shell reads.
    pub read: Vec<Launcher>,
    /// Files of the client, each with our entries.
    pub settings: Vec<Setting>,
    /// Files of the client that are not JSON.
    pub texts: Vec<Text>,
}

/// A file of ours that is run.
pub(crate) struct Launcher {
    pub place: PathBuf,
    pub text: String,
}

/// A JSON file of a client.
pub(crate) struct Setting {
    pub place: PathBuf,
    pub entries: Vec<Entry>,
    /// Whether the client reads it with comments, which then stay.
    pub has_comments: bool,
}

impl Setting {
    /// Refuses comments where the client reads none.
    fn readable<'t>(&self, text: &'t str) -> Result<&'t str, settings::Wrong> {
        if !self.has_comments {
            settings::refuse_comments(text)?;
        }
        Ok(text)
    }
}

/// A file of a client that is not JSON.
#[derive(Clone)]
pub(crate) struct Text {
    pub place: PathBuf,
    pub form: Form,
    /// What is ours in it.
    pub text: String,
}

/// What such a file is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Form {
    /// Lines of `NAME=value`.
    Env,
    /// TOML, of which we have a table's part.
    Toml,
    /// All of it is ours.
    Whole,
}

/// What has to be where for a client: one line each.
pub(crate) fn wanted(client: Client, scope: Scope, ground: &Ground) -> Result<Wanted, Failure> {
    match client {
        Client::Claude => claude::wanted(scope, ground),
        Client::Codex => others::codex(scope, ground),
        Client::Gemini => others::gemini(scope, ground),
        Client::Opencode => others::opencode(scope, ground),
        Client::Cursor => others::cursor(scope, ground),
    }
}

/// What a user may have to do, or like to, before a client is started.
pub(crate) fn advice(client: Client) -> Option<&'static str> {
    match client {
        Client::Claude => Some("`claude mcp add wfr -- wfr mcp` lets agents ask wfr themselves, as the plugin does"),
        Client::Opencode | Client::Cursor => None,
        Client::Codex => Some(
            "start `codex`, trust the project where it asks, and the hooks in `/hooks`: until then it passes over them without a word",
        ),
        Client::Gemini => Some("where Gemini CLI asks, trust the folder: hooks of another one are not run"),
    }
}

/// Why a client that is started below a workspace's root does not read what is written there; `None` where it does.
pub(crate) fn reads_only(client: Client, root: &Path) -> Option<&'static str> {
    let is_top = root.join(".git").exists();
    match client {
        Client::Claude if !is_top => Some(
            "Claude Code reads a project's settings where it is started and at the root of its git repository, and nowhere between",
        ),
        Client::Codex if !is_top => {
            Some("Codex reads a project's settings up to the root of its git repository, and here is none")
        }
        Client::Gemini => Some("Gemini CLI reads a project's settings where it is started, and nowhere above"),
        Client::Claude | Client::Codex | Client::Opencode | Client::Cursor => None,
    }
}

impl Text {
    /// It as an entry, with its value where it is put in.
    fn entry(&self, is_put: bool) -> AttachedEntry {
        let name = match self.form {
            Form::Env => "BASH_ENV",
            Form::Toml => "shell_environment_policy.set.BASH_ENV",
            Form::Whole => "plugin",
        };
        let value = if is_put { self.text.clone().into() } else { serde_json::Value::Null };
        AttachedEntry { name: name.to_owned(), value }
    }
}

impl Ground {
    /// What is known of a call's surroundings. Errors: there is no home directory, or no name for this program that lasts.
    pub fn of(session: &Session, root: Option<&Path>) -> Result<Self, Failure> {
        Ok(Self { program: program::lasting(session)?, ..Self::around(session, root)? })
    }

    /// The same without this program.
    pub fn around(session: &Session, root: Option<&Path>) -> Result<Self, Failure> {
        let home = (session.variable)("HOME").map(PathBuf::from).filter(|home| home.is_absolute());
        let (Some(home), Some(data)) = (home, session.directories.data.clone()) else {
            return Err(Failure::new(Code::InvalidParameter, "nobody says where the home directory is")
                .with_hint("set HOME to an absolute path, then call it again"));
        };
        Ok(Self { root: root.map(Path::to_owned), home, data, program: PathBuf::new(), variable: session.variable })
    }

    /// The directory that a variable names.
    pub fn named(&self, variable: &str) -> Option<PathBuf> {
        (self.variable)(variable).map(PathBuf::from).filter(|dir| dir.is_absolute())
    }

    /// Where a client's configuration is: of the workspace, or of the user. Errors: there is no workspace.
    pub fn dir(&self, scope: Scope, own: &str, users: PathBuf) -> Result<PathBuf, Failure> {
        match (scope, &self.root) {
            (Scope::Project, Some(root)) => Ok(root.join(own)),
            (Scope::Project, None) => Err(Failure::new(Code::WorkspaceNotFound, "there is no workspace here")),
            (Scope::User, _) => Ok(users),
        }
    }

    /// A directory of ours for files that a client runs.
    pub fn launchers(&self, client: Client) -> PathBuf {
        workspace::own_data(&self.data).join("clients").join(client.as_str())
    }

    /// Where attached clients are recorded: those of a workspace in its vault, those of the user beside the launchers.
    pub fn records(&self, scope: Scope, vault: Option<&Path>) -> PathBuf {
        match (scope, vault) {
            (Scope::Project, Some(vault)) => vault.join("clients"),
            _ => workspace::own_data(&self.data).join("clients"),
        }
    }
}

/// What one call does.
pub(crate) struct Job<'s> {
    pub session: &'s Session,
    pub client: Client,
    pub scope: Scope,
    pub ground: Ground,
    /// The directory with the record.
    pub records: PathBuf,
    /// Whether nothing is written.
    pub is_plan: bool,
}

impl Job<'_> {
    /// Writes what is missing. With `replacing`, what stands in the place of an entry gives way, and comes back later.
    pub fn attach(&self, replacing: bool) -> Result<Vec<AttachedFile>, Failure> {
        let wanted = wanted(self.client, self.scope, &self.ground)?;
        let _lock = self.lock()?;
        let record = self.record();
        let known = record.of(self.client, self.scope);
        // Whoever attached it once said yes to that.
        if self.client == Client::Claude && !replacing && known.is_none() {
            claude::refuse_other_prefix(self.scope, &self.ground)?;
        }
        others::refuse_hiding(&wanted, &self.ground)?;
        // All are read before any is written: where one cannot be merged, nothing is begun.
        let mut plans = Vec::new();
        for setting in &wanted.settings {
            let found = files::read(&setting.place, &self.ground)?;
            let merged = setting.readable(found.text());
            let merged = merged.and_then(|text| settings::attach(text, &setting.entries, replacing));
            let merged = merged.map_err(|wrong| files::refused(&setting.place, &wrong, "attach"))?;
            let before = known.and_then(|known| known.file(&setting.place));
            let recorded = RecordedFile::new(&setting.place, &found, &merged, before);
            plans.push((setting, found, merged, recorded));
        }
        let mut texts = Vec::new();
        for text in &wanted.texts {
            let found = files::read(&text.place, &self.ground)?;
            let merged = texts::attach(text, found.text())?;
            let before = known.and_then(|known| known.file(&text.place));
            let recorded = RecordedFile::of_text(&text.place, &found, before);
            texts.push((text, found, merged, recorded));
        }
        let mut done = Vec::new();
        for launcher in wanted.launchers.iter().chain(&wanted.read) {
            done.push(self.launcher(launcher)?);
        }
        if !self.is_plan {
            // What is to be taken away later is known before it is there.
            let of_texts = texts.iter().map(|(.., recorded)| recorded.clone());
            let files = plans.iter().map(|(.., recorded)| recorded.clone()).chain(of_texts).collect();
            let attached = Attached::new(self.client, self.scope, self.session.now(), &self.ground.program, files);
            record.with(attached).write(&self.records).map_err(|error| Failure::unwritten(&self.records, &error))?;
        }
        for (setting, found, merged, _) in plans {
            let entries = setting.entries.iter().filter(|entry| merged.changed.contains(&entry.name()));
            let entries = entries.map(|entry| AttachedEntry { name: entry.name(), value: entry.value.clone() });
            let entries = entries.collect();
            let text = (!merged.changed.is_empty()).then_some(merged.text);
            done.push(self.settle(&found, text, entries)?);
        }
        for (text, found, merged, _) in texts {
            let entries = merged.iter().map(|_| text.entry(true)).collect();
            done.push(self.settle(&found, merged, entries)?);
        }
        Ok(done)
    }

    /// Takes our entries away.
    pub fn detach(&self) -> Result<Vec<AttachedFile>, Failure> {
        let wanted = wanted(self.client, self.scope, &self.ground)?;
        let _lock = self.lock()?;
        let record = self.record();
        let known = record.of(self.client, self.scope);
        let mut plans = Vec::new();
        for setting in &wanted.settings {
            let found = files::read(&setting.place, &self.ground)?;
            let known = known.and_then(|known| known.file(&setting.place)).cloned().unwrap_or_default();
            let without = setting.readable(found.text());
            let without = without.and_then(|text| settings::detach(text, &setting.entries, &known.before));
            let without = without.map_err(|wrong| files::refused(&setting.place, &wrong, "detach"))?;
            plans.push((found, known, without));
        }
        let mut texts = Vec::new();
        for text in &wanted.texts {
            let found = files::read(&text.place, &self.ground)?;
            let without = texts::detach(text, found.text())?;
            texts.push((text, found, without));
        }
        let mut done = Vec::new();
        for (found, known, without) in plans {
            let entries = without.removed.iter();
            let entries = entries.map(|name| AttachedEntry { name: name.clone(), value: serde_json::Value::Null });
            let entries = entries.collect();
            let is_changed = !without.removed.is_empty();
            if is_changed && without.text.is_empty() && !known.was_there {
                done.push(self.remove(&found, &known, entries)?);
            } else {
                done.push(self.settle(&found, is_changed.then_some(without.text), entries)?);
            }
        }
        for (text, found, without) in texts {
            let known = known.and_then(|known| known.file(&text.place)).cloned().unwrap_or_default();
            let entries = without.iter().map(|_| text.entry(false)).collect();
            match without {
                Some(left) if left.is_empty() && !known.was_there => done.push(self.remove(&found, &known, entries)?),
                without => done.push(self.settle(&found, without, entries)?),
            }
        }
        if !self.is_plan && known.is_some() {
            let record = record.without(self.client, self.scope);
            record.write(&self.records).map_err(|error| Failure::unwritten(&self.records, &error))?;
        }
        Ok(done)
    }

    /// What is recorded where this is.
    fn record(&self) -> Record {
        let root = self.ground.root.as_deref().filter(|_| self.scope == Scope::Project);
        Record::read(&self.records).moved_to(root)
    }

    /// One process at a time: what one has read the other one must not have changed.
    fn lock(&self) -> Result<Option<dir_lock::DirLock>, Failure> {
        if self.is_plan {
            return Ok(None);
        }
        files::make_dir(&self.records)?;
        let interrupted = || Failure::new(Code::Interrupted, "interrupted while another process attaches or detaches");
        dir_lock::take(&self.records, &self.session.abort).map(Some).ok_or_else(interrupted)
    }

    fn launcher(&self, launcher: &Launcher) -> Result<AttachedFile, Failure> {
        let before = std::fs::read(&launcher.place).ok();
        let is_same = before.as_deref() == Some(launcher.text.as_bytes()) && files::is_executable(&launcher.place);
        let became = match &before {
            _ if is_same => FileBecame::Unchanged,
            None => FileBecame::Made,
            Some(_) => FileBecame::Changed,
        };
        if !is_same && !self.is_plan {
            files::write_launcher(&launcher.place, &launcher.text)?;
        }
        Ok(AttachedFile { path: shown(&launcher.place), became, entries: vec![], backup: None })
    }

    /// Writes the new text of a file, where it has one.
    fn settle(
        &self,
        found: &Found,
        text: Option<String>,
        entries: Vec<AttachedEntry>,
    ) -> Result<AttachedFile, Failure> {
        let became = match (&text, found.is_there()) {
            (None, _) => FileBecame::Unchanged,
            (Some(_), false) => FileBecame::Made,
            (Some(_), true) => FileBecame::Changed,
        };
        let backup = match text.filter(|_| !self.is_plan) {
            Some(text) => found.write(&text, self.session.now())?,
            None => None,
        };
        Ok(AttachedFile { path: shown(found.place()), became, entries, backup: backup.map(|place| shown(&place)) })
    }

    /// Removes a file, and the directories that were made for it where nothing else is in them.
    fn remove(
        &self,
        found: &Found,
        known: &RecordedFile,
        entries: Vec<AttachedEntry>,
    ) -> Result<AttachedFile, Failure> {
        if !self.is_plan {
            found.remove()?;
            known.remove_dirs();
        }
        Ok(AttachedFile { path: shown(found.place()), became: FileBecame::Removed, entries, backup: None })
    }
}
