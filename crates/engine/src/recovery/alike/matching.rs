//! Which of the files that came with a deletion is which of the deleted ones.
//!
//! Owns the order in which they are compared, and what that may cost. Refuses to know what an edit did: that is
//! [`super::work`].

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap, HashSet};

use wfr_model::TreePath;
use wfr_model::entry::{Entry, Node};
use wfr_store::ReadError;

use super::work::{Lines, Reader, Work};
use super::{Heir, Pace, Share, Whereabouts};

/// What reading a file costs at least, in bytes.
const FILE_BYTES_MIN: u64 = 4 << 10;

/// Files of its name that one is compared with before all others, and files that it may be of which are remembered, at most.
const LIKELY_MAX: usize = 16;

/// What one that holds just the same costs, in steps.
const TWIN_STEPS: usize = 10;

/// A file that came.
struct Candidate {
    path: TreePath,
    /// Whether nothing was where it came to.
    is_new: bool,
    entry: Entry,
    text: Text,
}

/// What is known of what a file holds.
enum Text {
    Unread,
    /// There was too much to be read.
    Unknown,
    /// Its lines; `None` where it is no text.
    Read(Option<Lines>),
}

/// A candidate that has something of a deleted file.
struct Likely {
    lost: usize,
    candidate: usize,
    /// How many names they have in common at the end of their paths.
    names: usize,
    /// How much they are alike, in thousandths.
    likeness: usize,
    share: Share,
}

impl Likely {
    /// The best ones first.
    fn order(&self) -> impl Ord + use<> {
        (Reverse((self.names, self.likeness)), self.lost, self.candidate)
    }
}

/// Matches the files that one look found deleted with those that came with them.
pub struct Matching<'m, 'r> {
    reader: &'m Reader<'r>,
    pace: &'m mut Pace,
    works: Vec<Work<'m>>,
    candidates: Vec<Candidate>,
    named: HashMap<Vec<u8>, Vec<usize>>,
    /// Whether not all could be looked at.
    is_cut: bool,
}

impl<'m, 'r> Matching<'m, 'r> {
    /// Of deleted files.
    pub fn new(reader: &'m Reader<'r>, pace: &'m mut Pace, works: Vec<Work<'m>>) -> Self {
        Self { reader, pace, works, candidates: vec![], named: HashMap::new(), is_cut: false }
    }

    /// Adds what is at a path that came, and whether nothing was where it did.
    pub fn candidate(&mut self, (path, is_new): (TreePath, bool), entry: Option<Entry>) {
        let Some(entry) = entry.filter(|entry| matches!(entry.node, Node::File(_) | Node::Symlink(_))) else { return };
        self.named.entry(path.name().to_vec()).or_default().push(self.candidates.len());
        self.candidates.push(Candidate { path, is_new, entry, text: Text::Unread });
    }

    /// Where each of the files is. Those of the same name are compared first: mostly, no others have to be read.
    ///
    /// Errors: what the store says.
    pub fn run(mut self) -> Result<Vec<Whereabouts>, ReadError> {
        let mut matched = Matched::default();
        let all: Vec<usize> = (0..self.works.len()).filter(|lost| self.works[*lost].is_any()).collect();
        let mut likely = Vec::new();
        for lost in &all {
            self.namesakes(*lost, &mut likely)?;
        }
        matched.add(likely);
        let rest: Vec<usize> = all.into_iter().filter(|lost| !matched.heirs.contains_key(lost)).collect();
        if !rest.is_empty() && !self.candidates.is_empty() {
            matched.add(self.among_all(&rest)?);
        }
        let Self { reader, works, candidates, is_cut, .. } = self;
        let whereabouts = works.iter().enumerate().map(|(lost, work)| {
            let Some(Likely { candidate, share, .. }) =
                matched.heirs.remove(&lost).or_else(|| matched.best.remove(&lost))
            else {
                return Ok(if is_cut && work.is_any() { Whereabouts::Unknown } else { Whereabouts::Nowhere });
            };
            let Candidate { path, entry, .. } = &candidates[candidate];
            Ok(Whereabouts::In(Heir { path: path.clone(), share: work.told(reader, share, entry)? }))
        });
        whereabouts.collect()
    }

    /// Compares a file with those of its name, of which the end of the path is the same as far as possible.
    fn namesakes(&mut self, lost: usize, likely: &mut Vec<Likely>) -> Result<(), ReadError> {
        let path = self.works[lost].path;
        let named = self.named.get(path.name()).cloned().unwrap_or_default();
        if !self.spend(named.len()) {
            return Ok(());
        }
        let mut near: Vec<(usize, usize)> =
            named.into_iter().map(|at| (names_in_common(path, &self.candidates[at].path), at)).collect();
        near.sort_by_key(|(names, at)| (Reverse(*names), *at));
        for (names, candidate) in near.into_iter().take(LIKELY_MAX) {
            let (share, likeness) = match self.compare(lost, candidate)? {
                Some(found) => found,
                None => continue,
            };
            likely.push(Likely { lost, candidate, names, likeness, share });
        }
        Ok(())
    }

    /// What a file of the same name has of a deleted one, and how much they are alike.
    fn compare(&mut self, lost: usize, candidate: usize) -> Result<Option<(Share, usize)>, ReadError> {
        if let Some(Likely { share, likeness, .. }) = self.twin(lost, candidate) {
            return Ok(Some((share, likeness)));
        }
        if !self.may_be_alike(lost, candidate) {
            return Ok(None);
        }
        self.read(candidate)?;
        let work = &self.works[lost];
        let Candidate { path, entry, text, .. } = &self.candidates[candidate];
        let Text::Read(lines) = text else { return Ok(None) };
        let Some((deleted, lines)) = work.deleted.as_ref().zip(lines.as_ref()) else {
            return Ok(work.of_namesake(entry).filter(|_| work.path != path).map(|share| (share, 0)));
        };
        let common = work.in_common(lines);
        let share = if common * 4 >= deleted.len() { work.of_alike(entry, lines) } else { None };
        let likeness = likeness(common, deleted, lines);
        let size = deleted.len();
        Ok(if self.spend(size) { share.map(|share| (share, likeness)) } else { None })
    }

    /// Compares files with all that came.
    fn among_all(&mut self, rest: &[usize]) -> Result<Vec<Likely>, ReadError> {
        let is_any_gone = rest.iter().any(|lost| self.works[*lost].stands.is_none());
        for candidate in 0..self.candidates.len() {
            if is_any_gone || self.candidates[candidate].is_new {
                self.read(candidate)?;
            }
        }
        let mut with_line: HashMap<u64, Vec<usize>> = HashMap::new();
        let mut with_node: HashMap<Vec<u8>, Vec<usize>> = HashMap::new();
        for (at, Candidate { entry, text, .. }) in (0..).zip(&self.candidates) {
            with_node.entry(held(entry)).or_default().push(at);
            if let Text::Read(Some(lines)) = text {
                lines.iter().for_each(|line| with_line.entry(*line).or_default().push(at));
            }
        }
        let mut found = Vec::new();
        for lost in rest {
            let twins = self.works[*lost].last.as_ref().and_then(|last| with_node.get(&held(last)));
            let twins: HashSet<usize> = twins.into_iter().flatten().copied().collect();
            let has_time = self.spend(TWIN_STEPS * twins.len());
            let Some(near) = self.near(*lost, &with_line).filter(|_| has_time) else {
                continue;
            };
            let mut likely: Vec<Likely> = twins.iter().filter_map(|at| self.twin(*lost, *at)).collect();
            let alike = near.difference(&twins).filter_map(|at| self.alike(*lost, *at));
            likely.extend(alike);
            likely.sort_by_key(Likely::order);
            found.extend(likely.into_iter().take(LIKELY_MAX));
        }
        Ok(found)
    }

    /// Those that can have half of the lines of a deleted file: whoever has none of the rarer half has less. `None` where there
    /// is no time to compare them.
    fn near(&mut self, lost: usize, with_line: &HashMap<u64, Vec<usize>>) -> Option<HashSet<usize>> {
        let lines = self.works[lost].deleted.iter().flatten();
        let mut holders: Vec<&[usize]> = lines.map(|line| with_line.get(line).map_or(&[][..], Vec::as_slice)).collect();
        holders.sort_by_key(|holders| holders.len());
        let size = holders.len();
        holders.truncate(size / 2 + 1);
        if !self.spend(size + holders.iter().map(|holders| holders.len()).sum::<usize>()) {
            return None;
        }
        let near: HashSet<usize> = holders.into_iter().flatten().copied().collect();
        self.spend(near.len() * size).then_some(near)
    }

    /// Whether a file may be a deleted one that was edited: where something else was put in its place, one that was there
    /// before is not.
    fn may_be_alike(&self, lost: usize, candidate: usize) -> bool {
        let Candidate { path, is_new, .. } = &self.candidates[candidate];
        self.works[lost].stands.is_none_or(|stands| *is_new && stands != path)
    }

    fn twin(&self, lost: usize, candidate: usize) -> Option<Likely> {
        let Candidate { path, entry, .. } = &self.candidates[candidate];
        let work = &self.works[lost];
        let share = if work.stands == Some(path) { None } else { work.of_twin(entry) }?;
        Some(Likely { lost, candidate, names: names_in_common(work.path, path), likeness: 1_000, share })
    }

    fn alike(&self, lost: usize, candidate: usize) -> Option<Likely> {
        let Candidate { path, entry, text, .. } = &self.candidates[candidate];
        let Text::Read(Some(lines)) = text else { return None };
        let work = &self.works[lost];
        let deleted = work.deleted.as_ref()?;
        let common = work.in_common(lines);
        if common * 2 < deleted.len() || !self.may_be_alike(lost, candidate) {
            return None;
        }
        let (share, likeness) = (work.of_alike(entry, lines)?, likeness(common, deleted, lines));
        Some(Likely { lost, candidate, names: names_in_common(work.path, path), likeness, share })
    }

    fn read(&mut self, candidate: usize) -> Result<(), ReadError> {
        let Candidate { entry, text, .. } = &mut self.candidates[candidate];
        if !matches!(text, Text::Unread) {
            return Ok(());
        }
        let size = match &entry.node {
            Node::File(content) => content.size.max(FILE_BYTES_MIN),
            _ => 0,
        };
        if self.pace.bytes < size {
            (*text, self.is_cut) = (Text::Unknown, true);
            return Ok(());
        }
        self.pace.bytes -= size;
        *text = Text::Read(self.reader.lines(Some(entry))?);
        Ok(())
    }

    /// Whether there is time for so many steps.
    fn spend(&mut self, steps: usize) -> bool {
        let left = self.pace.steps.checked_sub(steps as u64);
        self.is_cut |= left.is_none();
        self.pace.steps = left.unwrap_or(self.pace.steps);
        left.is_some()
    }
}

/// What was found for deleted files.
#[derive(Default)]
struct Matched {
    heirs: BTreeMap<usize, Likely>,
    /// For those that have none, the best one, which another one has.
    best: BTreeMap<usize, Likely>,
    taken: HashSet<usize>,
}

impl Matched {
    /// Gives each file the best of these that is left.
    fn add(&mut self, mut likely: Vec<Likely>) {
        likely.sort_by_key(Likely::order);
        for one in likely {
            if self.heirs.contains_key(&one.lost) {
                continue;
            }
            if self.taken.insert(one.candidate) {
                self.heirs.insert(one.lost, one);
            } else {
                self.best.entry(one.lost).or_insert(one);
            }
        }
    }
}

fn likeness(common: usize, one: &Lines, other: &Lines) -> usize {
    2_000 * common / (one.len() + other.len()).max(1)
}

/// How many names two paths have in common at their ends.
fn names_in_common(one: &TreePath, other: &TreePath) -> usize {
    let names = [one, other].map(|path| path.as_bytes().rsplit(|byte| *byte == b'/'));
    let [one, other] = names;
    one.zip(other).take_while(|(one, other)| one == other).count()
}

/// What a file or link holds.
fn held(entry: &Entry) -> Vec<u8> {
    match &entry.node {
        Node::File(content) => content.hash.0.to_vec(),
        Node::Symlink(target) => [b"link:", target.as_slice()].concat(),
        _ => vec![],
    }
}

#[cfg(test)]
mod tests {
    use wfr_recovery::replay::{By, Chain, Edit, Mark};

    use super::super::Lost;
    use super::*;
    use crate::testing::Shelf;

    fn path(text: &str) -> TreePath {
        TreePath::from_bytes(text.as_bytes()).unwrap()
    }

    /// What is found for deleted files, each with what it was and what an edit that goes made of it, among others that came.
    fn found(lost: &[(&str, &str, &str)], came: &[(&str, &str)], mut pace: Pace) -> Vec<String> {
        let mut shelf = Shelf::default();
        let chains: Vec<(TreePath, Chain)> = lost
            .iter()
            .map(|(at, first, made)| {
                let edit = |mark, after| Edit { mark, by: By::Somebody(0), after };
                let edits = vec![edit(Mark::Removed, Some(shelf.file(made))), edit(Mark::Kept, None)];
                (path(at), Chain { first: Some(shelf.file(first)), edits })
            })
            .collect();
        let came: Vec<(TreePath, Entry)> = came.iter().map(|(at, words)| (path(at), shelf.file(words))).collect();
        let reader = Reader::new(&shelf);
        let look = (wfr_catalog::ChangeSeq(1), wfr_catalog::PointSeq(1));
        let lost: Vec<Lost<'_>> = chains
            .iter()
            .map(|(path, chain)| Lost { path, chain, deletion: 2, look, over: None, stands: None })
            .collect();
        let works = lost.iter().map(|lost| Work::of(&reader, lost).unwrap()).collect();
        let mut matching = Matching::new(&reader, &mut pace, works);
        came.into_iter().for_each(|(path, entry)| matching.candidate((path, false), Some(entry)));
        let told = |found: Whereabouts| match found {
            Whereabouts::Nowhere => "nowhere".to_owned(),
            Whereabouts::In(heir) => heir.path.to_string(),
            Whereabouts::Unknown => "unknown".to_owned(),
        };
        matching.run().unwrap().into_iter().map(told).collect()
    }

    const ENOUGH: Pace = Pace { bytes: 1 << 20, steps: 1 << 20 };

    #[test]
    fn the_name_counts_before_likeness_and_none_is_named_twice_while_there_are_others() {
        let lost = [("d/one", "1 2 3", "1 2 3 a"), ("d/two", "1 2 3 4", "1 2 3 4 a")];
        let came = [("e/one", "1 2 3 a b"), ("e/two", "1 2 3 4 a b")];
        assert_eq!(found(&lost, &came, ENOUGH), ["e/one", "e/two"]);
        assert_eq!(found(&lost, &[("e/x", came[0].1), ("e/y", came[1].1)], ENOUGH), ["e/x", "e/y"]);
        assert_eq!(found(&lost, &[("e/x", "1 2 3 4 a")], ENOUGH), ["e/x", "e/x"], "it may be made of both");
        // The same name in several directories.
        let lost = [("d/x/mod", "1 2 3", "1 2 3 a"), ("d/y/mod", "1 2 3", "1 2 3 a")];
        let came = [("e/y/mod", "1 2 3 a b"), ("e/x/mod", "1 2 3 a b")];
        assert_eq!(found(&lost, &came, ENOUGH), ["e/x/mod", "e/y/mod"]);
    }

    #[test]
    fn half_of_the_lines_must_be_there_or_a_quarter_under_the_same_name_and_one_that_goes() {
        let lost = [("d/f", "1 2 3 4 5 6 7", "1 2 3 4 5 6 7 a")];
        assert_eq!(found(&lost, &[("e/g", "1 2 3 a x y z")], ENOUGH), ["e/g"]);
        assert_eq!(found(&lost, &[("e/g", "1 2 a x y z")], ENOUGH), ["nowhere"]);
        assert_eq!(found(&lost, &[("e/f", "1 a x y z")], ENOUGH), ["e/f"]);
        assert_eq!(found(&lost, &[("e/f", "a x y z")], ENOUGH), ["nowhere"]);
        assert_eq!(found(&lost, &[("e/f", "1 2 3 4 5 6 7 b"), ("e/g", "1 2 3 4 5 6 7 b")], ENOUGH), ["nowhere"]);
    }

    #[test]
    fn where_something_else_took_its_place_only_a_twin_or_a_new_file_is_it() {
        let mut shelf = Shelf::default();
        let [first, made, other] = ["1 2 3 4", "1 2 3 4 a", "1 2 3 4 a b"].map(|words| shelf.file(words));
        let edit = |mark, after| Edit { mark, by: By::Somebody(0), after };
        let edits = vec![edit(Mark::Removed, Some(made.clone())), edit(Mark::Kept, Some(first.clone()))];
        let chain = Chain { first: Some(first), edits };
        let (at, look) = (path("d/f"), (wfr_catalog::ChangeSeq(1), wfr_catalog::PointSeq(1)));
        let reader = Reader::new(&shelf);
        let found = |came: &str, is_new: bool, entry: &Entry| {
            let (mut pace, lost) =
                (ENOUGH, Lost { path: &at, chain: &chain, deletion: 2, look, over: None, stands: Some(&at) });
            let mut matching = Matching::new(&reader, &mut pace, vec![Work::of(&reader, &lost).unwrap()]);
            matching.candidate((path(came), is_new), Some(entry.clone()));
            matches!(matching.run().unwrap()[..], [Whereabouts::In(_)])
        };
        for came in ["e/f", "e/g"] {
            assert!(found(came, true, &other) && found(came, true, &made) && found(came, false, &made));
            assert!(!found(came, false, &other), "it was there before, and was edited");
        }
        assert!(!found("d/f", false, &made), "that is where it was");
    }

    #[test]
    fn where_the_search_was_cut_off_nobody_knows() {
        let lost = [("d/one", "1 2 3", "1 2 3 a"), ("d/two", "4 5 6", "4 5 6 a")];
        let came = [("e/one", "1 2 3 a b"), ("e/x", "4 5 6 a b")];
        assert_eq!(found(&lost, &came, Pace { bytes: FILE_BYTES_MIN, ..ENOUGH }), ["e/one", "unknown"]);
        assert_eq!(found(&lost, &came, Pace { bytes: 0, ..ENOUGH }), ["unknown", "unknown"]);
        assert_eq!(found(&lost, &came, Pace { steps: 0, ..ENOUGH }), ["unknown", "unknown"]);
        assert_eq!(found(&lost, &[], Pace { steps: 0, bytes: 0 }), ["nowhere", "nowhere"], "nothing came");
    }
}
