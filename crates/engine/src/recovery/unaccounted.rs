//! What stands at a path though it does not count there: somebody brought back what had been taken back, by a checkout, a stash
//! or by hand, and nobody asks for it now.
//!
//! Owns that it stays: what a plan does to what counts is done to what stands. Refuses to know what counts, and to find out who
//! brought it.

use wfr_model::entry::Content;
use wfr_recovery::merge::Unit;
use wfr_recovery::replay::{By, Chain, Conflict, Edit, Mark, Replayed, Version, from_store, replay, replay_from};
use wfr_store::object::hash;
use wfr_store::{Objects, ReadError};

use super::history::History;

/// What a path becomes, or a conflict with the chain of which it speaks, where that is not the path's own.
pub type Found = Result<Version, (Option<Chain>, Box<Conflict>)>;

/// What `wanted` is to be so that what stands and does not count stays; `None` where all that stands counts, or where that
/// cannot be told. `counts` is the path's chain with marks of what counts now, all else aside; contents that no version has are
/// in `texts`, and are added to it.
///
/// Errors: what the store says.
pub fn kept(
    objects: &dyn Objects,
    unit: Unit,
    (history, counts): (&History, &Chain),
    (wanted, texts): (&Version, &mut Vec<Vec<u8>>),
) -> Result<Option<Found>, ReadError> {
    // Of one that gave way the deletion that counts follows from what goes.
    let is_known = history.is_there && !history.gave_way;
    if !is_known || counts.edits.iter().all(|edit| edit.mark == Mark::Kept) {
        return Ok(None);
    }
    let stands = counts.version(counts.last());
    let Replayed { outcome, .. } = replay_from(counts, unit, objects)?;
    let mut made = Vec::new();
    let Ok(base) = outcome.settled(counts, &mut made) else { return Ok(None) };
    if is_alike(&base, stands) {
        return Ok(None);
    }
    let edits = [(Mark::Removed, base), (Mark::Kept, stands.clone())];
    let edits = edits.map(|(mark, after)| Edit { mark, by: By::Recovery, after }).to_vec();
    let chain = Chain { first: wanted.clone(), edits };
    let known = texts.iter().chain(&made).cloned().map(|text| (hash(&text), text)).collect::<Vec<_>>();
    let read = |content: &Content| match known.iter().find(|(id, _)| *id == content.hash) {
        Some((_, text)) => Ok(text.clone()),
        None => from_store(objects)(content),
    };
    let Replayed { outcome, .. } = replay(&chain, unit, &read)?;
    Ok(Some(outcome.settled(&chain, texts).map_err(|conflict| (Some(chain), conflict))))
}

/// Whether two versions are the same, under the same name.
pub fn is_alike(one: &Version, other: &Version) -> bool {
    let name = |version: &Version| version.as_ref().map(|entry| entry.name.clone());
    wfr_capture::slice::is_same(one.as_ref(), other.as_ref()) && name(one) == name(other)
}
