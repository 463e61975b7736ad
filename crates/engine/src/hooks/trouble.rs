//! What went wrong in a hook: it stopped nobody, so it is shown later.
//!
//! Owns the list, which is bounded. Refuses to fail itself.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;

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
    let _ = add(&place.vault.join("clients"), &trouble);
}

fn add(dir: &Path, trouble: &Trouble) -> std::io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
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
    let text = fs::read_to_string(vault.join("clients").join(NAME)).unwrap_or_default();
    text.lines().rev().filter_map(|line| serde_json::from_str(line).ok()).take(most).collect()
}
