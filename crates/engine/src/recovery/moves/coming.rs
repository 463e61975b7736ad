//! Files that came where others were deleted, and were not moved there as they were.
//!
//! Owns which these are, and where they are now: one that moved on since, or what came where it was deleted in its turn. Refuses
//! to know what is in them.

use std::collections::BTreeSet;

use wfr_catalog::{ChangeSeq, NewPoint, PathKey, PointSeq};
use wfr_model::TreePath;
use wfr_store::ReadError;

use super::{Move, Moves, OfChange};
use crate::error::Failure;
use crate::ledger::Veil;
use crate::open::Open;

/// What one look found of one change.
pub type Look = (ChangeSeq, PointSeq);

/// Whether something is at a path now.
pub type IsThere<'i> = dyn FnMut(&TreePath) -> Result<bool, ReadError> + 'i;

/// Finds what came.
pub struct Coming<'m>(Moves<'m>);

impl<'m> Coming<'m> {
    /// In what the ledger has, and what a look found that it does not have yet.
    pub fn new(open: &'m Open, veil: &'m Veil<'m>, unrecorded: Option<&'m NewPoint>) -> Self {
        Self(Moves::new(open, veil, unrecorded))
    }

    /// Files and links that came with a change, found by one look, also over others, by where they are now.
    pub fn with(&mut self, look: Look, is_there: &mut IsThere<'_>) -> Result<BTreeSet<TreePath>, Failure> {
        let (mut found, mut seen, mut looks) = (BTreeSet::new(), BTreeSet::from([look]), vec![look]);
        while let Some(look) = looks.pop() {
            for key in self.came(look)? {
                let on = self.follow(key, look, is_there)?;
                found.extend(on.place);
                looks.extend(on.gone.filter(|look| seen.insert(*look)));
            }
        }
        Ok(found)
    }

    fn came(&mut self, (change, point): Look) -> Result<Vec<PathKey>, Failure> {
        let ends = self.0.ends(change)?;
        let moved: BTreeSet<&PathKey> = self.0.of(change)?.moves.iter().map(|one| &one.to).collect();
        let came = ends.iter().filter(|end| end.point == point && end.is_coming && !moved.contains(&end.path));
        Ok(came.map(|end| end.path.clone()).collect())
    }

    /// Where a file is that came to a path, or which look found that it was deleted.
    fn follow(&mut self, mut key: PathKey, mut look: Look, is_there: &mut IsThere<'_>) -> Result<Followed, Failure> {
        loop {
            let path = self.0.veil.shown(&key)?;
            if is_there(&path)? {
                return Ok(Followed { place: Some(path), gone: None });
            }
            let chain = self.0.load(&key)?.chain;
            let mut since = chain.segments.iter().skip_while(|one| (one.change, one.point) != look).skip(1);
            let Some(gone) = since.find(|one| one.after.is_none()).map(|one| (one.change, one.point)) else {
                return Ok(Followed::default());
            };
            let OfChange { moves, at } = self.0.of(gone.0)?;
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
