//! Three-way merge: one text of two that were both made of a third.
//!
//! Owns which changes go together and which are conflicts, by whole lines, and the bounds within which that is tried.
//! Refuses to read files, to know why texts differ, and to decide a conflict.
//!
//! It answers as `git merge-file` does: each side is compared with the base by the difference algorithm of
//! E. W. Myers ("An O(ND) Difference Algorithm and Its Variations", Algorithmica 1, 1986) with the short cuts that
//! GNU diff and git's xdiff take, changes are slid to where they meet others, and changes that overlap or touch are
//! conflicts (S. Khanna, K. Kunal, B. C. Pierce: "A Formal Investigation of Diff3", 2007, says what such a merge can
//! promise). Lines are bytes up to and with `\n`: line ends, encodings and a last line without one are not looked at.

mod compact;
mod compare;
mod lines;
mod pieces;
mod regions;
mod scalar;
mod search;
mod show;
mod words;

use std::collections::HashMap;
use std::ops::Range;

pub use pieces::{Pieces, Shown};
pub use scalar::{Scalar, scalar, xattrs};
pub use show::{Labels, marked};

use compare::{Hunk, hunks};
use lines::Interner;
use regions::{Region, Whose, regions};

/// A text of more bytes is not merged.
pub const BYTES_MAX: u64 = 32 << 20;

/// A text of more lines is not merged.
pub const LINES_MAX: usize = 1 << 20;

/// Steps of comparing (a diagonal looked at, a line passed) after which two texts count as too different: a few seconds.
const STEPS_MAX: u64 = 1 << 28;

/// So many first bytes are searched for a NUL, as git does.
const PROBE_BYTES: usize = 8000;

/// What is merged as one piece.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Unit {
    /// Lines, as git does.
    #[default]
    Lines,
    /// Lines, and the words of lines that both sides changed or that touch such.
    Words,
}

/// How a merge ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Merge {
    /// Every change of both sides is in this text.
    Clean(Vec<u8>),
    /// Both sides changed the same lines, or lines that touch; in order, at least one.
    Conflict(Vec<ConflictHunk>),
    /// It was not tried line by line: the whole is the conflict.
    Whole(Whole),
}

/// Why a text was not merged line by line.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Whole {
    /// One of the three is not a text: it has a NUL among its first 8,000 bytes.
    Binary,
    /// One of the three is above [`BYTES_MAX`] or [`LINES_MAX`].
    TooLarge,
    /// Comparing would have taken too long.
    TooDifferent,
}

/// Lines that both sides changed, each differently: numbers of lines from 0, an empty range between two lines.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConflictHunk {
    /// Where the base has it.
    pub base: Range<usize>,
    /// What our side made of it.
    pub ours: Range<usize>,
    /// What their side made of it.
    pub theirs: Range<usize>,
}

/// Merges what `ours` and `theirs` each made of `base`.
pub fn merge3(base: &[u8], ours: &[u8], theirs: &[u8], unit: Unit) -> Merge {
    if let Some(trivial) = trivial(base, ours, theirs) {
        return Merge::Clean(trivial.to_vec());
    }
    match Texts::new([base, ours, theirs], unit) {
        Err(whole) => Merge::Whole(whole),
        Ok(texts) => texts.merge(),
    }
}

/// The side that needs no merging: the one that alone changed something, or either where both are equal.
fn trivial<'a>(base: &[u8], ours: &'a [u8], theirs: &'a [u8]) -> Option<&'a [u8]> {
    if ours == theirs || base == theirs {
        return Some(ours);
    }
    (base == ours).then_some(theirs)
}

/// Whether a content counts as binary.
pub fn is_binary(bytes: &[u8]) -> bool {
    bytes[..bytes.len().min(PROBE_BYTES)].contains(&0)
}

/// Whether texts can be compared line by line.
fn check(texts: &[&[u8]]) -> Result<(), Whole> {
    let is_large = |text: &&[u8]| text.len() as u64 > BYTES_MAX || lines::count(text) > LINES_MAX;
    match () {
        () if texts.iter().any(|text| is_binary(text)) => Err(Whole::Binary),
        () if texts.iter().any(is_large) => Err(Whole::TooLarge),
        () => Ok(()),
    }
}

/// Base, ours and theirs in pieces, lines or words, and how the two differ from the first.
struct Texts<'a> {
    pieces: [Vec<&'a [u8]>; 3],
    regions: Vec<Region>,
    /// By their numbers, regions that both changed and that are merged by words.
    merged: HashMap<usize, Vec<u8>>,
}

impl<'a> Texts<'a> {
    fn new(texts: [&'a [u8]; 3], unit: Unit) -> Result<Self, Whole> {
        check(&texts)?;
        let mut compared = Self::compared(texts, unit)?;
        if !compared.merged.is_empty()
            && let Merge::Clean(text) = compared.merge()
            && !is_separable(texts, &text)
        {
            compared.merged.clear();
        }
        Ok(compared)
    }

    fn compared(texts: [&'a [u8]; 3], unit: Unit) -> Result<Self, Whole> {
        let mut steps = STEPS_MAX;
        let mut texts = Self::of(texts.map(lines::split), &mut steps)?;
        if unit == Unit::Words {
            let disputed = texts.regions.iter().enumerate().filter(|(_, region)| region.whose == Whose::Both);
            let merged = disputed.filter_map(|(number, region)| Some((number, texts.by_words(region, &mut steps)?)));
            texts.merged = merged.collect();
        }
        Ok(texts)
    }

    /// Compares pieces.
    fn of(pieces: [Vec<&'a [u8]>; 3], steps: &mut u64) -> Result<Self, Whole> {
        let mut interner = Interner::default();
        let [base, ours, theirs] = pieces.each_ref().map(|pieces| interner.ids(pieces));
        let mut of = |side: &[u32]| hunks(&base, side, interner.kinds(), steps).ok_or(Whole::TooDifferent);
        let (left, right): (Vec<Hunk>, Vec<Hunk>) = (of(&ours)?, of(&theirs)?);
        let regions = regions(&left, &right, &ours, &theirs);
        Ok(Self { pieces, regions, merged: HashMap::new() })
    }

    fn by_words(&self, region: &Region, steps: &mut u64) -> Option<Vec<u8>> {
        let [base, ours, theirs] = [(0, &region.base), (1, &region.ours), (2, &region.theirs)]
            .map(|(side, range)| self.pieces[side][range.clone()].concat());
        words::merge(&base, &ours, &theirs, steps)
    }

    fn merge(&self) -> Merge {
        let mut conflicts = Vec::new();
        let text = self.put_all(|_, region| conflicts.push(self.trimmed(region)));
        if conflicts.is_empty() { Merge::Clean(text) } else { Merge::Conflict(conflicts) }
    }

    /// The merge, in which `put_conflict` puts what stands for a conflict.
    fn put_all(&self, mut put_conflict: impl FnMut(&mut Vec<u8>, &Region)) -> Vec<u8> {
        let (mut text, mut at) = (Vec::new(), 0);
        for (number, region) in self.regions.iter().enumerate() {
            self.put(&mut text, 1, at..region.ours.start);
            match (region.whose, self.merged.get(&number)) {
                (Whose::Ours, _) => self.put(&mut text, 1, region.ours.clone()),
                (Whose::Theirs, _) => self.put(&mut text, 2, region.theirs.clone()),
                (Whose::Both, Some(merged)) => text.extend(merged),
                (Whose::Both, None) => put_conflict(&mut text, region),
            }
            at = region.ours.end;
        }
        self.put(&mut text, 1, at..self.pieces[1].len());
        text
    }

    fn put(&self, text: &mut Vec<u8>, side: usize, range: Range<usize>) {
        text.extend(self.pieces[side][range].iter().copied().flatten());
    }

    /// A conflict without the first and last lines that both sides have alike: those are no matter of dispute.
    fn trimmed(&self, region: &Region) -> ConflictHunk {
        let (mut ours, mut theirs) = (region.ours.clone(), region.theirs.clone());
        let line = |side: usize, at: usize| self.pieces[side][at];
        while !ours.is_empty() && !theirs.is_empty() && line(1, ours.start) == line(2, theirs.start) {
            (ours.start, theirs.start) = (ours.start + 1, theirs.start + 1);
        }
        while !ours.is_empty() && !theirs.is_empty() && line(1, ours.end - 1) == line(2, theirs.end - 1) {
            (ours.end, theirs.end) = (ours.end - 1, theirs.end - 1);
        }
        ConflictHunk { base: region.base.clone(), ours, theirs }
    }
}

/// Whether whoever takes one side's part out of a merge by words has the other side, where that is clean: what both did to the
/// same lines elsewhere may make it seem so for single lines, and not for the whole.
fn is_separable([base, ours, theirs]: [&[u8]; 3], merged: &[u8]) -> bool {
    let takes_out = |side: &[u8], other: &[u8]| match trivial(side, merged, base) {
        Some(left) => left == other,
        None => match Texts::compared([side, merged, base], Unit::Words).map(|texts| texts.merge()) {
            Ok(Merge::Clean(left)) => left == other,
            _ => true,
        },
    };
    takes_out(ours, theirs) && takes_out(theirs, ours)
}

#[cfg(test)]
mod beside_git;
#[cfg(test)]
mod tests;
