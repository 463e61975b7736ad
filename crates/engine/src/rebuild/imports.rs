//! What the marks of imports say of the manifests in the packs.
//!
//! Owns which of them were made in another vault, in which order they stand, and where the events are that came with them.
//! Refuses to read packs. Checkpoints that an earlier version imported have no mark, and count as own ones.

use std::collections::HashMap;

use wfr_catalog::{Import, NewCheckpoint, Seal, Seq};
use wfr_model::imported::{ImportMark, MARK_VERSION};
use wfr_model::{CheckpointId, Digest};

/// The marks that the packs hold.
#[derive(Default)]
pub struct Marks {
    /// The marks.
    pub imports: Vec<Import>,
    /// What they name, with its place.
    places: HashMap<(CheckpointId, Digest), i64>,
}

impl Marks {
    /// Adds one from its object; one that this version cannot read says nothing.
    pub fn add(&mut self, object: Digest, bytes: &[u8]) {
        let Ok(mark) = serde_json::from_slice::<ImportMark>(bytes) else { return };
        if mark.format_version != MARK_VERSION {
            return;
        }
        let (place, checkpoints) = (Seq(mark.place), mark.checkpoints.len());
        for (one, place) in mark.checkpoints.into_iter().zip(mark.place..) {
            // An import that never ended may have named it before: the later one counts, and stands before.
            let known = self.places.entry((one.checkpoint_id, one.manifest)).or_insert(place);
            *known = place.min(*known);
        }
        let seals = mark.sealed_events.iter().map(Seal::of).collect();
        self.imports.push(Import { object, place, checkpoints, seals });
    }

    /// Parts what was imported, in its order and without another vault's numbers, from what was taken here.
    pub fn part(&self, manifests: Vec<NewCheckpoint>) -> (Vec<NewCheckpoint>, Vec<NewCheckpoint>) {
        let place = |new: &NewCheckpoint| self.places.get(&(new.checkpoint_id.clone(), new.manifest)).copied();
        let (foreign, own): (Vec<_>, Vec<_>) = manifests.into_iter().partition(|new| place(new).is_some());
        let mut foreign: Vec<NewCheckpoint> = foreign.into_iter().map(NewCheckpoint::without_seals).collect();
        foreign.sort_by_cached_key(|new| (place(new), new.created_at, new.checkpoint_id.clone()));
        (foreign, own)
    }
}
