//! What a recovery says of the changes of others, once it has ended.
//!
//! Owns which changes are taken back or brought back where. Refuses to know how: the plan did.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use wfr_catalog::{PointSeq, SegmentRow};
use wfr_model::change::Segment;
use wfr_model::plan::KeptReason;
use wfr_model::recovery::{ApplyReport, RecoveryKind, RecoveryRecord};
use wfr_model::{ChangeId, RecoveryId, TaskId, TreePath};

use super::{joining, lifting, returning};
use crate::error::Failure;
use crate::ledger::{Veil, Verdicts, Word};
use crate::open::Open;
use crate::pathspec::PathSpecs;

/// What a rollback takes back, as its record keeps it.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Taken {
    /// The changes.
    pub changes: Vec<ChangeId>,
    /// Paths at which they stay.
    pub left: Vec<TreePath>,
    /// Paths at which somebody decided by hand: there the rollback is an edit like any other.
    pub decided: Vec<TreePath>,
    /// Those of them at which the changes are taken back with what was decided: all but where they go in part, or from one name
    /// to another.
    pub overwritten: Vec<TreePath>,
    /// Where somebody had brought back what was taken back before: which change, and by which one.
    pub returned: Vec<(TreePath, ChangeId, ChangeId)>,
    /// Tasks that are to be done anew.
    pub tasks: Vec<TaskId>,
    /// Only what was done after this point.
    pub after: Option<i64>,
    /// Only at these paths and below them; everywhere where there are none.
    pub files: PathSpecs,
    /// Changes that stay at single paths.
    pub spared: Vec<(TreePath, ChangeId)>,
    /// Names that files had, and those that they have: what goes at the one is taken out at the other.
    pub moved: Vec<(TreePath, TreePath)>,
    /// Where files are again that were there before, and the points behind which they were.
    pub places: Vec<(TreePath, i64)>,
}

/// The key of a record's parameters that holds it.
pub const TAKEN: &str = "taken";

/// What a rollback took back, from its record's parameters; `None` where it is none.
pub fn taken(parameters: &Value) -> Option<Taken> {
    serde_json::from_value(parameters.get(TAKEN)?.clone()).ok()
}

/// Parameters with what a rollback takes back.
pub fn with_taken(parameters: &Value, taken: &Taken) -> Value {
    let mut parameters = parameters.clone();
    if let Some(keys) = parameters.as_object_mut() {
        keys.insert(TAKEN.to_owned(), serde_json::json!(taken));
    }
    parameters
}

/// Parameters as they were given.
pub fn without_taken(parameters: &Value) -> Value {
    let mut parameters = parameters.clone();
    if let Some(keys) = parameters.as_object_mut() {
        keys.shift_remove(TAKEN);
    }
    parameters
}

/// Whether a recovery with these parameters went from the present, path by path, and not to a tree.
fn went_by_path(parameters: &Value) -> bool {
    taken(parameters).is_some() || joining::is_merge(parameters)
}

/// Whether a recovery took chosen changes back or merged a checkpoint in, or took such a one back.
pub fn is_selective(open: &Open, record: &RecoveryRecord) -> Result<bool, Failure> {
    let mut at = record.clone();
    loop {
        let undone = match (at.kind, &at.undoes) {
            (RecoveryKind::Undo, Some(undone)) => open.catalog.recovery(undone)?,
            _ => return Ok(at.kind == RecoveryKind::Rollback || went_by_path(&at.parameters)),
        };
        match undone {
            Some(undone) => at = undone,
            None => return Ok(false),
        }
    }
}

/// Whether a recovery brought paths to what is there in a tree, or merged a checkpoint in: what counts there afterwards
/// follows from what it left.
pub fn goes_to_a_tree(open: &Open, record: &RecoveryRecord) -> Result<bool, Failure> {
    let merges =
        record.undoes.is_none() && taken(&record.parameters).is_none() && joining::is_merge(&record.parameters);
    Ok(merges || !is_selective(open, record)?)
}

/// What a recovery says of the changes of others. `effects` is what it did to the tree.
pub fn of(
    open: &Open,
    record: &RecoveryRecord,
    report: &ApplyReport,
    effects: &[Segment],
) -> Result<Verdicts, Failure> {
    if goes_to_a_tree(open, record)? {
        let words = returning::words(open, record, effects)?;
        return Ok(Verdicts { words, ..Verdicts::default() });
    }
    // A directory that is not empty stays for the sake of what is in it: whose it was, counts no more.
    let kept = report.kept.iter().filter(|kept| kept.reason != KeptReason::NotEmpty).map(|kept| &kept.path);
    let failed = report.failed.iter().map(|step| &step.path);
    let untouched: BTreeSet<TreePath> = kept.chain(failed).cloned().collect();
    match (record.kind, &record.undoes) {
        (RecoveryKind::Undo, Some(undone)) => of_undo(open, record, undone, &untouched),
        _ => taken(&record.parameters)
            .map_or_else(|| Ok(Verdicts::default()), |taken| of_rollback(open, &taken, untouched)),
    }
}

/// All names of files that moved. Several files may have had one name, at different times.
struct Names<'n> {
    now: BTreeMap<&'n TreePath, BTreeSet<&'n TreePath>>,
    all: BTreeMap<&'n TreePath, Vec<&'n TreePath>>,
}

impl<'n> Names<'n> {
    fn of(moved: &'n [(TreePath, TreePath)]) -> Self {
        let mut all: BTreeMap<&TreePath, Vec<&TreePath>> = BTreeMap::new();
        moved.iter().for_each(|(name, now)| all.entry(now).or_insert_with(|| vec![now]).push(name));
        let mut places: BTreeMap<&TreePath, BTreeSet<&TreePath>> = BTreeMap::new();
        moved.iter().for_each(|(name, now)| places.entry(name).or_default().extend([now]));
        Self { now: places, all }
    }

    /// Where the files are that were at a path, and all names that they had.
    fn all(&self, path: &'n TreePath) -> (BTreeSet<&'n TreePath>, BTreeSet<&'n TreePath>) {
        let mut now = self.now.get(path).cloned().unwrap_or_default();
        if now.is_empty() || self.all.contains_key(path) {
            now.insert(path);
        }
        let all = now.iter().flat_map(|now| self.all.get(now).cloned().unwrap_or_else(|| vec![now])).collect();
        (now, all)
    }
}

fn of_rollback(open: &Open, taken: &Taken, mut untouched: BTreeSet<TreePath>) -> Result<Verdicts, Failure> {
    let veil = Veil::of(open)?;
    untouched.extend(taken.left.iter().cloned());
    let names = Names::of(&taken.moved);
    let spared: BTreeSet<(&TreePath, &ChangeId)> = taken.spared.iter().map(|(path, id)| (path, id)).collect();
    let (decided, overwritten): (BTreeSet<_>, BTreeSet<_>) =
        (taken.decided.iter().collect(), taken.overwritten.iter().collect());
    let mut returned: BTreeMap<&ChangeId, Vec<(&TreePath, &ChangeId)>> = BTreeMap::new();
    taken.returned.iter().for_each(|(at, of, by)| returned.entry(of).or_default().push((at, by)));
    let mut verdicts = Verdicts::default();
    for id in &taken.changes {
        let Some(row) = open.catalog.change(id)? else { continue };
        for chain in open.catalog.segments_of(row.seq)? {
            let path = veil.shown(&chain.path)?;
            let is_after = |segment: &SegmentRow| taken.after.is_none_or(|after| segment.point > PointSeq(after));
            let (now, all) = names.all(&path);
            let is_meant = taken.files.mean_any(&Vec::from_iter(all.iter().copied()));
            let is_left = spared.contains(&(&path, id))
                || untouched.contains(&path)
                || now.iter().any(|now| untouched.contains(*now));
            let is_by_hand = |path: &TreePath| decided.contains(path) && !overwritten.contains(path);
            let is_left = is_left || is_by_hand(&path) || now.iter().any(|now| is_by_hand(now));
            if is_meant && !is_left && chain.segments.iter().all(is_after) {
                // Moves of others may have gone before: where it is to be need be none of this change's paths.
                let is_replayed = |name: &&TreePath| !untouched.contains(name) && !decided.contains(*name);
                verdicts.replayed.extend(all.into_iter().filter(is_replayed).cloned());
                let brought = returned.get(id).into_iter().flatten().filter(|(at, _)| now.contains(at));
                let word = |by: &ChangeId| Word { by: Some(by.clone()), ..Word::own(path.clone(), id.clone(), false) };
                verdicts.words.extend(brought.map(|(_, by)| word(by)));
                verdicts.words.push(Word::own(path, id.clone(), true));
            }
        }
    }
    Ok(verdicts)
}

/// What an undo brings where, as its record keeps it among its parameters.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Lifting {
    /// Other names of the files that it is about, and those that they have.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub moved: Vec<(TreePath, TreePath)>,
    /// Where files are again that were there before, and the points behind which they were.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub places: Vec<(TreePath, i64)>,
    /// Paths at which it takes back what was decided by hand, or was done to what stands and does not count: there it is an
    /// edit like any other.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub decided: Vec<TreePath>,
}

/// Parameters of an undo with what it brings where.
pub fn with_lifting(parameters: &Value, lifting: &Lifting) -> Value {
    let mut parameters = parameters.clone();
    if let (Some(keys), Value::Object(lifting)) = (parameters.as_object_mut(), serde_json::json!(lifting)) {
        keys.extend(lifting);
    }
    parameters
}

/// What an undo brought where, from its record's parameters.
pub fn lifting(parameters: &Value) -> Lifting {
    serde_json::from_value(parameters.clone()).unwrap_or_default()
}

/// An undo brings back what was taken back, and takes back what was brought back or made by hand.
fn of_undo(
    open: &Open,
    record: &RecoveryRecord,
    undone: &RecoveryId,
    untouched: &BTreeSet<TreePath>,
) -> Result<Verdicts, Failure> {
    let row = if is_selective(open, record)? { open.catalog.change_of_recovery(undone)? } else { None };
    let Lifting { moved, decided, .. } = lifting(&record.parameters);
    let decided: BTreeSet<&TreePath> = decided.iter().collect();
    let mut untouched = untouched.clone();
    let stays: Vec<TreePath> =
        moved.iter().filter(|(_, now)| untouched.contains(now)).map(|(name, _)| name.clone()).collect();
    untouched.extend(stays);
    let words = row.map(|row| lifting::words(open, &row, &untouched)).transpose()?.unwrap_or_default();
    let names = Names::of(&moved);
    let is_replayed = |name: &&TreePath| !untouched.contains(*name) && !decided.contains(*name);
    let all = words.iter().flat_map(|word| names.all(&word.path).1).filter(is_replayed);
    let replayed = all.cloned().collect();
    Ok(Verdicts { replayed, words })
}
