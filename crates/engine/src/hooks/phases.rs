//! Phases of a phased workflow, as a client notes them of the agents that work in them.
//!
//! Owns finding the notes, and when a phase begins and is over. The notes are the client's own affair and may change with each
//! version of it: where there is none, an agent works in no phase in particular. Refuses to touch changes.

use std::fs;
use std::io::Read as _;
use std::path::Path;

use serde_json::json;
use wfr_clients::{Note, Notes};
use wfr_model::phase::PhaseId;

use super::{Speaker, agents};
use crate::error::Failure;

/// A longer note is none, in bytes.
const NOTE_MAX: u64 = 64 << 10;

/// Directories that are looked through for a note, at most.
const DIRS_MAX: usize = 1_000;

/// Where it is not known yet, the phase in which an agent works is looked up.
pub(super) fn entered(speaker: &Speaker<'_>) -> Result<(), Failure> {
    let Some(notes) = speaker.said.agent.as_ref().and_then(|agent| agent.notes.as_ref()) else { return Ok(()) };
    let Some(agent) = speaker.author().agent_id.filter(|agent| speaker.desk.phase_of(agent).is_none()) else {
        return Ok(());
    };
    let Some(note) = noted(notes).and_then(|note| speaker.client.note(&note)) else { return Ok(()) };
    let Ok(Some(phase)) = PhaseId::named(&note.phase) else { return Ok(()) };
    over(speaker, Some(&phase))?;
    let is_new = !speaker.desk.phases().contains(&phase);
    speaker.desk.enters(&agent, phase.clone())?;
    let Note { phase: heading, description } = note;
    if is_new {
        speaker.tell_in(Some(&phase), "PHASE_STARTED", json!({"phase_name": heading}))?;
    }
    description.map_or(Ok(()), |description| agents::does(speaker, agent.as_str(), &description))
}

/// Phases end whose agents have ended, when another one begins or nobody works any more.
pub(super) fn over(speaker: &Speaker<'_>, begins: Option<&PhaseId>) -> Result<(), Failure> {
    for phase in speaker.desk.phases() {
        if begins != Some(&phase) && speaker.desk.is_over(&phase)? {
            speaker.tell_in(Some(&phase), "PHASE_COMPLETED", json!({}))?;
        }
    }
    Ok(())
}

/// The bytes of a note; `None` where there is none.
fn noted(notes: &Notes) -> Option<Vec<u8>> {
    let dirs = fs::read_dir(Path::new(&notes.dir)).ok()?.take(DIRS_MAX).flatten();
    let file = dirs.filter_map(|dir| fs::File::open(dir.path().join(&notes.name)).ok()).next()?;
    let mut bytes = Vec::new();
    file.take(NOTE_MAX).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}
