//! Which hunks of two sides belong together.
//!
//! Owns the rule that hunks which overlap or touch are one region, and that such a region is a conflict unless both
//! sides made the same of it. Refuses to build texts.

use std::ops::Range;

use super::compare::Hunk;

/// Who changed a region.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Whose {
    Ours,
    Theirs,
    /// Both, differently.
    Both,
}

/// A part of the three texts that at least one side changed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Region {
    pub(super) whose: Whose,
    pub(super) base: Range<usize>,
    pub(super) ours: Range<usize>,
    pub(super) theirs: Range<usize>,
}

/// Pairs the hunks from the base to `ours` with those to `theirs`. What both sides changed alike is left out: ours has it
/// already. The regions come in order, and equal lines stand between them.
pub(super) fn regions(left: &[Hunk], right: &[Hunk], ours: &[u32], theirs: &[u32]) -> Vec<Region> {
    let mut pairing = Pairing { found: Vec::new(), shift_left: 0, shift_right: 0 };
    let (mut left, mut right) = (left.iter().peekable(), right.iter().peekable());
    loop {
        match (left.peek(), right.peek()) {
            (None, None) => break,
            (Some(l), r) if r.is_none_or(|r| l.before.end < r.before.start) => {
                pairing.alone(Whose::Ours, l);
                left.next();
            }
            (l, Some(r)) if l.is_none_or(|l| r.before.end < l.before.start) => {
                pairing.alone(Whose::Theirs, r);
                right.next();
            }
            (Some(l), Some(r)) => {
                if l.before != r.before || ours[l.after.clone()] != theirs[r.after.clone()] {
                    pairing.both(l, r);
                }
                let (end_left, end_right) = (l.before.end, r.before.end);
                if end_left <= end_right {
                    pairing.pass(Whose::Ours, l);
                    left.next();
                }
                if end_right <= end_left {
                    pairing.pass(Whose::Theirs, r);
                    right.next();
                }
            }
            _ => unreachable!("of two hunks one is not before the other, or both are there"),
        }
    }
    let mut found = pairing.found;
    // Both sides may have come to the same by different hunks.
    found.retain(|region| region.whose != Whose::Both || ours[region.ours.clone()] != theirs[region.theirs.clone()]);
    found
}

/// Regions so far, and by how much a line of the base has moved on each side behind the hunks that were passed.
struct Pairing {
    found: Vec<Region>,
    shift_left: isize,
    shift_right: isize,
}

fn shifted(range: &Range<usize>, by: isize) -> Range<usize> {
    range.start.saturating_add_signed(by)..range.end.saturating_add_signed(by)
}

fn shift(hunk: &Hunk) -> isize {
    hunk.after.end as isize - hunk.before.end as isize
}

impl Pairing {
    fn pass(&mut self, whose: Whose, hunk: &Hunk) {
        match whose {
            Whose::Ours => self.shift_left = shift(hunk),
            _ => self.shift_right = shift(hunk),
        }
    }

    /// A hunk that no hunk of the other side touches.
    fn alone(&mut self, whose: Whose, hunk: &Hunk) {
        let base = hunk.before.clone();
        let (ours, theirs) = match whose {
            Whose::Ours => (hunk.after.clone(), shifted(&base, self.shift_right)),
            _ => (shifted(&base, self.shift_left), hunk.after.clone()),
        };
        self.pass(whose, hunk);
        self.add(Region { whose, base, ours, theirs });
    }

    /// Two hunks that overlap or touch: all that they span.
    fn both(&mut self, l: &Hunk, r: &Hunk) {
        let base = l.before.start.min(r.before.start)..l.before.end.max(r.before.end);
        let span = |hunk: &Hunk| {
            // Where this side has an earlier hunk in the region the last region begins before it, and only the end counts.
            let start = hunk.after.start.saturating_sub(hunk.before.start - base.start);
            start..hunk.after.end + (base.end - hunk.before.end)
        };
        let (ours, theirs) = (span(l), span(r));
        self.add(Region { whose: Whose::Both, base, ours, theirs });
    }

    /// Adds a region, or widens the last one where they touch on either side.
    fn add(&mut self, region: Region) {
        match self.found.last_mut() {
            Some(last) if region.ours.start <= last.ours.end || region.theirs.start <= last.theirs.end => {
                if last.whose != region.whose {
                    last.whose = Whose::Both;
                }
                last.base.end = region.base.end;
                last.ours.end = region.ours.end;
                last.theirs.end = region.theirs.end;
            }
            _ => self.found.push(region),
        }
    }
}
