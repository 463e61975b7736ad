//! The way along a chain, by runs of kept edits or edit by edit.
//!
//! Owns where runs begin and end, and which version leads back to which. Refuses to merge entries itself.

use std::collections::HashMap;
use std::ops::RangeInclusive;

use wfr_model::entry::Node;
use wfr_store::object::ReadError;

use super::back::{self, Back};
use super::entries::{self, Merged};
use super::texts::Texts;
use super::{Chain, Conflict, Mark, Note, Version, modes};

/// How many kept edits are merged at once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Grouping {
    /// As many as follow each other.
    Runs,
    /// One.
    Edits,
}

/// A result at some point of the chain.
#[derive(Clone, Debug)]
pub(super) struct State {
    pub(super) entry: Version,
    /// The version that it is, where it is known to be one.
    pub(super) version: Option<usize>,
}

/// A result, or why there is none.
pub(super) type Found = Result<State, Box<Conflict>>;

/// Where the result behind an edit comes from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Source {
    /// The version itself.
    Version,
    /// The result behind an earlier edit.
    Result(usize),
    /// A merge of the edits from this one on.
    Merge { from: usize },
}

/// The source of each version's result, version 0 left out.
fn sources(chain: &Chain, grouping: Grouping) -> Vec<Source> {
    let mut found = Vec::with_capacity(chain.last());
    let mut from = 1;
    // The last place of each version since the last recovery, and that of all.
    let mut seen = HashMap::from([(entries::key(chain.version(0)), 0)]);
    let mut ever = seen.clone();
    for number in 1..=chain.last() {
        let key = entries::key(chain.version(number));
        let source = match chain.mark(number) {
            Mark::Removed => Source::Result(number - 1),
            Mark::Neutral { gone } => {
                seen.clear();
                let is_as_then = gone.as_ref().is_some_and(|gone| gone.iter().copied().eq(chain.removed(number)));
                if is_as_then { Source::Version } else { Source::Result(number - 1) }
            }
            Mark::Kept => {
                let earlier = match back::of(chain, number) {
                    Some(Back::To(earlier)) => Some(earlier),
                    Some(Back::Over) => None,
                    None => if chain.returns(number) { &ever } else { &seen }.get(&key).copied(),
                };
                // Within a run there is nothing to lead over, but where its edits are taken one by one.
                let leads_over = |at: &usize| at + 1 < from || grouping == Grouping::Edits && at + 1 < number;
                let leads_back = |at: &usize| chain.removed(at + 1).next().is_none() || chain.puts_back(at + 1, number);
                let earlier = earlier.filter(|at| leads_over(at) && leads_back(at));
                earlier.map_or(Source::Merge { from }, Source::Result)
            }
        };
        // What a recovery left while other edits counted is no place to lead back to.
        if !matches!(chain.mark(number), Mark::Neutral { .. }) || source == Source::Version {
            ever.insert(key.clone(), number);
        }
        seen.insert(key, number);
        if !matches!(source, Source::Merge { .. }) {
            from = number + 1;
        }
        found.push(source);
    }
    if grouping == Grouping::Edits {
        for (at, source) in found.iter_mut().enumerate() {
            if let Source::Merge { from } = source {
                *from = at + 1;
            }
        }
    }
    found
}

/// What the result is called, where the versions have several names: edit by edit, since of the moves within a run a merge sees
/// none but where they end.
pub(super) fn name(chain: &Chain) -> Option<Vec<u8>> {
    let of = |number: usize| chain.version(number).as_ref().map(|entry| &entry.name);
    let mut names = (0..=chain.last()).filter_map(of);
    let first = names.next()?;
    if names.all(|name| name == first) {
        return None;
    }
    let mut results = vec![of(0)];
    for (number, source) in (1..).zip(sources(chain, Grouping::Edits)) {
        let is_move = of(number) != of(number - 1);
        // Somebody else who moves it where it was before moves it there: only who had led away from that leads back to it.
        let leads_back = |earlier: usize| *chain.mark(number) != Mark::Kept || chain.puts_back(earlier + 1, number);
        results.push(match source {
            Source::Version => of(number).or(results[number - 1]),
            Source::Result(earlier) if leads_back(earlier) => results[earlier],
            _ => of(number).filter(|_| is_move).or(results[number - 1]),
        });
    }
    results.pop().flatten().cloned()
}

/// A result under its name, and without a mode that was only put back.
pub(super) fn named(chain: &Chain, mut state: State) -> State {
    if let Some((entry, (last, without))) = state.entry.as_mut().zip(modes::put_back(chain))
        && matches!(entry.node, Node::File(_))
        && entry.meta.mode == last
    {
        entry.meta.mode = without;
        state.version = None;
    }
    if let Some((entry, name)) = state.entry.as_mut().zip(name(chain))
        && entry.name != name
    {
        entry.name = name;
        state.version = None;
    }
    state
}

/// The last run of several kept edits behind a removed or neutral one: only there a second opinion can differ.
pub(super) fn worth_a_second_opinion(chain: &Chain) -> Option<RangeInclusive<usize>> {
    let first = chain.edits.iter().position(|edit| edit.mark != Mark::Kept)? + 1;
    let sources = sources(chain, Grouping::Runs);
    let runs = sources.iter().enumerate().rev().filter_map(|(at, source)| match source {
        Source::Merge { from } if *from > first && *from < at + 1 => Some(*from..=at + 1),
        _ => None,
    });
    runs.into_iter().next()
}

/// The last version without the removed edits, each run of which is taken out of it, the last one first; `None` where that
/// is not clean, or there are none.
pub(super) fn taken_out(chain: &Chain, texts: &mut Texts<'_>) -> Result<Option<Version>, ReadError> {
    if chain.removed(chain.last() + 1).next().is_none() {
        return Ok(None);
    }
    let mut entry = chain.version(chain.last()).clone();
    let mut end = chain.last();
    while let Some(last) = (1..=end).rev().find(|number| *chain.mark(*number) == Mark::Removed) {
        let first = (1..=last).rev().find(|number| *chain.mark(*number) != Mark::Removed).map_or(1, |kept| kept + 1);
        match entries::merge(chain.version(last), &entry, chain.version(first - 1), texts)? {
            Merged::Clean(without) => entry = without,
            Merged::Deleted | Merged::Conflict(_) => return Ok(None),
        }
        end = first - 1;
    }
    Ok(Some(entry))
}

/// What a walk came to.
pub(super) struct Walked {
    pub(super) found: Found,
    /// The version that all began with: the first one, or a recovery's that counts as it is.
    pub(super) start: usize,
    pub(super) notes: Vec<Note>,
}

/// The results along a chain.
pub(super) struct Walk<'a, 'b> {
    chain: &'a Chain,
    sources: Vec<Source>,
    texts: &'a mut Texts<'b>,
    /// By version; `None` where it is not needed.
    results: Vec<Option<Found>>,
    notes: Vec<Note>,
}

impl<'a, 'b> Walk<'a, 'b> {
    pub(super) fn new(chain: &'a Chain, grouping: Grouping, texts: &'a mut Texts<'b>) -> Self {
        let sources = sources(chain, grouping);
        Self { chain, sources, texts, results: vec![None; chain.last() + 1], notes: Vec::new() }
    }

    /// The result behind the last edit.
    pub(super) fn result(mut self) -> Result<Walked, ReadError> {
        let path = self.needed();
        for number in &path {
            let result = self.step(*number)?;
            self.results[*number] = Some(result);
        }
        let last = self.results.pop().flatten();
        let found = last.unwrap_or_else(|| Ok(self.version(self.chain.last())));
        Ok(Walked { found, start: path[0], notes: self.notes })
    }

    /// The versions whose results lead to the last one, in order; at least that one.
    fn needed(&self) -> Vec<usize> {
        let (mut path, mut number) = (vec![self.chain.last()], self.chain.last());
        while number > 0 {
            number = match self.sources[number - 1] {
                Source::Version => break,
                Source::Result(earlier) => earlier,
                Source::Merge { from } => from - 1,
            };
            path.push(number);
        }
        path.reverse();
        path
    }

    fn version(&self, number: usize) -> State {
        State { entry: self.chain.version(number).clone(), version: Some(number) }
    }

    /// The result behind one edit, from those before it.
    fn step(&mut self, number: usize) -> Result<Found, ReadError> {
        let source = number.checked_sub(1).map_or(&Source::Version, |at| &self.sources[at]);
        let before = |at: usize| self.results[at].clone().unwrap_or_else(|| Ok(self.version(at)));
        match *source {
            Source::Version => Ok(Ok(self.version(number))),
            Source::Result(earlier) => {
                let result = before(earlier);
                if self.deletes(earlier, number) {
                    self.notes.push(Note::KeptDeletion { edit: number });
                }
                Ok(result)
            }
            Source::Merge { from } => {
                let ours = before(from - 1);
                self.merge(from..=number, ours)
            }
        }
    }

    /// Replays a run of kept edits over the result before it.
    fn merge(&mut self, run: RangeInclusive<usize>, ours: Found) -> Result<Found, ReadError> {
        let (base, theirs) = (run.start() - 1, *run.end());
        let ours = match ours {
            Ok(ours) => ours,
            // Whatever it would have been: it is deleted.
            Err(_) if self.chain.version(base).is_some() && self.chain.version(theirs).is_none() => {
                return Ok(Ok(self.deleted(theirs)));
            }
            Err(conflict) => return Ok(Err(conflict)),
        };
        let merged = entries::merge(self.chain.version(base), &ours.entry, self.chain.version(theirs), self.texts)?;
        Ok(match merged {
            Merged::Deleted => Ok(self.deleted(theirs)),
            Merged::Clean(entry) if entries::same(&entry, &ours.entry) => Ok(ours),
            Merged::Clean(entry) if entries::same(&entry, self.chain.version(theirs)) => Ok(self.version(theirs)),
            Merged::Clean(entry) => Ok(State { entry, version: None }),
            Merged::Conflict(kind) => {
                let ours_text = self.texts.made(&ours.entry);
                Err(Box::new(Conflict { kind, run, ours: ours.entry, ours_text, unit: self.texts.unit }))
            }
        })
    }

    /// Whether a kept edit that leads back to an earlier version deletes what others that are kept had made.
    fn deletes(&self, earlier: usize, number: usize) -> bool {
        let is_kept = |at: usize| *self.chain.mark(at) == Mark::Kept;
        is_kept(number) && self.chain.version(number).is_none() && (earlier + 1..number).any(is_kept)
    }

    fn deleted(&mut self, edit: usize) -> State {
        self.notes.push(Note::KeptDeletion { edit });
        self.version(edit)
    }
}
