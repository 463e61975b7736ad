//! What of a selection is taken back already, and by which recoveries.
//!
//! Owns how that is told, at which paths nothing changes, and whether anything else is to be done. Refuses to plan it.

use std::collections::{BTreeMap, BTreeSet};

use wfr_catalog::{ChangeSeq, PathChain};
use wfr_model::finding::{Finding, Severity};
use wfr_model::plan::{KeptReason, Plan};
use wfr_model::{RecoveryId, TaskId, Timestamp, TreePath};

use super::history::History;
use super::leaving::STAYS_AS_DECIDED;
use super::lost::{WayBack, way_back};
use super::selective::Selection;
use super::telling::{LEFT_AS_IT_IS, NOT_FOLLOWED};
use super::verdicts::Taken;
use crate::error::Failure;
use crate::open::Open;

/// The code of the finding.
pub const TAKEN_BACK_ALREADY: &str = "TAKEN_BACK_ALREADY";

/// The code of the finding that a task is to be done anyway.
pub const PENDING_ALREADY: &str = "PENDING_ALREADY";

/// Says of a path that what was taken back there is there again, and goes again.
pub fn returned(path: &TreePath) -> Finding {
    let message = format!("`{path}` has what was taken back before: later work brought it again, and it goes again");
    Finding::new("BROUGHT_AGAIN", Severity::Info, message, format!("`--ours {path}` leaves it as it is"))
}

/// The code of the finding that what was taken back is there, and may be work of somebody else's.
pub const MAY_BE_BROUGHT_AGAIN: &str = "MAY_BE_BROUGHT_AGAIN";

/// Says of a path that it has what was taken back there, and that nobody knows whether `who` brought it again or made it anew.
pub fn may_be_returned(path: &TreePath, who: &str) -> Finding {
    let message = format!(
        "`{path}` has what was taken back before, or some of it, and stays as it is: {who} brought it again, or made the same \
         anew, which nobody can tell"
    );
    let fix = format!("`--theirs {path}` takes it out, `wfr blame {path}` shows whose the rest is");
    Finding::new(MAY_BE_BROUGHT_AGAIN, Severity::Warning, message, fix)
}

/// Says of a task without a change that nothing of it is left to be taken back.
pub fn pending(task: &TaskId) -> Finding {
    let message = format!("task {task} is pending already, and no change of it is recorded");
    Finding::new(PENDING_ALREADY, Severity::Info, message, "`wfr status` shows the tasks")
}

/// Says of one of several who are named that nothing is to be taken back of it.
pub fn idle(name: &str) -> Finding {
    let message = format!("nothing of {name} fits what was asked for");
    Finding::new("NOTHING_OF", Severity::Warning, message, "`wfr log` shows whose changes are recorded")
}

/// Says of a checkpoint from before the first change what stays of the time between.
pub fn unrecorded(checkpoint: &str, begin: Timestamp) -> Finding {
    let message = format!(
        "checkpoint `{checkpoint}` was taken before the first change was recorded ({begin}): what was done between the two is \
         nobody's, and stays"
    );
    let fix = "`wfr diff` shows it; `wfr restore` takes it back with all else";
    Finding::new("LEDGER_BEGINS_LATER", Severity::Warning, message, fix)
}

/// Recoveries that are named, at most.
const NAMED_MAX: usize = 3;

/// Gathers changes that are taken back at some path.
#[derive(Default)]
pub struct Already {
    changes: BTreeSet<ChangeSeq>,
    by: BTreeSet<ChangeSeq>,
}

impl Already {
    /// Notes a change that is taken back at a path.
    pub fn note(&mut self, chain: &PathChain, change: ChangeSeq) {
        let last = chain.words.iter().rfind(|(of, _, _)| *of == change);
        if let Some((_, by, true)) = last {
            self.changes.insert(change);
            self.by.insert(*by);
        }
    }

    /// Whether all of a selection is taken back already, or left; that is told. `is_nothing`: no live change goes.
    pub fn is_done(
        &self,
        (plan, taken, findings): (&Plan, &mut Taken, &mut Vec<Finding>),
        (selection, is_nothing): (&Selection, bool),
        open: &Open,
    ) -> Result<bool, Failure> {
        let stays = [LEFT_AS_IT_IS, STAYS_AS_DECIDED, NOT_FOLLOWED, MAY_BE_BROUGHT_AGAIN];
        let has_left = findings.iter().any(|finding| stays.contains(&finding.code.as_str()));
        let was_taken = is_nothing && !self.changes.is_empty();
        if was_taken {
            // Whoever does one of the tasks since, does it anew.
            taken.tasks.retain(|task| selection.own_tasks.contains(task));
        }
        let sets_nothing = was_taken && taken.tasks.is_empty();
        let is_done = is_nothing && plan.is_empty() && plan.conflicts.is_empty() && (has_left || sets_nothing);
        if is_done && !has_left {
            findings.push(self.finding(open)?);
        }
        Ok(is_done)
    }

    /// That nothing else is left, with the recoveries that did it, the newest first.
    fn finding(&self, open: &Open) -> Result<Finding, Failure> {
        let mut rows = Vec::new();
        for by in self.by.iter().rev() {
            let row = open.catalog.change_at(*by)?;
            rows.extend(row.and_then(|row| Some((row.change.recovery_id.clone()?, row))));
        }
        let ways = rows.iter().take(NAMED_MAX).map(|(id, row)| Ok((id, way_back(open, id, row)?)));
        let ways = ways.collect::<Result<Vec<(&RecoveryId, WayBack)>, Failure>>()?;
        let name = |(id, way): &(&RecoveryId, WayBack)| match way.is_lost {
            true => format!("{id} (no record of it is left, so it cannot be undone)"),
            false => id.to_string(),
        };
        let shown: Vec<String> = ways.iter().map(name).collect();
        let more = if rows.len() > NAMED_MAX { format!(" and {} more", rows.len() - NAMED_MAX) } else { String::new() };
        let count = self.changes.len();
        let what = if count == 1 { "the change is".to_owned() } else { format!("all {count} changes are") };
        let (by, fix) = match ways.first() {
            Some((_, way)) => (format!(", by {}{more}", shown.join(", ")), way.fix.clone()),
            // A change that is known from a checkpoint's seal alone may have lost its record.
            None => (String::new(), "`wfr log` shows what counts".to_owned()),
        };
        let message = format!("{what} taken back already{by}");
        Ok(Finding::new(TAKEN_BACK_ALREADY, Severity::Info, message, fix))
    }
}

/// Whether a change stands taken back at a path without the recovery that is undone.
type StaysTaken<'s> = dyn FnMut(&PathChain, ChangeSeq) -> Result<bool, Failure> + 's;

/// Names the other recoveries that took back, too, what the undo of one would bring back: there it stays taken back.
pub fn by_others(
    open: &Open,
    histories: &[History],
    undone: ChangeSeq,
    stays_taken: &mut StaysTaken<'_>,
) -> Result<Option<Finding>, Failure> {
    let (mut paths, mut by) = (BTreeSet::new(), BTreeSet::new());
    for History { path, chain, .. } in histories {
        let taken = chain.words.iter().filter(|(_, one, is_taken)| *one == undone && *is_taken);
        for (change, ..) in taken {
            if stays_taken(chain, *change)? {
                paths.insert(path);
                by.extend(
                    chain.words.iter().filter(|(of, one, is)| of == change && *one != undone && *is).map(|one| one.1),
                );
            }
        }
    }
    let Some(first) = paths.first() else { return Ok(None) };
    let mut ids = Vec::new();
    for seq in by.into_iter().rev() {
        let row = open.catalog.change_at(seq)?.and_then(|row| Some((row.change.recovery_id.clone()?, row)));
        let Some((id, row)) = row else { continue };
        let is_undone = open.catalog.recovery(&id)?.is_some_and(|record| record.undone_by.is_some());
        ids.extend((!is_undone).then_some((id, row)));
    }
    let more = if paths.len() > 1 { format!(" and {} more", paths.len() - 1) } else { String::new() };
    let (by, fix) = match ids.first() {
        Some((newest, row)) => (format!("{newest} took it back, too"), way_back(open, newest, row)?.fix),
        None => ("another recovery took it back, too".to_owned(), "`wfr log` shows what counts".to_owned()),
    };
    let message = format!("what it took back at `{first}`{more} stays taken back: {by}");
    Ok(Some(Finding::new("STAYS_TAKEN_BACK", Severity::Info, message, fix)))
}

/// Names paths at which nothing changes though something is taken back: a directory holds what stays, or later work wrote over
/// it, or made the same again.
pub fn unchanged(gone: &BTreeMap<TreePath, BTreeSet<ChangeSeq>>, plan: &Plan) -> Vec<Finding> {
    let changed: BTreeSet<&TreePath> = plan.steps.iter().map(|step| &step.path).collect();
    let holds =
        |path: &&TreePath| plan.kept.iter().any(|kept| kept.path == **path && kept.reason == KeptReason::NotEmpty);
    let (holding, same): (Vec<&TreePath>, Vec<&TreePath>) =
        gone.keys().filter(|path| !changed.contains(path)).partition(holds);
    let told = |paths: Vec<&TreePath>, why: &str, fix: &str| {
        let first = paths.first()?;
        let more = match paths.len() - 1 {
            0 => "stays as it is".to_owned(),
            more => format!("and {more} more stay as they are"),
        };
        let (message, fix) = (format!("`{first}` {more}: {why}"), format!("`wfr who {first}` shows {fix}"));
        Some(Finding::new("PATH_UNCHANGED", Severity::Info, message, fix))
    };
    let holding = told(holding, "something is in it that stays", "who changed what is in it");
    let same = told(same, "later work wrote over what goes, or made the same again as its own", "whose it is now");
    holding.into_iter().chain(same).collect()
}
