//! `status`, `events`, `workflows`, `graph`: what goes on, once or for as long as somebody looks.
//!
//! Owns when they look again. Refuses to render, and to wake anybody: they look at the catalog, which any process may
//! have changed.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rustix::event::Timespec;
use wfr_catalog::{CatalogError, DamagedRow, EventQuery, EventRow, EventSeq, WorkflowRow};
use wfr_model::workflow::Whole;
use wfr_model::{EventName, WorkflowId};

use super::looking::Looks;
use super::{known, needed};
use crate::attaching::checking;
use crate::error::{Code, Failure};
use crate::open::Open;
use crate::params::{FollowStatus, Graph, GraphFormat, ListEvents, ListWorkflows};
use crate::response::Success;
use crate::results::{ClientLine, EventList, GraphShown, StatusShown, WorkflowLine, WorkflowList, WriterLine};
use crate::session::Session;
use crate::status::{self, event_line};
use crate::{graph as graphs, state, writers};

/// Events that are listed where nobody says how many.
const LISTED: u32 = 50;

/// Events that are read at once while following.
const FOLLOWED: u32 = 1_000;

/// How long it is until the log is looked at again.
const PAUSE: Duration = Duration::from_millis(100);

/// How often a workflow is looked at where nobody says.
const INTERVAL: Duration = Duration::from_secs(1);

/// Shows how a workflow stands.
pub fn status(session: &mut Session, parameters: FollowStatus) -> Result<Success<StatusShown>, Failure> {
    let open = session.open()?;
    let workflow = match meant(&open, parameters.workflow_id) {
        Err(failure) if failure.code == Code::WorkflowNotFound => return Err(unheard(session, &open, failure)),
        found => found?,
    };
    let mut shown = shown(session, &open, &workflow)?;
    if parameters.watch {
        let length = parameters.interval.and_then(|span| span.duration()).unwrap_or(INTERVAL).max(PAUSE);
        let mut looks = Looks::after(open);
        while (session.on_news)(&shown).is_ok() {
            let Some(next) = next_status(session, &mut looks, &workflow, &shown, length)? else { break };
            shown = next;
        }
    }
    Ok(Success::new(shown).about(&workflow))
}

/// There is no workflow, and perhaps a client that would begin one, or whose hooks could not.
fn unheard(session: &Session, open: &Open, mut failure: Failure) -> Failure {
    for ClientLine { client, last_heard, troubles, newest_trouble, .. } in checking::lines(session, open) {
        if let Some(newest) = newest_trouble {
            let times = checking::times(troubles);
            let message = &newest.message;
            failure = failure
                .with_option(format!("hooks of {client} went wrong {times}, last: {message}; `wfr doctor` says more"));
        } else if last_heard.is_none() {
            failure = failure.with_option(format!(
                "{client} is attached and was not heard yet: start it here once, then run `wfr doctor`"
            ));
        }
    }
    failure
}

/// How a workflow stands now, the clients, and who may write.
fn shown(session: &Session, open: &Open, workflow: &WorkflowId) -> Result<StatusShown, Failure> {
    let found = writers::find(open)?;
    Ok(StatusShown {
        writers: found.writers.iter().map(WriterLine::of).collect(),
        processes_unread: found.unread,
        clients: checking::lines(session, open),
        ..status::of(&open.catalog, workflow, session.now())?
    })
}

/// How a workflow stands when something has changed, or when somebody at a terminal waits for the clock; `None` where
/// nobody waits any more.
fn next_status(
    session: &Session,
    looks: &mut Looks,
    workflow: &WorkflowId,
    last: &StatusShown,
    length: Duration,
) -> Result<Option<StatusShown>, Failure> {
    while wait(session, length) {
        if !session.interactive && !looks.is_due() {
            continue;
        }
        let next = looks.once(session, |open| shown(session, open, workflow))?;
        let key = |shown: &StatusShown| {
            let writers: Vec<_> = shown.writers.iter().map(|writer| (writer.pid, writer.orphan)).collect();
            (shown.last_seq, shown.workflow_status.last_checkpoint.clone(), writers)
        };
        if session.interactive || key(&next) != key(last) {
            return Ok(Some(next));
        }
    }
    Ok(None)
}

/// Waits; `false` where it is to end.
fn wait(session: &Session, length: Duration) -> bool {
    let begun = Instant::now();
    while !session.abort.load(Ordering::Relaxed) {
        let left = length.saturating_sub(begun.elapsed());
        if left.is_zero() {
            return true;
        }
        // A signal ends it at once; one that another thread gets is seen after the pause.
        let pause = Timespec::try_from(left.min(PAUSE)).unwrap_or_default();
        let _ = rustix::event::poll(&mut [], Some(&pause));
    }
    false
}

/// The workflow that is meant: the one named, the one that something happened to last, or the only one.
fn meant(open: &Open, named: Option<WorkflowId>) -> Result<WorkflowId, Failure> {
    if let Some(workflow) = named {
        return known(open, workflow);
    }
    if let Some(workflow) = open.catalog.active_workflow()? {
        return Ok(workflow);
    }
    let mut all = open.catalog.workflows()?;
    let none = || {
        let hint = "`wfr initialize WORKFLOW` registers one; `wfr event` does, too";
        Failure::new(Code::WorkflowNotFound, "there is no workflow").with_hint(hint)
    };
    all.pop().map(|row| row.workflow_id).ok_or_else(none)
}

/// Lists events, and goes on with those that come.
pub fn events(session: &mut Session, parameters: ListEvents) -> Result<Success<EventList>, Failure> {
    let open = session.open()?;
    let workflow = parameters.workflow_id.clone().map(|workflow| known(&open, workflow)).transpose()?;
    let query = query(&parameters, workflow.clone())?;
    // The end is looked up first: what comes later is told later.
    let mut last = open.catalog.last_event()?;
    let (mut rows, mut damaged) = (Vec::new(), 0);
    open.catalog.each_kept_event(&EventQuery { upto: Some(last.unwrap_or(EventSeq(0))), ..query.clone() }, |row| {
        match row {
            Ok(row) => rows.push(row),
            Err(_) => damaged += 1,
        }
        Ok(())
    })?;
    if query.descending {
        rows.reverse();
    }
    let mut list = EventList { events: rows.into_iter().map(event_line).collect(), last_seq: last.map(|seq| seq.0) };
    if parameters.follow {
        let looks = Looks::after(open);
        for line in std::mem::take(&mut list.events) {
            if (session.on_news)(&line).is_err() {
                return Ok(Success { workflow_id: workflow, ..Success::new(list) });
            }
        }
        follow(session, looks, &query, &mut last)?;
        list.last_seq = last.map(|seq| seq.0);
    }
    let success = Success { workflow_id: workflow, ..Success::new(list) };
    if damaged == 0 {
        return Ok(success);
    }
    Ok(success.with_next_step(format!("{damaged} of them cannot be read: `wfr validate-state` names them")))
}

/// The first look: the first ones after a place or a time, else the last ones.
fn query(parameters: &ListEvents, workflow: Option<WorkflowId>) -> Result<EventQuery, Failure> {
    let name = |text: &String| {
        text.parse::<EventName>().map_err(|error| Failure::new(Code::InvalidParameter, format!("`type`: {error}")))
    };
    Ok(EventQuery {
        workflow,
        types: parameters.types.0.iter().map(name).collect::<Result<_, _>>()?,
        after: parameters.after.map(EventSeq),
        upto: None,
        since: parameters.since,
        odd: parameters.odd,
        descending: parameters.after.is_none() && parameters.since.is_none(),
        limit: Some(parameters.limit.unwrap_or(LISTED)),
    })
}

/// Tells each new event, in order, until it is interrupted or nobody listens any more.
fn follow(
    session: &mut Session,
    mut looks: Looks,
    query: &EventQuery,
    last: &mut Option<EventSeq>,
) -> Result<(), Failure> {
    while wait(session, PAUSE) {
        while looks.is_due() {
            let news = looks.once(session, |open| News::after(open, query, *last))?;
            *last = news.upto;
            for row in news.rows {
                if (session.on_news)(&event_line(row)).is_err() {
                    return Ok(());
                }
            }
            if news.has_more {
                looks.look_again();
            }
        }
    }
    Ok(())
}

/// Events behind a place, a page of them.
struct News {
    rows: Vec<EventRow>,
    /// Up to where was looked.
    upto: Option<EventSeq>,
    has_more: bool,
}

impl News {
    fn after(open: &Open, query: &EventQuery, last: Option<EventSeq>) -> Result<Self, CatalogError> {
        let newest = open.catalog.last_event()?;
        if last >= newest {
            return Ok(Self { rows: vec![], upto: last, has_more: false });
        }
        let limit = Some(FOLLOWED);
        let next = EventQuery { after: last, upto: newest, since: None, descending: false, limit, ..query.clone() };
        // Those that cannot be read fill a page, too.
        let (mut rows, mut reached, mut count) = (Vec::new(), last, 0);
        open.catalog.each_kept_event(&next, |row| {
            count += 1;
            reached = row.as_ref().map_or_else(DamagedRow::seq, |row| Some(row.seq));
            rows.extend(row.ok());
            Ok(())
        })?;
        // A whole page may have more behind it.
        let has_more = count >= FOLLOWED;
        Ok(Self { rows, upto: if has_more { reached } else { newest }, has_more })
    }
}

/// Lists workflows.
pub fn workflows(session: &mut Session, _: ListWorkflows) -> Result<Success<WorkflowList>, Failure> {
    let open = session.open()?;
    let line = |row: WorkflowRow| -> Result<WorkflowLine, Failure> {
        let state = open.catalog.state(&row.workflow_id)?;
        let head = state.as_ref().map(|state| &state.head);
        Ok(WorkflowLine {
            name: head.and_then(|head| head.name.clone()),
            status: head.map(|head| head.status),
            progress: state.as_ref().map(wfr_model::workflow::State::progress),
            current_phase: head.and_then(|head| head.current_phase.clone()),
            updated_at: head.and_then(|head| head.updated_at),
            workflow_id: row.workflow_id,
            registered_at: row.registered_at,
            checkpoints: row.checkpoints,
        })
    };
    let workflows = open.catalog.workflows()?.into_iter().map(line).collect::<Result<_, _>>()?;
    Ok(Success::new(WorkflowList { workflows }))
}

/// Shows what waits for what.
pub fn graph(session: &mut Session, parameters: Graph) -> Result<Success<GraphShown>, Failure> {
    let open = session.open()?;
    let workflow = known(&open, needed(parameters.workflow_id, "workflow_id")?)?;
    let whole = state::present(&open.catalog, &workflow)?.unwrap_or_else(|| Whole::new(workflow.clone()));
    let (dependency_graph, findings) = graphs::of(&whole, &open.config.dependencies.declared());
    let dot = (parameters.format == GraphFormat::Dot).then(|| graphs::dot(&dependency_graph));
    Ok(Success::new(GraphShown { dependency_graph, findings, dot }).about(&workflow))
}
