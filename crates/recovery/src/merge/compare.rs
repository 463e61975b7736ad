//! How one text differs from another: the hunks.
//!
//! Owns which lines are worth comparing at all, and turns marks on lines into hunks. Refuses to search the shortest
//! way (that is `search`) and to slide hunks (that is `compact`).

use std::ops::Range;

use super::{compact, search};

/// Lines of one text and what stands for them in another.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Hunk {
    pub(super) before: Range<usize>,
    pub(super) after: Range<usize>,
}

/// A line that occurs more often than this on the other side is common, however long the text.
const COMMON_MAX: usize = 1024;

/// How far from a common line it is looked for lines without a match.
const WINDOW: usize = 100;

/// A common line is left out where fewer than one in so many around it are common.
const COMMON_SHARE: usize = 4;

/// What the other side has of a line.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Match {
    None,
    Some,
    Common,
}

/// How `after` differs from `before`: hunks in order, with equal lines between them. `kinds` is above every number.
/// `None` where `steps` did not suffice.
pub(super) fn hunks(before: &[u32], after: &[u32], kinds: usize, steps: &mut u64) -> Option<Vec<Hunk>> {
    let (mut gone, mut new) = changed(before, after, kinds, steps)?;
    // Hunks are slid on one side, then on the other, as xdiff does: the order decides where they come to rest.
    compact::compact(before, &mut gone, &new, steps)?;
    compact::compact(after, &mut new, &gone, steps)?;
    Some(collect(&gone, &new))
}

/// Marks the lines of both texts that have no partner on the other side.
fn changed(before: &[u32], after: &[u32], kinds: usize, steps: &mut u64) -> Option<(Vec<bool>, Vec<bool>)> {
    let (mut gone, mut new) = (vec![false; before.len()], vec![false; after.len()]);
    let inner = inner(before, after);
    let counts = [before, after].map(|ids| occurrences(ids, kinds));
    let left = worth(before, inner.0, &counts[1], &mut gone);
    let right = worth(after, inner.1, &counts[0], &mut new);
    let ids = |text: &[u32], places: &[usize]| -> Vec<u32> { places.iter().map(|place| text[*place]).collect() };
    let (a, b) = (ids(before, &left), ids(after, &right));
    search::search(&a, &b, steps, |lines| {
        lines.0.for_each(|at| gone[left[at]] = true);
        lines.1.for_each(|at| new[right[at]] = true);
    })?;
    Some((gone, new))
}

/// Both texts without the lines that are equal at their begin and end.
fn inner(before: &[u32], after: &[u32]) -> (Range<usize>, Range<usize>) {
    let start = before.iter().zip(after).take_while(|(a, b)| a == b).count();
    let rest = (before[start..].iter().rev()).zip(after[start..].iter().rev());
    let end = rest.take_while(|(a, b)| a == b).count();
    (start..before.len() - end, start..after.len() - end)
}

fn occurrences(ids: &[u32], kinds: usize) -> Vec<u32> {
    let mut counts = vec![0; kinds];
    ids.iter().for_each(|id| counts[*id as usize] += 1);
    counts
}

/// The places within `inner` that are worth comparing; the others are marked as changed. What the other side does not
/// have cannot match, and lines that it has very often (blank ones, braces) only mislead among such.
fn worth(ids: &[u32], inner: Range<usize>, other: &[u32], changed: &mut [bool]) -> Vec<usize> {
    let common = rough_root(ids.len()).min(COMMON_MAX);
    let kind = |id: &u32| match other[*id as usize] as usize {
        0 => Match::None,
        count if count >= common => Match::Common,
        _ => Match::Some,
    };
    let kinds: Vec<Match> = ids[inner.clone()].iter().map(kind).collect();
    let mut places = Vec::with_capacity(kinds.len());
    for (at, kind) in kinds.iter().enumerate() {
        if *kind == Match::Some || *kind == Match::Common && !misleads(&kinds, at) {
            places.push(inner.start + at);
        } else {
            changed[inner.start + at] = true;
        }
    }
    places
}

/// Whether a common line stands among lines most of which have no match: there are some on both sides of it before the
/// next line that has an ordinary one.
fn misleads(kinds: &[Match], at: usize) -> bool {
    let count = |run: &mut dyn Iterator<Item = &Match>| {
        let (mut none, mut common) = (0, 1);
        for kind in run.take(WINDOW).take_while(|kind| **kind != Match::Some) {
            match kind {
                Match::None => none += 1,
                _ => common += 1,
            }
        }
        (none, common)
    };
    let (none_before, common_before): (usize, usize) = count(&mut kinds[..at].iter().rev());
    if none_before == 0 {
        return false;
    }
    let (none_after, common_after) = count(&mut kinds[at + 1..].iter());
    let (none, common) = (none_before + none_after, common_before + common_after);
    none_after != 0 && common * COMMON_SHARE < common + none
}

/// A power of two near the square root.
pub(super) fn rough_root(number: usize) -> usize {
    1 << (usize::BITS - number.leading_zeros()).div_ceil(2)
}

/// Hunks from marks.
fn collect(gone: &[bool], new: &[bool]) -> Vec<Hunk> {
    let run = |marks: &[bool], at: usize| at..at + marks[at..].iter().take_while(|mark| **mark).count();
    let (mut found, mut a, mut b) = (Vec::new(), 0, 0);
    while a < gone.len() || b < new.len() {
        let (before, after) = (run(gone, a), run(new, b));
        // One equal line behind the hunk, or the end of both.
        (a, b) = (before.end + 1, after.end + 1);
        if !before.is_empty() || !after.is_empty() {
            found.push(Hunk { before, after });
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rough_root_is_a_power_of_two() {
        let roots = [0, 1, 3, 4, 15, 16, 64, 1 << 20].map(rough_root);
        assert_eq!(roots, [1, 2, 2, 4, 4, 8, 16, 2048]);
    }

    #[test]
    fn hunks_stand_between_equal_lines() {
        let of = |before: &[u32], after: &[u32]| {
            let found = hunks(before, after, 10, &mut u64::MAX.clone()).unwrap();
            found.into_iter().map(|hunk| (hunk.before, hunk.after)).collect::<Vec<_>>()
        };
        assert_eq!(of(&[1, 2, 3], &[1, 2, 3]), []);
        assert_eq!(of(&[], &[1, 2]), [(0..0, 0..2)]);
        assert_eq!(of(&[1, 2, 3, 4], &[1, 5, 3]), [(1..2, 1..2), (3..4, 3..3)]);
        // A hunk that can slide goes down as far as it can.
        assert_eq!(of(&[1, 2, 2, 3], &[1, 2, 2, 2, 3]), [(3..3, 3..4)]);
    }
}
