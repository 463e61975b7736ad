//! Which files a selection means, and which its decisions do: a file that moved has several names.
//!
//! Owns under which of them it is considered. Refuses to follow moves itself: that is [`super::moves`].

use std::collections::BTreeSet;

use wfr_catalog::{ChangeSeq, NewPoint, PathChain, SegmentRow};
use wfr_model::TreePath;

use super::history::History;
use super::moves::Following;
use super::selective::{Decisions, Selection};
use super::tracks::Fate;
use crate::error::Failure;
use crate::ledger::Veil;
use crate::open::Open;

/// The histories that are meant, each of a file under the name that it has now, but where something is to come to one of its names
/// by decision: that is meant for this one.
pub fn follow_moves(
    open: &Open,
    veil: &Veil<'_>,
    (histories, unrecorded): (Vec<History>, Option<&NewPoint>),
    selection: &Selection,
    selected: &BTreeSet<ChangeSeq>,
) -> Result<Vec<History>, Failure> {
    let Decisions { theirs, resolved, .. } = &selection.decisions;
    let is_decided = |path: &TreePath| {
        theirs.contains(path)
            || resolved.contains_key(path)
            || selection.spared.iter().any(|(_, spared)| spared == path)
    };
    let goes = |segment: &SegmentRow| {
        selected.contains(&segment.change) && selection.after.is_none_or(|after| segment.point > after)
    };
    let fate = |chain: &PathChain, segment: &SegmentRow| match () {
        () if chain.is_cancelled(segment.change, None) => Fate::Gone,
        () if goes(segment) => Fate::Goes,
        () => Fate::Stays,
    };
    let following = Following { open, veil, unrecorded, fate: &fate, is_decided: &is_decided };
    let mut histories = following.follow(histories)?;
    histories.retain(|history| history.is_meant_by(&selection.files));
    Ok(histories)
}

/// Paths that stay as they are by decision: also of a file that is named as it was called once, where nothing else is called so.
pub fn staying(histories: &[History], decisions: &Decisions) -> BTreeSet<TreePath> {
    let mut staying: BTreeSet<TreePath> = decisions.ours.iter().cloned().collect();
    if !staying.is_empty() {
        let paths: BTreeSet<&TreePath> = histories.iter().map(|history| &history.path).collect();
        let is_meant = |name: &TreePath| decisions.ours.contains(name) && !paths.contains(name);
        let meant = histories.iter().filter(|history| history.names.iter().any(is_meant));
        staying.extend(meant.map(|history| history.path.clone()));
    }
    staying
}
