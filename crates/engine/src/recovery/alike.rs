//! Files that were moved and edited in one step, and such as moved where nothing tells which of several did.
//!
//! Owns when one that came with the deletion of another is so much like it that what goes is likely to be in it. Refuses to
//! take it out there: what is alike is not the same.

mod copies;
mod matching;
mod work;

use std::collections::BTreeMap;

use wfr_model::{Digest, TreePath};
use wfr_recovery::replay::{Chain, Mark, Note, Outcome};
use wfr_store::tree::Finder;
use wfr_store::{Objects, ReadError};

use super::moves::{self, Coming, Held, Look};
use crate::error::Failure;
use matching::Matching;
use work::{Reader, Work};

pub use copies::Copies;

/// Copies that are looked at for the sake of one plan, at most.
const COPIES_MAX: usize = 200;

/// Bytes of files that came with deletions that are read for the sake of one plan, at most; each counts as a small one at least.
const BYTES_MAX: u64 = 128 << 20;

/// Comparisons of a line, or a name, of one file with those of another one for the sake of one plan, at most.
const STEPS_MAX: u64 = 200_000_000;

/// A file that is gone, or in whose place something else was put, and in which something goes.
pub struct Lost<'l> {
    /// Where it was.
    pub path: &'l TreePath,
    /// Its edits.
    pub chain: &'l Chain,
    /// The one with which it went, by number.
    pub deletion: usize,
    /// Which look found that.
    pub look: Look,
    /// What it gave way to: that may have been made from it.
    pub over: Option<&'l TreePath>,
    /// Where what was put in its place is: that is none of those that may be it, nor what was there before with something else.
    pub stands: Option<&'l TreePath>,
}

/// Where what goes of such a file is now.
pub enum Whereabouts {
    /// Nowhere, as far as anybody can tell.
    Nowhere,
    /// In another file, as it seems.
    In(Heir),
    /// In none of those that were looked at; there were more.
    Unknown,
}

/// A file that is likely to be another one.
pub struct Heir {
    /// Where it is.
    pub path: TreePath,
    /// What of it an edit brought that goes.
    pub share: Share,
}

/// What a file has of a deleted one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Share {
    /// Lines, such as this one.
    Line(String),
    /// All that it held when it was deleted.
    Whole,
    /// It lacks what went out of it.
    Gap,
    /// Its mode.
    Mode,
    /// Nobody can tell: it is no text, or not one of which lines say it.
    Unclear,
}

/// How much may still be done.
struct Pace {
    bytes: u64,
    steps: u64,
}

/// Looks for files in which deleted ones live on.
pub struct Heirs<'h> {
    reader: Reader<'h>,
    now: Finder<'h>,
    pace: Pace,
    copies: usize,
}

impl<'h> Heirs<'h> {
    /// In a tree.
    pub fn new(objects: &'h dyn Objects, now: Digest) -> Self {
        let pace = Pace { bytes: BYTES_MAX, steps: STEPS_MAX };
        Self { reader: Reader::new(objects), now: Finder::new(objects, now), pace, copies: COPIES_MAX }
    }

    /// Where what goes of each of these files is: in one that came with its deletion, holds half of what was deleted, or a
    /// quarter under the same name, and what an edit did that goes; or else all of it. One of the same name comes first, and
    /// none is named for two of them while there are others.
    ///
    /// Errors: what the ledger and the store say.
    pub fn find(&mut self, lost: &[Lost<'_>], coming: &mut Coming<'_>) -> Result<Vec<Whereabouts>, Failure> {
        let mut found: Vec<Whereabouts> = lost.iter().map(|_| Whereabouts::Nowhere).collect();
        let mut looks: BTreeMap<Look, Vec<usize>> = BTreeMap::new();
        for (at, one) in lost.iter().enumerate() {
            looks.entry(one.look).or_default().push(at);
        }
        for (look, ats) in looks {
            let now = &mut self.now;
            let mut came = coming.with(look, &mut |path| Ok(now.lookup(path)?.is_some()))?;
            for over in ats.iter().filter_map(|at| lost[*at].over) {
                came.entry(over.clone()).or_default();
            }
            let works = ats.iter().map(|at| Work::of(&self.reader, &lost[*at]));
            let works = works.collect::<Result<Vec<_>, ReadError>>()?;
            let mut matching = Matching::new(&self.reader, &mut self.pace, works);
            for (path, is_new) in came {
                let entry = self.now.lookup(&path)?;
                matching.candidate((path, is_new), entry);
            }
            for (at, one) in ats.into_iter().zip(matching.run()?) {
                found[at] = one;
            }
        }
        Ok(found)
    }

    /// What a file that was copied from another one has of what goes there, as it is now: a line, or else all of `made`, which
    /// an edit made that goes.
    ///
    /// Errors: what the store says.
    pub fn copied(&mut self, chain: &Chain, path: &TreePath, made: Option<&Held>) -> Result<Option<Share>, ReadError> {
        if self.copies == 0 {
            return Ok(None);
        }
        self.copies -= 1;
        let Some(present) = self.now.lookup(path)? else { return Ok(None) };
        let brought = work::brought(&self.reader, chain, chain.edits.len() + 1)?;
        let line = self.reader.first_of(&brought, &present)?.map(Share::Line);
        let is_made = made.is_some() && moves::content(Some(&present)).as_ref() == made;
        Ok(line.or_else(|| is_made.then_some(Share::Whole)))
    }
}

/// The deletion by which a path has nothing now, where it stays: also of what would not be there without what goes.
pub fn kept_deletion(chain: &Chain, outcome: &Outcome, notes: &[Note]) -> Option<usize> {
    let noted = notes.iter().find_map(|note| match note {
        Note::KeptDeletion { edit } => Some(*edit),
        _ => None,
    });
    let last = || Some(chain.edits.len()).filter(|last| *last > 0 && chain.edits[last - 1].mark == Mark::Kept);
    let deletion = noted.or_else(|| last().filter(|_| *outcome == Outcome::Absent));
    deletion.filter(|edit| chain.version(*edit).is_none() && chain.version(edit - 1).is_some())
}
