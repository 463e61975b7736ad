//! Checkpoints that nobody asks for: at a phase's end, when something failed, and after some time.
//!
//! Owns how often one is taken, and how long it may take. Refuses to fail whoever brought the events: they are recorded, and
//! what kept a checkpoint from being taken is said. What asks for one: see [`Wishes`].

mod wishes;

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::Value;
use wfr_catalog::{Catalog, CatalogError, HoldRequest, ListQuery, NewOperation, Owner};
use wfr_model::checkpoint::{CheckpointType, Trigger};
use wfr_model::config::{Config, INTERVAL_MIN};
use wfr_model::coverage::{Skip, SkipReason};
use wfr_model::message::Priority;
use wfr_model::phase::word;
use wfr_model::workflow::{Phase, WorkflowStatus};
use wfr_model::{PhaseId, Timestamp, WorkflowId};

use crate::checkpoint::{self, Created, Request};
use crate::error::{Code, Failure};
use crate::holding;
use crate::mint;
use crate::open::Open;
use crate::outbox;
use crate::recovery;
use crate::results::PolicyCheckpoint;
use crate::scanning::Effort;
use crate::session::Session;
use crate::state;
use crate::workspace::Place;

pub use wishes::{Standings, Wishes, asks};

/// How long a checkpoint may take that somebody waits for: beyond, it is incomplete and says so.
const WAIT_MAX: Duration = Duration::from_secs(10);

/// Failures come in swarms: one checkpoint shows the tree of all that follow within this time.
const FAILURES_APART: Duration = Duration::from_secs(60);

/// An interval's checkpoint that cannot be taken is not tried again before.
const TRIES_APART: Duration = INTERVAL_MIN;

/// Events of more workflows than this at once are history, of which the tree shows nothing.
const WORKFLOWS_MAX: usize = 16;

/// The file beside the locks that has the time of the last try.
const TRIED: &str = "interval.tried";

fn phase_request(session: &Session, open: &Open, workflow: &WorkflowId, phase: &PhaseId) -> Request {
    let mut request = Request::new(workflow.clone(), CheckpointType::PhaseComplete, &session.actor);
    request.trigger = Some(Trigger::PhaseCompletion);
    request.phase = named(open, workflow, phase);
    request
}

/// The number and the name of the phase that is meant, as the state knows it; of none in particular the phase that the workflow
/// is in. What the state does not know, or has twice, stays as it was given.
pub fn phase_meant(
    open: &Open,
    workflow: &WorkflowId,
    given: (Option<i64>, Option<String>),
) -> Result<(Option<i64>, Option<String>), CatalogError> {
    let text = match &given {
        (None, None) => return current_phase(open, workflow),
        (Some(number), None) => return Ok(named(open, workflow, &PhaseId::numbered(*number))),
        (Some(_), Some(_)) => return Ok(given),
        (None, Some(text)) => text,
    };
    let Some(state) = state::readable(open.catalog.state(workflow))? else { return Ok(given) };
    let is_called = |phase: &&Phase| phase.name.as_deref() == Some(text);
    let reads_like = |phase: &&Phase| word(phase.name.as_deref().unwrap_or(phase.phase_id.as_str())) == word(text);
    let mut those: Vec<&Phase> = state.phases.values().filter(is_called).collect();
    if those.is_empty() {
        those = state.phases.values().filter(reads_like).collect();
    }
    Ok(match those.as_slice() {
        [phase] => (phase.phase_id.number(), phase.name.clone().or(given.1)),
        _ => given,
    })
}

/// The number and the name of the phase that a workflow is in.
fn current_phase(open: &Open, workflow: &WorkflowId) -> Result<(Option<i64>, Option<String>), CatalogError> {
    let state = state::readable(open.catalog.state(workflow))?;
    let current = state.and_then(|state| state.head.current_phase);
    Ok(current.map_or((None, None), |phase| named(open, workflow, &phase)))
}

/// The number and the name of a phase, where it has them.
fn named(open: &Open, workflow: &WorkflowId, phase: &PhaseId) -> (Option<i64>, Option<String>) {
    let state = open.catalog.state(workflow).ok().flatten();
    let id = state.as_ref().map_or_else(|| phase.clone(), |state| state.phase_named(phase));
    let name = state.and_then(|state| state.phases.get(&id).and_then(|known| known.name.clone()));
    match id.number() {
        Some(number) => (Some(number), name),
        None => (None, name.or_else(|| Some(id.as_str().to_owned()))),
    }
}

/// Whether a failure's checkpoint is that new that it shows this one, too. Where that cannot be read, one is taken; and so it is
/// where the clock was ahead when the last one was taken, since nobody can say how new that is.
fn is_failure_shown(open: &Open, workflow: &WorkflowId, now: Timestamp) -> bool {
    has_failures(open, workflow, &ListQuery { until: Some(now), ..since(now.before(FAILURES_APART)) })
}

fn since(at: Timestamp) -> ListQuery {
    ListQuery { since: Some(at), ..ListQuery::default() }
}

fn has_failures(open: &Open, workflow: &WorkflowId, query: &ListQuery) -> bool {
    let types = vec![CheckpointType::Emergency];
    let query = ListQuery { workflow: Some(workflow.clone()), types, ..query.clone() };
    let triggers = open.catalog.summaries(&query, |summary| summary.trigger).unwrap_or_default();
    triggers.contains(&Trigger::FailurePrevention)
}

/// Whether a failure that was recorded at a time had its checkpoint, be it gone by now.
fn had_failures(open: &Open, workflow: &WorkflowId, at: Timestamp) -> bool {
    let query = ListQuery { include_deleted: true, ..since(at.before(FAILURES_APART)) };
    has_failures(open, workflow, &query)
}

/// Whether the end of a phase that was recorded at a time had its checkpoint, be it gone by now.
fn had_phases(open: &Open, workflow: &WorkflowId, phase: &PhaseId, at: Timestamp) -> bool {
    let (number, name) = named(open, workflow, phase);
    let types = vec![CheckpointType::PhaseComplete];
    let query = ListQuery { workflow: Some(workflow.clone()), types, include_deleted: true, ..since(at) };
    let is_its = |id: Option<i64>, called: Option<&str>| {
        if number.is_some() { id == number } else { called == name.as_deref() }
    };
    let found = open.catalog.summaries(&query, |summary| is_its(summary.phase_id, summary.phase_name.as_deref()));
    found.unwrap_or_default().contains(&true)
}

/// Whether a workflow runs and its last checkpoint, or else its beginning, is longer ago than the interval. One that is said to
/// be still to come is of a clock that was ahead: how long ago it is nobody can say, and the next one says it right.
fn is_overdue(
    catalog: &Catalog,
    interval: Duration,
    workflow: &WorkflowId,
    now: Timestamp,
) -> Result<bool, CatalogError> {
    let query =
        ListQuery { workflow: Some(workflow.clone()), descending: true, limit: Some(1), ..ListQuery::default() };
    let last = catalog.summaries(&query, |summary| summary.created_at)?.first().copied();
    let is_old = |at: Timestamp| at <= now.before(interval) || at > now;
    if last.is_some_and(|at| !is_old(at)) {
        return Ok(false);
    }
    let Some(state) = catalog.state(workflow)? else { return Ok(false) };
    let since = last.or(state.head.started_at);
    Ok(state.head.status == WorkflowStatus::Running && since.is_some_and(is_old))
}

/// The time between checkpoints of a workflow that runs; `None` where none are taken by time.
pub fn interval(config: &Config) -> Option<Duration> {
    let interval = config.recovery_configuration.checkpoint_policy.automatic_checkpoint_interval;
    interval.duration().filter(|length| !length.is_zero())
}

/// Whether a checkpoint of one of the newest workflows is due by time: so many that whoever only reads does not wait for it.
pub fn is_any_overdue(catalog: &Catalog, interval: Duration, now: Timestamp) -> bool {
    let all = catalog.workflows().unwrap_or_default();
    let mut newest = all.iter().rev().take(WORKFLOWS_MAX);
    newest.any(|row| is_overdue(catalog, interval, &row.workflow_id, now).unwrap_or(false))
}

/// Whether an interval's checkpoint was tried just now.
pub fn is_tried(place: &Place, now: Timestamp) -> bool {
    let tried = fs::read_to_string(tried(place)).ok().and_then(|text| text.trim().parse::<i64>().ok());
    tried.is_some_and(|at| at > now.before(TRIES_APART).0 && at <= now.0)
}

fn tried(place: &Place) -> PathBuf {
    outbox::locks(place).join(TRIED)
}

/// Takes the checkpoints that are due by time, of all workflows; the caller has the turn.
pub fn take_overdue(session: &Session, open: &Open) -> Result<Vec<PolicyCheckpoint>, Failure> {
    let now = session.now();
    if is_tried(&open.place, now) {
        return Ok(vec![]);
    }
    let Some(interval) = interval(&open.config) else { return Ok(vec![]) };
    let mut answers = Vec::new();
    for row in open.catalog.workflows()? {
        // One whose state cannot be read keeps no other from having its checkpoint.
        if is_overdue(&open.catalog, interval, &row.workflow_id, now).unwrap_or(false) {
            // Only keeps tries apart: where it cannot be written, the next command tries again.
            let _ = fs::write(tried(&open.place), now.0.to_string());
            let phase = current_phase(open, &row.workflow_id)?;
            let request =
                Request { phase, ..Request::new(row.workflow_id, CheckpointType::Incremental, &session.actor) };
            answers.push(taken(&request, take(session, open, &request, None)));
        }
    }
    Ok(answers)
}

/// Takes a failure's checkpoint, unless another process does just now: that shows the failure, too. Looked at under a hold, since
/// all that failed at once would find that none is there.
fn answer_failure(
    session: &Session,
    open: &Open,
    request: Request,
    is_wanted: impl FnOnce() -> bool,
) -> Option<PolicyCheckpoint> {
    let key = format!("failure-checkpoint:{}", request.workflow);
    let hold = HoldRequest {
        key: &key,
        owner: &Owner { label: format!("a failure's checkpoint of {}", request.workflow), ..holding::myself() },
        reason: Some("failure checkpoint"),
        priority: Priority::USUAL,
        now: session.now(),
        expires_at: None,
    };
    let token = match open.catalog.acquire_hold(&hold, &holding::is_alive) {
        Err(CatalogError::Held(_)) => return None,
        token => token.ok(),
    };
    let answered = is_wanted().then(|| answer(session, open, request));
    // One that stays ends with this process.
    let _ = token.map(|token| open.catalog.release_hold(&key, token));
    answered
}

fn answer(session: &Session, open: &Open, request: Request) -> PolicyCheckpoint {
    taken(&request, take(session, open, &request, Some(WAIT_MAX)))
}

fn taken(request: &Request, ended: Result<Created, Failure>) -> PolicyCheckpoint {
    let trigger = request.trigger.unwrap_or_else(|| request.checkpoint_type.default_trigger());
    let mut answer = PolicyCheckpoint {
        workflow_id: request.workflow.clone(),
        trigger,
        checkpoint_id: None,
        name: None,
        complete: false,
        not_taken: None,
    };
    match ended {
        Ok(created) => {
            answer.complete = created.coverage.is_complete();
            answer.checkpoint_id = Some(created.manifest.checkpoint_id);
            answer.name = Some(created.manifest.name);
        }
        Err(failure) => answer.not_taken = Some(failure.to_string()),
    }
    answer
}

/// Takes a checkpoint, after what an earlier process left unfinished.
pub fn take(session: &Session, open: &Open, request: &Request, wait: Option<Duration>) -> Result<Created, Failure> {
    recovery::finish_unfinished(session, open)?;
    let deadline = wait.map(|length| Instant::now() + length);
    Ok(checkpoint::create(open, request, session, Effort { deadline, ..Effort::default() })?)
}

/// Takes the checkpoint before a critical operation; `None` where the configuration wants none. One that left out what
/// could have been read will not do.
pub fn before_critical(session: &Session, open: &Open, request: &Request) -> Result<Option<Created>, Failure> {
    if !open.config.recovery_configuration.checkpoint_policy.pre_critical_operation_checkpoints {
        return Ok(None);
    }
    let created = take(session, open, request, None)?;
    let is_ours = |skip: &&Skip| matches!(skip.reason, SkipReason::Quota | SkipReason::Deadline);
    let left_out = created.coverage.skips.iter().filter(is_ours).count();
    if left_out == 0 {
        return Ok(Some(created));
    }
    let most = open.config.capture.file_bytes_max;
    let is_large = |skip: &&Skip| most > 0 && skip.bytes.is_some_and(|bytes| bytes > most);
    let large = created.coverage.skips.iter().filter(is_ours).find(is_large);
    let failure = match large {
        Some(skip) => {
            let message =
                format!("`{}` is larger than `capture.file_bytes_max` allows ({left_out} paths in all)", skip.path);
            Failure::new(Code::QuotaExceeded, message)
                .with_hint("raise `capture.file_bytes_max`, or leave such files out by name with `capture.exclude`")
        }
        None => {
            let message = format!("the checkpoint had no room for {left_out} paths");
            Failure::new(Code::QuotaExceeded, message)
                .with_hint("raise `capture.quota_bytes`, or run `wfr cleanup-checkpoints` first")
        }
    };
    withdraw(session, open, &created)?;
    Err(failure)
}

/// Takes a checkpoint back that will not do: its name is free for the next try.
fn withdraw(session: &Session, open: &Open, created: &Created) -> Result<(), Failure> {
    let row = open.catalog.resolve(None, created.manifest.checkpoint_id.as_str())?;
    let audit = NewOperation {
        operation_id: mint::operation(),
        operation: "checkpoint that will not do".to_owned(),
        actor: session.actor.clone(),
        at: session.now(),
        workflow_id: Some(row.workflow_id.clone()),
        parameters: Value::Null,
        inverse: None,
        result: Value::Null,
    };
    crate::cleanup::withdraw(open, &row, &audit)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{World, event, move_clock};

    const DAYS_10: i64 = 10 * 86_400 * 1_000_000_000;

    fn fail(session: &Session, open: &Open) -> usize {
        let failed = event(r#"TASK_FAILED:wf:1:{"task_id":"t1","error_message":"broke"}"#);
        open.catalog.append_events(std::slice::from_ref(&failed), session.now()).unwrap();
        let mut wishes = Wishes::default();
        wishes.note([&failed]);
        wishes.grant(session, open).len()
    }

    #[test]
    fn a_clock_that_was_ahead_stops_no_failures_checkpoint() {
        let world = World::new();
        let session = world.session();
        let open = session.open().unwrap();
        move_clock(DAYS_10);
        assert_eq!([fail(&session, &open), fail(&session, &open)], [1, 0]);
        move_clock(-DAYS_10);
        assert_eq!([fail(&session, &open), fail(&session, &open)], [1, 0]);
    }

    #[test]
    fn a_clock_that_was_ahead_stops_no_intervals_checkpoint() {
        let world = World::new();
        let session = world.session();
        let open = session.open().unwrap();
        let workflow: WorkflowId = "wf".parse().unwrap();
        let started = event("WORKFLOW_STARTED:wf:1:{}");
        open.catalog.append_events(std::slice::from_ref(&started), session.now()).unwrap();
        let take = || {
            let request = Request::new(workflow.clone(), CheckpointType::Manual, "tester");
            super::take(&session, &open, &request, None).unwrap();
        };
        let interval = interval(&open.config).unwrap();
        let is_overdue = || is_overdue(&open.catalog, interval, &workflow, session.now()).unwrap();
        move_clock(DAYS_10);
        take();
        assert!(!is_overdue());
        move_clock(-DAYS_10);
        assert!(is_overdue());
        take();
        assert!(!is_overdue());
    }

    #[test]
    fn a_hold_of_a_clock_that_was_ahead_stands_no_longer_than_it_was_asked_for() {
        use crate::handlers::resources::hold;
        use crate::holding::may_take;
        use wfr_model::message::Priority;

        let world = World::new();
        let mut session = world.session();
        let open = session.open().unwrap();
        let workflow: WorkflowId = "wf".parse().unwrap();
        open.catalog.append_events(&[event("WORKFLOW_STARTED:wf:1:{}")], session.now()).unwrap();
        let asked = serde_json::json!({"workflow_id": "wf", "duration": "10m", "requester": "ci", "priority": 100});
        move_clock(DAYS_10);
        hold(&mut session, serde_json::from_value(asked).unwrap()).unwrap();
        move_clock(-DAYS_10);
        let may = |open: &Open, now| may_take(open, &workflow, ("me", Priority::RECOVERY), now).is_ok();
        let open = session.open().unwrap();
        assert!(!may(&open, session.now()), "it stands as long as it was asked for");
        move_clock(601 * 1_000_000_000);
        assert!(may(&open, session.now()));
    }
}
