//! How sure it is whose the work is that a rollback takes back, and that it leaves.
//!
//! Owns these warnings. Refuses to decide what goes.

use std::collections::{BTreeMap, BTreeSet};

use wfr_catalog::{ChangeFilter, ChangeRow, ChangeSeq};
use wfr_model::change::{Actor, Change, Source};
use wfr_model::finding::{Finding, Severity};
use wfr_model::{ChangeId, TreePath};

use super::telling::name_of;
use crate::error::Failure;
use crate::open::Open;

/// Ids that one warning names, at most.
const NAMED_MAX: usize = 3;

fn candidates(change: &Change) -> String {
    let names: BTreeSet<&str> = change.candidates.iter().map(|one| one.author.name()).collect();
    names.into_iter().collect::<Vec<_>>().join(" and ")
}

/// What may belong to chosen changes and is not among them, where it was not taken back.
pub fn of_what_stays(open: &Open, chosen: &[ChangeRow]) -> Result<Vec<Finding>, Failure> {
    let ids: BTreeSet<&ChangeId> = chosen.iter().map(|row| &row.change.change_id).collect();
    let filter = ChangeFilter { in_doubt: true, ..ChangeFilter::default() };
    let mut findings = Vec::new();
    for row in open.catalog.changes(&filter)? {
        let is_candidate = row.change.candidates.iter().any(|one| ids.contains(&one.change_id));
        if !is_candidate || ids.contains(&row.change.change_id) {
            continue;
        }
        let chains = open.catalog.segments_of(row.seq)?;
        let count = chains.iter().filter(|chain| !chain.is_cancelled(row.seq, None)).count();
        if count > 0 {
            findings.push(stays(&row.change, count));
        }
    }
    Ok(findings)
}

fn stays(change: &Change, count: usize) -> Finding {
    let (paths, verb, they) = match count {
        1 => ("1 more path".to_owned(), "was", "it stays"),
        _ => (format!("{count} more paths"), "were", "they stay"),
    };
    let others = candidates(change);
    let message = match change.actor {
        Actor::Agent => format!(
            "{paths} {verb} changed that {} named, while {others} worked at the same time and may have written there: {they}",
            name_of(change)
        ),
        _ => format!(
            "{paths} {verb} changed while {others} worked at the same time: nothing tells whose that is, so {they}"
        ),
    };
    let fix = format!("`--change {}` takes {} back, too", change.change_id, if count == 1 { "it" } else { "them" });
    Finding::new("SHARED_CHANGE", Severity::Warning, message, fix)
}

/// Why it is not certain that work is whose it is taken for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Doubt {
    /// Several worked, and nobody in particular did it.
    Shared,
    /// Somebody worked, and somebody else did it.
    Unknown,
    /// Somebody named the paths while others could write anywhere.
    Likely,
    /// The tree was another one at the end than at the beginning.
    Observed,
}

impl Doubt {
    fn of(change: &Change) -> Option<Self> {
        match (change.actor, change.source) {
            (Actor::Shared, _) => Some(Self::Shared),
            (Actor::Unknown, _) => Some(Self::Unknown),
            (Actor::Agent, _) if !change.candidates.is_empty() => Some(Self::Likely),
            (Actor::Agent, Source::Observed) => Some(Self::Observed),
            _ => None,
        }
    }

    /// The warning on so many paths.
    fn told(self, whose: &str, others: &str, ids: &BTreeSet<&ChangeId>, count: usize) -> Finding {
        let named: Vec<&str> = ids.iter().take(NAMED_MAX).map(|id| id.as_str()).collect();
        let more = if ids.len() > NAMED_MAX { format!(" and {} more", ids.len() - NAMED_MAX) } else { String::new() };
        let ids = format!("{}{more}", named.join(", "));
        let paths = if count == 1 { "1 path that goes".to_owned() } else { format!("{count} paths that go") };
        let stay = "`--ours PATH` leaves a path as it is";
        let (code, severity, message, fix) = match self {
            Self::Shared => {
                let what = format!("{paths} may be the work of {others}, who worked at the same time ({ids})");
                ("SHARED_SELECTED", Severity::Warning, what, stay)
            }
            Self::Unknown => {
                let what = format!("{paths}: nobody who was announced changed it, while {others} worked ({ids})");
                ("UNKNOWN_SELECTED", Severity::Warning, what, stay)
            }
            Self::Likely => {
                let what = format!(
                    "{paths}: {whose} named such paths, but {others} worked at the same time and may have written there ({ids})"
                );
                ("LIKELY_SELECTED", Severity::Warning, what, stay)
            }
            Self::Observed => {
                let what = format!(
                    "{paths}: taken for the work of {whose} by what was announced; nothing saw it being written"
                );
                ("OBSERVED_SELECTED", Severity::Info, what, "`--paths` of `wfr change begin` says what will be written")
            }
        };
        Finding::new(code, severity, message, fix)
    }
}

/// How sure it is that what goes, by path, is the work of whom it is taken for.
pub fn of_what_goes(open: &Open, gone: &BTreeMap<TreePath, BTreeSet<ChangeSeq>>) -> Result<Vec<Finding>, Failure> {
    let mut paths: BTreeMap<ChangeSeq, usize> = BTreeMap::new();
    for seq in gone.values().flatten() {
        *paths.entry(*seq).or_default() += 1;
    }
    let mut rows: Vec<(Doubt, ChangeRow, usize)> = Vec::new();
    for (seq, count) in paths {
        let row = open.catalog.change_at(seq)?;
        rows.extend(row.and_then(|row| Some((Doubt::of(&row.change)?, row, count))));
    }
    let mut told: BTreeMap<(Doubt, String, String), (BTreeSet<&ChangeId>, usize)> = BTreeMap::new();
    for (doubt, row, count) in &rows {
        // Whom nothing but a look saw are told together: that is so of most work.
        let whose = if *doubt == Doubt::Observed { String::new() } else { name_of(&row.change) };
        let (ids, sum) = told.entry((*doubt, whose, candidates(&row.change))).or_default();
        ids.insert(&row.change.change_id);
        *sum += count;
    }
    let observed = rows.iter().filter(|(doubt, ..)| *doubt == Doubt::Observed).map(|(_, row, _)| name_of(&row.change));
    let observed = observed.collect::<BTreeSet<String>>().into_iter().collect::<Vec<_>>().join(", ");
    let findings = told.into_iter().map(|((doubt, whose, others), (ids, count))| match doubt {
        Doubt::Observed => doubt.told(&observed, &others, &ids, count),
        _ => doubt.told(&whose, &others, &ids, count),
    });
    Ok(findings.collect())
}
