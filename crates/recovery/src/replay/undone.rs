//! Recoveries one after another that left a path as it was, and everything counting as it did: a rollback and its undo.
//!
//! Owns that a replay is as if they had never been. Refuses to guess: what was gone at any of its ends must be known.

use std::borrow::Cow;
use std::collections::BTreeSet;

use super::{Chain, Conflict, Edit, Line, Mark, Note, Outcome, Replayed, entries};

/// A chain without them.
pub(super) struct Plain<'c> {
    pub(super) chain: Cow<'c, Chain>,
    /// The number that each of its versions has in the chain of which it was made; `None`: it is that chain.
    numbers: Option<Vec<usize>>,
}

impl<'c> Plain<'c> {
    pub(super) fn of(chain: &'c Chain) -> Self {
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
        if !is_left_out.contains(&true) {
            return Self { chain: Cow::Borrowed(chain), numbers: None };
        }
        let numbers: Vec<usize> = (0..=chain.last()).filter(|number| !is_left_out[*number]).collect();
        let edits = numbers[1..].iter().map(|number| renumbered(&chain.edits[number - 1], &numbers)).collect();
        Self { chain: Cow::Owned(Chain { first: chain.first.clone(), edits }), numbers: Some(numbers) }
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

/// An edit of which the others have the numbers of their places in `numbers`.
fn renumbered(edit: &Edit, numbers: &[usize]) -> Edit {
    let Mark::Neutral { gone: Some(gone) } = &edit.mark else { return edit.clone() };
    let gone = gone.iter().filter_map(|number| numbers.binary_search(number).ok()).collect();
    Edit { mark: Mark::Neutral { gone: Some(gone) }, ..edit.clone() }
}
