//! `holds`, `hold-resources`, `release`, `check-conflicts`, `allocate`.
//!
//! Owns their glue, and which events tell of it. Refuses to decide how much a workflow may have: see
//! `crate::resources`.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Map, Value, json};
use wfr_catalog::{CatalogError, FencingToken, Hold, HoldRequest, Holder, NewOperation, Owner};
use wfr_model::event::Draft;
use wfr_model::message::{Band, Priority};
use wfr_model::workflow::{Allocation, AllocationStatus};
use wfr_model::{AllocationId, Event, EventName, EventType, Span, Timestamp, WorkflowId};

use super::{known, needed};
use crate::error::{Code, Failure};
use crate::open::Open;
use crate::params::{Allocate, CheckConflicts, HoldResources, Holds, Release};
use crate::resources::{self, Decision};
use crate::response::Success;
use crate::results::{AllocationLine, Allotted, ConflictLine, Conflicting, HoldLine, HoldList, HoldPlaced, Released};
use crate::session::Session;
use crate::{holding, mint};

/// How long a hold stands where the call does not say.
const HOLD_USUAL: Duration = Duration::from_secs(30 * 60);

/// How often a decision is made anew where the state moved meanwhile.
const DECISIONS_MAX: usize = 100;

/// Lists holds and shares.
pub fn holds(session: &mut Session, parameters: Holds) -> Result<Success<HoldList>, Failure> {
    let open = session.open()?;
    let workflow = parameters.workflow_id.map(|workflow| known(&open, workflow)).transpose()?;
    let now = session.now();
    let key = workflow.as_ref().map(holding::key_of);
    let is_asked =
        |hold: &Hold| key.as_ref().is_none_or(|key| [Some(hold.key.as_str()), hold.waits_for()].contains(&Some(key)));
    let stands = |hold: &Hold| !hold.is_expired(now) && hold.waits_for().is_none() && holding::is_alive(&hold.owner);
    let holds = open.catalog.holds()?;
    let holds = holds.iter().filter(|hold| is_asked(hold));
    let holds = holds.map(|hold| HoldLine { stands: Some(stands(hold)), ..HoldLine::of(hold) }).collect();
    let mut allocations = Vec::new();
    for workflow in workflows(&open, workflow.as_ref())? {
        let shares = resources::shares(&open.catalog, &workflow, now)?;
        allocations.extend(shares.out.into_iter().map(|share| share_line(&workflow, share, false)));
        allocations.extend(shares.over.into_iter().map(|(share, _)| share_line(&workflow, share, true)));
    }
    Ok(Success { workflow_id: workflow, ..Success::new(HoldList { holds, allocations }) })
}

/// The workflow that is named, or all.
fn workflows(open: &Open, named: Option<&WorkflowId>) -> Result<Vec<WorkflowId>, CatalogError> {
    match named {
        Some(workflow) => Ok(vec![workflow.clone()]),
        None => Ok(open.catalog.workflows()?.into_iter().map(|row| row.workflow_id).collect()),
    }
}

fn share_line(workflow: &WorkflowId, share: Allocation, is_over: bool) -> AllocationLine {
    let status = if is_over { AllocationStatus::Expired } else { share.status };
    AllocationLine {
        workflow_id: workflow.clone(),
        status: status.as_str().to_owned(),
        expires_at: resources::expiry(&share),
        allocation_id: share.allocation_id,
        requester: share.requester,
        priority: share.priority,
        resources: share.resources,
    }
}

/// Keeps a workflow's resources for a component.
pub fn hold(session: &mut Session, parameters: HoldResources) -> Result<Success<HoldPlaced>, Failure> {
    let open = session.open()?;
    let workflow = known(&open, needed(parameters.workflow_id, "workflow_id")?)?;
    let now = session.now();
    let is_recovery = parameters.reason.as_deref() == Some(holding::RECOVERY_REASON);
    let usual = if is_recovery { Priority::RECOVERY } else { Priority::USUAL };
    let priority = parameters.priority.unwrap_or(usual);
    let component = component(session, parameters.requester)?;
    let owner = Owner { holder: Holder::Component(component.clone()), label: "hold-resources".to_owned() };
    let length = parameters.duration.unwrap_or(Span::Finite(HOLD_USUAL)).duration();
    let request = HoldRequest {
        key: &holding::key_of(&workflow),
        owner: &owner,
        reason: parameters.reason.as_deref(),
        priority,
        now,
        expires_at: length.map(|length| later(now, length)),
    };
    let yields = |standing: &Hold| {
        standing.owner.holder == owner.holder
            || priority.band() == Band::Critical && holding::yields(standing, priority)
    };
    let acquired = match open.catalog.acquire_hold_over(&request, &holding::is_alive, &yields) {
        Err(CatalogError::Held(standing)) => {
            conflict(session, &open, &workflow, &standing, &component, "refused")?;
            return Err(holding::refused(&standing));
        }
        other => other?,
    };
    let hold = Hold {
        key: request.key.to_owned(),
        token: acquired.token,
        reason: parameters.reason.clone(),
        priority,
        acquired_at: now,
        expires_at: request.expires_at,
        owner: owner.clone(),
    };
    let renewed = acquired.preempted.as_ref().is_some_and(|before| before.owner.holder == owner.holder);
    let preempted = acquired.preempted.filter(|_| !renewed);
    if let Some(before) = &preempted {
        conflict(session, &open, &workflow, before, &component, "preempted")?;
    }
    let line = HoldLine { stands: Some(true), ..HoldLine::of(&hold) };
    let parameters = json!({"workflow_id": workflow, "requester": component, "reason": hold.reason});
    audit(session, &open, &workflow, "hold-resources", parameters, &line)?;
    let preempted = preempted.as_ref().map(HoldLine::of);
    Ok(Success::new(HoldPlaced { hold: line, renewed, preempted }).about(&workflow))
}

/// The name of whoever asks.
fn component(session: &Session, named: Option<String>) -> Result<String, Failure> {
    let name = named.unwrap_or_else(|| session.actor.clone());
    if name.is_empty() || name.len() > 128 || name.chars().any(char::is_control) {
        let message = "`requester` is empty, longer than 128 bytes, or has control characters";
        return Err(Failure::new(Code::InvalidParameter, message));
    }
    Ok(name)
}

/// Records that two wanted the same.
fn conflict(
    session: &Session,
    open: &Open,
    workflow: &WorkflowId,
    standing: &Hold,
    by: &str,
    resolution: &str,
) -> Result<(), Failure> {
    let standing = HoldLine::of(standing);
    let severity = if standing.band == Band::Critical { "high" } else { "medium" };
    let data = json!({
        "conflict_id": mint::conflict(),
        "conflicting_requests": [
            {"holder": standing.holder, "token": standing.token, "priority": standing.priority, "since": standing.since},
            {"requester": by}
        ],
        "severity": severity,
        "resolution": resolution,
    });
    append(session, open, event(session, workflow, EventType::ResourceConflict, data))
}

fn event(session: &Session, workflow: &WorkflowId, kind: EventType, data: Value) -> Event {
    let mut draft = Draft::new(EventName::Known(kind), Some(workflow.clone()));
    if let Value::Object(data) = data {
        draft.data = data;
    }
    draft.complete(|| session.ids.event(), session.now(), "resource-manager")
}

fn append(session: &Session, open: &Open, event: Event) -> Result<(), Failure> {
    open.catalog.append_events(&[event], session.now())?;
    Ok(())
}

fn audit(
    session: &Session,
    open: &Open,
    workflow: &WorkflowId,
    operation: &str,
    parameters: Value,
    result: &impl serde::Serialize,
) -> Result<(), Failure> {
    let operation = NewOperation {
        operation_id: mint::operation(),
        operation: operation.to_owned(),
        actor: session.actor.clone(),
        at: session.now(),
        workflow_id: Some(workflow.clone()),
        parameters,
        inverse: None,
        result: serde_json::to_value(result).unwrap_or_default(),
    };
    Ok(open.catalog.record_operation(&operation)?)
}

fn later(now: Timestamp, length: Duration) -> Timestamp {
    Timestamp(now.0.saturating_add(i64::try_from(length.as_nanos()).unwrap_or(i64::MAX)))
}

/// Gives resources back.
pub fn release(session: &mut Session, parameters: Release) -> Result<Success<Released>, Failure> {
    let open = session.open()?;
    let workflow = parameters.workflow_id.clone().map(|workflow| known(&open, workflow)).transpose()?;
    let mut released = Released { holds: vec![], allocations: vec![] };
    match (&parameters.token, &parameters.allocation_id, &workflow) {
        (Some(_), Some(_), _) => {
            return Err(Failure::new(Code::WrongArguments, "`token` and `allocation_id` name different things"));
        }
        (Some(token), None, _) => released.holds.push(let_go(session, &open, *token)?),
        (None, Some(id), _) => {
            let is_it = |share: &Allocation| share.allocation_id == *id;
            released.allocations = give_back(session, &open, workflow.as_ref(), &parameters, &is_it)?;
            if released.allocations.is_empty() {
                let message = format!("no share `{id}` is out");
                return Err(Failure::new(Code::HoldNotFound, message));
            }
        }
        (None, None, Some(workflow)) => {
            let held = open.catalog.hold(&holding::key_of(workflow))?;
            if let Some(hold) = held {
                released.holds.push(let_go(session, &open, hold.token.0)?);
            }
            released.allocations = give_back(session, &open, Some(workflow), &parameters, &|_| true)?;
        }
        (None, None, None) => {
            return Err(Failure::new(Code::WrongArguments, "`release` needs a workflow, a share or a token"));
        }
    }
    Ok(Success { workflow_id: workflow, ..Success::new(released) })
}

/// Ends a hold by its token. That of a process that runs stands.
fn let_go(session: &Session, open: &Open, token: i64) -> Result<HoldLine, Failure> {
    let found = open.catalog.holds()?.into_iter().find(|hold| hold.token.0 == token);
    let gone = || Failure::new(Code::HoldNotFound, format!("nobody holds under token {token}"));
    let hold = found.ok_or_else(gone)?;
    if matches!(hold.owner.holder, Holder::Process { .. }) && holding::is_alive(&hold.owner) {
        return Err(holding::refused(&hold));
    }
    if !open.catalog.release_hold(&hold.key, FencingToken(token))? {
        return Err(gone());
    }
    let line = HoldLine { stands: Some(false), ..HoldLine::of(&hold) };
    let workflow = hold.key.strip_prefix("workflow:").and_then(|name| name.parse().ok());
    let operation = NewOperation {
        operation_id: mint::operation(),
        operation: "release".to_owned(),
        actor: session.actor.clone(),
        at: session.now(),
        workflow_id: workflow,
        parameters: json!({"token": token}),
        inverse: None,
        result: serde_json::to_value(&line).unwrap_or_default(),
    };
    open.catalog.record_operation(&operation)?;
    Ok(line)
}

/// Gives shares back, of the workflow that is named or of any.
fn give_back(
    session: &Session,
    open: &Open,
    workflow: Option<&WorkflowId>,
    parameters: &Release,
    is_it: &dyn Fn(&Allocation) -> bool,
) -> Result<Vec<wfr_model::AllocationId>, Failure> {
    let reason = parameters.reason.as_deref().unwrap_or("released");
    let by = component(session, parameters.requester.clone())?;
    let mut given = Vec::new();
    for workflow in workflows(open, workflow)? {
        let shares = resources::shares(&open.catalog, &workflow, session.now())?;
        let over = shares.over.into_iter().map(|(share, _)| share);
        let gone: Vec<Allocation> = shares.out.into_iter().chain(over).filter(|share| is_it(share)).collect();
        let tell = |share: &Allocation| {
            let data = json!({"allocation_id": share.allocation_id, "reason": reason, "released_by": by});
            event(session, &workflow, EventType::ResourceDeallocated, data)
        };
        let events: Vec<Event> = gone.iter().map(tell).collect();
        open.catalog.append_events(&events, session.now())?;
        given.extend(gone.into_iter().map(|share| share.allocation_id));
    }
    Ok(given)
}

/// Looks what stands in the way.
pub fn check(session: &mut Session, parameters: CheckConflicts) -> Result<Success<Conflicting>, Failure> {
    let open = session.open()?;
    let workflow = parameters.workflow_id.map(|workflow| known(&open, workflow)).transpose()?;
    let caps = &open.config.coordination.caps;
    let asked = parameters.resources.as_ref().map(resources::asked).transpose()?.unwrap_or_default();
    let priority = parameters.priority.unwrap_or(Priority::USUAL);
    let by = component(session, parameters.requester)?;
    let mut conflicts = Vec::new();
    for workflow in workflows(&open, workflow.as_ref())? {
        let out = resources::shares(&open.catalog, &workflow, session.now())?.out;
        let held = in_the_way(session, &open, &workflow, priority, &by)?;
        let (_, found) = resources::decide(&workflow, &asked, &out, caps, held, false);
        conflicts.extend(found);
        let in_use = resources::sum(out.iter());
        conflicts.extend(resources::over(&workflow, &in_use, caps));
    }
    let verdict = conflicts.first().map(|first| Failure::new(Code::ResourceConflict, first.message.clone()));
    Ok(Success { workflow_id: workflow, ..Success::new(Conflicting { conflicts }).with_verdict(verdict) })
}

/// The hold on a workflow that stands in the way of somebody.
fn in_the_way(
    session: &Session,
    open: &Open,
    workflow: &WorkflowId,
    priority: Priority,
    by: &str,
) -> Result<Option<ConflictLine>, Failure> {
    let Some(hold) = open.catalog.hold(&holding::key_of(workflow))? else { return Ok(None) };
    let is_own = hold.owner.holder == Holder::Component(by.to_owned());
    let gives_way = priority.band() == Band::Critical && holding::yields(&hold, priority);
    if is_own || gives_way || hold.is_expired(session.now()) || !holding::is_alive(&hold.owner) {
        return Ok(None);
    }
    let until = hold.expires_at;
    let message = CatalogError::Held(Box::new(hold)).to_string();
    Ok(Some(ConflictLine { code: "HELD".to_owned(), workflow_id: workflow.clone(), message, until }))
}

/// Gives a share. The decision is made over the state as it is when the share is recorded: where it moved meanwhile,
/// the decision is made anew.
pub fn allocate(session: &mut Session, parameters: Allocate) -> Result<Success<Allotted>, Failure> {
    let refuse = |why: String| Failure::new(Code::InvalidParameter, format!("`resource_allocation`: {why}"));
    let parameters = parameters.unwrapped().map_err(refuse)?;
    let open = session.open()?;
    let workflow = known(&open, needed(parameters.workflow_id.clone(), "workflow_id")?)?;
    resources::asked(&parameters.resources)?;
    check_duration(&open, &parameters)?;
    for _ in 0..DECISIONS_MAX {
        if let Some(allotted) = try_allocate(session, &open, &workflow, &parameters)? {
            let verdict = verdict(&allotted);
            return Ok(Success::new(allotted).about(&workflow).with_verdict(verdict));
        }
    }
    Err(Failure::new(Code::Busy, "the workflow's state does not hold still"))
}

fn check_duration(open: &Open, parameters: &Allocate) -> Result<(), Failure> {
    if parameters.duration.and_then(Span::duration).is_some_and(|length| length.is_zero()) {
        let message = "`duration`: a share for no time is none";
        return Err(Failure::new(Code::InvalidParameter, message).with_hint("for instance `--duration 30m`"));
    }
    let longest = open.config.coordination.caps.duration;
    let is_longer = match (parameters.duration.map(Span::duration), longest.duration()) {
        (Some(Some(asked)), Some(longest)) => asked > longest,
        (Some(None), Some(_)) => true,
        _ => false,
    };
    if !is_longer {
        return Ok(());
    }
    let message = format!("a workflow may have a share for {longest} at most");
    Err(Failure::new(Code::ResourceExhausted, message).with_hint("ask for less, and again before its time is over"))
}

fn verdict(allotted: &Allotted) -> Option<Failure> {
    if allotted.allocation_id.is_some() {
        return None;
    }
    let why = allotted.conflicts.first().map_or_else(String::new, |first| first.message.clone());
    let failure = Failure::new(Code::ResourceExhausted, format!("{}: {why}", allotted.status));
    Some(match allotted.retry_at {
        Some(at) => failure.with_hint(format!("ask again at {at}, or when others have given back")),
        None => failure,
    })
}

/// `None` where the state moved before the share was recorded.
fn try_allocate(
    session: &Session,
    open: &Open,
    workflow: &WorkflowId,
    parameters: &Allocate,
) -> Result<Option<Allotted>, Failure> {
    let now = session.now();
    let seq = open.catalog.state_seq(workflow)?;
    let shares = resources::shares(&open.catalog, workflow, now)?;
    let caps = open.config.coordination.caps.clone();
    let answer = |id, status: &str, resources, expires_at, conflicts: Vec<ConflictLine>, in_use| {
        let retry_at = (status == "queued").then(|| conflicts.iter().filter_map(|one| one.until).min()).flatten();
        let (caps, status) = (caps.clone(), status.to_owned());
        Allotted { allocation_id: id, status, resources, expires_at, conflicts, retry_at, in_use, caps }
    };
    let id = parameters.allocation_id.clone().unwrap_or_else(|| session.ids.allocation());
    let is_known = |share: &&Allocation| share.allocation_id == id;
    if let Some(known) = shares.out.iter().find(is_known) {
        let (id, end) = (Some(known.allocation_id.clone()), resources::expiry(known));
        let in_use = resources::sum(shares.out.iter());
        return Ok(Some(answer(id, "approved", known.resources.clone(), end, vec![], in_use)));
    }
    let by = component(session, parameters.requester.clone())?;
    let priority = parameters.priority.unwrap_or(Priority::USUAL);
    let asked = resources::asked(&parameters.resources)?;
    let held = in_the_way(session, open, workflow, priority, &by)?;
    let (decision, conflicts) =
        resources::decide(workflow, &asked, &shares.out, &caps, held, parameters.accept_partial);
    let over = shares.over.iter().map(|(share, why)| {
        let data = json!({"allocation_id": share.allocation_id, "reason": why});
        event(session, workflow, EventType::ResourceDeallocated, data)
    });
    let mut events: Vec<Event> = over.collect();
    let allotted = match decision {
        Decision::Approved | Decision::Partial(_) => {
            let (status, given) = match &decision {
                Decision::Partial(some) => ("partial", resources::granted(&parameters.resources, some)),
                _ => ("approved", parameters.resources.clone()),
            };
            let (share, end) = share_of((parameters, &id), &by, priority, &given, &caps.duration, now);
            events.push(event(session, workflow, EventType::ResourceAllocated, Value::Object(share)));
            let mut out = shares.out;
            let new = Allocation { resources: given.clone(), ..Allocation::new(id.clone()) };
            out.push(new);
            answer(Some(id), status, given, end, conflicts, resources::sum(out.iter()))
        }
        Decision::Queued | Decision::Denied => {
            let status = if decision == Decision::Queued { "queued" } else { "denied" };
            let told: Vec<&str> = conflicts.iter().map(|one| one.message.as_str()).collect();
            let data = json!({
                "conflict_id": mint::conflict(),
                "conflicting_requests": [{"requester": by, "resources": parameters.resources}],
                "severity": "medium",
                "resolution": status,
                "reasons": told,
            });
            events.push(event(session, workflow, EventType::ResourceConflict, data));
            answer(None, status, BTreeMap::new(), None, conflicts, resources::sum(shares.out.iter()))
        }
    };
    let recorded = open.catalog.append_events_if(&[(workflow, seq)], &events, now)?;
    Ok(recorded.map(|_| allotted))
}

/// A new share: its id, the protocol's fields, its end.
fn share_of(
    (parameters, id): (&Allocate, &AllocationId),
    by: &str,
    priority: Priority,
    given: &BTreeMap<String, Value>,
    longest: &Span,
    now: Timestamp,
) -> (Map<String, Value>, Option<Timestamp>) {
    let end = parameters.duration.unwrap_or(*longest).duration().map(|length| later(now, length));
    let fields = json!({
        "allocation_id": id,
        "requester": by,
        "timestamp": parameters.timestamp.unwrap_or(now),
        "priority": priority,
        "resources": given,
        "constraints": parameters.constraints,
        "performance_requirements": parameters.performance_requirements,
        "auto_release": parameters.auto_release,
        "expires_at": end,
        "status": if parameters.reserve { "reserved" } else { "active" },
    });
    let Value::Object(mut fields) = fields else { return (Map::new(), end) };
    fields.retain(|_, value| !value.is_null());
    (fields, end)
}
