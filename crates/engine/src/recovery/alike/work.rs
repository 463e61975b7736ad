//! What edits that go did to a file that is gone.
//!
//! Owns how that is recognised in another file. Refuses to choose one.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};

use wfr_model::TreePath;
use wfr_model::entry::{Entry, Node};
use wfr_recovery::replay::{Chain, Mark, Version, from_store};
use wfr_store::{Objects, ReadError};

use super::{Lost, Share};
use crate::textdiff;

/// The lines of a text that say something, hashed.
pub type Lines = HashSet<u64>;

/// Reads texts.
pub struct Reader<'r> {
    objects: &'r dyn Objects,
    hasher: RandomState,
}

impl<'r> Reader<'r> {
    /// From a store.
    pub fn new(objects: &'r dyn Objects) -> Self {
        Self { objects, hasher: RandomState::new() }
    }

    /// The lines of a text; `None` where it is none, or too large.
    ///
    /// Errors: what the store says.
    pub fn lines(&self, entry: Option<&Entry>) -> Result<Option<Lines>, ReadError> {
        let Some(entry) = entry else { return Ok(Some(Lines::new())) };
        Ok(self.text(entry)?.map(|text| telling(&text).map(|line| self.hasher.hash_one(line)).collect()))
    }

    /// The first of these lines that a text has.
    ///
    /// Errors: what the store says.
    pub fn first_of(&self, lines: &Lines, entry: &Entry) -> Result<Option<String>, ReadError> {
        let text = if lines.is_empty() { None } else { self.text(entry)? }.unwrap_or_default();
        let first = telling(&text).find(|line| lines.contains(&self.hasher.hash_one(line)));
        Ok(first.map(str::to_owned))
    }

    fn text(&self, entry: &Entry) -> Result<Option<String>, ReadError> {
        match &entry.node {
            Node::File(content) if content.size <= textdiff::BYTES_MAX => {
                Ok(textdiff::as_text(from_store(self.objects)(content)?))
            }
            _ => Ok(None),
        }
    }
}

/// The lines of a text that say something.
fn telling(text: &str) -> impl Iterator<Item = &str> {
    text.lines().map(str::trim).filter(|line| line.chars().any(char::is_alphanumeric))
}

/// What edits that go did to a file before it was deleted.
pub struct Work<'w> {
    /// Where it was.
    pub path: &'w TreePath,
    /// Where what was put in its place is.
    pub stands: Option<&'w TreePath>,
    /// What was deleted.
    pub last: &'w Version,
    /// Its lines; `None` where it is no text.
    pub deleted: Option<Lines>,
    /// Lines that came, and that were not there at first.
    brought: Lines,
    /// Lines that went, and were not there again when it was deleted.
    taken: Lines,
    /// Whether what it holds was changed.
    is_edit: bool,
    /// Modes that it was given, also with its creation.
    modes: HashSet<u32>,
    /// Those that it was given in place of another one.
    set: HashSet<u32>,
    /// Whether what was deleted is what such an edit made.
    is_made: bool,
}

impl<'w> Work<'w> {
    /// Of a file.
    ///
    /// Errors: what the store says.
    pub fn of(reader: &Reader<'_>, Lost { path, chain, deletion, stands, .. }: &Lost<'w>) -> Result<Self, ReadError> {
        let last = chain.version(deletion - 1);
        let deleted = reader.lines(last.as_ref())?;
        let brought = brought(reader, chain, *deletion)?;
        let (mut taken, mut modes, mut set) = (Lines::new(), HashSet::new(), HashSet::new());
        let (mut is_edit, mut is_made) = (false, false);
        for number in going(chain, *deletion) {
            let (before, after) = (chain.version(number - 1).as_ref(), chain.version(number).as_ref());
            if !before.zip(after).is_some_and(|(before, after)| before.same_content(after)) {
                is_edit = true;
                is_made |= after.zip(last.as_ref()).is_some_and(|(after, last)| after.same_content(last));
                let (before, after) = (reader.lines(before)?, reader.lines(after)?);
                let gone = before.zip(after).map(|(before, after)| &before - &after);
                taken.extend(gone.into_iter().flatten());
            }
            let mode = |entry: Option<&Entry>| entry.map(|entry| entry.meta.mode);
            let given = mode(after).filter(|after| mode(before) != Some(*after));
            modes.extend(given);
            set.extend(given.filter(|_| before.is_some()));
        }
        taken.retain(|line| !deleted.as_ref().is_some_and(|deleted| deleted.contains(line)));
        Ok(Self { path, stands: *stands, last, deleted, brought, taken, is_edit, modes, set, is_made })
    }

    /// Whether anything of it could be anywhere.
    pub fn is_any(&self) -> bool {
        self.is_edit || !self.modes.is_empty()
    }

    /// What a file that holds just what was deleted has of it.
    pub fn of_twin(&self, present: &Entry) -> Option<Share> {
        let is_it = |last: &Entry| matches!(last.node, Node::File(_) | Node::Symlink(_)) && last.same_content(present);
        let is_twin = self.last.as_ref().is_some_and(is_it);
        (is_twin && (self.is_made || self.modes.contains(&present.meta.mode))).then_some(Share::Whole)
    }

    /// How many lines of what was deleted such a file has.
    pub fn in_common(&self, lines: &Lines) -> usize {
        self.deleted.iter().flatten().filter(|line| lines.contains(line)).count()
    }

    /// What a file has of it that has so many lines in common with what was deleted, and that is enough to be it: a line of it
    /// still has to be found where there is one.
    pub fn of_alike(&self, present: &Entry, lines: &Lines) -> Option<Share> {
        match () {
            () if !self.brought.is_disjoint(lines) => Some(Share::Line(String::new())),
            () if self.brought.is_empty() && !self.taken.is_empty() && self.taken.is_disjoint(lines) => {
                Some(Share::Gap)
            }
            () if self.set.contains(&present.meta.mode) => Some(Share::Mode),
            () => (self.is_edit && self.brought.is_empty() && self.taken.is_empty()).then_some(Share::Unclear),
        }
    }

    /// What a file of the same name may have of it where either is no text.
    pub fn of_namesake(&self, present: &Entry) -> Option<Share> {
        match (&self.last.as_ref()?.node, &present.node) {
            (Node::File(_), Node::File(_)) if self.is_edit => Some(Share::Unclear),
            (Node::File(_), Node::File(_)) => self.set.contains(&present.meta.mode).then_some(Share::Mode),
            _ => None,
        }
    }

    /// Finds the line of a share.
    ///
    /// Errors: what the store says.
    pub fn told(&self, reader: &Reader<'_>, share: Share, present: &Entry) -> Result<Share, ReadError> {
        let Share::Line(_) = share else { return Ok(share) };
        Ok(reader.first_of(&self.brought, present)?.map_or(Share::Whole, Share::Line))
    }
}

/// The lines that edits which go brought before a deletion, and that were not there at first.
///
/// Errors: what the store says.
pub fn brought(reader: &Reader<'_>, chain: &Chain, deletion: usize) -> Result<Lines, ReadError> {
    let first = reader.lines(chain.first.as_ref())?.unwrap_or_default();
    let mut brought = Lines::new();
    for number in going(chain, deletion) {
        let before = reader.lines(chain.version(number - 1).as_ref())?.unwrap_or_default();
        let after = reader.lines(chain.version(number).as_ref())?.unwrap_or_default();
        brought.extend(after.into_iter().filter(|line| !before.contains(line) && !first.contains(line)));
    }
    Ok(brought)
}

/// The edits that go before a deletion, by number.
fn going(chain: &Chain, deletion: usize) -> impl Iterator<Item = usize> {
    (1..deletion).filter(|number| chain.edits[number - 1].mark == Mark::Removed)
}
