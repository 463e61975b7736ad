//! What asks for a checkpoint: events, and what a state became.
//!
//! Owns which do, by workflow, and that one whose checkpoint is missing asks again when it is sent again. Refuses to take any.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use wfr_catalog::{CatalogError, PartKind};
use wfr_model::checkpoint::{CheckpointType, Trigger};
use wfr_model::workflow::{Agent, AgentStatus, PhaseStatus, WorkflowStatus};
use wfr_model::{AgentId, Event, EventType, PhaseId, Timestamp, WorkflowId};

use super::{
    WORKFLOWS_MAX, answer, answer_failure, current_phase, had_failures, had_phases, interval, is_failure_shown,
    is_overdue, phase_request,
};
use crate::checkpoint::Request;
use crate::open::Open;
use crate::results::PolicyCheckpoint;
use crate::session::Session;

/// What is asked for, by workflow.
#[derive(Debug, Default)]
pub struct Wishes(BTreeMap<WorkflowId, Wish>);

#[derive(Debug, Default)]
struct Wish {
    /// The last phase that ended.
    ended: Option<PhaseId>,
    /// Whether something failed.
    failed: bool,
    /// The last phase whose end is sent again, with when it was recorded.
    ended_before: Option<(PhaseId, Timestamp)>,
    /// When the last failure that is sent again was recorded.
    failed_before: Option<Timestamp>,
}

/// What of a state asks for a checkpoint when it changes.
#[derive(Debug, Default)]
struct Standing {
    status: Option<WorkflowStatus>,
    phases: BTreeMap<PhaseId, PhaseStatus>,
    failed_tasks: u64,
    failed_agents: BTreeSet<AgentId>,
}

impl Standing {
    fn of(open: &Open, workflow: &WorkflowId) -> Result<Option<Self>, CatalogError> {
        let Some(state) = open.catalog.state(workflow)? else { return Ok(None) };
        let agents = open.catalog.parts::<Agent>(workflow, PartKind::Agent)?.into_iter();
        Ok(Some(Self {
            status: Some(state.head.status),
            failed_tasks: state.head.counts.failed,
            phases: state.phases.sorted().into_iter().map(|(id, phase)| (id.clone(), phase.status)).collect(),
            failed_agents: agents
                .filter(|agent| agent.status == AgentStatus::Failed)
                .map(|agent| agent.agent_id)
                .collect(),
        }))
    }

    /// Notes what became of it.
    fn note(&self, after: &Self, wish: &mut Wish) {
        for (id, status) in &after.phases {
            let became = |one: PhaseStatus| *status == one && self.phases.get(id) != Some(&one);
            if became(PhaseStatus::Completed) {
                wish.ended = Some(id.clone());
            }
            wish.failed |= became(PhaseStatus::Failed);
        }
        let failed = Some(WorkflowStatus::Failed);
        wish.failed |= after.status == failed && self.status != failed;
        wish.failed |= after.failed_tasks > self.failed_tasks;
        wish.failed |= !after.failed_agents.is_subset(&self.failed_agents);
    }
}

/// How workflows stand before something sets their states.
#[derive(Debug, Default)]
pub struct Standings(BTreeMap<WorkflowId, Option<Standing>>);

impl Standings {
    /// Of these workflows, of each once; of so many only the first ones that it is history. A state that cannot be read asks for
    /// nothing.
    pub fn of<'w>(open: &Open, workflows: impl Iterator<Item = &'w WorkflowId>) -> Self {
        let mut standings = Self::default();
        for workflow in workflows {
            if standings.0.contains_key(workflow) {
                continue;
            }
            if standings.0.len() >= WORKFLOWS_MAX {
                break;
            }
            if let Ok(standing) = Standing::of(open, workflow) {
                standings.0.insert(workflow.clone(), standing);
            }
        }
        standings
    }

    /// Without those of which nothing was known: what comes to be all at once is history.
    pub fn known(mut self) -> Self {
        self.0.retain(|_, standing| standing.is_some());
        self
    }
}

impl Wishes {
    /// Notes what these events ask for, which are new.
    pub fn note<'e>(&mut self, events: impl IntoIterator<Item = &'e Event>) {
        for event in events {
            let Some(workflow) = &event.workflow_id else { continue };
            if !self.0.contains_key(workflow) {
                self.0.insert(workflow.clone(), Wish::default());
            }
            if let Some(wish) = self.0.get_mut(workflow) {
                wish.ended = ended(event).or(wish.ended.take());
                wish.failed |= is_failure(event);
            }
        }
    }

    /// Notes what these events ask for, which were recorded before: whoever sends one again may have been cut off before its
    /// checkpoint was taken.
    pub fn note_again<'e>(&mut self, open: &Open, events: impl IntoIterator<Item = &'e Event>) {
        for event in events.into_iter().filter(|event| asks(event)) {
            let recorded = open.catalog.event_place(&event.event_id).ok().flatten();
            let (Some(workflow), Some((_, at))) = (&event.workflow_id, recorded) else { continue };
            let wish = self.0.entry(workflow.clone()).or_default();
            match ended(event) {
                Some(phase) => wish.ended_before = Some((phase, at)),
                None => wish.failed_before = Some(at),
            }
        }
    }

    /// Notes what became of states since.
    pub fn note_turns(&mut self, open: &Open, before: &Standings) {
        for (workflow, before) in &before.0 {
            if let Ok(Some(after)) = Standing::of(open, workflow) {
                let wish = self.0.entry(workflow.clone()).or_default();
                before.as_ref().unwrap_or(&Standing::default()).note(&after, wish);
            }
        }
    }

    /// Takes the checkpoints that the configuration grants, and forgets the wishes. What is due by time is left to
    /// upkeep beside the next command.
    pub fn grant(&mut self, session: &Session, open: &Open) -> Vec<PolicyCheckpoint> {
        let wishes = std::mem::take(&mut self.0);
        let policy = &open.config.recovery_configuration.checkpoint_policy;
        let mut answers = Vec::new();
        let mut left = WORKFLOWS_MAX;
        for (workflow, wish) in wishes {
            if policy.phase_completion_checkpoints
                && left > 0
                && let Some(phase) = wish.phase(open, &workflow)
            {
                left -= 1;
                answers.push(answer(session, open, phase_request(session, open, &workflow, &phase)));
            }
            if policy.failure_checkpoints && left > 0 && wish.is_of_failure(open, &workflow, session.now()) {
                left -= 1;
                let mut request = Request::new(workflow.clone(), CheckpointType::Emergency, &session.actor);
                request.trigger = Some(Trigger::FailurePrevention);
                // It tells where the workflow was; without that it is a checkpoint all the same.
                request.phase = current_phase(open, &workflow).unwrap_or_default();
                let is_wanted = || wish.is_of_failure(open, &workflow, session.now());
                answers.extend(answer_failure(session, open, request, is_wanted));
            }
            let is_due = |length| is_overdue(&open.catalog, length, &workflow, session.now()).unwrap_or(false);
            if interval(&open.config).is_some_and(is_due) {
                session.noted.overdue();
            }
        }
        answers
    }
}

impl Wish {
    /// The phase whose end is to be kept.
    fn phase(&self, open: &Open, workflow: &WorkflowId) -> Option<PhaseId> {
        let missing = || self.ended_before.as_ref().filter(|(phase, at)| !had_phases(open, workflow, phase, *at));
        self.ended.clone().or_else(|| missing().map(|(phase, _)| phase.clone()))
    }

    /// Whether a failure is to be kept.
    fn is_of_failure(&self, open: &Open, workflow: &WorkflowId, now: Timestamp) -> bool {
        let is_missing = self.failed_before.is_some_and(|at| !had_failures(open, workflow, at));
        (self.failed || is_missing) && !is_failure_shown(open, workflow, now)
    }
}

/// Whether an event by itself asks for a checkpoint.
pub fn asks(event: &Event) -> bool {
    ended(event).is_some() || is_failure(event)
}

/// The phase that an event ends, in the forms in which it may be named.
fn ended(event: &Event) -> Option<PhaseId> {
    if event.event_type.known() != Some(EventType::PhaseCompleted) {
        return None;
    }
    let said = ["phase_id", "phase", "phase_number", "phase_name"].iter().find_map(|key| event.data.get(*key));
    event.phase.clone().or_else(|| PhaseId::of(said?).ok().flatten())
}

/// Whether an event tells of a failure, of which the tree is to be kept as it is.
fn is_failure(event: &Event) -> bool {
    use EventType as T;
    match event.event_type.known() {
        Some(T::TaskFailed | T::TaskTimeout | T::AgentError | T::AgentTimeout | T::PhaseFailed | T::WorkflowFailed) => {
            true
        }
        Some(T::ErrorEncountered) => {
            let classified = |key: &str| event.data.get("classification").and_then(|group| group.get(key));
            let severity = classified("severity").and_then(Value::as_str);
            matches!(severity, Some("critical" | "high")) || classified("recoverable") == Some(&Value::Bool(false))
        }
        _ => false,
    }
}
