//! Texts as lines, and lines as numbers.
//!
//! Owns where a line ends and that equal lines have equal numbers. Refuses to compare texts.

use std::collections::HashMap;

/// The lines of a text, each with its `\n`; the last one may have none.
pub(super) fn split(text: &[u8]) -> Vec<&[u8]> {
    text.split_inclusive(|byte| *byte == b'\n').collect()
}

/// How many lines a text has.
pub(super) fn count(text: &[u8]) -> usize {
    let ends = text.iter().filter(|byte| **byte == b'\n').count();
    ends + usize::from(text.last().is_some_and(|byte| *byte != b'\n'))
}

/// Gives each different line a number, from 0 on.
#[derive(Default)]
pub(super) struct Interner<'a> {
    numbers: HashMap<&'a [u8], u32>,
}

impl<'a> Interner<'a> {
    /// The numbers of some lines.
    pub(super) fn ids(&mut self, lines: &[&'a [u8]]) -> Vec<u32> {
        let mut ids = Vec::with_capacity(lines.len());
        for line in lines {
            let next = self.numbers.len() as u32;
            ids.push(*self.numbers.entry(line).or_insert(next));
        }
        ids
    }

    /// How many different lines were seen.
    pub(super) fn kinds(&self) -> usize {
        self.numbers.len()
    }
}
