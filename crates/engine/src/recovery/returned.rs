//! Work that was taken back and that somebody brought again since: a checkout, a stash that is popped behind the rollback.
//!
//! Owns how a plan finds that, and where it cannot be told from work of their own. What is found counts as if it had been said
//! then; it is recorded with the recovery. Refuses to know what recoveries brought back: they say it, see [`super::returning`].

use std::collections::{BTreeMap, BTreeSet, HashSet};

use wfr_capture::slice::is_same;
use wfr_catalog::{ChangeSeq, SegmentRow};
use wfr_model::change::Actor;
use wfr_model::entry::Node;
use wfr_model::{ChangeId, TreePath};
use wfr_recovery::replay::{By, Version, replay_from};
use wfr_store::Objects;

use super::already;
use super::history::{History, UNRECORDED_EXTERNAL, counted, is_recorded, marks, replayable, versions};
use super::returning::LineSets;
use super::selective::{Selection, goes};
use super::telling::{Teller, name_of};
use super::unaccounted::is_alike;
use crate::error::Failure;
use crate::ledger::Veil;

/// Looks for what came again.
pub struct Search<'s, 't, 'o> {
    /// How paths are kept.
    pub veil: &'s Veil<'s>,
    /// The store.
    pub objects: &'s dyn Objects,
    /// What is to be taken back.
    pub selection: &'s Selection,
    /// The changes of it, those that go with it among them.
    pub selected: &'s BTreeSet<ChangeSeq>,
    /// Paths that get the other side by decision.
    pub theirs: &'s BTreeSet<TreePath>,
    /// Who tells of it.
    pub teller: &'t mut Teller<'o>,
    /// What was found: where, which change, and by which one.
    pub found: Vec<(TreePath, ChangeId, ChangeId)>,
    /// Paths at which a decision settles that it is what goes.
    pub settled: BTreeSet<TreePath>,
}

/// What an edit is to a change that was taken back before.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Nothing,
    BringsItBack,
    /// It may have brought it back, or be work of its own that is the same.
    MayBe,
}

impl Search<'_, '_, '_> {
    /// Looks at a path, and adds to its history what is found.
    pub fn look(&mut self, history: &mut History) -> Result<(), Failure> {
        if !history.is_there {
            return Ok(());
        }
        let recoveries = self.recoveries(history)?;
        let since = self.since(history, &recoveries);
        let Some(last) = since.values().flatten().copied().max() else { return Ok(()) };
        let versions = versions(self.veil, history)?;
        let lines = LineSets::of(self.objects, &history.chain, &versions);
        let (mut back, mut unclear) = (Vec::new(), None);
        // All of them count: one may have brought back what another one had.
        for (change, at) in since.iter().flat_map(|(change, since)| since.iter().map(|at| (*change, *at))) {
            match self.judge(history, (&versions, &lines, &recoveries), (change, at))? {
                Verdict::BringsItBack => back.push((change, at)),
                Verdict::MayBe => unclear = Some((change, at)),
                Verdict::Nothing => (),
            }
        }
        if self.theirs.contains(&history.path) {
            back.extend(unclear);
        }
        let meant = self.meant(history);
        let is_gone = |change: &ChangeSeq| history.chain.is_cancelled(*change, None);
        let has_more = !meant.iter().all(is_gone);
        let without = self.result(history, &versions)?;
        let is_present = |result: &Version| is_alike(result, versions.last().unwrap_or(&None));
        if back.is_empty() && !has_more && without.as_ref().is_some_and(|without| !is_present(without)) {
            // Whoever had taken it away put it back.
            back.extend(meant.iter().map(|change| (*change, last)));
        }
        if back.is_empty() {
            return unclear.map_or(Ok(()), |unclear| self.tell_unclear(history, (&lines, without), unclear));
        }
        let words = history.chain.words.clone();
        let said = back.into_iter().map(|(change, at)| (change, history.chain.segments[at].change, false));
        let said: Vec<(ChangeSeq, ChangeSeq, bool)> = said.collect();
        history.chain.words.extend(&said);
        history.chain.words.sort_by_key(|(_, by, _)| *by);
        let goes = match (self.result(history, &versions)?, without) {
            (Some(with), Some(without)) => !is_alike(&with, &without) || !has_more && !is_present(&with),
            (None, None) => !has_more,
            _ => true,
        };
        if goes {
            return self.count(history, said);
        }
        history.chain.words = words;
        Ok(())
    }

    /// The changes that are to go at a path.
    fn meant(&self, history: &History) -> BTreeSet<ChangeSeq> {
        let meant = |one: &&SegmentRow| goes(history, one, self.selected, self.selection);
        history.chain.segments.iter().filter(meant).map(|one| one.change).collect()
    }

    /// The edits of others that may have brought back each of the changes that are to go: those behind the recovery that took
    /// it back, or behind the first one that there was since. They are given by number.
    fn since(&self, history: &History, recoveries: &[usize]) -> BTreeMap<ChangeSeq, Vec<usize>> {
        let (chain, meant) = (&history.chain, self.meant(history));
        let stays = |at: &usize| {
            let one = &chain.segments[*at];
            !one.replayed && !meant.contains(&one.change) && !chain.is_cancelled(one.change, None)
        };
        let others: Vec<usize> = (0..chain.segments.len()).filter(stays).collect();
        let mut since = BTreeMap::new();
        for change in &meant {
            let word = chain.words.iter().rfind(|(of, _, _)| of == change).filter(|(.., cancelled)| *cancelled);
            let first = chain.segments.iter().position(|one| one.change == *change);
            let away = recoveries.iter().find(|at| first.is_some_and(|first| **at > first));
            let is_since = |at: &usize| match word {
                Some((_, by, _)) => chain.segments[*at].change > *by,
                None => away.is_some_and(|away| at > away),
            };
            let found: Vec<usize> = others.iter().copied().filter(is_since).collect();
            since.extend((!found.is_empty()).then_some((*change, found)));
        }
        since
    }

    /// What recoveries did there, by number.
    fn recoveries(&mut self, History { chain, .. }: &History) -> Result<Vec<usize>, Failure> {
        let mut found = Vec::new();
        for (at, segment) in chain.segments.iter().enumerate() {
            if self.teller.by(segment.change)? == By::Recovery {
                found.push(at);
            }
        }
        Ok(found)
    }

    /// Counts as brought back what is.
    fn count(
        &mut self,
        History { path, .. }: &History,
        said: Vec<(ChangeSeq, ChangeSeq, bool)>,
    ) -> Result<(), Failure> {
        if self.theirs.contains(path) {
            self.settled.insert(path.clone());
        }
        self.teller.findings.push(already::returned(path));
        for (change, by, _) in said.into_iter().filter(|(_, by, _)| is_recorded(*by)) {
            let change = self.teller.row(change)?.map(|row| row.change.change_id.clone());
            let by = self.teller.row(by)?.map(|row| row.change.change_id.clone());
            self.found.extend(change.zip(by).map(|(change, by)| (path.clone(), change, by)));
        }
        Ok(())
    }

    /// What the path is without what is selected; `None` where that cannot be told.
    fn result(&mut self, history: &History, versions: &[Version]) -> Result<Option<Version>, Failure> {
        let goes = |segment: &SegmentRow| goes(history, segment, self.selected, self.selection);
        let marks = marks(&history.chain, goes, self.teller)?;
        let replayable = replayable(versions.to_vec(), marks);
        let outcome = replay_from(&replayable, self.selection.decisions.unit, self.objects)?.outcome;
        Ok(outcome.settled(&replayable, &mut vec![]).ok())
    }

    /// Whether an edit brought a change back that was taken back before it, or that a recovery had taken away otherwise.
    fn judge(
        &mut self,
        history: &History,
        (versions, lines, recoveries): (&[Version], &LineSets<'_>, &[usize]),
        (change, at): (ChangeSeq, usize),
    ) -> Result<Verdict, Failure> {
        let chain = &history.chain;
        let (before, after) = (&versions[at], &versions[at + 1]);
        if is_same(before.as_ref(), after.as_ref()) {
            return Ok(Verdict::Nothing);
        }
        let is_recovery = recoveries.contains(&at);
        let had_it = |number: &usize| {
            is_same(versions[*number].as_ref(), after.as_ref()) && counted(chain, *number).get(&change) == Some(&false)
        };
        let whole = (1..=at).rev().find(had_it);
        let is_live = !chain.is_cancelled(change, None);
        let brought = lines.brought(change)?.filter(|brought| !brought.is_empty());
        let actor = self.actor(chain.segments[at].change)?;
        let Some(brought) = brought else {
            let is_there = lines.is_in(change, after, || lines.at(at + 1))? != Some(false);
            let is_away = is_there && whole.is_some_and(|whole| !is_live || recoveries.contains(&whole));
            return Ok(match actor {
                _ if !is_away => Verdict::Nothing,
                Actor::Recovery => Verdict::BringsItBack,
                // What is in it says it.
                _ if is_directory(after) => Verdict::Nothing,
                Actor::User | Actor::Unknown if says_much(before, after) => Verdict::BringsItBack,
                _ => Verdict::MayBe,
            });
        };
        let (Some(were), Some(now)) = (lines.at(at)?, lines.at(at + 1)?) else {
            return Ok(Verdict::Nothing);
        };
        let comes = brought.iter().any(|line| now.contains(line) && !were.contains(line));
        if !comes {
            return Ok(Verdict::Nothing);
        }
        if is_live {
            // What somebody else had taken away was theirs to decide.
            let lost = lost(lines, &brought, at)?;
            let is_own = goes(history, &chain.segments[lost], self.selected, self.selection);
            if !is_own && !recoveries.contains(&lost) {
                return Ok(Verdict::Nothing);
            }
        }
        let is_all = whole.is_some() || brought.is_subset(&now);
        Ok(match actor {
            _ if is_recovery => Verdict::BringsItBack,
            Actor::User | Actor::Unknown if is_all => Verdict::BringsItBack,
            Actor::Agent | Actor::Shared if !is_all => Verdict::Nothing,
            _ => Verdict::MayBe,
        })
    }

    fn actor(&mut self, change: ChangeSeq) -> Result<Actor, Failure> {
        let row = self.teller.row(change)?.map(|row| row.change.actor);
        Ok(row.unwrap_or(if change == UNRECORDED_EXTERNAL { Actor::User } else { Actor::Shared }))
    }

    /// Tells of what may have come again, where it is there in what the path would be without the rest.
    fn tell_unclear(
        &mut self,
        History { path, chain, .. }: &History,
        (lines, without): (&LineSets<'_>, Option<Version>),
        (change, at): (ChangeSeq, usize),
    ) -> Result<(), Failure> {
        let there = without.map(|without| lines.of_version(&without)).transpose().ok().flatten().flatten();
        let brought = lines.brought(change)?;
        if there.zip(brought).is_some_and(|(there, brought)| !brought.is_empty() && there.is_disjoint(&brought)) {
            return Ok(());
        }
        let by = chain.segments[at].change;
        let who = match self.teller.row(by)? {
            Some(row) => format!("{} ({})", name_of(&row.change), row.change.change_id),
            None => self.teller.unrecorded(by),
        };
        self.teller.findings.push(already::may_be_returned(path, &who));
        Ok(())
    }
}

/// The last edit before another one that took any of these lines away; that one itself where none did.
fn lost(lines: &LineSets<'_>, of: &HashSet<u64>, at: usize) -> Result<usize, Failure> {
    let count = |number: usize| -> Result<usize, Failure> {
        Ok(lines.at(number)?.map_or(0, |now| of.intersection(&now).count()))
    };
    let mut behind = count(at)?;
    for edit in (0..at).rev() {
        let before = count(edit)?;
        if before > behind {
            return Ok(edit);
        }
        behind = before;
    }
    Ok(at)
}

fn is_directory(version: &Version) -> bool {
    version.as_ref().is_some_and(|entry| matches!(entry.node, Node::Dir(_)))
}

/// Whether an edit that left what was there before is not likely to have come to that by chance: anybody may delete a file,
/// make an empty one or change a mode.
fn says_much(before: &Version, after: &Version) -> bool {
    let content = |version: &Version| match version.as_ref().map(|entry| &entry.node) {
        Some(Node::File(content)) => Some(content.hash),
        _ => None,
    };
    match after.as_ref().map(|entry| &entry.node) {
        None => false,
        Some(Node::File(file)) => file.size > 0 && content(before) != content(after),
        Some(_) => true,
    }
}
