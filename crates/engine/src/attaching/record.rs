//! What was attached where: so that exactly that is taken away again, and somebody notices when it is gone.
//!
//! Owns the file `attached.json`. Refuses to look at the clients' files.

use std::io;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use wfr_clients::Client;
use wfr_clients::settings::{self, Before};
use wfr_model::Timestamp;
use wfr_model::path::unescape;

use super::Scope;
use super::files::Found;
use crate::handlers::shown;

const NAME: &str = "attached.json";

/// All that is recorded in one place.
#[derive(Clone, Default, Debug, Serialize, Deserialize)]
pub(crate) struct Record {
    /// The workspace's root when it was written; `None`: that of a user.
    #[serde(default)]
    root: Option<String>,
    attached: Vec<Attached>,
}

/// One client that is attached.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Attached {
    client: String,
    pub scope: Scope,
    /// Since when; a later call does not change it.
    pub at: Timestamp,
    program: String,
    files: Vec<RecordedFile>,
}

/// A file of the client, and what was made in it.
#[derive(Clone, Default, Debug, Serialize, Deserialize)]
pub(super) struct RecordedFile {
    place: String,
    /// Whether it was there before.
    pub was_there: bool,
    /// The directories that were made for it, the innermost first.
    #[serde(default)]
    made_dirs: Vec<String>,
    /// What it had in the places of our entries.
    #[serde(flatten)]
    pub before: Before,
}

impl Record {
    /// Reads it; where it is not there or damaged, nothing is recorded.
    pub fn read(dir: &Path) -> Self {
        let bytes = std::fs::read(dir.join(NAME)).unwrap_or_default();
        serde_json::from_slice(&bytes).unwrap_or_default()
    }

    /// The same of a workspace that is here now: what it names within where that was has moved with it.
    pub fn moved_to(mut self, root: Option<&Path>) -> Self {
        let root = root.map(shown);
        if let (Some(then), Some(now)) = (&self.root, &root) {
            let moved = |place: &mut String| {
                if let Some(rest) = place.strip_prefix(then.as_str()).filter(|rest| rest.starts_with('/')) {
                    *place = format!("{now}{rest}");
                }
            };
            for file in self.attached.iter_mut().flat_map(|one| &mut one.files) {
                moved(&mut file.place);
                file.made_dirs.iter_mut().for_each(moved);
            }
        }
        Self { root, ..self }
    }

    /// Writes it, whole or not at all.
    pub fn write(&self, dir: &Path) -> io::Result<()> {
        wfr_store::vault::write_durably(dir, NAME, &serde_json::to_vec_pretty(self)?)
    }

    /// A client, if it is attached.
    pub fn of(&self, client: Client, scope: Scope) -> Option<&Attached> {
        self.attached.iter().find(|one| one.client == client.as_str() && one.scope == scope)
    }

    pub(super) fn with(&self, new: Attached) -> Self {
        let mut attached = self.attached.clone();
        match attached.iter_mut().find(|one| one.client == new.client && one.scope == new.scope) {
            Some(known) => *known = Attached { at: known.at, ..new },
            None => attached.push(new),
        }
        Self { root: self.root.clone(), attached }
    }

    pub(super) fn without(&self, client: Client, scope: Scope) -> Self {
        let mut attached = self.attached.clone();
        attached.retain(|one| one.client != client.as_str() || one.scope != scope);
        Self { root: self.root.clone(), attached }
    }
}

impl Attached {
    pub(super) fn new(client: Client, scope: Scope, at: Timestamp, program: &Path, files: Vec<RecordedFile>) -> Self {
        Self { client: client.as_str().to_owned(), scope, at, program: shown(program), files }
    }

    /// The program that its configuration names.
    pub fn program(&self) -> PathBuf {
        path(&self.program)
    }

    pub(super) fn file(&self, place: &Path) -> Option<&RecordedFile> {
        self.files.iter().find(|file| file.place == shown(place))
    }
}

/// A path that was written down.
fn path(shown: &str) -> PathBuf {
    PathBuf::from(std::ffi::OsString::from_vec(unescape(shown).unwrap_or_default()))
}

impl RecordedFile {
    /// What an attachment makes in a file, beside what those before it made.
    pub fn new(place: &Path, found: &Found, merged: &settings::Attached, before: Option<&Self>) -> Self {
        let before = before.cloned().unwrap_or(Self { was_there: found.is_there(), ..Self::default() });
        let was_there = before.was_there && found.is_there();
        let made_dirs = before.made_for(found);
        Self { place: shown(place), was_there, made_dirs, before: before.before.and(&merged.before) }
    }

    /// The same of a file that is not JSON.
    pub fn of_text(place: &Path, found: &Found, before: Option<&Self>) -> Self {
        let was_there = before.map_or(found.is_there(), |before| before.was_there && found.is_there());
        let made_dirs = before.cloned().unwrap_or_default().made_for(found);
        Self { place: shown(place), was_there, made_dirs, ..Self::default() }
    }

    /// The directories that were made, and those that are about to be.
    fn made_for(&self, found: &Found) -> Vec<String> {
        let dirs = found.place().ancestors().skip(1).take_while(|dir| !dir.exists()).map(shown);
        let known = self.made_dirs.iter().cloned();
        let mut all: Vec<String> = known.chain(dirs.filter(|dir| !self.made_dirs.contains(dir))).collect();
        all.sort_by_key(|dir| std::cmp::Reverse(dir.len()));
        all
    }

    /// Removes directories that were made for it and have nothing in them.
    pub fn remove_dirs(&self) {
        for dir in &self.made_dirs {
            let _ = std::fs::remove_dir(path(dir));
        }
    }
}
