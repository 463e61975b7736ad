//! Files that are to be somewhere else than they are: a move of them goes, or comes again, or another file came to their place.
//!
//! Owns what is wished for a file, whether there is room, and what is wished for at both ends. Refuses to decide where there is
//! none.

use std::collections::{BTreeMap, BTreeSet};

use wfr_catalog::PointSeq;
use wfr_model::TreePath;
use wfr_model::entry::Entry;
use wfr_recovery::plan::Wish;
use wfr_store::ReadError;
use wfr_store::tree::Finder;

use super::history::History;

/// What a file is to be, by where.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Wished {
    /// This, where it is; `None`: nothing.
    Here(Option<Entry>),
    /// It comes to another place.
    Elsewhere(Arrival),
    /// Nothing, and it is nowhere now.
    Nowhere,
}

impl Wished {
    /// Of what a replay gave of a file's history.
    pub fn of(history: &History, entry: Option<Entry>) -> Self {
        let Some((to, entry)) = entry.map(|entry| history.placed(entry)) else {
            return if history.is_there { Self::Here(None) } else { Self::Nowhere };
        };
        if history.is_there && to == history.path {
            return Self::Here(Some(entry));
        }
        let (from, behind) = (history.path.clone(), history.was_at(&to));
        Self::Elsewhere(Arrival { from, is_there: history.is_there, to, behind, entry })
    }
}

/// A file that comes to a place.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Arrival {
    /// Where it is, or would be.
    pub from: TreePath,
    /// Whether it is there; else it is nowhere.
    pub is_there: bool,
    /// Where it is to be.
    pub to: TreePath,
    /// The point behind which it was there before; `None` where the ledger has none yet.
    pub behind: Option<PointSeq>,
    /// What it is there.
    pub entry: Entry,
}

/// Wishes for files to be where they are to be, and no longer where they are. Those in whose way something else is, or would
/// come, are handed back, and nothing is wished for them.
pub fn settle(
    wishes: &mut Vec<Wish>,
    arrivals: Vec<Arrival>,
    now: &mut Finder<'_>,
) -> Result<(Vec<Arrival>, Vec<Arrival>), ReadError> {
    let (mut coming, mut stuck) = (arrivals, Vec::new());
    loop {
        let goes: BTreeMap<&TreePath, bool> = wishes.iter().map(|wish| (&wish.path, wish.entry.is_none())).collect();
        let leaving: BTreeSet<TreePath> =
            coming.iter().filter(|one| one.is_there).map(|one| one.from.clone()).collect();
        let mut places: BTreeMap<TreePath, usize> = BTreeMap::new();
        coming.iter().for_each(|one| *places.entry(one.to.clone()).or_default() += 1);
        let (mut fits, before) = (Vec::new(), stuck.len());
        for one in coming {
            let is_free = match goes.get(&one.to) {
                Some(goes) => *goes,
                None => leaving.contains(&one.to) || now.lookup(&one.to)?.is_none(),
            };
            if is_free && places[&one.to] == 1 { fits.push(one) } else { stuck.push(one) }
        }
        coming = fits;
        if stuck.len() == before {
            break;
        }
    }
    coming.iter().for_each(|one| enforce(wishes, one));
    Ok((coming, stuck))
}

/// Wishes for a file to be where it is to be, whatever is there.
pub fn enforce(wishes: &mut Vec<Wish>, Arrival { from, is_there, to, entry, .. }: &Arrival) {
    wishes.retain(|wish| wish.path != *to);
    wishes.push(Wish { path: to.clone(), entry: Some(entry.clone()) });
    if *is_there && wishes.iter().all(|wish| wish.path != *from) {
        wishes.push(Wish { path: from.clone(), entry: None });
    }
}

/// Where files are again, and the points behind which they were there before.
pub fn places(arrivals: &[Arrival]) -> Vec<(TreePath, i64)> {
    arrivals.iter().filter_map(|one| Some((one.to.clone(), one.behind?.0))).collect()
}
