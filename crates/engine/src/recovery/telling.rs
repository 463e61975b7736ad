//! What a plan says of paths at which work cannot be separated, or should be looked over.
//!
//! Owns the words, and whose work is named. Refuses to replay anything: that is [`wfr_recovery::replay`].

use std::collections::{BTreeMap, BTreeSet};

use wfr_catalog::{ChangeRow, ChangeSeq, NewPoint};
use wfr_model::TreePath;
use wfr_model::change::{Actor, Change};
use wfr_model::entry::Node;
use wfr_model::finding::{Finding, Severity};
use wfr_model::plan::Conflict as PlanConflict;
use wfr_recovery::merge::Labels;
use wfr_recovery::plan::{LinkGroups, Wish};
use wfr_recovery::replay::{By, Chain, Conflict, ConflictKind, Note, from_store};
use wfr_store::Objects;

use super::arriving::Arrival;
use super::bringing::Places;
use super::history::unrecorded_seq;
use super::tracks::Brought;
use crate::error::Failure;
use crate::open::Open;

/// What the two sides of a conflict are called.
#[derive(Clone, Copy, Debug)]
pub struct Sides {
    /// The work that stays.
    pub kept: &'static str,
    /// The other.
    pub other: &'static str,
    /// What both are called between the marks of a merge.
    pub labels: Labels<'static>,
    /// What is said where each side made something that the other does not know.
    pub creations: &'static str,
}

/// Gathers what is to be told, and knows the changes that are named.
pub struct Teller<'o> {
    open: &'o Open,
    objects: &'o dyn Objects,
    sides: Sides,
    /// Whose the edits are that a look found and the ledger does not have yet.
    unrecorded: BTreeMap<ChangeSeq, BTreeSet<String>>,
    known: BTreeMap<ChangeSeq, Option<ChangeRow>>,
    /// Where recoveries went that went to a tree.
    brought: BTreeMap<ChangeSeq, Option<Brought>>,
    /// Everybody by name, with a number.
    numbers: BTreeMap<String, u32>,
    /// What a person should know.
    pub findings: Vec<Finding>,
    /// What stands in the way.
    pub conflicts: Vec<PlanConflict>,
}

impl<'o> Teller<'o> {
    /// One that has nothing to tell yet. `unrecorded` is what a look found that the ledger does not have yet.
    pub fn new(open: &'o Open, objects: &'o dyn Objects, sides: Sides, unrecorded: Option<&NewPoint>) -> Self {
        let changes = unrecorded.map(|point| point.changes.as_slice()).unwrap_or_default();
        let mut unrecorded: BTreeMap<ChangeSeq, BTreeSet<String>> = BTreeMap::new();
        for change in changes.iter().map(|one| &one.change) {
            unrecorded.entry(unrecorded_seq(change)).or_default().insert(name_of(change));
        }
        Self {
            open,
            objects,
            sides,
            unrecorded,
            known: BTreeMap::new(),
            brought: BTreeMap::new(),
            numbers: BTreeMap::new(),
            findings: vec![],
            conflicts: vec![],
        }
    }

    /// A change; `None` where the ledger does not have it yet.
    pub fn row(&mut self, seq: ChangeSeq) -> Result<Option<&ChangeRow>, Failure> {
        if !self.known.contains_key(&seq) {
            self.known.insert(seq, self.open.catalog.change_at(seq)?);
        }
        Ok(self.known.get(&seq).and_then(Option::as_ref))
    }

    /// Who made what a look found that the ledger does not have yet, for people.
    pub fn unrecorded(&self, seq: ChangeSeq) -> String {
        let names: Vec<&str> = self.unrecorded.get(&seq).into_iter().flatten().map(String::as_str).collect();
        if names.is_empty() { "somebody".to_owned() } else { names.join(" and ") }
    }

    /// Whose the edit of a change is, as a replay wants to know it.
    pub fn by(&mut self, seq: ChangeSeq) -> Result<By, Failure> {
        let name = match self.row(seq)?.map(|row| &row.change) {
            Some(change) if change.actor == Actor::Recovery => return Ok(By::Recovery),
            Some(change) => format!("{} in {:?}", name_of(change), change.author.workflow_id),
            // What a look found, and nobody announced.
            None => "the user in None".to_owned(),
        };
        let next = self.numbers.len() as u32;
        Ok(By::Somebody(*self.numbers.entry(name).or_insert(next)))
    }

    /// Where a recovery went, by its change; `None` where it went to no tree, or its record is not known any more.
    pub fn brought(&mut self, seq: ChangeSeq) -> Result<Option<&Brought>, Failure> {
        if !self.brought.contains_key(&seq) {
            let open = self.open;
            let recovery = self.row(seq)?.and_then(|row| row.change.recovery_id.clone());
            let record = recovery.map(|id| open.catalog.recovery(&id)).transpose()?.flatten();
            let places = record.map(|record| Places::of(open, &record)).transpose()?;
            let brought = places.and_then(|places| match places {
                Places::Tree(brought) => Some(brought),
                Places::Some(_) => None,
            });
            self.brought.insert(seq, brought);
        }
        Ok(self.brought.get(&seq).and_then(Option::as_ref))
    }

    /// Tells that a file has another name now, under which work is taken out of it.
    pub fn moved(&mut self, path: &TreePath, names: &[TreePath]) {
        let Some(name) = names.first() else { return };
        let message = format!("`{name}` is `{path}` now: what belongs to it is looked for there");
        self.findings.push(Finding::new("MOVED", Severity::Info, message, format!("see `wfr log --path {path}`")));
    }

    /// Tells that a file is where it was again.
    pub fn moves_back(&mut self, Arrival { from: path, is_there, to, .. }: &Arrival) {
        let message = match is_there {
            true => format!("`{path}` is `{to}` again, with what was done to it since and stays"),
            false => {
                format!("`{to}` is there again, with what was done to it and stays: another file had come to its place")
            }
        };
        self.findings.push(Finding::new("MOVES_BACK", Severity::Info, message, format!("see `wfr log --path {path}`")));
    }

    /// Tells that a file cannot be where it was again, since something else is there, and what leaves it where it is.
    pub fn stuck(&mut self, arrival: &Arrival, seqs: BTreeSet<ChangeSeq>, way: &str) -> Result<(), Failure> {
        let Arrival { from, is_there, to, .. } = arrival;
        let mut changes = Vec::new();
        for seq in seqs {
            changes.extend(self.row(seq)?.map(|row| row.change.change_id.clone()));
        }
        let creations = self.sides.creations;
        let what = match is_there {
            true => format!("`{from}` would be `{to}` again"),
            false => format!("`{to}` would be there again, to whose place another file had come"),
        };
        let message = format!("{creations}: {what}; move away what is there, or leave it with `{way}`");
        let code = WORK_CONFLICT.to_owned();
        self.conflicts.push(PlanConflict { path: to.clone(), code, message, changes, text: None });
        Ok(())
    }

    /// Tells that one end of a move stays with the other.
    pub fn left_with(&mut self, path: &TreePath, other: &TreePath) {
        let message =
            format!("`{path}` stays as it is: it and `{other}` are the two ends of a move, which go together");
        let fix = "decide it: `--ours`, `--theirs` or `--resolve`";
        self.findings.push(Finding::new(LEFT_AS_IT_IS, Severity::Warning, message, fix));
    }

    /// Tells what should be known of a result.
    pub fn note(&mut self, path: &TreePath, (chain, notes): (&Chain, &[Note])) {
        for note in notes {
            let (code, message) = match note {
                Note::KeptDeletion { edit } => ("KEPT_DELETION", deleted(chain, *edit).to_owned()),
                Note::Incomplete { remaining, missing, count } => {
                    let shown = remaining.iter().chain(missing).next();
                    let line = shown
                        .map(|line| format!(", such as `{}`", String::from_utf8_lossy(&line.text)))
                        .unwrap_or_default();
                    let lines = if *count == 1 { "1 line".to_owned() } else { format!("{count} lines") };
                    let what = match (remaining.is_empty(), missing.is_empty()) {
                        (true, _) => "missing that should be there",
                        (_, true) => "there still that should be gone",
                        _ => "missing, or there still, that should not be",
                    };
                    let verb = if *count == 1 { "is" } else { "are" };
                    ("INCOMPLETE", format!("look it over: {lines} {verb} {what}{line}"))
                }
                Note::Unchecked => ("UNCHECKED", "it is too large to be looked over".to_owned()),
                Note::ByWords => (
                    "MERGED_BY_WORDS",
                    "lines that both what stays and what goes changed are merged word by word: look at them".to_owned(),
                ),
                Note::NoSecondOpinion => ("NO_SECOND_OPINION", "it is too large for a second opinion".to_owned()),
            };
            let severity = if code == "INCOMPLETE" { Severity::Warning } else { Severity::Info };
            self.findings.push(Finding::new(code, severity, format!("`{path}`: {message}"), "look at the plan"));
        }
    }

    /// Tells of a conflict, with all whose work is in it.
    pub fn conflict(
        &mut self,
        path: &TreePath,
        seqs: BTreeSet<ChangeSeq>,
        (chain, conflict): (&Chain, &Conflict),
    ) -> Result<(), Failure> {
        let mut changes = Vec::new();
        let mut names = BTreeSet::new();
        for seq in seqs {
            let row = self.row(seq)?.cloned();
            match &row {
                Some(row) => {
                    changes.push(row.change.change_id.clone());
                    names.insert(name_of(&row.change));
                }
                None => names.extend(self.unrecorded.get(&seq).into_iter().flatten().cloned()),
            }
        }
        let names: Vec<String> = names.into_iter().collect();
        let marked = conflict.marked(chain, &from_store(self.objects), &self.sides.labels)?;
        let text = marked.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        let why = why(&conflict.kind, &self.sides);
        let message = if names.is_empty() { why } else { format!("{why} ({})", names.join(", ")) };
        self.conflicts.push(PlanConflict {
            path: path.clone(),
            code: WORK_CONFLICT.to_owned(),
            message,
            changes,
            text,
        });
        Ok(())
    }
}

/// The code of what cannot be separated.
pub const WORK_CONFLICT: &str = "WORK_CONFLICT";

/// Takes out what cannot be separated, where the rest is done all the same: each such path stays as it is, and is named.
pub fn leave(conflicts: &mut Vec<PlanConflict>) -> Vec<Finding> {
    let (left, others): (Vec<_>, Vec<_>) =
        std::mem::take(conflicts).into_iter().partition(|one| one.code == WORK_CONFLICT);
    *conflicts = others;
    left.iter().map(self::left).collect()
}

/// The code of the finding that what goes is in another file.
pub const NOT_FOLLOWED: &str = "NOT_FOLLOWED";

/// The code of the finding that a path stays as it is.
pub const LEFT_AS_IT_IS: &str = "LEFT_AS_IT_IS";

/// Says that a path stays as it is for the sake of a conflict.
pub fn left(conflict: &PlanConflict) -> Finding {
    let message = format!("`{}` stays as it is: {}", conflict.path, conflict.message);
    let fix = match conflict.code.as_str() {
        "AGENT_CONFIGURATION" => "`--allow-config` allows it",
        "PERMISSION_DENIED" => "mend that, or run it as the owner of the files",
        _ => "decide it: `--ours`, `--theirs` or `--resolve`",
    };
    Finding::new(LEFT_AS_IT_IS, Severity::Warning, message, fix)
}

/// Says of names of one file of which only some get something else, or come to another place, that they become two files.
/// `can_be_named` says whether naming a path would take it along.
pub fn split(
    (before, after): (&LinkGroups, &LinkGroups),
    (wishes, arrived): (&[Wish], &[Arrival]),
    can_be_named: impl FnOnce(&TreePath) -> Result<bool, Failure>,
) -> Result<Option<Finding>, Failure> {
    let wish = |path: &TreePath| wishes.iter().find(|wish| wish.path == *path);
    let comes = |path: &TreePath| wish(path).is_some_and(|wish| wish.entry.is_some());
    let place = |path: &TreePath| {
        let arrival = arrived.iter().find(|one| one.from == *path && comes(&one.to))?;
        Some(arrival.to.clone())
    };
    let mut parted = before.iter().filter(|group| !after.contains(group)).filter_map(|group| {
        let other = group.iter().find(|path| wish(path).is_none())?;
        let here = || group.iter().find(|path| comes(path)).cloned();
        Some((group.iter().find_map(place).or_else(here)?, other))
    });
    let Some((path, other)) = parted.next() else { return Ok(None) };
    let more = match parted.count() {
        0 => String::new(),
        more => format!(", and so it is with {more} more"),
    };
    let message = format!(
        "`{path}` and `{other}` are one file (hard links): they become two, since only `{path}` is meant, and `{other}` keeps \
         what it holds{more}"
    );
    let fix = match can_be_named(other)? {
        true => "name both with `--file`, or none, to keep them one file".to_owned(),
        false => format!("`ln -f {path} {other}` makes them one file again afterwards"),
    };
    Ok(Some(Finding::new("LINK_SPLIT", Severity::Warning, message, fix)))
}

/// Who made a change, for people.
pub fn name_of(change: &Change) -> String {
    match change.actor {
        Actor::User => "the user".to_owned(),
        Actor::Unknown => "somebody unknown".to_owned(),
        Actor::Recovery => "a recovery".to_owned(),
        Actor::Shared => {
            let names: BTreeSet<&str> = change.candidates.iter().map(|one| one.author.name()).collect();
            names.into_iter().collect::<Vec<_>>().join(" or ")
        }
        Actor::Agent => change.author.name().to_owned(),
    }
}

/// What is said of something that somebody else deleted. Directories are not followed, only the files in them.
fn deleted(chain: &Chain, edit: usize) -> &'static str {
    let before = edit.checked_sub(1).and_then(|before| chain.version(before).as_ref());
    match before.is_some_and(|entry| matches!(entry.node, Node::Dir(_))) {
        true => "it stays away: somebody else deleted this directory since, or moved it, which is not followed",
        false => "it stays deleted: somebody else deleted it since",
    }
}

fn why(kind: &ConflictKind, sides: &Sides) -> String {
    let Sides { kept, other, creations, .. } = sides;
    match kind {
        ConflictKind::Lines(hunks) => {
            let plural = if hunks.len() == 1 { "place" } else { "places" };
            format!("{kept} and {other} touch in {} {plural}", hunks.len())
        }
        ConflictKind::Binary => format!("{kept} and {other} are in one file that is no text"),
        ConflictKind::TooLarge => "the file is too large to be merged".to_owned(),
        ConflictKind::TooDifferent => "the versions have too little in common to be merged".to_owned(),
        ConflictKind::Kind => format!("{kept} left another kind of thing here"),
        ConflictKind::LinkTarget => format!("{kept} made the link lead elsewhere"),
        ConflictKind::Mode => format!("{kept} set another mode"),
        ConflictKind::Owner => format!("{kept} set another owner"),
        ConflictKind::Xattr(name) => format!("{kept} set the attribute {}", String::from_utf8_lossy(name)),
        ConflictKind::RemovedCreation => format!("{kept} is in a file that would not be there"),
        ConflictKind::TwoCreations => (*creations).to_owned(),
        ConflictKind::SecondOpinion => "two ways to merge it give different results".to_owned(),
    }
}
