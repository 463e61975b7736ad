//! The way through an offer, one answer after another.
//!
//! Owns which question comes next and what an answer means for those that follow. Refuses to show or read anything.

use std::collections::VecDeque;
use std::ops::Range;

use wfr_model::plan::Conflict;

use super::{CONTEXT, FilePieces, Offer, Offered, OfferedFile};

/// What becomes of a change at a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Pick {
    /// It is taken back.
    Back,
    /// It stays.
    Stays,
    /// Some of it is, piece by piece.
    ByPiece,
}

/// Which side of a conflict wins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Side {
    /// The file stays as it is.
    Present,
    /// It becomes what it was before the first of the changes.
    Before,
    /// Nobody has decided: the plan cannot be done.
    Neither,
}

/// An answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Answer {
    /// It is taken back.
    Yes,
    /// It stays.
    No,
    /// It is taken back, and so is all that follows on this level.
    All,
    /// It stays, and so does all that follows on this level.
    Rest,
    /// Each of the change's files is asked for.
    Files,
    /// The pieces of the file are asked for, when all files are decided.
    Pieces,
    /// Each piece of the group is asked for.
    Split,
    /// All that is not decided yet stays.
    Quit,
}

impl Answer {
    /// Every answer, in the order in which it is offered.
    pub const ALL: [Self; 8] =
        [Self::Yes, Self::No, Self::Files, Self::Pieces, Self::Split, Self::All, Self::Rest, Self::Quit];

    /// Its key.
    pub fn key(self) -> char {
        match self {
            Self::Yes => 'y',
            Self::No => 'n',
            Self::All => 'a',
            Self::Rest => 'd',
            Self::Files => 'f',
            Self::Pieces => 'h',
            Self::Split => 's',
            Self::Quit => 'q',
        }
    }

    /// The answer of a line that somebody typed.
    pub fn of(line: &str) -> Option<Self> {
        let mut letters = line.trim().chars();
        let key = letters.next()?.to_ascii_lowercase();
        Self::ALL.into_iter().find(|answer| answer.key() == key && letters.as_str().is_empty())
    }
}

/// What is asked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Question<'o> {
    /// A change: its number from 1, of how many.
    Change(usize, usize, &'o Offered),
    /// A file of a change.
    File(&'o Offered, &'o OfferedFile),
    /// A conflict.
    Conflict(&'o Conflict),
    /// Pieces of a file.
    Pieces(&'o FilePieces, Range<usize>),
}

impl Question<'_> {
    /// The answers that it may get.
    pub fn answers(&self) -> Vec<Answer> {
        let fits = |answer: &Answer| match answer {
            Answer::Files => matches!(self, Self::Change(..)),
            Answer::Pieces => matches!(self, Self::File(..)),
            Answer::Split => matches!(self, Self::Pieces(_, range) if range.len() > 1),
            _ => true,
        };
        Answer::ALL.into_iter().filter(fits).collect()
    }
}

/// The way through changes and their files.
pub struct ChangeWalk<'o> {
    offer: &'o Offer,
    change: usize,
    file: Option<usize>,
    picks: Vec<Vec<Pick>>,
}

impl<'o> ChangeWalk<'o> {
    /// At the beginning, where all stays.
    pub fn new(offer: &'o Offer) -> Self {
        let picks = offer.changes.iter().map(|change| vec![Pick::Stays; change.files.len()]).collect();
        Self { offer, change: 0, file: None, picks }
    }

    /// What is asked next; `None` at the end.
    pub fn question(&self) -> Option<Question<'o>> {
        let change = self.offer.changes.get(self.change)?;
        Some(match self.file.and_then(|file| change.files.get(file)) {
            Some(file) => Question::File(change, file),
            None => Question::Change(self.change + 1, self.offer.changes.len(), change),
        })
    }

    /// Takes an answer; `false` where the question may not get it.
    pub fn answer(&mut self, answer: Answer) -> bool {
        let Some(question) = self.question() else { return false };
        if !question.answers().contains(&answer) {
            return false;
        }
        match (self.file, answer) {
            (_, Answer::Quit) => self.change = self.offer.changes.len(),
            (None, Answer::Files) => self.file = Some(0),
            (None, Answer::Rest) => self.change = self.offer.changes.len(),
            (None, Answer::All) => {
                self.picks[self.change..].iter_mut().for_each(|picks| picks.fill(Pick::Back));
                self.change = self.offer.changes.len();
            }
            (None, answer) => {
                self.picks[self.change].fill(if answer == Answer::Yes { Pick::Back } else { Pick::Stays });
                self.change += 1;
            }
            (Some(at), answer) => self.answer_file(at, answer),
        }
        true
    }

    fn answer_file(&mut self, at: usize, answer: Answer) {
        let picks = &mut self.picks[self.change];
        let last = picks.len() - 1;
        match answer {
            Answer::Yes => picks[at] = Pick::Back,
            Answer::Pieces => picks[at] = Pick::ByPiece,
            Answer::All => picks[at..].fill(Pick::Back),
            _ => {}
        }
        let is_over = at == last || matches!(answer, Answer::All | Answer::Rest);
        (self.change, self.file) = if is_over { (self.change + 1, None) } else { (self.change, Some(at + 1)) };
    }

    /// What was picked.
    pub fn picks(self) -> Vec<Vec<Pick>> {
        self.picks
    }
}

/// The way through conflicts.
pub struct ConflictWalk<'o> {
    conflicts: &'o [Conflict],
    sides: Vec<Side>,
}

impl<'o> ConflictWalk<'o> {
    /// At the beginning, where nothing is decided.
    pub fn new(conflicts: &'o [Conflict]) -> Self {
        Self { conflicts, sides: vec![] }
    }

    /// What is asked next; `None` at the end.
    pub fn question(&self) -> Option<Question<'o>> {
        self.conflicts.get(self.sides.len()).map(Question::Conflict)
    }

    /// Takes an answer; `false` where the question may not get it.
    pub fn answer(&mut self, answer: Answer) -> bool {
        if !self.question().is_some_and(|question| question.answers().contains(&answer)) {
            return false;
        }
        match answer {
            Answer::Yes => self.sides.push(Side::Before),
            Answer::No => self.sides.push(Side::Present),
            Answer::All => self.sides.resize(self.conflicts.len(), Side::Before),
            Answer::Rest => self.sides.resize(self.conflicts.len(), Side::Present),
            _ => self.sides.resize(self.conflicts.len(), Side::Neither),
        }
        true
    }

    /// Which side of each wins.
    pub fn sides(self) -> Vec<Side> {
        self.sides
    }
}

/// The way through the pieces of files.
pub struct PieceWalk<'o> {
    files: &'o [FilePieces],
    file: usize,
    waiting: VecDeque<Range<usize>>,
    taken: Vec<Vec<bool>>,
}

impl<'o> PieceWalk<'o> {
    /// At the beginning, where all stays.
    pub fn new(files: &'o [FilePieces]) -> Self {
        let taken = files.iter().map(|file| vec![false; file.pieces.count()]).collect();
        let mut walk = Self { files, file: 0, waiting: VecDeque::new(), taken };
        walk.enter();
        walk
    }

    /// Goes to the next file that has pieces left.
    fn enter(&mut self) {
        while let (true, Some(file)) = (self.waiting.is_empty(), self.files.get(self.file)) {
            self.waiting = file.pieces.groups(CONTEXT).into();
            if self.waiting.is_empty() {
                self.file += 1;
            }
        }
    }

    /// What is asked next; `None` at the end.
    pub fn question(&self) -> Option<Question<'o>> {
        Some(Question::Pieces(self.files.get(self.file)?, self.waiting.front()?.clone()))
    }

    /// Takes an answer; `false` where the question may not get it.
    pub fn answer(&mut self, answer: Answer) -> bool {
        let Some(question) = self.question() else { return false };
        if !question.answers().contains(&answer) {
            return false;
        }
        let Some(group) = self.waiting.pop_front() else { return false };
        match answer {
            Answer::Yes => self.taken[self.file][group].fill(true),
            Answer::All => self.taken[self.file][group.start..].fill(true),
            Answer::Split => group.rev().for_each(|piece| self.waiting.push_front(piece..piece + 1)),
            _ => {}
        }
        if matches!(answer, Answer::All | Answer::Rest) {
            self.waiting.clear();
        }
        if answer == Answer::Quit {
            (self.file, self.waiting) = (self.files.len(), VecDeque::new());
        }
        if self.waiting.is_empty() {
            self.file += 1;
            self.enter();
        }
        true
    }

    /// Which pieces of each file are taken back.
    pub fn taken(self) -> Vec<Vec<bool>> {
        self.taken
    }
}

#[cfg(test)]
mod tests {
    use wfr_catalog::ChangeSeq;
    use wfr_recovery::merge::Pieces;

    use super::super::Effect;
    use super::*;

    /// Changes with so many files each.
    fn offer(files: &[usize]) -> Offer {
        let offered = |(number, count): (usize, &usize)| Offered {
            seq: ChangeSeq(number as i64),
            change_id: format!("chg_{number}").parse().unwrap(),
            who: "a".to_owned(),
            task: None,
            ended_at: None,
            note: None,
            files: (0..*count)
                .map(|file| OfferedFile { path: format!("f{file}").parse().unwrap(), effect: Effect::Changed })
                .collect(),
        };
        Offer { changes: files.iter().enumerate().map(offered).collect() }
    }

    /// What a script of keys picks, by letters; `!` behind one that was refused.
    fn picked(files: &[usize], keys: &str) -> String {
        let offer = offer(files);
        let mut walk = ChangeWalk::new(&offer);
        let refused: String =
            keys.chars().filter(|key| !Answer::of(&key.to_string()).is_some_and(|one| walk.answer(one))).collect();
        let letter = |pick: Pick| match pick {
            Pick::Back => 'b',
            Pick::Stays => '-',
            Pick::ByPiece => 'h',
        };
        let is_over = walk.question().is_none();
        let picks: Vec<String> =
            walk.picks().into_iter().map(|picks| picks.into_iter().map(letter).collect()).collect();
        format!("{}{}{}", picks.join(" "), if is_over { "" } else { " ?" }, if refused.is_empty() { "" } else { " !" })
    }

    #[test]
    fn each_change_and_each_file_is_asked_for() {
        assert_eq!(picked(&[1, 2], "yn"), "b --");
        assert_eq!(picked(&[3, 1], "fynhy"), "b-h b");
        assert_eq!(picked(&[3, 1], "fa"), "bbb - ?");
        assert_eq!(picked(&[3, 1], "fydn"), "b-- -");
        assert_eq!(picked(&[1, 1, 1], "na"), "- b b");
        assert_eq!(picked(&[1, 1, 1], "yd"), "b - -");
        assert_eq!(picked(&[2, 1], "fyq"), "b- -");
        assert_eq!(picked(&[1], ""), "- ?");
    }

    #[test]
    fn an_answer_to_another_question_is_refused() {
        assert_eq!(picked(&[1], "hsy"), "b !");
        assert_eq!(picked(&[2], "ffyn"), "b- !");
        assert_eq!(
            (Answer::of("Y\n"), Answer::of(" q "), Answer::of("yes"), Answer::of("")),
            (Some(Answer::Yes), Some(Answer::Quit), None, None)
        );
    }

    #[test]
    fn conflicts_are_decided_one_by_one() {
        let conflicts: Vec<Conflict> =
            ["f", "g", "h"].map(|path| Conflict::new(&path.parse().unwrap(), "WORK_CONFLICT", "x")).into();
        let sides = |keys: &str| {
            let mut walk = ConflictWalk::new(&conflicts);
            let refused = keys.chars().filter(|key| !walk.answer(Answer::of(&key.to_string()).unwrap())).count();
            (walk.question().is_none(), refused, walk.sides())
        };
        assert_eq!(sides("yny"), (true, 0, vec![Side::Before, Side::Present, Side::Before]));
        assert_eq!(sides("hya"), (true, 1, vec![Side::Before; 3]));
        assert_eq!(sides("yd"), (true, 0, vec![Side::Before, Side::Present, Side::Present]));
        assert_eq!(sides("nq"), (true, 0, vec![Side::Present, Side::Neither, Side::Neither]));
    }

    /// Which pieces a script of keys takes of a file with three, two of them near to each other, and of one with one.
    fn taken(keys: &str) -> (Vec<Vec<bool>>, bool) {
        let before: String = (0..40).map(|n| format!("{n}\n")).collect();
        let after = before.replace("\n3\n", "\nx\n").replace("\n6\n", "\ny\n").replace("\n30\n", "\nz\n");
        let file = |path: &str, before: &str, after: &str| FilePieces {
            path: path.parse().unwrap(),
            pieces: Pieces::of(before.as_bytes(), after.as_bytes()).unwrap(),
        };
        let files = [file("f", &before, &after), file("same", "x", "x"), file("g", "1\n", "2\n")];
        let mut walk = PieceWalk::new(&files);
        assert!(keys.chars().all(|key| walk.answer(Answer::of(&key.to_string()).unwrap())), "{keys}");
        let is_over = walk.question().is_none();
        let mut taken = walk.taken();
        taken.remove(1);
        (taken, is_over)
    }

    #[test]
    fn pieces_are_taken_by_groups_or_one_by_one() {
        assert_eq!(taken("yny"), (vec![vec![true, true, false], vec![true]], true));
        assert_eq!(taken("snyyn"), (vec![vec![false, true, true], vec![false]], true));
        assert_eq!(taken("na"), (vec![vec![false, false, true], vec![false]], false));
        assert_eq!(taken("dy"), (vec![vec![false, false, false], vec![true]], true));
        assert_eq!(taken("yq"), (vec![vec![true, true, false], vec![false]], true));
    }
}
