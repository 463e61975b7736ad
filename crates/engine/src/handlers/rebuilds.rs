//! What `doctor` says of a rebuild of the catalog, and of what earlier ones did not find.
//!
//! Owns the words. Refuses to rebuild.

use wfr_catalog::{EventSeq, Left};
use wfr_model::finding::{Finding, Severity};

use super::{care, shown};
use crate::error::Failure;
use crate::open::Open;
use crate::rebuild::{self, Lost, Rebuilt};

/// How lost checkpoints come back.
const COME_BACK: &str =
    "put back the store's packs from a copy and rebuild again, or `wfr import` an archive of `backup-state`";

/// All that a rebuild has to say.
pub(super) fn findings(rebuilt: &Rebuilt, findings: &mut Vec<Finding>) {
    let all = [
        lost(rebuilt),
        renamed(rebuilt),
        seals_lost(rebuilt),
        events_left(rebuilt),
        ledgers_lost(rebuilt),
        left(rebuilt),
    ];
    findings.extend(all.into_iter().flatten());
}

/// What earlier rebuilds did not find again, and nobody has given up.
pub(super) fn lost_before(open: &Open, now: Option<&Rebuilt>, findings: &mut Vec<Finding>) -> Result<(), Failure> {
    let is_told = |one: &Lost| now.is_some_and(|rebuilt| rebuilt.lost.contains(one));
    for mut still in rebuild::still_lost(&open.catalog)? {
        still.lost.retain(|one| !is_told(one));
        let Some((count, plural, names)) = told(&still.lost) else { continue };
        let kept = still.kept.map(|path| shown(&path));
        let known = kept.as_ref().map(|path| format!("; the catalog that knew is kept at {path}")).unwrap_or_default();
        let message =
            format!("{count} checkpoint{plural} that a rebuild did not find again are lost still: {names}{known}");
        let given_up = kept.map(|path| format!("; who gives them up removes {path}")).unwrap_or_default();
        findings.push(Finding::new("CHECKPOINTS_LOST", Severity::Warning, message, format!("{COME_BACK}{given_up}")));
    }
    Ok(())
}

/// How many they are, the ending of their noun, and their names; `None` where there is none.
fn told(lost: &[Lost]) -> Option<(usize, &'static str, String)> {
    let names: Vec<String> = lost.iter().map(|one| one.name.clone()).collect();
    (!names.is_empty()).then(|| (names.len(), if names.len() == 1 { "" } else { "s" }, care::named(&names)))
}

/// Where the old catalog is, all its files; `None` where there was none.
fn kept(rebuilt: &Rebuilt) -> Option<String> {
    let files: Vec<String> = rebuilt.put_aside.iter().map(|path| shown(path)).collect();
    (!files.is_empty()).then(|| files.join(", "))
}

/// What a rebuild did not find again.
fn lost(rebuilt: &Rebuilt) -> Option<Finding> {
    let (count, plural, names) = told(&rebuilt.lost)?;
    let kept = kept(rebuilt).map(|files| format!("; the catalog that knew is kept at {files}")).unwrap_or_default();
    let message = format!("{count} checkpoint{plural} known before cannot be found in the packs: {names}{kept}");
    Some(Finding::new("CHECKPOINTS_LOST", Severity::Critical, message, COME_BACK))
}

/// What a rebuild brought back under another name.
fn renamed(rebuilt: &Rebuilt) -> Option<Finding> {
    let each = |one: &rebuild::Renamed| format!("{} ({}) is now {}", one.checkpoint_id, one.from, one.to);
    let names: Vec<String> = rebuilt.renamed.iter().map(each).collect();
    let plural = if names.len() == 1 { "" } else { "s" };
    let message = format!(
        "{} checkpoint{plural} came back under another name, since a later one has it: {}",
        names.len(),
        care::named(&names)
    );
    let fix = "nothing is to be done: such were deleted before, or never acknowledged; `wfr cleanup-checkpoints` removes \
               what no rule keeps";
    (!names.is_empty()).then(|| Finding::new("CHECKPOINTS_RENAMED", Severity::Warning, message, fix))
}

/// Events that a rebuild did not find again.
fn seals_lost(rebuilt: &Rebuilt) -> Option<Finding> {
    let count = rebuilt.seals_lost;
    let plural = if count == 1 { "" } else { "s" };
    let message = format!("{count} object{plural} with events cannot be read: the states lack what these events said");
    let fix =
        "put back the store's packs from a copy and rebuild again, or restore a checkpoint: it holds its own state";
    (count > 0).then(|| Finding::new("EVENTS_LOST", Severity::Critical, message, fix))
}

/// Events of the old catalog that no checkpoint holds and that cannot be read there either.
fn events_left(rebuilt: &Rebuilt) -> Option<Finding> {
    let what = match rebuilt.events_left {
        Some(0) => return None,
        Some(1) => "an event".to_owned(),
        Some(count) => format!("{count} events"),
        None => "events since the last checkpoint".to_owned(),
    };
    // Without an old catalog nothing was left in it.
    let kept = kept(rebuilt)?;
    let message = format!("{what} did not come back: no checkpoint holds them, and they cannot be read in {kept}");
    let said = "what a person can still read in that file can be said again with `wfr event`".to_owned();
    let fix = goes_on(rebuilt).into_iter().fold(said, |said, goes_on| format!("{said}; {goes_on}"));
    Some(Finding::new("EVENTS_LOST", Severity::Warning, message, fix))
}

/// Changes that a rebuild did not find again.
fn ledgers_lost(rebuilt: &Rebuilt) -> Option<Finding> {
    let count = rebuilt.ledgers_lost;
    let plural = if count == 1 { "" } else { "s" };
    let message = format!(
        "{count} part{plural} of the ledger cannot be read, or went on from another one: whose the work in it was, nothing tells"
    );
    let fix = "nothing is to be done where the checkpoints came from another store; else put back the store's packs from a copy and rebuild again";
    (count > 0).then(|| Finding::new("CHANGES_LOST", Severity::Warning, message, fix))
}

/// How the log goes on where nobody can tell how far it went.
fn goes_on(rebuilt: &Rebuilt) -> Option<String> {
    let EventSeq(place) = rebuilt.leapt?;
    Some(format!(
        "what a sender still knows it can send again; new events stand behind place {place}, beyond all that was given, so whoever \
         keeps a place gets them"
    ))
}

/// What stood in the old catalog alone and did not come.
fn left(rebuilt: &Rebuilt) -> Option<Finding> {
    let all = || {
        "events since the last checkpoint, and with them what they said of workflows and their states, or whole workflows, changes \
         of the ledger since the last checkpoint, recoveries, messages and recorded answers, places of sinks, items put \
         aside, holds, the audit trail"
            .to_owned()
    };
    let each = |one: &Left| match one.count {
        Some(count) => format!("{count} {}", one.what),
        None => format!("an unknown number of {}", one.what),
    };
    let what = match &rebuilt.left {
        Some(none) if none.is_empty() => return None,
        Some(left) => left.iter().map(each).collect::<Vec<_>>().join(", "),
        None => all(),
    };
    let kept = kept(rebuilt).map(|files| format!("; the catalog that had them is kept at {files}")).unwrap_or_default();
    let message = format!(
        "no checkpoint seals these, and the old catalog could not be relied on for them, so they did not come back: {what}{kept}"
    );
    let lacks = |table: &str| rebuilt.left.as_ref().is_none_or(|left| left.iter().any(|one| one.what == table));
    let mut fixes: Vec<String> = goes_on(rebuilt).filter(|_| rebuilt.left.is_none()).into_iter().collect();
    let mut then = |fix: &str| fixes.push(fix.to_owned());
    if lacks("recoveries") {
        then("these recoveries cannot be undone by `wfr undo`, but their safety checkpoints are there");
    }
    if lacks("changes of the ledger") {
        then("what these changes did stands in the files, and a rollback does not take it back");
    }
    if lacks("places of sinks") {
        then("sinks begin where their `from` says, so what they had may come again under its id");
    }
    if lacks("messages and recorded answers") {
        then("requests are answered anew");
    }
    if lacks("holds") {
        then("who held something takes its hold again");
    }
    let fix = if fixes.is_empty() { "nothing is to be done".to_owned() } else { fixes.join("; ") };
    Some(Finding::new("UNSEALED_LOST", Severity::Warning, message, fix))
}
