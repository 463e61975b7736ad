//! Recoveries one after another that left a path as it was, and everything counting as it did: a rollback and its undo.
//!
//! Owns that a replay is as if they had never been. Refuses to guess: what was gone at any of their ends must be known.

use std::borrow::Cow;
use std::collections::BTreeSet;

use super::{By, Chain, Conflict, Edit, Line, Mark, Note, Outcome, Replayed, entries};

/// A chain without them.
pub(super) struct Plain<'c> {
    pub(super) chain: Cow<'c, Chain>,
    /// The number that each of its versions has in the chain of which it was made; `None`: it is that chain.
    numbers: Option<Vec<usize>>,
}

impl<'c> Plain<'c> {
    pub(super) fn of(chain: &'c Chain) -> Self {
        // First what was decided by hand: a later recovery counts it among what had gone.
        let whole = Self { chain: Cow::Borrowed(chain), numbers: None };
        whole.without(decided).without(neutral)
    }

    /// The same without the edits of which that is said, by number.
    fn without(self, leaves_out: fn(&Chain) -> Vec<bool>) -> Self {
        let is_left_out = leaves_out(&self.chain);
        if !is_left_out.contains(&true) {
            return self;
        }
        let numbers: Vec<usize> = (0..=self.chain.last()).filter(|number| !is_left_out[*number]).collect();
        let edits = numbers[1..].iter().map(|number| renumbered(&self.chain, *number, &numbers)).collect();
        let chain = Cow::Owned(Chain { first: self.chain.first.clone(), edits });
        let numbers = match self.numbers {
            None => numbers,
            Some(before) => numbers.into_iter().map(|number| before[number]).collect(),
        };
        Self { chain, numbers: Some(numbers) }
    }

    /// What was found of it, as it is told of the chain of which it was made.
    pub(super) fn told(&self, mut found: Replayed) -> Replayed {
        let Some(numbers) = &self.numbers else { return found };
        let of = |number: usize| numbers[number];
        found.outcome = match found.outcome {
            Outcome::Version(number) => Outcome::Version(of(number)),
            Outcome::Conflict(conflict) => {
                let run = of(*conflict.run.start())..=of(*conflict.run.end());
                Outcome::Conflict(Box::new(Conflict { run, ..*conflict }))
            }
            other => other,
        };
        let lines = |lines: &mut Vec<Line>| lines.iter_mut().for_each(|line| line.edit = of(line.edit));
        for note in &mut found.notes {
            match note {
                Note::KeptDeletion { edit } => *edit = of(*edit),
                Note::Incomplete { remaining, missing, .. } => {
                    lines(remaining);
                    lines(missing);
                }
                Note::Unchecked | Note::NoSecondOpinion | Note::ByWords => {}
            }
        }
        found
    }
}

/// Edits that are gone, each with one behind it that is known to have brought back what was there before: a recovery that was
/// decided by hand, and its undo.
fn decided(chain: &Chain) -> Vec<bool> {
    let mut is_left_out = vec![false; chain.last() + 1];
    for number in 1..chain.last() {
        let (went, back) = (chain.mark(number), chain.mark(number + 1));
        let is_pair =
            *went == Mark::Removed && *back == Mark::Kept && chain.returns(number) && chain.returns(number + 1);
        if is_pair && entries::same(chain.version(number + 1), chain.version(number - 1)) {
            is_left_out[number] = true;
            is_left_out[number + 1] = true;
        }
    }
    is_left_out
}

/// Neutral edits, one after another, that cancel each other out.
fn neutral(chain: &Chain) -> Vec<bool> {
    let mut is_left_out = vec![false; chain.last() + 1];
    let mut gone = Some(&BTreeSet::new());
    let mut number = 1;
    while number <= chain.last() {
        let Mark::Neutral { gone: behind } = chain.mark(number) else {
            // Who brings something back may make count what had gone.
            gone = gone.filter(|_| !chain.returns(number));
            number += 1;
            continue;
        };
        let end = block_end(chain, number, gone);
        match end {
            Some(end) => (number..=end).for_each(|at| is_left_out[at] = true),
            None => gone = behind.as_ref(),
        }
        number = end.unwrap_or(number) + 1;
    }
    is_left_out
}

/// The last of the recoveries from edit `number` on, one after another, behind which all is as it was before them; `before` is what
/// was gone then.
fn block_end(chain: &Chain, number: usize, before: Option<&BTreeSet<usize>>) -> Option<usize> {
    let before = before?;
    let gone = |at: usize| match chain.mark(at) {
        Mark::Neutral { gone } => Some(gone.as_ref()),
        _ => None,
    };
    let block = (number..=chain.last()).map_while(|at| Some((at, gone(at)?)));
    let is_as_before = |at: usize| entries::same(chain.version(at), chain.version(number - 1));
    block.filter(|(at, gone)| *gone == Some(before) && is_as_before(*at)).map(|(at, _)| at).last()
}

/// An edit of a chain, by number, as it is where the others have the numbers of their places in `numbers`.
fn renumbered(chain: &Chain, number: usize, numbers: &[usize]) -> Edit {
    let mut edit = chain.edits[number - 1].clone();
    if let Mark::Neutral { gone: Some(gone) } = &mut edit.mark {
        *gone = gone.iter().filter_map(|number| numbers.binary_search(number).ok()).collect();
    }
    if let By::Return(Some(to)) = edit.by {
        // What is left out ends as it was before.
        let place = numbers.partition_point(|number| *number <= to) - 1;
        let is_alike = entries::same(chain.version(numbers[place]), chain.version(to));
        edit.by = By::Return(is_alike.then_some(place));
    }
    edit
}
