//! Which changes would stand taken back at a path if one recovery had never been.
//!
//! Owns how rollbacks, their undos and what brought work back outweigh each other. Refuses to know what is at the path.

use std::collections::BTreeMap;

use wfr_catalog::{ChangeSeq, PathChain};

use super::verdicts;
use crate::error::Failure;
use crate::open::Open;

/// The recoveries that speak of changes, and which of them undoes which.
pub struct Standing<'o> {
    open: &'o Open,
    undoes: BTreeMap<ChangeSeq, Undoes>,
}

/// What is known of whether a change that speaks of others undoes another one.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Undoes {
    Nothing,
    Change(ChangeSeq),
    /// It went to what was there at another time, or somebody brought that back: what was said before counts no more.
    All,
    /// A catalog that was built again has no records.
    Unknown,
}

impl<'o> Standing<'o> {
    /// Of a workspace's recoveries.
    pub fn of(open: &'o Open) -> Self {
        Self { open, undoes: BTreeMap::new() }
    }

    /// Whether a change is taken back at a path where what `lifted` says does not count: some other recovery took it back
    /// that is not undone there, or whose undo is undone.
    pub fn is_cancelled_without(
        &mut self,
        chain: &PathChain,
        change: ChangeSeq,
        lifted: ChangeSeq,
    ) -> Result<bool, Failure> {
        let words: Vec<(ChangeSeq, bool)> =
            chain.words.iter().filter(|(of, _, _)| *of == change).map(|(_, by, is)| (*by, *is)).collect();
        let mut undone = Vec::with_capacity(words.len());
        let mut is_last = Vec::with_capacity(words.len());
        for (at, (by, is_cancelled)) in words.iter().enumerate() {
            let undoes = self.undoes(*by)?;
            is_last.push(undoes == Undoes::All);
            undone.push(match undoes {
                Undoes::Nothing | Undoes::All => None,
                Undoes::Change(seq) => words[..at].iter().position(|(other, _)| *other == seq),
                // Whatever brought it back undid what spoke last.
                Undoes::Unknown => (!is_cancelled && at > 0).then(|| at - 1),
            });
        }
        let mut counts: Vec<bool> = words.iter().map(|(by, _)| *by != lifted).collect();
        // Who undoes comes later, so the last is sure of itself.
        for at in (0..words.len()).rev() {
            if let (true, Some(other)) = (counts[at], undone[at]) {
                counts[other] = false;
            }
        }
        let speaks = |at: &usize| counts[*at] && undone[*at].is_none() && (words[*at].1 || is_last[*at]);
        Ok((0..words.len()).rev().find(speaks).is_some_and(|at| words[at].1))
    }

    fn undoes(&mut self, by: ChangeSeq) -> Result<Undoes, Failure> {
        if let Some(known) = self.undoes.get(&by) {
            return Ok(*known);
        }
        let found = self.found(by)?;
        self.undoes.insert(by, found);
        Ok(found)
    }

    fn found(&self, by: ChangeSeq) -> Result<Undoes, Failure> {
        let catalog = &self.open.catalog;
        let Some(row) = catalog.change_at(by)? else { return Ok(Undoes::All) };
        let Some(recovery) = row.change.recovery_id else { return Ok(Undoes::All) };
        let Some(record) = catalog.recovery(&recovery)? else { return Ok(Undoes::Unknown) };
        if verdicts::goes_to_a_tree(self.open, &record)? {
            return Ok(Undoes::All);
        }
        let undone = record.undoes.map(|id| catalog.change_of_recovery(&id)).transpose()?.flatten();
        Ok(undone.map_or(Undoes::Nothing, |row| Undoes::Change(row.seq)))
    }
}
