//! The log of events and the ledger of changes, out of seals and of the old catalog.
//!
//! Owns that what a seal holds comes first, since its hash proves it, and that the old catalog gives what is in no seal, or in
//! one that is lost. Refuses to read packs.

use std::collections::{BTreeSet, HashSet};
use std::ops::RangeInclusive;

use wfr_catalog::{
    Catalog, CatalogError, EventQuery, EventRow, EventSeq, Import, LedgerSeal, NewCheckpoint, NewPoint, Part, PointSeq,
    RecoveredEvent, SealedLedger,
};
use wfr_model::{CheckpointId, Digest, Timestamp};
use wfr_store::Store;
use wfr_store::crypto::Cipher;

use super::old::{Old, damaged_is_none};
use super::{RebuildError, unread};
use crate::ledger::{self, faults};
use crate::{missing, state};

/// What became of the events.
pub(super) struct Events {
    /// How many came back.
    pub(super) came: u64,
    /// Seals that cannot be read, and whose events are not in the old catalog either.
    pub(super) seals_lost: u64,
    /// Those of the old catalog that came back from nowhere; `None` where it could not be read.
    pub(super) left: Option<u64>,
    /// Up to where no place is given any more, where nobody can tell which were.
    pub(super) leapt: Option<EventSeq>,
}

/// Brings the events back, in the order of their places. Seals that cannot be read are taken off.
pub(super) fn bring_events_back(
    store: &Store,
    catalog: &Catalog,
    (ordered, imports): (&mut [NewCheckpoint], &mut [Import]),
    old: Option<&Old<'_>>,
    (now, leapt): (Timestamp, Option<EventSeq>),
) -> Result<Events, RebuildError> {
    let seals = ordered.iter().flat_map(|new| &new.seals).chain(imports.iter().flat_map(|import| &import.seals));
    let seals: BTreeSet<(EventSeq, Digest)> = seals.map(|seal| (seal.upto, seal.object)).collect();
    let mut kept = OldEvents { old: old.map(|old| &old.catalog), unread: vec![], is_whole: old.is_some(), came: 0 };
    let (mut came, mut lost, mut after) = (0, HashSet::new(), None);
    let mut places: Vec<RangeInclusive<EventSeq>> = Vec::new();
    for (upto, object) in seals {
        match state::unseal(store, &object) {
            Ok(sealed) => {
                let recovered: Vec<RecoveredEvent> = sealed.into_iter().map(missing::recovered).collect();
                // The checkpoint that named the seal before this one may be lost.
                let first = recovered.first().map_or(upto, |event| event.seq);
                if first.0 > after.map_or(0, |EventSeq(last)| last) + 1 {
                    kept.bring_back(catalog, after, Some(EventSeq(first.0 - 1)))?;
                }
                came += catalog.insert_recovered_events(&recovered)?;
            }
            Err(error) => {
                unread(error)?;
                lost.insert(object);
                places.push(EventSeq(after.map_or(1, |EventSeq(last)| last + 1))..=upto);
                kept.bring_back(catalog, after, Some(upto))?;
            }
        }
        after = Some(upto);
    }
    kept.bring_back(catalog, after, None)?;
    let named = ordered.iter_mut().map(|new| &mut new.seals).chain(imports.iter_mut().map(|import| &mut import.seals));
    named.for_each(|seals| seals.retain(|seal| !lost.contains(&seal.object)));
    let gone = Gone::of(catalog)?;
    let seals_lost = places.iter().filter(|places| gone.is_any(places)).count() as u64;
    let left = kept.unread.iter().filter(|place| gone.is_any(&(**place..=**place))).count() as u64;
    let leapt = kept.end(catalog, now, leapt)?;
    Ok(Events { came: came + kept.came, seals_lost, left: kept.is_whole.then_some(left), leapt })
}

/// What the log of the old catalog still says.
struct OldEvents<'o> {
    old: Option<&'o Catalog>,
    /// Places of those that cannot be read.
    unread: Vec<EventSeq>,
    /// Whether it could be read to the end.
    is_whole: bool,
    /// How many came.
    came: u64,
}

impl OldEvents<'_> {
    /// Brings those back that stand after a place, and up to another one.
    fn bring_back(
        &mut self,
        catalog: &Catalog,
        after: Option<EventSeq>,
        upto: Option<EventSeq>,
    ) -> Result<(), CatalogError> {
        let Some(old) = self.old else { return Ok(()) };
        let query = EventQuery { after, upto, ..EventQuery::default() };
        let mut events = Vec::new();
        let read = old.each_kept_event(&query, |row| {
            match row {
                Ok(EventRow { seq, recorded_at, event, .. }) => events.push(RecoveredEvent { seq, recorded_at, event }),
                Err(row) => self.unread.extend(row.seq()),
            }
            Ok(())
        });
        if damaged_is_none(read)?.is_none() {
            // Where it breaks off nobody can tell what it would have said of the rest.
            self.is_whole = false;
            return Ok(());
        }
        self.came += catalog.insert_recovered_events(&events)?;
        Ok(())
    }

    /// Sees to it that no place is given twice: whoever keeps one would miss what comes. Returns up to where the log leapt, where
    /// the old one does not say how far it went; `before` is up to where the rebuild before leapt.
    fn end(
        &self,
        catalog: &Catalog,
        now: Timestamp,
        before: Option<EventSeq>,
    ) -> Result<Option<EventSeq>, CatalogError> {
        let last =
            self.old.filter(|_| self.is_whole).map(|old| damaged_is_none(old.last_place())).transpose()?.flatten();
        match last {
            Some(last) => catalog.go_on_behind(last).map(|()| None),
            None => catalog.leap(now, before).map(Some),
        }
    }
}

/// Places that have no event.
struct Gone {
    gaps: Vec<RangeInclusive<EventSeq>>,
    last: EventSeq,
}

impl Gone {
    fn of(catalog: &Catalog) -> Result<Self, CatalogError> {
        Ok(Self { gaps: catalog.event_gaps()?, last: catalog.last_event()?.unwrap_or(EventSeq(0)) })
    }

    /// Whether some of these places are among them.
    fn is_any(&self, places: &RangeInclusive<EventSeq>) -> bool {
        let meets = |gap: &RangeInclusive<EventSeq>| gap.start() <= places.end() && places.start() <= gap.end();
        *places.end() > self.last || self.gaps.iter().any(meets)
    }
}

/// Brings the ledger back. Returns how many changes there are then, and how many seals cannot be read or are of another
/// ledger, and are not in the old catalog either. These seals are taken off their checkpoints.
pub(super) fn bring_changes_back(
    store: &Store,
    catalog: &Catalog,
    ordered: &mut [NewCheckpoint],
    old: Option<&Old<'_>>,
    cipher: Option<&Cipher>,
) -> Result<(u64, u64), RebuildError> {
    let known = old.map(|old| old.sealed_ledger(store)).transpose()?.flatten();
    let mut seals: Vec<(CheckpointId, LedgerSeal)> = Vec::new();
    for new in ordered.iter() {
        seals.extend(new.ledger_seals.iter().map(|seal| (new.checkpoint_id.clone(), *seal)));
    }
    let is_known = |seal: &LedgerSeal| known.as_ref().is_none_or(|known| known.contains(&seal.object));
    let (first, later): (Vec<_>, Vec<_>) = seals.into_iter().partition(|(_, seal)| is_known(seal));
    let mut ledger = Ledger { store, catalog, nexts: vec![] };
    let failed = ledger.put_back(first)?;
    let is_old_there = match (old, &known) {
        (Some(old), Some(_)) => old.take(catalog, Part::Ledger)?,
        _ => false,
    };
    // What lacked others that the old one has finds them now, and what it never knew follows it or is of another one.
    let known_ones = failed.len();
    let mut failed = ledger.put_back(failed)?;
    debug_assert!(failed.len() <= known_ones);
    let mut lost = if is_old_there { 0 } else { failed.len() };
    let unknown = ledger.put_back(later)?;
    lost += unknown.len();
    failed.extend(unknown);
    ledger.look_once_more()?;
    if !is_whole(catalog, store, cipher)? {
        // What the next look is compared with is lost: whatever went on from there would be refused.
        lost = ordered.iter_mut().map(|new| std::mem::take(&mut new.ledger_seals).len()).sum::<usize>().max(1);
        catalog.clear_ledger()?;
    }
    let failed: HashSet<Digest> = failed.into_iter().map(|(_, seal)| seal.object).collect();
    ordered.iter_mut().for_each(|new| new.ledger_seals.retain(|seal| !failed.contains(&seal.object)));
    Ok((catalog.count_changes()?, lost as u64))
}

/// Whether the ledger that came back can be relied on.
fn is_whole(catalog: &Catalog, store: &Store, cipher: Option<&Cipher>) -> Result<bool, CatalogError> {
    Ok(catalog.is_sound(Part::Ledger)? && faults::of_catalog(catalog, store, cipher)?.is_empty())
}

/// A ledger that comes back.
struct Ledger<'c> {
    store: &'c Store,
    catalog: &'c Catalog,
    /// Looks that were recorded with checkpoints and have no number yet: of these only the last one is in no later seal.
    nexts: Vec<NewPoint>,
}

impl Ledger<'_> {
    /// Puts the rows of seals back, oldest first. Returns those that cannot be read, or that do not fit.
    fn put_back(
        &mut self,
        seals: Vec<(CheckpointId, LedgerSeal)>,
    ) -> Result<Vec<(CheckpointId, LedgerSeal)>, RebuildError> {
        let mut failed = Vec::new();
        for (checkpoint, seal) in seals {
            let mut sealed = match ledger::unseal(self.store, &seal.object) {
                Ok(sealed) => sealed,
                Err(error) => {
                    unread(error)?;
                    failed.push((checkpoint, seal));
                    continue;
                }
            };
            let next = sealed.next.take();
            if !self.fits(&sealed)? {
                failed.push((checkpoint, seal));
                continue;
            }
            let last = seal.upto;
            self.nexts.retain(|next| next.after >= Some(last));
            self.nexts.extend(next.map(|next| NewPoint { checkpoint_id: Some(checkpoint), ..next }));
        }
        Ok(failed)
    }

    /// Puts rows back; whether they fit.
    fn fits(&self, sealed: &SealedLedger) -> Result<bool, CatalogError> {
        match self.catalog.insert_sealed_ledger(sealed) {
            Ok(()) => Ok(true),
            // It refers to what is not there, or stands where others do.
            Err(
                CatalogError::IdTaken { .. }
                | CatalogError::NotFound { .. }
                | CatalogError::Corrupt { .. }
                | CatalogError::Sqlite { .. },
            ) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Records the look of the last checkpoint, where it follows what came back.
    fn look_once_more(&self) -> Result<(), CatalogError> {
        for next in self.nexts.iter().rev() {
            match self.catalog.commit_point(next, &[]) {
                Ok(PointSeq(_)) => break,
                Err(
                    CatalogError::PointTaken
                    | CatalogError::NotFound { .. }
                    | CatalogError::Corrupt { .. }
                    | CatalogError::Sqlite { .. },
                ) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}
