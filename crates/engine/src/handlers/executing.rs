//! `exec`: a change begins before a command is run, and ends when it has.
//!
//! Owns what is known of the change on either side. Refuses to run the command: the front end does.

use std::path::Path;

use wfr_catalog::{ChangeRow, Closing, NewChange, NewPoint};
use wfr_clients::Client;
use wfr_model::change::{Actor, Author, Candidate, Change, Evidence, Source};
use wfr_model::path::unescape;
use wfr_model::{ChangeId, WorkflowId};

use super::changes::parent_of;
use crate::error::{Code, Failure};
use crate::hooks::shells::Odd;
use crate::hooks::{self, Claimed, Desk, Heard};
use crate::ledger::{self, Veil, Wanted};
use crate::open::Open;
use crate::params::Exec;
use crate::process::ProcessId;
use crate::recovery::finish_unfinished;
use crate::response::Success;
use crate::results::Executing;
use crate::session::Session;
use crate::tracing::{self, Files, Standing};

/// How sure it is that what a command left running wrote for whoever started it.
const LEFT: f64 = 0.5;

/// Characters of a command that stand in the note of its change, at most.
const NOTE_MAX: usize = 200;

/// Programs that look at system calls themselves, in a way that two cannot do at once.
const TRACERS: [&str; 3] = ["strace", "rr", "proot"];

/// Announces a command.
pub fn begin(session: &mut Session, parameters: Exec) -> Result<Success<Executing>, Failure> {
    if parameters.command.is_empty() {
        let message = "`exec` needs a command behind a `--`";
        return Err(Failure::new(Code::WrongArguments, message).with_hint("call it as `wfr exec -- COMMAND`"));
    }
    session.with_reserve(|session| {
        let open = session.open()?;
        finish_unfinished(session, &open)?;
        of_parameters(session, &open, &parameters)
    })
}

/// Announces a command that a client runs for a call of its own; `None` where the client works in no workspace.
pub fn begin_of_client(session: &mut Session, run: &OfClient) -> Result<Option<Executing>, Failure> {
    let (id, call) = match &run.told {
        Told::Session(session) => (Some(session.as_str()), None),
        Told::Call { session, call, .. } => (Some(session.as_str()), Some(call.as_str())),
        Told::Hook { session, .. } => (Some(session.as_str()), None),
        Told::Process(_) => (None, None),
    };
    if !hooks::comes_home(session, run.client, id, (call, &run.text)) {
        return Ok(None);
    }
    session.patience = Some(hooks::PATIENCE);
    session.with_reserve(|session| {
        let open = session.open()?;
        finish_unfinished(session, &open)?;
        let heard = heard(&open, run);
        if heard.is_empty() && !run.is_of_hook() {
            Odd::Unheard.note(open.vault.dir(), run.client, session.now());
        }
        let Some((session_id, claimed)) = claimed(&open, run, &heard) else { return Ok(None) };
        let started = Started {
            workflow: hooks::workflow_of(run.client, &session_id),
            note: run.text.chars().take(NOTE_MAX).collect(),
            observed: run.text.split(|letter: char| !is_of_word(letter)).find_map(cannot_trace),
            is_observed: !open.config.agents.trace_commands,
            command: run.command.clone(),
            writable: vec![],
        };
        if run.is_of_hook() && (started.is_observed || started.observed.is_some()) {
            // What it writes is not seen, and what is found may be anybody's.
            return Ok(None);
        }
        // What a hook makes of a call's work is a part of that.
        let whole = |_: &Open, opened: &[ChangeRow]| Ok(run.whole(opened));
        announce(session, &open, &started, claimed, &whole).map(Some)
    })
}

/// What hooks told of the session in which a command is run, or where only its client is known of all of that; nothing where
/// they do not fire.
fn heard(open: &Open, run: &OfClient) -> Vec<Heard> {
    match &run.told {
        Told::Session(session) | Told::Call { session, .. } | Told::Hook { session, .. } => {
            Desk::heard_of(open, run.client, session).into_iter().collect()
        }
        // Its number may be another one in a sandbox.
        Told::Process(_) => Desk::heard(open, run.client),
    }
}

/// In which session a command is run, and on whose behalf; `None` where nobody said so, or where its client cannot be seen from
/// here: then it is in a sandbox with numbers of processes of its own, in which nothing can be noted for others.
fn claimed(open: &Open, run: &OfClient, heard: &[Heard]) -> Option<(String, Claimed)> {
    let claim = |session: &str| hooks::claim(open, run.client, (session, !heard.is_empty()), &run.text);
    match &run.told {
        Told::Process(process) => {
            let heard = heard.iter().find(|heard| heard.client == Some(*process))?;
            Some((heard.session.clone(), claim(&heard.session)))
        }
        Told::Session(_) | Told::Call { .. } | Told::Hook { .. } if heard.iter().any(|heard| !heard.lives()) => None,
        Told::Hook { .. } if heard.is_empty() => None,
        Told::Hook { session, agent, call } => {
            let desk = Desk::of(open, run.client, session);
            let author = hooks::author(&desk, run.client, session, (agent.as_deref(), call.as_deref()));
            Some((session.clone(), Claimed::One(author)))
        }
        Told::Session(session) => Some((session.clone(), claim(session))),
        Told::Call { session, agent, call } => {
            Some((session.clone(), hooks::claim_call(open, run.client, session, (agent.as_deref(), call))))
        }
    }
}

/// Letters of a word that may name a program.
fn is_of_word(letter: char) -> bool {
    letter.is_alphanumeric() || "._-/+".contains(letter)
}

/// A command that a client runs for a call of its own.
#[derive(Clone, Debug)]
pub struct OfClient {
    /// The client.
    pub client: Client,
    /// By what it is told whose it is.
    pub told: Told,
    /// The command as the call has it.
    pub text: String,
    /// What is to be run for it: words as those of [`Exec::command`].
    pub command: Vec<String>,
}

impl OfClient {
    /// Whether it is no call's own command, but a program that the user has run beside calls.
    fn is_of_hook(&self) -> bool {
        matches!(self.told, Told::Hook { .. })
    }

    /// The open change of the call beside which it is run.
    fn whole(&self, opened: &[ChangeRow]) -> Option<ChangeId> {
        let Told::Hook { session, call: Some(call), .. } = &self.told else { return None };
        let is_whole = |row: &&ChangeRow| {
            let author = &row.change.author;
            author.session_id.as_ref() == Some(session) && author.tool_call_id.as_ref() == Some(call)
        };
        opened.iter().find(is_whole).map(|row| row.change.change_id.clone())
    }
}

/// By what it is told whose command a client runs.
#[derive(Clone, Debug)]
pub enum Told {
    /// By its session and the command itself.
    Session(String),
    /// By the call.
    Call {
        /// Its session.
        session: String,
        /// Its agent, or the session itself.
        agent: Option<String>,
        /// The client's id of it.
        call: String,
    },
    /// By what a program for the client's hooks is told.
    Hook {
        /// The session.
        session: String,
        /// The agent, where it is not the one that a person talks to.
        agent: Option<String>,
        /// The call that it is about.
        call: Option<String>,
    },
    /// By the process of the client and the command itself.
    Process(ProcessId),
}

/// A command that is about to be started.
struct Started {
    workflow: Option<WorkflowId>,
    note: String,
    /// Why it is not traced though nobody said so, and what is to be done about it.
    observed: Option<(String, String)>,
    /// Whether somebody said so.
    is_observed: bool,
    command: Vec<String>,
    /// Where alone it may write; empty: anywhere.
    writable: Vec<String>,
}

fn of_parameters(session: &Session, open: &Open, parameters: &Exec) -> Result<Success<Executing>, Failure> {
    let work = parameters.change();
    let text = || parameters.command.join(" ").chars().take(NOTE_MAX).collect();
    let started = Started {
        workflow: parameters.workflow.clone(),
        note: work.note.clone().unwrap_or_else(text),
        observed: why_observed(parameters),
        is_observed: parameters.observed,
        command: parameters.command.clone(),
        writable: parameters.writable.clone(),
    };
    let parent = |open: &Open, opened: &[ChangeRow]| parent_of(open, opened, &work);
    let result = announce(session, open, &started, Claimed::One(work.author()), &parent)?;
    Ok(Success { workflow_id: parameters.workflow.clone(), ..Success::new(result) })
}

/// Finds the change that a command's is a part of, among those that are open.
type Parent<'p> = dyn Fn(&Open, &[ChangeRow]) -> Result<Option<ChangeId>, Failure> + 'p;

fn announce(
    session: &Session,
    open: &Open,
    started: &Started,
    claimed: Claimed,
    parent: &Parent<'_>,
) -> Result<Executing, Failure> {
    let turn = ledger::turn_between_recoveries(session, open)?;
    let source = if started.is_observed || started.observed.is_some() { Source::Observed } else { Source::Traced };
    let (mut change, calls) = change_of(session, claimed, source, &started.note);
    change.source = source;
    let id = change.change_id.clone();
    // Before anybody knows of the change: who finds none with it takes it for one that was never traced.
    let unseen_from = if source == Source::Traced { ledger::unseen_from(open)? } else { None };
    let tracing = (source == Source::Traced).then(|| tracing::begin(open, &id, unseen_from)).transpose()?;
    // A traced command is seen writing: what is there before it does is looked at then.
    let nothing = unseen_from.map(|_| Wanted::default());
    let with = |point: &mut NewPoint, opened: &[ChangeRow]| {
        let around = tracing::around(open, opened)?;
        let parent = around.map_or_else(|| parent(open, opened), |around| Ok(Some(around)))?;
        point.changes.extend(calls.into_iter().map(|change| NewChange { change, declared: vec![], parent: None }));
        point.changes.push(NewChange { change, declared: vec![], parent });
        Ok(())
    };
    let looked = ledger::look_at(session, open, &turn, started.workflow.as_ref(), nothing.as_ref(), with);
    if looked.is_err() {
        tracing::forget(open, &id);
    }
    looked?;
    let (observed, command, writable) = (started.observed.clone(), started.command.clone(), started.writable.clone());
    Ok(Executing { change_id: id, observed, command, writable, tracing })
}

/// The change of a command, and those of the calls of which nobody knows which it is: they did nothing else.
fn change_of(session: &Session, claimed: Claimed, source: Source, note: &str) -> (Change, Vec<Change>) {
    let of = |author: Author| ledger::announced(session, author, source, Some(note.to_owned()));
    match claimed {
        Claimed::One(author) => (of(author), vec![]),
        Claimed::Nobody(author) => (Change { actor: Actor::User, ..of(author) }, vec![]),
        Claimed::Unheard(author) => (Change { actor: Actor::Unknown, ..of(author) }, vec![]),
        Claimed::Several(authors) => {
            let call = |author: Author| Change { ended_at: Some(session.now()), ..of(author) };
            let calls: Vec<Change> = authors.into_iter().map(call).collect();
            let candidate =
                |call: &Change| Candidate { change_id: call.change_id.clone(), author: call.author.clone() };
            let candidates: Vec<Candidate> = calls.iter().map(candidate).collect();
            let author = ledger::common(&candidates);
            // Where they differ in the call only, it is the same agent's work all the same.
            let actor = if author.agent_id.is_some() { Actor::Agent } else { Actor::Shared };
            (Change { actor, candidates, ..of(author) }, calls)
        }
    }
}

/// Why a command is not traced though nobody said so, and what is to be done about it.
fn why_observed(parameters: &Exec) -> Option<(String, String)> {
    let program = parameters.command.first().filter(|_| !parameters.observed)?;
    let program = unescape(program)?;
    cannot_trace(std::str::from_utf8(&program).ok()?)
}

/// Why a program cannot be traced, and what is to be done about it.
fn cannot_trace(program: &str) -> Option<(String, String)> {
    let name = Path::new(program).file_name()?.to_str()?;
    if TRACERS.contains(&name) {
        return Some((
            format!("`{name}` looks at system calls itself"),
            format!("call `{name} ... wfr exec -- COMMAND`"),
        ));
    }
    tracing::cannot_gain(name).then(|| {
        let remedy = format!("call `{name} wfr exec -- COMMAND`, or say `--observed`");
        (format!("`{name}` gains privileges, which a traced command cannot"), remedy)
    })
}

/// What is to be told when a command has ended.
#[derive(Debug, Default)]
pub struct Closed {
    /// What is known of it.
    pub evidence: Evidence,
    /// The change of what it left running.
    pub left_running: Option<ChangeId>,
}

/// Ends the change of a command that was run, with what is known of its end.
pub fn end(session: &mut Session, id: &ChangeId, known: &Evidence) -> Result<Closed, Failure> {
    session.with_reserve(|session| {
        let open = session.open()?;
        finish_unfinished(session, &open)?;
        let turn = ledger::turn_between_recoveries(session, &open)?;
        let mut closed = Closed::default();
        // Before the look: what was left running may write where it has been already, and end.
        let row = open.catalog.change(id)?;
        let standing = row.map(|row| tracing::of(&open, &row)).transpose()?.flatten();
        let is_over = standing.as_ref().is_none_or(|standing| standing.seen.is_over || !standing.seen.lives);
        let wanted = standing.as_ref().and_then(|standing| standing.seen.wanted());
        ledger::look_at(session, &open, &turn, None, wanted.as_ref(), |point, opened| {
            let row = opened.iter().find(|row| row.change.change_id == *id);
            let row = row.ok_or_else(|| Failure::new(Code::ChangeNotFound, format!("change {id} is not open")))?;
            let standing = tracing::of(&open, row)?;
            closed.evidence = joined(known, standing.as_ref());
            point.ended.push(id.clone());
            let closing = match row.change.source {
                Source::Traced => tracing::closing(id.clone(), closed.evidence.clone()),
                source => Closing {
                    change_id: id.clone(),
                    source,
                    confidence: row.change.confidence,
                    evidence: Some(closed.evidence.clone()),
                },
            };
            point.closings.push(closing);
            if let Some(standing) = standing.filter(|_| !is_over) {
                closed.left_running = Some(succeed(session, &open, point, &row.change, &standing)?);
            }
            Ok(())
        })?;
        if is_over {
            tracing::forget(&open, id);
        }
        Ok(closed)
    })
}

/// What whoever ran a command knows of it, and what its supervisor noted.
fn joined(known: &Evidence, standing: Option<&Standing>) -> Evidence {
    let seen = standing.map(|standing| standing.seen.evidence()).unwrap_or_default();
    let is_noted = seen.degraded_since.is_some();
    Evidence {
        degraded_since: if is_noted { seen.degraded_since } else { known.degraded_since },
        degraded_because: if is_noted { seen.degraded_because } else { known.degraded_because.clone() },
        delegated: seen.delegated,
        unprivileged: seen.unprivileged,
        ..known.clone()
    }
}

/// What a command left running goes on as a change of its own, which has by now what was written after the command's end.
fn succeed(
    session: &Session,
    open: &Open,
    point: &mut NewPoint,
    change: &Change,
    standing: &Standing,
) -> Result<ChangeId, Failure> {
    let note = change.note.as_deref().unwrap_or("a command");
    let mut left =
        ledger::announced(session, change.author.clone(), Source::Traced, Some(format!("left running: {note}")));
    left.confidence = LEFT;
    left.candidates = vec![Candidate { change_id: change.change_id.clone(), author: change.author.clone() }];
    let id = left.change_id.clone();
    let veil = Veil::of(open)?;
    let (own, all) = (standing.seen.own(&Files::new()), standing.seen.told(&Files::new(), true));
    for segment in point.segments.iter_mut().filter(|segment| segment.change == change.change_id) {
        let path = veil.shown(&segment.path)?;
        if !own.wrote(&path) && all.wrote(&path) {
            segment.change = id.clone();
        }
    }
    point.changes.push(NewChange { change: left, declared: vec![], parent: Some(change.change_id.clone()) });
    Ok(id)
}
