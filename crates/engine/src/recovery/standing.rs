//! Which changes would stand taken back at a path if one recovery had never been.
//!
//! Owns how rollbacks and their undos outweigh each other. Refuses to know what is at the path.

use std::collections::BTreeMap;

use wfr_catalog::{ChangeSeq, PathChain};

use crate::error::Failure;
use crate::open::Open;

/// The recoveries that speak of changes, and which of them undoes which.
pub struct Standing<'o> {
    open: &'o Open,
    undoes: BTreeMap<ChangeSeq, Undoes>,
}

/// What is known of whether a recovery undoes another one.
#[derive(Clone, Copy)]
enum Undoes {
    Nothing,
    Change(ChangeSeq),
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
        for (at, (by, is_cancelled)) in words.iter().enumerate() {
            let undoes = match self.undoes(*by)? {
                Undoes::Nothing => None,
                Undoes::Change(seq) => words[..at].iter().position(|(other, _)| *other == seq),
                // Whatever brought it back undid what spoke last.
                Undoes::Unknown => (!is_cancelled && at > 0).then(|| at - 1),
            };
            undone.push(undoes);
        }
        let mut counts: Vec<bool> = words.iter().map(|(by, _)| *by != lifted).collect();
        // Who undoes comes later, so the last is sure of itself.
        for at in (0..words.len()).rev() {
            if let (true, Some(other)) = (counts[at], undone[at]) {
                counts[other] = false;
            }
        }
        Ok((0..words.len()).any(|at| counts[at] && undone[at].is_none() && words[at].1))
    }

    fn undoes(&mut self, by: ChangeSeq) -> Result<Undoes, Failure> {
        if let Some(known) = self.undoes.get(&by) {
            return Ok(*known);
        }
        let catalog = &self.open.catalog;
        let recovery = catalog.change_at(by)?.and_then(|row| row.change.recovery_id);
        let record = recovery.map(|id| catalog.recovery(&id)).transpose()?.flatten();
        let found = match record.map(|record| record.undoes) {
            None => Undoes::Unknown,
            Some(None) => Undoes::Nothing,
            Some(Some(id)) => match catalog.change_of_recovery(&id)? {
                Some(row) => Undoes::Change(row.seq),
                None => Undoes::Nothing,
            },
        };
        self.undoes.insert(by, found);
        Ok(found)
    }
}
