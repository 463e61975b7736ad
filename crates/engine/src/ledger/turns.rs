//! Paths that several traced commands wrote, one after the other, between two looks.
//!
//! Owns which pieces such a path's change is made of. Refuses to know to whom a piece belongs that no traced command wrote.

use std::collections::BTreeSet;

use wfr_capture::attribute::Opened;
use wfr_catalog::{ChangeRow, PointSeq};
use wfr_model::change::Segment;
use wfr_model::entry::Entry;
use wfr_model::{ChangeId, TreePath};
use wfr_store::Sink;

use crate::error::Failure;
use crate::open::Open;
use crate::tracing::{self, Standing, State};

/// Whose a piece is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum By {
    /// One of these: it cannot be told which where there are several.
    These(BTreeSet<ChangeId>),
    /// Somebody's who was there before any of those that share the path.
    Others,
}

/// Who was at work between two looks, and what they noted.
pub(super) struct Turns<'o> {
    pub(super) open: &'o Open,
    pub(super) opened: &'o [ChangeRow],
    pub(super) standings: &'o [Option<Standing>],
    pub(super) sink: &'o dyn Sink,
    /// The look before.
    pub(super) since: Option<PointSeq>,
}

impl Turns<'_> {
    /// The pieces of a path's change, in their order, where `sharing` are known to have written it one after the other. `None` where that is
    /// not known.
    pub(super) fn pieces(
        &self,
        segment: &Segment,
        sharing: &[ChangeId],
        candidates: &[Opened],
    ) -> Result<Option<Vec<(By, Segment)>>, Failure> {
        if !sharing.iter().all(|id| self.tells(id, &segment.path, candidates)) {
            return Ok(None);
        }
        let seen: Vec<_> = self.standings.iter().map(|standing| standing.as_ref().map(|one| &one.seen)).collect();
        let Some((first, takes)) = tracing::chain(
            &seen,
            &tracing::paths_key(self.open.cipher().map(AsRef::as_ref)),
            &segment.path,
            self.since,
        ) else {
            return Ok(None);
        };
        let mut by = self.change(first).map_or(By::Others, |id| By::These([id].into()));
        let mut pieces = Vec::new();
        let mut before = segment.before.clone();
        for (writer, state) in takes {
            let Some(id) = self.change(writer) else { return Ok(None) };
            match self.entry(state, segment)? {
                Some(after) => {
                    pieces.push((by, Segment { before, after: after.clone(), ..segment.clone() }));
                    (by, before) = (By::These([id].into()), after);
                }
                None => match &mut by {
                    By::These(ids) => drop(ids.insert(id)),
                    By::Others => return Ok(None),
                },
            }
        }
        pieces.push((by, Segment { before, ..segment.clone() }));
        Ok(Some(pieces))
    }

    /// The open change with a number among those that write.
    fn change(&self, writer: u32) -> Option<ChangeId> {
        let mut all = self.opened.iter().zip(self.standings);
        let is_it = |standing: &Standing| standing.left_by.is_none() && standing.seen.writer == writer && writer != 0;
        all.find(|(_, standing)| standing.as_ref().is_some_and(is_it)).map(|(row, _)| row.change.change_id.clone())
    }

    /// Whether all that a change did at a path is told: by itself, under that name.
    fn tells(&self, id: &ChangeId, path: &TreePath, candidates: &[Opened]) -> bool {
        let at = self.opened.iter().position(|row| row.change.change_id == *id);
        let Some(Some(standing)) = at.map(|at| &self.standings[at]) else { return false };
        let told = candidates.iter().find(|one| one.change_id == *id).and_then(|one| one.told.as_ref());
        let moves_above = |told: &wfr_capture::attribute::Told| {
            let mut above = path.parent();
            while let Some(at) = above {
                if told.moved.contains(&at) {
                    return true;
                }
                above = at.parent();
            }
            false
        };
        let is_linked = || {
            standing.seen.has_linked()
                && tracing::file_at(self.open.root(), path).is_some_and(|file| standing.seen.has_written_linked(file))
        };
        standing.left_by.is_none()
            && standing.seen.writer != 0
            && told.is_some_and(|told| told.is_whole && !told.is_left && told.wrote(path) && !moves_above(told))
            && !is_linked()
    }

    /// What stood there when a path changed hands; `None` where it was mixed.
    #[expect(clippy::option_option, reason = "nothing may have stood there")]
    fn entry(&self, state: &State, segment: &Segment) -> Result<Option<Option<Entry>>, Failure> {
        Ok(match state {
            State::File(before) => {
                let like = segment.before.as_ref().or(segment.after.as_ref());
                before.entry(&segment.path, like, self.sink)?.map(Some)
            }
            State::Absent => Some(None),
            State::Same => Some(segment.before.clone()),
            State::Mixed => None,
        })
    }
}
