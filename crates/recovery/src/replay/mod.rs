//! What a path would be without some of its edits.
//!
//! Owns the rules by which edits that stay are replayed over edits that go. Refuses to choose the edits, to decide a
//! conflict and to write anything: the answer is a value, a function of the chain and of its marks alone, so that the
//! order in which edits were taken back does not matter.
//!
//! Version 0 is what was there first, version `n` what edit `n` left. The rules:
//! - Each longest run of kept edits is merged once: base is the version before the run, ours the result so far, theirs
//!   the version behind it. Where nothing went before, that is the version itself, and nothing is merged.
//! - A kept edit that led back to an earlier version, over a removed edit, leads back to that version's result; a run
//!   ends there. It does so only if no recovery lies between: what was made anew behind one is new. Where that version
//!   had something of a removed edit, only whoever had led away from it can have put it back (a stash, and its pop), or a
//!   recovery that goes to a tree: of anybody else it is work of their own.
//! - An edit that is known to bring back what was there ([`By::Return`]) leads back to it over recoveries, too, and nothing in
//!   it is new. Where it is recorded to which version it went, it is that one, whatever others are the same. What a recovery
//!   between had taken it did not take: where that counts by now, it stays (`back`).
//! - A mode is put back in the same way by itself, whatever was done to the content in between.
//! - A file of which a move goes is again where it was, with what was done to it since. Of the moves that stay the last one
//!   counts. Versions of one path have one name.
//! - A neutral edit is an earlier recovery. It is never replayed. If exactly those edits go that were gone then, its
//!   version is the result, with all that was resolved by hand in it. Those that cancel each other out, a rollback and its
//!   undo, are left out.
//! - The same is done edit by edit as a second opinion. Where both are clean and differ, that counts in which no line is wrong
//!   ([`Note::Incomplete`]); where both are sound, or neither that nor what follows settles it, it is a conflict.
//! - Afterwards the result is looked over ([`Note::Incomplete`]). Where something of removed edits remains, these are taken
//!   out of the last version instead, the last first, as `git revert` does; if that is clean and nothing is wrong with it, it
//!   counts.

mod back;
mod entries;
mod lines;
mod modes;
mod texts;
mod undone;
mod walk;

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use wfr_model::entry::{Content, Entry, Node};
use wfr_store::object::{Objects, ReadError};

use crate::merge::{self, ConflictHunk, Labels, Unit};

pub use lines::{LINES_SHOWN, Line};
pub use texts::from_store;

use texts::Texts;
use undone::Plain;
use walk::{Grouping, State, Walk, Walked};

/// What stood at the path at one time; `None`: nothing, which is not the same as an empty file.
pub type Version = Option<Entry>;

/// Reads a file's content, verified.
pub type Read<'a> = dyn Fn(&Content) -> Result<Vec<u8>, ReadError> + 'a;

/// What becomes of an edit.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Mark {
    /// It stays.
    Kept,
    /// It goes.
    Removed,
    /// It is the work of an earlier recovery: what was live then, replayed.
    Neutral {
        /// The edits before it that were gone then, by number, other neutral ones left out. `None`: not known.
        gone: Option<BTreeSet<usize>>,
    },
}

/// Whose an edit is, as far as it matters here.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum By {
    /// Somebody's, by a number of their own.
    Somebody(u32),
    /// A recovery's that went to a tree of before: what it leads back to, it puts back.
    Recovery,
    /// Anybody's of which it is known that it brought back what was there before, also behind a recovery that took it away: a
    /// restore of a checkpoint that has it, a checkout, a stash that was popped; with the version to which it went, by number,
    /// where that is recorded.
    Return(Option<usize>),
}

/// One edit of a path.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Edit {
    /// What becomes of it.
    pub mark: Mark,
    /// Whose it is.
    pub by: By,
    /// What it left.
    pub after: Version,
}

/// A path's versions and the edits between them, which count from 1.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Chain {
    /// What stood there before the first edit.
    pub first: Version,
    /// The edits, in order.
    pub edits: Vec<Edit>,
}

impl Chain {
    /// The version behind edit `number`, or, for 0, the first one. Panics above the number of edits.
    pub fn version(&self, number: usize) -> &Version {
        match number.checked_sub(1) {
            None => &self.first,
            Some(at) => &self.edits[at].after,
        }
    }

    /// The number of the last version.
    pub fn last(&self) -> usize {
        self.edits.len()
    }

    /// The mark of edit `number`, from 1.
    fn mark(&self, number: usize) -> &Mark {
        &self.edits[number - 1].mark
    }

    /// It up to the last version in which nothing is gone that stays: recoveries at its end add nothing where all goes that had
    /// gone before them.
    fn work(&self, start: usize) -> Cow<'_, Self> {
        let is_removed = |number: &usize| *self.mark(*number) == Mark::Removed;
        let gone = |number: usize| match self.mark(number) {
            Mark::Neutral { gone } => Some(gone.as_ref()),
            _ => None,
        };
        let all_goes = |gone: Option<&BTreeSet<usize>>| gone.is_some_and(|gone| gone.iter().all(is_removed));
        let edit = (start + 1..=self.last()).rev().find(|number| gone(*number).is_none()).unwrap_or(start);
        let had_gone = (start + 1..edit).rev().find_map(gone);
        let is_recovery = |number: &usize| all_goes(gone(*number).flatten());
        let end = match had_gone.is_none_or(all_goes) {
            true => edit,
            false => (edit + 1..=self.last()).rev().find(is_recovery).unwrap_or(self.last()),
        };
        if end == self.last() {
            return Cow::Borrowed(self);
        }
        Cow::Owned(Self { first: self.first.clone(), edits: self.edits[..end].to_vec() })
    }

    /// Whether what a kept edit has in common with an earlier version, from which edit `away` led, was put back by it.
    fn puts_back(&self, away: usize, number: usize) -> bool {
        let by = |number: usize| self.edits[number - 1].by;
        by(number) == By::Recovery || self.returns(number) || by(number) == by(away)
    }

    /// Whether an edit is known to bring back what was there before.
    fn returns(&self, number: usize) -> bool {
        matches!(self.edits[number - 1].by, By::Return(_))
    }

    /// Whether what is new with an edit may be what was there before: an undo has that, too.
    fn may_bring_back(&self, number: usize) -> bool {
        self.returns(number) || matches!(self.mark(number), Mark::Neutral { .. })
    }

    /// The recoveries among the edits, each by number with what was gone then, where that is known.
    fn recoveries(&self) -> impl DoubleEndedIterator<Item = (usize, Option<&BTreeSet<usize>>)> {
        (1..=self.last()).filter_map(|number| match self.mark(number) {
            Mark::Neutral { gone } => Some((number, gone.as_ref())),
            _ => None,
        })
    }

    /// The removed edits with numbers below `end`.
    fn removed(&self, end: usize) -> impl Iterator<Item = usize> {
        (1..end).filter(|number| *self.mark(*number) == Mark::Removed)
    }
}

/// The answer for one path.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Replayed {
    /// What should stand there.
    pub outcome: Outcome,
    /// What a person should know of it.
    pub notes: Vec<Note>,
}

/// What should stand at a path.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// What stood there at one time, by the version's number.
    Version(usize),
    /// Nothing.
    Absent,
    /// Something that never stood there.
    Merged(Merged),
    /// It cannot be told.
    Conflict(Box<Conflict>),
}

impl Outcome {
    /// What should stand there, where it can be told; a content that no version has is added to `texts`.
    pub fn settled(self, chain: &Chain, texts: &mut Vec<Vec<u8>>) -> Result<Version, Box<Conflict>> {
        match self {
            Self::Absent => Ok(None),
            Self::Version(number) => Ok(chain.version(number).clone()),
            Self::Merged(Merged { entry, text }) => {
                texts.extend(text);
                Ok(Some(entry))
            }
            Self::Conflict(conflict) => Err(conflict),
        }
    }
}

/// Something new, made of several versions.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Merged {
    /// Its metadata and what it is; the time is that of the last edit in it.
    pub entry: Entry,
    /// The content, where no version has it and the store may not: whoever stores it learns how it is cut into chunks, which
    /// `entry` does not say. `None`: only metadata is new.
    pub text: Option<Vec<u8>>,
}

/// What cannot be separated, as data.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Conflict {
    /// In which way.
    pub kind: ConflictKind,
    /// The kept edits that could not be replayed. The base is the version before the first of them, theirs the one behind
    /// the last.
    pub run: RangeInclusive<usize>,
    /// The result before them; of a second opinion, what replaying the runs at once gave.
    pub ours: Version,
    /// The content of `ours`, where no version has it.
    pub ours_text: Option<Vec<u8>>,
    /// What was merged as one piece.
    pub unit: Unit,
}

/// Why edits cannot be separated.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ConflictKind {
    /// The kept edits changed lines that a removed one changed, or that touch such; not empty.
    Lines(Vec<ConflictHunk>),
    /// The contents are not text.
    Binary,
    /// A content has more than [`merge::BYTES_MAX`] bytes or [`merge::LINES_MAX`] lines.
    TooLarge,
    /// The contents have too little in common to be compared in bounded time.
    TooDifferent,
    /// They left different kinds of things.
    Kind,
    /// They left links to different places.
    LinkTarget,
    /// They left different modes.
    Mode,
    /// They left different owners.
    Owner,
    /// They left different values of the extended attribute with this name.
    Xattr(Vec<u8>),
    /// They changed what only a removed edit brought.
    RemovedCreation,
    /// They brought something where, without a removed edit, something else still is.
    TwoCreations,
    /// Replayed at once and one by one the kept edits give different results.
    SecondOpinion,
}

/// Something a person should know of a result.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Note {
    /// What a removed edit had changed, this kept one deleted: it stays deleted.
    KeptDeletion {
        /// The number of the last edit of the run that deleted it.
        edit: usize,
    },
    /// Lines are not as they should be. Only distinctive lines are looked at: those with a letter or digit that no version
    /// has twice, spaces around them aside. One that a removed edit brought first should be gone, unless it came again
    /// behind a recovery that took it away. One that was there from the first, or that a kept edit brought, and that no
    /// kept edit took away, should be there; what a removed edit took away, and somebody brought again and then took away
    /// again with all else of that edit, as a stash does that is popped, was taken away by the removed one.
    Incomplete {
        /// The first lines of removed edits that remain.
        remaining: Vec<Line>,
        /// The first lines of kept edits that are missing.
        missing: Vec<Line>,
        /// How many there are of both.
        count: usize,
    },
    /// The result was not looked over: the versions are too large together.
    Unchecked,
    /// There is no second opinion: the versions are too large together.
    NoSecondOpinion,
    /// Lines that a removed and a kept edit changed, or that touch such, were merged by words.
    ByWords,
}

/// What the result is called, where the versions have several names: the last move that stays counts. `None` where they have
/// one, or the result is nothing.
pub fn name(chain: &Chain) -> Option<Vec<u8>> {
    walk::name(&Plain::of(chain).chain)
}

/// Replays the edits of a path that stay. `read` is asked only where contents must be merged or looked over.
///
/// Errors: what `read` says.
pub fn replay(chain: &Chain, unit: Unit, read: &Read<'_>) -> Result<Replayed, ReadError> {
    let plain = Plain::of(chain);
    Ok(plain.told(replay_plain(&plain.chain, unit, read)?))
}

fn replay_plain(chain: &Chain, unit: Unit, read: &Read<'_>) -> Result<Replayed, ReadError> {
    let mut texts = Texts::new(read, unit);
    let Walked { found, mut start, mut notes } = Walk::new(chain, Grouping::Runs, &mut texts).result()?;
    let mut state = match found {
        Err(conflict) => return Ok(Replayed { outcome: Outcome::Conflict(conflict), notes: Vec::new() }),
        Ok(state) => walk::named(chain, state),
    };
    // Where it came again behind its deletion there is nothing to say of that.
    notes.retain(|_| state.entry.is_none());
    // The run of which two opinions differ, neither of which counts.
    let mut unsettled = None;
    if let Some(run) = walk::worth_a_second_opinion(chain) {
        if texts::bytes(chain) > texts::TOGETHER_MAX {
            notes.push(Note::NoSecondOpinion);
        } else {
            let second = Walk::new(chain, Grouping::Edits, &mut texts).result()?;
            if let Ok(other) = second.found.map(|other| walk::named(chain, other))
                && !entries::same(&other.entry, &state.entry)
            {
                match lines::sound(chain, [(start, &state.entry), (second.start, &other.entry)], &mut texts)? {
                    Some([true, false]) => {}
                    Some([false, true]) => (state, start) = (other, second.start),
                    Some([false, false]) => unsettled = Some(run),
                    _ => return Ok(two_opinions(run, state, notes, &texts)),
                }
            }
        }
    }
    let work = chain.work(start);
    if let Some(note) = lines::look_over(&work, start, &state.entry, &mut texts)? {
        match walk::taken_out(&work, &mut texts)? {
            Some(entry) if lines::look_over(&work, start, &entry, &mut texts)?.is_none() => {
                state = walk::named(chain, State { entry, version: None });
            }
            _ => match unsettled {
                Some(run) => return Ok(two_opinions(run, state, notes, &texts)),
                None => notes.push(note),
            },
        }
    }
    if texts.merged_words {
        // The lines that came out of it are nobody's, so those of which they were made are missing.
        notes.retain(|note| !matches!(note, Note::Incomplete { remaining, .. } if remaining.is_empty()));
        notes.push(Note::ByWords);
    }
    Ok(Replayed { outcome: outcome(chain, state, &texts), notes })
}

/// That a run gives something else at once than one by one.
fn two_opinions(run: RangeInclusive<usize>, state: State, notes: Vec<Note>, texts: &Texts<'_>) -> Replayed {
    let ours_text = texts.made(&state.entry);
    let kind = ConflictKind::SecondOpinion;
    let conflict = Conflict { kind, run, ours: state.entry, ours_text, unit: texts.unit };
    Replayed { outcome: Outcome::Conflict(Box::new(conflict)), notes }
}

/// The result by the number of a version, if there is one like it, or with the content of one.
fn outcome(chain: &Chain, state: State, texts: &Texts<'_>) -> Outcome {
    let versions = || (0..=chain.last()).rev();
    let alike = || versions().find(|number| entries::same(chain.version(*number), &state.entry));
    if let Some(number) = state.version.or_else(alike) {
        return if state.entry.is_some() { Outcome::Version(number) } else { Outcome::Absent };
    }
    let text = texts.made(&state.entry);
    let Some(mut entry) = state.entry else { return Outcome::Absent };
    if let Node::File(content) = &mut entry.node {
        let mut held = versions().filter_map(|number| entries::content(chain.version(number)));
        if let Some(held) = held.find(|held| held.hash == content.hash) {
            *content = *held;
            return Outcome::Merged(Merged { entry, text: None });
        }
    }
    Outcome::Merged(Merged { entry, text })
}

impl Conflict {
    /// The merge with its conflicts between markers; `None` where it is no conflict of lines.
    ///
    /// Errors: what `read` says.
    pub fn marked(&self, chain: &Chain, read: &Read<'_>, labels: &Labels<'_>) -> Result<Option<Vec<u8>>, ReadError> {
        if !matches!(self.kind, ConflictKind::Lines(_)) {
            return Ok(None);
        }
        let text = |version: &Version| entries::content(version).map_or(Ok(Vec::new()), read);
        let base = text(chain.version(self.run.start() - 1))?;
        let theirs = text(chain.version(*self.run.end()))?;
        let ours = match &self.ours_text {
            Some(text) => text.clone(),
            None => text(&self.ours)?,
        };
        Ok(merge::marked(&base, &ours, &theirs, self.unit, labels).ok())
    }
}

/// [`replay`] of contents that a store holds.
///
/// Errors: what the store says.
pub fn replay_from(chain: &Chain, unit: Unit, objects: &dyn Objects) -> Result<Replayed, ReadError> {
    replay(chain, unit, &from_store(objects))
}

#[cfg(test)]
mod tests;
