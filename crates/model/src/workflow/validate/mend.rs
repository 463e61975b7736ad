//! What mends a finding: a change of the state as a value, and the state after it.
//!
//! Owns which changes there are and which of them are safe: those that only let go of what contradicts something that
//! is known better. Refuses to guess: what only a person can say has no repair.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::super::{Agent, AgentStatus, Extra, Head, Phase, PhaseStatus, Task, TaskStatus, Whole, WorkflowStatus};
use super::graph::DATA_DEPENDENCIES;
use super::{Context, StateFinding, validate};
use crate::ids::{AgentId, CheckpointId, TaskId};
use crate::phase::PhaseId;

/// So many times a state is looked at again after it was mended: one repair may bring another finding to light.
const ROUNDS_MAX: usize = 8;

/// A change that mends something.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case", tag = "action")]
pub enum Mend {
    /// The state is folded again from its events: what is derived is made anew.
    FoldAgain,
    /// Events that the log lost come back from checkpoints, and the state is folded again.
    BringBack,
    /// The state as it is kept is said again in one event, so that it follows from the log whatever the log lost.
    SealLog,
    /// The workflow is entered again among those that are known.
    Register,
    /// A phase that something names is entered, as one that has not begun.
    AddPhase {
        /// Which.
        phase_id: PhaseId,
    },
    /// An agent works on its task no longer.
    FreeAgent {
        /// Which.
        agent_id: AgentId,
    },
    /// A task is its worker's.
    AssignTask {
        /// Which.
        task_id: TaskId,
        /// Whose.
        agent_id: AgentId,
    },
    /// An agent without work is idle.
    IdleAgent {
        /// Which.
        agent_id: AgentId,
    },
    /// A progress that cannot be is forgotten: it follows from the tasks where it can.
    ForgetProgress {
        /// Of what: `tasks/t1`, `phases/2`, `agents/a1`; empty for the workflow.
        place: String,
    },
    /// A beginning that lies after its end is forgotten.
    ForgetStart {
        /// Of what: `tasks/t1`, `phases/2`; empty for the workflow.
        place: String,
    },
    /// A phase is going on.
    BeginPhase {
        /// Which.
        phase_id: PhaseId,
    },
    /// The workflow is running.
    RunWorkflow,
    /// Something waits for something else no longer.
    DropDependency {
        /// What waits: `tasks/t1` or `phases/2`.
        place: String,
        /// What for.
        on: String,
    },
    /// A task was begun at least as often as it was tried again.
    RaiseAttempts {
        /// Which.
        task_id: TaskId,
    },
    /// The workflow has as many phases as are known.
    CountPhases,
    /// What of a checkpoint is damaged is stored again from files that still have it: `validate-checkpoint` with
    /// `repair_if_possible` does that.
    StoreAgain {
        /// Which.
        checkpoint_id: CheckpointId,
    },
}

/// A change that mends a finding, and whether it can be made without asking.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Repair {
    /// The change.
    #[serde(flatten)]
    pub mend: Mend,
    /// Whether nothing that may be true is lost by it.
    pub safe: bool,
}

impl Repair {
    /// One that loses nothing that may be true.
    pub fn safe(mend: Mend) -> Option<Self> {
        Some(Self { mend, safe: true })
    }

    /// One that may lose something.
    pub fn bold(mend: Mend) -> Option<Self> {
        Some(Self { mend, safe: false })
    }
}

/// Which repairs are made.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum Strategy {
    /// Safe ones only.
    #[default]
    Conservative,
    /// All that there are.
    Aggressive,
}

impl Strategy {
    /// Whether a repair is made.
    pub fn takes(self, repair: &Repair) -> bool {
        repair.safe || self == Self::Aggressive
    }
}

/// The state with everything mended that the strategy allows, and the findings that were mended.
pub fn repaired(whole: &Whole, context: Context, strategy: Strategy) -> (Whole, Vec<StateFinding>) {
    let mut state = whole.clone();
    let mut mended: Vec<StateFinding> = Vec::new();
    for _ in 0..ROUNDS_MAX {
        let found = validate(&state, context);
        let before = mended.len();
        for finding in found {
            let Some(repair) = finding.repair.as_ref().filter(|repair| strategy.takes(repair)) else { continue };
            if apply(&mut state, &repair.mend) {
                mended.push(finding);
            }
        }
        if mended.len() == before {
            break;
        }
    }
    (state, mended)
}

/// Makes a change; `false` where there is nothing to change, or where only who keeps the state can make it.
pub fn apply(whole: &mut Whole, mend: &Mend) -> bool {
    match mend {
        Mend::FoldAgain | Mend::BringBack | Mend::SealLog | Mend::Register | Mend::StoreAgain { .. } => false,
        Mend::AddPhase { phase_id } => add_phase(whole, phase_id),
        Mend::FreeAgent { agent_id } => whole.agents.get_mut(agent_id).is_some_and(free),
        Mend::AssignTask { task_id, agent_id } => {
            whole.tasks.get_mut(task_id).is_some_and(|task| set(&mut task.assigned_agent, Some(agent_id.clone())))
        }
        Mend::IdleAgent { agent_id } => whole.agents.get_mut(agent_id).is_some_and(|agent| idle(&mut agent.status)),
        Mend::ForgetProgress { place } => match part(whole, place) {
            Part::Head(head) => set(&mut head.progress_percentage, None),
            Part::Phase(phase) => set(&mut phase.progress, None),
            Part::Task(task) => set(&mut task.progress, None),
            Part::Agent(agent) => set(&mut agent.progress, None),
            Part::None => false,
        },
        Mend::ForgetStart { place } => match part(whole, place) {
            Part::Head(head) => set(&mut head.started_at, None),
            Part::Phase(phase) => set(&mut phase.started_at, None),
            Part::Task(task) => set(&mut task.started_at, None),
            Part::Agent(_) | Part::None => false,
        },
        Mend::BeginPhase { phase_id } => whole.phases.get_mut(phase_id).is_some_and(|phase| {
            let had_ended = set(&mut phase.completed_at, None);
            set(&mut phase.status, PhaseStatus::InProgress) || had_ended
        }),
        Mend::RunWorkflow => {
            let had_ended = set(&mut whole.head.ended_at, None);
            set(&mut whole.head.status, WorkflowStatus::Running) || had_ended
        }
        Mend::DropDependency { place, on } => match part(whole, place) {
            Part::Task(task) => drop_from(&mut task.dependencies, &mut task.extra, on),
            Part::Phase(phase) => drop_from(&mut phase.dependencies, &mut phase.extra, on),
            Part::Head(_) | Part::Agent(_) | Part::None => false,
        },
        Mend::RaiseAttempts { task_id } => whole.tasks.get_mut(task_id).is_some_and(|task| {
            let least = task.attempts.max(task.retry_count.unwrap_or(0));
            set(&mut task.attempts, least)
        }),
        Mend::CountPhases => {
            let known = Some(whole.phases.len() as u64);
            set(&mut whole.head.total_phases, known)
        }
    }
}

/// Sets a field; `false` where it had the value.
fn set<T: PartialEq>(field: &mut T, value: T) -> bool {
    let is_other = *field != value;
    *field = value;
    is_other
}

fn add_phase(whole: &mut Whole, id: &PhaseId) -> bool {
    if whole.phases.contains_key(id) {
        return false;
    }
    let mut phase = Phase::new(id.clone());
    for task in whole.tasks.values().filter(|task| task.phase_id.as_ref() == Some(id)) {
        *phase.counts.of(task.status) += 1;
    }
    whole.phases.insert(id.clone(), phase);
    true
}

fn idle(status: &mut AgentStatus) -> bool {
    *status == AgentStatus::InProgress && set(status, AgentStatus::Idle)
}

/// A part of a state.
enum Part<'w> {
    Head(&'w mut Head),
    Phase(&'w mut Phase),
    Task(&'w mut Task),
    Agent(&'w mut Agent),
    None,
}

/// The part of a place, which is empty for the head.
fn part<'w>(whole: &'w mut Whole, place: &str) -> Part<'w> {
    let found = match place.split_once('/') {
        Some(("tasks", id)) => id.parse().ok().and_then(|id| whole.tasks.get_mut(&id)).map(Part::Task),
        Some(("phases", id)) => id.parse().ok().and_then(|id| whole.phases.get_mut(&id)).map(Part::Phase),
        Some(("agents", id)) => id.parse().ok().and_then(|id| whole.agents.get_mut(&id)).map(Part::Agent),
        _ => Some(Part::Head(&mut whole.head)),
    };
    found.unwrap_or(Part::None)
}

fn drop_from(dependencies: &mut Vec<String>, extra: &mut Extra, on: &str) -> bool {
    let before = dependencies.len();
    dependencies.retain(|other| other != on);
    let Some(Value::Array(of_data)) = extra.get_mut(DATA_DEPENDENCIES) else { return dependencies.len() != before };
    let all = of_data.len();
    of_data.retain(|one| one.as_str() != Some(on) && one.as_i64().is_none_or(|one| one.to_string() != on));
    dependencies.len() != before || of_data.len() != all
}

/// Takes an agent from its task; whether it had one, or seemed to.
pub(in crate::workflow) fn free(agent: &mut Agent) -> bool {
    let had_task = agent.current_task.take().is_some();
    agent.progress = None;
    idle(&mut agent.status) || had_task
}

/// Whether nobody works any more on a task that stands so.
pub(in crate::workflow) fn is_ended(status: TaskStatus) -> bool {
    matches!(status, TaskStatus::Completed | TaskStatus::Failed)
}
