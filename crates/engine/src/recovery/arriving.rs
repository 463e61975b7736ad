//! Files that are to be somewhere else than they are: a move of them goes, or comes again.
//!
//! Owns whether there is room, and what is wished for at both ends. Refuses to decide where there is none.

use std::collections::{BTreeMap, BTreeSet};

use wfr_model::TreePath;
use wfr_model::entry::Entry;
use wfr_recovery::plan::Wish;
use wfr_store::ReadError;
use wfr_store::tree::Finder;

/// A file that gets another name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Arrival {
    /// Where it is.
    pub from: TreePath,
    /// Where it is to be.
    pub to: TreePath,
    /// What it is there.
    pub entry: Entry,
}

/// Wishes for files to be where they are to be, and no longer where they are. Those in whose way something else is, or would
/// come, are handed back, and nothing is wished for them.
pub fn settle(wishes: &mut Vec<Wish>, arrivals: Vec<Arrival>, now: &mut Finder<'_>) -> Result<Vec<Arrival>, ReadError> {
    let (mut coming, mut stuck) = (arrivals, Vec::new());
    loop {
        let goes: BTreeMap<&TreePath, bool> = wishes.iter().map(|wish| (&wish.path, wish.entry.is_none())).collect();
        let leaving: BTreeSet<TreePath> = coming.iter().map(|one| one.from.clone()).collect();
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
    coming.into_iter().for_each(|one| enforce(wishes, one));
    Ok(stuck)
}

/// Wishes for a file to be where it is to be, whatever is there.
pub fn enforce(wishes: &mut Vec<Wish>, Arrival { from, to, entry }: Arrival) {
    wishes.retain(|wish| wish.path != to);
    wishes.push(Wish { path: to, entry: Some(entry) });
    if wishes.iter().all(|wish| wish.path != from) {
        wishes.push(Wish { path: from, entry: None });
    }
}
