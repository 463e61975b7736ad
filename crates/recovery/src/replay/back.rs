//! Edits of which it is recorded to which version they went back: restores, and undos of these.
//!
//! Owns which version's result such an edit leads to. Refuses to look for one where nothing is recorded: that is the walk's.

use super::{By, Chain, Mark, entries};

/// What such an edit leads to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Back {
    /// The result behind an earlier edit.
    To(usize),
    /// No result that there is: what it did is done to the one before it.
    Over,
}

/// What edit `number` leads to; `None` where no version is recorded for it, or it left something else.
///
/// It took what had been done since that version and was there. What a recovery had taken before was not: where that counts by
/// now, the edit leads to what the recovery left, if that was the same, else it takes no more than it took.
pub(super) fn of(chain: &Chain, number: usize) -> Option<Back> {
    let By::Return(Some(to)) = chain.edits[number - 1].by else { return None };
    let is_alike = |at: &usize| entries::same(chain.version(*at), chain.version(number));
    if to >= number || !is_alike(&to) {
        return None;
    }
    let recoveries = || chain.recoveries().rev().filter(|(at, _)| (to + 1..number).contains(at));
    let gone = recoveries().next().and_then(|(_, gone)| gone);
    let counts_again = |since: usize| {
        let mut since = gone.into_iter().flat_map(|gone| gone.range(since + 1..));
        since.any(|edit| *chain.mark(*edit) == Mark::Kept)
    };
    if !counts_again(to) {
        return Some(Back::To(to));
    }
    let left = recoveries().map(|(at, _)| at).find(is_alike).filter(|at| !counts_again(*at));
    Some(left.map_or(Back::Over, Back::To))
}
