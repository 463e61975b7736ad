//! Replays beside `git merge-file`, on real histories: single edits taken back up to 19 edits later.

use std::collections::HashMap;
use std::time::Instant;

use wfr_model::Digest;
use wfr_model::entry::{Content, Entry, Meta, Node};
use wfr_recovery::merge::Unit;
use wfr_recovery::replay::{By, Chain, Conflict, ConflictKind, Edit, Mark, Note, Outcome, Version, replay};
use wfr_store::object::hash;
use wfr_testkit::{GIT_ABSENT, Git, Prng};

use crate::history::{History, histories};

/// So many edits lie at most between an edit and its removal.
const LATER_MAX: usize = 19;

/// So many versions before the removed edit are in the chain.
const BEFORE_MAX: usize = 5;

/// Cases that are tried, of all that there are.
const CASES: usize = 300;

/// The contents of all versions.
type Shelf = HashMap<Digest, Vec<u8>>;

/// A path's versions up to `last` and from some before edit `removed`, which is marked as removed; and the number of the
/// first of them.
fn chain(history: &History, removed: usize, last: usize, shelf: &mut Shelf) -> (Chain, usize) {
    let start = removed.saturating_sub(BEFORE_MAX);
    let mut version = |text: &Option<Vec<u8>>| -> Version {
        let text = text.as_ref()?;
        let content = Content { size: text.len() as u64, hash: hash(text), chunks: None };
        shelf.insert(content.hash, text.clone());
        let meta = Meta { mode: 0o644, ..Meta::default() };
        Some(Entry { name: b"f".to_vec(), meta, node: Node::File(content), xattrs: Vec::new() })
    };
    let first = version(&history[start]);
    let mark = |number: usize| if number == removed { Mark::Removed } else { Mark::Kept };
    let by = By::Somebody(0);
    let edits =
        (start + 1..=last).map(|number| Edit { mark: mark(number), by, after: version(&history[number]) }).collect();
    (Chain { first, edits }, start)
}

/// How a replay ended.
enum Ours {
    Clean(Vec<u8>),
    Conflict(Box<Conflict>),
}

fn ours(history: &History, removed: usize, last: usize, unit: Unit) -> (Ours, Vec<Note>) {
    let mut shelf = Shelf::new();
    let (chain, start) = chain(history, removed, last, &mut shelf);
    let replayed = replay(&chain, unit, &|content| Ok(shelf[&content.hash].clone())).unwrap();
    let ours = match replayed.outcome {
        Outcome::Version(number) => Ours::Clean(history[start + number].clone().unwrap()),
        Outcome::Merged(merged) => Ours::Clean(merged.text.unwrap()),
        Outcome::Absent => panic!("the last version is there"),
        Outcome::Conflict(conflict) => Ours::Conflict(conflict),
    };
    (ours, replayed.notes)
}

/// Whether a kept edit leads back to before the removed one: then the last version has nothing of that.
fn returns(history: &History, removed: usize, last: usize) -> bool {
    let before = &history[removed.saturating_sub(BEFORE_MAX)..removed];
    history[removed + 1..=last].iter().any(|text| before.contains(text))
}

/// Whether a result has a line twice that says something, and that is there once.
fn doubles(result: &[u8], present: &[u8]) -> bool {
    let counts = |text: &[u8]| {
        let mut found: HashMap<Vec<u8>, usize> = HashMap::new();
        let lines = text.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
        let says = lines.filter(|line| line.iter().filter(|byte| byte.is_ascii_alphanumeric()).count() > SAYS_MIN);
        says.for_each(|line| *found.entry(line.to_vec()).or_default() += 1);
        found
    };
    let (result, present) = (counts(result), counts(present));
    result.iter().any(|(line, count)| *count == 2 && present.get(line) == Some(&1))
}

/// A line of more letters and digits is hardly written twice by chance.
const SAYS_MIN: usize = 20;

#[derive(Default, Debug)]
struct Figures {
    cases: usize,
    git_conflicts: usize,
    our_conflicts: usize,
    both_clean_and_equal: usize,
    both_conflict: usize,
    /// Clean, where git is not: somebody led back to before the edit, so nothing of it is left to be taken out.
    clean_by_return: usize,
    clean_where_git_is_not: usize,
    /// What the edit took away somebody brought again elsewhere in the file, and git puts it in a second time: two ways to
    /// merge it, of which nobody knows the right one.
    second_opinion_where_git_doubles: usize,
    incomplete: usize,
    incomplete_and_as_git: usize,
    conflicts_by_words: usize,
    /// What was merged by words, where git puts the edit back in and has the version again.
    by_words_and_back: usize,
    /// The same, where git finds that a conflict.
    by_words_and_git_cannot_go_back: usize,
}

impl Figures {
    fn add(
        &mut self,
        git: Option<Vec<u8>>,
        (ours, notes): (Ours, Vec<Note>),
        (present, returns): (&[u8], bool),
        case: &str,
    ) {
        self.cases += 1;
        self.git_conflicts += usize::from(git.is_none());
        let is_incomplete = notes.iter().any(|note| matches!(note, Note::Incomplete { .. }));
        self.incomplete += usize::from(is_incomplete);
        let count = match (&git, &ours) {
            (Some(git), Ours::Clean(ours)) if git == ours => {
                self.incomplete_and_as_git += usize::from(is_incomplete);
                &mut self.both_clean_and_equal
            }
            (None, Ours::Clean(ours)) if returns && ours == present => &mut self.clean_by_return,
            (Some(git), Ours::Conflict(conflict)) if conflict.kind == ConflictKind::SecondOpinion => {
                assert!(doubles(git, present), "{case}: two ways to merge it, and git's is not wrong");
                &mut self.second_opinion_where_git_doubles
            }
            (None, Ours::Conflict(_)) => &mut self.both_conflict,
            (None, Ours::Clean(_)) => &mut self.clean_where_git_is_not,
            (Some(_), Ours::Clean(_)) => panic!("{case}: clean, but not as git has it"),
            (Some(_), Ours::Conflict(conflict)) => panic!("{case}: git is clean: {:?}", conflict.kind),
        };
        *count += 1;
        self.our_conflicts += usize::from(matches!(ours, Ours::Conflict(_)));
    }
}

/// All pairs of an edit and a later version in which the file is there before and behind the edit, and at last.
fn cases(histories: &[(String, History)]) -> Vec<(usize, usize, usize)> {
    let mut found = Vec::new();
    for (at, (_, history)) in histories.iter().enumerate() {
        for removed in 1..history.len() {
            let lasts = removed + 1..history.len().min(removed + LATER_MAX + 1);
            let is_there = |last: &usize| [removed - 1, removed, *last].iter().all(|number| history[*number].is_some());
            found.extend(lasts.filter(is_there).map(|last| (at, removed, last)));
        }
    }
    found
}

#[test]
fn single_edits_come_out_as_with_git() {
    let Some(git) = Git::find() else { return wfr_testkit::skip(GIT_ABSENT) };
    let histories = match histories() {
        Ok(histories) => histories,
        Err(why) => return wfr_testkit::skip(&format!("the registry does not give the crates: {why}")),
    };
    let (begin, mut random) = (Instant::now(), Prng::from_environment());
    let (all, times) = (cases(&histories), std::env::var("WFR_TEST_TIMES").ok().and_then(|text| text.parse().ok()));
    let mut figures = Figures::default();
    for _ in 0..CASES * times.unwrap_or(1) {
        let (at, removed, last) = *random.pick(&all);
        let (path, history) = &histories[at];
        let text = |number: usize| history[number].as_deref().unwrap();
        let expected = git.merge(text(removed), text(last), text(removed - 1));
        let returned = returns(history, removed, last);
        let case = format!("{path} without {removed} of {last}");
        let by_lines = ours(history, removed, last, Unit::Lines);
        if matches!(by_lines.0, Ours::Conflict(_)) {
            let (by_words, _) = ours(history, removed, last, Unit::Words);
            let back = match &by_words {
                Ours::Conflict(_) => &mut figures.conflicts_by_words,
                Ours::Clean(without) => match git.merge(text(removed - 1), without, text(removed)) {
                    Some(again) => {
                        assert_eq!(again, text(last), "{case}: something else is gone, too");
                        &mut figures.by_words_and_back
                    }
                    None => &mut figures.by_words_and_git_cannot_go_back,
                },
            };
            *back += 1;
        }
        figures.add(expected, by_lines, (text(last), returned), &case);
    }
    eprintln!("{} files, {} cases in all, {:?}: {figures:#?}", histories.len(), all.len(), begin.elapsed());
    // A second opinion is the one reason to refuse what git would do: seldom, and where git's result has lines twice.
    let second = figures.second_opinion_where_git_doubles;
    assert!(figures.our_conflicts <= figures.git_conflicts + second && second * 150 <= figures.cases);
}
