//! What a recovery that went to a tree, or merged one in, brought back of what was taken back before, and took back again.
//!
//! Owns that: changes count again at a path as they did when what it left was there.
//! Refuses to know what plans make of it, and what others brought back: that is [`super::returned`].

mod line_sets;

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet, HashSet};

use serde_json::Value;
use wfr_capture::slice::{bare, is_same};
use wfr_catalog::{ChangeSeq, PathChain};
use wfr_model::TreePath;
use wfr_model::change::Segment;
use wfr_model::entry::Entry;
use wfr_model::recovery::{RecoveryKind, RecoveryRecord};
use wfr_recovery::replay::Version;
use wfr_store::Store;

use super::bringing;
use super::history::{History, counted, counted_as_of, histories, versions};
use super::moves::{Following, as_it_is};
use super::tracks::Brought;
use crate::error::Failure;
use crate::ledger::{Veil, Word};
use crate::open::Open;

pub use line_sets::LineSets;

/// What is to be said of changes after a recovery that did this to the tree.
pub fn words(open: &Open, record: &RecoveryRecord, effects: &[Segment]) -> Result<Vec<Word>, Failure> {
    if !open.catalog.has_cancellations()? {
        return Ok(vec![]);
    }
    let veil = Veil::of(open)?;
    let (mut chains, mut left) = (Vec::new(), BTreeMap::new());
    for effect in effects.iter().filter(|one| !is_same(one.before.as_ref(), one.after.as_ref())) {
        if let Some(chain) = open.catalog.chain_at(&veil.path(&effect.path)?.key)?.filter(may_matter) {
            chains.push(chain);
            left.insert(effect.path.clone(), effect.after.clone().map(bare));
        }
    }
    let following = Following { open, veil: &veil, unrecorded: None, fate: &as_it_is };
    let brought = bringing::to_tree(open, record)?;
    chains.extend(untouched(open, (record, brought.as_ref()), &chains)?);
    let then = match brought {
        Some(Brought::Behind(point)) => open.catalog.last_recovery_at(point)?,
        Some(Brought::Before(undone)) => Some(ChangeSeq(undone.0 - 1)),
        _ => None,
    };
    let returning = Returning { open, veil: &veil, brought, then, left, store: OnceCell::new() };
    let mut words = Vec::new();
    for history in following.follow(histories(open, &veil, chains, None)?)? {
        for (change, cancelled) in returning.counted(&history)? {
            if history.chain.is_cancelled(change, None) != cancelled {
                say(open, &history, (change, cancelled), &mut words)?;
            }
        }
    }
    Ok(words)
}

/// The chains of further paths at which what counts follows from where a recovery went, though it found them as they were to be:
/// a file may be as absent as it was, and something in it was taken back since.
fn untouched(
    open: &Open,
    (record, brought): (&RecoveryRecord, Option<&Brought>),
    known: &[PathChain],
) -> Result<Vec<PathChain>, Failure> {
    let is_empty = |key: &str| record.parameters.get(key).and_then(Value::as_array).is_none_or(Vec::is_empty);
    let is_full = record.parameters.get("restoration_mode").is_none_or(|mode| mode == "full")
        && ["file", "components", "exclude_components"].into_iter().all(is_empty);
    let is_whole = matches!(record.kind, RecoveryKind::Restore | RecoveryKind::EmergencyRestore) && is_full;
    let mut chains = match brought {
        Some(Brought::Behind(_)) if is_whole => open.catalog.chains_spoken_of(None)?,
        Some(Brought::Before(undone)) => open.catalog.chains_spoken_of(Some(*undone))?,
        _ => vec![],
    };
    let known: BTreeSet<&[u8]> = known.iter().map(|chain| chain.path.key.as_slice()).collect();
    chains.retain(|chain| !known.contains(chain.path.key.as_slice()));
    Ok(chains)
}

/// Whether anything was said at a path, or a file may have come from where something was.
fn may_matter(chain: &PathChain) -> bool {
    !chain.words.is_empty() || chain.segments.iter().any(|one| one.before.is_some() != one.after.is_some())
}

struct Returning<'r> {
    open: &'r Open,
    veil: &'r Veil<'r>,
    /// When what it left had been there.
    brought: Option<Brought>,
    /// The last recovery that had been then.
    then: Option<ChangeSeq>,
    /// What the recovery left.
    left: BTreeMap<TreePath, Option<Entry>>,
    store: OnceCell<Option<Store>>,
}

impl Returning<'_> {
    /// Changes that count at what the recovery left, or do not, as far as that is known.
    fn counted(&self, history: &History) -> Result<BTreeMap<ChangeSeq, bool>, Failure> {
        let mut then = BTreeMap::new();
        if history.chain.words.is_empty() {
            return Ok(then);
        }
        let names = || std::iter::once(&history.path).chain(&history.names);
        let left = names().filter_map(|name| Some((name, self.left.get(name)?)));
        let found = left.max_by_key(|(_, left)| left.is_some());
        let versions = versions(self.veil, history)?;
        // Where it did nothing, that is there which was there last.
        let last = || versions.last().filter(|_| history.is_there).map(|last| (&history.path, last));
        let Some((name, left)) = found.or_else(last) else { return Ok(then) };
        let is_it = |number: &usize| {
            let is_here = left.is_none() || history.place(*number) == name;
            is_here && is_same(versions[*number].as_ref(), left.as_ref())
        };
        let was_there = self.brought.as_ref().and_then(|brought| brought.version(&history.chain));
        if let Some(number) = was_there.filter(is_it) {
            return Ok(counted_as_of(&history.chain, number, self.then));
        }
        if found.is_none() {
            return Ok(then);
        }
        let mut is_known = false;
        for version in (0..versions.len()).filter(is_it) {
            is_known = true;
            for (change, cancelled) in counted(&history.chain, version) {
                // Where it counted at any time at which this was there, it is in it.
                then.entry(change).and_modify(|known| *known &= cancelled).or_insert(cancelled);
            }
        }
        let store = self.store.get_or_init(|| self.open.store().ok()).as_ref();
        let lines = store.map(|store| LineSets::of(store, &history.chain, &versions));
        let is_in = |change: ChangeSeq| {
            let lines = lines.as_ref()?;
            lines.is_in(change, left, || lines.of_version(left)).ok()?
        };
        // It may have counted and yet not have been in it, since somebody had gone back behind it.
        then.retain(|change, cancelled| {
            let is_said = history.chain.is_cancelled(*change, None) == *cancelled;
            is_said || is_in(*change) == Some(!*cancelled)
        });
        if let Some(lines) = lines.filter(|_| !is_known) {
            then.extend(self.merged_in(history, &lines, left).into_iter().map(|change| (change, false)));
        }
        Ok(then)
    }

    /// Changes that were taken back, and of which lines are there again. Of what cannot be read nothing is said.
    fn merged_in(&self, History { chain, .. }: &History, lines: &LineSets<'_>, left: &Version) -> Vec<ChangeSeq> {
        let last = chain.segments.len();
        let Some((now, before)) = lines.of_version(left).ok().flatten().zip(lines.at(last).ok().flatten()) else {
            return vec![];
        };
        let came: HashSet<u64> = now.difference(&before).copied().collect();
        let is_back = |change: &ChangeSeq| {
            lines.brought(*change).ok().flatten().is_some_and(|brought| !brought.is_disjoint(&came))
        };
        let changes: BTreeMap<ChangeSeq, bool> = counted(chain, last);
        changes.into_iter().filter(|(_, cancelled)| *cancelled).map(|(change, _)| change).filter(is_back).collect()
    }
}

/// Says of a change what it is, wherever it did something to the file.
fn say(
    open: &Open,
    history: &History,
    (of, cancelled): (ChangeSeq, bool),
    words: &mut Vec<Word>,
) -> Result<(), Failure> {
    let Some(row) = open.catalog.change_at(of)? else { return Ok(()) };
    let own = history.chain.segments.iter().enumerate().filter(|(_, one)| one.change == of);
    let places: BTreeSet<&TreePath> = own.flat_map(|(at, _)| [history.place(at), history.place(at + 1)]).collect();
    words.extend(places.into_iter().map(|place| Word::own(place.clone(), row.change.change_id.clone(), cancelled)));
    Ok(())
}
