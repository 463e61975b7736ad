//! Looking a result over: whether lines of removed edits remain, and whether lines of kept ones are missing.
//!
//! Owns which lines can tell whose they are, as [`super::Note::Incomplete`] says it. Refuses to change the result.

use std::collections::hash_map::RandomState;
use std::collections::{HashMap, HashSet};
use std::hash::BuildHasher as _;

use wfr_store::object::ReadError;

use super::texts::{self, Texts};
use super::{Chain, Mark, Note, Version, entries};
use crate::merge;

/// At most so many lines of either sort are shown.
pub const LINES_SHOWN: usize = 10;

/// A line that is not as it should be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Line {
    /// The edit that brought it first; 0: it was there before all edits. Behind a recovery that counts as it is, that one.
    pub edit: usize,
    /// It, without the spaces around it.
    pub text: Vec<u8>,
}

/// What is known of one line over the whole chain.
struct Story {
    brought: usize,
    /// It was gone from the version that all begins with, and somebody brought it back behind that.
    is_back: bool,
    /// The last version that has it.
    last: usize,
    /// Some version has it twice: nobody knows which is whose.
    is_twice: bool,
    /// A kept edit took it away.
    taken_by_kept: bool,
    /// A kept edit brought it again after a recovery had taken it away, or after somebody else had.
    made_anew: bool,
    /// The last edit that brought it, and the last that took it away; 0: none.
    came: usize,
    lost: usize,
    /// The removed edit whose loss of it somebody made good, and the edit that did.
    made_good: Option<(usize, usize)>,
    /// The edit by whoever made it good that took it away again, where it is gone for good with that.
    lost_again: Option<usize>,
}

impl Story {
    /// A line that version `number` is the first to have.
    fn new(number: usize) -> Self {
        Self {
            brought: number,
            is_back: false,
            last: usize::MAX,
            is_twice: false,
            taken_by_kept: false,
            made_anew: false,
            came: number,
            lost: 0,
            made_good: None,
            lost_again: None,
        }
    }

    /// A line that version `number` brings back, and that edit `brought` had brought first. Where a recovery does, while other
    /// edits counted, whoever took it away before the version that all begins with stays.
    fn back(chain: &Chain, brought: usize, number: usize) -> Self {
        let taken_by_kept = matches!(chain.mark(number), Mark::Neutral { .. });
        Self { brought, is_back: true, taken_by_kept, ..Self::new(number) }
    }

    /// The line is gone from the version behind the last that has it.
    fn end(&mut self, chain: &Chain) {
        if self.last >= chain.last() {
            return;
        }
        self.lost = self.last + 1;
        if *chain.mark(self.lost) != Mark::Kept {
            return;
        }
        // Whoever had made good what a removed edit took away, and takes it away again, does what that did.
        match self.made_good.is_some_and(|(_, by)| chain.puts_back(by, self.lost)) {
            true => self.lost_again = Some(self.lost),
            false => self.taken_by_kept = true,
        }
    }

    /// The line is in a version again.
    fn go_on(&mut self, chain: &Chain, number: usize) {
        if self.last + 1 < number {
            self.end(chain);
            let by_recovery = matches!(chain.mark(self.last + 1), Mark::Neutral { .. });
            let is_new = !chain.returns(number) && (by_recovery || !chain.puts_back(self.last + 1, number));
            self.made_anew |= is_new && *chain.mark(number) == Mark::Kept;
            let taker = match (self.lost_again.take(), chain.mark(self.lost)) {
                (Some(_), _) => self.made_good.map(|(taker, _)| taker),
                (None, Mark::Removed) => Some(self.lost),
                _ => None,
            };
            let is_kept = *chain.mark(number) == Mark::Kept;
            self.made_good = taker.filter(|_| is_kept).map(|taker| (taker, number));
            self.came = number;
        }
        self.last = number;
    }

    /// Whether the line is wrong in a result that has it, or has it not.
    fn is_wrong(&self, chain: &Chain, start: usize, is_there: bool) -> bool {
        let counts = self.brought > start || self.is_back && self.brought > 0;
        match if counts { chain.mark(self.brought) } else { &Mark::Kept } {
            _ if self.is_twice => false,
            Mark::Removed => is_there && !self.made_anew,
            Mark::Kept => !is_there && !self.taken_by_kept,
            Mark::Neutral { .. } => false,
        }
    }
}

/// Looks a result over that was replayed from version `start` on: what is in that counts as kept. Errors: what reading a
/// version says.
pub(super) fn look_over(
    chain: &Chain,
    start: usize,
    result: &Version,
    texts: &mut Texts<'_>,
) -> Result<Option<Note>, ReadError> {
    let is_file = entries::content(result).is_some_and(|content| content.size <= merge::BYTES_MAX);
    // Where nothing goes, what an earlier recovery had taken is to be there again.
    if !is_file || chain.removed(chain.last() + 1).next().is_none() && chain.recoveries().next().is_none() {
        return Ok(None);
    }
    if texts::bytes(chain) > texts::TOGETHER_MAX {
        return Ok(Some(Note::Unchecked));
    }
    let mut stories = Stories { chain, start, hasher: RandomState::new(), of: HashMap::new(), before: HashMap::new() };
    if (start + 1..=chain.last()).any(|number| chain.may_bring_back(number)) {
        (0..start).try_for_each(|number| stories.remember(number, texts))?;
    }
    for number in start..=chain.last() {
        stories.add(number, texts)?;
    }
    stories.judge(result, texts)
}

/// In which of two results that differ in their content alone, each with the version from which it was replayed, no line is
/// wrong; of others that cannot be told. Errors: what reading a version says.
pub(super) fn sound(
    chain: &Chain,
    results: [(usize, &Version); 2],
    texts: &mut Texts<'_>,
) -> Result<Option<[bool; 2]>, ReadError> {
    let [(_, first), (_, second)] = results;
    if !entries::same_but_content(first, second) {
        return Ok(None);
    }
    let mut is_sound = |(start, result): (usize, &Version)| {
        Ok::<_, ReadError>(look_over(&chain.work(start), start, result, texts)?.is_none())
    };
    Ok(Some([is_sound(results[0])?, is_sound(results[1])?]))
}

/// The stories of all lines, by a keyed hash of the line.
struct Stories<'a> {
    chain: &'a Chain,
    start: usize,
    hasher: RandomState,
    of: HashMap<u64, Story>,
    /// The first version before the start that has a line; `None`: some version has it twice.
    before: HashMap<u64, Option<usize>>,
}

impl Stories<'_> {
    /// Remembers the lines of a version before the start: somebody may bring them back.
    fn remember(&mut self, number: usize, texts: &mut Texts<'_>) -> Result<(), ReadError> {
        let Self { chain, hasher, before, .. } = self;
        let mut here = HashSet::new();
        for_lines(chain.version(number), texts, |line| {
            let line = hasher.hash_one(line);
            let first = before.entry(line).or_insert(Some(number));
            if !here.insert(line) {
                *first = None;
            }
        })?;
        Ok(())
    }

    /// Adds one version.
    fn add(&mut self, number: usize, texts: &mut Texts<'_>) -> Result<(), ReadError> {
        let Self { chain, hasher, of, before, start } = self;
        let is_back = number > *start && chain.may_bring_back(number);
        let new = |line: u64| match before.get(&line).copied().flatten().filter(|_| is_back) {
            Some(brought) => Story::back(chain, brought, number),
            None => Story::new(number),
        };
        let is_text = for_lines(chain.version(number), texts, |line| {
            let line = hasher.hash_one(line);
            let story = of.entry(line).or_insert_with(|| new(line));
            match story.last {
                usize::MAX => story.last = number,
                last if last == number => story.is_twice = true,
                _ => story.go_on(chain, number),
            }
        })?;
        if !is_text && number > self.start && *chain.mark(number) == Mark::Kept {
            // What was deleted or made something else as a whole: with that went what removed edits had taken away before.
            of.values_mut().for_each(|story| story.taken_by_kept = true);
        }
        Ok(())
    }

    /// Ends the stories. What somebody took away that a removed edit had taken away before was that edit's doing only where
    /// all of that came about again, at once, as a stash does that is popped: else it was work of their own.
    fn end(&mut self) {
        let Self { chain, of, .. } = self;
        of.values_mut().for_each(|story| story.end(chain));
        let has_recovery =
            |from: usize, to: usize| (from..=to).any(|number| matches!(chain.mark(number), Mark::Neutral { .. }));
        let mut again: HashMap<(usize, usize), Option<usize>> = HashMap::new();
        for story in of.values().filter(|story| !story.is_twice) {
            let Some(made_good) = story.made_good else { continue };
            let lost_again = story.lost_again.filter(|by| !has_recovery(made_good.0, *by));
            let found = again.entry(made_good).or_insert(lost_again);
            *found = found.filter(|found| Some(*found) == lost_again);
        }
        for ((taker, by), found) in &mut again {
            // What the removed edit had brought comes with it, or it is another edit.
            let went = |story: &&Story| !story.is_twice && story.brought == *taker && story.lost == *by;
            *found = found.filter(|found| of.values().filter(went).all(|story| story.came == *found));
        }
        for story in of.values_mut().filter(|story| story.lost_again.is_some()) {
            let is_again = story.made_good.and_then(|made_good| again.get(&made_good).copied().flatten()).is_some();
            story.taken_by_kept |= !is_again;
        }
    }

    fn judge(mut self, result: &Version, texts: &mut Texts<'_>) -> Result<Option<Note>, ReadError> {
        self.end();
        let (mut count, mut remaining) = (0, Vec::new());
        for_lines(result, texts, |line| {
            // What is in the result is not missing: its story is told.
            let Some(story) = self.of.remove(&self.hasher.hash_one(line)) else { return };
            if story.is_wrong(self.chain, self.start, true) {
                count += 1;
                show(&mut remaining, &story, line);
            }
        })?;
        self.of.retain(|_, story| story.is_wrong(self.chain, self.start, false));
        count += self.of.len();
        let missing = self.missing(texts)?;
        Ok((count > 0).then_some(Note::Incomplete { remaining, missing, count }))
    }

    /// Finds the text of lines that are missing, in the versions that have them last.
    fn missing(mut self, texts: &mut Texts<'_>) -> Result<Vec<Line>, ReadError> {
        let mut versions: Vec<usize> = self.of.values().map(|story| story.last).collect();
        versions.sort_unstable();
        versions.dedup();
        let mut found = Vec::new();
        for version in versions.into_iter().rev() {
            for_lines(self.chain.version(version), texts, |line| {
                if let Some(story) = self.of.remove(&self.hasher.hash_one(line)) {
                    show(&mut found, &story, line);
                }
            })?;
            if found.len() == LINES_SHOWN {
                break;
            }
        }
        Ok(found)
    }
}

fn show(lines: &mut Vec<Line>, story: &Story, line: &[u8]) {
    if lines.len() < LINES_SHOWN {
        lines.push(Line { edit: story.brought, text: line.to_vec() });
    }
}

/// Calls `each` with the lines of a version that have a letter or digit. Whether it is a text: what is none has no lines.
fn for_lines(version: &Version, texts: &mut Texts<'_>, mut each: impl FnMut(&[u8])) -> Result<bool, ReadError> {
    let Some(content) = entries::content(version).filter(|content| content.size <= merge::BYTES_MAX) else {
        return Ok(false);
    };
    let text = texts.get(content)?;
    if merge::is_binary(&text) {
        return Ok(false);
    }
    let says_something = |line: &&[u8]| line.iter().any(|byte| byte.is_ascii_alphanumeric() || !byte.is_ascii());
    let lines = text.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    lines.filter(says_something).for_each(&mut each);
    Ok(true)
}
