//! A rollback, then restores to checkpoints and edits elsewhere in the file, then the undo of the rollback: what it took is there
//! again, beside all else.
//!
//! Owns generated stories of that, as chains. Refuses to know which checkpoints there are: any version is one.

use std::collections::{BTreeSet, HashMap};

use proptest::prelude::*;
use wfr_model::Digest;
use wfr_model::entry::{Content, Entry, Meta, Node};
use wfr_recovery::merge::Unit;
use wfr_recovery::replay::{By, Chain, Edit, Mark, Merged, Note, Outcome, Version, replay};
use wfr_store::object::hash;
use wfr_testkit::Prng;

/// Everybody has a line, so far from the others that nobody touches theirs.
const EVERYBODY: usize = 7;
const APART: usize = 5;

/// Whose work the rollback takes, and whose an earlier one took.
const A: usize = 0;
const B: usize = 1;

type Text = Vec<String>;

struct Story {
    texts: Vec<Text>,
    marks: Vec<(Mark, By)>,
    said: Vec<String>,
}

impl Story {
    fn begin() -> Self {
        let text = (0..EVERYBODY * APART).map(|line| format!("line {line}")).collect();
        Self { texts: vec![text], marks: vec![], said: vec![] }
    }

    fn last(&self) -> &Text {
        &self.texts[self.texts.len() - 1]
    }

    /// The last text with another line of somebody's.
    fn with(&self, who: usize, line: &str) -> Text {
        let mut text = self.last().clone();
        text[who * APART + 2] = line.to_owned();
        text
    }

    fn add(&mut self, mark: Mark, by: By, (text, said): (Text, String)) -> usize {
        self.texts.push(text);
        self.marks.push((mark, by));
        self.said.push(said);
        self.marks.len()
    }

    fn edit(&mut self, mark: Mark, who: usize) -> usize {
        let line = format!("by {who}, edit {}", self.texts.len());
        self.add(mark, By::Somebody(who as u32), (self.with(who, &line), line))
    }

    fn edits_of_others(&mut self, random: &mut Prng, most: usize) {
        for _ in 0..random.below(most + 1) {
            self.edit(Mark::Kept, B + 1 + random.below(EVERYBODY - B - 1));
        }
    }

    /// A recovery takes back what somebody did, and `gone` is gone behind it.
    fn roll_back(&mut self, who: usize, gone: &BTreeSet<usize>) -> usize {
        let text = self.with(who, &self.texts[0][who * APART + 2].clone());
        let said = format!("{gone:?} are taken back");
        self.add(Mark::Neutral { gone: Some(gone.clone()) }, By::Recovery, (text, said))
    }

    fn restore(&mut self, to: usize) {
        if self.texts[to] != *self.last() {
            let text = self.texts[to].clone();
            self.add(Mark::Kept, By::Return(Some(to)), (text, format!("restored to {to}")));
        }
    }

    fn chain(&self, is_recorded: bool, shelf: &mut HashMap<Digest, Vec<u8>>) -> Chain {
        let mut version = |text: &Text| -> Version {
            let text = (text.join("\n") + "\n").into_bytes();
            let content = Content { size: text.len() as u64, hash: hash(&text), chunks: None };
            shelf.insert(content.hash, text);
            let meta = Meta { mode: 0o644, ..Meta::default() };
            Some(Entry { name: b"f".to_vec(), meta, node: Node::File(content), xattrs: Vec::new() })
        };
        let first = version(&self.texts[0]);
        let by = |by: By| match by {
            By::Return(_) if !is_recorded => By::Return(None),
            by => by,
        };
        let edits = self.marks.iter().zip(&self.texts[1..]);
        let edits =
            edits.map(|((mark, whose), text)| Edit { mark: mark.clone(), by: by(*whose), after: version(text) });
        Chain { first, edits: edits.collect() }
    }

    /// What the replay comes to.
    fn replayed(&self, is_recorded: bool) -> (Result<String, String>, Vec<Note>) {
        let mut shelf = HashMap::new();
        let chain = self.chain(is_recorded, &mut shelf);
        let replayed = replay(&chain, Unit::Lines, &|content| Ok(shelf[&content.hash].clone())).unwrap();
        let content = |version: &Version| match version.as_ref().map(|entry| &entry.node) {
            Some(Node::File(content)) => shelf[&content.hash].clone(),
            _ => vec![],
        };
        let text = match replayed.outcome {
            Outcome::Version(number) => Ok(content(chain.version(number))),
            Outcome::Merged(Merged { text: Some(text), .. }) => Ok(text),
            Outcome::Merged(Merged { entry, .. }) => Ok(content(&Some(entry))),
            other => Err(format!("{other:?}")),
        };
        (text.map(|text| String::from_utf8(text).unwrap()), replayed.notes)
    }
}

/// A rollback of A's work, and what came of the file since; with A's line.
fn story(random: &mut Prng) -> (Story, String) {
    let (mut story, mut gone) = (Story::begin(), BTreeSet::new());
    story.edits_of_others(random, 2);
    let has_earlier = random.below(2) == 0;
    if has_earlier {
        gone.insert(story.edit(Mark::Removed, B));
    }
    let of_a = story.edit(Mark::Kept, A);
    let line = story.last()[A * APART + 2].clone();
    story.edits_of_others(random, 2);
    if has_earlier {
        story.roll_back(B, &gone);
        story.edits_of_others(random, 1);
    }
    gone.insert(of_a);
    let rollback = story.roll_back(A, &gone);
    for _ in 0..random.below(6) + 1 {
        match random.below(3) {
            0 => story.edits_of_others(random, 2),
            // What was taken back before the oldest checkpoint would count again there.
            1 if !has_earlier && random.below(2) == 0 => story.restore(random.below(of_a)),
            _ => story.restore(rollback + random.below(story.texts.len() - rollback)),
        }
    }
    (story, line)
}

proptest! {
    #[test]
    fn what_a_rollback_took_is_there_again_whatever_was_restored_since(seed: u64) {
        let (story, line) = story(&mut Prng::new(seed));
        let expected = story.with(A, &line).join("\n") + "\n";
        let (found, notes) = story.replayed(true);
        prop_assert_eq!((found, notes), (Ok(expected), vec![]), "{:#?}", story.said);
    }

    #[test]
    fn where_it_is_not_known_where_a_restore_went_what_stays_away_is_told(seed: u64) {
        let (story, line) = story(&mut Prng::new(seed));
        let (found, notes) = story.replayed(false);
        let is_there = found.as_ref().map_or(true, |text| text.contains(&line));
        let is_told = notes.iter().any(|note| matches!(note, Note::Incomplete { .. }));
        prop_assert!(is_there || is_told, "{found:?} of {:#?}", story.said);
    }
}
