//! What a recovery does to a workflow's state: which one it aims at, and the events that bring it about.
//!
//! Owns the events around a recovery. Refuses to change a state but by appending them, in the transaction that records how
//! the recovery ended: state and files agree, or neither has changed.

use std::borrow::Cow;

use serde_json::{Map, Value, json};
use wfr_catalog::{CatalogError, CheckpointRow, EventQuery, EventSeq, Hold};
use wfr_model::recovery::{ApplyReport, RecoveryRecord, RecoveryStatus};
use wfr_model::workflow::validate::is_counted;
use wfr_model::workflow::{Differences, Nowhere, State, StateKept, TaskStatus, Whole, fold};
use wfr_model::{Event, EventId, EventName, EventType, PhaseId, TaskId, Timestamp, WorkflowId};
use wfr_store::Objects;

use super::overlapping::Others;
use super::record::Ending;
use super::{Parts, joining, verdicts};
use crate::error::{Code, Failure};
use crate::open::Open;
use crate::results::{CompletedTask, HoldLine, StateChanges, StateNames};
use crate::{announce, state};

/// Who the events are from.
pub const COORDINATOR: &str = "workflow-recovery";

/// Phases and tasks that are named, at most.
const NAMED_MAX: usize = 100;

/// What would become of a state.
#[derive(Default)]
pub struct Outlook {
    /// How much of it changes; `None` where nothing does.
    pub changes: Option<StateChanges>,
    /// The phases and tasks among it, the first of each.
    pub names: StateNames,
    /// Where an undo leaves what was recorded since.
    pub kept: Vec<StateKept>,
    /// Whether the present state counts its tasks otherwise than they are, since what is kept of it was damaged.
    pub is_miscounted: bool,
}

/// The state that a recovery aims at.
pub struct Aim {
    /// The one that the target holds.
    target: Whole,
    /// Where a recovery is taken back: the state that it had made.
    restored: Option<Whole>,
    /// Whether what was completed since stays so.
    pub keeps_progress: bool,
    /// Whether it is joined with the present one.
    joins: bool,
    /// Tasks that are to be done anew, and nothing else.
    anew: Option<Vec<TaskId>>,
    /// The parts of the target that are meant; `None`: all of it.
    parts: Option<Parts>,
}

impl Aim {
    /// The aim of a recovery; `None` where it leaves the state alone, since its target holds none.
    pub fn of(
        open: &Open,
        objects: &dyn Objects,
        target: &CheckpointRow,
        record: &Purpose<'_>,
    ) -> Result<Option<Self>, Failure> {
        if let (None, Some(taken)) = (record.undoes, verdicts::taken(record.parameters)) {
            let present = state::present(&open.catalog, record.workflow)?.filter(|_| !taken.tasks.is_empty());
            let aim = |target| Self {
                target,
                restored: None,
                keeps_progress: false,
                joins: false,
                anew: Some(taken.tasks),
                parts: None,
            };
            return Ok(present.map(aim));
        }
        // A checkpoint of another workflow says nothing of this one.
        if target.workflow_id != *record.workflow {
            return Ok(None);
        }
        let parts = Parts::recorded(record.parameters);
        if parts.as_ref().is_some_and(|parts| !parts.has_state()) {
            return Ok(None);
        }
        let Some(mut before) = state::of_checkpoint(objects, target)? else { return Ok(None) };
        let restored = match record.undoes {
            None => None,
            Some(undone) if undone.kind.is_of_state() => Some(made(open, undone, &before)?),
            Some(undone) => {
                let others = Others::of(open, undone)?;
                if let Some(others) = &others {
                    before = others.without_undone(open, objects, before)?;
                }
                // What it undoes may have left the state alone.
                let Some(left) = left(open, objects, undone, &before)? else { return Ok(None) };
                if let Some(others) = &others {
                    before = others.keeping_reset(before, &left);
                }
                Some(left)
            }
        };
        let keeps_progress = record.parameters.get("preserve_progress") == Some(&Value::Bool(true));
        let joins = record.undoes.is_none() && joining::is_merge(record.parameters);
        Ok(Some(Self { target: before, restored, keeps_progress, joins, anew: None, parts }))
    }

    /// The goal, given the present state. A state of which nothing was said came to be at no time, and no state stays so: where it
    /// has come to be, that stays.
    fn goal<'g>(&'g self, present: &'g Whole) -> Cow<'g, Whole> {
        let mut goal = self.aimed_at(present);
        if goal.head.created_at.is_none() && present.head.created_at.is_some() {
            goal.to_mut().head.created_at = present.head.created_at;
        }
        goal
    }

    fn aimed_at<'g>(&'g self, present: &'g Whole) -> Cow<'g, Whole> {
        if let Some(tasks) = &self.anew {
            return Cow::Owned(present.with_tasks_anew(tasks));
        }
        match &self.restored {
            Some(restored) => Cow::Owned(self.target.taken_back(restored, present).state),
            None if self.joins => Cow::Owned(self.target.joined_with(present)),
            None => {
                // It may have many tasks: where there is no need for a second one, none is made.
                let target = match self.keeps_progress {
                    true => Cow::Owned(self.target.with_progress_of(present)),
                    false => Cow::Borrowed(&self.target),
                };
                match &self.parts {
                    Some(parts) => Cow::Owned(parts.goal(&target, present)),
                    None => target,
                }
            }
        }
    }

    /// What an update of the present state would have to say; `None` where it is as aimed at.
    fn difference(&self, present: Option<&Whole>) -> Option<Map<String, Value>> {
        let nothing = Whole::new(self.target.head.workflow_id.clone());
        let present = present.unwrap_or(&nothing);
        present.difference(&self.goal(present))
    }

    /// The same, with what somebody recorded since the recovery began: that stays.
    fn difference_since(&self, began: &Whole, present: &Whole) -> Option<Map<String, Value>> {
        present.difference(&self.goal(present).taken_back(began, present).state)
    }

    /// Whether it says of each part what becomes of it, whatever somebody recorded since the recovery began.
    fn is_blind(&self) -> bool {
        self.restored.is_none() && self.anew.is_none() && !self.joins
    }

    /// What would become of the present state.
    pub fn outlook(&self, open: &Open) -> Result<Outlook, Failure> {
        let present = state::present(&open.catalog, &self.target.head.workflow_id)?;
        let nothing = Whole::new(self.target.head.workflow_id.clone());
        let present = present.unwrap_or(nothing);
        let (goal, kept) = match &self.restored {
            Some(restored) if self.anew.is_none() => {
                let back = self.target.taken_back(restored, &present);
                (Cow::Owned(back.state), back.kept)
            }
            _ => (self.goal(&present), vec![]),
        };
        let (differences, phases, tasks) = present.differing(&goal, NAMED_MAX);
        let changes = (differences != Differences::default()).then(|| counts(differences));
        let completed = completed(&present, &goal, &tasks);
        Ok(Outlook {
            changes,
            names: StateNames { phases, tasks, completed },
            kept,
            is_miscounted: !is_counted(&present),
        })
    }
}

/// What decides on an aim.
pub struct Purpose<'p> {
    /// Whose recovery.
    pub workflow: &'p WorkflowId,
    /// The recovery that it undoes.
    pub undoes: Option<&'p RecoveryRecord>,
    /// Its parameters.
    pub parameters: &'p Value,
}

/// Those of some tasks that are completed, and are no more in a goal.
fn completed(present: &Whole, goal: &Whole, tasks: &[TaskId]) -> Vec<CompletedTask> {
    let is_completed =
        |state: &Whole, id: &TaskId| state.tasks.get(id).is_some_and(|task| task.status == TaskStatus::Completed);
    let by = |id: &TaskId| present.tasks.get(id).and_then(|task| task.assigned_agent.clone());
    let going = tasks.iter().filter(|id| is_completed(present, id) && !is_completed(goal, id));
    going.map(|id| CompletedTask { task_id: id.clone(), by: by(id) }).collect()
}

fn counts(differences: Differences) -> StateChanges {
    let Differences { head, phases, tasks, agents, allocations } = differences;
    let [phases, tasks, agents, allocations] = [phases, tasks, agents, allocations].map(|count| count as u64);
    StateChanges { workflow: head, phases, tasks, agents, allocations }
}

/// Counts what an update changes.
pub fn changes(data: &Map<String, Value>) -> StateChanges {
    let parts = |key: &str| data.get("replace").and_then(|replace| replace.get(key)).and_then(Value::as_object);
    let count = |key: &str| parts(key).map_or(0, |parts| parts.len() as u64);
    StateChanges {
        workflow: data.get("replace").is_some_and(|replace| replace.get("head").is_some()),
        phases: count("phases"),
        tasks: count("tasks"),
        agents: count("agents"),
        allocations: count("allocations"),
    }
}

/// The event that a recovery begins with, in the phase that the workflow is in; with the hold that was taken over for it. The
/// log is not sealed, so where the store is encrypted it does not say what was asked for, which names files: the record does.
pub fn initiated(open: &Open, record: &RecoveryRecord, phase: Option<PhaseId>, preempted: Option<&Hold>) -> Event {
    let saved = record.safety_checkpoint.as_ref();
    let parameters = if open.vault.identity().encrypted { &Value::Null } else { &record.parameters };
    let data = json!({
        "recovery_id": record.recovery_id,
        "recovery_type": record.kind,
        "parameters": parameters,
        "coordinator": COORDINATOR,
        "target_checkpoint": record.target,
        "safety_checkpoint": record.safety_checkpoint,
        "preempted": preempted.map(HoldLine::of),
        "state_seq": saved.and_then(|safety| open.catalog.snapshot_upto(safety).ok()).flatten().map(|upto| upto.0),
    });
    Event { phase, ..event(record, "initiated", EventType::RecoveryInitiated, record.started_at, data) }
}

/// The phase that a workflow is in; `None` where its state cannot be read, too: that keeps no files from being restored.
pub fn phase_of(open: &Open, workflow: &WorkflowId) -> Result<Option<PhaseId>, CatalogError> {
    Ok(state::readable(open.catalog.state(workflow))?.and_then(|state| state.head.current_phase))
}

/// The events that a recovery ends with. The state is set where files are as the recovery wanted them.
pub fn ended(
    open: &Open,
    record: &RecoveryRecord,
    ending: &Ending<'_>,
    now: Timestamp,
) -> Result<Vec<Event>, CatalogError> {
    let (aim, status, report) = (ending.aim, ending.status, ending.report.as_ref());
    let is_well = status == RecoveryStatus::Done && ending.why.is_none();
    let is_applied = matches!(status, RecoveryStatus::Done | RecoveryStatus::Partial);
    let mut events = Vec::new();
    let mut changed = None;
    let mut phase = phase_of(open, &record.workflow_id)?;
    if let Some(aim) = aim.filter(|_| is_applied) {
        let present = state::present(&open.catalog, &record.workflow_id)?;
        let began = if aim.is_blind() { began(open, record)? } else { None };
        let difference = match (&began, &present) {
            (Some(began), Some(present)) => aim.difference_since(began, present),
            _ => aim.difference(present.as_ref()),
        };
        if let Some(mut data) = difference {
            changed = Some(changes(&data));
            if let Some(head) = data.get("replace").and_then(|replace| replace.get("head")) {
                phase = head.get("current_phase").and_then(|id| serde_json::from_value(id.clone()).ok()).flatten();
            }
            data.insert("restored_from".to_owned(), json!(record.target));
            data.insert("reason".to_owned(), json!(record.kind));
            let kind = EventType::WorkflowStateUpdated;
            events.push(event(record, "state", kind, now, Value::Object(data)));
        }
    }
    let count = |steps: fn(&ApplyReport) -> usize| report.map(steps);
    let data = json!({
        "recovery_id": record.recovery_id,
        "recovery_type": record.kind,
        "success": is_well,
        // One whose check failed has done all its steps.
        "status": if status == RecoveryStatus::Done && !is_well { json!("check_failed") } else { json!(status) },
        "reason": ending.reason(open),
        "restored_checkpoint": record.target,
        "safety_checkpoint": record.safety_checkpoint,
        "files_restored": count(|report| report.changed.len()),
        "files_kept": count(|report| report.kept.len()),
        "files_failed": count(|report| report.failed.len()),
        "state_changes": changed,
        "coordinator": COORDINATOR,
    });
    let kind = if is_well { EventType::RecoveryCompleted } else { EventType::RecoveryFailed };
    events.push(Event { phase, ..event(record, "ended", kind, now, data) });
    Ok(events)
}

/// The state in which a recovery began, where anybody has recorded something of the workflow since. Where its safety
/// checkpoint cannot be read nothing tells what is new.
fn began(open: &Open, record: &RecoveryRecord) -> Result<Option<Whole>, CatalogError> {
    // A recovery and its checkpoint record fewer by far: among so many there is something of somebody's.
    const LOOKED_AT: u32 = 64;
    let Some(safety) = &record.safety_checkpoint else { return Ok(None) };
    let Some(row) = open.catalog.checkpoint(safety)? else { return Ok(None) };
    // By the order of events, never by their times. Where a later checkpoint took its place, what it holds tells.
    if let Some(upto) = open.catalog.snapshot_upto(safety)? {
        let query = EventQuery {
            workflow: Some(record.workflow_id.clone()),
            after: Some(upto),
            limit: Some(LOOKED_AT),
            ..EventQuery::default()
        };
        let rows = open.catalog.events(&query)?;
        if rows.iter().all(|row| row.event.source_component == COORDINATOR) {
            return Ok(None);
        }
    }
    Ok(open.store().ok().and_then(|store| state::of_checkpoint(&store, &row).ok()).flatten())
}

/// Whether a state could not be read because of what it holds, rather than because the system refused.
pub fn is_damage(failure: &Failure) -> bool {
    matches!(failure.code, Code::CheckpointIntegrity | Code::StateInvalid)
}

/// Whether a recovery set the workflow's state.
pub fn set_state(open: &Open, record: &RecoveryRecord) -> Result<bool, CatalogError> {
    open.catalog.has_event(&state_event(record))
}

/// The id of the event by which a recovery sets the workflow's state.
pub fn state_event(record: &RecoveryRecord) -> EventId {
    event_id(record, "state")
}

/// Parameters for the record of a repair or a merge: which event was the newest in the state before, and whether the state was
/// folded again from all of them.
pub fn made_over(seq: Option<i64>, folds_again: bool) -> Value {
    json!({"state_seq": seq, "folds_again": folds_again})
}

/// The state that a recovery left, which was `before` when it began; `None` where it left the state alone. An undo had kept
/// what was recorded by then, so what it left is made as it was then.
pub(super) fn left(
    open: &Open,
    objects: &dyn Objects,
    undone: &RecoveryRecord,
    before: &Whole,
) -> Result<Option<Whole>, Failure> {
    let Some(target) = open.catalog.checkpoint(&undone.target)? else { return Ok(None) };
    let Some(of) = &undone.undoes else {
        let purpose = Purpose { workflow: &undone.workflow_id, undoes: None, parameters: &undone.parameters };
        return Ok(Aim::of(open, objects, &target, &purpose)?.map(|aim| aim.goal(before).into_owned()));
    };
    // What an undo of an undo had aimed at hangs on all that they undid. The log knows what became of it, without them.
    if let Logged::Left(left) = logged(open, undone, before)? {
        return Ok(left.map(|left| *left));
    }
    // What it aimed at is the nearest to what it left that is known, where more is gone.
    let nearest = || state::of_checkpoint(objects, &target);
    let Some(of) = open.catalog.recovery(of)? else { return nearest() };
    let Some(under) = open.catalog.checkpoint(&of.target)? else { return nearest() };
    let purpose = Purpose { workflow: &undone.workflow_id, undoes: Some(&of), parameters: &undone.parameters };
    match Aim::of(open, objects, &target, &purpose) {
        Err(failure) if under.deleted_at.is_some() && is_damage(&failure) => nearest(),
        aim => Ok(aim?.map(|aim| aim.goal(before).into_owned())),
    }
}

/// What the log says of the state that a recovery left.
enum Logged {
    /// The state; `None` where it left that alone.
    Left(Option<Box<Whole>>),
    /// Not enough of it is there to tell.
    Silent,
}

/// What a recovery left of the state `before`, by its events: what it set, but for what others recorded while it ran.
fn logged(open: &Open, record: &RecoveryRecord, before: &Whole) -> Result<Logged, CatalogError> {
    if !open.catalog.has_event(&event_id(record, "ended"))? {
        return Ok(Logged::Silent);
    }
    let Some((upto, _)) = open.catalog.event_place(&state_event(record))? else { return Ok(Logged::Left(None)) };
    let Some(began) = seq_of_state(open, record)? else { return Ok(Logged::Silent) };
    let query = EventQuery {
        workflow: Some(record.workflow_id.clone()),
        after: Some(began),
        upto: Some(upto),
        ..EventQuery::default()
    };
    let (mut state, mut is_whole, mut met) = (before.to_state(), true, None);
    open.catalog.each_kept_event(&query, |row| {
        let Ok(row) = row else {
            is_whole = false;
            return Ok(());
        };
        if row.seq == upto {
            met = Some(Whole::from(state.clone()));
        }
        let Ok(_) = fold::apply(&mut state, &mut Nowhere, &row.event);
        Ok(())
    })?;
    let Some(met) = met.filter(|_| is_whole) else { return Ok(Logged::Silent) };
    let left = Whole::from(state);
    let is_alone = before.difference(&met).is_none();
    let left = if is_alone { left } else { before.taken_back(&met, &left).state };
    Ok(Logged::Left(Some(Box::new(left))))
}

/// Up to which event the state was folded that was saved before a recovery, as its first event has it.
fn seq_of_state(open: &Open, record: &RecoveryRecord) -> Result<Option<EventSeq>, CatalogError> {
    let Some((EventSeq(place), _)) = open.catalog.event_place(&event_id(record, "initiated"))? else { return Ok(None) };
    let query = EventQuery {
        after: Some(EventSeq(place.saturating_sub(1))),
        upto: Some(EventSeq(place)),
        ..EventQuery::default()
    };
    let mut seq = None;
    open.catalog.each_kept_event(&query, |row| {
        seq = row.ok().and_then(|row| row.event.data.get("state_seq").and_then(Value::as_i64));
        Ok(())
    })?;
    Ok(seq.map(EventSeq))
}

/// The state that a repair or a merge made of the one before.
fn made(open: &Open, record: &RecoveryRecord, before: &Whole) -> Result<Whole, CatalogError> {
    let seq = record.parameters.get("state_seq").and_then(Value::as_i64).map(EventSeq);
    let folds_again = record.parameters.get("folds_again") == Some(&Value::Bool(true));
    let id = state_event(record);
    let says_more = open.catalog.has_event(&id)?;
    let query = EventQuery {
        workflow: Some(record.workflow_id.clone()),
        after: seq.filter(|_| !folds_again),
        upto: seq.filter(|_| !says_more),
        ..EventQuery::default()
    };
    let mut state = if folds_again { State::new(record.workflow_id.clone()) } else { before.to_state() };
    let mut is_made = false;
    open.catalog.each_kept_event(&query, |row| {
        // One that cannot be read was not folded then either.
        if let (false, Ok(row)) = (is_made, row) {
            is_made = row.event.event_id == id;
            if folds_again || is_made {
                let Ok(_) = fold::apply(&mut state, &mut Nowhere, &row.event);
            }
        }
        Ok(())
    })?;
    Ok(Whole::from(state))
}

fn event_id(record: &RecoveryRecord, what: &str) -> EventId {
    let id = format!("evt_{}_{what}", record.recovery_id);
    id.parse().expect("a recovery's id and a word are a valid id")
}

/// An event of a recovery. Its id is the recovery's and what it says, so that it is recorded once.
fn event(record: &RecoveryRecord, what: &str, kind: EventType, now: Timestamp, data: Value) -> Event {
    Event {
        event_id: event_id(record, what),
        event_type: EventName::Known(kind),
        workflow_id: Some(record.workflow_id.clone()),
        phase: None,
        timestamp: now,
        source_component: COORDINATOR.to_owned(),
        data: match data {
            Value::Object(data) => data,
            _ => Map::new(),
        },
        priority: Some(json!(announce::urgency(record.kind, &record.parameters))),
        ttl_seconds: None,
    }
}

#[cfg(test)]
mod tests {
    use wfr_model::checkpoint::CheckpointType;
    use wfr_model::recovery::RecoveryKind;

    use super::*;
    use crate::checkpoint::{Request, create};
    use crate::mint;
    use crate::scanning::Effort;
    use crate::testing::{World, event, move_clock};

    #[test]
    fn what_is_recorded_since_a_recovery_began_is_seen_whatever_the_clock_says() {
        let world = World::new();
        let session = world.session();
        let open = session.open().unwrap();
        let tell = |line: &str| open.catalog.append_events(&[event(line)], session.now()).unwrap();
        tell("WORKFLOW_STARTED:wf:1:{}");
        let workflow: WorkflowId = "wf".parse().unwrap();
        let request = Request::new(workflow.clone(), CheckpointType::Emergency, "tester");
        let safety = create(&open, &request, &session, Effort::default()).unwrap().manifest.checkpoint_id;
        let record = RecoveryRecord {
            recovery_id: mint::recovery(),
            kind: RecoveryKind::Restore,
            workflow_id: workflow,
            target: safety.clone(),
            safety_checkpoint: Some(safety),
            status: RecoveryStatus::Started,
            actor: "tester".to_owned(),
            parameters: Value::Null,
            undoes: None,
            undone_by: None,
            started_at: session.now(),
            ended_at: None,
            report: None,
        };
        open.catalog.append_events(&[initiated(&open, &record, None, None)], session.now()).unwrap();
        assert!(began(&open, &record).unwrap().is_none(), "nothing but its own is recorded");
        move_clock(-10 * 86_400 * 1_000_000_000);
        tell(r#"WORKFLOW_STATE_UPDATED:wf:1:{"owner":"ann"}"#);
        assert!(began(&open, &record).unwrap().is_some());
    }
}
