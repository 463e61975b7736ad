//! Agents of a client that does not say which agent makes a call: a call that comes while an agent works that was started by another
//! call is likely that agent's.
//!
//! Owns which agents work now. Where there are several, their calls are those of all of them: nobody can tell them apart. Refuses to
//! touch changes.

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use wfr_clients::{Agent, Call, Client, Does, Said, What};

use super::desk::{self, Desk};
use super::{Speaker, agents};
use crate::error::Failure;

/// What agents are called whose calls cannot be told apart.
const SEVERAL: &str = "several-agents";

const DIR: &str = "nested";
const WORKS: &str = "works";
const ENDED: &str = "ended";

/// Agents of one session, at most.
const AGENTS_MAX: usize = 10_000;

/// An agent that works, or did.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
struct Nested {
    id: String,
    kind: String,
}

/// What is said, with the agent that likely says it; `None` where it is known, or the main one's.
pub(super) fn placed(desk: &Desk, client: Client, said: &Said) -> Option<Said> {
    let call = match &said.what {
        What::CallBegins(call) | What::CallEnds { call, .. } if !client.names_agents() => call,
        _ => return None,
    };
    let working = working(&desk.place(DIR).ok()?);
    let agent = match &working[..] {
        _ if matches!(call.does, Does::Starts(_)) => return None,
        [] => return None,
        [(_, one)] => Agent { id: one.id.clone(), kind: Some(one.kind.clone()), notes: None },
        _ => Agent { id: SEVERAL.to_owned(), kind: None, notes: None },
    };
    Some(Said { agent: Some(agent), ..said.clone() })
}

/// A call that starts an agent: it begins.
pub(super) fn began(speaker: &Speaker<'_>, call: &Call) -> Result<(), Failure> {
    let Some(kind) = started(speaker, call) else { return Ok(()) };
    let dir = speaker.desk.place(DIR)?;
    let named = |number: usize| format!("{}-{number}", super::name(&kind));
    let is_free = |id: &String| [WORKS, ENDED].iter().all(|one| !dir.join(format!("{id}.{one}")).exists());
    let Some(id) = (1..AGENTS_MAX).map(named).find(is_free) else { return Ok(()) };
    desk::write(&dir.join(format!("{id}.{WORKS}")), &Nested { id: id.clone(), kind: kind.clone() })?;
    told(speaker, Nested { id, kind }, agents::begins)
}

/// The same call ends, and the agent with it: of several of a kind the first one, whose names say no more than that.
pub(super) fn ended(speaker: &Speaker<'_>, call: &Call) -> Result<(), Failure> {
    let Some(kind) = started(speaker, call) else { return Ok(()) };
    let Some((place, one)) = working(&speaker.desk.place(DIR)?).into_iter().find(|(_, one)| one.kind == kind) else {
        return Ok(());
    };
    fs::rename(&place, place.with_extension(ENDED))?;
    told(speaker, one, agents::ends)
}

/// The kind of agent that a call starts, where the client does not tell of agents itself.
fn started(speaker: &Speaker<'_>, call: &Call) -> Option<String> {
    match &call.does {
        Does::Starts(kind) if !speaker.client.names_agents() => {
            Some(kind.clone().unwrap_or_else(|| "agent".to_owned()))
        }
        _ => None,
    }
}

fn told(speaker: &Speaker<'_>, one: Nested, tell: impl Fn(&Speaker<'_>) -> Result<(), Failure>) -> Result<(), Failure> {
    let agent = Agent { id: one.id, kind: Some(one.kind), notes: None };
    let said = Said { agent: Some(agent), ..speaker.said.clone() };
    tell(&Speaker { said: &said, desk: speaker.desk.clone(), ..*speaker })
}

/// The agents that work, each with its file.
fn working(dir: &Path) -> Vec<(PathBuf, Nested)> {
    let places = fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path());
    let places = places.filter(|place| place.extension().is_some_and(|extension| extension == WORKS));
    let mut working: Vec<(PathBuf, Nested)> =
        places.filter_map(|place| Some((place.clone(), desk::read(&place)?))).collect();
    working.sort_by(|a, b| a.0.cmp(&b.0));
    working
}
