//! What went wrong in a hook: it stopped nobody, so it is shown later.
//!
//! Owns the list, which is bounded. Refuses to fail itself.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use wfr_clients::{Client, Said};
use wfr_model::Timestamp;

use crate::error::Failure;
use crate::session::Session;
use crate::workspace;

/// One thing that went wrong.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Trouble {
    /// When.
    pub at: Timestamp,
    /// Whose hook it was.
    pub client: String,
    /// The client's name of the event.
    pub event: Option<String>,
    /// The session.
    pub session_id: Option<String>,
    /// The error's code.
    pub code: String,
    /// What happened.
    pub message: String,
}

const NAME: &str = "trouble.jsonl";

/// The list is begun anew when it is longer than this, in bytes; the last one is kept beside it.
const BYTES_MAX: u64 = 64 << 10;

/// Notes what went wrong. Where that cannot be noted either, nobody is the worse for it.
pub fn note(session: &Session, client: Client, said: Option<&Said>, failure: &Failure) {
    let Ok(place) = workspace::locate(&session.directories) else { return };
    let trouble = Trouble {
        at: session.now(),
        client: client.as_str().to_owned(),
        event: said.map(|said| said.event.clone()),
        session_id: said.map(|said| said.session.clone()),
        code: failure.code.as_str().to_owned(),
        message: failure.to_string().chars().take(1_000).collect(),
    };
    let elsewhere = || add(&elsewhere(&place.vault)?, &trouble);
    let _ = add(&place.vault.join("clients"), &trouble).or_else(|_| elsewhere());
}

/// Makes a directory, of nobody else's; not those above it.
fn make(dir: &Path) -> std::io::Result<()> {
    match fs::DirBuilder::new().mode(0o700).create(dir) {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
        made => return made,
    }
    let meta = fs::symlink_metadata(dir)?;
    let is_own =
        meta.is_dir() && (meta.uid() == rustix::process::geteuid().as_raw() || rustix::process::geteuid().is_root());
    if is_own { Ok(()) } else { Err(std::io::ErrorKind::PermissionDenied.into()) }
}

/// Where is noted what cannot be noted in a vault.
fn elsewhere(vault: &Path) -> std::io::Result<PathBuf> {
    let all = std::env::temp_dir().join(format!("wfr-trouble-{}", rustix::process::geteuid().as_raw()));
    make(&all)?;
    Ok(all.join(vault.file_name().unwrap_or_default()))
}

fn add(dir: &Path, trouble: &Trouble) -> std::io::Result<()> {
    make(dir)?;
    let place = dir.join(NAME);
    if fs::metadata(&place).is_ok_and(|meta| meta.len() > BYTES_MAX) {
        fs::rename(&place, place.with_extension("old"))?;
    }
    let mut line = serde_json::to_vec(trouble)?;
    line.push(b'\n');
    // One write: lines of several hooks do not mix.
    fs::OpenOptions::new().append(true).create(true).mode(0o600).open(&place)?.write_all(&line)
}

/// What went wrong, newest first, at most so much of it.
pub fn list(vault: &Path, most: usize) -> Vec<Trouble> {
    let places = [Some(vault.join("clients")), elsewhere(vault).ok()];
    let texts = places.into_iter().flatten().map(|dir| fs::read_to_string(dir.join(NAME)).unwrap_or_default());
    let text: String = texts.collect();
    let mut all: Vec<Trouble> = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    all.sort_by_key(|trouble: &Trouble| std::cmp::Reverse(trouble.at));
    all.truncate(most);
    all
}
