//! Files that were moved and edited in one step.
//!
//! Owns when one that came with the deletion of another is so much like it that what goes is likely to be in it. Refuses to
//! take it out there: what is alike is not the same.

use std::collections::BTreeSet;

use wfr_model::entry::{Entry, Node};
use wfr_model::{Digest, TreePath};
use wfr_recovery::replay::{Chain, Mark, from_store};
use wfr_store::tree::Finder;
use wfr_store::{Objects, ReadError};

use crate::textdiff;

/// Files that are looked at for the sake of one plan, at most.
const LOOKED_AT_MAX: usize = 200;

/// A file that is likely to be another one.
pub struct Heir {
    /// Where it is.
    pub path: TreePath,
    /// A line in it that an edit brought which goes.
    pub line: String,
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

    /// The file that came with a deletion, holds half of what was deleted, and a line that goes.
    ///
    /// Errors: what the store says.
    pub fn find(&mut self, chain: &Chain, deletion: usize, came: Vec<TreePath>) -> Result<Option<Heir>, ReadError> {
        let deleted = self.lines(chain.version(deletion - 1).as_ref())?;
        let brought = self.brought(chain, deletion)?;
        if brought.is_empty() {
            return Ok(None);
        }
        for path in came {
            if self.left == 0 {
                break;
            }
            self.left -= 1;
            let present = self.now.lookup(&path)?;
            let lines = self.lines(present.as_ref())?;
            let is_alike = lines.intersection(&deleted).count() * 2 >= deleted.len();
            if let Some(line) = brought.intersection(&lines).next().filter(|_| is_alike) {
                return Ok(Some(Heir { line: line.clone(), path }));
            }
        }
        Ok(None)
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
