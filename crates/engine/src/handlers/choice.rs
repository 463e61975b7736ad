//! Which changes and tasks a rollback's parameters name.
//!
//! Owns whose work they mean. Refuses to plan: that is [`crate::recovery::selective`].

use std::collections::BTreeSet;

use wfr_catalog::{ChangeFilter, ChangeRow, ChangeSeq, CheckpointRow, OfPhase, PointSeq, Seq};
use wfr_model::change::{Actor, Author, Change};
use wfr_model::finding::Finding;
use wfr_model::workflow::{Task, TaskStatus, Whole};
use wfr_model::{AgentId, ChangeId, TaskId, Timestamp, WorkflowId};

use super::{agreeing, nothing, rollback};
use crate::error::{Code, Failure};
use crate::open::Open;
use crate::params::{Preserved, Rollback, RollbackScope};
use crate::pathspec::PathSpecs;
use crate::recovery::dependents::Kept;
use crate::recovery::fencing::Meant;
use crate::recovery::selective::Selection;
use crate::recovery::telling::name_of;
use crate::recovery::{already, lost, sureness};
use crate::session::Session;
use crate::{ledger, phases, state, writers};

/// What the parameters choose, after a checkpoint where one is given.
pub(super) fn selection(
    session: &Session,
    open: &Open,
    workflow: &WorkflowId,
    parameters: &Rollback,
    checkpoint: Option<&CheckpointRow>,
) -> Result<Selection, Failure> {
    let chooser = Chooser::of(open, workflow, parameters, checkpoint)?;
    let Found { mut changes, candidates } = chooser.changes()?;
    let go_on = go_on(session, open, parameters, &changes)?;
    let seqs: Vec<ChangeSeq> = changes.iter().map(|row| row.seq).collect();
    let (mut tasks, mut own_tasks) = (BTreeSet::new(), BTreeSet::new());
    if chooser.resets() {
        tasks = chooser.tasks_of(&changes);
    }
    if chooser.resets() && !parameters.interactive {
        // Of a task with changes these tell whether it is taken back already.
        own_tasks = chooser.tasks().difference(&tasks).cloned().collect();
    }
    // Where nobody in particular is named, all that was done since the checkpoint is meant: that of the user alone, too.
    let takes_external = !parameters.preserves(Preserved::ExternalChanges);
    let takes_external = takes_external && (!changes.is_empty() || chooser.means_everybody());
    let did_something = go_on || open.catalog.have_segments(&seqs)? || takes_external && chooser.means_everybody();
    let is_to_be_set = |task: &TaskId| chooser.task(task).is_some_and(|task| task.status != TaskStatus::Pending);
    let did_nothing = !did_something || !parameters.has_files();
    let sets_state = candidates.is_empty() && (!own_tasks.is_empty() || tasks.iter().any(is_to_be_set));
    let is_pending = candidates.is_empty() && changes.is_empty() && chooser.pending().is_some();
    if did_nothing && !sets_state && !is_pending {
        return Err(match changes.first().filter(|_| candidates.is_empty()) {
            Some(row) => nothing::without_paths(row, changes.len(), sureness::of_what_stays(open, &changes)?.first()),
            None => nothing::fits(open, workflow, parameters, &candidates)?,
        });
    }
    let mut external_after = None;
    if takes_external {
        // Edits that no look has seen yet go, too; where somebody chooses, only what was offered does.
        let newest = ChangeFilter { limit: Some(1), ..ChangeFilter::default() };
        let newest = open.catalog.changes(&newest)?.pop().map_or(BEFORE_ALL, |row| row.seq);
        external_after = Some(newest).filter(|_| !parameters.interactive);
        changes.extend(chooser.external(&changes)?);
    }
    tasks.extend(own_tasks.iter().cloned());
    if !parameters.has_files() {
        // The state alone is meant.
        own_tasks.clone_from(&tasks);
        changes.clear();
        external_after = None;
    }
    Ok(Selection {
        changes,
        external_after,
        after: chooser.after,
        files: PathSpecs::of(&parameters.file.0),
        decisions: rollback::decisions(session, parameters)?,
        spared: BTreeSet::new(),
        dependents: parameters.dependents,
        tasks: tasks.into_iter().collect(),
        own_tasks,
        pending: chooser.pending().filter(|_| is_pending && !sets_state).map(|task| task.task_id.clone()),
        steps: parameters.steps.clone(),
        resets: chooser.resets(),
        findings: chooser.findings(&seqs)?,
        kept: chooser.kept,
    })
}

/// A number before that of every change.
const BEFORE_ALL: ChangeSeq = ChangeSeq(-1);

/// Whose writers the parameters mean: those of what they choose, open changes too.
pub(super) fn writers_meant(
    open: &Open,
    workflow: &WorkflowId,
    parameters: &Rollback,
    checkpoint: Option<&CheckpointRow>,
) -> Result<Meant, Failure> {
    let Found { changes, .. } = Chooser::of(open, workflow, parameters, checkpoint)?.changes()?;
    Ok(Meant::of_changes(&changes))
}

/// Whether some of the changes go on: what they did since the last look is not recorded. They are refused, unless they are to be
/// ended first and are not yet: then they are shown as they stand.
fn go_on(session: &Session, open: &Open, parameters: &Rollback, changes: &[ChangeRow]) -> Result<bool, Failure> {
    let fence = rollback::fence(session, parameters);
    if !fence.stops || fence.acts() {
        refuse_open(open, changes)?;
    }
    Ok(changes.iter().any(|row| row.change.ended_at.is_none()))
}

/// Refuses changes that go on.
fn refuse_open(open: &Open, changes: &[ChangeRow]) -> Result<(), Failure> {
    let Some(row) = changes.iter().find(|row| row.change.ended_at.is_none()) else { return Ok(()) };
    let message = format!("change {} of {} is still open", row.change.change_id, name_of(&row.change));
    let failure = Failure::new(Code::ChangeOpen, message)
        .with_hint(format!("`wfr change end {}` ends it, then try again", row.change.change_id));
    let its = writers::find(open)?.writers.into_iter().find(|one| one.changes.contains(&row.change.change_id));
    Err(match its {
        Some(writer) => {
            failure.with_option(format!("{} may still write for it: `--stop-writers` ends both first", writer.named()))
        }
        None => failure,
    })
}

/// The changes that fit, and shared ones of which some candidates do.
struct Found {
    changes: Vec<ChangeRow>,
    candidates: Vec<ChangeRow>,
}

/// Whom the parameters name, in a workflow.
struct Whose<'p> {
    workflow: &'p WorkflowId,
    /// Any of these, or anybody.
    agents: &'p [AgentId],
    /// Any of these, or any at all.
    tasks: &'p [TaskId],
    phase: Option<OfPhase>,
}

impl Whose<'_> {
    fn fits(&self, author: &Author) -> bool {
        author.workflow_id.as_ref() == Some(self.workflow)
            && is_any(self.agents, author.agent_id.as_ref())
            && is_any(self.tasks, author.task_id.as_ref())
            && self.phase.as_ref().is_none_or(|phase| phase.has(author))
    }

    /// Whether a task as it stands is meant: it is nobody else's, and in the phase.
    fn fits_task(&self, task: &Task, state: &Whole) -> bool {
        let works_on = |agent: &&AgentId| {
            state.agents.get(*agent).is_some_and(|agent| agent.current_task.as_ref() == Some(&task.task_id))
        };
        let is_of = |agent: &&AgentId| task.assigned_agent.as_ref() == Some(*agent) || works_on(agent);
        let in_phase = |phase: &OfPhase| phase.tasks.contains(&(self.workflow.to_string(), task.task_id.to_string()));
        (self.agents.is_empty() || self.agents.iter().any(|agent| is_of(&agent)))
            && is_any(self.tasks, Some(&task.task_id))
            && self.phase.as_ref().is_none_or(in_phase)
    }
}

/// Whether somebody is among those who are named, where any are.
fn is_any<T: PartialEq>(named: &[T], one: Option<&T>) -> bool {
    named.is_empty() || one.is_some_and(|one| named.contains(one))
}

/// The one that is named, where no other one is.
fn only<T: Clone>(named: &[T]) -> Option<T> {
    named.first().filter(|_| named.len() == 1).cloned()
}

struct Chooser<'c> {
    open: &'c Open,
    parameters: &'c Rollback,
    whose: Whose<'c>,
    state: Option<Whole>,
    /// Work that stays, since it is completed.
    kept: Kept,
    /// Only what was done after this point.
    after: Option<PointSeq>,
    /// Where the checkpoint is older than the ledger, and another tree stood at its beginning.
    older: Option<Finding>,
    /// The time of that.
    after_time: Option<Timestamp>,
}

impl<'c> Chooser<'c> {
    fn of(
        open: &'c Open,
        workflow: &'c WorkflowId,
        parameters: &'c Rollback,
        checkpoint: Option<&CheckpointRow>,
    ) -> Result<Self, Failure> {
        let phase = parameters.phase.as_ref().map(|phase| agreeing::phase(open, Some(workflow), phase)).transpose()?;
        let phase = phase.map(|phase| phases::of(open, Some(workflow), &phase)).transpose()?;
        let whose = Whose { workflow, agents: &parameters.agent.0, tasks: &parameters.task.0, phase };
        let [tasks, phases] =
            [Preserved::SuccessfulTasks, Preserved::CompletedPhases].map(|rule| parameters.preserves(rule));
        let needs_state = parameters.reset_tasks.0 || tasks || phases;
        let state = if needs_state { state::present(&open.catalog, workflow)? } else { None };
        let kept = state.as_ref().map_or_else(Kept::default, |state| Kept::of(state, tasks, phases));
        let takes_unrecorded = !parameters.preserves(Preserved::ExternalChanges);
        let from = checkpoint.map(|row| point_of(open, row, takes_unrecorded)).transpose()?;
        let (after, older) = from.map_or((None, None), |(point, older)| (Some(point), older));
        let after_time = checkpoint.map(|row| row.created_at);
        Ok(Self { open, parameters, whose, state, kept, after, older, after_time })
    }

    /// What is to be told of the choice. `chosen` is what fits.
    fn findings(&self, chosen: &[ChangeSeq]) -> Result<Vec<Finding>, Failure> {
        let idle = self.idle(chosen)?;
        Ok(self.older.iter().cloned().chain(idle.iter().map(|name| already::idle(name))).collect())
    }

    /// Those of several agents, or tasks, of whom nothing fits, for people. `chosen` is what does.
    fn idle(&self, chosen: &[ChangeSeq]) -> Result<Vec<String>, Failure> {
        let Whose { agents, tasks, .. } = self.whose;
        let mut idle = Vec::new();
        if agents.len() + tasks.len() < 2 {
            return Ok(idle);
        }
        let rows = chosen.iter().map(|seq| self.open.catalog.change_at(*seq)).collect::<Result<Vec<_>, _>>()?;
        let changes: Vec<Change> = rows.into_iter().flatten().map(|row| row.change).collect();
        let candidates = || changes.iter().flat_map(|change| &change.candidates).map(|one| &one.author);
        let authors = || changes.iter().map(|change| &change.author).chain(candidates());
        let is_working = |agent: &AgentId| authors().any(|author| author.agent_id.as_ref() == Some(agent));
        let is_worked_on = |task: &TaskId| authors().any(|author| author.task_id.as_ref() == Some(task));
        idle.extend(agents.iter().filter(|agent| !is_working(agent)).map(|agent| format!("agent `{agent}`")));
        let is_known = |task: &TaskId| is_worked_on(task) || self.task(task).is_some();
        idle.extend(tasks.iter().filter(|task| !is_known(task)).map(|task| format!("task `{task}`")));
        Ok(idle)
    }

    /// Whether tasks are to be done anew: where only some paths go, their work stays in part.
    fn resets(&self) -> bool {
        self.parameters.reset_tasks.0 && PathSpecs::of(&self.parameters.file.0).is_all()
    }

    /// The task that is named, the first of several, where all of them are to be done anyway: nothing of them is left to be set.
    fn pending(&self) -> Option<&Task> {
        let Rollback { agent, phase, task, .. } = self.parameters;
        let is_alone = agent.0.is_empty() && phase.is_none() && self.resets();
        let tasks: Option<Vec<&Task>> = task.0.iter().filter(|_| is_alone).map(|task| self.task(task)).collect();
        let tasks = tasks?;
        let are_pending = tasks.iter().all(|task| task.status == TaskStatus::Pending);
        tasks.into_iter().next().filter(|_| are_pending)
    }

    fn task(&self, id: &TaskId) -> Option<&Task> {
        self.state.as_ref()?.tasks.get(id)
    }

    /// Tasks that are meant for whose they are, as they stand now: begun, and not preserved.
    fn tasks(&self) -> BTreeSet<TaskId> {
        let Some(state) = self.state.as_ref().filter(|_| self.parameters.change.0.is_empty()) else {
            return BTreeSet::new();
        };
        let since = self.parameters.since.max(self.after_time);
        let is_late = |task: &Task| since.is_none_or(|since| task.started_at.max(task.completed_at) >= Some(since));
        let is_meant = |task: &&Task| {
            task.status != TaskStatus::Pending
                && is_late(task)
                && self.whose.fits_task(task, state)
                && self.kept.rule(None, Some(&task.task_id)).is_none()
        };
        state.tasks.values().filter(is_meant).map(|task| task.task_id.clone()).collect()
    }

    /// Tasks of the workflow that changes name.
    fn tasks_of(&self, changes: &[ChangeRow]) -> BTreeSet<TaskId> {
        let authors = changes.iter().map(|row| &row.change.author);
        let own = authors.filter(|author| author.workflow_id.as_ref() == Some(self.whose.workflow));
        own.filter_map(|author| author.task_id.clone()).collect()
    }

    fn changes(&self) -> Result<Found, Failure> {
        let Found { mut changes, candidates } = self.fitting()?;
        if let Some(after) = self.after {
            leave_earlier(self.open, after, &mut changes)?;
        }
        changes.retain(|row| {
            let author = &row.change.author;
            self.kept.rule(author.phase_id.as_ref(), author.task_id.as_ref()).is_none()
        });
        Ok(Found { changes, candidates })
    }

    /// Whether all that was done after a checkpoint is meant, whoever did it.
    fn means_everybody(&self) -> bool {
        let Rollback { agent, task, phase, change, .. } = self.parameters;
        let is_anybodys = agent.0.is_empty() && task.0.is_empty() && phase.is_none() && change.0.is_empty();
        self.after.is_some() && is_anybodys && self.parameters.has_files()
    }

    /// What the user and unknown programs did after the checkpoint, or without one from the first of the changes on: what
    /// they did before an agent began is recorded before its change.
    fn external(&self, changes: &[ChangeRow]) -> Result<Vec<ChangeRow>, Failure> {
        let actors = vec![Actor::User, Actor::Unknown];
        let since = self.after.and(self.parameters.since);
        let mut found = self.open.catalog.changes(&ChangeFilter { actors, since, ..ChangeFilter::default() })?;
        match self.after {
            Some(after) => leave_earlier(self.open, after, &mut found)?,
            None => {
                let first = changes.iter().map(|row| row.seq).min();
                found.retain(|row| Some(row.seq) > first);
            }
        }
        found.retain(|row| changes.iter().all(|other| other.seq != row.seq));
        Ok(found)
    }

    /// The changes that fit, whenever they were made and whatever is to stay.
    fn fitting(&self) -> Result<Found, Failure> {
        let (open, parameters) = (self.open, self.parameters);
        let is_named = !parameters.change.0.is_empty();
        let chooses = !parameters.agent.0.is_empty()
            || !parameters.task.0.is_empty()
            || parameters.phase.is_some()
            || parameters.since.is_some()
            || !parameters.file.0.is_empty()
            || parameters.checkpoint.is_some()
            || parameters.interactive
            || parameters.rollback_scope == RollbackScope::Full;
        if !is_named && !chooses {
            return Err(nothing::said(parameters.steps.is_some() || parameters.strategy_id.is_some()));
        }
        let named = named(open, &parameters.change.0)?;
        if !chooses {
            return Ok(Found { changes: named, candidates: vec![] });
        }
        let Whose { workflow, agents, tasks, phase } = &self.whose;
        let filter = ChangeFilter {
            workflow: Some((*workflow).clone()),
            phase: phase.clone(),
            task: only(tasks),
            agent: only(agents),
            actors: vec![Actor::Agent],
            since: parameters.since,
            ..ChangeFilter::default()
        };
        let mut changes = open.catalog.changes(&filter)?;
        changes.retain(|row| {
            let Author { agent_id, task_id, .. } = &row.change.author;
            is_any(agents, agent_id.as_ref()) && is_any(tasks, task_id.as_ref())
        });
        let shared = ChangeFilter { actors: vec![Actor::Shared], since: parameters.since, ..ChangeFilter::default() };
        let mut candidates = Vec::new();
        for row in open.catalog.changes(&shared)? {
            let fits = |one: &wfr_model::change::Candidate| self.whose.fits(&one.author);
            // Whichever of them it was, it was somebody who is meant: nothing is guessed.
            if !row.change.candidates.is_empty() && row.change.candidates.iter().all(fits) {
                changes.push(row);
            } else if row.change.candidates.iter().any(fits) {
                candidates.push(row);
            }
        }
        changes.sort_by_key(|row| std::cmp::Reverse(row.seq));
        if is_named {
            changes.retain(|row| named.iter().any(|other| other.seq == row.seq));
        }
        Ok(Found { changes, candidates })
    }
}

/// The changes of some ids, each with its parts.
fn named(open: &Open, ids: &[ChangeId]) -> Result<Vec<ChangeRow>, Failure> {
    let mut found: Vec<ChangeRow> = Vec::new();
    for id in ids {
        let row = ledger::change_named(open, id)?;
        let row = row.ok_or_else(|| Failure::new(Code::ChangeNotFound, format!("there is no change {id}")))?;
        if let Some(recovery) = row.change.recovery_id.as_ref().filter(|_| row.change.actor == Actor::Recovery) {
            let message = format!("change {} is what recovery {recovery} did, and nobody's work", row.change.change_id);
            return Err(
                Failure::new(Code::InvalidParameter, message).with_hint(lost::way_back(open, recovery, &row)?.fix)
            );
        }
        let mut waiting = vec![row];
        while let Some(row) = waiting.pop() {
            if found.iter().all(|other| other.seq != row.seq) {
                waiting.extend(open.catalog.parts_of_change(row.seq)?);
                found.push(row);
            }
        }
    }
    Ok(found)
}

/// Takes out what had done all of its work at a point.
fn leave_earlier(open: &Open, after: PointSeq, changes: &mut Vec<ChangeRow>) -> Result<(), Failure> {
    let chains = open.catalog.chains_since(after)?;
    let segments = chains.iter().flat_map(|chain| &chain.segments).filter(|segment| segment.point > after);
    let later: BTreeSet<ChangeSeq> = segments.map(|segment| segment.change).collect();
    changes.retain(|row| later.contains(&row.seq) || row.change.ended_at.is_none());
    Ok(())
}

/// The point of a checkpoint: from there on the ledger knows what was done. One that is older than the ledger is at its
/// beginning, with a word where another tree stood there; that does not do where what nobody recorded is to go, too.
fn point_of(open: &Open, row: &CheckpointRow, takes_unrecorded: bool) -> Result<(PointSeq, Option<Finding>), Failure> {
    if let Some(point) = open.catalog.point_of(&row.checkpoint_id)? {
        return Ok((point, None));
    }
    match open.catalog.ledger_begin()? {
        Some((point, _, tree)) if row.tree == Some(tree) => Ok((point, None)),
        Some((point, at, _)) if row.seq >= Seq(0) && row.created_at <= at && !takes_unrecorded => {
            Ok((point, Some(already::unrecorded(&row.name, at))))
        }
        _ => {
            let (workflow, name) = (&row.workflow_id, &row.name);
            let message = format!(
                "checkpoint `{name}` was taken before the first change was recorded: what was done since then is nobody's"
            );
            Err(Failure::new(Code::NothingSelected, message).with_hint(format!(
                "`wfr restore {workflow} {name}` puts all of it back, with `--restoration-mode partial --file PATH` single \
                 paths; `wfr diff {name}` shows what that is"
            )))
        }
    }
}
