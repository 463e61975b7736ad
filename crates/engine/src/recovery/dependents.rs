//! Whose later work stands on what a rollback takes back, and what of it goes, too.
//!
//! Owns who depends on what, how far that is followed, what is kept from it, and how it is told. Refuses to replay anything.

use std::collections::{BTreeMap, BTreeSet};

use wfr_catalog::{ChangeFilter, ChangeSeq, NewPoint, SegmentRow};
use wfr_model::change::{Actor, Change};
use wfr_model::workflow::{PhaseStatus, TaskStatus, Whole};
use wfr_model::{PhaseId, TaskId, TreePath, WorkflowId};

use super::history::{History, histories_of};
use super::naming::meant;
use super::selective::{Selection, goes, is_spared};
use super::telling::{Teller, name_of};
use crate::error::{Code, Failure};
use crate::ledger::Veil;
use crate::open::Open;
use crate::params::Dependents;
use crate::results::{Dependent, Standing};

/// Dependents that a refusal names, at most.
const NAMED_MAX: usize = 3;

/// Work that the preservation rules keep, whatever it stands on.
#[derive(Clone, Debug, Default)]
pub struct Kept {
    tasks: BTreeSet<TaskId>,
    phases: BTreeSet<PhaseId>,
    in_phases: BTreeSet<TaskId>,
}

impl Kept {
    /// Completed tasks and phases of a state, as far as each of the two rules says so.
    pub fn of(state: &Whole, successful_tasks: bool, completed_phases: bool) -> Self {
        let is_done = |id: &PhaseId| state.phases.get(id).is_some_and(|phase| phase.status == PhaseStatus::Completed);
        let (tasks, phases) = (state.tasks.values(), state.phases.keys().filter(|_| completed_phases));
        let completed = tasks.clone().filter(|task| successful_tasks && task.status == TaskStatus::Completed);
        let in_phases = tasks.filter(|task| completed_phases && task.phase_id.as_ref().is_some_and(is_done));
        Self {
            tasks: completed.map(|task| task.task_id.clone()).collect(),
            in_phases: in_phases.map(|task| task.task_id.clone()).collect(),
            phases: phases.filter(|id| is_done(id)).cloned().collect(),
        }
    }

    /// The rule that keeps the work of a task in a phase. Work that names no phase is in that of its task.
    pub fn rule(&self, phase: Option<&PhaseId>, task: Option<&TaskId>) -> Option<&'static str> {
        let is_phase_kept = match phase {
            Some(phase) => self.phases.contains(phase),
            None => task.is_some_and(|task| self.in_phases.contains(task)),
        };
        match task.is_some_and(|task| self.tasks.contains(task)) {
            true => Some("preserve_successful_tasks"),
            false => is_phase_kept.then_some("preserve_completed_phases"),
        }
    }
}

/// What a selection is looked at in.
#[derive(Clone, Copy)]
pub struct Scope<'s> {
    /// The workspace.
    pub open: &'s Open,
    /// How paths are kept.
    pub veil: &'s Veil<'s>,
    /// Whose work is taken back.
    pub workflow: &'s WorkflowId,
    /// The selection.
    pub selection: &'s Selection,
    /// The workflow's state, where tasks are to be done anew.
    pub state: Option<&'s Whole>,
    /// What a look found that the ledger does not have yet.
    pub unrecorded: Option<&'s NewPoint>,
}

impl Scope<'_> {
    /// Why a change of a single agent does not go with what it stands on: it is another workflow's, or a rule keeps it.
    fn why_it_stays(&self, change: &Change) -> Option<String> {
        let author = &change.author;
        match &author.workflow_id {
            None => Some("it is of no workflow".to_owned()),
            Some(other) if other != self.workflow => Some(format!("it is of workflow {other}")),
            Some(_) => {
                let rule = self.selection.kept.rule(author.phase_id.as_ref(), author.task_id.as_ref());
                rule.map(|rule| format!("`{rule}` keeps it"))
            }
        }
    }

    /// Whether a change may go with what it stands on. What the user, unknown programs or several at once did goes only where
    /// it is named, and what a recovery did is nobody's work.
    fn may_go(&self, change: &Change) -> bool {
        change.actor == Actor::Agent && self.why_it_stays(change).is_none()
    }

    /// Those of some changes that may go.
    fn going<'h>(&self, changes: ByChange<'h>) -> Result<ByChange<'h>, Failure> {
        let mut going = ByChange::new();
        for (seq, paths) in changes {
            if self.open.catalog.change_at(seq)?.is_some_and(|row| self.may_go(&row.change)) {
                going.insert(seq, paths);
            }
        }
        Ok(going)
    }

    /// The changes of a task that have ended, and that may go.
    fn changes_of(&self, task: &TaskId) -> Result<Vec<ChangeSeq>, Failure> {
        let (workflow, task) = (Some(self.workflow.clone()), Some(task.clone()));
        let rows = self.open.catalog.changes(&ChangeFilter { workflow, task, ..ChangeFilter::default() })?;
        let goes = rows.into_iter().filter(|row| row.change.ended_at.is_some() && self.may_go(&row.change));
        Ok(goes.map(|row| row.seq).collect())
    }

    /// Tasks that are to be done anew, those of work that goes with the selection among them.
    fn tasks(&self, selected: &BTreeSet<ChangeSeq>) -> Result<BTreeSet<TaskId>, Failure> {
        let selection = self.selection;
        let mut tasks: BTreeSet<TaskId> = selection.tasks.iter().cloned().collect();
        let named: BTreeSet<ChangeSeq> = selection.changes.iter().map(|row| row.seq).collect();
        for seq in selected.difference(&named).filter(|_| selection.resets) {
            let author = self.open.catalog.change_at(*seq)?.map(|row| row.change.author).unwrap_or_default();
            tasks.extend(author.task_id.filter(|_| author.workflow_id.as_ref() == Some(self.workflow)));
        }
        Ok(tasks)
    }

    /// Tasks that have begun and stand on some of these.
    fn needing(&self, tasks: &BTreeSet<TaskId>) -> Vec<TaskId> {
        self.state.map_or_else(Vec::new, |state| state.tasks_needing(tasks))
    }
}

/// Later work that goes with the selection, and on what it stands.
pub enum Went {
    /// A change that wrote or read there, with the paths.
    Change(Standing, ChangeSeq, Vec<TreePath>),
    /// A task that needs one that is to be done anew.
    Task(TaskId),
}

/// How far a selection goes.
pub struct Reach {
    /// The changes, those that go with it among them.
    pub selected: BTreeSet<ChangeSeq>,
    /// Tasks that are to be done anew.
    pub tasks: BTreeSet<TaskId>,
    /// What happened at all paths that the changes touched.
    pub histories: Vec<History>,
    /// What goes with it.
    pub went: Vec<Went>,
}

impl Reach {
    /// That of chosen changes.
    pub fn of(scope: &Scope<'_>, mut selected: BTreeSet<ChangeSeq>) -> Result<Self, Failure> {
        let Scope { open, veil, selection, unrecorded, .. } = *scope;
        let mut tasks = scope.tasks(&selected)?;
        let mut histories = histories_of(open, veil, &selected, unrecorded)?;
        let mut went = Vec::new();
        if selection.dependents != Dependents::Cascade {
            return Ok(Self { selected, tasks, histories, went });
        }
        loop {
            let (writers, readers) = dependents(&histories, &selected, selection);
            let (writers, readers) = (scope.going(writers)?, scope.going(readers)?);
            let mut needing = scope.needing(&tasks);
            needing.retain(|task| selection.kept.rule(None, Some(task)).is_none());
            if writers.is_empty() && readers.is_empty() && needing.is_empty() {
                return Ok(Self { selected, tasks, histories, went });
            }
            for (standing, changes) in [(Standing::Wrote, writers), (Standing::Read, readers)] {
                let one = |(seq, paths): (ChangeSeq, BTreeSet<&TreePath>)| {
                    selected.insert(seq);
                    Went::Change(standing, seq, paths.into_iter().cloned().collect())
                };
                went.extend(changes.into_iter().map(one));
            }
            for task in needing {
                selected.extend(scope.changes_of(&task)?);
                tasks.insert(task.clone());
                went.push(Went::Task(task));
            }
            tasks.extend(scope.tasks(&selected)?);
            histories = histories_of(open, veil, &selected, unrecorded)?;
        }
    }
}

/// Changes by the paths at which they depend on others.
type ByChange<'h> = BTreeMap<ChangeSeq, BTreeSet<&'h TreePath>>;

/// Live changes that wrote where, and after, something that goes was written, and changes that read there; rollbacks and
/// what was taken back left out. Nothing goes from files that stay as they are by decision.
fn dependents<'h>(
    histories: &'h [History],
    selected: &BTreeSet<ChangeSeq>,
    selection: &Selection,
) -> (ByChange<'h>, ByChange<'h>) {
    let (mut writers, mut readers) = (ByChange::new(), ByChange::new());
    let ours = meant(histories, selection.decisions.ours.iter());
    let may_go = |history: &&History| selection.files.mean(&history.path) && !ours.contains(&history.path);
    for history in histories.iter().filter(may_go) {
        let (path, chain) = (&history.path, &history.chain);
        let is_live = |change: ChangeSeq| !chain.is_cancelled(change, None);
        let first = |one: &SegmentRow| goes(history, one, selected, selection) && is_live(one.change);
        let Some(first) = chain.segments.iter().position(first) else { continue };
        let stays = |segment: &&SegmentRow| {
            !segment.replayed
                && !selected.contains(&segment.change)
                && !is_spared(history, segment, selection)
                && is_live(segment.change)
        };
        for segment in chain.segments[first..].iter().filter(stays) {
            writers.entry(segment.change).or_default().insert(path);
        }
        let from = chain.segments[first].point;
        for (change, _) in chain.reads.iter().filter(|(change, by)| *by >= from && !selected.contains(change)) {
            readers.entry(*change).or_default().insert(path);
        }
    }
    (writers, readers)
}

/// What becomes of later work.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ending {
    /// It goes with what it stands on.
    Goes,
    /// What somebody decided for the file does not have it.
    IsLeftOut,
    Stays,
}

/// What is told of later work.
#[derive(Default)]
pub struct Told {
    /// A sentence each, what goes, too, first.
    pub lines: Vec<String>,
    /// The same as data.
    pub dependents: Vec<Dependent>,
    /// Whether any of it would go with the selection if that was asked for.
    may_go: bool,
}

impl Told {
    /// All that stands on what goes.
    pub fn of(
        scope: &Scope<'_>,
        teller: &mut Teller<'_>,
        (selected, tasks, went): (&BTreeSet<ChangeSeq>, &BTreeSet<TaskId>, Vec<Went>),
        (histories, overwritten): (&[History], &BTreeSet<(ChangeSeq, TreePath)>),
    ) -> Result<Self, Failure> {
        let mut told = Self::default();
        for one in went {
            match one {
                Went::Change(standing, seq, paths) => {
                    told.change(scope, teller, (seq, standing), (paths, Ending::Goes))?
                }
                Went::Task(task) => told.task(scope, task, true),
            }
        }
        scope.needing(tasks).into_iter().for_each(|task| told.task(scope, task, false));
        let (writers, readers) = dependents(histories, selected, scope.selection);
        for (standing, changes) in [(Standing::Wrote, writers), (Standing::Read, readers)] {
            for (seq, paths) in changes {
                let goes = |path: &TreePath| standing == Standing::Wrote && overwritten.contains(&(seq, path.clone()));
                let (gone, left): (Vec<_>, Vec<_>) = paths.into_iter().cloned().partition(goes);
                for (paths, ending) in [(gone, Ending::IsLeftOut), (left, Ending::Stays)] {
                    if !paths.is_empty() {
                        told.change(scope, teller, (seq, standing), (paths, ending))?;
                    }
                }
            }
        }
        Ok(told)
    }

    fn change(
        &mut self,
        scope: &Scope<'_>,
        teller: &mut Teller<'_>,
        (seq, standing): (ChangeSeq, Standing),
        (paths, ending): (Vec<TreePath>, Ending),
    ) -> Result<(), Failure> {
        let row = teller.row(seq)?.cloned();
        let change = row.as_ref().map(|row| &row.change);
        let by = change.map_or_else(|| teller.unrecorded(seq), name_of);
        let why = change.filter(|change| change.actor == Actor::Agent).and_then(|change| scope.why_it_stays(change));
        self.may_go |= change.is_some_and(|change| scope.may_go(change));
        let (change_id, task_id) =
            (change.map(|one| one.change_id.clone()), change.and_then(|one| one.author.task_id.clone()));
        let id = change_id.as_ref().map_or_else(|| "not recorded yet".to_owned(), ToString::to_string);
        let verb = if standing == Standing::Read { "read" } else { "wrote in" };
        let first = paths.first().map(ToString::to_string).unwrap_or_default();
        let more = if paths.len() > 1 { format!(" and {} more", paths.len() - 1) } else { String::new() };
        self.lines.push(format!("{by} {verb} {first}{more} since ({id}); {}", end(scope, ending, why)));
        let goes = ending != Ending::Stays;
        self.dependents.push(Dependent { standing, change_id, by, task_id, paths, goes });
        Ok(())
    }

    fn task(&mut self, scope: &Scope<'_>, task: TaskId, goes: bool) {
        let rule = scope.selection.kept.rule(None, Some(&task));
        self.may_go |= rule.is_none();
        let ending = if goes { Ending::Goes } else { Ending::Stays };
        let end = end(scope, ending, rule.map(|rule| format!("`{rule}` keeps it")));
        self.lines.push(format!("task {task} needs one that is to be done anew, and has begun; {end}"));
        let (standing, by) = (Standing::Needs, task.to_string());
        self.dependents.push(Dependent { standing, change_id: None, by, task_id: Some(task), paths: vec![], goes });
    }

    /// Refuses where any of it is to stop a rollback.
    pub fn check(&self, selection: &Selection) -> Result<(), Failure> {
        if selection.dependents != Dependents::Stop || self.lines.is_empty() {
            return Ok(());
        }
        let named = self.lines[..self.lines.len().min(NAMED_MAX)].join("; ");
        let more = match self.lines.len().saturating_sub(NAMED_MAX) {
            0 => String::new(),
            more => format!("; and {more} more"),
        };
        let hint = match self.may_go {
            true => {
                "`--dependents keep` keeps their work, `--dependents cascade` takes that of the workflow's agents back, too"
            }
            false => "`--dependents keep` keeps their work",
        };
        let message = format!("others have built on the same files since: {named}{more}");
        Err(Failure::new(Code::OthersActive, message).with_hint(hint))
    }
}

/// What becomes of later work, and why where it was asked to go.
fn end(scope: &Scope<'_>, ending: Ending, why: Option<String>) -> String {
    match why.filter(|_| scope.selection.dependents == Dependents::Cascade) {
        _ if ending == Ending::Goes => "it goes, too".to_owned(),
        _ if ending == Ending::IsLeftOut => "it goes, too: what was decided for the file leaves it out".to_owned(),
        Some(why) => format!("it stays: {why}"),
        None => "it stays".to_owned(),
    }
}
