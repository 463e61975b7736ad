//! When a client last did something in a workspace, as its own files say.
//!
//! Owns where each client notes its sessions. Refuses to judge: [`super::checking`] compares it with what was heard. opencode keeps
//! its sessions in a database and Cursor's are nowhere described: nothing is known of these two.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use serde_json::Value;
use wfr_clients::Client;
use wfr_model::Timestamp;

use super::{Ground, claude, others};

/// A client that was at work.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Active {
    pub at: Timestamp,
    /// Where it was started.
    pub dir: PathBuf,
}

/// How far into a session's file its directory is looked for, in bytes.
const HEAD_MAX: u64 = 1 << 20;

/// The last thing that a client did in a workspace after a time.
pub(super) fn last(client: Client, ground: &Ground, root: &Path, since: Timestamp) -> Option<Active> {
    let files = match client {
        Client::Claude => claude::sessions(ground, root),
        Client::Codex => codex(ground),
        Client::Gemini => gemini(ground),
        Client::Opencode | Client::Cursor => vec![],
    };
    let changed = |(place, dir): (PathBuf, Option<PathBuf>)| Some((changed(&place)?, place, dir));
    let mut files: Vec<_> = files.into_iter().filter_map(changed).filter(|(at, ..)| *at > since).collect();
    files.sort_by_key(|(at, ..)| std::cmp::Reverse(*at));
    let active = |(at, place, dir): (Timestamp, PathBuf, Option<PathBuf>)| {
        let dir = dir.or_else(|| directory(&place)).filter(|dir| is_of(root, dir))?;
        Some(Active { at, dir })
    };
    files.into_iter().find_map(active)
}

/// Whether a directory is in a workspace, and in none within that.
fn is_of(root: &Path, dir: &Path) -> bool {
    let mut between = dir.ancestors().take_while(|dir| *dir != root);
    dir.starts_with(root) && !between.any(|dir| dir.join(".claude/recovery").is_dir())
}

fn changed(place: &Path) -> Option<Timestamp> {
    let time = fs::metadata(place).ok()?.modified().ok()?.duration_since(UNIX_EPOCH).ok()?;
    i64::try_from(time.as_nanos()).ok().map(Timestamp)
}

/// The directory that a session's file of lines of JSON names first.
fn directory(place: &Path) -> Option<PathBuf> {
    let lines = BufReader::new(File::open(place).ok()?.take(HEAD_MAX)).lines();
    let named = |line: String| {
        let line: Value = serde_json::from_str(&line).ok()?;
        let dir = [&line["cwd"], &line["payload"]["cwd"]].into_iter().find_map(Value::as_str)?;
        Some(PathBuf::from(dir))
    };
    lines.map_while(Result::ok).find_map(named)
}

/// What is in a directory.
pub(super) fn within(dir: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path())
}

/// Codex has a directory for each day, and the session's own directory in the first line of its file.
fn codex(ground: &Ground) -> Vec<(PathBuf, Option<PathBuf>)> {
    let mut dirs = vec![others::codex_home(ground).join("sessions")];
    for _ in ["year", "month", "day"] {
        dirs = dirs.iter().flat_map(|dir| within(dir)).collect();
    }
    let files = dirs.iter().flat_map(|dir| within(dir));
    files.filter(|file| file.extension() == Some(OsStr::new("jsonl"))).map(|file| (file, None)).collect()
}

/// Gemini CLI has a directory for each one that it is started in, which names that.
fn gemini(ground: &Ground) -> Vec<(PathBuf, Option<PathBuf>)> {
    let mut files = Vec::new();
    for dir in within(&others::gemini_home(ground).join("tmp")) {
        let Ok(root) = fs::read_to_string(dir.join(".project_root")) else { continue };
        let root = PathBuf::from(root.trim_end());
        files.extend(within(&dir.join("chats")).chain([dir.join("logs.json")]).map(|file| (file, Some(root.clone()))));
    }
    files
}
