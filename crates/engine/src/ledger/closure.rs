//! Whether the ledger is closed: a tree that was stored whole, and every segment since, give the next one that was.
//!
//! Owns that comparison. Refuses to look at the present tree (the next look does, and what it finds is somebody's), and to
//! mend anything.

use std::collections::BTreeMap;

use wfr_capture::slice::{bare, is_same};
use wfr_model::TreePath;
use wfr_model::entry::Entry;
use wfr_store::tree::{self, Difference, Finder};
use wfr_store::{Objects, ReadError};

use super::{Veil, entry_of};
use crate::error::Failure;
use crate::open::Open;

/// What was looked at.
#[derive(Debug, Default)]
pub struct Closure {
    /// Spans between two trees that were compared.
    pub spans: u64,
    /// Spans whose trees are gone with their checkpoints, or damaged.
    pub unreadable: u64,
    /// Paths that the segments of a span leave otherwise than the tree at its end has them.
    pub gaps: Vec<TreePath>,
}

/// Compares every span between two trees that are still there.
pub fn look(open: &Open, objects: &dyn Objects) -> Result<Closure, Failure> {
    let veil = Veil::of(open)?;
    let mut closure = Closure::default();
    for pair in open.catalog.whole_points()?.windows(2) {
        let [(from, before), (upto, after)] = pair else { continue };
        let mut told: BTreeMap<TreePath, Option<Entry>> = BTreeMap::new();
        for (path, kept) in open.catalog.ledger_between(*from, *upto)? {
            told.insert(veil.shown(&path)?, entry_of(&veil, kept.as_deref())?);
        }
        let trees = tree::diff(objects, before, after).and_then(|found| gaps(objects, after, &found, &told));
        match trees {
            Ok(gaps) => {
                closure.spans += 1;
                closure.gaps.extend(gaps);
            }
            Err(_) => closure.unreadable += 1,
        }
    }
    closure.gaps.sort();
    closure.gaps.dedup();
    Ok(closure)
}

fn gaps(
    objects: &dyn Objects,
    after: &wfr_model::Digest,
    found: &[Difference],
    told: &BTreeMap<TreePath, Option<Entry>>,
) -> Result<Vec<TreePath>, ReadError> {
    let mut end = Finder::new(objects, *after);
    let mut gaps = Vec::new();
    for (path, left) in told {
        let there = end.lookup(path)?.map(bare);
        if !is_same(left.clone().map(bare).as_ref(), there.as_ref()) {
            gaps.push(path.clone());
        }
    }
    for Difference { path, before, after } in found {
        let [before, after] = [before, after].map(|side| side.clone().map(bare));
        if !is_same(before.as_ref(), after.as_ref()) && !told.contains_key(path) {
            gaps.push(path.clone());
        }
    }
    Ok(gaps)
}
