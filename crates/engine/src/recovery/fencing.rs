//! Writers beside a recovery: whose it is about, and what is said of them.
//!
//! Owns whom `--stop-writers` means. Refuses to end anybody: the operations do, before they choose and plan.

use std::collections::BTreeSet;

use wfr_catalog::ChangeRow;
use wfr_model::ChangeId;
use wfr_model::finding::{Finding, Severity};
use wfr_model::recovery::RecoveryRecord;

use super::{Order, verdicts};
use crate::error::Failure;
use crate::open::Open;
use crate::writers::{self, Writer};

/// The code of a finding that somebody may still write whom nobody ends.
pub const ORPHAN_WRITES: &str = "ORPHAN_WRITES";

/// The code of a finding that somebody would be ended.
pub const WRITER_ENDS: &str = "WRITER_ENDS";

/// So many writers are named.
const NAMED_MAX: usize = 10;

/// Whose writers a recovery means.
#[derive(Clone, Debug)]
pub enum Meant {
    /// All: it goes from one tree to another.
    All,
    /// Those of changes that are taken back or brought back, and the orphans of their sessions.
    Of {
        /// The changes.
        changes: BTreeSet<ChangeId>,
        /// Their sessions.
        sessions: BTreeSet<String>,
    },
}

impl Meant {
    /// The writers of changes.
    pub fn of_changes<'c>(rows: impl IntoIterator<Item = &'c ChangeRow>) -> Self {
        let (mut changes, mut sessions) = (BTreeSet::new(), BTreeSet::new());
        for row in rows {
            changes.insert(row.change.change_id.clone());
            sessions.extend(row.change.author.session_id.clone());
        }
        Self::Of { changes, sessions }
    }

    /// Those of what an undo of a recovery brings back.
    pub fn of_undo(open: &Open, undone: &RecoveryRecord) -> Result<Self, Failure> {
        let mut at = Some(undone.clone());
        while let Some(record) = at {
            if let Some(taken) = verdicts::taken(&record.parameters) {
                let rows = taken.changes.iter().filter_map(|id| open.catalog.change(id).transpose());
                return Ok(Self::of_changes(&rows.collect::<Result<Vec<_>, _>>()?));
            }
            at = record.undoes.map(|id| open.catalog.recovery(&id)).transpose()?.flatten();
        }
        Ok(Self::All)
    }

    fn of_order(open: &Open, order: &Order) -> Result<Self, Failure> {
        match (&order.selection, &order.undoes) {
            (Some(selection), _) => Ok(Self::of_changes(&selection.changes)),
            (None, Some(undone)) => Self::of_undo(open, undone),
            (None, None) => Ok(Self::All),
        }
    }

    /// Whether a change is named.
    pub fn names(&self, id: &ChangeId) -> bool {
        matches!(self, Self::Of { changes, .. } if changes.contains(id))
    }

    /// Whether a writer is one of them.
    pub fn has(&self, writer: &Writer) -> bool {
        let Self::Of { changes, sessions } = self else { return true };
        // Of a session that nobody leads any more nothing goes on that anybody waits for.
        let of_session = || writer.author.session_id.as_ref().is_some_and(|session| sessions.contains(session));
        writer.changes.iter().any(|id| changes.contains(id)) || writer.has_lost_client && of_session()
    }
}

/// What is to be said of writers beside a plan: who would be ended, and which orphans go on.
pub(super) fn findings(open: &Open, order: &Order) -> Result<Vec<Finding>, Failure> {
    let writers = writers::find(open)?.writers;
    if writers.is_empty() {
        return Ok(vec![]);
    }
    let meant = Meant::of_order(open, order)?;
    let mut found: Vec<Finding> = writers.iter().filter_map(|writer| finding(writer, &meant, order)).collect();
    let more = found.len().saturating_sub(NAMED_MAX);
    if more > 0 {
        found.truncate(NAMED_MAX);
        let message = format!("{more} more processes may still write");
        found.push(Finding::new(ORPHAN_WRITES, Severity::Warning, message, "`wfr status` shows them all"));
    }
    Ok(found)
}

fn finding(writer: &Writer, meant: &Meant, order: &Order) -> Option<Finding> {
    let (is_meant, name) = (meant.has(writer), writer.named());
    if order.stop_writers && is_meant && !writer.is_spared() {
        let message = format!("{name} may still write, and is ended before anything is changed");
        return Some(Finding::new(WRITER_ENDS, Severity::Info, message, "leave out `--stop-writers` to let it be"));
    }
    if writer.is_orphan != Some(true) {
        return None;
    }
    let message = format!("{name} may still write: whoever started it is dead");
    let fix = if is_meant {
        "`--stop-writers` ends it before anything is changed".to_owned()
    } else {
        format!("it is not of what this is about, and goes on: `kill -KILL {}` ends it", writer.id.pid)
    };
    Some(Finding::new(ORPHAN_WRITES, Severity::Warning, message, fix))
}
