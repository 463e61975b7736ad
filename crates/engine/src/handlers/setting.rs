//! A workflow's state that is set as a whole: by a repair, and by a merge.
//!
//! Owns what both have in common: the checkpoint of the state before, and the event with the record by which `undo` takes it
//! back, in one transaction, and only where the state still is the one that the plan was made for. Refuses to decide what a
//! state becomes.

use serde_json::{Map, Value, json};
use wfr_catalog::{Decision, NewOperation, RecoveredEvent};
use wfr_model::checkpoint::CheckpointType;
use wfr_model::recovery::{ApplyReport, RecoveryKind, RecoveryRecord, RecoveryStatus};
use wfr_model::{CheckpointId, Event, EventId, EventName, EventType, RecoveryId, Timestamp, WorkflowId};
use wfr_store::unique;

use crate::checkpoint::{self as taking, Request};
use crate::error::{Code, Failure};
use crate::exchange::event_id;
use crate::open::Open;
use crate::scanning::Effort;
use crate::session::Session;
use crate::{cleanup, mint, recovery};

/// How often a plan is made anew, while others keep changing the state.
pub(super) const TRIES_MAX: usize = 5;

/// A state that is to be set.
pub(super) struct Setting<'s> {
    pub session: &'s Session,
    pub open: &'s Open,
    pub workflow: &'s WorkflowId,
    /// Whether it is mended or merged.
    pub kind: RecoveryKind,
    /// What the catalog said of the state's newest event before it was read.
    pub over: Option<i64>,
}

/// What sets it.
#[derive(Default)]
pub(super) struct Change {
    /// What one event says; `None` where none is needed.
    pub data: Option<Map<String, Value>>,
    /// Whether it is folded again, with these events, from its log.
    pub folds_again: Option<Vec<RecoveredEvent>>,
}

/// What was set.
pub(super) struct Set {
    /// The event that said so.
    pub event_id: Option<EventId>,
    /// As what `undo` takes it back; `None` where nothing holds the state before.
    pub recovery_id: Option<RecoveryId>,
}

impl Setting<'_> {
    /// Takes a checkpoint of the state as it is.
    pub fn save(&self) -> Result<CheckpointId, Failure> {
        let base = if self.kind == RecoveryKind::RepairState { "before_repair" } else { "before_merge" };
        let request = Request {
            with_files: false,
            distrusts_notes: self.kind == RecoveryKind::RepairState,
            base_name: Some(base.to_owned()),
            ..Request::new(self.workflow.clone(), CheckpointType::Manual, &self.session.actor)
        };
        let effort = Effort { deadline: None, paranoid: false, accept_exclusions: false };
        Ok(taking::create(self.open, &request, self.session, effort)?.manifest.checkpoint_id)
    }

    /// Sets it; `None` where somebody recorded something of the workflow meanwhile: then nothing changed, and the backup, which
    /// saves nothing, is gone.
    pub fn set(&self, backup: Option<&CheckpointId>, change: Change) -> Result<Option<Set>, Failure> {
        let now = self.session.now();
        let record = backup.map(|backup| self.record(backup, change.folds_again.is_some(), now));
        let id = match &record {
            Some(record) => recovery::state_event(record),
            None => event_id(&[self.kind.as_str(), &unique::uuid().to_string()])?,
        };
        let event = change.data.map(|data| self.event(id, data, now));
        let event_id = event.as_ref().map(|event| event.event_id.clone());
        let recovery_id = record.as_ref().map(|record| record.recovery_id.clone());
        let audit = self.audit(now, json!({"event_id": event_id, "backup": backup, "recovery_id": recovery_id}));
        let audit = NewOperation {
            inverse: recovery_id.as_ref().map(|id| json!({"operation": "undo", "recovery_id": id})),
            ..audit
        };
        let decision = Decision { workflow: self.workflow, over: self.over, recovery: record.as_ref(), audit: &audit };
        let catalog = &self.open.catalog;
        let is_set = match (&change.folds_again, &event) {
            (Some(back), event) => catalog.mend_state(&decision, back, event.as_ref(), now)?.is_some(),
            (None, Some(event)) => catalog.append_decided(&decision, event, now)?.is_some(),
            (None, None) => true,
        };
        if !is_set {
            backup.map_or(Ok(()), |backup| self.forget(backup))?;
            return Ok(None);
        }
        Ok(Some(Set { event_id, recovery_id }))
    }

    /// The recovery that it is: to be taken back to the state before.
    fn record(&self, backup: &CheckpointId, folds_again: bool, now: Timestamp) -> RecoveryRecord {
        RecoveryRecord {
            recovery_id: self.session.ids.recovery(),
            kind: self.kind,
            workflow_id: self.workflow.clone(),
            target: backup.clone(),
            safety_checkpoint: Some(backup.clone()),
            status: RecoveryStatus::Done,
            actor: self.session.actor.clone(),
            parameters: recovery::made_over(self.over, folds_again),
            undoes: None,
            undone_by: None,
            started_at: now,
            ended_at: Some(now),
            report: Some(ApplyReport::default()),
        }
    }

    fn audit(&self, now: Timestamp, result: Value) -> NewOperation {
        NewOperation {
            operation_id: mint::operation(),
            operation: self.kind.as_str().replace('_', "-"),
            actor: self.session.actor.clone(),
            at: now,
            workflow_id: Some(self.workflow.clone()),
            parameters: json!({"state_seq": self.over}),
            inverse: None,
            result,
        }
    }

    /// The event that sets what a plan says.
    fn event(&self, event_id: EventId, mut data: Map<String, Value>, now: Timestamp) -> Event {
        let reason = if self.kind == RecoveryKind::RepairState { "repair" } else { "merge" };
        data.insert("reason".to_owned(), reason.into());
        Event {
            event_id,
            event_type: EventName::Known(EventType::WorkflowStateUpdated),
            workflow_id: Some(self.workflow.clone()),
            phase: None,
            timestamp: now,
            source_component: recovery::COORDINATOR.to_owned(),
            data,
            priority: None,
            ttl_seconds: None,
        }
    }

    fn forget(&self, backup: &CheckpointId) -> Result<(), Failure> {
        let Some(row) = self.open.catalog.checkpoint(backup)? else { return Ok(()) };
        let audit = self.audit(self.session.now(), json!({"stale": backup}));
        cleanup::withdraw(self.open, &row, &audit)?;
        Ok(())
    }
}

/// The refusal where the state did not hold still.
pub(super) fn moved(workflow: &WorkflowId) -> Failure {
    let message =
        format!("the state of `{workflow}` changed {TRIES_MAX} times while it was planned: nothing was changed");
    Failure::new(Code::StaleState, message).with_hint("try again when less is recorded of it")
}

#[cfg(test)]
mod tests {
    use wfr_model::workflow::merge::ConflictResolution;
    use wfr_model::workflow::validate::mend::Strategy;

    use super::*;
    use crate::handlers::{merges, recoveries, repairs};
    use crate::keyring::{Keyring, Secrets};
    use crate::params::{MergeStates, RepairState, Undo};
    use crate::state;
    use crate::testing::{World, at_look, event, is_still_to_come};

    const DONE: [&str; 3] = [
        r#"TASK_COMPLETED:wf:1:{"task_id":"t1","agent_id":"a1"}"#,
        r#"WORKFLOW_STATE_UPDATED:wf:1:{"owner":"ann"}"#,
        r#"WORKFLOW_STATE_UPDATED:wf:1:{"tasks":{"t1":{"note":"late"}}}"#,
    ];

    /// A workflow at work whose state says what its tasks do not, and a checkpoint of before.
    fn at_work() -> World {
        let world = World::new();
        let session = world.session();
        let open = session.open().unwrap();
        tell(&open, &[r#"TASK_ASSIGNED:wf:1:{"task_id":"t1","agent_id":"a1"}"#]);
        let workflow: WorkflowId = "wf".parse().unwrap();
        let before =
            Request { name: Some("before".to_owned()), ..Request::new(workflow, CheckpointType::Manual, "me") };
        taking::create(&open, &before, &session, Effort::default()).unwrap();
        tell(
            &open,
            &[
                r#"TASK_STARTED:wf:1:{"task_id":"t1","agent_id":"a1"}"#,
                r#"WORKFLOW_STATE_UPDATED:wf:1:{"replace":{"tasks":{"t1":{"task_id":"t1","phase_id":"1","status":"active",
               "agent_id":"a1","progress":300}}}}"#,
            ],
        );
        world
    }

    fn tell(open: &Open, lines: &[&str]) {
        let events: Vec<Event> = lines.iter().map(|line| event(&line.replace('\n', ""))).collect();
        open.catalog.append_events(&events, Timestamp(1)).unwrap();
    }

    fn repair(session: &mut Session) -> Result<bool, Failure> {
        let asked = RepairState { repair_strategy: Strategy::Aggressive, yes: true, ..RepairState::default() };
        repairs::repair(session, asked).map(|success| success.result.recovery_id.is_some())
    }

    fn merge(session: &mut Session) -> Result<bool, Failure> {
        let asked = MergeStates {
            workflow_id: Some("wf".parse().unwrap()),
            primary_state: Some("before".to_owned()),
            secondary_states: serde_json::from_value(json!(["current"])).unwrap(),
            conflict_resolution: ConflictResolution::CheckpointPriority,
            yes: true,
            ..MergeStates::default()
        };
        merges::merge(session, asked).map(|success| success.result.recovery_id.is_some())
    }

    fn says(open: &Open) -> (String, Option<Value>, Value) {
        let whole = state::present(&open.catalog, &"wf".parse().unwrap()).unwrap().unwrap();
        let task = &whole.tasks[&"t1".parse().unwrap()];
        let progress = serde_json::to_value(task).unwrap()["progress"].clone();
        (task.status.as_str().to_owned(), whole.head.extra.get("owner").cloned(), progress)
    }

    /// Something is recorded of the workflow at every look at the clock in turn; it must stand afterwards.
    fn races(set: fn(&mut Session) -> Result<bool, Failure>, is_done: &str) {
        for look in 0.. {
            let world = at_work();
            let directories = world.directories();
            at_look(look, move || {
                let open = Open::find(&directories, &Keyring::new(Secrets::default(), None).into()).unwrap();
                tell(&open, &DONE);
            });
            let mut session = world.session();
            let is_set = set(&mut session).unwrap_or_else(|failure| panic!("look {look}: {failure}"));
            let is_over = is_still_to_come();
            let open = session.open().unwrap();
            let (status, owner, _) = says(&open);
            let tasks = state::present(&open.catalog, &"wf".parse().unwrap()).unwrap().unwrap().tasks;
            let note = tasks[&"t1".parse().unwrap()].extra.get("note").cloned();
            if is_over {
                assert!(is_set && look > 2, "{look}");
                return;
            }
            let newest = wfr_catalog::EventQuery { descending: true, limit: Some(1), ..Default::default() };
            let newest = open.catalog.events(&newest).unwrap();
            // What is recorded when it is set, and before its checkpoints are looked for, is no part of the plan.
            let came_after = newest.iter().any(|row| row.event.source_component != recovery::COORDINATOR);
            let status_due = if came_after { "completed" } else { is_done };
            assert_eq!((status.as_str(), owner), (status_due, Some(json!("ann"))), "look {look}");
            assert_eq!(note, Some(json!("late")), "look {look}");
            let names = open.catalog.list(&wfr_catalog::ListQuery::default()).unwrap();
            assert!(names.len() <= 2, "a backup that saves nothing is left: look {look}");
        }
    }

    #[test]
    fn what_is_recorded_while_a_repair_is_planned_stands() {
        races(repair, "completed");
    }

    #[test]
    fn what_is_recorded_while_a_merge_is_planned_stands() {
        // The checkpoint has the say on the task.
        races(merge, "pending");
    }

    #[test]
    fn an_undo_takes_back_what_was_set_and_nothing_that_was_recorded_since() {
        for set in [repair, merge] {
            let world = at_work();
            let mut session = world.session();
            let open = session.open().unwrap();
            let before = says(&open);
            assert!(set(&mut session).unwrap());
            assert_ne!(says(&open), before);
            tell(&open, &DONE[1..2]);
            let undo = || Undo { yes: true, ..Undo::default() };
            recoveries::undo(&mut session, undo()).unwrap();
            assert_eq!(says(&open), (before.0, Some(json!("ann")), before.2));
        }
    }
}
