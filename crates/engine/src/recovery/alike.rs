//! Files that were moved and edited in one step, and such as moved where nothing tells which of several did.
//!
//! Owns when one that came with the deletion of another is so much like it that what goes is likely to be in it. Refuses to
//! take it out there: what is alike is not the same.

mod copies;

use std::collections::BTreeSet;

use wfr_model::entry::{Entry, Node};
use wfr_model::{Digest, TreePath};
use wfr_recovery::replay::{Chain, Mark, Note, Outcome, from_store};
use wfr_store::tree::Finder;
use wfr_store::{Objects, ReadError};

use super::moves::{self, Held};
use crate::textdiff;

pub use copies::Copies;

/// Files that are looked at for the sake of one plan, at most.
const LOOKED_AT_MAX: usize = 200;

/// A file that is likely to be another one.
pub struct Heir {
    /// Where it is.
    pub path: TreePath,
    /// What of it an edit brought that goes.
    pub share: Share,
}

/// What a file has of a deleted one.
pub enum Share {
    /// Lines, such as this one.
    Line(String),
    /// All that it held when it was deleted.
    Whole,
}

/// Looks for files in which deleted ones live on.
pub struct Heirs<'h> {
    objects: &'h dyn Objects,
    now: Finder<'h>,
    left: usize,
}

impl<'h> Heirs<'h> {
    /// In a tree.
    pub fn new(objects: &'h dyn Objects, now: Digest) -> Self {
        Self { objects, now: Finder::new(objects, now), left: LOOKED_AT_MAX }
    }

    /// The file that came with a deletion, holds half of what was deleted, and a line that goes; or else all of it.
    ///
    /// Errors: what the store says.
    pub fn find(&mut self, chain: &Chain, deletion: usize, came: Vec<TreePath>) -> Result<Option<Heir>, ReadError> {
        let Some(last) = chain.version(deletion - 1) else { return Ok(None) };
        let deleted = self.lines(Some(last))?;
        let brought = self.brought(chain, deletion)?;
        let mut twin = None;
        for path in came {
            if self.left == 0 {
                break;
            }
            self.left -= 1;
            let Some(present) = self.now.lookup(&path)? else { continue };
            let lines = if brought.is_empty() { BTreeSet::new() } else { self.lines(Some(&present))? };
            let is_alike = lines.intersection(&deleted).count() * 2 >= deleted.len();
            if let Some(line) = brought.intersection(&lines).next().filter(|_| is_alike) {
                return Ok(Some(Heir { share: Share::Line(line.clone()), path }));
            }
            if twin.is_none() && has_work(chain, deletion, &present) {
                twin = Some(Heir { share: Share::Whole, path });
            }
        }
        Ok(twin)
    }

    /// What a file that was copied from another one has of what goes there, as it is now: a line, or else all of `made`, which
    /// an edit made that goes.
    ///
    /// Errors: what the store says.
    pub fn copied(&mut self, chain: &Chain, path: &TreePath, made: Option<&Held>) -> Result<Option<Share>, ReadError> {
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        let Some(present) = self.now.lookup(path)? else { return Ok(None) };
        let lines = self.lines(Some(&present))?;
        let brought = self.brought(chain, chain.edits.len() + 1)?;
        let line = brought.intersection(&lines).next().map(|line| Share::Line(line.clone()));
        let is_made = made.is_some() && moves::content(Some(&present)).as_ref() == made;
        Ok(line.or_else(|| is_made.then_some(Share::Whole)))
    }

    /// The lines that edits which go brought before a deletion, and that were not there at first.
    fn brought(&self, chain: &Chain, deletion: usize) -> Result<BTreeSet<String>, ReadError> {
        let first = self.lines(chain.first.as_ref())?;
        let mut brought = BTreeSet::new();
        for number in (1..deletion).filter(|number| chain.edits[number - 1].mark == Mark::Removed) {
            let before = self.lines(chain.version(number - 1).as_ref())?;
            let after = self.lines(chain.version(number).as_ref())?;
            brought.extend(after.into_iter().filter(|line| !before.contains(line) && !first.contains(line)));
        }
        Ok(brought)
    }

    /// The lines of a text that say something.
    fn lines(&self, entry: Option<&Entry>) -> Result<BTreeSet<String>, ReadError> {
        let Some(Node::File(content)) = entry.map(|entry| &entry.node) else { return Ok(BTreeSet::new()) };
        if content.size > textdiff::BYTES_MAX {
            return Ok(BTreeSet::new());
        }
        let text = textdiff::as_text(from_store(self.objects)(content)?).unwrap_or_default();
        let lines = text.lines().map(str::trim).filter(|line| line.chars().any(char::is_alphanumeric));
        Ok(lines.map(str::to_owned).collect())
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

/// Whether something is what was deleted, and has what an edit brought that goes: what it holds, or its mode.
fn has_work(chain: &Chain, deletion: usize, present: &Entry) -> bool {
    let is_it = |entry: &Entry| matches!(entry.node, Node::File(_) | Node::Symlink(_)) && entry.same_content(present);
    if !chain.version(deletion - 1).as_ref().is_some_and(is_it) {
        return false;
    }
    let goes = |number: &usize| chain.edits[number - 1].mark == Mark::Removed;
    (1..deletion).filter(goes).any(|number| {
        let (before, after) = (chain.version(number - 1).as_ref(), chain.version(number).as_ref());
        let holds_it = after.is_some_and(is_it) && !before.is_some_and(is_it);
        let mode = |entry: Option<&Entry>| entry.map(|entry| entry.meta.mode);
        holds_it || mode(after) == Some(present.meta.mode) && mode(before) != mode(after)
    })
}
