//! The fold: what each event does to a state. Pure, so that the same events give the same state, however they were
//! batched.
//!
//! Owns the meaning of every type of event. What cannot be is noted as an [`Anomaly`], never a failure. Refuses to
//! know where events and states are kept.

mod agents;
mod shares;
mod tasks;
mod words;

use serde_json::{Number, Value};

use super::status::{AllocationStatus, PhaseStatus, Turn, WorkflowStatus};
use super::{Allocation, Phase, RecoveryMark, Source, State, patch};
use crate::event::{Event, EventName, EventType};
use crate::ids::{AllocationId, ParseIdError};
use crate::phase::PhaseId;

/// What is odd about an event, given the state that it met.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
pub struct Anomaly {
    /// A stable code in capitals.
    pub code: String,
    /// What is odd, in one sentence.
    pub message: String,
}

/// The type is none of the list: the event is kept and does nothing.
pub const UNKNOWN_TYPE: &str = "EVENT_TYPE_UNKNOWN";
/// A field is missing that the type requires.
pub const FIELD_MISSING: &str = "EVENT_FIELD_MISSING";
/// A field has a value that it cannot have.
pub const FIELD_INVALID: &str = "EVENT_FIELD_INVALID";
/// Something came to be what it cannot have come to be.
pub const TRANSITION_ODD: &str = "TRANSITION_ODD";
/// A phase is said to end that had ended so before.
pub const PHASE_ENDED_BEFORE: &str = "PHASE_ENDED_BEFORE";
/// Something that ended is said to be otherwise: the state stays.
pub const TRANSITION_REFUSED: &str = "TRANSITION_REFUSED";

/// Folds an event into a state, and says what is odd about it.
pub fn apply<S: Source>(state: &mut State, source: &mut S, event: &Event) -> Result<Vec<Anomaly>, S::Error> {
    let mut fold = Fold { state, source, event, odd: Vec::new(), takes_told: true };
    fold.apply()?;
    Ok(fold.odd)
}

/// What is odd about an event that names no workflow: that its type is none of the list, and of those that only a workflow can
/// have, that no state has them.
pub fn of_no_workflow(event: &Event) -> Vec<Anomaly> {
    let listed = event.event_type.as_str();
    if event.event_type.known().is_none() {
        return if listed == EventName::CHECKPOINT_SYNC { vec![] } else { vec![of_no_type(event)] };
    }
    let is_of_one = ["WORKFLOW_", "PHASE_", "TASK_"].iter().any(|kind| listed.starts_with(kind));
    if !is_of_one {
        return vec![];
    }
    vec![anomaly(FIELD_MISSING, format!("{listed} names no workflow: it is kept, and changes the state of none"))]
}

fn of_no_type(event: &Event) -> Anomaly {
    anomaly(UNKNOWN_TYPE, format!("{} is no type of the protocol", event.event_type))
}

/// One event on its way into a state.
pub(super) struct Fold<'f, S> {
    pub(super) state: &'f mut State,
    pub(super) source: &'f mut S,
    pub(super) event: &'f Event,
    pub(super) odd: Vec<Anomaly>,
    /// Whether a task that becomes known is one of those that somebody said there are.
    pub(super) takes_told: bool,
}

impl<S: Source> Fold<'_, S> {
    fn apply(&mut self) -> Result<(), S::Error> {
        let head = &mut self.state.head;
        head.state_version = head.state_version.saturating_add(1);
        head.updated_at = Some(self.event.timestamp);
        head.created_at.get_or_insert(self.event.timestamp);
        for field in self.event.missing() {
            self.odd.push(anomaly(FIELD_MISSING, format!("{} has no `{field}`", self.event.event_type)));
        }
        let Some(listed) = self.event.event_type.known() else {
            if self.event.event_type.as_str() == EventName::CHECKPOINT_SYNC {
                self.note_unknown_words(words::OF_CHECKPOINTS);
            } else {
                self.odd.push(of_no_type(self.event));
            }
            return Ok(());
        };
        self.note_work_after_the_end(listed);
        self.by_type(listed)
    }

    /// Work of a workflow that has ended is odd; it is recorded all the same, since it may have been reported late.
    fn note_work_after_the_end(&mut self, listed: EventType) {
        use EventType::*;
        let is_work = matches!(
            listed,
            PhaseStarted
                | PhaseCompleted
                | PhaseFailed
                | PhaseSkipped
                | PhaseProgress
                | TaskAssigned
                | TaskStarted
                | TaskCompleted
                | TaskFailed
                | TaskTimeout
                | TaskReassigned
                | AgentAllocated
                | ResourceAllocated
        );
        let status = self.state.head.status;
        if is_work && matches!(status, WorkflowStatus::Completed | WorkflowStatus::Cancelled) {
            self.note(
                TRANSITION_ODD,
                format!("the workflow is {}: {} came after its end", status.as_str(), listed.as_str()),
            );
        }
    }

    fn by_type(&mut self, listed: EventType) -> Result<(), S::Error> {
        use EventType::*;
        match listed {
            WorkflowCreated => {
                patch::apply(self, &self.event.data)?;
                self.workflow(WorkflowStatus::Created)?;
            }
            WorkflowStarted => {
                let said = self.event.data.get_key_value("total_phases");
                let said = said.map(|(key, value)| (key.clone(), value.clone())).into_iter().collect();
                patch::apply(self, &said)?;
                self.workflow(WorkflowStatus::Running)?;
            }
            WorkflowResumed => self.workflow(WorkflowStatus::Running)?,
            WorkflowPaused => self.workflow(WorkflowStatus::Paused)?,
            WorkflowCompleted => self.workflow(WorkflowStatus::Completed)?,
            WorkflowFailed => self.workflow(WorkflowStatus::Failed)?,
            WorkflowCancelled => self.workflow(WorkflowStatus::Cancelled)?,
            PhaseStarted => self.phase(Some(PhaseStatus::InProgress)),
            PhaseCompleted => self.phase(Some(PhaseStatus::Completed)),
            PhaseFailed => self.phase(Some(PhaseStatus::Failed)),
            PhaseSkipped => self.phase(Some(PhaseStatus::Skipped)),
            PhaseProgress => self.phase(None),
            TaskAssigned | TaskStarted | TaskCompleted | TaskFailed | TaskTimeout | TaskReassigned => {
                self.task(listed)?;
            }
            AgentAllocated | AgentDeallocated | AgentPerformanceAlert | AgentError | AgentTimeout => {
                self.agent(listed)?;
            }
            ResourceAllocated => self.allocation(AllocationStatus::Active)?,
            ResourceDeallocated => self.allocation(AllocationStatus::Released)?,
            ErrorEncountered | SystemError => {
                self.note_unknown_words(words::OF_ERRORS);
                self.state.head.errors += 1;
            }
            RecoveryInitiated => self.recovery("initiated"),
            RecoveryCompleted => self.recovery("completed"),
            RecoveryFailed => self.recovery("failed"),
            WorkflowStateUpdated => patch::apply(self, &self.event.data)?,
            ResourceConflict | ResourceThreshold | ResourceOptimized | SystemStartup | SystemShutdown
            | SystemThreshold | SystemMaintenance => {}
        }
        Ok(())
    }

    /// Words of a message that are none of those that the protocol has for them.
    fn note_unknown_words(&mut self, known: &[words::Known]) {
        for (group, key, words) in known {
            let within = self.event.data.get(*group).and_then(|group| group.get(*key));
            let said = within.or_else(|| self.event.data.get(*key)).filter(|value| !value.is_null());
            let is_known =
                |value: &Value| value.as_str().is_some_and(|text| words.contains(&text.to_ascii_lowercase().as_str()));
            if let Some(value) = said.filter(|value| !is_known(value)) {
                let shown: String = value.to_string().chars().take(80).collect();
                self.note(FIELD_INVALID, format!("`{key}` is {shown}: it is one of {}", words.join(", ")));
            }
        }
    }

    pub(super) fn note(&mut self, code: &str, message: String) {
        self.odd.push(anomaly(code, message));
    }

    /// Whether a turn is taken; what is odd about it is noted.
    fn takes(&mut self, turn: Turn, what: &dyn std::fmt::Display, from: &str, to: &str) -> bool {
        match turn {
            Turn::Usual => true,
            Turn::Odd => {
                self.note(TRANSITION_ODD, format!("{what} went from {from} to {to}"));
                true
            }
            Turn::Refused => {
                self.note(TRANSITION_REFUSED, format!("{what} is {from} and stays so: {} came", self.event.event_type));
                false
            }
        }
    }

    fn workflow(&mut self, to: WorkflowStatus) -> Result<(), S::Error> {
        let from = self.state.head.status;
        let is_first = to == WorkflowStatus::Created && self.state.head.state_version == 1;
        if is_first || !self.takes(from.turn(to), &"the workflow", from.as_str(), to.as_str()) {
            return Ok(());
        }
        self.end_shares()?;
        let at = Some(self.event.timestamp);
        let reason = self.event.text("failure_reason");
        let head = &mut self.state.head;
        head.status = to;
        match to {
            WorkflowStatus::Running => {
                head.started_at = head.started_at.or(at);
                (head.ended_at, head.failure_reason) = (None, None);
            }
            WorkflowStatus::Completed | WorkflowStatus::Cancelled => head.ended_at = at,
            WorkflowStatus::Failed => (head.ended_at, head.failure_reason) = (at, reason),
            WorkflowStatus::Created | WorkflowStatus::Paused => {}
        }
        Ok(())
    }

    /// The phase that the event speaks of, as the state knows it.
    fn phase_of_event(&mut self) -> Option<PhaseId> {
        let named = self.event.phase.as_ref().map(|phase| self.state.phase_named(phase));
        let value = ["phase_id", "phase", "phase_number"].iter().find_map(|key| self.event.data.get(*key));
        let said = match value.map_or(Ok(None), PhaseId::of) {
            Ok(phase) => phase.map(|phase| self.state.phase_named(&phase)),
            Err(error) => {
                self.note(FIELD_INVALID, error.to_string());
                None
            }
        };
        if let (Some(named), Some(said)) = (&named, &said)
            && named != said
        {
            self.note(
                FIELD_INVALID,
                format!("the event is of phase {named}, its data name phase {said}: {named} holds"),
            );
        }
        named.or(said)
    }

    /// The phase that a phase's event names by nothing but its name.
    fn phase_of_name(&self) -> Option<PhaseId> {
        let name = self.event.text("phase_name")?;
        PhaseId::named(&name).ok().flatten().map(|phase| self.state.phase_named(&phase))
    }

    fn phase(&mut self, to: Option<PhaseStatus>) {
        let Some(id) = self.phase_of_event().or_else(|| self.phase_of_name()) else {
            self.note(FIELD_MISSING, format!("{} names no phase", self.event.event_type));
            return;
        };
        let progress = match self.percentage(&["progress", "progress_percentage"]) {
            Err(()) if to.is_none() => return,
            progress => progress.unwrap_or_default(),
        };
        let from = self.phase_mut(&id).status;
        if to == Some(PhaseStatus::Completed) && from == PhaseStatus::Completed {
            self.note(PHASE_ENDED_BEFORE, format!("phase {id} had been completed before"));
        }
        let to = to.unwrap_or(if from == PhaseStatus::Pending { PhaseStatus::InProgress } else { from });
        if !self.takes(from.turn(to), &format_args!("phase {id}"), from.as_str(), to.as_str()) {
            return;
        }
        let event = self.event;
        let phase = self.phase_mut(&id);
        phase.status = to;
        if let Some(name) = event.text("phase_name").or_else(|| event.text("name")) {
            phase.name = Some(name);
        }
        if progress.is_some() {
            phase.progress = progress;
        }
        match to {
            PhaseStatus::InProgress => {
                phase.started_at = phase.started_at.or(Some(event.timestamp));
                (phase.completed_at, phase.failure_reason) = (None, None);
                self.state.head.current_phase = Some(id);
            }
            PhaseStatus::Completed | PhaseStatus::Skipped => phase.completed_at = Some(event.timestamp),
            PhaseStatus::Failed => {
                phase.completed_at = Some(event.timestamp);
                phase.failure_reason = event.text("failure_reason");
            }
            PhaseStatus::Pending => {}
        }
        self.state.head.progress_percentage = None;
    }

    /// How far something is, by the first of these keys that is there; an error, which is noted, where that is none.
    fn percentage(&mut self, keys: &[&str]) -> Result<Option<Number>, ()> {
        let data = &self.event.data;
        let said = keys.iter().find_map(|key| Some((*key, data.get(*key).filter(|value| !value.is_null())?)));
        let Some((key, value)) = said else { return Ok(None) };
        percent(key, value).map(Some).map_err(|why| self.note(FIELD_INVALID, why))
    }

    /// The phase of an id, which is made where it is not there.
    pub(super) fn phase_mut(&mut self, id: &PhaseId) -> &mut Phase {
        self.state.phases.get_or_make(id, || Phase::new(id.clone()))
    }

    /// An id in the data, by the first of these keys that is there.
    fn id<T: std::str::FromStr<Err = ParseIdError>>(&mut self, keys: &[&str]) -> Option<T> {
        let is_said = |value: &&Value| value.is_string() || value.is_number();
        let said = keys.iter().find_map(|key| self.event.data.get(*key).filter(is_said))?;
        let id = match said {
            Value::String(text) => text.parse(),
            other => other.to_string().parse(),
        };
        match id {
            Ok(id) => Some(id),
            Err(error) => {
                self.note(FIELD_INVALID, error.to_string());
                None
            }
        }
    }

    fn allocation(&mut self, to: AllocationStatus) -> Result<(), S::Error> {
        let inner = self.event.data.get("resource_allocation").and_then(Value::as_object);
        let data = inner.unwrap_or(&self.event.data);
        let id = data.get("allocation_id").and_then(Value::as_str).map(str::parse::<AllocationId>);
        let id = match id {
            Some(Ok(id)) => id,
            Some(Err(error)) => {
                self.note(FIELD_INVALID, error.to_string());
                return Ok(());
            }
            None => {
                self.note(FIELD_MISSING, format!("{} has no `allocation_id`", self.event.event_type));
                return Ok(());
            }
        };
        let mut allocation = self.load_allocation(&id)?.unwrap_or_else(|| Allocation::new(id.clone()));
        patch::allocation(self, &mut allocation, data);
        // Given, and not yet in use.
        let is_reserved = to == AllocationStatus::Active && data.get("status") == Some(&Value::from("reserved"));
        allocation.status = if is_reserved { AllocationStatus::Reserved } else { to };
        self.state.allocations.put(id, allocation);
        Ok(())
    }

    pub(super) fn load_allocation(&mut self, id: &AllocationId) -> Result<Option<Allocation>, S::Error> {
        if !self.state.allocations.is_loaded(id) {
            self.state.allocations.load(id.clone(), self.source.allocation(id)?);
        }
        Ok(self.state.allocations.get(id).cloned())
    }

    fn recovery(&mut self, status: &str) {
        let recovery_id = self.id(&["recovery_id"]);
        let at = self.event.timestamp;
        self.state.head.recovery = Some(RecoveryMark { recovery_id, status: status.to_owned(), at });
    }
}

fn anomaly(code: &str, message: String) -> Anomaly {
    Anomaly { code: code.to_owned(), message }
}

/// How far something is, in percent.
pub(super) fn percent(key: &str, value: &Value) -> Result<Number, String> {
    let is_percentage = |number: &&Number| number.as_f64().is_some_and(|percent| (0.0..=100.0).contains(&percent));
    let number = value.as_number().filter(is_percentage);
    number.cloned().ok_or_else(|| format!("`{key}`: a number from 0 to 100 is expected, not {value}"))
}
