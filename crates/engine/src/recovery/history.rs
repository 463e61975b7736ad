//! Histories of paths as plans need them: what the ledger has, and what a look at the tree found since.
//!
//! Owns how the two are joined. Refuses to judge what should become of an edit.

use std::collections::{BTreeMap, BTreeSet};

use wfr_catalog::{ChangeSeq, NewPoint, PathChain, PointSeq, SegmentRow};
use wfr_model::change::{Actor, Change};
use wfr_model::entry::Entry;
use wfr_model::{ChangeId, Digest, TreePath};
use wfr_recovery::replay::{By, Edit, Mark};

use super::telling::Teller;
use crate::error::Failure;
use crate::ledger::{self, Veil};
use crate::open::Open;
use crate::pathspec::PathSpecs;

/// The number of changes that no ledger has yet.
pub const UNRECORDED: ChangeSeq = ChangeSeq(i64::MAX);

/// The same of those that are the user's, or of somebody unknown.
pub const UNRECORDED_EXTERNAL: ChangeSeq = ChangeSeq(i64::MAX - 1);

/// Whether the ledger has a change.
pub fn is_recorded(change: ChangeSeq) -> bool {
    change < UNRECORDED_EXTERNAL
}

/// The number of a change that a look found.
pub fn seq_of(open: &Open, point: &NewPoint, id: &ChangeId) -> Result<ChangeSeq, Failure> {
    if let Some(row) = open.catalog.change(id)? {
        return Ok(row.seq);
    }
    let new = point.changes.iter().find(|new| new.change.change_id == *id);
    Ok(new.map_or(UNRECORDED, |new| unrecorded_seq(&new.change)))
}

/// The number of a change that the ledger does not have yet.
pub fn unrecorded_seq(change: &Change) -> ChangeSeq {
    if matches!(change.actor, Actor::User | Actor::Unknown) { UNRECORDED_EXTERNAL } else { UNRECORDED }
}

/// A plan of single paths leads to no tree that is known: its digest is that of its steps, whatever else happens in the
/// workspace.
pub const NO_TREE: Digest = Digest([0; 32]);

/// One path's history with what the tree shows beyond it.
pub struct History {
    /// The path: of a file that moved, where it is now; of one that gave way to another one, where it would be.
    pub path: TreePath,
    /// Whether what happened last there is this file's; else it is nowhere, and another one may be at the path.
    pub is_there: bool,
    /// Whether it ever gave way to another one: whose deletion that counts as follows from what goes.
    pub gave_way: bool,
    /// What happened there, or at the other names that its file had.
    pub chain: PathChain,
    /// These names, oldest first.
    pub names: Vec<TreePath>,
    /// Where each version of a file that moved was, the first one before any segment; empty where it never moved.
    pub places: Vec<TreePath>,
}

impl History {
    /// That of a path at which no file ever came or went.
    pub fn of(path: TreePath, chain: PathChain) -> Self {
        Self { path, is_there: true, gave_way: false, chain, names: vec![], places: vec![] }
    }

    /// Whether any of these paths is it, or one of its names, or above them.
    pub fn is_meant_by(&self, files: &PathSpecs) -> bool {
        files.mean_any(&std::iter::once(&self.path).chain(&self.names).collect::<Vec<_>>())
    }

    /// Where version `number` was.
    pub fn place(&self, number: usize) -> &TreePath {
        self.places.get(number).unwrap_or(&self.path)
    }

    /// The last point behind which it was at a path; `None` where it was there behind what the ledger does not have yet, or never.
    pub fn was_at(&self, path: &TreePath) -> Option<PointSeq> {
        let behind = self.chain.segments.iter().enumerate().rev();
        let there = |(at, row): &(usize, &SegmentRow)| row.after.is_some() && self.place(at + 1) == path;
        let point = behind.into_iter().find(there).map(|(_, row)| row.point);
        let at_first = || (self.place(0) == path).then_some(PointSeq(0));
        point.or_else(at_first).filter(|point| *point < PointSeq(i64::MAX))
    }

    /// Its other names, each with where the file is now.
    pub fn renamed(&self) -> impl Iterator<Item = (TreePath, TreePath)> {
        self.names.iter().map(|name| (name.clone(), self.path.clone()))
    }

    /// The same entry where the file is now, wherever it was.
    pub fn here(&self, entry: Entry) -> Entry {
        Entry { name: self.path.as_bytes().to_vec(), ..entry }
    }

    /// Something decided for a file, where its replay would leave it.
    pub fn settled(&self, chain: &wfr_recovery::replay::Chain, entry: Option<Entry>) -> Option<Entry> {
        let name = wfr_recovery::replay::name(chain).unwrap_or_else(|| self.path.as_bytes().to_vec());
        entry.map(|entry| Entry { name, ..entry })
    }

    /// Where what a replay gave belongs, and the entry as it is called there.
    pub fn placed(&self, entry: Entry) -> (TreePath, Entry) {
        let place = self.places.iter().find(|place| place.as_bytes() == entry.name).unwrap_or(&self.path);
        (place.clone(), Entry { name: place.name().to_vec(), ..entry })
    }
}

/// Chains with what a look found since, sorted by path.
pub fn histories(
    open: &Open,
    veil: &Veil<'_>,
    mut chains: Vec<PathChain>,
    unrecorded: Option<&NewPoint>,
) -> Result<Vec<History>, Failure> {
    if let Some(point) = unrecorded {
        let place: BTreeMap<&[u8], usize> =
            chains.iter().enumerate().map(|(at, chain)| (chain.path.key.as_slice(), at)).collect();
        let mut news: Vec<(usize, SegmentRow)> = Vec::new();
        for segment in &point.segments {
            if let Some(at) = place.get(segment.path.key.as_slice()) {
                let change = seq_of(open, point, &segment.change)?;
                let (before, after) = (segment.before.clone(), segment.after.clone());
                news.push((*at, SegmentRow { point: PointSeq(i64::MAX), change, replayed: false, before, after }));
            }
        }
        news.into_iter().for_each(|(at, row)| chains[at].segments.push(row));
    }
    let shown = |chain: PathChain| Ok(History::of(veil.shown(&chain.path)?, chain));
    let mut histories: Vec<History> = chains.into_iter().map(shown).collect::<Result<_, Failure>>()?;
    histories.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(histories)
}

/// Whether any of the changes did anything at a path.
pub fn is_touched(
    open: &Open,
    veil: &Veil<'_>,
    path: &TreePath,
    selected: &BTreeSet<ChangeSeq>,
) -> Result<bool, Failure> {
    let chain = open.catalog.chain_at(&veil.path(path)?.key)?;
    Ok(chain.is_some_and(|chain| chain.segments.iter().any(|one| selected.contains(&one.change))))
}

/// The histories of all paths that the changes touched.
pub fn histories_of(
    open: &Open,
    veil: &Veil<'_>,
    selected: &BTreeSet<ChangeSeq>,
    unrecorded: Option<&NewPoint>,
) -> Result<Vec<History>, Failure> {
    let seqs: Vec<ChangeSeq> = selected.iter().copied().filter(|seq| is_recorded(*seq)).collect();
    let mut chains = open.catalog.chains_of(&seqs)?;
    if let Some(point) = unrecorded {
        let mut known: BTreeSet<Vec<u8>> = chains.iter().map(|chain| chain.path.key.clone()).collect();
        // A change that goes on is selected only to show what would be taken back of it.
        let is_all = selected.contains(&UNRECORDED_EXTERNAL);
        for segment in &point.segments {
            let path = &segment.path;
            let is_meant = is_all || selected.contains(&seq_of(open, point, &segment.change)?);
            if !is_meant || !known.insert(path.key.clone()) {
                continue;
            }
            let fresh = || PathChain { path: path.clone(), segments: vec![], words: vec![], reads: vec![] };
            chains.push(open.catalog.chain_at(&path.key)?.unwrap_or_else(fresh));
        }
    }
    histories(open, veil, chains, unrecorded)
}

/// All versions of a path, the first one before any segment, under its name; those of a file that moved have where they were,
/// whole, for a name, so that it is merged with the rest: see [`History::placed`].
pub fn versions(veil: &Veil<'_>, history: &History) -> Result<Vec<Option<Entry>>, Failure> {
    let segments = &history.chain.segments;
    let first = segments.first().and_then(|segment| segment.before.as_deref());
    let all = std::iter::once(first).chain(segments.iter().map(|segment| segment.after.as_deref()));
    let name = |number: usize| match history.places.get(number) {
        Some(place) => place.as_bytes().to_vec(),
        None => history.path.name().to_vec(),
    };
    let named = |number: usize, entry: Entry| Entry { name: name(number), ..entry };
    let entry = |number: usize, kept| Ok(ledger::entry_of(veil, kept)?.map(|entry| named(number, entry)));
    all.enumerate().map(|(number, kept)| entry(number, kept)).collect()
}

/// A chain to be replayed: its versions, with a mark for each segment, and whose it is.
pub fn replayable(versions: Vec<Option<Entry>>, marks: Vec<(Mark, By)>) -> wfr_recovery::replay::Chain {
    let mut versions = versions.into_iter();
    let first = versions.next().flatten();
    let edits = marks.into_iter().zip(versions).map(|((mark, by), after)| Edit { mark, by, after }).collect();
    wfr_recovery::replay::Chain { first, edits }
}

/// What becomes of the edits of a chain, and whose they are, where those go that are `gone`, and those that were taken back before.
pub fn marks(
    chain: &PathChain,
    gone: impl Fn(&SegmentRow) -> bool,
    teller: &mut Teller<'_>,
) -> Result<Vec<(Mark, By)>, Failure> {
    marks_where(chain, |segment| Ok(gone(segment) || chain.is_cancelled(segment.change, None)), teller)
}

/// The same where those go that are `gone`, and no others. What went by hand stays gone with what was made then.
pub fn marks_where(
    chain: &PathChain,
    mut gone: impl FnMut(&SegmentRow) -> Result<bool, Failure>,
    teller: &mut Teller<'_>,
) -> Result<Vec<(Mark, By)>, Failure> {
    let mut mark = |segment: &SegmentRow| {
        if segment.replayed {
            return Ok::<_, Failure>(neutral(chain, segment));
        }
        let is_gone = gone(segment)?
            && match carrier(chain, segment, None) {
                Some(carrier) => gone(carrier)?,
                None => true,
            };
        Ok(if is_gone { Mark::Removed } else { Mark::Kept })
    };
    chain.segments.iter().map(|segment| Ok((mark(segment)?, whose(chain, segment, teller)?))).collect()
}

/// The marks of the edits behind version `from`, as a chain has them that begins with it.
pub fn marks_behind(mut marks: Vec<(Mark, By)>, from: usize) -> Vec<(Mark, By)> {
    let mut behind = marks.split_off(from);
    for (mark, by) in &mut behind {
        if let Mark::Neutral { gone: Some(gone) } = mark {
            *gone = gone.iter().filter_map(|edit| edit.checked_sub(from)).filter(|edit| *edit > 0).collect();
        }
        if let By::Return(to) = by {
            *to = to.and_then(|to| to.checked_sub(from));
        }
    }
    behind
}

/// Whose an edit is, as a replay wants to know it: of one that is no replay, and of which it is known that it brought work back
/// or took it back, that it did; so does a recovery that goes to a tree, and its record says to which version it went.
fn whose(chain: &PathChain, segment: &SegmentRow, teller: &mut Teller<'_>) -> Result<By, Failure> {
    let by = teller.by(segment.change)?;
    let has_spoken = || chain.words.iter().any(|(_, by, _)| *by == segment.change);
    Ok(match by {
        _ if segment.replayed => by,
        By::Recovery => {
            let brought = teller.brought(segment.change)?;
            By::Return(brought.and_then(|brought| brought.version(chain)))
        }
        _ if has_spoken() => By::Return(None),
        by => by,
    })
}

/// The edit by hand with which a change went at a path where it is taken back, as of another change or now: what was left then
/// is made of both, so that the one is never replayed without the other.
fn carrier<'c>(chain: &'c PathChain, segment: &SegmentRow, then: Option<ChangeSeq>) -> Option<&'c SegmentRow> {
    let is_by_hand =
        |by: ChangeSeq| move |one: &&SegmentRow| one.change == by && !one.replayed && one.point > segment.point;
    let (mut carrier, mut former, mut was_taken) = (None, None, false);
    let words = chain.words.iter().filter(|(of, by, _)| *of == segment.change && then.is_none_or(|then| *by <= then));
    for (_, by, is_taken) in words {
        match (was_taken, *is_taken) {
            // Whoever undoes the undo of such an edit brings it back with what went.
            (false, true) => {
                let comes_back = |one: &&SegmentRow| chain.words.contains(&(one.change, *by, false));
                carrier = chain.segments.iter().find(is_by_hand(*by)).or(former.filter(comes_back));
            }
            (true, false) => former = carrier.take().or(former),
            // Later recoveries may say the same again.
            _ => {}
        }
        was_taken = *is_taken;
    }
    carrier
}

/// What counts of a version: the changes that made it, each with whether it was taken back then.
pub fn counted(chain: &PathChain, version: usize) -> BTreeMap<ChangeSeq, bool> {
    counted_as_of(chain, version, None)
}

/// The same as of a change that may not have done anything there.
pub fn counted_as_of(chain: &PathChain, version: usize, then: Option<ChangeSeq>) -> BTreeMap<ChangeSeq, bool> {
    let made = &chain.segments[..version];
    let then = made.iter().map(|one| one.change).max().max(then);
    let own = made.iter().filter(|one| !one.replayed);
    own.map(|one| (one.change, chain.is_cancelled(one.change, then))).collect()
}

/// The mark of an earlier recovery's segment that is, by definition, what was live then.
fn neutral(chain: &PathChain, segment: &SegmentRow) -> Mark {
    let then = Some(segment.change);
    let is_gone = |one: &SegmentRow| {
        let carrier = || carrier(chain, one, then);
        !one.replayed
            && one.point < segment.point
            && chain.is_cancelled(one.change, then)
            && carrier().is_none_or(|carrier| chain.is_cancelled(carrier.change, then))
    };
    let gone = chain.segments.iter().enumerate().filter(|(_, one)| is_gone(one)).map(|(at, _)| at + 1);
    Mark::Neutral { gone: Some(gone.collect()) }
}
