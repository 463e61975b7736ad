//! Lines that somebody takes away and puts back, as a stash does, or a look at another branch.
//!
//! Owns that they are whose they were. Refuses to read versions: see [`super::blame`].

use std::collections::{HashMap, VecDeque};

use wfr_catalog::ChangeSeq;

/// What everybody has taken away.
#[derive(Default)]
pub struct PutBack {
    /// By who took it away, and by line: whose it was, the first one first.
    away: HashMap<(String, String), VecDeque<Option<ChangeSeq>>>,
}

/// One edit of a text.
pub struct Edited<'e> {
    /// Whose it is.
    pub by: &'e str,
    /// The text before, with whose its lines were.
    pub before: (&'e str, &'e [Option<ChangeSeq>]),
    /// The text behind it.
    pub after: &'e str,
    /// For each of its lines, the number of that before from which it is.
    pub sources: &'e [Option<usize>],
}

impl PutBack {
    /// Finds whose the lines were that an edit puts back, and notes what it takes away. `origins` are those of the text behind
    /// it. A line that says nothing, such as a brace, is put back only right behind one that is.
    pub fn step(&mut self, edited: &Edited<'_>, origins: &mut [Option<ChangeSeq>]) {
        let Edited { by, before: (before, known), after, sources } = edited;
        let key = |line: &str| ((*by).to_owned(), line.trim_end().to_owned());
        let mut is_behind = false;
        for ((line, source), origin) in after.split_inclusive('\n').zip(*sources).zip(origins) {
            let may_be = source.is_none() && (is_behind || line.chars().any(char::is_alphanumeric));
            let found = self.away.get_mut(&key(line)).filter(|_| may_be).and_then(VecDeque::pop_front);
            is_behind = found.is_some();
            *origin = found.unwrap_or(*origin);
        }
        let mut stays = vec![false; known.len()];
        sources.iter().flatten().for_each(|at| stays.get_mut(*at).into_iter().for_each(|stays| *stays = true));
        for ((line, origin), _) in before.split_inclusive('\n').zip(*known).zip(stays).filter(|(_, stays)| !stays) {
            self.away.entry(key(line)).or_default().push_back(*origin);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whose the lines are behind edits, each of somebody and of a text that has one letter per line; `.` was there before.
    fn told(first: &str, edits: &[(&str, &str)]) -> String {
        let lines = |letters: &str| letters.chars().map(|letter| format!("{letter}\n")).collect::<String>();
        let (mut text, mut origins, mut back) = (lines(first), vec![None; first.len()], PutBack::default());
        for (number, (by, letters)) in edits.iter().enumerate() {
            let after = lines(letters);
            let sources = crate::textdiff::sources(&text, &after);
            let known = origins.clone();
            let own = Some(ChangeSeq(number as i64));
            origins = sources.iter().map(|at| at.map_or(own, |at| known[at])).collect();
            let edited = Edited { by, before: (&text, &known), after: &after, sources: &sources };
            back.step(&edited, &mut origins);
            text = after;
        }
        origins.iter().map(|origin| origin.map_or(".".to_owned(), |seq| edits[seq.0 as usize].0.to_owned())).collect()
    }

    #[test]
    fn what_one_takes_away_and_puts_back_is_whose_it_was() {
        assert_eq!(told("xyz", &[("a", "xAyz"), ("u", "xyz"), ("u", "xAyzU")]), ".a..u");
        assert_eq!(told("xyz", &[("a", "xAyz"), ("u", "xyz"), ("b", "xAyz")]), ".b..", "somebody else wrote it anew");
        assert_eq!(told("x}y}", &[("u", ""), ("u", "x}y}")]), "....", "a file that was away");
        assert_eq!(told("x}y", &[("u", "xy"), ("u", "xyu}")]), "..uu", "a brace elsewhere");
    }
}
