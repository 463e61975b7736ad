//! What a recovery that went to a tree, or merged one in, brought back of what was taken back before, and took back again.
//!
//! Owns that: changes count again at a path as they did when what it left was there; and which lines a change brought there.
//! Refuses to know what plans make of it, and what others brought back: that is [`super::returned`].

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet, HashSet};

use serde_json::Value;
use wfr_capture::slice::{bare, is_same};
use wfr_catalog::{ChangeSeq, PathChain, SegmentRow};
use wfr_model::TreePath;
use wfr_model::change::Segment;
use wfr_model::entry::{Entry, Node};
use wfr_model::recovery::{RecoveryKind, RecoveryRecord};
use wfr_recovery::merge::{BYTES_MAX, is_binary};
use wfr_recovery::replay::from_store;
use wfr_store::{Objects, ReadError, Store};

use super::bringing;
use super::history::{History, counted, counted_as_of, histories, versions};
use super::moves::Following;
use super::tracks::{Brought, Fate};
use crate::error::Failure;
use crate::ledger::{Veil, Word};
use crate::open::Open;

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
    let fate = |part: &History, segment: &SegmentRow| match part.chain.is_cancelled(segment.change, None) {
        true => Fate::Gone,
        false => Fate::Stays,
    };
    let following = Following { open, veil: &veil, unrecorded: None, fate: &fate };
    let brought = bringing::to_tree(open, record)?;
    chains.extend(untouched(open, (record, brought.as_ref()), &chains)?);
    let returning = Returning { open, veil: &veil, brought, left, store: OnceCell::new() };
    let mut words = Vec::new();
    for history in following.follow(histories(open, &veil, chains, None)?)? {
        for (change, cancelled) in returning.counted(&history)? {
            if history.chain.is_cancelled(change, None) != cancelled {
                returning.say(&history, (change, cancelled), &mut words)?;
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
        Some(Brought::Behind(_)) if is_whole => open.catalog.chains_spoken_of()?,
        Some(Brought::Before(undone)) => {
            let said = open.catalog.cancellations_by(*undone)?;
            let paths: BTreeSet<Vec<u8>> = said.into_iter().map(|(path, ..)| path.key).collect();
            let chains = paths.iter().map(|path| Ok(open.catalog.chain_at(path)?));
            chains.collect::<Result<Vec<_>, Failure>>()?.into_iter().flatten().collect()
        }
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
        if let Some((number, then)) = self.was_there(history)?.filter(|(number, _)| is_it(number)) {
            return Ok(counted_as_of(&history.chain, number, then));
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
        // It may have counted and yet not have been in it, since somebody had gone back behind it.
        then.retain(|change, cancelled| {
            let is_said = history.chain.is_cancelled(*change, None) == *cancelled;
            is_said || self.is_in(history, (&versions, left), *change) == Some(!*cancelled)
        });
        if !is_known {
            then.extend(self.merged_in(history, &versions, left).into_iter().map(|change| (change, false)));
        }
        Ok(then)
    }

    /// The version that was there when what the recovery left had been, and the last recovery that had been then.
    fn was_there(&self, History { chain, .. }: &History) -> Result<Option<(usize, Option<ChangeSeq>)>, Failure> {
        let mut rows = chain.segments.iter();
        Ok(match self.brought {
            Some(Brought::Behind(point)) => {
                let number = rows.take_while(|row| row.point <= point).count();
                Some((number, self.open.catalog.last_recovery_at(point)?))
            }
            Some(Brought::Before(undone)) => {
                let number = rows.position(|row| row.change == undone).unwrap_or(chain.segments.len());
                Some((number, Some(ChangeSeq(undone.0 - 1))))
            }
            _ => None,
        })
    }

    /// Whether what a change did is in what the recovery left; `None` where that cannot be told.
    fn is_in(
        &self,
        History { chain, .. }: &History,
        (versions, left): (&[Option<Entry>], &Option<Entry>),
        change: ChangeSeq,
    ) -> Option<bool> {
        let store = self.store.get_or_init(|| self.open.store().ok()).as_ref()?;
        is_in(store, (chain, versions), change, left).ok()?
    }

    /// Changes that were taken back, and of which lines are there again. Of what cannot be read nothing is said.
    fn merged_in(
        &self,
        History { chain, .. }: &History,
        versions: &[Option<Entry>],
        left: &Option<Entry>,
    ) -> Vec<ChangeSeq> {
        let Some(store) = self.store.get_or_init(|| self.open.store().ok()) else { return vec![] };
        let lines = |version: &Option<Entry>| lines_of(store, version).ok().flatten();
        let Some((now, before)) = lines(left).zip(versions.last().and_then(lines)) else { return vec![] };
        let came: Lines = now.difference(&before).cloned().collect();
        let is_back = |change: &ChangeSeq| {
            let brought = brought(store, (chain, versions), *change).ok().flatten();
            brought.is_some_and(|brought| !brought.is_disjoint(&came))
        };
        let changes: BTreeMap<ChangeSeq, bool> = counted(chain, chain.segments.len());
        changes.into_iter().filter(|(_, cancelled)| *cancelled).map(|(change, _)| change).filter(is_back).collect()
    }

    /// Says of a change what it is, wherever it did something to the file.
    fn say(&self, history: &History, (of, cancelled): (ChangeSeq, bool), words: &mut Vec<Word>) -> Result<(), Failure> {
        let Some(row) = self.open.catalog.change_at(of)? else { return Ok(()) };
        for name in history.names.iter().chain([&history.path]) {
            let chain = self.open.catalog.chain_at(&self.veil.path(name)?.key)?;
            if chain.is_some_and(|chain| chain.segments.iter().any(|one| one.change == of)) {
                words.push(Word::own(name.clone(), row.change.change_id.clone(), cancelled));
            }
        }
        Ok(())
    }
}

/// Lines that say something, without the spaces around them.
pub type Lines = HashSet<Vec<u8>>;

/// At most so many bytes of versions are looked through for lines.
const TOGETHER_MAX: u64 = 128 << 20;

/// The lines that a change brought at a path, and that no version before had; `None` where one of them is no text, or they are
/// too large together.
///
/// Errors: what reading a version says.
pub fn brought(
    objects: &dyn Objects,
    (chain, versions): (&PathChain, &[Option<Entry>]),
    change: ChangeSeq,
) -> Result<Option<Lines>, ReadError> {
    let (mut known, mut brought) = (Lines::new(), Lines::new());
    let Some(last) = chain.segments.iter().rposition(|one| one.change == change) else { return Ok(None) };
    let size = |version: &Option<Entry>| match version.as_ref().map(|entry| &entry.node) {
        Some(Node::File(content)) => content.size,
        _ => 0,
    };
    if versions.iter().map(size).sum::<u64>() > TOGETHER_MAX {
        return Ok(None);
    }
    for (number, version) in versions[..=last + 1].iter().enumerate() {
        let Some(lines) = lines_of(objects, version)? else { return Ok(None) };
        if number > 0 && chain.segments[number - 1].change == change {
            brought.extend(lines.difference(&known).cloned());
        }
        known.extend(lines);
    }
    Ok(Some(brought))
}

/// Whether what a change did at a path is in something that was there: any line that it brought, or, where it brought none, that
/// all lines are gone that it took away, or that it is what the change left. `None` where that cannot be told.
///
/// Errors: what reading a version says.
pub fn is_in(
    objects: &dyn Objects,
    (chain, versions): (&PathChain, &[Option<Entry>]),
    change: ChangeSeq,
    left: &Option<Entry>,
) -> Result<Option<bool>, ReadError> {
    let own = || chain.segments.iter().enumerate().filter(|(_, one)| one.change == change).map(|(at, _)| at);
    let is_left = || own().any(|at| is_same(versions[at + 1].as_ref(), left.as_ref()));
    let Some(brought) = brought(objects, (chain, versions), change)? else { return Ok(Some(is_left())) };
    let Some(now) = lines_of(objects, left)? else { return Ok(Some(is_left())) };
    if !brought.is_empty() {
        return Ok(Some(!brought.is_disjoint(&now)));
    }
    let mut taken = Lines::new();
    for at in own() {
        let (before, after) = (lines_of(objects, &versions[at])?, lines_of(objects, &versions[at + 1])?);
        taken.extend(before.unwrap_or_default().difference(&after.unwrap_or_default()).cloned());
    }
    Ok(Some(if taken.is_empty() { is_left() } else { taken.is_disjoint(&now) }))
}

/// The lines of a version; none where nothing was there, `None` where it is no text.
///
/// Errors: what reading it says.
pub fn lines_of(objects: &dyn Objects, version: &Option<Entry>) -> Result<Option<Lines>, ReadError> {
    let Some(entry) = version else { return Ok(Some(Lines::new())) };
    let Node::File(content) = &entry.node else { return Ok(None) };
    if content.size > BYTES_MAX {
        return Ok(None);
    }
    let text = from_store(objects)(content)?;
    if is_binary(&text) {
        return Ok(None);
    }
    let says_something = |line: &&[u8]| line.iter().any(|byte| byte.is_ascii_alphanumeric() || !byte.is_ascii());
    let lines = text.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    Ok(Some(lines.filter(says_something).map(<[u8]>::to_vec).collect()))
}
