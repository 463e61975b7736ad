//! Asking a person what is taken back: by change, by file, by piece of a file.
//!
//! Owns how questions look and how answers are read. Refuses to know what an answer leads to: that is
//! [`wfr_engine::picking`].

use std::io::{self, Write};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use wfr_engine::picking::{
    Answer, CONTEXT, ChangeWalk, ConflictWalk, Effect, FilePieces, Offer, Offered, Pick, Picker, PieceWalk, Question,
    Shown, Side,
};
use wfr_model::TreePath;
use wfr_model::plan::Conflict;

use crate::consent;
use crate::render::{moment, place, recoveries};
use crate::terminal::{self, BAD, Colour, FAINT, GOOD, HEADING, WARN, styled, visible};

/// Whoever sits at the terminal. What was answered is not asked again: a plan is made once to be shown and once to be
/// applied.
pub struct AtTerminal {
    colour: Colour,
    abort: Arc<AtomicBool>,
    changes: Option<(Offer, Vec<Vec<Pick>>)>,
    conflicts: Option<(Vec<Conflict>, Vec<Side>)>,
    pieces: Option<(Vec<FilePieces>, Vec<Vec<bool>>)>,
    /// Whether everything was answered once.
    is_again: bool,
}

impl AtTerminal {
    /// Nobody has answered anything yet.
    pub fn new(colour: Colour, abort: Arc<AtomicBool>) -> Self {
        Self { colour, abort, changes: None, conflicts: None, pieces: None, is_again: false }
    }

    /// Says why something is asked that was answered, or that did not come up.
    fn say_why_again(&self) -> Option<()> {
        let why = "\nSomething changed since you chose: what is different now is asked again.\n";
        if self.is_again { self.say(why) } else { Some(()) }
    }

    fn say(&self, text: &str) -> Option<()> {
        let mut err = terminal::err(self.colour);
        err.write_all(text.as_bytes()).and_then(|()| err.flush()).ok()
    }

    /// Asks until there is an answer that the question may get; `None` where the input ends or the person gives up.
    fn ask(&self, question: &Question<'_>) -> Option<Answer> {
        let answers = question.answers();
        let keys: String = answers.iter().map(|answer| format!("{},", answer.key())).collect();
        self.say(&shown(question))?;
        loop {
            self.say(&format!("{} [{keys}?] ", styled(HEADING, words(question))))?;
            consent::wait_for_line(&self.abort)?;
            let mut line = String::new();
            if io::stdin().read_line(&mut line).ok()? == 0 {
                self.say("\n")?;
                return None;
            }
            match Answer::of(&line).filter(|answer| answers.contains(answer)) {
                Some(answer) => return Some(answer),
                None => self.say(&help(question, &answers))?,
            }
        }
    }
}

impl Picker for AtTerminal {
    fn changes(&mut self, offer: &Offer) -> Option<Vec<Vec<Pick>>> {
        self.is_again = self.changes.is_some();
        if let Some((_, picks)) = self.changes.as_ref().filter(|(asked, _)| asked == offer) {
            return Some(picks.clone());
        }
        self.say_why_again()?;
        let mut walk = ChangeWalk::new(offer);
        while let Some(question) = walk.question() {
            let answer = self.ask(&question)?;
            walk.answer(answer);
        }
        let picks = walk.picks();
        (self.changes, self.pieces) = (Some((offer.clone(), picks.clone())), None);
        Some(picks)
    }

    fn conflicts(&mut self, conflicts: &[Conflict]) -> Option<Vec<Side>> {
        if let Some((_, sides)) = self.conflicts.as_ref().filter(|(asked, _)| are_as_shown(asked, conflicts)) {
            return Some(sides.clone());
        }
        self.say_why_again()?;
        let mut walk = ConflictWalk::new(conflicts);
        while let Some(question) = walk.question() {
            let answer = self.ask(&question)?;
            walk.answer(answer);
        }
        let sides = walk.sides();
        self.conflicts = Some((conflicts.to_vec(), sides.clone()));
        Some(sides)
    }

    fn pieces(&mut self, files: &[FilePieces]) -> Option<Vec<Vec<bool>>> {
        if let Some((_, taken)) = self.pieces.as_ref().filter(|(asked, _)| asked == files) {
            return Some(taken.clone());
        }
        self.say_why_again()?;
        let mut walk = PieceWalk::new(files);
        while let Some(question) = walk.question() {
            let answer = self.ask(&question)?;
            walk.answer(answer);
        }
        let taken = walk.taken();
        self.pieces = Some((files.to_vec(), taken.clone()));
        Some(taken)
    }

    fn outcome(&mut self, file: &FilePieces) {
        let mut text = format!("\n{} {}\n", styled(HEADING, "This will be done to"), place(&file.path.to_string()));
        for group in file.pieces.groups(CONTEXT) {
            text.push_str(&piece(file, group));
        }
        // What cannot be shown is in the plan, too.
        let _ = self.say(&text);
    }

    fn whole(&mut self, path: &TreePath, why: &str) {
        let line = format!("{} goes as a whole: {}\n", place(&path.to_string()), visible(why));
        let _ = self.say(&line);
    }
}

/// Whether a person would see the same. An edit that no look had found when it was asked about has a change by now.
fn are_as_shown(asked: &[Conflict], now: &[Conflict]) -> bool {
    let same = |(a, b): (&Conflict, &Conflict)| {
        (&a.path, &a.code, &a.message, &a.text) == (&b.path, &b.code, &b.message, &b.text)
    };
    asked.len() == now.len() && asked.iter().zip(now).all(same)
}

fn shown(question: &Question<'_>) -> String {
    match question {
        Question::Change(number, of, change) => {
            let files: String = change.files.iter().map(|file| line(&file.path, file.effect)).collect();
            format!("\n{number}/{of}  {}\n{files}", heading(change))
        }
        Question::File(_, file) => line(&file.path, file.effect),
        Question::Conflict(conflict) => format!("\n{}", recoveries::conflict(conflict)),
        Question::Pieces(file, range) => {
            let numbers = match range.len() {
                1 => format!("{}", range.start + 1),
                _ => format!("{} to {}", range.start + 1, range.end),
            };
            let of = file.pieces.count();
            format!("\n{}  piece {numbers} of {of}\n{}", place(&file.path.to_string()), piece(file, range.clone()))
        }
    }
}

fn heading(change: &Offered) -> String {
    let task = change.task.as_ref().map_or_else(String::new, |task| format!(", task {}", visible(task.as_str())));
    let when = change.ended_at.map_or_else(String::new, |at| format!(", {}", moment(at)));
    let note = change.note.as_ref().map_or_else(String::new, |note| format!(": {}", visible(note)));
    let id = styled(FAINT, change.change_id.as_str());
    format!("{}{task}{when}{note}  {id}", styled(HEADING, &visible(&change.who)))
}

fn line(path: &TreePath, effect: Effect) -> String {
    let (style, sign) = match effect {
        Effect::Made => (GOOD, "+"),
        Effect::Changed => (WARN, "~"),
        Effect::Removed => (BAD, "-"),
    };
    format!("  {} {}\n", styled(style, sign), visible(&path.to_string()))
}

/// Pieces of a file as a difference from what is there to what would be.
fn piece(file: &FilePieces, range: Range<usize>) -> String {
    let (first, lines) = file.pieces.lines(range, CONTEXT);
    let mut text = format!("{}\n", styled(FAINT, &format!("@@ line {first} @@")));
    for (shown, line) in lines {
        let line = visible(String::from_utf8_lossy(line).trim_end_matches('\n'));
        let line = match shown {
            Shown::Both => format!(" {line}"),
            Shown::Gone => styled(BAD, &format!("-{line}")),
            Shown::New => styled(GOOD, &format!("+{line}")),
        };
        text.push_str(&format!("{line}\n"));
    }
    text
}

fn words(question: &Question<'_>) -> &'static str {
    match question {
        Question::Change(..) => "Take this change back?",
        Question::File(..) => "Take it back in this file?",
        Question::Conflict(..) => "Make the file what it was before?",
        Question::Pieces(_, range) if range.len() > 1 => "Do this to these lines?",
        Question::Pieces(..) => "Do this to the lines?",
    }
}

/// What the keys mean here.
fn help(question: &Question<'_>, answers: &[Answer]) -> String {
    let meaning = |answer: Answer| match (answer, question) {
        (Answer::Yes, Question::Pieces(..)) => "yes, as it is shown",
        (Answer::Yes, Question::Conflict(..)) => "yes, whatever others did there since goes, too",
        (Answer::No, Question::Conflict(..)) => "no, the file stays as it is",
        (Answer::All, Question::Conflict(..)) => "yes, and so all conflicts that follow",
        (Answer::Rest, Question::Conflict(..)) => "no, and so all conflicts that follow",
        (Answer::Quit, Question::Conflict(..)) => "no more questions: nothing can be done while a conflict is left",
        (Answer::Yes, _) => "yes, take it back",
        (Answer::No, _) => "no, it stays",
        (Answer::Files, _) => "file by file",
        (Answer::Pieces, _) => "piece by piece, when all changes and files are decided",
        (Answer::Split, _) => "split it, and ask for each run of lines",
        (Answer::All, Question::Change(..)) => "yes, and so all changes that follow",
        (Answer::All, Question::File(..)) => "yes, and so all files of this change that follow",
        (Answer::All, Question::Pieces(..)) => "yes, and so all pieces of this file that follow",
        (Answer::Rest, Question::Change(..)) => "no, and so all changes that follow",
        (Answer::Rest, Question::File(..)) => "no, and so all files of this change that follow",
        (Answer::Rest, Question::Pieces(..)) => "no, and so all pieces of this file that follow",
        (Answer::Quit, _) => "no more questions: what is not decided stays; the plan is shown before anything is done",
    };
    let lines = answers.iter().map(|answer| format!("  {}  {}\n", answer.key(), meaning(*answer)));
    lines.chain(["  ?  these lines; Ctrl-D or Ctrl-C gives up, and nothing is done\n".to_owned()]).collect()
}
