//! How one text differs from another, in pieces of which some can be taken and others left.
//!
//! Owns what a piece is: lines that differ, with equal lines around. Refuses to know who chooses.

use std::ops::Range;

use super::compare::{Hunk, hunks};
use super::lines::{self, Interner};
use super::{STEPS_MAX, Whole, check};

/// A line of a piece as it is shown.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Shown {
    /// It is in both texts.
    Both,
    /// It is in the first one only.
    Gone,
    /// It is in the second one only.
    New,
}

/// Two texts and the pieces in which they differ.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pieces {
    before: Vec<Vec<u8>>,
    after: Vec<Vec<u8>>,
    hunks: Vec<Hunk>,
}

impl Pieces {
    /// Compares two texts. Errors: why they cannot be compared line by line.
    pub fn of(before: &[u8], after: &[u8]) -> Result<Self, Whole> {
        let texts = [before, after];
        check(&texts)?;
        let lines = texts.map(lines::split);
        let mut interner = Interner::default();
        let [left, right] = lines.each_ref().map(|lines| interner.ids(lines));
        let mut steps = STEPS_MAX;
        let hunks = hunks(&left, &right, interner.kinds(), &mut steps).ok_or(Whole::TooDifferent)?;
        let [before, after] = lines.map(|lines| lines.into_iter().map(<[u8]>::to_vec).collect());
        Ok(Self { before, after, hunks })
    }

    /// How many pieces there are.
    pub fn count(&self) -> usize {
        self.hunks.len()
    }

    /// The pieces in groups: those with at most twice so many equal lines between them stand together.
    pub fn groups(&self, context: usize) -> Vec<Range<usize>> {
        let mut groups: Vec<Range<usize>> = Vec::new();
        for (number, hunk) in self.hunks.iter().enumerate() {
            match groups.last_mut() {
                Some(last) if hunk.before.start - self.hunks[number - 1].before.end <= 2 * context => {
                    last.end = number + 1;
                }
                _ => groups.push(number..number + 1),
            }
        }
        groups
    }

    /// The number of the first line, from 1 in the first text, and the lines of some pieces, with so many equal ones around.
    pub fn lines(&self, pieces: Range<usize>, context: usize) -> (usize, Vec<(Shown, &[u8])>) {
        let hunks = &self.hunks[pieces];
        let (Some(first), Some(last)) = (hunks.first(), hunks.last()) else { return (0, Vec::new()) };
        let start = first.before.start.saturating_sub(context);
        let mut at = start;
        let mut shown = Vec::new();
        for hunk in hunks {
            shown.extend(both(&self.before[at..hunk.before.start]));
            shown.extend(self.before[hunk.before.clone()].iter().map(|line| (Shown::Gone, line.as_slice())));
            shown.extend(self.after[hunk.after.clone()].iter().map(|line| (Shown::New, line.as_slice())));
            at = hunk.before.end;
        }
        shown.extend(both(&self.before[at..(last.before.end + context).min(self.before.len())]));
        (start + 1, shown)
    }

    /// The first text with the pieces that are taken as the second one has them.
    pub fn with(&self, is_taken: impl Fn(usize) -> bool) -> Vec<u8> {
        let (mut text, mut at) = (Vec::new(), 0);
        for (number, hunk) in self.hunks.iter().enumerate() {
            self.before[at..hunk.before.start].iter().for_each(|line| text.extend(line));
            let piece =
                if is_taken(number) { &self.after[hunk.after.clone()] } else { &self.before[hunk.before.clone()] };
            piece.iter().for_each(|line| text.extend(line));
            at = hunk.before.end;
        }
        self.before[at..].iter().for_each(|line| text.extend(line));
        text
    }
}

fn both(lines: &[Vec<u8>]) -> impl Iterator<Item = (Shown, &[u8])> {
    lines.iter().map(|line| (Shown::Both, line.as_slice()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEFORE: &[u8] = b"a\nb\nc\nd\ne\nf\ng\nh\ni\nj\n";
    const AFTER: &[u8] = b"a\nB\nc\nD\ne\nf\ng\nh\ni\nj\nk";

    #[test]
    fn all_taken_is_the_second_text_and_none_the_first() {
        let pieces = Pieces::of(BEFORE, AFTER).unwrap();
        assert_eq!(pieces.count(), 3);
        assert_eq!(pieces.with(|_| true), AFTER);
        assert_eq!(pieces.with(|_| false), BEFORE);
        assert_eq!(pieces.with(|number| number == 1), b"a\nb\nc\nD\ne\nf\ng\nh\ni\nj\n");
        assert_eq!(Pieces::of(b"a\n", b"").unwrap().with(|_| true), b"");
    }

    #[test]
    fn near_pieces_stand_together() {
        let pieces = Pieces::of(BEFORE, AFTER).unwrap();
        assert_eq!(pieces.groups(1), [0..2, 2..3]);
        assert_eq!(pieces.groups(0), [0..1, 1..2, 2..3]);
        let (first, lines) = pieces.lines(1..2, 1);
        assert_eq!(first, 3);
        assert_eq!(
            lines,
            [(Shown::Both, b"c\n".as_slice()), (Shown::Gone, b"d\n"), (Shown::New, b"D\n"), (Shown::Both, b"e\n")]
        );
        assert_eq!(Pieces::of(b"\0", b"").unwrap_err(), Whole::Binary);
    }
}
