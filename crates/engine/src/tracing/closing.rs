//! Traced changes that are open: what is known of them now, and which of them nobody will end any more.
//!
//! Owns which notes are a change's own, and which those of the command that left it running. Refuses to commit anything.

use wfr_catalog::{ChangeRow, Closing, NewPoint};
use wfr_model::ChangeId;
use wfr_model::change::{Evidence, Source};

use super::reading::{Asked, Seen, asked, seen};
use crate::error::Failure;
use crate::ledger;
use crate::open::Open;

/// What is known of an open change that is traced.
pub struct Standing {
    /// What its notes say.
    pub seen: Seen,
    /// The change whose command left it running; `None`: it is a command's own.
    pub left_by: Option<ChangeId>,
}

/// What is known of an open change; `None` where it is not traced, or its notes are gone.
pub fn of(open: &Open, row: &ChangeRow) -> Result<Option<Standing>, Failure> {
    if row.change.source != Source::Traced {
        return Ok(None);
    }
    if let Some(seen) = seen(open, &row.change.change_id)? {
        return Ok(Some(Standing { seen, left_by: None }));
    }
    let Some(parent) = row.parent.map(|seq| open.catalog.change_at(seq)).transpose()?.flatten() else {
        return Ok(None);
    };
    let id = parent.change.change_id;
    Ok(seen(open, &id)?.map(|seen| Standing { seen, left_by: Some(id) }))
}

/// Who is traced for an open change, and for which one its command was started; `None` where nobody is, or nothing tells.
pub fn whom(open: &Open, row: &ChangeRow) -> Result<Option<(ChangeId, Asked)>, Failure> {
    let id = row.change.change_id.clone();
    if let Some(asked) = asked(open, &id)? {
        return Ok(Some((id, asked)));
    }
    let parent = row.parent.map(|seq| open.catalog.change_at(seq)).transpose()?.flatten();
    let Some(id) = parent.map(|parent| parent.change.change_id) else { return Ok(None) };
    Ok(asked(open, &id)?.map(|asked| (id, asked)))
}

/// The traced changes of which nobody is left who would end them: whose command was left running, or whose launcher died. It must be
/// asked before a look: what is written while that goes on may escape it.
pub fn over(open: &Open, opened: &[ChangeRow]) -> Result<Vec<ChangeId>, Failure> {
    let mut over = Vec::new();
    for row in opened {
        let Some(Standing { seen, left_by }) = of(open, row)? else { continue };
        if seen.is_over && (left_by.is_some() || !seen.is_held) {
            over.push(row.change.change_id.clone());
        }
    }
    Ok(over)
}

/// Ends, with a look, the traced changes of which nobody was left before it. Returns the changes whose notes serve nobody any more.
pub fn closings(
    open: &Open,
    opened: &[ChangeRow],
    ended: &[ChangeId],
    point: &mut NewPoint,
) -> Result<Vec<ChangeId>, Failure> {
    let mut over = Vec::new();
    for row in opened.iter().filter(|row| ended.contains(&row.change.change_id)) {
        let Some(Standing { seen, left_by }) = of(open, row)? else { continue };
        let id = row.change.change_id.clone();
        if !point.ended.contains(&id) {
            point.ended.push(id.clone());
            let evidence = seen.evidence();
            point.closings.push(match &left_by {
                Some(_) => Closing { confidence: row.change.confidence, ..closing(id.clone(), evidence) },
                None => closing(id.clone(), evidence),
            });
        }
        over.push(left_by.unwrap_or(id));
    }
    Ok(over)
}

/// What a traced change says when it has ended.
pub fn closing(change_id: ChangeId, evidence: Evidence) -> Closing {
    let (source, confidence) = match evidence.degraded_since {
        None => (Source::Traced, ledger::TRACED),
        Some(_) => (Source::Observed, ledger::OBSERVED),
    };
    Closing { change_id, source, confidence, evidence: Some(evidence) }
}
