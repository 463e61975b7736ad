//! Which files a selection means, and which its decisions do: a file that moved has several names.
//!
//! Owns under which of them it is considered. Refuses to follow moves itself: that is [`super::moves`].

use std::collections::BTreeSet;

use wfr_catalog::{ChangeSeq, NewPoint, SegmentRow};
use wfr_model::TreePath;

use super::history::History;
use super::moves::Following;
use super::selective::{Selection, goes};
use super::tracks::Fate;
use crate::error::Failure;
use crate::ledger::Veil;
use crate::open::Open;

/// The histories that are meant, each of a file under the name that it has now.
pub fn follow_moves(
    open: &Open,
    veil: &Veil<'_>,
    (histories, unrecorded): (Vec<History>, Option<&NewPoint>),
    selection: &Selection,
    selected: &BTreeSet<ChangeSeq>,
) -> Result<Vec<History>, Failure> {
    let fate = |part: &History, segment: &SegmentRow| match () {
        () if part.chain.is_cancelled(segment.change, None) => Fate::Gone,
        () if goes(part, segment, selected, selection) => Fate::Goes,
        () => Fate::Stays,
    };
    let following = Following { open, veil, unrecorded, fate: &fate };
    let mut histories = following.follow(histories)?;
    histories.retain(|history| history.is_meant_by(&selection.files));
    Ok(histories)
}

/// The files that a decision means, by the names that they have now: also one that is named as it was called once, where nothing
/// else is called so.
pub fn meant<'n>(histories: &[History], named: impl Iterator<Item = &'n TreePath>) -> BTreeSet<TreePath> {
    let mut meant: BTreeSet<TreePath> = named.cloned().collect();
    if !meant.is_empty() {
        let paths: BTreeSet<&TreePath> = histories.iter().map(|history| &history.path).collect();
        let once = |history: &&History| history.names.iter().any(|name| meant.contains(name) && !paths.contains(name));
        let found: Vec<TreePath> = histories.iter().filter(once).map(|history| history.path.clone()).collect();
        meant.extend(found);
    }
    meant
}
