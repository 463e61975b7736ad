//! `exec`: a change begins before a command is run, and ends when it has.
//!
//! Owns what is known of the change on either side. Refuses to run the command: the front end does.

use std::path::Path;

use wfr_catalog::{Closing, NewChange, NewPoint};
use wfr_model::ChangeId;
use wfr_model::change::{Candidate, Change, Evidence, Source};
use wfr_model::path::unescape;

use super::changes::parent_of;
use crate::error::{Code, Failure};
use crate::ledger::{self, Veil};
use crate::open::Open;
use crate::params::Exec;
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
        announce(session, &open, &parameters)
    })
}

fn announce(session: &Session, open: &Open, parameters: &Exec) -> Result<Success<Executing>, Failure> {
    let mut work = parameters.change();
    work.note = work.note.or_else(|| Some(parameters.command.join(" ").chars().take(NOTE_MAX).collect()));
    let observed = why_observed(parameters);
    let turn = ledger::turn_between_recoveries(session, open)?;
    let source = if parameters.observed || observed.is_some() { Source::Observed } else { Source::Traced };
    let change = ledger::announced(session, work.author(), source, work.note.clone());
    let id = change.change_id.clone();
    // Before anybody knows of the change: who finds none with it takes it for one that was never traced.
    let tracing = (source == Source::Traced).then(|| tracing::begin(open, &id)).transpose()?;
    let looked = ledger::look(session, open, &turn, parameters.workflow.as_ref(), |point, opened| {
        let around = if work.parent.is_some() { None } else { tracing::around(open, opened)? };
        let parent = around.map_or_else(|| parent_of(open, opened, &work), |around| Ok(Some(around)))?;
        point.changes.push(NewChange { change, declared: vec![], parent });
        Ok(())
    });
    if looked.is_err() {
        tracing::forget(open, &id);
    }
    looked?;
    let (command, writable) = (parameters.command.clone(), parameters.writable.clone());
    let result = Executing { change_id: id, observed, command, writable, tracing };
    Ok(Success { workflow_id: parameters.workflow.clone(), ..Success::new(result) })
}

/// Why a command is not traced though nobody said so, and what is to be done about it.
fn why_observed(parameters: &Exec) -> Option<(String, String)> {
    let program = parameters.command.first().filter(|_| !parameters.observed)?;
    let program = unescape(program)?;
    let name = Path::new(std::ffi::OsStr::new(std::str::from_utf8(&program).ok()?)).file_name()?.to_str()?;
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
        let is_over = standing.is_none_or(|standing| standing.seen.is_over || !standing.seen.lives);
        ledger::look(session, &open, &turn, None, |point, opened| {
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
