//! In which workspace something of a session belongs: an agent goes to other directories, and writes in other workspaces.
//!
//! Owns the list of workspaces in which calls of a session began, kept for the user. Refuses to open any.

use std::fs;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use wfr_clients::{Client, Does, Said, What};

use super::{Desk, desk, pending};
use crate::session::Session;
use crate::workspace::{self, Place};

/// Workspaces of one session, at most: the latest.
const KEPT_MAX: usize = 8;

/// A list that nobody wrote for so long is of a session whose end nobody heard.
const STALE: Duration = Duration::from_secs(30 * 24 * 3_600);

/// Where what is said belongs, the likeliest first: of a file that is written its own workspace, else that of the current directory,
/// then those in which calls of the session began, then that where the session is at home. None: nobody attached there.
pub(super) fn of(session: &mut Session, client: Client, said: &Said) -> Vec<Place> {
    let current = session.directories.current.clone();
    let file = written(said).and_then(|file| Path::new(file).parent()).map(|dir| workspace::absolute(&current, dir));
    let mut places = located(session, file.into_iter().chain([current]).chain(roots(session, client, &said.session)));
    if places.is_empty() {
        places = at_home(session, client);
    }
    places
}

/// Where the command of a call belongs that is about to be run in the current directory: where the call began.
pub(super) fn of_command(
    session: &mut Session,
    client: Client,
    said_in: Option<&str>,
    (call, text): (Option<&str>, &str),
) -> Option<Place> {
    let current = session.directories.current.clone();
    let roots = said_in.map(|id| roots(session, client, id)).unwrap_or_default();
    let mut places = located(session, [current].into_iter().chain(roots));
    let waits =
        |place: &Place| said_in.is_some_and(|id| pending::waits(&Desk::at(&place.vault, client, id), call, text));
    if let Some(at) = places.iter().position(waits) {
        return Some(places.swap_remove(at));
    }
    if places.is_empty() {
        places = at_home(session, client);
    }
    places.into_iter().next()
}

/// From here on the session's calls are those of this workspace.
pub(super) fn go(session: &mut Session, place: &Place) {
    session.directories.current.clone_from(&place.root);
}

fn at_home(session: &mut Session, client: Client) -> Vec<Place> {
    let home = client.project_variable().and_then(|name| (session.variable)(name)).map(PathBuf::from);
    located(session, home.filter(|home| home.is_absolute()))
}

/// The file that a call writes: of several the first one.
fn written(said: &Said) -> Option<&str> {
    match &said.what {
        What::CallBegins(call) | What::CallEnds { call, .. } => match &call.does {
            Does::Writes(files) => files.first().map(String::as_str),
            _ => None,
        },
        _ => None,
    }
}

/// The workspaces around directories, each once.
fn located(session: &mut Session, dirs: impl IntoIterator<Item = PathBuf>) -> Vec<Place> {
    let current = session.directories.current.clone();
    let mut places: Vec<Place> = Vec::new();
    for dir in dirs {
        session.directories.current = dir;
        if let Ok(place) = workspace::locate(&session.directories)
            && !places.contains(&place)
        {
            places.push(place);
        }
    }
    session.directories.current = current;
    places
}

/// Notes that a call of a session begins in a workspace. Where it cannot be noted, the next call is.
pub(super) fn note(session: &Session, client: Client, id: &str, root: &Path) {
    let Some(place) = file(session, client, id) else { return };
    let mut roots = roots(session, client, id);
    if roots.first().is_some_and(|first| first == root) {
        return;
    }
    roots.retain(|other| other != root);
    roots.insert(0, root.to_owned());
    roots.truncate(KEPT_MAX);
    if let Some(dir) = place.parent() {
        let _ = fs::DirBuilder::new().recursive(true).mode(0o700).create(dir);
        let _ = desk::write(&place, &roots);
    }
}

/// A session has ended; with its list go those of sessions of long ago.
pub(super) fn forget(session: &Session, client: Client, id: &str) {
    let Some(place) = file(session, client, id) else { return };
    let _ = fs::remove_file(&place);
    let is_stale = |at: SystemTime| at.elapsed().is_ok_and(|age| age > STALE);
    for other in place.parent().and_then(|dir| fs::read_dir(dir).ok()).into_iter().flatten().flatten() {
        if other.metadata().and_then(|meta| meta.modified()).is_ok_and(is_stale) {
            let _ = fs::remove_file(other.path());
        }
    }
}

/// The workspaces in which calls of a session began, the latest first.
fn roots(session: &Session, client: Client, id: &str) -> Vec<PathBuf> {
    file(session, client, id).and_then(|place| desk::read(&place)).unwrap_or_default()
}

fn file(session: &Session, client: Client, id: &str) -> Option<PathBuf> {
    let own = workspace::own_data(session.directories.data.as_deref()?);
    Some(own.join("clients").join(client.as_str()).join("sessions").join(format!("{}.json", desk::key(id))))
}
