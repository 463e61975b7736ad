//! Files that came where others went, and were not moved there as they were.
//!
//! Owns which these are, and where they are now: one that moved on since, or what came where it was deleted in its turn. Refuses
//! to know what is in them.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use wfr_catalog::{ChangeSeq, NewPoint, PathKey, PointSeq};
use wfr_model::TreePath;
use wfr_store::ReadError;

use super::{Held, Move, Moves, OfChange};
use crate::error::Failure;
use crate::ledger::Veil;
use crate::open::Open;

/// What one look found of one change.
pub type Look = (ChangeSeq, PointSeq);

/// Whether something is at a path now.
pub type IsThere<'i> = dyn FnMut(&TreePath) -> Result<bool, ReadError> + 'i;

/// Finds what came.
pub struct Coming<'m> {
    moves: Moves<'m>,
    known: BTreeMap<Look, Came>,
}

/// What came, in short.
#[derive(Default)]
struct Came {
    is_any: bool,
    /// Whether any came where nothing was.
    is_any_new: bool,
    held: HashSet<Held>,
}

impl<'m> Coming<'m> {
    /// In what the ledger has, and what a look found that it does not have yet.
    pub fn new(open: &'m Open, veil: &'m Veil<'m>, unrecorded: Option<&'m NewPoint>) -> Self {
        Self { moves: Moves::new(open, veil, unrecorded), known: BTreeMap::new() }
    }

    /// Whether anything came with a change, found by one look, that may be a file which held this before; where that is there
    /// still, only what came where nothing was, or holds just the same.
    pub fn may_be_with(&mut self, look: Look, (held, is_there): (Option<&Held>, bool)) -> Result<bool, Failure> {
        if !self.known.contains_key(&look) {
            let mut known = Came::default();
            for (_, come, is_new) in self.came(look)? {
                known.is_any = true;
                known.is_any_new |= is_new;
                known.held.extend(come);
            }
            self.known.insert(look, known);
        }
        let Came { is_any, is_any_new, held: all } = &self.known[&look];
        Ok(*is_any_new || *is_any && !is_there || held.is_some_and(|held| all.contains(held)))
    }

    /// Files and links that came with a change, found by one look, also over others, by where they are now, each with whether
    /// nothing was where it came to.
    pub fn with(&mut self, look: Look, is_there: &mut IsThere<'_>) -> Result<BTreeMap<TreePath, bool>, Failure> {
        let (mut found, mut seen, mut looks) = (BTreeMap::new(), BTreeSet::from([look]), vec![look]);
        while let Some(look) = looks.pop() {
            for (key, _, is_new) in self.came(look)? {
                let on = self.follow(key, look, is_there)?;
                if let Some(place) = on.place {
                    *found.entry(place).or_default() |= is_new;
                }
                looks.extend(on.gone.filter(|look| seen.insert(*look)));
            }
        }
        Ok(found)
    }

    fn came(&mut self, (change, point): Look) -> Result<Vec<(PathKey, Option<Held>, bool)>, Failure> {
        let ends = self.moves.ends(change)?;
        let moved: BTreeSet<&PathKey> = self.moves.of(change)?.moves.iter().map(|one| &one.to).collect();
        let came = ends.iter().filter(|end| end.point == point && end.is_coming && !moved.contains(&end.path));
        Ok(came.map(|end| (end.path.clone(), end.come.clone(), !end.was_held)).collect())
    }

    /// Where a file is that came to a path, or which look found that it was deleted.
    fn follow(&mut self, mut key: PathKey, mut look: Look, is_there: &mut IsThere<'_>) -> Result<Followed, Failure> {
        loop {
            let path = self.moves.veil.shown(&key)?;
            if is_there(&path)? {
                return Ok(Followed { place: Some(path), gone: None });
            }
            let chain = self.moves.load(&key)?.chain;
            let mut since = chain.segments.iter().skip_while(|one| (one.change, one.point) != look).skip(1);
            let Some(gone) = since.find(|one| one.after.is_none()).map(|one| (one.change, one.point)) else {
                return Ok(Followed::default());
            };
            let OfChange { moves, at } = self.moves.of(gone.0)?;
            let mut here = at.get(&key.key).into_iter().flatten().map(|at| &moves[*at]);
            let Some(Move { to, .. }) = here.find(|one| one.from == key && one.point == gone.1) else {
                return Ok(Followed { place: None, gone: Some(gone) });
            };
            let to = to.clone();
            (key, look) = (to, gone);
        }
    }
}

/// What became of a file that came.
#[derive(Default)]
struct Followed {
    place: Option<TreePath>,
    gone: Option<Look>,
}
