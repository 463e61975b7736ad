//! The undo of a recovery that took chosen changes back, or merged a checkpoint in.
//!
//! Owns what comes back where somebody has worked since: the path is replayed as if the recovery had never been. Refuses
//! to merge: that is [`wfr_recovery::replay`].

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use wfr_capture::slice::is_same;
use wfr_catalog::{ChangeRow, ChangeSeq, NewPoint, PathChain, SegmentRow};
use wfr_model::entry::Entry;
use wfr_model::finding::Finding;
use wfr_model::plan::{Kept, KeptReason, Plan};
use wfr_model::{Timestamp, TreePath};
use wfr_recovery::merge::{Labels, Unit};
use wfr_recovery::plan::{Goal, LinkGroups, Wish, plan_joined};
use wfr_recovery::replay::{Chain, Note, Replayed, Version, replay_from};
use wfr_store::Objects;
use wfr_store::tree::Finder;

use super::already;
use super::arriving::{self, Arrival, Wished};
use super::clearing::{Cleared, Clearing};
use super::decisions::Decisions;
use super::history::{self, History, NO_TREE, histories, marks_behind, replayable, versions};
use super::left_undone;
use super::moves::Following;
use super::standing::Standing;
use super::telling::{Sides, Teller};
use super::tracks::Fate;
use super::unaccounted::{self, Found};
use super::verdicts::Lifting;
use crate::error::Failure;
use crate::ledger::{Veil, Word};
use crate::links;
use crate::open::Open;
use crate::params::ConflictResolution;

const SIDES: Sides = Sides {
    kept: "later work",
    other: "what would come back",
    creations: "later work made something where something else would be again",
    labels: Labels { ours: "with the undo", base: "before", theirs: "later work" },
};

/// What is done where somebody has worked since.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Later {
    /// It is merged with what comes back; where that cannot be done, somebody decides.
    Merge,
    /// The same, but where it cannot be merged the path stays as it is.
    MergeOrKeep,
    /// It goes: the path becomes what it was before the recovery.
    Overwrite,
}

/// A plan that takes a recovery back.
pub struct Lifted {
    /// The plan.
    pub plan: Plan,
    /// Hard links of the tree that it leads to.
    pub links: LinkGroups,
    /// Contents that no version has: they must be stored before the plan is applied.
    pub texts: Vec<Vec<u8>>,
    /// What a person should know.
    pub findings: Vec<Finding>,
    /// The paths at which it lifts something.
    pub touched: Vec<TreePath>,
    /// What it brings where.
    pub lifting: Lifting,
}

/// Makes the plan. `groups` were the hard links before the recovery;
/// `unrecorded` is what a look at the present tree found that the ledger does not have yet.
pub fn lift(
    open: &Open,
    objects: &dyn Objects,
    goal: &Goal,
    (undone, groups): (&ChangeRow, &LinkGroups),
    (later, unrecorded): (Later, Option<&NewPoint>),
) -> Result<Lifted, Failure> {
    let veil = Veil::of(open)?;
    let histories = histories(open, &veil, chains(open, undone.seq)?, unrecorded)?;
    let standing = RefCell::new(Standing::of(open));
    let is_cancelled = |chain: &PathChain, change: ChangeSeq| {
        // Where that cannot be read, it is told when the path is considered.
        standing.borrow_mut().is_cancelled_without(chain, change, undone.seq).unwrap_or(true)
    };
    let fate = |part: &History, segment: &SegmentRow| match () {
        () if segment.change == undone.seq => Fate::Goes,
        () if is_cancelled(&part.chain, segment.change) => Fate::Gone,
        () => Fate::Stays,
    };
    let following = Following { open, veil: &veil, unrecorded, fate: &fate };
    let histories = following.follow(histories)?;
    let touched = histories.iter().flat_map(|history| history.names.iter().chain([&history.path])).cloned().collect();
    let moved = histories.iter().flat_map(History::renamed).collect();
    let mut lifter = Lifter {
        veil,
        objects,
        undone: undone.seq,
        ended: undone.change.ended_at,
        later,
        now: Finder::new(objects, goal.from),
        standing: Standing::of(open),
        teller: Teller::new(open, objects, SIDES, unrecorded),
        wishes: vec![],
        arrivals: vec![],
        restored: BTreeMap::new(),
        kept: vec![],
        places: vec![],
        decided: vec![],
        texts: vec![],
    };
    for history in &histories {
        lifter.consider(history)?;
    }
    let standing = &mut lifter.standing;
    let also = already::by_others(open, &histories, undone.seq, &mut |chain, change| {
        standing.is_cancelled_without(chain, change, undone.seq)
    })?;
    lifter.teller.findings.extend(also);
    lifter.settle()?;
    let joined = links::rejoined((objects, goal), groups, &lifter.wishes, &lifter.restored)?;
    let decisions = match later {
        Later::MergeOrKeep => Decisions { conflicts: ConflictResolution::CurrentPriority, ..Decisions::default() },
        _ => Decisions::default(),
    };
    let clearing = Clearing { open, objects, from: goal.from, decisions: &decisions };
    let Cleared { mut plan, links, dropped, .. } =
        clearing.run(&mut lifter.wishes, &|wishes| plan_joined(objects, goal, wishes, &joined))?;
    plan.to = NO_TREE;
    plan.kept.extend(lifter.kept);
    plan.kept.extend(dropped.into_iter().map(|path| Kept { path, reason: KeptReason::Edited }));
    plan.conflicts.splice(0..0, lifter.teller.conflicts);
    Ok(Lifted {
        plan,
        links,
        texts: lifter.texts,
        findings: lifter.teller.findings,
        touched,
        lifting: Lifting { moved, places: lifter.places, decided: lifter.decided },
    })
}

/// The chains of all paths that a recovery wrote at or spoke of.
fn chains(open: &Open, undone: ChangeSeq) -> Result<Vec<PathChain>, Failure> {
    let mut chains = open.catalog.chains_of(&[undone])?;
    let mut known: BTreeSet<Vec<u8>> = chains.iter().map(|chain| chain.path.key.clone()).collect();
    let spoken_of = open.catalog.chains_spoken_of(Some(undone))?;
    chains.extend(spoken_of.into_iter().filter(|chain| known.insert(chain.path.key.clone())));
    Ok(chains)
}

struct Lifter<'l> {
    veil: Veil<'l>,
    objects: &'l dyn Objects,
    undone: ChangeSeq,
    /// When it did.
    ended: Option<Timestamp>,
    later: Later,
    now: Finder<'l>,
    standing: Standing<'l>,
    teller: Teller<'l>,
    wishes: Vec<Wish>,
    /// Files that are to be somewhere else than they are.
    arrivals: Vec<Arrival>,
    /// Paths that become what they were before the recovery.
    restored: BTreeMap<TreePath, Entry>,
    kept: Vec<Kept>,
    /// Where files are again that were there before, with the points.
    places: Vec<(TreePath, i64)>,
    /// Paths at which it is an edit like any other.
    decided: Vec<TreePath>,
    texts: Vec<Vec<u8>>,
}

impl Lifter<'_> {
    fn consider(&mut self, history: &History) -> Result<(), Failure> {
        let History { path, chain, names, .. } = history;
        let own = chain.segments.iter().position(|segment| segment.change == self.undone);
        let present = if history.is_there { self.now.lookup(path)? } else { None };
        let versions = versions(&self.veil, history)?;
        // A later recovery may have found nothing to do and yet have spoken of changes.
        let is_last = !chain.words.iter().any(|(_, by, _)| *by > self.undone);
        if let Some(own) = own {
            let (before, left) = (&versions[own], &versions[own + 1]);
            let is_as_left = is_same(present.as_ref(), left.as_ref()) && history.place(own + 1) == path;
            if self.later == Later::Overwrite || is_last && is_as_left {
                let has_moved = history.place(own) != history.place(own + 1);
                let entry = before.clone().map(|entry| if has_moved { entry } else { history.here(entry) });
                self.restored.extend(entry.clone().map(|entry| history.placed(entry)));
                if !chain.segments[own].replayed {
                    self.decide(history);
                }
                self.wish(history, entry);
                return Ok(());
            }
        }
        if own.is_none() && is_last && self.is_newest(chain)? {
            // It found the path as it is.
            return Ok(());
        }
        // Where it only spoke of changes whose end another recovery settles, there is nothing to lift.
        if own.is_none() && (self.later == Later::Overwrite || !self.moves_any(chain)?) {
            return Ok(());
        }
        // What was decided by hand does not come from what was before: where it went, that is there again as it was.
        let by_hand = chain.segments.iter().position(|one| one.change == self.undone && !one.replayed);
        let from = by_hand.filter(|_| is_last).unwrap_or(0);
        let Some((entry, is_told)) = self.replayed(history, (from, own), versions.clone())? else { return Ok(()) };
        let placed = entry.clone().map(|entry| history.placed(entry));
        let is_here = placed.as_ref().is_none_or(|(to, _)| to == path);
        if is_here {
            self.teller.moved(path, names);
        }
        if !is_here || !is_same(present.as_ref(), placed.as_ref().map(|(_, entry)| entry)) {
            self.wish(history, entry);
            return Ok(());
        }
        if let Some(own) = own.filter(|_| !is_told)
            && (spoken_of(chain, self.undone).is_empty() || self.moves_any(chain)?)
            && left_undone::is_left(self.objects, history, own, (&versions, &present))?
        {
            self.teller.findings.push(left_undone::told(path));
        }
        Ok(())
    }

    /// What a path is without the recovery, replayed from version `from` on; `None` where it stays as it is, or somebody has to
    /// decide: that is told. With whether it is told that something is not as it should be. `own` is the recovery's own segment.
    fn replayed(
        &mut self,
        history: &History,
        (from, own): (usize, Option<usize>),
        mut versions: Vec<Version>,
    ) -> Result<Option<(Version, bool)>, Failure> {
        let History { path, chain, .. } = history;
        let segments = &chain.segments[from..];
        let Self { undone, standing, teller, .. } = self;
        let without = |segment: &SegmentRow| {
            Ok(segment.change == *undone || standing.is_cancelled_without(chain, segment.change, *undone)?)
        };
        let marks = marks_behind(history::marks_where(chain, without, teller)?, from);
        let now = marks_behind(history::marks(chain, |_| false, teller)?, from);
        let versions = versions.split_off(from);
        let (replayable, counts) = (replayable(versions.clone(), marks), replayable(versions, now));
        let Replayed { outcome, notes } = replay_from(&replayable, Unit::Lines, self.objects)?;
        let settled = match outcome.settled(&replayable, &mut self.texts) {
            Ok(entry) => self.over_what_stands(history, &counts, entry)?,
            Err(conflict) => Err((None, conflict)),
        };
        let entry = match settled {
            Ok(entry) => entry,
            Err(_) if self.later == Later::MergeOrKeep => {
                self.kept.push(Kept { path: path.clone(), reason: KeptReason::Edited });
                return Ok(None);
            }
            Err((Some(chain), conflict)) => {
                let seqs = spoken_of(&history.chain, self.undone);
                self.teller.conflict(path, seqs, (&chain, &conflict))?;
                return Ok(None);
            }
            Err((None, conflict)) => {
                let run = segments.iter().enumerate().filter(|(at, _)| conflict.run.contains(&(at + 1)));
                let mut seqs: BTreeSet<ChangeSeq> = run.map(|(_, segment)| segment.change).collect();
                seqs.extend(spoken_of(chain, self.undone));
                seqs.extend(own.map(|own| &chain.segments[own]).filter(|own| !own.replayed).map(|own| own.change));
                self.teller.conflict(path, seqs, (&replayable, &conflict))?;
                return Ok(None);
            }
        };
        self.teller.note(path, (&replayable, &notes));
        let is_told = notes.iter().any(|note| matches!(note, Note::Incomplete { .. } | Note::KeptDeletion { .. }));
        Ok(Some((entry, is_told)))
    }

    /// What a path is to become so that what stands there and does not count stays.
    fn over_what_stands(&mut self, history: &History, counts: &Chain, entry: Version) -> Result<Found, Failure> {
        let found = unaccounted::kept(self.objects, Unit::Lines, (history, counts), (&entry, &mut self.texts))?;
        let Some(found) = found else { return Ok(Ok(entry)) };
        self.decide(history);
        Ok(found)
    }

    /// Makes the undo an edit like any other of a file.
    fn decide(&mut self, History { path, names, .. }: &History) {
        self.decided.extend(names.iter().chain([path]).cloned());
    }

    /// Wishes for what a file is to be, and where.
    fn wish(&mut self, history: &History, entry: Option<Entry>) {
        match Wished::of(history, entry) {
            Wished::Nowhere => {}
            Wished::Here(entry) => self.wishes.push(Wish { path: history.path.clone(), entry }),
            Wished::Elsewhere(arrival) => self.arrivals.push(arrival),
        }
    }

    /// Finds room for files that are to be somewhere else than they are.
    fn settle(&mut self) -> Result<(), Failure> {
        let arrivals = std::mem::take(&mut self.arrivals);
        let (coming, stuck) = arriving::settle(&mut self.wishes, arrivals, &mut self.now)?;
        self.places = arriving::places(&coming);
        for one in stuck {
            match self.later {
                Later::Overwrite => {
                    arriving::enforce(&mut self.wishes, &one);
                    self.places.extend(arriving::places(&[one]));
                }
                Later::MergeOrKeep => {
                    let kept = |path| Kept { path, reason: KeptReason::Edited };
                    self.restored.remove(&one.to);
                    self.kept.extend([kept(one.from), kept(one.to)]);
                }
                Later::Merge => self.teller.stuck(&one, BTreeSet::new(), "--partial")?,
            }
        }
        Ok(())
    }

    /// Whether all that happened at a path had ended before the recovery did.
    fn is_newest(&mut self, chain: &PathChain) -> Result<bool, Failure> {
        for segment in &chain.segments {
            let ended = self.teller.row(segment.change)?.and_then(|row| row.change.ended_at);
            if segment.change > self.undone || ended.is_none() || ended > self.ended {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether a change stands otherwise without the recovery.
    fn moves_any(&mut self, chain: &PathChain) -> Result<bool, Failure> {
        for change in spoken_of(chain, self.undone) {
            let without = self.standing.is_cancelled_without(chain, change, self.undone)?;
            if without != chain.is_cancelled(change, None) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// The changes that a recovery took back or brought back at a path.
fn spoken_of(chain: &PathChain, by: ChangeSeq) -> BTreeSet<ChangeSeq> {
    chain.words.iter().filter(|word| word.1 == by).map(|word| word.0).collect()
}

/// What an undo says of changes: each stands as if the recovery had never been, and what that did by hand is taken back.
pub fn words(open: &Open, undone: &ChangeRow, untouched: &BTreeSet<TreePath>) -> Result<Vec<Word>, Failure> {
    let veil = Veil::of(open)?;
    let mut standing = Standing::of(open);
    let mut words = Vec::new();
    for chain in chains(open, undone.seq)? {
        let path = veil.shown(&chain.path)?;
        if untouched.contains(&path) {
            continue;
        }
        for change in spoken_of(&chain, undone.seq) {
            let Some(row) = open.catalog.change_at(change)? else { continue };
            let is_cancelled = standing.is_cancelled_without(&chain, change, undone.seq)?;
            words.push(Word::own(path.clone(), row.change.change_id, is_cancelled));
        }
        let by_hand = |segment: &SegmentRow| segment.change == undone.seq && !segment.replayed;
        if chain.segments.iter().any(by_hand) {
            words.push(Word::own(path, undone.change.change_id.clone(), true));
        }
    }
    Ok(words)
}
