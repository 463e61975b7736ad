//! Plans that take chosen changes back and leave all others.
//!
//! Owns which edits of a path's chain go, and what is said of them. Refuses to merge: that
//! is [`wfr_recovery::replay`].

mod elsewhere;

use std::collections::{BTreeMap, BTreeSet};

use wfr_catalog::{ChangeFilter, ChangeRow, ChangeSeq, NewPoint, PathChain, PointSeq, SegmentRow};
use wfr_model::change::Actor;
use wfr_model::entry::{Entry, Node};
use wfr_model::finding::Finding;
use wfr_model::plan::{Conflict as PlanConflict, KeptReason, Plan};
use wfr_model::{ChangeId, Digest, TaskId, TreePath};
use wfr_recovery::merge::Labels;
use wfr_recovery::plan::{Goal, LinkGroups, Wish, plan_wishes};
use wfr_recovery::replay::{By, Chain, Conflict, Mark, Outcome, Replayed, Version, replay_from};
use wfr_store::Objects;
use wfr_store::tree::Finder;

use super::alike::{Copies, Heirs};
use super::already::{self, Already};
use super::arriving::{self, Arrival, Wished};
use super::clearing::{Cleared, Clearing, tell_ways};
use super::concern;
use super::decisions::{Decisions, with_text};
use super::dependents::{Kept, Reach, Scope, Told};
use super::history::{History, NO_TREE, UNRECORDED_EXTERNAL, histories, is_touched, marks, replayable, versions};
use super::leaving;
use super::moves::{self, Coming};
use super::naming::{follow_moves, meant};
use super::overwritten;
use super::returned::Search;
use super::sureness;
use super::telling::{self, Sides, Teller, WORK_CONFLICT, leave};
use super::unaccounted::{self, Found};
use super::verdicts::Taken;
use crate::error::Failure;
use crate::ledger::Veil;
use crate::open::Open;
use crate::params::{ConflictResolution, Dependents, Steps};
use crate::pathspec::PathSpecs;
use crate::state;
use elsewhere::Replay;

/// What is to be taken back.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    /// The changes.
    pub changes: Vec<ChangeRow>,
    /// Whether what the user and unknown programs did goes, too, that was recorded after this change, or is not yet.
    pub external_after: Option<ChangeSeq>,
    /// Only what they did after this point.
    pub after: Option<PointSeq>,
    /// Only at these paths and below them; everywhere where there are none.
    pub files: PathSpecs,
    /// Changes that stay at single paths.
    pub spared: BTreeSet<(ChangeSeq, TreePath)>,
    /// What somebody decided beforehand.
    pub decisions: Decisions,
    /// What becomes of later work of others on the same paths.
    pub dependents: Dependents,
    /// Work that does not go with what it stands on.
    pub kept: Kept,
    /// Tasks that are to be done anew.
    pub tasks: Vec<TaskId>,
    /// Those of them that no change tells of: they are meant as they stand now.
    pub own_tasks: BTreeSet<TaskId>,
    /// The task that is named and is to be done anyway, where that is all that is meant.
    pub pending: Option<TaskId>,
    /// What is to be told of the choice.
    pub findings: Vec<Finding>,
    /// What it was said to do.
    pub steps: Option<Steps>,
    /// Whether those of later work that goes, too, are as well.
    pub resets: bool,
}

/// A plan for a selection.
pub struct Chosen {
    /// The plan.
    pub plan: Plan,
    /// Hard links of the tree that it leads to.
    pub links: LinkGroups,
    /// Contents that no version has: they must be stored before the plan is applied.
    pub texts: Vec<Vec<u8>>,
    /// What is recorded with the recovery.
    pub taken: Taken,
    /// Later work of others that stands on it.
    pub told: Told,
    /// What a person should know.
    pub findings: Vec<Finding>,
    /// The paths at which something goes, or somebody has to decide.
    pub touched: Vec<TreePath>,
    /// How many changes it takes back.
    pub count: u64,
    /// Whether all of it is taken back already: then nothing is to be done, of the state either.
    pub is_done: bool,
}

/// Makes the plan. `unrecorded` is what a look at the present tree found that the ledger does not have yet.
pub fn choose(
    open: &Open,
    objects: &dyn Objects,
    goal: &Goal,
    selection: &Selection,
    unrecorded: Option<&NewPoint>,
) -> Result<Chosen, Failure> {
    let veil = Veil::of(open)?;
    let state = if selection.resets { state::present(&open.catalog, &goal.workflow)? } else { None };
    let (workflow, state) = (&goal.workflow, state.as_ref());
    let scope = Scope { open, veil: &veil, workflow, selection, state, unrecorded };
    let Reach { selected, tasks, histories, went } = Reach::of(&scope, chosen(open, selection)?)?;
    let mut histories = follow_moves(open, &veil, (histories, unrecorded), selection, &selected)?;
    let teller = Teller::new(open, objects, SIDES, unrecorded);
    let mut chooser = Chooser::new(&scope, (objects, goal), teller, &selected);
    chooser.look_for_returned(&veil, &mut histories)?;
    chooser.consider_all(&veil, &histories)?;
    chooser.keep_moves_whole(&veil)?;
    let reach = (&selected, &tasks, went);
    let told = Told::of(&scope, &mut chooser.teller, reach, (&histories, &chooser.overwritten))?;
    told.check(selection)?;
    let copied = chooser.copies.told((open, &veil, unrecorded), &selected, (&mut chooser.heirs, &chooser.paths))?;
    chooser.teller.findings.extend(copied);
    chooser.teller.findings.extend(sureness::of_what_stays(open, &selection.changes)?);
    let clearing = Clearing { open, objects, from: goal.from, decisions: &selection.decisions };
    let Cleared { mut plan, links, dropped, findings: cleared } =
        clearing.run(&mut chooser.wishes, &|wishes| plan_wishes(objects, goal, wishes))?;
    concern::of_selection(selection, &histories, &plan, &dropped)?;
    tell_ways(&mut plan, &chooser.wishes);
    chooser.teller.findings.extend(cleared);
    let is_kept =
        |path: &TreePath| plan.kept.iter().any(|kept| kept.path == *path && kept.reason != KeptReason::NotEmpty);
    let unclear = chooser.teller.conflicts.iter().map(|conflict| &conflict.path);
    let touched: Vec<TreePath> = chooser.gone.keys().chain(unclear).cloned().collect();
    chooser.gone.retain(|path, _| !dropped.contains(path) && !is_kept(path));
    chooser.left.extend(dropped);
    let guarded = std::mem::take(&mut plan.conflicts);
    plan.to = NO_TREE;
    let mut taken = chooser.taken(tasks, &histories)?;
    plan.conflicts = chooser.teller.conflicts;
    plan.conflicts.extend(guarded);
    let mut findings = chooser.teller.findings;
    if selection.decisions.partial {
        // What is not clean stays as it is, and what was taken back there stays, too.
        let is_left = |conflict: &&PlanConflict| conflict.code == WORK_CONFLICT;
        taken.left.extend(plan.conflicts.iter().filter(is_left).map(|conflict| conflict.path.clone()));
        findings.extend(leave(&mut plan.conflicts));
    }
    if let Some(task) = selection.pending.as_ref() {
        findings.push(already::pending(task));
    }
    findings.extend(selection.findings.iter().cloned());
    findings.extend(already::unchanged(&chooser.gone, &plan));
    findings.extend(sureness::of_what_goes(open, &chooser.gone)?);
    let can_be_named = |path: &TreePath| is_touched(open, &veil, path, &selected);
    findings.extend(telling::split((&goal.from_links, &links), (&chooser.wishes, &chooser.arrived), can_be_named)?);
    let gone: BTreeSet<ChangeSeq> = chooser.gone.into_values().flatten().collect();
    let staying = leaving::staying(&histories, (selection, &selected), (&taken.left, &chooser.elsewhere));
    leaving::settle(open, selection, &staying, (&mut taken, &gone), &mut findings)?;
    let is_done = chooser.already.is_done((&plan, &mut taken, &mut findings), (selection, gone.is_empty()), open)?;
    let names_nothing = selection.changes.is_empty() && taken.tasks.is_empty() && gone.is_empty();
    let is_idle = selection.pending.is_some() || names_nothing;
    let is_done = is_done || is_idle && plan.is_empty() && plan.conflicts.is_empty();
    findings.extend(leaving::of_others(open, (state, &taken.tasks), &gone)?);
    let (texts, count) = (chooser.texts, gone.len() as u64);
    Ok(Chosen { plan, links, texts, taken, told, findings, touched, count, is_done })
}

/// The changes that a selection names, and those of the user and unknown programs that go with them.
fn chosen(open: &Open, selection: &Selection) -> Result<BTreeSet<ChangeSeq>, Failure> {
    let mut selected: BTreeSet<ChangeSeq> = selection.changes.iter().map(|row| row.seq).collect();
    if let Some(after) = selection.external_after {
        let filter = ChangeFilter { actors: vec![Actor::User, Actor::Unknown], ..ChangeFilter::default() };
        let found = open.catalog.changes(&filter)?.into_iter().map(|row| row.seq);
        selected.extend(found.take_while(|seq| *seq > after));
        selected.insert(UNRECORDED_EXTERNAL);
    }
    Ok(selected)
}

/// Whether a segment of a file is to go.
pub(super) fn goes(
    history: &History,
    segment: &SegmentRow,
    selected: &BTreeSet<ChangeSeq>,
    selection: &Selection,
) -> bool {
    selected.contains(&segment.change)
        && selection.after.is_none_or(|after| segment.point > after)
        && !is_spared(history, segment, selection)
}

/// Whether a change was left out of the selection at a path, under whatever name of the file.
pub(super) fn is_spared(history: &History, segment: &SegmentRow, selection: &Selection) -> bool {
    let mut names = std::iter::once(&history.path).chain(&history.names);
    !selection.spared.is_empty() && names.any(|name| selection.spared.contains(&(segment.change, name.clone())))
}

const SIDES: Sides = Sides {
    kept: "kept work",
    other: "work that goes",
    creations: "kept work made something where something else would still be",
    labels: Labels { ours: "without it", base: "before", theirs: "kept work" },
};

struct Chooser<'c> {
    open: &'c Open,
    objects: &'c dyn Objects,
    selection: &'c Selection,
    selected: &'c BTreeSet<ChangeSeq>,
    wishes: Vec<Wish>,
    /// Files that are to be somewhere else than they are.
    arrivals: Vec<Arrival>,
    teller: Teller<'c>,
    texts: Vec<Vec<u8>>,
    /// Paths that stay as they are by decision.
    ours: BTreeSet<TreePath>,
    /// Paths that get the other side by decision.
    theirs: BTreeSet<TreePath>,
    /// Where the files are that are meant.
    paths: BTreeSet<TreePath>,
    /// Those of them for which there is room.
    arrived: Vec<Arrival>,
    left: Vec<TreePath>,
    decided: Vec<TreePath>,
    /// Those of them at which what goes is taken back.
    whole: Vec<TreePath>,
    /// What was taken back before, and brought back since by which change.
    returned: Vec<(TreePath, ChangeId, ChangeId)>,
    /// Paths at which somebody decided that it goes again.
    settled: BTreeSet<TreePath>,
    /// Changes that go at a path with what somebody decided there, whether they were meant or not.
    overwritten: BTreeSet<(ChangeSeq, TreePath)>,
    /// Changes of which what they did at a path is likely to be in another file: it stays.
    elsewhere: BTreeSet<(ChangeSeq, TreePath)>,
    /// Live changes that go, by path.
    gone: BTreeMap<TreePath, BTreeSet<ChangeSeq>>,
    already: Already,
    heirs: Heirs<'c>,
    copies: Copies,
    /// The tree as it is.
    present: Digest,
    unrecorded: Option<&'c NewPoint>,
}

impl<'c> Chooser<'c> {
    fn new(
        &Scope { open, selection, unrecorded, .. }: &Scope<'c>,
        (objects, goal): (&'c dyn Objects, &Goal),
        teller: Teller<'c>,
        selected: &'c BTreeSet<ChangeSeq>,
    ) -> Self {
        Self {
            open,
            heirs: Heirs::new(objects, goal.from),
            present: goal.from,
            unrecorded,
            objects,
            selection,
            selected,
            wishes: vec![],
            arrivals: vec![],
            teller,
            texts: vec![],
            ours: BTreeSet::new(),
            theirs: BTreeSet::new(),
            arrived: vec![],
            paths: BTreeSet::new(),
            left: vec![],
            decided: vec![],
            whole: vec![],
            returned: vec![],
            settled: BTreeSet::new(),
            overwritten: BTreeSet::new(),
            elsewhere: BTreeSet::new(),
            gone: BTreeMap::new(),
            already: Already::default(),
            copies: Copies::default(),
        }
    }

    /// What is recorded with the recovery.
    fn taken(&mut self, tasks: BTreeSet<TaskId>, histories: &[History]) -> Result<Taken, Failure> {
        Ok(Taken {
            changes: self.ids()?,
            left: std::mem::take(&mut self.left),
            decided: std::mem::take(&mut self.decided),
            overwritten: std::mem::take(&mut self.whole),
            returned: std::mem::take(&mut self.returned),
            tasks: tasks.into_iter().collect(),
            after: self.selection.after.map(|point| point.0),
            files: self.selection.files.clone(),
            spared: self.spared(histories)?,
            moved: histories.iter().flat_map(History::renamed).collect(),
            places: arriving::places(&self.arrived),
        })
    }

    fn ids(&self) -> Result<Vec<ChangeId>, Failure> {
        let row = |seq: &ChangeSeq| Ok(self.open.catalog.change_at(*seq)?.map(|row| row.change.change_id));
        let rows = self.selected.iter().map(row);
        Ok(rows.collect::<Result<Vec<_>, Failure>>()?.into_iter().flatten().collect())
    }

    /// What stays at single paths, by the changes' ids.
    fn spared(&mut self, histories: &[History]) -> Result<Vec<(TreePath, ChangeId)>, Failure> {
        let mut spared = Vec::new();
        for (seq, path) in self.selection.spared.iter().chain(&elsewhere::names(&self.elsewhere, histories)) {
            let id = self.teller.row(*seq)?.map(|row| row.change.change_id.clone());
            spared.extend(id.map(|id| (path.clone(), id)));
        }
        Ok(spared)
    }

    /// Looks for what was taken back before and is there again.
    fn look_for_returned(&mut self, veil: &Veil<'_>, histories: &mut [History]) -> Result<(), Failure> {
        let Decisions { ours, theirs, .. } = &self.selection.decisions;
        (self.ours, self.theirs) = (meant(histories, ours.iter()), meant(histories, theirs.iter()));
        self.paths = histories.iter().map(|history| history.path.clone()).collect();
        let Self { objects, selection, selected, teller, theirs, .. } = self;
        let (objects, settled) = (*objects, BTreeSet::new());
        let mut search = Search { veil, objects, selection, selected, theirs, teller, found: vec![], settled };
        histories.iter_mut().try_for_each(|history| search.look(history))?;
        (self.returned, self.settled) = (search.found, search.settled);
        Ok(())
    }

    /// Decides on all paths.
    fn consider_all(&mut self, veil: &Veil<'_>, histories: &[History]) -> Result<(), Failure> {
        let (mut coming, mut parted) = (Coming::new(self.open, veil, self.unrecorded), Vec::new());
        for history in histories {
            let Some(one) = self.consider(veil, history)? else { continue };
            match self.partings(&mut coming, &one)? {
                partings if partings.is_empty() => self.conclude(one)?,
                partings => parted.push((one, partings)),
            }
        }
        self.without_heirs(&mut coming, parted)?.into_iter().try_for_each(|one| self.conclude(one))?;
        let arrivals = std::mem::take(&mut self.arrivals);
        let mut now = Finder::new(self.objects, self.present);
        let (coming, stuck) = arriving::settle(&mut self.wishes, arrivals, &mut now)?;
        self.arrived = coming;
        for one in stuck {
            self.consider_stuck(one)?;
        }
        self.consider_parents(veil, histories)
    }

    /// Where one end of a move stays as it is, the other one does, too: else the file would be there twice, or not at all.
    fn keep_moves_whole(&mut self, veil: &Veil<'_>) -> Result<(), Failure> {
        let Decisions { partial, .. } = &self.selection.decisions;
        let in_conflict = self.teller.conflicts.iter().filter(|_| *partial).map(|conflict| conflict.path.clone());
        let by_rule = self.left.iter().filter(|path| !self.ours.contains(path)).cloned();
        let mut staying: BTreeSet<TreePath> = in_conflict.chain(by_rule).collect();
        if staying.is_empty() {
            return Ok(());
        }
        let moves = moves::of_changes(self.open, veil, self.unrecorded, self.selected)?;
        let other_end = |staying: &BTreeSet<TreePath>, wishes: &[Wish]| {
            let ends = moves.iter().flat_map(|(from, to)| [(from, to), (to, from)]);
            let goes = |path: &TreePath| wishes.iter().any(|wish| wish.path == *path);
            let pair = ends.into_iter().find(|(one, other)| staying.contains(one) && goes(other));
            pair.map(|(one, other)| (one.clone(), other.clone()))
        };
        while let Some((stays, other)) = other_end(&staying, &self.wishes) {
            self.wishes.retain(|wish| wish.path != other);
            self.gone.remove(&other);
            self.teller.left_with(&other, &stays);
            self.left.push(other.clone());
            staying.insert(other);
        }
        Ok(())
    }

    /// Replays a path at which something goes, unless somebody decided on it.
    fn consider<'r>(&mut self, veil: &Veil<'_>, history: &'r History) -> Result<Option<Replay<'r>>, Failure> {
        let History { path, chain, .. } = history;
        let is_live = |segment: &SegmentRow| !chain.is_cancelled(segment.change, None);
        let goes = |segment: &SegmentRow| goes(history, segment, self.selected, self.selection);
        chain.segments.iter().filter(|one| goes(one)).for_each(|one| self.already.note(chain, one.change));
        let Some(first) = chain.segments.iter().position(|segment| goes(segment) && is_live(segment)) else {
            return Ok(None);
        };
        let gone = chain.segments.iter().filter(|segment| goes(segment) && is_live(segment)).map(|one| one.change);
        let gone: BTreeSet<ChangeSeq> = gone.collect();
        if self.ours.contains(path) {
            self.left.push(path.clone());
            return Ok(None);
        }
        let versions = versions(veil, history)?;
        // A change that goes in part is not taken back there: the rollback is an edit like any other.
        let is_parted = |one: &SegmentRow| {
            let goes_too = |other: &SegmentRow| other.change == one.change && !goes(other);
            goes(one) && chain.segments.iter().any(goes_too)
        };
        if chain.segments.iter().any(is_parted) {
            self.decided.push(path.clone());
        }
        let replayable = replayable(versions.clone(), self.marks(history)?);
        if let Some(entry) = self.decided_by_hand(history, (&versions, &replayable), first)? {
            self.take(history, gone, entry);
            return Ok(None);
        }
        let replayed = replay_from(&replayable, self.selection.decisions.unit, self.objects)?;
        Ok(Some(Replay { history, versions, replayable, first, gone, replayed }))
    }

    /// Decides on a path as its replay says.
    fn conclude(&mut self, replay: Replay<'_>) -> Result<(), Failure> {
        let Replay { history, versions, replayable, first, gone, replayed: Replayed { outcome, notes } } = replay;
        let History { path, chain, .. } = history;
        self.teller.note(path, (&replayable, &notes));
        let settled = match outcome.settled(&replayable, &mut self.texts) {
            Ok(entry) => self.over_what_stands(history, versions, entry)?,
            Err(conflict) => Err((None, conflict)),
        };
        match settled {
            Ok(entry) => {
                self.take(history, gone, entry);
                self.copies.note(path, replayable, (first, chain.segments[first].change));
            }
            Err((standing, conflict)) => match self.ways(path) {
                ConflictResolution::ManualReview => match standing {
                    Some(chain) => self.teller.conflict(path, gone, (&chain, &conflict))?,
                    None => self.conflict(path, chain, (&replayable, &conflict))?,
                },
                ConflictResolution::CurrentPriority => self.left.push(path.clone()),
                ConflictResolution::CheckpointPriority => {
                    self.overwrite(history, first);
                    self.take(history, gone, history.settled(&replayable, replayable.version(first).clone()));
                }
            },
        }
        Ok(())
    }

    /// What a path is to become so that what stands there and does not count stays; such a rollback is an edit like any other.
    fn over_what_stands(
        &mut self,
        history: &History,
        versions: Vec<Version>,
        entry: Version,
    ) -> Result<Found, Failure> {
        let chain = replayable(versions, marks(&history.chain, |_| false, &mut self.teller)?);
        let unit = self.selection.decisions.unit;
        let Some(found) = unaccounted::kept(self.objects, unit, (history, &chain), (&entry, &mut self.texts))? else {
            return Ok(Ok(entry));
        };
        self.settle_whole(history);
        Ok(found)
    }

    /// What is done at a path at which work cannot be separated.
    fn ways(&self, path: &TreePath) -> ConflictResolution {
        match self.settled.contains(path) {
            true => ConflictResolution::CheckpointPriority,
            false => self.selection.decisions.conflicts,
        }
    }

    /// What somebody said that a path becomes; `first` is the first edit that goes there.
    fn decided_by_hand(
        &mut self,
        history: &History,
        (versions, replayable): (&[Option<Entry>], &Chain),
        first: usize,
    ) -> Result<Option<Option<Entry>>, Failure> {
        let path = &history.path;
        if self.theirs.contains(path) && !self.settled.contains(path) {
            self.overwrite(history, first);
            return Ok(Some(history.settled(replayable, versions[first].clone())));
        }
        let Some(text) = self.resolved(history) else { return Ok(None) };
        let lost = overwritten::by_text(self.objects, (&history.chain.segments, versions), first, text)?;
        self.overwritten.extend(lost.into_iter().map(|change| (change, path.clone())));
        self.settle_whole(history);
        self.texts.push(text.clone());
        let like = versions.iter().rev().flatten().find(|entry| matches!(entry.node, Node::File(_)));
        Ok(Some(history.settled(replayable, Some(with_text(path, like, text)))))
    }

    /// The content that somebody made for a file by hand, under whatever name of it, where nothing else is called so.
    fn resolved(&self, history: &History) -> Option<&'c Vec<u8>> {
        let Decisions { resolved, .. } = &self.selection.decisions;
        let once =
            || history.names.iter().filter(|name| !self.paths.contains(*name)).find_map(|name| resolved.get(name));
        resolved.get(&history.path).or_else(once)
    }

    /// A path becomes what it was before an edit, whatever others did there since.
    fn overwrite(&mut self, history: &History, first: usize) {
        self.overwritten.extend(history.chain.segments[first..].iter().map(|one| (one.change, history.path.clone())));
        self.settle_whole(history);
    }

    /// What goes at a path is taken back there with what somebody decided that it becomes.
    fn settle_whole(&mut self, History { path, names, .. }: &History) {
        // Of what goes in part, or from one name to another, nobody could say later what is taken back.
        if names.is_empty() && !self.decided.contains(path) {
            self.whole.push(path.clone());
        }
        self.decided.push(path.clone());
    }

    /// Directories in which something goes, and that stay only because something was in them: whoever made them was taken
    /// back before.
    fn consider_parents(&mut self, veil: &Veil<'_>, histories: &[History]) -> Result<(), Failure> {
        let mut seen: BTreeSet<TreePath> = histories.iter().map(|history| history.path.clone()).collect();
        let going: Vec<TreePath> =
            self.wishes.iter().filter(|wish| wish.entry.is_none()).map(|wish| wish.path.clone()).collect();
        for path in going {
            let mut at = path.parent().filter(|dir| !dir.is_root());
            while let Some(dir) = at.take_if(|dir| seen.insert(dir.clone())) {
                let chain = self.open.catalog.chain_at(&veil.path(&dir)?.key)?;
                for history in self::histories(self.open, veil, chain.into_iter().collect(), self.unrecorded)? {
                    let replayable = replayable(versions(veil, &history)?, self.marks(&history)?);
                    if replay_from(&replayable, self.selection.decisions.unit, self.objects)?.outcome == Outcome::Absent
                    {
                        self.wish(&dir, None);
                        at = dir.parent().filter(|dir| !dir.is_root());
                    }
                }
            }
        }
        Ok(())
    }

    /// What becomes of the edits of a history, and whose they are.
    fn marks(&mut self, history: &History) -> Result<Vec<(Mark, By)>, Failure> {
        let goes = |segment: &SegmentRow| goes(history, segment, self.selected, self.selection);
        marks(&history.chain, goes, &mut self.teller)
    }

    /// Wishes for what a path is without the changes that go there, and for a file to be where it is without them.
    fn take(&mut self, history: &History, gone: BTreeSet<ChangeSeq>, entry: Option<Entry>) {
        let path = &history.path;
        match Wished::of(history, entry) {
            Wished::Nowhere => self.note_gone(path, gone),
            Wished::Here(entry) => {
                self.note_gone(path, gone);
                self.teller.moved(path, &history.names);
                self.wish(path, entry);
            }
            Wished::Elsewhere(arrival) => {
                self.teller.moves_back(&arrival);
                if arrival.is_there {
                    self.note_gone(path, gone.clone());
                }
                self.note_gone(&arrival.to, gone);
                self.arrivals.push(arrival);
            }
        }
    }

    fn note_gone(&mut self, path: &TreePath, gone: BTreeSet<ChangeSeq>) {
        self.gone.entry(path.clone()).or_default().extend(gone);
    }

    /// Where a file is to be somewhere else, and something else is there.
    fn consider_stuck(&mut self, arrival: Arrival) -> Result<(), Failure> {
        let Arrival { from, is_there, to, .. } = &arrival;
        let gone = self.gone.remove(to).unwrap_or_default();
        match self.selection.decisions.conflicts {
            ConflictResolution::CheckpointPriority => {
                self.gone.insert(to.clone(), gone);
                self.decided.push(to.clone());
                arriving::enforce(&mut self.wishes, &arrival);
                self.arrived.push(arrival);
            }
            conflicts => {
                if *is_there {
                    self.gone.remove(from);
                }
                self.left.extend([from.clone(), to.clone()]);
                if conflicts == ConflictResolution::ManualReview {
                    self.teller.stuck(&arrival, gone, &format!("--ours {from}"))?;
                }
            }
        }
        Ok(())
    }

    fn wish(&mut self, path: &TreePath, entry: Option<Entry>) {
        self.wishes.push(Wish { path: path.clone(), entry });
    }

    fn conflict(
        &mut self,
        path: &TreePath,
        chain: &PathChain,
        (replayable, conflict): (&Chain, &Conflict),
    ) -> Result<(), Failure> {
        let concerned = chain.segments.iter().enumerate().filter(|(at, segment)| {
            conflict.run.contains(&(at + 1)) || replayable.edits[*at].mark == Mark::Removed && !segment.replayed
        });
        self.teller.conflict(path, concerned.map(|(_, segment)| segment.change).collect(), (replayable, conflict))
    }
}
