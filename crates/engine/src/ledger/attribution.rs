//! Whose is what a look found.
//!
//! Owns what becomes of each owner that `capture` names: the change that its segment is recorded with. Refuses to look.

use std::collections::{BTreeMap, BTreeSet};

use wfr_capture::attribute::{Opened, Owner, owner};
use wfr_catalog::{ChangeRow, NewChange, NewPoint, NewSegment};
use wfr_model::change::{Actor, Author, Candidate, Change, Segment, Source};
use wfr_model::entry::Entry;
use wfr_model::{ChangeId, Timestamp, TreePath};

use super::{LIKELY, OBSERVED, Veil};
use crate::error::Failure;
use crate::mint;
use crate::open::Open;
use crate::tracing::{self, Files, Standing};

/// Gives each segment to whom it belongs. Those of nobody in particular get changes of their own.
pub(super) fn attribute(
    open: &Open,
    opened: &[ChangeRow],
    segments: Vec<Segment>,
    point: &mut NewPoint,
) -> Result<(), Failure> {
    let veil = Veil::of(open)?;
    let candidates = candidates(open, &veil, opened, &segments)?;
    let mut made: BTreeMap<Owner, ChangeId> = BTreeMap::new();
    for segment in segments {
        let owner = owner(&segment.path, &candidates);
        let change = match &owner {
            Owner::One(id) => id.clone(),
            other => match made.get(other) {
                Some(id) => id.clone(),
                None => {
                    let change = change_of(other, opened, point.at);
                    let id = change.change_id.clone();
                    // What is likely somebody's is found under the change that they announced.
                    let parent = match other {
                        Owner::Likely(whole, _) => Some(whole.clone()),
                        _ => None,
                    };
                    point.changes.push(NewChange { change, declared: vec![], parent });
                    made.insert(owner.clone(), id.clone());
                    id
                }
            },
        };
        point.segments.push(new_segment(&veil, &segment, change, false)?);
    }
    Ok(())
}

/// A segment as the catalog keeps it.
pub fn new_segment(
    veil: &Veil<'_>,
    segment: &Segment,
    change: ChangeId,
    replayed: bool,
) -> Result<NewSegment, Failure> {
    let entry = |entry: &Option<Entry>| entry.as_ref().map(|entry| veil.entry(entry)).transpose();
    Ok(NewSegment {
        path: veil.path(&segment.path)?,
        change,
        replayed,
        before: entry(&segment.before)?,
        after: entry(&segment.after)?,
    })
}

/// Who was at work, and what is known of where.
fn candidates(
    open: &Open,
    veil: &Veil<'_>,
    opened: &[ChangeRow],
    segments: &[Segment],
) -> Result<Vec<Opened>, Failure> {
    let standings: Vec<Option<Standing>> =
        opened.iter().map(|row| tracing::of(open, row)).collect::<Result<_, Failure>>()?;
    let mut files = Files::new();
    if standings.iter().flatten().any(|standing| standing.seen.has_linked()) {
        let found = segments.iter().filter(|segment| segment.after.is_some());
        files.extend(found.filter_map(|one| Some((&one.path, tracing::file_at(open.root(), &one.path)?))));
    }
    let told = |standing: Standing| standing.seen.told(&files, standing.left_by.is_some());
    let with = |(row, standing): (&ChangeRow, Option<Standing>)| {
        Ok(Opened { told: standing.map(told), ..as_opened(veil, row, opened)? })
    };
    opened.iter().zip(standings).map(with).collect()
}

fn as_opened(veil: &Veil<'_>, row: &ChangeRow, opened: &[ChangeRow]) -> Result<Opened, Failure> {
    let parent = row.parent.and_then(|parent| opened.iter().find(|other| other.seq == parent));
    let declared: Result<Vec<TreePath>, _> = row.declared.iter().map(|text| veil.of_declared(text)).collect();
    Ok(Opened {
        change_id: row.change.change_id.clone(),
        declared: declared?,
        parent: parent.map(|row| row.change.change_id.clone()),
        told: None,
    })
}

/// The change of what belongs to nobody in particular; it ends as it is found.
fn change_of(owner: &Owner, opened: &[ChangeRow], now: Timestamp) -> Change {
    let all: BTreeSet<&ChangeId> = match owner {
        Owner::Shared(ids) | Owner::Unknown(ids) | Owner::Likely(_, ids) => ids.iter().collect(),
        Owner::One(_) | Owner::User => BTreeSet::new(),
    };
    let concerned = opened.iter().map(|row| &row.change).filter(|change| all.contains(&change.change_id));
    let candidates: Vec<Candidate> = concerned
        .map(|change| Candidate { change_id: change.change_id.clone(), author: change.author.clone() })
        .collect();
    let by = |id: &ChangeId| opened.iter().find(|row| row.change.change_id == *id);
    let (actor, source, confidence, author) = match owner {
        Owner::Likely(id, _) => {
            let author = by(id).map(|row| row.change.author.clone()).unwrap_or_default();
            let source = by(id).map_or(Source::Declared, |row| row.change.source.min(Source::Declared));
            (Actor::Agent, source, LIKELY, author)
        }
        Owner::Shared(_) => (Actor::Shared, Source::Observed, 0.0, common(&candidates)),
        Owner::Unknown(_) => (Actor::Unknown, Source::Observed, 0.0, Author::default()),
        Owner::One(_) | Owner::User => (Actor::User, Source::Observed, OBSERVED, Author::default()),
    };
    Change {
        change_id: mint::change(),
        author,
        actor,
        source,
        confidence,
        candidates,
        started_at: now,
        ended_at: Some(now),
        note: None,
        recovery_id: None,
        evidence: None,
    }
}

/// What is true of all candidates: whoever it was, it was for this workflow, this phase, this task.
fn common(candidates: &[Candidate]) -> Author {
    fn same<T: Clone + PartialEq>(candidates: &[Candidate], of: impl Fn(&Author) -> &Option<T>) -> Option<T> {
        let first = candidates.first().map(|one| of(&one.author).clone())?;
        candidates.iter().all(|one| *of(&one.author) == first).then_some(first).flatten()
    }
    Author {
        workflow_id: same(candidates, |author| &author.workflow_id),
        phase_id: same(candidates, |author| &author.phase_id),
        task_id: same(candidates, |author| &author.task_id),
        agent_id: same(candidates, |author| &author.agent_id),
        session_id: same(candidates, |author| &author.session_id),
        tool_call_id: None,
    }
}
