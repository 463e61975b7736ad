//! Whose is what a look found.
//!
//! Owns what becomes of each owner that `capture` names: the change that its segment is recorded with. Refuses to look.

use std::collections::{BTreeMap, BTreeSet};

use wfr_capture::attribute::{Opened, Owner, Told, owner};
use wfr_catalog::{ChangeRow, NewChange, NewPoint, NewSegment};
use wfr_model::change::{Actor, Author, Candidate, Change, Segment, Source};
use wfr_model::entry::Entry;
use wfr_model::{ChangeId, Timestamp, TreePath};
use wfr_store::Sink;

use super::turns::{By, Turns};
use super::{LIKELY, OBSERVED, Veil, is_same};
use crate::error::Failure;
use crate::mint;
use crate::open::Open;
use crate::tracing::{self, Files, Standing};

/// Stamps are older than they say by this, at most, in nanoseconds.
const TICK: i64 = 10_000_000;

/// Paths at which somebody left something since a traced change began, before that wrote there: it may be gone without a trace.
pub(super) fn left_before(open: &Open, opened: &[ChangeRow]) -> Result<BTreeSet<TreePath>, Failure> {
    let mut found = BTreeSet::new();
    for row in opened {
        let Some(Standing { seen, .. }) = tracing::of(open, row)? else { continue };
        found.extend(seen.before.into_keys().chain(seen.takes.into_keys()));
    }
    Ok(found)
}

/// Gives each segment to whom it belongs. Those of nobody in particular get changes of their own; those at which nothing is
/// different are left out.
///
/// What others left at a path since a traced change began, before that wrote there, becomes a segment of its own where it can be
/// stored in `sink`, and so does what each of several traced changes left to the next one: those are in the points that are returned,
/// which come before the other one. Where it cannot, nothing tells them apart.
pub(super) fn attribute(
    open: &Open,
    opened: &[ChangeRow],
    segments: Vec<Segment>,
    point: &mut NewPoint,
    sink: Option<&dyn Sink>,
) -> Result<Vec<NewPoint>, Failure> {
    let veil = Veil::of(open)?;
    let standings = opened.iter().map(|row| tracing::of(open, row)).collect::<Result<Vec<_>, Failure>>()?;
    let candidates = candidates(open, &veil, opened, &segments, &standings)?;
    let before = Befores { open, veil: &veil, opened, standings: &standings, sink };
    let turns = sink.map(|sink| Turns { open, opened, standings: &standings, sink, since: point.after });
    let mut earlier: Vec<(NewPoint, BTreeMap<Owner, ChangeId>)> = Vec::new();
    let mut made = BTreeMap::new();
    for segment in segments {
        let mut pieces = pieces(segment, &candidates, turns.as_ref(), &before)?;
        let last = pieces.pop();
        for (at, (owner, segment)) in pieces.into_iter().enumerate() {
            if earlier.len() == at {
                earlier.push((NewPoint::new(point.after, point.at), BTreeMap::new()));
            }
            let (point, made) = &mut earlier[at];
            let change = change_for(&owner, opened, point, made);
            point.segments.push(new_segment(&veil, &segment, change, false)?);
        }
        if let Some((owner, segment)) = last {
            let change = change_for(&owner, opened, point, &mut made);
            point.segments.push(new_segment(&veil, &segment, change, false)?);
        }
    }
    Ok(earlier.into_iter().map(|(point, _)| point).collect())
}

/// The pieces of what is different at a path, and to whom each belongs; none where nothing is.
fn pieces(
    segment: Segment,
    candidates: &[Opened],
    turns: Option<&Turns<'_>>,
    before: &Befores<'_>,
) -> Result<Vec<(Owner, Segment)>, Failure> {
    let owner = owner(&segment.path, candidates);
    let without = |ids: &[ChangeId]| {
        let others: Vec<Opened> = candidates.iter().filter(|one| !ids.contains(&one.change_id)).cloned().collect();
        wfr_capture::attribute::owner(&segment.path, &others)
    };
    let (mut pieces, mut sharing) = (Vec::new(), None);
    if let (Owner::Shared(ids), Some(turns)) = (&owner, turns)
        && let Some(found) = turns.pieces(&segment, ids, candidates)?
    {
        sharing = Some(ids.clone());
        pieces.extend(found.into_iter().map(|(by, segment)| match by {
            By::Others => (without(ids), segment),
            By::These(ids) if ids.len() == 1 => (Owner::One(ids.into_iter().next().expect("one")), segment),
            By::These(ids) => (Owner::Shared(ids.into_iter().collect()), segment),
        }));
    }
    if pieces.is_empty() {
        pieces.push((owner, segment.clone()));
    }
    let (first, of_first) = pieces[0].clone();
    if let Owner::One(id) = first {
        match before.of(&id, &of_first)? {
            Found::None => {}
            Found::Untold => pieces[0].0 = Owner::Unknown(vec![id]),
            Found::Entry(entry) => {
                pieces[0].1.before = Some(entry.clone());
                let writers = sharing.unwrap_or_else(|| vec![id]);
                pieces.insert(0, (without(&writers), Segment { after: Some(entry), ..of_first }));
            }
        }
    }
    pieces.retain(|(_, segment)| !is_same(segment.before.as_ref(), segment.after.as_ref()));
    Ok(pieces)
}

/// The change that a segment of this owner is recorded with, which is made where it is nobody's in particular.
fn change_for(
    owner: &Owner,
    opened: &[ChangeRow],
    point: &mut NewPoint,
    made: &mut BTreeMap<Owner, ChangeId>,
) -> ChangeId {
    if let Owner::One(id) = owner {
        return id.clone();
    }
    if let Some(id) = made.get(owner) {
        return id.clone();
    }
    let change = change_of(owner, opened, point.at);
    let id = change.change_id.clone();
    // What is likely somebody's is found under the change that they announced.
    let parent = match owner {
        Owner::Likely(whole, _) => Some(whole.clone()),
        _ => None,
    };
    point.changes.push(NewChange { change, declared: vec![], parent });
    made.insert(owner.clone(), id.clone());
    id
}

/// What others left where a traced change wrote later.
struct Befores<'o> {
    open: &'o Open,
    veil: &'o Veil<'o>,
    opened: &'o [ChangeRow],
    standings: &'o [Option<Standing>],
    sink: Option<&'o dyn Sink>,
}

/// Whether others left something at a path before a traced change wrote there.
enum Found {
    /// Nobody did, or it is in the ledger.
    None,
    /// This.
    Entry(Entry),
    /// Something that was not saved.
    Untold,
}

impl Befores<'_> {
    fn of(&self, id: &ChangeId, segment: &Segment) -> Result<Found, Failure> {
        let own = self.opened.iter().zip(self.standings).find(|(row, _)| row.change.change_id == *id);
        let Some((row, Some(standing))) = own else { return Ok(Found::None) };
        let Some(before) = standing.seen.before.get(&segment.path) else { return Ok(Found::None) };
        if self.has_written(row, &segment.path)? {
            return Ok(Found::None);
        }
        let Some(sink) = self.sink else { return Ok(Found::Untold) };
        let like = segment.before.as_ref().or(segment.after.as_ref());
        Ok(match before.entry(&segment.path, like, sink)? {
            Some(entry) if is_same(segment.before.as_ref(), Some(&entry)) => Found::None,
            Some(entry) => Found::Entry(entry),
            None => Found::Untold,
        })
    }

    /// Whether the ledger has anything at a path that a change did, or may have done: then it is over what was there before.
    fn has_written(&self, row: &ChangeRow, path: &TreePath) -> Result<bool, Failure> {
        let Some(chain) = self.open.catalog.chain_at(&self.veil.path(path)?.key)? else { return Ok(false) };
        for segment in chain.segments.iter().filter(|segment| segment.change >= row.seq) {
            if segment.change == row.seq {
                return Ok(true);
            }
            let Some(other) = self.open.catalog.change_at(segment.change)? else { continue };
            let is_candidate = other.change.candidates.iter().any(|one| one.change_id == row.change.change_id);
            if is_candidate || other.parent == Some(row.seq) {
                return Ok(true);
            }
        }
        Ok(false)
    }
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
    standings: &[Option<Standing>],
) -> Result<Vec<Opened>, Failure> {
    let mut files = Files::new();
    if standings.iter().flatten().any(|standing| standing.seen.has_linked()) {
        let found = segments.iter().filter(|segment| segment.after.is_some());
        files.extend(found.filter_map(|one| Some((&one.path, tracing::file_at(open.root(), &one.path)?))));
    }
    let with = |(row, standing): (&ChangeRow, &Option<Standing>)| {
        let told = standing.as_ref().map(|standing| {
            let told = standing.seen.told(&files, standing.left_by.is_some());
            Told { earlier: earlier(open, segments, row, &told), ..told }
        });
        Ok(Opened { told, ..as_opened(veil, row, opened)? })
    };
    opened.iter().zip(standings).map(with).collect()
}

/// Paths at which something new was found whose stamps, or those of the directory that it is gone from, are older than a change: no look
/// was made when that began. Where all was seen, what moved with a directory and was known where it had been is no such one.
fn earlier(open: &Open, segments: &[Segment], row: &ChangeRow, told: &Told) -> BTreeSet<TreePath> {
    let began = row.change.started_at.0.saturating_sub(TICK);
    let is_earlier = |path: &TreePath| tracing::changed_at(open.root(), path).is_some_and(|changed| changed < began);
    let moved = |segment: &Segment| {
        let is_known =
            |other: &Segment| other.before.as_ref().zip(segment.after.as_ref()).is_some_and(|(a, b)| a.node == b.node);
        segment.after.is_some() && told.wrote(&segment.path) && !segments.iter().any(is_known)
    };
    let asked = segments.iter().filter(|segment| !told.is_whole || (!told.moved.is_empty() && moved(segment)));
    asked.map(|segment| &segment.path).filter(|path| is_earlier(path)).cloned().collect()
}

fn as_opened(veil: &Veil<'_>, row: &ChangeRow, opened: &[ChangeRow]) -> Result<Opened, Failure> {
    let parent = row.parent.and_then(|parent| opened.iter().find(|other| other.seq == parent));
    let declared: Result<Vec<TreePath>, _> = row.declared.iter().map(|text| veil.of_declared(text)).collect();
    Ok(Opened {
        change_id: row.change.change_id.clone(),
        declared: declared?,
        is_exact: row.change.source == Source::Declared && row.change.author.tool_call_id.is_some(),
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
pub fn common(candidates: &[Candidate]) -> Author {
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
