//! Events that the log has lost, or has otherwise than before, and that checkpoints hold: each seals those since the one before.
//!
//! Owns finding them. Refuses to put any back: see [`crate::soundness`] and `repair-state`.

use std::collections::{BTreeMap, BTreeSet};

use wfr_catalog::{DamagedRow, EventQuery, EventSeq, Places, RecoveredEvent};
use wfr_model::event::SealedEvent;
use wfr_model::{Event, Timestamp, WorkflowId};

use crate::error::Failure;
use crate::open::Open;
use crate::state;

/// What was found.
#[derive(Clone, Debug, Default)]
pub struct Missing {
    /// Events that can come back, in the order of their places.
    pub events: Vec<RecoveredEvent>,
    /// Places that no seal covers, or one that cannot be read.
    pub gone: Vec<Places>,
}

/// Looks for the events of a workflow, or of all, at places that have none any more or one that cannot be read. Where
/// there is no such place no seal is read.
pub fn look(open: &Open, workflow: Option<&WorkflowId>, damaged: &BTreeSet<EventSeq>) -> Result<Missing, Failure> {
    let gaps = open.catalog.event_gaps()?;
    let mut missing = Missing { events: vec![], gone: gaps.clone() };
    if gaps.is_empty() && damaged.is_empty() {
        return Ok(missing);
    }
    let store = open.store()?;
    let (mut before, mut held) = (EventSeq(0), BTreeSet::new());
    for seal in open.catalog.seals()? {
        let meets = |gap: &Places| *gap.end() > before && *gap.start() <= seal.upto;
        let covers = |seq: &EventSeq| before < *seq && *seq <= seal.upto;
        if gaps.iter().any(meets) || damaged.iter().any(covers) {
            // One that cannot be read holds nothing.
            for sealed in state::unseal(&store, &seal.object).into_iter().flatten() {
                let seq = EventSeq(sealed.seq);
                let is_gap = is_in(&gaps, seq);
                held.extend(is_gap.then_some(seq));
                let is_asked = workflow.is_none() || sealed.event.workflow_id.as_ref() == workflow;
                // One that was sent again has another place now.
                let is_lost = damaged.contains(&seq) || is_gap && !open.catalog.has_event(&sealed.event.event_id)?;
                if is_asked && is_lost {
                    missing.events.push(recovered(sealed));
                }
            }
        }
        before = seal.upto;
    }
    missing.gone = gaps.iter().flat_map(|gap| without(gap, &held)).collect();
    Ok(missing)
}

/// An event that the log has otherwise than the checkpoint that sealed it.
#[derive(Clone, Debug)]
pub struct Altered {
    /// As the checkpoint holds it.
    pub sealed: RecoveredEvent,
    /// What stands there instead.
    pub stands: DamagedRow,
}

/// Looks for events of a workflow, or of all, that are others by now, or at other places, than checkpoints hold: an event never
/// changes, so somebody changed the row, or it rotted. Reads all seals. Rows that are gone or cannot be read are not looked at: see [`look`].
pub fn altered(open: &Open, workflow: Option<&WorkflowId>) -> Result<Vec<Altered>, Failure> {
    let store = open.store()?;
    let mut altered = Vec::new();
    let mut before = None;
    for seal in open.catalog.seals()? {
        let after = before.replace(seal.upto);
        // One that cannot be read holds nothing.
        let mut sealed = state::unseal(&store, &seal.object).unwrap_or_default();
        sealed.retain(|sealed| workflow.is_none() || sealed.event.workflow_id.as_ref() == workflow);
        if sealed.is_empty() {
            continue;
        }
        let query = EventQuery { after, upto: Some(seal.upto), ..EventQuery::default() };
        let rows = open.catalog.events(&query)?.into_iter().map(|row| (row.seq.0, (row.event, row.recorded_at)));
        let rows: BTreeMap<i64, (Event, Timestamp)> = rows.collect();
        for sealed in sealed {
            let why = match rows.get(&sealed.seq) {
                Some((event, at)) if *event == sealed.event && *at == sealed.recorded_at => continue,
                Some((event, _)) if *event == sealed.event => "it was recorded at another time than the seal says",
                Some(_) => "it says something else than the checkpoint that sealed it",
                None if is_moved(open, &sealed, after)? => "it has another place than in the checkpoint that sealed it",
                None => continue,
            };
            let place = format!("events/{}", sealed.seq);
            let text =
                rows.get(&sealed.seq).and_then(|(event, _)| serde_json::to_string(event).ok()).unwrap_or_default();
            altered
                .push(Altered { stands: DamagedRow { place, why: why.to_owned(), text }, sealed: recovered(sealed) });
        }
    }
    Ok(altered)
}

/// Whether an event is recorded, as of then, and not at its place. One that was sent again is recorded as of later.
fn is_moved(open: &Open, sealed: &SealedEvent, after: Option<EventSeq>) -> Result<bool, Failure> {
    let place = open.catalog.event_place(&sealed.event.event_id)?;
    // Where it had another place in an earlier seal, that one counts: it was sealed again while it stood at the wrong one.
    let is_sealed_before = |seq: EventSeq| seq.0 > 0 && after.is_some_and(|after| seq <= after);
    let is_elsewhere = |seq: EventSeq| seq.0 != sealed.seq && !is_sealed_before(seq);
    Ok(place.is_some_and(|(seq, at)| is_elsewhere(seq) && at == sealed.recorded_at))
}

fn is_in(gaps: &[Places], seq: EventSeq) -> bool {
    let at = gaps.partition_point(|gap| *gap.end() < seq);
    gaps.get(at).is_some_and(|gap| gap.contains(&seq))
}

/// What is left of a gap.
fn without(gap: &Places, held: &BTreeSet<EventSeq>) -> Vec<Places> {
    let (mut left, mut next) = (Vec::new(), *gap.start());
    for seq in held.range(gap.clone()) {
        left.push(next..=EventSeq(seq.0.saturating_sub(1)));
        next = EventSeq(seq.0.saturating_add(1));
    }
    left.push(next..=*gap.end());
    left.retain(|part| !part.is_empty());
    left
}

/// An event as a seal holds it.
pub fn recovered(sealed: SealedEvent) -> RecoveredEvent {
    RecoveredEvent { seq: EventSeq(sealed.seq), recorded_at: sealed.recorded_at, event: sealed.event }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_is_taken_out_of_a_gap() {
        let gap = EventSeq(3)..=EventSeq(6);
        let left = |held: &[i64]| {
            let held = held.iter().map(|seq| EventSeq(*seq)).collect();
            without(&gap, &held).iter().map(|part| (part.start().0, part.end().0)).collect::<Vec<_>>()
        };
        assert_eq!((left(&[]), left(&[2, 7])), (vec![(3, 6)], vec![(3, 6)]));
        assert_eq!((left(&[4]), left(&[3, 6])), (vec![(3, 3), (5, 6)], vec![(4, 5)]));
        assert_eq!(left(&[3, 4, 5, 6]), []);
    }
}
