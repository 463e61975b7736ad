//! What agent clients say through their hooks, and what is done about it.
//!
//! Owns the way from a payload to changes and events, and that whatever goes wrong here stops no agent: it is noted, and what the
//! call does is found by a look. Refuses to know any client's schema: [`wfr_clients`] does.

mod agents;
mod calls;
mod desk;
mod nesting;
mod pending;
mod phases;
pub(crate) mod shells;
pub mod trouble;
mod whereabouts;

use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Map, Value, json};
use wfr_clients::{Agent, Answer, Call, Client, Said, Tail, What};
use wfr_model::change::Author;
use wfr_model::ids::NAME_BYTES_MAX;
use wfr_model::phase::PhaseId;
use wfr_model::{AgentId, WorkflowId};

use crate::error::{Code, Failure};
use crate::handlers::intake;
use crate::holding;
use crate::intake::reading;
use crate::ledger;
use crate::open::Open;
use crate::process::ProcessId;
use crate::session::Session;
use crate::workspace::Place;

pub use desk::{Desk, Heard};
pub(crate) use pending::author;
pub use pending::{Claimed, LAUNCHER, claim, claim_call, is_bash_env, is_launcher};

/// The agent that a person talks to.
pub const MAIN: &str = "main";

/// The event of a payload that asks whether it is heard. No client has one of this name.
pub const PROBE: &str = "WfrProbe";

/// Somebody who says something: a session of a client, in a workspace.
pub(crate) struct Speaker<'s> {
    pub session: &'s Session,
    pub open: &'s Open,
    pub desk: Desk,
    pub client: Client,
    pub said: &'s Said,
}

/// Does what a payload asks for, and says what the client is answered. Whatever goes wrong is noted, and the client goes on.
pub fn hear(session: &mut Session, client: Client, payload: &[u8], from: Option<ProcessId>) -> (Option<Said>, Answer) {
    let said = match client.read(payload) {
        Ok(said) => said,
        Err(error) => {
            let failure =
                Failure::new(Code::InvalidParameter, format!("a payload of {} is none: {error}", client.as_str()));
            trouble::note(session, client, None, &failure);
            return (None, Answer::Nothing);
        }
    };
    if let Some(cwd) = &said.cwd {
        session.directories.current = PathBuf::from(cwd);
    }
    if said.event == PROBE {
        return (Some(said), Answer::Nothing);
    }
    session.patience = Some(PATIENCE);
    // A session in a directory that nobody attached to has no place: none of our business.
    let mut places = whereabouts::of(session, client, &said);
    if let What::CallBegins(_) | What::CallEnds { .. } = said.what {
        // One of these is what one of them belongs to.
        let at = if places.len() > 1 { call_place(session, client, &said, &places) } else { 0 };
        places = places.into_iter().skip(at).take(1).collect();
    }
    let mut answer = Answer::Nothing;
    for place in &places {
        whereabouts::go(session, place);
        match session.with_reserve(|session| heard(session, client, (&said, payload), from)) {
            Ok(Answer::Nothing) => {}
            Ok(other) => answer = other,
            Err(failure) => trouble::note(session, client, Some(&said), &failure),
        }
    }
    if matches!(said.what, What::SessionEnds) {
        whereabouts::forget(session, client, &said.session);
    }
    (Some(said), answer)
}

/// Which of several workspaces a call is of: where it began, where it ends; else the likeliest.
fn call_place(session: &mut Session, client: Client, said: &Said, places: &[Place]) -> usize {
    let What::CallEnds { call, .. } = &said.what else { return 0 };
    let mut began = |place: &Place| {
        whereabouts::go(session, place);
        let open = session.open().ok()?;
        let desk = Desk::at(&place.vault, client, &said.session);
        calls::began_here(&Speaker { session, open: &open, desk, client, said }, call).ok()
    };
    places.iter().position(|place| began(place) == Some(true)).unwrap_or(0)
}

/// Goes to the workspace where the call began whose command is about to be run, or where the session works or is at home; whether
/// there is one: an agent may go anywhere and write here all the same.
pub(crate) fn comes_home(session: &mut Session, client: Client, id: Option<&str>, what: (Option<&str>, &str)) -> bool {
    let place = whereabouts::of_command(session, client, id, what);
    place.inspect(|place| whereabouts::go(session, place)).is_some()
}

/// So long a client waits for one process that looks at the tree; then its call goes on, and is found by a later look.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);

fn heard(
    session: &mut Session,
    client: Client,
    (said, payload): (&Said, &[u8]),
    from: Option<ProcessId>,
) -> Result<Answer, Failure> {
    let open = session.open()?;
    let desk = Desk::of(&open, client, &said.session);
    let is_end = matches!(said.what, What::SessionEnds);
    if is_end && Desk::heard_of(&open, client, &said.session).is_none() {
        return Ok(Answer::Nothing);
    }
    desk.hear(said, from, session.now())?;
    let placed = nesting::placed(&desk, client, said);
    let said = placed.as_ref().unwrap_or(said);
    let speaker = Speaker { session, open: &open, desk, client, said };
    phases::entered(&speaker)?;
    // A call is found again by what is kept of it, and a denial is said each time.
    if !matches!(said.what, What::CallBegins(_) | What::CallEnds { .. } | What::Other) && speaker.desk.repeats(payload)
    {
        if is_end {
            speaker.desk.close();
        }
        return Ok(Answer::Nothing);
    }
    match &said.what {
        What::CallBegins(call) => return call_begins(&speaker, call),
        What::CallEnds { call, started, error, output } => {
            call_ends(&speaker, call, started.as_deref())?;
            if (error.is_some() || output.is_some()) && !speaker.desk.repeats(payload) {
                speaker.tell_end(call, error.as_deref(), output.as_ref())?;
            }
        }
        What::SessionBegins => agents::session_begins(&speaker)?,
        What::SessionEnds => {
            calls::settle(&speaker, None)?;
            phases::over(&speaker, None)?;
            speaker.tell("WORKFLOW_PAUSED", json!({"reason": "the session ended"}))?;
            speaker.desk.close();
        }
        What::TurnEnds { is_quiet } => {
            let agent = speaker.author().agent_id.filter(|_| !is_quiet);
            calls::settle(&speaker, agent.as_ref())?;
            phases::over(&speaker, None)?;
        }
        What::AgentBegins => agents::begins(&speaker)?,
        What::AgentEnds => {
            calls::settle(&speaker, speaker.author().agent_id.as_ref())?;
            agents::ends(&speaker)?;
        }
        What::TaskMade { id, subject } => {
            speaker.tell("TASK_ASSIGNED", json!({"task_id": name(id), "description": subject}))?;
        }
        What::TaskDone { id } => {
            speaker.tell("TASK_COMPLETED", json!({"task_id": name(id)}))?;
        }
        What::Other => {}
    }
    Ok(Answer::Nothing)
}

fn call_begins(speaker: &Speaker<'_>, call: &Call) -> Result<Answer, Failure> {
    let open = speaker.open;
    if let Some(hold) = holding::recovering(open)? {
        return Ok(Answer::Deny(denial(&holding::refused(&hold))));
    }
    calls::settle_others(speaker)?;
    nesting::began(speaker, call)?;
    // What is there before the first call of all was there before.
    if !ledger::is_kept(open)? {
        speaker.look()?;
    }
    calls::begin(speaker, call)?;
    whereabouts::note(speaker.session, speaker.client, &speaker.said.session, open.root());
    Ok(Answer::Nothing)
}

fn call_ends(speaker: &Speaker<'_>, call: &Call, started: Option<&str>) -> Result<(), Failure> {
    calls::end(speaker, call)?;
    nesting::ended(speaker, call)?;
    started.map_or(Ok(()), |agent| agents::described(speaker, agent, call))
}

/// Why no tool may be called now.
fn denial(held: &Failure) -> String {
    format!(
        "wfr is recovering this workspace: {held}. Wait until it is over, then look at the files again before you go on."
    )
}

/// A name of a client's as one of ours: letters that names may not have are replaced.
pub(crate) fn name(text: &str) -> String {
    let fit = |letter: char| if letter.is_ascii_alphanumeric() || "._-".contains(letter) { letter } else { '_' };
    let fitted: String = text.chars().map(fit).collect();
    if fitted == text && !text.is_empty() && !text.starts_with(['.', '-']) && text.len() <= NAME_BYTES_MAX {
        return fitted;
    }
    // Two texts do not become one name.
    let mark = desk::key(text);
    let kept: String = fitted.chars().take(NAME_BYTES_MAX - MARK - 2).collect();
    // It begins with the name of the sum.
    format!("_{kept}.{}", &mark[mark.len() - MARK..])
}

/// Letters that tell names from each other which were not fit to be one.
const MARK: usize = 8;

/// The workflow that a session of a client is.
pub(crate) fn workflow_of(client: Client, session: &str) -> Option<WorkflowId> {
    name(&format!("{}-{session}", client.as_str())).parse().ok()
}

/// The agent that somebody is.
fn agent_of(agent: Option<&Agent>) -> Option<AgentId> {
    agent.map_or_else(|| MAIN.to_owned(), |agent| name(&agent.id)).parse().ok()
}

impl Speaker<'_> {
    /// On whose behalf it is, as far as is known without a call.
    pub(crate) fn author(&self) -> Author {
        let agent_id = agent_of(self.said.agent.as_ref());
        let task = agent_id.as_ref().and_then(|agent| self.desk.task_of(agent));
        Author {
            workflow_id: workflow_of(self.client, &self.said.session),
            phase_id: agent_id.as_ref().and_then(|agent| self.desk.phase_of(agent)),
            task_id: task,
            agent_id,
            session_id: Some(self.said.session.clone()),
            tool_call_id: None,
        }
    }

    /// Records an event of the workflow that the session is.
    pub(crate) fn tell(&self, event: &str, data: Value) -> Result<(), Failure> {
        self.tell_in(self.author().phase_id.as_ref(), event, data)
    }

    /// The same, in a phase.
    pub(crate) fn tell_in(&self, phase: Option<&PhaseId>, event: &str, data: Value) -> Result<(), Failure> {
        let Some(workflow) = workflow_of(self.client, &self.said.session) else { return Ok(()) };
        let envelope = json!({
            "event_type": event,
            "workflow_id": workflow,
            "phase": phase,
            "source_component": self.client.as_str(),
            "data": data,
        });
        let Value::Object(envelope) = envelope else { return Ok(()) };
        intake::now(self.session, self.open, vec![reading::of_fields(without_nulls(envelope))])
    }

    /// Records how a call ended: what it wrote last, and why it failed. Whoever looks for the cause of a failure finds it by the call.
    fn tell_end(&self, call: &Call, error: Option<&str>, output: Option<&Tail>) -> Result<(), Failure> {
        let author = self.author();
        self.tell(
            "TOOL_CALL_ENDED",
            json!({
                "agent_id": author.agent_id,
                "related_task_id": author.task_id,
                "tool": call.tool,
                "tool_call_id": call.id,
                "error": error,
                "stdout_tail": output.map(|tail| &tail.stdout).filter(|text| !text.is_empty()),
                "stderr_tail": output.map(|tail| &tail.stderr).filter(|text| !text.is_empty()),
            }),
        )
    }

    /// Looks at all of the tree, so that what was done until now is in the ledger.
    pub(crate) fn look(&self) -> Result<(), Failure> {
        let turn = ledger::turn_between_recoveries(self.session, self.open)?;
        let workflow = workflow_of(self.client, &self.said.session);
        ledger::look(self.session, self.open, &turn, workflow.as_ref(), |_, _| Ok(())).map(drop)
    }
}

fn without_nulls(mut envelope: Map<String, Value>) -> Map<String, Value> {
    envelope.retain(|_, value| !value.is_null());
    if let Some(Value::Object(data)) = envelope.get_mut("data") {
        data.retain(|_, value| !value.is_null());
    }
    envelope
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_text_of_a_client_becomes_a_name() {
        let long = "x".repeat(1_000);
        let dashes = "-".repeat(1_000);
        for text in ["", "-", ".hidden", "toolu_01", "a/b c", "ä", long.as_str(), dashes.as_str()] {
            assert!(name(text).parse::<AgentId>().is_ok(), "{text}");
        }
        assert_eq!(name("ac2dbeb39cc17a900"), "ac2dbeb39cc17a900");
        let names =
            [long.clone(), long + "y", "a/b".to_owned(), "a_b".to_owned(), "a b".to_owned()].map(|text| name(&text));
        assert_eq!(names.iter().collect::<std::collections::BTreeSet<_>>().len(), names.len());
    }
}
